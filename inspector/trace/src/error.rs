use std::io;
use std::path::{Path, PathBuf};

/// Why a trace cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The operating system refused.
    #[error("cannot {action}: {source}: {}", path.display())]
    Io {
        /// The failed action, e.g. `read`.
        action: &'static str,
        /// The reason.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file to write is there already, or is being written by somebody else.
    #[error("will not overwrite; choose another name, or add --force: {}", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// A writer that did not finish left the file.
    #[error("a recording that did not finish left this file; choose another name, add --force to replace it, or make a trace of it with `glovebox trace recover`: {}", path.display())]
    Unfinished {
        /// The `.partial` that is there.
        path: PathBuf,
    },
    /// The file to write is read or written otherwise by the same command.
    #[error("the same command reads or writes it already; choose another name: {}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another writer holds the file.
    #[error("somebody is writing it now; choose another name or wait: {}", path.display())]
    Held {
        /// The file that is being written.
        path: PathBuf,
    },
    /// The file was removed or shortened while it was written.
    #[error(
        "somebody removed or shortened the file while it was written; choose a place where nobody else writes: {}",
        path.display()
    )]
    Removed {
        /// Where the file was.
        path: PathBuf,
    },
    /// The disk did not confirm what was written.
    #[error("cannot sync, so a loss of power would take the end: {source}: {}", path.display())]
    NotSynced {
        /// The reason.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("not a Glovebox trace: {found}; {remedy}: {}", path.display())]
    NotATrace {
        /// The kind of file that it is.
        found: String,
        /// The remedy.
        remedy: String,
        /// The file.
        path: PathBuf,
    },
    /// A later version of Glovebox wrote the file.
    #[error(
        "trace has format {found}, this version reads up to {supported}; needs version {needs}: {}",
        path.display()
    )]
    NewerFormat {
        /// Format of the file.
        found: u32,
        /// [`FORMAT_VERSION`](crate::FORMAT_VERSION).
        supported: u32,
        /// A version of Glovebox that reads it, as far as the file says.
        needs: String,
        /// The file.
        path: PathBuf,
    },
    /// Some bytes in the middle are bad; reading goes on after them.
    #[error(
        "{lost} bytes at offset {offset} are damaged ({reason}); `glovebox trace recover` keeps the rest: {}",
        path.display()
    )]
    Damaged {
        /// Where the damage starts, in bytes from the start of the file.
        offset: u64,
        /// How many bytes of the file cannot be used.
        lost: u64,
        /// The damage.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The file ends before its end mark: it is still being written, or its writer died.
    #[error(
        "trace is cut short at offset {offset}: the last {lost} bytes are incomplete; `glovebox trace recover` closes it: {}",
        path.display()
    )]
    CutShort {
        /// End of the last complete record, in bytes from the start of the file.
        offset: u64,
        /// How many bytes follow it.
        lost: u64,
        /// The file.
        path: PathBuf,
    },
    /// The trace is a failure bundle that was made without payloads.
    #[error(
        "the frames are not in this failure bundle, only their lengths and digests; make one of the \
         recording with `glovebox trace bundle --payloads`: {}",
        path.display()
    )]
    Redacted {
        /// The file.
        path: PathBuf,
    },
    /// An event does not fit into the format.
    #[error("cannot encode event {sequence}: {reason}: {}", path.display())]
    Encode {
        /// Sequence number of the event.
        sequence: u64,
        /// The reason.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The summary or an index does not agree with the frames: it was wrong, or the file was
    /// changed since.
    #[error("the summary is wrong about offset {offset}, or the trace was changed since ({reason}); open it again: {}", path.display())]
    SummaryWrong {
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// The contradiction.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// Somebody asked to stop reading.
    #[error("reading was cancelled: {}", path.display())]
    Cancelled {
        /// The file.
        path: PathBuf,
    },
    /// The thread that writes the file could not be started or has ended.
    #[error("the recorder has stopped: {reason}: {}", path.display())]
    RecorderStopped {
        /// The reason.
        reason: String,
        /// The file.
        path: PathBuf,
    },
}

impl TraceError {
    pub(crate) fn io(action: &'static str, source: io::Error, path: &Path) -> TraceError {
        let path = path.to_owned();
        TraceError::Io { action, source, path }
    }

    /// True if part of the trace was lost but the iteration goes on, or ended where the file does.
    pub fn is_damage(&self) -> bool {
        matches!(self, TraceError::Damaged { .. } | TraceError::CutShort { .. })
    }

    /// The file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            TraceError::Io { path, .. }
            | TraceError::Exists { path, .. }
            | TraceError::Unfinished { path, .. }
            | TraceError::InUse { path, .. }
            | TraceError::Held { path, .. }
            | TraceError::Removed { path, .. }
            | TraceError::NotSynced { path, .. }
            | TraceError::NotATrace { path, .. }
            | TraceError::NewerFormat { path, .. }
            | TraceError::Damaged { path, .. }
            | TraceError::CutShort { path, .. }
            | TraceError::Encode { path, .. }
            | TraceError::Redacted { path }
            | TraceError::SummaryWrong { path, .. }
            | TraceError::Cancelled { path, .. }
            | TraceError::RecorderStopped { path, .. } => path,
        }
    }
}
