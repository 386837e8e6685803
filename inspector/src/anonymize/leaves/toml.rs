//! The leaves of TOML (<https://toml.io/en/v1.1.0>): its keys, values and comments.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::{Apart, Blank, Leaf, Way};
use crate::decode::encodings::of_toml;

/// The map that the names of tables are keys of.
const TABLES: usize = 0;

/// `None` of bytes that are no text.
pub(super) fn leaves(bytes: &[u8]) -> Option<Apart> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut apart = Apart::default();
    let mut place = Place { is_key: true, ..Place::default() };
    // Atoms and dots without anything between them.
    let mut word: Option<std::ops::Range<usize>> = None;
    for token in Source::new(text).lex() {
        let span = token.span().start()..token.span().end();
        let kind = token.kind();
        let joins = kind == TokenKind::Atom || kind == TokenKind::Dot && !place.is_key;
        if joins {
            let start = word.map_or(span.start, |word| word.start);
            word = Some(start..span.end);
            continue;
        }
        if let Some(word) = word.take() {
            let leaf = match place.is_key {
                true => Leaf::new(word.clone(), word, Way::Plain),
                false => Leaf::blank(word.clone(), None, blank(&text[word])),
            };
            place.push(leaf, &mut apart);
        }
        let quotes = match kind {
            TokenKind::BasicString | TokenKind::LiteralString => 1,
            TokenKind::MlBasicString | TokenKind::MlLiteralString => 3,
            TokenKind::Comment => {
                apart.leaves.push(Leaf::new(span.clone(), span.start + 1..span.end, Way::Plain));
                continue;
            }
            other => {
                place.pass(other);
                continue;
            }
        };
        // One that is cut off may lack the quotes behind it.
        let start = (span.start + quotes).min(span.end);
        let quote = &text[span.start..start];
        let is_closed = text[start..span.end].ends_with(quote);
        let inside = start..if is_closed { span.end - quotes } else { span.end };
        let is_basic = matches!(kind, TokenKind::BasicString | TokenKind::MlBasicString);
        let leaf = match is_basic {
            true => Leaf::new(span, inside.clone(), Way::Json).unescaped(of_toml(&bytes[inside])),
            false => Leaf::new(span, inside, Way::Plain),
        };
        place.push(leaf, &mut apart);
    }
    Some(apart)
}

/// Where in the text the lexer is.
#[derive(Debug, Default)]
struct Place {
    /// True in front of `=`, and in the name of a table.
    is_key: bool,
    is_in_table_name: bool,
    /// The inline tables and lists around, tables with their numbers.
    around: Vec<Option<usize>>,
    /// The number of the table.
    table: usize,
    maps: usize,
    /// The key whose value comes next.
    key: Option<usize>,
}

impl Place {
    fn pass(&mut self, kind: TokenKind) {
        match kind {
            TokenKind::Equals => self.is_key = false,
            TokenKind::LeftSquareBracket if self.is_key && self.around.is_empty() => {
                self.is_in_table_name = true;
            }
            TokenKind::RightSquareBracket if self.is_in_table_name => {}
            TokenKind::LeftSquareBracket => self.around.push(None),
            TokenKind::LeftCurlyBracket => {
                self.maps += 1;
                self.around.push(Some(self.maps));
                self.is_key = true;
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                self.around.pop();
                self.is_key = false;
            }
            TokenKind::Comma => self.is_key = matches!(self.around.last(), Some(Some(_))),
            TokenKind::Newline if self.around.is_empty() => {
                if std::mem::take(&mut self.is_in_table_name) {
                    self.maps += 1;
                    self.table = self.maps;
                }
                self.is_key = true;
            }
            TokenKind::Whitespace | TokenKind::Newline => return,
            _ => {}
        }
        if !matches!(kind, TokenKind::Equals) {
            self.key = None;
        }
    }

    fn push(&mut self, mut leaf: Leaf, apart: &mut Apart) {
        if self.is_key {
            leaf.key_of = Some(match self.around.last() {
                _ if self.is_in_table_name => TABLES,
                Some(Some(map)) => *map,
                _ => self.table,
            });
            self.key = Some(apart.leaves.len());
        } else if let Some(key) = self.key.take().and_then(|key| apart.leaves.get_mut(key)) {
            key.pair = Some(key.span.start..leaf.span.end);
        }
        apart.leaves.push(leaf);
    }
}

fn blank(word: &str) -> Blank {
    match word {
        "true" | "false" => Blank::TomlWord,
        _ => Blank::JsonNumber,
    }
}
