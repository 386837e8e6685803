//! The life of one copy: how it fails, starts again, is looked after and ends.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::State;
use glovebox_abi::manifest::Restart;
use glovebox_events::{LoadStage, NoteKind, Outcome, Phase};

use super::back_off::Next;
use super::copy::PluginCopy;
use super::copy_status::{Care, Down, bump};
use super::start::{check_health, ready, restore};
use crate::backend::{self, Backend, step};
use crate::failure::CopyFailure;
use crate::problem::{LoadProblem, StageError};
use crate::record::{span, unix_nanoseconds};
use crate::services::CopyServices;
use crate::stop::Stop;

impl PluginCopy {
    fn enter(&self, to: Phase, cause: &str) {
        self.status.enter(&self.support.shared, self.generation.number, to, cause);
    }

    /// The copy cannot go on: it is thrown away and, if the manifest says so, replaced. The crash of a
    /// process counts as a failure.
    pub(super) fn fail(&mut self, outcome: &Outcome) {
        let is_crash = matches!(outcome, Outcome::Crashed { .. });
        self.fail_because(outcome.to_string(), is_crash);
    }

    fn fail_because(&mut self, cause: String, is_crash: bool) {
        if self.is_canary {
            return self.lose_canary(&cause);
        }
        self.keep_evidence(&cause);
        if let Some(backend) = self.backend.take() {
            backend::discard(backend);
        }
        if self.generation.prepared.manifest.lifecycle.restart == Restart::Never {
            return self.stay_down(&cause);
        }
        let next = match is_crash {
            true => match self.count_failure() {
                // Plugins that crash together do not come back together.
                Next::Start(Duration::ZERO) => {
                    Next::Start(self.support.stagger.wait(Instant::now()))
                }
                next => next,
            },
            false => {
                // Where a process has crashed before, the row goes on.
                if !self.has_process || self.back_off.count() == 0 {
                    self.forget_failures();
                }
                Next::Start(Duration::ZERO)
            }
        };
        if next == Next::Start(Duration::ZERO) {
            self.stay_down(&cause);
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        } else {
            self.start_later(&cause, next);
        }
    }

    /// Keeps what this copy leaves behind.
    pub(super) fn keep_evidence(&mut self, cause: &str) {
        let context = self.backend.as_mut().map(|backend| backend.context());
        let (call, evidence) = context
            .map(|context| (context.call_id(), std::mem::take(&mut context.evidence)))
            .unwrap_or_default();
        let generation = self.generation.number;
        let (at, cause) = (unix_nanoseconds(), cause.to_owned());
        let digest = self.generation.prepared.digest.clone();
        let failure = CopyFailure { at, generation, digest, cause, call, evidence };
        self.support.shared.keep_failure(failure);
    }

    /// Counts a failure of this copy, and says what follows.
    fn count_failure(&mut self) -> Next {
        let most = self.generation.breaker();
        let lifecycle = &self.generation.prepared.manifest.lifecycle;
        let next = self.back_off.add(Instant::now(), lifecycle, most);
        self.tell_failures();
        next
    }

    /// Ends the row of failures.
    pub(super) fn forget_failures(&mut self) {
        self.back_off.forget();
        self.tell_failures();
    }

    fn tell_failures(&self) {
        self.status.failures.store(self.back_off.count(), Ordering::Relaxed);
    }

    /// A call ended so, after failures: a plugin that answers begins a new row.
    #[cold]
    pub(super) fn after_failures(&mut self, result: &Result<(), Stop>) {
        let is_answer = !matches!(result, Err(Stop::Dead(_) | Stop::Alive(Outcome::Cancelled)));
        if is_answer && self.backend.is_some() {
            self.forget_failures();
        }
    }

    /// There is no copy for now, and why.
    fn stay_down(&self, cause: &str) {
        self.say_why(cause, None);
        self.enter(Phase::Faulted, cause);
    }

