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

use crate::Task;
use crate::chain::Chain;
use crate::guard::caught;
use crate::host::Reply;

/// A call that waits in a queue or is under way.
pub type Ticket = Task<Reply>;

/// Calls that wait together; their replies come in the order of the frames.
pub type BatchTicket = Task<Vec<Reply>>;

/// Why a frame was not queued. The frame was not processed and may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue is full.
    #[error(
        "the queue of `{plugin}` is full ({limit} frames); wait, or raise `queue` under [limits]"
    )]
    Full {
        /// Id of the plugin.
        plugin: String,
        /// Frames that may wait.
        limit: u32,
    },
    /// More frames at once than may ever wait.
    #[error(
        "{frames} frames at once are more than the queue of `{plugin}` holds ({limit}); send fewer, or raise `queue` under [limits]"
    )]
    TooMany {
        /// Id of the plugin.
        plugin: String,
        /// Frames in the batch.
        frames: usize,
        /// Frames that may wait.
        limit: u32,
    },
    /// The instance finishes what waits and takes nothing new.
    #[error("`{plugin}` is draining and takes nothing new")]
    Draining {
        /// Id of the plugin.
        plugin: String,
    },
    /// There is no such instance.
    #[error("no such instance; it was unloaded, or never loaded")]
    Gone,
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
    _places: OwnedSemaphorePermit,
}

/// What a job holds.
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
    /// Told whenever a lane has nothing left to do.
    rested: Notify,
}

#[derive(Default)]
struct Lane {
    jobs: Mutex<VecDeque<Job>>,
    /// True while somebody works the lane off.
    worked: AtomicBool,
}

/// Room in a queue, paid for.
pub(crate) struct Places(OwnedSemaphorePermit);

impl Queue {
    pub(crate) fn new(limit: u32, lanes: u32) -> Queue {
        Queue {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            turn: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(limit as usize)),
            limit: AtomicU32::new(limit),
            rested: Notify::new(),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit, to 1 at least. Frames that wait already stay; what is surplus goes when they
    /// are done, which `runtime` waits for.
    pub(crate) fn resize(&self, limit: u32, runtime: &Handle) {
        let limit = limit.max(1);
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if limit > before {
            self.places.add_permits((limit - before) as usize);
        } else if limit < before {
            let surplus = before - limit;
            let removed = self.places.forget_permits(surplus as usize) as u32;
            if removed < surplus {
                let places = self.places.clone();
                let rest = surplus - removed;
                runtime.spawn(async move {
                    if let Ok(permits) = places.acquire_many_owned(rest).await {
                        permits.forget();
                    }
                });
            }
        }
    }

    /// Frames that wait or are under way.
    pub(crate) fn depth(&self) -> usize {
        (self.limit() as usize).saturating_sub(self.places.available_permits())
    }

    /// Waits for one place. `None` if the queue takes nothing more.
    pub(crate) async fn wait_for_place(&self) -> Option<Places> {
        self.places.clone().acquire_owned().await.ok().map(Places)
    }

    /// Waits for one place and takes those that are free beside it, up to `most` in all, and says how
    /// many. `None` if the queue takes nothing more.
    ///
    /// Nobody waits for several at once: if the limit became smaller meanwhile, that would never end,
    /// and hold up everybody behind.
    pub(crate) async fn wait_for_places(&self, most: usize) -> Option<(Places, usize)> {
        let Places(mut places) = self.wait_for_place().await?;
        let further = self.places.available_permits().min(most.saturating_sub(1));
        let further = u32::try_from(further).unwrap_or(u32::MAX);
        if let Ok(further) = self.places.clone().try_acquire_many_owned(further) {
            places.merge(further);
        }
        let count = places.num_permits();
        Some((Places(places), count))
    }

    pub(crate) fn try_places(&self, count: u32) -> Option<Places> {
        self.places.clone().try_acquire_many_owned(count).ok().map(Places)
    }

    /// Takes nothing more. Frames that wait already stay.
    pub(crate) fn close(&self) {
        self.places.close();
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
        Places(places): Places,
    ) -> bool {
        let lane = &self.lanes[lane];
        lane.jobs.lock().push_back(Job { work, queued, span, chain, _places: places });
        !lane.worked.swap(true, Ordering::AcqRel)
    }

    /// Gives all that waits in a lane to `work`, in order, until nothing is left. A panic of it costs
    /// the job at hand, and nothing else: whoever waits for that gets the news.
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
                self.rested.notify_waiters();
                return;
            }
        }
    }

    /// Waits until no frame waits and none is under way.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let rested = self.rested.notified();
            let at_rest =
                |lane: &Lane| !lane.worked.load(Ordering::Acquire) && lane.jobs.lock().is_empty();
            if self.lanes.iter().all(at_rest) {
                return;
            }
            rested.await;
        }
    }

    /// Takes out what still waits.
    pub(crate) fn abandon(&self) -> Vec<Job> {
        self.lanes.iter().flat_map(|lane| std::mem::take(&mut *lane.jobs.lock())).collect()
    }
}
