//! The rows of a source that match the filter: in a store found step by step, so that no frame
//! waits, in a file by a search of the workbench.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use glovebox_inspector::filter::Filter;
use glovebox_inspector::search::{NO_FIGURE, Order, RowSet};
use glovebox_inspector::store::{Row, RowId, Status, Store};
use parking_lot::Mutex;

use crate::workbench::{Pages, Rows, Search, SearchStage, Source};

/// Rows that are looked at per step.
const STEP: usize = 20_000;

/// The condition that a row of the list meets, and the order of the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    /// The source of the rows.
    pub source: Source,
    /// The filter.
    pub filter: Option<Arc<Filter>>,
    /// When, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// The order, if it is not that of time.
    pub order: Option<Order>,
    /// Changes with filter, range and order.
    pub revision: u64,
}

impl Condition {
    fn is_everything(&self) -> bool {
        self.filter.is_none() && self.range.is_none() && self.order.is_none()
    }

    fn matches(&self, row: &Row) -> bool {
        let in_range = |(from, to): (u64, u64)| (from..=to).contains(&row.at);
        self.range.is_none_or(in_range)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&row.subject()))
    }
}

/// The place of a row in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its position; of a row that is left out, that of the row after it.
    pub position: usize,
    /// False if it is left out.
    pub is_listed: bool,
}

impl Place {
    /// The position one step on, in a list of this length.
    pub(crate) fn next(self, len: usize) -> usize {
        (self.position + usize::from(self.is_listed)).min(len.saturating_sub(1))
    }

    /// The position one step back, in a list of this length.
    pub(crate) fn previous(self, len: usize) -> usize {
        self.position.saturating_sub(1).min(len.saturating_sub(1))
    }
}

/// The rows that are shown, by position.
#[derive(Debug, Default)]
pub(crate) struct RowList {
    condition: Condition,
    /// The rows that match, in the order of time.
    found: VecDeque<RowId>,
    /// The rows that match with their ranks, in another order.
    sorted: Vec<(u64, RowId)>,
    in_file: InFile,
    last: Option<RowId>,
    /// Rows whose call was running: they may match, or get a rank, once it is over.
    pending: Vec<RowId>,
    /// The version of the store that was looked at last.
    version: Option<u64>,
    len: usize,
    matching: usize,
    total: usize,
    more: bool,
}

/// The rows that a search finds, if they are in a file.
#[derive(Debug, Default)]
struct InFile {
    searched: Option<Arc<Mutex<RowSet>>>,
    /// In another order than that of time.
    ranked: Option<Arc<Vec<u64>>>,
}

impl RowList {
    /// Takes in what is new in the source.
    pub(crate) fn refresh(
        &mut self,
        condition: Condition,
        rows: Rows<'_>,
        search: Option<&Search>,
    ) {
        match rows {
            Rows::Here(store) => self.look(condition, store),
            Rows::Paged(pages) => self.follow(condition, pages, search),
        }
    }

    fn follow(&mut self, condition: Condition, pages: &Pages, search: Option<&Search>) {
        self.total = usize::try_from(pages.frames()).unwrap_or(usize::MAX);
        let own = |search: &&Search| search.wanted.revision == condition.revision;
        let search = search.filter(own);
        self.in_file = InFile::default();
        self.sorted = Vec::new();
        (self.len, self.more) = match (condition.is_everything(), search) {
            (true, _) => (self.total, false),
            (false, None) => (0, true),
            (false, Some(search)) => {
                let found = usize::try_from(search.rows.lock().len()).unwrap_or(usize::MAX);
                let runs = matches!(search.stage, SearchStage::Waiting | SearchStage::Running);
                self.in_file.searched = Some(Arc::clone(&search.rows));
                if condition.order.is_some() {
                    self.in_file.ranked = Some(Arc::clone(&search.ranked.lock()));
                }
                (found, runs)
            }
        };
        self.matching = self.len;
        self.len = self.in_file.ranked.as_ref().map_or(self.len, |ranked| ranked.len());
        self.condition = condition;
    }

    fn look(&mut self, condition: Condition, store: &Store) {
        let same = self.condition.source == condition.source
            && self.condition.revision == condition.revision;
        if !same {
            *self = RowList { condition, ..RowList::default() };
        }
        self.total = store.len();
        self.in_file = InFile::default();
        if self.condition.is_everything() {
            (self.len, self.matching) = (store.len(), store.len());
            return;
        }
        let is_new = self.version.replace(store.version()) != Some(store.version());
        if !is_new && !self.more {
            return;
        }
        self.forget_evicted(store);
        self.look_again(store);
        let next = match self.last {
            Some(last) => store.index_of(last).map_or(0, |index| index + 1),
            None => 0,
        };
        let end = store.len().min(next + STEP);
        for index in next..end {
            let Some(row) = store.row(index) else {
                break;
            };
            self.last = Some(row.id);
            if self.condition.matches(row) {
                self.list(row);
            } else if row.status == Status::Pending {
                self.pending.push(row.id);
            }
        }
        // Few rows behind many that are in order: this takes time as if it looked at each once.
        self.sorted.sort();
        self.more = end < store.len();
        self.len = self.found.len() + self.sorted.len();
        self.matching = self.len;
    }

