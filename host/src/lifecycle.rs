//! The life of one copy: its phase, the hooks on every change, and what happens when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glovebox_abi::State;
use glovebox_abi::manifest::Restart;
use glovebox_events::{LoadStage, Phase, What};
use parking_lot::Mutex;

use crate::InstanceId;
use crate::backend::{self, Backend, Stop, step};
use crate::context::{Context, Shared};
use crate::guard::caught;
use crate::host::Reply;
use crate::load::LoadProblem;
use crate::observe::{LatencyCounters, span};
use crate::seat::Running;
use crate::slot::{Refused, probe, ready, restore};

/// A change of phase of one copy of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Which instance.
    pub instance: InstanceId,
    /// Which of its copies, from 0.
    pub copy: u32,
    /// Which artifact of the instance, from 1.
    pub generation: u32,
    /// Before.
    pub from: Phase,
    /// After.
    pub to: Phase,
    /// Why, for people.
    pub cause: String,
}

/// What a [`LifecycleHook`] should not exceed; the log names one that does.
pub const HOOK_DEADLINE: Duration = Duration::from_millis(100);

/// Called before and after every change of phase, on the thread that changes it.
///
/// A hook that takes longer than [`HOOK_DEADLINE`] holds the plugin up, and nobody else; the log
/// says so. One that panics changes nothing about the plugin; an event says so. Hooks must not call
/// the instance that they are told about.
pub trait LifecycleHook: Send + Sync {
    /// The phase is about to change.
    fn before(&self, transition: &Transition) {
        let _ = transition;
    }

    /// The phase has changed.
    fn after(&self, transition: &Transition) {
        let _ = transition;
    }
}

/// All hooks of a host, in the order in which they are called.
pub(crate) type Hooks = Vec<Box<dyn LifecycleHook>>;

/// Calls a hook; the reason if it panicked. A change of phase does not depend on who hears of it.
fn in_time(transition: &Transition, call: impl FnOnce()) -> Result<(), String> {
    let started = Instant::now();
    let called = caught(call);
    let took = started.elapsed();
    if took > HOOK_DEADLINE {
        let (from, to) = (transition.from, transition.to);
        tracing::warn!(
            plugin = &*transition.plugin, %from, %to, ?took, deadline = ?HOOK_DEADLINE,
            "a lifecycle hook was slow"
        );
    }
    called
}

/// What everybody may know of one copy. Only whoever starts, holds or ends the copy changes it.
pub(crate) struct Life {
    copy: u32,
    phase: AtomicU8,
    down: Mutex<Option<Down>>,
    counters: Counters,
}

/// Why a copy cannot go on, and what comes next.
#[derive(Clone)]
struct Down {
    cause: String,
    /// Attempts to start a fresh copy that failed in a row.
    failures: u32,
    retry: Option<Instant>,
}

/// What one copy did.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) processed: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) restarts: AtomicU64,
    /// Bytes of memory after the last call that was timed; 0 if it cannot be told.
    pub(crate) memory: AtomicU64,
    pub(crate) latency: LatencyCounters,
}

