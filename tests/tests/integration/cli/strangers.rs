//! Plugins, manifests and surroundings that mean no good: the program stays small, ends, and says
//! what is true.

use super::Folder;

/// Asks so many times for a key, of which its manifest does not ask.
fn asks_often(times: u32) -> String {
    format!(
        r#"(module
          (import "glovebox" "kv_get" (func $get (param i32 i32 i32 i32) (result i64)))
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 4)
          (data (i32.const 2048) "\52\00\01\00\00\00\00\00\04\00\00\00none")
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func (export "glovebox_process") (param i32) (result i64)
            (local $i i32)
            (loop $again
              (drop (call $get (i32.const 2060) (i32.const 4) (i32.const 8192) (i32.const 64)))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))
            (i64.const 0x80000000010)))"#
    )
}

#[test]
fn denied_calls_are_listed_in_bounds() {
    let folder = Folder::new();
    folder.write("guest.wat", asks_often(1_200));
    let prefix = "x".repeat(100_000);
    folder.write(
        "plugin.toml",
        format!(
            "[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n[permissions]\n\
             kv = {{ prefixes = [\"{prefix}\"] }}\n"
        ),
    );
    let json = folder.json(&["call", "."], 0, "1200 host calls denied");
    let denials = json["denials"].as_array().unwrap();
    assert_eq!((denials.len(), &json["denials_not_shown"]), (1_000, &200.into()));
    let longest = denials.iter().map(|denial| denial["why"].as_str().unwrap().len()).max();
    assert!(longest.is_some_and(|longest| longest < 1_100), "{longest:?}");
    let out = folder.check(&["call", "."], 0, "denied 200 times more", "1200 host calls denied");
    assert_eq!(out.matches("granted within").count(), 1);
}

#[cfg(unix)]
#[test]
fn the_largest_size_of_a_file_is_an_error_of_the_write() {
    let folder = Folder::new();
    let usual = folder.command(&["trace", "generate", "out.mcap", "--frames", "20000"]);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 16 && exec \"$@\"", "sh"]);
    limited.arg(usual.get_program()).args(usual.get_args()).current_dir(folder.0.path());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let run = limited.output().unwrap();
    let err = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{err}");
    let last = err.lines().last().unwrap_or_default();
    assert!(last.contains("write trace: ") && last.contains("ulimit -f"), "{err}");
    // Nor is half of it left.
    let left = std::fs::read_dir(folder.0.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("out.mcap")), "{left:?}");
}

#[test]
fn a_trace_of_which_nothing_can_be_read_is_no_success() {
    let folder = Folder::with_trace();
    let path = folder.0.path().join("in.mcap");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    folder.check(&["trace", "info", "in.mcap"], 5, "", "");
}

#[test]
fn suggestions_are_made_with_mocks() {
    let folder = Folder::new();
    folder.write("mock.toml", "[now]\nfixed = 2026-01-01T00:00:00Z\n");
    let plugin = "plugins/echo.wasm";
    let suggest = ["policy", "suggest", plugin, "--payload", "x", "--mock"];
    folder.check(&[&suggest[..], &["mock.toml"]].concat(), 0, "[permissions]", "Suggested");
    folder.check(&[&suggest[..], &["none.toml"]].concat(), 2, "", "read mock");
}

#[test]
fn a_name_that_is_too_long_is_refused_before_anything_runs() {
    let folder = Folder::with_trace();
    let name = "x".repeat(300);
    let replay = ["replay", "in.mcap", "--plugin", "plugins/stats.wasm"];
    folder.refused(&[&replay[..], &["--json", &name]].concat(), 1, "write", "a shorter name");
    folder.refused(&[&replay[..], &["--record", &name]].concat(), 1, "write", "a shorter name");
}

