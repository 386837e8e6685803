use std::convert::Infallible;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::CallId;

use super::*;

fn input(number: usize, frame: Frame) -> ReplayInput {
    ReplayInput {
        frame,
        plugin: "a".into(),
        offset: Duration::from_millis(number as u64),
        cause: None,
        call: CallId(number as u64 + 1),
    }
}

fn all(frames: Vec<Frame>) -> Vec<ReplayInput> {
    frames.into_iter().enumerate().map(|(number, frame)| input(number, frame)).collect()
}

const PATIENT: Effort = Effort { budget: Duration::from_secs(3600), payloads: true };

fn run(
    inputs: &[ReplayInput],
    effort: Effort,
    fails: impl Fn(&[ReplayInput]) -> bool,
) -> Option<Shrunk> {
    let mut attempts = 0;
    let mut smallest = usize::MAX;
    let found = shrink::<Infallible>(inputs, effort, &mut |inputs| Ok(fails(inputs)), &mut |now| {
        attempts += 1;
        assert!(now.frames <= inputs.len() && now.bytes <= smallest, "it grew: {now:?}");
        smallest = now.bytes;
    });
    let Ok(found) = found;
    if let Some(found) = &found {
        assert_eq!(found.attempts, attempts + 1);
        assert!(fails(&found.inputs), "what was found does not fail");
    }
    found
}

#[test]
fn inputs_that_matter_stay() {
    /// All of these calls are needed, in this order.
    fn check(count: usize, needed: &[u64]) {
        let inputs = all((0..count).map(|n| Frame::data(n.to_string())).collect());
        let fails = |inputs: &[ReplayInput]| {
            let mut wanted = needed.iter();
            let mut next = wanted.next();
            for input in inputs {
                if next == Some(&input.call.0) {
                    next = wanted.next();
                }
            }
            next.is_none()
        };
        let effort = Effort { payloads: false, ..PATIENT };
        let found = run(&inputs, effort, fails).expect("all of it fails");
        let calls: Vec<u64> = found.inputs.iter().map(|input| input.call.0).collect();
        assert_eq!(calls, needed);
        assert!(found.complete);
    }
    check(1, &[1]);
    check(2, &[2]);
    check(100, &[]);
    check(100, &[1]);
    check(100, &[100]);
    check(300, &[3, 150, 151, 298]);
    check(7, &[1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn payloads_keep_what_matters() {
    #[track_caller]
    fn check(frame: Frame, needle: &[u8], expected: &[u8]) {
        let fails = |inputs: &[ReplayInput]| {
            let mut payloads = inputs.iter().map(|input| &input.frame.payload);
            payloads.any(|payload| payload.windows(needle.len()).any(|at| at == needle))
        };
        let other = Frame::data(&b"something else"[..]);
        let found = run(&all(vec![other.clone(), frame, other]), PATIENT, fails);
        let found = found.expect("all of it fails");
        assert_eq!(found.inputs.len(), 1);
        let payload = &found.inputs[0].frame.payload;
        assert_eq!(
            payload,
            expected,
            "{} is not {}",
            String::from_utf8_lossy(payload),
            String::from_utf8_lossy(expected)
        );
    }
    let json = r#"{"user": {"name": "Ann Example", "tags": [1, 2, 3]}, "at": 17, "list": [0]}"#;
    check(Frame::data(json), b"xam", br#"{"user":{"name":"xam"}}"#);
    check(Frame::data(json), b"3]", br#"{"user":{"tags":[3]}}"#);
    check(Frame::data(json), b"\"at\"", br#"{"at":0}"#);
    check(Frame::data(json), b"{", b"{}");
    check(Frame::data("plain text with a needle in it"), b"needle", b"needle");
    check(Frame::data(vec![7; 500]), &[7, 7, 7], &[7, 7, 7]);
    let map = vec![
        (Value::Text("a".into()), Value::Text("long text".into())),
        (Value::Text("b".into()), Value::Array(vec![Value::Integer(500), Value::Null])),
    ];
    check(Frame::data(Value::Map(map).to_bytes()), b"ext", b"\xA1\x61a\x63ext");
    // The needle is only there as it was written: byte by byte then.
    check(Frame::data(r#"{"a" : 1, "b": 2}"#), b"\" :", b"\" :");
}

#[test]
fn headers_lose_what_does_not_matter() {
    let header = Header::build().text("id", "x").text("content-type", "a/b").integer("n", 1);
    let frame = Frame::new(Kind::DATA, header.finish(), &b"x"[..]);
    let fails = |inputs: &[ReplayInput]| {
        inputs.iter().any(|input| input.frame.header.get_integer("n") == Some(1))
    };
    let found = run(&all(vec![frame]), PATIENT, fails).expect("all of it fails");
    let frame = &found.inputs[0].frame;
    assert_eq!(frame.header, Header::build().integer("n", 1).finish());
    assert!(frame.payload.is_empty());
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    assert!(run(&all(vec![Frame::data("x")]), PATIENT, |_| false).is_none());
}

#[test]
fn budgets_end_the_search() {
    let inputs = all((0..50).map(|n| Frame::data(n.to_string())).collect());
    let effort = Effort { budget: Duration::ZERO, payloads: true };
    let found = run(&inputs, effort, |_| true).expect("all of it fails");
    assert_eq!((found.inputs.len(), found.attempts, found.complete), (50, 1, false));
}

#[test]
fn errors_end_the_search() {
    let inputs = all((0..50).map(|n| Frame::data(n.to_string())).collect());
    let mut left = 5;
    let mut fails = |inputs: &[ReplayInput]| {
        left -= 1;
        if left == 0 { Err("it broke") } else { Ok(!inputs.is_empty()) }
    };
    let found = shrink(&inputs, PATIENT, &mut fails, &mut |_| {});
    assert_eq!(found.map(|_| ()), Err("it broke"));
}
