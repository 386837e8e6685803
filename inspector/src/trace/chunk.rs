//! One chunk in memory: decompressed into a buffer that is used again, and walked without copying.

use std::io::Read;

use super::EVENTS_TOPIC;
use super::framing::{MAX_RECORD, opcode, parse_channel};

/// Opcode and length of a record.
const PREFIX: usize = 9;
/// Channel, sequence and times of a message.
const MESSAGE_HEAD: usize = 22;
/// What a buffer may keep for the next chunk, in bytes. Ours have 256 KiB.
const KEPT: usize = 4 << 20;

/// The records of some chunks that follow each other.
#[derive(Debug, Default)]
pub(super) struct ChunkBuffer(Vec<u8>);

/// What stands next in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// The line of an event, and the message after it if that is on a channel of a plugin.
    Event { line: &'a [u8], body: Option<&'a [u8]> },
    /// A message on the channel of a plugin that follows no event.
    Stray,
}

impl ChunkBuffer {
    /// Forgets what it holds, but not the memory for as much again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEPT);
    }

    /// Decompresses a chunk and checks its CRC and its records; `Err` says what is wrong, and then
    /// nothing is added.
    pub(super) fn append(&mut self, chunk: &[u8]) -> Result<(), String> {
        let before = self.0.len();
        let added = self.decompress(chunk);
        if added.is_err() {
            self.0.truncate(before);
        }
        added
    }

    fn decompress(&mut self, chunk: &[u8]) -> Result<(), String> {
        let head = Head::parse(chunk).ok_or("the chunk has no header")?;
        if head.size > MAX_RECORD {
            return Err(format!("the chunk claims {} bytes after decompression", head.size));
        }
        if head.crc == 0 {
            return Err("the chunk has no CRC".to_owned());
        }
        let before = self.0.len();
        // One byte more than claimed, to see that there is one.
        let limit = head.size + 1;
        // Allocated at once if that is no more than any buffer keeps.
        self.0.reserve((limit as usize).min(KEPT));
        let read = match head.compression {
            "" => head.data.take(limit).read_to_end(&mut self.0),
            "lz4" => lz4::Decoder::new(head.data)
                .and_then(|decoder| decoder.take(limit).read_to_end(&mut self.0)),
            "zstd" => zstd::Decoder::with_buffer(head.data)
                .and_then(|decoder| decoder.take(limit).read_to_end(&mut self.0)),
            other => return Err(format!("the chunk is compressed with the unknown `{other}`")),
        };
        read.map_err(|error| format!("the chunk cannot be decompressed: {error}"))?;
        let bytes = &self.0[before..];
        if bytes.len() as u64 != head.size {
            return Err(format!("the chunk holds {} bytes and claims {}", bytes.len(), head.size));
        }
        let found = crc32fast::hash(bytes);
        if found != head.crc {
            return Err(format!("the chunk has CRC {found:#010x} and claims {:#010x}", head.crc));
        }
        match records(bytes).last() {
            Some(Err(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Bytes after decompression.
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The id of the channel of events, if the chunk announces it.
    pub(super) fn events_channel(&self) -> Option<u16> {
        let channels = self.records().filter(|(opcode, _)| *opcode == opcode::CHANNEL);
        let mut channels = channels.filter_map(|(_, data)| parse_channel(data));
        channels.find(|(_, topic)| *topic == EVENTS_TOPIC).map(|(id, _)| id)
    }

    /// The events of the chunk, in order.
    pub(super) fn entries(&self, events_channel: u16) -> impl Iterator<Item = Entry<'_>> {
        let messages = self.records().filter(|(opcode, _)| *opcode == opcode::MESSAGE);
        let mut messages = messages.filter_map(|(_, data)| message(data)).peekable();
        std::iter::from_fn(move || {
            let (channel, line) = messages.next()?;
            if channel != events_channel {
                return Some(Entry::Stray);
            }
            let body = messages.next_if(|(channel, _)| *channel != events_channel);
            Some(Entry::Event { line, body: body.map(|(_, data)| data) })
        })
    }

    fn records(&self) -> impl Iterator<Item = (u8, &[u8])> {
        // All are good: `append` has looked.
        records(&self.0).filter_map(Result::ok)
    }
}

/// The records in decompressed bytes; ends after the first that is torn.
fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (prefix, after) = match rest.split_first_chunk::<PREFIX>() {
            Some(split) => split,
            None if rest.is_empty() => return None,
            None => {
                let left = std::mem::take(&mut rest).len();
                return Some(Err(format!("the chunk ends with {left} bytes that are no record")));
            }
        };
        let [opcode, length @ ..] = *prefix;
        let length = u64::from_le_bytes(length);
        let split = usize::try_from(length).ok().and_then(|at| after.split_at_checked(at));
        let Some((data, after)) = split else {
            rest = &[];
            let left = after.len();
            return Some(Err(format!("a record in the chunk claims {length} of {left} bytes")));
        };
        rest = after;
        Some(Ok((opcode, data)))
    })
}

/// The channel and the data of a message.
fn message(data: &[u8]) -> Option<(u16, &[u8])> {
    Some((u16::from_le_bytes(*data.first_chunk()?), data.get(MESSAGE_HEAD..)?))
}

/// What stands in front of the records of a chunk, see the MCAP specification.
struct Head<'a> {
    /// Bytes after decompression.
    size: u64,
    crc: u32,
    compression: &'a str,
    data: &'a [u8],
}

impl<'a> Head<'a> {
    fn parse(chunk: &'a [u8]) -> Option<Head<'a>> {
        let (_times, rest) = chunk.split_at_checked(16)?;
        let (size, rest) = rest.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (compression, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (length, rest) = rest.split_first_chunk()?;
        let data = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        Some(Head {
            size: u64::from_le_bytes(*size),
            crc: u32::from_le_bytes(*crc),
            compression: std::str::from_utf8(compression).ok()?,
            data,
        })
    }
}
