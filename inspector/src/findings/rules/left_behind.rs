use super::super::record::Record;
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;

/// The things that reloads left behind, as the host said it.
pub(super) struct LeftBehind;

impl Rule for LeftBehind {
    fn id(&self) -> &'static str {
        "left-behind"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "Something of a generation did not go away with it, as the host saw it: copies that live on after 3 \
         more generations took over; a destructor that panicked; more than 3 libraries that stay mapped; \
         256 KiB or more of memory of this process that stays in use after at least 6 of the last 8 swaps."
    }

    fn remedy(&self) -> &'static str {
        "free in the destructor what the plugin holds, end its threads and calls in `cleanup`, or run a \
         native plugin in a process of its own"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        for (owner, left) in &record.left_behind {
            for (generation, message, spot) in left {
                out.find(owner, *generation, message.clone(), [*spot]);
            }
        }
    }
}
