use std::path::{Path, PathBuf};

use super::{PluginRecord, TraceError};
use glovebox_events::{Event, Sink};

/// How a [`Recorder`] works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Version of the application, for the file's metadata.
    pub app_version: String,
    /// Events that may wait for the disk; what comes beyond is counted as dropped.
    pub queue: usize,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        RecorderOptions {
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            queue: 65_536,
        }
    }
}

/// How a recording is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecorderStatus {
    /// The file as it is named now: `….partial` until finished.
    pub path: PathBuf,
    /// Bytes in the file.
    pub bytes: u64,
    /// Events in the file.
    pub events: u64,
    /// Events that could not be kept; the file says so too where it can.
    pub dropped: u64,
    /// Why writing stopped, if it did.
    pub error: Option<String>,
    /// True after a clean finish.
    pub finished: bool,
}

/// A sink that writes a trace file on a thread of its own.
#[derive(Debug)]
pub struct Recorder {}

impl Recorder {
    /// Starts writing `<path>.partial`.
    ///
    /// # Errors
    ///
    /// As [`TraceWriter::create`](super::TraceWriter::create).
    pub fn start(
        path: impl AsRef<Path>,
        options: &RecorderOptions,
    ) -> Result<Recorder, TraceError> {
        todo!()
    }
    /// Says which plugin events of this id are about; call it for every plugin that is loaded
    /// when recording starts.
    pub fn describe_plugin(&self, plugin: PluginRecord) {
        todo!()
    }
    /// How it is doing; cheap.
    pub fn status(&self) -> RecorderStatus {
        todo!()
    }
    /// Writes what waits, closes the file and gives it its name. Finishing twice is fine.
    ///
    /// # Errors
    ///
    /// If anything could not be written.
    pub fn finish(&self) -> Result<RecorderStatus, TraceError> {
        todo!()
    }
}

impl Sink for Recorder {
    fn record(&self, event: &Event) {
        todo!()
    }
}
