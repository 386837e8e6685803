//! The window says what is so: where a selected frame is, how the list is sorted, what a button does
//! now, and which generation a figure is of.

use std::path::PathBuf;

use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use glovebox::window::ids::PanelId;
use glovebox::workbench::{Command, SendRequest, Source, Workbench, WorkbenchOptions};
use glovebox_abi::Frame;
use glovebox_inspector::search::{Order, SortBy};
use glovebox_inspector::store::{Store, StoreLimits};
use glovebox_tests::{root, sample};
use glovebox_trace::{MadeUpRun, TraceWriter};

use super::window::{Window, app, open, over, shows, wait};

fn demo() -> Vec<PathBuf> {
    vec![sample("redact.wasm"), root().join("assets/traces/shop.pcap")]
}

fn replayed() -> Window {
    let mut window = open(&demo());
    wait(&mut window, "frames are shown", |window| app(window).report().frames_shown > 10);
    window
}

fn execute(window: &mut Window, command: Command) {
    window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
    wait(window, "it is done", |window| !app(window).view().is_busy());
}

#[track_caller]
fn hides(window: &mut Window, text: &str) {
    wait(window, &format!("{text:?} is hidden"), |window| {
        window.query_all_by_label_contains(text).next().is_none()
    });
}

fn filter(window: &mut Window, text: &str) {
    window.key_press(Key::Slash);
    window.step();
    window.event(egui::Event::Text(text.to_owned()));
    window.step();
    window.key_press(Key::Tab);
    window.step();
}

/// The frames that are listed, from above.
fn listed(window: &Window) -> Vec<u64> {
    let rows = window.query_all_by_role(Role::ListItem);
    let mut rows: Vec<(f32, u64)> = rows
        .filter_map(|row| {
            let label = row.accesskit_node().label()?;
            let number = label.strip_prefix("Frame ")?.split(' ').next()?.parse().ok()?;
            Some((row.rect().top(), number))
        })
        .collect();
    rows.sort_by(|one, other| one.0.total_cmp(&other.0));
    // A row with a menu is there twice.
    rows.dedup();
    rows.into_iter().map(|(_, number)| number).collect()
}

#[test]
fn a_selected_frame_that_is_not_in_the_list_says_so() {
    let mut window = replayed();
    window.key_press(Key::Home);
    shows(&mut window, "#0, to the plugin");
    filter(&mut window, "dir:out");
    shows(&mut window, "Not in the list: hidden by the filter");
    // No frame of the list is skipped.
    window.get_by_label("Next in the list").click();
    shows(&mut window, "#1, from the plugin");
}

#[test]
fn an_evicted_frame_says_so() {
    let mut window = replayed();
    window.key_press(Key::Home);
    shows(&mut window, "#0, to the plugin");
    execute(&mut window, Command::ClearLive);
    shows(&mut window, "no longer in memory");
    let resend = window.get_by_label("Resend");
    assert!(resend.accesskit_node().is_disabled());
    // Its keys do nothing in silence either.
    let before = app(&window).view().sent().len();
    window.key_press(Key::G);
    window.step();
    assert!(!app(&window).view().is_busy());
    assert_eq!(app(&window).view().sent().len(), before);
}

/// The frames of a store in an order.
fn expected(store: &Store, by: SortBy, largest_first: bool) -> Vec<u64> {
    let order = Order { by, largest_first };
    let mut rows: Vec<_> =
        store.rows().map(|row| (order.rank(row.latency, row.size()), row.id.0)).collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Waits until the list begins with the first frames of an order.
#[track_caller]
fn is_sorted(window: &mut Window, rows: &[u64]) {
    let mut last = Vec::new();
    for _ in 0..600 {
        window.step();
        last = listed(window);
        if last.len() > 8 && last[..8] == rows[..8] {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    panic!("{:?} … are not listed first: {last:?}", &rows[..8]);
}

#[test]
fn the_live_list_is_sorted_by_keys_and_by_titles() {
    let mut window = replayed();
    let expected = |window: &Window, by, largest_first| {
        let sorted = |store: &Store| expected(store, by, largest_first);
        app(window).reader().read(Source::Live, sorted).unwrap()
    };
    window.key_press(Key::L);
    let rows = expected(&window, SortBy::Latency, true);
    is_sorted(&mut window, &rows);
    shows(&mut window, "by latency, slowest first");
    // The selection moves in the order that is seen.
    window.key_press(Key::Home);
    window.key_press(Key::ArrowDown);
    shows(&mut window, &format!("#{}, ", rows[1]));
    // A click on the title goes on where the key left off, and new frames find their place.
    window.get_by_label("latency: sort by latency, fastest first").click();
    let target = app(&window).view().plugins()[0].instance;
    let frame = Frame::data("{}");
    execute(
        &mut window,
        Command::Send(SendRequest { target, frame, payload_file: None, times: 4 }),
    );
    wait(&mut window, "they are listed", |window| app(window).report().rows == 450);
    let rows = expected(&window, SortBy::Latency, false);
    is_sorted(&mut window, &rows);
    window.key_press(Key::B);
    let rows = expected(&window, SortBy::Size, true);
    is_sorted(&mut window, &rows);
    // Back to the order of time, in three ways.
    window.key_press(Key::T);
    window.key_press(Key::Home);
    let rows: Vec<u64> = (0..10).collect();
    is_sorted(&mut window, &rows);
    for (sort, back) in
        [(Key::L, "by latency, slowest first ✕"), (Key::B, "#: sort in the order of time")]
    {
        window.key_press(sort);
        shows(&mut window, back);
        window.get_by_label(back).click();
        hides(&mut window, " first ✕");
        window.key_press(Key::Home);
        is_sorted(&mut window, &rows);
    }
}

#[test]
fn a_trace_in_a_file_is_sorted_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").unwrap();
    MadeUpRun::new(40_000, 3).for_each(|event| writer.write(&event).unwrap());
    writer.finish().unwrap();
    let limits = StoreLimits { bytes: usize::MAX, list: 1_000_000, host_call: usize::MAX };
    let mut store = Store::new(limits);
    glovebox_trace::read(&path).unwrap().events.iter().for_each(|event| store.ingest(event));
    let mut window = open(&[path]);
    assert!(app(&window).view().traces()[0].pages.is_some());
    window.key_press(Key::L);
    is_sorted(&mut window, &expected(&store, SortBy::Latency, true));
    window.key_press(Key::Home);
    window.key_press(Key::ArrowDown);
    let second = expected(&store, SortBy::Latency, true)[1];
    shows(&mut window, &format!("#{second}, "));
    window.key_press(Key::B);
    is_sorted(&mut window, &expected(&store, SortBy::Size, true));
    window.key_press(Key::T);
    window.key_press(Key::Home);
    is_sorted(&mut window, &(0..10).collect::<Vec<_>>());
}

#[test]
fn the_record_button_says_how_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let recordings_folder = Some(folder.path().join("recordings"));
    let options = WorkbenchOptions { recordings_folder, ..WorkbenchOptions::default() };
    let mut window = over(Workbench::new(options).unwrap(), &demo());
    let button = |name: &str, window: &Window| {
        window.query_all_by_role_and_label(Role::Button, name).next().is_some()
    };
    let has = |window: &mut Window, name: &'static str| {
        wait(window, name, |window| button(name, window));
    };
    has(&mut window, "Record");
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    has(&mut window, "Stop recording");
    assert!(app(&window).view().recorded_for().is_some());
    window.get_by_role_and_label(Role::Button, "Stop recording").click();
    has(&mut window, "Record");
    wait(&mut window, "it is finished", |window| !app(window).view().is_busy());
    assert_eq!(app(&window).view().recorded_for(), None);
}

