//! Allowances: permissions that a person allows in words, before plugins are loaded: `files`,
//! `redact:network=db:5432`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use glovebox_abi::manifest::{
    Access, Endpoint, EndpointError, Folder, Scope, Selection, is_kebab_case,
};
use glovebox_abi::nearest::nearest;
use glovebox_abi::{Manifest, Permission};

use super::consent::{covers, in_full};
use super::effective::Subject;
use super::overlap::meets;

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
/// A plugin is given what it asks for *and* is allowed, never more. One without a manifest cannot
/// ask: it is given what is named together with its id.
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

/// An [`Allowance`] by which no plugin has anything.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VainAllowance {
    /// The allowance.
    pub allowed: Allowance,
    /// The plugins that it was for, each with what it asks for of that permission; empty if it asks
    /// for nothing.
    pub plugins: Vec<(String, Vec<Allowance>)>,
}

impl VainAllowance {
    /// Those of `allowed` by which none of the plugins has anything.
    pub(crate) fn among(
        allowed: &[Allowance],
        plugins: &[(&Manifest, Subject<'_>)],
    ) -> Vec<VainAllowance> {
        let in_vain = |word: &&Allowance| !plugins.iter().any(|(one, of)| word.gives(one, *of));
        let vain = |word: &Allowance| {
            let meant = |manifest: &Manifest| word.is_for(&manifest.plugin.id, word.permission);
            let meant = plugins.iter().filter(|(manifest, _)| meant(manifest));
            let asks = |(manifest, subject): &(&Manifest, Subject<'_>)| {
                let asked = Allowance::asked_by(manifest, word.permission, subject.base);
                (manifest.plugin.id.clone(), asked)
            };
            VainAllowance { allowed: word.clone(), plugins: meant.map(asks).collect() }
        };
        allowed.iter().filter(in_vain).map(vain).collect()
    }
}

/// The allowance, the reason why it is in vain, and the remedy.
impl fmt::Display for VainAllowance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VainAllowance { allowed, plugins } = self;
        write!(formatter, "`--allow {allowed}` gives nothing to any plugin: ")?;
        let Some((first, _)) = plugins.first() else {
            let id = allowed.plugin.as_deref().unwrap_or_default();
            return write!(formatter, "none that runs is called `{id}`; check the id");
        };
        let permission = allowed.permission;
        let asking = plugins.iter().find(|(_, asks)| !asks.is_empty());
        let Some((plugin, asks)) = asking else {
            let names = match plugins.len() {
                1 => format!("{first} does not ask"),
                count => format!("none of the {count} plugins asks"),
            };
            return write!(
                formatter,
                "{names} for `{permission}`; leave it out, or add `{permission}` to [permissions] \
                 in plugin.toml"
            );
        };
        let asks: Vec<&str> = asks.iter().map(Allowance::parameter).collect();
        write!(
            formatter,
            "{plugin} asks for {permission} of {}; if you trust it, allow that with `--allow \
             {plugin}:{permission}`",
            asks.join(", ")
        )
    }
}

fn meant(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("there are {}", Permission::ALL.map(|(_, name, _)| name).join(", ")),
    }
}

/// A text that allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllowanceError {
    /// There is no such permission.
    #[error("`{text}` is not a permission; {}", meant(*nearest))]
    Unknown {
        /// The text.
        text: String,
        /// The permission that looks most like it, if one does.
        nearest: Option<&'static str>,
    },
    /// The text before the colon is no id.
    #[error("`{0}` is not a plugin id; write for example `redact:files`")]
    Plugin(String),
    /// The permission has no parameter here.
    #[error(
        "`{0}` has no parameter here; write it alone, or narrow it in a policy (`files`, `network` \
         and `environment` have one)"
    )]
    Parameter(Permission),
    /// The parameter is empty.
    #[error("`{0}=` needs a value: a folder, a host and port, or a variable")]
    Empty(Permission),
    /// The word behind a folder is none for what may be done there.
    #[error(
        "`{0}` is no access to a folder; write `:rw` to read and write there, and nothing to read"
    )]
    Access(String),
    /// The parameter names no host and port.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
}

impl Allowance {
    /// Whether the plugin is meant, and for which permission.
    pub(super) fn is_for(&self, plugin: &str, permission: Permission) -> bool {
        self.permission == permission && self.plugin.as_deref().is_none_or(|id| id == plugin)
    }

    /// True if it is for this plugin, and the plugin asks for the permission. One without a manifest
    /// cannot ask; it counts for that if it names both the plugin and what it allows.
    pub(super) fn counts_for(
        &self,
        manifest: &Manifest,
        permission: Permission,
        subject: Subject<'_>,
    ) -> bool {
        let is_whole = self.within.is_some() || !permission.needs_consent();
        let is_explicit = subject.bare && self.plugin.is_some() && is_whole;
        self.is_for(&manifest.plugin.id, permission)
            && (is_explicit || manifest.asks_for(permission))
    }

    /// Within what it is allowed; `None` is what the plugin asks for.
    pub(super) fn within(&self) -> Option<&Scope> {
        self.within.as_ref()
    }

    /// The allowances by which a plugin has all that its manifest asks for of a permission.
    /// Relative folders start at `base`.
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

    /// True if all that it allows is in this scope, which is in full.
    pub(super) fn is_within(&self, agreed: &Scope) -> bool {
        read(self.permission, &self.parameter).is_ok_and(|scope| covers(agreed, &scope))
    }

