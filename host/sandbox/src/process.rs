//! Three settings of the process: no new privileges, not dumpable, and the end with the parent.

use std::io;

use crate::system::{get, set};
use crate::{Layer, Missing, Profile, SandboxError, SandboxReport};

pub(crate) fn enter(profile: &Profile, report: &mut SandboxReport) -> Result<(), SandboxError> {
    report.add(Layer::NoNewPrivileges, profile.wants(Layer::NoNewPrivileges), || {
        set(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(failed("3.5"))
    });
    report.add(Layer::NotDumpable, profile.wants(Layer::NotDumpable), || {
        set(libc::PR_SET_DUMPABLE, 0).map_err(failed("2.3"))?;
        match get(libc::PR_GET_DUMPABLE).map_err(failed("2.3"))? {
            0 => Ok(()),
            _ => Err(failed("2.3")(io::Error::other("the setting did not take"))),
        }
    });
    let parent = profile.parent.filter(|_| profile.wants(Layer::ParentDeath));
    report.add(Layer::ParentDeath, parent.is_some(), || {
        set(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong).map_err(failed("2.1"))
    });
    match parent {
        // It may have ended before the signal was asked for.
        Some(expected) if std::os::unix::process::parent_id() != expected => {
            Err(SandboxError::Parent { expected, found: std::os::unix::process::parent_id() })
        }
        _ => Ok(()),
    }
}

fn failed(version: &str) -> impl Fn(io::Error) -> Missing {
    move |error| Missing::new(error.to_string(), format!("use Linux {version} or newer"))
}
