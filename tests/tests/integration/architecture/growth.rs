//! Enums that may grow say so, so that one more case breaks nobody who matches them. The others are whole on
//! purpose: those that keep, replay or show them forget no case.

use std::collections::BTreeSet;
use std::path::Path;

use glovebox_tests::root;

/// The whole enums of the inspector: the window and the command line show each case of them.
const INSPECTOR: [&str; 17] = [
    "Answer",
    "Class",
    "Decision",
    "Figure",
    "ImportError",
    "Json",
    "Missing",
    "NoticeKind",
    "Pace",
    "PayloadFormat",
    "Severity",
    "SortBy",
    "Stage",
    "Standing",
    "Status",
    "Suite",
    "Verdict",
];

/// Those of traces: how an event is written.
const TRACE: [&str; 3] = ["Body", "Follows", "Part"];

#[test]
fn enums_may_grow_unless_they_are_whole_on_purpose() {
    let page = std::fs::read_to_string(root().join("host/README.md")).unwrap();
    let (_, list) = page.split_once("A few are whole").expect("the page has the list");
    let (list, _) = list.split_once("One more").expect("the list ends");
    let mut on_the_page: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    // Those of the contract, which other versions of it have as well.
    let is_of_contract = |name: &&str| ["LimitKind", "ServiceError"].contains(name);
    on_the_page.retain(|name| !is_of_contract(name));
    let check = |folders: &[&str], whole: &BTreeSet<&str>| {
        let mut found = BTreeSet::new();
        folders.iter().for_each(|folder| visit(&root().join(folder), &mut found));
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(&found, whole, "mark them `#[non_exhaustive]`, or list them: {folders:?}");
    };
    check(&["host/src", "host/events/src"], &on_the_page);
    check(&["inspector/src"], &BTreeSet::from(INSPECTOR));
    check(&["inspector/trace/src"], &BTreeSet::from(TRACE));
}

fn visit(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(whole(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The public enums of a source that may not grow.
fn whole(source: &str) -> Vec<String> {
    let mut may_grow = false;
    let mut found = Vec::new();
    for line in source.lines() {
        if line.starts_with("#[") {
            may_grow |= line == "#[non_exhaustive]";
        } else if !line.starts_with("//") && !line.starts_with([' ', '\t', ')']) {
            let name = line.strip_prefix("pub enum ").filter(|_| !may_grow);
            let end = |letter: char| !letter.is_alphanumeric();
            found.extend(name.and_then(|name| name.split(end).next()).map(str::to_owned));
            may_grow = false;
        }
    }
    found
}

#[test]
fn whole_enums_are_found() {
    fn check(source: &str, expected: &[&str]) {
        assert_eq!(whole(source), expected, "{source}");
    }
    check("pub enum One { A }\nenum Two { A }\npub(crate) enum Three { A }", &["One"]);
    check(
        "#[derive(Debug)]\n#[non_exhaustive]\npub enum One {\n    A,\n}\npub enum Two {}",
        &["Two"],
    );
    check("#[non_exhaustive]\n#[derive(\n    Debug\n)]\n/// Words.\npub enum One<T> {", &[]);
    check("#[non_exhaustive]\npub struct One;\npub enum Two<T> {", &["Two"]);
}
