//! Restarts of plugins that crash again and again: at once, then with growing waits, then never.

use std::fs;

use glovebox_host::{Ceilings, Event, Frame, LoadRequest, Outcome, Phase, What};
use glovebox_inspector::findings::{RecordBuilder, Severities, judge};
use glovebox_tests::Bench;

use super::plugin::{load, plugin};
use crate::cli::Folder;

/// The grant of the folder `data`.
const FILES: &str = "[permissions.files]\nfolders = [{ path = \"data\", at = \"data\", access = \"read-write\" }]\n";

/// The attempts and failures of all plugins, in order: the phase, and what of the cause is about the
/// next attempt.
fn course(bench: &Bench) -> Vec<(Phase, String)> {
    let step = |event: Event| match event.what {
        What::Phase { to, cause, .. } => {
            let last = cause.rsplit_once("; ").map_or(&*cause, |(_, last)| last);
            let is_known = to != Phase::Faulted || last.starts_with("next attempt");
            Some((to, if is_known { last.to_owned() } else { String::new() }))
        }
        _ => None,
    };
    let steps = bench.events.events().into_iter().filter_map(step);
    steps.filter(|(to, _)| !matches!(to, Phase::Loaded | Phase::Initializing)).skip(1).collect()
}

#[test]
fn a_plugin_that_crashes_on_every_frame_is_stopped() {
    let (bench, id) = load("hopeless", "");
    let outcomes: Vec<_> =
        (0..10).map(|_| bench.host.call(id, &Frame::data("segv")).outcome).collect();
    let crashed = outcomes.iter().take_while(|it| matches!(it, Outcome::Crashed { .. })).count();
    // Two attempts each; the fifth crash is the last.
    assert_eq!(crashed, 3, "{outcomes:?}");
    for outcome in &outcomes[3..] {
        let Outcome::Refused { reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("it failed 5 times in a row: restart it by hand"), "{reason}");
    }
    let again = |text: &str| (Phase::Faulted, format!("next attempt in {text}"));
    let attempt = |number: u32| (Phase::Restarting, format!("attempt {number}"));
    let ready = || (Phase::Ready, "restarted without its state, which is lost".to_owned());
    let stopped = "stopped, because it failed 5 times in a row: restart it by hand".to_owned();
    let expected = [
        (Phase::Faulted, String::new()),
        attempt(1),
        ready(),
        again("100 ms"),
        attempt(2),
        ready(),
        again("200 ms"),
        attempt(3),
        ready(),
        again("400 ms"),
        attempt(4),
        ready(),
        (Phase::Faulted, String::new()),
        (Phase::Quarantined, stopped),
    ];
    assert_eq!(course(&bench), expected);
    let status = bench.host.plugin(id).unwrap();
    let found = status.supervision;
    assert_eq!((status.phase, status.stats.restarts), (Phase::Quarantined, 4));
    assert_eq!((found.failures, found.breaker, found.is_stopped), (5, 5, true));
    assert_eq!(found.next_attempt, None);
    let mut builder = RecordBuilder::default();
    bench.events.events().iter().for_each(|event| builder.ingest(event));
    let judgement = judge(builder.record(), &Severities::default());
    let is_said =
        |message: &str| message.ends_with("it failed so often in a row that it was stopped");
    let mut found = judgement.findings.iter().filter(|found| found.rule == "worker-crash");
    assert!(found.any(|found| is_said(&found.message)), "{:?}", judgement.findings);
    // Nobody but a person starts it again, and then it is as new.
    bench.host.restart(id).wait().unwrap();
    assert_eq!(bench.ask(id, "still there?"), "still there?");
    let found = bench.host.plugin(id).unwrap().supervision;
    assert_eq!((found.failures, found.is_stopped), (0, false));
}

#[test]
fn a_plugin_that_crashes_at_its_start_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    plugin(folder.path(), "broken", FILES);
    let bench = Bench::as_declared();
    let id = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap();
    // The frame waits for each attempt, and is not lost.
    let answer = bench.ask(id, "break");
    assert!(
        answer.starts_with("crashed: ") && answer.contains("failed 5 times in a row"),
        "{answer}"
    );
    let waits: Vec<String> = course(&bench).into_iter().map(|(_, cause)| cause).collect();
    let expected = [
        "",
        "attempt 1",
        "next attempt in 100 ms",
        "attempt 2",
        "next attempt in 200 ms",
        "attempt 3",
        "next attempt in 400 ms",
        "attempt 4",
        "stopped, because it failed 5 times in a row: restart it by hand",
    ];
    assert_eq!(waits, expected);
    assert!(bench.ask(id, "hello").starts_with("refused: the plugin cannot go on"));
    fs::remove_file(folder.path().join("data/broken")).unwrap();
    bench.host.restart(id).wait().unwrap();
    assert_eq!(bench.ask(id, "still there?"), "still there?");
}

