//! Modules and components of every kind: the call ends with its exact cause, the copy is thrown
//! away if it has to be, and the next frame is answered; loading any file ends with one sentence.

use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_abi::manifest::Limits;
use glovebox_tests::alone::{alone, resident};
use glovebox_tests::guest::Guest;
use glovebox_tests::{Bench, sample};

/// How long a test waits for something that comes soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts two frames, does the bad thing, and counts on: from the start in a fresh copy, otherwise
/// where it was.
#[track_caller]
fn misbehave(bench: &Bench, bytes: &[u8], limits: &str, expected: &str, fresh: bool) {
    let id = bench
        .load_bytes("guest.wasm", bytes, &format!("[permissions]\nlog = true\nnow = true\nrandom = true\nkv = true\nemit = true\n[limits]\n{limits}"))
        .unwrap_or_else(|error| panic!("{error}"));
    // On a busy machine any call may take as long as a deadline that is short.
    let limits = bench.host.plugin(id).unwrap().limits;
    let patient = Limits { call_deadline: Duration::from_secs(30), ..limits.clone() };
    bench.host.set_limits(id, patient.clone()).unwrap();
    assert_eq!(bench.ask(id, "a"), "1");
    assert_eq!(bench.ask(id, "a"), "2");
    bench.host.set_limits(id, limits).unwrap();
    let outcome = bench.ask(id, "!");
    bench.host.set_limits(id, patient).unwrap();
    assert!(outcome.contains(expected), "{outcome:?} lacks {expected:?}");
    assert!(outcome.len() < 17_000, "{} bytes of message", outcome.len());
    let restarts = bench.host.plugin(id).unwrap().stats.restarts;
    assert_eq!(bench.ask(id, "a"), if fresh { "1" } else { "3" }, "after {outcome}");
    assert_eq!(restarts, u64::from(fresh), "{outcome}");
    bench.host.unload(id);
}

#[track_caller]
fn module(guest: Guest<'_>, limits: &str, expected: &str) {
    let bytes = wat::parse_str(guest.module()).unwrap_or_else(|error| panic!("{error}"));
    misbehave(&Bench::new(), &bytes, limits, expected, true);
}

#[track_caller]
fn component(guest: Guest<'_>, limits: &str, expected: &str) {
    misbehave(&Bench::new(), &guest.component(), limits, expected, true);
}

