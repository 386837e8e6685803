use std::error::Error;
use std::fmt;

use bytes::{BufMut, Bytes};

use crate::cbor::{self, CborError};
use crate::{Header, Kind};

/// Bytes before the header on the wire: kind, reserved, wire version, two lengths.
pub const FRAME_PREFIX_LEN: usize = 12;

/// The version of the frame encoding, stored in every encoded frame.
pub const WIRE_VERSION: u16 = 1;

/// The largest encoded frame any binding carries: 64 MiB.
///
/// A limit of the format, so that a damaged length never makes a reader allocate without bound.
/// The limits of a plugin are usually far lower.
pub const MAX_FRAME_LEN: usize = 64 << 20;

/// One message: a kind, a header (a CBOR map) and a payload (any bytes).
///
/// Cloning is cheap: header and payload are shared.
///
/// # Encoding
///
/// Little-endian, without padding:
///
/// | offset | size | meaning |
/// |---|---|---|
/// | 0 | 1 | kind |
/// | 1 | 1 | reserved, 0 |
/// | 2 | 2 | wire version, 1 |
/// | 4 | 4 | header length `h` in bytes |
/// | 8 | 4 | payload length `p` in bytes |
/// | 12 | h | header: one CBOR map (RFC 8949), or nothing at all for an empty one |
/// | 12 + h | p | payload |
///
/// An encoded frame tells its own length, so several can follow each other without a separator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The kind of the message.
    pub kind: Kind,
    /// Facts about the message.
    pub header: Header,
    /// The message itself.
    pub payload: Bytes,
}

impl Frame {
    /// A frame of the three parts.
    pub fn new(kind: Kind, header: Header, payload: impl Into<Bytes>) -> Frame {
        Frame { kind, header, payload: payload.into() }
    }

    /// A data frame with an empty header.
    pub fn data(payload: impl Into<Bytes>) -> Frame {
        Frame::new(Kind::DATA, Header::empty(), payload)
    }

    /// Bytes of header and payload together.
    #[inline]
    pub fn size(&self) -> usize {
        self.header.as_bytes().len() + self.payload.len()
    }

    /// The size of the encoded frame in bytes.
    pub fn encoded_len(&self) -> usize {
        FRAME_PREFIX_LEN + self.header.as_bytes().len() + self.payload.len()
    }

    /// Appends the encoded frame to `out`. One of more than [`MAX_FRAME_LEN`] bytes is written all the
    /// same, and nobody reads it: [`decode`](Self::decode) refuses it. See
    /// [`encoded_len`](Self::encoded_len).
    ///
    /// # Panics
    ///
    /// If header or payload are 4 GiB or larger, which [`MAX_FRAME_LEN`] rules out long before.
    pub fn encode_into(&self, out: &mut impl BufMut) {
        out.put_slice(&Self::prefix(self.kind, self.header.as_bytes().len(), self.payload.len()));
        out.put_slice(self.header.as_bytes());
        out.put_slice(&self.payload);
    }

    /// The first [`FRAME_PREFIX_LEN`] bytes of a frame with parts of these lengths.
    ///
    /// # Panics
    ///
    /// If a length does not fit in 32 bits.
    pub fn prefix(kind: Kind, header_len: usize, payload_len: usize) -> [u8; FRAME_PREFIX_LEN] {
        let header = u32::try_from(header_len).expect("a header is smaller than 4 GiB");
        let payload = u32::try_from(payload_len).expect("a payload is smaller than 4 GiB");
        let mut prefix = [0; FRAME_PREFIX_LEN];
        prefix[0] = kind.0;
        prefix[2..4].copy_from_slice(&WIRE_VERSION.to_le_bytes());
        prefix[4..8].copy_from_slice(&header.to_le_bytes());
        prefix[8..12].copy_from_slice(&payload.to_le_bytes());
        prefix
    }

    /// The encoded frame, as [`encode_into`](Self::encode_into) writes it.
    ///
    /// # Panics
    ///
    /// As that does.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode_into(&mut out);
        out.into()
    }

    /// Reads exactly one frame; the result shares the memory of `bytes`.
    ///
    /// # Errors
    ///
    /// If the bytes are not one well-formed frame, or something follows it.
    pub fn decode(bytes: &Bytes) -> Result<Frame, FrameError> {
        let mut rest = bytes.clone();
        let frame = Frame::decode_next(&mut rest)?;
        if rest.is_empty() { Ok(frame) } else { Err(FrameError::Trailing { bytes: rest.len() }) }
    }

    /// Takes one frame from the front of `bytes`, for frames that follow each other.
    ///
    /// # Errors
    ///
    /// If no well-formed frame stands there; `bytes` is unchanged then.
    pub fn decode_next(bytes: &mut Bytes) -> Result<Frame, FrameError> {
        let layout = Layout::read(bytes)?;
        let header = Header::from_cbor(bytes.slice(FRAME_PREFIX_LEN..layout.header_end))?;
        let payload = bytes.slice(layout.header_end..layout.end);
        bytes::Buf::advance(bytes, layout.end);
        Ok(Frame { kind: layout.kind, header, payload })
    }
}

/// A well-formed frame in memory that is not ours to share, such as a plugin's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRef<'a> {
    kind: Kind,
    header: &'a [u8],
    payload: &'a [u8],
}

impl<'a> FrameRef<'a> {
    /// A frame of the three parts.
    ///
    /// # Errors
    ///
    /// If the header is not one CBOR map, nor empty.
    #[inline]
    pub fn new(kind: Kind, header: &'a [u8], payload: &'a [u8]) -> Result<Self, CborError> {
        // Most headers are empty.
        if !header.is_empty() {
            cbor::check_map(header)?;
        }
        Ok(FrameRef { kind, header, payload })
    }

