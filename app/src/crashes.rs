//! Reports that processes of this user leave when a fault of the machine ends them, as native code that
//! is trusted can bring about.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use glovebox_files::private_folder;

use crate::folders;

/// Reports that are kept once they were told; the oldest go.
const KEPT: usize = 20;

/// The last part of the name of a report that was told.
const TOLD: &str = "told";

/// Lets this process leave a report if it crashes.
pub(crate) fn report() {
    let folder = folders::crashes().filter(|folder| private_folder(folder).is_ok());
    if let Some(folder) = folder {
        let about = format!("glovebox {}\n", env!("CARGO_PKG_VERSION"));
        glovebox_host::worker::report_crashes(&folder, &about);
    }
}

/// The reports that nobody was told of yet, newest last. They are not given again.
pub(crate) fn take() -> Vec<PathBuf> {
    let Some(entries) = folders::crashes().and_then(|folder| fs::read_dir(folder).ok()) else {
        return Vec::new();
    };
    let reports = entries.flatten().filter_map(|entry| {
        let made = entry.metadata().and_then(|about| about.modified()).ok()?;
        Some((made, entry.path()))
    });
    let mut reports: Vec<(SystemTime, PathBuf)> = reports.collect();
    reports.sort();
    // One that cannot be removed is kept.
    let (old, reports) = reports.split_at(reports.len().saturating_sub(KEPT));
    old.iter().for_each(|(_, path)| drop(fs::remove_file(path)));
    let new = reports.iter().filter(|(_, path)| path.extension().is_some_and(|end| end == "txt"));
    let told = new.filter_map(|(_, path)| {
        let told = path.with_extension(TOLD);
        fs::rename(path, &told).ok()?;
        Some(told)
    });
    told.collect()
}
