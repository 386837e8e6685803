//! Walks over folders and reads manifests; see [`Catalog::scan`](super::Catalog::scan).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_events::LoadStage;
use semver::Version;
use walkdir::WalkDir;

use super::{Entry, Factory};
use crate::load::{LoadError, LoadProblem, ManifestPlace, Peek, Peeked, names_in, peek};

const MANIFEST: &str = "plugin.toml";
const ARTIFACTS: [&str; 5] = ["wasm", "wat", "so", "dylib", "dll"];

/// Paths in the sentence of one finding.
const MAX_SHOWN: usize = 3;

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

/// What a scan has to say besides the plugins it found.
#[derive(Debug)]
pub enum ScanFinding {
    /// A plugin or folder that cannot be read.
    Unreadable(LoadError),
    /// Several artifacts are the same version of one plugin.
    Duplicate {
        /// The plugin.
        id: String,
        /// Its version.
        version: Version,
        /// The artifact that counts when dependencies are resolved: the first among the entries.
        used: PathBuf,
        /// The others, in order.
        others: Vec<PathBuf>,
    },
    /// The scan went no deeper.
    TooDeep {
        /// [`ScanBounds::depth`].
        limit: usize,
        /// Folders that were not looked into.
        folders: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// Links, and artifacts that manifests name, lead out of the folders that are scanned.
    LeadOut {
        /// How many were left out.
        count: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// The scan ended early, at [`ScanBounds::files`].
    TooManyFiles {
        /// The bound.
        limit: usize,
    },
    /// The scan read no more manifests than [`ScanBounds::plugins`].
    TooManyPlugins {
        /// The bound.
        limit: usize,
        /// Artifacts and manifests that were there.
        found: usize,
    },
}

impl fmt::Display for ScanFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScanFinding::Unreadable(error) => error.fmt(formatter),
            ScanFinding::Duplicate { id, version, used, others } => {
                let shown: Vec<String> =
                    others.iter().take(MAX_SHOWN).map(|path| path.display().to_string()).collect();
                write!(
                    formatter,
                    "`{id}` {version} is there {} times; where one is chosen, {} counts, and not {}",
                    others.len() + 1,
                    used.display(),
                    shown.join(", ")
                )?;
                match others.len() - shown.len() {
                    0 => Ok(()),
                    more => write!(formatter, " and {more} more"),
                }
            }
            ScanFinding::TooDeep { limit, folders, first } => {
                let first = first.display();
                match folders {
                    1 => write!(formatter, "{first} lies deeper than {limit} folders and was")?,
                    more => write!(
                        formatter,
                        "{first} and {} more lie deeper than {limit} folders and were",
                        more - 1
                    )?,
                }
                formatter.write_str(" left out; to see what is there, scan it by name")
            }
            ScanFinding::LeadOut { count, first } => {
                write!(formatter, "{} ", first.display())?;
                match count {
                    1 => formatter.write_str("leads out of the folder and was")?,
                    more => {
                        write!(formatter, "and {} more lead out of the folder and were", more - 1)?
                    }
                }
                formatter.write_str(" left out; to see what is there, scan it by name")
            }
            ScanFinding::TooManyFiles { limit } => write!(
                formatter,
                "more than {limit} files and folders, and the rest was left out; name folders \
                 that hold fewer"
            ),
            ScanFinding::TooManyPlugins { limit, found } => write!(
                formatter,
                "{found} plugins, of which {limit} were read; name folders that hold fewer"
            ),
        }
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

/// What lies in the folders, by name alone.
#[derive(Default)]
struct Walk {
    /// With the folder out of which nothing may lead; none if it was named itself.
    manifests: Vec<(PathBuf, Option<PathBuf>)>,
    artifacts: Vec<PathBuf>,
    findings: Vec<ScanFinding>,
    /// What was said already: a manifest that is wrong is wrong for every artifact beside it.
    said: BTreeSet<String>,
    looked_at: usize,
    is_cut: bool,
    too_deep: (usize, Option<PathBuf>),
    lead_out: Option<(usize, PathBuf)>,
}

impl Walk {
    fn over(&mut self, folder: &Path, bounds: &ScanBounds) {
        let root = folder.canonicalize().ok().filter(|root| root.is_dir());
        // One deeper than allowed, so that what is left out is known.
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        let mut walk = walk.max_depth(bounds.depth + 1).into_iter();
        while let Some(entry) = walk.next() {
            if self.looked_at == bounds.files {
                self.is_cut = true;
                return;
            }
            self.looked_at += 1;
            let entry = match entry {
                Ok(entry) => entry,
                // A link to a folder that it lies in leads to nothing new.
                Err(error) if error.loop_ancestor().is_some() => continue,
                Err(error) => {
                    let path = error.path().map(Path::to_owned);
                    // A link to nothing is the business of whoever made it.
                    let dangles = path.as_ref().is_some_and(|path| path.is_symlink());
                    if !dangles || error.depth() == 0 {
                        let error = error.into_io_error().unwrap_or_else(unknown);
                        self.unreadable(LoadError::new(LoadStage::Read, path, error.into()));
                    }
                    continue;
                }
            };
            // The name itself may be a link: whoever gave it means what it leads to.
            if entry.depth() > 0 && entry.path_is_symlink() && !is_below(entry.path(), &root) {
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                self.leads_out(entry.path());
                continue;
            }
            let hidden =
                entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
            if entry.file_type().is_dir() {
                if hidden {
                    walk.skip_current_dir();
                } else if entry.depth() > bounds.depth {
                    self.too_deep.0 += 1;
                    self.too_deep.1.get_or_insert_with(|| entry.path().to_owned());
                }
                continue;
            }
            if hidden {
                continue;
            }
            let named = entry.depth() == 0;
            let path = entry.into_path();
            let extension = path.extension().unwrap_or_default();
            if path.file_name().is_some_and(|name| name == MANIFEST) {
                self.manifests.push((path, root.clone()));
            } else if named || ARTIFACTS.iter().any(|known| extension == *known) {
                self.artifacts.push(path);
            }
        }
    }

