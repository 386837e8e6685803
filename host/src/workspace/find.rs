//! Where the plugins of a workspace are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Workspace, WorkspaceError};
use crate::document::nearest;
use crate::{Inspection, LoadError, LoadRequest, inspect};

/// Files that may be plugins, by what their name ends with.
const ARTIFACTS: [&str; 5] = ["wasm", "wat", "so", "dylib", "dll"];

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
        found.entry(id.clone()).or_default().insert(0, inspection.path);
    }
    let enabled = match &workspace.enabled {
        Some(enabled) => enabled.clone(),
        None => found.keys().cloned().collect(),
    };
    let plugin = |id: String| match found.get(&id).map(Vec::as_slice) {
        Some([path, others @ ..]) => Ok(WorkspacePlugin {
            request: match workspace.settings.get(&id) {
                Some(settings) => settings.request(path),
                None => LoadRequest::path(path),
            },
            id,
            path: path.clone(),
            others: others.to_vec(),
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

/// Artifacts by plugin id, the one that counts first; and what could not be read.
type Look = (BTreeMap<String, Vec<PathBuf>>, Vec<PathBuf>);

/// Reads the manifests in some folders, one level deep.
fn look(folders: &[PathBuf]) -> Result<Look, WorkspaceError> {
    let mut inspections: Vec<(usize, Inspection)> = Vec::new();
    let mut unreadable = Vec::new();
    for (position, folder) in folders.iter().enumerate() {
        for path in candidates(folder)? {
            let inspection: Result<Inspection, LoadError> = inspect(&path);
            match inspection {
                Ok(inspection) => inspections.push((position, inspection)),
                Err(_) => unreadable.push(path),
            }
        }
    }
    inspections.sort_by_key(|(position, inspection)| {
        let version = inspection.manifest.plugin.version.clone();
        (Reverse(version), *position, inspection.path.clone())
    });
    let mut found = BTreeMap::<String, Vec<PathBuf>>::new();
    for (_, inspection) in inspections {
        let paths = found.entry(inspection.manifest.plugin.id).or_default();
        // A `plugin.toml` and the artifact it names are the same plugin.
        if !paths.contains(&inspection.path) {
            paths.push(inspection.path);
        }
    }
    Ok((found, unreadable))
}

/// What may be a plugin in a folder, sorted by name. A folder with a manifest is one plugin.
fn candidates(folder: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
    let refused = |source| WorkspaceError::Folder { source, path: folder.to_owned() };
    if folder.join("plugin.toml").is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_artifact = extension.is_some_and(|extension| ARTIFACTS.contains(&extension));
        if (is_artifact && path.is_file()) || path.join("plugin.toml").is_file() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}
