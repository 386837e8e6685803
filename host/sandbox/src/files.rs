//! Files, ports, signals and abstract sockets, by Landlock.

use std::os::fd::BorrowedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
    make_bitflags,
};

use crate::system::check as checked;
use crate::{Access, Folder, Layer, Missing, Network, Profile, Reach, SandboxError, SandboxReport};

/// Where shared libraries lie, and the list of them that the loader reads.
const LIBRARIES: [&str; 7] =
    ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache"];

/// Where the programs of the system lie, with what they need.
const PROGRAMS: [&str; 7] =
    ["/bin", "/lib", "/lib32", "/lib64", "/usr", "/etc/alternatives", "/etc/ld.so.cache"];

/// Where the programs of the system lie, with what they need: files, folders and links.
pub fn system_programs() -> &'static [&'static str] {
    &PROGRAMS
}

/// The parts of the system that a profile lets a process see.
pub(crate) fn of_the_system(reach: &Reach) -> &'static [&'static str] {
    match reach {
        Reach { programs: true, .. } => &PROGRAMS,
        Reach { libraries: true, .. } => &LIBRARIES,
        _ => &[],
    }
}

/// A handle of the profile that was found to be open.
pub(crate) struct Open {
    pub(crate) descriptor: BorrowedFd<'static>,
    pub(crate) is_folder: bool,
    pub(crate) access: Access,
}

/// Looks at the handles of a profile before anything is entered.
pub(crate) fn check(folders: &[Folder]) -> Result<Vec<Open>, SandboxError> {
    let open = |folder: &Folder| {
        // SAFETY: all zeros are a value of this structure, which holds only numbers.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a number that is no open descriptor is an error; the structure is ours.
        checked(unsafe { libc::fstat(folder.descriptor, &raw mut status) })
            .map_err(|source| SandboxError::Descriptor { descriptor: folder.descriptor, source })?;
        // SAFETY: it is open, as was just seen. This thread is the only one, and does nothing but
        // enter, after which the result is not used any more. Until then its number stays open: a
        // namespace of mounts replaces what it names by the same folder at its new place, in one
        // call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(folder.descriptor) };
        let is_folder = status.st_mode & libc::S_IFMT == libc::S_IFDIR;
        Ok(Open { descriptor, is_folder, access: folder.access })
    };
    folders.iter().map(open).collect()
}

pub(crate) fn enter(profile: &Profile, folders: &[Open], report: &mut SandboxReport) {
    report.add(Layer::Files, profile.wants(Layer::Files), || {
        restrict_files(folders, &profile.reach).map_err(needs("6.2", ABI::V3))
    });
    let network = &profile.reach.network;
    let some = *network != Network::Open;
    report.add(Layer::Ports, some && profile.wants(Layer::Ports), || {
        restrict_ports(network).map_err(needs("6.7", ABI::V4))
    });
    report.add(Layer::Scopes, profile.wants(Layer::Scopes), || {
        restrict_scopes().map_err(needs("6.12", ABI::V6))
    });
}

fn needs(version: &str, abi: ABI) -> impl Fn(RulesetError) -> Missing {
    move |error| {
        Missing::new(
            format!("Landlock refuses it: {error}"),
            format!(
                "use Linux {version} or newer (Landlock ABI {}), with `landlock` in the kernel's `lsm=` list",
                abi as i32
            ),
        )
    }
}

/// Restricts files by the newest version of Landlock that this crate knows; rules that the kernel
/// does not know beyond version 3 are left out: devices' own commands, and sockets in folders,
/// which the filter of system calls forbids too.
fn restrict_files(folders: &[Open], reach: &Reach) -> Result<(), RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V10))?
        .create()?;
    // Libraries are opened by their names: nobody needs to see which there are.
    let open_by_name = make_bitflags!(AccessFs::{ReadFile});
    let (read, run, write) = (
        make_bitflags!(AccessFs::{ReadFile | ReadDir}),
        make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute}),
        make_bitflags!(AccessFs::{
            ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir
            | Refer
        }),
    );
    for open in folders {
        let access = match open.access {
            Access::Read => read,
            Access::Run => run,
            Access::ReadWrite => write,
        };
        rules = allow(rules, open.descriptor, open.is_folder, access)?;
    }
    let access = if reach.programs { run } else { open_by_name };
    for path in of_the_system(reach) {
        // A folder that is not there holds no library.
        if let Ok(handle) = PathFd::new(path) {
            rules = allow(rules, handle, Path::new(path).is_dir(), access)?;
        }
    }
    rules.restrict_self().map(drop)
}

fn allow<F: std::os::fd::AsFd>(
    rules: RulesetCreated,
    handle: F,
    is_folder: bool,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let access = if is_folder { access } else { access & AccessFs::from_file(ABI::V3) };
    rules.add_rule(PathBeneath::new(handle, access))
}

fn restrict_ports(network: &Network) -> Result<(), RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(make_bitflags!(AccessNet::{BindTcp | ConnectTcp}))?
        .create()?;
    if let Network::Tcp { connect, listen } = network {
        for port in connect {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        for port in listen {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
        }
    }
    rules.restrict_self().map(drop)
}

fn restrict_scopes() -> Result<(), RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()
        .map(drop)
}
