//! The way to a file: every name from the root on, through links, and what lies there.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Links that are followed on the way to one file, as on Linux.
const MAX_LINKS: usize = 40;
/// A file that changed this short a time ago may change again without other time stamps: some file
/// systems count in steps of two seconds.
const COARSE: Duration = Duration::from_secs(3);

/// Tells a file or folder from any other that had or gets its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Device and inode; nothing where the system has none.
    number: (u64, u64),
    created: Option<SystemTime>,
}

/// The difference between two contents, short of reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    len: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds of the last change of the entry; nothing where the system has none.
    changed: (i64, i64),
}

/// The entry of a folder at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A folder on the way, or at its end.
    Folder(Identity),
    /// A link, and where it leads.
    Link(PathBuf),
    /// A file, or anything else that has no names inside.
    File(Stamp),
}

/// A name on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// Without links in it.
    folder: PathBuf,
    name: OsString,
    found: Found,
}

/// The ways to all files of a plugin. Two that are equal lead to the same files, and these were not
/// changed in between as far as the system tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trail {
    steps: Vec<Step>,
    folders: BTreeMap<PathBuf, Identity>,
}

impl Trail {
    /// Goes to each of these files. Relative paths start at the working folder.
    pub(super) fn to(files: &[PathBuf]) -> Trail {
        let mut trail = Trail::default();
        for file in files {
            // A path that cannot be made absolute is empty, and leads nowhere.
            if let Ok(path) = std::path::absolute(file) {
                trail.follow(&path);
            }
        }
        trail
    }

    fn follow(&mut self, path: &Path) {
        let mut rest: VecDeque<OsString> = parts(path);
        let (mut at, mut links) = (PathBuf::new(), 0);
        while let Some(part) = rest.pop_front() {
            match Path::new(&part).components().next() {
                Some(Component::Normal(_)) => {}
                Some(Component::ParentDir) => {
                    at.pop();
                    continue;
                }
                Some(Component::RootDir | Component::Prefix(_)) => {
                    at.push(&part);
                    continue;
                }
                Some(Component::CurDir) | None => continue,
            }
            self.note_folder(&at);
            let place = at.join(&part);
            let about = place.symlink_metadata().ok();
            let found = match about {
                None => Found::Nothing,
                Some(about) if about.is_symlink() => {
                    Found::Link(place.read_link().unwrap_or_default())
                }
                Some(about) if about.is_dir() => Found::Folder(Identity::of(&about)),
                Some(about) => Found::File(Stamp::of(&about)),
            };
            let step = Step { folder: at.clone(), name: part, found: found.clone() };
            if !self.steps.contains(&step) {
                self.steps.push(step);
            }
            match found {
                Found::Folder(_) => at = place,
                Found::Link(target) if links < MAX_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::new();
                    }
                    for part in parts(&target).into_iter().rev() {
                        rest.push_front(part);
                    }
                }
                Found::Nothing | Found::Link(_) | Found::File(_) => return,
            }
        }
    }

    fn note_folder(&mut self, folder: &Path) {
        if !self.folders.contains_key(folder)
            && let Ok(about) = folder.symlink_metadata()
        {
            self.folders.insert(folder.to_owned(), Identity::of(&about));
        }
    }

    /// The folders in which something may happen that matters, and which ones they are now.
    pub(super) fn folders(&self) -> &BTreeMap<PathBuf, Identity> {
        &self.folders
    }

    /// The names that matter in these folders.
    pub(super) fn names(&self) -> impl Iterator<Item = &OsString> {
        self.steps.iter().map(|step| &step.name)
    }

    /// True if `path` is a file at the end of a way.
    pub(super) fn ends_at(&self, path: &Path) -> bool {
        self.files().any(|(step, _)| path == step.folder.join(&step.name))
    }

    /// True if something at `path` may change the way.
    pub(super) fn leads_over(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
            || path.file_name().is_some_and(|name| self.names().any(|one| one == name))
    }

    /// True if it leads over the same folders and names, whatever lies there.
    pub(super) fn leads_as(&self, other: &Trail) -> bool {
        self.folders == other.folders
            && self.steps.len() == other.steps.len()
            && self.steps.iter().zip(&other.steps).all(|(one, two)| one.is_at(two))
    }

    /// The folders in which the files lie that are there.
    pub(super) fn homes(&self) -> impl Iterator<Item = &Path> {
        self.files().map(|(step, _)| &*step.folder)
    }

    /// True if a file has other content than before, and is the same file still: somebody writes it
    /// where it lies.
    pub(super) fn grew_from(&self, before: &Trail) -> bool {
        self.files().any(|(step, stamp)| {
            before.files().any(|(old, was)| {
                old.is_at(step)
                    && was.identity == stamp.identity
                    && (was.len, was.modified) != (stamp.len, stamp.modified)
            })
        })
    }

    /// True if a file is there and has nothing in it.
    pub(super) fn has_empty(&self) -> bool {
        self.files().any(|(_, stamp)| stamp.len == 0)
    }

    /// True if a file is so young that its time stamps may stay the same while it changes again.
    pub(super) fn is_young(&self) -> bool {
        self.files().filter_map(|(_, stamp)| stamp.modified).any(|modified| {
            // A time in the future is of another clock: then nobody knows.
            SystemTime::now().duration_since(modified).is_ok_and(|age| age < COARSE)
        })
    }

    fn files(&self) -> impl Iterator<Item = (&Step, &Stamp)> {
        self.steps.iter().filter_map(|step| match &step.found {
            Found::File(stamp) => Some((step, stamp)),
            _ => None,
        })
    }
}

