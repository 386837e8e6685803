//! The window says where machine code runs, and moves it; and shows the report on this machine.
#![cfg(target_os = "linux")]

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use glovebox::workbench::Source;
use glovebox_abi::manifest::Isolation;
use glovebox_tests::{native_sample, root, sample};

use super::window::{Window, app, open, shows, wait};

/// Opens the palette, types a text and presses Enter.
fn run(window: &mut Window, text: &str) {
    window.key_press_modifiers(Modifiers::COMMAND, Key::K);
    window.step();
    window.event(egui::Event::Text(text.to_owned()));
    window.step();
    window.key_press(Key::Enter);
    window.step();
    window.step();
}

fn place(window: &Window) -> Isolation {
    app(window).view().plugins()[0].isolation
}

#[test]
fn a_native_plugin_moves_when_a_person_says_so() {
    let mut window = open(&[native_sample("stats"), root().join("assets/traces/shop.mcap")]);
    assert_eq!(place(&window), Isolation::Process);
    shows(&mut window, "stats 2.0.0 ready generation 1 worker");
    // Trust is asked for, and Enter alone gives none.
    run(&mut window, "run in this process");
    shows(&mut window, "Trust stats and run it in this process?");
    window.key_press(Key::Enter);
    window.step();
    window.step();
    assert_eq!(place(&window), Isolation::Process);
    run(&mut window, "run in this process");
    shows(&mut window, "Trust stats and run it in this process?");
    window.step();
    window.key_press(Key::Tab);
    window.step();
    window.key_press(Key::Enter);
    window.step();
    wait(&mut window, "it runs here", |window| place(window) == Isolation::InProcess);
    shows(&mut window, "generation 2 in this process");
    // Back without a question.
    run(&mut window, "move to worker");
    wait(&mut window, "it has a worker", |window| place(window) == Isolation::Process);
    shows(&mut window, "generation 3 worker");
    let frames = app(&window).reader().read(Source::Live, glovebox_inspector::store::Store::len);
    assert!(frames.unwrap_or_default() > 0);
}

#[test]
fn the_report_on_this_machine_is_shown() {
    let mut window = open(&[sample("echo.wasm")]);
    run(&mut window, "doctor");
    wait(&mut window, "it is examined", |window| app(window).view().examination().is_some());
    let sentence = app(&window).view().examination().map(|found| found.sentence());
    let (first, rest) = sentence.as_deref().unwrap().split_at(1);
    shows(&mut window, &format!("{}{rest}", first.to_uppercase()));
    shows(&mut window, "ends when the host ends: ");
    shows(&mut window, "Examine again");
    window.key_press(Key::Escape);
    window.step();
    window.step();
    assert!(window.query_by_label_contains("Examine again").is_none());
}
