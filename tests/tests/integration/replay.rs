//! `glovebox replay`, as far as it can be trusted: what answers, what is sent, to whom, from where.

use std::borrow::Cow;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Permission};
use glovebox_events::{CallId, Event, HostCall, What};
use glovebox_inspector::trace::{self, TraceWriter};
use glovebox_tests::fixture;
use serde_json::{Value as Json, json};

use super::cli::Folder;

/// Commands for the sample `storage`: what is read was written before.
const STORE: &str = r#"{"plugin":"storage","payload":"{\"do\":\"store\",\"key\":\"a\",\"value\":1}"}
{"plugin":"storage","payload":"{\"do\":\"retrieve\",\"key\":\"a\"}"}
{"plugin":"storage","payload":"{\"do\":\"list\"}"}
{"plugin":"storage","payload":"{\"do\":\"delete\",\"key\":\"a\"}"}
{"plugin":"storage","payload":"{\"do\":\"retrieve\",\"key\":\"a\"}"}
"#;

/// A folder with `run.mcap`, in which a plugin was given these inputs.
fn recorded(plugin: &str, inputs: &str) -> Folder {
    let folder = Folder::new();
    folder.write("in.ndjson", inputs);
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let replay = ["replay", "in.mcap", "--plugin", plugin, "--record", "run.mcap"];
    folder.check(&replay, 0, "", "all completed");
    folder
}

fn replay<'a>(trace: &'a str, plugin: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["replay", trace, "--plugin", plugin], more].concat()
}

