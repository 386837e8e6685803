use std::sync::Arc;

use glovebox_events::{CallId, HostCall, Timing};
use glovebox_trace::Statuses;

use super::{RowId, Status};

/// Everything kept about one call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its number.
    pub id: CallId,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Its frames, in order; some may be evicted already.
    pub rows: Vec<RowId>,
    /// The host calls of the plugin.
    pub host_calls: Vec<HostCallEvent>,
    /// Its status.
    pub status: Status,
    /// The timing, once it is over.
    pub timing: Option<Timing>,
    /// Bytes of memory the instance held after the call, where the tier can tell.
    pub memory: Option<u64>,
    /// When it was over, and how much it took, if its end came.
    pub end: Option<EndOfCall>,
    /// The statuses that its host calls add.
    pub beside: Statuses,
    /// Host calls that came before those in [`host_calls`](Self::host_calls) and were evicted.
    pub evicted_host_calls: u64,
    /// Bytes that `host_calls` take.
    pub(super) host_call_bytes: usize,
}

/// A host call, as its event said it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostCallEvent {
    /// The number of the event.
    pub sequence: u64,
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// The host call.
    pub host_call: HostCall,
}

/// The end of a call, as its event said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOfCall {
    /// The number of the event.
    pub sequence: u64,
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Bytes of the encoded input frame.
    pub bytes_in: u64,
    /// Bytes of the encoded output frames.
    pub bytes_out: u64,
    /// Number of output frames.
    pub frames_out: u32,
}
