//! The index of a trace: the positions of its frames, so that a reader need not read all of it.
//!
//! A [`TraceIndex`] divides a trace into spans of a few chunks and says of each how many frames it
//! holds and what they are like. It is made by one scan ([`TraceIndex::build`]) and kept beside the
//! trace as `<trace>.index`; [`TraceIndex::open`] does whichever is needed. One that another user
//! made, or that came with the trace, is not believed but made anew. From it,
//! [`SpanReader`] reads any rows, and a search passes over the spans in whose [`Marks`] nothing can
//! match.
//!
//! A finished trace has a summary, and a [`TraceOutline`] reads no more than that: it is there at
//! once, and enough to read rows by while the index is made.
//!
//! How a call ended stands later in the file than its frames. Where that is in another span, the
//! index holds the end with the span of the frames, so that each span can be read alone.
//!
//! For a trace of any size, an index has at most 65,536 spans: in larger traces, a span has more
//! chunks. It remembers at most 262,144 calls that run at the same time and as many ends in another
//! span; the frames of calls beyond that count as pending, and [`TraceIndex::unjoined_calls`] says
//! how many calls that are.

mod build;
mod facts;
pub(crate) mod file;
mod marks;
mod outline;
pub(crate) mod recorded;
mod seal;
mod span;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use glovebox_events::CallId;
use serde::{Deserialize, Serialize};

use crate::about::MAX_PROBLEMS;
use crate::format::MAGIC;
pub use crate::format::glance::End;
use crate::read::chunk::KnownChannels;
use crate::versions::VersionSeen;
use crate::{Ends, Numbers, Problem, Statuses, TraceError, TraceInfo, Versions};

pub use facts::FrameView;
#[cfg(test)]
pub(crate) use facts::beside;
pub use marks::{Marks, Verdict};
pub use outline::{RowCounts, TraceOutline};
pub use span::{FramePlace, SpanReader};
pub use values::{HeaderValue, HeaderValues};

/// Spans of an index, whatever the size of the trace.
const MAX_SPANS: usize = 1 << 16;
/// Bytes of a span after decompression in a trace that is not large; ours have such chunks.
const SPAN_BYTES: u64 = 256 << 10;
/// Smaller traces, in bytes, are scanned faster than anybody notices: their index is not kept.
pub const KEPT_FROM: u64 = 8 << 20;
/// Bytes between two chunks of a span that are of no use, damaged or about plugins; more in a
/// large trace, as a span has more bytes there.
const MAX_GAP: u64 = 1 << 20;
/// Bytes of a span in the file, of bytes after decompression that it may have.
const MAX_STRETCH: u64 = 64;
/// Bytes of a file before its first record.
const MAGIC_LEN: u64 = MAGIC.len() as u64;
/// Ends of calls that stand with spans other than their own.
const MAX_LATE: usize = 1 << 18;

/// The index of a trace: its spans, and where they stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceIndex {
    pub(crate) info: TraceInfo,
    pub(crate) problems: Vec<Problem>,
    /// Numbers missing between the first and the last sequence number.
    pub(crate) missing_events: u64,
    pub(crate) channels: KnownChannels,
    /// Ids of the plugins of frames; the marks of spans go by their numbers.
    pub(crate) plugins: Vec<String>,
    pub(crate) spans: Vec<Span>,
    /// Most bytes of a span after decompression, unless a single chunk has more.
    grain: u64,
    unjoined: u64,
    pending: u64,
    /// Largest number of a call and of an instance, so that traces can be merged.
    pub(crate) last_call: u64,
    pub(crate) sequences: Option<(u64, u64)>,
    /// As events name them, in their order.
    pub(crate) versions: Vec<VersionSeen>,
    /// A file that is no index and has the name of this one, which was not kept therefore.
    #[serde(skip)]
    in_the_way: Option<PathBuf>,
}

/// Some chunks that follow each other.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Span {
    /// In bytes from the start of the file.
    pub(crate) offset: u64,
    /// Bytes in the file.
    pub(crate) length: u64,
    /// Bytes after decompression.
    bytes: u64,
    /// Frames before this span.
    pub(crate) first_row: u64,
    pub(crate) frames: u64,
    /// Events that belong to no call.
    pub(crate) outside: u64,
    /// True if anything in it is damaged.
    pub(crate) flawed: bool,
    /// Numbers of the calls that anything in it is about.
    pub(crate) calls: Numbers,
    pub(crate) marks: Marks,
    pub(crate) values: HeaderValues,
    /// How calls ended that have frames here and went on in other spans.
    pub(crate) late: Vec<LateEnd>,
}

/// The end of a call, as another span has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LateEnd {
    /// The call.
    pub call: CallId,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// The statuses that its host calls add.
    pub beside: Statuses,
}

