//! One plugin through every binding: the same frames, failures, host calls, limits, permissions and
//! state. Each binding is compared with the core tier, where nothing lies between plugin and host.

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::Budget;
use glovebox_abi::{Frame, Header, Kind, Manifest, Permission};
use glovebox_events::{Binding, What};
use glovebox_host::{Compiler, Decision, InstanceId, Isolation, LoadRequest};
use glovebox_tests::parity_plugin::Parity;
use glovebox_tests::{Bench, fixture, native_sample, root};
use serde_json::json;

/// A binding, where the plugin runs, and the compiler of WebAssembly.
type Tier = (Binding, Isolation, Compiler);

const CORE: Tier = (Binding::Core, Isolation::InProcess, Compiler::Auto);

const TIERS: &[Tier] = &[
    CORE,
    (Binding::FrameAbi, Isolation::InProcess, Compiler::Optimising),
    (Binding::FrameAbi, Isolation::InProcess, Compiler::Quick),
    (Binding::Component, Isolation::InProcess, Compiler::Optimising),
    (Binding::Component, Isolation::InProcess, Compiler::Quick),
    (Binding::Native, Isolation::InProcess, Compiler::Auto),
    #[cfg(target_os = "linux")]
    (Binding::Native, Isolation::Process, Compiler::Auto),
];

/// The manifest in `plugin.toml`, with the budget that the attribute in the source adds to it.
fn manifest() -> Manifest {
    let path = root().join("tests/parity-plugin/plugin.toml");
    let mut manifest = Manifest::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let attribute = Budget::parse("p99 = \"50ms\"\nload-time = \"20 s\"").unwrap();
    manifest.budget = manifest.budget.merged(attribute).unwrap();
    manifest
}

fn request((binding, isolation, compiler): Tier) -> LoadRequest {
    let request = match binding {
        Binding::Core => LoadRequest::core(manifest(), || Box::new(Parity::default())),
        Binding::Component => LoadRequest::path(fixture("parity-plugin.wasm")),
        Binding::FrameAbi => LoadRequest::path(fixture("parity-plugin.frame-abi.wasm")),
        _ => {
            let request = LoadRequest::path(native_sample("parity-plugin")).isolation(isolation);
            if isolation == Isolation::InProcess { request.trust_native() } else { request }
        }
    };
    request.compiler(compiler)
}

fn load(tier: Tier) -> (Bench, InstanceId) {
    let bench = Bench::new();
    let id = bench.host.load(request(tier)).wait().unwrap_or_else(|error| panic!("{error}"));
    let status = bench.host.plugin(id).unwrap();
    assert_eq!((status.binding, status.isolation), (tier.0, tier.1));
    assert_eq!(*status.manifest, manifest(), "{tier:?}: built from another plugin.toml");
    (bench, id)
}

/// Everything that a call left behind, as text: the outcome, the frames, the host calls with what
/// they were given and gave, the counters.
fn story(bench: &Bench, id: InstanceId, frame: &Frame) -> String {
    let before = bench.events.events().len();
    let reply = bench.host.call(id, frame);
    let mut story = vec![format!("outcome {}", reply.outcome)];
    let show = |frame: &Frame| {
        format!("{} {:?} {:?}", frame.kind, frame.header, String::from_utf8_lossy(&frame.payload))
    };
    story.extend(reply.frames.iter().map(|frame| format!("answer {}", show(frame))));
    for event in &bench.events.events()[before..] {
        match &event.what {
            What::FrameOut { emitted, index, frame, .. } => {
                story.push(format!("out {index} emitted {emitted} {}", show(frame)));
            }
            What::HostCall { host_call, .. } => {
                let result = match (&*host_call.service, &host_call.result) {
                    // Values that differ each time.
                    ("now", Ok(Value::Integer(now))) => format!("later than 0: {}", *now > 0),
                    ("random", Ok(Value::Bytes(bytes))) => format!("{} bytes", bytes.len()),
                    (_, result) => format!("{result:?}"),
                };
                story.push(format!(
                    "host {} {} {:?} {result}",
                    host_call.service, host_call.permission, host_call.arguments
                ));
            }
            What::Phase { to, .. } => story.push(format!("phase {to}")),
            What::CallEnded { bytes_in, bytes_out, frames_out, .. } => {
                story.push(format!("in {bytes_in} out {bytes_out} in {frames_out} frames"));
            }
            _ => {}
        }
    }
    let status = bench.host.plugin(id).unwrap();
    let hits = status.limit_status.iter().map(|limit| (limit.limit.name(), limit.hits));
    let hits: Vec<_> = hits.filter(|(_, hits)| *hits > 0).collect();
    let uses = status.permissions.iter().map(|one| (one.permission, one.uses, one.denials));
    let uses: Vec<_> = uses.filter(|(_, uses, denials)| uses + denials > 0).collect();
    story.push(format!("stats {:?} hits {hits:?} uses {uses:?}", status.stats));
    story.join("\n")
}

