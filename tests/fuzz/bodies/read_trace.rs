//! What the fuzz target does with some bytes; a normal test does it with those of the seeds.

use glovebox_inspector::trace;

/// Opens the bytes as a trace: that gives data or an error, and what can be recovered is a trace
/// with the same events in it.
///
/// # Panics
///
/// If that is not so.
pub(crate) fn read_trace(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is space for a folder");
    let (path, out) = (folder.path().join("in.mcap"), folder.path().join("out.mcap"));
    std::fs::write(&path, bytes).expect("there is space");
    let Ok(whole) = trace::read(&path) else {
        return;
    };
    let checked = trace::check(&path).expect("it could be read");
    assert_eq!(checked.info.events, whole.events.len() as u64);
    let report = trace::recover(&path, &out).expect("it could be read");
    assert_eq!(report.found.events(), checked.info.events);
    assert!(!report.lossless || report.lost.events() == 0);
    let recovered = trace::read(&out).expect("it was just written");
    assert!(recovered.damage.is_empty(), "{:?}", recovered.damage);
    assert_eq!(recovered.events, whole.events);
}
