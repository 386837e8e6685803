//! The result of a call.

use glovebox_events::{CallId, Outcome};

use crate::frames::Frames;
use crate::task::Lost;

/// The result of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The call, as events name it. Without a sink, a waker and timed calls it is 0, except for refusals
    /// of the host, which have a number always.
    pub call: CallId,
    /// The outcome.
    pub outcome: Outcome,
    /// The answer of the plugin. Empty if it did not complete, unless its manifest says `on-failure
    /// = "fail-open"`: then it is the frame that was given.
    pub frames: Frames,
}

impl Default for Reply {
    /// An empty answer of no call.
    fn default() -> Reply {
        Reply { call: CallId(0), outcome: Outcome::Completed, frames: Frames::new() }
    }
}

impl Lost for Reply {
    fn lost(reason: String) -> Reply {
        Reply { outcome: Outcome::lost(reason), ..Reply::default() }
    }
}

impl Lost for Vec<Reply> {
    /// Empty, if nobody says how many were waited for.
    fn lost(reason: String) -> Vec<Reply> {
        Self::lost_all(reason, 0)
    }

    fn lost_all(reason: String, count: usize) -> Vec<Reply> {
        vec![Reply::lost(reason); count]
    }
}
