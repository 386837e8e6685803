use glovebox_sdk::testing::Harness;

use super::*;

/// A plugin as the build of that version makes it.
fn of_version(version: u32) -> Stats {
    Stats { version, ..Stats::default() }
}

fn report(harness: &mut Harness<Stats>) -> Value {
    let header = Header::build().text(Header::ID, "q1").finish();
    let question = Frame::new(Kind::CONTROL, header, "report");
    let answers = harness.process(&question).unwrap();
    assert_eq!(answers[0].header.get_text(Header::ID).as_deref(), Some("q1"));
    serde_json::from_slice(&answers[0].payload).unwrap()
}

#[test]
fn frames_are_counted() {
    fn check(version: u32, sizes: &[usize], expected: Value) {
        let mut harness = Harness::new(of_version(version));
        for size in sizes {
            assert_eq!(harness.process(&Frame::data(vec![0; *size])), Ok(vec![]));
        }
        assert_eq!(report(&mut harness)["kinds"], expected);
    }
    check(2, &[], json!({}));
    check(1, &[3, 5], json!({ "data": { "frames": 2, "bytes": 8 } }));
    check(
        2,
        &[3, 5, 5, 1000],
        json!({ "data": {
            "frames": 4, "bytes": 1013, "measured": 4,
            "size": { "p50": 5, "p90": 1024, "p99": 1024 },
        } }),
    );
}

#[test]
fn sizes_are_rounded_up_by_little() {
    fn check(size: u64, expected: u64) {
        assert_eq!(round_up(size), expected, "{size}");
    }
    check(0, 0);
    check(15, 15);
    check(16, 16);
    check(17, 18);
    check(1000, 1024);
    check(1_000_000, 1_048_576);
}

#[test]
fn state_moves_to_the_same_or_a_later_version() {
    fn check(from: u32, to: u32, expected: &str) {
        let mut harness = Harness::new(of_version(from));
        harness.process(&Frame::data("12345")).unwrap();
        let shown = match harness.reload(of_version(to)) {
            Ok(mut harness) => {
                harness.process(&Frame::data("1234567")).unwrap();
                report(&mut harness).to_string()
            }
            Err(failure) => failure.to_string(),
        };
        assert!(shown.contains(expected), "{shown} does not say {expected}");
    }
    check(1, 1, r#""bytes":12,"frames":2"#);
    check(2, 2, r#""measured":2,"size":{"p50":5,"p90":7,"p99":7}"#);
    check(1, 2, r#""bytes":12,"frames":2,"measured":1,"size":{"p50":7"#);
    check(2, 1, "the state is of version 2, this plugin knows up to 1");
}

#[test]
fn bad_states_and_resets() {
    let state = State { version: 1, bytes: b"[]".to_vec() };
    let failure = Stats::default().restore_state(state).unwrap_err();
    assert!(failure.message.contains("makes no sense"));

    let mut harness = Harness::new(Stats::default());
    harness.process(&Frame::data("1")).unwrap();
    let reset = Frame::new(Kind::CONTROL, Header::empty(), "reset");
    assert_eq!(harness.process(&reset), Ok(vec![]));
    assert_eq!(report(&mut harness)["kinds"], json!({}));
}
