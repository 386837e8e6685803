//! The leaves of JSON, also of one that is cut off or has a mistake in it.

use super::{Apart, Blank, Leaf, Way};
use crate::decode::document::{Document, Sort};
use crate::decode::json::{BYTE_ORDER_MARK, Scanner, Token, unescape};
use crate::decode::looks_like_json;

/// The leaves of JSON, and of all that follows it.
pub(super) fn leaves(bytes: &[u8]) -> Option<Apart> {
    if !looks_like_json(bytes) || !is_json(bytes) || u32::try_from(bytes.len()).is_err() {
        return None;
    }
    let mut apart = Apart { is_escaped: true, ..Apart::default() };
    let leaves = &mut apart.leaves;
    // The maps and lists around, maps with their numbers.
    let mut around: Vec<Option<usize>> = Vec::new();
    let mut maps = 0;
    // A key whose value comes next.
    let mut key: Option<usize> = None;
    let mut at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let mut leaf = match byte {
            b'{' | b'[' => {
                around.push((*byte == b'{').then_some(maps));
                maps += 1;
                key = None;
                continue;
            }
            b'}' | b']' => {
                around.pop();
                key = None;
                continue;
            }
            b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => continue,
            b'"' => {
                let end = end_of_text(bytes, at);
                let inside = at..end;
                at = (end + 1).min(bytes.len());
                let text = unescape(&bytes[inside.clone()]);
                Leaf::new(start..at, inside, Way::Json).unescaped(text)
            }
            _ => {
                let rest = bytes[at..].iter().position(|byte| b"\"{}[]:,".contains(byte));
                let end = rest.map_or(bytes.len(), |length| at + length);
                at = start + bytes[start..end].trim_ascii_end().len().max(1);
                let blank = match Document::json(&bytes[start..at]).map(|it| it.root().sort()) {
                    Ok(Sort::Number) => Some(Blank::JsonNumber),
                    Ok(Sort::Word) => Some(Blank::JsonWord),
                    _ => None,
                };
                match blank {
                    Some(blank) => Leaf::blank(start..at, None, blank),
                    None => Leaf::new(start..at, start..at, Way::Plain),
                }
            }
        };
        if let Some(key) = key.take().and_then(|key| leaves.get_mut(key)) {
            key.pair = Some(key.span.start..leaf.span.end);
        } else if leaf.way == Way::Json && bytes[at..].trim_ascii_start().starts_with(b":") {
            leaf.key_of = around.last().copied().flatten();
            key = Some(leaves.len());
        }
        leaves.push(leaf);
    }
    Some(apart)
}

/// True of JSON, and of bytes that begin like it: with a key, or up to their end.
fn is_json(bytes: &[u8]) -> bool {
    let mut scanner = Scanner::new(bytes);
    let mut has_key = false;
    loop {
        match scanner.next() {
            Ok(Some(token)) => has_key |= token == Token::Key,
            Ok(None) if scanner.is_over() => return true,
            Ok(None) => scanner.another(),
            Err(error) => {
                let rest = bytes.get(error.at..).unwrap_or_default();
                let is_cut =
                    [&b"true"[..], b"false", b"null"].iter().any(|it| it.starts_with(rest))
                        || rest.starts_with(b"\\") && rest.len() < 6;
                return has_key || is_cut;
            }
        }
    }
}

/// Where the content of a text ends that begins there: at its quote, or at the end of the bytes.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at = (at + 2).min(bytes.len());
    }
    bytes.len()
}
