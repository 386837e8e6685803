//! Tests of work that panics.

use std::sync::Arc;
use std::time::Duration;

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
        assert!(workbench.fanout.start_capture().is_some(), "nothing is captured any more");
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
            let _capturing = fanout.start_capture().expect("nothing else is captured");
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
