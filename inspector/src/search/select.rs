use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use glovebox_events::Event;
use glovebox_trace::index::{Span, SpanReader};
use glovebox_trace::{Destination, GapCause, TraceError, TraceIndex, TraceWriter};
use roaring::RoaringTreemap;
use serde::Serialize;

use super::find::{Hit, find};
use crate::filter::Filter;

/// Spans whose events a thread may pick out before those before them are written.
const AHEAD: usize = 4;

/// The report of [`select`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SelectReport {
    /// Calls that are in the new trace.
    pub calls: u64,
    /// Calls that are not. A call counts where its input frame stands.
    pub skipped: u64,
    /// Frames that match; the other frames of their calls are in the new trace too.
    pub frames: u64,
    /// Events in the new trace.
    pub events: u64,
    /// Snapshots of states that are not in the new trace.
    pub snapshots_left_out: u64,
    /// Events that the recorder could not keep. Which of them would be in the new trace, nobody knows:
    /// it says that it lacks all of them.
    pub lost_events: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

/// Writes the calls of which any frame matches to a new trace, whole, and all that happened
/// outside of calls. Snapshots of states are left out: with calls missing in between, they would lead
/// to states that never were.
///
/// The trace is searched on all cores; what the index rules out is not read, neither for the
/// search nor for the new trace.
///
/// # Errors
///
/// If the trace cannot be read, the new one cannot be written, or `cancel` was raised. Damage is
/// counted, not an error.
pub fn select(
    path: impl AsRef<Path>,
    index: &TraceIndex,
    filter: &Filter,
    out: impl Destination,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<SelectReport, TraceError> {
    let path = path.as_ref();
    let mut writer = TraceWriter::create(out, &index.info().app_version)?;
    let mut selection = Selection { path, index, filter, calls: RoaringTreemap::new(), frames: 0 };
    let copied = selection
        .find_calls(progress, cancel)
        .and_then(|()| selection.copy_calls(&mut writer, cancel));
    if let Err(error) = copied {
        // Half of it would mislead. If it cannot be removed, its name says `.partial`.
        let _ = writer.discard();
        return Err(error);
    }
    let events = writer.events();
    writer.finish_or_discard()?;
    let calls = selection.calls.len();
    Ok(SelectReport {
        calls,
        skipped: index.info().frames_in.saturating_sub(calls),
        frames: selection.frames,
        events,
        snapshots_left_out: index.info().snapshots,
        lost_events: index.info().lost_events,
        damaged_bytes: index.info().damaged_bytes,
    })
}

/// The calls that match.
struct Selection<'a> {
    path: &'a Path,
    index: &'a TraceIndex,
    filter: &'a Filter,
    /// A few bits per call, however many there are.
    calls: RoaringTreemap,
    frames: u64,
}

impl Selection<'_> {
    fn find_calls(
        &mut self,
        progress: &(dyn Fn(u64, u64) + Sync),
        cancel: &AtomicBool,
    ) -> Result<(), TraceError> {
        let Selection { path, index, filter, calls, frames } = self;
        let mut take = |hits: &[Hit]| {
            *frames += hits.len() as u64;
            calls.extend(hits.iter().map(|hit| hit.call.0));
        };
        find(path, index, filter, &mut take, progress, cancel)
    }

    /// Writes on this thread what all cores pick out of the spans.
    fn copy_calls(&self, writer: &mut TraceWriter, cancel: &AtomicBool) -> Result<(), TraceError> {
        for plugin in &self.index.info().plugins {
            writer.describe_plugin(plugin)?;
        }
        if let Some(parent) = &self.index.info().parent {
            writer.describe_parent(parent)?;
        }
        // Only reading all of the trace would tell where they stood, and why.
        match self.index.info().lost_events {
            0 => {}
            lost => writer.write_gap(lost, GapCause::Unknown)?,
        }
        let spans: Vec<&Span> =
            self.index.spans().iter().filter(|span| self.concerns(span)).collect();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            // Each worker has every nth span, so that taking turns puts them in order.
            let start = |number: usize| {
                let (to_us, picked) = mpsc::sync_channel(AHEAD);
                let own = spans.iter().skip(number).step_by(workers);
                scope.spawn(move || self.pick(own, &to_us));
                picked
            };
            let workers: Vec<Receiver<_>> = (0..workers).map(start).collect();
            for (_, picked) in spans.iter().zip(workers.iter().cycle()) {
                if cancel.load(Ordering::Relaxed) {
                    return Err(TraceError::Cancelled { path: self.path.to_owned() });
                }
                // A worker that is gone has panicked, which leaving the scope hands on.
                for event in picked.recv().unwrap_or(Ok(Vec::new()))? {
                    writer.write(&event)?;
                }
            }
            Ok(())
        })
    }

    /// True if there may be anything in a span to be copied.
    fn concerns(&self, span: &Span) -> bool {
        let calls = span.calls();
        let has_calls =
            !calls.is_empty() && self.calls.range_cardinality(calls.first..=calls.last) > 0;
        has_calls || span.has_others()
    }

    /// Hands on what is to be copied of each span, until nobody wants it any more.
    fn pick<'a>(
        &self,
        spans: impl Iterator<Item = &'a &'a Span>,
        to_writer: &SyncSender<Result<Vec<Event>, TraceError>>,
    ) {
        let mut reader = match SpanReader::open(self.path, self.index) {
            Ok(reader) => reader,
            Err(error) => {
                // Only fails if nobody wants anything any more.
                let _ = to_writer.send(Err(error));
                return;
            }
        };
        for span in spans {
            let picked = reader
                .read(span)
                .map(|()| reader.events_of(|call| self.calls.contains(call.0)).collect());
            if to_writer.send(picked).is_err() {
                return;
            }
        }
    }
}
