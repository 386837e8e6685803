//! Measures what reading a big trace costs:
//! `cargo run --release -p glovebox-inspector --example big_trace -- generate 10000000 big.mcap`,
//! then `… -- index big.mcap`, `… -- find big.mcap 'header.user.id=42'`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints and may stop")]

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use glovebox_inspector::trace::{MadeUpRun, TraceIndex, TraceWriter};

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
        _ => println!("generate FRAMES TRACE, index TRACE"),
    }
    println!("{:?}", started.elapsed());
    memory();
}

fn memory() {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or(""));
    }
}
