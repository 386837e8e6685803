//! The remains of the generations of an instance once others took over: copies that live on, destructors
//! that did not finish, libraries that stay mapped, and memory that stays in use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::units::show_size;
use parking_lot::Mutex;

/// Generations that take over before what is still there of one counts as left behind.
pub(crate) const AFTER: u32 = 3;
/// Take-overs by which the growth of memory is judged, the last ones.
pub(crate) const SWAPS: usize = 8;
/// Of those, so many must have left memory behind.
pub(crate) const GROWING: usize = 6;
/// Bytes that a swap leaves behind if it counts as growth.
pub(crate) const GROWTH: u64 = 256 << 10;
/// Destructors that did not finish, of which the reasons are kept: the first ones.
const REASONS: usize = 16;

/// The remains of the generations of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Remains {
    /// The generations of which copies live, the oldest first; the running one is the last.
    pub live: Vec<LiveGeneration>,
    /// Libraries that were opened in this process for it. None of them is ever closed.
    pub libraries: u32,
    /// The memory of this process at the last swaps, the oldest first; empty where the system does not
    /// tell it.
    pub memory: Vec<SwapMemory>,
    /// The things that did not go away.
    pub left_behind: Vec<LeftBehind>,
}

impl Remains {
    /// Copies that live, of all generations: each is a store of its own, an instance of a library or a
    /// process.
    pub fn copies(&self) -> u32 {
        self.live.iter().map(|live| live.copies).sum()
    }
}

/// A generation of which something lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveGeneration {
    /// Its number.
    pub generation: u32,
    /// Its copies that live.
    pub copies: u32,
}

/// The resident memory of the process of the host around one swap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwapMemory {
    /// The generation that took over.
    pub generation: u32,
    /// Before its copies were made.
    pub before: u64,
    /// Once the copies of the generation before had ended.
    pub after: u64,
}

impl SwapMemory {
    /// Bytes that the swap left behind.
    pub fn growth(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// Something of a generation that did not go away, and why, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftBehind {
    /// The generation: the one that is gone, or the one with which it showed.
    pub generation: u32,
    /// Its kind.
    pub kind: LeftKind,
    /// The figures, the reason and the remedy, in words.
    pub reason: String,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of generation {}: {}", self.kind.name(), self.generation, self.reason)
    }
}

/// Something that did not go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LeftKind {
    /// Copies live on although three further generations took over.
    Copies,
    /// A destructor did not finish.
    Destructor,
    /// Libraries stay mapped; told of from the fourth on.
    Libraries,
    /// Of the last eight swaps, six or more left 256 KiB or more of memory behind.
    Memory,
}

impl LeftKind {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            LeftKind::Copies => "copies",
            LeftKind::Destructor => "destructor",
            LeftKind::Libraries => "libraries",
            LeftKind::Memory => "memory",
        }
    }
}

/// Counts what lives of an instance.
#[derive(Default)]
pub(crate) struct RemainsCounter(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    live: BTreeMap<u32, Life>,
    unfinished: Vec<(u32, String)>,
    libraries: BTreeSet<PathBuf>,
    memory: VecDeque<SwapMemory>,
    /// Those that were told already.
    told: BTreeSet<(LeftKind, u32)>,
}

/// The copies of one generation.
#[derive(Default)]
struct Life {
    copies: u32,
    /// Generations that took over since.
    outlived: u32,
}

/// A copy that lives.
pub(crate) struct Alive {
    counter: Arc<RemainsCounter>,
    generation: u32,
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut counted = self.counter.0.lock();
        if let Some(life) = counted.live.get_mut(&self.generation) {
            life.copies -= 1;
            if life.copies == 0 {
                counted.live.remove(&self.generation);
            }
        }
    }
}

impl RemainsCounter {
    /// Counts a copy of a generation for as long as it lives.
    pub(crate) fn alive(self: &Arc<Self>, generation: u32) -> Alive {
        self.0.lock().live.entry(generation).or_default().copies += 1;
        Alive { counter: self.clone(), generation }
    }

    /// Notes that the destructor of a copy panicked.
    pub(crate) fn unfinished(&self, generation: u32, reason: String) {
        let mut counted = self.0.lock();
        if counted.unfinished.len() < REASONS {
            counted.unfinished.push((generation, reason));
        }
    }

    /// Notes that a generation took over, with its library if that is open in this process, and the memory
    /// before and after. Gives what is left behind and was not told before.
    pub(crate) fn took_over(
        &self,
        generation: u32,
        library: Option<&Path>,
        memory: Option<(u64, u64)>,
    ) -> Vec<LeftBehind> {
        let mut counted = self.0.lock();
        if let Some(library) = library {
            counted.libraries.insert(library.to_owned());
        }
        for (_, life) in counted.live.range_mut(..generation) {
            life.outlived += 1;
        }
        if let Some((before, after)) = memory {
            if counted.memory.len() == SWAPS {
                counted.memory.pop_front();
            }
            counted.memory.push_back(SwapMemory { generation, before, after });
        }
        let mut left = counted.left_behind();
        left.retain(|left| {
            // Of what concerns all of them, the first generation with which it shows is told.
            let about = match left.kind {
                LeftKind::Copies | LeftKind::Destructor => left.generation,
                LeftKind::Libraries | LeftKind::Memory => 0,
            };
            counted.told.insert((left.kind, about))
        });
        left
    }

