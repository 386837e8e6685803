//! Which layers work on this machine: each is entered by a child, which then tries what it forbids.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use crate::system::{check, expect_one_thread, get, is_root};
use crate::{Cgroup, Layer, LayerCheck, Limits, Missing, Profile, SandboxError};

/// Tries each layer in a child process of its own: whether it can be entered, and whether the
/// forbidden thing fails then.
///
/// # Errors
///
/// If the process has several threads, which no child can be trusted to survive, or no child can be
/// made.
pub fn check_layers() -> Result<Vec<LayerCheck>, SandboxError> {
    expect_one_thread()?;
    let failed = |source| SandboxError::System { action: "try the sandbox", source };
    let outside = Outside::new().map_err(failed)?;
    let mut checks = vec![LayerCheck {
        layer: Layer::Cgroup,
        tried: "to outlive the kill of its group".to_owned(),
        missing: try_cgroup().map_err(failed)?.err(),
    }];
    for trial in &TRIALS {
        let mut missing = trial.run(&outside).map_err(failed)?.err();
        if trial.layer == Layer::Processes
            && missing.is_some()
            && try_full_group().map_err(failed)?
        {
            missing = None;
        }
        checks.push(LayerCheck { layer: trial.layer, tried: trial.tried.to_owned(), missing });
    }
    Ok(checks)
}

/// The things that a child should not reach.
struct Outside {
    parent: u32,
    users: std::path::PathBuf,
    listener: Option<TcpListener>,
    /// Nothing where the kernel has no such memory.
    memory: Option<Segment>,
}

impl Outside {
    fn new() -> io::Result<Outside> {
        Ok(Outside {
            parent: std::process::id(),
            users: std::fs::read_link("/proc/self/ns/user")?,
            listener: TcpListener::bind("127.0.0.1:0").ok(),
            memory: Segment::new().ok(),
        })
    }
}

/// Shared memory of System V that this process made.
struct Segment(libc::c_int);

impl Segment {
    fn new() -> io::Result<Segment> {
        // SAFETY: it takes numbers.
        check(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) }).map(Segment)
    }

    fn is_reachable(&self) -> bool {
        // SAFETY: the kernel chooses where it is put, and nothing refers to it.
        unsafe { libc::shmat(self.0, std::ptr::null(), 0) as isize != -1 }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: this command reads no third argument.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

/// One layer, and what it forbids.
struct Trial {
    layer: Layer,
    tried: &'static str,
    /// True if the forbidden thing was done.
    succeeds: fn(&Outside) -> bool,
}

const TRIALS: [Trial; 14] = [
    Trial {
        layer: Layer::UserNamespace,
        tried: "to be among the users outside",
        succeeds: |outside| {
            std::fs::read_link("/proc/self/ns/user").is_ok_and(|own| own == outside.users)
        },
    },
    Trial {
        layer: Layer::NetworkNamespace,
        tried: "to connect to a port of this machine",
        succeeds: |outside| {
            let address = outside.listener.as_ref().and_then(|it| it.local_addr().ok());
            address.is_some_and(|address| TcpStream::connect(address).is_ok())
        },
    },
    Trial {
        layer: Layer::IpcNamespace,
        tried: "to map shared memory of its parent",
        succeeds: |outside| outside.memory.as_ref().is_some_and(Segment::is_reachable),
    },
    Trial {
        layer: Layer::MountNamespace,
        tried: "to see a file outside",
        succeeds: |_| std::fs::symlink_metadata("/etc").is_ok(),
    },
    Trial {
        layer: Layer::Limits,
        tried: "to open more files than its limit",
        // SAFETY: it takes a number, and a new descriptor belongs to nobody.
        succeeds: |_| (0..Limits::default().files).all(|_| unsafe { libc::dup(0) } != -1),
    },
    Trial {
        layer: Layer::Processes,
        tried: "to start another process",
        succeeds: |_| fork(|| 0).is_ok_and(|child| child.wait().is_ok()),
    },
    Trial {
        layer: Layer::Capabilities,
        tried: "to change the root folder",
        // SAFETY: the path ends in zero.
        succeeds: |_| unsafe { libc::chroot(c"/".as_ptr()) } == 0,
    },
    Trial {
        layer: Layer::NoNewPrivileges,
        tried: "to find that a program may give it privileges",
        succeeds: |_| get(libc::PR_GET_NO_NEW_PRIVS).is_ok_and(|value| value == 0),
    },
    Trial {
        layer: Layer::NotDumpable,
        tried: "to find that it may leave a core file",
        succeeds: |_| get(libc::PR_GET_DUMPABLE).is_ok_and(|value| value != 0),
    },
    Trial {
        layer: Layer::ParentDeath,
        tried: "to find that it may outlive its parent",
        succeeds: |_| {
            let mut signal: libc::c_int = 0;
            // SAFETY: this option writes one number, which lives through the call.
            let read = unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
            read == 0 && signal != libc::SIGKILL
        },
    },
    Trial {
        layer: Layer::Files,
        tried: "to list the root folder",
        succeeds: |_| std::fs::read_dir("/").is_ok(),
    },
    Trial {
        layer: Layer::Ports,
        tried: "to listen at a TCP port",
        succeeds: |_| TcpListener::bind("127.0.0.1:0").is_ok(),
    },
    Trial {
        layer: Layer::Scopes,
        tried: "to send its parent a signal",
        // SAFETY: it takes numbers, and 0 is no signal.
        succeeds: |outside| unsafe { libc::kill(outside.parent as libc::pid_t, 0) } == 0,
    },
    Trial {
        layer: Layer::SystemCalls,
        tried: "to be traced by its parent",
        // SAFETY: this request takes no other arguments.
        succeeds: |_| unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } == 0,
    },
];

