//! `plugin.toml`: what a plugin says about itself.
//!
//! [`Manifest::parse`] reads the text, [`Manifest::bare`] gives the defaults for an artifact that
//! has none. Unknown keys are errors that name the nearest known key.
//!
//! ```
//! use glovebox_abi::{Manifest, Permission};
//!
//! let manifest = Manifest::parse(r#"
//!     [plugin]
//!     id = "redact"
//!     version = "1.3.0"
//!
//!     [permissions]
//!     log = true
//!
//!     [limits]
//!     memory = "16 MiB"
//! "#)?;
//! assert!(manifest.asks_for(Permission::Log));
//! assert_eq!(manifest.limits.memory, 16 << 20);
//! # Ok::<(), glovebox_abi::manifest::ManifestError>(())
//! ```

mod budget;
mod configurations;
mod endpoint;
mod keys;
mod lifecycle;
mod limits;
mod requests;
mod scope;

use std::collections::BTreeMap;
use std::time::Duration;

use semver::{Version, VersionReq};
use serde::Deserialize;
use serde::de::Error as _;

pub use budget::{Budget, BudgetKind};
pub use configurations::{Configuration, UnknownConfiguration};
pub use endpoint::{Endpoint, EndpointError, HostPattern};
pub use keys::check_permissions;
pub use lifecycle::{Lifecycle, OnFailure, Restart, StateRules};
pub use limits::{LimitChanges, LimitKind, Limits};
pub use requests::{Request, Requests};
pub use scope::{Access, Folder, Scope, Selection};

use crate::text::cut;
use crate::{Kind, Permission};

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Who it is.
    pub plugin: About,
    /// Where its artifacts are, relative to the manifest.
    pub artifact: Artifact,
    /// How it wants to run.
    pub runtime: Runtime,
    /// Which frames it takes and gives.
    pub frames: Frames,
    /// What it asks for; a permission that is not here is not asked for. Frames are asked for with
    /// [`Frames::accepts`].
    pub permissions: Requests,
    /// What must never be exceeded.
    pub limits: Limits,
    /// What should not be exceeded.
    pub budget: Budget,
    /// What happens when it starts, fails and ends.
    pub lifecycle: Lifecycle,
    /// What is kept of its state.
    pub state: StateRules,
    /// Other plugins it needs, by id.
    pub dependencies: BTreeMap<String, VersionReq>,
    /// Its configuration where nobody says otherwise.
    pub config: toml::Table,
    /// JSON Schema of the configuration, as TOML.
    pub config_schema: Option<toml::Table>,
    /// Other configurations of the same artifact, by name.
    pub configurations: BTreeMap<String, Configuration>,
}

/// Who a plugin is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// Kebab-case name that identifies it.
    pub id: String,
    /// Version of the plugin, not of the protocol.
    #[serde(default = "unversioned")]
    pub version: Version,
    /// Name for people; the id if empty.
    #[serde(default)]
    pub name: String,
    /// Who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// SPDX expression.
    #[serde(default)]
    pub license: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// Where it belongs, e.g. `privacy`.
    #[serde(default)]
    pub category: String,
    /// What sort of plugin, e.g. `filter`.
    #[serde(default, rename = "type")]
    pub plugin_type: String,
    /// What it can do, for discovery.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// More words to be found by.
    #[serde(default)]
    pub keywords: Vec<String>,
}

/// The longest id of a plugin, in bytes.
const MAX_ID_LEN: usize = 128;
/// The longest words that a manifest says about its plugin, in bytes; the rest is cut.
const MAX_WORDS_LEN: usize = 256;
/// The same for the description.
const MAX_DESCRIPTION_LEN: usize = 4096;

impl About {
    /// With texts that a list or a panel can show.
    fn shortened(mut self) -> About {
        fn shorten(text: &mut String, max: usize) {
            if text.len() > max {
                *text = cut(text, max).into_owned();
            }
        }
        shorten(&mut self.description, MAX_DESCRIPTION_LEN);
        let single = [&mut self.name, &mut self.license, &mut self.category, &mut self.plugin_type];
        let lists = [&mut self.authors, &mut self.capabilities, &mut self.keywords];
        let words = single.into_iter().chain(lists.into_iter().flatten());
        words.for_each(|text| shorten(text, MAX_WORDS_LEN));
        self
    }
}

