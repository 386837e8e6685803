//! Searches a trace file for rows that match, in the background, by its index.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glovebox_inspector::filter::Filter;
use glovebox_inspector::search::{self, Hit, Order, Ranking, RowSet};
use glovebox_trace::{TraceError, TraceIndex};
use parking_lot::Mutex;

use super::jobs::{JobId, JobState};

/// The aim of a search.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The rows that match, all if absent.
    pub filter: Option<Arc<Filter>>,
    /// When, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// The order, if it is not that of time.
    pub order: Option<Order>,
    /// Changes with filter, range and order.
    pub revision: u64,
}

/// A search that is under way or over.
#[derive(Debug)]
pub struct Search {
    /// The aim.
    pub wanted: Wanted,
    /// The rows found so far.
    pub rows: Arc<Mutex<RowSet>>,
    /// The first of them in the order that is wanted, if it is not that of time.
    pub ranked: Arc<Mutex<Arc<Vec<u64>>>>,
    /// Its stage.
    pub stage: SearchStage,
    pub(super) job: Option<JobId>,
}

/// How a search stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchStage {
    /// The trace has to be scanned first.
    Waiting,
    /// It is under way.
    Running,
    /// All rows were looked at.
    Done,
    /// Somebody ended it, or the trace could not be read.
    Stopped,
}

impl Wanted {
    /// As one filter; `start` is the time of the first event of the trace.
    fn filter(&self, start: u64) -> Filter {
        let filter = self.filter.as_deref().cloned().unwrap_or_default();
        let since = |at: u64| Duration::from_nanos(at.saturating_sub(start));
        match self.range {
            Some((from, to)) => filter.at_times(since(from), since(to)),
            None => filter,
        }
    }
}

/// The rows that a search found, for the window to read meanwhile.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) rows: Arc<Mutex<RowSet>>,
    pub(super) ranked: Arc<Mutex<Arc<Vec<u64>>>>,
}

/// How often the rows found so far are put in order.
const PAUSE: Duration = Duration::from_millis(250);

/// Finds rows; the error is why it is not complete, unless it was cancelled.
pub(super) fn search(
    index: &TraceIndex,
    wanted: &Wanted,
    found: &Found,
    state: &JobState,
) -> Result<(), Option<String>> {
    let start = index.info().range.map_or(0, |(first, _)| first);
    let furthest = AtomicU64::new(0);
    let progress = |done: u64, total: u64| {
        state.progress(done.max(furthest.fetch_max(done, Ordering::Relaxed)), total);
    };
    let (path, filter) = (&index.info().path, wanted.filter(start));
    let result = match wanted.order {
        None => {
            let mut take = |hits: &[Hit]| {
                let mut rows = found.rows.lock();
                hits.iter().for_each(|hit| rows.insert(hit.row));
            };
            search::find(path, index, &filter, &mut take, &progress, &state.cancel)
        }
        Some(order) => {
            let mut ranking = Ranking::default();
            let mut said = Instant::now();
            let mut take = |ranked: &[(u64, u64)]| {
                let mut rows = found.rows.lock();
                ranked.iter().for_each(|(_, row)| rows.insert(*row));
                drop(rows);
                ranked.iter().for_each(|(rank, row)| ranking.add(*rank, *row));
                if said.elapsed() >= PAUSE {
                    *found.ranked.lock() = Arc::new(ranking.rows());
                    said = Instant::now();
                }
            };
            let what = (&filter, order);
            let result = search::rank(path, index, what, &mut take, &progress, &state.cancel);
            *found.ranked.lock() = Arc::new(ranking.rows());
            result
        }
    };
    match result {
        Ok(()) => Ok(()),
        Err(TraceError::Cancelled { .. }) => Err(None),
        Err(error) => Err(Some(error.to_string())),
    }
}
