//! Replay: the inputs to send again, and when.
//!
//! A [`ReplayPlan`] is made from the events of a run, and [`TraceInputs`] leave them in the file of a
//! trace; [`Pace`] says when each of its inputs is due. [`TraceAnswers`] know what host services gave
//! when the run was recorded.
//!
//! ```
//! use std::time::Duration;
//! use glovebox_inspector::replay::{Inputs, Pace, ReplayPlan};
//!
//! let plan = ReplayPlan::from_events([], None);
//! assert_eq!(plan.planned(), 0);
//! assert_eq!(Pace::Times(10.0).due(Duration::from_secs(1)), Duration::from_millis(100));
//! ```
//!
//! # Frames that plugins emit
//!
//! A call that the emitted frame of another plugin began is an input of the trace like any other,
//! and knows its [cause](ReplayInput::cause). A replay of both plugins must not send it: the
//! emitter sends it again. [`Inputs::by_themselves`] says which those are; all others are sent. A
//! trace does not say what began a call, so this is worked out: the frame was emitted before, to
//! everybody or to this plugin, each emitted frame begins one call of each instance, and the call
//! waited in a queue, as only frames do that no call from outside sends. A frame that equals an
//! emitted one to the byte, and that an application put into the same queue itself, cannot be told
//! from it.
//!
//! This module deliberately sends nothing and has no clock: the application does that.

mod answers;
mod cause;
mod inputs;
mod pace;
mod recorded;
mod start;

use std::collections::{BTreeMap, HashMap};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallId, CallKey, Direction, Event, Outcome, What};
use glovebox_trace::{Statuses, Versions};

pub use answers::{Answer, Divergence, Divergences, Missing, TraceAnswers};
pub use inputs::{Inputs, TraceInputs};
pub use pace::Pace;
pub use recorded::RecordedAnswers;
pub use start::{Start, StartError, StartFinder};

use cause::Emits;

use crate::filter::{Filter, Subject};

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
    /// The call in which a plugin emitted the frame; `None` if it came from outside.
    pub cause: Option<CallId>,
}

/// The inputs of a trace, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayPlan {
    /// The inputs to send.
    pub inputs: Vec<ReplayInput>,
    /// Inputs of the trace that were left out, by the filter or by a selection.
    pub skipped: usize,
}

/// An input as it was recorded.
struct Recorded {
    input: ReplayInput,
    instance: u64,
    generation: u32,
}

/// How a recorded call ended, which filters may ask for.
#[derive(Default)]
struct End {
    outcome: Option<Outcome>,
    latency: Option<Duration>,
    beside: Statuses,
}

impl ReplayPlan {
    /// Takes the inputs of a run, in order; with a filter, those it matches.
    pub fn from_events(
        events: impl IntoIterator<Item = Event>,
        filter: Option<&Filter>,
    ) -> ReplayPlan {
        let mut inputs: Vec<Recorded> = Vec::new();
        let mut emits = Emits::default();
        let mut ends: HashMap<CallKey, End> = HashMap::new();
        // Replays count from the first input, filters from the first event.
        let mut versions = Versions::default();
        let (mut start, mut first_event) = (None, None);
        for event in events {
            first_event.get_or_insert(event.at);
            emits.add(&event, inputs.len());
            let key = filter.and_then(|_| event.call_key());
            versions.take_in(&event);
            match event.what {
                What::FrameIn { call, frame } => {
                    let start = *start.get_or_insert(event.at);
                    let input = ReplayInput {
                        frame,
                        plugin: event.plugin,
                        offset: Duration::from_nanos(event.at.saturating_sub(start)),
                        call,
                        cause: None,
                    };
                    let (instance, generation) = (event.instance, event.generation);
                    inputs.push(Recorded { input, instance, generation });
                }
                What::CallEnded { outcome, timing, .. } => {
                    if let Some(key) = key {
                        let end = ends.entry(key).or_default();
                        end.outcome = Some(outcome);
                        end.latency = Some(timing.latency());
                    }
                }
                What::HostCall { host_call, .. } => {
                    if let Some(key) = key {
                        let beside = &mut ends.entry(key).or_default().beside;
                        *beside = beside.with(Statuses::of_host_call(&host_call));
                    }
                }
                _ => {}
            }
        }
        let causes = emits.causes();
        for (position, recorded) in (0..).zip(&mut inputs) {
            recorded.input.cause = causes.get(&position).copied();
        }
        let before_inputs = start.unwrap_or(0).saturating_sub(first_event.unwrap_or(0));
        let first_input = Duration::from_nanos(before_inputs);
        let found = inputs.len();
        let none = End::default();
        let wanted = |Recorded { input, instance, generation }: &Recorded| {
            filter.is_none_or(|filter| {
                let (plugin, call) = (input.plugin.clone(), input.call);
                let (instance, generation) = (*instance, *generation);
                let key = CallKey { plugin, instance, generation, call };
                let end = ends.get(&key).unwrap_or(&none);
                filter.matches(&Subject {
                    plugin: &input.plugin,
                    direction: Direction::In,
                    call: input.call,
                    instance,
                    generation,
                    version: versions.of(instance, generation).map_or("", |version| version),
                    time: first_input.saturating_add(input.offset),
                    status: Statuses::of(end.outcome.as_ref(), end.beside),
                    latency: end.latency,
                    ..Subject::of_frame(&input.frame)
                })
            })
        };
        inputs.retain(wanted);
        ReplayPlan {
            skipped: found - inputs.len(),
            inputs: inputs.into_iter().map(|recorded| recorded.input).collect(),
        }
    }

