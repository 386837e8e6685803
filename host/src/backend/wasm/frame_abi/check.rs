//! Checks a module against the frame ABI before it is linked: its version, exports and imports.

use glovebox_abi::{ProtocolVersion, frame_abi};
use wasmtime::{ExternType, Module, ValType};

use super::imports;
use crate::backend::wasm::component;
use crate::backend::wasm::wasi::preview1;
use crate::problem::{Incompatible, LoadProblem, shorten};

/// Checks the version of the contract, the exports with their types, and the names of the imports.
pub(super) fn module(module: &Module) -> Result<(), LoadProblem> {
    let names: Vec<&str> = module.exports().map(|export| export.name()).collect();
    version(&names)?;
    let needed = ["memory", frame_abi::BUFFER, frame_abi::PROCESS];
    let missing: Vec<String> = needed
        .into_iter()
        .filter(|name| !names.contains(name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        return Err(Incompatible::MissingExports(missing).into());
    }
    types(module)?;
    let is_known = |import: &wasmtime::ImportType<'_>| match import.module() {
        frame_abi::IMPORT_MODULE => imports::NAMES.contains(&import.name()),
        preview1::MODULE => true,
        _ => false,
    };
    let unknown: Vec<String> = module
        .imports()
        .filter(|import| !is_known(import))
        .map(|import| format!("`{}::{}`", shorten(import.module()), shorten(import.name())))
        .collect();
    if !unknown.is_empty() {
        return Err(Incompatible::UnknownImports(unknown).into());
    }
    Ok(())
}

/// Checks that every export of the contract has its type, so that a call cannot fail for it.
fn types(module: &Module) -> Result<(), LoadProblem> {
    for export in module.exports() {
        let expected = match export.name() {
            "memory" => "a 32-bit memory",
            "_initialize" | frame_abi::CLEANUP => "() -> ()",
            frame_abi::BUFFER => "(i32) -> (i32)",
            frame_abi::PROCESS | frame_abi::INITIALIZE | frame_abi::RESTORE_STATE => {
                "(i32) -> (i64)"
            }
            frame_abi::HEALTH | frame_abi::SAVE_STATE => "() -> (i64)",
            _ => continue,
        };
        let found = match export.ty() {
            ExternType::Memory(memory) if !memory.is_64() => "a 32-bit memory".to_owned(),
            ExternType::Memory(_) => "a 64-bit memory".to_owned(),
            ExternType::Func(function) => {
                let list = |types: &mut dyn Iterator<Item = ValType>| {
                    types.map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
                };
                let (parameters, results) =
                    (list(&mut function.params()), list(&mut function.results()));
                format!("({parameters}) -> ({results})")
            }
            ExternType::Global(_) => "a global".to_owned(),
            ExternType::Table(_) => "a table".to_owned(),
            ExternType::Tag(_) => "a tag".to_owned(),
        };
        if found != expected {
            let found = shorten(&found);
            let reason = format!("`{}` is {found}, expected {expected}", export.name());
            return Err(Incompatible::Export { reason }.into());
        }
    }
    Ok(())
}

fn version(exports: &[&str]) -> Result<(), LoadProblem> {
    let marked = exports.iter().filter_map(|name| {
        name.strip_prefix(frame_abi::MARKER_PREFIX).and_then(ProtocolVersion::from_suffix)
    });
    let versions: Vec<ProtocolVersion> = marked.collect();
    if versions.iter().any(|version| ProtocolVersion::CURRENT.supports(*version)) {
        return Ok(());
    }
    if exports.iter().any(|name| name.starts_with(component::GUEST)) {
        return Err(Incompatible::NotEncoded.into());
    }
    Err(match versions.first() {
        Some(version) => Incompatible::Version { found: *version }.into(),
        None => Incompatible::MissingExports(vec![format!("`{}`", frame_abi::MARKER)]).into(),
    })
}
