use std::sync::atomic::AtomicBool;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, LogLevel, Permission, ServiceError};
use glovebox_events::{AnsweredBy, Event, HostCall, Outcome, Timing, What};

use super::*;
use crate::sample;
use glovebox_trace::{Statuses, TraceWriter};

fn event(sequence: u64, what: What) -> Event {
    Event {
        sequence,
        at: 1_000_000 + sequence * 1000,
        plugin: "echo".into(),
        instance: 0,
        generation: 1,
        what,
    }
}

fn frame_in(sequence: u64, call: u64, size: usize) -> Event {
    let (call, frame) = (CallId(call), Frame::data(vec![0; size]));
    event(sequence, What::FrameIn { call, frame })
}

fn ended(sequence: u64, call: u64, outcome: Outcome) -> Event {
    let timing = Timing { guest: Duration::from_millis(3), ..Timing::default() };
    let what = What::CallEnded {
        call: CallId(call),
        outcome,
        timing,
        bytes_in: 0,
        bytes_out: 0,
        frames_out: 0,
        memory: Some(7),
    };
    event(sequence, what)
}

fn host_call(
    sequence: u64,
    call: u64,
    service: &'static str,
    result: Result<Value, ServiceError>,
) -> Event {
    answered(sequence, call, service, result, AnsweredBy::Host)
}

fn answered(
    sequence: u64,
    call: u64,
    service: &'static str,
    result: Result<Value, ServiceError>,
    answered_by: AnsweredBy,
) -> Event {
    let host_call = HostCall {
        service: service.into(),
        permission: Permission::Log,
        arguments: Value::Array(vec![Value::Integer(3), Value::Text("careful".into())]),
        result,
        took: Duration::ZERO,
        answered_by,
    };
    let call = Some(CallId(call));
    event(sequence, What::HostCall { call, host_call })
}

#[test]
fn rows_show_how_their_call_ended() {
    fn check(outcome: Outcome, name: &str, is_error: bool) {
        let mut store = Store::default();
        store.ingest(&frame_in(0, 1, 10));
        assert_eq!(store.row(0).expect("it came").status.name(), "pending");
        let version = store.version();
        store.ingest(&ended(3, 1, outcome));
        assert!(store.version() > version);
        let row = store.row(0).expect("it came");
        assert_eq!(row.status.name(), name);
        assert_eq!(row.status.is_error(), is_error);
        assert_eq!(row.latency, Some(Duration::from_millis(3)));
        assert_eq!(row.size(), 22);
        let call = store.call(CallId(1)).expect("it came");
        assert_eq!((call.rows.as_slice(), call.memory), (&[RowId(0)][..], Some(7)));
        assert_eq!(store.missing(), 2);
    }
    check(Outcome::Completed, "completed", false);
    check(Outcome::Cancelled, "cancelled", true);
}

#[test]
fn times_count_from_the_first_event_and_the_row_before() {
    let mut store = Store::default();
    store.ingest(&event(0, What::Unloaded));
    store.ingest(&frame_in(2, 1, 0));
    store.ingest(&frame_in(5, 2, 0));
    let times: Vec<_> = store
        .rows()
        .map(|row| (row.since_start.as_micros(), row.since_previous.as_micros()))
        .collect();
    assert_eq!(times, [(2, 0), (5, 3)]);
}

#[test]
fn logs_and_denials_are_listed() {
    let mut store = Store::default();
    store.ingest(&frame_in(0, 1, 0));
    store.ingest(&host_call(1, 1, "log", Ok(Value::Null)));
    store.ingest(&host_call(2, 1, "kv-get", Err(ServiceError::Denied)));
    let line = store.log().front().expect("it was logged");
    let found = (line.call, line.level, line.message.as_str());
    assert_eq!(found, (Some(CallId(1)), LogLevel::Warn, "careful"));
    assert_eq!(store.denials()[0].service, "kv-get");
    assert_eq!(store.row(0).expect("it came").beside, Statuses::DENIED);
    assert_eq!(store.call(CallId(1)).expect("it came").host_calls.len(), 2);
}