impl Life {
    pub(crate) fn new(copy: u32) -> Life {
        let phase = AtomicU8::new(Phase::Found as u8);
        Life { copy, phase, down: Mutex::default(), counters: Counters::default() }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Why the copy cannot go on, and when it is tried again.
    pub(crate) fn fault(&self) -> Option<String> {
        let down = self.down.lock().clone()?;
        Some(match down.retry {
            Some(at) => {
                let wait = at.saturating_duration_since(Instant::now()).as_millis();
                format!("{}; next attempt in {wait} ms", down.cause)
            }
            None => down.cause,
        })
    }

    /// Changes the phase, tells the hooks and records it. Does nothing if the copy is there already.
    pub(crate) fn enter(&self, shared: &Shared, generation: u32, to: Phase, cause: &str) {
        let from = self.phase();
        if from == to {
            return;
        }
        if !from.may_become(to) {
            tracing::error!(plugin = &*shared.plugin, %from, %to, cause, "an illegal transition");
            debug_assert!(false, "{from} → {to}: {cause}");
            return;
        }
        let store = || {
            self.phase.store(to as u8, Ordering::Relaxed);
            tracing::debug!(plugin = &*shared.plugin, %from, %to, cause, "phase");
            shared.record(generation, What::Phase { from, to, cause: cause.to_owned() });
        };
        let hooks = &shared.journal.hooks;
        if hooks.is_empty() {
            return store();
        }
        let transition = Transition {
            plugin: shared.plugin.clone(),
            instance: shared.instance,
            copy: self.copy,
            generation,
            from,
            to,
            cause: cause.to_owned(),
        };
        let tell = |call: &dyn Fn(&dyn LifecycleHook)| {
            for hook in hooks {
                if let Err(reason) = in_time(&transition, || call(&**hook)) {
                    let phase = self.phase();
                    let cause = format!("a lifecycle hook panicked: {reason}");
                    tracing::error!(plugin = &*shared.plugin, cause);
                    shared.record(generation, What::Phase { from: phase, to: phase, cause });
                }
            }
        };
        tell(&|hook| hook.before(&transition));
        store();
        tell(&|hook| hook.after(&transition));
    }

    /// Enters [`Phase::Ready`]; whatever was wrong is over.
    pub(crate) fn ready(&self, shared: &Shared, generation: u32, cause: &str) {
        *self.down.lock() = None;
        self.enter(shared, generation, Phase::Ready, cause);
    }

    /// Enters [`Phase::Faulted`]; only a person, or another artifact, leads out.
    pub(crate) fn fault_with(&self, shared: &Shared, cause: &str) {
        let down = Down { cause: cause.to_owned(), failures: 0, retry: None };
        *self.down.lock() = Some(down);
        self.enter(shared, 1, Phase::Faulted, cause);
    }

    /// Makes another first start possible.
    pub(crate) fn forget_fault(&self, shared: &Shared, generation: u32) {
        *self.down.lock() = None;
        if self.phase() == Phase::Faulted {
            self.enter(shared, generation, Phase::Found, "asked to start again");
        }
    }

    #[inline]
    pub(crate) fn count(&self, frame: &glovebox_abi::Frame, reply: &Reply) {
        let counters = &self.counters;
        if reply.outcome.is_completed() {
            bump(&counters.bytes_out, reply.frames.iter().map(|frame| frame.size() as u64).sum());
        } else {
            bump(&counters.errors, 1);
            if reply.outcome.is_refused() {
                return;
            }
        }
        bump(&counters.processed, 1);
        bump(&counters.bytes_in, frame.size() as u64);
    }

    /// Counts what is only known of a call that was timed.
    pub(crate) fn time(&self, took: Duration, memory: Option<u64>) {
        self.counters.latency.add(took);
        self.counters.memory.store(memory.unwrap_or(0), Ordering::Relaxed);
    }
}

/// Adds to a counter that only the holder of the seat changes: others may read it at any time.
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl Running {
    fn enter(&self, to: Phase, cause: &str) {
        self.life.enter(&self.slot.shared, self.generation.number, to, cause);
    }

    /// The copy cannot go on: it is thrown away and, if the manifest says so, replaced.
    pub(crate) fn fail(&mut self, cause: &str) {
        if let Some(backend) = self.backend.take() {
            backend::discard(backend);
        }
        self.enter(Phase::Faulted, cause);
        *self.life.down.lock() = Some(Down { cause: cause.to_owned(), failures: 0, retry: None });
        if self.generation.prepared.manifest.lifecycle.restart != Restart::Never {
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        }
    }

    /// Tries to make a fresh copy now. If it fails, the next attempt is set for later, until the
    /// breaker opens.
    fn start_fresh(&mut self) -> Result<(), Refused> {
        let lifecycle = &self.generation.prepared.manifest.lifecycle;
        let failures = self.life.down.lock().as_ref().map_or(0, |down| down.failures);
        let breaker = match lifecycle.restart {
            Restart::Always => u32::MAX,
            Restart::OnFailure | Restart::Never => lifecycle.breaker,
        };
        bump(&self.life.counters.restarts, 1);
        let _span = span::restart(&self.about(), failures + 1).entered();
        self.enter(Phase::Restarting, &format!("attempt {}", failures + 1));
        let (problem, failures) = match self.fresh() {
            Ok((backend, with)) => {
                self.backend = Some(backend);
                let (shared, number) = (&self.slot.shared, self.generation.number);
                self.life.ready(shared, number, &format!("restarted {with}"));
                return Ok(());
            }
            Err(problem) => (problem, failures + 1),
        };
        let cause = format!("{}: {}", problem.0, problem.1);
        if failures >= breaker {
            let cause = format!("{cause}; {failures} attempts in a row failed: restart it by hand");
            *self.life.down.lock() = Some(Down { cause: cause.clone(), failures, retry: None });
            self.enter(Phase::Quarantined, &cause);
        } else {
            let wait = lifecycle.wait_after(failures);
            let retry = Some(Instant::now() + wait);
            *self.life.down.lock() = Some(Down { cause: cause.clone(), failures, retry });
            let wait = glovebox_abi::units::show_duration(wait);
            self.enter(Phase::Faulted, &format!("{cause}; next attempt in {wait}"));
            self.slot.wake_later(self.life.copy, lifecycle.wait_after(failures));
        }
        Err(problem)
    }

    /// A fresh copy that is ready, and what it starts with, in words.
    fn fresh(&self) -> Result<(Box<dyn Backend>, String), Refused> {
        let (slot, generation) = (&self.slot, &self.generation);
        let context = Context::new(
            slot.shared.clone(),
            generation.rights.clone(),
            generation.number,
            generation.prepared.tier,
        );
        let mut backend = ready(&generation.prepared, context, &generation.rights)?;
        let Some(state) = slot.kept_state(self.life.copy) else {
            return Ok((backend, "without its state, which is lost".to_owned()));
        };
        match restore(&mut backend, &state, &generation.prepared.manifest.lifecycle) {
            Ok(()) => Ok((backend, format!("with its kept state, version {}", state.version))),
            Err(Stop::Alive(outcome)) => {
                Ok((backend, format!("without its kept state, which it refused: {outcome}")))
            }
            Err(Stop::Dead(outcome)) => {
                Err((glovebox_events::LoadStage::RestoreState, LoadProblem::Call(outcome)))
            }
        }
    }

    /// The next attempt, if its time has come.
    pub(crate) fn retry(&mut self) {
        let retry = self.life.down.lock().as_ref().and_then(|down| down.retry);
        if retry.is_some_and(|at| at <= Instant::now()) {
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        }
    }

    /// Replaces the copy by a fresh one because a person says so; failed attempts are forgotten.
    pub(crate) fn restart(&mut self) -> Result<(), Refused> {
        self.end();
        *self.life.down.lock() = None;
        self.start_fresh()
    }

    /// Asks the plugin how it is. One that says it is not well, or cannot say, has failed.
    pub(crate) fn check_health(&mut self) {
        let Some(backend) = &mut self.backend else { return };
        let _span = span::health(&self.slot.about_generation(&self.generation)).entered();
        backend.context().begin_step(self.generation.prepared.manifest.lifecycle.start_deadline);
        let cause = match step(backend, |backend| backend.health()) {
            Ok(health) if health.is_good() => return,
            Ok(health) => format!("unhealthy: {} (code {})", health.message, health.code),
            Err(stop) => format!("unhealthy: {}", stop.into_outcome()),
        };
        self.fail(&cause);
    }

    /// A copy of its state. If the copy dies of giving it, it is replaced.
    pub(crate) fn save_state(&mut self) -> Result<Option<State>, Stop> {
        let Some(backend) = &mut self.backend else { return Ok(None) };
        let _span = span::save_state(&self.slot.about_generation(&self.generation)).entered();
        backend.context().begin_step(self.generation.prepared.manifest.lifecycle.stop_deadline);
        let saved = step(backend, |backend| backend.save_state());
        if let Err(Stop::Dead(outcome)) = &saved {
            self.fail(&outcome.to_string());
        }
        saved
    }

    /// Gives it a state. If the copy dies of it, it is replaced.
    pub(crate) fn restore_state(&mut self, state: &State) -> Result<(), Refused> {
        let none = || (LoadStage::RestoreState, LoadProblem::Nothing("copy that runs"));
        let lifecycle = &self.generation.prepared.manifest.lifecycle;
        let backend = self.backend.as_mut().ok_or_else(none)?;
        let restored = restore(backend, state, lifecycle)
            .map_err(|stop| {
                let dead = matches!(stop, Stop::Dead(_));
                (dead, (LoadStage::RestoreState, LoadProblem::Call(stop.into_outcome())))
            })
            .and_then(|()| probe(backend, lifecycle).map_err(|refused| (false, refused)));
        restored.map_err(|(dead, refused)| {
            if dead {
                self.fail(&format!("{}: {}", refused.0, refused.1));
            }
            refused
        })
    }

    /// Saves its state, if the manifest asks for it.
    pub(crate) fn keep_state(&mut self) {
        if !self.slot.keeps_states() {
            return;
        }
        match self.save_state() {
            Ok(Some(state)) => self.slot.keep_state(self.life.copy, &state),
            Ok(None) => {}
            Err(stop) => {
                self.slot.note(&format!("the state cannot be saved: {}", stop.into_outcome()));
            }
        }
    }

    /// Lets the copy clean up, and throws it away.
    pub(crate) fn end(&mut self) {
        if let Some(mut backend) = self.backend.take() {
            backend.context().begin_step(self.generation.prepared.manifest.lifecycle.stop_deadline);
            backend::end(backend);
        }
    }
}
