//! Reloads, failures and restarts of one instance, in an order that the test forces.

use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Failure, Frame, Manifest, Permission, Plugin, Services, State};

use super::reload::Plan;
use super::*;
use crate::instance::Carry;
use crate::policy::{Decision, Lifetime};
use crate::reply::Reply;

mod drain;

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
    // Called or refused, whichever thread comes first.
    drop(queued.wait());
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

/// A version of one plugin: it answers with how many frames it has had, and misbehaves in one way.
struct Version {
    bad: &'static str,
    count: u8,
}

impl Plugin for Version {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        match self.bad {
            "start" => Err(Failure::new(1, "not today")),
            _ => Ok(()),
        }
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let _ = services.kv_set("last", &frame.payload);
        let _ = services.emit(frame);
        self.count += 1;
        match (self.bad, &*frame.payload) {
            ("fails", _) => Err(Failure::new(1, "not today")),
            ("die", b"odd") => panic!("on purpose"),
            ("wrong", _) => Ok(vec![Frame::data("wrong")]),
            _ => Ok(vec![Frame::data(self.count.to_string())]),
        }
    }

    fn health(&mut self) -> glovebox_abi::Health {
        match self.bad {
            "sick" => glovebox_abi::Health::bad(7, "feverish"),
            _ => glovebox_abi::Health::good(),
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        Ok(Some(State { version: 1, bytes: vec![self.count] }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        match self.bad {
            "refuses" => return Err(Failure::new(1, "an unknown version")),
            "corrupts" => self.count = 200,
            _ => self.count = state.bytes[0],
        }
        Ok(())
    }
}

fn version(id: &str, number: &str, bad: &'static str) -> crate::load::Source {
    let manifest = format!(
        "[plugin]\nid = \"{id}\"\nversion = \"{number}\"\n[permissions]\nkv = true\nemit = true"
    );
    let manifest = Manifest::parse(&manifest).unwrap();
    crate::load::Source::core(manifest, move || Box::new(Version { bad, count: 0 }))
}

fn with_policy(text: &str) -> Host {
    Host::builder().policy(crate::policy::Policy::parse(text).unwrap()).build().unwrap()
}

#[test]
fn a_version_that_does_not_pass_never_runs() {
    /// Two frames, and then a reload; `refused` is the begin of its error.
    fn check(policy: &str, next: crate::load::Source, refused: Option<&str>) {
        let host = with_policy(policy);
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        ask(&host, id, "even");
        ask(&host, id, "odd");
        let store = host.snapshot(id).wait().unwrap().store;
        let emitted = host.dispatch_stats();
        let reloaded = host.reload_with(id, next).wait();
        assert_eq!(host.snapshot(id).wait().unwrap().store, store, "probes change no store");
        assert_eq!(host.dispatch_stats(), emitted, "what probes emit reaches nobody");
        match refused {
            None => assert_eq!(reloaded.unwrap(), 2),
            Some(begin) => {
                let error = reloaded.unwrap_err().to_string();
                assert!(error.starts_with(begin), "{error} is not {begin}");
                assert_eq!(host.plugin(id).unwrap().generation, 1);
            }
        }
        assert_eq!(ask(&host, id, "even"), "3", "it goes on");
    }
    let next = |bad| version("versioned", "2.0.0", bad);
    let named = "[[swap.probes]]\nplugin = \"versioned\"\nname = \"third\"\npayload = \"?\"\n\
                 answers = [\"3\"]";
    let last = "[swap]\nprobe-last = 2";
    check("", next(""), None);
    check("", next("start"), Some("initialize: the plugin failed: not today"));
    check("", next("refuses"), Some("restore state: the plugin failed: an unknown version"));
    check("", next("sick"), Some("probe: the plugin says that it is not well"));
    for number in ["2.0.0", "0.1.0"] {
        let stranger = version("stranger", number, "");
        check("", stranger, Some("policy: the artifact is plugin `stranger`"));
    }
    check(named, next(""), None);
    check(named, next("wrong"), Some("probe: the probe `third` failed: the answer is another"));
    check(named, next("fails"), Some("probe: the probe `third` failed: the plugin failed"));
    check(named, next("corrupts"), Some("probe: the probe `third` failed: the answer"));
    check(&named.replace("versioned", "other"), version("versioned", "2.0.0", ""), None);
    check(last, next(""), None);
    check(last, next("die"), Some("probe: the probe `2 of the last 2 frames` failed: the plugin"));
    check(last, next("fails"), Some("probe: the probe `1 of the last 2 frames` failed"));
    let same = format!("{last}\nsame-answers = true");
    // It goes on from the state of now, and counts further.
    check(&same, next(""), Some("probe: the probe `1 of the last 2 frames` failed: the answer"));
    check(
        "[swap]\nolder = \"refuse\"",
        version("versioned", "0.9.0", ""),
        Some("policy: version 0.9.0 is older than 1.0.0"),
    );
}

#[test]
fn a_version_that_hangs_when_it_starts_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "[lifecycle]\nstart-deadline = \"40 ms\"";
    write(folder.path(), Some('A'), keys);
    let host = host();
    let id = load(&host, LoadRequest::path(folder.path()));
    let module = fs::read_to_string(folder.path().join("letter.wat")).unwrap();
    let marker = "(func (export \"glovebox_abi_0_1\"))";
    let hangs = format!("{marker} (func (export \"_initialize\") (loop (br 0)))");
    fs::write(folder.path().join("letter.wat"), module.replace(marker, &hangs)).unwrap();
    let error = host.reload(id).wait().unwrap_err().to_string();
    assert!(error.starts_with("initialize: ") && error.contains("40 ms"), "{error}");
    assert_eq!(ask(&host, id, "?"), "A");
    fs::remove_dir_all(folder.path()).unwrap();
    let error = host.reload(id).wait().unwrap_err().to_string();
    assert!(error.starts_with("read: "), "{error}");
    assert_eq!(ask(&host, id, "?"), "A");
}

#[test]
fn an_older_version_waits_until_somebody_accepts_it() {
    let host = host();
    let id = load(&host, LoadRequest::of(version("versioned", "1.10.0", "")));
    assert!(!host.accept_older(id), "none waits");
    let error = host.reload_with(id, version("versioned", "1.9.0", "")).wait().unwrap_err();
    assert!(error.to_string().contains("version 1.9.0 is older than 1.10.0"), "{error}");
    let refused = host.plugin(id).unwrap().refused.unwrap();
    assert_eq!((refused.older.as_deref(), refused.waits()), (Some("1.9.0"), true));
    assert!(host.instance(id).unwrap().decided().is_none());
    assert!(host.accept_older(id));
    let runs = || host.plugin(id).unwrap().manifest.plugin.version.to_string();
    let started = Instant::now();
    while runs() != "1.9.0" {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(host.plugin(id).unwrap().refused.is_none());
    // Nobody is asked about what ran before, nor where the policy does not ask.
    assert_eq!(host.roll_back(id).wait().unwrap(), 3);
    assert_eq!(runs(), "1.10.0");
    host.set_policy(crate::policy::Policy::parse("[swap]\nolder = \"run\"").unwrap());
    assert_eq!(host.reload_with(id, version("versioned", "1.9.0", "")).wait().unwrap(), 4);
}

#[test]
fn one_goes_back_to_any_generation_that_is_kept() {
    let host = with_policy("[swap]\nkeep = 2");
    let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
    for number in ["2.0.0", "3.0.0", "4.0.0"] {
        ask(&host, id, "x");
        host.reload_with(id, version("versioned", number, "")).wait().unwrap();
    }
    let kept = || -> Vec<_> {
        let kept = host.plugin(id).unwrap().kept.into_iter();
        kept.map(|kept| (kept.generation, kept.version)).collect()
    };
    assert_eq!(kept(), [(2, "2.0.0".to_owned()), (3, "3.0.0".to_owned())]);
    let error = host.roll_back_to(id, 1).wait().unwrap_err().to_string();
    assert!(error.contains("generation 1 is not kept, but 2, 3"), "{error}");
    assert_eq!(host.roll_back_to(id, 2).wait().unwrap(), 5);
    assert_eq!(ask(&host, id, "x"), "3", "with the state of then");
    assert_eq!(kept(), [(3, "3.0.0".to_owned()), (4, "4.0.0".to_owned())]);
    host.roll_back(id).wait().unwrap();
    assert_eq!(host.plugin(id).unwrap().manifest.plugin.version.to_string(), "4.0.0");
}

#[test]
fn a_call_that_does_not_end_holds_up_a_reload_for_no_longer_than_its_deadline() {
    fn check(policy: &str) {
        let host = with_policy(policy);
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        let instance = host.instance(id).unwrap();
        let held = instance.hold_copy(0).unwrap();
        let error = host.reload(id).wait().unwrap_err().to_string();
        assert!(error.contains("did not end within 20 ms; cancel the call"), "{error}");
        drop(held);
        assert_eq!(host.plugin(id).unwrap().generation, 1);
        assert!(host.reload(id).wait().is_ok());
    }
    check("[swap]\ndrain-deadline = \"20 ms\"");
    // Also if the state is wanted for probes before that.
    check(
        "[swap]\ndrain-deadline = \"20 ms\"\n\
         [[swap.probes]]\nplugin = \"versioned\"\nname = \"any\"\npayload = \"x\"",
    );
}

#[test]
fn a_version_that_is_worse_gives_way_to_the_one_before() {
    /// Four calls of each version; `told` is said at the end of the probation.
    fn check(window: &str, bad: &'static str, told: &[&str], runs: &str, next: &str) {
        let sink = Arc::new(Remembered::default());
        let policy = format!("[swap]\nprobation = \"{window}\"\nprobation-calls = 4");
        let policy = crate::policy::Policy::parse(&policy).unwrap();
        let host = Host::builder().policy(policy).sink(sink.clone()).build().unwrap();
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        (0..4).for_each(|_| drop(ask(&host, id, "x")));
        assert_eq!(host.reload_with(id, version("versioned", "2.0.0", bad)).wait().unwrap(), 2);
        (0..4).for_each(|_| drop(ask(&host, id, "x")));
        let started = Instant::now();
        let is_told = |event: &String| told.iter().any(|told| event.contains(told));
        while !sink.0.lock().iter().any(is_told) {
            assert!(started.elapsed() < PATIENCE, "{:?}", sink.0.lock());
            std::thread::yield_now();
        }
        let status = host.plugin(id).unwrap();
        assert_eq!(status.manifest.plugin.version.to_string(), runs);
        let refused = status.refused.map(|refused| refused.message).unwrap_or_default();
        assert_eq!(is_told(&refused), runs == "1.0.0", "{refused}");
        assert_eq!(ask(&host, id, "x"), next);
    }
    let worse = "generation 2 was worse than the one before: 4 of 4 calls failed, 0 of 4 before";
    check("600 s", "fails", &[worse], "1.0.0", "5");
    // A machine that is busy may have no time for four calls.
    let well = ["generation 2 passed its probation", "the probation of generation 2 is over"];
    check("20 ms", "", &well, "2.0.0", "9");
}

#[test]
fn a_probation_goes_back_to_what_passed_and_not_to_what_ran_on_probation() {
    /// The versions that take over one after the other, each with whether it fails, and for how many
    /// calls; the one that runs in the end is the first.
    #[track_caller]
    fn check(keep: u32, versions: &[(&str, &'static str, u32)]) {
        let sink = Arc::new(Remembered::default());
        let policy = format!("[swap]\nkeep = {keep}\nprobation = \"600 s\"\nprobation-calls = 4");
        let policy = crate::policy::Policy::parse(&policy).unwrap();
        let host = Host::builder().policy(policy).sink(sink.clone()).build().unwrap();
        let id = load(&host, LoadRequest::of(version("versioned", "1.0.0", "")));
        (0..4).for_each(|_| drop(ask(&host, id, "x")));
        for (number, bad, calls) in versions {
            host.reload_with(id, version("versioned", number, bad)).wait().unwrap();
            (0..*calls).for_each(|_| drop(ask(&host, id, "x")));
        }
        let started = Instant::now();
        let is_told = |event: &String| event.contains("was worse than the one before");
        while !sink.0.lock().iter().any(is_told) {
            assert!(started.elapsed() < PATIENCE, "{:?}", sink.0.lock());
            std::thread::yield_now();
        }
        let status = host.plugin(id).unwrap();
        assert_eq!(status.manifest.plugin.version.to_string(), "1.0.0", "{versions:?}");
    }
    for keep in [1, 3] {
        // Loaded again while it is on probation, with calls of both.
        check(keep, &[("2.0.0", "fails", 2), ("2.0.0", "fails", 2)]);
        check(keep, &[("2.0.0", "fails", 0), ("2.0.0", "fails", 0), ("2.0.0", "fails", 4)]);
        // Another one that fails, too, replaces it.
        check(keep, &[("2.0.0", "fails", 3), ("3.0.0", "fails", 4)]);
    }
}

#[test]
fn a_source_that_was_mended_is_told_and_refused_no_more() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Some('A'), "");
    let sink = Arc::new(Remembered::default());
    let host = Host::builder().sink(sink.clone()).build().unwrap();
    let id = load(&host, LoadRequest::path(folder.path()));
    let told =
        || sink.0.lock().iter().filter(|event| event.contains(crate::AGAIN_WHAT_RUNS)).count();
    assert_eq!(host.reload_if_changed(id).wait().unwrap(), 1);
    assert_eq!(told(), 0, "nothing was refused");
    fs::write(folder.path().join("letter.wat"), "garbage").unwrap();
    assert!(host.reload_if_changed(id).wait().is_err());
    assert!(host.plugin(id).unwrap().refused.is_some());
    write(folder.path(), Some('A'), "");
    assert_eq!(host.reload_if_changed(id).wait().unwrap(), 1);
    assert!(host.plugin(id).unwrap().refused.is_none());
    assert_eq!(host.reload_if_changed(id).wait().unwrap(), 1);
    assert_eq!(told(), 1, "once");
}

/// Answers each frame with three frames to itself, and counts them.
struct Sprays(Arc<std::sync::atomic::AtomicU64>);

impl Plugin for Sprays {
    fn process(&mut self, services: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        let header = glovebox_abi::Header::build();
        let header = header.text(glovebox_abi::Header::TARGET, "sprays").finish();
        for _ in 0..3 {
            services.emit(&Frame::new(Kind::DATA, header.clone(), "x"))?;
            self.0.fetch_add(1, Relaxed);
        }
        Ok(Vec::new())
    }
}

#[test]
fn every_emitted_frame_is_processed_or_counted_as_dropped() {
    /// `told` is what the first event of a dropped frame says.
    fn check(queue: u32, told: &str) {
        let (sink, emitted) = (Arc::new(Remembered::default()), Arc::default());
        let host = Host::builder().sink(sink.clone()).build().unwrap();
        let keys = format!("[permissions]\nemit = true\n[limits]\nqueue = {queue}");
        let manifest = Manifest::parse(&format!("[plugin]\nid = \"sprays\"\n{keys}")).unwrap();
        let counts: Arc<std::sync::atomic::AtomicU64> = Arc::clone(&emitted);
        let request = LoadRequest::core(manifest, move || Box::new(Sprays(counts.clone())));
        let id = load(&host, request);
        assert_eq!(ask(&host, id, "x"), "completed");
        host.wait_idle().wait();
        let stats = host.plugin(id).unwrap().stats;
        assert!(stats.emitted_dropped > 1, "{stats:?}");
        assert_eq!(emitted.load(Relaxed), stats.processed - 1 + stats.emitted_dropped);
        let events = sink.0.lock();
        let dropped = events.iter().filter_map(|event| {
            let frames = event.strip_prefix("FramesDropped { frames: ")?;
            frames.split(',').next()?.parse::<u64>().ok()
        });
        assert_eq!(dropped.sum::<u64>(), stats.emitted_dropped, "each is told of once");
        assert!(events.iter().any(|event| event.contains(told)), "{told}");
    }
    check(16, "the queue of `sprays` is full");
    check(100_000, "it was passed on more than 8 times");
}

/// Emits its frame to a plugin that is not there, or to whoever accepts its kind if it says so.
struct Calls;

impl Plugin for Calls {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let header = match &frame.payload[..] {
            b"anybody" => glovebox_abi::Header::empty(),
            _ => glovebox_abi::Header::build().text(glovebox_abi::Header::TARGET, "gone").finish(),
        };
        services.emit(&Frame::new(Kind::CONTROL, header, "x"))?;
        Ok(Vec::new())
    }
}

#[test]
fn a_frame_to_a_plugin_that_is_not_there_is_counted_and_said() {
    fn check(payload: &'static str, dropped: u64, told: &str) {
        let sink = Arc::new(Remembered::default());
        let host = Host::builder().sink(sink.clone()).build().unwrap();
        let keys = "[permissions]\nemit = true\n[frames]\naccepts = [\"data\"]";
        let manifest = Manifest::parse(&format!("[plugin]\nid = \"calls\"\n{keys}")).unwrap();
        let id = load(&host, LoadRequest::core(manifest, || Box::new(Calls)));
        assert_eq!(ask(&host, id, payload), "completed");
        host.wait_idle().wait();
        let stats = host.plugin(id).unwrap().stats;
        assert_eq!((stats.emitted_dropped, host.dispatch_stats().undelivered), (dropped, 1));
        assert!(sink.0.lock().iter().any(|event| event.contains(told)), "{told}");
    }
    check("somebody", 1, "frames: 1, reason: \"no plugin `gone` is loaded");
    check("anybody", 0, "frames: 1, reason: \"no plugin accepts control frames");
}

/// A module that makes the file `f` in its folder and then does to it what the payload says; it answers
/// with the error of that as a byte.
const GROWS: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite"
        (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek"
        (func $seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_size"
        (func $resize (param i32 i64) (result i32)))
    (import "wasi_snapshot_preview1" "fd_allocate"
        (func $allocate (param i32 i64 i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 512) "\52\00\01\00\00\00\00\00\01\00\00\00?")
    (data (i32.const 700) "f")
    ;; An empty vector, and one of two bytes.
    (data (i32.const 720) "\bc\02\00\00\00\00\00\00\bc\02\00\00\02\00\00\00")
    (func (export "glovebox_abi_0_1"))
    (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 1024))
    (func $fd (param $flags i32) (result i32)
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 700) (i32.const 1) (i32.const 1)
            (i64.const 0x1fffffff) (i64.const 0x1fffffff) (local.get $flags) (i32.const 760)))
        (i32.load (i32.const 760)))
    (func $do (param $what i32) (result i32)
        (local $fd i32)
        (local.set $fd (call $fd (i32.eq (local.get $what) (i32.const 43))))
        (if (i32.eq (local.get $what) (i32.const 97))
            (then (return (call $allocate (local.get $fd) (i64.const 1) (i64.const 67108864)))))
        (if (i32.eq (local.get $what) (i32.const 115))
            (then (return (call $resize (local.get $fd) (i64.const 1000000000000)))))
        (if (i32.eq (local.get $what) (i32.const 83))
            (then (return (call $resize (local.get $fd) (i64.const 67108864)))))
        (if (i32.eq (local.get $what) (i32.const 112))
            (then (return (call $pwrite (local.get $fd) (i32.const 720) (i32.const 2)
                (i64.const 67108863) (i32.const 764)))))
        (if (i32.eq (local.get $what) (i32.const 80))
            (then (return (call $pwrite (local.get $fd) (i32.const 720) (i32.const 2)
                (i64.const 67108862) (i32.const 764)))))
        (if (i32.eq (local.get $what) (i32.const 119))
            (then (drop (call $seek (local.get $fd) (i64.const 67108863) (i32.const 0)
                (i32.const 768)))))
        (call $write (local.get $fd) (i32.const 720) (i32.const 2) (i32.const 764)))
    (func (export "glovebox_process") (param i32) (result i64)
        (i32.store8 (i32.const 524) (call $do (i32.load8_u (i32.const 1036))))
        (i64.const 0x200_0000000D)))"#;

