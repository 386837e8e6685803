//! The generations of an instance: the running, the next, the previous, and a rejected one.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use glovebox_abi::manifest::{Isolation, Tier};
use glovebox_abi::{Kind, State};
use glovebox_events::ReloadCause;
use parking_lot::Mutex;

use super::back_off::breaker;
use super::probation::Served;
use super::report::RefusedGeneration;
use crate::backend::{Backend, Code};
use crate::load::{Prepared, Source};
use crate::record::span::About;
use crate::services::{InstanceServices, Rights};

/// The running generation; readable while a call is running.
pub(crate) struct Generation {
    /// From 1; 0 before the first start.
    pub(crate) number: u32,
    pub(crate) prepared: Prepared,
    pub(crate) rights: Arc<Rights>,
    /// Kinds of frames that the manifest accepts, as a set of bits.
    pub(super) accepts: [u64; 4],
}

/// Copies that are ready, and their generation.
pub(crate) struct NextGeneration {
    pub(super) generation: Generation,
    pub(super) backends: Vec<Box<dyn Backend>>,
    pub(super) coming: Arc<Coming>,
    /// Bytes of memory that this process held before, where the system tells them.
    pub(super) resident: Option<u64>,
}

/// The rights of a generation that gets ready beside the running one, for those who change them.
pub(super) struct Coming {
    pub(super) prepared: Prepared,
    pub(super) rights: Arc<Rights>,
    /// True if what was allowed once holds for it.
    pub(super) keeps_once: bool,
}

/// An artifact that ran before, and the states that its copies had when it was replaced.
#[derive(Clone)]
pub(crate) struct PreviousGeneration {
    pub(crate) number: u32,
    pub(crate) prepared: Prepared,
    /// Where the instance got its artifact from while it ran.
    pub(crate) source: Source,
    /// They may be large.
    pub(crate) states: Arc<Vec<Option<State>>>,
}

/// A generation that did not take over.
pub(super) struct RejectedGeneration {
    pub(super) told: RefusedGeneration,
    /// `None` if it cannot take over.
    pub(super) waits: Option<WaitingGeneration>,
}

/// A generation that takes over as soon as a person decided about what it asks for.
#[derive(Clone)]
pub(crate) struct WaitingGeneration {
    pub(crate) prepared: Prepared,
    /// The cause.
    pub(crate) cause: ReloadCause,
    pub(crate) carry: Carry,
    /// Where the instance gets its artifact from once it runs, if that is elsewhere than before.
    pub(crate) source: Option<Source>,
}

/// The state from which a new generation goes on.
#[derive(Clone)]
pub(crate) enum Carry {
    /// None: a cold start.
    Nothing,
    /// The state of the running generation.
    Current,
    /// These, one for each copy.
    These(Arc<Vec<Option<State>>>),
}

/// How a next generation takes over.
pub(crate) struct Handover {
    pub(crate) carry: Carry,
    /// True if what was allowed once holds for it.
    pub(crate) keeps_once: bool,
    /// True if it is the artifact that runs, in fresh copies: the generation before stays the one to go
    /// back to.
    pub(crate) repeats: bool,
    /// True if it takes over only with a state of each copy: nobody asked for it, so that nothing may be
    /// lost.
    pub(crate) needs_state: bool,
}

/// All of them that an instance knows.
pub(super) struct Generations {
    pub(super) current: ArcSwap<Generation>,
    /// Those that get ready beside the running one, or are tried beside it.
    pub(super) coming: Mutex<Vec<Weak<Coming>>>,
    /// Those that are kept to go back to, the latest last.
    pub(super) previous: Mutex<VecDeque<PreviousGeneration>>,
    pub(super) rejected: Mutex<Option<RejectedGeneration>>,
    pub(super) served: Mutex<Served>,
    /// The last number that was given.
    pub(super) last: AtomicU32,
}

/// Bytes of all generations that are kept to go back to. The latest is kept however large it is: its states were
/// in memory already.
const MAX_KEPT: u64 = 256 << 20;

