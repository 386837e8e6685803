//! The evidence of a crash: last words, a backtrace, and one file that opens on another machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use glovebox_host::{Frame, InstanceId, LoadRequest, StackFrame};
use glovebox_tests::{Bench, PATIENCE, patient, root, sample};

use super::plugin::plugin;
use crate::cli::Folder;

#[test]
fn a_crash_leaves_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), "talks", "[permissions]\nlog = true\n");
    let bench = Bench::with(|builder| builder.quarantine_folder(folder.path().join("kept")));
    let id = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap();
    let check = |command: &str,
                 signal: Option<i32>,
                 address: Option<u64>,
                 function: Option<&str>| {
        let outcome = bench.ask(id, command);
        assert!(outcome.starts_with("crashed: "), "{outcome}");
        let failure = bench.host.plugin(id).unwrap().failures.pop().unwrap();
        let process = failure.evidence.process.unwrap();
        assert_eq!((process.signal, process.fault_address), (signal, address), "{command}");
        let found = failure.evidence.backtrace.iter().find_map(|frame| frame.function.as_deref());
        assert_eq!(found, function, "{command}: {:?}", failure.evidence.backtrace);
        let said = String::from_utf8_lossy(&failure.evidence.printed[1]).into_owned();
        assert_eq!(said, "before the end", "{command}");
        assert!(outcome.contains(&failure.cause["crashed: ".len()..]), "{failure:?}");
        assert!(failure.evidence.kept.as_ref().is_some_and(|kept| kept.is_file()), "{failure:?}");
        assert!(failure.call.is_some());
        bench.ask(id, "still there?");
    };
    check("say and segv", Some(11), Some(8), Some("process"));
    check("say and abort", Some(6), None, Some("process"));
    // It has no words left.
    check("say and exit", None, None, None);
    // Last words are no lines of the log.
    let events = format!("{:?}", bench.events.events());
    assert!(events.contains("before the end") && !events.contains("glovebox-fault"));
}

/// The failure bundles of a folder.
fn bundles(folder: &Folder) -> Vec<PathBuf> {
    let kept = folder.0.path().join("data-home/glovebox/quarantine");
    let files = fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "mcap")).collect()
}

#[test]
fn a_crash_is_one_file_that_opens_elsewhere() {
    let folder = Folder::new();
    plugin(folder.0.path(), "told", "[permissions]\nlog = true\n");
    let call = ["call", ".", "--payload", "say and segv, and a secret"];
    let run = folder.run(&call);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    let [bundle] = &bundles(&folder)[..] else { panic!("one is written: {said}") };
    let bundle = bundle.to_str().unwrap();
    assert!(said.contains(&format!("The failure is described in {bundle}")), "{said}");
    // Another machine has neither the plugin nor its host.
    let elsewhere = Folder::new();
    elsewhere.write("failure.mcap", fs::read(bundle).unwrap());
    let inspect = ["inspect", "failure.mcap"];
    let sentence = "Inspected a failure of told with ";
    let text = elsewhere.check(&inspect, 0, "cause        crashed: redacted: ", sentence);
    let digest = blake3::hash(b"before the end").to_hex();
    let printed = format!("stderr       redacted: 14 bytes, blake3 {digest}");
    for part in ["signal 11, at address 0x8", "process in its library+0x", &printed] {
        assert!(text.contains(part), "{text} lacks {part:?}");
    }
    let json = elsewhere.json(&inspect, 0, sentence);
    let failure = &json["failure"];
    assert_eq!(failure["plugin"]["id"], "told");
    assert_eq!(failure["process"]["signal"], 11);
    assert_eq!(failure["frame"]["payload-bytes"], 26);
    assert!(failure["frame"]["kept"].as_str().unwrap().ends_with(".frame"));
    assert!(failure["permissions"].as_array().unwrap().iter().any(|it| it["permission"] == "log"));
    assert!(!failure["limits"].as_array().unwrap().is_empty());
    assert!(!failure["sandbox"]["enforced"].as_array().unwrap().is_empty());
    // It is a trace like any other, but for what people sent.
    let export = ["trace", "export", "failure.mcap", "--as", "ndjson", "-o", "failure.ndjson"];
    elsewhere.check(&export, 0, "", "Exported");
    let lines = fs::read_to_string(elsewhere.0.path().join("failure.ndjson")).unwrap();
    assert!(lines.contains("payload-bytes") && lines.contains("crashed"), "{lines}");
    // All of the file, whatever it is packed in, has nothing of what was sent, said or printed, and no
    // folder of the machine that it comes from.
    let unpacked = glovebox_trace::attachments(&elsewhere.0.path().join("failure.mcap")).unwrap();
    let unpacked: Vec<u8> = unpacked.into_iter().flat_map(|one| one.data).collect();
    let all = format!("{lines}{}", String::from_utf8_lossy(&unpacked));
    let home = folder.0.path().to_str().unwrap();
    for secret in ["secret", "before the end", home] {
        assert!(!all.contains(secret), "{secret:?} in {all}");
    }
    // A flag keeps the words.
    let name = fs::read_dir(folder.0.path().join("data-home/glovebox/quarantine")).unwrap();
    name.for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
    folder.run(&[&call[..], &["--bundle-words"]].concat());
    let [bundle] = &bundles(&folder)[..] else { panic!("one is written") };
    let inspect = ["inspect", bundle.to_str().unwrap()];
    let text = folder.check(&inspect, 0, "cause        crashed: signal 11 (SIGSEGV", sentence);
    assert!(text.contains("stderr       before the end") && !text.contains("secret"), "{text}");
    elsewhere.check(&["trace", "check", "failure.mcap"], 0, "", "");
    // A crash that does not come from a frame has no frame to lie beside.
    let calls = ["call", ".", "--payload", "say and segv, and a secret", "--repeat", "5"];
    folder.run(&calls);
    let names: Vec<String> = bundles(&folder)
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(
        names.iter().any(|name| name.starts_with("told-") && name.ends_with("-stopped.mcap")),
        "{names:?}"
    );
}

