//! A trace of ten million frames: opening it, jumping to any row, what is in it, and the first filter.
//!
//! The baselines are what any reader must do: parse the summary at the end, decompress the chunk that is
//! shown, and look at every byte once before an index of it is believed.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use glovebox_inspector::filter::Filter;
use glovebox_inspector::search::{self, FrameWindows, Hit};
use glovebox_trace::{MadeUpRun, TraceIndex, TraceOutline, TraceWriter};
use mcap::records::{ChunkIndex, Record};

use crate::figure::{Figures, median};

pub(crate) const NAMES: [&str; 5] = [
    "trace-first-rows",
    "trace-jump",
    "trace-reading-memory",
    "trace-info-first",
    "trace-filter-first",
];
const FRAMES: u64 = 10_000_000;
/// Rows that a window shows.
const SCREEN: u64 = 50;
const OPENINGS: usize = 11;
const JUMPS: u64 = 200;
/// The length of the end of an MCAP file: the record of the footer, and the magic.
const FOOTER: i64 = 9 + 20 + 8;

pub(crate) fn run(figures: &mut Figures) {
    let folder = tempfile::tempdir().expect("a folder for the trace");
    let path = folder.path().join("big.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    MadeUpRun::new(FRAMES, 0).for_each(|event| writer.write(&event).expect("there is space"));
    writer.finish().expect("there is space");

    let has_peak = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let (mut opened, mut parsed, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        opened.push(milliseconds(|| drop(open(&path))));
        told.push(milliseconds(|| {
            let info = TraceIndex::summary(&path).expect("it can be read");
            assert_eq!(info.map(|info| info.frames_in + info.frames_out), Some(FRAMES));
        }));
        parsed.push(milliseconds(|| {
            let chunks = chunks(&path);
            decompress(&path, &chunks[0]);
        }));
    }
    let parsed = ("summary-and-one-chunk-by-the-library-ms", median(parsed));
    if figures.wants(NAMES[0]) {
        figures.add(NAMES[0], median(opened), "ms", parsed, 2.0);
    }
    if figures.wants(NAMES[3]) {
        figures.add(NAMES[3], median(told), "ms", parsed, 2.0);
    }
    jumps(figures, &path);
    let size = std::fs::metadata(&path).expect("it was written").len();
    match memory("VmHWM") {
        _ if !figures.wants(NAMES[2]) => {}
        Some(peak) if has_peak => {
            figures.add(NAMES[2], peak, "MB", ("size-of-the-trace-MB", size as f64 / 1e6), 0.1);
        }
        _ => figures.skip(NAMES[2], "the system does not tell the peak of the memory"),
    }
    if figures.wants(NAMES[4]) {
        first_filter(figures, &path);
    }
}

/// The slowest of many jumps to rows.
fn jumps(figures: &mut Figures, path: &Path) {
    if !figures.wants(NAMES[1]) && !figures.wants(NAMES[2]) {
        return;
    }
    let chunks = chunks(path);
    let (mut windows, frames) = open(path);
    let (mut jumps, mut bare) = (Vec::new(), Vec::new());
    for number in 0..JUMPS {
        // All over the trace, and never twice in the same place.
        let part = number * 7_919 % JUMPS;
        jumps.push(milliseconds(|| {
            let row = frames / JUMPS * part;
            let window = windows.read(row..row + SCREEN).expect("it can be read");
            assert!(window.row(row + SCREEN - 1).is_some());
        }));
        bare.push(milliseconds(|| {
            let chunk = chunks.len() as u64 * part / JUMPS;
            decompress(path, &chunks[chunk as usize]);
        }));
    }
    if figures.wants(NAMES[1]) {
        let slowest = |times: Vec<f64>| times.into_iter().fold(0.0, f64::max);
        let bare = ("slowest-chunk-by-the-library-ms", slowest(bare));
        figures.add(NAMES[1], slowest(jumps), "ms", bare, 4.0);
    }
}

/// The first filter of somebody who has just recorded the trace: the index that was written with it is
/// compared with every byte, and then used.
fn first_filter(figures: &mut Figures, path: &Path) {
    let never = AtomicBool::new(false);
    let filter = Filter::parse("latency>5ms and header.user.id=42").expect("it is a filter");
    let taken = milliseconds(|| {
        let index = TraceIndex::open(path, &mut |_, _| {}, &never).expect("it is a trace");
        let mut found = 0;
        let mut count = |hits: &[Hit]| found += hits.len();
        search::find(path, &index, &filter, &mut count, &|_, _| {}, &never)
            .expect("it can be read");
        assert!(found > 0);
    });
    let digested = milliseconds(|| {
        let mut file = File::open(path).expect("it is there");
        let (mut hasher, mut block) = (blake3::Hasher::new(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut block).expect("it can be read") {
                0 => break,
                read => hasher.update(&block[..read]),
            };
        }
        black_box(hasher.finalize());
    });
    figures.add(NAMES[4], taken, "ms", ("digest-of-the-file-on-one-core-ms", digested), 4.0);
}

/// Opens a trace by its summary and reads the first rows.
fn open(path: &Path) -> (FrameWindows, u64) {
    let outline = TraceOutline::open(path).expect("it is a trace").expect("it is finished");
    let mut windows = FrameWindows::of_outline(path, &outline).expect("it is there");
    let window = windows.read(0..SCREEN).expect("it can be read");
    assert!(window.row(SCREEN - 1).is_some());
    (windows, outline.frames())
}

/// The chunks that the summary names, by the MCAP library.
fn chunks(path: &Path) -> Vec<ChunkIndex> {
    let mut file = File::open(path).expect("it is there");
    file.seek(SeekFrom::End(-FOOTER)).expect("it can be read");
    let mut footer = Vec::new();
    file.read_to_end(&mut footer).expect("it can be read");
    let start = footer[9..17].try_into().expect("eight bytes");
    file.seek(SeekFrom::Start(u64::from_le_bytes(start))).expect("it can be read");
    let mut summary = Vec::new();
    file.read_to_end(&mut summary).expect("it can be read");
    summary.truncate(summary.len() - FOOTER as usize);
    let records = mcap::read::LinearReader::sans_magic(&summary);
    let chunks = records.filter_map(|record| match record.expect("it is good") {
        Record::ChunkIndex(chunk) => Some(chunk),
        _ => None,
    });
    chunks.collect()
}

/// Decompresses a chunk and looks at each of its messages, by the MCAP library.
fn decompress(path: &Path, chunk: &ChunkIndex) {
    let mut file = File::open(path).expect("it is there");
    file.seek(SeekFrom::Start(chunk.chunk_start_offset)).expect("it can be read");
    let mut bytes = Vec::new();
    file.take(chunk.chunk_length).read_to_end(&mut bytes).expect("it can be read");
    let records = mcap::read::LinearReader::sans_magic(&bytes);
    records.for_each(|record| drop(black_box(record.expect("it is good"))));
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1e3
}

/// A line of what the system says of this process, in MB.
fn memory(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
