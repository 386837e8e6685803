use std::error::Error;
use std::fmt;

use super::Side;
use crate::{FrameError, ProtocolVersion};

/// How a conversation broke its rules. Nothing that follows in the stream is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// A message is longer than the receiver accepts one of its kind.
    TooLong {
        /// The name of the message.
        message: &'static str,
        /// Bytes that the body has, by its own word.
        length: u64,
        /// The longest body that is accepted, in bytes.
        limit: u64,
    },
    /// A list has more items than the receiver accepts, or than there are bytes for.
    TooMany {
        /// Items that the list has, by its own word.
        count: u64,
        /// The most that there can be.
        limit: u64,
    },
    /// The message is of another version of the format, or none at all.
    Version {
        /// The version that stands in the bytes.
        found: u16,
        /// The reserved byte, 0 in a message.
        reserved: u8,
    },
    /// Text stands where a message should begin: something printed into the stream.
    Text {
        /// The beginning of the text.
        text: String,
    },
    /// The other side speaks a version of the contract that this one does not.
    Contract {
        /// The version that it says.
        found: ProtocolVersion,
    },
    /// No message has this tag.
    Tag {
        /// The tag.
        found: u8,
    },
    /// The message is one that only the other side sends.
    Direction {
        /// The side that sent it.
        from: Side,
        /// The name of the message.
        message: &'static str,
    },
    /// A message is missing, doubled or out of order.
    Sequence {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A field reaches beyond the end of its message, or the stream ends within one.
    Cut {
        /// Bytes needed.
        needed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Something follows the last field of a message.
    Trailing {
        /// How many bytes follow.
        bytes: u64,
    },
    /// The bytes between two messages are not zeros.
    Padding,
    /// A text is not UTF-8.
    NotText,
    /// A field has a value that means nothing.
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        found: u64,
    },
    /// A frame in a message is not well-formed.
    Frame(FrameError),
    /// An answer or a question to a call that is not open: never made, or answered already.
    UnknownCall {
        /// The call that was named.
        call: u64,
        /// The call that is open, if one is.
        open: Option<u64>,
    },
    /// A message that does not fit the state of its call.
    Unexpected {
        /// The call.
        call: u64,
        /// The name of the message that came.
        message: &'static str,
        /// Where the call stands.
        during: &'static str,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::TooLong { message, length, limit } => {
                write!(formatter, "message `{message}` of {length} bytes, accepted are {limit}")
            }
            WireError::TooMany { count, limit } => {
                write!(formatter, "list of {count} items, at most {limit} are possible")
            }
            WireError::Version { found, reserved } => write!(
                formatter,
                "message of format version {found} (reserved byte {reserved}), expected version {}",
                super::FORMAT_VERSION
            ),
            WireError::Text { text } => write!(
                formatter,
                "text stands where a message should begin: {text:?}; standard output is for messages \
                 alone, so print to standard error"
            ),
            WireError::Contract { found } => write!(
                formatter,
                "its `hello` says version {found} of the contract, and this side has {}; answer `hello` \
                 with the number {}, or run it in a Glovebox that has {found}",
                ProtocolVersion::CURRENT,
                ProtocolVersion::CURRENT.to_u32()
            ),
            WireError::Tag { found } => write!(formatter, "no message has the tag {found:#04x}"),
            WireError::Direction { from, message } => {
                write!(formatter, "the {from} sent `{message}`, which is not for it to send")
            }
            WireError::Sequence { expected, found } => {
                write!(formatter, "message number {found} came, number {expected} was next")
            }
            WireError::Cut { needed, found } => {
                write!(formatter, "message is cut short: {needed} bytes needed, {found} found")
            }
            WireError::Trailing { bytes } => {
                write!(formatter, "{bytes} bytes follow the last field of a message")
            }
            WireError::Padding => formatter.write_str("the bytes after a message are not zeros"),
            WireError::NotText => formatter.write_str("a text is not UTF-8"),
            WireError::Value { field, found } => {
                write!(formatter, "the field `{field}` is {found}, which means nothing")
            }
            WireError::Frame(error) => write!(formatter, "{error}"),
            WireError::UnknownCall { call, open: Some(open) } => {
                write!(formatter, "call {call} was named, but call {open} is the open one")
            }
            WireError::UnknownCall { call, open: None } => {
                write!(formatter, "call {call} was named, but no call is open")
            }
            WireError::Unexpected { call, message, during } => {
                write!(formatter, "`{message}` for call {call}, which {during}")
            }
        }
    }
}

impl Error for WireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            WireError::Frame(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FrameError> for WireError {
    fn from(error: FrameError) -> WireError {
        WireError::Frame(error)
    }
}
