//! The life of one copy: how it fails, starts again, is looked after and ends.

use std::time::{Duration, Instant};

use glovebox_abi::State;
use glovebox_abi::manifest::Restart;
use glovebox_events::{LoadStage, Phase};

use super::copy::PluginCopy;
use super::copy_status::{Down, bump};
use super::start::{probe, ready, restore};
use crate::backend::{self, Backend, step};
use crate::problem::{LoadProblem, StageError};
use crate::record::span;
use crate::services::Context;
use crate::stop::Stop;

impl PluginCopy {
    fn enter(&self, to: Phase, cause: &str) {
        self.status.enter(&self.common.shared, self.generation.number, to, cause);
    }

    /// The copy cannot go on: it is thrown away and, if the manifest says so, replaced.
    pub(super) fn fail(&mut self, cause: &str) {
        if let Some(backend) = self.backend.take() {
            backend::discard(backend);
        }
        self.enter(Phase::Faulted, cause);
        *self.status.down.lock() = Some(Down { cause: cause.to_owned(), failures: 0, retry: None });
        if self.generation.prepared.manifest.lifecycle.restart != Restart::Never {
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        }
    }

    /// Tries to make a fresh copy now. If it fails, the next attempt is set for later, until the
    /// breaker opens.
    fn start_fresh(&mut self) -> Result<(), StageError> {
        let lifecycle = &self.generation.prepared.manifest.lifecycle;
        let failures = self.status.down.lock().as_ref().map_or(0, |down| down.failures);
        let breaker = match lifecycle.restart {
            Restart::Always => u32::MAX,
            Restart::OnFailure | Restart::Never => lifecycle.breaker,
        };
        bump(&self.status.counters().restarts, 1);
        let _span = span::restart(&self.about(), failures + 1).entered();
        self.enter(Phase::Restarting, &format!("attempt {}", failures + 1));
        let (problem, failures) = match self.fresh() {
            Ok((backend, with)) => {
                self.backend = Some(backend);
                let (shared, number) = (&self.common.shared, self.generation.number);
                self.status.ready(shared, number, &format!("restarted {with}"));
                return Ok(());
            }
            Err(problem) => (problem, failures + 1),
        };
        let cause = problem.to_string();
        if failures >= breaker {
            let cause = format!("{cause}; {failures} attempts in a row failed: restart it by hand");
            *self.status.down.lock() = Some(Down { cause: cause.clone(), failures, retry: None });
            self.enter(Phase::Quarantined, &cause);
        } else {
            let wait = lifecycle.wait_after(failures);
            // A time that the clock cannot show never comes.
            let retry = Instant::now().checked_add(wait);
            *self.status.down.lock() = Some(Down { cause: cause.clone(), failures, retry });
            let wait = glovebox_abi::units::show_duration(wait);
            self.enter(Phase::Faulted, &format!("{cause}; next attempt in {wait}"));
            self.retry_later(lifecycle.wait_after(failures));
        }
        Err(problem)
    }

    /// A fresh copy that is ready, and what it starts with, in words.
    fn fresh(&self) -> Result<(Box<dyn Backend>, String), StageError> {
        let (common, generation) = (&self.common, &self.generation);
        let context = Context::new(
            common.shared.clone(),
            generation.rights.clone(),
            generation.number,
            generation.prepared.tier,
        );
        let mut backend = ready(&generation.prepared, context, &generation.rights)?;
        let (state, problems) = common.kept_state(self.status.copy);
        problems.iter().for_each(|problem| self.note(problem));
        let Some(state) = state else {
            return Ok((backend, "without its state, which is lost".to_owned()));
        };
        match restore(&mut backend, &state, &generation.prepared.manifest.lifecycle) {
            Ok(()) => Ok((backend, format!("with its kept state, version {}", state.version))),
            Err(Stop::Alive(outcome)) => {
                Ok((backend, format!("without its kept state, which it refused: {outcome}")))
            }
            Err(Stop::Dead(outcome)) => Err(LoadProblem::Call(outcome).at(LoadStage::RestoreState)),
        }
    }

    /// Tries again after a while, if the copy is still there.
    fn retry_later(&self, wait: Duration) {
        let (id, cell) = (self.id(), self.cell.clone());
        self.common.runtime.spawn(async move {
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
        let retry = self.status.down.lock().as_ref().and_then(|down| down.retry);
        if retry.is_some_and(|at| at <= Instant::now()) {
            // The error is the fault of the copy, and recorded there.
            let _ = self.start_fresh();
        }
    }

    /// Replaces the copy by a fresh one because a person says so; failed attempts are forgotten.
    pub(super) fn restart(&mut self) -> Result<(), StageError> {
        self.end();
        *self.status.down.lock() = None;
        self.start_fresh()
    }

    /// Asks the plugin how it is. One that says it is not well, or cannot say, has failed.
    pub(super) fn check_health(&mut self) {
        let Some(backend) = &mut self.backend else { return };
        let _span = span::health(&self.generation.about(&self.common.shared)).entered();
        backend.context().begin_step(self.generation.prepared.manifest.lifecycle.start_deadline);
        let cause = match step(backend, |backend| backend.health()) {
            Ok(health) if health.is_good() => return,
            Ok(health) => format!("unhealthy: {} (code {})", health.message, health.code),
            Err(stop) => format!("unhealthy: {}", stop.into_outcome()),
        };
        self.fail(&cause);
    }

    /// A copy of its state. If the copy dies of giving it, it is replaced.
    pub(super) fn save_state(&mut self) -> Result<Option<State>, Stop> {
        let Some(backend) = &mut self.backend else { return Ok(None) };
        let _span = span::save_state(&self.generation.about(&self.common.shared)).entered();
        let deadline = self.generation.prepared.manifest.lifecycle.stop_deadline;
        backend.context().begin_last_step(deadline);
        let saved = step(backend, |backend| backend.save_state());
        if let Err(Stop::Dead(outcome)) = &saved {
            self.fail(&outcome.to_string());
        }
        saved
    }

    /// Gives it a state. If the copy dies of it, it is replaced.
    pub(super) fn restore_state(&mut self, state: &State) -> Result<(), StageError> {
        let none = || LoadProblem::Nothing("copy that runs").at(LoadStage::RestoreState);
        let lifecycle = &self.generation.prepared.manifest.lifecycle;
        let backend = self.backend.as_mut().ok_or_else(none)?;
        let restored = restore(backend, state, lifecycle)
            .map_err(|stop| {
                let dead = matches!(stop, Stop::Dead(_));
                (dead, LoadProblem::Call(stop.into_outcome()).at(LoadStage::RestoreState))
            })
            .and_then(|()| probe(backend, lifecycle).map_err(|refused| (false, refused)));
        restored.map_err(|(dead, refused)| {
            if dead {
                self.fail(&refused.to_string());
            }
            refused
        })
    }

    /// Saves its state, if the manifest asks for it. A failure is noted, and the states that are kept
    /// stay.
    pub(super) fn keep_state(&mut self) {
        if self.common.states.is_none() {
            return;
        }
        let saved = match self.save_state() {
            Ok(None) => return,
            Ok(Some(state)) => self.keep(&state),
            Err(stop) => Err(stop.into_outcome().to_string()),
        };
        if let Err(reason) = saved {
            self.note(&format!("the state cannot be saved: {reason}"));
        }
    }

    fn keep(&self, state: &State) -> Result<(), String> {
        let Some(states) = &self.common.states else { return Ok(()) };
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
