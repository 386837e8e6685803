//! The place of one instance: the running copy, its generations, its queue and its counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use glovebox_abi::manifest::{Isolation, LimitKind, Limits};
use glovebox_abi::{Frame, Kind, Permission, State, units};
use glovebox_events::{CallId, LoadStage, Outcome, Phase, Timing, What};
use parking_lot::Mutex;

use crate::backend::{Backend, Stop};
use crate::context::{Context, Journal, Rights, Shared};
use crate::dispatch::Queue;
use crate::host::Reply;
use crate::load::{LoadProblem, LoadRequest, Prepared};
use crate::policy::{Decision, Grants, PolicyMode, limit_value, verdict};
use crate::registry::InstanceId;
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
    current: ArcSwap<Generation>,
    running: Mutex<Running>,
    phase: AtomicU8,
    fault: Mutex<Option<String>>,
    edits: Mutex<Edits>,
    counters: Counters,
    can_roll_back: AtomicBool,
    last_generation: AtomicU32,
}

/// What runs now; readable while a call is under way.
pub(crate) struct Generation {
    pub(crate) number: u32,
    pub(crate) prepared: Prepared,
    pub(crate) rights: Arc<Rights>,
    accepts: [u64; 4],
}

/// The copy itself. Whoever holds the lock owns it.
struct Running {
    backend: Option<Box<dyn Backend>>,
    /// The same as `Slot::current`, for whoever holds the lock anyway.
    generation: Arc<Generation>,
    previous: Option<(Prepared, Option<State>)>,
}

/// What people changed about the instance.
#[derive(Clone, Default)]
struct Edits {
    mode: PolicyMode,
    decisions: BTreeMap<Permission, Decision>,
    limits: Option<Limits>,
}

#[derive(Default)]
struct Counters {
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

/// A copy that is ready, and what it runs.
pub(crate) struct Fresh {
    pub(crate) generation: Generation,
    pub(crate) backend: Box<dyn Backend>,
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

impl Slot {
    /// Brings up the first generation; the slot is ready when this returns.
    pub(crate) fn start(
        id: InstanceId,
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
        });
        let edits = Edits { mode, ..Edits::default() };
        let fresh = bring_up(&shared, &request, &edits, prepared, 1)?;
        let generation = Arc::new(fresh.generation);
        let running = Running {
            backend: Some(fresh.backend),
            generation: generation.clone(),
            previous: None,
        };
        Ok(Arc::new(Slot {
            id,
            plugin,
            request,
            queue: Queue::new(generation.rights.limits.load().queue),
            shared,
            watching: Mutex::default(),
            reloading: Mutex::default(),
            current: ArcSwap::new(generation),
            running: Mutex::new(running),
            phase: AtomicU8::new(Phase::Ready as u8),
            fault: Mutex::default(),
            edits: Mutex::new(edits),
            counters: Counters::default(),
            can_roll_back: AtomicBool::new(false),
            last_generation: AtomicU32::new(1),
        }))
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.current.load().accepts(kind)
    }

    /// Makes one call on this thread. Also gives the frames that the plugin emitted.
    pub(crate) fn call(&self, frame: &Frame, queue: Duration) -> (Reply, Vec<Frame>) {
        let journal = &self.shared.journal;
        // Numbering costs an atomic addition, and only events make the number mean something.
        let call = if journal.is_heard() { journal.next_call() } else { CallId(0) };
        let mut lock = self.running.lock();
        let running = &mut *lock;
        let generation = &running.generation;
        let refusal = if !generation.accepts(frame.kind) {
            Some(format!(
                "the plugin does not accept {} frames; add the kind to `accepts` under [frames]",
                frame.kind
            ))
        } else if running.backend.is_none() {
            let fault = self.fault.lock().clone().unwrap_or_else(|| "it was unloaded".to_owned());
            Some(format!("the plugin cannot go on ({fault}); reload it"))
        } else {
            None
        };
        let started = journal.is_heard().then(|| {
            let frame = frame.clone();
            self.shared.record(generation.number, What::FrameIn { call, frame });
            Instant::now()
        });
        let (result, emitted, timing) = match (refusal, &mut running.backend) {
            (None, Some(backend)) => {
                self.phase.store(Phase::Busy as u8, Ordering::Relaxed);
                backend.context().begin_call(Some(call));
                let result = backend.process(frame);
                let total = started.map(|started| started.elapsed());
                let context = backend.context();
                let emitted = std::mem::take(&mut context.emitted);
                let timing = total.map(|total| timing(context, total, queue));
                let result = match context.broken.take() {
                    Some(broken) if result.is_ok() => Err(Stop::Alive(broken)),
                    _ => result,
                };
                self.phase.store(Phase::Ready as u8, Ordering::Relaxed);
                (result, emitted, timing)
            }
            (reason, _) => {
                let reason = reason.unwrap_or_default();
                (
                    Err(Stop::Alive(Outcome::Refused { reason })),
                    Vec::new(),
                    started.map(|_| Timing::default()),
                )
            }
        };
        let (outcome, frames, dead) = match result {
            Ok(frames) => (Outcome::Completed, frames, false),
            Err(Stop::Alive(outcome)) => (outcome, Vec::new(), false),
            Err(Stop::Dead(outcome)) => (outcome, Vec::new(), true),
        };
        self.count(frame, &frames, &outcome);
        if let Some(timing) = timing {
            let memory = running.backend.as_mut().and_then(|backend| backend.memory());
            self.record_end(generation, call, frame, &frames, &emitted, &outcome, timing, memory);
        }
        if dead {
            self.restart(running, &outcome);
        }
        (Reply { call, outcome, frames }, emitted)
    }

