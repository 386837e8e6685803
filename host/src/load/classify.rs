//! The purpose of a file: a plugin, something for another host, or something else.
//!
//! [`classify`] is the one place that tells it: loads, inspections and scans of folders all ask it, so
//! that a file has one name, whoever looks. Its first bytes tell its
//! kind ([`ArtifactKind::of`]).

use std::collections::BTreeSet;

use glovebox_abi::Permission;
use glovebox_abi::manifest::{MAX_ENTRIES, Requests, Scope, Selection};
use object::read::ReadRef;
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader};
use object::{File, Object, ObjectKind, ObjectSection, SectionFlags, elf};

use super::inspect::exported_names;
use super::interface::Interface;
use super::library::{NativeBinding, binding_of, check_extent, is_of_this_machine};
use super::manifest::{manifest_section, without_padding};
use super::part::of_one_processor;
use super::{foreign, sections};
use crate::backend::wasm::foreign::{Adapter, Provision};
use crate::problem::{ArtifactKind, Foreign, LoadProblem};

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It has a binding of Glovebox, of whatever version, or a manifest.
    Plugin,
    /// It was made for another host, and an adapter runs it.
    Adapted(&'static dyn Adapter),
    /// It was made for another host.
    Foreign(Foreign),
    /// It is no library, which its first bytes do not tell.
    Other(ArtifactKind),
    /// A module, a component or a library of a purpose that nobody here knows.
    Unknown,
}

impl Class {
    /// Refuses what cannot be a plugin, whatever a manifest says about it.
    pub(super) fn refuse(self) -> Result<(), LoadProblem> {
        match self {
            Class::Plugin | Class::Adapted(_) | Class::Unknown => Ok(()),
            Class::Foreign(foreign) => Err(LoadProblem::Foreign(foreign)),
            Class::Other(found) => Err(LoadProblem::WrongKind { found }),
        }
    }

    /// The adapter that runs it, if one does.
    pub(super) fn adapter(self) -> Option<&'static dyn Adapter> {
        match self {
            Class::Adapted(adapter) => Some(adapter),
            _ => None,
        }
    }

    /// The name of several of its class, of a file of this kind.
    pub(super) fn plural(self, kind: ArtifactKind) -> &'static str {
        match (self, kind) {
            (Class::Foreign(foreign), _) => foreign.plural(),
            (Class::Other(other), _) => other.plural(),
            (Class::Plugin | Class::Adapted(_), _) => "plugins",
            (Class::Unknown, ArtifactKind::Component) => "components of other worlds",
            (Class::Unknown, ArtifactKind::CoreModule | ArtifactKind::WasmText) => {
                "modules of unknown purpose"
            }
            (Class::Unknown, _) => "shared libraries",
        }
    }
}

/// A file whose purpose is known.
pub(super) struct Classified<'file> {
    pub(super) class: Class,
    /// The section with the manifest, if there is something in it.
    pub(super) manifest: Option<&'file [u8]>,
    /// The permissions that a plugin of another host asks for by its imports, where it has no manifest.
    pub(super) asks: Requests,
}

/// Tells the purpose of a file of this kind; text is to be assembled before.
///
/// # Errors
///
/// [`LoadProblem::WrongKind`] if its first bytes say already that it is no plugin, and
/// [`LoadProblem::Malformed`] if it is damaged as far as it was looked at.
pub(super) fn classify<'file, R: ReadRef<'file>>(
    kind: ArtifactKind,
    file: R,
    size: u64,
) -> Result<Classified<'file>, LoadProblem> {
    match kind {
        ArtifactKind::Component | ArtifactKind::CoreModule => {
            let (manifest, interface) = sections::walk(kind, file, size)?;
            let manifest = manifest.filter(|section| !without_padding(section).is_empty());
            let adapter = (kind == ArtifactKind::CoreModule)
                .then(|| foreign::adapter_of(&interface))
                .flatten();
            let asks = adapter.map_or_else(Requests::default, |adapter| asks(adapter, &interface));
            let class = match foreign::of_wasm(&interface) {
                // Also with a manifest inside: that says nothing about how it is called.
                _ if let Some(adapter) = adapter => Class::Adapted(adapter),
                _ if manifest.is_some() || foreign::is_own(&interface) => Class::Plugin,
                Some(foreign) => Class::Foreign(foreign),
                None => Class::Unknown,
            };
            Ok(Classified { class, manifest, asks })
        }
        // Its manifest says so; the system or the engine tells whether it can be run.
        ArtifactKind::FramedProgram | ArtifactKind::Rootfs | ArtifactKind::Image => {
            Ok(Classified { class: Class::Plugin, manifest: None, asks: Requests::default() })
        }
        kind if kind.is_library() => library(file),
        found => Err(LoadProblem::WrongKind { found }),
    }
}

