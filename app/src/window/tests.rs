//! The window while parts of it panic, and while unsaved work would be lost.

mod aims;
mod compared;
mod composed;
mod faults;
mod kept;
mod letters;
mod lists;
mod opened;
mod tried;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::session::Session;
use super::*;
use crate::panics::hook::panic_at;
use crate::workbench::{SendRequest, Source};

type Window = Harness<'static, Option<App>>;

/// A window over these files whose session is kept at `session`.
fn open(files: Vec<PathBuf>, session: PathBuf) -> Window {
    let mut workbench = Workbench::new(WorkbenchOptions::default()).unwrap();
    workbench.execute(Command::Start { files });
    let mut parts = Some((workbench, session));
    let build = move |ui: &mut egui::Ui, app: &mut Option<App>| {
        let app = app.get_or_insert_with(|| {
            let (workbench, path) = parts.take().expect("the window is made once");
            App::with_session(workbench, ui.ctx(), Session::default(), Some(path))
        });
        app.logic(ui.ctx());
        app.ui(ui);
    };
    let mut window =
        Harness::builder().with_size(egui::vec2(1440.0, 900.0)).build_ui_state(build, None);
    wait(&mut window, |app| !app.view().is_busy());
    window
}

fn app(window: &Window) -> &App {
    window.state().as_ref().expect("the first frame makes it")
}

#[track_caller]
fn wait(window: &mut Window, done: impl Fn(&App) -> bool) {
    let started = Instant::now();
    window.step();
    while !done(app(window)) {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::park_timeout(Duration::from_millis(10));
        window.step();
    }
    window.step();
}

#[track_caller]
fn says(window: &Window, text: &str) {
    let notices = app(window).view().notices();
    assert!(notices.iter().any(|notice| notice.text.contains(text)), "{text} in {notices:?}");
}

fn echo() -> Vec<PathBuf> {
    vec![crate::assets::plugin("echo").unwrap(), crate::assets::trace("shop").unwrap()]
}

#[test]
fn a_part_of_the_window_that_panics_can_be_tried_again() {
    let check = |part: &'static str| {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session.json");
        let mut window = open(echo(), session.clone());
        if let Some(panel) = ids::PANELS.iter().find(|panel| panel.title == part) {
            window.state_mut().as_mut().unwrap().show_panel(panel.id);
        }
        window.step();
        panic_at(Some(part));
        window.step();
        window.step();
        says(&window, &format!("{part} cannot be shown: a fault of Glovebox itself"));
        let again = format!("Try {part} again");
        assert!(window.query_by_label(&again).is_some(), "{part}");
        // The rest goes on.
        let others = ["Try Frames again", "Try Plugins again", "Try Toolbar again"];
        let broken = others.iter().filter(|label| window.query_by_label(label).is_some());
        assert!(broken.count() <= 1, "{part}");
        assert_eq!(app(&window).view().plugins().len(), 1);
        wait(&mut window, |_| session.exists());
        panic_at(None);
        window.step();
        assert!(window.query_by_label(&again).is_some(), "nobody asked for {part} yet");
        window.get_by_label(&again).click();
        window.step();
        window.step();
        assert!(window.query_by_label(&again).is_none(), "{part} is back");
    };
    for panel in ids::PANELS {
        check(panel.title);
    }
    for part in ["Title bar", "Toolbar", "Status bar"] {
        check(part);
    }
}

#[test]
fn what_panics_elsewhere_in_the_window_is_said() {
    let check = |place: &'static str, expected: &str, act: fn(&mut Window)| {
        let folder = tempfile::tempdir().unwrap();
        let mut window = open(echo(), folder.path().join("session.json"));
        panic_at(Some(place));
        act(&mut window);
        window.run_steps(2);
        panic_at(None);
        says(&window, expected);
        let painted = app(&window).report().frames_painted;
        wait(&mut window, |app| app.report().frames_painted > painted + 2);
    };
    let palette = |window: &mut Window| {
        window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::K);
    };
    check("Overlay", "The overlays were closed: a fault of Glovebox", palette);
    check("Action", "Not done: a fault of Glovebox itself", palette);
    check("Decoding", "", |window| {
        window.key_press(egui::Key::ArrowDown);
        window.step();
        window.step();
        let text = "This frame cannot be taken apart: a fault of Glovebox itself";
        assert!(window.query_by_label_contains(text).is_some());
    });
}

