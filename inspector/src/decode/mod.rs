//! Frames for people, and the one way to look into headers and payloads.
//!
//! [`tree`] makes the details tree of a frame, and [`Document`] takes JSON and CBOR apart without losing
//! anything: filter, diff, baselines, import and anonymize look at that. [`from_json`] makes CBOR of JSON,
//! exactly or not at all.
//!
//! ```
//! use glovebox_abi::Frame;
//! use glovebox_inspector::decode;
//!
//! let frame = Frame::data(&br#"{"user":{"id":42}}"#[..]);
//! let tree = decode::tree(&frame);
//! let id = tree.find(&["payload", "user", "id"]).expect("it is there");
//! assert_eq!(id.value, "42");
//! assert_eq!(&frame.to_bytes()[id.range.clone()], b"42");
//! ```
//!
//! This module deliberately knows only JSON, CBOR and text; any other payload is bytes.

pub(crate) mod cbor;
pub(crate) mod document;
mod edit;
pub(crate) mod encodings;
mod exact;
pub mod hex;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod print;
pub(crate) mod splice;
#[cfg(test)]
mod tests;
mod tree;
mod value;

use std::cell::LazyCell;
use std::ops::Range;

use glovebox_abi::{FRAME_PREFIX_LEN, Frame, Header, WIRE_VERSION};

pub use document::{Document, Malformed};
pub use edit::{edited_header, header_text};
pub use exact::Json;

use document::Format;
use print::{Notation, Style, print};
pub use value::{FromJsonError, from_json, header_from_json, to_json};
pub(crate) use value::{bytes_of_text, is_same, to_value, to_value_of_texts};

/// Payloads beyond this many bytes are not taken apart for the tree.
pub const MAX_TREE_PAYLOAD: usize = 1 << 20;

/// One line of the details tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name of the field, key or index.
    pub label: String,
    /// The value as text; for something with children, what it is: `2 entries`.
    pub value: String,
    /// Where it stands in the encoded frame ([`Frame::to_bytes`]); a key belongs to its value.
    pub range: Range<usize>,
    /// The nodes inside it.
    pub children: Vec<Node>,
}

impl Node {
    fn leaf(label: impl Into<String>, value: impl Into<String>, range: Range<usize>) -> Node {
        Node { label: label.into(), value: value.into(), range, children: Vec::new() }
    }

    /// The node that these labels lead to, from the children of this one on.
    pub fn find(&self, labels: &[&str]) -> Option<&Node> {
        let Some((first, rest)) = labels.split_first() else {
            return Some(self);
        };
        let mut children = self.children.iter();
        children.find(|child| child.label == *first)?.find(rest)
    }

    /// The innermost node that holds the byte at `offset` of the encoded frame.
    pub fn at(&self, offset: usize) -> Option<&Node> {
        if !self.range.contains(&offset) {
            return None;
        }
        let inner = self.children.iter().find_map(|child| child.at(offset));
        Some(inner.unwrap_or(self))
    }
}

/// The format of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    /// Nothing.
    Empty,
    /// JSON text.
    Json,
    /// CBOR.
    Cbor,
    /// Text that is no JSON.
    Text,
    /// Anything else.
    Bytes,
}

impl PayloadFormat {
    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            PayloadFormat::Empty => "empty",
            PayloadFormat::Json => "JSON",
            PayloadFormat::Cbor => "CBOR",
            PayloadFormat::Text => "text",
            PayloadFormat::Bytes => "bytes",
        }
    }
}

/// The format of a frame's payload: the one that its content type names, if that is true, otherwise
/// the one that it looks like.
pub fn payload_format(frame: &Frame) -> PayloadFormat {
    let payload = &frame.payload;
    if payload.is_empty() {
        return PayloadFormat::Empty;
    }
    let is_one = |format: &Format| match format {
        Format::Json => json::is_one(payload),
        Format::Cbor => cbor::is_one(payload),
    };
    match likely_formats(frame).find(is_one) {
        Some(Format::Json) => return PayloadFormat::Json,
        Some(Format::Cbor) => return PayloadFormat::Cbor,
        None => {}
    }
    let is_printable =
        |text: &str| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    match std::str::from_utf8(payload) {
        Ok(text) if is_printable(text) || content_type(frame).contains("text/") => {
            PayloadFormat::Text
        }
        _ => PayloadFormat::Bytes,
    }
}

