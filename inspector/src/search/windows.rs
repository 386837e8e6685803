use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use glovebox_events::{CallId, Direction};
use glovebox_trace::index::{RowCounts, Span, SpanReader};
use glovebox_trace::{TraceError, TraceIndex, TraceOutline};

use crate::store::{Row, RowId, Store, StoreLimits};

/// Bytes of frames after which a window ends early.
const WINDOW_BYTES: usize = 32 << 20;
/// Spans before and after a row in which the rest of its call is looked for.
const REACH: usize = 8;

/// Reads any rows of a trace, without reading the others.
///
/// Rows are the frames of the trace in order, counted from 0; a [`RowId`] of a window is that
/// number. Only the index and the windows that somebody keeps are in memory.
///
/// ```no_run
/// use glovebox_inspector::search::FrameWindows;
/// use glovebox_trace::TraceOutline;
///
/// let outline = TraceOutline::open("big.mcap")?.expect("the trace is finished");
/// let mut windows = FrameWindows::of_outline("big.mcap", &outline)?;
/// let window = windows.read(5_000_000..5_000_100)?;
/// assert!(window.row(5_000_000).is_some());
/// # Ok::<(), glovebox_trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct FrameWindows {
    index: Arc<TraceIndex>,
    /// Where rows are, if the index does not know it because it is that of an outline.
    counts: Option<RowCounts>,
    reader: SpanReader,
}

/// Some rows of a trace that follow each other.
#[derive(Debug)]
pub struct Window {
    /// The rows that it holds: those that were asked for, and their neighbours in the same spans.
    pub rows: Range<u64>,
    /// The frames, and what else happened meanwhile. Other frames and host calls of a call may be
    /// outside of the window.
    pub store: Store,
    /// True if statuses and latencies are those of the whole trace. By an outline they are not: a
    /// call that ends outside of the window is pending.
    pub ends_known: bool,
}

/// A row and what belongs to its call.
#[derive(Debug)]
pub struct CallWindow {
    /// The window with the row.
    pub window: Window,
    /// True if the window has the input and the end of the call, and so everything between.
    pub is_whole: bool,
}

