//! Functions that an application gives to its plugins: the same on every tier, and behind the same
//! permissions, limits, events, mocks and answers as our own services.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{LimitKind, Scope, Selection};
use glovebox_abi::{Failure, Frame, Manifest, Permission, Plugin, ServiceError, Services};
use glovebox_events::{CallId, HostCall, LoadStage, Outcome, What};
use glovebox_host::{
    Answered, Answers, Asked, Decision, FunctionError, Host, HostBuilder, InstanceId, Isolation,
    LoadError, LoadRequest, Mock, Policy, PolicyMode, suggest,
};
use glovebox_tests::guest::Guest;
use glovebox_tests::{Bench, fixture, native_sample, patiently};

const LOOKUP: &str = "acme:shop/prices@1.0.0#lookup";

/// The prices of a shop: an apple costs 3, all else is not for sale.
fn shop(builder: HostBuilder) -> HostBuilder {
    builder.function(LOOKUP, |_, article| match article {
        Value::Text(article) if article == "apple" => Ok(Value::Integer(3)),
        Value::Bytes(article) if article == b"apple" => Ok(Value::Text("3".to_owned())),
        Value::Bytes(article) if article == b"panic" => panic!("out of stock"),
        Value::Bytes(article) if article == b"denied" => Err(ServiceError::Denied.into()),
        _ => Err("not for sale".into()),
    })
}

/// Asks for the price of what its frames name.
struct Buyer;

impl Plugin for Buyer {
    fn process(&mut self, host: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        let answer = match host.call(LOOKUP, &frame.payload) {
            Ok(price) => String::from_utf8_lossy(&price).into_owned(),
            Err(error) => error.code().to_string(),
        };
        Ok(vec![Frame::data(answer)])
    }
}

const ASKS: &str = "[permissions]\nfunctions = ['acme:shop/prices@1.0.0#lookup']\n";

fn core(manifest: &str) -> LoadRequest {
    let manifest = Manifest::parse(&format!("[plugin]\nid = 'guest'\n{manifest}")).unwrap();
    LoadRequest::core(manifest, || Box::new(Buyer))
}

/// The same in the frame ABI: what stands after `!` is the article, of five letters.
fn module() -> Vec<u8> {
    let fields = format!(
        r#"(import "glovebox" "call" (func $call (param i32 i32 i32 i32) (result i64)))
           (import "glovebox" "call_result" (func $take (param i32) (result i32)))
           (data (i32.const 2048) "{LOOKUP}")"#
    );
    let bad = r#"(local $given i64)
        (local.set $given
            (call $call (i32.const 2048) (i32.const 29) (i32.const 1037) (i32.const 5)))
        (if (i64.lt_s (local.get $given) (i64.const 0)) (then
            (i32.store8 (i32.const 524)
                (i32.sub (i32.const 48) (i32.wrap_i64 (local.get $given))))
            (return (i64.const 0x200_0000000D))))
        (drop (call $take (i32.const 524)))
        (i32.store (i32.const 520) (i32.wrap_i64 (local.get $given)))
        (return (i64.or (i64.const 0x200_00000000)
            (i64.add (local.get $given) (i64.const 12))))"#;
    wat::parse_str(Guest { bad, fields: &fields, ..Guest::default() }.module()).unwrap()
}

/// A component that imports the interface, with types of its own, and asks for one article.
fn component(article: &str) -> Vec<u8> {
    let fields = format!(
        r#"(import "acme:shop/prices@1.0.0" "lookup" (func $lookup (param i32 i32 i32)))
           (data (i32.const 2048) "{article}")"#
    );
    let bad = format!(
        r#"(call $lookup (i32.const 2048) (i32.const {}) (i32.const 2304))
        (i32.store (i32.const 276) (i32.const 288))
        (i32.store (i32.const 280) (i32.const 1))
        (i32.store8 (i32.const 288) (i32.const 0x52))
        (i32.store (i32.const 300) (i32.const 320))
        (i32.store (i32.const 304) (i32.const 1))
        (i32.store8 (i32.const 320)
            (i32.add (i32.const 48) (i32.wrap_i64 (i64.load (i32.const 2312)))))
        (if (i32.load8_u (i32.const 2304)) (then
            (i32.store (i32.const 300) (i32.load (i32.const 2312)))
            (i32.store (i32.const 304) (i32.load (i32.const 2316)))))
        (return (i32.const 272))"#,
        article.len()
    );
    let packages = [(
        "acme.wit",
        "package acme:shop@1.0.0;
         interface prices { lookup: func(article: string) -> result<u64, string>; }",
    )];
    let world = "import acme:shop/prices@1.0.0;";
    Guest { bad: &bad, fields: &fields, world, packages: &packages, ..Guest::default() }.component()
}

