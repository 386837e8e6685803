use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{Limits, OnFailure};
use glovebox_abi::{Frame, Header};
use glovebox_events::{CallId, LoadStage, Outcome, ReloadCause, What};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tracing::Span;

use crate::context::Journal;
use crate::dispatch::{BatchTicket, Places, Refusal, Ticket, Work};
use crate::load::{CacheStats, LoadError, LoadProblem, LoadRequest, Preparer, Source};
use crate::observe::span;
use crate::permissions::HostRules;
use crate::registry::{InstanceId, Registry};
use crate::reload::gone;
use crate::seat::Held;
use crate::slot::{Carry, Slot, Surroundings};
use crate::state::StateStore;
use crate::status::{DispatchCounters, DispatchStats, PluginStatus};
use crate::{Frames, HostBuilder, Loading, Mock, Profile, Task};

/// How often a frame may be passed on by `emit` before it is dropped and logged: two plugins that
/// answer each other would go on for ever.
const MAX_HOPS: u32 = 8;

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
/// | debug | the stages inside a load or reload, by the names of [`LoadStage`], and `switch`; `save state`, `health`; `dispatch`, from the queue to the answers; `call`; `service`, for each use of a host service |
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

impl Default for Reply {
    /// An empty answer of no call.
    fn default() -> Reply {
        Reply { call: CallId(0), outcome: Outcome::Completed, frames: Frames::new() }
    }
}

