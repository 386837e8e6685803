//! Signals: recordings are closed, temporary folders are removed, and the last sentence is true.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use glovebox_trace::TraceReader;

use super::Folder;

/// A program that runs in a folder, with folders of a user of its own.
fn start(folder: &Folder, arguments: &[&str]) -> Child {
    start_with(Stdio::null(), folder, arguments)
}

fn start_with(stdin: Stdio, folder: &Folder, arguments: &[&str]) -> Child {
    let mut command = heeding_signals(&folder.command(arguments));
    command.env("XDG_CACHE_HOME", folder.0.path().join("cache")).stdin(stdin);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The same program, to which signals mean what they mean to most. A test run in the background, or
/// under `nohup`, ignores some, and children inherit that.
fn heeding_signals(program: &Command) -> Command {
    if !cfg!(target_os = "linux") {
        let mut same = Command::new(program.get_program());
        same.args(program.get_args());
        return in_its_place(same, program);
    }
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP,INT,TERM").arg(program.get_program()).args(program.get_args());
    in_its_place(env, program)
}

fn in_its_place(mut command: Command, original: &Command) -> Command {
    for (name, value) in original.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = original.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Names of temporary folders and their marks.
fn scratch(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.0.path().join("cache/glovebox/temporary"));
    let entries = entries.into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The rest of what it says.
fn end(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

/// Waits until it says that it heard a signal.
fn await_heard(child: &mut Child) {
    let mut said = Vec::new();
    let stderr = child.stderr.as_mut().unwrap();
    while !said.ends_with(b"\n") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("Heard SIG"), "{said}");
}

/// Waits until a file of this name has something in it.
fn await_file(folder: &Folder, name: &str, at_least: u64) {
    let path = folder.0.path().join(name);
    let size = || path.metadata().map_or(0, |about| about.len());
    let started = std::time::Instant::now();
    while size() < at_least {
        assert!(started.elapsed().as_secs() < 60, "waited in vain for {name}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// Waits until it listens to signals, which is when its thread for them is there.
#[cfg(target_os = "linux")]
fn await_listening(child: &Child) {
    let threads = format!("/proc/{}/task", child.id());
    let names = || {
        let threads = fs::read_dir(&threads).into_iter().flatten().flatten();
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok())
    };
    let started = std::time::Instant::now();
    while !names().any(|name| name.trim() == "glovebox-signal") {
        assert!(started.elapsed().as_secs() < 60, "it does not listen");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// Inputs that take minutes at the pace at which they were recorded.
fn slow_trace() -> Folder {
    let folder = Folder::new();
    let line =
        |at: u64| format!("{{\"plugin\":\"echo\",\"at\":{},\"payload\":\"x\"}}\n", at * 50_000_000);
    folder.write("in.ndjson", (0..10_000).map(line).collect::<String>());
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "Imported 10000");
    folder
}

#[test]
fn a_recording_is_closed_when_a_signal_comes() {
    let folder = slow_trace();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let out = format!("{name}.mcap");
        let plugin = "plugins/echo.wasm";
        let child = start(
            &folder,
            &["replay", "in.mcap", "--plugin", plugin, "--speed", "real", "--record", &out],
        );
        await_file(&folder, &format!("{out}.partial"), 1000);
        assert_eq!(scratch(&folder).len(), 2, "{name}");
        signal(&child, name);
        let (exit, said) = end(child);
        assert_eq!(exit, Some(code), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
        let heard = format!("Heard SIG{name}: cancelling what runs");
        assert!(said.starts_with(&heard), "{said}");
        for part in ["stopped with", &format!("ended by SIG{name}")] {
            assert!(said.contains(part), "{said:?} does not say {part:?}");
        }
        let info = folder.json(&["trace", "info", &out], 0, "Read");
        assert_eq!(
            (&info["complete"], &info["damaged_bytes"]),
            (&true.into(), &0.into()),
            "{info}"
        );
        let events = TraceReader::open(folder.0.path().join(&out)).unwrap();
        assert!(events.map(Result::unwrap).count() > 0);
        assert_eq!(scratch(&folder), [""; 0], "{name}");
    }
}

#[test]
fn the_next_start_removes_what_a_killed_one_left() {
    let folder = slow_trace();
    let replay = ["replay", "in.mcap", "--plugin", "plugins/echo.wasm", "--speed", "real"];
    let killed = start(&folder, &[&replay[..], &["--record", "killed.mcap"]].concat());
    await_file(&folder, "killed.mcap.partial", 1000);
    let alive = start(&folder, &[&replay[..], &["--record", "alive.mcap"]].concat());
    await_file(&folder, "alive.mcap.partial", 1000);
    signal(&killed, "KILL");
    end(killed);
    assert_eq!(scratch(&folder).len(), 4);
    let mut next = folder.command(&["call", "plugins/echo.wasm"]);
    let next = next.env("XDG_CACHE_HOME", folder.0.path().join("cache")).output().unwrap();
    assert!(next.status.success(), "{next:?}");
    // Those of the living one.
    assert_eq!(scratch(&folder).len(), 2);
    signal(&alive, "TERM");
    assert_eq!(end(alive).0, Some(143));
    assert_eq!(scratch(&folder), [""; 0]);
}

#[test]
fn a_verb_that_closes_nothing_ends_at_once() {
    let folder = slow_trace();
    // It waits for the other end of the pipe for as long as nobody opens it.
    let made = Command::new("mkfifo").arg(folder.0.path().join("pipe")).status();
    assert!(made.unwrap().success());
    let child = start(&folder, &["inspect", "plugins/echo.wasm", "--json", "pipe"]);
    await_file(&folder, "cache/glovebox/compiled", 1);
    signal(&child, "TERM");
    let (exit, said) = end(child);
    assert_eq!((exit, said.trim_end()), (Some(143), "Inspected 0 plugins: ended by SIGTERM"));
    assert_eq!(scratch(&folder), [""; 0]);
}

#[test]
fn watching_ends_with_a_sentence() {
    let folder = Folder::with_trace();
    fs::copy(glovebox_tests::sample("stats.wasm"), folder.0.path().join("stats.wasm")).unwrap();
    let mut child = start(&folder, &["watch", "stats.wasm", "--trace", "in.mcap"]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("watching"));
    signal(&child, "INT");
    let last = lines.last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    assert_eq!(last, "Watched 0 changes: 0 led to differences, 0 refused; ended by SIGINT");
}

#[test]
fn lines_steer_the_generations_of_what_is_watched() {
    let folder = Folder::with_trace();
    for (sample, name) in [("stats-v1.wasm", "stats.wasm"), ("stats.wasm", "next.wasm")] {
        fs::copy(glovebox_tests::sample(sample), folder.0.path().join(name)).unwrap();
    }
    let watch = ["watch", "stats.wasm", "--trace", "in.mcap", "--commands"];
    let mut child = start_with(Stdio::piped(), &folder, &watch);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("watching"));
    for (line, expected) in [
        ("generations", "stats: generation 1, version 1.0.0, runs; none is kept"),
        ("back", "Not done: "),
        ("shadow next.wasm", "stats: generation 2 is tried as shadow"),
        ("generations", "generation 2 is tried as shadow: 0 calls, 0 failed"),
        ("promote", "stats takes what was tried: generation 3, version 2.0.0 runs"),
        ("generations", "kept: 1 (version 1.0.0)"),
        ("back stats 1", "stats went back: generation 4, version 1.0.0 runs"),
        ("canary 2 next.wasm", "is tried as canary for 1 frame of 2"),
        ("dismiss", "stats: the trial is over"),
        ("dismiss", "Not done: nothing is tried beside stats"),
        ("jump", "Not done: `jump` is no command; `help` lists them"),
    ] {
        writeln!(stdin, "{line}").unwrap();
        let said = lines.next().unwrap();
        assert!(said.contains(expected), "{line}: {said}");
    }
    signal(&child, "INT");
    let last = lines.last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
}

#[test]
fn a_signal_cancels_what_hangs() {
    /// A verb with a plugin that hangs for minutes, what the program logs before it does, and its
    /// last sentence.
    #[track_caller]
    fn check(arguments: &[&str], config: &str, before: &str, expected: &str) {
        let folder = Folder::with_trace();
        fs::copy(glovebox_tests::sample("misbehave.wasm"), folder.0.path().join("a.wasm")).unwrap();
        folder.write("plugin.toml", format!("{HANGS}{config}"));
        folder.write(
            "pipe.toml",
            "[pipeline]\noutputs = 'one'\n[stage.one]\nfrom = 'input'\nplugin = '.'\n",
        );
        let mut command = heeding_signals(&folder.command(arguments));
        command.env("GLOVEBOX_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(before)), "it never said {before:?}");
        signal(&child, "INT");
        let said: Vec<String> = lines.collect();
        assert!(said.iter().any(|line| line.starts_with("Heard SIGINT: ")), "{said:#?}");
        assert!(!said.iter().any(|line| line.contains("timed")), "{said:#?}");
        // Threads of the host may log that they ended after the last sentence.
        let last = said.iter().rfind(|line| !line.contains(" DEBUG ")).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
        assert!(last.contains(expected), "{last:?} does not say {expected:?}");
        assert!(last.ends_with("; ended by SIGINT"), "{last}");
    }
    let call = ["call", ".", "--payload", "x"];
    check(&call, "", "loaded plugin=", "Called misbehave once: cancelled");
    check(&call, "when = 'initialize'", "first start", "the load was cancelled after");
    let replay = ["replay", "in.mcap", "--plugin", "."];
    check(&replay, "", "loaded plugin=", "; stopped with ");
    let run = ["run", "pipe.toml", "--trace", "in.mcap"];
    check(&run, "", "loaded plugin=", " through 1 stage of pipe in ");
    let watch = ["watch", ".", "--trace", "in.mcap"];
    check(&watch, "", "loaded plugin=", "Watched 0 changes");
}

/// The manifest of a plugin that hangs for each frame.
const HANGS: &str = "[plugin]\nid = 'misbehave'\nversion = '1.0.0'\n\
    [artifact]\nwasm = 'a.wasm'\n[limits]\ncall-deadline = '30 s'\n\
    [lifecycle]\nstart-deadline = '60 s'\n[config]\nmode = 'loop'\n";

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let folder = slow_trace();
    let mut command = Command::new("sh");
    // Signals that a shell ignores, its children ignore.
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    command.arg(glovebox_tests::binary()).args(["replay", "in.mcap", "--speed", "real"]);
    command.arg("--plugin").arg(glovebox_tests::sample("echo.wasm")).args(["--record", "out.mcap"]);
    command.current_dir(folder.0.path()).env("XDG_CACHE_HOME", folder.0.path().join("cache"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_file(&folder, "out.mcap.partial", 1000);
    signal(&child, "HUP");
    signal(&child, "TERM");
    let (exit, said) = end(child);
    assert_eq!(exit, Some(143), "{said}");
    assert!(said.contains("ended by SIGTERM"), "{said}");
}

/// A capture of so many packets of 100 bytes.
fn capture(packets: u32) -> Vec<u8> {
    let head = [0xA1B2_C3D4u32, 0x0002_0004, 0, 0, 65_535, 147];
    let numbers = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    };
    let packet = |at: u32| [numbers(&[at, 0, 100, 100]), vec![b'x'; 100]].concat();
    [numbers(&head), (0..packets).flat_map(packet).collect()].concat()
}

#[test]
fn an_import_from_a_pipe_keeps_what_has_come() {
    /// Checks bytes before and after a signal, and whether the pipe is closed then, against the
    /// number of events that are kept.
    fn check(before: &[u8], after: &[u8], is_closed: bool, kept: u64) {
        let folder = Folder::new();
        let import = ["trace", "import", "-", "-o", "new.mcap"];
        let mut child = start_with(Stdio::piped(), &folder, &import);
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(before).unwrap();
        await_file(&folder, "new.mcap.partial", 1);
        signal(&child, "INT");
        await_heard(&mut child);
        pipe.write_all(after).unwrap();
        let pipe = (!is_closed).then_some(pipe);
        let (exit, said) = end(child);
        drop(pipe);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(exit, Some(130), "{said}");
        assert!(last.starts_with(&format!("Imported {kept} events of a ")), "{said}");
        assert!(last.contains(" into new.mcap; "), "{said}");
        assert!(last.ends_with("; ended by SIGINT"), "{said}");
        let info = folder.json(&["trace", "check", "new.mcap"], 0, "the trace is good");
        assert_eq!(info["trace"]["events"], kept, "{info}");
    }
    let whole = capture(101);
    let (before, last) = whole.split_at(whole.len() - 116);
    // Data that the program before the pipe still holds, and an event that it never ends.
    check(before, last, true, 101);
    check(before, &last[..50], false, 100);
    let lines = "{\"payload\":\"hello\"}\n".repeat(300);
    check(lines.as_bytes(), b"{\"payload\":\"you\"}\n", true, 301);
    check(lines.as_bytes(), b"{\"payload\":\"yo", false, 300);
    check(lines.as_bytes(), b"{\"payload\":\"yo", true, 300);
    check(lines.as_bytes(), b"{\"payload\":\"you\"}", false, 301);
}

#[cfg(target_os = "linux")]
#[test]
fn an_import_of_nothing_ends_with_a_sentence() {
    let folder = Folder::new();
    let import = ["trace", "import", "-", "-o", "new.mcap"];
    let mut child = start_with(Stdio::piped(), &folder, &import);
    let pipe = child.stdin.take().unwrap();
    await_listening(&child);
    signal(&child, "TERM");
    let (exit, said) = end(child);
    drop(pipe);
    let last = said.lines().last();
    assert_eq!((exit, last), (Some(143), Some("Imported 0 events; ended by SIGTERM")), "{said}");
    assert!(!folder.0.path().join("new.mcap").exists());
}

#[test]
fn a_pipe_that_ends_early_is_a_short_file() {
    fn check(bytes: &[u8]) {
        let folder = Folder::new();
        fs::write(folder.0.path().join("short"), bytes).unwrap();
        let (expected, _) = end(start(&folder, &["trace", "import", "short", "-o", "file.mcap"]));
        let import = ["trace", "import", "-", "-o", "pipe.mcap"];
        let mut child = start_with(Stdio::piped(), &folder, &import);
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let (exit, said) = end(child);
        assert_eq!(exit, expected, "{bytes:?}: {said}");
    }
    check(b"");
    check(b"\n");
    check(b"abc");
    check(b"abcd");
    check(&capture(1)[..30]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_file_is_refused_with_a_remedy_that_helps() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("in.pcap"), capture(1)).unwrap();
    let device = ["trace", "import", "in.pcap", "-o", "/dev/full", "--force"];
    folder.check(&device, 1, "", "it is there and no file: /dev/full; record elsewhere");
    let pipe = folder.0.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Neither end waits for the other.
    let generate = ["trace", "generate", "a.mcap", "--frames", "9", "--json", "pipe"];
    folder.check(
        &generate,
        1,
        "",
        "nobody reads this pipe; start the program that reads it first: pipe",
    );
    let import = ["trace", "import", "pipe", "-o", "new.mcap"];
    folder.check(
        &import,
        5,
        "",
        "it is a pipe, not a file: pipe; pipe it into `glovebox trace import -`",
    );
}

#[test]
fn half_of_a_trace_or_file_is_not_written() {
    let folder = Folder::new();
    folder.check(&["trace", "generate", "in.mcap", "--frames", "90000"], 0, "", "90000");
    fs::write(folder.0.path().join("in.pcap"), capture(200_000)).unwrap();
    let check = |arguments: &[&str], expected: &str| {
        let child = start(&folder, &[arguments, &["-o", "new.mcap"]].concat());
        await_file(&folder, "new.mcap.partial", 1);
        signal(&child, "INT");
        let (exit, said) = end(child);
        assert_eq!(exit, Some(130), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(said.trim_end().ends_with("; ended by SIGINT"), "{said}");
        assert!(!folder.0.path().join("new.mcap").exists(), "{arguments:?}");
        assert!(!folder.0.path().join("new.mcap.partial").exists(), "{arguments:?}");
    };
    check(
        &["trace", "recover", "in.mcap"],
        "Recovered 0 events: write trace: reading was cancelled",
    );
    check(&["trace", "import", "in.pcap"], "then stopped: import: reading was cancelled: in.pcap");
}
