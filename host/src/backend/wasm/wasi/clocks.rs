use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glovebox_abi::Permission;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use super::Witness;
use crate::determinism;

/// Both clocks of a copy: rounded down to the precision that is granted, and standing still without
/// the permission. In a run that must repeat they stand still too: at its beginning, and at 0.
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

    fn round(&self, now: Duration) -> u64 {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
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
        if self.witness.repeats() {
            return Duration::from_nanos(self.round(Duration::from_nanos(determinism::START)));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_nanos(self.round(now))
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        self.precision()
    }

    fn now(&self) -> u64 {
        match self.witness.admit_often("wasi:clocks monotonic-clock", Permission::Now) {
            true if !self.witness.repeats() => self.round(self.started.elapsed()),
            _ => 0,
        }
    }
}
