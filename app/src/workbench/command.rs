use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use glovebox_abi::manifest::{Isolation, Limits};
use glovebox_abi::{Frame, Permission};
use glovebox_events::CallId;
use glovebox_host::{Allowance, CandidateRole, InstanceId, Lifetime, PolicyMode};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::DiffOptions;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::findings::Severities;
use glovebox_inspector::replay::Pace;

use super::replay::Routing;
use super::{Accepting, Every, Example, Faults, JobId, RowRef, TraceId, Wanted};

/// Everything that changes the workbench.
#[derive(Debug, Clone)]
pub enum Command {
    /// Loads plugins, opens traces, baselines and workspaces; with plugins and traces, replays the
    /// traces into the plugins.
    Start {
        /// Artifacts, manifests, folders, traces, captures, baselines, and files named
        /// `glovebox.toml`.
        files: Vec<PathBuf>,
    },
    /// Loads the plugins of an example and replays its trace.
    RunExample(&'static Example),
    /// Loads a plugin.
    Load(PathBuf),
    /// Loads a plugin with what a person accepts about it.
    LoadAccepting(PathBuf, Accepting),
    /// Lets native plugins that are loaded from now on run in this process, or no longer.
    TrustNative(bool),
    /// Gives the compiler so long for each artifact that is loaded from now on; `None` for what its
    /// manifest says or its size suggests.
    SetCompileDeadline(Option<Duration>),
    /// Gives the compiler so many bytes of memory for each artifact that is loaded from now on; `None`
    /// for what its manifest says or its size suggests.
    SetCompileMemory(Option<u64>),
    /// Gives each plugin so much time to be opened for the first time that is loaded from now on; `None` for
    /// what its manifest says.
    SetLoadDeadline(Option<Duration>),
    /// Removes an instance.
    Unload(InstanceId),
    /// Opens a trace, or imports a capture.
    OpenTrace(PathBuf),
    /// Writes a trace to another file.
    SaveTrace {
        /// The trace.
        trace: TraceId,
        /// The file.
        path: PathBuf,
        /// Whether a file of this name is replaced; otherwise a person is asked.
        replace: bool,
    },
    /// Writes the live frames that are still in memory to a trace.
    SaveLive {
        /// The file.
        path: PathBuf,
        /// Whether a file of this name is replaced; otherwise a person is asked.
        replace: bool,
    },
    /// Finds rows of a trace that is not held, or, for `None`, forgets what was found.
    Search(TraceId, Option<Wanted>),
    /// Forgets a trace; its file stays.
    CloseTrace(TraceId),
    /// Makes a trace the one that others are compared with, or none.
    Pin(Option<TraceId>),
    /// Starts writing a trace file.
    StartRecording,
    /// Finishes the trace file and opens it.
    StopRecording,
    /// Keeps the states of plugins in recordings that start from now on, so often, or not.
    SetSnapshots(Option<Every>),
    /// Forgets the live frames.
    ClearLive,
    /// Sends the inputs of a trace again.
    Replay(ReplayRequest),
    /// Lets one input of the running replay through.
    StepReplay,
    /// Holds the running replay, or lets it go on.
    PauseReplay(bool),
    /// Ends some work.
    Cancel(JobId),
    /// Ends all work.
    CancelAll,
    /// Sends a frame.
    Send(SendRequest),
    /// Sends the input of a row again and compares the answers.
    ResendAndDiff {
        /// The instance that gets it.
        target: InstanceId,
        /// A row of the call.
        row: RowRef,
    },
    /// Puts a new generation in place.
    Reload {
        /// Of this instance.
        instance: InstanceId,
        /// Whether its state is carried over.
        carry_state: bool,
    },
    /// Runs a native plugin in processes of its own from now on, or in this one, with its state.
    Move {
        /// The instance.
        instance: InstanceId,
        /// Where to; in this process, it is trusted.
        to: Isolation,
    },
    /// Starts fresh copies of the generation that runs, also of a plugin that was stopped for its
    /// failures.
    Restart(InstanceId),
    /// Goes back to a generation that is kept: the one of this number, or the latest.
    RollBack(InstanceId, Option<u32>),
    /// Tries what is on disk, or another artifact, beside the generation that serves.
    TryBeside(InstanceId, CandidateRole, Option<PathBuf>),
    /// Lets what is tried take over.
    Promote(InstanceId),
    /// Ends the trial of what is tried.
    Dismiss(InstanceId),
    /// Lets a version that is older than the running one, and waits for that, take over.
    AcceptOlder(InstanceId),
    /// Reloads whenever the artifact changes, or no longer.
    Watch(InstanceId, bool),
    /// Reloads, replays the pinned trace and compares.
    Loop {
        /// The instance that is reloaded.
        instance: InstanceId,
        /// Those that get the inputs, this one among them.
        targets: Vec<InstanceId>,
        /// Which inputs they get.
        routing: Routing,
    },
    /// Allows one permission of one instance for so long. If its request changed since it was
    /// shown, nothing is allowed.
    Allow {
        /// The instance.
        instance: InstanceId,
        /// The permission.
        permission: Permission,
        /// Its request, as it was shown.
        asks: Vec<Allowance>,
        /// Other instances that are allowed it, too, unless they ask for more by now.
        others: Vec<InstanceId>,
        /// For how long.
        lifetime: Lifetime,
    },
    /// Grants or denies one permission.
    Decide(InstanceId, Permission, glovebox_host::Decision),
    /// Changes the limits.
    SetLimits(InstanceId, Box<Limits>),
    /// Switches faults of host services on or off for an instance, or changes them.
    SetFaults(InstanceId, Box<Faults>),
    /// Changes what is granted where nobody decided.
    SetPolicyMode(PolicyMode),
    /// Loads another build beside an instance, sends both the same inputs and compares them.
    Compare {
        /// The instance.
        first: InstanceId,
        /// The other build.
        path: PathBuf,
    },
    /// Sends both builds the same inputs once more.
    CompareAgain,
    /// Sends what is composed for one of the two builds to both, or no longer.
    SendToBoth(bool),
    /// Compares two traces.
    Diff {
        /// The first.
        before: TraceId,
        /// The second.
        after: TraceId,
        /// The rules of what counts as a difference.
        options: DiffOptions,
    },
    /// Compares a trace with the baseline file that is open.
    CompareWithBaseline(TraceId),
    /// Compares replays with no baseline file any longer; the file stays.
    CloseBaseline,
    /// Writes the baseline that decisions about the last diff lead to; what nobody decided about
    /// stays as it was in the first run.
    SaveBaseline {
        /// The file.
        path: PathBuf,
        /// Whether a file of this name is replaced; otherwise a person is asked.
        replace: bool,
        /// By position in the entries of the diff.
        decisions: BTreeMap<usize, Decision>,
    },
    /// Writes the mode and the decisions about permissions to a `policy.toml`.
    SavePolicy {
        /// The file.
        path: PathBuf,
        /// Whether a file of this name is replaced; otherwise a person is asked.
        replace: bool,
    },
    /// Writes a failure bundle about what an instance did last.
    SaveBundle {
        /// The instance.
        instance: InstanceId,
        /// The file.
        path: PathBuf,
        /// Whether a file of this name is replaced; otherwise a person is asked.
        replace: bool,
    },
    /// Shows findings by these severities.
    SetSeverities(Severities),
    /// Examines this machine.
    Examine,
    /// Says something in the list of notices.
    Notify(super::Level, String),
}

/// The request to replay: the trace, the targets and the manner.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// The trace.
    pub trace: TraceId,
    /// The instances; all if empty.
    pub targets: Vec<InstanceId>,
    /// Which inputs each of them gets.
    pub routing: Routing,
    /// How fast.
    pub pace: Pace,
    /// Only inputs that match.
    pub filter: Option<Filter>,
    /// Only inputs of these calls; all if empty.
    pub calls: Vec<CallId>,
    /// Only inputs of this time, both ends included, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Where to start: plugins are given the latest snapshot from before this call, and then the
    /// inputs in between, which are no part of the run.
    pub from: Option<CallId>,
    /// How often, and who answers.
    pub how: ReplayHow,
}

impl ReplayRequest {
    /// All inputs of a trace once, as fast as possible, to each plugin those that were recorded for it.
    pub fn whole(trace: TraceId, targets: Vec<InstanceId>) -> ReplayRequest {
        ReplayRequest {
            trace,
            targets,
            routing: Routing::ByPlugin,
            pace: Pace::Max,
            filter: None,
            calls: Vec::new(),
            range: None,
            from: None,
            how: ReplayHow::Once,
        }
    }
}

/// How often inputs are sent, and who answers host calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayHow {
    /// Once.
    #[default]
    Once,
    /// Again and again, until it is stopped.
    Again,
    /// Once, into fresh copies of the instances, whose host calls get the answers of the trace.
    Answered,
}

/// A frame for an instance.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// The instance.
    pub target: InstanceId,
    /// The frame.
    pub frame: Frame,
    /// The file that holds the payload instead, if any.
    pub payload_file: Option<PathBuf>,
    /// How often, from 1.
    pub times: usize,
}
