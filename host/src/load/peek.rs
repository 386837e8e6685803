//! What can be told of an artifact from its manifest alone: the least that a scan has to read.
//!
//! [`peek`] walks over the sections of a file and reads none but the one with the manifest, so that
//! a folder of a thousand plugins costs a few kilobytes each. It deliberately trusts nothing for
//! good: what it passes is read whole, hashed and checked again when it is loaded. Only then is the
//! budget of the plugin's source added to the manifest.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use glovebox_abi::{Manifest, frame_abi};
use glovebox_events::LoadStage;
use object::read::{ReadCache, ReadRef};
use object::{Object, ObjectSection};

use super::inspect::exported_names;
use super::interface::Interface;
use super::library::{NativeBinding, binding_of, check_extent, check_machine};
use super::prepare::{
    Located, MAX_ARTIFACT_LEN, MAX_MANIFEST_LEN, bare, embedded_manifest, locate, manifest_section,
    parse_embedded, read_manifest, recognize,
};
use super::{ArtifactKind, Foreign, Incompatible, LoadError, LoadProblem, file, foreign};

/// Text is assembled to get at its sections, so it must be small: 16 MiB.
const MAX_TEXT_LEN: u64 = 16 << 20;
/// How much of a file tells what it is, if its first eight bytes do not.
const SNIFF_LEN: u64 = 64 << 10;
/// Far more than any compiler makes; each costs a read.
const MAX_SECTIONS: usize = 20_000;
/// How much is read of a section with names.
const MAX_NAMES_LEN: u64 = 1 << 20;
/// Components inside components.
const MAX_NESTING: usize = 32;
/// The magic number and the version.
const PREAMBLE_LEN: u64 = 8;
/// Identifiers of sections (WebAssembly core specification, "Modules"; component model,
/// `Binary.md`).
const CUSTOM: u8 = 0;
const INNER_MODULE: u8 = 1;
const INNER_COMPONENT: u8 = 4;

/// Where the manifest of a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub(crate) struct Peeked {
    pub(crate) artifact: PathBuf,
    pub(crate) kind: ArtifactKind,
    /// Size of the file in bytes.
    pub(crate) size: u64,
    pub(crate) manifest: Manifest,
    pub(crate) place: ManifestPlace,
}

