//! Runs that must repeat, and the fuel that takes the place of time in them.

use glovebox_abi::Frame;
use glovebox_abi::manifest::LimitKind;
use glovebox_events::{Outcome, What};
use glovebox_host::{Compiler, Enforcement, LoadRequest};
use glovebox_tests::guest::Guest;
use glovebox_tests::{Bench, fixture, native_sample};

const SCRIPT: [&str; 12] = [
    "service random 16",
    "service now",
    "repeat 3 service now",
    "repeat 2 service random 5",
    "service kv-set a 1",
    "service kv-list",
    "fail 1000 on purpose",
    // From here on a fresh copy answers.
    "panic on purpose",
    "service random 16",
    "count",
    "repeat 60 service now",
    "service now",
];

/// The events of a script, as text, without the time it took.
fn run(request: LoadRequest) -> Vec<String> {
    let bench = Bench::new();
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    for command in SCRIPT {
        bench.host.call(id, &Frame::data(command));
    }
    let events = bench.events.events().into_iter();
    events
        .filter_map(|event| match event.what {
            What::FrameOut { index, frame, .. } => Some(format!("{index} {frame:?}")),
            What::HostCall { host_call, .. } => Some(format!(
                "{} {:?} {:?}",
                host_call.service, host_call.arguments, host_call.result
            )),
            What::CallEnded { outcome, memory, .. } => Some(format!("{outcome} {memory:?}")),
            _ => None,
        })
        .collect()
}

#[test]
fn the_same_frames_and_seed_give_the_same_bytes() {
    for name in ["parity-plugin.wasm", "parity-plugin.frame-abi.wasm"] {
        let seeded = |seed| run(LoadRequest::path(fixture(name)).deterministic(seed));
        let first = seeded(7);
        assert!(first.len() > 2 * SCRIPT.len(), "{first:?}");
        assert_eq!(first, seeded(7), "{name}");
        assert_ne!(first, seeded(8), "{name}");
        let request = LoadRequest::path(fixture(name)).deterministic(7);
        assert_eq!(first, run(request.compiler(Compiler::Quick)), "{name}: the quick compiler");
        let free = || run(LoadRequest::path(fixture(name)));
        assert_ne!(free(), free(), "{name}: nothing differs, so nothing is shown");
    }
    let request = LoadRequest::path(native_sample("parity-plugin")).trust_native();
    let error = Bench::new().host.load(request.deterministic(7)).wait().unwrap_err().to_string();
    let expected =
        "policy: mode for native plugins `deterministic` is not available in this host; ";
    assert!(error.starts_with(expected), "{error}");
}

/// Counts down from a number, so that the work is known to the instruction.
const COUNT: &str = "(local $n i32)
    (local.set $n (i32.const 10000))
    (loop
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if 0 (local.get $n)))";

#[test]
fn fuel_ends_a_call_at_the_same_instruction() {
    let guest = Guest { bad: COUNT, ..Guest::default() };
    for bytes in [wat::parse_str(guest.module()).unwrap(), guest.component()] {
        let completes = |fuel: u64| {
            let bench = Bench::new();
            let manifest = format!("[limits]\nfuel = {fuel}");
            let id = bench.load_bytes("a.wasm", &bytes, &manifest).unwrap();
            let outcome = bench.host.call(id, &Frame::data("!")).outcome;
            match &outcome {
                Outcome::Completed => true,
                outcome => {
                    let (asked, allowed) = (fuel + 1, fuel);
                    let expected =
                        format!("limit exceeded: asked for {asked} of fuel, limit {allowed}");
                    assert_eq!(outcome.to_string(), expected);
                    let status = bench.host.plugin(id).unwrap();
                    let fuel = status.limit(LimitKind::Fuel);
                    assert_eq!(fuel.unwrap().hits, 1);
                    assert_eq!(bench.ask(id, "a"), "1", "a fresh copy, with as much fuel");
                    false
                }
            }
        };
        // Where it ends is found by halving, and is the same the second time.
        let (mut short, mut enough) = (1_000, 1_000_000);
        assert!(!completes(short) && completes(enough));
        while enough - short > 1 {
            let middle = (short + enough) / 2;
            if completes(middle) { enough = middle } else { short = middle }
        }
        assert!((50_000..200_000).contains(&enough), "{enough} units for 10,000 rounds");
        assert!(completes(enough) && !completes(enough - 1));
    }
}

#[test]
fn fuel_is_enforced_where_work_is_counted() {
    #[track_caller]
    fn check(manifest: &str, expected: bool) {
        let bench = Bench::new();
        let bytes = wat::parse_str(Guest::default().module()).unwrap();
        let id = bench.load_bytes("a.wasm", &bytes, manifest).unwrap();
        let status = bench.host.plugin(id).unwrap();
        let fuel = status.limit(LimitKind::Fuel).unwrap();
        assert_eq!(fuel.enforcement == Enforcement::Enforced, expected, "{manifest}");
        assert_eq!(bench.ask(id, "a"), "1");
    }
    check("[limits]\nfuel = 1000", true);
    check("[runtime]\ndeterministic = true", true);
    check("[runtime]\ndeterministic = true\nseed = 5", true);
    check("[limits]\nqueue = 7", false);
    // Also what runs at the start is counted.
    let guest = Guest { fields: "(func $s (loop (br 0))) (start $s)", ..Guest::default() };
    let bytes = wat::parse_str(guest.module()).unwrap();
    let error = Bench::new().load_bytes("a.wasm", &bytes, "[limits]\nfuel = 1000").unwrap_err();
    let expected = "initialize: the plugin limit exceeded: asked for 1001 of fuel, limit 1000; \
                    raise `fuel` under [limits]";
    assert!(error.to_string().starts_with(expected), "{error}");
}
