//! The forbidden things, each tried once. The caller is inside.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_sandbox::{Access, Folder};
use serde::{Deserialize, Serialize};

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tried {
    Succeeded,
    /// A signal was sent. Whether it came is known outside, where this becomes one of the others.
    Sent,
    /// With this number of an error.
    Failed(i32),
    /// The machine has no such thing.
    Absent,
}

/// The things outside, made by the program that starts the children.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outside {
    pub(crate) canary: PathBuf,
    pub(crate) given: PathBuf,
    pub(crate) descriptor: i32,
    pub(crate) tcp: u16,
    pub(crate) tcp6: Option<u16>,
    pub(crate) udp: u16,
    pub(crate) abstract_socket: String,
    pub(crate) segment: i32,
    pub(crate) semaphore: i32,
    pub(crate) queue: i32,
    pub(crate) parent: u32,
    pub(crate) address: usize,
    /// True if another file system is mounted in the given folder.
    pub(crate) has_mount: bool,
    /// True if the system lets io_uring be used at all.
    pub(crate) has_io_uring: bool,
}

impl Outside {
    pub(crate) fn folder(&self, access: Access) -> Folder {
        Folder { descriptor: self.descriptor, access }
    }
}

fn tried<T>(result: io::Result<T>) -> Tried {
    match result {
        Ok(_) => Tried::Succeeded,
        Err(error) => Tried::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

fn call(result: libc::c_long) -> Tried {
    if result == -1 { tried::<()>(Err(io::Error::last_os_error())) } else { Tried::Succeeded }
}

pub(crate) fn write_outside(outside: &Outside) -> Tried {
    tried(fs::write(outside.canary.join("written"), "by a stranger"))
}

pub(crate) fn read_outside(outside: &Outside) -> Tried {
    tried(fs::read(outside.canary.join("secret")))
}

pub(crate) fn list_outside(outside: &Outside) -> Tried {
    tried(fs::read_dir(&outside.canary))
}

pub(crate) fn list_libraries(_: &Outside) -> Tried {
    tried(fs::read_dir("/usr/lib"))
}

/// A context of asynchronous input and output, of which the machine has few.
pub(crate) fn set_up_input_and_output(_: &Outside) -> Tried {
    let mut context: libc::c_ulong = 0;
    // SAFETY: the kernel writes one word, which is ours.
    call(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) })
}

/// More timers than a plugin has a use for; each takes a signal of the user's.
pub(crate) fn many_timers(_: &Outside) -> Tried {
    for _ in 0..1000 {
        let mut timer: libc::timer_t = std::ptr::null_mut();
        let clock = libc::CLOCK_MONOTONIC;
        // SAFETY: the structure is ours; without another one, a timer sends its usual signal.
        if unsafe { libc::timer_create(clock, std::ptr::null_mut(), &raw mut timer) } == -1 {
            return call(-1);
        }
    }
    Tried::Succeeded
}

/// A pipe that takes as much memory as one may.
pub(crate) fn enlarge_a_pipe(_: &Outside) -> Tried {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two numbers, which are ours.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } == -1 {
        return call(-1);
    }
    // SAFETY: it takes numbers.
    call(unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, 1 << 20) }.into())
}

pub(crate) fn see_outside(outside: &Outside) -> Tried {
    tried(fs::symlink_metadata(outside.canary.join("secret")))
}

pub(crate) fn see_through_handle(outside: &Outside) -> Tried {
    let path = c"../canary/secret";
    // SAFETY: all zeros are a value of this structure, which holds only numbers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in zero, and the structure is ours.
    call(unsafe { libc::fstatat(outside.descriptor, path.as_ptr(), &raw mut status, 0) }.into())
}

pub(crate) fn write_in_folder(outside: &Outside) -> Tried {
    let path = outside.given.join("new");
    let written = fs::write(&path, "hello").and_then(|()| fs::remove_file(&path));
    tried(written)
}

