//! Bounded queues: frames that wait for an instance.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::units::show_size;
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
    /// The frames that wait leave no room for the bytes of another.
    #[error(
        "the queue of `{plugin}` is full: no room for {}, all frames in it may have {}; wait, or {}",
        show_size(*.bytes), show_size(*.limit), larger_by_bytes(*.limit, *.ceiling)
    )]
    FullOfBytes {
        /// Id of the plugin.
        plugin: String,
        /// Bytes that were to be queued.
        bytes: u64,
        /// Bytes that may wait.
        limit: u64,
        /// The ceiling of the host for that, if there is one.
        ceiling: Option<u64>,
    },
    /// More bytes in several frames at once than may ever wait.
    #[error(
        "frames of {} at once are more than the queue of `{plugin}` holds ({}); send fewer, or {}",
        show_size(*.bytes), show_size(*.limit), larger_by_bytes(*.limit, *.ceiling)
    )]
    TooManyBytes {
        /// Id of the plugin.
        plugin: String,
        /// Bytes of the batch.
        bytes: u64,
        /// Bytes that may wait.
        limit: u64,
        /// The ceiling of the host for that, if there is one.
        ceiling: Option<u64>,
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
    let ceiling = ceiling.map(u64::from);
    way_to_more(LimitKind::Queue, limit.into(), ceiling)
}

/// The same to one for more bytes.
fn larger_by_bytes(limit: u64, ceiling: Option<u64>) -> String {
    way_to_more(LimitKind::QueueBytes, limit, ceiling)
}

fn way_to_more(kind: LimitKind, limit: u64, ceiling: Option<u64>) -> String {
    match ceiling {
        None => format!("raise `{kind}` under [limits] of its manifest"),
        Some(ceiling) if limit < ceiling => format!(
            "raise `{kind}` under [limits] of its manifest, up to {}, the ceiling of the host",
            kind.show(ceiling)
        ),
        Some(_) => format!(
            "raise `{kind}` under [ceilings] of the policy: that is the ceiling of the host"
        ),
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
    _place: OwnedSemaphorePermit,
    /// Bytes of its frames.
    bytes: u64,
}

/// The work of a job.
pub(crate) enum Work {
    One(Frame, oneshot::Sender<Reply>),
    Batch(Vec<Frame>, oneshot::Sender<Vec<Reply>>),
}

/// Frames that wait for one instance, at most as many, and of as many bytes, as its limits say.
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
    room: Room,
    /// Notified whenever a lane has nothing left to do.
    idle: Notify,
}

#[derive(Default)]
struct Lane {
    jobs: Mutex<VecDeque<Job>>,
    /// True while somebody works the lane off.
    worked: AtomicBool,
}

/// Room in a queue for some frames that are not in it yet. One that is not used is
/// [given up](Queue::give_up).
#[must_use]
pub(crate) struct Reservation {
    places: OwnedSemaphorePermit,
    bytes: u64,
}

/// Why a queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// For so many frames, or it takes nothing more.
    Places,
    /// For so many bytes.
    Bytes,
}

/// The bytes of the frames that wait or are under way.
///
/// To take some costs one exchange. Those that have to wait take turns, and nobody goes before them.
struct Room {
    held: AtomicU64,
    limit: AtomicU64,
    /// Those that wait.
    waiting: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
    /// Notified whenever there may be more room for those that wait.
    changed: Notify,
}

impl Room {
    fn new(limit: u64) -> Room {
        Room {
            held: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            waiting: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::const_new(()),
            changed: Notify::const_new(),
        }
    }

    /// Takes room, unless somebody waits for some.
    fn try_take(&self, bytes: u64) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0 && self.take_in_turn(bytes)
    }

    /// The same for somebody who waits. Bytes that do not fit change nothing, not even for a moment: they would
    /// keep others from room that there is, and those who wait would wake themselves.
    fn take_in_turn(&self, bytes: u64) -> bool {
        let more = |before| self.fits(before, bytes).then(|| before.saturating_add(bytes));
        self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// One that is alone fits, however large it is.
    fn fits(&self, before: u64, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        before == 0 || before.saturating_add(bytes) <= limit
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.look_again();
        }
    }

    /// Wakes those that wait, whose wakers may do anything.
    fn look_again(&self) {
        if let Err(reason) = caught(|| self.changed.notify_waiters()) {
            tracing::error!(reason, "the waker of somebody who waits for room panicked");
        }
    }

    /// Waits for room as long as `is_open`, and says whether there was some.
    async fn wait(&self, bytes: u64, is_open: impl Fn() -> bool) -> bool {
        if self.try_take(bytes) {
            return true;
        }
        /// Counts somebody who waits, until that is over.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        let _turn = self.turn.lock().await;
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on, a change is heard of.
            changed.as_mut().enable();
            if !is_open() {
                return false;
            }
            if self.take_in_turn(bytes) {
                return true;
            }
            changed.await;
        }
    }
}

