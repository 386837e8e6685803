//! The records of an MCAP file, read one after the other from untrusted bytes.
//!
//! Chunks are decompressed and checked in [`chunk`](super::chunk); finding records, and the next
//! good chunk after a damaged one, happens here, so that damage has an offset and a size.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use crate::format::{MAGIC, opcode};

/// The largest record that is read: a chunk with one frame of the largest size, and some room.
pub(crate) const MAX_RECORD: u64 = (glovebox_abi::MAX_FRAME_LEN as u64) + (16 << 20);

/// Opcode and length.
pub(crate) const PREFIX: usize = 9;
/// Bytes of a record by which it is judged; no name in front of one is longer.
const HEAD: u64 = 4 << 10;
/// A chunk's header up to the name of its compression.
const CHUNK_HEAD: usize = 32;

/// The next record of a file.
#[derive(Debug)]
pub(crate) enum Next {
    Record {
        offset: u64,
        opcode: u8,
        data: Vec<u8>,
    },
    Damaged {
        offset: u64,
        lost: u64,
        reason: String,
    },
    CutShort {
        offset: u64,
        lost: u64,
    },
    /// The end mark, or the end of the file after it.
    End,
}

/// Reads records from a file of a known size.
#[derive(Debug)]
pub(crate) struct Records<R> {
    source: R,
    offset: u64,
    size: u64,
    /// The end of the data was read, so only indexes and the footer may follow.
    summary: bool,
    /// A footer was read, so only the end mark may follow.
    footer: bool,
    complete: bool,
    ended: bool,
    /// Of what was read of this section.
    crc: crc32fast::Hasher,
    /// Nothing of this section was skipped, so its CRC can be checked.
    gapless: bool,
    data_end: Option<u64>,
}

impl<R: Read + Seek> Records<R> {
    /// Starts after the magic bytes, which the caller has read.
    pub(crate) fn new(source: R, size: u64) -> Records<R> {
        Records {
            source,
            offset: MAGIC.len() as u64,
            // A file that was measured while it was made has the magic bytes by now.
            size: size.max(MAGIC.len() as u64),
            summary: false,
            footer: false,
            complete: false,
            ended: false,
            crc: {
                let mut crc = crc32fast::Hasher::new();
                crc.update(MAGIC);
                crc
            },
            gapless: true,
            data_end: None,
        }
    }

    /// Starts at a record that is not the first.
    pub(crate) fn starting_at(offset: u64, mut source: R, size: u64) -> io::Result<Records<R>> {
        source.seek(SeekFrom::Start(offset))?;
        Ok(Records { offset, gapless: false, ..Records::new(source, size) })
    }

