//! Ends calls at their deadline: one thread per engine that counts time while calls run.
//!
//! The thread asks the time once per tick, however many calls run, so that a call asks nothing: it
//! compares two numbers. These are times, not ticks: on a busy machine the thread wakes late, and a
//! deadline must not grow by that.
//!
//! The thread knows the copies that are at work and no others, so that a tick costs the same beside
//! a hundred thousand idle ones: a copy joins the list with its first call after a pause, and leaves it
//! when it did nothing for a second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{Trap, UpdateDeadline};

use crate::services::CopyServices;

/// How long one epoch lasts; deadlines are rounded up to it.
const TICK: Duration = Duration::from_millis(5);

/// The most that one tick counts. A thread that wakes later than that was most likely stopped
/// together with all calls, by a suspended machine or a debugger, and calls must not end for it.
const MAX_STEP: Duration = Duration::from_millis(250);

/// Ticks after which the thread looks which copies are still at work.
const LOOK_TICKS: u32 = 200;

/// Counts the epochs of an engine on while calls run, and sleeps while none does.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Time that was counted so far, as of the last tick, in microseconds.
    micros: AtomicU64,
    ended: AtomicBool,
    work: Mutex<Work>,
}

/// The copies that are at work.
#[derive(Default)]
struct Work {
    /// Each with its beats when the thread looked last.
    active: Vec<(Weak<Pulse>, u64)>,
    /// Those that did nothing between two looks. They are forgotten at the next tick, unless a call
    /// began meanwhile that still took the copy for listed: a tick is by orders of magnitude longer than
    /// a store takes to reach other cores.
    leaving: Vec<(Weak<Pulse>, u64)>,
    /// True while the thread sleeps because both are empty.
    asleep: bool,
}

/// Tells the ticker whether one copy of a plugin is at work, and knows when its call must end.
///
/// Only the thread that calls the copy writes `beats` and `began`, so that a call costs no atomic
/// addition.
pub(super) struct Pulse {
    /// Odd while a call runs.
    beats: AtomicU64,
    /// Twice the counted time at which the call began, in microseconds, and 1 more until the first
    /// tick of the call.
    began: AtomicU64,
    /// True while the ticker knows that the copy is at work.
    is_listed: AtomicBool,
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
        Pulse::new(self.state.clone(), thread.thread().clone())
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
        let mut ticks = 0;
        while !self.ended.load(Ordering::SeqCst) {
            std::thread::park_timeout(TICK);
            self.micros.store(clock.tick(Instant::now()), Ordering::Relaxed);
            engine.increment_epoch();
            ticks = (ticks + 1) % LOOK_TICKS;
            if self.work.lock().is_there(ticks == 0) {
                continue;
            }
            while self.work.lock().asleep && !self.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            clock.skip(Instant::now());
        }
    }
}

impl Work {
    /// Forgets those that left, and with `look` finds those that did nothing since the last look. False
    /// if nobody is at work: then the thread sleeps until somebody joins.
    fn is_there(&mut self, look: bool) -> bool {
        for (pulse, beats) in self.leaving.drain(..) {
            let Some(at_work) = pulse.upgrade() else { continue };
            if at_work.beats() != beats && !at_work.is_listed.swap(true, Ordering::Relaxed) {
                self.active.push((pulse, beats));
            }
        }
        if look {
            self.active.retain_mut(|(pulse, before)| {
                let Some(copy) = pulse.upgrade() else { return false };
                let beats = copy.beats();
                let is_idle = beats % 2 == 0 && *before == beats;
                *before = beats;
                if is_idle {
                    copy.is_listed.store(false, Ordering::Relaxed);
                    self.leaving.push((pulse.clone(), beats));
                }
                !is_idle
            });
        }
        self.asleep = self.active.is_empty() && self.leaving.is_empty();
        !self.asleep
    }
}

impl Pulse {
    fn new(state: Arc<State>, thread: Thread) -> Arc<Pulse> {
        let (beats, began) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Pulse { beats, began, is_listed: AtomicBool::new(false), state, thread })
    }

    /// Keeps the epochs going for as long as the result lives, from the beginning of a call.
    pub(super) fn run(self: &Arc<Self>) -> Beat<'_> {
        self.began.store(self.state.micros.load(Ordering::Relaxed) << 1 | 1, Ordering::Relaxed);
        self.beats.store(self.beats().wrapping_add(1) | 1, Ordering::Relaxed);
        // The processor may still swap the two; `Work::leaving` says why that is no harm.
        compiler_fence(Ordering::SeqCst);
        if !self.is_listed.load(Ordering::Relaxed) {
            self.join();
        }
        Beat(self)
    }

    #[cold]
    fn join(self: &Arc<Self>) {
        if self.is_listed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut work = self.state.work.lock();
        // No number of beats is that high, so that the next look finds it at work.
        work.active.push((Arc::downgrade(self), u64::MAX));
        if std::mem::take(&mut work.asleep) {
            self.thread.unpark();
        }
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
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

    /// Answers the engine at every epoch of a call: may it go on?
    pub(super) fn tick(&self, context: &mut CopyServices) -> wasmtime::Result<UpdateDeadline> {
        context
            .check_cancelled()
            .map_err(|cancelled| wasmtime::Error::msg(cancelled.to_string()))?;
        if self.is_overdue(context.deadline()) {
            return Err(Trap::Interrupt.into());
        }
        // Where a limit broke, the plugin may not have been told.
        if let Some(broken) = &context.broken {
            return Err(wasmtime::Error::msg(broken.to_string()));
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

/// A call that is under way.
pub(super) struct Beat<'a>(&'a Pulse);

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        self.0.beats.store((self.0.beats() | 1).wrapping_add(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the milliseconds that a clock counted after it ticked at these distances.
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
            let pulse = Pulse::new(state.clone(), std::thread::current());
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
        // Time that passed before the call began is not the call's, however late the first tick is.
        check(20, 7, &[200], false);
        check(20, 7, &[200, 20], false);
        check(20, 7, &[200, 21], true);
        check(u64::MAX, 0, &[250; 100], false);
    }

    /// Which of many copies the ticker knows after some calls and looks: `c` a call of the first copy,
    /// `b` the beginning of a call of the second, `e` its end, `l` a look, `t` a tick without one.
    #[test]
    fn only_copies_at_work_are_known() {
        fn check(steps: &str, known: usize, is_there: bool) {
            let state = Arc::new(State::default());
            let copies: Vec<_> =
                (0..1000).map(|_| Pulse::new(state.clone(), std::thread::current())).collect();
            let mut long = None;
            for step in steps.chars() {
                match step {
                    'c' => drop(copies[0].run()),
                    'b' => long = Some(copies[1].run()),
                    'e' => drop(long.take()),
                    step => drop(state.work.lock().is_there(step == 'l')),
                }
            }
            let work = state.work.lock();
            assert_eq!(work.active.len() + work.leaving.len(), known, "{steps}");
            assert_eq!(!work.asleep, is_there, "{steps}");
        }
        check("l", 0, false);
        check("c", 1, true);
        check("ccc", 1, true);
        check("cl", 1, true);
        check("cll", 1, true);
        check("cllt", 0, false);
        check("clclcl", 1, true);
        // One that comes back while it leaves is listed once, and stays.
        check("cllc", 2, true);
        check("cllct", 1, true);
        check("cllctl", 1, true);
        // After the end a call wakes the thread.
        check("clltc", 1, true);
        // A long call is one beat, and stays as long as it takes.
        check("blllllt", 1, true);
        check("blllllelt", 1, true);
        check("blllllellt", 0, false);
    }
}