pub(crate) fn read_in_folder(outside: &Outside) -> Tried {
    tried(fs::read(outside.given.join("there")))
}

pub(crate) fn leave_folder(outside: &Outside) -> Tried {
    tried(fs::write(outside.given.join("../canary/written"), "by a stranger"))
}

pub(crate) fn write_in_mount(outside: &Outside) -> Tried {
    if !outside.has_mount {
        return Tried::Absent;
    }
    let path = outside.given.join("mount/new");
    tried(fs::write(&path, "hello").and_then(|()| fs::remove_file(&path)))
}

pub(crate) fn link_in_folder(outside: &Outside) -> Tried {
    let path = outside.given.join("link");
    let made = std::os::unix::fs::symlink("/etc", &path);
    if made.is_ok() {
        fs::remove_file(path).unwrap();
    }
    tried(made)
}

/// Changes the mode of the given folder itself, to the one that it has.
pub(crate) fn change_mode(outside: &Outside) -> Tried {
    // SAFETY: all zeros are a value of this structure; the number is of an open folder.
    let mode = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        libc::fstat(outside.descriptor, &raw mut status);
        status.st_mode & 0o777
    };
    // SAFETY: they take numbers.
    call(unsafe { libc::fchmod(outside.descriptor, mode) }.into())
}

/// Takes the lock for which others wait, on a folder that is open for reading.
pub(crate) fn lock_alone(outside: &Outside) -> Tried {
    // SAFETY: it takes numbers.
    call(unsafe { libc::flock(outside.descriptor, libc::LOCK_EX | libc::LOCK_NB) }.into())
}

