//! Queues: bounded, in order, and a hung plugin delays nobody else.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use glovebox_abi::{Failure, Frame, Header, Kind, Manifest, Plugin, Services};
use glovebox_events::Phase;
use glovebox_host::{Host, InstanceId, LoadRequest, Refusal, Reply};
use glovebox_tests::Bench;

/// Answers a frame when somebody lets it.
struct Gated(Arc<gate::Gate>);

/// A gate from the standard library alone.
mod gate {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    #[derive(Default)]
    pub(super) struct Gate {
        open: Mutex<bool>,
        changed: Condvar,
        waiting: AtomicUsize,
    }

    impl Gate {
        pub(super) fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.changed.notify_all();
        }

        /// How many have come to the gate so far.
        pub(super) fn waiting(&self) -> usize {
            self.waiting.load(Ordering::SeqCst)
        }

        pub(super) fn pass(&self) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
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
    assert_eq!(refusal, Refusal::Full { plugin: "gate".to_owned(), limit: 3, ceiling: None });
    assert_eq!(tickets.len(), 3);
    assert_eq!(bench.ask(echo, "I go on"), "I go on");

    gate.open();
    for (number, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().frames[..], [Frame::data(format!("{number}"))]);
    }
}

/// A gated plugin, with so many copies and places in its queue.
fn gated(bench: &Bench, copies: u32, queue: u32) -> (InstanceId, Arc<gate::Gate>) {
    let gate = Arc::new(gate::Gate::default());
    let mut manifest = Manifest::bare("gate");
    manifest.runtime.instances = copies;
    manifest.limits.queue = queue;
    let shared = gate.clone();
    let request = LoadRequest::core(manifest, move || Box::new(Gated(shared.clone())));
    (bench.host.load(request).wait().unwrap(), gate)
}

fn from(source: &str, text: &str) -> Frame {
    let header = Header::build().text(Header::SOURCE, source).finish();
    Frame::new(Kind::DATA, header, text.to_owned())
}

#[test]
fn copies_work_side_by_side_and_sources_stay_in_order() {
    /// Remembers which copy got what, in order.
    struct Scribe(usize, Arc<Mutex<Vec<(usize, Frame)>>>);
    impl Plugin for Scribe {
        fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
            self.1.lock().unwrap().push((self.0, frame.clone()));
            Ok(Vec::new())
        }
    }
    let bench = Bench::new();
    let (written, made) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let mut manifest = Manifest::bare("scribe");
    manifest.runtime.instances = 4;
    let shared = written.clone();
    let request = LoadRequest::core(manifest, move || {
        Box::new(Scribe(made.fetch_add(1, Ordering::SeqCst), shared.clone()))
    });
    let id = bench.host.load(request).wait().unwrap();
    let send = |frame| bench.host.try_dispatch_to(id, frame).unwrap();
    let sources = ["a", "b", "c", "d", "e"];
    let tickets: Vec<_> = (0..500)
        .map(|number| send(from(sources[number % 5], &number.to_string())))
        .chain((0..8).map(|_| send(Frame::data("no source"))))
        .collect();
    assert!(tickets.into_iter().all(|ticket| ticket.wait().outcome.is_completed()));
    let written = written.lock().unwrap();
    for source in sources {
        let of_source = written
            .iter()
            .filter(|(_, frame)| frame.header.get_text(Header::SOURCE).as_deref() == Some(source));
        let numbers: Vec<usize> = of_source
            .clone()
            .map(|(_, frame)| std::str::from_utf8(&frame.payload).unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted() && numbers.len() == 100, "{source}: {numbers:?}");
        let copies: HashSet<usize> = of_source.map(|(copy, _)| *copy).collect();
        assert_eq!(copies.len(), 1, "{source} has one copy");
    }
    let mut alone: Vec<usize> = written
        .iter()
        .filter(|(_, frame)| frame.header.as_bytes().is_empty())
        .map(|(copy, _)| *copy)
        .collect();
    alone.sort();
    assert_eq!(alone, [0, 0, 1, 1, 2, 2, 3, 3], "frames without a source take turns");
    assert_eq!(bench.host.plugin(id).unwrap().stats.processed, 508);
}

#[test]
fn direct_calls_use_all_copies() {
    let bench = Bench::new();
    let (id, gate) = gated(&bench, 3, 8);
    std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..3).map(|_| scope.spawn(|| bench.host.call(id, &Frame::data("x")))).collect();
        // All three are inside at the same time, or this never ends.
        while gate.waiting() < 3 {
            std::thread::yield_now();
        }
        gate.open();
        assert!(calls.into_iter().all(|call| call.join().unwrap().outcome.is_completed()));
    });
}

