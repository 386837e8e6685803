use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::Sink;
use glovebox_files::Scratch;

use crate::backend::wasm::Engines;
use crate::journal::Journal;
use crate::lifecycle::{Hooks, LifecycleHook};
use crate::load::{Cache, DEFAULT_CACHE_LIMIT, Preparer};
use crate::permissions::HostRules;
use crate::policy::{Allowance, Ceilings, Consents, Policy};
use crate::state::StateStore;
use crate::{Host, Mock, Profile};

/// How a [`Host`] is set up.
#[derive(Default)]
pub struct HostBuilder {
    sink: Option<Arc<dyn Sink>>,
    wake: Option<Box<dyn Fn() + Send + Sync>>,
    cache_folder: Option<PathBuf>,
    cache_limit: Option<u64>,
    compile_deadline: Option<Duration>,
    state_folder: Option<PathBuf>,
    scratch_folder: Option<PathBuf>,
    hooks: Hooks,
    time_calls: bool,
    policy: Policy,
    allowed: Vec<Allowance>,
    consents: Option<Arc<Consents>>,
    ceilings: Ceilings,
    profile: Option<Profile>,
    mock: Option<Arc<Mock>>,
}

/// Why a host cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine for wasm cannot start on this machine.
    #[error("the WebAssembly engine cannot start: {reason}")]
    Engine {
        /// What the engine says.
        reason: String,
    },
    /// The profile wants the real host services.
    #[error(
        "mock host services are refused in profile `{profile}`; leave them out, or use the profile `development`"
    )]
    MocksRefused {
        /// Name of the profile.
        profile: String,
    },
    /// The operating system refused a thread or a folder.
    #[error("cannot set up {what}: {source}")]
    Io {
        /// What was being set up.
        what: &'static str,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl HostBuilder {
    /// Where all events go. Without a sink nothing is timed, and calls are faster.
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> HostBuilder {
        self.sink = Some(sink);
        self
    }

    /// Times calls also without a sink, for [`PluginStatus::latency`](crate::PluginStatus::latency).
    /// It makes a call as slow as a sink does.
    #[must_use]
    pub fn time_calls(mut self) -> HostBuilder {
        self.time_calls = true;
        self
    }

    /// Called after every event, on the thread on which it happened: to wake a window.
    #[must_use]
    pub fn wake(mut self, wake: impl Fn() + Send + Sync + 'static) -> HostBuilder {
        self.wake = Some(Box::new(wake));
        self
    }

    /// Where compiled code is kept. Without it every load compiles.
    ///
    /// The folder is made for its user alone, and closed to others if it is open; hosts may share it.
    /// Building the host fails if it belongs to another user.
    #[must_use]
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> HostBuilder {
        self.cache_folder = Some(folder.into());
        self
    }

    /// Bytes of compiled code that are kept in the folder; 512 MiB unless told. What was not used
    /// for longest makes room.
    #[must_use]
    pub fn cache_limit(mut self, bytes: u64) -> HostBuilder {
        self.cache_limit = Some(bytes);
        self
    }

    /// Keeps private copies of native libraries in a folder of its own in this one, which must exist,
    /// instead of the system's folder for temporary files. What a killed process left there is removed.
    #[must_use]
    pub fn scratch_folder(mut self, folder: impl Into<PathBuf>) -> HostBuilder {
        self.scratch_folder = Some(folder.into());
        self
    }

    /// How long compiling one artifact may take at most, whatever its size and its manifest say; 10
    /// min unless told. Below that it is what the manifest says (`compile-deadline` under
    /// `[runtime]`), or 10 s and 10 s for each MiB of the artifact.
    /// [`LoadRequest::compile_deadline`](crate::LoadRequest::compile_deadline) goes before all this.
    #[must_use]
    pub fn compile_deadline(mut self, deadline: Duration) -> HostBuilder {
        self.compile_deadline = Some(deadline);
        self
    }

    /// Where states of plugins that ask for it (`persist = true` under `[state]`) are kept. Without it
    /// they are not, and the log says so.
    #[must_use]
    pub fn state_folder(mut self, folder: impl Into<PathBuf>) -> HostBuilder {
        self.state_folder = Some(folder.into());
        self
    }

    /// Called before and after every change of phase of every instance. May be given several times;
    /// hooks are called in the order in which they were given.
    #[must_use]
    pub fn hook(mut self, hook: impl LifecycleHook + 'static) -> HostBuilder {
        self.hooks.push(Box::new(hook));
        self
    }

    /// What plugins may do; without rules, what their manifests ask for except files, network and
    /// environment. See [`PolicyMode::Consent`](crate::PolicyMode::Consent).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> HostBuilder {
        self.policy = policy;
        self
    }

    /// Allows something before plugins are loaded, as `--allow` of the command line does. May be
    /// given several times.
    #[must_use]
    pub fn allow(mut self, allowed: Allowance) -> HostBuilder {
        self.allowed.push(allowed);
        self
    }

    /// Where it is kept what a person agreed to for good, and what was before; without it nothing is.
    #[must_use]
    pub fn consents(mut self, consents: Arc<Consents>) -> HostBuilder {
        self.consents = Some(consents);
        self
    }

    /// How much plugins get at most, whatever they ask for. `[ceilings]` of the policy lie over it.
    #[must_use]
    pub fn ceilings(mut self, ceilings: Ceilings) -> HostBuilder {
        self.ceilings = ceilings;
        self
    }

    /// What the host is run for; see [`Profile`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> HostBuilder {
        self.profile = Some(profile);
        self
    }

    /// Host services as a script says, for all instances that bring none of their own.
    #[must_use]
    pub fn mock(mut self, mock: Arc<Mock>) -> HostBuilder {
        self.mock = Some(mock);
        self
    }

    /// The host.
    ///
    /// # Errors
    ///
    /// If the profile refuses a mock, and if the operating system refuses a thread or folder, or the engine cannot start.
    pub fn build(self) -> Result<Host, HostError> {
        if let (Some(profile), true) = (&self.profile, self.mock.is_some())
            && !profile.mocks()
        {
            return Err(HostError::MocksRefused { profile: profile.name().to_owned() });
        }
        let io = |what| move |source| HostError::Io { what, source };
        let cache = match &self.cache_folder {
            Some(folder) => {
                let limit = self.cache_limit.unwrap_or(DEFAULT_CACHE_LIMIT);
                Cache::in_folder(folder, limit).map_err(io("the compile cache"))?
            }
            None => Cache::default(),
        };
        let engines = Engines::new(cache)
            .map_err(|error| HostError::Engine { reason: format!("{error:#}") })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("glovebox-plugins")
            // Sockets and timers of WASI.
            .enable_all()
            .build()
            .map_err(io("the threads for plugins"))?;
        let copies = Scratch::new_in(self.scratch_folder.unwrap_or_else(std::env::temp_dir))
            .map_err(io("a folder for private copies"))?;
        let preparer = Preparer::new(engines, self.compile_deadline, copies);
        let journal = Arc::new(Journal::new(self.sink, self.wake, self.hooks, self.time_calls));
        let states = self.state_folder.map(StateStore::new).transpose();
        let states = states.map_err(io("the folder for states"))?;
        let mode = self.policy.mode().unwrap_or_default();
        let (policy, allowed) = (Arc::new(self.policy), self.allowed.into());
        let (ceilings, saved) = (Arc::new(self.ceilings), self.consents);
        let rules = HostRules { policy, mode, allowed, saved, ceilings };
        Ok(Host::assemble(journal, preparer, states, rules, runtime, self.profile, self.mock))
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HostBuilder")
            .field("cache_folder", &self.cache_folder)
            .field("cache_limit", &self.cache_limit)
            .field("compile_deadline", &self.compile_deadline)
            .field("profile", &self.profile)
            .field("mock", &self.mock)
            .finish_non_exhaustive()
    }
}
