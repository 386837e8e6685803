//! Latencies, counted in steps: one type for the host, the inspector and the window.
//!
//! [`Latencies`] is what is looked at. [`LatencyCells`] is what a host counts in while calls run:
//! without a lock and without allocating. Few calls are kept one by one, and many in steps, which
//! [`LatencySummary`] says. Each doubling of the latency has the same number of steps,
//! so that the error is the same for short calls and long ones, and steps of one precision add up to
//! those of a lower one. The layout is that of HdrHistogram (<https://hdrhistogram.github.io>),
//! but a step includes its upper end, as the buckets of Prometheus do.
//!
//! ```
//! use std::time::Duration;
//! use glovebox_events::latency::Latencies;
//!
//! let mut latencies = Latencies::exact();
//! (1..=100).for_each(|micros| latencies.add(Duration::from_micros(micros)));
//! assert_eq!(latencies.quantile(0.5), Some(Duration::from_micros(50)));
//! ```

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use glovebox_abi::units::show_duration;

/// The slowest latency that is told apart: one hour, in nanoseconds.
const SLOWEST: u64 = 3_600_000_000_000;
/// Calls that are kept one by one where latencies are exact.
const FEW: u64 = 16_384;
/// Steps of a doubling, as a power of two, where three digits are exact.
const EXACT: u32 = 10;
/// The same of the bars of a chart.
const BARS: u32 = 2;
/// The same where only doublings are told apart.
const DOUBLINGS: u32 = 0;
/// Steps of [`LatencyCells`].
const CELLS: usize = step(SLOWEST, DOUBLINGS) + 1;
/// The ends that [`Latencies::at_most`] has, as powers of two: from 1 µs to 17 s, about.
const ENDS: std::ops::RangeInclusive<u32> = 10..=34;

/// How often calls took how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    precision: u32,
    /// Each call in nanoseconds, in no order, while they are few; then none.
    each: Vec<u64>,
    /// The calls that are not there, by step, up to the slowest that has any.
    counts: Vec<u64>,
    calls: u64,
    /// All calls together.
    sum: Duration,
}

impl Latencies {
    /// Up to 16,384 calls are kept to the nanosecond; of more, three digits are exact, from 1 ns to
    /// 1 hour. Takes up to 300 KB.
    pub fn exact() -> Latencies {
        Latencies {
            precision: EXACT,
            each: Vec::new(),
            counts: Vec::new(),
            calls: 0,
            sum: Duration::ZERO,
        }
    }

    /// Only doublings are told apart, as in [`LatencyCells`]. Takes up to 350 bytes.
    pub fn in_doublings() -> Latencies {
        Latencies { precision: DOUBLINGS, ..Latencies::exact() }
    }

    /// Counts one call.
    pub fn add(&mut self, latency: Duration) {
        let nanoseconds = nanoseconds(latency);
        match self.keeps_each(1) {
            true => {
                self.each.push(nanoseconds);
                self.calls += 1;
            }
            false => self.count_at(nanoseconds, 1),
        }
        self.sum = self.sum.saturating_add(latency);
    }

