//! Compiling: where, its deadline and its memory, the sources of both, and its cancellation.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use glovebox::workbench::Command;
use glovebox_abi::Frame;
use glovebox_host::{CompilePlace, LoadRequest, Precaution};
use glovebox_tests::alone::{alone, resident};
use glovebox_tests::{Bench, patiently};

use crate::cli::Folder;
use crate::window::{app, open, shows, wait};

/// Many locals in many loops: valid, small, and quadratic for the register allocator. The quick compiler,
/// which has none, does not take its tail call.
fn bomb() -> Vec<u8> {
    let (locals, depth) = (1500, 450);
    let steps: String = (0..locals - 1)
        .map(|i| format!("local.get {i} local.get {} i64.add local.set {i} ", i + 1))
        .collect();
    let body: String = (0..depth).map(|_| format!("loop {steps}")).collect();
    let wat = format!(
        "(module (memory (export \"memory\") 1) (func (export \"glovebox_abi_0_1\")) \
         (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 8) \
         (func (export \"glovebox_process\") (param i32) (result i64) i64.const 0) \
         (func $again return_call $again) (func (local {}) {body} {}))",
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

/// Many calls in one function: valid, and each takes the compiler some 2 KB.
fn bomb_of_memory() -> Vec<u8> {
    let wat = format!(
        "(module (memory (export \"memory\") 1) (func (export \"glovebox_abi_0_1\")) \
         (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 8) \
         (func (export \"glovebox_process\") (param i32) (result i64) i64.const 0) \
         (func $same (param i32) (result i32) local.get 0) \
         (func (result i32) i32.const 0 {}))",
        "call $same ".repeat(300_000)
    );
    wat::parse_str(wat).unwrap()
}

/// The processes that this one started and that have not ended.
fn children() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    children.flatten().map(|list| list.split_whitespace().count()).sum()
}

/// Waits for something that comes soon, and says so if it does not.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} within a minute");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_compile_that_is_given_up_has_no_process_any_more() {
    alone("compiling::a_compile_that_is_given_up_has_no_process_any_more", || {
        let bench = Bench::new();
        let load = |deadline| {
            let request = LoadRequest::bytes("bomb.wasm", bomb()).compile_deadline(deadline);
            bench.host.load(request)
        };
        let gone = || (bench.host.compiles().is_empty() && children() == 0).then_some(());
        // Both wait until it has its process, and ends none that is still on its way.
        let late = load(Duration::from_secs(2)).wait().unwrap_err().to_string();
        assert!(
            late.contains("took longer than 2 s for ") && !late.contains("background"),
            "{late}"
        );
        wait_for("the late one ends", gone);
        let task = load(Duration::from_secs(600));
        let compile = wait_for("its process starts", || {
            bench.host.compiles().into_iter().find(|compile| compile.memory.is_some())
        });
        assert!(compile.to_string().ends_with("iB"), "{compile}");
        assert!(bench.host.cancel_compile(compile.id));
        let cancelled = task.wait().unwrap_err().to_string();
        assert!(cancelled.contains("compiling was cancelled after "), "{cancelled}");
        assert!(cancelled.contains("; load it again: "), "{cancelled}");
        wait_for("the cancelled one ends", gone);
        let task = load(Duration::from_secs(600));
        wait_for("its process starts", || (children() > 0).then_some(()));
        bench.host.shut_down(Duration::ZERO).wait();
        assert!(task.wait().is_err());
        wait_for("those of a host that ends are ended", || (children() == 0).then_some(()));
    });
}

/// Bytes of memory that the compiler may have in the tests of that.
const MEMORY: u64 = 128 << 20;

#[cfg(target_os = "linux")]
#[test]
fn a_bomb_of_memory_is_refused_and_grows_nothing_here() {
    alone("compiling::a_bomb_of_memory_is_refused_and_grows_nothing_here", || {
        let bench = Bench::new();
        let before = resident().unwrap();
        let request = LoadRequest::bytes("bomb.wasm", bomb_of_memory()).compile_memory(MEMORY);
        let task = bench.host.load(request.compile_deadline(Duration::from_secs(600)));
        let error = task.wait().unwrap_err().to_string();
        let expected = "compile: the compiler needed more than 128 MiB of memory for ";
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains("; allow more memory with --compile-memory or "), "{error}");
        let grown = resident().unwrap().saturating_sub(before);
        assert!(grown < MEMORY / 2, "this process grew by {grown} bytes");
    });
}

