//! One instance: its copies, its generations, its queue and its counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use glovebox_abi::manifest::{Isolation, LimitKind, Limits};
use glovebox_abi::{Frame, Kind, Permission, State, units};
use glovebox_events::{LoadStage, Phase, What};
use parking_lot::Mutex;

use crate::backend::{Backend, Stop};
use crate::context::{Context, Journal, Rights, Shared};
use crate::dispatch::Queue;
use crate::host::Reply;
use crate::load::{LoadProblem, LoadRequest, Prepared};
use crate::policy::{Decision, Grants, PolicyMode, limit_value, verdict};
use crate::registry::InstanceId;
use crate::seat::{Held, Running, Seat};
use crate::status::{LimitStatus, PermissionStatus, PluginStats, PluginStatus};
use crate::watch::Watching;

pub(crate) struct Slot {
    pub(crate) id: InstanceId,
    pub(crate) plugin: Arc<str>,
    pub(crate) request: LoadRequest,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Queue,
    pub(crate) watching: Mutex<Option<Watching>>,
    /// Held while a reload is under way, so that two never cross.
    pub(crate) reloading: Mutex<()>,
    /// What the copies did; each writes its own.
    counters: Box<[Arc<Counters>]>,
    /// Where the copies run; the first is the one that the registry knows.
    seats: Box<[Arc<Seat>]>,
    /// Whose turn it is.
    turn: AtomicUsize,
    current: ArcSwap<Generation>,
    previous: Mutex<Option<Previous>>,
    phase: AtomicU8,
    fault: Mutex<Option<String>>,
    edits: Mutex<Edits>,
    last_generation: AtomicU32,
}

/// The artifact before, and the states that its copies had when it was replaced.
#[derive(Clone)]
pub(crate) struct Previous {
    pub(crate) prepared: Prepared,
    pub(crate) states: Vec<Option<State>>,
}

/// What runs now; readable while a call is under way.
pub(crate) struct Generation {
    pub(crate) number: u32,
    pub(crate) prepared: Prepared,
    pub(crate) rights: Arc<Rights>,
    accepts: [u64; 4],
}

/// What people changed about the instance.
#[derive(Clone, Default)]
struct Edits {
    mode: PolicyMode,
    decisions: BTreeMap<Permission, Decision>,
    limits: Option<Limits>,
}

/// What one copy did. Only the holder of its seat writes here.
#[derive(Default)]
pub(crate) struct Counters {
    processed: AtomicU64,
    errors: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    restarts: AtomicU64,
}

const PHASES: [Phase; 10] = [
    Phase::Found,
    Phase::Loaded,
    Phase::Initializing,
    Phase::Ready,
    Phase::Busy,
    Phase::Draining,
    Phase::Stopped,
    Phase::Faulted,
    Phase::Restarting,
    Phase::Quarantined,
];

/// Copies that are ready, and what they run.
pub(crate) struct Fresh {
    generation: Generation,
    backends: Vec<Box<dyn Backend>>,
}

/// A stage and what went wrong there.
pub(crate) type Refused = (LoadStage, LoadProblem);

impl Generation {
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

impl Counters {
    #[inline]
    pub(crate) fn count(&self, frame: &Frame, reply: &Reply) {
        let size = |frame: &Frame| (frame.header.as_bytes().len() + frame.payload.len()) as u64;
        if reply.outcome.is_completed() {
            bump(&self.bytes_out, reply.frames.iter().map(size).sum());
        } else {
            bump(&self.errors, 1);
            if reply.outcome.is_refused() {
                return;
            }
        }
        bump(&self.processed, 1);
        bump(&self.bytes_in, size(frame));
    }