fn unversioned() -> Version {
    Version::new(0, 0, 0)
}

/// Where the artifacts of a plugin are, relative to the manifest.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Artifact {
    /// A component or core module, binary or text.
    pub wasm: Option<String>,
    /// A shared library.
    pub native: Option<String>,
    /// What the bytes of the artifact must hash to: `blake3:` and 64 hexadecimal digits. Written as
    /// one text, or a list where there is more than one artifact; nothing is checked if empty.
    #[serde(default, deserialize_with = "one_or_many")]
    pub digest: Vec<String>,
}

/// What a digest in `[artifact]` starts with; the hash function is BLAKE3 with 256 bits.
pub const DIGEST_PREFIX: &str = "blake3:";

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// How a plugin wants to run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// What executes it.
    pub tier: Option<Tier>,
    /// Where it runs.
    pub isolation: Option<Isolation>,
    /// How many copies, from 1.
    pub instances: u32,
    /// True if the same frames must give the same bytes each time: time and chance are made up from
    /// [`seed`](Self::seed), and work is counted instead of time. For one copy in WebAssembly.
    pub deterministic: bool,
    /// Where random bytes come from if the plugin is [`deterministic`](Self::deterministic); 0 if
    /// absent.
    pub seed: Option<u64>,
    /// How long compiling it may take, if the host allows as much; by the size of the artifact if
    /// absent.
    #[serde(rename = "compile-deadline", deserialize_with = "some_duration")]
    pub compile_deadline: Option<Duration>,
}

impl Default for Runtime {
    fn default() -> Self {
        Runtime {
            tier: None,
            isolation: None,
            instances: 1,
            deterministic: false,
            seed: None,
            compile_deadline: None,
        }
    }
}

fn some_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    match crate::units::parse_duration(&text) {
        Ok(Duration::ZERO) => Err(D::Error::custom("must be longer than 0")),
        Ok(duration) => Ok(Some(duration)),
        Err(error) => Err(D::Error::custom(error)),
    }
}

/// What executes a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Built into the application.
    Core,
    /// WebAssembly.
    Wasm,
    /// Machine code.
    Native,
    /// A container.
    Container,
    /// Another machine or process that is not ours.
    Remote,
}

impl Tier {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Core => "core",
            Tier::Wasm => "wasm",
            Tier::Native => "native",
            Tier::Container => "container",
            Tier::Remote => "remote",
        }
    }
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the host's own process.
    InProcess,
    /// In a sandboxed worker.
    Process,
    /// In a container.
    Container,
    /// Elsewhere.
    Remote,
}

impl Isolation {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::InProcess => "in-process",
            Isolation::Process => "process",
            Isolation::Container => "container",
            Isolation::Remote => "remote",
        }
    }
}

/// Which frames a plugin takes and gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    /// Kinds it answers.
    pub accepts: Vec<Kind>,
    /// Kinds it gives; informative.
    pub emits: Vec<Kind>,
}