/// The test above would find nothing if the bomb were none.
#[cfg(target_os = "linux")]
#[test]
fn without_its_cap_the_bomb_takes_more_memory() {
    let bench = Bench::new();
    let request = LoadRequest::bytes("bomb.wasm", bomb_of_memory()).compile_memory(u64::MAX);
    let task = bench.host.load(request.compile_deadline(Duration::from_secs(600)));
    let compile = wait_for("it takes more", || {
        let mut compiles = bench.host.compiles().into_iter();
        compiles.find(|compile| compile.memory.is_some_and(|memory| memory > MEMORY))
    });
    bench.host.cancel_compile(compile.id);
    assert!(task.wait().is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_that_counts_is_that_of_the_request_then_the_host_then_the_manifest() {
    let check = |manifest: &str, host: Option<u64>, load: Option<u64>, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bomb.wasm"), bomb_of_memory()).unwrap();
        let manifest = format!(
            "[plugin]\nid = \"bomb\"\n[artifact]\nwasm = \"bomb.wasm\"\n[runtime]\n\
             compile-deadline = \"10 min\"\n{manifest}"
        );
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let bench = Bench::with(|builder| match host {
            Some(memory) => builder.compile_memory(memory),
            None => builder,
        });
        let mut request = LoadRequest::path(folder.path());
        if let Some(memory) = load {
            request = request.compile_memory(memory);
        }
        let error = bench.host.load(request).wait().unwrap_err().to_string();
        assert!(error.contains(expected), "{error} does not say {expected}");
    };
    let mib = |count: u64| count << 20;
    let needed = |count: u64| format!("needed more than {count} MiB of memory for ");
    check("compile-memory = \"66 MiB\"", None, None, &needed(66));
    check("", Some(mib(67)), None, &needed(67));
    check("compile-memory = \"1 GiB\"", Some(mib(68)), None, &needed(68));
    check("compile-memory = \"1 GiB\"", Some(mib(900)), Some(mib(69)), &needed(69));
    check("compile-memory = \"1 MiB\"", None, None, "must be 64 MiB at least");
    check("", None, Some(mib(1)), "the compiler cannot work in 1 MiB of memory, it needs 64 MiB");
}

#[test]
fn code_is_the_same_wherever_it_was_compiled() {
    let check = |name: &str| {
        let made = |place: CompilePlace| {
            let folder = tempfile::tempdir().unwrap();
            let bench = Bench::with(|builder| {
                builder.cache_folder(folder.path().join("cache")).compile_place(place)
            });
            let id = bench.host.load(patiently(name)).wait().unwrap();
            let precaution = bench.host.plugin(id).unwrap().precaution;
            let reply = bench.host.call(id, &Frame::data("mail ada@example.org")).frames;
            let mut entries = fs::read_dir(folder.path().join("cache")).unwrap();
            let entry = entries.next().unwrap().unwrap();
            (precaution, reply, entry.file_name(), fs::read(entry.path()).unwrap())
        };
        let here = made(CompilePlace::ThisProcess);
        let reason = "the application wants it".to_owned();
        assert_eq!(here.0, Precaution::CompiledHere { reason });
        if cfg!(target_os = "linux") {
            let outside = made(CompilePlace::Process);
            assert_eq!(outside.0, Precaution::CompiledOutside);
            assert_eq!((outside.1, outside.2), (here.1, here.2), "{name}");
            assert!(outside.3 == here.3, "{name}: the cache has other code");
        }
    };
    check("redact.wasm");
    check("redact.frame-abi.wasm");
}

#[test]
fn a_verb_gives_the_compiler_as_long_as_it_is_told() {
    let folder = Folder::new();
    folder.write("bomb.wasm", bomb_of_memory());
    let check = |arguments: &[&str]| {
        let late = [arguments, &["--compile-deadline", "80ms"]].concat();
        let refused = "load plugin: compile: compiling took longer than 80 ms for ";
        let remedy =
            "allow more time with --compile-deadline or `compile-deadline` under [runtime]";
        folder.refused(&late, 3, refused, remedy);
        let large = ["--compile-memory", "65MiB", "--compile-deadline", "10min"];
        let large = [arguments, &large].concat();
        let refused = "load plugin: compile: the compiler needed more than 65 MiB of memory for ";
        let remedy = "allow more memory with --compile-memory or `compile-memory` under [runtime]";
        folder.refused(&large, 3, refused, remedy);
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
    let workbench = window.state_mut().as_mut().unwrap().workbench_mut();
    // It is stopped, and not over by itself before.
    workbench.execute(Command::SetCompileDeadline(Some(Duration::from_secs(300))));
    workbench.execute(Command::Load(path));
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

#[test]
fn the_window_can_be_told_how_much_memory_compiling_may_take() {
    let mut window = open(&[]);
    assert_eq!(app(&window).view().compile_memory(), None);
    let mut check = |label: &str, expected: Option<u64>| {
        window.key_press_modifiers(Modifiers::COMMAND, Key::K);
        window.step();
        window.event(egui::Event::Text("memory for compiling".to_owned()));
        shows(&mut window, "Memory for compiling…");
        window.key_press(Key::Enter);
        shows(&mut window, "How much");
        window.get_by_label(label).click();
        window.step();
        window.get_by_label("Set").click();
        wait(&mut window, "it is set", |window| app(window).view().compile_memory() == expected);
    };
    check("4 GiB", Some(4 << 30));
    check("by size", None);
}