/// A new file in the given folder, opened with this mode.
fn new_file(outside: &Outside, name: &str, mode: u32) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = outside.given.join(format!("{name}-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create(true).mode(mode).open(path)
}

/// Calls with the path of a new file, or of a new name if no file is to be there.
fn with_path(
    outside: &Outside,
    name: &str,
    is_there: bool,
    attempt: impl FnOnce(*const libc::c_char) -> libc::c_long,
) -> Tried {
    if is_there && let Err(error) = new_file(outside, name, 0o600) {
        return Tried::Failed(error.raw_os_error().unwrap_or(0));
    }
    let path = outside.given.join(format!("{name}-{}", std::process::id()));
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    call(attempt(path.as_ptr()))
}

const SET_USER: libc::mode_t = 0o4755;

pub(crate) fn set_user(outside: &Outside) -> Tried {
    // SAFETY: the path ends in zero.
    with_path(outside, "user", true, |path| unsafe { libc::chmod(path, SET_USER) }.into())
}

pub(crate) fn set_group_by_handle(outside: &Outside) -> Tried {
    match new_file(outside, "group", 0o600) {
        // SAFETY: it takes numbers.
        Ok(file) => call(unsafe { libc::fchmod(file.as_raw_fd(), 0o2755) }.into()),
        Err(error) => Tried::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

pub(crate) fn set_user_at(outside: &Outside) -> Tried {
    let here = libc::AT_FDCWD;
    with_path(outside, "at", true, |path| {
        // SAFETY: the path ends in zero.
        unsafe { libc::syscall(libc::SYS_fchmodat, here, path, SET_USER) }
    })
}

pub(crate) fn set_user_at_2(outside: &Outside) -> Tried {
    let here = libc::AT_FDCWD;
    let tried = with_path(outside, "at-2", true, |path| {
        // SAFETY: the path ends in zero.
        unsafe { libc::syscall(libc::SYS_fchmodat2, here, path, SET_USER, 0) }
    });
    // From Linux 6.6 on.
    if tried == Tried::Failed(libc::ENOSYS) { Tried::Absent } else { tried }
}

pub(crate) fn open_with_user(outside: &Outside) -> Tried {
    tried(new_file(outside, "opened", SET_USER))
}

pub(crate) fn open_with_user_2(outside: &Outside) -> Tried {
    // `struct open_how`: flags, mode, resolve.
    let how = [(libc::O_CREAT | libc::O_WRONLY) as u64, SET_USER.into(), 0];
    let (call, here, length) = (libc::SYS_openat2, libc::AT_FDCWD, size_of_val(&how));
    with_path(outside, "opened-2", false, |path| {
        // SAFETY: the path ends in zero; the structure is as long as said, and lives through it.
        unsafe { libc::syscall(call, here, path, how.as_ptr(), length) }
    })
}

pub(crate) fn make_sticky_folder(outside: &Outside) -> Tried {
    // SAFETY: the path ends in zero.
    with_path(outside, "sticky", false, |path| unsafe { libc::mkdir(path, 0o1777) }.into())
}

pub(crate) fn make_pipe(outside: &Outside) -> Tried {
    // SAFETY: the path ends in zero.
    with_path(outside, "pipe", false, |path| unsafe { libc::mkfifo(path, 0o600) }.into())
}

pub(crate) fn lease(outside: &Outside) -> Tried {
    match new_file(outside, "leased", 0o600) {
        Ok(file) => {
            // SAFETY: it takes numbers.
            call(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK).into() })
        }
        Err(error) => Tried::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

pub(crate) fn watch_files(_: &Outside) -> Tried {
    // SAFETY: it takes a number.
    call(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) }.into())
}

pub(crate) fn write_much(outside: &Outside) -> Tried {
    // The signal that comes with it would end the child, which is as good.
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let path = outside.given.join("large");
    let written = fs::File::create(&path).and_then(|mut file| file.write_all(&[0; 128 << 10]));
    let _ = fs::remove_file(path);
    tried(written)
}

/// Takes room of the disk behind the end of a file, which stays as long as it is.
pub(crate) fn hide_room(outside: &Outside) -> Tried {
    match new_file(outside, "room", 0o600) {
        Ok(file) => {
            let (number, keep) = (file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE);
            // SAFETY: it takes numbers.
            call(unsafe { libc::fallocate(number, keep, 0, 128 << 10).into() })
        }
        Err(error) => Tried::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

/// The same by the older way, a request.
pub(crate) fn hide_room_by_request(outside: &Outside) -> Tried {
    /// `struct space_resv` of `linux/falloc.h`.
    #[repr(C)]
    struct Room {
        kind: i16,
        whence: i16,
        start: i64,
        length: i64,
        system: i32,
        process: u32,
        pad: [i32; 4],
    }
    const FS_IOC_RESVSP64: libc::Ioctl = 0x4030_582A;
    let room = Room {
        kind: 0,
        whence: 0,
        start: 0,
        length: 128 << 10,
        system: 0,
        process: 0,
        pad: [0; 4],
    };
    match new_file(outside, "old-room", 0o600) {
        Ok(file) => {
            // SAFETY: the structure is that of the request, and lives through the call.
            let made = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_RESVSP64, &raw const room) };
            call(made.into())
        }
        Err(error) => Tried::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

/// Takes room up to a new end, which the limit of files counts, and makes a hole in it.
pub(crate) fn take_room(outside: &Outside) -> Tried {
    match new_file(outside, "taken", 0o600) {
        Ok(file) => {
            let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            // SAFETY: they take numbers.
            call(
                unsafe {
                    libc::fallocate(file.as_raw_fd(), 0, 0, 8192)
                        | libc::fallocate(file.as_raw_fd(), hole, 0, 4096)
                }
                .into(),
            )
        }
        Err(error) => Tried::Failed(error.raw_os_error().unwrap_or(0)),
    }
}

pub(crate) fn tcp(outside: &Outside) -> Tried {
    tried(TcpStream::connect(("127.0.0.1", outside.tcp)))
}

pub(crate) fn tcp6(outside: &Outside) -> Tried {
    outside.tcp6.map_or(Tried::Absent, |port| tried(TcpStream::connect(("::1", port))))
}

pub(crate) fn listen(_: &Outside) -> Tried {
    tried(TcpListener::bind("127.0.0.1:0"))
}

pub(crate) fn udp(outside: &Outside) -> Tried {
    let sent = UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.send_to(b"hello", ("127.0.0.1", outside.udp)));
    tried(sent)
}

pub(crate) fn unix_path(outside: &Outside) -> Tried {
    tried(UnixStream::connect(outside.canary.join("socket")))
}

pub(crate) fn unix_abstract(outside: &Outside) -> Tried {
    let address = SocketAddr::from_abstract_name(&outside.abstract_socket);
    tried(address.and_then(|address| UnixStream::connect_addr(&address)))
}

/// A datagram, by one of a pair of sockets, which needs neither `socket` nor `connect`.
fn datagram(address: io::Result<SocketAddr>) -> Tried {
    let sent = UnixDatagram::pair().and_then(|(one, _other)| one.send_to_addr(b"hello", &address?));
    tried(sent)
}

pub(crate) fn datagram_path(outside: &Outside) -> Tried {
    datagram(SocketAddr::from_pathname(outside.canary.join("datagrams")))
}

pub(crate) fn datagram_abstract(outside: &Outside) -> Tried {
    datagram(SocketAddr::from_abstract_name(format!("{}-datagrams", outside.abstract_socket)))
}

pub(crate) fn netlink(_: &Outside) -> Tried {
    // SAFETY: it takes numbers.
    call(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE) }.into())
}