#[test]
fn a_batch_is_answered_in_order_or_refused_as_a_whole() {
    let bench = Bench::new();
    let (id, gate) = gated(&bench, 1, 4);
    gate.open();
    let frames = |count: usize| (0..count).map(|n| Frame::data(n.to_string())).collect::<Vec<_>>();
    let texts = |replies: Vec<Reply>| -> Vec<Frame> {
        replies.into_iter().flat_map(|reply| reply.frames).collect()
    };
    let batch = bench.host.try_dispatch_batch(id, frames(4)).unwrap();
    assert_eq!(texts(batch.wait()), frames(4));
    let refusal = bench.host.try_dispatch_batch(id, frames(5)).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::TooMany { plugin: "gate".to_owned(), frames: 5, limit: 4, ceiling: None },
        "more than the queue ever holds"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let replies = runtime.block_on(bench.host.dispatch_batch(id, frames(11)));
    assert_eq!(texts(replies), frames(11), "waiting, it goes in pieces");
    let stats = bench.host.dispatch_stats();
    assert_eq!((stats.loaded, stats.dispatched, stats.refused, stats.errors), (1, 15, 1, 0));
}

#[test]
fn draining_finishes_what_waits_and_takes_nothing_new() {
    let check = |open: bool, deadline: u64, expected: (u64, u64, bool)| {
        let bench = Bench::new();
        let (id, gate) = gated(&bench, 1, 8);
        let tickets: Vec<_> =
            (0..4).map(|_| bench.host.try_dispatch_to(id, Frame::data("x")).unwrap()).collect();
        while gate.waiting() < 1 {
            std::thread::yield_now();
        }
        let mut drained = bench.host.drain(id, Duration::from_millis(deadline));
        while bench.host.plugin(id).is_some_and(|status| status.phase != Phase::Draining) {
            std::thread::yield_now();
        }
        let refused = bench.host.try_dispatch_to(id, Frame::data("x"));
        assert!(matches!(refused, Err(Refusal::Draining { .. } | Refusal::Gone)));
        let late = bench.host.call(id, &Frame::data("x")).outcome.to_string();
        assert!(late.contains("draining") || late.contains("no such instance"), "{late}");
        if open {
            gate.open();
        }
        let result = loop {
            match drained.try_take() {
                Some(result) => break result,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!((result.processed, result.refused, result.in_time), expected);
        gate.open();
        let ended = tickets.into_iter().map(|ticket| ticket.wait().outcome.is_completed());
        let completed = ended.filter(|completed| *completed).count() as u64;
        assert_eq!(completed, if open { 4 } else { 1 });
        while !bench.host.plugins().is_empty() {
            std::thread::yield_now();
        }
    };
    check(true, 60_000, (4, 0, true));
    check(false, 50, (0, 3, false));
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

/// Sends each frame on with `emit`, as if another one had done so.
struct Relay;

impl Plugin for Relay {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let header = Header::build().text(Header::SOURCE, "victim").finish();
        services.emit(&Frame::new(Kind::DATA, header, frame.payload.clone()))?;
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
    let heard = (0..8).map(|_| receiver.recv_timeout(Duration::from_secs(60)).unwrap());
    let sources = heard.map(|frame| {
        assert_eq!(frame.payload, "psst");
        frame.header.get_text(Header::SOURCE).unwrap()
    });
    let mut sources: Vec<String> = sources.collect();
    sources.sort();
    assert_eq!(sources, [vec!["first"; 4], vec!["second"; 4]].concat());
    assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
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
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
}

/// Notes how many calls are under way at once, and waits until so many are.
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    meeting: Arc<Barrier>,
}

impl Plugin for Crowd {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.meeting.wait();
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(Vec::new())
    }
}

#[test]
fn no_more_threads_are_busy_than_the_host_may_have() {
    fn check(threads: usize, calls_of_each: usize) {
        let bench = Bench::with(|builder| builder.threads(NonZeroUsize::new(threads).unwrap()));
        let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let meeting = Arc::new(Barrier::new(threads));
        let load = |number| {
            let (now, most, meeting) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&meeting));
            let make = move || -> Box<dyn Plugin> {
                let (now, most, meeting) = (now.clone(), most.clone(), meeting.clone());
                Box::new(Crowd { now, most, meeting })
            };
            let manifest = Manifest::bare(&format!("crowd-{number}"));
            bench.host.load(LoadRequest::core(manifest, make)).wait().unwrap()
        };
        let instances: Vec<InstanceId> = (0..threads * calls_of_each).map(load).collect();
        let send = |id| bench.host.try_dispatch_to(id, Frame::data("")).unwrap();
        let tickets: Vec<_> = instances.into_iter().map(send).collect();
        assert!(tickets.into_iter().all(|ticket| ticket.wait().outcome.is_completed()));
        assert_eq!(most.load(Ordering::SeqCst), threads);
    }
    check(1, 3);
    check(2, 4);
    check(5, 2);
}
