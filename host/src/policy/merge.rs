//! The merge rule: one permission of one plugin, decided and explained.

use glovebox_abi::Permission;
use glovebox_abi::manifest::Scope;

use super::effective::Standpoint;
use super::file::{Choice, Rule};
use super::{Decision, PolicyMode};

/// What came of all rules for one permission of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Which.
    pub permission: Permission,
    /// True if the manifest asks for it.
    pub asked: bool,
    /// Whether it is in effect.
    pub standing: Standing,
    /// Within what: a use must be admitted by each of them.
    pub scopes: Vec<Scope>,
    /// What decided, for example `[plugins.redact] in policy.toml`.
    pub rule: String,
    /// Why, and what to do about it, for people.
    pub explanation: String,
}

/// Whether a permission is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is, within its parameters.
    Granted,
    /// It is not.
    Denied,
    /// It is not, until a person decides.
    Asking,
}

impl Standing {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Granted => "granted",
            Standing::Denied => "denied",
            Standing::Asking => "asking",
        }
    }
}

impl Verdict {
    /// True if it is in effect.
    pub fn is_granted(&self) -> bool {
        self.standing == Standing::Granted
    }

    /// The parameters within which it is granted, for people; empty if nothing narrows it.
    pub fn parameters(&self) -> String {
        let narrowing = self.scopes.iter().filter(|scope| **scope != Scope::default());
        let mut texts: Vec<_> = narrowing.map(ToString::to_string).collect();
        texts.dedup();
        texts.join(" and ")
    }
}

/// Applies the table in the module's documentation.
pub(crate) fn verdict(
    standpoint: &Standpoint<'_>,
    permission: Permission,
    decision: Decision,
) -> Verdict {
    let Standpoint { policy, mode, manifest } = standpoint;
    let request = manifest.request(permission);
    let id = &manifest.plugin.id;
    let own = policy.plugins.get(id).and_then(|rules| rules.get(&permission));
    let default = policy.default.get(&permission);
    let choice = |rule: Option<&Rule>| rule.and_then(|rule| rule.decision);
    let own_section = format!("[plugins.{id}] in {}", policy.name());
    let default_section = format!("[default] in {}", policy.name());
    let asked = request.is_some();
    let allow_here = format!("`{}` to {own_section}", allowing(permission, asked));
    let harmless = permission.is_harmless();
    let (standing, rule, explanation) = match (decision, choice(own), asked, choice(default)) {
        (Decision::Deny, ..) => {
            let text = "denied for this plugin: decide otherwise to grant it".to_owned();
            (Standing::Denied, "decision".to_owned(), text)
        }
        (Decision::Allow, ..) => {
            let text = match asked {
                true => "asked for, and allowed for this plugin",
                false => "allowed for this plugin, though its manifest does not ask for it",
            };
            (Standing::Granted, "decision".to_owned(), text.to_owned())
        }
        (_, Some(Choice::Deny), ..) => {
            let text = format!("denied by {own_section}: remove `{permission}` there");
            (Standing::Denied, own_section.clone(), text)
        }
        (_, Some(Choice::Allow), ..) => {
            let text = match asked {
                true => format!("asked for, and allowed by {own_section}"),
                false => {
                    format!("allowed by {own_section}, though its manifest does not ask for it")
                }
            };
            (Standing::Granted, own_section.clone(), text)
        }
        (_, Some(Choice::Ask), ..) => {
            let text = format!("waits for a decision, says {own_section}: allow or deny it");
            (Standing::Asking, own_section.clone(), text)
        }
        (_, None, false, _) => {
            let text = match permission {
                Permission::Receive => {
                    "not asked for: list kinds under `accepts` in [frames] of plugin.toml"
                        .to_owned()
                }
                permission => format!(
                    "not asked for: add `{}` to [permissions] in plugin.toml, or {allow_here}",
                    permission.request_example()
                ),
            };
            (Standing::Denied, "manifest".to_owned(), text)
        }
        (_, None, true, Some(Choice::Deny)) => {
            let text = format!("denied by {default_section}: add {allow_here}");
            (Standing::Denied, default_section, text)
        }
        (_, None, true, Some(Choice::Allow)) => {
            let text = format!("asked for, and allowed by {default_section}");
            (Standing::Granted, default_section, text)
        }
        (_, None, true, Some(Choice::Ask)) => {
            let text = format!(
                "waits for a decision, says {default_section}: allow or deny it, or add {allow_here}"
            );
            (Standing::Asking, default_section, text)
        }
        (_, None, true, None) => match mode {
            PolicyMode::AsDeclared | PolicyMode::Record => {
                let text = "asked for in the manifest".to_owned();
                (Standing::Granted, "manifest".to_owned(), text)
            }
            _ if harmless => {
                (Standing::Granted, format!("mode {mode}"), "asked for, and harmless".to_owned())
            }
            PolicyMode::Strict => {
                let text = format!(
                    "asked for, but granted by nothing, and the policy is strict: add {allow_here}"
                );
                (Standing::Denied, "mode strict".to_owned(), text)
            }
            PolicyMode::Ask => {
                let text = format!(
                    "waits for a decision, the mode is ask: allow or deny it, or add {allow_here}"
                );
                (Standing::Asking, "mode ask".to_owned(), text)
            }
        },
    };
    let narrowed = |rule: Option<&Rule>| rule.map(|rule| rule.scope.clone()).unwrap_or_default();
    let granted = match decision {
        // A person has seen what the manifest asks for, and the policy does not narrow it.
        Decision::Allow => Scope::default(),
        _ => narrowed(own).or(narrowed(default)),
    };
    let mut verdict =
        Verdict { permission, asked, standing, scopes: Vec::new(), rule, explanation };
    if standing == Standing::Granted {
        narrow(&mut verdict, request, granted, &own_section);
    }
    verdict
}

