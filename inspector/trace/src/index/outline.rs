//! The rows of a finished trace by its summary alone.
//!
//! The summary says where the chunks are and when their messages were, and after each chunk a
//! `tally` says how many frames there are up to there. That is enough to read any rows: a row is
//! found by a binary search in the tallies, each read when it is needed. It does not tell the marks
//! of the frames and how calls ended: that stays to [`TraceIndex`].

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Marks, Span, TraceIndex, recorded};
use crate::format::tally::Tally;
use crate::format::{
    EVENTS_CHANNEL, EVENTS_TOPIC, INSTANCE, MAGIC, PARENT, TALLY, TOTALS, opcode, snapshot,
};
use crate::read::chunk::KnownChannels;
use crate::read::framing::{parse_channel, parse_metadata};
use crate::{Numbers, TraceError, TraceInfo, TraceReader, storage};

/// Opcode and length of a record.
const PREFIX: u64 = 9;
/// Bytes of a footer, with opcode and length, and of the end mark after it.
const END: u64 = PREFIX + 20 + MAGIC.len() as u64;
/// The largest record of a summary that is read, in bytes.
const MAX_RECORD: u64 = 1 << 20;
/// Records about plugins that are read by a summary.
const MAX_ABOUT: usize = 1_000;
/// The largest tally that is read, in bytes; ours have about 150.
const MAX_TALLY: u64 = 512;

/// How many frames a finished trace has and where they stand, as its writer counted them.
///
/// It is there at once, and [`RowCounts`] finds rows by it. Reading
/// finds out if the writer counted wrong or a chunk is damaged; then, and for everything else that
/// is to be known, there is [`TraceIndex`].
#[derive(Debug, Clone)]
pub struct TraceOutline {
    /// Without rows, marks, late ends and problems.
    pub(crate) index: Arc<TraceIndex>,
    /// By span: where the last tally up to its end stands.
    tallies: Arc<Vec<Option<u64>>>,
}

impl TraceOutline {
    /// Reads the summary of a trace. `None` if there is none that can be trusted: the trace is not
    /// finished, was written by another tool, or its summary is damaged.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is no trace of a version this one reads.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<TraceOutline>, TraceError> {
        let path = path.as_ref();
        let reader = TraceReader::open(path)?;
        if reader.is_rewritten() {
            return Ok(None);
        }
        Ok(Summary::of(path)?.map(|Summary { mut index, tallies, .. }| {
            let info = &mut index.info;
            path.clone_into(&mut info.path);
            info.size = reader.size();
            info.format = reader.format();
            reader.app_version().clone_into(&mut info.app_version);
            info.complete = true;
            TraceOutline { index: Arc::new(index), tallies: Arc::new(tallies) }
        }))
    }

    /// The index as far as a summary makes one: spans with neither rows nor marks nor late ends.
    pub fn index(&self) -> Arc<TraceIndex> {
        self.index.clone()
    }

    /// Frames, in and out.
    pub fn frames(&self) -> u64 {
        self.index.frames()
    }

    /// Time of the first and the last event, in nanoseconds since the Unix epoch.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.index.info.range
    }
}

/// The content of a finished trace by its summary and the totals of its writer, without a look at
/// the frames: damage is not looked for. `None` if there are none that can be trusted.
pub(crate) fn info(path: &Path) -> Result<Option<TraceInfo>, TraceError> {
    let mut reader = TraceReader::open(path)?;
    if reader.is_rewritten() {
        return Ok(None);
    }
    let Some(Summary { index, about, snapshots, .. }) = Summary::of(path)? else {
        return Ok(None);
    };
    let failed = |source| TraceError::io("read", source, path);
    let mut file = storage::open(path).map_err(failed)?;
    for offset in about {
        match read_record(&mut file, offset).map_err(failed)? {
            Some((opcode, data)) => reader.take_in(offset, opcode, &data)?,
            None => return Ok(None),
        }
    }
    let mut info = index.info;
    let Some((_, totals)) = reader.totals() else {
        return Ok(None);
    };
    let tally = totals.tally;
    let is_same = (tally.events(), tally.frames_in, tally.frames_out)
        == (info.events, info.frames_in, info.frames_out);
    if !is_same || totals.snapshots != snapshots || totals.not_completed > tally.calls_ended {
        return Ok(None);
    }
    path.clone_into(&mut info.path);
    info.size = reader.size();
    info.format = reader.format();
    reader.app_version().clone_into(&mut info.app_version);
    info.calls = tally.calls_ended;
    info.errors = totals.not_completed;
    // The totals do not tell them apart.
    info.ends = None;
    info.host_calls = tally.host_calls;
    info.dropped_frames = totals.dropped;
    info.snapshots = totals.snapshots;
    info.lost_events = totals.lost;
    info.plugins = reader.plugins().to_vec();
    info.parent = reader.parent().cloned();
    info.complete = true;
    Ok(Some(info))
}