#[test]
fn a_denial_by_a_fault_is_not_one_by_the_policy() {
    /// Checks the status beside the outcome, and the denials by the policy and in all.
    #[track_caller]
    fn check(calls: &[AnsweredBy], expected: Statuses, denials: [usize; 2]) {
        let mut store = Store::default();
        store.ingest(&frame_in(0, 1, 0));
        for (sequence, by) in (1..).zip(calls) {
            let denied = Err(ServiceError::Denied);
            store.ingest(&answered(sequence, 1, "kv-get", denied, *by));
        }
        assert_eq!(store.row(0).expect("it came").beside, expected);
        let of_policy = store.denials().iter().filter(|denial| denial.is_of_policy()).count();
        assert_eq!([of_policy, store.denials().len()], denials);
    }
    use AnsweredBy::{Application, Fault, Host, Mock};
    check(&[], Statuses::NONE, [0, 0]);
    check(&[Host], Statuses::DENIED, [1, 1]);
    check(&[Fault], Statuses::INJECTED, [0, 1]);
    check(&[Mock], Statuses::INJECTED, [0, 1]);
    check(&[Application], Statuses::NONE, [0, 1]);
    check(&[Fault, Host], Statuses::DENIED.with(Statuses::INJECTED), [1, 2]);
}

#[test]
fn eviction_is_bounded_and_counted() {
    let limits = StoreLimits { bytes: 100_000, list: 3, ..StoreLimits::default() };
    let mut store = Store::new(limits);
    for call in 0..1000 {
        store.ingest(&frame_in(3 * call, call, 1000));
        store.ingest(&host_call(3 * call + 1, call, "log", Ok(Value::Null)));
        store.ingest(&ended(3 * call + 2, call, Outcome::Completed));
        assert!(store.bytes() <= limits.bytes);
    }
    assert!(store.len() > 10);
    assert_eq!(store.len() as u64 + store.evicted(), 1000);
    assert_eq!(store.calls.len(), store.len());
    assert_eq!(store.log().len(), 3);
    assert_eq!(store.evicted_entries(), 997);
    assert_eq!(store.missing(), 0);
    let last = RowId(999);
    assert_eq!(store.index_of(last), Some(store.len() - 1));
    assert_eq!(store.row_by_id(last).map(|row| row.call), Some(CallId(999)));
    assert_eq!(store.row_by_id(RowId(0)).map(|row| row.id), None);
    store.clear();
    assert_eq!((store.len(), store.bytes(), store.evicted()), (0, 0, 0));
    store.ingest(&frame_in(3000, 1000, 0));
    assert_eq!(store.row(0).map(|row| row.id), Some(RowId(1000)));
    // A frame larger than the store is kept until the next one comes.
    store.ingest(&frame_in(3001, 1001, 200_000));
    assert_eq!(store.len(), 1);
}

#[test]
fn events_that_come_late_are_not_missing() {
    #[track_caller]
    fn check(numbers: &[u64], expected: u64) {
        let mut store = Store::default();
        let event = |number| Event { sequence: number, ..event(0, What::Unloaded) };
        numbers.iter().for_each(|number| store.ingest(&event(*number)));
        assert_eq!(store.missing(), expected, "{numbers:?}");
        store.clear();
        // An event of before, one that is new, and one that another overtook.
        for number in [numbers[0], 101, 100] {
            store.ingest(&event(number));
        }
        assert_eq!(store.missing(), 0, "cleared after {numbers:?}");
    }
    check(&[0, 1, 2], 0);
    check(&[1, 0, 3, 2], 0);
    check(&[7, 9, 8, 12], 2);
}

#[test]
fn notices_read_well() {
    fn check(at: usize, kind: NoticeKind, expected: &str) {
        let mut store = Store::default();
        sample::events().iter().for_each(|event| store.ingest(event));
        assert_eq!(
            (store.notices()[at].kind, store.notices()[at].message.as_str()),
            (kind, expected)
        );
    }
    check(0, NoticeKind::Phase, "found → loaded: asked for");
    check(1, NoticeKind::Loaded, "loaded version 1.3.0 (frame ABI) in 2 ms, from the cache");
    check(2, NoticeKind::Refused, "could not be loaded, at stage parse manifest: no");
    check(
        3,
        NoticeKind::Loaded,
        "reloaded (file changed): generation 1 → 2, version 1.4.0, in 5 ms",
    );
    check(
        4,
        NoticeKind::Refused,
        "reload (requested) was refused at stage probe, generation 2 runs on: no",
    );
    check(5, NoticeKind::Refused, "3 emitted frames dropped: the queue of `echo` is full");
    check(6, NoticeKind::Policy, "policy changed: kv granted");
    check(7, NoticeKind::Policy, "asks for `kv` read `a`: denied until somebody decides");
    check(8, NoticeKind::Loaded, "unloaded");
}

