//! Windows and searches, against the same from a whole read.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use glovebox_events::{CallId, Event};
use glovebox_trace::{
    MadeUpRun, Problem, TraceError, TraceOutline, TraceReader, TraceWriter, check,
};
use proptest::prelude::*;

use super::*;
use crate::filter::Filter;
use crate::sample;
use crate::store::{Store, StoreLimits};
use crate::test_support::{NEVER, build, events, made_up};

/// Names of records in a trace, see [its format](glovebox_trace::format).
const TALLY: &str = "tally";
const TOTALS: &str = "totals";

/// All of a trace, read whole.
fn whole(path: &Path) -> Store {
    let mut store =
        Store::new(StoreLimits { bytes: usize::MAX, list: 1_000_000, host_call: usize::MAX });
    for event in glovebox_trace::read(path).expect("it is a trace").events {
        store.ingest(&event);
    }
    store
}

#[test]
fn windows_show_what_a_whole_read_shows() {
    let (_folder, path) = made_up(6_000);
    let whole = whole(&path);
    let index = Arc::new(build(&path));
    let mut windows = FrameWindows::open(&path, index).expect("it is there");
    let mut check = |rows: std::ops::Range<u64>| {
        let window = windows.read(rows.clone()).expect("it can be read");
        for number in rows {
            let found = window.row(number).expect("it was asked for");
            let expected = whole.row(number as usize).expect("it is in the trace");
            assert_eq!(found.sequence, expected.sequence, "row {number}");
            assert_eq!(found.since_start, expected.since_start, "row {number}");
            assert_eq!(found.status, expected.status, "row {number}");
            assert_eq!(found.latency, expected.latency, "row {number}");
            assert_eq!(found.beside, expected.beside, "row {number}");
            assert_eq!(found.frame, expected.frame, "row {number}");
        }
    };
    check(0..6_000);
    (0..6_000).step_by(100).for_each(|row| check(row..row + 1));
    let beyond = windows.read(6_000..6_001).expect("it can be read");
    assert!(beyond.store.is_empty() && beyond.row(6_000).is_none());
}

#[test]
fn an_outline_shows_what_an_index_shows() {
    let (_folder, path) = made_up(6_000);
    let index = Arc::new(build(&path));
    let outline = TraceOutline::open(&path).expect("it is a trace").expect("it is finished");
    assert_eq!((outline.frames(), outline.range()), (6_000, index.info().range));
    let mut by_index = FrameWindows::open(&path, index).expect("it is there");
    let mut by_outline = FrameWindows::of_outline(&path, &outline).expect("it is there");
    let mut pending = 0;
    for number in (0..6_000).step_by(50) {
        let one = by_index.read(number..number + 1).expect("it can be read");
        let other = by_outline.read(number..number + 1).expect("it can be read");
        assert!(one.ends_known && !other.ends_known);
        assert_eq!(one.rows, other.rows);
        for (one, other) in one.store.rows().zip(other.store.rows()) {
            assert_eq!((one.id, one.sequence), (other.id, other.sequence));
            assert_eq!((one.since_start, &one.frame), (other.since_start, &other.frame));
            if other.status == crate::store::Status::Pending {
                pending += 1;
            } else {
                assert_eq!((&one.status, one.latency), (&other.status, other.latency));
            }
        }
    }
    assert!(pending > 0, "no call ends in another span, so nothing is unknown");
}

