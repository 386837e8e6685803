//! Events as the bytes of a trace. Knows nothing of files.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use glovebox_abi::{Frame, MAX_FRAME_LEN};
use glovebox_events::{Binding, Event, Snapshot, What};

use super::container::Container;
use crate::format::tally::{Tally, Totals};
use crate::format::wire::{self, GapCause, Line};
use crate::format::{
    EVENTS_CHANNEL, EVENTS_TOPIC, INSTANCE, LIBRARY, PARENT, PROFILE, TALLY, TOTALS, snapshot,
};
use crate::index::recorded::{self, IndexWriter};
use crate::{FORMAT_VERSION, ParentRecord, PluginRecord, TraceError};

/// Bytes of a chunk before compression, unless a single event is larger.
const CHUNK_LIMIT: usize = 256 << 10;
/// The bytes that MCAP adds to the data of a message.
const MESSAGE_OVERHEAD: usize = 31;
/// The bytes that MCAP adds to the topic of a channel, with some room.
const CHANNEL_OVERHEAD: usize = 64;

/// Why an event has no bytes.
#[derive(Debug)]
pub(crate) enum EncodeError {
    /// The compressor refused.
    Compress(io::Error),
    /// The event does not fit into the format; others do.
    Event { sequence: u64, reason: String },
}

impl EncodeError {
    pub(crate) fn at(self, path: &Path) -> TraceError {
        let path = path.to_owned();
        match self {
            EncodeError::Compress(source) => TraceError::Io { action: "compress", source, path },
            EncodeError::Event { sequence, reason } => {
                TraceError::Encode { sequence, reason, path }
            }
        }
    }
}

impl From<io::Error> for EncodeError {
    fn from(error: io::Error) -> Self {
        EncodeError::Compress(error)
    }
}

/// The channels of one plugin that were announced, by their topics.
type Channels = [Option<u16>; 3];

/// The most channels of a file that are of one plugin each: the format has 65,536, and those that
/// the rest shares have to fit as well.
const MAX_OWN_CHANNELS: usize = (1 << 16) - 3;

/// The contents of a channel of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The known facts about a plugin.
#[derive(Debug, Clone, Default)]
struct Known {
    version: String,
    digest: String,
    binding: Option<Binding>,
    /// Only events say so yet.
    is_news: bool,
    /// How many plugins were known before.
    place: usize,
}

/// Turns events into the bytes of a trace.
#[derive(Debug)]
pub(crate) struct Encoder {
    container: Container,
    channels: HashMap<Arc<str>, Channels>,
    /// Those of all plugins that came when there was room for no more.
    shared: Channels,
    /// The plugin of the last event that had a channel, and its channels.
    recent: Option<(Arc<str>, Channels)>,
    totals: Totals,
    /// `None` if it is left out.
    index: Option<IndexWriter>,
    /// The whole index is in the file, sealed.
    is_indexed: bool,
    plugins: BTreeMap<Arc<str>, Known>,
    /// Those of `totals` that are in chunks which are written.
    flushed: Tally,
    /// Time of the last event, in nanoseconds since the Unix epoch.
    last: u64,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Encoder {
    /// Makes what a file starts with.
    pub(crate) fn new(app_version: &str, segment: u32) -> Result<Encoder, EncodeError> {
        let mut container = Container::new(PROFILE, &format!("{LIBRARY}{app_version}"));
        let mut metadata =
            strings([("format", FORMAT_VERSION.to_string()), ("app", app_version.to_owned())]);
        metadata.insert("segment".to_owned(), segment.to_string());
        container.metadata(PROFILE, &metadata)?;
        // The first one is `EVENTS_CHANNEL`.
        container.add_channel(EVENTS_TOPIC.to_owned(), "json");
        Ok(Encoder {
            container,
            channels: HashMap::new(),
            shared: Channels::default(),
            recent: None,
            totals: Totals::default(),
            index: Some(IndexWriter::default()),
            is_indexed: false,
            plugins: BTreeMap::new(),
            flushed: Tally::default(),
            last: 0,
            line: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Bytes that wait for the file.
    pub(crate) fn ready(&self) -> &[u8] {
        self.container.ready()
    }

    /// Forgets the first of the bytes that wait.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.container.take(bytes);
    }

    /// All events that were given.
    pub(crate) fn tally(&self) -> &Tally {
        &self.totals.tally
    }

    /// True if nothing waits for the end of a chunk.
    pub(crate) fn is_flushed(&self) -> bool {
        self.container.chunk_len() == 0
    }

    /// Events that are in chunks which are written.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.events()
    }

    pub(crate) fn write(&mut self, event: &Event) -> Result<(), EncodeError> {
        let refused = |reason| EncodeError::Event { sequence: event.sequence, reason };
        self.line.clear();
        wire::write_line(event, &mut self.line).map_err(|error| refused(error.to_string()))?;
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
            Some(topic) => Some(self.channel(&event.plugin, topic).map_err(refused)?),
            None => None,
        };
        // MCAP has 32 bits here; the envelope has all 64.
        let sequence = event.sequence as u32;
        self.container.message(EVENTS_CHANNEL, sequence, event.at, &self.line);
        if let Some(channel) = body_channel {
            self.container.message(channel, sequence, event.at, &self.body);
        }
        self.totals.count(event);
        if let Some(index) = &mut self.index {
            index.event(event);
        }
        self.learn(event);
        self.last = event.at;
        Ok(())
    }

    pub(crate) fn write_gap(&mut self, lost: u64, cause: GapCause) -> Result<(), EncodeError> {
        let line = Line::Gap { lost, cause };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)
            .map_err(|error| EncodeError::Event { sequence: 0, reason: error.to_string() })?;
        self.make_room(self.line.len() + MESSAGE_OVERHEAD)?;
        self.container.message(EVENTS_CHANNEL, 0, self.last, &self.line);
        self.totals.lost = self.totals.lost.saturating_add(lost);
        if let Some(index) = &mut self.index {
            index.gap(lost);
        }
        Ok(())
    }

