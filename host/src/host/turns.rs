//! Turns for work that needs a core of the machine: to read and to compile plugins.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::underway::Underway;

/// How often somebody who waits looks whether the load was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// As many turns as the machine has cores. Loads, reloads and wakes take one each while they prepare
/// code, so that they do not use up each other's deadlines, which are times of the clock on the wall.
///
/// A turn is the last thing that a thread waits for: while it has one, it takes no lock of an instance
/// and runs no code of a plugin or of the application, so it goes on, and gives the turn back.
pub(crate) struct Turns {
    free: Mutex<usize>,
    freed: Arc<Condvar>,
}

/// Gives the turn back when it goes.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(count: usize) -> Turns {
        Turns { free: Mutex::new(count), freed: Arc::new(Condvar::new()) }
    }

    /// Waits for a turn; `None` once nobody wants it any more.
    pub(super) fn take(&self, load: &Underway) -> Option<Turn<'_>> {
        let _ending = load.ended_by({
            let freed = self.freed.clone();
            move || {
                freed.notify_all();
            }
        });
        let mut free = self.free.lock();
        while *free == 0 && !load.is_cancelled() {
            // Somebody may cancel it between the look and the wait.
            self.freed.wait_for(&mut free, LOOK);
        }
        if *free == 0 {
            return None;
        }
        *free -= 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}
