use std::time::Duration;

use glovebox_abi::units::show_duration;

use super::super::record::Record;
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;

/// Calls that take longer and longer.
pub(super) struct LatencyDrift;

const MIN_CALLS: usize = 200;
const PARTS: usize = 8;
const MIN_RISES: usize = 6;
const FLOOR: Duration = Duration::from_micros(1);

impl Rule for LatencyDrift {
    fn id(&self) -> &'static str {
        "latency-drift"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "The calls of one copy, cut into 8 equal parts: the median latency of the last part is at \
         least 1.5 times that of the first and 1 µs more, and it rises in at least 6 of the 7 \
         steps; from 200 calls on."
    }

    fn remedy(&self) -> &'static str {
        "look for state that grows with each frame and is searched through: a list, a cache \
         without a bound"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for (segment, calls) in record.segments.iter().zip(record.by_segment()) {
            let taken: Vec<_> =
                calls.iter().filter_map(|call| Some((call.latency()?, call.input))).collect();
            if taken.len() < MIN_CALLS {
                out.skip(&segment.owner, format!("{} of {MIN_CALLS} calls", taken.len()));
                continue;
            }
            let part = |index: usize| {
                &taken[taken.len() * index / PARTS..taken.len() * (index + 1) / PARTS]
            };
            let median = |index: usize| {
                let mut latencies: Vec<_> = part(index).iter().map(|(took, _)| *took).collect();
                let middle = latencies.len() / 2;
                *latencies.select_nth_unstable(middle).1
            };
            let medians: Vec<Duration> = (0..PARTS).map(median).collect();
            let (first, last) = (medians[0], medians[PARTS - 1]);
            let rises = medians.windows(2).filter(|pair| pair[1] > pair[0]).count();
            let grown = last.saturating_sub(first);
            if rises >= MIN_RISES && grown >= FLOOR && grown * 2 >= first {
                let message = format!(
                    "the median latency rose from {} to {} over {} calls",
                    show_duration(first),
                    show_duration(last),
                    taken.len()
                );
                let mut slowest = part(PARTS - 1).to_vec();
                slowest.sort_by_key(|(latency, _)| std::cmp::Reverse(*latency));
                let spots = slowest.into_iter().map(|(_, spot)| spot);
                out.find(&segment.owner, segment.key.generation, message, spots);
            }
        }
    }
}
