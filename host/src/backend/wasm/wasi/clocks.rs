use std::time::{Duration, Instant};

use glovebox_abi::Permission;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use super::Witness;
use crate::record::unix_nanoseconds;

/// Both clocks of a copy: rounded down to the precision that is granted, and standing still without
/// the permission. A mock may move them, and in a run that must repeat they stand still too: at its
/// beginning, and at 0.
pub(super) struct Clock {
    witness: Witness,
    started: Instant,
}

impl Clock {
    pub(super) fn new(witness: Witness) -> Clock {
        Clock { witness, started: Instant::now() }
    }

    fn precision(&self) -> u64 {
        self.witness.grants().precision.max(1)
    }

    fn round(&self, now: u64) -> u64 {
        now - now % self.precision()
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(self.precision())
    }

    fn now(&self) -> Duration {
        if !self.witness.admit_often("wasi:clocks wall-clock", Permission::Now) {
            return Duration::ZERO;
        }
        let now = self.witness.scripted_now().unwrap_or_else(unix_nanoseconds);
        Duration::from_nanos(self.round(now))
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        self.precision()
    }

    fn now(&self) -> u64 {
        if !self.witness.admit_often("wasi:clocks monotonic-clock", Permission::Now) {
            return 0;
        }
        let elapsed = || u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.round(self.witness.scripted_elapsed().unwrap_or_else(elapsed))
    }
}
