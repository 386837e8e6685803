//! The chain of calls that one call from outside causes by frames that plugins emit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use glovebox_events::What;

use crate::services::InstanceServices;

/// Where a frame comes from: from outside, or from a plugin that emitted it.
///
/// The number of plugins on the way is bounded, and so is the number of all calls that go back to
/// the same one from outside: two plugins that emit ten frames for each would make 10⁸ calls of one
/// within eight steps.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    hops: u32,
    /// InstanceServices by all that go back to the same call; `None` as long as nothing was emitted.
    caused: Option<Arc<Caused>>,
}

#[derive(Default)]
struct Caused {
    calls: AtomicU64,
    /// Frames that were dropped because this went too far.
    dropped: AtomicU64,
    /// The first plugin of which one was, which tells how many more were.
    teller: OnceLock<Teller>,
}

/// A plugin that tells of frames that were dropped.
pub(super) struct Teller {
    pub(super) shared: Arc<InstanceServices>,
    pub(super) generation: u32,
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

    /// Counts a frame that is dropped because this goes too far; true for the first. Once nothing goes
    /// back to the same call any more, the teller of the first says how many more there were.
    pub(super) fn is_told(&self, teller: impl FnOnce() -> Teller) -> bool {
        let Some(caused) = &self.caused else { return true };
        let is_first = caused.dropped.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first {
            caused.teller.get_or_init(teller);
        }
        is_first
    }
}

impl Drop for Caused {
    fn drop(&mut self) {
        let more = self.dropped.get_mut().saturating_sub(1);
        if let (1.., Some(Teller { shared, generation })) = (more, self.teller.get()) {
            let reason = "as the one before, and they go back to the same call".to_owned();
            shared.record(*generation, What::FramesDropped { frames: more, reason });
        }
    }
}
