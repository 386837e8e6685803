//! Bounded queues: frames that wait for an instance.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use glovebox_abi::{Frame, Header};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use super::Chain;
use crate::guard::caught;
use crate::reply::Reply;
use crate::task::Task;

/// A call that waits in a queue or is under way.
pub type Ticket = Task<Reply>;

/// Calls that wait together; there is one reply for each frame, in the order of the frames.
pub type BatchTicket = Task<Vec<Reply>>;

/// Why a frame was not queued. The frame was not processed and may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue is full.
    #[error(
        "the queue of `{plugin}` is full ({limit} frames); wait, or {}", larger(*.limit, *.ceiling)
    )]
    Full {
        /// Id of the plugin.
        plugin: String,
        /// Frames that may wait.
        limit: u32,
        /// The ceiling of the host for that, if there is one.
        ceiling: Option<u32>,
    },
    /// More frames at once than may ever wait.
    #[error(
        "{frames} frames at once are more than the queue of `{plugin}` holds ({limit}); send fewer, \
         or {}", larger(*.limit, *.ceiling)
    )]
    TooMany {
        /// Id of the plugin.
        plugin: String,
        /// Frames in the batch.
        frames: usize,
        /// Frames that may wait.
        limit: u32,
        /// The ceiling of the host for that, if there is one.
        ceiling: Option<u32>,
    },
    /// The instance finishes what waits and takes nothing new.
    #[error("`{plugin}` is draining and takes nothing new")]
    Draining {
        /// Id of the plugin.
        plugin: String,
    },
    /// The call comes from inside of a call of the same instance, or of its start, on this thread, and
    /// would wait for itself.
    #[error(
        "`{plugin}` is at work on this thread, and a call from in there would wait for itself; queue \
         the frame with `try_dispatch_to`, and do not wait for the answer"
    )]
    CalledFromInside {
        /// Id of the plugin.
        plugin: String,
    },
    /// There is no such instance.
    #[error("no such instance; it was unloaded, or never loaded")]
    Gone,
}

/// The way to a longer queue, and who can go it.
fn larger(limit: u32, ceiling: Option<u32>) -> String {
    match ceiling {
        None => "raise `queue` under [limits] of its manifest".to_owned(),
        Some(ceiling) if limit < ceiling => format!(
            "raise `queue` under [limits] of its manifest, up to {ceiling}, the ceiling of the host"
        ),
        Some(_) => "raise `queue` under [ceilings] of the policy: that is the ceiling of the host"
            .to_owned(),
    }
}

/// Frames that wait together, and who waits for the answers.
pub(crate) struct Job {
    pub(crate) work: Work,
    /// When it was queued; only kept when somebody listens.
    pub(crate) queued: Option<Instant>,
    /// Ends with the last answer.
    pub(crate) span: Span,
    /// Where the frames come from.
    pub(crate) chain: Chain,
    _room: OwnedSemaphorePermit,
}

/// The work of a job.
pub(crate) enum Work {
    One(Frame, oneshot::Sender<Reply>),
    Batch(Vec<Frame>, oneshot::Sender<Vec<Reply>>),
}

/// Frames that wait for one instance, at most as many as its limit says.
///
/// Each copy of the instance has a lane of its own. Frames of one source always take the same lane,
/// so that they stay in order; frames without a source take the lanes in turn.
pub(crate) struct Queue {
    lanes: Box<[Lane]>,
    turn: AtomicUsize,
    places: Arc<Semaphore>,
    limit: AtomicU32,
    /// Places beyond the limit, which go as soon as nobody has them.
    surplus: Arc<AtomicU32>,
    resizing: Mutex<()>,
    /// Notified whenever a lane has nothing left to do.
    idle: Notify,
}

#[derive(Default)]
struct Lane {
    jobs: Mutex<VecDeque<Job>>,
    /// True while somebody works the lane off.
    worked: AtomicBool,
}

/// Room in a queue for some frames that are not in it yet.
pub(crate) struct Reservation(OwnedSemaphorePermit);