pub(crate) fn raw(_: &Outside) -> Tried {
    // SAFETY: it takes numbers.
    call(unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP) }.into())
}

pub(crate) fn ptrace(outside: &Outside) -> Tried {
    let parent = outside.parent as libc::pid_t;
    // SAFETY: this request takes numbers.
    // The kernel detaches when this process ends.
    call(unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0) })
}

pub(crate) fn process_vm(outside: &Outside) -> Tried {
    let mut byte = [0_u8; 8];
    let local = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 8 };
    let remote =
        libc::iovec { iov_base: std::ptr::without_provenance_mut(outside.address), iov_len: 8 };
    let parent = outside.parent as libc::pid_t;
    // SAFETY: the local buffer is as long as it says; the other address is the parent's.
    let read =
        unsafe { libc::process_vm_readv(parent, &raw const local, 1, &raw const remote, 1, 0) };
    call(read as libc::c_long)
}

pub(crate) fn proc_mem(outside: &Outside) -> Tried {
    tried(fs::File::open(format!("/proc/{}/mem", outside.parent)))
}

pub(crate) fn kill(outside: &Outside) -> Tried {
    // 0 is no signal, but asks for the same right as one.
    // SAFETY: it takes numbers.
    call(unsafe { libc::kill(outside.parent as libc::pid_t, 0) }.into())
}

/// Lets the kernel send the signal when a socket becomes ready, to the owner that `own` gives it.
fn signal_when_ready(own: impl FnOnce(i32) -> libc::c_int) -> Tried {
    let (one, mut other) = UnixStream::pair().unwrap();
    let number = one.as_raw_fd();
    let owned = call(own(number).into());
    if owned != Tried::Succeeded {
        return owned;
    }
    // SAFETY: it takes numbers.
    let asked = call(unsafe { libc::fcntl(number, libc::F_SETFL, libc::O_ASYNC) }.into());
    if asked != Tried::Succeeded {
        return asked;
    }
    other.write_all(b"hello").unwrap();
    Tried::Sent
}

pub(crate) fn signal_by_owner(outside: &Outside) -> Tried {
    let parent = outside.parent as libc::pid_t;
    // SAFETY: it takes numbers.
    signal_when_ready(|number| unsafe { libc::fcntl(number, libc::F_SETOWN, parent) })
}

