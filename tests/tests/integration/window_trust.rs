//! The window names the source of what it shows, and no harmless word does something dangerous.

use std::path::Path;

use egui::{Key, Modifiers};
use egui_kittest::kittest::{By, NodeT as _, Queryable as _};
use glovebox::window::ids::{DrawerTab, PANELS, PanelId};
use glovebox::workbench::{Command, Level, SendRequest, Source};
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header, Kind, Permission, ServiceError};
use glovebox_events::{
    AnsweredBy, CallId, Event, HostCall, LoadStage, Outcome, ReloadCause, Timing, What,
};
use glovebox_tests::{replace, root, sample};
use glovebox_trace::TraceWriter;

use super::window::{Window, app, open, shows, wait};

fn execute(window: &mut Window, command: Command) {
    window.state_mut().as_mut().unwrap().workbench_mut().execute(command);
}

/// Opens the palette, types a text and presses Enter.
fn run(window: &mut Window, places: bool, text: &str) {
    window.key_press_modifiers(Modifiers::COMMAND, if places { Key::P } else { Key::K });
    window.step();
    window.event(egui::Event::Text(text.to_owned()));
    window.step();
    window.key_press(Key::Enter);
    window.step();
    window.step();
}

fn is_live_shown(window: &Window) -> bool {
    window.query_by_label_contains("Show live").is_none()
}

fn live_frames(window: &Window) -> usize {
    let read = app(window).reader().read(Source::Live, glovebox_inspector::store::Store::len);
    read.unwrap_or_default()
}

#[test]
fn harmless_words_do_nothing_dangerous() {
    let mut window = open(&[sample("echo.wasm"), root().join("assets/traces/shop.pcap")]);
    let frames = live_frames(&window);
    assert!(frames > 0);
    for text in
        ["show live", "live", "clear l", "nat", "native", "frames", "policy", "strict", "un"]
    {
        run(&mut window, false, text);
        let view = app(&window).view();
        assert!(!view.trusts_native(), "{text}");
        assert_eq!(live_frames(&window), frames, "{text}");
        assert_eq!(view.plugins().len(), 1, "{text}");
        window.key_press(Key::Escape);
        window.step();
        window.key_press(Key::Escape);
        window.step();
        window.step();
    }
}

#[test]
fn what_destroys_weakens_or_trusts_asks_first() {
    let check = |text: &str, question: &str, is_done: fn(&Window) -> bool| {
        let mut window = open(&[sample("echo.wasm"), root().join("assets/traces/shop.pcap")]);
        assert!(!is_done(&window), "{text}");
        // Enter alone leaves everything as it is, and so does Esc.
        for leave in [Key::Enter, Key::Escape] {
            run(&mut window, false, text);
            shows(&mut window, question);
            window.key_press(leave);
            window.step();
            window.step();
            assert!(!is_done(&window), "{text}");
            assert!(window.query_by_label_contains(question).is_none(), "{text}");
        }
        run(&mut window, false, text);
        shows(&mut window, question);
        window.step();
        window.key_press(Key::Tab);
        window.step();
        window.key_press(Key::Enter);
        window.step();
        wait(&mut window, text, is_done);
    };
    check("trust native", "Trust native plugins?", |window| app(window).view().trusts_native());
    check("clear live", "Clear live frames?", |window| live_frames(window) == 0);
    check("unload", "Unload echo?", |window| app(window).view().plugins().is_empty());
}

#[test]
fn a_container_runs_only_if_a_person_accepts_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.toml");
    let image = format!("localhost/none@sha256:{}", "0".repeat(64));
    let text = format!("[plugin]\nid = \"boxed\"\n[artifact]\nimage = \"{image}\"\n");
    std::fs::write(&path, text).unwrap();
    let mut window = open(&[]);
    let is_tried = |window: &Window| {
        let view = app(window).view();
        view.notices().iter().any(|notice| notice.text.contains("there is no container for it"))
    };
    let question = "Run plugin.toml all the same";
    execute(&mut window, Command::Load(path.clone()));
    shows(&mut window, question);
    window.key_press(Key::Escape);
    window.step();
    window.step();
    assert!(window.query_by_label_contains(question).is_none());
    assert!(!is_tried(&window));
    execute(&mut window, Command::Load(path));
    shows(&mut window, question);
    window.step();
    window.key_press(Key::Tab);
    window.step();
    window.key_press(Key::Enter);
    window.step();
    // The image is nowhere, which only an engine can find out.
    wait(&mut window, "an engine was asked", is_tried);
}

