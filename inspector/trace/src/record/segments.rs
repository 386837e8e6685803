//! The files of one recording, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::recorder::RecorderOptions;
use super::syncer::{Done, Lag, MAX_CLOSING, Syncer};
use crate::storage::Storage;
use crate::write::writer::{Replacing, Synced, TraceWriter};
use crate::{GapCause, ParentRecord, PluginRecord, TraceError};

/// Names that are tried until one is free.
const NAMES_TRIED: u32 = 1000;

/// When a recording goes on in a new file. Never, if nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentLimits {
    /// Bytes of a file after which the next one starts; a file is at most one chunk longer, and
    /// its summary. While eight files wait for a slow disk, the next becomes longer.
    pub bytes: Option<u64>,
    /// How long events go into one file, from its start.
    pub time: Option<Duration>,
}

/// Writes one file after the other.
#[derive(Debug)]
pub(crate) struct Segments {
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
    syncer: Syncer,
    /// Files that could not be closed and may be, with their numbers; at most [`MAX_CLOSING`].
    unclosed: Vec<(u32, Box<TraceWriter>)>,
}

/// Writes that the disk refused after it had taken them.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: TraceError,
    /// Events that are lost with it.
    pub(crate) lost: Option<(u64, GapCause)>,
}

/// The content of the files before the one that is being written.
#[derive(Debug, Default)]
struct Before {
    events: u64,
    synced: u64,
    bytes: u64,
}

impl Before {
    /// Adds a file to which nothing will be added, but not what of it is synced.
    fn add(&mut self, writer: &TraceWriter) {
        self.events += writer.flushed_events();
        self.bytes += writer.bytes();
    }

    fn remove(&mut self, writer: &TraceWriter) {
        self.events -= writer.flushed_events();
        self.bytes -= writer.bytes();
    }
}

