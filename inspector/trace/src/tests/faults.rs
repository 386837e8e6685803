//! Disks that fail at the Nth operation, fill up, vanish, or lose their power.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_events::{Event, Outcome, Sink, Timing, What};

use super::disk::{Fault, FaultyDisk};
use super::{folder, input, is_subsequence};
use crate::record::recording::Pace;
use crate::*;

/// Fast, so that a sweep over all operations is.
const PACE: Pace = Pace {
    flush: Duration::from_millis(1),
    sync: Duration::from_millis(2),
    retry: Duration::from_micros(100),
};

fn target() -> &'static Path {
    Path::new("folder/run.mcap")
}

/// SplitMix64.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// An input that cannot be compressed.
fn noise(sequence: u64) -> Event {
    let mut random = random(sequence);
    input(sequence, (0..400).map(|_| random() as u8).collect::<Vec<u8>>())
}

fn crash(sequence: u64) -> Event {
    let what = What::CallEnded {
        call: glovebox_events::CallId(sequence),
        outcome: Outcome::Trapped { code: "unreachable".into(), message: String::new() },
        timing: Timing::default(),
        bytes_in: 0,
        bytes_out: 0,
        frames_out: 0,
        memory: None,
    };
    Event { what, ..input(sequence, "") }
}

/// The content of all files: events, events they say are lost, and whether all are finished.
struct Found {
    events: Vec<Event>,
    lost: u64,
    damage: usize,
}

fn read_all(files: impl IntoIterator<Item = Vec<u8>>) -> Found {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut found = Found { events: Vec::new(), lost: 0, damage: 0 };
    let mut segments = Vec::new();
    for bytes in files {
        if bytes.is_empty() {
            continue;
        }
        std::fs::write(&path, bytes).expect("there is space");
        let whole = read(&path).expect("it is a trace");
        segments.push(whole.events);
        found.lost += whole.lost_events;
        let broken = whole.damage.iter().filter(|damage| match damage {
            TraceError::CutShort { lost, .. } => *lost > 0,
            _ => true,
        });
        found.damage += broken.count();
    }
    // Their names do not sort, with and without `.partial`.
    segments.sort_by_key(|events| events.first().map(|event| event.sequence));
    found.events = segments.concat();
    found
}

fn contents(disk: &FaultyDisk) -> impl Iterator<Item = Vec<u8>> {
    disk.files().into_iter().map(|(_, bytes)| bytes)
}

/// Waits until the recorder is where it should be.
fn until(recorder: &Recorder, what: &str, mut is: impl FnMut(&RecorderStatus) -> bool) {
    let started = Instant::now();
    while !is(&recorder.status()) {
        let status = recorder.status();
        assert!(started.elapsed() < Duration::from_secs(60), "never {what}: {status:?}");
        std::thread::yield_now();
    }
}

/// A writer that is asked again after each failure loses nothing, whichever operation fails.
#[test]
fn writers_survive_a_failure_of_any_operation() {
    fn check(fault: Fault, count: u64) -> u64 {
        let events: Vec<Event> = (0..8).map(noise).collect();
        for operation in 1.. {
            let disk = FaultyDisk::failing(operation, count, fault);
            let storage = Arc::new(disk.clone());
            let Ok(mut writer) = TraceWriter::create_in(storage, target(), "0.1.0") else {
                assert!(disk.files().is_empty(), "operation {operation} leaves an empty file");
                continue;
            };
            let mut tries = 0;
            for (safe, event) in events.iter().enumerate() {
                while writer.write(event).is_err() {
                    tries += 1;
                    assert!(tries <= count, "operation {operation} fails for ever");
                }
                while let Err(error) = writer.flush() {
                    tries += 1;
                    assert!(tries <= count, "operation {operation}: {error}");
                    let found = read_all(contents(&disk)).events;
                    assert!(found.len() >= safe, "operation {operation} lost what was flushed");
                    assert_eq!(found, events[..found.len()], "operation {operation}");
                }
            }
            while let Err(error) = writer.try_finish() {
                tries += 1;
                assert!(tries <= count, "operation {operation}: {error}");
            }
            let found = read_all(contents(&disk));
            assert_eq!((found.events, found.damage), (events.clone(), 0), "operation {operation}");
            assert_eq!(disk.files()[0].0, target());
            if !disk.tripped() {
                return operation;
            }
        }
        unreachable!("some operation is the last")
    }
    for fault in Fault::ALL {
        for count in [1, 3] {
            assert!(check(fault, count) > 10);
        }
    }
}