    fn leads_out(&mut self, path: &Path) {
        self.lead_out.get_or_insert_with(|| (0, path.to_owned())).0 += 1;
    }

    fn unreadable(&mut self, error: LoadError) {
        if self.said.insert(error.to_string()) {
            self.findings.push(ScanFinding::Unreadable(error));
        }
    }
}

fn unknown() -> std::io::Error {
    std::io::Error::other("the system does not say why")
}

/// True if what a path leads to lies in a folder, or if there is no such folder.
fn is_below(path: &Path, root: &Option<PathBuf>) -> bool {
    root.as_ref().is_none_or(|root| path.canonicalize().is_ok_and(|path| path.starts_with(root)))
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
                walk.unreadable(LoadError::new(LoadStage::Sniff, Some(path), problem));
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

/// Which of the sorted entries are the same version of one plugin.
pub(super) fn duplicates(entries: &[Entry]) -> Vec<ScanFinding> {
    let same = |a: &Entry, b: &Entry| a.id() == b.id() && a.version() == b.version();
    let groups = entries.chunk_by(same).filter(|group| group.len() > 1);
    // The configurations of a factory are there as often as it is.
    let groups = groups.filter(|group| group.iter().any(|entry| entry.factory.is_none()));
    groups
        .map(|group| ScanFinding::Duplicate {
            id: group[0].id().to_owned(),
            version: group[0].version().clone(),
            used: group[0].artifact.clone(),
            others: group[1..].iter().map(|entry| entry.artifact.clone()).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_shown_in_part() {
        fn check(others: usize, expected: &str) {
            let finding = ScanFinding::Duplicate {
                id: "a".to_owned(),
                version: Version::new(1, 0, 0),
                used: "0".into(),
                others: (1..=others).map(|number| number.to_string().into()).collect(),
            };
            let finding = finding.to_string();
            let (_, end) = finding.split_once("0 counts, and not ").unwrap();
            assert_eq!(end, expected);
        }
        check(1, "1");
        check(3, "1, 2, 3");
        check(5, "1, 2, 3 and 2 more");
    }
}