    /// Says why there is no copy. That comes before the phase: whoever sees the phase finds the cause.
    fn say_why(&self, cause: &str, retry: Option<Instant>) {
        *self.status.down.lock() = Some(Down { cause: cause.to_owned(), retry });
    }

    /// Starts a fresh copy later, or not: the breaker is open then.
    fn start_later(&mut self, cause: &str, next: Next) {
        match next {
            Next::Start(wait) => {
                // A time that the clock cannot show never comes.
                self.say_why(cause, Instant::now().checked_add(wait));
                let shown = glovebox_abi::units::show_duration(wait);
                self.enter(Phase::Faulted, &format!("{cause}; next attempt in {shown}"));
                self.retry_later(wait);
            }
            Next::Stop => {
                let count = self.back_off.count();
                let rows =
                    if count == 1 { "once".to_owned() } else { format!("{count} times in a row") };
                let stopped =
                    format!("{cause}; stopped, because it failed {rows}: restart it by hand");
                self.say_why(&stopped, None);
                if !self.status.phase().may_become(Phase::Quarantined) {
                    self.enter(Phase::Faulted, cause);
                }
                self.enter(Phase::Quarantined, &stopped);
            }
        }
    }

    /// Waits for a fresh copy, if one is to be started within the time of a call, and starts it.
    /// `Err(None)` if there is none to wait for, or the copy is about to end.
    #[cold]
    pub(super) fn wait_for_fresh(&mut self) -> Result<(), Option<Stop>> {
        let shared = self.support.shared.clone();
        if !self.hears_of_cancellations {
            self.hears_of_cancellations = true;
            shared.cancellations.tell(&self.status);
        }
        let begun = shared.cancellations.for_call();
        let is_cancelled = || shared.cancellations.count() != begun;
        let status = self.status.clone();
        let is_over = || is_cancelled() || status.ends();
        let most = self.generation.rights.limits.load().call_deadline;
        let Some(latest) = Instant::now().checked_add(most) else { return Err(None) };
        while self.backend.is_none() {
            if !status.wait_for_attempt(latest, is_over) {
                return Err(is_cancelled().then_some(Stop::Alive(Outcome::Cancelled)));
            }
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        }
        Ok(())
    }

    /// Tries to make a fresh copy now. If it fails, the next attempt is set for later, until the
    /// breaker opens.
    fn start_fresh(&mut self) -> Result<(), StageError> {
        let attempt = self.back_off.begin_attempt();
        bump(&self.status.counters().restarts, 1);
        let _span = span::restart(&self.about(), attempt).entered();
        self.start(&format!("attempt {attempt}"))
    }

    /// Goes on in a fresh process if this one has folders or variables that are no longer right. Files
    /// that it has open end with it. It takes its state along, if it can give it.
    pub(crate) fn keep_up(&mut self) {
        if !self.backend.as_ref().is_some_and(|backend| backend.is_outdated()) {
            return;
        }
        match self.save_state() {
            Ok(state) => self.carried = state,
            // It is replaced already.
            Err(Stop::Dead(_)) => return,
            Err(Stop::Alive(outcome)) => {
                let text =
                    format!("it goes on without its state, which it could not give: {outcome}");
                self.note(NoteKind::State, &text);
            }
        }
        self.end();
        // The error is the fault of the copy, and recorded there.
        let _ = self.start("what it may reach has changed");
    }

    fn start(&mut self, cause: &str) -> Result<(), StageError> {
        self.enter(Phase::Restarting, cause);
        match self.fresh() {
            Ok((backend, with)) => {
                self.backend = Some(backend);
                self.carried = None;
                self.back_off.started(Instant::now());
                let (shared, number) = (&self.support.shared, self.generation.number);
                self.status.ready(shared, number, &format!("restarted {with}"));
                Ok(())
            }
            Err(problem) => {
                let next = self.count_failure();
                self.start_later(&problem.to_string(), next);
                Err(problem)
            }
        }
    }

