//! The answers of a replay to host calls: those that the services gave when the trace was recorded.
//!
//! [`TraceAnswers`] answers one target of a replay, and [`Divergences`] counts the differences.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, ServiceError};
use glovebox_events::{CallId, evidence, weight};
use parking_lot::Mutex;
use serde::Serialize;

use super::recorded::{RecordedAnswers, Use};
use crate::decode;

/// Divergences that are kept one by one; all are counted.
const LISTED: usize = 10_000;
/// Characters shown of what was asked.
const SHOWN: usize = 200;

/// The rule for a use of a service that the trace lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Missing {
    /// The plugin is told that the service is not available.
    #[default]
    Fail,
    /// The host answers.
    Pass,
    /// The host answers, if it is one of these services; the others are not available.
    PassOnly(Vec<String>),
}

/// The answer to a use of a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// With this.
    With(Result<Value, ServiceError>),
    /// By the host.
    ByHost,
}

/// Answers one target of a replay from a trace.
///
/// Within an input, a use of a service gets the answer of the first recorded use of the same
/// service with the same arguments that was not answered yet; uses that the trace lacks are treated
/// as [`Missing`] says. The replay says with [`begin`](Self::begin) and [`end`](Self::end) which
/// input is sent. Uses on other threads than the one that began are not of that input: they belong
/// to calls that came by themselves, as those for frames that another plugin emitted. Such a call
/// is taken for the first recorded one that is [expected](Self::expect) with the same frame.
#[derive(Debug)]
pub struct TraceAnswers {
    recorded: Arc<RecordedAnswers>,
    missing: Missing,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the thread on which the call runs.
    inputs: HashMap<ThreadId, Input>,
    /// Recorded calls that come by themselves, by their frame, and the plugin they went to.
    expected: HashMap<Frame, VecDeque<(CallId, Arc<str>)>>,
    /// Uses outside of calls that were answered, by their position.
    loaded: Vec<bool>,
    found: Divergences,
}

/// An input that is being sent.
#[derive(Debug)]
struct Input {
    call: CallId,
    plugin: Arc<str>,
    /// True if nobody sent it.
    by_itself: bool,
    used: Vec<bool>,
    /// The uses that are not recorded.
    lacked: Vec<(String, String)>,
}

/// The differences between the host calls of a replay and those in its trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Divergences {
    /// Uses of services that were answered from the trace.
    pub answered: u64,
    /// Inputs that asked otherwise than they did when they were recorded.
    pub inputs: u64,
    /// Uses with other arguments than the recorded ones.
    pub changed: u64,
    /// Uses that the trace lacks.
    pub extra: u64,
    /// Recorded uses that were not made.
    pub not_made: u64,
    /// Uses outside of calls which the host answered, because the trace begins after loading.
    pub before_the_trace: u64,
    /// Uses in calls that no input of the replay began and that were not expected, such as those for
    /// frames that another plugin emits otherwise than it did. The trace has no answer for them.
    pub outside: u64,
    /// The first of them.
    pub list: Vec<Divergence>,
    /// Those not in the list.
    pub left_out: u64,
}

/// One use of a service that is not as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// The recorded call; `None` outside of calls.
    pub call: Option<CallId>,
    /// The plugin to which the input was sent when it was recorded; outside of calls, the one that
    /// asks.
    pub plugin: String,
    /// Name of the service.
    pub service: String,
    /// The recorded arguments, as JSON, cut if they are long; `None` if the trace lacks the use.
    pub expected: Option<String>,
    /// The arguments now; `None` if the use was not made.
    pub asked: Option<String>,
}

impl Divergences {
    /// All of them together.
    pub fn count(&self) -> u64 {
        self.changed + self.extra + self.not_made
    }

    fn add(&mut self, divergence: Divergence) {
        match (&divergence.expected, &divergence.asked) {
            (Some(_), Some(_)) => self.changed += 1,
            (None, _) => self.extra += 1,
            (Some(_), None) => self.not_made += 1,
        }
        match self.list.len() < LISTED {
            true => self.list.push(divergence),
            false => self.left_out += 1,
        }
    }
}

impl TraceAnswers {
    /// Answers from a trace; each target of a replay has its own.
    pub fn new(recorded: Arc<RecordedAnswers>, missing: Missing) -> TraceAnswers {
        TraceAnswers { recorded, missing, state: Mutex::default() }
    }

    /// The input of this recorded call is about to be sent, on this thread.
    pub fn begin(&self, call: CallId, plugin: &Arc<str>) {
        self.start(&mut self.state.lock(), call, plugin.clone(), false);
    }

    /// The input was sent, and its call is over: recorded uses that were not made are known now.
    pub fn end(&self) {
        self.finish(&mut self.state.lock());
    }

    /// This recorded call is going to come by itself, with this frame.
    pub fn expect(&self, call: CallId, plugin: &Arc<str>, frame: &Frame) {
        let mut state = self.state.lock();
        state.expected.entry(frame.clone()).or_default().push_back((call, plugin.clone()));
    }

