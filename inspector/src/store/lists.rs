use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::{LogLevel, Permission};
use glovebox_events::{AnsweredBy, CallId, Event, LoadStage, ReloadCause, weight};

use super::StoreLimits;

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

/// The kind of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// A phase changed.
    Phase,
    /// The host did something that people should know.
    Note,
    /// Something was loaded, reloaded or unloaded.
    Loaded,
    /// The policy changed.
    Policy,
    /// A load or a reload was refused.
    Refused,
    /// An instance failed.
    Failure,
}

/// Something that happened to a plugin outside of calls, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The kind.
    pub kind: NoticeKind,
    /// The message for people.
    pub message: String,
}

/// A host call that was denied, by the policy or on purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The call in which it asked; `None` outside `process`.
    pub call: Option<CallId>,
    /// Name of the service.
    pub service: String,
    /// The permission it needs.
    pub permission: Permission,
    /// The one that denied it: [`AnsweredBy::Host`] is its policy.
    pub by: AnsweredBy,
    /// On what it was to be used: the first text among the arguments, cut; empty if there is none.
    pub parameter: String,
}

impl Denial {
    /// True if the policy denied it.
    pub fn is_of_policy(&self) -> bool {
        self.by == AnsweredBy::Host
    }
}

/// One attempt to put a new generation in place.
#[derive(Debug, Clone, PartialEq)]
pub struct Reload {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The cause.
    pub cause: ReloadCause,
    /// From the cause to the switch or the refusal.
    pub took: Duration,
    /// The generation that runs now.
    pub generation: u32,
    /// The result.
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
    /// The stage at which it stopped.
    pub stage: LoadStage,
    /// Why, and what to do.
    pub message: String,
}

/// The lists of a store, each bounded.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) log: List<LogLine>,
    pub(super) notices: List<Notice>,
    pub(super) denials: List<Denial>,
    pub(super) reloads: List<Reload>,
    /// Events that belong to no call.
    pub(super) outside: List<Event>,
}

impl Lists {
    /// Entries that had to make room.
    pub(super) fn evicted(&self) -> u64 {
        self.log.evicted + self.notices.evicted + self.denials.evicted + self.reloads.evicted
    }
}

/// The newest entries of one sort.
#[derive(Debug)]
pub(super) struct List<T> {
    entries: VecDeque<T>,
    /// Bytes of the texts in the entries.
    bytes: usize,
    evicted: u64,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { entries: VecDeque::new(), bytes: 0, evicted: 0 }
    }
}

impl<T: Texts> List<T> {
    pub(super) fn entries(&self) -> &VecDeque<T> {
        &self.entries
    }

    /// Entries that had to make room.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Adds an entry; the oldest make room for it, which itself always stays.
    pub(super) fn push(&mut self, entry: T, limits: &StoreLimits) {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > limits.list.max(1)
            || (self.bytes > limits.bytes / 4 && self.entries.len() > 1)
        {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.bytes();
            self.evicted += 1;
        }
    }
}

/// How long the texts of an entry are.
pub(super) trait Texts {
    fn bytes(&self) -> usize;
}

impl Texts for Event {
    fn bytes(&self) -> usize {
        weight::event(self)
    }
}

impl Texts for LogLine {
    fn bytes(&self) -> usize {
        self.message.len()
    }
}

impl Texts for Notice {
    fn bytes(&self) -> usize {
        self.message.len()
    }
}

impl Texts for Denial {
    fn bytes(&self) -> usize {
        self.service.len() + self.parameter.len()
    }
}

impl Texts for Reload {
    fn bytes(&self) -> usize {
        match &self.result {
            Ok(reloaded) => reloaded.version.len() + reloaded.digest.len(),
            Err(refused) => refused.message.len(),
        }
    }
}
