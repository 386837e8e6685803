//! Whether one run was slower than another as a whole.

use std::time::Duration;

use glovebox_abi::units::show_duration;
use serde::Serialize;

/// Calls that each run must have.
pub const ENOUGH_CALLS: usize = 50;
/// How sure the test must be: 2.576 standard deviations, which chance exceeds once in a hundred
/// comparisons of equal runs.
pub const SURE: f64 = 2.576;
/// Medians closer than this, as a part of the first, are not worth a word.
pub const WORTH_A_WORD: f64 = 0.1;

/// How the latency of the calls of one plugin changed.
///
/// The test is that of Mann and Whitney (1947), two-sided, with the normal approximation and the
/// correction for ties: it asks whether a call of one run tends to be slower than one of the other,
/// and supposes nothing about the shape of the distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyShift {
    /// Id of the plugin.
    pub plugin: String,
    /// Calls that were compared.
    pub calls: usize,
    /// Median and 99th percentile of the first run, in nanoseconds.
    pub before: Percentiles,
    /// Median and 99th percentile of the second run, in nanoseconds.
    pub after: Percentiles,
    /// By how many standard deviations the second run is slower (or faster, below 0); `None` with
    /// fewer than [`ENOUGH_CALLS`].
    pub deviations: Option<f64>,
}

/// Two points of a distribution, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half of all calls took no longer.
    pub p50: u64,
    /// 99 of 100 calls took no longer.
    pub p99: u64,
}

impl LatencyShift {
    /// Compares the calls of a plugin that are in both runs; `None` if there is none.
    pub(super) fn of(plugin: String, mut before: Vec<u64>, mut after: Vec<u64>) -> Option<Self> {
        before.sort_unstable();
        after.sort_unstable();
        let is_enough = before.len().min(after.len()) >= ENOUGH_CALLS;
        Some(LatencyShift {
            plugin,
            calls: before.len(),
            before: percentiles(&before)?,
            after: percentiles(&after)?,
            deviations: is_enough.then(|| deviations(&before, &after)),
        })
    }

    /// How many times as long the median call takes.
    pub fn factor(&self) -> f64 {
        self.after.p50 as f64 / self.before.p50.max(1) as f64
    }

    /// True if chance does not explain it and it is large enough to matter.
    pub fn is_significant(&self) -> bool {
        let is_sure = self.deviations.is_some_and(|deviations| deviations.abs() >= SURE);
        is_sure && (self.factor() - 1.0).abs() >= WORTH_A_WORD
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let show = |nanos| show_duration(Duration::from_nanos(nanos));
        let change = (self.factor() - 1.0) * 100.0;
        let verdict = match self.deviations {
            None => format!("too few calls to tell, {ENOUGH_CALLS} are needed"),
            Some(_) if !self.is_significant() => "no shift".to_owned(),
            Some(found) => {
                let word = if found > 0.0 { "slower" } else { "faster" };
                format!("{word}, Mann-Whitney z = {found:.1}")
            }
        };
        format!(
            "{}: p50 {} → {} ({change:+.0} %), p99 {} → {}, {} calls: {verdict}",
            self.plugin,
            show(self.before.p50),
            show(self.after.p50),
            show(self.before.p99),
            show(self.after.p99),
            self.calls,
        )
    }
}

fn percentiles(sorted: &[u64]) -> Option<Percentiles> {
    let at = |part: usize| sorted.get((sorted.len() * part).div_ceil(100).max(1) - 1).copied();
    Some(Percentiles { p50: at(50)?, p99: at(99)? })
}

/// By how many standard deviations `after` is the larger one; both sorted.
fn deviations(before: &[u64], after: &[u64]) -> f64 {
    let (first, second) = (before.len() as f64, after.len() as f64);
    let all = first + second;
    let (mut old, mut new) = (0, 0);
    // The sum of the ranks of `after`, and of t³ - t over all ties of t values.
    let (mut ranks, mut ties) = (0.0, 0.0);
    while old < before.len() || new < after.len() {
        let value = match (before.get(old), after.get(new)) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => break,
        };
        let below = (old + new) as f64;
        let old_tied = before[old..].iter().take_while(|found| **found == value).count();
        let new_tied = after[new..].iter().take_while(|found| **found == value).count();
        let tied = (old_tied + new_tied) as f64;
        ranks += new_tied as f64 * (below + (tied + 1.0) / 2.0);
        ties += tied * tied * tied - tied;
        old += old_tied;
        new += new_tied;
    }
    let larger = ranks - second * (second + 1.0) / 2.0;
    let variance = first * second / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 0.0;
    }
    (larger - first * second / 2.0) / variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_found_where_there_are_some() {
        fn check(before: impl Fn(u64) -> u64, after: impl Fn(u64) -> u64, calls: u64, says: &str) {
            let run = |latency: &dyn Fn(u64) -> u64| (0..calls).map(latency).collect::<Vec<_>>();
            let shift = LatencyShift::of("p".into(), run(&before), run(&after)).expect("calls");
            assert!(shift.sentence().ends_with(says), "{}", shift.sentence());
        }
        let noise = |n: u64| 1000 + n * 7919 % 100;
        check(noise, noise, 100, "no shift");
        check(noise, |n| noise(n + 13), 100, "no shift");
        check(noise, |n| noise(n) * 3, 49, "too few calls to tell, 50 are needed");
        check(noise, |n| noise(n) * 3, 100, "slower, Mann-Whitney z = 12.2");
        check(|n| noise(n) * 3, noise, 100, "faster, Mann-Whitney z = -12.2");
        // Certain, but too small to matter.
        check(noise, |n| noise(n) + 60, 1000, "no shift");
        // All the same.
        check(|_| 5, |_| 5, 100, "no shift");
    }

    /// Expected: from the ranks of all values, counted one by one.
    #[test]
    fn the_test_counts_ties() {
        fn check(before: &[u64], after: &[u64], expected: f64) {
            let found = deviations(before, after);
            assert!((found - expected).abs() < 1e-4, "{found}");
        }
        check(&[1, 2, 3, 4], &[5, 6, 7, 8], 2.309_40);
        check(&[1, 2, 2, 3], &[2, 3, 3, 4], 1.517_44);
        check(&[7, 7], &[7, 7], 0.0);
    }

    #[test]
    fn percentiles_are_calls_that_happened() {
        fn check(sorted: &[u64], p50: u64, p99: u64) {
            assert_eq!(percentiles(sorted), Some(Percentiles { p50, p99 }));
        }
        check(&[5], 5, 5);
        check(&[1, 2], 1, 2);
        check(&(1..=200).collect::<Vec<_>>(), 100, 198);
        assert_eq!(percentiles(&[]), None);
    }
}
