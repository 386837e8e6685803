//! Comments and READMEs are read aloud: a sentence begins with its subject, never with a relative clause.

use std::path::Path;

use glovebox_tests::root;

/// Words that begin a sentence only as a relative clause, or as a question.
const WORDS: [&str; 6] = ["What", "Whatever", "Whichever", "Who", "Whoever", "Whose"];
/// Bindings that are generated from contracts, which never change once they are released.
const GENERATED: &str = "host/sdk/src/binding/component";

#[test]
fn no_sentence_begins_with_a_relative_clause() {
    let mut found = Vec::new();
    visit(&root(), &mut found);
    assert!(found.is_empty(), "begin these sentences with their subject:\n{}", found.join("\n"));
}

fn visit(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            let is_ours = name != "target" && !name.starts_with('.');
            if is_ours && path != root().join(GENERATED) {
                visit(&path, found);
            }
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            let source = std::fs::read_to_string(&path).unwrap();
            let lines =
                if name.ends_with(".rs") { in_comments(&source) } else { in_prose(&source) };
            let path = path.strip_prefix(root()).unwrap().display();
            found.extend(lines.iter().map(|(number, line)| format!("{path}:{number}: {line}")));
        }
    }
}

/// The lines of code, from 1, in whose comments a sentence begins with one of [`WORDS`].
fn in_comments(source: &str) -> Vec<(usize, &str)> {
    let has_one = |line: &str| match line.starts_with("//") {
        true => begins(line.trim_start_matches(['/', '!'])),
        false => line.split_once(" // ").is_some_and(|(_, comment)| begins(comment)),
    };
    numbered(source).filter(|(_, line)| has_one(line)).collect()
}

/// The lines of a page, from 1, outside of headings and code, in which a sentence begins with one of
/// [`WORDS`].
fn in_prose(page: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut is_prose = |line: &str| {
        is_code ^= line.starts_with("```");
        !is_code && !line.starts_with('#')
    };
    numbered(page).filter(|(_, line)| is_prose(line) && begins(line)).collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()))
}

/// True if one of [`WORDS`] has a capital letter, which it has only where it begins a sentence: the
/// name of a type stands in backticks, or before `::`.
fn begins(text: &str) -> bool {
    let mut words = text.split_whitespace();
    words.any(|word| WORDS.contains(&word.trim_start_matches(['(', '"', '*', '_'])))
}

#[test]
fn relative_clauses_are_found() {
    fn check(source: &str, expected: &[usize]) {
        let found = in_comments(source).into_iter().map(|(number, _)| number);
        assert_eq!(found.collect::<Vec<_>>(), expected, "{source}");
    }
    fn check_page(page: &str, expected: &[usize]) {
        let found = in_prose(page).into_iter().map(|(number, _)| number);
        assert_eq!(found.collect::<Vec<_>>(), expected, "{page}");
    }
    for word in WORDS {
        check(&format!("//! {word} is there.\n\n/// The rest.\n\n// {word} it is."), &[1, 5]);
        check(&format!("let row = 1; // {word} is selected."), &[1]);
        check(&format!("/// It ends. {word} waits goes on.\n///\n/// - {word} fails"), &[1, 3]);
        check(&format!("//! **{word} ends a wait**: the deadline."), &[1]);
        let small = word.to_lowercase();
        check_page(&format!("# {word} it is\n\nIt is. {word} waits\n- {word} fails\n"), &[3, 4]);
        check_page(&format!("```\n{word} it is\n```\nIt, {small} it is\n{word} it is"), &[5]);
        check(&format!("/// The frames, {small} they are.\nlet text = \"{word} is it\";"), &[]);
    }
    check("/// An event, see [`What`].\n/// use glovebox_events::{Event, What};", &[]);
    check("/// matches!(what, What::FrameIn { .. })\nenum What {}", &[]);
}
