//! What an instance keeps by key.

use std::collections::BTreeMap;

/// The least that an entry counts, in bytes: what it takes to keep one, however short it is.
const LEAST: usize = 64;

/// Values by key, and how many bytes both count: each `kv-set` asks for that.
#[derive(Debug, Default)]
pub(crate) struct KeyValues {
    entries: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl KeyValues {
    pub(crate) fn entries(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.entries
    }

    /// Bytes of all keys and values once this one is set.
    pub(super) fn bytes_with(&self, key: &str, value: &[u8]) -> usize {
        let before = self.entries.get(key).map_or(0, |before| cost(key, before));
        self.bytes - before + cost(key, value)
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8]) {
        self.bytes = self.bytes_with(key, value);
        self.entries.insert(key.to_owned(), value.to_vec());
    }

    /// True if it was there.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let removed = self.entries.remove(key);
        self.bytes -= removed.as_ref().map_or(0, |value| cost(key, value));
        removed.is_some()
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        let from = self.entries.range(prefix.to_owned()..).map(|(key, _)| key);
        from.take_while(|key| key.starts_with(prefix)).cloned().collect()
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    (key.len() + value.len()).max(LEAST)
}

impl From<BTreeMap<String, Vec<u8>>> for KeyValues {
    fn from(entries: BTreeMap<String, Vec<u8>>) -> KeyValues {
        let bytes = entries.iter().map(|(key, value)| cost(key, value)).sum();
        KeyValues { entries, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_all_keys_and_values() {
        fn check(steps: &[(&str, Option<&str>)], expected: usize) {
            let mut store = KeyValues::from(BTreeMap::from([("old".to_owned(), vec![0; 97])]));
            for (key, value) in steps {
                match value {
                    Some(value) => store.set(key, value.as_bytes()),
                    None => drop(store.remove(key)),
                }
            }
            assert_eq!(store.bytes, expected, "{steps:?}");
            assert_eq!(store.bytes, KeyValues::from(store.entries).bytes, "{steps:?}");
        }
        let long = "x".repeat(99);
        check(&[], 100);
        check(&[("a", Some("12")), ("b", Some(""))], 100 + 2 * LEAST);
        check(&[("a", Some("12")), ("a", Some("1"))], 100 + LEAST);
        check(&[("a", Some(&long)), ("a", Some(&long))], 200);
        check(&[("a", Some(&long)), ("a", Some(""))], 100 + LEAST);
        check(&[("old", None), ("old", None), ("never", None)], 0);
    }
}
