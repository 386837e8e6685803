use std::path::PathBuf;
use std::time::Duration;

use glovebox_abi::ProtocolVersion;
use glovebox_abi::manifest::{ManifestError, UnknownConfiguration};
use glovebox_events::{LoadStage, Outcome};

use super::{ArtifactKind, Foreign};

/// Why a plugin was not loaded or reloaded: the stage, the problem, what to do, and the file.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {problem}; {}{}", .problem.remedy(), show_path(.path))]
pub struct LoadError {
    stage: LoadStage,
    path: Option<PathBuf>,
    #[source]
    problem: LoadProblem,
}

fn show_path(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| format!(": {}", path.display()))
}

fn show_place(place: &Option<(u64, u64)>) -> String {
    place.map_or_else(String::new, |(line, column)| format!(" in line {line}, column {column}"))
}

impl LoadError {
    pub(crate) fn new(stage: LoadStage, path: Option<PathBuf>, problem: LoadProblem) -> LoadError {
        LoadError { stage, path, problem }
    }

    /// Where loading stopped.
    pub fn stage(&self) -> LoadStage {
        self.stage
    }

    /// What is wrong.
    pub fn problem(&self) -> &LoadProblem {
        &self.problem
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        self.problem.remedy()
    }

    /// The file, if there is one.
    pub fn path(&self) -> Option<&PathBuf> {
        self.path.as_ref()
    }
}

