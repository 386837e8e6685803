//! Replays of a part of a trace in the window: from snapshots of states, and of a range.

use std::path::{Path, PathBuf};

use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use glovebox::workbench::replay::Routing;
use glovebox::workbench::{
    Command, Every, Origin, ReplayHow, ReplayRequest, Source, Workbench, WorkbenchOptions,
};
use glovebox_events::Direction;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::replay::Pace;
use tempfile::TempDir;

use glovebox_tests::{root, sample};

use super::replay::numbered;
use super::window::{Window, app, open, over, shows, wait};

fn execute(window: &mut Window, command: Command) {
    window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
    wait(window, "it is done", |window| !app(window).view().is_busy());
}

fn snapshots_of(path: &Path) -> Vec<Option<u64>> {
    let mut found = Vec::new();
    glovebox_trace::each_snapshot(path, |one| found.push(one.after.map(|call| call.0))).unwrap();
    found
}

/// A recording of nine inputs and a report, made in the window.
fn recorded(plugin: &str, every: Option<Every>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let inputs = folder.path().join("in.ndjson");
    std::fs::write(&inputs, numbered(9)).unwrap();
    let recordings_folder = Some(folder.path().join("recordings"));
    let options = WorkbenchOptions { recordings_folder, ..WorkbenchOptions::default() };
    let mut window = over(Workbench::new(options).unwrap(), &[inputs]);
    execute(&mut window, Command::Load(sample(plugin)));
    execute(&mut window, Command::SetSnapshots(every));
    execute(&mut window, Command::StartRecording);
    assert_eq!(app(&window).view().cannot_record(), None);
    let snapshots = |window: &Window| app(window).view().recording().map(|now| now.snapshots);
    let taken = |window: &mut Window, count: u64| {
        let count = if every.is_some() { count } else { 0 };
        wait(window, "snapshots are taken", |window| snapshots(window) >= Some(count));
    };
    taken(&mut window, 1);
    let trace = app(&window).view().traces()[0].id;
    for kind in ["kind:data", "kind:control"] {
        let request = ReplayRequest {
            trace,
            targets: Vec::new(),
            routing: Routing::ByPlugin,
            pace: Pace::Max,
            filter: Some(Filter::parse(kind).unwrap()),
            calls: Vec::new(),
            range: None,
            from: None,
            how: ReplayHow::Once,
        };
        execute(&mut window, Command::Replay(request));
        // One from before the report, whenever the thread comes to it.
        taken(&mut window, 2);
    }
    execute(&mut window, Command::StopRecording);
    wait(&mut window, "the recording is open", |window| !app(window).view().is_busy());
    let said = if every.is_some() { "snapshots of states taken" } else { "Recorded" };
    assert!(app(&window).view().notices().iter().any(|notice| notice.text.contains(said)));
    let view = app(&window).view();
    let of_file = |origin: &Origin| match origin {
        Origin::File(path) => Some(path.clone()),
        _ => None,
    };
    let path = view.traces().iter().find_map(|trace| of_file(&trace.origin)).unwrap();
    let kept = folder.path().join("run.mcap");
    std::fs::rename(path, &kept).unwrap();
    (folder, kept)
}

/// The last answer of a source.
fn answer(window: &Window, source: Source) -> Option<String> {
    let last = app(window).reader().read(source, |store| {
        let mut answers = store.rows().rev().filter(|row| row.direction == Direction::Out);
        answers.next().map(|row| String::from_utf8_lossy(&row.frame.payload).into_owned())
    });
    last.flatten()
}

/// Shows the recording, and replays it from its last frame on.
fn replay_from_the_end(plugin: &str, path: &Path) -> Window {
    let mut window = open(&[path.to_owned()]);
    execute(&mut window, Command::Load(sample(plugin)));
    window.key_press(Key::End);
    window.step();
    window.key_press_modifiers(Modifiers::COMMAND, Key::F5);
    window.step();
    wait(&mut window, "it is over", |window| !app(window).view().is_busy());
    window
}

#[test]
fn a_replay_starts_from_snapshots_of_a_recording() {
    let check = |plugin: &str| {
        let (_folder, path) = recorded(plugin, Some(Every::Inputs(4)));
        let snapshots = snapshots_of(&path);
        assert!(snapshots.len() >= 2, "{snapshots:?}");
        let mut window = replay_from_the_end(plugin, &path);
        assert_eq!(app(&window).view().frames_replayed(), 1);
        shows(&mut window, "Replayed 1 frame");
        shows(&mut window, "stats from its snapshot after call");
        // It reports all that was counted, so that any state but the right one shows.
        let trace = Source::Trace(app(&window).view().traces()[0].id);
        let recorded = answer(&window, trace);
        assert!(recorded.is_some());
        assert_eq!(answer(&window, Source::Live), recorded);
    };
    check("stats.wasm");
    check("stats.frame-abi.wasm");
}