#[test]
fn a_refused_reload_is_seen_on_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.wasm");
    let check = |watched: bool| {
        std::fs::copy(sample("stats.wasm"), &path).unwrap();
        let mut window = open(std::slice::from_ref(&path));
        let instance = app(&window).view().plugins()[0].instance;
        if watched {
            execute(&mut window, Command::Watch(instance, true));
            wait(&mut window, "it is watched", |window| app(window).view().plugins()[0].watching);
        }
        let reload = |window: &mut Window| {
            if !watched {
                execute(window, Command::Reload { instance, carry_state: true });
            }
        };
        replace(&path, b"\x1F\x8B broken");
        reload(&mut window);
        wait(&mut window, "it is refused", |window| {
            app(window).view().plugin(instance).is_some_and(|plugin| plugin.refused.is_some())
        });
        shows(&mut window, "reload refused · gen 1 runs on");
        shows(&mut window, "ready generation 1");
        shows(&mut window, "The last reload was refused");
        let view = app(&window).view();
        let errors = view.notices().iter().filter(|notice| notice.level == Level::Error);
        let said: Vec<_> = errors.filter(|notice| notice.text.contains("not reloaded")).collect();
        assert_eq!(said.len(), 1, "{:?}", view.notices());
        assert!(view.plugins()[0].phase.name() == "ready");
        shows(&mut window, "Problems 1");
        replace(&path, std::fs::read(sample("stats.frame-abi.wasm")).unwrap());
        reload(&mut window);
        wait(&mut window, "it is well again", |window| {
            app(window).view().plugin(instance).is_some_and(|plugin| plugin.refused.is_none())
        });
        assert!(window.query_all_by_label_contains("reload refused").next().is_none());
    };
    check(true);
    check(false);
}

#[test]
fn lists_name_their_source_and_denials_are_never_hidden() {
    let mut window = open(&[root().join("assets/traces/shop.mcap")]);
    execute(&mut window, Command::Load(sample("misbehave.wasm")));
    wait(&mut window, "it is loaded", |window| !app(window).view().is_busy());
    let trace = app(&window).view().traces()[0].id;
    execute(&mut window, Command::Notify(Level::Info, "x".to_owned()));
    window.state_mut().as_mut().unwrap().show_drawer(DrawerTab::Denied);
    shows(&mut window, "of shop.mcap");
    shows(&mut window, "Nothing was denied in shop.mcap");
    let target = app(&window).view().plugins()[0].instance;
    let host = window.state_mut().as_mut().unwrap().workbench_mut().host().clone();
    for _ in 0..4 {
        let frame = Frame::data("mode=deny-me");
        host.try_dispatch_to(target, frame).unwrap().wait();
    }
    window.step();
    assert!(app(&window).view().denied_live() >= 4);
    shows(&mut window, "denied live");
    for tab in [DrawerTab::Log, DrawerTab::Problems, DrawerTab::Denied] {
        window.state_mut().as_mut().unwrap().show_drawer(tab);
        shows(&mut window, "of shop.mcap");
        shows(&mut window, "denied live");
    }
    let is_live = |window: &mut Window| shows(window, "of live");
    // By key, by name in either palette.
    window.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::L);
    window.step();
    is_live(&mut window);
    for (places, text) in [(true, "live"), (false, "show live"), (false, "live")] {
        run(&mut window, true, "shop");
        shows(&mut window, "of shop.mcap");
        run(&mut window, places, text);
        is_live(&mut window);
    }
    assert!(app(&window).view().trace(trace).is_some() && is_live_shown(&window));
}

#[test]
fn a_capture_is_input_only() {
    for name in ["shop.pcap", "shop.mcap"] {
        let mut window = open(&[root().join("assets/traces").join(name)]);
        shows(&mut window, "input only");
        let running = window.query_all_by_label_contains("running").next();
        assert!(running.is_none(), "{name}");
        let resend = window.get_by_label("Resend");
        assert!(resend.accesskit_node().is_disabled(), "{name}");
        execute(&mut window, Command::Load(sample("echo.wasm")));
        wait(&mut window, "it is loaded", |window| !app(window).view().is_busy());
        assert!(!window.get_by_label("Resend").accesskit_node().is_disabled(), "{name}");
    }
}

