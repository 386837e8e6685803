//! The manifest of a plugin: in a file of its own, or in a section of the artifact.

use std::path::Path;

use glovebox_abi::manifest::Requests;
use glovebox_abi::{Manifest, native};
use glovebox_events::LoadStage;
use glovebox_files::FileKind;

use super::file;
use crate::problem::{LoadError, LoadProblem};
use crate::record::span;

/// The largest manifest that is read: 1 MiB.
pub(super) const MAX_MANIFEST_LEN: u64 = 1 << 20;

pub(super) fn read_manifest(path: &Path) -> Result<Manifest, LoadError> {
    let at = |stage, problem| LoadError::new(stage, Some(path.into()), problem);
    let bytes = span::stage(LoadStage::Read)
        .in_scope(|| file::read(path, MAX_MANIFEST_LEN))
        .map_err(|problem| match problem {
            LoadProblem::TooLarge { size, .. } => too_large("manifest", size),
            problem => problem,
        })
        .map_err(|problem| at(LoadStage::Read, problem))?;
    span::stage(LoadStage::ParseManifest)
        .in_scope(|| parse_manifest(&bytes))
        .map_err(|problem| at(LoadStage::ParseManifest, problem))
}

pub(super) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, LoadProblem> {
    Ok(Manifest::parse(utf8("manifest", bytes)?)?)
}

/// A text about a plugin, e.g. its `manifest`.
pub(super) fn utf8<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, LoadProblem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let reason = match FileKind::of(bytes) {
            FileKind::Utf16 => "it is in UTF-16".to_owned(),
            _ => format!("there is no character at byte {}", error.valid_up_to()),
        };
        LoadProblem::NotUtf8 { what, reason }
    })
}

pub(super) fn too_large(what: &'static str, size: u64) -> LoadProblem {
    LoadProblem::TextTooLarge { what, size, limit: MAX_MANIFEST_LEN }
}

/// The manifest of an artifact of this name without one. A plugin of another host asks for what it imports.
pub(super) fn bare(name: &str, asks: &Requests) -> Manifest {
    let mut manifest = Manifest::bare(name.strip_prefix("lib").unwrap_or(name));
    for (permission, scope) in asks.iter() {
        manifest.permissions.insert(permission, scope.clone());
    }
    manifest
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_manifest_says_why() {
        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("plugin.toml");
            std::fs::write(&path, bytes).unwrap();
            let error = read_manifest(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        check(
            b"\xFF\xFE[\0p\0",
            "the manifest is no text in UTF-8: it is in UTF-16; save it as UTF-8",
        );
        check(
            b"# caf\xE9\n",
            "no text in UTF-8: there is no character at byte 5; save it as UTF-8",
        );
        let long = vec![b'#'; MAX_MANIFEST_LEN as usize + 1];
        let expected = "the manifest has 1048577 bytes, and may have 1048576; make it shorter";
        check(&long, expected);
        assert!(parse_manifest(b"\xEF\xBB\xBF[plugin]\nid = \"a\"\n").is_ok());
    }
}