#[test]
fn a_row_is_read_with_its_call() {
    let (_folder, path) = made_up(6_000);
    let whole = whole(&path);
    let outline = TraceOutline::open(&path).expect("it is a trace").expect("it is finished");
    let mut by_outline = FrameWindows::of_outline(&path, &outline).expect("it is there");
    let index = Arc::new(build(&path));
    let edges: Vec<u64> = index.spans().iter().map(|span| span.rows().start).collect();
    let mut by_index = FrameWindows::open(&path, index).expect("it is there");
    let mut far = 0;
    // Calls that are in two spans are near the edges of spans.
    for number in edges.iter().flat_map(|edge| edge.saturating_sub(4)..edge + 4) {
        let row = whole.row(number as usize).expect("it is in the trace");
        let expected = whole.call(row.call).expect("it has a row");
        for windows in [&mut by_outline, &mut by_index] {
            let read = windows.read_call(row.id.0).expect("it can be read");
            let call = read.window.store.call(row.call).expect("it has the row");
            assert!(read.is_whole, "row {}", row.id.0);
            assert_eq!(call.rows, expected.rows, "row {}", row.id.0);
            assert_eq!(call.host_calls, expected.host_calls, "row {}", row.id.0);
            assert_eq!(call.status, expected.status, "row {}", row.id.0);
            let own = windows.read(row.id.0..row.id.0 + 1).expect("it can be read");
            far += usize::from(own.rows != read.window.rows);
        }
        let first = by_index.row_of(row.call).expect("it can be read");
        assert_eq!(first, Some(expected.rows[0].0));
    }
    assert!(far > 0, "every call is in one span, so nothing more is read");
    assert_eq!(by_index.row_of(CallId(u64::MAX)).expect("it can be read"), None);
}

/// The state of the outline of a trace that was changed.
#[derive(Debug, PartialEq)]
enum Outlined {
    /// There is none.
    Not,
    /// All rows can be read by it.
    Right,
    /// It is there, and reading says that it is wrong.
    Wrong,
}

#[test]
fn a_bad_summary_is_found_out() {
    let (_folder, path) = made_up(3_000);
    let whole = std::fs::read(&path).expect("it was written");
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: Outlined| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&path, &bytes).expect("there is space");
        let found = match TraceOutline::open(&path).expect("it is a trace") {
            None => Outlined::Not,
            Some(outline) => {
                let mut windows = FrameWindows::of_outline(&path, &outline).expect("it is there");
                let mut rows = (0..outline.frames()).step_by(100);
                match rows.find_map(|row| windows.read(row..row + 1).err()) {
                    None => Outlined::Right,
                    Some(TraceError::SummaryWrong { .. }) => Outlined::Wrong,
                    Some(other) => panic!("{other}"),
                }
            }
        };
        assert_eq!(found, expected);
    };
    let after = |bytes: &[u8], text: &[u8]| {
        // The totals after the last tally have the same entries, and nobody reads them here.
        let totals = bytes.windows(TOTALS.len()).position(|window| window == TOTALS.as_bytes());
        let end = totals.filter(|_| text != TALLY.as_bytes()).unwrap_or(bytes.len());
        let found = bytes[..end].windows(text.len()).rposition(|window| window == text);
        found.expect("it is there") + text.len()
    };
    check(&|_| {}, Outlined::Right);
    check(&|bytes| bytes.truncate(bytes.len() - 1), Outlined::Not);
    check(&|bytes| bytes.truncate(bytes.len() / 2), Outlined::Not);
    // The summary has a CRC, the footer is part of it, and the end mark is checked.
    for back in [1, 10, 20, 30, 40, 200, 1_000] {
        let change = |bytes: &mut Vec<u8>| {
            let at = bytes.len() - back;
            bytes[at] ^= 1;
        };
        check(&change, Outlined::Not);
    }
    // Its CRC is right, but where it says that it starts there is no whole record.
    let starts_at = |bytes: &mut [u8], start: usize| {
        let footer = bytes.len() - 37;
        bytes[footer + 9..footer + 17].copy_from_slice(&(start as u64).to_le_bytes());
        let crc = crc32fast::hash(&bytes[start..footer + 25]);
        bytes[footer + 25..footer + 29].copy_from_slice(&crc.to_le_bytes());
    };
    let short = |bytes: &mut Vec<u8>| {
        let start = bytes.len() - 39;
        starts_at(bytes, start);
    };
    check(&short, Outlined::Not);
    // A tally stands where there is no file.
    let far_away = |bytes: &mut Vec<u8>| {
        let footer = bytes.len() - 37;
        let start = bytes[footer + 9..footer + 17].try_into().expect("there are eight");
        let name = after(bytes, TALLY.as_bytes()) - TALLY.len();
        bytes[name - 20..name - 12].fill(0xFF);
        starts_at(bytes, u64::from_le_bytes(start) as usize);
    };
    check(&far_away, Outlined::Not);
    // The middle is in a chunk, which has a CRC of its own.
    let in_a_chunk = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    check(&in_a_chunk, Outlined::Wrong);
    // The sum of a tally does not add up any more.
    let in_a_tally = |bytes: &mut Vec<u8>| {
        let at = after(bytes, b"frames-in") + 4;
        bytes[at] ^= 1;
    };
    check(&in_a_tally, Outlined::Not);
    // It adds up, but is wrong: an end of a call counts as a frame.
    let two_in_a_tally = |bytes: &mut Vec<u8>| {
        for (entry, change) in [(&b"frames-out"[..], 1), (b"calls-ended", -1)] {
            let at = after(bytes, entry);
            let last_digit = at + 3 + usize::from(bytes[at]);
            bytes[last_digit] = bytes[last_digit].checked_add_signed(change).expect("a digit");
        }
    };
    check(&two_in_a_tally, Outlined::Wrong);
}

