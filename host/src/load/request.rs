use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::manifest::{Compiler, Isolation, LimitChanges};
use glovebox_abi::{Manifest, Permission, Plugin, Requests};
use glovebox_events::Binding;

use super::Source;
use crate::backend::has_workers;
use crate::policy::Decided;
use crate::services::{Answers, Mock};

/// A request to load a plugin, and how.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    pub(crate) source: Source,
    pub(crate) trust_native: bool,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) accepts_missing_layers: bool,
    pub(crate) accepts_container: bool,
    pub(crate) config: Option<serde_json::Value>,
    pub(crate) configuration: Option<String>,
    pub(crate) lazy: bool,
    pub(crate) permissions: Option<Requests>,
    pub(crate) seed: Option<u64>,
    pub(crate) mock: Option<Arc<Mock>>,
    pub(crate) answers: Option<Arc<dyn Answers>>,
    pub(crate) limits: LimitChanges,
    pub(crate) compile_deadline: Option<Duration>,
    pub(crate) compile_memory: Option<u64>,
    pub(crate) load_deadline: Option<Duration>,
    pub(crate) compiler: Option<Compiler>,
    pub(crate) one_compiler: bool,
    pub(crate) skip_trial: bool,
    /// The decisions about the instance that this is a copy of.
    pub(crate) decisions: Option<BTreeMap<Permission, Decided>>,
}

impl LoadRequest {
    /// An artifact, a `plugin.toml`, or a folder with one.
    pub fn path(path: impl Into<PathBuf>) -> LoadRequest {
        LoadRequest::of(Source::path(path))
    }

    /// An artifact in memory; see [`Source::bytes`].
    pub fn bytes(name: impl Into<Arc<str>>, bytes: impl Into<Bytes>) -> LoadRequest {
        LoadRequest::of(Source::bytes(name, bytes))
    }

    /// A plugin that is part of the application. `make` is called once for each copy.
    pub fn core(
        manifest: Manifest,
        make: impl Fn() -> Box<dyn Plugin> + Send + Sync + 'static,
    ) -> LoadRequest {
        LoadRequest::of(Source::core(manifest, make))
    }

    /// The plugin of a source.
    pub fn of(source: Source) -> LoadRequest {
        LoadRequest {
            source,
            trust_native: false,
            isolation: None,
            accepts_missing_layers: false,
            accepts_container: false,
            config: None,
            configuration: None,
            lazy: false,
            permissions: None,
            seed: None,
            mock: None,
            answers: None,
            limits: LimitChanges::default(),
            compile_deadline: None,
            compile_memory: None,
            load_deadline: None,
            compiler: None,
            one_compiler: false,
            skip_trial: false,
            decisions: None,
        }
    }

    /// The options of `glovebox call` that load a plugin in the same way, but for its configuration.
    pub(crate) fn options(&self) -> Vec<String> {
        let with_value = |name: &str, value: Option<String>| {
            value.map(|value| [format!("--{name}"), value]).into_iter().flatten()
        };
        let alone = |name: &str, is_on: bool| is_on.then(|| format!("--{name}"));
        with_value("configuration", self.configuration.clone())
            .chain(with_value("seed", self.seed.map(|seed| seed.to_string())))
            .chain(with_value("isolation", self.isolation.map(|place| place.name().to_owned())))
            .chain(alone("trust-native", self.trust_native))
            .chain(alone("accept-missing-layers", self.accepts_missing_layers))
            .chain(alone("accept-container", self.accepts_container))
            .chain(alone("skip-trial", self.skip_trial))
            .collect()
    }

    /// The same of another source.
    /// The same with this mock, if it has one from the same file.
    pub(crate) fn with_mock_of_file(&self, mock: &Arc<Mock>) -> LoadRequest {
        let mut request = self.clone();
        if request.mock.as_ref().is_some_and(|before| before.file() == mock.file()) {
            request.mock = Some(mock.clone());
        }
        request
    }

    pub(crate) fn with_source(&self, source: Source) -> LoadRequest {
        LoadRequest { source, ..self.clone() }
    }