    /// A fresh copy that is ready, and what it starts with, in words. It has the better code of its generation,
    /// if that is there.
    fn fresh(&self) -> Result<(Box<dyn Backend>, String), StageError> {
        let (support, generation) = (&self.support, &self.generation);
        let context = CopyServices::new(
            support.shared.clone(),
            generation.rights.clone(),
            generation.number,
            generation.prepared.tier,
        );
        let better = generation.prepared.better();
        let code = better.as_ref().unwrap_or(&generation.prepared.code);
        let mut backend = ready(code, &generation.prepared.manifest, context, &generation.rights)?;
        self.status.set_better_code(better.is_some());
        let name = if self.carried.is_some() { "state" } else { "kept state" };
        let Some(state) = self.kept_state()? else {
            return Ok((backend, "without its state, which is lost".to_owned()));
        };
        match restore(&mut backend, &state, &generation.prepared.manifest.lifecycle) {
            Ok(()) => Ok((backend, format!("with its {name}, version {}", state.version))),
            Err(Stop::Alive(outcome)) => {
                Ok((backend, format!("without its {name}, which it refused: {outcome}")))
            }
            Err(Stop::Dead(outcome)) => Err(LoadProblem::Call(outcome).at(LoadStage::RestoreState)),
        }
    }

    /// Tries again after a while, if the copy is still there.
    fn retry_later(&self, wait: Duration) {
        let (id, cell) = (self.id(), self.cell.clone());
        self.support.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            let Some(cell) = cell.upgrade() else { return };
            tokio::task::spawn_blocking(move || {
                if let Some(mut held) = cell.hold(id) {
                    held.copy().retry();
                }
            });
        });
    }

    /// The next attempt, if its time has come.
    pub(super) fn retry(&mut self) {
        let is_due = self.status.next_attempt().is_some_and(|at| at <= Instant::now());
        if is_due && !self.status.ends() {
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        }
    }

    /// Replaces the copy by a fresh one because a person says so, unless one was started since the number
    /// of restarts was `before`; failed attempts are forgotten. It goes on from the state of the one
    /// before, if states are kept.
    pub(super) fn restart(&mut self, before: u64) -> Result<(), StageError> {
        if self.backend.is_some() && self.status.restarts() != before {
            self.forget_failures();
            return Ok(());
        }
        self.keep_state();
        self.end();
        *self.status.down.lock() = None;
        self.carried = None;
        self.forget_failures();
        self.start_fresh()
    }

    /// Gives it the care that it is due as soon as it is free, on another thread than that of a call.
    #[cold]
    pub(super) fn care_later(&self) {
        if !self.status.begin_care() {
            return;
        }
        let (id, cell) = (self.id(), self.cell.clone());
        self.support.runtime.spawn_blocking(move || {
            let Some(cell) = cell.upgrade() else { return };
            if let Some(mut held) = cell.hold(id) {
                held.copy().care();
            }
        });
    }

    /// Gives it the care that it is due.
    pub(super) fn care(&mut self) {
        for care in self.status.take_care() {
            match care {
                Care::Health => self.check_health(),
                Care::Checkpoint => self.keep_state(),
            }
        }
    }

    /// Asks the plugin how it is. One that says it is not well, or cannot say, has failed.
    fn check_health(&mut self) {
        let Some(backend) = &mut self.backend else { return };
        let _span = span::health(&self.generation.about(&self.support.shared)).entered();
        backend.context().begin_step(self.generation.prepared.manifest.lifecycle.start_deadline);
        let cause = match step(backend, |backend| backend.health()) {
            Ok(health) if health.is_good() => return,
            Ok(health) => format!("unhealthy: {} (code {})", health.message, health.code),
            Err(stop) => match stop.into_outcome() {
                crash @ Outcome::Crashed { .. } => return self.fail(&crash),
                outcome => format!("unhealthy: {outcome}"),
            },
        };
        self.fail_because(cause, false);
    }

    /// A copy of its state. If the copy dies of giving it, it is replaced.
    pub(super) fn save_state(&mut self) -> Result<Option<State>, Stop> {
        let Some(backend) = &mut self.backend else { return Ok(None) };
        let _span = span::save_state(&self.generation.about(&self.support.shared)).entered();
        let deadline = self.generation.prepared.manifest.lifecycle.stop_deadline;
        backend.context().begin_last_step(deadline);
        let saved = step(backend, |backend| backend.save_state());
        if let Err(Stop::Dead(outcome)) = &saved {
            self.fail(outcome);
        }
        saved
    }

    /// A copy of its state; of one that does not run, the state that is kept for it.
    pub(super) fn state(&mut self) -> Result<Option<State>, StageError> {
        if self.backend.is_none() {
            return self.kept_state();
        }
        self.save_state()
            .map_err(|stop| LoadProblem::Call(stop.into_outcome()).at(LoadStage::RestoreState))
    }

    /// The state of a copy that had to go, or else the one that is kept on disk.
    fn kept_state(&self) -> Result<Option<State>, StageError> {
        if self.carried.is_some() {
            return Ok(self.carried.clone());
        }
        self.support.kept_state(self.status.copy, |damage| self.note(NoteKind::State, damage))
    }

    /// Gives it a state. If the copy dies of it, it is replaced.
    pub(super) fn restore_state(&mut self, state: &State) -> Result<(), StageError> {
        let none = || LoadProblem::Nothing("copy that runs").at(LoadStage::RestoreState);
        let lifecycle = &self.generation.prepared.manifest.lifecycle;
        let backend = self.backend.as_mut().ok_or_else(none)?;
        let restored = restore(backend, state, lifecycle)
            .map_err(|stop| {
                let dead = matches!(stop, Stop::Dead(_));
                let outcome = stop.into_outcome();
                let is_crash = dead.then_some(matches!(outcome, Outcome::Crashed { .. }));
                (is_crash, LoadProblem::Call(outcome).at(LoadStage::RestoreState))
            })
            .and_then(|()| check_health(backend, lifecycle).map_err(|refused| (None, refused)));
        restored.map_err(|(is_crash, refused)| {
            if let Some(is_crash) = is_crash {
                self.fail_because(refused.to_string(), is_crash);
            }
            refused
        })
    }

    /// Saves its state, if the manifest asks for it. A failure is noted, and the states that are kept
    /// stay.
    pub(super) fn keep_state(&mut self) {
        if self.support.states.is_none() {
            return;
        }
        let saved = match self.save_state() {
            Ok(None) => return,
            Ok(Some(state)) => self.keep(&state),
            Err(stop) => Err(stop.into_outcome().to_string()),
        };
        if let Err(reason) = saved {
            self.note(NoteKind::State, &format!("the state cannot be saved: {reason}"));
        }
    }

    fn keep(&self, state: &State) -> Result<(), String> {
        let Some(states) = &self.support.states else { return Ok(()) };
        let keep = self.generation.prepared.manifest.state.keep;
        states.save(self.status.copy, state, keep).map_err(|error| error.to_string())
    }

    /// Lets the copy clean up, and throws it away.
    pub(super) fn end(&mut self) {
        if let Some(mut backend) = self.backend.take() {
            let deadline = self.generation.prepared.manifest.lifecycle.stop_deadline;
            backend.context().begin_last_step(deadline);
            backend::end(backend);
        }
    }

    /// Ends the copy and tells of it.
    pub(super) fn end_for_good(&mut self, cause: &str) {
        let phase = self.status.phase();
        if phase != Phase::Draining && phase.may_become(Phase::Draining) {
            self.enter(Phase::Draining, cause);
        }
        self.end();
        self.enter(Phase::Stopped, cause);
    }
}
