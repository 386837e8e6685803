use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_events::Event;
use serde::Serialize;

use crate::about::MAX_PROBLEMS;
use crate::format::tally::Totals;
use crate::{
    Attachment, Destination, GapCause, Gaps, Problem, Tally, TraceError, TraceInfo, TraceReader,
    TraceWriter,
};

/// The report of [`check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The readable content.
    pub info: TraceInfo,
    /// The damage, in order; the first thousand places.
    pub problems: Vec<Problem>,
    /// Places that are not listed.
    pub problems_left_out: u64,
    /// Numbers missing between the first and the last sequence number: events that were lost, or
    /// left out on purpose by a filter.
    pub missing_events: u64,
}

impl CheckReport {
    /// True if the file is finished, undamaged, and no event was lost while recording.
    pub fn is_good(&self) -> bool {
        self.info.complete && self.problems.is_empty() && self.info.lost_events == 0
    }
}

/// Reads all of a trace and says what is in it.
///
/// # Errors
///
/// If the file cannot be opened or is no trace; damage is counted, not an error.
pub fn info(path: impl AsRef<Path>) -> Result<TraceInfo, TraceError> {
    check(path, &AtomicBool::new(false)).map(|report| report.info)
}

/// Reads all of a trace and locates every problem.
///
/// # Errors
///
/// If the file cannot be opened or is no trace, or `cancel` was raised.
pub fn check(path: impl AsRef<Path>, cancel: &AtomicBool) -> Result<CheckReport, TraceError> {
    let mut reader = TraceReader::open(&path)?;
    let mut audit = Audit::default();
    while let Some(item) = reader.next() {
        if cancel.load(Ordering::Relaxed) {
            return Err(TraceError::Cancelled { path: path.as_ref().to_owned() });
        }
        audit.settle(&reader);
        audit.take_in(item)?;
    }
    audit.settle_all(&reader);
    audit.compare_totals(&reader);
    let info = audit.info(path.as_ref(), &reader);
    Ok(CheckReport {
        missing_events: audit.missing_numbers(),
        info,
        problems: audit.problems,
        problems_left_out: audit.left_out,
    })
}

/// The report of [`recover`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoverReport {
    /// The content that was read, and so that of the new file.
    pub recovered: TraceInfo,
    /// Events that are in the new file.
    pub found: Tally,
    /// Events that the trace once held, by its own count, and that cannot be read.
    pub lost: Tally,
    /// Damaged bytes of which nobody knows how many events they held: the end of a file that was
    /// cut off, or a file from before events were counted.
    pub uncounted_bytes: u64,
    /// Bytes that could not be read, in order; the first thousand places.
    pub problems: Vec<Problem>,
    /// Places that are not listed.
    pub problems_left_out: u64,
    /// Numbers missing between the first and the last sequence number.
    pub missing_events: u64,
    /// True if all that was ever written to the file is in the new one. Events that a dead writer
    /// had not yet flushed were never in the file.
    pub lossless: bool,
}

/// Writes all that can be read of a trace to a new, finished file, with the files that others attached to it. Where events are lost, it says
/// how many.
///
/// # Errors
///
/// If the trace cannot be opened, the new file cannot be written, or `cancel` was raised.
pub fn recover(
    path: impl AsRef<Path>,
    out: impl Destination,
    cancel: &AtomicBool,
) -> Result<RecoverReport, TraceError> {
    let mut reader = TraceReader::open(&path)?;
    reader.keep_snapshots();
    reader.keep_attachments();
    let mut writer = TraceWriter::create(out, reader.app_version())?;
    let mut audit = Audit::default();
    if let Err(error) = copy(&mut reader, &mut audit, &mut writer, cancel) {
        // Half of it would mislead. If it cannot be removed, its name says `.partial`.
        let _ = writer.discard();
        return Err(error);
    }
    writer.finish_or_discard()?;
    // The summary is made anew, so nothing that is wrong with the old one is a loss.
    let end = reader.data_end().unwrap_or(u64::MAX);
    Ok(RecoverReport {
        recovered: audit.info(path.as_ref(), &reader),
        found: audit.found,
        lost: audit.lost,
        uncounted_bytes: audit.uncounted_bytes,
        missing_events: audit.missing_numbers(),
        lossless: audit.problems.iter().all(|problem| problem.offset > end)
            && audit.left_out == 0
            && audit.lost.events() == 0,
        problems: audit.problems,
        problems_left_out: audit.left_out,
    })
}

