//! Loads and unloads instances.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use glovebox_events::{LoadStage, NoteKind, What};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::dispatch::give;
use super::{Host, Loading, Mocks, Profile, Reloads, gone};
use crate::guard::caught;
use crate::id::InstanceId;
use crate::instance::{HeldGuard, Instance, Work};
use crate::load::{LoadRequest, Prepared};
use crate::problem::{LoadError, LoadProblem, StageError};
use crate::record::span;
use crate::services::ANSWERABLE;
use crate::task::{Lost, Task};
use crate::underway::Underway;

/// The result of draining an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drained {
    /// Frames that were finished.
    pub processed: u64,
    /// Frames that were refused because the deadline came first.
    pub refused: u64,
    /// True if nothing was left at the deadline.
    pub in_time: bool,
}

impl Lost for Drained {
    /// Nothing was finished, and not in time.
    fn lost(_: String) -> Drained {
        Drained::default()
    }
}

impl Host {
    /// Loads a plugin, stage by stage, on another thread. As many plugins as the machine has cores are
    /// compiled at the same time, for loads, reloads and first frames of lazy ones; further ones wait
    /// their turn.
    pub fn load(&self, request: LoadRequest) -> Loading {
        let (sender, task) = Task::new();
        let host = self.clone();
        let threads = self.inner.threads.clone();
        let load = self.inner.loads.begin(request.source.origin());
        let span = span::load();
        self.runtime().spawn(async move {
            let thread = tokio::select! {
                // Never closed.
                thread = threads.acquire_owned() => thread.ok(),
                // The load itself says so.
                () = load.cancelled() => None,
            };
            tokio::task::spawn_blocking(move || {
                let loaded =
                    caught(|| span.in_scope(|| host.load_now(request, thread, load, &span)))
                        .unwrap_or_else(|reason| Err(LoadError::lost(reason)));
                // Ended before anybody has the result.
                drop(span);
                // A caller that has the result may count on its own handle being the last one.
                drop(host);
                // Nobody may be waiting for it.
                let _ = sender.send(loaded);
            });
        });
        task
    }

    /// `thread` is given back before code of the plugin runs, which may wait for another load.
    fn load_now(
        &self,
        mut request: LoadRequest,
        thread: Option<OwnedSemaphorePermit>,
        load: Underway,
        span: &Span,
    ) -> Result<InstanceId, LoadError> {
        request.mock = request.mock.or_else(|| self.inner.mock.clone());
        request.mock = request.mock.map(|mock| self.mock_now(mock));
        let turn = self.inner.turns.take(&load);
        let started = Instant::now();
        let preparer = &self.inner.preparer;
        let prepared = self
            .check_open(&request)
            .and_then(|()| self.check_profile(&request))
            .and_then(|()| match request.lazy {
                true => preparer.glance(&request, &load),
                false => preparer.prepare(&request, &load),
            });
        drop((turn, thread));
        let loaded = prepared.and_then(|prepared| self.start(&request, prepared, load));
        match &loaded {
            Ok((instance, missed)) => {
                self.inner.dispatched.load();
                span::tell(span, &instance.about());
                if !instance.is_asleep() {
                    self.started(instance, started.elapsed());
                }
                self.follow_profile(instance, &request);
                // The file of its mock may have changed before it was listed.
                self.follow_mock(instance);
                if let Some(renews) = *missed {
                    instance.tell_rules("the policy changed while it was loaded");
                    self.take_up(instance, renews);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "not loaded");
                let what = What::LoadFailed { stage: error.stage(), message: error.to_string() };
                let name = request.source.name().into();
                self.inner.resources.journal.record(&name, None, 0, what);
            }
        }
        loaded.map(|(instance, _)| instance.id)
    }

    /// Starts an instance and lists it. Beside it, what [`Instance::take_rules`] says if the rules
    /// changed while it started.
    fn start(
        &self,
        request: &LoadRequest,
        prepared: Prepared,
        load: Underway,
    ) -> Result<(Arc<Instance>, Option<bool>), LoadError> {
        let origin = prepared.origin.clone();
        let (registry, resources) = (&self.inner.registry, &self.inner.resources);
        let rules = self.inner.rules.lock().clone();
        let (id, cell) = registry.place();
        let started = Instance::start(id, cell, request.clone(), prepared, rules, resources, &load);
        let instance = started
            .inspect_err(|_| registry.free(id))
            .map_err(|error| load.explain(error.about(origin.clone())))?;
        // A change of the rules, and the end of the host, find the instance in the registry from here on.
        let rules = self.inner.rules.lock();
        let finished = load
            .finish()
            .map_err(|problem| LoadError::new(LoadStage::Initialize, Some(origin), problem));
        if let Err(error) = self.check_open(request).and(finished) {
            drop(rules);
            instance.stop();
            registry.free(id);
            return Err(error);
        }
        let missed = instance.take_rules(&rules);
        registry.insert(instance.clone());
        Ok((instance, missed))
    }

