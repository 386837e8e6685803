//! Programs that speak the framed protocol over their standard input and output, in a process of their
//! own: the samples, what such a program reaches, and what becomes of one that breaks the rules.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_events::Binding;
use glovebox_host::worker::Layer;
use glovebox_host::{
    Frame, InstanceId, Isolation, LoadRequest, Mock, Outcome, PluginStatus, inspect,
};
use glovebox_tests::{Bench, root};

use super::plugin::{wait_for_line, wait_until_gone};

/// Makes a folder with the program and its manifest.
fn program(folder: &Path, name: &str, manifest: &str) {
    program_of(name, &folder.join("program"), &[]);
    let limits = match manifest.contains("call-deadline") {
        true => "",
        // Nothing here depends on how busy the machine is, unless a test says so.
        false => "[limits]\ncall-deadline = \"30s\"\n",
    };
    let text =
        format!("[plugin]\nid = \"{name}\"\n[artifact]\nprogram = \"program\"\n{limits}{manifest}");
    fs::write(folder.join("plugin.toml"), text).unwrap();
}

/// Compiles the program.
pub(super) fn program_of(name: &str, program: &Path, options: &[&str]) {
    let source = root().join("tests/fixtures/framed-program/program.c");
    let name = format!("-DNAME=\"{name}\"");
    compile(&source, program, &[&[&*name], options].concat());
}

fn compile(source: &Path, program: &Path, options: &[&str]) {
    let output = Command::new("cc")
        .args(["-O1", "-I"])
        .arg(root().join("sample-plugins/hello-framed"))
        .args(options)
        .arg("-o")
        .arg(program)
        .arg(source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn load(name: &str, manifest: &str) -> (Bench, InstanceId) {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), name, manifest);
    load_from(folder.path())
}

#[track_caller]
fn load_from(folder: &Path) -> (Bench, InstanceId) {
    let bench = Bench::as_declared();
    let id = bench.host.load(LoadRequest::path(folder)).wait();
    (bench, id.unwrap_or_else(|error| panic!("{error}")))
}

/// A plugin reads its program, so that no file from elsewhere can be named as one.
#[test]
fn a_program_from_elsewhere_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("plugin");
    fs::create_dir(&folder).unwrap();
    let secret = outer.path().join("secret");
    fs::write(&secret, "of this user").unwrap();
    std::os::unix::fs::symlink(&secret, folder.join("link")).unwrap();
    fs::write(folder.join("own"), "print(1)").unwrap();
    let load = |path: &Path, program: &str| {
        let text = format!(
            "[plugin]\nid = \"a\"\n[artifact]\nprogram = {program:?}\n[runtime]\ncommand = \
             [\"/usr/bin/python3\", \"-c\", \"print(1)\"]\n"
        );
        fs::write(folder.join("plugin.toml"), text).unwrap();
        let bench = Bench::as_declared();
        bench.host.load(LoadRequest::path(path)).wait().unwrap_err().to_string()
    };
    #[track_caller]
    fn check(error: &str, is_refused: bool) {
        assert_eq!(error.contains("leads out of the folder"), is_refused, "{error}");
    }
    for program in [secret.to_str().unwrap(), "../secret", "link", "/proc/self/environ"] {
        check(&load(&folder, program), true);
    }
    check(&load(&folder.join("link"), "link"), true);
    check(&load(&folder, "own"), false);
}

/// The rules of a plugin that is to crash again and again: it is started again soon each time.
pub(super) const AT_ONCE: &str = "[lifecycle]\nstart-deadline = \"60s\"\nrestart = \"always\"\nback-off = \"1 ms\"\nback-off-max = \"1 ms\"\n";

/// Waits until a plugin answers that was to be started again.
#[track_caller]
pub(super) fn still_there(bench: &Bench, id: InstanceId, after: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = bench.ask(id, "still there?");
        if answer == "still there?" {
            return;
        }
        let waits = answer.starts_with("refused: ") && answer.contains("next attempt in");
        assert!(waits && Instant::now() < end, "after {after}: {answer}");
        std::thread::yield_now();
    }
}

fn status(bench: &Bench, id: InstanceId) -> PluginStatus {
    bench.host.plugin(id).unwrap()
}

/// The whole life of a sample: frames, log, state over a reload, the end.
fn check_sample(folder: &Path, greeting: &str) {
    let (bench, id) = load_from(folder);
    let found = status(&bench, id);
    assert_eq!((found.binding, found.isolation), (Binding::Framed, Isolation::Process));
    assert!(found.sandbox.unwrap().is_enforced(Layer::SystemCalls));
    assert_eq!(bench.ask(id, "world"), "hello, world");
    let large = "x".repeat(3 << 20);
    assert_eq!(bench.ask(id, &large), format!("hello, {large}"));
    wait_for_line(&bench, greeting, std::thread::yield_now);
    bench.host.reload(id).wait().unwrap();
    assert_eq!(bench.ask(id, "again"), "hello, again");
    let state = format!("{:?}", bench.host.snapshot(id).wait().unwrap());
    assert!(state.contains("[3, 0, 0, 0, 0, 0, 0, 0]"), "{state}");
    assert!(bench.host.unload(id));
}

