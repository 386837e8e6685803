//! WASI preview 1, for modules of the frame ABI.

use std::sync::Arc;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Permission, ServiceError};
use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as preview1, WasiSnapshotPreview1};
use wasmtime_wasi::p1::{self, WasiP1Ctx, types};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasmtime_wasi::{FsPerms, WasiView, runtime};
use wiggle::{GuestMemory, GuestPtr};

use super::numbers::{self, Numbers};
use super::open::{self, How};
use super::random::Random;
use super::{FILES, Outfit, Witness, bare, below, environment_read, handles, move_of, path};
use crate::backend::wasm::output::Printed;
use crate::backend::wasm::ticker::Pulse;
use crate::context::Context;

/// The module that functions are imported from.
pub(in super::super) const MODULE: &str = "wasi_snapshot_preview1";

/// Of the numbers of errors, those that this looks at.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const ACCES: i32 = 2;
    pub(super) const BADF: i32 = 8;
    pub(super) const NOTDIR: i32 = 54;
    pub(super) const INVAL: i32 = 28;
    pub(super) const NAMETOOLONG: i32 = 37;
    pub(super) const PERM: i32 = 63;
    pub(super) const ROFS: i32 = 69;
    pub(super) const NOTCAPABLE: i32 = 76;
    pub(super) const ILSEQ: i32 = 25;
}

