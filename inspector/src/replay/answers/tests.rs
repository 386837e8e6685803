use std::borrow::Cow;
use std::time::Duration;

use glovebox_abi::Permission;
use glovebox_events::{AnsweredBy, Event, HostCall, Phase, What};

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
        answered_by: AnsweredBy::Host,
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
    /// Checks reads and writes in the call against the divergences: changed, extra, not made.
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

/// A failed use was recorded without most of its arguments, and is found by those that are left.
#[test]
fn what_was_cut_is_found_by_its_digest() {
    #[track_caller]
    fn check(asked: &[u8], expected: Result<Value, ServiceError>) {
        let set = |value: Value| Value::Array(vec![text("c"), value]);
        let recorded_set = set(evidence::of_bytes(&[7; 5000]));
        let mut event = event(Some(1), "kv-set", recorded_set, Value::Null);
        let What::HostCall { host_call, .. } = &mut event.what else { panic!("it is one") };
        host_call.result = Err(ServiceError::LimitExceeded);
        let mut recorded = RecordedAnswers::default();
        recorded.add(&event);
        let answers = TraceAnswers::new(Arc::new(recorded), Missing::Fail);
        answers.begin(CallId(1), &"a".into());
        let asked = set(Value::Bytes(asked.to_vec()));
        let answer = answers.answer("a", Some(CallId(7)), "kv-set", &asked);
        assert_eq!(answer, Answer::With(expected));
    }
    let mut other = [7; 5000];
    other[4999] = 8;
    check(&[7; 5000], Err(ServiceError::LimitExceeded));
    check(&other, Err(ServiceError::Unavailable));
    check(&[7; 4999], Err(ServiceError::Unavailable));
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
fn calls_that_come_by_themselves_are_answered() {
    /// Frames of calls that come by themselves, one after the other, each of which reads `a`;
    /// and what is noticed: answered, not made, outside.
    #[track_caller]
    fn check(frames: &[&str], expected: (u64, u64, u64)) {
        let answers = TraceAnswers::new(recorded(), Missing::Fail);
        answers.expect(CallId(1), &"a".into(), &Frame::data("one"));
        for frame in frames {
            let frame = Frame::data((*frame).to_owned());
            let call = || {
                answers.call_begins("a", &frame);
                answers.answer("a", Some(CallId(7)), "kv-get", &text("a"));
                answers.call_ends();
            };
            thread::scope(|scope| scope.spawn(call).join().unwrap());
        }
        answers.expect_no_more(true);
        let found = answers.divergences();
        assert_eq!((found.answered, found.not_made, found.outside), expected, "{frames:?}");
    }
    check(&["one"], (1, 3, 0));
    check(&["other"], (0, 4, 1));
    check(&["other", "one", "one"], (1, 3, 2));
    check(&[], (0, 4, 0));
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
