use std::collections::VecDeque;

use glovebox_events::{Event, What};

use super::generation::Latencies;
use super::{Bucket, ReloadMark, Series};

/// Ten minutes.
pub(super) const KEPT_SECONDS: u64 = 600;

/// The seconds of one plugin.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    closed: VecDeque<Bucket>,
    open: Option<Bucket>,
    /// Of the open bucket.
    latencies: Latencies,
    reloads: VecDeque<ReloadMark>,
}

impl Timeline {
    pub(super) fn ingest(&mut self, event: &Event) {
        self.open_second(event.at / 1_000_000_000);
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
        if self.reloads.len() as u64 >= KEPT_SECONDS {
            self.reloads.pop_front();
        }
        self.reloads.push_back(ReloadMark { at: event.at, generation: event.generation, accepted });
    }

    /// Makes `second` the open bucket. Events that come late count for the second that is open.
    fn open_second(&mut self, second: u64) {
        if self.open.is_some_and(|bucket| second <= bucket.second) {
            return;
        }
        self.closed.extend(self.current());
        self.latencies.clear();
        let oldest = (second + 1).saturating_sub(KEPT_SECONDS);
        while self.closed.front().is_some_and(|bucket| bucket.second < oldest) {
            self.closed.pop_front();
        }
        while self.reloads.front().is_some_and(|mark| mark.at / 1_000_000_000 < oldest) {
            self.reloads.pop_front();
        }
        self.open = Some(Bucket { second, ..Bucket::default() });
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
            buckets: self.closed.iter().copied().chain(self.current()).collect(),
            reloads: self.reloads.iter().copied().collect(),
        }
    }
}