#[test]
fn traces_fill_a_store() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    for event in sample::events() {
        writer.write(&event).expect("there is space");
    }
    writer.finish().expect("there is space");
    let mut seen = (0, 0);
    let mut progress = |done, all| seen = (done, all);
    let cancel = AtomicBool::new(false);
    let loaded =
        load(&path, StoreLimits::default(), &mut progress, &cancel).expect("it is a trace");
    assert_eq!(loaded.store.len(), 3);
    assert_eq!(loaded.store.reloads().len(), 2);
    assert!(seen.0 > 0 && seen.0 <= seen.1, "{seen:?}");
    cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let cancelled = load(&path, StoreLimits::default(), &mut |_, _| {}, &cancel);
    assert!(matches!(cancelled, Err(LoadError::Cancelled)));
}

/// The events of an extraction, for short: each frame, host call and end with its call.
fn in_short(saved: &SavedEvents) -> String {
    let short = |event: &Event| match &event.what {
        What::FrameIn { call, .. } => format!("in {}", call.0),
        What::HostCall { call, .. } => format!("host {}", call.map_or(0, |call| call.0)),
        What::CallEnded { call, .. } => format!("end {}", call.0),
        _ => "other".to_owned(),
    };
    saved.events.iter().map(short).collect::<Vec<_>>().join(", ")
}

#[test]
fn saved_events_stand_in_the_order_in_which_they_happened_though_a_clock_is_set_back() {
    let mut store = Store::default();
    let events = [
        event(0, What::Unloaded),
        frame_in(1, 1, 0),
        host_call(2, 1, "log", Ok(Value::Null)),
        frame_in(3, 2, 0),
        host_call(4, 1, "log", Ok(Value::Null)),
        event(5, What::Unloaded),
        ended(6, 2, Outcome::Completed),
        ended(7, 1, Outcome::Completed),
    ];
    for event in events {
        let at = 1_000_000 - event.sequence * 1000;
        store.ingest(&Event { at, ..event });
    }
    let mut extraction = Extraction::default();
    while extraction.take(&store) {}
    let saved = extraction.finish(&store);
    assert_eq!(in_short(&saved), "other, in 1, host 1, in 2, host 1, other, end 2, end 1");
    let numbers: Vec<u64> = saved.events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
}

#[test]
fn what_is_evicted_while_it_is_saved_is_counted_once() {
    const STEP: u64 = Extraction::STEP as u64;
    /// Checks a store of so many calls, each with a host call, of which so many make room after the first
    /// step, as do the events outside of calls: the host calls in the file, and those counted as evicted.
    #[track_caller]
    fn check(calls: u64, evicted: u64, saved: u64, lost: u64) {
        let mut store = Store::default();
        let mut sequence = 0..;
        let mut next = || sequence.next().expect("there is no end");
        store.ingest(&event(next(), What::Unloaded));
        for call in 1..=calls {
            store.ingest(&frame_in(next(), call, 0));
            store.ingest(&host_call(next(), call, "log", Ok(Value::Null)));
        }
        let mut extraction = Extraction::default();
        extraction.take(&store);
        let cost = store.bytes() / usize::try_from(calls).expect("they are few");
        let left = usize::try_from(calls - evicted).expect("they are few");
        store.limits = StoreLimits { bytes: left * cost + cost / 2, list: 1, ..store.limits };
        // One more list entry, which evicts the one that was taken.
        store.ingest(&event(next(), What::Unloaded));
        assert_eq!((store.evicted(), store.others_evicted()), (evicted, evicted + 1));
        while extraction.take(&store) {}
        let found = extraction.finish(&store);
        let host_calls = in_short(&found).matches("host").count() as u64;
        assert_eq!((host_calls, found.frames), (saved, saved));
        assert_eq!((found.evicted, found.others_evicted), (lost, lost));
        assert_eq!(in_short(&found).matches("other").count(), 1);
    }
    check(10, 0, 10, 0);
    // All of these were taken before.
    check(STEP + 10, 20, STEP + 10, 0);
    // Some were not.
    check(STEP + 10, STEP + 4, STEP + 6, 4);
}
