//! Turns wishes into the smallest sufficient `[permissions]`.

use std::collections::{BTreeMap, BTreeSet};

use glovebox_abi::manifest::{Access, Endpoint, Folder, Requests, Scope, Selection};
use glovebox_abi::{Kind, Permission};

use super::{Parameter, Wish};

/// How often a plugin is run at most.
const MAX_ROUNDS: usize = 16;

/// The suggested permissions of a plugin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Suggestion {
    /// For `[permissions]` of its manifest; shown, it is the text of the section.
    pub permissions: Requests,
    /// How often it was run.
    pub rounds: usize,
    /// False if it still wished for more when it had been run 16 times.
    pub complete: bool,
}

/// Finds the smallest permissions with which a run wishes for nothing more.
///
/// A plugin that is denied something goes another way, so that one run does not show all that it
/// needs: `run` is called with what is known to be needed, first with nothing, and gives what the
/// plugin wished for, until that is nothing new; 16 times at most. It has to run the plugin in a
/// fresh host in [`PolicyMode::Record`](super::PolicyMode::Record), with these permissions in place
/// of its manifest's ([`LoadRequest::permissions`](crate::LoadRequest::permissions)).
///
/// Keys become prefixes: the longest that those with the same first part share, up to a `/`. Frames
/// become kinds, and plugins unless one went to everyone. Hosts and ports become themselves, paths
/// the folders they lie in. Functions of the application become themselves.
///
/// Environment variables cannot be suggested, because nobody sees which ones a plugin looks at. Of
/// a path, only the plugin's name for it is known; the folder of this machine is yours to choose.
///
/// # Errors
///
/// The error of `run`.
pub fn suggest<E>(mut run: impl FnMut(&Requests) -> Result<Vec<Wish>, E>) -> Result<Suggestion, E> {
    let mut wishes: BTreeSet<(Permission, Parameter<'static>)> = BTreeSet::new();
    let mut permissions = Requests::default();
    for rounds in 1..=MAX_ROUNDS {
        let more = run(&permissions)?;
        wishes.extend(more.into_iter().map(|wish| (wish.permission, wish.parameter)));
        let needed = needed(&wishes);
        if needed == permissions {
            return Ok(Suggestion { permissions, rounds, complete: true });
        }
        permissions = needed;
    }
    Ok(Suggestion { permissions, rounds: MAX_ROUNDS, complete: false })
}

/// The smallest permissions that admit all wishes.
fn needed(wishes: &BTreeSet<(Permission, Parameter<'static>)>) -> Requests {
    let mut requests = Requests::default();
    for (permission, ..) in Permission::ALL {
        let parameters = wishes.iter().filter(|(wished, _)| *wished == permission);
        let parameters: Vec<&Parameter<'static>> =
            parameters.map(|(_, parameter)| parameter).collect();
        if parameters.is_empty() {
            continue;
        }
        let scope = match permission {
            Permission::Kv => keys(&parameters),
            Permission::Emit => frames(&parameters),
            Permission::Files => folders(&parameters),
            Permission::Network => hosts(&parameters),
            Permission::Functions => functions(&parameters),
            // Frames are asked for with `accepts`, and variables cannot be told apart.
            Permission::Receive | Permission::Environment => continue,
            Permission::Log
            | Permission::Now
            | Permission::Random
            | Permission::Config
            | Permission::Metric => Scope::default(),
        };
        requests.insert(permission, scope);
    }
    requests
}

fn keys(parameters: &[&Parameter<'static>]) -> Scope {
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    let mut writes = false;
    for parameter in parameters {
        let Parameter::Key { key, write } = parameter else { continue };
        writes |= write;
        let key = key.trim_end_matches('…');
        let first = key.find('/').map_or(key, |end| &key[..=end]);
        let prefix = &key[..key.rfind('/').map_or(key.len(), |end| end + 1)];
        let group = groups.entry(first).or_insert(prefix);
        *group = shared_parts(group, prefix);
    }
    // A listing of everything needs everything.
    let everything = groups.contains_key("");
    let covered =
        |prefix: &str| groups.values().any(|other| *other != prefix && prefix.starts_with(other));
    let prefixes = groups.values().filter(|prefix| !covered(prefix));
    let prefixes: Vec<String> = prefixes.map(|prefix| (*prefix).to_owned()).collect();
    Scope {
        prefixes: if everything { Selection::default() } else { Selection::only(prefixes) },
        read_only: (!writes).then_some(true),
        ..Scope::default()
    }
}

/// The common start of two texts, up to a `/`; the whole if they are the same.
fn shared_parts<'a>(one: &'a str, other: &str) -> &'a str {
    if one == other {
        return one;
    }
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    &one[..one.as_bytes()[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |end| end + 1)]
}

fn frames(parameters: &[&Parameter<'static>]) -> Scope {
    let frames = parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Frame { kind, to } => Some((*kind, to.as_deref())),
        _ => None,
    });
    let (kinds, to): (BTreeSet<Kind>, BTreeSet<Option<&str>>) = frames.unzip();
    let named: Option<Vec<String>> = to.into_iter().map(|to| to.map(str::to_owned)).collect();
    Scope {
        kinds: Selection::only(kinds.into_iter().collect()),
        to: named.map(Selection::only).unwrap_or_default(),
        ..Scope::default()
    }
}

