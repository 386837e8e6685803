//! Native plugins in processes of their own: how such a process ends, what it reaches, and what is left
//! of it. That a plugin does the same there as elsewhere is in `parity`.
#![cfg(target_os = "linux")]

mod back_off;
mod bubblewrap;
mod containers;
mod evidence;
mod framed;
mod places;
pub(crate) mod plugin;
mod reach;
mod renewal;
mod supervision;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use glovebox_host::worker::Layer;
use glovebox_host::{Frame, Isolation, LimitChanges, LoadRequest, Outcome};
use glovebox_tests::{Bench, native_sample};

use plugin::{children, is_gone, load, plugin, wait_for_line, wait_until_gone};

/// Runs before `main`, which belongs to the harness: a worker starts with one thread.
#[used]
// SAFETY: the section holds functions of this type, which the C library calls one after the other.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn ask() {
        glovebox_host::worker::run_if_requested();
    }
    ask
};

#[test]
fn each_end_has_its_name_and_the_next_frame_is_processed() {
    let (bench, id) = load("ends", "[limits]\ncall-deadline = \"2s\"\n");
    let mut restarts = 0;
    let mut check = |command: &str, expected: &str| {
        let process = bench.ask(id, "process");
        let outcome = bench.ask(id, command);
        assert!(outcome.starts_with(expected), "{command}: {outcome:?}");
        assert_eq!(bench.ask(id, "still there?"), "still there?", "after {command}");
        wait_until_gone(&process);
        // A frame that crashed it was sent a second time.
        restarts += if expected.starts_with("crashed") { 2 } else { 1 };
        assert_eq!(bench.host.plugin(id).unwrap().stats.restarts, restarts, "{command}");
    };
    check("segv", "crashed: signal 11 (SIGSEGV");
    check("abort", "crashed: signal 6 (SIGABRT");
    check("fpe", "crashed: signal 8 (SIGFPE");
    check("exit 0", "crashed: the worker exited with code 0");
    check("exit 3", "crashed: the worker exited with code 3");
    check("hang", "timed out");
}

#[test]
fn what_misbehaves_ends_alone() {
    let check = |mode: &str, expected: &str| {
        let bench = Bench::new();
        // Only the loop is to meet its deadline, however busy the machine is.
        let call_deadline = (mode != "loop").then_some(Duration::from_secs(30));
        let limits = LimitChanges { call_deadline, ..LimitChanges::default() };
        let request = LoadRequest::path(native_sample("misbehave")).limits(limits);
        let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
        let outcome = bench.ask(id, &format!("mode={mode}"));
        assert!(outcome.starts_with(expected), "{mode}: {outcome:?}");
        if mode != "loop" {
            assert_eq!(bench.ask(id, "still there?"), "still there?", "after {mode}");
        }
    };
    check("trap", "crashed: signal ");
    check("recurse", "crashed: signal ");
    check("loop", "timed out");
    check("grow", "limit exceeded: asked for ");
    check("panic", "trapped: plugin-panic: panicked at ");
    check("flood", "limit exceeded: asked for ");
    check("fail", "failed: ");
}

#[test]
fn printed_text_becomes_lines_of_the_log() {
    let (bench, id) = load("prints", "[permissions]\nlog = true\n");
    let check = |command: &str, expected: &str| {
        bench.ask(id, command);
        // It comes beside the answers, so that it may be there only after the next one.
        wait_for_line(&bench, expected, || drop(bench.ask(id, "next")));
    };
    check("print", "to standard output");
    check("complain", "to standard error");
}

#[test]
fn a_call_that_hangs_is_cancelled() {
    let check = |all: bool| {
        let (bench, id) =
            load("cancelled", "[permissions]\nlog = true\n[limits]\ncall-deadline = \"60s\"\n");
        let process = bench.ask(id, "process");
        let ticket = bench.host.try_dispatch_to(id, Frame::data("hang")).unwrap();
        // Only a call that has begun is cancelled; this one says so.
        wait_for_line(&bench, "hang", std::thread::yield_now);
        match all {
            true => bench.host.cancel_all(),
            false => assert!(bench.host.cancel(id)),
        }
        assert_eq!(ticket.wait().outcome, Outcome::Cancelled);
        wait_until_gone(&process);
        let after = if all { "cancelled" } else { "still there?" };
        let answer = bench.ask(id, "still there?");
        assert!(answer.contains(after), "{answer}");
    };
    check(false);
    check(true);
}

#[test]
fn each_copy_is_a_process_and_the_library_is_in_none_but_those() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), "copies", "[runtime]\ninstances = 2\n");
    let digest = blake3::hash(&fs::read(folder.path().join("plugin.so")).unwrap()).to_hex();
    let is_mapped = || fs::read_to_string("/proc/self/maps").unwrap().contains(&digest[..16]);
    let bench = Bench::new();
    let request = LoadRequest::path(folder.path());
    let id = bench.host.load(request.clone()).wait().unwrap_or_else(|error| panic!("{error}"));
    let first = bench.ask(id, "process");
    assert_ne!(first, std::process::id().to_string());
    let found: Vec<String> = children("copies");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&first), "{first} is none of {found:?}");
    assert!(!is_mapped());
    let status = bench.host.plugin(id).unwrap();
    assert_eq!(status.isolation, Isolation::Process);
    let sandbox = status.sandbox.unwrap();
    assert!(sandbox.is_enforced(Layer::SystemCalls) && sandbox.is_enforced(Layer::NoNewPrivileges));
    assert!(bench.host.unload(id));
    found.iter().for_each(|process| wait_until_gone(process));
    // The same search finds a library that is open here.
    let request = request.isolation(Isolation::InProcess).trust_native();
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(bench.ask(id, "process"), std::process::id().to_string());
    assert!(is_mapped());
    assert!(bench.host.plugin(id).unwrap().sandbox.is_none());
}

#[test]
fn a_killed_host_leaves_no_worker() {
    const VARIABLE: &str = "GLOVEBOX_TEST_KILLED_HOST";
    if std::env::var_os(VARIABLE).is_some() {
        let (bench, id) = load("left", "");
        println!("worker {}", bench.ask(id, "process"));
        std::io::stdout().flush().unwrap();
        // Until it is killed.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["isolation::a_killed_host_leaves_no_worker", "--exact", "--nocapture"])
        .env(VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let worker = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("worker ").map(|(_, process)| process.trim().to_owned()));
    let worker = worker.expect("the host says which process the worker is");
    assert!(!is_gone(&worker));
    host.kill().unwrap();
    host.wait().unwrap();
    wait_until_gone(&worker);
}
