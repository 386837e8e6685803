//! Times and durations of painted frames.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::window::shell::Pulse;

/// A pause between two painted frames that counts as doing nothing.
const IDLE: Duration = Duration::from_millis(300);

/// When frames were painted.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) program_started: Instant,
    pub(super) startup: Option<Duration>,
    pub(super) painted: u64,
    pub(super) slowest: Duration,
    recent: VecDeque<Instant>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            program_started: Instant::now(),
            startup: None,
            painted: 0,
            slowest: Duration::ZERO,
            recent: VecDeque::new(),
        }
    }
}

impl Clock {
    /// How fast frames are painted; asks for one more frame to notice that nothing happens.
    pub(super) fn pulse(&mut self, ctx: &egui::Context) -> Pulse {
        let now = Instant::now();
        let pause = self.recent.back().map(|last| now - *last);
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|first| now - *first > Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        if pause.is_none_or(|pause| pause >= IDLE) {
            return Pulse::Idle;
        }
        ctx.request_repaint_after(IDLE + Duration::from_millis(20));
        Pulse::Fps(self.recent.len())
    }

    /// Notes that the program is there, if it was not yet.
    pub(super) fn note_startup(&mut self) {
        self.startup.get_or_insert_with(|| self.program_started.elapsed());
    }

    /// Notes a frame that took so long, logic and painting together.
    pub(super) fn note_frame(&mut self, took: Duration) {
        self.painted += 1;
        self.note_startup();
        self.slowest = self.slowest.max(took);
    }
}
