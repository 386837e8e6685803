//! Builds an artifact from a plugin's folder, for `glovebox build DIR`.
//!
//! Read [`build`] first, then [`BuildOptions`] and [`BuildReport`].
//!
//! | the folder has | what happens | artifact |
//! |---|---|---|
//! | `Cargo.toml` | cargo builds it; a component is encoded | `NAME.wasm`, `NAME.frame-abi.wasm` or `NAME.so` |
//! | one `.wat` file | it is assembled | `NAME.frame-abi.wasm` |
//! | one `.c` file | the C compiler links a shared library | `NAME.so` (`.dylib`, `.dll`) |
//!
//! `NAME` is the folder's. Every artifact carries the text of `plugin.toml`, so that it describes
//! itself wherever it is copied. An artifact appears under its name only when it is complete.
//!
//! It reads the `plugin.toml` before, and deliberately does not load or run what it built: that is `glovebox-host`. It prints
//! nothing: progress goes to a callback, the result is data.

mod cargo;
mod child;
mod encode;
mod native;
mod record;
mod section;
mod sources;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use glovebox_abi::Manifest;
use glovebox_files::{MAX_TEXT, Output};

pub use sources::{Sources, Stamp};

/// Said of a build that was given up.
const CANCELLED: &str = "cancelled";

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// The binding; a folder with C or WAT has only one.
    pub binding: Binding,
    /// The compile target where the usual one will not do, e.g. `wasm32-wasip1` for a component
    /// that uses files or the environment.
    pub target: Option<String>,
    /// Cargo features to enable besides the binding's.
    pub features: Vec<String>,
    /// Name of the artifact without its ending; the folder's name if absent.
    pub name: Option<String>,
    /// Where the artifact goes; `target/glovebox` in the plugin's folder if absent.
    pub out: Option<PathBuf>,
    /// Where `glovebox.h` is, for C.
    pub include: Option<PathBuf>,
    /// Replaces a file that no build put there.
    pub force: bool,
}

/// The bindings that can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Binding {
    /// A WebAssembly component.
    #[default]
    Component,
    /// A core WebAssembly module.
    FrameAbi,
    /// A shared library.
    Native,
}

