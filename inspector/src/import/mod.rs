//! Events out of files that are no traces: pcap, pcapng and NDJSON, also packed with gzip, zstd or LZ4.
//!
//! [`import`] finds out what a file is, by its first bytes, and hands on one event after the
//! other. A packet becomes a data frame given to the plugin `capture`; its header has `time` (ns
//! since the Unix epoch, unless the file has none), `src` and `dst` (addresses), `src-port` and `dst-port`, `protocol`
//! (`tcp`, `udp`, `icmp`, …), `length` (bytes on the wire), `captured` (bytes in the file) and
//! `link` (e.g. `ETHERNET`), as far as the packet has them. Its payload is what TCP or UDP carry,
//! otherwise the whole packet. Counts, times, lengths and bytes are those that Wireshark shows; where
//! it gives up at the first damage, the packets behind that are found again.
//!
//! ```no_run
//! use glovebox_inspector::import::{ImportError, import};
//! use glovebox_inspector::trace::TraceWriter;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut writer = TraceWriter::create("capture.mcap", "0.1.0")?;
//! let report = import("capture.pcap", |event| {
//!     writer.write(&event).map_err(Box::<dyn std::error::Error>::from)
//! })?;
//! writer.finish()?;
//! println!("{} packets", report.events);
//! # Ok(())
//! # }
//! ```
//!
//! This module deliberately does not put TCP streams together: a packet is a frame.

mod capture;
mod foreign;
mod input;
mod ndjson;
mod packet;
mod pcap;
mod pcapng;

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use glovebox_events::Event;
use serde::Serialize;

pub use capture::Damage;
pub use foreign::{Foreign, foreign};
use input::Input;

/// Id of the plugin to which packets of a capture are addressed.
pub const CAPTURE_PLUGIN: &str = "capture";

/// A format that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The classic format of libpcap.
    Pcap,
    /// Its successor.
    PcapNg,
    /// One JSON object per line, as [`export`](crate::export) writes them.
    Ndjson,
}

impl Format {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Pcap => "pcap",
            Format::PcapNg => "pcapng",
            Format::Ndjson => "NDJSON",
        }
    }

    fn sniff(start: &[u8]) -> Option<Format> {
        match start {
            _ if pcap::MAGICS.iter().any(|magic| start.starts_with(magic)) => Some(Format::Pcap),
            [0x0A, 0x0D, 0x0D, 0x0A, ..] => Some(Format::PcapNg),
            _ => {
                let text = start.strip_prefix(ndjson::BYTE_ORDER_MARK).unwrap_or(start);
                text.trim_ascii_start().starts_with(b"{").then_some(Format::Ndjson)
            }
        }
    }
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
    /// The file is of no format that can be imported.
    #[error("not a capture: {}; {}: {}", found.name, found.remedy, path.display())]
    UnknownFormat {
        /// What it is instead, and what can be done.
        found: Foreign,
        /// The file.
        path: PathBuf,
    },
    /// Not even the start of the file can be read.
    #[error("damaged {} file: {reason}: {}", format.name(), path.display())]
    Damaged {
        /// What the file is.
        format: Format,
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A line is no event.
    #[error("line {line} is no event: {reason}: {}", path.display())]
    Line {
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// What the file is.
    pub format: Format,
    /// Packets or lines handed on.
    pub events: u64,
    /// Why the rest of the file could not be read, if so.
    pub cut_short: Option<String>,
    /// What could not be read in between.
    pub damaged: Damage,
    /// Blocks that are no packets, and that Wireshark lists beside them: entries of the journal of
    /// systemd, and what programs keep there for themselves.
    pub left_out: u64,
    /// Packets whose time is before 1970 or after 2554: the event has the nearest time that there is,
    /// the header `time` has the right one.
    pub times_moved: u64,
}

impl ImportReport {
    fn new(format: Format) -> ImportReport {
        let (damaged, cut_short) = (Damage::default(), None);
        ImportReport { format, events: 0, cut_short, damaged, left_out: 0, times_moved: 0 }
    }

    /// True if the file had more than was read.
    pub fn is_incomplete(&self) -> bool {
        self.cut_short.is_some() || self.damaged.parts > 0
    }
}

/// Reads a file and hands every packet or line to `each` as an event. The path `-` is standard input.
///
/// A capture that ends in the middle of a packet is read up to there, and what is damaged in between
/// is left out; the report says both.
///
/// # Errors
///
/// If the file cannot be opened, is of no known format, a line is no event, or `each` fails.
pub fn import<E: From<ImportError>>(
    path: impl AsRef<Path>,
    mut each: impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let path = path.as_ref();
    let failed = |source| ImportError::Io { source, path: path.to_owned() };
    let mut input = Input::open(path).map_err(failed)?;
    if input.first(foreign::START_LEN).is_empty()
        && let Some(trouble) = input.trouble()
    {
        return Err(failed(io::Error::other(trouble)).into());
    }
    let start = input.first(foreign::START_LEN);
    match Format::sniff(start) {
        Some(Format::Pcap) => pcap::read(path, input, &mut each),
        Some(Format::PcapNg) => pcapng::read(path, input, &mut each),
        Some(Format::Ndjson) => ndjson::read(path, BufReader::new(input), &mut each),
        None => {
            let found = foreign(start);
            Err(ImportError::UnknownFormat { found, path: path.to_owned() }.into())
        }
    }
}

#[cfg(test)]
mod tests;
