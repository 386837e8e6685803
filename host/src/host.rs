use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use glovebox_abi::manifest::Limits;
use glovebox_abi::{Frame, Header, Permission};
use glovebox_events::{CallId, LoadStage, Outcome, What};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::context::Journal;
use crate::dispatch::{Job, Refusal, Ticket};
use crate::load::{LoadError, LoadProblem, LoadRequest, Preparer, Source};
use crate::policy::{Decision, PolicyMode};
use crate::registry::{InstanceId, Registry};
use crate::slot::Slot;
use crate::status::PluginStatus;
use crate::{HostBuilder, Loading, Task};

/// How often a frame may be passed on by `emit` before it is dropped and logged: two plugins that
/// answer each other would go on for ever.
const MAX_HOPS: u32 = 8;

/// Loads, runs, limits, swaps and watches plugins. Clones are handles to the same host.
///
/// When the last handle goes, all instances end.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) journal: Arc<Journal>,
    pub(crate) preparer: Preparer,
    mode: Mutex<PolicyMode>,
    runtime: Option<Runtime>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Which call, as events name it; 0 if no sink takes events.
    pub call: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the plugin answered; empty unless it completed.
    pub frames: Vec<Frame>,
}

impl Host {
    /// Starts setting a host up.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    pub(crate) fn assemble(journal: Arc<Journal>, preparer: Preparer, runtime: Runtime) -> Host {
        let mode = Mutex::default();
        let registry = Registry::default();
        Host {
            inner: Arc::new(Inner { registry, journal, preparer, mode, runtime: Some(runtime) }),
        }
    }

    /// Loads a plugin, stage by stage, on a thread of its own.
    pub fn load(&self, request: LoadRequest) -> Loading {
        self.spawn(move |host| host.load_now(request))
    }

    fn load_now(&self, request: LoadRequest) -> Result<InstanceId, LoadError> {
        let started = Instant::now();
        let loaded = self.inner.preparer.prepare(&request).and_then(|prepared| {
            let path = prepared.path.clone();
            let mode = *self.inner.mode.lock();
            self.inner
                .registry
                .try_insert(|id| {
                    Slot::start(id, request.clone(), prepared, mode, self.inner.journal.clone())
                })
                .map_err(|(stage, problem)| LoadError::new(stage, path, problem))
        });
        match &loaded {
            Ok(id) => {
                if let Some(slot) = self.slot(*id) {
                    let generation = slot.current();
                    let prepared = &generation.prepared;
                    slot.shared.record(
                        generation.number,
                        What::Loaded {
                            version: prepared.manifest.plugin.version.to_string(),
                            tier: prepared.tier,
                            binding: prepared.binding,
                            digest: prepared.digest.clone(),
                            took: started.elapsed(),
                            cached: prepared.cached,
                        },
                    );
                }
            }
            Err(error) => {
                let name = match &request.source {
                    Source::Path(path) => {
                        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
                    }
                    Source::Core(manifest, _) => manifest.plugin.id.clone(),
                };
                let what = What::LoadFailed { stage: error.stage(), message: error.to_string() };
                self.inner.journal.record(&name.into(), u64::MAX, 0, what);
            }
        }
        loaded
    }

    /// Ends an instance and forgets it. `false` if it was gone already.
    pub fn unload(&self, id: InstanceId) -> bool {
        let Some(slot) = self.inner.registry.remove(id) else {
            return false;
        };
        *slot.watching.lock() = None;
        // The call under way may take its time; nobody need wait for it.
        self.run_blocking(move || slot.stop());
        true
    }

    /// Gives a frame to an instance on this thread and waits for its answer: the fast path.
    ///
    /// Waits for a call that is under way on another thread. Not for asynchronous code, nor for a
    /// thread that draws a window: they use [`dispatch_to`](Self::dispatch_to) and
    /// [`try_dispatch_to`](Self::try_dispatch_to).
    pub fn call(&self, id: InstanceId, frame: &Frame) -> Reply {
        match self.inner.registry.get(id).as_ref().and_then(|guard| guard.as_ref()) {
            Some(slot) => self.call_slot(slot, frame, Duration::ZERO, 0),
            None => self.gone(),
        }
    }

    fn gone(&self) -> Reply {
        let reason = Refusal::Gone.to_string();
        let call = self.inner.journal.next_call();
        Reply { call, outcome: Outcome::Refused { reason }, frames: Vec::new() }
    }

    fn call_slot(&self, slot: &Slot, frame: &Frame, queue: Duration, hops: u32) -> Reply {
        let (reply, emitted) = slot.call(frame, queue);
        for frame in emitted {
            self.pass_on(slot, frame, hops + 1);
        }
        reply
    }

    /// Carries an emitted frame to the plugin it names, or to all others that accept its kind.
    fn pass_on(&self, from: &Slot, frame: Frame, hops: u32) {
        if hops > MAX_HOPS {
            let reason = format!("emitted frame dropped after {MAX_HOPS} hops");
            tracing::warn!(plugin = &*from.plugin, reason);
            from.note(&reason);
            return;
        }
        for slot in self.receivers(&frame, Some(from.id)) {
            match slot.queue.try_place() {
                Some(place) => {
                    let (_, first) = slot.queue.push(frame.clone(), hops, place);
                    if first {
                        self.work_off(slot);
                    }
                }
                None => {
                    let limit = slot.queue.limit();
                    let refusal = Refusal::Full { plugin: slot.plugin.to_string(), limit };
                    from.note(&format!("emitted frame dropped: {refusal}"));
                }
            }
        }
    }

    fn receivers(&self, frame: &Frame, from: Option<InstanceId>) -> Vec<Arc<Slot>> {
        if !frame.header.as_bytes().is_empty()
            && let Some(target) = frame.header.get_text(Header::TARGET)
        {
            return self.find(&target).and_then(|id| self.slot(id)).into_iter().collect();
        }
        let mut slots = self.inner.registry.all();
        slots.retain(|slot| Some(slot.id) != from && slot.accepts(frame.kind));
        slots
    }

    /// Routes a frame: to the plugin that its header's `target` names, otherwise to all that
    /// accept its kind. Waits while a queue is full.
    pub async fn dispatch(&self, frame: Frame) -> Vec<(InstanceId, Reply)> {
        let mut tickets = Vec::new();
        for slot in self.receivers(&frame, None) {
            let id = slot.id;
            if let Some(place) = slot.queue.wait_for_place().await {
                tickets.push((id, self.enqueue(slot, frame.clone(), place)));
            }
        }
        let mut replies = Vec::with_capacity(tickets.len());
        for (id, ticket) in tickets {
            replies.push((id, ticket.await));
        }
        replies
    }

    /// Queues a frame for one instance; waits while the queue is full, then for the answer.
    pub async fn dispatch_to(&self, id: InstanceId, frame: Frame) -> Reply {
        let Some(slot) = self.slot(id) else {
            return self.gone();
        };
        match slot.queue.wait_for_place().await {
            Some(place) => self.enqueue(slot, frame, place).await,
            None => self.gone(),
        }
    }

    /// Queues a frame for each plugin that [`dispatch`](Self::dispatch) would route it to, and does
    /// not wait.
    ///
    /// # Errors
    ///
    /// If a queue is full; then no plugin gets the frame.
    pub fn try_dispatch(&self, frame: &Frame) -> Result<Vec<(InstanceId, Ticket)>, Refusal> {
        let slots = self.receivers(frame, None);
        let places: Vec<_> = slots
            .iter()
            .map(|slot| slot.queue.try_place().ok_or_else(|| full(slot)))
            .collect::<Result<_, _>>()?;
        let placed = slots.into_iter().zip(places);
        Ok(placed
            .map(|(slot, place)| (slot.id, self.enqueue(slot, frame.clone(), place)))
            .collect())
    }

    /// Queues a frame for one instance and does not wait.
    ///
    /// # Errors
    ///
    /// If its queue is full, or it is gone.
    pub fn try_dispatch_to(&self, id: InstanceId, frame: Frame) -> Result<Ticket, Refusal> {
        let slot = self.slot(id).ok_or(Refusal::Gone)?;
        let place = slot.queue.try_place().ok_or_else(|| full(&slot))?;
        Ok(self.enqueue(slot, frame, place))
    }

    fn enqueue(
        &self,
        slot: Arc<Slot>,
        frame: Frame,
        place: tokio::sync::OwnedSemaphorePermit,
    ) -> Ticket {
        let (ticket, first) = slot.queue.push(frame, 0, place);
        if first {
            self.work_off(slot);
        }
        ticket
    }

    /// Works a queue off on a thread of the pool: idle instances cost none, and a hung one holds
    /// only its own.
    fn work_off(&self, slot: Arc<Slot>) {
        let host = self.clone();
        self.run_blocking(move || {
            slot.queue.work_off(|Job { frame, queued, hops, answer, .. }| {
                let reply = host.call_slot(&slot, &frame, queued.elapsed(), hops);
                // Nobody may be waiting for the answer.
                let _ = answer.send(reply);
            });
        });
    }

    /// The state of all instances.
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.inner.registry.all().iter().map(|slot| slot.status()).collect()
    }

    /// The state of one instance.
    pub fn plugin(&self, id: InstanceId) -> Option<PluginStatus> {
        self.slot(id).map(|slot| slot.status())
    }

    /// The instance of a plugin that was loaded last.
    pub fn find(&self, plugin: &str) -> Option<InstanceId> {
        self.inner.registry.find(plugin)
    }

    /// True if the id names an instance: one lookup in the registry.
    pub fn contains(&self, id: InstanceId) -> bool {
        self.inner.registry.get(id).is_some()
    }

    /// Decides about one permission of one instance; in effect at once. `false` if it is gone.
    pub fn set_decision(&self, id: InstanceId, permission: Permission, decision: Decision) -> bool {
        self.slot(id).map(|slot| slot.decide(permission, decision)).is_some()
    }

    /// Changes the limits of one instance; in effect from the next call. `false` if it is gone.
    pub fn set_limits(&self, id: InstanceId, limits: Limits) -> bool {
        let _runtime = self.runtime().enter();
        self.slot(id).map(|slot| slot.set_limits(limits)).is_some()
    }

    /// Decides what is granted where nobody decided about a single permission; in effect at once.
    pub fn set_policy_mode(&self, mode: PolicyMode) {
        *self.inner.mode.lock() = mode;
        for slot in self.inner.registry.all() {
            slot.set_mode(mode);
        }
    }

    /// What is granted where nobody decided about a single permission.
    pub fn policy_mode(&self) -> PolicyMode {
        *self.inner.mode.lock()
    }

    pub(crate) fn slot(&self, id: InstanceId) -> Option<Arc<Slot>> {
        self.inner.registry.get(id)?.as_ref().cloned()
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> Task<T> {
        let (sender, task) = Task::new();
        let host = self.clone();
        self.run_blocking(move || {
            // Nobody may be waiting for the result.
            let _ = sender.send(work(&host));
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

fn full(slot: &Slot) -> Refusal {
    Refusal::Full { plugin: slot.plugin.to_string(), limit: slot.queue.limit() }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // No handle is left, so no call is under way that this would wait for.
        for slot in self.registry.all() {
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

/// Errors of stages after preparing, with the file they are about.
pub(crate) fn about(slot: &Slot) -> impl Fn((LoadStage, LoadProblem)) -> LoadError {
    let path = slot.current().prepared.path.clone();
    move |(stage, problem)| LoadError::new(stage, path.clone(), problem)
}
