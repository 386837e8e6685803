//! Items as texts.

use std::borrow::Cow;

use super::document::{Format, Item, Sort};
use super::{cbor, hex, json};

/// Deeper items stand on one line: their indentation would be most of the text.
const MAX_INDENT: usize = 32;

/// How an item is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) notation: Notation,
    /// Keys in the order of their texts; those that are equal keep theirs.
    pub(crate) sorted: bool,
    /// On several lines.
    pub(crate) pretty: bool,
}

/// The notation of CBOR that is no JSON. JSON itself is always written as it is, but for spaces and
/// needless escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// JSON: strings of bytes are `hex:…` texts, keys are texts, tags are left out, and numbers that
    /// JSON cannot hold are texts.
    Json,
    /// The diagnostic notation of RFC 8949, section 8, so that different items have different texts.
    Exact,
}

impl Style {
    /// Equal items have equal texts, and no others.
    pub(crate) const EXACT: Style =
        Style { notation: Notation::Exact, sorted: true, pretty: false };
}

enum Step<'d> {
    Item(Item<'d>),
    Key(Item<'d>),
    Text(&'static str),
    /// A new line, so deep.
    Line(usize),
    /// The depth of the items that follow.
    Depth(usize),
}

/// Writes an item with all that is inside.
pub(crate) fn print(item: Item<'_>, style: Style) -> String {
    let mut out = String::new();
    if !matches!(item.sort(), Sort::Map | Sort::List | Sort::Tag) {
        leaf(item, style.notation, &mut out);
        return out;
    }
    let mut steps = vec![Step::Item(item)];
    let mut depth = 0;
    while let Some(step) = steps.pop() {
        match step {
            Step::Text(text) => out.push_str(text),
            Step::Depth(known) => depth = known,
            Step::Line(depth) => {
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", depth));
            }
            Step::Key(key) if style.notation == Notation::Json => {
                json::write_text(&key_bytes(key), &mut out);
            }
            Step::Item(item) | Step::Key(item) => match item.sort() {
                Sort::Tag if style.notation == Notation::Json => {
                    steps.push(Step::Item(item.untagged()));
                }
                Sort::Tag => {
                    out.push_str(&format!("{}(", item.tag()));
                    steps.push(Step::Text(")"));
                    steps.extend(item.children().map(Step::Item));
                }
                Sort::Map | Sort::List => {
                    inside(item, style, depth, &mut steps);
                    depth += 1;
                }
                _ => leaf(item, style.notation, &mut out),
            },
        }
    }
    out
}

/// Plans what stands between brackets, the last step first.
fn inside<'d>(item: Item<'d>, style: Style, depth: usize, steps: &mut Vec<Step<'d>>) {
    let is_map = item.sort() == Sort::Map;
    let pretty = style.pretty && depth < MAX_INDENT && item.children().next().is_some();
    let line = |depth| pretty.then_some(Step::Line(depth));
    let begin = steps.len();
    steps.push(Step::Text(if is_map { "{" } else { "[" }));
    let mut entry = |key: Option<Item<'d>>, value: Item<'d>, is_first: bool| {
        steps.extend((!is_first).then_some(Step::Text(",")));
        steps.extend(line(depth + 1));
        if let Some(key) = key {
            steps.push(Step::Key(key));
            steps.push(Step::Text(if pretty { ": " } else { ":" }));
        }
        steps.push(Step::Item(value));
    };
    if is_map {
        let mut entries: Vec<_> = item.entries().collect();
        if style.sorted {
            entries.sort_by_cached_key(|(key, _)| sort_key(*key));
        }
        for (at, (key, value)) in entries.into_iter().enumerate() {
            entry(Some(key), value, at == 0);
        }
    } else {
        item.children().enumerate().for_each(|(at, item)| entry(None, item, at == 0));
    }
    steps.push(Step::Depth(depth));
    steps.extend(line(depth));
    steps.push(Step::Text(if is_map { "}" } else { "]" }));
    steps[begin..].reverse();
}

/// The sort order of keys: their texts, as far as those are short.
pub(crate) fn sort_key(key: Item<'_>) -> Cow<'_, [u8]> {
    match key.sort() {
        Sort::Text => key.content(),
        Sort::Number | Sort::Word => match key.word() {
            Cow::Borrowed(word) => Cow::Borrowed(word.as_bytes()),
            Cow::Owned(word) => Cow::Owned(word.into_bytes()),
        },
        _ => Cow::Borrowed(key.raw()),
    }
}

/// A key as a text.
fn key_bytes(key: Item<'_>) -> Cow<'_, [u8]> {
    match key.sort() {
        Sort::Text => key.content(),
        Sort::Bytes => format!("hex:{}", hex::encode(&key.content())).into_bytes().into(),
        _ => print(key, Style::EXACT).into_bytes().into(),
    }
}

/// A key for people; an unpaired surrogate as its escape.
pub(crate) fn key_text(key: Item<'_>) -> String {
    let bytes = key_bytes(key);
    if let Ok(text) = std::str::from_utf8(&bytes) {
        return text.to_owned();
    }
    let mut text = String::new();
    json::write_text(&bytes, &mut text);
    text[1..text.len() - 1].to_owned()
}

fn leaf(item: Item<'_>, notation: Notation, out: &mut String) {
    match (item.sort(), notation) {
        (Sort::Text, _) => json::write_text(&item.content(), out),
        (Sort::Bytes, Notation::Exact) => {
            out.push_str(&format!("h'{}'", hex::encode(&item.content())));
        }
        (Sort::Bytes, Notation::Json) => {
            out.push_str(&format!("\"hex:{}\"", hex::encode(&item.content())));
        }
        (_, Notation::Json) if item.format() == Format::Cbor => out.push_str(&json_word(item)),
        _ => out.push_str(&item.word()),
    }
}

/// A number or word of CBOR as JSON.
fn json_word(item: Item<'_>) -> String {
    let word = item.word();
    let head = cbor::head(item.raw());
    let float = head.and_then(cbor::Head::float);
    match (&*word, float) {
        ("undefined", _) => "null".to_owned(),
        (_, Some(float)) if !float.is_finite() => format!("\"{float}\""),
        (word, _) if word.starts_with("simple") => format!("\"{word}\""),
        // Too large for most programs that read JSON.
        (word, _) if head.is_some_and(|head| head.sort() == Sort::Tag) => format!("\"{word}\""),
        _ => word.into_owned(),
    }
}
