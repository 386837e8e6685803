//! Checks that a shared library is whole and fits the contract, without opening it.
//!
//! The loader of the operating system trusts what it maps: of a file that was cut short, some cuts
//! are refused, some kill the process, and some load and fail later. So everything that the loader
//! follows is followed here first. The file alone does not tell whether constants and data are what
//! the author wrote: for that the manifest's `[artifact]` holds a digest.
//!
//! This deliberately does not judge what the code does: a native plugin is trusted code.

use glovebox_abi::native;
use object::elf::{
    DT_GNU_HASH, DT_HASH, DT_JMPREL, DT_NULL, DT_PLTRELSZ, DT_RELA, DT_RELASZ, DT_STRSZ, DT_STRTAB,
    DT_SYMTAB, DynamicTag, FileHeader64, PT_DYNAMIC, SHT_NOBITS, SHT_NULL,
};
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadRef};

use super::inspect::{Names, each_name};
use super::part::of_one_processor;
use crate::problem::{Incompatible, LoadProblem, shorten};

const NATIVE_FORMAT: &str = if cfg!(target_os = "macos") {
    "macho"
} else if cfg!(target_os = "windows") {
    "pe"
} else {
    "elf"
};

/// Memory is mapped in pages of this size.
const PAGE: usize = 4096;

/// Checks a library before anything opens it.
///
/// # Errors
///
/// [`Incompatible`] if it is for another machine or version of the contract or lacks the symbol,
/// [`LoadProblem::Malformed`] if something that the loader follows leads nowhere.
pub(super) fn check(bytes: &[u8]) -> Result<(), LoadProblem> {
    let part = of_one_processor(bytes)?;
    let bytes = part.read_bytes(&mut 0, part.len().unwrap_or_default());
    let bytes = bytes.map_err(|()| damaged("cut short"))?;
    let library = object::File::parse(bytes).map_err(damaged)?;
    check_machine(&library)?;
    for section in library.sections() {
        // Reading each section finds those that lie beyond the end of the file.
        let name = shorten(section.name().map_err(damaged)?);
        section.data().map_err(|error| damaged(format!("section {name}: {error}")))?;
    }
    let elf = match NATIVE_FORMAT {
        "elf" => Some(ElfFile64::<Endianness>::parse(bytes).map_err(damaged)?),
        _ => None,
    };
    if let Some(file) = &elf {
        check_extent(bytes)?;
        check_sections(file)?;
    }
    check_symbol(&library)?;
    elf.as_ref().map_or(Ok(()), check_dynamic)
}

fn damaged(reason: impl ToString) -> LoadProblem {
    LoadProblem::Malformed { what: "shared library", reason: reason.to_string() }
}

/// Refuses a plugin of which less was read than it has: it is for another machine or version, or cut
/// short.
pub(super) fn check_fit<'data, R: ReadRef<'data>>(file: R) -> Result<(), LoadProblem> {
    let file = of_one_processor(file)?;
    let library = object::File::parse(file).map_err(damaged)?;
    check_machine(&library)?;
    check_extent(file)?;
    match binding_of(&library) {
        NativeBinding::Fits => Ok(()),
        NativeBinding::Other(found) => Err(Incompatible::Version { found }.into()),
        NativeBinding::None => {
            Err(Incompatible::MissingExports(vec![format!("`{}`", native::SYMBOL)]).into())
        }
    }
}

/// Whether a library is for this machine and its operating system.
pub(super) fn is_of_this_machine<'data, R: ReadRef<'data>>(
    library: &object::File<'data, R>,
) -> bool {
    check_machine(library).is_ok()
}

