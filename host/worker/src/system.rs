//! Calls of the system that the standard library does not have.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub(crate) use glovebox_sandbox::check;

/// Takes a descriptor that a call has just made.
fn made(descriptor: i32) -> OwnedFd {
    // SAFETY: the caller has it from a call that makes one, and gives it to nobody else.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A handle of a process that is not waited for yet: unlike its number, it never means another one.
pub(crate) fn open_process(process: u32) -> io::Result<OwnedFd> {
    // SAFETY: it takes numbers.
    let descriptor = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) })?;
    Ok(made(descriptor as i32))
}

/// Sends a signal to the process of a handle.
pub(crate) fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: it takes numbers, and no further words about the signal.
    let sent =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, none, 0) };
    check(sent).map(drop)
}

/// Something to poll that others can make ready.
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: it takes numbers.
    check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(made)
}

/// Makes an event ready.
pub(crate) fn raise(event: BorrowedFd<'_>) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the eight bytes are ours. It fails only if the event is ready already.
    unsafe { libc::write(event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Makes an event not ready any more.
pub(crate) fn lower(event: BorrowedFd<'_>) {
    let mut count = [0_u8; 8];
    // SAFETY: the eight bytes are ours. It fails only if the event was not ready.
    unsafe { libc::read(event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

/// Bytes that can be read from a pipe; 0 at its end.
pub(crate) fn readable_bytes(pipe: BorrowedFd<'_>) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one number, which is ours.
    let asked = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if asked == -1 { 0 } else { usize::try_from(bytes).unwrap_or(0) }
}

/// Lets this process be killed when the one that started it ends.
pub(crate) fn set_parent_death() -> io::Result<()> {
    let (signal, none) = (libc::SIGKILL as libc::c_ulong, 0 as libc::c_ulong);
    // SAFETY: it takes numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, none, none, none) }).map(drop)
}

/// Lets no program that takes the place of this one inherit more than the three standard streams.
pub(crate) fn close_on_exec() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
    // SAFETY: it takes numbers.
    let closed = unsafe {
        libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, flags)
    };
    check(closed).map(drop)
}

/// Anonymous memory that can be handed to another process.
pub(crate) fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name ends in zero.
    let descriptor = unsafe {
        libc::memfd_create(c"glovebox-ring".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    };
    check(descriptor).map(made)
}

/// Makes the size of a memory file final, for everybody.
pub(crate) fn seal_size(file: BorrowedFd<'_>) -> io::Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: it takes numbers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

/// Lets reads and writes of a descriptor fail instead of waiting.
pub(crate) fn never_wait(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: these operations take numbers.
    unsafe {
        let flags = check(libc::fcntl(file.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)).map(drop)
    }
}

/// Waits until one of these can be read or has ended, or the time is over.
pub(crate) fn poll(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map_or(-1, |timeout| {
        // Rounded up: half a millisecond would be none, again and again.
        i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the list is ours, and as long as said.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout) };
    match check(ready) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result.map(drop),
    }
}

/// Sleeps until somebody rings, unless the bell has rung since `seen` was read from it.
pub(crate) fn sleep_on(bell: &AtomicU64, seen: u64, timeout: Duration) {
    let time = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: the word and the time live through the call. Its results are all the same here: the
    // caller looks again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            low_half(bell),
            libc::FUTEX_WAIT,
            seen as u32,
            &raw const time,
        );
    }
}

/// Wakes all who sleep on a bell, in any process.
pub(crate) fn wake(bell: &AtomicU64) {
    // SAFETY: the word lives through the call, which does not write to it.
    unsafe { libc::syscall(libc::SYS_futex, low_half(bell), libc::FUTEX_WAKE, i32::MAX) };
}

/// The half of a word that counts first, which is what the kernel compares.
fn low_half(word: &AtomicU64) -> *const u32 {
    let first = word.as_ptr().cast::<u32>().cast_const();
    if cfg!(target_endian = "big") { first.wrapping_add(1) } else { first }
}
