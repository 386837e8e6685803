use std::io;
use std::path::PathBuf;

use glovebox_abi::nearest::did_you_mean;
use glovebox_catalog::ResolveError;
use glovebox_document::DocumentError;
use glovebox_host::LoadError;

/// Why a workspace is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The file cannot be read.
    #[error("cannot read the workspace: {source}; check the path: {}", path.display())]
    Io {
        /// The error of the operating system.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// Something is wrong in a file.
    #[error("{problem}: {}", path.display())]
    In {
        /// The problem.
        problem: Box<WorkspaceError>,
        /// The file.
        path: PathBuf,
    },
    /// The text itself is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A profile that does not exist.
    #[error("there is no profile `{name}` ({known}){}", did_you_mean(.nearest.as_deref()))]
    UnknownProfile {
        /// The name.
        name: String,
        /// The names of those that exist.
        known: String,
        /// The profile that may have been meant.
        nearest: Option<String>,
    },
    /// A folder with plugins cannot be read.
    #[error("cannot look for plugins: {source}; correct `folders` under [plugins]: {}", path.display())]
    Folder {
        /// The error of the operating system.
        source: io::Error,
        /// The folder.
        path: PathBuf,
    },
    /// An enabled plugin is nowhere.
    #[error(
        "plugin `{plugin}` is enabled, but not in {}{}{}",
        searched(.folders), did_you_mean(.nearest.as_deref()), unread(.unreadable)
    )]
    NotFound {
        /// Id of the plugin.
        plugin: String,
        /// The folders that were searched.
        folders: Vec<PathBuf>,
        /// The plugin that may have been meant.
        nearest: Option<String>,
        /// Artifacts there whose manifest could not be read.
        unreadable: Vec<PathBuf>,
    },
    /// Plugins that do not fit together.
    #[error("[plugins]: {0}")]
    Dependencies(#[from] ResolveError),
    /// Settings that would have no effect.
    #[error("line {line}: [plugin.{plugin}] is about a plugin that is not enabled; add it to `enabled` under [plugins], or remove the section{}", did_you_mean(.nearest.as_deref()))]
    NotEnabled {
        /// Id of the plugin.
        plugin: String,
        /// Line, from 1.
        line: usize,
        /// The enabled plugin that may have been meant.
        nearest: Option<String>,
    },
    /// A `path` that holds another plugin.
    #[error("line {line}: `plugin.{plugin}.path` names an artifact of plugin `{found}`; correct one of them: {}", path.display())]
    OtherPlugin {
        /// Id of the plugin in the file.
        plugin: String,
        /// Line, from 1.
        line: usize,
        /// Id of the plugin in the artifact.
        found: String,
        /// The artifact.
        path: PathBuf,
    },
    /// A `path` that cannot be read.
    #[error("plugin `{plugin}`: {problem}")]
    Artifact {
        /// Id of the plugin.
        plugin: String,
        /// The problem.
        problem: Box<LoadError>,
    },
}

fn searched(folders: &[PathBuf]) -> String {
    match folders {
        [] => "any folder, because `folders` under [plugins] names none".to_owned(),
        folders => {
            let folders: Vec<String> =
                folders.iter().map(|folder| folder.display().to_string()).collect();
            folders.join(", nor in ")
        }
    }
}

fn unread(paths: &[PathBuf]) -> String {
    match paths {
        [] => String::new(),
        [one] => format!("; one artifact there cannot be read: {}", one.display()),
        [first, more @ ..] => {
            let (count, first) = (more.len() + 1, first.display());
            format!("; {count} artifacts there cannot be read, the first: {first}")
        }
    }
}
