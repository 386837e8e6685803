//! Which rows of a source fulfil the filter: in a store found step by step, so that nobody waits,
//! in a file by a search of the workbench.

use std::collections::VecDeque;
use std::sync::Arc;

use glovebox_inspector::filter::Filter;
use glovebox_inspector::store::{Row, RowId, Status, Store};
use glovebox_inspector::trace::RowSet;
use parking_lot::Mutex;

use crate::workbench::{Pages, Rows, Search, SearchStage, Source};

/// Rows that are looked at per step.
const STEP: usize = 20_000;

/// What decides which rows are in the list.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Whose rows.
    pub source: Source,
    /// Which.
    pub filter: Option<Arc<Filter>>,
    /// When, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Changes with filter and range.
    pub revision: u64,
}

impl Condition {
    fn is_everything(&self) -> bool {
        self.filter.is_none() && self.range.is_none()
    }

    fn matches(&self, row: &Row) -> bool {
        let in_range = |(from, to): (u64, u64)| (from..=to).contains(&row.at);
        self.range.is_none_or(in_range)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&row.subject()))
    }
}

/// The rows that are shown, by position.
#[derive(Debug, Default)]
pub struct RowList {
    condition: Condition,
    found: VecDeque<RowId>,
    /// What a search finds, if the rows are in a file.
    searched: Option<Arc<Mutex<RowSet>>>,
    last: Option<RowId>,
    pending: Vec<RowId>,
    len: usize,
    total: usize,
    more: bool,
}

impl RowList {
    /// Takes in what is new in the source.
    pub fn refresh(&mut self, condition: Condition, rows: Rows<'_>, search: Option<&Search>) {
        match rows {
            Rows::Here(store) => self.look(condition, store),
            Rows::Paged(pages) => self.follow(condition, pages, search),
        }
    }

    fn follow(&mut self, condition: Condition, pages: &Pages, search: Option<&Search>) {
        self.total = usize::try_from(pages.frames()).unwrap_or(usize::MAX);
        let own = |search: &&Search| search.wanted.revision == condition.revision;
        let search = search.filter(own);
        (self.len, self.more, self.searched) = match (condition.is_everything(), search) {
            (true, _) => (self.total, false, None),
            (false, None) => (0, true, None),
            (false, Some(search)) => {
                let found = usize::try_from(search.rows.lock().len()).unwrap_or(usize::MAX);
                let runs = matches!(search.stage, SearchStage::Waiting | SearchStage::Running);
                (found, runs, Some(Arc::clone(&search.rows)))
            }
        };
        self.condition = condition;
    }

    fn look(&mut self, condition: Condition, store: &Store) {
        let same = self.condition.source == condition.source
            && self.condition.revision == condition.revision;
        if !same {
            *self = RowList { condition, ..RowList::default() };
        }
        self.total = store.len();
        self.searched = None;
        if self.condition.is_everything() {
            self.len = store.len();
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
                self.found.push_back(row.id);
            } else if row.status == Status::Pending {
                self.pending.push(row.id);
            }
        }
        self.more = end < store.len();
        self.len = self.found.len();
    }

    fn forget_evicted(&mut self, store: &Store) {
        let gone = |id: &RowId| store.index_of(*id).is_none();
        while self.found.front().is_some_and(gone) {
            self.found.pop_front();
        }
        if store.is_empty() {
            self.last = None;
        }
    }

    /// Rows whose call was running may match now that it is over.
    fn look_again(&mut self, store: &Store) {
        for id in std::mem::take(&mut self.pending) {
            match store.row_by_id(id) {
                None => {}
                Some(row) if self.condition.matches(row) => {
                    let position = self.found.partition_point(|found| *found < id);
                    self.found.insert(position, id);
                }
                Some(row) if row.status == Status::Pending => self.pending.push(id),
                Some(_) => {}
            }
        }
    }

    /// Number of rows shown.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if none is shown.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows in the store, shown or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// True if some rows were not looked at yet.
    pub fn more(&self) -> bool {
        self.more
    }

    /// How many rows the source lost since the list was made, as far as positions depend on it.
    pub fn gone(&self, rows: Rows<'_>) -> usize {
        match self.condition.is_everything() {
            true => self.len.saturating_sub(rows.len()),
            false => 0,
        }
    }

    /// The row at a position.
    pub fn id(&self, position: usize, rows: Rows<'_>) -> Option<RowId> {
        if self.condition.is_everything() {
            return rows.id_at(position);
        }
        match &self.searched {
            Some(searched) => searched.lock().get(position as u64).map(RowId),
            None => self.found.get(position).copied(),
        }
    }

    /// Where a row stands in the list; the nearest one after it if it is left out.
    pub fn position(&self, id: RowId, rows: Rows<'_>) -> Option<usize> {
        if self.condition.is_everything() {
            return rows.index_of(id);
        }
        let position = match &self.searched {
            Some(searched) => usize::try_from(searched.lock().position(id.0)).ok()?,
            None => self.found.partition_point(|found| *found < id),
        };
        (position < self.len).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Event, Outcome, Timing, What};

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