    fn count(&self, frame: &Frame, frames: &[Frame], outcome: &Outcome) {
        let size = |frame: &Frame| (frame.header.as_bytes().len() + frame.payload.len()) as u64;
        let counters = &self.counters;
        if !matches!(outcome, Outcome::Refused { .. }) {
            bump(&counters.processed, 1);
            bump(&counters.bytes_in, size(frame));
        }
        if outcome.is_completed() {
            bump(&counters.bytes_out, frames.iter().map(size).sum());
        } else {
            bump(&counters.errors, 1);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row of the record, used once")]
    fn record_end(
        &self,
        generation: &Generation,
        call: CallId,
        frame: &Frame,
        frames: &[Frame],
        emitted: &[Frame],
        outcome: &Outcome,
        timing: Timing,
        memory: Option<u64>,
    ) {
        let out = emitted.iter().map(|frame| (true, frame));
        let out = out.chain(frames.iter().map(|frame| (false, frame)));
        let mut bytes_out = 0;
        let mut frames_out = 0;
        for (emitted, frame) in out {
            let what = What::FrameOut { call, index: frames_out, emitted, frame: frame.clone() };
            self.shared.record(generation.number, what);
            bytes_out += frame.encoded_len() as u64;
            frames_out += 1;
        }
        self.shared.record(
            generation.number,
            What::CallEnded {
                call,
                outcome: outcome.clone(),
                timing,
                bytes_in: frame.encoded_len() as u64,
                bytes_out,
                frames_out,
                memory,
            },
        );
    }

    /// Replaces a copy that cannot go on by a fresh one of the same artifact.
    fn restart(&self, running: &mut Running, outcome: &Outcome) {
        running.backend = None;
        let generation = &running.generation;
        self.enter(generation.number, Phase::Faulted, &outcome.to_string());
        self.counters.restarts.fetch_add(1, Ordering::Relaxed);
        self.enter(generation.number, Phase::Restarting, "fresh copy; its state is lost");
        let context =
            Context::new(self.shared.clone(), generation.rights.clone(), generation.number);
        match ready(&generation.prepared, context, &generation.rights) {
            Ok(backend) => {
                running.backend = Some(backend);
                self.enter(generation.number, Phase::Ready, "restarted");
            }
            Err((stage, problem)) => {
                let fault = format!("{stage}: {problem}");
                self.enter(generation.number, Phase::Faulted, &fault);
                *self.fault.lock() = Some(fault);
            }
        }
    }

    fn enter(&self, generation: u32, to: Phase, cause: &str) {
        let from = PHASES[usize::from(self.phase.swap(to as u8, Ordering::Relaxed))];
        let from = if from == Phase::Busy { Phase::Ready } else { from };
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
        bring_up(&self.shared, &self.request, &edits, prepared, number)
    }

    /// Waits for the call under way, carries the state over and switches. Any refusal leaves the
    /// running generation as it was. Gives the version of the state that was carried.
    pub(crate) fn switch(&self, mut fresh: Fresh, carry: Carry) -> Result<Option<u32>, Refused> {
        let refuse = |stop: Stop| (LoadStage::RestoreState, LoadProblem::Call(stop.into_outcome()));
        let mut running = self.running.lock();
        let current = running.generation.clone();
        let saved = match &mut running.backend {
            Some(backend) => {
                backend.context().begin_call(None);
                match backend.save_state() {
                    Ok(saved) => saved,
                    Err(stop) => {
                        if let Stop::Dead(outcome) = &stop {
                            self.restart(&mut running, outcome);
                        }
                        // A plugin that cannot give its state must still be replaceable.
                        if matches!(carry, Carry::Current) {
                            return Err(refuse(stop));
                        }
                        None
                    }
                }
            }
            None => None,
        };
        let carried = match carry {
            Carry::Nothing => None,
            Carry::Current => saved.clone(),
            Carry::This(state) => state,
        };
        if let Some(state) = &carried {
            fresh.backend.context().begin_call(None);
            fresh.backend.restore_state(state).map_err(refuse)?;
        }
        probe(&mut fresh.backend)?;
        let old = running.backend.replace(fresh.backend);
        running.previous = Some((current.prepared.clone(), saved));
        self.can_roll_back.store(true, Ordering::Relaxed);
        running.generation = Arc::new(fresh.generation);
        self.current.store(running.generation.clone());
        self.phase.store(Phase::Ready as u8, Ordering::Relaxed);
        *self.fault.lock() = None;
        drop(running);
        let edits = self.edits.lock();
        self.apply(&edits);
        drop(edits);
        self.queue.resize(self.current.load().rights.limits.load().queue);
        if let Some(mut old) = old {
            old.cleanup();
        }
        Ok(carried.map(|state| state.version))
    }

    /// The artifact before, and the state it had when it was replaced.
    pub(crate) fn previous(&self) -> Option<(Prepared, Option<State>)> {
        self.running.lock().previous.clone()
    }

    /// Ends the copy. The slot refuses calls afterwards.
    pub(crate) fn stop(&self) {
        let old = self.running.lock().backend.take();
        if let Some(mut old) = old {
            old.cleanup();
        }
        self.enter(self.current().number, Phase::Stopped, "unloaded");
        self.shared.record(self.current().number, What::Unloaded);
    }

    /// Tells the log about something that the host did to this plugin's frames.
    pub(crate) fn note(&self, message: &str) {
        let phase = PHASES[usize::from(self.phase.load(Ordering::Relaxed))];
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
        let counters = &self.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PluginStatus {
            instance: self.id,
            manifest: current.prepared.manifest.clone(),
            phase: PHASES[usize::from(self.phase.load(Ordering::Relaxed))],
            generation: current.number,
            tier: current.prepared.tier,
            isolation: Isolation::InProcess,
            binding: current.prepared.binding,
            digest: current.prepared.digest.clone(),
            path: current.prepared.path.clone(),
            queue_depth: self.queue.depth(),
            watching: self.watching.lock().is_some(),
            can_roll_back: self.can_roll_back.load(Ordering::Relaxed),
            fault: self.fault.lock().clone(),
            stats: PluginStats {
                processed: load(&counters.processed),
                errors: load(&counters.errors),
                bytes_in: load(&counters.bytes_in),
                bytes_out: load(&counters.bytes_out),
                denials: permissions.iter().map(|permission| permission.denials).sum(),
                restarts: load(&counters.restarts),
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
    /// This one.
    This(Option<State>),
}

/// Adds to a counter that only the holder of the lock changes: others may read it at any time.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

fn timing(context: &Context, total: Duration, queue: Duration) -> Timing {
    let host = context.host_time;
    let plugin = context.plugin_time.unwrap_or(total);
    Timing {
        queue,
        guest: plugin.saturating_sub(host),
        host,
        boundary: total.saturating_sub(plugin),
    }
}

fn bring_up(
    shared: &Arc<Shared>,
    request: &LoadRequest,
    edits: &Edits,
    prepared: Prepared,
    number: u32,
) -> Result<Fresh, Refused> {
    let manifest = &prepared.manifest;
    let limits = edits.limits.clone().unwrap_or_else(|| manifest.limits.clone());
    let grants = Grants::of(manifest, edits.mode, &edits.decisions);
    let config = merged_config(&manifest.config, request.config.as_ref());
    let rights = Arc::new(Rights::new(grants, limits, config));
    let context = Context::new(shared.clone(), rights.clone(), number);
    let mut backend = ready(&prepared, context, &rights)?;
    probe(&mut backend)?;
    Ok(Fresh { generation: Generation::new(number, prepared, rights), backend })
}

/// A copy that was initialized.
fn ready(
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
