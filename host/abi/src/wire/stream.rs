use super::body::Fields;
use super::{Message, Request, Side, WireError};
use crate::MAX_FRAME_LEN;

/// The version of this format, stored in every message.
pub const FORMAT_VERSION: u16 = 1;

/// Bytes before the body: length, tag, reserved, version, number.
pub const PREFIX_LEN: usize = 16;

/// Messages start at multiples of this.
const ALIGNMENT: usize = 8;

/// How much a receiver takes from one message.
///
/// Of what a plugin sends, each kind of message has a bound of its own: a state may be long, and comes when
/// one is asked for; a few words may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest body, in bytes.
    pub body: u32,
    /// The longest body of a [`Message::Reply`].
    pub reply: u32,
    /// The longest body of a [`Message::Service`].
    pub service: u32,
    /// The most items of a list.
    pub items: u32,
}

impl Bounds {
    /// The longest body of a message of words or of what was printed.
    pub const WORDS: u32 = 1 << 20;

    /// The same bound for each kind of message.
    pub const fn of(body: u32, items: u32) -> Bounds {
        Bounds { body, reply: body, service: body, items }
    }

    /// The longest body of a message that a side sends while it was asked for that.
    pub(super) fn longest(&self, tag: u8, from: Side, asked: Option<Request>) -> u32 {
        let longest = match (from, tag) {
            // A host says what it was told to.
            (Side::Host, _) => self.body,
            (Side::Plugin, Message::REPLY) => self.reply,
            (Side::Plugin, Message::SERVICE) => self.service,
            (Side::Plugin, Message::STATE) if asked == Some(Request::SaveState) => self.body,
            (Side::Plugin, _) => Self::WORDS,
        };
        longest.min(self.body)
    }
}

impl Default for Bounds {
    /// One frame of the largest size and what stands around it; 65,536 items.
    fn default() -> Self {
        Bounds::of((MAX_FRAME_LEN + (64 << 10)) as u32, 1 << 16)
    }
}

/// Turns messages into the bytes of one stream, and numbers them.
#[derive(Debug)]
pub struct Encoder {
    next: u64,
    longest: u32,
    longest_service: u32,
}

impl Encoder {
    /// The start of a stream whose receiver accepts bodies up to `longest` bytes.
    pub fn new(longest: u32) -> Encoder {
        Encoder { next: 0, longest, longest_service: u32::MAX }
    }

    /// Changes the longest body that the receiver accepts, once it has said so.
    pub fn set_longest(&mut self, longest: u32) {
        self.longest = longest;
    }

    /// Changes the longest body of a [`Message::Service`] that the receiver accepts, if it said so.
    pub fn set_longest_service(&mut self, longest: u32) {
        self.longest_service = longest;
    }

    /// Appends a message to `out`.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`] if the receiver would not accept it. `out` is unchanged then, and the
    /// stream can go on.
    pub fn encode(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<(), WireError> {
        let too_long = |length: usize, limit: u64| {
            Err(WireError::TooLong { message: message.name(), length: length as u64, limit })
        };
        let longest = match message {
            Message::Service { .. } => self.longest.min(self.longest_service),
            _ => self.longest,
        };
        // No receiver accepts such a frame, whatever it says.
        let frame = message.longest_frame();
        if frame > MAX_FRAME_LEN {
            return too_long(frame, MAX_FRAME_LEN as u64);
        }
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX_LEN]);
        message.put(out);
        let length = out.len() - start - PREFIX_LEN;
        let length = match u32::try_from(length) {
            Ok(length) if length <= longest => length,
            _ => {
                out.truncate(start);
                return too_long(length, longest.into());
            }
        };
        let prefix = &mut out[start..start + PREFIX_LEN];
        prefix[0..4].copy_from_slice(&length.to_le_bytes());
        prefix[4] = message.tag();
        prefix[6..8].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        prefix[8..16].copy_from_slice(&self.next.to_le_bytes());
        out.resize(start + whole(length), 0);
        self.next += 1;
        Ok(())
    }
}

/// Bytes of a message with its prefix and the zeros that follow it.
fn whole(body: u32) -> usize {
    (PREFIX_LEN + body as usize).next_multiple_of(ALIGNMENT)
}

/// Turns the bytes of a stream into messages, and believes none of them.
///
/// Bytes are [pushed](Self::push) as they come, in pieces of any size, and messages are
/// [taken](Self::next_message). It holds what was pushed and not yet taken, and allocates for
/// nothing that is only claimed. After an error it stays with that error.
#[derive(Debug)]
pub struct Decoder {
    from: Side,
    bounds: Bounds,
    asked: Option<Request>,
    next: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were taken.
    taken: usize,
    broken: Option<WireError>,
}

/// The first bytes of a message, checked.
struct Prefix {
    length: u32,
    tag: u8,
}

impl Decoder {
    /// The start of a stream that `from` sends.
    pub fn new(from: Side, bounds: Bounds) -> Decoder {
        Decoder { from, bounds, asked: None, next: 0, buffer: Vec::new(), taken: 0, broken: None }
    }

    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room();
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds up to `length` bytes that `read` puts into a slice, of which it says how many it did;
    /// they are copied once.
    pub fn push_with(&mut self, length: usize, read: impl FnOnce(&mut [u8]) -> usize) -> usize {
        self.make_room();
        let old = self.buffer.len();
        self.buffer.resize(old + length, 0);
        let read = read(&mut self.buffer[old..]).min(length);
        self.buffer.truncate(old + read);
        read
    }

