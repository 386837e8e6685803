//! The start of a replay in the middle of a trace, with the states that plugins had there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use glovebox_events::{CallId, Event, Snapshot, What};

use super::{ReplayInput, ReplayPlan};
use glovebox_trace::TraceError;

/// A start in the middle of a trace.
///
/// Each plugin that got inputs before the start is given the latest snapshot that is not of a later
/// time, and then the inputs between that and the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// Where, by position among all inputs of the trace.
    pub position: usize,
    /// The snapshots that plugins are given first, by plugin.
    pub snapshots: Vec<Snapshot>,
    /// The inputs that are sent then, in order.
    pub before: Vec<ReplayInput>,
}

/// Why a replay cannot start there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no such input.
    #[error("there is no input {position}, the trace has {inputs}, counted from 0")]
    Beyond {
        /// The position that was asked for.
        position: usize,
        /// Inputs of the trace.
        inputs: usize,
    },
    /// No input has this call.
    #[error("no input of the trace began call {call}")]
    NoCall {
        /// The call that was asked for.
        call: CallId,
    },
    /// Nobody knows the state of a plugin.
    #[error(
        "the trace has no snapshot of `{plugin}` from before input {position}{}; record it with --snapshot-every 1000, or send it whole, without --from",
        if *.later == 0 { "" } else { ", only later ones" }
    )]
    NoSnapshot {
        /// The plugin.
        plugin: Arc<str>,
        /// Where the replay was to start.
        position: usize,
        /// Snapshots of later times.
        later: u64,
    },
    /// The state of a plugin is that of several instances.
    #[error(
        "{instances} instances of `{plugin}` are in the trace, so that no state is that of all its inputs; send it whole, without --from"
    )]
    SeveralInstances {
        /// The plugin.
        plugin: Arc<str>,
        /// How many.
        instances: usize,
    },
    /// The trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Finds starts; it is fed the events of the trace.
#[derive(Debug, Clone, Default)]
pub struct StartFinder {
    instances: BTreeMap<Arc<str>, BTreeSet<u64>>,
}

/// The knowledge about one plugin.
struct Known {
    /// The first call from the start on.
    next: Option<CallId>,
    latest: Option<Snapshot>,
    later: u64,
}

impl StartFinder {
    /// Takes one event.
    pub fn add(&mut self, event: &Event) {
        if let What::FrameIn { .. } = event.what {
            let instances = self.instances.entry(event.plugin.clone()).or_default();
            instances.insert(event.instance);
        }
    }

    /// The start at a position among all inputs of the trace. Reads all of the trace but its
    /// chunks; of each plugin one snapshot is in memory.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn find(
        &self,
        trace: &Path,
        plan: &ReplayPlan,
        position: usize,
    ) -> Result<Start, StartError> {
        let inputs = plan.inputs.len();
        if position >= inputs {
            return Err(StartError::Beyond { position, inputs });
        }
        let (before, after) = plan.inputs.split_at(position);
        let mut known: BTreeMap<Arc<str>, Known> = BTreeMap::new();
        for input in before {
            let new = || Known { next: None, latest: None, later: 0 };
            known.entry(input.plugin.clone()).or_insert_with(new);
        }
        for input in after {
            if let Some(known) = known.get_mut(&input.plugin) {
                known.next.get_or_insert(input.call);
            }
        }
        glovebox_trace::each_snapshot(trace, |snapshot| {
            let Some(known) = known.get_mut(&snapshot.plugin) else { return };
            let is_earlier =
                known.next.is_none_or(|next| snapshot.after.is_none_or(|after| after < next));
            let is_latest = known.latest.as_ref().is_none_or(|known| known.after <= snapshot.after);
            match is_earlier {
                true if is_latest => known.latest = Some(snapshot),
                true => {}
                false => known.later += 1,
            }
        })?;
        let mut after = BTreeMap::new();
        let mut snapshots = Vec::new();
        for (plugin, known) in known {
            let Some(snapshot) = known.latest else {
                return Err(StartError::NoSnapshot { plugin, position, later: known.later });
            };
            let mut instances = self.instances.get(&plugin).cloned().unwrap_or_default();
            instances.insert(snapshot.instance);
            if instances.len() > 1 {
                let instances = instances.len();
                return Err(StartError::SeveralInstances { plugin, instances });
            }
            after.insert(plugin, snapshot.after);
            snapshots.push(snapshot);
        }
        let is_later = |input: &&ReplayInput| {
            let after = after.get(&input.plugin).copied().flatten();
            after.is_none_or(|after| input.call > after)
        };
        let before = before.iter().filter(is_later).cloned().collect();
        Ok(Start { position, snapshots, before })
    }
}

