//! Trace files: a recorded sequence of [`Event`](glovebox_events::Event)s that survives the death
//! of its writer.
//!
//! An application that records needs this crate alone. [`Recorder`] is the sink that writes while
//! plugins run, [`TraceWriter`] its synchronous core, [`TraceReader`] yields the events again, and
//! [`TraceIndex`] says what stands where. An application without plugins records with [`capture`].
//! [`info`], [`check`], [`recover`], [`merge`](merge()) and [`split`](split()) are verbs of the
//! command line. The [`format`](mod@format) is an MCAP file that other tools can open.
//!
//! ```no_run
//! use glovebox_trace::TraceWriter;
//!
//! let whole = glovebox_trace::read("run.mcap")?;
//! let mut writer = TraceWriter::create("first-ten.mcap", "0.1.0")?;
//! for event in whole.events.iter().take(10) {
//!     writer.write(event)?;
//! }
//! writer.finish()?;
//! # Ok::<(), glovebox_trace::TraceError>(())
//! ```
//!
//! This crate deliberately decodes no header and no payload, and has no filter: that is
//! `glovebox-inspector`. It does not map files into memory (a file that shrinks would kill the
//! process) and does not seek by time: it streams.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// Tests share a file with the inspector, which names this crate.
#[cfg(test)]
extern crate self as glovebox_trace;

mod about;
pub mod capture;
mod error;
pub mod format;
mod gaps;
pub mod index;
mod made_up;
mod merge;
mod numbers;
mod placeholder;
mod plugins;
mod read;
mod record;
mod repair;
#[cfg(test)]
mod sample;
mod sets;
mod split;
mod storage;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod versions;
mod write;

pub use about::{
    Attachment, Ends, InstanceRecord, MARK, ParentRecord, PluginRecord, Problem, TraceInfo,
    instance_name,
};
pub use error::TraceError;
pub use format::FORMAT_VERSION;
pub use format::tally::Tally;
pub use format::wire::GapCause;
pub use gaps::Gaps;
pub use index::{TraceIndex, TraceOutline};
pub use made_up::MadeUpRun;
pub use merge::{MergeReport, MissingBetween, merge};
pub use numbers::Numbers;
pub use placeholder::{
    is_placeholder, placeholder, recorded_len, recorded_len_of, refuse_placeholder,
};
pub use plugins::PluginsSeen;
pub use read::reader::TraceReader;
pub use read::whole::{WholeTrace, attachments, each_snapshot, read};
pub use record::recorder::{Recorder, RecorderOptions, RecorderStatus};
pub use record::ring::Pressure;
pub use record::segments::SegmentLimits;
pub use repair::{CheckReport, RecoverReport, check, info, recover};
pub use sets::{Directions, Kinds, Statuses};
pub use split::{Part, PartLimit, SplitReport, SplitStopped, split};
pub use versions::Versions;
pub use write::writer::{Destination, Replacing, TraceWriter, partial_path};
