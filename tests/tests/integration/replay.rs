//! `glovebox replay`: the answers, the inputs that are sent, their targets, and the start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Permission};
use glovebox_events::{AnsweredBy, CallId, Event, HostCall, What};
use glovebox_tests::fixture;
use glovebox_trace::TraceWriter;
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
fn made_up(path: &Path, calls: &[&[(&'static str, Value, Value)]]) {
    let mut writer = TraceWriter::create(path, "test").unwrap();
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
                answered_by: AnsweredBy::Host,
            };
            write(What::HostCall { call: Some(call), host_call });
        }
    }
    writer.finish().unwrap();
}

/// The host calls of a trace, with their answers.
fn given(folder: &Folder, trace: &str) -> Vec<String> {
    let events = glovebox_trace::read(folder.0.path().join(trace)).unwrap().events.into_iter();
    let calls = events.filter_map(|event| match event.what {
        What::HostCall { host_call, .. } => Some(host_call),
        _ => None,
    });
    calls.map(|call| format!("{} {:?} {:?}", call.service, call.arguments, call.result)).collect()
}

/// A trace in which `storage` is asked for a key twice, and reads it once.
pub(crate) fn reads_of_a_key(path: &Path) {
    let get = ("kv-get", text("a"), bytes("5"));
    made_up(path, &[&[get], &[]]);
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
    assert_eq!(
        parent["parent"]["how"],
        "replayed, 3 of 5 inputs, host calls answered from the trace"
    );
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
        // The first is of loading.
        assert_eq!(first.len(), 7);
        assert_ne!(again("live.mcap", &[]), first);
        assert_eq!(again("again.mcap", &["--answers", "trace"]), first);
        // Loading is in the trace, so that it is answered too; not in one that was imported.
        let live = |trace: &str| {
            let arguments = replay(trace, plugin, &["--answers", "trace"]);
            let json = folder.json(&arguments, i32::from(trace == "in.mcap"), "");
            json["from_trace"]["targets"][0]["before_the_trace"].as_u64()
        };
        assert_eq!([live("run.mcap"), live("in.mcap")], [Some(0), Some(1)]);
    }
}

