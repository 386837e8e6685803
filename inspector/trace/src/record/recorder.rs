use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use glovebox_abi::units::show_duration;
use glovebox_events::{Event, Sink, Snapshot};
use parking_lot::Mutex;
use serde::Serialize;

use super::recording::{Pace, Recording};
use super::ring::{Pressure, Ring};
use super::segments::{SegmentLimits, Segments};
use crate::storage::{Disk, Storage};
use crate::{ParentRecord, PluginRecord, TraceError};

/// How a [`Recorder`] works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Version of the application, for the file's metadata.
    pub app_version: String,
    /// Bytes of events that may wait for the disk.
    pub memory: usize,
    /// How long a caller waits at most when that memory is full and the disk works, before the
    /// oldest events are dropped and counted. Zero: never.
    pub patience: Duration,
    /// When the recording goes on in a new file.
    pub segments: SegmentLimits,
    /// The trace that this one is made from, if it is.
    pub parent: Option<ParentRecord>,
    /// The first file is [`Replacing`](crate::Replacing) what has its name.
    pub replaces: bool,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        RecorderOptions {
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            memory: 64 << 20,
            patience: Duration::from_millis(50),
            segments: SegmentLimits::default(),
            parent: None,
            replaces: false,
        }
    }
}

/// How a recording is doing.
#[must_use = "it says if events were lost, see `loss`"]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct RecorderStatus {
    /// The newest file as it is named now: `….partial` until finished.
    #[serde(serialize_with = "crate::about::shown")]
    pub path: PathBuf,
    /// Number of the newest file, from 1.
    pub segments: u32,
    /// Bytes in all files.
    pub bytes: u64,
    /// Events in the files, so that they survive the death of this process.
    pub events: u64,
    /// Events on the disk, so that they survive a loss of power.
    pub synced: u64,
    /// Syncs that took longer than 1 s, so that a loss of power would have taken more than 1 s of
    /// events. The recorded events are in the files all the same.
    pub late_syncs: u64,
    /// How long the slowest sync took.
    pub slowest_sync: Duration,
    /// Events that could not be kept; the files say so too where they can.
    pub dropped: u64,
    /// How full memory is.
    pub pressure: Pressure,
    /// Why nothing can be written now; the recorder goes on trying.
    pub trouble: Option<String>,
    /// The last `trouble` there was, even if it is over.
    pub last_trouble: Option<String>,
    /// Snapshots in the files.
    pub snapshots: u64,
    /// Snapshots that could not be kept: memory was full of others, or they are too large.
    pub snapshots_dropped: u64,
    /// True after a clean finish.
    pub finished: bool,
}

impl RecorderStatus {
    /// The events that the files lack, and why, for people; `None` if they lack nothing. An
    /// application that finishes a recording should say it.
    pub fn loss(&self) -> Option<String> {
        let events = match self.dropped {
            0 => return None,
            1 => "1 event was not recorded".to_owned(),
            dropped => format!("{dropped} events were not recorded"),
        };
        let why = self.last_trouble.as_deref().unwrap_or("the disk was too slow");
        Some(format!("{events}: {why}"))
    }

    /// How far the disk was behind, for people; `None` if every sync took 1 s at most.
    pub fn lag(&self) -> Option<String> {
        let slowest = show_duration(self.slowest_sync);
        match self.late_syncs {
            0 => None,
            1 => Some(format!("the disk took {slowest} to sync once")),
            late => Some(format!("the disk took over 1 s to sync {late} times, {slowest} at most")),
        }
    }
}

/// A sink that writes trace files on a thread of its own.
///
/// Recorded events are in the file within 250 ms, however slowly the disk syncs, and on the disk
/// within 1 s as far as the disk is that fast, and at once after a crash or a reload. Memory is
/// bounded: when it is full, a caller waits for a moment; when that does not help, or nothing can
/// be written at all, the oldest events are dropped and counted, and the file says where and how
/// many. When writing works again, the recording goes on.
#[derive(Debug)]
pub struct Recorder {
    ring: Arc<Ring>,
    shared: Arc<ThreadState>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The status of the thread.
#[derive(Debug, Default)]
pub(crate) struct ThreadState {
    pub(crate) status: Mutex<RecorderStatus>,
    /// It writes nothing any more.
    ended: AtomicBool,
    /// The newest file is not to be kept.
    pub(crate) is_unwanted: AtomicBool,
}

impl Recorder {
    /// Starts writing `<path>.partial`.
    ///
    /// # Errors
    ///
    /// As [`TraceWriter::create`](crate::TraceWriter::create), and if no thread can be started.
    pub fn start(
        path: impl AsRef<Path>,
        options: &RecorderOptions,
    ) -> Result<Recorder, TraceError> {
        Self::start_in(Arc::new(Disk), path.as_ref(), options, Pace::USUAL)
    }

