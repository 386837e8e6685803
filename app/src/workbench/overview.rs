//! A digest of a store that grows with it: what the timeline draws and what failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

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

/// What a store holds, at a glance.
#[derive(Debug, Default)]
pub struct Overview {
    /// Ids of plugins in order of appearance.
    pub plugins: Vec<Arc<str>>,
    /// Calls, oldest first.
    pub spans: VecDeque<Span>,
    /// Inputs of calls that failed, oldest first.
    pub failures: VecDeque<RowId>,
    /// Time of the first and the last row, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    last: Option<RowId>,
    open: Vec<RowId>,
}

impl Overview {
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
                        *self = Overview::default();
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
        if self.spans.len() == SPANS {
            self.spans.pop_front();
            // The axis begins where the spans do.
            if let (Some(range), Some(front)) = (&mut self.range, self.spans.front()) {
                range.0 = front.start;
            }
        }
        self.spans.push_back(Span {
            plugin,
            row: row.id,
            start: row.at,
            took: row.latency,
            failed: row.status.is_error(),
            denied: row.denied,
        });
        match row.status {
            Status::Pending => self.open.push(row.id),
            Status::Ended(_) => self.note_failure(row),
        }
    }

    fn note_failure(&mut self, row: &Row) {
        if row.status.is_error() {
            if self.failures.len() == FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back(row.id);
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
