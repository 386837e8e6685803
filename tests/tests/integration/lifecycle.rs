//! The start, failures, restarts and end of instances.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::{LimitKind, OnFailure, Restart};
use glovebox_abi::{Failure, Frame, Health, Manifest, Plugin, Services, State};
use glovebox_events::{Outcome, Phase, What};
use glovebox_host::{Host, LifecycleHook, LoadRequest, Transition};
use glovebox_tests::Bench;
use glovebox_tests::guest::Guest;

/// How the copies of a plugin behave; changed from outside while they run.
#[derive(Default)]
struct Script {
    sick: AtomicBool,
    /// Starts that fail before one succeeds.
    failing_starts: AtomicU32,
}

/// Counts its frames, and is as well as its script says.
struct Patient {
    script: Arc<Script>,
    count: u32,
}

impl Plugin for Patient {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        self.script.sick.store(false, Ordering::SeqCst);
        let left = self.script.failing_starts.load(Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.script.failing_starts.store(left - 1, Ordering::SeqCst);
        Err(Failure::new(9, "not yet"))
    }

    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        self.count += 1;
        Ok(vec![Frame::data(self.count.to_string())])
    }

    fn health(&mut self) -> Health {
        match self.script.sick.load(Ordering::SeqCst) {
            true => Health::bad(7, "feverish"),
            false => Health::good(),
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(Some(State { version: 1, bytes: self.count.to_le_bytes().to_vec() }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        if state.version != 1 {
            return Err(Failure::new(Failure::UNSUPPORTED, "only version 1 is known"));
        }
        let bytes = state.bytes.try_into().map_err(|_| Failure::invalid("four bytes"))?;
        self.count = u32::from_le_bytes(bytes);
        Ok(())
    }
}

fn patient(script: &Arc<Script>, manifest: Manifest) -> LoadRequest {
    let script = script.clone();
    LoadRequest::core(manifest, move || Box::new(Patient { script: script.clone(), count: 0 }))
}

/// Sends every change of phase to a test, before and after.
struct Tell(Mutex<SyncSender<(bool, Transition)>>);

impl Tell {
    fn new() -> (Tell, Receiver<(bool, Transition)>) {
        let (sender, receiver) = sync_channel(1000);
        (Tell(Mutex::new(sender)), receiver)
    }

    fn send(&self, after: bool, transition: &Transition) {
        // The test may be over.
        let _ = self.0.lock().unwrap().send((after, transition.clone()));
    }
}

impl LifecycleHook for Tell {
    fn before(&self, transition: &Transition) {
        self.send(false, transition);
    }

    fn after(&self, transition: &Transition) {
        self.send(true, transition);
    }
}

/// The changes up to one to `last`, which is waited for.
fn until(receiver: &Receiver<(bool, Transition)>, last: Phase) -> Vec<(Phase, String)> {
    let mut seen = Vec::new();
    loop {
        let (_, before) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        let (is_after, transition) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(before, transition, "each hook is called before and after");
        assert!(is_after && transition.from.may_become(transition.to), "{transition:?}");
        seen.push((transition.to, transition.cause));
        if transition.to == last {
            return seen;
        }
    }
}

#[test]
fn a_sick_plugin_is_restarted_as_its_manifest_says() {
    let check = |restart: Restart, failing: u32, last: Phase, expected: &[(Phase, &str)]| {
        let (tell, changes) = Tell::new();
        let host = Host::builder().hook(tell).build().unwrap();
        let mut manifest = Manifest::bare("patient");
        manifest.lifecycle.restart = restart;
        manifest.lifecycle.breaker = 3;
        manifest.lifecycle.back_off = Duration::from_millis(4);
        manifest.lifecycle.health_interval = Some(Duration::from_millis(1));
        let script = Arc::new(Script::default());
        let id = host.load(patient(&script, manifest)).wait().unwrap();
        let start = until(&changes, Phase::Ready);
        let phases: Vec<Phase> = start.iter().map(|(phase, _)| *phase).collect();
        assert_eq!(phases, [Phase::Loaded, Phase::Initializing, Phase::Ready]);
        script.failing_starts.store(failing, Ordering::SeqCst);
        script.sick.store(true, Ordering::SeqCst);
        let seen = until(&changes, last);
        let seen: Vec<(Phase, &str)> =
            seen.iter().map(|(phase, cause)| (*phase, cause.as_str())).collect();
        assert_eq!(seen, expected);
        (host, id, script)
    };
    let sick = (Phase::Faulted, "unhealthy: feverish (code 7)");
    let ready = (Phase::Ready, "restarted without its state, which is lost");
    let attempt = |number: usize| {
        (Phase::Restarting, ["attempt 1", "attempt 2", "attempt 3", "attempt 4"][number - 1])
    };
    let failed = |wait: usize| {
        let causes = [
            "initialize: the plugin failed: not yet (code 9); next attempt in 4 ms",
            "initialize: the plugin failed: not yet (code 9); next attempt in 8 ms",
            "initialize: the plugin failed: not yet (code 9); next attempt in 16 ms",
        ];
        (Phase::Faulted, causes[wait - 1])
    };
    let open = (
        Phase::Quarantined,
        "initialize: the plugin failed: not yet (code 9); stopped, because it failed 3 times in a row: restart it by hand",
    );

    check(Restart::Never, 0, Phase::Faulted, &[sick]);
    check(Restart::OnFailure, 0, Phase::Ready, &[sick, attempt(1), ready]);
    check(
        Restart::OnFailure,
        2,
        Phase::Ready,
        &[sick, attempt(1), failed(1), attempt(2), failed(2), attempt(3), ready],
    );
    check(
        Restart::Always,
        3,
        Phase::Ready,
        &[
            sick,
            attempt(1),
            failed(1),
            attempt(2),
            failed(2),
            attempt(3),
            failed(3),
            attempt(4),
            ready,
        ],
    );
    let (host, id, script) = check(
        Restart::OnFailure,
        9,
        Phase::Quarantined,
        &[sick, attempt(1), failed(1), attempt(2), failed(2), attempt(3), open],
    );
    let refusal = host.call(id, &Frame::data("x")).outcome.to_string();
    assert!(refusal.contains("it failed 3 times in a row"), "{refusal}");
    assert_eq!(host.plugin(id).unwrap().phase, Phase::Quarantined);
    script.failing_starts.store(0, Ordering::SeqCst);
    host.restart(id).wait().unwrap();
    assert_eq!(host.call(id, &Frame::data("x")).frames[..], [Frame::data("1")]);
}

#[test]
fn states_outlive_their_host() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || folder.path().join("patient/0").read_dir().unwrap().count();
    let host = || Host::builder().state_folder(folder.path()).build().unwrap();
    let load = |host: &Host, persist: bool| {
        let mut manifest = Manifest::bare("patient");
        manifest.state.persist = persist;
        manifest.state.keep = 2;
        host.load(patient(&Arc::default(), manifest)).wait()
    };
    let count = |host: &Host, id| {
        let reply = host.call(id, &Frame::data("x"));
        String::from_utf8(reply.frames[0].payload.to_vec()).unwrap()
    };
    for expected in ["1", "2", "3", "4"] {
        let host = host();
        let id = load(&host, true).unwrap();
        assert_eq!(count(&host, id), expected);
    }
    assert_eq!(kept(), 2, "only the last two are kept");
    let asked = host();
    let id = load(&asked, true).unwrap();
    assert!(asked.save_state(id).wait());
    // A second instance neither has nor changes the first one's state; a plugin that does not ask
    // keeps none.
    let second = load(&asked, true).unwrap();
    assert_eq!(count(&asked, second), "1");
    assert!(!asked.save_state(second).wait());
    drop(asked);
    let unasked = host();
    let id = load(&unasked, false).unwrap();
    assert_eq!(count(&unasked, id), "1");
    drop(unasked);

    // A plugin that cannot migrate is not started, and what is kept stays.
    let newest = folder.path().join("patient/0").read_dir().unwrap();
    let newest = newest.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let state = bytes.split_off(48);
    bytes[12] = 2;
    let digest = blake3::Hasher::new().update(&2u32.to_le_bytes()).update(&state).finalize();
    bytes[16..].copy_from_slice(digest.as_bytes());
    bytes.extend(state);
    std::fs::write(&newest, &bytes).unwrap();
    let error = load(&host(), true).unwrap_err().to_string();
    for part in ["restore state", "only version 1 is known", "version 2", "patient/0", "migrate"] {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
    assert_eq!(std::fs::read(&newest).unwrap(), bytes);
}

#[test]
fn a_restarted_plugin_goes_on_from_its_kept_state() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, changes) = Tell::new();
    let host = Host::builder().state_folder(folder.path()).hook(tell).build().unwrap();
    let mut manifest = Manifest::bare("patient");
    manifest.state.persist = true;
    manifest.lifecycle.health_interval = Some(Duration::from_millis(1));
    let script = Arc::new(Script::default());
    let id = host.load(patient(&script, manifest)).wait().unwrap();
    until(&changes, Phase::Ready);
    host.call(id, &Frame::data("x"));
    assert!(host.save_state(id).wait());
    script.sick.store(true, Ordering::SeqCst);
    let seen = until(&changes, Phase::Ready);
    assert_eq!(seen.last().unwrap().1, "restarted with its kept state, version 1");
    assert_eq!(host.call(id, &Frame::data("x")).frames[..], [Frame::data("2")]);
}

