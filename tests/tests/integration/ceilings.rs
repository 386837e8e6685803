//! No manifest, request or person gets more than the ceilings of the host, and what was lowered is
//! said.

use glovebox_abi::manifest::{LimitChanges, LimitKind, Limits, Tier};
use glovebox_abi::{Failure, Frame, Kind, Manifest, Permission, Plugin, Services};
use glovebox_events::{Outcome, What};
use glovebox_host::{Ceilings, LimitOrigin, LoadRequest, Policy};
use glovebox_tests::Bench;
use glovebox_tests::guest::Guest;

fn bench(policy: &str) -> Bench {
    let policy = Policy::parse(policy).unwrap_or_else(|error| panic!("{error}"));
    Bench::with(|builder| builder.policy(policy))
}

fn said(bench: &Bench) -> String {
    let events = bench.events.events().into_iter();
    let said = events.filter_map(|event| match event.what {
        What::PolicyChanged { summary } => Some(summary),
        What::Phase { cause: text, .. } | What::Note { text, .. } => Some(text),
        What::FramesDropped { reason, .. } => Some(reason),
        _ => None,
    });
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_in_effect_and_where_it_comes_from_is_shown() {
    /// Limits of the manifest and the policy; a limit, its value and its explanation; and what is
    /// said about it when the plugin is loaded.
    #[track_caller]
    fn check((limits, policy): (&str, &str), expected: (&str, &str, &str), expected_said: &str) {
        let bench = bench(policy);
        let module = wat::parse_str(Guest::default().module()).unwrap();
        let id = bench.load_bytes("guest.wasm", &module, &format!("[limits]\n{limits}")).unwrap();
        let status = bench.host.plugin(id).unwrap();
        let limit = status.limit(LimitKind::named(expected.0).unwrap()).unwrap();
        let value = limit.limit.show_limit(limit.value);
        assert_eq!((limit.limit.name(), &*value, &*limit.explanation()), expected);
        let said = said(&bench);
        match expected_said {
            "" => assert!(!said.contains("ceiling"), "{said}"),
            expected => assert!(said.contains(expected), "{said} lacks {expected}"),
        }
    }
    check(("", ""), ("memory", "64 MiB", "default"), "");
    check(("memory = '2 MiB'", ""), ("memory", "2 MiB", "manifest"), "");
    check(
        ("call-deadline = '86400 s'", ""),
        ("call-deadline", "30 s", "asked 86400 s, ceiling 30 s of the host"),
        "call-deadline is 30 s: 86400 s was asked for",
    );
    check(
        ("host-calls = 1000000000000", ""),
        ("host-calls", "1000000", "asked 1000000000000, ceiling 1000000 of the host"),
        "host-calls is 1000000",
    );
    check(("", ""), ("carried-bytes", "256 MiB", "default"), "");
    check(("carried-bytes = '1 MiB'", ""), ("carried-bytes", "1 MiB", "manifest"), "");
    check(
        ("carried-bytes = '2 GiB'", ""),
        ("carried-bytes", "1 GiB", "asked 2 GiB, ceiling 1 GiB of the host"),
        "carried-bytes is 1 GiB",
    );
    check(
        ("output-frames = 4000000000", ""),
        ("output-frames", "100000", "asked 4000000000, ceiling 100000 of the host"),
        "output-frames is 100000",
    );
    let raised = "[ceilings.wasm]\ncall-deadline = '172800 s'";
    check(("call-deadline = '86400 s'", raised), ("call-deadline", "86400 s", "manifest"), "");
    let lowered = "[ceilings]\nlog-bytes = '1 KiB'";
    check(
        ("", lowered),
        ("log-bytes", "1 KiB", "asked 64 KiB, ceiling 1 KiB of the host"),
        "log-bytes is 1 KiB",
    );
    check(
        ("", "[ceilings]\nrate = 5"),
        ("rate", "5", "asked unlimited, ceiling 5 of the host"),
        "rate is 5: no limit was asked for",
    );
}

#[test]
fn requests_and_people_get_no_more_either() {
    let bench = bench("[ceilings]\nmemory = '3 MiB'\nqueue = 9");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guest.wasm");
    std::fs::write(&path, wat::parse_str(Guest::default().module()).unwrap()).unwrap();
    let changes = LimitChanges { memory: Some(1 << 30), kv_bytes: Some(7), ..Default::default() };
    let id = bench.host.load(LoadRequest::path(path).limits(changes)).wait().unwrap();
    let of = |limit| {
        let status = bench.host.plugin(id).unwrap();
        let limit = status.limit(limit).unwrap();
        (limit.value, limit.origin, limit.asked)
    };
    use LimitKind::{KvBytes, Memory, Queue};
    assert_eq!(of(Memory), (Some(3 << 20), LimitOrigin::Request, Some(1 << 30)));
    assert_eq!(of(KvBytes), (Some(7), LimitOrigin::Request, Some(7)));
    let limits = Limits { memory: 2 << 30, queue: 100_000, ..Limits::default() };
    bench.host.set_limits(id, limits).unwrap();
    assert_eq!(of(Memory), (Some(3 << 20), LimitOrigin::Person, Some(2 << 30)));
    assert_eq!(of(Queue).0, Some(9));
    assert!(said(&bench).contains("limits changed; memory is 3 MiB: 2 GiB was asked for"));
    assert_eq!(bench.host.plugin(id).unwrap().limits.memory, 3 << 20);
    // The requested limit comes into effect once the ceiling is raised.
    bench.host.set_policy(Policy::parse("[ceilings]\nmemory = '2 GiB'").unwrap());
    assert_eq!(of(Memory), (Some(2 << 30), LimitOrigin::Person, Some(2 << 30)));
    assert_eq!(bench.host.ceilings().of(Tier::Wasm).memory, Some(2 << 30));
}

#[test]
fn a_call_ends_at_the_ceiling_whatever_its_manifest_says() {
    #[track_caller]
    fn check(policy: &str, manifest: &str, bad: &str, expected: &str) {
        let bench = bench(policy);
        let guest = Guest { bad, pages: 2, ..Guest::default() };
        let module = wat::parse_str(guest.module()).unwrap_or_else(|error| panic!("{error}"));
        for bytes in [module, guest.component()] {
            let id = bench.load_bytes("guest.wasm", &bytes, manifest).unwrap();
            let outcome = bench.ask(id, "!");
            assert!(outcome.contains(expected), "{outcome} lacks {expected}");
            bench.host.unload(id);
        }
    }
    let day = "[limits]\ncall-deadline = '86400 s'";
    check("[ceilings]\ncall-deadline = '30 ms'", day, "(loop (br 0))", "deadline of 30 ms");
    let grow = "(loop (drop (memory.grow (i32.const 1))) (br 0))";
    let large = "[limits]\nmemory = '2 GiB'";
    check("[ceilings]\nmemory = '1 MiB'", large, grow, "of memory, limit 1 MiB");
}

#[test]
fn starting_ends_at_the_ceiling_and_copies_are_bounded() {
    let module = |start: &str| {
        let text = Guest::default().module();
        let start =
            format!("(func (export \"glovebox_initialize\") (param i32) (result i64) {start})");
        wat::parse_str(text.trim_end().strip_suffix(')').unwrap().to_owned() + &start + ")")
            .unwrap()
    };
    let manifest = "[lifecycle]\nstart-deadline = '86400 s'\n[runtime]\ninstances = 1000";
    let endless = module("(loop (br 0)) (i64.const 0)");
    let brief = bench("[ceilings]\nstep-deadline = '30 ms'");
    let error = brief.load_bytes("guest.wasm", &endless, manifest).unwrap_err().to_string();
    assert!(error.contains("deadline of 30 ms"), "{error}");
    // To raise the limit alone would not help.
    assert!(error.contains("`step-deadline` under [ceilings] of the policy"), "{error}");
    let grow = module("(loop (drop (memory.grow (i32.const 1))) (br 0)) (i64.const 0)");
    let refused = |policy: &str, manifest: &str| {
        let small = self::bench(policy);
        small.load_bytes("guest.wasm", &grow, manifest).unwrap_err().to_string()
    };
    let large = "[limits]\nmemory = '2 GiB'";
    let error = refused("[ceilings]\nmemory = '1 MiB'", large);
    assert!(error.contains("`memory` under [ceilings] of the policy"), "{error}");
    let error = refused("", "[limits]\nmemory = '1 MiB'");
    assert!(error.contains("raise `memory` under [limits] in plugin.toml"), "{error}");
    let bench = bench("[ceilings]\ncopies = 3");
    bench.load_bytes("guest.wasm", &module("(i64.const 0)"), manifest).unwrap();
    assert!(said(&bench).contains("3 copies run: 1000 were asked for"), "{}", said(&bench));
}

/// Emits so many frames for each one, to everybody else.
struct Echoes(usize);

impl Plugin for Echoes {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        for _ in 0..self.0 {
            services.emit(frame).map_err(|error| Failure::new(1, error.to_string()))?;
        }
        Ok(Vec::new())
    }
}

