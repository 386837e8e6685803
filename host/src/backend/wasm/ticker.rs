use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long one epoch lasts; deadlines are rounded up to it.
const TICK_MILLISECONDS: u64 = 5;

/// Counts the epochs of an engine on while calls run, and sleeps while none does.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    running: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> std::io::Result<Ticker> {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread =
            std::thread::Builder::new().name("glovebox-epochs".to_owned()).spawn(move || {
                while !shared.ended.load(Ordering::SeqCst) {
                    shared.asleep.store(true, Ordering::SeqCst);
                    if shared.running.load(Ordering::SeqCst) == 0 {
                        std::thread::park();
                    }
                    shared.asleep.store(false, Ordering::SeqCst);
                    std::thread::park_timeout(Duration::from_millis(TICK_MILLISECONDS));
                    engine.increment_epoch();
                }
            })?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    /// Keeps the epochs going for as long as the result lives.
    pub(super) fn run(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.state)
    }

    /// Epochs from now after which a call of so many milliseconds must have ended.
    pub(super) fn epochs(milliseconds: u64) -> u64 {
        // Two more: one for the rest of the division, one because the epoch that is under way is
        // not a whole one.
        milliseconds / TICK_MILLISECONDS + 2
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

pub(super) struct Running<'a>(&'a State);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
