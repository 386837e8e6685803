//! Messages of the operating system about changes in folders.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, DataChange, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::Mailbox;
use crate::guard::caught;

/// Paths that are kept; of more, nothing but that everything is to be looked at.
const MAX_TOUCHED: usize = 4096;

/// Tells of changes in folders, if the system lets it.
pub(super) trait Messages: Send {
    /// Tells of what happens in a folder, not in the folders inside.
    fn begin(&mut self, folder: &Path) -> Result<(), Unwatched>;
    /// Tells of it no more.
    fn end(&mut self, folder: &Path);
}

/// Why a folder cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwatched {
    /// It may not be read, or is gone already.
    Closed,
    /// The system has a limit, or none of these messages.
    Refused(String),
}

/// An event at a path, or several.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Touch {
    /// True if what was there may have gone: it was moved or removed.
    pub(super) moved: bool,
    /// Whether its last writer has it open still, if anybody wrote.
    pub(super) open: Option<bool>,
}

/// The messages that nobody looked at yet.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The names that matter, in any of the folders.
    pub(super) names: BTreeSet<OsString>,
    /// The folders, which may be moved or removed themselves.
    pub(super) folders: BTreeSet<PathBuf>,
    pub(super) touched: BTreeMap<PathBuf, Touch>,
    /// True if messages were lost, so that anything may have changed.
    pub(super) lost: bool,
}

impl Heard {
    /// True if there is something to look at.
    pub(super) fn is_any(&self) -> bool {
        self.lost || !self.touched.is_empty()
    }

    fn hear(&mut self, event: Event) {
        if event.need_rescan() {
            self.lost = true;
            return;
        }
        let (moved, open) = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => (false, Some(false)),
            EventKind::Access(_) => return,
            // Other systems do not tell when a file is closed.
            EventKind::Modify(ModifyKind::Data(DataChange::Any)) if cfg!(target_os = "linux") => {
                (false, Some(true))
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => (true, Some(false)),
            _ => (false, None),
        };
        for path in event.paths {
            let matters = path.file_name().is_some_and(|name| self.names.contains(name))
                || self.folders.contains(&path);
            if !matters {
                continue;
            }
            if self.touched.len() >= MAX_TOUCHED {
                self.lost = true;
                return;
            }
            let touch = self.touched.entry(path).or_default();
            touch.moved |= moved;
            touch.open = open.or(touch.open);
        }
    }
}

/// The messages of this system.
pub(super) struct System(RecommendedWatcher);

impl System {
    /// Tells the thread behind `shared`.
    pub(super) fn new(shared: Arc<Mailbox>) -> Result<System, Unwatched> {
        let handler = move |result: notify::Result<Event>| {
            let mut inbox = shared.inbox.lock();
            match result {
                Ok(event) => inbox.heard.hear(event),
                Err(error) => {
                    tracing::warn!(%error, "watching files");
                    inbox.heard.lost = true;
                }
            }
            if inbox.heard.is_any() {
                shared.woken.notify_one();
            }
        };
        match caught(|| notify::recommended_watcher(handler)) {
            Ok(Ok(watcher)) => Ok(System(watcher)),
            Ok(Err(error)) => Err(error.into()),
            Err(reason) => Err(Unwatched::Refused(reason)),
        }
    }
}

impl Messages for System {
    fn begin(&mut self, folder: &Path) -> Result<(), Unwatched> {
        // It panics if its thread could not be started.
        caught(|| self.0.watch(folder, RecursiveMode::NonRecursive))
            .map_err(Unwatched::Refused)?
            .map_err(Unwatched::from)
    }

    fn end(&mut self, folder: &Path) {
        // A folder that was removed is watched no more already.
        let _ = caught(|| self.0.unwatch(folder));
    }
}

impl From<notify::Error> for Unwatched {
    fn from(error: notify::Error) -> Unwatched {
        use std::io::ErrorKind::{NotFound, PermissionDenied};
        match &error.kind {
            notify::ErrorKind::PathNotFound => Unwatched::Closed,
            notify::ErrorKind::Io(reason)
                if matches!(reason.kind(), NotFound | PermissionDenied) =>
            {
                Unwatched::Closed
            }
            notify::ErrorKind::Io(reason) => Unwatched::Refused(reason.to_string()),
            notify::ErrorKind::MaxFilesWatch => {
                Unwatched::Refused("the limit on watches is reached".to_owned())
            }
            _ => Unwatched::Refused(error.to_string()),
        }
    }
}

/// True if a folder lies on a file system that other machines change too, of which the system sends
/// no messages.
#[cfg(target_os = "linux")]
pub(super) fn is_remote(folder: &Path) -> bool {
    // The numbers of `statfs(2)` for NFS, SMB, CIFS, SMB2, 9P, AFS, Ceph, Coda, FUSE and VirtualBox.
    const REMOTE: [u32; 10] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x0102_1997,
        0x5346_414f,
        0x00c3_6400,
        0x7375_7245,
        0x6573_5546,
        0x786f_4256,
    ];
    // The low half alone: the type is signed on some machines.
    rustix::fs::statfs(folder).is_ok_and(|about| REMOTE.contains(&(about.f_type as u32)))
}

/// Not known on this system, whose own messages have to do.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_remote(_: &Path) -> bool {
    false
}
