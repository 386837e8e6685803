//! The host: all instances, and the calls on them.
//!
//! [`instances`] lets them come and go, [`call`] is the way of one call, [`dispatch`] the way through
//! queues.

mod builder;
mod call;
mod candidate;
mod counters;
mod dispatch;
mod end;
mod faults;
mod instances;
mod optimise;
mod permissions;
mod plan;
mod probation;
mod profile;
mod registry;
mod reload;
mod set;
mod snapshot;
mod swap;
#[cfg(test)]
mod tests;
mod turns;
mod watch;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use glovebox_abi::Kind;
use glovebox_abi::manifest::{LimitError, Limits};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tracing::Span;

use crate::backend::wasm::symbols;
use crate::failure::{CopyFailure, StackFrame};
use crate::guard::caught;
use crate::id::InstanceId;
use crate::instance::{HostResources, Instance, PluginStatus, Quarantine, StateStore};
use crate::load::{Artifact, CacheStats, CompileStatus, LoadRequest, Preparer, read};
use crate::policy::HostRules;
use crate::problem::{ArtifactKind, LoadError};
use crate::record::Journal;
use crate::services::{Functions, Mock};
use crate::task::{Lost, Task};
use crate::underway::{LoadStatus, Loads};
use crate::watch::{Watcher, Watching};

pub use builder::{HostBuilder, HostError};
use counters::DispatchCounters;
pub use counters::DispatchStats;
pub use end::Shutdown;
pub use faults::FaultsError;
pub use instances::Drained;
use instances::about;
use optimise::Optimiser;
pub use profile::{Mocks, Profile, Reloads};
use registry::Registry;
use reload::gone;
pub use set::{PluginSet, SetError};
use turns::Turns;
pub use watch::WatchError;
use watch::WatchedMock;

/// The name of the threads of the pool.
const POOL: &str = "glovebox-plugins";

/// A load that is under way.
pub type Loading = Task<Result<InstanceId, LoadError>>;
/// A reload that is under way; ends with the new generation.
pub type Reloading = Task<Result<u32, LoadError>>;

/// Loads, runs, limits, swaps and watches plugins. Clones are handles to the same host.
///
/// When the last handle goes, all instances end: each saves its state if it keeps one, and cleans up.
/// Dropping it waits for that, for [`HostBuilder::end_deadline`] at most: plugins that do not end by
/// then are left behind on a thread of their own, which ends with the process. Only a thread of the
/// host's own pool, on which a plugin may drop its handle, does not wait. [`shut_down`](Self::shut_down) says what became of them, and can be awaited.
///
/// # Spans
///
/// Each step is a span of `tracing`, as long as a subscriber of the process wants its level; without
/// one, a call pays for a single look at a number.
///
/// | level | spans |
/// |---|---|
/// | info | `load`, `reload`, `restart`, `unload` |
/// | debug | the stages inside a load or reload, by the names of [`LoadStage`](glovebox_events::LoadStage), and `switch`; `save state`, `health`; `dispatch`, from the queue to the answers; `call`; `service`, for each use of a host service |
///
/// Each has the fields `plugin`, `instance`, `generation` and `tier`, stages those of the step around
/// them. Work on another thread is inside the span in which it was asked for.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) resources: HostResources,
    pub(crate) preparer: Arc<Preparer>,
    optimiser: Optimiser,
    pub(crate) dispatched: DispatchCounters,
    /// How many loads may hold a thread until their code is prepared.
    threads: Arc<Semaphore>,
    /// Loads that are under way.
    pub(crate) loads: Loads,
    turns: Turns,
    watcher: Watcher,
    /// The watch of the policy's file.
    policy_watch: Mutex<Option<Watching>>,
    /// The mocks whose files are watched.
    watched_mocks: Mutex<Vec<WatchedMock>>,
    pub(crate) rules: Mutex<HostRules>,
    profile: Mutex<Option<Profile>>,
    mock: Option<Arc<Mock>>,
    /// How long the end of all instances may take.
    end_deadline: Duration,
    /// True once the host is shut down. Changed under the lock of the rules, under which instances are
    /// listed.
    closing: AtomicBool,
    runtime: Option<Runtime>,
}