fn decide(window: &mut Window, permission: glovebox_abi::Permission) {
    let instance = app(window).view().plugins()[0].instance;
    let decision = glovebox_host::Decision::Deny;
    let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
    workbench.execute(Command::Decide(instance, permission, decision));
}

/// Types a path over the one that is offered, and takes it.
fn give_path(window: &mut Window, path: &std::path::Path) {
    wait_for(window, "Path");
    window.step();
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::A);
    window.event(egui::Event::Text(path.display().to_string()));
    window.step();
    window.key_press(egui::Key::Enter);
    window.step();
}

/// Waits until a label that contains this is drawn: figures and searches reach the window later.
#[track_caller]
fn wait_for(window: &mut Window, label: &str) {
    let started = Instant::now();
    window.step();
    while window.query_all_by_label_contains(label).next().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain for {label}");
        std::thread::park_timeout(Duration::from_millis(10));
        window.step();
    }
}

#[test]
fn traces_are_saved_by_path_where_there_is_no_dialog() {
    let folder = tempfile::tempdir().unwrap();
    let mut window =
        open(vec![crate::assets::trace("shop").unwrap()], folder.path().join("s.json"));
    let save = |window: &mut Window| {
        window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::S);
        window.step();
    };
    let path = folder.path().join("copy.mcap");
    save(&mut window);
    give_path(&mut window, &path);
    wait(&mut window, |app| !app.view().is_busy());
    let saved = std::fs::read(&path).unwrap();
    assert_eq!(saved, std::fs::read(crate::assets::trace("shop").unwrap()).unwrap());
    // Nothing is replaced without a question, whose answer is no until somebody says yes.
    std::fs::write(&path, "precious").unwrap();
    for (key, expected) in [(None, "precious".as_bytes()), (Some(egui::Key::Tab), &saved)] {
        save(&mut window);
        give_path(&mut window, &path);
        wait_for(&mut window, "Replace copy.mcap?");
        window.step();
        if let Some(key) = key {
            window.key_press(key);
            window.step();
        }
        window.key_press(egui::Key::Enter);
        window.step();
        window.step();
        wait(&mut window, |app| !app.view().is_busy());
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }
    // Live, the keys say what they do.
    window.key_press_modifiers(egui::Modifiers::COMMAND | egui::Modifiers::SHIFT, egui::Key::L);
    window.step();
    save(&mut window);
    says(&window, "Save live frames… is about live ones");
}

#[test]
fn quitting_asks_for_what_would_be_lost() {
    let closes = |window: &Window| app(window).quitting == quitting::Quitting::Agreed;
    let check = |by_key: bool, answer: &str, expected: bool, saved: bool| {
        let folder = tempfile::tempdir().unwrap();
        let mut window = open(echo(), folder.path().join("s.json"));
        decide(&mut window, glovebox_abi::Permission::Log);
        window.step();
        if by_key {
            window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
        } else {
            let viewport = window.input_mut().viewports.entry(egui::ViewportId::ROOT).or_default();
            viewport.events.push(egui::ViewportEvent::Close);
        }
        window.step();
        window.step();
        wait_for(&mut window, "1 change of the policy not saved as policy.toml");
        assert!(!closes(&window));
        match answer {
            "" => window.key_press(egui::Key::Escape),
            label => window.get_by_label(label).click(),
        }
        window.step();
        window.step();
        let path = folder.path().join("policy.toml");
        if saved {
            give_path(&mut window, &path);
            wait(&mut window, |app| app.quitting == quitting::Quitting::Agreed);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains("[plugins.echo]\nlog = \"deny\""), "{text}");
            assert!(glovebox_host::Policy::parse(&text).is_ok(), "{text}");
        }
        assert_eq!(closes(&window), expected, "{answer}");
    };
    for by_key in [true, false] {
        check(by_key, "", false, false);
        check(by_key, "Cancel", false, false);
        check(by_key, "Quit", true, false);
        check(by_key, "Save…", true, true);
    }
    // A path that is not given is no yes.
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
    window.step();
    assert!(closes(&window), "nothing is unsaved");
    let mut window = open(echo(), folder.path().join("s.json"));
    decide(&mut window, glovebox_abi::Permission::Log);
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
    wait_for(&mut window, "Save…");
    window.get_by_label("Save…").click();
    wait_for(&mut window, "Path");
    window.step();
    window.key_press(egui::Key::Escape);
    wait(&mut window, |app| app.quitting == quitting::Quitting::No);
    says(&window, "The window stays open: not everything is saved");
}

