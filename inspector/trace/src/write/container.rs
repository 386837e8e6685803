//! Puts together the records of an MCAP file, see <https://mcap.dev/spec>. Knows nothing of events.
//!
//! A chunk is gathered first and then compressed at once, into LZ4 blocks that do not refer to each
//! other, without checksums of their own: the CRC of the chunk covers what they hold. This is
//! several times faster than to feed a compressor message by message, both here and when it is
//! read.

use std::collections::BTreeMap;
use std::io;

use crate::format::compression::{COMPRESSION, compress};
use crate::format::{MAGIC, WrittenChunk, opcode};

/// The size that a buffer may keep for the next chunk, in bytes.
const KEPT: usize = 512 << 10;

/// Makes the bytes of a file.
#[derive(Debug)]
pub(crate) struct Container {
    /// Bytes that wait for the file.
    ready: Vec<u8>,
    /// Bytes that were taken before those.
    taken: u64,
    /// Of all bytes so far.
    crc: crc32fast::Hasher,
    /// Of those since somebody asked last; `None` if nobody asks.
    digest: Option<blake3::Hasher>,
    chunk: Chunk,
    summary: Summary,
}

/// The open chunk.
#[derive(Debug, Default)]
struct Chunk {
    records: Vec<u8>,
    /// Of its first and last message.
    times: Option<(u64, u64)>,
}

/// The summary at the end of the file.
#[derive(Debug, Default)]
struct Summary {
    channels: Vec<Channel>,
    chunks: Vec<u8>,
    chunk_count: u32,
    attachments: Vec<u8>,
    attachment_count: u32,
    metadata: Vec<u8>,
    metadata_count: u32,
    times: Option<(u64, u64)>,
}

/// A channel; its id is its place among all.
#[derive(Debug)]
struct Channel {
    topic: String,
    encoding: &'static str,
    messages: u64,
}

impl Container {
    pub(crate) fn new(profile: &str, library: &str) -> Container {
        let mut container = Container {
            ready: MAGIC.to_vec(),
            taken: 0,
            crc: crc32fast::Hasher::new(),
            digest: Some(blake3::Hasher::new()),
            chunk: Chunk::default(),
            summary: Summary::default(),
        };
        record(&mut container.ready, opcode::HEADER, |out| {
            text(out, profile);
            text(out, library);
        });
        container.cover(0);
        container
    }