    /// Remembers what an event says of its plugin.
    fn learn(&mut self, event: &Event) {
        let (version, digest, binding) = match &event.what {
            What::Loaded { version, digest, binding, .. } => (version, digest, Some(*binding)),
            What::Reloaded { version, digest, .. } => (version, digest, None),
            _ => return,
        };
        let place = self.plugins.len();
        let new = || Known { place, ..Known::default() };
        let known = self.plugins.entry(event.plugin.clone()).or_insert_with(new);
        let binding = binding.or(known.binding);
        let (version, digest) = (version.clone(), digest.clone());
        *known = Known { version, digest, binding, is_news: true, place: known.place };
    }

    pub(crate) fn describe_plugin(&mut self, plugin: &PluginRecord) -> Result<(), EncodeError> {
        let known = Known {
            version: plugin.version.clone(),
            digest: plugin.digest.clone(),
            binding: plugin.binding,
            is_news: false,
            place: self.plugins.len(),
        };
        self.flush()?;
        self.end_span();
        self.container.metadata("plugin", &known.to_metadata(&plugin.id))?;
        for instance in &plugin.instances {
            let mut metadata = strings([
                ("plugin", plugin.id.clone()),
                ("instance", instance.instance.to_string()),
                ("version", instance.version.clone()),
                ("file", instance.file.clone()),
                ("folder", instance.folder.clone()),
                ("digest", instance.digest.clone()),
            ]);
            if let Some(binding) = instance.binding {
                metadata.insert("binding".to_owned(), binding_name(binding));
            }
            if !instance.mark.is_empty() {
                metadata.insert("mark".to_owned(), instance.mark.clone());
            }
            self.container.metadata(INSTANCE, &metadata)?;
        }
        self.plugins.insert(plugin.id.as_str().into(), known);
        if let Some(manifest) = &plugin.manifest {
            let name = format!("{}/plugin.toml", plugin.id);
            self.container.attach(&name, "application/toml", manifest.as_bytes())?;
        }
        Ok(())
    }

