//! The functions of preview 1: the library's, bounded in time, decided about and shown.

use glovebox_abi::{Permission, ServiceError};
use wasmtime::{AsContextMut, Caller, Extern, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as preview1, WasiSnapshotPreview1};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wiggle::GuestMemory;

use super::super::growth::Growth;
use super::super::open::How;
use super::super::random::Random;
use super::super::{FILES, environment_read, path};
use super::paths::{Opening, PathUse};
use super::{HasWasi, MODULE, Wasi, errno};

/// The memory of a module and its WASI.
fn parts<'a, T: HasWasi>(
    caller: &'a mut Caller<'_, T>,
) -> wasmtime::Result<(GuestMemory<'a>, &'a mut Wasi)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module has no export `memory`"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, data) = memory.data_and_store_mut(caller);
    data.count_call().map_err(wasmtime::Error::msg)?;
    let wasi = data.wasi().ok_or_else(none)?;
    wasi.context().set_hostcall_fuel(fuel);
    Ok((GuestMemory::Unshared(memory), wasi))
}

fn none() -> wasmtime::Error {
    wasmtime::Error::msg("the module called WASI, of which it imports nothing")
}

/// A function about a number, which may be that of a file or folder, bounded in time.
fn number_use<T: HasWasi>(
    mut caller: Caller<'_, T>,
    service: &'static str,
    write: bool,
    number: i32,
    work: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> wasmtime::Result<i32>,
) -> wasmtime::Result<i32> {
    let (mut memory, wasi) = parts(&mut caller)?;
    let witness = wasi.witness.clone();
    let done = witness.wait(work(wasi.context(), &mut memory))??;
    wasi.used(service, number, write, done);
    Ok(done)
}

/// Puts such functions in the place of the library's.
macro_rules! bound_number {
    ($linker:ident: $($name:ident($service:literal, $write:literal, $number:ident:
        $($argument:ident: $type:ty),*)$(.$wait:tt)?;)+) => {$(
        $linker.func_wrap(MODULE, stringify!($name), |caller: Caller<'_, T>, $($argument: $type),*| {
            number_use(caller, $service, $write, $number, async |wasi, memory| {
                preview1::$name(wasi, memory, $($argument),*)$(.$wait)?
            })
        })?;
    )+};
}

/// The same for one by which a file may grow.
fn growing_use<T: HasWasi>(
    mut caller: Caller<'_, T>,
    service: &'static str,
    number: i32,
    growth: impl FnOnce(&GuestMemory<'_>) -> Growth,
    work: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> wasmtime::Result<i32>,
) -> wasmtime::Result<i32> {
    let (mut memory, wasi) = parts(&mut caller)?;
    let (witness, growth) = (wasi.witness.clone(), growth(&memory));
    if witness.wait(wasi.outgrows(number, growth))?? {
        let name = wasi.numbers.get(number).map(|handle| handle.name.clone()).unwrap_or_default();
        witness.ended(service, FILES, &path(&name, true), Err(ServiceError::LimitExceeded));
        return Ok(errno::FBIG);
    }
    let done = witness.wait(work(wasi.context(), &mut memory))??;
    wasi.used(service, number, true, done);
    Ok(done)
}

/// How many bytes a write takes: those of the first vector that holds any. Vectors that lie outside of
/// the memory hold none.
fn bytes_of(memory: &GuestMemory<'_>, vectors: i32, count: i32) -> u64 {
    const VECTOR: usize = 8;
    let GuestMemory::Unshared(memory) = memory else { return 0 };
    let from = memory.get(vectors.cast_unsigned() as usize..).unwrap_or_default();
    let vectors = from.chunks_exact(VECTOR).take(count.cast_unsigned() as usize);
    let length = |vector: &[u8]| u32::from_le_bytes([vector[4], vector[5], vector[6], vector[7]]);
    vectors.map(|vector| u64::from(length(vector))).find(|length| *length > 0).unwrap_or(0)
}

/// Puts such functions in the place of the library's.
macro_rules! bound_growth {
    ($linker:ident: $($name:ident($service:literal, $number:ident, |$memory:ident| $growth:block:
        $($argument:ident: $type:ty),*)$(.$wait:tt)?;)+) => {$(
        $linker.func_wrap(MODULE, stringify!($name), |caller: Caller<'_, T>, $($argument: $type),*| {
            growing_use(caller, $service, $number, |$memory| $growth, async |wasi, memory| {
                preview1::$name(wasi, memory, $($argument),*)$(.$wait)?
            })
        })?;
    )+};
}

