//! What a person allows in words, before plugins are loaded: `files`, `redact:network=db:5432`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use glovebox_abi::manifest::{
    Access, Endpoint, EndpointError, Folder, Scope, Selection, is_kebab_case,
};
use glovebox_abi::{Manifest, Permission};

/// A permission that a person allows before plugins are loaded, as one word.
///
/// | word | allows |
/// |---|---|
/// | `files` | the folders that a plugin asks for when it is loaded |
/// | `files=data` · `files=data:rw` | to read, or also to write, this folder and those below it |
/// | `network=example.org:443` | to reach this [`Endpoint`] |
/// | `environment=LANG` | to read this variable |
/// | `redact:files` | the same for the plugin `redact` alone |
///
/// A plugin is given what it asks for *and* is allowed. One without a manifest asks for nothing and
/// is given what is named.
///
/// ```
/// use glovebox_host::Allowance;
///
/// let word: Allowance = "redact:files=/var/data:rw".parse()?;
/// assert_eq!(word.to_string(), "redact:files=/var/data:rw");
/// let error = "flies".parse::<Allowance>().unwrap_err();
/// assert_eq!(error.to_string(), "`flies` is not a permission; did you mean `files`?");
/// # Ok::<(), glovebox_host::AllowanceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Allowance {
    plugin: Option<String>,
    permission: Permission,
    /// `None` is whatever is asked for.
    within: Option<Scope>,
    /// The parameter as it was written.
    parameter: String,
}

/// A text that allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowanceError {
    /// There is no such permission.
    #[error("`{text}` is not a permission; did you mean `{nearest}`?")]
    Unknown {
        /// What was written.
        text: String,
        /// The permission that looks most like it.
        nearest: &'static str,
    },
    /// What stands before the colon is no id.
    #[error("`{0}` is not a plugin id; write for example `redact:files`")]
    Plugin(String),
    /// The permission has no parameter here.
    #[error(
        "`{0}` has no parameter here; write it alone, or narrow it in a policy (`files`, `network` \
         and `environment` have one)"
    )]
    Parameter(Permission),
    /// The parameter is empty.
    #[error("nothing stands after `{0}=`; name a folder, a host and port, or a variable")]
    Empty(Permission),
    /// The parameter names no host and port.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
}

impl Allowance {
    /// Whether the plugin is meant, and for which permission.
    pub(super) fn is_for(&self, plugin: &str, permission: Permission) -> bool {
        self.permission == permission && self.plugin.as_deref().is_none_or(|id| id == plugin)
    }

    /// Within what it is allowed; `None` is what the plugin asks for.
    pub(super) fn within(&self) -> Option<&Scope> {
        self.within.as_ref()
    }

    /// What to allow so that a plugin has all that its manifest asks for of a permission. Relative
    /// folders start at `base`.
    pub fn asked_by(
        manifest: &Manifest,
        permission: Permission,
        base: Option<&Path>,
    ) -> Vec<Allowance> {
        let Some(scope) = manifest.request(permission) else { return Vec::new() };
        let word =
            |parameter: String| Allowance { plugin: None, permission, within: None, parameter };
        match permission {
            Permission::Files => {
                let folders = scope.folders.only.into_iter().flatten();
                folders
                    .map(|folder| {
                        let path = base.map_or_else(
                            || folder.path.clone(),
                            |base| resolved(&base.join(&folder.path)),
                        );
                        let write = if folder.access == Access::ReadWrite { ":rw" } else { "" };
                        word(format!("{path}{write}"))
                    })
                    .collect()
            }
            Permission::Network => {
                let hosts = scope.hosts.only.into_iter().flatten();
                hosts.map(|host| word(host.to_string())).collect()
            }
            Permission::Environment => scope.names.only.into_iter().flatten().map(word).collect(),
            _ => vec![word(String::new())],
        }
    }

    /// What is allowed.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// What stands after `=`.
    pub fn parameter(&self) -> &str {
        &self.parameter
    }
}

