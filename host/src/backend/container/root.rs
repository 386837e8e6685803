//! The file systems in which containers see themselves.

use std::fs;
use std::path::{Component, Path, PathBuf};

use tempfile::{TempDir, TempPath};

/// The file system of a container.
pub(crate) enum Root {
    /// An image, by its name and digest.
    Image(String),
    /// A root folder.
    Folder(RootFolder),
    /// The programs of this machine, for reading, and a private copy of one more.
    System(TempPath),
}

impl Root {
    /// It in a sentence.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Root::Image(_) => "an image",
            Root::Folder(_) => "a root folder",
            Root::System(_) => "the programs of this machine",
        }
    }
}

/// A private copy of a root folder, which no plugin can write to. It has folders more than the original, at
/// which others are mounted.
pub(crate) struct RootFolder(TempDir);

impl RootFolder {
    /// A copy that is in a folder of this process.
    pub(crate) fn new(copy: TempDir) -> std::io::Result<RootFolder> {
        let root = RootFolder(copy);
        for place in ["/proc", "/dev"] {
            root.make(Path::new(place)).map_err(std::io::Error::other)?;
        }
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a folder at which another one can be mounted, unless it is there. A mount could follow
    /// links of a stranger to the outside, so that none may be on the way.
    pub(super) fn make(&self, place: &Path) -> Result<(), String> {
        let mut path = PathBuf::from(self.path());
        for part in place.components() {
            let Component::Normal(name) = part else { continue };
            path.push(name);
            match fs::symlink_metadata(&path) {
                Ok(about) if about.is_dir() => {}
                Ok(_) => {
                    let shown = path.strip_prefix(self.path()).unwrap_or(&path);
                    return Err(format!(
                        "its root folder has a file or link as /{}, where a folder has to be for {}",
                        shown.display(),
                        place.display()
                    ));
                }
                Err(_) => make_folder(&path).map_err(|error| {
                    format!("{} cannot be made in its root folder: {error}", place.display())
                })?,
            }
        }
        Ok(())
    }
}

/// Makes a folder in which everybody may look; another copy may have made it at the same time.
fn make_folder(path: &Path) -> std::io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mount_goes_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("home")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let root = RootFolder::new(folder).unwrap();
        let check = |place: &str, expected: Option<&str>| {
            let found = root.make(Path::new(place)).err();
            match (&found, expected) {
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => assert_eq!(found.as_deref(), expected, "{place}"),
            }
        };
        check("/home/data", Some("has a file or link as /home"));
        check("/file", Some("has a file or link as /file"));
        check("/srv/data", None);
        check("/srv/data", None);
        assert!(root.path().join("srv/data").is_dir() && root.path().join("proc").is_dir());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