#[test]
fn the_sample_in_c_speaks_over_pipes() {
    let source = root().join("sample-plugins/hello-framed");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("target")).unwrap();
    fs::copy(source.join("plugin.toml"), folder.path().join("plugin.toml")).unwrap();
    let warnings = ["-Wall", "-Wextra", "-Werror"];
    compile(&source.join("hello.c"), &folder.path().join("target/hello-framed"), &warnings);
    check_sample(folder.path(), "hello over pipes");
}

#[test]
#[cfg_attr(
    not(has_python),
    ignore = "needs Python in /usr/bin: install it with `apt-get install python3`"
)]
fn the_sample_in_python_speaks_over_pipes() {
    check_sample(&root().join("sample-plugins/hello-python"), "hello from Python");
}

#[test]
fn nothing_outside_is_reached() {
    let (bench, id) = load("framed-reach", "");
    let check = |command: &str, expected: &[&str]| {
        let found = bench.ask(id, command);
        assert!(expected.contains(&found.as_str()), "{command}: {found:?}");
    };
    let denied = ["Permission denied", "No such file or directory", "Read-only file system"];
    check("read", &denied);
    check("write", &denied);
    check("replace", &denied);
    let forbidden = ["Operation not permitted", "Permission denied"];
    check("connect", &forbidden);
    check("fork", &forbidden);
    check("kill parent", &forbidden);
    check("trace parent", &["Operation not permitted", "No such process"]);
    // Standard input, output and error.
    check("handles", &["3"]);
}

#[test]
fn a_granted_folder_is_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/in"), "inside").unwrap();
    let files = "[permissions.files]\nfolders = [{ path = \"data\", at = \"data\" }]\n";
    program(folder.path(), "framed-folder", files);
    let (bench, id) = load_from(folder.path());
    assert_eq!(bench.ask(id, "file in"), "inside");
}

#[test]
fn each_end_has_its_name_and_the_next_frame_is_processed() {
    let limits =
        "[limits]\ncall-deadline = \"2s\"\nmemory = \"64 MiB\"\n[permissions]\nnow = true\n";
    let (bench, id) = load("framed-ends", &format!("{limits}{AT_ONCE}"));
    let check = |command: &str, expected: &str| {
        let process = bench.ask(id, "process");
        let outcome = bench.ask(id, command);
        assert!(outcome.starts_with(expected), "{command}: {outcome:?} is not {expected:?}");
        still_there(&bench, id, command);
        wait_until_gone(&process);
    };
    check("segv", "crashed: signal 11 (SIGSEGV");
    check("exit 0", "crashed: the worker exited with code 0");
    check("exit 3", "crashed: the worker exited with code 3");
    check("hang", "timed out");
    check("ignore and hang", "timed out");
    check("close input and hang", "timed out");
    check("close output and hang", "timed out");
    check("drip", "timed out");
    let broke = "crashed: the worker broke the protocol, and was killed: ";
    let check_rule = |command: &str, rule: &str| check(command, &format!("{broke}{rule}"));
    check_rule("text", "text stands where a message should begin: \"hello, world");
    check_rule("garbage", "message of format version");
    check("huge length", "limit exceeded: asked for");
    check_rule("out of order", "message number ");
    check_rule("of the host", "the plugin sent `process`");
    check_rule("unknown call", "call 99 was named");
    check_rule("another answer", "`done` for call ");
    check("ask without end", "timed out");
    check("cut short", "crashed: the worker exited with code 0");
    assert_eq!(bench.ask(id, "allocate 4096"), "Cannot allocate memory");
}

/// An answer that nobody waits for is found with the next call, which it does not answer: that goes to a
/// fresh process.
#[test]
fn a_second_answer_answers_nothing() {
    let (bench, id) = load("framed-twice", "");
    assert_eq!(bench.ask(id, "two answers"), "first");
    assert_eq!(status(&bench, id).stats.restarts, 0);
    assert_eq!(bench.ask(id, "next"), "next");
    assert_eq!(status(&bench, id).stats.restarts, 1);
}

