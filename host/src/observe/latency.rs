//! How long calls took, counted in buckets of fixed bounds: figures of many hosts can be added up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Nanoseconds of the longest call of each bucket; one more bucket has those that took longer.
#[rustfmt::skip]
const BOUNDS: [u64; 22] = [
    1_000, 2_500, 5_000,
    10_000, 25_000, 50_000,
    100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000,
    10_000_000, 25_000_000, 50_000_000,
    100_000_000, 250_000_000, 500_000_000,
    1_000_000_000, 2_500_000_000, 5_000_000_000,
    10_000_000_000,
];

/// How long the calls of an instance took, without the time in its queue.
///
/// Calls are timed while somebody listens: a [`sink`](crate::HostBuilder::sink), or
/// [`HostBuilder::time_calls`](crate::HostBuilder::time_calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallLatency {
    buckets: [u64; BOUNDS.len() + 1],
    /// All calls together.
    pub sum: Duration,
}

impl CallLatency {
    /// Calls that were timed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The number of calls that took at most so long, for bounds from 1 µs to 10 s, each two to two
    /// and a half times the one before. What took longer is only in [`count`](Self::count).
    pub fn at_most(&self) -> impl Iterator<Item = (Duration, u64)> {
        let sums = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().map(Duration::from_nanos).zip(sums)
    }
}

/// The same while it is counted, by whoever holds the copy.
#[derive(Debug, Default)]
pub(crate) struct LatencyCounters {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl LatencyCounters {
    pub(crate) fn add(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanoseconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// Adds what is counted here to `sum`.
    pub(crate) fn add_to(&self, sum: &mut CallLatency) {
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Relaxed);
        }
        sum.sum += Duration::from_nanos(self.nanoseconds.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_in_the_bucket_that_holds_them() {
        fn check(nanoseconds: u64, expected: Option<u64>) {
            let counters = LatencyCounters::default();
            counters.add(Duration::from_nanos(nanoseconds));
            let mut latency = CallLatency::default();
            counters.add_to(&mut latency);
            assert_eq!((latency.count(), latency.sum.as_nanos() as u64), (1, nanoseconds));
            let first = latency.at_most().find(|(_, count)| *count == 1);
            let bound = first.map(|(bound, _)| bound.as_nanos() as u64);
            assert_eq!(bound, expected, "{nanoseconds} ns");
        }
        check(0, Some(1_000));
        check(1_000, Some(1_000));
        check(1_001, Some(2_500));
        check(900_000, Some(1_000_000));
        check(10_000_000_000, Some(10_000_000_000));
        check(10_000_000_001, None);
    }
}