#[test]
fn a_ranking_is_that_of_a_whole_read() {
    let (_folder, path) = made_up(6_000);
    let whole = whole(&path);
    let index = build(&path);
    let check = |text: &str, by: SortBy, largest_first: bool| {
        let (filter, order) = (Filter::parse(text).expect(text), Order { by, largest_first });
        let rows = (0_u64..).zip(whole.rows());
        let rows = rows.filter(|(_, row)| filter.matches(&row.subject()));
        let mut expected: Vec<_> =
            rows.map(|(number, row)| (order.rank(row.latency, row.size()), number)).collect();
        expected.sort_unstable();
        let mut ranking = Ranking::default();
        let mut take = |ranked: &[(u64, u64)]| {
            ranked.iter().for_each(|(rank, row)| ranking.add(*rank, *row));
        };
        rank(&path, &index, (&filter, order), &mut take, &|_, _| {}, &NEVER)
            .expect("it can be read");
        let expected: Vec<_> = expected.into_iter().map(|(_, row)| row).collect();
        assert_eq!(ranking.rows(), expected, "{text} {order:?}");
        assert!(!expected.is_empty(), "{text}");
    };
    for (by, largest_first) in [
        (SortBy::Latency, true),
        (SortBy::Latency, false),
        (SortBy::Size, true),
        (SortBy::Size, false),
    ] {
        check("", by, largest_first);
        check("dir:in", by, largest_first);
        check("latency>2ms", by, largest_first);
    }
}

#[test]
fn a_search_finds_what_a_whole_read_finds() {
    let (_folder, path) = made_up(6_000);
    let whole = whole(&path);
    let index = build(&path);
    let check = |text: &str, is_found: bool| {
        let filter = Filter::parse(text).expect(text);
        let rows = (0..).zip(whole.rows());
        let expected: Vec<Hit> = rows
            .filter(|(_, row)| filter.matches(&row.subject()))
            .map(|(number, row)| Hit { row: number, call: row.call })
            .collect();
        let mut found = Vec::new();
        let mut take = |hits: &[Hit]| found.extend_from_slice(hits);
        find(&path, &index, &filter, &mut take, &|_, _| {}, &NEVER).expect("it can be read");
        found.sort_by_key(|hit| hit.row);
        assert_eq!(found, expected, "{text}");
        assert_eq!(!found.is_empty(), is_found, "{text}");
    };
    check("", true);
    check("header.user.id=42", true);
    check("latency>5ms and header.user.id<300", true);
    check("latency>2ms", true);
    check("status:error dir:in", true);
    check("status:denied", true);
    check("not status:ok", true);
    check("plugin:redact kind:control or plugin:audit size>200", true);
    check("call in 100..120", true);
    check("payload.order=7", true);
    check("time<1ms", true);
    check("plugin=nobody", false);
    check("latency>10s", false);
}