#[test]
fn a_call_that_hangs_is_cancelled() {
    let (bench, id) = load("framed-cancelled", "[permissions]\nlog = true\n");
    let process = bench.ask(id, "process");
    let ticket = bench.host.try_dispatch_to(id, Frame::data("hang")).unwrap();
    // Only a call that has begun is cancelled; this one says so.
    wait_for_line(&bench, "hang", std::thread::yield_now);
    assert!(bench.host.cancel(id));
    assert_eq!(ticket.wait().outcome, Outcome::Cancelled);
    wait_until_gone(&process);
    assert_eq!(bench.ask(id, "still there?"), "still there?");
}

#[test]
fn a_made_up_crash_fills_no_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "framed-made-up", &format!("[permissions]\nlog = true\n{AT_ONCE}"));
    let kept = folder.path().join("kept");
    let bench = Bench::with(|builder| builder.quarantine_folder(&kept));
    let mock = Mock::parse("[[answer]]\nservice = 'log'\nstop = 'crash'").unwrap();
    let request = LoadRequest::path(folder.path()).mock(Arc::new(mock));
    let id = bench.host.load(request).wait().unwrap_or_else(|error| panic!("{error}"));
    let outcome = bench.ask(id, "log");
    let expected =
        "stopped by a mock while it used `log`; twice with this frame, which is kept nowhere";
    assert!(outcome.contains(expected), "{outcome}");
    assert!(!kept.exists());
    still_there(&bench, id, "a made-up crash");
    // A real one is kept.
    let outcome = bench.ask(id, "segv");
    assert!(outcome.contains("send it again with `glovebox call "), "{outcome}");
    assert!(kept.exists());
}

#[test]
fn standard_error_is_the_log_and_bounded() {
    let (bench, id) = load("framed-prints", "[permissions]\nlog = true\n");
    bench.ask(id, "complain");
    wait_for_line(&bench, "to standard error", || drop(bench.ask(id, "next")));
    assert_eq!(bench.ask(id, "flood"), "flood");
    wait_for_line(&bench, "bytes left out", || drop(bench.ask(id, "next")));
}

#[test]
fn a_program_that_does_not_start_says_why() {
    let check = |name: &str, change: &dyn Fn(&Path), expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        program(folder.path(), name, "[lifecycle]\nstart-deadline = \"2s\"\n");
        change(folder.path());
        let error = Bench::new().host.load(LoadRequest::path(folder.path())).wait().unwrap_err();
        let error = error.to_string();
        assert!(error.contains(expected), "{name}: {error:?} does not say {expected:?}");
    };
    let edit = |folder: &Path, from: &str, to: &str| {
        let path = folder.join("plugin.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    };
    let nothing = |_: &Path| {};
    check("silent", &nothing, "initialize: the plugin timed out");
    let version = "its `hello` says version 9.9 of the contract, and this side has 0.1; answer `hello` \
                   with the number 1";
    check("wrong-version", &nothing, version);
    let text = "text stands where a message should begin: \"starting up\"; standard output is for \
                messages alone, so print to standard error";
    check("prints-first", &nothing, text);
    check("prints-a-little", &nothing, "should begin: \"starting\"; standard output");
    check("never-reads", &nothing, "initialize: the plugin ");
    let text = |folder: &Path| fs::write(folder.join("program"), "no program").unwrap();
    check("no-program", &text, "cannot be run: Exec format error");
    let gone = |folder: &Path| fs::remove_file(folder.join("program")).unwrap();
    check("gone", &gone, "read: no artifact: program does not exist");
    let interpreter = |path: &'static str| {
        move |folder: &Path| {
            let runtime = format!("[runtime]\ncommand = [\"{path}\"]\n[limits]\n");
            edit(folder, "[limits]\n", &runtime);
        }
    };
    check("no-interpreter", &interpreter("/usr/bin/no-such"), "/usr/bin/no-such cannot be run: No");
    check("relative", &interpreter("python3"), "`runtime.command`: `python3` is no whole path");
    let here = |folder: &Path| {
        edit(folder, "[limits]\n", "[runtime]\nisolation = \"in-process\"\n[limits]\n")
    };
    check("here", &here, "policy: for programs, isolation `in-process` is not available");
}

/// A consent for a digest is not one for the same file under another interpreter.
#[test]
fn the_digest_covers_the_command() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.py"), "pass").unwrap();
    let digest = |command: &str| {
        let text = format!(
            "[plugin]\nid = \"a\"\n[artifact]\nprogram = \"a.py\"\n[runtime]\ncommand = {command}\n"
        );
        fs::write(folder.path().join("plugin.toml"), text).unwrap();
        inspect(folder.path()).unwrap().digest
    };
    assert_eq!(digest("[]"), blake3::hash(b"pass").to_hex().to_string());
    let found = [digest("[]"), digest("[\"/a\"]"), digest("[\"/b\"]"), digest("[\"/a\", \"b\"]")];
    let different: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(different.len(), found.len(), "{found:?}");
}
