//! Consents that a person gives, and their file.

use std::collections::{BTreeMap, BTreeSet};

use glovebox_abi::Permission;
use glovebox_abi::manifest::DIGEST_PREFIX;
use glovebox_host::{Allowance, Decision, InstanceId, Lifetime, PluginStatus, PolicyMode};

use super::{Level, Workbench};

impl Workbench {
    /// Says that a plugin asks for files, network or environment, which it does not have yet.
    pub(super) fn note_what_is_asked(&mut self, instance: InstanceId) {
        let Some(plugin) = self.host.plugin(instance) else { return };
        if let Some(text) = asking(&plugin) {
            self.outcome.asked.push((self.notices.next(), instance));
            self.notices.add(Level::Warning, text);
        }
    }

    /// Keeps what was said of permissions that are asked for true: what is decided is asked no more.
    pub(super) fn look_at_what_is_asked(&mut self) {
        let Workbench { outcome, notices, seen, .. } = self;
        outcome.asked.retain(|(number, instance)| {
            let plugin = seen.plugins.iter().find(|plugin| plugin.instance == *instance);
            let still = plugin.and_then(asking);
            let decided = || match plugin {
                Some(plugin) => {
                    format!("{} asked for permissions: that is decided", plugin.manifest.plugin.id)
                }
                None => "A plugin asked for permissions; it is gone".to_owned(),
            };
            match &still {
                Some(text) => notices.change(*number, Level::Warning, text),
                None => notices.change(*number, Level::Info, &decided()),
            }
            still.is_some()
        });
    }

    /// Allows one permission, unless what is asked for changed since it was shown.
    pub(super) fn allow(
        &mut self,
        instance: InstanceId,
        permission: Permission,
        asks: &[Allowance],
        others: &[InstanceId],
        lifetime: Lifetime,
    ) {
        let Some(chosen) = self.host.plugin(instance) else {
            let text = "The plugin is gone; nothing was allowed".to_owned();
            return self.notices.add(Level::Warning, text);
        };
        if let Some(why_not) = why_not_allowed(&chosen, permission) {
            return self.notices.add(Level::Warning, why_not);
        }
        if asked_of(&chosen, permission) != asks {
            let text = format!(
                "{} asks for something else now; look again before you allow it",
                chosen.manifest.plugin.id
            );
            return self.notices.add(Level::Warning, text);
        }
        let plugins = self.host.plugins();
        let others: Vec<_> = asking_no_more(&plugins, &chosen, permission)
            .filter(|other| others.contains(&other.instance))
            .collect();
        for plugin in [&chosen].into_iter().chain(others.iter().copied()) {
            self.host.allow(plugin.instance, permission, lifetime);
        }
        let names: Vec<_> = [&chosen]
            .into_iter()
            .chain(others)
            .map(|one| one.manifest.plugin.id.as_str())
            .collect();
        let (names, name, means) = (names.join(", "), lifetime.name(), lifetime.means());
        let text = format!("{permission} is allowed to {names}, {name}: {means}");
        self.notices.add(Level::Success, text);
        self.look_at_plugins();
    }

    /// Decides about one permission, unless that would give what is not asked for.
    pub(super) fn decide(
        &mut self,
        instance: InstanceId,
        permission: Permission,
        decision: Decision,
    ) {
        let plugin = self.host.plugin(instance).filter(|_| decision == Decision::Allow);
        if let Some(why_not) = plugin.and_then(|plugin| why_not_allowed(&plugin, permission)) {
            return self.notices.add(Level::Warning, why_not);
        }
        self.host.set_decision(instance, permission, decision);
        self.outcome.edits.policy += 1;
        self.look_at_plugins();
    }
}

/// The files, network or environment that a plugin asks for and that nobody decided about, in words.
fn asking(plugin: &PluginStatus) -> Option<String> {
    let asks: Vec<&str> = plugin.asking().map(Permission::name).collect();
    let (id, names) = (&plugin.manifest.plugin.id, asks.join(" and "));
    let text = || format!("{id} asks for {names}: allow or deny it in the panel Policy");
    (!asks.is_empty()).then(text)
}