#[test]
fn a_call_is_selected_whole() {
    let (folder, path) = made_up(3_000);
    let out = folder.path().join("few.mcap");
    let filter = Filter::parse("latency>1ms").expect("it is a filter");
    let index = build(&path);
    let report = select(&path, &index, &filter, &out, &|_, _| {}, &NEVER).expect("there is space");
    let store = whole(&path);
    let matching = store.rows().filter(|row| filter.matches(&row.subject()));
    let wanted: HashSet<CallId> = matching.map(|row| row.call).collect();
    let expected: Vec<Event> = events(&path)
        .into_iter()
        .filter(|event| event.what.call().is_none_or(|call| wanted.contains(&call)))
        .collect();
    assert_eq!(events(&out), expected);
    assert_eq!((report.calls, report.events), (wanted.len() as u64, expected.len() as u64));
}

/// Conditions of every sort, some of which hold for few frames of a made-up run.
fn conditions() -> impl Strategy<Value = String> {
    let number = 0..600u32;
    prop_oneof![
        number.clone().prop_map(|user| format!("header.user.id={user}")),
        number.clone().prop_map(|user| format!("header.user.id<{user}")),
        number.clone().prop_map(|order| format!("header.id:order-{order}")),
        number.clone().prop_map(|order| format!("payload.order>{order}")),
        number.clone().prop_map(|call| format!("call in {call}..")),
        number.prop_map(|size| format!("size>{size}")),
        (0..40u32).prop_map(|half| format!("latency>{}us", half * 500)),
        prop::sample::select(vec![
            "status:denied",
            "status:error",
            "dir:out",
            "kind:control",
            "plugin:redact",
            "time<10ms",
            "text:deposit",
            "header.content-type~/cbor/",
        ])
        .prop_map(str::to_owned),
    ]
}

fn filters() -> impl Strategy<Value = String> {
    conditions().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The quick looks at lines and headers, and all that is passed over, change no result.
    #[test]
    fn a_search_is_the_same_as_trying_every_frame(
        seed: u64,
        damaged: Option<prop::sample::Index>,
        filters in prop::collection::vec(filters(), 12),
    ) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
        for (number, event) in MadeUpRun::new(1_500, seed).enumerate() {
            writer.write(&event).expect("there is space");
            if number % 97 == 0 {
                writer.flush().expect("there is space");
            }
        }
        writer.finish().expect("there is space");
        if let Some(place) = damaged {
            let mut bytes = std::fs::read(&path).expect("it was written");
            // Behind the announcements, without which it is no trace.
            let place = 1_000 + place.index(bytes.len() / 2);
            bytes[place] ^= 0x10;
            std::fs::write(&path, &bytes).expect("there is space");
        }
        let (index, whole, all) = (build(&path), whole(&path), events(&path));
        for text in filters {
            let filter = Filter::parse(&text).expect(&text);
            let rows = (0..).zip(whole.rows());
            let expected: Vec<Hit> = rows
                .filter(|(_, row)| filter.matches(&row.subject()))
                .map(|(number, row)| Hit { row: number, call: row.call })
                .collect();
            let mut found = Vec::new();
            let mut take = |hits: &[Hit]| found.extend_from_slice(hits);
            find(&path, &index, &filter, &mut take, &|_, _| {}, &NEVER).expect("it can be read");
            found.sort_by_key(|hit| hit.row);
            prop_assert_eq!(&found, &expected, "{}", text);
            let out = folder.path().join("out.mcap");
            select(&path, &index, &filter, &out, &|_, _| {}, &NEVER).expect("there is space");
            let wanted: HashSet<CallId> = expected.iter().map(|hit| hit.call).collect();
            let is_wanted = |event: &&Event| {
                event.what.call().is_none_or(|call| wanted.contains(&call))
            };
            let kept: Vec<&Event> = all.iter().filter(is_wanted).collect();
            prop_assert!(events(&out).iter().eq(kept), "{}", text);
            std::fs::remove_file(&out).expect("it was written");
        }
    }
}

