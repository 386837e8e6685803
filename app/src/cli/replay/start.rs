//! The start of a replay, and snapshots of states for the start of a later one.

use std::path::Path;
use std::str::FromStr;

use clap::Args;
use glovebox_events::CallId;
use glovebox_inspector::replay::{Pace, ReplayPlan, Start, StartError, StartFinder};
use serde_json::{Value as Json, json};

use super::super::error::Problem;
use super::stage::Stage;
use crate::workbench::snapshots::{Every, SnapshotsTaken};
use crate::workbench::start::{GiveError, Started, give};

/// Where to start, and what to keep for later starts.
#[derive(Debug, Clone, Default, Args)]
pub(in super::super) struct StartArgs {
    /// Start in the middle. frame:N is an input by its position in the whole trace, counted from 0;
    /// call:N is the input of that call. Each plugin gets its latest earlier snapshot, and then the
    /// inputs up to the start. Of these inputs, only host calls that diverge are reported. The
    /// trace must hold snapshots; see --snapshot-every
    #[arg(long, value_name = "frame:N|call:N", conflicts_with = "range")]
    pub from: Option<From>,
    /// Keep snapshots of each plugin's state in the new trace: one at the start, and one every so
    /// many inputs (1000) or every so often (5s)
    #[arg(long, value_name = "INPUTS|TIME", requires = "record")]
    pub snapshot_every: Option<Every>,
}

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum From {
    Position(usize),
    Call(CallId),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        let place = match text.split_once(':') {
            Some(("frame", number)) => number.parse().ok().map(From::Position),
            Some(("call", number)) => number.parse().ok().map(|call| From::Call(CallId(call))),
            _ => None,
        };
        place.ok_or_else(|| "write frame:N or call:N, e.g. frame:1200".to_owned())
    }
}

impl StartArgs {
    /// The start in a trace of which `whole` are all inputs; `None` if it is at the beginning.
    pub(super) fn find(
        &self,
        trace: &Path,
        finder: &StartFinder,
        whole: &ReplayPlan,
    ) -> Result<Option<Start>, Problem> {
        let position = match self.from {
            None => return Ok(None),
            Some(From::Position(position)) => Ok(position),
            Some(From::Call(call)) => whole.position_of(call),
        };
        let start = position.and_then(|position| finder.find(trace, whole, position));
        start.map(Some).map_err(|error| match error {
            StartError::Trace(error) => Problem::Trace(error),
            error => Problem::Usage(format!("--from: {error}")),
        })
    }
}

/// Brings the instances of a stage to a start. `whole` are all inputs of the trace.
pub(super) fn go_to(start: &Start, whole: &ReplayPlan, stage: &Stage) -> Result<Started, Problem> {
    let targets = stage.targets_of(whole);
    give(start, whole, &targets, &stage.host).map_err(|error| match error {
        GiveError::Restore(error) => Problem::Load(error),
        GiveError::Torn { emitter, call, plugin } => {
            let remedy = "start elsewhere, or send it whole, without --from";
            Problem::Usage(format!(
                "--from: `{emitter}` gets an input before the start and emits call {call} of \
                 `{plugin}`, which is not between its snapshot and the start; {remedy}"
            ))
        }
        GiveError::TwoStates { first, second } => {
            let remedy = "name one target for each with --plugin";
            Problem::Usage(format!(
                "--from: one instance cannot have the states of `{first}` and `{second}`; {remedy}"
            ))
        }
    })?;
    let before = ReplayPlan { inputs: start.before.clone(), skipped: 0 };
    let sent = stage.unheard(|| stage.send(&targets, &before, Pace::Max));
    Ok(Started::new(start, sent))
}

pub(super) fn started_json(started: &Started) -> Json {
    json!({
        "position": started.position,
        "snapshots": started.snapshots.iter().map(|(plugin, after)| json!({
            "plugin": plugin,
            "after": after,
        })).collect::<Vec<_>>(),
        "calls_before": started.sent.sent,
        "outcomes_before": started.sent.outcomes,
    })
}

pub(super) fn snapshots_json(snapshots: &SnapshotsTaken) -> Json {
    let SnapshotsTaken { taken, refused, reason } = snapshots;
    json!({ "taken": taken, "refused": refused, "reason": reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        fn check(text: &str, expected: Option<From>) {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        check("frame:12", Some(From::Position(12)));
        check("call:12", Some(From::Call(CallId(12))));
        check("12", None);
        check("frame:-1", None);
        check("row:1", None);
    }
}
