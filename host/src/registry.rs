use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::seat::Seat;
use crate::slot::Slot;

/// Identifies a loaded instance. Ids of instances that are gone are never valid again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    index: u32,
    round: u32,
}

impl InstanceId {
    /// The number that events carry.
    pub fn get(self) -> u64 {
        (u64::from(self.round) << 32) | u64::from(self.index)
    }

    /// The reverse of [`get`](Self::get).
    pub fn from_u64(number: u64) -> InstanceId {
        InstanceId { index: number as u32, round: (number >> 32) as u32 }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.round {
            0 => write!(formatter, "{}", self.index),
            round => write!(formatter, "{}.{round}", self.index),
        }
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// All instances of a host: constant-time lookup without locks; stale ids are detected.
///
/// Places are reused, and each reuse counts the place's round up, so an id that names an earlier
/// round finds nothing.
#[derive(Default)]
pub(crate) struct Registry {
    places: boxcar::Vec<Place>,
    /// The instance of each plugin that was loaded last.
    by_plugin: papaya::HashMap<Arc<str>, InstanceId>,
    /// All instances of each plugin, in the order of loading. Whoever holds the lock changes
    /// `by_plugin` with it, so that two threads never leave a name of an instance that is gone.
    named: Mutex<HashMap<Arc<str>, Vec<InstanceId>>>,
    free: Mutex<Vec<InstanceId>>,
}

/// Where an instance lives. Small, because a lookup among many waits for memory and nothing else.
struct Place {
    /// Which round of instances lives here; [`VACANT`] if none does.
    round: AtomicU32,
    /// Stays when the instance goes.
    seat: Arc<Seat>,
    /// True if a call must look at the slot first: it has further seats, is asleep or is draining.
    by_slot: AtomicBool,
    slot: ArcSwapOption<Slot>,
}

const VACANT: u32 = u32::MAX;

impl Registry {
    fn place(&self, id: InstanceId) -> Option<&Place> {
        let place = self.places.get(id.index as usize)?;
        (place.round.load(Ordering::Acquire) == id.round && id.round != VACANT).then_some(place)
    }

    pub(crate) fn contains(&self, id: InstanceId) -> bool {
        self.place(id).is_some()
    }

    /// Where the first copy of this instance runs, and whether a call must look at the slot first.
    /// The instance may be gone by the time somebody holds the seat; whoever does looks.
    #[inline]
    pub(crate) fn seat(&self, id: InstanceId) -> Option<(&Seat, bool)> {
        self.place(id).map(|place| (&*place.seat, place.by_slot.load(Ordering::Relaxed)))
    }

    /// Whether calls of this instance must look at its slot first.
    pub(crate) fn set_by_slot(&self, id: InstanceId, by_slot: bool) {
        if let Some(place) = self.place(id) {
            place.by_slot.store(by_slot, Ordering::Relaxed);
        }
    }

    /// The instance of this id, if it is still there.
    pub(crate) fn get(&self, id: InstanceId) -> Option<Arc<Slot>> {
        self.place(id)?.slot.load_full().filter(|slot| slot.id == id)
    }

    /// Puts in the instance that `make` builds for its new id and seat. If it cannot, the id is lost
    /// and the place is used again.
    pub(crate) fn try_insert<E>(
        &self,
        make: impl FnOnce(InstanceId, Arc<Seat>) -> Result<Arc<Slot>, E>,
    ) -> Result<InstanceId, E> {
        let reused = self.free.lock().pop();
        let id = match reused {
            Some(free) => InstanceId { index: free.index, round: free.round + 1 },
            None => {
                let index = self.places.push(Place {
                    round: AtomicU32::new(VACANT),
                    seat: Arc::default(),
                    by_slot: AtomicBool::new(false),
                    slot: ArcSwapOption::empty(),
                });
                let index = u32::try_from(index).expect("fewer than 2³² instances were loaded");
                InstanceId { index, round: 0 }
            }
        };
        let place = &self.places[id.index as usize];
        let slot = make(id, place.seat.clone()).inspect_err(|_| self.free(id))?;
        let plugin = slot.plugin.clone();
        let mut named = self.named.lock();
        place.by_slot.store(slot.copies() > 1 || slot.is_asleep(), Ordering::Relaxed);
        place.slot.store(Some(slot));
        place.round.store(id.round, Ordering::Release);
        named.entry(plugin.clone()).or_default().push(id);
        self.by_plugin.pin().insert(plugin, id);
        Ok(id)
    }

    /// Lets the place of an instance that is gone, and whose copies have ended, be used again.
    pub(crate) fn free(&self, id: InstanceId) {
        // The last round of a place leaves it empty for ever.
        if id.round < VACANT - 1 {
            self.free.lock().push(id);
        }
    }

    /// Takes an instance out.
    pub(crate) fn remove(&self, id: InstanceId) -> Option<Arc<Slot>> {
        let place = self.place(id)?;
        let mut named = self.named.lock();
        let slot = place.slot.swap(None)?;
        place.round.store(VACANT, Ordering::Release);
        let ids = named.entry(slot.plugin.clone()).or_default();
        ids.retain(|other| *other != id);
        match ids.last() {
            Some(last) => {
                self.by_plugin.pin().insert(slot.plugin.clone(), *last);
            }
            None => {
                named.remove(&slot.plugin);
                self.by_plugin.pin().remove(&slot.plugin);
            }
        }
        Some(slot)
    }

    /// The instance of a plugin that was loaded last.
    pub(crate) fn find(&self, plugin: &str) -> Option<InstanceId> {
        self.by_plugin.pin().get(plugin).copied()
    }

    /// All instances, in the order of their places.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.places.iter().filter_map(|(_, place)| place.slot.load_full()).collect()
    }
}
