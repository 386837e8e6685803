//! The leaves of CBOR, also of one that is cut off.

use std::ops::Range;

use super::{Apart, Blank, Content, Form, Kind, Leaf, Otherwise, Way};
use crate::decode::cbor::{self, SELF_DESCRIBED, Step};
use crate::decode::document::Sort;

/// The leaves of CBOR, which is seen as JSON. Behind the part that can be read, everything is one leaf.
pub(super) fn leaves(bytes: &[u8], is_said: bool) -> Option<Apart> {
    let first = *bytes.first()?;
    let is_utf8 = std::str::from_utf8(bytes).is_ok();
    let begins = match first {
        0x80..=0xBF => true,
        0xC0..=0xDB => !is_utf8,
        _ => false,
    };
    let is_odd = |byte: &u8| byte.is_ascii_control() && !b"\n\r\t".contains(byte);
    let has_odd = bytes.iter().any(is_odd);
    let is_text = is_utf8 && !has_odd;
    if !is_said && !begins && is_text {
        return None;
    }
    let mut reader = Reader { bytes, ..Reader::default() };
    let end = cbor::read_on(bytes, |step| reader.step(step));
    let is_whole = end.is_ok();
    // Values that begin with no map, list or tag look like anything.
    let is_likely =
        begins || is_whole && (reader.has_inside || reader.roots == 1 || reader.has_long);
    if !is_said && !is_likely {
        return None;
    }
    if let Err(error) = end {
        reader.rest(error.at);
    }
    let is_certain = is_said && !is_text
        || bytes.starts_with(SELF_DESCRIBED)
        || is_whole && matches!(first, 0x80..=0xBF);
    Some(Apart {
        leaves: reader.leaves,
        seen: Some(reader.seen),
        otherwise: match (is_certain, has_odd) {
            (true, _) => Otherwise::Nothing,
            (_, false) => Otherwise::Text,
            (_, true) => Otherwise::Bytes,
        },
        ..Apart::default()
    })
}

/// A map, list or tag around what is read.
#[derive(Debug)]
struct Around {
    sort: Sort,
    /// Items that came.
    count: usize,
    map: usize,
    /// The map that a tag is a key of.
    key_of: Option<usize>,
}

#[derive(Debug, Default)]
struct Reader<'a> {
    bytes: &'a [u8],
    leaves: Vec<Leaf>,
    seen: Vec<u8>,
    around: Vec<Around>,
    maps: usize,
    /// Where the tags before the next item begin.
    tag: Option<usize>,
    /// A key whose value comes next.
    key: Option<usize>,
    roots: usize,
    has_inside: bool,
    /// True if there is a number of eight bytes.
    has_long: bool,
}

