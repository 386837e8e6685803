use std::sync::Arc;

use glovebox_events::{CallId, HostCall, Timing};

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
    /// The host calls of the plugin, with the time in nanoseconds since the Unix epoch.
    pub host_calls: Vec<(u64, HostCall)>,
    /// Its status.
    pub status: Status,
    /// The timing, once it is over.
    pub timing: Option<Timing>,
    /// Bytes of memory the instance held after the call, where the tier can tell.
    pub memory: Option<u64>,
    /// True if the plugin was denied anything.
    pub denied: bool,
    /// Host calls that came before those in [`host_calls`](Self::host_calls) and were evicted.
    pub evicted_host_calls: u64,
    /// Bytes that `host_calls` take.
    pub(super) host_call_bytes: usize,
}
