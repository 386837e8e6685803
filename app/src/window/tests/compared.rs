//! Answers are compared with answers, and one call has one latency.

use glovebox_abi::units::show_duration;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::{Class, DiffOptions};

use super::*;

fn press(window: &mut Window, modifiers: egui::Modifiers, key: egui::Key) {
    window.key_press_modifiers(modifiers, key);
    window.run_steps(2);
    wait(window, |app| !app.view().is_busy());
}

fn run(window: &mut Window, verb: commands::Verb) {
    let ctx = window.ctx.clone();
    window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::Run(verb));
    wait(window, |app| !app.view().is_busy());
}

/// A window over a plugin and then a trace, so that nothing is replayed.
fn one_by_one(folder: &tempfile::TempDir, plugin: &std::path::Path, trace: PathBuf) -> Window {
    let mut window = open(vec![plugin.to_owned()], folder.path().join("s.json"));
    let files = vec![trace];
    execute(&mut window, Command::Start { files });
    wait(&mut window, |app| !app.view().is_busy());
    assert_eq!(app(&window).view().live().frames, 0);
    window
}

#[test]
fn inputs_alone_are_compared_by_running_both_generations() {
    fn check(next: &str, expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.wasm");
        std::fs::copy(crate::assets::plugin("stats-v1").unwrap(), &path).unwrap();
        // Its reports tell what it was given before.
        let inputs = [("data", "x"), ("data", "y"), ("control", "report")];
        let line = |(kind, payload): (&str, &str)| {
            format!("{{\"plugin\": \"stats\", \"kind\": \"{kind}\", \"payload\": \"{payload}\"}}\n")
        };
        let trace = folder.path().join("in.ndjson");
        std::fs::write(&trace, inputs.map(line).concat()).unwrap();
        let mut window = one_by_one(&folder, &path, trace);
        std::fs::copy(crate::assets::plugin(next).unwrap(), &path).unwrap();
        let modifiers = egui::Modifiers::COMMAND | egui::Modifiers::SHIFT;
        press(&mut window, modifiers, egui::Key::Enter);
        let view = app(&window).view();
        let (_, diff) = view.diff().expect("they are compared");
        let names = [&diff.before, &diff.after].map(|run| run.name.as_str());
        assert_eq!(names, ["replay of in.ndjson", "replay 2 of in.ndjson"]);
        // Each has an answer to each, and both began in one state.
        assert!([Class::Extra, Class::Missing].iter().all(|class| diff.counts.of(*class) == 0));
        assert!(diff.before.has_answers() && diff.after.has_answers());
        assert_eq!((diff.before.len(), diff.is_same()), (3, expected), "{next}");
        let pinned = view.baseline().map(|trace| trace.name.as_str());
        assert_eq!(pinned, Some("replay of in.ndjson"));
        says(&window, "it is pinned in place of in.ndjson, which has no answers");
        // The next generation is compared with that.
        press(&mut window, modifiers, egui::Key::Enter);
        let (_, diff) = app(&window).view().diff().unwrap();
        let names = [&diff.before, &diff.after].map(|run| run.name.as_str());
        assert_eq!(names, ["replay of in.ndjson", "replay 3 of in.ndjson"]);
    }
    check("stats-v1", true);
    check("stats", false);
}

#[test]
fn an_input_without_an_answer_is_compared_with_an_earlier_generation_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.wasm");
    std::fs::copy(crate::assets::plugin("echo").unwrap(), &path).unwrap();
    let mut window = one_by_one(&folder, &path, crate::assets::trace("shop").unwrap());
    press(&mut window, egui::Modifiers::NONE, egui::Key::Home);
    let none = "Nothing to compare with: shop.mcap has no answer to call";
    run(&mut window, commands::Verb::ResendAndDiff);
    says(&window, none);
    assert_eq!(app(&window).view().live().frames, 0, "nothing was sent");
    // An answer of the same generation says nothing new.
    press(&mut window, egui::Modifiers::NONE, egui::Key::G);
    assert_eq!(app(&window).view().live().frames, 2);
    run(&mut window, commands::Verb::ResendAndDiff);
    assert!(app(&window).view().diff().is_none());
    press(&mut window, egui::Modifiers::COMMAND, egui::Key::R);
    run(&mut window, commands::Verb::ResendAndDiff);
    let (_, diff) = app(&window).view().diff().expect("the earlier generation gave one");
    assert!(diff.before.name.ends_with(" of generation 1"), "{}", diff.before.name);
    assert!(diff.is_same(), "{}", diff.summary());
}