/// Every code that instructions can reach with the features that are on. Those of garbage
/// collection, threads, exceptions, stack switching and asynchronous components are refused before
/// they could run, see `features_that_are_off_are_named`.
#[test]
fn every_trap_is_named() {
    #[track_caller]
    fn check(bad: &str, expected: &str) {
        let fields = r#"(type $nothing (func)) (type $number (func (result i32)))
            (table 4 funcref) (elem (i32.const 1) $one) (elem $passive func $one)
            (func $one (result i32) (i32.const 1))
            (func $deep (call $deep))
            (data $dropped "x")"#;
        let guest = Guest { bad, fields, ..Guest::default() };
        let bytes = wat::parse_str(guest.module()).unwrap_or_else(|error| panic!("{error}"));
        misbehave(&Bench::new(), &bytes, "", &format!("trapped: {expected}: "), true);
        misbehave(&Bench::new(), &guest.component(), "", &format!("trapped: {expected}: "), true);
    }
    check("unreachable", "unreachable-code-reached");
    check("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "integer-division-by-zero");
    check("(drop (i64.rem_u (i64.const 1) (i64.const 0)))", "integer-division-by-zero");
    check("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "integer-overflow");
    check("(drop (i32.trunc_f32_s (f32.const 1e20)))", "integer-overflow");
    check("(drop (i32.trunc_f64_u (f64.const nan)))", "bad-conversion-to-integer");
    check("(drop (i32.load (i32.const 0x7fffffff)))", "memory-out-of-bounds");
    check("(i64.store offset=0xffffffff (i32.const -1) (i64.const 0))", "memory-out-of-bounds");
    check("(memory.fill (i32.const 65000) (i32.const 0) (i32.const 9999))", "memory-out-of-bounds");
    check("(memory.copy (i32.const 0) (i32.const -1) (i32.const 2))", "memory-out-of-bounds");
    check(
        "(data.drop $dropped) (memory.init $dropped (i32.const 0) (i32.const 0) (i32.const 1))",
        "memory-out-of-bounds",
    );
    check("(drop (table.get (i32.const 9)))", "table-out-of-bounds");
    check("(table.fill (i32.const 3) (ref.null func) (i32.const 2))", "table-out-of-bounds");
    check("(table.init $passive (i32.const 0) (i32.const 1) (i32.const 1))", "table-out-of-bounds");
    check("(call_indirect (type $nothing) (i32.const 9))", "table-out-of-bounds");
    check("(call_indirect (type $nothing) (i32.const 0))", "indirect-call-to-null");
    check("(call_indirect (type $nothing) (i32.const 1))", "bad-signature");
    check("(call $deep)", "stack-overflow");
}

#[test]
fn loops_end_at_the_deadline() {
    #[track_caller]
    fn check(bad: &str, pages: u32) {
        let guest = Guest { bad, pages, ..Guest::default() };
        let expected = "timed out: stopped at its deadline of 50 ms";
        let started = Instant::now();
        module(guest, "call-deadline = \"50 ms\"", expected);
        component(guest, "call-deadline = \"50 ms\"", expected);
        assert!(started.elapsed() < PATIENCE, "{bad}");
    }
    check("(loop (br 0))", 1);
    // One instruction that is long: the deadline is looked at between two.
    check("(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3FF0000)) (br 0))", 1023);
}

#[test]
fn a_start_that_loops_is_stopped_and_never_listed() {
    #[track_caller]
    fn check(fields: &str) {
        let guest = Guest { fields, ..Guest::default() };
        let bytes = wat::parse_str(guest.module()).unwrap();
        for bytes in [bytes, guest.component()] {
            let bench = Bench::new();
            let error = bench
                .load_bytes("guest.wasm", &bytes, "[lifecycle]\nstart-deadline = \"50 ms\"")
                .unwrap_err()
                .to_string();
            let expected = "initialize: the plugin timed out: stopped at its deadline of 50 ms; ";
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(bench.host.plugins().len(), 0);
        }
    }
    check("(func $start (loop (br 0))) (start $start)");
    check("(func (export \"_initialize\") (loop (br 0)))");
}

/// A resource of the component's own, whose destructor does something bad.
fn things<'a>(bad: &'a str, destructor: &'a str) -> Guest<'a> {
    // Leaked, because the guest borrows all its text and a test ends soon.
    let fields = format!(
        r#"(import "[export]test:guest/things" "[resource-new]thing"
            (func $new (param i32) (result i32)))
        (import "[export]test:guest/things" "[resource-drop]thing" (func $drop (param i32)))
        (func (export "test:guest/things#[constructor]thing") (result i32)
            (call $new (i32.const 7)))
        (func (export "test:guest/things#[dtor]thing") (param i32) {destructor})"#
    );
    Guest {
        bad,
        fields: fields.leak(),
        interfaces: "interface things { resource thing { constructor(); } }",
        world: "export things;",
        ..Guest::default()
    }
}

#[test]
fn a_destructor_that_loops_is_stopped() {
    component(
        things("(call $drop (call $new (i32.const 7)))", "(loop (br 0))"),
        "call-deadline = \"50 ms\"",
        "timed out: stopped at its deadline of 50 ms",
    );
}

#[test]
fn handles_have_a_limit() {
    let loops = |body: &str, count: u32| {
        format!(
            "(local $n i32)
            (loop
                {body}
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $n) (i32.const {count}))))
            (i32.store (i32.const 276) (i32.const 0)) (i32.store (i32.const 280) (i32.const 0))
            (return (i32.const 272))"
        )
    };
    let leak = "(drop (call $new (i32.const 7)))";
    let churn = "(call $drop (call $new (i32.const 7)))";
    let check = |body: &str, count: u32, limits: &str, expected: &str| {
        let limits = format!("{limits}call-deadline = \"20 s\"");
        let bytes = things(&loops(body, count), "").component();
        misbehave(&Bench::new(), &bytes, &limits, expected, !expected.is_empty());
    };
    check(leak, 10_000, "", "");
    check(leak, 10_001, "", "limit exceeded: asked for 10001 of resources, limit 10000");
    check(leak, 7, "resources = 7\n", "");
    check(leak, 8, "resources = 7\n", "limit exceeded: asked for 8 of resources, limit 7");
    // Handles that are given back do not count.
    check(churn, 20_000, "resources = 7\n", "");
}

