//! A digest of a store that grows with it: what the timeline draws and what failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::Outcome;
use glovebox_inspector::store::{Direction, Row, RowId, Status, Store};

/// Calls that are kept one by one; beyond, the oldest are forgotten here.
const SPANS: usize = 20_000;
/// Failing rows that are kept.
const FAILURES: usize = 10_000;
/// Rows that are taken in at once, so that the store is never held for long.
const STEP: usize = 8_192;

/// One call on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index into [`Overview::plugins`].
    pub plugin: usize,
    /// The row of its input.
    pub row: RowId,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// How long it took; `None` while it runs.
    pub took: Option<Duration>,
    /// True if it ended with anything but `completed`.
    pub failed: bool,
    /// True if it was denied anything.
    pub denied: bool,
}

/// A call that ended with anything but `completed`.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The row of its input.
    pub row: RowId,
    /// When it started, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// How it ended.
    pub outcome: Arc<Outcome>,
}

/// What a store holds, at a glance.
#[derive(Debug, Default)]
pub struct Overview {
    /// Ids of plugins in order of appearance.
    pub plugins: Vec<Arc<str>>,
    /// Calls, oldest first.
    pub spans: VecDeque<Span>,
    /// Calls that failed, oldest first.
    pub failures: VecDeque<Failure>,
    /// Failures that are older and not kept.
    pub failures_left_out: u64,
    /// Time of the first and the last row, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Every how many calls one is kept, if they are kept from all over the store.
    every: Option<u64>,
    calls: u64,
    last: Option<RowId>,
    open: Vec<RowId>,
}

impl Overview {
    /// One that keeps some calls from all over instead of the newest.
    pub fn of_all() -> Overview {
        Overview { every: Some(1), ..Overview::default() }
    }

    /// True if some calls are not among the spans.
    pub fn is_thinned(&self) -> bool {
        self.calls > self.spans.len() as u64
    }

    /// Takes in rows that are new; true if there are more for the next time.
    pub fn take_in(&mut self, store: &Store) -> bool {
        self.close_open(store);
        let next = match self.last {
            None => 0,
            Some(last) => match store.index_of(last) {
                Some(index) => index + 1,
                None => {
                    // The rows seen last were evicted, or the store was cleared.
                    if store.row(0).is_none_or(|row| row.id < last) {
                        *self = Overview { every: self.every.map(|_| 1), ..Overview::default() };
                    }
                    0
                }
            },
        };
        let end = store.len().min(next + STEP);
        for index in next..end {
            if let Some(row) = store.row(index) {
                self.add(row);
            }
        }
        end < store.len()
    }

    fn add(&mut self, row: &Row) {
        self.last = Some(row.id);
        let (first, _) = self.range.unwrap_or((row.at, row.at));
        self.range = Some((first, row.at + row.latency.map_or(0, nanos)));
        if row.direction == Direction::Out {
            return;
        }
        let known = self.plugins.iter().position(|plugin| *plugin == row.plugin);
        let plugin = known.unwrap_or_else(|| {
            self.plugins.push(Arc::clone(&row.plugin));
            self.plugins.len() - 1
        });
        if row.status == Status::Pending {
            self.open.push(row.id);
        } else {
            self.note_failure(row);
        }
        self.calls += 1;
        if self.every.is_some_and(|every| !self.calls.is_multiple_of(every)) {
            return;
        }
        if self.spans.len() == SPANS {
            self.make_room();
        }
        self.spans.push_back(Span {
            plugin,
            row: row.id,
            start: row.at,
            took: row.latency,
            failed: row.status.is_error(),
            denied: row.denied,
        });
    }

    /// Forgets every other span, or the oldest.
    fn make_room(&mut self) {
        if let Some(every) = &mut self.every {
            *every *= 2;
            let mut keeps = false;
            self.spans.retain(|_| {
                keeps = !keeps;
                keeps
            });
            return;
        }
        self.spans.pop_front();
        // The axis begins where the spans do.
        if let (Some(range), Some(front)) = (&mut self.range, self.spans.front()) {
            range.0 = front.start;
        }
    }

    fn note_failure(&mut self, row: &Row) {
        let Status::Ended(outcome) = &row.status else {
            return;
        };
        if row.status.is_error() {
            if self.failures.len() == FAILURES {
                self.failures.pop_front();
                self.failures_left_out += 1;
            }
            self.failures.push_back(Failure {
                row: row.id,
                at: row.at,
                plugin: Arc::clone(&row.plugin),
                outcome: Arc::clone(outcome),
            });
        }
    }

    /// Looks again at calls that were still running.
    fn close_open(&mut self, store: &Store) {
        let open = std::mem::take(&mut self.open);
        for id in open {
            let Some(row) = store.row_by_id(id) else {
                continue;
            };
            if row.status == Status::Pending {
                self.open.push(id);
                continue;
            }
            if let Ok(index) = self.spans.binary_search_by_key(&id, |span| span.row) {
                let span = &mut self.spans[index];
                span.took = row.latency;
                span.failed = row.status.is_error();
                span.denied = row.denied;
            }
            self.note_failure(row);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