/// Why a permission that a plugin lacks is not there to be allowed, for people: it does not ask for it,
/// and nobody is given more than is asked for.
pub fn why_not_allowed(plugin: &PluginStatus, permission: Permission) -> Option<String> {
    let mut waits = plugin.refused.iter().flat_map(|refused| &refused.waits_for);
    if waits.any(|growth| growth.permission == permission) {
        return None;
    }
    plugin.permission(permission).filter(|status| !status.asked && !status.granted)?;
    Some(not_asked(&plugin.manifest.plugin.id, permission, plugin.is_bare))
}

/// The sentence about a permission that a plugin does not ask for, with the ways that are left. One
/// without a manifest is `bare`: it is given what is allowed to its id.
fn not_asked(id: &str, permission: Permission, bare: bool) -> String {
    let remedy = match (bare, permission) {
        (true, _) => {
            let within = if permission.needs_consent() { "=…" } else { "" };
            format!("open it with `--allow {id}:{permission}{within}`")
        }
        (false, Permission::Receive) => {
            "list kinds under `accepts` in [frames] of its plugin.toml".to_owned()
        }
        (false, _) => {
            let asks = permission.request_example();
            format!("add `{asks}` to [permissions] of its plugin.toml")
        }
    };
    format!(
        "{id} does not ask for {permission}, so it cannot be allowed from here: {remedy}, or allow it in \
         [plugins.{id}] of the policy"
    )
}

/// All that an instance asks for of a permission: the generation that waits, else the one that runs.
pub fn asked_of(plugin: &PluginStatus, permission: Permission) -> &[Allowance] {
    let waits = plugin.refused.iter().flat_map(|refused| &refused.waits_for);
    let mut waits = waits.filter(|growth| growth.permission == permission);
    if let Some(growth) = waits.next() {
        return &growth.asks;
    }
    let mut statuses = plugin.permissions.iter();
    let status = statuses.find(|status| status.permission == permission);
    status.map_or(&[], |status| &status.asks)
}

/// The other instances that ask for a permission, do not have it, and would be given nothing by it
/// that is not given to `chosen`.
pub fn asking_no_more<'a>(
    plugins: &'a [PluginStatus],
    chosen: &PluginStatus,
    permission: Permission,
) -> impl Iterator<Item = &'a PluginStatus> {
    plugins.iter().filter(move |other| {
        let mut statuses = other.permissions.iter();
        let lacks = statuses
            .any(|status| status.permission == permission && status.asked && !status.granted);
        other.instance != chosen.instance && lacks && other.asks_no_more_than(chosen, permission)
    })
}

/// A policy to be saved.
#[derive(Debug)]
pub(super) struct PolicyText {
    pub(super) text: String,
    /// Permissions that were allowed and are not in it, as `PLUGIN: PERMISSION`.
    pub(super) left_out: Vec<String>,
}

/// A rule of a policy, by the name of its permission.
type Rules = BTreeMap<&'static str, String>;

/// The decisions about the plugins of one id.
#[derive(Default)]
struct Section<'a> {
    denied: Rules,
    /// The permissions of each artifact, by its digest, in the rules of its instances.
    allowed: BTreeMap<&'a str, BTreeMap<&'static str, BTreeSet<String>>>,
}

impl Section<'_> {
    /// The permissions that all the artifacts have alike, and those of which that is not true: a section
    /// of a policy allows the same to all of its artifacts, and nobody is given what another one was.
    fn allowed_alike(&self) -> (Rules, Vec<&'static str>) {
        let (mut alike, mut left_out) = (Rules::new(), Vec::new());
        let names: BTreeSet<&'static str> =
            self.allowed.values().flat_map(BTreeMap::keys).copied().collect();
        // Of two instances with one id, the one that may do less decides.
        for name in names.into_iter().filter(|name| !self.denied.contains_key(name)) {
            let of_each: Option<Vec<_>> =
                self.allowed.values().map(|rules| rules.get(name)).collect();
            let rules: BTreeSet<&String> = of_each.iter().flatten().copied().flatten().collect();
            match rules.first() {
                Some(rule) if rules.len() == 1 => drop(alike.insert(name, (*rule).clone())),
                _ => left_out.push(name),
            }
        }
        (alike, left_out)
    }
}

