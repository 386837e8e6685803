//! The window while parts of it panic.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;

use super::session::Session;
use super::*;
use crate::panics::hook::panic_at;

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
        if let Some(panel) = panels::PANELS.iter().find(|panel| panel.title == part) {
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
    for panel in panels::PANELS {
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
        window.step();
        panic_at(None);
        says(&window, expected);
        let painted = app(&window).report().frames_painted;
        wait(&mut window, |app| app.report().frames_painted > painted + 2);
    };
    let palette = |window: &mut Window| {
        window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::K);
    };
    check("Overlay", "What lay above the window is closed: a fault of Glovebox", palette);
    check("Action", "Not done: a fault of Glovebox itself", palette);
    check("Decoding", "", |window| {
        window.key_press(egui::Key::ArrowDown);
        window.step();
        window.step();
        let text = "This frame cannot be taken apart: a fault of Glovebox itself";
        assert!(window.query_by_label_contains(text).is_some());
    });
}