impl ReplayPlan {
    /// The position of the input that began a call.
    ///
    /// # Errors
    ///
    /// [`StartError::NoCall`] if none did.
    pub fn position_of(&self, call: CallId) -> Result<usize, StartError> {
        let position = self.inputs.iter().position(|input| input.call == call);
        position.ok_or(StartError::NoCall { call })
    }

    /// Leaves out what comes before a position of `whole`, the plan of all inputs of the trace.
    #[must_use]
    pub fn starting_at(self, whole: &ReplayPlan, position: usize) -> ReplayPlan {
        let before = whole.inputs.iter().take(position);
        let before: HashSet<CallId> = before.map(|input| input.call).collect();
        self.keep(|input| !before.contains(&input.call))
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Frame;
    use glovebox_abi::State;

    use super::*;
    use glovebox_trace::TraceWriter;

    fn event(call: u64, plugin: &str, instance: u64) -> Event {
        let what = What::FrameIn { call: CallId(call), frame: Frame::data("a") };
        Event { sequence: call, at: call, plugin: plugin.into(), instance, generation: 1, what }
    }

    fn snapshot(after: u64, plugin: &str, instance: u64) -> Snapshot {
        Snapshot {
            at: after,
            plugin: plugin.into(),
            instance,
            generation: 1,
            after: (after > 0).then_some(CallId(after)),
            states: vec![Some(State { version: 1, bytes: after.to_string().into_bytes() })],
            store: BTreeMap::new(),
        }
    }

    /// Calls 1 to 8 of `a` and `b` in turn.
    fn start(snapshots: &[Snapshot], position: usize) -> Result<Start, StartError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.mcap");
        let mut writer = TraceWriter::create(&path, "0").unwrap();
        let events: Vec<Event> =
            (1..=8).map(|call| event(call, ["b", "a"][(call % 2) as usize], call % 2)).collect();
        for event in &events {
            writer.write(event).unwrap();
        }
        for snapshot in snapshots {
            writer.write_snapshot(snapshot).unwrap();
        }
        writer.finish().unwrap();
        let mut finder = StartFinder::default();
        events.iter().for_each(|event| finder.add(event));
        finder.find(&path, &ReplayPlan::from_events(events, None), position)
    }

    #[test]
    fn the_latest_snapshot_before_the_start_counts() {
        /// Positions, the calls after which the snapshots are, and the calls sent first.
        #[track_caller]
        fn check(snapshots: &[Snapshot], position: usize, after: &[u64], before: &[u64]) {
            let start = start(snapshots, position).unwrap();
            let number = |call: Option<CallId>| call.map_or(0, |call| call.0);
            let found: Vec<u64> = start.snapshots.iter().map(|one| number(one.after)).collect();
            assert_eq!(found, after);
            let sent: Vec<u64> = start.before.iter().map(|input| input.call.0).collect();
            assert_eq!(sent, before);
        }
        let all = [
            snapshot(0, "a", 1),
            snapshot(0, "b", 0),
            snapshot(5, "a", 1),
            snapshot(4, "b", 0),
            snapshot(7, "a", 1),
        ];
        check(&all, 0, &[], &[]);
        check(&all, 1, &[0], &[1]);
        check(&all, 3, &[0, 0], &[1, 2, 3]);
        check(&all, 4, &[0, 4], &[1, 3]);
        check(&all, 6, &[5, 4], &[6]);
        check(&all, 7, &[7, 4], &[6]);
        // In any order.
        let mut turned = all;
        turned.reverse();
        check(&turned, 6, &[5, 4], &[6]);
    }

    #[test]
    fn starts_without_a_state_are_refused() {
        #[track_caller]
        fn check(snapshots: &[Snapshot], position: usize, expected: &str) {
            let error = start(snapshots, position).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check(&[], 8, "there is no input 8, the trace has 8");
        check(&[], 1, "no snapshot of `a` from before input 1; record it with --snapshot-every");
        let late = [snapshot(5, "a", 1), snapshot(2, "b", 0)];
        check(&late, 4, "no snapshot of `a` from before input 4, only later ones; record");
        let other = [snapshot(0, "a", 7), snapshot(0, "b", 0)];
        check(&other, 4, "2 instances of `a` are in the trace");
    }
}