/// The formats that a payload looks like, or is said to be. The header is only decoded if the first
/// byte of the payload does not tell.
fn likely_formats(frame: &Frame) -> impl Iterator<Item = Format> {
    type Looks = fn(&[u8]) -> bool;
    let formats: [(Format, &str, Looks); 2] =
        [(Format::Json, "json", looks_like_json), (Format::Cbor, "cbor", looks_like_cbor)];
    let said = LazyCell::new(|| content_type(frame));
    let is_likely = move |(_, word, looks): &(Format, &str, Looks)| {
        looks(&frame.payload) || said.contains(word)
    };
    formats.into_iter().filter(is_likely).map(|(format, ..)| format)
}

fn content_type(frame: &Frame) -> String {
    frame.header.get_text(Header::CONTENT_TYPE).unwrap_or_default()
}

/// True if the first byte opens a map or list of JSON.
pub(crate) fn looks_like_json(payload: &[u8]) -> bool {
    let text = payload.strip_prefix(json::BYTE_ORDER_MARK).unwrap_or(payload);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// True if the first byte opens a map or list of CBOR, or a tag says that this is CBOR: anything shorter
/// would be found in any bytes.
pub(crate) fn looks_like_cbor(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(0x80..=0xBF)) || payload.starts_with(cbor::SELF_DESCRIBED)
}

/// The payload taken apart, if it is JSON or CBOR.
pub fn payload_document(frame: &Frame) -> Option<Document<'_>> {
    let read = |format| Document::read(&frame.payload, format, false).ok();
    likely_formats(frame).find_map(read)
}

/// The header taken apart.
pub(crate) fn header_document(header: &Header) -> Option<Document<'_>> {
    let bytes = header.as_bytes();
    Document::cbor(if bytes.is_empty() { &[0xA0] } else { bytes }).ok()
}

/// A payload that is JSON or CBOR as JSON for people, on one line or several: numbers as they were
/// written, byte strings as `hex:…`, CBOR tags left out.
pub fn payload_text(frame: &Frame, pretty: bool) -> Option<String> {
    let style = Style { notation: Notation::Json, sorted: false, pretty };
    payload_document(frame).map(|document| print(document.root(), style))
}

/// The header as a JSON object.
pub fn header_json(frame: &Frame) -> Json {
    to_json(&glovebox_abi::cbor::Value::Map(frame.header.entries()))
}

/// The frame as a tree: three children, `prefix`, `header` and `payload`.
pub fn tree(frame: &Frame) -> Node {
    let header_end = FRAME_PREFIX_LEN + frame.header.as_bytes().len();
    let end = frame.encoded_len();
    Node {
        label: "frame".to_owned(),
        value: frame.kind.to_string(),
        range: 0..end,
        children: vec![
            prefix(frame),
            header(frame, FRAME_PREFIX_LEN..header_end),
            payload(frame, header_end..end),
        ],
    }
}

fn prefix(frame: &Frame) -> Node {
    let number = frame.kind.0;
    let header = frame.header.as_bytes().len();
    let payload = frame.payload.len();
    Node {
        label: "prefix".to_owned(),
        value: String::new(),
        range: 0..FRAME_PREFIX_LEN,
        children: vec![
            Node::leaf("kind", format!("{} (0x{number:02X})", frame.kind), 0..1),
            Node::leaf("reserved", "0", 1..2),
            Node::leaf("wire version", WIRE_VERSION.to_string(), 2..4),
            Node::leaf("header length", header.to_string(), 4..8),
            Node::leaf("payload length", payload.to_string(), 8..12),
        ],
    }
}

fn header(frame: &Frame, range: Range<usize>) -> Node {
    let bytes = frame.header.as_bytes();
    if bytes.is_empty() {
        return Node::leaf("header", "empty", range);
    }
    // A header is well-formed, `Header::from_cbor` sees to that.
    match Document::cbor(bytes) {
        Ok(document) => tree::tree("header".to_owned(), document.root(), range.start),
        Err(error) => Node::leaf("header", error.to_string(), range),
    }
}

fn payload(frame: &Frame, range: Range<usize>) -> Node {
    let bytes = &frame.payload;
    let format = payload_format(frame);
    let structured = matches!(format, PayloadFormat::Json | PayloadFormat::Cbor);
    if structured && bytes.len() > MAX_TREE_PAYLOAD {
        let shown = format!("{} of {} bytes, too large for a tree", format.name(), bytes.len());
        return Node::leaf("payload", shown, range);
    }
    let tree = match format {
        PayloadFormat::Json | PayloadFormat::Cbor => payload_document(frame)
            .map(|document| tree::tree("payload".to_owned(), document.root(), range.start)),
        PayloadFormat::Text => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            Some(Node::leaf("payload", text, range.clone()))
        }
        PayloadFormat::Empty => Some(Node::leaf("payload", "empty", range.clone())),
        PayloadFormat::Bytes => None,
    };
    tree.unwrap_or_else(|| Node::leaf("payload", format!("{} bytes", bytes.len()), range))
}
