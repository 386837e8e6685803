//! Lists: their ends, their groups, and keys that move in them.

use super::*;

fn press(window: &mut Window, key: egui::Key) {
    window.key_press(key);
    window.run_steps(3);
}

#[test]
fn end_goes_to_the_last_row_of_a_sorted_list() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    let ordered = |app: &App| {
        let ranks = app.reader().read(Source::Live, |store| {
            let mut rows: Vec<_> = store.rows().map(|row| (row.latency, row.id)).collect();
            rows.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
            rows
        });
        ranks.unwrap()
    };
    press(&mut window, egui::Key::L);
    press(&mut window, egui::Key::End);
    let rows = ordered(app(&window));
    let selected = |window: &Window| app(window).shown.selection.row.map(|row| row.row);
    let latency = |window: &Window| {
        let id = selected(window);
        ordered(app(window))
            .into_iter()
            .find(|(_, row)| Some(*row) == id)
            .map(|(latency, _)| latency)
    };
    // The fastest, wherever its call stands; the newest is not waited for.
    assert_eq!(latency(&window), Some(rows.last().unwrap().0));
    assert!(!app(&window).panels.frames.follow);
    let last = selected(&window);
    press(&mut window, egui::Key::ArrowDown);
    assert_eq!(selected(&window), last, "nothing comes after it");
    press(&mut window, egui::Key::Home);
    assert_eq!(latency(&window), Some(rows[0].0));
    press(&mut window, egui::Key::T);
    press(&mut window, egui::Key::End);
    assert_eq!(selected(&window).map(|row| row.0), Some(441));
    assert!(app(&window).panels.frames.follow);
}

#[test]
fn the_filter_stays_in_a_narrow_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    for (width, height) in [(1440.0, 900.0), (710.0, 430.0), (600.0, 400.0)] {
        window.set_size(egui::vec2(width, height));
        window.run_steps(4);
        let fields = window.query_all_by_label("Filter");
        let right = fields.map(|field| field.rect().right()).fold(0.0, f32::max);
        assert!(right > 0.0 && right <= width, "{right} of {width}");
        let in_menu = window.query_by_label("Settings").is_some();
        assert_eq!(in_menu, width < 1000.0, "{width}");
    }
}

#[test]
fn problems_of_one_kind_are_one_line_until_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let files = vec![crate::assets::plugin("misbehave").unwrap()];
    let mut window = open(files, folder.path().join("s.json"));
    let target = app(&window).view().plugins()[0].instance;
    for (payload, times) in [("mode=fail", 3), ("mode=trap", 1)] {
        let frame = glovebox_abi::Frame::data(payload);
        let request = SendRequest { target, frame, payload_file: None, times };
        execute(&mut window, Command::Send(request));
        wait(&mut window, |app| !app.view().is_busy());
    }
    window.state_mut().as_mut().unwrap().show_drawer(ids::DrawerTab::Problems);
    wait_for(&mut window, "▸ 3 × failed, first frame");
    window.run_steps(2);
    let single = |window: &Window| {
        let rows = window.query_all_by_role(egui::accesskit::Role::ListItem);
        rows.filter(|row| {
            let label = egui_kittest::kittest::NodeT::accesskit_node(row).label();
            label.is_some_and(|label| label.starts_with("misbehave frame "))
        })
        .count()
    };
    assert_eq!(single(&window), 1, "the one of another kind");
    window.get_by_label_contains("3 × failed, first frame").click();
    wait_for(&mut window, "▾ 3 × failed");
    window.run_steps(2);
    assert_eq!(single(&window), 4);
    window.get_by_label_contains("▾ 3 × failed").click();
    wait_for(&mut window, "▸ 3 × failed");
    window.run_steps(2);
    assert_eq!(single(&window), 1);
}

#[test]
fn keys_scroll_the_report_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    window.set_size(egui::vec2(900.0, 400.0));
    let ctx = window.ctx.clone();
    let ask = action::Action::Run(commands::Verb::Doctor);
    window.state_mut().as_mut().unwrap().perform(&ctx, ask);
    wait(&mut window, |app| app.view().examination().is_some());
    window.run_steps(3);
    let sections = app(&window).view().examination().unwrap().sections.clone();
    let first = sections.first().unwrap().name;
    let top = |window: &Window| window.get_by_label(first).rect().top();
    let start = top(&window);
    let moves = |window: &mut Window, key: egui::Key| {
        let before = top(window);
        press(window, key);
        top(window) - before
    };
    assert_eq!(moves(&mut window, egui::Key::ArrowUp), 0.0, "it is at its start");
    let line = moves(&mut window, egui::Key::ArrowDown);
    let page = moves(&mut window, egui::Key::PageDown);
    assert!(page < line && line < 0.0, "{line} {page}");
    assert!(moves(&mut window, egui::Key::End) < 0.0);
    assert_eq!(moves(&mut window, egui::Key::ArrowDown), 0.0, "it is at its end");
    assert_eq!(moves(&mut window, egui::Key::PageUp), -page);
    moves(&mut window, egui::Key::Home);
    assert_eq!(top(&window), start);
    // None of them moved in the list behind it, and Esc closes it.
    assert!(app(&window).shown.selection.row.is_some());
    press(&mut window, egui::Key::Escape);
    assert!(window.query_by_label("Examine again").is_none());
}

#[test]
fn each_press_between_two_painted_frames_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    press(&mut window, egui::Key::Home);
    let selected = |window: &Window| app(window).shown.selection.row.map(|row| row.row.0);
    let first = selected(&window).unwrap();
    let keys = std::iter::repeat_n(egui::Key::ArrowDown, 10).chain([egui::Key::ArrowUp]);
    let press = |key| egui::Event::Key {
        key,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: egui::Modifiers::NONE,
    };
    window.input_mut().events.extend(keys.map(press));
    window.run_steps(3);
    assert_eq!(selected(&window), Some(first + 9));
}

#[test]
fn a_command_is_about_the_text_that_was_typed_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    let ctrl_enter = egui::Event::Key {
        key: egui::Key::Enter,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: egui::Modifiers::COMMAND,
    };
    press(&mut window, egui::Key::E);
    window.get_by_role_and_label(egui::accesskit::Role::MultilineTextInput, "Payload").focus();
    window.run_steps(2);
    let typed = ["a", "b", "c"].map(|text| egui::Event::Text(text.to_owned()));
    window.input_mut().events.extend(typed.into_iter().chain([ctrl_enter]));
    window.run_steps(3);
    wait(&mut window, |app| !app.view().is_busy());
    window.run_steps(3);
    let newest = app(&window).reader().read(Source::Live, |store| {
        let row = store.rows().rev().find(|row| row.direction == glovebox_events::Direction::In);
        row.map(|row| row.frame.payload.clone())
    });
    let newest = newest.flatten().unwrap();
    assert!(newest.windows(3).any(|bytes| bytes == b"abc"), "{newest:?}");
}
