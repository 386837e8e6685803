//! Files, network and environment that plugins asked for and nobody allowed, and how to allow them.

use std::collections::{BTreeMap, BTreeSet};

use glovebox_abi::Permission;
use glovebox_abi::text::{inert, shell_word};
use glovebox_events::{Event, Sink, What};
use glovebox_host::{Allowance, Host, PermissionStatus, Standing};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::report::{Report, say};

/// The part of a parameter that is shown.
const SHOWN: usize = 400;

/// The part of a permission that nobody allowed.
#[derive(Debug, Clone)]
struct Lacking {
    /// The parameters, as words that would allow them.
    parameter: String,
    /// True if something else of the permission was allowed.
    in_part: bool,
}

/// Hears of it while plugins run.
#[derive(Debug, Default)]
pub(super) struct AskedFor {
    denied: Mutex<BTreeMap<(String, Permission), Lacking>>,
    /// Allowances that give nothing, and the words about each.
    in_vain: Mutex<BTreeMap<String, String>>,
    /// Grants without effect that were said.
    no_effect: Mutex<BTreeSet<(String, Permission)>>,
}

impl Sink for AskedFor {
    fn record(&self, event: &Event) {
        if let What::PolicyAsked { permission, parameter } = &event.what
            && permission.needs_consent()
        {
            let about = (event.plugin.to_string(), *permission);
            let lacking = Lacking { parameter: parameter.clone(), in_part: false };
            self.denied.lock().insert(about, lacking);
        }
    }
}

impl AskedFor {
    /// Says at once what is allowed on the command line and gives nothing to the plugins that are
    /// loaded now.
    pub(super) fn say_vain(&self, host: &Host) {
        for vain in host.vain_allowances() {
            let word = vain.allowed.to_string();
            let told = vain.to_string();
            if self.in_vain.lock().insert(word, told.clone()).is_none() {
                say(&format!("Not used: {told}"));
            }
        }
    }

    /// Says once of each plugin that is loaded what is granted to it and has no effect where it runs.
    pub(super) fn say_no_effect(&self, host: &Host) {
        for status in host.plugins() {
            for permission in &status.permissions {
                let Some(why) = permission.no_effect else { continue };
                let (id, name) = (&status.manifest.plugin.id, permission.permission);
                if self.no_effect.lock().insert((id.clone(), name)) {
                    say(&format!("{name} is granted to {id}, and has no effect: {why}"));
                }
            }
        }
    }

    /// Keeps what is true of the plugins that run now: a new generation may ask for less than the one
    /// before, for more, or for what was allowed in vain. Plugins that are gone stay as they were.
    pub(super) fn settle(&self, host: &Host) {
        let statuses = host.plugins();
        let asks = |status: &PermissionStatus| {
            status.permission.needs_consent()
                && (status.standing == Standing::Asking || status.asks_more)
        };
        let mut asked = BTreeMap::new();
        for status in &statuses {
            for permission in status.permissions.iter().filter(|status| asks(status)) {
                let about = (status.manifest.plugin.id.clone(), permission.permission);
                let listed: Vec<_> = permission.lacks.iter().map(Allowance::parameter).collect();
                let lacking =
                    Lacking { parameter: listed.join(", "), in_part: permission.asks_more };
                asked.insert(about, (permission.asked, lacking));
            }
        }
        let mut denied = self.denied.lock();
        denied.retain(|(plugin, permission), _| {
            asked.contains_key(&(plugin.clone(), *permission))
                || statuses.iter().all(|status| status.manifest.plugin.id != *plugin)
        });
        // One that has no manifest asks when it uses something.
        for (about, (_, lacking)) in asked.into_iter().filter(|(_, (declared, _))| *declared) {
            denied.insert(about, lacking);
        }
        drop(denied);
        let vain: Vec<String> =
            host.vain_allowances().iter().map(|vain| vain.allowed.to_string()).collect();
        self.in_vain.lock().retain(|word, _| vain.contains(word));
    }

    /// Adds to what a verb found what its plugins were denied for want of an agreement.
    pub(super) fn add_to(&self, report: &mut Report) {
        let in_vain = self.in_vain.lock();
        if !in_vain.is_empty() {
            let list = in_vain.iter().map(|(word, why)| json!({ "allow": word, "why": why }));
            report.json.insert("allowed_in_vain".to_owned(), list.collect::<Json>().into());
        }
        let asked = self.denied.lock();
        if asked.is_empty() {
            return;
        }
        for ((plugin, permission), Lacking { parameter, in_part }) in asked.iter() {
            let was = if *in_part { "allowed in part" } else { "not allowed" };
            report.sentence.push_str(&format!(
                "; {permission} was {was} to {plugin}: {}",
                remedy(plugin, *permission, parameter, *in_part)
            ));
        }
        let list: Vec<Json> = asked
            .iter()
            .map(|((plugin, permission), Lacking { parameter, in_part })| {
                json!({
                    "plugin": plugin,
                    "permission": permission.name(),
                    "asks_for": parameter,
                    "allowed_in_part": in_part,
                    "allow": allow(plugin, *permission, parameter, *in_part),
                })
            })
            .collect();
        report.json.insert("not_allowed".to_owned(), list.into());
    }
}

/// The words that allow it, as a shell takes them: what a plugin asks for is its own text. Several of one
/// permission are allowed together, and so is the rest of one.
fn allow(plugin: &str, permission: Permission, asks: &str, in_part: bool) -> String {
    let word = match in_part || asks.is_empty() || asks.contains(", ") {
        true => format!("{plugin}:{permission}"),
        false => format!("{plugin}:{permission}={asks}"),
    };
    format!("--allow {}", shell_word(&word))
}

/// The remedy for a permission that was not allowed, or not all of it.
pub(super) fn remedy(plugin: &str, permission: Permission, asks: &str, in_part: bool) -> String {
    let also = if in_part { "also " } else { "" };
    let end = asks.char_indices().nth(SHOWN).map_or(asks.len(), |(end, _)| end);
    let more = if end < asks.len() { "…" } else { "" };
    format!(
        "it {also}asks for {}{more}; if you trust it, run again with `{}`",
        inert(&asks[..end]),
        inert(&allow(plugin, permission, asks, in_part))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_can_be_typed() {
        fn check(permission: Permission, asks: &str, expected: &str) {
            assert_eq!(allow("a", permission, asks, false), expected);
        }
        check(Permission::Files, "/data:rw", "--allow a:files=/data:rw");
        check(Permission::Files, "/data, /more", "--allow a:files");
        check(Permission::Files, "/with space", "--allow 'a:files=/with space'");
        check(Permission::Files, "/a;rm$IFS/b", "--allow 'a:files=/a;rm$IFS/b'");
        check(Permission::Network, "db:5432", "--allow a:network=db:5432");
        assert_eq!(allow("a", Permission::Files, "/data", true), "--allow a:files");
        let asks = format!("/{}\u{1b}", "x".repeat(9000));
        let long = remedy("a", Permission::Files, &asks, false);
        assert!(long.contains("xxx…;"), "{long}");
    }
}
