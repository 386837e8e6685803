//! Made-up traces in files, for the tests of this crate and of the inspector.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use glovebox_events::Event;
use glovebox_trace::{MadeUpRun, TraceIndex, TraceWriter};
use tempfile::TempDir;

/// A cancellation that nobody asks for.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// A finished trace of a made-up run in a folder of its own.
pub(crate) fn made_up(frames: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    for event in MadeUpRun::new(frames, 3) {
        writer.write(&event).expect("there is space");
    }
    writer.finish().expect("there is space");
    (folder, path)
}

/// The index of a trace, by a scan.
pub(crate) fn build(path: &Path) -> TraceIndex {
    TraceIndex::build(path, &mut |_, _| {}, &NEVER).expect("it is a trace")
}

/// All events of a trace, read whole.
pub(crate) fn events(path: &Path) -> Vec<Event> {
    glovebox_trace::read(path).expect("it is a trace").events
}
