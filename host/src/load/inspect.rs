use std::path::{Path, PathBuf};

use glovebox_abi::Manifest;
use object::read::NameOrOrdinal;
use object::{Object, ObjectSymbol};

use super::Source;
use super::classify::Class;
use super::foreign::of_wasm;
use super::interface::{Interface, signatures};
use super::part::of_one_processor;
use crate::backend::wasm::foreign::{Adapter, Import, Provision};
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
    /// True if Glovebox runs it although it was made for another host.
    pub is_adapted: bool,
    /// The functions that a frame may name, of a plugin that was made for another host and runs here.
    pub functions: Vec<String>,
    /// The imports of such a plugin, by the service of its host.
    pub services: Vec<ServiceUse>,
}

/// Imports of one service of another host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceUse {
    /// The service.
    pub service: &'static str,
    /// The provider here.
    pub provision: Provision,
    /// The imports, as in [`Inspection::imports`].
    pub imports: Vec<String>,
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
    let adapter = artifact.class.adapter();
    let (mut functions, mut services) = (Vec::new(), Vec::new());
    let (imports, exports, foreign) = match artifact.kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => {
            let interface = Interface::of(&artifact.bytes);
            let foreign = match artifact.class {
                Class::Foreign(foreign) => Some(foreign),
                Class::Adapted(_) => of_wasm(&interface),
                _ => None,
            };
            if let Some(adapter) = adapter {
                functions = functions_of(adapter, &artifact.bytes);
                services = services_of(adapter, &interface);
            }
            let name = |(module, name): (String, String)| match artifact.kind {
                ArtifactKind::Component => module,
                _ => format!("{module}::{name}"),
            };
            (interface.imports.into_iter().map(name).collect(), interface.exports, foreign)
        }
        ArtifactKind::FramedProgram | ArtifactKind::Rootfs | ArtifactKind::Image => {
            Default::default()
        }
        // One that is no plugin was refused before.
        _ => {
            let (imports, exports) = library_interface(&artifact.bytes);
            (imports, exports, None)
        }
    };
    Ok(Inspection {
        origin: artifact.origin,
        kind: artifact.kind,
        size: artifact.size,
        digest: artifact.digest,
        manifest: artifact.manifest,
        bare: artifact.bare,
        base: artifact.base,
        imports,
        exports,
        foreign,
        is_adapted: adapter.is_some(),
        functions,
        services,
    })
}

/// The imports by the service that they belong to, in the order in which the services first appear.
fn services_of(adapter: &dyn Adapter, interface: &Interface) -> Vec<ServiceUse> {
    let mut services: Vec<ServiceUse> = Vec::new();
    for (module, name) in &interface.imports {
        let Import { service, provision } = adapter.import(module, name);
        let import = format!("{module}::{name}");
        let is_it = |one: &&mut ServiceUse| one.service == service && one.provision == provision;
        match services.iter_mut().find(is_it) {
            Some(one) => one.imports.push(import),
            None => services.push(ServiceUse { service, provision, imports: vec![import] }),
        }
    }
    services
}

/// The exports that are functions for callers.
fn functions_of(adapter: &dyn Adapter, module: &[u8]) -> Vec<String> {
    let functions = signatures(module).into_iter();
    let functions = functions.filter(|(name, signature)| adapter.is_function(name, signature));
    functions.map(|(name, _)| name).collect()
}

fn library_interface(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let Some(library) =
        of_one_processor(bytes).ok().and_then(|part| object::File::parse(part).ok())
    else {
        return Default::default();
    };
    let mut imported = Vec::new();
    let mut kept = 0;
    each_name(&library, Names::Imported, |name| keep(name, &mut imported, &mut kept));
    (imported, exported_names(&library))
}

/// Bytes of names that are kept of one library, what a name costs beside its letters included.
const MAX_KEPT: usize = 8 << 20;

/// The most of one name.
const MAX_NAME_LEN: usize = 4 << 10;

/// Bytes of names that are looked at: more than two times what the largest artifact holds, so that names lie
/// on each other, which no linker does to that extent.
const MAX_LOOKED_AT: usize = 512 << 20;

/// The names that a library exports, as far as they have room; what cannot be read is left out.
pub(super) fn exported_names<'data, R: object::ReadRef<'data>>(
    library: &object::File<'data, R>,
) -> Vec<String> {
    let (mut names, mut kept) = (Vec::new(), 0);
    each_name(library, Names::Exported, |name| keep(name, &mut names, &mut kept));
    names
}

/// Keeps a name. `false` once there is no room for more.
fn keep(name: &[u8], names: &mut Vec<String>, kept: &mut usize) -> bool {
    let name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME_LEN)]);
    *kept += name.len() + size_of::<String>();
    let has_room = *kept <= MAX_KEPT;
    if has_room {
        names.push(name.into_owned());
    }
    has_room
}

/// The names of which a library has lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Imported,
    Exported,
}

/// Gives each name to `look`, until that says `false`. Symbols may share the bytes of their names: what they
/// have together is bounded, and none is copied.
pub(super) fn each_name<'data, R: object::ReadRef<'data>>(
    library: &object::File<'data, R>,
    which: Names,
    mut look: impl FnMut(&[u8]) -> bool,
) {
    let mut looked_at = 0;
    let mut look = |name: &[u8]| {
        looked_at += name.len() + 1;
        looked_at <= MAX_LOOKED_AT && look(name)
    };
    if library.format() == object::BinaryFormat::Elf {
        // One after the other: a list of all would be larger than the file.
        let symbols = library.dynamic_symbols().filter(|symbol| match which {
            Names::Imported => symbol.is_undefined(),
            Names::Exported => symbol.is_definition(),
        });
        let names = symbols.filter_map(|symbol| symbol.name_bytes().ok());
        let _ = names.filter(|name| !name.is_empty()).all(&mut look);
        return;
    }
    fn name_of(name: NameOrOrdinal<&[u8]>) -> Option<&[u8]> {
        match name {
            NameOrOrdinal::Name(name) => Some(name),
            NameOrOrdinal::Ordinal(_) => None,
        }
    }
    match which {
        Names::Imported => {
            let mut imports = library.imports().into_iter().flatten().flatten();
            let _ = imports.all(|import| name_of(import.name()).is_none_or(&mut look));
        }
        Names::Exported => {
            let mut exports = library.exports().into_iter().flatten().flatten();
            let _ = exports.all(|export| name_of(export.name()).is_none_or(&mut look));
        }
    }
}
