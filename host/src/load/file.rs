//! Opening what a person named, which may be anything.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::LoadProblem;

/// Opens a file of at most `limit` bytes, and says how long it is.
pub(super) fn open(path: &Path, limit: u64) -> Result<(File, u64), LoadProblem> {
    // Before it is opened: a pipe would wait until somebody writes, and a device may never end.
    let about = path.metadata()?;
    if about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if !about.is_file() {
        return Err(io::Error::other("it is a pipe or a device, not a file").into());
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(LoadProblem::TooLarge { size, limit });
    }
    Ok((file, size))
}

/// Reads all of it.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadProblem> {
    let (file, _) = open(path, limit)?;
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