impl FrameWindows {
    /// Opens a trace of which the index is known.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(
        path: impl AsRef<Path>,
        index: Arc<TraceIndex>,
    ) -> Result<FrameWindows, TraceError> {
        let reader = SpanReader::open(path.as_ref(), &index)?;
        Ok(FrameWindows { index, counts: None, reader })
    }

    /// Opens a trace of which only the outline is known. Reading fails with
    /// [`TraceError::SummaryWrong`] where the outline turns out to be wrong.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn of_outline(
        path: impl AsRef<Path>,
        outline: &TraceOutline,
    ) -> Result<FrameWindows, TraceError> {
        let counts = RowCounts::open(path.as_ref(), outline)?;
        let windows = FrameWindows::open(path, outline.index())?;
        Ok(FrameWindows { counts: Some(counts), ..windows })
    }

    /// Rows of the trace.
    pub fn frames(&self) -> u64 {
        self.index.frames()
    }

    /// Reads the spans with these rows; fewer if they hold more than 32 MiB, but never none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(&mut self, rows: Range<u64>) -> Result<Window, TraceError> {
        let Some(first) = self.span_of(rows.start)? else {
            let store = Store::default();
            let rows = rows.start..rows.start;
            return Ok(Window { rows, store, ends_known: self.counts.is_none() });
        };
        let mut end = first + 1;
        while end < self.index.spans().len() && self.rows_of(end)?.start < rows.end {
            end += 1;
        }
        let mut window = self.spans(first..end)?;
        self.end_late(&mut window);
        Ok(window)
    }

    /// Reads a row with all of its call, unless that is more than a few spans away.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read_call(&mut self, row: u64) -> Result<CallWindow, TraceError> {
        let Some(own) = self.span_of(row)? else {
            return Ok(CallWindow { window: self.read(row..row)?, is_whole: false });
        };
        let (mut before, mut after) = (0, 0);
        loop {
            let end = (own + after + 1).min(self.index.spans().len());
            let mut window = self.spans(own.saturating_sub(before)..end)?;
            let call = window.row(row).and_then(|row| window.store.call(row.call));
            let rows = call.map(|call| call.rows.as_slice()).unwrap_or_default();
            let first = rows.first().and_then(|id| window.store.row_by_id(*id));
            let starts = first.is_some_and(|row| row.direction == Direction::In);
            let ends = call.is_some_and(|call| call.timing.is_some());
            let is_whole = starts && ends;
            let grow = |reach: &mut usize, found: bool, left: usize| {
                let grows = !found && *reach < REACH.min(left);
                *reach = if grows { (2 * *reach + 1).min(REACH) } else { *reach };
                grows
            };
            let back = grow(&mut before, starts, own);
            let ahead = grow(&mut after, ends, self.index.spans().len() - 1 - own);
            let is_full = window.store.bytes() >= WINDOW_BYTES;
            if is_full || !(back || ahead) {
                self.end_late(&mut window);
                return Ok(CallWindow { window, is_whole });
            }
        }
    }

    /// The number of the first row at or after a time, in nanoseconds since the Unix epoch, to the
    /// span: the row may be a few hundred too early.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn row_at(&mut self, at: u64) -> Result<u64, TraceError> {
        match self.index.span_at(at) {
            Some(span) => Ok(self.rows_of(span)?.start),
            None => Ok(self.frames()),
        }
    }

    /// The first row of a call; `None` if there is none, or only the outline is known.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn row_of(&mut self, call: CallId) -> Result<Option<u64>, TraceError> {
        let index = Arc::clone(&self.index);
        let holds = |span: &&Span| !span.rows().is_empty() && span.calls().contains(call.0);
        for span in index.spans().iter().filter(holds) {
            self.reader.read(span)?;
            let mut found = None;
            self.reader.each_frame(
                span,
                false,
                |_| true,
                |row, place| {
                    if place.call == call {
                        found.get_or_insert(row);
                    }
                },
            );
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reads spans, and nothing that the index says of calls that end elsewhere.
    fn spans(&mut self, numbers: Range<usize>) -> Result<Window, TraceError> {
        let mut store =
            Store::new(StoreLimits { bytes: usize::MAX, list: 10_000, host_call: usize::MAX });
        if let Some((start, _)) = self.index.info().range {
            store.start_at(start);
        }
        let start = self.rows_of(numbers.start)?.start;
        store.start_rows_at(start);
        store.know(self.index.versions());
        let mut rows = start..start;
        for number in numbers {
            if rows.end > start && store.bytes() >= WINDOW_BYTES {
                break;
            }
            let (before, expected) = (store.len(), self.rows_of(number)?);
            let span = &self.index.spans()[number];
            self.reader.read(span)?;
            self.reader.events().for_each(|event| store.ingest(&event));
            let found = (store.len() - before) as u64;
            if self.counts.is_some() && rows.end + found != expected.end {
                let expected = expected.end.saturating_sub(expected.start);
                return Err(TraceError::SummaryWrong {
                    offset: span.offset(),
                    reason: format!("it counts {expected} frames, and {found} can be read"),
                    path: self.index.info().path.clone(),
                });
            }
            rows.end = expected.end;
        }
        Ok(Window { rows, store, ends_known: self.counts.is_none() })
    }

    /// The span that holds a row.
    fn span_of(&mut self, row: u64) -> Result<Option<usize>, TraceError> {
        match &mut self.counts {
            Some(counts) if row < self.index.frames() => counts.span_of(row).map(Some),
            Some(_) => Ok(None),
            None => Ok(self.index.span_of(row)),
        }
    }

    fn rows_of(&mut self, number: usize) -> Result<Range<u64>, TraceError> {
        if let Some(counts) = &mut self.counts {
            return counts.rows_of(number);
        }
        let span = &self.index.spans()[number];
        Ok(span.rows())
    }

    /// Says how calls went that end outside of a window.
    fn end_late(&self, window: &mut Window) {
        if self.counts.is_some() {
            return;
        }
        let (first, end) = (window.rows.start, window.rows.end);
        let spans = self.index.spans();
        let first = spans.partition_point(|span| span.rows().end <= first);
        let spans = spans[first..].iter().take_while(|span| span.rows().start < end);
        for late in spans.flat_map(|span| span.late()) {
            window.store.end_late(late.call, late.end.as_ref(), late.beside);
        }
    }
}

impl Window {
    /// A row by its number in the trace, if the window has it.
    pub fn row(&self, number: u64) -> Option<&Row> {
        self.store.row_by_id(RowId(number))
    }
}
