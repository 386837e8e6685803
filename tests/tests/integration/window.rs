//! The window, driven by its labels as a person or a screen reader would.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable};
use glovebox::window::App;
use glovebox::window::commands::{TABLE, Verb};
use glovebox::window::ids::{PANELS, PanelId, Place};
use glovebox::workbench::replay::Routing;
use glovebox::workbench::{Command, ReplayHow, ReplayRequest, Source, Workbench, WorkbenchOptions};
use glovebox_inspector::replay::Pace;
use glovebox_inspector::store::Store;
use glovebox_tests::{root, sample};

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Window = Harness<'static, Option<App>>;

/// A window over these files.
pub(crate) fn open(files: &[PathBuf]) -> Window {
    over(Workbench::new(WorkbenchOptions::default()).unwrap(), files)
}

/// A window over these files in this workbench.
pub(crate) fn over(mut workbench: Workbench, files: &[PathBuf]) -> Window {
    if !files.is_empty() {
        workbench.execute(Command::Start { files: files.to_vec() });
    }
    let mut workbench = Some(workbench);
    let mut window = Harness::builder().with_size(egui::vec2(1440.0, 900.0)).build_ui_state(
        move |ui, app: &mut Option<App>| {
            let app = app.get_or_insert_with(|| {
                let workbench = workbench.take().expect("the window is made once");
                App::new(workbench, ui.ctx())
            });
            app.logic(ui.ctx());
            app.logic(ui.ctx());
            app.ui(ui);
        },
        None,
    );
    wait(&mut window, "everything is loaded", |window| !app(window).view().is_busy());
    window
}

pub(crate) fn app(window: &Window) -> &App {
    window.state().as_ref().expect("the first frame makes it")
}

/// Paints until `done`, and once more.
#[track_caller]
pub(crate) fn wait(window: &mut Window, what: &str, done: impl Fn(&Window) -> bool) {
    until(window, what, done);
    window.step();
}

/// Paints until `done`; each round waits for at most a frame's length.
#[track_caller]
pub(crate) fn until(window: &mut Window, what: &str, done: impl Fn(&Window) -> bool) {
    let started = Instant::now();
    window.step();
    while !done(window) {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(10));
        window.step();
    }
}

#[track_caller]
pub(crate) fn shows(window: &mut Window, text: &str) {
    let found = |window: &Window| window.query_all_by_label_contains(text).next().is_some();
    wait(window, &format!("{text:?} is shown"), found);
}

fn demo() -> Vec<PathBuf> {
    vec![sample("redact.wasm"), root().join("assets/traces/shop.pcap")]
}

#[test]
fn an_empty_window_offers_examples_that_run() {
    for example in &glovebox::workbench::EXAMPLES {
        assert!(example.files().is_some(), "{}: its files are not there", example.title);
        let mut window = open(&[]);
        shows(&mut window, "Try an example");
        window.get_by_label(example.title).click();
        wait(&mut window, example.title, |window| {
            let view = app(window).view();
            !view.is_busy() && !view.plugins().is_empty() && app(window).report().rows > 0
        });
        assert_eq!(app(&window).view().loads_failed(), 0, "{}", example.title);
    }
}

#[test]
fn a_trace_with_a_plugin_is_replayed_into_it() {
    let mut window = open(&demo());
    wait(&mut window, "frames are shown", |window| app(window).report().frames_shown > 10);
    let report = app(&window).report();
    assert_eq!(report.plugins_ready, 1);
    // Each of the 221 packets goes in, and redact answers each.
    assert_eq!((report.frames_replayed, report.rows), (221, 442));
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    shows(&mut window, "redact");
    shows(&mut window, "completed");
}

#[test]
fn a_trace_alone_is_shown() {
    let window = open(&[root().join("assets/traces/shop.mcap")]);
    assert_eq!(app(&window).report().rows, 221);
}

#[test]
fn two_traces_alone_are_compared_in_their_order() {
    let shop = root().join("assets/traces/shop.mcap");
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("second.mcap");
    std::fs::copy(&shop, &second).unwrap();
    let mut window = open(&[second, shop]);
    wait(&mut window, "the comparison is there", |window| app(window).view().diff().is_some());
    let view = app(&window).view();
    let (_, diff) = view.diff().unwrap();
    assert_eq!((diff.before.name.as_str(), diff.after.name.as_str()), ("second.mcap", "shop.mcap"));
    assert!(diff.is_same());
}

