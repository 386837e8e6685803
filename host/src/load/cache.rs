//! Compiled code on disk, so that the second load of an artifact takes no time.
//!
//! An entry is machine code that will be run, so the folder is the user's alone, and an entry is
//! only used if its owner, its name and every byte are what they were when it was written: what the
//! engine does with damaged code is undefined. Entries are written to a temporary file and renamed,
//! so that any number of hosts, in one process or in several, can share a folder.
//!
//! It deliberately does not protect from the user whose folder it is: a process that can write
//! there can run code as that user anyway. Nor does it protect from the compiler: should a module take
//! over the worker that compiles it, the host would run what that answers at once, and keep it for later
//! hosts. A signature would not tell such an entry from a good one, for the same host would sign both.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use glovebox_files::Owner;

/// Where compiled code is kept, if anywhere.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    place: Option<CacheFolder>,
    counters: Counters,
}

#[derive(Debug)]
struct CacheFolder {
    folder: PathBuf,
    /// Bytes of all entries.
    limit: u64,
    owner: Owner,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    evicted: AtomicU64,
}

/// The counts of a host's compile cache so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Loads that found their code.
    pub hits: u64,
    /// Loads that had to compile.
    pub misses: u64,
    /// Entries that were cut, changed, or not written by this user. They were thrown away, and are
    /// among the misses.
    pub damaged: u64,
    /// Entries that had to make room for newer ones.
    pub evicted: u64,
}

/// Bytes that the entries of a folder may have together, unless told.
pub(crate) const DEFAULT_LIMIT: u64 = 512 << 20;

/// The start of an entry: a name and a version of its layout.
const MAGIC: &[u8; 8] = b"glovebx1";
const DIGEST_LEN: usize = blake3::OUT_LEN;
/// [`MAGIC`], the digest of the entry's name, the length of the code, and the digest of all that and
/// the code, which follows.
const PREFIX_LEN: usize = MAGIC.len() + DIGEST_LEN + 8 + DIGEST_LEN;
const ENDING: &str = "cwasm";
const TEMPORARY: &str = ".writing-";
/// A writer that takes longer was interrupted.
const STALE: Duration = Duration::from_secs(3600);

impl Cache {
    /// A cache in `folder`, which is made if needed, with at most `limit` bytes of entries.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or written to, is none, or belongs to somebody else. One of this
    /// user's that others can look into is closed to them.
    pub(crate) fn in_folder(folder: &Path, limit: u64) -> io::Result<Cache> {
        let owner = glovebox_files::private_folder(folder)?;
        let place = CacheFolder { folder: folder.to_owned(), limit, owner };
        Ok(Cache { place: Some(place), counters: Counters::default() })
    }

