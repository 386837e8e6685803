use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use glovebox_events::{CallId, Event, What};
use serde::Serialize;

use crate::{Destination, Gaps, Replacing, TraceError, TraceIndex, TraceReader, TraceWriter};

/// Events that a part may be longer so that it tears no call.
const GRACE: u64 = 10_000;

/// Events between two looks at the size of a part.
const LOOK_EVERY: u64 = 64;

/// Where a part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartLimit {
    /// After so many frames.
    Frames(u64),
    /// After so much time.
    Time(Duration),
    /// At so many bytes of the file, to the chunk.
    Bytes(u64),
}

/// One part of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The new trace.
    #[serde(serialize_with = "crate::about::shown")]
    pub path: PathBuf,
    /// Its events.
    pub events: u64,
    /// Its frames.
    pub frames: u64,
}

/// The report of [`split`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SplitReport {
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// Calls that go on in the next part.
    pub torn_calls: u64,
    /// Calls that are open at the end, at most 10,000; where calls run, a part cannot end.
    pub open_calls: u64,
    /// Events that the recorder could not keep.
    pub lost_events: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

/// Why a split stopped, and what was done by then.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct SplitStopped {
    /// The parts that are finished; they stay.
    pub finished: SplitReport,
    /// The reason.
    pub source: TraceError,
}

/// Writes a trace as several: `out.mcap` becomes `out.001.mcap`, `out.002.mcap` and so on.
///
/// A part ends at the first moment after its limit at which no call runs, but at most 10,000 events
/// later; then calls are torn, and counted. In a trace without any end of a call, as imports are,
/// none counts as running. All numbers are kept, so [`merge`](crate::merge) makes
/// the trace of its parts again. Snapshots of states stay in the part in which they stand.
///
/// # Errors
///
/// If the trace cannot be read, a part cannot be written, or `cancel` was raised. Parts that are
/// finished stay; of the one that is not, nothing does. Damage is counted, not an error.
pub fn split(
    path: impl AsRef<Path>,
    limit: PartLimit,
    out: impl Destination,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<SplitReport, Box<SplitStopped>> {
    let mut report = SplitReport::default();
    let mut part = None;
    let done = write_parts(path.as_ref(), limit, &out, progress, cancel, &mut report, &mut part);
    match done {
        Ok(()) => Ok(report),
        Err(source) => {
            // Half of a part would mislead. If it cannot be removed, its name says `.partial`.
            let _ = part.map(|part: OpenPart| part.writer.discard());
            Err(Box::new(SplitStopped { finished: report, source }))
        }
    }
}

fn write_parts(
    path: &Path,
    limit: PartLimit,
    out: &impl Destination,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
    report: &mut SplitReport,
    part: &mut Option<OpenPart>,
) -> Result<(), TraceError> {
    let mut reader = TraceReader::open(path)?;
    reader.keep_snapshots();
    // An import has frames, and nobody saw what came of them: no call runs from one to the next.
    let has_ends = match TraceIndex::summary(path)? {
        Some(info) => info.calls > 0,
        None => TraceIndex::build(path, &mut |_, _| {}, cancel)?.info().calls > 0,
    };
    let mut open: HashSet<CallId> = HashSet::new();
    let mut gaps = Gaps::default();
    while let Some(event) = reader.next() {
        if cancel.load(Ordering::Relaxed) {
            return Err(TraceError::Cancelled { path: path.to_owned() });
        }
        let event = match event {
            Ok(event) => event,
            Err(TraceError::Damaged { lost, .. } | TraceError::CutShort { lost, .. }) => {
                report.damaged_bytes += lost;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(full) = part.take_if(|part| part.ends(limit, &event, open.len())) {
            report.torn_calls += open.len() as u64;
            report.parts.push(full.finish()?);
        }
        let part = match part {
            Some(part) => part,
            None => {
                let path = part_path(out.path(), report.parts.len() + 1);
                let out = Replacing { path: &path, is_on: out.replaces() };
                part.insert(OpenPart::start(out, &reader, &event)?)
            }
        };
        for snapshot in reader.take_snapshots() {
            part.writer.write_snapshot(&snapshot)?;
        }
        gaps.pass_on(&reader, &mut part.writer)?;
        part.write(&event)?;
        match &event.what {
            // A bounded number: who lets more calls run has them torn uncounted.
            What::FrameIn { call, .. } if has_ends && (open.len() as u64) < GRACE => {
                open.insert(*call);
            }
            What::CallEnded { call, .. } => {
                open.remove(call);
            }
            _ => {}
        }
        progress(reader.position(), reader.size());
    }
    for snapshot in reader.take_snapshots() {
        part.as_mut().map_or(Ok(()), |last| last.writer.write_snapshot(&snapshot))?;
    }
    if let Some(last) = part {
        gaps.pass_on(&reader, &mut last.writer)?;
    }
    if let Some(last) = part.take() {
        report.parts.push(last.finish()?);
    }
    report.open_calls = open.len() as u64;
    report.lost_events = reader.lost_events();
    Ok(())
}

/// A part that is being written.
struct OpenPart {
    writer: TraceWriter,
    started: u64,
    frames: u64,
    /// Events since the limit was reached.
    over: u64,
}

impl OpenPart {
    fn start(
        out: Replacing<'_>,
        reader: &TraceReader,
        first: &Event,
    ) -> Result<OpenPart, TraceError> {
        let mut writer = TraceWriter::create(out, reader.app_version())?;
        for plugin in reader.plugins() {
            writer.describe_plugin(plugin)?;
        }
        if let Some(parent) = reader.parent() {
            writer.describe_parent(parent)?;
        }
        Ok(OpenPart { writer, started: first.at, frames: 0, over: 0 })
    }

    /// True if the part ends before this event.
    fn ends(&mut self, limit: PartLimit, next: &Event, open: usize) -> bool {
        let is_full = match limit {
            PartLimit::Frames(frames) => self.frames >= frames,
            PartLimit::Bytes(bytes) => self.over > 0 || self.bytes() >= bytes,
            PartLimit::Time(time) => {
                Duration::from_nanos(next.at.saturating_sub(self.started)) >= time
            }
        };
        self.over += u64::from(is_full);
        is_full && (open == 0 || self.over > GRACE)
    }

    /// Bytes of the file, looked at now and then; that it cannot be looked at, writing will say.
    fn bytes(&self) -> u64 {
        if !self.writer.events().is_multiple_of(LOOK_EVERY) {
            return 0;
        }
        self.writer.partial().metadata().map_or(0, |found| found.len())
    }

    fn write(&mut self, event: &Event) -> Result<(), TraceError> {
        self.frames +=
            u64::from(matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. }));
        self.writer.write(event)
    }

    fn finish(self) -> Result<Part, TraceError> {
        let events = self.writer.events();
        Ok(Part { path: self.writer.finish_or_discard()?, events, frames: self.frames })
    }
}

fn part_path(out: &Path, number: usize) -> PathBuf {
    let extension = out.extension().unwrap_or("mcap".as_ref()).to_string_lossy();
    out.with_extension(format!("{number:03}.{extension}"))
}
