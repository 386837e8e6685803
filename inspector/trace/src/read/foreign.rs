//! Refuses files that are no traces, by their names, with what to do with them.

use std::path::PathBuf;

use glovebox_files::{FileKind, Way};

use crate::TraceError;
use crate::format::{MAGIC, other_program};

/// The error for a file that starts so.
pub(super) fn not_a_trace(start: &[u8], path: PathBuf) -> TraceError {
    let kind = FileKind::of(start);
    let (found, remedy) = match kind {
        FileKind::Empty => (kind.name(), "record or import one".to_owned()),
        _ if MAGIC.starts_with(start) => ("cut off at once", "record it again".to_owned()),
        kind => (kind.name(), remedy(kind)),
    };
    TraceError::NotATrace { found: found.to_owned(), remedy, path }
}

/// The error for an MCAP file of this profile, which is not ours.
pub(super) fn of_another_program(profile: &str, path: PathBuf) -> TraceError {
    let found = other_program(profile);
    TraceError::NotATrace { found, remedy: remedy(FileKind::OtherMcap), path }
}

fn remedy(kind: FileKind) -> String {
    match kind.way() {
        Way::Import => "import it with `glovebox trace import`".to_owned(),
        Way::Plugin => "plugins are no traces: give it to `glovebox inspect`".to_owned(),
        Way::Unpack(how) if matches!(kind, FileKind::Gzip | FileKind::Zstd | FileKind::Lz4) => {
            format!("{how}; a capture can be imported as it is")
        }
        Way::Unpack(how) | Way::First(how) => how.to_owned(),
        Way::Trace | Way::Other => "give a .mcap file".to_owned(),
    }
}
