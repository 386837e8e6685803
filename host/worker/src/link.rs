//! One side of the conversation: messages into one ring and out of the other.

use std::sync::Arc;
use std::time::Instant;

use glovebox_abi::wire::{Bounds, Decoder, Encoder, Message, Side as Speaker, WireError};

use crate::ring::{
    BadPosition, Consumer, FOR_BYTES, FOR_ROOM, Producer, SharedMemory, Side, Waiter,
};

/// Bytes that are copied out of a ring at once.
const PIECE: usize = 64 << 10;

/// Why a conversation cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The other side broke its rules.
    Wire(WireError),
    /// The other side wrote a position that cannot be.
    Position(BadPosition),
    /// The time was over.
    Late,
    /// The other side has ended.
    Gone,
    /// Somebody asked to stop.
    Cancelled,
}

impl From<WireError> for Broken {
    fn from(error: WireError) -> Broken {
        Broken::Wire(error)
    }
}

impl From<BadPosition> for Broken {
    fn from(error: BadPosition) -> Broken {
        Broken::Position(error)
    }
}

/// Why waiting should end early, if it should.
pub(crate) type Interrupt<'a> = &'a dyn Fn() -> Option<Broken>;

/// Both rings of one side, with the codec.
#[derive(Debug)]
pub(crate) struct Link {
    producer: Producer,
    consumer: Consumer,
    waiter: Waiter,
    encoder: Encoder,
    decoder: Decoder,
    /// How many bytes wait in the decoder at most: one message of the longest and one piece.
    most_held: usize,
    bytes: Vec<u8>,
}

impl Link {
    pub(crate) fn new(memory: &Arc<SharedMemory>, side: Side, bounds: Bounds) -> Link {
        let from = match side {
            Side::Host => Speaker::Plugin,
            Side::Worker => Speaker::Host,
        };
        Link {
            producer: Producer::new(memory.clone(), side),
            consumer: Consumer::new(memory.clone(), side),
            waiter: Waiter::new(memory.clone(), side),
            // The other side says first which lengths it accepts; until then, no message is long.
            encoder: Encoder::new(64 << 10),
            decoder: Decoder::new(from, bounds),
            most_held: bounds.body as usize + PIECE,
            bytes: Vec::new(),
        }
    }

    /// Notes the longest message that the other side accepts.
    pub(crate) fn set_longest(&mut self, longest: u32) {
        self.encoder.set_longest(longest);
    }

    /// True if so many messages wait to be received that there may be no room for those that come
    /// while another is sent: both sides would wait for each other then.
    pub(crate) fn is_full(&self) -> bool {
        self.decoder.held() > self.most_held / 2
    }

    /// Sends a message. While there is no room for it, what comes is taken in, so that two sides
    /// that both write do not wait for each other.
    ///
    /// A [`WireError`] means that nothing was sent: the message is too long, and the conversation
    /// can go on.
    pub(crate) fn send(
        &mut self,
        message: &Message,
        until: Option<Instant>,
        interrupt: Interrupt<'_>,
    ) -> Result<(), Broken> {
        self.bytes.clear();
        self.encoder.encode(message, &mut self.bytes)?;
        let mut sent = self.producer.write(&self.bytes)?;
        while sent < self.bytes.len() {
            let can_take = self.decoder.held() < self.most_held;
            let what = if can_take { FOR_ROOM | FOR_BYTES } else { FOR_ROOM };
            let (producer, consumer) = (&mut self.producer, &mut self.consumer);
            let ready = self.waiter.wait(what, until, || {
                interrupt().map_or(Ok(()), Err)?;
                Ok::<_, Broken>(producer.room()? > 0 || can_take && consumer.available()? > 0)
            })?;
            if !ready {
                return Err(Broken::Late);
            }
            self.take_in()?;
            sent += self.producer.write(&self.bytes[sent..])?;
        }
        // A long message is rare; its memory is not kept.
        if self.bytes.capacity() > 4 * PIECE {
            self.bytes = Vec::new();
        }
        Ok(())
    }

    /// The next message.
    pub(crate) fn receive(
        &mut self,
        until: Option<Instant>,
        interrupt: Interrupt<'_>,
    ) -> Result<Message, Broken> {
        loop {
            if let Some(message) = self.decoder.next_message()? {
                return Ok(message);
            }
            if self.take_in()? > 0 {
                if let Some(message) = self.decoder.next_message()? {
                    return Ok(message);
                }
                // A side that sends a word now and then is ready again and again.
                if until.is_some_and(|until| Instant::now() >= until) {
                    return Err(Broken::Late);
                }
                continue;
            }
            let consumer = &mut self.consumer;
            let ready = self.waiter.wait(FOR_BYTES, until, || {
                // Bytes from before the end count.
                if consumer.available()? > 0 {
                    return Ok(true);
                }
                interrupt().map_or(Ok(false), Err)
            })?;
            if !ready {
                return Err(Broken::Late);
            }
        }
    }

    /// Copies what has come to the decoder, unless that holds enough.
    fn take_in(&mut self) -> Result<usize, BadPosition> {
        let available = self.consumer.available()?;
        let length = available.min(PIECE).min(self.most_held.saturating_sub(self.decoder.held()));
        // Whole words only.
        let length = length - length % 8;
        if length == 0 {
            return Ok(0);
        }
        let consumer = &mut self.consumer;
        Ok(self.decoder.push_with(length, |bytes| consumer.read(bytes)))
    }
}
