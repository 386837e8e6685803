//! WASI preview 1, for modules of the frame ABI.

use std::sync::Arc;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as preview1, WasiSnapshotPreview1};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wiggle::GuestMemory;

use super::random::Random;
use super::{DECOY, FILES, Outfit, Witness, bare, below, handles, path};
use crate::backend::wasm::output::Printed;
use crate::backend::wasm::ticker::Pulse;
use crate::context::Context;

/// The module that functions are imported from.
pub(in super::super) const MODULE: &str = "wasi_snapshot_preview1";

/// Of the numbers of errors, those that this looks at.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const ACCES: i32 = 2;
    pub(super) const INVAL: i32 = 28;
    pub(super) const NAMETOOLONG: i32 = 37;
    pub(super) const PERM: i32 = 63;
    pub(super) const ROFS: i32 = 69;
    pub(super) const NOTCAPABLE: i32 = 76;
    pub(super) const ILSEQ: i32 = 25;
}

/// `oflags` that make or empty a file: creat, excl, trunc.
const CHANGING_FLAGS: i32 = 1 | 4 | 8;
/// The right `fd_write`.
const RIGHT_TO_WRITE: i64 = 1 << 6;
/// The first number that stands for a folder; 0 to 2 are the standard streams.
const FIRST_FOLDER: i32 = 3;

/// The WASI of one copy.
pub(in super::super) struct Wasi {
    context: WasiP1Ctx,
    /// In its place when what is granted is no longer what it was made with: nothing but standard
    /// streams.
    sealed: WasiP1Ctx,
    made_at: u64,
    folders: Vec<String>,
    decoy: Option<tempfile::TempDir>,
    witness: Witness,
    printed: Printed,
}

/// What has WASI of its own, if its module imports any.
pub(in super::super) trait HasWasi: Send + 'static {
    /// `None` for modules that import nothing of it.
    fn wasi(&mut self) -> Option<&mut Wasi>;
}

impl Wasi {
    /// # Errors
    ///
    /// In words, if a granted folder cannot be opened.
    pub(in super::super) fn new(context: &Context, pulse: &Arc<Pulse>) -> Result<Wasi, String> {
        let witness = Witness::new(context, pulse);
        let printed = Printed::default();
        let Outfit { mut builder, made_at, folders, decoy } = Outfit::new(&witness, &printed)?;
        Ok(Wasi {
            context: builder.build_p1(),
            sealed: bare(&witness, &printed).build_p1(),
            made_at,
            folders,
            decoy,
            witness,
            printed,
        })
    }

    /// A call begins.
    pub(in super::super) fn begin(&mut self, context: &Context) {
        for wasi in [&mut self.context, &mut self.sealed] {
            wasi.ctx().table.set_max_capacity(handles(context));
        }
        self.witness.begin(context);
    }

    /// What the plugin printed since the last time.
    pub(in super::super) fn printed(&self) -> Option<String> {
        self.printed.take()
    }

    fn is_sealed(&self) -> bool {
        self.made_at != self.witness.outfit()
    }

    fn context(&mut self) -> &mut WasiP1Ctx {
        if self.is_sealed() { &mut self.sealed } else { &mut self.context }
    }

    /// What the plugin calls the folder of a number. Folders that it opened itself have no name.
    fn folder(&self, number: i32) -> String {
        let place = usize::try_from(number - FIRST_FOLDER).ok();
        match place.and_then(|place| self.folders.get(place)) {
            Some(name) => name.clone(),
            None if self.is_decoy(number) => DECOY.to_owned(),
            None => format!("folder {number}"),
        }
    }

    fn is_decoy(&self, number: i32) -> bool {
        let place = usize::try_from(number - FIRST_FOLDER).ok();
        self.decoy.is_some() && place == Some(self.folders.len())
    }
}

/// The memory of a module and its WASI.
fn parts<'a, T: HasWasi>(
    caller: &'a mut Caller<'_, T>,
) -> wasmtime::Result<(GuestMemory<'a>, &'a mut Wasi)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module has no export `memory`"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, data) = memory.data_and_store_mut(caller);
    let wasi = data.wasi().ok_or_else(none)?;
    wasi.context().set_hostcall_fuel(fuel);
    Ok((GuestMemory::Unshared(memory), wasi))
}

fn none() -> wasmtime::Error {
    wasmtime::Error::msg("the module called WASI, of which it imports nothing")
}

