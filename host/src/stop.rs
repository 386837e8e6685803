//! The reason why a call did not complete, for the code that makes the call.

use glovebox_events::Outcome;

/// Why a call did not complete.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The copy goes on.
    Alive(Outcome),
    /// The copy must be thrown away.
    Dead(Outcome),
}

impl Stop {
    pub(crate) fn into_outcome(self) -> Outcome {
        match self {
            Stop::Alive(outcome) | Stop::Dead(outcome) => outcome,
        }
    }
}
