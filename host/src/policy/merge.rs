//! The merge rule: one permission of one plugin, decided and explained.

#[cfg(test)]
mod tests;

use glovebox_abi::Permission;
use glovebox_abi::manifest::{DIGEST_PREFIX, Scope};
use glovebox_abi::text::cut;

use super::allowance::Allowance;
use super::consent::{Decided, DecidedBy, covers, day, in_full};
use super::effective::{Standpoint, Subject};
use super::file::{Choice, Rule};
use super::overlap::meets;
use super::{Decision, PolicyMode};

/// Bytes of parameters, which a manifest may write at any length, in a reason.
pub(crate) const MAX_PARAMETERS: usize = 1 << 10;

/// The name of the decision of a person about one instance, as a rule.
const HERE: &str = "decision";

/// The result of all rules for one permission of one plugin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// The permission.
    pub permission: Permission,
    /// True if the manifest asks for it.
    pub asked: bool,
    /// Whether it is in effect.
    pub standing: Standing,
    /// Within what: a use must be admitted by each of them.
    pub scopes: Vec<Scope>,
    /// True if it is granted in part: the manifest asks for more than was agreed to.
    pub asks_more: bool,
    /// The request of the manifest for files, network or environment, as words that would allow it.
    pub asks: Vec<Allowance>,
    /// The part of that which waits for a person: all of it, or what was not agreed to.
    pub lacks: Vec<Allowance>,
    /// The rule that decided, for example `[plugins.redact] in policy.toml`.
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

    /// True if a person decided about this instance.
    pub(crate) fn is_decided_here(&self) -> bool {
        self.rule == HERE
    }

    /// The parameters within which it is granted, for people; empty if nothing narrows it.
    pub fn parameters(&self) -> String {
        parameters(&self.scopes)
    }
}

/// The uses that all of these scopes admit, for people.
pub(crate) fn parameters(scopes: &[Scope]) -> String {
    let narrowing = scopes.iter().filter(|scope| **scope != Scope::default());
    let mut texts: Vec<_> = narrowing.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(" and ")
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
    // A plugin that is part of the application is not asked what the application may do.
    let consents = permission.needs_consent() && !subject.digest.is_empty();
    let allowing = match &request {
        Some(request) if consents => {
            let within = in_full(request.clone(), subject.base);
            cut(&allowing_within(permission, &within), MAX_PARAMETERS).into_owned()
        }
        request => allowing(permission, request.is_some()),
    };
    let allow_here = match (is_meant, subject.digest) {
        (true, _) | (_, "") => format!("`{allowing}` to {own_section}"),
        (false, digest) => {
            format!("`digest = \"{DIGEST_PREFIX}{digest}\"` and `{allowing}` to {own_section}")
        }
    };
    let by_name_alone = choice(own) == Some(Choice::Allow) && !is_meant;
    let own_choice = choice(own).filter(|_| !by_name_alone);
    let harmless = permission.is_harmless();
    // A person who agrees to a request gives nothing to a generation that does not ask.
    let decided = decided.filter(|decided| {
        let in_words = matches!(decided.by, DecidedBy::Allowance(_));
        asked
            || in_words && subject.bare
            || decided.decision == Decision::Deny
            || !permission.needs_consent()
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
            (Standing::Denied, HERE.to_owned(), text)
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
        // A section widens nothing for an artifact that it does not mean.
        None if by_name_alone => vec![narrowed(own), narrowed(default)],
        None => vec![narrowed(own).or(narrowed(default))],
    };
    // The digest of an artifact is not that of a manifest beside it, which may ask for more tomorrow.
    let by_section = own_choice == Some(Choice::Allow) && !by_person && consents;
    if by_section && asked && standing == Standing::Granted && !granted.iter().any(names_something)
    {
        standing = Standing::Asking;
        explanation = format!(
            "{own_section} allows it, whatever the manifest asks for, which can change while the \
             artifact does not: allow or deny it, or say how much is allowed, `{allowing}` there"
        );
    }
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
        lacks: Vec::new(),
        rule,
        explanation,
    };
    if standing == Standing::Granted {
        let agreed = decided.and_then(|decided| decided.within.as_ref());
        let asks = request.clone().map(|request| in_full(request, subject.base));
        let is_in_vain =
            |asks: &Scope| !granted.iter().all(|scope| meets(asks, &in_full(scope.clone(), None)));
        let in_vain = asks.as_ref().is_some_and(is_in_vain);
        if let (Some(agreed), Some(asks)) = (agreed, &asks)
            && consents
            && !in_vain
            && !covers(agreed, asks)
        {
            verdict.asks_more = true;
            let lacks = verdict.asks.iter().filter(|word| !word.is_within(agreed));
            verdict.lacks = lacks.cloned().collect();
            let more = "; it asks for more, which nobody agreed to: allow it again to add that";
            verdict.explanation.push_str(more);
        }
        narrow(&mut verdict, request, granted, by_person || by_section, &own_section);
        if let Some(asks) = asks.filter(|_| in_vain && verdict.is_granted()) {
            let own_narrows = own.is_some_and(|rule| rule.scope != Scope::default());
            let section = if own_narrows { own_section } else { default_section };
            verdict.grant_nothing(&asks, decided, &section);
        }
    }
    if verdict.standing == Standing::Asking {
        verdict.lacks.clone_from(&verdict.asks);
    }
    verdict
}

