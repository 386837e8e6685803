//! Baselines, reports and shrinking.

use std::fs;

use glovebox_tests::root;

use super::Folder;

impl Folder {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }
}

/// Three inputs whose answers depend on nothing but them.
const MAILS: &str = r#"{"plugin":"redact","payload":"{\"mail\":\"ann@example.org\",\"n\":1}"}
{"plugin":"redact","payload":"nothing to see"}
{"plugin":"redact","payload":"{\"mail\":\"bob@example.org\",\"n\":2}"}
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("mails.ndjson", MAILS);
    let import = ["trace", "import", "mails.ndjson", "-o", "in.mcap"];
    folder.check(&import, 0, "in.mcap", "Imported 3 events");
    folder
}

#[test]
fn baselines_are_made_checked_and_changed() {
    let folder = folder();
    let replay = ["replay", "in.mcap", "--plugin", "plugins/redact.wasm"];
    let check = |more: &[&str], exit: i32, sentence: &str| {
        let arguments = [&replay[..], &["--against", "b.txt"], more].concat();
        folder.json(&arguments, exit, sentence)
    };
    let nothing = [&replay[..], &["--against", "b.txt", "--check"]].concat();
    folder.refused(&nothing, 2, "there is no baseline yet", "make it with --accept");
    check(&["--accept"], 0, "made a baseline of 3 calls: b.txt");
    let first = folder.read("b.txt");
    assert!(first.starts_with("# Glovebox baseline 1\n"), "{first}");
    let stanza = "== redact 1: out data json\n{\"mail\":\"[redacted]\",\"n\":1}\n";
    assert!(first.contains(stanza), "{first}");
    let values =
        "3 calls compared, no differences; a baseline holds values, not how they are written";
    check(&["--check"], 0, values);
    let idle = "`--ignore /payload/mial` is about nothing that was compared; `--tolerance /payload/mail=1` \
                is about nothing that was compared";
    let mistyped = ["--ignore", "/payload/mial", "--tolerance", "/payload/mail=1", "--check"];
    let json = check(&mistyped, 0, idle);
    let rules = ["ignore /payload/mial", "tolerance /payload/mail=1"];
    assert_eq!(json["baseline"]["rules_about_nothing"], serde_json::json!(rules));
    check(&["--accept", "all"], 0, "0 calls accepted");
    assert_eq!(folder.read("b.txt"), first, "accepting the same run again changes nothing");

    let other = ["--config", r#"{"replacement":"X"}"#];
    let changed = |more: &[&str], exit: i32, sentence: &str| {
        check(&[&other[..], more].concat(), exit, sentence)
    };
    let json = changed(&["--check"], 1, "2 different: 2 changed; 1 group");
    assert_eq!(
        json["diff"]["groups"][0]["title"],
        "2 calls of redact differ only in /payload/mail"
    );
    let group = json["diff"]["groups"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(folder.read("b.txt"), first, "--check writes nothing");
    changed(&["--check", "--ignore", "/payload/mail"], 0, "no differences");
    changed(&["--accept", "00000000"], 2, &format!("groups are {group}"));
    changed(&["--reject", &group], 1, "0 calls accepted, 2 rejected, 0 left: b.txt");
    let json = changed(&["--check"], 1, "1 group rejected before");
    assert_eq!(json["baseline"]["rejected_before"][0], *group);
    changed(&["--accept", "#3"], 1, "1 call accepted, 0 rejected, 1 left");
    let text = folder.read("b.txt");
    assert!(text.contains(stanza), "the other call stays as it was: {text}");
    assert!(text.contains("{\"mail\":\"X\",\"n\":2}"), "{text}");
    changed(&["--accept", &group], 0, "1 call accepted, 0 rejected, 0 left");
    changed(&["--check"], 0, "no differences");

    folder.write("b.txt", first.replace("== redact 2: in data text", "== redact 2: in data txt"));
    let damaged = [&replay[..], &["--against", "b.txt"]].concat();
    folder.refused(&damaged, 5, "line ", "`txt` is not json, cbor, text");
    let wrong = ["diff", "in.mcap", "in.mcap", "--ignore", "/payload/a~2"];
    let said = String::from_utf8_lossy(&folder.run(&wrong).stderr).into_owned();
    assert!(said.contains("at character 11, a `~` stands alone; write `~0`"), "{said}");
    let trace = [&replay[..], &["--against", "in.mcap", "--accept"]].concat();
    folder.refused(&trace, 2, "a trace cannot be changed", "name a baseline");
}

#[test]
fn inputs_are_not_compared_with_answers() {
    let folder = folder();
    let replay = ["replay", "in.mcap", "--plugin", "plugins/redact.wasm"];
    folder.check(&[&replay[..], &["--record", "run.mcap"]].concat(), 0, "", "Replayed");
    for sides in [["in.mcap", "run.mcap"], ["run.mcap", "in.mcap"]] {
        let diff = [&["diff"][..], &sides].concat();
        folder.refused(&diff, 2, "in.mcap holds inputs only, and run.mcap", "replay the inputs");
    }
    folder.check(&["diff", "in.mcap", "in.mcap"], 0, "", "3 calls compared, no differences");
    let against = ["--against", "in.mcap"];
    let verbs: [&[&str]; 3] = [
        &replay,
        &["watch", "plugins/redact.wasm", "--trace", "in.mcap", "--once"],
        &["trace", "shrink", "in.mcap", "--plugin", "plugins/redact.wasm", "-o", "o.mcap"],
    ];
    for verb in verbs {
        let verb = [verb, &against].concat();
        folder.refused(&verb, 2, "this trace holds inputs only", "name the trace of a run");
    }
}

#[test]
fn differences_are_reported_for_others() {
    let folder = Folder::new();
    let trace = root().join("assets/traces/shop.mcap");
    let trace = trace.to_str().unwrap();
    let record = |out: &str, config: &str| {
        let more = ["--record", out, "--config", config];
        let replay = ["replay", trace, "--plugin", "plugins/redact.wasm"];
        folder.check(&[&replay[..], &more].concat(), 0, "recorded", "Replayed 221 frames");
    };
    record("a.mcap", "{}");
    record("b.mcap", r#"{"cards":false}"#);
    let diff = ["diff", "a.mcap", "b.mcap", "--html", "r.html", "--junit", "r.xml"];
    let json = folder.json(&diff, 1, "changed");
    let different = json["different"].as_u64().unwrap();
    let grouped: u64 = json["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["calls"].as_u64().unwrap())
        .sum();
    assert_eq!(grouped, different, "every call that is different is in one group");
    assert_eq!(json["latency"][0]["calls"], 221);
    let xml = folder.read("r.xml");
    assert!(xml.contains(r#"tests="221""#), "{}", &xml[..400]);
    assert!(xml.contains(&format!(r#"failures="{different}""#)), "{}", &xml[..400]);
    let page = folder.read("r.html");
    assert!(page.contains("<svg") && !page.contains("<script"));
    let nowhere = ["diff", "a.mcap", "b.mcap", "--html", "none/r.html"];
    folder.refused(&nowhere, 1, "then stopped: write: ", "none/r.html");
    let replay = ["replay", trace, "--plugin", "plugins/redact.wasm", "--html", "r.html"];
    folder.refused(&replay, 2, "--html shows differences", "--against <BASELINE>");
}

#[test]
fn failing_traces_are_shrunk() {
    let folder = Folder::new();
    let mut inputs = String::new();
    for number in 0..60 {
        let payload = if number == 41 { "mode=trap" } else { "hello" };
        inputs.push_str(&format!("{{\"plugin\":\"misbehave\",\"payload\":\"{payload}\"}}\n"));
    }
    folder.write("in.ndjson", inputs);
    let import = ["trace", "import", "in.ndjson", "-o", "in.mcap"];
    folder.check(&import, 0, "in.mcap", "Imported 60 events");
    // Time enough on a busy machine.
    let patient = ["--budget", "60min"];
    let shrink = ["trace", "shrink", "in.mcap", "--plugin", "plugins/misbehave.wasm", "-o"];
    let arguments = [&shrink[..], &["small.mcap", "--outcome", "trapped"], &patient].concat();
    let json = folder.json(&arguments, 0, "Shrunk 60 frames to 1 and");
    assert_eq!((json["frames"].as_u64(), json["complete"].as_bool()), (Some(1), Some(true)));
    assert!(json["bytes"].as_u64() < Some(20), "{json}");
    folder.check(&["trace", "info", "small.mcap"], 0, "made from    in.mcap: shrunk from 60", "");
    let again = ["replay", "small.mcap", "--plugin", "plugins/misbehave.wasm"];
    folder.check(&again, 4, "1 trapped", "Replayed 1 frame");
    folder.refused(&arguments, 2, "will not overwrite", "choose another name");
    let none = [&shrink[..], &["none.mcap", "--outcome", "timed-out"]].concat();
    folder.check(&none, 1, "", "none of 60 calls timed-out");
    let hurried = [&shrink[..], &["hurried.mcap", "--budget", "0s"]].concat();
    folder.check(&hurried, 0, "hurried.mcap", "the budget was used up");
}

#[test]
fn traces_are_shrunk_to_a_difference() {
    let folder = folder();
    let replay = ["replay", "in.mcap", "--plugin", "plugins/redact.wasm", "--against", "b.txt"];
    folder.check(&[&replay[..], &["--accept"]].concat(), 0, "", "made a baseline");
    let shrink = ["trace", "shrink", "in.mcap", "--plugin", "plugins/redact.wasm", "--against"];
    let changed =
        ["b.txt", "-o", "small.mcap", "--config", r#"{"replacement":"X"}"#, "--budget", "60min"];
    let json = folder.json(&[&shrink[..], &changed].concat(), 0, "Shrunk 3 frames to 1");
    assert!(json["failing"].as_str().unwrap().contains("/payload/mail"), "{json}");
    let same = [&shrink[..], &["b.txt", "-o", "same.mcap"]].concat();
    folder.check(&same, 1, "", "there is no such difference");
}

#[test]
fn a_baseline_knows_its_trace() {
    let folder = folder();
    folder.write("other.ndjson", MAILS.lines().next().unwrap());
    let import = ["trace", "import", "other.ndjson", "-o", "other.mcap"];
    folder.check(&import, 0, "", "Imported 1 event");
    fs::copy(folder.0.path().join("in.mcap"), folder.0.path().join("moved.mcap")).unwrap();
    let redact = glovebox_tests::sample("redact.wasm");
    let stage = format!("plugin = '{}'\nfrom = 'input'", redact.display());
    folder.write("p.toml", format!("[pipeline]\noutputs = 'one'\n[stage.one]\n{stage}"));
    let compare = |trace: &str, how: &[&str], more: &[&str], exit: i32| {
        let arguments = [&["replay", trace, "--against", "b.txt"], how, more].concat();
        folder.json(&arguments, exit, "")
    };
    let (plugin, pipeline) = (["--plugin", "plugins/redact.wasm"], ["--pipeline", "p.toml"]);
    compare("in.mcap", &plugin, &["--accept"], 0);
    let made = folder.read("b.txt");
    let line = made.lines().find(|line| line.starts_with("trace 3 ")).unwrap();
    assert!(line.ends_with(" in.mcap"), "{line}");
    /// If it is said that the trace is another one.
    #[track_caller]
    fn check(json: &serde_json::Value, expected: &str) {
        let warning = json["baseline"]["warning"].as_str().unwrap_or_default();
        assert_eq!(warning.is_empty(), expected.is_empty(), "{warning}");
        assert!(warning.contains(expected), "{warning}");
    }
    let is_other = ", and other.mcap (1 input, ";
    for how in [plugin, pipeline] {
        check(&compare("in.mcap", &how, &["--check"], 0), "");
        check(&compare("moved.mcap", &how, &["--check"], 0), "");
        check(&compare("in.mcap", &how, &["--range", "1.."], 1), "");
        check(&compare("other.mcap", &how, &["--check"], 1), is_other);
    }
    let other = ["replay", "other.mcap", "--plugin", "plugins/redact.wasm", "--against", "b.txt"];
    folder.check(&other, 1, "warning: the baseline belongs to in.mcap (3 inputs, ", "2 missing");
    // A baseline without the line is read, and gets it when it is written.
    folder.write("b.txt", made.replace(&format!("{line}\n"), ""));
    check(&compare("other.mcap", &plugin, &["--check"], 1), "");
    compare("in.mcap", &plugin, &["--accept"], 0);
    assert_eq!(folder.read("b.txt"), made);
    // It is the other trace's once all of that is right, and not before.
    compare("other.mcap", &plugin, &["--reject", "all"], 1);
    assert!(folder.read("b.txt").contains(line));
    compare("other.mcap", &plugin, &["--accept"], 0);
    assert!(folder.read("b.txt").contains("\ntrace 1 "));
}

/// A trace that was recorded of a replay names the plugin that ran, not the one that the first trace
/// was about: what is sent is the same.
#[test]
fn a_baseline_of_a_replay_fits_the_trace_that_was_replayed() {
    let folder = Folder::new();
    folder.write("mails.ndjson", MAILS.replace("redact", "capture"));
    folder.check(&["trace", "import", "mails.ndjson", "-o", "in.mcap"], 0, "", "3 events");
    let plugin = ["--plugin", "plugins/redact.wasm"];
    let replay = |trace: &'static str, more: &[&'static str]| {
        [&["replay", trace], &plugin[..], more].concat()
    };
    folder.check(&replay("in.mcap", &["--record", "run.mcap"]), 0, "", "Replayed 3 frames");
    let accept = ["--against", "b.txt", "--accept"];
    folder.check(&replay("run.mcap", &accept), 0, "", "made a baseline of 3 calls");
    let against = ["--against", "b.txt", "--check"];
    for trace in ["in.mcap", "run.mcap"] {
        let json = folder.json(&replay(trace, &against), 0, "no differences");
        assert!(json["baseline"]["warning"].is_null(), "{trace}: {}", json["baseline"]["warning"]);
    }
}