/// What is wrong with a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadProblem {
    /// A file cannot be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// The file is larger than any artifact may be.
    #[error("{size} bytes is larger than an artifact may be ({limit} bytes)")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// A folder or manifest names no artifact that exists.
    #[error("no artifact: {reason}")]
    NoArtifact {
        /// What was looked for.
        reason: String,
    },
    /// The file is something else.
    #[error("this is {}, not a plugin", .found.describe())]
    WrongKind {
        /// What it is.
        found: ArtifactKind,
    },
    /// The file was made for another host.
    #[error(
        "this is {}, made for {}; Glovebox runs plugins of its own bindings only (component world, \
         frame ABI, native table)",
        .0.name(),
        .0.made_for()
    )]
    Foreign(Foreign),
    /// The file is the right thing, but damaged.
    #[error("the {what} is damaged: {reason}")]
    Malformed {
        /// The kind of the file.
        what: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// WebAssembly text that does not follow its grammar.
    #[error("the WebAssembly text is wrong{}: {reason}", show_place(.place))]
    WrongText {
        /// What is wrong.
        reason: String,
        /// Line and column, from 1, if there is one place where it is wrong.
        place: Option<(u64, u64)>,
    },
    /// The file is not the one that its manifest is about.
    #[error("the artifact has the digest {found}, but its manifest says {expected}")]
    Digest {
        /// Digest of the file, as `[artifact]` writes it.
        found: String,
        /// The digest or digests in the manifest.
        expected: String,
    },
    /// The manifest is wrong.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The manifest has no configuration of the name that was asked for.
    #[error("{0}")]
    Configuration(#[from] UnknownConfiguration),
    /// A native library needs trust.
    #[error("a native plugin runs as trusted code inside this process")]
    NativeNotTrusted,
    /// The manifest asks for a place to run that this host does not have.
    #[error("{what} `{name}` is not available in this host")]
    NotAvailable {
        /// `tier` or `isolation`.
        what: &'static str,
        /// What the manifest asks for.
        name: &'static str,
    },
    /// The profile of the host wants the real host services.
    #[error("mock host services are refused in profile `{profile}`")]
    MocksRefused {
        /// Name of the profile.
        profile: String,
    },
    /// The artifact does not fit the contract.
    #[error("{0}")]
    Incompatible(#[from] Incompatible),
    /// It uses a feature of WebAssembly that is off; `glovebox-host` documents which are.
    #[error("the {what} uses {name}, which is off")]
    UnsupportedFeature {
        /// The kind of the file.
        what: &'static str,
        /// The feature, or several.
        name: String,
        /// How to do without.
        remedy: &'static str,
    },
    /// It has more of something than is compiled.
    #[error("{found} {what} are more than the {limit} that an artifact may have")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it has.
        found: u64,
        /// How many it may have.
        limit: u64,
    },
    /// It is valid, but the compiler refuses it.
    #[error("the {what} cannot be compiled: {reason}")]
    NotCompiled {
        /// The kind of the file.
        what: &'static str,
        /// The compiler's message.
        reason: String,
    },
    /// It keeps to no binding of Glovebox, and the compiler refuses it.
    #[error("the {what} is no plugin of Glovebox, and cannot be compiled: {reason}")]
    NoPlugin {
        /// The kind of the file.
        what: &'static str,
        /// The compiler's message.
        reason: String,
    },
    /// Compiling took too long. It goes on in the background, and what comes of it is kept.
    #[error(
        "compiling took longer than {} for {}",
        glovebox_abi::units::show_duration(*.deadline),
        glovebox_abi::units::show_size(*.size)
    )]
    CompileTimeout {
        /// Size of the artifact in bytes.
        size: u64,
        /// How long it may take.
        deadline: Duration,
    },
    /// Somebody cancelled the compile. It goes on in the background, and what comes of it is kept.
    #[error("compiling was cancelled after {}", glovebox_abi::units::show_duration(*.elapsed))]
    CompileCancelled {
        /// How long it was under way.
        elapsed: Duration,
    },
    /// Too many compiles that took too long or were cancelled are still under way.
    #[error(
        "{given_up} compiles that were given up are still under way, and no more than {limit} may be"
    )]
    CompilesStuck {
        /// How many are.
        given_up: usize,
        /// How many may be.
        limit: usize,
    },
    /// The compiler has a bug.
    #[error("the compiler panicked: {message}")]
    CompilerPanicked {
        /// What it says.
        message: String,
    },
    /// The host has a bug, or what the application gave it has.
    #[error("the host panicked: {message}")]
    HostPanicked {
        /// What it says.
        message: String,
    },
    /// A call to the plugin did not complete.
    #[error("the plugin {0}")]
    Call(Outcome),
    /// The plugin does not take the state that was kept for it. The state stays where it is.
    #[error(
        "the plugin {outcome} on its kept state (version {version}), which stays as it was in {}",
        .folder.display()
    )]
    KeptState {
        /// Version of the state.
        version: u32,
        /// What the plugin did with it.
        outcome: Outcome,
        /// Where it is kept.
        folder: PathBuf,
    },
    /// It cannot be given what is granted to it.
    #[error("{reason}")]
    NotGiven {
        /// What, and why.
        reason: String,
    },
    /// The plugin says that it is not well.
    #[error("the plugin says that it is not well: {message} (code {code})")]
    Unhealthy {
        /// The plugin's own code.
        code: u32,
        /// The plugin's own words.
        message: String,
    },
    /// The artifact belongs to another plugin than the instance.
    #[error("the artifact is plugin `{found}`, but this instance runs `{expected}`")]
    OtherPlugin {
        /// Id of the instance's plugin.
        expected: String,
        /// Id in the artifact.
        found: String,
    },
    /// The new version asks for more files, network or environment than was agreed to.
    #[error("the new version asks for more than was agreed to: {asks}")]
    AsksForMore {
        /// Permissions and parameters.
        asks: String,
    },
    /// There is nothing to reload or go back to.
    #[error("there is no {0}")]
    Nothing(&'static str),
}

/// How an artifact does not fit the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// It was built for another version.
    #[error(
        "built for version {found} of the contract, this host has {}",
        ProtocolVersion::CURRENT
    )]
    Version {
        /// The version it was built for.
        found: ProtocolVersion,
    },
    /// It lacks exports.
    #[error("missing export {}", list(.0))]
    MissingExports(Vec<String>),
    /// It wants imports that the contract does not have.
    #[error("unknown import {}", list(.0))]
    UnknownImports(Vec<String>),
    /// An export has another type.
    #[error("an export does not fit: {reason}")]
    Export {
        /// Which, and how.
        reason: String,
    },
    /// A core module was made for the world of components, and not encoded as one.
    #[error("a module of the component world that was not made a component")]
    NotEncoded,
    /// An import has another type.
    #[error("an import does not fit: {reason}")]
    Import {
        /// Which, and how.
        reason: String,
    },
    /// A native table is shorter than the contract's.
    #[error("the native table has {found} bytes, expected {expected}")]
    TableSize {
        /// Size in the library.
        found: usize,
        /// Size in this host.
        expected: usize,
    },
    /// A library for another machine.
    #[error("built for {found}, this host runs on {expected}")]
    Machine {
        /// What the library is for.
        found: String,
        /// What this host is.
        expected: String,
    },
}

