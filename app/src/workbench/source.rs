//! Names frames: their source, and their row.

use glovebox_inspector::store::RowId;

use super::trace::TraceId;

/// Where the frames come from that the window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Source {
    /// Live frames.
    #[default]
    Live,
    /// An open trace.
    Trace(TraceId),
}

/// A row of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowRef {
    /// Where it is.
    pub source: Source,
    /// The row.
    pub row: RowId,
}