    /// The name of an entry: what was compiled, and by what, settings included.
    pub(crate) fn key(&self, digest: &str, engine: &wasmtime::Engine) -> String {
        let mut hasher = Fingerprint(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let fingerprint = hasher.0.finalize().to_hex();
        format!("{digest}-{}.{ENDING}", &fingerprint[..16])
    }

    /// The code under `key`, if there is an undamaged entry. A damaged one is thrown away; one that cannot
    /// be read now stays.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let found = self.place.as_ref()?.read(key);
        match found {
            Ok(code) => {
                self.counters.hits.fetch_add(1, Ordering::Relaxed);
                return Some(code);
            }
            Err(Unusable::Absent) => {}
            Err(Unusable::Damaged(reason)) => self.damaged(key, &reason),
            Err(Unusable::Unreadable(error)) => {
                tracing::warn!(key, %error, "entry of the compile cache cannot be read now");
            }
        }
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Throws an entry away that the engine does not take, though its bytes are right.
    pub(crate) fn reject(&self, key: &str, reason: &str) {
        self.counters.hits.fetch_sub(1, Ordering::Relaxed);
        self.counters.misses.fetch_add(1, Ordering::Relaxed);
        self.damaged(key, reason);
    }

    fn damaged(&self, key: &str, reason: &str) {
        let Some(place) = &self.place else { return };
        tracing::warn!(key, reason, "entry of the compile cache is thrown away");
        self.counters.damaged.fetch_add(1, Ordering::Relaxed);
        // If it cannot be removed it is replaced, or thrown away again.
        let _ = fs::remove_file(place.folder.join(key));
    }

    /// Keeps `code`, and removes the entries that were not used for longest if there is too much. A
    /// cache that cannot be written costs time, not correctness.
    pub(crate) fn put(&self, key: &str, code: &[u8]) {
        let Some(place) = &self.place else { return };
        match place.write(key, code).and_then(|()| place.trim()) {
            Ok(evicted) => drop(self.counters.evicted.fetch_add(evicted, Ordering::Relaxed)),
            Err(error) => {
                let folder = place.folder.display();
                tracing::warn!(%error, %folder, "compiled code was not cached");
            }
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: load(&self.counters.hits),
            misses: load(&self.counters.misses),
            damaged: load(&self.counters.damaged),
            evicted: load(&self.counters.evicted),
        }
    }
}

/// Why an entry is not used.
enum Unusable {
    Absent,
    /// By its owner or its bytes.
    Damaged(String),
    /// The system refused to read it, which says nothing about it.
    Unreadable(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        match error.kind() {
            io::ErrorKind::NotFound => Unusable::Absent,
            _ => Unusable::Unreadable(error),
        }
    }
}

impl CacheFolder {
    fn read(&self, key: &str) -> Result<Vec<u8>, Unusable> {
        let damaged = |reason: &str| Err(Unusable::Damaged(reason.to_owned()));
        let path = self.folder.join(key);
        if !fs::symlink_metadata(&path)?.is_file() {
            return damaged("it is not a file");
        }
        let mut file = glovebox_files::open_own(&path, File::options().read(true))?;
        // Of the open file: whatever lies under the name now, this one is read.
        let about = file.metadata()?;
        if !self.owner.owns(&about) {
            return damaged("others could have written it");
        }
        let mut entry =
            Vec::with_capacity(usize::try_from(about.len().min(self.limit)).unwrap_or(0));
        (&mut file).take(self.limit.saturating_add(1)).read_to_end(&mut entry)?;
        let Some((prefix, code)) = entry.split_first_chunk::<PREFIX_LEN>() else {
            return damaged("it is cut short");
        };
        if *prefix != Self::prefix(key, code) {
            return damaged("its bytes are not those that were written");
        }
        // The time of the last use, for eviction. Best effort: a failure costs time only.
        let _ = file.set_modified(SystemTime::now());
        entry.drain(..PREFIX_LEN);
        Ok(entry)
    }

    /// The bytes before `code` in the entry of this name and no other.
    fn prefix(key: &str, code: &[u8]) -> [u8; PREFIX_LEN] {
        let mut prefix = [0; PREFIX_LEN];
        let (head, digest) = prefix.split_at_mut(PREFIX_LEN - DIGEST_LEN);
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()..][..DIGEST_LEN].copy_from_slice(blake3::hash(key.as_bytes()).as_bytes());
        head[MAGIC.len() + DIGEST_LEN..].copy_from_slice(&(code.len() as u64).to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(head).update(code);
        digest.copy_from_slice(hasher.finalize().as_bytes());
        prefix
    }