    /// A manifest that holds in place of the one inside the artifact, or beside it.
    #[must_use]
    pub fn manifest(mut self, manifest: Manifest) -> LoadRequest {
        self.source = self.source.manifest(manifest);
        self
    }

    /// Takes these for what the plugin asks for, in place of the manifest's `[permissions]`: to try
    /// what it needs.
    #[must_use]
    pub fn permissions(mut self, permissions: Requests) -> LoadRequest {
        self.permissions = Some(permissions);
        self
    }

    /// Only reads the file and its manifest now; compiles and starts the plugin when it gets its
    /// first frame. A failure then is the outcome of that frame. No effect on core plugins, which
    /// have no file.
    #[must_use]
    pub fn lazy(mut self) -> LoadRequest {
        self.lazy = true;
        self
    }

    /// Allows a native plugin to run in this process, where it can do whatever the process can. It does
    /// so unless its manifest or [`isolation`](Self::isolation) names another place.
    #[must_use]
    pub fn trust_native(mut self) -> LoadRequest {
        self.trust_native = true;
        self
    }

    /// Where the plugin runs, instead of what its manifest says. With [`Isolation::Process`], each copy
    /// of a native plugin has a sandboxed process of its own; so it has if nobody says anything, on
    /// Linux and in a program whose `main` begins with
    /// [`worker::run_if_requested`](crate::worker::run_if_requested). [`Isolation::InProcess`] needs
    /// [`trust_native`](Self::trust_native) for a native plugin. A place that this host does not have
    /// is a load error of the stage *policy*.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> LoadRequest {
        self.isolation = Some(isolation);
        self
    }

    /// Lets a native plugin run in a sandbox that lacks layers about which the policy asks
    /// ([`MissingLayers::Ask`](crate::MissingLayers::Ask)).
    #[must_use]
    pub fn accept_missing_layers(mut self) -> LoadRequest {
        self.accepts_missing_layers = true;
        self
    }

    /// Lets a plugin in a container run: an engine is asked to start its image, its root folder or its program.
    /// That, its command and the rights of its folders are in its manifest and status.
    #[must_use]
    pub fn accept_container(mut self) -> LoadRequest {
        self.accepts_container = true;
        self
    }

    /// The same without trust, in a process of its own.
    pub(crate) fn distrusted(mut self) -> LoadRequest {
        self.trust_native = false;
        self.isolation(Isolation::Process)
    }

    /// The place where it is to run.
    pub(crate) fn isolation_of(&self, manifest: &Manifest, binding: Binding) -> Isolation {
        let said = self.isolation.or(manifest.runtime.isolation);
        said.unwrap_or(match binding {
            Binding::Native if !self.trust_native && has_workers() => Isolation::Process,
            Binding::Framed if manifest.artifact.program.is_none() => Isolation::Container,
            Binding::Framed => Isolation::Process,
            _ => Isolation::InProcess,
        })
    }

    /// Makes runs repeat, whatever the manifest says: the same frames give the same bytes each time,
    /// in one copy of a WebAssembly plugin. Its clock begins at a fixed time and goes on by 1 ms a
    /// frame and 1 µs a look, and random bytes come from `seed`. A native plugin is refused, because
    /// nobody can promise it for machine code; of a core plugin only time and chance are made up.
    #[must_use]
    pub fn deterministic(mut self, seed: u64) -> LoadRequest {
        self.seed = Some(seed);
        self
    }

    /// The seed of a run that must repeat; `None` of any other.
    pub(crate) fn seed(&self, manifest: &Manifest) -> Option<u64> {
        let runtime = &manifest.runtime;
        self.seed.or_else(|| runtime.deterministic.then(|| runtime.seed.unwrap_or(0)))
    }

    /// One of the named configurations of the manifest: the instance runs with its keys over those
    /// of `[config]`, and under the plugin's id, `-`, and the name. A name that the manifest does
    /// not have is a load error that lists those it has.
    #[must_use]
    pub fn configuration(mut self, name: impl Into<String>) -> LoadRequest {
        self.configuration = Some(name.into());
        self
    }

    /// A configuration, merged over the manifest's and the named one's: its keys win.
    #[must_use]
    pub fn config(mut self, config: serde_json::Value) -> LoadRequest {
        self.config = Some(config);
        self
    }

    /// Host services for this instance alone, as a script says, instead of those of the host.
    #[must_use]
    pub fn mock(mut self, mock: Arc<Mock>) -> LoadRequest {
        self.mock = Some(mock);
        self
    }

    /// Answers for this instance alone, in front of its mock. A profile that refuses mocks refuses
    /// them too.
    #[must_use]
    pub fn answers(mut self, answers: Arc<dyn Answers>) -> LoadRequest {
        self.answers = Some(answers);
        self
    }

    /// How long compiling the artifact may take, instead of what its size, its manifest and the host
    /// say. Other loads of the same artifact have their own.
    #[must_use]
    pub fn compile_deadline(mut self, deadline: Duration) -> LoadRequest {
        self.compile_deadline = Some(deadline);
        self
    }

    /// How many bytes of memory compiling the artifact may take, from 64 MiB, instead of what its size,
    /// its manifest and the host say. It counts where the compiler has a process of its own.
    #[must_use]
    pub fn compile_memory(mut self, bytes: u64) -> LoadRequest {
        self.compile_memory = Some(bytes);
        self
    }

    /// How long it may take to open a native library for the first time, which is done in a throw-away
    /// process, and to start the first container of an engine, instead of what its manifest says and of 5 s.
    #[must_use]
    pub fn load_deadline(mut self, deadline: Duration) -> LoadRequest {
        self.load_deadline = Some(deadline);
        self
    }

    /// The compiler of a plugin in WebAssembly, instead of what its manifest says. With
    /// [`Compiler::QuickFirst`], as by itself for an artifact from 2 MiB that nobody compiled before, it
    /// runs what the quick one made until the code of the optimising one is there, which takes over as a
    /// [reload](crate::Host::reload) does: between two calls, with a copy of its state. A plugin that gives
    /// none has the better code from its next start on: after a restart or a failure, a reload, or the next load.
    /// [`PluginStatus::compiler`](crate::PluginStatus::compiler) says which it was. A plugin of which work
    /// is counted begins quick only if it is told to.
    #[must_use]
    pub fn compiler(mut self, compiler: Compiler) -> LoadRequest {
        self.compiler = Some(compiler);
        self
    }

    /// Has all code made by the optimising compiler, where nobody chooses: for runs that are compared. Code
    /// that another takes over from is slower, and the depth at which a recursion traps differs.
    #[must_use]
    pub fn one_compiler(mut self) -> LoadRequest {
        self.one_compiler = true;
        self
    }

    /// The compiler that it has.
    pub(crate) fn compiler_of(&self, manifest: &Manifest) -> Compiler {
        match self.compiler.or(manifest.runtime.compiler).unwrap_or_default() {
            Compiler::Auto if self.one_compiler => Compiler::Optimising,
            compiler => compiler,
        }
    }

    /// Opens a native library without opening it in a throw-away sandboxed process first: for one that
    /// needs files, variables or the network already when it is opened. One that is to run in this
    /// process and crashes then takes the application with it.
    #[must_use]
    pub fn skip_trial(mut self) -> LoadRequest {
        self.skip_trial = true;
        self
    }

    /// Limits that differ from the manifest's. Values that make no sense, such as a queue of no
    /// frames, are a load error of the stage *policy*.
    #[must_use]
    pub fn limits(mut self, limits: LimitChanges) -> LoadRequest {
        self.limits = limits;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_are_compared_begin_with_one_compiler() {
        let check = |says: Option<Compiler>, by_manifest: Option<Compiler>, expected: Compiler| {
            let mut manifest = Manifest::bare("a");
            manifest.runtime.compiler = by_manifest;
            let mut request = LoadRequest::path("a.wasm").one_compiler();
            request.compiler = says;
            assert_eq!(request.compiler_of(&manifest), expected, "{says:?}, {by_manifest:?}");
        };
        check(None, None, Compiler::Optimising);
        check(Some(Compiler::Auto), None, Compiler::Optimising);
        check(Some(Compiler::QuickFirst), None, Compiler::QuickFirst);
        check(None, Some(Compiler::Quick), Compiler::Quick);
    }
}
