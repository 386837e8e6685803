//! The differences between two runs.
//!
//! A [`Run`] is made from the events of a trace or of a replay; [`diff`] aligns the calls of two
//! runs and compares what came out, value by value where frames hold JSON or CBOR. Calls that
//! differ in the same places are a [`Group`], so that a reviewer sees causes, not rows.
//!
//! Calls belong together if their input has the same header `id` and no other call has it;
//! otherwise if their inputs are equal and stand in the same order (patience, and Myers where
//! nothing is unique); otherwise if they stand in the same place between calls that belong
//! together.
//!
//! | path | what stands there |
//! |---|---|
//! | `/outcome` | how the call ended |
//! | `/input/…` | the frame it was given, as below |
//! | `/kind`, `/header/…`, `/payload/…` | an output frame, which [`Change::output`] names |
//! | `/payload/format` | whether the payload is JSON or CBOR |
//! | `/payload/lines/3`, `/payload/bytes/12` | a line of text, counted from 1; an offset in bytes |
//! | `/emitted` | whether an output frame was sent with `emit` or is part of the answer |
//! | `/output` | a whole output frame, one more or one fewer |
//! | `/order` | the outputs of the call, or the call itself, stand in another order |
//! | `/host/2/kv-get/…` | the third host call: `permission`, `arguments`, and `result` or `error` |
//! | `/latency` | how long the call took, with [`DiffOptions::slower_factor`] |
//!
//! Headers and payloads that are JSON or CBOR are compared by what they say, exactly: numbers are equal
//! if they are written with the same digits ([`Tolerance`] can allow more), of keys that stand there
//! twice every one is compared, and CBOR keeps its tags and types. Values are shown as JSON; what CBOR has
//! beyond JSON in the notation of RFC 8949, section 8, such as `h'00ff'`. Calls whose values are equal and
//! whose bytes are not are of [`Class::Spelling`]; the order of keys that are different is spelling.
//!
//! Not compared: results of `now` and `random`; times, and how long a host call took; numbers of calls,
//! instances, generations and events; versions of plugins; the index of an output, as outputs are
//! compared in their order; and, with one plugin on each side, its id.
//!
//! ```
//! use std::sync::Arc;
//! use glovebox_inspector::diff::{DiffOptions, Run, diff};
//!
//! let options = DiffOptions {
//!     ignore: vec!["/payload/*/time".parse()?],
//!     ..DiffOptions::default()
//! };
//! let run = Arc::new(Run::default());
//! assert!(diff(run.clone(), run, &options).is_same());
//! # Ok::<(), glovebox_inspector::diff::PathPatternError>(())
//! ```
//!
//! This module deliberately does not say which differences are good: a person accepts or rejects
//! ([`baseline`](crate::baseline)).

mod align;
mod compare;
mod group;
mod latency;
pub(crate) mod path;
mod places;
mod rules;
mod run;
mod structure;
mod text;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;

pub use group::Group;
pub use latency::{ENOUGH_CALLS, LatencyShift, Percentiles, SURE, Verdict, WORTH_A_WORD};
pub use path::{PathPattern, PathPatternError};
pub use places::rules_about_nothing;
pub use rules::{DiffOptions, Tolerance, ToleranceError};
pub use run::{Run, RunCall, RunOutput};

use align::Pair;
use glovebox_events::CallId;
use group::Groups;
use serde::Serialize;

/// How a call compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing is different.
    Same,
    /// The same values in other bytes: spaces, the order of keys, escapes of texts, or how CBOR
    /// writes numbers and lengths. Shown and counted, but no difference.
    Spelling,
    /// The outputs are different.
    Changed,
    /// It ended in another way.
    Outcome,
    /// The same outputs, or the same call, in another order.
    Order,
    /// Only what it asked of the host is different, or what the host answered.
    HostCalls,
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
    /// Where, e.g. `/payload/users/3/email`; the [module](self) lists what there is.
    pub path: String,
    /// The path with `*` for positions in lists, e.g. `/payload/users/*/email`.
    pub pattern: String,
    /// Where the value stood in the first run, if it was moved.
    pub moved_from: Option<String>,
    /// The value in the first run; cut after 4096 characters.
    pub before: Option<String>,
    /// The value in the second run; cut after 4096 characters.
    pub after: Option<String>,
}