    /// Says what an instance held. Refused, as an event is, if it is larger than a frame may be.
    pub(crate) fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), EncodeError> {
        let size = snapshot::weight(snapshot);
        if size > MAX_FRAME_LEN {
            let reason = format!("a snapshot has {size} bytes, limit {MAX_FRAME_LEN}");
            return Err(EncodeError::Event { sequence: 0, reason });
        }
        let data = snapshot::encode(snapshot);
        self.flush()?;
        self.end_span();
        let name = format!("{}{}", snapshot.plugin, snapshot::SUFFIX);
        self.container.attach(&name, snapshot::MEDIA_TYPE, &data)?;
        self.totals.snapshots += 1;
        Ok(())
    }

    /// Adds a file that the format knows nothing of. Refused, as an event is, if it is larger than a
    /// frame may be.
    pub(crate) fn attach(
        &mut self,
        name: &str,
        media_type: &str,
        data: &[u8],
    ) -> Result<(), EncodeError> {
        if data.len() > MAX_FRAME_LEN {
            let reason = format!("{name} has {} bytes, limit {MAX_FRAME_LEN}", data.len());
            return Err(EncodeError::Event { sequence: 0, reason });
        }
        self.flush()?;
        self.end_span();
        self.container.attach(name, media_type, data)?;
        Ok(())
    }

    pub(crate) fn describe_parent(&mut self, parent: &ParentRecord) -> Result<(), EncodeError> {
        let metadata = strings([("path", parent.path.clone()), ("how", parent.how.clone())]);
        self.flush()?;
        self.container.metadata(PARENT, &metadata)?;
        Ok(())
    }

    /// Ends the chunk if `size` more bytes would not fit; an event is never torn.
    fn make_room(&mut self, size: usize) -> Result<(), EncodeError> {
        if !self.is_flushed() && self.container.chunk_len() + size > CHUNK_LIMIT {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the chunk, and says how many events of each kind there should be up to here.
    pub(crate) fn flush(&mut self) -> Result<(), EncodeError> {
        let Some(chunk) = self.container.end_chunk()? else {
            return Ok(());
        };
        if let Some(index) = &mut self.index {
            index.end_chunk(chunk);
        }
        let tally = self.totals.tally;
        if self.flushed != tally {
            self.container.metadata(TALLY, &tally.to_metadata())?;
        }
        self.flushed = tally;
        if let Some(index) = self.index.as_mut().filter(|index| index.is_full()) {
            let data = index.take(self.container.take_digest()?)?;
            self.container.attach(recorded::NAME, recorded::MEDIA_TYPE, &data)?;
        }
        Ok(())
    }

    /// Says what all of it is, and ends it.
    pub(crate) fn finish(&mut self) -> Result<(), EncodeError> {
        self.flush()?;
        let mut news: Vec<_> = self.plugins.iter().filter(|(_, known)| known.is_news).collect();
        news.sort_by_key(|(_, known)| known.place);
        for (id, known) in news {
            self.container.metadata("plugin", &known.to_metadata(id))?;
        }
        self.container.metadata(TOTALS, &self.totals.to_metadata())?;
        let (digest, size) = (self.container.take_digest()?, self.container.size());
        // A trace without an index is scanned; that is no reason not to finish it.
        if let Some(index) = &mut self.index
            && let Ok(Some(data)) = index.finish(digest, size)
        {
            self.container.attach(recorded::NAME, recorded::MEDIA_TYPE, &data)?;
            self.is_indexed = true;
        }
        Ok(self.container.finish()?)
    }

    /// True if the finished file holds its index.
    pub(crate) fn is_indexed(&self) -> bool {
        self.is_indexed
    }

    /// Ends the span, because no chunk follows.
    fn end_span(&mut self) {
        if let Some(index) = &mut self.index {
            index.end_span();
        }
    }

    /// Makes no index, so that its cost can be measured.
    pub(crate) fn leave_out_index(&mut self) {
        self.index = None;
        self.container.leave_out_digest();
    }

    /// The channel of a plugin. Once the format has room for those of no other, the rest share some:
    /// each event names its plugin itself.
    fn channel(&mut self, plugin: &Arc<str>, topic: Topic) -> Result<u16, String> {
        // Most events are about the plugin of the one before: neither a hash nor a count of references
        // is needed for them.
        if let Some((recent, channels)) = &self.recent
            && Arc::ptr_eq(recent, plugin)
            && let Some(channel) = channels[topic as usize]
        {
            return Ok(channel);
        }
        let channels = self.channels.entry(plugin.clone()).or_default();
        let channel = match channels[topic as usize] {
            Some(channel) => channel,
            None => {
                let (name, encoding) = topic.name_and_encoding();
                let is_own = self.container.channels() < MAX_OWN_CHANNELS;
                match (is_own, self.shared[topic as usize]) {
                    (false, Some(shared)) => shared,
                    (is_own, _) => {
                        let topic_name = match is_own {
                            true => format!("/plugin/{plugin}/{name}"),
                            false => format!("/plugins/{name}"),
                        };
                        let channel = self.container.add_channel(topic_name, encoding);
                        let channel = channel
                            .ok_or("the file has as many channels as fit into its format")?;
                        if !is_own {
                            self.shared[topic as usize] = Some(channel);
                        }
                        channel
                    }
                }
            }
        };
        channels[topic as usize] = Some(channel);
        self.recent = Some((plugin.clone(), *channels));
        Ok(channel)
    }
}

impl Known {
    fn to_metadata(&self, id: &str) -> BTreeMap<String, String> {
        let mut metadata = strings([
            ("id", id.to_owned()),
            ("version", self.version.clone()),
            ("digest", self.digest.clone()),
        ]);
        if let Some(binding) = self.binding {
            metadata.insert("binding".to_owned(), binding_name(binding));
        }
        metadata
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
