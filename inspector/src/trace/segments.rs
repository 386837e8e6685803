//! The files of one recording, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::storage::Storage;
use super::writer::{ParentRecord, PluginRecord, Segment, TraceWriter};
use super::{GapCause, RecorderOptions, TraceError};

/// Names that are tried until one is free.
const NAMES_TRIED: u32 = 1000;

/// When a recording goes on in a new file. Never, if nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentLimits {
    /// Bytes of a file after which the next one starts; a file is at most one chunk longer, and
    /// its summary.
    pub bytes: Option<u64>,
    /// How long events go into one file, from its start.
    pub time: Option<Duration>,
}

/// Writes one file after the other.
#[derive(Debug)]
pub(super) struct Segments {
    storage: Arc<dyn Storage>,
    /// Name of the first file.
    path: PathBuf,
    app_version: String,
    limits: SegmentLimits,
    parent: Option<ParentRecord>,
    /// Each file describes all of them.
    plugins: Vec<PluginRecord>,
    writer: Option<TraceWriter>,
    number: u32,
    started: Instant,
    before: Before,
    newest: PathBuf,
}

/// What is in the files before the one that is being written.
#[derive(Debug, Default)]
struct Before {
    events: u64,
    synced: u64,
    bytes: u64,
}

impl Segments {
    /// Starts the first file.
    pub(super) fn start(
        storage: Arc<dyn Storage>,
        path: &Path,
        options: &RecorderOptions,
    ) -> Result<Segments, TraceError> {
        let mut writer = TraceWriter::create_in(storage.clone(), path, &options.app_version)?;
        if let Some(parent) = &options.parent {
            writer.describe_parent(parent)?;
        }
        Ok(Segments {
            storage,
            path: path.to_owned(),
            app_version: options.app_version.clone(),
            limits: options.segments,
            parent: options.parent.clone(),
            plugins: Vec::new(),
            newest: writer.partial().to_owned(),
            writer: Some(writer),
            number: 1,
            started: Instant::now(),
            before: Before::default(),
        })
    }

    /// The file to write to: the next one if that is due.
    pub(super) fn writer(&mut self) -> Result<&mut TraceWriter, TraceError> {
        if self.is_due() {
            self.end()?;
        }
        match self.writer {
            Some(ref mut writer) => Ok(writer),
            None => {
                let next = self.next()?;
                Ok(self.writer.insert(next))
            }
        }
    }

    /// Describes a plugin, in this file and in those to come.
    pub(super) fn describe(&mut self, plugin: &PluginRecord) -> Result<(), TraceError> {
        self.writer()?.describe_plugin(plugin)?;
        self.remember(plugin.clone());
        Ok(())
    }

    /// Describes a plugin in the files to come; this one knows it already.
    pub(super) fn remember(&mut self, mut plugin: PluginRecord) {
        if let Some(known) = self.plugins.iter_mut().find(|known| known.id == plugin.id) {
            plugin.binding = plugin.binding.or(known.binding);
            plugin.manifest = plugin.manifest.or(known.manifest.take());
            *known = plugin;
        } else {
            self.plugins.push(plugin);
        }
    }

    /// Flushes the file that is being written, if any.
    pub(super) fn flush(&mut self) -> Result<(), TraceError> {
        self.writer.as_mut().map_or(Ok(()), TraceWriter::flush)
    }

    /// Syncs the file that is being written, if any.
    pub(super) fn sync(&mut self) -> Result<(), TraceError> {
        self.writer.as_mut().map_or(Ok(()), TraceWriter::sync)
    }

    /// Leaves a file to which nothing can be added; says how many events it took with it.
    pub(super) fn give_up(&mut self, error: &TraceError) -> Option<(u64, GapCause)> {
        let writer = match error {
            TraceError::Removed { .. } | TraceError::NotSynced { .. } => self.writer.take()?,
            _ => return None,
        };
        if matches!(error, TraceError::Removed { .. }) {
            return Some((writer.events(), GapCause::FileRemoved));
        }
        self.add(&writer);
        let unwritten = writer.events() - writer.flushed_events();
        (unwritten > 0).then_some((unwritten, GapCause::DiskFailed))
    }

    /// Closes the last file and gives it its name, which is returned.
    pub(super) fn finish(&mut self) -> Result<PathBuf, TraceError> {
        self.end()?;
        Ok(self.newest.clone())
    }

    /// The newest file as it is named now.
    pub(super) fn newest(&self) -> &Path {
        &self.newest
    }

    /// Files so far.
    pub(super) fn count(&self) -> u32 {
        self.number
    }

    /// Events the operating system has.
    pub(super) fn events(&self) -> u64 {
        self.before.events + self.writer.as_ref().map_or(0, TraceWriter::flushed_events)
    }

    /// Events on the disk.
    pub(super) fn synced(&self) -> u64 {
        self.before.synced + self.writer.as_ref().map_or(0, TraceWriter::synced_events)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.before.bytes + self.writer.as_ref().map_or(0, TraceWriter::bytes)
    }

    /// True if a sync would do nothing.
    pub(super) fn is_synced(&self) -> bool {
        self.writer.as_ref().is_none_or(TraceWriter::is_synced)
    }

    fn is_due(&self) -> bool {
        let Some(writer) = &self.writer else {
            return false;
        };
        let full = self.limits.bytes.is_some_and(|limit| writer.bytes() >= limit);
        let old = self.limits.time.is_some_and(|limit| self.started.elapsed() >= limit);
        writer.is_finishing() || writer.events() > 0 && (full || old)
    }

    /// Closes the file that is being written, if any; can be tried again.
    fn end(&mut self) -> Result<(), TraceError> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let finished = writer.try_finish();
        match &finished {
            Ok(path) => self.newest.clone_from(path),
            // It keeps its `.partial`, and that will not change.
            Err(TraceError::Exists { .. }) => {}
            Err(_) => return finished.map(drop),
        }
        if let Some(writer) = self.writer.take() {
            self.add(&writer);
        }
        finished.map(drop)
    }

    fn add(&mut self, writer: &TraceWriter) {
        self.before.events += writer.flushed_events();
        self.before.synced += writer.synced_events();
        self.before.bytes += writer.bytes();
    }

    /// Starts the next file whose name is free.
    fn next(&mut self) -> Result<TraceWriter, TraceError> {
        let mut number = self.number;
        let mut writer = loop {
            number += 1;
            let path = numbered(&self.path, number);
            let made =
                TraceWriter::begin(self.storage.clone(), &path, &self.app_version, Segment(number));
            match made {
                Err(TraceError::Exists { .. } | TraceError::Held { .. })
                    if number < self.number + NAMES_TRIED => {}
                made => break made?,
            }
        };
        if let Some(parent) = &self.parent {
            writer.describe_parent(parent)?;
        }
        for plugin in &self.plugins {
            writer.describe_plugin(plugin)?;
        }
        self.number = number;
        self.newest = writer.partial().to_owned();
        self.started = Instant::now();
        Ok(writer)
    }
}

/// `run.mcap` becomes `run.002.mcap`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number:03}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
