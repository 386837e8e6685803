//! The stage *compile*: from a C file to a shared library.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

use super::BuildOptions;

/// Name of the section that holds the text of `plugin.toml`.
const MANIFEST_SECTION: &[u8] = b".glovebox";

pub(super) fn compile(
    folder: &Path,
    file: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<u8>> {
    let include = include_folder(folder, options)?;
    let compiler = env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
    // Several builds may run at once in one process.
    static BUILDS: AtomicU64 = AtomicU64::new(0);
    let build = BUILDS.fetch_add(1, Ordering::Relaxed);
    let library = env::temp_dir().join(format!("glovebox-build-{}-{build}.partial", process::id()));
    progress(&format!("   Compiling {}", file.display()));
    let output = Command::new(&compiler)
        // Files that the source includes, such as plugin.toml, are named relative to its folder.
        .current_dir(folder)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-I"])
        .arg(&include)
        .arg("-o")
        .arg(&library)
        .arg(file)
        .output()
        .with_context(|| {
            let compiler = compiler.to_string_lossy();
            format!("compile: cannot run `{compiler}`; install a C compiler or set CC")
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().for_each(&mut *progress);
    if !output.status.success() {
        bail!("compile: {}\n{}", output.status, said.trim_end());
    }
    let bytes = fs::read(&library).with_context(|| format!("compile: {}", library.display()));
    // The copy that counts is in memory; a stale file in the temporary folder harms nobody.
    let _ = fs::remove_file(&library);
    bytes
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
