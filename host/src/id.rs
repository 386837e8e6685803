//! The id of an instance: a number that is never valid again once its instance is gone.

use std::fmt;

/// Identifies a loaded instance. Ids of instances that are gone are never valid again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    pub(crate) index: u32,
    pub(crate) round: u32,
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