    pub(crate) fn restarted(&self) {
        bump(&self.restarts, 1);
    }
}

impl Slot {
    /// Brings up the first generation; the slot is ready when this returns.
    pub(crate) fn start(
        id: InstanceId,
        seat: Arc<Seat>,
        request: LoadRequest,
        prepared: Prepared,
        mode: PolicyMode,
        journal: Arc<Journal>,
    ) -> Result<Arc<Slot>, Refused> {
        let plugin: Arc<str> = prepared.manifest.plugin.id.as_str().into();
        let shared = Arc::new(Shared {
            plugin: plugin.clone(),
            instance: id,
            journal,
            counters: Default::default(),
            kv: Mutex::default(),
            cancellations: AtomicU64::new(0),
        });
        let edits = Edits { mode, ..Edits::default() };
        let copies = prepared.manifest.runtime.instances;
        let fresh = bring_up(&shared, &request, &edits, prepared, 1, copies)?;
        let generation = Arc::new(fresh.generation);
        let others = (1..copies).map(|_| Arc::default());
        let slot = Arc::new(Slot {
            id,
            plugin,
            request,
            queue: Queue::new(generation.rights.limits.load().queue, copies),
            shared,
            watching: Mutex::default(),
            reloading: Mutex::default(),
            counters: (0..copies).map(|_| Arc::default()).collect(),
            seats: [seat].into_iter().chain(others).collect(),
            turn: AtomicUsize::new(0),
            current: ArcSwap::new(generation.clone()),
            previous: Mutex::default(),
            phase: AtomicU8::new(Phase::Ready as u8),
            fault: Mutex::default(),
            edits: Mutex::new(edits),
            last_generation: AtomicU32::new(1),
        });
        let copies = slot.seats.iter().zip(&slot.counters).zip(fresh.backends);
        for ((seat, counters), backend) in copies {
            let (counters, generation) = (counters.clone(), generation.clone());
            let (slot, backend, emitted) = (slot.clone(), Some(backend), Vec::new());
            seat.place(Running { slot, counters, backend, generation, emitted });
        }
        Ok(slot)
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

    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.current.load().accepts(kind)
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().clone()
    }

    pub(crate) fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock() = fault;
    }

    fn phase(&self) -> Phase {
        let phase = PHASES[usize::from(self.phase.load(Ordering::Relaxed))];
        let busy = phase == Phase::Ready && self.seats.iter().any(|seat| seat.is_held());
        if busy { Phase::Busy } else { phase }
    }

    pub(crate) fn enter(&self, generation: u32, to: Phase, cause: &str) {
        let from = PHASES[usize::from(self.phase.swap(to as u8, Ordering::Relaxed))];
        self.shared.record(generation, What::Phase { from, to, cause: cause.to_owned() });
    }

    /// Builds the next generation beside the running one.
    pub(crate) fn next(&self, prepared: Prepared) -> Result<Fresh, Refused> {
        if prepared.manifest.plugin.id.as_str() != &*self.plugin {
            let expected = self.plugin.to_string();
            let found = prepared.manifest.plugin.id.clone();
            return Err((LoadStage::Policy, LoadProblem::OtherPlugin { expected, found }));
        }
        let number = self.last_generation.fetch_add(1, Ordering::Relaxed) + 1;
        // A copy, because the plugin may take its time to get ready, and a window that asks for the
        // status must not wait for it. `switch` applies what was decided meanwhile.
        let edits = self.edits.lock().clone();
        bring_up(&self.shared, &self.request, &edits, prepared, number, self.seats.len() as u32)
    }

    /// Waits for the calls under way, carries the states over and switches. Any refusal leaves the
    /// running generation as it was. Gives the version of the state that was carried.
    pub(crate) fn switch(&self, mut fresh: Fresh, carry: Carry) -> Result<Option<u32>, Refused> {
        let refuse = |stop: Stop| (LoadStage::RestoreState, LoadProblem::Call(stop.into_outcome()));
        let mut held: Vec<Held<'_>> =
            self.seats.iter().filter_map(|seat| seat.hold(self.id)).collect();
        if held.len() < self.seats.len() {
            return Err((LoadStage::Read, LoadProblem::Nothing("such instance")));
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
            if let Some(state) = state {
                backend.context().begin_call(None);
                backend.restore_state(state).map_err(refuse)?;
            }
            probe(backend)?;
        }
        let generation = Arc::new(fresh.generation);
        let mut old = Vec::with_capacity(held.len());
        let previous = self.current().prepared.clone();
        for (held, backend) in held.iter_mut().zip(fresh.backends) {
            let running = held.running();
            old.extend(running.backend.replace(backend));
            running.generation = generation.clone();
        }
        *self.previous.lock() = Some(Previous { prepared: previous, states: saved });
        self.current.store(generation);
        self.phase.store(Phase::Ready as u8, Ordering::Relaxed);
        self.set_fault(None);
        drop(held);
        let edits = self.edits.lock();
        self.apply(&edits);
        drop(edits);
        self.queue.resize(self.current.load().rights.limits.load().queue);
        for mut old in old {
            old.cleanup();
        }
        Ok(carried.into_iter().flatten().next().map(|state| state.version))
    }