impl Default for Frames {
    fn default() -> Self {
        Frames { accepts: vec![Kind::DATA, Kind::CONTROL], emits: vec![Kind::DATA] }
    }
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown key, or a value of the wrong type or range.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        keys::check(text)?;
        let raw: Raw =
            toml::from_str(text).map_err(|error| ManifestError::from_toml(text, &error))?;
        let id = &raw.plugin.id;
        if id.len() > MAX_ID_LEN {
            return Err(ManifestError::Value {
                key: "plugin.id".to_owned(),
                reason: format!("{} bytes are too long, limit {MAX_ID_LEN}", id.len()),
            });
        }
        if !is_kebab_case(id) {
            return Err(ManifestError::Id { id: id.clone() });
        }
        if raw.runtime.instances == 0 {
            return Err(ManifestError::Value {
                key: "runtime.instances".to_owned(),
                reason: "0 instances cannot run; write 1 or more".to_owned(),
            });
        }
        if raw.runtime.deterministic && raw.runtime.instances > 1 {
            return Err(ManifestError::Value {
                key: "runtime.deterministic".to_owned(),
                reason: format!(
                    "which of {} copies gets a frame is a matter of time; write `instances = 1`",
                    raw.runtime.instances
                ),
            });
        }
        if raw.runtime.seed.is_some() && !raw.runtime.deterministic {
            return Err(ManifestError::Value {
                key: "runtime.seed".to_owned(),
                reason: "has no effect without `deterministic = true`".to_owned(),
            });
        }
        for digest in &raw.artifact.digest {
            let hexadecimal = digest.strip_prefix(DIGEST_PREFIX).unwrap_or_default();
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if hexadecimal.len() != 64 || !hexadecimal.bytes().all(is_digit) {
                return Err(ManifestError::Value {
                    key: "artifact.digest".to_owned(),
                    reason: format!(
                        "`{digest}` is no digest; write `{DIGEST_PREFIX}` and 64 lower-case \
                         hexadecimal digits, as `glovebox inspect` shows them"
                    ),
                });
            }
        }
        configurations::check(id, &raw.configurations, raw.config_schema.as_ref())?;
        let permissions = Requests::read(raw.permissions)?;
        let defaults = Frames::default();
        let kinds = |names: Option<Vec<String>>, key: &str, default: Vec<Kind>| match names {
            None => Ok(default),
            Some(names) => names
                .iter()
                .map(|name| {
                    name.parse().map_err(|error: crate::UnknownKind| ManifestError::Value {
                        key: key.to_owned(),
                        reason: error.to_string(),
                    })
                })
                .collect(),
        };
        Ok(Manifest {
            frames: Frames {
                accepts: kinds(raw.frames.accepts, "frames.accepts", defaults.accepts)?,
                emits: kinds(raw.frames.emits, "frames.emits", defaults.emits)?,
            },
            limits: raw.limits.read()?,
            budget: raw.budget.read()?,
            plugin: raw.plugin.shortened(),
            artifact: raw.artifact,
            runtime: raw.runtime,
            permissions,
            lifecycle: raw.lifecycle.read()?,
            state: raw.state.read()?,
            dependencies: raw.dependencies,
            config: raw.config,
            config_schema: raw.config_schema,
            configurations: raw.configurations,
        })
    }

    /// What holds for an artifact without a manifest: it may log, publish measurements and read
    /// its configuration, and nothing else.
    ///
    /// `name` is turned into an id: lower case, with `-` for everything else.
    pub fn bare(name: &str) -> Manifest {
        let words =
            name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut id = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
        if !is_kebab_case(&id) {
            id = format!("plugin-{id}").trim_end_matches('-').to_owned();
        }
        let harmless = [Permission::Log, Permission::Metric, Permission::Config];
        Manifest {
            plugin: About {
                id,
                version: unversioned(),
                name: name.to_owned(),
                authors: Vec::new(),
                license: String::new(),
                description: String::new(),
                category: String::new(),
                plugin_type: String::new(),
                capabilities: Vec::new(),
                keywords: Vec::new(),
            },
            artifact: Artifact::default(),
            runtime: Runtime::default(),
            frames: Frames::default(),
            permissions: harmless.into_iter().map(|permission| (permission, true)).collect(),
            limits: Limits::default(),
            budget: Budget::default(),
            lifecycle: Lifecycle::default(),
            state: StateRules::default(),
            dependencies: BTreeMap::new(),
            config: toml::Table::new(),
            config_schema: None,
            configurations: BTreeMap::new(),
        }
    }

    /// The name for people.
    pub fn title(&self) -> &str {
        if self.plugin.name.is_empty() { &self.plugin.id } else { &self.plugin.name }
    }

    /// How much of a permission the plugin asks for; `None` if it does not ask for it.
    pub fn request(&self, permission: Permission) -> Option<Scope> {
        match permission {
            Permission::Receive => {
                let kinds = Selection::only(self.frames.accepts.clone());
                (!self.frames.accepts.is_empty()).then(|| Scope { kinds, ..Scope::default() })
            }
            permission => self.permissions.get(permission).cloned(),
        }
    }

    /// True if the plugin asks for this permission.
    pub fn asks_for(&self, permission: Permission) -> bool {
        self.request(permission).is_some()
    }
}