/// What came of draining an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Frames that were finished.
    pub processed: u64,
    /// Frames that were refused because the deadline came first.
    pub refused: u64,
    /// True if nothing was left at the deadline.
    pub in_time: bool,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Which call, as events name it; 0 if no sink takes events.
    pub call: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the plugin answered. Empty if it did not complete, unless its manifest says
    /// `on-failure = "fail-open"`: then it is the frame that was given.
    pub frames: Frames,
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

    /// Loads a plugin, stage by stage, on another thread. As many loads as the machine has cores run
    /// at the same time; further ones wait their turn.
    pub fn load(&self, request: LoadRequest) -> Loading {
        let (sender, task) = Task::new();
        let host = self.clone();
        let turns = self.inner.loads.clone();
        let span = span::load();
        self.runtime().spawn(async move {
            // The turns are never closed.
            let turn = turns.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let loaded = span.in_scope(|| host.load_now(request, &span));
                // Ended before anybody has the result.
                drop(span);
                drop(turn);
                // Whoever has the result may count on its own handle being the last one.
                drop(host);
                // Nobody may be waiting for it.
                let _ = sender.send(loaded);
            });
        });
        task
    }

    fn load_now(&self, mut request: LoadRequest, span: &Span) -> Result<InstanceId, LoadError> {
        request.mock = request.mock.or_else(|| self.inner.mock.clone());
        let started = Instant::now();
        let preparer = &self.inner.preparer;
        let prepared = self.check_profile(&request).and_then(|()| match request.lazy {
            true => preparer.glance(&request),
            false => preparer.prepare(&request),
        });
        let loaded = prepared.and_then(|prepared| {
            let path = prepared.path.clone();
            let rules = self.inner.rules.lock().clone();
            self.inner
                .registry
                .try_insert(|id, seat| {
                    let surroundings = self.inner.surroundings.clone();
                    Slot::start(id, seat, request.clone(), prepared, rules, surroundings)
                })
                .map_err(|(stage, problem)| LoadError::new(stage, path, problem))
        });
        match &loaded {
            Ok(id) => {
                self.inner.dispatched.load();
                if let Some(slot) = self.slot(*id) {
                    span::tell(span, &slot.about());
                    if !slot.is_asleep() {
                        self.started(&slot, started.elapsed());
                    }
                    self.follow_profile(&slot, &request);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "not loaded");
                let name = match &request.source {
                    Source::Path(path) => {
                        path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
                    }
                    Source::Core(manifest, _) => manifest.plugin.id.clone(),
                };
                let what = What::LoadFailed { stage: error.stage(), message: error.to_string() };
                self.inner.surroundings.journal.record(&name.into(), u64::MAX, 0, what);
            }
        }
        loaded
    }

    /// Says that an instance runs, and begins to look after it.
    fn started(&self, slot: &Arc<Slot>, took: Duration) {
        slot.tend();
        let generation = slot.current();
        let prepared = &generation.prepared;
        tracing::info!(plugin = &*slot.plugin, instance = %slot.id, ?took, "loaded");
        slot.shared.record(
            generation.number,
            What::Loaded {
                version: prepared.manifest.plugin.version.to_string(),
                tier: prepared.tier,
                binding: prepared.binding,
                digest: prepared.digest.clone(),
                took,
                cached: prepared.cached,
            },
        );
    }

    /// Compiles and starts an instance that was loaded lazily. Once it failed, only a restart or a
    /// reload tries again.
    pub(crate) fn wake(&self, slot: &Arc<Slot>) -> Result<(), LoadError> {
        let _one_at_a_time = slot.reloading.lock();
        if !slot.is_asleep() || slot.fault().is_some() {
            return Ok(());
        }
        let span = span::load();
        let _entered = span.enter();
        let begun = Instant::now();
        let woken = self
            .inner
            .preparer
            .prepare(&slot.request)
            .inspect_err(|error| slot.fault_with(&error.to_string()))
            .and_then(|prepared| slot.awaken(prepared).map_err(about(slot)));
        span::tell(&span, &slot.about());
        match &woken {
            Ok(()) => {
                self.inner.registry.set_by_slot(slot.id, slot.copies() > 1);
                self.started(slot, begun.elapsed());
            }
            Err(error) => {
                let what = What::LoadFailed { stage: error.stage(), message: error.to_string() };
                slot.shared.record(0, what);
            }
        }
        woken
    }

    /// Refuses what the profile does not allow.
    fn check_profile(&self, request: &LoadRequest) -> Result<(), LoadError> {
        match &*self.inner.profile.lock() {
            Some(profile) if request.mock.is_some() && !profile.mocks() => {
                let problem = LoadProblem::MocksRefused { profile: profile.name().to_owned() };
                let path = match &request.source {
                    Source::Path(path) => Some(path.clone()),
                    Source::Core(..) => None,
                };
                Err(LoadError::new(LoadStage::Policy, path, problem))
            }
            _ => Ok(()),
        }
    }

    /// Says that services are mocked, and starts the watch that the profile wants.
    fn follow_profile(&self, slot: &Slot, request: &LoadRequest) {
        if let Some(mock) = &request.mock {
            slot.shared.record(1, What::PolicyChanged { summary: mock.summary() });
        }
        let reload = self.inner.profile.lock().as_ref().is_some_and(Profile::reload);
        let from_file = matches!(request.source, Source::Path(_));
        if reload
            && from_file
            && let Err(error) = self.watch(slot.id, true)
        {
            tracing::warn!(plugin = &*slot.plugin, %error, "not watched");
            slot.note(&format!("a change of the artifact will not reload it: {error}"));
        }
    }

    /// Changes what the host is run for, for what is loaded from now on.
    pub fn set_profile(&self, profile: Profile) {
        *self.inner.profile.lock() = Some(profile);
    }

    /// What the host is run for, if anybody said so.
    pub fn profile(&self) -> Option<Profile> {
        self.inner.profile.lock().clone()
    }

    /// Ends an instance and forgets it; frames that wait are refused. `false` if it was gone already.
    pub fn unload(&self, id: InstanceId) -> bool {
        let Some(slot) = self.inner.registry.remove(id) else {
            return false;
        };
        tracing::info!(plugin = &*slot.plugin, instance = %id, "unloaded");
        let host = self.clone();
        // The call under way may take its time; nobody need wait for it.
        self.run_blocking(move || host.end(&slot));
        true
    }

    /// Lets an instance finish what waits, takes nothing new meanwhile, and then ends it. What is
    /// left at the deadline is refused.
    pub fn drain(&self, id: InstanceId, deadline: Duration) -> Task<Drained> {
        let (sender, task) = Task::new();
        let host = self.clone();
        self.runtime().spawn(async move {
            let drained = match host.slot(id) {
                Some(slot) => host.drain_slot(slot, deadline).await,
                None => Drained::default(),
            };
            // Nobody may be waiting for the result.
            let _ = sender.send(drained);
        });
        task
    }

    async fn drain_slot(&self, slot: Arc<Slot>, deadline: Duration) -> Drained {
        let before = slot.status().stats.processed;
        slot.queue.close();
        self.inner.registry.set_by_slot(slot.id, true);
        slot.begin_draining("asked to finish");
        let in_time = tokio::time::timeout(deadline, slot.queue.wait_until_empty()).await.is_ok();
        let left = self.refuse_rest(&slot);
        let processed = slot.status().stats.processed - before;
        if self.inner.registry.remove(slot.id).is_some() {
            let host = self.clone();
            self.run_blocking(move || host.end(&slot));
        }
        Drained { processed, refused: left, in_time }
    }

    /// Answers what still waits for an instance that will not work any more.
    fn refuse_rest(&self, slot: &Slot) -> u64 {
        let mut left = 0;
        for job in slot.queue.abandon() {
            match job.work {
                Work::One(_, answer) => {
                    left += 1;
                    drop(answer.send(self.gone()));
                }
                Work::Batch(frames, answer) => {
                    left += frames.len() as u64;
                    drop(answer.send(frames.iter().map(|_| self.gone()).collect()));
                }
            }
        }
        left
    }

    /// Ends an instance that was taken out of the registry.
    pub(crate) fn end(&self, slot: &Slot) {
        let _span = span::unload(&slot.about()).entered();
        *slot.watching.lock() = None;
        slot.queue.close();
        self.refuse_rest(slot);
        slot.stop();
        self.inner.dispatched.unload();
        self.inner.registry.free(slot.id);
    }

    /// Replaces all copies of an instance by fresh ones of the same artifact; also of one that failed
    /// so often that only a person restarts it.
    pub fn restart(&self, id: InstanceId) -> Task<Result<(), LoadError>> {
        self.spawn(move |host| {
            let slot = host.slot(id).ok_or_else(gone)?;
            if slot.is_asleep() {
                slot.forget_fault();
                return host.wake(&slot);
            }
            slot.restart().map_err(about(&slot))
        })
    }

    /// Saves the states of an instance now, if its manifest asks for them to be kept. `false` if it
    /// does not, or the instance is gone. What goes wrong is an event.
    pub fn save_state(&self, id: InstanceId) -> Task<bool> {
        self.spawn(move |host| host.slot(id).is_some_and(|slot| slot.keep_states()))
    }

    /// Takes the calls back that are under way. They end as cancelled: wasm within some
    /// milliseconds, wherever it is; core and native plugins at their next host call, because code
    /// of this process cannot be stopped. `false` if the instance is gone.
    pub fn cancel(&self, id: InstanceId) -> bool {
        self.slot(id).map(|slot| slot.shared.cancellations.fetch_add(1, Relaxed)).is_some()
    }

    /// Gives a frame to an instance on this thread and waits for its answer: the fast path.
    ///
    /// Waits for a call that is under way on another thread. Not for asynchronous code, nor for a
    /// thread that draws a window: they use [`dispatch_to`](Self::dispatch_to) and
    /// [`try_dispatch_to`](Self::try_dispatch_to).
    pub fn call(&self, id: InstanceId, frame: &Frame) -> Reply {
        // Written in place: a reply is too large to be moved about.
        let mut reply = Reply::default();
        match self.inner.registry.seat(id) {
            Some((seat, false)) => match seat.hold(id) {
                Some(mut held) => {
                    self.call_held(&mut held, frame, Duration::ZERO, 0, &mut reply);
                }
                None => reply = self.gone(),
            },
            Some((_, true)) => self.call_by_slot(id, frame, &mut reply),
            None => reply = self.gone(),
        }
        if !reply.outcome.is_completed()
            && let Some(slot) = self.slot(id)
        {
            self.after_failure(&slot, frame, 0, &mut reply);
        }
        reply
    }

    /// Does what the manifest says about failed calls. No copy may be held.
    #[cold]
    fn after_failure(&self, slot: &Arc<Slot>, frame: &Frame, hops: u32, reply: &mut Reply) {
        if reply.outcome.is_refused() {
            return;
        }
        match slot.current().prepared.manifest.lifecycle.on_failure {
            OnFailure::FailClosed => {}
            OnFailure::FailOpen => reply.frames.push(frame.clone()),
            OnFailure::Reload => {
                // If it cannot be loaded anew, the failure stands, and an event says why.
                if self.replace(slot, ReloadCause::Restart, Carry::Current).is_err() {
                    return;
                }
                if let Some(mut held) = slot.hold_any() {
                    *reply = Reply::default();
                    self.call_held(&mut held, frame, Duration::ZERO, hops, reply);
                }
            }
        }
    }

    #[cold]
    fn call_by_slot(&self, id: InstanceId, frame: &Frame, reply: &mut Reply) {
        let Some(slot) = self.slot(id) else {
            *reply = self.gone();
            return;
        };
        if !slot.queue.is_open() {
            *reply = self.refused(&Refusal::Draining { plugin: slot.plugin.to_string() });
            return;
        }
        // What goes wrong becomes the fault of the instance, and the reason of a refusal.
        let _ = self.wake(&slot);
        match slot.hold_any() {
            Some(mut held) => self.call_held(&mut held, frame, Duration::ZERO, 0, reply),
            None => *reply = self.gone(),
        }
    }

    #[cold]
    fn gone(&self) -> Reply {
        self.refused(&Refusal::Gone)
    }

    fn refused(&self, refusal: &Refusal) -> Reply {
        let reason = refusal.to_string();
        let call = self.inner.surroundings.journal.next_call();
        Reply { call, outcome: Outcome::Refused { reason }, frames: Frames::new() }
    }

    #[inline]
    fn call_held(
        &self,
        held: &mut Held<'_>,
        frame: &Frame,
        queue: Duration,
        hops: u32,
        reply: &mut Reply,
    ) {
        let running = held.running();
        running.call(frame, queue, reply);
        for frame in running.emitted.drain(..) {
            self.pass_on(&running.slot, frame, hops + 1);
        }
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
            match self.try_places(&slot, 1) {
                // Nobody waits for the answer.
                Ok(place) => drop(self.enqueue(slot, frame.clone(), hops, place)),
                Err(refusal) => from.note(&format!("emitted frame dropped: {refusal}")),
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
    /// accept its kind. Waits while a queue is full, then for all answers.
    pub async fn dispatch(&self, frame: Frame) -> Vec<(InstanceId, Reply)> {
        let receivers = self.receivers(&frame, None);
        self.dispatch_among(receivers, frame).await
    }

    /// Sends a frame to all plugins that accept its kind, whatever its header's `target` says.
    /// Waits while a queue is full, then for all answers.
    pub async fn broadcast(&self, frame: Frame) -> Vec<(InstanceId, Reply)> {
        let mut receivers = self.inner.registry.all();
        receivers.retain(|slot| slot.accepts(frame.kind));
        self.dispatch_among(receivers, frame).await
    }

    async fn dispatch_among(
        &self,
        receivers: Vec<Arc<Slot>>,
        frame: Frame,
    ) -> Vec<(InstanceId, Reply)> {
        let mut tickets = Vec::with_capacity(receivers.len());
        for slot in receivers {
            let id = slot.id;
            if let Some(place) = slot.queue.wait_for_places(1).await {
                tickets.push((id, self.enqueue(slot, frame.clone(), 0, place)));
            }
        }
        let mut replies = Vec::with_capacity(tickets.len());
        for (id, ticket) in tickets {
            replies.push((id, ticket.await));
        }
        replies
    }

    /// Queues a frame for one instance; waits while the queue is full, then for the answer.
    ///
    /// If the instance has several copies, frames of one `source` are handled by the same copy, in
    /// order; frames without a source go to the copies in turn.
    pub async fn dispatch_to(&self, id: InstanceId, frame: Frame) -> Reply {
        let Some(slot) = self.slot(id) else {
            return self.gone();
        };
        match slot.queue.wait_for_places(1).await {
            Some(place) => self.enqueue(slot, frame, 0, place).await,
            None => self.refused(&Refusal::Draining { plugin: slot.plugin.to_string() }),
        }
    }

    /// Queues frames for one instance as one piece of work, which costs far less than one by one;
    /// waits while the queue is full, then for all answers, which come in the order of the frames.
    ///
    /// If the instance has several copies, the batch goes to one of them. More frames than the
    /// queue holds are queued in several pieces.
    pub async fn dispatch_batch(&self, id: InstanceId, mut frames: Vec<Frame>) -> Vec<Reply> {
        let Some(slot) = self.slot(id) else {
            return frames.iter().map(|_| self.gone()).collect();
        };
        let Some(first) = frames.first() else { return Vec::new() };
        let lane = slot.queue.lane_for(first);
        let mut replies = Vec::with_capacity(frames.len());
        while !frames.is_empty() {
            let count = frames.len().min(slot.queue.limit() as usize);
            let rest = frames.split_off(count);
            match slot.queue.wait_for_places(count as u32).await {
                Some(places) => {
                    let ticket = self.enqueue_batch(slot.clone(), lane, frames, places);
                    replies.extend(ticket.await);
                }
                None => {
                    let refusal = Refusal::Draining { plugin: slot.plugin.to_string() };
                    replies.extend(frames.iter().map(|_| self.refused(&refusal)));
                }
            }
            frames = rest;
        }
        replies
    }

    /// Queues frames for one instance as one piece of work, and does not wait.
    ///
    /// # Errors
    ///
    /// If the queue has no room for all of them, or the instance is gone; then none is queued.
    pub fn try_dispatch_batch(
        &self,
        id: InstanceId,
        frames: Vec<Frame>,
    ) -> Result<BatchTicket, Refusal> {
        let slot = self.slot(id).ok_or(Refusal::Gone)?;
        let limit = slot.queue.limit();
        if frames.len() > limit as usize {
            self.inner.dispatched.refuse();
            let plugin = slot.plugin.to_string();
            return Err(Refusal::TooMany { plugin, frames: frames.len(), limit });
        }
        let places = self.try_places(&slot, frames.len() as u32)?;
        let lane = frames.first().map_or(0, |first| slot.queue.lane_for(first));
        Ok(self.enqueue_batch(slot, lane, frames, places))
    }

    /// Queues a frame for each plugin that [`dispatch`](Self::dispatch) would route it to, and does
    /// not wait.
    ///
    /// # Errors
    ///
    /// If a queue is full; then no plugin gets the frame.
    pub fn try_dispatch(&self, frame: &Frame) -> Result<Vec<(InstanceId, Ticket)>, Refusal> {
        let slots = self.receivers(frame, None);
        let places: Vec<_> =
            slots.iter().map(|slot| self.try_places(slot, 1)).collect::<Result<_, _>>()?;
        let placed = slots.into_iter().zip(places);
        Ok(placed
            .map(|(slot, place)| (slot.id, self.enqueue(slot, frame.clone(), 0, place)))
            .collect())
    }

    /// Queues a frame for one instance and does not wait.
    ///
    /// # Errors
    ///
    /// If its queue is full, or it is draining or gone.
    pub fn try_dispatch_to(&self, id: InstanceId, frame: Frame) -> Result<Ticket, Refusal> {
        let slot = self.slot(id).ok_or(Refusal::Gone)?;
        let place = self.try_places(&slot, 1)?;
        Ok(self.enqueue(slot, frame, 0, place))
    }

    fn try_places(&self, slot: &Slot, count: u32) -> Result<Places, Refusal> {
        slot.queue.try_places(count).ok_or_else(|| {
            self.inner.dispatched.refuse();
            let plugin = slot.plugin.to_string();
            match slot.queue.is_open() {
                true => Refusal::Full { plugin, limit: slot.queue.limit() },
                false => Refusal::Draining { plugin },
            }
        })
    }

    fn enqueue(&self, slot: Arc<Slot>, frame: Frame, hops: u32, place: Places) -> Ticket {
        let lane = slot.queue.lane_for(&frame);
        let (answer, ticket) = Task::new();
        self.push(slot, lane, Work::One(frame, answer), 1, hops, place);
        ticket
    }

    fn enqueue_batch(
        &self,
        slot: Arc<Slot>,
        lane: usize,
        frames: Vec<Frame>,
        places: Places,
    ) -> BatchTicket {
        let (answer, ticket) = Task::new();
        let count = frames.len() as u64;
        self.push(slot, lane, Work::Batch(frames, answer), count, 0, places);
        ticket
    }

    fn push(
        &self,
        slot: Arc<Slot>,
        lane: usize,
        work: Work,
        count: u64,
        hops: u32,
        places: Places,
    ) {
        self.inner.dispatched.dispatch(count);
        let queued = self.inner.surroundings.journal.is_heard().then(Instant::now);
        let span = match span::calls_are_traced() {
            true => span::dispatch(&slot.about(), count),
            false => Span::none(),
        };
        // Works the lane off on a thread of the pool: idle instances cost none, and a hung one
        // holds only its own.
        if slot.queue.push(lane, work, queued, span, hops, places) {
            let host = self.clone();
            self.run_blocking(move || host.work(&slot, lane));
        }
    }

    fn work(&self, slot: &Arc<Slot>, lane: usize) {
        if slot.is_asleep() {
            // What goes wrong becomes the fault of the instance, and the reason of a refusal.
            let _ = self.wake(slot);
        }
        slot.queue.work_off(lane, |job| {
            let span = job.span;
            let entered = span.enter();
            let mut errors = 0;
            let waited = job.queued.map(|queued| queued.elapsed()).unwrap_or_default();
            // Held for the whole job, and given up after it, so that direct calls, reloads and checks
            // get their turn.
            let mut held = slot.hold_copy(lane);
            let mut call = |frame: &Frame| {
                let mut reply = Reply::default();
                match &mut held {
                    Some(held) => self.call_held(held, frame, waited, job.hops, &mut reply),
                    None => reply = self.gone(),
                }
                if !reply.outcome.is_completed() {
                    errors += 1;
                    held = None;
                    self.after_failure(slot, frame, job.hops, &mut reply);
                    held = slot.hold_copy(lane);
                }
                reply
            };
            // The span ends before anybody has the answers, and nobody may be waiting for them.
            match job.work {
                Work::One(frame, answer) => {
                    let reply = call(&frame);
                    drop(entered);
                    drop(span);
                    drop(answer.send(reply));
                }
                Work::Batch(frames, answer) => {
                    let replies = frames.iter().map(call).collect();
                    drop(entered);
                    drop(span);
                    drop(answer.send(replies));
                }
            }
            self.inner.dispatched.fail(errors);
        });
    }

    /// What the queues did so far.
    pub fn dispatch_stats(&self) -> DispatchStats {
        self.inner.dispatched.read()
    }

    /// Events on which the sink panicked, so that it may not have kept them. Calls go on.
    pub fn unheard_events(&self) -> u64 {
        self.inner.surroundings.journal.unheard()
    }

    /// What the compile cache did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.inner.preparer.engines.cache_stats()
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
        let _runtime = self.runtime().enter();
        self.slot(id).map(|slot| slot.set_limits(limits)).is_some()
    }

    pub(crate) fn slot(&self, id: InstanceId) -> Option<Arc<Slot>> {
        self.inner.registry.get(id)
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> T + Send + 'static,
    ) -> Task<T> {
        let (sender, task) = Task::new();
        let host = self.clone();
        let caller = Span::current();
        self.run_blocking(move || {
            let result = caller.in_scope(|| work(&host));
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
