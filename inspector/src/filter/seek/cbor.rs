use glovebox_abi::cbor::Value;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use serde_json::Value as Json;

use super::super::path::Step;
use super::super::value::{Leaf, Number, ValueTest};
use crate::decode::{key_text, to_json};

/// True if there is a value at `path` that fulfils `test`; what is malformed fulfils nothing.
pub(super) fn holds(bytes: &[u8], path: &[Step], test: &ValueTest) -> bool {
    let mut decoder = Decoder::new(bytes);
    let found = path.iter().try_for_each(|step| enter(&mut decoder, step));
    found.and_then(|()| leaf_holds(&mut decoder, test)).unwrap_or(false)
}

/// Goes to the value of a key or to an item; `None` if it is not there.
///
/// A length that is claimed costs nothing: every entry takes at least a byte of the input.
pub(super) fn enter(decoder: &mut Decoder<'_>, step: &Step) -> Option<()> {
    match untagged(decoder)? {
        Type::Map | Type::MapIndef => {
            let length = decoder.map().ok()?;
            let mut seen = 0;
            while has_next(decoder, length, seen)? {
                if is_key(decoder, step)? {
                    return Some(());
                }
                decoder.skip().ok()?;
                seen += 1;
            }
            None
        }
        Type::Array | Type::ArrayIndef => {
            let wanted = step.index()?;
            let length = decoder.array().ok()?;
            let mut seen = 0;
            while has_next(decoder, length, seen)? {
                if seen == wanted {
                    return Some(());
                }
                decoder.skip().ok()?;
                seen += 1;
            }
            None
        }
        _ => None,
    }
}

/// The type of the next value; tags before it are taken.
fn untagged(decoder: &mut Decoder<'_>) -> Option<Type> {
    loop {
        match decoder.datatype().ok()? {
            Type::Tag => decoder.tag().ok()?,
            other => return Some(other),
        };
    }
}

fn has_next(decoder: &Decoder<'_>, length: Option<u64>, seen: u64) -> Option<bool> {
    Some(match length {
        Some(length) => seen < length,
        None => decoder.datatype().ok()? != Type::Break,
    })
}

/// Takes a key and compares it.
fn is_key(decoder: &mut Decoder<'_>, step: &Step) -> Option<bool> {
    Some(match decoder.datatype().ok()? {
        Type::String => decoder.str().ok()? == step.name,
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64 => {
            let key = i128::from(decoder.int().ok()?);
            step.number.is_some_and(|number| key == i128::from(number))
        }
        _ => key_text(&decode_next(decoder)?) == step.name,
    })
}

fn leaf_holds(decoder: &mut Decoder<'_>, test: &ValueTest) -> Option<bool> {
    let leaf = match untagged(decoder)? {
        Type::String => Leaf::Text(decoder.str().ok()?),
        Type::Bytes => Leaf::Bytes(decoder.bytes().ok()?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Leaf::Number(Number::Integer(decoder.int().ok()?.into())),
        Type::F16 => float(decoder.f16().ok()?.into()),
        Type::F32 => float(decoder.f32().ok()?.into()),
        Type::F64 => float(decoder.f64().ok()?),
        Type::Bool => Leaf::Json(if decoder.bool().ok()? { "true" } else { "false" }),
        Type::Null | Type::Undefined => Leaf::Json("null"),
        // Rare ones may cost an allocation.
        _ => {
            return Some(match decode_next(decoder)? {
                Value::Bytes(bytes) => test.holds(Leaf::Bytes(&bytes)),
                value => match to_json(&value) {
                    Json::String(text) => test.holds(Leaf::Text(&text)),
                    json => test.holds(Leaf::Json(&json.to_string())),
                },
            });
        }
    };
    Some(test.holds(leaf))
}

fn float(number: f64) -> Leaf<'static> {
    Leaf::Number(Number::Float(number))
}

fn decode_next(decoder: &mut Decoder<'_>) -> Option<Value> {
    let start = decoder.position();
    decoder.skip().ok()?;
    Value::decode(decoder.input().get(start..decoder.position())?).ok()
}