/// The parts of a host.
pub(crate) struct Parts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) preparer: Preparer,
    pub(crate) states: Option<StateStore>,
    pub(crate) quarantine: Option<Quarantine>,
    pub(crate) rules: HostRules,
    pub(crate) runtime: Runtime,
    pub(crate) profile: Option<Profile>,
    pub(crate) mock: Option<Arc<Mock>>,
    pub(crate) end_deadline: Duration,
    pub(crate) functions: Arc<Functions>,
}

impl Host {
    /// Starts setting a host up.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    pub(crate) fn assemble(parts: Parts) -> Host {
        let Parts { journal, preparer, states, quarantine, rules, runtime, profile, mock, .. } =
            parts;
        let (end_deadline, functions) = (parts.end_deadline, parts.functions);
        let (registry, dispatched) = Default::default();
        let resources = HostResources {
            journal,
            wishes: Arc::default(),
            states: states.map(Arc::new),
            quarantine: quarantine.map(Arc::new),
            stagger: Arc::default(),
            runtime: runtime.handle().clone(),
            functions,
            cancelled: Arc::default(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let inner = Inner {
            registry,
            resources,
            preparer: Arc::new(preparer),
            optimiser: Optimiser::default(),
            dispatched,
            threads: Arc::new(Semaphore::new(cores)),
            loads: Loads::default(),
            turns: Turns::new(cores),
            watcher: Watcher::new(),
            policy_watch: Mutex::default(),
            watched_mocks: Mutex::default(),
            rules: Mutex::new(rules),
            profile: Mutex::new(profile),
            mock,
            end_deadline,
            closing: AtomicBool::new(false),
            runtime: Some(runtime),
        };
        Host { inner: Arc::new(inner) }
    }

    /// The counts of the queues so far.
    pub fn dispatch_stats(&self) -> DispatchStats {
        self.inner.dispatched.read()
    }

    /// Events on which the sink panicked, so that it may not have kept them. Calls go on.
    pub fn unheard_events(&self) -> u64 {
        self.inner.resources.journal.unheard()
    }

    /// Events after which the waker panicked, so that nobody may have looked at them. Calls go on.
    pub fn failed_wakes(&self) -> u64 {
        self.inner.resources.journal.failed_wakes()
    }

    /// The counts of the compile cache so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.inner.preparer.cache_stats()
    }

    /// The compiles that are under way, those first that began first. One that took too long or was
    /// cancelled ends with its process; in this process, where a thread cannot be killed, it goes on until
    /// it is done.
    pub fn compiles(&self) -> Vec<CompileStatus> {
        self.inner.preparer.compiling()
    }

    /// The loads and reloads that are under way, those first that began first.
    pub fn loads(&self) -> Vec<LoadStatus> {
        self.inner.loads.list()
    }

    /// Cancels a load, whatever stage it is in: it fails with [`LoadProblem::Cancelled`], or
    /// [`LoadProblem::CompileCancelled`] while it compiles. Its wait ends: for a turn, the compiler, the
    /// process that tries a library, a container that starts, the start of the plugin. A reload is cancelled
    /// until its code is there; the start of a next generation then goes on, within its deadlines. `false` if
    /// it is done, or was cancelled before.
    ///
    /// [`LoadProblem::Cancelled`]: crate::LoadProblem::Cancelled
    /// [`LoadProblem::CompileCancelled`]: crate::LoadProblem::CompileCancelled
    pub fn cancel_load(&self, id: u64) -> bool {
        self.inner.loads.cancel(id)
    }

    /// Ends the wait for a compile: its load fails. `false` if it is done, or nobody waits for it
    /// any more.
    pub fn cancel_compile(&self, id: u64) -> bool {
        self.inner.preparer.cancel_compile(id)
    }

    /// How many shared libraries this host has opened. All of them stay mapped until the process
    /// ends, also those of generations that are gone: closing one is never safe.
    pub fn mapped_libraries(&self) -> u64 {
        self.inner.preparer.mapped.load(Relaxed)
    }