/// The differences in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How it compares.
    pub class: Class,
    /// The changed places, at most 1000.
    pub changes: Vec<Change>,
    /// Places beyond those.
    pub more: usize,
}

/// One call of either run, or of both. [`Diff::row`] has the differences in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// How it compares.
    pub class: Class,
    /// True if it stands in another order than its neighbours, though an id holds it together.
    moved: bool,
    /// Position in the first run.
    pub before: Option<u32>,
    /// Position in the second run.
    pub after: Option<u32>,
    /// Position in [`Diff::groups`]; `None` if nothing is different.
    pub group: Option<u32>,
}

/// An entry with what there is to know about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// How it compares.
    pub class: Class,
    /// Name of its group.
    pub group: Option<String>,
    /// Id of the plugin.
    pub plugin: String,
    /// The call in the first run.
    pub call_before: Option<CallId>,
    /// The call in the second run.
    pub call_after: Option<CallId>,
    /// The changed places, at most 1000.
    pub changes: Vec<Change>,
    /// Places beyond those.
    pub more_changes: usize,
}

/// Number of calls per class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Of [`Class::Same`].
    pub same: usize,
    /// Of [`Class::Spelling`].
    pub spelling: usize,
    /// Of [`Class::Changed`].
    pub changed: usize,
    /// Of [`Class::Outcome`].
    pub outcome: usize,
    /// Of [`Class::Order`].
    pub order: usize,
    /// Of [`Class::HostCalls`].
    pub host_calls: usize,
    /// Of [`Class::Slower`].
    pub slower: usize,
    /// Of [`Class::Missing`].
    pub missing: usize,
    /// Of [`Class::Extra`].
    pub extra: usize,
}

impl Counts {
    /// The count of one class.
    pub fn of(&self, class: Class) -> usize {
        let mut counts = *self;
        *counts.slot(class)
    }

    fn slot(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Same => &mut self.same,
            Class::Spelling => &mut self.spelling,
            Class::Changed => &mut self.changed,
            Class::Outcome => &mut self.outcome,
            Class::Order => &mut self.order,
            Class::HostCalls => &mut self.host_calls,
            Class::Slower => &mut self.slower,
            Class::Missing => &mut self.missing,
            Class::Extra => &mut self.extra,
        }
    }

    /// Calls that are different: not the same, and not only written in other bytes.
    pub fn different(&self) -> usize {
        self.compared() - self.same - self.spelling
    }

    /// All calls.
    pub fn compared(&self) -> usize {
        Class::ALL.iter().map(|class| self.of(*class)).sum()
    }
}

/// The differences between two runs.
///
/// Holds a few bytes per call: changes are looked for again when somebody wants to see them.
#[derive(Debug, Clone)]
pub struct Diff {
    /// The first run.
    pub before: Arc<Run>,
    /// The second run.
    pub after: Arc<Run>,
    /// The rules of what counted as a difference.
    pub options: DiffOptions,
    /// Number of calls per class.
    pub counts: Counts,
    /// Every call, same ones too, in the order of the runs.
    pub entries: Vec<Entry>,
    /// Groups of calls that differ alike, the most frequent first.
    pub groups: Vec<Group>,
    /// How the latency of each plugin changed, for calls that are in both runs.
    pub latency: Vec<LatencyShift>,
}

impl Diff {
    /// True if nothing is different. A shift of latency counts if single calls that are slower do.
    pub fn is_same(&self) -> bool {
        self.counts.different() == 0 && self.slower_plugins() == 0
    }

