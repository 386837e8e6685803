//! The system calls of containers, the same with every engine: what is not on this list fails. The filters
//! of engines let programs make sockets, links and files with another's rights, which namespaces and
//! mounts do not stop: a container shares the machine's kernel, and its folders are those of the host.

use libc::*;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// A call by its name and number, and when it is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerCall {
    /// Its name, without prefix.
    pub name: &'static str,
    number: c_long,
    /// When it is allowed.
    pub answer: CallAnswer,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallAnswer {
    /// It is made, whatever its arguments.
    Made,
    /// It is made if all of these hold, or all of those of another entry of the same call.
    MadeIf(Vec<ArgumentBits>),
    /// It does not exist, so that libraries use others.
    Unknown,
}

/// A condition about some bits of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgumentBits {
    /// The place of the argument, from 0.
    pub argument: u8,
    /// The bits that count.
    pub mask: u64,
    /// Their value.
    pub value: u64,
}

/// A list of calls with their names.
macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), $name)),*] };
}

type Names = &'static [(&'static str, c_long)];

/// The calls that programs may make, whatever their arguments. Left out are those that native plugins may
/// not make either (`system_calls`), but for those that only reach processes of the same container.
const ALLOWED: Names = calls![
    SYS_brk SYS_capget SYS_capset SYS_chdir SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_close
    SYS_close_range SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait
    SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_faccessat
    SYS_faccessat2 SYS_fadvise64 SYS_fchdir SYS_fchown SYS_fchownat SYS_fdatasync SYS_fgetxattr
    SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate
    SYS_futex SYS_futex_waitv SYS_get_mempolicy SYS_get_robust_list SYS_getcpu SYS_getcwd SYS_getdents64
    SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid
    SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrlimit SYS_getrusage
    SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr
    SYS_ioprio_get SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset SYS_landlock_restrict_self
    SYS_lgetxattr SYS_linkat SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr
    SYS_madvise SYS_mbind SYS_membarrier SYS_memfd_create SYS_mincore SYS_mlock SYS_mlock2 SYS_mlockall
    SYS_mmap SYS_mprotect SYS_mremap SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_nanosleep
    SYS_newfstatat SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_pkey_alloc SYS_pkey_free
    SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_pselect6
    SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read SYS_readahead SYS_readlinkat SYS_readv SYS_recvfrom
    SYS_recvmmsg SYS_recvmsg SYS_remap_file_pages SYS_removexattr SYS_renameat SYS_renameat2
    SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo
    SYS_rt_sigreturn SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_get_priority_max
    SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr
    SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_sendfile SYS_sendmmsg
    SYS_sendmsg SYS_sendto SYS_set_mempolicy SYS_set_robust_list SYS_set_tid_address SYS_setfsgid
    SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid
    SYS_setresgid SYS_setresuid SYS_setreuid SYS_setrlimit SYS_setsid SYS_setsockopt SYS_setuid SYS_setxattr
    SYS_shutdown SYS_sigaltstack SYS_signalfd4 SYS_splice SYS_statfs SYS_statx SYS_sync SYS_sync_file_range
    SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill SYS_timer_create SYS_timer_delete SYS_timer_getoverrun
    SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime SYS_times
    SYS_tkill SYS_truncate SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_wait4 SYS_waitid SYS_write
    SYS_writev
];

