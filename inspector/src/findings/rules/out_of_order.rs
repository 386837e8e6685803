use std::collections::BTreeMap;

use super::super::record::{Owner, Record, Spot};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Answers in another order than the questions.
pub(super) struct OutOfOrder;

impl Rule for OutOfOrder {
    fn id(&self) -> &'static str {
        "out-of-order"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "In one run, an instance gave the first frame for a call after the first frame for a call that \
         started later, whichever of its copies did; or the frames of one call are not numbered 0, \
         1, 2 in the order in which they came."
    }

    fn remedy(&self) -> &'static str {
        "let one copy answer (`instances = 1`), or have whoever asks match answers by the header \
         `id`"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        let mut runs = BTreeMap::<(u32, Owner), Vec<_>>::new();
        for call in &record.calls {
            let owner = record.segment(call).owner.clone();
            runs.entry((call.input.run, owner)).or_default().push(call);
        }
        for ((_, owner), calls) in runs {
            let generation = calls.last().map_or(1, |call| record.segment(call).key.generation);
            let mut overtaken = Vec::new();
            let mut earliest_later = u64::MAX;
            for call in calls.iter().rev() {
                if let Some(first) = call.first_output {
                    if first > earliest_later {
                        overtaken.push(Spot { sequence: first, ..call.input });
                    }
                    earliest_later = earliest_later.min(first);
                }
            }
            overtaken.reverse();
            if !overtaken.is_empty() {
                let message = format!(
                    "{} answered after a call that started later",
                    count(overtaken.len(), "call")
                );
                out.find(&owner, generation, message, overtaken);
            }
            let disordered: Vec<_> = calls
                .iter()
                .filter_map(|call| Some(Spot { sequence: call.disordered?, ..call.input }))
                .collect();
            if !disordered.is_empty() {
                let message =
                    format!("{} gave frames out of order", count(disordered.len(), "call"));
                out.find(&owner, generation, message, disordered);
            }
        }
    }
}
