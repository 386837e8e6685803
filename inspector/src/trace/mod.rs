//! Trace files: a recorded sequence of [`Event`](glovebox_events::Event)s that survives the death
//! of its writer.
//!
//! [`Recorder`] is the sink that writes while plugins run, [`TraceWriter`] its synchronous core,
//! [`TraceReader`] yields the events again. [`info`], [`check`],
//! [`recover`] and `select` are the verbs of the command line.
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
//! LZ4, hold at most 256 KiB before compression unless a single frame is larger, and carry a CRC;
//! the LZ4 frames therefore have no checksums of their own. Files of other tools may have them, and
//! may be compressed with zstd or not at all.
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
//! event's. `{"gap":{"lost":n,"cause":"disk-full"}}` instead of an event says that `n` events were not
//! recorded there, and why ([`GapCause`]).
//!
//! Metadata `glovebox` holds `format`, `app` and `segment`, which counts the files of a recording
//! from 1; metadata `plugin` holds `id`, `version`, `digest` and `binding`; metadata `parent` holds
//! `path` and `how` of the trace this one was made from, if it was; the attachment `<id>/plugin.toml`
//! holds a manifest. The attachment `<id>/snapshot` holds what an instance held between two calls, for
//! replays that start in the middle: a CBOR map of `at`, `instance`, `generation`, `after` (the last
//! call that was over, or null), `states` (of each copy, null or an array of version and bytes) and
//! `store` (keys and bytes). Readers that know nothing of it pass over it, and its position in the
//! file means nothing. After each chunk, metadata `tally` says how many events of each kind there
//! should be up to there, so that what a damaged chunk held can be counted. The last metadata of a
//! finished file, `totals`, says the same of all events, and also how many calls did not complete
//! (`not-completed`), how many events were `lost`, and how many `snapshots` there are; before it,
//! `plugin` says what plugins became that were loaded meanwhile.
//!
//! A file is named `….mcap.partial` until it is finished, and locked while it is written. Chunks
//! are written whole, so after a `kill -9` everything up to the last flush is there; only the
//! summary is missing, and nothing needs it. The next files of a recording are called
//! `….002.mcap`, `….003.mcap`: each is a whole trace.
//!
//! This module deliberately does not map files into memory (a file that shrinks would kill the
//! process) and does not seek by time: it streams.

#[cfg(feature = "analysis")]
mod anonymize;
mod chunk;
mod container;
mod encoder;
mod error;
#[cfg(feature = "analysis")]
mod find;
pub(crate) mod framing;
#[cfg(feature = "analysis")]
mod generate;
#[cfg(feature = "analysis")]
mod glance;
#[cfg(feature = "analysis")]
pub mod index;
mod info;
#[cfg(feature = "analysis")]
mod merge;
mod reader;
mod recorder;
mod recording;
#[cfg(feature = "analysis")]
mod redaction;
mod repair;
mod ring;
#[cfg(feature = "analysis")]
mod row_set;
#[cfg(test)]
pub(crate) mod sample;
mod segments;
#[cfg(feature = "analysis")]
mod select;
mod snapshot;
#[cfg(feature = "analysis")]
mod span;
#[cfg(feature = "analysis")]
mod split;
mod storage;
mod syncer;
mod tally;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_reading;
#[cfg(feature = "analysis")]
mod windows;
pub(crate) mod wire;
mod writer;

#[cfg(feature = "analysis")]
pub use anonymize::{AnonymizeReport, Redacted, anonymize};
pub use error::TraceError;
#[cfg(feature = "analysis")]
pub use find::{Hit, find};
#[cfg(feature = "analysis")]
pub use generate::MadeUpRun;
#[cfg(feature = "analysis")]
pub(crate) use glance::End;
#[cfg(feature = "analysis")]
pub use index::{TraceIndex, TraceOutline};
pub use info::{TraceInfo, info};
#[cfg(feature = "analysis")]
pub use merge::{MergeReport, merge};
pub use reader::{TraceReader, WholeTrace, read};
pub use recorder::{Recorder, RecorderOptions, RecorderStatus};
#[cfg(feature = "analysis")]
pub use redaction::{Redaction, RedactionError};
pub use repair::{CheckReport, Problem, RecoverReport, check, recover};
pub use ring::Pressure;
#[cfg(feature = "analysis")]
pub use row_set::RowSet;
pub use segments::SegmentLimits;
#[cfg(feature = "analysis")]
pub use select::{SelectReport, select};
#[cfg(feature = "analysis")]
pub use snapshot::each_snapshot;
#[cfg(feature = "analysis")]
pub use split::{Part, PartLimit, SplitReport, split};
pub use tally::Tally;
#[cfg(feature = "analysis")]
pub use windows::{CallWindow, FrameWindows, Window};
pub use wire::GapCause;
pub use writer::{Destination, ParentRecord, PluginRecord, Replacing, TraceWriter};

/// The format this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Profile of the file, and name of the metadata record about it.
const PROFILE: &str = "glovebox";
/// Name of the metadata record about the trace this one was made from.
const PARENT: &str = "parent";
/// Name of the metadata records that say how many events there should be up to there.
const TALLY: &str = "tally";
/// Name of the metadata record at the end of a finished file about all of it.
const TOTALS: &str = "totals";
const EVENTS_TOPIC: &str = "/workbench/events";
/// Fixed, so that a chunk can be read when the one that announces the channels is lost.
const EVENTS_CHANNEL: u16 = 0;

/// Writes a path as text. What is no UTF-8 in it is replaced, as it is for people.
fn shown<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