    /// Nothing more comes by itself. An expected call that did not come made no use of services
    /// either, which counts if `all` had to come.
    pub fn expect_no_more(&self, all: bool) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let expected = std::mem::take(&mut state.expected);
        let mut absent: Vec<_> = expected.into_values().flatten().filter(|_| all).collect();
        absent.sort();
        for (call, plugin) in absent {
            self.start(state, call, plugin, true);
            self.finish(state);
        }
    }

    /// A call of a plugin begins on this thread, with this frame: the one that was sent, or one by
    /// itself.
    pub fn call_begins(&self, plugin: &str, frame: &Frame) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let input = state.inputs.get(&thread::current().id());
        if input.is_some_and(|input| !input.by_itself) {
            return;
        }
        let expected = state.expected.get_mut(frame).and_then(|expected| {
            let at = expected.iter().position(|(_, known)| **known == *plugin)?;
            expected.remove(at)
        });
        if let Some((call, plugin)) = expected {
            self.start(state, call, plugin, true);
        }
    }

    /// The call that began on this thread is over.
    pub fn call_ends(&self) {
        let mut state = self.state.lock();
        let input = state.inputs.get(&thread::current().id());
        if input.is_some_and(|input| input.by_itself) {
            self.finish(&mut state);
        }
    }

    fn start(&self, state: &mut State, call: CallId, plugin: Arc<str>, by_itself: bool) {
        let used = vec![false; self.recorded.of(call).len()];
        let input = Input { call, plugin, by_itself, used, lacked: Vec::new() };
        state.inputs.insert(thread::current().id(), input);
    }

    fn finish(&self, state: &mut State) {
        let Some(input) = state.inputs.remove(&thread::current().id()) else { return };
        let recorded = self.recorded.of(input.call).iter().zip(&input.used);
        let mut left: Vec<&Use> =
            recorded.filter(|(_, used)| !**used).map(|(recorded, _)| recorded).collect();
        let before = state.found.count();
        let divergence =
            |service: &str, expected: Option<&Value>, asked: Option<&String>| Divergence {
                call: Some(input.call),
                plugin: input.plugin.to_string(),
                service: service.to_owned(),
                expected: expected.map(show),
                asked: asked.cloned(),
            };
        for (service, asked) in &input.lacked {
            let same = left.iter().position(|recorded| *recorded.service == **service);
            let expected = same.map(|position| &left.remove(position).arguments);
            state.found.add(divergence(service, expected, Some(asked)));
        }
        // A use that failed may have been refused before it came to the service, as it may be now.
        for recorded in left.into_iter().filter(|recorded| recorded.result.is_ok()) {
            let expected = Some(&recorded.arguments);
            state.found.add(divergence(&recorded.service, expected, None));
        }
        if state.found.count() > before {
            state.found.inputs += 1;
        }
    }

    /// The answer to a use of a service. `call` is that of the replay, `None` outside of calls.
    pub fn answer(
        &self,
        plugin: &str,
        call: Option<CallId>,
        service: &str,
        arguments: &Value,
    ) -> Answer {
        let mut state = self.state.lock();
        let state = &mut *state;
        if call.is_none() {
            return self.answer_load(state, plugin, service, arguments);
        }
        let Some(input) = state.inputs.get_mut(&thread::current().id()) else {
            state.found.outside += 1;
            return self.lacking(service);
        };
        match answer(self.recorded.of(input.call), &mut input.used, service, arguments) {
            Some(result) => {
                state.found.answered += 1;
                Answer::With(result)
            }
            None => {
                input.lacked.push((service.to_owned(), show(arguments)));
                self.lacking(service)
            }
        }
    }

    /// Outside of calls there is no end, so that nobody knows what is not asked.
    fn answer_load(
        &self,
        state: &mut State,
        plugin: &str,
        service: &str,
        arguments: &Value,
    ) -> Answer {
        let load = self.recorded.of_load(plugin);
        let recorded = load.map_or(&[][..], |load| &load.uses);
        state.loaded.resize(recorded.len(), false);
        if let Some(result) = answer(recorded, &mut state.loaded, service, arguments) {
            state.found.answered += 1;
            return Answer::With(result);
        }
        if !load.is_some_and(|load| load.is_whole) {
            state.found.before_the_trace += 1;
            return Answer::ByHost;
        }
        state.found.add(Divergence {
            call: None,
            plugin: plugin.to_owned(),
            service: service.to_owned(),
            expected: None,
            asked: Some(show(arguments)),
        });
        self.lacking(service)
    }

    fn lacking(&self, service: &str) -> Answer {
        let by_host = match &self.missing {
            Missing::Fail => false,
            Missing::Pass => true,
            Missing::PassOnly(services) => services.iter().any(|known| known == service),
        };
        if by_host { Answer::ByHost } else { Answer::With(Err(ServiceError::Unavailable)) }
    }

    /// The divergences so far.
    pub fn divergences(&self) -> Divergences {
        self.state.lock().found.clone()
    }
}

fn answer(
    recorded: &[Use],
    used: &mut [bool],
    service: &str,
    arguments: &Value,
) -> Option<Result<Value, ServiceError>> {
    let is_it = |(recorded, used): (&Use, &bool)| {
        !used && *recorded.service == *service && evidence::is_of(&recorded.arguments, arguments)
    };
    let position = recorded.iter().zip(used.iter()).position(is_it)?;
    used[position] = true;
    Some(recorded[position].result.clone())
}

fn show(value: &Value) -> String {
    let text = decode::to_json(&weight::brief(value, 4 * SHOWN)).to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