/// A rule that allows a permission. One that is not asked for has to say how much is allowed, where
/// that is not obvious.
fn allowing(permission: Permission, asked: bool) -> String {
    let list = match permission {
        Permission::Files => "folders",
        Permission::Network => "hosts",
        Permission::Environment => "names",
        _ => "",
    };
    let example = permission.request_example();
    match example.split_once(" = ") {
        Some((_, value)) if !asked && !list.is_empty() => {
            format!("{permission} = {{ decision = \"allow\", {list} = {value} }}")
        }
        _ => format!("{permission} = \"allow\""),
    }
}

/// Adds the parameters, and denies what is granted within nothing at all.
fn narrow(verdict: &mut Verdict, request: Option<Scope>, granted: Scope, own_section: &str) {
    let permission = verdict.permission;
    if let Some(list) = request.as_ref().and_then(Scope::empty_list) {
        verdict.standing = Standing::Denied;
        verdict.explanation = format!(
            "asked for with an empty list, which asks for nothing: fill `{list}` of \
             `{permission}` under [permissions] in plugin.toml"
        );
    } else if let Some(list) = granted.empty_list() {
        verdict.standing = Standing::Denied;
        verdict.explanation = format!(
            "granted with an empty list, which grants nothing: fill `{list}` of `{permission}` \
             in {own_section}"
        );
    } else {
        let named = |scope: &Scope| match permission {
            Permission::Files => scope.folders.only.is_some(),
            Permission::Environment => scope.names.only.is_some(),
            _ => true,
        };
        let scopes = request.into_iter().chain(Some(granted));
        let mut scopes: Vec<Scope> = scopes.collect();
        if !scopes.iter().any(named) {
            verdict.standing = Standing::Denied;
            verdict.explanation = format!(
                "allowed, but nothing is named: write `{}` to {own_section}",
                allowing(permission, false)
            );
        }
        // What narrows nothing need not be checked.
        scopes.retain(|scope| *scope != Scope::default());
        verdict.scopes = scopes;
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Manifest;

    use super::super::Policy;
    use super::*;

    fn manifest(asks: &str) -> Manifest {
        let text = format!("[plugin]\nid = \"redact\"\n[permissions]\n{asks}\n");
        Manifest::parse(&text).unwrap()
    }

    #[test]
    fn the_merge_rule_is_its_table() {
        /// The columns of the table, for `kv`: what the instance, `[plugins.redact]`, the manifest,
        /// `[default]` and the mode say; empty is nothing.
        fn check(row: [&str; 5], expected: Standing) {
            let [person, own, asked, default, mode] = row;
            let line = |value: &str| match value {
                "" => String::new(),
                value => format!("kv = \"{value}\""),
            };
            let text = format!(
                "mode = \"{mode}\"\n[default]\n{}\n[plugins.redact]\n{}\n",
                line(default),
                line(own)
            );
            let policy = Policy::parse(&text).unwrap();
            let manifest = manifest(if asked == "asked" { "kv = true" } else { "" });
            let decision = match person {
                "allow" => Decision::Allow,
                "deny" => Decision::Deny,
                _ => Decision::AsDeclared,
            };
            let mode = policy.mode().unwrap();
            let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest };
            let found = verdict(&standpoint, Permission::Kv, decision);
            assert_eq!(found.standing, expected, "{row:?}: {}", found.explanation);
        }
        use Standing::{Asking, Denied, Granted};
        // 1 and 2: a person beats everything.
        check(["deny", "allow", "asked", "allow", "as-declared"], Denied);
        check(["allow", "deny", "", "deny", "strict"], Granted);
        // 3, 4 and 5: the plugin's section beats all below, also without being asked for.
        check(["", "deny", "asked", "allow", "as-declared"], Denied);
        check(["", "allow", "asked", "deny", "strict"], Granted);
        check(["", "allow", "", "", "strict"], Granted);
        check(["", "ask", "asked", "allow", "as-declared"], Asking);
        check(["", "ask", "", "", "as-declared"], Asking);
        // 6: nothing else grants what is not asked for.
        check(["", "", "", "allow", "as-declared"], Denied);
        check(["", "", "", "", "record"], Denied);
        // 7, 8 and 9: the default section beats the mode.
        check(["", "", "asked", "deny", "as-declared"], Denied);
        check(["", "", "asked", "allow", "strict"], Granted);
        check(["", "", "asked", "ask", "as-declared"], Asking);
        // 10, 12 and 13: the mode.
        check(["", "", "asked", "", "as-declared"], Granted);
        check(["", "", "asked", "", "record"], Granted);
        check(["", "", "asked", "", "strict"], Denied);
        check(["", "", "asked", "", "ask"], Asking);
    }

    #[test]
    fn verdicts_explain_themselves() {
        /// The verdict about `permission`, in words, with its parameters.
        fn check(policy: &str, asks: &str, permission: Permission, expected: &str) {
            let verdicts = Policy::parse(policy).unwrap().explain(&manifest(asks));
            let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
            let text =
                format!("{} {}: {}", found.standing.name(), found.parameters(), found.explanation);
            assert_eq!(text.replace(" :", ":"), expected, "{policy} {asks}");
        }
        use Permission::{Emit, Environment, Files, Kv, Log, Now, Receive};
        check("", "kv = true", Kv, "granted: asked for in the manifest");
        check(
            "",
            "",
            Kv,
            "denied: not asked for: add `kv = true` to [permissions] in plugin.toml, or \
             `kv = \"allow\"` to [plugins.redact] in policy.toml",
        );
        check(
            "mode = \"strict\"",
            "kv = true",
            Kv,
            "denied: asked for, but granted by nothing, and the policy is strict: add \
             `kv = \"allow\"` to [plugins.redact] in policy.toml",
        );
        check("mode = \"strict\"", "log = true", Log, "granted: asked for, and harmless");
        check(
            "mode = \"ask\"",
            "",
            Receive,
            "granted { kinds = [\"data\", \"control\"] }: asked for, and harmless",
        );
        check(
            "[plugins.redact]\nkv = \"deny\"",
            "kv = true",
            Kv,
            "denied: denied by [plugins.redact] in policy.toml: remove `kv` there",
        );
        check(
            "[default]\nkv = \"deny\"",
            "kv = true",
            Kv,
            "denied: denied by [default] in policy.toml: add `kv = \"allow\"` to \
             [plugins.redact] in policy.toml",
        );
        // Parameters intersect.
        check(
            "[plugins.redact]\nkv = { prefixes = [\"a/\"] }",
            "kv = { prefixes = [\"a/b/\"] }",
            Kv,
            "granted { prefixes = [\"a/b/\"] } and { prefixes = [\"a/\"] }: asked for in the manifest",
        );
        // What the plugin's section leaves out is that of the default section …
        check(
            "[default]\nemit = { kinds = [\"data\"], to = [\"a\"] }\n[plugins.redact]\nemit = { to = [\"b\"] }",
            "emit = true",
            Emit,
            "granted { kinds = [\"data\"], to = [\"b\"] }: asked for in the manifest",
        );
        // … and an empty list is not left out.
        check(
            "[default]\nkv = { prefixes = [\"a/\"] }\n[plugins.redact]\nkv = { prefixes = [] }",
            "kv = true",
            Kv,
            "denied: granted with an empty list, which grants nothing: fill `prefixes` of `kv` \
             in [plugins.redact] in policy.toml",
        );
        check(
            "",
            "environment = []",
            Environment,
            "denied: asked for with an empty list, which asks for nothing: fill `names` of \
             `environment` under [permissions] in plugin.toml",
        );
        check(
            "[plugins.redact]\nfiles = \"allow\"",
            "",
            Files,
            "denied: allowed, but nothing is named: write `files = { decision = \"allow\", \
             folders = [{ path = \"data\", at = \"/data\", access = \"read\" }] }` to \
             [plugins.redact] in policy.toml",
        );
        check(
            "[plugins.redact]\nnow = { decision = \"allow\", precision = \"1 ms\" }",
            "",
            Now,
            "granted { precision = \"1 ms\" }: allowed by [plugins.redact] in policy.toml, \
             though its manifest does not ask for it",
        );
    }

    #[test]
    fn exceptions_beat_the_list_beside_them() {
        fn check(key: &str, expected: bool) {
            let text = "[plugins.redact]\nkv = { prefixes = [\"a/\"], except = [\"a/secret\"] }";
            let verdicts = Policy::parse(text).unwrap().explain(&manifest("kv = true"));
            let kv = verdicts.iter().find(|found| found.permission == Permission::Kv).unwrap();
            let admitted = kv.scopes.iter().all(|scope| scope.admits_key(key, true));
            assert_eq!(admitted, expected, "{key}");
        }
        check("a/b", true);
        check("a/secret", false);
        check("a/secret/key", false);
        check("b", false);
    }
}