    /// Where the data ends and the summary starts, once that was read.
    pub(crate) fn data_end(&self) -> Option<u64> {
        self.data_end
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn next(&mut self) -> io::Result<Next> {
        if self.ended {
            return Ok(Next::End);
        }
        if self.footer {
            return self.end_mark();
        }
        let remaining = self.size - self.offset;
        if remaining < PREFIX as u64 {
            return self.cut_short();
        }
        let offset = self.offset;
        let mut prefix = [0; PREFIX];
        match self.source.read_exact(&mut prefix) {
            // The file became shorter while it was read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return self.cut_short(),
            read => read?,
        }
        let [opcode, length @ ..] = prefix;
        let length = u64::from_le_bytes(length);
        if opcode == 0 || opcode > opcode::DATA_END {
            return self.resume_after(offset, format!("no record has the opcode {opcode:#04x}"));
        }
        if length > remaining - PREFIX as u64 || length > MAX_RECORD {
            return self.resume_after(offset, format!("a record claims {length} bytes"));
        }
        // Judged by its head, so that what only claims to be long costs little.
        let mut data = Vec::new();
        (&mut self.source).take(length.min(HEAD)).read_to_end(&mut data)?;
        if data.len() as u64 == length.min(HEAD) && !self.is_plausible(opcode, &data, length) {
            let reason = format!("a record of opcode {opcode:#04x} does not add up");
            return self.resume_after(offset, reason);
        }
        (&mut self.source).take(length - data.len() as u64).read_to_end(&mut data)?;
        if data.len() as u64 != length {
            // The file became shorter while it was read.
            return self.cut_short();
        }
        let intact = self.check_section(opcode, &prefix, &data);
        self.offset += PREFIX as u64 + length;
        if opcode == opcode::DATA_END {
            self.summary = true;
            self.data_end = Some(offset);
        }
        self.footer = opcode == opcode::FOOTER;
        if let Err(reason) = intact {
            return Ok(Next::Damaged { offset, lost: 0, reason: reason.to_owned() });
        }
        Ok(Next::Record { offset, opcode, data })
    }

    /// Takes a record into the CRC of its section, and compares that where the section ends. This
    /// finds what no other CRC covers: metadata, the summary, and the heads of chunks.
    fn check_section(
        &mut self,
        opcode: u8,
        prefix: &[u8],
        data: &[u8],
    ) -> Result<(), &'static str> {
        let end_of_data = opcode == opcode::DATA_END && !self.summary;
        if end_of_data {
            let crc = std::mem::take(&mut self.crc).finalize();
            let gapless = std::mem::replace(&mut self.gapless, true);
            return match u32_at(data, 0) {
                Some(0) | None => Ok(()),
                Some(expected) if expected == crc || !gapless => Ok(()),
                Some(_) => Err("the CRC of all data is wrong: a record outside of chunks changed"),
            };
        }
        self.crc.update(prefix);
        if opcode != opcode::FOOTER {
            self.crc.update(data);
            return Ok(());
        }
        let (covered, expected) = data.split_at(data.len().min(16));
        self.crc.update(covered);
        match u32_at(expected, 0) {
            Some(0) | None => Ok(()),
            Some(expected) if expected == self.crc.clone().finalize() || !self.gapless => Ok(()),
            Some(_) => Err("the CRC of the summary is wrong; the frames are not concerned"),
        }
    }

    /// True if a record has the length that follows from its head. One that has not has a damaged
    /// length, most likely, and then nothing after it can be trusted.
    fn is_plausible(&self, opcode: u8, head: &[u8], length: u64) -> bool {
        let is_it = |found: Option<u64>| found == Some(length);
        match opcode {
            opcode::CHUNK => is_it(chunk_length(head)),
            opcode::HEADER => self.offset == MAGIC.len() as u64 && length <= HEAD,
            opcode::METADATA => is_it(metadata_length(head)),
            opcode::ATTACHMENT => is_it(attachment_length(head)),
            opcode::MESSAGE_INDEX => is_it(u32_at(head, 2).map(|size| 6 + u64::from(size))),
            opcode::DATA_END => length == 4,
            opcode::FOOTER => length == 20,
            // Another tool may write them outside of chunks.
            opcode::SCHEMA if !self.summary => is_it(schema_length(head)),
            opcode::CHANNEL if !self.summary => is_it(channel_length(head)),
            opcode::MESSAGE if !self.summary => is_loose_message(head),
            // Indexes, which nothing needs.
            _ => self.summary,
        }
    }

    fn end_mark(&mut self) -> io::Result<Next> {
        let mut found = Vec::new();
        (&mut self.source).take(MAGIC.len() as u64 + 1).read_to_end(&mut found)?;
        if found == MAGIC {
            self.ended = true;
            self.complete = true;
            self.offset = self.size;
            return Ok(Next::End);
        }
        // It only looked like a footer, or the file ends in the middle of the mark.
        self.footer = false;
        self.resume_after(self.offset, "no end mark follows the footer".to_owned())
    }

    fn cut_short(&mut self) -> io::Result<Next> {
        self.ended = true;
        let offset = self.offset;
        self.offset = self.size;
        Ok(Next::CutShort { offset, lost: self.size.saturating_sub(offset) })
    }

