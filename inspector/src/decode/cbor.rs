//! CBOR with the bytes each value stands for.

use glovebox_abi::cbor::{MAX_DEPTH, Value};
use minicbor::data::Type;
use minicbor::decode::Decoder;

use super::Node;
use super::json::{count, key_text};

/// The tree of bytes that are one CBOR value; `None` if they are not.
pub(super) fn tree(label: &str, bytes: &[u8], base: usize) -> Option<Node> {
    let mut reader = Reader { decoder: Decoder::new(bytes), base };
    reader.value(label.to_owned(), 0)
}

struct Reader<'a> {
    decoder: Decoder<'a>,
    /// Where the bytes start in the frame.
    base: usize,
}

impl Reader<'_> {
    fn value(&mut self, label: String, depth: usize) -> Option<Node> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let start = self.decoder.position();
        let (value, children) = match self.decoder.datatype().ok()? {
            Type::Array | Type::ArrayIndef => {
                let length = self.decoder.array().ok()?;
                let children =
                    self.items(length, |reader, index| reader.value(index.to_string(), depth + 1))?;
                (count(children.len(), "item", "items"), children)
            }
            Type::Map | Type::MapIndef => {
                let length = self.decoder.map().ok()?;
                let children = self.items(length, |reader, _| {
                    let key = key_text(&reader.simple()?);
                    reader.value(key, depth + 1)
                })?;
                (count(children.len(), "entry", "entries"), children)
            }
            Type::Tag => {
                let tag = self.decoder.tag().ok()?.as_u64();
                let inner = self.value(String::new(), depth + 1)?;
                (format!("tag {tag}: {}", inner.value), inner.children)
            }
            _ => (key_text(&self.simple()?), Vec::new()),
        };
        Some(Node {
            label,
            value,
            range: self.base + start..self.base + self.decoder.position(),
            children,
        })
    }

    fn items(
        &mut self,
        length: Option<u64>,
        mut item: impl FnMut(&mut Self, usize) -> Option<Node>,
    ) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        while length.is_none_or(|length| (items.len() as u64) < length) {
            if length.is_none() && self.decoder.datatype().ok()? == Type::Break {
                self.decoder.set_position(self.decoder.position() + 1);
                break;
            }
            items.push(item(self, items.len())?);
        }
        Some(items)
    }

    /// The whole next value, without a tree.
    fn simple(&mut self) -> Option<Value> {
        let start = self.decoder.position();
        self.decoder.skip().ok()?;
        let bytes = self.decoder.input().get(start..self.decoder.position())?;
        Value::decode(bytes).ok()
    }
}
