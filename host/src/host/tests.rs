//! Reloads, failures and restarts of one instance, in an order that the test forces.

use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Manifest, Permission, Plugin, Services, State};

use super::reload::Plan;
use super::*;
use crate::instance::Carry;
use crate::policy::{Decision, Lifetime};
use crate::reply::Reply;

/// How long a test waits for something that comes soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// The function by which the plugin calls back.
const BACK: &str = "test:host/back@1.0.0#back";

/// Counts its frames and answers with the count. It panics at the frame `die`, and calls the
/// application at the frame `back` and when it starts.
#[derive(Default)]
struct Counter {
    count: u8,
}

impl Plugin for Counter {
    fn initialize(&mut self, services: &mut dyn Services, _: &str) -> Result<(), Failure> {
        // Nobody listens, most of the time.
        let _ = services.call(BACK, b"start");
        Ok(())
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        match &*frame.payload {
            b"die" => panic!("on purpose"),
            b"back" => Ok(vec![Frame::data(services.call(BACK, b"call")?)]),
            _ => {
                self.count += 1;
                Ok(vec![Frame::data(self.count.to_string())])
            }
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(Some(State { version: 1, bytes: vec![self.count] }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        self.count = state.bytes[0];
        Ok(())
    }
}

fn counter(keys: &str) -> LoadRequest {
    let manifest = Manifest::parse(&format!("[plugin]\nid = \"counter\"\n{keys}")).unwrap();
    LoadRequest::core(manifest, || Box::new(Counter::default()))
}

/// Writes a module that answers each frame with a letter, or traps without one.
fn write(folder: &Path, letter: Option<char>, keys: &str) {
    let process = match letter {
        Some(letter) => format!(
            "(i32.store8 (i32.const 2060) (i32.const {}))
             (i64.or (i64.shl (i64.const 2048) (i64.const 32)) (i64.const 13))",
            u32::from(letter)
        ),
        None => "unreachable".to_owned(),
    };
    let module = format!(
        r#"(module
            (memory (export "memory") 1)
            (data (i32.const 2048) "\52\00\01\00\00\00\00\00\01\00\00\00")
            (func (export "glovebox_abi_0_1"))
            (func (export "glovebox_buffer") (param i32) (result i32) i32.const 4096)
            (func (export "glovebox_process") (param i32) (result i64) {process}))"#
    );
    fs::write(folder.join("letter.wat"), module).unwrap();
    let manifest = format!("[plugin]\nid = \"letter\"\n[artifact]\nwasm = \"letter.wat\"\n{keys}");
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
}

fn host() -> Host {
    Host::builder().build().unwrap()
}

fn load(host: &Host, request: LoadRequest) -> InstanceId {
    host.load(request).wait().unwrap_or_else(|error| panic!("{error}"))
}

/// The answer to a frame, or its outcome.
fn told(reply: &Reply) -> String {
    match reply.frames.first() {
        Some(frame) => String::from_utf8_lossy(&frame.payload).into_owned(),
        None => reply.outcome.name().to_owned(),
    }
}

fn ask(host: &Host, id: InstanceId, payload: &'static str) -> String {
    told(&host.call(id, &Frame::data(payload)))
}

fn is_granted(host: &Host, id: InstanceId, permission: Permission) -> bool {
    host.plugin(id).unwrap().permission(permission).unwrap().granted
}

/// Does something on a thread of its own.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, is_done) = sync_channel(1);
    std::thread::spawn(move || done.send(work()));
    is_done
}

#[test]
fn a_plan_is_made_when_no_other_reload_is_under_way() {
    let host = host();
    let id = load(&host, counter(""));
    let planned = host.reload_by(id, |instance| {
        assert!(instance.reloading.is_held_here(), "another reload may come first");
        Some(Plan::after_failure(Carry::Current))
    });
    assert_eq!(planned.wait().unwrap(), 2);
    assert_eq!(host.reload_by(id, |_| None).wait().unwrap(), 2, "nothing to do");
}

const ASKS: &str = "[permissions]\nenvironment = [\"HOME\"]\n";

#[test]
fn what_waited_takes_over_once_and_the_generation_before_stays_the_one_to_go_back_to() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Some('A'), "");
    let host = host();
    let id = load(&host, LoadRequest::path(folder.path()));
    write(folder.path(), Some('B'), ASKS);
    assert!(host.reload(id).wait().unwrap_err().to_string().contains("asks for more"));
    assert!(host.instance(id).unwrap().decided().is_none(), "nobody decided");
    // As the decision does, whose reload nobody waits for.
    let instance = host.instance(id).unwrap();
    instance.decide(Permission::Environment, Decision::Allow, Lifetime::WhileItRuns);
    let both = [(); 2].map(|()| host.take_up_decisions(id, false));
    assert_eq!(both.map(|one| one.wait().unwrap()), [2, 2]);
    assert_eq!(ask(&host, id, "?"), "B");
    // Fresh copies of what runs are no generation to go back from.
    assert_eq!(host.take_up_decisions(id, true).wait().unwrap(), 3);
    assert_eq!(ask(&host, id, "?"), "B");
    host.start_over(id).wait().unwrap();
    host.roll_back(id).wait().unwrap();
    assert_eq!(ask(&host, id, "?"), "A");
}