    /// Says that an instance runs, and begins to look after it.
    fn started(&self, instance: &Arc<Instance>, took: Duration) {
        instance.tend();
        instance.say_lowered();
        self.optimise_later(instance);
        let generation = instance.current();
        let prepared = &generation.prepared;
        tracing::info!(plugin = &*instance.plugin, instance = %instance.id, ?took, "loaded");
        instance.shared.record(
            generation.number,
            What::Loaded {
                version: prepared.manifest.plugin.version.to_string(),
                tier: prepared.tier,
                binding: prepared.binding,
                digest: prepared.digest.clone(),
                took,
                cached: prepared.precaution.is_cached(),
            },
        );
    }

    /// Compiles and starts an instance that was loaded lazily. Once it failed, only a restart or a
    /// reload tries again.
    pub(crate) fn wake(&self, instance: &Arc<Instance>) -> Result<(), LoadError> {
        let one_at_a_time = instance.reloading.lock();
        self.wake_locked(instance, &one_at_a_time)
    }

    /// The same for a holder of the lock on reloads.
    pub(super) fn wake_locked(
        &self,
        instance: &Arc<Instance>,
        _one_at_a_time: &HeldGuard<'_, ()>,
    ) -> Result<(), LoadError> {
        if !instance.is_asleep() || instance.fault().is_some() {
            return Ok(());
        }
        let span = span::load();
        let _entered = span.enter();
        let load = self.inner.loads.begin(instance.request().source.origin());
        let turn = self.inner.turns.take(&load);
        let begun = Instant::now();
        let prepared = self.inner.preparer.prepare(&instance.request(), &load);
        drop(turn);
        let woken = prepared
            .inspect_err(|error| instance.fault_with(&error.to_string()))
            .and_then(|prepared| instance.awaken(prepared).map_err(about(instance)));
        span::tell(&span, &instance.about());
        match &woken {
            Ok(()) => {
                self.inner.registry.set_needs_instance(instance.id, instance.copies() > 1);
                self.started(instance, begun.elapsed());
            }
            Err(error) => {
                let what = What::LoadFailed { stage: error.stage(), message: error.to_string() };
                instance.shared.record(0, what);
            }
        }
        woken
    }

    /// Refuses to load into a host that is shut down.
    fn check_open(&self, request: &LoadRequest) -> Result<(), LoadError> {
        match self.inner.closing.load(Relaxed) {
            false => Ok(()),
            true => {
                let origin = request.source.origin();
                Err(LoadError::new(LoadStage::Policy, Some(origin), LoadProblem::ShutDown))
            }
        }
    }

    /// Refuses what the profile does not allow.
    fn check_profile(&self, request: &LoadRequest) -> Result<(), LoadError> {
        match &*self.inner.profile.lock() {
            Some(profile)
                if (request.mock.is_some() || request.answers.is_some())
                    && profile.mocks() == Mocks::Refused =>
            {
                let problem = LoadProblem::MocksRefused { profile: profile.name().to_owned() };
                let origin = request.source.origin();
                Err(LoadError::new(LoadStage::Policy, Some(origin), problem))
            }
            _ => Ok(()),
        }
    }

    /// Says that services are mocked, and starts the watch that the profile wants.
    fn follow_profile(&self, instance: &Instance, request: &LoadRequest) {
        if let Some(mock) = &request.mock {
            instance.shared.record(1, What::PolicyChanged { summary: mock.summary() });
        }
        if request.answers.is_some() {
            let services = ANSWERABLE.join(", ");
            let summary = format!("answered by the application: {services}, functions");
            instance.shared.record(1, What::PolicyChanged { summary });
        }
        let reloads = self.inner.profile.lock().as_ref().map(Profile::reloads);
        if reloads == Some(Reloads::ByItself)
            && request.source.file().is_some()
            && let Err(error) = self.watch(instance.id)
        {
            tracing::warn!(plugin = &*instance.plugin, %error, "not watched");
            let text = format!("a change of the artifact will not reload it: {error}");
            instance.note(NoteKind::Watch, &text);
        }
    }

    /// Changes the profile, for plugins that are loaded from now on.
    pub fn set_profile(&self, profile: Profile) {
        *self.inner.profile.lock() = Some(profile);
    }

    /// The purpose of the host, if it was given.
    pub fn profile(&self) -> Option<Profile> {
        self.inner.profile.lock().clone()
    }

    /// Ends an instance and forgets it; frames that wait are refused. `false` if it was gone already.
    pub fn unload(&self, id: InstanceId) -> bool {
        let Some(instance) = self.inner.registry.remove(id) else {
            return false;
        };
        tracing::info!(plugin = &*instance.plugin, instance = %id, "unloaded");
        let host = self.clone();
        // The call under way may take its time; nobody need wait for it.
        self.run_blocking(move || host.end(&instance));
        true
    }

