//! Measures how fast a trace is written, and the cost of recording to the calling thread.
//!
//! `cargo run --release -p glovebox-trace --example record_speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event, Outcome, Sink, Timing, What};
use glovebox_trace::{Recorder, RecorderOptions, TraceWriter};

const FRAMES: u64 = 2_000_000;
/// Time of one frame at 500,000 a second.
const PERIOD: Duration = Duration::from_micros(2);

#[allow(clippy::print_stdout, reason = "figures are what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let payloads: Vec<Frame> = (0..1000u32).map(payload).collect();
    let frame = |n: u64| payloads[n as usize % payloads.len()].clone();

    let mut writer = TraceWriter::create(folder.path().join("writer.mcap"), "0.1.0")?;
    let started = Instant::now();
    for n in 0..FRAMES {
        let call = CallId(n);
        writer.write(&event(n, What::FrameIn { call, frame: frame(n) }))?;
    }
    writer.flush()?;
    let writing = per_second(FRAMES, started.elapsed());
    writer.finish()?;
    println!("writer {writing:.0} frames/s");

    for frames_a_call in [1, 2] {
        let path = folder.path().join(format!("{frames_a_call}.mcap"));
        let recorder = Recorder::start(path, &RecorderOptions::default())?;
        // The cost of measuring itself.
        let nothing = paced(frames_a_call, frame, |_| {});
        let recording = paced(frames_a_call, frame, |event| recorder.record(event));
        let status = recorder.finish()?;
        let cost = recording.saturating_sub(nothing);
        println!(
            "{frames_a_call} frames a call: recording takes {:.1} ns a frame, {:.2} % of \
             {PERIOD:?}; {} events, {} dropped, peak {} KiB, held {} times for {:?}",
            cost.as_nanos() as f64 / FRAMES as f64,
            100.0 * cost.as_secs_f64() / (PERIOD * FRAMES as u32).as_secs_f64(),
            status.events,
            status.dropped,
            status.pressure.peak / 1024,
            status.pressure.held,
            status.pressure.held_for,
        );
    }
    Ok(())
}

/// Time spent in `record` for calls of one or two frames, at 500,000 frames a second.
fn paced(
    frames_a_call: u64,
    frame: impl Fn(u64) -> Frame,
    mut record: impl FnMut(&Event),
) -> Duration {
    let mut spent = Duration::ZERO;
    let started = Instant::now();
    for n in 0..FRAMES / frames_a_call {
        while started.elapsed() < PERIOD * (n * frames_a_call) as u32 {
            std::hint::spin_loop();
        }
        let (call, frame) = (CallId(n), frame(n));
        let ended = What::CallEnded {
            call,
            outcome: Outcome::Completed,
            timing: Timing::default(),
            bytes_in: 112,
            bytes_out: 112,
            frames_out: 1,
            memory: None,
        };
        let events = [
            event(3 * n, What::FrameIn { call, frame: frame.clone() }),
            event(3 * n + 1, What::FrameOut { call, index: 0, emitted: false, frame }),
            event(3 * n + 2, ended),
        ];
        let before = Instant::now();
        let count = if frames_a_call == 1 { 1 } else { 3 };
        for event in &events[..count] {
            record(black_box(event));
        }
        spent += before.elapsed();
    }
    spent
}

/// About 100 bytes of JSON.
fn payload(n: u32) -> Frame {
    let (customer, article) = (n * 7919 % 100, n * 31 % 1000);
    Frame::data(format!(
        r#"{{"order":{n},"customer":"customer-{customer}@example.org","items":[{{"article":{article},"count":2}}]}}"#
    ))
}

fn event(sequence: u64, what: What) -> Event {
    let at = 1_700_000_000_000_000_000 + sequence * 2000;
    Event { sequence, at, plugin: PLUGIN.with(Clone::clone), instance: 0, generation: 1, what }
}

thread_local! {
    static PLUGIN: std::sync::Arc<str> = "redact".into();
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
