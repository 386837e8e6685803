//! `glovebox doctor`, native plugins without any option, and frames of the quarantine.

use std::fs;

use glovebox_abi::{Frame, Header, Kind};
use glovebox_tests::native_sample;

use super::Folder;

#[test]
fn the_machine_is_examined() {
    let folder = Folder::new();
    let arguments = ["doctor", "--json", "-"];
    let run = folder.run(&arguments);
    let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    // Whether all promises are kept is a matter of the machine; the exit code says the same.
    let holds = json["holds"].as_bool().unwrap();
    assert_eq!(run.status.code(), Some(if holds { 0 } else { 1 }));
    let sections = json["sections"].as_array().unwrap();
    let names: Vec<_> = sections.iter().filter_map(|one| one["section"].as_str()).collect();
    assert_eq!(names, ["promises", "layers", "machine", "folders", "containers", "build"]);
    let checks = |section: usize| sections[section]["checks"].as_array().unwrap();
    assert_eq!(checks(1).len(), 15);
    let is_kept = |check: &serde_json::Value| check["result"] == "works";
    assert_eq!(checks(0).iter().all(is_kept), holds, "{:?}", checks(0));
    for check in sections.iter().flat_map(|one| one["checks"].as_array().unwrap()) {
        // Something that is missing for good has no remedy.
        let has_words = check["found"].as_str().is_some_and(|found| !found.is_empty());
        assert!(has_words && check["promised"].is_boolean(), "{check}");
    }
    let text = folder.check(&["doctor"], if holds { 0 } else { 1 }, "layers: ", "Examined this");
    assert!(text.lines().all(|line| line.is_empty() || !line.ends_with(' ')), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_machine_on_which_no_worker_starts_is_found_out() {
    let folder = Folder::new();
    let mut command = std::process::Command::new("sh");
    let program = folder.command(&[]).get_program().to_owned();
    command.args(["-c", "ulimit -n 20; exec \"$0\" doctor --json -"]).arg(program);
    let run = command.current_dir(folder.0.path()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let start = &json["sections"][0]["checks"][0];
    assert_eq!((&start["check"], &start["result"]), (&"starts".into(), &"missing".into()));
    assert!(start["found"].as_str().unwrap().contains("Too many open files"), "{start}");
    assert!(start["remedy"].as_str().unwrap().contains("ulimit -n"), "{start}");
    assert_eq!((run.status.code(), &json["holds"]), (Some(1), &false.into()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_native_plugin_is_called_without_any_option() {
    let folder = Folder::new();
    let library = native_sample("echo");
    let library = library.to_str().unwrap();
    let call = ["call", library, "--payload", "hello"];
    let json = folder.json(&call, 0, "Called echo once: completed with 1 frame");
    assert_eq!(json["plugin"]["isolation"], "process");
    assert!(json["plugin"]["sandbox"]["enforced"].as_array().is_some_and(|all| !all.is_empty()));
    let here = [&call[..], &["--isolation", "in-process"]].concat();
    folder.refused(&here, 3, "load plugin: policy: ", "--trust-native");
    let trusted = [&call[..], &["--trust-native"]].concat();
    let json = folder.json(&trusted, 0, "completed with 1 frame");
    assert_eq!(json["plugin"]["isolation"], "in-process");
}

#[test]
fn a_kept_frame_is_sent_again() {
    let folder = Folder::new();
    let header = Header::build().text("topic", "a").finish();
    let frame = Frame::new(Kind::ERROR, header, "poison");
    folder.write("kept.frame", frame.to_bytes());
    let call = ["call", "plugins/echo.wasm", "--frame", "kept.frame"];
    let json = folder.json(&call, 0, "completed with 1 frame");
    assert_eq!(json["frames"][0]["payload"], "poison", "{json}");
    folder.write("other.frame", "hello");
    let other = ["call", "plugins/echo.wasm", "--frame", "other.frame"];
    folder.refused(&other, 2, "this file holds no frame", "other.frame");
    let missing = ["call", "plugins/echo.wasm", "--frame", "none.frame"];
    folder.refused(&missing, 2, "none.frame", "check the path");
    assert!(fs::metadata(folder.0.path().join("kept.frame")).is_ok());
}
