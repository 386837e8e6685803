//! The limit of the files that a plugin writes: the same as in a process of its own, where the system
//! holds it.

use std::fs::File;
use std::io;
use std::sync::Arc;

/// A use by which a file may grow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Growth {
    /// Bytes that are written at a place; `None` is the place where the last write ended.
    Write(Option<u64>, u64),
    /// Another size.
    Size(u64),
}

impl Growth {
    /// True if the file would become larger than `limit`. `at` is the place where the last write ended,
    /// and `end` the size of the file.
    pub(super) fn is_beyond(self, limit: u64, at: u64, end: u64) -> bool {
        match self {
            Growth::Write(place, length) => {
                length > 0 && place.unwrap_or(at).saturating_add(length) > limit
            }
            Growth::Size(size) => size > limit && size > end,
        }
    }
}

/// A file that is written through a stream.
pub(super) struct Written {
    pub(super) file: Arc<File>,
    /// As the plugin knows it.
    pub(super) name: String,
    /// Where the next bytes go; `None` is the end of the file.
    pub(super) at: Option<u64>,
}

/// The size of a file; 0 if the system does not tell.
pub(super) fn end_of(file: &File) -> u64 {
    file.metadata().map_or(0, |about| about.len())
}

/// The error that a plugin gets.
pub(super) fn too_large() -> io::Error {
    #[cfg(unix)]
    return rustix::io::Errno::FBIG.into();
    #[cfg(not(unix))]
    io::ErrorKind::FileTooLarge.into()
}
