//! The hot swap: the new generation takes over with the state, or the old one runs on untouched.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use glovebox_abi::{Failure, Frame, Header, Kind, Manifest, Permission, Plugin, Services};
use glovebox_events::{ReloadCause, What};
use glovebox_host::{Decision, InstanceId, LoadRequest};
use glovebox_tests::{Bench, sample};

fn report(bench: &Bench, id: InstanceId) -> serde_json::Value {
    let answer = bench.ask_frame(id, &Frame::new(Kind::CONTROL, Header::empty(), "report"));
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn install(from: &str, to: &Path) {
    fs::copy(sample(from), to).unwrap();
}

#[test]
fn state_moves_to_the_next_version() {
    for suffix in ["wasm", "frame-abi.wasm"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.wasm");
        install(&format!("stats-v1.{suffix}"), &path);
        let bench = Bench::new();
        let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
        for payload in ["a", "bb", "ccc"] {
            bench.ask(id, payload);
        }
        let before = report(&bench, id);
        install(&format!("stats.{suffix}"), &path);
        let generation = bench.host.reload(id, ReloadCause::Requested, true).wait().unwrap();
        assert_eq!(generation, 2);
        assert_eq!(bench.host.plugin(id).unwrap().manifest.plugin.version.to_string(), "2.0.0");
        let after = report(&bench, id);
        assert_eq!(before["kinds"]["data"]["frames"], 3, "{before}");
        assert_eq!(after["kinds"]["data"]["frames"], 3, "{after}");
        let carried = bench.events.events().iter().find_map(|event| match event.what {
            What::Reloaded { state_version, .. } => state_version,
            _ => None,
        });
        assert_eq!(carried, Some(1));

        bench.ask(id, "dddd");
        let generation = bench.host.roll_back(id).wait().unwrap();
        assert_eq!(generation, 3);
        assert_eq!(report(&bench, id)["kinds"]["data"]["frames"], 3, "the state of then");

        bench.host.reload(id, ReloadCause::Requested, false).wait().unwrap();
        let cold = report(&bench, id);
        assert!(cold["kinds"]["data"].is_null() || cold["kinds"]["data"]["frames"] == 0, "{cold}");
    }
}

#[test]
fn a_bad_next_version_leaves_the_old_one_running() {
    fn check(write: impl FnOnce(&Path), stage: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.wasm");
        install("stats.wasm", &path);
        let bench = Bench::new();
        let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
        bench.ask(id, "a");
        write(&path);
        let error = bench.host.reload(id, ReloadCause::Requested, true).wait().unwrap_err();
        assert_eq!(error.stage().to_string(), stage, "{error}");
        assert_eq!(report(&bench, id)["kinds"]["data"]["frames"], 1);
        assert_eq!(bench.host.plugin(id).unwrap().generation, 1);
        let recorded = bench.events.events().iter().any(|event| {
            matches!(&event.what, What::ReloadFailed { stage: found, .. } if found.name() == stage)
        });
        assert!(recorded, "{stage}");
    }
    check(|path| fs::remove_file(path).unwrap(), "read");
    check(|path| fs::write(path, b"").unwrap(), "sniff");
    check(
        |path| fs::write(path, &fs::read(sample("stats.wasm")).unwrap()[..9000]).unwrap(),
        "parse manifest",
    );
    check(|path| install("echo.wasm", path), "policy");
    // Version 1 cannot go on from a state of version 2.
    check(|path| install("stats-v1.wasm", path), "restore state");
}

#[test]
fn a_change_on_disk_reloads_once_with_the_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    install("stats-v1.wasm", &path);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
    bench.ask(id, "a");
    bench.host.watch(id, true).unwrap();
    assert!(bench.host.plugin(id).unwrap().watching);
    let whole = fs::read(sample("stats.wasm")).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    for piece in whole.chunks(whole.len() / 20) {
        std::io::Write::write_all(&mut file, piece).unwrap();
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    drop(file);
    let reloads = || {
        let events = bench.events.events();
        let is_reload =
            |what: &What| matches!(what, What::Reloaded { .. } | What::ReloadFailed { .. });
        events.into_iter().filter(|event| is_reload(&event.what)).collect::<Vec<_>>()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while reloads().is_empty() && std::time::Instant::now() < deadline {
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    let seen = reloads();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        matches!(&seen[0].what, What::Reloaded { cause: ReloadCause::FileChanged, .. }),
        "{seen:?}"
    );
    assert_eq!(report(&bench, id)["kinds"]["data"]["frames"], 1);
}

#[test]
fn no_frame_is_lost_or_doubled_while_reloading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    install("stats.frame-abi.wasm", &path);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
    let done = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0u64;
            while !done.load(Ordering::Relaxed) {
                assert!(bench.host.call(id, &Frame::data("x")).outcome.is_completed());
                sent += 1;
            }
            sent
        });
        for _ in 0..5 {
            bench.host.reload(id, ReloadCause::Requested, true).wait().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    assert!(sent > 5, "{sent} frames are too few to tell");
    assert_eq!(report(&bench, id)["kinds"]["data"]["frames"], sent);
}

/// Says when it gets ready, and waits until it may.
struct SlowStart {
    entered: mpsc::SyncSender<()>,
    may_go_on: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Plugin for SlowStart {
    fn initialize(&mut self, _: &mut dyn Services, _: &str) -> Result<(), Failure> {
        self.entered.send(()).unwrap();
        self.may_go_on.lock().unwrap().recv().unwrap();
        Ok(())
    }

    fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
        Ok(Vec::new())
    }
}

#[test]
fn nobody_waits_for_a_generation_that_gets_ready() {
    let (entered, has_entered) = mpsc::sync_channel(4);
    let (go_on, may_go_on) = mpsc::sync_channel(4);
    let may_go_on = Arc::new(Mutex::new(may_go_on));
    let bench = Bench::new();
    go_on.send(()).unwrap();
    let manifest = Manifest::bare("slow-start");
    let request = LoadRequest::core(manifest, move || {
        Box::new(SlowStart { entered: entered.clone(), may_go_on: may_go_on.clone() })
    });
    let id = bench.host.load(request).wait().unwrap();
    has_entered.recv().unwrap();

    let reloading = bench.host.reload(id, ReloadCause::Requested, true);
    has_entered.recv().unwrap();
    let (answer, answered) = mpsc::sync_channel(1);
    let host = bench.host.clone();
    std::thread::spawn(move || {
        host.set_decision(id, Permission::Kv, Decision::Allow);
        answer.send(host.plugin(id).unwrap().generation)
    });
    let generation = answered.recv_timeout(std::time::Duration::from_secs(5));
    go_on.send(()).unwrap();
    assert_eq!(generation, Ok(1), "the status waited for the new generation");
    assert_eq!(reloading.wait().unwrap(), 2);
    // What was decided meanwhile holds for the new generation too.
    let permissions = bench.host.plugin(id).unwrap().permissions;
    let kv = permissions.iter().find(|status| status.permission == Permission::Kv).unwrap();
    assert!(kv.granted, "{}", kv.explanation);
}
