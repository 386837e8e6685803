//! Runs in the window: figures of two, replays beside a baseline file, and how severe findings are.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::Key;
use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use glovebox::window::ids::{DrawerTab, PanelId};
use glovebox::workbench::replay::Routing;
use glovebox::workbench::{Command, Origin, ReplayHow, ReplayRequest, SendRequest, Source};
use glovebox_abi::Frame;
use glovebox_abi::units::show_duration;
use glovebox_inspector::baseline::Baseline;
use glovebox_inspector::diff::{DiffOptions, Run};
use glovebox_inspector::filter::Filter;
use glovebox_inspector::findings::Severity;
use glovebox_inspector::metrics::{Figure, Metrics, MetricsSnapshot, compare};
use glovebox_inspector::replay::Pace;
use glovebox_trace::{MadeUpRun, TraceWriter};

use glovebox_tests::{root, sample};

use super::cli::Folder;
use super::window::{PATIENCE, Window, app, open, shows, until, wait};

fn made_up(path: PathBuf, frames: u64, seed: u64) -> PathBuf {
    let mut writer = TraceWriter::create(&path, "0.1.0").unwrap();
    MadeUpRun::new(frames, seed).for_each(|event| writer.write(&event).unwrap());
    writer.finish().unwrap();
    path
}

fn metrics(path: &Path) -> MetricsSnapshot {
    let mut metrics = Metrics::default();
    glovebox_trace::read(path).unwrap().events.iter().for_each(|event| metrics.ingest(event));
    metrics.snapshot()
}

/// Shows a trace, then the panel of figures.
fn show_figures(window: &mut Window, trace: &str) {
    let traces = window.query_all_by_role(Role::ListItem);
    let is_it = |label: Option<String>| label.is_some_and(|label| label.starts_with(trace));
    let row = traces.into_iter().find(|row| is_it(row.accesskit_node().label()));
    row.unwrap().click();
    // The action of a click is done before the next frame.
    window.run_steps(2);
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Metrics);
    window.step();
}

/// Chooses an entry of a list by their labels.
fn choose(window: &mut Window, list: &str, entry: &str) {
    window.get_by_role_and_label(Role::ComboBox, list).click();
    window.step();
    window.step();
    window.get_by_role_and_label(Role::Button, entry).click();
    window.step();
}

#[test]
fn figures_of_two_traces_stand_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    // One that is held, and one that is read from its file.
    let small = made_up(folder.path().join("small.mcap"), 900, 2);
    let large = made_up(folder.path().join("large.mcap"), 40_000, 3);
    let mut window = open(&[small.clone(), large.clone()]);
    let view = app(&window).view();
    assert_eq!(view.traces().iter().filter(|trace| trace.pages.is_some()).count(), 1);
    let check = |window: &mut Window, shown: &Path, other: &Path| {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        show_figures(window, &name(shown));
        choose(window, "Compare the run with", &name(other));
        let (before, after) = (metrics(other), metrics(shown));
        for one in &after.totals {
            let other = before.totals.iter().find(|other| other.plugin == one.plugin).unwrap();
            for figure in compare(other, one) {
                let percent = figure.ratio().map(|ratio| ((ratio - 1.0) * 100.0).round());
                let change = percent.map(|percent| match percent {
                    0.0 => "0 %".to_owned(),
                    percent => format!("{percent:+.0} %").replace('-', "−"),
                });
                change.iter().for_each(|change| shows(window, change));
                for side in [figure.before, figure.after] {
                    match side {
                        Some(Figure::Time(time)) => shows(window, &show_duration(time)),
                        Some(Figure::About(time)) => {
                            shows(window, &format!("≈ {}", show_duration(time)));
                        }
                        Some(Figure::Count(_) | Figure::Bytes(_)) | None => {}
                    }
                }
            }
            let shift = one.shift_since(other).unwrap();
            shows(window, shift.verdict().name());
            shows(window, &format!("latency of {}", shift.sentence()));
        }
    };
    check(&mut window, &large, &small);
    check(&mut window, &small, &large);
    choose(&mut window, "Compare the run with", "nothing");
    window.step();
    assert!(window.query_by_label("change").is_none());
}

