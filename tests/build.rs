//! Finds out which tools this machine has. Tests that need more are ignored, say how to get it, and
//! are counted as ignored.
#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_wasm_target)");
    for name in ["GLOVEBOX_CARGO", "GLOVEBOX_SMOKE", "RUSTUP_TOOLCHAIN"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let folder = standard_library();
    // A target that is added changes the folder in which all of them lie.
    let targets = folder.as_deref().and_then(|folder| folder.ancestors().nth(2));
    if let Some(targets) = targets.filter(|targets| targets.is_dir()) {
        println!("cargo::rerun-if-changed={}", targets.display());
    }
    let is_set = |name| std::env::var_os(name).is_some();
    // Where GLOVEBOX_SMOKE is set, what is missing is a failure.
    let is_wanted = is_set("GLOVEBOX_CARGO") || is_set("GLOVEBOX_SMOKE");
    if is_wanted || folder.is_some_and(|folder| has_core(&folder)) {
        println!("cargo::rustc-cfg=has_wasm_target");
    }
    println!("cargo::rustc-check-cfg=cfg(has_tshark, has_podman, has_bubblewrap, has_python)");
    println!("cargo::rerun-if-env-changed=PATH");
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&folders).any(|folder| folder.join(&name).is_file())
    };
    if is_set("GLOVEBOX_SMOKE") || is_there("tshark") {
        println!("cargo::rustc-cfg=has_tshark");
    }
    if is_set("GLOVEBOX_SMOKE") || is_there("podman") && is_there("busybox") {
        println!("cargo::rustc-cfg=has_podman");
    }
    if is_set("GLOVEBOX_SMOKE") || is_there("bwrap") {
        println!("cargo::rustc-cfg=has_bubblewrap");
    }
    if is_set("GLOVEBOX_SMOKE") || Path::new("/usr/bin/python3").is_file() {
        println!("cargo::rustc-cfg=has_python");
    }
}

/// Where the compiler would look for the standard library of the target, whether it is there or not.
fn standard_library() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC")?;
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim_end()))
}

fn has_core(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name())
        .any(|name| name.as_encoded_bytes().starts_with(b"libcore-"))
}
