use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use roaring::RoaringTreemap;
use serde::Serialize;

use super::find::{Hit, find};
use super::span::{SpanReader, call_of};
use super::{TraceError, TraceIndex, TraceWriter};
use crate::filter::Filter;

/// What [`select`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SelectReport {
    /// Calls that are in the new trace.
    pub calls: u64,
    /// Calls that are not. A call counts where its input frame stands.
    pub skipped: u64,
    /// Frames that match; the other frames of their calls are in the new trace too.
    pub frames: u64,
    /// Events in the new trace.
    pub events: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

/// Writes the calls of which any frame matches to a new trace, whole, and all that happened
/// outside of calls.
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
    out: impl AsRef<Path>,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<SelectReport, TraceError> {
    let path = path.as_ref();
    let mut writer = TraceWriter::create(out, &index.info.app_version)?;
    let mut selection = Selection { path, index, filter, calls: RoaringTreemap::new(), frames: 0 };
    let copied = selection
        .find_calls(progress, cancel)
        .and_then(|()| selection.copy_calls(&mut writer, cancel));
    if let Err(error) = copied {
        // Half of it would mislead. If it cannot be removed, its name says `.partial`.
        let _ = std::fs::remove_file(writer.partial());
        return Err(error);
    }
    let events = writer.events();
    writer.finish()?;
    let calls = selection.calls.len();
    Ok(SelectReport {
        calls,
        skipped: index.info.frames_in.saturating_sub(calls),
        frames: selection.frames,
        events,
        damaged_bytes: index.info.damaged_bytes,
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

    fn copy_calls(&self, writer: &mut TraceWriter, cancel: &AtomicBool) -> Result<(), TraceError> {
        for plugin in &self.index.info.plugins {
            writer.describe_plugin(plugin)?;
        }
        let mut reader = SpanReader::open(self.path, self.index)?;
        for span in &self.index.spans {
            if cancel.load(Ordering::Relaxed) {
                return Err(TraceError::Cancelled { path: self.path.to_owned() });
            }
            let has_calls = !span.calls.is_empty()
                && self.calls.range_cardinality(span.calls.first..=span.calls.last) > 0;
            if !has_calls && span.outside == 0 {
                continue;
            }
            reader.read(span)?;
            for event in reader.events() {
                match call_of(&event) {
                    Some(call) if !self.calls.contains(call.0) => {}
                    _ => writer.write(&event)?,
                }
            }
        }
        Ok(())
    }
}
