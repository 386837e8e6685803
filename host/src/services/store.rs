//! The store of an instance, by key.

use std::collections::BTreeMap;

/// The bytes that an entry counts besides its key and value: two allocations and a place in the
/// tree.
const ENTRY: usize = 128;

/// Values by key, and how many bytes the entries count: each `kv-set` asks for that.
#[derive(Debug, Default)]
pub(crate) struct KeyValues {
    entries: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl KeyValues {
    pub(crate) fn entries(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.entries
    }

    /// The bytes of all entries once this one is set.
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
    key.len() + value.len() + ENTRY
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
    fn keys_and_values_count_and_so_does_each_entry() {
        /// Steps, the entries afterwards, and the bytes of their keys and values.
        fn check(steps: &[(&str, Option<&str>)], entries: usize, bytes: usize) {
            let mut store = KeyValues::from(BTreeMap::from([("old".to_owned(), vec![0; 97])]));
            for (key, value) in steps {
                match value {
                    Some(value) => store.set(key, value.as_bytes()),
                    None => drop(store.remove(key)),
                }
            }
            assert_eq!(store.bytes, entries * ENTRY + bytes, "{steps:?}");
            assert_eq!(store.bytes, KeyValues::from(store.entries).bytes, "{steps:?}");
        }
        let long = "x".repeat(99);
        check(&[], 1, 100);
        check(&[("a", Some("12")), ("b", Some(""))], 3, 104);
        check(&[("a", Some("12")), ("a", Some("1"))], 2, 102);
        check(&[("a", Some(&long)), ("a", Some(&long))], 2, 200);
        check(&[("a", Some(&long)), ("a", Some(""))], 2, 101);
        check(&[("old", None), ("old", None), ("never", None)], 0, 0);
    }
}