    /// Plugins that are slower as a whole than [`DiffOptions::slower_factor`] allows.
    pub fn slower_plugins(&self) -> usize {
        let Some(factor) = self.options.slower_factor else {
            return 0;
        };
        let is_slower = |shift: &&LatencyShift| shift.is_significant() && shift.factor() > factor;
        self.latency.iter().filter(is_slower).count()
    }

    /// The differences in the call at this position of [`entries`](Self::entries).
    pub fn row(&self, at: usize) -> Option<Row> {
        let entry = self.entries.get(at)?;
        let comparison = compare_one(self, entry);
        let id = |run: &Run, at: Option<u32>| run.id(at? as usize);
        Some(Row {
            class: entry.class,
            group: self.group_of(entry).map(|group| group.id.clone()),
            plugin: self.plugin(entry)?.to_string(),
            call_before: id(&self.before, entry.before),
            call_after: id(&self.after, entry.after),
            changes: comparison.changes,
            more_changes: comparison.more,
        })
    }

    /// The group of an entry; `None` if nothing is different.
    pub fn group_of(&self, entry: &Entry) -> Option<&Group> {
        self.groups.get(entry.group? as usize)
    }

    /// The plugin of an entry.
    pub fn plugin(&self, entry: &Entry) -> Option<&Arc<str>> {
        let before = entry.before.and_then(|at| self.before.plugin(at as usize));
        before.or_else(|| self.after.plugin(entry.after? as usize))
    }

    /// Positions of the entries of a group, in order.
    pub fn members(&self, group: u32) -> impl Iterator<Item = usize> + '_ {
        let all = self.entries.iter().enumerate();
        all.filter(move |(_, entry)| entry.group == Some(group)).map(|(at, _)| at)
    }

    /// Positions of the entries that are different, in order.
    pub fn different(&self) -> impl Iterator<Item = usize> + '_ {
        let all = self.entries.iter().enumerate();
        all.filter(|(_, entry)| entry.class.is_different()).map(|(at, _)| at)
    }

    /// Text for people: one block per group, shifts of latency, then one sentence with counts.
    pub fn to_text(&self) -> String {
        format!("{}{}\n", self.details(), self.summary())
    }

    /// The same without the sentence.
    pub fn details(&self) -> String {
        text::render(self)
    }

    /// The sentence with counts.
    pub fn summary(&self) -> String {
        text::summary(self)
    }
}

impl Class {
    /// All classes, in the order in which they are shown.
    pub const ALL: [Class; 9] = [
        Class::Changed,
        Class::Outcome,
        Class::Missing,
        Class::Extra,
        Class::Order,
        Class::HostCalls,
        Class::Slower,
        Class::Spelling,
        Class::Same,
    ];

    /// True if a call of this class is different.
    pub fn is_different(self) -> bool {
        !matches!(self, Class::Same | Class::Spelling)
    }

    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Class::Same => "same",
            Class::Spelling => "spelling",
            Class::Changed => "changed",
            Class::Outcome => "outcome",
            Class::Order => "order",
            Class::HostCalls => "host-calls",
            Class::Slower => "slower",
            Class::Missing => "missing",
            Class::Extra => "extra",
        }
    }
}

/// Compares two runs, call by call, on all processors.
pub fn diff(before: Arc<Run>, after: Arc<Run>, options: &DiffOptions) -> Diff {
    let pairs = align::align(&before, &after);
    let mut diff = Diff {
        latency: latency_shifts(&before, &after, &pairs),
        before,
        after,
        options: options.clone(),
        counts: Counts::default(),
        entries: Vec::new(),
        groups: Vec::new(),
    };
    let (mut entries, groups) = compare_all(&diff, &pairs);
    let (groups, places) = groups.finish();
    for entry in &mut entries {
        *diff.counts.slot(entry.class) += 1;
        entry.group = entry.group.map(|number| places[number as usize]);
    }
    diff.entries = entries;
    diff.groups = groups;
    diff
}

/// Fewer calls than this are not worth a thread.
const WORTH_A_THREAD: usize = 2048;

