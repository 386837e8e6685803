//! The status of one copy: its phase, why it cannot go on, and its counters.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::latency::LatencyCells;
use glovebox_events::{Outcome, Phase, What};
use parking_lot::{Condvar, Mutex};

use crate::record::{LifecycleHook, Transition, in_time};
use crate::reply::Reply;
use crate::services::{Cancel, Shared};

/// The status of one copy, which anybody may read at any time. Only the thread that starts, holds
/// or ends the copy changes it.
pub(super) struct CopyStatus {
    pub(super) copy: u32,
    phase: AtomicU8,
    pub(super) down: Mutex<Option<Down>>,
    /// Notified when what `down` says changed, or who waits for it is to look.
    changed: Condvar,
    /// Failures in a row.
    pub(super) failures: AtomicU32,
    counters: Counters,
    /// Times of calls count from here.
    made: Instant,
    /// When the call under way began, in nanoseconds after `made` and one more; 0 without one.
    began: AtomicU64,
    /// The tasks after a call: the care that it is due and did not get yet, as bits of
    /// [`Care`], and [`KEEPS_FRAMES`].
    wants: AtomicU8,
}

/// The things that are done for a copy from time to time.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Care {
    /// It is asked how it is.
    Health = 1,
    /// Its state is saved.
    Checkpoint = 2,
}

/// The bit that says that somebody is on the way to give it the care that it is due.
const IS_CARED_FOR: u8 = 1 << 7;

/// The bit that says that the frames of calls are kept.
const KEEPS_FRAMES: u8 = 1 << 6;

/// Why a copy cannot go on, and what comes next.
#[derive(Clone)]
pub(super) struct Down {
    pub(super) cause: String,
    /// When a fresh copy is started, if one is.
    pub(super) retry: Option<Instant>,
}

/// The counters of one copy.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) processed: AtomicU64,
    pub(super) errors: AtomicU64,
    /// Those that the plugin is to blame for: neither refused nor cancelled.
    pub(super) failed: AtomicU64,
    /// Emitted frames that were dropped on the way to a plugin.
    pub(super) dropped: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) restarts: AtomicU64,
    /// Bytes of memory after the last call that was timed; 0 if it cannot be told.
    pub(super) memory: AtomicU64,
    pub(super) latency: LatencyCells,
}

impl CopyStatus {
    pub(super) fn new(copy: u32) -> CopyStatus {
        let phase = AtomicU8::new(Phase::Found as u8);
        CopyStatus {
            copy,
            phase,
            down: Mutex::default(),
            changed: Condvar::new(),
            failures: AtomicU32::new(0),
            counters: Counters::default(),
            made: Instant::now(),
            began: AtomicU64::new(0),
            wants: AtomicU8::new(0),
        }
    }

    /// Notes that it is due some care.
    pub(super) fn is_due(&self, care: Care) {
        self.wants.fetch_or(care as u8, Ordering::Relaxed);
    }

    /// True if there is anything to do after a call.
    #[inline]
    pub(super) fn wants_more(&self) -> bool {
        self.wants.load(Ordering::Relaxed) != 0
    }

    /// Whether the frames of calls are kept from now on.
    pub(super) fn keep_frames(&self, keeps: bool) {
        match keeps {
            true => self.wants.fetch_or(KEEPS_FRAMES, Ordering::Relaxed),
            false => self.wants.fetch_and(!KEEPS_FRAMES, Ordering::Relaxed),
        };
    }

    pub(super) fn keeps_frames(&self) -> bool {
        self.wants.load(Ordering::Relaxed) & KEEPS_FRAMES != 0
    }

    /// True for the first who asks while it is due care: the one to give it.
    pub(super) fn begin_care(&self) -> bool {
        if self.wants.load(Ordering::Relaxed) & !KEEPS_FRAMES == 0 {
            return false;
        }
        let wants = self.wants.fetch_or(IS_CARED_FOR, Ordering::Relaxed);
        wants & IS_CARED_FOR == 0
    }

    /// The care that it is due, which the caller gives now.
    pub(super) fn take_care(&self) -> impl Iterator<Item = Care> + use<> {
        let due = self.wants.fetch_and(KEEPS_FRAMES, Ordering::Relaxed);
        [Care::Health, Care::Checkpoint].into_iter().filter(move |care| due & *care as u8 != 0)
    }

    /// Notes that a call began.
    #[inline]
    pub(super) fn begin(&self, at: Instant) {
        let after = at.duration_since(self.made).as_nanos() as u64;
        self.began.store(after.saturating_add(1), Ordering::Relaxed);
    }

