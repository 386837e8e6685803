use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_events::{Event, Sink};
use glovebox_trace::{PluginRecord, TraceError, TraceReader};
use parking_lot::{Mutex, MutexGuard};

use super::{Store, StoreLimits};

/// A [`Store`] that a host writes and a window reads.
#[derive(Debug, Default)]
pub struct LiveStore(Mutex<Store>);

impl LiveStore {
    /// An empty store.
    pub fn new(limits: StoreLimits) -> LiveStore {
        LiveStore(Mutex::new(Store::new(limits)))
    }

    /// The store; hold it briefly, plugins wait for it.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock()
    }
}

impl Sink for LiveStore {
    fn record(&self, event: &Event) {
        self.0.lock().ingest(event);
    }
}

/// Why a trace could not be loaded into a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The trace cannot be read at all.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The cancel flag was raised.
    #[error("loading was cancelled")]
    Cancelled,
}

/// Damage of which each is described.
const MAX_DAMAGE: usize = 1_000;

/// A trace in a store.
#[derive(Debug)]
pub struct Loaded {
    /// The store.
    pub store: Store,
    /// Damage that was skipped, in order; the first 1,000.
    pub damage: Vec<TraceError>,
    /// Damage that was skipped, all of it.
    pub damaged: u64,
    /// Events the recorder could not keep.
    pub lost_events: u64,
    /// Plugins the trace describes.
    pub plugins: Vec<PluginRecord>,
}

/// Fills a store of its own from a trace file.
///
/// `progress` is called now and then with bytes read and bytes in all; raising `cancel` ends it.
///
/// # Errors
///
/// If the trace cannot be read, or loading was cancelled. Damage is no error: it is listed.
pub fn load(
    path: impl AsRef<Path>,
    limits: StoreLimits,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<Loaded, LoadError> {
    let mut reader = TraceReader::open(path)?;
    let mut store = Store::new(limits);
    let (mut damage, mut damaged) = (Vec::new(), 0);
    let mut reported = 0;
    while let Some(item) = reader.next() {
        match item {
            Ok(event) => store.ingest(&event),
            Err(error) if error.is_damage() => {
                damaged += 1;
                if damage.len() < MAX_DAMAGE {
                    damage.push(error);
                }
            }
            Err(error) => return Err(error.into()),
        }
        // Once per chunk, about.
        if reader.position() != reported {
            reported = reader.position();
            progress(reported, reader.size());
            if cancel.load(Ordering::Relaxed) {
                return Err(LoadError::Cancelled);
            }
        }
    }
    let (lost_events, plugins) = (reader.lost_events(), reader.plugins().to_vec());
    Ok(Loaded { store, damage, damaged, lost_events, plugins })
}
