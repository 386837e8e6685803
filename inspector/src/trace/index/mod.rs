//! The index of a trace: what stands where, so that nobody has to read it all.
//!
//! A [`TraceIndex`] divides a trace into spans of a few chunks and says of each how many frames it
//! holds and what they are like. It is made by one scan ([`TraceIndex::build`]) and kept beside the
//! trace as `<trace>.index`; [`TraceIndex::open`] does whichever is needed. One that another user
//! made, or that came with the trace, is not believed but made anew. From it,
//! [`FrameWindows`](super::FrameWindows) reads any rows, and a filter passes over the spans in which
//! nothing can match.
//!
//! A finished trace has a summary, and a [`TraceOutline`] reads no more than that: it is there at
//! once, and enough to read rows by while the index is made.
//!
//! How a call ended stands later in the file than its frames. Where that is in another span, the
//! index holds the end with the span of the frames, so that each span can be read alone.
//!
//! Whatever the size of the trace, an index has at most 65,536 spans: in larger traces, a span has
//! more chunks. It remembers at most 262,144 calls that run at the same time and as many ends in
//! another span; the frames of calls beyond that count as pending, and
//! [`TraceIndex::unjoined_calls`] says how many calls that are.

mod build;
mod facts;
pub(super) mod file;
pub(super) mod marks;
mod outline;
mod seal;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use glovebox_events::CallId;
use serde::{Deserialize, Serialize};

use super::glance::End;
use super::repair::MAX_PROBLEMS;
use super::{Problem, TraceError, TraceInfo};
use crate::filter::{ChunkSummary, Span as Numbers};
use marks::{Marks, Verdict};

pub(super) use facts::{FrameView, is_denied};
pub(super) use outline::RowCounts;
pub use outline::TraceOutline;

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
const MAGIC_LEN: u64 = mcap::MAGIC.len() as u64;
/// Ends of calls that stand with spans other than their own.
const MAX_LATE: usize = 1 << 18;

/// What stands where in a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceIndex {
    pub(super) info: TraceInfo,
    pub(super) problems: Vec<Problem>,
    /// Numbers missing between the first and the last sequence number.
    pub(super) missing_events: u64,
    pub(super) events_channel: u16,
    /// Ids of the plugins of frames; the marks of spans go by their numbers.
    pub(super) plugins: Vec<String>,
    pub(super) spans: Vec<Span>,
    /// Most bytes of a span after decompression, unless a single chunk has more.
    grain: u64,
    unjoined: u64,
    pending: u64,
    /// Largest number of a call and of an instance, so that traces can be merged.
    pub(super) last_call: u64,
    pub(super) sequences: Option<(u64, u64)>,
}

/// Some chunks that follow each other.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Span {
    /// In bytes from the start of the file.
    pub(super) offset: u64,
    /// Bytes in the file.
    pub(super) length: u64,
    /// Bytes after decompression.
    bytes: u64,
    /// Frames before this span.
    pub(super) first_row: u64,
    pub(super) frames: u64,
    /// Events that belong to no call.
    pub(super) outside: u64,
    /// True if anything in it is damaged.
    pub(super) flawed: bool,
    /// Numbers of the calls that anything in it is about.
    pub(super) calls: Numbers,
    pub(super) marks: Marks,
    /// How calls ended that have frames here and went on in other spans.
    pub(super) late: Vec<LateEnd>,
}

/// What another span says about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LateEnd {
    pub(super) call: CallId,
    pub(super) end: Option<End>,
    pub(super) denied: bool,
}

impl LateEnd {
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::of(self.end.as_ref(), self.denied)
    }
}

impl TraceIndex {
    /// The index of a trace: the one beside it if that is there and fits, otherwise a new one,
    /// which is then kept beside it.
    ///
    /// `progress` is called now and then with bytes read and bytes in all; raising `cancel` ends
    /// it. The index of a trace below 8 MiB is not kept, and one that cannot be kept, as in a folder
    /// that cannot be written, is no error.
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
        let index = TraceIndex::build(path, progress, cancel)?;
        if index.info.size < KEPT_FROM {
            return Ok(index);
        }
        // A trace that grew meanwhile has another stamp, and is indexed again.
        let _ = file::save(path, &stamp, &index);
        Ok(index)
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

    /// What is in a finished trace by its summary, at once and without a look at the frames: damage
    /// is not looked for. `None` if there is no summary that can be trusted, or one of a version of
    /// Glovebox that did not count everything.
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

    /// What is in the trace.
    pub fn info(&self) -> &TraceInfo {
        &self.info
    }

    /// Where it is damaged, in order; the first thousand places.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
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

    /// The first span with anything at or after a time.
    pub(super) fn span_at(&self, at: u64) -> Option<usize> {
        let later = |span: &Span| !span.marks.times.is_empty() && span.marks.times.last >= at;
        self.spans.iter().position(later)
    }

    /// The span that holds a row.
    pub(super) fn span_of(&self, row: u64) -> Option<usize> {
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
    fn empty(events_channel: u16) -> TraceIndex {
        TraceIndex {
            info: TraceInfo::default(),
            problems: Vec::new(),
            missing_events: 0,
            events_channel,
            plugins: Vec::new(),
            spans: Vec::new(),
            grain: SPAN_BYTES,
            unjoined: 0,
            pending: 0,
            last_call: 0,
            sequences: None,
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
    /// Bytes after decompression.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a filter looks at to pass over the span.
    pub(super) fn summary(&self, index: &TraceIndex) -> ChunkSummary {
        let start = index.info.range.map_or(0, |(first, _)| first);
        self.marks.summary(&index.plugins, start)
    }

    fn join(&mut self, next: Span) {
        self.length = next.offset + next.length - self.offset;
        self.bytes += next.bytes;
        self.frames += next.frames;
        self.outside += next.outside;
        self.flawed |= next.flawed;
        marks::join(&mut self.calls, next.calls);
        self.marks.join(&next.marks);
        let known: HashSet<CallId> = self.late.iter().map(|late| late.call).collect();
        self.late.extend(next.late.into_iter().filter(|late| !known.contains(&late.call)));
    }
}
