//! The hot swap: the new generation takes over with the state, or the old one runs on untouched.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use glovebox_abi::{Failure, Frame, Header, Kind, Manifest, Permission, Plugin, Services};
use glovebox_events::{Event, ReloadCause, What};
use glovebox_host::{Decision, InstanceId, LoadRequest, Policy};
use glovebox_tests::guest::Guest;
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
        let generation = bench.host.reload(id).wait().unwrap();
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

        bench.host.reload_cold(id).wait().unwrap();
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
        bench.host.set_policy(Policy::parse("[swap]\nolder = \"run\"").unwrap());
        let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
        bench.ask(id, "a");
        write(&path);
        let error = bench.host.reload(id).wait().unwrap_err();
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
        "sniff",
    );
    check(|path| install("echo.wasm", path), "policy");
    // Version 1 cannot go on from a state of version 2; an older version may run here.
    check(|path| install("stats-v1.wasm", path), "restore state");
}

#[test]
fn a_change_on_disk_reloads_once_with_the_whole_file() {
    let started = Instant::now();
    // A machine that gives the writer no time for as long as files must be quiet shows half a file,
    // which is refused; then it is tried again.
    while !is_reloaded_once() {
        assert!(started.elapsed() < Duration::from_secs(60), "half a file is taken up");
    }
}

/// Writes a new version in many steps, waits until it took over, and tells if that was the only reload.
fn is_reloaded_once() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    install("stats-v1.wasm", &path);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
    bench.ask(id, "a");
    bench.host.watch(id).unwrap();
    assert!(bench.host.plugin(id).unwrap().watching);
    let whole = fs::read(sample("stats.wasm")).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    for piece in whole.chunks(whole.len() / 20) {
        std::io::Write::write_all(&mut file, piece).unwrap();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    drop(file);
    let reloads = || {
        let events = bench.events.events();
        let is_reload =
            |what: &What| matches!(what, What::Reloaded { .. } | What::ReloadFailed { .. });
        events.into_iter().filter(|event| is_reload(&event.what)).collect::<Vec<_>>()
    };
    let took_over = |event: &Event| match &event.what {
        What::Reloaded { cause, version, .. } => {
            assert_eq!((*cause, version.as_str()), (ReloadCause::FileChanged, "2.0.0"));
            true
        }
        _ => false,
    };
    let started = Instant::now();
    while !reloads().iter().any(took_over) {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", reloads());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(report(&bench, id)["kinds"]["data"]["frames"], 1);
    reloads().len() == 1
}

#[test]
fn no_frame_is_lost_or_doubled_while_reloading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    install("stats.frame-abi.wasm", &path);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(bench.host.call(id, &Frame::data("x")).outcome.is_completed());
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..5 {
            // Frames are on their way whenever a generation takes over.
            let before = sent.load(Ordering::Relaxed);
            while sent.load(Ordering::Relaxed) == before && !sender.is_finished() {
                std::thread::yield_now();
            }
            bench.host.reload(id).wait().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(report(&bench, id)["kinds"]["data"]["frames"], sent.into_inner());
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

    let reloading = bench.host.reload(id);
    has_entered.recv().unwrap();
    let (answer, answered) = mpsc::sync_channel(1);
    let host = bench.host.clone();
    std::thread::spawn(move || {
        host.set_decision(id, Permission::Kv, Decision::Allow);
        answer.send(host.plugin(id).unwrap().generation)
    });
    let generation = answered.recv_timeout(Duration::from_secs(60));
    go_on.send(()).unwrap();
    assert_eq!(generation, Ok(1), "the status waited for the new generation");
    assert_eq!(reloading.wait().unwrap(), 2);
    // Decisions made meanwhile hold for the new generation too.
    let permissions = bench.host.plugin(id).unwrap().permissions;
    let kv = permissions.iter().find(|status| status.permission == Permission::Kv).unwrap();
    assert!(kv.granted, "{}", kv.explanation);
}

/// The watch itself is tested for every kind of change; here the new generation runs, and so does the
/// one after it.
#[cfg(unix)]
#[test]
fn a_plugin_whose_folder_or_link_is_another_one_now_is_reloaded() {
    use std::os::unix::fs::symlink;

    /// A plugin with this name for its version, in a folder.
    fn put(folder: &Path, version: &str) {
        fs::create_dir_all(folder).unwrap();
        let manifest = format!(
            "[plugin]\nid = \"guest\"\nversion = \"{version}\"\n[artifact]\nwasm = \"guest.wat\"\n"
        );
        fs::write(folder.join("guest.wat"), Guest::default().module()).unwrap();
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
    }
    fn swing(link: &Path, target: &str) {
        let fresh = link.with_extension("fresh");
        symlink(target, &fresh).unwrap();
        fs::rename(fresh, link).unwrap();
    }
    /// Loads `path` in a folder with the plugins `v1`, `v2`, `v3` and the link `current` to the first,
    /// and watches it while it becomes version 2 and then 3.
    #[track_caller]
    fn check(path: &str, changes: [fn(&Path); 2]) {
        let folder = tempfile::tempdir().unwrap();
        for (place, version) in [("v1", "1.0.0"), ("v2", "2.0.0"), ("v3", "3.0.0")] {
            put(&folder.path().join(place), version);
        }
        symlink("v1", folder.path().join("current")).unwrap();
        let bench = Bench::new();
        let id = bench.host.load(LoadRequest::path(folder.path().join(path))).wait().unwrap();
        bench.host.watch(id).unwrap();
        for (change, expected) in changes.into_iter().zip(["2.0.0", "3.0.0"]) {
            change(folder.path());
            let version = || bench.host.plugin(id).unwrap().manifest.plugin.version.to_string();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while version() != expected {
                assert!(std::time::Instant::now() < deadline, "{path}: {} runs", version());
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
        }
    }
    for path in ["current", "current/guest.wat", "current/plugin.toml"] {
        check(
            path,
            [
                |root| swing(&root.join("current"), "v2"),
                |root| {
                    swing(&root.join("current"), "v3");
                },
            ],
        );
    }
    for path in ["v1", "v1/guest.wat", "v1/plugin.toml"] {
        check(
            path,
            [
                |root| {
                    fs::rename(root.join("v1"), root.join("old")).unwrap();
                    put(&root.join("v1"), "2.0.0");
                },
                |root| {
                    fs::remove_dir_all(root.join("v1")).unwrap();
                    fs::rename(root.join("v3"), root.join("v1")).unwrap();
                },
            ],
        );
    }
}

#[test]
fn a_watch_does_not_undo_what_a_person_went_back_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    install("stats-v1.wasm", &path);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(&path)).wait().unwrap();
    install("stats.wasm", &path);
    bench.host.reload(id).wait().unwrap();
    bench.host.roll_back(id).wait().unwrap();
    // A change before the watch counts, unless it is what was gone back from.
    bench.host.watch(id).unwrap();
    let manifest =
        "[plugin]\nid = \"stats\"\nversion = \"7.0.0\"\n[artifact]\nwasm = \"stats.wasm\"\n";
    fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    let version = || bench.host.plugin(id).unwrap().manifest.plugin.version.to_string();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while version() != "7.0.0" {
        assert!(std::time::Instant::now() < deadline, "{} runs", version());
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    let is_by_itself =
        |what: &What| matches!(what, What::Reloaded { cause: ReloadCause::FileChanged, .. });
    let by_itself =
        || bench.events.events().iter().filter(|event| is_by_itself(&event.what)).count();
    // The event comes after the status.
    while by_itself() == 0 {
        assert!(std::time::Instant::now() < deadline, "no event says so");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    assert_eq!(by_itself(), 1);
}