    /// Looks for the next chunk after `offset`.
    fn resume_after(&mut self, offset: u64, reason: String) -> io::Result<Next> {
        self.gapless = false;
        match self.find_chunk(offset + 1)? {
            Some(found) => {
                self.go_to(found)?;
                self.offset = found;
                Ok(Next::Damaged { offset, lost: found - offset, reason })
            }
            None if self.ends_with_mark()? => {
                self.ended = true;
                self.offset = self.size;
                Ok(Next::Damaged { offset, lost: self.size - offset, reason })
            }
            None => {
                self.offset = offset;
                self.cut_short()
            }
        }
    }

    fn ends_with_mark(&mut self) -> io::Result<bool> {
        let mark = MAGIC.len() as u64;
        self.source.seek(SeekFrom::Start(self.size - mark))?;
        let mut found = Vec::new();
        (&mut self.source).take(mark).read_to_end(&mut found)?;
        Ok(found == MAGIC)
    }

    /// Moves to an offset; what is in a buffer is not read again.
    pub(crate) fn go_to(&mut self, offset: u64) -> io::Result<()> {
        let here = self.source.stream_position()?;
        // Both are at most the size of a file, which has 63 bits.
        self.source.seek_relative(offset.wrapping_sub(here) as i64)
    }

    /// Offset of the first plausible chunk at or after `start`. Reads about as much as lies between:
    /// chunks that turn out to be none may stand close together.
    fn find_chunk(&mut self, start: u64) -> io::Result<Option<u64>> {
        const LARGEST: u64 = 1 << 20;
        /// Prefix, head, the longest known compression name and the compressed size.
        const NEEDED: usize = PREFIX + CHUNK_HEAD + 4 + 8;
        let (mut start, mut size) = (start, 512);
        let mut block = Vec::new();
        while start < self.size {
            self.go_to(start)?;
            block.clear();
            // Not beyond the size that the file had when it was opened: it may have grown.
            let most = (size + NEEDED as u64).min(self.size - start);
            (&mut self.source).take(most).read_to_end(&mut block)?;
            if block.is_empty() {
                // The file became shorter while it was read.
                return Ok(None);
            }
            for at in 0..block.len().min(size as usize) {
                let offset = start + at as u64;
                if block[at] == opcode::CHUNK && self.starts_chunk(offset, &block[at + 1..]) {
                    return Ok(Some(offset));
                }
            }
            start += size;
            size = (2 * size).min(LARGEST);
        }
        Ok(None)
    }

    fn starts_chunk(&self, offset: u64, after_opcode: &[u8]) -> bool {
        let Some((length, head)) = after_opcode.split_first_chunk::<8>() else {
            return false;
        };
        let length = u64::from_le_bytes(*length);
        // The opcode and the length were read, so there are as many bytes.
        length <= self.size - offset - PREFIX as u64
            && length <= MAX_RECORD
            && chunk_length(head) == Some(length)
    }
}

/// The record at the start of some bytes, if it is a good one of those that stand between other
/// chunks.
pub(crate) fn whole_record(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let ([opcode, length @ ..], rest) = bytes.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let data = rest.get(..length)?;
    let is_good = match *opcode {
        opcode::CHUNK => chunk_length(data) == Some(data.len() as u64),
        opcode::METADATA => parse_metadata(data).is_some(),
        opcode::ATTACHMENT => attachment_parts(data).is_some(),
        opcode::MESSAGE_INDEX => {
            u32_at(data, 2).is_some_and(|size| data.len() == 6 + size as usize)
        }
        opcode::SCHEMA => schema_length(data) == Some(data.len() as u64),
        opcode::CHANNEL => channel_length(data) == Some(data.len() as u64),
        opcode::MESSAGE => is_loose_message(data),
        _ => false,
    };
    (is_good && length as u64 <= MAX_RECORD).then_some((*opcode, data))
}

/// The length a chunk must have by its own header, if that is one.
fn chunk_length(head: &[u8]) -> Option<u64> {
    let name_length = u32_at(head, 28)? as usize;
    let name = head.get(CHUNK_HEAD..CHUNK_HEAD.checked_add(name_length)?)?;
    if !matches!(name, b"" | b"lz4" | b"zstd") {
        return None;
    }
    let compressed = u64_at(head, CHUNK_HEAD + name_length)?;
    ((CHUNK_HEAD + name_length + 8) as u64).checked_add(compressed)
}

