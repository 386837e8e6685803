//! Accepted runs, as text files that read well in a pull request.
//!
//! A [`Baseline`] is made of a [`Run`] or read from a file. A [`Review`] compares a run with it, and
//! [`Review::decide`] makes the baseline that a person's decisions lead to.
//!
//! ```
//! use glovebox_inspector::baseline::{Baseline, Decision, Review};
//! use glovebox_inspector::diff::{DiffOptions, Run};
//!
//! let accepted = Baseline::of(&Run::default(), &DiffOptions::default());
//! let again: Baseline = accepted.to_string().parse()?;
//! let review = Review::of(again, &Run::default());
//! assert!(review.diff().is_same());
//! let next = review.decide(|_| Decision::Accept);
//! assert_eq!(next.to_string(), accepted.to_string());
//! # Ok::<(), glovebox_inspector::baseline::BaselineError>(())
//! ```
//!
//! # Format, version 1
//!
//! ```text
//! # Glovebox baseline 1
//! # Made by `glovebox replay … --against THIS --accept`. Lines that start with # are comments.
//! trace 4 5d41c0ab shop.mcap
//! ignore /payload/meta/ts
//! tolerance /payload/price=0.01
//! rejected 3f2a81c0 4 calls of redact differ only in /payload/mail
//!
//! == redact 1: in data json
//! header {"id":"a"}
//! {"mail":"ann@example.org"}
//!
//! == redact 1: host
//! {"service":"log","permission":"log","arguments":[2,"1 mail"],"result":null}
//!
//! == redact 1: out data json
//! {"mail":"[redacted]"}
//!
//! == redact 1: end completed
//! ```
//!
//! One stanza per frame, sorted by plugin and call; calls are counted from 1 for each plugin. In a
//! call the input comes first, then host calls, outputs (`emit` for those
//! that were sent with that service, `out` for the answer) and the end, each in their order. `trace` says
//! how many inputs the trace had that was replayed, their digest and its name ([`SourceTrace`]); it may
//! be absent, and what another trace leads to can still be compared. `ignore`
//! and `tolerance` are rules that hold whenever a run is compared with this file; what is ignored
//! is written as `…`, so that accepting a run again changes nothing. `rejected` names groups that
//! a person found wrong.
//!
//! | head | body |
//! |---|---|
//! | `in KIND FORMAT`, `emit KIND FORMAT`, `out KIND FORMAT` | `header` and JSON, if there is one; then the payload |
//! | `host` | JSON; results of `now` and `random` are left out |
//! | `end NAME` | JSON with the details; nothing for `completed` and `pending` |
//!
//! | payload | written as |
//! |---|---|
//! | `json` | JSON, keys sorted, numbers as they were written, keys that stand there twice too |
//! | `cbor` | JSON, keys sorted; byte strings as `hex:…`; CBOR tags are left out |
//! | `text` | one line per line, each behind a `\|` |
//! | `string` | text with control characters, as one JSON string |
//! | `hex` | hexadecimal, 32 bytes a line |
//! | `empty` | nothing |
//!
//! Where JSON cannot hold what a header, a `cbor` payload or a host call says, such as tags, keys that are no
//! texts, or NaN, lines with its bytes in hexadecimal follow the JSON: `header-cbor DIGITS` behind a header,
//! `cbor DIGITS` behind the others. Spaces, the order of keys and other spelling are not kept.
//!
//! Times and latencies are left out: they are different each time.
//!
//! This module deliberately keeps no history: that is what version control is for.

mod error;
mod source;
mod stanza;
mod text;

use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

pub use error::BaselineError;
pub use source::SourceTrace;

use glovebox_files::{Output, OutputProblem};

use crate::decode::json::BYTE_ORDER_MARK;
use crate::diff::{self, Diff, DiffOptions, Run, RunCall};
use stanza::Stanza;

/// The version of the format that is written and read.
pub const FORMAT: u32 = 1;
/// The first line of every baseline.
const FIRST_LINE: &str = "# Glovebox baseline 1";
/// Bytes of the largest file that is read.
pub const MAX_SIZE: u64 = 256 << 20;

/// An accepted run.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    /// The trace that was replayed, if that is known.
    pub trace: Option<SourceTrace>,
    /// The rules of what is no difference; times of calls are never looked at.
    pub rules: DiffOptions,
    /// Groups that were found wrong.
    pub rejected: Vec<Rejected>,
    calls: Vec<CallText>,
    run: Arc<Run>,
}

