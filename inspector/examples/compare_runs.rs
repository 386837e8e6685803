//! Compares two made-up runs and prints the time and the memory that it took: `cargo run --release
//! -p glovebox-inspector --example compare_runs -- [FRAMES] [CASE]`.
//!
//! Half of the frames are inputs, half are outputs. Cases: `same` (but for one call in a thousand),
//! `stamped` (every output has another time stamp), `inserted` (every hundredth call is new),
//! `repeated` (ten different inputs, again and again, every hundredth call is new).
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::{CallId, Event, Outcome, Timing, What};
use glovebox_inspector::diff::{DiffOptions, Run, diff};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let frames = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000_u64);
    let case = arguments.next().unwrap_or_else(|| "same".to_owned());
    let started = Instant::now();
    let before = Arc::new(Run::from_events("before", events(frames / 2, &case, false)));
    let after = Arc::new(Run::from_events("after", events(frames / 2, &case, true)));
    println!("collected both in {:?}", started.elapsed());
    let started = Instant::now();
    let found = diff(before, after, &DiffOptions::default());
    println!("compared in {:?}: {}", started.elapsed(), found.summary());
    for group in found.groups.iter().take(3) {
        println!("{} {}", group.id, group.title());
    }
    // The system's own count, where it has one.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{peak}");
}

/// The events of a run with so many calls, one by one.
fn events(calls: u64, case: &str, is_after: bool) -> impl Iterator<Item = Event> {
    let plugin: Arc<str> = "redact".into();
    let inserts = is_after && matches!(case, "inserted" | "repeated");
    let repeated = case == "repeated";
    let stamped = case == "stamped" && is_after;
    let changed = is_after && !stamped;
    (0..calls).flat_map(move |number| {
        let is_new = inserts && number % 100 == 50;
        let shown = if repeated { number % 10 } else { number };
        let input = match is_new {
            true => format!(r#"{{"inserted":{number}}}"#),
            false => format!(
                r#"{{"order":{shown},"user":{{"name":"user {}","mail":"u{shown}@example.org"}}}}"#,
                shown % 1000
            ),
        };
        let stamp = if stamped { number + 7 } else { number };
        let total = if changed && number % 1000 == 500 { 1 } else { 0 };
        let output = format!(
            r#"{{"order":{shown},"meta":{{"ts":{stamp}}},"mail":"[redacted]","total":{total}}}"#
        );
        let header = Header::build().integer("user", shown).finish();
        let call = CallId(number + 1);
        let frame = |text: String| Frame::new(Kind::DATA, header.clone(), text);
        let timing =
            Timing { guest: Duration::from_nanos(9000 + number % 977), ..Timing::default() };
        let all = [
            What::FrameIn { call, frame: frame(input) },
            What::FrameOut { call, index: 0, emitted: false, frame: frame(output) },
            What::CallEnded {
                call,
                outcome: Outcome::Completed,
                timing,
                bytes_in: 0,
                bytes_out: 0,
                frames_out: 1,
                memory: None,
            },
        ];
        let plugin = plugin.clone();
        all.into_iter().map(move |what| Event {
            sequence: 0,
            at: number,
            plugin: plugin.clone(),
            instance: 1,
            generation: 1,
            what,
        })
    })
}