#[test]
fn a_file_that_was_never_loaded_has_no_figures() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.wasm");
    std::fs::write(&broken, "no module").unwrap();
    let mut window = open(&[broken, sample("echo.wasm")]);
    assert_eq!(app(&window).view().loads_failed(), 1);
    let frame = Frame::data("x");
    let target = app(&window).view().plugins()[0].instance;
    let host = window.state_mut().as_mut().unwrap().workbench_mut().host().clone();
    host.try_dispatch_to(target, frame).unwrap().wait();
    let figures = |window: &Window| -> Vec<(String, u32)> {
        let all = app(window).view().figures().instances.iter();
        let all = all.flat_map(|one| &one.generations);
        all.map(|one| (one.plugin.to_string(), one.generation)).collect()
    };
    wait(&mut window, "figures are there", |window| !figures(window).is_empty());
    assert_eq!(figures(&window), [("echo".to_owned(), 1)]);
    let plugins = app(&window).reader().read(Source::Live, |store| store.plugins().to_vec());
    assert_eq!(plugins.unwrap(), ["echo".into()]);
}

/// A trace in which a stranger wrote a large text wherever one can stand.
fn hostile(path: &Path, text: &str) {
    let mut writer = TraceWriter::create(path, "0.1.0").unwrap();
    let mut sequence = 0;
    let mut put = |what: What| {
        let event = Event {
            sequence,
            at: 1_000_000 * (sequence + 1),
            plugin: text.into(),
            instance: 0,
            generation: 1,
            what,
        };
        sequence += 1;
        writer.write(&event).unwrap();
    };
    let call = CallId(1);
    let large = || Value::Text(text.to_owned());
    let header = Header::from_entries(vec![(large(), large()), (Value::Null, large())]);
    let json = serde_json::json!({ text: text, "list": vec![0; 50_000] }).to_string();
    let host_call = |service: &str, result| HostCall {
        service: service.to_owned().into(),
        permission: Permission::Metric,
        arguments: Value::Array(vec![large(), Value::Float(1.0)]),
        result,
        took: std::time::Duration::ZERO,
        answered_by: AnsweredBy::Host,
    };
    put(What::LoadFailed { stage: LoadStage::Compile, message: text.to_owned() });
    put(What::PolicyChanged { summary: text.to_owned() });
    put(What::ReloadFailed {
        cause: ReloadCause::FileChanged,
        stage: LoadStage::Compile,
        message: text.to_owned(),
        took: std::time::Duration::ZERO,
    });
    put(What::FrameIn { call, frame: Frame::new(Kind::DATA, header, json) });
    put(What::HostCall { call: Some(call), host_call: host_call("metric", Ok(large())) });
    put(What::HostCall { call: Some(call), host_call: host_call("log", Ok(Value::Null)) });
    let denied = host_call(text, Err(ServiceError::Denied));
    put(What::HostCall { call: Some(call), host_call: denied });
    put(What::FrameOut { call, index: 0, emitted: false, frame: Frame::data(text.to_owned()) });
    put(What::CallEnded {
        call,
        outcome: Outcome::Failed { code: 1, message: text.to_owned() },
        timing: Timing::default(),
        bytes_in: 1,
        bytes_out: 1,
        frames_out: 1,
        memory: None,
    });
    writer.finish().unwrap();
}

