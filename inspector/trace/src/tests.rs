mod damage;
mod disk;
mod faults;
mod foreign;
mod kills;
mod recorder;

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use glovebox_abi::Frame;
use glovebox_events::{Binding, CallId, Event, Outcome, Phase, Timing, What};
use tempfile::TempDir;

use super::*;
use crate::format::MAGIC;
use crate::test_support::NEVER;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn input(sequence: u64, payload: impl Into<bytes::Bytes>) -> Event {
    Event {
        sequence,
        at: 1000 + sequence,
        plugin: if sequence.is_multiple_of(2) { "echo".into() } else { "stats".into() },
        instance: 0,
        generation: 1,
        what: What::FrameIn { call: CallId(sequence + 1), frame: Frame::data(payload) },
    }
}

/// A finished trace of `chunks` chunks with two events each.
fn write_chunks(path: &Path, chunks: u64) -> Vec<Event> {
    let mut writer = TraceWriter::create(path, "0.1.0").expect("the folder is empty");
    let mut events = Vec::new();
    for chunk in 0..chunks {
        for event in [input(2 * chunk, &b"hello"[..]), input(2 * chunk + 1, vec![7; 40])] {
            writer.write(&event).expect("there is space");
            events.push(event);
        }
        writer.flush().expect("there is space");
    }
    writer.finish().expect("there is space");
    events
}

#[test]
fn recovery_counts_what_a_damaged_chunk_held() {
    /// Breaks the nth chunk; its two frames are counted if any count follows.
    fn check(chunk: usize, lost: u64, uncounted: bool) {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        write_chunks(&path, 3);
        let mut bytes = std::fs::read(&path).expect("it was written");
        let starts: Vec<usize> =
            (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"lz4")).collect();
        // The first one holds nothing but a channel, and the summary names some again.
        bytes[starts[chunk] + 40] ^= 1;
        if uncounted {
            bytes.truncate(starts[chunk] + 60);
        }
        std::fs::write(&path, bytes).expect("there is space");
        let out = folder.path().join("out.mcap");
        let report = recover(&path, &out, &NEVER).expect("it is a trace");
        let counts = (report.found.frames_in, report.lost.frames_in, report.lossless);
        let before = 2 * (chunk as u64 - 1);
        assert_eq!(counts, (if uncounted { before } else { 6 - lost }, lost, false), "{report:?}");
        assert_eq!(report.uncounted_bytes > 0, uncounted, "{report:?}");
        assert_eq!(info(&out).expect("it was recovered").lost_events, lost);
    }
    (1..=3).for_each(|chunk| check(chunk, 2, false));
    (1..=3).for_each(|chunk| check(chunk, 0, true));
}

/// The events that can be read, and the damage.
fn read(path: &Path) -> Result<(Vec<Event>, Vec<TraceError>), TraceError> {
    super::read(path).map(|whole| (whole.events, whole.damage))
}

fn is_subsequence(part: &[Event], all: &[Event]) -> bool {
    let mut all = all.iter();
    part.iter().all(|event| all.any(|known| known == event))
}

