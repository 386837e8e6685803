//! Two compilers: a quick one to begin with, and the optimising one, whose code takes over.

use std::time::{Duration, Instant};

use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::{NoteKind, ReloadCause, What};
use glovebox_host::{CompiledBy, Compiler, LoadRequest, Precaution};
use glovebox_tests::{Bench, patiently};

use crate::cli::Folder;

/// A host with a cache of its own in a folder.
fn bench(folder: &tempfile::TempDir) -> Bench {
    Bench::with(|builder| builder.cache_folder(folder.path().join("cache")))
}

#[test]
fn both_compilers_give_the_same_answers() {
    let check = |name: &str, choice: Compiler, expected: CompiledBy| {
        let folder = tempfile::tempdir().unwrap();
        let answers = [Precaution::CompiledOutside, Precaution::FromCache].map(|precaution| {
            let bench = bench(&folder);
            let id = bench.host.load(patiently(name).compiler(choice)).wait().unwrap();
            let status = bench.host.plugin(id).unwrap();
            assert_eq!(status.compiler, Some(expected.clone()), "{name}");
            if cfg!(target_os = "linux") {
                assert_eq!(status.precaution, precaution, "{name}");
            }
            bench.host.call(id, &Frame::data("mail ada@example.org")).frames
        });
        assert_eq!(answers[0], answers[1], "{name}");
        answers[0].clone()
    };
    for name in ["redact.wasm", "redact.frame-abi.wasm"] {
        let best = check(name, Compiler::Optimising, CompiledBy::Optimising);
        assert_eq!(best, check(name, Compiler::Auto, CompiledBy::Optimising), "{name} is small");
        assert_eq!(best, check(name, Compiler::Quick, CompiledBy::Quick), "{name}");
    }
}

/// The better code takes over between two calls, with the state, and no frame is lost.
#[test]
fn better_code_takes_over_with_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder);
    let request = patiently("stats.wasm").compiler(Compiler::QuickFirst);
    let id = bench.host.load(request).wait().unwrap();
    let compiler = || bench.host.plugin(id).unwrap().compiler;
    let end = Instant::now() + Duration::from_secs(300);
    let mut sent = 0;
    while compiler() != Some(CompiledBy::Optimising) || sent < 10 {
        assert!(bench.host.call(id, &Frame::data("x")).outcome.is_completed());
        sent += 1;
        assert!(Instant::now() < end, "the code takes over within five minutes");
    }
    let status = bench.host.plugin(id).unwrap();
    assert_eq!((status.generation, status.kept.len()), (2, 0), "nothing to go back to");
    let question = Frame::new(Kind::CONTROL, Header::build().finish(), "report");
    let report = bench.ask_frame(id, &question);
    assert!(report.contains(&format!("\"frames\":{sent}")), "{report} after {sent}");
    let is_it =
        |what: &What| matches!(what, What::Reloaded { cause: ReloadCause::Optimised, from: 1, .. });
    assert!(bench.events.events().iter().any(|event| is_it(&event.what)));
    // The next start has it at once.
    let again = bench_of(&folder, Compiler::QuickFirst);
    assert_eq!(again, Some(CompiledBy::Optimising));
}

/// A plugin that gives no state may have one all the same: it goes on as it is, and says so.
#[test]
fn a_plugin_without_a_state_keeps_its_code_until_its_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(&folder);
    let request = patiently("redact.wasm").compiler(Compiler::QuickFirst);
    let id = bench.host.load(request).wait().unwrap();
    let end = Instant::now() + Duration::from_secs(300);
    while bench.host.plugin(id).unwrap().compiler != Some(CompiledBy::Quick) {
        assert!(Instant::now() < end, "it is decided within five minutes");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let status = bench.host.plugin(id).unwrap();
    assert_eq!(status.generation, 1);
    let is_said = |what: &What| match what {
        What::Note { kind: NoteKind::Code, text } => text.contains("it gives no state"),
        _ => false,
    };
    let is_said = || bench.events.events().iter().any(|event| is_said(&event.what));
    while !is_said() {
        assert!(Instant::now() < end, "it is said");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let again = Bench::with(|builder| builder.cache_folder(folder.path().join("cache")));
    let request = patiently("redact.wasm").compiler(Compiler::QuickFirst);
    let id = again.host.load(request).wait().unwrap();
    assert_eq!(again.host.plugin(id).unwrap().compiler, Some(CompiledBy::Optimising));
}

fn bench_of(folder: &tempfile::TempDir, compiler: Compiler) -> Option<CompiledBy> {
    let bench = bench(folder);
    let id = bench.host.load(patiently("stats.wasm").compiler(compiler)).wait().unwrap();
    bench.host.plugin(id).unwrap().compiler
}

/// A module that the quick compiler does not take: the other one does, and says why.
#[test]
fn the_quick_compiler_may_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let module = wat::parse_str(
        "(module (memory (export \"memory\") 1) (func (export \"glovebox_abi_0_1\")) \
         (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 8) \
         (func $none (param i32) (result i64) i64.const 0) \
         (func (export \"glovebox_process\") (param i32) (result i64) \
           local.get 0 return_call $none))",
    );
    let module = module.unwrap();
    for choice in [Compiler::Quick, Compiler::QuickFirst] {
        let bench = bench(&folder);
        let request = LoadRequest::bytes("tail.wasm", module.clone()).compiler(choice);
        let id = bench.host.load(request).wait().unwrap();
        let status = bench.host.plugin(id).unwrap();
        match status.compiler {
            Some(CompiledBy::OptimisingInstead { reason }) => {
                assert!(reason.contains("tail calls"), "{reason}");
            }
            Some(CompiledBy::Optimising) => assert_eq!(status.precaution, Precaution::FromCache),
            other => panic!("{other:?}"),
        }
        assert!(bench.host.call(id, &Frame::data("x")).outcome.is_completed());
    }
}

#[test]
fn the_compiler_is_chosen_by_option_and_manifest() {
    let folder = Folder::new();
    let check = |arguments: &[&str], expected: &str| {
        let shown = folder.run(&[&["inspect"], arguments].concat());
        let shown = String::from_utf8_lossy(&shown.stdout);
        let expected = format!("compiler  {expected}");
        let lines =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("  "));
        assert!(lines.into_iter().any(|line| line == expected), "{shown}\n{expected}");
    };
    let redact = glovebox_tests::sample("redact.wasm");
    let redact = redact.to_str().unwrap();
    check(&[redact], "optimising");
    check(&[redact, "--compiler", "quick"], "quick");
    folder.write("redact.wasm", std::fs::read(redact).unwrap());
    let manifest = "[plugin]\nid = \"redact\"\n[artifact]\nwasm = \"redact.wasm\"\n";
    folder.write("plugin.toml", format!("{manifest}[runtime]\ncompiler = \"quick\"\n"));
    check(&["."], "quick");
    let usage = folder.run(&["inspect", ".", "--compiler", "fast"]);
    let said = String::from_utf8_lossy(&usage.stderr);
    assert!(said.contains("invalid value 'fast'") && said.contains("`quick-first`"), "{said}");
    folder.write("plugin.toml", format!("{manifest}[runtime]\ncompiler = \"fast\"\n"));
    folder.refused(&["inspect", "."], 3, "unknown variant `fast`", "");
}