    /// The state of all instances.
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.inner.registry.all().iter().map(|instance| instance.status()).collect()
    }

    /// The state of one instance.
    pub fn plugin(&self, id: InstanceId) -> Option<PluginStatus> {
        self.instance(id).map(|instance| instance.status())
    }

    /// The backtrace of a failure of an instance with readable names and, where a WebAssembly artifact has
    /// debug information, with the files and lines of its functions, those that the compiler put into
    /// others among them.
    ///
    /// Reads the artifact again, so that a trap costs nothing of it: some tenths of a second where there
    /// is much to read. If it is another one by now, the names alone become readable.
    pub fn backtrace(&self, id: InstanceId, failure: &CopyFailure) -> Vec<StackFrame> {
        let frames = &failure.evidence.backtrace;
        let source = self.instance(id).filter(|_| !frames.is_empty());
        let artifact = source.and_then(|instance| read(&instance.request().source).ok());
        let is_same = |artifact: &Artifact| artifact.digest == failure.digest;
        match artifact.filter(is_same) {
            Some(Artifact {
                kind: ArtifactKind::Component | ArtifactKind::CoreModule,
                bytes,
                ..
            }) => symbols::symbolized(&bytes, frames),
            _ => frames.iter().map(symbols::named).collect(),
        }
    }

    /// How an instance was loaded, to load another one like it, with the decisions about its
    /// permissions. Other changes since then, such as those of its limits, are not part of it.
    pub fn request(&self, id: InstanceId) -> Option<LoadRequest> {
        self.instance(id).map(|instance| LoadRequest {
            decisions: Some(instance.decisions()),
            ..(*instance.request()).clone()
        })
    }

    /// The instance of a plugin that was loaded last.
    pub fn find(&self, plugin: &str) -> Option<InstanceId> {
        self.inner.registry.find(plugin)
    }

    /// True if the id names an instance: one lookup in the registry.
    pub fn contains(&self, id: InstanceId) -> bool {
        self.inner.registry.contains(id)
    }

    /// Whether an instance accepts frames of a kind; `None` if it is gone.
    pub fn accepts(&self, id: InstanceId, kind: Kind) -> Option<bool> {
        self.instance(id).map(|instance| instance.accepts(kind))
    }

    /// Changes those limits of one instance that differ from the ones in effect; from the next call on. A
    /// limit above a ceiling of the host is lowered to it, which the status says. A later generation keeps
    /// the limits that were changed, and has the others as its manifest says.
    ///
    /// # Errors
    ///
    /// If a limit makes no sense, such as a queue of no frames, or the instance is gone; then nothing
    /// is changed.
    pub fn set_limits(&self, id: InstanceId, limits: Limits) -> Result<(), SetLimitsError> {
        limits.check()?;
        let instance = self.instance(id).ok_or(SetLimitsError::Gone)?;
        instance.set_limits(&limits);
        Ok(())
    }

    pub(crate) fn instance(&self, id: InstanceId) -> Option<Arc<Instance>> {
        self.inner.registry.get(id)
    }

    /// Runs work that waits for other work of this host, such as a sequence of loads, on a thread of its
    /// own: those of the pool are bounded, and the work may wait for them.
    pub fn spawn<T: Lost + Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> Task<T> {
        let (work, task) = self.task(work);
        if let Err(error) = std::thread::Builder::new().name("glovebox-work".to_owned()).spawn(work)
        {
            // The task says that it was lost.
            tracing::error!(%error, "no thread for work that waits");
        }
        task
    }

    /// Runs work on a thread of the pool.
    fn run<T: Lost + Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> Task<T> {
        let (work, task) = self.task(work);
        self.run_blocking(work);
        task
    }

    /// Work to be done on some thread, and the task that it ends.
    fn task<T, W>(&self, work: W) -> (impl FnOnce() + Send + use<T, W>, Task<T>)
    where
        T: Lost + Send + 'static,
        W: FnOnce(&Host) -> T + Send + 'static,
    {
        let (sender, task) = Task::new();
        let host = self.clone();
        let caller = Span::current();
        let work = move || {
            let result = caught(|| caller.in_scope(|| work(&host))).unwrap_or_else(T::lost);
            // Ended before anybody has the result.
            drop(caller);
            // A caller that has the result may count on its own handle being the last one.
            drop(host);
            // Nobody may be waiting for it.
            let _ = sender.send(result);
        };
        (work, task)
    }

    fn run_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.runtime().spawn_blocking(work);
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.inner.runtime.as_ref().expect("the runtime is only taken out by `drop`")
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }
}

/// Why the limits of an instance were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetLimitsError {
    /// There is no such instance.
    #[error("no such instance; it was unloaded, or never loaded")]
    Gone,
    /// A limit makes no sense.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugins = self.inner.registry.all();
        let names = plugins.iter().map(|instance| &*instance.plugin);
        formatter.debug_list().entries(names).finish()
    }
}