    /// Reads the encoded frame at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// If no well-formed frame stands there.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let layout = Layout::read(bytes)?;
        let header = &bytes[FRAME_PREFIX_LEN..layout.header_end];
        let payload = &bytes[layout.header_end..layout.end];
        Ok(FrameRef::new(layout.kind, header, payload)?)
    }

    /// The size of the encoded frame in bytes.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        FRAME_PREFIX_LEN + self.header.len() + self.payload.len()
    }

    /// A copy of its own.
    #[inline]
    pub fn to_frame(&self) -> Frame {
        Frame {
            kind: self.kind,
            header: Header::copy_of_checked(self.header),
            payload: Bytes::copy_from_slice(self.payload),
        }
    }
}

/// Where the parts of an encoded frame lie; all inside the bytes it was read from.
struct Layout {
    kind: Kind,
    header_end: usize,
    end: usize,
}

impl Layout {
    #[inline]
    fn read(bytes: &[u8]) -> Result<Layout, FrameError> {
        let Some(prefix) = bytes.first_chunk::<FRAME_PREFIX_LEN>() else {
            return Err(FrameError::Cut { needed: FRAME_PREFIX_LEN, found: bytes.len() });
        };
        let [kind, reserved, v0, v1, h0, h1, h2, h3, p0, p1, p2, p3] = *prefix;
        let version = u16::from_le_bytes([v0, v1]);
        if version != WIRE_VERSION || reserved != 0 {
            return Err(FrameError::WireVersion { found: version, reserved });
        }
        let header = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        let payload = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        let end = FRAME_PREFIX_LEN.saturating_add(header).saturating_add(payload);
        if end > MAX_FRAME_LEN {
            return Err(FrameError::TooLarge { size: end, limit: MAX_FRAME_LEN });
        }
        if bytes.len() < end {
            return Err(FrameError::Cut { needed: end, found: bytes.len() });
        }
        Ok(Layout { kind: Kind(kind), header_end: FRAME_PREFIX_LEN + header, end })
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end before the frame does.
    Cut {
        /// Bytes the frame says it has.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Something follows the frame.
    Trailing {
        /// How many bytes follow.
        bytes: usize,
    },
    /// The frame was encoded by another version of the format, or is no frame at all.
    WireVersion {
        /// The version that stands in the bytes.
        found: u16,
        /// The reserved byte, 0 in a frame.
        reserved: u8,
    },
    /// The frame says it is larger than any frame may be.
    TooLarge {
        /// Size the frame says it has, in bytes.
        size: usize,
        /// [`MAX_FRAME_LEN`].
        limit: usize,
    },
    /// The header is not one CBOR map.
    Header(CborError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Cut { needed, found } => {
                write!(formatter, "frame is cut short: {needed} bytes needed, {found} found")
            }
            FrameError::Trailing { bytes } => write!(formatter, "{bytes} bytes follow the frame"),
            FrameError::WireVersion { found, reserved } => write!(
                formatter,
                "frame encoding is version {found} (reserved byte {reserved}), expected version {WIRE_VERSION}"
            ),
            FrameError::TooLarge { size, limit } => write!(
                formatter,
                "frame of {size} bytes is larger than the format allows ({limit} bytes)"
            ),
            FrameError::Header(error) => {
                write!(formatter, "frame header is not a CBOR map: {error}")
            }
        }
    }
}

impl Error for FrameError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            FrameError::Header(error) => Some(error),
            _ => None,
        }
    }
}

impl From<CborError> for FrameError {
    fn from(error: CborError) -> FrameError {
        FrameError::Header(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Frame {
        let header = Header::build().text("id", "a").integer("n", 7).finish();
        Frame::new(Kind::DATA, header, &b"hello"[..])
    }

    #[test]
    fn frames_survive_the_wire() {
        fn check(frame: &Frame) {
            let bytes = frame.to_bytes();
            assert_eq!(bytes.len(), frame.encoded_len());
            assert_eq!(Frame::decode(&bytes).as_ref(), Ok(frame));
        }
        check(&sample());
        check(&Frame::data(Bytes::new()));
        check(&Frame::new(Kind(0xFF), Header::empty(), vec![0; 100_000]));
    }

    #[test]
    fn damaged_frames_are_refused() {
        fn check(change: impl FnOnce(&mut Vec<u8>), expected: &str) {
            let mut bytes = sample().to_bytes().to_vec();
            change(&mut bytes);
            let error = Frame::decode(&bytes.into()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check(|bytes| bytes.truncate(0), "12 bytes needed, 0 found");
        check(|bytes| bytes.truncate(20), "cut short");
        check(|bytes| bytes.push(0), "1 bytes follow");
        check(|bytes| bytes[2] = 9, "version 9");
        check(|bytes| bytes[1] = 1, "reserved byte 1");
        check(|bytes| bytes[11] = 0xFF, "larger than the format allows");
        check(|bytes| bytes[12] = 0x01, "not a CBOR map");
    }

    #[test]
    fn frames_follow_each_other() {
        let mut bytes = Vec::new();
        sample().encode_into(&mut bytes);
        Frame::data(&b"second"[..]).encode_into(&mut bytes);
        let mut rest = Bytes::from(bytes);
        assert_eq!(Frame::decode_next(&mut rest), Ok(sample()));
        assert_eq!(Frame::decode_next(&mut rest), Ok(Frame::data(&b"second"[..])));
        assert!(rest.is_empty());
    }
}
