//! The swap of generations: the next is built beside the running one, given a state and tried, and
//! takes over between two calls, or does not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::Permission;
use glovebox_events::{LoadStage, NoteKind};

use super::candidate::CanaryCopy;
use super::copy::{CopyGuard, Unheld};
use super::generation::{
    Carry, Handover, NextGeneration, PreviousGeneration, RejectedGeneration, WaitingGeneration,
};
use super::report::RefusedGeneration;
use super::start::{bring_up, check_health, restore};
use super::{Instance, gone};
use crate::backend::{self, Code};
use crate::load::Prepared;
use crate::policy::{MissingLayers, SwapRules};
use crate::problem::{LoadProblem, StageError};
use crate::record::span;
use crate::services::resident;
use crate::stop::Stop;

/// Longer than any host runs: 100 years.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The thing that a generation lacks which needs a state.
pub(crate) const STATE: &str = "state to carry over";

impl Instance {
    /// Builds the next generation beside the running one. Permissions allowed once hold for it if
    /// `keeps_once`.
    pub(crate) fn next(
        &self,
        prepared: Prepared,
        keeps_once: bool,
    ) -> Result<NextGeneration, StageError> {
        self.check_id(&prepared)?;
        self.check_layers(&prepared)?;
        let number = self.generations.last.fetch_add(1, Ordering::Relaxed) + 1;
        // The plugin may take its time to get ready, and no lock is held meanwhile.
        let coming = self.announce(prepared.with_better(), keeps_once);
        bring_up(&self.shared, coming, number, self.copies() as u32)
    }