pub(crate) fn signal_by_owner_of_a_kind(outside: &Outside) -> Tried {
    const F_SETOWN_EX: libc::c_int = 15;
    // A process, and its number.
    let owner: [libc::c_int; 2] = [1, outside.parent as libc::pid_t];
    // SAFETY: the structure of two numbers lives through the call.
    signal_when_ready(|number| unsafe { libc::fcntl(number, F_SETOWN_EX, owner.as_ptr()) })
}

pub(crate) fn signal_by_socket(outside: &Outside) -> Tried {
    signal_by_request(outside, 0x8901)
}

pub(crate) fn signal_by_group_of_socket(outside: &Outside) -> Tried {
    signal_by_request(outside, 0x8902)
}

fn signal_by_request(outside: &Outside, request: libc::Ioctl) -> Tried {
    let parent = outside.parent as libc::pid_t;
    // SAFETY: the number that it reads lives through the call.
    signal_when_ready(|number| unsafe { libc::ioctl(number, request, &raw const parent) })
}

pub(crate) fn choose_signal(_: &Outside) -> Tried {
    const F_SETSIG: libc::c_int = 10;
    // SAFETY: it takes numbers.
    call(unsafe { libc::fcntl(0, F_SETSIG, libc::SIGKILL) }.into())
}

pub(crate) fn limit_parent(outside: &Outside) -> Tried {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let parent = outside.parent as libc::pid_t;
    // SAFETY: nothing is set; what is read goes into a structure of ours.
    let read =
        unsafe { libc::prlimit(parent, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut old) };
    call(read.into())
}

pub(crate) fn renice(outside: &Outside) -> Tried {
    // To the value that it has.
    // SAFETY: it takes numbers.
    call(unsafe { libc::setpriority(libc::PRIO_PROCESS, outside.parent, 0) }.into())
}

pub(crate) fn fork(_: &Outside) -> Tried {
    // SAFETY: this process has one thread; the child leaves at once, and runs nothing of the
    // parent's.
    match unsafe { libc::fork() } {
        -1 => call(-1),
        // SAFETY: it takes a number.
        0 => unsafe { libc::_exit(0) },
        child => {
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Tried::Succeeded
        }
    }
}

/// Forks until there are so many that nothing but a limit would have stopped it.
pub(crate) fn fork_bomb(_: &Outside) -> Tried {
    fork_until_denied()
}