/// Runs the same frames through every binding. `script` gives, for each, what the core tier's story
/// must hold.
#[track_caller]
fn check(prepare: impl Fn(&Bench, InstanceId), script: &[(Frame, &str)]) {
    let mut expected = Vec::new();
    for &tier in TIERS {
        let (bench, id) = load(tier);
        prepare(&bench, id);
        for (number, (frame, part)) in script.iter().enumerate() {
            let story = story(&bench, id, frame);
            if tier == CORE {
                assert!(story.contains(part), "{frame:?}: {story}\nlacks {part:?}");
                expected.push(story);
            } else {
                let core = &expected[number];
                let place = core.lines().zip(story.lines()).find(|(core, other)| core != other);
                assert!(*core == story, "{tier:?}: {frame:?}\n{place:#?}\n{story:.3000}");
            }
        }
    }
}

/// Data frames with these commands.
#[track_caller]
fn commands(prepare: impl Fn(&Bench, InstanceId), script: &[(&str, &str)]) {
    let script: Vec<_> =
        script.iter().map(|(command, part)| (Frame::data((*command).to_owned()), *part)).collect();
    check(prepare, &script);
}

#[test]
fn frames_are_the_same() {
    let header = || {
        Header::build()
            .text(Header::ID, "a-1")
            .integer("n", -7)
            .value(
                "deep",
                Value::Array(vec![Value::Float(0.5), Value::Bytes(vec![1]), Value::Null]),
            )
            .finish()
    };
    check(
        |_, _| {},
        &[
            (Frame::data("echo"), "answer data"),
            (Frame::new(Kind::DATA, header(), "echo"), "a-1"),
            (Frame::new(Kind::CONTROL, header(), vec![0, 255, 128]), "answer control"),
            (Frame::new(Kind(0x60), Header::empty(), ""), "answer 0x60"),
            (Frame::new(Kind(0x61), Header::empty(), ""), "does not accept"),
            (Frame::new(Kind::ERROR, Header::empty(), ""), "does not accept"),
            (Frame::new(Kind::CONTROL, header(), vec![7; 60_000]), "answer control"),
            (Frame::data(""), "unknown command ``"),
            (Frame::data(vec![0xFF, 0xFE]), "a command is a text in UTF-8 (code 2)"),
            (Frame::data("none"), "in 0 frames"),
            (Frame::data("frames 0"), "in 0 frames"),
            (Frame::data("frames 16"), "in 16 frames"),
            (Frame::data("kinds"), "out 3 emitted false 0x60"),
            (Frame::data("repeat 3 service emit x"), "emitted true"),
            (Frame::data("count"), "answer data"),
            // The copy of the host's buffer that a plugin may keep does not change under it.
            (Frame::data("echo ".to_owned() + &"x".repeat(50_000)), "in 1 frames"),
            (Frame::data("echo short"), "echo short"),
        ],
    );
}

/// A kind that is reserved may mean something some day, and a user's own never does.
#[test]
fn reserved_kinds_are_refused_the_same() {
    commands(
        |_, _| {},
        &[
            ("kind 82", "answer data"),
            ("kind 255", "answer 0xFF"),
            ("kind 0", "failed: it answered with a frame of the kind 0x00, which is reserved; use"),
            (
                "kind 80",
                "the kind 0x50, which is reserved; use handshake, data, control, error, or",
            ),
            ("kind 85", "the kind 0x55, which is reserved; use"),
            ("kind 95", "(code 2)"),
            ("service emit-kind 96 x", "granted ()"),
            (
                "service emit-kind 95 x",
                "a frame of the kind 0x5F was not emitted, which is reserved",
            ),
            ("service emit-kind 0 x", "refused invalid argument"),
            ("count", "\"10\""),
        ],
    );
}

#[test]
fn failures_are_the_same() {
    commands(
        |_, _| {},
        &[
            ("fail 1000 mine", "outcome failed: mine (code 1000)"),
            ("fail 4294967295 ünï", "outcome failed: ünï (code 4294967295)"),
            ("fail 0 nothing", "outcome failed: nothing (code 1)"),
            ("fail 7", "outcome failed:  (code 7)"),
            ("fail 5 no panic", "outcome failed: no panic (code 1)"),
            ("fail-long 10000", "… (3616 bytes left out)"),
            ("needs random 70000", "outcome failed: refused invalid argument (code 4)"),
            ("count", "\"8\""),
        ],
    );
}

