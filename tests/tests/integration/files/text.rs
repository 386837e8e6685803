//! Text of plugins, traces and names of files, wherever the program prints it.

use std::fs;

use super::Folder;

/// A plugin that says nothing without what a terminal obeys, or what changes the order of reading.
const MANIFEST: &str = r#"
[plugin]
id = "t"
version = "1.0.0"
name = "N\u001b[31m\u001b]0;X\u0007\u202eRTL"
description = "D\u001b[2J\nfake line"
authors = ["A\u001b[31m"]
category = "c\u009b1m"
capabilities = ["x\u001b[1m"]
license = "L\u2066"
[artifact]
wasm = "t.wat"
[permissions]
log = true
[limits]
memory = "1 MiB"
"#;

/// Logs, and fails with a message, that hold ESC, OSC, BEL, BS, C1, CR, LF and U+202E.
const PLUGIN: &str = r#"(module
    (import "glovebox" "log" (func $log (param i32 i32 i32) (result i32)))
    (func (export "glovebox_abi_0_1"))
    (memory (export "memory") 4)
    (func (export "glovebox_buffer") (param i32) (result i32) (i32.const 65536))
    (func (export "glovebox_process") (param i32) (result i64)
        (drop (call $log (i32.const 2) (i32.const 4096) (i32.const 37)))
        (i64.or (i64.shl (i64.const 131072) (i64.const 32)) (i64.const 49)))
    (data (i32.const 4096) "\1b]0;PWNED\07\1b[2J\1b[31mred\08\c2\9b1m\e2\80\aeR\0d\0afake")
    (data (i32.const 131072) "\52\00\01\00\00\00\00\00\25\00\00\00\1b]0;PWNED\07\1b[2J\1b[31mred\08\c2\9b1m\e2\80\aeR\0d\0afake"))"#;

fn with_plugin() -> Folder {
    let folder = Folder::with_trace();
    fs::create_dir(folder.0.path().join("plug")).unwrap();
    folder.write("plug/plugin.toml", MANIFEST);
    folder.write("plug/t.wat", PLUGIN);
    folder
}

/// The characters that would act or hide in a text of several lines.
fn acting(text: &str) -> Vec<char> {
    let acts = |c: &char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(acts).collect()
}

#[cfg(unix)]
#[test]
fn the_name_of_a_file_forges_no_line() {
    let folder = Folder::with_trace();
    let name = "n\nsize         9 GiB";
    fs::copy(folder.0.path().join("in.mcap"), folder.0.path().join(name)).unwrap();
    let out = folder.check(&["trace", "info", name], 0, r"n\u{a}size", "Read 4 events");
    assert_eq!(out.lines().filter(|line| line.starts_with("size")).count(), 1, "{out}");
    let filter = ["trace", "filter", "in.mcap", "kind:data", "-o", "a\nb"];
    let out = folder.check(&filter, 0, r"a\u{a}b", "Kept");
    assert_eq!(out.lines().count(), 1, "{out}");
}