/// One run has the same figures in the window and on the command line, digit for digit.
#[test]
fn the_window_and_the_command_line_have_the_same_figures() {
    let folder = Folder::new();
    let json = |arguments: &[&str], exit: i32| -> serde_json::Value {
        let arguments = [arguments, &["--json", "-"]].concat();
        serde_json::from_str(&folder.check(&arguments, exit, "", "")).unwrap()
    };
    let trace = root().join("assets/traces/shop.mcap");
    let replay = |name: &str| {
        let trace = trace.to_str().unwrap();
        json(&["replay", trace, "--plugin", "plugins/redact.wasm", "--record", name], 0)
    };
    let replayed = [replay("a.mcap"), replay("b.mcap")];
    let diff = json(&["diff", "a.mcap", "b.mcap"], 0);
    let info = json(&["trace", "info", "b.mcap"], 0);
    let found = json(&["trace", "findings", "b.mcap"], 0);
    let path = |name: &str| folder.0.path().join(name);
    let mut window = open(&[path("a.mcap"), path("b.mcap")]);
    show_figures(&mut window, "b.mcap");
    choose(&mut window, "Compare the run with", "a.mcap");
    window.set_size(egui::vec2(1440.0, 2400.0));
    window.run_steps(3);
    let told =
        |nanos: &serde_json::Value| show_duration(Duration::from_nanos(nanos.as_u64().unwrap()));
    for (run, side) in replayed.iter().zip(["before", "after"]) {
        let latency = &run["latency"][0];
        for name in ["p50", "p90", "p99", "max"] {
            shows(&mut window, &told(&latency[format!("{name}_ns")]));
        }
        for name in ["p50", "p99"] {
            assert_eq!(
                diff["latency"][0][side][name],
                latency[format!("{name}_ns")],
                "{side} {name}"
            );
        }
    }
    let view = app(&window).view();
    let shown = Source::Trace(view.traces().last().unwrap().id);
    let one = &view.figures_of(shown).unwrap().totals[0];
    for (name, known) in [
        ("calls", one.calls),
        ("errors", one.errors()),
        ("host_calls", one.host_calls()),
        ("frames_in", one.frames_in),
        ("frames_out", one.frames_out),
    ] {
        assert_eq!(info[name], known, "{name}");
    }
    window.state_mut().as_mut().unwrap().show_drawer(DrawerTab::Problems);
    for finding in found["findings"].as_array().unwrap() {
        let text = |name: &str| finding[name].as_str().unwrap();
        shows(&mut window, &format!("{}: {}", text("rule"), text("message")));
    }
}

#[test]
fn figures_that_are_not_known_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let small = made_up(folder.path().join("small.mcap"), 900, 2);
    let large = made_up(folder.path().join("large.mcap"), 40_000, 2);
    // Cancelled while they are counted: on a busy machine that may take more than one attempt.
    let cancelled = || {
        let mut window = open(std::slice::from_ref(&small));
        let start = Command::Start { files: vec![large.clone()] };
        window.state_mut().as_mut().unwrap().workbench_mut().execute(start);
        until(&mut window, "both are open", |window| app(window).view().traces().len() == 2);
        window.state_mut().as_mut().unwrap().workbench_mut().execute(Command::CancelAll);
        wait(&mut window, "nothing is under way", |window| !app(window).view().is_busy());
        let view = app(&window).view();
        view.figures_of(Source::Trace(view.traces()[1].id)).is_none().then_some(window)
    };
    let started = Instant::now();
    let mut window = loop {
        match cancelled() {
            Some(window) => break window,
            None => assert!(started.elapsed() < PATIENCE, "they are counted before all else"),
        }
    };
    show_figures(&mut window, "large.mcap");
    shows(&mut window, "Figures are not known yet");
    show_figures(&mut window, "small.mcap");
    choose(&mut window, "Compare the run with", "large.mcap");
    shows(&mut window, "Figures of large.mcap are not known yet");
}

fn execute(window: &mut Window, command: Command) {
    window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
    wait(window, "it is done", |window| !app(window).view().is_busy());
}

