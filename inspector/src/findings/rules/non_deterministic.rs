use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::record::{CallRecord, Record, Segment};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Other outputs for the same inputs.
pub(super) struct NonDeterministic;

impl Rule for NonDeterministic {
    fn id(&self) -> &'static str {
        "non-deterministic-output"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "Two fresh copies of the same artifact (by digest) got the same frames in the same order, \
         byte for byte, from their first frame on, and some call ended otherwise or gave other \
         bytes. The copies are of two runs (`replay --runs 2`) or of two instances of one run; \
         what comes after the inputs part is not compared. It needs the beginning of both."
    }

    fn remedy(&self) -> &'static str {
        "take time and chance from the host and set `deterministic = true` under [runtime]; sort \
         what comes out of hash maps"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        let segments = record.by_segment();
        let mut same = BTreeMap::<(Arc<str>, Option<&str>), Vec<usize>>::new();
        for (index, segment) in record.segments.iter().enumerate() {
            if !segments[index].is_empty() && !segment.carried_state {
                let facts = record.facts_of(&segment.owner);
                let known = facts.and_then(|facts| facts.digest.as_deref());
                let own = (segment.key.plugin.clone(), segment.key.instance);
                let recorded = record.digests.get(&own).map(String::as_str);
                let digest = segment.digest.as_deref().or(recorded).or(known);
                same.entry((segment.key.plugin.clone(), digest)).or_default().push(index);
            }
        }
        for (_, copies) in same {
            let Some(first) = copies.first().map(|first| &record.segments[*first].owner) else {
                continue;
            };
            if record.calls_left_out > 0 {
                out.skip(first, "the first calls are not in the record".to_owned());
                continue;
            }
            let mut compared = 0;
            for (position, second) in copies.iter().enumerate() {
                let pairs = copies[..position]
                    .iter()
                    .map(|first| (*first, prefix(&segments, *first, *second)));
                // The copy that was given the same for longest.
                let Some((one_of, length)) = pairs.max_by_key(|(_, length)| *length) else {
                    continue;
                };
                compared = compared.max(length);
                let pairs = segments[one_of].iter().zip(&segments[*second]).take(length);
                let mut odd = pairs.filter(|(one, other)| differ(one, other)).peekable();
                let Some((one, other)) = odd.peek().copied() else { continue };
                let told = segments[one_of].iter().zip(&segments[*second]).take(length);
                let told = told
                    .take_while(|(before, _)| before.input != one.input)
                    .chain([(one, other)])
                    .any(|(one, other)| one.host_hash != other.host_hash);
                let why = match told {
                    true => "the host had told it other things, such as the time",
                    false => "the host had told it the same",
                };
                let Segment { key, owner, .. } = &record.segments[*second];
                let number = odd.clone().count();
                let message = format!(
                    "{number} of {} with the same input ended otherwise or gave other bytes; by the \
                     first of them {why}",
                    count(length, "call")
                );
                let spots = odd.flat_map(|(one, other)| [one.input, other.input]);
                out.find(owner, key.generation, message, spots);
            }
            if compared == 0 {
                out.skip(first, "needs two runs of the same input".to_owned());
            }
        }
    }
}

/// For how many calls two copies were given the same.
fn prefix(segments: &[Vec<&CallRecord>], first: usize, second: usize) -> usize {
    let pairs = segments[first].iter().zip(&segments[second]);
    pairs
        .take_while(|(one, other)| one.input_hash == other.input_hash)
        .take_while(|(one, other)| one.end.is_some() && other.end.is_some())
        .count()
}

fn differ(one: &CallRecord, other: &CallRecord) -> bool {
    let outcome = |call: &CallRecord| call.end.map(|end| end.outcome);
    one.output_hash != other.output_hash || outcome(one) != outcome(other)
}
