//! The calls of a generation, and whether they are worse than those of the one before.

use std::sync::atomic::Ordering;
use std::time::Duration;

use glovebox_abi::units::show_duration;
use glovebox_events::latency::Latencies;

use super::Instance;
use crate::policy::Probation;

/// The calls of an instance up to some moment, or between two.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Calls {
    pub(super) ended: u64,
    /// Neither completed, nor refused or cancelled.
    pub(super) failed: u64,
    pub(super) timed: u64,
    /// How many took at most so long, the shortest first; empty if none was timed.
    pub(super) at_most: Vec<(Duration, u64)>,
}

/// The calls that tell the running generation from the one before.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// The generation with which the artifact that runs took over.
    since: u32,
    /// Those up to then.
    until_then: Calls,
    /// Those of the artifact before: the last one that was not on probation.
    before: Calls,
    /// The last generation that ran it.
    before_is: u32,
    on_probation: bool,
}

impl Calls {
    fn since(&self, then: &Calls) -> Calls {
        let at_most = self.at_most.iter().enumerate().map(|(place, (time, count))| {
            let before = then.at_most.get(place).map_or(0, |(_, count)| *count);
            (*time, count - before)
        });
        Calls {
            ended: self.ended - then.ended,
            failed: self.failed - then.failed,
            timed: self.timed - then.timed,
            at_most: at_most.collect(),
        }
    }

    fn failing(&self) -> f64 {
        self.failed as f64 / self.ended.max(1) as f64
    }

    /// The time that half of the calls do not exceed, to a power of two.
    pub(super) fn median(&self) -> Duration {
        let half = self.at_most.iter().find(|(_, count)| count * 2 >= self.timed);
        half.map_or(Duration::MAX, |(time, _)| *time)
    }

    /// How these are worse than those before.
    pub(super) fn are_worse_than(&self, before: &Calls, rules: &Probation) -> Option<String> {
        let (calls, failed) = (self.ended, self.failed);
        if calls >= rules.calls && self.failing() > before.failing() + rules.errors {
            let (ended, was) = (before.ended, before.failed);
            return Some(format!("{failed} of {calls} calls failed, {was} of {ended} before"));
        }
        let (now, was) = (self.median(), before.median());
        let is_known = self.timed >= rules.calls && before.timed >= rules.calls;
        let longest = Duration::try_from_secs_f64(was.as_secs_f64() * rules.slower);
        if is_known && now > longest.unwrap_or(Duration::MAX) {
            let (now, was) = (show_duration(now), show_duration(was));
            return Some(format!("half of the calls take up to {now}, {was} before"));
        }
        None
    }
}

impl Instance {
    fn calls(&self) -> Calls {
        let mut calls = Calls::default();
        let mut latency = Latencies::in_doublings();
        for status in self.pool.statuses() {
            let counters = status.counters();
            calls.ended += counters.processed.load(Ordering::Relaxed);
            calls.failed += counters.failed.load(Ordering::Relaxed);
            counters.latency.add_to(&mut latency);
        }
        calls.timed = latency.count();
        if calls.timed > 0 {
            calls.at_most = latency.at_most().collect();
        }
        calls
    }

    /// Begins to count for another artifact, which takes over with this generation from that one. An
    /// artifact that is replaced during its probation is nothing to compare with, or to go back to.
    pub(super) fn serve_anew(&self, number: u32, from: u32) {
        let mut served = self.generations.served.lock();
        let now = self.calls();
        let (before, before_is) = match served.on_probation {
            true => (std::mem::take(&mut served.before), served.before_is),
            false => (now.since(&served.until_then), from),
        };
        *served = Served { since: number, until_then: now, before, before_is, on_probation: false };
    }

    /// Puts the artifact that runs on probation.
    pub(crate) fn begin_probation(&self) {
        self.generations.served.lock().on_probation = true;
    }