#[test]
fn every_event_survives_the_file() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "9.9.9").expect("the folder is empty");
    let plugin = PluginRecord {
        id: "redact".into(),
        version: "1.0.0".into(),
        digest: "abc".into(),
        binding: Some(Binding::FrameAbi),
        manifest: Some("[plugin]\nid = \"redact\"\n".into()),
        instances: Vec::new(),
    };
    writer.describe_plugin(&plugin).expect("there is space");
    for event in sample::events() {
        writer.write(&event).expect("there is space");
    }
    writer.write_gap(5, GapCause::DiskFull).expect("there is space");
    assert_eq!(writer.finish().expect("there is space"), path);
    let (events, damage) = read(&path).expect("it is a trace");
    assert_eq!(events, sample::events());
    assert!(damage.is_empty(), "{damage:?}");

    let report = check(&path, &NEVER).expect("it is a trace");
    assert_eq!(report.problems, []);
    let info = report.info;
    assert_eq!(info.app_version, "9.9.9");
    assert_eq!((info.events, info.frames_in, info.frames_out), (20, 2, 1));
    assert_eq!((info.calls, info.errors, info.host_calls), (5, 4, 2));
    let ends = info.ends.clone().expect("all of it was read");
    assert_eq!((ends.outcomes.values().sum::<u64>(), ends.outcomes["completed"]), (5, 1));
    let scanned = crate::test_support::build(&path);
    assert_eq!((scanned.info().ends.as_ref(), ends.restarts), (Some(&ends), 0));
    assert_eq!((info.lost_events, info.complete, info.format), (5, true, 1));
    assert_eq!(info.duration().as_nanos(), 19);
    assert_eq!(info.plugins[0], plugin);
    assert_eq!(info.plugins[1].version, "1.4.0");
}

/// A trace that is made of another one knows its origin, and says what was never recorded.
#[test]
fn traces_that_are_made_of_others_say_what_those_say() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let parent = ParentRecord { path: "b.mcap".to_owned(), how: "replayed".to_owned() };
    writer.describe_parent(&parent).expect("there is space");
    for number in 0..20 {
        if number == 10 {
            // A gap stands in the chunk of what follows.
            writer.flush().expect("there is space");
            writer.write_gap(5, GapCause::DiskFull).expect("there is space");
        }
        writer.write(&input(number, "x")).expect("there is space");
    }
    writer.flush().expect("there is space");
    writer.write_gap(3, GapCause::TooSlow).expect("there is space");
    writer.finish().expect("there is space");
    let lost = |path: &Path| {
        assert!(check(path, &NEVER).expect("it is a trace").problems.is_empty(), "{path:?}");
        let info = info(path).expect("it is a trace");
        assert_eq!(info.parent.as_ref(), Some(&parent), "{path:?}");
        info.lost_events
    };
    assert_eq!(lost(&path), 8);
    let out = folder.path().join("part.mcap");
    let parts = split(&path, PartLimit::Frames(10), &out, &mut |_, _| {}, &NEVER);
    let parts = parts.expect("there is space").parts;
    assert_eq!(parts.iter().map(|part| lost(&part.path)).collect::<Vec<_>>(), [0, 8]);
    let merged = folder.path().join("merged.mcap");
    let parts: Vec<&Path> = parts.iter().rev().map(|part| &*part.path).collect();
    let report = merge(&parts, &merged, "0.1.0", &mut |_, _| {}, &NEVER).expect("there is space");
    assert_eq!((report.lost_events, lost(&merged)), (8, 8));
    assert_eq!(report.missing, []);
    let recovered = folder.path().join("recovered.mcap");
    recover(&path, &recovered, &NEVER).expect("there is space");
    assert_eq!(lost(&recovered), 8);
}

/// All ways to the facts about a trace count how calls ended, and how often copies were started anew.
#[test]
fn ends_and_restarts_are_counted() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let ended = |number: u64, outcome| What::CallEnded {
        call: CallId(number),
        outcome,
        timing: Timing::default(),
        bytes_in: 0,
        bytes_out: 0,
        frames_out: 0,
        memory: None,
    };
    let crashed = || Outcome::Crashed { cause: "signal 11".to_owned(), made_up: false };
    let (from, cause) = (Phase::Faulted, String::new());
    let whats = [
        ended(0, crashed()),
        What::Phase { from, to: Phase::Restarting, cause },
        ended(1, crashed()),
        ended(2, Outcome::Completed),
    ];
    for (number, what) in (0..).zip(whats) {
        writer.write(&Event { what, ..input(number, "") }).expect("there is space");
    }
    writer.finish().expect("there is space");
    let outcomes = [("completed".to_owned(), 1), ("crashed".to_owned(), 2)].into();
    let expected = Some(Ends { outcomes, restarts: 1 });
    assert_eq!(info(&path).expect("it is a trace").ends, expected);
    assert_eq!(crate::test_support::build(&path).info().ends, expected);
}

