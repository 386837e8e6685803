//! `policy.toml`: the rules of a person for all plugins and for single ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glovebox_abi::Permission;
use glovebox_abi::manifest::{
    DIGEST_PREFIX, EngineName, Limits, ManifestError, Scope, Tier, check_permissions,
    is_kebab_case, line_of,
};
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::PolicyMode;
use super::ceilings::{self, CeilingRules, Ceilings};
use super::effective::Subject;
use super::missing::MissingLayers;
use super::swap::{self, OlderVersion, SwapRules};

/// The largest file that is read: 1 MiB.
const MAX_POLICY_LEN: u64 = 1 << 20;

/// The rules of a `policy.toml`. The default one has none, so that the [`PolicyMode`] decides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Its name in explanations.
    pub(super) name: String,
    /// The file it was read from.
    file: Option<PathBuf>,
    /// The mode where no rule decides; the host's own mode if absent.
    pub(super) mode: Option<PolicyMode>,
    pub(super) default: Section,
    pub(super) plugins: BTreeMap<String, PluginSection>,
    /// True if nobody named the file.
    pub(super) is_found: bool,
    ceilings: CeilingRules,
    missing_layers: MissingLayers,
    engine: Option<EngineName>,
    swap: SwapRules,
    /// The content of other sections than those of permissions, as `section.key = value`.
    settings: Vec<String>,
}

/// The rules of one level.
pub(super) type Section = BTreeMap<Permission, Rule>;

/// The rules about one id, and the artifacts that they mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PluginSection {
    /// Hexadecimal BLAKE3 digests.
    digests: Vec<String>,
    /// Files, wherever a link leads.
    paths: Vec<PathBuf>,
    pub(super) rules: Section,
}

impl PluginSection {
    /// True if the artifact is one of those that the section means.
    pub(super) fn means(&self, subject: Subject<'_>) -> bool {
        let is_path = |path: &Path| {
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let known = |known: &PathBuf| known.canonicalize().as_ref().unwrap_or(known) == &path;
            self.paths.iter().any(known)
        };
        subject.digest.is_empty()
            || self.digests.iter().any(|digest| digest == subject.digest)
            || subject.path.is_some_and(is_path)
    }

    /// Why an artifact that the section does not mean is not given what it allows.
    pub(super) fn stranger(&self, subject: Subject<'_>, section: &str) -> String {
        let digest = subject.digest;
        let who = match self.digests.is_empty() && self.paths.is_empty() {
            true => format!("{section} allows it to a name, which any artifact may bear"),
            false => format!("{section} means another artifact than this, which has its name"),
        };
        format!(
            "{who}: allow or deny it, or add `digest = \"{DIGEST_PREFIX}{digest}\"` there if it is this one"
        )
    }
}

/// The rule of one level about one permission.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rule {
    pub(super) decision: Option<Choice>,
    pub(super) scope: Scope,
}

/// The three answers of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Allow,
    Deny,
    Ask,
}

/// Why a policy cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy: {source}; check the path: {}", path.display())]
    Io {
        /// The error of the operating system.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The text is no policy.
    #[error("{problem}{}", file(.path))]
    Text {
        /// The problem, and its place.
        problem: ManifestError,
        /// The file, if it is one.
        path: Option<PathBuf>,
    },
}

fn file(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| format!(": {}", path.display()))
}

impl Policy {
    /// Reads a file. Relative folders in it start at its own.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is larger than 1 MiB, or [`parse`](Self::parse) refuses its text.
    pub fn load(path: impl AsRef<Path>) -> Result<Policy, PolicyError> {
        let path = path.as_ref();
        let io = |source| PolicyError::Io { source, path: path.to_owned() };
        let text = glovebox_files::read_to_string(path, MAX_POLICY_LEN).map_err(io)?;
        let folder = path.canonicalize().map_err(io)?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        let named = |problem| PolicyError::Text { problem, path: Some(path.to_owned()) };
        let mut policy = read(&text, Some(folder)).map_err(named)?;
        policy.name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The working folder may change.
        policy.file = Some(std::path::absolute(path).map_err(io)?);
        Ok(policy)
    }

    /// The file it was read from, if it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The policy that its file holds now; `None` if it was read from none.
    pub(crate) fn again(&self) -> Option<Result<Policy, PolicyError>> {
        let again = |policy| Policy { is_found: self.is_found, ..policy };
        Some(Policy::load(self.file.as_deref()?).map(again))
    }

