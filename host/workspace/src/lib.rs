//! A workspace: plugins with their settings, a policy, a pipeline and a profile that belong
//! together, in one file that lies beside them.
//!
//! A [`Workspace`] is found from the folder one works in, read, and asked for what it holds. An
//! application decides what to do with it: load [its plugins](Workspace::plugins), run on
//! [its profile](Workspace::profile).
//!
//! ```toml
//! profile = "development"           # or "production", or one of [profiles]
//! policy = "policy.toml"            # paths are relative to this file
//! pipeline = "pipeline.toml"
//! mock = "mock.toml"
//!
//! [plugins]
//! folders = ["plugins", "../shared/plugins"]
//! enabled = ["redact", "stats"]     # all that are found, if absent
//!
//! [plugin.redact]
//! path = "build/redact.wasm"        # instead of what is found in the folders
//! trust-native = false              # true lets a native plugin run in the process of the host
//! config = { emails = false }       # over the manifest's
//!
//! [plugin.redact.limits]            # over the manifest's, with the same keys
//! memory = "16 MiB"
//!
//! [profiles.staging]
//! from = "production"               # or "development": what is not written here
//! log = "debug"                     # trace, debug, info, warn or error
//! reload = false                    # reload a plugin when its artifact changes
//! mocks = false                     # allow mocks of host services
//! ```
//!
//! # Which artifact
//!
//! The folders are searched as a [catalog](glovebox_catalog) is made, folders below them and named
//! configurations included. Of several artifacts of one plugin, the newest version counts, then wasm
//! before machine code, then the one whose path comes first; [`WorkspacePlugin::others`] has the
//! rest.
//!
//! ```
//! use glovebox_host::Mocks;
//! use glovebox_workspace::Workspace;
//!
//! let workspace = Workspace::parse("profile = \"production\"", "plugins/glovebox.toml")?;
//! let profile = workspace.profile(None)?.expect("the file names one");
//! assert_eq!(profile.mocks(), Mocks::Refused);
//! # Ok::<(), glovebox_workspace::WorkspaceError>(())
//! ```
//!
//! This module deliberately loads nothing and watches nothing, and it does not read the policy or
//! the pipeline: it says where they are.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod file;
mod find;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glovebox_abi::manifest::LimitChanges;
use glovebox_files::{MAX_TEXT, read_to_string};

pub use error::WorkspaceError;
pub use find::{WorkspacePlugin, WorkspacePlugins};

use glovebox_abi::nearest::nearest;
use glovebox_host::{LoadRequest, Profile};

/// A workspace file, read and checked.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    file: PathBuf,
    folders: Vec<PathBuf>,
    enabled: Option<Vec<String>>,
    settings: BTreeMap<String, PluginSettings>,
    policy: Option<PathBuf>,
    pipeline: Option<PathBuf>,
    mock: Option<PathBuf>,
    profile: Option<String>,
    profiles: BTreeMap<String, Profile>,
}

/// The settings of one plugin.
#[derive(Debug, Clone, Default)]
struct PluginSettings {
    /// From 1.
    line: usize,
    path: Option<PathBuf>,
    trust_native: bool,
    config: Option<toml::Table>,
    limits: LimitChanges,
}

impl PluginSettings {
    fn apply(&self, request: LoadRequest) -> LoadRequest {
        let mut request = request.limits(self.limits.clone());
        if self.trust_native {
            request = request.trust_native();
        }
        match &self.config {
            Some(config) => request.config(serde_json::to_value(config).unwrap_or_default()),
            None => request,
        }
    }
}

impl Workspace {
    /// The name of the file.
    pub const FILE: &str = "glovebox.toml";

    /// The workspace file in `folder`, or in the nearest folder above that has one.
    pub fn find(folder: impl AsRef<Path>) -> Option<PathBuf> {
        let folder = folder.as_ref();
        // A relative path has no folders above it.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        folder.ancestors().map(|folder| folder.join(Workspace::FILE)).find(|file| file.is_file())
    }

    /// Reads a workspace file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, and as [`parse`](Self::parse), with the file's path.
    pub fn read(file: impl AsRef<Path>) -> Result<Workspace, WorkspaceError> {
        let file = file.as_ref();
        let text = read_to_string(file, MAX_TEXT)
            .map_err(|source| WorkspaceError::Io { source, path: file.to_owned() })?;
        Workspace::parse(&text, file)
            .map_err(|problem| WorkspaceError::In { problem: Box::new(problem), path: file.into() })
    }

    /// Reads the text of a workspace file that lies at `file`.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown key, a value that makes no sense, or a profile that does
    /// not exist.
    pub fn parse(text: &str, file: impl AsRef<Path>) -> Result<Workspace, WorkspaceError> {
        file::read(text, file.as_ref())
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folders with plugins, in the order of the file.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The policy file, if one is named.
    pub fn policy(&self) -> Option<&Path> {
        self.policy.as_deref()
    }

    /// The pipeline file, if one is named.
    pub fn pipeline(&self) -> Option<&Path> {
        self.pipeline.as_deref()
    }

    /// The file with mock host services, if one is named.
    pub fn mock(&self) -> Option<&Path> {
        self.mock.as_deref()
    }

    /// The profile of this name, or the one that the file names.
    ///
    /// # Errors
    ///
    /// If there is no profile of this name.
    pub fn profile(&self, name: Option<&str>) -> Result<Option<Profile>, WorkspaceError> {
        let Some(name) = name.or(self.profile.as_deref()) else {
            return Ok(None);
        };
        let found = self.profiles.get(name).cloned().or_else(|| Profile::named(name));
        found.map(Some).ok_or_else(|| {
            let known: Vec<&str> = Profile::NAMES
                .into_iter()
                .chain(self.profiles.keys().map(String::as_str))
                .collect();
            WorkspaceError::UnknownProfile {
                name: name.to_owned(),
                known: known.join(", "),
                nearest: nearest(name, known).map(str::to_owned),
            }
        })
    }

    /// Looks for the plugins and those they depend on, without loading any: manifests are read, and
    /// nothing else.
    ///
    /// # Errors
    ///
    /// If a folder cannot be read, an enabled plugin is in none of them, a `path` holds another
    /// plugin, there are settings for a plugin that is not enabled, or the plugins
    /// [do not fit together](WorkspaceError::Dependencies).
    pub fn plugins(&self) -> Result<WorkspacePlugins, WorkspaceError> {
        find::plugins(self)
    }
}
