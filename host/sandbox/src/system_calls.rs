//! System calls, by seccomp.
//!
//! Three programs, of which the kernel takes the strictest answer: one for what a list of calls
//! cannot say, one that lets denied calls fail, and for [`SystemCalls::Strict`] one that ends the
//! process at any call that is not on its list.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::{Layer, Missing, Network, Profile, SandboxReport, SystemCalls};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

pub(crate) fn enter(profile: &Profile, report: &mut SandboxReport) {
    report.add(Layer::SystemCalls, profile.wants(Layer::SystemCalls), || {
        restrict(profile).map_err(|reason| {
            Missing::new(reason, "use Linux 3.17 or newer with seccomp, on x86-64 or 64-bit ARM")
        })
    });
}

fn restrict(profile: &Profile) -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    // All are compiled before the first is applied: afterwards, what applies them may be denied.
    let mut programs = vec![unknown_calls()];
    let failing = SeccompAction::Errno(libc::EPERM as u32);
    programs.push(compile(denied(profile), SeccompAction::Allow, failing, arch)?);
    if profile.system_calls == SystemCalls::Strict {
        let kill = SeccompAction::KillProcess;
        programs.push(compile(allowed(profile), kill, SeccompAction::Allow, arch)?);
    }
    // The calls that apply programs are not among those that the first two deny.
    programs.iter().try_for_each(|program| apply_filter(program).map_err(|e| e.to_string()))
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
    arch: TargetArch,
) -> Result<BpfProgram, String> {
    let filter = SeccompFilter::new(rules, otherwise, matched, arch);
    filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
}

/// The first number of a call that nobody has looked at for these lists: after `mseal`, of Linux 6.10.
/// It is raised once somebody has read what the calls up to there do: 463 to 469 change attributes of
/// files, which Landlock does not know, and open trees of mounts.
const FIRST_UNREAD: u32 = 463;

/// Rules that lists of calls cannot express. Some calls do not exist here, so that libraries use
/// others: `clone3` and `openat2`, whose flags and modes lie in memory, and those that make files of
/// memory, which no limit counts. Those from [`FIRST_UNREAD`] on do not exist either, and with them those
/// of the x32 interface, whose numbers are higher than all others.
fn unknown_calls() -> BpfProgram {
    // Of `linux/bpf_common.h`: load a word at an offset, jump if equal or greater or equal, return.
    const LOAD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let unknown = u32::from(SeccompAction::Errno(libc::ENOSYS as u32));
    vec![
        // The number of the call is the first word that the kernel shows.
        step(LOAD, 0, 0, 0),
        step(IF_EQUAL, 5, 0, libc::SYS_clone3 as u32),
        step(IF_EQUAL, 4, 0, libc::SYS_openat2 as u32),
        step(IF_EQUAL, 3, 0, libc::SYS_memfd_create as u32),
        step(IF_EQUAL, 2, 0, libc::SYS_memfd_secret as u32),
        step(IF_AT_LEAST, 1, 0, FIRST_UNREAD),
        step(RETURN, 0, 0, u32::from(SeccompAction::Allow)),
        step(RETURN, 0, 0, unknown),
    ]
}

