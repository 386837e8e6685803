//! Where the plugins of a workspace are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Workspace, WorkspaceError};
use crate::catalog::ScanFinding;
use crate::document::nearest;
use crate::{Catalog, LoadRequest, ScanBounds, inspect};

/// The plugins of a workspace.
#[derive(Debug, Clone)]
pub struct WorkspacePlugins {
    /// Those that are enabled, in the order of `enabled`; sorted by id where that is absent.
    pub plugins: Vec<WorkspacePlugin>,
    /// Artifacts in the folders whose manifest could not be read.
    pub unreadable: Vec<PathBuf>,
}

/// A plugin of a workspace.
#[derive(Debug, Clone)]
pub struct WorkspacePlugin {
    /// Its id.
    pub id: String,
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
    let (mut found, unreadable) = look(&workspace.folders)?;
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
        let request = LoadRequest::path(&inspection.path);
        found.entry(id.clone()).or_default().insert(0, (inspection.path, request));
    }
    let enabled = match &workspace.enabled {
        Some(enabled) => enabled.clone(),
        None => found.keys().cloned().collect(),
    };
    let plugin = |id: String| match found.get(&id).map(Vec::as_slice) {
        Some([(path, request), others @ ..]) => Ok(WorkspacePlugin {
            request: match workspace.settings.get(&id) {
                Some(settings) => settings.apply(request.clone()),
                None => request.clone(),
            },
            id,
            path: path.clone(),
            others: others.iter().map(|(path, _)| path.clone()).collect(),
        }),
        _ => Err(WorkspaceError::NotFound {
            folders: workspace.folders.clone(),
            nearest: nearest(&id, found.keys().map(String::as_str)).map(str::to_owned),
            unreadable: unreadable.clone(),
            plugin: id,
        }),
    };
    let plugins = enabled.iter().cloned().map(plugin).collect::<Result<_, _>>()?;
    if let Some((plugin, settings)) =
        workspace.settings.iter().find(|(id, _)| !enabled.contains(id))
    {
        return Err(WorkspaceError::NotEnabled {
            plugin: plugin.clone(),
            line: settings.line,
            nearest: nearest(plugin, enabled.iter().map(String::as_str)).map(str::to_owned),
        });
    }
    Ok(WorkspacePlugins { plugins, unreadable })
}

/// How to load each plugin, by id, with the path of each artifact, the one that counts first; and
/// what could not be read.
type Look = (BTreeMap<String, Vec<(PathBuf, LoadRequest)>>, Vec<PathBuf>);

fn look(folders: &[PathBuf]) -> Result<Look, WorkspaceError> {
    for folder in folders {
        let refused = |source| WorkspaceError::Folder { source, path: folder.clone() };
        std::fs::read_dir(folder).map_err(refused)?;
    }
    let catalog = Catalog::scan(folders, &ScanBounds::default());
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for entry in catalog.entries() {
        let artifacts = found.entry(entry.id().to_owned()).or_default();
        artifacts.push((entry.artifact.clone(), entry.request()));
    }
    let unreadable = catalog.findings().filter_map(|finding| match finding {
        ScanFinding::Unreadable(error) => error.path().cloned(),
        _ => None,
    });
    let unreadable = unreadable.collect();
    Ok((found, unreadable))
}
