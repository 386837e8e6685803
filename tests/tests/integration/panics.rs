//! Panics of the application's own code: each becomes an outcome or an error, and nothing stays stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use glovebox_abi::manifest::Restart;
use glovebox_abi::{Failure, Frame, Header, Health, Manifest, Plugin, Services, State};
use glovebox_events::{Event, Outcome, Sink, What};
use glovebox_host::{
    Answered, Answers, Asked, Host, InstanceId, LifecycleHook, LoadRequest, Reply, Transition,
};
use glovebox_tests::Bench;

/// Panics in one of its methods, as long as it is told to; answers frames with themselves otherwise.
struct Panicky {
    at: &'static str,
    armed: Arc<AtomicBool>,
}

impl Panicky {
    fn pass(&self, here: &str) {
        assert!(self.at != here || !self.armed.load(SeqCst), "on purpose in {here}");
    }
}

impl Plugin for Panicky {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        self.pass("initialize");
        Ok(())
    }

    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        self.pass("process");
        Ok(vec![frame.clone()])
    }

    fn health(&mut self) -> Health {
        self.pass("health");
        Health::good()
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        self.pass("save_state");
        Ok(Some(State { version: 1, bytes: Vec::new() }))
    }

    fn restore_state(&mut self, _: State) -> Result<(), Failure> {
        self.pass("restore_state");
        Ok(())
    }

    fn cleanup(&mut self) {
        self.pass("cleanup");
    }
}

impl Drop for Panicky {
    fn drop(&mut self) {
        if self.at == "drop" && !std::thread::panicking() {
            self.pass("drop");
        }
    }
}

/// A core plugin that panics there once it is armed.
fn panicky(at: &'static str, armed: &Arc<AtomicBool>) -> LoadRequest {
    let mut manifest = Manifest::bare("panicky");
    manifest.lifecycle.restart = Restart::OnFailure;
    let armed = armed.clone();
    LoadRequest::core(manifest, move || {
        assert!(at != "make" || !armed.load(SeqCst), "on purpose in make");
        Box::new(Panicky { at, armed: armed.clone() })
    })
}

/// The manifest of a plugin that asks for one permission.
fn asking(id: &str, permission: &str) -> Manifest {
    Manifest::parse(&format!("[plugin]\nid = \"{id}\"\n[permissions]\n{permission} = true"))
        .unwrap()
}

fn is_panic(outcome: &Outcome, at: &str) -> bool {
    matches!(outcome, Outcome::Trapped { code, message }
        if code == "plugin-panic" && *message == format!("on purpose in {at}"))
}

#[test]
fn a_core_plugin_that_panics_in_a_call_traps_and_its_queue_goes_on() {
    /// Makes one call in some way.
    type Way = fn(&Host, InstanceId) -> Reply;
    fn check(way: Way) {
        let (bench, armed) = (Bench::new(), Arc::new(AtomicBool::new(true)));
        let id = bench.host.load(panicky("process", &armed)).wait().unwrap();
        for _ in 0..2 {
            let reply = way(&bench.host, id);
            assert!(is_panic(&reply.outcome, "process"), "{:?}", reply.outcome);
        }
        armed.store(false, SeqCst);
        let reply = way(&bench.host, id);
        assert!(reply.outcome.is_completed(), "{:?}", reply.outcome);
        bench.host.wait_idle().wait();
        let drained = bench.host.drain(id, Duration::from_secs(60)).wait();
        assert!(drained.in_time, "{drained:?}");
        let ended = bench.events.events().into_iter().filter(|event| {
            matches!(&event.what, What::CallEnded { outcome, .. } if is_panic(outcome, "process"))
        });
        assert_eq!(ended.count(), 2, "each is an event");
    }
    check(|host, id| host.call(id, &Frame::data("x")));
    check(|host, id| host.try_dispatch_to(id, Frame::data("x")).unwrap().wait());
    check(|host, id| {
        let mut replies = host.try_dispatch_batch(id, vec![Frame::data("x")]).unwrap().wait();
        assert_eq!(replies.len(), 1);
        replies.remove(0)
    });
}

#[test]
fn a_core_plugin_that_panics_elsewhere_becomes_an_error_or_ends_all_the_same() {
    fn check(at: &'static str, loads: bool, reloads: bool) {
        let (bench, armed) = (Bench::new(), Arc::new(AtomicBool::new(!loads)));
        let loaded = bench.host.load(panicky(at, &armed)).wait();
        assert_eq!(loaded.is_ok(), loads, "{at}: {loaded:?}");
        let Ok(id) = loaded else {
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains(&format!("on purpose in {at}")), "{error}");
            return;
        };
        armed.store(true, SeqCst);
        let reloaded = bench.host.reload(id).wait();
        assert_eq!(reloaded.is_ok(), reloads, "{at}: {reloaded:?}");
        if let Err(error) = reloaded {
            let error = error.to_string();
            assert!(error.contains(&format!("on purpose in {at}")), "{error}");
        }
        armed.store(false, SeqCst);
        assert_eq!(bench.ask(id, "after"), "after", "{at}");
        armed.store(true, SeqCst);
        assert!(bench.host.unload(id), "{at}");
        // The instance is gone when its event says so, and the host goes on.
        let echo = bench.load("echo.wasm");
        assert_eq!(bench.ask(echo, "on"), "on", "{at}");
    }
    check("make", false, false);
    check("initialize", false, false);
    check("health", false, false);
    check("make", true, false);
    check("initialize", true, false);
    check("health", true, false);
    check("save_state", true, false);
    check("restore_state", true, false);
    check("cleanup", true, true);
    check("drop", true, true);
}

