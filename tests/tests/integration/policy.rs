//! What people decide is in effect at once.

use glovebox_abi::Permission;
use glovebox_host::{Decision, PolicyMode};
use glovebox_tests::Bench;

#[test]
fn decisions_are_in_effect_at_once() {
    let bench = Bench::new();
    let id = bench.load("storage.wasm");
    let host = &bench.host;
    let check = |granted: bool, why: &str| {
        let answer = bench.ask(id, r#"{"do":"list"}"#);
        assert_eq!(answer.starts_with("{\"keys\""), granted, "{why}: {answer}");
        let status = host.plugin(id).unwrap();
        let kv = status.permissions.iter().find(|p| p.permission == Permission::Kv).unwrap();
        assert_eq!(kv.granted, granted, "{why}: {}", kv.explanation);
        assert!(kv.explanation.contains(why), "{}", kv.explanation);
    };
    check(true, "asked for in the manifest");
    host.set_decision(id, Permission::Kv, Decision::Deny);
    check(false, "denied for this plugin");
    host.set_decision(id, Permission::Kv, Decision::AsDeclared);
    check(true, "asked for in the manifest");
    host.set_policy_mode(PolicyMode::Strict);
    check(false, "the policy is strict");
    host.set_decision(id, Permission::Kv, Decision::Allow);
    check(true, "allowed for this plugin");
}

#[test]
fn limits_are_in_effect_at_once() {
    let bench = Bench::new();
    let id = bench.load("misbehave.frame-abi.wasm");
    let mut limits = bench.host.plugin(id).unwrap().limits;
    limits.call_deadline = std::time::Duration::from_millis(20);
    bench.host.set_limits(id, limits.clone());
    assert!(bench.ask(id, "mode=loop").contains("deadline of 20 ms"));
    limits.output_bytes = 10;
    bench.host.set_limits(id, limits);
    let outcome = bench.ask(id, "more than ten bytes");
    assert!(outcome.contains("of output-bytes, limit 10 B"), "{outcome}");
}
