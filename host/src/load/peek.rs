//! A look at an artifact for its manifest alone: the least that a scan has to read.
//!
//! [`peek`] walks over the sections of a file and reads none but the one with the manifest, so that
//! a folder of a thousand plugins costs a few kilobytes each. It deliberately trusts nothing for
//! good: what it passes is read whole, hashed and checked again when it is loaded. Only then is the
//! budget of the plugin's source added to the manifest.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use glovebox_abi::Manifest;
use glovebox_abi::manifest::Requests;
use glovebox_events::LoadStage;
use glovebox_files::FileKind;
use object::read::ReadCache;

use super::classify::{Class, Classified, classify};
use super::manifest::{bare, parse_embedded, read_manifest};
use super::read::{Located, MAX_ARTIFACT_LEN, MAX_TEXT_LEN, assemble, framed, locate};
use super::{file, library};
use crate::problem::{ArtifactKind, LoadError, LoadProblem};

/// Where the manifest of a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestPlace {
    /// In a `plugin.toml`.
    Beside,
    /// In a section of the artifact.
    Inside,
    /// Nowhere: defaults hold, and the file's name is the id.
    Nowhere,
}

impl ManifestPlace {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            ManifestPlace::Beside => "plugin.toml",
            ManifestPlace::Inside => "artifact",
            ManifestPlace::Nowhere => "none",
        }
    }
}

/// An artifact of which only the manifest was read.
#[derive(Debug, Clone)]
pub struct Peeked {
    /// The artifact.
    pub artifact: PathBuf,
    /// The kind of the file.
    pub kind: ArtifactKind,
    /// Size of the file in bytes.
    pub size: u64,
    /// The manifest of the plugin.
    pub manifest: Manifest,
    /// The place of the manifest.
    pub place: ManifestPlace,
}

/// The result of a look at a file.
#[derive(Debug, Clone)]
pub enum Peek {
    /// A plugin.
    Plugin(Box<Peeked>),
    /// A file that does not even claim to be one, of which there are many: what several of its kind
    /// are called.
    Other(&'static str),
}

/// Reads the manifest of an artifact, a `plugin.toml`, or a folder with one, and as little else as
/// possible.
///
/// # Errors
///
/// If the file cannot be read or is damaged, or its manifest is wrong.
pub fn peek(path: &Path) -> Result<Peek, LoadError> {
    let Located { artifact, opened, manifest, fallback, .. } = locate(path)?;
    let framed = manifest.as_ref().and_then(framed);
    let at = |stage| {
        let path = artifact.clone();
        move |problem| LoadError::new(stage, Some(path.into()), problem)
    };
    let opened = match opened {
        Some(opened) => Ok(opened),
        None => file::open(&artifact, MAX_ARTIFACT_LEN),
    };
    let (file, size) = opened.map_err(at(LoadStage::Read))?;
    if let (Some(kind), Some(manifest)) = (framed, &manifest) {
        let (place, manifest) = (ManifestPlace::Beside, manifest.clone());
        return Ok(Peek::Plugin(Box::new(Peeked { artifact, kind, size, manifest, place })));
    }
    let found = look(&artifact, file, size).map_err(|(stage, problem)| at(stage)(problem))?;
    let Found { kind, class, inside, asks } = found;
    let is_named = manifest.is_some();
    match class {
        Class::Plugin | Class::Adapted(_) => {}
        // A manifest beside it takes it for a plugin.
        Class::Unknown if is_named || (fallback.is_some() && !kind.is_library()) => {}
        class if is_named => class.refuse().map_err(at(LoadStage::Sniff))?,
        class => return Ok(Peek::Other(class.plural(kind))),
    }
    let (manifest, place) = match (manifest, inside) {
        (Some(manifest), _) => (manifest, ManifestPlace::Beside),
        (None, Some(parsed)) => {
            let inside = parsed.map_err(at(LoadStage::ParseManifest))?;
            (inside, ManifestPlace::Inside)
        }
        (None, None) => match fallback {
            Some(beside) => (read_manifest(&beside)?, ManifestPlace::Beside),
            None => {
                let name = artifact.file_stem().unwrap_or_default().to_string_lossy();
                (bare(&name, &asks), ManifestPlace::Nowhere)
            }
        },
    };
    Ok(Peek::Plugin(Box::new(Peeked { artifact, kind, size, manifest, place })))
}

/// The manifest inside an artifact, if there is one; what is wrong with it matters only if no other
/// goes before it.
type Inside = Option<Result<Manifest, LoadProblem>>;

/// A file, whatever stands in a `plugin.toml` beside it.
struct Found {
    kind: ArtifactKind,
    class: Class,
    inside: Inside,
    asks: Requests,
}

impl Found {
    fn new(kind: ArtifactKind, classified: &Classified<'_>) -> Found {
        let inside = classified.manifest.and_then(|section| parse_embedded(section).transpose());
        Found { kind, class: classified.class, inside, asks: classified.asks.clone() }
    }
}

fn look(path: &Path, mut file: File, size: u64) -> Result<Found, (LoadStage, LoadProblem)> {
    let sniff = |problem| (LoadStage::Sniff, problem);
    let mut head = Vec::new();
    let read = file.by_ref().take(FileKind::START_LEN as u64).read_to_end(&mut head);
    read.map_err(|error| (LoadStage::Read, error.into()))?;
    match ArtifactKind::of(&head) {
        ArtifactKind::WasmText => {
            let text = file::read(path, MAX_TEXT_LEN).map_err(|error| (LoadStage::Read, error))?;
            let (kind, bytes) = assemble(&text).map_err(sniff)?;
            let classified = classify(kind, &*bytes, bytes.len() as u64).map_err(sniff)?;
            Ok(Found { kind: ArtifactKind::WasmText, ..Found::new(kind, &classified) })
        }
        kind => {
            let cache = ReadCache::new(file);
            let classified = classify(kind, &cache, size).map_err(sniff)?;
            if kind.is_library() && classified.class == Class::Plugin {
                library::check_fit(&cache).map_err(sniff)?;
            }
            Ok(Found::new(kind, &classified))
        }
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::frame_abi;

    use super::super::sections::{CUSTOM, INNER_COMPONENT, INNER_MODULE};
    use super::*;

    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        assert!(body.len() < 128, "one byte of length is enough here");
        [&[id, body.len() as u8][..], body].concat()
    }

    fn manifest(text: &str) -> Vec<u8> {
        let name = frame_abi::MANIFEST_SECTION;
        section(CUSTOM, &[&[name.len() as u8], name.as_bytes(), text.as_bytes()].concat())
    }

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0D\0\x01\0";

    #[test]
    fn a_file_that_is_cut_has_one_damage() {
        #[track_caller]
        fn check(parts: &[&[u8]], expected: &str) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("some.wasm");
            std::fs::write(&path, parts.concat()).unwrap();
            let told = |error: LoadError| format!("{}: {}", error.stage(), error.problem());
            let inspected = crate::inspect(&path).map(drop).map_err(told);
            let peeked = peek(&path).map(drop).map_err(told);
            assert_eq!((inspected, peeked), (Err(expected.to_owned()), Err(expected.to_owned())));
        }
        let damage = |kind: &str, at: usize, needs: usize, found: usize| {
            format!(
                "sniff: the {kind} is damaged: cut short: the section at byte {at} needs {needs} bytes, \
                 {found} found"
            )
        };
        let section = section(1, &[0; 20]);
        check(&[MODULE, &section[..9]], &damage("module", 8, 20, 7));
        check(&[COMPONENT, &section[..9]], &damage("component", 8, 20, 7));
        check(
            &[MODULE, &super::tests::section(CUSTOM, b"\x01a"), b"\x0A\x05ab"],
            &damage("module", 12, 5, 2),
        );
    }

