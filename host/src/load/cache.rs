//! Compiled code on disk, so that the second load of an artifact takes no time.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where compiled code is kept, if anywhere.
///
/// An entry is the digest of the compiled code, then the code. Entries are written to a temporary
/// file and renamed, so two hosts can share a folder; an entry that was cut or changed does not
/// fit its digest and counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

const DIGEST_LEN: usize = blake3::OUT_LEN;

impl Cache {
    /// A cache in `folder`, which is made if needed and readable for its owner alone.
    pub(crate) fn in_folder(folder: &Path) -> std::io::Result<Cache> {
        fs::create_dir_all(folder)?;
        restrict_to_owner(folder)?;
        Ok(Cache { folder: Some(folder.to_owned()) })
    }

    /// The name of an entry: what was compiled, and by what.
    pub(crate) fn key(&self, digest: &str, engine: &wasmtime::Engine) -> String {
        let mut hasher = Fingerprint(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let fingerprint = hasher.0.finalize().to_hex();
        format!("{digest}-{}.cwasm", &fingerprint[..16])
    }

    /// The code under `key`, if there is an undamaged entry.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut entry = fs::read(self.folder.as_ref()?.join(key)).ok()?;
        let (digest, code) = entry.split_first_chunk::<DIGEST_LEN>()?;
        if blake3::hash(code) != *digest {
            tracing::warn!(key, "damaged entry of the compile cache is ignored");
            return None;
        }
        entry.drain(..DIGEST_LEN);
        Some(entry)
    }

    /// Keeps `code`. A cache that cannot be written costs time, not correctness.
    pub(crate) fn put(&self, key: &str, code: &[u8]) {
        let Some(folder) = &self.folder else { return };
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(blake3::hash(code).as_bytes())?;
            file.write_all(code)?;
            file.persist(folder.join(key)).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(%error, folder = %folder.display(), "compiled code was not cached");
        }
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

#[cfg(unix)]
fn restrict_to_owner(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

// A folder below the user's profile is private on Windows already.
#[cfg(not(unix))]
fn restrict_to_owner(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_undamaged_entries_are_found() {
        fn check(damage: impl FnOnce(&Path), expected: Option<&[u8]>) {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::in_folder(folder.path()).unwrap();
            cache.put("entry", b"code");
            damage(&folder.path().join("entry"));
            assert_eq!(cache.get("entry").as_deref(), expected);
        }
        check(|_| {}, Some(b"code"));
        check(|entry| fs::remove_file(entry).unwrap(), None);
        check(|entry| fs::write(entry, b"").unwrap(), None);
        check(|entry| fs::write(entry, [0; 40]).unwrap(), None);
        check(
            |entry| {
                let mut bytes = fs::read(entry).unwrap();
                bytes[DIGEST_LEN] ^= 1;
                fs::write(entry, bytes).unwrap();
            },
            None,
        );
    }
}