#[test]
fn a_module_writes_no_file_above_the_limit() {
    const TOO_LARGE: u8 = 22;
    /// `before` is the size of the file, and `after` the one that it has then.
    fn check(what: &'static str, before: u64, error: u8, after: u64) {
        check_within("", what, before, error, after);
    }
    /// The same under other limits of the manifest.
    fn check_within(limits: &str, what: &'static str, before: u64, error: u8, after: u64) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let file = folder.path().join("data/f");
        fs::File::create(&file).unwrap().set_len(before).unwrap();
        fs::write(folder.path().join("grows.wat"), GROWS).unwrap();
        let keys = "[permissions]\nfiles = [{ path = \"data\", access = \"read-write\" }]";
        let manifest = "[plugin]\nid = \"grows\"\n[artifact]\nwasm = \"grows.wat\"\n";
        let manifest = format!("{manifest}{keys}\n{limits}");
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let sink = Arc::new(Remembered::default());
        let host = Host::builder().sink(sink.clone()).build().unwrap();
        host.set_policy_mode(crate::policy::PolicyMode::AsDeclared);
        let id = load(&host, LoadRequest::path(folder.path()));
        let reply = host.call(id, &Frame::data(what));
        assert_eq!(reply.frames[0].payload[..], [error], "{what}: {:?}", reply.outcome);
        assert_eq!(file.metadata().unwrap().len(), after, "{what}");
        let is_told = sink.0.lock().iter().any(|event| event.contains("LimitExceeded"));
        assert_eq!(is_told, error == TOO_LARGE, "{what}");
        let status = host.plugin(id).unwrap();
        let limit = status.limit(LimitKind::FileBytes).unwrap();
        assert_eq!(limit.hits, u64::from(error == TOO_LARGE), "{what}");
    }
    const LIMIT: u64 = 64 << 20;
    check("s", 0, TOO_LARGE, 0);
    check("S", 0, 0, LIMIT);
    // It becomes smaller.
    check("S", LIMIT + 7, 0, LIMIT);
    check("p", 0, TOO_LARGE, 0);
    check("P", 0, 0, LIMIT);
    check("w", 0, TOO_LARGE, 0);
    check("a", 0, TOO_LARGE, 0);
    // At the place where it begins, and at the end.
    check("-", LIMIT, 0, LIMIT);
    check("+", LIMIT - 1, TOO_LARGE, LIMIT - 1);
    check("+", LIMIT - 2, 0, LIMIT);
    check_within("[limits]\nfile-bytes = \"64 MiB\"", "S", 0, 0, LIMIT);
    check_within("[limits]\nfile-bytes = 67108863", "S", 0, TOO_LARGE, 0);
    check_within("[limits]\nfile-bytes = \"65 MiB\"", "p", 0, 0, LIMIT + 1);
}

