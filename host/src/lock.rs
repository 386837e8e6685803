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
//! Whoever comes while the lock is free gets it, which keeps short calls fast. Whoever waited for
//! [`PATIENCE`] is the next one to get it: a thread that calls in a loop would otherwise keep a
//! reload waiting for seconds. Those who wait queue at a lock that is fair in the long run.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::lock_api::{GuardNoSend, RawMutex};
use parking_lot::{Condvar, Mutex};

/// How long somebody who waits sleeps at most before looking again.
const NAP: Duration = Duration::from_millis(1);
/// How long others may come before the first of those who wait.
const PATIENCE: Duration = Duration::from_millis(1);
/// How often somebody looks before they queue. Most calls are shorter than falling asleep.
const LOOKS: u32 = 8;

/// See the module.
pub(crate) struct SeatLock {
    held: AtomicBool,
    /// True if the first of those who wait is the next one to get it.
    is_promised: AtomicBool,
    waiting: AtomicU32,
    /// Held by the first of those who wait.
    queue: Mutex<()>,
    sleeping: Mutex<()>,
    freed: Condvar,
}

/// What stands at a seat, for whoever holds its lock.
pub(crate) type Locked<T> = parking_lot::lock_api::Mutex<SeatLock, T>;
/// Holds it.
pub(crate) type Guard<'a, T> = parking_lot::lock_api::MutexGuard<'a, SeatLock, T>;

impl SeatLock {
    #[inline]
    fn take(&self) -> bool {
        !self.held.swap(true, Ordering::Acquire)
    }

    #[cold]
    fn wait(&self) {
        for _ in 0..LOOKS {
            std::thread::yield_now();
            if self.try_lock() {
                return;
            }
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let first = self.queue.lock();
        let since = Instant::now();
        let mut sleeping = self.sleeping.lock();
        while !self.take() {
            if since.elapsed() > PATIENCE {
                self.is_promised.store(true, Ordering::Relaxed);
            }
            self.freed.wait_for(&mut sleeping, NAP);
        }
        self.is_promised.store(false, Ordering::Relaxed);
        drop((sleeping, first));
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
        is_promised: AtomicBool::new(false),
        waiting: AtomicU32::new(0),
        queue: Mutex::new(()),
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
        !self.is_promised.load(Ordering::Relaxed) && self.take()
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
                            match hold.is_zero() {
                                true => std::hint::spin_loop(),
                                false => thread::park_timeout(hold),
                            }
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

    #[test]
    fn whoever_waited_long_is_next() {
        let seat = &Locked::new(());
        let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
        thread::scope(|scope| {
            let held = seat.lock();
            scope.spawn(move || {
                let _held = seat.lock();
                let _ = is_done.recv();
            });
            // SAFETY: the lock is looked at, not used.
            let raw = unsafe { seat.raw() };
            while !raw.is_promised.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(1));
            }
            drop(held);
            assert!(seat.try_lock().is_none());
            drop(done);
        });
        assert!(seat.try_lock().is_some());
    }

    fn counter_is_held(guard: &Guard<'_, u64>) -> bool {
        Guard::mutex(guard).is_locked() && Guard::mutex(guard).try_lock().is_none()
    }
}