    /// Lets an instance finish its waiting frames, takes nothing new meanwhile, and then ends it.
    /// Frames that are left at the deadline are refused.
    ///
    /// The instance has ended when the task is done: its state is saved, and the plugin may be loaded
    /// again. A call that is still under way at the deadline is not waited for; then
    /// [`in_time`](Drained::in_time) is false, and the instance ends after that call.
    pub fn drain(&self, id: InstanceId, deadline: Duration) -> Task<Drained> {
        let (sender, task) = Task::new();
        let host = self.clone();
        self.runtime().spawn(async move {
            let drained = match host.instance(id) {
                Some(instance) => host.drain_instance(instance, deadline).await,
                None => Drained::default(),
            };
            // A caller that has the result may count on its own handle being the last one.
            drop(host);
            // Nobody may be waiting for it.
            let _ = sender.send(drained);
        });
        task
    }

    async fn drain_instance(&self, instance: Arc<Instance>, deadline: Duration) -> Drained {
        let until = tokio::time::sleep(deadline);
        tokio::pin!(until);
        let before = instance.status().stats.processed;
        instance.queue.close();
        self.inner.registry.set_needs_instance(instance.id, true);
        instance.begin_draining("asked to finish");
        let in_time = tokio::select! {
            biased;
            () = instance.queue.wait_idle() => true,
            () = &mut until => false,
        };
        let left = self.refuse_rest(&instance);
        let processed = instance.status().stats.processed - before;
        if self.inner.registry.remove(instance.id).is_some() {
            let (host, ending) = (self.clone(), instance.clone());
            self.run_blocking(move || host.end(&ending));
        }
        // Otherwise somebody else ends it.
        let mut ended = pin!(instance.has_ended());
        let mut is_ended = tokio::select! {
            biased;
            () = &mut ended => true,
            () = &mut until => false,
        };
        // A call that hangs does not hold up whoever drains.
        if !is_ended && !instance.is_held() {
            ended.await;
            is_ended = true;
        }
        Drained { processed, refused: left, in_time: in_time && is_ended }
    }

    /// Answers what still waits for an instance that will not work any more.
    pub(super) fn refuse_rest(&self, instance: &Instance) -> u64 {
        let mut left = 0;
        instance.queue.abandon(|work| match work {
            Work::One(_, answer) => {
                left += 1;
                give(answer, self.gone());
            }
            Work::Batch(frames, answer) => {
                left += frames.len() as u64;
                give(answer, frames.iter().map(|_| self.gone()).collect());
            }
        });
        left
    }

    /// Ends an instance that was taken out of the registry.
    pub(crate) fn end(&self, instance: &Instance) {
        let _span = span::unload(&instance.about()).entered();
        let ended = caught(|| {
            instance.stop_watching();
            instance.queue.close();
            self.refuse_rest(instance);
            instance.stop();
            self.inner.dispatched.unload();
            self.inner.registry.free(instance.id);
        });
        if let Err(reason) = ended {
            tracing::error!(plugin = &*instance.plugin, reason, "the end of an instance panicked");
        }
        instance.tell_ended();
    }

    /// Replaces all copies of an instance by fresh ones of the same artifact; also of one that failed
    /// so often that only a person restarts it.
    pub fn restart(&self, id: InstanceId) -> Task<Result<(), LoadError>> {
        self.run(move |host| {
            let instance = host.instance(id).ok_or_else(gone)?;
            // One that finishes its frames is about to end.
            if !instance.queue.is_open() {
                return Err(gone());
            }
            if instance.is_asleep() {
                instance.forget_fault();
                return host.wake(&instance);
            }
            instance.restart().map_err(about(&instance))
        })
    }

    /// Saves the states of an instance now, if its manifest asks for them to be kept. `false` if it
    /// does not, or the instance is gone. A failure is an event.
    pub fn save_state(&self, id: InstanceId) -> Task<bool> {
        self.run(move |host| host.instance(id).is_some_and(|instance| instance.keep_states()))
    }

    /// Cancels the running calls: wasm ends within some milliseconds, wherever it is; core and
    /// native plugins at their next host call, because code of this process cannot be stopped. In a
    /// process of its own, a native plugin is given a second for that, and ended then.
    /// `false` if the instance is gone.
    pub fn cancel(&self, id: InstanceId) -> bool {
        self.instance(id).map(|instance| instance.shared.cancellations.cancel()).is_some()
    }

    /// Cancels all work for good, before the host is dropped: calls, starts of plugins and loads
    /// that are running or begin later, as [`cancel`](Self::cancel) and
    /// [`cancel_load`](Self::cancel_load) do. Plugins still save their state and clean up, each
    /// of which takes two seconds at most from then on.
    pub fn cancel_all(&self) {
        self.inner.resources.cancelled.cancel();
        self.inner.loads.cancel_all();
        self.inner.preparer.cancel_all_compiles();
    }
}

/// Errors of stages after preparing, with where the plugin comes from.
pub(super) fn about(instance: &Instance) -> impl FnOnce(StageError) -> LoadError {
    let origin = instance.current().prepared.origin.clone();
    move |error| error.about(origin)
}