    /// Ends the probation of the artifact that took over with this generation, if it still runs.
    pub(crate) fn end_probation(&self, number: u32) {
        let mut served = self.generations.served.lock();
        served.on_probation &= served.since != number;
    }

    /// The generation to which the artifact that runs gives way, as long as it is on probation.
    pub(crate) fn proven(&self) -> Option<u32> {
        let served = self.generations.served.lock();
        served.on_probation.then_some(served.before_is)
    }

    /// The generation with which the artifact that runs took over.
    pub(crate) fn serves_since(&self) -> u32 {
        self.generations.served.lock().since
    }

    /// How the artifact that runs is worse than the one before, and by how many calls that is known.
    pub(crate) fn is_worse(&self, rules: &Probation) -> (Option<String>, u64) {
        let served = self.generations.served.lock();
        // Under the lock: another artifact that takes over would be counted from later than this.
        let now = self.calls();
        let now = now.since(&served.until_then);
        (now.are_worse_than(&served.before, rules), now.ended)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};

    use super::*;
    use crate::host::Host;
    use crate::load::LoadRequest;
    use crate::reply::Reply;

    struct Nothing;

    impl Plugin for Nothing {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn calls_are_counted_from_a_swap_that_came_before() {
        let host = Host::builder().build().unwrap();
        let request = LoadRequest::core(Manifest::bare("nothing"), || Box::new(Nothing));
        let instance = host.instance(host.load(request).wait().unwrap()).unwrap();
        let status = instance.pool.statuses().next().unwrap();
        let rules = Probation { window: Duration::ZERO, calls: 1, errors: 1.0, slower: 1e9 };
        thread::scope(|scope| {
            let swaps = scope.spawn(|| {
                for number in 0..20_000 {
                    status.count(&Frame::data("x"), &Reply::default());
                    instance.serve_anew(number, number.saturating_sub(1));
                }
            });
            while !swaps.is_finished() {
                let (_, calls) = instance.is_worse(&rules);
                assert!(calls <= 1, "{calls}");
            }
        });
    }

    #[test]
    fn a_generation_is_worse_if_more_fails_or_all_is_slower() {
        /// Calls and failures, and how long all of them took.
        type Then = (u64, u64, u64);
        fn calls((ended, failed, millis): Then) -> Calls {
            let mut latency = Latencies::in_doublings();
            let timed = if millis > 0 { ended } else { 0 };
            (0..timed).for_each(|_| latency.add(Duration::from_millis(millis)));
            Calls { ended, failed, timed, at_most: latency.at_most().collect() }
        }
        fn check(before: Then, now: Then, expected: Option<&str>) {
            let window = Duration::from_secs(1);
            let rules = Probation { window, calls: 10, errors: 0.1, slower: 4.0 };
            // Of all calls of the instance, those of the generation count.
            let all = Calls { ended: 1000, failed: 500, ..Calls::default() };
            let until = Calls { ended: 1000 + now.0, failed: 500 + now.1, ..calls(now) };
            let found = until.since(&all).are_worse_than(&calls(before), &rules);
            assert_eq!(found.as_deref(), expected, "{before:?} {now:?}");
        }
        check((100, 0, 0), (10, 1, 0), None);
        check((100, 0, 0), (10, 2, 0), Some("2 of 10 calls failed, 0 of 100 before"));
        check((100, 10, 0), (10, 2, 0), None);
        check((0, 0, 0), (10, 10, 0), Some("10 of 10 calls failed, 0 of 0 before"));
        // Too few to tell.
        check((100, 0, 0), (9, 9, 0), None);
        check((100, 0, 1), (10, 0, 3), None);
        check(
            (100, 0, 1),
            (10, 0, 30),
            Some("half of the calls take up to 33.6 ms, 1.05 ms before"),
        );
        check((9, 0, 1), (10, 0, 30), None);
        check((100, 0, 0), (10, 0, 30), None);
    }
}
