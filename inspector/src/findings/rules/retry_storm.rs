use std::collections::HashMap;
use std::time::Duration;

use glovebox_abi::units::show_duration;

use super::super::record::{Record, Spot};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;

/// The same thing tried again and again without success.
pub(super) struct RetryStorm;

const MIN_FRAMES: usize = 5;
const WITHIN: Duration = Duration::from_secs(10);
const MIN_HOST_CALLS: u32 = 10;

/// Equal frames that failed one after the other.
#[derive(Default)]
struct Streak {
    first_at: u64,
    spots: Vec<Spot>,
    took: Duration,
}

impl Rule for RetryStorm {
    fn id(&self) -> &'static str {
        "retry-storm"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "The same frame was given to a plugin at least 5 times within 10 s although each call \
         failed, or a plugin made the same failing host call at least 10 times in a row in one call."
    }

    fn remedy(&self) -> &'static str {
        "wait longer after each failure, give up after a few, and mend the cause"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for ((owner, generation), calls) in record.generations() {
            let mut streaks = HashMap::<(u32, u64), Streak>::new();
            let mut worst = Streak::default();
            for call in &calls {
                let key = (call.input.run, call.input_hash);
                if call.end.is_none() || call.is_completed() {
                    streaks.remove(&key);
                    continue;
                }
                let streak = streaks.entry(key).or_default();
                let since = |first: u64| Duration::from_nanos(call.at.saturating_sub(first));
                if streak.spots.is_empty() || since(streak.first_at) > WITHIN {
                    *streak = Streak { first_at: call.at, ..Streak::default() };
                }
                streak.spots.push(call.input);
                streak.took = since(streak.first_at);
                if streak.spots.len() > worst.spots.len() {
                    worst = Streak { spots: streak.spots.clone(), ..*streak };
                }
            }
            if worst.spots.len() >= MIN_FRAMES {
                let (times, took) = (worst.spots.len(), show_duration(worst.took));
                let message = format!("the same frame failed {times} times within {took}");
                out.find(&owner, generation, message, worst.spots);
            }
            let asked = calls.iter().filter_map(|call| Some((call.asked_again?, call.input)));
            let mut asked: Vec<_> =
                asked.filter(|(again, _)| again.times >= MIN_HOST_CALLS).collect();
            asked.sort_by_key(|(again, _)| std::cmp::Reverse(again.times));
            if let Some((most, _)) = asked.first() {
                let message = format!(
                    "the same host call failed {} times in a row in one call; {} did so",
                    most.times,
                    super::count(asked.len(), "call")
                );
                let spots =
                    asked.iter().map(|(again, input)| Spot { sequence: again.first, ..*input });
                out.find(&owner, generation, message, spots);
            }
        }
    }
}
