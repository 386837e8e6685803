//! Opens a file that a person named, which may be anything.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::problem::LoadProblem;

/// Opens a file of at most `limit` bytes, and says how long it is.
pub(super) fn open(path: &Path, limit: u64) -> Result<(File, u64), LoadProblem> {
    let (file, size) = glovebox_files::open(path, u64::MAX)?;
    match size > limit {
        true => Err(LoadProblem::TooLarge { size, limit }),
        false => Ok((file, size)),
    }
}

/// Reads all of it.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadProblem> {
    let (file, size) = open(path, limit)?;
    let before = file.metadata()?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // The file may grow while it is read.
    (&file).take(limit).read_to_end(&mut bytes)?;
    let after = file.metadata()?;
    // Files of the system may be longer than they say, and have no times.
    let is_steady = before.len() == after.len()
        && before.modified().ok() == after.modified().ok()
        && (before.len() == 0 || before.len() == bytes.len() as u64);
    match is_steady {
        true => Ok(bytes),
        false => Err(LoadProblem::Unsteady),
    }
}