    /// Reads a text. Relative folders in it start at the working folder of the process.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown key, or a value of the wrong type or range.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        read(text, None).map_err(|problem| PolicyError::Text { problem, path: None })
    }

    /// The mode where no rule decides, if the file names one.
    pub fn mode(&self) -> Option<PolicyMode> {
        self.mode
    }

    /// The rule for native plugins whose sandbox lacks a layer.
    pub fn missing_layers(&self) -> MissingLayers {
        self.missing_layers
    }

    /// The engine that runs containers, whatever manifests say; the host looks for one if it is absent.
    pub fn engine(&self) -> Option<EngineName> {
        self.engine
    }

    /// The rules for the swap of generations. A file that nobody named lets no older version run
    /// unasked, for it may have come with the plugin.
    pub fn swap(&self) -> SwapRules {
        let mut rules = self.swap.clone();
        if self.is_found && rules.older == OlderVersion::Run {
            rules.older = OlderVersion::Ask;
        }
        rules
    }

    /// Ids of the plugins that have rules of their own.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }

    /// How many rules there are, all levels together.
    pub fn rules(&self) -> usize {
        self.default.len() + self.plugins.values().map(|own| own.rules.len()).sum::<usize>()
    }

    /// The settings beside the mode and the rules: ceilings, and conditions of sandboxes and swaps, as
    /// `section.key = value`.
    pub fn settings(&self) -> &[String] {
        &self.settings
    }

    /// These ceilings, with what this policy says over them. A file that nobody named only lowers
    /// them, for it may have come with the plugin.
    pub fn ceilings(&self, host: &Ceilings) -> Ceilings {
        let ceilings = self.ceilings.over(host);
        if self.is_found { ceilings.least(host) } else { ceilings }
    }

    /// The limits that a plugin of this tier asks for and does not get, because the ceilings of the
    /// policy, or of hosts that were not told otherwise, are lower; a sentence for each limit.
    pub fn lowered(&self, asked: &Limits, tier: Tier) -> Vec<String> {
        let ceilings = self.ceilings(&Ceilings::default());
        ceilings::lowered(asked, &ceilings.lower(tier, asked))
    }

    /// The same rules of a file that was found and that nobody named, such as that of a workspace in a
    /// folder above: it denies, narrows, and grants what stays inside Glovebox. About files, network
    /// and environment a person is asked although it allows them, for the file may have come with the
    /// plugin.
    #[must_use]
    pub fn found(mut self) -> Policy {
        self.is_found = true;
        self
    }

    pub(super) fn name(&self) -> &str {
        if self.name.is_empty() { "policy.toml" } else { &self.name }
    }
}

