//! Calls of the system that several layers make.

use std::io;

use crate::SandboxError;

/// Turns the result of a call of the system that says −1 for an error into that error.
///
/// # Errors
///
/// The last one of this thread.
pub fn check<T: Copy + Into<i64>>(result: T) -> io::Result<T> {
    if result.into() == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// One setting of this process or thread.
pub(crate) fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: the options that this crate passes take numbers, never pointers.
    check(unsafe { libc::prctl(option, value, none, none, none) }).map(drop)
}

/// Reads one setting of this process or thread that is the result of the call.
pub(crate) fn get(option: libc::c_int) -> io::Result<libc::c_int> {
    let none: libc::c_ulong = 0;
    // SAFETY: the options that this crate passes take no arguments.
    check(unsafe { libc::prctl(option, none, none, none, none) })
}

/// Refuses a process with several threads: Landlock and seccomp would hold one of them alone, and a
/// user namespace cannot be entered.
pub(crate) fn expect_one_thread() -> Result<(), SandboxError> {
    let failed = |source| SandboxError::System { action: "count the threads", source };
    let count = std::fs::read_dir("/proc/self/task").map_err(failed)?.count();
    if count == 1 { Ok(()) } else { Err(SandboxError::Threads { count }) }
}

/// True for the superuser.
pub(crate) fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