#[test]
fn decisions_that_are_in_no_file_are_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, payload: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{{\"plugin\": \"p\", \"payload\": \"{payload}\"}}\n"))
            .unwrap();
        path
    };
    let files = vec![trace("a.ndjson", "1"), trace("b.ndjson", "2")];
    let mut window = open(files, folder.path().join("s.json"));
    wait(&mut window, |app| app.view().diff().is_some());
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Diff);
    window.step();
    window.step();
    window.key_press(egui::Key::A);
    window.step();
    assert_eq!(app(&window).unsaved_decisions(), Some(1));
    // Another comparison would take the place of this one.
    window.get_by_label("Compare").click();
    wait_for(&mut window, "1 decision about the last comparison");
    window.key_press(egui::Key::Escape);
    window.step();
    window.step();
    assert_eq!(app(&window).unsaved_decisions(), Some(1));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
    wait_for(&mut window, "1 decision about b.ndjson not saved as baseline");
    window.get_by_label("Save…").click();
    let path = folder.path().join("b.txt");
    give_path(&mut window, &path);
    wait(&mut window, |app| app.quitting == quitting::Quitting::Agreed);
    assert!(path.exists());
    assert_eq!(app(&window).unsaved_decisions(), None);
}

#[test]
fn a_recording_is_finished_before_the_window_closes() {
    let folder = tempfile::tempdir().unwrap();
    let options = WorkbenchOptions {
        recordings_folder: Some(folder.path().join("recordings")),
        ..WorkbenchOptions::default()
    };
    let mut workbench = Workbench::new(options).unwrap();
    workbench.execute(Command::StartRecording);
    let mut workbench = Some(workbench);
    let build = move |ui: &mut egui::Ui, app: &mut Option<App>| {
        let make = || App::new(workbench.take().expect("once"), ui.ctx());
        let app = app.get_or_insert_with(make);
        app.logic(ui.ctx());
        app.ui(ui);
    };
    let mut window: Window = Harness::builder().build_ui_state(build, None);
    window.step();
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
    wait_for(&mut window, "A recording is running");
    // It is kept anyway: there is nothing to discard.
    assert!(window.query_by_label("Save…").is_none());
    window.get_by_label("Quit").click();
    wait(&mut window, |app| app.quitting == quitting::Quitting::Agreed);
    let files = std::fs::read_dir(folder.path().join("recordings")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().ends_with(".mcap")), "{names:?}");
}

#[test]
fn rows_are_painted_while_frames_flow_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut window =
        open(vec![crate::assets::plugin("echo").unwrap()], folder.path().join("s.json"));
    let send = |window: &mut Window, bytes: usize, times: usize| {
        let target = app(window).view().plugins()[0].instance;
        let frame = glovebox_abi::Frame::data(vec![b'x'; bytes]);
        let request = crate::workbench::SendRequest { target, frame, payload_file: None, times };
        let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
        workbench.execute(Command::Send(request));
    };
    let evicted = |app: &App| app.reader().read(Source::Live, |store| store.evicted());
    send(&mut window, 32 << 10, 1100);
    wait(&mut window, |app| evicted(app) > Some(0) && !app.view().is_busy());
    for _ in 0..6 {
        window.step();
    }
    let page = app(&window).report().frames_shown;
    assert!(page > 10, "{page}");
    // Each makes more room for itself than there are rows in view.
    for follows in [true, true, true, false] {
        window.state_mut().as_mut().unwrap().panels.frames.follow = follows;
        let before = evicted(app(&window)).unwrap();
        send(&mut window, 3 << 20, 1);
        let started = Instant::now();
        let mut after = 0;
        while after < 8 {
            assert!(started.elapsed() < Duration::from_secs(60), "waited in vain");
            std::thread::park_timeout(Duration::from_millis(5));
            window.step();
            let report = app(&window).report();
            assert!(report.frames_shown + 2 >= page, "{follows} {after}: {report:?} of {page}");
            after += usize::from(evicted(app(&window)) > Some(before + page as u64));
        }
    }
}