    /// Lists a row that matches, after all others.
    fn list(&mut self, row: &Row) {
        let Some(order) = self.condition.order else {
            return self.found.push_back(row.id);
        };
        let rank = order.rank(row.latency, row.size());
        self.sorted.push((rank, row.id));
        if rank == NO_FIGURE && row.status == Status::Pending {
            self.pending.push(row.id);
        }
    }

    fn forget_evicted(&mut self, store: &Store) {
        let gone = |id: &RowId| store.index_of(*id).is_none();
        while self.found.front().is_some_and(gone) {
            self.found.pop_front();
        }
        if !self.sorted.is_empty() {
            let oldest = store.row(0).map(|row| row.id);
            self.sorted.retain(|(_, id)| oldest.is_some_and(|oldest| *id >= oldest));
        }
        if store.is_empty() {
            self.last = None;
        }
    }

    /// Rows whose call was running may match now that it is over, or have a rank.
    fn look_again(&mut self, store: &Store) {
        let mut ranked = HashSet::new();
        let mut found = Vec::new();
        for id in std::mem::take(&mut self.pending) {
            match store.row_by_id(id) {
                None => {}
                Some(row) if row.status == Status::Pending && self.condition.order.is_some() => {
                    self.pending.push(id);
                }
                Some(row) if self.condition.matches(row) => found.push(row),
                Some(row) if row.status == Status::Pending => self.pending.push(id),
                // It matched as long as it ran.
                Some(_) => drop(ranked.insert(id)),
            }
        }
        if self.condition.order.is_some() {
            ranked.extend(found.iter().map(|row| row.id));
            if !ranked.is_empty() {
                self.sorted.retain(|(rank, id)| *rank != NO_FIGURE || !ranked.contains(id));
            }
            return found.into_iter().for_each(|row| self.list(row));
        }
        for row in found {
            let position = self.found.partition_point(|found| *found < row.id);
            self.found.insert(position, row.id);
        }
    }

    /// Number of rows shown.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// True if none is shown.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows that match; in another order than that of time not all of them may be shown.
    pub(crate) fn matching(&self) -> usize {
        self.matching
    }

    /// Rows in the store, shown or not.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// True if some rows were not looked at yet.
    pub(crate) fn more(&self) -> bool {
        self.more
    }

    /// True if the newest row is the last one.
    pub(crate) fn is_in_time_order(&self) -> bool {
        self.condition.order.is_none()
    }

    /// The row at a position.
    pub(crate) fn id(&self, position: usize, rows: Rows<'_>) -> Option<RowId> {
        if self.condition.is_everything() {
            return rows.id_at(position);
        }
        let InFile { searched, ranked } = &self.in_file;
        match (ranked, searched) {
            (Some(ranked), _) => ranked.get(position).copied().map(RowId),
            (None, Some(searched)) => searched.lock().get(position as u64).map(RowId),
            (None, None) if self.condition.order.is_some() => {
                self.sorted.get(position).map(|(_, id)| *id)
            }
            (None, None) => self.found.get(position).copied(),
        }
    }

    /// Where a row stands in the list; `None` if nobody knows.
    pub(crate) fn place(&self, id: RowId, rows: Rows<'_>) -> Option<Place> {
        if self.condition.is_everything() {
            let position = rows.index_of(id)?;
            return Some(Place { position, is_listed: true });
        }
        let InFile { searched, ranked } = &self.in_file;
        let position = match (ranked, searched) {
            (Some(ranked), _) => ranked.iter().position(|row| *row == id.0)?,
            (None, Some(searched)) => usize::try_from(searched.lock().position(id.0)).ok()?,
            (None, None) => match self.condition.order {
                None => self.found.partition_point(|found| *found < id),
                Some(order) => match self.sorted.iter().position(|(_, row)| *row == id) {
                    Some(position) => position,
                    None => {
                        let Rows::Here(store) = rows else { return None };
                        let row = store.row_by_id(id)?;
                        let rank = (order.rank(row.latency, row.size()), id);
                        self.sorted.partition_point(|one| *one < rank)
                    }
                },
            },
        };
        let is_listed = self.id(position, rows) == Some(id);
        Some(Place { position, is_listed })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Event, Outcome, Timing, What};
    use glovebox_inspector::search::SortBy;

    use super::*;

    fn event(sequence: u64, what: What) -> Event {
        Event {
            sequence,
            at: sequence,
            plugin: if sequence.is_multiple_of(4) { "a" } else { "b" }.into(),
            instance: 0,
            generation: 1,
            what,
        }
    }

    fn store(calls: u64) -> Store {
        let mut store = Store::default();
        for call in 0..calls {
            let frame = Frame::data("x");
            let id = CallId(call + 1);
            store.ingest(&event(call * 2, What::FrameIn { call: id, frame }));
            let ended = What::CallEnded {
                call: id,
                outcome: Outcome::Completed,
                timing: Timing::default(),
                bytes_in: 1,
                bytes_out: 0,
                frames_out: 0,
                memory: None,
            };
            store.ingest(&event(call * 2 + 1, ended));
        }
        store
    }

