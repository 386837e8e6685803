//! Searching a trace in a file, from its index to the rows that match, on all cores.
//!
//! The trace here has a million frames, so that the bench stays short. For ten million:
//!
//! ```text
//! cargo build --release -p glovebox-inspector --example big_trace
//! target/release/examples/big_trace generate 10000000 big.mcap
//! target/release/examples/big_trace open big.mcap
//! target/release/examples/big_trace find big.mcap 'header.user.id=42'
//! ```

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use glovebox_inspector::filter::Filter;
use glovebox_inspector::search::{self, Hit};
use glovebox_trace::{MadeUpRun, TraceIndex, TraceWriter};

use crate::figure::{Figures, pair_once};

const FRAMES: u64 = 1_000_000;
const ROUNDS: usize = 5;

pub(crate) fn run(figures: &mut Figures) {
    let searches = [
        ("search-header", "header.user.id=42"),
        ("search-latency-and-header", "latency>5ms and header.user.id=42"),
    ];
    let selection = "search-and-write";
    let is_wanted = |name: &str| figures.wants(name);
    if !searches.iter().any(|(name, _)| is_wanted(name)) && !is_wanted(selection) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("it is empty");
    for event in MadeUpRun::new(FRAMES, 0) {
        writer.write(&event).expect("there is space");
    }
    writer.finish().expect("there is space");
    let never = AtomicBool::new(false);
    let index = TraceIndex::build(&path, &mut |_, _| {}, &never).expect("it is a trace");
    for (name, text) in searches {
        if !figures.wants(name) {
            continue;
        }
        let filter = Filter::parse(text).expect("it is a filter");
        let mut found = 0;
        let mut count = |hits: &[Hit]| found += hits.len();
        let mut search = || {
            search::find(&path, &index, &filter, &mut count, &|_, _| {}, &never)
                .expect("it can be read");
        };
        let times = pair_once(ROUNDS, &mut search, || decompress(&path));
        report(figures, name, times, 3.0);
        assert!(found > 0, "{text}");
    }
    if figures.wants(selection) {
        let filter = Filter::parse("header.user.id=42").expect("it is a filter");
        let out = folder.path().join("out.mcap");
        let select = || {
            search::select(&path, &index, &filter, &out, &|_, _| {}, &never)
                .expect("there is space");
            std::fs::remove_file(&out).expect("it was written");
        };
        let times = pair_once(ROUNDS, select, || decompress(&path));
        report(figures, selection, times, 1.5);
    }
}

fn report(figures: &mut Figures, name: &str, (value, baseline): (f64, f64), target: f64) {
    let per_second = |millis: f64| FRAMES as f64 * 1e3 / millis;
    let baseline = ("decompressed-and-checked-on-one-core-per-s", per_second(baseline));
    figures.add_at_least(name, per_second(value), "per-s", baseline, target);
}

/// All chunks, by the MCAP library, which checks their CRCs; nobody looks at the messages.
fn decompress(path: &Path) {
    let bytes = std::fs::read(path).expect("it was written");
    let options = mcap::read::Options::ValidateChunkCrcs.into();
    let messages = mcap::read::RawMessageStream::new_with_options(&bytes, options);
    let messages = messages.expect("it is MCAP");
    messages.for_each(|message| drop(black_box(message.expect("it is good"))));
}
