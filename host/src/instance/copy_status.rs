//! The status of one copy: its phase, why it cannot go on, and its counters.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::latency::LatencyCells;
use glovebox_events::{NoteKind, Outcome, Phase, What};
use parking_lot::{Condvar, Mutex};

use crate::record::{LifecycleHook, Transition, in_time};
use crate::reply::Reply;
use crate::services::{Cancel, InstanceServices};

/// The status of one copy, which anybody may read at any time. The thread that starts, holds or ends
/// the copy changes it. Others may change the phase beside that, to say that it drains or cannot start:
/// so a change holds only if the phase is still the one that it began from.
pub(super) struct CopyStatus {
    pub(super) copy: u32,
    phase: AtomicU8,
    /// True once no new frames come.
    drains: AtomicBool,
    /// True once it is about to be taken out of its cell for good.
    ends: AtomicBool,
    pub(super) down: Mutex<Option<Down>>,
    /// Notified when what `down` says changed, or who waits for it is to look.
    changed: Condvar,
    /// Failures in a row.
    pub(super) failures: AtomicU32,
    counters: Counters,
    /// True if it was started with better code than that of its generation.
    has_better_code: AtomicBool,
    /// Times of calls count from here.
    made: Instant,
    /// When the call under way began, in nanoseconds after `made` and one more; 0 without one.
    began: AtomicU64,
    /// The tasks after a call: the care that it is due and did not get yet, as bits of
    /// [`Care`], [`KEEPS_FRAMES`] and [`SHADOWED`].
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

/// The bit that says that a shadow makes the calls again.
const SHADOWED: u8 = 1 << 5;

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
            drains: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            down: Mutex::default(),
            changed: Condvar::new(),
            failures: AtomicU32::new(0),
            counters: Counters::default(),
            has_better_code: AtomicBool::new(false),
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

    /// Whether a shadow makes the calls again from now on.
    pub(super) fn shadow_calls(&self, shadows: bool) {
        match shadows {
            true => self.wants.fetch_or(SHADOWED, Ordering::Relaxed),
            false => self.wants.fetch_and(!SHADOWED, Ordering::Relaxed),
        };
    }

    pub(super) fn is_shadowed(&self) -> bool {
        self.wants.load(Ordering::Relaxed) & SHADOWED != 0
    }

    pub(super) fn keeps_frames(&self) -> bool {
        self.wants.load(Ordering::Relaxed) & KEEPS_FRAMES != 0
    }

    /// True for the first who asks while it is due care: the one to give it.
    pub(super) fn begin_care(&self) -> bool {
        if self.wants.load(Ordering::Relaxed) & !(KEEPS_FRAMES | SHADOWED) == 0 {
            return false;
        }
        let wants = self.wants.fetch_or(IS_CARED_FOR, Ordering::Relaxed);
        wants & IS_CARED_FOR == 0
    }

