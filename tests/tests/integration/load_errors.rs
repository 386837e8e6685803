//! Every damaged file gives one sentence with its stage and a remedy.

use std::fs;

use glovebox_host::LoadRequest;
use glovebox_tests::{Bench, root, sample};

/// Writes `bytes` as `name`, loads it, and looks at the error.
#[track_caller]
fn check(name: &str, bytes: &[u8], stage: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let bench = Bench::new();
    let request = LoadRequest::path(&path).trust_native();
    let error = bench.host.load(request).wait().unwrap_err();
    let sentence = error.to_string();
    assert_eq!(error.stage().to_string(), stage, "{sentence}");
    assert!(sentence.contains(expected), "{sentence:?} does not say {expected:?}");
    assert!(sentence.contains("; ") && !error.remedy().is_empty(), "no remedy: {sentence}");
    assert!(sentence.contains(name), "no file: {sentence}");
    assert!(!sentence.contains('\n'), "more than one line: {sentence}");
    assert_eq!(bench.host.plugins().len(), 0);
}

const ABI: &str = "(memory (export \"memory\") 1)
    (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 1024)
    (func (export \"glovebox_process\") (param i32) (result i64) i64.const 0)";
const MARKER: &str = "(func (export \"glovebox_abi_0_1\"))";

#[test]
fn files_of_the_wrong_kind() {
    check("a.wasm", b"", "sniff", "this is an empty file");
    check("a.wasm", b"\x1F\x8B\x08\0", "sniff", "packed with gzip, not a plugin; unpack it with");
    check("a.wasm", b"hello", "sniff", "a text file");
    check("a.wasm", &[0xFF; 64], "sniff", "a file of unknown kind");
    check("a.wasm", b"version https://git-lfs.github.com/spec/v1\n", "sniff", "`git lfs pull`");
    check("a.wasm", b"<!doctype html>", "sniff", "a page in HTML, not a plugin; download the file");
    check("a.cwasm", b"\x7FELF\x02\x01\x01\xC8", "sniff", "name the .wasm that it was made of");
    check("a.wasm", b"\0asm\x07\0\0\0", "sniff", "unknown version or cut short");
    check("a.mcap", b"\x89MCAP0\r\n", "sniff", "open it as a trace");
    check(
        "a.wat",
        b"(module (func $x",
        "sniff",
        "the WebAssembly text is wrong in line 1, column 17",
    );
    check("a.wat", b"\xEF\xBB\xBF(module\n  (fun))", "sniff", "wrong in line 2, column 4");
    check("a.wat", b"(module (func call $x))", "sniff", "`$x`");
    check("a.wat", b"(module\n(func call $x))", "sniff", "; correct it there");
    check("a.wat", b"\xEF\xBB\xBF(module)", "link", "missing export");
    check(
        "a.wasm",
        &[0; 4096],
        "sniff",
        "a file that begins with zeros, not a plugin; copy or make",
    );
    check("a.wasm", b"\0as", "sniff", "or cut short, not a plugin; copy or make");
    check("a.wasm", b"II*\0", "sniff", "a file of unknown kind");
}

/// Limits of the engine matter only to components that were made for Glovebox.
#[test]
fn components_of_other_worlds_are_told_what_glovebox_needs() {
    let exports = r#"
        (type (instance (export "m" (func (param "x" string) (result string)))))
        (import "b1" (instance (type 0)))
        (alias export 0 "m" (func))
        (export "m1" (func 0))"#;
    let component = |more: &str| format!("(component {exports} {more})").into_bytes();
    let needed = "Glovebox runs components of the world `glovebox:plugin`";
    check("a.wat", &component(""), "compile", needed);
    check("a.wat", &component(""), "compile", "the component is no plugin of Glovebox");
    let own = "(import \"glovebox:plugin/host@0.1.0\" (instance))";
    check("a.wat", &component(own), "compile", "leave out what the reason names");
}

/// Opening one would wait until somebody writes into it.
#[test]
#[cfg(unix)]
fn pipes_are_refused() {
    use std::path::Path;
    use std::process::Command;
    use std::sync::atomic::AtomicBool;

    use glovebox_catalog::{Catalog, ScanBounds};
    use glovebox_trace::{TraceIndex, TraceReader};

    #[track_caller]
    fn check(name: &str, open: impl FnOnce(&Path) -> String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        // A reader that opens it after all goes on, and says something else.
        let mut writer =
            Command::new("sh").arg("-c").arg("echo > \"$0\"").arg(&path).spawn().unwrap();
        let sentence = open(&path);
        let _ = writer.kill();
        writer.wait().unwrap();
        // Traces are opened by a reader of their own.
        let is_refused =
            sentence.contains("it is a pipe, not a file") || sentence.contains("it is a pipe or a");
        assert!(is_refused, "{sentence}");
        assert!(sentence.contains(name), "no file: {sentence}");
    }
    check("a.wasm", |path| {
        Bench::new().host.load(LoadRequest::path(path)).wait().unwrap_err().to_string()
    });
    check("a.wasm", |path| {
        let catalog = Catalog::scan([path.parent().unwrap()], &ScanBounds::default());
        catalog.findings().map(ToString::to_string).collect()
    });
    check("a.mcap", |path| TraceReader::open(path).unwrap_err().to_string());
    check("a.mcap", |path| {
        TraceIndex::open(path, &mut |_, _| {}, &AtomicBool::new(false)).unwrap_err().to_string()
    });
}

#[test]
fn modules_that_do_not_fit() {
    let wat = |text: String| wat::parse_str(text).unwrap();
    check("a.wasm", &wat("(module)".into()), "link", "missing export `glovebox_abi_0_1`");
    // A feature that is off matters only to a plugin.
    let externref = "(module (func (param externref)))".into();
    check("a.wasm", &wat(externref), "link", "missing export `glovebox_abi_0_1`");
    check(
        "a.wasm",
        &wat(format!("(module {ABI} (func (export \"glovebox_abi_7_0\")))")),
        "link",
        "built for version 7.0 of the contract, this host has 0.1; build it with an SDK",
    );
    check(
        "a.wasm",
        &wat(format!("(module {MARKER} (memory (export \"memory\") 1))")),
        "link",
        "missing export `glovebox_buffer`, `glovebox_process`",
    );
    check(
        "a.wasm",
        &wat(format!("(module (import \"env\" \"magic\" (func)) {ABI} {MARKER})")),
        "link",
        "unknown import `env::magic`",
    );
    check("a.wasm", &wat("(component)".into()), "link", "missing export `glovebox:plugin/guest@");
    check(
        "a.wasm",
        &wat("(module (func (export \"glovebox:plugin/guest@0.1.0#process\")))".into()),
        "link",
        "this core module was built for the component world, and not made a component; run",
    );
    check(
        "a.wasm",
        &wat(format!("(module {MARKER} {})", ABI.replace("\"memory\") 1", "\"memory\") i64 1"))),
        "link",
        "an export does not fit: `memory` is a 64-bit memory, expected a 32-bit memory",
    );
    check(
        "a.wasm",
        &wat(format!("(module {MARKER} (memory (export \"memory\") 1 2 shared))")),
        "compile",
        "the module uses threads and shared memory, which is off",
    );
    check(
        "a.wasm",
        &wat(format!("(module {} {MARKER})", ABI.replace("\"memory\") 1", "\"memory\") 65536"))),
        "initialize",
        "limit exceeded: asked for 4 GiB of memory, limit 64 MiB",
    );
    check(
        "a.wasm",
        &wat(format!("(module {ABI} {MARKER} (func $s (loop br 0)) (start $s))")),
        "initialize",
        "timed out",
    );
}

/// Before anything is compiled: the functions are not even valid.
#[test]
fn files_of_other_hosts_are_named_for_what_they_are() {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let wasi = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))";
    check(
        "a.wasm",
        &wat(&format!("(module {wasi} (func (export \"_start\") i32.add))")),
        "sniff",
        "this is a WASI command, made for a shell: it runs once, from its start to its end, for which \
         Glovebox has no adapter; run it with `wasmtime run`",
    );
    check(
        "a.wasm",
        &wat("(module (import \"env\" \"opa_abort\" (func (param i32))) (func i32.add))"),
        "sniff",
        "this is an OPA policy, made for Open Policy Agent, for which Glovebox has no adapter; run it in \
         such a host",
    );
    check(
        "a.wasm",
        &wat("(component (instance $i) (export \"wasi:cli/run@0.2.3\" (instance $i)))"),
        "sniff",
        "this is a WASI command, ",
    );
    check("a.wasm", &wat("(module)"), "link", "what was made for another host does not run here");
    let mut resolve = wit_parser::Resolve::new();
    let folder = root().join("host/abi/wit/since_v0.1.0");
    let (package, _) = resolve.push_path(folder).unwrap();
    let package = wit_component::encode(&resolve, package).unwrap();
    check("a.wasm", &package, "sniff", "this is a WIT package, made for tools that make bindings");
}