    /// Bytes that wait for the file.
    pub(crate) fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// Forgets the first of the bytes that wait.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.ready.drain(..bytes);
        if self.ready.is_empty() {
            self.ready.shrink_to(KEPT);
        }
        self.taken += bytes as u64;
    }

    /// Bytes of the file so far.
    pub(crate) fn size(&self) -> u64 {
        self.taken + self.ready.len() as u64
    }

    /// The digest (BLAKE3) of all bytes since the last time. Ends the open chunk.
    pub(crate) fn take_digest(&mut self) -> io::Result<[u8; blake3::OUT_LEN]> {
        self.end_chunk()?;
        let Some(digest) = &mut self.digest else { return Ok([0; blake3::OUT_LEN]) };
        let found = *digest.finalize().as_bytes();
        digest.reset();
        Ok(found)
    }

    /// Makes no digest: nobody will ask.
    pub(crate) fn leave_out_digest(&mut self) {
        self.digest = None;
    }

    /// Takes the bytes that wait from there on into what vouches for the file.
    fn cover(&mut self, start: usize) {
        self.crc.update(&self.ready[start..]);
        if let Some(digest) = &mut self.digest {
            digest.update(&self.ready[start..]);
        }
    }

    /// Bytes of the open chunk, before compression.
    pub(crate) fn chunk_len(&self) -> usize {
        self.chunk.records.len()
    }

    /// How many channels were announced.
    pub(crate) fn channels(&self) -> usize {
        self.summary.channels.len()
    }

    /// Announces a channel in the open chunk; `None` if there are too many for the format.
    pub(crate) fn add_channel(&mut self, topic: String, encoding: &'static str) -> Option<u16> {
        let id = u16::try_from(self.summary.channels.len()).ok()?;
        let channel = Channel { topic, encoding, messages: 0 };
        channel.write(id, &mut self.chunk.records);
        self.summary.channels.push(channel);
        Some(id)
    }

    /// Adds a message to the open chunk; `time` is in nanoseconds since the Unix epoch.
    pub(crate) fn message(&mut self, channel: u16, sequence: u32, time: u64, data: &[u8]) {
        // There are more messages than anything else, so that their heads are made at once.
        const FIELDS: usize = 2 + 4 + 8 + 8;
        let (mut head, mut rest) = ([0; 1 + 8 + FIELDS], 0);
        let mut put = |bytes: &[u8]| {
            head[rest..rest + bytes.len()].copy_from_slice(bytes);
            rest += bytes.len();
        };
        put(&[opcode::MESSAGE]);
        put(&((FIELDS + data.len()) as u64).to_le_bytes());
        put(&channel.to_le_bytes());
        put(&sequence.to_le_bytes());
        // When it was logged, and when it was published.
        put(&time.to_le_bytes());
        put(&time.to_le_bytes());
        self.chunk.records.extend_from_slice(&head);
        self.chunk.records.extend_from_slice(data);
        let (first, last) = self.chunk.times.unwrap_or((time, time));
        self.chunk.times = Some((first.min(time), last.max(time)));
        if let Some(channel) = self.summary.channels.get_mut(usize::from(channel)) {
            channel.messages += 1;
        }
    }

    /// Ends the open chunk, if there is anything in it, and says what became of it. If the compressor
    /// refuses, it stays open.
    pub(crate) fn end_chunk(&mut self) -> io::Result<Option<WrittenChunk>> {
        if self.chunk.records.is_empty() {
            return Ok(None);
        }
        let start = self.ready.len();
        let compressed_size = self.compress_chunk().inspect_err(|_| self.ready.truncate(start))?;
        let Chunk { records, times } = &mut self.chunk;
        let (first, last) = times.unwrap_or_default();
        let (offset, length) = (self.taken + start as u64, (self.ready.len() - start) as u64);
        record(&mut self.summary.chunks, opcode::CHUNK_INDEX, |out| {
            for number in [first, last, offset, length] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            // There are no indexes of messages, and they have no bytes.
            out.extend_from_slice(&0u32.to_le_bytes());
            out.extend_from_slice(&0u64.to_le_bytes());
            text(out, COMPRESSION);
            out.extend_from_slice(&compressed_size.to_le_bytes());
            out.extend_from_slice(&(records.len() as u64).to_le_bytes());
        });
        self.summary.chunk_count += 1;
        if let Some((first, last)) = times.take() {
            let all = self.summary.times.unwrap_or((first, last));
            self.summary.times = Some((all.0.min(first), all.1.max(last)));
        }
        let written = WrittenChunk { offset, length, bytes: records.len() as u64 };
        records.clear();
        records.shrink_to(KEPT);
        self.cover(start);
        Ok(Some(written))
    }

    /// Writes the open chunk and says how many bytes it has after compression.
    fn compress_chunk(&mut self) -> io::Result<u64> {
        let Chunk { records, times } = &self.chunk;
        let (first, last) = times.unwrap_or_default();
        let mut compressed = 0;
        try_record(&mut self.ready, opcode::CHUNK, |out| {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
            out.extend_from_slice(&(records.len() as u64).to_le_bytes());
            out.extend_from_slice(&crc32fast::hash(records).to_le_bytes());
            text(out, COMPRESSION);
            let length_at = out.len();
            out.extend_from_slice(&0u64.to_le_bytes());
            compress(records, out)?;
            compressed = (out.len() - length_at - 8) as u64;
            out[length_at..length_at + 8].copy_from_slice(&compressed.to_le_bytes());
            Ok(())
        })?;
        Ok(compressed)
    }

    /// Adds names with values, after the open chunk.
    pub(crate) fn metadata(
        &mut self,
        name: &str,
        entries: &BTreeMap<String, String>,
    ) -> io::Result<()> {
        self.end_chunk()?;
        let (offset, length) = self.outside(opcode::METADATA, |out| {
            text(out, name);
            counted(out, |out| {
                for (key, value) in entries {
                    text(out, key);
                    text(out, value);
                }
            });
        });
        record(&mut self.summary.metadata, opcode::METADATA_INDEX, |out| {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&length.to_le_bytes());
            text(out, name);
        });
        self.summary.metadata_count += 1;
        Ok(())
    }

    /// Adds a file, after the open chunk.
    pub(crate) fn attach(&mut self, name: &str, media_type: &str, data: &[u8]) -> io::Result<()> {
        self.end_chunk()?;
        let (offset, length) = self.outside(opcode::ATTACHMENT, |out| {
            let start = out.len();
            // When it was attached and made, which nobody knows.
            out.extend_from_slice(&[0; 16]);
            text(out, name);
            text(out, media_type);
            out.extend_from_slice(&(data.len() as u64).to_le_bytes());
            out.extend_from_slice(data);
            let crc = crc32fast::hash(&out[start..]);
            out.extend_from_slice(&crc.to_le_bytes());
        });
        record(&mut self.summary.attachments, opcode::ATTACHMENT_INDEX, |out| {
            for number in [offset, length, 0, 0, data.len() as u64] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            text(out, name);
            text(out, media_type);
        });
        self.summary.attachment_count += 1;
        Ok(())
    }

    /// Writes a record that is in no chunk; says where it starts and how long it is.
    fn outside(&mut self, opcode: u8, content: impl FnOnce(&mut Vec<u8>)) -> (u64, u64) {
        let start = self.ready.len();
        record(&mut self.ready, opcode, content);
        self.cover(start);
        (self.taken + start as u64, (self.ready.len() - start) as u64)
    }

    /// Writes the end of the file. Nothing can be added afterwards.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.end_chunk()?;
        let crc = self.crc.clone().finalize();
        record(&mut self.ready, opcode::DATA_END, |out| out.extend_from_slice(&crc.to_le_bytes()));
        let start = self.ready.len();
        let at = self.taken + start as u64;
        let offsets_at = self.summary.write(at, &mut self.ready);
        // The CRC covers the footer too, up to itself.
        self.ready.push(opcode::FOOTER);
        self.ready.extend_from_slice(&20u64.to_le_bytes());
        self.ready.extend_from_slice(&at.to_le_bytes());
        self.ready.extend_from_slice(&offsets_at.to_le_bytes());
        let crc = crc32fast::hash(&self.ready[start..]);
        self.ready.extend_from_slice(&crc.to_le_bytes());
        self.ready.extend_from_slice(MAGIC);
        Ok(())
    }
}

