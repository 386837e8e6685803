//! Live frames that are in no file: they are asked about, and can be saved afterwards.

use glovebox_trace::TraceReader;

use super::*;

fn send(window: &mut Window, bytes: usize, times: usize) {
    let target = app(window).view().plugins()[0].instance;
    let sent = app(window).view().sent().len();
    let frame = glovebox_abi::Frame::data(vec![b'x'; bytes]);
    let request = SendRequest { target, frame, payload_file: None, times };
    execute(window, Command::Send(request));
    wait(window, |app| app.view().sent().len() > sent && !app.view().is_busy());
}

fn one(folder: &tempfile::TempDir) -> Window {
    open(vec![crate::assets::plugin("echo").unwrap()], folder.path().join("s.json"))
}

fn closes(window: &Window) -> bool {
    app(window).quitting == quitting::Quitting::Agreed
}

fn ask_to_quit(window: &mut Window) {
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Q);
    window.run_steps(2);
}

#[test]
fn live_frames_that_are_recorded_nowhere_are_asked_about() {
    let check = |answer: &str, expected: bool, saved: bool| {
        let folder = tempfile::tempdir().unwrap();
        let mut window = one(&folder);
        send(&mut window, 3, 2);
        ask_to_quit(&mut window);
        wait_for(&mut window, "4 live frames are recorded nowhere");
        window.get_by_label(answer).click();
        window.run_steps(2);
        let path = folder.path().join("live.mcap");
        if saved {
            give_path(&mut window, &path);
            wait(&mut window, closes_app);
        }
        assert_eq!((closes(&window), path.exists()), (expected, saved), "{answer}");
    };
    check("Cancel", false, false);
    check("Quit", true, false);
    check("Save…", true, true);
}

fn closes_app(app: &App) -> bool {
    app.quitting == quitting::Quitting::Agreed
}

#[test]
fn frames_that_are_kept_elsewhere_are_not_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    assert!(app(&window).view().live().frames > 0);
    // The run of the replay has them.
    assert_eq!(app(&window).view().live().in_no_file, 0);
    send(&mut window, 3, 1);
    assert_eq!(app(&window).view().live().in_no_file, 2);
    execute(&mut window, Command::ClearLive);
    window.run_steps(2);
    assert_eq!(app(&window).view().live().in_no_file, 0);
    ask_to_quit(&mut window);
    assert!(closes(&window));
}

#[test]
fn live_frames_are_saved_afterwards_with_what_had_to_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = one(&folder);
    send(&mut window, 32 << 10, 1100);
    let live = app(&window).view().live();
    assert!(live.evicted > 0);
    let path = folder.path().join("live.mcap");
    let modifiers = egui::Modifiers::COMMAND | egui::Modifiers::ALT;
    window.key_press_modifiers(modifiers, egui::Key::S);
    window.step();
    give_path(&mut window, &path);
    wait(&mut window, |app| app.view().live_saves() == 1 && !app.view().is_busy());
    let had_to = format!("{} earlier frames had to make room", live.evicted);
    says(&window, &had_to);
    assert_eq!(app(&window).view().live().in_no_file, 0);
    let mut reader = TraceReader::open(&path).unwrap();
    let mut frames = 0;
    let mut open = std::collections::BTreeSet::new();
    for event in &mut reader {
        match event.unwrap().what {
            glovebox_events::What::FrameIn { call, .. } => {
                frames += 1;
                open.insert(call);
            }
            glovebox_events::What::FrameOut { .. } => frames += 1,
            glovebox_events::What::CallEnded { call, .. } => drop(open.remove(&call)),
            _ => {}
        }
    }
    assert!(reader.is_complete(), "it is finished");
    assert_eq!((frames, open.len()), (live.frames, 0));
    assert!(reader.lost_events() >= live.evicted);
    let parent = reader.parent().unwrap();
    assert!(parent.how.contains(&had_to), "{parent:?}");
    assert_eq!(reader.plugins()[0].id, "echo");
    // Nothing is replaced without a question.
    window.key_press_modifiers(modifiers, egui::Key::S);
    window.step();
    give_path(&mut window, &path);
    wait_for(&mut window, "Replace live.mcap?");
}

#[test]
fn reloads_stay_when_live_frames_are_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = one(&folder);
    send(&mut window, 3, 1);
    let instance = app(&window).view().plugins()[0].instance;
    execute(&mut window, Command::Reload { instance, carry_state: true });
    wait(&mut window, |app| app.view().plugins()[0].generation == 2 && !app.view().is_busy());
    execute(&mut window, Command::ClearLive);
    window.run_steps(2);
    let read = |store: &glovebox_inspector::store::Store| (store.len(), store.reloads().len());
    assert_eq!(app(&window).reader().read(Source::Live, read), Some((0, 1)));
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Reload);
    wait_for(&mut window, "took over");
}

#[test]
fn what_was_decided_is_asked_no_more() {
    let check = |decision: glovebox_host::Decision| {
        let folder = tempfile::tempdir().unwrap();
        let manifest = "[plugin]\nid = 'one'\nversion = '1.0.0'\n[artifact]\nwasm = 'one.wat'\n\
            [permissions]\nfiles = [{ path = '.' }]\n";
        std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let code = include_str!("../../../../sample-plugins/hello-wat/hello.wat");
        std::fs::write(folder.path().join("one.wat"), code).unwrap();
        let mut window =
            open(vec![folder.path().join("plugin.toml")], folder.path().join("s.json"));
        let asks = |window: &Window| {
            let notices = app(window).view().notices();
            notices.iter().filter(|notice| notice.text.contains("allow or deny it")).count()
        };
        assert_eq!(asks(&window), 1);
        let instance = app(&window).view().plugins()[0].instance;
        let permission = glovebox_abi::Permission::Files;
        execute(&mut window, Command::Decide(instance, permission, decision));
        window.run_steps(2);
        assert_eq!(asks(&window), 0, "{decision:?}");
        says(&window, "one asked for permissions: that is decided");
    };
    check(glovebox_host::Decision::Allow);
    check(glovebox_host::Decision::Deny);
}
