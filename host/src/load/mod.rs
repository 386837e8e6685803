//! From a file to checked code, stage by stage.
//!
//! Every stage may refuse, and says so with a [`LoadError`]. Nothing of a plugin runs before its
//! bytes were copied, hashed and recognized, its manifest read and its version checked.

mod budget;
mod cache;
mod compile;
mod error;
mod file;
mod foreign;
mod inspect;
mod interface;
mod library;
mod peek;
mod prepare;
mod size;
mod sniff;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::manifest::LimitChanges;
use glovebox_abi::{Manifest, Permission, Plugin, Requests};

pub use cache::CacheStats;
pub(crate) use cache::{Cache, DEFAULT_LIMIT as DEFAULT_CACHE_LIMIT};
pub use compile::CompileStatus;
pub(crate) use error::shorten;
pub use error::{Incompatible, LoadError, LoadProblem};
pub use foreign::Foreign;
pub use inspect::{Inspection, inspect};
pub use peek::ManifestPlace;
pub(crate) use peek::{Peek, Peeked, peek};
pub use prepare::MAX_ARTIFACT_LEN;
pub(crate) use prepare::{Prepared, Preparer, names_in};
pub use sniff::ArtifactKind;

use crate::backend::core::Factory;
use crate::policy::Decided;
use crate::{Answers, Mock};

/// Whether a module or component keeps to a binding of Glovebox, or means to.
pub(crate) fn keeps_to_a_binding(bytes: &[u8]) -> bool {
    foreign::is_own(&interface::Interface::of(bytes))
}

/// What to load, and how.
#[derive(Clone)]
pub struct LoadRequest {
    pub(crate) source: Source,
    pub(crate) trust_native: bool,
    pub(crate) config: Option<serde_json::Value>,
    pub(crate) configuration: Option<String>,
    pub(crate) lazy: bool,
    pub(crate) permissions: Option<Requests>,
    pub(crate) seed: Option<u64>,
    pub(crate) mock: Option<Arc<Mock>>,
    pub(crate) answers: Option<Arc<dyn Answers>>,
    pub(crate) limits: LimitChanges,
    pub(crate) compile_deadline: Option<Duration>,
    /// What was decided about the instance that this is a copy of.
    pub(crate) decisions: Option<BTreeMap<Permission, Decided>>,
}

#[derive(Clone)]
pub(crate) enum Source {
    Path(PathBuf),
    Core(Box<Manifest>, Factory),
}

impl LoadRequest {
    /// An artifact, a `plugin.toml`, or a folder with one.
    pub fn path(path: impl Into<PathBuf>) -> LoadRequest {
        LoadRequest::of(Source::Path(path.into()))
    }

    /// A plugin that is part of the application. `make` is called once for each copy.
    pub fn core(
        manifest: Manifest,
        make: impl Fn() -> Box<dyn Plugin> + Send + Sync + 'static,
    ) -> LoadRequest {
        LoadRequest::of(Source::Core(Box::new(manifest), Arc::new(make)))
    }

    fn of(source: Source) -> LoadRequest {
        LoadRequest {
            source,
            trust_native: false,
            config: None,
            configuration: None,
            lazy: false,
            permissions: None,
            seed: None,
            mock: None,
            answers: None,
            limits: LimitChanges::default(),
            compile_deadline: None,
            decisions: None,
        }
    }

    /// Takes these for what the plugin asks for, in place of the manifest's `[permissions]`: to try
    /// what it needs.
    #[must_use]
    pub fn permissions(mut self, permissions: Requests) -> LoadRequest {
        self.permissions = Some(permissions);
        self
    }

    /// Only reads the file and its manifest now; compiles and starts the plugin when it gets its
    /// first frame. What goes wrong then is the outcome of that frame. No effect on core plugins,
    /// which have no file.
    #[must_use]
    pub fn lazy(mut self, lazy: bool) -> LoadRequest {
        self.lazy = lazy;
        self
    }

    /// Allows a native plugin to run in this process, where it can do whatever the process can.
    #[must_use]
    pub fn trust_native(mut self, trust: bool) -> LoadRequest {
        self.trust_native = trust;
        self
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

    /// Limits that differ from the manifest's.
    #[must_use]
    pub fn limits(mut self, limits: LimitChanges) -> LoadRequest {
        self.limits = limits;
        self
    }
}

impl fmt::Debug for LoadRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Path(path) => path.display().to_string(),
            Source::Core(manifest, _) => format!("core plugin {}", manifest.plugin.id),
        };
        formatter
            .debug_struct("LoadRequest")
            .field("source", &source)
            .field("trust_native", &self.trust_native)
            .field("config", &self.config)
            .field("configuration", &self.configuration)
            .field("seed", &self.seed)
            .field("lazy", &self.lazy)
            .field("permissions", &self.permissions)
            .field("mock", &self.mock)
            .field("answers", &self.answers)
            .field("limits", &self.limits)
            .field("compile_deadline", &self.compile_deadline)
            .finish()
    }
}