#[test]
fn one_call_causes_a_bounded_number_of_calls() {
    /// Plugins that emit so many frames each; what one call may cause; the calls that it causes, and
    /// what is said.
    #[track_caller]
    fn check((plugins, frames): (usize, usize), allowed: u64, expected: u64, reason: &str) {
        let mut ceilings = Ceilings::default();
        ceilings.caused_calls = allowed;
        let bench = Bench::with(|builder| builder.ceilings(ceilings));
        let ids: Vec<_> = (0..plugins)
            .map(|number| {
                let mut manifest = Manifest::bare(&format!("echo-{number}"));
                manifest.permissions.insert(Permission::Emit, true);
                manifest.limits.queue = 100_000;
                let request = LoadRequest::core(manifest, move || Box::new(Echoes(frames)));
                bench.host.load(request).wait().unwrap()
            })
            .collect();
        let reply = bench.host.call(ids[0], &Frame::new(Kind::DATA, Default::default(), "x"));
        assert_eq!(reply.outcome, Outcome::Completed);
        bench.host.wait_idle().wait();
        let stats = bench.host.dispatch_stats();
        assert_eq!(stats.dispatched, expected, "{plugins} plugins, {frames} frames");
        assert!(stats.beyond_budget > 0);
        let said = said(&bench);
        assert_eq!(said.matches(reason).count(), 1, "{said}");
    }
    // 3 + 9 + 27 + 81 … would be 9,840 within eight steps.
    check((2, 3), 100, 100, "one call may cause 100 calls of plugins by `emit`");
    check((4, 2), 1000, 1000, "one call may cause 1000 calls of plugins by `emit`");
    // The number of steps still is a bound of its own.
    check((2, 1), 100, 8, "it was passed on more than 8 times");
}
