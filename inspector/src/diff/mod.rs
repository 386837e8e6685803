//! What is different between two runs.
mod path;
mod run;

use std::time::Duration;

pub use path::{PathPattern, PathPatternError};
pub use run::{Run, RunCall};

use glovebox_events::CallId;
use serde::Serialize;

/// What counts as a difference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DiffOptions {
    /// Paths that are not compared.
    pub ignore: Vec<PathPattern>,
    /// A call that took more than so many times as long is reported as slower; `None` does not
    /// look at time.
    pub slower_factor: Option<f64>,
    /// Calls faster than this are never reported as slower.
    pub slower_floor: Duration,
}

/// How a call compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing is different.
    Same,
    /// The outputs are different.
    Changed,
    /// It ended in another way.
    Outcome,
    /// The same outputs in another order.
    Order,
    /// Only the time is different.
    Slower,
    /// It is in the first run only.
    Missing,
    /// It is in the second run only.
    Extra,
}

/// One difference inside a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which output of the call, from 0; `None` for the call itself.
    pub output: Option<usize>,
    /// Where, e.g. `/payload/user/email`; `/outcome` and `/latency` for the call itself.
    pub path: String,
    /// What stood there in the first run.
    pub before: Option<String>,
    /// What stands there in the second run.
    pub after: Option<String>,
}

/// One call of either run, or of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// How it compares.
    pub class: Class,
    /// Id of the plugin.
    pub plugin: String,
    /// Position in the first run's [`Run::calls`].
    pub before: Option<usize>,
    /// Position in the second run's [`Run::calls`].
    pub after: Option<usize>,
    /// The call in the first run.
    pub call_before: Option<CallId>,
    /// The call in the second run.
    pub call_after: Option<CallId>,
    /// What is different.
    pub changes: Vec<Change>,
}

/// Number of calls per class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub same: usize,
    pub changed: usize,
    pub outcome: usize,
    pub order: usize,
    pub slower: usize,
    pub missing: usize,
    pub extra: usize,
}

/// What is different between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Name of the first run.
    pub before: String,
    /// Name of the second run.
    pub after: String,
    /// Number of calls per class.
    pub counts: Counts,
    /// Every call, same ones too, in the order of the runs.
    pub entries: Vec<Entry>,
}

impl Diff {
    /// True if nothing is different.
    pub fn is_same(&self) -> bool {
        todo!()
    }
    /// Text for people: one block per call that is different, then one sentence with counts.
    pub fn to_text(&self) -> String {
        todo!()
    }
}

/// Compares two runs, call by call.
pub fn diff(before: &Run, after: &Run, options: &DiffOptions) -> Diff {
    todo!()
}
