//! Frames for people: a tree of values, each tied to the bytes it stands for.
//!
//! [`tree`] makes the details tree of a frame, [`payload_json`] the value that filter and diff look
//! at.
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

mod cbor;
mod json;

use std::ops::Range;

use glovebox_abi::cbor::Value;
use glovebox_abi::{FRAME_PREFIX_LEN, Frame, Header, WIRE_VERSION};

pub(crate) use json::key_text;
pub use json::{from_json, to_json};

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
    /// What it consists of.
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

/// What a payload is.
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

/// What the payload of a frame is: as its content type says, if that is true, otherwise as it
/// looks.
pub fn payload_format(frame: &Frame) -> PayloadFormat {
    let payload = &frame.payload;
    if payload.is_empty() {
        return PayloadFormat::Empty;
    }
    let said = frame.header.get_text(Header::CONTENT_TYPE);
    let says = |word| said.as_ref().is_some_and(|said| said.contains(word));
    let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok();
    let looks_like_json = matches!(payload.trim_ascii_start().first(), Some(b'{' | b'['));
    // A map or an array: anything shorter would be found in any bytes.
    let looks_like_cbor = matches!(payload[0], 0x80..=0xBF);
    if (says("json") || looks_like_json) && is_json() {
        return PayloadFormat::Json;
    }
    if (says("cbor") || looks_like_cbor) && Value::decode(payload).is_ok() {
        return PayloadFormat::Cbor;
    }
    let is_printable =
        |text: &str| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    match std::str::from_utf8(payload) {
        Ok(text) if says("text/") || is_printable(text) => PayloadFormat::Text,
        _ => PayloadFormat::Bytes,
    }
}

/// The payload as a JSON value, if it is JSON or CBOR.
pub fn payload_json(frame: &Frame) -> Option<serde_json::Value> {
    match payload_format(frame) {
        PayloadFormat::Json => serde_json::from_slice(&frame.payload).ok(),
        PayloadFormat::Cbor => Value::decode(&frame.payload).ok().map(|value| to_json(&value)),
        _ => None,
    }
}

/// The header as a JSON object.
pub fn header_json(frame: &Frame) -> serde_json::Value {
    to_json(&Value::Map(frame.header.entries()))
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
    // A header is well-formed, `Header::from_cbor` sees to that; only its depth can be too much.
    cbor::tree("header", bytes, range.start)
        .unwrap_or_else(|| Node::leaf("header", "nested too deeply to be shown", range))
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
        PayloadFormat::Json => json::tree("payload", bytes, range.start),
        PayloadFormat::Cbor => cbor::tree("payload", bytes, range.start),
        PayloadFormat::Text => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            Some(Node::leaf("payload", text, range.clone()))
        }
        PayloadFormat::Empty => Some(Node::leaf("payload", "empty", range.clone())),
        PayloadFormat::Bytes => None,
    };
    tree.unwrap_or_else(|| Node::leaf("payload", format!("{} bytes", bytes.len()), range))
}

/// Bytes in hexadecimal, without spaces.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes of a hexadecimal text.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_abi::Kind;

    fn frame(payload: &[u8]) -> Frame {
        let header = Header::build()
            .text("id", "a")
            .value("user", Value::Map(vec![(Value::Text("n".into()), Value::Integer(42))]))
            .finish();
        Frame::new(Kind::DATA, header, payload.to_vec())
    }

    #[test]
    fn payloads_are_recognized() {
        fn check(payload: &[u8], expected: PayloadFormat) {
            assert_eq!(payload_format(&Frame::data(payload.to_vec())), expected, "{payload:02x?}");
        }
        check(b"", PayloadFormat::Empty);
        check(b" {\"a\": 1}", PayloadFormat::Json);
        check(b"{\"a\": 1", PayloadFormat::Text);
        check(b"hello\n", PayloadFormat::Text);
        check(b"42", PayloadFormat::Text);
        check(&[0xA1, 0x61, b'a', 0x01], PayloadFormat::Cbor);
        check(&[0xA1, 0x61, b'a'], PayloadFormat::Bytes);
        check(&[0, 1, 2], PayloadFormat::Bytes);
    }

    #[test]
    fn nodes_point_at_their_bytes() {
        fn check(payload: &[u8], labels: &[&str], value: &str, bytes: &[u8]) {
            let frame = frame(payload);
            let tree = tree(&frame);
            let node = tree.find(labels).unwrap_or_else(|| panic!("{labels:?} in {tree:#?}"));
            assert_eq!(node.value, value);
            assert_eq!(&frame.to_bytes()[node.range.clone()], bytes, "{labels:?}");
        }
        let json = br#"{"a": [1, -2.5e3, {"b\n": "x\u00e9"}], "c": null, "d": {}}"#;
        check(json, &["prefix", "kind"], "data (0x52)", &[0x52]);
        check(json, &["header", "id"], "a", &[0x61, b'a']);
        check(json, &["header", "user", "n"], "42", &[0x18, 42]);
        check(json, &["payload", "a", "1"], "-2.5e3", b"-2.5e3");
        check(json, &["payload", "a", "2", "b\n"], "xé", br#""x\u00e9""#);
        check(json, &["payload", "c"], "null", b"null");
        check(json, &["payload", "d"], "0 entries", b"{}");
        check(&[0x82, 0x01, 0x42, 7, 8], &["payload", "1"], "hex:0708", &[0x42, 7, 8]);
        check(&[0x9F, 0x61, b'z', 0xFF], &["payload", "0"], "z", &[0x61, b'z']);
        check(b"just text", &["payload"], "just text", b"just text");
        check(&[0, 1], &["payload"], "2 bytes", &[0, 1]);
    }

    #[test]
    fn bytes_lead_to_their_node() {
        let frame = frame(b"[10]");
        let tree = tree(&frame);
        let at = frame.encoded_len() - 3;
        assert_eq!(tree.at(at).map(|node| node.value.as_str()), Some("10"));
        assert_eq!(tree.at(frame.encoded_len()), None);
    }

    #[test]
    fn hexadecimal_survives() {
        assert_eq!(from_hex(&hex(&[0, 0xAB, 255])), Some(vec![0, 0xAB, 255]));
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("zz"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_payload_has_a_tree(payload: Vec<u8>) {
            let frame = Frame::data(payload);
            let tree = tree(&frame);
            proptest::prop_assert_eq!(tree.range, 0..frame.encoded_len());
        }

        #[test]
        fn anything_that_looks_like_json_has_a_tree(payload in r#"[\[\]{}",:0-9a-z\\]{0,40}"#) {
            tree(&Frame::data(payload.into_bytes()));
        }
    }
}
