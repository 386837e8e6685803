//! What an instance holds between two calls, taken out and put into another one.

use glovebox_events::{CallId, LoadStage, Outcome, Snapshot};

use crate::host::about;
use crate::journal::unix_nanoseconds;
use crate::load::{LoadError, LoadProblem};
use crate::reload::gone;
use crate::seat::Held;
use crate::slot::Slot;
use crate::{Host, InstanceId, Task};

impl Host {
    /// Takes a copy of the state of an instance: of all its copies, and of its own store. Waits for
    /// the calls under way, and lets none begin meanwhile.
    ///
    /// The error is how the call to a copy ended that did not give its state; it is refused if the
    /// instance is gone, or a copy does not run.
    pub fn snapshot(&self, id: InstanceId) -> Task<Result<Snapshot, Outcome>> {
        self.spawn(move |host| match host.slot(id) {
            Some(slot) => slot.snapshot(),
            None => Err(refused("the instance is gone")),
        })
    }

    /// Puts a snapshot into an instance, of the same plugin or of another version of it. Each copy
    /// gets the state of the copy with its number, as far as there are any; a copy for which there
    /// is none stays as it is. All that was in its store is replaced.
    ///
    /// The error is of the stage [`LoadStage::RestoreState`] or [`LoadStage::Probe`]. The instance
    /// may have taken a part of it then, and is best unloaded.
    pub fn restore(&self, id: InstanceId, snapshot: Snapshot) -> Task<Result<(), LoadError>> {
        self.spawn(move |host| {
            let slot = host.slot(id).ok_or_else(gone)?;
            host.wake(&slot)?;
            slot.put_snapshot(snapshot).map_err(about(&slot))
        })
    }
}

impl Slot {
    fn snapshot(&self) -> Result<Snapshot, Outcome> {
        let mut held = self.hold_all().ok_or_else(|| refused("the instance is gone"))?;
        let mut after = 0;
        let mut states = Vec::with_capacity(held.len());
        for held in &mut held {
            let running = held.running();
            if running.backend.is_none() {
                return Err(refused("a copy does not run"));
            }
            after = after.max(running.last_call.0);
            states.push(running.save_state().map_err(|stop| stop.into_outcome())?);
        }
        Ok(Snapshot {
            at: unix_nanoseconds(),
            plugin: self.plugin.clone(),
            instance: self.id.get(),
            generation: self.current().number,
            after: (after > 0).then_some(CallId(after)),
            states,
            store: self.shared.kv.lock().entries().clone(),
        })
    }

    fn put_snapshot(&self, snapshot: Snapshot) -> Result<(), (LoadStage, LoadProblem)> {
        let missing = || (LoadStage::RestoreState, LoadProblem::Nothing("such instance"));
        let mut held = self.hold_all().ok_or_else(missing)?;
        for (held, state) in held.iter_mut().zip(&snapshot.states) {
            if let Some(state) = state {
                held.running().restore_state(state)?;
            }
        }
        *self.shared.kv.lock() = snapshot.store.into();
        Ok(())
    }

    /// All copies at once, so that they stand still. `None` if the instance is gone.
    fn hold_all(&self) -> Option<Vec<Held<'_>>> {
        (0..self.copies()).map(|copy| self.hold_copy(copy)).collect()
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}