#[test]
fn differences_are_reviewed_with_keys() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, payloads: [&str; 3]| {
        let line = |payload: &str| {
            serde_json::json!({ "plugin": "p", "payload": payload }).to_string() + "\n"
        };
        let path = folder.path().join(name);
        std::fs::write(&path, payloads.map(line).concat()).unwrap();
        path
    };
    let before = trace("a.ndjson", ["[1]", "[2]", r#"{"x":1}"#]);
    let after = trace("b.ndjson", ["[7]", "[8]", r#"{"x":2}"#]);
    let mut window = open(&[before, after]);
    wait(&mut window, "the comparison is there", |window| app(window).view().diff().is_some());
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Diff);
    shows(&mut window, "2 calls of p differ only in /input/payload/*");
    shows(&mut window, "0 accepted, 0 rejected, 3 left");
    for (modifiers, key, expected) in [
        (Modifiers::NONE, Key::S, "0 accepted, 0 rejected, 3 left"),
        (Modifiers::NONE, Key::R, "0 accepted, 1 rejected, 2 left"),
        (Modifiers::SHIFT, Key::A, "2 accepted, 1 rejected, 0 left"),
        (Modifiers::SHIFT, Key::R, "2 accepted, 1 rejected, 0 left"),
    ] {
        window.key_press_modifiers(modifiers, key);
        window.step();
        shows(&mut window, expected);
    }
    let file = folder.path().join("b.txt");
    window.state_mut().as_mut().unwrap().save_baseline(file.clone());
    shows(&mut window, "3 calls are the baseline now");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("1 call of p differs only in /input/payload/x"), "{text}");
    assert!(text.contains("in data json\n[8]\n") && text.contains("{\"x\":1}"), "{text}");
}

#[test]
fn filters_are_completed_by_keys() {
    let mut window = open(&demo());
    wait(&mut window, "frames are shown", |window| app(window).report().frames_shown > 10);
    let typed = |window: &Window| window.get_by_label("Filter").value().unwrap_or_default();
    window.key_press(Key::Slash);
    window.step();
    for (text, offered) in [("pl", "plugin:"), ("re", "redact"), (" dir:", "in"), ("o", "out")] {
        window.event(egui::Event::Text(text.to_owned()));
        shows(&mut window, offered);
        if text == " dir:" {
            continue;
        }
        window.key_press(if text == "re" { Key::Enter } else { Key::ArrowRight });
        window.step();
    }
    wait(&mut window, "the filter is complete", |window| typed(window) == "plugin:redact dir:out");
    wait(&mut window, "half of the rows match", |window| app(window).report().rows == 221);
    // The second one is chosen with an arrow.
    window.event(egui::Event::Text(" kind:".to_owned()));
    shows(&mut window, "handshake");
    window.key_press(Key::ArrowDown);
    window.step();
    window.key_press(Key::Tab);
    wait(&mut window, "a kind is chosen", |window| typed(window).ends_with("kind:handshake"));
    window.event(egui::Event::Text(" latncy>1s".to_owned()));
    shows(&mut window, "unknown field `latncy` at byte 37; did you mean `latency`?");
}

/// The name of the control that has the focus.
fn focused(window: &Window) -> Option<String> {
    let node = window.query_all_by(|node| node.is_focused()).next()?;
    node.accesskit_node().label()
}

#[test]
fn a_keyboard_leads_out_of_the_filter() {
    let check = |text: &str, keys: &[(Modifiers, Key)], typed: &str, stays: bool| {
        let mut window = open(&demo());
        wait(&mut window, "frames are shown", |window| app(window).report().frames_shown > 10);
        window.key_press(Key::Slash);
        window.step();
        window.event(egui::Event::Text(text.to_owned()));
        shows(&mut window, "plugin:");
        for (modifiers, key) in keys {
            window.key_press_modifiers(*modifiers, *key);
            window.step();
            window.step();
        }
        let value = window.get_by_label("Filter").value().unwrap_or_default();
        assert_eq!(value, typed, "{text:?} {keys:?}");
        let is_there = focused(&window).as_deref() == Some("Filter");
        assert_eq!(is_there, stays, "{text:?} {keys:?}: {:?}", focused(&window));
    };
    let (none, shift) = (Modifiers::NONE, Modifiers::SHIFT);
    check("pl", &[(none, Key::Tab)], "pl", false);
    check("pl", &[(shift, Key::Tab)], "pl", false);
    check("p", &[(none, Key::ArrowDown), (none, Key::ArrowUp), (shift, Key::Tab)], "p", false);
    check("pl", &[(none, Key::ArrowDown), (none, Key::ArrowUp), (none, Key::Tab)], "plugin:", true);
    check("pl", &[(none, Key::Enter)], "plugin:", true);
    check("pl", &[(none, Key::ArrowRight)], "plugin:", true);
    // Nothing was begun, so nothing is taken.
    check("dir:in ", &[(none, Key::Enter)], "dir:in ", false);
    check("dir:in ", &[(none, Key::Tab)], "dir:in ", false);
    // The list came up by itself, so that Esc clears the filter at once; a choice is given up first.
    check("pl", &[(none, Key::Escape)], "", false);
    check("pl", &[(none, Key::ArrowDown), (none, Key::Escape)], "pl", true);
    check("pl", &[(none, Key::ArrowDown), (none, Key::Escape), (none, Key::Escape)], "", false);
}

#[test]
fn every_panel_draws() {
    let mut window = open(&demo());
    for panel in PANELS {
        if panel.place == Place::Centre {
            window.state_mut().as_mut().unwrap().show_panel(panel.id);
        }
        window.step();
        window.step();
        let drawn = app(&window).report().panels_drawn;
        assert!(drawn.contains(panel.title), "{} is not among {drawn:?}", panel.title);
    }
}

#[test]
fn the_palette_lists_every_command() {
    let mut window = open(&demo());
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.step();
    shows(&mut window, "Open plugin…");
    window.event(egui::Event::Text("dark and light".to_owned()));
    window.step();
    shows(&mut window, "Switch between dark and light");
    for (position, entry) in TABLE.iter().enumerate() {
        let same = TABLE[..position].iter().find(|other| other.name == entry.name);
        assert!(same.is_none(), "two commands are called {:?}", entry.name);
        assert!(!entry.tooltip.is_empty(), "{:?} has no tooltip", entry.name);
    }
    assert!(TABLE.iter().any(|entry| entry.verb == Verb::Palette));
}

#[test]
fn bad_plugins_become_red_rows() {
    let mut window = open(&[sample("misbehave.wasm")]);
    for (payload, expected) in
        [("mode=trap", "trapped"), ("mode=loop", "timed-out"), ("mode=fail", "failed")]
    {
        let view = app(&window).view();
        let target = view.plugins()[0].instance;
        let host = window.state_mut().as_mut().unwrap().workbench_mut().host().clone();
        let ticket = host.try_dispatch_to(target, glovebox_abi::Frame::data(payload)).unwrap();
        assert_eq!(ticket.wait().outcome.name(), expected);
        shows(&mut window, expected);
    }
}

#[test]
fn a_damaged_plugin_leaves_the_window_and_names_the_stage() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.wasm");
    std::fs::write(&damaged, b"\x1F\x8B").unwrap();
    let mut window = open(&[sample("echo.wasm"), damaged]);
    let view = app(&window).view();
    assert_eq!((view.plugins().len(), view.loads_failed()), (1, 1));
    shows(&mut window, "packed with gzip");
}