    /// True if a plugin with this manifest has anything by it.
    fn gives(&self, manifest: &Manifest, subject: Subject<'_>) -> bool {
        self.counts_for(manifest, self.permission, subject)
            && match (manifest.request(self.permission), &self.within) {
                (Some(asked), Some(within)) => meets(&in_full(asked, subject.base), within),
                _ => true,
            }
    }

    /// The permission.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// The same from whatever folder it is read: a folder in it is named by its whole path.
    #[must_use]
    pub fn in_full(&self) -> Allowance {
        let folders = self.within.iter().flat_map(|within| within.folders.only.iter().flatten());
        let parameter = folders.last().map(|folder| match folder.access {
            Access::ReadWrite => format!("{}:rw", folder.path),
            Access::Read => folder.path.clone(),
        });
        let parameter = parameter.unwrap_or_else(|| self.parameter.clone());
        Allowance { parameter, ..self.clone() }
    }

    /// The text after `=`.
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
            let known = Permission::ALL.iter().map(|(_, name, _)| *name);
            AllowanceError::Unknown { text: name.to_owned(), nearest: nearest(name, known) }
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

/// True of a word that somebody meant for `r` or `rw`.
fn is_like_access(word: &str) -> bool {
    let is_letter = |letter: char| matches!(letter.to_ascii_lowercase(), 'r' | 'w' | 'x');
    word.is_empty() || word.len() <= 3 && word.chars().all(is_letter)
}

fn read(permission: Permission, parameter: &str) -> Result<Scope, AllowanceError> {
    let mut scope = Scope::default();
    match permission {
        Permission::Files => {
            let (path, access) = match parameter.rsplit_once(':') {
                Some((path, "rw")) => (path, Access::ReadWrite),
                Some((path, "r")) => (path, Access::Read),
                // A folder may have such a name; then it is there.
                Some((_, word)) if is_like_access(word) && !Path::new(parameter).exists() => {
                    return Err(AllowanceError::Access(word.to_owned()));
                }
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
        check("files=", "`files=` needs a value: a folder, a host and port, or a variable");
        for word in ["RW", "rwx", "w", ""] {
            let expected = format!(
                "`{word}` is no access to a folder; write `:rw` to read and write there, and nothing to read"
            );
            check(&format!("files=/no/such:{word}"), &expected);
        }
        check(
            "files=/no/such:row",
            "files=/no/such:row within [{ path = \"/no/such:row\", at = \"/no/such:row\", access = \"read\" }]",
        );
        check("files=:rw", "`files=` needs a value: a folder, a host and port, or a variable");
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

    #[test]
    fn what_was_allowed_in_vain_is_told_with_a_remedy() {
        /// Checks the requests of plugins `a`, `b` …, and an allowance, against the words about
        /// it.
        #[track_caller]
        fn check(plugins: &[&str], allowed: &str, expected: &str) {
            let manifest = |(id, asks): (char, &&str)| {
                let text = format!("[plugin]\nid = \"{id}\"\n[permissions]\n{asks}\n");
                Manifest::parse(&text).unwrap()
            };
            let manifests: Vec<Manifest> = ('a'..).zip(plugins).map(manifest).collect();
            let base = Some(Path::new("/no/such"));
            let subject = Subject { base, ..Subject::default() };
            let plugins: Vec<_> = manifests.iter().map(|manifest| (manifest, subject)).collect();
            let vain = VainAllowance::among(&[allowed.parse().unwrap()], &plugins);
            let told: Vec<String> = vain.iter().map(ToString::to_string).collect();
            assert_eq!(told.join(""), expected, "{allowed}");
        }
        let data = "files = [{ path = \"data\" }]";
        check(&[data], "files", "");
        check(&[data], "files=/no/such", "");
        check(&[data], "a:files=/no/such/data/in:rw", "");
        check(&["", data], "files=/no/such/data", "");
        check(&["kv = true"], "kv", "");
        for word in ["files=/other", "kv"] {
            let permission = word.split('=').next().unwrap();
            let told = format!(
                "`--allow {word}` gives nothing to any plugin: a does not ask for `{permission}`; \
                 leave it out, or add `{permission}` to [permissions] in plugin.toml"
            );
            check(&[""], word, &told);
        }
        let asks = "gives nothing to any plugin: a asks for files of /no/such/data; if you trust it, \
                    allow that with `--allow a:files`";
        check(&[data], "files=/other", &format!("`--allow files=/other` {asks}"));
        check(&[data, data], "files=/other", &format!("`--allow files=/other` {asks}"));
        check(
            &[data],
            "b:files",
            "`--allow b:files` gives nothing to any plugin: none that runs is called `b`; check the id",
        );
        let lacks = "for `network`; leave it out, or add `network` to [permissions] in plugin.toml";
        let network = "`--allow network` gives nothing to any plugin";
        check(&[data], "network", &format!("{network}: a does not ask {lacks}"));
        check(&["", ""], "network", &format!("{network}: none of the 2 plugins asks {lacks}"));
        check(
            &["environment = [\"A\", \"B\"]"],
            "environment=C",
            "`--allow environment=C` gives nothing to any plugin: a asks for environment of A, B; if \
             you trust it, allow that with `--allow a:environment`",
        );
    }
}
