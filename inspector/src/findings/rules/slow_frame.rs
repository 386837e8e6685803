use std::time::Duration;

use glovebox_abi::units::show_duration;

use super::super::record::Record;
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Frames that take far longer than most.
pub(super) struct SlowFrame;

const MIN_CALLS: usize = 20;
const FACTOR: u32 = 10;
const FLOOR: Duration = Duration::from_millis(1);

impl Rule for SlowFrame {
    fn id(&self) -> &'static str {
        "slow-frame"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "A call took more than 10 times the median of its generation and more than 1 ms; from 20 \
         calls on."
    }

    fn remedy(&self) -> &'static str {
        "look at the slowest frames: large payloads, rare branches, work that is done only once"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for ((owner, generation), calls) in record.generations() {
            let mut taken: Vec<_> =
                calls.iter().filter_map(|call| Some((call.latency()?, call.input))).collect();
            if taken.len() < MIN_CALLS {
                out.skip(&owner, format!("{} of {MIN_CALLS} calls", taken.len()));
                continue;
            }
            taken.sort_by_key(|(latency, _)| std::cmp::Reverse(*latency));
            let median = taken[taken.len() / 2].0;
            let limit = (median * FACTOR).max(FLOOR);
            let slow = taken.partition_point(|(latency, _)| *latency > limit);
            if slow > 0 {
                let message = format!(
                    "{slow} of {} took longer than {}, the slowest {}; the median is {}",
                    count(taken.len(), "call"),
                    show_duration(limit),
                    show_duration(taken[0].0),
                    show_duration(median)
                );
                let spots = taken[..slow].iter().map(|(_, spot)| *spot);
                out.find(&owner, generation, message, spots);
            }
        }
    }
}