/// The first few names, each cut to a length that fits a sentence, and how many more there are: an
/// artifact may name a million of them.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| shorten(name)).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// At most 200 characters of a text that an artifact chose, with `…` where something is left out.
pub(crate) fn shorten(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl LoadProblem {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            LoadProblem::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                "check the path"
            }
            LoadProblem::Io(_) => "check the file and its rights",
            LoadProblem::TooLarge { .. } => "strip debug information and build for release",
            LoadProblem::NoArtifact { .. } => {
                "build the plugin with `glovebox build`, or name the file itself"
            }
            LoadProblem::WrongKind { found } => found.remedy(),
            LoadProblem::Foreign(foreign) => foreign.remedy(),
            LoadProblem::Malformed { .. } => "copy or build the file again",
            LoadProblem::WrongText { .. } => "correct it there",
            LoadProblem::NoPlugin { .. } => {
                "Glovebox runs components of the world `glovebox:plugin` and modules of the frame ABI: \
                 build it as one (see README, \"Write your own plugin\")"
            }
            LoadProblem::Digest { .. } => {
                "copy the artifact again, or write its digest under [artifact] in plugin.toml"
            }
            LoadProblem::Manifest(_) => "correct plugin.toml",
            LoadProblem::Configuration(_) => {
                "name one that is there, or add [configurations.NAME] to plugin.toml"
            }
            LoadProblem::NativeNotTrusted => {
                "if you trust its author, load it again with trust (--trust-native)"
            }
            LoadProblem::MocksRefused { .. } => {
                "load it without the mock, or in the profile `development`"
            }
            LoadProblem::NotAvailable { .. } => "remove the key from [runtime] in plugin.toml",
            LoadProblem::Incompatible(Incompatible::Version { .. }) => {
                "build it with an SDK of this version"
            }
            LoadProblem::Incompatible(Incompatible::MissingExports(_)) => {
                "use the SDK's `export!` macro, or see the documentation of the binding; what was \
                 made for another host does not run here"
            }
            LoadProblem::Incompatible(Incompatible::NotEncoded) => {
                "encode it with `glovebox build` or `wasm-tools component new`"
            }
            LoadProblem::Incompatible(Incompatible::Machine { .. }) => {
                "build it for this machine, or as wasm"
            }
            LoadProblem::Incompatible(_) => "build it with the SDK, against this version's world",
            LoadProblem::UnsupportedFeature { remedy, .. } => remedy,
            LoadProblem::TooMany { .. } => {
                "leave out what it does not use, or make several plugins of it"
            }
            LoadProblem::NotCompiled { .. } => {
                "leave out what the reason names, or build it with another version of its compiler"
            }
            LoadProblem::CompileTimeout { .. } => {
                "allow more time with --compile-deadline or `compile-deadline` under [runtime] in \
                 plugin.toml, or load it again later: the compiler goes on in the background. If \
                 the file is small, one of its functions is too complex"
            }
            LoadProblem::CompileCancelled { .. } => {
                "load it again; the compiler goes on in the background, and what it has done then \
                 counts"
            }
            LoadProblem::CompilesStuck { .. } => {
                "wait until they are done, or end the program and load what compiles in time"
            }
            LoadProblem::CompilerPanicked { .. } => {
                "this is a bug of the engine, not of the plugin: build it with other options, and \
                 report it"
            }
            LoadProblem::HostPanicked { .. } => {
                "this is a bug of the host or of what the application gave it, not of the plugin: \
                 report it"
            }
            LoadProblem::Call(Outcome::LimitExceeded { limit, .. }) => {
                return format!("raise `{limit}` under [limits] in plugin.toml, or use less");
            }
            LoadProblem::Call(Outcome::TimedOut { .. }) => {
                "do less before the first frame, or raise `start-deadline` under [lifecycle]"
            }
            LoadProblem::KeptState { .. } => {
                "load a plugin that can migrate it, or move the folder away"
            }
            LoadProblem::NotGiven { .. } => {
                "make it available, or change [permissions] or the policy"
            }
            LoadProblem::Call(_) => "see the log of the plugin",
            LoadProblem::Unhealthy { .. } => "see what the plugin checks in `health`",
            LoadProblem::OtherPlugin { .. } => "load it as a plugin of its own",
            LoadProblem::AsksForMore { .. } => {
                "allow or deny it; until then the version before goes on"
            }
            LoadProblem::Nothing(_) => "load a plugin first",
        }
        .to_owned()
    }
}
