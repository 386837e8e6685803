//! The scope of a permission, as requested or granted: key prefixes, frame kinds, folders, hosts.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use toml::Value;

use super::{Endpoint, ManifestError};
use crate::text::cut;
use crate::{Kind, Permission, units};

/// The parameters of a permission. Those that a permission does not have are always left out.
///
/// | permission | parameters |
/// |---|---|
/// | `kv` | `prefixes`, `read-only`, `except` (prefixes) |
/// | `emit` | `kinds`, `to` (ids of plugins; then frames for everyone are not admitted) |
/// | `receive` | `kinds` |
/// | `now` | `precision`: times are rounded down to it |
/// | `files` | `folders`: each with `path`, `at` and `access` |
/// | `network` | `hosts`, `except` (both [`Endpoint`]s) |
/// | `environment` | `names`, `except` |
/// | `functions` | `names`, `except`: functions as `acme:shop/prices@1.0.0#lookup`, or an interface, `acme:shop/prices@1.0.0`, for all of its functions |
///
/// A list that is left out narrows nothing; an empty list admits nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Beginnings of keys.
    pub prefixes: Selection<String>,
    /// True if keys may be read only.
    pub read_only: Option<bool>,
    /// Kinds of frames.
    pub kinds: Selection<Kind>,
    /// Ids of plugins that frames may be sent to.
    pub to: Selection<String>,
    /// The unit that clocks are rounded down to.
    pub precision: Option<Duration>,
    /// Folders of this machine.
    pub folders: Selection<Folder>,
    /// Hosts and ports.
    pub hosts: Selection<Endpoint>,
    /// Names of environment variables, or of functions and interfaces.
    pub names: Selection<String>,
}

/// A list that may be left out, and what is taken away from it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection<T> {
    /// Only these; everything if left out, nothing if empty.
    pub only: Option<Vec<T>>,
    /// Not these, whatever `only` says.
    pub except: Option<Vec<T>>,
}

/// A folder that a plugin sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Folder {
    /// The folder on this machine, without `..`; relative to the file that names it.
    pub path: String,
    /// The plugin's name for it; no two folders of a list have the same name.
    pub at: String,
    /// The access to it.
    pub access: Access,
}

/// The access to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

impl Access {
    /// The name in manifests and policies.
    pub fn name(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::ReadWrite => "read-write",
        }
    }
}

/// True if this can be the name of a function or of an interface: at most one `#` stands in it,
/// between the two.
pub fn is_function_name(name: &str) -> bool {
    name.matches('#').count() <= 1
}

/// The reason why a name is none of a function, for people.
pub fn not_a_function(name: &str) -> String {
    format!(
        "`{}` has {} `#`, and the name of a function has one; write for example \
         \"acme:shop/prices@1.0.0#lookup\"",
        cut(name, MAX_SHOWN),
        name.matches('#').count()
    )
}

/// True if `name` is the function itself, or its interface.
pub fn names_function(name: &str, function: &str) -> bool {
    match function.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest.starts_with('#') && is_function_name(function),
        None => false,
    }
}

/// Bytes of a wrong name that are shown.
const MAX_SHOWN: usize = 256;

/// Keys of a folder.
pub(super) const FOLDER: [&str; 3] = ["path", "at", "access"];

/// The parameters that a permission has, the list that may stand alone first.
pub(super) fn parameters(permission: Permission) -> &'static [&'static str] {
    match permission {
        Permission::Kv => &["prefixes", "read-only", "except"],
        Permission::Emit => &["kinds", "to"],
        Permission::Receive => &["kinds"],
        Permission::Now => &["precision"],
        Permission::Files => &["folders"],
        Permission::Network => &["hosts", "except"],
        Permission::Environment | Permission::Functions => &["names", "except"],
        Permission::Log | Permission::Random | Permission::Config | Permission::Metric => &[],
    }
}