/// What a look at a file found.
pub(crate) enum Peek {
    /// A plugin.
    Plugin(Box<Peeked>),
    /// A file that does not even claim to be one, of which there are many: what several of its kind
    /// are called.
    Other(&'static str),
}

/// Reads the manifest of an artifact, a `plugin.toml`, or a folder with one.
pub(crate) fn peek(path: &Path) -> Result<Peek, LoadError> {
    let Located { artifact, manifest, fallback, .. } = locate(path)?;
    let at = |stage| {
        let path = artifact.clone();
        move |problem| LoadError::new(stage, Some(path), problem)
    };
    let (file, size) = file::open(&artifact, MAX_ARTIFACT_LEN).map_err(at(LoadStage::Read))?;
    let found = look(&artifact, file, size).map_err(|(stage, problem)| at(stage)(problem))?;
    let (kind, inside) = match found {
        Found::Plugin(kind, inside) => (kind, *inside),
        // Whoever names it in a manifest takes it for a plugin.
        Found::Foreign(foreign) if manifest.is_some() => {
            return Err(at(LoadStage::Sniff)(LoadProblem::Foreign(foreign)));
        }
        Found::Foreign(foreign) => return Ok(Peek::Other(foreign.plural())),
        Found::Unknown(kind) if manifest.is_some() || fallback.is_some() => (kind, None),
        Found::Unknown(ArtifactKind::Component) => {
            return Ok(Peek::Other("components of other worlds"));
        }
        Found::Unknown(_) => return Ok(Peek::Other("modules of unknown purpose")),
        Found::Library(plural) => return Ok(Peek::Other(plural)),
    };
    let (manifest, place) = match (manifest, inside) {
        (Some(manifest), _) => (manifest, ManifestPlace::Beside),
        (None, Some(parsed)) => {
            let inside = parsed.map_err(at(LoadStage::ParseManifest))?;
            (inside, ManifestPlace::Inside)
        }
        (None, None) => match fallback {
            Some(beside) => (read_manifest(&beside)?, ManifestPlace::Beside),
            None => (bare(&artifact), ManifestPlace::Nowhere),
        },
    };
    Ok(Peek::Plugin(Box::new(Peeked { artifact, kind, size, manifest, place })))
}

/// The manifest inside an artifact, if there is one; what is wrong with it matters only if no other
/// goes before it.
type Inside = Option<Result<Manifest, LoadProblem>>;
type Looked = Result<Found, (LoadStage, LoadProblem)>;

/// What a file is, whatever stands in a `plugin.toml` beside it.
enum Found {
    /// It has a binding of Glovebox, or a manifest.
    Plugin(ArtifactKind, Box<Inside>),
    /// It was made for another host.
    Foreign(Foreign),
    /// A module or component that has neither binding nor manifest.
    Unknown(ArtifactKind),
    /// A shared library that has neither: what several of its kind are called.
    Library(&'static str),
}

impl Found {
    fn of_wasm(kind: ArtifactKind, inside: Inside, interface: &Interface) -> Found {
        match foreign::of_wasm(interface) {
            _ if inside.is_some() || foreign::is_own(interface) => {
                Found::Plugin(kind, Box::new(inside))
            }
            Some(foreign) => Found::Foreign(foreign),
            None => Found::Unknown(kind),
        }
    }
}

fn look(path: &Path, mut file: File, size: u64) -> Looked {
    let sniff = |problem| (LoadStage::Sniff, problem);
    let mut head = Vec::new();
    let read = file.by_ref().take(SNIFF_LEN).read_to_end(&mut head);
    read.map_err(|error| (LoadStage::Read, error.into()))?;
    match ArtifactKind::of(whole_characters(&head)) {
        kind @ (ArtifactKind::Component | ArtifactKind::CoreModule) => {
            let cache = ReadCache::new(file);
            let interface = Interface::default();
            let mut walk = Walk { file: &cache, kind, sections: 0, interface };
            let section = walk.manifest(0, size, 0).map_err(sniff)?;
            let inside = section.and_then(|section| parse_embedded(section).transpose());
            Ok(Found::of_wasm(kind, inside, &walk.interface))
        }
        ArtifactKind::WasmText => {
            let text = file::read(path, MAX_TEXT_LEN).map_err(|error| (LoadStage::Read, error))?;
            let (kind, bytes) = recognize(ArtifactKind::WasmText, text).map_err(sniff)?;
            let inside = embedded_manifest(kind, &bytes).transpose();
            Ok(match Found::of_wasm(kind, inside, &Interface::of(&bytes)) {
                Found::Plugin(_, inside) => Found::Plugin(ArtifactKind::WasmText, inside),
                other => other,
            })
        }
        kind @ (ArtifactKind::Elf | ArtifactKind::MachO | ArtifactKind::Pe) => {
            let cache = ReadCache::new(file);
            library(&cache, kind).map_err(sniff)
        }
        found => Err(sniff(LoadProblem::WrongKind { found })),
    }
}

/// Cuts off a character of which only the first bytes were read.
fn whole_characters(head: &[u8]) -> &[u8] {
    match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        _ => head,
    }
}

fn library(file: &ReadCache<File>, kind: ArtifactKind) -> Result<Found, LoadProblem> {
    let damaged = |reason: String| LoadProblem::Malformed { what: "shared library", reason };
    let library = object::File::parse(file).map_err(|error| damaged(error.to_string()))?;
    let section = library.section_by_name(manifest_section(library.format()));
    let binding = binding_of(&library);
    if section.is_none() && matches!(binding, NativeBinding::None) {
        let foreign = foreign::of_library(exported_names(&library));
        return Ok(Found::Library(foreign.map_or("shared libraries", Foreign::plural)));
    }
    check_machine(&library)?;
    check_extent(file)?;
    match binding {
        NativeBinding::Fits => {}
        NativeBinding::Other(found) => return Err(Incompatible::Version { found }.into()),
        NativeBinding::None => {
            let name = format!("`{}`", glovebox_abi::native::SYMBOL);
            return Err(Incompatible::MissingExports(vec![name]).into());
        }
    }
    let Some(section) = section else {
        return Ok(Found::Plugin(kind, Box::default()));
    };
    if section.size() > MAX_MANIFEST_LEN {
        return Err(LoadProblem::TooLarge { size: section.size(), limit: MAX_MANIFEST_LEN });
    }
    let content = section.data().map_err(|error| damaged(error.to_string()))?;
    Ok(Found::Plugin(kind, Box::new(parse_embedded(content).transpose())))
}

/// A way over the sections of a module or component, and of those inside it.
struct Walk<'file> {
    file: &'file ReadCache<File>,
    kind: ArtifactKind,
    sections: usize,
    /// Of the outermost module or component.
    interface: Interface,
}

