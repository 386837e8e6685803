//! Gives plugins the state in which a replay starts in the middle of a trace; the window and the
//! command line share it.

use std::collections::HashMap;

use glovebox_events::CallId;
use glovebox_host::{Host, InstanceId, LoadError};
use glovebox_inspector::replay::{Inputs, ReplayPlan, Start};

use super::replay::{ReplaySummary, Target, Targets};
use super::words::count_of;

/// Why plugins cannot be given the states they had.
#[derive(Debug)]
pub(crate) enum GiveError {
    /// One instance gets the inputs of two plugins.
    TwoStates {
        /// The plugin whose state it has already.
        first: String,
        /// The plugin whose state it cannot have, too.
        second: String,
    },
    /// Before the start, a plugin emits again what another one has in its state already, or is sent
    /// after it.
    Torn {
        /// The plugin that emits.
        emitter: String,
        /// The call that this begins.
        call: CallId,
        /// The plugin of that call.
        plugin: String,
    },
    /// An instance does not take the state.
    Restore(LoadError),
}

/// Gives the snapshots of a start to those that get the inputs of their plugins. `whole` are all
/// inputs of the trace.
pub(crate) fn give(
    start: &Start,
    whole: &ReplayPlan,
    targets: &Targets,
    host: &Host,
) -> Result<(), GiveError> {
    refuse_torn(start, whole, targets)?;
    let mut given: Vec<(InstanceId, &str)> = Vec::new();
    for snapshot in &start.snapshots {
        for Target { instance, .. } in targets.of(&snapshot.plugin) {
            if let Some((_, first)) = given.iter().find(|(known, _)| known == instance) {
                let (first, second) = ((*first).to_owned(), snapshot.plugin.to_string());
                return Err(GiveError::TwoStates { first, second });
            }
            host.restore(*instance, snapshot.clone()).wait().map_err(GiveError::Restore)?;
            given.push((*instance, &snapshot.plugin));
        }
    }
    Ok(())
}

fn refuse_torn(start: &Start, whole: &ReplayPlan, targets: &Targets) -> Result<(), GiveError> {
    // A plan in memory can always be read.
    let by_themselves = whole.by_themselves(&|plugin| targets.has(plugin)).unwrap_or_default();
    let sent: HashMap<CallId, &str> =
        start.before.iter().map(|input| (input.call, &*input.plugin)).collect();
    let emitted = whole.inputs.iter().filter(|input| by_themselves.contains(&input.call));
    for input in emitted.filter(|input| !sent.contains_key(&input.call)) {
        if let Some(emitter) = input.cause.and_then(|cause| sent.get(&cause)) {
            let (emitter, plugin) = ((*emitter).to_owned(), input.plugin.to_string());
            return Err(GiveError::Torn { emitter, call: input.call, plugin });
        }
    }
    Ok(())
}

/// How instances got to where a replay starts.
#[derive(Debug)]
pub(crate) struct Started {
    /// Where, by position among all inputs of the trace.
    pub(crate) position: usize,
    /// By plugin: after which call the snapshot is.
    pub(crate) snapshots: Vec<(String, Option<CallId>)>,
    /// The inputs that were sent in between.
    pub(crate) sent: ReplaySummary,
}

impl Started {
    /// After what comes before the start was sent.
    pub(crate) fn new(start: &Start, sent: ReplaySummary) -> Started {
        let snapshots = start.snapshots.iter();
        let snapshots = snapshots.map(|one| (one.plugin.to_string(), one.after)).collect();
        Started { position: start.position, snapshots, sent }
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let snapshots = self.snapshots.iter().map(|(plugin, after)| match after {
            Some(call) => format!("{plugin} from its snapshot after call {call}"),
            None => format!("{plugin} from its snapshot before the first call"),
        });
        let snapshots = snapshots.collect::<Vec<_>>().join(", ");
        let sent = count_of(self.sent.sent, "call");
        let failed = self.sent.failures();
        format!("input {}: {snapshots}; {sent} in between, {failed} failed", self.position)
    }
}