/// Bytes of a frame, as they count in a queue.
pub(crate) fn bytes_of(frame: &Frame) -> u64 {
    frame.encoded_len() as u64
}

impl Queue {
    /// `limit` and `bytes` are the most that may wait.
    pub(crate) fn new(limit: u32, bytes: u64, lanes: u32) -> Queue {
        Queue {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            turn: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(limit as usize)),
            limit: AtomicU32::new(limit),
            surplus: Arc::default(),
            resizing: Mutex::default(),
            room: Room::new(bytes),
            idle: Notify::new(),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn byte_limit(&self) -> u64 {
        self.room.limit.load(Ordering::Relaxed)
    }

    /// Bytes of the frames that wait or are under way.
    pub(crate) fn bytes(&self) -> u64 {
        self.room.held.load(Ordering::Relaxed)
    }

    /// Changes the bytes that may wait. Frames that wait already stay.
    pub(crate) fn resize_bytes(&self, limit: u64) {
        self.room.limit.store(limit, Ordering::SeqCst);
        self.room.look_again();
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

    /// Waits for room for one frame. `None` if the queue takes nothing more.
    pub(crate) async fn reserve(&self, frame: &Frame) -> Option<Reservation> {
        let places = self.places.clone().acquire_owned().await.ok()?;
        let bytes = bytes_of(frame);
        let has_room = self.room.wait(bytes, || self.is_open()).await;
        has_room.then_some(Reservation { places, bytes })
    }

    /// Waits for room for the first frame and takes what is free for those behind it, and says for how
    /// many there is room. `None` if the queue takes nothing more.
    ///
    /// Nobody waits for several at once: if the limit became smaller meanwhile, that would never end,
    /// and hold up everybody behind.
    pub(crate) async fn reserve_up_to(&self, frames: &[Frame]) -> Option<(Reservation, usize)> {
        let (first, rest) = frames.split_first()?;
        let mut room = self.reserve(first).await?;
        let further = self.places.available_permits().min(rest.len());
        let free = self.byte_limit().saturating_sub(self.bytes());
        let mut bytes = 0;
        let fitting = rest[..further].iter().take_while(|frame| {
            let more = bytes + bytes_of(frame);
            let fits = more <= free;
            if fits {
                bytes = more;
            }
            fits
        });
        let further = u32::try_from(fitting.count()).unwrap_or(u32::MAX);
        if let Ok(further) = self.try_reserve(further, bytes) {
            room.places.merge(further.places);
            room.bytes += further.bytes;
        }
        let count = room.places.num_permits();
        Some((room, count))
    }

    /// Takes room for so many frames of so many bytes together.
    pub(crate) fn try_reserve(&self, count: u32, bytes: u64) -> Result<Reservation, NoRoom> {
        let places = self.places.clone().try_acquire_many_owned(count);
        let places = places.map_err(|_| NoRoom::Places)?;
        match self.room.try_take(bytes) {
            true => Ok(Reservation { places, bytes }),
            false => Err(NoRoom::Bytes),
        }
    }

    /// Gives up room that is not needed.
    pub(crate) fn give_up(&self, room: Reservation) {
        self.room.give_back(room.bytes);
    }

    /// Takes nothing more. Frames that wait already stay.
    pub(crate) fn close(&self) {
        // Wakes those who wait for a place; again if a waker panics, for the others.
        while let Err(reason) = caught(|| self.places.close()) {
            tracing::error!(reason, "the waker of somebody who waits for a place panicked");
        }
        self.room.look_again();
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
        Reservation { places, bytes }: Reservation,
    ) -> bool {
        let lane = &self.lanes[lane];
        lane.jobs.lock().push_back(Job { work, queued, span, chain, _place: places, bytes });
        !lane.worked.swap(true, Ordering::AcqRel)
    }

    /// Gives all that waits in a lane to `work`, in order, until nothing is left. A panic of it costs
    /// the job at hand, and nothing else: the caller that waits for that gets the news.
    pub(crate) fn work_off(&self, lane: usize, mut work: impl FnMut(Job)) {
        let lane = &self.lanes[lane];
        loop {
            let next = lane.jobs.lock().pop_front();
            if let Some(job) = next {
                let bytes = job.bytes;
                if let Err(reason) = caught(|| work(job)) {
                    tracing::error!(reason, "a call from a queue panicked");
                }
                self.room.give_back(bytes);
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
                let bytes = job.bytes;
                // The place that goes with it wakes somebody who waits for one.
                if let Err(reason) = caught(|| refuse({ job }.work)) {
                    tracing::error!(reason, "to refuse a frame panicked");
                }
                self.room.give_back(bytes);
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
        let ceiling = Some(1 << 30);
        let plugin = "a".to_owned();
        let refusal = Refusal::FullOfBytes { plugin, bytes: 1 << 20, limit: 64 << 20, ceiling };
        assert_eq!(
            refusal.to_string(),
            "the queue of `a` is full: no room for 1 MiB, all frames in it may have 64 MiB; wait, or \
             raise `queue-bytes` under [limits] of its manifest, up to 1 GiB, the ceiling of the host"
        );
    }

    #[test]
    fn bytes_have_room_like_places() {
        /// Takes so many bytes one after the other; each is said to fit or not.
        fn check(limit: u64, sizes: &[(u64, bool)]) {
            let queue = Queue::new(100, limit, 1);
            let mut taken = Vec::new();
            for (bytes, fits) in sizes {
                let found = queue.try_reserve(1, *bytes);
                assert_eq!(found.is_ok(), *fits, "{bytes} of {limit} with {}", queue.bytes());
                taken.extend(found);
            }
            taken.into_iter().for_each(|room| queue.give_up(room));
            assert_eq!((queue.bytes(), queue.depth()), (0, 0));
        }
        check(10, &[(4, true), (6, true), (1, false), (0, true)]);
        // One that is alone fits.
        check(10, &[(11, true), (1, false)]);
        check(1, &[(u64::MAX / 2, true), (u64::MAX / 2, false)]);
    }

    /// However often one asks that is too large, there is room for a small one.
    #[test]
    fn what_does_not_fit_takes_no_room_from_others() {
        /// Of so many bytes so many are held; one thread asks for `large`, another one for one byte.
        fn check(limit: u64, held: u64, large: u64) {
            let room = Room::new(limit);
            assert!(room.try_take(held));
            let is_over = AtomicBool::new(false);
            let refused = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        assert!(!room.try_take(large), "it never fits");
                    }
                });
                let small = || {
                    let fits = room.try_take(1);
                    fits.then(|| room.give_back(1)).is_none()
                };
                let refused = (0..100_000).filter(|_| small()).count();
                is_over.store(true, Ordering::Relaxed);
                refused
            });
            assert_eq!((refused, room.held.into_inner()), (0, held), "{large} of {limit}");
        }
        check(64, 10, 60);
        check(64, 1, u64::MAX / 4);
    }

    #[test]
    fn whoever_waits_for_bytes_has_a_turn() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let runtime = runtime.unwrap();
        let queue = Arc::new(Queue::new(100, 100, 1));
        let small = queue.try_reserve(1, 60).unwrap();
        let frame = Frame::data(vec![0; 80]);
        let (waits, sent) = (queue.clone(), frame.clone());
        let waiter = runtime.spawn(async move { waits.reserve(&sent).await.is_some() });
        while queue.room.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        // Small ones do not go before it for ever.
        assert_eq!(queue.try_reserve(1, 1).err(), Some(NoRoom::Bytes));
        queue.give_up(small);
        assert!(runtime.block_on(waiter).unwrap());
        assert_eq!(queue.bytes(), bytes_of(&frame));
        // More room wakes, and so does the end; somebody who gives up keeps nobody.
        let wait = |queue: &Arc<Queue>| {
            let (queue, frame) = (queue.clone(), Frame::data(vec![0; 80]));
            let before = queue.room.waiting.load(Ordering::SeqCst);
            let waits = queue.clone();
            let waiter = runtime.spawn(async move { waits.reserve(&frame).await.is_some() });
            while queue.room.waiting.load(Ordering::SeqCst) == before {
                std::thread::yield_now();
            }
            waiter
        };
        let gone = wait(&queue);
        gone.abort();
        assert!(runtime.block_on(gone).is_err());
        let grows = wait(&queue);
        queue.resize_bytes(1000);
        assert!(runtime.block_on(grows).unwrap());
        queue.resize_bytes(1);
        let ends = wait(&queue);
        queue.close();
        assert!(!runtime.block_on(ends).unwrap());
        assert_eq!(queue.bytes(), 2 * bytes_of(&frame));
    }

    #[test]
    fn the_depth_counts_what_waits_whatever_the_limit_becomes() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.unwrap();
        /// Frames that wait at first, the limits that follow each other, and the limit at the end.
        fn check(runtime: &Handle, waiting: usize, limits: &[u32], last: u32) {
            let queue = Queue::new(8, u64::MAX, 1);
            let mut places: Vec<_> =
                (0..waiting).filter_map(|_| queue.try_reserve(1, 0).ok()).collect();
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