/// Calls of x86-64 that younger machines do not have.
#[cfg(target_arch = "x86_64")]
const OLD: Names = calls![
    SYS_access SYS_alarm SYS_arch_prctl SYS_chown SYS_dup2 SYS_epoll_create SYS_epoll_wait SYS_eventfd
    SYS_fork SYS_futimesat SYS_getdents SYS_getpgrp SYS_lchown SYS_link SYS_lstat SYS_pause SYS_pipe
    SYS_poll SYS_readlink SYS_rename SYS_rmdir SYS_select SYS_signalfd SYS_stat SYS_time SYS_unlink
    SYS_utime SYS_utimes SYS_vfork
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: Names = &[];

/// The calls that do not exist in a container: their flags and modes lie in memory, where no filter looks, or
/// what goes through them is not seen by one.
const UNKNOWN: Names = calls![
    SYS_clone3 SYS_fchmodat2 SYS_io_uring_enter SYS_io_uring_register SYS_io_uring_setup SYS_openat2
];

/// The flags of `clone` that make namespaces: `CLONE_NEWNS`, `_NEWCGROUP`, `_NEWUTS`, `_NEWIPC`, `_NEWUSER`,
/// `_NEWPID`, `_NEWNET`.
const NAMESPACES: u64 = 0x7E02_0000;

/// The bits of a mode that give a program another's rights, or a folder's files another's group:
/// `S_ISUID`, `S_ISGID`, `S_ISVTX`.
const RIGHTS: u64 = 0o7000;

/// Calls with the place of a mode.
const MODES: &[(&str, c_long, u8)] = &[
    ("SYS_fchmod", SYS_fchmod, 1),
    ("SYS_fchmodat", SYS_fchmodat, 2),
    ("SYS_mkdirat", SYS_mkdirat, 2),
    #[cfg(target_arch = "x86_64")]
    ("SYS_chmod", SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    ("SYS_mkdir", SYS_mkdir, 1),
    #[cfg(target_arch = "x86_64")]
    ("SYS_creat", SYS_creat, 1),
];

/// Calls with the places of their flags and of a mode, which counts if a file is made.
const OPENS: &[(&str, c_long, u8, u8)] = &[
    ("SYS_openat", SYS_openat, 2, 3),
    #[cfg(target_arch = "x86_64")]
    ("SYS_open", SYS_open, 1, 2),
];

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

/// The calls of a container; what is not among them fails as not permitted.
pub fn container_calls() -> Vec<ContainerCall> {
    let mut calls = Vec::new();
    let mut add = |(name, number): (&'static str, c_long), answer| {
        let name = name.trim_start_matches("SYS_");
        calls.push(ContainerCall { name, number, answer });
    };
    ALLOWED.iter().chain(OLD).for_each(|call| add(*call, CallAnswer::Made));
    UNKNOWN.iter().for_each(|call| add(*call, CallAnswer::Unknown));
    let mut made_if = |call, conditions: &[ArgumentBits]| {
        add(call, CallAnswer::MadeIf(conditions.to_vec()));
    };
    made_if(("SYS_clone", SYS_clone), &[has_none(0, NAMESPACES)]);
    for &(name, call, mode) in MODES {
        made_if((name, call), &[has_none(mode, RIGHTS)]);
    }
    for &(name, call, flags, mode) in OPENS {
        made_if((name, call), &[has_none(flags, MAKES)]);
        made_if((name, call), &[has_none(mode, RIGHTS)]);
    }
    for kind in PAIRS {
        let kind = ArgumentBits { argument: 1, mask: 0xF, value: kind };
        made_if(("SYS_socketpair", SYS_socketpair), &[is(0, 1), kind]);
    }
    for command in OF_FILES {
        made_if(("SYS_fcntl", SYS_fcntl), &[is(1, command)]);
    }
    for request in REQUESTS {
        made_if(("SYS_ioctl", SYS_ioctl), &[is(1, request)]);
    }
    for mode in ROOMS {
        made_if(("SYS_fallocate", SYS_fallocate), &[is(1, mode)]);
    }
    calls
}

fn is(argument: u8, value: u64) -> ArgumentBits {
    ArgumentBits { argument, mask: u64::MAX, value }
}

fn has_none(argument: u8, bits: u64) -> ArgumentBits {
    ArgumentBits { argument, mask: bits, value: 0 }
}

/// The list as a program for the kernel, as those take it who enter it for a process that they start. Calls of
/// any other architecture than the machine's own end the process.
///
/// # Errors
///
/// In words, where filters are not known.
pub fn container_call_program() -> Result<Vec<u8>, String> {
    let calls = container_calls();
    let mut steps = unknown(calls.iter().filter(|call| call.answer == CallAnswer::Unknown));
    // Steps that follow count from themselves.
    steps.extend(made(&calls)?);
    let bytes = |step: &sock_filter| {
        let [low, high] = step.code.to_ne_bytes();
        let [a, b, c, d] = step.k.to_ne_bytes();
        [low, high, step.jt, step.jf, a, b, c, d]
    };
    Ok(steps.iter().flat_map(bytes).collect())
}

/// Steps that end at a call that does not exist, and else lead to those behind them.
fn unknown<'a>(calls: impl Iterator<Item = &'a ContainerCall>) -> BpfProgram {
    // Of `linux/bpf_common.h`: load a word at an offset, jump if equal, return.
    const LOAD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let unknown = u32::from(SeccompAction::Errno(ENOSYS as u32));
    // The number of the call is the first word that the kernel shows.
    let mut steps = vec![sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 }];
    for call in calls {
        steps.push(sock_filter { code: IF_EQUAL, jt: 0, jf: 1, k: call.number as u32 });
        steps.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: unknown });
    }
    steps
}

