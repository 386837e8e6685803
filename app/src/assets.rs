//! Finds the files that come with the program: sample plugins, demo traces.
//!
//! Nothing here is needed to run: what is not found is not offered.

use std::path::{Path, PathBuf};

/// The variable that names the folder, for packages that put it elsewhere.
pub const FOLDER_VARIABLE: &str = "GLOVEBOX_ASSETS";

/// The assets folder: `$GLOVEBOX_ASSETS`, else `assets` next to the executable, else the one in
/// the source tree.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let beside =
        std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("assets")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    [named, beside, Some(source)]
        .into_iter()
        .flatten()
        .find(|folder| folder.is_dir())
        .map(|folder| folder.canonicalize().unwrap_or(folder))
}

/// The prebuilt sample plugin of this name, if it is there.
///
/// Its folder wins over the bare artifact, because it holds the manifest.
pub fn plugin(name: &str) -> Option<PathBuf> {
    let folder = folder()?.join("plugins");
    [folder.join(name).join("plugin.toml"), folder.join(format!("{name}.wasm"))]
        .into_iter()
        .find(|path| path.is_file())
}

/// The demo trace of this name, if it is there; else the capture it is made from.
pub fn trace(name: &str) -> Option<PathBuf> {
    let folder = folder()?.join("traces");
    ["mcap", "pcap"]
        .into_iter()
        .map(|extension| folder.join(format!("{name}.{extension}")))
        .find(|path| path.is_file())
}
