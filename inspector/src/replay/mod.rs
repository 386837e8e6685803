//! What to send again, and when.
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event};

use crate::filter::Filter;

/// One frame to send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayInput {
    /// The frame.
    pub frame: Frame,
    /// The plugin to send it to.
    pub plugin: Arc<str>,
    /// When it was sent, counted from the first input of the trace.
    pub offset: Duration,
    /// The call it started when it was recorded.
    pub call: CallId,
}

/// The inputs of a trace, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayPlan {
    /// What to send.
    pub inputs: Vec<ReplayInput>,
    /// Inputs of the trace that the filter left out.
    pub skipped: usize,
}

impl ReplayPlan {
    /// Takes the inputs of a run, in order; with a filter, those it matches.
    pub fn from_events(
        events: impl IntoIterator<Item = Event>,
        filter: Option<&Filter>,
    ) -> ReplayPlan {
        todo!()
    }
    /// Keeps the inputs at these positions, counted from 0; a range beyond the end is cut.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> ReplayPlan {
        todo!()
    }
    /// Keeps the inputs of these calls.
    #[must_use]
    pub fn calls(self, calls: &[CallId]) -> ReplayPlan {
        todo!()
    }
    /// Sends what went to a plugin in the map to another one instead.
    #[must_use]
    pub fn remap(self, plugins: &BTreeMap<String, String>) -> ReplayPlan {
        todo!()
    }
    /// Sends everything to one plugin.
    #[must_use]
    pub fn all_to(self, plugin: &str) -> ReplayPlan {
        todo!()
    }
    /// Ids of the plugins that inputs go to, sorted.
    pub fn plugins(&self) -> Vec<Arc<str>> {
        todo!()
    }
}

/// How fast to replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// One input after the other, without waiting.
    Max,
    /// As it was recorded.
    Original,
    /// So many times as fast as it was recorded; above 0.
    Times(f64),
    /// One input per [`Schedule::step`].
    Step,
}

/// What a [`Schedule`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The input at this position is due.
    Now(usize),
    /// Nothing is due for so long.
    In(Duration),
    /// Nothing is due before the next [`Schedule::step`].
    OnStep,
    /// Every input was sent.
    Finished,
}

/// Says when each input is due. Pure: the caller tells how much time has passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {}

impl Schedule {
    /// A schedule of the inputs of a plan.
    pub fn new(plan: &ReplayPlan, pace: Pace) -> Schedule {
        todo!()
    }
    /// What is due when `elapsed` has passed since the start; an input that is due counts as sent.
    pub fn next(&mut self, elapsed: Duration) -> Due {
        todo!()
    }
    /// Lets one more input go in [`Pace::Step`].
    pub fn step(&mut self) {
        todo!()
    }
    /// Inputs sent, of inputs in all.
    pub fn progress(&self) -> (usize, usize) {
        todo!()
    }
}
