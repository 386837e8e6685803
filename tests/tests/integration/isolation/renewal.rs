//! Processes whose folders change while they run: they are replaced, once, and take their state along.

use std::fs;

use glovebox_host::{Decision, Event, InstanceId, LoadRequest, Permission, Phase, What};
use glovebox_tests::Bench;
use tempfile::TempDir;

use super::plugin::plugin;

/// A plugin of this name that counts, has a folder, and was called once.
fn counting(name: &str, limits: &str) -> (Bench, InstanceId, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let files = "[permissions.files]\nfolders = [{ path = \"data\", at = \"data\", access = \"read-write\" }]\n";
    plugin(folder.path(), name, &format!("{files}{limits}"));
    let bench = Bench::as_declared();
    let id = bench.host.load(LoadRequest::path(folder.path())).wait();
    let id = id.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bench.ask(id, "count"), "1");
    assert_eq!(bench.ask(id, "file w x"), "written");
    (bench, id, folder)
}

/// How often a fresh process was started, and with what.
fn starts(bench: &Bench) -> Vec<String> {
    let start = |event: Event| match event.what {
        What::Phase { from: Phase::Restarting, to: Phase::Ready, cause } => Some(cause),
        What::Reloaded { .. } => Some("reloaded".to_owned()),
        _ => None,
    };
    bench.events.events().into_iter().filter_map(start).collect()
}

#[test]
fn a_process_that_loses_a_folder_is_replaced_once() {
    // Calls have less time than the start takes.
    let patient = "[limits]\ncall-deadline = \"2s\"\n[lifecycle]\nstart-deadline = \"60s\"\n";
    let check = |name: &str, limits: &str, expected: &str, start: &str| {
        let (bench, id, _folder) = counting(name, limits);
        bench.host.set_decision(id, Permission::Files, Decision::Deny);
        assert_eq!(bench.ask(id, "count"), expected, "{name}");
        assert_eq!(bench.ask(id, "file w x"), "No such file or directory");
        // It waits for the work that the host does by itself.
        bench.host.restart(id).wait().unwrap();
        let starts = starts(&bench);
        assert_eq!(starts.len(), 2, "{name}: {starts:?}");
        assert_eq!(starts[0], start, "{name}");
    };
    check("keeps", "", "2", "restarted with its state, version 1");
    check("slow-start", patient, "2", "restarted with its state, version 1");
    check("forgetful", "", "1", "restarted without its state, which is lost");
}
