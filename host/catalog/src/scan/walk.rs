//! The walk over folders: it finds manifests and artifacts by their names, and opens none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use glovebox_events::LoadStage;
use glovebox_host::{LoadError, Origin};
use walkdir::WalkDir;

use super::{ScanBounds, ScanFinding};

const MANIFEST: &str = "plugin.toml";
const ARTIFACTS: [&str; 5] = ["wasm", "wat", "so", "dylib", "dll"];

/// The files in the folders, by name alone.
#[derive(Default)]
pub(super) struct Walk {
    /// With the folder out of which nothing may lead; none if it was named itself.
    pub(super) manifests: Vec<(PathBuf, Option<PathBuf>)>,
    pub(super) artifacts: Vec<PathBuf>,
    pub(super) findings: Vec<ScanFinding>,
    /// The errors said already: a wrong manifest is wrong for every artifact beside it.
    said: BTreeSet<String>,
    looked_at: usize,
    pub(super) is_cut: bool,
    pub(super) too_deep: (usize, Option<PathBuf>),
    pub(super) lead_out: Option<(usize, PathBuf)>,
}

impl Walk {
    pub(super) fn over(&mut self, folder: &Path, bounds: &ScanBounds) {
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
                    // A link to nothing is its author's business.
                    let dangles = path.as_ref().is_some_and(|path| path.is_symlink());
                    if !dangles || error.depth() == 0 {
                        let error = error.into_io_error().unwrap_or_else(unknown);
                        self.unreadable(LoadError::new(
                            LoadStage::Read,
                            path.map(Origin::File),
                            error.into(),
                        ));
                    }
                    continue;
                }
            };
            // The name itself may be a link: a caller that names it means its target.
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

    pub(super) fn leads_out(&mut self, path: &Path) {
        self.lead_out.get_or_insert_with(|| (0, path.to_owned())).0 += 1;
    }

    pub(super) fn unreadable(&mut self, error: LoadError) {
        if self.said.insert(error.to_string()) {
            self.findings.push(ScanFinding::Unreadable(error));
        }
    }
}

fn unknown() -> std::io::Error {
    std::io::Error::other("the system does not say why")
}

/// True if the target of a path lies in a folder, or if there is no such folder.
pub(super) fn is_below(path: &Path, root: &Option<PathBuf>) -> bool {
    root.as_ref().is_none_or(|root| path.canonicalize().is_ok_and(|path| path.starts_with(root)))
}
