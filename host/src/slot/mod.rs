//! One instance: its copies, its generations, its queue and its counters.

mod start;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::{Frame, Kind, Permission, State};
use glovebox_events::{LoadStage, Outcome, Phase, ReloadCause, What};
use parking_lot::Mutex;

use crate::backend::{self, Backend, Code, Stop};
use crate::context::{Rights, Shared};
use crate::dispatch::Queue;
use crate::guard::caught;
use crate::journal::Journal;
use crate::lifecycle::Life;
use crate::load::{LoadProblem, LoadRequest, Prepared};
use crate::mock::MockServices;
use crate::observe::span::{self, About};
use crate::permissions::HostRules;
use crate::policy::{
    self, Allowance, Consent, Decided, DecidedBy, Decision, Grants, Lifetime, Parameter, Standing,
    Standpoint, lowered,
};
use crate::rate::Bucket;
use crate::registry::InstanceId;
use crate::seat::{Held, Running, Seat};
use crate::state::{StateKeeper, StateStore};
use crate::status::{Growth, RefusedGeneration};
use crate::watch::Watching;

use start::{bring_up, keeper, restore_kept, rights};
pub(crate) use start::{probe, ready, restore};

pub(crate) struct Slot {
    pub(crate) id: InstanceId,
    pub(crate) plugin: Arc<str>,
    pub(crate) request: LoadRequest,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Queue,
    pub(crate) watching: Mutex<Option<Watching>>,
    /// Held while a reload is under way, so that two never cross.
    pub(crate) reloading: Mutex<()>,
    /// What everybody may know of the copies.
    lives: Box<[Arc<Life>]>,
    /// Where the copies run; the first is the one that the registry knows.
    seats: Box<[Arc<Seat>]>,
    /// Whose turn it is.
    turn: AtomicUsize,
    current: ArcSwap<Generation>,
    previous: Mutex<Option<Previous>>,
    /// The generation that did not take over.
    refused: Mutex<Option<Refusal>>,
    edits: Mutex<Edits>,
    bucket: Mutex<Option<Bucket>>,
    last_generation: AtomicU32,
    /// `None` if its states are not kept on disk.
    states: Option<StateKeeper>,
    surroundings: Surroundings,
}

/// What an instance needs of its host.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) journal: Arc<Journal>,
    pub(crate) states: Option<Arc<StateStore>>,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The artifact before, and the states that its copies had when it was replaced.
#[derive(Clone)]
pub(crate) struct Previous {
    pub(crate) prepared: Prepared,
    pub(crate) states: Vec<Option<State>>,
}

/// A generation that did not take over.
struct Refusal {
    told: RefusedGeneration,
    /// What is to take over as soon as a person decided, and whether with the state; `None` if it
    /// cannot.
    waits: Option<(Prepared, bool)>,
}

/// What runs now; readable while a call is under way.
pub(crate) struct Generation {
    pub(crate) number: u32,
    pub(crate) prepared: Prepared,
    pub(crate) rights: Arc<Rights>,
    /// Kinds of frames that the manifest accepts, as a set of bits.
    pub(crate) accepts: [u64; 4],
}

/// What people changed about the instance.
#[derive(Clone, Default)]
struct Edits {
    rules: HostRules,
    decisions: BTreeMap<Permission, Decided>,
    limits: Option<Limits>,
}

impl Edits {
    /// The limits that were asked for: by a person, or by the request over the manifest.
    fn limits(&self, request: &LoadRequest, prepared: &Prepared) -> Limits {
        let own = || request.limits.over(&prepared.manifest.limits);
        self.limits.clone().unwrap_or_else(own)
    }

    /// Folders of `before` that are still granted stay the same ones.
    fn grants(&self, prepared: &Prepared, before: &Grants) -> Grants {
        let standpoint = Standpoint {
            policy: &self.rules.policy,
            mode: self.rules.mode,
            manifest: &prepared.manifest,
            subject: prepared.subject(),
        };
        Grants::of(&standpoint, &self.decisions, &before.folders)
    }

    /// The same after a reload, with which ends what was allowed once.
    fn without_once(mut self) -> Edits {
        self.decisions.retain(|_, decided| !decided.is_once());
        self
    }
}

/// Copies that are ready, and what they run.
pub(crate) struct Fresh {
    generation: Generation,
    backends: Vec<Box<dyn Backend>>,
}

