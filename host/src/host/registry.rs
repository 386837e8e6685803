use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::id::InstanceId;
use crate::instance::{CopyCell, Instance};

/// All instances of a host: constant-time lookup without locks; stale ids are detected.
///
/// Entries are reused, and each reuse counts the place's round up, so an id that names an earlier
/// round finds nothing.
#[derive(Default)]
pub(crate) struct Registry {
    entries: boxcar::Vec<Entry>,
    /// The instance of each plugin that was loaded last.
    by_plugin: papaya::HashMap<Arc<str>, InstanceId>,
    /// All instances of each plugin, in the order of loading. The holder of the lock changes
    /// `by_plugin` and the entries with it, so that two threads never leave a name of an instance that
    /// is gone, nor change an entry in which another one lives by now.
    named: Mutex<HashMap<Arc<str>, Vec<InstanceId>>>,
    free: Mutex<Vec<InstanceId>>,
    /// How many instances were put in so far.
    loaded: AtomicU64,
}

/// Where an instance lives. Small, because a lookup among many waits for memory and nothing else.
struct Entry {
    /// Which round of instances lives here; [`VACANT`] if none does.
    round: AtomicU32,
    /// Stays when the instance goes.
    cell: Arc<CopyCell>,
    /// True if a call must look at the instance first: it has further copies, is asleep or is draining.
    needs_instance: AtomicBool,
    instance: ArcSwapOption<Instance>,
}

const VACANT: u32 = u32::MAX;

impl Registry {
    fn entry(&self, id: InstanceId) -> Option<&Entry> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.round.load(Ordering::Acquire) == id.round && id.round != VACANT).then_some(entry)
    }

    pub(crate) fn contains(&self, id: InstanceId) -> bool {
        self.entry(id).is_some()
    }

    /// Where the first copy of this instance runs, and whether a call must look at the instance first.
    /// The instance may be gone by the time the cell is held; the holder looks.
    #[inline]
    pub(crate) fn cell(&self, id: InstanceId) -> Option<(&CopyCell, bool)> {
        self.entry(id).map(|entry| (&*entry.cell, entry.needs_instance.load(Ordering::Relaxed)))
    }

    /// Whether calls must look at the instance first.
    pub(crate) fn set_needs_instance(&self, id: InstanceId, needs_instance: bool) {
        // Nobody takes it out meanwhile and puts another one in its place.
        let _named = self.named.lock();
        if let Some(entry) = self.entry(id) {
            entry.needs_instance.store(needs_instance, Ordering::Relaxed);
        }
    }

    /// The instance of this id, if it is still there.
    pub(crate) fn get(&self, id: InstanceId) -> Option<Arc<Instance>> {
        let entry = self.entries.get(id.index as usize)?;
        entry.instance.load_full().filter(|instance| instance.id == id)
    }

    /// A new id and the cell for an instance of this id, which is then put in; if it cannot start, the
    /// place is [`free`](Self::free) again and the id is lost.
    pub(crate) fn place(&self) -> (InstanceId, Arc<CopyCell>) {
        let reused = self.free.lock().pop();
        let id = match reused {
            Some(free) => InstanceId { index: free.index, round: free.round + 1 },
            None => {
                let index = self.entries.push(Entry {
                    round: AtomicU32::new(VACANT),
                    cell: Arc::default(),
                    needs_instance: AtomicBool::new(false),
                    instance: ArcSwapOption::empty(),
                });
                let index = u32::try_from(index).expect("fewer than 2³² instances were loaded");
                InstanceId { index, round: 0 }
            }
        };
        (id, self.entries[id.index as usize].cell.clone())
    }

    /// Puts in the instance for which a [`place`](Self::place) was made.
    pub(crate) fn insert(&self, instance: Arc<Instance>) {
        let (id, plugin) = (instance.id, instance.plugin.clone());
        let entry = &self.entries[id.index as usize];
        instance.order.store(self.loaded.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut named = self.named.lock();
        entry
            .needs_instance
            .store(instance.copies() > 1 || instance.is_asleep(), Ordering::Relaxed);
        entry.instance.store(Some(instance));
        entry.round.store(id.round, Ordering::Release);
        named.entry(plugin.clone()).or_default().push(id);
        self.by_plugin.pin().insert(plugin, id);
    }

    /// Lets the place of an instance that is gone, and whose copies have ended, be used again.
    pub(crate) fn free(&self, id: InstanceId) {
        // The last round of a place leaves it empty for ever.
        if id.round < VACANT - 1 {
            self.free.lock().push(id);
        }
    }

    /// Takes an instance out.
    pub(crate) fn remove(&self, id: InstanceId) -> Option<Arc<Instance>> {
        let mut named = self.named.lock();
        // Looked at under the lock: somebody else may have taken it out, and another one may live here.
        let instance = self.get(id)?;
        let entry = &self.entries[id.index as usize];
        entry.instance.store(None);
        entry.round.store(VACANT, Ordering::Release);
        let ids = named.entry(instance.plugin.clone()).or_default();
        ids.retain(|other| *other != id);
        match ids.last() {
            Some(last) => {
                self.by_plugin.pin().insert(instance.plugin.clone(), *last);
            }
            None => {
                named.remove(&instance.plugin);
                self.by_plugin.pin().remove(&instance.plugin);
            }
        }
        Some(instance)
    }

    /// The instance of a plugin that was loaded last.
    pub(crate) fn find(&self, plugin: &str) -> Option<InstanceId> {
        self.by_plugin.pin().get(plugin).copied()
    }

    /// All instances, in the order of their entries.
    pub(crate) fn all(&self) -> Vec<Arc<Instance>> {
        self.entries.iter().filter_map(|(_, entry)| entry.instance.load_full()).collect()
    }

    /// All instances, those that were loaded last first: they may depend on those loaded before.
    pub(crate) fn last_first(&self) -> Vec<Arc<Instance>> {
        let mut instances = self.all();
        instances.sort_by_key(|instance| Reverse(instance.order.load(Ordering::Relaxed)));
        instances
    }
}
