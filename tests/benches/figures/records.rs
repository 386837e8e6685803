//! The cost of recording to the thread of a plugin, and the speed of writing a trace.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event, Sink, What};
use glovebox_trace::{MadeUpRun, Recorder, RecorderOptions, TraceWriter};

use crate::figure::{Figures, pair_once_here};

const FRAMES: u32 = 1_000_000;
const ROUNDS: usize = 5;
/// Time of one frame at 500,000 a second.
const PERIOD: Duration = Duration::from_micros(2);

pub(crate) fn run(figures: &mut Figures) {
    if figures.wants("record-cost") {
        record_cost(figures);
    }
    if figures.wants("writer-frames-per-second") {
        writer(figures);
    }
    if figures.wants("writer-over-the-library") {
        over_the_library(figures);
    }
    if figures.wants("writer-index-cost") {
        index_cost(figures);
    }
}

/// The time of a frame with recording, as a multiple of the time without.
fn record_cost(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.mcap");
    let recorder = Recorder::start(path, &RecorderOptions::default()).expect("it is empty");
    // The cost of measuring itself.
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
    let trace = || write(folder.path(), &events);
    let plain = || {
        let file = File::create(folder.path().join("plain")).expect("there is space");
        let mut plain = BufWriter::with_capacity(256 << 10, file);
        for number in 0..FRAMES {
            let What::FrameIn { frame, .. } = &events[number as usize % events.len()].what else {
                continue;
            };
            plain.write_all(&frame.to_bytes()).expect("there is space");
        }
        plain.flush().expect("there is space");
    };
    let (value, baseline) = pair_once_here(ROUNDS, trace, plain);
    let baseline = ("frames-into-a-plain-file-per-s", per_second(baseline));
    figures.add_at_least("writer-frames-per-second", per_second(value), "per-s", baseline, 0.25);
}

fn per_second(millis: f64) -> f64 {
    f64::from(FRAMES) * 1e3 / millis
}

/// Writes these events again and again, and removes what was written.
fn write(folder: &Path, events: &[Event]) {
    let path = folder.join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("it is empty");
    for number in 0..FRAMES {
        writer.write(&events[number as usize % events.len()]).expect("there is space");
    }
    writer.flush().expect("there is space");
    writer.discard().expect("it was written");
}

/// The time of writing a run with calls, answers and headers, of which an index is made meanwhile,
/// beside the same without an index.
fn index_cost(figures: &mut Figures) {
    const FRAMES: u64 = 200_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events: Vec<Event> = MadeUpRun::new(FRAMES, 0).collect();
    let path = folder.path().join("a.mcap");
    let write = |is_indexed: bool| {
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("it is empty");
        if !is_indexed {
            writer.leave_out_index();
        }
        events.iter().for_each(|event| writer.write(event).expect("there is space"));
        // Not finished: to wait for the disk would be most of the time.
        writer.flush().expect("there is space");
        writer.discard().expect("it was written");
    };
    let (value, baseline) = pair_once_here(11, || write(true), || write(false));
    figures.add("writer-index-cost", value, "ms", ("without-an-index-ms", baseline), 1.01);
}

/// Our own container, beside the MCAP library given the same messages for the same chunks. This is why
/// there is an own one.
fn over_the_library(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = events();
    let ours = || write(folder.path(), &events);
    // The cost of making the lines is left out: the library is given them.
    let line = [b'x'; 130];
    let theirs = || {
        let file = File::create(folder.path().join("b.mcap")).expect("there is space");
        let options = mcap::WriteOptions::new()
            .compression(Some(mcap::Compression::Lz4))
            .chunk_size(Some(256 << 10));
        let mut writer = options.create(BufWriter::new(file)).expect("there is space");
        let mut channel = |topic: &str| {
            writer.add_channel(0, topic, "json", &Default::default()).expect("there are few")
        };
        let (lines, bodies) = (channel("/workbench/events"), channel("/plugin/redact/in"));
        for number in 0..FRAMES {
            let event = &events[number as usize % events.len()];
            let What::FrameIn { frame, .. } = &event.what else {
                continue;
            };
            for (channel_id, data) in [(lines, &line[..]), (bodies, &frame.to_bytes())] {
                let header = mcap::records::MessageHeader {
                    channel_id,
                    sequence: number,
                    log_time: event.at,
                    publish_time: event.at,
                };
                writer.write_to_known_channel(&header, data).expect("there is space");
            }
        }
        writer.finish().expect("there is space");
    };
    let (ours, theirs) = pair_once_here(ROUNDS, ours, theirs);
    let baseline = ("the-library-without-making-lines-per-s", per_second(theirs));
    figures.add_at_least("writer-over-the-library", per_second(ours), "per-s", baseline, 1.5);
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
