//! Limits that the kernel counts for each process, or for each user.

use std::io;

use crate::system::{check, is_root};
use crate::{Layer, Missing, Profile, SandboxReport};

pub(crate) fn enter(profile: &Profile, report: &mut SandboxReport) {
    let limits = &profile.limits;
    report.add(Layer::Limits, profile.wants(Layer::Limits), || {
        let all = [
            (libc::RLIMIT_CORE, Some(0), "core files"),
            (libc::RLIMIT_NOFILE, Some(limits.files.into()), "open files"),
            (libc::RLIMIT_FSIZE, limits.file_size, "the size of files"),
            (libc::RLIMIT_DATA, limits.memory, "memory"),
            // The stack of the first thread is no data. It could be made as large as the hard limit.
            (libc::RLIMIT_STACK, Some(STACK), "the stack"),
            (libc::RLIMIT_AS, limits.address_space, "the address space"),
            (libc::RLIMIT_CPU, limits.processor_seconds, "processor time"),
            // Memory that is locked is taken from all.
            (libc::RLIMIT_MEMLOCK, Some(0), "locked memory"),
            (libc::RLIMIT_MSGQUEUE, Some(0), "message queues"),
            // All processes of a user share these, and each timer takes one.
            (libc::RLIMIT_SIGPENDING, Some(SIGNALS), "signals that wait"),
            (libc::RLIMIT_NICE, Some(0), "priority"),
            (libc::RLIMIT_RTPRIO, Some(0), "real-time priority"),
        ];
        for (resource, limit, name) in all {
            let Some(limit) = limit else { continue };
            lower(resource, limit).map_err(|error| {
                Missing::new(
                    format!("{name} cannot be limited to {limit}: {error}"),
                    "raise the limit of the host itself (`ulimit`)",
                )
            })?;
        }
        Ok(())
    });
    let is_own_user = report.is_enforced(Layer::UserNamespace);
    report.add(Layer::Processes, profile.wants(Layer::Processes), || {
        if is_root() {
            return Err(Missing::new(
                "the kernel does not limit the number of processes of root",
                "run as an ordinary user, or let the host make cgroups with `pids`, which count them",
            ));
        }
        if !is_own_user {
            return Err(Missing::new(
                "without a user namespace, all processes of this user would count",
                "enable user namespaces (`sysctl user.max_user_namespaces`)",
            ));
        }
        let limit = u64::from(limits.processes) + u64::from(limits.threads);
        lower(libc::RLIMIT_NPROC, limit)
            .map_err(|error| Missing::new(error.to_string(), "raise `ulimit -u`"))
    });
}

/// Bytes of the stack of the first thread; usual systems give as many.
const STACK: u64 = 8 << 20;
/// Signals and timers that may wait, of all processes of the user together.
const SIGNALS: u64 = 64;

/// Lowers a limit for good.
fn lower(resource: libc::__rlimit_resource_t, limit: u64) -> io::Result<()> {
    let mut current = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours and lives through the call.
    check(unsafe { libc::getrlimit(resource, &raw mut current) })?;
    // At the hard limit of processor time, the kernel kills without saying why.
    let spare = u64::from(resource == libc::RLIMIT_CPU);
    let lower = lowered(current, limit, spare);
    // SAFETY: the same.
    check(unsafe { libc::setrlimit(resource, &raw const lower) }).map(drop)
}

/// Both limits, of which those that are lower already stay. The hard one lies above the other by
/// what is to spare.
fn lowered(current: libc::rlimit, limit: u64, spare: u64) -> libc::rlimit {
    let hard = limit.saturating_add(spare).min(current.rlim_max);
    libc::rlimit { rlim_cur: limit.min(current.rlim_cur).min(hard), rlim_max: hard }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_limits_stay() {
        fn check(current: (u64, u64), limit: u64, spare: u64, expected: (u64, u64)) {
            let current = libc::rlimit { rlim_cur: current.0, rlim_max: current.1 };
            let lower = lowered(current, limit, spare);
            assert_eq!((lower.rlim_cur, lower.rlim_max), expected);
        }
        let none = libc::RLIM_INFINITY;
        check((none, none), 5, 0, (5, 5));
        check((none, none), 5, 1, (5, 6));
        check((3, none), 5, 0, (3, 5));
        check((3, 4), 5, 1, (3, 4));
        check((7, 9), 5, 1, (5, 6));
        check((none, none), none, 1, (none, none));
    }
}
