//! Progress of verbs that read large traces: one line on stderr, overwritten each time.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// Says now and then how far a verb is, if a person is there to see it.
#[derive(Debug)]
pub(super) struct Progress {
    doing: &'static str,
    percent: AtomicU64,
    is_seen: bool,
}

impl Progress {
    pub(super) fn new(doing: &'static str) -> Progress {
        let is_seen = io::stderr().is_terminal();
        Progress { doing, percent: AtomicU64::new(0), is_seen }
    }

    /// So much of it all is done.
    pub(super) fn at(&self, done: u64, all: u64) {
        let percent = done.saturating_mul(100) / all.max(1);
        if self.is_seen && self.percent.fetch_max(percent, Ordering::Relaxed) < percent {
            let end = if percent >= 100 { "\r\x1b[K" } else { "" };
            // A closed stderr is no failure.
            let _ = write!(io::stderr().lock(), "\r{} {percent} %{end}", self.doing);
        }
    }
}
