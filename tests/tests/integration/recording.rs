//! Recordings while plugins run, and sinks that must not harm them.

use std::sync::Arc;

use glovebox_abi::Frame;
use glovebox_events::{Event, Outcome, Sink, What};
use glovebox_host::{Host, InstanceId};
use glovebox_tests::{patiently, root};
use glovebox_trace::{Recorder, RecorderOptions};

#[path = "../../fuzz/bodies/read_trace.rs"]
mod body;

fn load(host: &Host) -> InstanceId {
    host.load(patiently("misbehave.frame-abi.wasm")).wait().unwrap()
}

#[test]
fn a_sink_that_panics_does_not_reach_the_host() {
    struct Broken;
    impl Sink for Broken {
        fn record(&self, event: &Event) {
            panic!("no room for event {}", event.sequence);
        }
    }
    let host = Host::builder().sink(Arc::new(Broken)).build().unwrap();
    let id = load(&host);
    let loading = host.unheard_events();
    for count in 1..=3 {
        let reply = host.call(id, &Frame::data("hello"));
        assert_eq!((reply.outcome, reply.frames.len()), (Outcome::Completed, 1));
        // In, out, and the end.
        assert_eq!(host.unheard_events(), loading + 3 * count);
    }
}

/// Every frame is in the file before the plugin sees it, and a crash is on the disk at once.
#[test]
fn what_a_plugin_crashed_on_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mcap");
    let recorder = Arc::new(Recorder::start(&path, &RecorderOptions::default()).unwrap());
    let host = Host::builder().sink(Arc::clone(&recorder) as Arc<dyn Sink>).build().unwrap();
    let id = load(&host);
    let sent = ["one", "mode=trap", "two"].map(Frame::data);
    for frame in &sent {
        host.call(id, frame);
    }
    drop(host);
    let status = recorder.finish().unwrap();
    assert_eq!((status.dropped, status.synced), (0, status.events));
    let events = glovebox_trace::read(&path).unwrap().events;
    let inputs = events.iter().filter_map(|event| match &event.what {
        What::FrameIn { frame, .. } => Some(frame.clone()),
        _ => None,
    });
    assert_eq!(inputs.collect::<Vec<_>>(), sent);
    let fatal = |event: &Event| matches!(&event.what, What::CallEnded { outcome, .. } if outcome.is_fatal());
    assert!(events.iter().any(fatal), "{events:?}");
}

#[test]
fn seeds_of_the_fuzz_target_are_read() {
    let mut seeds = 0;
    for entry in std::fs::read_dir(root().join("tests/fuzz/seeds/read_trace")).unwrap() {
        body::read_trace(&std::fs::read(entry.unwrap().path()).unwrap());
        seeds += 1;
    }
    assert!(seeds >= 8, "{seeds} seeds");
}