fn copy(
    reader: &mut TraceReader,
    audit: &mut Audit,
    writer: &mut TraceWriter,
    cancel: &AtomicBool,
) -> Result<(), TraceError> {
    let mut gaps = Gaps::default();
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(TraceError::Cancelled { path: writer.partial().to_owned() });
        }
        let item = reader.next();
        let lost = match &item {
            Some(_) => audit.settle(reader),
            None => audit.settle_all(reader),
        };
        if lost > 0 {
            writer.write_gap(lost, GapCause::Damaged)?;
        }
        gaps.pass_on(reader, writer)?;
        for Attachment { name, media_type, data } in reader.take_attachments() {
            writer.attach(&name, &media_type, &data)?;
        }
        for snapshot in reader.take_snapshots() {
            writer.write_snapshot(&snapshot)?;
        }
        let Some(item) = item else {
            break;
        };
        if let Some(event) = audit.take_in(item)? {
            writer.write(&event)?;
        }
    }
    for plugin in reader.plugins() {
        writer.describe_plugin(plugin)?;
    }
    if let Some(parent) = reader.parent() {
        writer.describe_parent(parent)?;
    }
    Ok(())
}

/// Counts what a reader finds and what it does not.
#[derive(Debug, Default)]
struct Audit {
    info: TraceInfo,
    problems: Vec<Problem>,
    /// Problems that are not in the list.
    left_out: u64,
    damaged_bytes: u64,
    /// The first and the last sequence number.
    sequences: Option<(u64, u64)>,
    found: Tally,
    lost: Tally,
    uncounted_bytes: u64,
    /// The writer's count that was compared last.
    settled: Tally,
}

impl Audit {
    /// Compares what was found so far with what the writer counted; says how many more are lost.
    /// Call it before what the reader gave last is taken in: that came after the count. In a file that
    /// another tool wrote, a count may stand anywhere; then only [`settle_all`](Self::settle_all) tells.
    fn settle(&mut self, reader: &TraceReader) -> u64 {
        if self.settled == *reader.tally() || reader.is_rewritten() {
            return 0;
        }
        self.compare(*reader.tally())
    }

    /// The same for all of a file, at its end.
    fn settle_all(&mut self, reader: &TraceReader) -> u64 {
        if !reader.is_rewritten() {
            return self.settle(reader);
        }
        let totals = reader.totals().map(|(_, totals)| totals.tally);
        self.compare(totals.unwrap_or(*reader.tally()))
    }

    fn compare(&mut self, tally: Tally) -> u64 {
        self.settled = tally;
        let before = self.lost.events();
        self.lost = self.found.missing_of(&self.settled);
        self.uncounted_bytes = 0;
        self.lost.events().saturating_sub(before)
    }

    /// Takes in an event, which is handed back, or damage.
    fn take_in(&mut self, item: Result<Event, TraceError>) -> Result<Option<Event>, TraceError> {
        let problem = match item {
            Ok(event) => {
                self.info.count(&event);
                self.found.count(&event);
                let number = event.sequence;
                let (first, last) = self.sequences.unwrap_or((number, number));
                self.sequences = Some((first.min(number), last.max(number)));
                return Ok(Some(event));
            }
            Err(TraceError::CutShort { lost: 0, .. }) => return Ok(None),
            Err(TraceError::CutShort { offset, lost, .. }) => {
                let reason = "the file ends in the middle of a record".to_owned();
                Problem { offset, bytes: lost, reason }
            }
            Err(TraceError::Damaged { offset, lost, reason, .. }) => {
                Problem { offset, bytes: lost, reason }
            }
            Err(error) => return Err(error),
        };
        self.uncounted_bytes += problem.bytes;
        self.damaged_bytes += problem.bytes;
        match self.problems.len() < MAX_PROBLEMS {
            true => self.problems.push(problem),
            false => self.left_out += 1,
        }
        Ok(None)
    }

    /// Finds out if the writer counted what is there. Where bytes are damaged, it did not.
    fn compare_totals(&mut self, reader: &TraceReader) {
        let Some((offset, totals)) = reader.totals() else { return };
        let found = Totals {
            tally: self.found,
            not_completed: self.info.errors,
            dropped: self.info.dropped_frames,
            lost: reader.lost_events(),
            snapshots: reader.snapshots(),
        };
        if self.damaged_bytes > 0 || self.left_out > 0 {
            return;
        }
        if let Some((what, said, found)) = totals.difference(&found) {
            let reason = format!("the totals say {what} {said}, and there are {found}");
            self.problems.push(Problem { offset, bytes: 0, reason });
            self.problems.sort_by_key(|problem| problem.offset);
        }
    }

    fn missing_numbers(&self) -> u64 {
        let spanned = self.sequences.map_or(0, |(first, last)| (last - first).saturating_add(1));
        spanned.saturating_sub(self.info.events)
    }

    fn info(&self, path: &Path, reader: &TraceReader) -> TraceInfo {
        TraceInfo {
            path: path.to_owned(),
            size: reader.size(),
            format: reader.format(),
            app_version: reader.app_version().to_owned(),
            parent: reader.parent().cloned(),
            snapshots: reader.snapshots(),
            plugins: reader.plugins().to_vec(),
            lost_events: reader.lost_events(),
            skipped_messages: reader.skipped_messages(),
            complete: reader.is_complete(),
            damaged_bytes: self.damaged_bytes,
            ends: Some(self.info.ends.clone().unwrap_or_default()),
            ..self.info.clone()
        }
    }
}
