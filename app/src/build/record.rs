//! The artifacts that a build made, so that the next one replaces these and nothing else: a hidden file beside
//! each holds digests.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use glovebox_files::Output;
use glovebox_host::MAX_ARTIFACT_LEN;

/// The longest file of digests that is read.
const MAX_RECORD: u64 = 4 << 10;

/// True if a build made what lies there, and nobody changed it. A link is nothing that a build makes.
pub(super) fn knows(artifact: &Path) -> bool {
    let is_file = artifact.symlink_metadata().is_ok_and(|about| about.is_file());
    let digest = || Some(digest(&glovebox_files::read(artifact, MAX_ARTIFACT_LEN).ok()?));
    is_file && digest().is_some_and(|digest| noted(artifact).contains(&digest))
}

/// Notes an artifact that is about to be written, beside the one that is there until then.
pub(super) fn note(artifact: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = record(artifact);
    // The artifact, which is named with every error, is not what is in the way then.
    let is_no_file = path.metadata().is_ok_and(|about| !about.is_file());
    if is_no_file {
        let reason = format!("no file lies where its digest is noted; remove {}", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    // Nothing is written through a link of a stranger.
    if path.is_symlink() {
        std::fs::remove_file(&path)?;
    }
    let before = noted(artifact).into_iter().next();
    let lines = [Some(digest(bytes)), before].into_iter().flatten();
    let mut output = Output::update(&path)?;
    output.write_all(lines.collect::<Vec<_>>().join("\n").as_bytes())?;
    Ok(output.finish()?)
}

/// The digests that are noted for an artifact, the newest first.
fn noted(artifact: &Path) -> Vec<String> {
    let text = glovebox_files::read_to_string(&record(artifact), MAX_RECORD).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn record(artifact: &Path) -> PathBuf {
    let name = artifact.file_name().unwrap_or_default().to_string_lossy();
    artifact.with_file_name(format!(".{name}.built"))
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