/// True for permissions that mean nothing without a list.
pub(super) fn needs_list(permission: Permission) -> bool {
    use Permission::{Environment, Files, Functions, Network};
    matches!(permission, Files | Network | Environment | Functions)
}

impl<T> Default for Selection<T> {
    fn default() -> Self {
        Selection { only: None, except: None }
    }
}

impl<T> Selection<T> {
    /// These and no others.
    pub fn only(only: Vec<T>) -> Selection<T> {
        Selection { only: Some(only), except: None }
    }

    /// True if one of `only` fits, if there is such a list, and none of `except` does.
    pub fn admits(&self, fits: impl Fn(&T) -> bool) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(&fits))
            && !self.except.iter().flatten().any(&fits)
    }

    /// True if nothing is admitted, because the list is empty.
    pub fn is_empty(&self) -> bool {
        self.only.as_ref().is_some_and(Vec::is_empty)
    }

    fn or(self, other: Selection<T>) -> Selection<T> {
        Selection { only: self.only.or(other.only), except: self.except.or(other.except) }
    }
}

impl Scope {
    /// Reads the parameters of a permission from a list or a table. The keys were checked before;
    /// those that are no parameters are left to the caller. `section` is named in errors.
    ///
    /// # Errors
    ///
    /// If a value has the wrong type or makes no sense.
    pub fn read(
        section: &str,
        permission: Permission,
        value: Value,
    ) -> Result<Scope, ManifestError> {
        let key = format!("{section}.{permission}");
        let table = match value {
            Value::Table(table) => table,
            Value::Array(list) if needs_list(permission) => {
                let name = parameters(permission)[0];
                toml::Table::from_iter([(name.to_owned(), Value::Array(list))])
            }
            other => {
                let reason = format!("a {} makes no sense here", other.type_str());
                return Err(ManifestError::Value { key, reason });
            }
        };
        let mut scope = Scope::default();
        for (name, value) in table {
            let entry = Entry { key: format!("{key}.{name}"), value };
            match (permission, name.as_str()) {
                (Permission::Kv, "prefixes") => scope.prefixes.only = Some(entry.texts()?),
                (Permission::Kv, "except") => scope.prefixes.except = Some(entry.texts()?),
                (Permission::Kv, "read-only") => scope.read_only = Some(entry.truth()?),
                (Permission::Emit | Permission::Receive, "kinds") => {
                    scope.kinds.only = Some(entry.parsed()?);
                }
                (Permission::Emit, "to") => scope.to.only = Some(entry.texts()?),
                (Permission::Now, "precision") => scope.precision = Some(entry.duration()?),
                (Permission::Files, "folders") => scope.folders.only = Some(entry.folders()?),
                (Permission::Network, "hosts") => scope.hosts.only = Some(entry.parsed()?),
                (Permission::Network, "except") => scope.hosts.except = Some(entry.parsed()?),
                (Permission::Functions, "names") => scope.names.only = Some(entry.functions()?),
                (Permission::Functions, "except") => scope.names.except = Some(entry.functions()?),
                (Permission::Environment, "names") => scope.names.only = Some(entry.texts()?),
                (Permission::Environment, "except") => {
                    scope.names.except = Some(entry.texts()?);
                }
                _ => {}
            }
        }
        Ok(scope)
    }

    /// These parameters, and those of `other` where one is left out.
    #[must_use]
    pub fn or(self, other: Scope) -> Scope {
        Scope {
            prefixes: self.prefixes.or(other.prefixes),
            read_only: self.read_only.or(other.read_only),
            kinds: self.kinds.or(other.kinds),
            to: self.to.or(other.to),
            precision: self.precision.or(other.precision),
            folders: self.folders.or(other.folders),
            hosts: self.hosts.or(other.hosts),
            names: self.names.or(other.names),
        }
    }

