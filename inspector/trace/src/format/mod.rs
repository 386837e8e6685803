//! The content of a trace file: names, the JSON of events, counts and snapshots.
//!
//! # Format, version 1
//!
//! An MCAP file (<https://mcap.dev/spec>) of the profile `glovebox`. Chunks are compressed with
//! LZ4, hold at most 256 KiB before compression unless a single frame is larger, and carry a CRC;
//! the LZ4 frames therefore have no checksums of their own. Files of other tools may have them, and
//! may be compressed with zstd or not at all.
//!
//! | channel | message data |
//! |---|---|
//! | `/workbench/events`, always channel 0 | JSON, one object per event, see below |
//! | `/plugin/<id>/in`, `/plugin/<id>/out` | exactly [`Frame::to_bytes`](glovebox_abi::Frame::to_bytes) |
//! | `/plugin/<id>/host` | CBOR map: `service`, `permission`, `arguments`, `result` or `error`, `took` in ns |
//!
//! Every event is one object on `/workbench/events`:
//! `{"event":{"sequence":7,"at":1,"plugin":"redact","instance":0,"generation":1,"what":{"frame-in":{"call":3}}}}`.
//! Times and durations are integers in nanoseconds, except that the deadline inside a `timed-out`
//! outcome is an object of `secs` and `nanos`.
//! If it is a `frame-in`, `frame-out` or `host-call`, the very next message is its body, on the
//! plugin's own channel, and always in the same chunk. So each chunk can be read without the
//! others, and a foreign tool that knows nothing of Glovebox sees plain frames per plugin. A file that
//! another tool has rewritten may have it in the next chunk, or have no chunks; it is read all the same,
//! but what its counts say of chunks is not believed. Messages of channels with other topics, which such
//! a tool may have added, are no part of the trace.
//! `log_time` and `publish_time` are `at`; the message's `sequence` is the low 32 bits of the
//! event's. `{"gap":{"lost":n,"cause":"disk-full"}}` instead of an event says that `n` events were not
//! recorded there, and why ([`GapCause`](crate::GapCause)).
//!
//! Metadata `glovebox` holds `format`, `app` and `segment`, which counts the files of a recording
//! from 1; metadata `plugin` holds `id`, `version`, `digest` and `binding`; metadata `instance` holds what
//! tells instances of one `plugin` apart: the number `instance`, `version`, `file`, the name of its
//! `folder`, and `digest`; metadata `parent` holds
//! `path` and `how` of the trace this one was made from, if it was; the attachment `<id>/plugin.toml`
//! holds a manifest. The attachment `<id>/snapshot` holds what an instance held between two calls, for
//! replays that start in the middle: a CBOR map of `at`, `instance`, `generation`, `after` (the last
//! call that was over, or null), `states` (of each copy, null or an array of version and bytes) and
//! `store` (keys and bytes). The failure bundle has `failure/report.json` and what belongs to it before the
//! first event. Readers that know nothing of it pass over it, and its position in the
//! file means nothing. After each chunk, metadata `tally` says how many events of each kind there
//! should be up to there, so that what a damaged chunk held can be counted. The last metadata of a
//! finished file, `totals`, says the same of all events, and also how many calls did not complete
//! (`not-completed`), how many events were `lost`, and how many `snapshots` there are; before it,
//! `plugin` says what plugins became that were loaded meanwhile.
//!
//! A file is named `….mcap.partial` until it is finished, and locked while it is written. Chunks
//! are written whole, so after a `kill -9` everything up to the last flush is there; only the
//! summary is missing, and nothing needs it. The next files of a recording are called
//! `….002.mcap`, `….003.mcap`: each is a whole trace.

pub(crate) mod compression;
pub(crate) mod glance;
pub(crate) mod snapshot;
pub(crate) mod tally;
pub mod wire;

use glovebox_abi::text::{cut, inert};

/// The format this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The bytes with which every MCAP file starts and ends.
pub const MAGIC: &[u8] = b"\x89MCAP0\r\n";

/// Profile of the file, and name of the metadata record about it.
pub(crate) const PROFILE: &str = "glovebox";
/// The start of the library of a file that Glovebox itself wrote.
pub(crate) const LIBRARY: &str = "glovebox/";
/// Name of the metadata record about the trace this one was made from.
pub(crate) const PARENT: &str = "parent";
/// The metadata of an instance.
pub(crate) const INSTANCE: &str = "instance";
/// Name of the metadata records that say how many events there should be up to there.
pub(crate) const TALLY: &str = "tally";
/// Name of the metadata record at the end of a finished file about all of it.
pub(crate) const TOTALS: &str = "totals";
pub(crate) const EVENTS_TOPIC: &str = "/workbench/events";
/// How the topics of plugins start: those of one plugin, and those that many share.
pub(crate) const PLUGIN_TOPICS: [&str; 2] = ["/plugin/", "/plugins/"];
/// Fixed, so that a chunk can be read when the one that announces the channels is lost.
pub(crate) const EVENTS_CHANNEL: u16 = 0;

/// A chunk that was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrittenChunk {
    /// In bytes from the start of the file.
    pub(crate) offset: u64,
    /// Bytes in the file, with opcode and length.
    pub(crate) length: u64,
    /// Bytes after decompression.
    pub(crate) bytes: u64,
}

/// Opcodes of the MCAP specification.
pub(crate) mod opcode {
    pub(crate) const HEADER: u8 = 0x01;
    pub(crate) const FOOTER: u8 = 0x02;
    pub(crate) const SCHEMA: u8 = 0x03;
    pub(crate) const CHANNEL: u8 = 0x04;
    pub(crate) const MESSAGE: u8 = 0x05;
    pub(crate) const CHUNK: u8 = 0x06;
    pub(crate) const MESSAGE_INDEX: u8 = 0x07;
    pub(crate) const CHUNK_INDEX: u8 = 0x08;
    pub(crate) const ATTACHMENT: u8 = 0x09;
    pub(crate) const ATTACHMENT_INDEX: u8 = 0x0A;
    pub(crate) const STATISTICS: u8 = 0x0B;
    pub(crate) const METADATA: u8 = 0x0C;
    pub(crate) const METADATA_INDEX: u8 = 0x0D;
    pub(crate) const SUMMARY_OFFSET: u8 = 0x0E;
    pub(crate) const DATA_END: u8 = 0x0F;
}

/// The description of an MCAP file whose profile is not ours.
pub fn other_program(profile: &str) -> String {
    /// Bytes shown of a profile.
    const SHOWN: usize = 64;
    let profile = match profile {
        "" => "no profile".to_owned(),
        profile => format!("the profile `{}`", inert(&cut(profile, SHOWN))),
    };
    format!("an MCAP file of another program ({profile})")
}
