//! The programs that `glovebox build` needs.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Check, PATIENCE, Section};

pub(super) fn examine() -> Section {
    let checks = match std::env::var_os("GLOVEBOX_CARGO") {
        Some(program) => {
            let shown =
                format!("GLOVEBOX_CARGO is {}, which `glovebox build` calls", program.display());
            // Nobody knows which compiler it calls.
            let target = Check::not_tried("wasm target", shown);
            vec![cargo_in_place(&program), target]
        }
        None => vec![cargo(), wasm_target()],
    };
    Section { name: "build", about: "for `glovebox build`; plugins run without", checks }
}

fn cargo() -> Check {
    match run(Command::new("cargo").arg("--version"), b"", PATIENCE) {
        Ok(said) => Check::works("cargo", said.lines().next().unwrap_or_default()),
        Err(why) => {
            // The launcher of rustup is there, and no compiler.
            let remedy = match why.contains("rustup") {
                true => "run `rustup default stable`",
                false => "install Rust from https://rustup.rs",
            };
            Check::missing("cargo", format!("`cargo --version` failed: {why}"), remedy)
        }
    }
}

/// One that takes the place of cargo need not know each of its options, but it must start.
fn cargo_in_place(program: &OsStr) -> Check {
    let mut command = Command::new(program);
    let quiet = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
    match quiet.stderr(Stdio::null()).spawn() {
        Ok(mut child) => {
            let _ = child.kill();
            let _ = child.wait();
            Check::works("cargo", format!("{} starts", program.display()))
        }
        Err(error) => Check::missing(
            "cargo",
            format!("cannot start {}: {error}", program.display()),
            "set GLOVEBOX_CARGO to a cargo that is there, or leave it out",
        ),
    }
}

/// Compiles a plugin's worth of nothing.
fn wasm_target() -> Check {
    let name = "wasm target";
    let target = "wasm32-unknown-unknown";
    let remedy = "run `rustup target add wasm32-unknown-unknown`";
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return Check::not_tried(name, format!("no temporary folder: {error}")),
    };
    let mut command = Command::new(program);
    command
        .args(["--target", target, "--crate-type", "cdylib", "--crate-name", "nothing", "-o"])
        .arg(folder.path().join("nothing.wasm"))
        .arg("-")
        .current_dir(folder.path());
    let source = b"#[unsafe(no_mangle)] pub extern \"C\" fn nothing() {}";
    match run(&mut command, source, PATIENCE) {
        Ok(_) => Check::works(name, format!("{target} compiles and links")),
        Err(why) => Check::missing(name, format!("nothing compiles for {target}: {why}"), remedy),
    }
}

/// The standard output of a program that succeeds; else the first line of its errors, or why there is
/// none. One that takes longer is ended.
fn run(command: &mut Command, input: &[u8], patience: Duration) -> Result<String, String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not listen says why below.
        let _ = stdin.write_all(input);
    }
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let (sender, heard) = mpsc::sync_channel(1);
    let listen = move || {
        let said =
            (out.map(start_of).unwrap_or_default(), errors.map(start_of).unwrap_or_default());
        // Nobody listens any more to one that took too long.
        let _ = sender.send(said);
    };
    let listener = thread::Builder::new().name("glovebox doctor".to_owned()).spawn(listen);
    let heard = listener.map_err(|error| error.to_string()).and_then(|_| {
        let late = |_| format!("it took longer than {} s", patience.as_secs());
        heard.recv_timeout(patience).map_err(late)
    });
    let (out, errors) = heard.inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    // It has closed both, and ends.
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(out);
    }
    let first = errors.lines().find(|line| !line.trim().is_empty());
    Err(first.map_or_else(|| status.to_string(), str::to_owned))
}

/// The first words that come through a pipe, up to its end.
fn start_of(pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // Words before an error count.
    let _ = pipe.take(4 << 10).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::CheckResult;
    use super::*;

    #[test]
    fn what_takes_the_place_of_cargo_must_start() {
        fn check(program: &str, result: CheckResult) {
            assert_eq!(cargo_in_place(OsStr::new(program)).result, result, "{program}");
        }
        check("sh", CheckResult::Works);
        check("/no/such/cargo", CheckResult::Missing);
    }

    #[test]
    fn programs_are_heard_and_ended() {
        fn check(script: &str, patience: Duration, expected: Result<&str, &str>) {
            let heard = run(Command::new("sh").args(["-c", script]), b"a word\n", patience);
            assert_eq!(heard.as_deref().map_err(String::as_str), expected, "{script}");
        }
        let long = Duration::from_secs(60);
        check("cat", long, Ok("a word\n"));
        check("echo; echo first >&2; echo second >&2; exit 1", long, Err("first"));
        check("exit 3", long, Err("exit status: 3"));
        check("exec sleep 600", Duration::ZERO, Err("it took longer than 0 s"));
        let missing = run(&mut Command::new("/no/such/program"), b"", long);
        assert!(missing.unwrap_err().contains("No such file"));
    }
}