#[test]
fn keys_that_cannot_do_anything_say_what_they_need() {
    let mut window = replayed();
    window.get_by_label("Live frames").click();
    window.step();
    window.key_press_modifiers(Modifiers::COMMAND, Key::S);
    shows(&mut window, "Save trace needs a trace in the list; Save live frames… is about");
    window.key_press_modifiers(Modifiers::COMMAND, Key::W);
    shows(&mut window, "Close trace needs a trace in the list");
}

#[test]
fn the_list_of_plugins_has_figures_of_the_generation_that_runs() {
    let mut window = open(&[sample("echo.wasm")]);
    let target = app(&window).view().plugins()[0].instance;
    let send = SendRequest { target, frame: Frame::data("x"), payload_file: None, times: 3 };
    shows(&mut window, "generation 1, p99 –");
    execute(&mut window, Command::Send(send.clone()));
    let latency = |window: &Window| {
        let view = app(window).view();
        view.figures_now(&view.plugins()[0]).map(|figures| figures.latency)
    };
    wait(&mut window, "it is measured", |window| {
        latency(window).is_some_and(|latency| latency.count == 3)
    });
    let first = latency(&window).unwrap();
    shows(&mut window, &format!("generation 1, p99 {}", first.show(first.p99)));
    execute(&mut window, Command::Reload { instance: target, carry_state: false });
    shows(&mut window, "generation 2, p99 –");
    execute(&mut window, Command::Send(send));
    wait(&mut window, "it is measured anew", |window| {
        app(window).view().plugins()[0].generation == 2
            && latency(window).is_some_and(|latency| latency.count == 3)
    });
    let second = latency(&window).unwrap();
    shows(&mut window, &format!("generation 2, p99 {}", second.show(second.p99)));
}

/// Everything that a frame is composed and sent with is seen and inside of the window.
#[test]
fn frames_are_composed_in_small_windows() {
    let check = |width: f32, height: f32, beside: bool| {
        let mut window = replayed();
        window.set_size(vec2(width, height));
        window.state_mut().as_mut().unwrap().show_panel(PanelId::Compose);
        window.run_steps(4);
        let inside = |window: &Window, name: &str, least: f32| {
            let found = window.get_by(|node| {
                node.label().as_deref() == Some(name)
                    && !matches!(node.role(), Role::Label | Role::Heading)
            });
            let rect = found.rect();
            let bounds = egui::Rect::from_min_size(egui::Pos2::ZERO, vec2(width, height));
            assert!(bounds.contains_rect(rect), "{width} × {height}: {name} at {rect}");
            assert!(rect.height() >= least, "{width} × {height}: {name} at {rect}");
            rect
        };
        inside(&window, "Target plugin", 16.0);
        inside(&window, "Kind", 16.0);
        let payload = inside(&window, "Payload", 36.0);
        let send = inside(&window, "Send", 16.0);
        inside(&window, "How often", 16.0);
        assert!(!payload.intersects(send), "{width} × {height}: {payload} {send}");
        window.get_by_role_and_label(Role::Button, "Send").click();
        wait(&mut window, "it is sent", |window| !app(window).view().sent().is_empty());
        shows(&mut window, "Edit again");
        inside(&window, "Edit again", 12.0);
        assert_eq!(
            window.query_all_by_label("Payload").next().is_some(),
            beside,
            "{width} × {height}"
        );
        window.get_by_label("Edit again").click();
        window.run_steps(2);
        inside(&window, "Payload", 36.0);
    };
    check(1440.0, 900.0, true);
    check(900.0, 600.0, true);
    check(640.0, 480.0, true);
}
