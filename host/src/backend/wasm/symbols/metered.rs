//! A reader of debug information that can do only so much.

use std::borrow::Cow;
use std::cell::Cell;

use addr2line::gimli::{EndianSlice, Error, LittleEndian, Reader, ReaderOffsetId, Result};

type Slice<'file> = EndianSlice<'file, LittleEndian>;

/// A reader whose reads count against a budget that all readers of one lookup share. When it is used
/// up, all reads fail as if the section ended.
///
/// Debug information can lead its reader over the same bytes again and again; what is read says how
/// much is kept. So the budget bounds the time and the memory of a lookup on every machine alike, which
/// a deadline would not.
#[derive(Debug, Clone)]
pub(super) struct Metered<'file> {
    slice: Slice<'file>,
    left: &'file Cell<u64>,
}

impl<'file> Metered<'file> {
    pub(super) fn new(slice: Slice<'file>, left: &'file Cell<u64>) -> Metered<'file> {
        Metered { slice, left }
    }

    /// Counts a read of so many bytes.
    fn pay(&self, bytes: usize) -> Result<()> {
        let left = self.left.get().checked_sub(1 + bytes as u64);
        self.left.set(left.unwrap_or(0));
        match left {
            Some(_) => Ok(()),
            None => Err(Error::UnexpectedEof(self.slice.offset_id())),
        }
    }
}

impl Reader for Metered<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        Reader::len(&self.slice)
    }

    fn empty(&mut self) {
        self.slice.empty();
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        self.pay(0)?;
        self.slice.truncate(len)
    }

    fn offset_from(&self, base: &Self) -> usize {
        Reader::offset_from(&self.slice, &base.slice)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.slice.offset_id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.slice.lookup_offset_id(id)
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let found = Reader::find(&self.slice, byte);
        self.pay(*found.as_ref().unwrap_or(&self.slice.len()))?;
        found
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        self.pay(0)?;
        self.slice.skip(len)
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        self.pay(0)?;
        Ok(Metered { slice: self.slice.split(len)?, left: self.left })
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        self.pay(self.slice.len())?;
        self.slice.to_slice()
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        self.pay(self.slice.len())?;
        Reader::to_string(&self.slice)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        self.pay(self.slice.len())?;
        Reader::to_string_lossy(&self.slice)
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.pay(0)?;
        Reader::read_slice(&mut self.slice, buffer)
    }
}
