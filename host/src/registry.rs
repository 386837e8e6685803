use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;

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
    by_plugin: papaya::HashMap<Arc<str>, InstanceId>,
    free: Mutex<Vec<InstanceId>>,
}

/// Where an instance lives, and which round of instances it is, so that a lookup need not touch the
/// memory of the instance itself.
#[derive(Default)]
struct Place {
    round: AtomicU32,
    slot: ArcSwapOption<Slot>,
}

impl Registry {
    /// The instance of this id, if it is still there.
    pub(crate) fn get(&self, id: InstanceId) -> Option<Guard<Option<Arc<Slot>>>> {
        let place = self.places.get(id.index as usize)?;
        // The instance before the round: whoever sees a later instance sees its round too.
        let guard = place.slot.load();
        let current = place.round.load(Ordering::Acquire) == id.round;
        (current && guard.is_some()).then_some(guard)
    }

    /// Puts in the instance that `make` builds for its new id. If it cannot, the id is lost and the
    /// place is used again.
    pub(crate) fn try_insert<E>(
        &self,
        make: impl FnOnce(InstanceId) -> Result<Arc<Slot>, E>,
    ) -> Result<InstanceId, E> {
        let reused = self.free.lock().pop();
        let id = match reused {
            Some(free) => InstanceId { index: free.index, round: free.round + 1 },
            None => {
                let index = self.places.push(Place::default());
                let index = u32::try_from(index).expect("fewer than 2³² instances were loaded");
                InstanceId { index, round: 0 }
            }
        };
        let slot = make(id).inspect_err(|_| self.free.lock().push(id))?;
        self.by_plugin.pin().insert(slot.plugin.clone(), id);
        let place = &self.places[id.index as usize];
        place.round.store(id.round, Ordering::Release);
        place.slot.store(Some(slot));
        Ok(id)
    }

    /// Takes an instance out.
    pub(crate) fn remove(&self, id: InstanceId) -> Option<Arc<Slot>> {
        let slot = self.get(id)?.as_ref().cloned()?;
        self.places[id.index as usize].slot.store(None);
        let named = self.by_plugin.pin();
        let _ = named.remove_if(&slot.plugin, |_, named| *named == id);
        if let Some(other) = self.all().into_iter().find(|other| other.plugin == slot.plugin) {
            named.insert(other.plugin.clone(), other.id);
        }
        self.free.lock().push(id);
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
