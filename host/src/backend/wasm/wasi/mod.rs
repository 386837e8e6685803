//! WASI for wasm plugins, under the same policy as the host services.
//!
//! Preview 1 is for modules of the frame ABI ([`preview1`]), preview 2 for components
//! ([`preview2`]). Both are `wasmtime-wasi`'s; what stands here decides, bounds and shows.
//!
//! | of WASI | permission | without it |
//! |---|---|---|
//! | folders | `files` | none; a path outside of a granted folder is refused by the library |
//! | sockets, names | `network` | sockets cannot be made, names are not looked up |
//! | environment | `environment` | no variables |
//! | both clocks | `now`, rounded down to its precision | they stand still: 1970-01-01T00:00:00Z and 0 |
//! | secure random bytes | `random` | bytes that are all 1, for hash maps need some; never for keys |
//! | insecure random bytes | `random` | the same, and not counted as denied |
//! | standard output and error | `log` | nothing is kept |
//! | arguments, standard input | none | there are none |
//! | sleeping, exit | none | granted |
//!
//! Every use is counted and in the access log, like that of a host service, and is an event named
//! after the interface, e.g. `wasi:sockets connect`: each folder, file and link that is opened,
//! made, renamed or removed; each connection, datagram, listening socket and name; each reading of
//! the environment. Of clocks and random bytes only the first use in a call is an event.
//!
//! **What ends a wait**: the deadline of the call, and taking the call back. Whatever a plugin waits for,
//! a clock, a socket, a pipe in a granted folder, the wait ends with the call.
//!
//! **What cannot be seen**: which variables a plugin looks at, as it is given all it may have at
//! once; the bytes that it reads and writes; paths that the plugin's own library refuses because no
//! granted folder is above them. While wishes are recorded, an empty folder `/` is there instead, so
//! that paths below it are seen, and denied.
//!
//! **What is not promised**: that a plugin cannot use up the file handles of the process, if it may
//! reach the network or open files: the limit `resources` is for each copy. Preview 1 has no sockets.

mod clocks;
mod files;
mod network;
pub(super) mod preview1;
pub(super) mod preview2;
mod random;
mod witness;

use std::sync::atomic::Ordering;

use glovebox_abi::Permission;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use self::clocks::Clock;
pub(super) use self::witness::Witness;
use super::output::Printed;
use crate::context::Context;
use crate::policy::Parameter;

/// Handles that a plugin may hold.
fn handles(context: &Context) -> usize {
    let resources = context.rights.hot.resources.load(Ordering::Relaxed);
    usize::try_from(resources).unwrap_or(usize::MAX)
}

/// Why a plugin was woken up that waited in a host function, where epochs do not reach it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// The deadline of the call came.
    #[error("the plugin waited beyond its deadline")]
    Overdue,
    /// The call was taken back.
    #[error("the call was taken back")]
    Cancelled,
}

/// Folders, variables, clocks and standard streams of one copy.
struct Outfit {
    builder: WasiCtxBuilder,
    /// How often what was granted had changed when this was made.
    made_at: u64,
    /// What the plugin calls its folders, in order.
    folders: Vec<String>,
    /// Stands in for all folders that are not granted while wishes are recorded; its place is after
    /// the last of `folders`.
    decoy: Option<tempfile::TempDir>,
}

/// The name of the folder that stands in for all others.
const DECOY: &str = "/";

impl Outfit {
    /// # Errors
    ///
    /// In words, if a granted folder cannot be opened.
    fn new(witness: &Witness, printed: &Printed) -> Result<Outfit, String> {
        let made_at = witness.outfit();
        let grants = witness.grants();
        let mut wasi = bare(witness, printed);
        for (name, value) in &grants.environment {
            wasi.env(name, value);
        }
        let mut folders = Vec::new();
        for folder in &grants.folders {
            let access = if folder.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            let path = folder.path.display();
            match wasi.preopened_dir(&folder.path, &folder.at, access) {
                Ok(_) => folders.push(folder.at.clone()),
                // Suggested folders need not be there.
                Err(_) if grants.recording => {}
                Err(error) => {
                    return Err(format!(
                        "the folder `{}` of the permission `files` cannot be opened: {}: {path}",
                        folder.at,
                        error.root_cause()
                    ));
                }
            }
        }
        let mut decoy = None;
        if grants.recording && !folders.iter().any(|at| at == DECOY) {
            let folder = tempfile::Builder::new().prefix("glovebox-decoy-").tempdir();
            decoy = folder.ok().filter(|folder| {
                wasi.preopened_dir(folder.path(), DECOY, FsPerms::ReadOnly).is_ok()
            });
        }
        Ok(Outfit { builder: wasi, made_at, folders, decoy })
    }
}

/// What every copy has, whatever it may do.
fn bare(witness: &Witness, printed: &Printed) -> WasiCtxBuilder {
    let mut wasi = WasiCtx::builder();
    let peers = witness.clone();
    wasi.stdout(printed.clone())
        .stderr(printed.clone())
        .wall_clock(Clock::new(witness.clone()))
        .monotonic_clock(Clock::new(witness.clone()))
        // Whether a socket can be made, and a name be looked up, is decided before these.
        .allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(true)
        .socket_addr_check(move |address, purpose| {
            let admitted = network::admits(&peers, address, purpose);
            Box::pin(async move { admitted })
        });
    wasi
}

/// A path as the plugin knows it: below the folder that a handle stands for.
fn below(folder: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{}/{path}", folder.trim_end_matches('/')),
    }
}

/// What a use of files was about.
fn path(path: &str, write: bool) -> Parameter<'_> {
    Parameter::Path { path: path.into(), write }
}

/// The permission that all uses of folders take.
const FILES: Permission = Permission::Files;