/// A group of differences that a person found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// [`Group::id`](diff::Group::id).
    pub group: String,
    /// The title of the group, for people.
    pub title: String,
}

/// A call as it is written.
#[derive(Debug, Clone, PartialEq)]
struct CallText {
    plugin: String,
    stanzas: Vec<Stanza>,
}

impl CallText {
    fn of(call: &RunCall, rules: &DiffOptions) -> CallText {
        CallText { plugin: call.plugin.to_string(), stanzas: stanza::of_call(call, rules) }
    }
}

/// The rules without those about time, which a baseline does not hold.
fn of_frames(rules: &DiffOptions) -> DiffOptions {
    DiffOptions {
        ignore: rules.ignore.clone(),
        tolerances: rules.tolerances.clone(),
        ..DiffOptions::default()
    }
}

impl Baseline {
    /// Accepts all of a run.
    pub fn of(run: &Run, rules: &DiffOptions) -> Baseline {
        let rules = of_frames(rules);
        let calls: Vec<CallText> = run.iter().map(|call| CallText::of(&call, &rules)).collect();
        let mut latencies: Vec<usize> = (0..calls.len()).collect();
        latencies.sort_by(|a, b| calls[*a].plugin.cmp(&calls[*b].plugin));
        let latencies = latencies.into_iter().map(|at| run.latency(at)).collect::<Vec<_>>();
        Baseline::from_parts(run.name.clone(), rules, Vec::new(), calls, &latencies)
    }

    /// The baseline that decisions about two other runs lead to; as [`Review::decide`].
    pub fn of_decisions(diff: &Diff, decision: impl Fn(usize) -> Decision) -> Baseline {
        let rules = &diff.options;
        let take = |side: Side, at: usize| {
            let run = match side {
                Side::Before => &diff.before,
                Side::After => &diff.after,
            };
            Some(CallText::of(&run.call(at)?, rules))
        };
        let (calls, rejected) = choose(diff, &[], decision, take);
        let name = diff.before.name.clone();
        Baseline::from_parts(name, of_frames(rules), rejected, calls, &[])
    }

    fn from_parts(
        name: String,
        rules: DiffOptions,
        rejected: Vec<Rejected>,
        mut calls: Vec<CallText>,
        latencies: &[Option<std::time::Duration>],
    ) -> Baseline {
        calls.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        let numbered = text::numbered(&calls).zip(latencies.iter().chain(std::iter::repeat(&None)));
        let run = Run::from_calls(
            name,
            // A written stanza can be read: `stanza` tests that.
            numbered.filter_map(|((number, call), latency)| {
                stanza::to_call(number, &call.plugin, &call.stanzas, *latency).ok()
            }),
        );
        Baseline { trace: None, rules, rejected, run: Arc::new(run), calls }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is larger than [`MAX_SIZE`], or is no baseline.
    pub fn read(path: impl AsRef<Path>) -> Result<Baseline, BaselineError> {
        let path = path.as_ref();
        let failed = |source| BaselineError::Io { action: "read", source, path: path.to_owned() };
        let text = glovebox_files::read_to_string(path, MAX_SIZE).map_err(failed)?;
        let inside = |error| BaselineError::In { error: Box::new(error), path: path.to_owned() };
        let baseline: Baseline = text.parse().map_err(inside)?;
        Ok(baseline.of_file(path))
    }

    /// The same, with the name of the file that holds it: one that decisions led to is named as the run
    /// that it was made from.
    #[must_use]
    pub fn of_file(mut self, path: impl AsRef<Path>) -> Baseline {
        Arc::make_mut(&mut self.run).name = path.as_ref().display().to_string();
        self
    }

    /// Writes the file, all of it or nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be written; what was there before stays then.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), BaselineError> {
        let path = path.as_ref();
        let failed = |source| BaselineError::Io { action: "write", source, path: path.to_owned() };
        let refused = |problem: OutputProblem| failed(problem.into());
        let mut file = Output::update(path).map_err(refused)?;
        write!(file, "{self}").map_err(failed)?;
        file.finish().map_err(refused)
    }

    /// True if a file starts as a baseline does.
    pub fn is_one(path: impl AsRef<Path>) -> bool {
        let Ok((file, _)) = glovebox_files::open(path.as_ref(), MAX_SIZE) else { return false };
        let mut start = Vec::new();
        let most = BYTE_ORDER_MARK.len() + FIRST_LINE.len();
        let read = file.take(most as u64).read_to_end(&mut start);
        let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start);
        read.is_ok() && text.starts_with(FIRST_LINE.as_bytes())
    }

    /// The run, with calls counted from 1 for each plugin.
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }
}

