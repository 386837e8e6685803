//! A digest of a store that grows with it: the calls that the timeline draws, and the failures.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::Direction;
use glovebox_events::Outcome;
use glovebox_inspector::store::{Row, RowId, Status, Store};
use glovebox_trace::Statuses;

/// Calls that are kept one by one; beyond, the oldest are forgotten here.
const SPANS: usize = 20_000;
/// Failing rows that are kept.
const FAILURES: usize = 10_000;
/// Lanes of the timeline.
const LANES: usize = 1_000;
/// The name of the last lane if there are more plugins than lanes.
const OTHERS: &str = "other plugins";
/// Rows that are taken in at once, so that the store is never held for long.
const STEP: usize = 8_192;

/// One call on the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index into [`Overview::lanes`].
    pub lane: usize,
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
pub struct FailedCall {
    /// The row of its input.
    pub row: RowId,
    /// When it started, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The lane of its instance.
    pub lane: usize,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The outcome.
    pub outcome: Arc<Outcome>,
}

/// The content of a store, at a glance.
#[derive(Debug, Default)]
pub struct Overview {
    /// Lanes: the plugins and their instances in order of appearance, and the last one for all that are
    /// too many, which has no instance.
    pub lanes: Vec<(Arc<str>, Option<u64>)>,
    lane_of: HashMap<(Arc<str>, u64), usize>,
    /// Calls, oldest first.
    pub spans: VecDeque<Span>,
    /// Calls that failed, oldest first.
    pub failures: VecDeque<FailedCall>,
    /// Failures that are older and not kept.
    pub failures_left_out: u64,
    /// Time of the first and the last row, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// The time from which rows count theirs, in nanoseconds since the Unix epoch.
    pub origin: Option<u64>,
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

    /// The lane of an instance of a plugin.
    pub fn lane(&self, plugin: &Arc<str>, instance: u64) -> Option<usize> {
        let is_shared = self.lanes.len() == LANES;
        let own = self.lane_of.get(&(Arc::clone(plugin), instance)).copied();
        own.or_else(|| is_shared.then_some(LANES - 1))
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
        let (first, last) = self.range.unwrap_or((row.at, row.at));
        self.range = Some((first, last.max(end(row))));
        self.origin = Some(row.at.saturating_sub(nanos(row.since_start)));
        if row.direction == Direction::Out {
            return;
        }
        let lane = self.lane_for(&row.plugin, row.instance);
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
            lane,
            row: row.id,
            start: row.at,
            took: row.latency,
            failed: row.status.is_error(),
            denied: row.beside.overlaps(Statuses::DENIED),
        });
    }

    fn lane_for(&mut self, plugin: &Arc<str>, instance: u64) -> usize {
        let key = (Arc::clone(plugin), instance);
        if let Some(lane) = self.lane_of.get(&key) {
            return *lane;
        }
        let lane = match (self.lanes.len() + 1).cmp(&LANES) {
            Ordering::Less => (Arc::clone(plugin), Some(instance)),
            Ordering::Equal => (OTHERS.into(), None),
            Ordering::Greater => return LANES - 1,
        };
        self.lanes.push(lane);
        if self.lanes.len() < LANES {
            self.lane_of.insert(key, self.lanes.len() - 1);
        }
        self.lanes.len() - 1
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
            let lane = self.lane_for(&row.plugin, row.instance);
            self.failures.push_back(FailedCall {
                lane,
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
            if let Some((_, last)) = &mut self.range {
                *last = (*last).max(end(row));
            }
            if let Ok(index) = self.spans.binary_search_by_key(&id, |span| span.row) {
                let span = &mut self.spans[index];
                span.took = row.latency;
                span.failed = row.status.is_error();
                span.denied = row.beside.overlaps(Statuses::DENIED);
            }
            self.note_failure(row);
        }
    }
}

/// When the call of a row ended, in nanoseconds since the Unix epoch; if it runs, when it began.
fn end(row: &Row) -> u64 {
    row.at.saturating_add(row.latency.map_or(0, nanos))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Event, Timing, What};

    use super::*;

    #[test]
    fn the_axis_reaches_to_the_end_of_a_call() {
        /// Takes in a call, of which the end comes before or after a first look.
        #[track_caller]
        fn check(start: u64, latency: u64, is_running: bool, last: u64) {
            let event = |sequence, at, what| Event {
                sequence,
                at,
                plugin: "a".into(),
                instance: 1,
                generation: 1,
                what,
            };
            let call = CallId(1);
            let mut store = Store::default();
            let mut overview = Overview::default();
            store.ingest(&event(0, start, What::FrameIn { call, frame: Frame::data("x") }));
            if is_running {
                overview.take_in(&store);
                assert_eq!(overview.range, Some((start, start)));
            }
            let guest = Duration::from_nanos(latency);
            let ended = What::CallEnded {
                call,
                outcome: Outcome::Completed,
                timing: Timing { guest, ..Timing::default() },
                bytes_in: 0,
                bytes_out: 0,
                frames_out: 0,
                memory: None,
            };
            store.ingest(&event(1, start.saturating_add(latency), ended));
            overview.take_in(&store);
            assert_eq!((overview.range, overview.origin), (Some((start, last)), Some(start)));
        }
        for is_running in [true, false] {
            check(5, 160, is_running, 165);
            check(5, u64::MAX, is_running, u64::MAX);
            check(u64::MAX, u64::MAX, is_running, u64::MAX);
        }
    }

    #[test]
    fn plugins_beyond_the_last_lane_share_it() {
        let mut overview = Overview::default();
        let mut check = |plugin: usize, lane: usize, name: &str| {
            let (plugin, instance) = (format!("p{}", plugin / 2).into(), plugin as u64 % 2);
            let first = overview.lane_for(&plugin, instance);
            assert_eq!((first, overview.lane_for(&plugin, instance)), (lane, lane));
            assert_eq!(&*overview.lanes[lane].0, name);
        };
        for plugin in 0..LANES - 1 {
            check(plugin, plugin, &format!("p{}", plugin / 2));
        }
        check(LANES - 1, LANES - 1, OTHERS);
        check(LANES, LANES - 1, OTHERS);
        check(7, 7, "p3");
    }
}
