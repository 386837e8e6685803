//! Imports events from files that are no traces: pcap, pcapng, NDJSON, JSON lists and HAR files, also
//! packed with gzip, zstd or LZ4.
//!
//! [`import`] finds out what a file is, by its first bytes, and hands on one event after the
//! other. A packet becomes a data frame given to the plugin `capture`; its header has `time` (ns
//! since the Unix epoch, unless the file has none), `src` and `dst` (addresses), `src-port` and `dst-port`, `protocol`
//! (`tcp`, `udp`, `icmp`, …), `length` (bytes on the wire), `captured` (bytes in the file) and
//! `link` (e.g. `ETHERNET`), as far as the packet has them. Its payload is what TCP or UDP carry,
//! otherwise the whole packet. A packet in a tunnel has `tunnel` (`gre`, `ip-in-ip`, `ipv6-in-ip`,
//! `vxlan`) and the addresses around it as `outer-src` and `outer-dst`; a part of an IP packet has
//! `fragment` (where it begins, in bytes) and `fragment-id`, and its ports if it is the first part. Counts, times, lengths and bytes are those that Wireshark shows; where
//! it gives up at the first damage, the packets behind that are found again.
//!
//! An entry of a HAR file becomes a data frame with the entry as its payload, at the time of its
//! `startedDateTime`.
//!
//! ```no_run
//! use glovebox_inspector::import::{ImportError, import};
//! use glovebox_trace::TraceWriter;
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
//! This module deliberately does not put TCP streams or fragments together: a packet is a frame.

mod capture;
mod document;
mod foreign;
mod input;
mod layers;
mod ndjson;
mod numbers;
mod packet;
mod pcap;
mod pcapng;
mod wireless;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use glovebox_events::Event;
use glovebox_files::FileKind;
use glovebox_trace::{PluginRecord, PluginsSeen};
use serde::Serialize;

pub use capture::{Damage, WithoutAddresses};
pub use foreign::{Foreign, foreign};
use input::Input;

/// Id of the plugin to which packets of a capture are addressed.
pub const CAPTURE_PLUGIN: &str = "capture";

/// A format that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// The classic format of libpcap.
    Pcap,
    /// Its successor.
    PcapNg,
    /// One JSON object per line, as [`export`](crate::export) writes them.
    Ndjson,
    /// One JSON document with many frames: a list, or a HAR file.
    Json,
}

