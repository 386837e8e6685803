//! The files that this process has read and written, so that no later file of it takes their place.
//!
//! A command line names only some of the files that a verb reads: others are found beside them, or are
//! named by those. So they are noted where they are opened. This is a state of the process, as its open
//! files are, and off until [`spare_what_is_used`]: a window saves for hours over what it has read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The use that was made of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Written,
}

/// The files, by absolute paths; `None` while nobody wants to know.
type Used = Option<BTreeMap<PathBuf, Use>>;

/// From now on, no [`Output`](crate::Output) replaces a file that this process has read or written
/// meanwhile. For a process that does one thing and ends.
pub fn spare_what_is_used() {
    used().get_or_insert_default();
}

/// Notes a file that is read and was not opened with [`open`](crate::open).
pub fn note_read(path: &Path) {
    note(path, Use::Read);
}

/// Notes a file that got its name, and was not written with [`Output`](crate::Output).
pub fn note_written(path: &Path) {
    note(path, Use::Written);
}

fn note(path: &Path, what: Use) {
    if let Some(used) = &mut *used()
        && let Ok(path) = std::path::absolute(path)
    {
        used.insert(path, what);
    }
}

/// The first of them that a test is true for.
pub(crate) fn find(is_it: impl Fn(&Path) -> bool) -> Option<(PathBuf, Use)> {
    let used = used();
    let mut used = used.iter().flatten();
    used.find(|(path, _)| is_it(path)).map(|(path, what)| (path.clone(), *what))
}

fn used() -> MutexGuard<'static, Used> {
    static USED: Mutex<Used> = Mutex::new(None);
    // Each change is one call, which leaves it whole.
    USED.lock().unwrap_or_else(PoisonError::into_inner)
}
