//! Payloads as lossless trees: every item knows its bytes.

use std::borrow::Cow;
use std::ops::Range;

use super::{cbor, json};

/// JSON or CBOR, taken apart.
///
/// Numbers, texts and keys stay as they were written, keys that stand there twice are there twice,
/// and nesting has no limit.
#[derive(Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    format: Format,
    nodes: Vec<Node>,
}

/// The format of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Cbor,
}

/// Bytes that are not what they were taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed at byte {at}")]
pub struct Malformed {
    /// Offset of the first bad byte.
    pub at: usize,
}

/// The kind of value that an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    /// Keys and values, by turns.
    Map,
    List,
    /// A tag of CBOR, around one item.
    Tag,
    Text,
    Bytes,
    Number,
    /// `true`, `null` and what else has a name of its own.
    Word,
}

/// An item. The items inside it follow.
#[derive(Debug, Clone, Copy)]
struct Node {
    sort: Sort,
    start: u32,
    end: u32,
    /// The position behind everything inside.
    next: u32,
}

/// Takes down what a reader finds.
#[derive(Debug, Default)]
pub(super) struct Tape {
    nodes: Vec<Node>,
    open: Vec<u32>,
}

impl Tape {
    /// Offsets fit, because [`Document`] refuses more bytes.
    pub(super) fn open(&mut self, sort: Sort, start: usize) {
        self.open.push(self.nodes.len() as u32);
        self.nodes.push(Node { sort, start: start as u32, end: 0, next: 0 });
    }

    pub(super) fn close(&mut self, end: usize) {
        let next = self.nodes.len() as u32;
        if let Some(node) = self.open.pop().and_then(|at| self.nodes.get_mut(at as usize)) {
            node.end = end as u32;
            node.next = next;
        }
    }

    pub(super) fn leaf(&mut self, sort: Sort, span: Range<usize>) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { sort, start: span.start as u32, end: span.end as u32, next });
    }
}

impl<'a> Document<'a> {
    /// Takes exactly one JSON value apart; spaces and a byte order mark may stand around it.
    ///
    /// # Errors
    ///
    /// If the bytes are anything else, are not UTF-8, or are 4 GiB or more.
    pub fn json(bytes: &'a [u8]) -> Result<Document<'a>, Malformed> {
        Self::read(bytes, Format::Json, false)
    }

    /// Takes exactly one CBOR item apart.
    ///
    /// # Errors
    ///
    /// If the bytes are anything else, a text is not UTF-8, or they are 4 GiB or more.
    pub fn cbor(bytes: &'a [u8]) -> Result<Document<'a>, Malformed> {
        Self::read(bytes, Format::Cbor, false)
    }

    /// Takes one value apart, and those that follow it.
    pub(crate) fn sequence(bytes: &'a [u8], format: Format) -> Result<Document<'a>, Malformed> {
        Self::read(bytes, format, true)
    }

    pub(super) fn read(
        bytes: &'a [u8],
        format: Format,
        more: bool,
    ) -> Result<Document<'a>, Malformed> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(Malformed { at: u32::MAX as usize });
        }
        let mut tape = Tape::default();
        match format {
            Format::Json => {
                let wrong = |error: std::str::Utf8Error| Malformed { at: error.valid_up_to() };
                std::str::from_utf8(bytes).map_err(wrong)?;
                json::read(bytes, more, &mut tape)?;
            }
            Format::Cbor => cbor::read(bytes, more, &mut tape)?,
        }
        Ok(Document { bytes, format, nodes: tape.nodes })
    }

    /// The format it is written in.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value; of several, the first.
    pub(crate) fn root(&self) -> Item<'_> {
        // A reader that found no value gave an error.
        Item { bytes: self.bytes, format: self.format, nodes: &self.nodes, at: 0 }
    }

