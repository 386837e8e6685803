//! Hosts that a signal ends wherever they are: nothing of theirs runs on, and their traces can be saved.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::Manifest;
use glovebox_abi::cbor::Value;
use glovebox_events::What;
use glovebox_host::{Frame, Host, LoadRequest};
use glovebox_tests::guest::Guest;
use glovebox_trace::{Recorder, RecorderOptions};

use crate::cli::Folder;
use crate::isolation::plugin::{is_gone, plugin};

/// Waits for something, however busy the machine is.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "there is no {what}");
        std::thread::yield_now();
    }
}

/// The payloads of the frames in a trace: those that went in, and those that came out.
fn payloads(trace: &Path) -> Option<(Vec<String>, Vec<String>)> {
    let text = |frame: &Frame| String::from_utf8_lossy(&frame.payload).into_owned();
    let (mut frames_in, mut frames_out) = (Vec::new(), Vec::new());
    for event in glovebox_trace::read(trace).ok()?.events {
        match &event.what {
            What::FrameIn { frame, .. } => frames_in.push(text(frame)),
            What::FrameOut { frame, .. } => frames_out.push(text(frame)),
            _ => {}
        }
    }
    Some((frames_in, frames_out))
}

#[test]
fn of_a_host_that_is_killed_the_trace_stays_and_nothing_else() {
    let folder = Folder::new();
    plugin(folder.0.path(), "left", "");
    let frames =
        ["process", "hang"].map(|word| format!("{{\"plugin\":\"left\",\"payload\":\"{word}\"}}\n"));
    folder.write("in.ndjson", frames.concat());
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "");
    let command = |arguments: &[&str]| {
        let mut command = folder.command(arguments);
        command.env("XDG_CACHE_HOME", folder.0.path().join("cache-home"));
        command
    };
    let mut host = command(&["replay", "in.mcap", "--plugin", ".", "--record", "run.mcap"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let partial = folder.0.path().join("run.mcap.partial");
    // It hangs in the second frame, which the trace has by then.
    let worker = wait_for("second frame in the trace", || {
        let (frames_in, frames_out) = payloads(&partial)?;
        (frames_in.len() == 2).then(|| frames_out[0].clone())
    });
    assert!(!is_gone(&worker));
    host.kill().unwrap();
    host.wait().unwrap();
    wait_for("end of the worker", || is_gone(&worker).then_some(()));
    let recover = ["trace", "recover", "run.mcap.partial", "-o", "saved.mcap"];
    folder.check(&recover, 0, "", "Recovered");
    let (frames_in, _) = payloads(&folder.0.path().join("saved.mcap")).unwrap();
    assert_eq!(frames_in, ["process", "hang"]);
    // The next start removes what is left.
    let left = || {
        let scratch = folder.0.path().join("cache-home/glovebox/temporary");
        fs::read_dir(scratch).map_or(0, |entries| entries.count())
    };
    assert!(left() > 0, "a killed process removes nothing");
    let next = command(&["call", ".", "--payload", "hello"]).output().unwrap();
    assert!(next.status.success(), "{next:?}");
    assert_eq!(left(), 0);
}

/// A function that a guest calls, and in which the host has a fault.
const FAULTY: &str = "test:host/faulty@1.0.0#fall";

/// Calls the function for frames that begin with `!`.
fn module() -> Vec<u8> {
    let fields = format!(
        r#"(import "glovebox" "call" (func $call (param i32 i32 i32 i32) (result i64)))
           (data (i32.const 2048) "{FAULTY}")"#
    );
    let length = FAULTY.len();
    let bad = format!(
        "(drop (call $call (i32.const 2048) (i32.const {length}) (i32.const 1037) (i32.const 0)))"
    );
    wat::parse_str(Guest { bad: &bad, fields: &fields, ..Guest::default() }.module()).unwrap()
}

#[test]
fn a_fault_of_the_host_is_no_trap_of_its_guest() {
    const VARIABLE: &str = "GLOVEBOX_TEST_FAULTY_HOST";
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return fall(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Command::new(std::env::current_exe().unwrap())
        .args(["crashes::a_fault_of_the_host_is_no_trap_of_its_guest", "--exact", "--nocapture"])
        .env(VARIABLE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&host.stderr).into_owned();
    // Not the end of a test that went on: the engine did not take it for a trap.
    assert_eq!(host.status.signal(), Some(11), "{host:?}");
    assert!(said.contains("This process crashed. The report is in "), "{said}");
    let mut reports = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let report = reports.find(|path| path.extension().is_some_and(|end| end == "txt"));
    let report = fs::read_to_string(report.unwrap()).unwrap();
    assert!(report.starts_with("about this host\nglovebox-fault signal=0xb\n"), "{report}");
    assert!(report.contains("glovebox-fault address=0x8\n"), "{report}");
    let functions = report.matches("=0x").count();
    assert!(functions > 4, "the functions at work are told: {report}");
    let (frames_in, _) = payloads(&folder.path().join("run.mcap.partial")).unwrap();
    assert_eq!(frames_in, ["before", "!"]);
}

/// Records, runs a guest, and has a fault while it runs.
fn fall(folder: &Path) {
    glovebox_host::worker::report_crashes(folder, "about this host\n");
    let recorder = Recorder::start(folder.join("run.mcap"), &RecorderOptions::default()).unwrap();
    let recorder = Arc::new(recorder);
    let recorded = recorder.clone();
    let faulty = move |_: &glovebox_host::Caller<'_>, _: &Value| {
        // Both frames are in the file by now.
        while recorded.status().events < 3 || payloads_in(&recorded) < 2 {
            std::thread::yield_now();
        }
        // SAFETY: none. Nothing is there, which is the fault that this test is about; the process ends
        // by it before anything goes on.
        unsafe { std::ptr::write_volatile(std::ptr::without_provenance_mut::<u8>(8), 1) };
        Ok(Value::Null)
    };
    let host = Host::builder().sink(recorder).function(FAULTY, faulty).build().unwrap();
    let manifest = format!("[plugin]\nid = 'guest'\n[permissions]\nfunctions = ['{FAULTY}']\n");
    let manifest = Manifest::parse(&manifest).unwrap();
    let request = LoadRequest::bytes("guest.wasm", module()).manifest(manifest);
    let id = host.load(request).wait().unwrap();
    host.call(id, &Frame::data("before"));
    let outcome = host.call(id, &Frame::data("!")).outcome;
    panic!("the guest ended, and the host did not: {outcome}");
}

/// The frames that a recorder has put into its file.
fn payloads_in(recorder: &Recorder) -> usize {
    payloads(&recorder.status().path).map_or(0, |(frames_in, _)| frames_in.len())
}
