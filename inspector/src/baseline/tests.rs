use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Failure, Frame, Header, Kind, Permission, ServiceError};
use glovebox_events::{AnsweredBy, CallId, HostCall, Outcome};

use super::*;
use crate::diff::{RunCall, RunOutput};

fn call(plugin: &str, input: Frame, outputs: Vec<Frame>) -> RunCall {
    RunCall {
        id: CallId(40),
        plugin: plugin.into(),
        input,
        outputs: outputs.into_iter().map(RunOutput::from).collect(),
        host_calls: Vec::new(),
        outcome: Some(Outcome::Completed),
        latency: Some(Duration::from_millis(1)),
    }
}

fn data(payload: impl AsRef<[u8]>) -> Frame {
    Frame::data(payload.as_ref().to_vec())
}

fn run(calls: impl IntoIterator<Item = RunCall>) -> Run {
    Run::from_calls("run", calls)
}

fn rules(ignore: &[&str]) -> DiffOptions {
    let ignore = ignore.iter().map(|text| text.parse().expect(text)).collect();
    DiffOptions { ignore, ..DiffOptions::default() }
}

#[test]
fn baselines_read_well() {
    let header = Header::build().text("id", "a").finish();
    let mut first = call(
        "redact",
        Frame::new(Kind::DATA, header, r#"{"mail": "ann@b", "at": 12}"#),
        vec![data("two\n\nlines\n"), data([0xFF, 0])],
    );
    first.host_calls = vec![
        HostCall {
            service: "log".into(),
            permission: Permission::Log,
            arguments: Value::Array(vec![Value::Integer(2), Value::Text("1 mail".into())]),
            result: Ok(Value::Null),
            took: Duration::from_nanos(77),
            answered_by: AnsweredBy::Host,
        },
        HostCall {
            service: "now".into(),
            permission: Permission::Now,
            arguments: Value::Array(Vec::new()),
            result: Ok(Value::Integer(1_700_000_000)),
            took: Duration::ZERO,
            answered_by: AnsweredBy::Host,
        },
    ];
    let mut second = call("redact", Frame::new(Kind(0x61), Header::empty(), Vec::new()), vec![]);
    second.outcome = Some(Failure::invalid("bad").into());
    let other = call("echo", data(Value::Array(vec![Value::Bytes(vec![1])]).to_bytes()), vec![]);
    let expected = r#"# Glovebox baseline 1
# Made by `glovebox replay … --against THIS --accept`. Lines that start with # are comments.
ignore /payload/at

== echo 1: in data cbor
["hex:01"]

== echo 1: end completed

== redact 1: in data json
header {"id":"a"}
{"at":"…","mail":"ann@b"}

== redact 1: host
{"arguments":[2,"1 mail"],"permission":"log","result":null,"service":"log"}

== redact 1: host
{"arguments":[],"permission":"now","service":"now"}

== redact 1: out data text
| two
|
| lines
|

== redact 1: out data hex
ff00

== redact 1: end completed

== redact 2: in 0x61 empty

== redact 2: end failed
{"code":2,"message":"bad","outcome":"failed"}
"#;
    let made = Baseline::of(&run([first, other, second]), &rules(&["/payload/at"]));
    assert_eq!(made.to_string(), expected);
    let read: Baseline = expected.parse().expect("it was just written");
    assert_eq!(read.to_string(), expected);
    assert_eq!(read.rules, rules(&["/payload/at"]));
    assert_eq!(read.run().len(), 3);
}

#[test]
fn runs_survive_the_file() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut RunCall)) {
        let mut one = call("a", data("in"), vec![]);
        change(&mut one);
        let run = run([one]);
        let made = Baseline::of(&run, &DiffOptions::default());
        let read: Baseline = made.to_string().parse().expect("what is written can be read");
        assert_eq!(read.to_string(), made.to_string());
        let review = Review::of(read, &run);
        assert!(review.diff().is_same(), "{}\n{made}", review.diff().to_text());
        assert_eq!(review.diff().counts.same, 1);
    }
    let output = |payload: &[u8]| {
        let frame = data(payload);
        move |call: &mut RunCall| call.outputs.push(frame.into())
    };
    check(output(b""));
    check(output(b"\n"));
    check(|call| {
        call.outputs = vec![
            RunOutput { frame: data("1"), emitted: true },
            RunOutput { frame: data("1"), emitted: false },
        ];
    });
    check(output(b"== redact 1: in data json"));
    check(output(b"# no comment\n\n| x"));
    check(output(b"a\r\nb\x1b[31m"));
    check(output(b"{\"f\": 0.1, \"e\": 1e300, \"z\": -0.0, \"g\": 123456789.123456789}"));
    check(output("[\"\u{2028} == \\u0000 \u{202E}\"]".as_bytes()));
    check(output(&[0xA1, 0x01, 0xFB, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0]));
    check(output(&[0x82, 0xC2, 0x41, 7, 0xF6]));
    check(output(
        br#"{"id":123456789012345678901,"n":[-0,0.10,1E2,1e400],"a":1,"a":{"b":2,"b":3}}"#,
    ));
    check(output(br#"{"\ud83d":"\udc00","\u0000":"\u001f"}"#));
    check(output(&[vec![b'['; 10_000], vec![b']'; 10_000]].concat()));
    check(output(&[vec![0x81; 10_000], vec![0x80]].concat()));
    check(output(&[
        0x86, 0xF7, 0xF0, 0xC1, 0x05, 0xF9, 0x7E, 0x01, 0x66, b'h', b'e', b'x', b':', b'0', b'0',
        0xFA, 0x3F, 0x80, 0, 0,
    ]));
    check(output(&[0xA3, 0x01, 0x02, 0x61, b'1', 0x03, 0x80, 0x04]));
    check(|call| {
        let tag = Value::Tag(0, Box::new(Value::Text("x".repeat(100))));
        call.input.header = Header::from_entries(vec![(Value::Integer(7), tag)]);
    });
    check(|call| {
        call.host_calls = vec![HostCall {
            service: "kv-set".into(),
            permission: Permission::Kv,
            arguments: Value::Array(vec![Value::Text("hex:00".into()), Value::Bytes(vec![0])]),
            result: Ok(Value::Tag(5, Box::new(Value::Float(f64::NAN)))),
            took: Duration::ZERO,
            answered_by: AnsweredBy::Host,
        }];
    });
    check(output(&(0..=255).collect::<Vec<u8>>()));
    check(|call| call.plugin = "has space: \"and\" more".into());
    check(|call| call.plugin = "".into());
    check(|call| call.input.kind = Kind(0x07));
    check(|call| call.outcome = None);
    check(|call| {
        call.outcome =
            Some(Outcome::TimedOut { deadline: Duration::from_millis(20), made_up: false })
    });
    check(|call| {
        let limit = LimitKind::Memory;
        call.outcome = Some(Outcome::LimitExceeded { limit, asked: 2, allowed: 1, made_up: false });
    });
    check(|call| {
        let long = "x".repeat(200);
        call.input.header = Header::build().text("id", long).integer("n", 1).finish();
    });
    check(|call| {
        call.host_calls = ERRORS_OF_SERVICES
            .map(|error| HostCall {
                service: "kv-get".into(),
                permission: Permission::Kv,
                arguments: Value::Array(vec![Value::Bytes(vec![1])]),
                result: Err(error),
                took: Duration::ZERO,
                answered_by: AnsweredBy::Host,
            })
            .to_vec();
    });
}

const ERRORS_OF_SERVICES: [ServiceError; 4] = [
    ServiceError::Denied,
    ServiceError::Invalid,
    ServiceError::LimitExceeded,
    ServiceError::Unavailable,
];

#[test]
fn what_makes_no_sense_names_its_line() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = text.parse::<Baseline>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let with = |rest: &str| format!("{FIRST_LINE}\n{rest}");
    check("", "its first line is not `# Glovebox baseline 1`");
    check("# Glovebox baseline 2\n", "make a baseline with --accept");
    check(&with("ignore payload"), "line 2 of the baseline: `payload` is not a path");
    check(&with("\ntolerance x"), "line 3 of the baseline: `x` is not a tolerance");
    check(&with("hello"), "line 2 of the baseline: expected trace, ignore, tolerance, rejected");
    check(&with("== a: in data empty"), "line 2 of the baseline: expected `== PLUGIN NUMBER");
    check(&with("== a 1: end completed"), "line 2 of the baseline: the call has no `in`");
    check(&with("== a 1: what"), "`what` is not in, host, emit, out or end");
    check(&with("== a 1: in data json\n{\"a\":\n1,}"), "line 4 of the baseline: no JSON");
    check(&with("== a 1: in data hex\nxyz"), "line 3 of the baseline: no hexadecimal");
    check(&with("== a 1: in data text\nxyz"), "line 3 of the baseline: a line of text starts");
    check(&with("== a 1: in data xml\n<a/>"), "`xml` is not json, cbor, text");
    check(&with("== a 1: in dta empty"), "`dta` is no kind of frame");
    check(&with("== a 1: in data empty\n== a 1: in data empty"), "line 3 of the baseline: a call");
    check(
        &with("== a 1: in data empty\n== a 1: end failed\n{\"outcome\":\"cancelled\"}"),
        "line 3 of the baseline: says `failed`, and `cancelled` below",
    );
    check(
        &with("== a 1: in data empty\n== a 1: host\n{\"service\":\"log\"}"),
        "a host call lacks its permission",
    );
}

