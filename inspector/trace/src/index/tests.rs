//! An index, against the same from a whole read.

use std::time::Duration;

use glovebox_events::{Event, What};

use super::*;
use crate::format::TOTALS;
use crate::test_support::{NEVER, build, events, made_up};
use crate::*;

#[test]
fn an_index_counts_what_a_whole_read_counts() {
    let (_folder, path) = made_up(6_000);
    let index = build(&path);
    let report = check(&path, &NEVER).expect("it is a trace");
    assert_eq!(index.info(), &report.info);
    assert_eq!(index.missing_events, report.missing_events);
    assert_eq!(index.frames(), 6_000);
    assert!(index.spans.len() > 10, "{} spans", index.spans.len());
    let late: usize = index.spans.iter().map(|span| span.late.len()).sum();
    assert!(late > 0, "no call spans two chunks, so nothing is joined");
}

/// The summary alone says what a scan says, and `check` finds it out if it does not.
#[test]
fn a_summary_says_what_a_scan_says() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let parent = ParentRecord { path: "a.mcap".into(), how: "made up".into() };
    writer.describe_parent(&parent).expect("there is space");
    let plugin = PluginRecord {
        id: "redact".into(),
        version: "1.0.0".into(),
        digest: "abc".into(),
        binding: Some(glovebox_events::Binding::FrameAbi),
        manifest: Some("[plugin]\nid = \"redact\"\n".into()),
        instances: Vec::new(),
    };
    writer.describe_plugin(&plugin).expect("there is space");
    for event in sample::events() {
        writer.write(&event).expect("there is space");
    }
    for event in MadeUpRun::new(500, 3) {
        writer.write(&event).expect("there is space");
    }
    writer.write_gap(5, GapCause::DiskFull).expect("there is space");
    writer.finish().expect("there is space");
    let scanned = build(&path).info().clone();
    assert!(scanned.errors > 0 && scanned.plugins.len() > 2, "{scanned:?}");
    assert_eq!((scanned.dropped_frames, scanned.skipped_messages), (3, 0));
    // It does not tell apart how calls ended.
    let scanned = TraceInfo { ends: None, ..scanned };
    assert_eq!(TraceIndex::summary(&path).expect("it is a trace"), Some(scanned));
    assert_eq!(check(&path, &NEVER).expect("it is a trace").problems, []);
    // The totals are outside of every CRC but those of the whole, which older readers did not check.
    let good = std::fs::read(&path).expect("it was written");
    let totals = good.windows(6).position(|window| window == TOTALS.as_bytes()).expect("there");
    for name in ["not-completed", "dropped", "lost", "snapshots", "frames-out"] {
        let mut bytes = good.clone();
        let text = name.as_bytes();
        let at =
            totals + bytes[totals..].windows(text.len()).position(|w| w == text).expect("there");
        bytes[at + text.len() + 4] ^= 1;
        std::fs::write(&path, &bytes).expect("there is space");
        let report = check(&path, &NEVER).expect("it is a trace");
        assert!(!report.is_good(), "{name}");
        // Of frames, the last tally says another number; of the rest nobody does.
        let is_believed = TraceIndex::summary(&path).expect("it is a trace").is_some();
        assert_eq!(is_believed, ["not-completed", "dropped", "lost"].contains(&name), "{name}");
        if is_believed {
            let lie = format!("the totals say {name} ");
            assert!(report.problems.iter().any(|one| one.reason.starts_with(&lie)), "{report:?}");
        }
    }
    // A trace that is not finished has none.
    std::fs::write(&path, &good[..good.len() - 1]).expect("there is space");
    assert_eq!(TraceIndex::summary(&path).expect("it is a trace"), None);
}

#[test]
fn what_is_no_index_stays() {
    /// Checks the content under the name of the index, and whether an index takes its place.
    #[track_caller]
    fn check(content: &[u8], is_replaced: bool) {
        let (_folder, path) = made_up(100);
        let index = build(&path);
        let stamp = file::Stamp::of(&path).expect("it is there");
        let beside = path.with_extension("mcap.index");
        std::fs::write(&beside, content).expect("there is space");
        assert_eq!(file::save(&path, &stamp, &index).is_ok(), is_replaced);
        let is_same = std::fs::read(&beside).expect("it is there") == content;
        assert_eq!(is_same, !is_replaced, "{content:?}");
        assert_eq!(file::load(&path, &stamp).is_some(), is_replaced, "{content:?}");
    }
    check(b"GBINDEX3 of an earlier version", true);
    check(b"GBINDEX", true);
    check(b"GBINDE", false);
    check(b"", false);
    check(b"the index of my book", false);
}