    /// All values that stand side by side.
    pub(crate) fn roots(&self) -> Items<'_> {
        Items { item: self.root(), end: self.nodes.len() }
    }

    /// One number per item, by position: equal items have equal numbers, whatever the order of keys.
    pub(crate) fn hashes(&self) -> Vec<u64> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hashes = vec![0u64; self.nodes.len()];
        // The items inside stand behind, so they are known when an item needs them.
        for at in (0..self.nodes.len()).rev() {
            let item = Item { at, ..self.root() };
            let mut hasher = DefaultHasher::new();
            item.sort().hash(&mut hasher);
            match item.sort() {
                Sort::Map => {
                    let entries = item.entries().map(|(key, value)| {
                        let mut hasher = DefaultHasher::new();
                        (hashes[key.at], hashes[value.at]).hash(&mut hasher);
                        hasher.finish()
                    });
                    entries.fold(0u64, u64::wrapping_add).hash(&mut hasher);
                }
                Sort::List => item.children().for_each(|item| hashes[item.at].hash(&mut hasher)),
                Sort::Tag => {
                    item.tag().hash(&mut hasher);
                    item.children().for_each(|item| hashes[item.at].hash(&mut hasher));
                }
                Sort::Text | Sort::Bytes => item.content().hash(&mut hasher),
                Sort::Number | Sort::Word => item.word().hash(&mut hasher),
            }
            hashes[at] = hasher.finish();
        }
        hashes
    }
}

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'d> {
    bytes: &'d [u8],
    format: Format,
    nodes: &'d [Node],
    at: usize,
}

/// Values side by side.
#[derive(Debug, Clone)]
pub(crate) struct Items<'d> {
    item: Item<'d>,
    end: usize,
}

impl<'d> Iterator for Items<'d> {
    type Item = Item<'d>;

    fn next(&mut self) -> Option<Item<'d>> {
        let item = self.item;
        (item.at < self.end).then(|| {
            self.item.at = item.node().next as usize;
            item
        })
    }
}

impl<'d> Item<'d> {
    fn node(self) -> Node {
        self.nodes[self.at]
    }

    pub(crate) fn sort(self) -> Sort {
        self.node().sort
    }

    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Position among all items.
    pub(crate) fn position(self) -> usize {
        self.at
    }

    /// Its bytes.
    pub(crate) fn span(self) -> Range<usize> {
        self.node().start as usize..self.node().end as usize
    }

    /// The bytes that it is written in.
    pub(crate) fn raw(self) -> &'d [u8] {
        &self.bytes[self.span()]
    }

    /// The bytes between two places of the document.
    pub(crate) fn between(self, range: Range<usize>) -> &'d [u8] {
        &self.bytes[range]
    }

    /// The items inside: items of a list, keys and values of a map, the content of a tag.
    pub(crate) fn children(self) -> Items<'d> {
        Items { item: Item { at: self.at + 1, ..self }, end: self.node().next as usize }
    }

    /// Keys and values of a map.
    pub(crate) fn entries(self) -> impl Iterator<Item = (Item<'d>, Item<'d>)> + Clone {
        let mut children = self.children();
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The item behind all tags.
    pub(crate) fn untagged(self) -> Item<'d> {
        let mut item = self;
        while item.sort() == Sort::Tag {
            item.at += 1;
        }
        item
    }

    /// The number of a tag.
    pub(crate) fn tag(self) -> u64 {
        cbor::head(self.raw()).map_or(0, |head| head.argument)
    }

    /// A text without its escapes, or a string of bytes. Unpaired surrogates are three bytes, as if
    /// they were characters.
    pub(crate) fn content(self) -> Cow<'d, [u8]> {
        match self.format {
            Format::Json => {
                let inside = self.inside();
                json::unescape(inside).map_or(Cow::Borrowed(inside), |text| text.bytes.into())
            }
            Format::Cbor => cbor::content(self.raw()),
        }
    }

    /// The bytes between the quotes of a JSON text.
    pub(crate) fn inside(self) -> &'d [u8] {
        let raw = self.raw();
        raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
    }

    /// A number or a word as a text.
    pub(crate) fn word(self) -> Cow<'d, str> {
        match self.format {
            Format::Json => String::from_utf8_lossy(self.raw()),
            Format::Cbor => cbor::word(self.raw()),
        }
    }
}