/// A name can hold anything, and a report is read line by line.
#[test]
fn names_of_strangers_stay_on_their_line() {
    let folder = Folder::new();
    let fields = "\"instance\":0,\"generation\":1,\"plugin\":\"x\\nforged all is well\"";
    let digest = "0".repeat(64);
    let lines = |payload: &str| {
        [
            format!(
                "{{\"type\":\"loaded\",\"at\":1,\"sequence\":1,{fields},\"binding\":\"frame-abi\",\
                 \"tier\":\"wasm\",\"version\":\"1\",\"digest\":\"{digest}\",\"cached\":false,\"took\":1}}"
            ),
            format!("{{\"at\":2,\"sequence\":2,\"call\":1,{fields},\"payload\":{{}}}}"),
            format!(
                "{{\"type\":\"frame-out\",\"at\":3,\"sequence\":3,\"call\":1,{fields},\
                 \"payload\":{{\"a\\nforged\":{payload}}}}}"
            ),
            format!(
                "{{\"type\":\"call-ended\",\"at\":4,\"sequence\":4,\"call\":1,{fields},\"queue\":0,\
                 \"guest\":1000,\"host\":0,\"boundary\":0,\"bytes-in\":1,\"bytes-out\":1,\
                 \"frames-out\":1,\"memory\":1,\"outcome\":{{\"outcome\":\"completed\"}}}}"
            ),
        ]
        .join("\n")
    };
    for (name, payload) in [("a", "1"), ("b", "2")] {
        folder.write(&format!("{name}.ndjson"), lines(payload));
        let (from, to) = (format!("{name}.ndjson"), format!("{name}.mcap"));
        folder.check(&["trace", "import", &from, "-o", &to], 0, "", "Imported 4 events");
    }
    for (arguments, exit) in [
        (&["trace", "info", "a.mcap"][..], 0),
        (&["trace", "findings", "a.mcap"], 0),
        (&["diff", "a.mcap", "b.mcap"], 1),
    ] {
        let out = folder.check(arguments, exit, "", "");
        let forged = out.lines().any(|line| line.trim_start().starts_with("forged"));
        assert!(!forged, "{arguments:?}: {out}");
    }
}

/// A plugin that fails at once may not have come to what it needs.
#[test]
fn nothing_is_suggested_as_complete_after_calls_that_failed() {
    let folder = Folder::new();
    folder.write(
        "guest.wat",
        r#"(module
          (func (export "glovebox_abi_0_1"))
          (memory (export "memory") 4)
          (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
          (func (export "glovebox_process") (param i32) (result i64) unreachable))"#,
    );
    folder.write("plugin.toml", "[plugin]\nid = \"guest\"\n[artifact]\nwasm = \"guest.wat\"\n");
    let json = folder.json(&["policy", "suggest", ".", "--payload", "x"], 1, "1 of 1 call failed");
    assert_eq!((&json["complete"], &json["failed_calls"]), (&false.into(), &1.into()));
}

/// All verbs say the same of a wrong file, and each what to do with it.
#[test]
fn a_foreign_file_has_one_name_in_all_verbs() {
    #[track_caller]
    fn check(bytes: &[u8], name: &str, remedies: [&str; 3]) {
        let folder = Folder::new();
        folder.write("some.file", bytes);
        let verbs: [&[&str]; 3] = [
            &["trace", "info", "some.file"],
            &["trace", "import", "some.file", "-o", "new.mcap"],
            &["inspect", "some.file"],
        ];
        for (verb, remedy) in verbs.into_iter().zip(remedies) {
            // A trace may be of a failure, so that `inspect` looks into each.
            let is_plugin = verb[0] == "inspect" && !bytes.starts_with(mcap::MAGIC);
            folder.refused(verb, if is_plugin { 3 } else { 5 }, name, remedy);
        }
    }
    let all = |remedy| [remedy; 3];
    check(b"PK\x03\x04rest", "a zip archive", all("unpack it with `unzip`"));
    check(
        b"SQLite format 3\0",
        "a SQLite database",
        ["give a .mcap file", "give a pcap, pcapng, NDJSON or HAR file", "name a .wasm"],
    );
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0";
    check(pointer, "a pointer of Git LFS", all("`git lfs pull`"));
    let perfetto = b"\x0A\x03\x80\x01\x02\x0A\x02\x50\xFF\x0A\x01\xFF";
    check(perfetto, "a trace of Perfetto", all("look at it in Perfetto"));
    let options = mcap::WriteOptions::new().profile("ros2");
    let mut writer = options.create(std::io::Cursor::new(Vec::new())).unwrap();
    writer.finish().unwrap();
    let ros = writer.into_inner().into_inner();
    check(&ros, "an MCAP file of another program", all("export its messages as NDJSON"));
}
