//! One chunk in memory: decompressed into a buffer that is used again, and walked without copying.
//!
//! The LZ4 of our own writer, blocks that stand alone in frames without checksums, is decoded
//! block by block to where it belongs; whatever other tools write goes through the decoder of LZ4
//! frames. Either way the CRC of the chunk says whether the outcome is right.

use std::collections::BTreeSet;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::framing::{MAX_RECORD, PREFIX, parse_channel};
use crate::format::glance::Glance;
use crate::format::wire::Follows;
use crate::format::{EVENTS_TOPIC, PLUGIN_TOPICS, opcode};

/// Channel, sequence and times of a message.
const MESSAGE_HEAD: usize = 22;
/// The size that a buffer may keep for the next chunk, in bytes. Ours have 256 KiB.
const KEPT: usize = 4 << 20;

/// How the LZ4 frames start that our writer makes: version 1, blocks that stand alone, without
/// checksums, of at most 256 KiB; the last byte is that of the LZ4 specification for these.
const OWN_FRAME: [u8; 7] = [0x04, 0x22, 0x4D, 0x18, 0x60, 0x50, 0xFB];
/// The largest block of such a frame.
const OWN_BLOCK: usize = 256 << 10;
/// Set in the size of a block that is not compressed.
const AS_IT_IS: u32 = 1 << 31;

/// The channels of a file, as far as they were announced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownChannels {
    /// The channel of events.
    pub(crate) events: u16,
    /// Those that another program added: their messages are no part of the trace.
    others: BTreeSet<u16>,
}

impl KnownChannels {
    /// The channels of a file that announces no others than ours.
    pub(crate) fn new(events: u16) -> KnownChannels {
        KnownChannels { events, others: BTreeSet::new() }
    }

    /// Takes in what some chunks announce.
    pub(crate) fn learn(&mut self, chunks: &ChunkBuffer) {
        for (id, topic) in chunks.channels() {
            if topic == EVENTS_TOPIC {
                self.events = id;
            } else if !PLUGIN_TOPICS.iter().any(|start| topic.starts_with(start)) {
                self.others.insert(id);
            }
        }
    }

    fn is_ours(&self, message: &Message<'_>) -> bool {
        !self.others.contains(&message.0)
    }
}

/// The records of some chunks that follow each other.
#[derive(Debug, Default)]
pub(crate) struct ChunkBuffer {
    /// Never shorter than what it held, so that it need not be filled with zeros again.
    bytes: Vec<u8>,
    /// Bytes that are in use.
    used: usize,
}

/// The next entry of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// The line of an event, and the message after it if that is on a channel of a plugin.
    Event { line: &'a [u8], body: Option<&'a [u8]> },
    /// A message on the channel of a plugin that follows no event.
    Stray,
}

