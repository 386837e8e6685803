//! The memory of an Extism plug-in that lies outside of its own: blocks by handle, input, output, error.
//!
//! A handle is the offset of a block. Loads and stores may go to any place in the memory, as they may
//! there; handles given to functions of the host must be those of live blocks. The records about blocks lie
//! outside of the memory that the plug-in writes to. All of it lasts for one call.

use std::collections::BTreeSet;

use crate::backend::message_of;

/// The first offset that is a place: handle 0 is none.
const START: u64 = 64;
/// The memory grows by at least so many bytes.
const PAGE: u64 = 64 << 10;
/// The bytes that a block counts beside its bytes, for the records about it.
const RECORD: u64 = 64;
/// Blocks start at multiples of it.
const ALIGN: u64 = 8;
/// A free block is used again for a smaller one, unless that would waste more than half of it; small
/// ones always are.
const SMALL: u64 = 64;

/// All of it.
#[derive(Debug)]
pub(crate) struct Kernel {
    bytes: Vec<u8>,
    /// By offset, for they are made one behind the other.
    blocks: Vec<Block>,
    /// Free blocks by room, with their places in `blocks`.
    free: BTreeSet<(u64, usize)>,
    /// The place where the next block starts.
    end: u64,
    /// Bytes that the memory and the records count; what was counted once stays so, for it is kept.
    counted: u64,
    input: (u64, u64),
    output: (u64, u64),
    error: Option<(u64, String)>,
    /// Of the last answer to a request.
    pub(super) http_status: i32,
}

#[derive(Debug)]
struct Block {
    start: u64,
    /// Bytes that were asked for.
    length: u64,
    /// Bytes that it has.
    room: u64,
    is_live: bool,
}

/// A block needs more bytes than there are left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// Bytes that are missing on top of those that are counted.
    pub(crate) needed: u64,
}

/// A place that is not in the memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{length} bytes at {offset} lie outside of the memory of {size} bytes that its host has for it"
)]
pub(crate) struct Outside {
    offset: u64,
    length: u64,
    size: u64,
}

impl Kernel {
    pub(crate) fn new() -> Kernel {
        Kernel {
            bytes: Vec::new(),
            blocks: Vec::new(),
            free: BTreeSet::new(),
            end: START,
            counted: 0,
            input: (0, 0),
            output: (0, 0),
            error: None,
            http_status: 0,
        }
    }

    /// Bytes that all of it counts.
    pub(crate) fn counted(&self) -> u64 {
        self.counted
    }

    /// Bytes of the memory.
    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// A new block; 0 for one of no bytes. `left` is how much more may be counted.
    pub(crate) fn alloc(&mut self, length: u64, left: u64) -> Result<u64, Full> {
        if length == 0 {
            return Ok(0);
        }
        let fitting = self.free.range((length, 0)..).next().copied();
        if let Some((room, at)) = fitting.filter(|(room, _)| *room <= SMALL.max(length * 2)) {
            self.free.remove(&(room, at));
            let block = &mut self.blocks[at];
            (block.length, block.is_live) = (length, true);
            return Ok(block.start);
        }
        let room = length.checked_next_multiple_of(ALIGN);
        let end = room.and_then(|room| self.end.checked_add(room));
        let (Some(room), Some(end)) = (room, end) else {
            return Err(Full { needed: u64::MAX });
        };
        let records = RECORD * (self.blocks.len() as u64 + 1);
        let size = end.max(self.size());
        let needed = size.saturating_add(records).saturating_sub(self.counted);
        if needed > left {
            return Err(Full { needed });
        }
        if end > self.size() {
            // By a quarter at least, so that many small blocks do not copy it many times.
            let wished = end.max(self.size() + self.size() / 4).next_multiple_of(PAGE);
            let more = |size: u64| (size + records).saturating_sub(self.counted);
            let size = if more(wished) <= left { wished } else { end };
            let Ok(length) = usize::try_from(size) else { return Err(Full { needed }) };
            self.bytes.reserve_exact(length - self.bytes.len());
            self.bytes.resize(length, 0);
        }
        self.counted = self.counted.max(self.size() + records);
        let start = self.end;
        self.blocks.push(Block { start, length, room, is_live: true });
        self.end = end;
        Ok(start)
    }

    /// Frees a block. A handle that is none, or was freed before, is left alone, as it is there.
    pub(crate) fn free(&mut self, handle: u64) {
        let Some(at) = self.at(handle) else { return };
        let block = &mut self.blocks[at];
        block.is_live = false;
        self.free.insert((block.room, at));
        if handle == self.input.0 {
            self.input = (0, 0);
        }
    }

    /// Bytes of a block; 0 if the handle is none.
    pub(crate) fn length(&self, handle: u64) -> u64 {
        self.at(handle).map_or(0, |at| self.blocks[at].length)
    }

    /// The bytes of a block; `None` if the handle is none. The handle 0 has none.
    pub(crate) fn block(&self, handle: u64) -> Option<&[u8]> {
        if handle == 0 {
            return Some(&[]);
        }
        let block = &self.blocks[self.at(handle)?];
        self.slice(block.start, block.length).ok()
    }

