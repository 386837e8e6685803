//! Trying a filter on frames as they stand in a trace.

use std::hint::black_box;
use std::time::Instant;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_inspector::filter::{Filter, Subject};
use glovebox_trace::Statuses;

use crate::figure::{Figures, pair};

/// Frames in memory.
const FRAMES: i128 = 100_000;
/// Frames that are looked at, all passes together.
const LOOKED_AT: usize = 10_000_000;

pub(crate) fn run(figures: &mut Figures) {
    let names = ["filter-header-field", "filter-frames-per-second"];
    if !names.iter().any(|name| figures.wants(name)) {
        return;
    }
    let frames: Vec<Frame> = (0..FRAMES).map(frame).collect();
    let filter = Filter::parse("header.user.id=42").expect("it is a filter");
    if figures.wants(names[0]) {
        let (mut here, mut there) = (frames.iter().cycle(), frames.iter().cycle());
        let (value, baseline) = pair(
            || {
                let frame = here.next().expect("it goes round");
                black_box(filter.matches(&subject(frame)));
            },
            || {
                let frame = there.next().expect("it goes round");
                let user = frame.header.get("user");
                black_box(
                    matches!(user, Some(Value::Map(user)) if user[0].1 == Value::Integer(42)),
                );
            },
        );
        figures.add(names[0], value, "ns", ("header-decoded-ns", baseline), 1.0);
    }
    if figures.wants(names[1]) {
        let filter = Filter::parse("latency>5ms and header.user.id=42").expect("it is a filter");
        let one = per_second(&frames, &filter, 1);
        let two = per_second(&frames, &filter, 2);
        figures.add_at_least(names[1], two, "per-s", ("one-thread-per-s", one), 1.6);
    }
}

fn frame(number: i128) -> Frame {
    let user = vec![
        (Value::Text("id".into()), Value::Integer(number % 100)),
        (Value::Text("name".into()), Value::Text("Ann".into())),
    ];
    let header = Header::build()
        .text(Header::ID, format!("Q-{number}"))
        .text(Header::CONTENT_TYPE, "application/json")
        .value("user", Value::Map(user))
        .finish();
    Frame::new(Kind::DATA, header, vec![b'x'; 64])
}

/// A frame of a call that took 9 ms, so that both conditions are tried.
fn subject(frame: &Frame) -> Subject<'_> {
    Subject {
        plugin: "redact",
        status: Statuses::COMPLETED,
        latency: Some(std::time::Duration::from_millis(9)),
        ..Subject::of_frame(frame)
    }
}

/// Frames per second through threads that each have a part of the frames and a clone of the filter.
fn per_second(frames: &[Frame], filter: &Filter, threads: usize) -> f64 {
    let passes = LOOKED_AT / frames.len();
    let started = Instant::now();
    let found: usize = std::thread::scope(|scope| {
        let parts = frames.chunks(frames.len().div_ceil(threads));
        let start = |part| {
            let filter = filter.clone();
            scope.spawn(move || {
                let look = |_| part_matches(part, &filter);
                (0..passes).map(look).sum::<usize>()
            })
        };
        let running: Vec<_> = parts.map(start).collect();
        running.into_iter().map(|thread| thread.join().expect("it only looks")).sum()
    });
    assert_eq!(found, LOOKED_AT / 100, "one frame in a hundred matches");
    LOOKED_AT as f64 / started.elapsed().as_secs_f64()
}

fn part_matches(part: &[Frame], filter: &Filter) -> usize {
    part.iter().filter(|frame| filter.matches(&subject(frame))).count()
}
