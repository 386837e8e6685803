//! Events as the bytes of a trace. Knows nothing of files.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use glovebox_abi::{Frame, MAX_FRAME_LEN};
use glovebox_events::{Binding, Event, What};
use mcap::records::MessageHeader;
use mcap::write::NoSeek;

use super::tally::Tally;
use super::wire::{self, Envelope, GapCause, Line};
use super::writer::Segment;
use super::{EVENTS_CHANNEL, EVENTS_TOPIC, FORMAT_VERSION, PROFILE, TALLY, TraceError};
use super::{PARENT, ParentRecord, PluginRecord};

/// Bytes of a chunk before compression, unless a single event is larger.
const CHUNK_LIMIT: usize = 256 << 10;
/// What MCAP adds to the data of a message, in bytes.
const MESSAGE_OVERHEAD: usize = 31;
/// What MCAP adds to the topic of a channel, with some room, in bytes.
const CHANNEL_OVERHEAD: usize = 64;

/// Why an event has no bytes.
#[derive(Debug)]
pub(super) enum EncodeError {
    /// The library refused, or the bytes did not get out.
    Mcap(mcap::McapError),
    /// The event does not fit into the format; others do.
    Event { sequence: u64, reason: String },
}

impl EncodeError {
    pub(super) fn at(self, path: &Path) -> TraceError {
        let path = path.to_owned();
        match self {
            EncodeError::Mcap(mcap::McapError::Io(source)) => {
                TraceError::Io { action: "write", source, path }
            }
            EncodeError::Mcap(source) => TraceError::Mcap { source, path },
            EncodeError::Event { sequence, reason } => {
                TraceError::Encode { sequence, reason, path }
            }
        }
    }
}

impl From<mcap::McapError> for EncodeError {
    fn from(error: mcap::McapError) -> Self {
        EncodeError::Mcap(error)
    }
}

/// The channels of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Topic {
    In,
    Out,
    Host,
}

impl Topic {
    fn name_and_encoding(self) -> (&'static str, &'static str) {
        match self {
            Topic::In => ("in", "glovebox-frame"),
            Topic::Out => ("out", "glovebox-frame"),
            Topic::Host => ("host", "cbor"),
        }
    }
}

/// Turns events into the bytes of a trace.
pub(super) struct Encoder<W: Write> {
    mcap: mcap::Writer<NoSeek<W>>,
    channels: HashMap<(Arc<str>, Topic), u16>,
    /// Bytes in the open chunk.
    chunk: usize,
    tally: Tally,
    /// Those of `tally` that are in chunks which are written.
    flushed: Tally,
    /// Time of the last event, in nanoseconds since the Unix epoch.
    last: u64,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Encoder").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    /// Writes what a file starts with.
    pub(super) fn new(
        out: W,
        app_version: &str,
        segment: Segment,
    ) -> Result<Encoder<W>, EncodeError> {
        let mut mcap = mcap::WriteOptions::new()
            .profile(PROFILE)
            .library(format!("glovebox/{app_version}"))
            .compression(Some(mcap::Compression::Lz4))
            // Chunks end between events, see `make_room`.
            .chunk_size(None)
            // A chunk is written whole or not at all.
            .disable_seeking(true)
            // They would be as large as most messages, and chunks are small enough to be searched.
            .emit_message_indexes(false)
            .create(NoSeek::new(out))?;
        let mut metadata =
            strings([("format", FORMAT_VERSION.to_string()), ("app", app_version.to_owned())]);
        metadata.insert("segment".to_owned(), segment.0.to_string());
        mcap.write_metadata(&mcap::write::Metadata { name: PROFILE.to_owned(), metadata })?;
        let none = BTreeMap::new();
        mcap.add_channel_with_id(EVENTS_CHANNEL, 0, EVENTS_TOPIC, "json", &none)?;
        Ok(Encoder {
            mcap,
            channels: HashMap::new(),
            chunk: EVENTS_TOPIC.len() + CHANNEL_OVERHEAD,
            tally: Tally::default(),
            flushed: Tally::default(),
            last: 0,
            line: Vec::new(),
            body: Vec::new(),
        })
    }

    /// All events that were given.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// True if nothing waits for the end of a chunk.
    pub(super) fn is_flushed(&self) -> bool {
        self.chunk == 0
    }

    /// Events that are in chunks which are written.
    pub(super) fn flushed(&self) -> u64 {
        self.flushed.events()
    }