fn library<'file, R: ReadRef<'file>>(file: R) -> Result<Classified<'file>, LoadProblem> {
    let part = of_one_processor(file)?;
    let damaged = |reason: String| LoadProblem::Malformed { what: "shared library", reason };
    let library = File::parse(part).map_err(|error| damaged(error.to_string()))?;
    let section = library.section_by_name(manifest_section(library.format()));
    let manifest = section.and_then(|section| section.data().ok());
    let manifest = manifest.filter(|section| !without_padding(section).is_empty());
    let has_binding = !matches!(binding_of(&library), NativeBinding::None);
    let class = if let Some(other) = other_kind(&library) {
        Class::Other(other)
    } else if manifest.is_some() || has_binding {
        Class::Plugin
    } else if let Some(foreign) = foreign::of_library(exported_names(&library)) {
        Class::Foreign(foreign)
    } else {
        // Names that were cut off tell nothing.
        if is_of_this_machine(&library) {
            check_extent(part)?;
        }
        Class::Unknown
    };
    Ok(Classified { class, manifest, asks: Requests::default() })
}

/// The permissions for what a plugin of another host imports. Permissions that leave Glovebox are not among
/// them: a manifest asks for those, or a person allows them.
fn asks(adapter: &dyn Adapter, interface: &Interface) -> Requests {
    let (mut asks, mut functions) = (Requests::default(), BTreeSet::new());
    for (module, name) in &interface.imports {
        match adapter.import(module, name).provision {
            Provision::Here(Some(permission)) if !permission.needs_consent() => {
                asks.insert(permission, true);
            }
            Provision::Function(function) => drop(functions.insert(function)),
            Provision::Here(_) | Provision::Nobody(_) => {}
        }
    }
    if !functions.is_empty() {
        let names = Selection::only(functions.into_iter().take(MAX_ENTRIES).collect());
        asks.insert(Permission::Functions, Scope { names, ..Scope::default() });
    }
    asks
}

/// The kind of a file of machine code that is no library.
fn other_kind<'file, R: ReadRef<'file>>(file: &File<'file, R>) -> Option<ArtifactKind> {
    let is_left_out = |flags| match flags {
        SectionFlags::Elf { sh_type, sh_flags } => {
            sh_type == elf::SHT_NOBITS && sh_flags.contains(elf::SHF_EXECINSTR)
        }
        _ => false,
    };
    match file.kind() {
        ObjectKind::Relocatable => Some(ArtifactKind::ObjectFile),
        ObjectKind::Executable => Some(ArtifactKind::Program),
        _ if file.sections().any(|section| is_left_out(section.flags())) => {
            Some(ArtifactKind::DebugFile)
        }
        _ if is_movable_program(file) => Some(ArtifactKind::Program),
        _ => None,
    }
}

/// Whether it is a program that may lie anywhere in memory: by its type, it is a library.
fn is_movable_program<'file, R: ReadRef<'file>>(file: &File<'file, R>) -> bool {
    match file {
        File::Elf32(file) => is_movable_elf_program(file),
        File::Elf64(file) => is_movable_elf_program(file),
        _ => false,
    }
}

fn is_movable_elf_program<'file, H: FileHeader, R: ReadRef<'file>>(
    file: &ElfFile<'file, H, R>,
) -> bool {
    let endian = file.endian();
    let mut segments = file.elf_program_headers().iter();
    let names_a_loader = segments.any(|segment| segment.p_type(endian) == elf::PT_INTERP);
    let entries = file.elf_dynamic_table().map(|table| table.dynamics()).unwrap_or_default();
    let value = |tag| entries.iter().find(|entry| entry.tag(endian) == tag);
    let is_marked = value(elf::DT_FLAGS_1).is_some_and(|entry| {
        let flags: u64 = entry.val(endian);
        flags & elf::DF_1_PIE.0 != 0
    });
    // Old linkers mark none. The C library names a loader, too, and a name of its own.
    is_marked || names_a_loader && value(elf::DT_SONAME).is_none()
}