#[test]
fn deep_recursion_through_the_host_ends_the_call_alone() {
    let limits = "host-calls = 10000000\ncall-deadline = \"20 s\"";
    let guest = Guest {
        bad: "(call $deep)",
        fields: r#"(import "glovebox" "now" (func $now (result i64)))
            (func $deep (drop (call $now)) (call $deep))"#,
        ..Guest::default()
    };
    module(guest, limits, "trapped: stack-overflow: call stack exhausted in `deep`");
    let guest = Guest {
        fields: r#"(import "glovebox:plugin/host@0.1.0" "now" (func $now (param i32)))
            (func $deep (call $now (i32.const 1024)) (call $deep))"#,
        ..guest
    };
    component(guest, limits, "trapped: stack-overflow: ");
}

#[test]
fn memory_and_tables_have_limits() {
    let grow = "(loop (drop (memory.grow (i32.const 16))) (br 0))";
    let guest = Guest { bad: grow, ..Guest::default() };
    // From one page in steps of 1 MiB.
    let expected = "limit exceeded: asked for 64.1 MiB of memory, limit 64 MiB";
    module(guest, "", expected);
    component(guest, "", expected);
    let guest = Guest {
        bad: "(drop (table.grow $t (ref.null func) (i32.const 100000000)))",
        fields: "(table $t 0 funcref)",
        ..Guest::default()
    };
    let expected = "limit exceeded: asked for 100000000 of table, limit 10000";
    module(guest, "", expected);
    component(guest, "", expected);
}

#[test]
fn a_memory_of_4_gib_costs_nothing() {
    alone("cases_wasm::a_memory_of_4_gib_costs_nothing", || {
        let bench = Bench::new();
        let guest = Guest { pages: 65536, ..Guest::default() };
        let bytes = wat::parse_str(guest.module()).unwrap();
        let before = resident();
        let error = bench.load_bytes("guest.wasm", &bytes, "").unwrap_err().to_string();
        let expected = "initialize: the plugin limit exceeded: asked for 4 GiB of memory, limit \
                        64 MiB; raise `memory` under [limits]";
        assert!(error.starts_with(expected), "{error}");
        let grown = resident().zip(before).map_or(0, |(now, then)| now.saturating_sub(then));
        // Compiling takes a little.
        assert!(grown < 64 << 20, "{grown} bytes");
    });
}

/// A component says that it hands over more than there is room for: many long lists that are all the
/// same bytes.
#[test]
fn lists_beyond_the_limit_are_refused_by_the_engine() {
    alone("cases_wasm::lists_beyond_the_limit_are_refused_by_the_engine", || {
        let before = resident();
        // A list of 100,000 frames with 1 MiB each, at 64 KiB.
        let frames = "(local $at i32)
            (local.set $at (i32.const 65536))
            (loop
                (i32.store8 (local.get $at) (i32.const 0x52))
                (i32.store offset=4 (local.get $at) (i32.const 0))
                (i32.store offset=8 (local.get $at) (i32.const 0))
                (i32.store offset=12 (local.get $at) (i32.const 65536))
                (i32.store offset=16 (local.get $at) (i32.const 0x100000))
                (local.set $at (i32.add (local.get $at) (i32.const 20)))
                (br_if 0 (i32.lt_u (local.get $at) (i32.const 2065536))))
            (i32.store (i32.const 276) (i32.const 65536))
            (i32.store (i32.const 280) (i32.const 100000))
            (return (i32.const 272))";
        let guest = Guest { bad: frames, pages: 100, ..Guest::default() };
        let limits = "call-deadline = \"20 s\"";
        component(guest, limits, "limit exceeded: asked for 9 MiB of output-bytes, limit 8 MiB");
        // One line of 32 MiB.
        let guest = Guest {
            bad: "(call $log (i32.const 2) (i32.const 0) (i32.const 0x2000000) (i32.const 1024))",
            fields: r#"(import "glovebox:plugin/host@0.1.0" "log"
                (func $log (param i32 i32 i32 i32)))"#,
            pages: 600,
            ..Guest::default()
        };
        component(guest, "", "limit exceeded: asked for 9 MiB of host-call-bytes, limit 8 MiB");
        // Less than the engine's number, and still more than the limit.
        let expected = "limit exceeded: asked for 32 MiB of host-call-bytes, limit 1 KiB";
        component(guest, "output-bytes = \"64 MiB\"\nhost-call-bytes = \"1 KiB\"", expected);
        let guest = Guest {
            bad: "(drop (call $log (i32.const 2) (i32.const 0) (i32.const 0x2000000)))",
            fields: r#"(import "glovebox" "log" (func $log (param i32 i32 i32) (result i32)))"#,
            ..guest
        };
        let expected = "limit exceeded: asked for 32 MiB of host-call-bytes, limit 8 MiB";
        module(guest, "", expected);
        let grown = resident().zip(before).map_or(0, |(now, then)| now.saturating_sub(then));
        assert!(grown < 256 << 20, "{grown} bytes");
    });
}