impl LateEnd {
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::of(self.end.as_ref(), self.beside)
    }
}

impl TraceIndex {
    /// The versions that the generations of its instances run.
    pub fn versions(&self) -> Versions {
        let mut versions = Versions::default();
        self.versions.iter().for_each(|seen| versions.add(seen));
        versions.describe(&self.info.plugins);
        versions
    }

    /// The index of a trace: the one beside it if that is there and fits, otherwise a new one,
    /// which is then kept beside it.
    ///
    /// `progress` is called now and then with bytes read and bytes in all; raising `cancel` ends
    /// it. The index of a trace below 8 MiB is not kept, and one that cannot be kept, as in a folder
    /// that cannot be written, is no error. A file of that name that is no index stays, and
    /// [`obstacle`](Self::obstacle) says so.
    ///
    /// # Errors
    ///
    /// If the trace cannot be read, or reading was cancelled. Damage is no error, but counted.
    pub fn open(
        path: impl AsRef<Path>,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> Result<TraceIndex, TraceError> {
        let path = path.as_ref();
        let stamp = file::Stamp::of(path)?;
        if let Some(index) = file::load(path, &stamp) {
            return Ok(index);
        }
        let is_vouched_for = file::is_vouched_for(path, &stamp);
        let mut index = match recorded::load(path, is_vouched_for, progress, cancel)? {
            Some(index) => index,
            None => TraceIndex::build(path, progress, cancel)?,
        };
        if index.info.size < KEPT_FROM {
            return Ok(index);
        }
        // A trace that grew meanwhile has another stamp, and is indexed again.
        let saved = file::save(path, &stamp, &index);
        if saved.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            index.in_the_way = Some(file::path_of(path));
        }
        Ok(index)
    }

    /// Why the index was not kept, if a file that is something else has its name; for people.
    pub fn obstacle(&self) -> Option<String> {
        let path = self.in_the_way.as_ref()?.display();
        let remedy = "move or rename it, and the trace is scanned only once";
        Some(format!(
            "the index was not kept: a file that is no index has its name; {remedy}: {path}"
        ))
    }

    /// The index beside a trace, if it is there and fits the trace as it is now.
    ///
    /// # Errors
    ///
    /// If the trace itself cannot be looked at.
    pub fn beside(path: impl AsRef<Path>) -> Result<Option<TraceIndex>, TraceError> {
        let stamp = file::Stamp::of(path.as_ref())?;
        Ok(file::load(path.as_ref(), &stamp))
    }

    /// The content of a finished trace by its summary, at once and without a look at the frames:
    /// damage is not looked for. `None` if there is no summary that can be trusted, or one of a
    /// version of Glovebox that did not count everything.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is no trace.
    pub fn summary(path: impl AsRef<Path>) -> Result<Option<TraceInfo>, TraceError> {
        outline::info(path.as_ref())
    }

    /// Scans a trace once, on all cores, in bounded memory; keeps nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn build(
        path: impl AsRef<Path>,
        progress: &mut dyn FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> Result<TraceIndex, TraceError> {
        build::build(path.as_ref(), progress, cancel)
    }

    /// The content of the trace.
    pub fn info(&self) -> &TraceInfo {
        &self.info
    }

