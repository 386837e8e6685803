//! Two things at once, in an order that the test forces.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Manifest, Permission, Plugin, Services, State};
use glovebox_events::{Event, Sink, What};
use glovebox_host::{
    Decision, Host, InstanceId, Lifetime, LoadRequest, Loading, Policy, PolicyMode, Source,
};
use glovebox_tests::Bench;
use glovebox_tests::guest::Guest;

/// How long a test waits for something that comes at once or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place in a plugin at which it says that it is there, and waits until it may go on.
struct Gate {
    entered: SyncSender<()>,
    may_go_on: Mutex<Receiver<()>>,
}

/// The test's side of a gate.
struct Keeper {
    has_entered: Receiver<()>,
    go_on: SyncSender<()>,
}

impl Gate {
    fn new() -> (Arc<Gate>, Keeper) {
        let (entered, has_entered) = sync_channel(16);
        let (go_on, may_go_on) = sync_channel(16);
        let gate = Gate { entered, may_go_on: Mutex::new(may_go_on) };
        (Arc::new(gate), Keeper { has_entered, go_on })
    }

    fn pass(&self) {
        // The test may be over.
        let _ = self.entered.send(());
        let _ = self.may_go_on.lock().unwrap().recv();
    }
}

impl Keeper {
    /// Waits until somebody stands at the gate.
    fn wait(&self) {
        self.has_entered.recv_timeout(PATIENCE).expect("somebody comes to the gate");
    }

    fn open(&self) {
        self.go_on.send(()).unwrap();
    }
}

/// Waits at a gate at one of its steps. In `initialize` and `process` it uses its store afterwards, and
/// says in the answer to a frame what came of either.
struct Gated {
    at: &'static str,
    gate: Arc<Gate>,
    at_start: &'static str,
    count: u8,
}

impl Gated {
    fn pass(&self, here: &str) {
        if self.at == here {
            self.gate.pass();
        }
    }
}

fn use_store(services: &mut dyn Services) -> &'static str {
    if services.kv_get("key").is_ok() { "allowed" } else { "denied" }
}

impl Plugin for Gated {
    fn initialize(&mut self, services: &mut dyn Services, _: &str) -> Result<(), Failure> {
        self.pass("initialize");
        self.at_start = use_store(services);
        Ok(())
    }

    fn process(&mut self, services: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        self.pass("process");
        self.count += 1;
        let (before, now, count) = (self.at_start, use_store(services), self.count);
        Ok(vec![Frame::data(format!("{before} {now} {count}"))])
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        self.pass("save_state");
        Ok(Some(State { version: 1, bytes: vec![self.count] }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        self.pass("restore_state");
        self.count = state.bytes[0];
        Ok(())
    }
}

/// A core plugin that asks for its store and waits at this step.
fn gated(at: &'static str, gate: &Arc<Gate>) -> LoadRequest {
    let manifest = "[plugin]\nid = \"gated\"\n[permissions]\nkv = true\n[state]\npersist = true";
    let gate = gate.clone();
    LoadRequest::core(Manifest::parse(manifest).unwrap(), move || {
        Box::new(Gated { at, gate: gate.clone(), at_start: "", count: 0 })
    })
}

/// Does something on a thread of its own.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, is_done) = sync_channel(1);
    std::thread::spawn(move || done.send(work()));
    is_done
}

/// The result of `look`, which comes sooner or later.
fn in_time<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(started.elapsed() < PATIENCE, "it never comes"),
        }
        std::thread::yield_now();
    }
}

fn loaded(loading: Loading) -> InstanceId {
    loading.wait().unwrap_or_else(|error| panic!("{error}"))
}

fn forbid_kv() -> Policy {
    Policy::parse("[default]\nkv = \"deny\"").unwrap()
}

#[test]
fn what_changes_during_a_load_holds_for_what_is_loaded() {
    fn check(change: fn(&Host), expected: &str) {
        let bench = Bench::new();
        let (gate, keeper) = Gate::new();
        let loading = bench.host.load(gated("initialize", &gate));
        keeper.wait();
        change(&bench.host);
        keeper.open();
        let id = loaded(loading);
        let answer = bench.ask(id, "?");
        assert!(answer.contains(expected), "{answer}");
        let status = bench.host.plugin(id).unwrap();
        let kv = status.permissions.iter().find(|kv| kv.permission == Permission::Kv).unwrap();
        assert_eq!(kv.granted, expected != "denied 1", "{}", kv.explanation);
    }
    check(|host| host.set_policy_mode(PolicyMode::Strict), "denied 1");
    check(|host| host.set_policy(forbid_kv()), "denied 1");
    check(
        |host| {
            host.set_policy(forbid_kv());
            host.set_policy(Policy::default());
        },
        "allowed allowed 1",
    );
    check(|_| {}, "allowed allowed 1");
}

