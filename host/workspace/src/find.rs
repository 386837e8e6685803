//! Finds the plugins of a workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::Manifest;
use semver::{Comparator, Op, Version, VersionReq};

use super::{Workspace, WorkspaceError};
use glovebox_abi::nearest::nearest;
use glovebox_catalog::{Catalog, Entry, Root, ScanBounds, ScanFinding};
use glovebox_host::{Inspection, LoadRequest, inspect};

/// The plugins of a workspace.
#[derive(Debug, Clone)]
pub struct WorkspacePlugins {
    /// Those that are enabled and those they depend on, each after its dependencies; otherwise in
    /// the order of `enabled`, or sorted by id where that is absent.
    pub plugins: Vec<WorkspacePlugin>,
    /// Artifacts in the folders whose manifest could not be read.
    pub unreadable: Vec<PathBuf>,
}

/// A plugin of a workspace.
#[derive(Debug, Clone)]
pub struct WorkspacePlugin {
    /// Its id.
    pub id: String,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Its artifact.
    pub path: PathBuf,
    /// How to load it, with what the workspace says about it.
    pub request: LoadRequest,
    /// Other artifacts of the same plugin, which do not count.
    pub others: Vec<PathBuf>,
}

impl WorkspacePlugins {
    /// The plugin of an id.
    pub fn get(&self, id: &str) -> Option<&WorkspacePlugin> {
        self.plugins.iter().find(|plugin| plugin.id == id)
    }
}

pub(super) fn plugins(workspace: &Workspace) -> Result<WorkspacePlugins, WorkspaceError> {
    for folder in &workspace.folders {
        let refused = |source| WorkspaceError::Folder { source, path: folder.clone() };
        std::fs::read_dir(folder).map_err(refused)?;
    }
    let chosen = chosen(workspace)?;
    let paths = chosen.values().filter_map(Inspection::path);
    let paths = paths.chain(workspace.folders.iter().map(PathBuf::as_path));
    let catalog = Catalog::scan(paths, &ScanBounds::default());
    let unreadable: Vec<PathBuf> = catalog
        .findings()
        .filter_map(|finding| match finding {
            ScanFinding::Unreadable(error) => error.path().map(Path::to_owned),
            _ => None,
        })
        .collect();
    let found: BTreeSet<&str> = catalog.entries().iter().map(Entry::id).collect();
    let enabled: Vec<&str> = match &workspace.enabled {
        Some(enabled) => enabled.iter().map(String::as_str).collect(),
        None => found.iter().copied().collect(),
    };
    if let Some(missing) = enabled.iter().find(|id| !found.contains(*id)) {
        return Err(WorkspaceError::NotFound {
            plugin: (*missing).to_owned(),
            folders: workspace.folders.clone(),
            nearest: nearest(missing, found).map(str::to_owned),
            unreadable,
        });
    }
    let roots: Vec<Root> = enabled.iter().map(|id| root(&catalog, &chosen, id)).collect();
    let resolution = catalog.resolve(&roots)?;
    let plugins: Vec<WorkspacePlugin> = resolution
        .order()
        .iter()
        .map(|entry| {
            let chosen = chosen.get(entry.id());
            let chosen = chosen.and_then(|artifact| Some((artifact, artifact.path()?)));
            let (path, manifest, request) = match chosen {
                Some((artifact, path)) => {
                    (path, Arc::new(artifact.manifest.clone()), LoadRequest::path(path))
                }
                None => (entry.artifact.as_path(), entry.manifest.clone(), entry.request()),
            };
            let others = catalog.versions(entry.id()).map(|other| &other.artifact);
            WorkspacePlugin {
                id: entry.id().to_owned(),
                manifest,
                request: match workspace.settings.get(entry.id()) {
                    Some(settings) => settings.apply(request),
                    None => request,
                },
                others: others.filter(|other| other.as_path() != path).cloned().collect(),
                path: path.to_owned(),
            }
        })
        .collect();
    let is_loaded = |id: &str| plugins.iter().any(|plugin| plugin.id == id);
    if let Some((plugin, settings)) = workspace.settings.iter().find(|(id, _)| !is_loaded(id)) {
        let loaded = plugins.iter().map(|plugin| plugin.id.as_str());
        return Err(WorkspaceError::NotEnabled {
            plugin: plugin.clone(),
            line: settings.line,
            nearest: nearest(plugin, loaded).map(str::to_owned),
        });
    }
    Ok(WorkspacePlugins { plugins, unreadable })
}

/// The artifacts that the workspace names itself, by the id of their plugin.
fn chosen(workspace: &Workspace) -> Result<BTreeMap<&str, Inspection>, WorkspaceError> {
    let mut chosen = BTreeMap::new();
    for (id, settings) in &workspace.settings {
        let Some(path) = &settings.path else { continue };
        let inspection = inspect(path).map_err(|problem| WorkspaceError::Artifact {
            plugin: id.clone(),
            problem: Box::new(problem),
        })?;
        if inspection.manifest.plugin.id != *id {
            return Err(WorkspaceError::OtherPlugin {
                plugin: id.clone(),
                line: settings.line,
                found: inspection.manifest.plugin.id,
                path: path.clone(),
            });
        }
        chosen.insert(id.as_str(), inspection);
    }
    Ok(chosen)
}

/// Any version of an enabled plugin, unless the workspace names one, or there are only such as must
/// be named.
fn root(catalog: &Catalog, chosen: &BTreeMap<&str, Inspection>, id: &str) -> Root {
    let exactly = |version: &Version| VersionReq {
        comparators: vec![Comparator {
            op: Op::Exact,
            major: version.major,
            minor: Some(version.minor),
            patch: Some(version.patch),
            pre: version.pre.clone(),
        }],
    };
    let range = match chosen.get(id) {
        Some(artifact) => exactly(&artifact.manifest.plugin.version),
        None if catalog.versions(id).any(|entry| VersionReq::STAR.matches(entry.version())) => {
            VersionReq::STAR
        }
        None => catalog.newest(id).map_or(VersionReq::STAR, |entry| exactly(entry.version())),
    };
    Root { id: id.to_owned(), range }
}
