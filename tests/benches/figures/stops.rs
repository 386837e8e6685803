//! How long after its deadline a call ends that would never end by itself.

use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::Outcome;
use glovebox_tests::Bench;
use glovebox_tests::guest::Guest;

use crate::figure::{Figures, median};

const ROUNDS: usize = 21;
const DEADLINE: Duration = Duration::from_millis(20);

pub(crate) fn run(figures: &mut Figures) {
    stop(figures, "stop-loop", "(loop (br 0))", 1, 50.0);
    // One instruction is long: the deadline is looked at between two.
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3FF0000)) (br 0))";
    stop(figures, "stop-memory-fill", fill, 1023, 150.0);
}

/// The slowest of all rounds beside the median one.
fn stop(figures: &mut Figures, name: &str, bad: &str, pages: u32, target: f64) {
    if !figures.wants(name) {
        return;
    }
    let bench = Bench::new();
    let guest = Guest { bad, pages, ..Guest::default() };
    let module = wat::parse_str(guest.module()).expect("the text is a module");
    let limits = "[limits]\ncall-deadline = \"20 ms\"";
    let mut late = Vec::new();
    for bytes in [module, guest.component()] {
        let id = bench.load_bytes("guest.wasm", &bytes, limits).expect("it loads");
        for _ in 0..ROUNDS {
            let frame = Frame::data("!");
            let started = Instant::now();
            let stopped = bench.host.call(id, &frame);
            let took = started.elapsed();
            assert!(matches!(stopped.outcome, Outcome::TimedOut { .. }), "{:?}", stopped.outcome);
            late.push(took.saturating_sub(DEADLINE).as_secs_f64() * 1e3);
        }
        bench.host.unload(id);
    }
    let slowest = late.iter().copied().fold(0.0, f64::max);
    figures.add(name, slowest, "ms", ("median-ms", median(late)), target);
}