#[test]
fn what_changes_during_a_reload_holds_for_the_new_generation_at_once() {
    fn check(at: &'static str, change: fn(&Host, InstanceId), expected: &str) {
        let bench = Bench::new();
        let (gate, keeper) = Gate::new();
        if at == "initialize" {
            keeper.open();
        }
        let id = loaded(bench.host.load(gated(at, &gate)));
        if at == "initialize" {
            keeper.wait();
        }
        let reloading = bench.host.reload(id);
        keeper.wait();
        change(&bench.host, id);
        keeper.open();
        assert_eq!(reloading.wait().unwrap(), 2);
        assert_eq!(bench.ask(id, "?"), expected, "{at}");
    }
    let deny: fn(&Host, InstanceId) =
        |host, id| assert!(host.set_decision(id, Permission::Kv, Decision::Deny));
    let strict: fn(&Host, InstanceId) = |host, _| host.set_policy_mode(PolicyMode::Strict);
    let forbid: fn(&Host, InstanceId) = |host, _| host.set_policy(forbid_kv());
    check("initialize", deny, "denied denied 1");
    check("initialize", strict, "denied denied 1");
    check("initialize", forbid, "denied denied 1");
    check("initialize", |_, _| {}, "allowed allowed 1");
    // By then it was initialized.
    check("restore_state", deny, "allowed denied 1");
    check("restore_state", strict, "allowed denied 1");
    // A permission that is allowed once ends with the running reload.
    check(
        "restore_state",
        |host, id| {
            host.set_policy_mode(PolicyMode::Strict);
            assert!(host.allow(id, Permission::Kv, Lifetime::Once));
        },
        "allowed denied 1",
    );
}

/// Gives each event to a function.
struct Told<F>(F);

impl<F: Fn(&Event) + Send + Sync> Sink for Told<F> {
    fn record(&self, event: &Event) {
        (self.0)(event);
    }
}

#[test]
fn of_two_changes_of_the_policy_the_later_one_holds() {
    fn check(first: &str, second: &str, expected: &str) {
        let (gate, keeper) = Gate::new();
        let once = Mutex::new(Some(gate));
        // The first change stops after the first instance.
        let sink = Told(move |event: &Event| {
            if !matches!(event.what, What::PolicyChanged { .. }) {
                return;
            }
            let gate = once.lock().unwrap().take();
            gate.into_iter().for_each(|gate| gate.pass());
        });
        let host = Host::builder().sink(Arc::new(sink)).build().unwrap();
        let (unused, _) = Gate::new();
        let ids = [(); 2].map(|()| loaded(host.load(gated("", &unused))));
        let policy = |text: &str| Policy::parse(text).unwrap();
        let (slow, early) = (host.clone(), policy(first));
        let changed = aside(move || slow.set_policy(early));
        keeper.wait();
        host.set_policy(policy(second));
        keeper.open();
        changed.recv_timeout(PATIENCE).unwrap();
        for id in ids {
            let reply = host.call(id, &Frame::data("?"));
            let answer = String::from_utf8_lossy(&reply.frames[0].payload).into_owned();
            assert_eq!(answer, format!("allowed {expected} 1"), "{first} then {second}");
        }
    }
    check("[default]\nkv = \"deny\"", "", "allowed");
    check("", "[default]\nkv = \"deny\"", "denied");
}