impl<'file> Walk<'file> {
    /// The content of the first section with a manifest, in a module from `start` to `end`.
    fn manifest(
        &mut self,
        start: u64,
        end: u64,
        nesting: usize,
    ) -> Result<Option<&'file [u8]>, LoadProblem> {
        let preamble = self.bytes(start, PREAMBLE_LEN.min(end - start))?;
        let kind = ArtifactKind::of(preamble);
        if !matches!(kind, ArtifactKind::Component | ArtifactKind::CoreModule) {
            return Err(self.damaged(format!("no module starts at byte {start}")));
        }
        let mut position = start + PREAMBLE_LEN;
        while position < end {
            self.sections += 1;
            if self.sections > MAX_SECTIONS {
                return Err(self.damaged(format!("more than {MAX_SECTIONS} sections")));
            }
            let id = self.bytes(position, 1)?[0];
            let (length, body) = self.number(position + 1, end)?;
            let after = body.checked_add(length).filter(|after| *after <= end);
            let after = after.ok_or_else(|| {
                let found = end - body;
                self.damaged(format!(
                    "cut short: the section at byte {position} needs {length} bytes, {found} found"
                ))
            })?;
            let is_component = kind == ArtifactKind::Component;
            let found = match id {
                CUSTOM => self.custom(body, after, nesting)?,
                id if nesting == 0 && Interface::is_in(id, is_component) => {
                    // Names alone: a section that is longer names nothing that is known.
                    let content = self.bytes(body, length.min(MAX_NAMES_LEN))?;
                    self.interface.add(id, is_component, content);
                    None
                }
                INNER_MODULE | INNER_COMPONENT if is_component => {
                    if nesting == MAX_NESTING {
                        let reason = format!("more than {MAX_NESTING} components in each other");
                        return Err(self.damaged(reason));
                    }
                    self.manifest(body, after, nesting + 1)?
                }
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
            position = after;
        }
        Ok(None)
    }

    /// The content of a custom section, if it is the manifest.
    fn custom(
        &mut self,
        body: u64,
        end: u64,
        nesting: usize,
    ) -> Result<Option<&'file [u8]>, LoadProblem> {
        let expected = frame_abi::MANIFEST_SECTION;
        let (length, name) = self.number(body, end)?;
        if nesting == 0 && length <= end - name && length < 64 {
            let name = String::from_utf8_lossy(self.bytes(name, length)?).into_owned();
            self.interface.sections.push(name);
        }
        if length != expected.len() as u64 || length > end - name {
            return Ok(None);
        }
        if self.bytes(name, length)? != expected.as_bytes() {
            return Ok(None);
        }
        let content = name + length;
        let size = end - content;
        if size > MAX_MANIFEST_LEN {
            return Err(LoadProblem::TooLarge { size, limit: MAX_MANIFEST_LEN });
        }
        self.bytes(content, size).map(Some)
    }

    /// A LEB128 number of 32 bits, and where it ends.
    fn number(&self, start: u64, end: u64) -> Result<(u64, u64), LoadProblem> {
        let bytes = self.bytes(start, 5.min(end.saturating_sub(start)))?;
        let mut number = 0u64;
        for (index, byte) in bytes.iter().enumerate() {
            number |= u64::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((number, start + index as u64 + 1));
            }
        }
        Err(self.damaged(format!("no length at byte {start}")))
    }

    fn bytes(&self, start: u64, length: u64) -> Result<&'file [u8], LoadProblem> {
        self.file
            .read_bytes_at(start, length)
            .map_err(|()| self.damaged(format!("cut short: {length} bytes needed at byte {start}")))
    }

    fn damaged(&self, reason: String) -> LoadProblem {
        LoadProblem::Malformed { what: self.kind.noun(), reason }
    }
}

#[cfg(test)]
mod tests {
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
        // What follows the manifest is not read at all.
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
        check(&[b"\x1F\x8B"], "sniff: this is a gzip archive, not a plugin");
    }
}