impl PreviousGeneration {
    /// Bytes of its states, of an artifact that waits for a compiler, and of one that is in no file.
    fn size(&self) -> u64 {
        let states = self.states.iter().flatten().map(|state| state.bytes.len() as u64);
        states.sum::<u64>() + self.prepared.held_bytes() + self.source.held_bytes()
    }
}

/// How many generations of these sizes, the latest last, have to go so that at most `most` stay, and no
/// more bytes than may be kept.
fn excess(sizes: &[u64], most: usize) -> usize {
    let mut bytes = 0;
    let fits = sizes.iter().rev().take(most).enumerate().take_while(|(place, size)| {
        bytes += **size;
        *place == 0 || bytes <= MAX_KEPT
    });
    sizes.len() - fits.count()
}

impl Generations {
    pub(super) fn new(current: Arc<Generation>) -> Generations {
        Generations {
            current: ArcSwap::new(current),
            coming: Mutex::default(),
            previous: Mutex::default(),
            rejected: Mutex::default(),
            served: Mutex::default(),
            last: AtomicU32::new(0),
        }
    }

    /// Keeps one more to go back to, and at most so many. The one to which a probation goes back is the last
    /// to go.
    pub(super) fn keep(&self, previous: PreviousGeneration, most: usize, proven: Option<u32>) {
        let mut all = self.previous.lock();
        all.push_back(previous);
        all.make_contiguous().sort_by_key(|kept| Some(kept.number) == proven);
        let sizes: Vec<u64> = all.iter().map(PreviousGeneration::size).collect();
        let gone: Vec<_> = all.drain(..excess(&sizes, most)).collect();
        all.make_contiguous().sort_by_key(|kept| kept.number);
        drop(all);
        // Large states are freed outside of the lock.
        drop(gone);
    }
}

impl Generation {
    pub(super) fn new(number: u32, prepared: Prepared, rights: Arc<Rights>) -> Generation {
        let mut accepts = [0; 4];
        for kind in &prepared.manifest.frames.accepts {
            accepts[usize::from(kind.0 >> 6)] |= 1u64 << (kind.0 & 63);
        }
        Generation { number, prepared, rights, accepts }
    }

    /// The generation before the first start.
    pub(super) fn asleep(prepared: Prepared, rights: Rights) -> Generation {
        Generation::new(0, Prepared { code: Code::Asleep, ..prepared }, Arc::new(rights))
    }

    pub(super) fn accepts(&self, kind: Kind) -> bool {
        self.accepts[usize::from(kind.0 >> 6)] & (1 << (kind.0 & 63)) != 0
    }

    /// True if each copy has a process of its own, in a container or not.
    pub(crate) fn has_process(&self) -> bool {
        matches!(self.prepared.isolation, Isolation::Process | Isolation::Container)
    }

    /// Failures in a row after which only a person starts a copy again.
    pub(super) fn breaker(&self) -> u32 {
        let ceiling = match self.prepared.tier {
            // Built into the application, whose business it is.
            Tier::Core => u32::MAX,
            _ => self.rights.ceilings.load().breaker,
        };
        breaker(&self.prepared.manifest.lifecycle, ceiling)
    }

    /// Its description in spans.
    pub(crate) fn about<'a>(&self, shared: &'a InstanceServices) -> About<'a> {
        let (plugin, instance, tier) = (&*shared.plugin, shared.instance, self.prepared.tier);
        About { plugin, instance, generation: self.number, tier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_kept_by_number_and_by_bytes() {
        #[track_caller]
        fn check(sizes: &[u64], most: usize, expected: usize) {
            assert_eq!(excess(sizes, most), expected, "{sizes:?} {most}");
        }
        const HALF: u64 = MAX_KEPT / 2;
        check(&[], 3, 0);
        check(&[1, 1, 1], 3, 0);
        check(&[1, 1, 1, 1], 3, 1);
        check(&[1, 1], 0, 2);
        check(&[HALF, HALF], 3, 0);
        check(&[1, HALF, HALF], 3, 1);
        check(&[HALF, HALF, 1], 3, 1);
        check(&[1, 2 * MAX_KEPT], 3, 1);
        // Those that are kept follow each other.
        check(&[1, MAX_KEPT, 1], 3, 2);
    }
}
