//! Bounded queues: frames that wait for an instance.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use glovebox_abi::Frame;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::Task;
use crate::host::Reply;

/// A call that waits in a queue or is under way.
pub type Ticket = Task<Reply>;

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
    /// There is no such instance.
    #[error("no such instance; it was unloaded, or never loaded")]
    Gone,
}

/// One frame that waits.
pub(crate) struct Job {
    pub(crate) frame: Frame,
    pub(crate) queued: Instant,
    /// How many plugins the frame came through by `emit`.
    pub(crate) hops: u32,
    pub(crate) answer: oneshot::Sender<Reply>,
    _place: OwnedSemaphorePermit,
}

/// Frames that wait for one instance, at most as many as its limit says.
pub(crate) struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    places: Arc<Semaphore>,
    limit: AtomicU32,
    /// True while somebody works the queue off.
    worked: AtomicBool,
}

impl Queue {
    pub(crate) fn new(limit: u32) -> Queue {
        Queue {
            jobs: Mutex::default(),
            places: Arc::new(Semaphore::new(limit as usize)),
            limit: AtomicU32::new(limit),
            worked: AtomicBool::new(false),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit. Frames that wait already stay.
    pub(crate) fn resize(&self, limit: u32) {
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if limit > before {
            self.places.add_permits((limit - before) as usize);
        } else if limit < before {
            let surplus = before - limit;
            let removed = self.places.forget_permits(surplus as usize) as u32;
            if removed < surplus {
                // The rest goes when the frames that hold the places are done.
                let places = self.places.clone();
                let rest = surplus - removed;
                tokio::spawn(async move {
                    if let Ok(permits) = places.acquire_many_owned(rest).await {
                        permits.forget();
                    }
                });
            }
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.jobs.lock().len()
    }

    pub(crate) async fn wait_for_place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    pub(crate) fn try_place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Puts a frame in. The first to do so while nobody works the queue off gets `true`, and must
    /// see to it.
    pub(crate) fn push(
        &self,
        frame: Frame,
        hops: u32,
        place: OwnedSemaphorePermit,
    ) -> (Ticket, bool) {
        let (answer, ticket) = Task::new();
        let job = Job { frame, queued: Instant::now(), hops, answer, _place: place };
        self.jobs.lock().push_back(job);
        (ticket, !self.worked.swap(true, Ordering::AcqRel))
    }

    /// Gives every waiting frame to `work`, in order, until none is left.
    pub(crate) fn work_off(&self, mut work: impl FnMut(Job)) {
        loop {
            let next = self.jobs.lock().pop_front();
            match next {
                Some(job) => work(job),
                None => {
                    self.worked.store(false, Ordering::Release);
                    // A frame may have come after the look and before the store.
                    if self.jobs.lock().is_empty() || self.worked.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
            }
        }
    }
}
