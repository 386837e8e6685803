//! What an application sees of its host, and the examples that show how to use one.

use std::process::Command;

use glovebox_tests::example;

#[test]
fn examples_run_and_say_what_happened() {
    fn check(name: &str, expected: &[&str]) {
        let output = Command::new(example(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{said}\n{complained}", output.status);
        for expected in expected {
            assert!(said.contains(expected), "{name} does not say {expected:?}:\n{said}");
        }
    }
    check(
        "embed",
        &[
            "loaded shout on the core tier",
            "loaded redact on the wasm tier",
            "shout: HELLO",
            r#"redact: {"mail":"[redacted]","n":1}"#,
            "events told of 1 log line",
            "misbehave: timed out: stopped at its deadline of 250 ms",
            "misbehave: and again",
            "not loaded, at stage read: ",
        ],
    );
    check(
        "dispatch",
        &[
            "dispatch_to: completed, 1 frame back",
            "dispatch with a target: answers of 1 plugin\n",
            "dispatch by kind: answers of 2 plugins",
            r#"dispatch_batch: 100 answers, the last is Some("99")"#,
            "try_dispatch_to: the queue of `misbehave` is full (8 frames)",
            "of those that were queued, 0 were lost",
            "drained in time: true, 0 refused",
            "the queues refused 1 time, and 0 frames failed",
        ],
    );
    check(
        "permissions",
        &[
            "within the policy: completed",
            "outside of it: failed: cannot store `secrets/a`: denied",
            "after a person said no: failed",
            "after a person said yes: completed",
            "kv: 2 uses, 2 denials",
            "  allowed: kv ",
            "  denied: kv ",
        ],
    );
    check(
        "hot_swap",
        &[
            r#"version 1: {"kinds":{"data":{"bytes":6,"frames":3}},"state-version":1}"#,
            "generation 2, version 2: ",
            "refused at stage sniff",
            "still there: ",
            "generation 3, rolled back: ",
        ],
    );
}