#[test]
fn divergences_are_reported() {
    let folder = Folder::new();
    let get = |key| ("kv-get", text(key), bytes("5"));
    let set = || ("kv-set", Value::Array(vec![text("b"), bytes("1")]), Value::Null);
    let calls: [&[_]; 4] = [&[get("a")], &[get("b")], &[], &[get("a"), set()]];
    made_up(&folder.0.path().join("run.mcap"), &calls);
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
    // Host calls that the trace lacks: live, or as the script says.
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
    made_up(&folder.0.path().join("run.mcap"), &[&[set]]);
    // The input of the recorded call writes; the one that reads is not in the trace.
    let mut writer = TraceWriter::create(folder.0.path().join("more.mcap"), "test").unwrap();
    let mut events: Vec<Event> =
        glovebox_trace::read(folder.0.path().join("run.mcap")).unwrap().events;
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

/// Inputs for `stats`, each with a number of its own.
pub(crate) fn numbered(count: usize) -> String {
    let line = |number| json!({"plugin": "stats", "payload": format!("number {number}")});
    let mut lines: Vec<String> = (0..count).map(|number| line(number).to_string()).collect();
    let report = json!({"plugin": "stats", "kind": "control", "payload": "report"});
    lines.push(report.to_string());
    lines.join("\n")
}

#[test]
fn some_inputs_can_be_chosen() {
    let folder = recorded("plugins/stats.wasm", &numbered(9));
    #[track_caller]
    fn check(folder: &Folder, more: &[&str], sent: u64, left_out: u64, how: &str) {
        let out = format!("out-{}.mcap", more.concat());
        let more = [more, &["--record", &out]].concat();
        let arguments = replay("run.mcap", "plugins/stats.wasm", &more);
        let json = folder.json(&arguments, 0, &format!("Replayed {sent} frame"));
        assert_eq!(json["inputs"]["sent"], sent);
        assert_eq!(json["inputs"]["filtered_out"], left_out);
        let info = folder.json(&["trace", "info", &out], 0, "");
        assert_eq!(info["parent"]["how"], how);
    }
    check(&folder, &["--range", "2..5"], 3, 7, "replayed, 3 of 10 inputs");
    check(&folder, &["--range", "8.."], 2, 8, "replayed, 2 of 10 inputs");
    check(&folder, &["--range", "..100"], 10, 0, "replayed");
    check(&folder, &["--calls", "3,#1"], 2, 8, "replayed, 2 of 10 inputs");
    check(&folder, &["--range", "2..5", "--calls", "4"], 1, 9, "replayed, 1 of 10 inputs");
    check(
        &folder,
        &["--range", "0..1", "--filter", "kind:control"],
        1,
        9,
        "replayed, 1 of 10 inputs",
    );
    check(&folder, &["--loop", "3"], 30, 0, "replayed, 3 times");
    // Into the same copies: the last report has counted all rounds.
    let twice =
        replay("run.mcap", "plugins/stats.wasm", &["--loop", "2", "--record", "twice.mcap"]);
    assert_eq!(folder.json(&twice, 0, "")["inputs"]["rounds"], 2);
    let out = folder.check(&["trace", "export", "twice.mcap"], 0, "", "");
    assert!(out.contains(r#"\"frames\":18,"#), "{out}");
    let refused = |more: &[&'static str], problem: &str, remedy: &str| {
        let arguments = replay("run.mcap", "plugins/stats.wasm", more);
        folder.refused(&arguments, 2, problem, remedy);
    };
    refused(&["--range", "10.."], "nothing from position 10 on", "only 10 inputs");
    refused(&["--calls", "3,77"], "no input of #77 is among 10 inputs", "`glovebox trace export`");
    refused(&["--range", "5..", "--calls", "2"], "no input in common", "leave one of them out");
    for (option, value, problem) in [
        ("--range", "5..5", "nothing is from 5 up to before 5"),
        ("--range", "5", "write two positions, e.g. 100..200"),
        ("--calls", "x", "write numbers of calls"),
        ("--loop", "0", "0 is not in 1.."),
    ] {
        let run = folder.run(&replay("run.mcap", "plugins/stats.wasm", &[option, value]));
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{told}");
        assert!(told.contains(problem), "{told}\ndoes not say {problem:?}");
    }
}

#[test]
fn versions_and_tiers_are_compared() {
    let folder = recorded("plugins/stats-v1.wasm", &numbered(3));
    let into = |more: &[&'static str]| replay("run.mcap", "plugins/stats-v1.wasm", more);
    let versions = ["--plugin", "plugins/stats.wasm", "--record", "both.mcap", "--junit", "r.xml"];
    let versions = into(&versions);
    let sentence = "target 2 against target 1: 4 calls compared, 1 different";
    let json = folder.json(&versions, 1, sentence);
    assert_eq!(json["inputs"]["sent"], 4);
    assert_eq!(json["calls"], 8);
    let each: Vec<_> = ["version", "calls", "frames_out"]
        .map(|key| [&json["targets"][0][key], &json["targets"][1][key]])
        .to_vec();
    assert_eq!(each, [[&json!("1.0.0"), &json!("2.0.0")], [&json!(4); 2], [&json!(1); 2]]);
    let compared = &json["comparisons"][0];
    assert_eq!([&compared["before_target"], &compared["after_target"]], [1, 2]);
    assert_eq!(compared["counts"]["changed"], 1);
    // The figures of each name it.
    let named = |at: usize| {
        let latency = &json["latency"][at];
        ["plugin", "version", "target", "instance"].map(|key| latency[key].clone())
    };
    let instances = [0, 1].map(|at: usize| json["targets"][at]["instance"].clone());
    let [first, second] = instances.clone();
    assert_eq!(named(0), [json!("stats"), json!("1.0.0"), json!(1), first]);
    assert_eq!(named(1), [json!("stats"), json!("2.0.0"), json!(2), second]);
    assert_ne!(instances[0], instances[1]);
    let junit = std::fs::read_to_string(folder.0.path().join("r.xml")).unwrap();
    let suites: Vec<&str> = junit.lines().filter(|line| line.contains("<testsuite ")).collect();
    let [run, compared] = suites[..] else { panic!("{junit}") };
    assert!(run.contains(r#"tests="4""#) && run.contains(r#"failures="0""#), "{run}");
    let name = "target 2: stats 2.0.0, component, stats.wasm against target 1: stats 1.0.0, ";
    assert!(compared.contains(name) && compared.contains(r#"failures="1""#), "{compared}");
    // Names that a person gives stand before all that tells them apart.
    let names = ["--plugin", "plugins/stats.wasm", "--name", "old", "--name", "new"];
    let json = folder.json(&into(&names), 1, "new against old: 4 calls compared, 1 different");
    assert_eq!([&json["targets"][0]["name"], &json["targets"][1]["name"]], ["old", "new"]);
    assert_eq!(json["comparisons"][0]["after"], "new: stats 2.0.0, component, stats.wasm");
    for (more, problem, remedy) in [
        (&["--name", "a", "--name", "b"][..], "2 names are given", "name each plugin once at most"),
        (
            &["--plugin", "plugins/stats.wasm", "--name", "a", "--name", "a"],
            "\"a\" tells",
            "a name of its own",
        ),
        (&["--name", " "], "\" \" tells nothing apart", "a name of its own"),
    ] {
        folder.refused(&into(more), 2, problem, remedy);
    }
    // In the new trace each has its own instance, and its load says which it is.
    let events = glovebox_trace::read(folder.0.path().join("both.mcap")).unwrap().events;
    let mut by_instance = BTreeMap::<u64, (String, usize)>::new();
    for event in events {
        let (version, inputs) = by_instance.entry(event.instance).or_default();
        match event.what {
            What::Loaded { version: loaded, .. } => *version = loaded,
            What::FrameIn { .. } => *inputs += 1,
            _ => {}
        }
    }
    let expected = [("1.0.0".to_owned(), 4), ("2.0.0".to_owned(), 4)];
    assert_eq!(by_instance.into_values().collect::<Vec<_>>(), expected);
    // The same version in two bindings does the same, and so does one of them as recorded.
    let tiers = into(&["--plugin", "plugins/stats-v1.frame-abi.wasm", "--against", "run.mcap"]);
    let sentence = "target 2 against target 1: 4 calls compared, no differences";
    let out = folder.check(&tiers, 0, "target 2     stats 1.0.0, frame ABI, stats-v1.fr", sentence);
    assert!(
        out.contains("\ntarget 1     stats 1.0.0, component, stats-v1.wasm: 4 calls (4 com"),
        "{out}"
    );
    let name =
        "\nlatency      target 2, stats 1.0.0, frame ABI, stats-v1.frame-abi.wasm, generation 1: ";
    assert!(out.contains(name), "{out}");
    // Three at once; answers of the trace are for each.
    let three = into(&[
        "--plugin",
        "plugins/stats.wasm",
        "--plugin",
        "plugins/stats.frame-abi.wasm",
        "--answers",
        "trace",
    ]);
    let json = folder.json(&three, 1, "target 3 against target 1: 4 calls compared, 1 different");
    assert_eq!(json["comparisons"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["from_trace"]["targets"].as_array().map(Vec::len), Some(3));
    // Plugins of other ids get what is theirs, and are compared with nothing.
    let other = into(&["--plugin", "plugins/echo.wasm"]);
    let json = folder.json(&other, 0, "Replayed 4 frames");
    assert_eq!(json["comparisons"], json!([]));
    assert_eq!(json["targets"][1]["calls"], 0);
}

#[test]
fn a_replay_goes_through_a_pipeline() {
    let folder = recorded("plugins/stats.wasm", &numbered(3));
    let plugin = glovebox_tests::sample("stats.wasm").canonicalize().unwrap();
    folder.write(
        "p.toml",
        format!(
            "[pipeline]\noutputs = 'only'\n[stage.only]\nfrom = 'input'\nplugin = '{}'\n",
            plugin.display()
        ),
    );
    let through = ["replay", "run.mcap", "--pipeline", "p.toml"];
    let run = ["run", "p.toml", "--trace", "run.mcap"];
    let json = folder.json(&through, 0, "Ran 4 frames through 1 stage of p");
    let same = folder.json(&run, 0, "Ran 4 frames through 1 stage of p");
    assert_eq!(json["outputs"], same["outputs"]);
    assert_eq!(json["verb"], "replay");
    let some = [&through[..], &["--range", "2..", "--loop", "5", "--record", "p.mcap"]].concat();
    folder.check(&some, 0, "10 of 10 sent", "Ran 10 frames through 1 stage of p");
    let info = folder.json(&["trace", "info", "p.mcap"], 0, "");
    assert_eq!(info["parent"]["how"], "sent through a pipeline, 2 of 4 inputs, 5 times");
    folder.refused(
        &["replay", "run.mcap", "--pipeline", "none.toml"],
        2,
        "read pipeline",
        "check the path",
    );
}

#[test]
fn a_seed_makes_runs_repeat() {
    for name in ["parity-plugin.wasm", "parity-plugin.frame-abi.wasm"] {
        let plugin = fixture(name);
        let plugin = plugin.to_str().unwrap();
        let inputs = ["service random 16", "repeat 9 service now", "count", "fail 7 on purpose"];
        let line = |input| json!({"plugin": "parity-plugin", "payload": input}).to_string();
        let folder = Folder::new();
        folder.write("in.ndjson", inputs.map(line).join("\n"));
        folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
        let run = |out: &'static str, more: &[&'static str]| {
            let more = [&["--record", out], more].concat();
            folder.check(&replay("in.mcap", plugin, &more), 1, "", "1 failed");
            timeless(&folder, out)
        };
        let first = run("a.mcap", &["--seed", "7"]);
        assert!(first.len() > 2 * inputs.len(), "{first:?}");
        assert_eq!(first, run("b.mcap", &["--seed", "7"]), "{name}");
        assert_ne!(first, run("c.mcap", &["--seed", "8"]), "{name}");
        assert_ne!(run("d.mcap", &[]), run("e.mcap", &[]), "{name}: nothing shows a difference");
    }
    let folder = recorded("plugins/echo.wasm", r#"{"plugin":"echo","payload":"a"}"#);
    let native = glovebox_tests::native_sample("echo");
    let seeded = ["--trust-native", "--seed", "7"];
    let arguments = replay("run.mcap", native.to_str().unwrap(), &seeded);
    folder.refused(&arguments, 3, "load plugin: policy: ", "`deterministic` is not available");
}

/// The content of a trace, to the byte, without the time it took.
fn timeless(folder: &Folder, name: &str) -> Vec<String> {
    let mut events = glovebox_trace::read(folder.0.path().join(name)).unwrap().events;
    events.retain(|event| !matches!(event.what, What::Loaded { .. } | What::Phase { .. }));
    events
        .into_iter()
        .map(|event| match event.what {
            What::HostCall { call, host_call } => {
                format!(
                    "{call:?} {} {:?} {:?}",
                    host_call.service, host_call.arguments, host_call.result
                )
            }
            What::CallEnded { call, outcome, memory, .. } => format!("{call} {outcome} {memory:?}"),
            what => format!("{what:?}"),
        })
        .collect()
}

/// A folder with `run.mcap`: nine inputs and a report, with snapshots before the first, after the
/// fourth and after the eighth.
fn with_snapshots(plugin: &str) -> Folder {
    let folder = Folder::new();
    folder.write("in.ndjson", numbered(9));
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let record = ["--record", "run.mcap", "--snapshot-every", "4"];
    let json = folder.json(&replay("in.mcap", plugin, &record), 0, "");
    assert_eq!(json["snapshots"], json!({"taken": 3, "refused": 0, "reason": null}));
    assert_eq!(json["recorded"]["snapshots"], 3);
    folder
}

#[test]
fn a_replay_starts_in_the_middle() {
    for plugin in ["plugins/stats.wasm", "plugins/stats.frame-abi.wasm"] {
        let folder = with_snapshots(plugin);
        let against = ["--against", "run.mcap", "--check"];
        let check = |from: &'static str, more: &[&'static str], sent: u64, before: Json| {
            let from = [&["--from", from][..], more, &against].concat();
            let sentence = format!("{sent} call");
            let json = folder.json(&replay("run.mcap", plugin, &from), 0, &sentence);
            assert_eq!(json["diff"]["different"], 0, "{from:?}");
            assert_eq!(json["calls"], sent, "{from:?}");
            let started = &json["started"];
            let after = started["snapshots"][0]["after"].clone();
            assert_eq!(json!([after, started["calls_before"]]), before, "{from:?}");
        };
        // The last input reports all that was counted, so that any state but the right one shows.
        check("frame:9", &[], 1, json!([8, 1]));
        check("frame:8", &[], 2, json!([8, 0]));
        check("frame:6", &[], 4, json!([4, 2]));
        check("call:3", &[], 8, json!([null, 2]));
        check("frame:0", &[], 10, json!([null, 0]));
        let folder = with_snapshots(plugin);
        let some = ["--from", "frame:9", "--filter", "kind:control", "--record", "end.mcap"];
        let line =
            "started at   input 9: stats from its snapshot after call #8; 1 call in between, 0 fa";
        folder.check(&replay("run.mcap", plugin, &some), 0, line, "Replayed 1 frame");
        let info = folder.json(&["trace", "info", "end.mcap"], 0, "");
        assert_eq!(info["parent"]["how"], "replayed, 1 of 10 inputs, from input 9");
        assert_eq!(info["calls"], 1);
    }
    // The store of an instance is part of its state, and what is in between may add to it.
    let folder = Folder::new();
    folder.write("in.ndjson", STORE);
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let record = ["--record", "run.mcap", "--snapshot-every", "60min"];
    folder.check(&replay("in.mcap", "plugins/storage.wasm", &record), 0, "1 snapshot", "");
    let record = ["--record", "two.mcap", "--snapshot-every", "2"];
    folder.check(&replay("in.mcap", "plugins/storage.wasm", &record), 0, "3 snapshots", "");
    for trace in ["run.mcap", "two.mcap"] {
        let from = ["--from", "frame:2", "--against", trace, "--check"];
        let sentence = "3 calls compared, no differences";
        folder.check(&replay(trace, "plugins/storage.wasm", &from), 0, "", sentence);
    }
}

#[test]
fn starts_without_a_state_are_refused() {
    let folder = with_snapshots("plugins/stats.wasm");
    let stats =
        |trace: &'static str, more: &[&'static str]| replay(trace, "plugins/stats.wasm", more);
    let from = |trace, from, problem: &str, remedy: &str| {
        folder.refused(&stats(trace, &["--from", from]), 2, problem, remedy);
    };
    from(
        "in.mcap",
        "frame:3",
        "no snapshot of `stats` from before input 3",
        "--snapshot-every 1000",
    );
    from("run.mcap", "frame:10", "--from: there is no input 10", "the trace has 10");
    from("run.mcap", "call:77", "--from: no input of the trace began call #77", "");
    for more in [["--from", "3"], ["--snapshot-every", "5"], ["--snapshot-every", "0"]] {
        assert_eq!(folder.run(&stats("run.mcap", &more)).status.code(), Some(2), "{more:?}");
    }
    // One that cannot read the state says so: the older version, which knows only its own.
    let old = replay("run.mcap", "plugins/stats-v1.wasm", &["--from", "frame:9"]);
    folder.refused(&old, 3, "load plugin: restore state: the plugin failed", "stats-v1.wasm");
    let none = replay("run.mcap", "plugins/echo.wasm", &["--from", "frame:9"]);
    folder.refused(&none, 3, "load plugin: restore state: ", "this plugin has no state");
    let record = [&none[..], &["--record", "none.mcap"]].concat();
    folder.refused(&record, 3, "load plugin: restore state: ", "this plugin has no state");
    let missing = replay("run.mcap", "plugins/missing.wasm", &["--record", "none.mcap"]);
    folder.refused(&missing, 3, "load plugin: read: ", "check the path");
    let left = std::fs::read_dir(folder.0.path()).unwrap();
    let left = left
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("none"));
    assert_eq!(left.count(), 0, "a trace of nothing is left");
}

#[test]
fn snapshots_stay_where_they_make_sense() {
    let folder = with_snapshots("plugins/stats.wasm");
    let snapshots = |trace: &str| {
        let info = folder.json(&["trace", "info", trace], 0, "Read");
        info["snapshots"].as_u64().unwrap()
    };
    assert_eq!(snapshots("run.mcap"), 3);
    folder.check(&["trace", "info", "run.mcap"], 0, "snapshots    3 of states", "");
    folder.check(&["trace", "check", "run.mcap"], 0, "", "the trace is good");
    folder.check(&["trace", "recover", "run.mcap", "-o", "recovered.mcap"], 0, "", "");
    assert_eq!(snapshots("recovered.mcap"), 3);
    folder.check(&["trace", "split", "run.mcap", "--frames", "6", "-o", "part.mcap"], 0, "", "");
    assert_eq!([snapshots("part.001.mcap"), snapshots("part.002.mcap")], [2, 1]);
    let merge = ["trace", "merge", "part.001.mcap", "part.002.mcap", "-o", "merged.mcap"];
    folder.check(&merge, 0, "", "");
    assert_eq!(snapshots("merged.mcap"), 3);
    folder.check(&["trace", "merge", "run.mcap", "in.mcap", "-o", "two.mcap"], 0, "", "");
    assert_eq!(snapshots("two.mcap"), 3);
    for trace in ["recovered.mcap", "merged.mcap"] {
        let from = ["--from", "frame:9", "--against", "run.mcap"];
        let from = replay(trace, "plugins/stats.wasm", &from);
        folder.check(&from, 1, "", "10 calls compared, 9 different: 9 missing");
    }
    folder.check(&["trace", "filter", "run.mcap", "kind:control", "-o", "few.mcap"], 0, "", "");
    assert_eq!(snapshots("few.mcap"), 0);
    let pattern = ["trace", "anonymize", "run.mcap", "--pattern", "number", "-o", "safe.mcap"];
    folder.check(&pattern, 0, "", "3 snapshots of states left out");
    assert_eq!(snapshots("safe.mcap"), 0);
    let bytes = std::fs::read(folder.0.path().join("safe.mcap")).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("stats/snapshot"), "a state is left");
}

#[test]
fn a_pipeline_is_compared_and_answered() {
    let folder = recorded("plugins/storage.wasm", STORE);
    let storage = glovebox_tests::sample("storage.wasm");
    let stage = format!("[stage.only]\nfrom = 'input'\nplugin = '{}'\n", storage.display());
    folder.write("p.toml", format!("[pipeline]\noutputs = 'only'\n{stage}"));
    let through =
        |more: &[&'static str]| [&["replay", "run.mcap", "--pipeline", "p.toml"], more].concat();
    let same = "5 calls compared, no differences";
    folder.check(&through(&["--against", "run.mcap", "--check"]), 0, "", same);
    // The recording of a run is the same as the run, with more stages too.
    let twice = "[stage.again]\nfrom = 'only'\nplugin = 'echo'\n";
    folder.write("two.toml", format!("[pipeline]\noutputs = 'again'\n{stage}{twice}"));
    let two = ["replay", "run.mcap", "--pipeline", "two.toml", "--plugin", "plugins/echo.wasm"];
    folder.check(&[&two[..], &["--record", "two.mcap"]].concat(), 0, "", "10 calls");
    let against = [&two[..], &["--against", "two.mcap", "--junit", "r.xml"]].concat();
    folder.check(&against, 0, "", "10 calls compared, no differences");
    let junit = std::fs::read_to_string(folder.0.path().join("r.xml")).unwrap();
    assert_eq!(junit.matches("<testcase").count(), 10, "{junit}");
    // A baseline is made, and broken by a run that lacks what was written before.
    let made = "made a baseline of 5 calls: b.txt";
    folder.check(&through(&["--against", "b.txt", "--accept"]), 0, "", made);
    folder.check(&through(&["--against", "b.txt", "--check"]), 0, "", same);
    let reads = ["--filter", "text:retrieve or text:list", "--against", "b.txt"];
    let json = folder.json(&through(&reads), 1, "4 different");
    assert_eq!(json["diff"]["counts"]["missing"], 2, "{json:#}");
    // The trace answers what it answered, also when not all of it is sent.
    let answers = ["--answers", "trace", "--filter", "text:retrieve or text:list", "--loop", "2"];
    let sentence = "6 host calls answered from the trace, none diverges";
    let json = folder.json(&through(&answers), 0, sentence);
    assert_eq!(json["from_trace"]["targets"][0]["outside"], 0);
    // A stage that asks what its plugin was never asked gets nothing, or what the host has.
    let lacks = ["replay", "in.mcap", "--pipeline", "p.toml", "--answers", "trace"];
    let json = folder.json(&lacks, 1, "5 diverge");
    assert_eq!(json["from_trace"]["missing"], "fail");
    folder.json(&[&lacks[..], &["--missing", "pass"]].concat(), 1, "all completed");
    for (more, problem, remedy) in [
        (&["--runs", "2"][..], "--runs looks for findings", "repeat the command"),
        (&["--from", "frame:1"], "--from and --snapshot-every", "leave --pipeline out"),
        (&["--fail-on-findings"], "--fail-on-findings and --severity", "`glovebox trace findings`"),
        (&["--html", "x.html"], "--html shows differences", "--against <BASELINE>"),
        (&["--missing", "pass"], "live answers lack nothing", "add --answers trace"),
    ] {
        folder.refused(&through(more), 2, problem, remedy);
    }
}

/// Inputs for the plugin of the parity tests and `storage`: the first emits what the second gets,
/// which gets the same from outside as well.
fn emitting() -> String {
    let emit =
        |command: &str| json!({"plugin": "parity", "payload": format!("service emit {command}")});
    let direct = |command: &str| json!({"plugin": "storage", "payload": command});
    let (store, read) = (r#"{"do":"store","key":"a","value":1}"#, r#"{"do":"retrieve","key":"a"}"#);
    let inputs = [emit(store), emit(read), direct(read), emit(read)];
    inputs.map(|input| input.to_string()).join("\n")
}

#[test]
fn what_a_plugin_emits_is_not_sent_as_well() {
    let parity = fixture("parity-plugin.wasm");
    let parity = parity.to_str().unwrap();
    let folder = Folder::new();
    folder.write("in.ndjson", emitting());
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let both = ["--plugin", parity, "--plugin", "plugins/storage.wasm"];
    let record = [&["replay", "in.mcap"], &both[..], &["--record", "run.mcap"]].concat();
    folder.check(&record, 0, "4 sent, 0 left to those that emit them", "Replayed 4 frames");

    /// Options, inputs that are sent and that are left to the emitter, and calls.
    #[track_caller]
    fn check(folder: &Folder, more: &[&str], sent: u64, emitted: u64, calls: u64) {
        let arguments = [&["replay", "run.mcap"], more].concat();
        let json = folder.json(&arguments, 0, &format!("Replayed {sent} frame"));
        let found = [&json["inputs"]["sent"], &json["inputs"]["emitted"], &json["calls"]];
        assert_eq!(found, [sent, emitted, calls], "{more:?}");
        assert_eq!(json["from_trace"]["targets"][1]["outside"].as_u64().unwrap_or(0), 0);
    }
    let with = |more: &[&'static str]| [&both[..], more].concat();
    check(&folder, &with(&[]), 4, 3, 7);
    check(&folder, &with(&["--against", "run.mcap"]), 4, 3, 7);
    check(&folder, &with(&["--answers", "trace", "--against", "run.mcap"]), 4, 3, 7);
    check(&folder, &with(&["--loop", "2"]), 8, 6, 14);
    // The first input and what it emitted.
    check(&folder, &with(&["--range", "..2"]), 1, 1, 2);
    // From the middle, in the states they had there; not where an emitted frame is cut off.
    let snapshots = ["--record", "snap.mcap", "--snapshot-every", "2"];
    folder.check(&[&["replay", "in.mcap"], &with(&snapshots)[..]].concat(), 0, "", "4 frames");
    let from = |place| [&["replay", "snap.mcap"], &with(&["--from", place])[..]].concat();
    let json = folder.json(&from("frame:2"), 0, "Replayed 3 frames");
    assert_eq!([&json["calls"], &json["started"]["calls_before"]], [5, 1], "{json:#}");
    let json = folder.json(&from("frame:4"), 0, "Replayed 2 frames");
    assert_eq!([&json["calls"], &json["started"]["calls_before"]], [3, 0], "{json:#}");
    let torn = "emits call #2 of `storage`, which is not between";
    folder.refused(&from("frame:1"), 2, torn, "without --from");
    // An emitted frame is sent if its emitter gets nothing, or is not there.
    check(&folder, &with(&["--filter", "plugin:storage"]), 4, 0, 4);
    let storage = ["--plugin", "plugins/storage.wasm"];
    check(&folder, &[&storage[..], &["--filter", "plugin:storage"]].concat(), 4, 0, 4);
    let answered = ["--answers", "trace", "--filter", "plugin:storage"];
    check(&folder, &[&storage[..], &answered].concat(), 4, 0, 4);
}