#[test]
fn hooks_wakers_and_sinks_that_panic_hold_nothing_up() {
    struct Hook;
    impl LifecycleHook for Hook {
        fn before(&self, _: &Transition) {
            panic!("on purpose before");
        }
        fn after(&self, _: &Transition) {
            panic!("on purpose after");
        }
    }
    struct Broken;
    impl Sink for Broken {
        fn record(&self, _: &Event) {
            panic!("on purpose in the sink");
        }
    }
    fn check(host: &Host) {
        let armed = Arc::new(AtomicBool::new(false));
        let id = host.load(panicky("process", &armed)).wait().unwrap();
        let frames = vec![Frame::data("a"), Frame::data("b")];
        let replies = host.try_dispatch_batch(id, frames.clone()).unwrap().wait();
        assert!(replies.iter().all(|reply| reply.outcome.is_completed()), "{replies:?}");
        assert!(host.call(id, &frames[0]).outcome.is_completed());
        host.wait_idle().wait();
        assert!(host.drain(id, Duration::from_secs(60)).wait().in_time);
    }
    let hooked = Bench::with(|builder| builder.hook(Hook));
    check(&hooked.host);
    let told = |event: &Event| match &event.what {
        What::Note { text, .. } => text.starts_with("a lifecycle hook panicked: on purpose"),
        _ => false,
    };
    assert!(hooked.events.events().iter().any(told), "it is an event");

    let woken = Bench::with(|builder| builder.wake(|| panic!("on purpose in the waker")));
    check(&woken.host);
    // The last event may be recorded on another thread, which wakes after it.
    let started = std::time::Instant::now();
    while woken.host.failed_wakes() != woken.events.events().len() as u64 {
        assert!(started.elapsed() < Duration::from_secs(60), "each event wakes");
        std::thread::yield_now();
    }

    let unheard = Host::builder().sink(Arc::new(Broken)).build().unwrap();
    check(&unheard);
    assert!(unheard.unheard_events() > 0);
}

#[test]
fn answers_that_panic_are_unavailable() {
    struct Broken(&'static str);
    impl Broken {
        fn pass(&self, here: &str) {
            assert!(self.0 != here, "on purpose in {here}");
        }
    }
    impl Answers for Broken {
        fn answer(&self, _: &Asked<'_>) -> Answered {
            self.pass("answer");
            Answered::ByHost
        }
        fn begin(&self, _: &str, _: &Frame) {
            self.pass("begin");
        }
        fn end(&self) {
            self.pass("end");
        }
    }
    /// Answers with what it got when it asked for the time.
    struct Asker;
    impl Plugin for Asker {
        fn process(
            &mut self,
            services: &mut dyn Services,
            _: &Frame,
        ) -> Result<Vec<Frame>, Failure> {
            let text = services.now().map_or_else(|error| error.to_string(), |_| "time".to_owned());
            Ok(vec![Frame::data(text)])
        }
    }
    fn check(at: &'static str, gets_the_time: bool) {
        let bench = Bench::new();
        let manifest = asking("asker", "now");
        let request = LoadRequest::core(manifest, || Box::new(Asker)).answers(Arc::new(Broken(at)));
        let id = bench.host.load(request).wait().unwrap();
        for _ in 0..2 {
            let ticket = bench.host.try_dispatch_to(id, Frame::data("?")).unwrap();
            let reply = ticket.wait();
            assert!(reply.outcome.is_completed(), "{at}: {:?}", reply.outcome);
            let text = String::from_utf8_lossy(&reply.frames[0].payload).into_owned();
            assert_eq!(text == "time", gets_the_time, "{at}: {text}");
        }
    }
    check("answer", false);
    check("begin", true);
    check("end", true);
}

#[test]
fn frames_that_reach_nobody_are_counted_and_said() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let to = |target: &str| {
        let header = Header::build().text(Header::TARGET, target).finish();
        Frame::new(glovebox_abi::Kind::DATA, header, "x")
    };
    let undelivered = || bench.host.dispatch_stats().undelivered;
    assert!(runtime.block_on(bench.host.dispatch(Frame::data("nobody is there"))).is_empty());
    assert_eq!(undelivered(), 1);
    let echo = bench.load("echo.wasm");
    assert!(runtime.block_on(bench.host.dispatch(to("ecco"))).is_empty());
    assert!(bench.host.try_dispatch(&to("ecco")).unwrap().is_empty());
    assert_eq!(undelivered(), 3);
    assert_eq!(runtime.block_on(bench.host.dispatch(to("echo"))).len(), 1);
    let other = Frame::new(glovebox_abi::Kind(0x99), Header::empty(), "x");
    assert!(runtime.block_on(bench.host.broadcast(other)).is_empty());
    assert_eq!(undelivered(), 4);
    assert!(bench.host.contains(echo));

    /// Emits to the plugin that the payload names.
    struct Caller;
    impl Plugin for Caller {
        fn process(
            &mut self,
            services: &mut dyn Services,
            frame: &Frame,
        ) -> Result<Vec<Frame>, Failure> {
            let target = std::str::from_utf8(&frame.payload).unwrap();
            let header = Header::build().text(Header::TARGET, target).finish();
            services.emit(&Frame::new(glovebox_abi::Kind::DATA, header, "x"))?;
            Ok(Vec::new())
        }
    }
    let id = bench
        .host
        .load(LoadRequest::core(asking("caller", "emit"), || Box::new(Caller)))
        .wait()
        .unwrap();
    assert!(bench.host.call(id, &Frame::data("ec\u{1b}co")).outcome.is_completed());
    assert_eq!(undelivered(), 5);
    let said = bench.events.events().into_iter().any(|event| match event.what {
        What::FramesDropped { frames: 1, reason } => reason == "no plugin `ec\\u{1b}co` is loaded",
        _ => false,
    });
    assert!(said);
}
