//! The solver: PubGrub, which backtracks over versions and can say why nothing fits.
//!
//! It reckons with sets of versions, and a range of semver is not one without gaps (`^1.2` has
//! `1.3.0`, not `1.3.0-beta`): so each range is turned into the set of those versions in the catalog
//! that it [matches](VersionReq::matches), which is exact, because no other version can be chosen.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use pubgrub::{
    Dependencies, DependencyProvider, OfflineDependencyProvider, PackageResolutionStatistics,
    PubGrubError, Ranges,
};
use semver::{Version, VersionReq};

use super::conflict::explain;
use super::{ResolveError, Root};
use crate::{Catalog, Entry};

/// Chooses a version of each plugin, so that every range is fulfilled; the newest that will do.
pub(super) fn choose<'catalog>(
    catalog: &'catalog Catalog,
    roots: &[Root],
    steps: u32,
) -> Result<BTreeMap<&'catalog str, &'catalog Entry>, ResolveError> {
    let known = catalog.everything_from(roots)?;
    let provider = Provider { known, steps: Cell::new(0), limit: steps };
    let no_version = Version::new(0, 0, 0);
    let chosen = pubgrub::resolve(&provider, Package::Roots, no_version);
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(PubGrubError::NoSolution(tree)) => {
            return Err(ResolveError::Conflict { explanation: explain(catalog, roots, &tree) });
        }
        // The only error that the provider has.
        Err(
            PubGrubError::ErrorRetrievingDependencies { .. }
            | PubGrubError::ErrorChoosingVersion { .. }
            | PubGrubError::ErrorInShouldCancel(_),
        ) => return Err(ResolveError::GaveUp { steps }),
    };
    let plugins = chosen.into_iter().filter_map(|(package, version)| match package {
        Package::Roots => None,
        Package::Plugin(id) => {
            let entry = catalog.versions(&id).find(|entry| *entry.version() == version)?;
            Some((entry.id(), entry))
        }
    });
    Ok(plugins.collect())
}

/// A plugin, as the solver knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Package {
    /// Nothing that can be loaded: it depends on everything that is wanted.
    Roots,
    Plugin(Arc<str>),
}

impl fmt::Display for Package {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Package::Roots => formatter.write_str("the plugins asked for"),
            Package::Plugin(id) => write!(formatter, "`{id}`"),
        }
    }
}

pub(super) type Versions = Ranges<Version>;
type Known = OfflineDependencyProvider<Package, Versions>;

/// Chains of dependencies can be as long as there are plugins, and the solver explains them by
/// recursion.
pub(super) const MAX_PLUGINS: usize = 1000;

/// The known plugins; they can be asked for so often and no more.
struct Provider {
    known: Known,
    steps: Cell<u32>,
    limit: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("too many steps")]
struct TooManySteps;

impl DependencyProvider for Provider {
    type P = Package;
    type V = Version;
    type VS = Versions;
    type M = String;
    type Priority = <Known as DependencyProvider>::Priority;
    type Err = TooManySteps;

    fn prioritize(
        &self,
        package: &Package,
        range: &Versions,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        self.known.prioritize(package, range, statistics)
    }

    fn choose_version(
        &self,
        package: &Package,
        range: &Versions,
    ) -> Result<Option<Version>, TooManySteps> {
        let Ok(chosen) = self.known.choose_version(package, range);
        Ok(chosen)
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &Version,
    ) -> Result<Dependencies<Package, Versions, String>, TooManySteps> {
        let Ok(dependencies) = self.known.get_dependencies(package, version);
        Ok(dependencies)
    }

    fn should_cancel(&self) -> Result<(), TooManySteps> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > self.limit { Err(TooManySteps) } else { Ok(()) }
    }
}

impl Catalog {
    /// The versions in the catalog that a range means.
    pub(super) fn matching(&self, id: &str, range: &VersionReq) -> Versions {
        let versions = self.versions(id).map(Entry::version);
        let matching = versions.filter(|version| range.matches(version));
        matching
            .fold(Ranges::empty(), |set, version| set.union(&Ranges::singleton(version.clone())))
    }

    /// Everything that the roots can lead to.
    fn everything_from(&self, roots: &[Root]) -> Result<Known, ResolveError> {
        let mut known = Known::new();
        let depend =
            |id: &str, range: &VersionReq| (Package::Plugin(id.into()), self.matching(id, range));
        // One plugin may be wanted twice, with two ranges that must both hold.
        let mut wanted: BTreeMap<&str, Versions> = BTreeMap::new();
        for root in roots {
            let set = self.matching(&root.id, &root.range);
            wanted.entry(&root.id).and_modify(|all| *all = all.intersection(&set)).or_insert(set);
        }
        let mut open: Vec<&str> = wanted.keys().copied().collect();
        let wanted = wanted.into_iter().map(|(id, set)| (Package::Plugin(id.into()), set));
        known.add_dependencies(Package::Roots, Version::new(0, 0, 0), wanted);
        let mut seen: BTreeSet<&str> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            let mut before = None;
            for entry in self.versions(id) {
                // Of several artifacts of one version, the first counts.
                if before.replace(entry.version()) == Some(entry.version()) {
                    continue;
                }
                let needs = &entry.manifest.dependencies;
                let package = Package::Plugin(id.into());
                let depends = needs.iter().map(|(id, range)| depend(id, range));
                known.add_dependencies(package, entry.version().clone(), depends);
                open.extend(needs.keys().map(String::as_str).filter(|id| seen.insert(id)));
            }
        }
        if seen.len() > MAX_PLUGINS {
            return Err(ResolveError::TooMany { found: seen.len(), limit: MAX_PLUGINS });
        }
        Ok(known)
    }
}
