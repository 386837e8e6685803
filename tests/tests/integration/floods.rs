//! Floods of one call: the part that is kept is bounded.

use std::sync::Arc;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Frame, ServiceError};
use glovebox_events::{HostCall, Sink, What, evidence, weight};
use glovebox_host::Host;
use glovebox_inspector::store::{LiveStore, StoreLimits};
use glovebox_tests::Bench;
use glovebox_tests::alone::{alone, resident};
use glovebox_tests::guest::Guest;

const FIELDS: &str = r#"
    (import "glovebox" "log" (func $log (param i32 i32 i32) (result i32)))
    (import "glovebox" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
    (import "glovebox" "kv_get" (func $get (param i32 i32 i32 i32) (result i64)))
    (import "glovebox" "emit" (func $emit (param i32 i32) (result i32)))
    (import "glovebox" "metric" (func $metric (param i32 i32 f64) (result i32)))
    (global $i (mut i32) (i32.const 0))"#;

/// A loop that does something so often.
fn often(times: u32, what: &str) -> String {
    format!(
        "(global.set $i (i32.const 0))
         (loop $again
            (drop {what})
            (global.set $i (i32.add (global.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (global.get $i) (i32.const {times}))))"
    )
}

/// Calls a plugin once that does `bad`, and gives the outcome and what it asked of the host.
fn flood(bad: &str, manifest: &str) -> (String, Vec<HostCall>) {
    let bench = Bench::new();
    let guest = Guest { bad, fields: FIELDS, pages: 160, ..Guest::default() };
    let bytes = wat::parse_str(guest.module()).unwrap_or_else(|error| panic!("{error}"));
    let section = if manifest.contains("[limits]") { "" } else { "[limits]" };
    let manifest = format!("{manifest}\n{section}\ncall-deadline = \"30 s\"");
    let id = bench.load_bytes("guest.wasm", &bytes, &manifest).unwrap();
    let outcome = bench.ask(id, "!");
    let calls = bench.events.events().into_iter().filter_map(|event| match event.what {
        What::HostCall { host_call, .. } => Some(host_call),
        _ => None,
    });
    (outcome, calls.collect())
}

#[test]
fn what_fails_leaves_little_behind() {
    /// Checks the end of a call that does `what` so often, the error of each host call, and the
    /// part that is kept of one.
    #[track_caller]
    fn check(
        (times, what, permissions): (u32, &str, &str),
        outcome: &str,
        error: ServiceError,
        kept: &Value,
    ) {
        let manifest = format!("[permissions]\n{permissions}");
        let (ended, calls) = flood(&often(times, what), &manifest);
        assert!(ended.contains(outcome), "{ended:?} lacks {outcome:?}");
        assert_eq!(calls.len(), times as usize, "{what}");
        let bytes: usize = calls.iter().map(weight::host_call).sum();
        assert!(bytes / calls.len() < 2048, "{bytes} bytes of {times} times {what}");
        assert_eq!(calls[0].result, Err(error));
        assert_eq!(calls[0].arguments, *kept);
    }
    let million = "(i32.const 65536) (i32.const 1000000)";
    let zeros = evidence::of_bytes(&vec![0; 1_000_000]);
    let text = evidence::of_text(&"\0".repeat(1_000_000));
    let short = Value::Text("\0".to_owned());
    // Denied: nothing was asked for in the manifest.
    let set = format!("(call $set (i32.const 0) (i32.const 1) {million})");
    let pair = Value::Array(vec![short.clone(), zeros]);
    check((100, &set, ""), "", ServiceError::Denied, &pair);
    let get = format!("(call $get {million} (i32.const 0) (i32.const 0))");
    check((100, &get, ""), "", ServiceError::Denied, &text);
    // Granted, and more than fits.
    let set = "(call $set (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 5000000))";
    let pair = Value::Array(vec![short, evidence::of_bytes(&vec![0; 5_000_000])]);
    check((20, set, "kv = true"), "", ServiceError::LimitExceeded, &pair);
}

/// A frame that cannot be read is a host call like any other: here its version is 0.
#[test]
fn frames_that_cannot_be_read_are_counted_and_recorded() {
    /// How often so many bytes are emitted, how the call ends, and what each use is answered.
    #[track_caller]
    fn check(times: u32, bytes: u32, permissions: &str, outcome: &str, error: ServiceError) {
        let what = format!("(call $emit (i32.const 65536) (i32.const {bytes}))");
        let (ended, calls) = flood(&often(times, &what), &format!("[permissions]\n{permissions}"));
        assert!(ended.contains(outcome), "{ended:?} lacks {outcome:?}");
        assert_eq!(calls[0].result, Err(error));
        assert!(calls.iter().all(|call| &*call.service == "emit"));
        assert!(calls.len() <= 10_001, "{}", calls.len());
    }
    check(20, 16, "", "", ServiceError::Denied);
    check(20, 16, "emit = true", "", ServiceError::Invalid);
    check(20_000, 16, "", "asked for 10001 of host-calls", ServiceError::Denied);
    check(9_000, 8_000_000, "", "of carried-bytes", ServiceError::Denied);
}

#[test]
fn all_host_calls_of_a_call_together_are_bounded() {
    let what = "(call $set (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 8000000))";
    let (ended, calls) = flood(&often(9000, what), "");
    assert!(ended.contains("asked for 259 MiB of carried-bytes, limit 256 MiB"), "{ended}");
    assert_eq!(calls.len(), 34);
    let (ended, calls) = flood(&often(9000, what), "[limits]\ncarried-bytes = '10 MiB'");
    assert!(ended.contains("asked for 15.3 MiB of carried-bytes, limit 10 MiB"), "{ended}");
    assert_eq!(calls.len(), 2);
}

/// However long the values are, and however high the limit of the manifest is.
#[test]
fn a_plugin_that_fills_its_store_does_not_fill_the_process() {
    alone("floods::a_plugin_that_fills_its_store_does_not_fill_the_process", || {
        let check = |value: u32| {
            let bench = Bench { host: Host::builder().build().unwrap(), events: Arc::default() };
            // Each time another key: the number at 0.
            let set = format!(
                "(block (result i32)
                    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
                    (call $set
                        (i32.const 0) (i32.const 4) (i32.const 65536) (i32.const {value})))"
            );
            let bad = often(((33 << 20) / (value + 132)).min(9000), &set);
            let guest = Guest { bad: &bad, fields: FIELDS, pages: 160, ..Guest::default() };
            let module = wat::parse_str(guest.module()).unwrap();
            let manifest = "[permissions]\nkv = true\n[limits]\nkv-bytes = '1 GiB'\n\
                            call-deadline = '30 s'";
            let id = bench.load_bytes("guest.wasm", &module, manifest).unwrap();
            let is_full = || {
                let status = bench.host.plugin(id).unwrap();
                let kv = status.limit(LimitKind::KvBytes).unwrap();
                assert_eq!(kv.value, Some(32 << 20));
                kv.hits > 0
            };
            let before = resident();
            while !is_full() {
                assert_eq!(bench.ask(id, "!"), "");
            }
            let grown = resident().zip(before).map_or(0, |(now, then)| now.saturating_sub(then));
            assert!(grown < 48 << 20, "{grown} bytes with values of {value}");
        };
        for value in [0, 1_000_000] {
            check(value);
        }
    });
}

/// However many calls are denied, in one call of a plugin or in thirty.
#[test]
fn denied_calls_do_not_fill_the_process() {
    alone("floods::denied_calls_do_not_fill_the_process", || {
        /// Denied calls of a host whose sink keeps so many bytes, or with none.
        fn check(kept: Option<usize>, most: u64) {
            let limits = StoreLimits { bytes: kept.unwrap_or_default(), ..StoreLimits::default() };
            let store = Arc::new(LiveStore::new(limits));
            let builder = Host::builder();
            let host = match kept {
                Some(_) => builder.sink(store.clone()).build().unwrap(),
                None => builder.build().unwrap(),
            };
            let bench = Bench { host, events: Arc::default() };
            let set = "(call $set (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 200))";
            let bad = often(9_999, set);
            let guest = Guest { bad: &bad, fields: FIELDS, pages: 160, ..Guest::default() };
            let module = wat::parse_str(guest.module()).unwrap();
            let manifest = "[limits]\ncall-deadline = '30 s'";
            let id = bench.load_bytes("guest.wasm", &module, manifest).unwrap();
            assert_eq!(bench.ask(id, "!"), "");
            let before = resident();
            for _ in 0..30 {
                assert_eq!(bench.ask(id, "!"), "");
            }
            let grown = resident().zip(before).map_or(0, |(now, then)| now.saturating_sub(then));
            let denials = bench.host.plugin(id).unwrap().stats.denials;
            assert_eq!(denials, 31 * 9_999);
            assert!(grown < most, "{grown} bytes with {kept:?} kept");
        }
        check(None, 4 << 20);
        check(Some(16 << 20), 32 << 20);
    });
}

#[test]
fn lines_and_names_are_cut_and_say_how_long_they_were() {
    /// Checks the end of the text that is kept of `what`.
    #[track_caller]
    fn check(what: &str, longest: usize, expected: &str) {
        let manifest = "[permissions]\nlog = true\nmetric = true";
        let limits = format!("{manifest}\n");
        let (ended, calls) = flood(&often(3, what), &limits);
        assert_eq!(ended, "", "it goes on");
        for call in calls {
            let Value::Array(items) = &call.arguments else { panic!("{call:?}") };
            let text = items.iter().find_map(|item| match item {
                Value::Text(text) => Some(text),
                _ => None,
            });
            let text = text.unwrap_or_else(|| panic!("{call:?} has no text"));
            assert!(text.len() < longest + 32, "{} bytes", text.len());
            assert!(text.ends_with(expected), "{:?}", &text[text.len() - 32..]);
        }
    }
    check(
        "(call $metric (i32.const 65536) (i32.const 8000000) (f64.const 1))",
        256,
        "… (8000000 bytes)",
    );
    check(
        "(call $log (i32.const 2) (i32.const 65536) (i32.const 20000))",
        16 << 10,
        " (20000 bytes)",
    );
}

/// A flood of host calls takes a part of the live store and leaves the rows of earlier calls alone.
#[test]
fn a_flood_does_not_push_out_what_was_before() {
    #[track_caller]
    fn check(what: &str, permissions: &str, times: u32) {
        let (_, calls) = flood(&often(times, what), &format!("[permissions]\n{permissions}"));
        let limits = StoreLimits { bytes: 1 << 20, ..StoreLimits::default() };
        let store = Arc::new(LiveStore::new(limits));
        let event = |sequence, what| glovebox_events::Event {
            sequence,
            at: sequence,
            plugin: "guest".into(),
            instance: 0,
            generation: 1,
            what,
        };
        let call = glovebox_events::CallId;
        for number in 0..2 {
            let what = What::FrameIn { call: call(number), frame: Frame::data("!") };
            store.record(&event(number, what));
        }
        for (number, host_call) in calls.iter().enumerate() {
            let what = What::HostCall { call: Some(call(1)), host_call: host_call.clone() };
            store.record(&event(number as u64 + 2, what));
            assert!(store.lock().bytes() <= limits.bytes);
        }
        let store = store.lock();
        assert_eq!((store.len(), store.evicted()), (2, 0), "{what}");
        let kept = store.call(call(1)).unwrap();
        let all = kept.host_calls.len() as u64 + kept.evicted_host_calls;
        assert_eq!(all, calls.len() as u64);
        assert_eq!(store.evicted_host_calls(), kept.evicted_host_calls);
        assert!(kept.evicted_host_calls > 0, "{what} does not fill it");
        let last = weight::host_call(&kept.host_calls[kept.host_calls.len() - 1].host_call);
        assert!(last < 10_000, "{last} bytes of {what}");
    }
    let small = "(call $set (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 200))";
    check(small, "", 5000);
    check(small, "kv = true", 5000);
    let large = "(call $set (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 1000000))";
    check(large, "kv = true", 200);
    // Results are cut like arguments: each gives the million bytes.
    let get = "(call $get (i32.const 0) (i32.const 1) (i32.const 65536) (i32.const 1000000))";
    let set_and_get = format!("(i64.add (i64.extend_i32_s {large}) {get})");
    check(&set_and_get, "kv = true", 100);
}
