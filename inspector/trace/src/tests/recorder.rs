//! The recorder on a disk that works.

use std::time::Duration;

use glovebox_abi::State;
use glovebox_events::{CallId, Event, Sink, Snapshot};

use super::{folder, input, is_subsequence, read};
use crate::*;

#[test]
fn recorders_lose_nothing_uncounted() {
    fn check(memory: usize, patience: Duration) {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        let options = RecorderOptions { memory, patience, ..RecorderOptions::default() };
        let recorder = Recorder::start(&path, &options).expect("the folder is empty");
        let sent: Vec<Event> = (0..2000).map(|n| input(n, vec![1; 100])).collect();
        for event in &sent {
            recorder.record(event);
        }
        let status = recorder.finish().expect("there is space");
        assert!(status.finished);
        assert_eq!(status.path, path);
        assert_eq!(status.events + status.dropped, 2000);
        assert_eq!((status.synced, status.trouble.as_ref()), (status.events, None));
        assert!(status.pressure.peak <= memory.max(500) as u64, "{status:?}");
        if patience > Duration::from_secs(1) {
            assert_eq!(status.dropped, 0, "callers that wait lose nothing: {status:?}");
            assert!(memory > 1 << 20 || status.pressure.held > 0, "{status:?}");
        }
        let info = info(&path).expect("it is a trace");
        assert_eq!((info.events, info.lost_events), (status.events, status.dropped));
        assert!(is_subsequence(&read(&path).expect("it is a trace").0, &sent));
        assert_eq!(recorder.finish().expect("finishing twice is fine"), status);
        recorder.record(&sent[0]);
        assert_eq!(recorder.status().dropped, status.dropped + 1);
    }
    check(64 << 20, Duration::from_millis(50));
    check(2_000, Duration::from_secs(60));
    check(2_000, Duration::ZERO);
    check(1, Duration::ZERO);
}

#[test]
fn recordings_go_on_in_segments() {
    fn check(limits: SegmentLimits, expected: &[&str]) {
        let folder = folder();
        let path = folder.path().join("run.mcap");
        // A file in the way is left alone.
        let precious = folder.path().join("run.003.mcap");
        std::fs::write(&precious, "precious").expect("there is space");
        let options = RecorderOptions { segments: limits, ..RecorderOptions::default() };
        let recorder = Recorder::start(&path, &options).expect("the folder is empty");
        let plugin = PluginRecord {
            id: "echo".into(),
            version: "1.0.0".into(),
            digest: "abc".into(),
            binding: None,
            manifest: None,
            instances: Vec::new(),
        };
        recorder.describe_plugin(plugin.clone());
        let sent: Vec<Event> = (0..4).map(|n| input(n, vec![n as u8; 300_000])).collect();
        for event in &sent {
            recorder.record(event);
        }
        let status = recorder.finish().expect("there is space");
        assert_eq!((status.events, status.dropped), (4, 0));
        let mut found = Vec::new();
        for name in expected {
            let path = folder.path().join(name);
            let info = info(&path).expect(name);
            assert!(info.complete && info.plugins.contains(&plugin), "{info:?}");
            found.extend(read(&path).expect(name).0);
        }
        assert_eq!(found, sent);
        let made = std::fs::read_dir(folder.path()).expect("it is there");
        // Beside some are those that vouch for their indexes.
        let is_trace =
            |file: &std::fs::DirEntry| file.path().extension().is_some_and(|e| e == "mcap");
        let made = made.flatten().filter(is_trace).count();
        assert_eq!(made, expected.len() + 1);
        assert_eq!(std::fs::read(&precious).expect("it is there"), b"precious");
        assert_eq!(status.path, folder.path().join(expected[expected.len() - 1]));
    }
    let four = ["run.mcap", "run.002.mcap", "run.004.mcap", "run.005.mcap"];
    check(SegmentLimits { bytes: Some(1), time: None }, &four);
    check(SegmentLimits { bytes: None, time: Some(Duration::ZERO) }, &four);
    check(SegmentLimits { bytes: Some(1 << 30), time: None }, &four[..1]);
}

#[test]
fn snapshots_stand_where_they_were_taken() {
    /// Bytes of each of three snapshots, taken after each of three events, and how many are kept.
    fn check(memory: usize, bytes: usize, kept: u64) {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        let options = RecorderOptions { memory, ..RecorderOptions::default() };
        let recorder = Recorder::start(&path, &options).expect("the folder is empty");
        for call in 1..=3 {
            recorder.record(&input(call, "small"));
            recorder.keep_snapshot(Snapshot {
                at: call,
                plugin: "echo".into(),
                instance: 0,
                generation: 1,
                after: Some(CallId(call)),
                states: vec![Some(State { version: 1, bytes: vec![7; bytes] })],
                store: std::collections::BTreeMap::new(),
            });
        }
        let status = recorder.finish().expect("there is space");
        assert_eq!((status.events, status.dropped), (3, 0));
        assert_eq!((status.snapshots, status.snapshots_dropped), (kept, 3 - kept), "{bytes}");
        let mut reader = TraceReader::open(&path).expect("it is a trace");
        reader.keep_snapshots();
        let mut seen = 0;
        while let Some(event) = reader.next() {
            let event = event.expect("it is not damaged");
            for snapshot in reader.take_snapshots() {
                assert!(snapshot.after.is_some_and(|after| after.0 < event.sequence));
                seen += 1;
            }
        }
        seen += reader.take_snapshots().len() as u64;
        assert_eq!((seen, reader.snapshots()), (kept, kept));
        assert!(crate::check(&path, &super::NEVER).expect("it is a trace").is_good());
    }
    check(64 << 20, 10, 3);
    // Larger than a frame may be.
    check(1 << 30, 64 << 20, 0);
}

