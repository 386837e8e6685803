use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::span::SpanReader;
use super::{TraceError, TraceIndex};
use crate::store::{Store, StoreLimits};

/// Bytes of frames after which a window ends early.
const WINDOW_BYTES: usize = 32 << 20;

/// Reads any rows of a trace, without reading the others.
///
/// Rows are the frames of the trace in order, counted from 0. What is in memory is the index and
/// the windows that somebody keeps.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicBool;
/// use glovebox_inspector::trace::{FrameWindows, TraceIndex};
///
/// let index = TraceIndex::open("big.mcap", &mut |_, _| {}, &AtomicBool::new(false))?;
/// let mut windows = FrameWindows::open("big.mcap", Arc::new(index))?;
/// let window = windows.read(5_000_000..5_000_100)?;
/// assert!(window.row(5_000_000).is_some());
/// # Ok::<(), glovebox_inspector::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct FrameWindows {
    index: Arc<TraceIndex>,
    reader: SpanReader,
}

/// Some rows of a trace that follow each other.
#[derive(Debug)]
pub struct Window {
    /// The rows that it holds: those that were asked for, and their neighbours in the same spans.
    pub rows: Range<u64>,
    /// The frames, and what else happened meanwhile. Statuses and latencies are those of the whole
    /// trace; other frames and host calls of a call may be outside of the window.
    pub store: Store,
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
        Ok(FrameWindows { index, reader })
    }

    /// What is known of the trace.
    pub fn index(&self) -> &Arc<TraceIndex> {
        &self.index
    }

    /// Reads the spans with these rows; fewer if they hold more than 32 MiB, but never none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(&mut self, rows: Range<u64>) -> Result<Window, TraceError> {
        let mut store = Store::new(StoreLimits { bytes: usize::MAX, list: 10_000 });
        if let Some((start, _)) = self.index.info.range {
            store.start_at(start);
        }
        let spans = &self.index.spans;
        let first = self.index.span_of(rows.start).unwrap_or(spans.len());
        let mut read = rows.start..rows.start;
        for (number, span) in spans[first..].iter().enumerate() {
            if number == 0 {
                read = span.first_row..span.first_row;
            } else if span.first_row >= rows.end || store.bytes() >= WINDOW_BYTES {
                break;
            }
            self.reader.read(span)?;
            self.reader.events().for_each(|event| store.ingest(&event));
            for late in &span.late {
                store.end_late(late.call, late.end.as_ref(), late.denied);
            }
            read.end = span.first_row + span.frames;
        }
        Ok(Window { rows: read, store })
    }
}

impl Window {
    /// A row by its number in the trace, if the window has it.
    pub fn row(&self, number: u64) -> Option<&crate::store::Row> {
        let index = number.checked_sub(self.rows.start)?;
        self.store.row(usize::try_from(index).ok()?)
    }
}
