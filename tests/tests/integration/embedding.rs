//! Promises to an application that embeds the host: artifacts from memory, limits that make sense,
//! an end that comes.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{LimitChanges, Limits};
use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_events::{LoadStage, Phase, What};
use glovebox_host::{
    Caller, Ceilings, Host, InstanceId, LifecycleHook, LoadError, LoadProblem, LoadRequest, Origin,
    Source, Transition, inspect,
};
use glovebox_tests::guest::Guest;
use glovebox_tests::{Bench, native_sample, patiently, sample};

fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn an_artifact_from_memory_is_as_one_from_a_file() {
    #[track_caller]
    fn check(path: &Path) {
        let cache = tempfile::tempdir().unwrap();
        let bench = Bench::with(|builder| builder.cache_folder(cache.path()));
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = bytes_of(path);
        let request = LoadRequest::bytes(name, bytes.clone());
        let from_bytes = bench.host.load(request.trust_native()).wait().unwrap();
        let from_file = LoadRequest::path(path).trust_native();
        let from_file = bench.host.load(from_file).wait().unwrap();
        let status = |id| bench.host.plugin(id).unwrap();
        let (one, other) = (status(from_bytes), status(from_file));
        assert_eq!((&one.digest, &one.manifest), (&other.digest, &other.manifest), "{name}");
        assert_eq!(one.origin, Origin::Memory(name.into()));
        assert_eq!(one.origin.to_string(), format!("{name}, given in memory"));
        assert_eq!((one.path(), other.path()), (None, Some(path)));
        assert_eq!(bench.ask(from_bytes, "hello"), bench.ask(from_file, "hello"), "{name}");
        let loaded = bench.events.events().into_iter().filter_map(|event| match event.what {
            What::Loaded { digest, .. } => Some((event.plugin, digest)),
            _ => None,
        });
        let loaded: Vec<_> = loaded.collect();
        assert_eq!(loaded[0], loaded[1], "{name}");
        let (looked, other) =
            (inspect(Source::bytes(name, bytes)).unwrap(), inspect(path).unwrap());
        assert_eq!((looked.digest, looked.exports), (other.digest, other.exports), "{name}");
        assert_eq!((looked.base, looked.origin), (None, Origin::Memory(name.into())), "{name}");
    }
    check(&sample("echo.wasm"));
    check(&sample("echo.frame-abi.wasm"));
    // Alone: a manifest that lies beside it would say more than its bytes do.
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("hello.wat");
    std::fs::copy(glovebox_tests::root().join("sample-plugins/hello-wat/hello.wat"), &text)
        .unwrap();
    check(&text);
    check(&native_sample("echo"));
}

#[test]
fn what_was_compiled_for_a_file_counts_for_its_bytes() {
    let cache = tempfile::tempdir().unwrap();
    let host = || Host::builder().cache_folder(cache.path()).build().unwrap();
    host().load(LoadRequest::path(sample("echo.wasm"))).wait().unwrap();
    let second = host();
    let bytes = bytes_of(&sample("echo.wasm"));
    second.load(LoadRequest::bytes("other", bytes)).wait().unwrap();
    assert_eq!((second.cache_stats().hits, second.cache_stats().misses), (1, 0));
}

