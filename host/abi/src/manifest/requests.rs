//! `[permissions]`: the requests of a plugin.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use toml::{Table, Value};

use super::error::at_most;
use super::{MAX_ENTRIES, MAX_FOLDERS, ManifestError, Scope, scope};
use crate::Permission;

/// The permissions a plugin asks for, and how much of each.
///
/// ```
/// use glovebox_abi::manifest::{Requests, Scope, Selection};
/// use glovebox_abi::Permission;
///
/// let mut requests = Requests::default();
/// requests.insert(Permission::Log, true);
/// let prefixes = Selection::only(vec!["cache/".to_owned()]);
/// requests.insert(Permission::Kv, Scope { prefixes, ..Scope::default() });
/// assert_eq!(requests.to_string(), "log = true\nkv = { prefixes = [\"cache/\"] }\n");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Requests(BTreeMap<Permission, Scope>);

/// How much of one permission.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// It is not asked for.
    Nothing,
    /// Within this scope.
    Within(Box<Scope>),
}

impl From<bool> for Request {
    fn from(asked: bool) -> Request {
        if asked { Request::Within(Box::default()) } else { Request::Nothing }
    }
}

impl From<Scope> for Request {
    fn from(scope: Scope) -> Request {
        Request::Within(Box::new(scope))
    }
}

impl Requests {
    /// Asks for a permission, or no longer does. An earlier request for it is replaced.
    pub fn insert(&mut self, permission: Permission, request: impl Into<Request>) {
        match request.into() {
            Request::Nothing => self.0.remove(&permission),
            Request::Within(scope) => self.0.insert(permission, *scope),
        };
    }

    /// How much of a permission is asked for.
    pub fn get(&self, permission: Permission) -> Option<&Scope> {
        self.0.get(&permission)
    }

    /// All that is asked for, in the order people should see it.
    pub fn iter(&self) -> impl Iterator<Item = (Permission, &Scope)> {
        let all = Permission::ALL.into_iter();
        all.filter_map(|(permission, ..)| Some((permission, self.0.get(&permission)?)))
    }

    /// True if nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn read(table: Table) -> Result<Requests, ManifestError> {
        let mut requests = Requests::default();
        for (name, value) in table {
            // `keys` has refused all others.
            let Ok(permission) = name.parse::<Permission>() else { continue };
            let wrong = |reason: String| {
                let key = format!("permissions.{name}");
                Err(ManifestError::Value { key, reason })
            };
            match value {
                Value::Boolean(true) if scope::needs_list(permission) => {
                    return wrong(format!("say which: {}", example(permission)));
                }
                Value::Boolean(asked) => requests.insert(permission, asked),
                Value::Array(_) | Value::Table(_) => {
                    check_lengths(permission, &value)?;
                    let scope = Scope::read("permissions", permission, value)?;
                    requests.insert(permission, scope);
                }
                _ => return wrong(format!("write {}", example(permission))),
            }
        }
        Ok(requests)
    }
}

/// Refuses lists that are too long.
fn check_lengths(permission: Permission, value: &Value) -> Result<(), ManifestError> {
    let limit = match permission {
        Permission::Files => MAX_FOLDERS,
        _ => MAX_ENTRIES,
    };
    let check =
        |key: &str, value: &Value| at_most(key, value.as_array().map_or(0, Vec::len), limit);
    let key = format!("permissions.{permission}");
    check(&key, value)?;
    let lists = value.as_table().into_iter().flatten();
    lists.into_iter().try_for_each(|(name, list)| check(&format!("{key}.{name}"), list))
}

/// How a manifest may ask for it.
fn example(permission: Permission) -> String {
    match permission {
        Permission::Files => {
            "files = [{ path = \"data\", at = \"/data\", access = \"read\" }]".to_owned()
        }
        Permission::Network => "network = [\"example.org:443\"]".to_owned(),
        Permission::Environment => "environment = [\"LANG\"]".to_owned(),
        Permission::Functions => "functions = [\"acme:shop/prices@1.0.0#lookup\"]".to_owned(),
        permission => format!("{permission} = true"),
    }
}

impl Permission {
    /// A line of `[permissions]` that asks for it, as an example.
    pub fn request_example(self) -> String {
        example(self)
    }
}

impl FromIterator<(Permission, bool)> for Requests {
    fn from_iter<I: IntoIterator<Item = (Permission, bool)>>(all: I) -> Requests {
        let mut requests = Requests::default();
        all.into_iter().for_each(|(permission, asked)| requests.insert(permission, asked));
        requests
    }
}

