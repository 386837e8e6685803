//! The numbers of preview 1 and their handles, and how files that were opened here get a number.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p1::{WasiP1Ctx, wasi_snapshot_preview1 as preview1};
use wasmtime_wasi::{FsPerms, OpenMode, ResourceTable, WasiView};
use wiggle::GuestMemory;

use super::OpenFolder;

/// The first number that stands for a folder; 0 to 2 are the standard streams.
const FIRST_FOLDER: u32 = 3;

/// The numbers of the files and folders of a copy. The library keeps the same list, out of reach.
#[derive(Default)]
pub(super) struct Numbers(BTreeMap<u32, Handle>);

/// A file or folder.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    /// Its place in the table of resources.
    place: u32,
    /// As the plugin knew it when it was opened.
    pub(super) name: String,
    pub(super) is_decoy: bool,
}

impl Numbers {
    /// Puts the folders that a copy starts with in the place of those that its context was made
    /// with, which had to be named by a path.
    ///
    /// # Errors
    ///
    /// In words, if the context does not have as many.
    pub(super) fn start(
        context: &mut WasiP1Ctx,
        folders: Vec<OpenFolder>,
    ) -> Result<Numbers, String> {
        if folders.is_empty() {
            return Ok(Numbers::default());
        }
        // The library fills its list when it is first asked about a number.
        let mut scratch = [0; 8];
        let first = FIRST_FOLDER.cast_signed();
        let mut memory = GuestMemory::Unshared(&mut scratch);
        let asked = preview1::fd_prestat_get(context, &mut memory, first, 0);
        asked.map_err(|error| error.to_string())?;
        let table = context.ctx().table;
        // In the order in which they were added, as nothing was taken out of the table yet.
        let mut places = (0..).take(FIRST_FOLDER as usize * 4 + folders.len());
        let mut numbers = Numbers::default();
        for (number, folder) in (FIRST_FOLDER..).zip(folders) {
            let place = places.find(|place| descriptor(table, *place).is_some());
            let entry = place.and_then(|place| Some((place, descriptor(table, place)?)));
            let (place, entry) = entry.ok_or("a folder got no number")?;
            *entry = Descriptor::Dir(folder.dir);
            let handle = Handle { place, name: folder.at, is_decoy: folder.is_decoy };
            numbers.0.insert(number, handle);
        }
        Ok(numbers)
    }

    /// The handle of a number.
    pub(super) fn get(&self, number: i32) -> Option<&Handle> {
        self.0.get(&number.cast_unsigned())
    }

    /// The number is free again.
    pub(super) fn close(&mut self, number: i32) {
        self.0.remove(&number.cast_unsigned());
    }

    /// The handle of `from` has the number `to` from now on.
    pub(super) fn renumber(&mut self, from: i32, to: i32) {
        if from == to {
            return;
        }
        match self.0.remove(&from.cast_unsigned()) {
            Some(handle) => drop(self.0.insert(to.cast_unsigned(), handle)),
            None => self.close(to),
        }
    }

    /// Gives what was opened below the folder `below` a number. The library gives numbers only to
    /// what it opens itself: it is let open something harmless, and that is exchanged.
    ///
    /// # Errors
    ///
    /// If the copy holds as many handles as it may.
    pub(super) async fn adopt(
        &mut self,
        context: &mut WasiP1Ctx,
        (number, below): (i32, &Handle),
        opened: Descriptor,
        name: String,
        fd_flags: i32,
    ) -> wasmtime::Result<u32> {
        const DIRECTORY: i32 = 2;
        // The handle that takes its place has its rights.
        const RIGHT_TO_READ: i64 = 2;
        const RESULT: usize = 128;
        let (folder, harmless) = harmless()?;
        let (harmless, flags) = match &opened {
            Descriptor::Dir(_) => (".", DIRECTORY),
            Descriptor::File(_) => (&*harmless, 0),
        };
        let table = context.ctx().table;
        // The place that the table gives next.
        let place = table.push(())?;
        let next = place.rep();
        table.delete(place)?;
        let mode = OpenMode::READ | OpenMode::WRITE;
        let folder = Descriptor::Dir(Dir::new(folder, FsPerms::ReadWrite, mode, false));
        let real = std::mem::replace(expect(table, below.place)?, folder);
        let mut scratch = vec![0; RESULT + 4 + harmless.len()];
        let (result, text) = (RESULT as i32, RESULT as i32 + 4);
        scratch[RESULT + 4..].copy_from_slice(harmless.as_bytes());
        let mut memory = GuestMemory::Unshared(&mut scratch);
        let given = preview1::path_open(
            context,
            &mut memory,
            number,
            0,
            text,
            harmless.len() as i32,
            flags,
            RIGHT_TO_READ,
            0,
            fd_flags,
            result,
        )
        .await;
        let table = context.ctx().table;
        *expect(table, below.place)? = real;
        if given? != 0 {
            return Err(wasmtime::Error::msg("a file that was opened got no number"));
        }
        *expect(table, next)? = opened;
        let bytes = scratch[RESULT..].first_chunk().copied().unwrap_or_default();
        let given = u32::from_le_bytes(bytes);
        self.0.insert(given, Handle { place: next, name, is_decoy: false });
        Ok(given)
    }
}

impl Handle {
    /// The folder, if it is one.
    pub(super) fn file(&self, context: &mut WasiP1Ctx) -> Option<Arc<std::fs::File>> {
        match descriptor(context.ctx().table, self.place)? {
            Descriptor::File(file) => Some(file.file.clone()),
            Descriptor::Dir(_) => None,
        }
    }

    pub(super) fn folder<'a>(&self, context: &'a mut WasiP1Ctx) -> Option<&'a Dir> {
        match descriptor(context.ctx().table, self.place)? {
            Descriptor::Dir(dir) => Some(dir),
            Descriptor::File(_) => None,
        }
    }
}

fn descriptor(table: &mut ResourceTable, place: u32) -> Option<&mut Descriptor> {
    table.get_mut(&Resource::<Descriptor>::new_borrow(place)).ok()
}

fn expect(table: &mut ResourceTable, place: u32) -> wasmtime::Result<&mut Descriptor> {
    Ok(table.get_mut(&Resource::<Descriptor>::new_borrow(place))?)
}

/// A folder of the system, and the name of a file in it that can be opened by anyone.
#[cfg(unix)]
fn harmless() -> std::io::Result<(std::fs::File, String)> {
    use cap_primitives::{ambient_authority, fs::open_ambient_dir};
    let folder = open_ambient_dir(std::path::Path::new("/dev"), ambient_authority())?;
    Ok((folder, "null".to_owned()))
}

/// The same where devices are no files: this program, which cannot be written while it runs.
#[cfg(not(unix))]
fn harmless() -> std::io::Result<(std::fs::File, String)> {
    use cap_primitives::{ambient_authority, fs::open_ambient_dir};
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(&program);
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((open_ambient_dir(folder, ambient_authority())?, name))
}

/// A folder that is there on every machine, for contexts that must be made with one.
pub(super) fn somewhere() -> std::path::PathBuf {
    if cfg!(unix) { "/".into() } else { std::env::temp_dir() }
}