#[test]
fn generations_come_and_go_by_command_and_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    std::fs::copy(sample("stats.wasm"), &path).unwrap();
    let mut window = open(std::slice::from_ref(&path));
    window.state_mut().as_mut().unwrap().show_panel(glovebox::window::ids::PanelId::Reload);
    let instance = app(&window).view().plugins()[0].instance;
    // A file that is slowly written may be taken up twice.
    let reaches = |window: &mut Window, generation: u32| {
        wait(window, &format!("generation {generation}"), |window| {
            app(window).view().plugins()[0].generation >= generation
        });
    };
    let run = |window: &mut Window, command| {
        window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
    };
    run(&mut window, Command::Reload { instance, carry_state: true });
    reaches(&mut window, 2);
    run(&mut window, Command::RollBack(instance, None));
    reaches(&mut window, 3);
    run(&mut window, Command::Watch(instance, true));
    wait(&mut window, "it is watched", |window| app(window).view().plugins()[0].watching);
    std::fs::copy(sample("stats.frame-abi.wasm"), &path).unwrap();
    reaches(&mut window, 4);
    for cause in ["requested", "rolled back", "file changed"] {
        shows(&mut window, cause);
    }
}

#[test]
fn a_denial_by_command_is_in_effect_and_shown() {
    let mut window = open(&[sample("storage.wasm")]);
    window.state_mut().as_mut().unwrap().show_panel(glovebox::window::ids::PanelId::Policy);
    let instance = app(&window).view().plugins()[0].instance;
    let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
    let denied = (glovebox_abi::Permission::Kv, glovebox_host::Decision::Deny);
    workbench.execute(Command::Decide(instance, denied.0, denied.1));
    let frame = glovebox_abi::Frame::data(r#"{"do":"list"}"#);
    let reply = workbench.host().try_dispatch_to(instance, frame).unwrap().wait();
    assert_eq!(reply.outcome.name(), "failed");
    shows(&mut window, "denied for this plugin");
}

#[test]
fn a_workspace_opens_with_its_plugins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("glovebox.toml");
    let open_with = |enabled: &str| {
        let plugins = sample("").canonicalize().unwrap();
        let text = format!(
            "profile = 'development'\nmock = 'mock.toml'\n[plugins]\nfolders = '{}'\nenabled = {enabled}\n\
             [plugin.redact.limits]\nqueue = 7",
            plugins.display()
        );
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("mock.toml"), "[random]\nseed = 1").unwrap();
        open(&[file.clone(), root().join("assets/traces/shop.pcap")])
    };
    let window = open_with("['redact', 'echo']");
    let view = app(&window).view();
    // Later notices push its toast out.
    let opened = "glovebox.toml: 2 plugins on development";
    assert!(view.notices().iter().any(|notice| notice.text.ends_with(opened)));
    assert_eq!(view.loads_failed(), 0);
    assert_eq!(view.frames_replayed(), 2 * 221, "the trace went to both");
    let redact = view.plugin_by_id("redact").unwrap();
    assert_eq!((redact.limits.queue, redact.watching), (7, true));
    assert_eq!(redact.mocks, ["random"]);
    let window = open_with("['redakt']");
    let view = app(&window).view();
    let said = view.notices().iter().any(|notice| notice.text.contains("did you mean `redact`?"));
    assert!(said && view.loads_failed() == 1, "{:?}", view.notices());
}

