//! Compares the latencies of two runs as a whole.

use std::time::Duration;

use glovebox_abi::text::inert;
use glovebox_abi::units::show_duration;
use glovebox_events::latency::{Latencies, counted, quantile};
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
    /// Calls of the first run that were compared.
    pub calls: usize,
    /// Calls of the second run that were compared.
    pub calls_after: usize,
    /// True if the latencies are those of calls; false if only three digits of them are exact.
    #[serde(rename = "exact")]
    pub is_exact: bool,
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

/// The verdict about the latencies of two runs: the same wherever two runs or two generations are
/// compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The second run is slower.
    Slower,
    /// The second run is faster.
    Faster,
    /// Chance explains the change, or it is too small to matter.
    NoShift,
    /// One of them has fewer than [`ENOUGH_CALLS`].
    TooFewCalls,
}

impl Verdict {
    /// In a word or three.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::NoShift => "no shift",
            Verdict::TooFewCalls => "too few calls",
        }
    }
}

impl LatencyShift {
    /// Compares the calls of a plugin that are in both runs; `None` if there is none.
    pub(super) fn of(plugin: String, mut before: Vec<u64>, mut after: Vec<u64>) -> Option<Self> {
        before.sort_unstable();
        after.sort_unstable();
        Self::of_counted(plugin, true, [counted(&before), counted(&after)])
    }

    /// Compares all calls of two runs or generations; `None` if one of them has none.
    pub fn between(plugin: String, before: &Latencies, after: &Latencies) -> Option<LatencyShift> {
        let is_exact = before.is_exact() && after.is_exact();
        Self::of_counted(plugin, is_exact, [before.ascending(), after.ascending()])
    }

    /// Compares latencies in ascending order, each with the number of its calls.
    fn of_counted(
        plugin: String,
        is_exact: bool,
        [before, after]: [Vec<(u64, u64)>; 2],
    ) -> Option<LatencyShift> {
        let calls = |all: &[(u64, u64)]| all.iter().map(|(_, calls)| *calls as usize).sum();
        let (calls, calls_after): (usize, usize) = (calls(&before), calls(&after));
        let is_enough = calls.min(calls_after) >= ENOUGH_CALLS;
        Some(LatencyShift {
            plugin,
            calls,
            calls_after,
            is_exact,
            before: percentiles(&before, calls)?,
            after: percentiles(&after, calls_after)?,
            deviations: is_enough.then(|| deviations(&before, &after)),
        })
    }

    /// How many times as long the median call takes.
    pub fn factor(&self) -> f64 {
        self.after.p50 as f64 / self.before.p50.max(1) as f64
    }

    /// The verdict: a shift is one if chance does not explain it and it is large enough to matter.
    pub fn verdict(&self) -> Verdict {
        let Some(deviations) = self.deviations else {
            return Verdict::TooFewCalls;
        };
        match deviations.abs() >= SURE && (self.factor() - 1.0).abs() >= WORTH_A_WORD {
            false => Verdict::NoShift,
            true if deviations > 0.0 => Verdict::Slower,
            true => Verdict::Faster,
        }
    }

    /// True if chance does not explain it and it is large enough to matter.
    pub fn is_significant(&self) -> bool {
        matches!(self.verdict(), Verdict::Slower | Verdict::Faster)
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let about = if self.is_exact { "" } else { "≈ " };
        let show = |nanos| format!("{about}{}", show_duration(Duration::from_nanos(nanos)));
        let change = (self.factor() - 1.0) * 100.0;
        let verdict = match (self.verdict(), self.deviations) {
            (Verdict::TooFewCalls, _) => {
                format!("too few calls to tell, {ENOUGH_CALLS} are needed")
            }
            (verdict @ (Verdict::Slower | Verdict::Faster), Some(found)) => {
                format!("{}, Mann-Whitney z = {found:.1}", verdict.name())
            }
            (verdict, _) => verdict.name().to_owned(),
        };
        let calls = match self.calls == self.calls_after {
            true => self.calls.to_string(),
            false => format!("{} and {}", self.calls, self.calls_after),
        };
        format!(
            "{}: p50 {} → {} ({change:+.0} %), p99 {} → {}, {calls} calls: {verdict}",
            inert(&self.plugin),
            show(self.before.p50),
            show(self.after.p50),
            show(self.before.p99),
            show(self.after.p99),
        )
    }
}