/// Numbers that are not what they should be, at the edge between module and host.
#[test]
fn bad_pointers_of_modules_end_the_call_and_no_more() {
    const IMPORTS: &str = r#"(import "glovebox" "log" (func $log (param i32 i32 i32) (result i32)))
        (import "glovebox" "kv_get" (func $get (param i32 i32 i32 i32) (result i64)))
        (import "glovebox" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
        (import "glovebox" "emit" (func $emit (param i32 i32) (result i32)))
        (import "glovebox" "random" (func $random (param i32 i32) (result i32)))"#;
    /// Whether the copy goes on is told by `fresh`.
    #[track_caller]
    fn check(bad: &str, expected: &str, fresh: bool) {
        let guest = Guest { bad, fields: IMPORTS, ..Guest::default() };
        let bytes = wat::parse_str(guest.module()).unwrap_or_else(|error| panic!("{error}"));
        misbehave(&Bench::new(), &bytes, "", expected, fresh);
    }
    // Outputs outside the memory, of any length, and such that are no frames.
    let outside = "output at 65530 with 100 bytes lies outside the memory of 65536 bytes";
    check("(return (i64.const 0xFFFA_00000064))", outside, false);
    check("(return (i64.const 0x7FFFFFFF_FFFFFFFF))", "lies outside the memory", false);
    check("(return (i64.const 0x200_00000005))", "the plugin gave a bad frame: ", false);
    check("(return (i64.const -1))", "lies outside the memory", false);
    // A failure record that is too short for its code, and one whose message is all of the memory.
    check("(return (i64.const 0x80000200_00000002))", "failed: ", false);
    check("(return (i64.const 0x80000000_00010000))", "bytes left out) (code 1)", false);
    // Arguments of host calls: outside, negative, and overlapping.
    let trap = "trapped: memory-out-of-bounds: out of bounds memory access";
    check("(drop (call $log (i32.const 2) (i32.const 65530) (i32.const 100)))", trap, true);
    check("(drop (call $emit (i32.const 0x7FFFFFFF) (i32.const 1)))", trap, true);
    let negative = "limit exceeded: asked for 4 GiB of host-call-bytes, limit 8 MiB";
    check("(drop (call $log (i32.const 2) (i32.const 0) (i32.const -1)))", negative, true);
    check("(drop (call $random (i32.const 65530) (i32.const 100)))", trap, true);
    check(
        "(drop (call $set (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 9)))
         (drop (call $get (i32.const 0) (i32.const 9) (i32.const 4) (i32.const 9)))
         (return (i64.const 0))",
        "",
        false,
    );
    check(
        "(drop (call $set (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 9)))
         (drop (call $get (i32.const 0) (i32.const 9) (i32.const -4) (i32.const 9)))",
        trap,
        true,
    );
}

#[test]
fn floods_end_at_their_limits() {
    #[track_caller]
    fn check(bad: &str, limits: &str, expected: &str, fresh: bool) {
        let fields = r#"(import "glovebox" "log" (func $log (param i32 i32 i32) (result i32)))
            (import "glovebox" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
            (import "glovebox" "emit" (func $emit (param i32 i32) (result i32)))"#;
        let guest = Guest { bad, fields, ..Guest::default() };
        let bytes = wat::parse_str(guest.module()).unwrap_or_else(|error| panic!("{error}"));
        misbehave(&Bench::new(), &bytes, limits, expected, fresh);
    }
    // A full log refuses, and the plugin may go on; one that never stops runs out of host calls.
    check(
        "(loop (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1024))) (br 0))",
        "call-deadline = \"20 s\"",
        "limit exceeded: asked for 10001 of host-calls, limit 10000",
        true,
    );
    // Each time another key: the number at 0.
    check(
        "(loop (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (br_if 0 (i32.eqz (call $set
                (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 1024)))))
         ;; -3 is a limit that is used up: 56 entries take 1 KiB and 132 bytes each.
         (if (i32.ne (i32.load (i32.const 0)) (i32.const 57)) (then unreachable))
         (return (i64.const 0))",
        "kv-bytes = \"64 KiB\"",
        "",
        false,
    );
    // The frame of one byte at 512.
    check(
        "(loop (drop (call $emit (i32.const 512) (i32.const 13))) (br 0))",
        "output-frames = 100",
        "limit exceeded: asked for 101 of output-frames, limit 100",
        true,
    );
}

