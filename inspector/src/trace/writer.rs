use std::path::{Path, PathBuf};

use super::TraceError;
use glovebox_events::{Binding, Event};

/// What a trace says about a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Writes a trace file, on the caller's thread.
#[derive(Debug)]
pub struct TraceWriter {}

impl TraceWriter {
    /// Starts `<path>.partial`; nothing is overwritten.
    ///
    /// # Errors
    ///
    /// [`TraceError::Exists`] if `path` or its `.partial` is there.
    pub fn create(path: impl AsRef<Path>, app_version: &str) -> Result<TraceWriter, TraceError> {
        todo!()
    }
    /// Appends one event.
    ///
    /// # Errors
    ///
    /// If the event cannot be written; nothing can be written after that.
    pub fn write(&mut self, event: &Event) -> Result<(), TraceError> {
        todo!()
    }
    /// Says that `lost` events were not recorded.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_gap(&mut self, lost: u64) -> Result<(), TraceError> {
        todo!()
    }
    /// Says which plugin events of this id are about.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn describe_plugin(&mut self, plugin: &PluginRecord) -> Result<(), TraceError> {
        todo!()
    }
    /// Hands everything to the operating system, so that it survives the death of this process.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<(), TraceError> {
        todo!()
    }
    /// Flushes and waits for the disk, so that it survives a loss of power.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn sync(&mut self) -> Result<(), TraceError> {
        todo!()
    }
    /// Bytes in the file so far.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Events written so far.
    pub fn events(&self) -> u64 {
        todo!()
    }
    /// Writes the summary and gives the file its name, which is returned.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); the `.partial` stays and can be read.
    pub fn finish(self) -> Result<PathBuf, TraceError> {
        todo!()
    }
}