/// The WASI of one copy.
pub(in super::super) struct Wasi {
    context: WasiP1Ctx,
    /// In its place when what is granted is no longer what it was made with: nothing but standard
    /// streams.
    sealed: WasiP1Ctx,
    made_at: u64,
    numbers: Numbers,
    /// Goes with the copy.
    _decoy: Option<tempfile::TempDir>,
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
        for folder in &folders {
            let placed = builder.preopened_dir(numbers::somewhere(), &folder.at, FsPerms::ReadOnly);
            placed.map_err(|error| error.to_string())?;
        }
        let mut context = builder.build_p1();
        Ok(Wasi {
            numbers: Numbers::start(&mut context, folders)?,
            context,
            sealed: bare(&witness, &printed).build_p1(),
            made_at,
            _decoy: decoy,
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

    /// Why a use of files did not succeed: what was opened before the folders changed is denied.
    fn reason(&self, error: ServiceError) -> ServiceError {
        if self.is_sealed() { ServiceError::Denied } else { self.witness.reason(FILES, error) }
    }

    /// Takes in a use of a number that is not a standard stream's, if it was refused because files are
    /// not granted, or no longer those that it was opened in.
    fn used(&self, service: &'static str, number: i32, write: bool, done: i32) {
        const STANDARD_STREAMS: std::ops::RangeInclusive<i32> = 0..=2;
        if done == errno::SUCCESS || STANDARD_STREAMS.contains(&number) {
            return;
        }
        if self.reason(ServiceError::Unavailable) == ServiceError::Denied {
            let name = match self.numbers.get(number) {
                Some(handle) => handle.name.clone(),
                None => unknown(number),
            };
            self.witness.decided(service, FILES, &path(&name, write), false);
        }
    }

    fn context(&mut self) -> &mut WasiP1Ctx {
        if self.is_sealed() { &mut self.sealed } else { &mut self.context }
    }

    /// The path as the plugin knows it, below what a number stands for.
    fn named(&self, number: i32, path: &str) -> String {
        match self.numbers.get(number) {
            Some(handle) => below(&handle.name, path),
            None => below(&unknown(number), path),
        }
    }

    /// True if a number stands for a folder that is not granted.
    fn is_decoy(&self, number: i32) -> bool {
        self.numbers.get(number).is_some_and(|handle| handle.is_decoy)
    }

    /// True if the path is that of a link.
    fn is_link(&mut self, number: i32, path: &str) -> wasmtime::Result<bool> {
        let handle = self.numbers.get(number).filter(|_| self.made_at == self.witness.outfit());
        let Some(folder) = handle.and_then(|handle| handle.folder(&mut self.context)) else {
            return Ok(false);
        };
        self.witness.wait(open::is_link(folder, path.to_owned()))
    }
}

/// The error for a number that stands for nothing.
fn unknown(number: i32) -> String {
    format!("number {number}")
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

/// A path below what a number stands for, in the memory of a module.
type Place = (i32, i32, i32);

/// A function with a path: decided about and shown.
struct PathUse {
    service: &'static str,
    place: Place,
    /// What there was before, of functions that give it a new name at `place`.
    before: Option<Place>,
    write: bool,
    /// True if it is an event also if it is not refused.
    shown: bool,
}

impl PathUse {
    fn run(
        self,
        memory: &mut GuestMemory<'_>,
        wasi: &mut Wasi,
        work: impl FnOnce(&mut Wasi, &mut GuestMemory<'_>, &str) -> wasmtime::Result<i32>,
    ) -> wasmtime::Result<i32> {
        let PathUse { service, place, before, write, shown } = self;
        let (number, pointer, length) = place;
        let full = wasi.named(number, &text(memory, pointer, length));
        let before = before.map(|(number, pointer, length)| {
            let name = text(memory, pointer, length);
            (number, wasi.named(number, &name), name)
        });
        let parameter = match &before {
            Some((_, before, _)) => move_of(before, &full),
            None => path(&full, write),
        };
        let witness = wasi.witness.clone();
        let mut decoys = [number].into_iter().chain(before.as_ref().map(|(number, ..)| *number));
        if !wasi.is_sealed() && decoys.any(|number| wasi.is_decoy(number)) {
            witness.decided(service, FILES, &parameter, false);
            return Ok(errno::ACCES);
        }
        let number = match &before {
            Some((number, _, name)) if wasi.is_link(*number, name)? => errno::PERM,
            _ => work(wasi, memory, &full)?,
        };
        let result = match number {
            errno::SUCCESS => Ok(Value::Null),
            errno::ACCES | errno::PERM | errno::ROFS | errno::NOTCAPABLE => {
                Err(ServiceError::Denied)
            }
            errno::INVAL | errno::ILSEQ | errno::NAMETOOLONG => Err(ServiceError::Invalid),
            _ => Err(ServiceError::Unavailable),
        };
        let result = result.map_err(|error| wasi.reason(error));
        if shown || result == Err(ServiceError::Denied) {
            witness.ended(service, FILES, &parameter, result);
        }
        Ok(number)
    }
}

/// What `path_open` is given, beside a path.
struct Opening {
    lookup: i32,
    flags: i32,
    rights: i64,
    fd_flags: i32,
    /// Where the number goes.
    opened: i32,
}

impl Opening {
    /// # Errors
    ///
    /// If there are no such flags.
    fn how(&self) -> Result<How, wiggle::GuestError> {
        let lookup = types::Lookupflags::try_from(self.lookup)?;
        let flags = types::Oflags::try_from(self.flags)?;
        let rights = types::Rights::try_from(self.rights)?;
        let fd_flags = types::Fdflags::try_from(self.fd_flags)?;
        let follow = lookup.contains(types::Lookupflags::SYMLINK_FOLLOW);
        let path = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
        let open = [
            (types::Oflags::CREAT, OpenFlags::CREATE),
            (types::Oflags::DIRECTORY, OpenFlags::DIRECTORY),
            (types::Oflags::EXCL, OpenFlags::EXCLUSIVE),
            (types::Oflags::TRUNC, OpenFlags::TRUNCATE),
        ];
        let open = open.into_iter().filter(|(asked, _)| flags.contains(*asked));
        let open = open.fold(OpenFlags::empty(), |all, (_, flag)| all | flag);
        let mut how = DescriptorFlags::empty();
        if rights.contains(types::Rights::FD_READ) {
            how |= DescriptorFlags::READ;
        }
        if rights.contains(types::Rights::FD_WRITE) {
            how |= DescriptorFlags::WRITE;
        }
        if fd_flags.intersects(types::Fdflags::SYNC | types::Fdflags::DSYNC | types::Fdflags::RSYNC)
        {
            how |= DescriptorFlags::FILE_INTEGRITY_SYNC;
        }
        Ok(How { path, open, flags: how })
    }

    fn run(
        self,
        memory: &mut GuestMemory<'_>,
        wasi: &mut Wasi,
        (number, pointer, length): Place,
        full: &str,
    ) -> wasmtime::Result<i32> {
        let Ok(how) = self.how() else { return Ok(errno::INVAL) };
        let name = GuestPtr::<str>::new((pointer.cast_unsigned(), length.cast_unsigned()));
        let name = match memory.as_cow_str(name) {
            Ok(name) => name.into_owned(),
            Err(wiggle::GuestError::InvalidUtf8(_)) => return Ok(errno::ILSEQ),
            Err(error) => return Err(error.into()),
        };
        let target = GuestPtr::<u32>::new(self.opened.cast_unsigned());
        memory.read(target)?;
        let known = wasi.numbers.get(number).filter(|_| !wasi.is_sealed()).cloned();
        let Some(known) = known else { return Ok(errno::BADF) };
        let witness = wasi.witness.clone();
        let Some(folder) = known.folder(&mut wasi.context) else { return Ok(errno::NOTDIR) };
        let opened: FsResult<Descriptor> = witness.wait(open::open(folder, name, how))?;
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(types::Error::from(error).downcast()? as i32),
        };
        let Wasi { numbers, context, .. } = wasi;
        // Not to be broken off in the middle.
        let (full, below) = (full.to_owned(), (number, &known));
        let given = numbers.adopt(context, below, opened, full, self.fd_flags);
        let given = runtime::in_tokio(given)?;
        memory.write(target, given)?;
        Ok(errno::SUCCESS)
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

/// The same for functions about a number, which may be that of a file or folder.
macro_rules! bound_number {
    ($linker:ident: $($name:ident($service:literal, $write:literal, $fd:ident:
        $($argument:ident: $type:ty),*);)+) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, $($argument: $type),*| -> wasmtime::Result<i32> {
                let (mut memory, wasi) = parts(&mut caller)?;
                let witness = wasi.witness.clone();
                let work = preview1::$name(wasi.context(), &mut memory, $($argument),*);
                let done = witness.wait(work)??;
                wasi.used($service, $fd, $write, done);
                Ok(done)
            },
        )?;
    )+};
}

/// The same for functions that wait for nothing.
macro_rules! number_at_once {
    ($linker:ident: $($name:ident($service:literal, $write:literal, $fd:ident:
        $($argument:ident: $type:ty),*);)+) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, $($argument: $type),*| -> wasmtime::Result<i32> {
                let (mut memory, wasi) = parts(&mut caller)?;
                let done = preview1::$name(wasi.context(), &mut memory, $($argument),*)?;
                wasi.used($service, $fd, $write, done);
                Ok(done)
            },
        )?;
    )+};
}

