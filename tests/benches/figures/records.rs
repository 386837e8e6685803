//! What recording costs the thread of a plugin, and how fast a trace is written.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event, Sink, What};
use glovebox_inspector::trace::{Recorder, RecorderOptions, TraceWriter};

use crate::figure::Figures;

const FRAMES: u32 = 1_000_000;
/// Time of one frame at 500,000 a second.
const PERIOD: Duration = Duration::from_micros(2);

pub(crate) fn run(figures: &mut Figures) {
    if figures.wants("record-cost") {
        record_cost(figures);
    }
    if figures.wants("writer-frames-per-second") {
        writer(figures);
    }
}

/// The time of a frame with recording, as a multiple of the time without.
fn record_cost(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.mcap");
    let recorder = Recorder::start(path, &RecorderOptions::default()).expect("it is empty");
    // What measuring costs by itself.
    let nothing = paced(|_| {});
    let recording = paced(|event| recorder.record(event));
    let status = recorder.finish().expect("there is space");
    assert_eq!((status.events, status.dropped), (u64::from(FRAMES), 0));
    let path = (PERIOD * FRAMES).as_secs_f64();
    let cost = 1.0 + recording.saturating_sub(nothing).as_secs_f64() / path;
    let period = PERIOD.as_nanos() as f64;
    figures.add("record-cost", cost, "x", ("frame-without-recording-ns", period), 1.05);
}

fn writer(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = events();
    let started = Instant::now();
    let mut writer =
        TraceWriter::create(folder.path().join("a.mcap"), "0.1.0").expect("it is empty");
    for number in 0..FRAMES {
        writer.write(&events[number as usize % events.len()]).expect("there is space");
    }
    writer.flush().expect("there is space");
    let value = f64::from(FRAMES) / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let file = File::create(folder.path().join("plain")).expect("it is empty");
    let mut plain = BufWriter::with_capacity(256 << 10, file);
    for number in 0..FRAMES {
        let What::FrameIn { frame, .. } = &events[number as usize % events.len()].what else {
            continue;
        };
        plain.write_all(&frame.to_bytes()).expect("there is space");
    }
    plain.flush().expect("there is space");
    let baseline = f64::from(FRAMES) / started.elapsed().as_secs_f64();
    let baseline = ("frames-into-a-plain-file-per-s", baseline);
    figures.add_at_least("writer-frames-per-second", value, "per-s", baseline, 1e6);
}

/// Time spent in `record`, at 500,000 frames a second.
fn paced(mut record: impl FnMut(&Event)) -> Duration {
    let events = events();
    let mut spent = Duration::ZERO;
    let started = Instant::now();
    for number in 0..FRAMES {
        while started.elapsed() < PERIOD * number {
            std::hint::spin_loop();
        }
        let before = Instant::now();
        record(black_box(&events[number as usize % events.len()]));
        spent += before.elapsed();
    }
    spent
}

/// Inputs of about 100 bytes of JSON.
fn events() -> Vec<Event> {
    let plugin: Arc<str> = "redact".into();
    let event = |number: u64| {
        let customer = number * 7919 % 100;
        let payload = format!(
            r#"{{"order":{number},"customer":"customer-{customer}@example.org","items":[{{"article":{},"count":2}}]}}"#,
            number * 31 % 1000
        );
        Event {
            sequence: number,
            at: 1_700_000_000_000_000_000 + number * 2000,
            plugin: plugin.clone(),
            instance: 0,
            generation: 1,
            what: What::FrameIn { call: CallId(number), frame: Frame::data(payload) },
        }
    };
    (0..1000).map(event).collect()
}