fn load(bench: &Bench, bytes: &[u8], manifest: &str) -> Result<InstanceId, LoadError> {
    let manifest = Manifest::parse(&format!("[plugin]\nid = 'guest'\n{manifest}")).unwrap();
    bench.host.load(LoadRequest::bytes("guest.wasm", bytes.to_vec()).manifest(manifest)).wait()
}

/// The last use of a function.
fn last_use(bench: &Bench) -> Option<HostCall> {
    bench.events.events().into_iter().rev().find_map(|event| match event.what {
        What::HostCall { host_call, .. } if host_call.service == LOOKUP => Some(host_call),
        _ => None,
    })
}

#[test]
fn all_tiers_call_what_the_application_gives() {
    #[track_caller]
    fn check(bench: &Bench, id: InstanceId, input: &str, expected: &str, recorded: &str) {
        assert_eq!(bench.ask(id, input), expected, "{input}");
        let HostCall { permission, arguments, result, .. } = last_use(bench).unwrap();
        assert_eq!(permission, Permission::Functions);
        assert_eq!(format!("{arguments:?} → {result:?}"), recorded, "{input}");
    }
    // To print the panic takes its time on a busy machine.
    let asks = &format!("{ASKS}[limits]\ncall-deadline = '30 s'\n");
    let bench = Bench::with(shop);
    let id = bench.host.load(core(asks)).wait().unwrap();
    let bytes = |text: &str| format!("{:?}", Value::Bytes(text.as_bytes().to_vec()));
    let given = format!("{} → Ok(Text(\"3\"))", bytes("apple"));
    let not_for_sale = "Ok(Map([(Text(\"err\"), Text(\"not for sale\"))]))";
    check(&bench, id, "apple", "3", &given);
    check(&bench, id, "stone", "2", &format!("{} → {not_for_sale}", bytes("stone")));
    check(&bench, id, "denied", "1", &format!("{} → Err(Denied)", bytes("denied")));
    // A panic stays with the application.
    check(&bench, id, "panic", "4", &format!("{} → Err(Unavailable)", bytes("panic")));
    let id = load(&bench, &module(), asks).unwrap();
    check(&bench, id, "!apple", "3", &given);
    check(&bench, id, "!stone", "2", &format!("{} → {not_for_sale}", bytes("stone")));
    check(&bench, id, "!panic", "4", &format!("{} → Err(Unavailable)", bytes("panic")));
    let id = load(&bench, &component("apple"), ASKS).unwrap();
    check(&bench, id, "!", "3", "Text(\"apple\") → Ok(Integer(3))");
    let id = load(&bench, &component("stone"), ASKS).unwrap();
    check(&bench, id, "!", "not for sale", &format!("Text(\"stone\") → {not_for_sale}"));
    // One interface stands for all of its functions.
    let id = load(&bench, &module(), "[permissions]\nfunctions = ['acme:shop/prices@1.0.0']");
    check(&bench, id.unwrap(), "!apple", "3", &given);
    // One source, as every artifact that the kit makes of it.
    let artifacts = [
        (native_sample("parity-plugin"), Isolation::InProcess),
        #[cfg(target_os = "linux")]
        (native_sample("parity-plugin"), Isolation::Process),
        (fixture("parity-plugin.wasm"), Isolation::InProcess),
        (fixture("parity-plugin.frame-abi.wasm"), Isolation::InProcess),
    ];
    for (artifact, isolation) in artifacts {
        let mut asks = glovebox_abi::Requests::default();
        asks.insert(Permission::Config, true);
        let names = Selection::only(vec![LOOKUP.to_owned()]);
        asks.insert(Permission::Functions, Scope { names, ..Scope::default() });
        let request = LoadRequest::path(artifact).trust_native().isolation(isolation);
        let request = request.permissions(asks);
        let id = bench.host.load(request).wait().unwrap();
        let call = |article: &str| format!("service call {LOOKUP} {article}");
        check(&bench, id, &call("apple"), "granted \"3\"", &given);
        let refused = format!("{} → {not_for_sale}", bytes("stone"));
        check(&bench, id, &call("stone"), "refused invalid argument", &refused);
        bench.host.unload(id);
    }
}