/// The same for functions with a path.
macro_rules! bound_path {
    ($linker:ident: $($name:ident($service:literal, $write:literal, $shown:literal,
        $folder:ident, $pointer:ident, $length:ident $(, before $before:tt)?:
        $($argument:ident: $type:ty),*);)+) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, T>, $($argument: $type),*| -> wasmtime::Result<i32> {
                let (mut memory, wasi) = parts(&mut caller)?;
                let one = PathUse {
                    service: $service,
                    place: ($folder, $pointer, $length),
                    before: None$(.or(Some($before)))?,
                    write: $write,
                    shown: $shown,
                };
                one.run(&mut memory, wasi, |wasi, memory, _| {
                    let witness = wasi.witness.clone();
                    witness.wait(preview1::$name(wasi.context(), memory, $($argument),*))?
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
    }
    bound_number! { linker:
        fd_read("wasi:filesystem fd-read", false, fd:
            fd: i32, vectors: i32, count: i32, length: i32);
        fd_pread("wasi:filesystem fd-pread", false, fd:
            fd: i32, vectors: i32, count: i32, offset: i64, length: i32);
        fd_write("wasi:filesystem fd-write", true, fd:
            fd: i32, vectors: i32, count: i32, length: i32);
        fd_pwrite("wasi:filesystem fd-pwrite", true, fd:
            fd: i32, vectors: i32, count: i32, offset: i64, length: i32);
        fd_readdir("wasi:filesystem fd-readdir", false, fd:
            fd: i32, buffer: i32, length: i32, cookie: i64, used: i32);
        fd_sync("wasi:filesystem fd-sync", true, fd:
            fd: i32);
        fd_datasync("wasi:filesystem fd-datasync", true, fd:
            fd: i32);
        fd_advise("wasi:filesystem fd-advise", false, fd:
            fd: i32, offset: i64, length: i64, advice: i32);
        fd_seek("wasi:filesystem fd-seek", false, fd:
            fd: i32, offset: i64, whence: i32, position: i32);
        fd_fdstat_get("wasi:filesystem fd-fdstat-get", false, fd:
            fd: i32, found: i32);
        fd_filestat_get("wasi:filesystem fd-filestat-get", false, fd:
            fd: i32, found: i32);
        fd_filestat_set_size("wasi:filesystem fd-filestat-set-size", true, fd:
            fd: i32, size: i64);
        fd_filestat_set_times("wasi:filesystem fd-filestat-set-times", true, fd:
            fd: i32, accessed: i64, modified: i64, which: i32);
    }
    number_at_once! { linker:
        fd_tell("wasi:filesystem fd-tell", false, fd:
            fd: i32, position: i32);
        fd_allocate("wasi:filesystem fd-allocate", true, fd:
            fd: i32, offset: i64, length: i64);
        fd_fdstat_set_flags("wasi:filesystem fd-fdstat-set-flags", true, fd:
            fd: i32, flags: i32);
        fd_prestat_dir_name("wasi:filesystem fd-prestat-dir-name", false, fd:
            fd: i32, buffer: i32, length: i32);
    }
    linker.func_wrap(
        MODULE,
        "fd_prestat_get",
        |mut caller: Caller<'_, T>, fd: i32, found: i32| -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let done = preview1::fd_prestat_get(wasi.context(), &mut memory, fd, found)?;
            // Libraries look for folders when they start, whether the plugin needs any or not.
            if wasi.witness.lacks(FILES) {
                wasi.used("wasi:filesystem fd-prestat-get", fd, false, done);
            }
            Ok(done)
        },
    )?;
    bound_path! { linker:
        path_create_directory("wasi:filesystem path-create-directory", true, true, fd, name, length:
            fd: i32, name: i32, length: i32);
        path_remove_directory("wasi:filesystem path-remove-directory", true, true, fd, name, length:
            fd: i32, name: i32, length: i32);
        path_unlink_file("wasi:filesystem path-unlink-file", true, true, fd, name, length:
            fd: i32, name: i32, length: i32);
        path_rename("wasi:filesystem path-rename", true, true, to, new, new_length,
            before (fd, name, length):
            fd: i32, name: i32, length: i32, to: i32, new: i32, new_length: i32);
        path_link("wasi:filesystem path-link", true, true, to, new, new_length,
            before (fd, name, length):
            fd: i32, lookup: i32, name: i32, length: i32, to: i32, new: i32, new_length: i32);
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
        "path_open",
        |mut caller: Caller<'_, T>,
         number: i32,
         lookup: i32,
         pointer: i32,
         length: i32,
         flags: i32,
         rights: i64,
         _inherited: i64,
         fd_flags: i32,
         opened: i32|
         -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let opening = Opening { lookup, flags, rights, fd_flags, opened };
            let place = (number, pointer, length);
            let one = PathUse {
                service: "wasi:filesystem path-open",
                place,
                before: None,
                write: opening.how().is_ok_and(How::changes),
                shown: true,
            };
            one.run(&mut memory, wasi, |wasi, memory, full| opening.run(memory, wasi, place, full))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "path_symlink",
        |mut caller: Caller<'_, T>,
         target: i32,
         target_length: i32,
         number: i32,
         pointer: i32,
         length: i32|
         -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let _ = (target, target_length);
            let one = PathUse {
                service: "wasi:filesystem path-symlink",
                place: (number, pointer, length),
                before: None,
                write: true,
                shown: true,
            };
            one.run(&mut memory, wasi, |_, _, _| Ok(errno::PERM))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_close",
        |mut caller: Caller<'_, T>, number: i32| -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let (witness, sealed) = (wasi.witness.clone(), wasi.is_sealed());
            let done = witness.wait(preview1::fd_close(wasi.context(), &mut memory, number))??;
            if done == errno::SUCCESS && !sealed {
                wasi.numbers.close(number);
            }
            Ok(done)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "fd_renumber",
        |mut caller: Caller<'_, T>, from: i32, to: i32| -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let (witness, sealed) = (wasi.witness.clone(), wasi.is_sealed());
            let work = preview1::fd_renumber(wasi.context(), &mut memory, from, to);
            let done = witness.wait(work)??;
            if done == errno::SUCCESS && !sealed {
                wasi.numbers.renumber(from, to);
            }
            Ok(done)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "environ_get",
        |mut caller: Caller<'_, T>, pointers: i32, texts: i32| -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let done = preview1::environ_get(wasi.context(), &mut memory, pointers, texts)?;
            let is_denied = wasi.witness.lacks(Permission::Environment);
            if done == errno::SUCCESS && (is_denied || !wasi.is_sealed()) {
                environment_read(&wasi.witness);
            }
            Ok(done)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Caller<'_, T>, count: i32, size: i32| -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let done = preview1::environ_sizes_get(wasi.context(), &mut memory, count, size)?;
            // Who is told that there are none does not ask for them.
            if wasi.witness.lacks(Permission::Environment) {
                environment_read(&wasi.witness);
            }
            Ok(done)
        },
    )?;
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