#[test]
fn texts_of_strangers_are_bounded_and_inert() {
    // More than any window shows; what is laid out of a text has at most 8 KiB, escaped.
    const MOST: usize = 64 << 10;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.mcap");
    hostile(&path, &"\u{202e}\u{1b}[31mx\u{7}".repeat(64 << 10));
    let mut window = open(&[path.clone(), path]);
    wait(&mut window, "it is compared", |window| app(window).view().diff().is_some());
    execute(&mut window, Command::Notify(Level::Error, "\u{1b}y".repeat(1 << 20)));
    let tabs = [DrawerTab::Log, DrawerTab::Problems, DrawerTab::Denied, DrawerTab::Reloads];
    for panel in PANELS {
        for tab in tabs {
            window.state_mut().as_mut().unwrap().show_panel(panel.id);
            window.state_mut().as_mut().unwrap().show_drawer(tab);
            for key in [None, Some(Key::ArrowDown), Some(Key::E)] {
                key.into_iter().for_each(|key| window.key_press(key));
                window.step();
                window.step();
                for node in window.query_all(By::new()) {
                    let node = node.accesskit_node();
                    for text in [node.label(), node.value()].into_iter().flatten() {
                        let start: String = text.chars().take(40).collect();
                        let place = format!("{start:?} in {} and {tab:?}", panel.title);
                        assert!(text.len() <= MOST, "{} bytes: {place}", text.len());
                        let acts = |c: char| matches!(c, '\u{202e}' | '\u{1b}' | '\u{7}');
                        assert!(!text.contains(acts), "{place}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_lists_of_runs_name_what_was_compared() {
    let folder = tempfile::tempdir().unwrap();
    let line = |payload: &str| format!("{{\"plugin\": \"echo\", \"payload\": \"{payload}\"}}\n");
    let files = ["a", "b", "c"].map(|name| {
        let path = folder.path().join(format!("{name}.ndjson"));
        std::fs::write(&path, line(name)).unwrap();
        path
    });
    let mut window = open(&files);
    window.state_mut().as_mut().unwrap().show_panel(PanelId::Diff);
    let chosen = |window: &mut Window, label: &str| {
        window.step();
        let list = window.get_by_role_and_label(egui::accesskit::Role::ComboBox, label);
        list.value().unwrap_or_default()
    };
    let ids: Vec<_> = app(&window).view().traces().iter().map(|trace| trace.id).collect();
    for (before, after) in [(1, 2), (2, 0), (0, 1)] {
        let options = glovebox_inspector::diff::DiffOptions::default();
        let (before, after) = (ids[before], ids[after]);
        let name = |window: &Window, id| app(window).view().trace(id).unwrap().name.clone();
        let expected = [before, after].map(|id| name(&window, id));
        execute(&mut window, Command::Diff { before, after, options });
        wait(&mut window, "it is compared", |window| {
            app(window).view().diff().is_some_and(|(_, diff)| diff.before.name == expected[0])
        });
        let found = ["First run", "Second run"].map(|label| chosen(&mut window, label));
        assert_eq!(found, expected);
    }
    // A baseline file is named as well, though it is no trace.
    let baseline = folder.path().join("kept.txt");
    window.state_mut().as_mut().unwrap().save_baseline(baseline.clone());
    wait(&mut window, "it is written", |window| !app(window).view().is_busy());
    execute(&mut window, Command::Start { files: vec![baseline] });
    wait(&mut window, "it is open", |window| app(window).view().accepted().is_some());
    execute(&mut window, Command::CompareWithBaseline(ids[2]));
    wait(&mut window, "it is compared", |window| {
        app(window).view().diff().is_some_and(|(_, diff)| diff.before.name.contains("kept.txt"))
    });
    // Traces that are opened together come in any order.
    let after = app(&window).view().trace(ids[2]).unwrap().name.clone();
    let names = app(&window).view().diff().map(|(_, diff)| diff.before.name.clone()).unwrap();
    assert_eq!(chosen(&mut window, "First run"), names);
    assert_eq!(chosen(&mut window, "Second run"), after);
}

#[test]
fn two_instances_of_one_id_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.wasm");
    std::fs::copy(sample("echo.wasm"), &other).unwrap();
    let mut window = open(&[sample("echo.wasm"), other]);
    let named = |file: &str, window: &Window| {
        let plugins = app(window).view().plugins();
        let is_it = |path: &std::path::Path| path.ends_with(file);
        plugins.iter().find(|plugin| plugin.path().is_some_and(is_it)).unwrap().clone()
    };
    for (file, rest) in [("echo.wasm", "other.wasm"), ("other.wasm", "echo.wasm")] {
        // The selected one is sent to, and counts.
        window.get_by_label_contains(&format!("echo · {file} ")).click();
        window.step();
        window.step();
        let before = named(rest, &window).latency.count();
        let sent = app(&window).view().sent().len();
        window.key_press_modifiers(Modifiers::COMMAND, Key::Num4);
        window.step();
        window.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
        wait(&mut window, "it is sent", |window| app(window).view().sent().len() > sent);
        let target = app(&window).view().sent().back().unwrap().instance;
        assert_eq!(target, named(file, &window).instance, "{file}");
        assert_eq!(named(rest, &window).latency.count(), before, "{file}");
        assert_eq!(named(file, &window).latency.count(), 1, "{file}");
        run(&mut window, true, file);
        run(&mut window, false, "unload");
        shows(&mut window, &format!("Unload echo · {file}?"));
        window.key_press(Key::Escape);
        window.step();
        window.step();
    }
}

#[test]
fn a_plugin_whose_calls_fail_does_not_look_well() {
    let mut window = open(&[sample("misbehave.wasm")]);
    let target = app(&window).view().plugins()[0].instance;
    let frame = Frame::data("mode=fail");
    let request = SendRequest { target, frame, payload_file: None, times: 4 };
    execute(&mut window, Command::Send(request));
    wait(&mut window, "it was called", |window| {
        app(window).view().plugins()[0].stats.errors == 4 && !app(window).view().is_busy()
    });
    let stats = app(&window).view().plugins()[0].stats;
    shows(&mut window, &format!("{} of {} failed · ready", stats.errors, stats.processed));
    let reason =
        format!("{} of {} calls of generation 1 did not complete", stats.errors, stats.processed);
    shows(&mut window, &reason);
}
