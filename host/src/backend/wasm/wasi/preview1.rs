//! WASI preview 1, for modules of the frame ABI.

mod linker;
mod paths;

use std::sync::Arc;

use glovebox_abi::ServiceError;
use wasmtime_wasi::p1::{WasiP1Ctx, wasi_snapshot_preview1 as preview1};
use wasmtime_wasi::{FsPerms, WasiView};
use wiggle::GuestMemory;

use super::growth::{Growth, end_of};
use super::numbers::{self, Numbers};
use super::{FILES, WasiGrants, Witness, bare, below, handles, open, path};
use crate::backend::wasm::output::Printed;
use crate::backend::wasm::ticker::Pulse;
use crate::services::CopyServices;
pub(in super::super) use linker::add_to_linker;

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
    pub(super) const FBIG: i32 = 22;
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

/// Data with a WASI of its own, if its module imports any.
pub(in super::super) trait HasWasi: Send + 'static {
    /// `None` for modules that import nothing of it.
    fn wasi(&mut self) -> Option<&mut Wasi>;

    /// Counts a call of it. An error if the call of the plugin is to end.
    fn count_call(&mut self) -> Result<(), String>;
}

impl Wasi {
    /// # Errors
    ///
    /// In words, if a granted folder cannot be opened.
    pub(in super::super) fn new(
        context: &CopyServices,
        pulse: &Arc<Pulse>,
    ) -> Result<Wasi, String> {
        let witness = Witness::new(context, pulse);
        let printed = Printed::default();
        let WasiGrants { mut builder, made_at, folders, decoy } =
            WasiGrants::new(&witness, &printed)?;
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
    pub(in super::super) fn begin(&mut self, context: &CopyServices) {
        for wasi in [&mut self.context, &mut self.sealed] {
            wasi.ctx().table.set_max_capacity(handles(context));
        }
        self.witness.begin(context);
    }

    /// The output that the plugin printed since the last time.
    pub(in super::super) fn printed(&self) -> Option<String> {
        self.printed.take()
    }

    fn is_sealed(&self) -> bool {
        self.made_at != self.witness.renewals()
    }

    /// Why a use of files did not succeed: what was opened before the folders changed is denied.
    fn reason(&self, error: ServiceError) -> ServiceError {
        if self.is_sealed() { ServiceError::Denied } else { self.witness.reason(FILES, error) }
    }

    /// True if a file would become larger than any may be.
    async fn outgrows(&mut self, number: i32, growth: Growth) -> wasmtime::Result<bool> {
        /// The size of what `fd_fdstat_get` gives, where its flags are, and the one of files to which
        /// all is appended.
        const STAT: (usize, usize, u8) = (24, 2, 1);
        let handle = self.numbers.get(number).filter(|_| !self.is_sealed()).cloned();
        let Some(file) = handle.and_then(|handle| handle.file(&mut self.context)) else {
            return Ok(false);
        };
        let end = end_of(&file);
        let (length, flags, appends) = STAT;
        let mut scratch = vec![0; length];
        let mut memory = GuestMemory::Unshared(&mut scratch);
        preview1::fd_fdstat_get(&mut self.context, &mut memory, number, 0).await?;
        let at = match scratch[flags] & appends != 0 {
            true => end,
            false => {
                let mut place = [0; 8];
                let mut memory = GuestMemory::Unshared(&mut place);
                preview1::fd_tell(&mut self.context, &mut memory, number, 0)?;
                u64::from_le_bytes(place)
            }
        };
        Ok(self.witness.refuses(growth, at, end))
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
        let handle = self.numbers.get(number).filter(|_| self.made_at == self.witness.renewals());
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
