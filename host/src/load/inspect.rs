use std::path::{Path, PathBuf};

use glovebox_abi::Manifest;
use object::Object;
use object::read::NameOrOrdinal;

use super::interface::Interface;
use super::{ArtifactKind, Foreign, LoadError, foreign};

/// What can be told about a plugin without running any of it.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The artifact.
    pub path: PathBuf,
    /// What the file is.
    pub kind: ArtifactKind,
    /// Size of the file in bytes, text after assembling.
    pub size: u64,
    /// Hexadecimal BLAKE3 digest of the file.
    pub digest: String,
    /// What the plugin says about itself.
    pub manifest: Manifest,
    /// True if it says nothing, so that defaults hold.
    pub bare: bool,
    /// Where relative paths of the manifest start.
    pub base: PathBuf,
    /// What it needs, in the artifact's own words.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// What it was made for, if that is not Glovebox and can be told.
    pub foreign: Option<Foreign>,
}

/// Looks at a plugin: an artifact, a `plugin.toml`, or a folder with one.
///
/// # Errors
///
/// If it cannot be read, is no plugin, or its manifest is wrong.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, LoadError> {
    let artifact = super::prepare::read(path.as_ref())?;
    let (imports, exports, foreign) = match artifact.kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => {
            let interface = Interface::of(&artifact.bytes);
            let foreign = foreign::of_wasm(&interface);
            let name = |(module, name): (String, String)| match artifact.kind {
                ArtifactKind::Component => module,
                _ => format!("{module}::{name}"),
            };
            (interface.imports.into_iter().map(name).collect(), interface.exports, foreign)
        }
        // One that is no plugin was refused before.
        _ => {
            let (imports, exports) = library_interface(&artifact.bytes);
            (imports, exports, None)
        }
    };
    Ok(Inspection {
        path: artifact.path,
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
    let Ok(library) = object::File::parse(bytes) else {
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
