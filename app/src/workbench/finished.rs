//! Results of jobs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use glovebox_abi::Frame;
use glovebox_events::{CallId, Outcome};
use glovebox_host::{InstanceId, Mock, Policy, Profile};
use glovebox_inspector::baseline::Decision;
use glovebox_trace::{RecorderStatus, Statuses, TraceIndex};
use glovebox_workspace::WorkspacePlugins;

use super::accepted::{Accepted, Compared};
use super::doctor::Examination;
use super::findings::{Digest, Look};
use super::jobs::Panicked;
use super::replaying::Replayed;
use super::snapshots::SnapshotsTaken;
use super::trace::{Opened, TraceId};
use super::{Accepting, Command};

/// The result of a job.
#[derive(Debug)]
pub(super) enum Finished {
    /// Nothing to say.
    Nothing,
    /// It went well, in words.
    Done(String),
    /// Some of it went well, in words.
    Partly(String),
    /// It did not, in words.
    Failed(String),
    /// A trace was written to a file.
    TraceSaved(TraceId, PathBuf),
    /// Live frames were written to a file: those before this number, and how many, in words.
    LiveSaved(PathBuf, u64, String),
    /// An instance of this name is gone.
    Unloaded(InstanceId, String),
    /// The job itself panicked, in words: nobody knows how far it came.
    Panicked(String),
    /// A plugin was loaded, or not.
    Loaded(PathBuf, Result<InstanceId, String>),
    /// A plugin was not loaded, for want of what a person may accept; why, in words.
    NotAccepted(PathBuf, Accepting, String),
    /// The results of several jobs.
    Several(Vec<Finished>),
    /// A workspace was read, or not.
    Workspace(PathBuf, Result<Box<OpenedWorkspace>, String>),
    /// A trace was opened, or not.
    Opened(PathBuf, Result<Box<Opened>, String>),
    /// A trace was scanned, or not; `None` if that was cancelled.
    Indexed(TraceId, Result<Arc<TraceIndex>, Option<String>>),
    /// A trace that is not held was looked over.
    Digested(TraceId, Box<Digest>),
    /// A search of this revision is over; if it is not complete, why, unless it was cancelled.
    Searched(TraceId, u64, Result<(), Option<String>>),
    /// A trace was looked over by all rules, and counted.
    LookedOver(TraceId, Box<Look>),
    /// A recording is finished, or not.
    Recorded(Result<(Box<RecorderStatus>, Option<SnapshotsTaken>), String>),
    /// A replay is over.
    Replayed(Box<Replayed>),
    /// Two runs were compared, or not.
    Compared(Result<Compared, String>),
    /// A baseline file was opened, or not.
    Accepted(PathBuf, Result<Box<Accepted>, String>),
    /// A baseline was written, about these decisions.
    BaselineSaved(Box<Accepted>, BTreeMap<usize, Decision>),
    /// The policy was written, without these decisions.
    PolicySaved(PathBuf, Vec<String>),
    /// There is a file in the way of a command; this one replaces it.
    Exists(Box<Command>),
    /// A frame was sent.
    Sent(Box<Sent>),
    /// This machine was examined.
    Examined(Box<Examination>),
}

/// The content of a workspace.
#[derive(Debug)]
pub(super) struct OpenedWorkspace {
    pub(super) profile: Option<Profile>,
    pub(super) policy: Option<Policy>,
    pub(super) mock: Option<Arc<Mock>>,
    pub(super) plugins: WorkspacePlugins,
}

/// A frame that was composed, and the last answer to it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The time.
    pub at: SystemTime,
    /// Id of the plugin it went to.
    pub plugin: String,
    /// The instance it went to.
    pub instance: InstanceId,
    /// The generation that got the last call, unless that call reached none.
    pub generation: Option<u32>,
    /// The frame.
    pub frame: Frame,
    /// How often it was to be sent.
    pub wanted: usize,
    /// How often it was sent; less than that if somebody stopped it, or the plugin was unloaded.
    pub times: usize,
    /// How many calls completed.
    pub completed: usize,
    /// The last call.
    pub call: CallId,
    /// The latency of the last call, unless it is no longer in memory.
    pub latency: Option<Duration>,
    /// How the last call ended.
    pub outcome: Outcome,
    /// The statuses that the host calls of the last call add to that.
    pub beside: Statuses,
    /// The frames that the last call gave.
    pub frames: Vec<Frame>,
    /// From the first call to the end of the last, by the clock.
    pub took: Duration,
}

impl Panicked for Finished {
    fn panicked(text: String) -> Finished {
        Finished::Panicked(text)
    }

    fn not_started(text: String) -> Finished {
        Finished::Failed(text)
    }
}