fn functions(parameters: &[&Parameter<'static>]) -> Scope {
    let names: BTreeSet<&str> = parameters
        .iter()
        .filter_map(|parameter| match parameter {
            Parameter::Function(name) => Some(&**name),
            _ => None,
        })
        .collect();
    let names = names.into_iter().map(str::to_owned).collect();
    Scope { names: Selection::only(names), ..Scope::default() }
}

fn hosts(parameters: &[&Parameter<'static>]) -> Scope {
    let reached = |name: &str| {
        parameters
            .iter()
            .any(|other| matches!(other, Parameter::Peer { host, .. } if *host == name))
    };
    let endpoints = parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Peer { .. } => parameter.to_string().parse::<Endpoint>().ok(),
        // Until it is reached, nobody knows the port.
        Parameter::Lookup(name) if !reached(name) => format!("{name}:*").parse().ok(),
        _ => None,
    });
    Scope { hosts: Selection::only(endpoints.collect()), ..Scope::default() }
}

fn folders(parameters: &[&Parameter<'static>]) -> Scope {
    let mut folders: BTreeMap<String, Access> = BTreeMap::new();
    let paths = parameters.iter().flat_map(|parameter| match parameter {
        Parameter::Path { path, write } => vec![(path, *write)],
        Parameter::Move { from, to } => vec![(from, true), (to, true)],
        _ => Vec::new(),
    });
    for (path, write) in paths {
        let folder = match path.trim_end_matches('/').rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((folder, _)) => folder,
        };
        let access = if write { Access::ReadWrite } else { Access::Read };
        let known = folders.entry(folder.to_owned()).or_insert(access);
        *known = access.max(*known);
    }
    let folder = |(at, access): (String, Access)| {
        let path = at.trim_start_matches('/');
        let path = if path.is_empty() { "." } else { path }.to_owned();
        Folder { path, at, access }
    };
    let folders = folders.into_iter().map(folder).collect();
    Scope { folders: Selection::only(folders), ..Scope::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(permission: Permission, parameter: Parameter<'static>) -> Wish {
        Wish { permission, parameter, times: 1, denied: 1 }
    }

    #[test]
    fn wishes_become_the_smallest_permissions() {
        fn check(wishes: &[(Permission, Parameter<'static>)], expected: &str) {
            let wishes: Vec<Wish> =
                wishes.iter().map(|(which, what)| wish(*which, what.clone())).collect();
            let suggestion = suggest(|_| Ok::<_, ()>(wishes.clone())).unwrap();
            assert_eq!(suggestion.permissions.to_string(), expected);
            assert!(suggestion.complete);
        }
        let key =
            |key: &'static str, write| (Permission::Kv, Parameter::Key { key: key.into(), write });
        let frame = |kind, to: Option<&'static str>| {
            (Permission::Emit, Parameter::Frame { kind, to: to.map(Into::into) })
        };
        let peer = |host: &'static str, port| {
            (Permission::Network, Parameter::Peer { host: host.into(), port })
        };
        let path = |path: &'static str, write| {
            (Permission::Files, Parameter::Path { path: path.into(), write })
        };
        check(&[], "");
        check(&[(Permission::Now, Parameter::Nothing)], "now = true\n");
        check(&[key("a", true)], "kv = { prefixes = [\"a\"] }\n");
        check(&[key("a", false)], "kv = { prefixes = [\"a\"], read-only = true }\n");
        check(&[key("c/a/1", true), key("c/a/2", true)], "kv = { prefixes = [\"c/a/\"] }\n");
        check(&[key("c/a/1", true), key("c/b/2", true)], "kv = { prefixes = [\"c/\"] }\n");
        check(&[key("c/a", true), key("d/b", true)], "kv = { prefixes = [\"c/\", \"d/\"] }\n");
        check(&[key("", true), key("d/b", true)], "kv = true\n");
        check(
            &[frame(Kind::DATA, Some("b")), frame(Kind::DATA, Some("a"))],
            "emit = { kinds = [\"data\"], to = [\"a\", \"b\"] }\n",
        );
        check(
            &[frame(Kind::DATA, Some("b")), frame(Kind::CONTROL, None)],
            "emit = { kinds = [\"data\", \"control\"] }\n",
        );
        let function =
            |name: &'static str| (Permission::Functions, Parameter::Function(name.into()));
        check(
            &[function("b#d"), function("a#c"), function("b#d")],
            "functions = [\"a#c\", \"b#d\"]\n",
        );
        check(
            &[
                (Permission::Network, Parameter::Lookup("a.example".into())),
                peer("a.example", 443),
                (Permission::Network, Parameter::Lookup("b.example".into())),
                peer("::1", 80),
            ],
            "network = [\"b.example:*\", \"[::1]:80\", \"a.example:443\"]\n",
        );
        check(
            &[path("/data/x", false), path("/data/y", true), path("z", false)],
            "files = [{ path = \".\", at = \"/\", access = \"read\" }, \
             { path = \"data\", at = \"/data\", access = \"read-write\" }]\n",
        );
    }

    #[test]
    fn a_plugin_is_run_until_it_wishes_for_nothing_new() {
        // Each permission that is granted leads to the next wish.
        let chain = [Permission::Log, Permission::Now, Permission::Random, Permission::Metric];
        let mut runs = 0;
        let suggestion = suggest(|known| {
            runs += 1;
            let granted = known.iter().count();
            let wishes = chain.iter().take(granted + 1);
            Ok::<_, ()>(wishes.map(|which| wish(*which, Parameter::Nothing)).collect())
        });
        let suggestion = suggestion.unwrap();
        assert_eq!((suggestion.permissions.iter().count(), suggestion.rounds), (4, 5));
        // One that always wishes for something else is given up.
        let mut number = 0;
        let endless = suggest(|_| {
            number += 1;
            let key = format!("key-{number:02}").into();
            Ok::<_, ()>(vec![wish(Permission::Kv, Parameter::Key { key, write: true })])
        });
        assert!(!endless.unwrap().complete);
    }
}
