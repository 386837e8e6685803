//! The hot swap: a transaction that ends with the new generation running, or the old one untouched.

use std::sync::Arc;
use std::time::Instant;

use glovebox_events::{LoadStage, ReloadCause, What};

use crate::backend::Code;
use crate::host::about;
use crate::journal::unix_nanoseconds;
use crate::load::{LoadError, LoadProblem, Prepared};
use crate::observe::span;
use crate::registry::InstanceId;
use crate::slot::{Carry, Slot, list};
use crate::status::RefusedGeneration;
use crate::{Host, Reloading};

impl Host {
    /// Replaces the artifact of an instance by what its file holds now: a fresh copy is built
    /// beside the running one, given a copy of its state if `carry_state`, tried, and switched in
    /// between two calls. Any failure leaves the running generation as it was.
    pub fn reload(&self, id: InstanceId, cause: ReloadCause, carry_state: bool) -> Reloading {
        self.spawn(move |host| {
            let slot = host.slot(id).ok_or_else(gone)?;
            if slot.is_asleep() {
                slot.forget_fault();
                return host.wake(&slot).map(|()| slot.current().number);
            }
            let carry = if carry_state { Carry::Current } else { Carry::Nothing };
            host.replace(&slot, cause, carry)
        })
    }

    /// Goes back to the artifact before, with the state it had when it was replaced.
    pub fn roll_back(&self, id: InstanceId) -> Reloading {
        self.spawn(move |host| {
            let slot = host.slot(id).ok_or_else(gone)?;
            host.replace(&slot, ReloadCause::RolledBack, Carry::Nothing)
        })
    }

    /// Gives an instance a fresh copy of the artifact that runs, with a copy of its state.
    pub(crate) fn reload_prepared(&self, id: InstanceId, cause: ReloadCause) -> Reloading {
        self.spawn(move |host| {
            let slot = host.slot(id).ok_or_else(gone)?;
            // One that sleeps is given what is right when it wakes up.
            if matches!(slot.current().prepared.code, Code::Asleep) {
                return Ok(slot.current().number);
            }
            host.replace(&slot, cause, Carry::Current)
        })
    }

    /// Switches to the generation that waited for a decision.
    pub(crate) fn take_waiting(&self, id: InstanceId) -> Reloading {
        self.spawn(move |host| {
            let slot = host.slot(id).ok_or_else(gone)?;
            // Another reload may have come first.
            let Some((_, carry_state, cause)) = slot.waiting() else {
                return Ok(slot.current().number);
            };
            let carry = if carry_state { Carry::Current } else { Carry::Nothing };
            host.replace_by(&slot, cause, carry, true)
        })
    }

    pub(crate) fn replace(
        &self,
        slot: &Arc<Slot>,
        cause: ReloadCause,
        carry: Carry,
    ) -> Result<u32, LoadError> {
        self.replace_by(slot, cause, carry, false)
    }