    /// Forgets what was taken, if that costs little.
    fn make_room(&mut self) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
            // A long message is rare; its memory is not kept.
            self.buffer.shrink_to(256 << 10);
        } else if self.taken > self.buffer.len() / 2 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Notes what the other side was asked for last.
    pub fn asks(&mut self, request: Request) {
        self.asked = Some(request);
    }

    /// Bytes of the message that was begun, with what stands around it; 0 if it will be refused, or if too
    /// little is there to tell.
    pub fn pending(&self) -> usize {
        let prefix = self.buffer[self.taken..].first_chunk::<PREFIX_LEN>();
        let prefix = prefix.and_then(|prefix| self.check(*prefix).ok());
        prefix.filter(|_| self.broken.is_none()).map_or(0, |prefix| whole(prefix.length))
    }

    /// Bytes that were pushed and not yet taken.
    pub fn held(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Takes the next message, if all of it was pushed.
    ///
    /// # Errors
    ///
    /// If the stream breaks the rules; a message that is too long is refused by its first bytes.
    pub fn next_message(&mut self) -> Result<Option<Message>, WireError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let taken = self.take();
        if let Err(error) = &taken {
            self.broken = Some(error.clone());
            self.buffer = Vec::new();
            self.taken = 0;
        }
        taken
    }

    fn take(&mut self) -> Result<Option<Message>, WireError> {
        let Some(prefix) = self.buffer[self.taken..].first_chunk::<PREFIX_LEN>() else {
            return Ok(None);
        };
        let prefix = self.check(*prefix).map_err(|error| self.stray_text().unwrap_or(error))?;
        let (body, whole) = (PREFIX_LEN + prefix.length as usize, whole(prefix.length));
        let Some(bytes) = self.buffer.get(self.taken..self.taken + whole) else {
            return Ok(None);
        };
        if bytes[body..].iter().any(|byte| *byte != 0) {
            return Err(WireError::Padding);
        }
        let body = &bytes[PREFIX_LEN..body];
        let message =
            Fields::read_all(body, self.bounds.items, |fields| Message::take(prefix.tag, fields))?;
        self.taken += whole;
        self.next += 1;
        Ok(Some(message))
    }

    /// The error of text where the next message should begin, if what was pushed begins with some, and with no
    /// message.
    pub fn stray_text(&self) -> Option<WireError> {
        /// As much of it as tells where it comes from.
        const SHOWN: usize = 64;
        /// Fewer letters are text if a line ends there.
        const LETTERS: usize = 8;
        let held = &self.buffer[self.taken..];
        if self.may_be_message(held) {
            return None;
        }
        let held = held[..held.len().min(SHOWN)].utf8_chunks().next()?.valid();
        let acts = |letter: char| letter.is_control() && !matches!(letter, '\t' | '\r' | '\n');
        let text = &held[..held.find(acts).unwrap_or(held.len())];
        let line = text.lines().next().unwrap_or_default();
        let ends_a_line = line.len() > 1 && line.len() < text.len();
        (text.len() >= LETTERS || ends_a_line).then(|| WireError::Text { text: line.to_owned() })
    }

    /// True if a message may begin so: the three low bytes of its length may look like a line of text. Fewer
    /// bytes than a length say nothing.
    fn may_be_message(&self, held: &[u8]) -> bool {
        if let Some(prefix) = held.first_chunk::<PREFIX_LEN>() {
            return self.check(*prefix).is_ok();
        }
        let length = held.first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
        let is_reserved = held.get(5).is_none_or(|reserved| *reserved == 0);
        length.is_some_and(|length| length <= self.bounds.body) && is_reserved
    }

    fn check(&self, prefix: [u8; PREFIX_LEN]) -> Result<Prefix, WireError> {
        let [l0, l1, l2, l3, tag, reserved, v0, v1, number @ ..] = prefix;
        let version = u16::from_le_bytes([v0, v1]);
        if version != FORMAT_VERSION || reserved != 0 {
            return Err(WireError::Version { found: version, reserved });
        }
        Message::check_tag(tag, self.from)?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let longest = self.bounds.longest(tag, self.from, self.asked);
        if length > longest {
            let message = Message::name_of(tag).unwrap_or_default();
            let (length, limit) = (length.into(), longest.into());
            return Err(WireError::TooLong { message, length, limit });
        }
        let found = u64::from_le_bytes(number);
        if found != self.next {
            return Err(WireError::Sequence { expected: self.next, found });
        }
        Ok(Prefix { length, tag })
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    ///
    /// The error that it broke with, or [`WireError::Cut`] if it ends within a message.
    pub fn finish(&self) -> Result<(), WireError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let held = &self.buffer[self.taken..];
        let needed = match held.first_chunk::<PREFIX_LEN>() {
            _ if held.is_empty() => return Ok(()),
            Some([l0, l1, l2, l3, ..]) => whole(u32::from_le_bytes([*l0, *l1, *l2, *l3])),
            None => PREFIX_LEN,
        };
        // A whole message that was not taken yet is no end either.
        Err(WireError::Cut { needed: needed as u64, found: held.len() as u64 })
    }
}