/// A recorder counts exactly what it loses, whichever operations fail, for a while or for ever.
#[test]
fn recorders_count_what_any_failure_costs() {
    fn check(fault: Fault, count: u64) -> u64 {
        for operation in 1.. {
            let disk = FaultyDisk::failing(operation, count, fault);
            let options = RecorderOptions {
                memory: 20_000,
                patience: Duration::from_millis(1),
                ..RecorderOptions::default()
            };
            let storage = Arc::new(disk.clone());
            let Ok(recorder) = Recorder::start_in(storage, target(), &options, PACE) else {
                continue;
            };
            let mut sent = Vec::new();
            for sequence in 0..150 {
                let event = if sequence % 10 == 9 { crash(sequence) } else { noise(sequence) };
                recorder.record(&event);
                sent.push(event);
                if sequence % 10 == 9 {
                    let all = sequence + 1;
                    until(&recorder, "safe or in trouble", |status| {
                        status.trouble.is_some()
                            || status.synced + status.dropped >= all
                            || status.segments > 1
                    });
                }
            }
            let finished = recorder.finish();
            let status = recorder.status();
            let case = format!("{fault:?} ×{count} at {operation}: {status:?}");
            assert_eq!(finished.is_ok(), status.finished, "{case}");
            assert_eq!(status.events + status.dropped, 150, "{case}");
            let found = read_all(contents(&disk));
            assert!(is_subsequence(&found.events, &sent), "{case}");
            assert_eq!(found.events.len() as u64, status.events, "{case}");
            if status.finished {
                assert_eq!(found.lost, status.dropped, "{case}");
            } else {
                assert!(status.trouble.is_some(), "{case}");
            }
            if !disk.tripped() {
                assert_eq!((status.dropped, status.last_trouble), (0, None));
                return operation;
            }
            if matches!(fault, Fault::NoSpace | Fault::Failure) {
                assert!(status.last_trouble.is_some(), "{case}");
            }
        }
        unreachable!("some operation is the last")
    }
    for fault in Fault::ALL {
        for count in [1, 5] {
            check(fault, count);
        }
    }
    check(Fault::NoSpace, u64::MAX);
    check(Fault::Failure, u64::MAX);
}

