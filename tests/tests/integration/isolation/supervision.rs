//! The fate of frames and plugins whose processes end.

use std::fs;
use std::time::Duration;

use glovebox_host::{Event, Frame, LoadRequest, Outcome, What};
use glovebox_inspector::findings::{RecordBuilder, Severities, judge};
use glovebox_tests::{Bench, native_sample};

use super::plugin::{is_gone, load, plugin, wait_until_gone};
use crate::cli::Folder;

/// The notes and phases of all plugins, in order.
fn causes(bench: &Bench) -> Vec<String> {
    let cause = |event: Event| match event.what {
        What::Phase { cause: text, .. } | What::Note { text, .. } => Some(text),
        _ => None,
    };
    bench.events.events().into_iter().filter_map(cause).collect()
}

#[test]
fn a_poison_frame_is_tried_twice_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (artifact, kept) = (folder.path().join("plugin"), folder.path().join("kept"));
    fs::create_dir(&artifact).unwrap();
    plugin(&artifact, "poisoned", "");
    let bench = Bench::with(|builder| builder.quarantine_folder(&kept));
    let id = bench.host.load(LoadRequest::path(&artifact)).wait().unwrap();
    let frames = ["before", "segv", "after"].map(Frame::data);
    let replies: Vec<Outcome> =
        frames.iter().map(|frame| bench.host.call(id, frame).outcome).collect();
    assert_eq!((&replies[0], &replies[2]), (&Outcome::Completed, &Outcome::Completed));
    let Outcome::Crashed { cause, .. } = &replies[1] else { panic!("{:?}", replies[1]) };
    assert!(cause.starts_with("signal 11 (SIGSEGV"), "{cause}");
    assert!(cause.contains("twice with this frame"), "{cause}");
    let file = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|end| end == "frame"));
    let file: Vec<_> = file.collect();
    assert_eq!(file.len(), 1, "{file:?}");
    let again = Frame::decode(&fs::read(&file[0]).unwrap().into()).unwrap();
    assert_eq!(again, frames[1]);
    let command = format!("glovebox call {}", artifact.join("plugin.so").display());
    assert!(cause.contains(&command), "{cause}");
    let notes = causes(&bench);
    let has = |text: &str| notes.iter().filter(|note| note.contains(text)).count();
    assert_eq!((has("is sent once more, alone"), has("a frame crashed it twice")), (1, 1));
    // The trace has one call for it, and both frames around it.
    let latency = |event: Event| match event.what {
        What::CallEnded { timing, .. } => Some(timing.latency()),
        _ => None,
    };
    let took: Vec<Duration> = bench.events.events().into_iter().filter_map(latency).collect();
    assert_eq!(took.len(), 3);
    // It took time until the process crashed, twice.
    assert!(took.iter().all(|took| !took.is_zero()), "{took:?}");
}

#[test]
fn a_crash_that_does_not_come_again_loses_no_frame() {
    // It crashes on the first frame of all, and leaves a word in its folder.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let files = "[permissions.files]\nfolders = [{ path = \"data\", at = \"data\", access = \"read-write\" }]\n";
    plugin(folder.path(), "once", files);
    let bench = Bench::as_declared();
    let id = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap();
    let reply = bench.host.call(id, &Frame::data("once"));
    assert_eq!(reply.outcome, Outcome::Completed);
    assert_eq!(reply.frames[0].payload, "once");
    let notes = causes(&bench);
    assert!(notes.iter().any(|note| note.contains("is sent once more")), "{notes:?}");
    assert_eq!(bench.host.plugin(id).unwrap().stats.restarts, 1);
    // The call is completed; the crash is told all the same.
    let mut builder = RecordBuilder::default();
    bench.events.events().iter().for_each(|event| builder.ingest(event));
    let judgement = judge(builder.record(), &Severities::default());
    let found = judgement.findings.iter().filter(|found| found.rule == "worker-crash");
    let found: Vec<_> = found.map(|found| found.message.as_str()).collect();
    let crash = "its process crashed 1 time; it was restarted without its state 1 time";
    assert_eq!(found, [crash]);
}