    /// Notes that no call is under way any more.
    #[inline]
    pub(super) fn end(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    /// How long the call under way has taken so far.
    pub(super) fn under_way(&self) -> Option<Duration> {
        let after = self.began.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.made.elapsed().saturating_sub(Duration::from_nanos(after)))
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Why the copy cannot go on, and when it is tried again.
    pub(super) fn fault(&self) -> Option<String> {
        let down = self.down.lock().clone()?;
        Some(match down.retry {
            Some(at) => {
                let wait = at.saturating_duration_since(Instant::now()).as_millis();
                format!("{}; next attempt in {wait} ms", down.cause)
            }
            None => down.cause,
        })
    }

    /// When a fresh copy is started, if one is.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        self.down.lock().as_ref()?.retry
    }

    /// Waits until a fresh copy is to be started, if that is by `latest`. False if it is not, or once
    /// `is_over`, which a [`Cancel`] of this status lets it look at.
    pub(super) fn wait_for_attempt(&self, latest: Instant, is_over: impl Fn() -> bool) -> bool {
        let mut down = self.down.lock();
        loop {
            let Some(at) = down.as_ref().and_then(|down| down.retry) else { return false };
            if is_over() || at > latest {
                return false;
            }
            if at <= Instant::now() {
                return true;
            }
            self.changed.wait_until(&mut down, at);
        }
    }

    /// Lets a fresh copy be started now, if one is to be started later.
    pub(super) fn hurry(&self) {
        if let Some(retry) = self.down.lock().as_mut().and_then(|down| down.retry.as_mut()) {
            *retry = Instant::now();
        }
        self.changed.notify_all();
    }

    /// Changes the phase, tells the hooks and records it. Does nothing if the copy is there already.
    pub(super) fn enter(&self, shared: &Shared, generation: u32, to: Phase, cause: &str) {
        let from = self.phase();
        if from == to {
            return;
        }
        if !from.may_become(to) {
            tracing::error!(plugin = &*shared.plugin, %from, %to, cause, "an illegal transition");
            debug_assert!(false, "{from} → {to}: {cause}");
            return;
        }
        let store = || {
            self.phase.store(to as u8, Ordering::Relaxed);
            tracing::debug!(plugin = &*shared.plugin, %from, %to, cause, "phase");
            shared.record(generation, What::Phase { from, to, cause: cause.to_owned() });
        };
        let hooks = &shared.journal.hooks;
        if hooks.is_empty() {
            return store();
        }
        let transition = Transition {
            plugin: shared.plugin.clone(),
            instance: shared.instance,
            copy: self.copy,
            generation,
            from,
            to,
            cause: cause.to_owned(),
        };
        let tell = |call: &dyn Fn(&dyn LifecycleHook)| {
            for hook in hooks {
                if let Err(reason) = in_time(&transition, || call(&**hook)) {
                    let phase = self.phase();
                    let cause = format!("a lifecycle hook panicked: {reason}");
                    tracing::error!(plugin = &*shared.plugin, cause);
                    shared.record(generation, What::Phase { from: phase, to: phase, cause });
                }
            }
        };
        tell(&|hook| hook.before(&transition));
        store();
        tell(&|hook| hook.after(&transition));
    }

    /// Enters [`Phase::Ready`]; whatever was wrong is over.
    pub(super) fn ready(&self, shared: &Shared, generation: u32, cause: &str) {
        *self.down.lock() = None;
        self.enter(shared, generation, Phase::Ready, cause);
    }

    /// Enters [`Phase::Faulted`]; only a person, or another artifact, leads out.
    pub(super) fn fault_with(&self, shared: &Shared, cause: &str) {
        *self.down.lock() = Some(Down { cause: cause.to_owned(), retry: None });
        self.enter(shared, 1, Phase::Faulted, cause);
    }

    /// Makes another first start possible.
    pub(super) fn forget_fault(&self, shared: &Shared, generation: u32) {
        *self.down.lock() = None;
        if self.phase() == Phase::Faulted {
            self.enter(shared, generation, Phase::Found, "asked to start again");
        }
    }

    #[inline]
    pub(super) fn count(&self, frame: &Frame, reply: &Reply) {
        let counters = &self.counters;
        if reply.outcome.is_completed() {
            bump(&counters.bytes_out, reply.frames.iter().map(|frame| frame.size() as u64).sum());
        } else {
            bump(&counters.errors, 1);
            if reply.outcome.is_refused() {
                return;
            }
            if reply.outcome != Outcome::Cancelled {
                bump(&counters.failed, 1);
            }
        }
        bump(&counters.processed, 1);
        bump(&counters.bytes_in, frame.size() as u64);
    }

    /// Counts what is only known of a call that was timed.
    pub(super) fn time(&self, took: Duration, memory: Option<u64>) {
        self.counters.latency.add(took);
        self.counters.memory.store(memory.unwrap_or(0), Ordering::Relaxed);
    }
}

impl Cancel for CopyStatus {
    fn cancel(&self) {
        // Under the lock, so that nobody looks before and waits afterwards.
        let _down = self.down.lock();
        self.changed.notify_all();
    }
}

/// Adds to a counter that only the holder of the copy changes: others may read it at any time.
pub(super) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