/// Each element of a table is a pointer of the host, so that tables count as memory, however many
/// there are and whether they grow or are large from the start.
#[test]
fn tables_count_as_memory() {
    #[track_caller]
    fn check(fields: &str, bad: &str, limits: &str, expected: &str) {
        let guest = Guest { bad, fields, ..Guest::default() };
        module(guest, limits, expected);
        component(guest, limits, expected);
    }
    let one = "(table $one 10 funcref)";
    let grow = "(loop (drop (table.grow $one (ref.null func) (i32.const 1000))) (br 0))";
    let limits = "memory = \"128 KiB\"\ntable = 1000000";
    check(one, grow, limits, "of memory, limit 128 KiB");
    // Each is below the limit of a table.
    let many = "(table $one 1 funcref) (table $two 1 funcref) (table $three 1 funcref)";
    let grow = "(drop (table.grow $one (ref.null func) (i32.const 3000)))
        (drop (table.grow $two (ref.null func) (i32.const 3000)))
        (drop (table.grow $three (ref.null func) (i32.const 3000)))";
    check(many, grow, "memory = \"128 KiB\"\ntable = 4000", "of memory, limit 128 KiB");
    check(many, grow, "memory = \"128 KiB\"\ntable = 2000", "3001 of table, limit 2000");
}

#[test]
fn not_a_number_is_the_same_number_everywhere() {
    // Sign and payload of the result of 0/0 and ∞-∞ differ between processors, and here they do
    // not: the eight bytes are the answer.
    let guest = Guest {
        bad: "(local $x f64)
            (local.set $x (f64.div (f64.const 0) (f64.load (i32.const 2000))))
            (i32.store8 (i32.const 520) (i32.const 8))
            (f64.store (i32.const 524) (f64.sub (local.get $x) (f64.const inf)))
            (return (i64.const 0x200_00000014))",
        ..Guest::default()
    };
    let bytes = wat::parse_str(guest.module()).unwrap();
    let answers: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let bench = Bench::new();
            let id = bench.load_bytes("guest.wasm", &bytes, "").unwrap();
            let reply = bench.host.call(id, &Frame::data("!"));
            reply.frames[0].payload.to_vec()
        })
        .collect();
    assert_eq!(answers[0], f64::NAN.to_bits().to_le_bytes(), "the canonical one");
    assert_eq!(answers[0], answers[1]);
}

/// Loads bytes that cannot be loaded.
#[track_caller]
fn refused(name: &str, bytes: &[u8], expected: &str) {
    let bench = Bench::new();
    let error = bench.load_bytes(name, bytes, "").unwrap_err();
    let sentence = error.to_string();
    assert!(sentence.contains(expected), "{sentence:?} does not say {expected:?}");
    assert!(sentence.len() < 4000 && !sentence.contains('\n'), "no sentence: {sentence}");
    assert!(!error.remedy().is_empty());
    assert_eq!(bench.host.plugins().len(), 0);
}

/// A plugin with more fields behind its own memory, which stays the first.
#[track_caller]
fn with_fields(fields: &str) -> Vec<u8> {
    let memory = "(memory (export \"memory\") 1)";
    let text = Guest::default().module();
    assert!(text.contains(memory), "no {memory} in {text}");
    let text = text.replace(memory, &format!("{memory} {fields}"));
    wat::parse_str(text).unwrap_or_else(|error| panic!("{fields}: {error}"))
}