impl Step {
    /// True if both are about the same name in the same folder.
    fn is_at(&self, other: &Step) -> bool {
        self.name == other.name && self.folder == other.folder
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components().map(|part| part.as_os_str().to_owned()).collect()
}

impl Identity {
    fn of(about: &Metadata) -> Identity {
        #[cfg(unix)]
        let number = {
            use std::os::unix::fs::MetadataExt;
            (about.dev(), about.ino())
        };
        #[cfg(not(unix))]
        let number = (0, 0);
        Identity { number, created: about.created().ok() }
    }
}

impl Stamp {
    fn of(about: &Metadata) -> Stamp {
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            (about.ctime(), about.ctime_nsec())
        };
        #[cfg(not(unix))]
        let changed = (0, 0);
        let modified = about.modified().ok();
        Stamp { identity: Identity::of(about), len: about.len(), modified, changed }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes a tree with `a/file`, the links `link` → `a`, `far/link` → `../link/file`, and the empty
    /// folder `b`, changes it, and compares the ways to `path`.
    #[track_caller]
    fn check(path: &str, change: impl FnOnce(&Path), differs: bool) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["a", "b", "far"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("a/file"), "1").unwrap();
        fs::write(root.join("a/other"), "1").unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("../link/file", root.join("far/link")).unwrap();
        let files = [root.join(path)];
        let before = Trail::to(&files);
        assert_eq!(Trail::to(&files), before, "nothing happened");
        change(&root);
        assert_eq!(Trail::to(&files) != before, differs, "{before:?}");
    }

    #[test]
    fn every_name_on_the_way_counts() {
        let swing = |root: &Path| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("b", root.join("link")).unwrap();
        };
        check("a/file", |root| fs::write(root.join("a/file"), "22").unwrap(), true);
        check("a/file", |root| fs::remove_file(root.join("a/file")).unwrap(), true);
        check(
            "a/file",
            |root| fs::rename(root.join("a/other"), root.join("a/file")).unwrap(),
            true,
        );
        check("a/file", |root| fs::write(root.join("a/other"), "22").unwrap(), false);
        check("a/file", |root| fs::rename(root.join("a"), root.join("c")).unwrap(), true);
        check("a/file", swing, false);
        check("link/file", swing, true);
        check("far/link", swing, true);
        check("far/link", |root| fs::write(root.join("a/file"), "22").unwrap(), true);
        check("far/link", |root| fs::rename(root.join("far"), root.join("c")).unwrap(), true);
        check("b/none", |root| fs::write(root.join("b/none"), "1").unwrap(), true);
        check("b/none/file", |root| fs::create_dir(root.join("b/none")).unwrap(), true);
        check("b/../a/file", |root| fs::write(root.join("a/file"), "22").unwrap(), true);
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        let trail = Trail::to(&[folder.path().join("a")]);
        assert!(trail.names().any(|name| name == "b") && trail.files().next().is_none());
    }

    #[test]
    fn a_file_grows_only_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let files = [path.clone()];
        fs::write(&path, "1").unwrap();
        let first = Trail::to(&files);
        fs::write(&path, "22").unwrap();
        let second = Trail::to(&files);
        assert!(second.grew_from(&first) && second.is_young());
        fs::write(folder.path().join("new"), "333").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(!Trail::to(&files).grew_from(&second));
    }
}