impl Reader<'_> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Open(sort, start) => {
                let key_of = self.begin();
                let map = self.maps;
                self.maps += 1;
                self.has_inside = true;
                self.around.push(Around { sort, count: 0, map, key_of });
                match sort {
                    Sort::Tag => self.tag = Some(start),
                    _ => {
                        self.tag = None;
                        self.key = None;
                        self.seen.push(if sort == Sort::Map { b'{' } else { b'[' });
                    }
                }
            }
            Step::Close(_) => {
                self.tag = None;
                match self.around.pop().map(|around| around.sort) {
                    Some(Sort::Map) => self.seen.push(b'}'),
                    Some(Sort::List) => self.seen.push(b']'),
                    _ => return,
                }
                self.key = None;
            }
            Step::Leaf(sort, span) => {
                let key_of = self.begin();
                let leaf = self.leaf(sort, span);
                self.push(leaf, key_of);
            }
        }
    }

    /// Writes what stands before an item. The map that it is a key of.
    fn begin(&mut self) -> Option<usize> {
        let Some(around) = self.around.last_mut() else {
            if self.roots > 0 {
                self.seen.push(b'\n');
            }
            self.roots += 1;
            return None;
        };
        let is_key = around.sort == Sort::Map && around.count % 2 == 0;
        let between = match around.sort {
            Sort::Map if !is_key => Some(b':'),
            _ if around.count > 0 => Some(b','),
            _ => None,
        };
        around.count += 1;
        self.seen.extend(between);
        match around.sort {
            Sort::Tag => around.key_of,
            _ => is_key.then_some(around.map),
        }
    }

    fn leaf(&mut self, sort: Sort, span: Range<usize>) -> Leaf {
        let tag = self.tag.take();
        let raw = &self.bytes[span.clone()];
        let head = cbor::head(raw);
        let word = |span: Range<usize>, word: String, blank| Leaf::blank(span, Some(word), blank);
        match sort {
            Sort::Number => {
                self.has_long |= raw.len() > 8;
                let blank = match head.and_then(cbor::Head::float) {
                    Some(_) => Blank::CborFloat,
                    None => Blank::CborNumber,
                };
                word(span, cbor::word(raw).into_owned(), blank)
            }
            Sort::Word => word(span, cbor::word(raw).into_owned(), Blank::CborWord),
            _ => {
                if let Some(start) = tag
                    && let Some(number) = cbor::integer_in_tag(&self.bytes[start..span.end])
                {
                    return word(start..span.end, number, Blank::CborNumber);
                }
                let content = cbor::content(raw);
                // RFC 8949, section 3.4.5.1: encoded CBOR.
                let is_cbor = tag
                    .and_then(|tag| cbor::head(&self.bytes[tag..]))
                    .is_some_and(|head| head.argument == 24);
                let is_open = head.is_some_and(cbor::Head::is_open);
                let length = content.len();
                let inside = if is_open { span.clone() } else { span.end - length..span.end };
                let made = is_open.then(|| content.into_owned());
                Leaf {
                    content: made.map_or(Content::Itself, Content::Made),
                    kind: kind(sort, is_cbor && sort == Sort::Bytes),
                    ..Leaf::new(span, inside, Way::Cbor(sort, 0))
                }
            }
        }
    }

    fn push(&mut self, mut leaf: Leaf, key_of: Option<usize>) {
        let quote = (!leaf.is_blanked()).then_some(b'"');
        self.seen.extend(quote);
        let start = self.seen.len();
        self.seen.extend_from_slice(leaf.content(self.bytes));
        leaf.seen = start..self.seen.len();
        self.seen.extend(quote);
        leaf.key_of = key_of;
        let end = self.seen.len();
        if let Some(key) = self.key.take().and_then(|key| self.leaves.get_mut(key)) {
            let quote = usize::from(!key.is_blanked());
            key.pair = Some(key.seen.start - quote..end);
        }
        if key_of.is_some() {
            self.key = Some(self.leaves.len());
        }
        self.leaves.push(leaf);
    }

    /// Takes in what cannot be read whole: the string that goes on elsewhere, or anything.
    fn rest(&mut self, mut at: usize) {
        let is_open = |at: usize| {
            let head = cbor::head(self.bytes.get(at..)?)?;
            (matches!(head.sort(), Sort::Text | Sort::Bytes) && head.is_open()).then_some(())
        };
        if is_open(at).is_some() {
            // Its parts that are there.
            at += 1;
            while let Some(end) = cbor::end(&self.bytes[at..]) {
                let Some(head) = cbor::head(&self.bytes[at..]) else { break };
                if !matches!(head.sort(), Sort::Text | Sort::Bytes) {
                    break;
                }
                self.begin();
                self.tag = None;
                let leaf = self.leaf(head.sort(), at..at + end);
                self.push(leaf, None);
                at += end;
            }
        }
        let rest = self.bytes.len() - at;
        if rest == 0 {
            return;
        }
        let key_of = self.begin();
        let head = cbor::head(&self.bytes[at..]);
        let cut = head.filter(|head| {
            matches!(head.sort(), Sort::Text | Sort::Bytes)
                && head.argument > (rest - head.length) as u64
        });
        let leaf = match cut {
            Some(head) => {
                let missing = head.argument - (rest - head.length) as u64;
                let inside = at + head.length..self.bytes.len();
                let way = Way::Cbor(head.sort(), missing);
                Leaf { kind: kind(head.sort(), false), ..Leaf::new(at..inside.end, inside, way) }
            }
            None => {
                let span = at..self.bytes.len();
                let kind = Kind { is_whole: true, ..kind(Sort::Bytes, false) };
                Leaf { kind, ..Leaf::new(span.clone(), span, Way::Plain) }
            }
        };
        self.push(leaf, key_of);
    }
}

fn kind(sort: Sort, is_cbor: bool) -> Kind {
    let form = if sort == Sort::Bytes { Form::Bytes } else { Form::Text };
    Kind { form, is_cbor, ..Kind::default() }
}