    #[test]
    fn lists_hold_what_matches() {
        fn check(filter: &str, expected: usize) {
            let filter = Filter::parse(filter).unwrap();
            let condition =
                Condition { filter: Some(Arc::new(filter)), revision: 1, ..Condition::default() };
            let mut list = RowList::default();
            let store = store(10);
            list.refresh(condition, Rows::Here(&store), None);
            assert_eq!((list.len(), list.total()), (expected, 10));
        }
        check("plugin:a", 5);
        check("plugin:none", 0);
        check("kind:data", 10);
    }

    fn order(by: SortBy, largest_first: bool) -> Option<Order> {
        Some(Order { by, largest_first })
    }

    #[test]
    fn sorted_lists_grow_with_their_store() {
        /// Calls that took so long and have so many bytes; the first number is the call.
        fn check(
            order: Option<Order>,
            filter: &str,
            calls: [&[(u64, u64, usize)]; 3],
            rows: &[u64],
        ) {
            let condition = Condition {
                filter: Some(Arc::new(Filter::parse(filter).unwrap())),
                order,
                revision: 1,
                ..Condition::default()
            };
            let [ended, running, later] = calls;
            let mut store = Store::default();
            let mut list = RowList::default();
            let mut sequence = 0;
            let mut next = |what: What| {
                sequence += 1;
                event(sequence, what)
            };
            let input = |call: u64, bytes: usize| What::FrameIn {
                call: CallId(call),
                frame: Frame::data("x".repeat(bytes)),
            };
            let end = |call: u64, micros: u64| What::CallEnded {
                call: CallId(call),
                outcome: Outcome::Completed,
                timing: Timing { guest: Duration::from_micros(micros), ..Timing::default() },
                bytes_in: 1,
                bytes_out: 0,
                frames_out: 0,
                memory: None,
            };
            for (call, micros, bytes) in ended {
                store.ingest(&next(input(*call, *bytes)));
                store.ingest(&next(end(*call, *micros)));
            }
            for (call, _, bytes) in running {
                store.ingest(&next(input(*call, *bytes)));
            }
            list.refresh(condition.clone(), Rows::Here(&store), None);
            for (call, micros, bytes) in later {
                store.ingest(&next(input(*call, *bytes)));
                store.ingest(&next(end(*call, *micros)));
            }
            for (call, micros, _) in running.iter().skip(1) {
                store.ingest(&next(end(*call, *micros)));
            }
            list.refresh(condition, Rows::Here(&store), None);
            let ids = (0..list.len()).filter_map(|at| list.id(at, Rows::Here(&store)));
            let found: Vec<u64> = ids.map(|id| store.row_by_id(id).unwrap().call.0).collect();
            assert_eq!(found, rows, "{order:?} {filter}");
            for at in 0..list.len() {
                let id = list.id(at, Rows::Here(&store)).unwrap();
                let place = list.place(id, Rows::Here(&store));
                assert_eq!(place, Some(Place { position: at, is_listed: true }));
            }
        }
        let calls: [&[(u64, u64, usize)]; 3] =
            [&[(1, 30, 5), (2, 10, 9)], &[(3, 0, 1), (4, 20, 7)], &[(5, 40, 2), (6, 10, 2)]];
        // The third call runs on.
        check(order(SortBy::Latency, true), "", calls, &[5, 1, 4, 2, 6, 3]);
        check(order(SortBy::Latency, false), "", calls, &[2, 6, 4, 1, 5, 3]);
        check(order(SortBy::Size, true), "", calls, &[2, 4, 1, 5, 6, 3]);
        check(order(SortBy::Size, false), "", calls, &[3, 5, 6, 1, 4, 2]);
        check(order(SortBy::Latency, true), "latency>15us", calls, &[5, 1, 4]);
        check(order(SortBy::Latency, true), "not latency>15us", calls, &[2, 6, 3]);
        check(None, "latency>15us", calls, &[1, 4, 5]);
    }

    #[test]
    fn a_step_from_a_row_that_is_left_out_skips_none() {
        fn check(position: usize, is_listed: bool, len: usize, expected: (usize, usize)) {
            let place = Place { position, is_listed };
            assert_eq!((place.previous(len), place.next(len)), expected, "{place:?}");
        }
        check(3, true, 9, (2, 4));
        check(3, false, 9, (2, 3));
        check(0, true, 9, (0, 1));
        check(0, false, 9, (0, 0));
        check(8, true, 9, (7, 8));
        check(9, false, 9, (8, 8));
    }

    #[test]
    fn long_stores_are_searched_step_by_step() {
        let store = store(STEP as u64 + 5);
        let condition = Condition {
            filter: Some(Arc::new(Filter::parse("kind:data").unwrap())),
            revision: 1,
            ..Condition::default()
        };
        let mut list = RowList::default();
        list.refresh(condition.clone(), Rows::Here(&store), None);
        assert!(list.more());
        list.refresh(condition, Rows::Here(&store), None);
        assert!(!list.more());
        assert_eq!(list.len(), STEP + 5);
    }
}