/// True for lower-case words of letters and digits joined by single `-`, starting with a letter.
pub fn is_kebab_case(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

/// Why a text is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The text is not TOML, a value has the wrong type, or a needed key is missing.
    #[error("line {line}: {reason}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in [{section}]{}{}", at_line(*.line), did_you_mean(.nearest))]
    UnknownKey {
        /// The key.
        key: String,
        /// The section it stands in.
        section: String,
        /// Line, from 1, if known.
        line: Option<usize>,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A value that makes no sense.
    #[error("`{key}`: {reason}")]
    Value {
        /// Section and key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// The source of the plugin and its manifest want different things.
    #[error(
        "`{key}` is {attribute} in the attribute `#[budget]` of the source, but {manifest} in \
         plugin.toml; remove one of the two, or make them the same"
    )]
    Contradiction {
        /// Section and key.
        key: String,
        /// The value in the manifest, with its unit.
        manifest: String,
        /// The value in the source, with its unit.
        attribute: String,
    },
    /// An id that is not kebab-case.
    #[error(
        "`{id}` is not a plugin id; use lower-case letters, digits and single `-`, e.g. \"redact-mail\""
    )]
    Id {
        /// The id.
        id: String,
    },
}

impl ManifestError {
    /// What `toml` says about `text`, with the line.
    pub fn from_toml(text: &str, error: &toml::de::Error) -> ManifestError {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let reason = error.message().lines().collect::<Vec<_>>().join(" ");
        ManifestError::Toml { line: line_of(text, offset), reason }
    }

    /// An unknown key, with the known one that looks most like it.
    pub fn unknown<'a>(
        key: &str,
        section: &str,
        line: Option<usize>,
        known: impl Iterator<Item = &'a str>,
    ) -> ManifestError {
        // A key of a megabyte is no typing error, and comparing it would take its time.
        let key = &*cut(key, MAX_WORDS_LEN);
        let distance = |name: &&str| strsim::damerau_levenshtein(name, key);
        let nearest = known.min_by_key(distance).filter(|name| distance(name) <= 1 + key.len() / 3);
        ManifestError::UnknownKey {
            key: key.to_owned(),
            section: section.to_owned(),
            line,
            nearest: nearest.map(str::to_owned),
        }
    }
}

/// The line of a place in a text, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" on line {line}"))
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    plugin: About,
    #[serde(default)]
    artifact: Artifact,
    #[serde(default)]
    runtime: Runtime,
    #[serde(default)]
    frames: RawFrames,
    #[serde(default)]
    permissions: toml::Table,
    #[serde(default)]
    limits: limits::RawLimits,
    #[serde(default)]
    budget: budget::RawBudget,
    #[serde(default)]
    lifecycle: lifecycle::RawLifecycle,
    #[serde(default)]
    state: lifecycle::RawState,
    #[serde(default)]
    dependencies: BTreeMap<String, VersionReq>,
    #[serde(default)]
    config: toml::Table,
    config_schema: Option<toml::Table>,
    #[serde(default)]
    configurations: BTreeMap<String, Configuration>,
}

#[derive(Default, Deserialize)]
struct RawFrames {
    accepts: Option<Vec<String>>,
    emits: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a manifest says of its plugin, lists and panels can show it.
    #[test]
    fn long_texts_are_cut_or_refused() {
        fn check(text: &str, long: fn(&Manifest) -> &str, longest: usize) {
            let manifest = Manifest::parse(text).unwrap_or_else(|error| panic!("{error}"));
            let found = long(&manifest);
            assert!(found.len() < longest + 33, "{} bytes", found.len());
            assert!(found.ends_with("… (500000 bytes)"), "{:?}", &found[found.len() - 40..]);
        }
        let long = "x".repeat(500_000);
        let with = |key: &str| format!("[plugin]\nid = \"a\"\n{key} = \"{long}\"");
        let list = |key: &str| format!("[plugin]\nid = \"a\"\n{key} = [\"b\", \"{long}\"]");
        check(&with("name"), |manifest| manifest.title(), MAX_WORDS_LEN);
        check(&with("description"), |manifest| &manifest.plugin.description, MAX_DESCRIPTION_LEN);
        check(&with("license"), |manifest| &manifest.plugin.license, MAX_WORDS_LEN);
        check(&with("category"), |manifest| &manifest.plugin.category, MAX_WORDS_LEN);
        check(&with("type"), |manifest| &manifest.plugin.plugin_type, MAX_WORDS_LEN);
        check(&list("authors"), |manifest| &manifest.plugin.authors[1], MAX_WORDS_LEN);
        check(&list("capabilities"), |manifest| &manifest.plugin.capabilities[1], MAX_WORDS_LEN);
        check(&list("keywords"), |manifest| &manifest.plugin.keywords[1], MAX_WORDS_LEN);
        let refused = |text: &str| Manifest::parse(text).unwrap_err().to_string();
        let id = format!("[plugin]\nid = \"{long}\"");
        assert!(refused(&id).contains("500000 bytes are too long, limit 128"));
        assert!(refused(&with(&long)).len() < 1000, "an unknown key is cut as well");
    }