impl ChunkBuffer {
    /// Forgets what it holds, but not the memory for as much again.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.bytes.truncate(KEPT);
        self.bytes.shrink_to(KEPT);
    }

    /// Bytes that a chunk says to have after decompression.
    pub(crate) fn claimed(chunk: &[u8]) -> u64 {
        Head::parse(chunk).map_or(0, |head| head.size)
    }

    /// Decompresses a chunk and checks its CRC and its records; `Err` says what is wrong, and then
    /// nothing is added.
    pub(crate) fn append(&mut self, chunk: &[u8]) -> Result<(), String> {
        let before = self.used;
        let added = self.add(chunk);
        if added.is_err() {
            self.used = before;
        }
        added
    }

    /// Adds a record as it stands in the file: what a chunk holds, or what stands outside of chunks.
    pub(crate) fn append_record(&mut self, opcode: u8, data: &[u8]) -> Result<(), String> {
        if opcode == opcode::CHUNK {
            return self.append(data);
        }
        self.bytes.truncate(self.used);
        self.bytes.push(opcode);
        self.bytes.extend_from_slice(&(data.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(data);
        self.used = self.bytes.len();
        Ok(())
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), String> {
        let head = Head::parse(chunk).ok_or("the chunk has no header")?;
        if head.size > MAX_RECORD {
            return Err(format!("the chunk claims {} bytes after decompression", head.size));
        }
        let before = self.used;
        // One byte more than claimed, to see that there is one.
        let limit = head.size + 1;
        let read = match (head.compression, head.data.strip_prefix(&OWN_FRAME)) {
            ("", _) => self.read(head.data, limit),
            ("lz4", Some(blocks)) => self.read_blocks(blocks, limit as usize),
            ("lz4", None) => {
                let decoder = lz4::Decoder::new(head.data);
                decoder.map_err(refused).and_then(|decoder| self.read(decoder, limit))
            }
            ("zstd", _) => {
                let decoder = zstd::Decoder::with_buffer(head.data);
                decoder.map_err(refused).and_then(|decoder| self.read(decoder, limit))
            }
            (other, _) => {
                return Err(format!("the chunk is compressed with the unknown `{other}`"));
            }
        };
        read?;
        let bytes = &self.bytes[before..self.used];
        if bytes.len() as u64 != head.size {
            return Err(format!("the chunk holds {} bytes and claims {}", bytes.len(), head.size));
        }
        if let Some(claimed) = head.crc {
            let found = crc32fast::hash(bytes);
            if found != claimed {
                return Err(format!("the chunk has CRC {found:#010x} and claims {claimed:#010x}"));
            }
        }
        match records(bytes).last() {
            Some(Err(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Adds all that a decoder gives, up to a limit.
    fn read(&mut self, decoder: impl Read, limit: u64) -> Result<(), String> {
        self.bytes.truncate(self.used);
        // Allocated at once if that is no more than any buffer keeps.
        self.bytes.reserve((limit as usize).min(KEPT));
        let read = decoder.take(limit).read_to_end(&mut self.bytes);
        self.used = self.bytes.len();
        read.map(drop).map_err(refused)
    }

    /// Adds what the blocks of a frame of ours hold, up to a limit.
    fn read_blocks(&mut self, frame: &[u8], limit: usize) -> Result<(), String> {
        let torn = || "the chunk cannot be decompressed: its LZ4 blocks do not add up".to_owned();
        let end = self.used + limit;
        let mut rest = frame;
        loop {
            let (head, after) = rest.split_first_chunk().ok_or_else(torn)?;
            let size = match u32::from_le_bytes(*head) {
                0 if after.is_empty() => return Ok(()),
                size => size,
            };
            let (block, after) =
                after.split_at_checked((size & !AS_IT_IS) as usize).ok_or_else(torn)?;
            let room = (end - self.used).min(OWN_BLOCK);
            if self.bytes.len() < self.used + room {
                self.bytes.resize(self.used + room, 0);
            }
            let target = &mut self.bytes[self.used..self.used + room];
            self.used += if size & AS_IT_IS != 0 {
                target.get_mut(..block.len()).ok_or_else(torn)?.copy_from_slice(block);
                block.len()
            } else {
                lz4::block::decompress_to_buffer(block, Some(room as i32), target)
                    .map_err(refused)?
            };
            rest = after;
        }
    }

    /// Bytes after decompression.
    pub(crate) fn len(&self) -> u64 {
        self.used as u64
    }

    /// The id of the channel of events, if the chunk announces it.
    pub(crate) fn events_channel(&self) -> Option<u16> {
        let mut channels = self.channels();
        channels.find(|(_, topic)| *topic == EVENTS_TOPIC).map(|(id, _)| id)
    }

    /// The channels that are announced: id and topic.
    fn channels(&self) -> impl Iterator<Item = (u16, &str)> {
        let channels = self.records().filter(|(opcode, _)| *opcode == opcode::CHANNEL);
        channels.filter_map(|(_, data)| parse_channel(data))
    }

    /// The events of the chunk, in order.
    pub(crate) fn entries<'a>(
        &'a self,
        channels: &'a KnownChannels,
    ) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut messages = self.messages(channels).peekable();
        std::iter::from_fn(move || {
            let (channel, time, line) = messages.next()?;
            if channel != channels.events {
                return Some(Entry::Stray);
            }
            // They have the same time. Between them, something may be damaged.
            let is_body = |next: &Message<'_>| next.0 != channels.events && next.1 == time;
            let body = messages.next_if(is_body);
            Some(Entry::Event { line, body: body.map(|(_, _, data)| data) })
        })
    }

    /// True if it ends with an event of which the frame or host call is still to come: another tool
    /// ended the chunk there. `None` if it has no messages.
    pub(crate) fn waits(&self, channels: &KnownChannels) -> Option<bool> {
        let (channel, _, line) = self.messages(channels).last()?;
        Some(channel == channels.events && is_followed(line))
    }

    /// How many messages are no part of the trace.
    pub(crate) fn messages_of_others(&self, channels: &KnownChannels) -> u64 {
        if channels.others.is_empty() {
            return 0;
        }
        let messages = self.records().filter(|(opcode, _)| *opcode == opcode::MESSAGE);
        let messages = messages.filter_map(|(_, data)| message(data));
        messages.filter(|one| !channels.is_ours(one)).count() as u64
    }

    /// The messages of the trace, in order.
    fn messages<'a>(
        &'a self,
        channels: &'a KnownChannels,
    ) -> impl Iterator<Item = Message<'a>> + use<'a> {
        let messages = self.records().filter(|(opcode, _)| *opcode == opcode::MESSAGE);
        messages.filter_map(|(_, data)| message(data)).filter(|one| channels.is_ours(one))
    }

    /// Forgets all but the last message of the trace.
    pub(crate) fn keep_last_message(&mut self, channels: &KnownChannels) {
        let messages = self.records().filter(|(opcode, _)| *opcode == opcode::MESSAGE);
        let is_ours =
            |(_, data): &(u8, &[u8])| message(data).is_some_and(|one| channels.is_ours(&one));
        let last = messages.filter(is_ours).last().map(|(_, data)| data.to_vec());
        self.clear();
        // Only a chunk can be refused.
        let _ = last.map(|data| self.append_record(opcode::MESSAGE, &data));
    }

    fn records(&self) -> impl Iterator<Item = (u8, &[u8])> {
        // All are good: `append` has looked.
        records(&self.bytes[..self.used]).filter_map(Result::ok)
    }
}

/// True if something follows this line: a frame, or a host call.
fn is_followed(line: &[u8]) -> bool {
    matches!(Glance::of(line), Ok(Glance::Event(event)) if event.what.follows() != Follows::Nothing)
}

fn refused(error: std::io::Error) -> String {
    format!("the chunk cannot be decompressed: {error}")
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

/// The channel, the time of logging and the data of a message.
type Message<'a> = (u16, [u8; 8], &'a [u8]);

fn message(data: &[u8]) -> Option<Message<'_>> {
    let channel = u16::from_le_bytes(*data.first_chunk()?);
    Some((channel, *data.get(6..)?.first_chunk()?, data.get(MESSAGE_HEAD..)?))
}

/// The head of a chunk, before its records, see the MCAP specification.
struct Head<'a> {
    /// Bytes after decompression.
    size: u64,
    /// `None` if the writer left it out, as the format allows; every chunk of ours has one.
    crc: Option<u32>,
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
            crc: Some(u32::from_le_bytes(*crc)).filter(|crc| *crc != 0),
            compression: std::str::from_utf8(compression).ok()?,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::compression::compress;

    /// A chunk record as a file has it, without opcode and length.
    fn chunk(records: &[u8], compression: &str, data: &[u8]) -> Vec<u8> {
        let mut chunk = vec![0; 16];
        chunk.extend((records.len() as u64).to_le_bytes());
        chunk.extend(crc32fast::hash(records).to_le_bytes());
        chunk.extend((compression.len() as u32).to_le_bytes());
        chunk.extend(compression.as_bytes());
        chunk.extend((data.len() as u64).to_le_bytes());
        chunk.extend(data);
        chunk
    }

    /// One record of this many bytes; random ones cannot be compressed.
    fn record(size: usize, is_random: bool) -> Vec<u8> {
        let mut number = 1u32;
        let mut next = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (number >> 24) as u8
        };
        let data = (0..size).map(|at| if is_random { next() } else { (at / 100) as u8 });
        let mut record = vec![opcode::MESSAGE];
        record.extend((size as u64).to_le_bytes());
        record.extend(data);
        record
    }

    fn own(bytes: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        compress(bytes, &mut frame).expect("memory takes all");
        frame
    }

    #[test]
    fn every_compression_gives_the_same() {
        for size in [0, 1, 1_000, OWN_BLOCK - PREFIX, OWN_BLOCK, 3 * OWN_BLOCK + 5] {
            for is_random in [false, true] {
                let records = record(size, is_random);
                let frame = own(&records);
                assert!(frame.starts_with(&OWN_FRAME), "{:02x?}", &frame[..7]);
                let mut others =
                    lz4::EncoderBuilder::new().build(Vec::new()).expect("it is set up");
                std::io::Write::write_all(&mut others, &records).expect("memory takes all");
                let (others, _) = others.finish();
                assert!(!others.starts_with(&OWN_FRAME));
                let zstd = zstd::encode_all(&records[..], 1).expect("memory takes all");
                let mut buffer = ChunkBuffer::default();
                // A buffer that held more, or was filled by another decoder, makes no difference.
                let chunks =
                    [("lz4", frame), ("lz4", others), ("zstd", zstd), ("", records.clone())];
                for (compression, data) in chunks.iter().chain(&chunks) {
                    buffer.clear();
                    buffer.append(&chunk(b"x", "", b"y")).expect_err("its CRC is wrong");
                    buffer.append(&chunk(&records, compression, data)).expect(compression);
                    buffer.append(&chunk(&records, compression, data)).expect(compression);
                    let twice = [&records[..], &records].concat();
                    assert!(buffer.bytes[..buffer.used] == twice, "{size} {compression}");
                }
            }
        }
    }

    #[test]
    fn damaged_blocks_are_refused_and_add_nothing() {
        let records = record(2 * OWN_BLOCK, false);
        let good = own(&records);
        let mut buffer = ChunkBuffer::default();
        let first = record(10, true);
        buffer.append(&chunk(&first, "", &first)).expect("it is good");
        let mut check = |data: &[u8], claimed: &[u8]| {
            let refused = buffer.append(&chunk(claimed, "lz4", data));
            assert!(refused.is_err(), "{} bytes", data.len());
            assert!(buffer.bytes[..buffer.used] == first);
        };
        for end in 0..good.len() {
            check(&good[..end], &records);
        }
        check(&[&good[..], &[0]].concat(), &records);
        check(&good, &records[..records.len() - 1]);
        check(&good, &[&records[..], &[0]].concat());
        // Blocks that claim too much, or hold more than there may be.
        for claim in [u32::MAX, AS_IT_IS - 1, AS_IT_IS | 300_000, 1] {
            let mut frame = OWN_FRAME.to_vec();
            frame.extend(claim.to_le_bytes());
            frame.extend(vec![7; 300_000]);
            frame.extend([0; 4]);
            check(&frame, &records);
        }
    }
}