    pub(crate) fn load<const N: usize>(&self, offset: u64) -> Result<[u8; N], Outside> {
        let bytes = self.slice(offset, N as u64)?;
        Ok(bytes.try_into().expect("the slice has that length"))
    }

    pub(crate) fn store<const N: usize>(
        &mut self,
        offset: u64,
        value: [u8; N],
    ) -> Result<(), Outside> {
        let range = self.range(offset, N as u64)?;
        self.bytes[range].copy_from_slice(&value);
        Ok(())
    }

    /// Bytes of the input; zeros if not all of them are in it, as there.
    pub(crate) fn input_load<const N: usize>(&self, offset: u64) -> [u8; N] {
        let (start, length) = self.input;
        let is_inside = offset.checked_add(N as u64).is_some_and(|end| end <= length);
        if is_inside { self.load(start + offset).unwrap_or([0; N]) } else { [0; N] }
    }

    /// Makes these bytes of the memory the input.
    pub(crate) fn set_input(&mut self, start: u64, length: u64) -> Result<(), Outside> {
        self.input = self.checked(start, length)?;
        Ok(())
    }

    /// Makes a copy of these bytes the input.
    pub(crate) fn give_input(&mut self, bytes: &[u8], left: u64) -> Result<(), Full> {
        self.input = (self.give(bytes, left)?, bytes.len() as u64);
        Ok(())
    }