#[test]
fn an_index_is_kept_as_long_as_it_fits() {
    let (_folder, path) = made_up(3_000);
    let index = build(&path);
    let stamp = file::Stamp::of(&path).expect("it is there");
    assert_eq!(file::load(&path, &stamp), None);
    file::save(&path, &stamp, &index).expect("there is space");
    assert_eq!(file::load(&path, &stamp), Some(index));
    assert!(TraceIndex::beside(&path).expect("it is there").is_some());
    let beside = path.with_extension("mcap.index");
    let mut bytes = std::fs::read(&beside).expect("it was saved");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&beside, &bytes).expect("there is space");
    assert_eq!(file::load(&path, &stamp), None, "a flipped bit");
    bytes[middle] ^= 1;
    std::fs::write(&beside, &bytes).expect("there is space");
    let whole = std::fs::read(&path).expect("it was written");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("there is space");
    assert!(TraceIndex::beside(&path).expect("it is there").is_none(), "another trace");
}

/// An index that a stranger made or changed counts for nothing, and one that is wrong in spite of our
/// own seal neither stops a reader nor lets it run on.
#[test]
fn an_index_that_is_not_ours_is_made_anew() {
    let (_folder, path) = made_up(3_000);
    let index = build(&path);
    let stamp = file::Stamp::of(&path).expect("it is there");
    let save = |index: &TraceIndex| {
        file::save(&path, &stamp, index).expect("there is space");
    };
    save(&index);
    let beside = path.with_extension("mcap.index");
    let good = std::fs::read(&beside).expect("it was saved");
    let open = || TraceIndex::open(&path, &mut |_, _| {}, &NEVER).expect("it is a trace");
    for at in (0..good.len()).step_by(good.len() / 20) {
        for change in [1, 0xFF] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            std::fs::write(&beside, &bytes).expect("there is space");
            assert_eq!(open(), index, "byte {at} ^ {change:#x}");
        }
    }
    // Somebody who can recompute a CRC cannot make the seal.
    let mut bytes = good.clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&beside, &bytes).expect("there is space");
    assert!(TraceIndex::beside(&path).expect("it is there").is_none());
    // Numbers that a bug of ours might write.
    type Change = fn(&mut TraceIndex, u64);
    let changes: [Change; 14] = [
        |index, by| index.info.frames_in = index.info.frames_in.wrapping_add(by),
        |index, by| index.info.frames_out = index.info.frames_out.wrapping_add(by),
        |index, by| index.info.size = index.info.size.wrapping_add(by),
        |index, by| index.info.events = index.info.events.wrapping_sub(by),
        |index, by| index.spans[3].first_row = index.spans[3].first_row.wrapping_add(by),
        |index, by| index.spans[3].frames = index.spans[3].frames.wrapping_add(by),
        |index, by| index.spans[3].offset = index.spans[3].offset.wrapping_add(by),
        |index, by| index.spans[3].length = index.spans[3].length.wrapping_add(by),
        |index, by| {
            let last = index.spans.len() - 1;
            index.spans[last].length = index.spans[last].length.wrapping_add(by);
        },
        |index, _| drop(index.spans.pop()),
        |index, _| index.spans.clear(),
        |index, _| index.spans.swap(0, 1),
        |index, by| {
            let late: Vec<_> = index.spans.iter().flat_map(|span| span.late.clone()).collect();
            index.spans[3].late.extend(late.into_iter().take(by as usize % 7));
        },
        |index, by| index.channels.events = index.channels.events.wrapping_add(by as u16),
    ];
    let mut refused = 0;
    for (number, change) in changes.iter().enumerate() {
        for by in [1, 1_000, u64::MAX / 2, u64::MAX] {
            let mut wrong = index.clone();
            change(&mut wrong, by);
            save(&wrong);
            let Some(loaded) = file::load(&path, &stamp) else {
                refused += 1;
                continue;
            };
            // Nothing that is read by it is out of its bounds, and every span has an answer.
            let mut reader = SpanReader::open(&path, &loaded).expect("it is there");
            for span in loaded.spans() {
                let read = reader.read(span);
                let is_told = read.is_ok() || matches!(read, Err(TraceError::SummaryWrong { .. }));
                assert!(is_told, "change {number} by {by}: {read:?}");
            }
        }
    }
    assert!(refused >= 36, "{refused} refused");
}

#[test]
fn reading_is_cancelled() {
    let (_folder, path) = made_up(1_000);
    let cancelled = AtomicBool::new(true);
    let index = TraceIndex::build(&path, &mut |_, _| {}, &cancelled);
    assert!(matches!(index, Err(TraceError::Cancelled { .. })));
}