    /// By the generation that waits, or by what `cause` says.
    fn replace_by(
        &self,
        slot: &Arc<Slot>,
        cause: ReloadCause,
        carry: Carry,
        waiting: bool,
    ) -> Result<u32, LoadError> {
        let _one_at_a_time = slot.reloading.lock();
        if !slot.queue.is_open() {
            return Err(gone());
        }
        let started = Instant::now();
        let before = slot.current();
        let span = span::reload(&slot.about_generation(&before), cause);
        let _entered = span.enter();
        let carry_state = matches!(carry, Carry::Current);
        let result = self.found(slot, cause, carry, waiting);
        let (mut grown, mut waits) = (Vec::new(), None);
        let result = result.and_then(|found| {
            let Some((prepared, carry)) = found else { return Ok(None) };
            // Nobody is asked about what ran before, or runs.
            let is_new = matches!(cause, ReloadCause::FileChanged | ReloadCause::Requested);
            if is_new {
                grown = slot.growth(&prepared, waiting);
            }
            if grown.is_empty() {
                return self.try_replace(slot, prepared, carry, waiting || !is_new).map(Some);
            }
            if cause == ReloadCause::FileChanged
                && slot.waiting().is_some_and(|(known, ..)| known.is_as(&prepared))
            {
                grown.clear();
                return Ok(None);
            }
            let asks = grown
                .iter()
                .map(|growth| format!("`{}` for {}", growth.permission, list(&growth.asks)));
            let asks = asks.collect::<Vec<_>>().join(", ");
            waits = Some((prepared, carry_state));
            let problem = LoadProblem::AsksForMore { asks };
            Err(about(slot)((LoadStage::Policy, problem)))
        });
        let now = slot.current();
        let what = match &result {
            Ok(None) => return Ok(before.number),
            Ok(Some(state_version)) => {
                // A fresh copy of what runs settles nothing about what waits.
                if cause != ReloadCause::PolicyChanged {
                    slot.forget_refused();
                }
                span.record("next_generation", now.number);
                tracing::info!(plugin = &*slot.plugin, %cause, generation = now.number, "reloaded");
                What::Reloaded {
                    cause,
                    from: before.number,
                    version: now.prepared.manifest.plugin.version.to_string(),
                    digest: now.prepared.digest.clone(),
                    state_version: *state_version,
                    took: started.elapsed(),
                }
            }
            Err(error) => {
                tracing::warn!(plugin = &*slot.plugin, %cause, %error, "not reloaded");
                let told = RefusedGeneration {
                    cause,
                    stage: error.stage(),
                    message: error.to_string(),
                    at: unix_nanoseconds(),
                    waits_for: grown,
                };
                // A fresh copy that cannot be made must not hide what waits, and going back is no
                // newer generation.
                let is_told = match cause {
                    ReloadCause::FileChanged | ReloadCause::Requested => true,
                    ReloadCause::PolicyChanged => slot.waiting().is_none(),
                    ReloadCause::RolledBack | ReloadCause::Restart => false,
                };
                if is_told {
                    slot.refuse(told, waits);
                }
                What::ReloadFailed {
                    cause,
                    stage: error.stage(),
                    message: error.to_string(),
                    took: started.elapsed(),
                }
            }
        };
        slot.shared.record(now.number, what);
        result.map(|_| now.number)
    }

    /// What is to take over, and the state it goes on from; `None` if there is nothing to do.
    fn found(
        &self,
        slot: &Slot,
        cause: ReloadCause,
        carry: Carry,
        waiting: bool,
    ) -> Result<Option<(Prepared, Carry)>, LoadError> {
        let _runtime = self.runtime().enter();
        if waiting {
            return Ok(slot.waiting().map(|(prepared, ..)| (prepared, carry)));
        }
        let prepared = match cause {
            ReloadCause::RolledBack => {
                let previous = slot.previous().ok_or_else(|| {
                    let problem = LoadProblem::Nothing("generation to go back to");
                    about(slot)((LoadStage::Read, problem))
                })?;
                return Ok(Some((previous.prepared, Carry::These(previous.states))));
            }
            ReloadCause::PolicyChanged => slot.current().prepared.clone(),
            _ => self.inner.preparer.prepare(&slot.request)?,
        };
        if cause == ReloadCause::FileChanged && prepared.is_as(&slot.current().prepared) {
            // The file holds again what runs.
            slot.forget_refused();
            return Ok(None);
        }
        Ok(Some((prepared, carry)))
    }

    /// Gives the version of the state that was carried over.
    fn try_replace(
        &self,
        slot: &Arc<Slot>,
        prepared: Prepared,
        carry: Carry,
        keeps_once: bool,
    ) -> Result<Option<u32>, LoadError> {
        let _runtime = self.runtime().enter();
        let fresh = slot.next(prepared, keeps_once).map_err(about(slot))?;
        let carried = slot.switch(fresh, carry, keeps_once).map_err(about(slot))?;
        slot.tend();
        slot.ask_again();
        Ok(carried)
    }
}

pub(crate) fn gone() -> LoadError {
    LoadError::new(LoadStage::Read, None, LoadProblem::Nothing("such instance"))
}