#[test]
fn no_text_steers_a_terminal() {
    let folder = with_plugin();
    let name = "\u{1b}[31m\u{202e}file";
    folder.write(name, "x");
    let check = |arguments: &[&str], expected: &str| {
        let run = folder.run(arguments);
        let said = [run.stdout, run.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(acting(&said), [' '; 0], "{arguments:?}: {said:?}");
        assert!(said.contains(expected), "{arguments:?}: {said}\ndoes not say {expected:?}");
    };
    check(&["inspect", "plug"], r"N\u{1b}[31m\u{1b}]0;X\u{7}\u{202e}RTL");
    check(&["inspect", "plug"], r"D\u{1b}[2J\u{a}fake line");
    check(&["discover", "."], r"D\u{1b}[2J");
    check(&["discover", ".", "--search", name], "Found");
    check(&["inspect", name], r"\u{1b}[31m\u{202e}file");
    check(&["trace", "info", name], r"\u{1b}[31m\u{202e}file");
    check(&["trace", "import", name, "-o", "new"], r"\u{1b}[31m\u{202e}file");
    check(&["call", "plugins/echo.wasm", "--config", name], "not JSON");
    check(&["call", "plugins/echo.wasm", "--kind", name], r"`\u{202e}file`");
    check(&[name, "no-such"], "no-such");
    check(&["\u{1b}]0;x\u{7}"], r"\u{1b}]0;x\u{7}");
    check(&["replay", "in.mcap", "--plugin", "plug"], "4 completed");
}

#[test]
fn what_a_plugin_says_is_inert_and_its_payload_exact() {
    let folder = with_plugin();
    let run = folder.run(&["call", "plug"]);
    let (out, err) =
        (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
    assert_eq!(acting(&err), [' '; 0], "{err:?}");
    assert_eq!(err.lines().count(), 1, "{err}");
    let payload = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\u{1b}[31mred\u{8}\u{9b}1m\u{202e}R\r\nfake";
    assert!(out.contains(payload), "{out:?}");
    assert_eq!(acting(&out.replace(payload, "")), [' '; 0], "{out:?}");
    assert!(out.contains(r"]0;PWNED\u{7}\u{1b}[2J"), "{out}");
}

#[test]
fn pages_show_what_would_change_the_order_of_reading() {
    let folder = Folder::new();
    for (name, payload) in [("a", r"x\u202ey\u2066"), ("b", r"x\u202ez\u2066")] {
        folder
            .write(&format!("{name}.ndjson"), format!(r#"{{"plugin":"p","payload":"{payload}"}}"#));
        let [from, to] = ["ndjson", "mcap"].map(|ending| format!("{name}.{ending}"));
        folder.check(&["trace", "import", &from, "-o", &to], 0, "", "Imported 1");
    }
    folder.check(&["diff", "a.mcap", "b.mcap", "--html", "page.html"], 1, "", "1");
    let page = fs::read_to_string(folder.0.path().join("page.html")).unwrap();
    assert_eq!(acting(&page), [' '; 0]);
    assert!(page.contains(r"\u{202e}"), "{page}");
}

/// The output of the program to a terminal, and the exit code.
#[cfg(target_os = "linux")]
fn on_a_terminal(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let program = folder.command(arguments);
    let quoted = |word: &std::ffi::OsStr| format!("'{}' ", word.to_str().unwrap());
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    let line = words.map(quoted).collect::<String>() + "2>said";
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::null());
    script
        .current_dir(folder.0.path())
        .envs(program.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    let run = script.output().unwrap();
    // The terminal itself ends lines with CR and LF.
    (run.status.code(), String::from_utf8(run.stdout).unwrap().replace("\r\n", "\n"))
}

#[cfg(target_os = "linux")]
#[test]
fn results_on_a_terminal_are_inert_and_elsewhere_exact() {
    let folder = Folder::new();
    let frame = r#""plugin":"p\u009b1m\u202e","payload":"x\u001b[31m\u202ey\u2066\u007f""#;
    folder.write(
        "in.ndjson",
        format!("{{{frame}}}\n{{\"type\":\"frame-out\",\"call\":1,{frame}}}\n"),
    );
    folder.check(&["trace", "import", "in.ndjson", "-o", "in.mcap"], 0, "", "Imported 2");
    let other = frame.replace("\"x", "\"y");
    folder.write(
        "out.ndjson",
        format!("{{{frame}}}\n{{\"type\":\"frame-out\",\"call\":1,{other}}}\n"),
    );
    folder.check(&["trace", "import", "out.ndjson", "-o", "out.mcap"], 0, "", "Imported 2");
    let check = |arguments: &[&str], exit: i32, is_json: bool| {
        let run = folder.run(arguments);
        assert_eq!(run.status.code(), Some(exit), "{run:?}");
        let exact = String::from_utf8(run.stdout).unwrap();
        assert_ne!(acting(&exact), [' '; 0], "{arguments:?} shows nothing: {exact:?}");
        let (code, shown) = on_a_terminal(&folder, arguments);
        assert_eq!(code, Some(exit), "{arguments:?}: {shown}");
        assert_eq!(acting(&shown), [' '; 0], "{arguments:?}: {shown:?}");
        let values = |text: &str| {
            let values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
            values.collect::<Result<Vec<_>, _>>().unwrap()
        };
        if is_json {
            assert_eq!(values(&shown), values(&exact), "{arguments:?}");
        }
    };
    check(&["trace", "export", "in.mcap"], 0, true);
    check(&["trace", "export", "in.mcap", "--as", "perfetto"], 0, true);
    check(&["trace", "export", "in.mcap", "--as", "csv"], 0, false);
    check(&["trace", "export", "in.mcap", "--as", "prometheus"], 0, false);
    check(&["diff", "in.mcap", "out.mcap", "--json", "-"], 1, true);
    check(&["call", "plugins/echo.wasm", "--payload", "\u{9b}31m"], 0, false);
    let (code, shown) = on_a_terminal(&folder, &["diff", "in.mcap", "out.mcap", "--junit", "-"]);
    assert_eq!((code, acting(&shown)), (Some(1), Vec::new()), "{shown}");
    // A name of the terminal is no way around it.
    let export = ["trace", "export", "in.mcap", "--force", "-o", "/dev/stdout"];
    let (code, shown) = on_a_terminal(&folder, &export);
    assert_eq!((code, acting(&shown)), (Some(0), Vec::new()), "{shown}");
    for export in [&["trace", "export", "in.mcap"][..], &export] {
        let (code, shown) = on_a_terminal(&folder, &[export, &["--as", "pcapng"]].concat());
        assert_eq!((code, shown.as_str()), (Some(2), ""));
        let said = fs::read_to_string(folder.0.path().join("said")).unwrap();
        assert!(said.contains("is not for a terminal; name a file with --out"), "{said}");
    }
}
