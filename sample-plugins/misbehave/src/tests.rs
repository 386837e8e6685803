use glovebox_sdk::Permission;
use glovebox_sdk::testing::Harness;

use super::*;

/// The modes that leave a test process alive.
#[test]
fn each_mode_does_what_it_says() {
    fn check(config: &str, payload: &str, expected: &str) {
        let mut harness = Harness::new(Misbehave::default()).config(config);
        for permission in [Permission::Kv, Permission::Random, Permission::Emit] {
            harness.host.deny(permission);
        }
        let shown = match harness.answer(payload) {
            Ok(answers) => {
                let logs = harness.host.logs.len();
                format!("{} answers, {logs} lines: {}", answers.len(), answers[0])
            }
            Err(failure) => failure.to_string(),
        };
        assert!(shown.contains(expected), "{shown:?} does not say {expected:?}");
    }
    check("{}", "hello", "1 answers, 0 lines: hello");
    check("{}", "mode=none", "1 answers, 0 lines: mode=none");
    check("{}", "mode=fail", "failing on demand (code 1000)");
    check(r#"{"mode": "fail"}"#, "hello", "failing on demand");
    check(r#"{"mode": "fail"}"#, "mode=none", "1 answers");
    check(r#"{"mode": "fail", "when": "initialize"}"#, "hello", "failing on demand");
    check("{}", "mode=flood", "20000 answers");
    check(r#"{"count": 3}"#, "mode=flood-log", "1 answers, 3 lines");
    check(r#"{"bytes": 2097152}"#, "mode=grow", "1 answers");
    check(r#"{"milliseconds": 0}"#, "mode=slow", "1 answers");
    check("{}", "mode=deny-me", r#""kv":"denied: the plugin lacks the permission""#);
    check("{}", "mode=deny-me", r#""config":"granted""#);
    check("{}", "mode=dance", "unknown variant `dance`");
    check(r#"{"mood": "bad"}"#, "", "unknown field `mood`");
}

#[test]
#[should_panic(expected = "misbehaving on demand")]
fn panic_panics() {
    let _ = Harness::new(Misbehave::default()).answer("mode=panic");
}
