use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::{LogLevel, Permission};
use glovebox_events::{CallId, LoadStage, ReloadCause};

/// A line a plugin wrote with the service `log`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The call in which it was written; `None` outside `process`.
    pub call: Option<CallId>,
    /// How important it is.
    pub level: LogLevel,
    /// The line.
    pub message: String,
}

/// What sort of notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// A phase changed.
    Phase,
    /// Something was loaded, reloaded or unloaded.
    Loaded,
    /// The policy changed.
    Policy,
    /// Something failed: a load, a reload, or an instance.
    Failure,
}

/// Something that happened to a plugin outside of calls, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// What sort.
    pub kind: NoticeKind,
    /// What happened, for people.
    pub message: String,
}

/// A host call that was denied.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The call in which it asked; `None` outside `process`.
    pub call: Option<CallId>,
    /// Name of the service.
    pub service: String,
    /// The permission it lacks.
    pub permission: Permission,
}

/// One attempt to put a new generation in place.
#[derive(Debug, Clone, PartialEq)]
pub struct Reload {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// What asked for it.
    pub cause: ReloadCause,
    /// From the cause to the switch or the refusal.
    pub took: Duration,
    /// The generation that runs now.
    pub generation: u32,
    /// What it led to.
    pub result: Result<Reloaded, RefusedReload>,
}

/// A new generation that took over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Version of the plugin now.
    pub version: String,
    /// Digest of the artifact now.
    pub digest: String,
    /// Version of the state that was carried over, if any.
    pub state_version: Option<u32>,
}

/// A new generation that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    /// Where it stopped.
    pub stage: LoadStage,
    /// Why, and what to do.
    pub message: String,
}

/// The lists of a store, each bounded.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) log: VecDeque<LogLine>,
    pub(super) notices: VecDeque<Notice>,
    pub(super) denials: VecDeque<Denial>,
    pub(super) reloads: VecDeque<Reload>,
    pub(super) evicted: u64,
}

impl Lists {
    /// Cuts every list to its newest `limit` entries.
    pub(super) fn trim(&mut self, limit: usize) {
        fn cut<T>(list: &mut VecDeque<T>, limit: usize) -> u64 {
            let excess = list.len().saturating_sub(limit);
            list.drain(..excess);
            excess as u64
        }
        self.evicted += cut(&mut self.log, limit);
        self.evicted += cut(&mut self.notices, limit);
        self.evicted += cut(&mut self.denials, limit);
        self.evicted += cut(&mut self.reloads, limit);
    }
}