#[test]
fn two_builds_get_the_same_inputs_and_are_compared() {
    let names = |window: &Window| {
        let (_, diff) = app(window).view().diff().expect("they are compared");
        [diff.before.name.clone(), diff.after.name.clone()]
    };
    let folder = tempfile::tempdir().unwrap();
    let lines = [("data", "x"), ("control", "report")].map(|(kind, payload)| {
        format!("{{\"plugin\": \"stats\", \"kind\": \"{kind}\", \"payload\": \"{payload}\"}}\n")
    });
    let trace = folder.path().join("in.ndjson");
    std::fs::write(&trace, lines.concat()).unwrap();
    let [old, new] = ["stats-v1", "stats"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(vec![old.clone()], folder.path().join("s.json"));
    let report = Frame::new(Kind::CONTROL, Header::empty(), "report");
    let first = app(&window).view().plugins()[0].instance;
    let request = |target, frame: &Frame| {
        let (frame, payload_file) = (frame.clone(), None);
        Command::Send(crate::workbench::SendRequest { target, frame, payload_file, times: 1 })
    };
    execute(&mut window, request(first, &Frame::data("before")));
    wait(&mut window, |app| app.view().sent().len() == 1 && !app.view().is_busy());
    // Without a trace, both get what was composed for the first; nobody is compared with another plugin.
    let echo = crate::assets::plugin("echo").unwrap();
    execute(&mut window, Command::Compare { first, path: echo });
    wait(&mut window, |app| !app.view().is_busy());
    says(&window, "Not compared: echo is another plugin than stats");
    assert!(app(&window).view().pair().is_none() && app(&window).view().diff().is_none());
    execute(&mut window, Command::Compare { first, path: new });
    wait(&mut window, |app| app.view().diff().is_some() && !app.view().is_busy());
    let [before, after] = names(&window);
    assert!(before.contains("1.0.0") && after.contains("2.0.0"), "{before} {after}");
    let pair = app(&window).view().pair().unwrap();
    // Both get the frame that is composed for either, and both began in one state.
    for target in [pair.second, pair.first] {
        let sent = app(&window).view().sent().len();
        let diffs = app(&window).view().diff().unwrap().0;
        execute(&mut window, request(target, &report));
        wait(&mut window, |app| app.view().diff().unwrap().0 > diffs && !app.view().is_busy());
        let view = app(&window).view();
        assert_eq!(view.sent().len(), sent + 2);
        assert_eq!(view.sent().back().unwrap().instance, target);
        assert_eq!(names(&window), [before.clone(), after.clone()]);
        let (_, diff) = view.diff().unwrap();
        assert_eq!((diff.before.len(), diff.counts.different()), (1, 1));
        let answer = |run: &glovebox_inspector::diff::Run| {
            let call = run.iter().next().unwrap();
            String::from_utf8_lossy(&call.outputs[0].frame.payload).into_owned()
        };
        let counted = [answer(&diff.before), answer(&diff.after)];
        assert!(counted.iter().all(|text| text.contains("\"frames\":2")), "{counted:?}");
    }
    execute(&mut window, Command::SendToBoth(false));
    let sent = app(&window).view().sent().len();
    execute(&mut window, request(pair.first, &report));
    wait(&mut window, |app| app.view().sent().len() > sent && !app.view().is_busy());
    assert_eq!(app(&window).view().sent().len(), sent + 1);
    // With one, both get its inputs, and the next time the same: no run of both becomes the pinned one.
    execute(&mut window, Command::Start { files: vec![trace] });
    wait(&mut window, |app| app.view().baseline().is_some() && !app.view().is_busy());
    window.state_mut().as_mut().unwrap().shown.selection.select_plugin(first);
    let now = app(&window).situation();
    let hint = commands::entry(commands::Verb::Compare).hint_now(&now);
    let whole = format!("in.ndjson → {before} and the other build\nAll inputs");
    assert!(hint.contains(&whole), "{hint}");
    let whole = now.compares_again.unwrap().whole.clone();
    assert_eq!(whole, format!("in.ndjson → {before}, {after}"));
    for _ in 0..2 {
        let diffs = app(&window).view().diff().unwrap().0;
        run(&mut window, commands::Verb::CompareAgain);
        wait(&mut window, |app| app.view().diff().unwrap().0 > diffs && !app.view().is_busy());
        let (_, diff) = app(&window).view().diff().unwrap();
        assert_eq!((diff.before.len(), diff.after.len(), diff.counts.different()), (2, 2, 1));
        assert_eq!(names(&window), [before.clone(), after.clone()]);
        says(&window, &format!("{before} and {after}, inputs of in.ndjson: "));
        let pinned = app(&window).view().baseline().map(|trace| trace.name.as_str());
        assert_eq!(pinned, Some("in.ndjson"));
    }
    run(&mut window, commands::Verb::ShowLive);
    window.state_mut().as_mut().unwrap().shown.selection.select_plugin(pair.first);
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Metrics);
    wait_for(&mut window, "Latency of two builds, p50");
    execute(&mut window, Command::Unload(pair.second));
    wait(&mut window, |app| !app.view().is_busy());
    assert!(app(&window).view().pair().is_none());
}