impl Format {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Pcap => "pcap",
            Format::PcapNg => "pcapng",
            Format::Ndjson => "NDJSON",
            Format::Json => "JSON",
        }
    }

    fn sniff(start: &[u8]) -> Option<Format> {
        match FileKind::of(start) {
            FileKind::Pcap => Some(Format::Pcap),
            FileKind::PcapNg => Some(Format::PcapNg),
            FileKind::JsonList | FileKind::Har => Some(Format::Json),
            FileKind::JsonObject | FileKind::OtherJsonLines => None,
            // A text that begins so is read line by line, so that an error names the line.
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
        /// The reason.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file is of no format that can be imported.
    #[error("not a capture: {}; {}: {}", found.name, found.remedy, path.display())]
    UnknownFormat {
        /// The kind of file that it is, and the way to use it.
        found: Foreign,
        /// The file.
        path: PathBuf,
    },
    /// Not even the start of the file can be read.
    #[error("damaged {} file: {reason}: {}", format.name(), path.display())]
    Damaged {
        /// The format of the file.
        format: Format,
        /// The damage.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A line is no event.
    #[error("line {line} is no event: {reason}: {}", path.display())]
    Line {
        /// Line, from 1.
        line: u64,
        /// The error.
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
}

/// The report of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// The format of the file.
    pub format: Format,
    /// Packets or lines handed on.
    pub events: u64,
    /// Why the rest of the file could not be read, if so.
    pub cut_short: Option<String>,
    /// The damage in between.
    pub damaged: Damage,
    /// Blocks that are no packets, and that Wireshark lists beside them: entries of the journal of
    /// systemd, and what programs keep there for themselves.
    pub left_out: u64,
    /// Packets or entries whose time is before 1970 or after 2554: the event has the nearest time that there is,
    /// the header `time` has the right one.
    pub times_moved: u64,
    /// Packets of which no IP addresses are known, or only those around a tunnel.
    pub without_addresses: WithoutAddresses,
    /// The first version that the file says to have and that its format does not: it is read as the last
    /// that is known.
    pub unknown_version: Option<String>,
    /// Packets of UDP with a length that is less than their header has: all that is behind it is payload.
    pub wrong_lengths: u64,
    /// Parts of IP packets behind the first, which is the only one that has the ports.
    pub later_fragments: u64,
    /// Lines or entries of a HAR file without a time, in a file that has times: their events have the time
    /// of the one before, or of the first.
    pub without_time: u64,
    /// Entries of a HAR file with a time that cannot be read: their events, too.
    pub unread_times: u64,
    /// The first of these times, as it is written.
    pub first_unread_time: Option<String>,
    /// Calls that have a new number, because another call has it, or because it begins a second time.
    pub renumbered_calls: u64,
    /// Lines with a text such as `hex:00` in a header or host call, which stays a text: bytes stand in
    /// `header_hex` and `host_call_hex`.
    pub texts_like_bytes: u64,
    /// The plugins that events are about, as far as these tell; for the trace, see
    /// [`TraceWriter::describe_plugin`](glovebox_trace::TraceWriter::describe_plugin).
    #[serde(skip)]
    pub plugins: Vec<PluginRecord>,
}

impl ImportReport {
    fn new(format: Format) -> ImportReport {
        ImportReport {
            format,
            events: 0,
            cut_short: None,
            damaged: Damage::default(),
            left_out: 0,
            times_moved: 0,
            without_addresses: WithoutAddresses::default(),
            unknown_version: None,
            wrong_lengths: 0,
            later_fragments: 0,
            without_time: 0,
            unread_times: 0,
            first_unread_time: None,
            renumbered_calls: 0,
            texts_like_bytes: 0,
            plugins: Vec::new(),
        }
    }

    /// True if the file had more than was read.
    pub fn is_incomplete(&self) -> bool {
        self.cut_short.is_some() || self.damaged.parts > 0
    }
}

/// Reads a file and hands every packet or line to `each` as an event. The path `-` is standard input.
///
/// A file of which the end is missing or cannot be read is read up to there, and what is damaged in
/// between is left out; the report says both.
///
/// # Errors
///
/// If the file cannot be opened, is of no known format, a line is no event, or `each` fails.
pub fn import<E: From<ImportError>>(
    path: impl AsRef<Path>,
    each: impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let path = path.as_ref();
    let opened = match path == Path::new("-") {
        true => Ok(Box::new(io::stdin()) as Box<dyn Read>),
        false => {
            glovebox_files::open(path, u64::MAX).map(|(file, _)| Box::new(file) as Box<dyn Read>)
        }
    };
    let reader = opened.map_err(|source| ImportError::Io { source, path: path.to_owned() })?;
    import_from(path, reader, each)
}

/// As [`import`], from something else than a file; `path` is its name for errors.
///
/// # Errors
///
/// Those of [`import`].
pub fn import_from<E: From<ImportError>>(
    path: impl AsRef<Path>,
    reader: impl Read,
    mut each: impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let path = path.as_ref();
    let failed = |source| ImportError::Io { source, path: path.to_owned() };
    let mut input = Input::of(Box::new(reader)).map_err(failed)?;
    if input.first(foreign::START_LEN).is_empty()
        && let Some(trouble) = input.trouble()
    {
        return Err(failed(io::Error::new(trouble.kind(), trouble.to_string())).into());
    }
    let (is_packed, is_stdin) = (input.is_packed(), path == Path::new("-"));
    let start = input.first(foreign::START_LEN);
    let mut seen = PluginsSeen::default();
    let mut each = |event: Event| {
        seen.take_in(&event);
        each(event)
    };
    let imported = match Format::sniff(start) {
        Some(Format::Pcap) => pcap::read(path, input, &mut each),
        Some(Format::PcapNg) => pcapng::read(path, input, &mut each),
        Some(Format::Ndjson) => ndjson::read(path, BufReader::new(input), &mut each),
        Some(Format::Json) => document::read(path, input, &mut each),
        None => {
            let mut found = foreign(start, is_packed);
            // The other verbs do not read standard input.
            if is_stdin && FileKind::of(start) == FileKind::Trace {
                found.remedy =
                    "it needs no import: save it in a file, and give that to the other verbs";
            }
            Err(ImportError::UnknownFormat { found, path: path.to_owned() }.into())
        }
    };
    imported.map(|report: ImportReport| ImportReport {
        plugins: seen.finish(&report.plugins),
        ..report
    })
}

#[cfg(test)]
mod tests;
