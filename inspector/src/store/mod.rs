//! The live store: the latest events, in bounded memory, ready to be shown as a table.
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
//! [`decode`](crate::decode). Rows that no longer fit are evicted, oldest first, and counted; the
//! trace file holds the rest.

mod call;
mod events;
mod ingest;
mod lists;
mod live;
mod row;

pub use call::{Call, EndOfCall, HostCallEvent};
pub use events::{Extraction, SavedEvents};
pub use lists::{Denial, LogLine, Notice, NoticeKind, RefusedReload, Reload, Reloaded};
pub use live::{LiveStore, LoadError, Loaded, load};
pub use row::{Row, RowId, Status};

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use glovebox_events::{CallId, Event};
use glovebox_trace::Versions;

use lists::Lists;

/// How much a [`Store`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of frames and host calls, with what it takes to keep them. The host calls of one call
    /// may take a quarter of them, and so may each of the lists.
    pub bytes: usize,
    /// Entries of each list: log lines, notices, denials, reloads.
    pub list: usize,
    /// Bytes of the arguments and of the result of a host call, each; the rest of a longer one is
    /// left out, and [`brief`](glovebox_events::weight::brief) says how much.
    pub host_call: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits { bytes: 64 << 20, list: 10_000, host_call: 4 << 10 }
    }
}

/// The latest events.
#[derive(Debug, Default)]
pub struct Store {
    limits: StoreLimits,
    rows: VecDeque<Row>,
    calls: HashMap<CallId, Call>,
    lists: Lists,
    plugins: Plugins,
    /// Calls that ran before the store was cleared run on.
    versions: Versions,
    counters: Counters,
}

/// Ids of plugins.
#[derive(Debug, Default)]
struct Plugins {
    in_order: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
}

impl Plugins {
    fn add(&mut self, id: &Arc<str>) {
        const MOST: usize = 10_000;
        if self.in_order.len() < MOST && !self.known.contains(id) {
            self.known.insert(id.clone());
            self.in_order.push(id.clone());
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    version: u64,
    /// Rows before the first that is kept, evicted or cleared.
    gone: u64,
    evicted: u64,
    evicted_host_calls: u64,
    bytes: usize,
    /// Time of the first event, in nanoseconds since the Unix epoch.
    start: Option<u64>,
    last_row_at: Option<u64>,
    numbers: Numbers,
}

/// The sequence numbers of the events that came. Events of several threads may come out of order.
#[derive(Debug, Default)]
struct Numbers {
    /// Numbers below this one are those of events before the store was cleared.
    from: u64,
    /// The lowest and the highest.
    range: Option<(u64, u64)>,
    events: u64,
}

impl Numbers {
    fn count(&mut self, number: u64) {
        if number < self.from {
            return;
        }
        let (lowest, highest) = self.range.unwrap_or((number, number));
        self.range = Some((lowest.min(number), highest.max(number)));
        self.events += 1;
    }

    /// Numbers in the range that did not come.
    fn missing(&self) -> u64 {
        let spanned =
            self.range.map_or(0, |(lowest, highest)| (highest - lowest).saturating_add(1));
        spanned.saturating_sub(self.events)
    }

    /// Counts anew the events that come after these.
    fn next(&self) -> Numbers {
        let from = self.range.map_or(self.from, |(_, highest)| highest.saturating_add(1));
        Numbers { from, ..Numbers::default() }
    }
}

impl Store {
    /// An empty store.
    pub fn new(limits: StoreLimits) -> Store {
        Store { limits, ..Store::default() }
    }

    /// Forgets everything but the limits and the reloads; row ids and the version go on.
    pub fn clear(&mut self) {
        let counters = Counters {
            version: self.counters.version + 1,
            gone: self.counters.gone + self.rows.len() as u64,
            numbers: self.counters.numbers.next(),
            ..Counters::default()
        };
        let reloads = std::mem::take(&mut self.lists.reloads);
        let lists = Lists { reloads, ..Lists::default() };
        let versions = std::mem::take(&mut self.versions);
        *self = Store { limits: self.limits, counters, lists, versions, ..Store::default() };
    }

    /// Changes whenever anything in the store does.
    pub fn version(&self) -> u64 {
        self.counters.version
    }

    /// Time of the first event, from which rows count theirs, in nanoseconds since the Unix epoch.
    pub fn start(&self) -> Option<u64> {
        self.counters.start
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
        let index = usize::try_from(id.0.checked_sub(self.counters.gone)?).ok()?;
        (index < self.rows.len()).then_some(index)
    }

    /// The row of this id, unless it was evicted. Constant time.
    pub fn row_by_id(&self, id: RowId) -> Option<&Row> {
        self.rows.get(self.index_of(id)?)
    }

    /// All rows, oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> + ExactSizeIterator {
        self.rows.iter()
    }

    /// Everything kept about a call: its frames, host calls and end. Constant time.
    pub fn call(&self, call: CallId) -> Option<&Call> {
        self.calls.get(&call)
    }

    /// Log lines of all plugins, oldest first.
    pub fn log(&self) -> &VecDeque<LogLine> {
        self.lists.log.entries()
    }

    /// Changes of phase, loads, reloads and failures, oldest first.
    pub fn notices(&self) -> &VecDeque<Notice> {
        self.lists.notices.entries()
    }

    /// Events that belong to no call, oldest first.
    pub fn outside(&self) -> impl Iterator<Item = &Event> {
        self.lists.outside.entries().iter()
    }

    /// Events besides frames that are no longer kept: host calls, and those that belong to no call.
    pub fn others_evicted(&self) -> u64 {
        self.counters.evicted_host_calls + self.lists.outside.evicted()
    }

    /// Host calls that were denied, oldest first.
    pub fn denials(&self) -> &VecDeque<Denial> {
        self.lists.denials.entries()
    }

    /// Reloads that worked and reloads that did not, of all plugins, oldest first.
    pub fn reloads(&self) -> &VecDeque<Reload> {
        self.lists.reloads.entries()
    }

    /// Ids of the plugins seen, in order of appearance: the first 10,000.
    pub fn plugins(&self) -> &[Arc<str>] {
        &self.plugins.in_order
    }

    /// Rows that were evicted.
    pub fn evicted(&self) -> u64 {
        self.counters.evicted
    }

    /// Host calls that were evicted, those of calls that still run included.
    pub fn evicted_host_calls(&self) -> u64 {
        self.counters.evicted_host_calls
    }

    /// Entries of the lists that were evicted.
    pub fn evicted_entries(&self) -> u64 {
        self.lists.evicted()
    }

    /// Events that did not arrive, seen by gaps in the sequence numbers. One that comes late is taken
    /// off again.
    pub fn missing(&self) -> u64 {
        self.counters.numbers.missing()
    }

    /// Bytes held by frames and host calls; above the limit only by the latest row.
    pub fn bytes(&self) -> usize {
        self.counters.bytes
    }
}

#[cfg(test)]
mod tests;
