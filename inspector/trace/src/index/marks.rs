//! Marks of the frames of some chunks, by which a filter can pass over them.

use glovebox_events::{Outcome, Timing};
use serde::{Deserialize, Serialize};

use crate::format::glance::End;
use crate::{Directions, Kinds, Numbers, Statuses};

/// How the call of a frame went, as far as a filter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Where the call stands, and what its host calls add.
    pub status: Statuses,
    /// Nanoseconds, once the call is over.
    pub latency: Option<u64>,
}

impl Default for Verdict {
    fn default() -> Self {
        Verdict::of(None, Statuses::NONE)
    }
}

impl Verdict {
    /// Of a call that ended so.
    pub(crate) fn ended(outcome: &Outcome, timing: &Timing) -> Verdict {
        let latency = u64::try_from(timing.latency().as_nanos()).unwrap_or(u64::MAX);
        Verdict { status: Statuses::of(Some(outcome), Statuses::NONE), latency: Some(latency) }
    }

    pub(crate) fn of(end: Option<&End>, beside: Statuses) -> Verdict {
        let pending = Verdict { status: Statuses::PENDING, latency: None };
        let mut verdict = end.map_or(pending, |end| Verdict::ended(&end.outcome, &end.timing));
        verdict.add(beside);
        verdict
    }

    /// Adds what a host call of it adds.
    pub(crate) fn add(&mut self, beside: Statuses) {
        self.status = self.status.with(beside);
    }

    /// Adds how the call ended; of several ends the first counts.
    pub(crate) fn end(&mut self, end: &End) {
        if self.latency.is_some() {
            return;
        }
        *self = Verdict::of(Some(end), self.status.beside());
    }
}

/// Plugins from this one on share a mark.
pub(crate) const LAST_PLUGIN: usize = 63;

/// The values that occur among the frames of some chunks, in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// When they were seen, in nanoseconds since the Unix epoch.
    pub times: Numbers,
    /// Numbers of calls.
    pub calls: Numbers,
    /// Bytes of encoded frames.
    pub sizes: Numbers,
    /// Latencies of those of their calls that ended, in nanoseconds.
    pub latencies: Numbers,
    /// One bit per plugin of the trace.
    plugins: u64,
    /// Kinds of frames.
    pub kinds: Kinds,
    /// Ways they went.
    pub directions: Directions,
    /// Where their calls stand in the end, `denied` and `injected` included.
    pub statuses: Statuses,
}

impl Default for Marks {
    fn default() -> Self {
        Marks {
            times: Numbers::NONE,
            calls: Numbers::NONE,
            sizes: Numbers::NONE,
            latencies: Numbers::NONE,
            plugins: 0,
            kinds: Kinds::default(),
            directions: Directions::default(),
            statuses: Statuses::NONE,
        }
    }
}

impl Marks {
    pub(crate) fn add_plugin(&mut self, number: usize) {
        self.plugins |= 1 << number.min(LAST_PLUGIN);
    }

    pub(crate) fn add_verdict(&mut self, verdict: Verdict) {
        self.statuses = self.statuses.with(verdict.status);
        if let Some(latency) = verdict.latency {
            self.latencies.grow(latency);
        }
    }

    pub(crate) fn join(&mut self, other: &Marks) {
        self.times.join(other.times);
        self.calls.join(other.calls);
        self.sizes.join(other.sizes);
        self.latencies.join(other.latencies);
        self.plugins |= other.plugins;
        other.kinds.iter().for_each(|kind| self.kinds.insert(kind));
        self.directions = self.directions.with(other.directions);
        self.statuses = self.statuses.with(other.statuses);
    }

    /// The same marks with the plugins numbered differently.
    pub(crate) fn renumbered(mut self, mut number: impl FnMut(usize) -> usize) -> Marks {
        let plugins = std::mem::take(&mut self.plugins);
        for old in (0..=LAST_PLUGIN).filter(|old| plugins & (1 << old) != 0) {
            self.add_plugin(number(old));
        }
        self
    }

    /// The ids of the plugins that are marked; `None` if there are so many that any may be.
    pub(crate) fn plugins<'a>(&self, all: &'a [String]) -> Option<impl Iterator<Item = &'a str>> {
        let marks = self.plugins;
        let marked = all.iter().enumerate().filter(move |(number, _)| marks & (1 << number) != 0);
        (all.len() <= LAST_PLUGIN).then(|| marked.map(|(_, plugin)| plugin.as_str()))
    }
}
