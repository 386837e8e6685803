//! Libraries that are damaged, built for another machine, or panic: the host tells before it opens
//! one, or survives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_abi::Manifest;
use glovebox_events::LoadStage;
use glovebox_host::{Isolation, LoadRequest, Precaution};
use glovebox_tests::alone::{alone, resident};
use glovebox_tests::{Bench, PATIENCE, native_sample, patient, root, sample};
use object::{Object, ObjectSection, ObjectSymbol};

/// Answers each frame with `ANSWER`. Its table can be made wrong, and it leaves something behind on
/// each thread that calls it.
const SOURCE: &str = r#"
#include <glovebox.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef ANSWER
#define ANSWER "1"
#endif
#ifndef TABLE_VERSION
#define TABLE_VERSION GLOVEBOX_ABI_VERSION
#endif
#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(struct glovebox_plugin)
#endif

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;
static _Thread_local char *left;

static void gone(void *block) { free(block); }

static void *create(const struct glovebox_host *host, struct glovebox_slice config,
                    const struct glovebox_output *out) {
    (void)host; (void)config; (void)out;
#ifdef NEVER_CALLED
    abort();
#endif
    return malloc(1);
}
#ifdef CONSTRUCTOR
__attribute__((constructor)) static void constructor(void) { CONSTRUCTOR; }
#endif
static uint32_t process(void *self, uint8_t kind, struct glovebox_slice header,
                        struct glovebox_slice payload, const struct glovebox_output *out) {
    (void)self; (void)payload;
    if (left == NULL) {
        left = malloc(1);
        __cxa_thread_atexit_impl(gone, left, &__dso_handle);
    }
    struct glovebox_slice answer = {(const uint8_t *)ANSWER, sizeof ANSWER - 1};
    out->frame(out->context, kind, header, answer);
    return 0;
}
static uint32_t health(void *self, const struct glovebox_output *out) {
    (void)self; (void)out; return 0;
}
static uint32_t save_state(void *self, const struct glovebox_output *out) {
    (void)self; (void)out; return 0;
}
static uint32_t restore_state(void *self, uint32_t version, struct glovebox_slice state,
                              const struct glovebox_output *out) {
    (void)self; (void)version; (void)state; (void)out; return 0;
}
static void destroy(void *self) { free(self); }

#ifndef SAVE_STATE
#define SAVE_STATE save_state
#endif
#ifndef SYMBOL
#define SYMBOL glovebox_plugin_0_1
#endif
__attribute__((visibility("default"))) const struct glovebox_plugin *SYMBOL(void) {
#ifdef NULL_TABLE
    return NULL;
#endif
    static const struct glovebox_plugin table = {
        TABLE_VERSION, TABLE_SIZE, create, process, health, SAVE_STATE, restore_state, destroy,
    };
    return &table;
}
"#;

/// Compiles [`SOURCE`] with more arguments for the compiler.
fn compile(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let (source, library) = (folder.join("plugin.c"), folder.join(name));
    fs::write(&source, SOURCE).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-I"])
        .arg(root().join("host/abi/include"))
        .args(arguments)
        .arg("-o")
        .arg(&library)
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

fn bytes_of(arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::read(compile(folder.path(), "plugin.so", arguments)).unwrap()
}

#[track_caller]
fn refused(bytes: &[u8], manifest: &str, expected: &str) {
    let bench = Bench::new();
    let error = bench.load_bytes("plugin.so", bytes, manifest).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error:?} does not start with {expected:?}");
    assert_eq!(bench.host.plugins().len(), 0);
}