    #[test]
    fn bad_manifests_say_what_is_wrong() {
        fn check(text: &str, expected: &str) {
            let error = Manifest::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("", "missing field `plugin`");
        check("[plugin]\nversion = \"1.0.0\"", "missing field `id`");
        check("[plugin]\nid = \"a\"\nversoin = \"1.0.0\"", "line 3; did you mean `version`?");
        check("[plugin]\nid = \"a\"\n[limit]\nmemory = 1", "line 3; did you mean `limits`?");
        check("[plugin]\nid = \"a\"\n[permissions]\nkw = true", "did you mean `kv`?");
        check("[plugin]\nid = \"a\"\n[permissions]\nzzzzzzz = true", "unknown key `zzzzzzz`");
        check("[plugin]\nid = \"Bad Id\"", "not a plugin id");
        check("[plugin]\nid = \"a\"\nversion = \"one\"", "line 3");
        check("[plugin]\nid = \"a\"\n[limits]\nqueue = \"many\"", "line 4");
        check("[plugin]\nid = \"a\"\n[limits]\nmemory = \"big\"", "`limits.memory`");
        check("[plugin]\nid = \"a\"\n[limits]\nqueue = 0", "`limits.queue`");
        check("[plugin]\nid = \"a\"\n[frames]\naccepts = [\"dada\"]", "not a frame kind");
        check("[plugin]\nid = \"a\"\n[runtime]\ninstances = 0", "`runtime.instances`");
        check("[plugin]\nid = \"a\"\n[lifecycle]\nbreaker = 0", "`lifecycle.breaker`");
        check(
            "[plugin]\nid = \"a\"\n[lifecycle]\nback-off = \"1 min\"",
            "longer than `back-off-max`",
        );
        check("[plugin]\nid = \"a\"\n[lifecycle]\nrestart = \"sometimes\"", "line 4");
        check("[plugin]\nid = \"a\"\n[state]\nkeep = 0", "`state.keep`");
        check("[plugin]\nid = \"a\"\n[state]\ncheckpoint = \"1 s\"", "needs `persist = true`");
        check("[plugin]\nid = \"a\"\n[limits]\nburst = 5", "needs `rate`");
        check("[plugin]\nid = \"a\"\n[runtime]\nseed = 1", "without `deterministic = true`");
        check(
            "[plugin]\nid = \"a\"\n[runtime]\ncompile-deadline = \"0 s\"",
            "line 4: must be longer",
        );
        check(
            "[plugin]\nid = \"a\"\n[runtime]\ncompile-deadline = \"1 day\"",
            "`1 day` is not a dur",
        );
        check(
            "[plugin]\nid = \"a\"\n[runtime]\ndeterministic = true\ninstances = 2",
            "which of 2 copies gets a frame",
        );
        check("[plugin]\nid = \"a\"\n[artifact]\ndigest = \"blake3:12\"", "64 lower-case");
        check("[plugin]\nid = \"a\"\n[artifact]\ndigest = 1", "a text or a list of texts");
        check("[plugin]\nid = \"a\"\n[budget]\np9 = \"1 ms\"", "line 4; did you mean `p99`?");
        check("[plugin]\nid = \"a\"\n[budget]\nloadtime = \"1 s\"", "did you mean `load-time`?");
        check("[plugin]\nid = \"a\"\n[budget]\np99 = \"5\"", "`budget.p99`: `5` is not a duration");
        check("[plugin]\nid = \"a\"\n[budget]\nmemory = \"1 ms\"", "`budget.memory`");
        check("[plugin\nid = 1", "line 1");
        check("plugin = 3", "line 1");
    }

    #[test]
    fn bare_artifacts_get_an_id() {
        fn check(name: &str, expected: &str) {
            let manifest = Manifest::bare(name);
            assert_eq!(manifest.plugin.id, expected);
            assert!(is_kebab_case(&manifest.plugin.id));
        }
        check("hello", "hello");
        check("My Plugin_2", "my-plugin-2");
        check("7zip", "plugin-7zip");
        check("…", "plugin");
    }
}