/// A frame-ABI module that answers with one letter, or traps.
fn letter(letter: Option<u8>) -> String {
    let process = match letter {
        Some(letter) => format!(
            "(i32.store8 (i32.const 2060) (i32.const {letter}))
             (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 13))"
        ),
        None => "unreachable".to_owned(),
    };
    format!(
        r#"(module
            (memory (export "memory") 1)
            (data (i32.const 2048) "\52\00\01\00\00\00\00\00\01\00\00\00")
            (func (export "glovebox_abi_0_1"))
            (func (export "glovebox_buffer") (param i32) (result i32) i32.const 4096)
            (func (export "glovebox_process") (param i32) (result i64) {process}))"#
    )
}

fn write_plugin(folder: &Path, letter_: Option<u8>, keys: &str) {
    std::fs::write(folder.join("letter.wat"), letter(letter_)).unwrap();
    let manifest = format!("[plugin]\nid = \"letter\"\n[artifact]\nwasm = \"letter.wat\"\n{keys}");
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
}

#[test]
fn a_failed_call_gives_what_the_manifest_says() {
    let check = |policy: &str, repaired: bool, outcome: &str, frames: &[Frame]| {
        let folder = tempfile::tempdir().unwrap();
        let keys = format!("[lifecycle]\non-failure = \"{policy}\"");
        write_plugin(folder.path(), None, &keys);
        let bench = Bench::new();
        let id = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap();
        if repaired {
            write_plugin(folder.path(), Some(b'A'), &keys);
        }
        let frame = Frame::data("given");
        let reply = bench.host.call(id, &frame);
        assert_eq!((reply.outcome.name(), &reply.frames[..]), (outcome, frames), "{policy}");
        // The queue gives the same.
        let queued = bench.host.try_dispatch_to(id, frame).unwrap().wait();
        assert_eq!((queued.outcome.name(), &queued.frames[..]), (outcome, frames), "{policy}");
    };
    check("fail-closed", true, "trapped", &[]);
    check("fail-open", true, "trapped", &[Frame::data("given")]);
    check("reload", true, "completed", &[Frame::data("A")]);
    check("reload", false, "trapped", &[]);
    assert_eq!(OnFailure::default(), OnFailure::FailClosed);
}

