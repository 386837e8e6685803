//! Dependencies of plugins, loaded with them and before them.
//!
//! A plugin named by its id was resolved by the workspace, with its dependencies. For one named by
//! its path, the other named plugins and those of the workspace are looked at, in this order; no
//! folder is searched. A missing dependency is said, and the plugin runs without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::Manifest;
use glovebox_abi::manifest::is_kebab_case;
use glovebox_host::{LoadRequest, inspect};

use super::error::Problem;
use super::load::LoadArgs;
use super::report::say;
use super::surroundings::Surroundings;

/// Plugins that are to run.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// Named on the command line, by path or id.
    pub(super) names: &'a [PathBuf],
    /// Ids that something else names; those that are nowhere are left out.
    pub(super) ids: Vec<&'a str>,
    /// Artifacts that something else loads: only what they depend on is looked for.
    pub(super) files: Vec<&'a Path>,
}

/// The plugins to load for them.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// In order, each after those it depends on; otherwise what is named first comes first.
    pub(super) requests: Vec<LoadRequest>,
    /// Ids of those that nobody named.
    pub(super) along: Vec<String>,
    /// Dependencies that are not there, in words.
    pub(super) missing: Vec<String>,
}

impl Needed {
    /// Says on standard error what is not there.
    pub(super) fn say(&self) {
        self.missing.iter().for_each(|missing| say(&format!("{missing}; it runs without")));
    }
}

/// One that may have to be loaded.
struct Candidate {
    /// `None` if it cannot be read; loading says why.
    manifest: Option<Arc<Manifest>>,
    request: LoadRequest,
    is_named: bool,
}

impl Candidate {
    fn is(&self, id: &str) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.plugin.id == id)
    }
}

impl Wanted<'_> {
    /// Finds what they depend on. The workspace is read only if something may come from there.
    pub(super) fn find(
        &self,
        load: &LoadArgs,
        surroundings: &Surroundings,
    ) -> Result<Needed, Problem> {
        let read = |path: &Path| Some(Arc::new(inspect(path).ok()?.manifest));
        let mut candidates = Vec::new();
        for name in self.names.iter().filter(|name| id_of(name).is_none()) {
            let request = load.over(LoadRequest::path(name))?;
            candidates.push(Candidate { manifest: read(name), request, is_named: true });
        }
        let files: Vec<Arc<Manifest>> = self.files.iter().filter_map(|path| read(path)).collect();
        let ids: Vec<&str> =
            self.names.iter().filter_map(|name| id_of(name)).chain(self.ids.clone()).collect();
        let manifests = candidates.iter().filter_map(|candidate| candidate.manifest.as_ref());
        let dependencies =
            manifests.chain(&files).flat_map(|manifest| manifest.dependencies.keys());
        let mut all = ids.iter().copied().chain(dependencies.map(String::as_str));
        let is_there = |id: &str| candidates.iter().any(|candidate| candidate.is(id));
        if !all.all(is_there) {
            // The command line neither configures nor renames a plugin that it does not name.
            let along = LoadArgs { config: None, configuration: None, ..load.clone() };
            let mut found = surroundings.plugins()?.map(|found| found.plugins).unwrap_or_default();
            found.retain(|plugin| !is_there(&plugin.id));
            for plugin in found {
                let is_named = ids.contains(&plugin.id.as_str());
                let request = if is_named { load } else { &along }.over(plugin.request)?;
                candidates.push(Candidate { manifest: Some(plugin.manifest), request, is_named });
            }
        }
        let mut walk = Walk { candidates, taken: BTreeSet::new(), needed: Needed::default() };
        files.iter().for_each(|manifest| walk.take_dependencies(manifest));
        let mut paths = 0;
        for name in self.names {
            let at = match id_of(name) {
                Some(id) => walk.candidates.iter().position(|candidate| candidate.is(id)),
                None => {
                    paths += 1;
                    Some(paths - 1)
                }
            };
            match at {
                Some(at) => walk.take(at),
                None => walk.needed.requests.push(load.over(LoadRequest::path(name))?),
            }
        }
        for id in &self.ids {
            let at = walk.candidates.iter().position(|candidate| candidate.is(id));
            at.into_iter().for_each(|at| walk.take(at));
        }
        Ok(walk.needed)
    }
}

/// The id that a name on the command line is; what exists as a path is one.
fn id_of(name: &Path) -> Option<&str> {
    name.to_str().filter(|id| is_kebab_case(id) && !name.exists())
}

/// Takes each candidate once, after those it depends on.
struct Walk {
    candidates: Vec<Candidate>,
    taken: BTreeSet<usize>,
    needed: Needed,
}

impl Walk {
    fn take(&mut self, at: usize) {
        // Also what is under way: a circle ends somewhere.
        if !self.taken.insert(at) {
            return;
        }
        let manifest = self.candidates[at].manifest.clone();
        if let Some(manifest) = &manifest {
            self.take_dependencies(manifest);
        }
        let Candidate { request, is_named, .. } = &self.candidates[at];
        self.needed.requests.push(request.clone());
        let along = manifest.filter(|_| !is_named);
        self.needed.along.extend(along.map(|manifest| manifest.plugin.id.clone()));
    }

    fn take_dependencies(&mut self, manifest: &Manifest) {
        for (id, range) in &manifest.dependencies {
            let version = |candidate: &Candidate| {
                candidate.manifest.as_ref().map(|manifest| manifest.plugin.version.clone())
            };
            let all = self.candidates.iter().enumerate().filter(|(_, other)| other.is(id));
            let mut fitting = all
                .clone()
                .filter(|(_, other)| version(other).is_some_and(|version| range.matches(&version)));
            if let Some((at, _)) = fitting.next() {
                self.take(at);
                continue;
            }
            let there = match all.filter_map(|(_, other)| version(other)).next() {
                Some(version) => format!("only {version} is there"),
                None => "which is neither named nor in a workspace".to_owned(),
            };
            let plugin = &manifest.plugin.id;
            self.needed.missing.push(format!("{plugin} needs {id} {range}, {there}"));
        }
    }
}