/// The length that a metadata record must have by the lengths of its name and its entries.
fn metadata_length(head: &[u8]) -> Option<u64> {
    let name = u64::from(u32_at(head, 0)?);
    let entries = u32_at(head, usize::try_from(name).ok()?.checked_add(4)?)?;
    Some(4 + name + 4 + u64::from(entries))
}

/// The length that a schema must have by the lengths of its texts and its data.
fn schema_length(head: &[u8]) -> Option<u64> {
    let encoding_at = after_text(head, 2)?;
    let data_at = after_text(head, encoding_at)?;
    Some(after_text(head, data_at)? as u64)
}

/// The length that a channel must have by the lengths of its texts and its metadata.
fn channel_length(head: &[u8]) -> Option<u64> {
    let encoding_at = after_text(head, 4)?;
    let metadata_at = after_text(head, encoding_at)?;
    Some(after_text(head, metadata_at)? as u64)
}

/// Where something ends that has its length in 32 bits in front.
fn after_text(head: &[u8], at: usize) -> Option<usize> {
    at.checked_add(4)?.checked_add(u32_at(head, at)? as usize)
}

/// True if this may be a message outside of chunks, which no CRC covers: ours are logged when they
/// are published.
fn is_loose_message(head: &[u8]) -> bool {
    u64_at(head, 6).is_some_and(|logged| u64_at(head, 14) == Some(logged))
}

/// The length that an attachment must have by the lengths of its texts and its data.
fn attachment_length(head: &[u8]) -> Option<u64> {
    let name_at = 16usize;
    let media_type_at = name_at.checked_add(4)?.checked_add(u32_at(head, name_at)? as usize)?;
    let size_at =
        media_type_at.checked_add(4)?.checked_add(u32_at(head, media_type_at)? as usize)?;
    let size = u64_at(head, size_at)?;
    // A CRC follows.
    (size_at as u64 + 8).checked_add(size)?.checked_add(4)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The id and the topic of a channel record.
pub(crate) fn parse_channel(data: &[u8]) -> Option<(u16, &str)> {
    let id = u16::from_le_bytes(*data.first_chunk()?);
    Some((id, text_at(data.get(4..)?)?.0))
}

/// The profile of a header record, and the library that wrote the file.
pub(crate) fn parse_header(data: &[u8]) -> Option<(&str, &str)> {
    let (profile, rest) = text_at(data)?;
    let (library, rest) = text_at(rest)?;
    rest.is_empty().then_some((profile, library))
}

/// The name and the entries of a metadata record.
pub(crate) fn parse_metadata(data: &[u8]) -> Option<(&str, BTreeMap<&str, &str>)> {
    let (name, rest) = text_at(data)?;
    let mut entries = BTreeMap::new();
    let (length, mut rest) = rest.split_first_chunk()?;
    if rest.len() != u32::from_le_bytes(*length) as usize {
        return None;
    }
    while !rest.is_empty() {
        let (key, after) = text_at(rest)?;
        let (value, after) = text_at(after)?;
        entries.insert(key, value);
        rest = after;
    }
    Some((name, entries))
}

/// The content of an attachment record.
pub(crate) struct Attached<'a> {
    pub(crate) name: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) data: &'a [u8],
}

/// The content of an attachment record, if its CRC is right.
pub(crate) fn parse_attachment(data: &[u8]) -> Option<Attached<'_>> {
    let parts = attachment_parts(data)?;
    let (covered, crc) = data.split_last_chunk()?;
    let crc = u32::from_le_bytes(*crc);
    (crc == 0 || crc == crc32fast::hash(covered)).then_some(parts)
}

/// The same, whatever its CRC.
fn attachment_parts(data: &[u8]) -> Option<Attached<'_>> {
    let (name, rest) = text_at(data.get(16..)?)?;
    let (media_type, rest) = text_at(rest)?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    // A CRC follows.
    let is_whole = length.checked_add(4) == Some(rest.len());
    is_whole.then(|| Attached { name, media_type, data: &rest[..length] })
}

/// A text with its length in front, and what follows it.
fn text_at(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
