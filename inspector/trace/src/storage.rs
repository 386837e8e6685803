//! The storage that traces need of the operating system. Tests put a failing one in its place.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

/// Where trace files are made and get their names.
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// Makes a file that is not there yet and holds it against other writers.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>>;

    /// Waits until the names in the folder of a file survive a loss of power.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// True if there is anything of that name, even a link to nowhere.
    fn exists(&self, path: &Path) -> bool;

    /// True if a living writer holds the file.
    fn is_held(&self, path: &Path) -> bool;

    /// Gives a finished file its name and overwrites nothing. The name survives a loss of power once
    /// the folder is synced.
    fn publish(&self, partial: &Path, path: &Path) -> io::Result<()>;

    /// The same, in the place of a file that has the name.
    fn replace(&self, partial: &Path, path: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written, by one thread; another may sync it meanwhile.
pub(crate) trait StoredFile: fmt::Debug + Send + Sync {
    /// Writes some of the bytes there, over what may be there; says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Waits until what was written before survives a loss of power.
    fn sync(&self) -> io::Result<()>;

    /// False if somebody removed the file, so that nobody can ever read it, or if it has fewer than so
    /// many bytes, so that somebody shortened it.
    fn is_whole(&self, bytes: u64) -> io::Result<bool>;
}

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    glovebox_files::open(path, u64::MAX).map(|(file, _)| file)
}

/// The file systems of this machine.
#[derive(Debug)]
pub(crate) struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // Nobody else writes a file that was new. The lock only tells a living writer from a dead
        // one, so a file system without locks is good enough. On Windows it would lock readers out.
        if !cfg!(windows) {
            let _ = file.try_lock();
        }
        Ok(Arc::new(file))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        sync_folder_of(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    fn is_held(&self, path: &Path) -> bool {
        // It may be anything that bears the name.
        let Ok(file) = glovebox_files::open_own(path, File::options().read(true)) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn publish(&self, partial: &Path, path: &Path) -> io::Result<()> {
        let file = tempfile::TempPath::try_from_path(partial)?;
        if let Err(failed) = file.persist_noclobber(path) {
            // It is no temporary file and must stay.
            let _ = failed.path.keep();
            // FAT can neither rename without overwriting nor link.
            let lacks = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported];
            if self.exists(path) || !lacks.contains(&failed.error.kind()) {
                return Err(failed.error);
            }
            std::fs::rename(partial, path)?;
        }
        Ok(())
    }

    fn replace(&self, partial: &Path, path: &Path) -> io::Result<()> {
        std::fs::rename(partial, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

impl StoredFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        // The position is that of one thread: to sync does not need it.
        let mut file = self;
        file.seek(SeekFrom::Start(offset))?;
        file.write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    #[cfg(unix)]
    fn is_whole(&self, bytes: u64) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let about = self.metadata()?;
        Ok(about.nlink() > 0 && about.len() >= bytes)
    }

    /// Elsewhere a file that is open cannot be removed.
    #[cfg(not(unix))]
    fn is_whole(&self, bytes: u64) -> io::Result<bool> {
        Ok(self.metadata()?.len() >= bytes)
    }
}

#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Some file systems sync no folders, and some folders may be written but not read.
    let lacks = [io::ErrorKind::InvalidInput, io::ErrorKind::PermissionDenied];
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if lacks.contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

/// Elsewhere folders are not synced by hand.
#[cfg(not(unix))]
fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}