#[test]
fn an_event_that_does_not_fit_loses_only_itself() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let options = RecorderOptions { memory: 256 << 20, ..RecorderOptions::default() };
    let recorder = Recorder::start(&path, &options).expect("the folder is empty");
    let sent = [input(0, "small"), input(1, vec![0; 64 << 20]), input(2, "small")];
    for event in &sent {
        recorder.record(event);
    }
    let status = recorder.finish().expect("there is space");
    assert_eq!((status.events, status.dropped), (2, 1));
    assert_eq!(info(&path).expect("it is a trace").lost_events, 1);
}

#[test]
fn nobody_writes_over_anybody() {
    #[track_caller]
    fn check(path: &std::path::Path, expected: &str) {
        let error = Recorder::start(path, &RecorderOptions::default()).expect_err(expected);
        let text = error.to_string();
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let recorder = Recorder::start(&path, &RecorderOptions::default()).expect("it is empty");
    check(&path, "somebody is writing it now");
    let _ = recorder.finish().expect("there is space");
    let bytes = std::fs::read(&path).expect("it was written");
    check(&path, "will not overwrite");
    let left_over = folder.path().join("b.mcap.partial");
    std::fs::write(&left_over, "precious").expect("there is space");
    check(&folder.path().join("b.mcap"), "did not finish left this file");
    check(&path.join("c.mcap"), "cannot create");
    check(&folder.path().join("none/c.mcap"), "cannot create");
    #[cfg(unix)]
    {
        let link = folder.path().join("link.mcap");
        std::os::unix::fs::symlink(&path, &link).expect("links work");
        check(&link, "will not overwrite");
        let nowhere = folder.path().join("nowhere.mcap.partial");
        std::os::unix::fs::symlink(folder.path().join("target"), nowhere).expect("links work");
        check(&folder.path().join("nowhere.mcap"), "did not finish left this file");
        assert!(!folder.path().join("target").exists());
    }
    assert_eq!(std::fs::read(&left_over).expect("it is there"), b"precious");
    assert_eq!(std::fs::read(&path).expect("it is there"), bytes);
}

/// The folder goes while a recording runs: it says so, and finishes with an error.
#[test]
#[cfg(unix)]
fn a_folder_that_goes_is_an_error() {
    let outer = folder();
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).expect("it is empty");
    let recorder =
        Recorder::start(inner.join("a.mcap"), &RecorderOptions::default()).expect("it is empty");
    recorder.record(&input(0, "lost"));
    std::fs::remove_dir_all(&inner).expect("nobody holds it");
    recorder.record(&input(1, "lost"));
    let error = recorder.finish().expect_err("the file is gone").to_string();
    assert!(error.contains("removed") && error.contains("2 are not"), "{error}");
    let status = recorder.status();
    assert_eq!((status.events, status.dropped, status.finished), (0, 2, false));
}

#[test]
fn every_instance_of_a_plugin_is_described_whenever_it_came() {
    use glovebox_events::Binding;

    use crate::InstanceRecord;
    use crate::record::ring::Ring;

    let record = |instance: u64, manifest: Option<&str>| PluginRecord {
        version: "1.0.0".into(),
        manifest: manifest.map(Into::into),
        instances: vec![InstanceRecord {
            instance,
            file: format!("{instance}.wasm"),
            binding: Some(Binding::Component),
            ..InstanceRecord::default()
        }],
        ..PluginRecord::of_id("redact")
    };
    // Both wait for the thread that writes; or the disk refused the first, which is put back.
    let check = |is_put_back: bool| {
        let ring = Ring::new(1 << 20, Duration::ZERO);
        ring.describe(record(0, Some("text")));
        let batch = is_put_back.then(|| ring.take());
        ring.describe(record(1, None));
        if let Some(batch) = batch {
            ring.put_back(batch);
        }
        let batch = ring.take();
        let [plugin] = &batch.plugins[..] else { panic!("{batch:?}") };
        let mut files: Vec<_> = plugin.instances.iter().map(|one| one.file.as_str()).collect();
        files.sort_unstable();
        assert_eq!((files, plugin.manifest.as_deref()), (vec!["0.wasm", "1.wasm"], Some("text")));
    };
    check(false);
    check(true);
}

#[test]
fn recovered_traces_keep_the_files_that_others_attached() {
    let folder = folder();
    let (path, out) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    writer.attach("report.json", "application/json", b"{}").expect("there is space");
    writer.write(&input(0, "small")).expect("there is space");
    writer.finish().expect("there is space");
    crate::recover(&path, &out, &super::NEVER).expect("there is space");
    let attached = crate::attachments(&out).expect("it is a trace");
    assert_eq!(attached, crate::attachments(&path).expect("it is a trace"));
    assert_eq!((attached.len(), &*attached[0].media_type), (1, "application/json"));
}