impl Binding {
    /// All of them, the usual one first.
    pub const ALL: [Binding; 3] = [Binding::Component, Binding::FrameAbi, Binding::Native];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Binding::Component => "component",
            Binding::FrameAbi => "frame-abi",
            Binding::Native => "native",
        }
    }

    /// The file name ending of its artifacts.
    fn ending(self) -> &'static str {
        match self {
            Binding::Component => ".wasm",
            Binding::FrameAbi => ".frame-abi.wasm",
            Binding::Native => std::env::consts::DLL_SUFFIX,
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The result of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildReport {
    /// The artifact.
    pub artifact: PathBuf,
    /// Its binding.
    pub binding: Binding,
    /// Its size in bytes.
    pub size: u64,
    /// True if it carries the text of a `plugin.toml`.
    pub has_manifest: bool,
    /// Files that it was made from besides those of the folder, as far as the compiler names them.
    pub sources: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

/// Where [`build`] puts the artifact of the plugin in `folder`.
///
/// # Errors
///
/// If the folder holds no plugin.
pub fn artifact_path(folder: &Path, options: &BuildOptions) -> Result<PathBuf> {
    let folder = whole(folder)?;
    let binding = Source::find(&folder)?.binding(options.binding);
    place_for(&folder, binding, options)
}

/// Builds the plugin in `folder`. `progress` gets one line at a time, without its end. Raising
/// `cancel` ends the compiler, and the build with an error.
///
/// The environment variable `GLOVEBOX_CARGO` replaces `cargo`, and `CC` the C compiler.
///
/// # Errors
///
/// If the folder holds no plugin, or a stage fails; the message names the stage and what to do.
pub fn build(
    folder: &Path,
    options: &BuildOptions,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<BuildReport> {
    let started = Instant::now();
    let folder = whole(folder)?;
    let source = Source::find(&folder)?;
    let binding = source.binding(options.binding);
    let artifact = place_for(&folder, binding, options)?;
    // Before minutes of compiling.
    refuse(&artifact, &folder, options)?;
    manifest_in(&folder)?;
    let (bytes, sources) = match &source {
        Source::Cargo(manifest) => cargo::build(manifest, binding, options, cancel, progress)?,
        Source::Wat(file) => (encode::assemble(file, progress)?, Vec::new()),
        Source::C(file) => (native::compile(&folder, file, options, cancel, progress)?, Vec::new()),
    };
    // It may have changed while the compiler ran.
    let manifest = manifest_in(&folder)?;
    let (bytes, has_manifest) = match binding {
        Binding::Component => encode::component(&bytes, manifest.as_deref())?,
        Binding::FrameAbi => encode::module(bytes, manifest.as_deref())?,
        // The compiler has put it there, or has not: a linked library is not edited.
        Binding::Native => {
            let has_manifest = native::mentions_manifest_section(&bytes);
            (bytes, has_manifest)
        }
    };
    place(&artifact, &bytes, &folder, options)?;
    Ok(BuildReport {
        artifact,
        binding,
        size: bytes.len() as u64,
        has_manifest,
        sources,
        took: started.elapsed(),
    })
}

/// The text of the `plugin.toml` that a WebAssembly artifact carries, if it does.
pub fn embedded_manifest(artifact: &[u8]) -> Option<String> {
    let text = section::find(artifact, section::MANIFEST).ok()??;
    String::from_utf8(text.to_vec()).ok()
}

/// The kind of source in a folder.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Cargo(PathBuf),
    Wat(PathBuf),
    C(PathBuf),
}

impl Source {
    fn find(folder: &Path) -> Result<Source> {
        let cargo = folder.join("Cargo.toml");
        if cargo.is_file() {
            return Ok(Source::Cargo(cargo));
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("read: {}", folder.display()))? {
            let path = entry?.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("wat") => found.push(Source::Wat(path)),
                Some("c") => found.push(Source::C(path)),
                _ => {}
            }
        }
        let count = found.len();
        match found.pop() {
            Some(source) if count == 1 => Ok(source),
            _ => bail!(
                "read: {count} source files in {}; a plugin's folder has a Cargo.toml, or exactly one .wat or .c file",
                folder.display()
            ),
        }
    }

    fn binding(&self, asked: Binding) -> Binding {
        match self {
            Source::Cargo(_) => asked,
            Source::Wat(_) => Binding::FrameAbi,
            Source::C(_) => Binding::Native,
        }
    }
}

fn whole(folder: &Path) -> Result<PathBuf> {
    folder.canonicalize().with_context(|| format!("read: no folder {}", folder.display()))
}

/// Where the artifact goes.
fn place_for(folder: &Path, binding: Binding, options: &BuildOptions) -> Result<PathBuf> {
    let name = match &options.name {
        Some(name) => name.as_str(),
        None => folder.file_name().and_then(|name| name.to_str()).unwrap_or("plugin"),
    };
    ensure!(!name.is_empty() && !name.contains(['/', '\\']), "write: `{name}` cannot name a file");
    let out = match &options.out {
        Some(out) => out.clone(),
        None => folder.join("target").join("glovebox"),
    };
    Ok(out.join(format!("{name}{}", binding.ending())))
}

/// Refuses a place where an artifact would lie over a file that no build made, or elsewhere than it is
/// said: the folder of a stranger's plugin may hold any link.
fn refuse(artifact: &Path, folder: &Path, options: &BuildOptions) -> Result<()> {
    let place = artifact.parent().unwrap_or(artifact);
    // As far as it is there already.
    let there = || place.ancestors().find_map(|above| above.canonicalize().ok());
    let leads_out = || there().is_some_and(|there| !there.starts_with(folder));
    ensure!(
        options.out.is_some() || !leads_out(),
        "write: a link in the plugin's folder leads out of it; name a folder with --out: {}",
        place.display()
    );
    let is_foreign = artifact.symlink_metadata().is_ok() && !record::knows(artifact);
    ensure!(
        options.force || !is_foreign,
        "write: `glovebox build` did not make what is there; choose another folder with --out, or add \
         --force: {}",
        artifact.display()
    );
    Ok(())
}

/// Puts the artifact under its name, at once: a folder that is being watched never shows half. It is
/// the next version of the one there, which may run in this process.
fn place(artifact: &Path, bytes: &[u8], folder: &Path, options: &BuildOptions) -> Result<()> {
    let failed = || format!("write: {}", artifact.display());
    fs::create_dir_all(artifact.parent().unwrap_or(artifact)).with_context(failed)?;
    // It may have changed while the compiler ran.
    refuse(artifact, folder, options)?;
    if artifact.is_symlink() {
        fs::remove_file(artifact).with_context(failed)?;
    }
    record::note(artifact, bytes).with_context(failed)?;
    let mut output = Output::update(artifact).map_err(io::Error::from).with_context(failed)?;
    output.write_all(bytes).with_context(failed)?;
    output.finish().map_err(io::Error::from).with_context(failed)
}

/// The text of the `plugin.toml`, which the artifact is to carry, if there is one. A text that no host could read
/// makes no artifact.
fn manifest_in(folder: &Path) -> Result<Option<Vec<u8>>> {
    let path = folder.join("plugin.toml");
    let Some(bytes) = read_optional(&path)? else { return Ok(None) };
    let wrong = || format!("parse manifest: {}", path.display());
    let text = std::str::from_utf8(&bytes).with_context(wrong)?;
    Manifest::parse(text).with_context(wrong)?;
    Ok(Some(bytes))
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match glovebox_files::read(path, MAX_TEXT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read: {}", path.display())),
    }
}

#[cfg(test)]
mod tests;