/// A path in the memory of a module, for people.
fn text(memory: &GuestMemory<'_>, pointer: i32, length: i32) -> String {
    let GuestMemory::Unshared(memory) = memory else { return String::new() };
    let start = pointer as u32 as usize;
    let bytes = memory.get(start..start.saturating_add(length as u32 as usize));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// A function with a path: decided about and shown.
struct PathUse {
    service: &'static str,
    folder: i32,
    name: (i32, i32),
    write: bool,
    /// True if it is an event also if it is not refused.
    shown: bool,
}

impl PathUse {
    fn run(
        self,
        memory: &mut GuestMemory<'_>,
        wasi: &mut Wasi,
        work: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> wasmtime::Result<i32>,
    ) -> wasmtime::Result<i32> {
        let PathUse { service, folder, name: (pointer, length), write, shown } = self;
        let full = below(&wasi.folder(folder), &text(memory, pointer, length));
        if wasi.is_decoy(folder) && !wasi.is_sealed() {
            wasi.witness.decided(service, FILES, &path(&full, write), false);
            return Ok(errno::ACCES);
        }
        let witness = wasi.witness.clone();
        let number = witness.wait(work(wasi.context(), memory))??;
        let result = match number {
            errno::SUCCESS => Ok(Value::Null),
            errno::ACCES | errno::PERM | errno::ROFS | errno::NOTCAPABLE => {
                Err(ServiceError::Denied)
            }
            errno::INVAL | errno::ILSEQ | errno::NAMETOOLONG => Err(ServiceError::Invalid),
            _ => Err(ServiceError::Unavailable),
        };
        if shown || result == Err(ServiceError::Denied) {
            wasi.witness.ended(service, FILES, &path(&full, write), result);
        }
        Ok(number)
    }
}

/// Puts bounded functions in the place of the library's.
macro_rules! bound {
    ($linker:ident: $($name:ident($($argument:ident: $type:ty),*);)+) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, $($argument: $type),*| -> wasmtime::Result<i32> {
                let (mut memory, wasi) = parts(&mut caller)?;
                let witness = wasi.witness.clone();
                witness.wait(preview1::$name(wasi.context(), &mut memory, $($argument),*))?
            },
        )?;
    )+};
}

/// The same for functions with a path.
macro_rules! bound_path {
    ($linker:ident: $($name:ident($service:literal, $write:expr, $shown:literal,
        $folder:ident, $pointer:ident, $length:ident: $($argument:ident: $type:ty),*);)+) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, $($argument: $type),*| -> wasmtime::Result<i32> {
                let (mut memory, wasi) = parts(&mut caller)?;
                let one = PathUse {
                    service: $service,
                    folder: $folder,
                    name: ($pointer, $length),
                    write: $write,
                    shown: $shown,
                };
                one.run(&mut memory, wasi, async |context, memory| {
                    preview1::$name(context, memory, $($argument),*).await
                })
            },
        )?;
    )+};
}

/// Adds WASI to a linker of modules.
pub(in super::super) fn add_to_linker<T: HasWasi>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    p1::add_to_linker_sync(linker, |data| match data.wasi() {
        Some(wasi) => wasi.context(),
        // `FrameAbiCode` gives WASI to every module that imports any of it.
        None => unreachable!("{}", none()),
    })?;
    linker.allow_shadowing(true);
    bound! { linker:
        poll_oneoff(subscriptions: i32, events: i32, count: i32, happened: i32);
        fd_read(fd: i32, vectors: i32, count: i32, length: i32);
        fd_pread(fd: i32, vectors: i32, count: i32, offset: i64, length: i32);
        fd_write(fd: i32, vectors: i32, count: i32, length: i32);
        fd_pwrite(fd: i32, vectors: i32, count: i32, offset: i64, length: i32);
        fd_readdir(fd: i32, buffer: i32, length: i32, cookie: i64, used: i32);
        fd_sync(fd: i32);
        fd_datasync(fd: i32);
    }
    bound_path! { linker:
        path_open("wasi:filesystem path-open",
            flags & CHANGING_FLAGS != 0 || rights & RIGHT_TO_WRITE != 0, true, fd, name, length:
            fd: i32, lookup: i32, name: i32, length: i32, flags: i32, rights: i64, inherited: i64,
            fd_flags: i32, opened: i32);
        path_create_directory("wasi:filesystem path-create-directory", true, true, fd, name, length:
            fd: i32, name: i32, length: i32);
        path_remove_directory("wasi:filesystem path-remove-directory", true, true, fd, name, length:
            fd: i32, name: i32, length: i32);
        path_unlink_file("wasi:filesystem path-unlink-file", true, true, fd, name, length:
            fd: i32, name: i32, length: i32);
        path_rename("wasi:filesystem path-rename", true, true, fd, name, length:
            fd: i32, name: i32, length: i32, to: i32, new: i32, new_length: i32);
        path_link("wasi:filesystem path-link", true, true, to, new, new_length:
            fd: i32, lookup: i32, name: i32, length: i32, to: i32, new: i32, new_length: i32);
        path_symlink("wasi:filesystem path-symlink", true, true, fd, new, new_length:
            name: i32, length: i32, fd: i32, new: i32, new_length: i32);
        path_filestat_set_times("wasi:filesystem path-filestat-set-times", true, true, fd, name,
            length: fd: i32, lookup: i32, name: i32, length: i32, accessed: i64, modified: i64,
            which: i32);
        path_filestat_get("wasi:filesystem path-filestat-get", false, false, fd, name, length:
            fd: i32, lookup: i32, name: i32, length: i32, found: i32);
        path_readlink("wasi:filesystem path-readlink", false, false, fd, name, length:
            fd: i32, name: i32, length: i32, buffer: i32, buffer_length: i32, used: i32);
    }
    linker.func_wrap(
        MODULE,
        "random_get",
        |mut caller: Caller<'_, T>, pointer: i32, length: i32| -> wasmtime::Result<i32> {
            let (memory, wasi) = parts(&mut caller)?;
            let bytes = Random(&wasi.witness).secure(u64::from(length as u32))?;
            let GuestMemory::Unshared(memory) = memory else { return Ok(errno::INVAL) };
            let start = pointer as u32 as usize;
            let Some(target) = memory.get_mut(start..start + bytes.len()) else {
                return Err(wasmtime::Error::msg("a buffer lies outside the memory"));
            };
            target.copy_from_slice(&bytes);
            Ok(errno::SUCCESS)
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