#[test]
fn whoever_hears_of_an_event_may_ask_and_decide() {
    /// A plugin that asks a person, and for more than a ceiling.
    fn asking() -> LoadRequest {
        let manifest = "[plugin]\nid = \"asking\"\n[permissions]\nkv = true\n\
                        environment = [\"HOME\"]\n[limits]\ncall-deadline = \"9000 s\"\n\
                        [runtime]\ninstances = 2\n[state]\npersist = true";
        let (gate, _) = Gate::new();
        LoadRequest::core(Manifest::parse(manifest).unwrap(), move || {
            Box::new(Gated { at: "", gate: gate.clone(), at_start: "", count: 0 })
        })
    }
    fn ask_all(host: &Host) {
        for status in host.plugins() {
            let id = status.instance;
            let _ = (host.plugin(id), host.request(id), host.access_log(id), host.wishes(id));
            let _ = (host.find("asking"), host.accepts(id, glovebox_abi::Kind::DATA));
            let _ = (host.dispatch_stats(), host.cancel(id), host.profile());
        }
        let _ = (host.policy(), host.policy_mode(), host.ceilings(), host.consents());
    }
    type Work = fn(&Host, InstanceId);
    fn check(work: Work) {
        let known: Arc<OnceLock<Host>> = Arc::default();
        let (hears, wakes) = (known.clone(), known.clone());
        let sink = Told(move |event: &Event| {
            let Some(host) = hears.get() else { return };
            ask_all(host);
            if let What::PolicyAsked { permission, .. } = event.what {
                let id = host.find("asking");
                id.map(|id| host.allow(id, permission, Lifetime::WhileItRuns));
            }
        });
        let wake = move || wakes.get().into_iter().for_each(ask_all);
        let host = Host::builder().sink(Arc::new(sink)).wake(wake).build().unwrap();
        known.set(host.clone()).unwrap();
        let done = aside(move || {
            let id = loaded(host.load(asking()));
            work(&host, id);
        });
        done.recv_timeout(PATIENCE).expect("nobody waits for ever");
    }
    check(|_, _| {});
    check(|host, id| {
        let mut limits = host.plugin(id).unwrap().limits;
        limits.queue += 1;
        limits.call_deadline = Duration::from_secs(9000);
        assert!(host.set_limits(id, limits).is_ok());
    });
    check(|host, id| assert!(host.set_decision(id, Permission::Kv, Decision::Deny)));
    check(|host, _| host.set_policy(forbid_kv()));
    check(|host, _| host.set_policy_mode(PolicyMode::Strict));
    check(|host, id| assert!(host.reload(id).wait().is_ok()));
    check(|host, id| assert!(host.restart(id).wait().is_ok()));
    check(|host, id| assert!(host.call(id, &Frame::data("?")).outcome.is_completed()));
    check(|host, id| assert!(host.snapshot(id).wait().is_ok()));
    check(|host, id| assert!(host.drain(id, PATIENCE).wait().in_time));
}

#[test]
fn what_was_drained_has_ended_and_can_be_loaded_again() {
    let states = tempfile::tempdir().unwrap();
    let bench = Bench::with(|builder| builder.state_folder(states.path()));
    let (gate, keeper) = Gate::new();
    let id = loaded(bench.host.load(gated("save_state", &gate)));
    assert_eq!(bench.ask(id, "?"), "allowed allowed 1");
    let mut drained = bench.host.drain(id, PATIENCE);
    keeper.wait();
    // All that the host had to do before it waited for something is done after this.
    bench.host.wait_idle().wait();
    assert_eq!(drained.try_take(), None, "its state is not saved yet");
    keeper.open();
    let drained = drained.wait();
    assert!(drained.in_time && drained.processed == 0, "{drained:?}");
    let (unused, _) = Gate::new();
    let id = loaded(bench.host.load(gated("", &unused)));
    assert_eq!(bench.ask(id, "?"), "allowed allowed 2", "it goes on from its state");
    // Also from that of one that somebody still looks at.
    assert!(bench.host.drain(id, PATIENCE).wait().in_time);
    let id = loaded(bench.host.load(gated("", &unused)));
    assert_eq!(bench.ask(id, "?"), "allowed allowed 3");
}

#[test]
fn wakers_that_panic_do_not_keep_an_instance_from_ending() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose in the waker of a task");
        }
    }
    fn check(end: fn(&Host, InstanceId)) {
        let bench = Bench::new();
        let (gate, keeper) = Gate::new();
        let mut manifest = Manifest::bare("gated");
        manifest.limits.queue = 3;
        let gated = move || -> Box<dyn Plugin> {
            Box::new(Gated { at: "process", gate: gate.clone(), at_start: "", count: 0 })
        };
        let id = loaded(bench.host.load(LoadRequest::core(manifest, gated)));
        let send = || bench.host.try_dispatch_to(id, Frame::data("x")).unwrap();
        let running = send();
        keeper.wait();
        // One waits for its answer and two for a place in the queue, and all panic when they are told.
        let waker = Waker::from(Arc::new(Panics));
        let mut context = Context::from_waker(&waker);
        let mut tickets = [(); 2].map(|()| Box::pin(send()));
        for ticket in &mut tickets {
            assert!(ticket.as_mut().poll(&mut context).is_pending());
        }
        let later = || Box::pin(bench.host.dispatch_to(id, Frame::data("x")));
        let mut later = [later(), later()];
        for later in &mut later {
            assert!(later.as_mut().poll(&mut context).is_pending());
        }
        end(&bench.host, id);
        for ticket in &mut tickets {
            let reply = in_time(|| ticket.try_take());
            assert!(reply.outcome.is_refused(), "{:?}", reply.outcome);
        }
        keeper.open();
        assert!(running.wait().outcome.is_completed());
        let is_unloaded = |event: &Event| event.what == What::Unloaded;
        in_time(|| bench.events.events().iter().any(is_unloaded).then_some(()));
        let mut context = Context::from_waker(Waker::noop());
        for later in &mut later {
            let Poll::Ready(reply) = later.as_mut().poll(&mut context) else {
                panic!("a frame without a place is refused");
            };
            assert!(reply.outcome.is_refused(), "{:?}", reply.outcome);
        }
    }
    check(|host, id| assert!(host.unload(id)));
    check(|host, id| {
        let drained = host.drain(id, Duration::ZERO).wait();
        assert_eq!((drained.refused, drained.in_time), (2, false));
    });
}