    pub(crate) fn start_in(
        storage: Arc<dyn Storage>,
        path: &Path,
        options: &RecorderOptions,
        pace: Pace,
    ) -> Result<Recorder, TraceError> {
        let ring = Arc::new(Ring::new(options.memory, options.patience));
        let nudged = ring.clone();
        let segments = Segments::start(storage, path, options, Arc::new(move || nudged.nudge()))?;
        let partial = segments.newest().to_owned();
        let shared = Arc::new(ThreadState::default());
        let recording = Recording::new(ring.clone(), segments, shared.clone(), pace);
        let (left, said) = (ring.clone(), shared.clone());
        let work = move || {
            // A panic in here must not leave callers waiting for a thread that is no more.
            if std::panic::catch_unwind(AssertUnwindSafe(|| recording.run())).is_err() {
                left.close();
                said.status.lock().trouble = Some("the thread that writes panicked".to_owned());
            }
            said.ended.store(true, Ordering::Release);
        };
        let thread = std::thread::Builder::new()
            .name("trace-recorder".to_owned())
            .spawn(work)
            .map_err(|source| TraceError::io("start a thread to write", source, &partial))?;
        Ok(Recorder { ring, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Says which plugin events of this id are about; call it for every plugin that is loaded
    /// when recording starts. Loads that happen later describe themselves.
    pub fn describe_plugin(&self, plugin: PluginRecord) {
        self.ring.describe(plugin);
    }

    /// Keeps what an instance held between two calls, so that a replay can start there. Does not
    /// wait for the disk: while more snapshots wait than [`RecorderOptions::memory`] has room for,
    /// further ones are dropped and counted.
    pub fn keep_snapshot(&self, snapshot: Snapshot) {
        self.ring.keep_snapshot(snapshot);
    }

    /// How it is doing; cheap.
    pub fn status(&self) -> RecorderStatus {
        let ended = self.shared.ended.load(Ordering::Acquire);
        let mut status = self.shared.status.lock().clone();
        let (recorded, dropped) = self.ring.recorded_and_dropped();
        // At the end, what is not in a file is lost, whatever became of it.
        status.dropped = if ended { recorded - status.events } else { dropped };
        status.pressure = self.ring.pressure();
        status.snapshots_dropped = self.ring.dropped_snapshots();
        status
    }

    /// Ends the recording and takes the newest file back: nothing in it is worth keeping, and no file
    /// of its name gives way. A file that cannot be removed says in its name that it is not finished.
    pub fn discard(&self) {
        self.shared.is_unwanted.store(true, Ordering::Release);
        // It is no file that could be finished.
        let _ = self.finish();
    }

    /// Writes what waits, closes the file and gives it its name. Finishing twice is fine, also from
    /// several threads and while others record: what they record then is counted as dropped. Events
    /// that were lost before are no error: [`RecorderStatus::loss`] tells them.
    ///
    /// # Errors
    ///
    /// [`TraceError::RecorderStopped`] if the file could not be finished.
    pub fn finish(&self) -> Result<RecorderStatus, TraceError> {
        self.ring.start_closing();
        // Held meanwhile, so that a second caller that finishes waits too.
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take() {
            // Its panics are caught, and noted.
            let _ = thread.join();
        }
        drop(thread);
        let status = self.status();
        match &status.trouble {
            None => Ok(status),
            Some(trouble) => Err(TraceError::RecorderStopped {
                reason: format!(
                    "{trouble} ({} events are safe, {} are not)",
                    status.events, status.dropped
                ),
                path: status.path,
            }),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // The error is in the status, which nobody can read any more.
        let _ = self.finish();
    }
}

impl Sink for Recorder {
    fn record(&self, event: &Event) {
        self.ring.push(event.clone());
    }
}
