//! The facts about a trace: its content, its plugins, and the trace it was made from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use glovebox_events::{Binding, Event, Phase, What};
use serde::{Deserialize, Serialize};

/// The content of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceInfo {
    /// The file.
    #[serde(serialize_with = "crate::about::shown")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Format version of the file.
    pub format: u32,
    /// Version of the application that wrote it.
    pub app_version: String,
    /// Number of events.
    pub events: u64,
    /// Frames given to plugins.
    pub frames_in: u64,
    /// Frames plugins gave.
    pub frames_out: u64,
    /// Calls that ended.
    pub calls: u64,
    /// Calls that ended with anything but `completed`.
    pub errors: u64,
    /// How calls ended and copies went on. `None` if only a summary was looked at, which does not say.
    pub ends: Option<Ends>,
    /// Host calls.
    pub host_calls: u64,
    /// Snapshots of instances, from which a replay can start.
    pub snapshots: u64,
    /// Plugins in order of appearance; a plugin that was reloaded appears with its last version.
    pub plugins: Vec<PluginRecord>,
    /// The trace it was made from, if it was.
    pub parent: Option<ParentRecord>,
    /// Time of the first and the last event, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Events the recorder could not keep.
    pub lost_events: u64,
    /// True if the writer finished the file.
    pub complete: bool,
    /// Bytes that cannot be read, damaged or cut off.
    pub damaged_bytes: u64,
}

impl TraceInfo {
    /// From the first event to the last.
    pub fn duration(&self) -> Duration {
        let (first, last) = self.range.unwrap_or_default();
        Duration::from_nanos(last.saturating_sub(first))
    }

    pub(crate) fn count(&mut self, event: &Event) {
        self.events += 1;
        let (first, last) = self.range.unwrap_or((event.at, event.at));
        self.range = Some((first.min(event.at), last.max(event.at)));
        match &event.what {
            What::FrameIn { .. } => self.frames_in += 1,
            What::FrameOut { .. } => self.frames_out += 1,
            What::HostCall { .. } => self.host_calls += 1,
            What::CallEnded { outcome, .. } => {
                self.calls += 1;
                self.errors += u64::from(!outcome.is_completed());
                let ends = self.ends.get_or_insert_default();
                ends.add(outcome.name(), 1);
            }
            What::Phase { to: Phase::Restarting, .. } => {
                self.ends.get_or_insert_default().restarts += 1;
            }
            _ => {}
        }
    }
}

/// How the calls of a trace ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ends {
    /// Calls by the name of their outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// How often a copy of a plugin was started anew, because it trapped, crashed or was stopped.
    pub restarts: u64,
}

impl Ends {
    pub(crate) fn add(&mut self, outcome: &str, calls: u64) {
        match self.outcomes.get_mut(outcome) {
            Some(known) => *known += calls,
            None if calls > 0 => drop(self.outcomes.insert(outcome.to_owned(), calls)),
            None => {}
        }
    }
}

/// The record of a plugin in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Id of the plugin.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Hexadecimal BLAKE3 digest of the artifact.
    pub digest: String,
    /// How the host talked to it.
    pub binding: Option<Binding>,
    /// Text of its `plugin.toml`.
    pub manifest: Option<String>,
}

/// A file in a trace that the format knows nothing of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The record of the trace that this one was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentRecord {
    /// The file, as it was named.
    pub path: String,
    /// The change that was made to it, for people.
    pub how: String,
}

/// Problems that are listed; all are counted.
pub(crate) const MAX_PROBLEMS: usize = 1_000;

/// Bytes of a trace that are bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The damage.
    pub reason: String,
}

/// Writes a path as text. Bytes that are no UTF-8 are replaced, as they are for people.
pub(crate) fn shown<S: serde::Serializer>(
    path: &std::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