/// A stage and what went wrong there.
pub(crate) type Refused = (LoadStage, LoadProblem);

impl Generation {
    /// What is known before the first start.
    fn asleep(request: &LoadRequest, edits: &Edits, prepared: Prepared) -> Generation {
        let rights = Arc::new(rights(request, edits, &prepared, &Grants::default()));
        Generation::new(0, Prepared { code: Code::Asleep, ..prepared }, rights)
    }

    fn new(number: u32, prepared: Prepared, rights: Arc<Rights>) -> Generation {
        let mut accepts = [0; 4];
        for kind in &prepared.manifest.frames.accepts {
            accepts[usize::from(kind.0 >> 6)] |= 1u64 << (kind.0 & 63);
        }
        Generation { number, prepared, rights, accepts }
    }

    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.accepts[usize::from(kind.0 >> 6)] & (1 << (kind.0 & 63)) != 0
    }
}

impl Slot {
    /// The instance with its first generation. Unless that is asleep, it is ready when this returns.
    pub(crate) fn start(
        id: InstanceId,
        seat: Arc<Seat>,
        request: LoadRequest,
        prepared: Prepared,
        rules: HostRules,
        surroundings: Surroundings,
    ) -> Result<Arc<Slot>, Refused> {
        let plugin: Arc<str> = prepared.manifest.plugin.id.as_str().into();
        let mock = request.mock.clone().map(|mock| MockServices::new(mock, &plugin));
        let shared = Arc::new(Shared {
            plugin: plugin.clone(),
            instance: id,
            journal: surroundings.journal.clone(),
            counters: Default::default(),
            kv: Mutex::new(mock.as_ref().map(MockServices::kv).unwrap_or_default().into()),
            mock,
            answers: request.answers.clone(),
            cancellations: AtomicU64::new(0),
            accesses: Mutex::default(),
            asked: AtomicU32::new(0),
        });
        let decisions = request.decisions.clone().unwrap_or_else(|| rules.decided_for(&prepared));
        let edits = Edits { rules, decisions, limits: None };
        let manifest = prepared.manifest.clone();
        let copies = manifest.runtime.instances.min(edits.rules.ceilings().copies);
        let generation = Arc::new(Generation::asleep(&request, &edits, prepared.clone()));
        let states = keeper(&surroundings, &manifest, &shared);
        let others = (1..copies).map(|_| Arc::default());
        let slot = Arc::new(Slot {
            id,
            plugin,
            request,
            queue: Queue::new(generation.rights.limits.load().queue, copies),
            shared,
            watching: Mutex::default(),
            reloading: Mutex::default(),
            lives: (0..copies).map(|copy| Arc::new(Life::new(copy))).collect(),
            seats: [seat].into_iter().chain(others).collect(),
            turn: AtomicUsize::new(0),
            current: ArcSwap::new(generation.clone()),
            previous: Mutex::default(),
            refused: Mutex::default(),
            edits: Mutex::new(edits),
            bucket: Mutex::default(),
            last_generation: AtomicU32::new(0),
            states,
            surroundings,
        });
        for (seat, life) in slot.seats.iter().zip(&slot.lives) {
            let (slot, life, generation) = (slot.clone(), life.clone(), generation.clone());
            seat.place(Running::new(slot, life, generation));
        }
        if !matches!(prepared.code, Code::Asleep) {
            slot.awaken(prepared).inspect_err(|_| slot.clear())?;
        }
        Ok(slot)
    }

    /// True if it was loaded and not started yet.
    pub(crate) fn is_asleep(&self) -> bool {
        self.current.load().number == 0
    }

    /// Brings up the first generation.
    pub(crate) fn awaken(&self, prepared: Prepared) -> Result<(), Refused> {
        let enter = |phase: Phase, cause: &str| {
            self.lives.iter().for_each(|life| life.enter(&self.shared, 1, phase, cause));
        };
        enter(Phase::Loaded, if prepared.cached { "from the compile cache" } else { "checked" });
        enter(Phase::Initializing, "first start");
        let before = self.current().rights.grants.load_full();
        self.ask(&self.edits.lock().grants(&prepared, &before), 1);
        let fresh = self.next(prepared, true).and_then(|mut fresh| {
            restore_kept(&mut fresh, self.states.as_ref(), &self.shared)?;
            Ok(fresh)
        });
        fresh.and_then(|fresh| self.switch(fresh, Carry::Nothing, true)).map(drop).inspect_err(
            |(stage, problem)| {
                self.fault_with(&format!("{stage}: {problem}"));
            },
        )
    }

