//! The host: all instances, and everything that can be asked of them.
//!
//! [`instances`] lets them come and go, [`call`] is the way of one call, [`dispatch`] the way through
//! queues.

mod call;
mod dispatch;
mod instances;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use glovebox_abi::manifest::Limits;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tracing::Span;

use crate::guard::caught;
use crate::journal::Journal;
use crate::load::{CacheStats, CompileStatus, LoadRequest, Preparer};
use crate::permissions::HostRules;
use crate::registry::{InstanceId, Registry};
use crate::slot::{Slot, Surroundings};
use crate::state::StateStore;
use crate::status::{DispatchCounters, DispatchStats, PluginStatus};
use crate::task::Lost;
use crate::{HostBuilder, Mock, Profile, Task};

pub use call::Reply;
pub use instances::Drained;
pub(crate) use instances::about;

/// Loads, runs, limits, swaps and watches plugins. Clones are handles to the same host.
///
/// When the last handle goes, all instances end.
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
    pub(crate) surroundings: Surroundings,
    pub(crate) preparer: Preparer,
    pub(crate) dispatched: DispatchCounters,
    /// How many loads may run at the same time.
    loads: Arc<Semaphore>,
    pub(crate) rules: Mutex<HostRules>,
    profile: Mutex<Option<Profile>>,
    mock: Option<Arc<Mock>>,
    runtime: Option<Runtime>,
}

impl Host {
    /// Starts setting a host up.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    pub(crate) fn assemble(
        journal: Arc<Journal>,
        preparer: Preparer,
        states: Option<StateStore>,
        rules: HostRules,
        runtime: Runtime,
        profile: Option<Profile>,
        mock: Option<Arc<Mock>>,
    ) -> Host {
        let rules = Mutex::new(rules);
        let (registry, dispatched) = Default::default();
        let states = states.map(Arc::new);
        let surroundings = Surroundings { journal, states, runtime: runtime.handle().clone() };
        let runtime = Some(runtime);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let loads = Arc::new(Semaphore::new(cores));
        let profile = Mutex::new(profile);
        let inner = Inner {
            registry,
            surroundings,
            preparer,
            dispatched,
            loads,
            rules,
            profile,
            mock,
            runtime,
        };
        Host { inner: Arc::new(inner) }
    }

    /// What the queues did so far.
    pub fn dispatch_stats(&self) -> DispatchStats {
        self.inner.dispatched.read()
    }

    /// Events on which the sink panicked, so that it may not have kept them. Calls go on.
    pub fn unheard_events(&self) -> u64 {
        self.inner.surroundings.journal.unheard()
    }

    /// Events after which the waker panicked, so that nobody may have looked at them. Calls go on.
    pub fn failed_wakes(&self) -> u64 {
        self.inner.surroundings.journal.failed_wakes()
    }

    /// What the compile cache did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.inner.preparer.engines.cache_stats()
    }

    /// The compiles that are under way, those first that began first: also those that took too long
    /// or were cancelled, which go on until they are done because a thread cannot be killed.
    pub fn compiles(&self) -> Vec<CompileStatus> {
        self.inner.preparer.compiling()
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
        self.inner.registry.all().iter().map(|slot| slot.status()).collect()
    }

    /// The state of one instance.
    pub fn plugin(&self, id: InstanceId) -> Option<PluginStatus> {
        self.slot(id).map(|slot| slot.status())
    }

    /// How an instance was loaded, to load another one like it, and what was decided about what it may
    /// do. What else was changed since, such as its limits, is not part of it.
    pub fn request(&self, id: InstanceId) -> Option<LoadRequest> {
        self.slot(id)
            .map(|slot| LoadRequest { decisions: Some(slot.decisions()), ..slot.request.clone() })
    }

    /// The instance of a plugin that was loaded last.
    pub fn find(&self, plugin: &str) -> Option<InstanceId> {
        self.inner.registry.find(plugin)
    }

    /// True if the id names an instance: one lookup in the registry.
    pub fn contains(&self, id: InstanceId) -> bool {
        self.inner.registry.contains(id)
    }

    /// Changes the limits of one instance; in effect from the next call. `false` if it is gone.
    pub fn set_limits(&self, id: InstanceId, limits: Limits) -> bool {
        self.slot(id).map(|slot| slot.set_limits(limits)).is_some()
    }

    pub(crate) fn slot(&self, id: InstanceId) -> Option<Arc<Slot>> {
        self.inner.registry.get(id)
    }

    pub(crate) fn spawn<T: Lost + Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> Task<T> {
        let (sender, task) = Task::new();
        let host = self.clone();
        let caller = Span::current();
        self.run_blocking(move || {
            let result = caught(|| caller.in_scope(|| work(&host))).unwrap_or_else(T::lost);
            // Ended before anybody has the result.
            drop(caller);
            // Whoever has the result may count on its own handle being the last one.
            drop(host);
            // Nobody may be waiting for it.
            let _ = sender.send(result);
        });
        task
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

impl Drop for Inner {
    fn drop(&mut self) {
        // No handle is left, so no call is under way that this would wait for.
        // What was loaded later may depend on what was loaded before.
        for slot in self.registry.all().into_iter().rev() {
            slot.stop();
        }
        // The last handle may go on a thread of the pool itself, which must not wait for itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugins = self.inner.registry.all();
        let names = plugins.iter().map(|slot| &*slot.plugin);
        formatter.debug_list().entries(names).finish()
    }
}
