//! What the frames of some chunks are like, so that a filter can pass over them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::End;
use crate::filter::{ChunkSummary, Directions, Kinds, Span as Numbers, Statuses};

/// How the call of a frame went, as far as a filter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trace) struct Verdict {
    pub(in crate::trace) status: Statuses,
    /// Nanoseconds, once the call is over.
    pub(in crate::trace) latency: Option<u64>,
}

impl Default for Verdict {
    fn default() -> Self {
        Verdict::of(None, false)
    }
}

impl Verdict {
    pub(in crate::trace) fn of(end: Option<&End>, denied: bool) -> Verdict {
        Verdict {
            status: Statuses::of(end.map(|end| &end.outcome), denied),
            latency: end
                .map(|end| u64::try_from(end.timing.latency().as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    /// Adds that something was denied.
    pub(in crate::trace) fn deny(&mut self) {
        self.status = self.status.with(Statuses::DENIED);
    }

    /// Adds how the call ended; of several ends the first counts.
    pub(in crate::trace) fn end(&mut self, end: &End) {
        if self.latency.is_some() {
            return;
        }
        let denied = self.status.overlaps(Statuses::DENIED);
        *self = Verdict::of(Some(end), denied);
    }
}

/// Plugins from this one on share a mark.
pub(super) const LAST_PLUGIN: usize = 63;

/// What occurs among frames: a [`ChunkSummary`] that fits into few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::trace) struct Marks {
    /// Nanoseconds since the Unix epoch.
    pub(super) times: Numbers,
    pub(super) calls: Numbers,
    /// Bytes of encoded frames.
    pub(super) sizes: Numbers,
    /// Nanoseconds.
    latencies: Numbers,
    /// One bit per plugin of the trace.
    plugins: u64,
    pub(super) kinds: Kinds,
    pub(super) directions: Directions,
    statuses: Statuses,
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
    pub(super) fn add_plugin(&mut self, number: usize) {
        self.plugins |= 1 << number.min(LAST_PLUGIN);
    }

    pub(super) fn add_verdict(&mut self, verdict: Verdict) {
        self.statuses = self.statuses.with(verdict.status);
        if let Some(latency) = verdict.latency {
            self.latencies.grow(latency);
        }
    }

    pub(super) fn join(&mut self, other: &Marks) {
        join(&mut self.times, other.times);
        join(&mut self.calls, other.calls);
        join(&mut self.sizes, other.sizes);
        join(&mut self.latencies, other.latencies);
        self.plugins |= other.plugins;
        other.kinds.iter().for_each(|kind| self.kinds.insert(kind));
        self.directions = self.directions.with(other.directions);
        self.statuses = self.statuses.with(other.statuses);
    }

    /// The same marks with the plugins numbered differently.
    pub(super) fn renumbered(mut self, mut number: impl FnMut(usize) -> usize) -> Marks {
        let plugins = std::mem::take(&mut self.plugins);
        for old in (0..=LAST_PLUGIN).filter(|old| plugins & (1 << old) != 0) {
            self.add_plugin(number(old));
        }
        self
    }

    /// What a filter looks at. Of a trace with more plugins than marks, any may occur.
    pub(in crate::trace) fn summary(&self, plugins: &[String], start: u64) -> ChunkSummary {
        let is_marked = |number: &usize| self.plugins & (1 << number) != 0;
        let since_start = |at: u64| at.saturating_sub(start);
        ChunkSummary {
            times: match self.times.is_empty() {
                true => Numbers::NONE,
                false => Numbers {
                    first: since_start(self.times.first),
                    last: since_start(self.times.last),
                },
            },
            plugins: (plugins.len() <= LAST_PLUGIN).then(|| {
                let marked = (0..plugins.len()).filter(is_marked);
                marked.map(|number| plugins[number].clone()).collect::<BTreeSet<_>>()
            }),
            kinds: self.kinds,
            directions: self.directions,
            statuses: self.statuses,
            sizes: self.sizes,
            latencies: self.latencies,
            calls: self.calls,
        }
    }
}

pub(super) fn join(numbers: &mut Numbers, other: Numbers) {
    if !other.is_empty() {
        numbers.grow(other.first);
        numbers.grow(other.last);
    }
}