/// Sends the inputs of the first trace again.
fn replay(window: &mut Window, filter: Option<&str>) {
    let request = ReplayRequest {
        trace: app(window).view().traces()[0].id,
        targets: Vec::new(),
        routing: Routing::ByPlugin,
        pace: Pace::Max,
        filter: filter.map(|text| Filter::parse(text).unwrap()),
        calls: Vec::new(),
        range: None,
        from: None,
        how: ReplayHow::Once,
    };
    execute(window, Command::Replay(request));
}

#[test]
fn replays_are_compared_with_a_baseline_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accepted.txt");
    let mut window = open(&[sample("redact.wasm"), root().join("assets/traces/shop.pcap")]);
    let view = app(&window).view();
    let Origin::Replay(events) = &view.traces().last().unwrap().origin else {
        panic!("the last trace is no replay");
    };
    let run = Run::from_events("run".to_owned(), events.iter().cloned());
    let calls = run.len();
    let accepted = Baseline::of(&run, &DiffOptions::default()).to_string();
    let start = || Command::Start { files: vec![file.clone()] };
    let differences = |window: &Window| {
        let view = app(window).view();
        view.diff().map(|(number, diff)| (number, diff.counts.different()))
    };

    std::fs::write(&file, "hello").unwrap();
    execute(&mut window, start());
    shows(&mut window, "accepted.txt was not opened: this is no baseline of format 1");
    assert!(app(&window).view().accepted().is_none());

    std::fs::write(&file, &accepted).unwrap();
    execute(&mut window, start());
    shows(&mut window, &format!("accepted.txt is the baseline: {calls} calls"));
    assert_eq!(differences(&window), None);
    replay(&mut window, None);
    assert_eq!(differences(&window), Some((1, 0)));
    replay(&mut window, Some("kind:control"));
    shows(&mut window, "not compared with accepted.txt");
    assert_eq!(differences(&window), Some((1, 0)));

    // One answer is another one, and that is remembered as wrong.
    let mut changed: Vec<_> = run.iter().collect();
    changed[calls / 2].outputs = vec![Frame::data("another answer").into()];
    let changed = Run::from_calls("run".to_owned(), changed);
    std::fs::write(&file, Baseline::of(&changed, &DiffOptions::default()).to_string()).unwrap();
    execute(&mut window, start());
    replay(&mut window, None);
    assert_eq!(differences(&window), Some((2, 1)));
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Diff);
    shows(&mut window, "0 accepted, 0 rejected, 1 left");
    window.key_press(Key::R);
    window.step();
    shows(&mut window, "0 accepted, 1 rejected, 0 left");
    window.state_mut().as_mut().unwrap().save_baseline(file.clone());
    // The file that is there is replaced once a person agrees.
    shows(&mut window, "Replace accepted.txt?");
    window.get_by_role_and_label(Role::Button, "Replace accepted.txt").click();
    shows(&mut window, &format!("{calls} calls are the baseline now"));
    replay(&mut window, None);
    assert_eq!(differences(&window), Some((3, 1)));
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Diff);
    shows(&mut window, "0 accepted, 1 rejected, 0 left");

    // It knows its trace from now on, and other inputs are noticed.
    let mut saved = Baseline::read(&file).unwrap();
    let trace = saved.trace.as_mut().unwrap();
    assert_eq!((&*trace.name, trace.inputs), ("shop.pcap", calls as u64));
    trace.inputs += 1;
    saved.write(&file).unwrap();
    execute(&mut window, start());
    replay(&mut window, None);
    assert_eq!(differences(&window), Some((4, 1)));
    let notices: Vec<_> =
        app(&window).view().notices().iter().map(|one| one.text.clone()).collect();
    let warns = |text: &String| text.contains("the baseline belongs to shop.pcap (222 inputs, ");
    assert!(notices.iter().any(warns), "{notices:#?}");

    window
        .get_by_role_and_label(Role::ListItem, "accepted.txt, baseline of replays")
        .click_secondary();
    window.step();
    window.step();
    window.get_by_role_and_label(Role::Button, "Close baseline").click();
    window.run_steps(2);
    assert!(app(&window).view().accepted().is_none());
    replay(&mut window, None);
    assert_eq!(differences(&window), Some((4, 1)));
}

