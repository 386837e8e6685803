use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_events::{Binding, Event, What};
use mcap::records::MessageHeader;
use mcap::write::NoSeek;
use serde::{Deserialize, Serialize};

use super::wire::{self, Envelope, Line};
use super::{EVENTS_CHANNEL, EVENTS_TOPIC, FORMAT_VERSION, PROFILE, TraceError};

/// Bytes of a chunk before compression, unless a single event is larger.
const CHUNK_LIMIT: usize = 256 << 10;
/// What MCAP adds to the data of a message, in bytes.
const MESSAGE_OVERHEAD: usize = 31;
/// What MCAP adds to the topic of a channel, with some room, in bytes.
const CHANNEL_OVERHEAD: usize = 64;

/// What a trace says about a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Id of the plugin.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Hexadecimal BLAKE3 digest of the artifact.
    pub digest: String,
    /// How the host talked to it.
    pub binding: Option<Binding>,
    /// Text of its `plugin.toml`.
    pub manifest: Option<String>,
}

/// Writes a trace file, on the caller's thread.
#[derive(Debug)]
pub struct TraceWriter {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    encoder: Encoder<BufWriter<File>>,
    bytes: u64,
}

impl TraceWriter {
    /// Starts `<path>.partial`; nothing is overwritten.
    ///
    /// # Errors
    ///
    /// [`TraceError::Exists`] if `path` or its `.partial` is there.
    pub fn create(path: impl AsRef<Path>, app_version: &str) -> Result<TraceWriter, TraceError> {
        let path = path.as_ref().to_owned();
        let partial = partial_path(&path);
        if path.symlink_metadata().is_ok() {
            return Err(TraceError::Exists { path });
        }
        let file = File::create_new(&partial).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => TraceError::Exists { path: partial.clone() },
            _ => TraceError::io("create", source, &partial),
        })?;
        let handle =
            file.try_clone().map_err(|source| TraceError::io("create", source, &partial))?;
        let encoder =
            Encoder::new(BufWriter::new(file), app_version).map_err(|error| error.at(&partial))?;
        let mut writer = TraceWriter { path, partial, file: handle, encoder, bytes: 0 };
        writer.flush()?;
        Ok(writer)
    }

    /// Appends one event.
    ///
    /// # Errors
    ///
    /// If the event cannot be written; nothing can be written after that.
    pub fn write(&mut self, event: &Event) -> Result<(), TraceError> {
        self.encoder.write(event).map_err(|error| error.at(&self.partial))
    }

    /// Says that `lost` events were not recorded.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_gap(&mut self, lost: u64) -> Result<(), TraceError> {
        self.encoder.write_gap(lost).map_err(|error| error.at(&self.partial))
    }

    /// Says which plugin events of this id are about.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn describe_plugin(&mut self, plugin: &PluginRecord) -> Result<(), TraceError> {
        self.encoder.describe_plugin(plugin).map_err(|error| error.at(&self.partial))
    }

    /// Hands everything to the operating system, so that it survives the death of this process.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<(), TraceError> {
        self.encoder.flush().map_err(|error| error.at(&self.partial))?;
        let metadata = self.file.metadata();
        self.bytes =
            metadata.map_err(|source| TraceError::io("measure", source, &self.partial))?.len();
        Ok(())
    }

    /// Flushes and waits for the disk, so that it survives a loss of power.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn sync(&mut self) -> Result<(), TraceError> {
        self.flush()?;
        self.file.sync_data().map_err(|source| TraceError::io("write", source, &self.partial))
    }

    /// Bytes in the file at the last flush.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Events written so far.
    pub fn events(&self) -> u64 {
        self.encoder.events
    }

    /// Events that the operating system has, so that they survive the death of this process.
    pub fn flushed_events(&self) -> u64 {
        self.encoder.flushed
    }

    /// The file as it is named now, with `.partial`.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Writes the summary and gives the file its name, which is returned.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); the `.partial` stays and can be read.
    pub fn finish(mut self) -> Result<PathBuf, TraceError> {
        self.encoder.finish().map_err(|error| error.at(&self.partial))?;
        self.file.sync_all().map_err(|source| TraceError::io("write", source, &self.partial))?;
        if self.path.symlink_metadata().is_ok() {
            return Err(TraceError::Exists { path: self.path });
        }
        std::fs::rename(&self.partial, &self.path)
            .map_err(|source| TraceError::io("rename", source, &self.partial))?;
        Ok(self.path)
    }
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// An error of the encoder, which knows no path.
#[derive(Debug)]
pub(super) enum EncodeError {
    Mcap(mcap::McapError),
    Event { sequence: u64, reason: String },
}

