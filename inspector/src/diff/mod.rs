//! What is different between two runs.
//!
//! A [`Run`] is made from the events of a trace or of a replay; [`diff`] aligns the calls of two
//! runs and compares what came out, value by value where frames hold JSON or CBOR.
//!
//! Calls belong together if their input has the same header `id` and no other call has it;
//! otherwise if their inputs are equal and stand in the same order; otherwise if they stand in the
//! same place between calls that belong together.
//!
//! ```
//! use glovebox_inspector::diff::{DiffOptions, Run, diff};
//!
//! let options = DiffOptions {
//!     ignore: vec!["/payload/*/time".parse()?],
//!     ..DiffOptions::default()
//! };
//! let found = diff(&Run::default(), &Run::default(), &options);
//! assert!(found.is_same());
//! # Ok::<(), glovebox_inspector::diff::PathPatternError>(())
//! ```
//!
//! This module deliberately does not say which differences are good: a person accepts or rejects.

mod align;
mod compare;
mod path;
mod run;
mod text;

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
pub struct Counts {
    /// Of [`Class::Same`].
    pub same: usize,
    /// Of [`Class::Changed`].
    pub changed: usize,
    /// Of [`Class::Outcome`].
    pub outcome: usize,
    /// Of [`Class::Order`].
    pub order: usize,
    /// Of [`Class::Slower`].
    pub slower: usize,
    /// Of [`Class::Missing`].
    pub missing: usize,
    /// Of [`Class::Extra`].
    pub extra: usize,
}

impl Counts {
    fn add(&mut self, class: Class) {
        let count = match class {
            Class::Same => &mut self.same,
            Class::Changed => &mut self.changed,
            Class::Outcome => &mut self.outcome,
            Class::Order => &mut self.order,
            Class::Slower => &mut self.slower,
            Class::Missing => &mut self.missing,
            Class::Extra => &mut self.extra,
        };
        *count += 1;
    }

    /// Calls that are not the same.
    pub fn different(&self) -> usize {
        self.changed + self.outcome + self.order + self.slower + self.missing + self.extra
    }
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
        self.counts.different() == 0
    }

    /// Text for people: one block per call that is different, then one sentence with counts.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// The sentence with counts.
    pub fn summary(&self) -> String {
        text::summary(&self.counts)
    }
}

impl Class {
    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Class::Same => "same",
            Class::Changed => "changed",
            Class::Outcome => "outcome",
            Class::Order => "order",
            Class::Slower => "slower",
            Class::Missing => "missing",
            Class::Extra => "extra",
        }
    }
}

/// Compares two runs, call by call.
pub fn diff(before: &Run, after: &Run, options: &DiffOptions) -> Diff {
    let mut counts = Counts::default();
    let mut entries = Vec::new();
    for pair in align::align(before, after) {
        let calls = (
            pair.before.map(|index| &before.calls[index]),
            pair.after.map(|index| &after.calls[index]),
        );
        let (class, changes) = match calls {
            (Some(before), Some(after)) => compare::calls(before, after, options),
            (Some(_), None) => (Class::Missing, Vec::new()),
            _ => (Class::Extra, Vec::new()),
        };
        counts.add(class);
        let plugin = calls.0.or(calls.1).map(|call| call.plugin.to_string());
        entries.push(Entry {
            class,
            plugin: plugin.unwrap_or_default(),
            before: pair.before,
            after: pair.after,
            call_before: calls.0.map(|call| call.id),
            call_after: calls.1.map(|call| call.id),
            changes,
        });
    }
    Diff { before: before.name.clone(), after: after.name.clone(), counts, entries }
}

#[cfg(test)]
mod tests;