#[test]
fn an_artifact_that_is_another_one_by_now_is_newer_however_it_is_reloaded() {
    const RELOADS: &str = "[lifecycle]\non-failure = \"reload\"\n";
    /// Loads `first`, allows `HOME` once if it asks, and writes a version that asks for it.
    fn check(lazy: bool, first: &str, replace: fn(&Host, InstanceId), waits: bool, runs: &str) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), None, &format!("{RELOADS}{first}"));
        let host = host();
        let request = LoadRequest::path(folder.path());
        let id = load(&host, if lazy { request.lazy() } else { request });
        if !first.is_empty() {
            assert!(host.allow(id, Permission::Environment, Lifetime::Once));
            assert!(is_granted(&host, id, Permission::Environment));
        }
        write(folder.path(), Some('B'), &format!("{RELOADS}{ASKS}"));
        replace(&host, id);
        let status = host.plugin(id).unwrap();
        let asked = status.refused.iter().flat_map(|refused| &refused.waits_for);
        let asked: Vec<_> = asked.map(|growth| growth.permission).collect();
        assert_eq!(asked, [Permission::Environment][..usize::from(waits)]);
        assert!(!is_granted(&host, id, Permission::Environment), "once is over");
        assert_eq!(ask(&host, id, "?"), runs);
    }
    let fails: fn(&Host, InstanceId) = |host, id| drop(host.call(id, &Frame::data("?")));
    let starts_over: fn(&Host, InstanceId) = |host, id| drop(host.start_over(id).wait());
    check(false, "", fails, true, "trapped");
    check(false, "", starts_over, true, "trapped");
    check(false, ASKS, fails, false, "B");
    check(false, ASKS, starts_over, false, "B");
    check(true, ASKS, fails, false, "B");
}

#[test]
fn a_copy_that_is_down_goes_on_from_its_kept_state() {
    fn check(next: fn(&Host, InstanceId), expected: &str) {
        let states = tempfile::tempdir().unwrap();
        let host = Host::builder().state_folder(states.path()).build().unwrap();
        let keys = "[state]\npersist = true\n[lifecycle]\nrestart = \"never\"";
        let id = load(&host, counter(keys));
        ask(&host, id, "x");
        assert!(host.save_state(id).wait());
        ask(&host, id, "x");
        assert_eq!(ask(&host, id, "die"), "trapped");
        assert_eq!(ask(&host, id, "x"), "refused");
        next(&host, id);
        assert_eq!(ask(&host, id, "x"), expected);
    }
    check(|host, id| assert_eq!(host.reload(id).wait().unwrap(), 2), "2");
    check(|host, id| host.restart(id).wait().unwrap(), "2");
    check(|host, id| assert_eq!(host.reload_cold(id).wait().unwrap(), 2), "1");
    // The state of then.
    check(
        |host, id| {
            host.reload_cold(id).wait().unwrap();
            host.roll_back(id).wait().unwrap();
        },
        "2",
    );
}

