//! Payloads are what they were: through import, export, anonymize, diff, filter, baselines and `call`.

use super::*;

/// A payload as a line of NDJSON.
fn line(payload: &str) -> String {
    serde_json::json!({ "plugin": "p", "payload": payload }).to_string() + "\n"
}

/// The payloads of a trace.
fn payloads(folder: &Folder, trace: &str) -> Vec<String> {
    let lines = folder.check(&["trace", "export", trace], 0, "", "");
    let payload = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["payload"].as_str().unwrap().to_owned()
    };
    lines.lines().map(payload).collect()
}

#[test]
fn anonymize_takes_out_what_it_says_and_nothing_else() {
    #[track_caller]
    fn check(payload: &str, what: &[&str], code: i32, expected: &str, sentence: &str) {
        let folder = Folder::new();
        folder.write("in.ndjson", line(payload));
        folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
        let verb = [&["trace", "anonymize", "in.mcap"], what, &["-o", "out.mcap"]].concat();
        folder.check(&verb, code, "", sentence);
        assert_eq!(payloads(&folder, "out.mcap"), [expected]);
    }
    let pattern = &["--pattern", r"[a-z]+@example\.org"];
    let path = &["--path", "payload.mail"];
    let half = r#"{"mail":"bob@example.org","title":"hi \ud83d","n":[-0,0.10,1E2,1e999],"n":2}"#;
    let left = half.replace("bob@example.org", "redacted");
    check(half, pattern, 0, &left, "Changed 1 of 1 event");
    check(half, path, 0, &left, "Changed 1 of 1 event");
    let inner = r#"{"t":"{\"mail\":4111111111111111}","n":4111111111111111}"#;
    let left = r#"{"t":"{\"mail\":0}","n":0}"#;
    check(inner, &["--pattern", r"\d{16}"], 0, left, "Changed 1 of 1 event");
    let left = inner.replacen("4111111111111111", "0", 1);
    check(inner, &["--path", "payload.**.mail"], 0, &left, "Changed 1 of 1 event");
    let pair = &["--pattern", r#""password":"[^"]*""#];
    let left = r#"{"redacted":"redacted"}"#;
    check(r#"{"password":"hunter2"}"#, pair, 0, left, "Changed 1 of 1 event");
    check("a\u{1}b", pattern, 1, "a\u{1}b", "1 event could not be searched whole");
    let cut = r#"{"mail":"bob\u0040example.org","#;
    check(cut, pattern, 0, r#"{"mail":"redacted","#, "Changed 1 of 1 event");
    check(cut, path, 1, cut, "1 event could not be searched whole");
}

#[test]
fn values_that_differ_are_told_by_every_verb() {
    let folder = Folder::new();
    let run = |name: &str, payload: &str| {
        let input = line("in").replace("{", r#"{"call":1,"#);
        let output = line(payload).replacen('{', r#"{"type":"frame-out","call":1,"#, 1);
        folder.write(&format!("{name}.ndjson"), input + &output);
        let (from, to) = (format!("{name}.ndjson"), format!("{name}.mcap"));
        folder.check(&["trace", "import", &from, "-o", &to], 0, "", "");
    };
    run("a", r#"{"id":123456789012345678901,"k":1}"#);
    run("b", r#"{"id":123456789012345678902,"k":1}"#);
    run("c", r#"{"k":1,"id":123456789012345678901}"#);
    folder.check(&["diff", "a.mcap", "b.mcap"], 1, "+ 123456789012345678902", "1 changed");
    folder.check(&["diff", "a.mcap", "a.mcap"], 0, "", "no differences");
    let spelled = "1 with the same values in other bytes";
    let json = folder.json(&["diff", "a.mcap", "c.mcap"], 0, spelled);
    assert_eq!(
        (&json["counts"]["spelling"], &json["different"]),
        (&1.into(), &0.into()),
        "{json:#}"
    );
    let filter = |id: &str, sentence: &str| {
        let out = format!("{id}.mcap");
        let expression = format!("json.id={id}");
        folder.check(&["trace", "filter", "a.mcap", &expression, "-o", &out], 0, "", sentence);
    };
    filter("123456789012345678901", "Kept 1 of 1");
    filter("123456789012345678902", "Kept 0 of 1");
}

#[test]
fn a_baseline_knows_the_last_digit() {
    let folder = Folder::new();
    let echo = "plugins/echo.wasm";
    for (name, id) in [("a", "123456789012345678901"), ("b", "123456789012345678902")] {
        folder.write(
            &format!("{name}.ndjson"),
            line(&format!("{{\"id\":{id}}}")).replace("\"p\"", "\"echo\""),
        );
        let (from, to) = (format!("{name}.ndjson"), format!("{name}.mcap"));
        folder.check(&["trace", "import", &from, "-o", &to], 0, "", "");
    }
    let replay = |trace: &'static str, more: &'static str| {
        ["replay", trace, "--plugin", echo, "--against", "b.txt", more]
    };
    folder.check(&replay("a.mcap", "--accept"), 0, "", "made a baseline");
    let text = fs::read_to_string(folder.0.path().join("b.txt")).unwrap();
    assert!(text.contains(r#"{"id":123456789012345678901}"#), "{text}");
    folder.check(&replay("a.mcap", "--check"), 0, "", "no differences");
    folder.check(&replay("b.mcap", "--check"), 1, "", "1 changed");
}

#[test]
fn the_redacting_sample_passes_nothing_on_that_it_cannot_read() {
    let folder = Folder::new();
    for sample in ["plugins/redact.wasm", "plugins/redact.frame-abi.wasm"] {
        let call = |payload| ["call", sample, "--payload", payload];
        let left = r#"{"mail":"[redacted]","n":"\ud83d"}"#;
        folder.check(&call(r#"{"mail":"bob@example.org","n":"\ud83d"}"#), 0, left, "completed");
        let cut = r#"{"mail":"bob\u0040example.org","#;
        folder.check(&call(cut), 0, r#"{"mail":"[redacted]","#, "completed");
    }
}

#[test]
fn a_header_is_never_rounded() {
    let folder = Folder::new();
    let echo = "plugins/echo.wasm";
    let call = |header| ["call", echo, "--header", header];
    folder.check(&call(r#"{"n":18446744073709551615}"#), 0, "18446744073709551615", "completed");
    folder.refused(
        &call(r#"{"n":18446744073709551616}"#),
        2,
        "18446744073709551616",
        "write it as a text",
    );
    folder.refused(&call(r#"{"n":1e400}"#), 2, "1e400", "write it as a text");
}

#[test]
fn whole_numbers_are_exact_in_every_verb() {
    const SMALLEST: &str = "-18446744073709551616";
    const NEXT: &str = "-18446744073709551615";
    let folder = Folder::new();
    let header = format!("{{\"n\":{SMALLEST}}}");
    let call = ["call", "plugins/echo.wasm", "--header", &header];
    folder.check(&call, 0, &header, "completed");
    let json = folder.check(&[&call[..], &["--json", "-"]].concat(), 0, "", "completed");
    assert!(json.contains(&format!("\"n\": {SMALLEST}\n")), "{json}");
    for (name, number) in [("a", SMALLEST), ("b", NEXT)] {
        let line = format!("{{\"plugin\":\"p\",\"header\":{{\"n\":{number}}},\"payload\":\"\"}}\n");
        let (from, to) = (format!("{name}.ndjson"), format!("{name}.mcap"));
        folder.write(&from, &line);
        folder.check(&["trace", "import", &from, "-o", &to], 0, "", "Imported 1 event");
        let lines = folder.check(&["trace", "export", &to], 0, "", "");
        let exact = format!("\"header\":{{\"n\":{number}}}");
        assert!(lines.contains(&exact) && !lines.contains("header_hex"), "{lines}");
        folder.write("again.ndjson", &lines);
        folder.check(
            &["trace", "import", "again.ndjson", "-o", "again.mcap", "--force"],
            0,
            "",
            "",
        );
        folder.check(&["diff", &to, "again.mcap"], 0, "", "no differences");
        let (filter, out) = (format!("header.n={number}"), format!("only-{name}.mcap"));
        folder.check(&["trace", "filter", &to, &filter, "-o", &out], 0, "", "Kept 1 of 1");
        let (filter, out) = (format!("header.n<{NEXT}"), format!("less-{name}.mcap"));
        let kept = if number == NEXT { "Kept 0 of 1" } else { "Kept 1 of 1" };
        folder.check(&["trace", "filter", &to, &filter, "-o", &out], 0, "", kept);
    }
    folder.check(&["diff", "a.mcap", "b.mcap"], 1, &format!("+ {NEXT}"), "1 changed");
    let anonymize = ["trace", "anonymize", "a.mcap", "--pattern", &SMALLEST[1..], "-o", "c.mcap"];
    folder.check(&anonymize, 0, "", "Changed 1 of 1 event");
    let lines = folder.check(&["trace", "export", "c.mcap"], 0, "", "");
    assert!(!lines.contains(&SMALLEST[1..]), "{lines}");
}