#[test]
fn a_failure_of_a_trace_is_bundled_on_demand() {
    let folder = Folder::with_trace();
    let config = r#"{"mode":"trap","when":"process"}"#;
    let replay = [
        "replay",
        "in.mcap",
        "--plugin",
        "plugins/misbehave.wasm",
        "--config",
        config,
        "--record",
        "run.mcap",
    ];
    folder.run(&replay);
    let bundle = ["trace", "bundle", "run.mcap", "-o", "failure.mcap"];
    folder.check(&bundle, 0, "trapped: ", "Bundled call #");
    let inspect = ["inspect", "failure.mcap"];
    folder.check(
        &inspect,
        0,
        "cause        trapped: unreachable",
        "Inspected a failure of misbehave",
    );
    folder.check(
        &["trace", "info", "failure.mcap"],
        0,
        "bundle       of a failure of misbehave",
        "",
    );
    let refused = ["diff", "failure.mcap", "failure.mcap"];
    folder.refused(&refused, 5, "the frames are not in this failure bundle", "--payloads");
    let refused = ["replay", "failure.mcap", "--plugin", replay[3]];
    folder.refused(&refused, 5, "the frames are not in this failure bundle", "--payloads");
    // Made again of what can be read of it, it still tells of the failure.
    folder.check(&["trace", "recover", "failure.mcap", "-o", "again.mcap"], 0, "", "Recovered");
    folder.check(&["inspect", "again.mcap"], 0, "cause        trapped: unreachable", "Inspected");
    let some = ["trace", "filter", "failure.mcap", "status:error", "-o", "some.mcap"];
    folder.check(&some, 0, "", "the report of the failure is left out");
    let words = ["trace", "bundle", "run.mcap", "--words", "-o", "words.mcap"];
    folder.check(&words, 0, "", "with words, without payloads");
    folder.check(&["inspect", "words.mcap"], 0, "cause        trapped: unreachable", "Inspected");
    let whole = ["trace", "bundle", "run.mcap", "--payloads", "--call", "1", "-o", "whole.mcap"];
    folder.check(&whole, 0, "", "with payloads, without words");
    let payloads = |name: &str| {
        let out = format!("{name}.ndjson");
        let from = format!("{name}.mcap");
        folder.check(&["trace", "export", &from, "--as", "ndjson", "-o", &out], 0, "", "Exported");
        fs::read_to_string(folder.0.path().join(out)).unwrap().contains("hello")
    };
    assert!(payloads("whole") && !payloads("failure"));
    // There are those without a failure, and those that are none.
    let nothing = ["trace", "bundle", "in.mcap", "-o", "none.mcap"];
    folder.check(&nothing, 1, "", "Bundled 0 failures: there is no failure in in.mcap");
    assert!(!folder.0.path().join("none.mcap").exists());
    folder.refused(&["inspect", "in.mcap"], 2, "no failure bundle", "glovebox trace bundle");
}