#[test]
fn a_full_disk_leaves_a_counted_gap() {
    let disk = FaultyDisk::default();
    disk.state().quota = Some(20_000);
    // Once the disk has room again, callers wait for theirs as long as it takes.
    let patience = Duration::from_secs(60);
    let options = RecorderOptions { memory: 30_000, patience, ..RecorderOptions::default() };
    let recorder =
        Recorder::start_in(Arc::new(disk.clone()), target(), &options, PACE).expect("it fits");
    let mut sent: Vec<Event> = Vec::new();
    let mut record = |count: u64| {
        for _ in 0..count {
            sent.push(noise(sent.len() as u64));
            recorder.record(&sent[sent.len() - 1]);
        }
    };
    record(50);
    until(&recorder, "full", |status| status.trouble.is_some());
    let shown = recorder.status().trouble.expect("it was there a moment ago");
    assert!(shown.contains("cannot write") && shown.ends_with("run.mcap.partial"), "{shown}");
    record(500);
    let full = recorder.status();
    assert!(full.dropped > 300, "{full:?}");
    assert!(full.pressure.bytes <= 30_000 && full.pressure.waiting > 10, "{full:?}");
    disk.state().quota = None;
    until(&recorder, "well again", |status| status.trouble.is_none());
    record(20);
    let status = recorder.finish().expect("there is space again");
    assert_eq!(status.dropped, full.dropped, "nothing more was lost");
    let loss = format!("{} events were not recorded: {shown}", full.dropped);
    assert_eq!(status.loss(), Some(loss));
    assert_eq!(status.last_trouble, Some(shown));
    let found = read_all(contents(&disk));
    assert_eq!((found.lost, found.damage), (status.dropped, 0));
    let kept = sent.len() - status.dropped as usize;
    assert_eq!(found.events.len(), kept);
    // One gap, and the newest events are there.
    let before = found.events.iter().zip(&sent).take_while(|(found, sent)| found == sent).count();
    assert_eq!(found.events[before..], sent[before + status.dropped as usize..]);
    let bytes = contents(&disk).next().expect("there is a file");
    let messages = mcap::MessageStream::new(&bytes).expect("it is MCAP");
    let gaps: Vec<String> = messages
        .map(|message| message.expect("it is good").data)
        .filter(|data| data.starts_with(b"{\"gap\""))
        .map(|data| String::from_utf8_lossy(&data).into_owned())
        .collect();
    let expected = format!("{{\"gap\":{{\"lost\":{},\"cause\":\"disk-full\"}}}}", status.dropped);
    assert_eq!(gaps, [expected]);
}

#[test]
fn what_was_synced_survives_a_loss_of_power() {
    for seed in 0..200 {
        let mut random = random(seed);
        let disk = FaultyDisk::default();
        let mut writer = TraceWriter::create_in(Arc::new(disk.clone()), target(), "0.1.0")
            .expect("nothing fails");
        let events: Vec<Event> = (0..40).map(noise).collect();
        let mut synced = 0;
        for event in &events[..random() as usize % 40] {
            writer.write(event).expect("nothing fails");
            match random() % 5 {
                0 => writer.flush().expect("nothing fails"),
                1 => {
                    writer.sync().expect("nothing fails");
                    synced = writer.synced_events() as usize;
                    assert_eq!(synced as u64, writer.events());
                }
                _ => {}
            }
        }
        if synced > 0 {
            let found = read_all(disk.after_power_loss(&mut random)).events;
            assert!(found.len() >= synced, "seed {seed}: {} of {synced}", found.len());
            assert_eq!(found[..synced], events[..synced], "seed {seed}");
            assert!(is_subsequence(&found, &events), "seed {seed}");
        }
    }
}

#[test]
fn a_crash_is_on_the_disk_at_once() {
    let disk = FaultyDisk::default();
    // Nothing happens by itself in the time of this test.
    let slow = Pace { flush: Duration::from_secs(600), sync: Duration::from_secs(600), ..PACE };
    let options = RecorderOptions::default();
    let recorder =
        Recorder::start_in(Arc::new(disk.clone()), target(), &options, slow).expect("it starts");
    recorder.record(&noise(0));
    recorder.record(&crash(1));
    until(&recorder, "synced", |status| status.synced == 2);
    let found = read_all(disk.after_power_loss(random(1)));
    assert_eq!(found.events, [noise(0), crash(1)]);
}

/// Recorded events reach the file while the disk syncs, for as long as it likes.
#[test]
fn events_are_flushed_while_the_disk_syncs() {
    fn check(segments: SegmentLimits) {
        let disk = FaultyDisk::default();
        let options = RecorderOptions { segments, ..RecorderOptions::default() };
        let recorder = Recorder::start_in(Arc::new(disk.clone()), target(), &options, PACE)
            .expect("it starts");
        disk.hold_syncs(true);
        recorder.record(&noise(0));
        disk.wait_for_held_sync();
        for sequence in 1..5 {
            recorder.record(&noise(sequence));
            until(&recorder, "flushed", |status| status.events > sequence);
        }
        let status = recorder.status();
        assert_eq!((status.synced, status.trouble), (0, None));
        let found = read_all(contents(&disk)).events;
        assert_eq!(found, (0..5).map(noise).collect::<Vec<_>>());
        disk.hold_syncs(false);
        until(&recorder, "synced", |status| status.synced == 5);
        let status = recorder.finish().expect("nothing fails");
        assert_eq!((status.events, status.synced, status.loss()), (5, 5, None));
    }
    check(SegmentLimits::default());
    // Also while files are closed, of which no more than a few wait.
    check(SegmentLimits { bytes: Some(1), time: None });
}

