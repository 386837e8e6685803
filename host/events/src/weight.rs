//! The approximate memory of events in bytes, and copies that keep less.

use crate::{Event, HostCall, What};
use glovebox_abi::cbor::Value;

/// Bytes of memory that an event keeps alive, about.
pub fn event(event: &Event) -> usize {
    let inside = match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => frame.encoded_len(),
        What::HostCall { host_call: call, .. } => host_call(call) - size_of::<HostCall>(),
        What::Phase { cause: text, .. }
        | What::Note { text, .. }
        | What::LoadFailed { message: text, .. }
        | What::ReloadFailed { message: text, .. }
        | What::PolicyChanged { summary: text }
        | What::FramesDropped { reason: text, .. }
        | What::PolicyAsked { parameter: text, .. } => text.len(),
        What::Loaded { version, digest, .. } | What::Reloaded { version, digest, .. } => {
            version.len() + digest.len()
        }
        What::CallEnded { .. } | What::Unloaded => 0,
    };
    size_of::<Event>() + inside
}

/// Bytes of memory that a host call keeps alive, about.
pub fn host_call(host_call: &HostCall) -> usize {
    let result = host_call.result.as_ref().map_or(0, value);
    size_of::<HostCall>() + value(&host_call.arguments) + result
}

/// A copy of a value that takes about so many bytes: of what is longer, the beginning is kept, under
/// the key `cut`, beside how many bytes or items there were.
pub fn brief(of: &Value, room: usize) -> Value {
    if value(of) <= room {
        return of.clone();
    }
    let cut = |head: Value, unit: &str, whole: usize| {
        let entry = |key: &str, value| (Value::Text(key.to_owned()), value);
        Value::Map(vec![entry("cut", head), entry(unit, Value::Integer(whole as i128))])
    };
    match of {
        Value::Text(text) => {
            let head = text[..text.floor_char_boundary(room)].to_owned();
            cut(Value::Text(head), "bytes", text.len())
        }
        Value::Bytes(bytes) => {
            let head = bytes[..room.min(bytes.len())].to_vec();
            cut(Value::Bytes(head), "bytes", bytes.len())
        }
        Value::Array(items) => {
            let mut left = room;
            let kept: Vec<Value> = items.iter().map_while(|item| take(item, &mut left)).collect();
            match kept.len() == items.len() {
                true => Value::Array(kept),
                false => cut(Value::Array(kept), "items", items.len()),
            }
        }
        Value::Map(entries) => {
            let mut left = room;
            let kept: Vec<(Value, Value)> = entries
                .iter()
                .map_while(|(key, value)| Some((take(key, &mut left)?, take(value, &mut left)?)))
                .collect();
            match kept.len() == entries.len() {
                true => Value::Map(kept),
                false => cut(Value::Map(kept), "items", entries.len()),
            }
        }
        Value::Tag(tag, inner) => Value::Tag(*tag, Box::new(brief(inner, room))),
        small => small.clone(),
    }
}

/// The same of one of several that share the room; `None` if there is none left.
fn take(of: &Value, left: &mut usize) -> Option<Value> {
    *left = left.checked_sub(size_of::<Value>())?;
    let kept = brief(of, *left);
    *left = left.saturating_sub(value(&kept));
    Some(kept)
}

/// Bytes of memory that a value keeps alive, about.
pub fn value(of: &Value) -> usize {
    let inside = match of {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(value).sum(),
        Value::Map(entries) => entries.iter().map(|(key, entry)| value(key) + value(entry)).sum(),
        Value::Tag(_, inner) => value(inner),
        _ => 0,
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_brief_fits_and_says_how_much_there_was() {
        fn check(of: &Value, expected: &str) {
            let kept = brief(of, 300);
            // The note about how much was cut comes on top.
            assert!(value(&kept) < 1000, "{} bytes of {expected}", value(&kept));
            let shown = format!("{kept:?}");
            assert!(shown.contains(expected), "{shown} lacks {expected}");
        }
        let text = |text: &str| Value::Text(text.to_owned());
        let long = Value::Bytes(vec![7; 1_000_000]);
        check(&text("short"), "short");
        check(&text(&"ä".repeat(500_000)), "Integer(1000000)");
        check(&long, "Integer(1000000)");
        check(&Value::Array(vec![text("key"), long.clone()]), "key");
        check(&Value::Array(vec![text("key"), long.clone()]), "Integer(1000000)");
        check(&Value::Array(vec![Value::Null; 1_000_000]), "items");
        check(&Value::Map(vec![(text("key"), long.clone()); 1000]), "Integer(1000)");
        check(&Value::Tag(1, Box::new(Value::Tag(2, Box::new(long)))), "Tag(2");
    }
}
