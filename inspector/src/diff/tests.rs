use std::time::Duration;

use glovebox_abi::{Failure, Frame, Header, Kind};
use glovebox_events::{CallId, Outcome};

use super::*;

/// A call in one line: `input → output | output`, with `!` for a failed call.
fn run(calls: &[&str]) -> Run {
    let calls = calls.iter().enumerate().map(|(index, text)| {
        let (input, output) = text.split_once(" → ").expect("the test writes good calls");
        let failed = output == "!";
        let outputs = output.split(" | ").filter(|text| !text.is_empty() && *text != "!");
        RunCall {
            id: CallId(index as u64 + 1),
            plugin: "redact".into(),
            input: frame(input),
            outputs: outputs.map(frame).collect(),
            outcome: Some(if failed { Failure::invalid("bad").into() } else { Outcome::Completed }),
            latency: Some(Duration::from_millis(1)),
        }
    });
    Run { name: "run".to_owned(), calls: calls.collect() }
}

/// `id=x ` in front becomes a header.
fn frame(text: &str) -> Frame {
    match text.strip_prefix("id=").and_then(|text| text.split_once(' ')) {
        Some((id, payload)) => {
            let header = Header::build().text("id", id).finish();
            Frame::new(Kind::DATA, header, payload.as_bytes().to_vec())
        }
        None => Frame::data(text.as_bytes().to_vec()),
    }
}

#[test]
fn calls_are_classed() {
    fn check(before: &[&str], after: &[&str], expected: &[Class]) {
        let found = diff(&run(before), &run(after), &DiffOptions::default());
        let classes: Vec<Class> = found.entries.iter().map(|entry| entry.class).collect();
        assert_eq!(classes, expected, "{}", found.to_text());
    }
    use Class::{Changed, Extra, Missing, Order, Outcome, Same};
    check(&[], &[], &[]);
    check(&["a → 1", "b → 2"], &["a → 1", "b → 2"], &[Same, Same]);
    check(&["a → 1", "b → 2"], &["a → 1", "b → 3"], &[Same, Changed]);
    check(&["a → 1", "b → 2"], &["b → 2"], &[Missing, Same]);
    check(&["b → 2"], &["a → 1", "b → 2", "c → "], &[Extra, Same, Extra]);
    check(&["a → 1 | 2"], &["a → 2 | 1"], &[Order]);
    check(&["a → 1 | 2"], &["a → 1"], &[Changed]);
    check(&["a → 1"], &["a → !"], &[Outcome]);
    // Another input in the same place.
    check(&["a → 1", "b → 2", "c → 3"], &["a → 1", "x → 2", "c → 3"], &[Same, Changed, Same]);
    // Ids hold calls together where order does not.
    check(&["id=1 a → 1", "id=2 b → 2"], &["id=2 b → 2", "id=1 a → 9"], &[Changed, Same]);
    // An id that appears twice holds nothing together.
    check(&["id=1 a → 1", "id=1 b → 2"], &["id=1 b → 2"], &[Missing, Same]);
}

#[test]
fn changes_name_their_path() {
    fn check(before: &str, after: &str, ignore: &[&str], expected: &[(&str, &str, &str)]) {
        let options = DiffOptions {
            ignore: ignore.iter().map(|text| text.parse().expect(text)).collect(),
            ..DiffOptions::default()
        };
        let (before, after) = (format!("a → {before}"), format!("a → {after}"));
        let found = diff(&run(&[&before]), &run(&[&after]), &options);
        let changes = found.entries[0].changes.iter().map(|change| {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            (change.path.clone(), text(&change.before), text(&change.after))
        });
        let owned = |(path, before, after): &(&str, &str, &str)| {
            ((*path).to_owned(), (*before).to_owned(), (*after).to_owned())
        };
        let expected: Vec<_> = expected.iter().map(owned).collect();
        assert_eq!(changes.collect::<Vec<_>>(), expected);
        assert_eq!(found.is_same(), expected.is_empty());
    }
    let (before, after) = (
        r#"{"user": {"email": "a@b"}, "time": 1, "n": [1, 2, 3]}"#,
        r#"{"user": {"email": "***"}, "time": 2, "n": [1, 3]}"#,
    );
    check(
        before,
        after,
        &[],
        &[
            ("/payload/n/1", "2", "-"),
            ("/payload/time", "1", "2"),
            ("/payload/user/email", "\"a@b\"", "\"***\""),
        ],
    );
    check(before, after, &["/payload/time", "/payload/*/email"], &[("/payload/n/1", "2", "-")]);
    check(before, after, &["/payload"], &[]);
    check(r#"{"a/b": 1}"#, r#"{}"#, &[], &[("/payload/a~1b", "1", "-")]);
    check("one\ntwo\nthree", "one\n2\nthree", &[], &[("/payload/lines/2", "two", "2")]);
    check("\u{1}x", "\u{1}y", &[], &[("/payload/bytes/1", "78", "79")]);
    check("id=7 x", "id=8 x", &[], &[("/header/id", "\"7\"", "\"8\"")]);
    check("id=7 x", "id=8 x", &["/header/id"], &[]);
    check("a", "a | b", &[], &[("/", "-", "data b")]);
    check("1", "!", &["/outcome"], &[("/", "data 1", "-")]);
}

#[test]
fn slower_calls_are_found_when_asked_for() {
    fn check(factor: Option<f64>, floor: u64, expected: Class) {
        let before = run(&["a → 1"]);
        let mut after = run(&["a → 1"]);
        after.calls[0].latency = Some(Duration::from_millis(5));
        let options = DiffOptions {
            slower_factor: factor,
            slower_floor: Duration::from_millis(floor),
            ..DiffOptions::default()
        };
        assert_eq!(diff(&before, &after, &options).entries[0].class, expected);
    }
    check(None, 0, Class::Same);
    check(Some(2.0), 0, Class::Slower);
    check(Some(6.0), 0, Class::Same);
    check(Some(2.0), 10, Class::Same);
}

#[test]
fn texts_read_well() {
    let before = run(&["a → {\"mail\": \"a@b\"}", "b → 1", "c → 1"]);
    let after = run(&["a → {\"mail\": \"***\"}", "b → 1"]);
    let found = diff(&before, &after, &DiffOptions::default());
    let expected = "\
changed: redact call #1 → #1
  output 0 /payload/mail
    - \"a@b\"
    + \"***\"

missing: redact call #3

3 calls compared, 2 different: 1 changed, 1 missing
";
    assert_eq!(found.to_text(), expected);
    assert_eq!(serde_json::to_value(&found).unwrap()["counts"]["changed"], 1);
}
