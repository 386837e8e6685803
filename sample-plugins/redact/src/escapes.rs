//! The escapes of JSON, taken out of bytes that need not be JSON.

use std::ops::Range;

/// How many layers are taken off: JSON in a text of JSON has two.
const MAX_LAYERS: usize = 8;

/// A text as it is read, and the way back to how it is written.
pub(crate) struct Layer {
    pub(crate) bytes: Vec<u8>,
    /// Where in the layer below each byte begins, and where that layer ends.
    starts: Vec<usize>,
}

impl Layer {
    /// The bytes below that these were made of; an escape belongs to all that it made.
    fn source(&self, range: Range<usize>) -> Range<usize> {
        let last = self.starts[range.end - 1];
        let end = self.starts[range.end - 1..].iter().find(|start| **start != last);
        self.starts[range.start]..end.map_or(last, |end| *end)
    }
}

/// The layers of a text, outermost first; none if it has no escapes.
pub(crate) fn layers(text: &[u8]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    while layers.len() < MAX_LAYERS {
        match unescape(layers.last().map_or(text, |layer| &layer.bytes)) {
            Some(layer) => layers.push(layer),
            None => break,
        }
    }
    layers
}

/// Where in the text a range of the last of these layers was written; it must not be empty.
pub(crate) fn source(layers: &[Layer], range: Range<usize>) -> Range<usize> {
    layers.iter().rev().fold(range, |range, layer| layer.source(range))
}

fn unescape(text: &[u8]) -> Option<Layer> {
    let mut layer = Layer { bytes: Vec::new(), starts: Vec::new() };
    let mut at = 0;
    while at < text.len() {
        let mut made = [0; 4];
        let (made, length) = match escape(&text[at..]) {
            Some((character, length)) => (character.encode_utf8(&mut made).as_bytes(), length),
            None => (&text[at..=at], 1),
        };
        layer.bytes.extend(made);
        layer.starts.extend(made.iter().map(|_| at));
        at += length;
    }
    layer.starts.push(text.len());
    (layer.bytes.len() < text.len()).then_some(layer)
}

/// The character of an escape at the front, and the bytes it takes. Half of a surrogate pair is no
/// character, but must not hide what stands beside it.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.strip_prefix(b"\\")?.first()? {
        b'u' => {
            let high = unit(text)?;
            let low = text.get(6..).and_then(unit);
            let pair = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
            return Some(match pair {
                Some(character) if character > '\u{FFFF}' => (character, 12),
                _ => (char::from_u32(high.into()).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            });
        }
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((character, 2))
}

/// The UTF-16 unit of `\uXXXX` at the front.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}