#[test]
fn a_lazy_plugin_starts_with_its_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let compiled = || cache.path().read_dir().unwrap().count();
    write_plugin(folder.path(), Some(b'A'), "");
    let bench = Bench::with(|builder| builder.cache_folder(cache.path()));
    let load = || bench.host.load(LoadRequest::path(folder.path()).lazy()).wait();
    let before = compiled();
    let id = load().unwrap();
    let status = bench.host.plugin(id).unwrap();
    assert_eq!((status.phase, status.generation, compiled()), (Phase::Found, 0, before));
    assert_eq!(bench.ask(id, "x"), "A");
    let status = bench.host.plugin(id).unwrap();
    assert_eq!((status.phase, status.generation), (Phase::Ready, 1));
    assert!(compiled() > before && !status.can_roll_back);
    // Through the queue too.
    let id = load().unwrap();
    let reply = bench.host.try_dispatch_to(id, Frame::data("x")).unwrap().wait();
    assert_eq!(reply.frames[..], [Frame::data("A")]);

    // A failure is the outcome of the first frame; then a person repairs and restarts it.
    let id = load().unwrap();
    std::fs::write(folder.path().join("letter.wat"), "(module)").unwrap();
    let refusal = bench.ask(id, "x");
    assert!(refusal.contains("link") && refusal.contains("glovebox_abi_0_1"), "{refusal}");
    assert_eq!(bench.ask(id, "x"), refusal);
    write_plugin(folder.path(), Some(b'B'), "");
    bench.host.restart(id).wait().unwrap();
    assert_eq!(bench.ask(id, "x"), "B");
}