/// Inspects these bytes without opening them.
fn look_at(path: &Path) -> Result<(), String> {
    glovebox_host::inspect(path).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_library_that_was_cut_is_refused_at_every_byte() {
    fn check(whole: &[u8], cuts: impl Iterator<Item = usize>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.so");
        fs::write(&path, whole).unwrap();
        assert_eq!(look_at(&path), Ok(()));
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        // From the end, so that the file need only be cut again.
        for length in cuts {
            file.set_len(length as u64).unwrap();
            let Err(error) = look_at(&path) else { panic!("cut at {length} of {}", whole.len()) };
            assert!(error.starts_with("sniff: "), "{length}: {error}");
        }
    }
    let small = bytes_of(&[]);
    check(&small, (0..small.len()).rev());
    let stripped = bytes_of(&["-s"]);
    check(&stripped, (0..stripped.len()).rev());
    // One from the Rust compiler: its last bytes, and others.
    let large = fs::read(native_sample("echo")).unwrap();
    let (end, step) = (large.len() - 200, large.len() / 200);
    check(&large, (end..large.len()).rev().chain((0..end).rev().step_by(step)));
}

#[test]
fn a_library_with_zeros_is_refused() {
    #[track_caller]
    fn check(bytes: &[u8], zeros: std::ops::Range<usize>, expected: &str) {
        let mut damaged = bytes.to_vec();
        damaged[zeros].fill(0);
        refused(&damaged, "", expected);
    }
    let small = bytes_of(&[]);
    let large = fs::read(native_sample("echo")).unwrap();
    for whole in [&small, &large] {
        // A copy that stopped: from any place to the end.
        for sixteenth in 1..16 {
            let from = whole.len() * sixteenth / 16;
            check(whole, from..whole.len(), "sniff: the shared library is damaged: ");
        }
    }
    // A hole in the code of the size of a page.
    let library = object::File::parse(&*large).unwrap();
    let (start, size) = library.section_by_name(".text").unwrap().file_range().unwrap();
    assert!(size > 3 * 4096, "{size}");
    let page = (start + size / 2) as usize;
    let expected = "sniff: the shared library is damaged: section .text: zeros at ";
    check(&large, page..page + 2 * 4096, expected);
    // The code of the one symbol, which is shorter than a page.
    let library = object::File::parse(&*small).unwrap();
    let symbol = library.dynamic_symbols().find(|s| s.name() == Ok("glovebox_plugin_0_1")).unwrap();
    let text = library.section_by_name(".text").unwrap();
    let (start, _) = text.file_range().unwrap();
    let at = (start + symbol.address() - text.address()) as usize;
    let expected = "sniff: the shared library is damaged: `glovebox_plugin_0_1` is zeros, not code";
    check(&small, at..at + symbol.size() as usize, expected);
}

#[test]
fn what_only_a_digest_can_tell_is_told_by_the_digest() {
    let whole = bytes_of(&["-DANSWER=\"intact\""]);
    let digest = |bytes: &[u8]| format!("digest = \"blake3:{}\"", blake3::hash(bytes).to_hex());
    let bench = Bench::new();
    let id = bench.load_bytes("plugin.so", &whole, &digest(&whole)).unwrap();
    assert_eq!(bench.ask(id, "?"), "intact");
    let other = format!("blake3:{}", "0".repeat(64));
    let list = format!("digest = [\"{other}\", {}]", &digest(&whole)["digest = ".len()..]);
    assert!(bench.load_bytes("plugin.so", &whole, &list).is_ok());
    // One letter of a constant: as good a library as before.
    let mut changed = whole.clone();
    let at = whole.windows(6).position(|bytes| bytes == b"intact").unwrap();
    changed[at..at + 6].copy_from_slice(b"in act");
    let id = bench.load_bytes("plugin.so", &changed, "").unwrap();
    assert_eq!(bench.ask(id, "?"), "in act", "without a digest nobody can tell");
    refused(
        &changed,
        &digest(&whole),
        &format!(
            "signature: the artifact has the digest blake3:{}, but its manifest says blake3:{}; \
             copy the artifact again, or write its digest under [artifact] in plugin.toml: ",
            blake3::hash(&changed).to_hex(),
            blake3::hash(&whole).to_hex()
        ),
    );
    // Before anything else is looked at.
    refused(b"", &digest(&whole), "signature: the artifact has the digest ");
}

#[test]
fn flipped_bytes_never_end_the_host() {
    let whole = bytes_of(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.so");
    // All of the headers, and a sample of the rest; whether it is told or not, looking is safe.
    for at in (0..512).chain((512..whole.len()).step_by(37)) {
        for bits in [0xFF, 0x80, 0x01] {
            let mut flipped = whole.clone();
            flipped[at] ^= bits;
            fs::write(&path, &flipped).unwrap();
            let _ = look_at(&path);
        }
    }
}

#[test]
fn a_library_for_something_else_is_refused_and_never_called() {
    let never = "-DNEVER_CALLED";
    let check = |arguments: &[&str], expected: &str| {
        refused(&bytes_of(&[&[never], arguments].concat()), "", expected);
    };
    check(
        &["-DTABLE_VERSION=0x00090000"],
        "link: built for version 9.0 of the contract, this host has 0.1; build it with an SDK",
    );
    check(&["-DTABLE_SIZE=24"], "link: the native table has 24 bytes, expected 56; ");
    check(&["-DNULL_TABLE"], "link: missing export glovebox_plugin_0_1, which returned null; ");
    check(
        &["-DSAVE_STATE=NULL"],
        "link: missing export `save_state` in the table of glovebox_plugin_0_1, which is null there; ",
    );
    check(
        &["-DSYMBOL=glovebox_plugin_3_7"],
        "sniff: built for version 3.7 of the contract, this host has 0.1; build it with an SDK",
    );
    check(
        &["-DSYMBOL=hello"],
        "sniff: missing export `glovebox_plugin_0_1`; use the SDK's `export!` macro",
    );
    check(
        &["-c"],
        "sniff: this is an object file that was not linked, not a plugin; link it as a shared library",
    );
    let whole = bytes_of(&[]);
    let with = |at: usize, bytes: &[u8]| {
        let mut other = whole.clone();
        other[at..at + bytes.len()].copy_from_slice(bytes);
        other
    };
    // The type is at 16 and the machine at 18 in the header of every ELF file.
    refused(&with(16, &[2, 0]), "", "sniff: this is a program, not a plugin; build it as a shared");
    refused(
        &with(18, &[0xB7, 0]),
        "",
        "sniff: built for Linux or another system with ELF, aarch64, this host runs on Linux ",
    );
    refused(
        &with(18, &[0xF3, 0]),
        "",
        "sniff: built for Linux or another system with ELF, riscv64, this host runs on ",
    );
    // A header of 32 bits: no such library would be made of this file, but it is what is read first.
    let small: &[u8] = &[
        &b"\x7FELF\x01\x01\x01"[..],
        &[0; 9],
        &[3, 0, 3, 0, 1, 0, 0, 0],
        &[0; 20],
        &[52, 0, 32, 0, 0, 0, 40, 0, 0, 0, 0, 0],
    ]
    .concat();
    refused(
        small,
        "",
        "sniff: built for Linux or another system with ELF, i386, this host runs on Linux ",
    );
    let several = "sniff: the shared library is damaged: of several processors: ";
    refused(b"\xCA\xFE\xBA\xBE\0\0\0\x02", "", several);
    refused(b"MZ\x90\0", "", "sniff: the shared library is damaged: ");
    refused(b"\xCF\xFA\xED\xFE", "", "sniff: the shared library is damaged: ");
}

/// Where a library runs, in words and as a request.
type Way = (&'static str, fn(LoadRequest) -> LoadRequest);

fn ways() -> [Way; 2] {
    [
        ("in this process", LoadRequest::trust_native),
        ("in one of its own", |request| request.isolation(Isolation::Process)),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_that_does_not_survive_its_opening_is_refused_before_it_is_opened_here() {
    let check_within = |deadline: Option<Duration>, constructor: &str, expected: &str| {
        let bytes = bytes_of(&[&format!("-DCONSTRUCTOR={constructor}")]);
        for (place, way) in ways() {
            let bench = Bench::new();
            let manifest = "[plugin]\nid = \"bad\"\n[runtime]\nload-deadline = \"500 ms\"";
            let manifest = Manifest::parse(manifest).unwrap();
            let mut request = LoadRequest::bytes("bad.so", bytes.clone()).manifest(manifest);
            if let Some(deadline) = deadline {
                request = request.load_deadline(deadline);
            }
            let error = bench.host.load(way(request)).wait().unwrap_err().to_string();
            let expected = format!("link: opening it in a trial process failed: {expected}");
            assert!(error.starts_with(&expected), "{place}: {error}\n{expected}");
            assert!(error.contains("mend what the library does when it is opened"), "{error}");
            assert_eq!(bench.host.mapped_libraries(), 0, "{place}");
        }
    };
    let check = |constructor: &str, expected: &str| {
        check_within(Some(Duration::from_secs(60)), constructor, expected);
    };
    check("abort()", "signal 6 (SIGABRT, it gave up) ended the worker");
    check("raise(SIGSEGV)", "signal 11 (SIGSEGV");
    check("exit(3)", "the worker exited with code 3");
    check("_exit(0)", "the worker exited with code 0");
    // The deadline of the manifest, and that of the load.
    check_within(None, "for(;;)", "it did not return within 500 ms");
    check_within(Some(Duration::from_millis(400)), "for(;;)", "it did not return within 400 ms");
}

#[cfg(target_os = "linux")]
#[test]
fn a_load_is_cancelled_at_any_stage() {
    fn check(request: LoadRequest, stage: LoadStage) {
        let bench = Bench::new();
        let task = bench.host.load(request);
        let end = Instant::now() + Duration::from_secs(60);
        let load = loop {
            let found = bench.host.loads().into_iter().find(|load| load.stage == stage);
            match found {
                Some(load) => break load,
                None => assert!(Instant::now() < end, "never at {stage}"),
            }
            std::thread::yield_now();
        };
        assert!(load.to_string().contains(&format!(": {stage}, ")), "{load}");
        assert!(bench.host.cancel_load(load.id));
        let error = task.wait().unwrap_err();
        assert!(error.to_string().contains(": the load was cancelled after "), "{error}");
        assert!(bench.host.loads().is_empty() && bench.host.plugins().is_empty());
        assert!(!bench.host.cancel_load(load.id));
    }
    let hangs = bytes_of(&["-DCONSTRUCTOR=for(;;)"]);
    for (_, way) in ways() {
        let request = LoadRequest::bytes("hangs.so", hangs.clone());
        check(way(request).load_deadline(Duration::from_secs(600)), LoadStage::Link);
    }
    let manifest = "[plugin]\nid = \"loops\"\n[lifecycle]\nstart-deadline = \"60 s\"\n\
                    [config]\nmode = \"loop\"\nwhen = \"initialize\"\n";
    let manifest = Manifest::parse(manifest).unwrap();
    let request = LoadRequest::path(sample("misbehave.wasm")).manifest(manifest);
    check(request.compile_deadline(PATIENCE), LoadStage::Initialize);
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_is_tried_once_unless_the_load_skips_it() {
    let only_here = format!("-DCONSTRUCTOR=if(getpid()!={})abort()", std::process::id());
    let bytes = bytes_of(&[&only_here]);
    let bench = Bench::new();
    let request = || LoadRequest::bytes("here.so", bytes.clone()).trust_native();
    let error = bench.host.load(request()).wait().unwrap_err().to_string();
    assert!(error.contains("--skip-trial"), "{error}");
    let id = bench.host.load(request().skip_trial()).wait().unwrap();
    let precaution = |id| bench.host.plugin(id).unwrap().precaution;
    let reason = "the load skips the trial".to_owned();
    assert_eq!(precaution(id), Precaution::NotTried { reason });
    assert_eq!(bench.ask(id, "x"), "1");
    let id = bench.load_bytes("plugin.so", &bytes_of(&[]), "").unwrap();
    assert_eq!(precaution(id), Precaution::Tried);
}

#[test]
fn a_panic_ends_the_copy_and_names_its_message() {
    let bench = Bench::new();
    let request = LoadRequest::path(native_sample("misbehave")).trust_native().limits(patient());
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    let outcome = bench.ask(id, "mode=panic");
    assert!(outcome.starts_with("trapped: plugin-panic: panicked at "), "{outcome}");
    assert!(outcome.ends_with("misbehaving on demand"), "{outcome}");
    assert_eq!(bench.ask(id, "still there?"), "still there?");
    assert_eq!(bench.host.plugin(id).unwrap().stats.restarts, 1);
    let config = serde_json::json!({ "mode": "panic", "when": "initialize" });
    let request = LoadRequest::path(native_sample("misbehave")).trust_native().config(config);
    let error = bench.host.load(request).wait().unwrap_err().to_string();
    assert!(error.starts_with("initialize: the plugin trapped: plugin-panic: "), "{error}");
}

#[test]
fn a_rebuild_at_the_same_path_runs_the_new_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = compile(folder.path(), "plugin.so", &["-DANSWER=\"old\""]);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(&path).trust_native()).wait().unwrap();
    assert_eq!(bench.ask(id, "?"), "old");
    // In place, as a careless copy does it: of an open library this would end the process.
    let new = bytes_of(&["-DANSWER=\"new\""]);
    fs::write(&path, &new).unwrap();
    assert_eq!(bench.ask(id, "?"), "old");
    assert_eq!(bench.host.reload(id).wait().unwrap(), 2);
    assert_eq!(bench.ask(id, "?"), "new");
}

#[test]
fn a_hundred_reloads_run_new_code_and_grow_within_bounds() {
    alone("cases_native::a_hundred_reloads_run_new_code_and_grow_within_bounds", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        let versions = [bytes_of(&["-DANSWER=\"even\""]), bytes_of(&["-DANSWER=\"odd\""])];
        fs::write(&path, &versions[0]).unwrap();
        let bench = Bench::new();
        let id = bench.host.load(LoadRequest::path(&path).trust_native()).wait().unwrap();
        let before = resident();
        for number in 1..=100 {
            fs::write(&path, &versions[number % 2]).unwrap();
            let reloaded = bench.host.reload(id).wait();
            assert_eq!(reloaded.unwrap() as usize, number + 1);
            // On a thread that ends, so that the library's destructor of thread values runs.
            let host = bench.host.clone();
            let answer =
                std::thread::spawn(move || host.call(id, &Frame::data("?")).frames[0].clone());
            let expected = if number % 2 == 0 { "even" } else { "odd" };
            assert_eq!(answer.join().unwrap().payload, expected);
        }
        assert_eq!(bench.host.mapped_libraries(), 101);
        let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
        // No copy is ever unmapped; each is one library with its first page mapped once.
        let copies = maps.lines().filter(|line| {
            line.contains("/glovebox-") && line.contains(" 00000000 ") && line.contains(".so")
        });
        assert_eq!(copies.count(), 101);
        let grown = resident().zip(before).map_or(0, |(now, then)| now.saturating_sub(then));
        assert!(grown < 100 * (256 << 10), "{grown} bytes for 100 generations");
    });
}
