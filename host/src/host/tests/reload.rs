//! Reloads of an instance: when they are planned, who is asked, and who may begin one.

use super::*;

#[test]
fn a_plan_is_made_when_no_other_reload_is_under_way() {
    let host = host();
    let id = load(&host, counter(""));
    let planned = host.reload_by(id, |instance| {
        assert!(instance.reloading.is_held_here(), "another reload may come first");
        Some(Plan::after_failure(Carry::Current))
    });
    assert_eq!(planned.wait().unwrap(), 2);
    assert_eq!(host.reload_by(id, |_| None).wait().unwrap(), 2, "nothing to do");
}

#[test]
fn reloads_after_going_back_are_about_the_source_of_what_runs() {
    #[track_caller]
    fn check(take_over: fn(&Host, InstanceId, &Path), back: fn(&Host, InstanceId) -> u32) {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        write(first.path(), Some('A'), "");
        write(second.path(), Some('B'), "");
        let host = host();
        let id = load(&host, LoadRequest::path(first.path()));
        host.watch(id).unwrap();
        take_over(&host, id, second.path());
        let other = host.plugin(id).unwrap().generation;
        assert_eq!(ask(&host, id, "?"), "B");
        assert_eq!(Some(back(&host, id)), host.plugin(id).map(|one| one.generation));
        assert_eq!(ask(&host, id, "?"), "A");
        host.reload(id).wait().unwrap();
        assert_eq!(ask(&host, id, "?"), "A");
        // The watch looks there, too.
        write(first.path(), Some('C'), "");
        let started = std::time::Instant::now();
        while ask(&host, id, "?") != "C" {
            assert!(started.elapsed() < std::time::Duration::from_secs(60), "it is not watched");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        host.roll_back_to(id, other).wait().unwrap();
        host.reload(id).wait().unwrap();
        assert_eq!(ask(&host, id, "?"), "B");
    }
    let reloaded = |host: &Host, id, path: &Path| {
        host.reload_with(id, path).wait().unwrap();
    };
    check(reloaded, |host, id| host.roll_back(id).wait().unwrap());
    let promoted = |host: &Host, id, path: &Path| {
        host.try_beside_with(id, path, crate::CandidateRole::Shadow).wait().unwrap();
        host.promote(id).wait().unwrap();
    };
    check(promoted, |host, id| host.roll_back_to(id, 1).wait().unwrap());
}

const ASKS: &str = "[permissions]\nenvironment = [\"HOME\"]\n";

#[test]
fn what_waited_takes_over_once_and_the_generation_before_stays_the_one_to_go_back_to() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Some('A'), "");
    let host = host();
    let id = load(&host, LoadRequest::path(folder.path()));
    write(folder.path(), Some('B'), ASKS);
    assert!(host.reload(id).wait().unwrap_err().to_string().contains("asks for more"));
    assert!(host.instance(id).unwrap().decided().is_none(), "nobody decided");
    // As the decision does, whose reload nobody waits for.
    let instance = host.instance(id).unwrap();
    instance.decide(Permission::Environment, Decision::Allow, Lifetime::WhileItRuns);
    let both = [(); 2].map(|()| host.take_up_decisions(id, false));
    assert_eq!(both.map(|one| one.wait().unwrap()), [2, 2]);
    assert_eq!(ask(&host, id, "?"), "B");
    // Fresh copies of what runs are no generation to go back from.
    assert_eq!(host.take_up_decisions(id, true).wait().unwrap(), 3);
    assert_eq!(ask(&host, id, "?"), "B");
    host.start_over(id).wait().unwrap();
    host.roll_back(id).wait().unwrap();
    assert_eq!(ask(&host, id, "?"), "A");
}

