//! Which rows of a trace file match: found in the background by its index.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use glovebox_inspector::filter::Filter;
use glovebox_inspector::trace::{self, Hit, RowSet, TraceError, TraceIndex};
use parking_lot::Mutex;

use super::jobs::{JobId, JobState};
use super::trace::TraceId;
use super::work::Finished;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The rows that match, all if absent.
    pub filter: Option<Arc<Filter>>,
    /// When, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Changes with filter and range.
    pub revision: u64,
}

/// A search that is under way or over.
#[derive(Debug)]
pub struct Search {
    /// What for.
    pub wanted: Wanted,
    /// What was found so far.
    pub rows: Arc<Mutex<RowSet>>,
    /// How it stands.
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

pub(super) fn search(
    id: TraceId,
    index: &TraceIndex,
    wanted: &Wanted,
    rows: &Mutex<RowSet>,
    state: &JobState,
) -> Finished {
    let start = index.info().range.map_or(0, |(first, _)| first);
    let mut take = |hits: &[Hit]| {
        let mut rows = rows.lock();
        hits.iter().for_each(|hit| rows.insert(hit.row));
    };
    let furthest = AtomicU64::new(0);
    let progress = |done: u64, total: u64| {
        state.progress(done.max(furthest.fetch_max(done, Ordering::Relaxed)), total);
    };
    let path = &index.info().path;
    let filter = wanted.filter(start);
    let found = trace::find(path, index, &filter, &mut take, &progress, &state.cancel);
    let result = match found {
        Ok(()) => Ok(()),
        Err(TraceError::Cancelled { .. }) => Err(None),
        Err(error) => Err(Some(error.to_string())),
    };
    Finished::Searched(id, wanted.revision, result)
}