#[test]
fn services_are_the_same() {
    commands(
        |_, _| {},
        &[
            ("service log 3 careful", "host log log"),
            ("service log 99 loud", "granted ()"),
            ("service log 2 ", "granted ()"),
            ("service now", "granted true"),
            ("service random 16", "granted 16"),
            ("service random 0", "granted 0"),
            ("service random 65536", "granted 65536"),
            ("service random 65537", "refused invalid argument"),
            ("service config greeting", "granted Some(\\\"\\\\\\\"hi"),
            ("service config nested", "three"),
            ("service config", "greeting"),
            ("service config no-such-key", "granted None"),
            ("service kv-get a", "granted None"),
            ("service kv-set a 1", "granted ()"),
            ("service kv-set ab ", "granted ()"),
            ("service kv-set b ünï", "granted ()"),
            ("service kv-get a", "granted Some([49])"),
            ("service kv-get ab", "granted Some([])"),
            ("service kv-list a", "granted [\\\"a\\\", \\\"ab\\\"]"),
            ("service kv-list", "\\\"b\\\""),
            ("service kv-list z", "granted []"),
            ("service kv-delete a", "granted true"),
            ("service kv-delete a", "granted false"),
            ("service emit hello", "emitted true"),
            ("service emit-to nobody hello", "emitted true"),
            // No plugin speaks for another one.
            (
                "service emit-as victim hello",
                "{Text(\"a\"): Text(\"b\"), Text(\"source\"): Text(\"parity\")}",
            ),
            ("service metric size 2.5", "granted ()"),
            ("service metric size nan", "granted ()"),
            ("service metric size -inf", "granted ()"),
            ("config-at-start", "nested"),
        ],
    );
}

#[test]
fn denials_are_the_same() {
    let all = [
        "service log 2 x",
        "service now",
        "service random 4",
        "service random 70000",
        "service config greeting",
        "service kv-get a",
        "service kv-set a 1",
        "service kv-delete a",
        "service kv-list a",
        "service emit x",
        "service metric m 1",
        "needs now",
    ];
    for decision in [Decision::Deny, Decision::Allow] {
        let script: Vec<(&str, &str)> = all
            .iter()
            .map(|command| {
                let part = match (decision, *command) {
                    (Decision::Deny, _) => "refused denied: the plugin lacks the permission",
                    (_, "service random 70000") => "refused invalid",
                    (_, "needs now") => "granted",
                    _ => "granted",
                };
                (*command, part)
            })
            .collect();
        let decide = |bench: &Bench, id| {
            // All at first, as asked for; `config` after the start.
            for (permission, ..) in Permission::ALL {
                // Without it no frame would come through to ask for the others.
                if permission != Permission::Receive {
                    assert!(bench.host.set_decision(id, permission, decision));
                }
            }
        };
        commands(decide, &script);
    }
}

#[test]
fn limits_are_the_same() {
    commands(
        |_, _| {},
        &[
            ("count", "\"1\""),
            // Refused to the plugin, which goes on.
            ("service log-bytes 1024", "granted ()"),
            ("service log-bytes 1025", "refused a limit is used up"),
            ("repeat 3 service log-bytes 400", "refused a limit is used up"),
            ("service kv-bytes a 1919", "granted ()"),
            ("service kv-bytes b 1", "refused a limit is used up"),
            ("service kv-bytes a 100", "granted ()"),
            ("count", "\"8\""),
            // Too much of an answer: the call fails, and the copy goes on.
            ("frames 17", "asked for 17 of output-frames, limit 16"),
            ("bytes 65524", "outcome completed"),
            ("bytes 65525", "of output-bytes, limit 64 KiB"),
            ("count", "\"12\""),
            // Too much of the host: the call ends, and a fresh copy counts from the start.
            ("repeat 50 service now", "outcome completed"),
            ("repeat 51 service now", "asked for 51 of host-calls, limit 50"),
            ("count", "\"1\""),
            ("service log-bytes 4097", "of host-call-bytes, limit 4 KiB"),
            ("count", "\"1\""),
            ("service kv-bytes a 4096", "of host-call-bytes, limit 4 KiB"),
            ("service emit-bytes 4085", "of host-call-bytes, limit 4 KiB"),
            ("repeat 16 service emit x", "outcome completed"),
            ("repeat 17 service emit x", "asked for 17 of output-frames, limit 16"),
            ("repeat 17 service emit-bytes 4084", "of output-bytes, limit 64 KiB"),
            ("needs log-bytes 4097", "of host-call-bytes, limit 4 KiB"),
            ("count", "\"1\""),
        ],
    );
}

