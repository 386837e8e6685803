//! Where a replay starts, and snapshots of states that let a later one start elsewhere.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;
use glovebox_abi::units::parse_duration;
use glovebox_events::CallId;
use glovebox_host::{Host, InstanceId};
use glovebox_inspector::replay::{Pace, ReplayPlan, Start, StartError, StartFinder};
use serde_json::{Value as Json, json};

use super::super::error::Problem;
use super::super::observe::Recording;
use super::super::report::{count, count_of};
use super::stage::Stage;
use crate::workbench::replay::{ReplaySummary, Target, Targets};

/// Where to start, and what to keep for later starts.
#[derive(Debug, Clone, Default, Args)]
pub(in super::super) struct StartArgs {
    /// Start in the middle: at frame:N, the input at this position of the whole trace, counted from
    /// 0, or at call:N. Each plugin is given the latest snapshot of its state from before, and then
    /// the inputs in between, of which nothing is compared, counted or recorded but host calls that
    /// diverge. The trace must hold snapshots, see --snapshot-every
    #[arg(long, value_name = "frame:N|call:N", conflicts_with = "range")]
    pub from: Option<From>,
    /// Keep the state of each plugin in the new trace at its start and again and again: every 1000
    /// inputs, or every 5s
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

/// How often something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Every {
    Inputs(usize),
    Time(Duration),
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Every, String> {
        let every = match text.parse() {
            Ok(inputs) => Some(Every::Inputs(inputs)),
            Err(_) => parse_duration(text).ok().map(Every::Time),
        };
        let is_never = |every: &Every| {
            matches!(every, Every::Inputs(0)) || *every == Every::Time(Duration::ZERO)
        };
        every
            .filter(|every| !is_never(every))
            .ok_or_else(|| "write a number of inputs, e.g. 1000, or a time, e.g. 5s".to_owned())
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

/// How instances got to where a replay starts.
pub(super) struct Started {
    position: usize,
    /// By plugin: after which call the snapshot is.
    snapshots: Vec<(String, Option<CallId>)>,
    sent: ReplaySummary,
}

impl Started {
    /// Brings the instances of a stage there. `whole` are all inputs of the trace.
    pub(super) fn at(start: &Start, whole: &ReplayPlan, stage: &Stage) -> Result<Started, Problem> {
        let targets = stage.targets_of(whole);
        give(start, &targets, &stage.host)?;
        let before = ReplayPlan { inputs: start.before.clone(), skipped: 0 };
        let sent = stage.unheard(|| stage.send(&targets, &before, Pace::Max));
        let snapshots = start.snapshots.iter();
        Ok(Started {
            position: start.position,
            snapshots: snapshots.map(|one| (one.plugin.to_string(), one.after)).collect(),
            sent,
        })
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let snapshots = self.snapshots.iter().map(|(plugin, after)| match after {
            Some(call) => format!("{plugin} from its snapshot after call {call}"),
            None => format!("{plugin} from its snapshot before the first call"),
        });
        let mut text = snapshots.collect::<Vec<_>>().join(", ");
        let sent = count_of(self.sent.sent, "call");
        text.push_str(&format!("; {sent} in between, {} failed", self.sent.failures()));
        format!("input {}: {text}", self.position)
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "position": self.position,
            "snapshots": self.snapshots.iter().map(|(plugin, after)| json!({
                "plugin": plugin,
                "after": after,
            })).collect::<Vec<_>>(),
            "calls_before": self.sent.sent,
            "outcomes_before": self.sent.outcomes,
        })
    }
}

/// Gives the snapshots to those that get the inputs of their plugins.
fn give(start: &Start, targets: &Targets, host: &Host) -> Result<(), Problem> {
    let mut given: Vec<(InstanceId, &str)> = Vec::new();
    for snapshot in &start.snapshots {
        for Target { instance, .. } in targets.of(&snapshot.plugin) {
            if let Some((_, other)) = given.iter().find(|(known, _)| known == instance) {
                let plugin = &snapshot.plugin;
                let remedy = "name one target for each with --plugin";
                return Err(Problem::Usage(format!(
                    "--from: one instance cannot have the states of `{other}` and `{plugin}`; {remedy}"
                )));
            }
            host.restore(*instance, snapshot.clone()).wait()?;
            given.push((*instance, &snapshot.plugin));
        }
    }
    Ok(())
}

/// Takes snapshots while inputs are sent.
pub(super) struct Snapshots<'a> {
    every: Every,
    host: &'a Host,
    instances: &'a [InstanceId],
    recording: &'a Recording,
    inputs: usize,
    last: Instant,
    taken: u64,
    refused: u64,
    /// Why the first was refused that was.
    reason: Option<String>,
}

/// What became of them.
#[derive(Debug, Clone, Default)]
pub(super) struct SnapshotsTaken {
    taken: u64,
    refused: u64,
    reason: Option<String>,
}

impl<'a> Snapshots<'a> {
    /// Takes the first ones.
    pub(super) fn start(
        every: Every,
        host: &'a Host,
        instances: &'a [InstanceId],
        recording: &'a Recording,
    ) -> Snapshots<'a> {
        let (inputs, last) = (0, Instant::now());
        let (taken, refused, reason) = (0, 0, None);
        let mut snapshots =
            Snapshots { every, host, instances, recording, inputs, last, taken, refused, reason };
        snapshots.take();
        snapshots
    }

    /// An input was sent.
    pub(super) fn sent(&mut self) {
        self.inputs += 1;
        let is_due = match self.every {
            Every::Inputs(inputs) => self.inputs.is_multiple_of(inputs),
            Every::Time(time) => self.last.elapsed() >= time,
        };
        if is_due {
            self.take();
        }
    }

    fn take(&mut self) {
        for instance in self.instances {
            match self.host.snapshot(*instance).wait() {
                Ok(snapshot) => {
                    self.recording.keep_snapshot(snapshot);
                    self.taken += 1;
                }
                Err(outcome) => {
                    self.refused += 1;
                    self.reason.get_or_insert_with(|| outcome.to_string());
                }
            }
        }
        self.last = Instant::now();
    }

    pub(super) fn finish(self) -> SnapshotsTaken {
        SnapshotsTaken { taken: self.taken, refused: self.refused, reason: self.reason }
    }
}

impl SnapshotsTaken {
    /// For people.
    pub(super) fn line(&self) -> String {
        let mut text = format!("{} of states taken", count(self.taken, "snapshot"));
        if let Some(reason) = &self.reason {
            text.push_str(&format!("; {} not, the first: {reason}", self.refused));
        }
        text
    }

    pub(super) fn json(&self) -> Json {
        json!({ "taken": self.taken, "refused": self.refused, "reason": self.reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_times_are_read() {
        fn check<T: FromStr + PartialEq + std::fmt::Debug>(text: &str, expected: Option<T>) {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        check("frame:12", Some(From::Position(12)));
        check("call:12", Some(From::Call(CallId(12))));
        check::<From>("12", None);
        check::<From>("frame:-1", None);
        check::<From>("row:1", None);
        check("1000", Some(Every::Inputs(1000)));
        check("5s", Some(Every::Time(Duration::from_secs(5))));
        check::<Every>("0", None);
        check::<Every>("0 s", None);
        check::<Every>("often", None);
    }
}
