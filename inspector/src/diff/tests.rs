use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Failure, Frame, Header, Kind, Permission};
use glovebox_events::{AnsweredBy, CallId, HostCall, Outcome};

use super::*;

/// A call in one line: `input → output | output`, with `!` for a failed call, `emit ` before an output
/// that is no part of the answer, and host calls behind a `~`: `input → output ~ log hello`.
fn call(index: usize, text: &str) -> RunCall {
    let (input, rest) = text.split_once(" → ").expect("the test writes good calls");
    let (outputs, host_calls) = rest.split_once(" ~ ").unwrap_or((rest, ""));
    let failed = outputs == "!";
    let outputs = outputs.split(" | ").filter(|text| !text.is_empty() && *text != "!");
    let host_calls = host_calls.split(" ~ ").filter(|text| !text.is_empty());
    RunCall {
        id: CallId(index as u64 + 1),
        plugin: "redact".into(),
        input: frame(input),
        outputs: outputs.map(output).collect(),
        host_calls: host_calls.map(host_call).collect(),
        outcome: Some(if failed { Failure::invalid("bad").into() } else { Outcome::Completed }),
        latency: Some(Duration::from_millis(1)),
    }
}

fn run(calls: &[&str]) -> Arc<Run> {
    let calls = calls.iter().enumerate().map(|(index, text)| call(index, text));
    Arc::new(Run::from_calls("run", calls))
}

