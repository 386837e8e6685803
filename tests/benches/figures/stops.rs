//! The time until a call ends that would never end by itself: the slowest of all rounds, from its beginning, beside
//! the first moment at which it may end. That is its deadline, and where one instruction takes long, the
//! end of the instruction that is under way then, because the deadline is looked at between two.

use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::Outcome;
use glovebox_tests::Bench;
use glovebox_tests::guest::Guest;

use crate::figure::{Figures, median};

const ROUNDS: usize = 21;
const DEADLINE: Duration = Duration::from_millis(20);
/// Bytes that the long instruction fills.
const FILLED: usize = 0x3FF_0000;

pub(crate) fn run(figures: &mut Figures) {
    stop(figures, "stop-loop", "(loop (br 0))", 1, 0, 3.0);
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3FF0000)) (br 0))";
    stop(figures, "stop-memory-fill", fill, 1023, FILLED, 3.0);
}

fn stop(figures: &mut Figures, name: &str, bad: &str, pages: u32, filled: usize, target: f64) {
    if !figures.wants(name) {
        return;
    }
    let bench = Bench::new();
    let guest = Guest { bad, pages, ..Guest::default() };
    let module = wat::parse_str(guest.module()).expect("the text is a module");
    let limits = "[limits]\ncall-deadline = \"20 ms\"";
    let (mut taken, mut fills) = (Vec::new(), Vec::new());
    for bytes in [module, guest.component()] {
        let id = bench.load_bytes("guest.wasm", &bytes, limits).expect("it loads");
        for _ in 0..ROUNDS {
            let frame = Frame::data("!");
            let started = Instant::now();
            let stopped = bench.host.call(id, &frame);
            taken.push(milliseconds(started));
            assert!(matches!(stopped.outcome, Outcome::TimedOut { .. }), "{:?}", stopped.outcome);
            // A fresh copy has fresh memory, whose pages are first touched as it is filled.
            let started = Instant::now();
            drop(std::hint::black_box(vec![1u8; filled]));
            fills.push(milliseconds(started));
        }
        bench.host.unload(id);
    }
    let slowest = taken.iter().copied().fold(0.0, f64::max);
    let earliest = DEADLINE.as_secs_f64() * 1e3 + median(fills);
    figures.add(name, slowest, "ms", ("deadline-and-instruction-ms", earliest), target);
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