    #[test]
    fn manifests_are_found_in_sections() {
        #[track_caller]
        fn check(parts: &[&[u8]], expected: &str) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("some.wasm");
            std::fs::write(&path, parts.concat()).unwrap();
            let found = match peek(&path) {
                Ok(Peek::Plugin(peeked)) => peeked.manifest.plugin.id.clone(),
                Ok(Peek::Other(plural)) => plural.to_owned(),
                Err(error) => format!("{}: {}", error.stage(), error.problem()),
            };
            assert_eq!(found, expected);
        }
        let text = manifest("[plugin]\nid = \"inside\"");
        let (types, other) = (section(1, &[0]), section(CUSTOM, b"\x04name"));
        check(&[MODULE], "modules of unknown purpose");
        check(&[COMPONENT], "components of other worlds");
        let marker = section(7, b"\x01\x10glovebox_abi_0_1\x00\x00");
        check(&[MODULE, &marker], "some");
        let start = section(7, b"\x01\x06_start\x00\x00");
        check(&[MODULE, &start], "WASI commands");
        check(&[MODULE, &section(0, b"\x07linking")], "object files of WebAssembly");
        check(&[MODULE, &types, &other, &text], "inside");
        // The bytes after the manifest are not read at all.
        check(&[MODULE, &text, b"\x0A\xFF\xFF\xFF\x7F"], "inside");
        let module = section(INNER_MODULE, &[MODULE, &types, &text].concat());
        check(&[COMPONENT, &other, &module], "inside");
        let component = section(INNER_COMPONENT, &[COMPONENT, &module].concat());
        check(&[COMPONENT, &component], "inside");
        // The types of a module have the number that modules have in components.
        let types = section(INNER_MODULE, b"\0\0\0\0\0\0\0\0");
        check(&[MODULE, &types], "modules of unknown purpose");
        check(
            &[MODULE, b"\x0A\x05ab"],
            "sniff: the module is damaged: cut short: the section at byte 8 needs 5 bytes, 2 found",
        );
        check(&[MODULE, b"\x0A\xFF"], "sniff: the module is damaged: no length at byte 9");
        check(
            &[COMPONENT, &section(INNER_MODULE, b"12345678")],
            "sniff: the component is damaged: no module starts at byte 10",
        );
        let bad = manifest("[plugin]\nid = \"A\"");
        check(
            &[MODULE, &bad],
            "parse manifest: `A` is not a plugin id; use lower-case letters, digits and single \
             `-`, e.g. \"redact-mail\"",
        );
        check(&[b"\x1F\x8B"], "sniff: this is a file packed with gzip, not a plugin");
    }
}
