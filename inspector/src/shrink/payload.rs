//! Makes one frame smaller.

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use serde_json::Value as Json;

use super::minimize;
use crate::decode::{self, PayloadFormat};

/// Tries smaller frames; `fails` keeps those that still fail.
pub(super) fn minimize_frame<E>(
    frame: &Frame,
    fails: &mut dyn FnMut(Frame) -> Result<bool, E>,
) -> Result<(), E> {
    let mut best = frame.clone();
    let entries = minimize(best.header.entries(), &mut |entries: &[(Value, Value)]| {
        let header = Header::from_entries(entries.to_vec());
        fails(Frame { header, ..best.clone() })
    })?;
    best.header = match entries == best.header.entries() {
        // So that the bytes of a header that stays are what they were.
        true => best.header,
        false => Header::from_entries(entries),
    };
    // What a payload is can depend on the header.
    let format = decode::payload_format(&best);
    match (format, decode::payload_json(&best)) {
        (PayloadFormat::Json, Some(value)) => {
            let encode = |value: &Json| value.to_string().into_bytes();
            structure(&best, value, &encode, fails)
        }
        (PayloadFormat::Cbor, Some(value)) => {
            let encode = |value: &Json| decode::from_json(value).to_bytes();
            structure(&best, value, &encode, fails)
        }
        _ => {
            let bytes = best.payload.to_vec();
            minimize(bytes, &mut |bytes: &[u8]| {
                fails(Frame { payload: bytes.to_vec().into(), ..best.clone() })
            })?;
            Ok(())
        }
    }
}

fn structure<E>(
    frame: &Frame,
    value: Json,
    encode: &dyn Fn(&Json) -> Vec<u8>,
    fails: &mut dyn FnMut(Frame) -> Result<bool, E>,
) -> Result<(), E> {
    let with = |payload: Vec<u8>| Frame { payload: payload.into(), ..frame.clone() };
    if !frame.payload.is_empty() && fails(with(Vec::new()))? {
        return Ok(());
    }
    // Written anew it may be something else: then only its structure is to blame, not its bytes.
    if !fails(with(encode(&value)))? {
        minimize(frame.payload.to_vec(), &mut |bytes: &[u8]| fails(with(bytes.to_vec())))?;
        return Ok(());
    }
    smaller(value, &mut |value| fails(with(encode(value))))?;
    Ok(())
}

/// The smallest value that still fails in the place of this one.
fn smaller<E>(value: Json, fails: &mut dyn FnMut(&Json) -> Result<bool, E>) -> Result<Json, E> {
    match value {
        Json::Object(entries) => {
            let entries: Vec<(String, Json)> = entries.into_iter().collect();
            let object =
                |entries: &[(String, Json)]| Json::Object(entries.iter().cloned().collect());
            let mut left = minimize(entries, &mut |entries: &[_]| fails(&object(entries)))?;
            for at in 0..left.len() {
                let child = left[at].1.clone();
                let rest = left.clone();
                left[at].1 = smaller(child, &mut |child| {
                    let mut entries = rest.clone();
                    entries[at].1 = child.clone();
                    fails(&object(&entries))
                })?;
            }
            Ok(object(&left))
        }
        Json::Array(items) => {
            let mut left =
                minimize(items, &mut |items: &[Json]| fails(&Json::Array(items.to_vec())))?;
            for at in 0..left.len() {
                let child = left[at].clone();
                let rest = left.clone();
                left[at] = smaller(child, &mut |child| {
                    let mut items = rest.clone();
                    items[at] = child.clone();
                    fails(&Json::Array(items))
                })?;
            }
            Ok(Json::Array(left))
        }
        Json::String(text) => {
            let characters: Vec<char> = text.chars().collect();
            let string = |characters: &[char]| Json::String(characters.iter().collect());
            let left = minimize(characters, &mut |characters: &[char]| fails(&string(characters)))?;
            Ok(string(&left))
        }
        Json::Number(number) => {
            let zero = Json::from(0);
            let is_smaller = number.to_string() != "0" && fails(&zero)?;
            Ok(if is_smaller { zero } else { Json::Number(number) })
        }
        leaf @ (Json::Null | Json::Bool(_)) => Ok(leaf),
    }
}
