//! The command line, run as a program: data on stdout, the last line on stderr, the exit code.

mod building;
mod compare;
mod consent;
mod derive;
mod findings;
mod lossless;
mod machine;
mod run;
mod strangers;
mod workspace;

use std::fs;
use std::process::{Command, Output, Stdio};

use glovebox_tests::{binary, replace, root, sample};
use serde_json::Value as Json;

/// A folder to work in.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// A folder with `in.mcap`: inputs for `stats`, made of NDJSON.
    pub(crate) fn with_trace() -> Folder {
        let folder = Folder::new();
        folder.write("in.ndjson", INPUTS);
        let run = folder.run(&["trace", "import", "in.ndjson", "-o", "in.mcap"]);
        assert!(run.status.success(), "{run:?}");
        folder
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.0.path());
        for argument in arguments {
            match argument.strip_prefix("plugins/") {
                Some(name) => command.arg(sample(name)),
                None => command.arg(argument),
            };
        }
        // Compiled plugins are kept for the next test, and nothing goes into a person's folders.
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command.env("XDG_DATA_HOME", self.0.path().join("data-home"));
        // Plugins are built for this machine here, and that cargo may be one for wasm alone.
        command.env_remove("GLOVEBOX_CARGO");
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("GLOVEBOX_LOG");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program; `plugins/NAME` is a sample. `sentence` is part of the last line on
    /// stderr, `data` of what goes to stdout.
    #[track_caller]
    pub(crate) fn check(
        &self,
        arguments: &[&str],
        exit: i32,
        data: &str,
        sentence: &str,
    ) -> String {
        let run = self.run(arguments);
        let (out, err) = (text(&run.stdout), text(&run.stderr));
        assert_eq!(run.status.code(), Some(exit), "{arguments:?}\n{out}\n{err}");
        assert!(out.contains(data), "{arguments:?}: {out}\ndoes not say {data:?}\n{err}");
        let last = err.lines().last().unwrap_or_default();
        assert!(last.contains(sentence), "{arguments:?}: {last}\ndoes not say {sentence:?}");
        assert!(!err.contains("panicked"), "{err}");
        out
    }

    /// As `check`, with the JSON that comes with `--json -`.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], exit: i32, sentence: &str) -> Json {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json", "-"]).collect();
        let out = self.check(&arguments, exit, "", sentence);
        let json: Json = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
        assert_eq!(json["exit"], exit);
        json
    }

    /// An error: one sentence with its stage and what to do about it, and nothing but that.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], exit: i32, stage: &str, remedy: &str) {
        let run = self.run(arguments);
        let (out, err) = (text(&run.stdout), text(&run.stderr));
        assert_eq!(run.status.code(), Some(exit), "{arguments:?}\n{out}\n{err}");
        assert_eq!(out, "", "{arguments:?}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        assert!(err.contains(stage), "{arguments:?}: {err} does not name stage {stage:?}");
        assert!(err.contains(remedy), "{arguments:?}: {err} does not say {remedy:?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const INPUTS: &str = r#"{"plugin":"stats","payload":"hello"}
{"plugin":"stats","payload":"hello you"}
{"plugin":"stats","kind":"control","payload":"report","header":{"id":"r1"}}
{"plugin":"stats","payload":"mail ann@example.org"}
"#;

#[test]
fn plugins_are_inspected() {
    let folder = Folder::new();
    let inspect = |plugin| folder.json(&["inspect", plugin], 0, "it can be loaded");
    let json = inspect("plugins/redact.wasm");
    assert_eq!(json["manifest"]["id"], "redact");
    assert_eq!(json["instance"]["binding"], "component");
    assert_eq!(json["exports"][0], "glovebox:plugin/guest@0.1.0");
    assert_eq!(json["artifact"]["digest"].as_str().map(str::len), Some(64));
    assert_eq!(json["missing"], Json::Array(Vec::new()));
    // An older kit imports no functions of the application.
    let imports = json["imports"].as_array().unwrap().len();
    assert!((2..=3).contains(&imports), "{json}");
    let json = inspect("plugins/echo.frame-abi.wasm");
    assert_eq!(json["instance"]["binding"], "frame ABI");
    let plugin = ["inspect", "plugins/redact.wasm"];
    folder.check(
        &plugin,
        0,
        "log         granted  asked for in the manifest",
        &format!("{imports} imports, 1 export"),
    );
    folder.write("bare.wat", "(module)");
    let out = folder.check(&["inspect", "bare.wat"], 3, "exports (0)", "it cannot be loaded: link");
    assert!(out.contains("missing export `glovebox_abi_0_1`; use the SDK's"), "{out}");
    assert!(out.contains("`license` under [plugin]"), "{out}");
}

#[test]
fn plugins_are_called() {
    let folder = Folder::new();
    let echo = |more: &[&str]| {
        let arguments = [&["call", "plugins/echo.wasm"], more].concat();
        folder.json(&arguments, 0, "completed")
    };
    let json = echo(&["--payload", "hello"]);
    assert_eq!(json["frames"], serde_json::json!([{"kind":"data","header":{},"payload":"hello"}]));
    let json = echo(&["--payload", "hex:00ff", "--header", r#"{"id":"a","n":7}"#]);
    assert_eq!(json["frames"][0]["payload_hex"], "00ff");
    assert_eq!(json["frames"][0]["header"], serde_json::json!({"id": "a", "n": 7}));
    folder.write("payload", "from a file");
    let json = echo(&["--payload", "@payload", "--repeat", "50"]);
    assert_eq!(json["frames"][0]["payload"], "from a file");
    assert_eq!(json["outcomes"]["completed"], 50);
    assert_eq!(json["answers_as_the_first"], 50);
    assert_eq!(json["timing"]["calls"], 50);
    assert!(json["timing"]["p50_ns"].as_u64() <= json["timing"]["p99_ns"].as_u64());
    let call = ["call", "plugins/redact.wasm", "--payload", "to ann@example.org"];
    let json = folder.json(&call, 0, "once: completed with 1 frame");
    assert_eq!(json["frames"][0]["payload"], "to [redacted]");
    assert_eq!(json["log"][0]["level"], "info");
    let config = [&call[..], &["--config", r#"{"replacement":"X"}"#]].concat();
    folder.check(&config, 0, "\nto X\n", "once: completed with 1 frame");
    folder.check(&[&call[..], &["--json", "report.json"]].concat(), 0, "to [redacted]", "once");
    assert!(folder.0.path().join("report.json").is_file());
}

#[test]
fn what_stops_a_plugin_is_in_the_exit_code() {
    let folder = Folder::new();
    let check = |mode: &str, exit, sentence: &str| {
        let payload = format!("mode={mode}");
        let call = ["call", "plugins/misbehave.wasm", "--payload", &payload];
        folder.json(&call, exit, sentence)
    };
    check("trap", 4, "once: trapped: unreachable");
    check("loop", 4, "once: timed out");
    check("flood", 4, "once: limit exceeded");
    check("fail", 1, "once: failed");
    let json = check("deny-me", 0, "denied");
    assert_ne!(json["denials"], Json::Array(Vec::new()));
    let handshake = ["call", "plugins/redact.wasm", "--kind", "handshake"];
    folder.check(&handshake, 1, "refused", "once: refused");
}

#[test]
fn traces_are_replayed_and_compared() {
    let folder = Folder::with_trace();
    let replay = |plugin: &str, more: &[&str], exit: i32, sentence: &str| {
        let arguments = [&["replay", "in.mcap", "--plugin", plugin], more].concat();
        folder.json(&arguments, exit, sentence)
    };
    let (first, second) = ("plugins/stats-v1.wasm", "plugins/stats.wasm");
    let json = replay(first, &["--record", "v1.mcap"], 0, "Replayed 4 frames");
    assert_eq!(json["outcomes"], serde_json::json!({"completed": 4}));
    assert_eq!(json["frames_out"], 1);
    assert_eq!(json["answers"]["calls_without"], 3);
    // Four of loading, two for each call, and an answer.
    assert_eq!(json["recorded"]["events"], 13);
    assert_eq!(json["latency"][0]["calls"], 4);
    replay(second, &["--record", "v2.mcap", "--speed", "x1000"], 0, "all completed");
    let json = folder.json(&["trace", "info", "v1.mcap"], 0, "Read 13 events");
    assert_eq!(json["plugins"][0]["version"], "1.0.0");
    let without = |trace, line: &str| {
        folder.check(&["trace", "info", trace], 0, line, "Read ");
        folder.json(&["trace", "info", trace], 0, "")["calls_without_outcome"].as_u64()
    };
    let line = "calls        4, 0 not completed; 0 more without an outcome\n";
    assert_eq!(without("v1.mcap", line), Some(0));
    let line = "calls        0, 0 not completed; 4 more without an outcome\n";
    assert_eq!(without("in.mcap", line), Some(4));
    let manifest = json["plugins"][0]["manifest"].as_str().unwrap();
    assert!(manifest.contains("[state]\nversion = 1"), "{manifest}");

    let json = folder.json(&["diff", "v1.mcap", "v2.mcap"], 1, "1 different: 1 changed");
    assert_eq!(json["differences"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["differences"][0]["call_after"], 3);
    let paths = json["differences"][0]["changes"].as_array().unwrap().iter();
    let paths: Vec<&str> = paths.map(|change| change["path"].as_str().unwrap()).collect();
    let expected =
        ["/payload/kinds/data/measured", "/payload/kinds/data/size", "/payload/state-version"];
    assert_eq!(paths, expected);
    let block = "  call #3 → #3\n  output 0 /payload/kinds/data/measured\n    + 2\n";
    folder.check(&["diff", "v1.mcap", "v2.mcap"], 1, block, "4 calls compared, 1 different");
    let text =
        folder.check(&["diff", "v1.mcap", "v1.mcap"], 0, "", "4 calls compared, no differences");
    assert!(!text.contains("compared"), "the sentence is said once: {text}");
    let ignore = ["--ignore", "/payload/kinds/*/measured", "--ignore", "/payload/kinds/data/size"];
    let ignored = [&["diff", "v1.mcap", "v2.mcap"], &ignore[..]].concat();
    folder.check(&ignored, 1, "output 0 /payload/state-version", "1 changed");
    let all = [&ignored[..], &["--ignore", "/payload/state-version"]].concat();
    folder.check(&all, 0, "", "no differences");

    replay(first, &["--against", "v1.mcap"], 0, "4 calls compared, no differences");
    let junit = ["--against", "v1.mcap", "--junit", "junit.xml"];
    let json = replay(second, &junit, 1, "4 calls compared, 1 different");
    assert_eq!(json["diff"]["counts"]["changed"], 1);
    let xml = fs::read_to_string(folder.0.path().join("junit.xml")).unwrap();
    assert!(xml.contains(r#"tests="4" failures="1""#), "{xml}");
    let json = replay(second, &["--filter", "kind:control"], 0, "Replayed 1 frame");
    assert_eq!(json["inputs"]["filtered_out"], 3);
    replay(second, &["--filter", "text:nothing-like-it"], 1, "Replayed 0 frames");
    let misbehave = ["--config", r#"{"mode":"trap"}"#];
    replay("plugins/misbehave.wasm", &misbehave, 4, "trapped");
    replay("plugins/redact.wasm", &["--record", "v1.mcap"], 2, "will not overwrite");
}

#[test]
fn the_demo_trace_is_what_its_page_says() {
    let folder = Folder::new();
    let trace = root().join("assets/traces/shop.mcap");
    let trace = trace.to_str().unwrap();
    let replay = ["replay", trace, "--plugin", "plugins/redact.wasm"];
    let json = folder.json(&replay, 0, "all completed; 90 of 221 answers differ");
    assert_eq!(json["calls"], 221);
    assert_eq!(json["answers"]["different_from_input"], 90);
    let capture = root().join("assets/traces/shop.pcap");
    let import = ["trace", "import", capture.to_str().unwrap(), "-o", "again.mcap"];
    folder.check(&import, 0, "again.mcap", "Imported 221 events of a pcap file");
    folder.check(&["diff", trace, "again.mcap"], 0, "", "221 calls compared, no differences");
    let record = |out: &'static str, config: &'static str| {
        let more = ["--record", out, "--config", config];
        folder.check(&[&replay[..], &more].concat(), 0, "recorded", "Replayed 221 frames");
    };
    record("all.mcap", "{}");
    record("no-cards.mcap", r#"{"cards":false}"#);
    let json = folder.json(&["diff", "all.mcap", "no-cards.mcap"], 1, "changed");
    let different = json["different"].as_u64().unwrap();
    assert!((1..90).contains(&different), "{different}");
}

#[test]
fn traces_are_converted_and_repaired() {
    let folder = Folder::with_trace();
    let out = folder.check(&["trace", "export", "in.mcap"], 0, "", "Exported 4 events");
    assert_eq!(out.lines().count(), 4);
    folder.write("again.ndjson", out);
    let import = ["trace", "import", "again.ndjson", "-o", "again.mcap"];
    folder.check(&import, 0, "again.mcap", "Imported 4 events of a NDJSON file");
    folder.check(&["diff", "in.mcap", "again.mcap"], 0, "", "no differences");
    folder.check(&import, 2, "", "will not overwrite");
    let generate = ["trace", "generate", "--frames", "5000", "--plugin", "echo", "many.mcap"];
    folder.check(&generate, 0, "many.mcap", "Generated 5000 frames");
    folder.check(&["trace", "check", "many.mcap"], 0, "", "Checked 5000 events: the trace is good");
    let filter = ["trace", "filter", "many.mcap", "payload.order<3", "-o", "few.mcap"];
    folder.check(&filter, 0, "few.mcap", "Kept 3 of 5000 calls");
    let whole = fs::read(folder.0.path().join("many.mcap")).unwrap();
    folder.write("cut.mcap", &whole[..whole.len() / 2]);
    folder.check(&["trace", "info", "cut.mcap"], 0, "finished     no", "cannot be read");
    let json = folder.json(&["trace", "check", "cut.mcap"], 1, "`glovebox trace recover`");
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(1));
    let recover = ["trace", "recover", "cut.mcap", "-o", "saved.mcap"];
    let json = folder.json(&recover, 1, "bytes of unknown content");
    assert_eq!(json["lossless"], false);
    let saved = json["recovered"]["events"].as_u64().unwrap();
    assert!((1..5000).contains(&saved), "{saved}");
    folder.check(&["trace", "check", "saved.mcap"], 0, "", "the trace is good");
    let again = ["trace", "recover", "saved.mcap", "-o", "again-saved.mcap"];
    folder.check(&again, 0, "frames-in", "all there was");
    // A chunk in the middle: the writer's own count says what was in it.
    let mut hurt = whole.clone();
    hurt[whole.len() / 2] ^= 1;
    folder.write("hurt.mcap", hurt);
    let recover = ["trace", "recover", "hurt.mcap", "-o", "healed.mcap"];
    let json = folder.json(&recover, 1, "lost");
    let [kept, lost] = ["recovered", "lost"].map(|count| json["kinds"][0][count].as_u64().unwrap());
    assert!(lost > 100 && kept + lost == 5000, "{kept} and {lost}");
    let info = folder.json(&["trace", "info", "healed.mcap"], 0, "");
    assert_eq!(info["lost_events"].as_u64(), Some(lost));
    let export = ["trace", "export", "cut.mcap"];
    let out = folder.check(&export, 5, "", &format!("Exported {saved} events, then stopped: read"));
    assert_eq!(out.lines().count() as u64, saved);
}

#[test]
fn files_of_other_hosts_are_inspected_and_counted() {
    let folder = Folder::new();
    let wasi = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))";
    folder.write("wasi.wat", format!("(module {wasi} (export \"_start\" (func 0)))"));
    folder.write("other.wat", "(module (func (export \"run\")))");
    let sentence = "Inspected wasi: 1 import, 1 export; it cannot be loaded: sniff: this is a WASI \
                    command, made for a shell";
    let made_for =
        "made for     a shell: it runs once, from its start to its end: it is a WASI command";
    let out = folder.check(&["inspect", "wasi.wat"], 3, made_for, sentence);
    assert!(!out.contains("accepts") && !out.contains("export!"), "{out}");
    let json = folder.json(&["inspect", "wasi.wat"], 3, sentence);
    assert_eq!(json["foreign"]["is"], "a WASI command");
    let sentence = "Found 0 of 0 plugins; 0 findings; 2 files are no plugin";
    folder.check(&["discover"], 0, "    1  WASI commands", sentence);
    let json = folder.json(&["discover"], 0, sentence);
    let counted = serde_json::json!({ "WASI commands": 1, "modules of unknown purpose": 1 });
    assert_eq!(json["no_plugins"], counted);
}

#[test]
fn damaged_plugins_are_refused() {
    let folder = Folder::new();
    let check = |name: &str, bytes: &[u8], stage: &str, remedy: &str| {
        folder.write(name, bytes);
        folder.refused(&["call", name], 3, &format!("load plugin: {stage}: "), remedy);
        folder.write("in.ndjson", INPUTS);
        let _ = fs::remove_file(folder.0.path().join("in.mcap"));
        folder.run(&["trace", "import", "in.ndjson", "-o", "in.mcap"]);
        let replay = ["replay", "in.mcap", "--plugin", name];
        folder.refused(&replay, 3, &format!("load plugin: {stage}: "), remedy);
    };
    let whole = fs::read(sample("echo.wasm")).unwrap();
    let module = "(module (memory (export \"memory\") 1)
        (func (export \"glovebox_buffer\") (param i32) (result i32) i32.const 1024)
        (func (export \"glovebox_process\") (param i32) (result i64) i64.const 0)";
    check("empty.wasm", b"", "sniff", "; build the plugin again");
    check("cut.wasm", &whole[..whole.len() / 2], "sniff", "; copy or build the file again");
    check("text.wasm", b"hello", "sniff", "; name a .wasm");
    check("trace.wasm", b"\x89MCAP0\r\n", "sniff", "; open it as a trace");
    check("world.wat", b"(component)", "link", "; use the SDK's `export!` macro");
    let version = format!("{module} (func (export \"glovebox_abi_7_0\")))");
    check("version.wat", version.as_bytes(), "link", "; build it with an SDK of this version");
    let missing = ["call", "missing.wasm"];
    folder.refused(&missing, 3, "load plugin: read: ", "; check the path");
    folder.refused(&["inspect", "missing.wasm"], 3, "load plugin: read: ", "; check the path");
    folder.refused(&["inspect", "empty.wasm"], 3, "sniff: ", "; build the plugin again");
}

#[test]
fn manifests_with_mistakes_are_refused() {
    let folder = Folder::new();
    fs::copy(sample("echo.wasm"), folder.0.path().join("echo.wasm")).unwrap();
    let check = |manifest: &str, problem: &str| {
        let manifest =
            format!("[plugin]\nid = \"a\"\n[artifact]\nwasm = \"echo.wasm\"\n{manifest}");
        folder.write("plugin.toml", manifest);
        for verb in ["inspect", "call"] {
            folder.refused(&[verb, "plugin.toml"], 3, "parse manifest: ", "correct plugin.toml");
            folder.refused(&[verb, "."], 3, problem, "correct plugin.toml");
        }
    };
    check("[limits]\nmemry = \"1 MiB\"", "did you mean `memory`?");
    check("[limits]\nqueue = \"many\"", "line 6");
    check("[limits]\nmemory = \"big\"", "`limits.memory`");
}

#[test]
fn damaged_traces_are_refused() {
    let folder = Folder::with_trace();
    let whole = fs::read(folder.0.path().join("in.mcap")).unwrap();
    let capture = fs::read(root().join("assets/traces/shop.pcap")).unwrap();
    let check = |name: &str, bytes: &[u8], remedy: &str| {
        folder.write(name, bytes);
        let verbs = [
            vec!["replay", name, "--plugin", "plugins/echo.wasm"],
            vec!["diff", name, "in.mcap"],
            vec!["diff", "in.mcap", name],
            vec!["trace", "export", name, "-o", "out.ndjson"],
        ];
        for verb in verbs {
            folder.refused(&verb, 5, "read trace: ", remedy);
        }
        // These make the best of a trace that is cut.
        if !remedy.contains("recover") {
            folder.refused(&["trace", "info", name], 5, "read trace: ", remedy);
            for verb in ["recover", "filter"] {
                let more: &[&str] = if verb == "filter" { &["kind:data"] } else { &[] };
                let arguments = [&["trace", verb, name, "-o", "out.mcap"], more].concat();
                folder.refused(&arguments, 5, "read trace: ", remedy);
            }
        }
        assert!(!folder.0.path().join("out.mcap").exists());
    };
    check("empty.mcap", b"", "; record or import one");
    check("short.mcap", &whole[..5], "; record it again");
    check("cut.mcap", &whole[..whole.len() - 20], "; `glovebox trace recover` closes it");
    check("text.mcap", b"hello", "; give a .mcap file");
    check("capture.mcap", &capture, "; import it with `glovebox trace import`");
    let missing = ["trace", "info", "missing.mcap"];
    folder.refused(&missing, 5, "read trace: ", "; check the path");
    let import = |name, problem: &str, remedy: &str| {
        let import = ["trace", "import", name, "-o", "out.mcap"];
        folder.refused(&import, 5, problem, remedy);
        assert!(!folder.0.path().join("out.mcap.partial").exists());
    };
    import("empty.mcap", "import: not a capture: an empty file", "; give a pcap");
    import("in.mcap", "a trace of Glovebox; it needs no import", ": give it to the other verbs");
    import("missing.pcap", "import: cannot read", "; check the path");
    folder.write("bad.ndjson", "{\"payload\":\"a\"}\n{\"kind\":700}\n");
    import(
        "bad.ndjson",
        "Read 1 event, then stopped: import: line 2",
        "; correct or remove the line",
    );
}

#[test]
fn command_lines_that_make_no_sense() {
    let folder = Folder::with_trace();
    let check = |arguments: &[&str], expected: &str| {
        let run = folder.run(arguments);
        assert_eq!(run.status.code(), Some(2), "{run:?}");
        assert_eq!(text(&run.stdout), "");
        let err = text(&run.stderr);
        assert!(err.contains(expected), "{err} does not say {expected:?}");
    };
    let call = |more: &[&'static str]| [&["call", "plugins/echo.wasm"], more].concat();
    check(&call(&["--repeat", "many"]), "invalid digit");
    check(&call(&["--repeat", "0"]), "0 is not in 1..");
    check(&call(&["--kind", "datum"]), "is not a frame kind");
    check(&call(&["--header", "[1]"]), "--header is not a JSON object");
    check(&call(&["--header", "{"]), "--header is not JSON");
    check(&call(&["--payload", "hex:0"]), "write pairs of hexadecimal digits");
    check(&call(&["--payload", "@missing"]), "cannot read the file");
    check(&call(&["--config", "7"]), "--config is not a JSON object");
    let replay = |more: &[&'static str]| {
        [&["replay", "in.mcap", "--plugin", "plugins/echo.wasm"], more].concat()
    };
    check(&replay(&["--speed", "fast"]), "use max, real, or a factor such as x10");
    check(&replay(&["--filter", "latncy>5ms"]), "did you mean `latency`?");
    check(&replay(&["--filter", "kind:data size>lots"]), "kind:data size>lots\n                 ^");
    check(&["trace", "filter", "in.mcap", "a or", "-o", "b.mcap"], "a or\n      ^");
    check(&["replay", "in.mcap"], "--plugin <PLUGIN>");
    check(&["diff", "in.mcap", "in.mcap", "--ignore", "payload"], "start it with `/`");
    let export = ["trace", "export", "in.mcap"];
    let json = folder.json(&export, 2, "Exported 0 events: two results want stdout");
    assert_eq!(json["error"]["stage"], "arguments");
    check(&["inspct", "plugins/echo.wasm"], "no file or verb `inspct`");
    check(&[], "`glovebox inspect`, `call`, `replay` and `diff` do the same work without one");
}

/// The clauses of a message, in small letters and without the words that change nothing; those of one
/// list lead to each other.
fn clauses(message: &str) -> Vec<Vec<String>> {
    let words = |clause: &str| {
        let words = clause.split_whitespace().map(str::to_lowercase);
        let words = words.filter(|word| !["cannot", "the", "a", "an"].contains(&word.as_str()));
        words.collect::<Vec<_>>().join(" ")
    };
    let parts = message.trim().split("; ");
    parts.map(|part| part.split(": ").map(words).collect()).collect()
}

#[test]
fn no_refusal_says_a_thing_twice() {
    let folder = Folder::with_trace();
    folder.write("empty.wasm", "");
    folder.write("notes", "hello");
    folder.write("report.json", r#"{"verb": "call", "exit": 0, "sentence": ""}"#);
    folder.write("plugin.toml", "[plugin]\nid = \"a\"\n[artifact]\nwasm = \"none.wasm\"\n");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    let check = |arguments: &[&str]| {
        let run = folder.run(arguments);
        assert_ne!(run.status.code(), Some(0), "{arguments:?} was not refused");
        let said = text(&run.stderr);
        let last = said.lines().last().unwrap_or_default();
        let parts = clauses(last);
        let all: Vec<&String> = parts.iter().flatten().collect();
        let again = all.iter().enumerate().find(|(at, one)| all[..*at].contains(one));
        assert_eq!(again, None, "{arguments:?} says it twice: {last}");
        let mut pairs = parts.iter().flat_map(|part| part.windows(2));
        let goes_on = |pair: &&[String]| pair[1].starts_with(&format!("{} ", pair[0]));
        assert_eq!(pairs.find(goes_on), None, "{arguments:?} begins anew: {last}");
    };
    let call = ["call", "plugins/echo.wasm"];
    for more in [
        ["--policy", "none"],
        ["--policy", "notes"],
        ["--mock", "none"],
        ["--mock", "notes"],
        ["--workspace", "none"],
        ["--workspace", "notes"],
        ["--profile", "none"],
        ["--metrics", &busy],
        ["--metrics", "8.8.8.8:1"],
        ["--config", "@none"],
        ["--config", "{"],
        ["--payload", "@none"],
        ["--json", "no/such"],
        ["--json", "."],
    ] {
        check(&[&call[..], &more].concat());
    }
    for plugin in ["none.wasm", "empty.wasm", "notes", "plugin.toml", "."] {
        check(&["call", plugin]);
        check(&["inspect", plugin]);
        check(&["replay", "in.mcap", "--plugin", plugin]);
        check(&["watch", plugin, "--trace", "in.mcap"]);
        check(&["policy", "explain", plugin]);
    }
    for trace in ["none", "notes", ".", "report.json"] {
        for verb in ["info", "check", "export", "findings"] {
            check(&["trace", verb, trace]);
        }
        for verb in ["recover", "import", "merge"] {
            check(&["trace", verb, trace, "-o", "new.mcap"]);
        }
        check(&["trace", "filter", trace, "kind:data", "-o", "new.mcap"]);
        check(&["trace", "anonymize", trace, "--pattern", "x", "-o", "new.mcap"]);
        check(&["replay", trace, "--plugin", "plugins/stats.wasm"]);
        check(&["replay", "in.mcap", "--plugin", "plugins/stats.wasm", "--against", trace]);
        check(&["diff", "in.mcap", trace]);
        check(&["run", trace, "--trace", "in.mcap"]);
        check(&["replay", "in.mcap", "--pipeline", trace]);
        check(&["policy", "check", trace]);
    }
    let replay = ["replay", "in.mcap", "--plugin", "plugins/stats.wasm"];
    check(&[&replay[..], &["--against", "no/such", "--accept"]].concat());
    for out in ["no/such", ".", "in.mcap", "notes"] {
        check(&["trace", "export", "in.mcap", "-o", out]);
        check(&["trace", "export", "in.mcap", "-o", out, "--force", "--json", out]);
        check(&["trace", "filter", "in.mcap", "kind:data", "-o", out]);
        check(&["trace", "generate", out, "--frames", "1"]);
        check(&["trace", "split", "in.mcap", "--frames", "1", "-o", "no/such"]);
        check(&["trace", "info", "in.mcap", "--json", out]);
        check(&[&replay[..], &["--record", out]].concat());
        check(&[&replay[..], &["--junit", out]].concat());
    }
    check(&["trace", "import", "report.json", "-o", "a", "--json", "report.json", "--force"]);
    check(&["trace", "info", "in.mcap", "--json", "in.mcap", "--force"]);
    check(&["build", "none"]);
    check(&["build", "."]);
    check(&["discover", "none"]);
    check(&["none"]);
}

#[test]
fn nobody_has_to_read_it_all() {
    let folder = Folder::new();
    folder.check(&["trace", "generate", "--frames", "5000", "many.mcap"], 0, "", "5000");
    let verbs: [&[&str]; 3] =
        [&["trace", "export", "many.mcap"], &["inspect", "plugins/redact.wasm"], &["--help"]];
    for verb in verbs {
        let mut command = folder.command(verb);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run = child.wait_with_output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{verb:?}: {run:?}");
        assert!(!text(&run.stderr).contains("panicked"), "{verb:?}: {run:?}");
    }
}

#[test]
fn plugins_are_built() {
    let folder = Folder::new();
    let source = root().join("sample-plugins/hello-wat");
    let build = ["build", source.to_str().unwrap(), "--out", "."];
    folder.check(&build, 0, "hello-wat.frame-abi.wasm", "Built 1 artifact");
    let call = ["call", "hello-wat.frame-abi.wasm", "--payload", "you"];
    folder.check(&call, 0, "completed", "once: completed");
    let missing = ["build", "missing"];
    folder.refused(&missing, 1, "Built 0 artifacts: build: read: ", "no folder missing");
}

#[test]
fn a_change_is_replayed_and_compared() {
    let folder = Folder::with_trace();
    fs::copy(sample("stats-v1.wasm"), folder.0.path().join("stats.wasm")).unwrap();
    let watch = ["watch", "stats.wasm", "--trace", "in.mcap", "--changes", "1"];
    let mut command = folder.command(&watch);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.contains("watching stats.wasm"), "{ready}");
    let next = fs::read(sample("stats.wasm")).unwrap();
    replace(&folder.0.path().join("stats.wasm"), next);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{rest:?}");
    assert!(text(&run.stdout).contains("/payload/state-version"), "{run:?}");
    assert_eq!(rest.last().unwrap(), "Watched 1 change: 1 led to differences, 0 refused");
}

#[test]
fn policies_are_suggested_explained_and_checked() {
    let folder = Folder::with_trace();
    folder.write(
        "policy.toml",
        "mode = \"strict\"\n[plugins.storage]\nkv = { prefixes = [\"a\"] }\n",
    );
    folder.write("wrong.toml", "[default]\nkw = \"deny\"\n");
    let store = r#"{"do":"store","key":"cache/a","value":1}"#;
    folder.check(
        &["policy", "suggest", "plugins/storage.wasm", "--payload", store],
        0,
        "[permissions]\nkv = { prefixes = [\"cache/\"] }\n",
        "Suggested 1 permission for storage after 2 runs of 1 frame",
    );
    let suggest = ["policy", "suggest", "plugins/stats.wasm", "--trace", "in.mcap"];
    let json = folder.json(&suggest, 0, "1 run of 4 frames; its manifest asks for more: log");
    assert_eq!((&json["complete"], &json["text"]), (&true.into(), &"[permissions]\n".into()));
    folder.check(
        &["policy", "explain", "plugins/storage.wasm", "--policy", "policy.toml"],
        0,
        "kv           denied   asked for, but granted by nothing, and the policy is strict: add \
         `digest = \"blake3:",
        "Explained 12 permissions of storage: 1 granted, 11 denied, 0 asking",
    );
    folder.check(
        &["policy", "check", "policy.toml"],
        0,
        "mode     strict\nplugins  storage\n",
        "Checked 1 rule for 1 plugin",
    );
    folder.refused(
        &["policy", "check", "wrong.toml"],
        2,
        "read policy",
        "unknown key `kw` in [default] on line 2; did you mean `kv`?",
    );
    let call = ["call", "plugins/storage.wasm", "--payload", store];
    folder.check(&call, 0, "completed", "completed with 1 frame");
    let denied = [&call[..], &["--policy", "policy.toml"]].concat();
    folder.check(&denied, 1, "cannot store `cache/a`: denied", "1 host call denied");
    let replay = ["replay", "in.mcap", "--plugin", "plugins/stats.wasm", "--policy", "wrong.toml"];
    folder.refused(&replay, 2, "read policy", "did you mean `kv`?");
}