/// The mode and what a person decided about permissions, as a `policy.toml`.
pub(super) fn policy_text(mode: PolicyMode, plugins: &[PluginStatus]) -> PolicyText {
    let mut sections: BTreeMap<&str, Section<'_>> = BTreeMap::new();
    for plugin in plugins {
        let section = sections.entry(&plugin.manifest.plugin.id).or_default();
        for status in &plugin.permissions {
            let Some(decided) = status.decided_rule() else { continue };
            let name = status.permission.name();
            if status.decision == Decision::Deny {
                section.denied.insert(name, decided);
                continue;
            }
            let allowed = section.allowed.entry(&plugin.digest).or_default();
            allowed.entry(name).or_default().insert(decided);
        }
    }
    let mut modes = PolicyMode::ALL.iter();
    let name = modes.find(|(known, _)| *known == mode).map_or("", |(_, name)| name);
    let mut text = format!("mode = \"{name}\"\n");
    let mut all_left_out = Vec::new();
    for (id, section) in sections {
        let (alike, left_out) = section.allowed_alike();
        if !section.denied.is_empty() || !alike.is_empty() {
            text.push_str(&format!("\n[plugins.{id}]\n"));
        }
        // Nothing is allowed to a mere id, which any artifact can bear.
        let digests = section.allowed.keys().filter(|digest| !digest.is_empty());
        let digests: Vec<_> =
            digests.map(|digest| format!("\"{DIGEST_PREFIX}{digest}\"")).collect();
        if !digests.is_empty() && !alike.is_empty() {
            text.push_str(&format!("digest = [{}]\n", digests.join(", ")));
        }
        let rules: BTreeMap<_, _> = section.denied.iter().chain(&alike).collect();
        text.extend(rules.values().map(|rule| format!("{rule}\n")));
        for permission in left_out {
            text.push_str(&format!(
                "# {id}: {permission} is left out, for it is not allowed alike to all artifacts of this id.\n"
            ));
            all_left_out.push(format!("{id}: {permission}"));
        }
    }
    PolicyText { text, left_out: all_left_out }
}

#[cfg(test)]
mod tests {
    use glovebox_host::{Host, LoadRequest, Policy};

    use super::*;

    /// A plugin that asks for a folder.
    const MANIFEST: &str = "[plugin]\nid = 'one'\nversion = '1.0.0'\n\
        [artifact]\nwasm = 'one.wat'\n[permissions]\nfiles = [{ path = '.' }]\nlog = true\n";
    const CODE: &str = include_str!("../../../sample-plugins/hello-wat/hello.wat");

    #[test]
    fn what_is_not_asked_for_has_a_way_that_works() {
        let check = |permission: Permission, bare: bool, expected: &str| {
            let told = not_asked("http", permission, bare);
            let begin = format!(
                "http does not ask for {permission}, so it cannot be allowed from here: {expected}, or"
            );
            assert!(told.starts_with(&begin), "{told}");
        };
        check(Permission::Kv, false, "add `kv = true` to [permissions] of its plugin.toml");
        let kinds = "list kinds under `accepts` in [frames] of its plugin.toml";
        check(Permission::Receive, false, kinds);
        // It has no plugin.toml.
        check(Permission::Kv, true, "open it with `--allow http:kv`");
        check(Permission::Network, true, "open it with `--allow http:network=…`");
    }

