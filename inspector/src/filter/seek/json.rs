use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value as Json;

use super::super::path::Step;
use super::super::value::{Leaf, Number, ValueTest};

/// True if the bytes are JSON with a value at `path` that fulfils `test`.
///
/// All of it is read, because bytes of which only the beginning is JSON are no JSON. Of keys that
/// stand there twice, the last counts.
pub(super) fn holds(bytes: &[u8], path: &[Step], test: &ValueTest) -> bool {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let found = Seek { path, test }.deserialize(&mut deserializer);
    deserializer.end().is_ok() && found.unwrap_or(false)
}

/// Follows the rest of a path; gives whether the value there fulfils the test.
#[derive(Clone, Copy)]
struct Seek<'a> {
    path: &'a [Step],
    test: &'a ValueTest,
}

impl Seek<'_> {
    fn leaf(&self, leaf: Leaf<'_>) -> bool {
        self.path.is_empty() && self.test.holds(leaf)
    }

    fn whole(&self, json: &Json) -> bool {
        self.test.holds(Leaf::Json(&json.to_string()))
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(self.leaf(Leaf::Json("null")))
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.leaf(Leaf::Json(if value { "true" } else { "false" })))
    }

    fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
        Ok(self.leaf(Leaf::Number(Number::Integer(number.into()))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        Ok(self.leaf(Leaf::Number(Number::Integer(number.into()))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<bool, E> {
        Ok(self.leaf(Leaf::Number(Number::Float(number))))
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(self.leaf(Leaf::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let Some((step, rest)) = self.path.split_first() else {
            return Ok(self.whole(&Json::deserialize(SeqAccessDeserializer::new(items))?));
        };
        let mut found = false;
        for index in 0.. {
            if Some(index) == step.index() {
                match items.next_element_seed(Seek { path: rest, test: self.test })? {
                    Some(holds) => found = holds,
                    None => break,
                }
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let Some((step, rest)) = self.path.split_first() else {
            return Ok(self.whole(&Json::deserialize(MapAccessDeserializer::new(entries))?));
        };
        let mut found = false;
        while let Some(is_key) = entries.next_key_seed(IsKey(&step.name))? {
            if is_key {
                found = entries.next_value_seed(Seek { path: rest, test: self.test })?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a key without keeping it.
struct IsKey<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