    /// A new block with these bytes.
    pub(crate) fn give(&mut self, bytes: &[u8], left: u64) -> Result<u64, Full> {
        let start = self.alloc(bytes.len() as u64, left)?;
        if start > 0 {
            let at = start as usize;
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Ok(start)
    }

    pub(crate) fn input(&self) -> (u64, u64) {
        self.input
    }

    pub(crate) fn set_output(&mut self, start: u64, length: u64) -> Result<(), Outside> {
        self.output = self.checked(start, length)?;
        Ok(())
    }

    /// The place of the output, and its length.
    pub(crate) fn output_place(&self) -> (u64, u64) {
        self.output
    }

    pub(crate) fn output(&self) -> &[u8] {
        let (start, length) = self.output;
        // It was checked when it was set, and the memory never shrinks.
        self.slice(start, length).unwrap_or_default()
    }

    /// Sets the error, or none for the handle 0; `false` if the handle is none. The text is taken now: some
    /// plug-ins free its block at once.
    pub(crate) fn set_error(&mut self, handle: u64) -> bool {
        let Some(block) = self.block(handle) else { return false };
        let text = message_of(block);
        self.error = (handle > 0).then_some((handle, text));
        true
    }

    /// The block with the error; 0 for none.
    pub(crate) fn error_handle(&self) -> u64 {
        self.error.as_ref().map_or(0, |(handle, _)| *handle)
    }

    /// The error, if there is one, which is over then.
    pub(crate) fn take_error(&mut self) -> Option<String> {
        self.error.take().map(|(_, text)| text)
    }

    /// Forgets all blocks, and what was in them.
    pub(crate) fn reset(&mut self) {
        let used = usize::try_from(self.end).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes[..used].fill(0);
        self.blocks.clear();
        self.free.clear();
        self.end = START;
        (self.input, self.output, self.error) = ((0, 0), (0, 0), None);
    }

    /// The place of a live block in the list.
    fn at(&self, handle: u64) -> Option<usize> {
        let at = self.blocks.binary_search_by_key(&handle, |block| block.start).ok()?;
        self.blocks[at].is_live.then_some(at)
    }

    fn checked(&self, start: u64, length: u64) -> Result<(u64, u64), Outside> {
        if length > 0 {
            self.range(start, length)?;
            return Ok((start, length));
        }
        Ok((0, 0))
    }

    fn slice(&self, offset: u64, length: u64) -> Result<&[u8], Outside> {
        if length == 0 {
            return Ok(&[]);
        }
        Ok(&self.bytes[self.range(offset, length)?])
    }

    /// The bytes at a place, which lie in the memory.
    #[inline]
    fn range(&self, offset: u64, length: u64) -> Result<std::ops::Range<usize>, Outside> {
        let end = offset.checked_add(length).filter(|end| *end <= self.bytes.len() as u64);
        match end {
            Some(end) if offset >= START => Ok(offset as usize..end as usize),
            _ => Err(Outside { offset, length, size: self.size() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: u64 = 1 << 30;

    #[test]
    fn blocks_are_made_freed_and_used_again() {
        let mut kernel = Kernel::new();
        let block = |kernel: &mut Kernel, length| kernel.alloc(length, MUCH).unwrap();
        assert_eq!(block(&mut kernel, 0), 0);
        let (first, second) = (block(&mut kernel, 10), block(&mut kernel, 5));
        assert!(first >= START && second >= first + 10, "{first} {second}");
        assert_eq!((kernel.length(first), kernel.length(second)), (10, 5));
        // Any other number is no handle.
        for other in [0, 1, first + 1, second - 1, second + 8, u64::MAX] {
            assert_eq!((kernel.length(other), kernel.block(other).is_none()), (0, other > 0));
            kernel.free(other);
        }
        kernel.free(first);
        kernel.free(first);
        assert_eq!((kernel.length(first), kernel.block(first)), (0, None));
        assert_eq!(block(&mut kernel, 7), first);
        // Only once, although it was freed twice.
        let third = block(&mut kernel, 7);
        assert!(third > second, "{third} {second}");
        kernel.store(third, *b"abcdefg").unwrap();
        assert_eq!(kernel.block(third), Some(&b"abcdefg"[..]));
        kernel.reset();
        assert_eq!((kernel.length(third), kernel.load::<1>(third)), (0, Ok([0])));
        assert_eq!(block(&mut kernel, 1), first);
    }

    #[test]
    fn places_outside_are_refused() {
        let mut kernel = Kernel::new();
        let outside = |offset, length, size| Err(Outside { offset, length, size });
        assert_eq!(kernel.load::<1>(0), outside(0, 1, 0).map(|()| [0]));
        let block = kernel.alloc(16, MUCH).unwrap();
        let size = kernel.size();
        fn check(kernel: &mut Kernel, offset: u64, length: u64, is_inside: bool) {
            let size = kernel.size();
            let expected = if is_inside { Ok(()) } else { Err(Outside { offset, length, size }) };
            assert_eq!(kernel.set_output(offset, length), expected, "{offset} {length}");
            if length == 8 {
                assert_eq!(kernel.store(offset, [1; 8]), expected, "{offset}");
                assert_eq!(kernel.load::<8>(offset).map(drop), expected, "{offset}");
            }
        }
        check(&mut kernel, block, 16, true);
        check(&mut kernel, block, 8, true);
        check(&mut kernel, 0, 8, false);
        check(&mut kernel, START - 1, 8, false);
        check(&mut kernel, size - 8, 8, true);
        check(&mut kernel, size - 7, 8, false);
        check(&mut kernel, size, 8, false);
        check(&mut kernel, u64::MAX, 8, false);
        check(&mut kernel, u64::MAX - 3, 8, false);
        check(&mut kernel, block, size, false);
        check(&mut kernel, block, u64::MAX, false);
        // No bytes lie nowhere.
        assert_eq!(kernel.set_output(u64::MAX, 0), Ok(()));
        assert_eq!(kernel.output(), b"");
    }

    #[test]
    fn input_ends_where_it_ends() {
        let mut kernel = Kernel::new();
        kernel.give_input(b"0123456789", MUCH).unwrap();
        assert_eq!(kernel.input_load(0), *b"01234567");
        assert_eq!(kernel.input_load(9), *b"9");
        assert_eq!(kernel.input_load::<8>(3), [0; 8]);
        assert_eq!(kernel.input_load::<1>(10), [0]);
        assert_eq!(kernel.input_load::<8>(u64::MAX - 2), [0; 8]);
        let (start, length) = kernel.input();
        assert_eq!((kernel.length(start), length), (10, 10));
        kernel.free(start);
        assert_eq!(kernel.input(), (0, 0));
    }

    #[test]
    fn an_error_outlives_its_block() {
        let mut kernel = Kernel::new();
        let text = kernel.give(b"too bad", MUCH).unwrap();
        assert!(kernel.set_error(text));
        kernel.free(text);
        assert_eq!(kernel.error_handle(), text);
        assert!(!kernel.set_error(text));
        assert_eq!(kernel.take_error().as_deref(), Some("too bad"));
        assert!(kernel.set_error(0));
        assert_eq!((kernel.error_handle(), kernel.take_error()), (0, None));
    }

    #[test]
    fn memory_and_records_are_counted() {
        let mut kernel = Kernel::new();
        assert_eq!(kernel.alloc(u64::MAX, MUCH), Err(Full { needed: u64::MAX }));
        assert_eq!(kernel.alloc(u64::MAX - 7, MUCH), Err(Full { needed: u64::MAX }));
        let needed = START + 1000 + RECORD;
        assert_eq!(kernel.alloc(1000, needed - 1), Err(Full { needed }));
        assert_eq!((kernel.counted(), kernel.size()), (0, 0));
        assert_eq!(kernel.alloc(1000, needed), Ok(START));
        assert_eq!((kernel.counted(), kernel.size()), (needed, START + 1000));
        // Ever more blocks of a byte end at the limit, too.
        let (limit, mut blocks) = (1 << 20, 0);
        loop {
            match kernel.alloc(1, limit - kernel.counted()) {
                Ok(_) => blocks += 1,
                Err(Full { needed }) => {
                    assert!(needed > limit - kernel.counted());
                    break;
                }
            }
        }
        assert!(kernel.counted() <= limit && blocks > 10_000, "{blocks} {}", kernel.counted());
        assert!(kernel.blocks.capacity() as u64 * 32 <= 2 * limit);
        // Kept memory stays counted.
        let counted = kernel.counted();
        kernel.reset();
        assert_eq!(kernel.counted(), counted);
        assert_eq!(kernel.alloc(1000, 0), Ok(START));
    }
}
