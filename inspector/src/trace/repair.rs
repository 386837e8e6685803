use std::path::Path;

use serde::Serialize;

use super::{TraceError, TraceInfo};

/// Bytes of a trace that are bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong with them.
    pub reason: String,
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What can be read.
    pub info: TraceInfo,
    /// What cannot, in order.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// True if the file is finished, undamaged, and no event was lost while recording.
    pub fn is_good(&self) -> bool {
        self.info.complete && self.problems.is_empty() && self.info.lost_events == 0
    }
}

/// Reads all of a trace and locates every problem.
///
/// # Errors
///
/// If the file cannot be opened or is no trace.
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport, TraceError> {
    todo!()
}

/// What [`recover`] saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverReport {
    /// What was read, and so what the new file holds.
    pub recovered: TraceInfo,
    /// What could not be read.
    pub lost: Vec<Problem>,
    /// Numbers missing between the first and the last sequence number: events that are gone.
    pub missing_events: u64,
}

impl RecoverReport {
    /// True if every event between the first and the last is there.
    pub fn is_lossless(&self) -> bool {
        self.lost.is_empty() && self.missing_events == 0
    }
}

/// Writes all that can be read of a trace to a new, finished file.
///
/// # Errors
///
/// If the trace cannot be opened or the new file cannot be written.
pub fn recover(path: impl AsRef<Path>, out: impl AsRef<Path>) -> Result<RecoverReport, TraceError> {
    todo!()
}
