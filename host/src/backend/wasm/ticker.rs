//! Ends calls at their deadline: one thread per engine that counts time while calls run.
//!
//! The thread asks the time once per tick, however many calls run, so that a call asks nothing: it
//! compares two numbers. What is compared is time that passed, not ticks: on a busy machine the
//! thread wakes late, and a deadline must not grow by that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{Trap, UpdateDeadline};

use crate::context::Context;

/// How long one epoch lasts; deadlines are rounded up to it.
const TICK: Duration = Duration::from_millis(5);

/// The most that one tick counts. A thread that wakes later than that was most likely stopped
/// together with all calls, by a suspended machine or a debugger, and calls must not end for it.
const MAX_STEP: Duration = Duration::from_millis(250);

/// Ticks after which the thread looks whether there still are calls, and sleeps if not.
const IDLE_TICKS: u32 = 200;

/// Counts the epochs of an engine on while calls run, and sleeps while none does.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Time that was counted so far, as of the last tick, in microseconds.
    micros: AtomicU64,
    asleep: AtomicBool,
    ended: AtomicBool,
    pulses: Mutex<Vec<Weak<Pulse>>>,
}

/// Tells the ticker whether one copy of a plugin is at work, and knows when its call must end.
///
/// Only the thread that calls the copy writes here, so that a call costs no atomic addition.
pub(super) struct Pulse {
    /// Odd while a call runs.
    beats: AtomicU64,
    /// Twice the counted time at which the call began, in microseconds, and 1 more until the first
    /// tick of the call.
    began: AtomicU64,
    state: Arc<State>,
    thread: Thread,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> std::io::Result<Ticker> {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread = std::thread::Builder::new()
            .name("glovebox-epochs".to_owned())
            .spawn(move || shared.run(&engine))?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    /// The pulse of a new copy.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        let thread = self.thread.as_ref().expect("the thread is only taken out by `drop`");
        let pulse = Arc::new(Pulse {
            beats: AtomicU64::new(0),
            began: AtomicU64::new(0),
            state: self.state.clone(),
            thread: thread.thread().clone(),
        });
        self.state.pulses.lock().push(Arc::downgrade(&pulse));
        pulse
    }
}

/// The time that is counted: what passed between ticks, without the time of a suspended machine.
struct Clock {
    last: Instant,
    counted: Duration,
}

impl Clock {
    fn new(now: Instant) -> Clock {
        Clock { last: now, counted: Duration::ZERO }
    }

    /// Counts on; gives all that was counted in microseconds.
    fn tick(&mut self, now: Instant) -> u64 {
        self.counted += now.saturating_duration_since(self.last).min(MAX_STEP);
        self.last = now;
        micros(self.counted)
    }

    /// Counts on from `now`, without what passed before.
    fn skip(&mut self, now: Instant) {
        self.last = now;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl State {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut clock = Clock::new(Instant::now());
        let (mut beats, mut ticks) = (0, 0);
        while !self.ended.load(Ordering::SeqCst) {
            std::thread::park_timeout(TICK);
            self.micros.store(clock.tick(Instant::now()), Ordering::Relaxed);
            engine.increment_epoch();
            // Not at every tick: to look at all copies takes longer the more there are.
            ticks += 1;
            if ticks < IDLE_TICKS {
                continue;
            }
            ticks = 0;
            if !self.is_idle(&mut beats) {
                continue;
            }
            // A call that begins now either sees that this thread is asleep, or its beat is seen
            // here: a tick is by orders of magnitude longer than a store takes to reach other cores.
            self.asleep.store(true, Ordering::SeqCst);
            std::thread::park_timeout(TICK);
            if self.is_idle(&mut beats) && !self.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            clock.skip(Instant::now());
        }
    }

    /// True if no call runs, and none ran since `beats` was taken.
    fn is_idle(&self, beats: &mut u64) -> bool {
        let (mut sum, mut running) = (0u64, false);
        self.pulses.lock().retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else { return false };
            let beats = pulse.beats.load(Ordering::Relaxed);
            running |= beats % 2 == 1;
            sum = sum.wrapping_add(beats);
            true
        });
        let before = std::mem::replace(beats, sum);
        !running && before == sum
    }
}

