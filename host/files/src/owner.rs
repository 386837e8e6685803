//! The owner of trusted files, and folders that nobody else can enter.

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// The owner of trusted files: on Unix the number of the user who runs this.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    #[cfg(unix)]
    user: u32,
}

/// Makes a folder, with those above it, in which only this user can read and write. One that is there
/// is made private.
///
/// # Errors
///
/// If it cannot be made, is no folder, or belongs to another user.
pub fn private_folder(folder: &Path) -> io::Result<Owner> {
    make(folder)?;
    // A link could be led elsewhere after the look at its owner.
    if !std::fs::symlink_metadata(folder)?.is_dir() {
        let reason = format!("{} is not a folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, reason));
    }
    let owner = Owner::of_new_files(folder)?;
    owner.claim(folder)?;
    Ok(owner)
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a private folder that is not there yet.
#[cfg(unix)]
pub(crate) fn make_new(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(unix)]
impl Owner {
    /// The owner of the files that this process makes in a folder.
    ///
    /// # Errors
    ///
    /// If nothing can be written there.
    pub fn of_new_files(folder: &Path) -> io::Result<Owner> {
        Ok(Owner::of(&tempfile::tempfile_in(folder)?.metadata()?))
    }

    /// The owner of a file.
    pub(crate) fn of(about: &Metadata) -> Owner {
        use std::os::unix::fs::MetadataExt;
        Owner { user: about.uid() }
    }

    /// Makes a folder private, or refuses it if it is somebody else's.
    fn claim(self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let about = std::fs::symlink_metadata(folder)?;
        if about.uid() != self.user {
            let reason = format!(
                "{} belongs to user {}, not to {}; name a folder of your own",
                folder.display(),
                about.uid(),
                self.user
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        if about.mode() & 0o077 != 0 {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    /// True if nobody else can have written the file: the folder may have been open to others.
    pub fn owns(self, about: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        about.uid() == self.user && about.mode() & 0o022 == 0
    }
}

// A folder below the user's profile is private on Windows already.
#[cfg(not(unix))]
fn make(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Makes a private folder that is not there yet.
#[cfg(not(unix))]
pub(crate) fn make_new(folder: &Path) -> io::Result<()> {
    std::fs::create_dir(folder)
}

#[cfg(not(unix))]
impl Owner {
    /// The owner of the files that this process makes in a folder.
    ///
    /// # Errors
    ///
    /// Never on this system.
    pub fn of_new_files(_: &Path) -> io::Result<Owner> {
        Ok(Owner {})
    }

    /// The owner of a file.
    pub(crate) fn of(_: &Metadata) -> Owner {
        Owner {}
    }

    fn claim(self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    /// True if nobody else can have written the file: the folder may have been open to others.
    pub fn owns(self, _: &Metadata) -> bool {
        true
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn folders_become_private() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let deep = folder.path().join("a/b");
        private_folder(&deep).unwrap();
        assert_eq!((mode(&deep), mode(deep.parent().unwrap())), (0o700, 0o700));
        std::fs::set_permissions(&deep, std::fs::Permissions::from_mode(0o755)).unwrap();
        private_folder(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(private_folder(&file).is_err());
    }
}
