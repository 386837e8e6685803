//! The fields of a message, written and read.

use bytes::Bytes;

use super::WireError;
use crate::{Frame, FrameRef};

/// The fields of one body, taken one after the other.
///
/// Those of a long body share its memory. A short one is copied field by field, which takes less
/// time than to share it, and keeps nothing else alive.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    shared: Option<Bytes>,
    max_items: u32,
}

/// Bodies from this length on are shared.
const LONG: usize = 4 << 10;

impl<'a> Fields<'a> {
    /// Reads all fields of a body.
    pub(super) fn read_all<T>(
        body: &[u8],
        max_items: u32,
        read: impl FnOnce(&mut Fields<'_>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        let shared = (body.len() >= LONG).then(|| Bytes::copy_from_slice(body));
        let rest = shared.clone();
        let mut fields = Fields { rest: rest.as_deref().unwrap_or(body), shared, max_items };
        let value = read(&mut fields)?;
        match fields.rest.len() as u64 {
            0 => Ok(value),
            bytes => Err(WireError::Trailing { bytes }),
        }
    }

    /// Takes so many bytes, which are there.
    fn advance(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some(found) = self.rest.first_chunk::<N>().copied() else {
            return Err(WireError::Cut { needed: N as u64, found: self.rest.len() as u64 });
        };
        self.advance(N);
        Ok(found)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, WireError> {
        self.u64().map(f64::from_bits)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(WireError::Value { field, found: found.into() }),
        }
    }

    fn slice(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()? as usize;
        if length > self.rest.len() {
            return Err(WireError::Cut { needed: length as u64, found: self.rest.len() as u64 });
        }
        Ok(self.advance(length))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, WireError> {
        let slice = self.slice()?;
        Ok(match &self.shared {
            Some(shared) => shared.slice_ref(slice),
            None => Bytes::copy_from_slice(slice),
        })
    }

    /// Bytes of their own.
    pub(super) fn vector(&mut self) -> Result<Vec<u8>, WireError> {
        self.slice().map(<[u8]>::to_vec)
    }

    pub(super) fn text(&mut self) -> Result<String, WireError> {
        let text = std::str::from_utf8(self.slice()?).map_err(|_| WireError::NotText)?;
        Ok(text.to_owned())
    }

    pub(super) fn frame(&mut self) -> Result<Frame, WireError> {
        let Some(shared) = &self.shared else {
            let frame = FrameRef::read(self.rest)?;
            self.advance(frame.encoded_len());
            return Ok(frame.to_frame());
        };
        let mut rest = shared.slice_ref(self.rest);
        let frame = Frame::decode_next(&mut rest)?;
        self.advance(self.rest.len() - rest.len());
        Ok(frame)
    }

    /// A value that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        if self.flag(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// A list whose items take `smallest` bytes or more, each: so many items as are claimed fit in
    /// what is left, or nothing is allocated for them.
    pub(super) fn list<T>(
        &mut self,
        smallest: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.u32()?;
        let fitting = u32::try_from(self.rest.len() / smallest).unwrap_or(u32::MAX);
        let limit = fitting.min(self.max_items);
        if count > limit {
            return Err(WireError::TooMany { count: count.into(), limit: limit.into() });
        }
        let mut items = Vec::with_capacity(count as usize);
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

/// Appends fields to a message.
pub(super) struct Put<'a>(pub(super) &'a mut Vec<u8>);

impl Put<'_> {
    pub(super) fn u8(&mut self, number: u8) -> &mut Self {
        self.0.push(number);
        self
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// A length or a count. One that does not fit is cut to `u32::MAX`: the whole is then longer
    /// than any message may be, and the encoder refuses it.
    fn length(&mut self, length: usize) -> &mut Self {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn frame(&mut self, frame: &Frame) -> &mut Self {
        frame.encode_into(self.0);
        self
    }

    pub(super) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T),
    ) -> &mut Self {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    pub(super) fn list<T>(
        &mut self,
        items: &[T],
        mut write: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        self.length(items.len());
        items.iter().for_each(|item| write(self, item));
        self
    }
}
