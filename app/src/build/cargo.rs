//! The stage *cargo*: from a crate to the bytes of its `cdylib`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use glovebox_files::{MAX_TEXT, read, read_to_string};
use glovebox_host::MAX_ARTIFACT_LEN;

use super::child::{self, Ended};
use super::sources::read_by_cargo;
use super::{Binding, BuildOptions, CANCELLED};

/// Environment variable that replaces `cargo`.
const CARGO: &str = "GLOVEBOX_CARGO";

/// Plugins are sent around and compiled by hosts, so size counts where it costs no speed: with
/// `opt-level = "s"` a frame took twice as long for 4 to 18 % less. The names of functions stay, 33 of
/// the 224 KB of `redact`: a backtrace says little without them. Settings in the environment win.
const SMALL: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
];

/// The bytes of the artifact, and the files that it was made from, as far as cargo names them.
pub(super) fn build(
    manifest: &Path,
    binding: Binding,
    options: &BuildOptions,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<(Vec<u8>, Vec<PathBuf>)> {
    let program = env::var_os(CARGO).unwrap_or_else(|| OsString::from("cargo"));
    let target = match binding {
        Binding::Component | Binding::FrameAbi => {
            Some(options.target.as_deref().unwrap_or("wasm32-unknown-unknown"))
        }
        Binding::Native => options.target.as_deref(),
    };
    let mut command = Command::new(&program);
    command
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(manifest);
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    let mut features = options.features.clone();
    // A target that makes components by itself needs no feature for it.
    if binding == Binding::Component && target != Some("wasm32-wasip2") {
        features.push("component".to_owned());
    }
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    if binding != Binding::Native {
        for (name, value) in SMALL {
            if env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
    }
    if let (true, Some(target)) = (binding != Binding::Native, target) {
        let (name, flags) = target_flags(target);
        command.env(name, flags);
    }
    let messages = run(&mut command, target, cancel, progress)?;
    let artifact = find_artifact(&messages, manifest)?;
    let bytes = read(&artifact, MAX_ARTIFACT_LEN)
        .with_context(|| format!("cargo: cannot read {}", artifact.display()))?;
    let rule = read_to_string(&artifact.with_extension("d"), MAX_TEXT).unwrap_or_default();
    Ok((bytes, read_by_cargo(&rule)))
}

/// The environment variable with the compiler's flags for a target, and what it holds already, plus
/// one: an artifact that is passed on should not tell, in the places of its panics, where on whose
/// machine it was built.
fn target_flags(target: &str) -> (String, String) {
    let triple = target.to_ascii_uppercase().replace('-', "_");
    let name = format!("CARGO_TARGET_{triple}_RUSTFLAGS");
    let mut flags = env::var(&name).unwrap_or_default();
    // Flags are separated by spaces and cannot hold one.
    let home = env::home_dir().map(|home| home.display().to_string());
    if let Some(home) = home.filter(|home| !home.is_empty() && !home.contains(' ')) {
        flags.push_str(&format!(" --remap-path-prefix={home}=~"));
    }
    (name, flags)
}

/// Runs cargo to its end and returns its messages, one JSON text a line.
fn run(
    command: &mut Command,
    target: Option<&str>,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let ended = child::run(command, cancel, progress, || {
        format!("cannot run `{program}`; install Rust from https://rustup.rs or set {CARGO}")
    });
    let ended = ended.context("cargo")?;
    let Some(Ended { status, stdout, stderr }) = ended else { bail!("cargo: {CANCELLED}") };
    if status.success() {
        return Ok(stdout);
    }
    bail!("cargo: {}", explain(&stderr, target, &status.to_string()))
}

/// One text that says why cargo failed and what to do.
pub(super) fn explain(said: &str, target: Option<&str>, status: &str) -> String {
    let missing_target = ["can't find crate for `core`", "can't find crate for `std`"]
        .iter()
        .any(|text| said.contains(text));
    if let (true, Some(target)) = (missing_target, target) {
        return format!(
            "the target {target} is not installed; run `rustup target add {target}` or set {CARGO}"
        );
    }
    if said.contains("does not contain this feature: component") {
        return "the crate has no feature `component`; add `component = [\"glovebox-sdk/component\"]` to its [features], or build `--binding frame-abi`".to_owned();
    }
    let errors: Vec<_> = said.lines().skip_while(|line| !line.starts_with("error")).collect();
    if errors.is_empty() {
        format!("ended with {status} without naming an error")
    } else {
        errors.join("\n")
    }
}

/// The file that cargo says it made for the `cdylib` of this crate.
pub(super) fn find_artifact(messages: &str, manifest: &Path) -> Result<PathBuf> {
    let artifact = Message::parse_stream(messages.as_bytes())
        .filter_map(|message| match message {
            Ok(Message::CompilerArtifact(artifact)) => Some(artifact),
            _ => None,
        })
        .find(|artifact| artifact.manifest_path == manifest && artifact.target.is_cdylib())
        .context("cargo: the crate makes no shared library; add `crate-type = [\"cdylib\", \"rlib\"]` to its [lib]")?;
    let endings = ["wasm", "so", "dylib", "dll"];
    artifact
        .filenames
        .into_iter()
        .find(|file| file.extension().is_some_and(|ending| endings.contains(&ending)))
        .map(PathBuf::from)
        .context("cargo: named no file of the shared library")
}
