use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a plugin comes from, as errors and the status show it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file: an artifact, or the manifest that names it.
    File(PathBuf),
    /// An artifact that the application had in memory, under the name that it gave.
    Memory(Arc<str>),
    /// A plugin that is part of the application.
    Application,
}

impl Origin {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Origin::File(path) => Some(path),
            Origin::Memory(_) | Origin::Application => None,
        }
    }

    /// The name alone: that of the file without its folders, or the one that the application gave.
    /// Empty for a plugin that is part of the application.
    pub fn name(&self) -> String {
        match self {
            Origin::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                name.to_string_lossy().into_owned()
            }
            Origin::Memory(name) => name.to_string(),
            Origin::Application => String::new(),
        }
    }
}

/// The path; `prices.wasm, given in memory`; or `part of the application`.
impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => fmt::Display::fmt(&path.display(), formatter),
            Origin::Memory(name) => write!(formatter, "{name}, given in memory"),
            Origin::Application => formatter.write_str("part of the application"),
        }
    }
}

impl From<PathBuf> for Origin {
    fn from(path: PathBuf) -> Origin {
        Origin::File(path)
    }
}

impl From<&Path> for Origin {
    fn from(path: &Path) -> Origin {
        Origin::File(path.to_owned())
    }
}
