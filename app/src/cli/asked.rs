//! Files, network and environment that plugins asked for and nobody allowed, and how to allow them.

use std::collections::BTreeMap;

use glovebox_abi::Permission;
use glovebox_abi::text::inert;
use glovebox_events::{Event, Sink, What};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::report::Report;

/// The part of a parameter that is shown.
const SHOWN: usize = 400;

/// Hears of it while plugins run.
#[derive(Debug, Default)]
pub(super) struct AskedFor(Mutex<BTreeMap<(String, Permission), String>>);

impl Sink for AskedFor {
    fn record(&self, event: &Event) {
        if let What::PolicyAsked { permission, parameter } = &event.what
            && permission.needs_consent()
        {
            let about = (event.plugin.to_string(), *permission);
            self.0.lock().insert(about, parameter.clone());
        }
    }
}

impl AskedFor {
    /// Adds to what a verb found what its plugins were denied for want of an agreement.
    pub(super) fn add_to(&self, report: &mut Report) {
        let asked = self.0.lock();
        if asked.is_empty() {
            return;
        }
        for ((plugin, permission), parameter) in asked.iter() {
            report.sentence.push_str(&format!(
                "; {permission} was not allowed to {plugin}: {}",
                remedy(plugin, *permission, parameter)
            ));
        }
        let list: Vec<Json> = asked
            .iter()
            .map(|((plugin, permission), parameter)| {
                json!({
                    "plugin": plugin,
                    "permission": permission.name(),
                    "asks_for": parameter,
                    "allow": allow(plugin, *permission, parameter),
                })
            })
            .collect();
        report.json.insert("not_allowed".to_owned(), list.into());
    }
}

/// The words that allow it. Several of one permission are allowed together.
fn allow(plugin: &str, permission: Permission, asks: &str) -> String {
    match asks.is_empty() || asks.contains(", ") || asks.contains(char::is_whitespace) {
        true => format!("--allow {plugin}:{permission}"),
        false => format!("--allow {plugin}:{permission}={asks}"),
    }
}

/// The remedy for a permission that was not allowed.
pub(super) fn remedy(plugin: &str, permission: Permission, asks: &str) -> String {
    let end = asks.char_indices().nth(SHOWN).map_or(asks.len(), |(end, _)| end);
    let more = if end < asks.len() { "…" } else { "" };
    format!(
        "it asks for {}{more}; if you trust it, run again with `{}`",
        inert(&asks[..end]),
        inert(&allow(plugin, permission, asks))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_can_be_typed() {
        fn check(permission: Permission, asks: &str, expected: &str) {
            assert_eq!(allow("a", permission, asks), expected);
        }
        check(Permission::Files, "/data:rw", "--allow a:files=/data:rw");
        check(Permission::Files, "/data, /more", "--allow a:files");
        check(Permission::Files, "/with space", "--allow a:files");
        check(Permission::Network, "db:5432", "--allow a:network=db:5432");
        let long = remedy("a", Permission::Files, &format!("/{}\u{1b}", "x".repeat(9000)));
        assert!(long.contains("xxx…;"), "{long}");
    }
}
