//! Misbehaving plugins: the call ends with a named cause and the next frame is answered.

use std::time::Duration;

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_events::{Outcome, Phase, What};
use glovebox_host::LoadRequest;
use glovebox_tests::{Bench, sample};

#[test]
fn bad_calls_end_with_their_cause() {
    #[track_caller]
    fn check(artifact: &str, payload: &str, expected: &str, restarts: u64) {
        let bench = Bench::new();
        // Enough to flood the output, and not so much that it floods the memory first.
        let id = bench.load_with(artifact, serde_json::json!({ "count": 10_000 }));
        let limits = bench.host.plugin(id).unwrap().limits;
        if payload == "mode=loop" {
            let short = Limits { call_deadline: Duration::from_millis(250), ..limits.clone() };
            bench.host.set_limits(id, short).unwrap();
        }
        let outcome = bench.ask(id, payload);
        bench.host.set_limits(id, limits).unwrap();
        assert!(outcome.contains(expected), "{artifact} {payload}: {outcome:?} lacks {expected:?}");
        assert_eq!(bench.ask(id, "still there?"), "still there?", "{artifact} {payload}");
        let status = bench.host.plugin(id).unwrap();
        assert_eq!(status.phase, Phase::Ready);
        assert_eq!(status.stats.restarts, restarts, "{artifact} {payload}");
    }
    for artifact in ["misbehave.wasm", "misbehave.frame-abi.wasm"] {
        check(artifact, "mode=trap", "trapped: unreachable-code-reached", 1);
        check(artifact, "mode=panic", "trapped: unreachable-code-reached", 1);
        check(artifact, "mode=loop", "timed out: stopped at its deadline of 250 ms", 1);
        // Rust keeps its stack in linear memory, below which there is nothing.
        check(artifact, "mode=recurse", "trapped: memory-out-of-bounds", 1);
        check(artifact, "mode=grow", "limit exceeded", 1);
        // A component's lists are refused by the engine itself, which ends the copy.
        let ended = u64::from(artifact == "misbehave.wasm");
        check(artifact, "mode=flood", "limit exceeded", ended);
        check(artifact, "mode=fail", "failed", 0);
        check(artifact, "mode=slow", "mode=slow", 0);
    }
}

#[test]
fn memory_limits_name_both_numbers() {
    let bench = Bench::new();
    let id = bench.load("misbehave.wasm");
    let reply = bench.host.call(id, &glovebox_abi::Frame::data("mode=grow"));
    let Outcome::LimitExceeded { limit, asked, allowed, .. } = reply.outcome else {
        panic!("{}", reply.outcome);
    };
    assert_eq!((limit.name(), allowed), ("memory", 64 << 20));
    assert!(asked > allowed);
    let status = bench.host.plugin(id).unwrap();
    assert_eq!(status.limit(LimitKind::Memory).unwrap().hits, 1);
}

#[test]
fn denied_calls_are_counted_and_explained() {
    for artifact in ["misbehave.wasm", "misbehave.frame-abi.wasm"] {
        let bench = Bench::new();
        let id = bench.load(artifact);
        let report = bench.ask(id, "mode=deny-me");
        assert!(report.contains("denied"), "{artifact}: {report}");
        let status = bench.host.plugin(id).unwrap();
        assert!(status.stats.denials >= 4, "{artifact}: {}", status.stats.denials);
        let kv = status.permissions.iter().find(|p| p.permission.name() == "kv").unwrap();
        assert!(kv.explanation.contains("add `kv = true` to [permissions]"), "{}", kv.explanation);
    }
}

#[test]
fn a_plugin_that_is_bad_at_the_start_is_never_listed() {
    #[track_caller]
    fn check(mode: &str, expected: &str) {
        for artifact in ["misbehave.wasm", "misbehave.frame-abi.wasm"] {
            let bench = Bench::new();
            let config = serde_json::json!({ "mode": mode, "when": "initialize" });
            let request = LoadRequest::path(sample(artifact)).config(config);
            let error = bench.host.load(request).wait().unwrap_err().to_string();
            assert!(error.contains(expected), "{artifact} {mode}: {error}");
            assert!(error.starts_with("initialize: "), "{error}");
            assert_eq!(bench.host.plugins().len(), 0);
        }
    }
    check("trap", "trapped");
    check("loop", "timed out");
    check("grow", "limit exceeded");
    check("fail", "failed");
}

#[test]
fn every_event_of_a_bad_call_is_recorded() {
    let bench = Bench::new();
    let id = bench.load("misbehave.wasm");
    bench.ask(id, "mode=trap");
    let story: Vec<String> = bench
        .events
        .events()
        .iter()
        .filter_map(|event| match &event.what {
            What::FrameIn { .. } => Some("in".to_owned()),
            What::CallEnded { outcome, .. } => Some(outcome.name().to_owned()),
            What::Phase { to, .. } => Some(to.to_string()),
            What::Loaded { .. } => Some("loaded".to_owned()),
            _ => None,
        })
        .collect();
    // The first `loaded` is the phase: the code is compiled. The second one: the instance is there.
    let start = ["loaded", "initializing", "ready", "loaded"];
    assert_eq!(story[..4], start);
    assert_eq!(story[4..], ["in", "trapped", "faulted", "restarting", "ready"]);
}
