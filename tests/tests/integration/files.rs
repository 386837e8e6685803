//! The files that the program reads and writes: nothing is lost, nothing blocks, and no text steers
//! a terminal.

mod ending;
mod text;
mod unix;

use std::fs;

use glovebox_tests::{root, sample};

use super::cli::Folder;

/// A folder with a trace, a second name for it, and a file that is nobody's input.
fn prepared() -> Folder {
    let folder = Folder::with_trace();
    let path = |name: &str| folder.0.path().join(name);
    fs::hard_link(path("in.mcap"), path("hard.mcap")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("in.mcap", path("soft.mcap")).unwrap();
    fs::write(path("old"), "precious").unwrap();
    folder
}

/// Every option of every verb that names a file to be written.
const WRITERS: [&[&str]; 20] = [
    &["trace", "export", "in.mcap", "-o"],
    &["trace", "export", "in.mcap", "--as", "pcapng", "-o", "new", "--dissector"],
    &["trace", "export", "in.mcap", "-o", "new", "--json"],
    &["trace", "filter", "in.mcap", "kind:data", "-o"],
    &["trace", "recover", "in.mcap", "-o"],
    &["trace", "merge", "in.mcap", "in.mcap", "-o"],
    &["trace", "anonymize", "in.mcap", "--pattern", "mail", "-o"],
    &["trace", "import", "in.ndjson", "-o"],
    &["trace", "generate", "--frames", "3"],
    &["trace", "shrink", "in.mcap", "--plugin", "plugins/stats.wasm", "-o"],
    &["trace", "info", "in.mcap", "--json"],
    &["trace", "check", "in.mcap", "--json"],
    &["inspect", "plugins/echo.wasm", "--json"],
    &["call", "plugins/echo.wasm", "--json"],
    &["discover", ".", "--json"],
    &["replay", "in.mcap", "--plugin", "plugins/stats.wasm", "--record"],
    &["replay", "in.mcap", "--plugin", "plugins/stats.wasm", "--json"],
    &["replay", "in.mcap", "--plugin", "plugins/stats.wasm", "--junit"],
    &["diff", "in.mcap", "in.mcap", "--html"],
    &["diff", "in.mcap", "in.mcap", "--junit"],
];

#[test]
fn no_verb_overwrites_what_it_was_not_told_to() {
    let folder = prepared();
    for writer in WRITERS {
        let arguments = [writer, &["old"]].concat();
        folder.check(&arguments, 2, "", "will not overwrite; choose another name, or add --force");
        assert_eq!(fs::read(folder.0.path().join("old")).unwrap(), b"precious", "{writer:?}");
        let _ = fs::remove_file(folder.0.path().join("new"));
    }
}

#[test]
fn no_verb_writes_what_it_reads() {
    let folder = prepared();
    let before = fs::read(folder.0.path().join("in.mcap")).unwrap();
    let names = ["in.mcap", "./in.mcap", "hard.mcap", "soft.mcap"];
    for writer in WRITERS.into_iter().filter(|writer| writer.contains(&"in.mcap")) {
        for name in &names[..if cfg!(unix) { 4 } else { 3 }] {
            let arguments = [writer, &[*name, "--force"]].concat();
            folder.check(&arguments, 2, "", "it is the input");
            let after = fs::read(folder.0.path().join("in.mcap")).unwrap();
            assert!(before == after, "{arguments:?} changed its input");
            let _ = fs::remove_file(folder.0.path().join("new"));
        }
    }
}

#[test]
fn every_verb_replaces_a_file_when_told_to() {
    let folder = prepared();
    let old = folder.0.path().join("old");
    // There is nothing to shrink in a trace that does not fail.
    for writer in WRITERS.into_iter().filter(|writer| !writer.contains(&"shrink")) {
        fs::write(&old, "precious").unwrap();
        let arguments = [writer, &["old", "--force"]].concat();
        let run = folder.run(&arguments);
        assert!(run.status.success(), "{run:?}");
        assert_ne!(fs::read(&old).unwrap(), b"precious", "{writer:?}");
        let _ = fs::remove_file(folder.0.path().join("new"));
    }
    let entries = fs::read_dir(folder.0.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    // The folder of the user's data.
    names.retain(|name| name != "data-home");
    names.sort();
    assert_eq!(names, ["hard.mcap", "in.mcap", "in.ndjson", "old", "soft.mcap"]);
}

#[test]
fn an_old_trace_comes_back_if_there_is_no_new_one() {
    let folder = prepared();
    folder.write("broken.ndjson", "{\"plugin\": 3}\n");
    folder.check(&["trace", "import", "broken.ndjson", "-o", "old", "--force"], 5, "", "import:");
    assert_eq!(fs::read(folder.0.path().join("old")).unwrap(), b"precious");
}

#[test]
fn no_verb_replaces_what_it_finds_by_itself() {
    /// The file `x` has this content, and a verb finds it through what its arguments name.
    fn check(content: &[u8], name: &str, arguments: &[&str]) {
        let folder = prepared();
        folder.write("c.json", "{}");
        fs::copy(sample("echo.wasm"), folder.0.path().join("echo.wasm")).unwrap();
        fs::create_dir(folder.0.path().join("plug")).unwrap();
        fs::copy(sample("echo.wasm"), folder.0.path().join("plug/a.wasm")).unwrap();
        folder.write(
            "plug/plugin.toml",
            "[plugin]\nid = \"p\"\nversion = \"1.0.0\"\n[artifact]\nwasm = \"a.wasm\"\n",
        );
        folder.write(
            "pipe.toml",
            "[pipeline]\noutputs = 'one'\n[stage.one]\nfrom = 'input'\nplugin = 'echo.wasm'\n",
        );
        if !content.is_empty() {
            folder.write(name, content);
        }
        let before = fs::read(folder.0.path().join(name)).unwrap();
        let arguments = [arguments, &[name, "--force"]].concat();
        folder.check(&arguments, 2, "", "it is the input");
        let after = fs::read(folder.0.path().join(name)).unwrap();
        assert!(before == after, "{arguments:?} changed what it reads");
    }
    for option in ["--config", "--payload", "--header"] {
        check(b"{}", "c.json", &["call", "echo.wasm", option, "@c.json", "--json"]);
    }
    // Said before anything else is found wrong.
    for option in ["--config", "--payload", "--header"] {
        check(b"{}", "c.json", &["call", "nowhere.wasm", option, "@c.json", "--json"]);
    }
    let replay = ["replay", "in.mcap", "--plugin", "echo.wasm", "--config", "@c.json"];
    for option in ["--record", "--junit", "--json"] {
        check(b"{}", "c.json", &[&replay[..], &[option]].concat());
    }
    check(b"\n", "glovebox.toml", &["call", "echo.wasm", "--json"]);
    for name in ["plug/plugin.toml", "plug/a.wasm"] {
        check(b"", name, &["call", "plug", "--json"]);
        check(b"", name, &["discover", ".", "--json"]);
    }
    check(b"", "echo.wasm", &["run", "pipe.toml", "--trace", "in.mcap", "--json"]);
    check(b"", "echo.wasm", &["run", "pipe.toml", "--trace", "in.mcap", "--record"]);
    check(b"", "echo.wasm", &["replay", "in.mcap", "--pipeline", "pipe.toml", "--junit"]);
}

#[test]
fn outputs_have_names_of_their_own() {
    fn check(arguments: &[&str], exit: i32, expected: &str) {
        let folder = prepared();
        #[cfg(unix)]
        std::os::unix::fs::symlink("new", folder.0.path().join("to-new")).unwrap();
        folder.check(&[arguments, &["--force"]].concat(), exit, "", expected);
        // A run that is refused writes nothing, and a link stays one.
        let new = folder.0.path().join("new");
        assert!(exit == 0 || !new.exists(), "{arguments:?}");
        #[cfg(unix)]
        assert!(folder.0.path().join("to-new").is_symlink(), "{arguments:?}");
    }
    let replay = ["replay", "in.mcap", "--plugin", "plugins/stats.wasm"];
    let both = "two outputs have one name";
    for (one, other) in [("new", "new"), ("new", "./new"), ("old", "old"), ("-", "-")] {
        let both = if one == "-" { "two results want stdout" } else { both };
        check(&[&replay[..], &["--json", one, "--junit", other]].concat(), 2, both);
        check(&["diff", "in.mcap", "in.mcap", "--html", one, "--junit", other], 2, both);
    }
    check(&[&replay[..], &["--record", "new", "--json", "new"]].concat(), 2, both);
    check(&["trace", "generate", "new", "--frames", "3", "--json", "new"], 2, both);
    #[cfg(unix)]
    check(&[&replay[..], &["--record", "new", "--json", "to-new"]].concat(), 2, both);
    let pcapng = ["trace", "export", "in.mcap", "--as", "pcapng", "-o", "new"];
    check(&[&pcapng[..], &["--dissector", "new"]].concat(), 2, both);
    #[cfg(unix)]
    check(&["diff", "in.mcap", "in.mcap", "--html", "/dev/null", "--junit", "/dev/null"], 0, "");
    #[cfg(unix)]
    {
        let folder = prepared();
        std::os::unix::fs::symlink("new", folder.0.path().join("to-new")).unwrap();
        folder.check(&["trace", "info", "in.mcap", "--json", "to-new", "--force"], 0, "", "");
        assert!(folder.0.path().join("to-new").is_symlink(), "what it leads to is written");
        assert!(fs::read(folder.0.path().join("new")).unwrap().starts_with(b"{"));
    }
    // The names of parts are not known before.
    let folder = prepared();
    let split = ["trace", "split", "in.mcap", "--frames", "1", "-o", "part.mcap"];
    let arguments = [&split[..], &["--json", "part.001.mcap", "--force"]].concat();
    folder.check(&arguments, 2, "", "the same command writes it already");
    folder.check(&["trace", "info", "part.001.mcap"], 0, "frames", "");
}

#[test]
fn a_minus_is_stdout_or_refused() {
    let folder = prepared();
    let trace = "a trace is a file; for a file of that name write ./-";
    folder.check(&["trace", "filter", "in.mcap", "kind:data", "-o", "-"], 2, "", trace);
    folder.check(&["trace", "split", "in.mcap", "--frames", "1", "-o", "-"], 2, "", trace);
    folder.check(&["trace", "generate", "-", "--frames", "3"], 2, "", trace);
    let replay = ["replay", "in.mcap", "--plugin", "plugins/stats.wasm"];
    folder.check(&[&replay[..], &["--record", "-"]].concat(), 2, "", trace);
    let out = folder.check(&[&replay[..], &["--junit", "-"]].concat(), 0, "</testsuites>", "4");
    assert!(out.starts_with("<?xml") && out.trim_end().ends_with("</testsuites>"), "{out}");
    let out = folder.check(&["diff", "in.mcap", "in.mcap", "--html", "-"], 0, "</html>", "");
    assert!(out.trim_end().ends_with("</html>"), "{out}");
    assert!(!folder.0.path().join("-").exists());
    folder.check(&["trace", "generate", "./-", "--frames", "3"], 0, "", "Generated 3 frames");
    assert!(folder.0.path().join("-").exists());
}

#[test]
fn what_a_failed_run_left_gives_way_to_force() {
    let folder = prepared();
    folder.write("new.partial", "half a trace");
    let generate = ["trace", "generate", "new", "--frames", "3"];
    folder.check(&generate, 2, "", "a recording that did not finish left this file");
    folder.check(&[&generate[..], &["--force"]].concat(), 0, "", "Generated 3 frames");
    assert!(!folder.0.path().join("new.partial").exists());
    // Somebody writes this one.
    folder.write("old.partial", "half a trace");
    let held = fs::File::open(folder.0.path().join("old.partial")).unwrap();
    held.lock().unwrap();
    let generate = ["trace", "generate", "old", "--frames", "3", "--force"];
    folder.check(&generate, 1, "", "somebody is writing it now");
    drop(held);
    // And this one is what is read.
    fs::rename(folder.0.path().join("new"), folder.0.path().join("new.partial")).unwrap();
    let recover = ["trace", "recover", "new.partial", "-o", "new", "--force"];
    folder.check(&recover, 2, "", "it is the input");
    assert!(folder.0.path().join("new.partial").exists());
}

/// The old trace is there until the new one is whole, whatever ends the run.
#[cfg(unix)]
#[test]
fn a_killed_replay_leaves_the_old_trace() {
    let folder = prepared();
    let generate = ["trace", "generate", "slow.mcap", "--frames", "9", "--plugin", "stats"];
    folder.check(&generate, 0, "", "Generated 9 frames");
    let replay = ["replay", "slow.mcap", "--plugin", "plugins/stats.wasm", "--speed", "x0.000001"];
    let arguments = [&replay[..], &["--record", "old", "--force"]].concat();
    let mut run = folder.command(&arguments).spawn().unwrap();
    let partial = folder.0.path().join("old.partial");
    while !partial.exists() && run.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(partial.exists());
    assert_eq!(fs::read(folder.0.path().join("old")).unwrap(), b"precious");
    let replay = ["replay", "in.mcap", "--plugin", "plugins/stats.wasm"];
    folder.check(&[&replay[..], &["--record", "old", "--force"]].concat(), 0, "", "4");
    folder.check(&["trace", "info", "old"], 0, "finished     yes", "");
}

#[test]
fn a_replay_that_cannot_start_keeps_the_old_trace() {
    let folder = prepared();
    folder.write("broken.wasm", "nothing");
    let replay = ["replay", "in.mcap", "--plugin", "broken.wasm", "--record", "old", "--force"];
    folder.check(&replay, 3, "", "Replayed 0 frames");
    assert_eq!(fs::read(folder.0.path().join("old")).unwrap(), b"precious");
    assert!(!folder.0.path().join("old.partial").exists());
}

#[test]
fn imports_are_split_and_parts_replaced() {
    let folder = prepared();
    let split = ["trace", "split", "in.mcap", "--frames", "1", "-o", "part.mcap"];
    folder.check(&split, 0, "part.004.mcap", "into 4 parts");
    folder.check(&split, 2, "", "will not overwrite");
    folder.check(&[&split[..], &["--force"]].concat(), 0, "part.004.mcap", "into 4 parts");
    // A part is never what is split.
    let split = ["trace", "split", "part.001.mcap", "--frames", "1", "-o", "part.mcap", "--force"];
    folder.check(&split, 2, "", "the same command reads or writes it already");
    folder.check(&["trace", "info", "part.001.mcap"], 0, "1 in, 0 out", "");
}

#[test]
fn half_an_export_leaves_nothing() {
    let folder = prepared();
    folder.write("no.mcap", "nothing of a trace");
    folder.check(&["trace", "export", "no.mcap", "-o", "new"], 5, "", "read trace:");
    assert!(!folder.0.path().join("new").exists());
}

#[test]
fn operators_of_other_languages_are_named() {
    let folder = Folder::with_trace();
    for (filter, remedy) in [("text:a || text:b", "write `or`"), ("text:a&&text:b", "write `and`")]
    {
        let run = folder.run(&["trace", "filter", "in.mcap", filter, "-o", "new.mcap"]);
        assert_eq!(run.status.code(), Some(2), "{filter}");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(said.contains(remedy), "{filter}: {said}");
        assert!(!folder.0.path().join("new.mcap").exists());
    }
}

#[test]
fn discover_stays_below_its_folder() {
    let folder = Folder::new();
    let path = |name: &str| folder.0.path().join(name);
    for inner in ["in/deep", "out", "named"] {
        fs::create_dir_all(path(inner)).unwrap();
    }
    fs::copy(sample("echo.wasm"), path("in/deep/echo.wasm")).unwrap();
    fs::copy(sample("redact.wasm"), path("out/redact.wasm")).unwrap();
    let manifest =
        "[plugin]\nid = \"far\"\nversion = \"1.0.0\"\n[artifact]\nwasm = \"../../out/redact.wasm\"";
    fs::write(path("in/deep/plugin.toml"), manifest).unwrap();
    let mut left_out = 1;
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../out", path("in/folder")).unwrap();
        std::os::unix::fs::symlink("../out/redact.wasm", path("in/file.wasm")).unwrap();
        std::os::unix::fs::symlink(root(), path("in/root")).unwrap();
        // Links that stay inside are followed, and the folder itself may be a link.
        std::os::unix::fs::symlink("deep", path("in/again")).unwrap();
        std::os::unix::fs::symlink("in", path("named/link")).unwrap();
        left_out += 3;
    }
    let json = folder.json(&["discover", "in"], 0, "Found 1 of 1 plugin");
    assert_eq!(json["plugins"][0]["id"], "echo");
    let findings = json["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["finding"] == "lead-out").unwrap();
    assert_eq!(finding["count"], left_out, "{finding}");
    folder.json(&["discover", "in", "in/deep/plugin.toml"], 0, "Found 2 of 2 plugins");
}

#[test]
fn a_file_that_has_the_name_of_an_index_stays() {
    let folder = Folder::new();
    // Only the index of a large trace is kept.
    folder.check(&["trace", "generate", "in.mcap", "--frames", "90000"], 0, "", "90000");
    let beside = folder.0.path().join("in.mcap.index");
    let check = |arguments: &[&str], notes: usize| {
        let run = folder.run(arguments);
        assert!(run.status.success(), "{run:?}");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(said.matches("a file that is no index has its name; move").count(), notes);
        assert_eq!(said.lines().count(), notes + 1, "{said}");
    };
    let filter = ["trace", "filter", "in.mcap", "payload.order=7", "--force", "-o", "out.mcap"];
    fs::write(&beside, "my notes").unwrap();
    check(&filter, 1);
    check(&["trace", "merge", "in.mcap", "out.mcap", "--force", "-o", "both.mcap"], 1);
    assert_eq!(fs::read_to_string(&beside).unwrap(), "my notes");
    fs::remove_file(&beside).unwrap();
    check(&filter, 0);
    assert!(fs::read(&beside).unwrap().starts_with(b"GBINDEX"));
}

/// A verb that fails early has not read yet what it must not replace.
#[test]
fn an_error_replaces_nothing_but_an_earlier_report() {
    let folder = Folder::with_trace();
    fs::create_dir(folder.0.path().join("plug")).unwrap();
    folder.write("plug/plugin.toml", "[plugin]\nid = \"echo\"\n[artifact]\nwasm = \"echo.wasm\"\n");
    folder.write("plug/echo.wasm", fs::read(glovebox_tests::sample("echo.wasm")).unwrap());
    folder.write("other.mcap", "not a trace");
    let check = |arguments: &[&str], file: &str| {
        let before = fs::read(folder.0.path().join(file)).unwrap();
        let run = folder.run(&[arguments, &["--json", file, "--force"]].concat());
        assert!(!run.status.success(), "{arguments:?}");
        assert_eq!(fs::read(folder.0.path().join(file)).unwrap(), before, "{arguments:?}");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(said.contains("holds no earlier report"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    check(&["call", "plug", "--config", "{"], "plug/plugin.toml");
    check(&["replay", "nothere", "--plugin", "plug"], "plug/echo.wasm");
    check(&["call", "plug", "--policy", "nothere"], "plug/echo.wasm");
    check(&["trace", "filter", "in.mcap", "kind:data", "-o", "other.mcap"], "other.mcap");
    folder.write("report.json", "{\"verb\":\"call\",\"exit\":0,\"sentence\":\"\"}");
    let run = folder.run(&["call", "plug", "--config", "{", "--json", "report.json", "--force"]);
    assert!(!run.status.success());
    let report = fs::read_to_string(folder.0.path().join("report.json")).unwrap();
    assert!(report.contains("\"error\""), "{report}");
}

#[test]
fn an_artifact_is_not_replaced_by_the_report_about_it() {
    let folder = Folder::new();
    fs::create_dir(folder.0.path().join("plug")).unwrap();
    folder.write("plug/plug.wat", "(module (func (export \"glovebox_abi_0_1\")))");
    let artifact = "plug/target/glovebox/plug.frame-abi.wasm";
    for _ in 0..2 {
        let build = ["build", "plug", "--json", artifact, "--force"];
        folder.check(&build, 2, "", "the same command writes it already");
        assert!(fs::read(folder.0.path().join(artifact)).unwrap().starts_with(b"\0asm"));
    }
}

#[test]
fn names_may_be_as_long_as_systems_take() {
    let folder = prepared();
    let name = |length: usize, ending: &str| "n".repeat(length - ending.len()) + ending;
    for length in [240, 247, 248, 255] {
        let (trace, json) = (name(length, ".mcap"), name(length, ".json"));
        folder.check(&["trace", "import", "in.ndjson", "-o", &trace, "--json", &json], 0, "", "");
        folder.check(&["trace", "info", &trace], 0, "", "");
        assert!(fs::read(folder.0.path().join(json)).unwrap().starts_with(b"{"));
    }
    let left = fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".partial")).collect();
    assert!(left.is_empty(), "{left:?}");
}