/// A trace that is cut or replaced while it is read by its index: reading says so.
#[test]
fn a_trace_that_changes_under_its_reader_is_noticed() {
    fn check(change: impl Fn(&Path, Vec<u8>)) {
        let (_folder, path) = made_up(3_000);
        let index = build(&path);
        let bytes = std::fs::read(&path).expect("it was written");
        let mut windows = FrameWindows::open(&path, Arc::new(index.clone())).expect("it is there");
        windows.read(0..10).expect("nothing changed yet");
        let mut events = TraceReader::open(&path).expect("it is a trace");
        events.next().expect("there are some").expect("it is good");
        change(&path, bytes);
        let error = windows.read(2_900..2_901).expect_err("it is not there").to_string();
        assert!(error.contains("the trace was changed since"), "{error}");
        let filter = Filter::parse("").expect("it matches all");
        let found = find(&path, &index, &filter, &mut |_| {}, &|_, _| {}, &NEVER);
        assert!(matches!(found, Err(TraceError::SummaryWrong { .. })), "{found:?}");
        // A read from start to end ends where the file does.
        let left = events.filter(|event| event.as_ref().is_err_and(|error| !error.is_damage()));
        assert_eq!(left.count(), 0);
    }
    check(|path, bytes| {
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is there");
        file.set_len(bytes.len() as u64 / 2).expect("it can be cut");
    });
    check(|path, bytes| std::fs::write(path, vec![0; bytes.len()]).expect("there is space"));
    check(|path, bytes| std::fs::write(path, &bytes[..8]).expect("there is space"));
}

#[test]
fn damage_costs_what_is_damaged() {
    let (_folder, path) = made_up(3_000);
    let mut bytes = std::fs::read(&path).expect("it was written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, &bytes).expect("there is space");
    let index = build(&path);
    let report = check(&path, &NEVER).expect("it is a trace");
    let places = |problems: &[Problem]| -> Vec<(u64, u64)> {
        problems.iter().map(|problem| (problem.offset, problem.bytes)).collect()
    };
    assert_eq!(places(index.problems()), places(&report.problems));
    assert_eq!(index.info(), &report.info);
    assert!(index.info().damaged_bytes > 0);
    let left = whole(&path);
    let mut windows = FrameWindows::open(&path, Arc::new(index)).expect("it is there");
    let window = windows.read(0..3_000).expect("it can be read");
    assert_eq!(window.store.len(), left.len());
    let same = window.store.rows().zip(left.rows());
    assert!(same.into_iter().all(|(one, other)| one.sequence == other.sequence));
}

#[test]
fn selections_hold_whole_calls() {
    fn check(filter: &str, calls: u64, events: u64) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("a.mcap");
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
        for event in sample::events() {
            writer.write(&event).expect("there is space");
        }
        writer.write_gap(2, glovebox_trace::GapCause::DiskFull).expect("there is space");
        let parent = glovebox_trace::ParentRecord { path: "b".into(), how: "replayed".into() };
        writer.describe_parent(&parent).expect("there is space");
        let (at, states, store) = (0, Vec::new(), Default::default());
        let snapshot = glovebox_events::Snapshot {
            plugin: "redact".into(),
            at,
            instance: 1,
            generation: 1,
            after: None,
            states,
            store,
        };
        writer.write_snapshot(&snapshot).expect("there is space");
        writer.finish().expect("there is space");
        let out = folder.path().join("out.mcap");
        let filter = filter.parse().expect(filter);
        let index = build(&path);
        let report =
            select(&path, &index, &filter, &out, &|_, _| {}, &NEVER).expect("it is a trace");
        assert_eq!((report.calls, report.skipped), (calls, 2 - calls), "{filter:?}");
        assert_eq!(report.events, events, "{filter:?}");
        let found = glovebox_trace::read(&out).expect("it was written");
        assert_eq!((found.events.len() as u64, found.damage.len()), (events, 0));
        assert_eq!((report.lost_events, found.lost_events), (2, 2));
        assert_eq!(report.snapshots_left_out, 1);
        let info = glovebox_trace::info(&out).expect("it was written");
        assert_eq!((info.parent, info.snapshots), (Some(parent), 0));
        let mut all = sample::events().into_iter();
        assert!(found.events.iter().all(|event| all.any(|one| one == *event)));
    }
    check("", 2, 20);
    check("kind:data", 1, 15);
    check("status:limit-exceeded", 1, 16);
    check("nowhere", 0, 11);
}
