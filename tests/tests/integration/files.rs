//! What the program reads and writes: nothing is lost, nothing blocks, and no text steers a terminal.

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
        // What stays inside is followed, and the folder itself may be a link.
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