/// A trace in which a plugin is asked for `a` and each call made these host calls: a service, what
/// was asked, what came back.
fn made_up(folder: &Folder, name: &str, calls: &[&[(&'static str, Value, Value)]]) {
    let mut writer = TraceWriter::create(folder.0.path().join(name), "test").unwrap();
    let mut sequence = 0;
    let mut write = |what| {
        let event = Event {
            sequence,
            at: sequence,
            plugin: "storage".into(),
            instance: 0,
            generation: 1,
            what,
        };
        sequence += 1;
        writer.write(&event).unwrap();
    };
    for (number, host_calls) in calls.iter().enumerate() {
        let call = CallId(number as u64 + 1);
        let frame = Frame::data(r#"{"do":"retrieve","key":"a"}"#);
        write(What::FrameIn { call, frame });
        for (service, arguments, result) in *host_calls {
            let host_call = HostCall {
                service: Cow::Borrowed(service),
                permission: Permission::Kv,
                arguments: arguments.clone(),
                result: Ok(result.clone()),
                took: Duration::ZERO,
            };
            write(What::HostCall { call: Some(call), host_call });
        }
    }
    writer.finish().unwrap();
}

/// What services were asked and gave, in a trace.
fn given(folder: &Folder, trace: &str) -> Vec<String> {
    let events = trace::read(folder.0.path().join(trace)).unwrap().events.into_iter();
    let calls = events.filter_map(|event| match event.what {
        What::HostCall { host_call, .. } => Some(host_call),
        _ => None,
    });
    calls.map(|call| format!("{} {:?} {:?}", call.service, call.arguments, call.result)).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

#[test]
fn the_trace_answers_what_it_answered() {
    let folder = recorded("plugins/storage.wasm", STORE);
    let storage = |more: &[&'static str]| replay("run.mcap", "plugins/storage.wasm", more);
    // Only what reads: live, the store is empty.
    let reads = ["--filter", "text:retrieve or text:list"];
    let live = [&reads[..], &["--record", "live.mcap"]].concat();
    folder.check(&storage(&live), 0, "", "Replayed 3 frames");
    let out = folder.check(&["trace", "export", "live.mcap"], 0, "", "Exported");
    assert!(out.contains(r#"{\"keys\":[]}"#), "{out}");
    let answered = [&["--answers", "trace", "--record", "again.mcap"], &reads[..]].concat();
    let json = folder.json(&storage(&answered), 0, "3 host calls answered from the trace, none");
    assert_eq!(json["from_trace"]["recorded"], 5);
    assert_eq!(json["from_trace"]["missing"], "fail");
    let parent = folder.json(&["trace", "info", "again.mcap"], 0, "");
    assert_eq!(parent["parent"]["how"], "replayed, host calls answered from the trace");
    let out = folder.check(&["trace", "export", "again.mcap"], 0, "", "Exported");
    for expected in [r#"{\"key\":\"a\",\"value\":1}"#, r#"{\"keys\":[\"a\"]}"#] {
        assert!(out.contains(expected), "{out}\nlacks {expected}");
    }
}

#[test]
fn time_and_chance_come_from_the_trace() {
    for name in ["parity-plugin.wasm", "parity-plugin.frame-abi.wasm"] {
        let plugin = fixture(name);
        let plugin = plugin.to_str().unwrap();
        let inputs = ["service random 16", "service now", "service config", "repeat 3 service now"];
        let line = |input| json!({"plugin": "parity-plugin", "payload": input}).to_string();
        let folder = recorded(plugin, &inputs.map(line).join("\n"));
        let again = |out: &'static str, more: &[&'static str]| {
            folder.check(
                &replay("run.mcap", plugin, &[&["--record", out], more].concat()),
                0,
                "",
                "",
            );
            given(&folder, out)
        };
        let first = given(&folder, "run.mcap");
        assert_eq!(first.len(), 6);
        assert_ne!(again("live.mcap", &[]), first);
        assert_eq!(again("again.mcap", &["--answers", "trace"]), first);
    }
}

#[test]
fn divergences_are_reported() {
    let folder = Folder::new();
    let get = |key| ("kv-get", text(key), bytes("5"));
    let set = || ("kv-set", Value::Array(vec![text("b"), bytes("1")]), Value::Null);
    let calls: [&[_]; 4] = [&[get("a")], &[get("b")], &[], &[get("a"), set()]];
    made_up(&folder, "run.mcap", &calls);
    let storage = |more: &[&'static str]| replay("run.mcap", "plugins/storage.wasm", more);
    let sentence = "2 host calls answered from the trace, 3 diverge in 3 inputs";
    let json = folder.json(&storage(&["--answers", "trace"]), 1, sentence);
    assert_eq!(json["outcomes"], json!({"completed": 2, "failed": 2}));
    let found = &json["from_trace"]["targets"][0];
    let told = |call: u64, service: &str, expected: Json, asked: Json| {
        json!({"call": call, "plugin": "storage", "service": service, "expected": expected,
            "asked": asked})
    };
    let expected = json!([
        told(2, "kv-get", "\"b\"".into(), "\"a\"".into()),
        told(3, "kv-get", Json::Null, "\"a\"".into()),
        told(4, "kv-set", "[\"b\",\"hex:31\"]".into(), Json::Null),
    ]);
    assert_eq!(found["list"], expected);
    assert_eq!([&found["changed"], &found["extra"], &found["not_made"]], [1, 1, 1]);
    let line = "diverges     call #2 of storage, kv-get: recorded \"b\", asked \"a\"";
    folder.check(&storage(&["--answers", "trace"]), 1, line, sentence);
    // What the trace lacks: live, or as the script says.
    let rule = |rule: &'static str, more: &[&'static str]| {
        let arguments = [&["--answers", "trace", "--missing", rule], more].concat();
        let json = folder.json(&storage(&arguments), 1, sentence);
        assert_eq!(json["outcomes"], json!({"completed": 4}), "{rule}");
        assert_eq!(json["from_trace"]["missing"], rule);
    };
    rule("pass", &[]);
    folder.write("mock.toml", "[kv]\na = '7'");
    rule("canned", &["--mock", "mock.toml"]);
    let canned = ["--answers", "trace", "--missing", "canned"];
    let record = [&canned[..], &["--mock", "mock.toml", "--record", "canned.mcap"]].concat();
    folder.check(&storage(&record), 1, "", sentence);
    let out = folder.check(&["trace", "export", "canned.mcap"], 0, "", "");
    assert_eq!(out.matches(r#"{\"key\":\"a\",\"value\":7}"#).count(), 2, "{out}");
    // With --against the comparison decides.
    folder.check(&storage(&record[..2]), 1, "", sentence);
    let against = ["--answers", "trace", "--missing", "pass", "--against", "canned.mcap"];
    let ignore = ["--ignore", "/payload/value", "--ignore", "/host"];
    folder.check(&storage(&[&against[..], &ignore].concat()), 0, "", sentence);
    folder.refused(&storage(&canned), 2, "there are no canned answers", "--mock <FILE>");
    folder.refused(&storage(&["--missing", "pass"]), 2, "live answers", "add --answers trace");
    let production = ["--answers", "trace", "--profile", "production"];
    folder.check(
        &storage(&production),
        3,
        "",
        "load plugin: policy: mock host services are refused",
    );
}

#[test]
fn what_was_written_is_there_for_what_passes() {
    let folder = Folder::new();
    let set = ("kv-set", Value::Array(vec![text("a"), bytes("5")]), Value::Null);
    made_up(&folder, "run.mcap", &[&[set]]);
    // The input of the recorded call writes; the one that reads is not in the trace.
    let mut writer = TraceWriter::create(folder.0.path().join("more.mcap"), "test").unwrap();
    let mut events: Vec<Event> = trace::read(folder.0.path().join("run.mcap")).unwrap().events;
    if let What::FrameIn { frame, .. } = &mut events[0].what {
        *frame = Frame::data(r#"{"do":"store","key":"a","value":5}"#);
    }
    let frame = Frame::data(r#"{"do":"retrieve","key":"a"}"#);
    events.push(Event {
        sequence: 2,
        what: What::FrameIn { call: CallId(2), frame },
        ..events[1].clone()
    });
    events.iter().for_each(|event| writer.write(event).unwrap());
    writer.finish().unwrap();
    let pass = ["--answers", "trace", "--missing", "pass", "--record", "out.mcap"];
    let pass = replay("more.mcap", "plugins/storage.wasm", &pass);
    folder.check(&pass, 1, "", "1 host call answered from the trace, 1 diverges in 1 input");
    let out = folder.check(&["trace", "export", "out.mcap"], 0, "", "");
    assert!(out.contains(r#"{\"key\":\"a\",\"value\":5}"#), "{out}");
}
