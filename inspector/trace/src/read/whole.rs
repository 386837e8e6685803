//! Reads all of a trace at once: its events, or its snapshots.

use std::path::Path;

use glovebox_events::{Event, Snapshot};

use super::reader::TraceReader;
use crate::{Attachment, PluginRecord, TraceError};

/// A trace in memory.
#[derive(Debug)]
pub struct WholeTrace {
    /// Every event that can be read, in the order in which they were written.
    pub events: Vec<Event>,
    /// Plugins the trace describes.
    pub plugins: Vec<PluginRecord>,
    /// Damage that was skipped, in order.
    pub damage: Vec<TraceError>,
    /// Events the recorder could not keep.
    pub lost_events: u64,
}

/// Reads all of a trace into memory, for replay and diff.
///
/// # Errors
///
/// If the file cannot be read or is no trace; damage is listed, not an error.
pub fn read(path: impl AsRef<Path>) -> Result<WholeTrace, TraceError> {
    let mut reader = TraceReader::open(path)?;
    let mut events = Vec::new();
    let mut damage = Vec::new();
    for item in &mut reader {
        match item {
            Ok(event) => events.push(event),
            Err(error) if error.is_damage() => damage.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(WholeTrace {
        events,
        plugins: reader.plugins().to_vec(),
        damage,
        lost_events: reader.lost_events(),
    })
}

/// The files that were attached to a trace before its first event, without those that belong to the
/// format itself. Reads no further than that.
///
/// # Errors
///
/// If the file cannot be read or is no trace.
pub fn attachments(path: &Path) -> Result<Vec<Attachment>, TraceError> {
    let mut reader = TraceReader::start(path)?;
    reader.keep_attachments();
    match reader.next() {
        Some(Err(error)) if !error.is_damage() => Err(error),
        _ => Ok(reader.take_attachments()),
    }
}

/// Hands on the snapshots of a trace one by one, in the order of the file. Damaged ones are passed
/// over.
///
/// # Errors
///
/// If the file cannot be read or is no trace.
pub fn each_snapshot(path: &Path, mut each: impl FnMut(Snapshot)) -> Result<(), TraceError> {
    let mut reader = TraceReader::open(path)?;
    reader.keep_snapshots();
    loop {
        let next = reader.next_chunk();
        reader.take_snapshots().into_iter().for_each(&mut each);
        match next {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
}