fn output(text: &str) -> RunOutput {
    let emitted = text.strip_prefix("emit ");
    RunOutput { frame: frame(emitted.unwrap_or(text)), emitted: emitted.is_some() }
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

/// A service, what it was asked, and perhaps `=` and what it answered.
fn host_call(text: &str) -> HostCall {
    let (asked, answer) = text.split_once('=').unwrap_or((text, ""));
    let (service, argument) = asked.split_once(' ').unwrap_or((asked, ""));
    HostCall {
        service: service.to_owned().into(),
        permission: Permission::Log,
        arguments: Value::Array(vec![Value::Text(argument.to_owned())]),
        result: Ok(Value::Text(answer.to_owned())),
        took: Duration::ZERO,
        answered_by: AnsweredBy::Host,
    }
}

fn options(ignore: &[&str], tolerances: &[&str]) -> DiffOptions {
    DiffOptions {
        ignore: ignore.iter().map(|text| text.parse().expect(text)).collect(),
        tolerances: tolerances.iter().map(|text| text.parse().expect(text)).collect(),
        ..DiffOptions::default()
    }
}

#[test]
fn calls_are_classed() {
    fn check(before: &[&str], after: &[&str], expected: &[Class]) {
        let found = diff(run(before), run(after), &DiffOptions::default());
        let classes: Vec<Class> = found.entries.iter().map(|entry| entry.class).collect();
        assert_eq!(classes, expected, "{}", found.to_text());
        let counted: usize = Class::ALL.iter().map(|class| found.counts.of(*class)).sum();
        assert_eq!(counted, expected.len());
    }
    use Class::{Changed, Extra, HostCalls, Missing, Order, Outcome, Same};
    check(&[], &[], &[]);
    check(&["a → 1", "b → 2"], &["a → 1", "b → 2"], &[Same, Same]);
    check(&["a → 1", "b → 2"], &["a → 1", "b → 3"], &[Same, Changed]);
    check(&["a → 1", "b → 2"], &["b → 2"], &[Missing, Same]);
    check(&["b → 2"], &["a → 1", "b → 2", "c → "], &[Extra, Same, Extra]);
    check(&["a → 1 | 2"], &["a → 2 | 1"], &[Order]);
    check(&["a → 1 | 2"], &["a → 1"], &[Changed]);
    check(&["a → 1"], &["a → !"], &[Outcome]);
    check(&["a → emit 1"], &["a → emit 1"], &[Same]);
    check(&["a → emit 1"], &["a → 1"], &[Changed]);
    check(&["a → 1 | 1"], &["a → emit 1 | 1"], &[Changed]);
    check(&["a → emit 1 | 1"], &["a → 1 | emit 1"], &[Order]);
    // Another input in the same place.
    check(&["a → 1", "b → 2", "c → 3"], &["a → 1", "x → 2", "c → 3"], &[Same, Changed, Same]);
    // The same input again and again, and one more in front.
    check(&["a → 1", "a → 1"], &["b → 1", "a → 1", "a → 1"], &[Extra, Same, Same]);
    // Ids hold calls together where order does not.
    check(&["id=1 a → 1", "id=2 b → 2"], &["id=2 b → 2", "id=1 a → 9"], &[Changed, Order]);
    check(
        &["id=1 a → 1", "id=2 b → 2", "id=3 c → 3"],
        &["id=3 c → 3", "id=1 a → 1", "id=2 b → 2"],
        &[Same, Same, Order],
    );
    // An id that appears twice holds nothing together.
    check(&["id=1 a → 1", "id=1 b → 2"], &["id=1 b → 2"], &[Missing, Same]);
    check(&["a → 1 ~ log x"], &["a → 1 ~ log x"], &[Same]);
    check(&["a → 1 ~ log x"], &["a → 1 ~ log y"], &[HostCalls]);
    check(&["a → 1 ~ log x"], &["a → 1"], &[HostCalls]);
    check(&["a → 1 ~ kv-get x=1"], &["a → 1 ~ kv-get x=2"], &[HostCalls]);
    check(&["a → 1 ~ log x"], &["a → 2 ~ log y"], &[Changed]);
    // The time is another one each time.
    check(&["a → 1 ~ now =1"], &["a → 1 ~ now =2"], &[Same]);
}

#[test]
fn a_second_plugin_keeps_its_calls() {
    let of = |plugin: &str, index, text| RunCall { plugin: plugin.into(), ..call(index, text) };
    let run = |calls: Vec<RunCall>| Arc::new(Run::from_calls("run", calls));
    let before = run(vec![of("a", 0, "x → 1"), of("b", 1, "x → 2")]);
    let after = run(vec![of("b", 0, "x → 2"), of("c", 1, "x → 1")]);
    let found = diff(before.clone(), after, &DiffOptions::default());
    let classes: Vec<Class> = found.entries.iter().map(|entry| entry.class).collect();
    assert_eq!(classes, [Class::Missing, Class::Same, Class::Extra]);
    // Alone, a plugin is compared under any name.
    let (alone, renamed) = (run(vec![of("a", 0, "x → 1")]), run(vec![of("z", 0, "x → 1")]));
    assert!(diff(alone, renamed, &DiffOptions::default()).is_same());
}

#[test]
fn changes_name_their_path() {
    #[track_caller]
    fn check(before: &str, after: &str, rules: &DiffOptions, expected: &[(&str, &str, &str)]) {
        let (before, after) = (format!("a → {before}"), format!("a → {after}"));
        let found = diff(run(&[&before]), run(&[&after]), rules);
        let changes = found.row(0).expect("there is one call").changes;
        let changes = changes.iter().map(|change| {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let path = match &change.moved_from {
                Some(from) => format!("{} from {from}", change.path),
                None => change.path.clone(),
            };
            (path, text(&change.before), text(&change.after))
        });
        let owned = |(path, before, after): &(&str, &str, &str)| {
            ((*path).to_owned(), (*before).to_owned(), (*after).to_owned())
        };
        let expected: Vec<_> = expected.iter().map(owned).collect();
        assert_eq!(changes.collect::<Vec<_>>(), expected);
        assert_eq!(found.is_same(), expected.is_empty());
    }
    let none = DiffOptions::default();
    let ignore = |paths: &[&str]| options(paths, &[]);
    let (before, after) = (
        r#"{"user": {"email": "a@b"}, "time": 1, "n": [1, 2, 3]}"#,
        r#"{"user": {"email": "***"}, "time": 2, "n": [1, 3]}"#,
    );
    let all = [
        ("/payload/n/1", "2", "-"),
        ("/payload/time", "1", "2"),
        ("/payload/user/email", "\"a@b\"", "\"***\""),
    ];
    check(before, after, &none, &all);
    check(before, after, &ignore(&["/payload/time", "/**/email"]), &all[..1]);
    check(before, after, &ignore(&["/payload"]), &[]);
    check(r#"{"a/b": 1}"#, r#"{}"#, &none, &[("/payload/a~1b", "1", "-")]);
    // Keys that differ have paths that differ, of plain characters.
    check(r#"{"b\nc": 1}"#, r#"{}"#, &none, &[("/payload/b~u{a}c", "1", "-")]);
    check(r#"{"b\nc": 1}"#, r#"{}"#, &ignore(&["/payload/b~u{a}c"]), &[]);
    check(r#"{"\ud800": 1}"#, r#"{}"#, &none, &[("/payload/~u{d800}", "1", "-")]);
    check(r#"{"\\ud800": 1}"#, r#"{}"#, &none, &[(r"/payload/\ud800", "1", "-")]);
    // Moved, in a list and to another key.
    check("[1, 2, 3]", "[3, 1, 2]", &none, &[("/payload/0 from /payload/2", "3", "3")]);
    check(
        r#"{"old": {"x": [7]}, "y": 1}"#,
        r#"{"new": {"x": [7]}, "y": 1}"#,
        &none,
        &[("/payload/new from /payload/old", r#"{"x":[7]}"#, r#"{"x":[7]}"#)],
    );
    // Two that left: nobody knows which of them came.
    check(
        r#"{"a": 7, "b": 7}"#,
        r#"{"c": 7}"#,
        &none,
        &[("/payload/a", "7", "-"), ("/payload/b", "7", "-"), ("/payload/c", "-", "7")],
    );
    check(
        "[{\"a\": 1}, {\"a\": 2}]",
        "[{\"a\": 1}, {\"a\": 3}]",
        &none,
        &[("/payload/1/a", "2", "3")],
    );
    check("[1.0, 5]", "[1.001, 6]", &options(&[], &["0.01"]), &[("/payload/1", "5", "6")]);
    check(
        "[1.0]",
        "[1.001]",
        &options(&[], &["/payload/x=0.01"]),
        &[("/payload/0", "1.0", "1.001")],
    );
    check("one\ntwo\nthree", "one\n2\nthree", &none, &[("/payload/lines/2", "two", "2")]);
    check("\u{1}x", "\u{1}y", &none, &[("/payload/bytes/1", "78", "79")]);
    check(
        "\u{1}aaaaaaaaaaXbbbbbbbbbb",
        "\u{1}+aaaaaaaaaabbbbbbbbbb",
        &none,
        &[("/payload/bytes/1", "-", "2b"), ("/payload/bytes/12", "58", "-")],
    );
    check("id=7 x", "id=8 x", &none, &[("/header/id", "\"7\"", "\"8\"")]);
    check("id=7 x", "id=8 x", &ignore(&["/header/id"]), &[]);
    check("a", "a | b", &none, &[("/output", "-", "data b")]);
    check("1", "!", &ignore(&["/outcome"]), &[("/output", "data 1", "-")]);
    check(
        "1 ~ log x ~ log y",
        "1 ~ log y",
        &none,
        &[(
            "/host/0/log",
            r#"{"arguments":["x"],"permission":"log","result":"","service":"log"}"#,
            "-",
        )],
    );
    check("1 ~ log x", "1 ~ log y", &none, &[("/host/0/log/arguments/0", "\"x\"", "\"y\"")]);
    check("1 ~ log x", "1 ~ log y", &ignore(&["/host/*/log"]), &[]);
}

#[test]
fn what_is_too_much_is_counted() {
    let numbers = |first: usize| {
        let numbers: Vec<String> = (first..first + 1500).map(|n| n.to_string()).collect();
        format!("a → [{}]", numbers.join(","))
    };
    let found = diff(run(&[&numbers(0)]), run(&[&numbers(5000)]), &DiffOptions::default());
    let row = found.row(0).expect("there is one call");
    assert_eq!((row.changes.len(), row.more_changes), (1000, 500));
    let text = found.to_text();
    assert!(text.contains("and 1480 more places"), "{text}");
    let long = format!("a → {}", "x".repeat(5000));
    let found = diff(run(&["a → 1"]), run(&[&long]), &DiffOptions::default());
    let after = found.row(0).and_then(|row| row.changes[0].after.clone()).expect("it changed");
    assert!(after.ends_with("x… (5000 bytes)"), "{after}");
}

#[test]
fn differences_with_one_cause_are_one_group() {
    fn check(before: &[String], after: &[String], expected: &[&str]) {
        let texts = |calls: &[String]| run(&calls.iter().map(String::as_str).collect::<Vec<_>>());
        let found = diff(texts(before), texts(after), &DiffOptions::default());
        let titles: Vec<String> = found.groups.iter().map(Group::title).collect();
        assert_eq!(titles, expected);
        for (number, group) in found.groups.iter().enumerate() {
            assert_eq!(found.members(number as u32).count(), group.calls);
            assert_eq!(found.members(number as u32).next(), Some(group.first));
        }
    }
    let stamped = |count: usize, at: usize| -> Vec<String> {
        let call =
            |n: usize| format!(r#"in {n} → {{"meta":{{"ts":{}}},"v":[{{"n":{n}}}]}}"#, n + at);
        (0..count).map(call).collect()
    };
    check(&stamped(3, 0), &stamped(3, 0), &[]);
    // More than one thread's share.
    check(
        &stamped(5000, 0),
        &stamped(5000, 7),
        &["5000 calls of redact differ only in /payload/meta/ts"],
    );
    let mut some = stamped(10, 9);
    some[3] = r#"in 3 → {"meta":{"ts":12},"v":[{"n":0}]}"#.to_owned();
    some[4] = r#"in 4 → {"meta":{"ts":13},"v":[{"n":4},{"n":4}]}"#.to_owned();
    some[5] = "in 5 → !".to_owned();
    some.pop();
    check(
        &stamped(10, 0),
        &some,
        &[
            "6 calls of redact differ only in /payload/meta/ts",
            "1 call of redact differs only in /payload/meta/ts, /payload/v/*/n",
            "1 call of redact differs only in /payload/meta/ts, /payload/v/*",
            "1 call of redact ends otherwise: completed → failed (code 2)",
            "1 call of redact is missing",
        ],
    );
}

#[test]
fn groups_keep_their_names() {
    let group = |before: &str, after: &str| {
        let found = diff(run(&[before]), run(&[after]), &DiffOptions::default());
        found.groups[0].id.clone()
    };
    // Written into files that people keep: these must never change.
    assert_eq!(group("a → [1]", "a → [2]"), "591617be");
    assert_eq!(group("b → [1, 5]", "b → [1, 6]"), "591617be");
    assert_eq!(group("a → 1", "a → !"), "aca53025");
}

#[test]
fn slower_calls_are_found_when_asked_for() {
    fn check(factor: Option<f64>, floor: u64, expected: Class) {
        let slow = RunCall { latency: Some(Duration::from_millis(5)), ..call(0, "a → 1") };
        let after = Arc::new(Run::from_calls("slow", [slow]));
        let options = DiffOptions {
            slower_factor: factor,
            slower_floor: Duration::from_millis(floor),
            ..DiffOptions::default()
        };
        assert_eq!(diff(run(&["a → 1"]), after, &options).entries[0].class, expected);
    }
    check(None, 0, Class::Same);
    check(Some(2.0), 0, Class::Slower);
    check(Some(6.0), 0, Class::Same);
    check(Some(2.0), 10, Class::Same);
}

#[test]
fn a_run_that_is_slower_as_a_whole_is_told() {
    fn check(factor: Option<f64>, is_same: bool) {
        let timed = |start: u64| {
            let calls = (0..100).map(|n| RunCall {
                latency: Some(Duration::from_micros(start + n as u64)),
                ..call(n, &format!("{n} → 1"))
            });
            Arc::new(Run::from_calls("timed", calls))
        };
        let options = DiffOptions {
            slower_factor: factor,
            slower_floor: Duration::from_secs(1),
            ..DiffOptions::default()
        };
        let found = diff(timed(100), timed(300), &options);
        assert!(found.latency[0].is_significant());
        assert!(
            found.to_text().contains("latency of redact: p50 149 µs → 349 µs (+134 %)"),
            "{}",
            found.to_text()
        );
        assert_eq!(found.is_same(), is_same);
    }
    check(None, true);
    check(Some(3.0), true);
    check(Some(2.0), false);
}

#[test]
fn texts_read_well() {
    let before = run(&["a → {\"mail\": \"a@b\"}", "b → 1", "c → 1"]);
    let after = run(&["a → {\"mail\": \"***\"}", "b → 1"]);
    let found = diff(before, after, &DiffOptions::default());
    let ids: Vec<&str> = found.groups.iter().map(|group| group.id.as_str()).collect();
    let expected = format!(
        "\
{}  changed: 1 call of redact differs only in /payload/mail
  call #1 → #1
  output 0 /payload/mail
    - \"a@b\"
    + \"***\"

{}  missing: 1 call of redact is missing
  call #3

latency of redact: p50 1 ms → 1 ms (+0 %), p99 1 ms → 1 ms, 2 calls: too few calls to tell, 50 are needed
3 calls compared, 2 different: 1 changed, 1 missing; 2 groups
",
        ids[0], ids[1]
    );
    assert_eq!(found.to_text(), expected);
}

#[test]
fn an_inserted_call_moves_no_other() {
    let calls: Vec<String> = (0..3000).map(|n| format!("{} → {n}", n % 7)).collect();
    let mut more: Vec<&str> = calls.iter().map(String::as_str).collect();
    more.insert(1500, "new → ");
    more.remove(700);
    let before: Vec<&str> = calls.iter().map(String::as_str).collect();
    let found = diff(run(&before), run(&more), &DiffOptions::default());
    // Inputs repeat, so that a few around the one that is gone could be paired otherwise; that
    // never spreads.
    assert!(found.counts.same >= 2990, "{}", found.to_text());
    assert_eq!((found.counts.missing, found.counts.extra), (1, 1));
}

/// The class of a call whose output changes, and the paths of its changes.
fn compared(before: &[u8], after: &[u8], rules: &DiffOptions) -> (Class, Vec<String>, Diff) {
    let run = |payload: &[u8]| {
        let output = Frame::data(payload.to_vec()).into();
        let call = RunCall { outputs: vec![output], ..call(0, "a → ") };
        Arc::new(Run::from_calls("run", [call]))
    };
    let found = diff(run(before), run(after), rules);
    let changes = found.row(0).expect("there is one call").changes;
    let changes = changes.iter().map(|change| {
        let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        format!("{} {} {}", change.path, text(&change.before), text(&change.after))
    });
    (found.entries[0].class, changes.collect(), found)
}

#[test]
fn values_that_differ_are_never_the_same() {
    #[track_caller]
    fn check(before: &str, after: &str, expected: &[&str]) {
        let (class, changes, found) =
            compared(before.as_bytes(), after.as_bytes(), &DiffOptions::default());
        assert_eq!((class, &changes[..]), (Class::Changed, &expected.map_owned()[..]));
        assert!(!found.is_same() && found.counts.different() == 1);
    }
    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }
    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }
    check(
        r#"{"id":123456789012345678901}"#,
        r#"{"id":123456789012345678902}"#,
        &["/payload/id 123456789012345678901 123456789012345678902"],
    );
    check(
        "[[9007199254740992]]",
        "[[9007199254740993]]",
        &["/payload/0/0 9007199254740992 9007199254740993"],
    );
    check("[0,1e400]", "[0,1e401]", &["/payload/1 1e400 1e401"]);
    check("[-0]", "[0]", &["/payload/0 -0 0"]);
    check("[0.10]", "[0.1]", &["/payload/0 0.10 0.1"]);
    check("[1e2]", "[100]", &["/payload/0 1e2 100"]);
    check("[1]", "[1.0]", &["/payload/0 1 1.0"]);
    check(r#"{"a":1,"a":2}"#, r#"{"a":3,"a":2}"#, &["/payload/a 1 3"]);
    check(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, &["/payload/a 1 2", "/payload/a 2 1"]);
    check(r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":1,"a":4}"#, &["/payload/a 3 4"]);
    check(r#"{"b":1,"a":2}"#, r#"{"b":3,"a":4}"#, &["/payload/a 2 4", "/payload/b 1 3"]);
    check(r#"[{"a":1,"a":2}]"#, r#"[{"a":2}]"#, &["/payload/0/a 1 2", "/payload/0/a 2 -"]);
    check(r#"{"n":"\ud83d"}"#, r#"{"n":"\ud83e"}"#, &["/payload/n \"\\ud83d\" \"\\ud83e\""]);
    check(r#"{"n":"\ud83d"}"#, r#"{"n":"\ufffd"}"#, &["/payload/n \"\\ud83d\" \"\u{FFFD}\""]);
    check(
        r#"{"\ud83d":1}"#,
        r#"{"\ud83e":2}"#,
        &["/payload/~u{d83d} 1 -", "/payload/~u{d83e} - 2"],
    );
    check("[\"NaN\"]", "[\"Infinity\"]", &["/payload/0 \"NaN\" \"Infinity\""]);
    check(
        "{\"a\":1}\n{\"a\":2}",
        "{\"a\":1}\n{\"a\":3}",
        &["/payload/lines/2 {\"a\":2} {\"a\":3}"],
    );
}

#[test]
fn deep_values_are_compared_to_the_bottom() {
    let deep = |bottom: &str| "[".repeat(10_000) + bottom + &"]".repeat(10_000);
    let (class, changes, _) =
        compared(deep("1").as_bytes(), deep("2").as_bytes(), &DiffOptions::default());
    assert_eq!((class, changes.len()), (Class::Changed, 1));
    let maps = |bottom: &str| "{\"a\":".repeat(10_000) + bottom + &"}".repeat(10_000);
    let (class, ..) = compared(maps("1").as_bytes(), maps("2").as_bytes(), &DiffOptions::default());
    assert_eq!(class, Class::Changed);
    let (class, ..) =
        compared(maps("1").as_bytes(), maps(" 1").as_bytes(), &DiffOptions::default());
    assert_eq!(class, Class::Spelling);
}

#[test]
fn cbor_is_compared_exactly() {
    #[track_caller]
    fn check(before: &[u8], after: &[u8], class: Class, change: &str) {
        // In a list, so that it is known as CBOR.
        let list = |item: &[u8]| [&[0x81], item].concat();
        let (found, changes, _) = compared(&list(before), &list(after), &DiffOptions::default());
        assert_eq!((found, changes.join("; ")), (class, change.to_owned()));
    }
    use Class::{Changed, Same, Spelling};
    check(&[0x01], &[0x01], Same, "");
    check(&[0x01], &[0x18, 0x01], Spelling, "/payload 8101 811801");
    check(&[0xF9, 0x3C, 0], &[0xFA, 0x3F, 0x80, 0, 0], Spelling, "/payload 81f93c00 81fa3f800000");
    check(&[0x80], &[0x9F, 0xFF], Spelling, "/payload 8180 819fff");
    check(&[0x61, b'a'], &[0x7F, 0x61, b'a', 0xFF], Spelling, "/payload 816161 817f6161ff");
    check(&[0x01], &[0xF9, 0x3C, 0], Changed, "/payload/0 1 1.0");
    check(&[0xC1, 0x05], &[0xC0, 0x05], Changed, "/payload/0 1(5) 0(5)");
    check(&[0xC1, 0x05], &[0x05], Changed, "/payload/0 1(5) 5");
    check(&[0xC1, 0x05], &[0xC1, 0x06], Changed, "/payload/0 5 6");
    check(&[0xF6], &[0xF7], Changed, "/payload/0 null undefined");
    check(
        &[0x41, 1],
        &[0x66, b'h', b'e', b'x', b':', b'0', b'1'],
        Changed,
        "/payload/0 h'01' \"hex:01\"",
    );
    check(&[0xF9, 0x7E, 0], &[0xF9, 0x7E, 1], Changed, "/payload/0 NaN NaN(0x7e01)");
    check(&[0xF9, 0x7E, 0], &[0x63, b'N', b'a', b'N'], Changed, "/payload/0 NaN \"NaN\"");
    check(&[0xC2, 0x41, 1], &[0xC2, 0x41, 2], Changed, "/payload/0 h'01' h'02'");
    check(&[0xA1, 0x01, 0x07], &[0xA1, 0x61, b'1', 0x07], Changed, "/payload/0/1 7 7");
    check(
        &[0xA2, 0x01, 0x07, 0x01, 0x08],
        &[0xA2, 0x01, 0x09, 0x01, 0x08],
        Changed,
        "/payload/0/~:1 7 9",
    );
}

#[test]
fn other_bytes_of_the_same_value_are_told() {
    #[track_caller]
    fn check(before: &str, after: &str, ignored: &[&str], expected: Class) {
        let rules = options(ignored, &["0"]);
        let (class, changes, found) = compared(before.as_bytes(), after.as_bytes(), &rules);
        assert_eq!(class, expected, "{before} {after}");
        assert_eq!(found.is_same(), !class.is_different());
        let is_told = found.summary().contains("1 with the same values in other bytes");
        assert_eq!(is_told, class == Class::Spelling, "{}", found.summary());
        assert_eq!(found.groups.len(), changes.len());
    }
    use Class::{Changed, Same, Spelling};
    check("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", &[], Spelling);
    check("{\"a\":1}", "{\"a\": 1}", &[], Spelling);
    check("[1,2]", "[1,2]\r\n", &[], Spelling);
    check("[1,2]", "\u{FEFF}[1,2]", &[], Spelling);
    check(" [1,2]", "[1,2] ", &[], Spelling);
    check("[[],[1]]", "[[ ],[1]]", &[], Spelling);
    check("[\"\u{e9}\"]", "[\"\\u00e9\"]", &[], Spelling);
    check("{\"\u{e9}\":1}", "{\"\\u00e9\":1}", &[], Spelling);
    // A difference that is allowed, or not looked at, is no other spelling.
    check("[1e2]", "[100]", &[], Same);
    check("{\"a\":1,\"t\":2}", "{\"a\":1,\"t\": 3}", &["/payload"], Same);
    check("{\"t\":\"a\"}", "{\"t\":\"\\u0061\"}", &["/payload/t"], Same);
    check("{\"a\":1,\"b\":2}", "{\"b\":2, \"a\":3}", &[], Changed);
    // The same values in another format are another answer.
    let (class, changes, _) = compared(b"[1]", &[0x81, 0x01], &DiffOptions::default());
    assert_eq!((class, changes), (Changed, vec!["/payload/format JSON CBOR".to_owned()]));
}

#[test]
fn headers_and_host_calls_are_compared_exactly() {
    let with = |header: Vec<(Value, Value)>, argument: Value| {
        let mut call = call(0, "a → b ~ log x");
        call.input.header = Header::from_entries(header);
        call.host_calls[0].arguments = argument;
        Arc::new(Run::from_calls("run", [call]))
    };
    #[track_caller]
    fn check(before: Arc<Run>, after: Arc<Run>, class: Class) {
        let found = diff(before, after, &DiffOptions::default());
        assert_eq!(found.entries[0].class, class, "{}", found.to_text());
    }
    let (bytes, text) = (Value::Bytes(vec![0]), Value::Text("hex:00".into()));
    let tag = |number| Value::Tag(number, Box::new(Value::Null));
    check(with(vec![], bytes.clone()), with(vec![], text.clone()), Class::HostCalls);
    check(with(vec![], tag(1)), with(vec![], tag(2)), Class::HostCalls);
    let entry = |value: Value| vec![(Value::Integer(1), value)];
    check(with(entry(bytes), tag(1)), with(entry(text), tag(1)), Class::Changed);
    let key = |key| vec![(key, Value::Null)];
    check(
        with(key(Value::Integer(1)), tag(1)),
        with(key(Value::Text("1".into())), tag(1)),
        Class::Changed,
    );
    let order = |one: i128, other: i128| {
        vec![(Value::Integer(one), Value::Null), (Value::Integer(other), Value::Null)]
    };
    check(with(order(1, 2), tag(1)), with(order(2, 1), tag(1)), Class::Spelling);
    // Times after 2554, as packets may have them.
    let time = |nanoseconds| vec![(Value::Text("time".into()), Value::Integer(nanoseconds))];
    let (before, after) = (with(time(1 << 64), tag(1)), with(time((1 << 64) + 1), tag(1)));
    let told = diff(before, after, &DiffOptions::default()).to_text();
    let both = ["18446744073709551616", "18446744073709551617"];
    assert!(both.iter().all(|number| told.contains(number)), "{told}");
}

#[test]
fn what_is_compared_of_a_call_beside_its_frames() {
    #[track_caller]
    fn check(change: impl Fn(&mut RunCall), expected: &[&str]) {
        let before = call(0, "a → 1 ~ log x");
        let mut after = before.clone();
        change(&mut after);
        let run = |call: RunCall| Arc::new(Run::from_calls("run", [call]));
        let found = diff(run(before), run(after), &DiffOptions::default());
        let changes = found.row(0).expect("there is one call").changes;
        let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        let changes = changes.iter().map(|change| {
            format!("{} {} {}", change.path, text(&change.before), text(&change.after))
        });
        assert_eq!(changes.collect::<Vec<_>>(), expected);
        assert_eq!(found.is_same(), expected.is_empty());
    }
    check(|call| call.outputs[0].emitted = true, &["/emitted false true"]);
    check(
        |call| call.outputs.push(RunOutput { emitted: true, ..frame("2").into() }),
        &["/output - emitted data 2"],
    );
    check(|call| call.outputs[0].frame.kind = Kind::CONTROL, &["/kind data control"]);
    check(|call| call.input.kind = Kind::CONTROL, &["/input/kind data control"]);
    check(
        |call| call.host_calls[0].permission = Permission::Now,
        &["/host/0/log/permission \"log\" \"now\""],
    );
    // Left out, as the module says.
    check(|call| call.id = CallId(9), &[]);
    check(|call| call.plugin = "other".into(), &[]);
    check(|call| call.host_calls[0].took = Duration::from_secs(1), &[]);
    check(|call| call.latency = Some(Duration::from_secs(9)), &[]);
}

#[test]
fn rules_that_are_about_nothing_are_named() {
    #[track_caller]
    fn check(ignore: &[&str], tolerances: &[&str], expected: &[&str]) {
        let before = run(&[
            "id=a {\"a\":1,\"b\":[{\"c\":\"x\"}]} → {\"t/s\":2} ~ log hi=ok",
            "plain → text",
        ]);
        let after = run(&["{\"d\":1} → emit x"]);
        let found = rules_about_nothing(&options(ignore, tolerances), &[&before, &after]);
        assert_eq!(found, expected, "{ignore:?} {tolerances:?}");
    }
    check(&["/payload/a", "/input/payload/a", "/payload/b/*/c", "/**/c", "/payload/d"], &[], &[]);
    check(&["/header/id", "/header", "/payload/t~1s", "/outcome", "/kind", "/latency"], &[], &[]);
    check(&["/host/0/log/arguments/0", "/host/*/log", "/payload/lines/9", "/emitted"], &[], &[]);
    check(&["/payload/e"], &[], &["ignore /payload/e"]);
    check(&["/payload/b/c", "/payload/b"], &[], &["ignore /payload/b/c"]);
    check(&["/paylod"], &[], &["ignore /paylod"]);
    check(&["/host/0/kv-get", "/header/it"], &[], &["ignore /host/0/kv-get", "ignore /header/it"]);
    check(&[], &["0.1", "/payload/a=0.1", "/payload=1", "/**=0"], &[]);
    check(&[], &["/payload/b/*/c=0.1"], &["tolerance /payload/b/*/c=0.1"]);
    check(&["/payload/bytes/3"], &[], &["ignore /payload/bytes/3"]);
}