    pub(crate) fn previous(&self) -> Option<Previous> {
        self.previous.lock().clone()
    }

    /// Ends the copies. Calls are refused afterwards.
    pub(crate) fn stop(&self) {
        for seat in &self.seats {
            let old = seat.clear(self.id).and_then(|running| running.backend);
            if let Some(mut old) = old {
                old.cleanup();
            }
        }
        self.enter(self.current().number, Phase::Stopped, "unloaded");
        self.shared.record(self.current().number, What::Unloaded);
    }

    /// Tells the log about something that the host did to this plugin's frames.
    pub(crate) fn note(&self, message: &str) {
        let phase = self.phase();
        let cause = message.to_owned();
        self.shared.record(self.current().number, What::Phase { from: phase, to: phase, cause });
    }

    pub(crate) fn decide(&self, permission: Permission, decision: Decision) {
        let mut edits = self.edits.lock();
        edits.decisions.insert(permission, decision);
        self.apply(&edits);
        let decision = match decision {
            Decision::AsDeclared => "as declared",
            Decision::Allow => "allowed",
            Decision::Deny => "denied",
        };
        let summary = format!("`{permission}` is {decision}");
        self.shared.record(self.current().number, What::PolicyChanged { summary });
    }

    pub(crate) fn set_mode(&self, mode: PolicyMode) {
        let mut edits = self.edits.lock();
        edits.mode = mode;
        self.apply(&edits);
        let summary = format!("policy is {}", mode.name());
        self.shared.record(self.current().number, What::PolicyChanged { summary });
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut edits = self.edits.lock();
        self.queue.resize(limits.queue);
        edits.limits = Some(limits);
        self.apply(&edits);
        let summary = "limits changed".to_owned();
        self.shared.record(self.current().number, What::PolicyChanged { summary });
    }

    fn apply(&self, edits: &Edits) {
        let current = self.current.load();
        let manifest = &current.prepared.manifest;
        let grants = Grants::of(manifest, edits.mode, &edits.decisions);
        current.rights.grants.store(Arc::new(grants));
        let limits = edits.limits.as_ref().unwrap_or(&manifest.limits);
        current.rights.set_limits(limits.clone());
    }