#[test]
fn inputs_are_not_compared_with_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    let ids: Vec<_> = app(&window).view().traces().iter().map(|trace| trace.id).collect();
    let [inputs, run] = ids[..] else { panic!("the trace and its replay") };
    for (before, after) in [(inputs, run), (run, inputs)] {
        let said = app(&window).view().notices().len();
        execute(&mut window, Command::Diff { before, after, options: DiffOptions::default() });
        wait(&mut window, |app| !app.view().is_busy());
        let expected = "shop.mcap holds inputs only, and replay of shop.mcap answers";
        let notices = app(&window).view().notices();
        assert!(notices.len() > said && notices.back().unwrap().text.contains(expected));
    }
    execute(
        &mut window,
        Command::Diff { before: run, after: run, options: DiffOptions::default() },
    );
    wait(&mut window, |app| app.view().diff().is_some());
}

#[test]
fn a_call_has_one_latency_and_its_answer_is_selected() {
    let folder = tempfile::tempdir().unwrap();
    let mut window = open(echo(), folder.path().join("s.json"));
    press(&mut window, egui::Modifiers::NONE, egui::Key::Home);
    let before = app(&window).shown.selection.row;
    // The first time it comes into view, the second time it is sent.
    for _ in 0..2 {
        press(&mut window, egui::Modifiers::COMMAND, egui::Key::Enter);
    }
    wait(&mut window, |app| app.view().sent().len() == 1 && !app.view().is_busy());
    window.run_steps(2);
    let app = app(&window);
    let sent = app.view().sent().back().unwrap();
    let selected = app.shown.selection.row.unwrap();
    assert_ne!(Some(selected), before);
    let row = app.reader().read(Source::Live, |store| store.row_by_id(selected.row).cloned());
    let row = row.flatten().unwrap();
    // The list, the inspector and the composer are about one call, and tell one latency of it.
    assert_eq!((row.call, row.latency), (sent.call, sent.latency));
    assert!(sent.latency.is_some_and(|latency| latency <= sent.took));
    let latency = show_duration(sent.latency.unwrap());
    let told = [format!("1 frame, latency {latency}"), format!("Latency: {latency}")];
    for text in told {
        wait_for(&mut window, &text);
    }
}

#[test]
fn nothing_is_accepted_of_runs_that_are_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, payload: &str| {
        let path = folder.path().join(name);
        let line = format!("{{\"plugin\": \"p\", \"payload\": \"{payload}\"}}\n");
        std::fs::write(&path, line).unwrap();
        path
    };
    let files = vec![trace("a.ndjson", "1"), trace("b.ndjson", "2"), trace("c.ndjson", "3")];
    let mut window = open(files, folder.path().join("s.json"));
    // Which of them is read first is not known.
    let mut traces: Vec<_> =
        app(&window).view().traces().iter().map(|trace| (trace.name.clone(), trace.id)).collect();
    traces.sort_by(|one, other| one.0.cmp(&other.0));
    let ids: Vec<_> = traces.into_iter().map(|(_, id)| id).collect();
    let compare = |window: &mut Window, before: usize, after: usize| {
        let (before, after) = (ids[before], ids[after]);
        execute(window, Command::Diff { before, after, options: DiffOptions::default() });
        wait(window, |app| app.view().diff().is_some() && !app.view().is_busy());
        window.run_steps(2);
    };
    compare(&mut window, 0, 1);
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Diff);
    window.run_steps(2);
    let accepted = |window: &Window| app(window).panels.diff.review.count(Decision::Accept);
    // Another run is chosen, and not compared yet.
    let choose = |window: &mut Window, entry: &str| {
        window.get_by_role_and_label(egui::accesskit::Role::ComboBox, "Second run").click();
        let ctx = window.ctx.clone();
        wait(window, |_| egui::Popup::is_any_open(&ctx));
        let entries = window.get_all_by_role_and_label(egui::accesskit::Role::Button, entry);
        entries.last().unwrap().click();
        // Keys act again once the list is closed.
        wait(window, |_| !egui::Popup::is_any_open(&ctx));
    };
    choose(&mut window, "c.ndjson");
    wait_for(&mut window, "Other runs are chosen above");
    press(&mut window, egui::Modifiers::NONE, egui::Key::A);
    assert_eq!(accepted(&window), 0, "nobody saw what was accepted");
    choose(&mut window, "b.ndjson");
    wait(&mut window, |app| !app.panels.diff.choice.is_other(app.view()));
    press(&mut window, egui::Modifiers::NONE, egui::Key::A);
    assert_eq!(accepted(&window), 1);
    compare(&mut window, 0, 2);
    assert_eq!(accepted(&window), 0, "they were about another comparison");
}