fn fork_until_denied() -> Tried {
    let mut children = Vec::new();
    let mut result = Tried::Succeeded;
    while children.len() < 200 {
        // SAFETY: as above; the children wait for a signal.
        match unsafe { libc::fork() } {
            -1 => {
                result = call(-1);
                break;
            }
            0 => wait_for_a_signal(),
            child => children.push(child),
        }
    }
    for child in children {
        // SAFETY: they take numbers, and these are children that nobody waited for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    result
}

pub(crate) fn leave_group(_: &Outside) -> Tried {
    // SAFETY: it takes nothing.
    call(unsafe { libc::setsid() }.into())
}

pub(crate) fn execute(_: &Outside) -> Tried {
    run(c"/proc/self/exe", c"--succeeded")
}

/// A program of the system.
pub(crate) fn execute_of_the_system(_: &Outside) -> Tried {
    run(c"/bin/echo", c"executed")
}

/// A script that a plugin writes into its folder.
pub(crate) fn execute_in_folder(outside: &Outside) -> Tried {
    let path = outside.given.join("script");
    let mode = fs::Permissions::from_mode(0o700);
    let written = fs::write(&path, "#!/bin/sh\necho executed\n")
        .and_then(|()| fs::set_permissions(&path, mode));
    if let Err(error) = written {
        return tried::<()>(Err(error));
    }
    let program = CString::new(path.as_os_str().as_bytes()).unwrap();
    let tried = run(&program, c"");
    fs::remove_file(path).unwrap();
    tried
}

fn run(program: &CStr, argument: &CStr) -> Tried {
    let arguments = [program.as_ptr(), argument.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: both lists end in null, and their texts in zero.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    call(-1)
}

pub(crate) fn memory(_: &Outside) -> Tried {
    map(256 << 20, libc::MAP_PRIVATE)
}

fn processor_microseconds() -> i64 {
    // SAFETY: all zeros are a value of this structure, which holds only numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let [user, system] =
        [usage.ru_utime, usage.ru_stime].map(|it| it.tv_sec * 1_000_000 + it.tv_usec);
    user + system
}

/// Computes for longer than its limit, unless a signal says so in time.
pub(crate) fn compute_long(_: &Outside) -> Tried {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    extern "C" fn note(_: libc::c_int) {
        IS_OVER.store(true, Ordering::Relaxed);
    }
    let handler = note as extern "C" fn(libc::c_int);
    // SAFETY: the handler only sets an atomic.
    unsafe { libc::signal(libc::SIGXCPU, handler as libc::sighandler_t) };
    while processor_microseconds() < 1_500_000 {
        if IS_OVER.load(Ordering::Relaxed) {
            return Tried::Failed(0);
        }
    }
    Tried::Succeeded
}

/// Memory that the limit of data does not count.
pub(crate) fn memory_that_grows_down(_: &Outside) -> Tried {
    map(1 << 20, libc::MAP_PRIVATE | libc::MAP_GROWSDOWN)
}

/// Room for a stack far above the usual.
pub(crate) fn large_stack(_: &Outside) -> Tried {
    let wanted = libc::rlimit { rlim_cur: 900 << 20, rlim_max: libc::RLIM_INFINITY };
    let mut limit = wanted;
    // SAFETY: the structure is ours and lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } == -1 {
        return call(-1);
    }
    let wanted = libc::rlimit { rlim_max: limit.rlim_max, ..wanted };
    // SAFETY: the same.
    call(unsafe { libc::setrlimit(libc::RLIMIT_STACK, &raw const wanted) }.into())
}

pub(crate) fn shared_memory(_: &Outside) -> Tried {
    map(1 << 30, libc::MAP_SHARED)
}

pub(crate) fn memory_file(_: &Outside) -> Tried {
    // SAFETY: the name ends in zero.
    call(unsafe { libc::memfd_create(c"memory".as_ptr(), 0) }.into())
}

/// Maps memory and puts something into its last page.
fn map(length: usize, kind: libc::c_int) -> Tried {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses an address that is free.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), length, protection, kind | libc::MAP_ANONYMOUS, -1, 0)
    };
    if start == libc::MAP_FAILED {
        return call(-1);
    }
    // SAFETY: it lies in the memory that was just mapped.
    unsafe { start.cast::<u8>().add(length - 1).write_volatile(1) };
    Tried::Succeeded
}

pub(crate) fn files(_: &Outside) -> Tried {
    // SAFETY: it takes a number; the descriptors end with the process.
    let result = (0..200).map(|_| call(unsafe { libc::dup(1) }.into()));
    result.into_iter().find(|tried| *tried != Tried::Succeeded).unwrap_or(Tried::Succeeded)
}

pub(crate) fn io_uring(outside: &Outside) -> Tried {
    if !outside.has_io_uring {
        return Tried::Absent;
    }
    set_up_io_uring()
}

pub(crate) fn set_up_io_uring() -> Tried {
    let mut parameters = [0_u64; 32];
    // SAFETY: the structure is 120 bytes long, which this has room for.
    call(unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) })
}

pub(crate) fn namespace(_: &Outside) -> Tried {
    // SAFETY: it takes a number, and the process has one thread.
    call(unsafe { libc::unshare(libc::CLONE_NEWUSER) }.into())
}

pub(crate) fn namespace_by_clone(_: &Outside) -> Tried {
    let flags = (libc::CLONE_NEWUSER | libc::SIGCHLD) as libc::c_long;
    // SAFETY: without a stack of its own this is like `fork`; the child leaves at once.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        // SAFETY: it takes a number.
        0 => unsafe { libc::_exit(0) },
        result => call(result),
    }
}

