//! Trace files: a recorded sequence of [`Event`](glovebox_events::Event)s that survives the death
//! of its writer.
//!
//! [`Recorder`] is the sink that writes while plugins run, [`TraceWriter`] its synchronous core,
//! [`TraceReader`] yields the events again. [`info`], [`check`],
//! [`recover`] and [`select`] are the verbs of the command line.
//!
//! ```no_run
//! use glovebox_inspector::trace::{self, TraceWriter};
//!
//! let whole = trace::read("run.mcap")?;
//! let mut writer = TraceWriter::create("first-ten.mcap", "0.1.0")?;
//! for event in whole.events.iter().take(10) {
//!     writer.write(event)?;
//! }
//! writer.finish()?;
//! # Ok::<(), trace::TraceError>(())
//! ```
//!
//! # Format, version 1
//!
//! An MCAP file (<https://mcap.dev/spec>) of the profile `glovebox`. Chunks are compressed with
//! LZ4, hold at most 256 KiB before compression unless a single frame is larger, and carry a CRC.
//!
//! | channel | message data |
//! |---|---|
//! | `/workbench/events`, always channel 0 | JSON, one object per event, see below |
//! | `/plugin/<id>/in`, `/plugin/<id>/out` | exactly [`Frame::to_bytes`](glovebox_abi::Frame::to_bytes) |
//! | `/plugin/<id>/host` | CBOR map: `service`, `permission`, `arguments`, `result` or `error`, `took` in ns |
//!
//! Every event is one object on `/workbench/events`:
//! `{"event":{"sequence":7,"at":1,"plugin":"redact","instance":0,"generation":1,"what":{"frame-in":{"call":3}}}}`.
//! Times and durations are integers in nanoseconds, except that the deadline inside a `timed-out`
//! outcome is an object of `secs` and `nanos`.
//! If it is a `frame-in`, `frame-out` or `host-call`, the very next message is its body, on the
//! plugin's own channel, and always in the same chunk. So each chunk can be read without the
//! others, and a foreign tool that knows nothing of Glovebox sees plain frames per plugin.
//! `log_time` and `publish_time` are `at`; the message's `sequence` is the low 32 bits of the
//! event's. `{"gap":{"lost":n}}` instead of an event says that `n` events were not recorded.
//!
//! Metadata `glovebox` holds `format` and `app`; metadata `plugin` holds `id`, `version`, `digest`
//! and `binding`; the attachment `<id>/plugin.toml` holds a manifest.
//!
//! A file is named `….mcap.partial` until it is finished. Chunks are written whole, so after a
//! `kill -9` everything up to the last flush is there; only the summary is missing, and nothing
//! needs it.
//!
//! This module deliberately does not map files into memory (a file that shrinks would kill the
//! process) and does not seek by time: it streams.

mod anonymize;
mod chunk;
mod error;
mod find;
mod framing;
mod generate;
mod glance;
pub mod index;
mod info;
mod merge;
mod reader;
mod recorder;
mod repair;
#[cfg(test)]
pub(crate) mod sample;
mod select;
mod span;
mod split;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_reading;
mod windows;
pub(crate) mod wire;
mod writer;

pub use anonymize::{AnonymizeReport, Redacted, Redaction, RedactionError, anonymize};
pub use error::TraceError;
pub use find::{Hit, find};
pub use generate::MadeUpRun;
pub(crate) use glance::End;
pub use index::TraceIndex;
pub use info::{TraceInfo, info};
pub use merge::{MergeReport, merge};
pub use reader::{TraceReader, WholeTrace, read};
pub use recorder::{Recorder, RecorderOptions, RecorderStatus};
pub use repair::{CheckReport, Problem, RecoverReport, check, recover};
pub use select::{SelectReport, select};
pub use split::{Part, PartLimit, SplitReport, split};
pub use windows::{FrameWindows, Window};
pub use writer::{PluginRecord, TraceWriter};

/// The format this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Profile of the file, and name of the metadata record about it.
const PROFILE: &str = "glovebox";
const EVENTS_TOPIC: &str = "/workbench/events";
/// Fixed, so that a chunk can be read when the one that announces the channels is lost.
const EVENTS_CHANNEL: u16 = 0;
