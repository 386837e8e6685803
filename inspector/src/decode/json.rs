//! JSON with the bytes each value stands for, and JSON from and to CBOR.

use glovebox_abi::cbor::Value;
use serde_json::Value as Json;

use super::{Node, from_hex, hex};

/// What a byte string becomes in JSON.
const HEX: &str = "hex:";

/// A CBOR value as JSON: byte strings become `hex:…` texts, keys become texts, tags are dropped,
/// and numbers JSON cannot hold become texts.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => Json::String(number.to_string()),
        },
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        Value::Text(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(format!("{HEX}{}", hex(bytes))),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            let entries = entries.iter();
            Json::Object(entries.map(|(key, value)| (key_text(key), to_json(value))).collect())
        }
        Value::Tag(_, value) => to_json(value),
        Value::Simple(number) => Json::String(format!("simple({number})")),
    }
}

/// JSON as a CBOR value; `hex:…` texts become byte strings.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::Integer(number.into()),
            (_, Some(number)) => Value::Integer(number.into()),
            _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => match text.strip_prefix(HEX).and_then(from_hex) {
            Some(bytes) => Value::Bytes(bytes),
            None => Value::Text(text.clone()),
        },
        Json::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        Json::Object(entries) => {
            let entries = entries.iter();
            Value::Map(
                entries.map(|(key, value)| (Value::Text(key.clone()), from_json(value))).collect(),
            )
        }
    }
}

/// A key as a text.
pub(crate) fn key_text(key: &Value) -> String {
    match to_json(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// The tree of bytes that are valid JSON; `None` if they are not.
pub(super) fn tree(label: &str, bytes: &[u8], base: usize) -> Option<Node> {
    let mut reader = Reader { bytes, at: 0, base };
    reader.value(label.to_owned(), 0)
}

/// Finds the bytes of each value. That they are valid JSON was checked by somebody else; if they
/// are not, reading ends somewhere with `None`.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the bytes start in the frame.
    base: usize,
}

/// As deep as `serde_json` reads.
const MAX_DEPTH: usize = 128;

impl Reader<'_> {
    fn value(&mut self, label: String, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.skip_space();
        let (value, children) = match self.peek()? {
            b'{' => {
                let children = self.items(b'}', |reader, _| {
                    let key = reader.text()?;
                    reader.expect(b':')?;
                    reader.value(key, depth + 1)
                })?;
                (count(children.len(), "entry", "entries"), children)
            }
            b'[' => {
                let children =
                    self.items(b']', |reader, index| reader.value(index.to_string(), depth + 1))?;
                (count(children.len(), "item", "items"), children)
            }
            b'"' => (self.text()?, Vec::new()),
            _ => (self.word()?, Vec::new()),
        };
        Some(Node { label, value, range: self.base + start..self.base + self.at, children })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) -> usize {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.at
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// What stands between brackets, separated by commas.
    fn items(
        &mut self,
        end: u8,
        mut item: impl FnMut(&mut Self, usize) -> Option<Node>,
    ) -> Option<Vec<Node>> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek()? == end {
            self.at += 1;
            return Some(items);
        }
        loop {
            items.push(item(self, items.len())?);
            self.skip_space();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                next if next == end => return Some(items),
                _ => return None,
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        let start = self.skip_space();
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        serde_json::from_slice(self.bytes.get(start..self.at)?).ok()
    }

    /// A number or a word such as `null`, as it stands there.
    fn word(&mut self) -> Option<String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            self.at += 1;
        }
        let word = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        (!word.is_empty()).then(|| word.to_owned())
    }
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
