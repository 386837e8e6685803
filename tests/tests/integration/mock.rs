//! Scripted host services: the same every time, behind the permissions, counted and recorded.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use glovebox_abi::cbor::Value;
use glovebox_abi::{Failure, Frame, Manifest, Permission, Plugin, ServiceError, Services};
use glovebox_events::{AnsweredBy, HostCall, What};
use glovebox_host::{
    Answered, Answers, Asked, Decision, Host, HostError, InstanceId, LoadRequest, Mock, Mocks,
    Profile,
};
use glovebox_tests::{Bench, sample};

/// Uses the services that its input names, and answers with what it got.
struct Asks;

impl Plugin for Asks {
    fn process(&mut self, host: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        fn told<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> String {
            result.map_or_else(|error| format!("{error:?}"), |value| format!("{value:?}"))
        }
        let input = String::from_utf8_lossy(&frame.payload).into_owned();
        let answers = input.split_whitespace().map(|word| match word {
            "now" => told(host.now()),
            "random" => {
                let mut bytes = [0; 4];
                told(host.random(&mut bytes).map(|()| bytes))
            }
            "much" => told(host.random(&mut vec![0; 1 << 20])),
            "set" => told(host.kv_set("key", b"set")),
            "get" => told(
                host.kv_get("key")
                    .map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned())),
            ),
            "list" => told(host.kv_list("")),
            word => panic!("{word} is no service"),
        });
        Ok(vec![Frame::data(answers.collect::<Vec<_>>().join(" "))])
    }
}

/// The plugin, with all permissions that its services need.
fn asks(bench: &Bench, mock: Option<&str>) -> InstanceId {
    let mut manifest = Manifest::bare("asks");
    for permission in [Permission::Now, Permission::Random, Permission::Kv] {
        manifest.permissions.insert(permission, true);
    }
    manifest.limits.call_deadline = Duration::from_millis(100);
    // A frame waits for its plugin no longer than for its answer.
    manifest.lifecycle.back_off = Duration::from_millis(1);
    manifest.lifecycle.back_off_max = Duration::from_millis(1);
    let mut request = LoadRequest::core(manifest, || Box::new(Asks));
    if let Some(mock) = mock {
        request = request.mock(script(mock));
    }
    bench.host.load(request).wait().unwrap()
}

fn script(text: &str) -> Arc<Mock> {
    Arc::new(Mock::parse(text).unwrap())
}

