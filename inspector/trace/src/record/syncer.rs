//! The thread that waits for the disk, so that the one that writes never does: recorded events
//! reach the operating system in time however slowly a disk syncs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::TraceError;
use crate::write::writer::{FileSync, Synced, TraceWriter};

/// Files that may wait to be closed, those that could not be closed included. Beyond that a file is not
/// ended, so that it becomes longer than it should.
pub(crate) const MAX_CLOSING: usize = 8;

/// The event to wait for.
#[derive(Debug)]
enum Job {
    /// Sync the file of this number.
    Sync(u32, FileSync),
    /// Sync a file to which nothing will be added, and give it its name.
    Close(u32, Box<TraceWriter>),
}

/// The result of a request.
#[derive(Debug)]
pub(crate) enum Done {
    Synced(u32, Result<Synced, TraceError>),
    Closed(u32, Box<TraceWriter>, Result<PathBuf, TraceError>),
}

/// How far the disk was behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lag {
    /// Syncs that took longer than [`Syncer::LATE`].
    pub(crate) late: u64,
    /// How long the slowest took.
    pub(crate) longest: Duration,
}

/// The side of the thread that writes.
#[derive(Debug)]
pub(crate) struct Syncer {
    /// `None` once the thread is to end.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<(Duration, Done)>,
    thread: Option<JoinHandle<()>>,
    /// Since when a sync is under way that is not that of a file being closed.
    syncing: Option<Instant>,
    closing: usize,
    lag: Lag,
}

impl Syncer {
    /// A sync that takes longer breaks the promise that at most 1 s of events is lost with the power.
    const LATE: Duration = Duration::from_secs(1);

    /// Starts the thread; `wake` is called on it whenever something is done.
    pub(crate) fn start(wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Syncer> {
        // One sync is under way at most, so that nobody ever waits to give a job.
        let (jobs, to_do) = mpsc::sync_channel::<Job>(MAX_CLOSING + 2);
        let (to_writer, done) = mpsc::sync_channel(MAX_CLOSING + 2);
        let work = move || {
            while let Ok(job) = to_do.recv() {
                let started = Instant::now();
                let done = match job {
                    Job::Sync(file, sync) => Done::Synced(file, sync.run()),
                    Job::Close(file, mut writer) => {
                        let closed = writer.try_finish();
                        Done::Closed(file, writer, closed)
                    }
                };
                if to_writer.send((started.elapsed(), done)).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = std::thread::Builder::new().name("trace-syncer".to_owned()).spawn(work)?;
        Ok(Syncer {
            jobs: Some(jobs),
            done,
            thread: Some(thread),
            syncing: None,
            closing: 0,
            lag: Lag::default(),
        })
    }

    /// Syncs the file of this number, unless a sync is under way.
    pub(crate) fn sync(&mut self, file: u32, sync: impl FnOnce() -> FileSync) {
        if self.syncing.is_none() && self.give(Job::Sync(file, sync())) {
            self.syncing = Some(Instant::now());
        }
    }

    /// Closes a file.
    pub(crate) fn close(&mut self, file: u32, writer: Box<TraceWriter>) {
        self.closing += usize::from(self.give(Job::Close(file, writer)));
    }

    fn give(&self, job: Job) -> bool {
        // Fails only if the thread panicked, which `wait` tells.
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    pub(crate) fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// Files that are being closed.
    pub(crate) fn closing(&self) -> usize {
        self.closing
    }

    /// The next result; waits so long for it.
    pub(crate) fn next(&mut self, wait: Duration) -> Option<Done> {
        let (took, done) = match wait.is_zero() {
            true => self.done.try_recv().ok()?,
            false => self.done.recv_timeout(wait).ok()?,
        };
        self.lag.longest = self.lag.longest.max(took);
        self.lag.late += u64::from(took > Self::LATE);
        match &done {
            Done::Synced(..) => self.syncing = None,
            Done::Closed(..) => self.closing -= 1,
        }
        Some(done)
    }

    /// True if the thread is no more, so that nothing will ever be done.
    pub(crate) fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// How far the disk was behind, and is now.
    pub(crate) fn lag(&self) -> Lag {
        let now = self.syncing.map_or(Duration::ZERO, |since| since.elapsed());
        Lag {
            late: self.lag.late + u64::from(now > Self::LATE),
            longest: self.lag.longest.max(now),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was told by `is_gone`.
            let _ = thread.join();
        }
    }
}
