//! Events out of files that are no traces: pcap, pcapng, NDJSON.
use glovebox_events::Event;
use std::io;
use std::path::{Path, PathBuf};

/// Id of the plugin to which packets of a capture are addressed.
pub const CAPTURE_PLUGIN: &str = "capture";

/// A format that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The classic format of libpcap.
    Pcap,
    /// Its successor.
    PcapNg,
    /// One JSON object per line, as [`export`](crate::export) writes them.
    Ndjson,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system refused.
    #[error("cannot read: {source}: {}", path.display())]
    Io {
        /// Why.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// What the file is.
    pub format: Format,
    /// Packets or lines read.
    pub events: u64,
    /// Why the rest of the file could not be read, if so.
    pub cut_short: Option<String>,
}

/// Reads a file and hands every packet or line to `each` as an event.
///
/// # Errors
///
/// If the file cannot be opened, is of no known format, or `each` fails.
pub fn import<E: From<ImportError>>(
    path: impl AsRef<Path>,
    each: impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    todo!()
}