    /// Counts all calls of `other`; in the precision of this.
    pub fn merge(&mut self, other: &Latencies) {
        match other.is_exact() && self.keeps_each(other.calls) {
            true => {
                self.each.extend(&other.each);
                self.calls += other.calls;
            }
            false => {
                other.each.iter().for_each(|nanoseconds| self.count_at(*nanoseconds, 1));
                other.steps().for_each(|(end, count)| self.count_at(end, count));
            }
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Forgets all calls, but not the memory for as many again.
    pub fn clear(&mut self) {
        self.each.clear();
        self.counts.clear();
        self.calls = 0;
        self.sum = Duration::ZERO;
    }

    /// True if each latency is known to the nanosecond; false if some are only known to be in a step.
    pub fn is_exact(&self) -> bool {
        self.each.len() as u64 == self.calls
    }

    /// True if so many calls more can be kept one by one.
    fn keeps_each(&self, more: u64) -> bool {
        self.precision == EXACT && self.is_exact() && self.calls + more <= FEW
    }

    /// Calls that were counted.
    pub fn count(&self) -> u64 {
        self.calls
    }

    /// All calls together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The latency that a share of the calls, from 0 to 1, does not exceed; `None` without calls.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        quantile(&self.ascending(), self.calls, share)
    }

    /// The latencies in nanoseconds, the shortest first, and how many calls took each. If they are not
    /// exact, each is the end of its step.
    pub fn ascending(&self) -> Vec<(u64, u64)> {
        if !self.is_exact() {
            return self.steps().filter(|(_, calls)| *calls > 0).collect();
        }
        let mut each = self.each.clone();
        each.sort_unstable();
        counted(&each)
    }

    /// The figures that people ask for.
    pub fn summary(&self) -> LatencySummary {
        let ascending = self.ascending();
        let quantile = |share| quantile(&ascending, self.calls, share).unwrap_or_default();
        LatencySummary {
            count: self.calls,
            is_exact: self.is_exact(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            p99_99: quantile(0.9999),
            max: quantile(1.0),
        }
    }

    /// How many calls took at most so long, for latencies from 1 µs to 17 s, each twice the one
    /// before: figures of many hosts can be added up. Longer calls are only in
    /// [`count`](Self::count).
    pub fn at_most(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut ascending = self.ascending().into_iter().peekable();
        let mut sum = 0;
        ENDS.map(|power| 1 << power).map(move |bound| {
            while let Some((_, count)) = ascending.next_if(|(latency, _)| *latency <= bound) {
                sum += count;
            }
            (Duration::from_nanos(bound), sum)
        })
    }

    /// The bars of a chart, four to each doubling, from the first to the last that is not empty:
    /// above which latency each begins, and its calls.
    pub fn bars(&self) -> Vec<(Duration, u64)> {
        let mut bars: Vec<(usize, u64)> = Vec::new();
        let all = self.in_steps();
        let first = all.counts.iter().position(|count| *count > 0).unwrap_or_default();
        for (end, count) in all.steps().skip(first) {
            let bar = step(end, BARS);
            match bars.last_mut() {
                Some((last, sum)) if *last == bar => *sum += count,
                _ => bars.push((bar, count)),
            }
        }
        bars.into_iter()
            .map(|(bar, count)| (Duration::from_nanos(start(bar, BARS)), count))
            .collect()
    }

    /// The last latency of each step, in nanoseconds, and its calls.
    fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.map(|(number, count)| (end(number, self.precision), *count))
    }

    /// The same with none kept one by one.
    fn in_steps(&self) -> Cow<'_, Latencies> {
        let mut all = Cow::Borrowed(self);
        if !self.each.is_empty() {
            all.to_mut().spill();
        }
        all
    }

    /// Counts calls in the step that holds a latency.
    fn count_at(&mut self, nanoseconds: u64, calls: u64) {
        if calls == 0 {
            return;
        }
        self.spill();
        let step = step(nanoseconds, self.precision);
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] += calls;
        self.calls += calls;
    }

    /// Keeps no call one by one any longer.
    fn spill(&mut self) {
        let each = std::mem::take(&mut self.each);
        self.calls -= each.len() as u64;
        each.into_iter().for_each(|nanoseconds| self.count_at(nanoseconds, 1));
    }
}

/// The latencies that are the same counted together, of some in ascending order, in nanoseconds.
pub fn counted(ascending: &[u64]) -> Vec<(u64, u64)> {
    let same = ascending.chunk_by(|one, other| one == other);
    same.map(|same| (same[0], same.len() as u64)).collect()
}

/// The latency that a share of so many calls, from 0 to 1, does not exceed, by the rule of the nearest
/// rank; `None` without calls. Shares have four digits at most.
pub fn quantile(ascending: &[(u64, u64)], calls: u64, share: f64) -> Option<Duration> {
    // Whole numbers: as a fraction, 0.999 of 1000 calls could be one more than 999.
    let parts = (share * 10_000.0).round() as u128;
    let rank = (u128::from(calls) * parts).div_ceil(10_000).max(1) as u64;
    let mut sum = 0;
    let found = ascending.iter().find(|(_, count)| {
        sum += count;
        sum >= rank
    });
    found.map(|(latency, _)| Duration::from_nanos(*latency))
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::exact()
    }
}

