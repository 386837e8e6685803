//! `[runtime]`: the tier of a plugin, its isolation, its copies.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use super::error::at_most;
use super::limits::Size;
use super::{Artifact, MAX_ENTRIES, ManifestError};
use crate::text::cut;

/// How a plugin wants to run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// The tier that executes it.
    pub tier: Option<Tier>,
    /// Where it runs.
    pub isolation: Option<Isolation>,
    /// The engine that runs its containers, unless a policy names one; the first that this machine has if
    /// absent.
    pub engine: Option<EngineName>,
    /// The words that a program is started with, before its own path: an interpreter by its whole
    /// path, and its options. Empty for a program that the system can run by itself. Of a root folder, the
    /// command in it; of an image as well, if that is not to be its own.
    pub command: Vec<String>,
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
    /// How long it may take to open a native library for the first time, or to start the first container of
    /// an engine, more than 0 s; unless given, 5 s.
    #[serde(rename = "load-deadline", deserialize_with = "some_duration")]
    pub load_deadline: Option<Duration>,
    /// How many bytes of memory compiling it may take, if the host allows as much; by the size of the
    /// artifact if absent.
    #[serde(rename = "compile-memory", deserialize_with = "some_memory")]
    pub compile_memory: Option<u64>,
    /// The compiler of a plugin in WebAssembly; by the size of the artifact if absent.
    pub compiler: Option<Compiler>,
    /// The function of a plugin made for another host that a frame calls whose header names none.
    pub function: Option<String>,
}

/// The least memory that the compiler can work with, in bytes.
pub const MIN_COMPILE_MEMORY: u64 = 64 << 20;

impl Default for Runtime {
    fn default() -> Self {
        Runtime {
            tier: None,
            isolation: None,
            engine: None,
            command: Vec::new(),
            instances: 1,
            deterministic: false,
            seed: None,
            compile_deadline: None,
            load_deadline: None,
            compile_memory: None,
            compiler: None,
            function: None,
        }
    }
}

impl Runtime {
    /// Refuses a command that starts nothing, and a root folder without one.
    pub(super) fn check_command(&self, artifact: &Artifact) -> Result<(), ManifestError> {
        let others = [&artifact.program, &artifact.image];
        if artifact.rootfs.is_some() && others.iter().any(|other| other.is_some()) {
            let reason =
                "stands beside `program` or `image`; name the one that is to run".to_owned();
            return Err(ManifestError::Value { key: "artifact.rootfs".to_owned(), reason });
        }
        let Some(first) = self.command.first() else {
            return match &artifact.rootfs {
                None => Ok(()),
                Some(_) => Err(ManifestError::Value {
                    key: "artifact.rootfs".to_owned(),
                    reason: "says what there is, and nothing what to run; write `command = [\"/bin/…\"]` \
                             under [runtime], by its path in there"
                        .to_owned(),
                }),
            };
        };
        at_most("runtime.command", self.command.len(), MAX_ENTRIES)?;
        let kinds = [&artifact.program, &artifact.rootfs, &artifact.image];
        let reason = if kinds.iter().all(|kind| kind.is_none()) {
            "has no effect without `program`, `rootfs` or `image` under [artifact]".to_owned()
        } else if !first.starts_with('/') {
            let first = cut(first, 80);
            format!("`{first}` is no whole path; write where it lies, such as \"/usr/bin/python3\"")
        } else if self.command.iter().any(|word| word.contains('\0')) {
            "a word with a zero byte cannot be given to a program".to_owned()
        } else {
            return Ok(());
        };
        Err(ManifestError::Value { key: "runtime.command".to_owned(), reason })
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

fn some_memory<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let bytes = match Size::deserialize(from)? {
        Size::Bytes(bytes) => bytes,
        Size::Text(text) => crate::units::parse_size(&text).map_err(D::Error::custom)?,
    };
    if bytes < MIN_COMPILE_MEMORY {
        let least = crate::units::show_size(MIN_COMPILE_MEMORY);
        return Err(D::Error::custom(format!("must be {least} at least")));
    }
    Ok(Some(bytes))
}

/// The tier that executes a plugin.
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

/// An engine that runs containers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum EngineName {
    /// Podman: images and root folders.
    Podman,
    /// Docker: images.
    Docker,
    /// Bubblewrap: root folders, and programs with those of the system.
    Bubblewrap,
}

impl EngineName {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [EngineName; 3] =
        [EngineName::Podman, EngineName::Docker, EngineName::Bubblewrap];

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            EngineName::Podman => "podman",
            EngineName::Docker => "docker",
            EngineName::Bubblewrap => "bubblewrap",
        }
    }
}

/// A text that names no engine of containers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no engine of containers; use podman, docker or bubblewrap")]
pub struct UnknownEngine(pub String);

impl std::str::FromStr for EngineName {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<EngineName, UnknownEngine> {
        let found = EngineName::ALL.into_iter().find(|engine| engine.name() == text);
        found.ok_or_else(|| UnknownEngine(cut(text, 80).to_string()))
    }
}

/// The compiler of a plugin in WebAssembly: one takes a quarter of the time, and the code of the other
/// is up to half as fast again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compiler {
    /// [`QuickFirst`](Self::QuickFirst) for a large artifact, else [`Optimising`](Self::Optimising).
    #[default]
    Auto,
    /// The optimising one.
    Optimising,
    /// The quick one.
    Quick,
    /// The quick one to begin with; the code of the optimising one takes over as soon as it is there.
    QuickFirst,
}

impl Compiler {
    /// All of them.
    pub const ALL: &[Compiler] =
        &[Compiler::Auto, Compiler::Optimising, Compiler::Quick, Compiler::QuickFirst];

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Compiler::Auto => "auto",
            Compiler::Optimising => "optimising",
            Compiler::Quick => "quick",
            Compiler::QuickFirst => "quick-first",
        }
    }
}
