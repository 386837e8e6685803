//! Frames that wait, and frames that plugins emit: each is answered, or counted as dropped.

use super::*;

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