/// The lines of `[permissions]`, one for each permission.
impl fmt::Display for Requests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|(permission, scope)| writeln!(formatter, "{permission} = {scope}"))
    }
}

impl Serialize for Requests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(self.iter().map(|(permission, scope)| (permission, scope.to_value())))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Manifest, Permission};

    const HEAD: &str = "[plugin]\nid = \"a\"\n[permissions]\n";

    #[test]
    fn permissions_read_and_show_their_parameters() {
        fn check(line: &str, expected: &str) {
            let manifest = Manifest::parse(&format!("{HEAD}{line}\n")).unwrap();
            assert_eq!(manifest.permissions.to_string(), expected, "{line}");
            let again = Manifest::parse(&format!("{HEAD}{expected}")).unwrap();
            assert_eq!(again, manifest, "{line}");
        }
        check("kv = true", "kv = true\n");
        check("kv = false", "");
        check("kv = {}", "kv = true\n");
        check(
            "kv = { prefixes = [\"a/\"], except = [\"a/b\"], read-only = true }",
            "kv = { prefixes = [\"a/\"], read-only = true, except = [\"a/b\"] }\n",
        );
        check("kv = { prefixes = [] }", "kv = { prefixes = [] }\n");
        check(
            "emit = { kinds = [\"data\", \"0x61\"], to = [\"stats\"] }",
            "emit = { kinds = [\"data\", \"0x61\"], to = [\"stats\"] }\n",
        );
        check("emit = { kinds = [97] }", "emit = { kinds = [\"0x61\"] }\n");
        check("now = { precision = \"1ms\" }", "now = { precision = \"1 ms\" }\n");
        check("network = { hosts = [\"a.b:1\"] }", "network = [\"a.b:1\"]\n");
        check("environment = [\"LANG\"]", "environment = [\"LANG\"]\n");
        check("functions = [\"a:b/c#d\"]", "functions = [\"a:b/c#d\"]\n");
        check(
            "files = [{ path = \"data\" }]",
            "files = [{ path = \"data\", at = \"data\", access = \"read\" }]\n",
        );
    }

    #[test]
    fn functions_are_named_by_themselves_and_by_their_interface() {
        fn check(names: &str, function: &str, expected: bool) {
            let text = format!("{HEAD}functions = [\"{names}\"]\n");
            let manifest = Manifest::parse(&text).unwrap();
            let scope = manifest.permissions.get(Permission::Functions).unwrap();
            assert_eq!(scope.admits_function(function), expected, "{names} admits {function}");
        }
        check("a:b/c#d", "a:b/c#d", true);
        check("a:b/c", "a:b/c#d", true);
        check("a:b/c", "a:b/c", true);
        check("a:b/c", "a:b/cd#d", false);
        check("a:b/c#d", "a:b/c#d#e", false);
        check("a:b/c", "a:b/c#d#e", false);
        check("a:b/c#d", "a:b/c#de", false);
        check("a:b/c#d", "a:b/c", false);
    }

    #[test]
    fn bad_permissions_say_what_is_wrong() {
        fn check(line: &str, expected: &str) {
            let error = Manifest::parse(&format!("{HEAD}{line}\n")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        check("kv = { prefix = [] }", "in [permissions.kv] on line 4; did you mean `prefixes`?");
        check("log = { kinds = [] }", "unknown key `kinds` in [permissions.log]");
        check("files = [{ paht = \"x\" }]", "did you mean `path`?");
        check("files = [{ at = \"x\" }]", "`permissions.files.folders`: write folders as");
        check("files = [{ path = \"x\", access = \"rw\" }]", "neither \"read\" nor \"read-write\"");
        check("files = true", "`permissions.files`: say which: files = [");
        check("functions = true", "say which: functions = [\"acme:shop");
        check("network = true", "say which: network = [\"example.org:443\"]");
        check("network = [\"example.org\"]", "the port is missing");
        check("kv = \"yes\"", "`permissions.kv`: write kv = true");
        check("kv = { prefixes = \"a/\" }", "`permissions.kv.prefixes`: write a list of texts");
        check("emit = { kinds = [\"dada\"] }", "is not a frame kind");
        check("now = { precision = \"0 ms\" }", "longer than 0");
        check("functions = [\"a:b/c#d#e\"]", "`a:b/c#d#e` has 2 `#`");
        check("functions = { names = [\"a:b/c\"], except = [\"a##\"] }", "`a##` has 2 `#`");
        check("receive = true", "asks for frames with `accepts` under [frames]");
    }
}
