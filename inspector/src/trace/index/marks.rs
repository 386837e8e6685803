//! What the frames of some chunks are like, so that a filter can pass over them.

use std::ops::RangeInclusive;

use glovebox_abi::{FRAME_PREFIX_LEN, Kind};
use serde::{Deserialize, Serialize};

use crate::store::Direction;

/// A smallest and a largest value; none of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Range(Option<(u64, u64)>);

impl Range {
    pub(crate) fn add(&mut self, value: u64) {
        self.join(Range(Some((value, value))));
    }

    pub(crate) fn join(&mut self, other: Range) {
        self.0 = match (self.0, other.0) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
    }

    /// Smallest and largest value.
    pub(crate) fn bounds(self) -> Option<RangeInclusive<u64>> {
        self.0.map(|(least, most)| least..=most)
    }

    pub(crate) fn contains(self, value: u64) -> bool {
        self.bounds().is_some_and(|bounds| bounds.contains(&value))
    }
}

/// How the call of a frame ended, as far as a filter asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Position in [`Outcome::NAMES`](glovebox_events::Outcome::NAMES) and latency in nanoseconds,
    /// once the call is over.
    pub(crate) ended: Option<(u8, u64)>,
    /// True if the plugin was denied anything during the call.
    pub(crate) denied: bool,
}

/// Marks the place of denied calls among the statuses.
const DENIED: u32 = 1 << 30;
/// Marks the place of calls that never ended.
const PENDING: u32 = 1 << 31;
/// Plugins from this one on share a mark.
pub(super) const LAST_PLUGIN: u32 = 63;

/// What occurs among frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// Nanoseconds since the Unix epoch.
    pub(crate) times: Range,
    /// Numbers of calls.
    pub(crate) calls: Range,
    pub(crate) generations: Range,
    /// Bytes of encoded frames.
    pub(crate) sizes: Range,
    /// Nanoseconds.
    pub(crate) latencies: Range,
    /// One bit per plugin of the trace.
    plugins: u64,
    kinds: [u64; 4],
    inputs: bool,
    outputs: bool,
    statuses: u32,
}

impl Marks {
    pub(super) fn add_plugin(&mut self, number: usize) {
        self.plugins |= 1 << u32::try_from(number).unwrap_or(LAST_PLUGIN).min(LAST_PLUGIN);
    }

    pub(super) fn add_frame(&mut self, kind: Kind, direction: Direction, size: u64) {
        self.kinds[usize::from(kind.0 >> 6)] |= 1 << (kind.0 & 63);
        match direction {
            Direction::In => self.inputs = true,
            Direction::Out => self.outputs = true,
        }
        self.sizes.add(size);
    }

    pub(super) fn add_verdict(&mut self, verdict: Verdict) {
        match verdict.ended {
            Some((outcome, latency)) => {
                self.statuses |= 1 << outcome.min(29);
                self.latencies.add(latency);
            }
            None => self.statuses |= PENDING,
        }
        if verdict.denied {
            self.statuses |= DENIED;
        }
    }

    pub(super) fn join(&mut self, other: &Marks) {
        self.times.join(other.times);
        self.calls.join(other.calls);
        self.generations.join(other.generations);
        self.sizes.join(other.sizes);
        self.latencies.join(other.latencies);
        self.plugins |= other.plugins;
        for (kinds, others) in self.kinds.iter_mut().zip(other.kinds) {
            *kinds |= others;
        }
        self.inputs |= other.inputs;
        self.outputs |= other.outputs;
        self.statuses |= other.statuses;
    }

    /// The same, whatever the plugins.
    pub(super) fn without_plugins(mut self) -> Marks {
        self.plugins = 0;
        self
    }

    /// True if a plugin of this number occurs, or may occur.
    pub(crate) fn has_plugin(&self, number: usize) -> bool {
        let number = u32::try_from(number).unwrap_or(LAST_PLUGIN).min(LAST_PLUGIN);
        self.plugins & (1 << number) != 0
    }

    /// The kinds that occur.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        let kinds = self.kinds;
        (0..=u8::MAX).filter(move |kind| kinds[usize::from(kind >> 6)] & (1 << (kind & 63)) != 0).map(Kind)
    }

    pub(crate) fn has_direction(&self, direction: Direction) -> bool {
        match direction {
            Direction::In => self.inputs,
            Direction::Out => self.outputs,
        }
    }

    /// True if calls ended like this; the position in
    /// [`Outcome::NAMES`](glovebox_events::Outcome::NAMES).
    pub(crate) fn has_outcome(&self, outcome: usize) -> bool {
        self.statuses & (1 << outcome.min(29)) != 0
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.statuses & PENDING != 0
    }

    pub(crate) fn has_denied(&self) -> bool {
        self.statuses & DENIED != 0
    }
}

/// Kind and size of an encoded frame, by its prefix; the rest is left to who decodes it.
pub(crate) fn frame_facts(frame: &[u8]) -> Option<(Kind, u64)> {
    (frame.len() >= FRAME_PREFIX_LEN).then(|| (Kind(frame[0]), frame.len() as u64))
}