#[test]
fn a_function_that_nobody_gives_is_a_load_error() {
    #[track_caller]
    fn check(bench: &Bench, loaded: Result<InstanceId, LoadError>, expected: &str) {
        let error = loaded.unwrap_err();
        assert_eq!(error.stage(), LoadStage::Link);
        assert_eq!(error.problem().to_string(), expected);
        let remedy = error.remedy();
        assert!(remedy.contains("HostBuilder::function") && remedy.contains("--mock"), "{remedy}");
        assert!(bench.host.plugins().is_empty());
    }
    let none = format!("the application gives no function `{LOOKUP}`");
    let bench = Bench::new();
    check(&bench, bench.host.load(core(ASKS)).wait(), &none);
    check(&bench, load(&bench, &module(), ASKS), &none);
    check(&bench, load(&bench, &component("apple"), ASKS), &none);
    // The imports of a component are known without its manifest.
    check(&bench, load(&bench, &component("apple"), ""), &none);
    let other =
        Bench::with(|builder| builder.bytes_function("acme:shop/stock#count", |_, _| Ok(vec![])));
    let instead = format!("{none}; it gives `acme:shop/stock#count`");
    check(&other, load(&other, &component("apple"), ASKS), &instead);
}

#[test]
fn permissions_are_checked_as_for_every_service() {
    for bytes in [module(), component("apple")] {
        let bench = Bench::with(shop);
        let id = load(&bench, &bytes, "").unwrap();
        let answer = bench.ask(id, "!apple");
        assert!(["1", "denied: the plugin lacks the permission"].contains(&&*answer), "{answer}");
        assert_eq!(last_use(&bench).unwrap().result, Err(ServiceError::Denied));
        let status = bench.host.plugin(id).unwrap();
        let functions = status.permission(Permission::Functions).unwrap();
        assert_eq!((functions.denials, functions.granted), (1, false));
        let line = "add `functions = [\"acme:shop/prices@1.0.0#lookup\"]` to [permissions]";
        assert!(functions.explanation.contains(line), "{}", functions.explanation);
        bench.host.set_decision(id, Permission::Functions, Decision::Allow);
        assert_eq!(bench.ask(id, "!apple"), "3");
        let log = bench.host.access_log(id).unwrap();
        let last = log.entries.last().unwrap();
        assert_eq!((last.parameter.to_string(), last.allowed), (LOOKUP.to_owned(), true));
    }
    let narrowed = "[plugins.guest]\nfunctions = { names = ['acme:shop/stock'] }";
    let bench = Bench::with(|builder| shop(builder).policy(Policy::parse(narrowed).unwrap()));
    let id = bench.host.load(core(ASKS)).wait().unwrap();
    assert_eq!(bench.ask(id, "apple"), "1");
    bench.host.set_policy(Policy::parse("mode = 'strict'").unwrap());
    assert_eq!(bench.ask(id, "apple"), "1");
    bench.host.set_policy(Policy::parse("mode = 'consent'").unwrap());
    assert_eq!(bench.ask(id, "apple"), "3");
}

#[test]
fn what_is_wished_for_is_suggested() {
    let suggestion = suggest(|requests| {
        let bench = Bench::with(|builder| {
            let mode = Policy::parse("mode = 'record'").unwrap();
            assert_eq!(mode.mode(), Some(PolicyMode::Record));
            shop(builder).policy(mode)
        });
        let id = bench.host.load(core("").permissions(requests.clone())).wait()?;
        bench.ask(id, "apple");
        Ok::<_, LoadError>(bench.host.wishes(id))
    });
    let permissions = suggestion.unwrap().permissions.to_string();
    assert_eq!(permissions, format!("functions = [\"{LOOKUP}\"]\n"));
}