/// How a child of a trial ends.
const HOLDS: i32 = 0;
const MISSING: i32 = 1;
const SUCCEEDED: i32 = 2;

impl Trial {
    fn run(&self, outside: &Outside) -> io::Result<Result<(), Missing>> {
        let (mut reads, mut writes) = io::pipe()?;
        let child = fork(|| {
            let mut profile = Profile::strictest();
            profile.layers.retain(|layer| *layer == self.layer);
            profile.limits.threads = 1;
            // An ordinary user makes the other namespaces within one of users.
            let needs_users = [
                Layer::Processes,
                Layer::NetworkNamespace,
                Layer::IpcNamespace,
                Layer::MountNamespace,
            ];
            if !is_root() && needs_users.contains(&self.layer) {
                profile.layers.insert(Layer::UserNamespace);
            }
            profile.parent = Some(outside.parent);
            let missing = match crate::enter(&profile) {
                Ok(report) => {
                    let missing = report.missing().find(|(layer, _)| *layer == self.layer);
                    missing.map(|(_, missing)| missing.clone())
                }
                Err(error) => Some(Missing::new(error.to_string(), "")),
            };
            if let Some(missing) = missing {
                let _ =
                    writes.write_all(format!("{}\0{}", missing.reason, missing.remedy).as_bytes());
                return MISSING;
            }
            if (self.succeeds)(outside) { SUCCEEDED } else { HOLDS }
        })?;
        drop(writes);
        let mut text = String::new();
        reads.read_to_string(&mut text)?;
        let status = child.wait()?;
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == HOLDS {
            return Ok(Ok(()));
        }
        Ok(Err(match text.split_once('\0') {
            Some((reason, remedy)) => Missing::new(reason, remedy),
            None if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == SUCCEEDED => {
                Missing::new(
                    format!("the system said that it holds, and let a child try {}", self.tried),
                    "report this together with the version of your kernel (`uname -r`)",
                )
            }
            None => Missing::new(format!("the child that tried ended with status {status}"), ""),
        }))
    }
}

fn try_cgroup() -> io::Result<Result<(), Missing>> {
    let group = match Cgroup::new(&Limits::default()) {
        Ok(group) => group,
        Err(missing) => return Ok(Err(missing)),
    };
    let tried = try_kill(|child| group.add(child).and_then(|()| group.kill()))?;
    Ok(tried.and_then(|()| group.state()))
}