#[test]
fn a_replay_without_snapshots_says_how_to_get_them() {
    let (_folder, path) = recorded("stats.wasm", None);
    assert_eq!(snapshots_of(&path), []);
    let mut window = replay_from_the_end("stats.wasm", &path);
    shows(&mut window, "The trace has no snapshot of stats from before this frame");
    assert_eq!(app(&window).view().frames_replayed(), 0);
    assert!(app(&window).view().replay().is_none());
}

#[test]
fn how_often_snapshots_are_taken_is_chosen_by_keys() {
    let mut window = open(&[]);
    let mut check = |text: &str, expected: Option<&str>| {
        window.key_press_modifiers(Modifiers::COMMAND, Key::K);
        window.step();
        window.event(egui::Event::Text("snapshots of".to_owned()));
        shows(&mut window, "Snapshots of states…");
        window.key_press(Key::Enter);
        shows(&mut window, "How often");
        window.step();
        window.key_press_modifiers(Modifiers::COMMAND, Key::A);
        window.key_press(Key::Backspace);
        window.step();
        window.event(egui::Event::Text(text.to_owned()));
        window.step();
        window.key_press(Key::Enter);
        window.step();
        window.key_press(Key::Escape);
        window.step();
        window.step();
        assert!(window.query_by_label("How often").is_none(), "{text}");
        let every = app(&window).view().snapshot_every().map(|every| every.to_string());
        assert_eq!(every.as_deref(), expected, "{text}");
    };
    check("250", Some("250 inputs"));
    check("often", Some("250 inputs"));
    check("2s", Some("2 s"));
    check("", None);
}

#[test]
fn a_dialog_can_be_left_by_keys() {
    let mut window = open(&[]);
    window.key_press_modifiers(Modifiers::COMMAND, Key::L);
    shows(&mut window, "Open by path");
    window.step();
    assert!(window.get_by_label("Path").accesskit_node().is_focused());
    window.key_press(Key::Tab);
    window.step();
    window.step();
    assert!(window.get_by_label("Cancel").accesskit_node().is_focused());
    window.key_press(Key::Escape);
    window.step();
    window.step();
    assert!(window.query_by_label("Path").is_none());
}

#[test]
fn what_is_listed_of_a_trace_is_what_is_replayed() {
    let mut window = open(&[root().join("assets/traces/shop.mcap")]);
    execute(&mut window, Command::Load(sample("redact.wasm")));
    let rows = |window: &Window| app(window).report().rows;
    assert_eq!(rows(&window), 221);
    window.key_press(Key::Home);
    window.step();
    (0..10).for_each(|_| {
        window.key_press(Key::ArrowDown);
        window.step();
    });
    window.key_press(Key::OpenBracket);
    wait(&mut window, "the range starts", |window| rows(window) == 211);
    (0..19).for_each(|_| {
        window.key_press(Key::ArrowDown);
        window.step();
    });
    window.key_press(Key::CloseBracket);
    wait(&mut window, "the range ends", |window| rows(window) == 20);
    window.key_press(Key::F5);
    window.step();
    wait(&mut window, "it is over", |window| !app(window).view().is_busy());
    shows(&mut window, "201 inputs of the trace were left out");
    assert_eq!(app(&window).view().frames_replayed(), 20);
}

#[test]
fn a_replay_ends_with_the_last_plugin_that_gets_it() {
    let check = |how: ReplayHow, pace: Pace, held: bool, unload: fn(&mut Window)| {
        let mut window = open(&[root().join("assets/traces/shop.mcap")]);
        execute(&mut window, Command::Load(sample("redact.wasm")));
        let trace = app(&window).view().traces()[0].id;
        let request = ReplayRequest {
            trace,
            targets: Vec::new(),
            routing: Routing::ByPlugin,
            pace,
            filter: None,
            calls: Vec::new(),
            range: None,
            from: None,
            how,
        };
        let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
        workbench.execute(Command::Replay(request));
        workbench.execute(Command::PauseReplay(held));
        let is_under_way = |window: &Window| {
            let progress = app(window).view().replay().and_then(|job| job.progress);
            progress.is_some_and(|(done, _)| held || done > 0)
        };
        wait(&mut window, "the replay is under way", is_under_way);
        unload(&mut window);
        wait(&mut window, "the replay is over", |window| !app(window).view().is_busy());
        let notices = app(&window).view().notices();
        let said = notices.iter().find(|notice| notice.text.starts_with("Replayed")).unwrap();
        assert!(said.text.ends_with("left: redact was unloaded"), "{}", said.text);
        assert!(!said.text.contains("refused"), "{}", said.text);
        assert!(app(&window).view().plugins().is_empty());
    };
    let by_command = |window: &mut Window| {
        let instance = app(window).view().plugins()[0].instance;
        let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
        workbench.execute(Command::Unload(instance));
    };
    let by_the_host = |window: &mut Window| {
        let instance = app(window).view().plugins()[0].instance;
        let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
        assert!(workbench.host().unload(instance));
    };
    check(ReplayHow::Again, Pace::Max, false, by_command);
    check(ReplayHow::Again, Pace::Max, false, by_the_host);
    // It would wait for a person, or for hours.
    check(ReplayHow::Once, Pace::Step, true, by_command);
    check(ReplayHow::Once, Pace::Times(0.001), true, by_command);
}
