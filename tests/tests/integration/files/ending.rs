//! Signals: what is recorded is closed, temporary folders go, and the last sentence is true.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use glovebox_inspector::trace::TraceReader;

use super::Folder;

/// A program that runs in a folder, with folders of a user of its own.
fn start(folder: &Folder, arguments: &[&str]) -> Child {
    let mut command = heeding_signals(&folder.command(arguments));
    command.env("XDG_CACHE_HOME", folder.0.path().join("cache"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The same program, to which signals mean what they mean to most. Whoever runs these tests in the
/// background, or under `nohup`, makes them ignore some, and children inherit that.
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
        assert_eq!(said.lines().count(), 1, "{said}");
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
fn a_signal_that_was_ignored_stays_ignored() {
    let folder = slow_trace();
    let mut command = Command::new("sh");
    // What a shell ignores, its children ignore.
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
