//! Makes a big trace: `cargo run --release --example big_trace -- 10000000 big.mcap`.
use std::time::Instant;
use glovebox_inspector::trace::{MadeUpRun, TraceWriter};
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[0][..] {
        "generate" => {
            let started = Instant::now();
            let mut writer = TraceWriter::create(&args[2], "0.1.0").unwrap();
            for event in MadeUpRun::new(args[1].parse().unwrap(), 0) { writer.write(&event).unwrap(); }
            writer.finish().unwrap();
            println!("{:?} {} bytes", started.elapsed(), std::fs::metadata(&args[2]).unwrap().len());
        }
        _ => {}
    }
}
