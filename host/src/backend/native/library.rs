//! A shared library, opened, with the table of functions in it.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

use glovebox_abi::ProtocolVersion;
use glovebox_abi::native::{Entry, PluginTable, SYMBOL};
use tempfile::TempPath;

use crate::problem::{Incompatible, LoadProblem};

/// An opened library. It is never closed: code of a library may run until the process ends
/// (destructors of thread-local values), so closing it is never safe.
///
/// So a reload leaves the old copy mapped, and a process grows by the mapped size of the library
/// for each, of which only the pages that were written to are its own memory: a few hundred KiB for
/// a plugin in Rust. The promise is that new code runs, not that old code is gone.
pub(crate) struct NativeCode {
    pub(super) table: &'static PluginTable,
    /// The private copy that was opened, for a generation that is to run elsewhere later.
    pub(crate) copy: Option<TempPath>,
}

impl NativeCode {
    /// Opens a private copy of a library whose sections and symbols were checked before.
    ///
    /// Counts it in `mapped` as soon as it is open: it stays, whatever is wrong with it.
    pub(crate) fn open(
        path: &std::path::Path,
        mapped: &AtomicU64,
    ) -> Result<NativeCode, LoadProblem> {
        let malformed = |error: libloading::Error| LoadProblem::Malformed {
            what: "shared library",
            reason: error.to_string(),
        };
        // SAFETY: opening runs the library's constructors, which is what the person who gave the
        // trust flag agreed to; the file is a private copy that nobody else writes to.
        let library = unsafe { libloading::Library::new(path) }.map_err(malformed)?;
        // Its constructors have run.
        let library = ManuallyDrop::new(library);
        mapped.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the symbol of this name has this type by the contract of the native table.
        let entry = unsafe { library.get::<Entry>(SYMBOL) }.map_err(malformed)?;
        // SAFETY: the entry takes nothing and returns a pointer to a table that stays valid.
        let table = unsafe { entry() };
        // SAFETY: by the contract of the native table, what the entry returns is null or the start
        // of a table that is never freed or written to.
        let table = unsafe { checked(table) }?;
        Ok(NativeCode { table, copy: None })
    }
}

/// The table, once it is known to be one of this version, as large as one, and complete.
///
/// # Safety
///
/// Unless the pointer is null or not aligned, there must be a table behind it that starts with its
/// version and its size, is as long as the size says, and is neither freed nor written to any more.
/// If the version is this one, each function in it is null, which is refused, or one of the type that
/// its field has.
unsafe fn checked(table: *const PluginTable) -> Result<&'static PluginTable, LoadProblem> {
    let no_table = |what: &str| -> LoadProblem {
        Incompatible::MissingExports(vec![format!("{SYMBOL}, which returned {what}")]).into()
    };
    if table.is_null() {
        return Err(no_table("null"));
    }
    if !table.is_aligned() {
        return Err(no_table("an address that no table can have"));
    }
    // SAFETY: the pointer is aligned for the table, hence for its fields, and the caller promises
    // that the table has these two, whatever its size. Nothing refers to the table as a whole yet:
    // it may be shorter than this version's type.
    let (version, size) = unsafe {
        (
            (&raw const (*table).abi_version).read(),
            (&raw const (*table).struct_size).read() as usize,
        )
    };
    let version = ProtocolVersion::from_u32(version);
    if !ProtocolVersion::CURRENT.supports(version) {
        return Err(Incompatible::Version { found: version }.into());
    }
    let expected = size_of::<PluginTable>();
    if size < expected {
        return Err(Incompatible::TableSize { found: size, expected }.into());
    }
    // SAFETY: the table is at least as long as the type, so that each field lies in it; they are read
    // as addresses, which may be null.
    let is_there = unsafe {
        [
            ("create", (&raw const (*table).create).cast::<*const c_void>().read()),
            ("process", (&raw const (*table).process).cast::<*const c_void>().read()),
            ("health", (&raw const (*table).health).cast::<*const c_void>().read()),
            ("save_state", (&raw const (*table).save_state).cast::<*const c_void>().read()),
            ("restore_state", (&raw const (*table).restore_state).cast::<*const c_void>().read()),
            ("destroy", (&raw const (*table).destroy).cast::<*const c_void>().read()),
        ]
    };
    let missing = is_there.into_iter().filter(|(_, address)| address.is_null());
    let missing: Vec<String> = missing
        .map(|(name, _)| format!("`{name}` in the table of {SYMBOL}, which is null there"))
        .collect();
    if !missing.is_empty() {
        return Err(Incompatible::MissingExports(missing).into());
    }
    // SAFETY: not null, aligned, and by its own size, which the caller vouches for, at least as
    // long as the type; no function in it is null, and the caller vouches for their types; nobody
    // writes to it, so that a shared reference may live for ever.
    Ok(unsafe { &*table })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field but the first two is missing: reading any further would be reading what is not
    /// there, which Miri and valgrind would find.
    #[test]
    fn a_table_is_not_believed_before_its_size_is_known() {
        #[repr(C, align(16))]
        struct Short {
            version: u32,
            size: u32,
        }
        fn check(version: u32, size: u32, expected: &str) {
            let table: &'static Short = Box::leak(Box::new(Short { version, size }));
            // SAFETY: it starts with its version and its size, and lives for ever.
            let problem = unsafe { checked(std::ptr::from_ref(table).cast()) }.unwrap_err();
            assert!(problem.to_string().contains(expected), "{problem} lacks {expected}");
        }
        let current = ProtocolVersion::CURRENT.to_u32();
        check(current, 8, "8");
        check(current, size_of::<PluginTable>() as u32 - 1, "bytes");
        check(current + (1 << 16), 8, "version");
        /// A table of the right size in which one function is null.
        #[repr(C, align(16))]
        struct Whole {
            version: u32,
            size: u32,
            functions: [*const c_void; 6],
        }
        let names = ["create", "process", "health", "save_state", "restore_state", "destroy"];
        for (place, name) in names.into_iter().enumerate() {
            let mut functions = [check as *const c_void; 6];
            functions[place] = std::ptr::null();
            let size = size_of::<PluginTable>() as u32;
            let table: &'static Whole =
                Box::leak(Box::new(Whole { version: current, size, functions }));
            // SAFETY: it is as long as it says, and one of its functions is null.
            let problem = unsafe { checked(std::ptr::from_ref(table).cast()) }.unwrap_err();
            assert!(problem.to_string().contains(&format!("`{name}` in the table")), "{problem}");
        }
        // SAFETY: null and what is not aligned are not read.
        let null = unsafe { checked(std::ptr::null()) };
        assert!(null.unwrap_err().to_string().contains("null"));
        // SAFETY: the same.
        let crooked = unsafe { checked(std::ptr::without_provenance(1)) };
        assert!(crooked.unwrap_err().to_string().contains("address"));
    }
}
