//! The lock of a seat: as cheap as a lock can be that every call takes, and almost never has to
//! wait for.
//!
//! To take it is one locked instruction, to give it back a plain store. A lock that gives itself
//! back with a second locked instruction costs each call 4 to 7 ns more, because that waits until
//! everything the call wrote has left the core.
//!
//! The price is paid by those who wait: the store may become visible only after the holder has
//! looked whether somebody waits, and then nobody wakes them. So they sleep for [`NAP`] at most
//! before they look again themselves.
//!
//! Deliberately not fair: whoever comes first after it is free gets it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::lock_api::{GuardNoSend, RawMutex};
use parking_lot::{Condvar, Mutex};

/// How long somebody who waits sleeps at most before looking again.
const NAP: Duration = Duration::from_millis(1);
/// How often somebody looks before they go to sleep. Most calls are shorter than falling asleep.
const LOOKS: u32 = 8;

/// See the module.
pub(crate) struct SeatLock {
    held: AtomicBool,
    waiting: AtomicU32,
    sleeping: Mutex<()>,
    freed: Condvar,
}

/// What stands at a seat, for whoever holds its lock.
pub(crate) type Locked<T> = parking_lot::lock_api::Mutex<SeatLock, T>;
/// Holds it.
pub(crate) type Guard<'a, T> = parking_lot::lock_api::MutexGuard<'a, SeatLock, T>;

impl SeatLock {
    #[cold]
    fn wait(&self) {
        for _ in 0..LOOKS {
            std::thread::yield_now();
            if self.try_lock() {
                return;
            }
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut sleeping = self.sleeping.lock();
        while !self.try_lock() {
            self.freed.wait_for(&mut sleeping, NAP);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    #[cold]
    fn wake(&self) {
        // Whoever has looked and is about to sleep holds this lock until they do.
        drop(self.sleeping.lock());
        self.freed.notify_one();
    }
}

// SAFETY: `held` goes from false to true for one thread only, by an atomic exchange, and back when
// that thread gives the lock back.
unsafe impl RawMutex for SeatLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for a constant")]
    const INIT: SeatLock = SeatLock {
        held: AtomicBool::new(false),
        waiting: AtomicU32::new(0),
        sleeping: Mutex::new(()),
        freed: Condvar::new(),
    };

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        !self.held.swap(true, Ordering::Acquire)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.held.store(false, Ordering::Release);
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.wake();
        }
    }

    fn is_locked(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_holds_it() {
        fn check(threads: usize, rounds: u64, hold: Duration) {
            let counter = Locked::new(0_u64);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..rounds {
                            let mut counter = counter.lock();
                            assert!(counter_is_held(&counter));
                            let before = *counter;
                            thread::park_timeout(hold);
                            *counter = before + 1;
                        }
                    });
                }
            });
            assert_eq!(*counter.lock(), threads as u64 * rounds);
        }
        check(1, 1000, Duration::ZERO);
        check(4, 10_000, Duration::ZERO);
        check(8, 10, Duration::from_millis(3));
    }

    fn counter_is_held(guard: &Guard<'_, u64>) -> bool {
        Guard::mutex(guard).is_locked() && Guard::mutex(guard).try_lock().is_none()
    }
}
