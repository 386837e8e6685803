//! JUnit XML: a test case per call, so that CI shows which ones failed.

use std::fmt::Write as _;

use glovebox_inspector::diff::{Class, Diff, Run, RunCall};

/// A test case fails if its call differs from the baseline.
pub(super) fn of_diff(suite: &str, diff: &Diff, run: &Run) -> String {
    let cases = diff.entries.iter().map(|entry| {
        let call = entry.after.and_then(|index| run.calls.get(index));
        let number = entry.call_before.or(entry.call_after);
        Case {
            class: &entry.plugin,
            name: number.map_or_else(String::new, |call| format!("call {call}")),
            seconds: call.map_or(0.0, seconds),
            failure: (entry.class != Class::Same).then(|| {
                let changes = entry.changes.iter().map(|change| {
                    let output = change.output.map_or_else(String::new, |n| format!("output {n} "));
                    let none = || "nothing".to_owned();
                    let before = change.before.clone().unwrap_or_else(none);
                    let after = change.after.clone().unwrap_or_else(none);
                    format!("{output}{}: {before} -> {after}", change.path)
                });
                (entry.class.name().to_owned(), changes.collect::<Vec<_>>().join("\n"))
            }),
        }
    });
    write(suite, cases.collect())
}

/// A test case fails if its call does not complete.
pub(super) fn of_run(suite: &str, run: &Run) -> String {
    let cases = run.calls.iter().map(|call| Case {
        class: &call.plugin,
        name: format!("call {}", call.id),
        seconds: seconds(call),
        failure: match &call.outcome {
            None => Some(("unfinished".to_owned(), "the call never ended".to_owned())),
            Some(outcome) if outcome.is_completed() => None,
            Some(outcome) => Some((outcome.name().to_owned(), outcome.to_string())),
        },
    });
    write(suite, cases.collect())
}

struct Case<'a> {
    class: &'a str,
    name: String,
    seconds: f64,
    /// What sort of failure, and more about it.
    failure: Option<(String, String)>,
}

fn seconds(call: &RunCall) -> f64 {
    call.latency.unwrap_or_default().as_secs_f64()
}

fn write(suite: &str, cases: Vec<Case<'_>>) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\">\n",
        escape(suite),
        cases.len()
    );
    for case in cases {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.9}\"",
            escape(case.class),
            escape(&case.name),
            case.seconds
        );
        match case.failure {
            None => text.push_str("/>\n"),
            Some((kind, detail)) => {
                let (kind, detail) = (escape(&kind), escape(&detail));
                let _ = write!(
                    text,
                    ">\n    <failure message=\"{kind}\">{detail}</failure>\n  </testcase>\n"
                );
            }
        }
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text for an attribute or element; XML cannot hold control characters at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            character if character.is_control() => escaped.push('\u{FFFD}'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_into_xml() {
        fn check(text: &str, expected: &str) {
            assert_eq!(escape(text), expected);
        }
        check("a <b> & \"c\"\n", "a &lt;b&gt; &amp; &quot;c&quot;\n");
        check("\0\u{1b}\u{FFFF}é", "\u{FFFD}\u{FFFD}\u{FFFD}é");
    }
}