impl Pulse {
    /// Keeps the epochs going for as long as the result lives, from the beginning of a call.
    pub(super) fn run(&self) -> Running<'_> {
        self.began.store(self.state.micros.load(Ordering::Relaxed) << 1 | 1, Ordering::Relaxed);
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats.wrapping_add(1) | 1, Ordering::Relaxed);
        // The processor may still swap the two; `State::run` says why that is no harm.
        compiler_fence(Ordering::SeqCst);
        if self.state.asleep.load(Ordering::Relaxed) {
            self.thread.unpark();
        }
        Running(self)
    }

    /// True if the call under way has run for longer than so many milliseconds. Only for the thread
    /// that makes the call.
    pub(super) fn is_overdue(&self, deadline: u64) -> bool {
        let now = self.state.micros.load(Ordering::Relaxed);
        let began = self.began.load(Ordering::Relaxed);
        let (mut began, is_first) = (began >> 1, began & 1 == 1);
        if is_first && now > began {
            // The tick before the call may have been long ago, and the call must not pay for that.
            began = began.max(now.saturating_sub(micros(TICK)));
            self.began.store(began << 1, Ordering::Relaxed);
        }
        // One more tick, because the call began somewhere within the first one.
        now - began > deadline.saturating_mul(1000).saturating_add(micros(TICK))
    }

    /// What the engine asks at every epoch of a call: may it go on?
    pub(super) fn tick(&self, context: &mut Context) -> wasmtime::Result<UpdateDeadline> {
        context
            .check_cancelled()
            .map_err(|cancelled| wasmtime::Error::msg(cancelled.to_string()))?;
        if self.is_overdue(context.deadline()) {
            return Err(Trap::Interrupt.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

pub(super) struct Running<'a>(&'a Pulse);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let beats = self.0.beats.load(Ordering::Relaxed);
        self.0.beats.store((beats | 1).wrapping_add(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a clock counts in milliseconds after it ticked at these distances.
    #[test]
    fn time_is_counted_and_not_ticks() {
        fn check(steps: &[u64], expected: u64) {
            let mut now = Instant::now();
            let mut clock = Clock::new(now);
            let mut counted = 0;
            for step in steps {
                now += Duration::from_millis(*step);
                counted = clock.tick(now);
            }
            assert_eq!(counted, expected * 1000, "{steps:?}");
        }
        check(&[], 0);
        check(&[5, 5, 5], 15);
        check(&[50, 70, 5], 125);
        // A machine that was suspended for a minute, and one for a day.
        check(&[5, 60_000, 5], 260);
        check(&[86_400_000], 250);
    }

    /// Whether a call is overdue that begins when `before` is counted and sees these ticks.
    #[test]
    fn a_call_is_overdue_after_its_deadline_however_late_the_ticks_are() {
        fn check(deadline: u64, before: u64, ticks: &[u64], expected: bool) {
            let state = Arc::new(State::default());
            state.micros.store(before * 1000, Ordering::Relaxed);
            let pulse = Pulse {
                beats: AtomicU64::new(0),
                began: AtomicU64::new(0),
                state: state.clone(),
                thread: std::thread::current(),
            };
            let running = pulse.run();
            let mut overdue = false;
            for tick in ticks {
                state.micros.fetch_add(tick * 1000, Ordering::Relaxed);
                overdue = pulse.is_overdue(deadline);
            }
            drop(running);
            assert_eq!(overdue, expected, "{deadline} ms after {ticks:?}");
        }
        check(20, 0, &[5, 5, 5, 5, 5], false);
        check(20, 0, &[5, 5, 5, 5, 5, 5], true);
        check(20, 1000, &[5, 5, 5, 5, 5, 5], true);
        // Ten ticks of a busy machine are half a second.
        check(400, 7, &[50; 9], false);
        check(400, 7, &[50; 10], true);
        // What passed before the call began is not the call's, however late the first tick is.
        check(20, 7, &[200], false);
        check(20, 7, &[200, 20], false);
        check(20, 7, &[200, 21], true);
        check(u64::MAX, 0, &[250; 100], false);
    }
}
