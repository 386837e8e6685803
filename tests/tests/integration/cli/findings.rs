//! Budgets and findings: `glovebox replay`, `trace findings`, `findings`.

use glovebox_tests::guest::Guest;
use serde_json::Value as Json;

use super::Folder;

/// A folder with a small plugin under these budgets, and `in.mcap` with so many inputs for it.
/// `fields` are more of the module.
fn folder(budget: &str, fields: &str, frames: &str) -> Folder {
    let folder = Folder::new();
    folder.write("guest.wat", Guest { fields, ..Guest::default() }.module());
    let manifest =
        format!("[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n[budget]\n{budget}\n");
    folder.write("plugin.toml", manifest);
    let generate = ["trace", "generate", "in.mcap", "--frames", frames, "--plugin", "guest"];
    folder.check(&generate, 0, "", "Generated");
    folder
}

/// On a busy machine any call may be slow, which is not what these tests are about.
const REPLAY: [&str; 6] =
    ["replay", "in.mcap", "--plugin", "plugin.toml", "--severity", "slow-frame=off"];

/// `rule: what` of each finding, without numbers that differ each time.
fn found(json: &Json, key: &str, text: &str) -> Vec<String> {
    let all = json[key].as_array().unwrap().iter();
    let all = all.map(|one| {
        let text = one[text].as_str().unwrap();
        let what = text.split(" is ").next().unwrap();
        format!("{}: {what}", one["rule"].as_str().unwrap())
    });
    all.collect()
}

#[test]
fn budgets_are_judged() {
    let budget = "p99 = \"1 ns\"\nmemory = 1\ncpu = 0.5\nload-time = \"1 min\"";
    let whole = folder(budget, "", "120");
    let replay = |more: &[&str], exit: i32, sentence: &str| {
        whole.json(&[&REPLAY[..], more].concat(), exit, sentence)
    };
    let json = replay(&["--record", "out.mcap"], 0, "2 findings (2 errors)");
    let broken = ["budget-broken: p99", "budget-broken: memory"];
    assert_eq!(found(&json, "findings", "message"), broken, "{json:#}");
    let cpu = &json["not_judged"][0];
    assert!(cpu["reason"].as_str().unwrap().contains("`--speed real`"), "{json:#}");
    replay(&["--fail-on-findings"], 1, "2 findings");
    replay(&["--fail-on-findings=error"], 1, "2 findings");
    let mild = ["--fail-on-findings=error", "--severity", "budget-broken=warning"];
    replay(&mild, 0, "2 findings (2 warnings)");
    let json = replay(&["--fail-on-findings", "--severity", "budget-broken=off"], 0, "completed");
    assert_eq!(json["findings"], Json::Array(Vec::new()));
    let text =
        whole.check(&REPLAY, 0, "\nfinding      error budget-broken: guest generation 1: ", "");
    assert!(text.contains("over 120 calls, the budget is 1 ns; see event "), "{text}");
    // The budget is in the trace; the load is not.
    let trace =
        ["trace", "findings", "out.mcap", "--fail-on-findings", "--severity", "slow-frame=off"];
    let json = whole.json(&trace, 1, "2 findings (2 errors)");
    assert_eq!(found(&json, "findings", "message"), broken, "{json:#}");
    // Each piece of evidence is a frame of the trace.
    let ndjson = whole.check(&["trace", "export", "out.mcap"], 0, "", "Exported");
    for one in json["findings"][0]["evidence"].as_array().unwrap() {
        let line = ndjson.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let mut line = line.filter(|line| line["sequence"] == one["sequence"]);
        let event = line.next().unwrap_or_else(|| panic!("{one} is not in the trace"));
        assert_eq!((&event["type"], &event["call"]), (&"frame-in".into(), &one["call"]));
    }
    // Too few calls are said to be too few.
    let few = folder("p99 = \"1 ns\"", "", "99");
    few.check(
        &REPLAY,
        0,
        "not judged   guest: p99: 99 calls are too few, 100 are needed",
        "all completed",
    );
}

#[test]
fn the_source_and_the_manifest_must_agree() {
    let section = |text: &str| format!("(@custom \"glovebox:budget\" \"{text}\\00\\00\")");
    let inspect = |folder: &Folder| folder.json(&["inspect", "plugin.toml"], 0, "it can be loaded");
    let both = folder("p50 = \"1 ms\"", &section("p99 = \\\"2 ms\\\"\\n"), "1");
    let budget = &inspect(&both)["manifest"]["budget"];
    assert_eq!((&budget["p50"], &budget["p99"]), (&"1 ms".into(), &"2 ms".into()));
    let same = folder("p99 = \"2 ms\"", &section("p99 = \\\"2000us\\\""), "1");
    assert_eq!(inspect(&same)["manifest"]["budget"]["p99"], "2 ms");
    let other = folder("p99 = \"2 ms\"", &section("p99 = \\\"500us\\\""), "1");
    other.refused(
        &REPLAY,
        3,
        "parse manifest: `budget.p99` is 500 µs in the attribute `#[budget]` of the source, but 2 \
         ms in plugin.toml",
        "remove one of the two, or make them the same",
    );
    let damaged = folder("", &section("p98 = 1"), "1");
    damaged.refused(&REPLAY, 3, "parse manifest: the section with the budget is damaged", "`p99`");
}

