//! How instances come and go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use glovebox_events::{LoadStage, What};
use tracing::Span;

use super::Host;
use crate::answers::ANSWERABLE;
use crate::dispatch::Work;
use crate::guard::caught;
use crate::load::{LoadError, LoadProblem, LoadRequest, Source};
use crate::observe::span;
use crate::registry::InstanceId;
use crate::reload::gone;
use crate::slot::Slot;
use crate::task::Lost;
use crate::{Loading, Profile, Task};

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

impl Lost for Drained {
    /// Nothing was finished, and not in time.
    fn lost(_: String) -> Drained {
        Drained::default()
    }
}

impl Host {
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
                let loaded = caught(|| span.in_scope(|| host.load_now(request, &span)))
                    .unwrap_or_else(|reason| Err(LoadError::lost(reason)));
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
        slot.say_lowered();
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
            Some(profile)
                if (request.mock.is_some() || request.answers.is_some()) && !profile.mocks() =>
            {
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
        if request.answers.is_some() {
            let summary = format!("answered by the application: {}", ANSWERABLE.join(", "));
            slot.shared.record(1, What::PolicyChanged { summary });
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
}

/// Errors of stages after preparing, with the file they are about.
pub(crate) fn about(slot: &Slot) -> impl Fn((LoadStage, LoadProblem)) -> LoadError {
    let path = slot.current().prepared.path.clone();
    move |(stage, problem)| LoadError::new(stage, path.clone(), problem)
}