    /// Those that are left now.
    pub(crate) fn remains(&self) -> Remains {
        let counted = self.0.lock();
        let live = counted.live.iter();
        let live =
            live.map(|(number, life)| LiveGeneration { generation: *number, copies: life.copies });
        Remains {
            live: live.collect(),
            libraries: counted.libraries.len() as u32,
            memory: counted.memory.iter().copied().collect(),
            left_behind: counted.left_behind(),
        }
    }
}

impl Counted {
    fn left_behind(&self) -> Vec<LeftBehind> {
        let outlived = self.live.iter().filter(|(_, life)| life.outlived >= AFTER);
        let copies = outlived.map(|(generation, Life { copies, outlived })| LeftBehind {
            generation: *generation,
            kind: LeftKind::Copies,
            reason: format!(
                "{copies} live on although {outlived} generations took over since; look for a call \
                 that does not end"
            ),
        });
        let destructors = self.unfinished.iter().map(|(generation, reason)| LeftBehind {
            generation: *generation,
            kind: LeftKind::Destructor,
            reason: format!("it panicked, so that what it held may stay: {reason}"),
        });
        let newest = self.memory.back().map(|swap| swap.generation);
        let newest = newest.or_else(|| self.live.keys().next_back().copied()).unwrap_or_default();
        let libraries = self.libraries.len() as u32;
        let libraries = (libraries > AFTER).then(|| LeftBehind {
            generation: newest,
            kind: LeftKind::Libraries,
            reason: format!(
                "{libraries} stay mapped, one of each build: a library that is closed may leave threads and \
                 addresses behind, so that none is closed before this process ends; run the plugin in a \
                 process of its own, which ends with its generation"
            ),
        });
        let growing = self.memory.iter().filter(|swap| swap.growth() >= GROWTH);
        let growth: Vec<u64> = growing.map(SwapMemory::growth).collect();
        let memory = (self.memory.len() == SWAPS && growth.len() >= GROWING).then(|| LeftBehind {
            generation: newest,
            kind: LeftKind::Memory,
            reason: format!(
                "{} of the last {SWAPS} swaps left memory of this process in use, {} in all; look for what \
                 the plugin does not free when it ends",
                growth.len(),
                show_size(growth.iter().sum())
            ),
        });
        copies.chain(destructors).chain(libraries).chain(memory).collect()
    }
}

/// Bytes of memory that this process holds, where the system tells them.
pub(crate) fn resident() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_as_left_behind_if_most_swaps_leave_some() {
        fn check(growth: &[i64], expected: Option<&str>) {
            let counter = Arc::<RemainsCounter>::default();
            let mut told = Vec::new();
            for (number, growth) in growth.iter().enumerate() {
                let before = 100_i64 << 20;
                let memory = (before as u64, (before + (growth << 10)) as u64);
                told.extend(counter.took_over(number as u32 + 2, None, Some(memory)));
            }
            let told: Vec<_> = told.iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), usize::from(expected.is_some()), "{growth:?}: {told:?}");
            let says = |text| told[0].contains(text);
            assert!(expected.is_none_or(says), "{expected:?} in {told:?}");
        }
        check(&[], None);
        check(&[1024; 7], None);
        check(&[1024; 8], Some("memory of generation 9: 8 of the last 8 swaps left"));
        check(&[1024; 30], Some("8 MiB in all"));
        check(&[255; 30], None);
        check(&[256, 256, 256, -900, 256, 256, 256, 0], Some("6 of the last 8"));
        check(&[4096, 0, 4096, 0, 4096, 0, 4096, 4096, 0, 0, 0], None);
    }

    #[test]
    fn what_outlives_its_generation_is_told_once() {
        let counter = Arc::<RemainsCounter>::default();
        let mut running = vec![counter.alive(1), counter.alive(1)];
        let stays = counter.alive(2);
        let mut told = Vec::new();
        for number in 2..9_u32 {
            running = vec![counter.alive(number), counter.alive(number)];
            let library = format!("/private/{}.so", number.min(6));
            let left = counter.took_over(number, Some(Path::new(&library)), None);
            told.extend(left.iter().map(|left| (number, left.kind, left.generation)));
            if number == 4 {
                counter.unfinished(3, "on purpose".to_owned());
            }
        }
        assert_eq!(
            told,
            [(5, LeftKind::Copies, 2), (5, LeftKind::Destructor, 3), (5, LeftKind::Libraries, 5)]
        );
        let remains = counter.remains();
        let live: Vec<_> = remains.live.iter().map(|one| (one.generation, one.copies)).collect();
        assert_eq!((live, remains.copies(), remains.libraries), (vec![(2, 1), (8, 2)], 3, 5));
        drop((stays, running));
        let kinds: Vec<_> = counter.remains().left_behind.iter().map(|left| left.kind).collect();
        assert_eq!(kinds, [LeftKind::Destructor, LeftKind::Libraries]);
        assert_eq!(counter.remains().live, []);
    }

    #[test]
    fn the_system_tells_the_memory_of_this_process() {
        assert_eq!(resident().is_some_and(|bytes| bytes > 1 << 20), cfg!(target_os = "linux"));
    }
}