impl Segments {
    /// Starts the first file.
    pub(crate) fn start(
        storage: Arc<dyn Storage>,
        path: &Path,
        options: &RecorderOptions,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Segments, TraceError> {
        let out = Replacing { path, is_on: options.replaces };
        let syncer = Syncer::start(wake)
            .map_err(|source| TraceError::io("start a thread to sync", source, path))?;
        let writer = TraceWriter::create_in(storage.clone(), out, &options.app_version)?;
        let writer = described(writer, options.parent.as_ref(), &[])?;
        Ok(Segments {
            syncer,
            unclosed: Vec::new(),
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
    pub(crate) fn writer(&mut self) -> Result<&mut TraceWriter, TraceError> {
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
    pub(crate) fn describe(&mut self, plugin: &PluginRecord) -> Result<(), TraceError> {
        self.writer()?.describe_plugin(plugin)?;
        self.remember(plugin.clone());
        Ok(())
    }

    /// Describes a plugin in the files to come; this one knows it already.
    pub(crate) fn remember(&mut self, plugin: PluginRecord) {
        match self.plugins.iter_mut().find(|known| known.id == plugin.id) {
            Some(known) => known.update(plugin),
            None => self.plugins.push(plugin),
        }
    }

    /// Flushes the file that is being written, if any.
    pub(crate) fn flush(&mut self) -> Result<(), TraceError> {
        self.writer.as_mut().map_or(Ok(()), TraceWriter::flush)
    }

    /// Asks the disk to keep all that was flushed, unless it is asked already. The result is in
    /// [`settle`](Self::settle).
    pub(crate) fn start_sync(&mut self) {
        if let Some(writer) = &self.writer {
            self.syncer.sync(self.number, || writer.pending_sync());
        }
    }

    /// True while the disk was asked and has not answered.
    pub(crate) fn is_syncing(&self) -> bool {
        self.syncer.is_syncing()
    }

    /// Takes in what the disk did; waits so long for the first of it.
    pub(crate) fn settle(&mut self, wait: Duration) -> Vec<Refused> {
        let mut refused = Vec::new();
        let mut wait = wait;
        while let Some(done) = self.syncer.next(std::mem::take(&mut wait)) {
            refused.extend(match done {
                Done::Synced(file, synced) => self.take_in_sync(file, synced),
                Done::Closed(file, writer, closed) => self.take_in_close(file, writer, closed),
            });
        }
        refused
    }

    fn take_in_sync(&mut self, file: u32, synced: Result<Synced, TraceError>) -> Option<Refused> {
        // Of a file that was ended meanwhile, closing it decides.
        let writer = self.writer.as_mut().filter(|_| file == self.number)?;
        let error = match synced {
            Ok(synced) => {
                writer.take_in(synced);
                return None;
            }
            Err(error) => error,
        };
        let lost = match &error {
            TraceError::Removed { .. } => Some((writer.events(), GapCause::FileRemoved)),
            TraceError::NotSynced { .. } => {
                // Events that wait in memory go with it, if they can.
                let _ = writer.flush();
                let unwritten = writer.events() - writer.flushed_events();
                self.before.add(writer);
                self.before.synced += writer.synced_events();
                (unwritten > 0).then_some((unwritten, GapCause::DiskFailed))
            }
            _ => return Some(Refused { error, lost: None }),
        };
        self.writer = None;
        Some(Refused { error, lost })
    }

    fn take_in_close(
        &mut self,
        file: u32,
        writer: Box<TraceWriter>,
        closed: Result<PathBuf, TraceError>,
    ) -> Option<Refused> {
        let mut lost = None;
        let error = match closed {
            Ok(path) => {
                self.before.synced += writer.synced_events();
                if file == self.number {
                    self.newest = path;
                }
                return None;
            }
            Err(error) => error,
        };
        match &error {
            TraceError::Removed { .. } => {
                self.before.remove(&writer);
                lost = Some((writer.events(), GapCause::FileRemoved));
            }
            // It keeps its `.partial`, and that will not change.
            TraceError::Exists { .. } | TraceError::InUse { .. } | TraceError::NotSynced { .. } => {
                self.before.synced += writer.synced_events();
            }
            _ => self.unclosed.push((file, writer)),
        }
        Some(Refused { error, lost })
    }

    /// Tries again to close what could not be closed.
    pub(crate) fn retry(&mut self) {
        for (file, writer) in std::mem::take(&mut self.unclosed) {
            self.syncer.close(file, writer);
        }
    }

    /// Closes all files, gives them their names, and waits for that; says how the newest is called.
    pub(crate) fn finish(&mut self) -> Result<PathBuf, TraceError> {
        self.end()?;
        self.retry();
        let mut refused = None;
        while self.syncer.closing() > 0 || self.syncer.is_syncing() {
            if self.syncer.is_gone() {
                let reason = "the thread that syncs panicked".to_owned();
                return Err(TraceError::RecorderStopped { reason, path: self.newest.clone() });
            }
            refused = refused.or(self.settle(Duration::from_millis(100)).pop());
        }
        match refused {
            None => Ok(self.newest.clone()),
            Some(Refused { error, .. }) => Err(error),
        }
    }

    /// Removes the file that is being written, if any.
    pub(crate) fn discard(&mut self) {
        if let Some(writer) = self.writer.take() {
            // If it cannot be removed, its name says `.partial`.
            let _ = writer.discard();
        }
    }

    /// How far the disk is behind.
    pub(crate) fn lag(&self) -> Lag {
        self.syncer.lag()
    }

    /// The newest file as it is named now.
    pub(crate) fn newest(&self) -> &Path {
        &self.newest
    }

    /// Files so far.
    pub(crate) fn count(&self) -> u32 {
        self.number
    }

    /// Events the operating system has.
    pub(crate) fn events(&self) -> u64 {
        self.before.events + self.writer.as_ref().map_or(0, TraceWriter::flushed_events)
    }

    /// Events on the disk.
    pub(crate) fn synced(&self) -> u64 {
        self.before.synced + self.writer.as_ref().map_or(0, TraceWriter::synced_events)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.before.bytes + self.writer.as_ref().map_or(0, TraceWriter::bytes)
    }

    /// True if the disk will never answer, because the thread that asks it is no more.
    pub(crate) fn is_stuck(&self) -> bool {
        self.syncer.is_gone()
    }

    /// True if a flush would do nothing.
    pub(crate) fn is_flushed(&self) -> bool {
        self.writer.as_ref().is_none_or(TraceWriter::is_flushed)
    }

    /// True if a sync would do nothing.
    pub(crate) fn is_synced(&self) -> bool {
        self.writer.as_ref().is_none_or(TraceWriter::is_synced)
    }

    fn is_due(&self) -> bool {
        let Some(writer) = &self.writer else {
            return false;
        };
        let full = self.limits.bytes.is_some_and(|limit| writer.bytes() >= limit);
        let old = self.limits.time.is_some_and(|limit| self.started.elapsed() >= limit);
        let is_long = writer.events() > 0 && (full || old);
        // All that are not closed yet can be given to the syncer at once, see `retry`.
        let open = self.syncer.closing() + self.unclosed.len();
        writer.is_finishing() || is_long && open < MAX_CLOSING
    }

    /// Ends the file that is being written, if any; can be tried again. It is closed elsewhere.
    fn end(&mut self) -> Result<(), TraceError> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        writer.close()?;
        if let Some(writer) = self.writer.take() {
            self.before.add(&writer);
            self.syncer.close(self.number, Box::new(writer));
        }
        Ok(())
    }

    /// Starts the next file whose name is free.
    fn next(&mut self) -> Result<TraceWriter, TraceError> {
        let mut number = self.number;
        let writer = loop {
            number += 1;
            let path = numbered(&self.path, number);
            let made = TraceWriter::begin(self.storage.clone(), &path, &self.app_version, number);
            match made {
                Err(
                    TraceError::Exists { .. }
                    | TraceError::Unfinished { .. }
                    | TraceError::Held { .. },
                ) if number < self.number + NAMES_TRIED => {}
                made => break made?,
            }
        };
        let writer = described(writer, self.parent.as_ref(), &self.plugins)?;
        self.number = number;
        self.newest = writer.partial().to_owned();
        self.started = Instant::now();
        Ok(writer)
    }
}

/// The writer of a new file that says what the events in it are about. If that cannot be written,
/// nothing stays of the file: the next try makes it again.
fn described(
    mut writer: TraceWriter,
    parent: Option<&ParentRecord>,
    plugins: &[PluginRecord],
) -> Result<TraceWriter, TraceError> {
    let parent = parent.map_or(Ok(()), |parent| writer.describe_parent(parent));
    let mut plugins = plugins.iter();
    match parent.and_then(|()| plugins.try_for_each(|plugin| writer.describe_plugin(plugin))) {
        Ok(()) => Ok(writer),
        Err(error) => {
            // If it cannot be removed either, its name says `.partial`.
            let _ = writer.discard();
            Err(error)
        }
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