    /// The care that it is due, which the caller gives now.
    pub(super) fn take_care(&self) -> impl Iterator<Item = Care> + use<> {
        let due = self.wants.fetch_and(KEEPS_FRAMES | SHADOWED, Ordering::Relaxed);
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

    /// Fresh copies that were started, or tried to, after the first.
    pub(super) fn restarts(&self) -> u64 {
        self.counters.restarts.load(Ordering::Relaxed)
    }

    /// Notes which code it was started with.
    pub(super) fn set_better_code(&self, has_it: bool) {
        self.has_better_code.store(has_it, Ordering::Relaxed);
    }

    /// True if it was started with better code than that of its generation.
    pub(super) fn has_better_code(&self) -> bool {
        self.has_better_code.load(Ordering::Relaxed)
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Acquire))]
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

    /// Lets no frame wait for a fresh copy any longer: the copy is about to end for good.
    pub(super) fn end_waits(&self) {
        self.ends.store(true, Ordering::Release);
        self.cancel();
    }

    /// True once the copy is about to end for good.
    pub(super) fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// Changes the phase, tells the hooks and records it. Does nothing if the copy is there already. A
    /// copy that drains is draining wherever another one would get ready or be it.
    pub(super) fn enter(&self, shared: &InstanceServices, generation: u32, to: Phase, cause: &str) {
        self.change(shared, generation, cause, |from| match to {
            Phase::Ready if self.drains.load(Ordering::Acquire) => Some(Phase::Draining),
            Phase::Found | Phase::Loaded | Phase::Initializing if from == Phase::Draining => None,
            to => Some(to),
        });
    }

    /// Enters the phase that comes next after the one at the time, if there is one. If another thread
    /// changes the phase meanwhile, `next` is asked again.
    fn change(
        &self,
        shared: &InstanceServices,
        generation: u32,
        cause: &str,
        next: impl Fn(Phase) -> Option<Phase>,
    ) {
        loop {
            let from = self.phase();
            let Some(to) = next(from).filter(|to| *to != from) else { return };
            if !from.may_become(to) {
                tracing::error!(plugin = &*shared.plugin, %from, %to, cause, "an illegal transition");
                debug_assert!(false, "{from} → {to}: {cause}");
                return;
            }
            if self.move_on(shared, generation, from, to, cause) {
                return;
            }
        }
    }

    /// Changes the phase, tells the hooks and records it. False if the phase is `from` no more: the hooks have
    /// heard that it is about to change then, and nothing else.
    fn move_on(
        &self,
        shared: &InstanceServices,
        generation: u32,
        from: Phase,
        to: Phase,
        cause: &str,
    ) -> bool {
        let store = || {
            let (ok, err) = (Ordering::AcqRel, Ordering::Acquire);
            if self.phase.compare_exchange(from as u8, to as u8, ok, err).is_err() {
                return false;
            }
            tracing::debug!(plugin = &*shared.plugin, %from, %to, cause, "phase");
            shared.record(generation, What::Phase { from, to, cause: cause.to_owned() });
            true
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
                    let text = format!("a lifecycle hook panicked: {reason}");
                    tracing::error!(plugin = &*shared.plugin, text);
                    shared.record(generation, What::Note { kind: NoteKind::Application, text });
                }
            }
        };
        tell(&|hook| hook.before(&transition));
        let is_stored = store();
        if is_stored {
            tell(&|hook| hook.after(&transition));
        }
        is_stored
    }

    /// No new frames come: enters [`Phase::Draining`] where that may follow, now and whenever it would
    /// be ready again.
    pub(super) fn begin_draining(&self, shared: &InstanceServices, generation: u32, cause: &str) {
        self.drains.store(true, Ordering::Release);
        self.change(shared, generation, cause, |from| {
            from.may_become(Phase::Draining).then_some(Phase::Draining)
        });
    }

    /// Enters [`Phase::Ready`]; whatever was wrong is over.
    pub(super) fn ready(&self, shared: &InstanceServices, generation: u32, cause: &str) {
        *self.down.lock() = None;
        self.enter(shared, generation, Phase::Ready, cause);
    }

    /// Enters [`Phase::Faulted`] where that may follow; only a person, or another artifact, leads out.
    pub(super) fn fault_with(&self, shared: &InstanceServices, generation: u32, cause: &str) {
        *self.down.lock() = Some(Down { cause: cause.to_owned(), retry: None });
        self.change(shared, generation, cause, |from| {
            from.may_become(Phase::Faulted).then_some(Phase::Faulted)
        });
    }

    /// Makes another first start possible.
    pub(super) fn forget_fault(&self, shared: &InstanceServices, generation: u32) {
        *self.down.lock() = None;
        self.change(shared, generation, "asked to start again", |from| {
            (from == Phase::Faulted).then_some(Phase::Found)
        });
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

#[cfg(test)]
mod tests {
    use glovebox_abi::{Failure, Manifest, Plugin, Services};

    use super::*;
    use crate::host::Host;
    use crate::load::LoadRequest;

    struct Nothing;

    impl Plugin for Nothing {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_copy_that_drains_is_not_ready_any_more() {
        let host = Host::builder().build().unwrap();
        let request = LoadRequest::core(Manifest::bare("nothing"), || Box::new(Nothing));
        let instance = host.instance(host.load(request).wait().unwrap()).unwrap();
        let shared = &instance.shared;
        let check = |steps: &[Phase], drains_after: usize, expected: Phase| {
            let status = CopyStatus::new(0);
            for (number, step) in steps.iter().enumerate() {
                if number == drains_after {
                    status.begin_draining(shared, 1, "drains");
                }
                match step {
                    Phase::Ready => status.ready(shared, 1, "ready"),
                    Phase::Faulted => status.fault_with(shared, 1, "broken"),
                    phase => status.enter(shared, 1, *phase, "a step"),
                }
            }
            if drains_after == steps.len() {
                status.begin_draining(shared, 1, "drains");
            }
            assert_eq!(status.phase(), expected, "{steps:?}, {drains_after}");
        };
        use Phase::*;
        let start = [Loaded, Initializing, Ready];
        (0..=3).for_each(|drains_after| check(&start, drains_after, Draining));
        // As when a permission changes for a frame that still waits.
        let again = [Loaded, Initializing, Ready, Restarting, Ready];
        (0..=5).for_each(|drains_after| check(&again, drains_after, Draining));
        let crash = [Loaded, Initializing, Ready, Faulted, Restarting, Faulted, Quarantined];
        (0..7).for_each(|drains_after| check(&crash, drains_after, Quarantined));
        let ended = [Loaded, Initializing, Ready, Draining, Stopped];
        check(&ended, 5, Stopped);
        // One that sleeps and did not start, and is asked to once more.
        let asleep = [Loaded, Faulted, Loaded, Initializing, Ready];
        check(&asleep, 2, Draining);
    }
}
