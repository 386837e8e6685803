//! The reasons why a plugin was not loaded: the stage, the problem, and the remedy.
//!
//! Every step from the file to a running copy refuses with a [`LoadProblem`], so it stands below all of
//! them, together with what it names: [`ArtifactKind`] and [`Foreign`].

mod artifact;
mod foreign;
mod origin;
mod remedy;

use std::path::{Path, PathBuf};
use std::time::Duration;

use glovebox_abi::ProtocolVersion;
use glovebox_abi::manifest::{LimitError, ManifestError, UnknownConfiguration};
use glovebox_events::{LoadStage, Outcome};

pub use artifact::ArtifactKind;
pub use foreign::Foreign;
pub use origin::Origin;

use crate::task::Lost;

/// Why a plugin was not loaded or reloaded: the stage, the problem, what to do, and where the plugin
/// comes from.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {problem}; {}{}", .problem.remedy(), show_origin(.origin))]
pub struct LoadError {
    stage: LoadStage,
    origin: Option<Origin>,
    #[source]
    problem: LoadProblem,
}

fn show_origin(origin: &Option<Origin>) -> String {
    origin.as_ref().map_or_else(String::new, |origin| format!(": {origin}"))
}

fn show_kept(kept: &[u32]) -> String {
    let kept: Vec<String> = kept.iter().map(u32::to_string).collect();
    match kept.is_empty() {
        true => ", nor is any other".to_owned(),
        false => format!(", but {}", kept.join(", ")),
    }
}

fn show_place(place: &Option<(u64, u64)>) -> String {
    place.map_or_else(String::new, |(line, column)| format!(" in line {line}, column {column}"))
}

impl LoadError {
    /// A problem at a stage, with where the plugin comes from if that is known.
    pub fn new(stage: LoadStage, origin: Option<Origin>, problem: LoadProblem) -> LoadError {
        LoadError { stage, origin, problem }
    }

    /// Where loading stopped.
    pub fn stage(&self) -> LoadStage {
        self.stage
    }

    /// The problem.
    pub fn problem(&self) -> &LoadProblem {
        &self.problem
    }

    /// The remedy.
    pub fn remedy(&self) -> String {
        self.problem.remedy()
    }

    /// The file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.origin.as_ref()?.path()
    }

    /// Where the plugin comes from, if that is known.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl Lost for LoadError {
    fn lost(message: String) -> LoadError {
        // Where it happened is not known: the steps of a plugin catch their own.
        LoadError::new(LoadStage::Read, None, LoadProblem::HostPanicked { message })
    }
}

