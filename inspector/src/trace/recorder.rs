use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glovebox_events::{Event, Sink, What};
use parking_lot::Mutex;

use super::{PluginRecord, TraceError, TraceWriter};

/// At most so much is lost when the process dies.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// At most so much is lost when the power fails.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How a [`Recorder`] works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Version of the application, for the file's metadata.
    pub app_version: String,
    /// Events that may wait for the disk; what comes beyond is counted as dropped.
    pub queue: usize,
    /// Bytes of frames that may wait for the disk; what comes beyond is counted as dropped.
    pub queue_bytes: usize,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        RecorderOptions {
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            queue: 65_536,
            queue_bytes: 256 << 20,
        }
    }
}

/// How a recording is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecorderStatus {
    /// The file as it is named now: `….partial` until finished.
    pub path: PathBuf,
    /// Bytes in the file at the last flush.
    pub bytes: u64,
    /// Events in the file; after an error, those that are safe.
    pub events: u64,
    /// Events that could not be kept; the file says so too where it can.
    pub dropped: u64,
    /// Why writing stopped, if it did.
    pub error: Option<String>,
    /// True after a clean finish.
    pub finished: bool,
}

/// A sink that writes a trace file on a thread of its own.
///
/// It never makes a plugin wait: when the disk is too slow or full, events are dropped and
/// counted. After an error nothing more is written and everything that comes is counted; what was
/// flushed before can be read.
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    queue_bytes: usize,
}

#[derive(Debug, Default)]
struct Shared {
    status: Mutex<RecorderStatus>,
    /// Events that did not fit into the queue.
    refused: AtomicU64,
    waiting_bytes: AtomicUsize,
}

#[derive(Debug)]
enum Message {
    Event(Event),
    Describe(PluginRecord),
    Finish,
}

impl Recorder {
    /// Starts writing `<path>.partial`.
    ///
    /// # Errors
    ///
    /// As [`TraceWriter::create`], and if no thread can be started.
    pub fn start(
        path: impl AsRef<Path>,
        options: &RecorderOptions,
    ) -> Result<Recorder, TraceError> {
        let writer = TraceWriter::create(path, &options.app_version)?;
        let partial = writer.partial().to_owned();
        let shared = Arc::new(Shared::default());
        *shared.status.lock() = RecorderStatus {
            path: partial.clone(),
            bytes: writer.bytes(),
            ..RecorderStatus::default()
        };
        let (queue, messages) = sync_channel(options.queue.max(1));
        let recording =
            Recording { writer: Some(writer), shared: shared.clone(), reported: 0, lost: 0 };
        let thread = std::thread::Builder::new()
            .name("trace-recorder".to_owned())
            .spawn(move || recording.run(&messages))
            .map_err(|source| TraceError::io("start a thread to write", source, &partial))?;
        Ok(Recorder {
            queue,
            shared,
            thread: Mutex::new(Some(thread)),
            queue_bytes: options.queue_bytes,
        })
    }

    /// Says which plugin events of this id are about; call it for every plugin that is loaded
    /// when recording starts. Loads that happen later describe themselves.
    pub fn describe_plugin(&self, plugin: PluginRecord) {
        // Fails only after the end of the recording, when there is nothing to describe.
        let _ = self.queue.send(Message::Describe(plugin));
    }

    /// How it is doing; cheap.
    pub fn status(&self) -> RecorderStatus {
        let mut status = self.shared.status.lock().clone();
        status.dropped += self.shared.refused.load(Ordering::Relaxed);
        status
    }