#[test]
fn foreign_tools_see_exact_frames() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let events = write_chunks(&path, 1);
    let bytes = std::fs::read(&path).expect("it was written");
    let messages = mcap::MessageStream::new(&bytes).expect("it is MCAP");
    let frames: Vec<_> = messages
        .map(|message| message.expect("it is good"))
        .filter(|message| message.channel.topic == "/plugin/echo/in")
        .collect();
    let What::FrameIn { frame, .. } = &events[0].what else {
        panic!("the test writes frames");
    };
    assert_eq!(&*frames[0].data, &frame.to_bytes()[..]);
    assert_eq!(frames[0].log_time, events[0].at);
}

#[test]
fn chunks_are_bounded_and_hold_large_frames() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let sizes = [100_000, 100_000, 100_000, 3_000_000, 10];
    let events: Vec<Event> = (0..).zip(sizes).map(|(n, size)| input(n, vec![9; size])).collect();
    for event in &events {
        writer.write(event).expect("there is space");
    }
    writer.finish().expect("there is space");
    assert_eq!(read(&path).expect("it is a trace").0, events);
    let bytes = std::fs::read(&path).expect("it was written");
    let summary = mcap::Summary::read(&bytes).expect("it is MCAP").expect("it is finished");
    let chunks = summary.chunk_indexes.iter().map(|chunk| chunk.uncompressed_size);
    let large = chunks.filter(|size| *size > 256 << 10).count();
    // The first chunk announces the events, so that a file is readable from the start on.
    assert_eq!((summary.chunk_indexes.len(), large), (5, 1));
}

#[test]
fn a_cut_loses_the_end_only() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let events = write_chunks(&path, 4);
    let bytes = std::fs::read(&path).expect("it was written");
    let cut = folder.path().join("cut.mcap");
    let mut most = 0;
    for end in 0..bytes.len() {
        std::fs::write(&cut, &bytes[..end]).expect("there is space");
        match read(&cut) {
            Ok((found, damage)) => {
                assert_eq!(found, events[..found.len()], "cut at {end}");
                assert!(found.len() >= most, "cut at {end} reads less than a shorter cut");
                assert!(matches!(damage.last(), Some(TraceError::CutShort { .. })), "cut at {end}");
                most = found.len();
            }
            Err(error) => assert!(end < MAGIC.len(), "cut at {end}: {error}"),
        }
    }
    assert_eq!(most, events.len());
}

#[test]
fn a_flipped_bit_loses_one_chunk_at_most() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let events = write_chunks(&path, 4);
    let bytes = std::fs::read(&path).expect("it was written");
    let first_chunk =
        bytes.windows(3).position(|window| window == b"lz4").expect("chunks are compressed") - 41;
    let flipped = folder.path().join("flipped.mcap");
    let mut located = 0;
    // Every byte, and in turn every bit of it.
    for position in (0..bytes.len() * 8).step_by(7) {
        let mut copy = bytes.clone();
        copy[position / 8] ^= 1 << (position % 8);
        std::fs::write(&flipped, &copy).expect("there is space");
        match read(&flipped) {
            Ok((found, damage)) => {
                assert!(is_subsequence(&found, &events), "bit {position}");
                assert!(found.len() >= events.len() - 2, "bit {position} loses {found:?}");
                assert!(!damage.is_empty(), "bit {position} changes the file silently");
                located += usize::from(found.len() < events.len());
            }
            Err(error) => assert!(position / 8 < first_chunk, "bit {position}: {error}"),
        }
    }
    assert!(located > 0);
}

#[test]
fn random_bytes_are_no_trace() {
    proptest::proptest!(|(tail: Vec<u8>)| {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        let bytes = [MAGIC, &tail].concat();
        std::fs::write(&path, bytes).expect("there is space");
        let _ = read(&path);
    });
}

