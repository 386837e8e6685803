//! The counts of a host's queues so far.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The counts of a host's queues so far, all plugins together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DispatchStats {
    /// Instances that were loaded.
    pub loaded: u64,
    /// Instances that were ended.
    pub unloaded: u64,
    /// Frames that were queued.
    pub dispatched: u64,
    /// Times that a queue had no room, or took nothing more.
    pub refused: u64,
    /// Queued frames whose call did not complete.
    pub errors: u64,
    /// Frames that no plugin got: nobody accepts their kind, or there is no plugin of the name that
    /// they are for.
    pub undelivered: u64,
    /// Times that an emitted frame was dropped because the call that caused it had caused too many
    /// calls already, or because it came through too many plugins.
    pub beyond_budget: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct DispatchCounters {
    loaded: AtomicU64,
    unloaded: AtomicU64,
    dispatched: AtomicU64,
    refused: AtomicU64,
    errors: AtomicU64,
    undelivered: AtomicU64,
    beyond_budget: AtomicU64,
}

impl DispatchCounters {
    pub(crate) fn exceed_budget(&self) {
        self.beyond_budget.fetch_add(1, Relaxed);
    }

    pub(crate) fn load(&self) {
        self.loaded.fetch_add(1, Relaxed);
    }

    pub(crate) fn unload(&self) {
        self.unloaded.fetch_add(1, Relaxed);
    }

    pub(crate) fn dispatch(&self, frames: u64) {
        self.dispatched.fetch_add(frames, Relaxed);
    }

    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn fail(&self, frames: u64) {
        self.errors.fetch_add(frames, Relaxed);
    }

    pub(crate) fn lose(&self) {
        self.undelivered.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> DispatchStats {
        DispatchStats {
            loaded: self.loaded.load(Relaxed),
            unloaded: self.unloaded.load(Relaxed),
            dispatched: self.dispatched.load(Relaxed),
            refused: self.refused.load(Relaxed),
            errors: self.errors.load(Relaxed),
            undelivered: self.undelivered.load(Relaxed),
            beyond_budget: self.beyond_budget.load(Relaxed),
        }
    }
}
