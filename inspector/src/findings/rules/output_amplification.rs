use glovebox_abi::units::show_size;

use super::super::record::{CallRecord, Record};
use super::super::rule::{Rule, Verdict};
use super::super::severity::Severity;
use super::count;

/// Small inputs with large outputs.
pub(super) struct OutputAmplification;

const FACTOR: u64 = 10;
const MIN_BYTES: u64 = 64 << 10;
const MIN_FRAMES: u32 = 100;

impl Rule for OutputAmplification {
    fn id(&self) -> &'static str {
        "output-amplification"
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn describe(&self) -> &'static str {
        "A call gave at least 10 times the bytes of its input and at least 64 KiB, or at least 100 \
         frames."
    }

    fn remedy(&self) -> &'static str {
        "check that whoever sends small frames may cause large ones; set `output-bytes` and \
         `output-frames` under [limits]"
    }

    fn run(&self, record: &Record, out: &mut Verdict) {
        let amplifies = |call: &&&CallRecord| {
            let many = call.bytes_out >= MIN_BYTES
                && call.bytes_out >= call.bytes_in.saturating_mul(FACTOR);
            many || call.frames_out >= MIN_FRAMES
        };
        for ((owner, generation), calls) in record.generations() {
            let mut found: Vec<_> = calls.iter().filter(amplifies).collect();
            found.sort_by_key(|call| std::cmp::Reverse(call.bytes_out));
            let Some(worst) = found.first() else { continue };
            let message = format!(
                "{} of {} made much of little, the worst {} and {} of {}",
                found.len(),
                count(calls.len(), "call"),
                count(worst.frames_out as usize, "frame"),
                show_size(worst.bytes_out),
                show_size(worst.bytes_in)
            );
            out.find(&owner, generation, message, found.iter().map(|call| call.input));
        }
    }
}
