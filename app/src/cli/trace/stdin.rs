//! Standard input that a signal ends, because a capture otherwise goes on forever.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::ending::{Waking, is_asked, on_end};

/// The error of reading on after the end.
pub(super) const ENDED: &str = "a signal asked for the end";

/// Ctrl+C reaches the program in front of the pipe too. It has so long to hand over what it still
/// holds; then the end comes, whether or not it closes the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Bytes that are read at once, and how often that may be before anybody takes them.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;

/// Standard input, read on a thread of its own, since nothing ends a read that waits.
pub(super) struct EndingStdin {
    arrivals: Receiver<Arrival>,
    piece: Vec<u8>,
    /// Bytes of the piece that were taken.
    taken: usize,
    /// The end was read; nothing arrives after it.
    is_closed: bool,
    /// When the end comes, once it was asked for.
    deadline: Option<Instant>,
    _waking: Waking,
}

enum Arrival {
    Piece(Vec<u8>),
    Failed(io::Error),
    Closed,
    /// Nothing came, but it is to be seen that the end was asked for.
    Woken,
}

impl EndingStdin {
    pub(super) fn open() -> io::Result<EndingStdin> {
        let (sender, arrivals) = sync_channel(PIECES);
        let waker = sender.clone();
        thread::Builder::new()
            .name("glovebox-stdin".to_owned())
            .spawn(move || read_all(&sender))?;
        // If the queue is full, the end is seen before it is empty.
        let waking = on_end(move || drop(waker.try_send(Arrival::Woken)));
        let (piece, taken, is_closed, deadline) = (Vec::new(), 0, false, None);
        Ok(EndingStdin { arrivals, piece, taken, is_closed, deadline, _waking: waking })
    }

    fn arrival(&mut self) -> io::Result<Arrival> {
        let ended = || io::Error::other(ENDED);
        if !is_asked() {
            return self.arrivals.recv().map_err(|_| ended());
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + LAST_WORDS);
        match deadline.checked_duration_since(Instant::now()) {
            None => Err(ended()),
            Some(left) => self.arrivals.recv_timeout(left).map_err(|error| match error {
                RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected => ended(),
            }),
        }
    }
}

impl Read for EndingStdin {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() && !self.is_closed {
            match self.arrival()? {
                Arrival::Piece(piece) => (self.piece, self.taken) = (piece, 0),
                Arrival::Failed(error) => return Err(error),
                Arrival::Closed => self.is_closed = true,
                Arrival::Woken => {}
            }
        }
        let count = (&self.piece[self.taken..]).read(out)?;
        self.taken += count;
        Ok(count)
    }
}

/// Hands standard input on, to its end or until nobody takes it any more.
fn read_all(to: &SyncSender<Arrival>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut piece = vec![0; PIECE];
        let arrival = match stdin.read(&mut piece) {
            Ok(0) => Arrival::Closed,
            Ok(count) => {
                piece.truncate(count);
                Arrival::Piece(piece)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Arrival::Failed(error),
        };
        let is_last = !matches!(arrival, Arrival::Piece(_));
        if to.send(arrival).is_err() || is_last {
            return;
        }
    }
}
