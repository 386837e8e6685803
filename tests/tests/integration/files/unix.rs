//! Names that are no UTF-8, pipes and devices, which only Unix has.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use glovebox_tests::sample;

use super::Folder;

#[test]
fn names_need_not_be_utf_8() {
    let folder = Folder::with_trace();
    let name =
        |ending: &str| OsStr::from_bytes(&[b"caf\xe9", ending.as_bytes()].concat()).to_owned();
    let path = |ending: &str| folder.0.path().join(name(ending));
    fs::copy(sample("stats.wasm"), path(".wasm")).unwrap();
    fs::rename(folder.0.path().join("in.mcap"), path(".mcap")).unwrap();
    fs::rename(folder.0.path().join("in.ndjson"), path(".ndjson")).unwrap();
    fs::write(path(".toml"), "").unwrap();
    // `NAME…` is such a file.
    let check = |arguments: &[&str], exit: i32| {
        for json in [&[][..], &["--json", "-"]] {
            let mut command = folder.command(&[]);
            for argument in arguments.iter().chain(json) {
                match argument.strip_prefix("NAME") {
                    Some(ending) => command.arg(name(ending)),
                    None => command.arg(argument),
                };
            }
            let run = command.output().unwrap();
            let said = String::from_utf8(run.stderr).expect("it is shown lossily");
            assert_eq!(run.status.code(), Some(exit), "{arguments:?}: {said}");
            assert!(!said.contains("panicked"), "{arguments:?}: {said}");
            // The window has none.
            if !json.is_empty() && arguments != ["NAME.nowhere"] {
                let out = serde_json::from_slice::<serde_json::Value>(&run.stdout);
                assert!(out.is_ok(), "{arguments:?}: {out:?}");
            }
            let entries = fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap());
            for new in entries.filter(|entry| entry.file_name().as_bytes().ends_with(b".new")) {
                fs::remove_file(new.path()).unwrap();
            }
        }
    };
    check(&["inspect", "NAME.wasm"], 0);
    check(&["call", "NAME.wasm"], 0);
    check(&["discover", "."], 0);
    check(&["discover", "NAME.wasm"], 0);
    check(&["replay", "NAME.mcap", "--plugin", "NAME.wasm", "--record", "NAME.new"], 0);
    check(&["replay", "NAME.mcap", "--plugin", "NAME.wasm", "--junit", "NAME.new"], 0);
    check(&["diff", "NAME.mcap", "NAME.mcap", "--html", "NAME.new"], 0);
    check(&["policy", "check", "NAME.toml"], 0);
    check(&["policy", "explain", "NAME.wasm", "--policy", "NAME.toml"], 0);
    check(&["policy", "suggest", "NAME.wasm", "--trace", "NAME.mcap"], 0);
    check(&["trace", "info", "NAME.mcap"], 0);
    check(&["trace", "check", "NAME.mcap"], 0);
    check(&["trace", "findings", "NAME.mcap"], 0);
    check(&["trace", "import", "NAME.ndjson", "-o", "NAME.new"], 0);
    check(&["trace", "export", "NAME.mcap", "-o", "NAME.new"], 0);
    check(&["trace", "filter", "NAME.mcap", "kind:data", "-o", "NAME.new"], 0);
    check(&["trace", "recover", "NAME.mcap", "-o", "NAME.new"], 0);
    check(&["trace", "merge", "NAME.mcap", "NAME.mcap", "-o", "NAME.new"], 0);
    check(&["trace", "split", "NAME.mcap", "--frames", "1", "-o", "NAME.new"], 0);
    check(&["trace", "anonymize", "NAME.mcap", "--pattern", "mail", "-o", "NAME.new"], 0);
    check(&["trace", "generate", "--frames", "3", "NAME.new"], 0);
    check(&["trace", "shrink", "NAME.mcap", "--plugin", "NAME.wasm", "-o", "NAME.new"], 1);
    check(&["NAME.nowhere"], 2);
}

/// Waiting for a pipe that nobody writes, or for the end of a device, would be waiting for ever.
#[test]
fn nothing_waits_for_what_has_no_end() {
    let folder = Folder::with_trace();
    let made = Command::new("mkfifo").arg(folder.0.path().join("pipe")).status();
    assert!(made.unwrap().success());
    let verbs: [(&[&str], i32); 17] = [
        (&["inspect", "FILE"], 3),
        (&["call", "FILE"], 3),
        (&["call", "plugins/echo.wasm", "--payload", "@FILE"], 2),
        (&["call", "plugins/echo.wasm", "--config", "@FILE"], 2),
        (&["call", "plugins/echo.wasm", "--policy", "FILE"], 2),
        (&["call", "plugins/echo.wasm", "--workspace", "FILE"], 2),
        (&["call", "plugins/echo.wasm", "--mock", "FILE"], 2),
        (&["discover", "FILE"], 0),
        (&["run", "FILE", "--trace", "in.mcap"], 2),
        (&["replay", "FILE", "--plugin", "plugins/stats.wasm"], 5),
        (&["replay", "in.mcap", "--plugin", "plugins/stats.wasm", "--against", "FILE"], 5),
        (&["diff", "in.mcap", "FILE"], 5),
        (&["diff", "FILE", "in.mcap"], 5),
        (&["policy", "check", "FILE"], 2),
        (&["trace", "info", "FILE"], 5),
        (&["trace", "filter", "FILE", "kind:data", "-o", "new"], 5),
        (&["trace", "recover", "FILE", "-o", "new"], 5),
    ];
    for (arguments, exit) in verbs {
        for file in ["pipe", "/dev/zero"] {
            let arguments = arguments.iter().map(|argument| argument.replace("FILE", file));
            let arguments: Vec<String> = arguments.collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let out = folder.check(&arguments, exit, "", "");
            assert!(!out.contains("completed"), "{arguments:?}: {out}");
        }
    }
    // A workspace is found by itself, and so is what it names.
    folder.write("glovebox.toml", "policy = \"/dev/zero\"\n");
    folder.refused(&["call", "plugins/echo.wasm"], 2, "read policy", "it is a device, not a file");
    fs::rename(folder.0.path().join("pipe"), folder.0.path().join("glovebox.toml")).unwrap();
    folder.check(&["call", "plugins/echo.wasm"], 0, "", "completed");
}
