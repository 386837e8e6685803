//! Users, networks and System V objects of its own.

use std::io;

use crate::system::{check, is_root};
use crate::{Layer, Missing, Network, Profile, SandboxReport};

pub(crate) fn enter(profile: &Profile, report: &mut SandboxReport) {
    report.add(Layer::UserNamespace, profile.wants(Layer::UserNamespace), || {
        enter_user().map_err(|error| {
            Missing::new(
                format!("no user namespace can be made: {error}"),
                "set `sysctl user.max_user_namespaces` above 0, and `kernel.unprivileged_userns_clone` \
                 to 1 and `kernel.apparmor_restrict_unprivileged_userns` to 0 where they exist",
            )
        })
    });
    let alone = profile.reach.network == Network::Denied;
    report.add(Layer::NetworkNamespace, alone && profile.wants(Layer::NetworkNamespace), || {
        unshare(libc::CLONE_NEWNET).map_err(needs_user("network"))
    });
    report.add(Layer::IpcNamespace, profile.wants(Layer::IpcNamespace), || {
        unshare(libc::CLONE_NEWIPC).map_err(needs_user("IPC"))
    });
}

pub(crate) fn needs_user(name: &str) -> impl Fn(io::Error) -> Missing {
    move |error| {
        Missing::new(
            format!("no {name} namespace can be made: {error}"),
            if is_root() {
                "let the container that this runs in make namespaces"
            } else {
                "enable user namespaces, which an ordinary user needs for it"
            },
        )
    }
}

pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: it takes numbers; what it separates is not shared with memory.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Enters a user namespace in which this user is the only one.
fn enter_user() -> io::Result<()> {
    // SAFETY: they take nothing and cannot fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    unshare(libc::CLONE_NEWUSER)?;
    // The kernel lets a group be mapped only once groups cannot be given up any more.
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}