#[test]
fn a_crash_is_told_behind_a_call() {
    let folder = Folder::new();
    let path = folder.0.path();
    fs::create_dir(path.join("data")).unwrap();
    let files = "[permissions.files]\nfolders = [{ path = \"data\", at = \"data\", access = \"read-write\" }]\n";
    plugin(path, "told", files);
    let allow = format!("told:files={}:rw", path.join("data").display());
    let call = ["call", ".", "--payload", "once", "--allow", &allow];
    let json = folder.json(&call, 0, "; restarted 1 time");
    assert_eq!((&json["outcome"], &json["restarts"]), (&"completed".into(), &1.into()));
}

#[test]
fn each_signal_has_its_name() {
    let (bench, id) = load("signals", "");
    let check = |number: i32, name: &str| {
        let outcome = bench.ask(id, &format!("signal {number}"));
        assert!(outcome.starts_with("crashed: "), "{number}: {outcome}");
        assert!(outcome.contains(name), "{number}: {outcome} is not {name}");
        assert_eq!(bench.ask(id, "still there?"), "still there?", "after {name}");
    };
    check(libc_number("SEGV"), "SIGSEGV");
    check(libc_number("BUS"), "SIGBUS");
    check(libc_number("ILL"), "SIGILL");
    check(libc_number("FPE"), "SIGFPE");
    check(libc_number("ABRT"), "SIGABRT");
    check(libc_number("KILL"), "SIGKILL");
    check(libc_number("TERM"), "SIGTERM");
    check(libc_number("XCPU"), "SIGXCPU");
    // The kernel sends this one for a call that its filter forbids.
    check(libc_number("SYS"), "a system call that its profile forbids");
}

/// The numbers of signals on Linux, for x86-64 and ARM.
fn libc_number(name: &str) -> i32 {
    let known = [
        ("ILL", 4),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("SEGV", 11),
        ("TERM", 15),
        ("XCPU", 24),
        ("SYS", 31),
    ];
    known.into_iter().find(|(known, _)| *known == name).map_or(0, |(_, number)| number)
}

#[test]
fn one_that_ignores_signals_is_ended_all_the_same() {
    let (bench, id) = load("stubborn", "[limits]\ncall-deadline = \"2s\"\n");
    let process = bench.ask(id, "process");
    assert!(bench.ask(id, "ignore and hang").starts_with("timed out"));
    wait_until_gone(&process);
    assert_eq!(bench.ask(id, "still there?"), "still there?");
}

#[test]
fn a_plugin_that_crashes_at_the_start_never_serves() {
    let config = serde_json::json!({ "mode": "trap", "when": "initialize" });
    let request = LoadRequest::path(native_sample("misbehave")).config(config);
    let bench = Bench::new();
    let error = bench.host.load(request).wait().unwrap_err().to_string();
    assert!(error.starts_with("initialize: the plugin crashed: signal "), "{error}");
    assert_eq!(bench.host.plugins().len(), 0);
}

#[test]
fn a_library_that_crashes_while_it_is_opened_crashes_its_trial() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), "constructor", "");
    let bench = Bench::new();
    let error = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap_err().to_string();
    let expected = "link: opening it in a trial process failed: signal 11 (SIGSEGV";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn when_many_die_at_once_the_others_answer_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), "many", "");
    let bench = Bench::new();
    let request = LoadRequest::path(folder.path());
    let load = || bench.host.load(request.clone()).wait().unwrap();
    let dying: Vec<_> = (0..20).map(|_| load()).collect();
    let healthy = load();
    let processes: Vec<String> = dying.iter().map(|id| bench.ask(*id, "process")).collect();
    std::thread::scope(|scope| {
        for id in &dying {
            scope.spawn(|| assert!(bench.ask(*id, "segv").starts_with("crashed: ")));
        }
        for number in 0..50 {
            let word = format!("word {number}");
            assert_eq!(bench.ask(healthy, &word), word);
        }
    });
    processes.iter().for_each(|process| wait_until_gone(process));
    for id in &dying {
        assert_eq!(bench.ask(*id, "still there?"), "still there?");
        assert_eq!(bench.host.plugin(*id).unwrap().fault, None);
    }
    let left = bench.ask(healthy, "process");
    assert!(!is_gone(&left));
}