#[test]
fn limits_hold_for_functions() {
    #[track_caller]
    fn check(limits: &str, input: &str, expected: LimitKind) {
        let bench = Bench::with(shop);
        let id = bench.host.load(core(&format!("{ASKS}[limits]\n{limits}"))).wait().unwrap();
        let outcome = bench.ask(id, input);
        let name = expected.name();
        assert!(outcome.contains(&format!("of {name}, limit")), "{outcome} is not about {name}");
        assert_eq!(bench.host.plugin(id).unwrap().limit(expected).unwrap().hits, 1);
    }
    check("host-calls = 0", "apple", LimitKind::HostCalls);
    check("host-call-bytes = 40", "a long name of an article", LimitKind::HostCallBytes);
    check("carried-bytes = 40", "a long name of an article", LimitKind::CarriedBytes);
    // Code of the application cannot be stopped, but the call ends after it.
    let slow = |builder: HostBuilder| {
        builder.function(LOOKUP, |caller, _| {
            let until = std::time::Instant::now() + caller.deadline;
            while std::time::Instant::now() <= until {
                std::thread::yield_now();
            }
            Ok(Value::Null)
        })
    };
    let manifest = format!("{ASKS}[limits]\ncall-deadline = '20 ms'");
    let bench = Bench::with(slow);
    let deadline = Duration::from_millis(20);
    let id = bench.host.load(core(&manifest)).wait().unwrap();
    let reply = bench.host.call(id, &Frame::data("apple"));
    assert_eq!(reply.outcome, Outcome::TimedOut { deadline, made_up: false });
    for bytes in [module(), component("apple")] {
        let id = load(&bench, &bytes, &manifest).unwrap();
        let reply = bench.host.call(id, &Frame::data("!apple"));
        assert_eq!(reply.outcome, Outcome::TimedOut { deadline, made_up: false });
    }
}

#[test]
fn a_function_knows_who_calls() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let bench = Bench::with(|builder| {
        let seen = seen.clone();
        builder.bytes_function(LOOKUP, move |caller, argument| {
            let caller = (caller.plugin.to_owned(), caller.instance, caller.call);
            seen.lock().unwrap().push((caller, argument.to_vec()));
            Err(FunctionError::Service(ServiceError::Unavailable))
        })
    });
    let ids = [bench.host.load(core(ASKS)).wait().unwrap(), load(&bench, &module(), ASKS).unwrap()];
    let calls = ids.map(|id| bench.host.call(id, &Frame::data("!apple")).call);
    let of = |place: usize| ("guest".to_owned(), ids[place], Some(calls[place]));
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen, [(of(0), b"!apple".to_vec()), (of(1), b"apple".to_vec())]);
}

const MOCK: &str = "[[function]]\nname = 'acme:shop/prices@1.0.0#lookup'\nargument = 'stone'\n\
    fail = 'limit'\n[[function]]\nname = 'acme:shop/prices@1.0.0#lookup'\ncall = 2\n\
    gives = { hex = '37' }\n[[function]]\nname = 'acme:shop/prices@1.0.0#lookup'\n\
    argument = 'apple'\ngives = 5";

#[test]
fn a_mock_gives_what_the_application_would() {
    let script = |text: &str| Arc::new(Mock::parse(text).unwrap());
    let bench = Bench::new();
    let id = bench.host.load(core(ASKS).mock(script(MOCK))).wait().unwrap();
    assert_eq!(bench.ask(id, "stone"), "3", "a limit is used up");
    assert_eq!(bench.ask(id, "plum"), "7", "the second call");
    assert_eq!(bench.ask(id, "plum"), "4", "not scripted, and nobody gives it");
    assert!(bench.host.plugin(id).unwrap().mocks.iter().any(|mocked| mocked == LOOKUP));
    let request = LoadRequest::bytes("guest.wasm", component("apple"))
        .manifest(Manifest::parse(&format!("[plugin]\nid = 'guest'\n{ASKS}")).unwrap());
    let id = bench.host.load(request.mock(script(MOCK))).wait().unwrap();
    assert_eq!(bench.ask(id, "!"), "5");
    // In front of the function that there is, and only where it is scripted.
    let bench = Bench::with(shop);
    let stone =
        "[[function]]\nname = 'acme:shop/prices@1.0.0#lookup'\nargument = 'stone'\ngives = '9'";
    let id = bench.host.load(core(ASKS).mock(script(stone))).wait().unwrap();
    assert_eq!((&*bench.ask(id, "stone"), &*bench.ask(id, "apple")), ("9", "3"));
    let slow = "[[function]]\nname = 'acme:shop/prices@1.0.0#lookup'\ndelay = '60 min'";
    let manifest = format!("{ASKS}[limits]\ncall-deadline = '30 ms'");
    let id = bench.host.load(core(&manifest).mock(script(slow))).wait().unwrap();
    assert!(bench.ask(id, "apple").contains("stopped at its deadline of 30 ms"));
}