/// The latencies that people ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LatencySummary {
    /// Number of calls.
    pub count: u64,
    /// True if each is the latency of a call; false if only three digits are exact.
    pub is_exact: bool,
    /// Half of the calls were no slower.
    pub p50: Duration,
    /// 90 of 100 were no slower.
    pub p90: Duration,
    /// 99 of 100 were no slower.
    pub p99: Duration,
    /// 999 of 1000 were no slower.
    pub p99_9: Duration,
    /// 9999 of 10,000 were no slower.
    pub p99_99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl LatencySummary {
    /// One of these latencies for people: behind `≈` if only three digits are exact, `–` without calls.
    pub fn show(&self, latency: Duration) -> String {
        match (self.count, self.is_exact) {
            (0, _) => "–".to_owned(),
            (_, true) => show_duration(latency),
            (_, false) => format!("≈ {}", show_duration(latency)),
        }
    }
}

/// Counts latencies while others look; takes 350 bytes and never allocates.
#[derive(Debug)]
pub struct LatencyCells {
    counts: [AtomicU64; CELLS],
    nanoseconds: AtomicU64,
}

impl LatencyCells {
    /// Counts one call.
    pub fn add(&self, latency: Duration) {
        let nanoseconds = nanoseconds(latency);
        self.counts[step(nanoseconds, DOUBLINGS)].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// Adds what is counted here to `sum`.
    pub fn add_to(&self, sum: &mut Latencies) {
        for (number, count) in self.counts.iter().enumerate() {
            sum.count_at(end(number, DOUBLINGS), count.load(Relaxed));
        }
        let nanoseconds = Duration::from_nanos(self.nanoseconds.load(Relaxed));
        sum.sum = sum.sum.saturating_add(nanoseconds);
    }
}

impl Default for LatencyCells {
    fn default() -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        LatencyCells { counts, nanoseconds: AtomicU64::new(0) }
    }
}

fn nanoseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

/// The step that holds a latency in nanoseconds.
const fn step(nanoseconds: u64, precision: u32) -> usize {
    let capped = if nanoseconds < SLOWEST { nanoseconds } else { SLOWEST };
    // A step includes its end.
    let before = capped.saturating_sub(1);
    if before < 2 << precision {
        return before as usize;
    }
    let doubling = before.ilog2() - precision;
    ((doubling as usize) << precision) + (before >> doubling) as usize
}

/// The first latency before a step, in nanoseconds.
fn start(step: usize, precision: u32) -> u64 {
    let (doubling, place) = parts(step, precision);
    place << doubling
}

/// The last latency of a step, in nanoseconds.
fn end(step: usize, precision: u32) -> u64 {
    let (doubling, place) = parts(step, precision);
    (place + 1) << doubling
}