/// The functions and places of the last failure of a sample that misbehaves in this way.
fn backtrace_of(bench: &Bench, id: InstanceId, mode: &str) -> Vec<StackFrame> {
    let outcome = bench.host.call(id, &Frame::data(format!("mode={mode}"))).outcome.to_string();
    let failure = bench.host.plugin(id).unwrap().failures.pop().unwrap();
    assert_eq!(failure.cause, outcome);
    let frames = &failure.evidence.backtrace;
    assert!((1..=32).contains(&frames.len()), "{failure:?}");
    assert!(frames.iter().all(|frame| frame.offset.is_some()), "{failure:?}");
    // Nothing is looked up before somebody asks.
    assert!(frames.iter().all(|frame| frame.place.is_none()), "{failure:?}");
    bench.host.backtrace(id, &failure)
}

#[test]
fn a_trap_has_a_backtrace() {
    let bench = Bench::new();
    let id = bench.load("misbehave.wasm");
    for mode in ["trap", "recurse"] {
        let frames = backtrace_of(&bench, id, mode);
        assert!(frames.iter().all(|frame| frame.function.is_some()), "{frames:?}");
    }
}

/// A sample that is built with lines, and found again while its file is the same.
#[test]
#[cfg_attr(
    not(has_wasm_target),
    ignore = "run `rustup target add wasm32-unknown-unknown`, or set GLOVEBOX_CARGO to a cargo that has it"
)]
fn a_trap_names_files_and_lines() {
    let (target, folder) = ("wasm32-unknown-unknown", root().join("target/wasm-check"));
    let wrapper = std::env::var_os("GLOVEBOX_CARGO");
    let output = Command::new(wrapper.unwrap_or_else(|| env!("CARGO").into()))
        .args(["build", "--target", target, "-p", "glovebox-misbehave"])
        .args(["--manifest-path".as_ref(), root().join("Cargo.toml").as_os_str()])
        .args(["--target-dir".as_ref(), folder.as_os_str()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = folder.join(target).join("debug/glovebox_misbehave.wasm");
    let own = tempfile::tempdir().unwrap();
    let artifact = own.path().join("misbehave.wasm");
    fs::copy(built, &artifact).unwrap();
    let bench = Bench::new();
    let request = LoadRequest::path(&artifact).limits(patient()).compile_deadline(PATIENCE);
    let id = bench.host.load(request).wait().unwrap();
    let source = fs::read_to_string(root().join("sample-plugins/misbehave/src/lib.rs")).unwrap();
    let check = |mode: &str, line: &str| {
        let frames = backtrace_of(&bench, id, mode);
        let number = 1 + source.lines().position(|one| one.contains(line)).unwrap();
        let place = format!("misbehave/src/lib.rs:{number}");
        let found = frames
            .iter()
            .find(|frame| frame.place.as_ref().is_some_and(|found| found.ends_with(&place)));
        let found = found.unwrap_or_else(|| panic!("{place} is not in {frames:#?}"));
        let function = found.function.as_deref().unwrap_or_default();
        assert!(function.contains("misbehave") || function.contains("Misbehave"), "{function}");
    };
    check("trap", "Mode::Trap =>");
    check("panic", "Mode::Panic =>");
    check("recurse", "recurse(black_box(depth + 1))");
    // Another file in its place says nothing about what ran.
    fs::copy(sample("misbehave.wasm"), &artifact).unwrap();
    let frames = backtrace_of(&bench, id, "trap");
    assert!(frames.iter().all(|frame| frame.place.is_none()), "{frames:#?}");
    let names = frames.iter().filter_map(|frame| frame.function.as_deref());
    assert!(names.clone().any(|name| name.contains("misbehave")), "{frames:#?}");
    assert!(names.clone().all(|name| !name.starts_with("_R") && !name.starts_with("_ZN")));
}
