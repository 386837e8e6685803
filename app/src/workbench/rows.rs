//! The rows of a source, whether they are in memory or read from a file when they are looked at.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Kind;
use glovebox_events::CallId;
use glovebox_inspector::store::{Direction, Row, RowId, Status, Store};

use super::Pages;

/// The rows of a source.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// All that are kept are in memory.
    Here(&'a Store),
    /// They are in a file.
    Paged(&'a Pages),
}

/// What the list shows of a row: everything but the frame itself.
#[derive(Debug, Clone)]
pub struct RowLine {
    /// Names the row.
    pub id: RowId,
    /// The call it belongs to.
    pub call: CallId,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Which way the frame went.
    pub direction: Direction,
    /// True for an output that was sent with the service `emit`.
    pub emitted: bool,
    /// What sort of frame.
    pub kind: Kind,
    /// Bytes of the encoded frame.
    pub size: u64,
    /// Since the first event of the source.
    pub since_start: Duration,
    /// Since the row before, if that is known.
    pub since_previous: Option<Duration>,
    /// Where the call stands.
    pub status: Status,
    /// Latency of the call, once it is over.
    pub latency: Option<Duration>,
    /// True if the plugin was denied anything during the call.
    pub denied: bool,
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
            direction: row.direction,
            emitted: row.emitted,
            kind: row.kind(),
            size: row.size(),
            since_start: row.since_start,
            since_previous: has_previous.then_some(row.since_previous),
            status: row.status.clone(),
            latency: row.latency,
            denied: row.denied,
            end_known: ends_known || !is_pending,
            alone: call.is_some_and(|call| call.rows.len() == 1 && call.host_calls.is_empty()),
        }
    }
}

impl Rows<'_> {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Rows::Here(store) => store.len(),
            Rows::Paged(pages) => usize::try_from(pages.frames()).unwrap_or(usize::MAX),
        }
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The row at an index, 0 being the oldest that is kept.
    pub fn id_at(self, index: usize) -> Option<RowId> {
        match self {
            Rows::Here(store) => store.row(index).map(|row| row.id),
            Rows::Paged(_) => (index < self.len()).then_some(RowId(index as u64)),
        }
    }

    /// Where a row stands, if it is there.
    pub fn index_of(self, id: RowId) -> Option<usize> {
        match self {
            Rows::Here(store) => store.index_of(id),
            Rows::Paged(_) => usize::try_from(id.0).ok().filter(|index| *index < self.len()),
        }
    }

    /// The first row at or after a time since the start; in a file a few hundred too early, and not
    /// known before the file was scanned.
    pub fn row_at(self, since_start: Duration) -> Option<RowId> {
        match self {
            Rows::Here(store) => {
                let (mut first, mut end) = (0, store.len());
                while first < end {
                    let middle = first.midpoint(end);
                    match store.row(middle) {
                        Some(row) if row.since_start < since_start => first = middle + 1,
                        _ => end = middle,
                    }
                }
                store.row(first).map(|row| row.id)
            }
            Rows::Paged(pages) => {
                let index = pages.index()?;
                let (start, _) = index.info().range?;
                let since = u64::try_from(since_start.as_nanos()).ok()?;
                let row = index.row_at(start.saturating_add(since));
                (row < index.frames()).then_some(RowId(row))
            }
        }
    }

    /// What the list shows of a row; `None` if it is evicted, or was not read yet.
    pub fn line(self, id: RowId) -> Option<RowLine> {
        match self {
            Rows::Here(store) => store.row_by_id(id).map(|row| RowLine::of(row, store, true, true)),
            Rows::Paged(pages) => pages.line(id),
        }
    }

    /// Says which rows are seen, in order, so that those in a file are read.
    pub fn want(self, rows: impl FnOnce() -> Vec<RowId>) {
        if let Rows::Paged(pages) = self {
            pages.want(rows().into_iter().map(|row| row.0).collect());
        }
    }
}
