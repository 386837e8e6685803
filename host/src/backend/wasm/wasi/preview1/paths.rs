//! Functions with a path: decided about, run and shown.

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p1::types;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasmtime_wasi::runtime;
use wiggle::{GuestMemory, GuestPtr};

use super::super::open::{self, How};
use super::super::{FILES, move_of, path};
use super::{Wasi, errno};

/// A path in the memory of a module, for people.
fn text(memory: &GuestMemory<'_>, pointer: i32, length: i32) -> String {
    let GuestMemory::Unshared(memory) = memory else { return String::new() };
    let start = pointer as u32 as usize;
    let bytes = memory.get(start..start.saturating_add(length as u32 as usize));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// A path below what a number stands for, in the memory of a module.
pub(super) type Place = (i32, i32, i32);

/// A function with a path: decided about and shown.
pub(super) struct PathUse {
    pub(super) service: &'static str,
    pub(super) place: Place,
    /// The old path, of functions that give it a new name at `place`.
    pub(super) before: Option<Place>,
    pub(super) write: bool,
    /// True if it is an event also if it is not refused.
    pub(super) shown: bool,
}

impl PathUse {
    pub(super) fn run(
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

/// The arguments of `path_open`, beside a path.
pub(super) struct Opening {
    pub(super) lookup: i32,
    pub(super) flags: i32,
    pub(super) rights: i64,
    pub(super) fd_flags: i32,
    /// Where the number goes.
    pub(super) opened: i32,
}

impl Opening {
    /// # Errors
    ///
    /// If there are no such flags.
    pub(super) fn how(&self) -> Result<How, wiggle::GuestError> {
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

    pub(super) fn run(
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