    /// The name of a list that is empty, so that nothing is admitted.
    pub fn empty_list(&self) -> Option<&'static str> {
        let lists = [
            (self.prefixes.is_empty(), "prefixes"),
            (self.kinds.is_empty(), "kinds"),
            (self.to.is_empty(), "to"),
            (self.folders.is_empty(), "folders"),
            (self.hosts.is_empty(), "hosts"),
            (self.names.is_empty(), "names"),
        ];
        lists.into_iter().find(|(empty, _)| *empty).map(|(_, name)| name)
    }

    /// True if the key may be read, or changed; for a listing, `key` is the prefix.
    pub fn admits_key(&self, key: &str, access: Access) -> bool {
        let writable = access == Access::Read || self.read_only != Some(true);
        writable && self.prefixes.admits(|prefix| key.starts_with(prefix.as_str()))
    }

    /// True if a frame of this kind may be sent to a plugin, or to all without `to`.
    pub fn admits_frame(&self, kind: Kind, to: Option<&str>) -> bool {
        self.admits_kind(kind) && self.to.admits(|known| Some(known.as_str()) == to)
    }

    /// True if frames of this kind may be received.
    pub fn admits_kind(&self, kind: Kind) -> bool {
        self.kinds.admits(|known| *known == kind)
    }

    /// True if the environment variable may be read.
    pub fn admits_name(&self, name: &str) -> bool {
        self.names.admits(|known| known == name)
    }

    /// True if the function of the application may be called: it is named, or its interface is.
    pub fn admits_function(&self, function: &str) -> bool {
        self.names.admits(|known| names_function(known, function))
    }

    /// The entries that narrow it, in the order of the table above, each shown in TOML.
    fn entries(&self) -> Vec<(&'static str, Value, String)> {
        let mut entries = Vec::new();
        let mut put = |name, value: Option<Value>| {
            if let Some(value) = value {
                let text = value.to_string();
                entries.push((name, value, text));
            }
        };
        let texts = |list: &[String]| Value::from(list.to_vec());
        put("prefixes", self.prefixes.only.as_deref().map(texts));
        put("read-only", self.read_only.map(Value::from));
        put("kinds", self.kinds.only.as_deref().map(shown));
        put("to", self.to.only.as_deref().map(texts));
        put("precision", self.precision.map(|precision| units::show_duration(precision).into()));
        put("hosts", self.hosts.only.as_deref().map(shown));
        put("names", self.names.only.as_deref().map(texts));
        put("except", self.prefixes.except.as_deref().map(texts));
        put("except", self.hosts.except.as_deref().map(shown));
        put("except", self.names.except.as_deref().map(texts));
        if let Some(folders) = &self.folders.only {
            let value = Value::Array(folders.iter().map(Folder::to_value).collect());
            let texts: Vec<String> = folders.iter().map(ToString::to_string).collect();
            entries.push(("folders", value, format!("[{}]", texts.join(", "))));
        }
        entries
    }

    /// The value in TOML: `true` if nothing narrows it.
    pub fn to_value(&self) -> Value {
        let entries = self.entries();
        match entries.as_slice() {
            [] => Value::Boolean(true),
            [("folders" | "hosts" | "names", list, _)] => list.clone(),
            _ => {
                let entries = entries.into_iter();
                let table = entries.map(|(name, value, _)| (name.to_owned(), value));
                Value::Table(table.collect())
            }
        }
    }
}