pub(crate) fn namespace_by_clone3(_: &Outside) -> Tried {
    let mut arguments = [0_u64; 11];
    arguments[0] = libc::CLONE_NEWUSER as u64;
    arguments[4] = libc::SIGCHLD as u64;
    // SAFETY: the structure is as long as said, and without a stack of its own this is like `fork`.
    match unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), 88) } {
        // SAFETY: it takes a number.
        0 => unsafe { libc::_exit(0) },
        result => call(result),
    }
}

pub(crate) fn chroot(_: &Outside) -> Tried {
    // SAFETY: the path ends in zero.
    call(unsafe { libc::chroot(c"/".as_ptr()) }.into())
}

pub(crate) fn keys(_: &Outside) -> Tried {
    // The session keyring, asked for by its number.
    // SAFETY: this operation takes numbers.
    match call(unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) }) {
        Tried::Failed(libc::ENOSYS) => Tried::Absent,
        other => other,
    }
}

pub(crate) fn segment(outside: &Outside) -> Tried {
    // SAFETY: the kernel chooses the address, and nothing refers to what lies there.
    call(unsafe { libc::shmat(outside.segment, std::ptr::null(), 0) } as libc::c_long)
}

pub(crate) fn ask_segment(outside: &Outside) -> Tried {
    // SAFETY: all zeros are a value of this structure, which holds only numbers.
    let mut status: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours.
    call(unsafe { libc::shmctl(outside.segment, libc::IPC_STAT, &raw mut status) }.into())
}

pub(crate) fn raise_semaphore(outside: &Outside) -> Tried {
    let mut up = libc::sembuf { sem_num: 0, sem_op: 1, sem_flg: 0 };
    // SAFETY: the one operation is ours.
    call(unsafe { libc::semop(outside.semaphore, &raw mut up, 1) }.into())
}

pub(crate) fn raise_semaphore_in_time(outside: &Outside) -> Tried {
    let mut up = libc::sembuf { sem_num: 0, sem_op: 1, sem_flg: 0 };
    let (call_number, never) = (libc::SYS_semtimedop, std::ptr::null::<libc::timespec>());
    // SAFETY: the one operation is ours.
    call(unsafe { libc::syscall(call_number, outside.semaphore, &raw mut up, 1, never) })
}

pub(crate) fn ask_semaphore(outside: &Outside) -> Tried {
    // SAFETY: this command reads no fourth argument.
    call(unsafe { libc::semctl(outside.semaphore, 0, libc::GETPID) }.into())
}

pub(crate) fn send_message(outside: &Outside) -> Tried {
    // Its type, and no bytes.
    let message: libc::c_long = 1;
    let start = (&raw const message).cast();
    // SAFETY: a message of no bytes is its type alone.
    call(unsafe { libc::msgsnd(outside.queue, start, 0, libc::IPC_NOWAIT) }.into())
}

pub(crate) fn receive_message(outside: &Outside) -> Tried {
    let mut message: libc::c_long = 0;
    let start = (&raw mut message).cast();
    // SAFETY: a message of no bytes is its type alone.
    match unsafe { libc::msgrcv(outside.queue, start, 0, 2, libc::IPC_NOWAIT) } {
        // Nothing of this type is ever there, which only those learn who may look.
        -1 if io::Error::last_os_error().raw_os_error() == Some(libc::ENOMSG) => Tried::Succeeded,
        result => call(result as libc::c_long),
    }
}

pub(crate) fn ask_queue(outside: &Outside) -> Tried {
    // SAFETY: all zeros are a value of this structure, which holds only numbers.
    let mut status: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours.
    call(unsafe { libc::msgctl(outside.queue, libc::IPC_STAT, &raw mut status) }.into())
}

fn setting(option: libc::c_int) -> libc::c_int {
    // SAFETY: the options that are asked for here take no arguments.
    unsafe { libc::prctl(option, 0, 0, 0, 0) }
}

