use serde::{Deserialize, Serialize};

/// The numbers from the first to the last, both included; none if the last is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Numbers {
    /// No number.
    pub const NONE: Numbers = Numbers { first: u64::MAX, last: 0 };
    /// Every number.
    pub const ALL: Numbers = Numbers { first: 0, last: u64::MAX };

    /// One number.
    pub fn of(number: u64) -> Numbers {
        Numbers { first: number, last: number }
    }

    /// True if there is no number in it.
    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    /// True if the number is in it.
    pub fn contains(self, number: u64) -> bool {
        self.first <= number && number <= self.last
    }

    /// True if any number is in both.
    pub fn overlaps(self, other: Numbers) -> bool {
        self.first.max(other.first) <= self.last.min(other.last)
    }

    /// True if all of `other` is in this.
    pub fn holds(self, other: Numbers) -> bool {
        other.is_empty() || (self.first <= other.first && other.last <= self.last)
    }

    /// Grows until all of `other` is in it.
    pub fn join(&mut self, other: Numbers) {
        if !other.is_empty() {
            self.grow(other.first);
            self.grow(other.last);
        }
    }

    /// Grows until the number is in it.
    pub fn grow(&mut self, number: u64) {
        self.first = self.first.min(number);
        self.last = self.last.max(number);
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers::NONE
    }
}
