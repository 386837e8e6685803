use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallId, Outcome};

use super::*;
use crate::diff::{DiffOptions, Run, RunCall, diff};
use crate::report::junit::{self, Suite};

fn run(answer: impl Fn(u64) -> String) -> Arc<Run> {
    let calls = (0..60).map(|n| RunCall {
        id: CallId(n + 1),
        plugin: "<b>&\"evil\u{1b}[31m".into(),
        input: Frame::data(n.to_string()),
        outputs: vec![Frame::data(answer(n)).into()],
        host_calls: Vec::new(),
        outcome: Some(Outcome::Completed),
        latency: Some(Duration::from_micros(100 + n)),
    });
    Arc::new(Run::from_calls("<run>", calls))
}

#[test]
fn what_comes_from_frames_is_escaped() {
    let evil = "<script>alert(1)</script>]]>";
    let found = diff(run(|_| "x".into()), run(|_| evil.into()), &DiffOptions::default());
    let page = of_diff(&found);
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<b>&\""), "{page}");
    let xml = junit::of(&[("<suite>".to_owned(), Suite::Diff(&found))]).expect("it is made");
    assert!(!xml.contains("<script") && !xml.contains('\u{0}') && !xml.contains('\u{1b}'), "{xml}");
}

#[test]
fn pages_need_nothing_but_themselves() {
    let found =
        diff(run(|n| n.to_string()), run(|n| (n / 50).to_string()), &DiffOptions::default());
    let page = of_diff(&found);
    for word in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word} in {page}");
    }
    for word in ["<svg", "polyline", "59 changed", "and 49 more calls", "p50"] {
        assert!(page.contains(word), "{word} is not in {page}");
    }
}

#[test]
fn equal_runs_have_a_page_too() {
    let found = diff(run(|_| "x".into()), run(|_| "x".into()), &DiffOptions::default());
    assert!(of_diff(&found).contains("Nothing is different."));
    let none = Arc::new(Run::default());
    assert!(of_diff(&diff(none.clone(), none, &DiffOptions::default())).contains("0 calls"));
}

#[test]
fn test_cases_fail_where_calls_differ() {
    fn check(xml: &str, tests: usize, failures: usize, says: &str) {
        let head: String = xml.chars().take(400).collect();
        assert!(head.contains(&format!(r#"tests="{tests}""#)), "{head}");
        assert!(head.contains(&format!(r#"failures="{failures}""#)), "{head}");
        assert!(xml.contains(says), "{head}");
    }
    let (old, new) = (run(|n| n.to_string()), run(|n| (n / 50).to_string()));
    let found = diff(old.clone(), new.clone(), &DiffOptions::default());
    let xml = junit::of(&[("suite".to_owned(), Suite::Diff(&found))]).expect("it is made");
    check(&xml, 60, 59, "output 0 /payload/lines/1: 2 -&gt; 0");
    let same = diff(old.clone(), old.clone(), &DiffOptions::default());
    check(
        &junit::of(&[("suite".to_owned(), Suite::Diff(&same))]).expect("it is made"),
        60,
        0,
        "call #7",
    );
    let mut calls: Vec<RunCall> = old.iter().collect();
    calls[3].outcome = None;
    calls[4].outcome = Some(Outcome::Cancelled);
    let broken = Run::from_calls("broken", calls);
    check(
        &junit::of(&[("suite".to_owned(), Suite::Run(&broken))]).expect("it is made"),
        60,
        2,
        "the call never ended",
    );
}
