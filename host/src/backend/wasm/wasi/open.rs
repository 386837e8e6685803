//! Opening files and folders below a granted folder. The library's own way would wait, on a thread
//! that nobody can stop, for somebody at the other end of a named pipe.

use std::io;
use std::path::Path;

use cap_fs_ext::{OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_primitives::fs::{FollowSymlinks, Metadata, OpenOptions, stat};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::{OpenMode, runtime};

use super::descriptors::are_scarce;

/// How something is to be opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) path: PathFlags,
    pub(super) open: OpenFlags,
    pub(super) flags: DescriptorFlags,
}

impl How {
    /// True if something may be made or changed.
    pub(super) fn changes(self) -> bool {
        let changes = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::EXCLUSIVE;
        self.open.intersects(changes) || self.flags.contains(DescriptorFlags::WRITE)
    }

    fn mode(self) -> OpenMode {
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::READ, self.reads());
        mode.set(OpenMode::WRITE, self.writes());
        mode
    }

    fn writes(self) -> bool {
        self.open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE)
            || self.flags.contains(DescriptorFlags::WRITE)
    }

    /// A file that is not opened for writing is opened for reading, so that it can be opened at
    /// all.
    fn reads(self) -> bool {
        self.flags.contains(DescriptorFlags::READ) || !self.flags.contains(DescriptorFlags::WRITE)
    }

    fn follow(self) -> FollowSymlinks {
        FollowSymlinks::follow(self.path.contains(PathFlags::SYMLINK_FOLLOW))
    }

    fn options(self) -> OpenOptions {
        let creates = self.open.contains(OpenFlags::CREATE);
        let exclusive = self.open.contains(OpenFlags::EXCLUSIVE);
        let mut options = OpenOptions::new();
        options
            .read(self.reads())
            .write(self.writes())
            .create(creates && !exclusive)
            .create_new(creates && exclusive)
            .truncate(self.open.contains(OpenFlags::TRUNCATE))
            .follow(self.follow())
            // Nothing is waited for: neither for the other end of a pipe nor for a device.
            .nonblock(true);
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt;
            const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
            const FILE_SHARE_READ_AND_WRITE: u32 = 3;
            options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS).share_mode(FILE_SHARE_READ_AND_WRITE);
        }
        options
    }
}

/// Opens a file or folder, and nothing else: not pipes, sockets and devices, which are refused as
/// not permitted.
pub(super) async fn open(dir: &Dir, name: String, how: How) -> FsResult<Descriptor> {
    let synchronous = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if how.flags.intersects(synchronous) {
        return Err(ErrorCode::Unsupported.into());
    }
    let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
    if how.open.contains(OpenFlags::DIRECTORY) && how.open.intersects(makes) {
        return Err(ErrorCode::Invalid.into());
    }
    let (perms, mode) = (dir.perms, how.mode());
    if perms.write_not_permitted() && how.writes() {
        return Err(ErrorCode::NotPermitted.into());
    }
    let from = dir.dir.clone();
    let opened = runtime::spawn_blocking(move || plain(&from, Path::new(&name), how)).await?;
    match opened {
        Opened::Folder(_) if cfg!(windows) && how.flags.contains(DescriptorFlags::WRITE) => {
            Err(ErrorCode::IsDirectory.into())
        }
        Opened::Folder(folder) => Ok(Descriptor::Dir(Dir::new(folder, perms, mode, false))),
        Opened::File(_) if how.open.contains(OpenFlags::DIRECTORY) => {
            Err(ErrorCode::NotDirectory.into())
        }
        Opened::File(file) => Ok(Descriptor::File(File::new(file, perms, mode, false))),
        Opened::Other => Err(ErrorCode::NotPermitted.into()),
        Opened::Nothing => Err(ErrorCode::Quota.into()),
    }
}

enum Opened {
    Folder(std::fs::File),
    File(std::fs::File),
    /// Neither; closed again.
    Other,
    /// The process has few descriptors left, and they are not the plugins'.
    Nothing,
}

fn plain(from: &std::fs::File, name: &Path, how: How) -> io::Result<Opened> {
    if are_scarce() {
        return Ok(Opened::Nothing);
    }
    let is_plain = |found: &Metadata| found.is_file() || found.is_dir() || found.is_symlink();
    // To open a pipe or a device is to do something to it already, so it is looked at first. The
    // opened file counts: the name may be another's by then.
    if stat(from, name, how.follow()).is_ok_and(|found| !is_plain(&found)) {
        return Ok(Opened::Other);
    }
    let opened = cap_primitives::fs::open(from, name, &how.options())?;
    let found = Metadata::from_file(&opened)?;
    Ok(match (found.is_dir(), found.is_file()) {
        (true, _) => Opened::Folder(opened),
        (_, true) => Opened::File(opened),
        _ => Opened::Other,
    })
}

/// Whether a name is that of a link.
pub(super) async fn is_link(dir: &Dir, name: String) -> bool {
    let from = dir.dir.clone();
    let look = move || stat(&from, Path::new(&name), FollowSymlinks::No);
    runtime::spawn_blocking(look).await.is_ok_and(|found| found.is_symlink())
}

/// Why a link is neither made nor renamed: other programs would follow it out of the folder.
pub(super) fn no_links() -> FsError {
    ErrorCode::NotPermitted.into()
}