#[test]
fn severities_are_set_by_menu() {
    let folder = tempfile::tempdir().unwrap();
    let trace = made_up(folder.path().join("run.mcap"), 900, 2);
    let mut window = open(&[trace]);
    let source = Source::Trace(app(&window).view().traces()[0].id);
    let findings = move |window: &Window, rule: &str| {
        let found = &app(window).view().findings(source).unwrap().findings;
        let of_rule = found.iter().filter(|finding| finding.rule == rule);
        of_rule.map(|finding| finding.severity).collect::<Vec<_>>()
    };
    let first = app(&window).view().findings(source).unwrap().findings[0].clone();
    let usual = findings(&window, first.rule);
    let check = |window: &mut Window, before: &str, entry: &str, expected: &[Severity]| {
        window.get_by_label_contains("Problems").click();
        window.step();
        window.step();
        let titles =
            ["Severities".to_owned(), format!("{}: {before}", first.rule), entry.to_owned()];
        for title in titles {
            window.get_by_role_and_label(Role::Button, &title).click();
            window.step();
            window.step();
            if title != entry {
                // An open menu has the keys.
                window.key_press(Key::J);
                window.step();
                shows(window, "#0, ");
            }
        }
        assert_eq!(findings(window, first.rule), expected, "{entry}");
        window.key_press(Key::Escape);
        window.step();
        window.key_press(Key::Escape);
        window.step();
    };
    let usual_name = first.severity.name();
    window.key_press(Key::Home);
    window.step();
    check(&mut window, usual_name, "off", &[]);
    check(&mut window, "off", "info", &vec![Severity::Info; usual.len()]);
    check(&mut window, "info", &format!("as the rule says: {usual_name}"), &usual);
}

#[test]
fn instances_of_one_plugin_are_told_apart() {
    let files = ["stats-v1.wasm", "stats.wasm"];
    let mut window = open(&files.map(sample));
    let instance = |window: &Window, file: &str| {
        let mut plugins = app(window).view().plugins().iter();
        let is_it = |path: &std::path::Path| path.ends_with(file);
        plugins.find(|plugin| plugin.path().is_some_and(is_it)).unwrap().instance
    };
    for (file, times) in [("stats-v1.wasm", 3), ("stats.wasm", 5)] {
        let target = instance(&window, file);
        let frame = Frame::data("x");
        let request = SendRequest { target, frame, payload_file: None, times };
        execute(&mut window, Command::Send(request));
    }
    let reload = Command::Reload { instance: instance(&window, "stats.wasm"), carry_state: false };
    execute(&mut window, reload);
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Metrics);
    for (name, rows) in [("stats · 1.0.0", 1), ("stats · 2.0.0", 2)] {
        for generation in 1..=rows {
            shows(&mut window, &format!("{name} generation {generation}"));
        }
        shows(&mut window, &format!("frames per second of {name}"));
    }
    let figures = app(&window).view().figures();
    let calls = files.map(|file| {
        let instance = instance(&window, file).get();
        figures.of("stats", instance).unwrap().generations[0].calls
    });
    assert_eq!((calls, figures.totals[0].calls), ([3, 5], 8));
    // Only the one that was reloaded has a history.
    let reload = |window: &mut Window, about: &str| {
        let rows = window.query_all_by_role(Role::ListItem);
        let is_it = |label: Option<String>| {
            label.is_some_and(|label| label.starts_with(about) && !label.contains("Frame"))
        };
        rows.into_iter().find(|row| is_it(row.accesskit_node().label())).unwrap().click();
        window.run_steps(3);
        window.state_mut().as_mut().unwrap().show_panel(PanelId::Reload);
        window.run_steps(3);
    };
    reload(&mut window, "stats · 1.0.0");
    shows(&mut window, "No reload yet");
    reload(&mut window, "stats · 2.0.0");
    shows(&mut window, "took over");
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Frames);
    window.state_mut().as_mut().unwrap().show_drawer(DrawerTab::Reloads);
    wait(&mut window, "the history names the instance", |window| {
        window.query_by_label("stats · 2.0.0").is_some()
    });
}
