//! Groups of differences with one cause.

use std::collections::HashMap;

use glovebox_abi::text::inert;
use serde::Serialize;

use super::{Class, Comparison};

/// Calls that differ in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Names the group: the same in every diff in which calls of this plugin differ in this way.
    pub id: String,
    /// How they differ.
    pub class: Class,
    /// Id of the plugin.
    pub plugin: String,
    /// Where they differ, sorted, with `*` for positions in lists. For [`Class::Outcome`], how the
    /// calls ended before and after.
    pub paths: Vec<String>,
    /// Number of calls.
    pub calls: usize,
    /// Position of the first call in [`Diff::entries`](super::Diff::entries).
    pub first: usize,
}

/// Paths named in a title.
const NAMED: usize = 3;
/// Paths that tell groups apart; calls that differ in more places are told apart by these.
const KEPT: usize = 24;

impl Group {
    /// The title for people, which says what the calls share: `412 calls of redact differ only in
    /// /payload/ts`.
    pub fn title(&self) -> String {
        let one = self.calls == 1;
        let calls = if one { "call" } else { "calls" };
        let who = format!("{} {calls} of {}", self.calls, inert(&self.plugin));
        let verb =
            |singular: &'static str, plural: &'static str| if one { singular } else { plural };
        match self.class {
            Class::Same => format!("{who} {} the same", verb("is", "are")),
            Class::Missing => format!("{who} {} missing", verb("is", "are")),
            Class::Extra => format!("{who} {} new", verb("is", "are")),
            Class::Order => {
                format!("{who} {} the same in another order", verb("gives", "give"))
            }
            Class::Spelling => {
                let places = self.places();
                format!("{who} {} the same values in other bytes in {places}", verb("has", "have"))
            }
            Class::Slower => format!("{who} {} only slower", verb("is", "are")),
            Class::Outcome => {
                format!("{who} {} otherwise: {}", verb("ends", "end"), self.places())
            }
            Class::Changed | Class::HostCalls => {
                format!("{who} {} only in {}", verb("differs", "differ"), self.places())
            }
        }
    }

    /// The [paths](Self::paths), the first of them, for people: `/payload/ts, /payload/id and 2 more
    /// places`.
    pub fn places(&self) -> String {
        let more = self.paths.len().saturating_sub(NAMED);
        let named = self.paths[..self.paths.len() - more].iter();
        let named: Vec<String> = named.map(|path| inert(path).to_string()).collect();
        let named = named.join(", ");
        match more {
            0 => named,
            1 => format!("{named} and 1 more place"),
            more => format!("{named} and {more} more places"),
        }
    }
}

/// The key by which groups differ.
type Key = (Class, String, Vec<String>);

/// Sorts calls into groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    numbers: HashMap<Key, u32>,
    groups: Vec<Group>,
    /// The number of the group that a call came to last.
    latest: u32,
}

impl Groups {
    /// The number of the group of a call that is not the same.
    pub(super) fn number(
        &mut self,
        plugin: &str,
        comparison: &Comparison,
        outcomes: impl FnOnce() -> String,
        entry: usize,
    ) -> u32 {
        let ends;
        let mut paths: Vec<&str> = match comparison.class {
            Class::Outcome => {
                ends = outcomes();
                vec![&ends]
            }
            _ => comparison.changes.iter().map(|change| change.pattern.as_str()).collect(),
        };
        paths.sort_unstable();
        paths.dedup();
        paths.truncate(KEPT);
        // Most often a call differs as the one before it did.
        if let Some(group) = self.groups.get_mut(self.latest as usize)
            && (group.class, &*group.plugin) == (comparison.class, plugin)
            && group.paths == paths
        {
            group.calls += 1;
            return self.latest;
        }
        let paths = paths.into_iter().map(str::to_owned).collect();
        let key = (comparison.class, plugin.to_owned(), paths);
        self.latest = match self.numbers.get(&key) {
            Some(number) => {
                self.groups[*number as usize].calls += 1;
                *number
            }
            None => self.insert(key, 1, entry),
        };
        self.latest
    }

    fn insert(&mut self, key: Key, calls: usize, first: usize) -> u32 {
        let number = self.groups.len() as u32;
        let (class, plugin, paths) = key.clone();
        let id = id_of(class, &plugin, &paths);
        self.groups.push(Group { id, class, plugin, paths, calls, first });
        self.numbers.insert(key, number);
        number
    }

    /// Takes in the groups of later calls; says which number each of them has here.
    pub(super) fn merge(&mut self, later: Groups) -> Vec<u32> {
        let groups = later.groups.into_iter();
        let numbers = groups.map(|group| {
            let key = (group.class, group.plugin, group.paths);
            match self.numbers.get(&key) {
                Some(number) => {
                    self.groups[*number as usize].calls += group.calls;
                    *number
                }
                None => self.insert(key, group.calls, group.first),
            }
        });
        numbers.collect()
    }

    /// The groups, the largest first, and the place of each number there.
    pub(super) fn finish(self) -> (Vec<Group>, Vec<u32>) {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|at| (std::cmp::Reverse(self.groups[*at].calls), self.groups[*at].first));
        let mut places = vec![0; order.len()];
        for (place, at) in order.iter().enumerate() {
            places[*at] = place as u32;
        }
        let mut groups: Vec<Group> = self.groups;
        let mut sorted: Vec<Group> = Vec::with_capacity(groups.len());
        for at in order {
            let nothing = Group {
                id: String::new(),
                class: Class::Same,
                plugin: String::new(),
                paths: Vec::new(),
                calls: 0,
                first: 0,
            };
            sorted.push(std::mem::replace(&mut groups[at], nothing));
        }
        (sorted, places)
    }
}

/// Eight hexadecimal digits that stay the same: FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv>),
/// folded.
fn id_of(class: Class, plugin: &str, paths: &[String]) -> String {
    let parts = [class.name(), plugin].into_iter().chain(paths.iter().map(String::as_str));
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{:08x}", (hash ^ (hash >> 32)) as u32)
}