/// Out of the sandbox, into the kernel, or what a plugin has no use for.
const DENIED: &[c_long] = &[
    // Other processes, and ways out of the group in which they are killed.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The user has few of those that watch files, for all processes together.
    libc::SYS_fanotify_init,
    libc::SYS_inotify_init1,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_inotify_init,
    // Parts of the kernel in which most of its faults were found. No filter sees calls through a
    // ring of io_uring.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // All users together have few of these.
    libc::SYS_io_setup,
    libc::SYS_io_destroy,
    libc::SYS_io_submit,
    libc::SYS_io_cancel,
    libc::SYS_io_getevents,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
    libc::SYS_vhangup,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    // Objects that outlive a process and belong to nobody.
    // Their numbers can be guessed.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmdt,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_notify,
    libc::SYS_mq_getsetattr,
    // Devices, and pipes and sockets with a name. `open` makes ordinary files.
    libc::SYS_mknodat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
];

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// `PR_SET_PTRACER` of Yama.
const PR_SET_PTRACER: u64 = 0x5961_6d61;
/// The commands of `fcntl` that choose who gets a signal when a file is ready, and which: `F_SETOWN`,
/// `F_SETSIG` and `F_SETOWN_EX`.
const SIGNALS_OF_FILES: [u64; 3] = [8, 10, 15];
/// The commands of `fcntl` that let others wait before they open a file, or tell of its changes:
/// `F_SETLEASE` and `F_NOTIFY`.
const HOLDS_ON_FILES: [u64; 2] = [1024, 1026];
/// The command of `fcntl` that makes a pipe larger, of which all processes of a user share the memory:
/// `F_SETPIPE_SZ`.
const SIZES_OF_PIPES: [u64; 1] = [1031];
/// The requests of `ioctl` that choose who gets the signals of a socket: `FIOSETOWN` and `SIOCSPGRP`.
const SIGNALS_OF_SOCKETS: [u64; 2] = [0x8901, 0x8902];
/// The modes of `fallocate` that take no room behind the end of a file, which no limit counts: none, and
/// a hole in place of what is there.
const ROOM: [u64; 2] = [0, (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE) as u64];
/// The requests of `ioctl` that take such room: `FS_IOC_RESVSP`, `FS_IOC_RESVSP64` and `FS_IOC_ZERO_RANGE`.
const REQUESTS_OF_ROOM: [u64; 3] = [0x4030_5828, 0x4030_582A, 0x4030_5839];
/// `TCP_FASTOPEN_CONNECT`, with which a connection is made without `connect`.
const TCP_FASTOPEN_CONNECT: u64 = 30;

fn denied(profile: &Profile) -> Rules {
    let mut rules = Rules::new();
    for call in DENIED {
        add(&mut rules, *call, &[]);
    }
    for flag in NAMESPACES {
        add(&mut rules, libc::SYS_clone, &[has(0, flag as u64)]);
    }
    // Characters put into the input of a terminal.
    add(&mut rules, libc::SYS_ioctl, &[is(1, libc::TIOCSTI)]);
    add(&mut rules, libc::SYS_ioctl, &[is(1, libc::TIOCLINUX)]);
    // A file that becomes ready sends a signal to any process or group, or takes from others.
    for command in SIGNALS_OF_FILES.into_iter().chain(HOLDS_ON_FILES).chain(SIZES_OF_PIPES) {
        add(&mut rules, libc::SYS_fcntl, &[is(1, command)]);
    }
    add(&mut rules, libc::SYS_fallocate, &ROOM.map(|mode| is_not(1, mode)));
    for request in SIGNALS_OF_SOCKETS.into_iter().chain(REQUESTS_OF_ROOM) {
        add(&mut rules, libc::SYS_ioctl, &[is(1, request)]);
    }
    // Options that the layers of the process set stay set.
    for option in [libc::PR_SET_PDEATHSIG as u64, libc::PR_SET_DUMPABLE as u64, PR_SET_PTRACER] {
        add(&mut rules, libc::SYS_prctl, &[is(0, option)]);
    }
    // 0 is the calling process or thread.
    add(&mut rules, libc::SYS_prlimit64, &[is_not(0, 0), is_not(0, own())]);
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        add(&mut rules, call, &[is_not(0, 0)]);
    }
    if profile.limits.processes == 0 {
        deny_processes(&mut rules, profile.reach.programs);
    }
    deny_sockets(&mut rules, &profile.reach.network);
    deny_modes(&mut rules);
    if !writes(profile) {
        deny_changes(&mut rules);
    }
    rules
}

fn own() -> u64 {
    std::process::id().into()
}

/// No other processes: none is made, no signal goes to one, and no memory is shared with one. Nor does
/// another program take this one's place, unless it may run those of the system.
fn deny_processes(rules: &mut Rules, programs: bool) {
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_fork, libc::SYS_vfork] {
        add(rules, call, &[]);
    }
    add(rules, libc::SYS_clone, &[has_not(0, libc::CLONE_THREAD as u64)]);
    add(rules, libc::SYS_tkill, &[]);
    if !programs {
        add(rules, libc::SYS_execve, &[]);
        add(rules, libc::SYS_execveat, &[]);
    }
    for call in
        [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo]
    {
        add(rules, call, &[is_not(0, own())]);
    }
    // Shared memory that belongs to no file counts as addresses only, and nobody is there to share
    // it with. The lowest bits of the flags say whether it is shared.
    let shared = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;
    add(rules, libc::SYS_mmap, &[masked(3, 0xF | shared, shared)]);
    // Memory that grows like a stack counts as one, and not as data.
    add(rules, libc::SYS_mmap, &[has(3, libc::MAP_GROWSDOWN as u64)]);
}

