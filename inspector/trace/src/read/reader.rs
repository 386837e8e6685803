use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use glovebox_events::{Event, Snapshot};
use glovebox_files::FileKind;

use super::chunk::{ChunkBuffer, Entry, KnownChannels};
use super::foreign::{not_a_trace, of_another_program};
use super::framing::{self, Next, Records};
use crate::format::tally::{Tally, Totals};
use crate::format::wire::{Envelope, Follows, GapCause, Line, Part};
use crate::format::{
    EVENTS_CHANNEL, INSTANCE, LIBRARY, MAGIC, PARENT, PROFILE, TALLY, TOTALS, opcode, snapshot,
};
use crate::{
    Attachment, FORMAT_VERSION, InstanceRecord, ParentRecord, PluginRecord, PluginsSeen,
    TraceError, storage,
};

/// Bytes after decompression that all chunks of a file may have, per byte of the file. LZ4 makes at
/// most 255 of one, and zstd far more of zeros, hence what is [`FREE`].
const MAX_RATIO: u64 = 1 << 10;
/// Bytes after decompression that the chunks of any file may have.
const FREE: u64 = 256 << 20;

/// Yields the events of a trace in the order in which they were written.
///
/// An item can be an error for which [`TraceError::is_damage`] holds: bytes were lost there, and
/// the iteration goes on with what follows. After any other error it ends.
///
/// Holds one chunk in memory at a time; a damaged length never makes it allocate more than about
/// 80 MiB.
#[derive(Debug)]
pub struct TraceReader {
    path: PathBuf,
    records: Records<BufReader<File>>,
    ready: VecDeque<Result<Event, TraceError>>,
    channels: KnownChannels,
    buffer: ChunkBuffer,
    /// Where the chunk stands, and how long it is, of which the last event waits in the buffer for its
    /// frame.
    waiting: Option<(u64, u64)>,
    about: About,
    /// Plugins whose ids events share.
    ids: HashSet<Arc<str>>,
    /// Bytes that chunks may still have after decompression.
    allowance: u64,
    ended: bool,
}

/// A chunk as it stands in the file, or a record of those that another tool wrote outside of chunks.
#[derive(Debug)]
pub(crate) struct RawChunk {
    /// In bytes from the start of the file.
    pub(crate) offset: u64,
    pub(crate) opcode: u8,
    /// Without opcode and length.
    pub(crate) data: Vec<u8>,
}

/// The facts that a trace states about itself.
#[derive(Debug, Default)]
struct About {
    format: u32,
    app_version: String,
    /// Another tool wrote the file, from a trace.
    rewritten: bool,
    plugins: PluginsSeen,
    lost_events: u64,
    skipped_messages: u64,
    parent: Option<ParentRecord>,
    gap_cause: GapCause,
    tally: Tally,
    /// The totals of the writer, and where they stand.
    totals: Option<(u64, Totals)>,
    snapshots: u64,
    /// Those that nobody took yet; `None` if nobody wants them.
    kept: Option<Vec<Snapshot>>,
    /// Files of others that nobody took yet; `None` if nobody wants them.
    attached: Option<Vec<Attachment>>,
}

impl TraceReader {
    /// Opens a trace, finished or not.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or is no trace of a version this one reads.
    pub fn open(path: impl AsRef<Path>) -> Result<TraceReader, TraceError> {
        let mut reader = TraceReader::start(path.as_ref())?;
        // The header and the metadata about the format come first.
        while reader.ready.is_empty() && reader.about.format == 0 && !reader.ended {
            reader.advance()?;
        }
        Ok(reader)
    }

