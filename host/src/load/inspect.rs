use std::path::{Path, PathBuf};

use glovebox_abi::Manifest;
use object::Object;
use object::read::NameOrOrdinal;

use super::Source;
use super::classify::Class;
use super::interface::Interface;
use super::part::of_one_processor;
use crate::problem::{ArtifactKind, Foreign, LoadError, Origin};

/// The facts about a plugin that can be told without running any of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// Where the artifact comes from.
    pub origin: Origin,
    /// The kind of the file.
    pub kind: ArtifactKind,
    /// Size of the file in bytes, text after assembling.
    pub size: u64,
    /// Hexadecimal BLAKE3 digest of the file.
    pub digest: String,
    /// The manifest of the plugin.
    pub manifest: Manifest,
    /// True if it says nothing, so that defaults hold.
    pub bare: bool,
    /// Where relative paths of the manifest start; `None` for an artifact from memory.
    pub base: Option<PathBuf>,
    /// The imports that it needs, in the artifact's own words.
    pub imports: Vec<String>,
    /// The exports that it offers.
    pub exports: Vec<String>,
    /// The host that it was made for, if that is not Glovebox and can be told.
    pub foreign: Option<Foreign>,
}

impl Inspection {
    /// The file of the artifact, if it is one.
    pub fn path(&self) -> Option<&Path> {
        self.origin.path()
    }
}

/// Looks at a plugin: a path of an artifact, a `plugin.toml`, or a folder with one; or a [`Source`],
/// such as an artifact in memory.
///
/// # Errors
///
/// If it cannot be read, is no plugin, or its manifest is wrong.
pub fn inspect(source: impl Into<Source>) -> Result<Inspection, LoadError> {
    let artifact = super::read::read(&source.into())?;
    let (imports, exports, foreign) = match artifact.kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => {
            let interface = Interface::of(&artifact.bytes);
            let foreign = match artifact.class {
                Class::Foreign(foreign) => Some(foreign),
                _ => None,
            };
            let name = |(module, name): (String, String)| match artifact.kind {
                ArtifactKind::Component => module,
                _ => format!("{module}::{name}"),
            };
            (interface.imports.into_iter().map(name).collect(), interface.exports, foreign)
        }
        ArtifactKind::FramedProgram | ArtifactKind::Image => Default::default(),
        // One that is no plugin was refused before.
        _ => {
            let (imports, exports) = library_interface(&artifact.bytes);
            (imports, exports, None)
        }
    };
    Ok(Inspection {
        origin: artifact.origin,
        kind: artifact.kind,
        size: artifact.bytes.len() as u64,
        digest: artifact.digest,
        manifest: artifact.manifest,
        bare: artifact.bare,
        base: artifact.base,
        imports,
        exports,
        foreign,
    })
}

fn library_interface(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let Some(library) =
        of_one_processor(bytes).ok().and_then(|part| object::File::parse(part).ok())
    else {
        return Default::default();
    };
    let imports = library.imports().into_iter().flatten().flatten();
    let imports = imports.filter_map(|import| name_of(import.name()));
    (imports.collect(), exported_names(&library))
}

/// The names that a library exports; what cannot be read is left out.
pub(super) fn exported_names<'data, R: object::ReadRef<'data>>(
    library: &object::File<'data, R>,
) -> Vec<String> {
    let exports = library.exports().into_iter().flatten().flatten();
    exports.filter_map(|export| name_of(export.name())).collect()
}

fn name_of(name: NameOrOrdinal<&[u8]>) -> Option<String> {
    match name {
        NameOrOrdinal::Name(name) => Some(String::from_utf8_lossy(name).into_owned()),
        NameOrOrdinal::Ordinal(_) => None,
    }
}