    fn write(&self, key: &str, code: &[u8]) -> io::Result<()> {
        if (PREFIX_LEN + code.len()) as u64 > self.limit {
            return Ok(());
        }
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.folder)?;
        file.write_all(&Self::prefix(key, code))?;
        file.write_all(code)?;
        file.persist(self.folder.join(key)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the entries that were not used for longest until the rest fits, and what interrupted
    /// writers left. Gives the number of entries removed.
    fn trim(&self) -> io::Result<u64> {
        let mut entries = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another host may have removed it meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                total += about.len();
                entries.push((used, about.len(), path));
            } else if entry.file_name().to_string_lossy().starts_with(TEMPORARY)
                && used.elapsed().is_ok_and(|age| age > STALE)
            {
                let _ = fs::remove_file(path);
            }
        }
        entries.sort();
        let mut removed = 0;
        for (_, size, path) in entries {
            if total <= self.limit {
                break;
            }
            total -= size;
            if fs::remove_file(path).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

struct Fingerprint(blake3::Hasher);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &[u8] = b"machine code, or so one hopes";

    #[test]
    fn only_undamaged_entries_are_found() {
        fn check(damage: impl FnOnce(&Path), expected: Option<&[u8]>) {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::in_folder(folder.path(), 1 << 20).unwrap();
            cache.put("entry.cwasm", CODE);
            let path = folder.path().join("entry.cwasm");
            damage(&path);
            let was_there = path.exists();
            assert_eq!(cache.get("entry.cwasm").as_deref(), expected);
            let damaged = u64::from(expected.is_none() && was_there);
            assert_eq!(cache.stats().damaged, damaged);
            assert_eq!(path.exists(), expected.is_some(), "a damaged entry is thrown away");
            // And replaced.
            cache.put("entry.cwasm", CODE);
            assert_eq!(cache.get("entry.cwasm").as_deref(), Some(CODE));
        }
        check(|_| {}, Some(CODE));
        check(|entry| fs::remove_file(entry).unwrap(), None);
        let length = PREFIX_LEN + CODE.len();
        for cut in 0..length {
            check(
                |entry| {
                    File::options().write(true).open(entry).unwrap().set_len(cut as u64).unwrap()
                },
                None,
            );
        }
        for place in 0..length {
            check(
                |entry| {
                    let mut bytes = fs::read(entry).unwrap();
                    bytes[place] ^= 1 << (place % 8);
                    fs::write(entry, bytes).unwrap();
                },
                None,
            );
        }
        check(
            |entry| fs::write(entry, [&fs::read(entry).unwrap()[..], b"x"].concat()).unwrap(),
            None,
        );
        check(
            |entry| {
                // The whole entry of another artifact or engine, under this name.
                let other = entry.with_file_name("other.cwasm");
                let folder = entry.parent().unwrap();
                Cache::in_folder(folder, 1 << 20).unwrap().put("other.cwasm", CODE);
                fs::rename(other, entry).unwrap();
            },
            None,
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_damaged() {
        fn check(key: &str) {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::in_folder(folder.path(), 1 << 20).unwrap();
            assert_eq!(cache.get(key), None);
            let expected = CacheStats { misses: 1, ..CacheStats::default() };
            assert_eq!(cache.stats(), expected, "{key:?}");
        }
        check("entry.cwasm");
        // The system refuses these names, as it would any while this process has too many open files.
        check("a\0b");
        check(&"long".repeat(1000));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_elses_files_are_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let cache = Cache::in_folder(&inner, 1 << 20).unwrap();
        assert_eq!(mode(&inner), 0o700);
        cache.put("entry.cwasm", CODE);
        set(&inner, 0o777);
        let cache = Cache::in_folder(&inner, 1 << 20).unwrap();
        assert_eq!(mode(&inner), 0o700, "closed again");
        let entry = inner.join("entry.cwasm");
        set(&entry, 0o666);
        assert_eq!(cache.get("entry.cwasm"), None, "anybody could have written it");
        cache.put("entry.cwasm", CODE);
        fs::rename(&entry, inner.join("moved")).unwrap();
        std::os::unix::fs::symlink(inner.join("moved"), &entry).unwrap();
        assert_eq!(cache.get("entry.cwasm"), None, "a link leads anywhere");
        assert_eq!(cache.stats().damaged, 2);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&inner, &link).unwrap();
        let error = Cache::in_folder(&link, 1 << 20).unwrap_err().to_string();
        assert!(error.ends_with("is not a folder"), "{error}");
        // Only root can give files away.
        if std::os::unix::fs::chown(&inner, Some(65_534), None).is_ok() {
            let error = Cache::in_folder(&inner, 1 << 20).unwrap_err().to_string();
            assert!(error.contains("belongs to user 65534, not to "), "{error}");
        }
    }

    #[test]
    fn the_entries_not_used_for_longest_make_room() {
        let size = (PREFIX_LEN + 100) as u64;
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::in_folder(folder.path(), 3 * size).unwrap();
        let age = |key: &str, seconds| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            File::open(folder.path().join(key)).unwrap().set_modified(then).unwrap();
        };
        for (key, seconds) in [("a.cwasm", 300), ("b.cwasm", 200), ("c.cwasm", 100)] {
            cache.put(key, &[1; 100]);
            age(key, seconds);
        }
        assert!(cache.get("a.cwasm").is_some(), "used just now");
        let stale = folder.path().join(format!("{TEMPORARY}1"));
        fs::write(&stale, "half").unwrap();
        age(&format!("{TEMPORARY}1"), 7200);
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        cache.put("d.cwasm", &[1; 100]);
        assert!(cache.get("b.cwasm").is_none());
        for key in ["a.cwasm", "c.cwasm", "d.cwasm"] {
            assert!(cache.get(key).is_some(), "{key}");
        }
        assert!(!stale.exists() && folder.path().join("notes.txt").exists());
        assert_eq!(cache.stats(), CacheStats { hits: 4, misses: 1, damaged: 0, evicted: 1 });
        cache.put("e.cwasm", &[1; 1000]);
        assert!(cache.get("e.cwasm").is_none(), "larger than everything");
    }
}
