use glovebox_events::{LoadStage, Outcome};

use super::{Incompatible, LoadProblem, StageError};

impl LoadProblem {
    /// The problem with the stage at which it came up.
    pub(crate) fn at(self, stage: LoadStage) -> StageError {
        StageError { stage, problem: self }
    }

    /// The remedy.
    pub fn remedy(&self) -> String {
        match self {
            LoadProblem::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                "check the path"
            }
            LoadProblem::Io(_) => "check the file and its rights",
            LoadProblem::Unsteady => "load it again when whoever writes it is done",
            LoadProblem::TooLarge { .. } => "strip debug information and build for release",
            LoadProblem::TextTooLarge { .. } => "make it shorter",
            LoadProblem::NotUtf8 { .. } => "save it as UTF-8",
            LoadProblem::NoArtifact { .. } => {
                "build the plugin with `glovebox build`, or name the file itself"
            }
            LoadProblem::WrongKind { found } => found.remedy(),
            LoadProblem::Foreign(foreign) => foreign.remedy(),
            LoadProblem::LeadsOut { .. } => {
                "put the program itself into that folder: the plugin reads it, without any permission"
            }
            LoadProblem::Malformed { .. } => "copy or build the file again",
            LoadProblem::WrongText { place: Some(_), .. } => "correct it there",
            LoadProblem::WrongText { place: None, .. } => "correct it",
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
            LoadProblem::Limit(_) => "correct the limits of the request to load it",
            LoadProblem::NativeNotTrusted => {
                "load it in a sandboxed process of its own (--isolation process); or, if you trust \
                 its author, with trust (--trust-native)"
            }
            LoadProblem::LayersMissing { is_asked: true, .. } => {
                "accept it (--accept-missing-layers), or do what helps; `glovebox doctor` tries each layer"
            }
            LoadProblem::LayersMissing { is_asked: false, .. } => {
                "do what helps, which `glovebox doctor` says, or change `missing-layers` under [sandbox] \
                 of the policy"
            }
            LoadProblem::ContainerNotAccepted { .. } => {
                "accept it (--accept-container): an engine of this machine then starts it"
            }
            LoadProblem::NoWorker { remedy, .. }
            | LoadProblem::NoContainer { remedy, .. }
            | LoadProblem::NotOpened { remedy, .. } => remedy,
            LoadProblem::TrialEnded { .. } => {
                "mend what the library does when it is opened. If it needs files, variables or \
                 network for that, which a trial does not have, load it with --skip-trial"
            }
            LoadProblem::MocksRefused { .. } => {
                "load it without the mock, or in the profile `development`"
            }
            LoadProblem::NotAvailable { .. } => {
                "remove the key from [runtime] in plugin.toml, or load it without --isolation"
            }
            LoadProblem::Incompatible(Incompatible::Version { .. }) => {
                "build it with an SDK of this version"
            }
            LoadProblem::Incompatible(Incompatible::MissingExports(_)) => {
                "use the SDK's `export!` macro, or see the documentation of the binding; what was \
                 made for another host does not run here"
            }
            LoadProblem::Incompatible(Incompatible::MissingFunctions { .. }) => {
                "run it in the application that gives it (`HostBuilder::function`), or script it: \
                 `[[function]]` in the file of --mock"
            }
            LoadProblem::Incompatible(Incompatible::NotEncoded) => {
                "run `wasm-tools component new`, with `--adapt` and the adapter of Wasmtime if it \
                 imports wasi_snapshot_preview1, or build it with `glovebox build`"
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
            LoadProblem::CompileTimeout { goes_on: true, .. } => {
                "allow more time with --compile-deadline or `compile-deadline` under [runtime] in \
                 plugin.toml, or load it again later: the compiler goes on in the background. If \
                 the file is small, one of its functions is too complex"
            }
            LoadProblem::CompileTimeout { goes_on: false, .. } => {
                "allow more time with --compile-deadline or `compile-deadline` under [runtime] in \
                 plugin.toml. If the file is small, one of its functions is too complex"
            }
            LoadProblem::CompileCancelled { goes_on: true, .. } => {
                "load it again; the compiler goes on in the background, and what it has done then \
                 counts"
            }
            LoadProblem::CompileCancelled { goes_on: false, .. } | LoadProblem::Cancelled { .. } => {
                "load it again"
            }
            LoadProblem::CompileMemory { .. } => {
                "allow more memory with --compile-memory or `compile-memory` under [runtime] in \
                 plugin.toml. If the file is small, one of its functions is too complex"
            }
            LoadProblem::CompilesStuck { .. } => {
                "wait until they are done, or end the program and load what compiles in time"
            }
            LoadProblem::CompilerPanicked { .. } | LoadProblem::CompilerCrashed { .. } => {
                "this is a bug of the engine, not of the plugin: build it with other options, and \
                 report it"
            }
            LoadProblem::HostPanicked { .. } => {
                "this is a bug of the host or of what the application gave it, not of the plugin: \
                 report it"
            }
            LoadProblem::AtCeiling(Outcome::LimitExceeded { limit, .. }) => {
                return format!(
                    "use less, or raise the ceiling of the host: `{limit}` under [ceilings] of the \
                     policy, and then under [limits] in plugin.toml"
                );
            }
            LoadProblem::AtCeiling(_) => {
                "do less before the first frame, or raise the ceiling of the host: `step-deadline` \
                 under [ceilings] of the policy, and then `start-deadline` under [lifecycle]"
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
            LoadProblem::KeptStateUnread { .. } => {
                "make it readable again; or move the folder away, and the plugin starts without a state"
            }
            LoadProblem::NotDrained { .. } => {
                "cancel the call, or raise `drain-deadline` under [swap] of the policy"
            }
            LoadProblem::Probe { .. } => {
                "correct the plugin, or the probes under [swap] of the policy"
            }
            LoadProblem::Older { is_asked: true, .. } => {
                "accept it if that is meant; until then the version before goes on"
            }
            LoadProblem::Older { is_asked: false, .. } => {
                "raise its version, or change `older` under [swap] of the policy"
            }
            LoadProblem::NotKept { .. } => {
                "go back to one that is, or raise `keep` under [swap] of the policy"
            }
            LoadProblem::FromInside => {
                "reload it once that is over, and do not wait for it in there"
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
            LoadProblem::ShutDown => "build another host for it",
            LoadProblem::Nothing(_) => "load a plugin first",
        }
        .to_owned()
    }
}
