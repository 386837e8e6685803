//! The newest choice of a person decides what is shown.

use std::path::PathBuf;

use super::*;
use crate::workbench::EXAMPLES;

/// A file that is dropped on the window.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("it is opened by its path".to_owned())
    }
}

/// Asks for something, as a click does.
fn ask(window: &mut Window, action: action::Action) {
    let ctx = window.ctx.clone();
    window.state_mut().as_mut().unwrap().perform(&ctx, action);
}

fn open_file(window: &mut Window, path: &std::path::Path) {
    ask(window, action::Action::View(action::Change::OpenFile(path.to_owned())));
}

fn show(window: &mut Window, source: Source) {
    ask(window, action::Action::View(action::Change::Source(source)));
}

#[track_caller]
fn settle(window: &mut Window) {
    wait(window, |app| !app.view().is_busy());
    window.run_steps(2);
}

/// The name of the source that is shown.
fn shown(window: &Window) -> String {
    let app = app(window);
    app.view().source_name(app.shown.selection.source).to_owned()
}

fn lists_frames(window: &Window) -> bool {
    app(window).report().panels_drawn.contains("Frames")
}

#[test]
fn a_trace_that_is_opened_comes_into_view() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::copy(crate::assets::trace("shop").unwrap(), &path).unwrap();
        path
    };
    let (first, second) = (copy("first.mcap"), copy("second.mcap"));
    let mut window = open(echo(), folder.path().join("s.json"));
    assert_eq!(shown(&window), "live", "the replay that was opened is shown");
    assert!(app(&window).view().live().frames > 0);
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Metrics);
    open_file(&mut window, &first);
    settle(&mut window);
    assert_eq!((shown(&window).as_str(), lists_frames(&window)), ("first.mcap", true));
    assert_eq!(app(&window).report().rows, 221);
    // Of two, the one that was asked for last.
    open_file(&mut window, &second);
    open_file(&mut window, &first);
    settle(&mut window);
    assert_eq!(shown(&window), "first.mcap");
    assert_eq!(app(&window).view().diff().map(|(number, _)| number), None, "nobody compares them");
    // A later choice stays.
    open_file(&mut window, &second);
    show(&mut window, Source::Live);
    settle(&mut window);
    assert_eq!(shown(&window), "live");
    open_file(&mut window, &second);
    let metrics = action::Action::Run(commands::Verb::ShowPanel(ids::PanelId::Metrics));
    ask(&mut window, metrics);
    settle(&mut window);
    assert_eq!((shown(&window).as_str(), lists_frames(&window)), ("second.mcap", false));
    // A plugin changes nothing about it, and an answer from before does not either.
    open_file(&mut window, &crate::assets::plugin("redact").unwrap());
    settle(&mut window);
    assert_eq!(shown(&window), "second.mcap");
    ask(&mut window, action::Action::Run(commands::Verb::ShowPanel(ids::PanelId::Compose)));
    window.run_steps(2);
    ask(&mut window, action::Action::Run(commands::Verb::Send));
    open_file(&mut window, &first);
    settle(&mut window);
    assert_eq!(shown(&window), "first.mcap");
}

#[test]
fn what_is_opened_together_is_shown_live() {
    let folder = tempfile::tempdir().unwrap();
    let trace = crate::assets::trace("shop").unwrap();
    let mut window = open(vec![trace.clone()], folder.path().join("s.json"));
    assert_eq!(shown(&window), "shop.mcap");
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Policy);
    let example = EXAMPLES.iter().find(|example| example.title == "Echo").unwrap();
    ask(&mut window, action::Action::Do(Command::RunExample(example)));
    settle(&mut window);
    assert_eq!((shown(&window).as_str(), lists_frames(&window)), ("live", true));
    assert!(app(&window).view().live().frames > 0);
    // The same with files that are dropped.
    let trace_id = app(&window).view().traces()[0].id;
    show(&mut window, Source::Trace(trace_id));
    settle(&mut window);
    let files = [crate::assets::plugin("redact").unwrap(), trace];
    window.input_mut().dropped_files.extend(files.map(|path| Arc::new(Dropped(path)) as _));
    window.step();
    settle(&mut window);
    assert_eq!(shown(&window), "live");
}

#[test]
fn a_recording_that_ends_leaves_what_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let options = WorkbenchOptions {
        recordings_folder: Some(folder.path().join("recordings")),
        ..WorkbenchOptions::default()
    };
    let mut workbench = Some(Workbench::new(options).unwrap());
    let build = move |ui: &mut egui::Ui, app: &mut Option<App>| {
        let make = || App::new(workbench.take().expect("once"), ui.ctx());
        let app = app.get_or_insert_with(make);
        app.logic(ui.ctx());
        app.ui(ui);
    };
    let mut window: Window =
        Harness::builder().with_size(egui::vec2(1440.0, 900.0)).build_ui_state(build, None);
    window.step();
    open_file(&mut window, &crate::assets::plugin("echo").unwrap());
    settle(&mut window);
    execute(&mut window, Command::StartRecording);
    let target = app(&window).view().plugins()[0].instance;
    let frame = glovebox_abi::Frame::data("x");
    execute(
        &mut window,
        Command::Send(SendRequest { target, frame, payload_file: None, times: 1 }),
    );
    settle(&mut window);
    execute(&mut window, Command::StopRecording);
    settle(&mut window);
    assert_eq!(app(&window).view().traces().len(), 1);
    assert_eq!(shown(&window), "live");
}

#[test]
fn a_trace_is_listed_from_its_first_frame_on() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.mcap");
    std::fs::copy(crate::assets::trace("shop").unwrap(), &other).unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    let lists_first = |window: &Window| {
        let mut rows = window.query_all_by_label_contains("Frame 0 ");
        let list = window.ctx.content_rect();
        rows.any(|row| list.contains_rect(row.rect()))
    };
    let end = |window: &mut Window| {
        window.key_press(egui::Key::End);
        window.run_steps(4);
    };
    end(&mut window);
    assert!(!lists_first(&window));
    open_file(&mut window, &other);
    settle(&mut window);
    window.run_steps(3);
    assert_eq!(shown(&window), "other.mcap");
    assert!(lists_first(&window), "it was opened");
    end(&mut window);
    assert!(!lists_first(&window));
    let first = app(&window).view().traces()[0].id;
    show(&mut window, Source::Trace(first));
    window.run_steps(4);
    assert!(lists_first(&window), "it was chosen");
}

#[test]
fn a_path_that_leads_nowhere_can_be_mended() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("shop.mcap");
    std::fs::copy(crate::assets::trace("shop").unwrap(), &trace).unwrap();
    let mut window = open(Vec::new(), folder.path().join("s.json"));
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::L);
    window.step();
    let wrong = folder.path().join("shpo.mcap");
    give_path(&mut window, &wrong);
    wait_for(&mut window, &format!("There is no {}", wrong.display()));
    give_path(&mut window, &trace);
    settle(&mut window);
    assert!(window.query_by_label("Path").is_none());
    assert_eq!(shown(&window), "shop.mcap");
}

#[test]
fn a_chart_of_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![crate::assets::trace("shop").unwrap()];
    let mut window = open(files, folder.path().join("s.json"));
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Metrics);
    for text in ["No latency was measured", "No memory was measured", "No call was measured"] {
        wait_for(&mut window, text);
    }
    assert!(window.query_by_label("No frames").is_none());
}