/// True if a child in a group that is full cannot start another one: a group counts the processes of root,
/// too.
fn try_full_group() -> io::Result<bool> {
    let alone = Limits { processes: 0, threads: 0, ..Limits::default() };
    let Ok(group) = Cgroup::new(&alone) else { return Ok(false) };
    let (reads, writes) = io::pipe()?;
    let child = fork(|| {
        // SAFETY: it takes a number. This copy of the end is the child's, which leaves by `_exit`
        // and uses it no more.
        unsafe { libc::close(writes.as_raw_fd()) };
        // Until it is in the group.
        let _ = (&reads).read(&mut [0]);
        let has_started = fork(|| 0).is_ok_and(|child| child.wait().is_ok());
        if has_started { SUCCEEDED } else { HOLDS }
    })?;
    let added = group.add(child.0 as u32);
    drop(writes);
    let status = child.wait()?;
    Ok(added.is_ok() && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == HOLDS)
}

/// Lets something kill a child that does not end by itself, and sees whether it did. No child is
/// left, whatever it does.
fn try_kill(kill: impl FnOnce(u32) -> io::Result<()>) -> io::Result<Result<(), Missing>> {
    let (reads, writes) = io::pipe()?;
    let child = fork(|| {
        // SAFETY: it takes a number. This copy of the end is the child's, which leaves by `_exit`
        // and uses it no more.
        unsafe { libc::close(writes.as_raw_fd()) };
        // Until the parent closes the other copy, or ends.
        let _ = (&reads).read(&mut [0]);
        0
    })?;
    let killed = kill(child.0 as u32);
    // One that was killed does not come to see that.
    drop(writes);
    let status = child.wait()?;
    let remedy = "let the host change the cgroups below its own";
    Ok(match killed {
        Err(error) => Err(Missing::new(format!("no child is killed as a group: {error}"), remedy)),
        Ok(()) if libc::WIFSIGNALED(status) => Ok(()),
        Ok(()) => Err(Missing::new("the kill of a group left a child alive", remedy)),
    })
}

/// A child process that has not been waited for.
struct Child(libc::pid_t);

impl Child {
    fn wait(self) -> io::Result<libc::c_int> {
        let mut status = 0;
        // SAFETY: the number is ours and lives through the call.
        check(unsafe { libc::waitpid(self.0, &raw mut status, 0) })?;
        Ok(status)
    }
}

/// Runs something in a child, which ends with its result.
fn fork(work: impl FnOnce() -> i32) -> io::Result<Child> {
    // SAFETY: this process has one thread, as `check_layers` saw before it began, and starts none
    // meanwhile, so that no lock is held by a thread that the child does not have. The child is one
    // of such a child where a trial makes another. (Those of unit tests make only calls of the
    // system, which take no lock.) It leaves by `_exit`, so that nothing of the
    // parent's is run twice.
    match check(unsafe { libc::fork() })? {
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
            // SAFETY: it takes a number and does not return.
            unsafe { libc::_exit(code) }
        }
        child => Ok(Child(child)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_child_is_left() {
        fn check(kill: fn(u32) -> io::Result<()>, expected: Result<(), &str>) {
            let mut process = 0;
            let tried = try_kill(|child| {
                process = child;
                kill(child)
            });
            let reason = tried.unwrap().map_err(|missing| missing.reason);
            assert_eq!(
                reason.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|it| *it)
            );
            assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
        }
        // SAFETY: it takes numbers, and the child was not waited for.
        check(|child| check_kill(unsafe { libc::kill(child as i32, libc::SIGKILL) }), Ok(()));
        check(|_| Ok(()), Err("the kill of a group left a child alive"));
        let refuse = |_| Err(io::Error::other("refused"));
        check(refuse, Err("no child is killed as a group: refused"));
    }

    fn check_kill(result: libc::c_int) -> io::Result<()> {
        check(result).map(drop)
    }
}
