use glovebox_events::{Event, Sink};
use parking_lot::{Mutex, MutexGuard};

use super::Recorder;

/// A [`Recorder`] behind a lock, as a sink for a host.
#[derive(Debug, Default)]
pub struct LiveRecorder(Mutex<Recorder>);

impl LiveRecorder {
    /// One that keeps at most so many calls, from 1.
    pub fn new(limit: usize) -> LiveRecorder {
        LiveRecorder(Mutex::new(Recorder::new(limit)))
    }

    /// The recorder; hold it briefly, plugins wait for it.
    pub fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock()
    }
}

impl Sink for LiveRecorder {
    fn record(&self, event: &Event) {
        self.0.lock().ingest(event);
    }
}