#[test]
fn generations_are_named_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    std::fs::copy(crate::assets::plugin("stats-v1").unwrap(), &path).unwrap();
    let mut window = open(vec![path.clone()], folder.path().join("s.json"));
    let target = app(&window).view().plugins()[0].instance;
    let send = |window: &mut Window, times: usize| {
        let frame = glovebox_abi::Frame::data("x");
        execute(window, Command::Send(SendRequest { target, frame, payload_file: None, times }));
        wait(window, |app| !app.view().is_busy());
    };
    send(&mut window, 3);
    std::fs::copy(crate::assets::plugin("stats").unwrap(), &path).unwrap();
    press(&mut window, egui::Modifiers::COMMAND, egui::Key::R);
    wait(&mut window, |app| app.view().plugins()[0].generation == 2);
    send(&mut window, 5);
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Metrics);
    wait_for(&mut window, "Generations compared");
    window.set_size(egui::vec2(1440.0, 2400.0));
    window.run_steps(3);
    let list = window.get_by_role_and_label(egui::accesskit::Role::ComboBox, "Compare with");
    list.click();
    window.run_steps(2);
    let entry = "stats generation 1";
    window.get_all_by_role_and_label(egui::accesskit::Role::Button, entry).last().unwrap().click();
    for text in [
        "before: stats generation 1",
        "after: stats generation 2",
        "before · gen 1",
        "after · gen 2",
        "< 1\u{2009}000 calls",
    ] {
        wait_for(&mut window, text);
    }
    // The figures stand below their titles: of the first generation on the left.
    let of = |text: &str, window: &Window| {
        let all = window.query_all_by_label(text);
        all.map(|node| node.rect()).collect::<Vec<_>>()
    };
    let titles = ["before · gen 1", "after · gen 2"].map(|title| of(title, &window)[0].right());
    for (figure, title) in [("3", titles[0]), ("5", titles[1])] {
        let stands = |window: &Window| {
            of(figure, window).iter().any(|rect| (rect.right() - title).abs() < 2.0)
        };
        // Figures are looked at now and then.
        let started = Instant::now();
        while !stands(&window) {
            assert!(started.elapsed() < Duration::from_secs(60), "waited in vain for {figure}");
            std::thread::park_timeout(Duration::from_millis(10));
            window.step();
        }
    }
}

#[test]
fn a_plugin_is_not_compared_with_the_answers_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["echo", "redact"].map(|name| crate::assets::plugin(name).unwrap());
    let mut window = open(files.to_vec(), folder.path().join("s.json"));
    let trace = folder.path().join("in.ndjson");
    let lines = ["ada@example.org", "grace@example.org"]
        .map(|payload| format!("{{\"plugin\": \"shop\", \"payload\": \"{payload}\"}}\n"));
    std::fs::write(&trace, lines.concat()).unwrap();
    execute(&mut window, Command::Start { files: vec![trace] });
    wait(&mut window, |app| !app.view().is_busy());
    let instances: Vec<_> = app(&window).view().plugins().iter().map(|one| one.instance).collect();
    let ctx = window.ctx.clone();
    let modifiers = egui::Modifiers::COMMAND | egui::Modifiers::SHIFT;
    for (instance, id) in instances.into_iter().zip(["echo", "redact"]) {
        let change = action::Change::SelectPlugin(instance);
        window.state_mut().as_mut().unwrap().perform(&ctx, action::Action::View(change));
        press(&mut window, modifiers, egui::Key::Enter);
        let (_, diff) = app(&window).view().diff().expect("two generations of it are compared");
        assert_eq!((diff.before.len(), diff.is_same()), (2, true), "{id}: {}", diff.summary());
        let pinned = app(&window).view().baseline().map(|trace| trace.name.as_str());
        assert_eq!(pinned, Some("replay of in.ndjson"), "{id}");
    }
}