#[test]
fn features_that_are_off_are_named_with_a_way_around_them() {
    #[track_caller]
    fn module(fields: &str, name: &str, remedy: &str) {
        let bytes = with_fields(fields);
        refused(
            "a.wasm",
            &bytes,
            &format!("compile: the module uses {name}, which is off; {remedy}"),
        );
    }
    #[track_caller]
    fn component(fields: &str, name: &str, remedy: &str) {
        let bytes = wat::parse_str(format!("(component {fields})"));
        let bytes = bytes.unwrap_or_else(|error| panic!("{error}"));
        let expected = format!("compile: the component uses {name}, which is off; {remedy}");
        refused("a.wasm", &bytes, &expected);
    }
    let threads = "threads and shared memory";
    module("(memory 1 1 shared)", threads, "build it for a target without threads");
    module("(func (drop (i32.atomic.load (i32.const 0))))", threads, "build it for a target");
    let collected = "garbage collection";
    let linear = "build it for linear memory";
    let references =
        "references to values of the host (`externref`, of the proposal reference types)";
    module("(func (param externref))", references, "build it without them, and let numbers");
    module("(table 1 externref)", references, "build it without them, and let numbers");
    module("(table 1 anyref)", collected, linear);
    module(
        "(type $s (struct (field i32))) (func (drop (struct.new_default $s)))",
        collected,
        linear,
    );
    module("(tag $t)", "exceptions", "build it without them: -fno-exceptions");
    module(
        "(memory 1 1 shared) (tag $t)",
        "threads and shared memory and exceptions",
        "build it for a target without threads",
    );
    let wasi = "build it for WASI 0.2";
    let asynchronous = "asynchronous components";
    component("(core func (canon error-context.drop))", asynchronous, wasi);
    component("(type (stream u8))", asynchronous, wasi);
    component("(core func (canon thread.index))", asynchronous, wasi);
    component(
        "(type (list u8 4))",
        "an experimental part of the component model",
        "build it without this experiment",
    );
}

/// Compiled beside everything else, and kept in the cache like everything else.
#[test]
fn features_that_are_there_on_demand_run() {
    #[track_caller]
    fn check(fields: &str, misses: u64) {
        let bytes = with_fields(fields);
        let folder = tempfile::tempdir().unwrap();
        for expected in [(0, misses), (1, misses - 1)] {
            let bench = Bench::with(|builder| builder.cache_folder(folder.path()));
            let id = bench.load_bytes("a.wasm", &bytes, "").unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(bench.ask(id, "hello"), "1", "{fields}");
            let stats = bench.host.cache_stats();
            assert_eq!((stats.hits, stats.misses), expected, "{fields}");
        }
    }
    // These features are on in the one engine for all, where the cache is looked into once.
    check("(func $f (return_call $f)) (func (drop (i8x16.neg (v128.const i64x2 0 0))))", 1);
    check("(memory 1)", 1);
    check("(memory i64 1)", 2);
    check("(func (drop (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0))))", 2);
    check("(type $f (func)) (func (param (ref null $f)) (call_ref $f (local.get 0)))", 2);
    check("(memory 4096 (pagesize 1))", 2);
    check("(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 2)))", 2);
}

/// Memories of every sort count, also those that no part of the contract names.
#[test]
fn all_memories_together_obey_the_limit() {
    #[track_caller]
    fn check(fields: &str) {
        let bytes = with_fields(fields);
        refused("a.wasm", &bytes, "of memory, limit 64 MiB");
    }
    check("(memory 1024)");
    check("(memory 512) (memory 512)");
    check("(memory i64 1024)");
    check("(memory i64 0x1000000000000 (pagesize 1))");
    check("(memory 67108864 (pagesize 1))");
}

/// Two components in one, of which one calls the other with a text: the engine makes a module
/// between them that has the memories of both.
#[test]
fn composed_components_are_compiled() {
    let text = r#"(component
        (component $A
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
                (func (export "f") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "s" string)
                (canon lift (core func $i "f") (memory $i "memory")
                    (realloc (func $i "realloc")))))
        (component $B
            (import "f" (func $f (param "s" string)))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $low (canon lower (func $f) (memory $libc "memory")))
            (core module $m (import "" "f" (func (param i32 i32))) (func (export "run")))
            (core instance $i
                (instantiate $m (with "" (instance (export "f" (func $low))))))
            (func (export "run") (canon lift (core func $i "run"))))
        (instance $a (instantiate $A))
        (instance $b (instantiate $B (with "f" (func $a "f"))))
        (export "run" (func $b "run")))"#;
    let bytes = wat::parse_str(text).unwrap();
    refused("two.wasm", &bytes, "link: missing export `glovebox:plugin/guest@0.1.0`");
    // The same beside a plugin.
    let plugin = wasmprinter::print_bytes(Guest::default().component()).unwrap();
    let inside = text.trim_start_matches("(component").trim_end().strip_suffix(')').unwrap();
    let inside = inside.replace("(export \"run\" (func $b \"run\"))", "");
    let both = format!("{} {inside})", plugin.trim_end().strip_suffix(')').unwrap());
    let bytes = wat::parse_str(both).unwrap_or_else(|error| panic!("{error}"));
    let bench = Bench::new();
    let id = bench.load_bytes("both.wasm", &bytes, "").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bench.ask(id, "hello"), "1");
}

