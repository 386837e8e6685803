//! The line that the list shows of a row.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Kind;
use glovebox_events::CallId;
use glovebox_events::Direction;
use glovebox_inspector::store::{Row, RowId, Status, Store};
use glovebox_trace::Statuses;

/// The line that the list shows of a row: everything but the frame itself.
#[derive(Debug, Clone)]
pub struct RowLine {
    /// Names the row.
    pub id: RowId,
    /// The call it belongs to.
    pub call: CallId,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The direction of the frame.
    pub direction: Direction,
    /// True for an output that was sent with the service `emit`.
    pub emitted: bool,
    /// The kind of the frame.
    pub kind: Kind,
    /// Bytes of the encoded frame.
    pub size: u64,
    /// Since the first event of the source.
    pub since_start: Duration,
    /// Since the row before, if that is known.
    pub since_previous: Option<Duration>,
    /// The status of the call.
    pub status: Status,
    /// Latency of the call, once it is over.
    pub latency: Option<Duration>,
    /// The statuses that the host calls of its call add.
    pub beside: Statuses,
    /// False if the end of the call may be in a part of the trace that was not scanned yet.
    pub end_known: bool,
    /// True if nothing else of the call is there: no answer, no end.
    pub alone: bool,
}

impl RowLine {
    /// `ends_known` if a call without an end has none; `has_previous` if the row before was there.
    pub(super) fn of(row: &Row, store: &Store, ends_known: bool, has_previous: bool) -> RowLine {
        let is_pending = row.status == Status::Pending;
        let call = store.call(row.call).filter(|_| is_pending);
        RowLine {
            id: row.id,
            call: row.call,
            plugin: Arc::clone(&row.plugin),
            instance: row.instance,
            direction: row.direction,
            emitted: row.emitted,
            kind: row.kind(),
            size: row.size(),
            since_start: row.since_start,
            since_previous: has_previous.then_some(row.since_previous),
            status: row.status.clone(),
            latency: row.latency,
            beside: row.beside,
            end_known: ends_known || !is_pending,
            alone: call.is_some_and(|call| call.rows.len() == 1 && call.host_calls.is_empty()),
        }
    }
}