#[test]
fn a_manifest_that_is_given_goes_before_the_one_inside() {
    let manifest = |text: &str| Manifest::parse(text).unwrap();
    #[track_caller]
    fn check(request: LoadRequest, expected: Result<&str, &str>) {
        let bench = Bench::new();
        let loaded = bench.host.load(request).wait();
        match (loaded, expected) {
            (Ok(id), Ok(plugin)) => {
                assert_eq!(bench.host.plugin(id).unwrap().manifest.plugin.id, plugin);
            }
            (Err(error), Err(expected)) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{error} lacks {expected}");
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
    let echo = || LoadRequest::bytes("some.wasm", bytes_of(&sample("echo.wasm")));
    check(echo(), Ok("echo"));
    check(echo().manifest(manifest("[plugin]\nid = 'mine'")), Ok("mine"));
    let file = LoadRequest::path(sample("echo.wasm"));
    check(file.manifest(manifest("[plugin]\nid = 'mine'")), Ok("mine"));
    // Without any, the name is the id.
    let module = wat::parse_str(Guest::default().module()).unwrap();
    check(LoadRequest::bytes("guest.wasm", module.clone()), Ok("guest"));
    let other = format!("[plugin]\nid = 'a'\n[artifact]\ndigest = 'blake3:{}'", "0".repeat(64));
    check(echo().manifest(manifest(&other)), Err("signature: the artifact has the digest"));
    check(
        LoadRequest::bytes("half.wasm", module[..9].to_vec()),
        Err(": half.wasm, given in memory"),
    );
    check(LoadRequest::bytes("text", "hello"), Err("sniff: this is a text file, not a plugin"));
    let folder = "[plugin]\nid = 'a'\n[permissions]\nfiles = [{ path = 'data' }]";
    let reason = "policy: its manifest asks for the folder `data`, which starts at";
    check(echo().manifest(manifest(folder)), Err(reason));
    let native = LoadRequest::bytes("echo.so", bytes_of(&native_sample("echo")));
    // The name of what has no manifest.
    check(native.clone(), Ok("echo"));
    let here = native.isolation(glovebox_host::Isolation::InProcess);
    check(here, Err("policy: a native plugin runs as trusted code"));
}

#[test]
fn other_bytes_take_over_with_the_state() {
    for suffix in ["wasm", "frame-abi.wasm"] {
        let source =
            |name: &str| Source::bytes(name, bytes_of(&sample(&format!("{name}.{suffix}"))));
        let bench = Bench::new();
        let id = bench.host.load(LoadRequest::of(source("stats-v1"))).wait().unwrap();
        for payload in ["a", "bb", "ccc"] {
            bench.ask(id, payload);
        }
        let version = || bench.host.plugin(id).unwrap().manifest.plugin.version.to_string();
        let counted = || {
            let report = Frame::new(glovebox_abi::Kind::CONTROL, Default::default(), "report");
            let report: serde_json::Value =
                serde_json::from_str(&bench.ask_frame(id, &report)).unwrap();
            report["kinds"]["data"]["frames"].as_u64()
        };
        assert_eq!(bench.host.reload_with(id, source("stats")).wait().unwrap(), 2);
        assert_eq!((version(), counted()), ("2.0.0".to_owned(), Some(3)));
        // A source that does not take over is not that of the instance either.
        let error = bench.host.reload_with(id, source("echo")).wait().unwrap_err();
        assert!(matches!(error.problem(), LoadProblem::OtherPlugin { .. }), "{error}");
        assert!(error.to_string().ends_with(": echo, given in memory"), "{error}");
        assert_eq!(bench.host.reload_if_changed(id).wait().unwrap(), 2);
        assert_eq!(bench.host.reload(id).wait().unwrap() > 2, version() == "2.0.0");
        bench.host.roll_back(id).wait().unwrap();
        bench.host.roll_back(id).wait().unwrap();
        assert_eq!(counted(), Some(3));
    }
}

#[test]
fn only_files_are_watched() {
    let bench = Bench::new();
    let bytes = bytes_of(&sample("echo.wasm"));
    let id = bench.host.load(LoadRequest::bytes("echo.wasm", bytes)).wait().unwrap();
    let error = bench.host.watch(id).unwrap_err().to_string();
    assert!(error.starts_with("the plugin is echo.wasm, given in memory, and no file"), "{error}");
    assert!(!bench.host.unwatch(id));
}

#[test]
fn limits_that_make_no_sense_are_refused_where_they_are_set() {
    fn check(change: impl Fn(&mut Limits), changes: LimitChanges, expected: &str) {
        let bench = Bench::new();
        let id = bench.load("echo.wasm");
        let mut limits = bench.host.plugin(id).unwrap().limits;
        let before = limits.clone();
        change(&mut limits);
        let error = bench.host.set_limits(id, limits).unwrap_err().to_string();
        assert_eq!(error, expected);
        assert_eq!(bench.host.plugin(id).unwrap().limits, before);
        let request = LoadRequest::path(sample("echo.wasm")).limits(changes.clone());
        let error = bench.host.load(request).wait().unwrap_err();
        assert_eq!(
            (error.stage(), error.problem().to_string()),
            (LoadStage::Policy, expected.into())
        );
        let ceilings = Ceilings::default().with(glovebox_abi::manifest::Tier::Wasm, &changes);
        let error = Host::builder().ceilings(ceilings).build().err().unwrap().to_string();
        assert_eq!(error, format!("the ceiling for the tier wasm: {expected}"));
    }
    let none = LimitChanges::default;
    check(
        |limits| limits.queue = 0,
        LimitChanges { queue: Some(0), ..none() },
        "the limit `queue` cannot be 0; write 1 to 100000",
    );
    check(
        |limits| limits.call_deadline = Duration::ZERO,
        LimitChanges { call_deadline: Some(Duration::ZERO), ..none() },
        "the limit `call-deadline` cannot be 0 ns; write more than 0 s",
    );
    check(
        |limits| limits.rate = Some(0),
        LimitChanges { rate: Some(0), ..none() },
        "the limit `rate` cannot be 0; write 1 or more",
    );
    check(
        |limits| limits.memory = 3 << 30,
        LimitChanges { memory: Some(3 << 30), ..none() },
        "the limit `memory` cannot be 3 GiB; write at most 2 GiB",
    );
    check(
        |limits| limits.fuel = Some(0),
        LimitChanges { fuel: Some(0), ..none() },
        "the limit `fuel` cannot be 0; write 1 or more",
    );
    let refused = |ceilings| Host::builder().ceilings(ceilings).build().err().unwrap().to_string();
    let (mut copies, mut steps) = (Ceilings::default(), Ceilings::default());
    (copies.copies, steps.step_deadline) = (0, Duration::ZERO);
    let mut failures = Ceilings::default();
    failures.breaker = 0;
    assert_eq!(refused(failures), "the ceiling for `breaker` cannot be 0; write 1 or more");
    assert_eq!(refused(copies), "the ceiling for `copies` cannot be 0; write 1 or more");
    assert!(refused(steps).starts_with("the ceiling for `step-deadline` cannot be 0 s"));
    let compiles = Host::builder().compile_deadline(Duration::ZERO).build();
    assert!(compiles.err().unwrap().to_string().contains("leaves no time to compile"));
}

/// Waits until its sender is gone; what hangs says so first.
struct Hang {
    hangs: SyncSender<()>,
    until: Arc<Mutex<Receiver<()>>>,
}

impl Hang {
    /// Something that hangs, what hears of it, and what ends it.
    fn new() -> (Hang, Receiver<()>, SyncSender<()>) {
        let (hangs, hung) = sync_channel(1);
        let (end, until) = sync_channel(1);
        (Hang { hangs, until: Arc::new(Mutex::new(until)) }, hung, end)
    }

    fn hang(&self) {
        // The test may be over.
        let _ = self.hangs.send(());
        let _ = self.until.lock().unwrap().recv();
    }
}

struct HangsAtTheEnd(Hang);

impl Plugin for HangsAtTheEnd {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(Vec::new())
    }

    fn cleanup(&mut self) {
        self.0.hang();
    }
}

impl LifecycleHook for Hang {
    fn after(&self, transition: &Transition) {
        if transition.to == Phase::Stopped {
            self.hang();
        }
    }
}

/// A plugin that calls a function of the application when it cleans up.
fn calls_at_the_end() -> Vec<u8> {
    let fields = r#"(import "glovebox" "call" (func $call (param i32 i32 i32 i32) (result i64)))
        (data (i32.const 2048) "hang")
        (func (export "glovebox_cleanup")
            (drop (call $call (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0))))"#;
    wat::parse_str(Guest { fields, ..Guest::default() }.module()).unwrap()
}

/// Hosts with a plugin, a hook, or a function, that hangs when an instance ends.
fn hosts_that_hang() -> Vec<(&'static str, Host, Receiver<()>, SyncSender<()>)> {
    let builder = || Host::builder().end_deadline(Duration::from_millis(50));
    let mut hosts = Vec::new();
    let (hang, hung, end) = Hang::new();
    let host = builder().build().unwrap();
    let cell = Mutex::new(Some(hang));
    let make = move || -> Box<dyn Plugin> {
        Box::new(HangsAtTheEnd(cell.lock().unwrap().take().expect("one copy is made")))
    };
    host.load(LoadRequest::core(Manifest::bare("hangs"), make)).wait().unwrap();
    hosts.push(("plugin", host, hung, end));
    let (hang, hung, end) = Hang::new();
    let host = builder().hook(hang).build().unwrap();
    host.load(LoadRequest::path(sample("echo.wasm"))).wait().unwrap();
    hosts.push(("hook", host, hung, end));
    let (hang, hung, end) = Hang::new();
    let hang = Mutex::new(hang);
    let function = move |_: &Caller<'_>, _: &Value| {
        hang.lock().unwrap().hang();
        Ok(Value::Null)
    };
    let host = builder().function("hang", function).build().unwrap();
    let manifest = "[plugin]\nid = 'guest'\n[permissions]\nfunctions = ['hang']";
    let request = LoadRequest::bytes("guest.wasm", calls_at_the_end());
    host.load(request.manifest(Manifest::parse(manifest).unwrap())).wait().unwrap();
    hosts.push(("function", host, hung, end));
    hosts
}