#[test]
fn steps_of_starting_have_their_own_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let endless = letter(Some(b'A')).replace(
        "(func (export \"glovebox_abi_0_1\"))",
        "(func (export \"glovebox_abi_0_1\")) (func (export \"_initialize\") (loop (br 0)))",
    );
    write_plugin(folder.path(), Some(b'A'), "[lifecycle]\nstart-deadline = \"40 ms\"");
    std::fs::write(folder.path().join("letter.wat"), endless).unwrap();
    let bench = Bench::new();
    let error = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap_err();
    let error = error.to_string();
    assert!(error.contains("40 ms") && error.contains("`start-deadline`"), "{error}");
    assert!(bench.host.plugins().is_empty());
}

#[test]
fn a_call_under_way_is_cancelled() {
    let bench = Bench::new();
    let config = serde_json::json!({ "mode": "loop" });
    let id = bench.load_with("misbehave.wasm", config);
    let mut limits = bench.host.plugin(id).unwrap().limits;
    limits.call_deadline = Duration::from_secs(60);
    bench.host.set_limits(id, limits).unwrap();
    let mut ticket = bench.host.try_dispatch_to(id, Frame::data("x")).unwrap();
    // Only a call that has begun is cancelled, so this may have to be said more than once.
    let reply = loop {
        assert!(bench.host.cancel(id));
        if let Some(reply) = ticket.try_take() {
            break reply;
        }
        std::thread::yield_now();
    };
    assert_eq!(reply.outcome, Outcome::Cancelled);
    assert_eq!(bench.host.plugin(id).unwrap().phase, Phase::Ready);
}

#[test]
fn once_all_is_cancelled_nothing_runs_on_and_copies_end_in_order() {
    let bench = Bench::new();
    let guest = Guest {
        bad: "(loop (br 0))",
        fields: r#"(import "glovebox" "log" (func $log (param i32 i32 i32) (result i32)))"#,
        ..Guest::default()
    };
    let text = guest.module();
    let text = format!(
        r#"{} (func (export "glovebox_cleanup")
            (drop (call $log (i32.const 2) (i32.const 524) (i32.const 1)))))"#,
        text.trim_end().strip_suffix(')').unwrap()
    );
    let module = wat::parse_str(text).unwrap();
    let manifest = "[permissions]\nlog = true\n[limits]\ncall-deadline = '30 s'";
    let id = bench.load_bytes("guest.wasm", &module, manifest).unwrap();
    bench.host.cancel_all();
    assert_eq!(bench.ask(id, "!"), "cancelled");
    let other = wat::parse_str(Guest::default().module()).unwrap();
    let error = bench.load_bytes("other.wasm", &other, "").unwrap_err().to_string();
    assert!(error.contains("the load was cancelled"), "{error}");
    let Bench { host, events } = bench;
    drop(host);
    let calls = events.events().into_iter().filter_map(|event| match event.what {
        What::HostCall { host_call, .. } => Some(host_call.result),
        _ => None,
    });
    assert_eq!(calls.collect::<Vec<_>>(), [Ok(Value::Null)], "it cleans up, and may log");
}

#[test]
fn a_rate_is_a_limit_like_others() {
    let bench = Bench::new();
    let id = bench.load("echo.wasm");
    let mut limits = bench.host.plugin(id).unwrap().limits;
    (limits.rate, limits.burst) = (Some(1), 2);
    bench.host.set_limits(id, limits.clone()).unwrap();
    // One more is taken after each second, so that a slow machine gets more of them through.
    let started = Instant::now();
    let outcomes = std::iter::repeat_with(|| bench.ask(id, "x"));
    let taken = outcomes.take_while(|outcome| match outcome.as_str() {
        "x" => true,
        refused => !refused.contains("rate"),
    });
    let taken = taken.inspect(|outcome| assert_eq!(outcome, "x")).take_while(|_| {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is refused");
        true
    });
    assert!(taken.count() >= 2);
    let hits = bench.host.plugin(id).unwrap();
    let rate = hits.limit(LimitKind::Rate).unwrap();
    assert_eq!(rate.hits, 1);
    limits.rate = None;
    bench.host.set_limits(id, limits).unwrap();
    assert_eq!(bench.ask(id, "x"), "x");
}