impl Summary {
    /// Writes the summary, which starts at this offset of the file; says where the table of its
    /// parts starts.
    fn write(&self, start: u64, out: &mut Vec<u8>) -> u64 {
        let mut channels = Vec::new();
        // As many as there are ids.
        for (id, channel) in (0..=u16::MAX).zip(&self.channels) {
            channel.write(id, &mut channels);
        }
        let mut statistics = Vec::new();
        record(&mut statistics, opcode::STATISTICS, |out| self.statistics(out));
        let mut offset = start;
        let mut offsets = Vec::new();
        let groups = [
            (opcode::CHANNEL, &channels),
            (opcode::STATISTICS, &statistics),
            (opcode::CHUNK_INDEX, &self.chunks),
            (opcode::ATTACHMENT_INDEX, &self.attachments),
            (opcode::METADATA_INDEX, &self.metadata),
        ];
        for (group, records) in groups {
            if records.is_empty() {
                continue;
            }
            out.extend_from_slice(records);
            let length = records.len() as u64;
            record(&mut offsets, opcode::SUMMARY_OFFSET, |out| {
                out.push(group);
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
            });
            offset += length;
        }
        out.extend_from_slice(&offsets);
        offset
    }

    fn statistics(&self, out: &mut Vec<u8>) {
        let (first, last) = self.times.unwrap_or_default();
        let messages: u64 = self.channels.iter().map(|channel| channel.messages).sum();
        out.extend_from_slice(&messages.to_le_bytes());
        // There are no schemas.
        out.extend_from_slice(&0u16.to_le_bytes());
        let channels = self.channels.len() as u32;
        for count in [channels, self.attachment_count, self.metadata_count, self.chunk_count] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        counted(out, |out| {
            for (id, channel) in (0..=u16::MAX).zip(&self.channels) {
                out.extend_from_slice(&id.to_le_bytes());
                out.extend_from_slice(&channel.messages.to_le_bytes());
            }
        });
    }
}

impl Channel {
    fn write(&self, id: u16, out: &mut Vec<u8>) {
        record(out, opcode::CHANNEL, |out| {
            out.extend_from_slice(&id.to_le_bytes());
            // Without a schema.
            out.extend_from_slice(&0u16.to_le_bytes());
            text(out, &self.topic);
            text(out, self.encoding);
            // Without metadata.
            out.extend_from_slice(&0u32.to_le_bytes());
        });
    }
}

/// Writes a record: its opcode, its length, and what it holds.
fn record(out: &mut Vec<u8>, opcode: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(opcode);
    let length_at = out.len();
    out.extend_from_slice(&0u64.to_le_bytes());
    content(out);
    let length = (out.len() - length_at - 8) as u64;
    out[length_at..length_at + 8].copy_from_slice(&length.to_le_bytes());
}

/// The same with something that can fail; then part of it is written.
fn try_record(
    out: &mut Vec<u8>,
    opcode: u8,
    content: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut result = Ok(());
    record(out, opcode, |out| result = content(out));
    result
}

/// Writes a text with its length in front.
fn text(out: &mut Vec<u8>, text: &str) {
    counted(out, |out| out.extend_from_slice(text.as_bytes()));
}

/// Writes something with its length in 32 bits in front.
fn counted(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let length_at = out.len();
    out.extend_from_slice(&0u32.to_le_bytes());
    content(out);
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}
