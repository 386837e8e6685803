use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use glovebox_events::latency::Latencies;
use glovebox_events::{Event, What};

use super::{Bucket, ReloadMark, Series};

/// Buckets that are kept: ten minutes of seconds.
pub(super) const KEPT: usize = 600;
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Calls whose latencies are kept behind the open bucket, so that later ones can join them.
const KEPT_CALLS: u64 = 1 << 17;

/// One series of one plugin.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    /// How long a bucket is, in nanoseconds.
    step: u64,
    kept: usize,
    /// Of a whole trace: buckets are kept however far apart they are, and later events join them.
    whole: bool,
    left_out: u64,
    closed: VecDeque<Bucket>,
    open: Option<Bucket>,
    /// Of the open bucket.
    details: Details,
    /// Of closed ones, by when they begin; only of a whole trace.
    earlier: BTreeMap<u64, Details>,
    /// Calls in those.
    earlier_calls: u64,
    reloads: VecDeque<ReloadMark>,
}

/// The parts of the figures of a bucket.
#[derive(Debug, Clone, Default)]
struct Details {
    latencies: Latencies,
    /// When the memory was seen.
    memory_at: u64,
}

impl Details {
    fn complete(&self, bucket: &mut Bucket) {
        bucket.p50 = self.latencies.quantile(0.5);
        bucket.p99 = self.latencies.quantile(0.99);
    }
}

impl Timeline {
    pub(super) fn new(step: Duration, kept: usize, whole: bool) -> Timeline {
        Timeline {
            step: u64::try_from(step.as_nanos()).unwrap_or(u64::MAX).max(1),
            kept,
            whole,
            left_out: 0,
            closed: VecDeque::new(),
            open: None,
            details: Details::default(),
            earlier: BTreeMap::new(),
            earlier_calls: 0,
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
                let is_only = bucket.calls == 1;
                if is_late {
                    let call = (event.at, timing.latency(), *memory);
                    return self.late_call(start, is_only, call);
                }
                if memory.is_some()
                    && event.at >= self.details.memory_at
                    && let Some(open) = &mut self.open
                {
                    open.memory = *memory;
                    self.details.memory_at = event.at;
                }
                if !outcome.is_refused() {
                    self.details.latencies.add(timing.latency());
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

    /// Takes what is known of a call into an earlier bucket. If that no longer has the latencies of its
    /// other calls, nobody knows its percentiles.
    fn late_call(&mut self, start: u64, is_only: bool, call: (u64, Duration, Option<u64>)) {
        let at = self.closed.binary_search_by_key(&start, |bucket| bucket.start);
        let bucket = at.ok().and_then(|at| self.closed.get_mut(at));
        let Some(bucket) = bucket.filter(|_| self.whole) else { return };
        let details = match is_only {
            true => Some(self.earlier.entry(start).or_default()),
            false => self.earlier.get_mut(&start),
        };
        let Some(details) = details else {
            (bucket.p50, bucket.p99) = (None, None);
            return;
        };
        let (at, latency, memory) = call;
        if memory.is_some() && at >= details.memory_at {
            bucket.memory = memory;
            details.memory_at = at;
        }
        details.latencies.add(latency);
        self.earlier_calls += 1;
        self.forget_details();
    }

    /// Forgets the latencies of the oldest buckets, if there are too many.
    fn forget_details(&mut self) {
        while self.earlier_calls > KEPT_CALLS
            && let Some((start, details)) = self.earlier.pop_first()
        {
            self.earlier_calls -= details.latencies.count();
            let at = self.closed.binary_search_by_key(&start, |bucket| bucket.start);
            if let Some(bucket) = at.ok().and_then(|at| self.closed.get_mut(at)) {
                details.complete(bucket);
            }
        }
    }

    /// The bucket that begins at `start`, before the open one, for an event that comes late. `None` if
    /// it was left out, or is to be.
    fn earlier_bucket(&mut self, start: u64) -> Option<&mut Bucket> {
        let oldest = self.oldest(self.open?.start);
        let found = self.closed.binary_search_by_key(&start, |bucket| bucket.start);
        let is_full = self.whole && self.closed.len() + 1 >= self.kept;
        let at = match found {
            Ok(at) => at,
            Err(at) if start < oldest || (is_full && at == 0) => {
                self.left_out += 1;
                return None;
            }
            Err(mut at) => {
                if is_full {
                    self.leave_out_oldest();
                    at -= 1;
                }
                self.closed.insert(at, Bucket { start, ..Bucket::default() });
                at
            }
        };
        self.closed.get_mut(at)
    }

    /// Where the oldest bucket begins that is kept beside one that begins at `newest`.
    fn oldest(&self, newest: u64) -> u64 {
        if self.whole {
            return 0;
        }
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
        let Some(bucket) = self.current() else { return };
        self.closed.push_back(bucket);
        let details = std::mem::take(&mut self.details);
        self.open = None;
        if self.whole && bucket.calls > 0 {
            self.earlier_calls += details.latencies.count();
            self.earlier.insert(bucket.start, details);
            self.forget_details();
        }
    }

    fn leave_out_oldest(&mut self) {
        let Some(bucket) = self.closed.pop_front() else { return };
        self.left_out += 1;
        if let Some(details) = self.earlier.remove(&bucket.start) {
            self.earlier_calls -= details.latencies.count();
        }
    }

    fn leave_out_before(&mut self, oldest: u64) {
        while self.closed.front().is_some_and(|bucket| bucket.start < oldest)
            || (self.whole && self.closed.len() >= self.kept)
        {
            self.leave_out_oldest();
        }
        while self.reloads.front().is_some_and(|mark| mark.at < oldest) {
            self.reloads.pop_front();
        }
    }

    /// The open bucket with its percentiles.
    fn current(&self) -> Option<Bucket> {
        let mut bucket = self.open?;
        self.details.complete(&mut bucket);
        Some(bucket)
    }

    pub(super) fn snapshot(&self) -> Series {
        Series {
            step: Duration::from_nanos(self.step),
            left_out: self.left_out,
            buckets: {
                let closed = self.closed.iter().copied().map(|mut bucket| {
                    if let Some(details) = self.earlier.get(&bucket.start) {
                        details.complete(&mut bucket);
                    }
                    bucket
                });
                closed.chain(self.current()).collect()
            },
            reloads: self.reloads.iter().copied().collect(),
        }
    }
}