/// How often the steps were doubled before this one, and its place among steps of its length.
fn parts(step: usize, precision: u32) -> (u32, u64) {
    if step < 2 << precision {
        return (0, step as u64);
    }
    let doubling = (step >> precision) as u32 - 1;
    (doubling, step as u64 - (u64::from(doubling) << precision))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [u64; 14] = [
        1,
        2,
        3,
        64,
        65,
        1_000,
        1_024,
        1_025,
        50_000,
        917_504,
        10_000_000,
        1 << 34,
        SLOWEST - 1,
        SLOWEST,
    ];

    fn of(precision: u32, nanoseconds: u64) -> Latencies {
        let mut latencies = Latencies { precision, ..Latencies::exact() };
        latencies.add(Duration::from_nanos(nanoseconds));
        latencies
    }

    #[test]
    fn latencies_fall_into_the_step_that_holds_them() {
        for nanoseconds in SAMPLES {
            for precision in [EXACT, BARS, DOUBLINGS] {
                let number = step(nanoseconds, precision);
                let (start, end) = (start(number, precision), end(number, precision));
                assert!(start < nanoseconds && nanoseconds <= end, "{start}, {nanoseconds}, {end}");
                // One more step would be more exact than is promised.
                let error = (end - start - 1) as f64 / nanoseconds as f64;
                assert!(error <= 1.0 / f64::from(1 << precision), "{nanoseconds}: {error}");
                let found = of(precision, nanoseconds).in_steps().quantile(0.5);
                assert_eq!(found, Some(Duration::from_nanos(end)));
            }
        }
        assert_eq!(step(0, EXACT), 0);
        assert_eq!(step(u64::MAX, EXACT), step(SLOWEST, EXACT));
        assert_eq!(Latencies::exact().quantile(0.5), None);
    }

    /// Expected: the call at that place of 7, 14, 21 … nanoseconds.
    #[test]
    fn few_calls_are_exact_and_many_are_said_not_to_be() {
        fn check(calls: u64, share: f64, place: u64, shown: &str) {
            let mut all = Latencies::exact();
            let mut parts = [Latencies::exact(), Latencies::exact()];
            for call in (1..=calls).rev() {
                all.add(Duration::from_nanos(call * 7));
                parts[(call % 2) as usize].add(Duration::from_nanos(call * 7));
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            for latencies in [&all, &merged] {
                assert_eq!(latencies.is_exact(), calls <= FEW);
                assert_eq!((latencies.count(), latencies.sum()), (all.count(), all.sum()));
                let (found, exact) = (latencies.quantile(share), place * 7);
                let found = found.expect("there are some").as_nanos() as u64;
                let error = found.abs_diff(exact) as f64 / exact as f64;
                assert!(error < if calls <= FEW { f64::EPSILON } else { 0.001 }, "{found}");
            }
            let summary = all.summary();
            assert_eq!(summary.show(summary.p50), shown);
        }
        check(1, 0.5, 1, "7 ns");
        check(3, 0.5, 2, "14 ns");
        check(200, 0.99, 198, "700 ns");
        // As a fraction this would be the 1000th.
        check(1000, 0.999, 999, "3.5 µs");
        check(FEW, 0.9999, 16_383, "57.3 µs");
        check(FEW + 1, 0.9, 14_747, "≈ 57.4 µs");
        let mut again = Latencies::exact();
        (0..=FEW).for_each(|call| again.add(Duration::from_nanos(call)));
        again.clear();
        assert!(again.is_exact() && again == Latencies::exact());
        assert_eq!(again.summary().show(Duration::ZERO), "–");
    }

    #[test]
    fn cells_count_as_latencies_do() {
        for precision in [EXACT, DOUBLINGS] {
            let cells = LatencyCells::default();
            let mut expected = Latencies::in_doublings();
            for nanoseconds in SAMPLES {
                cells.add(Duration::from_nanos(nanoseconds));
                expected.add(Duration::from_nanos(nanoseconds));
            }
            let mut found = Latencies { precision, ..Latencies::exact() };
            cells.add_to(&mut found);
            assert_eq!((found.count(), found.sum()), (expected.count(), expected.sum()));
            assert!(found.at_most().eq(expected.at_most()));
        }
    }

    #[test]
    fn lower_precisions_are_sums_of_higher_ones() {
        let (mut exact, mut doublings) = (Latencies::exact(), Latencies::in_doublings());
        for nanoseconds in SAMPLES {
            exact.add(Duration::from_nanos(nanoseconds));
            doublings.add(Duration::from_nanos(nanoseconds));
        }
        assert!(exact.at_most().eq(doublings.at_most()));
        let mut merged = Latencies::in_doublings();
        merged.merge(&exact);
        assert_eq!(merged, doublings);
    }

    #[test]
    fn calls_are_at_most_as_long_as_the_bound_that_counts_them() {
        fn check(nanoseconds: u64, expected: Option<u64>) {
            for precision in [EXACT, DOUBLINGS] {
                let latencies = of(precision, nanoseconds);
                let first = latencies.at_most().find(|(_, count)| *count == 1);
                let bound = first.map(|(bound, _)| bound.as_nanos() as u64);
                assert_eq!(bound, expected, "{nanoseconds} ns");
            }
        }
        check(0, Some(1 << 10));
        check(1 << 10, Some(1 << 10));
        check((1 << 10) + 1, Some(1 << 11));
        check(900_000, Some(1 << 20));
        check(1 << 34, Some(1 << 34));
        check((1 << 34) + 1, None);
    }

    #[test]
    fn bars_begin_where_their_latencies_do() {
        fn check(nanoseconds: &[u64], expected: &[(u64, u64)]) {
            let mut latencies = Latencies::exact();
            nanoseconds.iter().for_each(|one| latencies.add(Duration::from_nanos(*one)));
            let bars = latencies.bars().into_iter();
            let found: Vec<_> =
                bars.map(|(start, calls)| (start.as_nanos() as u64, calls)).collect();
            assert_eq!(found, expected);
        }
        check(&[], &[]);
        check(&[64], &[(56, 1)]);
        check(&[1_000_000], &[(917_504, 1)]);
        check(&[1024, 1025, 1300], &[(896, 1), (1024, 1), (1280, 1)]);
        check(&[1024, 2048], &[(896, 1), (1024, 0), (1280, 0), (1536, 0), (1792, 1)]);
    }
}
