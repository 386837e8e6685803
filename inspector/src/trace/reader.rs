use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PluginRecord, TraceError};
use glovebox_events::Event;

/// What is in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceInfo {
    /// The file.
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
    /// Plugins in order of appearance; a plugin that was reloaded appears with its last version.
    pub plugins: Vec<PluginRecord>,
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
}

/// Reads all of a trace and says what is in it.
///
/// # Errors
///
/// If the file cannot be opened or is no trace; damage is counted, not an error.
pub fn info(path: impl AsRef<Path>) -> Result<TraceInfo, TraceError> {
    todo!()
}

/// Yields the events of a trace in the order in which they were written.
///
/// An item can be an error for which [`TraceError::is_damage`] holds: bytes were lost there, and
/// the iteration goes on with what follows. After any other error it ends.
#[derive(Debug)]
pub struct TraceReader {}

impl TraceReader {
    /// Opens a trace, finished or not.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or is no trace of a version this one reads.
    pub fn open(path: impl AsRef<Path>) -> Result<TraceReader, TraceError> {
        todo!()
    }
    /// Bytes read so far, for showing progress against [`size`](Self::size).
    pub fn position(&self) -> u64 {
        todo!()
    }
    /// Size of the file in bytes when it was opened.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// Plugins described so far.
    pub fn plugins(&self) -> &[PluginRecord] {
        todo!()
    }
    /// Events the recorder could not keep, so far.
    pub fn lost_events(&self) -> u64 {
        todo!()
    }
    /// True once the end mark of a cleanly finished file was read.
    pub fn is_complete(&self) -> bool {
        todo!()
    }
}

impl Iterator for TraceReader {
    type Item = Result<Event, TraceError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
