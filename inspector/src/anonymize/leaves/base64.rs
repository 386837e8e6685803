//! Base64 in a text (RFC 4648): with and without padding, of either alphabet, and in lines.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Apart, Content, Form, Kind, Leaf, Way, is_compressed};
use crate::decode::document::{Document, Format};
use crate::decode::encodings::is_wide;
use crate::decode::{looks_like_cbor, looks_like_json};

/// The fewest characters that are taken for base64: shorter ones are words.
const SHORTEST: usize = 8;
/// The fewest that are, if what they stand for is neither text nor JSON nor CBOR.
const SHORTEST_OF_BYTES: usize = 64;
/// The fewest characters of a line that another one follows.
const SHORTEST_LINE: usize = 48;

/// How base64 is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base64 {
    is_url_safe: bool,
    is_padded: bool,
    /// The length of its lines, and whether they end with `\r\n`.
    lines: Option<(usize, bool)>,
}

impl Base64 {
    fn engine(self) -> GeneralPurpose {
        let config = GeneralPurposeConfig::new()
            .with_encode_padding(self.is_padded)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        GeneralPurpose::new(if self.is_url_safe { &URL_SAFE } else { &STANDARD }, config)
    }

    pub(super) fn encode(self, content: &[u8]) -> Vec<u8> {
        let text = self.engine().encode(content).into_bytes();
        let Some((width, has_return)) = self.lines else { return text };
        let end: &[u8] = if has_return { b"\r\n" } else { b"\n" };
        text.chunks(width).collect::<Vec<_>>().join(end)
    }
}

/// The stretches of base64 in a text; `None` if there are none.
pub(super) fn leaves(text: &[u8]) -> Option<Apart> {
    let mut apart = Apart { is_text: true, ..Apart::default() };
    let mut at = 0;
    while let Some(start) = text[at..].iter().position(is_digit) {
        let start = at + start;
        if let Some(short) = short_lines(text, start)
            && let Some(leaf) = leaf(text, short.clone(), false)
        {
            at = short.end;
            apart.leaves.push(leaf);
            continue;
        }
        let run = run(text, start);
        at = run.end;
        let is_all = text.trim_ascii().len() == run.len() || text[..start].ends_with(b";base64,");
        match leaf(text, run.clone(), is_all) {
            Some(leaf) => apart.leaves.push(leaf),
            // Something else may stand before or behind it, with a character of either alphabet between.
            None => {
                let mut from = run.start;
                for part in text[run].split(|byte| b"+/-_".contains(byte)) {
                    apart.leaves.extend(leaf(text, from..from + part.len(), false));
                    from += part.len() + 1;
                }
            }
        }
    }
    (!apart.leaves.is_empty()).then_some(apart)
}

fn is_digit(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(byte)
}

/// The digits from here on in lines that are too short to tell by themselves that they belong together: they
/// do if all have one length and the last is shorter, or padded. Of values that stand in lines of their own, it
/// has the length of the others.
fn short_lines(text: &[u8], start: usize) -> Option<Range<usize>> {
    let line =
        |start: usize| start + text[start..].iter().take_while(|byte| is_digit(byte)).count();
    let mut end = line(start);
    let width = end - start;
    if !(SHORTEST..SHORTEST_LINE).contains(&width) || !width.is_multiple_of(4) {
        return None;
    }
    let mut last = width;
    while last == width {
        let next = match &text[end..] {
            [b'\r', b'\n', ..] => end + 2,
            [b'\n', ..] => end + 1,
            _ => break,
        };
        let next_end = line(next);
        if next_end == next || next_end - next > width {
            break;
        }
        (last, end) = (next_end - next, next_end);
    }
    let padding = text[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
    let has_lines = end - start > width;
    (has_lines && (last < width || padding > 0)).then_some(start..end + padding)
}

/// The digits from here on with their padding, and with the lines that follow.
fn run(text: &[u8], start: usize) -> Range<usize> {
    let line =
        |start: usize| start + text[start..].iter().take_while(|byte| is_digit(byte)).count();
    let mut end = line(start);
    let mut from = start;
    while end - from >= SHORTEST_LINE && (end - from).is_multiple_of(4) {
        let rest = &text[end..];
        let next = match rest {
            [b'\r', b'\n', ..] => end + 2,
            [b'\n', ..] => end + 1,
            _ => break,
        };
        let next_end = line(next);
        if next_end == next || next_end - next > end - from {
            break;
        }
        (from, end) = (next, next_end);
    }
    let padding = text[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
    start..end + padding
}

/// The stretch as a leaf, if it stands for something that can be looked into.
fn leaf(text: &[u8], span: Range<usize>, is_all: bool) -> Option<Leaf> {
    let written = &text[span.clone()];
    if written.len() < SHORTEST {
        return None;
    }
    let has = |any: &[u8]| written.iter().any(|byte| any.contains(byte));
    let width = written.iter().position(|byte| b"\r\n".contains(byte));
    let lines = width.map(|width| (width, written[width] == b'\r'));
    let digits: Vec<u8> = written.iter().filter(|byte| !b"\r\n".contains(byte)).copied().collect();
    // A length that needs no padding does not tell whether there would be some; in tokens, whose parts
    // stand between dots, and in addresses there is none.
    let is_even = digits.len().is_multiple_of(4);
    let is_token = text[..span.start].ends_with(b".") || text[span.end..].starts_with(b".");
    let is_padded = has(b"=") || is_even && !is_token && !has(b"-_");
    let is_url_safe = has(b"-_") || !has(b"+/") && !is_padded;
    let way = Base64 { is_url_safe, is_padded, lines };
    let content = way.engine().decode(&digits).ok()?;
    let is_plain = std::str::from_utf8(&content)
        .is_ok_and(|text| !text.chars().any(|one| one.is_control() && !"\n\r\t".contains(one)));
    let is = |format| Document::sequence(&content, format).is_ok();
    let is_long =
        is_all && digits.len() >= SHORTEST_OF_BYTES && !digits.iter().all(u8::is_ascii_hexdigit);
    let is_likely = is_plain
        || looks_like_json(&content) && is(Format::Json)
        || looks_like_cbor(&content) && is(Format::Cbor)
        || is_wide(&content)
        || is_compressed(&content)
        || is_long;
    is_likely.then(|| Leaf {
        content: Content::Made(content),
        kind: Kind { form: Form::Bytes, ..Kind::default() },
        ..Leaf::new(span.clone(), span, Way::Base64(way))
    })
}