#[test]
fn a_policy_is_applied_when_its_file_changes_and_only_if_it_can_be_read() {
    use crate::policy::{Policy, PolicyMode};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let write = |text: &str| fs::write(&path, text).unwrap();
    write("mode = \"as-declared\"");
    let sink = Arc::new(Remembered::default());
    let policy = Policy::load(&path).unwrap();
    let host = Host::builder().policy(policy).sink(sink.clone()).build().unwrap();
    load(&host, counter(""));
    let (tell, told) = sync_channel(16);
    assert!(host.watch_policy(move |changed| tell.send(changed).unwrap()).unwrap());
    let has_event = |words: &[&str]| {
        sink.0.lock().iter().any(|one| words.iter().all(|word| one.contains(word)))
    };
    // Each step: what the file holds, whether it is read, and the mode afterwards.
    let steps = [
        ("mode = \"ask\"", true, PolicyMode::Ask),
        ("mode = \"nonsense\"", false, PolicyMode::Ask),
        ("mode = \"ask\"", true, PolicyMode::Ask),
        ("mode = \"as-declared\"", true, PolicyMode::AsDeclared),
    ];
    for (text, is_read, mode) in steps {
        write(text);
        let told = told.recv_timeout(PATIENCE).expect("the change is noticed");
        assert_eq!((told.is_ok(), host.policy_mode()), (is_read, mode), "{text}: {told:?}");
    }
    assert!(has_event(&["PolicyChanged", "policy changed"]));
    assert!(has_event(&["the policy of before stays in force", "nonsense"]));
    let host = Host::builder().build().unwrap();
    assert!(!host.watch_policy(|_| {}).unwrap(), "there is no file");
}
