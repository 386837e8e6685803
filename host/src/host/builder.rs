use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{MIN_COMPILE_MEMORY, is_function_name, not_a_function};
use glovebox_events::Sink;
use glovebox_files::Scratch;

use super::{Host, Mocks, POOL, Parts, Profile};
use crate::backend::wasm::Engines;
use crate::instance::{Quarantine, StateStore, Surroundings};
use crate::load::{Cache, CompileBounds, CompilePlace, DEFAULT_CACHE_LIMIT, Preparer};
use crate::policy::{Allowance, CeilingError, Ceilings, Consents, HostRules, Policy};
use crate::record::{Hooks, Journal, LifecycleHook};
use crate::services::{Caller, FunctionError, Functions, Mock};

/// How a [`Host`] is set up.
#[derive(Default)]
pub struct HostBuilder {
    sink: Option<Arc<dyn Sink>>,
    wake: Option<Box<dyn Fn() + Send + Sync>>,
    cache_folder: Option<PathBuf>,
    cache_limit: Option<u64>,
    compile: CompileBounds,
    state_folder: Option<PathBuf>,
    scratch_folder: Option<PathBuf>,
    quarantine_folder: Option<PathBuf>,
    quarantine_surroundings: Surroundings,
    container_engine: Option<PathBuf>,
    hooks: Hooks,
    time_calls: bool,
    policy: Policy,
    allowed: Vec<Allowance>,
    consents: Option<Arc<Consents>>,
    ceilings: Ceilings,
    profile: Option<Profile>,
    mock: Option<Arc<Mock>>,
    threads: Option<NonZeroUsize>,
    end_deadline: Option<Duration>,
    functions: Functions,
    /// The first name that two functions were given.
    given_twice: Option<String>,
}

/// Threads for plugins, unless told.
const THREADS: usize = 512;