#[test]
fn a_replay_that_is_in_no_file_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("shop.mcap");
    std::fs::copy(crate::assets::trace("shop").unwrap(), &input).unwrap();
    let files = vec![crate::assets::plugin("echo").unwrap(), input.clone()];
    let mut window = open(files, folder.path().join("s.json"));
    let replays = |app: &App| app.view().traces().iter().filter(|trace| trace.unsaved).count();
    assert_eq!(replays(app(&window)), 0, "nobody asked for the first one");
    window.key_press(egui::Key::F5);
    wait(&mut window, |app| replays(app) == 1 && !app.view().is_busy());
    let quit = |window: &mut Window| {
        window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
        wait_for(window, "replay 2 of shop.mcap is in no file");
        window.step();
    };
    quit(&mut window);
    assert!(window.query_by_label("Quit").is_some());
    window.get_by_label("Save…").click();
    // An open file is no place for it, and nobody is asked to agree to that.
    let trace = std::fs::read(&input).unwrap();
    give_path(&mut window, &input);
    wait(&mut window, |app| app.quitting == quitting::Quitting::No);
    says(&window, "it is the input");
    says(&window, "choose another name");
    assert_eq!((std::fs::read(&input).unwrap(), replays(app(&window))), (trace, 1));
    // Another file is replaced by it, once somebody agreed.
    let path = folder.path().join("old.mcap");
    std::fs::write(&path, "old").unwrap();
    quit(&mut window);
    window.get_by_label("Save…").click();
    give_path(&mut window, &path);
    wait_for(&mut window, "Replace old.mcap?");
    window.step();
    window.get_by_label("Replace old.mcap").click();
    wait(&mut window, |app| app.quitting == quitting::Quitting::Agreed);
    assert!(glovebox_trace::TraceReader::open(&path).is_ok());
    assert_eq!(replays(app(&window)), 0);
}

#[test]
fn small_windows_keep_rows_in_view() {
    let check = |zoom: f32, rows: usize, expected: &[&str], never: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut window = open(echo(), folder.path().join("s.json"));
        window.set_size(egui::vec2(900.0, 600.0) / zoom);
        for _ in 0..6 {
            window.step();
        }
        let report = app(&window).report();
        assert!(report.frames_shown >= rows, "{zoom}: {report:?}");
        let drawn = |panel: &&str| report.panels_drawn.iter().any(|title| title == *panel);
        assert!(expected.iter().all(&drawn), "{zoom}: {report:?}");
        assert!(!never.iter().any(&drawn), "{zoom}: {report:?}");
        // A panel that there was no room for is back when there is.
        window.set_size(egui::vec2(1440.0, 900.0));
        window.step();
        window.step();
        let drawn = app(&window).report().panels_drawn;
        let all = ["Drawer", "Inspector", "Plugins", "Timeline"];
        assert!(all.iter().all(|panel| drawn.iter().any(|title| title == panel)), "{drawn:?}");
    };
    check(1.0, 4, &["Frames", "Plugins", "Inspector"], &[]);
    check(2.0, 4, &["Frames", "Plugins"], &["Timeline", "Drawer", "Inspector"]);
    check(3.0, 1, &["Frames"], &["Timeline", "Drawer", "Inspector", "Plugins"]);
}