#[test]
fn decisions_lead_to_a_baseline() {
    fn answers(answers: &[&str]) -> Run {
        let calls = answers.iter().enumerate();
        run(calls
            .filter(|(_, answer)| !answer.is_empty())
            .map(|(number, answer)| call("a", data(format!("in {number}")), vec![data(answer)])))
    }
    /// The answers of the baseline, and how many groups are known as wrong, after decisions about
    /// what is different.
    #[track_caller]
    fn check(decisions: &[Decision], expected: &[&str], rejected: usize) {
        let before = answers(&["[1]", "[2]", "3", "4", "5", ""]);
        let after = answers(&["[1]", "[9]", "8", "", "5", "7"]);
        let baseline = Baseline::of(&before, &DiffOptions::default());
        let review = Review::of(baseline, &after);
        let different: Vec<usize> = review.diff().different().collect();
        assert_eq!(different.len(), decisions.len(), "{}", review.diff().to_text());
        let next = review.decide(|at| {
            let place = different.iter().position(|found| *found == at);
            decisions[place.expect("only what is different is asked for")]
        });
        let found: Vec<String> = next
            .run()
            .iter()
            .map(|call| String::from_utf8_lossy(&call.outputs[0].frame.payload).into_owned())
            .collect();
        assert_eq!(found, expected);
        assert_eq!(next.rejected.len(), rejected);
        let again: Baseline = next.to_string().parse().expect("what is written can be read");
        assert_eq!(again.to_string(), next.to_string());
        // A rejected group is known the next time, until it is accepted or gone.
        let review = Review::of(again, &after);
        assert_eq!(review.known_as_wrong().len(), rejected);
        assert_eq!(review.decide(|_| Decision::Skip).rejected.len(), rejected);
        let next = review.decide(|_| Decision::Accept);
        assert!(next.rejected.is_empty());
        let all = Baseline::of(&after, &DiffOptions::default());
        assert_eq!(next.to_string(), all.to_string());
    }
    use Decision::{Accept, Reject, Skip};
    check(&[Skip; 4], &["[1]", "[2]", "3", "4", "5"], 0);
    check(&[Accept; 4], &["[1]", "[9]", "8", "5", "7"], 0);
    check(&[Accept, Skip, Skip, Skip], &["[1]", "[9]", "3", "4", "5"], 0);
    check(&[Skip, Skip, Accept, Skip], &["[1]", "[2]", "3", "5"], 0);
    check(&[Skip, Skip, Skip, Accept], &["[1]", "[2]", "3", "4", "5", "7"], 0);
    check(&[Reject, Accept, Reject, Skip], &["[1]", "[2]", "8", "4", "5"], 2);
}

