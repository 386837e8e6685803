use glovebox_abi::units::show_size;

use super::super::record::{Record, Spot};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;

/// Memory that grows and grows.
pub(super) struct GrowingMemory;

const MIN_CALLS: usize = 100;
const PARTS: usize = 8;
/// A page of WebAssembly.
const FLOOR: u64 = 64 << 10;

impl Rule for GrowingMemory {
    fn id(&self) -> &'static str {
        "growing-memory"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "The calls of one copy, cut into 8 equal parts: the most memory after a call is more than \
         in the part before in at least 3 of the last 4 parts, by 64 KiB or more in all; from 100 \
         calls on, where the tier can tell its memory."
    }

    fn remedy(&self) -> &'static str {
        "look for data that is kept of each frame and never freed; set a bound or a `memory` budget"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for (segment, calls) in record.segments.iter().zip(record.by_segment()) {
            let held: Vec<(u64, Spot)> =
                calls.iter().filter_map(|call| Some((call.end?.memory?, call.input))).collect();
            if held.len() < MIN_CALLS {
                let reason = format!("{} of {MIN_CALLS} calls that tell their memory", held.len());
                out.skip(&segment.owner, reason);
                continue;
            }
            let most = |index: usize| {
                let part = &held[held.len() * index / PARTS..held.len() * (index + 1) / PARTS];
                part.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0)
            };
            let most: Vec<u64> = (0..PARTS).map(most).collect();
            let late = &most[PARTS / 2 - 1..];
            let rises = late.windows(2).filter(|pair| pair[1] > pair[0]).count();
            let (middle, last) = (late[0], late[late.len() - 1]);
            if rises >= 3 && last.saturating_sub(middle) >= FLOOR {
                let message = format!(
                    "memory rose from {} to {} over {} calls, and still rises",
                    show_size(held[0].0),
                    show_size(last),
                    held.len()
                );
                let steps = held.windows(2).filter(|pair| pair[1].0 > pair[0].0);
                let spots = steps.rev().map(|pair| pair[1].1);
                out.find(&segment.owner, segment.key.generation, message, spots);
            }
        }
    }
}