/// The index that a writer left in its trace, as the summary describes it.
pub(super) struct Recorded {
    pub(super) info: TraceInfo,
    /// Where its attachments stand, in order, and their bytes.
    pub(super) parts: Vec<(u64, u64)>,
}

/// `None` if there is no summary that can be trusted, or no index.
pub(super) fn recorded(path: &Path) -> Result<Option<Recorded>, TraceError> {
    let parts = match Summary::of(path)? {
        Some(Summary { index_parts, .. }) if !index_parts.is_empty() => index_parts,
        _ => return Ok(None),
    };
    Ok(info(path)?.map(|info| Recorded { info, parts }))
}

/// A record that is no chunk.
fn read_record(file: &mut File, offset: u64) -> io::Result<Option<(u8, Vec<u8>)>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut prefix = Vec::new();
    file.take(PREFIX).read_to_end(&mut prefix)?;
    let Some([opcode, length @ ..]) = prefix.first_chunk::<{ PREFIX as usize }>() else {
        return Ok(None);
    };
    let length = u64::from_le_bytes(*length);
    let mut data = Vec::new();
    file.take(length.min(MAX_RECORD)).read_to_end(&mut data)?;
    let is_whole = data.len() as u64 == length && *opcode != opcode::CHUNK;
    Ok(is_whole.then_some((*opcode, data)))
}

/// Where the summary starts and ends, if there is one and its CRC is right.
fn find_summary(file: &mut File) -> io::Result<Option<(u64, u64)>> {
    let size = file.metadata()?.len();
    let Some(footer_at) = size.checked_sub(END) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(footer_at))?;
    let mut end = [0; END as usize];
    file.read_exact(&mut end)?;
    let (footer, mark) = end.split_at(end.len() - MAGIC.len());
    let (Some(start), Some(crc)) = (u64_at(footer, 9), u32_at(footer, 25)) else {
        return Ok(None);
    };
    let is_footer = footer[0] == opcode::FOOTER && u64_at(footer, 1) == Some(20);
    if mark != MAGIC || !is_footer || start == 0 || start > footer_at || crc == 0 {
        return Ok(None);
    }
    let mut hasher = crc32fast::Hasher::new();
    file.seek(SeekFrom::Start(start))?;
    // All of it but the CRC itself.
    let mut source = BufReader::with_capacity(64 << 10, file.take(footer_at + 25 - start));
    let mut block = [0; 16 << 10];
    loop {
        match source.read(&mut block)? {
            0 => break,
            read => hasher.update(&block[..read]),
        }
    }
    Ok((hasher.finalize() == crc).then_some((start, footer_at)))
}

/// The chunks and tallies by the summary.
struct Summary {
    index: TraceIndex,
    /// By span: where its last tally stands.
    tallies: Vec<Option<u64>>,
    /// Where stands what is to be known of plugins, of the parent, and of everything.
    about: Vec<u64>,
    /// Where the attachments of an index stand, and their bytes.
    index_parts: Vec<(u64, u64)>,
    snapshots: u64,
}

impl Summary {
    /// That of a trace, if there is one that can be trusted.
    fn of(path: &Path) -> Result<Option<Summary>, TraceError> {
        let read = || -> io::Result<Option<Summary>> {
            let mut file = storage::open(path)?;
            let Some((start, end)) = find_summary(&mut file)? else {
                return Ok(None);
            };
            let Some(mut summary) = Summary::read(&mut file, start, end)? else {
                return Ok(None);
            };
            Ok(summary.count(&mut file)?.map(|()| summary))
        };
        match read() {
            // It claims more than there is.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map_err(|source| TraceError::io("read", source, path)),
        }
    }