#[test]
fn a_restart_of_a_plugin_that_is_well_keeps_its_state() {
    let states = tempfile::tempdir().unwrap();
    let host = Host::builder().state_folder(states.path()).build().unwrap();
    let id = load(&host, counter("[state]\npersist = true"));
    ask(&host, id, "x");
    host.restart(id).wait().unwrap();
    assert_eq!(ask(&host, id, "x"), "2");
}

#[test]
fn states_that_cannot_be_read_stop_the_start_and_damage_is_told() {
    fn check(spoil: fn(&Path), works: bool, event: &str) {
        let states = tempfile::tempdir().unwrap();
        let sink = Arc::new(Remembered::default());
        let host = Host::builder().state_folder(states.path()).sink(sink.clone()).build().unwrap();
        let load = || host.load(counter("[state]\npersist = true")).wait();
        let id = load().unwrap();
        ask(&host, id, "x");
        host.drain(id, PATIENCE).wait();
        spoil(&states.path().join("counter/0"));
        match load() {
            Ok(id) => assert!(works && ask(&host, id, "x") == "1"),
            Err(error) => {
                let error = error.to_string();
                assert!(!works && error.starts_with("restore state: its kept states cannot"));
                assert!(error.contains("move the folder away"), "{error}");
            }
        }
        assert!(sink.0.lock().iter().any(|said| said.contains(event)), "{:?}", sink.0.lock());
    }
    check(
        |folder| {
            fs::remove_dir_all(folder).unwrap();
            fs::write(folder, "a file in its place").unwrap();
        },
        false,
        "its kept states cannot be read",
    );
    check(
        |folder| fs::write(folder.join("000000000001.state"), "damaged").unwrap(),
        true,
        "a kept state is passed over: cut short",
    );
}

/// All events, in words.
#[derive(Default)]
struct Remembered(Mutex<Vec<String>>);

impl glovebox_events::Sink for Remembered {
    fn record(&self, event: &glovebox_events::Event) {
        self.0.lock().push(format!("{:?}", event.what));
    }
}

#[test]
fn a_reload_from_inside_of_a_call_or_a_reload_is_refused() {
    /// `work` makes the plugin call the application, which then makes the same plugin fail.
    fn check(copies: u32, work: fn(&Host, InstanceId)) {
        let known: Arc<OnceLock<(Host, InstanceId)>> = Arc::default();
        let (hears, (said, heard)) = (known.clone(), sync_channel(16));
        let host = Host::builder()
            .function(BACK, move |_, _| {
                if let Some((host, id)) = hears.get() {
                    let _ = said.send(ask(host, *id, "die"));
                }
                Ok(glovebox_abi::cbor::Value::Text("done".to_owned()))
            })
            .build()
            .unwrap();
        let keys = format!(
            "[permissions]\nfunctions = [\"{BACK}\"]\n[runtime]\ninstances = {copies}\n\
             [lifecycle]\non-failure = \"reload\""
        );
        let id = load(&host, counter(&keys));
        assert!(known.set((host.clone(), id)).is_ok());
        let done = aside(move || work(&host, id));
        done.recv_timeout(PATIENCE).expect("nobody waits for itself");
        // The fresh copy that takes the place of the one that failed calls back as well.
        assert_eq!(heard.try_iter().last().as_deref(), Some("trapped"), "the failure stands");
    }
    check(1, |host, id| assert_eq!(host.reload(id).wait().unwrap(), 2));
    check(2, |host, id| assert_eq!(ask(host, id, "back"), "done"));
}