impl Verdict {
    /// Takes back a grant that admits nothing of what the manifest asks for.
    fn grant_nothing(&mut self, asks: &Scope, decided: Option<&Decided>, section: &str) {
        let asks = match self.asks.as_slice() {
            [] => asks.to_string(),
            words => words.iter().map(Allowance::parameter).collect::<Vec<_>>().join(", "),
        };
        let asks = cut(&asks, MAX_PARAMETERS);
        if decided.is_some() {
            let (_, who) = who(decided);
            self.standing = Standing::Asking;
            self.explanation = format!(
                "{who}, of which it asks for nothing: it asks for {asks}; allow that, or deny it"
            );
        } else {
            self.standing = Standing::Denied;
            self.explanation = format!(
                "it asks for {asks}, of which {section} grants nothing: change `{}` there",
                self.permission
            );
        }
        self.scopes.clear();
    }
}

/// Where a request stands.
fn asker(subject: Subject<'_>) -> &'static str {
    if subject.bare { "default" } else { "manifest" }
}

/// The grant of a request as it is.
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
            (HERE.to_owned(), format!("allowed for this plugin, {name}: {means}"))
        }
        None => (HERE.to_owned(), "allowed for this plugin".to_owned()),
    }
}

/// A rule that allows a permission. One that is not asked for has to say how much is allowed, where
/// that is not obvious.
fn allowing(permission: Permission, asked: bool) -> String {
    let list = match permission {
        Permission::Files => "folders",
        Permission::Network => "hosts",
        Permission::Environment | Permission::Functions => "names",
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

/// A rule that allows what this scope of files, network or environment admits, and no more.
pub(crate) fn allowing_within(permission: Permission, within: &Scope) -> String {
    let list = match permission {
        Permission::Network => "hosts",
        Permission::Environment => "names",
        _ => "folders",
    };
    let within = within.to_string();
    let within = match within.strip_prefix('{') {
        Some(table) => table.to_owned(),
        None => format!(" {list} = {within} }}"),
    };
    format!("{permission} = {{ decision = \"allow\",{within}")
}

/// True if a scope lists what is admitted of files, network or environment.
fn names_something(scope: &Scope) -> bool {
    scope.folders.only.is_some() || scope.hosts.only.is_some() || scope.names.only.is_some()
}

/// Adds the parameters, and denies what is granted within nothing at all.
fn narrow(
    verdict: &mut Verdict,
    request: Option<Scope>,
    granted: Vec<Scope>,
    names_hosts: bool,
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
            // A default may mean all hosts; a person, and a section, mean those that they name.
            Permission::Network => !names_hosts || scope.hosts.only.is_some(),
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
        // A scope that narrows nothing need not be checked.
        scopes.retain(|scope| *scope != Scope::default());
        verdict.scopes = scopes;
    }
}
