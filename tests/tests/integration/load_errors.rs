//! Every damaged file gives one sentence with its stage and a remedy.

use std::fs;

use glovebox_host::LoadRequest;
use glovebox_tests::{Bench, sample};

/// Writes `bytes` as `name`, loads it, and looks at the error.
#[track_caller]
fn check(name: &str, bytes: &[u8], stage: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let bench = Bench::new();
    let request = LoadRequest::path(&path).trust_native(true);
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
    check("a.wasm", b"\x1F\x8B\x08\0", "sniff", "a gzip archive, not a plugin; unpack it first");
    check("a.wasm", b"hello", "sniff", "a text file");
    check("a.wasm", &[0xFF; 64], "sniff", "a file of unknown kind");
    check("a.wasm", b"\0asm\x07\0\0\0", "sniff", "unknown version or cut short");
    check("a.mcap", b"\x89MCAP0\r\n", "sniff", "open it as a trace");
    check("a.wat", b"(module (func $x", "sniff", "the WebAssembly text is damaged");
}

#[test]
fn modules_that_do_not_fit() {
    let wat = |text: String| wat::parse_str(text).unwrap();
    check("a.wasm", &wat("(module)".into()), "link", "missing export `glovebox_abi_0_1`");
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
        &wat(format!("(module {MARKER} {ABI} (memory $b i64 1))")),
        "compile",
        "the module uses memory64 and multiple memories, which is off",
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

#[test]
fn every_prefix_of_a_component_is_refused() {
    let whole = fs::read(sample("echo.wasm")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wasm");
    let bench = Bench::new();
    for length in (0..whole.len()).step_by(whole.len() / 150) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = bench.host.load(LoadRequest::path(&path)).wait().unwrap_err().to_string();
        assert!(error.contains("; "), "{length}: {error}");
    }
}

#[test]
fn damaged_libraries_are_refused_before_they_are_opened() {
    let cc = |folder: &std::path::Path| {
        let (source, library) = (folder.join("a.c"), folder.join("a.so"));
        fs::write(&source, "int x = 5; const void *glovebox_plugin_0_1(void) { return 0; }")
            .unwrap();
        let mut command = std::process::Command::new("cc");
        command.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        assert!(command.status().unwrap().success());
        fs::read(library).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let whole = cc(folder.path());
    let path = folder.path().join("cut.so");
    let bench = Bench::new();
    for length in (4..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        let request = LoadRequest::path(&path).trust_native(true);
        let error = bench.host.load(request).wait().unwrap_err();
        assert_eq!(error.stage().to_string(), "sniff", "{length}: {error}");
    }
    check("null.so", &whole, "link", "which returned null");
    let mut other = whole.clone();
    other[18] = 0xB7;
    other[19] = 0;
    check("arm.so", &other, "sniff", "built for");
    let renamed = String::from_utf8_lossy(&whole).contains("glovebox_plugin_0_1");
    assert!(renamed);
    let position = whole.windows(19).position(|window| window == b"glovebox_plugin_0_1").unwrap();
    let mut version = whole.clone();
    version[position + 16] = b'9';
    check("version.so", &version, "sniff", "built for version 9.1");
}

#[test]
fn untrusted_libraries_are_refused() {
    let bench = Bench::new();
    let library = std::env::current_exe().unwrap();
    let error = bench.host.load(LoadRequest::path(library)).wait().unwrap_err().to_string();
    assert!(error.contains("missing export `glovebox_plugin_0_1`"), "{error}");
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
