//! Snapshots of the state of an instance between two calls.

use glovebox_events::{CallId, LoadStage, Outcome, Snapshot};

use super::Instance;
use crate::problem::{LoadProblem, StageError};
use crate::record::unix_nanoseconds;

impl Instance {
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Outcome> {
        let mut held = self.pool.hold_all().ok_or_else(|| refused("the instance is gone"))?;
        let mut after = 0;
        let mut states = Vec::with_capacity(held.len());
        for held in &mut held {
            let copy = held.copy();
            if copy.backend.is_none() {
                return Err(refused("a copy does not run"));
            }
            after = after.max(copy.last_call.0);
            states.push(copy.save_state().map_err(|stop| stop.into_outcome())?);
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

    pub(crate) fn put_snapshot(&self, snapshot: Snapshot) -> Result<(), StageError> {
        let missing = || LoadProblem::Nothing("such instance").at(LoadStage::RestoreState);
        drop(self.end_candidate("the serving generation was given another state"));
        let mut held = self.pool.hold_all().ok_or_else(missing)?;
        // A copy may look into its store while it is given its state.
        *self.shared.kv.lock() = snapshot.store.into();
        for (held, state) in held.iter_mut().zip(&snapshot.states) {
            if let Some(state) = state {
                held.copy().restore_state(state)?;
            }
        }
        Ok(())
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}
