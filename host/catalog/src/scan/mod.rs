//! Walks over folders and reads manifests; see [`Catalog::scan`](super::Catalog::scan).

mod finding;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_events::LoadStage;
use glovebox_host::{LoadError, LoadProblem};
use glovebox_host::{ManifestPlace, Peek, Peeked, names_in, peek};

use super::{Entry, Factory};
pub use finding::ScanFinding;
pub(super) use finding::duplicates;
use walk::{Walk, is_below};

/// How far a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanBounds {
    /// Folders below the one that was named: 0 is that folder alone.
    pub depth: usize,
    /// Files and folders looked at, whatever they are.
    pub files: usize,
    /// Artifacts and manifests read.
    pub plugins: usize,
}

impl Default for ScanBounds {
    /// 8 folders deep, 200,000 files, 10,000 plugins.
    fn default() -> Self {
        ScanBounds { depth: 8, files: 200_000, plugins: 10_000 }
    }
}

pub(super) struct Scanned {
    pub(super) entries: Vec<Entry>,
    pub(super) findings: Vec<ScanFinding>,
    pub(super) others: BTreeMap<&'static str, usize>,
}

pub(super) fn scan(folders: impl Iterator<Item = PathBuf>, bounds: &ScanBounds) -> Scanned {
    let mut walk = Walk::default();
    for folder in folders {
        walk.over(&folder, bounds);
    }
    if walk.is_cut {
        walk.findings.push(ScanFinding::TooManyFiles { limit: bounds.files });
    }
    if walk.too_deep.0 > 0 {
        let (folders, first) = (walk.too_deep.0, walk.too_deep.1.clone().unwrap_or_default());
        walk.findings.push(ScanFinding::TooDeep { limit: bounds.depth, folders, first });
    }
    let found = walk.manifests.len() + walk.artifacts.len();
    if found > bounds.plugins {
        walk.findings.push(ScanFinding::TooManyPlugins { limit: bounds.plugins, found });
        walk.manifests.truncate(bounds.plugins);
        walk.artifacts.truncate(bounds.plugins - walk.manifests.len());
    }
    read(walk)
}

/// Reads the manifests first: an artifact that one of them names is not a plugin of its own.
fn read(mut walk: Walk) -> Scanned {
    let mut scanned =
        Scanned { entries: Vec::new(), findings: Vec::new(), others: BTreeMap::new() };
    let mut claimed = HashSet::new();
    let mut nameless = BTreeMap::new();
    let mut once = BTreeSet::new();
    // Those that were named first: they may lead anywhere, also if a folder holds them too.
    walk.manifests.sort_by_key(|(_, root)| root.is_some());
    for (path, root) in std::mem::take(&mut walk.manifests) {
        if !once.insert(identity(&path)) {
            continue;
        }
        // Such a manifest is about every artifact beside it that has none inside.
        let names = names_in(&path);
        if names.is_empty() {
            nameless.insert(path.parent().unwrap_or(Path::new("")).to_owned(), path);
            continue;
        }
        let artifacts = names.iter().map(|name| path.with_file_name(name));
        if artifacts.filter(|path| path.exists()).any(|artifact| !is_below(&artifact, &root)) {
            walk.leads_out(&path);
            continue;
        }
        match peek(&path) {
            Ok(Peek::Plugin(peeked)) => {
                claimed.insert(identity(&peeked.artifact));
                scanned.add(&path, *peeked);
            }
            Ok(Peek::Other(_)) => {
                let problem =
                    LoadProblem::NoArtifact { reason: "it names no plugin library".to_owned() };
                walk.unreadable(LoadError::new(LoadStage::Sniff, Some(path.into()), problem));
            }
            Err(error) => walk.unreadable(error),
        }
    }
    for path in std::mem::take(&mut walk.artifacts) {
        if !claimed.insert(identity(&path)) {
            continue;
        }
        match peek(&path) {
            Ok(Peek::Plugin(peeked)) => {
                if peeked.place == ManifestPlace::Beside {
                    nameless.remove(path.parent().unwrap_or(Path::new("")));
                }
                scanned.add(&path, *peeked);
            }
            Ok(Peek::Other(plural)) => *scanned.others.entry(plural).or_default() += 1,
            Err(error) => walk.unreadable(error),
        }
    }
    for path in nameless.into_values() {
        // It says why it is about nothing.
        match peek(&path) {
            Ok(_) => {}
            Err(error) => walk.unreadable(error),
        }
    }
    let lead_out = walk.lead_out.map(|(count, first)| ScanFinding::LeadOut { count, first });
    walk.findings.extend(lead_out);
    scanned.findings = walk.findings;
    scanned
}

/// The file itself, under whatever name.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

impl Scanned {
    /// The plugin, and its named configurations.
    fn add(&mut self, path: &Path, peeked: Peeked) {
        let Peeked { artifact, kind, size, manifest, place: manifest_place } = peeked;
        let path = path.to_owned();
        for name in manifest.configurations.keys() {
            // The name is one of the manifest's own.
            let Ok(configured) = manifest.configured(name) else { continue };
            let configuration = name.clone();
            self.entries.push(Entry {
                manifest: Arc::new(configured),
                manifest_place,
                path: path.clone(),
                artifact: artifact.clone(),
                kind,
                size,
                factory: Some(Factory { id: manifest.plugin.id.clone(), configuration }),
            });
        }
        let manifest = Arc::new(manifest);
        self.entries.push(Entry {
            manifest,
            manifest_place,
            path,
            artifact,
            kind,
            size,
            factory: None,
        });
    }
}
