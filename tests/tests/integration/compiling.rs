//! Compiling takes its time: how long it may take, who says so, and how to end it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use glovebox::workbench::Command;
use glovebox_host::LoadRequest;
use glovebox_tests::Bench;

use crate::cli::Folder;
use crate::window::{app, open, shows, wait};

/// Many locals in many loops: valid, small, and quadratic for the register allocator.
fn bomb() -> Vec<u8> {
    let (locals, depth) = (1500, 150);
    let steps: String = (0..locals - 1)
        .map(|i| format!("local.get {i} local.get {} i64.add local.set {i} ", i + 1))
        .collect();
    let body: String = (0..depth).map(|_| format!("loop {steps}")).collect();
    let wat = format!(
        "(module (memory (export \"memory\") 1) (func (export \"glovebox_abi_0_1\")) \
         (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 8) \
         (func (export \"glovebox_process\") (param i32) (result i64) i64.const 0) \
         (func (local {}) {body} {}))",
        "i64 ".repeat(locals),
        "end ".repeat(depth)
    );
    wat::parse_str(wat).unwrap()
}

#[test]
fn a_compile_bomb_is_stopped_at_the_deadline_that_counts() {
    let millis = Duration::from_millis;
    let check = |manifest: &str, host: Option<Duration>, load: Option<Duration>, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bomb.wasm"), bomb()).unwrap();
        let manifest = format!(
            "[plugin]\nid = \"bomb\"\n[artifact]\nwasm = \"bomb.wasm\"\n[runtime]\n{manifest}"
        );
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let bench = Bench::with(|builder| match host {
            Some(deadline) => builder.compile_deadline(deadline),
            None => builder,
        });
        let mut request = LoadRequest::path(folder.path());
        if let Some(deadline) = load {
            request = request.compile_deadline(deadline);
        }
        let error = bench.host.load(request).wait().unwrap_err().to_string();
        let expected = format!("compile: compiling took longer than {expected} for ");
        assert!(error.starts_with(&expected), "{error}\n{expected}");
        let compiles = bench.host.compiles();
        assert!(compiles.iter().all(|compile| compile.given_up), "{compiles:?}");
    };
    check("compile-deadline = \"90 ms\"", None, None, "90 ms");
    check("", Some(millis(91)), None, "91 ms");
    check("compile-deadline = \"5 min\"", Some(millis(92)), None, "92 ms");
    check("compile-deadline = \"5 min\"", Some(millis(500)), Some(millis(93)), "93 ms");
}

#[test]
fn a_verb_gives_the_compiler_as_long_as_it_is_told() {
    let folder = Folder::new();
    folder.write("bomb.wasm", bomb());
    let remedy = "allow more time with --compile-deadline or `compile-deadline` under [runtime]";
    let check = |arguments: &[&str]| {
        let arguments = [arguments, &["--compile-deadline", "80ms"]].concat();
        let refused = "load plugin: compile: compiling took longer than 80 ms for ";
        folder.refused(&arguments, 3, refused, remedy);
    };
    check(&["call", "bomb.wasm"]);
    folder.write("in.ndjson", r#"{"plugin":"bomb","payload":"x"}"#);
    folder.run(&["trace", "import", "in.ndjson", "-o", "in.mcap"]);
    check(&["replay", "in.mcap", "--plugin", "bomb.wasm"]);
}

#[test]
fn the_window_says_what_is_compiled_and_can_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("bomb.wasm");
    fs::write(&path, bomb()).unwrap();
    let mut window = open(&[]);
    window.state_mut().as_mut().unwrap().workbench_mut().execute(Command::Load(path));
    shows(&mut window, "compiling bomb.wasm, ");
    shows(&mut window, " s of ");
    window.state_mut().as_mut().unwrap().workbench_mut().execute(Command::CancelAll);
    wait(&mut window, "it is given up", |window| {
        !app(window).view().is_busy() && app(window).view().loads_failed() == 1
    });
    shows(&mut window, "compiling was cancelled after");
}

#[test]
fn the_window_can_be_told_how_long_compiling_may_take() {
    let mut window = open(&[]);
    assert_eq!(app(&window).view().compile_deadline(), None);
    let mut check = |label: &str, expected: Option<Duration>| {
        window.key_press_modifiers(Modifiers::COMMAND, Key::K);
        window.step();
        window.event(egui::Event::Text("time for compiling".to_owned()));
        shows(&mut window, "Time for compiling…");
        window.key_press(Key::Enter);
        shows(&mut window, "How long");
        window.get_by_label(label).click();
        window.step();
        window.get_by_label("Set").click();
        wait(&mut window, "it is set", |window| app(window).view().compile_deadline() == expected);
    };
    check("5 min", Some(Duration::from_secs(300)));
    check("by size", None);
}