/// As in a manifest: `true` if nothing narrows it.
impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        match entries.as_slice() {
            [] => formatter.write_str("true"),
            [("folders" | "hosts" | "names", _, list)] => formatter.write_str(list),
            entries => {
                let texts = entries.iter().map(|(name, _, text)| format!("{name} = {text}"));
                write!(formatter, "{{ {} }}", texts.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Folder {
    fn to_value(&self) -> Value {
        Value::Table(toml::Table::from_iter([
            ("path".to_owned(), Value::from(self.path.as_str())),
            ("at".to_owned(), Value::from(self.at.as_str())),
            ("access".to_owned(), Value::from(self.access.name())),
        ]))
    }
}

/// As in a manifest.
impl fmt::Display for Folder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| Value::from(text).to_string();
        let (path, at) = (text(&self.path), text(&self.at));
        let access = text(self.access.name());
        write!(formatter, "{{ path = {path}, at = {at}, access = {access} }}")
    }
}

fn shown<T: ToString>(list: &[T]) -> Value {
    Value::Array(list.iter().map(|item| Value::String(item.to_string())).collect())
}

/// One parameter and where it stands.
struct Entry {
    key: String,
    value: Value,
}

impl Entry {
    fn wrong(&self, reason: impl ToString) -> ManifestError {
        ManifestError::Value { key: self.key.clone(), reason: reason.to_string() }
    }

    fn truth(&self) -> Result<bool, ManifestError> {
        self.value.as_bool().ok_or_else(|| self.wrong("write true or false"))
    }

    fn duration(&self) -> Result<Duration, ManifestError> {
        let text = self.value.as_str().ok_or_else(|| self.wrong("write for example \"1 ms\""))?;
        let duration = units::parse_duration(text).map_err(|error| self.wrong(error))?;
        match duration.is_zero() {
            true => Err(self.wrong("must be longer than 0")),
            false => Ok(duration),
        }
    }

    fn texts(&self) -> Result<Vec<String>, ManifestError> {
        let wrong = || self.wrong("write a list of texts");
        let list = self.value.as_array().ok_or_else(wrong)?;
        list.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    fn functions(&self) -> Result<Vec<String>, ManifestError> {
        let names = self.texts()?;
        match names.iter().find(|name| !is_function_name(name)) {
            Some(name) => Err(self.wrong(not_a_function(name))),
            None => Ok(names),
        }
    }

    fn parsed<T: std::str::FromStr<Err: ToString>>(&self) -> Result<Vec<T>, ManifestError> {
        let parse = |text: &String| text.parse().map_err(|error: T::Err| self.wrong(error));
        // Numbers of kinds may stand without quotes.
        let texts = match &self.value {
            Value::Array(list) if list.iter().all(Value::is_integer) => {
                list.iter().map(Value::to_string).collect()
            }
            _ => self.texts()?,
        };
        texts.iter().map(parse).collect()
    }

    fn folders(&self) -> Result<Vec<Folder>, ManifestError> {
        let example = "write folders as { path = \"data\", at = \"/data\", access = \"read\" }";
        let list = self.value.as_array().ok_or_else(|| self.wrong(example))?;
        let folder = |value: &Value| {
            let text = |name: &str| {
                value.get(name).and_then(Value::as_str).map(str::to_owned).filter(|s| !s.is_empty())
            };
            let path = text("path").ok_or_else(|| self.wrong(example))?;
            let at = text("at").unwrap_or_else(|| path.clone());
            let access = match value.get("access").map(|access| access.as_str().unwrap_or("")) {
                None | Some("read") => Access::Read,
                Some("read-write") => Access::ReadWrite,
                Some(other) => {
                    let reason = format!("access `{other}` is neither \"read\" nor \"read-write\"");
                    return Err(self.wrong(reason));
                }
            };
            if path.split(['/', '\\']).any(|name| name == "..") {
                let reason =
                    format!("`{path}` leads upwards; write the folder's path without `..`");
                return Err(self.wrong(reason));
            }
            Ok(Folder { path, at, access })
        };
        let folders = list.iter().map(folder).collect::<Result<Vec<Folder>, _>>()?;
        let mut names = BTreeSet::new();
        for folder in &folders {
            if !names.insert(folder.at.trim_end_matches('/')) {
                let at = &folder.at;
                return Err(
                    self.wrong(format!("two folders are called `{at}`; give each its own `at`"))
                );
            }
        }
        Ok(folders)
    }
}