#[test]
fn files_are_written_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("b.txt");
    let baseline = Baseline::of(&run([call("a", data("x"), vec![])]), &DiffOptions::default());
    baseline.write(&path).expect("it can be written");
    baseline.write(&path).expect("it can be written again");
    assert!(Baseline::is_one(&path));
    assert_eq!(Baseline::read(&path).expect("it can be read").to_string(), baseline.to_string());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    let nowhere = baseline.write(folder.path().join("no/b.txt")).unwrap_err().to_string();
    assert!(nowhere.contains("cannot write the baseline"), "{nowhere}");
    assert!(!Baseline::is_one(folder.path().join("none")));
    // Some editors put a mark in front.
    std::fs::write(&path, format!("\u{FEFF}{baseline}")).expect("a file");
    assert!(Baseline::is_one(&path));
    assert_eq!(Baseline::read(&path).expect("it can be read").to_string(), baseline.to_string());
    std::fs::write(&path, "something else").expect("a file");
    assert!(!Baseline::is_one(&path));
    let error = Baseline::read(&path).unwrap_err().to_string();
    assert!(error.ends_with("b.txt"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_payload_survives(payload: Vec<u8>, header in proptest::option::of("[a-z]{0,8}")) {
        let header = header.map_or_else(Header::empty, |id| Header::build().text("id", id).finish());
        let frame = Frame::new(Kind::DATA, header, payload);
        let run = run([call("a", frame.clone(), vec![frame])]);
        let made = Baseline::of(&run, &DiffOptions::default());
        let read: Baseline = made.to_string().parse().expect("what is written can be read");
        proptest::prop_assert!(Review::of(read, &run).diff().is_same());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(ignore|== a 1: in data|\\{|\"|\n| |json|hex|\\PC){0,40}") {
        let _ = format!("{FIRST_LINE}\n{text}").parse::<Baseline>();
    }
}

#[test]
fn traces_are_known_by_their_inputs() {
    use glovebox_events::{Event, What};

    let event = |instance: u64, plugin: &str, what| {
        let (sequence, at) = (0, 0);
        Event { sequence, at, plugin: plugin.into(), instance, generation: 1, what }
    };
    let begins = |call: u64, payload: &str| {
        let (call, frame) = (CallId(call), data(payload));
        What::FrameIn { call, frame }
    };
    let trace = |name: &str, inputs: &[(&str, &str)]| {
        let events = inputs.iter().enumerate();
        let events =
            events.map(|(call, (plugin, payload))| event(0, plugin, begins(call as u64, payload)));
        SourceTrace::of_events(name, &events.collect::<Vec<_>>())
    };
    let one = trace("a.mcap", &[("redact", "x"), ("redact", "y")]);
    #[track_caller]
    fn check(one: &SourceTrace, other: &SourceTrace, expected: bool) {
        assert_eq!(one.has_inputs_of(other), expected, "{one}, {other}");
        assert_eq!(other.to_string().parse().as_ref(), Ok(other));
    }
    check(&one, &trace("the same, moved.mcap", &[("redact", "x"), ("redact", "y")]), true);
    check(&one, &trace("a.mcap", &[("redact", "x")]), false);
    check(&one, &trace("a.mcap", &[("redact", "y"), ("redact", "x")]), false);
    check(&one, &trace("a.mcap", &[("redact", "xy"), ("redact", "")]), false);
    check(&one, &SourceTrace::default(), false);
    // A recording names the plugin that ran, and has the frames that plugins emitted to each other.
    check(&one, &trace("a.mcap", &[("capture", "x"), ("capture", "y")]), true);
    let emits = |call: u64, payload: &str| {
        let (call, frame) = (CallId(call), data(payload));
        What::FrameOut { call, index: 0, emitted: true, frame }
    };
    let mut run = vec![
        event(1, "redact", begins(1, "x")),
        event(1, "redact", emits(1, "z")),
        event(2, "stats", begins(2, "z")),
        event(1, "redact", begins(3, "y")),
    ];
    check(&one, &SourceTrace::of_events("run.mcap", &run), true);
    run.remove(1);
    check(&one, &SourceTrace::of_events("run.mcap", &run), false);
    // It is written and read, and stays what it is when somebody decides.
    let known = Baseline { trace: Some(one.clone()), ..Baseline::default() };
    let text = known.to_string();
    assert!(text.contains(&format!("\ntrace 2 {:08x} a.mcap\n", one.digest)), "{text}");
    let again: Baseline = text.parse().unwrap();
    assert_eq!(again.trace, Some(one.clone()));
    let decided = Review::of(again, &Run::default()).decide(|_| Decision::Accept);
    assert_eq!(decided.trace, Some(one));
    for wrong in ["trace 2", "trace x 3f2a81c0 a", "trace 2 3f2a81c a", "trace 2 +f2a81c0 a"] {
        let error = format!("{FIRST_LINE}\n{wrong}\n").parse::<Baseline>().unwrap_err();
        let expected = "line 2 of the baseline: expected `trace INPUTS DIGEST NAME`";
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn values_that_differ_break_a_baseline() {
    #[track_caller]
    fn check(before: &[u8], after: &[u8], rules: &[&str], expected: Class) {
        let accepted = |payload: &[u8]| run([call("a", data("in"), vec![data(payload)])]);
        let baseline = Baseline::of(&accepted(before), &self::rules(rules));
        let read: Baseline = baseline.to_string().parse().expect("what is written can be read");
        let review = Review::of(read, &accepted(after));
        assert_eq!(review.diff().entries[0].class, expected, "{baseline}");
        // Accepting what is accepted already changes nothing.
        let again = Review::of(baseline, &accepted(before)).decide(|_| Decision::Accept);
        assert_eq!(
            again.to_string(),
            Baseline::of(&accepted(before), &self::rules(rules)).to_string()
        );
    }
    use crate::diff::Class::{self, Changed, Same};
    check(b"{\"id\":123456789012345678901}", b"{\"id\":123456789012345678902}", &[], Changed);
    check(b"{\"a\":1,\"a\":2}", b"{\"a\":3,\"a\":2}", &[], Changed);
    check(b"[-0]", b"[0]", &[], Changed);
    check(b"[0.10]", b"[0.1]", &[], Changed);
    check(b"{\"a\":1,\"b\":2}", b"{ \"b\":2,\"a\":1}", &[], Same);
    check(&[0x81, 0xC1, 0x05], &[0x81, 0xC0, 0x05], &[], Changed);
    check(&[0x81, 0x41, 0], &[0x81, 0x66, b'h', b'e', b'x', b':', b'0', b'0'], &[], Changed);
    check(&[0x81, 0xF9, 0x7E, 0], &[0x81, 0xF9, 0x7E, 1], &[], Changed);
    // An ignored value is in no file, in its bytes neither.
    check(&[0x82, 0xC1, 0x05, 0x01], &[0x82, 0xC1, 0x06, 0x01], &["/payload/0"], Same);
    let tagged = |value| [&[0xA2, 0x01, 0xC1, 0x05, 0x61, b't'][..], &[value]].concat();
    check(&tagged(1), &tagged(2), &["/payload/t"], Same);
    check(b"{\"t\":1,\"t\":2,\"b\":3}", b"{\"t\":4,\"t\":5,\"b\":3}", &["/payload/t"], Same);
}

#[test]
fn bytes_behind_json_must_say_the_same() {
    #[track_caller]
    fn check(body: &str, expected: &str) {
        let text = format!("{FIRST_LINE}\n== a 1: in data cbor\n{body}");
        let error = text.parse::<Baseline>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    check(
        "[6]\ncbor 81c105",
        "line 4 of the baseline: the JSON and the bytes behind it say different",
    );
    check("[5]\ncbor 81c1", "line 4 of the baseline: no CBOR");
    check("[5]\ncbor 8", "line 4 of the baseline: no hexadecimal");
    check("[123456789012345678901]", "line 3 of the baseline: the number 123456789012345678901");
    check("header {\"a\":\n1,}\n[5]", "line 4 of the baseline: no JSON from column 3 on");
}