#[test]
fn other_files_are_explained() {
    fn check(bytes: &[u8], expected: &str) {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        std::fs::write(&path, bytes).expect("there is space");
        let error = read(&path).expect_err("it is no trace").to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(error.ends_with("a.mcap"), "{error:?} does not end with the path");
    }
    check(b"", "an empty file");
    check(
        &[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0],
        "a pcap capture; import it with `glovebox trace import`",
    );
    check(b"{\"payload\"", "NDJSON");
    check(b"hello, world", "a text file; give a .mcap file");
    check(b"MZ\x90\0", "a Windows library or program; plugins are no traces");
    check(
        b"\x1f\x8b\x08\x08",
        "packed with gzip; unpack it with `gzip -d`, and give what is inside; a capture",
    );
    check(
        b"\x28\xb5\x2f\xfd\x04",
        "packed with zstd; unpack it with `zstd -d`, and give what is inside; a capture",
    );
    check(b"PK\x03\x04", "a zip archive; unpack it with `unzip`");
    check(b"version https://git-lfs.github.com/spec/v1\noid", "fetch the file with `git lfs pull`");
    check(&[0x34, 0xCD, 0xB2, 0xA1], "a pcap capture");
    let foreign = |profile: &str, metadata: [(&str, &str); 2]| {
        let options = mcap::WriteOptions::new().profile(profile);
        let mut writer = options.create(io::Cursor::new(Vec::new())).expect("memory takes all");
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let metadata = mcap::records::Metadata {
            name: "glovebox".to_owned(),
            metadata: metadata.into_iter().collect(),
        };
        writer.write_metadata(&metadata).expect("memory takes all");
        writer.finish().expect("memory takes all");
        writer.into_inner().into_inner()
    };
    let ours = [("format", "1"), ("app", "1.0.0")];
    let another = "an MCAP file of another program (the profile `ros2`); export its messages";
    check(&foreign("ros2", ours), another);
    check(&foreign("", ours), "an MCAP file of another program (no profile); export its messages");
    check(&foreign("a\u{1b}b", ours), "(the profile `a\\u{1b}b`)");
    check(
        &foreign("glovebox", [("format", "7"), ("app", "9.0.0")]),
        "needs version 9.0.0 of Glovebox",
    );
}

#[test]
fn nothing_is_overwritten() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let second = TraceWriter::create(&path, "0.1.0");
    assert!(matches!(second, Err(TraceError::Held { .. })), "{second:?}");
    std::fs::write(&path, "precious").expect("there is space");
    let finished = writer.finish();
    assert!(matches!(finished, Err(TraceError::Exists { .. })), "{finished:?}");
    assert_eq!(std::fs::read(&path).expect("it is there"), b"precious");
    let missing = TraceWriter::create(folder.path().join("no/folder.mcap"), "0.1.0");
    assert!(matches!(missing, Err(TraceError::Io { .. })), "{missing:?}");
}

#[test]
fn recovery_keeps_what_can_be_read() {
    /// Cuts the trace there; says whether the recovered one has the same events.
    fn check(cut: impl FnOnce(usize) -> usize, lossless: bool, expected: usize) {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        let events = write_chunks(&path, 3);
        let mut bytes = std::fs::read(&path).expect("it was written");
        bytes.truncate(cut(bytes.len()));
        std::fs::write(&path, bytes).expect("there is space");
        let out = folder.path().join("out.mcap");
        let report = recover(&path, &out, &NEVER).expect("it is a trace");
        assert_eq!(report.lossless, lossless, "{report:?}");
        let (found, damage) = read(&out).expect("it was recovered");
        assert_eq!(found, events[..expected]);
        assert!(damage.is_empty());
        assert!(info(&out).expect("it was recovered").complete);
    }
    check(|size| size, true, 6);
    // The summary is made anew.
    check(|size| size - 3, true, 6);
    check(|_| 9, false, 0);
}

