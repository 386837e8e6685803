//! The two ways on which bytes go between a host and a worker: shared memory, and a pair of pipes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use glovebox_abi::wire::Side;

use crate::link::{Broken, Interrupt};
use crate::pipes::Pipes;
use crate::ring::{Consumer, FOR_BYTES, FOR_ROOM, Producer, SharedMemory, Waiter};
use crate::system::raise;

/// The bytes of one side: those that go to the other, and those that come.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Through memory, with a copy of this program.
    Ring(Ring),
    /// Through its standard input and output, with any program.
    Pipes(Pipes),
}

/// Both rings of one side.
#[derive(Debug)]
pub(crate) struct Ring {
    producer: Producer,
    consumer: Consumer,
    waiter: Waiter,
}

impl Ring {
    pub(crate) fn new(memory: &Arc<SharedMemory>, side: Side) -> Ring {
        Ring {
            producer: Producer::new(memory.clone(), side),
            consumer: Consumer::new(memory.clone(), side),
            waiter: Waiter::new(memory.clone(), side),
        }
    }
}

impl Stream {
    /// Writes as many bytes as there is room for, and says how many.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        match self {
            Stream::Ring(ring) => Ok(ring.producer.write(bytes)?),
            Stream::Pipes(pipes) => Ok(pipes.write(bytes)),
        }
    }

    /// Bytes that can be read now, in portions that the other side writes whole.
    pub(crate) fn available(&mut self) -> Result<usize, Broken> {
        match self {
            Stream::Ring(ring) => Ok(ring.consumer.available()?),
            Stream::Pipes(pipes) => Ok(pipes.available()),
        }
    }

    /// Reads as many bytes as are available and fit, and says how many.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> usize {
        match self {
            Stream::Ring(ring) => ring.consumer.read(out),
            Stream::Pipes(pipes) => pipes.read(out),
        }
    }

    /// Waits for room or for bytes, as asked; false at the deadline. Bytes from before the end of the
    /// other side count.
    pub(crate) fn wait(
        &mut self,
        what: u64,
        until: Option<Instant>,
        interrupt: Interrupt<'_>,
    ) -> Result<bool, Broken> {
        match self {
            Stream::Ring(Ring { producer, consumer, waiter }) => waiter.wait(what, until, || {
                if what & FOR_BYTES != 0 && consumer.available()? > 0 {
                    return Ok(true);
                }
                interrupt().map_or(Ok(()), Err)?;
                Ok(what & FOR_ROOM != 0 && producer.room()? > 0)
            }),
            Stream::Pipes(pipes) => pipes.wait(what, until, interrupt),
        }
    }

    /// Lets the other side see the end of what is said to it, where it can.
    pub(crate) fn close(&mut self) {
        match self {
            Stream::Ring(_) => {}
            Stream::Pipes(pipes) => pipes.close(),
        }
    }
}

/// Wakes the thread of the host that waits on a stream.
#[derive(Debug)]
pub(crate) enum Bell {
    Memory(Arc<SharedMemory>),
    Event(OwnedFd),
}

impl Bell {
    pub(crate) fn ring(&self) {
        match self {
            Bell::Memory(memory) => memory.ring_bell(Side::Host),
            Bell::Event(event) => raise(event.as_fd()),
        }
    }
}
