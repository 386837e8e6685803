use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use glovebox_events::CallId;
use parking_lot::Mutex;

use super::index::{FrameView, Span};
use super::span::SpanReader;
use super::{TraceError, TraceIndex};
use crate::filter::{Filter, FrameFilter};

/// A frame that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Counts the frames of the trace from 0.
    pub row: u64,
    /// The call it belongs to.
    pub call: CallId,
}

/// Finds the frames that match, on all cores.
///
/// Spans in which the index rules a match out are not read. `hits` gets the matches span by span:
/// in order within a span, the spans in any order. `progress` is called now and then with spans
/// looked at and spans in all, from any thread; raising `cancel` ends it. Nothing is allocated per
/// frame.
///
/// # Errors
///
/// If the trace cannot be read, or reading was cancelled. Damage is passed over: the index has
/// counted it.
pub fn find(
    path: impl AsRef<Path>,
    index: &TraceIndex,
    filter: &Filter,
    hits: &mut (dyn FnMut(&[Hit]) + Send),
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), TraceError> {
    let next = AtomicUsize::new(0);
    let hits = Mutex::new(hits);
    let path = path.as_ref();
    let work = || {
        let mut search = Search::new(path, index, filter)?;
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(TraceError::Cancelled { path: path.to_owned() });
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(span) = index.spans.get(number) else {
                return Ok(());
            };
            let found = search.span(span)?;
            if !found.is_empty() {
                (hits.lock())(found);
            }
            progress(number as u64 + 1, index.spans.len() as u64);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for other in others {
            // A panic is a bug of ours; it goes on here as if there were no threads.
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })
}

/// What one thread searches with.
struct Search<'a> {
    index: &'a TraceIndex,
    filter: Filter,
    /// What the filter asks of frames alone, if that rules anything out.
    alone: Option<FrameFilter>,
    /// True if that is all that the filter asks.
    is_alone: bool,
    start: u64,
    reader: SpanReader,
    hits: Vec<Hit>,
}

impl<'a> Search<'a> {
    fn new(path: &Path, index: &'a TraceIndex, filter: &Filter) -> Result<Search<'a>, TraceError> {
        let alone = filter.of_frames_alone();
        Ok(Search {
            index,
            is_alone: alone.as_ref().is_some_and(|alone| filter.is_same(alone)),
            alone,
            // Each thread has a clone, because what regular expressions work with is not shared.
            filter: filter.clone(),
            start: index.info.range.map_or(0, |(first, _)| first),
            reader: SpanReader::open(path, index)?,
            hits: Vec::new(),
        })
    }

    /// The matches in a span.
    fn span(&mut self, span: &Span) -> Result<&[Hit], TraceError> {
        self.hits.clear();
        if span.frames == 0 || !self.filter.may_match(&span.summary(self.index)) {
            return Ok(&self.hits);
        }
        self.reader.read(span)?;
        let Search { filter, alone, is_alone, start, hits, .. } = self;
        let is_candidate = |frame: &FrameView<'_>| {
            let passes =
                |alone: &FrameFilter| alone.matches_parts(frame.kind, frame.header, frame.payload);
            alone.as_ref().is_none_or(passes)
        };
        self.reader.each_frame(span, !*is_alone, is_candidate, |row, place| {
            if *is_alone || filter.matches(&place.subject(*start)) {
                hits.push(Hit { row, call: place.call });
            }
        });
        Ok(&self.hits)
    }
}
