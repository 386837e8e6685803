//! A set of plugins with everything they depend on, in an order in which they can be loaded.
//!
//! The solver is PubGrub, which backtracks over versions and can say why nothing fits. It reckons
//! with sets of versions, and a range of semver is not one without gaps (`^1.2` has `1.3.0`, not
//! `1.3.0-beta`): so each range is turned into the set of those versions in the catalog that it
//! [matches](VersionReq::matches), which is exact, because no other version can be chosen.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use pubgrub::{
    Dependencies, DependencyProvider, OfflineDependencyProvider, PackageResolutionStatistics,
    PubGrubError, Ranges,
};
use semver::{Version, VersionReq};

use super::conflict::explain;
use super::{Catalog, Entry};
use crate::LoadRequest;

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
    /// What is wrong with it.
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

    /// What loads them, for [`Host::load_set`](crate::Host::load_set).
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
    /// What is asked for can lead to more plugins than are loaded together.
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

/// What the solver calls a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Package {
    /// Nothing that can be loaded: it depends on everything that is wanted.
    Roots,
    Plugin(Arc<str>),
}

impl fmt::Display for Package {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Package::Roots => formatter.write_str("what is asked for"),
            Package::Plugin(id) => write!(formatter, "`{id}`"),
        }
    }
}

pub(super) type Versions = Ranges<Version>;
type Known = OfflineDependencyProvider<Package, Versions>;

/// Chains of dependencies can be as long as there are plugins, and the solver explains them by
/// recursion.
const MAX_PLUGINS: usize = 1000;
/// Choosing versions can take exponentially long; dependencies that people write take a step or two
/// for each plugin.
const MAX_STEPS: u32 = 100_000;

/// What is known, asked so often and no more.
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

    fn resolve_within(&self, roots: &[Root], limit: u32) -> Result<Resolution<'_>, ResolveError> {
        let known = self.everything_from(roots)?;
        let provider = Provider { known, steps: Cell::new(0), limit };
        let no_version = Version::new(0, 0, 0);
        let chosen = pubgrub::resolve(&provider, Package::Roots, no_version);
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(PubGrubError::NoSolution(tree)) => {
                return Err(ResolveError::Conflict { explanation: explain(self, roots, &tree) });
            }
            // The only error that the provider has.
            Err(
                PubGrubError::ErrorRetrievingDependencies { .. }
                | PubGrubError::ErrorChoosingVersion { .. }
                | PubGrubError::ErrorInShouldCancel(_),
            ) => return Err(ResolveError::GaveUp { steps: limit }),
        };
        let plugins = chosen.into_iter().filter_map(|(package, version)| match package {
            Package::Roots => None,
            Package::Plugin(id) => {
                let entry = self.versions(&id).find(|entry| *entry.version() == version)?;
                Some((entry.id(), entry))
            }
        });
        Ok(Resolution { order: in_order(&plugins.collect(), roots)? })
    }

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

/// Puts chosen plugins in order: what each depends on first, otherwise as they are `wanted`. It keeps its own stack: a chain of dependencies may be as long as
/// the catalog.
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

#[cfg(test)]
mod tests {
    use super::super::entry;
    use super::*;

