//! Findings of a scan, and their sentences.

use std::fmt;
use std::path::PathBuf;

use glovebox_host::LoadError;
use semver::Version;

use crate::Entry;

/// Paths in the sentence of one finding.
const MAX_SHOWN: usize = 3;

/// A finding of a scan, besides the plugins.
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
        /// [`ScanBounds::depth`](crate::ScanBounds::depth).
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
    /// The scan ended early, at [`ScanBounds::files`](crate::ScanBounds::files).
    TooManyFiles {
        /// The bound.
        limit: usize,
    },
    /// The scan read no more manifests than [`ScanBounds::plugins`](crate::ScanBounds::plugins).
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

/// A finding for each version of a plugin that several of the sorted entries have.
pub(crate) fn duplicates(entries: &[Entry]) -> Vec<ScanFinding> {
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