pub(crate) fn dumpable(_: &Outside) -> Tried {
    if setting(libc::PR_GET_DUMPABLE) == 0 { Tried::Failed(0) } else { Tried::Succeeded }
}

pub(crate) fn set_dumpable(_: &Outside) -> Tried {
    // SAFETY: it takes numbers.
    call(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }.into())
}

pub(crate) fn outlive(_: &Outside) -> Tried {
    let mut signal: libc::c_int = 0;
    // SAFETY: it writes one number, which is ours.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
    if signal == libc::SIGKILL { Tried::Failed(0) } else { Tried::Succeeded }
}

pub(crate) fn take_back_signal(_: &Outside) -> Tried {
    // SAFETY: it takes numbers.
    call(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0) }.into())
}

pub(crate) fn new_privileges(_: &Outside) -> Tried {
    if setting(libc::PR_GET_NO_NEW_PRIVS) == 1 { Tried::Failed(0) } else { Tried::Succeeded }
}

pub(crate) fn unlisted(_: &Outside) -> Tried {
    let mut mask = 0_u32;
    // SAFETY: it takes numbers. No list has it, and it does nothing.
    mask |= unsafe { libc::umask(0o22) };
    if mask == u32::MAX { Tried::Failed(0) } else { Tried::Succeeded }
}

pub(crate) fn threads(_: &Outside) -> Tried {
    let threads: Vec<_> = (0..8).map(|number| std::thread::spawn(move || number * 2)).collect();
    let sum: i32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let _ = std::time::SystemTime::now();
    let vector = vec![1_u8; 1 << 20];
    if sum == 56 && vector.len() == 1 << 20 { Tried::Succeeded } else { Tried::Failed(0) }
}

pub(crate) fn pair(_: &Outside) -> Tried {
    tried(UnixStream::pair().and_then(|(mut one, _other)| one.write_all(b"hello")))
}

pub(crate) fn own_signal(_: &Outside) -> Tried {
    // SAFETY: ignoring a signal runs no code, and sending it to oneself takes a number.
    unsafe {
        libc::signal(libc::SIGUSR1, libc::SIG_IGN);
        call(libc::raise(libc::SIGUSR1).into())
    }
}

pub(crate) fn library(_: &Outside) -> Tried {
    // One that this program does not have open.
    let name = c"libm.so.6";
    // SAFETY: its constructors are those of the C library.
    let handle = unsafe {
        let open = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        assert!(open.is_null(), "it is open already, so that opening it shows nothing");
        libc::dlopen(name.as_ptr(), libc::RTLD_NOW)
    };
    let read = fs::File::open("/etc/ld.so.cache");
    if handle.is_null() { Tried::Failed(0) } else { tried(read) }
}

/// The tasks of a child in a group.
pub(crate) const FORK_BOMB: &str = "fork-bomb";
pub(crate) const TOUCH: &str = "touch";
pub(crate) const STAY: &str = "stay";

/// Does it once its input ends, and says what came of it.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn in_group(attempt: &str) {
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let tried = match attempt {
        FORK_BOMB => fork_until_denied(),
        TOUCH => {
            let mut bytes = vec![0_u8; 256 << 20];
            bytes.chunks_mut(4096).for_each(|page| page[0] = 1);
            if std::hint::black_box(&bytes)[0] == 1 { Tried::Succeeded } else { Tried::Failed(0) }
        }
        _ => {
            for _ in 0..2 {
                // SAFETY: this process has one thread; the children leave the group of the terminal
                // and wait for a signal.
                if unsafe { libc::fork() } == 0 {
                    // SAFETY: it takes nothing.
                    unsafe { libc::setsid() };
                    wait_for_a_signal();
                }
            }
            wait_for_a_signal()
        }
    };
    println!("{}", serde_json::to_string(&tried).unwrap());
}

fn wait_for_a_signal() -> ! {
    loop {
        // SAFETY: it takes nothing.
        unsafe { libc::pause() };
    }
}