/// Files that give a program another's rights outside, where the plugin's user is a real one.
fn deny_modes(rules: &mut Rules) {
    // Calls with the place of a mode.
    let calls: &[(c_long, u8)] = &[
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (libc::SYS_fchmodat2, 2),
        (libc::SYS_mkdirat, 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mkdir, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, 1),
    ];
    // Calls with the places of flags, which say whether a file is made, and of its mode.
    let opens: &[(c_long, u8, u8)] = &[
        (libc::SYS_openat, 2, 3),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, 1, 2),
    ];
    // The flag of `O_TMPFILE` that is no other one's.
    const TEMPORARY: u64 = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
    for bit in [libc::S_ISUID, libc::S_ISGID, libc::S_ISVTX].map(u64::from) {
        for (call, mode) in calls {
            add(rules, *call, &[has(*mode, bit)]);
        }
        for (call, flags, mode) in opens {
            for makes in [libc::O_CREAT as u64, TEMPORARY] {
                add(rules, *call, &[has(*flags, makes), has(*mode, bit)]);
            }
        }
    }
}

/// Changes of files beside their content, and locks that others wait for: Landlock does not know of
/// these, and a file that is open for reading is enough.
fn deny_changes(rules: &mut Rules) {
    const CHANGES: &[c_long] = &[
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchmodat2,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lchown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_utime,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_utimes,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_futimesat,
    ];
    for call in CHANGES {
        rules.insert(*call, Vec::new());
    }
    add(rules, libc::SYS_flock, &[has(1, libc::LOCK_EX as u64)]);
}

fn writes(profile: &Profile) -> bool {
    profile.reach.folders.iter().any(|folder| folder.access == crate::Access::ReadWrite)
}

/// Sockets of the families and types that the profile does not allow. A pair of connected streams
/// leads nowhere and is always allowed. A pair of datagram sockets is not: `sendto` takes the
/// address of any other one. `SOCK_RAW` is another name of these.
fn deny_sockets(rules: &mut Rules, network: &Network) {
    let pair = libc::SYS_socketpair;
    add(rules, pair, &[is_not(0, libc::AF_UNIX as u64)]);
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        add(rules, pair, &[masked(1, 0xF, kind as u64)]);
    }
    if *network == Network::Denied {
        let calls = [
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_accept,
            libc::SYS_accept4,
        ];
        calls.into_iter().for_each(|call| add(rules, call, &[]));
        return;
    }
    let socket = libc::SYS_socket;
    add(rules, socket, &[is_not(0, libc::AF_INET as u64), is_not(0, libc::AF_INET6 as u64)]);
    // The types that are left of all that there are; the bits above are flags.
    let datagram = libc::SOCK_DGRAM;
    // 6 is DCCP, 10 the old way to raw packets.
    let other = [libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, 6, 10];
    let is_tcp = matches!(network, Network::Tcp { .. });
    for kind in other.into_iter().chain(is_tcp.then_some(datagram)) {
        add(rules, socket, &[masked(1, 0xF, kind as u64)]);
    }
    if is_tcp {
        // Landlock knows the ports of TCP and of nothing that behaves like it.
        add(rules, socket, &[is_not(2, 0), is_not(2, libc::IPPROTO_TCP as u64)]);
        let fast_open = libc::MSG_FASTOPEN as u64;
        add(rules, libc::SYS_sendto, &[has(3, fast_open)]);
        add(rules, libc::SYS_sendmsg, &[has(2, fast_open)]);
        add(rules, libc::SYS_sendmmsg, &[has(3, fast_open)]);
        let option = [is(1, libc::IPPROTO_TCP as u64), is(2, TCP_FASTOPEN_CONNECT)];
        add(rules, libc::SYS_setsockopt, &option);
    }
}