/// One frame of more bytes than any message of a process may have; WebAssembly has no memory for it.
#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_no_message_holds_exceeds_the_same_limit() {
    for isolation in [Isolation::InProcess, Isolation::Process] {
        let (bench, id) = load((Binding::Native, isolation, Compiler::Auto));
        let reply = bench.host.call(id, &Frame::data("bytes 68000000"));
        let expected = "limit exceeded: asked for 64.8 MiB of output-bytes, limit 64 KiB";
        assert_eq!(reply.outcome.to_string(), expected, "{isolation:?}");
        assert_eq!(bench.ask(id, "count"), "2", "{isolation:?}");
        let status = bench.host.plugin(id).unwrap();
        let hits = status.limit_status.iter().map(|limit| limit.hits).sum::<u64>();
        assert_eq!(hits, 1, "{isolation:?}");
    }
}

#[test]
fn starts_that_fail_fail_the_same() {
    #[track_caller]
    fn check(start: &str, expected: &str) {
        let mut core = String::new();
        for &tier in TIERS {
            let bench = Bench::new();
            let request = request(tier).config(json!({ "start": start }));
            let error = bench.host.load(request).wait().unwrap_err();
            let error = format!("{}: {}; {}", error.stage(), error.problem(), error.remedy());
            if tier == CORE {
                assert!(error.starts_with(expected), "{error:?} is not {expected:?}");
                core.clone_from(&error);
            }
            assert_eq!(error, core, "{tier:?}");
            assert_eq!(bench.host.plugins().len(), 0);
        }
    }
    check("fail", "initialize: the plugin failed: told to fail at the start (code 1001); ");
    check("sick", "probe: the plugin says that it is not well: told to be sick (code 1002); ");
    check("flood", "initialize: the plugin limit exceeded: asked for 51 of host-calls, limit 50; ");
}

#[test]
fn state_moves_the_same() {
    #[track_caller]
    fn check(version: &str, carry: bool, expected: &str, count: &str) {
        for &tier in TIERS {
            let (bench, id) = load(tier);
            bench.ask(id, "count");
            bench.ask(id, version);
            let host = &bench.host;
            let reloading = if carry { host.reload(id) } else { host.reload_cold(id) };
            let reloaded = reloading.wait();
            let carried = bench.events.events().iter().find_map(|event| match event.what {
                What::Reloaded { state_version, .. } => Some(state_version),
                _ => None,
            });
            let told = match reloaded {
                Ok(generation) => format!("generation {generation} with {carried:?}"),
                Err(error) => format!("{}: {}", error.stage(), error.problem()),
            };
            assert_eq!(told, expected, "{tier:?}");
            assert_eq!(bench.ask(id, "count"), count, "{tier:?} after {version}");
        }
    }
    check("echo", true, "generation 2 with Some(Some(2))", "3");
    check("state-version 1", true, "generation 2 with Some(Some(1))", "3");
    check("state-version 0", true, "generation 2 with Some(None)", "1");
    check("echo", false, "generation 2 with Some(None)", "1");
    let refused = "restore state: the plugin failed: version 9 of the state is not known (code 3)";
    check("state-version 9", true, refused, "3");
    let refused = "restore state: the plugin failed: told not to give its state (code 1003)";
    check("state-version 13", true, refused, "3");
}

/// The message of a panic is in the outcome of a library or a core plugin, and in the log of a module.
#[test]
fn panics_end_the_copy_on_every_tier() {
    for &tier in TIERS {
        let (bench, id) = load(tier);
        assert_eq!(bench.ask(id, "count"), "1");
        let story = story(&bench, id, &Frame::data("panic at the disco"));
        assert!(story.starts_with("outcome trapped: "), "{tier:?}: {story}");
        assert!(story.contains("at the disco"), "{tier:?}: {story}");
        assert!(story.contains("\nphase restarting\n"), "{tier:?}: {story}");
        assert_eq!(bench.ask(id, "count"), "1", "{tier:?}");
        let request = request(tier).config(json!({ "start": "panic" }));
        let error = bench.host.load(request).wait().unwrap_err().to_string();
        assert!(error.starts_with("initialize: the plugin trapped: "), "{tier:?}: {error}");
    }
}