/// The same for functions with a path, each of which waits.
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
pub(in super::super::super) fn add_to_linker<T: HasWasi>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    p1::add_to_linker_sync(linker, |data| {
        // The library has no way to refuse: the next tick of the call does.
        let _ = data.count_call();
        match data.wasi() {
            Some(wasi) => wasi.context(),
            // `FrameAbiCode` gives WASI to every module that imports any of it.
            None => unreachable!("{}", none()),
        }
    })?;
    linker.allow_shadowing(true);
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |mut caller: Caller<'_, T>,
         subscriptions: i32,
         events: i32,
         count: i32,
         happened: i32|
         -> wasmtime::Result<i32> {
            let (mut memory, wasi) = parts(&mut caller)?;
            let (witness, wasi) = (wasi.witness.clone(), wasi.context());
            witness.wait(preview1::poll_oneoff(
                wasi,
                &mut memory,
                subscriptions,
                events,
                count,
                happened,
            ))?
        },
    )?;
    bound_number! { linker:
        fd_read("wasi:filesystem fd-read", false, fd:
            fd: i32, vectors: i32, count: i32, length: i32).await;
        fd_pread("wasi:filesystem fd-pread", false, fd:
            fd: i32, vectors: i32, count: i32, offset: i64, length: i32).await;
        fd_readdir("wasi:filesystem fd-readdir", false, fd:
            fd: i32, buffer: i32, length: i32, cookie: i64, used: i32).await;
        fd_sync("wasi:filesystem fd-sync", true, fd:
            fd: i32).await;
        fd_datasync("wasi:filesystem fd-datasync", true, fd:
            fd: i32).await;
        fd_advise("wasi:filesystem fd-advise", false, fd:
            fd: i32, offset: i64, length: i64, advice: i32).await;
        fd_seek("wasi:filesystem fd-seek", false, fd:
            fd: i32, offset: i64, whence: i32, position: i32).await;
        fd_fdstat_get("wasi:filesystem fd-fdstat-get", false, fd:
            fd: i32, found: i32).await;
        fd_filestat_get("wasi:filesystem fd-filestat-get", false, fd:
            fd: i32, found: i32).await;
        fd_filestat_set_times("wasi:filesystem fd-filestat-set-times", true, fd:
            fd: i32, accessed: i64, modified: i64, which: i32).await;
        fd_tell("wasi:filesystem fd-tell", false, fd:
            fd: i32, position: i32);
        fd_fdstat_set_flags("wasi:filesystem fd-fdstat-set-flags", true, fd:
            fd: i32, flags: i32);
        fd_prestat_dir_name("wasi:filesystem fd-prestat-dir-name", false, fd:
            fd: i32, buffer: i32, length: i32);
    }
    bound_growth! { linker:
        fd_write("wasi:filesystem fd-write", fd, |memory| {
            Growth::Write(None, bytes_of(memory, vectors, count))
        }: fd: i32, vectors: i32, count: i32, length: i32).await;
        fd_pwrite("wasi:filesystem fd-pwrite", fd, |memory| {
            Growth::Write(Some(offset.cast_unsigned()), bytes_of(memory, vectors, count))
        }: fd: i32, vectors: i32, count: i32, offset: i64, length: i32).await;
        fd_filestat_set_size("wasi:filesystem fd-filestat-set-size", fd, |_memory| {
            Growth::Size(size.cast_unsigned())
        }: fd: i32, size: i64).await;
        fd_allocate("wasi:filesystem fd-allocate", fd, |_memory| {
            Growth::Size(offset.cast_unsigned().saturating_add(length.cast_unsigned()))
        }: fd: i32, offset: i64, length: i64);
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
            // A plugin that is told that there are none does not ask for them.
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
