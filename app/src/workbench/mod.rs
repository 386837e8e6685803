//! The state that joins host and inspector, without a window.
//!
//! Read [`Workbench`] first: it owns the host, the live store, the metrics, the recording, the
//! open traces and the last diff. Views read it through [`ViewCtx`] while they paint, and through
//! [`Reader`] before; what changes it is a [`Command`], and one exhaustive match executes those.
//! Long work runs on named threads (`jobs`) and ends in a [`Notice`].
//!
//! This module deliberately knows nothing of egui, and nothing here waits on the caller's thread
//! for a plugin. It waits for a file only where the order of commands counts: a decision opens the
//! folders that it grants and writes the consent, and a recording makes its file.

mod accepted;
mod accepting;
pub(crate) mod answers;
mod command;
mod comparing;
mod consent;
pub mod doctor;
mod example;
mod execute;
pub(crate) mod failures;
mod faults;
pub mod figures;
mod findings;
mod finished;
mod in_files;
mod jobs;
pub(crate) mod kept_events;
mod notice;
mod opening;
mod overview;
mod pages;
mod plugins;
mod reader;
mod recording;
pub mod replay;
mod replaying;
mod row_line;
mod rows;
mod search;
mod sink;
pub(crate) mod snapshots;
mod source;
pub(crate) mod start;
mod state;
mod take_in;
pub(crate) mod takeovers;
mod trace;
mod unkept;
mod usage;
mod view;
pub(crate) mod words;
mod work;

#[cfg(test)]
mod tests;

pub(crate) use accepted::refuse_inputs_only;
pub use accepted::{Accepted, Compared};
pub use accepting::Accepting;
pub use command::{Command, ReplayHow, ReplayRequest, SendRequest};
pub use comparing::Pair;
pub use consent::{asked_of, asking_no_more, why_not_allowed};
pub use example::{EXAMPLES, Example};
pub use faults::{Calls, Effect, Fault, Faults};
pub use figures::{Figures, InstanceFigures};
pub use finished::Sent;
pub use jobs::{JobId, JobView};
pub use notice::{Level, Notice};
pub use overview::{FailedCall, Overview, Span};
pub use pages::Pages;
pub use reader::Reader;
pub use row_line::RowLine;
pub use rows::Rows;
pub use search::{Search, SearchStage, Wanted};
pub use sink::Waker;
pub use snapshots::Every;
pub use source::{RowRef, Source};
pub use state::{Edits, LiveCounts, Workbench, WorkbenchOptions};
pub use trace::{Origin, Trace, TraceId};
pub use usage::UsageSample;
pub use view::ViewCtx;

pub(crate) use recording::{instance_record, record_of};
pub(crate) use state::saved_consents;
