use std::collections::VecDeque;
use std::time::Duration;

use glovebox_events::{Event, What};

use super::generation::Latencies;
use super::{Bucket, ReloadMark, Series};

/// Buckets that are kept: ten minutes of seconds.
pub(super) const KEPT: usize = 600;
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// One series of one plugin.
#[derive(Debug)]
pub(super) struct Timeline {
    /// How long a bucket is, in nanoseconds.
    step: u64,
    kept: usize,
    left_out: u64,
    closed: VecDeque<Bucket>,
    open: Option<Bucket>,
    /// Of the open bucket.
    latencies: Latencies,
    reloads: VecDeque<ReloadMark>,
}

impl Timeline {
    pub(super) fn new(step: Duration, kept: usize) -> Timeline {
        Timeline {
            step: u64::try_from(step.as_nanos()).unwrap_or(u64::MAX).max(1),
            kept,
            left_out: 0,
            closed: VecDeque::new(),
            open: None,
            latencies: Latencies::default(),
            reloads: VecDeque::new(),
        }
    }

    pub(super) fn ingest(&mut self, event: &Event) {
        let start = event.at - event.at % self.step;
        let is_late = self.open.is_some_and(|open| start < open.start);
        let bucket = match is_late {
            true => self.earlier_bucket(start),
            false => Some(self.open_bucket(start)),
        };
        let Some(bucket) = bucket else {
            return;
        };
        match &event.what {
            What::FrameIn { .. } | What::FrameOut { .. } => bucket.frames += 1,
            What::CallEnded { outcome, timing, memory, .. } => {
                bucket.calls += 1;
                bucket.errors += u64::from(!outcome.is_completed());
                if !is_late {
                    bucket.memory = memory.or(bucket.memory);
                    self.latencies.add(timing.latency());
                }
            }
            What::Reloaded { .. } => self.mark(event, true),
            What::ReloadFailed { .. } => self.mark(event, false),
            _ => {}
        }
    }

    fn mark(&mut self, event: &Event, accepted: bool) {
        if self.reloads.len() >= self.kept {
            self.reloads.pop_front();
        }
        self.reloads.push_back(ReloadMark { at: event.at, generation: event.generation, accepted });
    }

    /// The bucket that begins at `start`, before the open one, for an event that comes late. `None` if
    /// it was left out, or is to be.
    fn earlier_bucket(&mut self, start: u64) -> Option<&mut Bucket> {
        let oldest = self.oldest(self.open?.start);
        if start < oldest {
            self.left_out += 1;
            return None;
        }
        let at = match self.closed.binary_search_by_key(&start, |bucket| bucket.start) {
            Ok(at) => at,
            Err(at) => {
                self.closed.insert(at, Bucket { start, ..Bucket::default() });
                at
            }
        };
        self.closed.get_mut(at)
    }

    /// Where the oldest bucket begins that is kept beside one that begins at `newest`.
    fn oldest(&self, newest: u64) -> u64 {
        newest.saturating_sub(self.step.saturating_mul(self.kept as u64 - 1))
    }

    /// The bucket that begins at `start`, after all others or as the last of them.
    fn open_bucket(&mut self, start: u64) -> &mut Bucket {
        if self.open.is_none_or(|bucket| start > bucket.start) {
            self.close();
            self.leave_out_before(self.oldest(start));
        }
        self.open.get_or_insert(Bucket { start, ..Bucket::default() })
    }

    /// Closes the open bucket, if there is one.
    fn close(&mut self) {
        self.closed.extend(self.current());
        self.latencies.clear();
        self.open = None;
    }

    fn leave_out_before(&mut self, oldest: u64) {
        while self.closed.front().is_some_and(|bucket| bucket.start < oldest) {
            self.closed.pop_front();
            self.left_out += 1;
        }
        while self.reloads.front().is_some_and(|mark| mark.at < oldest) {
            self.reloads.pop_front();
        }
    }

    /// The open bucket with its percentiles.
    fn current(&self) -> Option<Bucket> {
        self.open.map(|bucket| Bucket {
            p50: self.latencies.quantile(0.5),
            p99: self.latencies.quantile(0.99),
            ..bucket
        })
    }

    pub(super) fn snapshot(&self) -> Series {
        Series {
            step: Duration::from_nanos(self.step),
            left_out: self.left_out,
            buckets: self.closed.iter().copied().chain(self.current()).collect(),
            reloads: self.reloads.iter().copied().collect(),
        }
    }
}
