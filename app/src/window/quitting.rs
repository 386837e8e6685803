//! The steps of closing the window.

use crate::workbench::TraceId;

/// How far closing the window is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quitting {
    /// Nobody wants it, or nobody was asked yet.
    #[default]
    No,
    /// The unsaved work is being saved, one after the other, and then the window closes.
    Saving(Step),
    /// It closes, whatever is unsaved.
    Agreed,
}

/// The next thing to save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The decisions about differences.
    Decisions,
    /// The policy.
    Policy,
    /// The first replay that is in no file.
    Replay,
    /// The one after this.
    ReplayAfter(TraceId),
    /// The live frames, which were saved so often before.
    LiveAfter(u64),
}
