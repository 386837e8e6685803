//! The stage *compile*: from a C file to a shared library.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use glovebox_files::{Scratch, read};
use glovebox_host::MAX_ARTIFACT_LEN;

use super::child::{self, Ended};
use super::{BuildOptions, CANCELLED};
use crate::folders;

/// Name of the section that holds the text of `plugin.toml`.
const MANIFEST_SECTION: &[u8] = b".glovebox";

pub(super) fn compile(
    folder: &Path,
    file: &Path,
    options: &BuildOptions,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<u8>> {
    let include = include_folder(folder, options)?;
    let compiler = env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
    let scratch = Scratch::new_in(folders::scratch().unwrap_or_else(env::temp_dir))
        .context("compile: cannot make a temporary folder")?;
    let library = scratch.path().join("library");
    progress(&format!("   Compiling {}", file.display()));
    let mut command = Command::new(&compiler);
    command
        // Files that the source includes, such as plugin.toml, are named relative to its folder.
        .current_dir(folder)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-I"])
        .arg(&include)
        .arg("-o")
        .arg(&library)
        .arg(file);
    let ended = child::run(&mut command, cancel, progress, || {
        let compiler = compiler.to_string_lossy();
        format!("cannot run `{compiler}`; install a C compiler or set CC")
    });
    let ended = ended.context("compile")?;
    let Some(Ended { status, stderr, .. }) = ended else { bail!("compile: {CANCELLED}") };
    if !status.success() {
        bail!("compile: {status}\n{}", stderr.trim_end());
    }
    read(&library, MAX_ARTIFACT_LEN).with_context(|| format!("compile: {}", library.display()))
}

/// Where `glovebox.h` is: as told, beside the source, or in the repository the folder is in.
fn include_folder(folder: &Path, options: &BuildOptions) -> Result<PathBuf> {
    let told = options.include.iter().cloned();
    let near =
        folder.ancestors().flat_map(|above| [above.to_path_buf(), above.join("host/abi/include")]);
    told.chain(near).find(|include| include.join("glovebox.h").is_file()).context(
        "compile: glovebox.h is nowhere near; copy it beside the source or say `--include FOLDER`",
    )
}

/// True if the library seems to carry the manifest; the host looks properly.
pub(super) fn mentions_manifest_section(library: &[u8]) -> bool {
    let names = [MANIFEST_SECTION, b"__glovebox"];
    names.iter().any(|name| {
        library
            .windows(name.len() + 1)
            .any(|found| found.starts_with(name) && found.ends_with(&[0]))
    })
}