/// Refuses a library for another machine.
fn check_machine<'data, R: ReadRef<'data>>(
    library: &object::File<'data, R>,
) -> Result<(), LoadProblem> {
    let format = format!("{:?}", library.format()).to_lowercase();
    let found = format!("{:?}", library.architecture()).to_lowercase();
    let expected = std::env::consts::ARCH;
    let is_same = found.replace('_', "").eq_ignore_ascii_case(&expected.replace('_', ""));
    if format == NATIVE_FORMAT && is_same {
        return Ok(());
    }
    let (found, expected) = (machine(&format, &found), machine(NATIVE_FORMAT, expected));
    Err(Incompatible::Machine { found, expected }.into())
}

/// The words for a machine.
fn machine(format: &str, architecture: &str) -> String {
    let system = match format {
        "elf" => "Linux or another system with ELF",
        "macho" => "macOS",
        "pe" => "Windows",
        other => other,
    };
    format!("{system}, {architecture}")
}

/// Which version of the native table a library exports.
pub(super) enum NativeBinding {
    /// The one of this host.
    Fits,
    /// One of another version.
    Other(glovebox_abi::ProtocolVersion),
    /// None: it is no plugin.
    None,
}

pub(super) fn binding_of<'data, R: ReadRef<'data>>(
    library: &object::File<'data, R>,
) -> NativeBinding {
    // Mach-O puts an underscore before each name.
    let is_macho = library.format() == object::BinaryFormat::MachO;
    let mut found = NativeBinding::None;
    each_name(library, Names::Exported, |name| {
        let Ok(name) = str::from_utf8(name) else { return true };
        let name = if is_macho { name.trim_start_matches('_') } else { name };
        if name == native::SYMBOL {
            found = NativeBinding::Fits;
            return false;
        }
        let version = name.strip_prefix(native::SYMBOL_PREFIX);
        let version = version.and_then(glovebox_abi::ProtocolVersion::from_suffix);
        if let (Some(version), NativeBinding::None) = (version, &found) {
            found = NativeBinding::Other(version);
        }
        true
    });
    found
}

/// Refuses an ELF file that ends before its section headers or any segment does: the loader would
/// map pages that are not there.
pub(super) fn check_extent<'data, R: ReadRef<'data>>(bytes: R) -> Result<(), LoadProblem> {
    if NATIVE_FORMAT != "elf" {
        return Ok(());
    }
    let file = ElfFile64::<Endianness, R>::parse(bytes).map_err(damaged)?;
    let (header, endian) = (file.elf_header(), file.endian());
    let sections = header
        .e_shoff(endian)
        .saturating_add(u64::from(header.e_shentsize(endian)) * u64::from(header.e_shnum(endian)));
    let segments = file
        .elf_program_headers()
        .iter()
        .map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    let needed = segments.chain([sections]).max().unwrap_or(0);
    let found = bytes.len().unwrap_or(0);
    if needed > found {
        return Err(damaged(format!("cut short: {needed} bytes needed, {found} found")));
    }
    for segment in file.elf_program_headers() {
        let (file, memory) = (segment.p_filesz(endian), segment.p_memsz(endian));
        if file > memory {
            let reason = format!("a segment has {file} bytes for {memory} bytes of memory");
            return Err(damaged(reason));
        }
    }
    Ok(())
}

