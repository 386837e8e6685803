//! One side of the conversation: messages into one stream of bytes and out of the other.

use std::time::Instant;

use glovebox_abi::wire::{Bounds, Decoder, Encoder, Message, Request, Side, WireError};

use crate::ring::{BadPosition, FOR_BYTES, FOR_ROOM};
use crate::stream::Stream;

/// Bytes that are taken from a stream at once.
const PIECE: usize = 64 << 10;

/// Bytes that wait in the decoder at most, unless one message that is accepted has more.
const AHEAD: usize = 8 << 20;

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

/// Both streams of one side, with the codec.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    encoder: Encoder,
    decoder: Decoder,
    /// How many bytes wait in the decoder at most, unless one message that was begun has more.
    most_held: usize,
    bytes: Vec<u8>,
}

impl Link {
    /// The conversation of a side with `from`.
    pub(crate) fn new(stream: Stream, from: Side, bounds: Bounds) -> Link {
        Link {
            stream,
            // The other side says first which lengths it accepts; until then, no message is long.
            encoder: Encoder::new(64 << 10),
            decoder: Decoder::new(from, bounds),
            most_held: AHEAD.min(bounds.body as usize) + PIECE,
            bytes: Vec::new(),
        }
    }

    /// Notes the longest message that the other side accepts.
    pub(crate) fn set_longest(&mut self, longest: u32) {
        self.encoder.set_longest(longest);
    }

    /// Notes what the other side was asked for last.
    pub(crate) fn asks(&mut self, request: Request) {
        self.decoder.asks(request);
    }

    /// Notes the longest question that the other side accepts.
    pub(crate) fn set_longest_service(&mut self, longest: u32) {
        self.encoder.set_longest_service(longest);
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
        let mut sent = self.stream.write(&self.bytes)?;
        while sent < self.bytes.len() {
            let can_take = self.decoder.held() < self.room();
            let what = if can_take { FOR_ROOM | FOR_BYTES } else { FOR_ROOM };
            // A side that takes a word now and then has room again and again.
            if !self.stream.wait(what, until, interrupt)? || is_over(until) {
                return Err(Broken::Late);
            }
            self.take_in()?;
            sent += self.stream.write(&self.bytes[sent..])?;
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
                if is_over(until) {
                    return Err(Broken::Late);
                }
                continue;
            }
            if !self.stream.wait(FOR_BYTES, until, interrupt)? {
                return Err(Broken::Late);
            }
        }
    }

    /// The error of text that came in the place of a message, and is too little for one: why nothing came in
    /// time.
    pub(crate) fn stray_text(&self) -> Option<WireError> {
        self.decoder.stray_text()
    }

    /// How many bytes may wait in the decoder now.
    fn room(&self) -> usize {
        self.most_held.max(self.decoder.pending())
    }

    /// Copies what has come to the decoder, unless that holds enough.
    fn take_in(&mut self) -> Result<usize, Broken> {
        let available = self.stream.available()?;
        let length = available.min(PIECE).min(self.room().saturating_sub(self.decoder.held()));
        if length == 0 {
            return Ok(0);
        }
        let stream = &mut self.stream;
        Ok(self.decoder.push_with(length, |bytes| stream.read(bytes)))
    }

    /// Ends the stream to the other side, where it can be ended.
    pub(crate) fn close(&mut self) {
        self.stream.close();
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
