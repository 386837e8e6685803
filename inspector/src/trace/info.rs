use std::path::{Path, PathBuf};
use std::time::Duration;

use glovebox_events::{Event, What};
use serde::{Deserialize, Serialize};

use super::{ParentRecord, PluginRecord, TraceError};

/// What is in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceInfo {
    /// The file.
    #[serde(serialize_with = "super::shown")]
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

    pub(super) fn count(&mut self, event: &Event) {
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
            }
            _ => {}
        }
    }
}

/// Reads all of a trace and says what is in it.
///
/// # Errors
///
/// If the file cannot be opened or is no trace; damage is counted, not an error.
pub fn info(path: impl AsRef<Path>) -> Result<TraceInfo, TraceError> {
    super::check(path).map(|report| report.info)
}