/// Files that cannot be closed before others are begun wait, but not without a limit.
#[test]
fn few_files_wait_to_be_closed() {
    let disk = FaultyDisk::default();
    let segments = SegmentLimits { bytes: Some(1), time: None };
    let options = RecorderOptions { segments, ..RecorderOptions::default() };
    let recorder =
        Recorder::start_in(Arc::new(disk.clone()), target(), &options, PACE).expect("it starts");
    disk.hold_syncs(true);
    for sequence in 0..40 {
        recorder.record(&noise(sequence));
        until(&recorder, "flushed", |status| status.events > sequence);
    }
    let files = disk.files().len();
    assert!((8..=10).contains(&files), "{files} files");
    disk.hold_syncs(false);
    let status = recorder.finish().expect("nothing fails");
    assert_eq!((status.events, status.synced, status.dropped), (40, 40, 0));
    assert!(disk.files().iter().all(|(path, _)| path.extension().is_some_and(|e| e == "mcap")));
}

/// A next file of which not even the header can be written leaves nothing behind, however often that is
/// tried, and nothing but time stands in the way of what follows.
#[test]
fn next_files_that_cannot_be_begun_leave_nothing() {
    let disk = FaultyDisk::default();
    let options = RecorderOptions {
        segments: SegmentLimits { bytes: Some(1), time: None },
        parent: Some(ParentRecord { path: "a.mcap".to_owned(), how: "replayed".to_owned() }),
        ..RecorderOptions::default()
    };
    let recorder =
        Recorder::start_in(Arc::new(disk.clone()), target(), &options, PACE).expect("it starts");
    recorder.describe_plugin(PluginRecord {
        id: "test".to_owned(),
        version: "1.0.0".to_owned(),
        digest: String::new(),
        binding: None,
        manifest: None,
        instances: Vec::new(),
    });
    recorder.record(&noise(0));
    until(&recorder, "synced", |status| status.synced == 1);
    let used: usize = disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
    disk.state().quota = Some(used as u64);
    recorder.record(&noise(1));
    until(&recorder, "in trouble", |status| status.trouble.is_some());
    let pass = |operations: u64| {
        let end = disk.operations() + operations;
        until(&recorder, "trying", |_| disk.operations() >= end);
    };
    // As much room as the end of the first file needs, and less than the beginning of another.
    while !disk.files().iter().any(|(path, _)| path == target()) {
        let more = disk.state().quota.map(|quota| quota + 64);
        disk.state().quota = more;
        pass(4);
    }
    // Many tries.
    pass(400);
    let names: Vec<_> = disk.files().into_iter().map(|(path, _)| path).collect();
    assert!(names.len() <= 2, "{names:?}");
    disk.state().quota = None;
    until(&recorder, "well again", |status| status.trouble.is_none());
    recorder.record(&noise(2));
    let status = recorder.finish().expect("there is space again");
    let found = read_all(contents(&disk));
    assert_eq!(found.events, (0..3).map(noise).collect::<Vec<_>>());
    assert_eq!((status.events, found.damage), (3, 0));
}

