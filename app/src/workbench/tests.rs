//! Tests of work that panics, hangs or is too much.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
use glovebox_host::LoadRequest;
use parking_lot::Mutex;

use super::sink::Listener;
use super::*;
use crate::panics::contain;

fn workbench() -> Workbench {
    Workbench::new(WorkbenchOptions::default()).unwrap()
}

/// Looks until no work is under way.
fn finish(workbench: &mut Workbench) {
    let patience = std::time::Instant::now();
    while workbench.view().is_busy() {
        assert!(patience.elapsed() < Duration::from_secs(60), "{:?}", workbench.view().jobs());
        workbench.look();
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn errors(workbench: &Workbench) -> Vec<String> {
    let notices = workbench.view().notices().iter();
    notices.filter(|one| one.level == Level::Error).map(|one| one.text.clone()).collect()
}

#[test]
fn a_job_that_panics_ends_with_an_error() {
    fn check(start: impl FnOnce(&mut Workbench)) {
        let mut workbench = workbench();
        start(&mut workbench);
        finish(&mut workbench);
        let errors = errors(&workbench);
        let expected = "Doing it: a fault of Glovebox itself: nobody knows why";
        assert_eq!(errors, [expected]);
        assert!(workbench.view().replay().is_none());
        assert!(
            workbench.fanout.start_keeping(BTreeSet::new(), 1).is_some(),
            "nothing is kept any more"
        );
    }
    check(|workbench| {
        workbench.jobs.start("Doing it", |_| panic!("nobody knows why"));
    });
    check(|workbench| {
        workbench.jobs.start_background("Doing it", |_| panic!("nobody knows why"));
    });
    check(|workbench| {
        let fanout = Arc::clone(&workbench.fanout);
        workbench.jobs.start_replay("Doing it", move |_, _| {
            let _keeping = fanout.start_keeping(BTreeSet::new(), 1).expect("nothing else is kept");
            panic!("nobody knows why")
        });
    });
}

#[test]
fn a_search_that_panics_has_stopped() {
    let mut workbench = workbench();
    let events = Arc::new(Vec::new());
    let opened = trace::Opened::of_events("a".to_owned(), events, Origin::Replay);
    let id = workbench.traces.add(opened, &workbench.fanout.waker);
    let job = workbench.jobs.start_background("Searching a", |_| panic!("no"));
    let wanted = Wanted { filter: None, range: None, order: None, revision: 1 };
    let (rows, ranked) = (Arc::default(), Arc::default());
    let search = Search { wanted, rows, ranked, stage: SearchStage::Running, job: Some(job) };
    if let Some(trace) = workbench.traces.get_mut(id) {
        trace.search = Some(search);
        trace.job = Some(job);
    }
    finish(&mut workbench);
    let trace = workbench.view().trace(id).unwrap();
    let stage = trace.search.as_ref().map(|search| search.stage);
    assert_eq!((stage, trace.job), (Some(SearchStage::Stopped), None));
}

#[test]
fn rules_that_panic_are_said_and_tried_again() {
    let mut workbench = workbench();
    let fault = contain(|| -> glovebox_inspector::findings::Judgement { panic!("no rule") });
    workbench.findings.judged_elsewhere(fault);
    workbench.look();
    let expected = "Not looked over by the rules: a fault of Glovebox itself: no rule";
    assert_eq!(errors(&workbench), [expected]);
    assert!(workbench.view().findings(Source::Live).is_some());
}

#[test]
fn an_event_is_in_the_figures_and_findings_whenever_the_window_looks() {
    let denied = glovebox_events::HostCall {
        service: "kv-set".into(),
        permission: glovebox_abi::Permission::Kv,
        arguments: glovebox_abi::cbor::Value::Null,
        result: Err(glovebox_abi::ServiceError::Denied),
        took: Duration::ZERO,
        answered_by: glovebox_events::AnsweredBy::Host,
    };
    let event = glovebox_events::Event {
        sequence: 0,
        at: 1,
        plugin: "a".into(),
        instance: 7,
        generation: 1,
        what: glovebox_events::What::HostCall { call: None, host_call: denied },
    };
    for split in 0..=Listener::ALL.len() {
        let (before, after) = Listener::ALL.split_at(split);
        let mut workbench = workbench();
        before.iter().for_each(|to| workbench.fanout.hand(&event, *to));
        workbench.look();
        after.iter().for_each(|to| workbench.fanout.hand(&event, *to));
        let started = std::time::Instant::now();
        let is_seen = |workbench: &Workbench| {
            let view = workbench.view();
            let found = view.findings(Source::Live).is_some_and(|all| !all.findings.is_empty());
            found && view.figures().of("a", 7).is_some()
        };
        while !is_seen(&workbench) {
            assert!(started.elapsed() < Duration::from_secs(60), "a look after {before:?}");
            workbench.look();
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// A plugin whose calls return once the gate is gone.
struct Stuck {
    begins: SyncSender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
}

impl Plugin for Stuck {
    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        let _ = self.begins.try_send(());
        let _ = self.gate.lock().recv();
        Ok(Vec::new())
    }
}

#[test]
fn a_recording_ends_though_a_call_does_not() {
    fn check(end: impl FnOnce(&mut Workbench)) {
        let folder = tempfile::tempdir().unwrap();
        let recordings_folder = Some(folder.path().join("recordings"));
        let options = WorkbenchOptions { recordings_folder, ..WorkbenchOptions::default() };
        let mut workbench = Workbench::new(options).unwrap();
        let (begins, begun) = sync_channel(1);
        let (gate, waits) = sync_channel(0);
        let waits = Arc::new(Mutex::new(waits));
        let manifest = Manifest::parse("[plugin]\nid = 'stuck'").unwrap();
        let request = LoadRequest::core(manifest, move || {
            Box::new(Stuck { begins: begins.clone(), gate: Arc::clone(&waits) })
        });
        let host = workbench.host().clone();
        let instance = host.load(request).wait().unwrap();
        let caller = std::thread::spawn(move || host.call(instance, &Frame::data("x")));
        begun.recv().unwrap();
        workbench.execute(Command::SetSnapshots(Some(Every::Inputs(1))));
        workbench.execute(Command::StartRecording);
        let path = workbench.fanout.recorder().unwrap().status().path;
        // The call ends in any case, so that a fault here ends, too.
        let (done, is_done) = sync_channel::<()>(1);
        let watch = std::thread::spawn(move || {
            let is_late = is_done.recv_timeout(Duration::from_secs(60)).is_err();
            drop(gate);
            is_late
        });
        end(&mut workbench);
        done.send(()).unwrap();
        assert!(!watch.join().unwrap(), "the end waited for the call");
        assert!(caller.join().unwrap().outcome.is_completed());
        let path = path.with_extension("").with_extension("mcap");
        assert!(glovebox_trace::TraceReader::open(&path).is_ok(), "{}", path.display());
    }
    check(|workbench| {
        let said = workbench.end_recording().unwrap();
        assert!(said.starts_with("Recorded 0 events: "), "{said}");
    });
    check(|workbench| {
        workbench.execute(Command::StopRecording);
        finish(workbench);
        let said = workbench
            .view()
            .notices()
            .iter()
            .any(|notice| notice.text.contains("1 not, the first: a call did not return"));
        assert!(said, "{:?}", workbench.view().notices());
    });
}

#[test]
fn captures_are_read_as_far_as_there_is_room_and_until_somebody_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ndjson");
    std::fs::write(&path, "{\"plugin\": \"p\", \"payload\": \"1\"}\n").unwrap();
    let check = |stops: bool, expected: Option<&str>| {
        let cancel = stops.into();
        let opened = trace::Opened::read(&path, &mut |_, _| {}, &cancel);
        let error = opened.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), expected);
    };
    check(false, None);
    check(true, Some("it was stopped"));
}

#[test]
fn the_events_of_a_run_are_those_of_its_instances() {
    fn check(of: &[u64], expected: usize) {
        let fanout = sink::Fanout::new(8);
        let keeping = fanout.start_keeping(of.iter().copied().collect(), 1 << 20).unwrap();
        for instance in [7, 8] {
            let what = glovebox_events::What::FrameIn {
                call: glovebox_events::CallId(instance),
                frame: Frame::data("x"),
            };
            let plugin = "a".into();
            let event = glovebox_events::Event {
                sequence: 0,
                at: 1,
                plugin,
                instance,
                generation: 1,
                what,
            };
            fanout.hand(&event, Listener::KeptEvents);
        }
        let (kept, frames) = keeping.take();
        assert_eq!(kept.events.len(), expected, "{of:?}");
        // They may be dropped yet.
        assert_eq!(fanout.unkept.lock().since(0), 2, "{of:?}");
        fanout.unkept.lock().keep(frames);
        assert_eq!(fanout.unkept.lock().since(0), 2 - expected as u64, "{of:?}");
        assert!(keeping.take().0.events.is_empty(), "they are taken once");
    }
    check(&[], 2);
    check(&[7], 1);
    check(&[9], 0);
}

#[test]
fn failure_bundles_are_written_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let options = WorkbenchOptions {
        quarantine_folder: Some(folder.path().to_owned()),
        ..WorkbenchOptions::default()
    };
    let mut workbench = Workbench::new(options).unwrap();
    let (sender, receiver) = sync_channel::<()>(1);
    let earlier = workbench.jobs.start_background("Keeping what is known of failures", move |_| {
        let _ = receiver.recv();
        finished::Finished::Nothing
    });
    workbench.seen.keeping = Some(earlier);
    workbench.fanout.failures.fail(7);
    workbench.look();
    assert_eq!(workbench.view().jobs().len(), 1, "the other one has to wait");
    drop(sender);
    finish(&mut workbench);
    workbench.look();
    finish(&mut workbench);
    assert!(workbench.seen.keeping.is_some_and(|job| job != earlier));
    assert!(workbench.fanout.failures.take().0.is_empty());
}

#[test]
fn a_mock_of_a_workspace_is_taken_over_when_its_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("mock.toml", "now.fixed = 1");
    write("glovebox.toml", "mock = 'mock.toml'");
    let mut workbench = workbench();
    let files = vec![folder.path().join("glovebox.toml")];
    workbench.execute(Command::Start { files });
    finish(&mut workbench);
    assert!(errors(&workbench).is_empty(), "{:?}", errors(&workbench));
    let mut check = |text: &str, expected: &str| {
        write("mock.toml", text);
        let patience = std::time::Instant::now();
        loop {
            workbench.look();
            let notices = workbench.view().notices();
            if notices.iter().any(|one| one.text.contains(expected)) {
                break;
            }
            assert!(patience.elapsed() < Duration::from_secs(60), "never said: {expected}");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    check("now.fixed = 'x'", "the mock of before stays in force: ");
    check("now.fixed = 2", "mock.toml changed, and its answers are in force");
}