#[test]
fn programs_are_refused() {
    let bench = Bench::new();
    let program = std::env::current_exe().unwrap();
    let error = bench.host.load(LoadRequest::path(program)).wait().unwrap_err().to_string();
    assert!(error.contains("this is a program, not a plugin"), "{error}");
}

#[test]
fn manifests_with_mistakes() {
    #[track_caller]
    fn check(manifest: &str, stage: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(sample("echo.wasm"), folder.path().join("echo.wasm")).unwrap();
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let bench = Bench::new();
        let error = bench.host.load(LoadRequest::path(folder.path())).wait().unwrap_err();
        assert_eq!(error.stage().to_string(), stage, "{error}");
        assert!(error.to_string().contains(expected), "{error} does not say {expected:?}");
    }
    check("[plugin]\nid = \"a\"", "read", "names neither `wasm` nor `native`");
    check("[plugin]\nid = \"a\"\n[artifact]\nwasm = \"no.wasm\"", "read", "no.wasm does not exist");
    check("[plugin]\nid = \"a\"\nnmae = \"x\"", "parse manifest", "did you mean `name`?");
    check("[plugin]\nid = \"a\"\n[limits]\nqueue = \"x\"", "parse manifest", "line 4");
    let good = "[plugin]\nid = \"a\"\n[artifact]\nwasm = \"echo.wasm\"\n";
    check(&format!("{good}[runtime]\ntier = \"native\""), "policy", "tier `native`");
    check(&format!("{good}[runtime]\nisolation = \"process\""), "policy", "isolation `process`");
    check(&format!("{good}[limits]\nmemory = \"64 KiB\""), "initialize", "raise `memory`");
}

#[test]
fn a_manifest_beside_counts_if_it_is_about_the_artifact() {
    #[track_caller]
    fn check(artifact: &str, manifest: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.wasm");
        fs::copy(sample(artifact), &path).unwrap();
        fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let found = match glovebox_host::inspect(&path) {
            Ok(inspection) => inspection.manifest.plugin.id,
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
    let about = |name: &str| format!("[plugin]\nid = \"beside\"\n[artifact]\nwasm = \"{name}\"\n");
    check("echo.wasm", &about("mine.wasm"), "beside");
    check("echo.wasm", &about("other.wasm"), "echo");
    check("echo.wasm", "[plugin]\nid = \"beside\"", "echo");
    check("echo.wasm", "[plugin\n", "echo");
    check("echo.wasm", &format!("{}wsam = 1", about("mine.wasm")), "did you mean `wasm`?");
}