/// A folder wherever a link leads; as it is if it is not there.
pub(super) fn resolved(path: &Path) -> String {
    let found = path.canonicalize().or_else(|_| std::path::absolute(path));
    found.unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Allowance, AllowanceError> {
        let (words, parameter) = match text.split_once('=') {
            Some((words, parameter)) => (words, Some(parameter)),
            None => (text, None),
        };
        let (plugin, name) = match words.split_once(':') {
            Some((plugin, name)) if is_kebab_case(plugin) => (Some(plugin.to_owned()), name),
            Some((plugin, _)) => return Err(AllowanceError::Plugin(plugin.to_owned())),
            None => (None, words),
        };
        let permission = name.parse::<Permission>().map_err(|_| {
            // `env` is short for one of them, not a slip of the finger for another.
            let distance = |known: &&str| match known.starts_with(name) {
                true => 0,
                false => strsim::damerau_levenshtein(known, name),
            };
            let known = Permission::ALL.iter().map(|(_, name, _)| *name);
            let nearest = known.min_by_key(distance).unwrap_or("files");
            AllowanceError::Unknown { text: name.to_owned(), nearest }
        })?;
        let within = match parameter {
            None => None,
            Some("") => return Err(AllowanceError::Empty(permission)),
            Some(parameter) => Some(read(permission, parameter)?),
        };
        let parameter = parameter.unwrap_or_default().to_owned();
        Ok(Allowance { plugin, permission, within, parameter })
    }
}

fn read(permission: Permission, parameter: &str) -> Result<Scope, AllowanceError> {
    let mut scope = Scope::default();
    match permission {
        Permission::Files => {
            let (path, access) = match parameter.rsplit_once(':') {
                Some((path, "rw")) => (path, Access::ReadWrite),
                Some((path, "r")) => (path, Access::Read),
                _ => (parameter, Access::Read),
            };
            if path.is_empty() {
                return Err(AllowanceError::Empty(permission));
            }
            let at = path.to_owned();
            let path = resolved(Path::new(path));
            scope.folders = Selection::only(vec![Folder { path, at, access }]);
        }
        Permission::Network => {
            scope.hosts = Selection::only(vec![parameter.parse::<Endpoint>()?]);
        }
        Permission::Environment => scope.names = Selection::only(vec![parameter.to_owned()]),
        _ => return Err(AllowanceError::Parameter(permission)),
    }
    Ok(scope)
}

/// As it is written.
impl fmt::Display for Allowance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(plugin) = &self.plugin {
            write!(formatter, "{plugin}:")?;
        }
        write!(formatter, "{}", self.permission)?;
        match self.parameter.as_str() {
            "" => Ok(()),
            parameter => write!(formatter, "={parameter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_errors_say_what_to_write() {
        fn check(text: &str, expected: &str) {
            let found = match text.parse::<Allowance>() {
                Ok(word) => format!(
                    "{word} within {}",
                    word.within
                        .as_ref()
                        .map_or_else(|| "what is asked".to_owned(), Scope::to_string)
                ),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        }
        check("files", "files within what is asked");
        check("kv", "kv within what is asked");
        check("redact:network", "redact:network within what is asked");
        check(
            "files=/no/such:rw",
            "files=/no/such:rw within [{ path = \"/no/such\", at = \"/no/such\", access = \"read-write\" }]",
        );
        check(
            "files=/no/such:r",
            "files=/no/such:r within [{ path = \"/no/such\", at = \"/no/such\", access = \"read\" }]",
        );
        check("network=db:5432", "network=db:5432 within [\"db:5432\"]");
        check("a-b:network=[::1]:80", "a-b:network=[::1]:80 within [\"[::1]:80\"]");
        check("environment=LANG", "environment=LANG within [\"LANG\"]");
        check("netwrok", "`netwrok` is not a permission; did you mean `network`?");
        check("file=/x", "`file` is not a permission; did you mean `files`?");
        check("env=LANG", "`env` is not a permission; did you mean `environment`?");
        check(
            "Not An Id:files",
            "`Not An Id` is not a plugin id; write for example `redact:files`",
        );
        check(
            "files=",
            "nothing stands after `files=`; name a folder, a host and port, or a variable",
        );
        check(
            "files=:rw",
            "nothing stands after `files=`; name a folder, a host and port, or a variable",
        );
        check(
            "kv=a/",
            "`kv` has no parameter here; write it alone, or narrow it in a policy (`files`, \
             `network` and `environment` have one)",
        );
        check(
            "network=db",
            "`db` is no host and port: the port is missing; write for example \
             \"example.org:443\", \"127.0.0.1:8080\", \"10.0.0.0/8:*\" or \"[::1]:80-89\"",
        );
    }
}