/// Says that it cleans up, and does so for ever.
fn cleans_up_for_ever() -> LoadRequest {
    let fields = r#"(import "glovebox" "call" (func $call (param i32 i32 i32 i32) (result i64)))
        (data (i32.const 2048) "cleaning")
        (func (export "glovebox_cleanup")
            (drop (call $call (i32.const 2048) (i32.const 8) (i32.const 0) (i32.const 0)))
            (loop (br 0)))"#;
    let module = wat::parse_str(Guest { fields, ..Guest::default() }.module()).unwrap();
    let manifest = "[plugin]\nid = 'guest'\n[permissions]\nfunctions = ['cleaning']\n\
                    [lifecycle]\nstop-deadline = '100000min'";
    LoadRequest::bytes("guest.wasm", module).manifest(Manifest::parse(manifest).unwrap())
}

#[test]
fn a_cancellation_leaves_a_plugin_two_seconds_to_clean_up() {
    fn check(is_cancelled_before: bool) {
        let (cleans, cleaning) = sync_channel(1);
        let cleans = move |_: &Caller<'_>, _: &Value| {
            cleans.send(()).unwrap();
            Ok(Value::Null)
        };
        let builder = Host::builder().end_deadline(Duration::from_secs(60));
        let host = builder.function("cleaning", cleans).build().unwrap();
        host.load(cleans_up_for_ever()).wait().unwrap();
        if is_cancelled_before {
            host.cancel_all();
        }
        let end = host.shut_down(Duration::from_secs(60));
        cleaning.recv().unwrap();
        if !is_cancelled_before {
            host.cancel_all();
        }
        assert_eq!(end.wait().ended, 1, "cancelled before: {is_cancelled_before}");
    }
    check(true);
    check(false);
}