/// Refuses what a copy that stopped half-way leaves behind: headers and code that are zeros.
fn check_sections(file: &ElfFile64<'_, Endianness>) -> Result<(), LoadProblem> {
    let endian = file.endian();
    // The first header is empty by definition, and no linker makes another such.
    for section in file.elf_section_table().iter().skip(1) {
        if section.sh_type(endian) == SHT_NULL {
            return Err(damaged("section headers are zeros"));
        }
    }
    let code = file.sections().filter(|section| {
        let header = section.elf_section_header();
        header.sh_type(endian) != SHT_NOBITS
            && header.sh_flags(endian).contains(object::elf::SHF_EXECINSTR)
    });
    for section in code {
        let bytes = section.data().map_err(damaged)?;
        let zeros = bytes.chunks(PAGE).position(|page| page.len() == PAGE && is_zero(page));
        if let Some(page) = zeros {
            let name = shorten(section.name().unwrap_or("?"));
            return Err(damaged(format!("section {name}: zeros at {}, not code", page * PAGE)));
        }
    }
    Ok(())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The one symbol that matters: it must be there, for this version, and be code.
fn check_symbol(library: &object::File<'_>) -> Result<(), LoadProblem> {
    match binding_of(library) {
        NativeBinding::Fits => {}
        NativeBinding::Other(found) => return Err(Incompatible::Version { found }.into()),
        NativeBinding::None => {
            let missing = vec![format!("`{}`", native::SYMBOL)];
            return Err(Incompatible::MissingExports(missing).into());
        }
    }
    // Other formats have no symbols in this sense; their exports were read above.
    let symbol = library.dynamic_symbols().find(|symbol| symbol.name() == Ok(native::SYMBOL));
    let Some(symbol) = symbol else { return Ok(()) };
    let (address, size) = (symbol.address(), symbol.size().clamp(1, PAGE as u64));
    let code = library
        .segments()
        .filter(|segment| segment.permissions().executable())
        .find_map(|segment| segment.data_range(address, size).ok().flatten());
    match code {
        Some(code) if !is_zero(code) => Ok(()),
        Some(_) => Err(damaged(format!("`{}` is zeros, not code", native::SYMBOL))),
        None => Err(damaged(format!("`{}` at {address:#x} lies outside the code", native::SYMBOL))),
    }
}

/// The tables that the loader follows: each must lie in a segment, and not be zeros.
fn check_dynamic(file: &ElfFile64<'_, Endianness>) -> Result<(), LoadProblem> {
    let (endian, data) = (file.endian(), file.data());
    let mut entries: Option<&[<FileHeader64<Endianness> as FileHeader>::Dyn]> = None;
    for segment in file.elf_program_headers() {
        if segment.p_type(endian) == PT_DYNAMIC {
            entries = segment.dynamic(endian, data).map_err(damaged)?;
        }
    }
    let entries = entries.ok_or_else(|| damaged("no dynamic table"))?;
    if !entries.iter().any(|entry| entry.tag(endian) == DT_NULL) {
        return Err(damaged("the dynamic table has no end"));
    }
    let value = |tag: DynamicTag| {
        let entries = entries.iter().take_while(|entry| entry.tag(endian) != DT_NULL);
        entries.into_iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian))
    };
    let table = |name: &str, address: u64, size: u64| {
        let found = file
            .segments()
            .find_map(|segment| segment.data_range(address, size).ok().flatten())
            .ok_or_else(|| damaged(format!("the {name} at {address:#x} lies in no segment")))?;
        Ok::<&[u8], LoadProblem>(found)
    };
    let needed = |name: &str, tag| {
        value(tag).ok_or_else(|| damaged(format!("the dynamic table names no {name}")))
    };
    let strings = needed("string table", DT_STRTAB)?;
    table("string table", strings, needed("length of the string table", DT_STRSZ)?)?;
    // One symbol, the undefined one, is always there.
    table("symbol table", needed("symbol table", DT_SYMTAB)?, 24)?;
    for (name, start, size) in
        [("relocations", DT_RELA, DT_RELASZ), ("relocations of calls", DT_JMPREL, DT_PLTRELSZ)]
    {
        if let (Some(start), Some(size)) = (value(start), value(size)) {
            let bytes = table(name, start, size)?;
            // The last one tells: a linker writes none that does nothing.
            let last = bytes.len().saturating_sub(24);
            if !bytes.is_empty() && is_zero(&bytes[last..]) {
                return Err(damaged(format!("the {name} end in zeros")));
            }
        }
    }
    for (name, tag) in [("hash table", DT_GNU_HASH), ("hash table", DT_HASH)] {
        // The loader divides by the first number.
        if let Some(start) = value(tag)
            && is_zero(table(name, start, 4)?)
        {
            return Err(damaged(format!("the {name} is zeros")));
        }
    }
    Ok(())
}