/// A module of the frame ABI that takes a moment to compile, and is another one for each number.
fn module(number: usize) -> Vec<u8> {
    let steps = "(local.set 0 (i64.add (i64.mul (local.get 0) (local.get 1)) (i64.const 7)))";
    let fields = format!("(func (local i64 i64) {})", steps.repeat(2000 + number));
    wat::parse_str(Guest { fields: &fields, ..Guest::default() }.module()).unwrap()
}

#[test]
fn loads_and_reloads_together_compile_no_more_plugins_than_there_are_cores() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bench = Bench::new();
    let host = &bench.host;
    let mut numbers = 0..;
    let mut fresh = || module(numbers.next().unwrap());
    let ids = [(); 4].map(|()| loaded(host.load(LoadRequest::bytes("guest.wasm", fresh()))));
    // On a busy machine all may be over before this thread looks, and then it goes on with others.
    in_time(|| {
        let mut reloads = ids.map(|id| host.reload_with(id, Source::bytes("guest.wasm", fresh())));
        let loads = (0..cores).map(|_| host.load(LoadRequest::bytes("guest.wasm", fresh())));
        let mut loads: Vec<_> = loads.collect();
        let (mut most, mut left) = (0, reloads.len() + loads.len());
        in_time(|| {
            most = most.max(host.compiles().len());
            let reloaded = reloads.iter_mut().filter_map(|one| one.try_take()).map(Result::unwrap);
            left -= reloaded.count();
            left -= loads.iter_mut().filter_map(|one| one.try_take()).map(Result::unwrap).count();
            (left == 0).then_some(())
        });
        assert!(most <= cores, "{most} at once on {cores} cores");
        (most > 0).then_some(())
    });
}

/// The work of a plugin while it starts.
type AtStart = fn(&Host, InstanceId);

/// Uses the host as soon as all the others start too.
struct Starting {
    host: Host,
    other: InstanceId,
    all: Arc<Barrier>,
    work: AtStart,
}

impl Plugin for Starting {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        self.all.wait();
        (self.work)(&self.host, self.other);
        self.all.wait();
        Ok(())
    }

    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(Vec::new())
    }
}

#[test]
fn plugins_that_start_use_the_host_however_many_they_are() {
    fn check(is_lazy: bool, work: AtStart) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let host = Host::builder().build().unwrap();
        let other = LoadRequest::bytes("guest.wasm", module(0));
        let other = loaded(host.load(if is_lazy { other.lazy() } else { other }));
        // One more waits for the lazy one, and is no plugin that starts.
        let all = Arc::new(Barrier::new(cores + 1));
        let loads: Vec<_> = (0..cores)
            .map(|_| {
                let (all, starts) = (all.clone(), host.clone());
                let make = move || -> Box<dyn Plugin> {
                    Box::new(Starting { host: starts.clone(), other, all: all.clone(), work })
                };
                host.load(LoadRequest::core(Manifest::bare("starting"), make))
            })
            .collect();
        let done = aside(move || {
            all.wait();
            work(&host, other);
            all.wait();
            loads.into_iter().map(loaded).all(|id| host.unload(id))
        });
        assert!(done.recv_timeout(PATIENCE).expect("nobody waits for ever"));
    }
    check(true, |host, other| {
        assert!(host.call(other, &Frame::data("x")).outcome.is_completed());
    });
    check(false, |host, other| {
        host.reload(other).wait().unwrap();
    });
    check(false, |host, _| {
        loaded(host.load(LoadRequest::bytes("guest.wasm", module(1))));
    });
}
