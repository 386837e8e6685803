//! Small sets of kinds, directions and statuses, for single frames and for whole chunks.

use glovebox_abi::Kind;
use glovebox_events::{Direction, HostCall, Outcome};
use serde::{Deserialize, Serialize};

/// Where a call stands, as the filter language tells it apart: the outcomes, `pending`, and
/// `denied` and `injected`, which hold beside one of the others.
///
/// The status of one frame is a set too; a set for several frames is the [union](Self::with).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Statuses(u16);

impl Statuses {
    /// Nothing.
    pub const NONE: Statuses = Statuses(0);
    /// The call runs.
    pub const PENDING: Statuses = Statuses(1 << Outcome::NAMES.len());
    /// The policy denied the plugin anything during the call.
    pub const DENIED: Statuses = Statuses(Self::PENDING.0 << 1);
    /// A fault or a mock made the result of any of its host calls.
    pub const INJECTED: Statuses = Statuses(Self::DENIED.0 << 1);
    /// Those that hold beside one of the others.
    const BESIDE: Statuses = Statuses(Self::DENIED.0 | Self::INJECTED.0);
    /// The plugin answered.
    pub const COMPLETED: Statuses = Statuses(1);
    /// The call ended with anything but `completed`.
    pub const ERROR: Statuses = Statuses(Self::PENDING.0 - 1 - Self::COMPLETED.0);
    /// Everything there is.
    pub const ALL: Statuses = Statuses((Self::INJECTED.0 << 1) - 1);

    /// The status of a frame: how its call ended, if it did, and what its host calls
    /// [add](Self::of_host_call).
    pub fn of(outcome: Option<&Outcome>, beside: Statuses) -> Statuses {
        let status = match outcome {
            None => Self::PENDING,
            // Nearly all: their name need not be looked for.
            Some(Outcome::Completed) => Self::COMPLETED,
            Some(outcome) => Self::named(outcome.name()).unwrap_or(Self::ERROR),
        };
        status.with(beside)
    }

    /// The statuses that a host call adds to those of its call.
    pub fn of_host_call(host_call: &HostCall) -> Statuses {
        match (host_call.is_denied(), host_call.is_injected()) {
            (true, _) => Self::DENIED,
            (_, true) => Self::INJECTED,
            _ => Self::NONE,
        }
    }

    /// The status of this name: `pending`, `ok`, `error`, `denied`, `injected`, or an outcome.
    pub fn named(name: &str) -> Option<Statuses> {
        match name {
            "pending" => Some(Self::PENDING),
            "denied" => Some(Self::DENIED),
            "injected" => Some(Self::INJECTED),
            "error" => Some(Self::ERROR),
            "ok" => Some(Self::COMPLETED),
            _ => {
                let known = Outcome::NAMES.iter().position(|known| *known == name)?;
                Some(Statuses(1 << known))
            }
        }
    }

    /// The place of the first outcome among [`Outcome::NAMES`], if there is one.
    pub(crate) fn outcome(self) -> Option<usize> {
        (0..Outcome::NAMES.len()).find(|place| self.0 >> place & 1 == 1)
    }

    /// All names that [`named`](Self::named) understands.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["pending", "ok", "error", "denied", "injected"].into_iter().chain(Outcome::NAMES)
    }

    /// The fewest names that make up the set.
    pub fn shown(self) -> impl Iterator<Item = &'static str> {
        let whole = self.holds(Self::ERROR).then_some("error");
        let rest = if whole.is_some() { Statuses(self.0 & !Self::ERROR.0) } else { self };
        let single = Outcome::NAMES.into_iter().chain(["pending", "denied", "injected"]);
        let single =
            single.filter(move |name| Self::named(name).is_some_and(|name| rest.overlaps(name)));
        whole.into_iter().chain(single)
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Statuses) -> Statuses {
        Statuses(self.0 | other.0)
    }

    /// True if anything is in both.
    pub fn overlaps(self, other: Statuses) -> bool {
        self.0 & other.0 != 0
    }

    /// True if all of `other` is in this.
    pub fn holds(self, other: Statuses) -> bool {
        self.0 & other.0 == other.0
    }

    /// The statuses about the state of calls: all but `denied` and `injected`.
    pub fn of_calls(self) -> Statuses {
        Statuses(self.0 & !Self::BESIDE.0)
    }

    /// `denied` and `injected`, as far as they are in it.
    pub fn beside(self) -> Statuses {
        Statuses(self.0 & Self::BESIDE.0)
    }
}

/// Which ways frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Directions(u8);

impl Directions {
    /// Both ways.
    pub const ALL: Directions = Directions(3);

    /// One way.
    pub fn of(direction: Direction) -> Directions {
        match direction {
            Direction::In => Directions(1),
            Direction::Out => Directions(2),
        }
    }

    /// Both sets.
    #[must_use]
    pub fn with(self, other: Directions) -> Directions {
        Directions(self.0 | other.0)
    }

    /// True if anything is in both.
    pub fn overlaps(self, other: Directions) -> bool {
        self.0 & other.0 != 0
    }

    /// True if all of `other` is in this.
    pub fn holds(self, other: Directions) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which kinds of frames: one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kinds([u64; 4]);

impl Kinds {
    /// Adds a kind.
    pub fn insert(&mut self, kind: Kind) {
        self.0[usize::from(kind.0 >> 6)] |= 1 << (kind.0 & 63);
    }

    /// True if the kind is in it.
    pub fn contains(&self, kind: Kind) -> bool {
        self.0[usize::from(kind.0 >> 6)] >> (kind.0 & 63) & 1 != 0
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Kind> + '_ {
        (0..=u8::MAX).map(Kind).filter(|kind| self.contains(*kind))
    }
}
