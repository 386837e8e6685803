//! The window over traces that it reads from their files, against the same from a whole read.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use glovebox::workbench::{Command, SearchStage, Source};
use glovebox_inspector::filter::Filter;
use glovebox_inspector::store::{Store, StoreLimits};
use glovebox_trace::{MadeUpRun, TraceWriter};
use tempfile::TempDir;

use super::window::{PATIENCE, Window, app, open, shows, until, wait};

/// More than is read whole.
const FRAMES: u64 = 40_000;

fn made_up(frames: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").unwrap();
    MadeUpRun::new(frames, 3).for_each(|event| writer.write(&event).unwrap());
    writer.finish().unwrap();
    (folder, path)
}

fn whole(path: &Path) -> Store {
    let mut store =
        Store::new(StoreLimits { bytes: usize::MAX, list: 10_000, host_call: usize::MAX });
    glovebox_trace::read(path).unwrap().events.iter().for_each(|event| store.ingest(event));
    store
}

fn rows(window: &Window) -> usize {
    app(window).report().rows
}

/// True if the rows that are seen and the one that is selected are there.
fn is_settled(window: &Window) -> bool {
    let view = app(window).view();
    let pages = view.traces().iter().filter_map(|trace| trace.pages.as_ref());
    pages.into_iter().all(|pages| pages.is_settled())
}

fn searched(window: &Window) -> Option<SearchStage> {
    let view = app(window).view();
    let trace = view.traces().first()?;
    view.search(Source::Trace(trace.id)).map(|search| search.stage)
}

fn filter(window: &mut Window, text: &str) {
    window.get_by_label("Filter").focus();
    window.step();
    window.key_press_modifiers(Modifiers::COMMAND, Key::A);
    window.get_by_label("Filter").type_text(text);
    wait(window, text, |window| searched(window) == Some(SearchStage::Done) && is_settled(window));
}

#[test]
fn a_large_trace_is_read_from_its_file() {
    let (_folder, path) = made_up(FRAMES);
    let whole = whole(&path);
    let mut window = open(std::slice::from_ref(&path));
    assert_eq!(rows(&window), FRAMES as usize);
    let view = app(&window).view();
    assert!(view.traces()[0].pages.is_some() && view.traces()[0].damage.is_empty());
    window.key_press(Key::End);
    wait(&mut window, "the last rows are there", is_settled);
    shows(&mut window, &label(&whole, FRAMES - 1));
    shows(&mut window, &format!("#{}, ", FRAMES - 1));
    window.key_press(Key::Home);
    wait(&mut window, "the first rows are there", is_settled);
    shows(&mut window, &label(&whole, 0));

    let check = |window: &mut Window, text: &str| {
        filter(window, text);
        let filter = Filter::parse(text).unwrap();
        let matching: Vec<_> = whole.rows().filter(|row| filter.matches(&row.subject())).collect();
        assert_eq!(rows(window), matching.len(), "{text}");
        if let Some(first) = matching.first() {
            shows(window, &label(&whole, first.id.0));
        }
    };
    check(&mut window, "status:error dir:in");
    check(&mut window, "latency>5ms and header.user.id=42");
    check(&mut window, "plugin:nobody");
    shows(&mut window, "No frame fulfils the filter");

    let failures = whole.rows().filter(|row| row.status.is_error());
    let failing = failures.filter(|row| row.direction.name() == "in").count();
    let overview = app(&window).view().traces()[0].overview.clone();
    let overview = overview.expect("it was looked over");
    let counted = overview.failures.len() as u64 + overview.failures_left_out;
    assert_eq!(counted, failing as u64);
    let store = &app(&window).view().traces()[0].store;
    assert_eq!(store.denials().len(), whole.denials().len());
    assert_eq!(store.log().len(), whole.log().len());
}

#[test]
fn a_time_in_a_file_can_be_gone_to() {
    let (_folder, path) = made_up(FRAMES);
    let mut window = open(std::slice::from_ref(&path));
    let index = app(&window).view().traces()[0].pages.as_ref().unwrap().index().unwrap().clone();
    let (start, _) = index.info().range.unwrap();
    window.key_press_modifiers(Modifiers::COMMAND, Key::P);
    window.step();
    window.event(egui::Event::Text("+200ms".to_owned()));
    shows(&mut window, "+200ms");
    window.key_press(Key::Enter);
    let row = index.row_at(start + 200_000_000);
    shows(&mut window, &format!("#{row}, "));
    shows(&mut window, &label(&whole(&path), row));
}

/// The label of a row for screen readers.
fn label(store: &Store, number: u64) -> String {
    let row = store.row(number as usize).unwrap();
    format!("Frame {number} {} {} {}", row.plugin, row.direction, row.status.name())
}

#[test]
fn a_large_trace_is_shown_however_it_is_damaged() {
    // Three quarters of it are more than is read whole, too.
    let (_folder, path) = made_up(FRAMES * 3 / 2);
    let bytes = std::fs::read(&path).unwrap();
    let check = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let expected = glovebox_trace::check(&path, &AtomicBool::new(false)).unwrap();
        let frames = expected.info.frames_in + expected.info.frames_out;
        let mut window = open(std::slice::from_ref(&path));
        assert_eq!(rows(&window), frames as usize);
        window.key_press(Key::End);
        wait(&mut window, "the last rows are there", is_settled);
        let view = app(&window).view();
        let trace = &view.traces()[0];
        assert_eq!(trace.damage.len(), expected.problems.len());
        assert_eq!(trace.missing(), expected.missing_events);
        assert_eq!(trace.pages.as_ref().unwrap().trouble(), None);
        let last = whole(&path);
        shows(&mut window, &label(&last, frames - 1));
    };
    check(&|_| {});
    check(&|bytes| bytes.truncate(bytes.len() * 3 / 4));
    check(&|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    });
    check(&|bytes| {
        let end = bytes.len();
        bytes[end - 30] ^= 1;
    });
}

#[test]
fn a_scan_that_was_cancelled_is_made_up_for() {
    let is_indexed = |window: &Window| {
        let view = app(window).view();
        view.traces()[0].pages.as_ref().unwrap().index().is_some()
    };
    // Cancelled while it runs: on a busy machine that may take more than one attempt.
    let cancelled = || {
        let (folder, path) = made_up(FRAMES);
        let mut window = open(&[]);
        let execute = |window: &mut Window, command| {
            window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
        };
        execute(&mut window, Command::Start { files: vec![path] });
        until(&mut window, "the trace is open", |window| !app(window).view().traces().is_empty());
        execute(&mut window, Command::CancelAll);
        wait(&mut window, "nothing is under way", |window| !app(window).view().is_busy());
        wait(&mut window, "rows are there", is_settled);
        (!is_indexed(&window)).then_some((folder, window))
    };
    let started = Instant::now();
    let (_folder, mut window) = loop {
        match cancelled() {
            Some(cancelled) => break cancelled,
            None => assert!(started.elapsed() < PATIENCE, "a scan takes longer than to cancel it"),
        }
    };
    assert_eq!(rows(&window), FRAMES as usize);
    shows(&mut window, "not scanned yet");
    filter(&mut window, "status:error");
    assert!(is_indexed(&window));
    assert!(rows(&window) > 0);
}
