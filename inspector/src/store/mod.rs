//! The live store: what happened lately, in bounded memory, ready to be shown as a table.
//!
//! A [`Store`] is fed events and holds one [`Row`] per frame; a [`LiveStore`] is the same behind a
//! lock, as a sink for a host. Rows are found by index in constant time, so a virtual table of a
//! million rows paints only what is seen. [`load`] fills a store from a trace file.
//!
//! ```
//! use glovebox_inspector::store::Store;
//!
//! let store = Store::default();
//! assert_eq!(store.len(), 0);
//! assert!(store.row(0).is_none());
//! ```
//!
//! The store deliberately decodes nothing: a frame is decoded when it is selected, see
//! [`decode`](crate::decode). What no longer fits is evicted, oldest first, and counted; the trace
//! file holds the rest.

mod call;
mod lists;
mod live;
mod row;

pub use call::Call;
pub use lists::{Denial, LogLine, Notice, NoticeKind, RefusedReload, Reload, Reloaded};
pub use live::{LiveStore, LoadError, Loaded, load};
pub use row::{Direction, Row, RowId, Status};

use std::collections::VecDeque;
use std::sync::Arc;

use glovebox_events::{CallId, Event};

/// How much a [`Store`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of frames with their host calls.
    pub bytes: usize,
    /// Entries of each list: log lines, notices, denials, reloads.
    pub list: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            bytes: 64 << 20,
            list: 10_000,
        }
    }
}

/// What happened lately.
#[derive(Debug, Default)]
pub struct Store {
    limits: StoreLimits,
    rows: VecDeque<Row>,
}

impl Store {
    /// An empty store.
    pub fn new(limits: StoreLimits) -> Store {
        todo!()
    }
    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        todo!()
    }
    /// Forgets everything but the limits; row ids go on.
    pub fn clear(&mut self) {
        todo!()
    }
    /// Changes whenever anything in the store does.
    pub fn version(&self) -> u64 {
        todo!()
    }
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// The row at `index`, 0 being the oldest that is kept. Constant time.
    ///
    /// Indices move when rows are evicted; remember a [`RowId`] instead.
    pub fn row(&self, index: usize) -> Option<&Row> {
        self.rows.get(index)
    }
    /// Where a row stands now, unless it was evicted. Constant time.
    pub fn index_of(&self, id: RowId) -> Option<usize> {
        todo!()
    }
    /// The row of this id, unless it was evicted. Constant time.
    pub fn row_by_id(&self, id: RowId) -> Option<&Row> {
        todo!()
    }
    /// All rows, oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> + ExactSizeIterator {
        self.rows.iter()
    }
    /// Everything kept about a call: its frames, host calls, log lines and end.
    pub fn call(&self, call: CallId) -> Option<&Call> {
        todo!()
    }
    /// Log lines of all plugins, oldest first.
    pub fn log(&self) -> &VecDeque<LogLine> {
        todo!()
    }
    /// Changes of phase, loads, reloads and failures, oldest first.
    pub fn notices(&self) -> &VecDeque<Notice> {
        todo!()
    }
    /// Host calls that were denied, oldest first.
    pub fn denials(&self) -> &VecDeque<Denial> {
        todo!()
    }
    /// Reloads that worked and reloads that did not, of one plugin, oldest first.
    pub fn reloads(&self, plugin: &str) -> impl Iterator<Item = &Reload> {
        [].iter()
    }
    /// Ids of all plugins seen, in order of appearance.
    pub fn plugins(&self) -> &[Arc<str>] {
        todo!()
    }
    /// Rows that were evicted.
    pub fn evicted(&self) -> u64 {
        todo!()
    }
    /// Events that never arrived, seen by gaps in their sequence numbers.
    pub fn missing(&self) -> u64 {
        todo!()
    }
    /// Bytes held by frames and host calls, never much above the limit.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