#[test]
fn services_answer_as_the_script_says() {
    #[track_caller]
    fn check(mock: &str, question: &str, expected: &str) {
        let bench = Bench::new();
        let id = asks(&bench, Some(mock));
        assert_eq!(bench.ask(id, question), expected, "{mock}");
    }
    let clock = "[now]\nfixed = 1000\nstep = '1us'";
    check(clock, "now now now", "1000 2000 3000");
    check(
        "[now]\nfixed = 2026-01-01T00:00:00Z",
        "now now",
        "1767225600000000000 1767225600000000000",
    );
    check(
        "[kv]\nkey = 'canned'\nother = 'x'",
        "get list set get",
        r#"Some("canned") ["key", "other"] () Some("set")"#,
    );
    check("", "get", "None");
    let third = "[[answer]]\nservice = 'kv-get'\ncall = 3\nfail = 'unavailable'\n[kv]\nkey = 'v'";
    check(third, "get list get get get", r#"Some("v") ["key"] Some("v") Unavailable Some("v")"#);
    check("[[answer]]\nservice = 'now'\nfail = 'denied'", "now now", "Denied Denied");
    check("[[answer]]\nservice = 'kv-set'\nfail = 'limit'", "set get", "LimitExceeded None");
    let short = "[[answer]]\nservice = 'kv-get'\nshort = 2\n[kv]\nkey = 'value'";
    check(short, "get get", r#"Some("va") Some("va")"#);
    let other = "[[answer]]\nservice = 'kv-list'\nplugin = 'b'\nshort = 0\n[kv]\nkey = 'value'";
    check(other, "list", r#"["key"]"#);
    check("[[answer]]\nservice = 'random'\nshort = 3", "random", "Unavailable");
    let set = "[now]\nfixed = 1000\n[[answer]]\nservice = 'now'\ncall = 2\nback = '300ns'";
    check(set, "now now now", "1000 700 700");
}

#[test]
fn a_host_call_says_who_made_its_result() {
    use AnsweredBy::{Application, Fault, Host, Mock as Mocked};

    /// Checks who made the results of what is asked, and how many are counted as injected.
    #[track_caller]
    fn check(mock: Option<&str>, faults: Option<&str>, question: &str, expected: &[AnsweredBy]) {
        let bench = Bench::new();
        let id = asks(&bench, mock);
        bench.host.set_faults(id, faults.map(script)).unwrap();
        bench.ask(id, question);
        let events = bench.events.events().into_iter();
        let made = events.filter_map(|event| match event.what {
            What::HostCall { host_call, .. } => Some(host_call.answered_by),
            _ => None,
        });
        let made: Vec<AnsweredBy> = made.collect();
        assert_eq!(made, expected, "{mock:?} {faults:?}");
        let permissions = bench.host.plugin(id).unwrap().permissions;
        let injected = made.iter().filter(|by| !matches!(by, Host | Application)).count();
        assert_eq!(permissions.iter().map(|one| one.injected).sum::<u64>(), injected as u64);
        assert_eq!(permissions.iter().map(|one| one.denials).sum::<u64>(), 0);
    }
    let denies = "[[answer]]\nservice = 'kv-get'\nfail = 'denied'";
    let forward = "[[answer]]\nservice = 'now'\ncall = 2\nforward = '1s'";
    check(None, None, "get now", &[Host, Host]);
    check(None, Some(denies), "get now", &[Fault, Host]);
    check(Some(denies), None, "get now", &[Mocked, Host]);
    check(Some(denies), Some(denies), "get", &[Fault]);
    check(None, Some(forward), "now now now", &[Host, Fault, Fault]);
    check(Some("[now]\nfixed = 5\n[random]\nseed = 1"), None, "now random", &[Mocked, Mocked]);
    check(None, Some("[[answer]]\nservice = 'random'\ndelay = '1ms'"), "random", &[Fault]);
}

#[test]
fn a_plugin_is_stopped_where_the_script_says() {
    let bench = Bench::new();
    let id = asks(&bench, Some("[[answer]]\nservice = 'now'\nstop = 'crash'"));
    for _ in 0..5 {
        assert_eq!(bench.ask(id, "now"), "crashed, made up: stopped by a mock while it used `now`");
    }
    // The consequences are those of crashes.
    let refused = bench.ask(id, "now");
    assert!(refused.contains("it failed 5 times in a row: restart it by hand"), "{refused}");
    let uses = bench.events.events().into_iter().filter_map(|event| match event.what {
        What::HostCall { host_call, .. } => Some(host_call.result),
        _ => None,
    });
    assert!(uses.eq([(); 5].map(|()| Err(ServiceError::Unavailable))), "the trace has each use");
    let bench = Bench::new();
    let memory = "[[answer]]\nservice = 'kv-get'\ncall = 2\nstop = 'memory'";
    let id = asks(&bench, Some(memory));
    assert_eq!(bench.ask(id, "get"), "None");
    let outcome = bench.ask(id, "get");
    assert!(
        outcome.starts_with("limit exceeded, made up: ") && outcome.contains("memory"),
        "{outcome}"
    );
    let is_named = bench.events.events().into_iter().any(|event| {
        matches!(event.what, What::Phase { cause, .. } if cause.contains("memory") && cause.contains(", made up: "))
    });
    assert!(is_named, "the trace says whose failure that is");
    assert_eq!(bench.ask(id, "get"), "None");
}

#[test]
fn answers_stand_behind_the_limits() {
    /// Says that it did what it was asked to, and remembers what that was.
    #[derive(Default)]
    struct Agrees(Mutex<Vec<String>>);
    impl Answers for Agrees {
        fn answer(&self, asked: &Asked<'_>) -> Answered {
            self.0.lock().unwrap().push(asked.service.to_owned());
            match asked.service {
                "random" => Answered::With(Ok(Value::Bytes(vec![7; 4]))),
                _ => Answered::With(Ok(Value::Null)),
            }
        }
    }
    fn check(kv_bytes: u64, question: &str, expected: &str, asked: &[&str]) {
        let (bench, agrees) = (Bench::new(), Arc::new(Agrees::default()));
        let mut manifest = Manifest::bare("asks");
        manifest.permissions.insert(Permission::Kv, true);
        manifest.permissions.insert(Permission::Random, true);
        manifest.limits.kv_bytes = kv_bytes;
        let request = LoadRequest::core(manifest, || Box::new(Asks)).answers(agrees.clone());
        let id = bench.host.load(request).wait().unwrap();
        assert_eq!(bench.ask(id, question), expected);
        assert_eq!(*agrees.0.lock().unwrap(), asked);
        let hits = bench.host.plugin(id).unwrap().limit_status.into_iter().map(|limit| limit.hits);
        assert_eq!(hits.sum::<u64>(), expected.matches("LimitExceeded").count() as u64);
    }
    check(1000, "set set", "() ()", &["kv-set", "kv-set"]);
    check(100, "set random", "LimitExceeded [7, 7, 7, 7]", &["random"]);
    check(1000, "much", "Invalid", &[]);
}

#[test]
fn the_same_script_gives_the_same_bytes() {
    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let run = |mock: &str| {
            let bench = Bench::new();
            let id = asks(&bench, Some(mock));
            let answers = [bench.ask(id, "random now random"), bench.ask(id, "now random")];
            // Loaded anew into the same host, it starts from the beginning.
            let again = asks(&bench, Some(mock));
            assert_eq!(bench.ask(again, "random now random"), answers[0]);
            answers
        };
        assert_eq!(run(one) == run(other), same, "{one} {other}");
    }
    let mock = |seed: u32| format!("[random]\nseed = {seed}\n[now]\nfixed = 5\nstep = '1ns'");
    check(&mock(7), &mock(7), true);
    check(&mock(7), &mock(8), false);
}

#[test]
fn mocks_stand_behind_the_permissions() {
    let bench = Bench::new();
    let id = asks(
        &bench,
        Some(
            "[now]\nfixed = 1000\nstep = '1us'\n[[answer]]\nservice = 'now'\ncall = 2\nfail = 'limit'",
        ),
    );
    bench.host.set_decision(id, Permission::Now, Decision::Deny);
    assert_eq!(bench.ask(id, "now now"), "Denied Denied");
    bench.host.set_decision(id, Permission::Now, Decision::AsDeclared);
    // A denied call never reached the mock, and did not move its clock.
    assert_eq!(bench.ask(id, "now now now"), "1000 LimitExceeded 2000");
    let status = bench.host.plugin(id).unwrap();
    let now = status.permissions.iter().find(|p| p.permission == Permission::Now).unwrap();
    assert_eq!((now.uses, now.denials), (3, 2));
    assert_eq!(status.mocks, ["now"]);
    let events = bench.events.events();
    let said = events.iter().any(|event| {
        matches!(&event.what, What::PolicyChanged { summary } if summary == "answered by a mock: now")
    });
    assert!(said, "an event says that there is a mock");
    let recorded: Vec<bool> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::HostCall { host_call: HostCall { service, result, .. }, .. } => {
                assert_eq!(service, "now");
                Some(result.is_ok())
            }
            _ => None,
        })
        .collect();
    assert_eq!(recorded, [false, false, true, false, true]);
}