fn made(calls: &[ContainerCall]) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let mut rules = std::collections::BTreeMap::<_, Vec<SeccompRule>>::new();
    for call in calls {
        let bits = match &call.answer {
            CallAnswer::Unknown => continue,
            CallAnswer::Made => &[][..],
            CallAnswer::MadeIf(bits) => bits,
        };
        let known = rules.entry(call.number).or_default();
        if !bits.is_empty() {
            let conditions: Result<Vec<_>, _> = bits.iter().map(condition).collect();
            let rule = conditions.and_then(SeccompRule::new);
            known.push(rule.map_err(|error| error.to_string())?);
        }
    }
    let refused = SeccompAction::Errno(EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch);
    filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
}

fn condition(bits: &ArgumentBits) -> Result<SeccompCondition, seccompiler::BackendError> {
    let ArgumentBits { argument, mask, value } = *bits;
    let operator = match mask {
        u64::MAX => SeccompCmpOp::Eq,
        mask => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry without conditions would make those of the same call void, and engines take two
    /// conditions about one argument for alternatives.
    #[test]
    fn no_entry_takes_away_the_conditions_of_another() {
        let calls = container_calls();
        let is_free = |call: &&ContainerCall| !matches!(call.answer, CallAnswer::MadeIf(_));
        let free: Vec<&str> = calls.iter().filter(is_free).map(|call| call.name).collect();
        for (place, name) in free.iter().enumerate() {
            assert!(!free[..place].contains(name), "{name} stands there twice");
        }
        for call in &calls {
            let CallAnswer::MadeIf(bits) = &call.answer else { continue };
            assert!(!free.contains(&call.name), "{call:?}");
            let mut places: Vec<u8> = bits.iter().map(|bits| bits.argument).collect();
            places.dedup();
            assert!(!bits.is_empty() && places.len() == bits.len(), "{call:?}");
        }
        for call in
            ["socket", "connect", "bind", "symlink", "symlinkat", "mknod", "mknodat", "unshare"]
        {
            assert!(!free.contains(&call), "{call}");
        }
    }

    /// Enters the program in a child, which makes a call there.
    #[test]
    fn the_kernel_takes_the_program() {
        #[track_caller]
        fn check(name: &str, number: c_long, arguments: [c_long; 5], expected: c_int) {
            let program = container_call_program().unwrap();
            let mut steps: Vec<sock_filter> = program
                .chunks_exact(8)
                .map(|step| sock_filter {
                    code: u16::from_ne_bytes([step[0], step[1]]),
                    jt: step[2],
                    jf: step[3],
                    k: u32::from_ne_bytes([step[4], step[5], step[6], step[7]]),
                })
                .collect();
            let program = sock_fprog {
                len: u16::try_from(steps.len()).unwrap(),
                filter: steps.as_mut_ptr().cast(),
            };
            let [a, b, c, d, e] = arguments;
            // SAFETY: the child makes calls of the system alone, and ends itself. The program lives through
            // the call that reads it. The arguments are numbers, or a path that ends in zero.
            let status = unsafe {
                let child = fork();
                if child == 0 {
                    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                    let entered = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program);
                    let found = match syscall(number, a, b, c, d, e) {
                        _ if entered != 0 => 255,
                        -1 => *__errno_location(),
                        _ => 0,
                    };
                    syscall(SYS_exit_group, found);
                }
                let mut status = 0;
                waitpid(child, &raw mut status, 0);
                status
            };
            assert_eq!(WEXITSTATUS(status), expected, "{name}");
        }
        let pipe = [AT_FDCWD.into(), c"/none".as_ptr() as c_long, S_IFIFO.into(), 0, 0];
        check("getpid", SYS_getpid, [0; 5], 0);
        check("socket", SYS_socket, [AF_UNIX.into(), SOCK_STREAM.into(), 0, 0, 0], EPERM);
        check("openat2", SYS_openat2, [0; 5], ENOSYS);
        check("fork", SYS_clone, [CLONE_NEWUSER.into(), 0, 0, 0, 0], EPERM);
        check("an unknown call", 1000, [0; 5], EPERM);
        check("a copy", SYS_fcntl, [0, F_GETFD.into(), 0, 0, 0], 0);
        check("a lease", SYS_fcntl, [0, F_SETLEASE.into(), F_RDLCK.into(), 0, 0], EPERM);
        check("a named pipe", SYS_mknodat, pipe, EPERM);
    }
}
