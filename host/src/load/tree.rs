//! The root folder of a container: the list of all that lies in it, and a private copy.
//!
//! Nothing in it is followed, so that nothing outside is read, and nothing is taken over beside content,
//! links and whether a file can be run: whose a file is and what else it permits is the machine's, not the
//! plugin's.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use cap_fs_ext::{OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_primitives::fs::{FollowSymlinks, Metadata, OpenOptions};
use glovebox_abi::units::show_size;

use crate::problem::{LoadProblem, shorten};

/// Bytes of all files of a root folder together: 1 GiB. A larger one is better an image.
const MAX_BYTES: u64 = 1 << 30;
/// Files, folders and links of a root folder.
const MAX_ENTRIES: u64 = 1 << 16;
/// Folders inside each other, of which each is open while it is read.
const MAX_DEPTH: usize = 64;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// A root folder as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// A line for each entry, in the order of their names: kind, path, and length and digest of a file or
    /// the target of a link.
    pub(super) list: String,
    /// Bytes of its files.
    pub(super) size: u64,
}

/// Reads a root folder.
pub(super) fn read(folder: &File) -> Result<Tree, LoadProblem> {
    walk(folder, None)
}

/// Reads a root folder and copies it into one that is empty.
#[cfg(target_os = "linux")]
pub(super) fn copy(folder: &File, into: &Path) -> Result<Tree, LoadProblem> {
    walk(folder, Some(into))
}

fn walk(folder: &File, into: Option<&Path>) -> Result<Tree, LoadProblem> {
    let tree = Tree { list: String::new(), size: 0 };
    let mut walk = Walk { tree, entries: 0, into, buffer: vec![0; PIECE] };
    walk.folder(folder, Path::new(""), 0)?;
    Ok(walk.tree)
}

struct Walk<'a> {
    tree: Tree,
    entries: u64,
    into: Option<&'a Path>,
    buffer: Vec<u8>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &File, path: &Path, depth: usize) -> Result<(), LoadProblem> {
        if depth > MAX_DEPTH {
            let reason = format!("more than {MAX_DEPTH} folders lie in each other");
            return Err(refused(reason, path));
        }
        let mut names = Vec::new();
        for entry in cap_primitives::fs::read_base_dir(folder)? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let (what, found) = ("entries of a root folder", self.entries);
                return Err(LoadProblem::TooMany { what, found, limit: MAX_ENTRIES });
            }
            let name = entry?.file_name();
            let name = name
                .into_string()
                .map_err(|name| refused("a name is no text".to_owned(), &path.join(name)))?;
            names.push(name);
        }
        names.sort_unstable();
        for name in names {
            self.entry(folder, &name, &path.join(&name), depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &File,
        name: &str,
        path: &Path,
        depth: usize,
    ) -> Result<(), LoadProblem> {
        let name = Path::new(name);
        let about = cap_primitives::fs::stat(folder, name, FollowSymlinks::No)?;
        if about.is_dir() {
            self.line("d", path, "");
            if let Some(place) = self.place(path) {
                create_folder(&place)?;
            }
            let within = cap_primitives::fs::open_dir_nofollow(folder, name)?;
            self.folder(&within, path, depth + 1)
        } else if about.is_symlink() {
            let target = cap_primitives::fs::read_link_contents(folder, name)?;
            self.line("l", path, &format!(" {target:?}"));
            #[cfg(unix)]
            if let Some(place) = self.place(path) {
                std::os::unix::fs::symlink(target, place)?;
            }
            Ok(())
        } else if about.is_file() {
            self.file(folder, name, path)
        } else {
            Err(refused("a device, pipe or socket lies in it".to_owned(), path))
        }
    }

    fn file(&mut self, folder: &File, name: &Path, path: &Path) -> Result<(), LoadProblem> {
        let mut options = OpenOptions::new();
        // A link or pipe that took its place meanwhile is neither followed nor waited for.
        options.read(true).nonblock(true).follow(FollowSymlinks::No);
        let mut file = cap_primitives::fs::open(folder, name, &options)?;
        let about = Metadata::from_file(&file)?;
        if !about.is_file() {
            return Err(LoadProblem::Unsteady);
        }
        check_size(self.tree.size.saturating_add(about.len()), path)?;
        let runs = can_run(&about);
        let mut copy = self.place(path).map(|place| create(&place, runs)).transpose()?;
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
        loop {
            let read = file.read(&mut self.buffer)?;
            let piece = &self.buffer[..read];
            if piece.is_empty() {
                break;
            }
            length += read as u64;
            self.tree.size += read as u64;
            // It may have grown since.
            check_size(self.tree.size, path)?;
            hasher.update(piece);
            if let Some(copy) = &mut copy {
                copy.write_all(piece)?;
            }
        }
        let kind = if runs { "x" } else { "f" };
        self.line(kind, path, &format!(" {length} {}", hasher.finalize().to_hex()));
        Ok(())
    }

    fn line(&mut self, kind: &str, path: &Path, more: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.tree.list, "{kind} {path:?}{more}");
    }

    fn place(&self, path: &Path) -> Option<PathBuf> {
        self.into.map(|into| into.join(path))
    }
}