impl EncodeError {
    fn at(self, path: &Path) -> TraceError {
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

/// Turns events into the bytes of a trace. Knows nothing of files, so that tests can make any
/// write fail.
pub(super) struct Encoder<W: Write> {
    mcap: mcap::Writer<NoSeek<W>>,
    channels: HashMap<(Arc<str>, Topic), u16>,
    /// Bytes in the open chunk.
    chunk: usize,
    pub(super) events: u64,
    pub(super) flushed: u64,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Encoder").field("events", &self.events).finish_non_exhaustive()
    }
}

impl<W: Write> Encoder<W> {
    pub(super) fn new(out: W, app_version: &str) -> Result<Encoder<W>, EncodeError> {
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
        mcap.write_metadata(&mcap::write::Metadata {
            name: PROFILE.to_owned(),
            metadata: strings([
                ("format", FORMAT_VERSION.to_string()),
                ("app", app_version.to_owned()),
            ]),
        })?;
        let none = BTreeMap::new();
        mcap.add_channel_with_id(EVENTS_CHANNEL, 0, EVENTS_TOPIC, "json", &none)?;
        Ok(Encoder {
            mcap,
            channels: HashMap::new(),
            chunk: EVENTS_TOPIC.len() + CHANNEL_OVERHEAD,
            events: 0,
            flushed: 0,
            line: Vec::new(),
            body: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, event: &Event) -> Result<(), EncodeError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Line::Event(Envelope::of(event))).map_err(
            |error| EncodeError::Event { sequence: event.sequence, reason: error.to_string() },
        )?;
        self.body.clear();
        let topic = match &event.what {
            What::FrameIn { frame, .. } => {
                frame.encode_into(&mut self.body);
                Some(Topic::In)
            }
            What::FrameOut { frame, .. } => {
                frame.encode_into(&mut self.body);
                Some(Topic::Out)
            }
            What::HostCall { host_call, .. } => {
                self.body = wire::host_call_value(host_call).to_bytes();
                Some(Topic::Host)
            }
            _ => None,
        };
        let channel_size = event.plugin.len() + CHANNEL_OVERHEAD;
        self.make_room(self.line.len() + self.body.len() + 2 * MESSAGE_OVERHEAD + channel_size)?;
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
        self.events += 1;
        Ok(())
    }

    pub(super) fn write_gap(&mut self, lost: u64) -> Result<(), EncodeError> {
        self.line = format!("{{\"gap\":{{\"lost\":{lost}}}}}").into_bytes();
        self.make_room(self.line.len() + MESSAGE_OVERHEAD)?;
        let header =
            MessageHeader { channel_id: EVENTS_CHANNEL, sequence: 0, log_time: 0, publish_time: 0 };
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

    /// Ends the chunk if `size` more bytes would not fit; an event is never torn.
    fn make_room(&mut self, size: usize) -> Result<(), EncodeError> {
        if self.chunk > 0 && self.chunk + size > CHUNK_LIMIT {
            self.flush()?;
        }
        self.chunk += size;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), EncodeError> {
        self.mcap.flush()?;
        self.chunk = 0;
        self.flushed = self.events;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), EncodeError> {
        self.mcap.finish()?;
        self.flushed = self.events;
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