    #[test]
    fn a_saved_policy_gives_back_what_was_decided() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plugin.toml"), MANIFEST).unwrap();
        std::fs::write(folder.path().join("one.wat"), CODE).unwrap();
        let load = |host: &Host| {
            let id = host.load(LoadRequest::path(folder.path())).wait().unwrap();
            (id, host.plugin(id).unwrap())
        };
        let granted = |plugin: &PluginStatus| {
            [Permission::Files, Permission::Log].map(|permission| {
                let mut statuses = plugin.permissions.iter();
                statuses.any(|one| one.permission == permission && one.granted)
            })
        };
        let host = Host::builder().build().unwrap();
        let (id, plugin) = load(&host);
        assert_eq!(granted(&plugin), [false, true]);
        host.set_decision(id, Permission::Files, Decision::Allow);
        host.set_decision(id, Permission::Log, Decision::Deny);
        let plugins = host.plugins();
        assert_eq!(granted(&plugins[0]), [true, false]);
        let PolicyText { text, left_out } = policy_text(PolicyMode::Consent, &plugins);
        assert_eq!(left_out, [""; 0]);
        let policy = Policy::parse(&text).unwrap();
        let again = Host::builder().policy(policy).build().unwrap();
        assert_eq!(granted(&load(&again).1), [true, false], "{text}");
        // Nor does the same one, if its manifest asks for more.
        let more = MANIFEST.replace("path = '.'", "path = '/'");
        std::fs::write(folder.path().join("plugin.toml"), more).unwrap();
        let again = Host::builder().policy(Policy::parse(&text).unwrap()).build().unwrap();
        let (_, plugin) = load(&again);
        let mut statuses = plugin.permissions.iter();
        let files = statuses.find(|one| one.permission == Permission::Files).unwrap();
        let within = files.scopes.last().map(ToString::to_string).unwrap_or_default();
        let own = folder.path().canonicalize().unwrap();
        assert!(!files.granted || within.contains(own.to_str().unwrap()), "{files:?}");
        std::fs::write(folder.path().join("plugin.toml"), MANIFEST).unwrap();
        // Another artifact with the id gets nothing by it.
        std::fs::write(folder.path().join("one.wat"), format!("{CODE} ;; changed")).unwrap();
        let again = Host::builder().policy(Policy::parse(&text).unwrap()).build().unwrap();
        assert_eq!(granted(&load(&again).1), [false, false], "{text}");
    }

    /// Two artifacts of one id, to which not the same is allowed.
    #[test]
    fn a_saved_policy_allows_no_artifact_what_another_one_was_allowed() {
        /// Checks which of files and environment are in the policy, by the folder that the second artifact asks for
        /// and what is allowed to it, and what is said to be left out.
        #[track_caller]
        fn check(asks: &str, allowed: &[Permission], saved: [bool; 2], expected: &[&str]) {
            let both = [Permission::Files, Permission::Environment];
            let host = Host::builder().build().unwrap();
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("data/sub")).unwrap();
            let load = |name: &str, asks: &str, code: &str| {
                let own = folder.path().join(name);
                std::fs::create_dir(&own).unwrap();
                let asks = format!("path = '{}'", folder.path().join(asks).display());
                let manifest = MANIFEST.replace("path = '.'", &asks);
                let manifest = manifest.replace("log = true", "environment = ['LANG']");
                std::fs::write(own.join("plugin.toml"), manifest).unwrap();
                std::fs::write(own.join("one.wat"), code).unwrap();
                host.load(LoadRequest::path(&own)).wait().unwrap()
            };
            let first = load("first", "data", CODE);
            let second = load("second", asks, &format!("{CODE} ;; another"));
            for (instance, allowed) in [(first, &both[..]), (second, allowed)] {
                for permission in allowed {
                    assert!(host.set_decision(instance, *permission, Decision::Allow));
                }
            }
            let PolicyText { text, left_out } = policy_text(PolicyMode::Strict, &host.plugins());
            assert_eq!(left_out, expected, "{text}");
            let again = Host::builder().policy(Policy::parse(&text).unwrap()).build().unwrap();
            for name in ["first", "second"] {
                let id = again.load(LoadRequest::path(folder.path().join(name))).wait().unwrap();
                let plugin = again.plugin(id).unwrap();
                let granted = both.map(|it| plugin.permission(it).is_some_and(|one| one.granted));
                let is_meant = name == "first" || !allowed.is_empty();
                assert_eq!(granted, saved.map(|saved| saved && is_meant), "{name}: {text}");
            }
        }
        let both = [Permission::Files, Permission::Environment];
        check("data", &both, [true, true], &[]);
        check("data/sub", &both, [false, true], &["one: files"]);
        check("data", &[Permission::Environment], [false, true], &["one: files"]);
        check("data", &[Permission::Files], [true, false], &["one: environment"]);
        // The second artifact is not meant at all.
        check("data", &[], [true, true], &[]);
    }
}