fn compare_all(diff: &Diff, pairs: &[Pair]) -> (Vec<Entry>, Groups) {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = pairs.len().div_ceil(threads).max(WORTH_A_THREAD);
    let shares: Vec<Range<usize>> = (0..pairs.len())
        .step_by(share)
        .map(|start| start..(start + share).min(pairs.len()))
        .collect();
    if shares.len() <= 1 {
        return compare_range(diff, pairs, 0..pairs.len());
    }
    let (mut entries, mut groups) = (Vec::with_capacity(pairs.len()), Groups::default());
    std::thread::scope(|scope| {
        let start = |range: Range<usize>| scope.spawn(move || compare_range(diff, pairs, range));
        let started: Vec<_> = shares.into_iter().map(start).collect();
        for thread in started {
            let (part, found) = match thread.join() {
                Ok(compared) => compared,
                // A bug of ours must look as it would without threads.
                Err(panic) => std::panic::resume_unwind(panic),
            };
            let numbers = groups.merge(found);
            entries.extend(part.into_iter().map(|entry| Entry {
                group: entry.group.map(|number| numbers[number as usize]),
                ..entry
            }));
        }
    });
    (entries, groups)
}

fn compare_range(diff: &Diff, pairs: &[Pair], range: Range<usize>) -> (Vec<Entry>, Groups) {
    let (mut entries, mut groups) = (Vec::with_capacity(range.len()), Groups::default());
    for at in range {
        let Pair { before, after, moved } = pairs[at];
        let mut entry = Entry { class: Class::Same, moved, before, after, group: None };
        if !is_plainly_same(diff, &entry) {
            let comparison = compare_one(diff, &entry);
            entry.class = comparison.class;
            if let Some(plugin) = diff.plugin(&entry).filter(|_| entry.class != Class::Same) {
                let outcomes = || {
                    let outcome = |run: &Run, at: Option<u32>| {
                        compare::cause(run.outcome(at.unwrap_or(u32::MAX) as usize))
                    };
                    let (old, new) = (outcome(&diff.before, before), outcome(&diff.after, after));
                    format!("{old} → {new}")
                };
                entry.group = Some(groups.number(plugin, &comparison, outcomes, at));
            }
        }
        entries.push(entry);
    }
    (entries, groups)
}

/// True if there is nothing to compare: the calls are the same to the byte.
fn is_plainly_same(diff: &Diff, entry: &Entry) -> bool {
    let (Some(before), Some(after)) = (entry.before, entry.after) else {
        return false;
    };
    let looks_at_time = diff.options.slower_factor.is_some();
    !entry.moved
        && !looks_at_time
        && diff.before.is_same(before as usize, &diff.after, after as usize)
}

fn compare_one(diff: &Diff, entry: &Entry) -> Comparison {
    let call = |run: &Run, at: Option<u32>| run.call(at? as usize);
    match (call(&diff.before, entry.before), call(&diff.after, entry.after)) {
        (Some(before), Some(after)) => compare::calls(&before, &after, entry.moved, &diff.options),
        (Some(_), None) => compare::alone(Class::Missing),
        _ => compare::alone(Class::Extra),
    }
}

fn latency_shifts(before: &Run, after: &Run, pairs: &[Pair]) -> Vec<LatencyShift> {
    let mut samples: BTreeMap<&Arc<str>, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    for pair in pairs {
        let (Some(old), Some(new)) = (pair.before, pair.after) else {
            continue;
        };
        let (old, new) = (old as usize, new as usize);
        if let (Some(plugin), Some(before), Some(after)) =
            (before.plugin(old), before.latency(old), after.latency(new))
        {
            let (olds, news) = samples.entry(plugin).or_default();
            // Run keeps them as nanoseconds, so nothing is lost here.
            olds.push(before.as_nanos() as u64);
            news.push(after.as_nanos() as u64);
        }
    }
    let shifts = samples.into_iter();
    shifts
        .filter_map(|(plugin, (old, new))| LatencyShift::of(plugin.to_string(), old, new))
        .collect()
}

#[cfg(test)]
mod tests;
