//! The user's own folders. The program keeps no file where another user could put one first.

use std::path::PathBuf;

use directories::ProjectDirs;
use glovebox_files::{lets_code_run, private_folder};

fn own() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "glovebox")
}

/// Where compiled code is kept; nowhere for a user without a home.
pub(crate) fn compiled_code() -> Option<PathBuf> {
    Some(own()?.cache_dir().join("compiled"))
}

/// Where recordings go.
pub(crate) fn recordings() -> Option<PathBuf> {
    Some(own()?.data_local_dir().join("recordings"))
}

/// Frames that crashed a process of a plugin twice.
pub(crate) fn quarantine() -> Option<PathBuf> {
    Some(own()?.data_local_dir().join("quarantine"))
}

/// Reports of processes that a fault of the machine ended.
pub(crate) fn crashes() -> Option<PathBuf> {
    Some(own()?.data_local_dir().join("crashes"))
}

/// The saved consents.
pub(crate) fn consents() -> Option<PathBuf> {
    Some(own()?.data_local_dir().join("consents.toml"))
}

/// The settings that the window keeps until the next time.
pub(crate) fn session() -> Option<PathBuf> {
    Some(own()?.config_dir().join("session.json"))
}

/// Where temporary folders go, if there is such a folder, it can be written to, and the copies of
/// libraries there can be run; others use the system's, under names that nobody knows before.
pub(crate) fn scratch() -> Option<PathBuf> {
    let folder = own()?.cache_dir().join("temporary");
    (private_folder(&folder).is_ok() && lets_code_run(&folder)).then_some(folder)
}
