//! The merge rule: one permission of one plugin, decided and explained.

use glovebox_abi::Permission;
use glovebox_abi::manifest::{DIGEST_PREFIX, Scope};

use super::allowance::Allowance;
use super::consent::{Decided, DecidedBy, covers, day, in_full};
use super::effective::{Standpoint, Subject};
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
    /// True if it is granted in part: the manifest asks for more than was agreed to.
    pub asks_more: bool,
    /// What the manifest asks for of files, network or environment, as words that would allow it.
    pub asks: Vec<Allowance>,
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
    decided: Option<&Decided>,
) -> Verdict {
    let Standpoint { policy, mode, manifest, subject } = standpoint;
    let request = manifest.request(permission);
    let id = &manifest.plugin.id;
    let section = policy.plugins.get(id);
    let own = section.and_then(|section| section.rules.get(&permission));
    let default = policy.default.get(&permission);
    let choice = |rule: Option<&Rule>| rule.and_then(|rule| rule.decision);
    let own_section = format!("[plugins.{id}] in {}", policy.name());
    let default_section = format!("[default] in {}", policy.name());
    let asked = request.is_some();
    // A name is whatever an artifact says; a section means the artifacts that it names.
    let is_meant = section.is_some_and(|section| section.means(*subject));
    let allow_here = match (is_meant, subject.digest) {
        (true, _) | (_, "") => format!("`{}` to {own_section}", allowing(permission, asked)),
        (false, digest) => format!(
            "`digest = \"{DIGEST_PREFIX}{digest}\"` and `{}` to {own_section}",
            allowing(permission, asked)
        ),
    };
    let by_name_alone = choice(own) == Some(Choice::Allow) && !is_meant;
    let own_choice = choice(own).filter(|_| !by_name_alone);
    let harmless = permission.is_harmless();
    // A plugin that is part of the application is not asked what the application may do.
    let consents = permission.needs_consent() && !subject.digest.is_empty();
    // Who agrees to what is asked for gives nothing to a generation that does not ask.
    let decided = decided.filter(|decided| {
        let in_words = matches!(decided.by, DecidedBy::Allowance(_));
        asked || in_words || decided.decision == Decision::Deny || !permission.needs_consent()
    });
    let decision = decided.map(|decided| decided.decision).unwrap_or_default();
    let (mut standing, mut rule, mut explanation) = match (
        decision,
        own_choice,
        asked,
        choice(default),
    ) {
        (Decision::Deny, ..) => {
            let text = "denied for this plugin: decide otherwise to grant it".to_owned();
            (Standing::Denied, "decision".to_owned(), text)
        }
        (Decision::Allow, ..) => {
            let (rule, who) = who(decided);
            let text = match asked {
                true => format!("asked for, and {who}"),
                false => format!("{who}, though its manifest does not ask for it"),
            };
            (Standing::Granted, rule, text)
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
            (Standing::Denied, asker(*subject).to_owned(), text)
        }
        (_, None, true, Some(Choice::Deny)) => {
            let text = format!("denied by {default_section}: add {allow_here}");
            (Standing::Denied, default_section.clone(), text)
        }
        (_, None, true, Some(Choice::Allow)) => {
            let text = format!("asked for, and allowed by {default_section}");
            (Standing::Granted, default_section.clone(), text)
        }
        (_, None, true, Some(Choice::Ask)) => {
            let text = format!(
                "waits for a decision, says {default_section}: allow or deny it, or add {allow_here}"
            );
            (Standing::Asking, default_section.clone(), text)
        }
        (_, None, true, None) => match mode {
            PolicyMode::AsDeclared => as_asked(*subject),
            PolicyMode::Consent | PolicyMode::Record if !consents => as_asked(*subject),
            PolicyMode::Consent | PolicyMode::Record => {
                let text = format!(
                    "asked for, but nobody agreed to it: allow or deny it, or add {allow_here}"
                );
                (Standing::Asking, format!("mode {mode}"), text)
            }
            _ if harmless => {
                let text = "asked for, and harmless".to_owned();
                (Standing::Granted, format!("mode {mode}"), text)
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
    let by_person = decision != Decision::AsDeclared;
    if by_name_alone && !by_person && standing != Standing::Granted {
        standing = Standing::Asking;
        explanation =
            section.map_or_else(String::new, |section| section.stranger(*subject, &own_section));
        rule = own_section.clone();
    }
    if consents && policy.is_found && !by_person && standing == Standing::Granted {
        standing = Standing::Asking;
        explanation = format!(
            "{} was found and not named, and a file that lies about cannot open this machine: \
             allow or deny it, or name the policy or its workspace",
            policy.name()
        );
        rule = policy.name().to_owned();
    }
    let narrowed = |rule: Option<&Rule>| rule.map(|rule| rule.scope.clone()).unwrap_or_default();
    let granted = match decided {
        // A person has seen what the manifest asks for, and the policy does not narrow it.
        Some(decided) => vec![decided.within.clone().unwrap_or_default()],
        // What a section says widens nothing for an artifact that it does not mean.
        None if by_name_alone => vec![narrowed(own), narrowed(default)],
        None => vec![narrowed(own).or(narrowed(default))],
    };
    let mut verdict = Verdict {
        permission,
        asked,
        standing,
        scopes: Vec::new(),
        asks_more: false,
        asks: match permission.needs_consent() {
            true => Allowance::asked_by(manifest, permission, subject.base),
            false => Vec::new(),
        },
        rule,
        explanation,
    };
    if standing == Standing::Granted {
        let agreed = decided.and_then(|decided| decided.within.as_ref());
        let asks = request.clone().map(|request| in_full(request, subject.base));
        if let (Some(agreed), Some(asks)) = (agreed, asks)
            && consents
            && !covers(agreed, &asks)
        {
            verdict.asks_more = true;
            let more = "; it asks for more, which nobody agreed to: allow it again to add that";
            verdict.explanation.push_str(more);
        }
        narrow(&mut verdict, request, granted, by_person, &own_section);
    }
    verdict
}

/// Where a request stands.
fn asker(subject: Subject<'_>) -> &'static str {
    if subject.bare { "default" } else { "manifest" }
}

/// What is granted because it is asked for.
fn as_asked(subject: Subject<'_>) -> (Standing, String, String) {
    let text = match subject.bare {
        true => "granted by default, there is no manifest",
        false => "asked for in the manifest",
    };
    (Standing::Granted, asker(subject).to_owned(), text.to_owned())
}

/// The rule and the words for a person who allowed something.
fn who(decided: Option<&Decided>) -> (String, String) {
    match decided.map(|decided| &decided.by) {
        Some(DecidedBy::Allowance(words)) => ("--allow".to_owned(), format!("allowed by {words}")),
        Some(DecidedBy::Saved { digest, at }) => {
            let (day, digest) = (day(*at), &digest[..digest.len().min(12)]);
            let text = format!("agreed to on {day} for the artifact {DIGEST_PREFIX}{digest}…");
            (format!("consent of {day}"), text)
        }
        Some(DecidedBy::Person(lifetime)) => {
            let (name, means) = (lifetime.name(), lifetime.means());
            ("decision".to_owned(), format!("allowed for this plugin, {name}: {means}"))
        }
        None => ("decision".to_owned(), "allowed for this plugin".to_owned()),
    }
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
fn narrow(
    verdict: &mut Verdict,
    request: Option<Scope>,
    granted: Vec<Scope>,
    by_person: bool,
    own_section: &str,
) {
    let permission = verdict.permission;
    if let Some(list) = request.as_ref().and_then(Scope::empty_list) {
        verdict.standing = Standing::Denied;
        verdict.explanation = format!(
            "asked for with an empty list, which asks for nothing: fill `{list}` of \
             `{permission}` under [permissions] in plugin.toml"
        );
    } else if let Some(list) = granted.iter().find_map(Scope::empty_list) {
        verdict.standing = Standing::Denied;
        verdict.explanation = format!(
            "granted with an empty list, which grants nothing: fill `{list}` of `{permission}` \
             in {own_section}"
        );
    } else {
        let named = |scope: &Scope| match permission {
            Permission::Files => scope.folders.only.is_some(),
            Permission::Environment => scope.names.only.is_some(),
            // A policy may mean all hosts; a person agreed to what was asked for.
            Permission::Network => !by_person || scope.hosts.only.is_some(),
            _ => true,
        };
        let scopes = request.into_iter().chain(granted);
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
    use std::path::Path;

    use glovebox_abi::Manifest;

    use super::super::{Lifetime, Policy};
    use super::*;

    fn manifest(asks: &str) -> Manifest {
        let text = format!("[plugin]\nid = \"redact\"\n[permissions]\n{asks}\n");
        Manifest::parse(&text).unwrap()
    }

    /// All verdicts about a plugin that is part of the application.
    fn explain(policy: &str, asks: &str) -> Vec<Verdict> {
        about(policy, asks, Subject::default(), &[])
    }

    fn about(
        policy: &str,
        asks: &str,
        subject: Subject<'_>,
        allowed: &[Allowance],
    ) -> Vec<Verdict> {
        let policy = Policy::parse(policy).unwrap();
        let (mode, manifest) = (policy.mode().unwrap_or_default(), manifest(asks));
        let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest, subject };
        let decided = super::super::decided(allowed, None, &manifest, subject.digest, subject.base);
        let all = Permission::ALL.into_iter();
        all.map(|(permission, ..)| verdict(&standpoint, permission, decided.get(&permission)))
            .collect()
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
            let by = DecidedBy::Person(Lifetime::WhileItRuns);
            let decided = (decision != Decision::AsDeclared).then_some(Decided {
                decision,
                within: None,
                by,
            });
            let subject = Subject::default();
            let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest, subject };
            let found = verdict(&standpoint, Permission::Kv, decided.as_ref());
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
        check(["", "", "asked", "", "consent"], Granted);
        check(["", "", "asked", "", "record"], Granted);
        check(["", "", "asked", "", "strict"], Denied);
        check(["", "", "asked", "", "ask"], Asking);
    }

    #[test]
    fn verdicts_explain_themselves() {
        /// The verdict about `permission`, in words, with its parameters.
        fn check(policy: &str, asks: &str, permission: Permission, expected: &str) {
            let verdicts = explain(policy, asks);
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

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_section_means_artifacts_and_not_a_name() {
        /// What stands in `[plugins.redact]` beside the rule, the rest of the policy, what is asked
        /// for, and what comes of it for an artifact of this digest.
        #[track_caller]
        fn check(pin: &str, rule: &str, rest: &str, asks: &str, expected: &str) {
            let permission = rule.split(' ').next().unwrap().parse().unwrap();
            let policy = format!("{rest}\n[plugins.redact]\n{pin}\n{rule}\n");
            let path = std::env::current_exe().unwrap();
            let subject = Subject { digest: DIGEST, path: Some(&path), ..Subject::default() };
            let verdicts = about(&policy, asks, subject, &[]);
            let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
            let text = format!("{}: {}", found.standing.name(), found.explanation);
            assert!(text.starts_with(expected), "{policy}\n{text}");
            if expected.starts_with("asking: [") {
                let line = format!("add `digest = \"blake3:{DIGEST}\"` there if it is this one");
                assert!(text.ends_with(&line), "{text}");
            }
        }
        let (this, other) = (
            &format!("digest = \"blake3:{DIGEST}\""),
            &format!("digest = [\"blake3:{}\"]", "0".repeat(64)),
        );
        let path = &format!("path = {:?}", std::env::current_exe().unwrap().display().to_string());
        let (allow, strict) = ("kv = \"allow\"", "mode = \"strict\"");
        check(
            this,
            allow,
            strict,
            "kv = true",
            "granted: asked for, and allowed by [plugins.redact]",
        );
        check(this, allow, strict, "", "granted: allowed by [plugins.redact]");
        check(path, allow, strict, "", "granted: allowed by [plugins.redact]");
        let name = "asking: [plugins.redact] in policy.toml allows it to a name";
        check("", allow, strict, "kv = true", name);
        check("", allow, strict, "", name);
        check("", allow, "[default]\nkv = \"deny\"", "kv = true", name);
        let another = "asking: [plugins.redact] in policy.toml means another artifact";
        check(other, allow, strict, "kv = true", another);
        check("path = \"/no/such\"", allow, strict, "kv = true", another);
        // What a stranger has anyway, it keeps.
        check("", allow, "", "kv = true", "granted: asked for in the manifest");
        // What takes away holds for everybody of that name.
        check("", "kv = \"deny\"", "", "kv = true", "denied: denied by [plugins.redact]");
        check("", "kv = \"ask\"", "", "kv = true", "asking: waits for a decision");
        let files = "files = [{ path = \"/data\" }]";
        check("", "files = \"allow\"", "", files, name);
        check(other, "files = \"allow\"", "", files, another);
        check(this, "files = \"allow\"", "", files, "granted: asked for, and allowed by");
        check("", "files = \"allow\"", "mode = \"as-declared\"", files, "granted: asked for in");
    }

    #[test]
    fn a_section_widens_nothing_for_a_stranger() {
        let policy = "[default]\nkv = { prefixes = [\"a/\"] }\n\
                      [plugins.redact]\nkv = { decision = \"allow\", prefixes = [\"a/b/\", \"c/\"] }";
        let subject = Subject { digest: DIGEST, ..Subject::default() };
        let verdicts = about(policy, "kv = true", subject, &[]);
        let kv = verdicts.iter().find(|found| found.permission == Permission::Kv).unwrap();
        let admits = |key| kv.scopes.iter().all(|scope| scope.admits_key(key, true));
        assert_eq!((admits("a/b/"), admits("a/"), admits("c/")), (true, false, false));
    }

    #[test]
    fn an_artifact_is_not_given_the_machine_because_it_asks() {
        /// Policy, what is asked for, and what is allowed in words; then for `files`.
        #[track_caller]
        fn check(policy: &str, asks: &str, allowed: &[&str], expected: &str) {
            let subject =
                Subject { digest: DIGEST, base: Some(Path::new("/no/such")), ..Subject::default() };
            let allowed: Vec<Allowance> =
                allowed.iter().map(|word| word.parse().unwrap()).collect();
            let verdicts = about(policy, asks, subject, &allowed);
            let files =
                verdicts.iter().find(|found| found.permission == Permission::Files).unwrap();
            let more = if files.asks_more { " and more" } else { "" };
            let text = format!("{}{more}: {}", files.standing.name(), files.explanation);
            assert!(text.starts_with(expected), "{text}");
        }
        let data = "files = [{ path = \"data\" }]";
        for mode in ["", "mode = \"consent\"", "mode = \"record\""] {
            check(mode, data, &[], "asking: asked for, but nobody agreed to it");
        }
        check("", "", &[], "denied: not asked for");
        check("mode = \"as-declared\"", data, &[], "granted: asked for in the manifest");
        check("mode = \"strict\"", data, &[], "denied: asked for, but granted by nothing");
        check("[default]\nfiles = \"allow\"", data, &[], "granted: asked for, and allowed by [def");
        check("", data, &["files"], "granted: asked for, and allowed by --allow files");
        check("", data, &["redact:files"], "granted: asked for, and allowed by");
        check("", data, &["other:files"], "asking");
        check("", data, &["network"], "asking");
        check("", data, &["files=/no/such"], "granted: ");
        check("", data, &["files=/other"], "granted and more: ");
        let write = "files = [{ path = \"data\", access = \"read-write\" }]";
        check("", write, &["files=/no/such/data"], "granted and more: ");
        check("", write, &["files=/no/such/data:rw"], "granted: ");
        check("", "", &["files"], "denied: not asked for");
        check("", "", &["files=/other"], "granted: allowed by --allow files=/other, though");
        // A person at the keyboard stands above a policy.
        check("[plugins.redact]\nfiles = \"deny\"", data, &["files"], "granted: ");
    }

    #[test]
    fn a_policy_that_was_found_opens_nothing() {
        #[track_caller]
        fn check(text: &str, asks: &str, permission: Permission, expected: Standing) {
            let policy = Policy::parse(text).unwrap().found();
            let (mode, manifest) = (policy.mode().unwrap_or_default(), manifest(asks));
            let subject = Subject { digest: DIGEST, ..Subject::default() };
            let standpoint = Standpoint { policy: &policy, mode, manifest: &manifest, subject };
            let found = verdict(&standpoint, permission, None);
            assert_eq!(found.standing, expected, "{text}: {}", found.explanation);
        }
        use Permission::{Environment, Files, Kv};
        let files = "files = [{ path = \"data\" }]";
        let pin = format!("[plugins.redact]\ndigest = \"blake3:{DIGEST}\"\n");
        check("mode = \"as-declared\"", files, Files, Standing::Asking);
        check("[default]\nfiles = \"allow\"", files, Files, Standing::Asking);
        check(&format!("{pin}files = \"allow\""), files, Files, Standing::Asking);
        check(&format!("{pin}environment = [\"A\"]\nkv = \"allow\""), "", Kv, Standing::Granted);
        check("[default]\nfiles = \"deny\"", files, Files, Standing::Denied);
        check("mode = \"as-declared\"", "environment = [\"A\"]", Environment, Standing::Asking);
        check("mode = \"as-declared\"", "kv = true", Kv, Standing::Granted);
    }

    #[test]
    fn who_granted_is_said() {
        #[track_caller]
        fn check(bare: bool, asks: &str, permission: Permission, rule: &str, expected: &str) {
            let subject = Subject { digest: DIGEST, bare, ..Subject::default() };
            let verdicts = about("", asks, subject, &[]);
            let found = verdicts.iter().find(|found| found.permission == permission).unwrap();
            assert_eq!((found.rule.as_str(), found.explanation.as_str()), (rule, expected));
        }
        use Permission::Log;
        check(false, "log = true", Log, "manifest", "asked for in the manifest");
        check(true, "log = true", Log, "default", "granted by default, there is no manifest");
    }

    #[test]
    fn exceptions_beat_the_list_beside_them() {
        fn check(key: &str, expected: bool) {
            let text = "[plugins.redact]\nkv = { prefixes = [\"a/\"], except = [\"a/secret\"] }";
            let verdicts = explain(text, "kv = true");
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