#[test]
fn a_replay_can_be_answered_by_the_trace_and_go_on_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.mcap");
    super::replay::reads_of_a_key(&path);
    let mut window = open(&[sample("storage.wasm"), path]);
    // Opened together, they are joined: live, the store is empty.
    shows(&mut window, "Replayed 2 frames");
    let trace = app(&window).view().traces()[0].id;
    let run = |window: &mut Window, how| {
        let request = ReplayRequest {
            trace,
            targets: Vec::new(),
            routing: Routing::ByPlugin,
            pace: Pace::Max,
            filter: None,
            calls: Vec::new(),
            range: None,
            from: None,
            how,
        };
        let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
        workbench.execute(Command::Replay(request));
    };
    run(&mut window, ReplayHow::Answered);
    shows(&mut window, "1 host call answered from the trace, 1 diverges in 1 input");
    wait(&mut window, "the fresh copy is gone", |window| app(window).view().plugins().len() == 1);
    let answers = |window: &Window| {
        let replays = app(window).view().traces().iter().skip(1);
        replays.last().map(|trace| trace.store.rows().count())
    };
    assert_eq!(answers(&window), Some(3), "two inputs and an answer: one call failed");
    run(&mut window, ReplayHow::Again);
    wait(&mut window, "it went on", |window| {
        app(window).reader().read(Source::Live, Store::len).unwrap_or(0) > 100
    });
    assert!(app(&window).view().replay().is_some(), "it has not stopped by itself");
    window.state_mut().as_mut().unwrap().workbench_mut().execute(Command::CancelAll);
    wait(&mut window, "it is stopped", |window| app(window).view().replay().is_none());
}
