//! Comments, READMEs and the texts of the program are read aloud: a sentence begins with its subject, never
//! with a relative clause. Comments are also what `--help` says of arguments.

use std::path::Path;
use std::str::FromStr;

use glovebox_tests::root;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::modules::{is, is_for_tests, skip_item};

/// Words that begin a sentence only as a relative clause, or as a question.
const WORDS: [&str; 6] = ["What", "Whatever", "Whichever", "Who", "Whoever", "Whose"];
/// Bindings that are generated from contracts, which never change once they are released.
const GENERATED: &str = "host/sdk/src/binding/component";

#[test]
fn no_sentence_begins_with_a_relative_clause() {
    let mut found = Vec::new();
    visit(&root(), &mut |path, source| {
        let is_code = path.ends_with(".rs");
        let lines = if is_code { in_comments(source) } else { in_prose(source) };
        found.extend(lines.iter().map(|(number, line)| format!("{path}:{number}: {line}")));
        if is_code && !path.contains("tests/") {
            let texts = texts(source).texts.into_iter().filter(|text| begins(text));
            found.extend(texts.map(|text| format!("{path}: {text:?}")));
        }
    });
    assert!(found.is_empty(), "begin these sentences with their subject:\n{}", found.join("\n"));
}

/// The message of an error stands in a sentence of others: "cannot open it: no such file".
#[test]
fn messages_of_errors_are_fragments() {
    let (mut count, mut found) = (0, Vec::new());
    visit(&root(), &mut |path, source| {
        if path.ends_with(".rs") && !path.contains("tests/") {
            let messages = texts(source).messages;
            count += messages.len();
            let bad = messages.into_iter().filter(|message| !is_fragment(message));
            found.extend(bad.map(|message| format!("{path}: {message:?}")));
        }
    });
    assert!(count > 100, "only {count} messages were read");
    assert!(found.is_empty(), "begin small, and end without a full stop:\n{}", found.join("\n"));
}

/// Hands on every source and page, with its path.
fn visit(folder: &Path, take: &mut dyn FnMut(&str, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            let is_ours = name != "target" && !name.starts_with('.');
            if is_ours && path != root().join(GENERATED) {
                visit(&path, take);
            }
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            let source = std::fs::read_to_string(&path).unwrap();
            take(&path.strip_prefix(root()).unwrap().to_string_lossy(), &source);
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

/// The files that the first page names are there, with the names that stand after them: `file`: `name`.
#[test]
fn the_page_leads_to_the_right_files() {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let parts: Vec<&str> = line.split('`').collect();
        for (at, path) in parts.iter().enumerate().skip(1).step_by(2) {
            if !path.contains('/') || !path.ends_with(".rs") {
                continue;
            }
            let source = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            let name = parts.get(at + 2).filter(|_| parts[at + 1] == ": ");
            let name = name.map_or("", |name| name.rsplit("::").next().unwrap_or(name));
            count += 1;
            if source.is_empty() || !source.contains(name) {
                wrong.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(count >= 10, "only {count} files were found");
    assert!(wrong.is_empty(), "no such file, or not this in it:\n{}", wrong.join("\n"));
}

/// The texts of a source, without comments and the code for tests.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    /// Those of `#[error("…")]`.
    messages: Vec<String>,
}

fn texts(source: &str) -> Texts {
    let mut found = Texts::default();
    found.take(TokenStream::from_str(source).unwrap());
    found
}

impl Texts {
    fn take(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            match token {
                token if is(token, '#') => match rest.first() {
                    Some(attribute) if is_for_tests(&attribute.to_string()) => skip_item(&mut rest),
                    Some(TokenTree::Group(attribute)) => {
                        rest = &rest[1..];
                        self.take_attribute(attribute.stream());
                    }
                    _ => {}
                },
                TokenTree::Literal(literal) => self.texts.extend(value(&literal.to_string())),
                TokenTree::Group(group) => self.take(group.stream()),
                _ => {}
            }
        }
    }

    fn take_attribute(&mut self, tokens: TokenStream) {
        let parts: Vec<TokenTree> = tokens.clone().into_iter().collect();
        match &parts[..] {
            [TokenTree::Ident(name), ..] if name == "doc" => {}
            [TokenTree::Ident(name), TokenTree::Group(group)]
                if name == "error" && group.delimiter() == Delimiter::Parenthesis =>
            {
                let message = texts(&group.to_string()).texts.into_iter().next();
                self.messages.extend(message);
                self.take(tokens);
            }
            _ => self.take(tokens),
        }
    }
}

/// The text that a literal stands for, with each escape for a space as a space; `None` if it is no text.
fn value(literal: &str) -> Option<String> {
    let begin = literal.find('"')?;
    if !matches!(literal[..begin].trim_end_matches('#'), "" | "r") {
        return None;
    }
    let text = literal[begin + 1..].trim_end_matches('#').strip_suffix('"')?;
    Some(text.replace("\\n", " ").replace("\\\n", " ").replace('\\', ""))
}

fn is_fragment(message: &str) -> bool {
    let begins_small = !message.starts_with(char::is_uppercase);
    begins_small && !message.ends_with(['.', '!', '?'])
}

#[test]
fn texts_are_found() {
    fn check(source: &str, expected: &[&str], messages: &[&str]) {
        let found = texts(source);
        assert_eq!(found.texts, expected, "{source}");
        assert_eq!(found.messages, messages, "{source}");
    }
    check(
        "/// A comment.\nfn say() { print(\"one\\ntwo\", r#\"three\"#, b\"4\", '5'); }",
        &["one two", "three"],
        &[],
    );
    check("#[error(\"no {0}\", one(\"x\"))] struct No;", &["no {0}", "x"], &["no {0}"]);
    check("#[arg(help = \"Who it is\")] id: u8", &["Who it is"], &[]);
    check("#[cfg(test)] mod tests { fn f() { \"What\"; } } fn g() { \"said\"; }", &["said"], &[]);
    check("#[test] fn f() { \"What\"; }", &[], &[]);
    for (message, expected) in
        [("no {path}: {source}", true), ("No file", false), ("no file.", false), ("{0}", true)]
    {
        assert_eq!(is_fragment(message), expected, "{message}");
    }
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
