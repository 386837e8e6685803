//! Frames for people: a tree of values, each tied to the bytes it stands for.
use std::ops::Range;

use glovebox_abi::Frame;
use glovebox_abi::cbor::Value;

/// One line of the details tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name of the field, key or index.
    pub label: String,
    /// The value as text; empty for something that only has children.
    pub value: String,
    /// Where it stands in the encoded frame ([`Frame::to_bytes`]).
    pub range: Range<usize>,
    /// What it consists of.
    pub children: Vec<Node>,
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

/// What the payload of a frame is: as its content type says, otherwise as it looks.
pub fn payload_format(frame: &Frame) -> PayloadFormat {
    todo!()
}

/// The payload as a JSON value, if it is JSON or CBOR.
pub fn payload_json(frame: &Frame) -> Option<serde_json::Value> {
    todo!()
}

/// The frame as a tree: three children, `prefix`, `header` and `payload`.
pub fn tree(frame: &Frame) -> Node {
    todo!()
}

/// A CBOR value as JSON: byte strings become `hex:…` texts, keys become texts, tags are dropped.
pub fn to_json(value: &Value) -> serde_json::Value {
    todo!()
}
