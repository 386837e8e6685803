use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{TraceError, TraceInfo, TraceReader, TraceWriter};

/// Bytes of a trace that are bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong with them.
    pub reason: String,
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// What can be read.
    pub info: TraceInfo,
    /// What cannot, in order.
    pub problems: Vec<Problem>,
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

/// Reads all of a trace and locates every problem.
///
/// # Errors
///
/// If the file cannot be opened or is no trace.
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport, TraceError> {
    read_all(path.as_ref(), |_, _| Ok(()))
}

/// What [`recover`] saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecoverReport {
    /// What was read, and so what the new file holds.
    pub recovered: TraceInfo,
    /// What could not be read.
    pub lost: Vec<Problem>,
    /// Numbers missing between the first and the last sequence number.
    pub missing_events: u64,
}

impl RecoverReport {
    /// True if every byte of the file could be read; what a dead writer had not yet flushed is not
    /// in the file.
    pub fn is_lossless(&self) -> bool {
        self.lost.is_empty()
    }
}

/// Writes all that can be read of a trace to a new, finished file.
///
/// # Errors
///
/// If the trace cannot be opened or the new file cannot be written.
pub fn recover(path: impl AsRef<Path>, out: impl AsRef<Path>) -> Result<RecoverReport, TraceError> {
    let mut writer: Option<TraceWriter> = None;
    let report = read_all(path.as_ref(), |reader, event| {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(TraceWriter::create(&out, reader.app_version())?),
        };
        writer.write(event)
    })?;
    let mut writer = match writer {
        Some(writer) => writer,
        None => TraceWriter::create(&out, &report.info.app_version)?,
    };
    for plugin in &report.info.plugins {
        writer.describe_plugin(plugin)?;
    }
    if report.info.lost_events > 0 {
        writer.write_gap(report.info.lost_events)?;
    }
    writer.finish()?;
    Ok(RecoverReport {
        recovered: report.info,
        lost: report.problems,
        missing_events: report.missing_events,
    })
}

fn read_all(
    path: &Path,
    mut each: impl FnMut(&TraceReader, &glovebox_events::Event) -> Result<(), TraceError>,
) -> Result<CheckReport, TraceError> {
    let mut reader = TraceReader::open(path)?;
    let mut info = TraceInfo::default();
    let mut problems = Vec::new();
    let mut sequences: Option<(u64, u64)> = None;
    while let Some(item) = reader.next() {
        match item {
            Ok(event) => {
                info.count(&event);
                let (first, last) = sequences.unwrap_or((event.sequence, event.sequence));
                sequences = Some((first.min(event.sequence), last.max(event.sequence)));
                each(&reader, &event)?;
            }
            Err(TraceError::Damaged { offset, lost, reason, .. }) => {
                problems.push(Problem { offset, bytes: lost, reason })
            }
            Err(TraceError::CutShort { offset, lost, .. }) => {
                if lost > 0 {
                    problems.push(Problem {
                        offset,
                        bytes: lost,
                        reason: "the file ends in the middle of a record".to_owned(),
                    });
                }
            }
            Err(error) => return Err(error),
        }
    }
    let spanned = sequences.map_or(0, |(first, last)| (last - first).saturating_add(1));
    info.path = path.to_owned();
    info.size = reader.size();
    info.format = reader.format();
    info.app_version = reader.app_version().to_owned();
    info.plugins = reader.plugins().to_vec();
    info.lost_events = reader.lost_events();
    info.complete = reader.is_complete();
    info.damaged_bytes = problems.iter().map(|problem| problem.bytes).sum();
    Ok(CheckReport { missing_events: spanned.saturating_sub(info.events), info, problems })
}