    /// Keeps the inputs at these positions, counted from 0; a range beyond the end is cut.
    #[must_use]
    pub fn range(self, range: Range<usize>) -> ReplayPlan {
        let mut position = 0;
        self.keep(|_| {
            position += 1;
            range.contains(&(position - 1))
        })
    }

    /// Keeps the inputs that were sent in a time, both ends included, counted from the first input
    /// of the trace.
    #[must_use]
    pub fn within(self, time: RangeInclusive<Duration>) -> ReplayPlan {
        self.keep(|input| time.contains(&input.offset))
    }

    /// Keeps the inputs of these calls.
    #[must_use]
    pub fn calls(self, calls: &[CallId]) -> ReplayPlan {
        self.keep(|input| calls.contains(&input.call))
    }

    fn keep(mut self, wanted: impl FnMut(&ReplayInput) -> bool) -> ReplayPlan {
        let found = self.inputs.len();
        self.inputs.retain(wanted);
        self.skipped += found - self.inputs.len();
        self
    }

    /// Sends what went to a plugin in the map to another one instead.
    #[must_use]
    pub fn remap(mut self, plugins: &BTreeMap<String, String>) -> ReplayPlan {
        let plugins: HashMap<&str, Arc<str>> =
            plugins.iter().map(|(from, to)| (from.as_str(), Arc::from(to.as_str()))).collect();
        for input in &mut self.inputs {
            if let Some(plugin) = plugins.get(&*input.plugin) {
                input.plugin = plugin.clone();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_events::Timing;

    fn run() -> Vec<Event> {
        let mut events = Vec::new();
        for call in 1..=4 {
            let id = CallId(call);
            let mut push = |plugin: &str, what| {
                events.push(Event {
                    sequence: 0,
                    at: 1000 + call * 10_000_000,
                    plugin: plugin.into(),
                    instance: 0,
                    generation: 1,
                    what,
                });
            };
            let plugin = if call % 2 == 0 { "even" } else { "odd" };
            let frame = Frame::data(call.to_string().into_bytes());
            push(plugin, What::FrameIn { call: id, frame });
            let outcome = if call == 3 { Outcome::Cancelled } else { Outcome::Completed };
            let ended = What::CallEnded {
                call: id,
                outcome,
                timing: Timing::default(),
                bytes_in: 0,
                bytes_out: 0,
                frames_out: 0,
                memory: None,
            };
            push(plugin, ended);
        }
        events
    }

    fn plan(filter: &str) -> ReplayPlan {
        let filter = Filter::parse(filter).expect("the test writes good filters");
        ReplayPlan::from_events(run(), Some(&filter))
    }

    #[test]
    fn plans_hold_what_was_asked_for() {
        fn check(plan: ReplayPlan, expected: &[u64]) {
            let calls: Vec<u64> = plan.inputs.iter().map(|input| input.call.0).collect();
            assert_eq!(calls, expected);
            assert_eq!(plan.skipped, 4 - expected.len());
        }
        check(plan(""), &[1, 2, 3, 4]);
        check(ReplayPlan::from_events(run(), None), &[1, 2, 3, 4]);
        check(plan("plugin=even"), &[2, 4]);
        check(plan("status:error"), &[3]);
        check(plan("text:4"), &[4]);
        check(plan("").range(1..3), &[2, 3]);
        check(plan("").range(3..9), &[4]);
        check(plan("plugin=odd").calls(&[CallId(3), CallId(2)]), &[3]);
    }

    #[test]
    fn plugins_can_be_exchanged() {
        fn check(plan: ReplayPlan, expected: &[&str]) {
            let found = Inputs::plugins(&plan);
            let found: Vec<&str> = found.iter().map(|id| &**id).collect();
            assert_eq!(found, expected);
        }
        check(plan(""), &["even", "odd"]);
        let map = BTreeMap::from([("odd".to_owned(), "strange".to_owned())]);
        check(plan("").remap(&map), &["even", "strange"]);
    }
}