impl Queue {
    pub(crate) fn new(limit: u32, lanes: u32) -> Queue {
        Queue {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            turn: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(limit as usize)),
            limit: AtomicU32::new(limit),
            surplus: Arc::default(),
            resizing: Mutex::default(),
            idle: Notify::new(),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit to what `limit` says, which is 1 at least. Frames that wait already stay; what
    /// is surplus goes when they are done, which `runtime` waits for.
    pub(crate) fn resize(&self, limit: impl FnOnce() -> u32, runtime: &Handle) {
        let (before, limit) = {
            // Asked under the lock: of two who change it at once, the last one knows the last limit.
            let _one_at_a_time = self.resizing.lock();
            let limit = limit();
            (self.limit.swap(limit, Ordering::Relaxed), limit)
        };
        if limit > before {
            // Wakes those who wait, whose wakers may do anything: no lock is held.
            self.places.add_permits((limit - before) as usize);
        } else if limit < before {
            let surplus = before - limit;
            let removed = self.places.forget_permits(surplus as usize) as u32;
            if removed < surplus {
                self.remove_later(surplus - removed, runtime);
            }
        }
    }

    /// Takes places away as soon as nobody has them, one by one, so that `depth` is right
    /// but for the moment in which one goes.
    fn remove_later(&self, surplus: u32, runtime: &Handle) {
        self.surplus.fetch_add(surplus, Ordering::Relaxed);
        let (places, left) = (self.places.clone(), self.surplus.clone());
        runtime.spawn(async move {
            for _ in 0..surplus {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                place.forget();
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    /// Frames that wait or are under way.
    pub(crate) fn depth(&self) -> usize {
        let places = self.limit() as usize + self.surplus.load(Ordering::Relaxed) as usize;
        places.saturating_sub(self.places.available_permits())
    }

    /// Waits for one place. `None` if the queue takes nothing more.
    pub(crate) async fn reserve(&self) -> Option<Reservation> {
        self.places.clone().acquire_owned().await.ok().map(Reservation)
    }

    /// Waits for one place and takes those that are free beside it, up to `most` in all, and says how
    /// many. `None` if the queue takes nothing more.
    ///
    /// Nobody waits for several at once: if the limit became smaller meanwhile, that would never end,
    /// and hold up everybody behind.
    pub(crate) async fn reserve_up_to(&self, most: usize) -> Option<(Reservation, usize)> {
        let Reservation(mut room) = self.reserve().await?;
        let further = self.places.available_permits().min(most.saturating_sub(1));
        let further = u32::try_from(further).unwrap_or(u32::MAX);
        if let Ok(further) = self.places.clone().try_acquire_many_owned(further) {
            room.merge(further);
        }
        let count = room.num_permits();
        Some((Reservation(room), count))
    }

    pub(crate) fn try_reserve(&self, count: u32) -> Option<Reservation> {
        self.places.clone().try_acquire_many_owned(count).ok().map(Reservation)
    }

    /// Takes nothing more. Frames that wait already stay.
    pub(crate) fn close(&self) {
        // Wakes those who wait for a place; again if a waker panics, for the others.
        while let Err(reason) = caught(|| self.places.close()) {
            tracing::error!(reason, "the waker of somebody who waits for a place panicked");
        }
    }

    /// True until [`close`](Self::close).
    pub(crate) fn is_open(&self) -> bool {
        !self.places.is_closed()
    }

    /// Which lane the next frame takes.
    pub(crate) fn lane_for(&self, frame: &Frame) -> usize {
        if self.lanes.len() == 1 {
            return 0;
        }
        let has_header = !frame.header.as_bytes().is_empty();
        match has_header.then(|| frame.header.get_text(Header::SOURCE)).flatten() {
            Some(source) => {
                let mut hasher = DefaultHasher::new();
                source.hash(&mut hasher);
                (hasher.finish() % self.lanes.len() as u64) as usize
            }
            None => self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes.len(),
        }
    }

    /// Puts work in. The first to do so while nobody works the lane off gets `true`, and must see
    /// to it.
    pub(crate) fn push(
        &self,
        lane: usize,
        work: Work,
        queued: Option<Instant>,
        span: Span,
        chain: Chain,
        Reservation(room): Reservation,
    ) -> bool {
        let lane = &self.lanes[lane];
        lane.jobs.lock().push_back(Job { work, queued, span, chain, _room: room });
        !lane.worked.swap(true, Ordering::AcqRel)
    }

    /// Gives all that waits in a lane to `work`, in order, until nothing is left. A panic of it costs
    /// the job at hand, and nothing else: the caller that waits for that gets the news.
    pub(crate) fn work_off(&self, lane: usize, mut work: impl FnMut(Job)) {
        let lane = &self.lanes[lane];
        loop {
            let next = lane.jobs.lock().pop_front();
            if let Some(job) = next {
                if let Err(reason) = caught(|| work(job)) {
                    tracing::error!(reason, "a call from a queue panicked");
                }
                continue;
            }
            lane.worked.store(false, Ordering::Release);
            // A frame may have come after the look and before the store.
            if lane.jobs.lock().is_empty() || lane.worked.swap(true, Ordering::AcqRel) {
                self.idle.notify_waiters();
                return;
            }
        }
    }

    /// Waits until no frame waits and none is under way.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let notified = self.idle.notified();
            let is_idle =
                |lane: &Lane| !lane.worked.load(Ordering::Acquire) && lane.jobs.lock().is_empty();
            if self.lanes.iter().all(is_idle) {
                return;
            }
            notified.await;
        }
    }

    /// Takes out what still waits, and gives it to `refuse`. A panic costs nothing but the job at hand.
    pub(crate) fn abandon(&self, mut refuse: impl FnMut(Work)) {
        for lane in &self.lanes {
            let jobs = std::mem::take(&mut *lane.jobs.lock());
            for job in jobs {
                // The place that goes with it wakes somebody who waits for one.
                if let Err(reason) = caught(|| refuse({ job }.work)) {
                    tracing::error!(reason, "to refuse a frame panicked");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_who_can_make_it_longer() {
        fn check(limit: u32, ceiling: Option<u32>, expected: &str) {
            let refusal = Refusal::Full { plugin: "a".to_owned(), limit, ceiling };
            let refusal = refusal.to_string();
            assert!(refusal.ends_with(expected), "{refusal}");
        }
        check(3, None, "wait, or raise `queue` under [limits] of its manifest");
        check(3, Some(9), "under [limits] of its manifest, up to 9, the ceiling of the host");
        check(9, Some(9), "under [ceilings] of the policy: that is the ceiling of the host");
    }

    #[test]
    fn the_depth_counts_what_waits_whatever_the_limit_becomes() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.unwrap();
        /// Frames that wait at first, the limits that follow each other, and the limit at the end.
        fn check(runtime: &Handle, waiting: usize, limits: &[u32], last: u32) {
            let queue = Queue::new(8, 1);
            let mut places: Vec<_> = (0..waiting).filter_map(|_| queue.try_reserve(1)).collect();
            // Another thread takes away what is surplus.
            let comes_true = |what: &dyn Fn() -> bool| {
                let started = Instant::now();
                while !what() {
                    assert!(started.elapsed().as_secs() < 60, "{} wait", queue.depth());
                    std::thread::yield_now();
                }
            };
            for limit in limits {
                queue.resize(|| *limit, runtime);
                comes_true(&|| queue.depth() == waiting);
            }
            while places.pop().is_some() {
                comes_true(&|| queue.depth() == places.len());
            }
            assert_eq!(queue.limit(), last, "{limits:?}");
            comes_true(&|| queue.places.available_permits() == last as usize);
        }
        check(runtime.handle(), 0, &[4], 4);
        check(runtime.handle(), 8, &[2], 2);
        check(runtime.handle(), 8, &[4, 1, 3], 3);
        check(runtime.handle(), 5, &[1, 16], 16);
    }
}
