//! Measures what reading a big trace costs:
//! `cargo run --release -p glovebox-inspector --example big_trace -- generate 10000000 big.mcap`,
//! then `… -- index big.mcap`, `… -- find big.mcap 'header.user.id=42'`,
//! `… -- select big.mcap 'header.user.id=42' out.mcap`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints and may stop")]

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use glovebox_inspector::search::{self, FrameWindows, Hit};
use glovebox_trace::{MadeUpRun, TraceIndex, TraceOutline, TraceWriter};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    match arguments[..] {
        ["generate", frames, path] => {
            let mut writer = TraceWriter::create(path, "0.1.0").unwrap();
            for event in MadeUpRun::new(frames.parse().unwrap(), 0) {
                writer.write(&event).unwrap();
            }
            writer.finish().unwrap();
        }
        ["index", path] => {
            let index = TraceIndex::build(path, &mut |_, _| {}, &AtomicBool::new(false)).unwrap();
            println!("{:?}", index.info());
        }
        ["open", path] => {
            let index = TraceIndex::open(path, &mut |_, _| {}, &AtomicBool::new(false)).unwrap();
            println!("{} frames", index.frames());
        }
        ["rows", path] => {
            let outline = TraceOutline::open(path).unwrap().unwrap();
            println!("{} frames, outlined in {:?}", outline.frames(), started.elapsed());
            let mut windows = FrameWindows::of_outline(path, &outline).unwrap();
            let first = windows.read(0..50).unwrap();
            println!("{:?} to the first {} rows", started.elapsed(), first.store.len());
            let (mut jumps, mut slowest) = (0, Duration::ZERO);
            for row in (0..outline.frames()).step_by(100_003) {
                let jump = Instant::now();
                windows.read(row..row + 50).unwrap();
                slowest = slowest.max(jump.elapsed());
                jumps += 1;
            }
            println!("{jumps} jumps, the slowest in {slowest:?}");
        }
        ["find", path, filter] => {
            let never = AtomicBool::new(false);
            let index = TraceIndex::open(path, &mut |_, _| {}, &never).unwrap();
            println!("{:?} to open", started.elapsed());
            let filter = filter.parse().unwrap();
            let started = Instant::now();
            let mut found = 0;
            let mut count = |hits: &[Hit]| found += hits.len();
            search::find(path, &index, &filter, &mut count, &|_, _| {}, &never).unwrap();
            let seconds = started.elapsed().as_secs_f64();
            let rate = index.frames() as f64 / seconds / 1e6;
            println!("{found} frames found in {seconds:.3} s, {rate:.2} million frames per second");
        }
        ["select", path, filter, out] => {
            let never = AtomicBool::new(false);
            let index = TraceIndex::open(path, &mut |_, _| {}, &never).unwrap();
            println!("{:?} to open", started.elapsed());
            let filter = filter.parse().unwrap();
            let report = search::select(path, &index, &filter, out, &|_, _| {}, &never).unwrap();
            println!("{report:?}");
        }
        _ => println!(
            "generate FRAMES TRACE, index TRACE, open TRACE, rows TRACE, find TRACE FILTER, \
             select TRACE FILTER OUT"
        ),
    }
    println!("{:?}", started.elapsed());
    memory();
}

fn memory() {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or(""));
    }
}
