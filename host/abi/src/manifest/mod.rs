//! `plugin.toml`: the declarations of a plugin about itself.
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

mod about;
mod budget;
mod configurations;
mod endpoint;
mod error;
mod keys;
mod lifecycle;
mod limits;
mod requests;
mod runtime;
mod scope;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use semver::VersionReq;
use serde::Deserialize;

pub use about::About;
pub use budget::{Budget, BudgetKind};
pub use configurations::{Configuration, UnknownConfiguration};
pub use endpoint::{Endpoint, EndpointError, HostPattern};
pub use error::{ManifestError, line_of};
pub use keys::check_permissions;
pub use lifecycle::{Lifecycle, OnFailure, Restart, StateRules};
pub use limits::{LimitChanges, LimitError, LimitKind, Limits};
pub use requests::{Request, Requests};
pub use runtime::{
    Compiler, EngineName, Isolation, MIN_COMPILE_MEMORY, Runtime, Tier, UnknownEngine,
};
pub use scope::{
    Access, Folder, Scope, Selection, is_function_name, names_function, not_a_function,
};
pub use settings::{NotFinite, check_settings, plain_settings};

use crate::text::cut;
use crate::{Kind, Permission};
use error::at_most;

/// The declarations of a plugin about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its identity.
    pub plugin: About,
    /// Where its artifacts are, relative to the manifest.
    pub artifact: Artifact,
    /// How it wants to run.
    pub runtime: Runtime,
    /// The kinds of frames that it takes and gives.
    pub frames: Frames,
    /// The permissions it asks for; one that is not here is not asked for. Frames are asked for
    /// with [`Frames::accepts`].
    pub permissions: Requests,
    /// The figures that it must never exceed.
    pub limits: Limits,
    /// The figures that it should not exceed.
    pub budget: Budget,
    /// The rules for its start, failures and end.
    pub lifecycle: Lifecycle,
    /// The rules for keeping its state.
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

/// The longest id of a plugin, in bytes.
const MAX_ID_LEN: usize = 128;

/// The most `[configurations.NAME]` of a manifest.
pub const MAX_CONFIGURATIONS: usize = 256;

/// The most entries of `[dependencies]`, and of a list of a manifest.
pub const MAX_ENTRIES: usize = 256;

/// The most folders of `files` in a manifest: each that is granted is held open.
pub const MAX_FOLDERS: usize = 64;

/// Where the artifacts of a plugin are, relative to the manifest.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Artifact {
    /// A component or core module, binary or text.
    pub wasm: Option<String>,
    /// A shared library.
    pub native: Option<String>,
    /// A program or a script that speaks the [framed protocol](crate::wire) over its standard input
    /// and output.
    pub program: Option<String>,
    /// A folder that is the root folder of a container, in which the [command](Runtime::command) speaks the
    /// framed protocol.
    pub rootfs: Option<String>,
    /// An image of a container engine, by its name and digest: `name@sha256:` and 64 hexadecimal digits.
    /// The program in it speaks the framed protocol.
    pub image: Option<String>,
    /// The hashes that the artifact may have: `blake3:` and 64 hexadecimal digits. Written as one
    /// text, or a list where there is more than one artifact; nothing is checked if empty. That of a
    /// program covers its [command](Runtime::command), too; that of an image is its name and command, and
    /// that of a root folder all that lies in it, and the command.
    #[serde(default, deserialize_with = "one_or_many")]
    pub digest: Vec<String>,
}

impl Artifact {
    /// Refuses an image that can be another one tomorrow.
    fn check_image(&self) -> Result<(), ManifestError> {
        let Some(image) = &self.image else { return Ok(()) };
        let (name, digest) = image.split_once('@').unwrap_or((image, ""));
        let hexadecimal = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        let is_name = starts_well && name.bytes().all(is_of_name);
        if is_name && hexadecimal.len() == 64 && hexadecimal.bytes().all(is_digit) {
            return Ok(());
        }
        Err(ManifestError::Value {
            key: "artifact.image".to_owned(),
            reason: format!(
                "`{}` does not say which image; write its name, `@sha256:` and 64 lower-case \
                 hexadecimal digits, as `podman images --digests` shows them",
                cut(image, 200)
            ),
        })
    }
}

/// The prefix of a digest in `[artifact]`; the hash function is BLAKE3 with 256 bits.
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

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown key, a value of the wrong type or range, or more
    /// configurations, dependencies or entries of a list than [`MAX_CONFIGURATIONS`],
    /// [`MAX_ENTRIES`] and [`MAX_FOLDERS`] allow.
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
        raw.artifact.check_image()?;
        raw.runtime.check_command(&raw.artifact)?;
        at_most("dependencies", raw.dependencies.len(), MAX_ENTRIES)?;
        at_most("artifact.digest", raw.artifact.digest.len(), MAX_ENTRIES)?;
        configurations::check(id, &raw.configurations, raw.config_schema.as_ref())?;
        let permissions = Requests::read(raw.permissions)?;
        let defaults = Frames::default();
        let kinds = |names: Option<Vec<String>>, key: &str, default: Vec<Kind>| match names {
            None => Ok(default),
            Some(names) => {
                at_most(key, names.len(), MAX_ENTRIES)?;
                let kind = |name: &String| {
                    name.parse().map_err(|error: crate::UnknownKind| ManifestError::Value {
                        key: key.to_owned(),
                        reason: error.to_string(),
                    })
                };
                names.iter().map(kind).collect()
            }
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
            config: plain_settings(raw.config),
            config_schema: raw.config_schema,
            configurations: raw.configurations.into_iter().map(configurations::plain).collect(),
        })
    }

    /// The manifest of an artifact without one: it may log, publish measurements and read its
    /// configuration, and nothing else.
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
                version: about::unversioned(),
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
