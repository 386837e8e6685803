//! Snapshots as the attachments of a trace.

use std::collections::BTreeMap;

use glovebox_abi::State;
use glovebox_abi::cbor::Value;
use glovebox_events::{CallId, Snapshot};

/// The ending of the attachments' names, after the id of the plugin.
pub(crate) const SUFFIX: &str = "/snapshot";
/// Media type of the attachments.
pub(crate) const MEDIA_TYPE: &str = "application/cbor";

pub(crate) fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let number = |number: u64| Value::Integer(number.into());
    let state = |state: &Option<State>| match state {
        None => Value::Null,
        Some(state) => {
            Value::Array(vec![number(state.version.into()), Value::Bytes(state.bytes.clone())])
        }
    };
    let store = snapshot.store.iter();
    let store = store.map(|(key, value)| (text(key), Value::Bytes(value.clone())));
    let map = Value::Map(vec![
        (text("at"), number(snapshot.at)),
        (text("instance"), number(snapshot.instance)),
        (text("generation"), number(snapshot.generation.into())),
        (text("after"), snapshot.after.map_or(Value::Null, |call| number(call.0))),
        (text("states"), Value::Array(snapshot.states.iter().map(state).collect())),
        (text("store"), Value::Map(store.collect())),
    ]);
    map.to_bytes()
}

/// `None` if it makes no sense. Keys that are not known are of a later version, and skipped.
pub(crate) fn decode(plugin: &str, bytes: &[u8]) -> Option<Snapshot> {
    let Ok(Value::Map(entries)) = Value::decode(bytes) else { return None };
    let mut entries: BTreeMap<String, Value> = entries
        .into_iter()
        .filter_map(|(key, value)| match key {
            Value::Text(key) => Some((key, value)),
            _ => None,
        })
        .collect();
    let mut take = |key: &str| entries.remove(key);
    Some(Snapshot {
        at: number(take("at")?)?,
        plugin: plugin.into(),
        instance: number(take("instance")?)?,
        generation: number(take("generation")?)?.try_into().ok()?,
        after: match take("after")? {
            Value::Null => None,
            call => Some(CallId(number(call)?)),
        },
        states: match take("states")? {
            Value::Array(states) => states.into_iter().map(state).collect::<Option<_>>()?,
            _ => return None,
        },
        store: match take("store")? {
            Value::Map(entries) => entries.into_iter().map(entry).collect::<Option<_>>()?,
            _ => return None,
        },
    })
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn number(value: Value) -> Option<u64> {
    match value {
        Value::Integer(number) => number.try_into().ok(),
        _ => None,
    }
}

fn state(value: Value) -> Option<Option<State>> {
    let Value::Array(parts) = value else {
        return (value == Value::Null).then_some(None);
    };
    match <[Value; 2]>::try_from(parts).ok()? {
        [version, Value::Bytes(bytes)] => {
            Some(Some(State { version: number(version)?.try_into().ok()?, bytes }))
        }
        _ => None,
    }
}

fn entry(entry: (Value, Value)) -> Option<(String, Vec<u8>)> {
    match entry {
        (Value::Text(key), Value::Bytes(value)) => Some((key, value)),
        _ => None,
    }
}

/// Bytes that a snapshot keeps, about, and no less than it has when it is encoded.
pub(crate) fn weight(snapshot: &Snapshot) -> usize {
    let states = snapshot.states.iter().flatten().map(|state| state.bytes.len());
    let store = snapshot.store.iter().map(|(key, value)| key.len() + value.len() + 64);
    states.sum::<usize>() + store.sum::<usize>() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_survive_encoding() {
        let check = |snapshot: Snapshot| {
            let bytes = encode(&snapshot);
            assert_eq!(decode("stats", &bytes), Some(snapshot));
            for end in 0..bytes.len() {
                assert_eq!(decode("stats", &bytes[..end]), None, "cut at {end}");
            }
        };
        let bare = Snapshot {
            at: 7,
            plugin: "stats".into(),
            instance: u64::MAX,
            generation: 3,
            after: None,
            states: Vec::new(),
            store: BTreeMap::new(),
        };
        check(bare.clone());
        let state = State { version: 2, bytes: b"\xFF\0".to_vec() };
        check(Snapshot {
            after: Some(CallId(9)),
            states: vec![None, Some(state)],
            store: [("a".to_owned(), b"1".to_vec())].into(),
            ..bare
        });
    }
}