#[test]
fn worlds_that_do_not_fit_are_refused_before_anything_runs() {
    // Code that runs at the start would trap, which is another error.
    let start = "(func $start unreachable) (start $start)";
    let module = |fields: &str| Guest { fields, ..Guest::default() }.module();
    let refused_module = |text: String, expected: &str| {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
        refused("a.wasm", &bytes, expected);
    };
    refused_module(
        module(&format!(
            r#"(import "glovebox" "fly" (func)) (import "env" "swim" (func))
            (import "glovebox" "now" (func (result i64))) {start}"#
        )),
        "link: unknown import `glovebox::fly`, `env::swim`; build it with the SDK",
    );
    refused_module(
        module(&format!(r#"(import "glovebox" "now" (func (result i32))) {start}"#)),
        "link: an import does not fit: ",
    );
    refused_module(
        module(start).replace("\"glovebox_process\"", "\"glovebox_proces\""),
        "link: missing export `glovebox_process`; use the SDK's `export!` macro",
    );
    refused_module(
        module(&format!("{start} (func (export \"glovebox_health\") (result i32) (i32.const 0))")),
        "link: an export does not fit: `glovebox_health` is () -> (i32), expected () -> (i64); ",
    );
    // Components: the text with one thing changed, or one import more.
    let text = wasmprinter::print_bytes(Guest::default().component()).unwrap();
    let refused_component = |text: String, expected: &str| {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
        refused("a.wasm", &bytes, expected);
    };
    let renamed = |to: &str| {
        let from = "\"glovebox:plugin/guest@0.1.0\"";
        assert!(text.contains(from), "no {from} in {text}");
        text.replace(from, to)
    };
    refused_component(
        renamed("\"glovebox:plugin/guest@0.2.0\""),
        "link: built for version 0.2 of the contract, this host has 0.1; build it with an SDK",
    );
    refused_component(
        renamed("\"glovebox:plugin/ghost@0.1.0\""),
        "link: missing export `glovebox:plugin/guest@0.1.0`",
    );
    refused_component(
        "(component (instance $none) (export \"glovebox:plugin/guest@0.1.0\" (instance $none)))"
            .to_owned(),
        "link: missing export `glovebox:plugin/guest@0.1.0#initialize`, \
         `glovebox:plugin/guest@0.1.0#process`, ",
    );
    let importing = |name: &str, function: &str| {
        let component = text.trim_end().strip_suffix(')').unwrap();
        format!("{component} (import \"{name}\" (instance (export \"{function}\" (func)))))")
    };
    refused_component(
        importing("glovebox:plugin/host@0.1.0", "fly"),
        "link: unknown import `glovebox:plugin/host@0.1.0#fly`; ",
    );
    refused_component(
        importing("glovebox:plugin/host@0.2.0", "log"),
        "link: built for version 0.2 of the contract",
    );
    refused_component(
        importing("glovebox:plugin/hots@0.1.0", "log"),
        "link: unknown import `glovebox:plugin/hots@0.1.0`; ",
    );
    refused_component(
        importing("glovebox:plugin/host@0.1.0", "now"),
        "link: an import does not fit: ",
    );
    refused_component(
        importing("acme:shop/till@1.0.0", "ring"),
        "link: the application gives no function `acme:shop/till@1.0.0#ring`; run it in the \
         application that gives it",
    );
}

/// A number as binary modules write it.
fn leb(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[test]
fn large_numbers_of_things_are_refused_in_one_sentence() {
    let wat = |text: &str| wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let many = |count: usize, one: &dyn Fn(usize) -> String| -> String {
        (0..count).map(one).collect::<Vec<_>>().concat()
    };
    let module = |fields: &str| wat(&Guest { fields, ..Guest::default() }.module());
    // A module of these sections, written without a parser of text, which would take its time.
    let sections = |sections: &[(u8, &[u8])]| {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            bytes.push(*id);
            leb(&mut bytes, content.len());
            bytes.extend(*content);
        }
        bytes
    };
    let counted = |count: usize, items: &[u8]| {
        let mut content = Vec::new();
        leb(&mut content, count);
        content.extend(items);
        content
    };
    refused(
        "a.wasm",
        &module(&many(1_000_000, &|_| "(func)".to_owned())),
        "compile: 1000004 functions are more than the 200000 that an artifact may have; leave out",
    );
    refused(
        "a.wasm",
        &sections(&[(1, &counted(100_001, &[0x60, 0, 0].repeat(100_001)))]),
        "100001 types are more than the 100000 that an artifact may have",
    );
    refused(
        "a.wasm",
        &module(&many(100_001, &|_| "(global i32 (i32.const 0))".to_owned())),
        "compile: 100002 globals are more than the 100000 that an artifact may have",
    );
    refused(
        "a.wasm",
        &sections(&[
            (1, &[1, 0x60, 0, 0]),
            (3, &[1, 0]),
            (10, &counted(1, &counted(7 << 20 | 1, &vec![1; 7 << 20 | 1]))),
        ]),
        "7340033 bytes of one function are more than the 7340032 that an artifact may have",
    );
    // In modules of one component they count together.
    let half = many(100_001, &|_| "(func)".to_owned());
    refused(
        "a.wasm",
        &wat(&format!("(component (core module {half}) (core module {half}))")),
        "compile: 200002 functions are more than the 200000",
    );
    refused(
        "a.wasm",
        &module(&many(20_000, &|n| format!("(import \"env\" \"f{n}\" (func))"))),
        "`env::f11` and 19988 more; ",
    );
    let long = "x".repeat(99_999);
    refused("a.wasm", &module(&format!("(import \"env\" \"{long}\" (func))")), "xxx…");
    let long = "x".repeat(1 << 20);
    refused("a.wasm", &module(&format!("(func (export \"{long}\"))")), "string size out of bounds");
    refused(
        "a.wasm",
        &module("(data (i32.const 0x7FFFFFFF) \"x\")"),
        "initialize: the plugin trapped: memory-out-of-bounds: ",
    );
    refused(
        "a.wasm",
        &module(&format!("(data (i32.const 0) \"{}\")", "x".repeat(8 << 20))),
        "initialize: the plugin trapped: memory-out-of-bounds: ",
    );
    refused(
        "a.wasm",
        &module(&many(100_001, &|_| "(data \"\")".to_owned())),
        "compile: 100002 data segments are more than the 100000 that an artifact may have",
    );
    let depth = 2000;
    let mut nested = b"\0asm\x0D\0\x01\0".to_vec();
    for _ in 0..depth {
        let mut outer = b"\0asm\x0D\0\x01\0\x04".to_vec();
        leb(&mut outer, nested.len());
        outer.extend(nested);
        nested = outer;
    }
    refused("a.wasm", &nested, "link: missing export `glovebox:plugin/guest@0.1.0`");
    // Sections that mean nothing, in any number, are no reason to refuse.
    let mut flooded = module("");
    for _ in 0..200_000 {
        flooded.extend(b"\0\x03\x01x\0");
    }
    let bench = Bench::new();
    let id = bench.load_bytes("a.wasm", &flooded, "").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bench.ask(id, "a"), "1");
}

#[test]
fn every_prefix_of_a_component_is_refused() {
    let whole = Guest::default().component();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wasm");
    let bench = Bench::new();
    let mut whole_enough = 0;
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let loaded = bench.host.load(glovebox_host::LoadRequest::path(&path)).wait();
        match loaded {
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("; ") && error.contains("cut.wasm"), "{length}: {error}");
            }
            // A component has no end: one that lost its last sections, which hold only names, is
            // whole. A digest in the manifest is what tells.
            Ok(id) => {
                assert_eq!(bench.ask(id, "a"), "1");
                assert!(bench.host.unload(id));
                whole_enough += 1;
            }
        }
    }
    assert!(whole_enough <= 2, "{whole_enough} of {}", whole.len());
    // One that a compiler made, at some of its places: it is a hundred times as long.
    let whole = std::fs::read(sample("redact.wasm")).unwrap();
    for length in (0..whole.len()).step_by(whole.len() / 100) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let loaded = bench.host.load(glovebox_host::LoadRequest::path(&path)).wait();
        assert!(loaded.is_err(), "{length}");
    }
    assert_eq!(bench.host.plugins().len(), 0);
}