    /// Where it is damaged, in order; the first thousand places.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The spans, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The plugins with frames in a span; `None` if the trace has so many that any may have some.
    pub fn plugins_of<'a>(&'a self, span: &Span) -> Option<impl Iterator<Item = &'a str>> {
        span.marks.plugins(&self.plugins)
    }

    /// Frames, in and out.
    pub fn frames(&self) -> u64 {
        self.info.frames_in + self.info.frames_out
    }

    /// Numbers missing between the first and the last sequence number of the events.
    pub fn missing_events(&self) -> u64 {
        self.missing_events
    }

    /// Calls whose end is not known to their frames, because too many ran at the same time.
    pub fn unjoined_calls(&self) -> u64 {
        self.unjoined
    }

    /// Calls that began in the trace and of which it does not say how they ended. A call of
    /// [`unjoined_calls`](Self::unjoined_calls) may be among them though its end is there.
    pub fn calls_without_outcome(&self) -> u64 {
        self.pending
    }

    /// The number of the first row at or after a time, in nanoseconds since the Unix epoch, to the
    /// span: the row may be a few hundred too early.
    pub fn row_at(&self, at: u64) -> u64 {
        self.span_at(at).map_or(self.frames(), |span| self.spans[span].first_row)
    }

    /// The first span with anything at or after a time, in nanoseconds since the Unix epoch.
    pub fn span_at(&self, at: u64) -> Option<usize> {
        let later = |span: &Span| !span.marks.times.is_empty() && span.marks.times.last >= at;
        self.spans.iter().position(later)
    }

    /// The span that holds a row.
    pub fn span_of(&self, row: u64) -> Option<usize> {
        if row >= self.frames() {
            return None;
        }
        let span = self.spans.partition_point(|span| span.first_row + span.frames <= row);
        (span < self.spans.len()).then_some(span)
    }

    /// True if its numbers fit each other and the size of the trace, so that nothing that is read by
    /// it is out of its bounds, and its counts are those of its parts.
    fn adds_up(&self) -> bool {
        let info = &self.info;
        let (mut end, mut rows, mut outside) = (MAGIC_LEN, 0u64, 0u64);
        for span in &self.spans {
            let Some(span_end) = span.offset.checked_add(span.length) else { return false };
            let Some(next) = rows.checked_add(span.frames) else { return false };
            if span.offset < end || span_end > info.size || span.first_row != rows {
                return false;
            }
            (end, rows) = (span_end, next);
            outside = outside.saturating_add(span.outside);
            if !span.values.adds_up() {
                return false;
            }
        }
        let late: usize = self.spans.iter().map(|span| span.late.len()).sum();
        let damaged = self.problems.iter().try_fold(0u64, |sum, one| sum.checked_add(one.bytes));
        let all = [info.frames_in, info.frames_out, info.calls, info.host_calls];
        let counted = all.iter().try_fold(0u64, |sum, one| sum.checked_add(*one));
        let is_bounded = self.spans.len() <= MAX_SPANS
            && late <= MAX_LATE
            && self.problems.len() <= MAX_PROBLEMS
            && self.plugins.len() <= marks::LAST_PLUGIN + 1;
        is_bounded
            && info.frames_in.checked_add(info.frames_out) == Some(rows)
            && counted.is_some_and(|counted| counted <= info.events && outside <= info.events)
            && info.errors <= info.calls
            && self.pending <= info.frames_in
            && damaged.is_some_and(|damaged| damaged <= info.damaged_bytes)
            && info.range.is_none_or(|(first, last)| first <= last)
            && self.sequences.is_none_or(|(first, last)| first <= last)
    }

    /// An index of nothing.
    fn empty(channels: KnownChannels) -> TraceIndex {
        TraceIndex {
            info: TraceInfo { ends: Some(Ends::default()), ..TraceInfo::default() },
            problems: Vec::new(),
            missing_events: 0,
            channels,
            plugins: Vec::new(),
            spans: Vec::new(),
            grain: SPAN_BYTES,
            unjoined: 0,
            pending: 0,
            last_call: 0,
            sequences: None,
            versions: Vec::new(),
            in_the_way: None,
        }
    }

    /// Adds a chunk that follows the last one, and makes room if there are too many spans then.
    fn add(&mut self, span: Span) {
        self.push(span);
        if self.spans.len() >= MAX_SPANS {
            self.coarsen();
        }
    }

    fn push(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(last)
                if last.bytes + span.bytes <= self.grain
                    && span.offset - (last.offset + last.length) <= MAX_GAP.max(self.grain)
                    && span.offset + span.length - last.offset
                        <= self.grain.saturating_mul(MAX_STRETCH) =>
            {
                last.join(span);
            }
            _ => self.spans.push(span),
        }
    }

    /// Joins neighbours until there is room again.
    fn coarsen(&mut self) {
        self.grain = self.grain.saturating_mul(2);
        let spans = std::mem::take(&mut self.spans);
        spans.into_iter().for_each(|span| self.push(span));
    }
}

impl Span {
    /// Where it starts, in bytes from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes after decompression.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The numbers of its frames, counted through the trace from 0.
    pub fn rows(&self) -> Range<u64> {
        self.first_row..self.first_row + self.frames
    }

    /// Numbers of the calls that anything in it is about.
    pub fn calls(&self) -> Numbers {
        self.calls
    }

    /// True if it holds anything that belongs to no call.
    pub fn has_others(&self) -> bool {
        self.outside > 0
    }

    /// The marks of its frames.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Which values stand in the headers of its frames.
    pub fn header_values(&self) -> &HeaderValues {
        &self.values
    }

    /// How calls ended that have frames here and went on in other spans.
    pub fn late(&self) -> &[LateEnd] {
        &self.late
    }

    fn join(&mut self, next: Span) {
        self.length = next.offset + next.length - self.offset;
        self.bytes += next.bytes;
        self.frames += next.frames;
        self.outside += next.outside;
        self.flawed |= next.flawed;
        self.calls.join(next.calls);
        self.marks.join(&next.marks);
        self.values.join(&next.values);
        let known: HashSet<CallId> = self.late.iter().map(|late| late.call).collect();
        self.late.extend(next.late.into_iter().filter(|late| !known.contains(&late.call)));
    }
}
