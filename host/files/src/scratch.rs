//! Private temporary folders that do not stay, even if their process is killed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::owner::{self, Owner};
use crate::read::open_own;

const PREFIX: &str = "glovebox-";
/// The ending of the name of a folder's mark; the mark lies beside the folder.
const MARK: &str = ".lock";
/// How often a mark may be taken for one that was left before its lock is there.
const ATTEMPTS: u32 = 100;

/// A folder of this process, private and empty at first. It is removed when this is dropped, and by a
/// later [`Scratch::new_in`] at the same place if the process was killed.
///
/// The file beside it is locked as long as the process lives, so that no living process loses
/// anything.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    mark: PathBuf,
    /// Locked until this is closed, after both are gone.
    _lock: File,
}

impl Scratch {
    /// Makes a folder in `parent` under a new name, and removes those that killed processes of this
    /// user left there. Others may write in `parent`, as in the system's folder for temporary files.
    ///
    /// # Errors
    ///
    /// If nothing can be made in `parent`.
    pub fn new_in(parent: impl AsRef<Path>) -> io::Result<Scratch> {
        let parent = parent.as_ref();
        for _ in 0..ATTEMPTS {
            // Nothing is made while all are removed at the end, nor after that.
            let mut alive = alive();
            let Some(alive) = alive.as_mut() else {
                return Err(io::Error::other("the process ends"));
            };
            // The mark comes first: a folder without one would never be removed.
            let mut builder = tempfile::Builder::new();
            let file = builder.prefix(PREFIX).suffix(MARK).tempfile_in(parent)?;
            let (lock, mark) = file.keep().map_err(|error| error.error)?;
            // Another process may have taken it for one that was left.
            if lock.try_lock().is_err() || !mark.exists() {
                continue;
            }
            sweep(parent, Owner::of(&lock.metadata()?));
            let folder = folder_of(&mark);
            // Never one that is there already, even if this user made it.
            if let Err(error) = owner::make_new(&folder) {
                let _ = fs::remove_file(&mark);
                return Err(error);
            }
            alive.push(mark.clone());
            return Ok(Scratch { folder, mark, _lock: lock });
        }
        Err(io::Error::other("other processes removed each temporary folder that was made"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(alive) = alive().as_mut() {
            alive.retain(|mark| *mark != self.mark);
        }
        remove(&self.mark);
    }
}

/// Removes the folders of all [`Scratch`]es, for a process that is about to end without dropping them. No
/// more are made after that.
pub fn remove_scratch() {
    alive().take().iter().flatten().for_each(|mark| remove(mark));
}

/// The marks of this process; `None` once they were removed for its end.
fn alive() -> MutexGuard<'static, Option<Vec<PathBuf>>> {
    static ALIVE: Mutex<Option<Vec<PathBuf>>> = Mutex::new(Some(Vec::new()));
    // Each change is one call, which leaves it whole.
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a folder and all in it, following no link, then its mark. A folder that cannot be
/// removed keeps its mark, so that a later start tries again.
fn remove(mark: &Path) {
    let is_gone = match fs::remove_dir_all(folder_of(mark)) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    };
    if is_gone {
        let _ = fs::remove_file(mark);
    }
}

/// Removes what killed processes left. It has no result: what cannot be removed now is tried again.
fn sweep(parent: &Path, owner: Owner) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for mark in entries.flatten().map(|entry| entry.path()).filter(|path| is_mark(path)) {
        // Only marks that this user made; a link may lead to a file that is another's.
        let is_ours = mark.symlink_metadata().is_ok_and(|it| it.is_file() && owner.owns(&it));
        let lock = is_ours.then(|| open_own(&mark, File::options().read(true)).ok()).flatten();
        // The lock is held until both are gone.
        if let Some(_lock) = lock.filter(|lock| lock.try_lock().is_ok()) {
            remove(&mark);
        }
    }
}

fn is_mark(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(MARK))
}

fn folder_of(mark: &Path) -> PathBuf {
    mark.with_extension("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_folder_is_private_and_goes() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new_in(parent.path()).unwrap();
        fs::write(scratch.path().join("file"), "x").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = scratch.path().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        drop(scratch);
        assert_eq!(names(parent.path()), [""; 0]);
    }

    #[test]
    fn only_what_was_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Scratch::new_in(parent.path()).unwrap();
        // As after a kill: both are there, and nobody holds the lock.
        let left = parent.path().join("glovebox-left");
        fs::create_dir_all(left.join("deep")).unwrap();
        fs::write(left.with_extension("lock"), "").unwrap();
        // The kill came before there was a folder.
        fs::write(parent.path().join("glovebox-early.lock"), "").unwrap();
        // The owner of these is not known.
        fs::create_dir(parent.path().join("glovebox-unmarked")).unwrap();
        fs::write(parent.path().join("other.lock"), "").unwrap();
        #[cfg(unix)]
        {
            let elsewhere = parent.path().join("other.lock");
            std::os::unix::fs::symlink(elsewhere, parent.path().join("glovebox-link.lock"))
                .unwrap();
        }
        let second = Scratch::new_in(parent.path()).unwrap();
        let left = names(parent.path());
        let has = |name: &str| left.iter().any(|found| found == name);
        assert!(!has("glovebox-left") && !has("glovebox-left.lock"), "{left:?}");
        assert!(!has("glovebox-early.lock"), "{left:?}");
        assert!(has("glovebox-unmarked") && has("other.lock"), "{left:?}");
        assert!(alive.path().is_dir() && second.path().is_dir());
    }

    #[test]
    fn many_at_once_keep_their_folders() {
        let parent = tempfile::tempdir().unwrap();
        let made = || Scratch::new_in(parent.path()).unwrap();
        let all: Vec<Scratch> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(made)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|scratch| scratch.path().is_dir()));
        drop(all);
        assert_eq!(names(parent.path()), [""; 0]);
    }
}
