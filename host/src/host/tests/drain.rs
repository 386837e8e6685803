//! Instances that drain or end while something else happens to them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use glovebox_events::{Event, Outcome, Phase, Sink, What};
use parking_lot::Mutex;

use super::*;
use crate::record::{LifecycleHook, Transition};

/// Keeps the changes of phase.
#[derive(Default)]
struct Phases(Mutex<Vec<(Phase, Phase)>>);

impl Sink for Phases {
    fn record(&self, event: &Event) {
        if let What::Phase { from, to, .. } = event.what {
            self.0.lock().push((from, to));
        }
    }
}

impl Phases {
    /// The phases from the last time on at which it was ready: each change begins where the one before
    /// ended.
    #[track_caller]
    fn check(&self, expected: &[Phase]) {
        let changes = self.0.lock();
        let last = changes.iter().rposition(|(from, _)| *from == Phase::Ready).unwrap();
        let changes = &changes[last..];
        let chained: Vec<_> = [Phase::Ready].iter().chain(expected).zip(expected).collect();
        assert_eq!(changes.iter().map(|(from, to)| (from, to)).collect::<Vec<_>>(), chained);
    }
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[test]
fn what_drains_is_not_restarted_and_finishes_after_a_crash() {
    let phases = Arc::new(Phases::default());
    let host = Host::builder().sink(phases.clone()).build().unwrap();
    let id = load(&host, counter(""));
    let instance = host.instance(id).unwrap();
    let held = instance.hold_copy(0).unwrap();
    let queued = ["die", "x"].map(|text| host.try_dispatch_to(id, Frame::data(text)).unwrap());
    let draining = host.drain(id, PATIENCE);
    wait_until(|| host.plugin(id).unwrap().phase == Phase::Draining);
    let restarting = host.restart(id);
    drop(held);
    assert_eq!(restarting.wait().unwrap_err().to_string(), super::super::gone().to_string());
    let drained = draining.wait();
    assert_eq!((drained.processed, drained.refused, drained.in_time), (2, 0, true));
    assert_eq!(queued.map(|ticket| told(&ticket.wait())), ["trapped", "1"]);
    use Phase::*;
    phases.check(&[Draining, Faulted, Restarting, Draining, Stopped]);
}

/// Lets an instance drain in the middle of its first fault.
#[derive(Default)]
struct Drains(OnceLock<Arc<crate::instance::Instance>>, AtomicBool);

impl LifecycleHook for Arc<Drains> {
    fn before(&self, transition: &Transition) {
        if transition.to == Phase::Faulted
            && let Some(instance) = self.0.get()
        {
            assert!(instance.fault().is_some(), "whoever hears of a fault finds its cause");
            if !self.1.swap(true, SeqCst) {
                instance.begin_draining("in between");
            }
        }
    }
}

#[test]
fn no_change_of_phase_is_lost_to_another_one_beside_it() {
    let (phases, drains) = (Arc::new(Phases::default()), Arc::new(Drains::default()));
    let host = Host::builder().sink(phases.clone()).hook(drains.clone()).build().unwrap();
    let id = load(&host, counter(""));
    assert!(drains.0.set(host.instance(id).unwrap()).is_ok());
    assert_eq!(ask(&host, id, "die"), "trapped");
    use Phase::*;
    phases.check(&[Draining, Faulted, Restarting, Draining]);
}

/// Does not start while it is told not to, counts its starts, and traps at the frame `die`.
struct Fragile {
    fails: Arc<AtomicBool>,
    starts: Arc<AtomicU32>,
}

impl Plugin for Fragile {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        self.starts.fetch_add(1, SeqCst);
        match self.fails.load(SeqCst) {
            true => Err(Failure::new(1, "not today")),
            false => Ok(()),
        }
    }

    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        assert_ne!(&*frame.payload, b"die", "on purpose");
        Ok(vec![Frame::data("well")])
    }
}

#[test]
fn a_frame_that_waits_for_a_fresh_copy_holds_nobody_up() {
    /// `starts` says how many copies are started after the one for which the frame waits.
    fn check(what: fn(&Host, InstanceId), starts: u32, expected: &str) {
        let (fails, started) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let keys = "[lifecycle]\nback-off = \"36000s\"\nback-off-max = \"36000s\"\n\
                    [limits]\ncall-deadline = \"72000s\"";
        let manifest = Manifest::parse(&format!("[plugin]\nid = \"fragile\"\n{keys}")).unwrap();
        let (fail, count) = (fails.clone(), started.clone());
        let request = LoadRequest::core(manifest, move || {
            Box::new(Fragile { fails: fail.clone(), starts: count.clone() })
        });
        let host = host();
        let id = load(&host, request);
        fails.store(true, SeqCst);
        assert_eq!(ask(&host, id, "die"), "trapped");
        fails.store(false, SeqCst);
        let before = started.load(SeqCst);
        let instance = host.instance(id).unwrap();
        let caller = host.clone();
        let answer = aside(move || caller.call(id, &Frame::data("x")));
        wait_until(|| instance.is_held());
        what(&host, id);
        let reply = answer.recv_timeout(PATIENCE).unwrap();
        assert_eq!(told(&reply), expected, "{:?}", reply.outcome);
        assert_eq!(started.load(SeqCst) - before, starts, "{expected}");
        if expected == "refused" {
            let Outcome::Refused { reason } = &reply.outcome else { panic!("{reply:?}") };
            assert!(reason.contains("not today"), "{reason}");
        }
    }
    check(|host, id| assert!(host.unload(id)), 0, "refused");
    check(|host, id| host.restart(id).wait().unwrap(), 1, "well");
}

#[test]
fn a_refused_reload_of_a_plugin_that_sleeps_changes_nothing() {
    fn check(lazy: bool, spoil: fn(&Path), expected: &str) {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(first.path(), Some('a'), "");
        write(second.path(), Some('b'), "");
        spoil(second.path());
        let host = host();
        let request = LoadRequest::path(first.path());
        let id = load(&host, if lazy { request.lazy() } else { request });
        let error = host.reload_with(id, second.path()).wait().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let (status, phase) =
            (host.plugin(id).unwrap(), if lazy { Phase::Found } else { Phase::Ready });
        assert_eq!((status.phase, status.fault), (phase, None), "{expected}");
        assert_eq!(ask(&host, id, "x"), "a", "{expected}");
        host.reload(id).wait().unwrap();
        assert_eq!(ask(&host, id, "x"), "a", "{expected}");
    }
    for lazy in [true, false] {
        let other = |folder: &Path| {
            let manifest = "[plugin]\nid = \"other\"\n[artifact]\nwasm = \"letter.wat\"";
            fs::write(folder.join("plugin.toml"), manifest).unwrap();
        };
        check(lazy, other, "the artifact is plugin `other`");
        check(lazy, |folder| fs::write(folder.join("letter.wat"), "(").unwrap(), "letter.wat");
    }
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
