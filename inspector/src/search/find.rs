use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use glovebox_events::CallId;
use glovebox_trace::index::{FramePlace, FrameView, Span, SpanReader};
use glovebox_trace::{Numbers, TraceError, TraceIndex, Versions};
use parking_lot::Mutex;

use crate::filter::{ChunkSummary, Filter, FrameFilter, Subject};

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
    let hit = |row: u64, place: &FramePlace<'_>| Hit { row, call: place.call };
    scan((path.as_ref(), index, filter, false), &hit, hits, progress, cancel)
}

/// Hands on what `make` makes of each frame that matches. Last of the first four: true if it looks at
/// how calls ended, which a filter may not.
pub(super) fn scan<T: Send>(
    (path, index, filter, needs_end): (&Path, &TraceIndex, &Filter, bool),
    make: &(dyn Fn(u64, &FramePlace<'_>) -> T + Sync),
    hits: &mut (dyn FnMut(&[T]) + Send),
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), TraceError> {
    let next = AtomicUsize::new(0);
    let hits = Mutex::new(hits);
    let work = || {
        let mut search = Search::new(path, index, filter, needs_end)?;
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(TraceError::Cancelled { path: path.to_owned() });
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(span) = index.spans().get(number) else {
                return Ok(());
            };
            let found = search.span(span, make)?;
            if !found.is_empty() {
                (hits.lock())(found);
            }
            progress(number as u64 + 1, index.spans().len() as u64);
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

/// The search of one thread.
struct Search<'a, T> {
    index: &'a TraceIndex,
    filter: Filter,
    /// The part of the filter about frames alone, if that rules anything out.
    alone: Option<FrameFilter>,
    /// True if that is all that the filter asks.
    is_alone: bool,
    needs_end: bool,
    start: u64,
    versions: Versions,
    reader: SpanReader,
    hits: Vec<T>,
}

impl<'a, T> Search<'a, T> {
    fn new(
        path: &Path,
        index: &'a TraceIndex,
        filter: &Filter,
        needs_end: bool,
    ) -> Result<Search<'a, T>, TraceError> {
        let alone = filter.of_frames_alone();
        Ok(Search {
            index,
            is_alone: alone.as_ref().is_some_and(|alone| filter.is_same(alone)),
            alone,
            needs_end,
            // Each thread has a clone, because what regular expressions work with is not shared.
            filter: filter.clone(),
            start: index.info().range.map_or(0, |(first, _)| first),
            versions: index.versions(),
            reader: SpanReader::open(path, index)?,
            hits: Vec::new(),
        })
    }

    /// The matches in a span.
    fn span(
        &mut self,
        span: &Span,
        make: &(dyn Fn(u64, &FramePlace<'_>) -> T + Sync),
    ) -> Result<&[T], TraceError> {
        self.hits.clear();
        if span.rows().is_empty() || !self.filter.may_match(&summary(span, self.index)) {
            return Ok(&self.hits);
        }
        self.reader.read(span)?;
        let Search { filter, alone, is_alone, needs_end, start, versions, hits, .. } = self;
        let is_candidate = |frame: &FrameView<'_>| {
            let passes =
                |alone: &FrameFilter| alone.matches_parts(frame.kind, frame.header, frame.payload);
            alone.as_ref().is_none_or(passes)
        };
        let is_judged = !*is_alone || *needs_end;
        self.reader.each_frame(span, is_judged, is_candidate, |row, place| {
            if *is_alone || filter.matches(&subject(place, *start, versions)) {
                hits.push(make(row, place));
            }
        });
        Ok(&self.hits)
    }
}

/// The summary of a span, by which a filter passes over it.
fn summary(span: &Span, index: &TraceIndex) -> ChunkSummary {
    let start = index.info().range.map_or(0, |(first, _)| first);
    let marks = span.marks();
    ChunkSummary {
        times: match marks.times.is_empty() {
            true => Numbers::NONE,
            false => Numbers {
                first: marks.times.first.saturating_sub(start),
                last: marks.times.last.saturating_sub(start),
            },
        },
        plugins: index.plugins_of(span).map(|plugins| plugins.map(str::to_owned).collect()),
        kinds: marks.kinds,
        directions: marks.directions,
        statuses: marks.statuses,
        sizes: marks.sizes,
        latencies: marks.latencies,
        calls: marks.calls,
        header_values: span.header_values().clone(),
    }
}

/// The subject of a filter; `start` is the time of the first event of the trace.
fn subject<'a>(place: &'a FramePlace<'_>, start: u64, versions: &'a Versions) -> Subject<'a> {
    Subject {
        plugin: &place.plugin,
        kind: place.frame.kind,
        direction: place.direction,
        call: place.call,
        instance: place.instance,
        generation: place.generation,
        version: versions.of(place.instance, place.generation).map_or("", |version| version),
        time: Duration::from_nanos(place.at.saturating_sub(start)),
        status: place.verdict.status,
        latency: place.verdict.latency.map(Duration::from_nanos),
        header: place.frame.header,
        payload: place.frame.payload,
    }
}
