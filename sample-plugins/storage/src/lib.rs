//! Keeps values under keys in the plugin's own store.
//!
//! Commands are JSON in data frames, and so are the answers:
//!
//! | command | answer |
//! |---|---|
//! | `{"do": "store", "key": "a", "value": …}` | `{"stored": "a"}` |
//! | `{"do": "retrieve", "key": "a"}` | `{"key": "a", "value": …}`, the value `null` if there is none |
//! | `{"do": "delete", "key": "a"}` | `{"deleted": true}` if it was there |
//! | `{"do": "list", "prefix": "a"}` | `{"keys": […]}`, sorted; the prefix may be left out |
//!
//! The store belongs to the host: it outlives the plugin's instance, and is only there with the
//! permission `kv`. Without it every command fails and says so.
#![forbid(unsafe_code)]

use glovebox_sdk::{Failure, Frame, Header, Kind, Plugin, ServiceError, Services};
use serde::Deserialize;
use serde_json::{Value, json};

/// The command in a frame.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Command {
    Store {
        key: String,
        value: Value,
    },
    Retrieve {
        key: String,
    },
    Delete {
        key: String,
    },
    List {
        #[serde(default)]
        prefix: String,
    },
}

/// The plugin: everything it knows is in the store.
#[derive(Debug, Default)]
pub struct Storage;

impl Plugin for Storage {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let command = serde_json::from_slice(&frame.payload)
            .map_err(|error| Failure::invalid(format!("not a command: {error}")))?;
        let answer = run(services, &command)?;
        let mut header = Header::build().text(Header::CONTENT_TYPE, "application/json");
        if let Some(id) = frame.header.get(Header::ID) {
            header = header.value(Header::ID, id);
        }
        Ok(vec![Frame::new(Kind::DATA, header.finish(), answer.to_string())])
    }
}

fn run(services: &mut dyn Services, command: &Command) -> Result<Value, Failure> {
    match command {
        Command::Store { key, value } => {
            let value = value.to_string();
            let stored = services.kv_set(key, value.as_bytes());
            stored.map_err(|error| explain("store", key, error))?;
            Ok(json!({ "stored": key }))
        }
        Command::Retrieve { key } => {
            let found = services.kv_get(key).map_err(|error| explain("retrieve", key, error))?;
            let value = found.map(|bytes| serde_json::from_slice::<Value>(&bytes)).transpose();
            let value = value.map_err(|error| {
                Failure::invalid(format!("what is stored under `{key}` is not JSON: {error}"))
            })?;
            Ok(json!({ "key": key, "value": value }))
        }
        Command::Delete { key } => {
            let existed = services.kv_delete(key).map_err(|error| explain("delete", key, error))?;
            Ok(json!({ "deleted": existed }))
        }
        Command::List { prefix } => {
            let keys = services.kv_list(prefix).map_err(|error| explain("list", prefix, error))?;
            Ok(json!({ "keys": keys }))
        }
    }
}

/// Names the command and the key: a bare "denied" helps nobody who reads a row of a table.
fn explain(verb: &str, key: &str, error: ServiceError) -> Failure {
    Failure::new(Failure::SERVICE, format!("cannot {verb} `{key}`: {error}"))
}

glovebox_sdk::export!(Storage);

#[cfg(test)]
mod tests {
    use glovebox_sdk::Permission;
    use glovebox_sdk::testing::Harness;

    use super::*;

    /// The answer to one command after a value was stored under `a/1`.
    fn answer(command: &str, denied: bool) -> String {
        let mut harness = Harness::new(Storage);
        harness.answer(r#"{"do": "store", "key": "a/1", "value": {"n": [1]}}"#).unwrap();
        harness.host.store.insert("raw".to_owned(), b"\xFF".to_vec());
        if denied {
            harness.host.deny(Permission::Kv);
        }
        match harness.answer(command) {
            Ok(answers) => answers.concat(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn commands_are_run() {
        fn check(command: &str, expected: &str) {
            assert_eq!(answer(command, false), expected);
        }
        check(r#"{"do": "store", "key": "b", "value": 1}"#, r#"{"stored":"b"}"#);
        check(r#"{"do": "retrieve", "key": "a/1"}"#, r#"{"key":"a/1","value":{"n":[1]}}"#);
        check(r#"{"do": "retrieve", "key": "b"}"#, r#"{"key":"b","value":null}"#);
        check(r#"{"do": "delete", "key": "a/1"}"#, r#"{"deleted":true}"#);
        check(r#"{"do": "delete", "key": "b"}"#, r#"{"deleted":false}"#);
        check(r#"{"do": "list", "prefix": "a/"}"#, r#"{"keys":["a/1"]}"#);
        check(r#"{"do": "list"}"#, r#"{"keys":["a/1","raw"]}"#);
    }

    #[test]
    fn failures_say_what_is_wrong() {
        fn check(command: &str, denied: bool, expected: &str) {
            let answer = answer(command, denied);
            assert!(answer.contains(expected), "{answer:?} does not say {expected:?}");
        }
        check("{", false, "not a command: EOF");
        check(r#"{"do": "eat"}"#, false, "unknown variant `eat`");
        check(r#"{"do": "retrieve"}"#, false, "missing field `key`");
        check(r#"{"do": "retrieve", "key": "raw"}"#, false, "under `raw` is not JSON");
        let denied = "the plugin lacks the permission";
        check(r#"{"do": "store", "key": "b", "value": 1}"#, true, "cannot store `b`: denied");
        check(r#"{"do": "retrieve", "key": "b"}"#, true, denied);
        check(r#"{"do": "delete", "key": "b"}"#, true, denied);
        check(r#"{"do": "list"}"#, true, "cannot list ``: denied");
    }
}
