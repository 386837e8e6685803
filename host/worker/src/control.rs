//! The control socket, on the side of the host: heartbeats and cancellations, which do not wait
//! behind frames.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use glovebox_abi::wire::{Bounds, Decoder, Encoder, Message, Side, WireError};

/// Messages on it are short.
pub(crate) const BOUNDS: Bounds = Bounds::of(1024, 0);

/// Heartbeats that may be unanswered before a worker counts as stopped.
const MISSED: u32 = 3;

#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixStream,
    encoder: Encoder,
    decoder: Decoder,
    interval: Duration,
    /// The number of the last heartbeat.
    number: u64,
    /// When the last one was sent, and whether it was answered.
    sent: Instant,
    is_answered: bool,
    /// True once the other end is closed, which it is shortly before a worker ends, or by one that
    /// then answers no heartbeat.
    is_closed: bool,
}

/// The result of a look at the heartbeats.
#[derive(Debug)]
pub(crate) enum Pulse {
    /// All is well; look again after this time.
    Good(Duration),
    /// It has been silent for so long.
    Silent(Duration),
}

impl Control {
    pub(crate) fn new(socket: UnixStream, interval: Duration) -> io::Result<Control> {
        socket.set_nonblocking(true)?;
        Ok(Control {
            socket,
            encoder: Encoder::new(BOUNDS.body),
            decoder: Decoder::new(Side::Plugin, BOUNDS),
            interval,
            number: 0,
            sent: Instant::now(),
            is_answered: true,
            is_closed: false,
        })
    }

    /// The descriptor to poll; nothing once it would always be ready.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        (!self.is_closed).then(|| self.socket.as_raw_fd())
    }

    /// Sends a heartbeat if it is time, and says how the last one went.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub(crate) fn beat(&mut self, now: Instant) -> Result<Pulse, WireError> {
        let silent = now.saturating_duration_since(self.sent);
        let most = self.interval.saturating_mul(MISSED);
        if !self.is_answered && silent >= most {
            // This thread may not have run for so long, and the answer lie there.
            self.read()?;
            if !self.is_answered {
                return Ok(Pulse::Silent(silent));
            }
        }
        if !self.is_answered {
            return Ok(Pulse::Good(most - silent));
        }
        if silent < self.interval {
            return Ok(Pulse::Good(self.interval - silent));
        }
        self.number += 1;
        (self.sent, self.is_answered) = (now, false);
        self.send(&Message::Heartbeat { number: self.number });
        Ok(Pulse::Good(most))
    }

    pub(crate) fn cancel(&mut self, call: u64) {
        self.send(&Message::Cancel { call });
    }

    /// Sends a message that the worker has room for, unless it has not read for long. That shows in
    /// heartbeats that stay unanswered; a message that was half sent breaks the stream, which ends
    /// the worker.
    fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        if self.encoder.encode(message, &mut bytes).is_ok() {
            let _ = self.socket.write_all(&bytes);
        }
    }

    /// Reads a piece of what has come; the rest is found at the next look.
    pub(crate) fn read(&mut self) -> Result<(), WireError> {
        let mut buffer = [0; 1024];
        let length = match self.socket.read(&mut buffer) {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Ok(_) | Err(_) => {
                self.is_closed = true;
                return Ok(());
            }
        };
        self.decoder.push(&buffer[..length]);
        while let Some(message) = self.decoder.next_message()? {
            match message {
                Message::Heartbeat { number } if number == self.number && !self.is_answered => {
                    self.is_answered = true;
                }
                other => {
                    return Err(WireError::Unexpected {
                        call: other.call().unwrap_or(0),
                        message: other.name(),
                        during: "is not what the control socket is for",
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that came in time counts, however late it is looked at.
    #[test]
    fn answers_are_read_before_silence_is_judged() {
        fn check(is_answered: bool, expected: &str) {
            let second = Duration::from_secs(1);
            let (host, mut worker) = UnixStream::pair().unwrap();
            let mut control = Control::new(host, second).unwrap();
            let sent = control.sent + second;
            assert!(matches!(control.beat(sent), Ok(Pulse::Good(_))));
            if is_answered {
                let mut bytes = Vec::new();
                let beat = Message::Heartbeat { number: 1 };
                Encoder::new(BOUNDS.body).encode(&beat, &mut bytes).unwrap();
                worker.write_all(&bytes).unwrap();
            }
            assert_eq!(format!("{:?}", control.beat(sent + 100 * second)), expected);
        }
        check(true, "Ok(Good(3s))");
        check(false, "Ok(Silent(100s))");
    }
}
