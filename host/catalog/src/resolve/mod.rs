//! A set of plugins with everything they depend on, in an order in which they can be loaded.
//!
//! The [`solver`] chooses a version of each; where none fits, [`conflict`] says why.

mod conflict;
mod solver;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use glovebox_host::LoadRequest;
use semver::VersionReq;

use super::{Catalog, Entry};
use solver::choose;

/// Choosing versions can take exponentially long; dependencies that people write take a step or two
/// for each plugin.
const MAX_STEPS: u32 = 100_000;

/// A plugin that is wanted for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its id.
    pub id: String,
    /// Which versions will do. `*` means all but pre-releases, which must be named.
    pub range: VersionReq,
}

/// Why a text names no plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {reason}; write `ID` or `ID@RANGE`, e.g. `redact@^1.2`")]
pub struct RootError {
    /// The text.
    pub text: String,
    /// The error in it.
    pub reason: String,
}

impl FromStr for Root {
    type Err = RootError;

    /// Reads `ID` or `ID@RANGE`.
    fn from_str(text: &str) -> Result<Root, RootError> {
        let wrong = |reason: String| RootError { text: text.to_owned(), reason };
        let (id, range) = match text.split_once('@') {
            Some((id, range)) => (id, VersionReq::parse(range).map_err(|e| wrong(e.to_string()))?),
            None => (text, VersionReq::STAR),
        };
        if !glovebox_abi::manifest::is_kebab_case(id) {
            return Err(wrong(format!("`{id}` is not a plugin id")));
        }
        Ok(Root { id: id.to_owned(), range })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.range == VersionReq::STAR {
            formatter.write_str(&self.id)
        } else {
            write!(formatter, "{}@{}", self.id, self.range)
        }
    }
}

/// Plugins that fit together, each after those it depends on.
#[derive(Debug, Clone)]
pub struct Resolution<'catalog> {
    order: Vec<&'catalog Entry>,
}

impl<'catalog> Resolution<'catalog> {
    /// The plugins in the order of loading: each after those it depends on, otherwise in the order
    /// of the roots.
    pub fn order(&self) -> &[&'catalog Entry] {
        &self.order
    }

    /// The requests that load them, for [`Host::load_set`](glovebox_host::Host::load_set).
    pub fn requests(&self) -> Vec<(String, LoadRequest)> {
        self.order.iter().map(|entry| (entry.id().to_owned(), entry.request())).collect()
    }
}

/// Why plugins cannot be loaded together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No choice of versions fulfils every range.
    #[error("{explanation}")]
    Conflict {
        /// Whole sentences, one per line: which ranges contradict each other, or which plugin is
        /// needed and not there.
        explanation: String,
    },
    /// Plugins depend on each other in a circle, so that none can be the first.
    #[error("plugins depend on each other in a circle: {}; remove one of these dependencies", .cycle.join(" → "))]
    Cycle {
        /// Their ids, the first again at the end.
        cycle: Vec<String>,
    },
    /// The wanted plugins can lead to more plugins than are loaded together.
    #[error(
        "{found} plugins may be needed, and no more than {limit} are loaded together; ask for fewer"
    )]
    TooMany {
        /// Number of ids.
        found: usize,
        /// The largest number.
        limit: usize,
    },
    /// Finding versions that fit can take longer than anyone waits.
    #[error(
        "found no versions that fit in {steps} steps; ask for fewer plugins, or name their versions"
    )]
    GaveUp {
        /// Choices that were tried.
        steps: u32,
    },
}

impl Catalog {
    /// Chooses a version of each plugin that is wanted, and of each that these depend on, so that
    /// every range is fulfilled; the newest that will do. Of several artifacts of one version, the
    /// first of the [entries](Self::entries) counts.
    ///
    /// # Errors
    ///
    /// If a plugin is not there, ranges contradict each other, or dependencies form a circle; and if
    /// more than 1,000 plugins, or 100,000 steps, would be needed.
    pub fn resolve(&self, roots: &[Root]) -> Result<Resolution<'_>, ResolveError> {
        self.resolve_within(roots, MAX_STEPS)
    }

    fn resolve_within(&self, roots: &[Root], steps: u32) -> Result<Resolution<'_>, ResolveError> {
        let plugins = choose(self, roots, steps)?;
        Ok(Resolution { order: in_order(&plugins, roots)? })
    }
}

/// Puts chosen plugins in order: each after its dependencies, otherwise as they are `wanted`. It
/// keeps its own stack: a chain of dependencies may be as long as the catalog.
fn in_order<'catalog>(
    plugins: &BTreeMap<&'catalog str, &'catalog Entry>,
    wanted: &[Root],
) -> Result<Vec<&'catalog Entry>, ResolveError> {
    let mut order = Vec::with_capacity(plugins.len());
    let mut done = BTreeSet::new();
    for root in wanted {
        let Some((id, entry)) = plugins.get_key_value(root.id.as_str()) else { continue };
        if done.contains(id) {
            continue;
        }
        // From a plugin to one that it depends on, and so on, each with what is left to look at.
        let mut path = vec![(*id, entry.manifest.dependencies.keys())];
        let mut on_path = BTreeSet::from([*id]);
        while let Some((id, needed)) = path.last_mut() {
            let Some(next) = needed.next() else {
                order.extend(plugins.get(id).copied());
                done.insert(*id);
                on_path.remove(id);
                path.pop();
                continue;
            };
            let Some((next, entry)) = plugins.get_key_value(next.as_str()) else {
                continue;
            };
            if on_path.contains(next) {
                let circle = path.iter().map(|(id, _)| *id).skip_while(|id| id != next);
                let cycle = circle.chain([*next]).map(str::to_owned).collect();
                return Err(ResolveError::Cycle { cycle });
            }
            if !done.contains(next) {
                on_path.insert(next);
                path.push((next, entry.manifest.dependencies.keys()));
            }
        }
    }
    Ok(order)
}
