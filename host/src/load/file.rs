//! Opens a file that a person named, which may be anything.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use cap_fs_ext::OpenOptionsSyncExt;
use cap_primitives::ambient_authority;
use cap_primitives::fs::{OpenOptions, open_ambient_dir};

use crate::problem::LoadProblem;

/// Opens a file of at most `limit` bytes, and says how long it is.
pub(super) fn open(path: &Path, limit: u64) -> Result<(File, u64), LoadProblem> {
    within(glovebox_files::open(path, u64::MAX)?, limit)
}

/// Opens a file below a folder. Nothing on the way to it leads out of the folder, also if somebody changes
/// links meanwhile: what is opened here is in there, and is what is to be read.
pub(super) fn open_below(
    folder: &Path,
    name: &str,
    limit: u64,
) -> Result<(File, u64), LoadProblem> {
    let folder_handle = open_ambient_dir(&absolute(folder), ambient_authority())?;
    let mut options = OpenOptions::new();
    // A pipe or a device is not waited for; it is refused afterwards.
    options.read(true).nonblock(true);
    let file = cap_primitives::fs::open(&folder_handle, Path::new(name), &options);
    let file = file.map_err(|error| unless_it_leads_out(error, "program", name))?;
    within(glovebox_files::opened(file, &folder.join(name), u64::MAX)?, limit)
}

/// Opens a folder below a folder, under the same rule.
pub(super) fn open_dir_below(folder: &Path, name: &str) -> Result<File, LoadProblem> {
    let folder_handle = open_ambient_dir(&absolute(folder), ambient_authority())?;
    let found = cap_primitives::fs::open_dir(&folder_handle, Path::new(name));
    found.map_err(|error| unless_it_leads_out(error, "rootfs", name))
}

/// The system has a number for whatever it denies.
fn unless_it_leads_out(error: std::io::Error, key: &'static str, name: &str) -> LoadProblem {
    match error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
        true => LoadProblem::LeadsOut { key, name: name.to_owned() },
        false => error.into(),
    }
}

/// The folder whatever the working folder will be; a folder that cannot be found stays as it is.
pub(super) fn absolute(folder: &Path) -> PathBuf {
    std::path::absolute(Path::new(".").join(folder)).unwrap_or_else(|_| folder.to_owned())
}

fn within((file, size): (File, u64), limit: u64) -> Result<(File, u64), LoadProblem> {
    match size > limit {
        true => Err(LoadProblem::TooLarge { size, limit }),
        false => Ok((file, size)),
    }
}

/// Reads all of a file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LoadProblem> {
    read_opened(open(path, limit)?, limit)
}

/// Reads all of an open file.
pub(super) fn read_opened((file, size): (File, u64), limit: u64) -> Result<Vec<u8>, LoadProblem> {
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
