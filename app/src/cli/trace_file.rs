//! Traces that verbs read as a whole.

use std::path::Path;

use glovebox_events::Event;
use glovebox_inspector::diff::Run;
use glovebox_trace::{TraceError, TraceReader, refuse_placeholder};

use super::error::Problem;
use crate::ending::ending_with;

/// The run in a trace, all of it: half a run would differ where nothing does.
pub(super) fn read_run(path: &Path) -> Result<Run, Problem> {
    let name = path.display().to_string();
    read(path, |events| Run::from_events(name, events))
}

/// Makes something of the events of a trace, one after the other.
///
/// # Errors
///
/// If any of it is damaged, or if its frames gave way in a failure bundle.
pub(super) fn read<T>(
    path: &Path,
    make: impl FnOnce(&mut dyn Iterator<Item = Event>) -> T,
) -> Result<T, Problem> {
    let reader = TraceReader::open(path).map_err(Problem::Trace)?;
    let mut damage = None;
    let mut events = ending_with(reader, TraceError::Cancelled { path: path.to_owned() });
    let mut events = events.by_ref().map_while(|event| {
        let whole = event.and_then(|event| {
            refuse_placeholder(&event, path)?;
            Ok(event)
        });
        whole.map_err(|error| damage = Some(error)).ok()
    });
    let made = make(&mut events);
    drop(events);
    match damage {
        None => Ok(made),
        Some(error) => Err(Problem::Trace(error)),
    }
}
