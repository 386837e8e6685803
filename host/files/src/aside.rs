//! Room for files that are written by somebody else, who overwrites nothing.

use std::io;
use std::path::{Path, PathBuf};

use crate::output::{OutputProblem, is_replaceable, refuse};

/// A name that a new file may take. A file that had the name waits beside it until [`Aside::done`],
/// and comes back if the new one did not appear.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    old: Option<PathBuf>,
}

impl Aside {
    /// Makes room at `path`, by the rules of [`Output::create`](crate::Output::create).
    ///
    /// # Errors
    ///
    /// If something is there and `force` is false, if it is one of the inputs or a folder, or cannot
    /// be renamed.
    pub fn take(path: &Path, force: bool, inputs: &[&Path]) -> Result<Aside, OutputProblem> {
        refuse(path, force, inputs)?;
        let failed = |source| OutputProblem::Io { source, path: path.to_owned() };
        let old =
            (force && is_replaceable(path)).then(|| move_away(path)).transpose().map_err(failed)?;
        Ok(Aside { path: path.to_owned(), old })
    }

    /// Removes what had the name before: the new file is there.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn done(mut self) -> Result<(), OutputProblem> {
        let Some(old) = self.old.take() else {
            return Ok(());
        };
        std::fs::remove_file(&old).map_err(|source| OutputProblem::Io { source, path: old })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(old) = self.old.take()
            && self.path.symlink_metadata().is_err()
        {
            // If this fails, the old file is still there under the other name.
            let _ = std::fs::rename(old, &self.path);
        }
    }
}

/// Gives a file a new name beside its own, which says what it is if nobody comes back to it.
fn move_away(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".old-");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Takes the name first, so that nothing is overwritten.
    let taken =
        tempfile::Builder::new().prefix(&name).tempfile_in(folder.unwrap_or(Path::new(".")))?;
    std::fs::rename(path, taken.path())?;
    let (_, old) = taken.keep().map_err(|error| error.error)?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_old_file_goes_only_for_a_new_one() {
        fn check(force: bool, write: bool, expected: Option<&[u8]>) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("trace");
            std::fs::write(&path, "old").unwrap();
            let aside = Aside::take(&path, force, &[]);
            assert_eq!(aside.is_ok(), expected.is_some());
            if let Ok(aside) = aside {
                assert!(!path.exists());
                if write {
                    std::fs::write(&path, "new").unwrap();
                    aside.done().unwrap();
                } else {
                    drop(aside);
                }
            }
            assert_eq!(std::fs::read(&path).unwrap(), expected.unwrap_or(b"old"));
            assert_eq!(names(folder.path()), ["trace"]);
        }
        check(false, true, None);
        check(true, true, Some(b"new"));
        check(true, false, Some(b"old"));
    }

    #[test]
    fn a_free_name_needs_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        Aside::take(&path, true, &[]).unwrap().done().unwrap();
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
