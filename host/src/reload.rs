//! The hot swap: a transaction that ends with the new generation running, or the old one untouched.

use std::sync::Arc;
use std::time::Instant;

use glovebox_events::{LoadStage, ReloadCause, What};

use crate::backend::Code;
use crate::host::about;
use crate::load::{LoadError, LoadProblem};
use crate::observe::span;
use crate::registry::InstanceId;
use crate::slot::{Carry, Slot};
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

    pub(crate) fn replace(
        &self,
        slot: &Arc<Slot>,
        cause: ReloadCause,
        carry: Carry,
    ) -> Result<u32, LoadError> {
        let _one_at_a_time = slot.reloading.lock();
        if !slot.queue.is_open() {
            return Err(gone());
        }
        let started = Instant::now();
        let before = slot.current();
        let span = span::reload(&slot.about_generation(&before), cause);
        let _entered = span.enter();
        let result = self.try_replace(slot, cause, carry);
        let now = slot.current();
        let what = match &result {
            Ok(None) => return Ok(before.number),
            Ok(Some(state_version)) => {
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

    /// `None` if there was nothing to do, else the version of the state that was carried over.
    fn try_replace(
        &self,
        slot: &Arc<Slot>,
        cause: ReloadCause,
        carry: Carry,
    ) -> Result<Option<Option<u32>>, LoadError> {
        let _runtime = self.runtime().enter();
        let (prepared, carry) = if cause == ReloadCause::RolledBack {
            let previous = slot.previous().ok_or_else(|| {
                let problem = LoadProblem::Nothing("generation to go back to");
                about(slot)((LoadStage::Read, problem))
            })?;
            (previous.prepared, Carry::These(previous.states))
        } else if cause == ReloadCause::PolicyChanged {
            (slot.current().prepared.clone(), carry)
        } else {
            (self.inner.preparer.prepare(&slot.request)?, carry)
        };
        let same = prepared.digest == slot.current().prepared.digest;
        if cause == ReloadCause::FileChanged && same {
            return Ok(None);
        }
        let fresh = slot.next(prepared).map_err(about(slot))?;
        let carried = slot.switch(fresh, carry).map_err(about(slot))?;
        slot.tend();
        Ok(Some(carried))
    }
}

pub(crate) fn gone() -> LoadError {
    LoadError::new(LoadStage::Read, None, LoadProblem::Nothing("such instance"))
}