/// Answers the function, and remembers what it was asked.
#[derive(Default)]
struct Recorded(std::sync::Mutex<Vec<(Option<CallId>, Value)>>);

impl Answers for Recorded {
    fn answer(&self, asked: &Asked<'_>) -> Answered {
        if asked.service != LOOKUP {
            return Answered::ByHost;
        }
        self.0.lock().unwrap().push((asked.call, asked.arguments.clone()));
        Answered::With(Ok(Value::Integer(8)))
    }
}

#[test]
fn answers_go_before_the_application() {
    let answers = Arc::new(Recorded::default());
    let bench = Bench::new();
    let request = LoadRequest::bytes("guest.wasm", component("apple"))
        .manifest(Manifest::parse(&format!("[plugin]\nid = 'guest'\n{ASKS}")).unwrap());
    // Answers for the host are answers for the application too, which need not be there.
    let id = bench.host.load(request.answers(answers.clone())).wait().unwrap();
    assert_eq!(bench.ask(id, "!"), "8");
    let asked = answers.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1, Value::Text("apple".to_owned()));
    assert_eq!(last_use(&bench).unwrap().result, Ok(Value::Integer(8)));
}

/// The function in the guide, which stands there word for word.
fn as_in_the_guide(builder: HostBuilder) -> HostBuilder {
    builder.function("acme:shop/prices@1.0.0#lookup", |caller, article| match article {
        // A component gives and gets the types of its WIT …
        Value::Text(name) if name == "apple" => Ok(Value::Integer(3)),
        // … and all other plugins bytes.
        Value::Bytes(name) if name == b"apple" => Ok(Value::Text("3".to_owned())),
        _ => Err(format!("{} asks for an unknown article", caller.plugin).into()),
    })
}

