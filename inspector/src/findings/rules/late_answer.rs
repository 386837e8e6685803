use std::collections::BTreeMap;
use std::time::Duration;

use glovebox_abi::Kind;
use glovebox_abi::units::show_duration;

use super::super::record::{CallEnd, CallRecord, Record, Spot};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Answers that come late, or not at all.
pub(super) struct LateAnswer;

const LATE: Duration = Duration::from_secs(1);
const MIN_CALLS: usize = 20;

impl Rule for LateAnswer {
    fn id(&self) -> &'static str {
        "late-or-missing-answer"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "Late: a call completed more than 1 s after its frame was handed in, the queue included, or \
         gave a frame after its end. Missing: it was stopped at its deadline, it never ended though \
         the run went on for 1 s, or it completed without a frame though at least 95 % of at least \
         20 completed calls of its generation and kind gave one."
    }

    fn remedy(&self) -> &'static str {
        "answer first and do long work later; answer every frame, with an error frame if need be"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for ((owner, generation), calls) in record.generations() {
            let mut find = |spots: Vec<Spot>, what: &str| {
                if !spots.is_empty() {
                    let message = format!("{} {what}", count(spots.len(), "call"));
                    out.find(&owner, generation, message, spots);
                }
            };
            let spots = |is: &dyn Fn(&CallRecord) -> bool| -> Vec<Spot> {
                calls.iter().filter(|call| is(call)).map(|call| call.input).collect()
            };
            let late = spots(&|call| {
                let end = call.end.filter(|_| call.is_completed());
                end.is_some_and(|end| end.timing.queue + end.timing.latency() > LATE)
            });
            let limit = show_duration(LATE);
            find(late, &format!("answered later than {limit} after the frame was handed in"));
            let after = calls
                .iter()
                .filter_map(|call| Some(Spot { sequence: call.after_end?, ..call.input }));
            find(after.collect(), "gave a frame after the end");
            let is_late = |end: CallEnd| end.outcome == "timed-out" && !end.is_made_up;
            let stopped = spots(&|call| call.end.is_some_and(is_late));
            find(stopped, "did not answer before the deadline");
            let endless = spots(&|call| {
                let last = record.ends.get(call.input.run as usize).copied().unwrap_or(0);
                let since = Duration::from_nanos(last.saturating_sub(call.at));
                call.end.is_none() && since >= LATE
            });
            find(endless, "never ended");
            find(silent(&calls), "completed without an answer, unlike nearly all others");
        }
    }
}

/// Calls without an output, of kinds that are answered nearly always.
fn silent(calls: &[&CallRecord]) -> Vec<Spot> {
    let mut kinds = BTreeMap::<Kind, (usize, Vec<Spot>)>::new();
    for call in calls.iter().filter(|call| call.is_completed()) {
        let (all, silent) = kinds.entry(call.kind).or_default();
        *all += 1;
        if call.frames_out == 0 {
            silent.push(call.input);
        }
    }
    let odd =
        kinds.into_values().filter(|(all, silent)| *all >= MIN_CALLS && silent.len() * 20 <= *all);
    odd.flat_map(|(_, silent)| silent).collect()
}