#[test]
fn whoever_is_woken_by_an_answer_finds_the_copy_free() {
    /// Calls the plugin on the thread that wakes it.
    struct Calls(Host, InstanceId, std::sync::mpsc::SyncSender<String>);
    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            let _ = self.2.send(ask(&self.0, self.1, "x"));
        }
    }
    fn check(send: fn(&Host, InstanceId, &mut Context<'_>) -> bool, expected: &str) {
        let host = host();
        let id = load(&host, counter(""));
        let (called, calls) = sync_channel(16);
        let waker = Waker::from(Arc::new(Calls(host.clone(), id, called)));
        // Nothing is answered before somebody waits for it.
        let instance = host.instance(id).unwrap();
        let held = instance.hold_copy(0).unwrap();
        assert!(send(&host, id, &mut Context::from_waker(&waker)), "it is answered already");
        drop(held);
        assert_eq!(calls.recv_timeout(PATIENCE).as_deref(), Ok(expected));
    }
    check(
        |host, id, context| {
            let ticket = Box::leak(Box::new(host.try_dispatch_to(id, Frame::data("x")).unwrap()));
            Pin::new(ticket).poll(context).is_pending()
        },
        "2",
    );
    check(
        |host, id, context| {
            let frames = vec![Frame::data("x"); 3];
            let ticket = Box::leak(Box::new(host.try_dispatch_batch(id, frames).unwrap()));
            Pin::new(ticket).poll(context).is_pending()
        },
        "4",
    );
}

#[test]
fn a_plugin_that_somebody_else_unloads_ends_in_time_too() {
    let host = host();
    let id = load(&host, counter(""));
    let instance = host.instance(id).unwrap();
    let held = instance.hold_copy(0).unwrap();
    let queued = host.try_dispatch_to(id, Frame::data("x")).unwrap();
    let shutdown = host.shut_down(PATIENCE);
    // Listed by then, and not drained: the queued frame waits for the copy.
    let started = Instant::now();
    while instance.queue.is_open() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(host.unload(id));
    drop(held);
    assert_eq!(told(&queued.wait()), "refused", "its instance is gone");
    let shutdown = shutdown.wait();
    assert_eq!((shutdown.ended, shutdown.in_time), (1, true));
}

/// A module that looks into its store while it is given its state, and answers with what it found.
const LOOKS: &str = r#"(module
    (import "glovebox" "kv_get" (func $get (param i32 i32 i32 i32) (result i64)))
    (import "glovebox" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 512) "\52\00\01\00\00\00\00\00\01\00\00\00?")
    (data (i32.const 600) "\01\00\00\00")
    (data (i32.const 700) "key")
    (data (i32.const 720) "-")
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 1024))
    (func (export "glovebox_save_state") (result i64)
        (i64.or (i64.shl (i64.const 600) (i64.const 32)) (i64.const 4)))
    (func (export "glovebox_restore_state") (param i32) (result i64)
        (drop (call $get (i32.const 700) (i32.const 3) (i32.const 524) (i32.const 1)))
        (i64.const 0))
    ;; Stores the payload.
    (func (export "glovebox_process") (param i32) (result i64)
        (drop (call $set (i32.const 700) (i32.const 3) (i32.const 1036) (i32.const 1)))
        (i64.const 0x200_0000000D)))"#;

#[test]
fn a_snapshot_puts_the_store_in_before_the_states() {
    let host = host();
    let manifest = "[plugin]\nid = \"looks\"\n[permissions]\nkv = true";
    let request = LoadRequest::bytes("looks.wasm", wat::parse_str(LOOKS).unwrap());
    let id = load(&host, request.manifest(Manifest::parse(manifest).unwrap()));
    ask(&host, id, "a");
    let snapshot = host.snapshot(id).wait().unwrap();
    ask(&host, id, "b");
    host.restore(id, snapshot).wait().unwrap();
    assert_eq!(ask(&host, id, "c"), "a", "what it found when it was given its state");
}