#[test]
fn parts_merge_into_the_whole() {
    let (folder, path) = made_up(3_000);
    let all = events(&path);
    let mut number = 0;
    let mut check = |limit: PartLimit| {
        number += 1;
        let out = folder.path().join(format!("part{number}.mcap"));
        let report = split(&path, limit, &out, &mut |_, _| {}, &NEVER).expect("there is space");
        assert!(report.parts.len() > 1, "{limit:?}: {report:?}");
        let paths: Vec<_> = report.parts.iter().rev().map(|part| part.path.clone()).collect();
        let merged = folder.path().join(format!("merged{number}.mcap"));
        let report = merge(&paths, &merged, "0.1.0", &mut |_, _| {}, &NEVER).expect("it is read");
        assert!(report.one_recording);
        assert!(events(&merged) == all, "{limit:?}: the merged parts differ from the whole");
    };
    check(PartLimit::Frames(1_000));
    check(PartLimit::Time(Duration::from_millis(100)));
    check(PartLimit::Bytes(100_000));
}

#[test]
fn traces_of_two_recordings_stay_apart() {
    let (folder, path) = made_up(1_000);
    let out = folder.path().join("two.mcap");
    let report = merge(&[&path, &path], &out, "0.1.0", &mut |_, _| {}, &NEVER).expect("it is read");
    assert!(!report.one_recording);
    assert_eq!(report.unsorted, 0);
    let (one, two) = (build(&path), build(&out));
    assert_eq!(two.info().events, 2 * one.info().events);
    assert_eq!(two.last_call, 2 * one.last_call);
    let all = events(&out);
    assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert!((0..).zip(&all).all(|(number, event)| event.sequence == number));
    assert_eq!(two.calls_without_outcome(), one.calls_without_outcome());
}

#[test]
fn events_of_an_unsorted_trace_are_counted() {
    #[track_caller]
    fn check(times: &[u64], other: &[u64], expected: (&[u64], u64)) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = |name: &str| folder.path().join(name);
        for (name, times) in [("a.mcap", times), ("b.mcap", other)] {
            let mut writer = TraceWriter::create(path(name), "0").expect("the folder is empty");
            for (event, at) in events(&made_up(100).1).into_iter().zip(times) {
                writer.write(&Event { at: *at, ..event }).expect("there is space");
            }
            writer.finish().expect("there is space");
        }
        let (parts, out) = ([path("a.mcap"), path("b.mcap")], path("out.mcap"));
        let report = merge(&parts, &out, "0", &mut |_, _| {}, &NEVER).expect("it is read");
        let merged: Vec<u64> = events(&out).iter().map(|event| event.at).collect();
        assert_eq!((merged.as_slice(), report.unsorted), expected);
    }
    check(&[1, 3], &[2, 4], (&[1, 2, 3, 4], 0));
    check(&[9, 1, 2, 9], &[8, 10], (&[8, 9, 1, 2, 9, 10], 2));
}

#[test]
fn calls_without_an_outcome_are_counted() {
    /// Which events of a made-up run are kept, by the number of their call, and how many calls have
    /// no outcome then.
    #[track_caller]
    fn check(keep: impl Fn(&What, u64) -> bool, expected: impl Fn(u64) -> u64) {
        let (folder, path) = made_up(3_000);
        let mut calls = 0;
        let cut = folder.path().join("cut.mcap");
        let mut writer = TraceWriter::create(&cut, "0").unwrap();
        for event in events(&path) {
            let call = match &event.what {
                What::FrameIn { call, .. } => {
                    calls += 1;
                    Some(*call)
                }
                What::FrameOut { call, .. } | What::CallEnded { call, .. } => Some(*call),
                _ => None,
            };
            if call.is_none_or(|call| keep(&event.what, call.0)) {
                writer.write(&event).unwrap();
            }
        }
        writer.finish().unwrap();
        assert_eq!(build(&path).calls_without_outcome(), 0);
        assert_eq!(build(&cut).calls_without_outcome(), expected(calls));
    }
    let is_end = |what: &What| matches!(what, What::CallEnded { .. });
    check(|_, _| true, |_| 0);
    check(|what, _| !is_end(what), |calls| calls);
    check(|what, call| !is_end(what) || call != 7, |_| 1);
    // Calls that began before the trace are not counted, even if parts of them are there.
    check(|what, call| is_end(what) || call != 7, |_| 0);
    check(|what, call| matches!(what, What::FrameOut { .. }) || call != 7, |_| 0);
}
