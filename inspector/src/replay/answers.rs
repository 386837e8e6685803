//! What a replay answers host services with: what they gave when the trace was recorded.
//!
//! [`TraceAnswers`] answers one target of a replay, and [`Divergences`] is what it noticed.

use std::sync::Arc;
use std::thread::{self, ThreadId};

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use glovebox_events::CallId;
use parking_lot::Mutex;
use serde::Serialize;

use super::recorded::{RecordedAnswers, Use};
use crate::decode;

/// Divergences that are kept one by one; all are counted.
const LISTED: usize = 10_000;
/// Characters shown of what was asked.
const SHOWN: usize = 200;

/// What becomes of a use of a service that the trace lacks.
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

/// What a use of a service is answered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// With this.
    With(Result<Value, ServiceError>),
    /// By the host.
    ByHost,
}

/// Answers one target of a replay from a trace.
///
/// Within an input, a use of a service gets the answer of the first recorded use of the same service
/// with the same arguments that was not answered yet; what the trace lacks is treated as [`Missing`]
/// says. Whoever replays says with [`begin`](Self::begin) and [`end`](Self::end) which input is sent.
/// Uses on other threads than the one that began are not of that input.
#[derive(Debug)]
pub struct TraceAnswers {
    recorded: Arc<RecordedAnswers>,
    missing: Missing,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    input: Option<Input>,
    /// Uses outside of calls that were answered, by their position.
    loaded: Vec<bool>,
    found: Divergences,
}

/// An input that is being sent.
#[derive(Debug)]
struct Input {
    call: CallId,
    plugin: Arc<str>,
    thread: ThreadId,
    used: Vec<bool>,
    /// What was asked and not recorded.
    lacked: Vec<(&'static str, Value)>,
}

/// What a replay asked its services otherwise than the trace did.
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
    /// Uses in calls that no input of the replay began, such as those for frames that another plugin
    /// emitted. The trace has no answer for them.
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
    /// What was asked when it was recorded, as JSON, cut if it is long; `None` if the trace lacks it.
    pub expected: Option<String>,
    /// What is asked now; `None` if nothing is.
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
        let recorded = self.recorded.of(call).len();
        self.state.lock().input = Some(Input {
            call,
            plugin: plugin.clone(),
            thread: thread::current().id(),
            used: vec![false; recorded],
            lacked: Vec::new(),
        });
    }

    /// It was sent, and its call is over: now it is known what was not asked.
    pub fn end(&self) {
        let mut state = self.state.lock();
        let Some(input) = state.input.take() else { return };
        let recorded = self.recorded.of(input.call).iter().zip(&input.used);
        let mut left: Vec<&Use> =
            recorded.filter(|(_, used)| !**used).map(|(recorded, _)| recorded).collect();
        let before = state.found.count();
        let divergence =
            |service: &str, expected: Option<&Value>, asked: Option<&Value>| Divergence {
                call: Some(input.call),
                plugin: input.plugin.to_string(),
                service: service.to_owned(),
                expected: expected.map(show),
                asked: asked.map(show),
            };
        for (service, asked) in &input.lacked {
            let same = left.iter().position(|recorded| *recorded.service == **service);
            let expected = same.map(|position| &left.remove(position).arguments);
            state.found.add(divergence(service, expected, Some(asked)));
        }
        // What failed may have been refused before it came to the service, as it may be now.
        for recorded in left.into_iter().filter(|recorded| recorded.result.is_ok()) {
            let expected = Some(&recorded.arguments);
            state.found.add(divergence(&recorded.service, expected, None));
        }
        if state.found.count() > before {
            state.found.inputs += 1;
        }
    }

    /// What a use of a service is answered with. `call` is that of the replay, `None` outside of
    /// calls.
    pub fn answer(
        &self,
        plugin: &str,
        call: Option<CallId>,
        service: &'static str,
        arguments: &Value,
    ) -> Answer {
        let mut state = self.state.lock();
        let state = &mut *state;
        if call.is_none() {
            return self.answer_load(state, plugin, service, arguments);
        }
        let this = thread::current().id();
        let Some(input) = state.input.as_mut().filter(|input| input.thread == this) else {
            state.found.outside += 1;
            return self.lacking(service);
        };
        match answer(self.recorded.of(input.call), &mut input.used, service, arguments) {
            Some(result) => {
                state.found.answered += 1;
                Answer::With(result)
            }
            None => {
                input.lacked.push((service, arguments.clone()));
                self.lacking(service)
            }
        }
    }

    /// Outside of calls there is no end, so that nobody knows what is not asked.
    fn answer_load(
        &self,
        state: &mut State,
        plugin: &str,
        service: &'static str,
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

    /// What was noticed so far.
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
        !used && *recorded.service == *service && recorded.arguments == *arguments
    };
    let position = recorded.iter().zip(used.iter()).position(is_it)?;
    used[position] = true;
    Some(recorded[position].result.clone())
}