    /// Lets a generation take over: it is built beside the running one, must answer the probes if it
    /// `is_newer`, and is switched to. Gives the version of the state that was carried over.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        prepared: Prepared,
        handover: Handover,
        is_newer: bool,
    ) -> Result<Option<u32>, StageError> {
        let next = self.next(prepared, handover.keeps_once)?;
        if is_newer {
            self.probe(&next, &handover.carry)?;
        }
        let carried = self.switch(next, handover)?;
        self.tend();
        self.ask_again();
        Ok(carried)
    }

    /// Refuses another plugin than the one that the instance runs.
    pub(crate) fn check_id(&self, prepared: &Prepared) -> Result<(), StageError> {
        if prepared.manifest.plugin.id.as_str() == &*self.plugin {
            return Ok(());
        }
        let (expected, found) = (self.plugin.to_string(), prepared.manifest.plugin.id.clone());
        Err(LoadProblem::OtherPlugin { expected, found }.at(LoadStage::Policy))
    }

    /// Refuses a sandbox that lacks layers, if the policy wants them or a person has to accept that.
    pub(super) fn check_layers(&self, prepared: &Prepared) -> Result<(), StageError> {
        let Some(sandbox) = prepared.code.sandbox() else { return Ok(()) };
        let rule = self.overrides.lock().rules.policy.missing_layers();
        let is_asked = match rule {
            MissingLayers::Run => return Ok(()),
            MissingLayers::Ask if self.request().accepts_missing_layers => return Ok(()),
            MissingLayers::Ask => true,
            MissingLayers::Refuse => false,
        };
        let missing = sandbox
            .missing()
            .map(|(layer, missing)| format!("`{layer}`: {}; {}", missing.reason, missing.remedy));
        let layers: Vec<String> = missing.collect();
        match layers.is_empty() {
            true => Ok(()),
            false => Err(LoadProblem::LayersMissing { layers, is_asked }.at(LoadStage::Policy)),
        }
    }

    /// Waits for the calls under way, carries the states over and switches. Any refusal leaves the
    /// running generation as it was. Gives the version of the state that was carried.
    pub(crate) fn switch(
        &self,
        mut fresh: NextGeneration,
        handover: Handover,
    ) -> Result<Option<u32>, StageError> {
        let Handover { carry, keeps_once, repeats, needs_state } = handover;
        let _span = span::switch().entered();
        let refuse =
            |stop: Stop| LoadProblem::Call(stop.into_outcome()).at(LoadStage::RestoreState);
        let mut held = self.hold_all_in_time()?;
        let mut saved = Vec::with_capacity(held.len());
        for held in &mut held {
            match held.copy().state() {
                Ok(state) => saved.push(state),
                // A plugin that cannot give its state must still be replaceable.
                Err(_) if !matches!(carry, Carry::Current) => saved.push(None),
                Err(refused) => return Err(refused),
            }
        }
        let saved = Arc::new(saved);
        if needs_state && saved.iter().any(Option::is_none) {
            return Err(LoadProblem::Nothing(STATE).at(LoadStage::RestoreState));
        }
        let carried = match carry {
            Carry::Nothing => Arc::default(),
            Carry::Current => saved.clone(),
            Carry::These(states) => states,
        };
        for (backend, state) in fresh.backends.iter_mut().zip(carried.iter()) {
            let lifecycle = &fresh.generation.prepared.manifest.lifecycle;
            if let Some(state) = state {
                restore(backend, state, lifecycle).map_err(refuse)?;
            }
            check_health(backend, lifecycle)?;
        }
        let generation = Arc::new(fresh.generation);
        let (mut old, mut canaries) = (Vec::with_capacity(held.len()), Vec::new());
        let previous = self.current().prepared.clone();
        let previous_lifecycle = previous.manifest.lifecycle.clone();
        for (held, backend) in held.iter_mut().zip(fresh.backends) {
            canaries.extend(held.copy().leave_candidate());
            old.extend(held.copy().adopt(generation.clone(), backend));
        }
        let candidate = self.support.candidate.swap(None);
        let number = generation.number;
        let left = self.current().number;
        if !self.is_asleep() && !repeats {
            let kept = self.swap_rules().keep as usize;
            let source = self.request().source.clone();
            let gone =
                PreviousGeneration { number: left, prepared: previous, source, states: saved };
            self.generations.keep(gone, kept, self.proven());
        }
        if !repeats {
            self.serve_anew(number, left);
        }
        {
            // As one step, before any call can run: nobody changes the rights of the wrong generation.
            let mut overrides = self.overrides.lock();
            if !keeps_once {
                overrides.forget_once();
            }
            self.generations.current.store(generation);
            drop(fresh.coming);
            self.apply(&overrides);
        }
        self.resize_queue();
        for status in self.pool.statuses() {
            let cause = if number == 1 { "started" } else { "a new generation took over" };
            status.ready(&self.shared, number, cause);
        }
        drop(held);
        canaries.into_iter().for_each(CanaryCopy::end);
        if let Some(candidate) = candidate {
            self.forget_candidate(&candidate, &format!("generation {number} took over"));
        }
        for mut old in old {
            old.context().begin_last_step(previous_lifecycle.stop_deadline);
            backend::end(old);
        }
        self.look_at_remains(fresh.resident.filter(|_| left > 0));
        Ok(carried.iter().flatten().next().map(|state| state.version))
    }

    /// Tells of what did not go away with the generations that were replaced; `before` are the bytes of
    /// memory of this process before the swap.
    fn look_at_remains(&self, before: Option<u64>) {
        let current = self.current();
        let library = match &current.prepared.code {
            Code::Native(code) => code.copy.as_deref(),
            _ => None,
        };
        let memory = before.zip(resident());
        for left in self.shared.remains.took_over(current.number, library, memory) {
            tracing::warn!(plugin = &*self.plugin, %left, "left behind");
            self.note(NoteKind::LeftBehind, &left.to_string());
        }
    }

    /// Until when the calls under way are waited for, and how long that is.
    fn drain_until(&self) -> (Instant, Duration) {
        let deadline = self.swap_rules().drain_deadline;
        let now = Instant::now();
        // A time that the clock cannot show never comes.
        (now.checked_add(deadline).unwrap_or(now + FOREVER), deadline)
    }

    fn unheld(&self, unheld: Unheld, deadline: Duration) -> StageError {
        match unheld {
            Unheld::Gone => gone(),
            Unheld::Late => LoadProblem::NotDrained { deadline }.at(LoadStage::RestoreState),
        }
    }

    /// All copies, if the calls under way end in time.
    pub(super) fn hold_all_in_time(&self) -> Result<Vec<CopyGuard<'_>>, StageError> {
        let until = self.drain_until();
        self.pool.hold_all_until(until.0).map_err(|unheld| self.unheld(unheld, until.1))
    }

    /// One certain copy, if the call under way ends in time.
    pub(super) fn hold_in_time(&self, copy: usize) -> Result<CopyGuard<'_>, StageError> {
        let until = self.drain_until();
        self.pool.hold_until(copy, until.0).map_err(|unheld| self.unheld(unheld, until.1))
    }

    /// The rules for the swap of generations.
    pub(crate) fn swap_rules(&self) -> SwapRules {
        self.overrides.lock().rules.policy.swap()
    }

    /// A generation that is kept: the one of this number, or the latest.
    pub(crate) fn kept(&self, number: Option<u32>) -> Option<PreviousGeneration> {
        let kept = self.generations.previous.lock();
        let is_it = |kept: &&PreviousGeneration| number.is_none_or(|it| it == kept.number);
        kept.iter().rev().find(is_it).cloned()
    }

    /// The generations that are kept to go back to, the latest last.
    pub(crate) fn previous(&self) -> VecDeque<PreviousGeneration> {
        self.generations.previous.lock().clone()
    }

    /// The generation that waits for a decision about this permission.
    pub(super) fn waiting_for(&self, permission: Permission) -> Option<Prepared> {
        let rejected = self.generations.rejected.lock();
        let rejected = rejected.as_ref()?;
        let is_it = rejected.told.waits_for.iter().any(|growth| growth.permission == permission);
        rejected.waits.as_ref().filter(|_| is_it).map(|waiting| waiting.prepared.clone())
    }

    /// The generation that waits for decisions.
    pub(crate) fn waiting(&self) -> Option<WaitingGeneration> {
        self.generations.rejected.lock().as_ref()?.waits.clone()
    }

    /// The same, if all of them are made.
    pub(crate) fn decided(&self) -> Option<WaitingGeneration> {
        let is_asked = self.rejected().is_some_and(|rejected| rejected.older.is_some());
        let waiting = self.waiting().filter(|_| !is_asked)?;
        self.growth(&waiting.prepared, true).is_empty().then_some(waiting)
    }

    /// Lets the generation that waits take over although it is older. `false` if none waits for that.
    pub(crate) fn accept_older(&self) -> bool {
        let mut rejected = self.generations.rejected.lock();
        rejected.as_mut().and_then(|rejected| rejected.told.older.take()).is_some()
    }

    /// The facts about the generation that did not take over.
    pub(super) fn rejected(&self) -> Option<RefusedGeneration> {
        self.generations.rejected.lock().as_ref().map(|rejected| rejected.told.clone())
    }

    /// Keeps what is known of a generation that did not take over.
    pub(crate) fn reject(&self, told: RefusedGeneration, waits: Option<WaitingGeneration>) {
        *self.generations.rejected.lock() = Some(RejectedGeneration { told, waits });
    }

    /// Forgets the generation that did not take over. `false` if there is none.
    pub(crate) fn forget_rejected(&self) -> bool {
        self.generations.rejected.lock().take().is_some()
    }
}