    /// Opens a trace and reads no record yet.
    pub(crate) fn start(path: &Path) -> Result<TraceReader, TraceError> {
        let path = path.to_owned();
        let failed = |source| TraceError::io("read", source, &path);
        let mut file = storage::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut start = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
        if start != MAGIC {
            // The signs of another kind of file may stand further on.
            let rest = FileKind::START_LEN as u64;
            (&mut file).take(rest).read_to_end(&mut start).map_err(failed)?;
            return Err(not_a_trace(&start, path));
        }
        Ok(TraceReader {
            records: Records::new(BufReader::with_capacity(256 << 10, file), size),
            allowance: size.saturating_mul(MAX_RATIO).saturating_add(FREE),
            path,
            ready: VecDeque::new(),
            channels: KnownChannels::new(EVENTS_CHANNEL),
            buffer: ChunkBuffer::default(),
            waiting: None,
            about: About::default(),
            ids: HashSet::new(),
            ended: false,
        })
    }

    /// Bytes read so far, for showing progress against [`size`](Self::size).
    pub fn position(&self) -> u64 {
        self.records.offset()
    }

    /// Size of the file in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.records.size()
    }

    /// Format version of the file; 0 if the record that says so is damaged.
    pub fn format(&self) -> u32 {
        self.about.format
    }

    /// Version of the application that wrote the file.
    pub fn app_version(&self) -> &str {
        &self.about.app_version
    }

    /// True if another tool wrote the file, from a trace. Then metadata, such as tallies, may stand
    /// anywhere, and chunks end where they end.
    pub(crate) fn is_rewritten(&self) -> bool {
        self.about.rewritten
    }

    /// The trace it was made from, once reading came by what says so.
    pub fn parent(&self) -> Option<&ParentRecord> {
        self.about.parent.as_ref()
    }

    /// Snapshots of instances that reading came by.
    pub fn snapshots(&self) -> u64 {
        self.about.snapshots
    }

    /// Keeps the snapshots that reading comes by from now on, for
    /// [`take_snapshots`](Self::take_snapshots).
    pub fn keep_snapshots(&mut self) {
        self.about.kept.get_or_insert_default();
    }

    /// The snapshots that reading came by since the last time.
    pub fn take_snapshots(&mut self) -> Vec<Snapshot> {
        self.about.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Keeps the files that others attached and that reading comes by from now on, for
    /// [`take_attachments`](Self::take_attachments).
    pub fn keep_attachments(&mut self) {
        self.about.attached.get_or_insert_default();
    }

    /// The files of others that reading came by since the last time.
    pub fn take_attachments(&mut self) -> Vec<Attachment> {
        self.about.attached.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Plugins described so far.
    pub fn plugins(&self) -> &[PluginRecord] {
        self.about.plugins.plugins()
    }

    /// Events the recorder could not keep, so far.
    pub fn lost_events(&self) -> u64 {
        self.about.lost_events
    }

    /// Messages of other programs so far, which are no part of the trace.
    pub(crate) fn skipped_messages(&self) -> u64 {
        self.about.skipped_messages
    }

    /// Why the events before the last gap could not be kept.
    pub(crate) fn gap_cause(&self) -> GapCause {
        self.about.gap_cause
    }

    /// Where the summary starts, once the reader is there.
    pub(crate) fn data_end(&self) -> Option<u64> {
        self.records.data_end()
    }

    /// The events there should be up to here, as the writer counted them.
    pub(crate) fn tally(&self) -> &Tally {
        &self.about.tally
    }

    /// The totals of the writer, and where they stand, once the reader is there.
    pub(crate) fn totals(&self) -> Option<(u64, Totals)> {
        self.about.totals
    }

    /// Takes in a record that is no chunk, out of its turn.
    pub(crate) fn take_in(
        &mut self,
        offset: u64,
        opcode: u8,
        data: &[u8],
    ) -> Result<(), TraceError> {
        self.record(offset, opcode, data)
    }

    /// True once the end mark of a cleanly finished file was read.
    pub fn is_complete(&self) -> bool {
        self.records.is_complete()
    }

    /// The next chunk as it stands in the file, or record outside of chunks, for who looks into it
    /// elsewhere; what else stands there is taken in. `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<RawChunk>, TraceError> {
        loop {
            // Without a look into a chunk, there are no events.
            if let Some(Err(damage)) = self.ready.pop_front() {
                return Err(damage);
            }
            if self.ended {
                return Ok(None);
            }
            let failed = |source| TraceError::io("read", source, &self.path);
            match self.records.next().map_err(failed)? {
                Next::Record { offset, opcode: opcode::CHUNK, data } => match self.admit(&data) {
                    Ok(()) => {
                        return Ok(Some(RawChunk { offset, opcode: opcode::CHUNK, data }));
                    }
                    Err(reason) => self.damaged(offset, data.len() as u64, reason),
                },
                Next::Record { offset, opcode, data } if self.is_loose(opcode) => {
                    return Ok(Some(RawChunk { offset, opcode, data }));
                }
                Next::Record { offset, opcode, data } => self.record(offset, opcode, &data)?,
                Next::Damaged { offset, lost, reason } => self.damaged(offset, lost, reason),
                Next::CutShort { offset, lost } => self.cut_short(offset, lost),
                Next::End => self.ended = true,
            }
        }
    }

    /// Reads one record and queues what it holds.
    fn advance(&mut self) -> Result<(), TraceError> {
        let next =
            self.records.next().map_err(|source| TraceError::io("read", source, &self.path))?;
        match next {
            Next::Record { offset, opcode, data } => return self.record(offset, opcode, &data),
            Next::Damaged { offset, lost, reason } => {
                self.end_waiting();
                self.damaged(offset, lost, reason);
            }
            Next::CutShort { offset, lost } => {
                self.end_waiting();
                self.cut_short(offset, lost);
            }
            Next::End => {
                self.end_waiting();
                self.ended = true;
            }
        }
        Ok(())
    }

    /// True for what another tool may have written outside of chunks. A summary repeats channels.
    fn is_loose(&self, opcode: u8) -> bool {
        matches!(opcode, opcode::SCHEMA | opcode::CHANNEL | opcode::MESSAGE)
            && self.data_end().is_none()
    }

    fn cut_short(&mut self, offset: u64, lost: u64) {
        self.ended = true;
        let path = self.path.clone();
        self.ready.push_back(Err(TraceError::CutShort { offset, lost, path }));
    }

    fn record(&mut self, offset: u64, opcode: u8, data: &[u8]) -> Result<(), TraceError> {
        let understood = match opcode {
            opcode if opcode == opcode::CHUNK || self.is_loose(opcode) => {
                self.take_chunk(offset, opcode, data);
                true
            }
            opcode::DATA_END => {
                self.end_waiting();
                true
            }
            opcode::HEADER => {
                let (profile, library) = framing::parse_header(data).unwrap_or((PROFILE, LIBRARY));
                self.about.rewritten = !library.starts_with(LIBRARY);
                if profile != PROFILE {
                    return Err(of_another_program(profile, self.path.clone()));
                }
                true
            }
            opcode::METADATA => self.metadata(offset, data)?,
            opcode::ATTACHMENT => self.attachment(data).is_some(),
            _ => true,
        };
        if !understood {
            let reason = format!("a record of opcode {opcode:#04x} makes no sense");
            self.damaged(offset, data.len() as u64, reason);
        }
        Ok(())
    }

    fn damaged(&mut self, offset: u64, lost: u64, reason: String) {
        let path = self.path.clone();
        self.ready.push_back(Err(TraceError::Damaged { offset, lost, reason, path }));
    }

    fn metadata(&mut self, offset: u64, data: &[u8]) -> Result<bool, TraceError> {
        let Some((name, entries)) = framing::parse_metadata(data) else {
            return Ok(false);
        };
        let entry = |key: &str| entries.get(key).copied().unwrap_or_default().to_owned();
        if name == PROFILE {
            let format = entry("format").parse().unwrap_or(0);
            if format > FORMAT_VERSION {
                return Err(TraceError::NewerFormat {
                    found: format,
                    supported: FORMAT_VERSION,
                    // The version that wrote it surely reads it.
                    needs: match entry("app") {
                        app if app.is_empty() => "later than this one".to_owned(),
                        app => format!("{app} of Glovebox"),
                    },
                    path: self.path.clone(),
                });
            }
            self.about.format = format;
            self.about.app_version = entry("app");
        } else if name == "plugin" {
            let plugin = self.about.plugins.record(&entry("id"));
            plugin.version = entry("version");
            plugin.digest = entry("digest");
            plugin.binding = serde_json::from_value(entry("binding").into()).ok();
        } else if name == INSTANCE {
            let Ok(instance) = entry("instance").parse() else {
                return Ok(false);
            };
            let (version, file, folder) = (entry("version"), entry("file"), entry("folder"));
            let (digest, mark) = (entry("digest"), entry("mark"));
            let binding = serde_json::from_value(entry("binding").into()).ok();
            let record = InstanceRecord { instance, version, file, folder, digest, binding, mark };
            self.about.plugins.record(&entry("plugin")).take_in(record);
        } else if name == PARENT {
            self.about.parent = Some(ParentRecord { path: entry("path"), how: entry("how") });
        } else if name == TALLY {
            let Some(tally) = Tally::from_metadata(&entries) else {
                return Ok(false);
            };
            self.about.tally = tally;
        } else if name == TOTALS {
            let Some(totals) = Totals::from_metadata(&entries) else {
                return Ok(false);
            };
            self.about.totals = Some((offset, totals));
        }
        Ok(true)
    }

    fn attachment(&mut self, data: &[u8]) -> Option<()> {
        let framing::Attached { name, media_type, data } = framing::parse_attachment(data)?;
        if let Some(id) = name.strip_suffix("/plugin.toml") {
            self.about.plugins.record(id).manifest =
                Some(String::from_utf8_lossy(data).into_owned());
        } else if let Some(id) = name.strip_suffix(snapshot::SUFFIX) {
            let snapshot = snapshot::decode(id, data)?;
            self.about.snapshots += 1;
            if let Some(kept) = &mut self.about.kept {
                kept.push(snapshot);
            }
        } else if let Some(attached) = &mut self.about.attached {
            attached.push(Attachment {
                name: name.to_owned(),
                media_type: media_type.to_owned(),
                data: data.to_vec(),
            });
        }
        Some(())
    }

    /// Lets a chunk be decompressed, unless all chunks together claim more than any trace has: a few
    /// bytes can claim to be gigabytes.
    fn admit(&mut self, chunk: &[u8]) -> Result<(), String> {
        let claimed = ChunkBuffer::claimed(chunk);
        match self.allowance.checked_sub(claimed) {
            Some(left) => {
                self.allowance = left;
                Ok(())
            }
            None => Err(format!(
                "the chunk claims {claimed} bytes after decompression, and the chunks of a file of \
                 {} may have {} more in all",
                self.size(),
                self.allowance
            )),
        }
    }

    /// Queues the events of a chunk, or of a record outside of chunks. A bad CRC queues none; a bad
    /// event loses itself only.
    fn take_chunk(&mut self, offset: u64, opcode: u8, data: &[u8]) {
        let place = (offset, data.len() as u64);
        let admitted = if opcode == opcode::CHUNK { self.admit(data) } else { Ok(()) };
        // Given back below, because the events borrow from it while they are taken in.
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.waiting.is_none() {
            buffer.clear();
        }
        let added = admitted.and_then(|()| buffer.append_record(opcode, data));
        // Always the same in our files, but another tool may have rewritten this one.
        self.channels.learn(&buffer);
        match added {
            Ok(()) => {
                self.about.skipped_messages += buffer.messages_of_others(&self.channels);
                self.take_events(&mut buffer, place);
            }
            Err(reason) => {
                self.buffer = buffer;
                self.end_waiting();
                return self.damaged(offset, place.1, reason);
            }
        }
        self.buffer = buffer;
    }

    /// Queues the events in a buffer, and leaves the last in it if its frame is still to come. `place`
    /// is where what was added last stands, and its length.
    fn take_events(&mut self, buffer: &mut ChunkBuffer, place: (u64, u64)) {
        let first = self.waiting.take();
        let waits = buffer.waits(&self.channels) == Some(true);
        let (mut bad_before, mut bad) = (None, None);
        let channels = self.channels.clone();
        let mut entries = buffer.entries(&channels).enumerate().peekable();
        while let Some((number, entry)) = entries.next() {
            if waits && entries.peek().is_none() {
                break;
            }
            if let Err(reason) = self.entry(entry) {
                // An event that waited is of the chunk before.
                let is_before = number == 0 && first.is_some();
                *if is_before { &mut bad_before } else { &mut bad } = Some(reason);
            }
        }
        drop(entries);
        for (place, reason) in [(first, bad_before), (Some(place), bad)] {
            if let (Some((offset, length)), Some(reason)) = (place, reason) {
                self.damaged(offset, length, reason);
            }
        }
        if waits {
            self.waiting = Some(place);
            buffer.keep_last_message(&channels);
        }
    }

    /// Queues the event that waits for its frame, which does not come.
    fn end_waiting(&mut self) {
        let Some((offset, length)) = self.waiting.take() else { return };
        let buffer = std::mem::take(&mut self.buffer);
        let channels = self.channels.clone();
        for entry in buffer.entries(&channels) {
            if let Err(reason) = self.entry(entry) {
                self.damaged(offset, length, reason);
            }
        }
        self.buffer = buffer;
    }

    fn entry(&mut self, entry: Entry<'_>) -> Result<(), String> {
        let stray = || Err("a frame lacks its event".to_owned());
        let Entry::Event { line, body } = entry else {
            return stray();
        };
        let (follows, body) = match parse_line(line)? {
            Line::Gap { lost, cause } => {
                self.about.lost_events = self.about.lost_events.saturating_add(lost);
                self.about.gap_cause = cause;
                (Follows::Nothing, body)
            }
            Line::Event(envelope) => {
                let follows = envelope.what.follows();
                let own = body.filter(|_| follows != Follows::Nothing);
                let event = join(envelope, own.map(Bytes::copy_from_slice), &mut self.ids)?;
                self.learn(&event);
                self.ready.push_back(Ok(event));
                (follows, body)
            }
        };
        // A body that nobody asked for is lost, but the event is not.
        if follows == Follows::Nothing && body.is_some() { stray() } else { Ok(()) }
    }

    /// Takes in what an event says about its plugin.
    pub(crate) fn learn(&mut self, event: &Event) {
        self.about.plugins.learn(event);
    }
}

/// One event of its line and of the message that follows it; `ids` are those that events share.
pub(crate) fn decode_event(
    line: &[u8],
    body: Option<&[u8]>,
    ids: &mut HashSet<Arc<str>>,
) -> Result<Event, String> {
    match parse_line(line)? {
        Line::Event(envelope) => join(envelope, body.map(Bytes::copy_from_slice), ids),
        Line::Gap { .. } => Err("a gap is no event".to_owned()),
    }
}

fn join(
    envelope: Envelope<'_>,
    body: Option<Bytes>,
    ids: &mut HashSet<Arc<str>>,
) -> Result<Event, String> {
    let part = match body {
        Some(bytes) => Part::decode(envelope.what.follows(), &bytes)?,
        None => Part::Nothing,
    };
    let id = match ids.get(&*envelope.plugin) {
        Some(id) => id.clone(),
        None => {
            let id: Arc<str> = (*envelope.plugin).into();
            ids.insert(id.clone());
            id
        }
    };
    envelope.join(id, part)
}

fn parse_line(line: &[u8]) -> Result<Line<'_>, String> {
    serde_json::from_slice(line).map_err(|error| format!("an event makes no sense: {error}"))
}

impl Iterator for TraceReader {
    type Item = Result<Event, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.advance() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}
