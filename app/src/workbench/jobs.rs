//! Jobs: long work on a named thread each, with progress and a way to cancel it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;

use super::replay::ReplayControl;
use super::sink::Waker;
use crate::panics::contain;

/// Results that may wait for the window; a thread with one more waits with it.
const WAITING: usize = 256;

/// Names some work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

/// How some work is doing.
#[derive(Debug, Clone)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Its title, e.g. `Replaying shop.mcap`.
    pub title: String,
    /// The step that takes the time just now, if there is more to say.
    pub doing: String,
    /// How much is done, of how much in all; `None` if nobody knows.
    pub progress: Option<(u64, u64)>,
    /// True if it was asked to end.
    pub cancelled: bool,
    /// If it is a replay: whether it is held.
    pub replay: Option<bool>,
}

impl JobView {
    /// Where a replay is held, in words; `None` if it is none, or goes on.
    pub fn held_at(&self) -> Option<String> {
        let (done, total) = self.progress.filter(|_| self.replay == Some(true))?;
        Some(format!("frame {done} of {total}, paused"))
    }
}

/// The state shared with the thread of a job.
#[derive(Debug, Default)]
pub(super) struct JobState {
    pub(super) cancel: AtomicBool,
    replay: Option<Arc<ReplayControl>>,
    done: AtomicU64,
    total: AtomicU64,
    /// The step that takes the time just now.
    doing: Mutex<String>,
    waker: Option<Arc<Waker>>,
}

impl JobState {
    /// Says how far the work is. The window is woken for each hundredth: painting all the time
    /// would take from the work.
    pub(super) fn progress(&self, done: u64, total: u64) {
        let hundredths = |done: u64| done.saturating_mul(100) / total.max(1);
        let before = self.done.swap(done, Ordering::Relaxed);
        let is_first = self.total.swap(total, Ordering::Relaxed) != total;
        let is_seen = is_first || hundredths(before) != hundredths(done);
        if let Some(waker) = self.waker.as_ref().filter(|_| is_seen) {
            waker.wake();
        }
    }

    /// Says what takes the time just now.
    pub(super) fn say(&self, doing: String) {
        let before = std::mem::replace(&mut *self.doing.lock(), doing);
        if before != *self.doing.lock()
            && let Some(waker) = &self.waker
        {
            waker.wake();
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        if let Some(replay) = &self.replay {
            replay.cancel();
        }
    }
}

#[derive(Debug)]
struct Job {
    title: String,
    state: Arc<JobState>,
    is_background: bool,
}

/// A result of jobs, which can also say that there is none.
pub(super) trait Panicked: Send + 'static {
    /// For a job that panicked, in words.
    fn panicked(text: String) -> Self;

    /// For a job that could not start, in words.
    fn not_started(text: String) -> Self;
}

/// All work that is under way.
#[derive(Debug)]
pub(super) struct Jobs<T> {
    running: BTreeMap<JobId, Job>,
    next: u64,
    /// Jobs whose threads could not be started.
    not_started: Vec<(JobId, T)>,
    sender: SyncSender<(JobId, T)>,
    receiver: Receiver<(JobId, T)>,
    waker: Arc<Waker>,
}

impl<T: Panicked> Jobs<T> {
    pub(super) fn new(waker: Arc<Waker>) -> Jobs<T> {
        let (sender, receiver) = sync_channel(WAITING);
        let (running, not_started) = Default::default();
        Jobs { running, next: 0, not_started, sender, receiver, waker }
    }

    /// Starts work on a thread of its own.
    pub(super) fn start(
        &mut self,
        title: impl Into<String>,
        work: impl FnOnce(&JobState) -> T + Send + 'static,
    ) -> JobId {
        self.spawn(title.into(), None, work)
    }

    /// Starts work that nothing else waits for.
    pub(super) fn start_background(
        &mut self,
        title: impl Into<String>,
        work: impl FnOnce(&JobState) -> T + Send + 'static,
    ) -> JobId {
        let id = self.start(title, work);
        if let Some(job) = self.running.get_mut(&id) {
            job.is_background = true;
        }
        id
    }

    /// Starts work that is a replay.
    pub(super) fn start_replay(
        &mut self,
        title: impl Into<String>,
        work: impl FnOnce(&JobState, &ReplayControl) -> T + Send + 'static,
    ) -> JobId {
        let control = Arc::new(ReplayControl::default());
        let steered = Arc::clone(&control);
        self.spawn(title.into(), Some(control), move |state| work(state, &steered))
    }

    fn spawn(
        &mut self,
        title: String,
        replay: Option<Arc<ReplayControl>>,
        work: impl FnOnce(&JobState) -> T + Send + 'static,
    ) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        let state = Arc::new(JobState {
            replay,
            waker: Some(Arc::clone(&self.waker)),
            ..JobState::default()
        });
        let sender = self.sender.clone();
        let waker = Arc::clone(&self.waker);
        let thread_state = Arc::clone(&state);
        let thread = std::thread::Builder::new().name(format!("glovebox job {}", id.0));
        let name = title.clone();
        let spawned = thread.spawn(move || {
            let finished = contain(|| work(&thread_state));
            let finished = finished.unwrap_or_else(|fault| T::panicked(format!("{name}: {fault}")));
            // The receiver is gone only when the workbench is: then nobody wants the result.
            let _ = sender.send((id, finished));
            waker.wake();
        });
        if let Err(error) = spawned {
            let text = format!("{title}: cannot start a thread: {error}");
            self.not_started.push((id, T::not_started(text)));
            self.waker.wake();
        }
        self.running.insert(id, Job { title, state, is_background: false });
        id
    }

    /// The jobs that ended since the last time, with their results.
    pub(super) fn finished(&mut self) -> Vec<(JobId, T)> {
        let mut finished = std::mem::take(&mut self.not_started);
        finished.extend(self.receiver.try_iter());
        for (id, _) in &finished {
            self.running.remove(id);
        }
        finished
    }

    pub(super) fn any(&self) -> bool {
        !self.running.is_empty()
    }

    /// True if there is work that something waits for.
    pub(super) fn any_in_front(&self) -> bool {
        self.running.values().any(|job| !job.is_background)
    }

    pub(super) fn is_running(&self, id: JobId) -> bool {
        self.running.contains_key(&id)
    }

    pub(super) fn cancel(&self, id: JobId) {
        if let Some(job) = self.running.get(&id) {
            job.state.cancel();
        }
    }

    pub(super) fn cancel_all(&self) {
        self.running.values().for_each(|job| job.state.cancel());
    }

    /// The control of the replay that is under way.
    pub(super) fn replay(&self) -> Option<&ReplayControl> {
        let jobs = self.running.values();
        jobs.into_iter().find_map(|job| job.state.replay.as_deref())
    }

    pub(super) fn views(&self) -> Vec<JobView> {
        let view = |(id, job): (&JobId, &Job)| {
            let total = job.state.total.load(Ordering::Relaxed);
            JobView {
                id: *id,
                title: job.title.clone(),
                doing: job.state.doing.lock().clone(),
                progress: (total > 0).then(|| (job.state.done.load(Ordering::Relaxed), total)),
                cancelled: job.state.is_cancelled(),
                replay: job.state.replay.as_deref().map(ReplayControl::is_paused),
            }
        };
        self.running.iter().map(view).collect()
    }
}

impl<T> Drop for Jobs<T> {
    fn drop(&mut self) {
        self.running.values().for_each(|job| job.state.cancel());
    }
}
