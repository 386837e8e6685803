//! The files that a plugin is built from, so that a change of any is noticed.
//!
//! Their times are compared. The system may tell of those that are known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// Files of a plugin at most.
const MAX_FILES: usize = 20_000;
/// Folders in which nothing is source.
const NO_SOURCE: [&str; 2] = ["target", "node_modules"];
/// The file that cargo writes itself while it builds.
const LOCK: &str = "Cargo.lock";

/// The files that a plugin is built from.
#[derive(Debug, Clone)]
pub struct Sources {
    folder: PathBuf,
    /// Where the artifact goes, which is no source.
    out: PathBuf,
    /// Files elsewhere, such as those of crates that the plugin names by their paths.
    elsewhere: BTreeSet<PathBuf>,
}

/// The sizes and times of the files at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Stamp {
    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }
}

impl Sources {
    /// All files of a folder, except `Cargo.lock` and what is in folders that are hidden, hold what
    /// builds leave, or are that of the artifact.
    pub fn new(folder: &Path, artifact: &Path) -> Sources {
        let out = artifact.parent().unwrap_or(artifact).to_owned();
        Sources { folder: folder.to_owned(), out, elsewhere: BTreeSet::new() }
    }

    /// Adds files that a build has read, and gives what it was made from: `from` with these files.
    pub fn add(&mut self, files: Vec<PathBuf>, mut from: Stamp) -> Stamp {
        for file in files.into_iter().filter(|file| !file.starts_with(&self.folder)) {
            if let (false, Ok(about)) = (from.0.contains_key(&file), fs::metadata(&file)) {
                from.0.insert(file.clone(), about_of(&about));
            }
            self.elsewhere.insert(file);
        }
        from
    }

    /// The sizes and times of the files now.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read, or there are too many files.
    pub fn stamp(&self) -> Result<Stamp> {
        let mut stamp = Stamp(BTreeMap::new());
        let mut add = |path: PathBuf, about: &Metadata| {
            stamp.0.insert(path, about_of(about));
            stamp.0.len() <= MAX_FILES
        };
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                // It was there a moment ago.
                Err(_) if folder != self.folder => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("read: {}", folder.display()));
                }
            };
            for entry in entries.flatten() {
                let (name, path) = (entry.file_name(), entry.path());
                let is_hidden = name.as_encoded_bytes().starts_with(b".");
                let Ok(about) = entry.metadata() else { continue };
                if about.is_dir() {
                    let is_no_source = NO_SOURCE.iter().any(|other| name == *other);
                    if !is_hidden && !is_no_source && path != self.out {
                        folders.push(path);
                    }
                } else if name != LOCK && !add(path, &about) {
                    bail!(
                        "watch: more than {MAX_FILES} files in {}; name the plugin's own folder",
                        self.folder.display()
                    );
                }
            }
        }
        for path in &self.elsewhere {
            if let Ok(about) = fs::metadata(path) {
                add(path.clone(), &about);
            }
        }
        Ok(stamp)
    }
}

fn about_of(about: &Metadata) -> (u64, Option<SystemTime>) {
    (about.len(), about.modified().ok())
}

/// The files that cargo read for an artifact, as it says beside it; none if it does not say.
///
/// The format is that of a rule for make: `artifact: file file`, with blanks in names escaped.
pub(super) fn read_by_cargo(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let mut names = vec![String::new()];
    let mut characters = files.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' => names.push(String::new()),
            '\\' => names.last_mut().unwrap_or(&mut String::new()).extend(characters.next()),
            other => names.last_mut().unwrap_or(&mut String::new()).push(other),
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_cargo_are_read() {
        fn check(rule: &str, expected: &[&str]) {
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(read_by_cargo(rule), expected, "{rule}");
        }
        check("", &[]);
        check("/t/a.wasm: /a/src/lib.rs /a/plugin.toml\n", &["/a/src/lib.rs", "/a/plugin.toml"]);
        check(r"/t/a.wasm: /a\ b/lib.rs /c\\d", &["/a b/lib.rs", r"/c\d"]);
    }

    #[test]
    fn changes_of_sources_are_noticed_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            fs::create_dir_all(at(name).parent().expect("it is in a folder")).expect("it is made");
            fs::write(at(name), text).expect("there is space");
        };
        write("src/lib.rs", "a");
        write("elsewhere/lib.rs", "a");
        write("plugin/plugin.toml", "a");
        let mut sources = Sources::new(&at("plugin"), &at("plugin/out/a.wasm"));
        let before = sources.stamp().expect("it can be read");
        let read = vec![at("elsewhere/lib.rs"), at("plugin/plugin.toml")];
        let built_from = sources.add(read, before);
        let stamp = || sources.stamp().expect("it can be read");
        #[track_caller]
        fn check(before: &Stamp, after: &Stamp, changes: bool) {
            assert_eq!(before != after, changes);
        }
        check(&built_from, &stamp(), false);
        for (name, changes) in [
            ("plugin/src/lib.rs", true),
            ("plugin/plugin.toml", true),
            ("elsewhere/lib.rs", true),
            ("elsewhere/other.rs", false),
            ("plugin/target/release/a.wasm", false),
            ("plugin/out/a.wasm", false),
            ("plugin/.git/HEAD", false),
            ("plugin/Cargo.lock", false),
        ] {
            let before = stamp();
            write(name, "more");
            check(&before, &stamp(), changes);
        }
        let before = stamp();
        fs::remove_file(at("plugin/src/lib.rs")).expect("it is there");
        check(&before, &stamp(), true);
    }
}
