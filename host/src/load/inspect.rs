use std::path::{Path, PathBuf};

use glovebox_abi::Manifest;
use object::Object;
use object::read::NameOrOrdinal;
use wasmparser::{Parser, Payload};

use super::{ArtifactKind, LoadError};

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
}

/// Looks at a plugin: an artifact, a `plugin.toml`, or a folder with one.
///
/// # Errors
///
/// If it cannot be read, is no plugin, or its manifest is wrong.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, LoadError> {
    let artifact = super::prepare::read(path.as_ref())?;
    let (imports, exports) = match artifact.kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => wasm_interface(&artifact.bytes),
        _ => library_interface(&artifact.bytes),
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
    })
}

/// The outermost imports and exports; modules inside a component have their own.
fn wasm_interface(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0usize;
    // What cannot be parsed is missing here; loading reports it with its stage.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ImportSection(section) if depth == 0 => {
                for import in section.into_imports().flatten() {
                    imports.push(format!("{}::{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().flatten().map(|export| export.name.to_owned()));
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section.into_iter().flatten().map(|import| import.name.name.to_owned()),
                );
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(
                    section.into_iter().flatten().map(|export| export.name.name.to_owned()),
                );
            }
            _ => {}
        }
    }
    (imports, exports)
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