    /// `None` if it does not add up.
    fn read(file: &mut File, start: u64, end: u64) -> io::Result<Option<Summary>> {
        let mut summary = Summary {
            index: TraceIndex::empty(KnownChannels::new(EVENTS_CHANNEL)),
            tallies: Vec::new(),
            about: Vec::new(),
            index_parts: Vec::new(),
            snapshots: 0,
        };
        file.seek(SeekFrom::Start(start))?;
        let mut source = BufReader::with_capacity(64 << 10, file.take(end - start));
        let mut data = Vec::new();
        let mut at = start;
        while at < end {
            let mut prefix = [0; PREFIX as usize];
            source.read_exact(&mut prefix)?;
            let [opcode, length @ ..] = prefix;
            let length = u64::from_le_bytes(length);
            at = at.saturating_add(PREFIX).saturating_add(length);
            if at > end || length > MAX_RECORD {
                return Ok(None);
            }
            data.clear();
            (&mut source).take(length).read_to_end(&mut data)?;
            let understood = match opcode {
                opcode::CHANNEL => summary.channel(&data),
                opcode::CHUNK_INDEX => summary.chunk(&data, start),
                opcode::METADATA_INDEX => summary.metadata(&data, start),
                opcode::ATTACHMENT_INDEX => summary.attachment(&data, start),
                _ => Some(()),
            };
            if understood.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(summary))
    }

    fn channel(&mut self, data: &[u8]) -> Option<()> {
        let (id, topic) = parse_channel(data)?;
        if topic == EVENTS_TOPIC {
            self.index.channels.events = id;
        }
        Some(())
    }

    fn chunk(&mut self, data: &[u8], data_end: u64) -> Option<()> {
        let [first, last] = [u64_at(data, 0)?, u64_at(data, 8)?];
        let [offset, length] = [u64_at(data, 16)?, u64_at(data, 24)?];
        let bytes = u64_at(data, data.len().checked_sub(8)?)?;
        let before = self.index.spans.last().map_or(0, |span| span.offset + span.length);
        let fits = before <= offset && offset.checked_add(length)? <= data_end;
        if !fits || first > last || !self.tallies.is_empty() {
            return None;
        }
        let mut marks = Marks::default();
        // A chunk without messages has no times.
        if last > 0 {
            // One that starts with a gap does not say when its first event was.
            let first = (first > 0).then_some(first)?;
            let (start, end) = self.index.info.range.unwrap_or((first, last));
            self.index.info.range = Some((start.min(first), end.max(last)));
            marks.times = Numbers { first, last };
        }
        self.index.add(Span { offset, length, bytes, marks, ..Span::default() });
        Some(())
    }

    fn metadata(&mut self, data: &[u8], data_end: u64) -> Option<()> {
        let offset = u64_at(data, 0).filter(|offset| *offset < data_end)?;
        let name = data.get(20..)?;
        if [&b"plugin"[..], INSTANCE.as_bytes(), PARENT.as_bytes(), TOTALS.as_bytes()]
            .contains(&name)
        {
            self.add_about(offset)?;
        }
        if name != TALLY.as_bytes() {
            return Some(());
        }
        let spans = &self.index.spans;
        self.tallies.resize(spans.len(), None);
        let number = spans.partition_point(|span| span.offset <= offset).checked_sub(1)?;
        let last = &mut self.tallies[number];
        *last = (*last).max(Some(offset));
        Some(())
    }

    fn attachment(&mut self, data: &[u8], data_end: u64) -> Option<()> {
        let offset = u64_at(data, 0).filter(|offset| *offset < data_end)?;
        let name = data.get(44..)?.get(..u32_at(data, 40)? as usize)?;
        if name == recorded::NAME.as_bytes() {
            self.index_parts.push((offset, u64_at(data, 8)?));
        } else if name.ends_with(snapshot::SUFFIX.as_bytes()) {
            self.snapshots += 1;
        } else if name.ends_with(b"/plugin.toml") {
            self.add_about(offset)?;
        }
        Some(())
    }

