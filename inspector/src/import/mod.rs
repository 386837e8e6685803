//! Events out of files that are no traces: pcap, pcapng and NDJSON.
//!
//! [`import`] finds out what a file is, by its first bytes, and hands on one event after the
//! other. A packet becomes a data frame given to the plugin `capture`; its header has `time` (ns
//! since the Unix epoch), `src` and `dst` (addresses), `src-port` and `dst-port`, `protocol`
//! (`tcp`, `udp`, `icmp`, …), `length` (bytes on the wire), `captured` (bytes in the file) and
//! `link` (e.g. `ETHERNET`), as far as the packet has them. Its payload is what TCP or UDP carry,
//! otherwise the whole packet.
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
mod ndjson;
mod packet;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use glovebox_events::Event;
use serde::Serialize;

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
            [0xD4, 0xC3, 0xB2, 0xA1, ..]
            | [0xA1, 0xB2, 0xC3, 0xD4, ..]
            | [0x4D, 0x3C, 0xB2, 0xA1, ..]
            | [0xA1, 0xB2, 0x3C, 0x4D, ..] => Some(Format::Pcap),
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
    #[error("not a capture: {found}; give a pcap, pcapng or NDJSON file: {}", path.display())]
    UnknownFormat {
        /// What it is instead.
        found: &'static str,
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
}

/// Reads a file and hands every packet or line to `each` as an event.
///
/// A capture that ends in the middle of a packet is read up to there, and the report says so.
///
/// # Errors
///
/// If the file cannot be opened, is of no known format, a line is no event, or `each` fails.
pub fn import<E: From<ImportError>>(
    path: impl AsRef<Path>,
    mut each: impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let path = path.as_ref();
    let (format, file) = open(path)?;
    match format {
        Format::Pcap => capture::pcap(path, file, &mut each),
        Format::PcapNg => capture::pcapng(path, file, &mut each),
        Format::Ndjson => ndjson::read(path, file, &mut each),
    }
}

fn open(path: &Path) -> Result<(Format, BufReader<File>), ImportError> {
    let failed = |source| ImportError::Io { source, path: path.to_owned() };
    let mut file = File::open(path).map_err(failed)?;
    let mut start = Vec::new();
    (&mut file).take(64).read_to_end(&mut start).map_err(failed)?;
    file.rewind().map_err(failed)?;
    match Format::sniff(&start) {
        Some(format) => Ok((format, BufReader::new(file))),
        None => Err(ImportError::UnknownFormat {
            found: match &start[..] {
                [] => "an empty file",
                start if start.starts_with(mcap::MAGIC) => "an MCAP file, which needs no import",
                _ => "an unknown format",
            },
            path: path.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
