//! Names files that are no traces, and what to do with them.

use std::path::PathBuf;

use crate::TraceError;
use crate::format::MAGIC;

/// The error for a file that starts so.
pub(super) fn not_a_trace(start: &[u8], path: PathBuf) -> TraceError {
    let (found, remedy) = match start {
        [] => ("an empty file", "record or import one"),
        [0xD4, 0xC3, 0xB2, 0xA1, ..]
        | [0xA1, 0xB2, 0xC3, 0xD4, ..]
        | [0x4D, 0x3C, 0xB2, 0xA1, ..]
        | [0xA1, 0xB2, 0x3C, 0x4D, ..]
        | [0x34, 0xCD, 0xB2, 0xA1, ..]
        | [0xA1, 0xB2, 0xCD, 0x34, ..] => ("a pcap capture", "use `glovebox trace import`"),
        [0x0A, 0x0D, 0x0D, 0x0A, ..] => ("a pcapng capture", "use `glovebox trace import`"),
        [0x1F, 0x8B, ..] => (
            "a file packed with gzip",
            "unpack it, and give what is inside; a capture can be imported as it is",
        ),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => (
            "a file packed with zstd",
            "unpack it, and give what is inside; a capture can be imported as it is",
        ),
        [b'P', b'K', ..] => ("a zip archive", "unpack it first"),
        [b'{', ..] => ("JSON", "use `glovebox trace import` for NDJSON"),
        _ if start.starts_with(b"version https://git-lfs.github.com/spec/") => (
            "a pointer of Git LFS, which stands for a file that was not fetched",
            "fetch the file with `git lfs pull`",
        ),
        _ if MAGIC.starts_with(start) => ("cut off at once", "record it again"),
        _ => ("an unknown format", "give a .mcap file"),
    };
    TraceError::NotATrace { found: found.to_owned(), remedy, path }
}