/// A problem of a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadProblem {
    /// A file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file was written while it was read.
    #[error("the file changed while it was read")]
    Unsteady,
    /// The file is larger than any artifact may be.
    #[error("{size} bytes is larger than an artifact may be ({limit} bytes)")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// A text about the plugin is larger than any may be.
    #[error("the {what} has {size} bytes, and may have {limit}")]
    TextTooLarge {
        /// The kind of text.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// A text about the plugin has another encoding.
    #[error("the {what} is no text in UTF-8: {reason}")]
    NotUtf8 {
        /// The kind of text.
        what: &'static str,
        /// The place or the encoding that tells.
        reason: String,
    },
    /// A folder or manifest names no artifact that exists.
    #[error("no artifact: {reason}")]
    NoArtifact {
        /// The artifact that was looked for.
        reason: String,
    },
    /// The file is something else.
    #[error("this is {}, not a plugin", .found.describe())]
    WrongKind {
        /// The kind of the file.
        found: ArtifactKind,
    },
    /// The file was made for another host.
    #[error(
        "this is {}, made for {}, for which Glovebox has no adapter",
        .0.name(),
        .0.made_for()
    )]
    Foreign(Foreign),
    /// The file is the right thing, but damaged.
    #[error("the {what} is damaged: {reason}")]
    Malformed {
        /// The kind of the file.
        what: &'static str,
        /// The error, and its place.
        reason: String,
    },
    /// WebAssembly text that does not follow its grammar.
    #[error("the WebAssembly text is wrong{}: {reason}", show_place(.place))]
    WrongText {
        /// The error.
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
    /// The request has a limit that makes no sense.
    #[error("{0}")]
    Limit(#[from] LimitError),
    /// A native library needs trust.
    #[error("a native plugin runs as trusted code inside this process")]
    NativeNotTrusted,
    /// The manifest asks for a place to run that this host does not have.
    #[error("{what} `{name}` is not available in this host")]
    NotAvailable {
        /// `tier` or `isolation`.
        what: &'static str,
        /// The name in the manifest.
        name: &'static str,
    },
    /// A plugin that is to run in a process of its own cannot have one with a good enough sandbox.
    #[error("there is no sandboxed process for it: {reason}")]
    NoWorker {
        /// The obstacle.
        reason: String,
        /// The remedy.
        remedy: String,
    },
    /// A plugin in a container needs a person's decision.
    #[error("it runs in a container of {of}, which nobody accepted")]
    ContainerNotAccepted {
        /// The image, root folder or program.
        of: String,
    },
    /// There is no container for a plugin that needs one.
    #[error("there is no container for it: {reason}")]
    NoContainer {
        /// The obstacle.
        reason: String,
        /// The remedy.
        remedy: String,
    },
    /// The sandbox of its processes lacks layers, and the policy does not let it run so.
    #[error("its sandbox lacks layers: {}", .layers.join(", "))]
    LayersMissing {
        /// Each of them, and why.
        layers: Vec<String>,
        /// True if it is enough that somebody accepts it.
        is_asked: bool,
    },
    /// The program or root folder of a plugin is not in its folder.
    #[error("`{key} = \"{name}\"` leads out of the folder of plugin.toml")]
    LeadsOut {
        /// `program` or `rootfs`.
        key: &'static str,
        /// As it stands in the manifest.
        name: String,
    },
    /// A library ended the process in which it was opened for the first time.
    #[error("opening it in a trial process failed: {cause}")]
    TrialEnded {
        /// How the process ended.
        cause: String,
    },
    /// A library was not opened in the process that tried it.
    #[error("{reason}")]
    NotOpened {
        /// The problem.
        reason: String,
        /// The remedy.
        remedy: String,
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
    /// Compiling took too long.
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
        /// True if it goes on in the background, and what comes of it is kept: it was in this process,
        /// where nothing can end it.
        goes_on: bool,
    },
    /// Somebody cancelled the load.
    #[error("the load was cancelled after {}", glovebox_abi::units::show_duration(*.elapsed))]
    Cancelled {
        /// How long it was under way.
        elapsed: Duration,
    },
    /// Somebody cancelled the compile.
    #[error("compiling was cancelled after {}", glovebox_abi::units::show_duration(*.elapsed))]
    CompileCancelled {
        /// How long it was under way.
        elapsed: Duration,
        /// True if it goes on in the background, as above.
        goes_on: bool,
    },
    /// The compiler used up its memory.
    #[error(
        "the compiler needed more than {} of memory for {}",
        glovebox_abi::units::show_size(*.allowed),
        glovebox_abi::units::show_size(*.size)
    )]
    CompileMemory {
        /// Size of the artifact in bytes.
        size: u64,
        /// Bytes of memory that it may use.
        allowed: u64,
    },
    /// The process of the compiler ended before it gave any code.
    #[error("the compiler crashed: {cause}")]
    CompilerCrashed {
        /// How it ended.
        cause: String,
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
        /// The message of the panic.
        message: String,
    },
    /// The host has a bug, or what the application gave it has.
    #[error("the host panicked: {message}")]
    HostPanicked {
        /// The message of the panic.
        message: String,
    },
    /// A call to the plugin did not complete.
    #[error("the plugin {0}")]
    Call(Outcome),
    /// A call to the plugin did not complete, at a limit that the ceiling of the host holds down.
    #[error("the plugin {0}")]
    AtCeiling(Outcome),
    /// The plugin does not take the state that was kept for it. The state stays where it is.
    #[error(
        "the plugin {outcome} on its kept state (version {version}), which stays as it was in {}",
        .folder.display()
    )]
    KeptState {
        /// Version of the state.
        version: u32,
        /// The outcome of restoring it.
        outcome: Outcome,
        /// Where it is kept.
        folder: PathBuf,
    },
    /// The states that were kept for it cannot be read. They stay where they are.
    #[error("its kept states cannot be read: {source}: {}", .path.display())]
    KeptStateUnread {
        /// The error of the operating system.
        source: std::io::Error,
        /// The folder or file.
        path: PathBuf,
    },
    /// It cannot be given what is granted to it.
    #[error("{reason}")]
    NotGiven {
        /// The grant, and the reason.
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
    /// The host ends, or has ended.
    #[error("the host is shut down")]
    ShutDown,
    /// The reload comes from inside of a call or a reload of the same instance, on the same thread.
    #[error(
        "the plugin is at work on this thread, and a reload from in there would wait for itself"
    )]
    FromInside,
    /// Calls of the generation that runs did not end in time for the next one.
    #[error(
        "a call of the generation that runs did not end within {}",
        glovebox_abi::units::show_duration(*.deadline)
    )]
    NotDrained {
        /// How long it was waited for.
        deadline: Duration,
    },
    /// A probe frame was not answered as it must be.
    #[error("the probe `{probe}` failed: {reason}")]
    Probe {
        /// Its name.
        probe: String,
        /// The difference.
        reason: String,
    },
    /// The version is older than the one that runs.
    #[error("version {found} is older than {runs}, which runs")]
    Older {
        /// The version of the artifact.
        found: String,
        /// The running one.
        runs: String,
        /// True if it waits for somebody to accept it.
        is_asked: bool,
    },
    /// A generation to go back to is not kept.
    #[error("generation {asked} is not kept{}", show_kept(.kept))]
    NotKept {
        /// The generation that was asked for.
        asked: u32,
        /// Those that are kept.
        kept: Vec<u32>,
    },
    /// There is nothing to reload or go back to.
    #[error("there is no {0}")]
    Nothing(&'static str),
}

/// A problem and the stage at which it came up, before anybody says which file it is about.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {problem}")]
pub(crate) struct StageError {
    pub(crate) stage: LoadStage,
    #[source]
    pub(crate) problem: LoadProblem,
}

impl StageError {
    /// The same with where the plugin comes from.
    pub(crate) fn about(self, origin: Origin) -> LoadError {
        LoadError::new(self.stage, Some(origin), self.problem)
    }
}

/// How an artifact does not fit the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// It wants functions that the application does not give.
    #[error(
        "the application gives no function {}{}",
        list(.missing),
        given_instead(.given)
    )]
    MissingFunctions {
        /// Those that are missing.
        missing: Vec<String>,
        /// Those that the application gives.
        given: Vec<String>,
    },
    /// An export has another type.
    #[error("an export does not fit: {reason}")]
    Export {
        /// Which, and how.
        reason: String,
    },
    /// A core module was made for the world of components, and not encoded as one.
    #[error("this core module was built for the component world, and not made a component")]
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
        /// The machine that the library is for.
        found: String,
        /// The machine of this host.
        expected: String,
    },
}

fn given_instead(given: &[String]) -> String {
    match given {
        [] => String::new(),
        given => format!("; it gives {}", list(given)),
    }
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