#[test]
fn rules_look_over_replays_and_traces() {
    let folder = Folder::new();
    let line = "{\"plugin\":\"misbehave\",\"payload\":\"mode=fail\"}\n";
    folder.write("in.ndjson", line.repeat(6));
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let replay = ["replay", "in.mcap", "--plugin", "plugins/misbehave.wasm"];
    let twice = [&replay[..], &["--runs", "2", "--record", "out.mcap"]].concat();
    let json = folder.json(&twice, 1, "1 finding (1 warning)");
    assert_eq!(json["calls"], 6, "the second run counts for findings alone");
    let finding = &json["findings"][0];
    assert_eq!(finding["rule"], "retry-storm", "{json:#}");
    assert!(finding["message"].as_str().unwrap().starts_with("the same frame failed 6 times"));
    assert_eq!(finding["evidence"].as_array().unwrap().len(), 5);
    // Two runs of the same input were compared, so nothing is said about that.
    let reasons = found(&json, "not_judged", "reason");
    assert!(!reasons.iter().any(|one| one.starts_with("non-det")), "{reasons:?}");
    let json = folder.json(&[&replay[..], &["--runs", "1"]].concat(), 1, "1 finding");
    let reasons = found(&json, "not_judged", "reason");
    let once = "non-deterministic-output: needs two runs of the same input".to_owned();
    assert!(reasons.contains(&once), "{reasons:?}");

    let trace = ["trace", "findings", "out.mcap"];
    folder.check(&trace, 0, "finding      warning retry-storm: misbehave", "1 finding (1 warning)");
    folder.check(&[&trace[..], &["--fail-on-findings"]].concat(), 1, "", "1 finding");
    folder.check(&[&trace[..], &["--fail-on-findings=error"]].concat(), 0, "", "1 finding");
    let off = [&trace[..], &["--severity", "retry-storm=off"]].concat();
    folder.check(&off, 0, "", "0 findings");
    let wrong = [&trace[..], &["--severity", "retry-strom=off"]].concat();
    let run = folder.run(&wrong);
    assert_eq!(run.status.code(), Some(2));
    assert!(super::text(&run.stderr).contains("did you mean `retry-storm`?"), "{run:?}");

    let list = folder.json(&["findings"], 0, "Listed 13 rules");
    assert_eq!(list["rules"][0]["rule"], "budget-broken");
}

#[test]
fn figures_are_exported() {
    let folder = folder("", "", "120");
    folder.check(&[&REPLAY[..], &["--record", "out.mcap"]].concat(), 0, "p99.99 ", "120 frames");
    let export = |more: &[&str], data: &str| {
        folder.check(&[&["trace", "export", "out.mcap"], more].concat(), 0, data, "Exported")
    };
    let labels = "plugin=\"guest\",instance=\"0\",version=\"0.0.0\",generation=\"1\"";
    let calls = &format!("glovebox_plugin_calls_total{{{labels}}} 120\n");
    export(&["--as", "prometheus"], calls);
    let csv = |step: &str, length: &str| {
        let out = export(&["--as", "csv", "--step", step], "plugin,instance,version,start_ns,");
        let lines = out.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        let lines: Vec<_> = lines.collect();
        assert!(
            lines.iter().all(|line| line[..3] == ["guest", "0", "0.0.0"] && line[4] == length),
            "{out}"
        );
        let frames = lines.iter().map(|line| line[5].parse::<u64>().unwrap());
        assert_eq!(frames.sum::<u64>(), 240, "{out}");
    };
    csv("1s", "1000000000");
    csv("100ms", "100000000");
    let json: Json = serde_json::from_str(&export(&["--as", "perfetto"], "traceEvents")).unwrap();
    let entries = json["traceEvents"].as_array().unwrap();
    assert_eq!(entries.iter().filter(|one| one["args"]["outcome"] == "completed").count(), 120);
    let packets = ["trace", "export", "out.mcap", "--as", "pcapng", "-o", "out.pcapng"];
    let packets = [&packets[..], &["--dissector", "frames.lua"]].concat();
    folder.check(&packets, 0, "", "Exported 240 frames to out.pcapng");
    let lua = std::fs::read_to_string(folder.0.path().join("frames.lua")).unwrap();
    assert!(
        lua.contains("\nDissectorTable.get(\"wtap_encap\"):add(wtap.USER0, glovebox)\n"),
        "{lua}"
    );
    for field in ["string(\"glovebox.outcome\"", "relative_time(\"glovebox.latency\""] {
        assert!(lua.contains(field), "{lua}\nlacks {field}");
    }
    assert!(lua.contains("local outcomes = { \"completed\", \"cancelled\", "), "{lua}");
    let misplaced = ["trace", "export", "out.mcap", "--dissector", "frames.lua"];
    folder.refused(&misplaced, 2, "--dissector is for packets", "add --as pcapng");
}