#[test]
fn delays_end_with_the_call_deadline() {
    let bench = Bench::new();
    let slow = "[[answer]]\nservice = 'now'\ndelay = '20 ms'";
    let id = asks(&bench, Some(slow));
    let started = Instant::now();
    bench.ask(id, "now");
    assert!(started.elapsed() >= Duration::from_millis(20));
    // A delay that is too long ends with the deadline, and so does the call; many of those that are
    // not, two minutes altogether, do so together.
    let check = |delay: &str, times: usize| {
        let mock = format!("[[answer]]\nservice = 'now'\ndelay = '{delay}'");
        let id = asks(&bench, Some(&mock));
        let started = Instant::now();
        let outcome = bench.ask(id, &"now ".repeat(times));
        assert!(outcome.contains("stopped at its deadline of 100 ms"), "{outcome}");
        assert!(started.elapsed() >= Duration::from_millis(100));
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        let delayed = bench.events.events().into_iter().filter(|event| {
            let took = match &event.what {
                What::HostCall { host_call, .. } => host_call.took,
                _ => Duration::ZERO,
            };
            event.instance == id.get() && took >= Duration::from_millis(1)
        });
        assert!(delayed.count() > 0);
    };
    check("60 min", 100);
    check("30 ms", 4000);
    // A guest is stopped at its deadline, however slow its host is.
    let request = LoadRequest::path(sample("storage.wasm"))
        .mock(script("[[answer]]\nservice = 'kv-list'\ndelay = '60 min'"));
    let id = bench.host.load(request).wait().unwrap();
    let mut limits = bench.host.plugin(id).unwrap().limits;
    limits.call_deadline = Duration::from_millis(50);
    bench.host.set_limits(id, limits).unwrap();
    let outcome = bench.ask(id, r#"{"do":"list"}"#);
    assert!(outcome.contains("stopped at its deadline of 50 ms"), "{outcome}");
}

#[test]
fn a_delayed_call_can_be_cancelled() {
    let bench = Bench::new();
    let request = LoadRequest::path(sample("storage.wasm"))
        .mock(script("[[answer]]\nservice = 'kv-list'\ndelay = '60 min'"));
    let id = bench.host.load(request).wait().unwrap();
    let mut limits = bench.host.plugin(id).unwrap().limits;
    limits.call_deadline = Duration::from_secs(60);
    bench.host.set_limits(id, limits).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| bench.ask(id, r#"{"do":"list"}"#));
        // One that comes before the call begins is not for it.
        while !call.is_finished() {
            bench.host.cancel(id);
            std::thread::yield_now();
        }
        assert_eq!(call.join().unwrap(), "cancelled");
    });
}

#[test]
fn production_wants_the_real_services() {
    let mock = script("[now]\nfixed = 1");
    let refused = Host::builder().profile(Profile::production()).mock(mock.clone()).build();
    let error = refused.err().map(|error: HostError| error.to_string()).unwrap_or_default();
    assert!(error.contains("mock host services are refused in profile `production`"), "{error}");
    let bench = Bench::with(|builder| builder.profile(Profile::production()));
    let request = LoadRequest::path(sample("echo.wasm")).mock(mock.clone());
    let error = bench.host.load(request.clone()).wait().unwrap_err().to_string();
    let expected =
        "policy: mock host services are refused in profile `production`; load it without";
    assert!(error.starts_with(expected), "{error}");
    // In effect at once, for what is loaded from then on.
    bench.host.set_profile(Profile::production().renamed("trial").with_mocks(Mocks::Allowed));
    assert!(bench.host.load(request).wait().is_ok());
    // One of the host is for everybody who brings none.
    let bench = Bench::with(|builder| builder.profile(Profile::development()).mock(mock));
    assert_eq!(bench.ask(asks(&bench, None), "now"), "1");
    assert_eq!(bench.ask(asks(&bench, Some("[now]\nfixed = 2")), "now"), "2");
}
