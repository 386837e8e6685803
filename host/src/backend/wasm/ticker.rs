use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::{Trap, UpdateDeadline};

use crate::context::Context;

/// How long one epoch lasts; deadlines are rounded up to it.
const TICK: Duration = Duration::from_millis(5);

/// Ticks without any call after which the thread goes to sleep.
const IDLE_TICKS: u32 = 200;

/// Counts the epochs of an engine on while calls run, and sleeps while none does.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Epochs so far.
    ticks: AtomicU64,
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
    /// The tick at which the call began.
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

impl State {
    fn run(&self, engine: &wasmtime::Engine) {
        let (mut beats, mut idle) = (0, 0);
        while !self.ended.load(Ordering::SeqCst) {
            std::thread::park_timeout(TICK);
            self.ticks.fetch_add(1, Ordering::Relaxed);
            engine.increment_epoch();
            idle = if self.is_idle(&mut beats) { idle + 1 } else { 0 };
            if idle < IDLE_TICKS {
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
            idle = 0;
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
        self.began.store(self.state.ticks.load(Ordering::Relaxed), Ordering::Relaxed);
        let beats = self.beats.load(Ordering::Relaxed);
        self.beats.store(beats.wrapping_add(1) | 1, Ordering::Relaxed);
        // The processor may still swap the two; `State::run` says why that is no harm.
        compiler_fence(Ordering::SeqCst);
        if self.state.asleep.load(Ordering::Relaxed) {
            self.thread.unpark();
        }
        Running(self)
    }

    /// True if the call under way has run for longer than so many milliseconds.
    pub(super) fn is_overdue(&self, deadline: u64) -> bool {
        let ran = self.state.ticks.load(Ordering::Relaxed) - self.began.load(Ordering::Relaxed);
        // One more, because the epoch in which the call began was not a whole one.
        ran > deadline.div_ceil(TICK.as_millis() as u64)
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
