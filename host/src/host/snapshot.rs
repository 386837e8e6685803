//! Snapshots of instances, taken between two calls and restored into others.

use glovebox_events::{Outcome, Snapshot};

use super::{Host, about, gone};
use crate::id::InstanceId;
use crate::problem::LoadError;
use crate::task::Task;

impl Host {
    /// Takes a copy of the state of an instance: of all its copies, and of its own store. Waits for
    /// the calls under way, and lets none begin meanwhile.
    ///
    /// The error is how the call to a copy ended that did not give its state; it is refused if the
    /// instance is gone, or a copy does not run.
    pub fn snapshot(&self, id: InstanceId) -> Task<Result<Snapshot, Outcome>> {
        self.run(move |host| match host.instance(id) {
            Some(instance) => instance.snapshot(),
            None => Err(refused("the instance is gone")),
        })
    }

    /// Puts a snapshot into an instance, of the same plugin or of another version of it. Each copy
    /// gets the state of the copy with its number, as far as there are any; a copy for which there
    /// is none stays as it is. All that was in its store is replaced.
    ///
    /// The error is of the stage [`LoadStage::RestoreState`](glovebox_events::LoadStage::RestoreState) or
    /// [`LoadStage::Probe`](glovebox_events::LoadStage::Probe). The instance
    /// may have taken a part of it then, and is best unloaded.
    pub fn restore(&self, id: InstanceId, snapshot: Snapshot) -> Task<Result<(), LoadError>> {
        self.run(move |host| {
            let instance = host.instance(id).ok_or_else(gone)?;
            host.wake(&instance)?;
            instance.put_snapshot(snapshot).map_err(about(&instance))
        })
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}