#[test]
fn a_cancelled_repair_leaves_nothing() {
    let folder = folder();
    let (path, out) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    writer.write(&input(0, "hello")).expect("there is space");
    writer.finish().expect("there is space");
    let raised = AtomicBool::new(true);
    assert!(matches!(check(&path, &raised), Err(TraceError::Cancelled { .. })));
    assert!(matches!(recover(&path, &out, &raised), Err(TraceError::Cancelled { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1);
}

#[test]
fn a_split_that_stops_leaves_whole_parts_only() {
    /// Splits 20 frames into parts of 4, until so many were read; `parts` stay.
    fn check(name: &str, cancel_after: u64, parts: usize) {
        let folder = folder();
        let path = folder.path().join("a.mcap");
        write_chunks(&path, 10);
        let cancel = AtomicBool::new(false);
        let mut seen = 0;
        let mut progress = |_, _| {
            seen += 1;
            cancel.fetch_or(seen == cancel_after, std::sync::atomic::Ordering::Relaxed);
        };
        let out = folder.path().join(name);
        let stopped = split(&path, PartLimit::Frames(4), &out, &mut progress, &cancel);
        let finished = stopped.expect_err("it stops").finished;
        assert_eq!(finished.parts.len(), parts);
        std::fs::remove_file(&path).expect("it is there");
        let left = std::fs::read_dir(folder.path()).expect("it is there");
        let mut left: Vec<_> = left.map(|entry| entry.expect("it is there").path()).collect();
        left.sort();
        assert_eq!(left, finished.parts.into_iter().map(|part| part.path).collect::<Vec<_>>());
    }
    check("part.mcap", 10, 2);
    // The name of a part is longer than a name may be.
    check(&format!("{}.mcap", "x".repeat(250)), 100, 0);
}

#[test]
fn instances_keep_what_tells_them_apart() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let write = |name: &str, version: &str, at: u64| {
        let path = folder.path().join(name);
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("there is space");
        let instance = InstanceRecord {
            instance: 3,
            version: version.to_owned(),
            file: "stats.wasm".to_owned(),
            folder: "built".to_owned(),
            digest: "abc".to_owned(),
            ..InstanceRecord::default()
        };
        let plugin = PluginRecord {
            id: "stats".to_owned(),
            version: version.to_owned(),
            digest: String::new(),
            binding: None,
            manifest: None,
            instances: vec![instance],
        };
        writer.describe_plugin(&plugin).expect("there is space");
        let call = glovebox_events::CallId(1);
        let what = What::FrameIn { call, frame: glovebox_abi::Frame::data("x") };
        let event =
            Event { sequence: 0, at, plugin: "stats".into(), instance: 3, generation: 1, what };
        writer.write(&event).expect("there is space");
        writer.finish().expect("there is space");
        path
    };
    // Two recordings, each of which calls its instance the same.
    let parts = [write("one.mcap", "1.0.0", 5), write("two.mcap", "2.0.0", 9)];
    let merged = folder.path().join("merged.mcap");
    merge(&parts, &merged, "0.1.0", &mut |_, _| {}, &NEVER).expect("there is space");
    let mut reader = TraceReader::open(&merged).expect("it is a trace");
    let instances: Vec<u64> =
        (&mut reader).map(|event| event.expect("it is whole").instance).collect();
    let name = |instance: u64| instance_name(reader.plugins(), "stats", instance);
    let names: Vec<_> = instances.into_iter().map(name).collect();
    let expected = ["stats · 1.0.0", "stats · 2.0.0"].map(|name| Some(name.to_owned()));
    assert_eq!(names, expected);
    let summary = TraceIndex::summary(&merged).expect("it can be read").expect("it is finished");
    assert_eq!(summary.plugins, reader.plugins());
}
