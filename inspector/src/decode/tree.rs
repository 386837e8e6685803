//! Documents for people: lines that can be unfolded, each tied to its bytes.

use super::document::{Item, Sort};
use super::print::{Notation, Style, key_text, print};
use super::{Node, json};

/// Deeper nesting is one line.
const MAX_DEPTH: usize = 128;

/// The tree of an item; `base` is where its document starts in the frame.
pub(super) fn tree(label: String, item: Item<'_>, base: usize) -> Node {
    node(label, item, base, 0)
}

fn node(label: String, item: Item<'_>, base: usize, depth: usize) -> Node {
    let span = item.span();
    let inner = |label, item| node(label, item, base, depth + 1);
    let (value, children) = match item.sort() {
        Sort::Map | Sort::List | Sort::Tag if depth == MAX_DEPTH => {
            (format!("{} bytes, nested too deeply to be shown", span.len()), Vec::new())
        }
        Sort::Map => {
            let entries = item.entries().map(|(key, value)| inner(key_text(key), value));
            let children: Vec<Node> = entries.collect();
            (count(children.len(), "entry", "entries"), children)
        }
        Sort::List => {
            let items = item.children().enumerate();
            let children: Vec<Node> = items.map(|(at, item)| inner(at.to_string(), item)).collect();
            (count(children.len(), "item", "items"), children)
        }
        Sort::Tag => {
            let tagged = item.children().next().map(|item| inner(String::new(), item));
            let (value, children) =
                tagged.map_or_else(Default::default, |it| (it.value, it.children));
            (format!("tag {}: {value}", item.tag()), children)
        }
        Sort::Text => (text(item), Vec::new()),
        _ => {
            let style = Style { notation: Notation::Json, sorted: false, pretty: false };
            let shown = print(item, style);
            (shown.trim_matches('"').to_owned(), Vec::new())
        }
    };
    Node { label, value, range: base + span.start..base + span.end, children }
}

/// A text; as it was written, if it is no Unicode.
fn text(item: Item<'_>) -> String {
    String::from_utf8(item.content().into_owned()).unwrap_or_else(|error| {
        let mut text = String::new();
        json::write_text(error.as_bytes(), &mut text);
        text
    })
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
