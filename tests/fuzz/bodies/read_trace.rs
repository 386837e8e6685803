//! The body of the fuzz target; a normal test runs it with the bytes of the seeds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use glovebox_events::What;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::search::{self, FrameWindows};
use glovebox_trace::{TraceIndex, TraceOutline, WholeTrace};

/// Opens the bytes as a trace: that gives data or an error, and what can be recovered is a trace
/// with the same events in it. Its index knows the same frames, and a search finds all of them.
///
/// # Panics
///
/// If that is not so.
pub(crate) fn read_trace(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is space for a folder");
    let (path, out) = (folder.path().join("in.mcap"), folder.path().join("out.mcap"));
    std::fs::write(&path, bytes).expect("there is space");
    let Ok(whole) = glovebox_trace::read(&path) else {
        return;
    };
    check_rows(&path, &whole);
    let never = AtomicBool::new(false);
    let checked = glovebox_trace::check(&path, &never).expect("it could be read");
    assert_eq!(checked.info.events, whole.events.len() as u64);
    let report = glovebox_trace::recover(&path, &out, &never).expect("it could be read");
    assert_eq!(report.found.events(), checked.info.events);
    assert!(!report.lossless || report.lost.events() == 0);
    let recovered = glovebox_trace::read(&out).expect("it was just written");
    assert!(recovered.damage.is_empty(), "{:?}", recovered.damage);
    assert_eq!(recovered.events, whole.events);
}

fn check_rows(path: &Path, whole: &WholeTrace) {
    let is_frame = |what: &What| matches!(what, What::FrameIn { .. } | What::FrameOut { .. });
    let frames = whole.events.iter().filter(|event| is_frame(&event.what)).count() as u64;
    let cancel = AtomicBool::new(false);
    let index = TraceIndex::open(path, &mut |_, _| {}, &cancel).expect("it could be read");
    let index = Arc::new(index);
    assert_eq!(index.frames(), frames);
    let mut found = 0;
    let mut take = |hits: &[search::Hit]| found += hits.len() as u64;
    let all = Filter::default();
    search::find(path, &index, &all, &mut take, &|_, _| {}, &cancel).expect("it could be read");
    assert_eq!(found, frames);
    let mut windows = FrameWindows::open(path, index).expect("it could be read");
    let mut row = 0;
    while row < frames {
        let window = windows.read(row..frames).expect("it could be read");
        assert!(window.rows.contains(&row), "{row} of {frames}: {:?}", window.rows);
        row = window.rows.end;
    }
    // A summary is believed until a row shows that it is wrong.
    let outline = TraceOutline::open(path).expect("it could be read");
    if let Some(outline) = outline
        && let Ok(mut windows) = FrameWindows::of_outline(path, &outline)
    {
        let last = outline.frames().saturating_sub(1);
        let _ = windows.read(0..100);
        let _ = windows.read_call(last);
    }
}