fn show(value: &Value) -> String {
    let text = decode::to_json(value).to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use glovebox_abi::Permission;
    use glovebox_events::{Event, HostCall, Phase, What};

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn event(call: Option<u64>, service: &'static str, arguments: Value, result: Value) -> Event {
        let host_call = HostCall {
            service: Cow::Borrowed(service),
            permission: Permission::Kv,
            arguments,
            result: if result == text("denied") { Err(ServiceError::Denied) } else { Ok(result) },
            took: Duration::ZERO,
        };
        Event {
            sequence: 0,
            at: 0,
            plugin: "a".into(),
            instance: 0,
            generation: 1,
            what: What::HostCall { call: call.map(CallId), host_call },
        }
    }

    fn bytes(byte: u8) -> Value {
        Value::Bytes(vec![byte])
    }

    /// Call 1 reads `a` twice, then `b`, and writes `c`; one reading is denied.
    fn recorded() -> Arc<RecordedAnswers> {
        let mut recorded = RecordedAnswers::default();
        let set = Value::Array(vec![text("c"), bytes(9)]);
        for (service, arguments, result) in [
            ("kv-get", text("a"), bytes(1)),
            ("kv-get", text("denied"), text("denied")),
            ("kv-get", text("a"), bytes(2)),
            ("log", text("a line"), Value::Null),
            ("kv-get", text("b"), Value::Null),
            ("kv-set", set, Value::Null),
            // More bytes than were asked for.
            ("random", Value::Integer(4), bytes(1)),
        ] {
            recorded.add(&event(Some(1), service, arguments, result));
        }
        assert_eq!((recorded.found, recorded.unusable), (4, 1));
        Arc::new(recorded)
    }

    fn is_given(answer: Answer, given: &Value) -> bool {
        answer == Answer::With(Ok(given.clone()))
    }

    const LACKING: Answer = Answer::With(Err(ServiceError::Unavailable));

    #[test]
    fn divergences_are_told_apart() {
        /// What is read and written in the call, and what is noticed: changed, extra, not made.
        #[track_caller]
        fn check(reads: &[&str], writes: &[u8], expected: (u64, u64, u64)) -> Divergences {
            let answers = TraceAnswers::new(recorded(), Missing::Fail);
            answers.begin(CallId(1), &"a".into());
            for key in reads {
                answers.answer("a", Some(CallId(7)), "kv-get", &text(key));
            }
            for value in writes {
                let set = Value::Array(vec![text("c"), bytes(*value)]);
                answers.answer("a", Some(CallId(7)), "kv-set", &set);
            }
            answers.end();
            let found = answers.divergences();
            assert_eq!((found.changed, found.extra, found.not_made), expected);
            assert_eq!(found.inputs, u64::from(found.count() > 0));
            found
        }
        check(&["a", "a", "b"], &[9], (0, 0, 0));
        check(&["b", "a", "a"], &[9], (0, 0, 0));
        check(&["a", "b"], &[9], (0, 0, 1));
        check(&[], &[], (0, 0, 4));
        check(&["a", "a", "b", "a", "x"], &[9], (0, 2, 0));
        let found = check(&["x", "a", "a"], &[8], (2, 0, 0));
        assert_eq!(found.answered, 2);
        let told: Vec<_> = found.list.iter().map(|one| (&one.expected, &one.asked)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told[0], (&some("\"b\""), &some("\"x\"")));
        assert_eq!(told[1].0, &some("[\"c\",\"hex:09\"]"));
    }

    #[test]
    fn answers_come_in_order_and_anew_each_time() {
        let answers = TraceAnswers::new(recorded(), Missing::Fail);
        let read = |key: &str| answers.answer("a", Some(CallId(7)), "kv-get", &text(key));
        for _ in 0..2 {
            answers.begin(CallId(1), &"a".into());
            assert!(is_given(read("a"), &bytes(1)) && is_given(read("a"), &bytes(2)));
            assert!(read("a") == LACKING && is_given(read("b"), &Value::Null));
            answers.end();
        }
        assert!(read("a") == LACKING, "no input is being sent");
        answers.begin(CallId(1), &"a".into());
        let elsewhere = thread::scope(|scope| scope.spawn(|| read("a")).join());
        assert!(elsewhere.is_ok_and(|answer| answer == LACKING), "that is another call");
        assert!(is_given(read("a"), &bytes(1)));
        assert_eq!(answers.divergences().outside, 2);
    }

    #[test]
    fn what_the_trace_lacks_is_treated_as_told() {
        #[track_caller]
        fn check(missing: Missing, service: &'static str, expected: &Answer) {
            let answers = TraceAnswers::new(recorded(), missing);
            answers.begin(CallId(2), &"a".into());
            assert_eq!(&answers.answer("a", Some(CallId(7)), service, &Value::Null), expected);
        }
        let only = || Missing::PassOnly(vec!["now".to_owned()]);
        check(Missing::Fail, "now", &LACKING);
        check(Missing::Pass, "now", &Answer::ByHost);
        check(only(), "now", &Answer::ByHost);
        check(only(), "random", &LACKING);
    }

    #[test]
    fn loading_is_answered_if_the_trace_holds_it() {
        let mut recorded = RecordedAnswers::default();
        recorded.add(&event(None, "config", text("b"), text("1")));
        let phase = |to| What::Phase { from: Phase::Loaded, to, cause: String::new() };
        let started =
            Event { what: phase(Phase::Initializing), ..event(None, "now", text(""), text("")) };
        let ask = |recorded: Arc<RecordedAnswers>, plugin: &str, key: &str| {
            let answers = TraceAnswers::new(recorded, Missing::Fail);
            let answer = answers.answer(plugin, None, "config", &text(key));
            (answer, answers.divergences().before_the_trace, answers.divergences().extra)
        };
        let recorded = Arc::new(recorded);
        assert_eq!(ask(recorded.clone(), "a", "b"), (Answer::With(Ok(text("1"))), 0, 0));
        assert_eq!(ask(recorded.clone(), "a", "c"), (Answer::ByHost, 1, 0));
        assert_eq!(ask(recorded, "other", "b"), (Answer::ByHost, 1, 0));
        let mut whole = RecordedAnswers::default();
        whole.add(&started);
        assert_eq!(ask(Arc::new(whole), "a", "b"), (LACKING, 0, 1));
    }
}