#[test]
fn keys_of_sides_show_them_or_say_why_not() {
    let sides = [
        ("Drawer", "the drawer", egui::Modifiers::COMMAND, egui::Key::J),
        ("Timeline", "the timeline", egui::Modifiers::COMMAND, egui::Key::T),
        ("Plugins", "plugins and traces", egui::Modifiers::COMMAND, egui::Key::B),
        (
            "Inspector",
            "the inspector",
            egui::Modifiers::COMMAND | egui::Modifiers::ALT,
            egui::Key::B,
        ),
    ];
    let check = |files: Vec<PathBuf>, (width, height): (f32, f32), why: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut window = open(files, folder.path().join("s.json"));
        window.set_size(egui::vec2(width, height));
        window.run_steps(4);
        for (panel, name, modifiers, key) in sides {
            let is_drawn = |window: &Window| app(window).report().panels_drawn.contains(panel);
            let says = |window: &Window| {
                let why =
                    format!("{} {name}", if panel == "Plugins" { "No room for" } else { why });
                window.query_all_by_label_contains(&why).next().is_some()
            };
            let press = |window: &mut Window| {
                window.key_press_modifiers(modifiers, key);
                window.run_steps(30);
            };
            if is_drawn(&window) {
                press(&mut window);
                assert!(!is_drawn(&window) && !says(&window), "{panel} closes, {width} × {height}");
            }
            press(&mut window);
            assert!(is_drawn(&window) || says(&window), "{panel} opens, {width} × {height}");
        }
    };
    for size in [(900.0, 600.0), (640.0, 480.0), (480.0, 320.0), (450.0, 300.0)] {
        check(echo(), size, "No room for");
        check(Vec::new(), size, "There is nothing for");
    }
}

fn execute(window: &mut Window, command: Command) {
    window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
}

fn filter_by(window: &mut Window, text: &str) {
    window.state_mut().as_mut().unwrap().shown.query.set_text(text.to_owned());
    window.run_steps(2);
}

#[test]
fn a_live_frame_is_sent_again_to_its_own_plugin_only() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["echo", "redact"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(files.to_vec(), folder.path().join("s.json"));
    let target = |window: &Window, id: &str| app(window).view().plugin_by_id(id).unwrap().instance;
    let sent = |app: &App| app.view().sent().len();
    for (number, id) in ["echo", "redact"].into_iter().enumerate() {
        let target = target(&window, id);
        let frame = glovebox_abi::Frame::data("x");
        let request = SendRequest { target, frame, payload_file: None, times: 1 };
        execute(&mut window, Command::Send(request));
        wait(&mut window, |app| sent(app) > number && !app.view().is_busy());
    }
    window.key_press(egui::Key::Home);
    window.run_steps(2);
    let echo = target(&window, "echo");
    execute(&mut window, Command::Unload(echo));
    wait(&mut window, |app| app.view().plugins().len() == 1 && !app.view().is_busy());
    window.key_press(egui::Key::G);
    window.step();
    wait(&mut window, |app| !app.view().is_busy());
    assert_eq!(sent(app(&window)), 2, "{:?}", app(&window).view().sent().back());
    says(&window, "echo is not loaded: load it");
}

/// Sends a frame to each plugin, and gives their instances.
fn send_to_each(window: &mut Window) -> Vec<glovebox_host::InstanceId> {
    let plugins: Vec<_> = app(window).view().plugins().iter().map(|one| one.instance).collect();
    for (number, target) in plugins.iter().copied().enumerate() {
        let frame = glovebox_abi::Frame::data("x");
        let request = SendRequest { target, frame, payload_file: None, times: 1 };
        execute(window, Command::Send(request));
        let sent = |app: &App| app.view().sent().len();
        wait(window, |app| sent(app) > number && !app.view().is_busy());
    }
    plugins
}

