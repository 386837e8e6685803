//! Decisions of people are in effect at once.

use glovebox_abi::cbor::Value;
use glovebox_abi::{
    Failure, Frame, Header, Kind, LogLevel, Manifest, Permission, Plugin, Requests, Services,
};
use glovebox_events::{Outcome, What};
use glovebox_host::{Decision, InstanceId, LoadRequest, Mock, Policy, PolicyMode, suggest};
use glovebox_tests::Bench;

#[test]
fn decisions_are_in_effect_at_once() {
    let bench = Bench::new();
    let id = bench.load("storage.wasm");
    let host = &bench.host;
    let check = |granted: bool, why: &str| {
        let answer = bench.ask(id, r#"{"do":"list"}"#);
        assert_eq!(answer.starts_with("{\"keys\""), granted, "{why}: {answer}");
        let status = host.plugin(id).unwrap();
        let kv = status.permissions.iter().find(|p| p.permission == Permission::Kv).unwrap();
        assert_eq!(kv.granted, granted, "{why}: {}", kv.explanation);
        assert!(kv.explanation.contains(why), "{}", kv.explanation);
    };
    check(true, "asked for in the manifest");
    host.set_decision(id, Permission::Kv, Decision::Deny);
    check(false, "denied for this plugin");
    host.set_decision(id, Permission::Kv, Decision::AsDeclared);
    check(true, "asked for in the manifest");
    host.set_policy_mode(PolicyMode::Strict);
    check(false, "the policy is strict");
    host.set_decision(id, Permission::Kv, Decision::Allow);
    check(true, "allowed for this plugin");
}

#[test]
fn limits_are_in_effect_at_once() {
    let bench = Bench::new();
    let id = bench.load("misbehave.frame-abi.wasm");
    let mut limits = bench.host.plugin(id).unwrap().limits;
    let usual = limits.call_deadline;
    limits.call_deadline = std::time::Duration::from_millis(20);
    bench.host.set_limits(id, limits.clone()).unwrap();
    assert!(bench.ask(id, "mode=loop").contains("deadline of 20 ms"));
    // On a busy machine any call may take 20 ms.
    limits.call_deadline = usual;
    limits.output_bytes = 10;
    bench.host.set_limits(id, limits).unwrap();
    let outcome = bench.ask(id, "more than ten bytes");
    assert!(outcome.contains("of output-bytes, limit 10 B"), "{outcome}");
}

/// Does what each line of a frame says, and answers with a word for each: `get KEY`, `set KEY`,
/// `list PREFIX`, `keys PREFIX` (which names them instead), `emit KIND [TO]`, `log`, `now`,
/// `random`. Commands after `?` are only done if all before it were.
struct Scripted;

impl Plugin for Scripted {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let script = String::from_utf8_lossy(&frame.payload).into_owned();
        let mut answers = Vec::new();
        for line in script.lines() {
            let (line, conditional) = match line.strip_prefix('?') {
                Some(line) => (line, true),
                None => (line, false),
            };
            if conditional && answers.iter().any(|answer| *answer != "done") {
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            if let ["keys", prefix] = words[..] {
                return Ok(vec![Frame::data(services.kv_list(prefix)?.join(" "))]);
            }
            let result = match words[..] {
                ["get", key] => services.kv_get(key).map(drop),
                ["set", key] => services.kv_set(key, b"value"),
                ["list", prefix] => services.kv_list(prefix).map(drop),
                ["emit", kind, ref to @ ..] => {
                    let mut header = Header::build();
                    for to in to {
                        header = header.text(Header::TARGET, *to);
                    }
                    let kind: Kind = kind.parse().unwrap();
                    services.emit(&Frame::new(kind, header.finish(), ""))
                }
                ["log"] => services.log(LogLevel::Info, "a line"),
                ["now"] => services.now().map(drop),
                ["random"] => services.random(&mut [0; 4]),
                _ => panic!("{line} is no command"),
            };
            answers.push(if result.is_ok() { "done" } else { "denied" });
        }
        Ok(vec![Frame::data(answers.join(" "))])
    }
}

fn scripted(bench: &Bench, permissions: &str) -> InstanceId {
    let text = format!("[plugin]\nid = \"scripted\"\n[permissions]\n{permissions}\n");
    let manifest = Manifest::parse(&text).unwrap();
    let request = LoadRequest::core(manifest, || Box::new(Scripted));
    bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn parameters_narrow_what_is_granted() {
    #[track_caller]
    fn check(permissions: &str, policy: &str, script: &str, expected: &str) {
        let policy = Policy::parse(policy).unwrap();
        let bench = Bench::with(|builder| builder.policy(policy));
        let id = scripted(&bench, permissions);
        assert_eq!(bench.ask(id, script), expected, "{permissions}: {script}");
    }
    let cache = "kv = { prefixes = [\"cache/\"] }";
    check(cache, "", "get cache/a", "done");
    check(cache, "", "get cache", "denied");
    check(cache, "", "set other/a", "denied");
    check(cache, "", "list cache/", "done");
    check(cache, "", "list cache/sub", "done");
    check(cache, "", "list ", "denied");
    check("kv = { read-only = true }", "", "get a\nset a", "done denied");
    check(
        "kv = true",
        "[default]\nkv = { except = [\"secret\"] }",
        "get a\nget secret/a",
        "done denied",
    );
    check(cache, "[plugins.scripted]\nkv = { prefixes = [\"other/\"] }", "get cache/a", "denied");
    check(
        "",
        "[plugins.scripted]\nkv = { decision = \"allow\", prefixes = [\"a\"] }",
        "get a\nget b",
        "done denied",
    );
    let data_to_stats = "emit = { kinds = [\"data\"], to = [\"stats\"] }";
    check(data_to_stats, "", "emit data stats", "done");
    check(data_to_stats, "", "emit data other", "denied");
    check(data_to_stats, "", "emit data", "denied");
    check(data_to_stats, "", "emit control stats", "denied");
    check("emit = { kinds = [\"control\"] }", "", "emit control\nemit data", "done denied");
    check("kv = true", "mode = \"strict\"", "get a", "denied");
    check("kv = true", "[plugins.other]\nkv = \"deny\"", "get a", "done");
}

#[test]
fn listings_have_only_keys_that_may_be_read() {
    #[track_caller]
    fn check(kv: &str, prefix: &str, expected: &str) {
        let bench = Bench::new();
        let manifest = "[plugin]\nid = \"scripted\"\n[permissions]\nkv = true";
        let request = LoadRequest::core(Manifest::parse(manifest).unwrap(), || Box::new(Scripted));
        let mock = "[kv]\na = \"1\"\nab = \"1\"\n\"a/x\" = \"1\"\n\"secret/token\" = \"1\"\n\
                    \"secret-not\" = \"1\"\nz = \"1\"";
        let request = request.mock(Mock::parse(mock).unwrap().into());
        let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(bench.ask(id, "set own/key"), "done");
        let policy = format!("mode = \"strict\"\n[plugins.scripted]\nkv = {kv}");
        bench.host.set_policy(Policy::parse(&policy).unwrap());
        assert_eq!(bench.ask(id, &format!("keys {prefix}")), expected, "{kv}");
        // The event is what the plugin got.
        let listed = bench.events.events().into_iter().find_map(|event| match event.what {
            What::HostCall { host_call, .. } if host_call.service == "kv-list" => {
                host_call.result.ok()
            }
            _ => None,
        });
        let keys = expected.split_whitespace().map(|key| Value::Text(key.to_owned())).collect();
        assert_eq!(listed, Some(Value::Array(keys)), "{kv}");
    }
    let all = "a a/x ab own/key secret-not secret/token z";
    check("\"allow\"", "", all);
    let allow = |except: &str| format!("{{ decision = \"allow\", {except} }}");
    check(&allow("except = [\"secret/\"]"), "", "a a/x ab own/key secret-not z");
    check(&allow("except = [\"secret/\"]"), "s", "secret-not");
    check(&allow("except = [\"secret\", \"own/k\"]"), "", "a a/x ab z");
    check(&allow("except = [\"a\"]"), "", "own/key secret-not secret/token z");
    check(&allow("prefixes = [\"a\"], except = [\"a/\"]"), "a", "a ab");
    check(&allow("prefixes = [\"secret/\"]"), "secret/", "secret/token");
}

#[test]
fn frames_of_kinds_that_are_not_granted_are_refused() {
    #[track_caller]
    fn check(policy: &str, kind: Kind, expected: Result<(), &str>) {
        let bench = Bench::with(|builder| builder.policy(Policy::parse(policy).unwrap()));
        let id = scripted(&bench, "");
        let reply = bench.host.call(id, &Frame::new(kind, Header::empty(), ""));
        let found = match &reply.outcome {
            Outcome::Refused { reason } => Err(reason.as_str()),
            Outcome::Completed => Ok(()),
            outcome => panic!("{outcome}"),
        };
        assert_eq!(found, expected, "{policy}");
        let status = bench.host.plugin(id).unwrap();
        let receive = status.permissions.iter().find(|p| p.permission == Permission::Receive);
        assert_eq!(receive.unwrap().denials, u64::from(expected.is_err()));
    }
    let data_only = "[plugins.scripted]\nreceive = { kinds = [\"data\"] }";
    check("", Kind::CONTROL, Ok(()));
    check(data_only, Kind::DATA, Ok(()));
    check(
        data_only,
        Kind::CONTROL,
        Err("the plugin may not receive control frames: `receive` is granted within \
             { kinds = [\"data\", \"control\"] } and { kinds = [\"data\"] }"),
    );
    check(
        "[default]\nreceive = \"deny\"",
        Kind::DATA,
        Err("the plugin may not receive data frames: denied by [default] in policy.toml: add \
             `receive = \"allow\"` to [plugins.scripted] in policy.toml"),
    );
}

#[test]
fn a_policy_is_in_effect_at_once() {
    let bench = Bench::new();
    let id = scripted(&bench, "kv = true");
    assert_eq!(bench.ask(id, "get a"), "done");
    bench.host.set_policy(Policy::parse("[default]\nkv = \"deny\"").unwrap());
    assert_eq!(bench.ask(id, "get a"), "denied");
    // A decision for the instance stands above the policy.
    bench.host.set_decision(id, Permission::Kv, Decision::Allow);
    assert_eq!(bench.ask(id, "get a"), "done");
    let log = bench.host.access_log(id).unwrap();
    let lines = log.entries.iter().map(|entry| {
        let allowed = if entry.allowed { "allowed" } else { "denied" };
        format!("{} {}: {allowed} by {}", entry.permission, entry.parameter, entry.rule)
    });
    let expected = [
        "kv read `a`: allowed by manifest",
        "kv read `a`: denied by [default] in policy.toml",
        "kv read `a`: allowed by decision",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn whoever_is_to_decide_is_asked_once() {
    let policy = Policy::parse("mode = \"ask\"").unwrap();
    let bench = Bench::with(|builder| builder.policy(policy));
    let id = scripted(&bench, "kv = true\nlog = true\nnow = true");
    let asked = || {
        let events = bench.events.events().into_iter();
        let asked = events.filter_map(|event| match event.what {
            What::PolicyAsked { permission, parameter } => {
                Some(format!("{permission} {parameter}"))
            }
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    assert_eq!(bench.ask(id, "log\nget a\nget b\nnow"), "done denied denied denied");
    assert_eq!(asked(), ["kv read `a`", "now "]);
    bench.host.set_decision(id, Permission::Kv, Decision::Allow);
    assert_eq!(bench.ask(id, "get a\nnow"), "done denied");
    assert_eq!(asked().len(), 2);
    bench.host.set_decision(id, Permission::Kv, Decision::AsDeclared);
    assert_eq!(bench.ask(id, "set c"), "denied");
    assert_eq!(asked(), ["kv read `a`", "now ", "kv write `c`"]);
}

#[test]
fn suggested_permissions_are_enough_and_none_is_too_many() {
    // Each step shows only once the one before it is granted.
    let script = "get cache/a\n?set cache/b\n?emit data stats\n?now\n?random\nlog";
    let run = |permissions: &Requests| {
        let policy = Policy::parse("mode = \"record\"").unwrap();
        let bench = Bench::with(|builder| builder.policy(policy));
        let manifest = Manifest::bare("scripted");
        let request = LoadRequest::core(manifest, || Box::new(Scripted));
        let request = request.permissions(permissions.clone());
        let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
        let answer = bench.ask(id, script);
        (bench.host.wishes(id), answer.contains("denied"))
    };
    let suggestion = suggest(|permissions| Ok::<_, ()>(run(permissions).0)).unwrap();
    let expected = "log = true\nnow = true\nrandom = true\nkv = { prefixes = [\"cache/\"] }\n\
                    emit = { kinds = [\"data\"], to = [\"stats\"] }\n";
    assert_eq!(suggestion.permissions.to_string(), expected);
    assert!(suggestion.complete);
    let (_, denied) = run(&suggestion.permissions);
    assert!(!denied, "what is suggested does not suffice");
    for (permission, _) in suggestion.permissions.iter() {
        let mut fewer = suggestion.permissions.clone();
        fewer.insert(permission, false);
        assert!(run(&fewer).1, "{permission} is not needed");
    }
}