#[test]
fn a_removed_file_is_noticed_and_counted() {
    let disk = FaultyDisk::default();
    let options = RecorderOptions { memory: 1 << 20, ..RecorderOptions::default() };
    let recorder =
        Recorder::start_in(Arc::new(disk.clone()), target(), &options, PACE).expect("it starts");
    (0..10).for_each(|sequence| recorder.record(&noise(sequence)));
    until(&recorder, "synced", |status| status.synced == 10);
    disk.remove_all();
    recorder.record(&noise(10));
    until(&recorder, "in trouble", |status| status.trouble.is_some());
    let status = recorder.status();
    let trouble = status.last_trouble.unwrap_or_default();
    assert!(trouble.contains("removed") || trouble.contains("cannot create"), "{trouble}");
    recorder.record(&noise(11));
    disk.state().gone = false;
    until(&recorder, "well again", |status| status.trouble.is_none());
    recorder.record(&noise(12));
    let status = recorder.finish().expect("the folder is there again");
    let found = read_all(contents(&disk));
    assert_eq!((found.lost, found.events.len() as u64), (status.dropped, status.events));
    assert_eq!(found.events.last(), Some(&noise(12)));
    assert_eq!((status.events + status.dropped, status.dropped), (13, 11));
    assert_eq!(status.path, Path::new("folder/run.002.mcap"));
}

/// Bytes behind a hole would make the file as long as it should be.
#[test]
fn a_shortened_file_is_noticed_and_counted() {
    #[track_caller]
    fn check(more_first: bool) {
        let disk = FaultyDisk::default();
        let options = RecorderOptions { memory: 1 << 20, ..RecorderOptions::default() };
        let recorder = Recorder::start_in(Arc::new(disk.clone()), target(), &options, PACE)
            .expect("it starts");
        (0..10).for_each(|sequence| recorder.record(&noise(sequence)));
        until(&recorder, "synced", |status| status.synced == 10);
        disk.shorten_all();
        let last = if more_first { 10 } else { 9 };
        (10..=last).for_each(|sequence| recorder.record(&noise(sequence)));
        if more_first {
            let noticed = |status: &RecorderStatus| status.last_trouble.is_some();
            until(&recorder, "in trouble", noticed);
            let trouble = recorder.status().last_trouble.unwrap_or_default();
            assert!(trouble.contains("shortened"), "{trouble}");
            recorder.record(&noise(11));
            let status = recorder.finish().expect("there is another file");
            assert_eq!((status.events, status.dropped), (1, 11));
            assert_eq!(status.path, Path::new("folder/run.002.mcap"));
        } else {
            let error = recorder.finish().expect_err("the file is cut").to_string();
            assert!(error.contains("shortened"), "{error}");
            assert_eq!((recorder.status().events, recorder.status().dropped), (0, 10));
        }
    }
    check(true);
    check(false);
}

/// `cargo test -p glovebox-trace a_full_file_system -- --ignored`, as root on Linux.
#[test]
#[ignore = "mounts a file system, which needs root"]
fn a_full_file_system_is_survived() {
    let folder = folder();
    let run = |program: &str, arguments: &[&str]| {
        let status =
            std::process::Command::new(program).args(arguments).arg(folder.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?}");
    };
    run("mount", &["-t", "tmpfs", "-o", "size=1m", "none"]);
    let path = folder.path().join("run.mcap");
    let options = RecorderOptions { memory: 1 << 20, ..RecorderOptions::default() };
    let recorder = Recorder::start(&path, &options).expect("it is empty");
    let sent: Vec<Event> = (0..20_000).map(noise).collect();
    sent[..10_000].iter().for_each(|event| recorder.record(event));
    until(&recorder, "full", |status| status.trouble.is_some());
    assert!(recorder.status().trouble.is_some_and(|trouble| trouble.contains("space")));
    run("mount", &["-o", "remount,size=64m", "none"]);
    until(&recorder, "well again", |status| status.trouble.is_none());
    sent[10_000..].iter().for_each(|event| recorder.record(event));
    let status = recorder.finish().expect("there is space again");
    assert!(status.dropped > 0 && status.events + status.dropped == 20_000, "{status:?}");
    let found = read_all([std::fs::read(&path).expect("it is finished")]);
    assert_eq!((found.lost, found.damage), (status.dropped, 0));
    assert!(is_subsequence(&found.events, &sent));
    run("umount", &[]);
}
