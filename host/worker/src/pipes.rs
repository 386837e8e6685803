//! The standard input and output of a program, on the side of the host. Neither read nor write waits.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Instant;

use crate::link::{Broken, Interrupt};
use crate::ring::{FOR_BYTES, FOR_ROOM};
use crate::stream::Bell;
use crate::system::{lower, never_wait, poll, readable_bytes};

/// Both pipes; nothing of one whose other end is closed.
#[derive(Debug)]
pub(crate) struct Pipes {
    to: Option<ChildStdin>,
    from: Option<ChildStdout>,
    bell: Arc<Bell>,
}

impl Pipes {
    pub(crate) fn new(
        to: ChildStdin,
        from: ChildStdout,
        bell: Arc<Bell>,
    ) -> std::io::Result<Pipes> {
        never_wait(to.as_fd())?;
        never_wait(from.as_fd())?;
        Ok(Pipes { to: Some(to), from: Some(from), bell })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(to) = &mut self.to else { return 0 };
        match to.write(bytes) {
            Ok(written) => written,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                0
            }
            Err(_) => {
                self.to = None;
                0
            }
        }
    }

    pub(crate) fn available(&mut self) -> usize {
        self.from.as_ref().map_or(0, |from| readable_bytes(from.as_fd()))
    }

    pub(crate) fn read(&mut self, out: &mut [u8]) -> usize {
        // Errors show when it is waited for.
        self.from.as_mut().and_then(|from| from.read(out).ok()).unwrap_or(0)
    }

    /// Closes the standard input of the program.
    pub(crate) fn close(&mut self) {
        self.to = None;
    }

    /// A program that closed its end without ending is waited for until the deadline.
    pub(crate) fn wait(
        &mut self,
        what: u64,
        until: Option<Instant>,
        interrupt: Interrupt<'_>,
    ) -> Result<bool, Broken> {
        loop {
            if what & FOR_BYTES != 0 && self.available() > 0 {
                return Ok(true);
            }
            interrupt().map_or(Ok(()), Err)?;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            let to = self.to.as_ref().filter(|_| what & FOR_ROOM != 0);
            let from = self.from.as_ref().filter(|_| what & FOR_BYTES != 0);
            let bell = match &*self.bell {
                Bell::Event(event) => Some(event),
                Bell::Memory(_) => None,
            };
            let mut polled = [
                entry(to.map(AsRawFd::as_raw_fd), libc::POLLOUT),
                entry(from.map(AsRawFd::as_raw_fd), libc::POLLIN),
                entry(bell.map(AsRawFd::as_raw_fd), libc::POLLIN),
            ];
            // It fails for want of memory alone, and is tried again until the deadline.
            let _ = poll(&mut polled, left);
            let [to, from, bell_rang] = polled.map(|entry| entry.revents);
            if let (true, Some(bell)) = (bell_rang != 0, bell) {
                lower(bell.as_fd());
            }
            if to & libc::POLLERR != 0 {
                self.to = None;
            } else if to != 0 {
                return Ok(true);
            }
            if from != 0 && self.available() == 0 {
                self.from = None;
            }
        }
    }
}

/// A negative number is not looked at.
fn entry(descriptor: Option<RawFd>, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd: descriptor.unwrap_or(-1), events, revents: 0 }
}