fn read(text: &str, folder: Option<&Path>) -> Result<Policy, ManifestError> {
    check(text)?;
    let table: toml::Table =
        toml::from_str(text).map_err(|error| ManifestError::from_toml(text, &error))?;
    let mut policy = Policy::default();
    for (name, value) in table {
        if let (false, Value::Table(section)) = (matches!(&*name, "default" | "plugins"), &value) {
            let settings = section.iter().map(|(key, value)| format!("{name}.{key} = {value}"));
            policy.settings.extend(settings);
        }
        let wrong = |key: &str, reason: &str| ManifestError::Value {
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        match (name.as_str(), value) {
            ("mode", Value::String(mode)) => {
                let mode = mode.parse::<PolicyMode>();
                policy.mode = Some(mode.map_err(|error| wrong("mode", &error.to_string()))?);
            }
            ("default", Value::Table(rules)) => {
                policy.default = section("default", rules, folder)?;
            }
            ("ceilings", Value::Table(table)) => policy.ceilings = CeilingRules::read(&table)?,
            ("sandbox", Value::Table(table)) => {
                // No other key got through the check.
                if let Some(rule) = table.get(MISSING_LAYERS) {
                    let key = format!("sandbox.{MISSING_LAYERS}");
                    let text = rule.as_str().ok_or_else(|| wrong(&key, "write \"run\""))?;
                    let rule = text.parse::<MissingLayers>();
                    policy.missing_layers =
                        rule.map_err(|error| wrong(&key, &error.to_string()))?;
                }
                if let Some(name) = table.get(ENGINE) {
                    let key = format!("sandbox.{ENGINE}");
                    let text = name.as_str().ok_or_else(|| wrong(&key, "write \"podman\""))?;
                    let name = text.parse::<EngineName>();
                    policy.engine = Some(name.map_err(|error| wrong(&key, &error.to_string()))?);
                }
            }
            ("swap", Value::Table(_)) => policy.swap = swap::read(text)?,
            ("plugins", Value::Table(plugins)) => {
                for (id, rules) in plugins {
                    let name = format!("plugins.{id}");
                    let Value::Table(rules) = rules else {
                        return Err(wrong(&name, &format!("write a section [{name}]")));
                    };
                    if !is_kebab_case(&id) {
                        return Err(ManifestError::Id { id });
                    }
                    policy.plugins.insert(id, plugin_section(&name, rules, folder)?);
                }
            }
            ("mode", _) => return Err(wrong("mode", "write for example mode = \"strict\"")),
            (name, _) => return Err(wrong(name, &format!("write a section [{name}]"))),
        }
    }
    Ok(policy)
}

/// Finds unknown keys with their lines, before any value is looked at.
fn check(text: &str) -> Result<(), ManifestError> {
    let table = DeTable::parse(text).map_err(|error| ManifestError::from_toml(text, &error))?;
    const KNOWN: [&str; 6] = ["mode", "default", "plugins", "ceilings", "sandbox", "swap"];
    for (key, value) in table.get_ref() {
        let line = Some(line_of(text, key.span().start));
        let name = key.get_ref().as_ref();
        match (name, value.get_ref()) {
            ("mode", _) => {}
            ("default", DeValue::Table(rules)) => check_section(text, name, rules, &[])?,
            ("ceilings", DeValue::Table(table)) => ceilings::check(text, table)?,
            ("swap", DeValue::Table(table)) => swap::check(text, table)?,
            ("sandbox", DeValue::Table(table)) => {
                const KEYS: [&str; 2] = [MISSING_LAYERS, ENGINE];
                let unknown = table.keys().find(|key| !KEYS.contains(&key.get_ref().as_ref()));
                if let Some(key) = unknown {
                    let line = Some(line_of(text, key.span().start));
                    let known = KEYS.into_iter();
                    return Err(ManifestError::unknown(key.get_ref().as_ref(), name, line, known));
                }
            }
            ("plugins", DeValue::Table(plugins)) => {
                for (id, rules) in plugins {
                    if let DeValue::Table(rules) = rules.get_ref() {
                        let name = format!("plugins.{}", id.get_ref());
                        check_section(text, &name, rules, &PINS)?;
                    }
                }
            }
            (name, _) if KNOWN.contains(&name) => {}
            (name, _) => {
                return Err(ManifestError::unknown(name, "the top level", line, KNOWN.into_iter()));
            }
        }
    }
    Ok(())
}

/// The keys of the section `[sandbox]`.
const MISSING_LAYERS: &str = "missing-layers";
const ENGINE: &str = "engine";

/// Keys of a plugin's section that say which artifacts it means.
const PINS: [&str; 2] = ["digest", "path"];

fn check_section(
    text: &str,
    section: &str,
    rules: &DeTable<'_>,
    more: &[&'static str],
) -> Result<(), ManifestError> {
    for key in rules.keys() {
        let name = key.get_ref().as_ref();
        if name.parse::<Permission>().is_err() && !more.contains(&name) {
            let line = Some(line_of(text, key.span().start));
            let known =
                Permission::ALL.iter().map(|(_, name, _)| *name).chain(more.iter().copied());
            return Err(ManifestError::unknown(name, section, line, known));
        }
    }
    check_permissions(text, section, rules, &["decision"])
}

/// The section of one plugin: the artifacts that it means, and its rules.
fn plugin_section(
    name: &str,
    mut rules: toml::Table,
    folder: Option<&Path>,
) -> Result<PluginSection, ManifestError> {
    let mut texts = |key: &str| {
        let wrong = || ManifestError::Value {
            key: format!("{name}.{key}"),
            reason: "write a text or a list of texts".to_owned(),
        };
        match rules.remove(key) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => list
                .into_iter()
                .map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    };
    let (digests, paths) = (texts("digest")?, texts("path")?);
    let digests = digests.into_iter().map(|text| {
        let digits = text.strip_prefix(DIGEST_PREFIX).unwrap_or_default();
        let is_one = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match digits.len() == 64 && digits.bytes().all(is_one) {
            true => Ok(digits.to_owned()),
            false => Err(ManifestError::Value {
                key: format!("{name}.digest"),
                reason: format!(
                    "`{text}` is no digest; write `{DIGEST_PREFIX}` and 64 lower-case hexadecimal \
                     digits, as `glovebox inspect` shows them"
                ),
            }),
        }
    });
    let digests = digests.collect::<Result<_, _>>()?;
    let paths = paths.into_iter();
    let paths =
        paths.map(|path| folder.map_or_else(|| path.clone().into(), |base| base.join(&path)));
    Ok(PluginSection { digests, paths: paths.collect(), rules: section(name, rules, folder)? })
}

fn section(
    section: &str,
    rules: toml::Table,
    folder: Option<&Path>,
) -> Result<Section, ManifestError> {
    let mut read = Section::new();
    for (name, value) in rules {
        // `check` has refused all others.
        let Ok(permission) = name.parse::<Permission>() else { continue };
        let key = format!("{section}.{name}");
        let wrong = |reason: String| ManifestError::Value { key: key.clone(), reason };
        let choice = |text: &str| match text {
            "allow" => Ok(Choice::Allow),
            "deny" => Ok(Choice::Deny),
            "ask" => Ok(Choice::Ask),
            text => Err(wrong(format!("`{text}` is no decision; use allow, deny or ask"))),
        };
        let rule = match value {
            Value::String(text) => Rule { decision: Some(choice(&text)?), scope: Scope::default() },
            Value::Boolean(_) => {
                return Err(wrong("write \"allow\", \"deny\" or \"ask\"".to_owned()));
            }
            mut value => {
                let decision = match value.as_table_mut().and_then(|rule| rule.remove("decision")) {
                    None => None,
                    Some(Value::String(text)) => Some(choice(&text)?),
                    Some(_) => {
                        return Err(wrong("decision is \"allow\", \"deny\" or \"ask\"".to_owned()));
                    }
                };
                let mut scope = Scope::read(section, permission, value)?;
                for granted in scope.folders.only.iter_mut().flatten() {
                    if let Some(folder) = folder {
                        granted.path = folder.join(&granted.path).to_string_lossy().into_owned();
                    }
                }
                Rule { decision, scope }
            }
        };
        if rule.decision == Some(Choice::Deny) && rule.scope != Scope::default() {
            return Err(wrong(
                "parameters of a denied permission have no effect; to deny a part, allow it and \
                 list the part under `except`"
                    .to_owned(),
            ));
        }
        read.insert(permission, rule);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_stands_in_a_policy_is_told() {
        let text = "mode = \"ask\"\n[default]\nkv = \"deny\"\n[swap]\nkeep = 2\n[ceilings]\ncopies = 3\n\
                    [ceilings.wasm]\nmemory = \"1 MiB\"\n[sandbox]\nmissing-layers = \"refuse\"\n";
        let policy = Policy::parse(text).unwrap();
        let mut settings = policy.settings().to_vec();
        settings.sort();
        let expected = [
            "ceilings.copies = 3",
            "ceilings.wasm = { memory = \"1 MiB\" }",
            "sandbox.missing-layers = \"refuse\"",
            "swap.keep = 2",
        ];
        assert_eq!((policy.rules(), settings), (1, expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn bad_policies_say_what_is_wrong() {
        fn check(text: &str, expected: &str) {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check(
            "mode = \"stirct\"",
            "`mode`: `stirct` is not a policy mode; use consent, as-declared",
        );
        check("mode = 1", "write for example mode = \"strict\"");
        check(
            "modes = 1",
            "unknown key `modes` in [the top level] on line 1; did you mean `mode`?",
        );
        check("[defaults]\n", "did you mean `default`?");
        check("default = 1", "`default`: write a section [default]");
        check("[default]\nkw = \"deny\"", "unknown key `kw` in [default] on line 2; did you mean");
        check("[plugins.a]\n\nkw = \"deny\"", "in [plugins.a] on line 3; did you mean `kv`?");
        check("[plugins.\"Not Kebab\"]\nkv = \"deny\"", "not a plugin id");
        check("[plugins.a]\ndigets = \"x\"", "did you mean `digest`?");
        check("[default]\ndigest = \"x\"", "unknown key `digest` in [default]");
        check(
            "[plugins.a]\ndigest = \"x\"",
            "`plugins.a.digest`: `x` is no digest; write `blake3:`",
        );
        check("[plugins.a]\npath = 1", "`plugins.a.path`: write a text or a list of texts");
        check("[plugins]\na = 1", "`plugins.a`: write a section [plugins.a]");
        check("[default]\nkv = \"alow\"", "`default.kv`: `alow` is no decision");
        check("[default]\nkv = true", "write \"allow\", \"deny\" or \"ask\"");
        check("[default]\nkv = { decison = \"deny\" }", "did you mean `decision`?");
        check("[default]\nkv = { decision = \"deny\", prefixes = [\"a\"] }", "under `except`");
        check("[default]\nnetwork = [\"a\"]", "`default.network.hosts`: `a` is no host and port");
        let folders = "[default]\nfiles = [{ path = \"data/../../x\" }]";
        check(folders, "`default.files.folders`: `data/../../x` leads upwards; write the folder's");
        let twice =
            "[default]\nfiles = [{ path = \"a\", at = \"/d\" }, { path = \"b\", at = \"/d/\" }]";
        check(twice, "`default.files.folders`: two folders are called `/d/`; give each its own");
        check("[default", "line 1");
    }
}
