//! Opening a trace of ten million frames, and jumping to any of them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Instant;

use glovebox_inspector::trace::{FrameWindows, MadeUpRun, TraceOutline, TraceWriter};

use crate::figure::Figures;

const FRAMES: u64 = 10_000_000;
/// Rows that a window shows.
const SCREEN: u64 = 50;
const OPENINGS: usize = 11;
const JUMPS: u64 = 200;
/// What stands around a row in the file, about, in bytes.
const CHUNK: usize = 64 << 10;

pub(crate) fn run(figures: &mut Figures) {
    let names = ["trace-first-rows", "trace-jump", "trace-reading-memory"];
    if !names.iter().any(|name| figures.wants(name)) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the trace");
    let path = folder.path().join("big.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    MadeUpRun::new(FRAMES, 0).for_each(|event| writer.write(&event).expect("there is space"));
    writer.finish().expect("there is space");

    let has_peak = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = memory("VmRSS");
    let opened = median((0..OPENINGS).map(|_| milliseconds(|| drop(open(&path)))));
    let plain = median((0..OPENINGS).map(|_| milliseconds(|| read_at(&path, 0))));
    if figures.wants(names[0]) {
        figures.add(names[0], opened, "ms", ("open-and-read-64-kib-ms", plain), 300.0);
    }
    let (mut windows, frames) = open(&path);
    let size = std::fs::metadata(&path).expect("it was written").len();
    // All over the trace, and never twice in the same place.
    let part = |number: u64| number * 7_919 % JUMPS;
    let slowest = (0..JUMPS).map(|number| {
        let row = frames / JUMPS * part(number);
        milliseconds(|| {
            let window = windows.read(row..row + SCREEN).expect("it can be read");
            assert!(window.row(row + SCREEN - 1).is_some());
        })
    });
    let slowest = slowest.fold(0.0, f64::max);
    let plain = (0..JUMPS).map(|number| {
        let at = size / JUMPS * part(number);
        milliseconds(|| read_at(&path, at))
    });
    let plain = plain.fold(0.0, f64::max);
    if figures.wants(names[1]) {
        figures.add(names[1], slowest, "ms", ("slowest-read-of-64-kib-ms", plain), 20.0);
    }
    match (has_peak, memory("VmHWM"), before) {
        (true, Some(peak), Some(before)) if figures.wants(names[2]) => {
            figures.add(names[2], peak, "MB", ("before-mb", before), 100.0);
        }
        _ => figures.skip(names[2], "the system does not tell the peak of the memory"),
    }
}

/// Opens a trace by its summary and reads the first rows.
fn open(path: &Path) -> (FrameWindows, u64) {
    let outline = TraceOutline::open(path).expect("it is a trace").expect("it is finished");
    let mut windows = FrameWindows::of_outline(path, &outline).expect("it is there");
    let window = windows.read(0..SCREEN).expect("it can be read");
    assert!(window.row(SCREEN - 1).is_some());
    (windows, outline.frames())
}

fn read_at(path: &Path, at: u64) {
    let mut file = File::open(path).expect("it is there");
    file.seek(SeekFrom::Start(at)).expect("it can be read");
    let mut bytes = Vec::with_capacity(CHUNK);
    file.take(CHUNK as u64).read_to_end(&mut bytes).expect("it can be read");
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1e3
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A line of what the system says of this process, in MB.
fn memory(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