    /// Empties the seats.
    fn clear(&self) {
        for (seat, life) in self.seats.iter().zip(&self.lives) {
            seat.clear(self.id);
            life.enter(&self.shared, 1, Phase::Stopped, "not loaded");
        }
    }

    /// The number of copies.
    pub(crate) fn copies(&self) -> usize {
        self.seats.len()
    }

    /// A copy for the next call: the first free one, from the one whose turn it is. If none is
    /// free, waits for that one. `None` if the instance is gone.
    pub(crate) fn hold_any(&self) -> Option<Held<'_>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let seat = |offset: usize| &self.seats[turn.wrapping_add(offset) % self.seats.len()];
        let free = (0..self.seats.len()).find_map(|offset| seat(offset).try_hold(self.id));
        free.or_else(|| seat(0).hold(self.id))
    }

    /// One certain copy. `None` if the instance is gone.
    pub(crate) fn hold_copy(&self, copy: usize) -> Option<Held<'_>> {
        self.seats[copy].hold(self.id)
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// What its spans say about it.
    pub(crate) fn about(&self) -> About<'_> {
        self.about_generation(&self.current.load())
    }

    /// The same for one certain generation.
    pub(crate) fn about_generation(&self, generation: &Generation) -> About<'_> {
        let tier = generation.prepared.tier;
        About { plugin: &self.plugin, instance: self.id, generation: generation.number, tier }
    }

    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.current.load().accepts(kind)
    }

    /// Counts a frame of a kind that the policy does not let the plugin receive; says why.
    pub(crate) fn refuse_kind(&self, generation: &Generation, kind: Kind) -> String {
        let grants = generation.rights.grants.load();
        let parameter = Parameter::Kind(kind);
        self.shared.access(&grants, generation.number, Permission::Receive, &parameter);
        let verdict = grants.verdict(Permission::Receive);
        let why = verdict.map(|verdict| match verdict.is_granted() {
            true => format!("`receive` is granted within {}", verdict.parameters()),
            false => verdict.explanation.clone(),
        });
        format!("the plugin may not receive {kind} frames: {}", why.unwrap_or_default())
    }

    /// Why a copy cannot go on.
    pub(crate) fn fault(&self) -> Option<String> {
        self.lives.iter().find_map(|life| life.fault())
    }

    pub(crate) fn fault_with(&self, cause: &str) {
        self.lives.iter().for_each(|life| life.fault_with(&self.shared, cause));
    }

    pub(crate) fn forget_fault(&self) {
        let number = self.current().number;
        self.lives.iter().for_each(|life| life.forget_fault(&self.shared, number));
    }

    /// The phase of the copy that is worst off.
    fn phase(&self) -> Phase {
        let worst = [
            Phase::Quarantined,
            Phase::Faulted,
            Phase::Restarting,
            Phase::Found,
            Phase::Loaded,
            Phase::Initializing,
            Phase::Draining,
            Phase::Ready,
        ];
        let phases: Vec<Phase> = self.lives.iter().map(|life| life.phase()).collect();
        let phase = worst.into_iter().find(|phase| phases.contains(phase)).unwrap_or(phases[0]);
        let busy = phase == Phase::Ready && self.seats.iter().any(|seat| seat.is_held());
        if busy { Phase::Busy } else { phase }
    }

    /// Lets one frame through if the limit on the rate does.
    #[cold]
    pub(crate) fn take_token(&self) -> Result<(), Outcome> {
        let limits = self.current.load().rights.limits.load_full();
        let Some(rate) = limits.rate else { return Ok(()) };
        let now = Instant::now();
        let mut bucket = self.bucket.lock();
        let bucket = bucket.get_or_insert_with(|| Bucket::new(limits.burst, now));
        bucket.take(rate, limits.burst, now).map_err(|_| {
            let (limit, allowed) = (LimitKind::Rate, rate.into());
            self.shared.counters.hit_limit(limit);
            Outcome::LimitExceeded { limit, asked: allowed + 1, allowed }
        })
    }

    /// Tells who answers the services that a call with this frame begins on this thread.
    #[cold]
    pub(crate) fn begin_answered(&self, frame: &Frame) {
        if let Some(answers) = &self.shared.answers
            && let Err(reason) = caught(|| answers.begin(&self.plugin, frame))
        {
            self.note(&format!("the application's answers panicked at the begin: {reason}"));
        }
    }

    /// Tells the same one that the call is over.
    #[cold]
    pub(crate) fn end_answered(&self) {
        if let Some(answers) = &self.shared.answers
            && let Err(reason) = caught(|| answers.end())
        {
            self.note(&format!("the application's answers panicked at the end: {reason}"));
        }
    }

    /// Tells all copies that no new frames come.
    pub(crate) fn begin_draining(&self, cause: &str) {
        let number = self.current().number;
        for life in &self.lives {
            if life.phase().may_become(Phase::Draining) {
                life.enter(&self.shared, number, Phase::Draining, cause);
            }
        }
    }

    /// Tries a copy that cannot go on again, after a while.
    pub(crate) fn wake_later(self: &Arc<Self>, copy: u32, wait: Duration) {
        let slot = Arc::downgrade(self);
        self.surroundings.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            let Some(slot) = slot.upgrade() else { return };
            tokio::task::spawn_blocking(move || {
                if let Some(mut held) = slot.hold_copy(copy as usize) {
                    held.running().retry();
                }
            });
        });
    }

    /// Replaces all copies by fresh ones of the same artifact.
    pub(crate) fn restart(&self) -> Result<(), Refused> {
        for seat in &self.seats {
            let mut held = seat.hold(self.id).ok_or_else(gone)?;
            held.running().restart()?;
        }
        Ok(())
    }

    /// Looks after the copies for as long as the instance lives: asks how they are and saves their
    /// states, as often as the manifest says.
    pub(crate) fn tend(self: &Arc<Self>) {
        let manifest = self.current().prepared.manifest.clone();
        self.every(manifest.lifecycle.health_interval, Running::check_health);
        self.every(manifest.state.checkpoint, Running::keep_state);
    }

    /// Does something with each free copy of this generation, again and again.
    fn every(self: &Arc<Self>, interval: Option<Duration>, work: fn(&mut Running)) {
        let Some(interval) = interval else { return };
        let (slot, number) = (Arc::downgrade(self), self.current().number);
        self.surroundings.runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(slot) = slot.upgrade() else { return };
                // The next generation is looked after as its own manifest says.
                if slot.current().number != number || !slot.queue.is_open() {
                    return;
                }
                // A panic must not end the looking after.
                let _ = tokio::task::spawn_blocking(move || slot.each_free_copy(work)).await;
            }
        });
    }

    fn each_free_copy(&self, work: impl Fn(&mut Running)) {
        for seat in &self.seats {
            if let Some(mut held) = seat.try_hold(self.id) {
                work(held.running());
            }
        }
    }

    /// Saves the states of all copies; waits for the calls under way.
    pub(crate) fn keep_states(&self) -> bool {
        for seat in &self.seats {
            if let Some(mut held) = seat.hold(self.id) {
                held.running().keep_state();
            }
        }
        self.keeps_states()
    }

    pub(crate) fn keeps_states(&self) -> bool {
        self.states.is_some()
    }

    /// The state that a copy starts with, if its states are kept.
    pub(crate) fn kept_state(&self, copy: u32) -> Option<State> {
        let (state, problems) = self.states.as_ref()?.last(copy);
        for problem in problems {
            self.note(&problem);
        }
        state
    }

    /// Saves the state of a copy. A failure is noted, and the states that are kept stay.
    pub(crate) fn keep_state(&self, copy: u32, state: &State) {
        let Some(states) = &self.states else { return };
        let keep = self.current().prepared.manifest.state.keep;
        if let Err(error) = states.save(copy, state, keep) {
            self.note(&format!("the state cannot be saved: {error}"));
        }
    }

    /// Builds the next generation beside the running one. What was allowed once holds for it if
    /// `keeps_once`.
    pub(crate) fn next(&self, prepared: Prepared, keeps_once: bool) -> Result<Fresh, Refused> {
        if prepared.manifest.plugin.id.as_str() != &*self.plugin {
            let expected = self.plugin.to_string();
            let found = prepared.manifest.plugin.id.clone();
            return Err((LoadStage::Policy, LoadProblem::OtherPlugin { expected, found }));
        }
        let number = self.last_generation.fetch_add(1, Ordering::Relaxed) + 1;
        // A copy, because the plugin may take its time to get ready, and a window that asks for the
        // status must not wait for it. `switch` applies what was decided meanwhile.
        let edits = self.edits_of_next(keeps_once);
        let rights = rights(&self.request, &edits, &prepared, &self.current().rights.grants.load());
        bring_up(&self.shared, rights, prepared, number, self.seats.len() as u32)
    }

    /// Waits for the calls under way, carries the states over and switches. Any refusal leaves the
    /// running generation as it was. Gives the version of the state that was carried.
    pub(crate) fn switch(
        &self,
        mut fresh: Fresh,
        carry: Carry,
        keeps_once: bool,
    ) -> Result<Option<u32>, Refused> {
        let _span = span::switch().entered();
        let refuse = |stop: Stop| (LoadStage::RestoreState, LoadProblem::Call(stop.into_outcome()));
        let mut held: Vec<Held<'_>> =
            self.seats.iter().filter_map(|seat| seat.hold(self.id)).collect();
        if held.len() < self.seats.len() {
            return Err(gone());
        }
        let mut saved = Vec::with_capacity(held.len());
        for held in &mut held {
            match held.running().save_state() {
                Ok(state) => saved.push(state),
                // A plugin that cannot give its state must still be replaceable.
                Err(_) if !matches!(carry, Carry::Current) => saved.push(None),
                Err(stop) => return Err(refuse(stop)),
            }
        }
        let carried = match carry {
            Carry::Nothing => Vec::new(),
            Carry::Current => saved.clone(),
            Carry::These(states) => states,
        };
        for (backend, state) in fresh.backends.iter_mut().zip(&carried) {
            let lifecycle = &fresh.generation.prepared.manifest.lifecycle;
            if let Some(state) = state {
                restore(backend, state, lifecycle).map_err(refuse)?;
            }
            probe(backend, lifecycle)?;
        }
        let generation = Arc::new(fresh.generation);
        let mut old = Vec::with_capacity(held.len());
        let previous = self.current().prepared.clone();
        let previous_lifecycle = previous.manifest.lifecycle.clone();
        for (held, backend) in held.iter_mut().zip(fresh.backends) {
            let running = held.running();
            old.extend(running.backend.replace(backend));
            running.adopt(generation.clone());
        }
        if !self.is_asleep() {
            *self.previous.lock() = Some(Previous { prepared: previous, states: saved });
        }
        let number = generation.number;
        self.current.store(generation);
        for life in &self.lives {
            let cause = if number == 1 { "started" } else { "a new generation took over" };
            life.ready(&self.shared, number, cause);
        }
        drop(held);
        let mut edits = self.edits.lock();
        if !keeps_once {
            edits.decisions.retain(|_, decided| !decided.is_once());
        }
        self.apply(&edits);
        drop(edits);
        self.resize_queue();
        for mut old in old {
            old.context().begin_step(previous_lifecycle.stop_deadline);
            backend::end(old);
        }
        Ok(carried.into_iter().flatten().next().map(|state| state.version))
    }

    pub(crate) fn previous(&self) -> Option<Previous> {
        self.previous.lock().clone()
    }

    /// Ends the copies. Calls are refused afterwards.
    pub(crate) fn stop(&self) {
        let number = self.current().number;
        for (seat, life) in self.seats.iter().zip(&self.lives) {
            let Some(mut running) = seat.clear(self.id) else { continue };
            running.keep_state();
            if life.phase() != Phase::Draining && life.phase().may_become(Phase::Draining) {
                life.enter(&self.shared, number, Phase::Draining, "unloaded");
            }
            running.end();
            life.enter(&self.shared, number, Phase::Stopped, "unloaded");
        }
        self.shared.record(number, What::Unloaded);
    }

    /// Tells the log about something that the host did to this plugin's frames.
    pub(crate) fn note(&self, message: &str) {
        let phase = self.phase();
        let cause = message.to_owned();
        self.shared.record(self.current().number, What::Phase { from: phase, to: phase, cause });
    }

    /// True if the copies need other folders or variables now. What a person allows is what the
    /// generation that waits for it asks for, else the one that runs.
    pub(crate) fn decide(
        &self,
        permission: Permission,
        decision: Decision,
        lifetime: Lifetime,
    ) -> bool {
        let prepared = self.waiting_for(permission);
        let prepared = prepared.unwrap_or_else(|| self.current().prepared.clone());
        let manifest = &prepared.manifest;
        let within = permission.needs_consent().then(|| {
            let asked = policy::request(manifest, permission, prepared.base.as_deref());
            asked.unwrap_or_default()
        });
        let mut edits = self.edits.lock();
        match decision {
            Decision::AsDeclared => drop(edits.decisions.remove(&permission)),
            decision => {
                // Without a file nothing outlasts the instance.
                let by = DecidedBy::Person(match &edits.rules.saved {
                    None if lifetime == Lifetime::Saved => Lifetime::WhileItRuns,
                    _ => lifetime,
                });
                let decided = Decided { decision, within: within.clone(), by };
                edits.decisions.insert(permission, decided);
            }
        }
        let outfit = self.apply(&edits);
        let saved = edits.rules.saved.clone();
        drop(edits);
        self.shared.asked.fetch_and(!(1 << permission as u32), Ordering::Relaxed);
        let name = match decision {
            Decision::AsDeclared => "as declared",
            Decision::Allow => "allowed",
            Decision::Deny => "denied",
        };
        let mut summary = format!("`{permission}` is {name}");
        let keeps = decision == Decision::Allow && lifetime == Lifetime::Saved;
        if decision == Decision::Allow && lifetime != Lifetime::WhileItRuns {
            summary.push_str(&format!(", {}", lifetime.name()));
        }
        let (plugin, digest) = (self.plugin.to_string(), prepared.digest.clone());
        let kept = match &saved {
            Some(saved) if keeps => {
                saved.save(Consent { plugin, digest, permission, within, at: policy::now() })
            }
            // What was decided before about this artifact no longer holds.
            Some(saved) if decision != Decision::Allow => {
                saved.forget(&plugin, &digest, permission)
            }
            _ => Ok(()),
        };
        match kept {
            Err(error) => summary.push_str(&format!(" while it runs: {error}")),
            Ok(()) if keeps && saved.is_none() => {
                summary.push_str(" while it runs: the host keeps no file of what was agreed to");
            }
            Ok(()) => {}
        }
        self.shared.record(self.current().number, What::PolicyChanged { summary });
        outfit
    }

    /// Tells that a person is to decide about files, network or environment: a plugin that is given
    /// no folder cannot use one, so that nobody would be asked when it does.
    fn ask(&self, grants: &Grants, generation: u32) {
        let all = Permission::ALL.into_iter().map(|(permission, ..)| permission);
        for permission in all.filter(|permission| permission.needs_consent()) {
            let Some(verdict) = grants.verdict(permission) else { continue };
            let is_asking = verdict.standing == Standing::Asking || verdict.asks_more;
            let bit = 1 << permission as u32;
            if verdict.asked
                && is_asking
                && self.shared.asked.fetch_or(bit, Ordering::Relaxed) & bit == 0
            {
                let parameter = list(&verdict.asks);
                self.shared.record(generation, What::PolicyAsked { permission, parameter });
            }
        }
    }

    /// The same for the generation that runs, if one does.
    pub(crate) fn ask_again(&self) {
        let current = self.current();
        if current.number > 0 {
            self.ask(&current.rights.grants.load(), current.number);
        }
    }

    /// What was decided about it.
    pub(crate) fn decisions(&self) -> BTreeMap<Permission, Decided> {
        self.edits.lock().decisions.clone()
    }

    /// The edits that a next generation starts with.
    fn edits_of_next(&self, keeps_once: bool) -> Edits {
        let edits = self.edits.lock().clone();
        if keeps_once { edits } else { edits.without_once() }
    }

    /// What a new generation asks for beyond what the running one does, and nobody decided about.
    pub(crate) fn growth(&self, prepared: &Prepared, keeps_once: bool) -> Vec<Growth> {
        let before = self.current().rights.grants.load_full();
        let grants = self.edits_of_next(keeps_once).grants(prepared, &before);
        let current = self.current();
        let all = Permission::ALL.into_iter().map(|(permission, ..)| permission);
        let grown = all.filter_map(|permission| {
            let base = prepared.base.as_deref();
            let asked = policy::request(&prepared.manifest, permission, base)?;
            let verdict = grants.verdict(permission)?;
            let is_asking = verdict.standing == Standing::Asking || verdict.asks_more;
            let base = current.prepared.base.as_deref();
            let before = policy::request(&current.prepared.manifest, permission, base);
            let grows = !policy::covers(&before.unwrap_or_default(), &asked);
            let asks = || verdict.asks.clone();
            (is_asking && grows).then(|| Growth { permission, asks: asks(), request: asked })
        });
        grown.collect()
    }

    /// The generation that waits for a decision about this permission.
    fn waiting_for(&self, permission: Permission) -> Option<Prepared> {
        let refused = self.refused.lock();
        let refused = refused.as_ref()?;
        let is_it = refused.told.waits_for.iter().any(|growth| growth.permission == permission);
        refused.waits.as_ref().filter(|_| is_it).map(|(prepared, _)| prepared.clone())
    }

    /// The generation that waits for decisions, whether with the state, and what asked for it.
    pub(crate) fn waiting(&self) -> Option<(Prepared, bool, ReloadCause)> {
        let refused = self.refused.lock();
        let refused = refused.as_ref()?;
        let (prepared, carry_state) = refused.waits.clone()?;
        Some((prepared, carry_state, refused.told.cause))
    }

    /// Keeps what is known of a generation that did not take over.
    pub(crate) fn refuse(&self, told: RefusedGeneration, waits: Option<(Prepared, bool)>) {
        *self.refused.lock() = Some(Refusal { told, waits });
    }

    /// Forgets the generation that did not take over.
    pub(crate) fn forget_refused(&self) {
        *self.refused.lock() = None;
    }

    /// True if the copies need other folders or variables now.
    pub(crate) fn set_rules(&self, rules: HostRules, summary: &str) -> bool {
        let mut edits = self.edits.lock();
        edits.rules = rules;
        let outfit = self.apply(&edits);
        self.resize_queue();
        self.shared.asked.store(0, Ordering::Relaxed);
        drop(edits);
        self.ask_again();
        let summary = summary.to_owned();
        self.shared.record(self.current().number, What::PolicyChanged { summary });
        outfit
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut edits = self.edits.lock();
        edits.limits = Some(limits);
        self.apply(&edits);
        self.resize_queue();
        let lowered = self.lowered(&edits).into_iter();
        let summary = ["limits changed".to_owned()].into_iter().chain(lowered);
        let summary = summary.collect::<Vec<_>>().join("; ");
        self.shared.record(self.current().number, What::PolicyChanged { summary });
    }

    /// What the plugin does not get because of a ceiling, in words.
    fn lowered(&self, edits: &Edits) -> Vec<String> {
        let current = self.current.load();
        let asked = edits.limits(&self.request, &current.prepared);
        let mut lowered = lowered(&asked, &current.rights.limits.load());
        let (copies, most) = (current.prepared.manifest.runtime.instances, self.copies());
        if copies as usize > most {
            lowered.push(format!(
                "{most} copies run: {copies} were asked for, and that is the ceiling of the host"
            ));
        }
        lowered
    }

    /// Gives the queue the length that its limit says.
    fn resize_queue(&self) {
        let limit = self.current.load().rights.limits.load().queue;
        self.queue.resize(limit, &self.surroundings.runtime);
    }

    /// How many calls a call may cause by frames that are emitted.
    pub(crate) fn caused_calls(&self) -> u64 {
        self.current.load().rights.hot.caused_calls.load(Ordering::Relaxed)
    }

    /// Says what the plugin does not get because of a ceiling.
    pub(crate) fn say_lowered(&self) {
        for summary in self.lowered(&self.edits.lock()) {
            tracing::warn!(plugin = &*self.plugin, summary);
            self.shared.record(self.current().number, What::PolicyChanged { summary });
        }
    }

    fn apply(&self, edits: &Edits) -> bool {
        let current = self.current.load();
        let (ceilings, tier) = (edits.rules.ceilings(), current.prepared.tier);
        let limits = ceilings.lower(tier, &edits.limits(&self.request, &current.prepared));
        current.rights.set_limits(limits, &ceilings);
        let before = current.rights.grants.load();
        current.rights.set_grants(edits.grants(&current.prepared, &before))
    }
}

/// What is asked for, in one line.
pub(crate) fn list(asks: &[Allowance]) -> String {
    let asks: Vec<&str> = asks.iter().map(Allowance::parameter).collect();
    asks.join(", ")
}

/// Which state a new generation goes on from.
pub(crate) enum Carry {
    /// None: a cold start.
    Nothing,
    /// That of the running generation.
    Current,
    /// These, one for each copy.
    These(Vec<Option<State>>),
}

fn gone() -> Refused {
    (LoadStage::Read, LoadProblem::Nothing("such instance"))
}
