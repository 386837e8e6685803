//! The parts of a superuser's power, given up for good.

use std::io;

use crate::system::{check, set};
use crate::{Layer, Missing, Profile, SandboxReport};

/// `_LINUX_CAPABILITY_VERSION_3` of `linux/capability.h`.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Head {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const NONE: [Sets; 2] = [Sets { effective: 0, permitted: 0, inheritable: 0 }; 2];

pub(crate) fn enter(profile: &Profile, report: &mut SandboxReport) {
    report.add(Layer::Capabilities, profile.wants(Layer::Capabilities), || {
        drop_all().map_err(|error| {
            Missing::new(error.to_string(), "run as an ordinary user, who has none")
        })
    });
}

fn drop_all() -> io::Result<()> {
    let has_some = sets()? != NONE;
    set_ambient_none()?;
    if has_some {
        // A capability that is not in the bounding set cannot come back with a program. This takes
        // a capability; the process that has none gets none from a program either, as it takes no
        // new privileges.
        for capability in 0..64 {
            match set(libc::PR_CAPBSET_DROP, capability) {
                // Beyond the last one that the kernel knows.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                Err(error) if error.raw_os_error() != Some(libc::EPERM) => return Err(error),
                _ => {}
            }
        }
    }
    let head = Head { version: VERSION, pid: 0 };
    // SAFETY: version 3 of the call reads a head and two sets, which live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const head, NONE.as_ptr()) })?;
    if sets()? == NONE { Ok(()) } else { Err(io::Error::other("some capabilities stayed")) }
}

fn set_ambient_none() -> io::Result<()> {
    let none: libc::c_ulong = 0;
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    // SAFETY: the option takes numbers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, none, none, none) }).map(drop)
}

fn sets() -> io::Result<[Sets; 2]> {
    let mut head = Head { version: VERSION, pid: 0 };
    let mut sets = NONE;
    // SAFETY: version 3 of the call writes two sets, and its version into the head if it is
    // another.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut head, sets.as_mut_ptr()) })?;
    Ok(sets)
}