    pub(super) fn write(&mut self, event: &Event) -> Result<(), EncodeError> {
        let refused = |reason| EncodeError::Event { sequence: event.sequence, reason };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Line::Event(Envelope::of(event)))
            .map_err(|error| refused(error.to_string()))?;
        self.body.clear();
        let topic = match &event.what {
            What::FrameIn { frame, .. } => {
                encode_frame(frame, &mut self.body).map_err(refused)?;
                Some(Topic::In)
            }
            What::FrameOut { frame, .. } => {
                encode_frame(frame, &mut self.body).map_err(refused)?;
                Some(Topic::Out)
            }
            What::HostCall { host_call, .. } => {
                self.body = wire::host_call_value(host_call).to_bytes();
                Some(Topic::Host)
            }
            _ => None,
        };
        let size = self.line.len() + self.body.len();
        if size > MAX_FRAME_LEN + CHUNK_LIMIT {
            return Err(refused(format!("it has {size} bytes, limit {MAX_FRAME_LEN}")));
        }
        self.make_room(size + 2 * MESSAGE_OVERHEAD + event.plugin.len() + CHANNEL_OVERHEAD)?;
        let body_channel = match topic {
            Some(topic) => Some(self.channel(&event.plugin, topic)?),
            None => None,
        };
        let header = |channel_id| MessageHeader {
            channel_id,
            // MCAP has 32 bits here; the envelope has all 64.
            sequence: event.sequence as u32,
            log_time: event.at,
            publish_time: event.at,
        };
        self.mcap.write_to_known_channel(&header(EVENTS_CHANNEL), &self.line)?;
        if let Some(channel) = body_channel {
            self.mcap.write_to_known_channel(&header(channel), &self.body)?;
        }
        self.tally.count(event);
        self.last = event.at;
        Ok(())
    }

    pub(super) fn write_gap(&mut self, lost: u64, cause: GapCause) -> Result<(), EncodeError> {
        let line = Line::Gap { lost, cause };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)
            .map_err(|error| EncodeError::Event { sequence: 0, reason: error.to_string() })?;
        self.make_room(self.line.len() + MESSAGE_OVERHEAD)?;
        let header = MessageHeader {
            channel_id: EVENTS_CHANNEL,
            sequence: 0,
            log_time: self.last,
            publish_time: self.last,
        };
        Ok(self.mcap.write_to_known_channel(&header, &self.line)?)
    }

    pub(super) fn describe_plugin(&mut self, plugin: &PluginRecord) -> Result<(), EncodeError> {
        let mut metadata = strings([
            ("id", plugin.id.clone()),
            ("version", plugin.version.clone()),
            ("digest", plugin.digest.clone()),
        ]);
        if let Some(binding) = plugin.binding {
            metadata.insert("binding".to_owned(), binding_name(binding));
        }
        self.flush()?;
        self.mcap.write_metadata(&mcap::write::Metadata { name: "plugin".to_owned(), metadata })?;
        if let Some(manifest) = &plugin.manifest {
            self.mcap.attach(&mcap::Attachment {
                log_time: 0,
                create_time: 0,
                name: format!("{}/plugin.toml", plugin.id),
                media_type: "application/toml".to_owned(),
                data: manifest.as_bytes().into(),
            })?;
        }
        Ok(())
    }

    pub(super) fn describe_parent(&mut self, parent: &ParentRecord) -> Result<(), EncodeError> {
        let metadata = strings([("path", parent.path.clone()), ("how", parent.how.clone())]);
        self.flush()?;
        self.mcap.write_metadata(&mcap::write::Metadata { name: PARENT.to_owned(), metadata })?;
        Ok(())
    }

    /// Ends the chunk if `size` more bytes would not fit; an event is never torn.
    fn make_room(&mut self, size: usize) -> Result<(), EncodeError> {
        if self.chunk > 0 && self.chunk + size > CHUNK_LIMIT {
            self.flush()?;
        }
        self.chunk += size;
        Ok(())
    }

    /// Ends the chunk, and says how many events of each kind there should be up to here.
    pub(super) fn flush(&mut self) -> Result<(), EncodeError> {
        if self.chunk == 0 {
            return Ok(());
        }
        self.mcap.flush()?;
        if self.flushed != self.tally {
            let metadata = self.tally.to_metadata();
            self.mcap
                .write_metadata(&mcap::write::Metadata { name: TALLY.to_owned(), metadata })?;
        }
        self.chunk = 0;
        self.flushed = self.tally;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), EncodeError> {
        self.flush()?;
        self.mcap.finish()?;
        Ok(())
    }

    fn channel(&mut self, plugin: &Arc<str>, topic: Topic) -> Result<u16, EncodeError> {
        let key = (plugin.clone(), topic);
        if let Some(channel) = self.channels.get(&key) {
            return Ok(*channel);
        }
        let (name, encoding) = topic.name_and_encoding();
        let topic = format!("/plugin/{plugin}/{name}");
        let channel = self.mcap.add_channel(0, &topic, encoding, &BTreeMap::new())?;
        self.channels.insert(key, channel);
        Ok(channel)
    }
}

fn encode_frame(frame: &Frame, out: &mut Vec<u8>) -> Result<(), String> {
    let size = frame.encoded_len();
    if size > MAX_FRAME_LEN {
        return Err(format!("its frame has {size} bytes, limit {MAX_FRAME_LEN}"));
    }
    frame.encode_into(out);
    Ok(())
}

fn strings<const N: usize>(entries: [(&str, String); N]) -> BTreeMap<String, String> {
    let entries = entries.into_iter();
    entries.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn binding_name(binding: Binding) -> String {
    match serde_json::to_value(binding) {
        Ok(serde_json::Value::String(name)) => name,
        _ => binding.name().to_owned(),
    }
}
