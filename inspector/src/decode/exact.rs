//! JSON with all whole numbers of CBOR.
//!
//! `serde_json::Value` has 64 bits for a number: one too few for those from −2⁶⁴ to −2⁶³ − 1. Its feature
//! `arbitrary_precision` has no limit, but a feature counts for every crate of a program: it would change
//! how plugins and applications read numbers that are built together with this.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// A JSON value that may hold whole numbers below −2⁶³.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// A value in which all numbers fit.
    Plain(serde_json::Value),
    /// A whole number that does not.
    Integer(i128),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// A whole number.
    pub(super) fn integer(number: i128) -> Json {
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => Json::Integer(number),
        }
    }

    /// The value of a key, if it is an object.
    pub(crate) fn get(&self, key: &str) -> Option<Json> {
        match self {
            Json::Plain(value) => value.get(key).cloned().map(Json::Plain),
            Json::Map(entries) => entries.get(key).cloned(),
            Json::Integer(_) | Json::List(_) => None,
        }
    }
}

impl<T: Into<serde_json::Value>> From<T> for Json {
    fn from(value: T) -> Json {
        Json::Plain(value.into())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Plain(value) => value.serialize(serializer),
            Json::Integer(number) => number.serialize(serializer),
            Json::List(items) => items.serialize(serializer),
            Json::Map(entries) => entries.serialize(serializer),
        }
    }
}

/// On one line; with `#`, on several.
impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match formatter.alternate() {
            true => serde_json::to_string_pretty(self),
            false => serde_json::to_string(self),
        };
        formatter.write_str(&text.map_err(|_| fmt::Error)?)
    }
}