#[test]
fn an_artifact_that_is_another_one_by_now_is_newer_however_it_is_reloaded() {
    const RELOADS: &str = "[lifecycle]\non-failure = \"reload\"\n";
    /// Loads `first`, allows `HOME` once if it asks, and writes a version that asks for it.
    fn check(lazy: bool, first: &str, replace: fn(&Host, InstanceId), waits: bool, runs: &str) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), None, &format!("{RELOADS}{first}"));
        let host = host();
        let request = LoadRequest::path(folder.path());
        let id = load(&host, if lazy { request.lazy() } else { request });
        if !first.is_empty() {
            assert!(host.allow(id, Permission::Environment, Lifetime::Once));
            assert!(is_granted(&host, id, Permission::Environment));
        }
        write(folder.path(), Some('B'), &format!("{RELOADS}{ASKS}"));
        replace(&host, id);
        let status = host.plugin(id).unwrap();
        let asked = status.refused.iter().flat_map(|refused| &refused.waits_for);
        let asked: Vec<_> = asked.map(|growth| growth.permission).collect();
        assert_eq!(asked, [Permission::Environment][..usize::from(waits)]);
        assert!(!is_granted(&host, id, Permission::Environment), "once is over");
        assert_eq!(ask(&host, id, "?"), runs);
    }
    let fails: fn(&Host, InstanceId) = |host, id| drop(host.call(id, &Frame::data("?")));
    let starts_over: fn(&Host, InstanceId) = |host, id| drop(host.start_over(id).wait());
    check(false, "", fails, true, "trapped");
    check(false, "", starts_over, true, "trapped");
    check(false, ASKS, fails, false, "B");
    check(false, ASKS, starts_over, false, "B");
    check(true, ASKS, fails, false, "B");
}

#[test]
fn a_source_that_was_mended_is_told_and_refused_no_more() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Some('A'), "");
    let sink = Arc::new(Remembered::default());
    let host = Host::builder().sink(sink.clone()).build().unwrap();
    let id = load(&host, LoadRequest::path(folder.path()));
    let told = || sink.0.lock().iter().filter(|event| event.contains("kind: Mended")).count();
    assert_eq!(host.reload_if_changed(id).wait().unwrap(), 1);
    assert_eq!(told(), 0, "nothing was refused");
    fs::write(folder.path().join("letter.wat"), "garbage").unwrap();
    assert!(host.reload_if_changed(id).wait().is_err());
    assert!(host.plugin(id).unwrap().refused.is_some());
    write(folder.path(), Some('A'), "");
    assert_eq!(host.reload_if_changed(id).wait().unwrap(), 1);
    assert!(host.plugin(id).unwrap().refused.is_none());
    assert_eq!(host.reload_if_changed(id).wait().unwrap(), 1);
    assert_eq!(told(), 1, "once");
}

#[test]
fn a_reload_from_inside_of_a_call_or_a_reload_is_refused() {
    /// `work` makes the plugin call the application, which then makes the same plugin fail.
    fn check(copies: u32, work: fn(&Host, InstanceId)) {
        let known: Arc<OnceLock<(Host, InstanceId)>> = Arc::default();
        let (hears, (said, heard)) = (known.clone(), sync_channel(16));
        let host = Host::builder()
            .function(BACK, move |_, _| {
                if let Some((host, id)) = hears.get() {
                    let _ = said.send(ask(host, *id, "die"));
                }
                Ok(glovebox_abi::cbor::Value::Text("done".to_owned()))
            })
            .build()
            .unwrap();
        let keys = format!(
            "[permissions]\nfunctions = [\"{BACK}\"]\n[runtime]\ninstances = {copies}\n\
             [lifecycle]\non-failure = \"reload\""
        );
        let id = load(&host, counter(&keys));
        assert!(known.set((host.clone(), id)).is_ok());
        let done = aside(move || work(&host, id));
        done.recv_timeout(PATIENCE).expect("nobody waits for itself");
        // The fresh copy that takes the place of the one that failed calls back as well.
        assert_eq!(heard.try_iter().last().as_deref(), Some("trapped"), "the failure stands");
    }
    check(1, |host, id| assert_eq!(host.reload(id).wait().unwrap(), 2));
    check(2, |host, id| assert_eq!(ask(host, id, "back"), "done"));
}
