//! Keeps a share of the process's descriptors from plugins: for traces, windows, sockets.
//!
//! A process may have so many open files, and plugins open them by the thousand if they may. The
//! lowest free number is given to each, so one number tells how many are in use.

#[cfg(unix)]
mod system {
    use std::os::fd::{AsFd, AsRawFd};

    use rustix::process::{Resource, getrlimit};

    /// True if three quarters of what the process may have are in use. Costs two calls of the
    /// operating system.
    pub(in super::super) fn are_scarce() -> bool {
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        // A process that cannot open another descriptor has run out of them.
        let probe = std::io::stderr().as_fd().try_clone_to_owned();
        probe.map_or(true, |probe| probe.as_raw_fd() as u64 >= most - most / 4)
    }
}

/// Elsewhere files are not bounded in number, but by memory.
#[cfg(not(unix))]
mod system {
    pub(in super::super) fn are_scarce() -> bool {
        false
    }
}

pub(super) use system::are_scarce;