#[test]
fn the_function_of_the_guide_serves_every_plugin() {
    let words = |text: &str| -> String {
        let start = text.find("function(\"acme").unwrap();
        let end = start + text[start..].find("})").unwrap();
        text[start..end].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let own = include_str!("functions.rs");
    let own = &own[own.find("fn as_in_the_guide").unwrap()..];
    assert_eq!(words(include_str!("../../../host/README.md")), words(own));
    let bench = Bench::with(as_in_the_guide);
    let check = |id, input: &str, expected: &str| assert_eq!(bench.ask(id, input), expected);
    check(bench.host.load(core(ASKS)).wait().unwrap(), "apple", "3");
    check(bench.host.load(core(ASKS)).wait().unwrap(), "stone", "2");
    check(load(&bench, &module(), ASKS).unwrap(), "!apple", "3");
    check(load(&bench, &component("apple"), ASKS).unwrap(), "!", "3");
    let unknown = "guest asks for an unknown article";
    check(load(&bench, &component("stone"), ASKS).unwrap(), "!", unknown);
}

#[test]
fn a_value_that_looks_like_an_error_is_none() {
    let looks = || Value::Map(vec![(Value::Text("err".to_owned()), Value::Text("no".to_owned()))]);
    let bench = Bench::with(|builder| builder.function(LOOKUP, move |_, _| Ok(looks())));
    let recorded = "Ok(Map([(Text(\"ok\"), Map([(Text(\"err\"), Text(\"no\"))]))]))";
    let check = |id, expected: &str| {
        let answer = bench.ask(id, "!apple");
        assert!(answer.contains(expected), "{answer}");
        assert_eq!(format!("{:?}", last_use(&bench).unwrap().result), recorded);
    };
    check(bench.host.load(core(ASKS)).wait().unwrap(), "4");
    check(load(&bench, &module(), ASKS).unwrap(), "4");
    let component = load(&bench, &component("apple"), ASKS).unwrap();
    check(component, "gave what its type does not allow");
}

/// A host that its functions and its sink know.
type Known = Arc<std::sync::OnceLock<(glovebox_host::Host, Vec<InstanceId>)>>;

/// Calls one of the instances, once all are loaded; says what came of it.
fn call_back(known: &Known, which: usize) -> Result<Value, FunctionError> {
    let Some((host, ids)) = known.get() else { return Ok(Value::Null) };
    let reply = host.call(ids[which], &Frame::data("a"));
    Ok(Value::Text(match reply.outcome {
        Outcome::Completed => String::from_utf8_lossy(&reply.frames[0].payload).into_owned(),
        Outcome::Refused { reason } => format!("refused: {reason}"),
        outcome => panic!("{outcome}"),
    }))
}

#[test]
fn a_call_from_inside_of_a_call_is_refused() {
    const INSIDE: &str =
        "is at work on this thread, and a call from in there would wait for itself";
    fn check(copies: usize, targets: &'static [usize], expected: &str) {
        let known = Known::default();
        let inside = known.clone();
        let bench = Bench::with(|builder| {
            builder.function(LOOKUP, move |caller, _| {
                let Some((_, ids)) = inside.get() else { return Ok(Value::Null) };
                let from = ids.iter().position(|id| *id == caller.instance).unwrap();
                call_back(&inside, targets[from])
            })
        });
        let manifest = format!("{ASKS}[runtime]\ninstances = {copies}");
        let ids = targets.iter().map(|_| bench.host.load(core(&manifest)).wait().unwrap());
        let ids: Vec<_> = ids.collect();
        known.set((bench.host.clone(), ids.clone())).unwrap();
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || done.send(bench.ask(ids[0], "a")));
        let answer = answer.recv_timeout(Duration::from_secs(60)).expect("nobody waits for ever");
        assert!(answer.contains(expected), "{answer}");
    }
    check(1, &[0], INSIDE);
    check(1, &[1, 0], INSIDE);
    check(2, &[0], INSIDE);
    check(2, &[1, 2, 0], INSIDE);
}

/// Calls the instance about which it hears that it got a frame.
struct CallsBack(Known, Arc<std::sync::Mutex<Vec<Value>>>);

impl glovebox_events::Sink for CallsBack {
    fn record(&self, event: &glovebox_events::Event) {
        if matches!(event.what, What::FrameIn { .. } | What::Phase { .. }) && self.0.get().is_some()
        {
            self.1.lock().unwrap().push(call_back(&self.0, 0).unwrap());
        }
    }
}

#[test]
fn a_sink_that_calls_what_it_hears_of_is_refused() {
    fn check(is_lazy: bool) {
        let (known, said) = (Known::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let sink = Arc::new(CallsBack(known.clone(), said.clone()));
        let host = glovebox_host::Host::builder().sink(sink).build().unwrap();
        let request = patiently("echo.wasm");
        let request = if is_lazy { request.lazy() } else { request };
        let id = host.load(request).wait().unwrap();
        known.set((host.clone(), vec![id])).unwrap();
        let (done, is_done) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || done.send(host.call(id, &Frame::data("a")).outcome));
        let outcome = is_done.recv_timeout(Duration::from_secs(60)).expect("nobody waits for ever");
        assert!(outcome.is_completed(), "{outcome}");
        let said = said.lock().unwrap();
        let is_refused =
            |said: &Value| matches!(said, Value::Text(said) if said.starts_with("refused: "));
        assert!(!said.is_empty() && said.iter().all(is_refused), "{said:?}");
    }
    check(false);
    check(true);
}

#[test]
fn a_name_stands_for_one_function() {
    let builder = Host::builder().function(LOOKUP, |_, _| Ok(Value::Null));
    let twice = builder.bytes_function(LOOKUP, |_, bytes| Ok(bytes.to_vec()));
    let error = twice.build().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains(LOOKUP) && error.contains("is given twice"), "{error}");
}
