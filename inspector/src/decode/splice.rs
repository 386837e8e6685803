//! Replaces spans of bytes, and keeps all around them.

use std::ops::Range;

use super::document::{Format, Sort};
use super::{cbor, json};

/// Bytes to take out, and what to put there.
pub(crate) type Splice = (Range<usize>, Vec<u8>);

/// Puts other bytes in; what lies inside something that is taken out already is left out.
pub(crate) fn splice(bytes: &[u8], mut splices: Vec<Splice>) -> Vec<u8> {
    // Of those that begin together, the longest first.
    splices.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut out = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for (range, with) in splices {
        if range.start >= copied {
            out.extend_from_slice(&bytes[copied..range.start]);
            out.extend_from_slice(&with);
            copied = range.end;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out
}

/// A text as it stands in a document.
pub(crate) fn text(format: Format, text: &[u8]) -> Vec<u8> {
    match format {
        Format::Json => {
            let mut out = String::new();
            json::write_text(text, &mut out);
            out.into_bytes()
        }
        Format::Cbor => string(Sort::Text, text),
    }
}

/// The start of a CBOR string of this length.
pub(crate) fn head(sort: Sort, length: u64) -> Vec<u8> {
    cbor::head_of(sort, length)
}

/// An integer of CBOR.
pub(crate) fn integer(number: u64) -> Vec<u8> {
    cbor::head_of(Sort::Number, number)
}

/// A CBOR string of text or bytes.
pub(crate) fn string(sort: Sort, content: &[u8]) -> Vec<u8> {
    [&cbor::head_of(sort, content.len() as u64), content].concat()
}

/// A map of these keys and values by turns, or a list of these items, all of them encoded.
pub(crate) fn container(format: Format, sort: Sort, items: &[Vec<u8>]) -> Vec<u8> {
    let is_map = sort == Sort::Map;
    match format {
        Format::Cbor => {
            let length = if is_map { items.len() / 2 } else { items.len() };
            [cbor::head_of(sort, length as u64), items.concat()].concat()
        }
        Format::Json => {
            let mut out = vec![if is_map { b'{' } else { b'[' }];
            for (at, item) in items.iter().enumerate() {
                let is_value = is_map && at % 2 == 1;
                out.extend((at > 0).then_some(if is_value { b':' } else { b',' }));
                out.extend_from_slice(item);
            }
            out.push(if is_map { b'}' } else { b']' });
            out
        }
    }
}