/// How long the end of all instances may take, unless told.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// Why a host cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The engine for wasm cannot start on this machine.
    #[error("the WebAssembly engine cannot start: {reason}")]
    Engine {
        /// The error of the engine.
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
    /// A ceiling lets nothing run.
    #[error(transparent)]
    Ceilings(#[from] CeilingError),
    /// There is no time to compile anything.
    #[error("a compile deadline of 0 leaves no time to compile; give a longer one, or none")]
    CompileDeadline,
    /// There is no memory to compile anything.
    #[error(
        "the compiler cannot work in {} of memory; give it {} at least",
        glovebox_abi::units::show_size(*.bytes),
        glovebox_abi::units::show_size(MIN_COMPILE_MEMORY)
    )]
    CompileMemory {
        /// Bytes that it was given.
        bytes: u64,
    },
    /// A function has a name that none can have.
    #[error("the function {0}")]
    Function(String),
    /// Two functions have the same name.
    #[error(
        "the function `{name}` is given twice; give it once, or another name to one of the two"
    )]
    FunctionTwice {
        /// The name.
        name: String,
    },
    /// The operating system refused a thread or a folder.
    #[error("cannot set up {what}: {source}")]
    Io {
        /// The thing that was being set up.
        what: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

impl HostBuilder {
    /// Where all events go. Without a sink, a [waker](Self::wake) or [`time_calls`](Self::time_calls),
    /// calls are not timed, and faster.
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

    /// Called after every event, on the thread on which it happened: to wake a window. It makes calls
    /// as slow as a sink does.
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

    /// Bytes of compiled code that are kept in the folder; 512 MiB unless told. The least recently
    /// used code makes room.
    #[must_use]
    pub fn cache_limit(mut self, bytes: u64) -> HostBuilder {
        self.cache_limit = Some(bytes);
        self
    }

    /// Keeps private copies of native libraries in a folder of its own in this one, which must
    /// exist, instead of the system's folder for temporary files. Copies that a killed process left
    /// there are removed.
    #[must_use]
    pub fn scratch_folder(mut self, folder: impl Into<PathBuf>) -> HostBuilder {
        self.scratch_folder = Some(folder.into());
        self
    }

    /// Keeps frames here that crashed a process of a plugin twice, with what is known about them:
    /// 256 frames and 256 MiB at most, of which the oldest go first. Without it they are kept nowhere,
    /// and the outcome of the call says so.
    #[must_use]
    pub fn quarantine_folder(mut self, folder: impl Into<PathBuf>) -> HostBuilder {
        self.quarantine_folder = Some(folder.into());
        self
    }

    /// The options of `glovebox call` that set a host up like this one, such as `--mock` with a file, and the
    /// folder in which they mean that, if it matters: for the commands that send frames in the quarantine
    /// again.
    #[must_use]
    pub fn quarantine_options(
        mut self,
        options: Vec<String>,
        folder: Option<PathBuf>,
    ) -> HostBuilder {
        self.quarantine_surroundings = Surroundings { options, folder };
        self
    }

    /// How long compiling one artifact may take at most, whatever its size and its manifest say; 10
    /// min unless told. Below that it is what the manifest says (`compile-deadline` under
    /// `[runtime]`), or 10 s and 10 s for each MiB of the artifact.
    /// [`LoadRequest::compile_deadline`](crate::LoadRequest::compile_deadline) goes before all this.
    #[must_use]
    pub fn compile_deadline(mut self, deadline: Duration) -> HostBuilder {
        self.compile.deadline = Some(deadline);
        self
    }

    /// How many bytes of memory compiling one artifact may take at most, whatever its size and its
    /// manifest say; 8 GiB unless told, and 64 MiB at least. Below that it is what the manifest says
    /// (`compile-memory` under `[runtime]`), or 1 GiB and 32 MiB for each MiB of the artifact.
    /// [`LoadRequest::compile_memory`](crate::LoadRequest::compile_memory) goes before all this. Memory
    /// counts where the compiler has a process of its own; see [`CompilePlace`].
    #[must_use]
    pub fn compile_memory(mut self, bytes: u64) -> HostBuilder {
        self.compile.memory = Some(bytes);
        self
    }

    /// Where WebAssembly is compiled that the cache does not have: in a sandboxed process of its own if
    /// possible, unless told. That needs
    /// [`worker::run_if_requested`](crate::worker::run_if_requested) at the start of `main`.
    #[must_use]
    pub fn compile_place(mut self, place: CompilePlace) -> HostBuilder {
        self.compile.place = place;
        self
    }

    /// The command line of an engine that runs plugins in containers: podman, docker or bubblewrap, as the
    /// name of its file says. Without it, the first that is in `PATH` does. A policy that names another
    /// engine goes before it.
    #[must_use]
    pub fn container_engine(mut self, path: impl Into<PathBuf>) -> HostBuilder {
        self.container_engine = Some(path.into());
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

    /// The policy for plugins; without rules, they get what their manifests ask for except files,
    /// network and environment. See [`PolicyMode::Consent`](crate::PolicyMode::Consent).
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

    /// The file of saved consents; without it, none is read or saved.
    #[must_use]
    pub fn consents(mut self, consents: Arc<Consents>) -> HostBuilder {
        self.consents = Some(consents);
        self
    }

    /// The most that plugins get, for every request. `[ceilings]` of the policy lie over it.
    #[must_use]
    pub fn ceilings(mut self, ceilings: Ceilings) -> HostBuilder {
        self.ceilings = ceilings;
        self
    }

    /// The purpose of the host; see [`Profile`].
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

    /// Gives plugins a function of the application. May be given several times, with a name of its own
    /// each time.
    ///
    /// The name is `INTERFACE#FUNCTION`, such as `acme:shop/prices@1.0.0#lookup`: a component that
    /// imports the interface finds it there, with values in place of the types of its WIT (records are
    /// maps, `list<u8>` is bytes, several arguments are an array; a `result` that fails is
    /// [`FunctionError::Answer`]). All other plugins call it by its name with bytes, as
    /// [`Services::call`](glovebox_abi::Services::call) does, and get bytes: those of
    /// [`Value::Bytes`], a text, a number or a truth in writing, none for [`Value::Null`]; a map or a
    /// list is [`ServiceError::Unavailable`](glovebox_abi::ServiceError) to them.
    ///
    /// A plugin needs the permission `functions` for it, and each call is limited and recorded as one
    /// of our own services is. It runs on the thread of the call, which waits for it. Time that it takes
    /// beyond the deadline of the call ends the call afterwards; a panic in it is
    /// [`ServiceError::Unavailable`](glovebox_abi::ServiceError) to the plugin, and an error in the log.
    /// If it calls an instance that is at work on this thread, such as the one that calls it, that call is
    /// refused ([`Refusal::CalledFromInside`](crate::Refusal::CalledFromInside)); it must not wait for
    /// other work on such an instance, such as a reload.
    ///
    /// ```
    /// use glovebox_host::abi::cbor::Value;
    /// use glovebox_host::Host;
    ///
    /// let host = Host::builder()
    ///     .function("acme:shop/prices@1.0.0#lookup", |caller, argument| match argument {
    ///         // A component gives and gets the types of its WIT …
    ///         Value::Text(article) if article == "apple" => Ok(Value::Integer(120)),
    ///         // … and all other plugins bytes.
    ///         Value::Bytes(article) if article == b"apple" => Ok(Value::Text("120".to_owned())),
    ///         _ => Err(format!("{} asks for an unknown article", caller.plugin).into()),
    ///     })
    ///     .build()?;
    /// # Ok::<(), glovebox_host::HostError>(())
    /// ```
    #[must_use]
    pub fn function(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&Caller<'_>, &Value) -> Result<Value, FunctionError> + Send + Sync + 'static,
    ) -> HostBuilder {
        let name = name.into();
        if !self.functions.add(name.clone(), Arc::new(function)) {
            self.given_twice.get_or_insert(name);
        }
        self
    }

    /// The same for bytes alone: an argument that is neither bytes nor a text is
    /// [`ServiceError::Invalid`](glovebox_abi::ServiceError).
    #[must_use]
    pub fn bytes_function(
        self,
        name: impl Into<String>,
        function: impl Fn(&Caller<'_>, &[u8]) -> Result<Vec<u8>, FunctionError> + Send + Sync + 'static,
    ) -> HostBuilder {
        self.function(name, move |caller, argument| match argument {
            Value::Bytes(bytes) => function(caller, bytes).map(Value::Bytes),
            Value::Text(text) => function(caller, text.as_bytes()).map(Value::Bytes),
            _ => Err(ServiceError::Invalid.into()),
        })
    }

    /// How many threads may be busy with plugins at the same time, 512 unless told. Each
    /// queued call, load, reload, unload and look at a copy takes one for as long as it lasts; idle
    /// instances take none.
    ///
    /// Beside these a host has one thread for its timers and sockets, one clock for each setting of the
    /// WebAssembly engine that is in use, one thread that starts processes once the first is wanted, one
    /// for each compile and for each [`spawn`](Host::spawn), two that watch files while there are any to
    /// watch, and those of each compiler in this process, as many as the machine has cores.
    ///
    /// If all of the pool hang, as in native plugins that never return, none of the work above goes on
    /// until one returns. [`Host::call`] runs on the caller's thread and goes on.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> HostBuilder {
        self.threads = Some(threads);
        self
    }

    /// How long [dropping](Host) the last handle waits for plugins to end, all together; 30 s unless
    /// told. A WebAssembly plugin has `stop-deadline` of its manifest for each step anyway; a native
    /// one, or one that is part of the application, may never return.
    #[must_use]
    pub fn end_deadline(mut self, deadline: Duration) -> HostBuilder {
        self.end_deadline = Some(deadline);
        self
    }

    /// The host.
    ///
    /// # Errors
    ///
    /// If the profile refuses a mock, a ceiling or the compile deadline lets nothing run, the operating
    /// system refuses a thread or folder, or the engine cannot start.
    pub fn build(self) -> Result<Host, HostError> {
        if let (Some(profile), true) = (&self.profile, self.mock.is_some())
            && profile.mocks() == Mocks::Refused
        {
            return Err(HostError::MocksRefused { profile: profile.name().to_owned() });
        }
        self.ceilings.check()?;
        if self.compile.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return Err(HostError::CompileDeadline);
        }
        if let Some(bytes) = self.compile.memory.filter(|bytes| *bytes < MIN_COMPILE_MEMORY) {
            return Err(HostError::CompileMemory { bytes });
        }
        if let Some(name) = self.functions.names().find(|name| !is_function_name(name)) {
            return Err(HostError::Function(not_a_function(name)));
        }
        if let Some(name) = self.given_twice {
            return Err(HostError::FunctionTwice { name });
        }
        let io = |what| move |source| HostError::Io { what, source };
        let cache = match &self.cache_folder {
            Some(folder) => {
                let limit = self.cache_limit.unwrap_or(DEFAULT_CACHE_LIMIT);
                Cache::in_folder(folder, limit).map_err(io("the compile cache"))?
            }
            None => Cache::default(),
        };
        let engines =
            Engines::new().map_err(|error| HostError::Engine { reason: format!("{error:#}") })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(self.threads.map_or(THREADS, NonZeroUsize::get))
            .thread_name(POOL)
            // Sockets and timers of WASI.
            .enable_all()
            .build()
            .map_err(io("the threads for plugins"))?;
        let copies = Scratch::new_in(self.scratch_folder.unwrap_or_else(std::env::temp_dir))
            .map_err(io("a folder for private copies"))?;
        let functions = Arc::new(self.functions);
        let preparer = Preparer::new(engines, cache, self.compile, copies, functions.clone());
        if let Some(engine) = self.container_engine {
            preparer.uses_engine(engine);
        }
        preparer.follows_policy(&self.policy);
        let journal = Arc::new(Journal::new(self.sink, self.wake, self.hooks, self.time_calls));
        let states = self.state_folder.map(StateStore::new).transpose();
        let states = states.map_err(io("the folder for states"))?;
        let surroundings = self.quarantine_surroundings;
        let quarantine = self.quarantine_folder.map(|it| Quarantine::new(it, surroundings));
        let (policy, allowed) = (Arc::new(self.policy), self.allowed.into());
        let (ceilings, saved) = (Arc::new(self.ceilings), self.consents);
        let rules = HostRules { revision: 0, policy, chosen_mode: None, allowed, saved, ceilings };
        let end_deadline = self.end_deadline.unwrap_or(END_DEADLINE);
        let (profile, mock) = (self.profile, self.mock);
        let parts = Parts {
            journal,
            preparer,
            states,
            quarantine,
            rules,
            runtime,
            profile,
            mock,
            end_deadline,
            functions,
        };
        Ok(Host::assemble(parts))
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HostBuilder")
            .field("cache_folder", &self.cache_folder)
            .field("cache_limit", &self.cache_limit)
            .field("compile", &self.compile)
            .field("profile", &self.profile)
            .field("mock", &self.mock)
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}