#[test]
fn the_breaker_is_what_ends_the_row() {
    // How many processes twelve frames cost that crash, and whether the plugin was stopped.
    let check = |keys: &str, ceiling: u32, expected: (u64, bool)| {
        let folder = tempfile::tempdir().unwrap();
        let keys = format!("[lifecycle]\nback-off = \"1 ms\"\nback-off-max = \"1 ms\"\n{keys}\n");
        plugin(folder.path(), "row", &keys);
        let mut ceilings = Ceilings::default();
        ceilings.breaker = ceiling;
        let bench = Bench::with(|builder| builder.ceilings(ceilings));
        let id = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap();
        (0..12).for_each(|_| {
            bench.ask(id, "segv");
        });
        // It waits for the start that is under way.
        bench.ask(id, "still there?");
        let status = bench.host.plugin(id).unwrap();
        assert_eq!((status.stats.restarts, status.supervision.is_stopped), expected, "{keys}");
    };
    check("", 100, (4, true));
    check("breaker = 3", 100, (2, true));
    // Without it, each frame costs two, for ever.
    check("restart = \"always\"", 100, (24, false));
    check("restart = \"always\"", 6, (5, true));
    check("breaker = 50", 6, (5, true));
    check("restart = \"never\"", 100, (0, false));
}

#[test]
fn an_answer_ends_the_row() {
    let (bench, id) = load("moody", "[lifecycle]\nback-off = \"1 ms\"\n");
    for _ in 0..6 {
        assert!(bench.ask(id, "segv").starts_with("crashed: "));
        assert_eq!(bench.ask(id, "still there?"), "still there?");
    }
    let found = bench.host.plugin(id).unwrap().supervision;
    assert_eq!((found.failures, found.is_stopped), (0, false));
}

#[test]
fn only_crashes_make_the_next_restart_wait() {
    let (bench, id) = load("busy", "[limits]\ncall-deadline = \"2s\"\n");
    // A process that was ended for another reason is followed by another one at once.
    for _ in 0..2 {
        assert!(bench.ask(id, "hang").starts_with("timed out"));
        assert!(bench.host.plugin(id).unwrap().supervision.next_attempt.is_none());
    }
    bench.ask(id, "still there?");
    assert!(bench.ask(id, "segv").starts_with("crashed: "));
    let attempts = course(&bench).into_iter().filter(|(to, _)| *to == Phase::Restarting);
    let attempts: Vec<String> = attempts.map(|(_, attempt)| attempt).collect();
    assert_eq!(attempts[..3], ["attempt 1", "attempt 1", "attempt 1"], "{attempts:?}");
}

#[test]
fn frames_wait_for_a_restart_and_can_be_cancelled() {
    let keys = "[lifecycle]\nback-off = \"25 s\"\nback-off-max = \"25 s\"\n";
    let (bench, id) = load("slow", keys);
    assert!(bench.ask(id, "segv").starts_with("crashed: "));
    let next = bench.host.plugin(id).unwrap().supervision.next_attempt;
    assert!(next.is_some(), "{next:?}");
    let mut waiting = bench.host.try_dispatch_to(id, Frame::data("waits")).unwrap();
    // Only a call that has begun is cancelled, so this may have to be said more than once.
    let reply = loop {
        assert!(bench.host.cancel(id));
        if let Some(reply) = waiting.try_take() {
            break reply;
        }
        std::thread::yield_now();
    };
    assert_eq!(reply.outcome, Outcome::Cancelled);
    // A person need not wait, and with it no frame does.
    let waiting = bench.host.try_dispatch_to(id, Frame::data("waits")).unwrap();
    bench.host.restart(id).wait().unwrap();
    assert_eq!(waiting.wait().frames[0].payload, "waits");
}

#[test]
fn frames_do_not_wait_longer_than_a_call_may_take() {
    let keys = "[lifecycle]\nback-off = \"1 min\"\nback-off-max = \"1 min\"\n";
    let (bench, id) = load("slower", keys);
    assert!(bench.ask(id, "segv").starts_with("crashed: "));
    let refused = bench.ask(id, "hello");
    assert!(refused.starts_with("refused: ") && refused.contains("next attempt in "), "{refused}");
}

#[test]
fn the_command_line_says_what_was_stopped() {
    let folder = Folder::new();
    plugin(folder.0.path(), "told", "");
    let call = ["call", ".", "--payload", "segv", "--repeat", "8"];
    let said = "; restarted 4 times; told was stopped after 5 failures in a row: mend it, or raise `breaker` under [lifecycle]";
    let json = folder.json(&call, 4, said);
    assert_eq!(json["outcomes"], serde_json::json!({ "crashed": 3, "refused": 5 }));
    assert_eq!(json["plugin"]["supervision"]["stopped"], true);
    // A pipeline says it, too.
    let line = "{\"plugin\":\"told\",\"payload\":\"segv\"}\n";
    folder.write("in.ndjson", line.repeat(8));
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let only = "[pipeline]\noutputs = 'only'\n[stage.only]\nfrom = 'input'\nplugin = '.'\n";
    folder.write("pipe.toml", only);
    let run = ["run", "pipe.toml", "--trace", "in.mcap"];
    let json = folder.json(&run, 4, "; told was stopped after 5 failures in a row: mend it");
    assert_eq!(json["stopped_plugins"].as_array().unwrap().len(), 1);
}
