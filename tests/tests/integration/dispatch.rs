//! Queues: bounded, in order, and a hung plugin delays nobody else.

use std::sync::Arc;
use std::sync::mpsc;

use glovebox_abi::{Failure, Frame, Header, Manifest, Plugin, Services};
use glovebox_host::{Host, LoadRequest, Refusal};
use glovebox_tests::Bench;

/// Answers a frame when somebody lets it.
struct Gated(Arc<gate::Gate>);

/// A gate from the standard library alone.
mod gate {
    use std::sync::{Condvar, Mutex};

    #[derive(Default)]
    pub(super) struct Gate {
        open: Mutex<bool>,
        changed: Condvar,
    }

    impl Gate {
        pub(super) fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.changed.notify_all();
        }

        pub(super) fn pass(&self) {
            let open = self.open.lock().unwrap();
            drop(self.changed.wait_while(open, |open| !*open).unwrap());
        }
    }
}

impl Plugin for Gated {
    fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        self.0.pass();
        Ok(vec![frame.clone()])
    }
}

#[test]
fn a_full_queue_refuses_and_a_hung_plugin_delays_nobody() {
    let bench = Bench::new();
    let gate = Arc::new(gate::Gate::default());
    let mut manifest = Manifest::bare("gate");
    manifest.limits.queue = 3;
    let shared = gate.clone();
    let request = LoadRequest::core(manifest, move || Box::new(Gated(shared.clone())));
    let hung = bench.host.load(request).wait().unwrap();
    let echo = bench.load("echo.wasm");

    let mut tickets = Vec::new();
    let refusal = loop {
        match bench.host.try_dispatch_to(hung, Frame::data(format!("{}", tickets.len()))) {
            Ok(ticket) => tickets.push(ticket),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, Refusal::Full { plugin: "gate".to_owned(), limit: 3 });
    assert_eq!(tickets.len(), 3);
    assert_eq!(bench.ask(echo, "I go on"), "I go on");

    gate.open();
    for (number, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().frames[..], [Frame::data(format!("{number}"))]);
    }
}

#[test]
fn frames_are_routed_by_target_and_kind() {
    let bench = Bench::new();
    let echo = bench.load("echo.wasm");
    let redact = bench.load("redact.wasm");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let to_all = bench.host.dispatch(Frame::data("x")).await;
        let mut ids: Vec<_> = to_all.iter().map(|(id, _)| *id).collect();
        ids.sort();
        assert_eq!(ids, [echo, redact]);
        let header = Header::build().text(Header::TARGET, "redact").finish();
        let frame = Frame::new(glovebox_abi::Kind::DATA, header, "x");
        let to_one = bench.host.dispatch(frame).await;
        assert_eq!(to_one.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [redact]);
    });
}

/// Sends each frame on under another name, with `emit`.
struct Relay;

impl Plugin for Relay {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        services.emit(&Frame::data(frame.payload.clone()))?;
        Ok(Vec::new())
    }
}

#[test]
fn emitted_frames_reach_others_and_loops_end() {
    struct Ear(mpsc::SyncSender<Frame>);
    impl Plugin for Ear {
        fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
            self.0.send(frame.clone()).map_err(|_| Failure::invalid("nobody listens"))?;
            Ok(Vec::new())
        }
    }
    let host = Host::builder().build().unwrap();
    let (sender, receiver) = mpsc::sync_channel(64);
    let relay = |name: &str| {
        let mut manifest = Manifest::bare(name);
        manifest.permissions.insert(glovebox_abi::Permission::Emit, true);
        LoadRequest::core(manifest, || Box::new(Relay))
    };
    let first = host.load(relay("first")).wait().unwrap();
    host.load(relay("second")).wait().unwrap();
    let ear = LoadRequest::core(Manifest::bare("ear"), move || Box::new(Ear(sender.clone())));
    host.load(ear).wait().unwrap();
    host.call(first, &Frame::data("psst"));
    // first → second → first → …: each hop is heard once, and the eighth is the last.
    for _ in 0..8 {
        let heard = receiver.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(heard, Frame::data("psst"));
    }
    assert!(receiver.recv_timeout(std::time::Duration::from_millis(100)).is_err());
}

#[test]
fn instances_end_with_their_host() {
    struct Last(mpsc::SyncSender<()>);
    impl Plugin for Last {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(Vec::new())
        }
        fn cleanup(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (sender, receiver) = mpsc::sync_channel(4);
    let host = Host::builder().build().unwrap();
    let request = LoadRequest::core(Manifest::bare("last"), move || Box::new(Last(sender.clone())));
    host.load(request).wait().unwrap();
    drop(host);
    receiver.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
}