    /// Plugins as `id version: dependency range, …`, one per line.
    fn catalog(plugins: &str) -> Catalog {
        let entries = plugins.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let (about, needs) = line.split_once(':').unwrap_or((line, ""));
            let (id, version) = about.split_once(' ').unwrap();
            let needs = needs.split(';').filter_map(|need| need.trim().split_once(' '));
            let needs: String = needs.map(|(id, range)| format!("{id} = '{range}'\n")).collect();
            let text =
                format!("[plugin]\nid = '{id}'\nversion = '{version}'\n[dependencies]\n{needs}");
            entry(&text)
        });
        Catalog::new(entries.collect(), Vec::new(), Default::default())
    }

    #[track_caller]
    fn check(plugins: &str, roots: &str, expected: &str) {
        let catalog = catalog(plugins);
        let roots: Vec<Root> = roots.split(" + ").map(|root| root.parse().unwrap()).collect();
        let shown = match catalog.resolve(&roots) {
            Ok(resolution) => {
                let order = resolution.order().iter();
                let order = order.map(|entry| format!("{} {}", entry.id(), entry.version()));
                order.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    const PLUGINS: &str = "
        app 1.0.0: store ^1; log *
        app 2.0.0: store ^2; log >=1.2, <2
        store 1.0.0: log ^1
        store 1.4.0: log ^1
        store 2.0.0: log ^1.1
        store 2.1.0-beta.1: log ^1.1
        log 1.0.0
        log 1.2.0
        log 1.3.0-rc.1
        log 2.0.0
    ";

    #[test]
    fn the_newest_that_fit_are_chosen_dependencies_first() {
        check(PLUGINS, "log", "log 2.0.0");
        check(PLUGINS, "app", "log 1.2.0, store 2.0.0, app 2.0.0");
        check(PLUGINS, "app@^1", "log 1.2.0, store 1.4.0, app 1.0.0");
        check(PLUGINS, "store@=1.0.0 + log@<1.2", "log 1.0.0, store 1.0.0");
        // A pre-release is chosen only if a range names one of that very version.
        check(PLUGINS, "store@2.1.0-beta", "log 1.2.0, store 2.1.0-beta.1");
        check(PLUGINS, "log@1.3.0-rc.1", "log 1.3.0-rc.1");
        check(PLUGINS, "log@>=1.3.0-rc.1", "log 2.0.0");
        // The newest would do alone, and an older one must do for the rest.
        check(
            "a 1.0.0: c ^1\na 2.0.0: c ^2\nb 1.0.0: c ^1\nc 1.0.0\nc 2.0.0",
            "a + b",
            "c 1.0.0, a 1.0.0, b 1.0.0",
        );
    }

    #[test]
    fn conflicts_explain_themselves() {
        check(PLUGINS, "flight", "`flight` is asked for, but there is no plugin `flight`");
        check(
            PLUGINS,
            "log@^3",
            "`log ^3` is asked for, but there is only `log` 1.0.0, 1.2.0, 1.3.0-rc.1 and 2.0.0",
        );
        check(
            "a 1.0.0: b ^2\nb 1.0.0\nb 1.1.0",
            "a",
            "Because `a` 1.0.0 needs `b ^2`, but there is only `b` 1.0.0 and 1.1.0, and `a` is \
             asked for, `a` cannot be loaded.",
        );
        check(
            "a 1.0.0: b ^2",
            "a",
            "Because `a` 1.0.0 needs `b ^2`, but there is no plugin `b`, and `a` is asked for, \
             `a` cannot be loaded.",
        );
        check(
            PLUGINS,
            "app@^2 + store@^1",
            "Because `app` 2.0.0 needs `store ^2`, and `app ^2` is asked for, `store` 2.0.0 is \
             needed.\nAnd because `store ^1` is asked for, what is asked for cannot be loaded \
             together.",
        );
        check(
            "a 1.0.0: c ^1\nb 1.0.0: c ^2\nc 1.0.0\nc 2.0.0",
            "a + b",
            "Because `b` 1.0.0 needs `c ^2`, and `a` 1.0.0 needs `c ^1`, `a` 1.0.0 and `b` 1.0.0 \
             cannot be loaded together.\nAnd because `a` is asked for, and `b` is asked for, what \
             is asked for cannot be loaded together.",
        );
        check(
            "a 1.0.0: b *\na 2.0.0: b *\nb 1.0.0: c ^2\nc 1.0.0-alpha",
            "a",
            "Because `b` 1.0.0 needs `c ^2`, but there is only `c` 1.0.0-alpha, which a range must \
             name to mean it, and `a` of any version needs `b *`, `a` of any version cannot be \
             loaded.\nAnd because `a` is asked for, `a` cannot be loaded.",
        );
    }

    /// The longest there may be, on the small stack of a test.
    #[test]
    fn long_chains_are_resolved() {
        let chain = |length: usize| {
            let link = |number: usize| format!("a{number} 1.0.0: a{} *", number + 1);
            catalog(&(0..length).map(link).collect::<Vec<_>>().join("\n"))
        };
        let roots = ["a0".parse().unwrap()];
        let error = chain(MAX_PLUGINS - 1).resolve(&roots).unwrap_err().to_string();
        let missing = format!("there is no plugin `a{}`", MAX_PLUGINS - 1);
        assert!(error.contains(&missing), "{error}");
        let error = chain(MAX_PLUGINS).resolve(&roots).unwrap_err();
        assert_eq!(error, ResolveError::TooMany { found: 1001, limit: 1000 });
    }

    #[test]
    fn a_search_that_takes_too_long_ends() {
        let catalog = catalog(PLUGINS);
        let roots = ["app".parse().unwrap()];
        let error = catalog.resolve_within(&roots, 2).unwrap_err();
        assert_eq!(error, ResolveError::GaveUp { steps: 2 });
        assert!(catalog.resolve_within(&roots, 100).is_ok());
    }

    #[test]
    fn circles_are_named() {
        let prefix = "plugins depend on each other in a circle: ";
        let remedy = "; remove one of these dependencies";
        check("a 1.0.0: a *", "a", &format!("{prefix}a → a{remedy}"));
        // What leads to a circle is no part of it.
        check(
            "app 1.0.0: b *\nb 1.0.0: c *\nc 1.0.0: d *\nd 1.0.0: b *",
            "app",
            &format!("{prefix}b → c → d → b{remedy}"),
        );
    }

    #[test]
    fn roots_are_read() {
        fn check(text: &str, expected: &str) {
            let shown = match text.parse::<Root>() {
                Ok(root) => root.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(shown, expected);
        }
        let remedy = "write `ID` or `ID@RANGE`, e.g. `redact@^1.2`";
        check("redact", "redact");
        check("redact@^1", "redact@^1");
        check("redact@>=1, <3", "redact@>=1, <3");
        check("Redact", &format!("`Redact`: `Redact` is not a plugin id; {remedy}"));
        check("", &format!("``: `` is not a plugin id; {remedy}"));
        check(
            "a@one",
            &format!(
                "`a@one`: unexpected character 'o' while parsing major version number; {remedy}"
            ),
        );
    }
}
