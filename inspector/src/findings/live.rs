use glovebox_events::{Event, Sink};
use parking_lot::{Mutex, MutexGuard};

use super::RecordBuilder;

/// A [`RecordBuilder`] behind a lock, as a sink for a host.
#[derive(Debug, Default)]
pub struct LiveRecord(Mutex<RecordBuilder>);

impl LiveRecord {
    /// One that keeps at most so many calls, from 1.
    pub fn new(limit: usize) -> LiveRecord {
        LiveRecord(Mutex::new(RecordBuilder::new(limit)))
    }

    /// The builder; hold it briefly, plugins wait for it.
    pub fn lock(&self) -> MutexGuard<'_, RecordBuilder> {
        self.0.lock()
    }
}

impl Sink for LiveRecord {
    fn record(&self, event: &Event) {
        self.0.lock().ingest(event);
    }
}