fn percentiles(ascending: &[(u64, u64)], calls: usize) -> Option<Percentiles> {
    let at = |share| quantile(ascending, calls as u64, share).map(|found| found.as_nanos() as u64);
    Some(Percentiles { p50: at(0.5)?, p99: at(0.99)? })
}

/// By how many standard deviations `after` is the larger one; both in ascending order, each latency
/// with the number of its calls.
fn deviations(before: &[(u64, u64)], after: &[(u64, u64)]) -> f64 {
    let calls = |all: &[(u64, u64)]| all.iter().map(|(_, calls)| *calls).sum::<u64>() as f64;
    let (first, second) = (calls(before), calls(after));
    let all = first + second;
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    // The sum of the ranks of `after`, and of t³ - t over all ties of t values.
    let (mut below, mut ranks, mut ties) = (0.0, 0.0, 0.0);
    loop {
        let value = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((only, _)), None) | (None, Some((only, _))) => *only,
            (None, None) => break,
        };
        let calls = |found: Option<&(u64, u64)>| found.map_or(0.0, |(_, calls)| *calls as f64);
        let old_tied = calls(old.next_if(|(found, _)| *found == value));
        let new_tied = calls(new.next_if(|(found, _)| *found == value));
        let tied = old_tied + new_tied;
        ranks += new_tied * (below + (tied + 1.0) / 2.0);
        ties += tied * tied * tied - tied;
        below += tied;
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
            let found = deviations(&counted(before), &counted(after));
            assert!((found - expected).abs() < 1e-4, "{found}");
        }
        check(&[1, 2, 3, 4], &[5, 6, 7, 8], 2.309_40);
        check(&[1, 2, 2, 3], &[2, 3, 3, 4], 1.517_44);
        check(&[7, 7], &[7, 7], 0.0);
    }

    #[test]
    fn percentiles_are_calls_that_happened() {
        fn check(sorted: &[u64], p50: u64, p99: u64) {
            let found = percentiles(&counted(sorted), sorted.len());
            assert_eq!(found, Some(Percentiles { p50, p99 }));
        }
        check(&[5], 5, 5);
        check(&[1, 2], 1, 2);
        check(&(1..=200).collect::<Vec<_>>(), 100, 198);
        assert_eq!(percentiles(&[], 0), None);
    }

    /// The window compares what was counted, and a diff the calls themselves.
    #[test]
    fn calls_that_were_counted_get_the_same_sentence() {
        fn check(before: impl Fn(u64) -> u64, after: impl Fn(u64) -> u64, calls: u64) {
            let run = |latency: &dyn Fn(u64) -> u64| (0..calls).map(latency).collect::<Vec<_>>();
            let count = |all: &[u64]| {
                let mut latencies = Latencies::exact();
                all.iter().for_each(|nanos| latencies.add(Duration::from_nanos(*nanos)));
                latencies
            };
            let (before, after) = (run(&before), run(&after));
            let found = LatencyShift::between("p".into(), &count(&before), &count(&after));
            let expected = LatencyShift::of("p".into(), before, after).expect("calls");
            let found = found.expect("calls");
            match found.is_exact {
                true => assert_eq!((found.sentence(), &found), (expected.sentence(), &expected)),
                false => {
                    assert_eq!(found.verdict(), expected.verdict());
                    assert!(found.sentence().starts_with("p: p50 ≈ "), "{}", found.sentence());
                }
            }
        }
        let noise = |n: u64| 1000 + n * 7919 % 100;
        check(noise, noise, 49);
        check(noise, |n| noise(n) * 3, 2_000);
        check(|n| noise(n) * 1_000, |n| noise(n) * 1_009, 20_000);
        check(|n| noise(n) * 3_000, |n| noise(n) * 1_009, 20_000);
    }

    #[test]
    fn runs_of_different_length_say_so() {
        let count = |calls: u64| {
            let mut latencies = Latencies::exact();
            (0..calls).for_each(|nanos| latencies.add(Duration::from_nanos(nanos + 100)));
            latencies
        };
        let check = |before: u64, after: u64, says: &str| {
            let shift = LatencyShift::between("p".into(), &count(before), &count(after));
            let sentence = shift.map(|shift| shift.sentence()).unwrap_or_default();
            assert!(sentence.contains(says), "{sentence}");
        };
        check(60, 60, ", 60 calls: no shift");
        check(60, 10, ", 60 and 10 calls: too few calls to tell, 50 are needed");
        assert_eq!(LatencyShift::between("p".into(), &count(9), &count(0)), None);
    }
}
