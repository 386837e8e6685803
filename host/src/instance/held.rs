//! A lock that knows which thread holds it, so that nobody waits for itself.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

/// A lock that is held while code of a plugin or of the application runs. That code may come back to it
/// on the same thread, and would wait for ever: whoever may be called by it asks
/// [`is_held_here`](Self::is_held_here) first.
#[derive(Default)]
pub(crate) struct HeldLock<T> {
    lock: Mutex<T>,
    /// The thread that holds it; 0 if none does.
    holder: AtomicUsize,
}

/// The lock, held.
pub(crate) struct HeldGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    holder: &'a AtomicUsize,
}

/// A number of this thread that no other one has while it runs.
#[inline]
fn this_thread() -> usize {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

impl<T> HeldLock<T> {
    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> HeldGuard<'_, T> {
        self.held(self.lock.lock())
    }

    /// Waits for the lock until then.
    pub(crate) fn lock_until(&self, until: Instant) -> Option<HeldGuard<'_, T>> {
        self.lock.try_lock_until(until).map(|guard| self.held(guard))
    }

    /// The lock, if nobody holds it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<HeldGuard<'_, T>> {
        self.lock.try_lock().map(|guard| self.held(guard))
    }

    #[inline]
    fn held<'a>(&'a self, guard: MutexGuard<'a, T>) -> HeldGuard<'a, T> {
        self.holder.store(this_thread(), Ordering::Relaxed);
        HeldGuard { guard, holder: &self.holder }
    }

    /// True while some thread holds it.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// True if this thread holds it: what another thread writes is never the number of this one.
    #[inline]
    pub(crate) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == this_thread()
    }
}

impl<T> Deref for HeldGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for HeldGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for HeldGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Before the lock itself is given up, which happens to the fields after this.
        self.holder.store(0, Ordering::Relaxed);
    }
}