/// The decision of a person about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// The second run is right.
    Accept,
    /// The first run is right; the difference is remembered as wrong.
    Reject,
    /// Nobody knows yet.
    #[default]
    Skip,
}

impl Decision {
    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Decision::Accept => "accepted",
            Decision::Reject => "rejected",
            Decision::Skip => "skipped",
        }
    }
}

/// A run beside the baseline it is compared with.
#[derive(Debug, Clone)]
pub struct Review {
    before: Baseline,
    after: Baseline,
    diff: Diff,
}

impl Review {
    /// Compares a run with a baseline, by the baseline's rules.
    pub fn of(baseline: Baseline, run: &Run) -> Review {
        let after = Baseline::of(run, &baseline.rules);
        let diff = diff::diff(baseline.run.clone(), after.run.clone(), &baseline.rules);
        Review { before: baseline, after, diff }
    }

    /// The trace that the baseline belongs to, if that is known.
    pub fn trace(&self) -> Option<&SourceTrace> {
        self.before.trace.as_ref()
    }

    /// The differences.
    pub fn diff(&self) -> &Diff {
        &self.diff
    }

    /// Groups that were found wrong before, by position in [`Diff::groups`].
    pub fn known_as_wrong(&self) -> Vec<usize> {
        let known = |id: &str| self.before.rejected.iter().any(|rejected| rejected.group == id);
        let groups = self.diff.groups.iter().enumerate();
        groups.filter(|(_, group)| known(&group.id)).map(|(at, _)| at).collect()
    }

    /// The baseline that decisions lead to; `decision` is asked for each entry of the diff that is
    /// different, by position in [`Diff::entries`].
    pub fn decide(&self, decision: impl Fn(usize) -> Decision) -> Baseline {
        let take = |side: Side, at: usize| match side {
            Side::Before => self.before.calls.get(at).cloned(),
            Side::After => self.after.calls.get(at).cloned(),
        };
        let known = &self.before.rejected;
        let (calls, rejected) = choose(&self.diff, known, decision, take);
        let name = self.before.run.name.clone();
        let rules = self.before.rules.clone();
        let trace = self.before.trace.clone();
        Baseline { trace, ..Baseline::from_parts(name, rules, rejected, calls, &[]) }
    }
}

/// One of the two runs.
#[derive(Debug, Clone, Copy)]
enum Side {
    Before,
    After,
}

/// Takes each call from the side that a decision says.
fn choose(
    diff: &Diff,
    known: &[Rejected],
    decision: impl Fn(usize) -> Decision,
    take: impl Fn(Side, usize) -> Option<CallText>,
) -> (Vec<CallText>, Vec<Rejected>) {
    let mut calls = Vec::with_capacity(diff.entries.len());
    let mut wrong = vec![false; diff.groups.len()];
    let mut accepted = vec![false; diff.groups.len()];
    for (at, entry) in diff.entries.iter().enumerate() {
        let decision = match entry.class.is_different() {
            false => Decision::Skip,
            true => decision(at),
        };
        let (side, position) = match decision {
            Decision::Accept => (Side::After, entry.after),
            Decision::Reject | Decision::Skip => (Side::Before, entry.before),
        };
        match (decision, entry.group.map(|group| group as usize)) {
            (Decision::Accept, Some(group)) => accepted[group] = true,
            (Decision::Reject, Some(group)) => wrong[group] = true,
            _ => {}
        }
        calls.extend(position.and_then(|at| take(side, at as usize)));
    }
    let mut rejected: Vec<Rejected> = Vec::new();
    for known in known {
        let group = diff.groups.iter().position(|group| group.id == known.group);
        // A rejected group that is gone, or accepted after all, is forgotten.
        if group.is_some_and(|group| !accepted[group] && !wrong[group]) {
            rejected.push(known.clone());
        }
    }
    for (group, _) in diff.groups.iter().zip(&wrong).filter(|(_, wrong)| **wrong) {
        rejected.push(Rejected { group: group.id.clone(), title: group.title() });
    }
    (calls, rejected)
}

impl fmt::Display for Baseline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, formatter)
    }
}

impl FromStr for Baseline {
    type Err = BaselineError;

    fn from_str(text: &str) -> Result<Baseline, BaselineError> {
        text::parse(text)
    }
}

#[cfg(test)]
mod tests;
