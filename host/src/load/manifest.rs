//! The manifest of a plugin: in a file of its own, or in a section of the artifact.

use std::path::Path;

use glovebox_abi::{Manifest, native};
use glovebox_events::LoadStage;

use super::file;
use crate::problem::{LoadError, LoadProblem};
use crate::record::span;

/// The largest manifest that is read: 1 MiB.
pub(super) const MAX_MANIFEST_LEN: u64 = 1 << 20;

pub(super) fn read_manifest(path: &Path) -> Result<Manifest, LoadError> {
    let at = |stage, problem| LoadError::new(stage, Some(path.into()), problem);
    let bytes = span::stage(LoadStage::Read)
        .in_scope(|| file::read(path, MAX_MANIFEST_LEN))
        .map_err(|problem| at(LoadStage::Read, problem))?;
    span::stage(LoadStage::ParseManifest)
        .in_scope(|| parse_manifest(&bytes))
        .map_err(|problem| at(LoadStage::ParseManifest, problem))
}

pub(super) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, LoadProblem> {
    let text = std::str::from_utf8(bytes).map_err(|error| LoadProblem::Malformed {
        what: "manifest",
        reason: format!("not UTF-8 at byte {}", error.valid_up_to()),
    })?;
    Ok(Manifest::parse(text)?)
}

/// The manifest of an artifact of this name without one.
pub(super) fn bare(name: &str) -> Manifest {
    Manifest::bare(name.strip_prefix("lib").unwrap_or(name))
}

/// The name of the section that holds the manifest of a library.
pub(super) fn manifest_section(format: object::BinaryFormat) -> &'static str {
    match format {
        object::BinaryFormat::MachO => "__glovebox",
        _ => native::MANIFEST_SECTION,
    }
}

/// The manifest in the content of a section; `None` if there is nothing in it.
pub(super) fn parse_embedded(section: &[u8]) -> Result<Option<Manifest>, LoadProblem> {
    let text = without_padding(section);
    if text.is_empty() { Ok(None) } else { parse_manifest(text).map(Some) }
}

/// The content of a section without the zeros that linkers add.
pub(super) fn without_padding(section: &[u8]) -> &[u8] {
    let end = section.iter().position(|byte| *byte == 0).unwrap_or(section.len());
    section[..end].trim_ascii_end()
}
