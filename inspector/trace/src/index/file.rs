//! The file beside a trace that keeps its index, or vouches for the one in it.
//!
//! 8 bytes that name the format, the seal of the rest, the stamp of the trace, the index; the last
//! two as postcard (<https://postcard.jamesmunns.com>). A file that is anything else, the index of
//! another state of the trace, or one that this user did not make counts as none: it may have come
//! with the trace, from anybody.
//!
//! A writer that left an index in its trace leaves a short file of that name: another mark, the seal of
//! the rest, and the stamp of the trace. As long as the trace has that stamp, which includes a time that
//! only the system sets, the index in it need not be compared with every byte.

use std::fs;
use std::io::ErrorKind::{AlreadyExists, NotFound};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{TraceError, TraceIndex, seal};
use crate::storage;

/// Changes with everything that changes the bytes.
const MAGIC: &[u8; 8] = b"GBINDEXA";
/// The mark of a file that vouches for the index in a trace; changes with the bytes, too.
const VOUCHES: &[u8; 8] = b"GBINDEXV";
/// The beginning of every index, of whatever version.
const NAME: &[u8; 7] = b"GBINDEX";
/// The largest index that is read, in bytes; ours are far smaller.
const MAX_SIZE: u64 = 128 << 20;
/// Bytes at the end of a trace that are part of its stamp; a finished one has its summary there.
const TAIL: u64 = 4 << 10;

/// Tells the states of a file apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    size: u64,
    /// Nanoseconds since the Unix epoch, as far as the file system says.
    modified: u128,
    /// The same of the last change of anything about the file, which only the system sets; 0 where
    /// there is no such time.
    changed: i128,
    /// CRC-32 of the last bytes.
    tail: u32,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Result<Stamp, TraceError> {
        let read = || -> io::Result<Stamp> {
            let mut file = storage::open(path)?;
            let metadata = file.metadata()?;
            let size = metadata.len();
            let modified = metadata.modified().ok();
            let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
            let mut tail = Vec::new();
            file.take(TAIL).read_to_end(&mut tail)?;
            let modified = since.map_or(0, |since| since.as_nanos());
            let changed = changed(&metadata);
            Ok(Stamp { size, modified, changed, tail: crc32fast::hash(&tail) })
        };
        read().map_err(|source| TraceError::io("read", source, path))
    }
}

#[cfg(unix)]
fn changed(metadata: &fs::Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &fs::Metadata) -> i128 {
    0
}

/// Where the index of a trace is kept.
pub(crate) fn path_of(trace: &Path) -> PathBuf {
    let mut name = trace.as_os_str().to_owned();
    name.push(".index");
    name.into()
}

/// The index of a trace in this state.
pub(crate) fn load(trace: &Path, stamp: &Stamp) -> Option<TraceIndex> {
    let mut bytes = Vec::new();
    let file = storage::open(&path_of(trace)).ok()?;
    file.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
    let rest = bytes.strip_prefix(MAGIC)?;
    let (seal, rest) = rest.split_first_chunk()?;
    if !seal::fits(*seal, rest) {
        return None;
    }
    let (found, rest) = postcard::take_from_bytes::<Stamp>(rest).ok()?;
    if found != *stamp {
        return None;
    }
    let mut index: TraceIndex = postcard::from_bytes(rest).ok()?;
    // The trace may have been moved together with its index.
    trace.clone_into(&mut index.info.path);
    (index.info.size == stamp.size && index.adds_up()).then_some(index)
}

/// Keeps an index, replacing an older one at once.
///
/// # Errors
///
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if a file that is no index has the name.
pub(crate) fn save(trace: &Path, stamp: &Stamp, index: &TraceIndex) -> io::Result<()> {
    let body = postcard::to_allocvec(&(stamp, index)).map_err(io::Error::other)?;
    let seal = seal::of(&body).ok_or_else(no_key)?;
    write(trace, [MAGIC, &seal, &body])
}

/// Says that the index in a trace is that of its writer, who has just finished it with so many bytes.
///
/// # Errors
///
/// As [`save`].
pub(crate) fn vouch(trace: &Path, bytes: u64) -> io::Result<()> {
    let stamp = Stamp::of(trace).map_err(io::Error::other)?;
    if stamp.size != bytes {
        return Err(io::Error::other("somebody else writes it"));
    }
    let body = vouching(&stamp)?;
    let seal = seal::of(&body).ok_or_else(no_key)?;
    // Its mark is sealed, too, so that it is taken for nothing else.
    write(trace, [VOUCHES, &seal, &body[VOUCHES.len()..]])
}

/// True if the writer of a trace vouches for the index in it, and it is in this state since then.
pub(crate) fn is_vouched_for(trace: &Path, stamp: &Stamp) -> bool {
    let (Ok(file), Ok(body)) = (storage::open(&path_of(trace)), vouching(stamp)) else {
        return false;
    };
    let mut found = Vec::new();
    let (start, rest) = body.split_at(VOUCHES.len());
    let all = start.len() + seal::LEN + rest.len();
    let read = file.take(all as u64 + 1).read_to_end(&mut found);
    let found = found.strip_prefix(start).and_then(<[u8]>::split_first_chunk);
    let is_this =
        |(seal, found): (&[u8; seal::LEN], &[u8])| found == rest && seal::fits(*seal, &body);
    read.is_ok() && found.is_some_and(is_this)
}

/// The sealed bytes of a file that vouches for a trace in this state.
fn vouching(stamp: &Stamp) -> io::Result<Vec<u8>> {
    let stamp = postcard::to_allocvec(stamp).map_err(io::Error::other)?;
    Ok([VOUCHES, &stamp[..]].concat())
}

fn no_key() -> io::Error {
    io::Error::other("this user has no place for a key")
}

/// Writes the parts of a file beside a trace, in place of an older one.
fn write(trace: &Path, parts: [&[u8]; 3]) -> io::Result<()> {
    if is_of_the_system(trace) {
        return Err(io::Error::other("its folder is the system's, which keeps no files"));
    }
    let path = path_of(trace);
    let is_free = path.symlink_metadata().is_err_and(|error| error.kind() == NotFound);
    if !is_free && !is_index(&path) {
        return Err(AlreadyExists.into());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    parts.into_iter().try_for_each(|part| file.write_all(part))?;
    // As readable as the trace is: a temporary file is for its owner alone.
    fs::set_permissions(file.path(), fs::metadata(trace)?.permissions())?;
    // A file that took the name meanwhile may be anything.
    let named = if is_free { file.persist_noclobber(path) } else { file.persist(path) };
    named.map_err(|error| error.error)?;
    Ok(())
}

/// True of a path such as `/dev/stdin`: the name is one that the system has for an open file.
fn is_of_the_system(trace: &Path) -> bool {
    let Ok(path) = std::path::absolute(trace) else { return false };
    let is_in = |folder: &&str| path.starts_with(folder);
    ["/dev", "/proc", "/sys"].iter().any(is_in) && !path.starts_with("/dev/shm")
}

/// True of a file that begins as an index does.
fn is_index(path: &Path) -> bool {
    let mut start = [0; NAME.len()];
    let read = storage::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_index_stands_beside_names_that_the_system_has() {
        #[track_caller]
        fn check(path: &str, expected: bool) {
            assert_eq!(is_of_the_system(Path::new(path)), expected, "{path}");
        }
        check("/dev/stdin", true);
        check("/proc/self/fd/0", true);
        check("/dev/fd/../fd/0", true);
        check("/dev/shm/a.mcap", false);
        check("/devices/a.mcap", false);
        check("a.mcap", false);
    }
}