    /// Writes what waits, closes the file and gives it its name. Finishing twice is fine.
    ///
    /// # Errors
    ///
    /// [`TraceError::RecorderStopped`] if anything could not be written.
    pub fn finish(&self) -> Result<RecorderStatus, TraceError> {
        let _ = self.queue.send(Message::Finish);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            self.shared.status.lock().error = Some("the thread that writes panicked".to_owned());
        }
        let status = self.status();
        match &status.error {
            None => Ok(status),
            Some(error) => Err(TraceError::RecorderStopped {
                reason: format!("{error} ({} events dropped)", status.dropped),
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
        let size = weight(event);
        let waiting = self.shared.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        let fits = waiting + size <= self.queue_bytes || waiting == 0;
        if !fits || self.queue.try_send(Message::Event(event.clone())).is_err() {
            self.shared.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// About how many bytes an event keeps alive while it waits.
fn weight(event: &Event) -> usize {
    match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => frame.encoded_len(),
        _ => 0,
    }
}

/// The thread's side of a recorder.
struct Recording {
    /// `None` after an error or the end.
    writer: Option<TraceWriter>,
    shared: Arc<Shared>,
    /// Refused events the file knows of.
    reported: u64,
    /// Events that came after an error or were lost by it.
    lost: u64,
}

impl Recording {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut last_sync = Instant::now();
        let mut next_flush = last_sync + FLUSH_EVERY;
        loop {
            let wait = next_flush.saturating_duration_since(Instant::now());
            match messages.recv_timeout(wait) {
                Ok(Message::Event(event)) => self.event(&event),
                Ok(Message::Describe(plugin)) => {
                    self.attempt(|writer| writer.describe_plugin(&plugin));
                }
                Ok(Message::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if now >= next_flush {
                self.report_gap();
                if now.duration_since(last_sync) >= SYNC_EVERY {
                    self.attempt(TraceWriter::sync);
                    last_sync = now;
                } else {
                    self.attempt(TraceWriter::flush);
                }
                self.publish();
                next_flush = Instant::now() + FLUSH_EVERY;
            }
        }
        // What was recorded while the end was announced.
        while let Ok(message) = messages.try_recv() {
            if let Message::Event(event) = message {
                self.event(&event);
            }
        }
        self.finish();
    }

    fn event(&mut self, event: &Event) {
        self.shared.waiting_bytes.fetch_sub(weight(event), Ordering::Relaxed);
        self.report_gap();
        if self.writer.is_none() {
            self.lost += 1;
            return;
        }
        // An event that failed while being written is lost too, and not among those written.
        if !self.attempt(|writer| writer.write(event)) {
            self.lost += 1;
        }
    }

    /// Says in the file how many events did not fit into the queue since the last time.
    fn report_gap(&mut self) {
        let refused = self.shared.refused.load(Ordering::Relaxed);
        let lost = refused - self.reported;
        if lost > 0 {
            self.reported = refused;
            self.attempt(|writer| writer.write_gap(lost));
        }
    }

    /// Does something to the file; false, and no file any more, if that fails.
    fn attempt(&mut self, action: impl FnOnce(&mut TraceWriter) -> Result<(), TraceError>) -> bool {
        let Some(writer) = &mut self.writer else {
            return false;
        };
        let Err(error) = action(writer) else {
            return true;
        };
        self.lost += writer.events() - writer.flushed_events();
        let mut status = self.shared.status.lock();
        status.events = writer.flushed_events();
        status.error = Some(error.to_string());
        status.dropped = self.lost;
        drop(status);
        self.writer = None;
        false
    }

    fn publish(&self) {
        let mut status = self.shared.status.lock();
        status.dropped = self.lost;
        if let Some(writer) = &self.writer {
            status.bytes = writer.bytes();
            status.events = writer.events();
        }
    }

    fn finish(mut self) {
        self.report_gap();
        self.attempt(TraceWriter::flush);
        self.publish();
        let Some(writer) = self.writer.take() else {
            return;
        };
        let result = writer.finish();
        let mut status = self.shared.status.lock();
        match result {
            Ok(path) => {
                status.bytes = path.metadata().map_or(status.bytes, |found| found.len());
                status.path = path;
                status.finished = true;
            }
            Err(error) => status.error = Some(error.to_string()),
        }
    }
}