#[test]
fn instances_of_one_plugin_have_the_same_names_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["stats-v1", "stats"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(files.to_vec(), folder.path().join("s.json"));
    let plugins = send_to_each(&mut window);
    let shows = |window: &mut Window, panel: ids::PanelId, words: &[&str]| {
        window.state_mut().as_mut().unwrap().show_panel(panel);
        for word in words {
            wait_for(window, word);
        }
    };
    let listed = [" stats · 1.0.0 in ", " stats · 2.0.0 in "];
    shows(&mut window, ids::PanelId::Frames, &listed);
    let sent = ["data to stats · 1.0.0", "data to stats · 2.0.0"];
    shows(&mut window, ids::PanelId::Compose, &sent);
    execute(&mut window, Command::Unload(plugins[0]));
    wait(&mut window, |app| app.view().plugins().len() == 1 && !app.view().is_busy());
    shows(&mut window, ids::PanelId::Metrics, &[", unloaded generation 1"]);
}

#[test]
fn a_saved_trace_keeps_the_names_of_instances() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["stats-v1", "stats"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(files.to_vec(), folder.path().join("s.json"));
    let plugins = send_to_each(&mut window);
    let path = folder.path().join("live.mcap");
    execute(&mut window, Command::SaveLive { path: path.clone(), replace: false });
    wait(&mut window, |app| app.view().live_saves() == 1);
    execute(&mut window, Command::OpenTrace(path));
    wait(&mut window, |app| !app.view().traces().is_empty() && !app.view().is_busy());
    let view = app(&window).view();
    let trace = Source::Trace(view.traces()[0].id);
    for plugin in &plugins {
        let number = plugin.get();
        let live = view.instance_name(Source::Live, "stats", number);
        assert!(live.starts_with("stats · "), "{live}");
        assert_eq!(view.instance_name(trace, "stats", number), live);
    }
}

#[test]
fn a_composed_frame_is_sent_once_it_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![crate::assets::plugin("echo").unwrap()];
    let mut window = open(files, folder.path().join("s.json"));
    for sent in [1, 2] {
        for expected in [sent - 1, sent] {
            window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Enter);
            window.run_steps(2);
            wait(&mut window, |app| !app.view().is_busy());
            assert_eq!(app(&window).view().sent().len(), expected);
            assert!(app(&window).report().panels_drawn.contains("Compose"));
        }
        window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Num1);
        window.run_steps(2);
    }
}

#[test]
fn a_replay_says_if_the_filter_is_not_about_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    let replays = |app: &App| app.view().traces().iter().filter(|trace| trace.unsaved).count();
    filter_by(&mut window, "plugin:nobody");
    for modifiers in [egui::Modifiers::NONE, egui::Modifiers::COMMAND | egui::Modifiers::SHIFT] {
        let is_loop = modifiers.shift;
        let key = if is_loop { egui::Key::Enter } else { egui::Key::F5 };
        window.key_press_modifiers(modifiers, key);
        window.step();
        assert!(!app(&window).view().is_busy());
        says(&window, "Nothing is replayed: the filter leaves no frame");
    }
    filter_by(&mut window, "plugin:echo");
    window.key_press(egui::Key::F5);
    wait(&mut window, |app| replays(app) == 1 && !app.view().is_busy());
    says(&window, "The filter is about live frames: all of replay of shop.mcap is replayed");
}

#[test]
fn a_failed_first_load_stays_in_view_and_is_not_recent() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(Vec::new(), folder.path().join("s.json"));
    let open_file = |window: &mut Window, path: PathBuf| {
        let ctx = window.ctx.clone();
        let app = window.state_mut().as_mut().unwrap();
        app.perform(&ctx, action::Action::View(action::Change::OpenFile(path)));
        wait(window, |app| !app.view().is_busy());
        window.run_steps(30);
    };
    let bad = folder.path().join("bad.wasm");
    std::fs::write(&bad, "no plugin").unwrap();
    open_file(&mut window, bad);
    open_file(&mut window, folder.path().join("missing.wasm"));
    assert!(app(&window).report().panels_drawn.contains("Drawer"));
    assert!(window.query_all_by_label_contains("bad.wasm was not loaded").next().is_some());
    assert!(app(&window).session.recent.is_empty(), "{:?}", app(&window).session.recent);
    let good = crate::assets::plugin("echo").unwrap();
    open_file(&mut window, good.clone());
    assert_eq!(app(&window).session.recent, [good]);
}