/// The calls that computing, memory, threads, time and open files need.
const ALLOWED: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_memfd_create,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    libc::SYS_prctl,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_socketpair,
    libc::SYS_shutdown,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
];

/// The calls that writing in a permitted folder needs.
const WRITES: &[c_long] = &[
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_utimensat,
    libc::SYS_flock,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
];

/// The calls that a permitted network needs.
const SOCKETS: &[c_long] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// The calls that permitted processes need.
const PROCESSES: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

fn allowed(profile: &Profile) -> Rules {
    let lists = [
        (ALLOWED, true),
        (WRITES, writes(profile)),
        (SOCKETS, profile.reach.network != Network::Denied),
        (PROCESSES, profile.limits.processes > 0 || profile.reach.programs),
    ];
    let chosen = lists.into_iter().filter(|(_, wanted)| *wanted).flat_map(|(list, _)| list);
    let mut rules: Rules = chosen.map(|call| (*call, Vec::new())).collect();
    // Questions about an open file.
    for question in [libc::TCGETS, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX] {
        add(&mut rules, libc::SYS_ioctl, &[is(1, question)]);
    }
    rules
}

/// Adds a rule: the call, if all these conditions hold; the call as such if there are none.
fn add(rules: &mut Rules, call: c_long, conditions: &[SeccompCondition]) {
    let known = rules.entry(call).or_default();
    if conditions.is_empty() {
        debug_assert!(known.is_empty(), "a rule without conditions stands alone");
        known.clear();
    } else {
        let rule = SeccompRule::new(conditions.to_vec());
        known.push(rule.expect("a rule with a condition is valid"));
    }
}

/// The argument is a number of 32 bits, of which the kernel looks at no more: what stands above
/// them must not let it pass as another one.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    condition.expect("a system call has six arguments, and these are the first ones")
}

fn is(argument: u8, value: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn has(argument: u8, flag: u64) -> SeccompCondition {
    masked(argument, flag, flag)
}

fn has_not(argument: u8, flag: u64) -> SeccompCondition {
    masked(argument, flag, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer of a program to a call of this number.
    fn answer(program: &BpfProgram, number: u32) -> u32 {
        let (mut shown, mut next) = (0, 0);
        loop {
            let step = &program[next];
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            next += 1;
            match step.code {
                0x20 => {
                    assert_eq!(step.k, 0, "the number is the first word");
                    shown = number;
                }
                0x15 => next += jump(shown == step.k),
                0x35 => next += jump(shown >= step.k),
                0x06 => return step.k,
                code => panic!("step {code:#x} is not known"),
            }
        }
    }

    #[test]
    fn calls_that_nobody_has_looked_at_do_not_exist() {
        #[track_caller]
        fn check(number: u32, exists: bool) {
            let expected = match exists {
                true => SeccompAction::Allow,
                false => SeccompAction::Errno(libc::ENOSYS as u32),
            };
            assert_eq!(answer(&unknown_calls(), number), u32::from(expected), "{number}");
        }
        // Of `asm-generic/unistd.h`: from 424 on, all machines have the same numbers.
        let [mseal, setxattrat, removexattrat, open_tree_attr, file_setattr] =
            [462, 463, 466, 467, 469];
        check(libc::SYS_read as u32, true);
        check(mseal, true);
        for number in [setxattrat, removexattrat, open_tree_attr, file_setattr] {
            check(number, false);
        }
        for number in [libc::SYS_clone3, libc::SYS_openat2, libc::SYS_memfd_create] {
            check(number as u32, false);
        }
        let x32 = 0x4000_0000;
        for number in [470, 1000, x32 - 1, x32, x32 + libc::SYS_read as u32, u32::MAX] {
            check(number, false);
        }
    }

    /// A call of which nobody thought is on no list.
    #[test]
    fn no_list_names_a_call_that_nobody_has_looked_at() {
        let lists = [DENIED, ALLOWED, WRITES, SOCKETS, PROCESSES];
        for call in lists.into_iter().flatten() {
            assert!((0..FIRST_UNREAD.into()).contains(call), "{call}");
        }
    }
}