#[test]
fn dropping_a_host_never_hangs() {
    for (_, host, hung, end) in hosts_that_hang() {
        drop(host);
        hung.recv().unwrap();
        drop(end);
    }
    // On the thread of a runtime it is the same.
    let runtimes = [
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
    ];
    for runtime in runtimes {
        for (_, host, hung, end) in hosts_that_hang() {
            runtime.block_on(async { drop(host) });
            runtime
                .block_on(async { tokio::spawn(async move { hung.recv().unwrap() }).await })
                .unwrap();
            drop(end);
        }
    }
}

#[test]
fn shutting_down_says_what_became_of_all() {
    let bench = Bench::new();
    let ids = [bench.load("echo.wasm"), bench.load("stats.wasm")];
    let tickets = ids.map(|id| bench.host.try_dispatch_to(id, Frame::data("a")).unwrap());
    let shutdown = bench.host.shut_down(Duration::from_secs(60)).wait();
    assert_eq!((shutdown.ended, shutdown.refused, shutdown.in_time), (2, 0, true));
    assert!(tickets.map(|ticket| ticket.wait().outcome.is_completed()).iter().all(|good| *good));
    assert!(bench.host.plugins().is_empty());
    for (what, host, hung, end) in hosts_that_hang() {
        let shutdown = host.shut_down(Duration::from_secs(60)).wait();
        assert_eq!((shutdown.ended, shutdown.in_time), (0, false), "{what}");
        hung.recv().unwrap();
        drop(end);
    }
}

