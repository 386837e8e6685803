//! The inputs and targets of a replay are said before it runs, and one rule holds for all keys.

use super::*;

fn run(window: &mut Window, verb: commands::Verb) {
    let ctx = window.ctx.clone();
    window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::Run(verb));
    window.step();
    wait(window, |app| !app.view().is_busy());
}

/// A window with two plugins and a trace with two inputs of one and one of the other; nothing is replayed
/// yet, and the trace is shown.
fn two(folder: &tempfile::TempDir) -> Window {
    let trace = folder.path().join("both.ndjson");
    let line = |plugin| format!("{{\"plugin\": \"{plugin}\", \"payload\": \"x\"}}\n");
    std::fs::write(&trace, ["echo", "redact", "echo"].map(line).concat()).unwrap();
    let files = ["echo", "redact"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(files.to_vec(), folder.path().join("s.json"));
    execute(&mut window, Command::OpenTrace(trace));
    wait(&mut window, |app| !app.view().traces().is_empty() && !app.view().is_busy());
    show_trace(&mut window);
    window
}

fn show_trace(window: &mut Window) {
    let id = app(window).view().traces()[0].id;
    let ctx = window.ctx.clone();
    let change = action::Change::Source(Source::Trace(id));
    window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::View(change));
    window.run_steps(3);
}

/// Inputs that each plugin got live, by id.
fn got(window: &Window) -> Vec<(String, u64)> {
    let totals = &app(window).view().figures().totals;
    let got = totals.iter().map(|one| (one.plugin.to_string(), one.frames_in));
    got.filter(|(_, frames)| *frames > 0).collect()
}

#[test]
fn replays_say_what_goes_where_and_do_that() {
    use commands::Verb::{Loop, Replay, ReplayAllInputs, ReplayIntoAll};
    let check = |choices: &[commands::Verb],
                 chosen: &str,
                 said: (&str, &str),
                 expected: &[(&str, u64)]| {
        for verb in [Replay, Loop] {
            let folder = tempfile::tempdir().unwrap();
            let mut window = two(&folder);
            let plugin = app(&window).view().plugin_by_id(chosen).unwrap().instance;
            let change = action::Change::SelectPlugin(plugin);
            let ctx = window.ctx.clone();
            window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::View(change));
            for choice in choices {
                run(&mut window, *choice);
            }
            window.run_steps(2);
            let now = app(&window).situation();
            let line = commands::entry(verb);
            let (name, tooltip) = line.now(&now);
            assert_eq!(name, format!("{}: both.ndjson → {}", line.name, said.0));
            assert!(tooltip.ends_with(said.1), "{tooltip}");
            if verb == Replay {
                assert!(window.query_by_label(&name).is_some(), "the button has the name, too");
            }
            run(&mut window, verb);
            // A trace of inputs alone is sent to both generations.
            let times = if verb == Loop { 2 } else { 1 };
            let expected: Vec<_> =
                expected.iter().map(|(id, frames)| ((*id).to_owned(), frames * times)).collect();
            wait(&mut window, |app| {
                let all: u64 = app.view().figures().totals.iter().map(|one| one.frames_in).sum();
                all == expected.iter().map(|(_, frames)| frames).sum::<u64>()
            });
            assert_eq!(got(&window), expected, "{verb:?} {choices:?}");
        }
    };
    let own = "The inputs recorded for echo; those for redact are left out";
    check(&[], "echo", ("echo", own), &[("echo", 2)]);
    check(&[ReplayIntoAll], "echo", ("echo, redact", "All inputs"), &[("echo", 2), ("redact", 1)]);
    let all = "All inputs, whichever plugin they were recorded for";
    check(&[ReplayAllInputs], "redact", ("redact", all), &[("redact", 3)]);
}

#[test]
fn choices_that_change_nothing_cannot_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let window = open(echo(), folder.path().join("s.json"));
    let now = app(&window).situation();
    for (verb, needs) in [
        (commands::Verb::ReplayIntoAll, "several plugins"),
        (commands::Verb::ReplayAllInputs, "inputs of another plugin"),
    ] {
        let why_not = commands::entry(verb).why_not(&now).unwrap();
        assert!(why_not.contains(needs), "{why_not}");
    }
}

#[test]
fn replays_stay_about_the_trace_that_was_replayed_last() {
    use commands::Verb::Replay;
    let folder = tempfile::tempdir().unwrap();
    let mut window = two(&folder);
    let other = folder.path().join("other.ndjson");
    std::fs::write(&other, "{\"plugin\": \"echo\", \"payload\": \"y\"}\n").unwrap();
    execute(&mut window, Command::OpenTrace(other));
    wait(&mut window, |app| app.view().traces().len() == 2 && !app.view().is_busy());
    let ids: Vec<_> = app(&window).view().traces().iter().map(|trace| trace.id).collect();
    let replayed = |window: &mut Window| {
        window.run_steps(2);
        app(window).situation().replays.unwrap().trace.clone()
    };
    let ctx = window.ctx.clone();
    let ask = |window: &mut Window, action| {
        window.state_mut().as_mut().unwrap().perform(&ctx, action);
        window.run_steps(2);
    };
    ask(&mut window, action::Action::View(action::Change::Source(Source::Trace(ids[1]))));
    for times in 1..=2 {
        run(&mut window, Replay);
        assert_eq!(app(&window).shown.selection.source, Source::Live);
        assert_eq!(replayed(&mut window), "other.ndjson", "{times}");
        wait(&mut window, |app| {
            app.view().figures().totals.iter().map(|one| one.frames_in).sum::<u64>() == times
        });
    }
    // Until somebody pins a trace.
    ask(&mut window, action::Action::Do(Command::Pin(Some(ids[0]))));
    assert_eq!(replayed(&mut window), "both.ndjson");
}

#[test]
fn a_held_replay_says_where_it_is_and_of_which_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = two(&folder);
    let other = folder.path().join("other.ndjson");
    std::fs::write(&other, "{\"plugin\": \"echo\", \"payload\": \"x\"}\n").unwrap();
    execute(&mut window, Command::OpenTrace(other));
    wait(&mut window, |app| app.view().traces().len() == 2 && !app.view().is_busy());
    show_trace(&mut window);
    let ctx = window.ctx.clone();
    for done in 1..=2 {
        let step = action::Action::Run(commands::Verb::Step);
        window.state_mut().as_mut().unwrap().perform(&ctx, step);
        let held = format!("frame {done} of 3, paused");
        wait_for(&mut window, &held);
        wait_for(&mut window, &format!("{held}: Replaying both.ndjson"));
        let said = window.query_all_by_label_contains(&held).count();
        assert_eq!(said, 2, "in the toolbar and in the status bar");
    }
    let id = app(&window).view().traces()[1].id;
    let change = action::Change::Source(Source::Trace(id));
    window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::View(change));
    window.run_steps(3);
    let aimed = |window: &Window| app(window).situation().replays.unwrap().trace.clone();
    assert_eq!(aimed(&window), "both.ndjson");
    execute(&mut window, Command::PauseReplay(false));
    wait(&mut window, |app| app.view().replay().is_none());
    assert_eq!(aimed(&window), "other.ndjson");
    assert_eq!(window.query_all_by_label_contains("paused").count(), 0);
}
