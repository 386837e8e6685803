//! The chain of calls that one call from outside causes by frames that plugins emit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where a frame comes from: from outside, or from a plugin that emitted it.
///
/// The number of plugins on the way is bounded, and so is the number of all calls that go back to
/// the same one from outside: two plugins that emit ten frames for each would make 10⁸ calls of one
/// within eight steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    hops: u32,
    /// Shared by all that go back to the same call; `None` as long as nothing was emitted.
    caused: Option<Arc<Caused>>,
}

#[derive(Debug, Default)]
struct Caused {
    calls: AtomicU64,
    is_told: AtomicBool,
}

/// A frame from outside.
pub(crate) static OUTSIDE: Chain = Chain { hops: 0, caused: None };

impl Chain {
    /// Gives the chain of the frames that a call emits.
    pub(crate) fn next(&self) -> Chain {
        Chain { hops: self.hops + 1, caused: Some(self.caused.clone().unwrap_or_default()) }
    }

    /// How many plugins it went through.
    pub(crate) fn hops(&self) -> u32 {
        self.hops
    }

    /// Counts one more call; false if that is more than `allowed`.
    pub(crate) fn cause(&self, allowed: u64) -> bool {
        let Some(caused) = &self.caused else { return true };
        caused.calls.fetch_add(1, Ordering::Relaxed) < allowed
    }

    /// True the first time that somebody asks about what goes back to the same call.
    pub(crate) fn is_first_to_tell(&self) -> bool {
        let Some(caused) = &self.caused else { return true };
        !caused.is_told.swap(true, Ordering::Relaxed)
    }
}