/// Says that it ends, and loads another plugin when it starts, if it is to.
struct Ends {
    name: &'static str,
    told: Arc<Mutex<Vec<&'static str>>>,
    at_start: Arc<dyn Fn() + Send + Sync>,
}

impl Plugin for Ends {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        (self.at_start)();
        Ok(())
    }

    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(Vec::new())
    }

    fn cleanup(&mut self) {
        self.told.lock().unwrap().push(self.name);
    }
}

type Told = Arc<Mutex<Vec<&'static str>>>;

fn ends(
    name: &'static str,
    told: &Told,
    at_start: impl Fn() + Send + Sync + 'static,
) -> LoadRequest {
    let (told, at_start): (_, Arc<dyn Fn() + Send + Sync>) = (told.clone(), Arc::new(at_start));
    LoadRequest::core(Manifest::bare(name), move || {
        Box::new(Ends { name, told: told.clone(), at_start: at_start.clone() })
    })
}

#[test]
fn plugins_that_were_loaded_last_end_first() {
    fn check(end: fn(Host)) {
        let (host, told) = (Host::builder().build().unwrap(), Told::default());
        let load = |name| host.load(ends(name, &told, || {})).wait().unwrap();
        let first = load("a");
        load("b");
        // The places of those that are gone are used again.
        host.drain(first, Duration::MAX).wait();
        load("c");
        load("d");
        end(host);
        assert_eq!(*told.lock().unwrap(), ["a", "d", "c", "b"]);
    }
    check(drop);
    check(|host| assert!(host.shut_down(Duration::MAX).wait().in_time));
}

#[test]
fn times_without_end_are_times_like_any_other() {
    let host = Host::builder().end_deadline(Duration::MAX).build().unwrap();
    let echo = host.load(patiently("echo.wasm")).wait_for(Duration::MAX);
    let reply = host.try_dispatch_to(echo.unwrap().unwrap(), Frame::data("a")).unwrap();
    assert!(reply.wait().outcome.is_completed());
    let shutdown = host.shut_down(Duration::MAX).wait_for(Duration::MAX).unwrap();
    assert_eq!((shutdown.ended, shutdown.in_time), (1, true));
    drop(host);
}

#[test]
fn a_host_that_was_shut_down_loads_nothing() {
    let (host, told) = (Host::builder().build().unwrap(), Told::default());
    let check = |result: Result<InstanceId, LoadError>| {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("policy: the host is shut down; "), "{error}");
    };
    // One that starts while the host is shut down is ended at once.
    let shuts = Mutex::new(Some(host.clone()));
    let shut_down = move || {
        let host = shuts.lock().unwrap().take().expect("one copy starts");
        host.shut_down(Duration::MAX).wait();
    };
    check(host.load(ends("late", &told, shut_down)).wait());
    assert_eq!(*told.lock().unwrap(), ["late"]);
    check(host.load(ends("later", &told, || {})).wait());
    check(host.load(LoadRequest::path(sample("echo.wasm")).lazy()).wait());
    assert!(host.plugins().is_empty());
}