#[test]
fn a_plugin_is_compared_with_runs_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("in.ndjson");
    std::fs::write(&trace, "{\"plugin\": \"shop\", \"payload\": \"{}\"}\n").unwrap();
    let mut window = one_by_one(&folder, &crate::assets::plugin("echo").unwrap(), trace);
    execute(&mut window, Command::Load(crate::assets::plugin("redact").unwrap()));
    wait(&mut window, |app| app.view().plugins().len() == 2 && !app.view().is_busy());
    let compare = |window: &mut Window, id: &str| {
        let plugin = app(window).view().plugin_by_id(id).unwrap().instance;
        let ctx = window.ctx.clone();
        let choose = action::Action::View(action::Change::SelectPlugin(plugin));
        window.state_mut().as_mut().unwrap().perform(&ctx, choose);
        run(window, commands::Verb::Loop);
        let (_, diff) = app(window).view().diff().expect("they are compared");
        let plugins = [&diff.before, &diff.after].map(|run| run.plugins().to_vec());
        assert_eq!(plugins.concat().iter().map(|one| &**one).collect::<Vec<_>>(), [id, id]);
        assert!(diff.is_same(), "{}", diff.summary());
        diff.before.name.clone()
    };
    assert_eq!(compare(&mut window, "echo"), "replay of in.ndjson");
    assert_eq!(compare(&mut window, "redact"), "replay 3 of in.ndjson");
    let titles = app(&window).view().traces().iter().map(|trace| trace.title().into_owned());
    let titles: Vec<_> = titles.collect();
    let of =
        |id: &str| app(&window).view().plugin_by_id(id).unwrap().manifest.plugin.version.clone();
    let expected = |replay, id| format!("{replay} · {id} {} · in.ndjson", of(id));
    assert_eq!(titles[0], "in.ndjson");
    assert_eq!(titles[1], expected("replay", "echo"));
    assert_eq!(titles[4], expected("replay 4", "redact"));
    // A baseline that is saved is one of that plugin from then on, and of no other.
    let path = folder.path().join("redact.txt");
    let decisions = std::collections::BTreeMap::new();
    let saved = path.display().to_string();
    execute(&mut window, Command::SaveBaseline { path, replace: false, decisions });
    wait(&mut window, |app| app.view().accepted().is_some() && !app.view().is_busy());
    let inputs = app(&window).view().traces()[0].id;
    execute(&mut window, Command::Pin(Some(inputs)));
    assert_eq!(compare(&mut window, "redact"), saved);
    compare(&mut window, "echo");
    run(&mut window, commands::Verb::Replay);
    says(&window, "not compared with redact.txt: it has no calls of echo");
}

#[test]
fn the_selected_instance_is_the_one_with_figures_in_a_replay_too() {
    let folder = tempfile::tempdir().unwrap();
    let echo = crate::assets::plugin("echo").unwrap();
    let files = vec![echo.clone(), echo, crate::assets::trace("shop").unwrap()];
    let mut window = open(files, folder.path().join("s.json"));
    let view = app(&window).view();
    let instances: Vec<_> = view.plugins().iter().map(|plugin| plugin.instance).collect();
    let replay = view.traces().iter().find(|trace| trace.unsaved || trace.name.contains("replay"));
    let replay = replay.expect("it was replayed").id;
    let ctx = window.ctx.clone();
    let ask = |window: &mut Window, change| {
        let action = action::Action::View(change);
        window.state_mut().as_mut().unwrap().perform(&ctx, action);
        window.run_steps(3);
    };
    ask(&mut window, action::Change::Source(Source::Trace(replay)));
    wait(&mut window, |app| app.view().figures_of(Source::Trace(replay)).is_some());
    window.state_mut().as_mut().unwrap().show_panel(ids::PanelId::Metrics);
    for instance in instances.iter().chain(&instances) {
        ask(&mut window, action::Change::SelectPlugin(*instance));
        let app = app(&window);
        let (view, selection) = (app.view(), &app.shown.selection);
        let figures = view.figures_of(selection.source).unwrap();
        let chosen = app.panels.metrics.chosen(view, selection, figures).unwrap();
        assert_eq!(chosen.instance, instance.get());
    }
}
