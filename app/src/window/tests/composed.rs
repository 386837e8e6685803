//! The composer and the bytes of a frame, by keys; answers beside the request they belong to.

use egui_kittest::kittest::NodeT as _;

use super::*;

fn plugins(window: &Window) -> Vec<glovebox_host::InstanceId> {
    app(window).view().plugins().iter().map(|one| one.instance).collect()
}

fn send(window: &mut Window, target: glovebox_host::InstanceId, payload: &str) {
    let sent = app(window).view().sent().len();
    let frame = glovebox_abi::Frame::data(payload.to_owned());
    let request = SendRequest { target, frame, payload_file: None, times: 1 };
    execute(window, Command::Send(request));
    wait(window, |app| app.view().sent().len() > sent && !app.view().is_busy());
}

fn choose(window: &mut Window, plugin: glovebox_host::InstanceId) {
    let ctx = window.ctx.clone();
    let change = action::Change::SelectPlugin(plugin);
    window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::View(change));
    window.run_steps(2);
}

fn shows(window: &Window, label: &str) -> bool {
    window.query_all_by_label_contains(label).next().is_some()
}

fn is_focused(window: &Window, label: &str) -> bool {
    let mut all = window.query_all_by_label(label);
    all.any(|node| node.accesskit_node().is_focused())
}

#[test]
fn an_answer_is_shown_as_that_of_its_plugin_and_generation_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["echo", "redact"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(files.to_vec(), folder.path().join("s.json"));
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Compose);
    let [echo, redact] = plugins(&window)[..] else { panic!("two plugins") };
    choose(&mut window, echo);
    send(&mut window, echo, "to echo");
    wait_for(&mut window, "Of echo, generation 1, ");
    assert!(shows(&window, "Not what would be sent now: to another request"));
    // It is no answer of the other plugin.
    choose(&mut window, redact);
    assert!(shows(&window, "Nothing was sent to redact yet"));
    assert!(!shows(&window, "Of echo"));
    // In the history it still is, under its own name.
    window.get_by_label("data to echo").click();
    window.run_steps(2);
    assert!(shows(&window, "Of echo, generation 1, "));
    assert!(shows(&window, "to another request, of another plugin"));
    // The frame that was just sent is the request.
    choose(&mut window, echo);
    window.get_by_label("Edit again").click();
    window.run_steps(2);
    assert!(shows(&window, "Of echo, generation 1, ") && !shows(&window, "Not what would be"));
    execute(&mut window, Command::Reload { instance: echo, carry_state: true });
    wait(&mut window, |app| app.view().plugin(echo).is_some_and(|one| one.generation == 2));
    wait_for(&mut window, "Not what would be sent now: generation 2 runs now");
    execute(&mut window, Command::Unload(echo));
    wait(&mut window, |app| app.view().plugins().len() == 1);
    window.run_steps(2);
    assert!(!shows(&window, "Of echo"));
}

#[test]
fn the_payload_has_the_cursor_after_its_key() {
    let keys: [(egui::Modifiers, egui::Key); 2] = [
        (egui::Modifiers::COMMAND | egui::Modifiers::SHIFT, egui::Key::E),
        (egui::Modifiers::NONE, egui::Key::E),
    ];
    for (modifiers, key) in keys {
        let folder = tempfile::tempdir().unwrap();
        let mut window = open(echo(), folder.path().join("s.json"));
        window.key_press(egui::Key::Home);
        window.run_steps(2);
        window.key_press_modifiers(modifiers, key);
        window.run_steps(3);
        assert!(is_focused(&window, "Payload"), "{key:?}");
        let before = app(&window).panels.compose.payload.clone();
        window.event(egui::Event::Text("typed".to_owned()));
        window.run_steps(2);
        let now = &app(&window).panels.compose.payload;
        assert!(now.contains("typed") && now.len() == before.len() + 5, "{now}");
    }
}

#[test]
fn the_bytes_of_a_frame_are_one_key_away() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![crate::assets::plugin("echo").unwrap()];
    let mut window = open(files, folder.path().join("s.json"));
    let target = plugins(&window)[0];
    send(&mut window, target, &"0123456789abcdef".repeat(64));
    window.key_press(egui::Key::Home);
    window.run_steps(2);
    let is_in_view = |window: &Window| {
        let bytes = window.get_by_label("Bytes, page by page").rect();
        window.ctx.content_rect().contains_rect(bytes)
    };
    window.key_press(egui::Key::X);
    window.run_steps(12);
    assert!(is_in_view(&window) && is_focused(&window, "Bytes, page by page"));
    let first = |window: &Window| shows(window, "0000 ");
    assert!(first(&window));
    window.key_press(egui::Key::PageDown);
    window.run_steps(4);
    assert!(!first(&window), "the first line is a page up");
    window.key_press(egui::Key::PageUp);
    window.run_steps(4);
    assert!(first(&window));
    // A side that is closed opens.
    let modifiers = egui::Modifiers::COMMAND | egui::Modifiers::ALT;
    window.key_press_modifiers(modifiers, egui::Key::B);
    window.run_steps(30);
    assert!(window.query_by_label("Bytes, page by page").is_none());
    window.key_press(egui::Key::X);
    window.run_steps(30);
    assert!(is_in_view(&window));
}

#[test]
fn keys_after_the_composer_came_into_view_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    window.key_press(egui::Key::Home);
    window.run_steps(2);
    let frames = app(&window).view().live().frames;
    window.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::Enter);
    window.run_steps(3);
    assert!(is_focused(&window, "Payload"));
    window.key_press(egui::Key::G);
    window.event(egui::Event::Text("g".to_owned()));
    window.run_steps(3);
    wait(&mut window, |app| !app.view().is_busy());
    assert_eq!(app(&window).view().live().frames, frames, "nothing was sent");
    assert!(app(&window).panels.compose.payload.contains('g'));
}

#[test]
fn a_send_that_was_stopped_says_how_much_of_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![crate::assets::plugin("echo").unwrap()];
    let mut window = open(files, folder.path().join("s.json"));
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Compose);
    let target = plugins(&window)[0];
    let frame = glovebox_abi::Frame::data("again");
    let request = SendRequest { target, frame, payload_file: None, times: 100_000_000 };
    execute(&mut window, Command::Send(request));
    wait(&mut window, |app| app.view().live().frames > 0);
    execute(&mut window, Command::CancelAll);
    wait(&mut window, |app| app.view().sent().len() == 1);
    window.run_steps(2);
    let times = app(&window).view().sent()[0].times;
    assert!(shows(&window, &format!("{times} of 100000000, stopped")));
    assert!(shows(&window, &format!("{times} of 100000000 completed in ")));
}