    /// `None` if there are more than are read one by one.
    fn add_about(&mut self, offset: u64) -> Option<()> {
        self.about.push(offset);
        (self.about.len() <= MAX_ABOUT).then_some(())
    }

    /// Takes in the last tally, which counts everything.
    fn count(&mut self, file: &mut File) -> io::Result<Option<()>> {
        self.tallies.resize(self.index.spans.len(), None);
        // A span without a tally has no events, so that the one before counts.
        let mut last = None;
        for tally in &mut self.tallies {
            last = tally.or(last);
            *tally = last;
        }
        let all = match last {
            Some(last) => read_tally(file, last)?,
            None => None,
        };
        let info = &mut self.index.info;
        Ok(all.filter(|all| frames(all).is_some()).map(|all| {
            info.events = all.events();
            info.frames_in = all.frames_in;
            info.frames_out = all.frames_out;
        }))
    }
}

/// Finds rows by an outline, and remembers what it read for that.
#[derive(Debug)]
pub struct RowCounts {
    outline: TraceOutline,
    file: File,
    /// By span: frames up to its end, once that was read.
    known: Vec<Option<u64>>,
}

impl RowCounts {
    /// Opens a trace of which the outline is known.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(path: &Path, outline: &TraceOutline) -> Result<RowCounts, TraceError> {
        let file = storage::open(path).map_err(|source| TraceError::io("read", source, path))?;
        let known = vec![None; outline.index.spans.len()];
        Ok(RowCounts { outline: outline.clone(), file, known })
    }

    /// The span that holds a row below the number of frames.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or what it counts does not add up.
    pub fn span_of(&mut self, row: u64) -> Result<usize, TraceError> {
        let (mut first, mut last) = (0, self.known.len().saturating_sub(1));
        while first < last {
            let middle = first.midpoint(last);
            if self.rows_up_to(middle)? > row {
                last = middle;
            } else {
                first = middle + 1;
            }
        }
        Ok(first)
    }

    /// The rows of a span, as its writer counted them.
    ///
    /// # Errors
    ///
    /// As [`span_of`](Self::span_of).
    pub fn rows_of(&mut self, number: usize) -> Result<Range<u64>, TraceError> {
        let first = match number.checked_sub(1) {
            Some(before) => self.rows_up_to(before)?,
            None => 0,
        };
        Ok(first..self.rows_up_to(number)?)
    }

    fn rows_up_to(&mut self, number: usize) -> Result<u64, TraceError> {
        if let Some(rows) = self.known[number] {
            return Ok(rows);
        }
        let rows = match self.outline.tallies.get(number).copied().flatten() {
            None => 0,
            Some(at) => {
                let path = || self.outline.index.info.path.clone();
                let tally = read_tally(&mut self.file, at)
                    .map_err(|source| TraceError::io("read", source, &path()))?;
                let rows = tally.as_ref().and_then(frames);
                rows.ok_or_else(|| TraceError::SummaryWrong {
                    offset: at,
                    reason: "the count after this chunk is damaged".to_owned(),
                    path: path(),
                })?
            }
        };
        self.known[number] = Some(rows);
        Ok(rows)
    }
}

fn frames(tally: &Tally) -> Option<u64> {
    tally.frames_in.checked_add(tally.frames_out)
}

fn read_tally(file: &mut File, at: u64) -> io::Result<Option<Tally>> {
    file.seek(SeekFrom::Start(at))?;
    let mut data = Vec::new();
    file.take(PREFIX + MAX_TALLY).read_to_end(&mut data)?;
    let tally = || {
        let length = usize::try_from(u64_at(&data, 1)?).ok()?;
        let record = data.get(PREFIX as usize..)?.get(..length)?;
        let (name, entries) = parse_metadata(record)?;
        let is_tally = data[0] == opcode::METADATA && name == TALLY;
        is_tally.then(|| Tally::from_metadata(&entries)).flatten()
    };
    Ok(tally())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
