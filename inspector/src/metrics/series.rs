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
        self.open_bucket(event.at - event.at % self.step);
        let Some(bucket) = &mut self.open else {
            return;
        };
        match &event.what {
            What::FrameIn { .. } | What::FrameOut { .. } => bucket.frames += 1,
            What::CallEnded { outcome, timing, memory, .. } => {
                bucket.calls += 1;
                bucket.errors += u64::from(!outcome.is_completed());
                bucket.memory = memory.or(bucket.memory);
                self.latencies.add(timing.latency());
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

    /// Opens the bucket that begins at `start`. Events that come late count for the one that is open.
    fn open_bucket(&mut self, start: u64) {
        if self.open.is_some_and(|bucket| start <= bucket.start) {
            return;
        }
        self.closed.extend(self.current());
        self.latencies.clear();
        let span = self.step.saturating_mul(self.kept as u64 - 1);
        let oldest = start.saturating_sub(span);
        while self.closed.front().is_some_and(|bucket| bucket.start < oldest) {
            self.closed.pop_front();
            self.left_out += 1;
        }
        while self.reloads.front().is_some_and(|mark| mark.at < oldest) {
            self.reloads.pop_front();
        }
        self.open = Some(Bucket { start, ..Bucket::default() });
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