    pub(crate) fn status(&self) -> PluginStatus {
        let current = self.current.load();
        let edits = self.edits.lock();
        let limits = (**current.rights.limits.load()).clone();
        let permissions: Vec<PermissionStatus> = Permission::ALL
            .iter()
            .map(|(permission, ..)| self.permission_status(*permission, &current, &edits))
            .collect();
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            self.counters.iter().map(|copy| counter(copy).load(Ordering::Relaxed)).sum()
        };
        PluginStatus {
            instance: self.id,
            manifest: current.prepared.manifest.clone(),
            phase: self.phase(),
            generation: current.number,
            tier: current.prepared.tier,
            isolation: Isolation::InProcess,
            binding: current.prepared.binding,
            digest: current.prepared.digest.clone(),
            path: current.prepared.path.clone(),
            queue_depth: self.queue.depth(),
            watching: self.watching.lock().is_some(),
            can_roll_back: self.previous.lock().is_some(),
            fault: self.fault.lock().clone(),
            stats: PluginStats {
                processed: sum(|counters| &counters.processed),
                errors: sum(|counters| &counters.errors),
                bytes_in: sum(|counters| &counters.bytes_in),
                bytes_out: sum(|counters| &counters.bytes_out),
                denials: permissions.iter().map(|permission| permission.denials).sum(),
                restarts: sum(|counters| &counters.restarts),
            },
            permissions,
            limit_status: self.limit_status(&current, &limits),
            limits,
        }
    }

    fn permission_status(
        &self,
        permission: Permission,
        current: &Generation,
        edits: &Edits,
    ) -> PermissionStatus {
        let manifest = &current.prepared.manifest;
        let decision = edits.decisions.get(&permission).copied().unwrap_or_default();
        let (granted, explanation) = verdict(manifest, edits.mode, permission, decision);
        let counters = self.shared.counters.permission(permission);
        let last_used = counters.last_used.load(Ordering::Relaxed);
        PermissionStatus {
            permission,
            asked: manifest.asks_for(permission),
            decision,
            granted,
            explanation,
            uses: counters.uses.load(Ordering::Relaxed),
            denials: counters.denials.load(Ordering::Relaxed),
            last_used: (last_used > 0).then_some(last_used),
        }
    }

    fn limit_status(&self, current: &Generation, limits: &Limits) -> Vec<LimitStatus> {
        let code = &current.prepared.code;
        let deadline = LimitStatus {
            name: "call-deadline",
            value: units::show_duration(limits.call_deadline),
            enforcement: code.enforcement(None),
            hits: self.shared.counters.deadline_hits(),
        };
        let others = LimitKind::ALL.into_iter().map(|limit| LimitStatus {
            name: limit.name(),
            value: limit_value(limits, limit)
                .map_or_else(|| "unlimited".to_owned(), |value| limit.show(value)),
            enforcement: code.enforcement(Some(limit)),
            hits: self.shared.counters.limit_hits(limit),
        });
        [deadline].into_iter().chain(others).collect()
    }
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

/// Adds to a counter that only the holder of the lock changes: others may read it at any time.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

fn bring_up(
    shared: &Arc<Shared>,
    request: &LoadRequest,
    edits: &Edits,
    prepared: Prepared,
    number: u32,
    copies: u32,
) -> Result<Fresh, Refused> {
    let manifest = &prepared.manifest;
    let limits = edits.limits.clone().unwrap_or_else(|| manifest.limits.clone());
    let grants = Grants::of(manifest, edits.mode, &edits.decisions);
    let config = merged_config(&manifest.config, request.config.as_ref());
    let rights = Arc::new(Rights::new(grants, limits, config));
    let copy = |_| {
        let context = Context::new(shared.clone(), rights.clone(), number);
        let mut backend = ready(&prepared, context, &rights)?;
        probe(&mut backend)?;
        Ok(backend)
    };
    let backends = (0..copies).map(copy).collect::<Result<_, _>>()?;
    Ok(Fresh { generation: Generation::new(number, prepared, rights), backends })
}

/// A copy that was initialized.
pub(crate) fn ready(
    prepared: &Prepared,
    context: Context,
    rights: &Rights,
) -> Result<Box<dyn Backend>, Refused> {
    let refuse = |outcome| (LoadStage::Initialize, LoadProblem::Call(outcome));
    let mut backend = prepared.code.instantiate(context).map_err(refuse)?;
    backend.context().begin_call(None);
    let config = rights.config.load().to_string();
    backend.initialize(&config).map_err(|stop| refuse(stop.into_outcome()))?;
    Ok(backend)
}

fn probe(backend: &mut Box<dyn Backend>) -> Result<(), Refused> {
    backend.context().begin_call(None);
    match backend.health() {
        Ok(health) if health.is_good() => Ok(()),
        Ok(health) => Err((
            LoadStage::Probe,
            LoadProblem::Unhealthy { code: health.code, message: health.message },
        )),
        Err(stop) => Err((LoadStage::Probe, LoadProblem::Call(stop.into_outcome()))),
    }
}

/// The manifest's configuration with the request's keys over it.
fn merged_config(manifest: &toml::Table, request: Option<&serde_json::Value>) -> serde_json::Value {
    let mut merged = serde_json::to_value(manifest).unwrap_or_default();
    match (&mut merged, request) {
        (serde_json::Value::Object(merged), Some(serde_json::Value::Object(request))) => {
            merged.extend(request.clone());
        }
        (_, Some(request)) => merged = request.clone(),
        (_, None) => {}
    }
    merged
}
