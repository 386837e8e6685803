//! NDJSON out of events.
use glovebox_events::Event;
use std::io::{self, Write};

/// Writes one event as one line of JSON.
///
/// # Errors
///
/// If `out` refuses.
pub fn write_ndjson(event: &Event, out: &mut impl Write) -> io::Result<()> {
    todo!()
}
