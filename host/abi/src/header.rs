use std::fmt;

use bytes::Bytes;

use crate::cbor::{self, CborError, Value};

/// Facts about a frame: a CBOR map, kept encoded and decoded only when somebody looks.
///
/// Keys are texts by convention. These have a meaning to Glovebox; all others are the plugin's own:
///
/// | key | value |
/// |---|---|
/// | [`Header::ID`] | names the conversation: an answer repeats the id of its question |
/// | [`Header::CONTENT_TYPE`] | media type of the payload, e.g. `application/json` |
/// | [`Header::SOURCE`] | id of the plugin that emitted the frame: the host writes it, whatever stood there; frames with the same one stay in order |
/// | [`Header::TARGET`] | id of the plugin it is for |
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Header(Bytes);

impl Header {
    /// Key that names the conversation a frame belongs to.
    pub const ID: &'static str = "id";
    /// Key of the payload's media type.
    pub const CONTENT_TYPE: &'static str = "content-type";
    /// Key of the id of the plugin that emitted the frame.
    pub const SOURCE: &'static str = "source";
    /// Key of the id of the plugin that a frame is for.
    pub const TARGET: &'static str = "target";

    /// Key of the function that a plugin of another host is to call.
    pub const FUNCTION: &'static str = "function";

    /// A header that says nothing: zero bytes.
    #[inline]
    pub fn empty() -> Header {
        Header(Bytes::new())
    }

    /// Starts a header entry by entry.
    pub fn build() -> HeaderBuilder {
        HeaderBuilder { entries: Vec::new() }
    }

    /// Takes bytes that are one CBOR map, or empty.
    ///
    /// # Errors
    ///
    /// If they are anything else, or nested deeper than [`cbor::MAX_DEPTH`].
    pub fn from_cbor(bytes: Bytes) -> Result<Header, CborError> {
        if !bytes.is_empty() {
            cbor::check_map(&bytes)?;
        }
        Ok(Header(bytes))
    }

    /// A copy of bytes that were checked to be one CBOR map, or empty.
    #[inline]
    pub(crate) fn copy_of_checked(bytes: &[u8]) -> Header {
        // To copy nothing costs a call too.
        Header(if bytes.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(bytes) })
    }

    /// A header of these entries, in this order.
    pub fn from_entries(entries: Vec<(Value, Value)>) -> Header {
        if entries.is_empty() {
            return Header::empty();
        }
        Header(Value::Map(entries).to_bytes().into())
    }

    /// The same header with this text under a key, in place of what stands there.
    #[must_use]
    pub fn with_text(&self, key: &str, text: &str) -> Header {
        let mut entries = self.entries();
        entries.retain(|(name, _)| !matches!(name, Value::Text(name) if name == key));
        entries.push((Value::Text(key.to_owned()), Value::Text(text.to_owned())));
        Header::from_entries(entries)
    }

    /// The encoded map; empty for an empty header.
    #[inline]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// All entries, decoded.
    pub fn entries(&self) -> Vec<(Value, Value)> {
        match Value::decode(&self.0) {
            Ok(Value::Map(entries)) => entries,
            _ => Vec::new(),
        }
    }

    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<Value> {
        let is_key = |(name, _): &(Value, Value)| matches!(name, Value::Text(text) if text == key);
        self.entries().into_iter().find(is_key).map(|(_, value)| value)
    }

    /// The value of a text key, if it is a text.
    pub fn get_text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a text key, if it is an integer.
    pub fn get_integer(&self, key: &str) -> Option<i128> {
        match self.get(key)? {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.entries()).finish()
    }
}

/// Builds a [`Header`] entry by entry; a repeated key replaces the earlier value.
#[derive(Debug, Clone)]
pub struct HeaderBuilder {
    entries: Vec<(Value, Value)>,
}

impl HeaderBuilder {
    /// Adds any value.
    #[must_use]
    pub fn value(mut self, key: &str, value: Value) -> Self {
        let key = Value::Text(key.to_owned());
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.entries.push((key, value)),
        }
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, key: &str, text: impl Into<String>) -> Self {
        self.value(key, Value::Text(text.into()))
    }

    /// Adds an integer.
    #[must_use]
    pub fn integer(self, key: &str, number: impl Into<i128>) -> Self {
        self.value(key, Value::Integer(number.into()))
    }

    /// The header.
    pub fn finish(self) -> Header {
        Header::from_entries(self.entries)
    }
}
