//! Turns for work that needs a core of the machine: to read and to compile plugins.

use parking_lot::{Condvar, Mutex};

/// As many turns as the machine has cores. Loads, reloads and wakes take one each while they prepare
/// code, so that they do not use up each other's deadlines, which are times of the clock on the wall.
///
/// A turn is the last thing that a thread waits for: while it has one, it takes no lock of an instance
/// and runs no code of a plugin or of the application, so it goes on, and gives the turn back.
pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Gives the turn back when it goes.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(count: usize) -> Turns {
        Turns { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for a turn.
    pub(super) fn take(&self) -> Turn<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}
