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
//! made, renamed or removed, where renaming shows both paths; each connection, datagram, listening
//! socket and name; each reading of the environment, unless it is empty. Without the permission
//! `files` every use of a path or of a number that would be a folder's is a denial, whatever error the
//! plugin is given. To look for folders or variables, as many libraries do when they start, is one if
//! the plugin asks for some. Of clocks and random bytes only the first use in a call is an event. A path is that by which the plugin's handle was opened,
//! whatever number the handle has by now.
//!
//! **Each call** of a function counts against the limit `host-calls`. Where the library cannot refuse, as
//! when a component asks for the time, the call of the plugin ends at the next tick.
//!
//! **The end of a wait**: the deadline of the call, and its cancellation. Every wait of a plugin,
//! for a clock or a socket, ends with the call.
//!
//! **A granted folder** is the one that was opened when the grant was made. Copies, restarts and
//! new generations get handles to the same one, whatever lies at its path by then. Files and
//! folders are opened in it, and nothing else: pipes, sockets and devices are denied, so that none
//! is waited for. Links that are there are followed within the folder; none is made, renamed or
//! linked again, because other programs would follow it out of the folder.
//!
//! **A file** grows up to the limit `file-bytes`, as in a process of its own: a larger size, or a write
//! beyond it, is an error that the plugin gets, and an event.
//!
//! **With a right end** the files, folders, connections and listening sockets that were opened
//! under it, at the next use. Connections that are still granted go on.
//!
//! **Unseen** are the variables that a plugin looks at, as it is given all it may have at once; the
//! bytes that it reads and writes; and paths that the plugin's own library refuses because no
//! granted folder is above them. While wishes are recorded, an empty folder `/` is there instead,
//! so that paths below it are seen, and denied.
//!
//! **No promise** is made that a plugin cannot use up the file handles of the process, if it may
//! reach the network or open files: the limit `resources` is for each copy. Preview 1 has no
//! sockets.

mod clocks;
mod descriptors;
mod files;
mod growth;
mod network;
mod numbers;
mod open;
pub(super) mod preview1;
pub(super) mod preview2;
mod random;
mod tcp;
mod witness;

use std::fs::File;
use std::sync::atomic::Ordering;

use cap_primitives::ambient_authority;
use cap_primitives::fs::open_ambient_dir;
use glovebox_abi::Permission;
use glovebox_abi::cbor::Value;
use wasmtime_wasi::filesystem::Dir;
use wasmtime_wasi::{FsPerms, OpenMode, WasiCtx, WasiCtxBuilder};

use self::clocks::Clock;
pub(super) use self::witness::Witness;
use super::output::Printed;
use crate::policy::Parameter;
use crate::services::CopyServices;

/// Handles that a plugin may hold.
fn handles(context: &CopyServices) -> usize {
    let resources = context.rights.hot.resources.load(Ordering::Relaxed);
    usize::try_from(resources).unwrap_or(usize::MAX)
}

/// Why a plugin was woken up that waited in a host function, where epochs do not reach it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// The deadline of the call came.
    #[error("the plugin waited beyond its deadline")]
    Overdue,
    /// The call was cancelled.
    #[error("the call was cancelled")]
    Cancelled,
}

/// Folders, variables, clocks and standard streams of one copy.
struct WasiGrants {
    builder: WasiCtxBuilder,
    /// How often what was granted had changed when this was made.
    made_at: u64,
    /// In order; a decoy comes last.
    folders: Vec<OpenFolder>,
    /// Stands in for all folders that are not granted while wishes are recorded.
    decoy: Option<tempfile::TempDir>,
}

/// A folder that a copy starts with.
struct OpenFolder {
    /// The name that the plugin uses for it.
    at: String,
    dir: Dir,
    is_decoy: bool,
}

impl OpenFolder {
    fn new(at: &str, handle: File, access: FsPerms, is_decoy: bool) -> OpenFolder {
        let mode = match access {
            FsPerms::ReadOnly => OpenMode::READ,
            FsPerms::ReadWrite => OpenMode::READ | OpenMode::WRITE,
        };
        OpenFolder { at: at.to_owned(), dir: Dir::new(handle, access, mode, false), is_decoy }
    }
}

/// The name of the folder that stands in for all others.
const DECOY: &str = "/";

impl WasiGrants {
    /// # Errors
    ///
    /// In words, if a granted folder cannot be opened.
    fn new(witness: &Witness, printed: &Printed) -> Result<WasiGrants, String> {
        let made_at = witness.renewals();
        let grants = witness.grants();
        let mut wasi = bare(witness, printed);
        for (name, value) in &grants.environment {
            wasi.env(name, value);
        }
        if let Some(problem) = &grants.folder_problem {
            return Err(problem.clone());
        }
        let mut folders = Vec::new();
        for folder in &grants.folders {
            let access = if folder.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            let handle = folder.handle().map_err(|error| {
                format!("the folder `{}` cannot be given to another copy: {error}", folder.at)
            })?;
            folders.push(OpenFolder::new(&folder.at, handle, access, false));
        }
        let mut decoy = None;
        if grants.recording && !folders.iter().any(|folder| folder.at == DECOY) {
            let folder = tempfile::Builder::new().prefix("glovebox-decoy-").tempdir().ok();
            let handle = folder
                .as_ref()
                .and_then(|folder| open_ambient_dir(folder.path(), ambient_authority()).ok());
            if let Some(handle) = handle {
                folders.push(OpenFolder::new(DECOY, handle, FsPerms::ReadOnly, true));
                decoy = folder;
            }
        }
        Ok(WasiGrants { builder: wasi, made_at, folders, decoy })
    }
}

/// The rights that every copy has under any policy.
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

/// The parameter of a use of files.
fn path(path: &str, write: bool) -> Parameter<'_> {
    Parameter::Path { path: path.into(), write }
}

/// The parameter of a use of two paths: the old name, and the new one.
fn move_of<'a>(from: &'a str, to: &'a str) -> Parameter<'a> {
    Parameter::Move { from: from.into(), to: to.into() }
}

/// The plugin read its variables, all at once. Every plugin does when it starts: that there are none
/// is no event, unless it asks for some and has none because they are not granted.
fn environment_read(witness: &Witness) {
    let grants = witness.grants();
    if witness.lacks(Permission::Environment) {
        let service = "wasi:cli get-environment";
        witness.decided(service, Permission::Environment, &Parameter::Nothing, false);
        return;
    }
    if grants.environment.is_empty() {
        return;
    }
    let names = grants.environment.iter().map(|(name, _)| Value::Text(name.clone()));
    let names = Ok(Value::Array(names.collect()));
    let permission = Permission::Environment;
    witness.ended("wasi:cli get-environment", permission, &Parameter::Nothing, names);
}

/// The permission that all uses of folders take.
const FILES: Permission = Permission::Files;
