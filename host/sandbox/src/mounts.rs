//! A root folder of its own: an empty one, with nothing in it but what the profile permits, each
//! under the path that it has outside.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::files::{Open, of_the_system};
use crate::namespaces::{needs_user, unshare};
use crate::system::check;
use crate::{Access, Layer, Missing, Profile, SandboxReport};

/// Where the new root is put together: some folder that is there. Its content is hidden by then,
/// and only from this process.
const SCAFFOLDS: [&str; 4] = ["/tmp", "/run", "/var", "/mnt"];

pub(crate) fn enter(profile: &Profile, folders: &[Open], report: &mut SandboxReport) {
    report.add(Layer::MountNamespace, profile.wants(Layer::MountNamespace), || {
        unshare(libc::CLONE_NEWNS).map_err(needs_user("mount"))?;
        change_root(folders, of_the_system(&profile.reach)).map_err(|error| {
            Missing::new(
                format!("no root folder of its own can be made: {error}"),
                "use Linux 5.12 or newer, and let the container that this runs in mount file \
                 systems",
            )
        })
    });
}

fn change_root(folders: &[Open], system: &[&str]) -> io::Result<()> {
    // Before anything is hidden.
    let permitted: Vec<Permitted<'_>> = folders
        .iter()
        .filter_map(|open| Permitted::find(open).transpose())
        .collect::<Result<_, _>>()?;
    // Nobody else sees mounts from now on.
    mount(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE)?;
    let scaffold = SCAFFOLDS.map(Path::new).into_iter().find(|path| path.is_dir());
    let scaffold = scaffold.ok_or_else(|| io::Error::other("there is no folder to mount it at"))?;
    let tmpfs = Path::new("tmpfs");
    mount(Some(tmpfs), scaffold, Some(c"tmpfs"), libc::MS_NOSUID | libc::MS_NODEV)?;
    let changed = furnish(scaffold, &permitted, system).and_then(|()| {
        std::env::set_current_dir(scaffold)?;
        let here = c".".as_ptr();
        // SAFETY: both paths end in zero. With the same folder twice, the old root lies on top of
        // the new one (pivot_root(2), "pivot_root(".", ".")"), where it is taken away next.
        check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })
    });
    if let Err(error) = changed {
        // Everything is as before then.
        let scaffold = text(scaffold)?;
        // SAFETY: the path ends in zero.
        unsafe { libc::umount2(scaffold.as_ptr(), libc::MNT_DETACH) };
        return Err(error);
    }
    // SAFETY: the path ends in zero.
    check(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    std::env::set_current_dir("/")?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_RDONLY;
    mount(None, Path::new("/"), None, libc::MS_REMOUNT | libc::MS_BIND | flags)?;
    let folders = permitted.iter().filter(|permitted| permitted.open.is_folder);
    folders.into_iter().try_for_each(Permitted::reopen)
}

/// Something that the profile permits, and the path that leads to it.
struct Permitted<'a> {
    open: &'a Open,
    /// Opened again: a handle from before this namespace belongs to mounts of another one.
    again: fs::File,
    path: PathBuf,
}

impl<'a> Permitted<'a> {
    /// Nothing for memory, a pipe or a file that was removed: they have no path, and are reached by
    /// their handle alone.
    fn find(open: &'a Open) -> io::Result<Option<Permitted<'a>>> {
        let handle = format!("/proc/self/fd/{}", open.descriptor.as_raw_fd());
        let path = fs::read_link(&handle)?;
        if !path.is_absolute() || fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let mut options = fs::OpenOptions::new();
        let again = options.read(true).custom_flags(libc::O_PATH).open(&path)?;
        // The path may lead to something else by now.
        let (given, found) = (fs::metadata(&handle)?, again.metadata()?);
        if (given.dev(), given.ino()) != (found.dev(), found.ino()) {
            let reason = format!("{} is not what its handle is of", path.display());
            return Err(io::Error::other(reason));
        }
        Ok(Some(Permitted { open, again, path }))
    }

    fn bind(&self, root: &Path) -> io::Result<()> {
        let source = PathBuf::from(format!("/proc/self/fd/{}", self.again.as_raw_fd()));
        bind(&source, &below(root, &self.path), self.open.is_folder, self.open.access)
    }

    /// Puts a handle of the folder at its new place under the number of the old one, whose `..`
    /// would lead through the old root.
    fn reopen(&self) -> io::Result<()> {
        let folder = fs::File::open(&self.path)?;
        let number = self.open.descriptor.as_raw_fd();
        // SAFETY: it takes numbers. The number stays that of an open folder all the while, as those
        // who hold it expect.
        check(unsafe { libc::dup2(folder.as_raw_fd(), number) }).map(drop)
    }
}

/// Puts everything that is permitted below the new root.
fn furnish(root: &Path, permitted: &[Permitted<'_>], system: &[&str]) -> io::Result<()> {
    for path in system.iter().map(Path::new) {
        let place = below(root, path);
        match fs::symlink_metadata(path) {
            Ok(status) if status.is_symlink() => {
                fs::create_dir_all(place.parent().unwrap_or(root))?;
                std::os::unix::fs::symlink(fs::read_link(path)?, &place)?;
            }
            Ok(status) => bind(path, &place, status.is_dir(), Access::Read)?,
            // A folder that is not there holds no library.
            Err(_) => {}
        }
    }
    permitted.iter().try_for_each(|permitted| permitted.bind(root))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Lets a folder or a file be seen at another place too, with all that is mounted in it.
fn bind(source: &Path, place: &Path, is_folder: bool, access: Access) -> io::Result<()> {
    if is_folder {
        fs::create_dir_all(place)?;
    } else if fs::symlink_metadata(place).is_err() {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        fs::File::create(place)?;
    }
    mount(Some(source), place, None, libc::MS_BIND | libc::MS_REC)?;
    narrow(place, access)
}

/// Lets no program through a mount and those within it get another's rights, no device be used, and
/// nothing be written if it is for reading. Their other flags stay, which may not be taken away in a
/// namespace of users.
fn narrow(path: &Path, access: Access) -> io::Result<()> {
    let path = text(path)?;
    let writes = match access {
        Access::Read | Access::Run => libc::MOUNT_ATTR_RDONLY,
        Access::ReadWrite => 0,
    };
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | writes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let (call, length) = (libc::SYS_mount_setattr, size_of::<libc::mount_attr>());
    let (path, flags) = (path.as_ptr(), libc::AT_RECURSIVE);
    // SAFETY: the path ends in zero; the structure is as long as said, and lives through the call.
    check(unsafe { libc::syscall(call, libc::AT_FDCWD, path, flags, &raw const change, length) })
        .map(drop)
}

fn mount(
    source: Option<&Path>,
    place: &Path,
    kind: Option<&std::ffi::CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let source = source.map(text).transpose()?;
    let place = text(place)?;
    let source = source.as_ref().map_or(std::ptr::null(), |source| source.as_ptr());
    let kind = kind.map_or(std::ptr::null(), |kind| kind.as_ptr());
    // SAFETY: the texts end in zero and live through the call; none of these mounts takes options.
    check(unsafe { libc::mount(source, place.as_ptr(), kind, flags, std::ptr::null()) }).map(drop)
}

fn text(path: &Path) -> io::Result<CString> {
    Ok(CString::new(OsStr::as_bytes(path.as_os_str()))?)
}