fn check_size(size: u64, path: &Path) -> Result<(), LoadProblem> {
    match size > MAX_BYTES {
        true => {
            let most = show_size(MAX_BYTES);
            Err(refused(format!("its files have more than {most} together"), path))
        }
        false => Ok(()),
    }
}

fn can_run(about: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use cap_primitives::fs::PermissionsExt;
        about.permissions().mode() & 0o100 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = about;
        false
    }
}

/// Makes a folder in which everybody may look.
fn create_folder(place: &Path) -> std::io::Result<()> {
    std::fs::create_dir(place)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(place, mode)?;
    }
    Ok(())
}

/// Makes a file that everybody may read, and nobody may change: the user of a container need not be this one.
fn create(place: &Path, runs: bool) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    let file = options.open(place)?;
    #[cfg(unix)]
    {
        let mode = if runs { 0o555 } else { 0o444 };
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    Ok(file)
}

fn refused(reason: String, path: &Path) -> LoadProblem {
    LoadProblem::NotOpened {
        reason: format!(
            "it cannot be a root folder: {reason}: {}",
            shorten(&path.to_string_lossy())
        ),
        remedy: "take that out of the folder, or make an image of it (`podman import`)".to_owned(),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn open(folder: &Path) -> File {
        File::open(folder).unwrap()
    }

    fn some_tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("bin")).unwrap();
        fs::write(path.join("bin/run"), "#!/bin/sh").unwrap();
        fs::set_permissions(path.join("bin/run"), fs::Permissions::from_mode(0o4700)).unwrap();
        fs::write(path.join("data"), "some").unwrap();
        symlink("/etc/passwd", path.join("link")).unwrap();
        folder
    }

    #[test]
    fn a_copy_has_the_same_list() {
        let (folder, copied) = (some_tree(), tempfile::tempdir().unwrap());
        let tree = read(&open(folder.path())).unwrap();
        assert_eq!(tree.size, 13);
        assert_eq!(copy(&open(folder.path()), copied.path()).unwrap(), tree);
        assert_eq!(read(&open(copied.path())).unwrap(), tree);
        let mode = |name: &str| {
            let about = fs::metadata(copied.path().join(name)).unwrap();
            about.permissions().mode() & 0o7777
        };
        assert_eq!((mode("bin/run"), mode("data")), (0o555, 0o444));
        let target = fs::read_link(copied.path().join("link")).unwrap();
        assert_eq!(target, Path::new("/etc/passwd"));
    }

    /// Each change of what a plugin would run or see is another list.
    #[test]
    fn each_change_counts() {
        #[track_caller]
        fn check(change: impl FnOnce(&Path), expected: bool) {
            let folder = some_tree();
            let before = read(&open(folder.path())).unwrap();
            change(folder.path());
            assert_eq!(read(&open(folder.path())).unwrap() != before, expected);
        }
        check(|_| {}, false);
        check(|path| fs::write(path.join("data"), "same").unwrap(), true);
        check(|path| fs::write(path.join("more"), "").unwrap(), true);
        check(|path| fs::create_dir(path.join("more")).unwrap(), true);
        check(|path| fs::remove_file(path.join("link")).unwrap(), true);
        check(|path| fs::rename(path.join("data"), path.join("bin/data")).unwrap(), true);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        check(|path| mode(&path.join("data"), 0o744), true);
        // Rights that no copy has.
        check(|path| mode(&path.join("data"), 0o2600), false);
        check(
            |path| {
                fs::remove_file(path.join("link")).unwrap();
                symlink("/etc/shadow", path.join("link")).unwrap();
            },
            true,
        );
    }

    #[test]
    fn what_is_no_file_is_refused() {
        #[track_caller]
        fn check(add: impl FnOnce(&Path), expected: &str) {
            let folder = some_tree();
            add(folder.path());
            let error = read(&open(folder.path())).unwrap_err();
            let error = format!("{error}; {}", error.remedy());
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
        let socket = |path: &Path| {
            drop(std::os::unix::net::UnixListener::bind(path.join("bin/socket")).unwrap());
        };
        check(socket, "a device, pipe or socket lies in it: bin/socket; take that out");
        let deep = |path: &Path| {
            fs::create_dir_all(path.join("a/".repeat(MAX_DEPTH + 1))).unwrap();
        };
        check(deep, "more than 64 folders lie in each other: a/a/");
        let large = |path: &Path| {
            File::create(path.join("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        };
        check(large, "more than 1 GiB together: large");
        use std::os::unix::ffi::OsStrExt;
        let odd = |path: &Path| {
            fs::write(path.join(std::ffi::OsStr::from_bytes(b"\xFF")), "").unwrap();
        };
        check(odd, "a name is no text");
    }
}
