//! The filter of system calls of containers, the same with every engine: what is not on its list fails. The
//! filters of engines let programs make sockets, links and files with another's rights, which namespaces
//! and mounts do not stop: a container shares the machine's kernel, and its folders are those of the host.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::{Value, json};

/// The calls that programs may make, whatever their arguments. Left out are those that native plugins may
/// not make either (`system_calls` in `glovebox-sandbox`), but for those that only reach processes of the
/// same container.
const ALLOWED: &str = "
    access alarm arch_prctl brk capget capset chdir chown clock_getres clock_gettime clock_nanosleep close
    close_range copy_file_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
    epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
    fadvise64 fchdir fchown fchownat fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr
    fstat fstatfs fsync ftruncate futex futex_waitv futimesat get_mempolicy get_robust_list getcpu getcwd
    getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt
    gettid gettimeofday getuid getxattr ioprio_get kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr
    lstat madvise mbind membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync
    munlock munlockall munmap nanosleep newfstatat pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64
    pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages
    removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp select sendfile sendmmsg sendmsg sendto set_mempolicy
    set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
    setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shutdown
    sigaltstack signalfd signalfd4 splice stat statfs statx sync sync_file_range syncfs sysinfo tee
    tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat
    utimes vfork wait4 waitid write writev";

/// The calls that do not exist in a container, so that libraries use others: their flags and modes lie in
/// memory, where no filter looks, or what goes through them is not seen by one.
const UNKNOWN: &str = "clone3 fchmodat2 io_uring_enter io_uring_register io_uring_setup openat2";

/// The flags of `clone` that make namespaces: `CLONE_NEWNS`, `_NEWCGROUP`, `_NEWUTS`, `_NEWIPC`, `_NEWUSER`,
/// `_NEWPID`, `_NEWNET`.
const NAMESPACES: u64 = 0x7E02_0000;

/// The bits of a mode that give a program another's rights, or a folder's files another's group:
/// `S_ISUID`, `S_ISGID`, `S_ISVTX`.
const RIGHTS: u64 = 0o7000;

/// Calls with the place of a mode.
const MODES: [(&str, u32); 6] =
    [("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("creat", 1)];

/// Calls with the places of their flags and of a mode, which counts if a file is made.
const OPENS: [(&str, u32, u32); 2] = [("open", 1, 2), ("openat", 2, 3)];

/// The flags of `open` that make a file: `O_CREAT`, and the one of `O_TMPFILE` that is no other one's.
const MAKES: u64 = 0o100 | 0o20_000_000;

/// Pairs of connected sockets, `AF_UNIX` of `SOCK_STREAM` or `SOCK_SEQPACKET`, lead nowhere.
const PAIRS: [u64; 2] = [1, 5];

/// The commands of `fcntl`: descriptors, flags, locks, the size of a pipe that is asked for, and seals. Those
/// that let others wait, send signals or take memory of the user are not among them.
const OF_FILES: [u64; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1033, 1034];

/// The requests of `ioctl`: `TCGETS`, `TCSETS`, `TIOCGPGRP`, `TIOCGWINSZ`, `FIONREAD`, `FIONBIO`, `FIONCLEX`,
/// `FIOCLEX`, `TCGETS2`, `FICLONE`, `FICLONERANGE`. Some others take room on a disk that no limit counts.
const REQUESTS: [u64; 11] = [
    0x5401,
    0x5402,
    0x540F,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
    0x802C_542A,
    0x4004_9409,
    0x4020_940D,
];

/// The modes of `fallocate` that take no room behind the end of a file, where no limit counts it: none, and
/// `FALLOC_FL_PUNCH_HOLE` with `FALLOC_FL_KEEP_SIZE`.
const ROOMS: [u64; 2] = [0, 3];

/// A filter in memory, which is gone with this process, however that ends.
pub(super) struct Filter {
    memory: OwnedFd,
}

impl Filter {
    pub(super) fn new() -> std::io::Result<Filter> {
        let memory = memfd_create("glovebox-seccomp", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&serde_json::to_vec(&profile())?)?;
        Ok(Filter { memory: file.into() })
    }

    /// The path by which the client of an engine reads it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.memory.as_raw_fd())
    }
}

/// The filter as engines read it. Without a list of architectures, calls of any other than the machine's
/// own end the process.
fn profile() -> Value {
    const NOT_PERMITTED: i32 = rustix::io::Errno::PERM.raw_os_error();
    const NO_SUCH_CALL: i32 = rustix::io::Errno::NOSYS.raw_os_error();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut rules = vec![
        json!({ "names": words(ALLOWED), "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": words(UNKNOWN), "action": "SCMP_ACT_ERRNO", "errnoRet": NO_SUCH_CALL }),
    ];
    // A call is allowed if all conditions of one of its rules hold; none has two about one argument.
    let mut allow = |call: &str, conditions: &[Value]| {
        rules.push(json!({ "names": [call], "action": "SCMP_ACT_ALLOW", "args": conditions }));
    };
    allow("clone", &[has_none(0, NAMESPACES)]);
    for (call, mode) in MODES {
        allow(call, &[has_none(mode, RIGHTS)]);
    }
    for (call, flags, mode) in OPENS {
        allow(call, &[has_none(flags, MAKES)]);
        allow(call, &[has_none(mode, RIGHTS)]);
    }
    for kind in PAIRS {
        allow("socketpair", &[is(0, 1), masked(1, 0xF, kind)]);
    }
    for command in OF_FILES {
        allow("fcntl", &[is(1, command)]);
    }
    for request in REQUESTS {
        allow("ioctl", &[is(1, request)]);
    }
    for mode in ROOMS {
        allow("fallocate", &[is(1, mode)]);
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": NOT_PERMITTED, "syscalls": rules,
    })
}

fn is(argument: u32, value: u64) -> Value {
    json!({ "index": argument, "value": value, "op": "SCMP_CMP_EQ" })
}

fn masked(argument: u32, mask: u64, value: u64) -> Value {
    json!({ "index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
}

fn has_none(argument: u32, bits: u64) -> Value {
    masked(argument, bits, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_can_read_it() {
        let filter = Filter::new().unwrap();
        let read = std::fs::read_to_string(filter.path()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), profile());
    }

    /// A rule without conditions would make those of the same call void, and engines take two
    /// conditions about one argument for alternatives.
    #[test]
    fn no_rule_takes_away_the_conditions_of_another() {
        let profile = profile();
        let rules = profile["syscalls"].as_array().unwrap();
        let names = |rule: &Value| -> Vec<String> {
            let names = rule["names"].as_array().unwrap().iter();
            names.map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let (free, conditional): (Vec<&Value>, Vec<&Value>) =
            rules.iter().partition(|rule| rule.get("args").is_none());
        let free: Vec<String> = free.into_iter().flat_map(names).collect();
        for (place, name) in free.iter().enumerate() {
            assert!(!free[..place].contains(name), "{name} stands there twice");
        }
        for rule in conditional {
            assert!(!free.contains(&names(rule)[0]), "{rule}");
            let arguments = rule["args"].as_array().unwrap().iter();
            let mut places: Vec<u64> =
                arguments.map(|condition| condition["index"].as_u64().unwrap()).collect();
            let count = places.len();
            places.dedup();
            assert!(count > 0 && places.len() == count, "{rule}");
        }
        for call in
            ["socket", "connect", "bind", "symlink", "symlinkat", "mknod", "mknodat", "unshare"]
        {
            assert!(!free.contains(&call.to_owned()), "{call}");
        }
    }
}
