//! Uses and wishes: counters, the access log, wishes.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Kind, Permission};
use parking_lot::Mutex;

/// Entries that are kept for each instance.
const KEPT_ENTRIES: usize = 256;
/// Different wishes that are kept for each plugin.
const KEPT_WISHES: usize = 4096;
/// Bytes of a text that are kept; keys may be as long as a plugin's memory.
const KEPT_TEXT: usize = 256;

/// The parameter of a use of a permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Parameter<'a> {
    /// Nothing in particular.
    Nothing,
    /// A key of the store, or the prefix of a listing.
    Key {
        /// The key.
        key: Cow<'a, str>,
        /// True if it was to be changed.
        write: bool,
    },
    /// A frame that was emitted.
    Frame {
        /// Its kind.
        kind: Kind,
        /// The plugin it was sent to; `None` if it was for everyone.
        to: Option<Cow<'a, str>>,
    },
    /// The kind of a frame that was received.
    Kind(Kind),
    /// A function of the application.
    Function(Cow<'a, str>),
    /// A name that was looked up.
    Lookup(Cow<'a, str>),
    /// A host that was reached.
    Peer {
        /// The name under which it was looked up, or its address.
        host: Cow<'a, str>,
        /// The port.
        port: u16,
    },
    /// A file or folder that got a name, as the plugin calls both: it was renamed or linked.
    Move {
        /// The path that it had.
        from: Cow<'a, str>,
        /// The path that it got.
        to: Cow<'a, str>,
    },
    /// A file or folder, as the plugin calls it.
    Path {
        /// The path.
        path: Cow<'a, str>,
        /// True if it was to be changed.
        write: bool,
    },
}

impl<'a> Parameter<'a> {
    /// The use of a key.
    pub(crate) fn key(key: &'a str, write: bool) -> Parameter<'a> {
        Parameter::Key { key: Cow::Borrowed(key), write }
    }

    /// The use of a function.
    pub(crate) fn function(name: &'a str) -> Parameter<'a> {
        Parameter::Function(Cow::Borrowed(name))
    }
}

impl Parameter<'_> {
    /// A copy that may be kept. Texts are cut after 256 bytes, with `…` in place of the rest.
    pub(crate) fn kept(&self) -> Parameter<'static> {
        match self {
            Parameter::Nothing => Parameter::Nothing,
            Parameter::Key { key, write } => Parameter::Key { key: cut(key), write: *write },
            Parameter::Frame { kind, to } => {
                Parameter::Frame { kind: *kind, to: to.as_deref().map(cut) }
            }
            Parameter::Kind(kind) => Parameter::Kind(*kind),
            Parameter::Function(name) => Parameter::Function(cut(name)),
            Parameter::Lookup(name) => Parameter::Lookup(cut(name)),
            Parameter::Peer { host, port } => Parameter::Peer { host: cut(host), port: *port },
            Parameter::Move { from, to } => Parameter::Move { from: cut(from), to: cut(to) },
            Parameter::Path { path, write } => Parameter::Path { path: cut(path), write: *write },
        }
    }

    /// True if this is what is kept of `other`, told without a copy where nothing is cut.
    fn is_kept_of(&self, other: &Parameter<'_>) -> bool {
        *self == *other || other.is_long() && *self == other.kept()
    }

    fn is_long(&self) -> bool {
        let length = match self {
            Parameter::Nothing | Parameter::Kind(_) => 0,
            Parameter::Key { key: text, .. }
            | Parameter::Lookup(text)
            | Parameter::Function(text)
            | Parameter::Peer { host: text, .. }
            | Parameter::Path { path: text, .. } => text.len(),
            Parameter::Frame { to, .. } => to.as_ref().map_or(0, |to| to.len()),
            Parameter::Move { from, to } => from.len().max(to.len()),
        };
        length > KEPT_TEXT
    }
}

fn cut(text: &str) -> Cow<'static, str> {
    match text.len() {
        0..=KEPT_TEXT => Cow::Owned(text.to_owned()),
        _ => Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(KEPT_TEXT)])),
    }
}

impl fmt::Display for Parameter<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = |write: &bool| if *write { "write" } else { "read" };
        match self {
            Parameter::Nothing => Ok(()),
            Parameter::Key { key, write } => write!(formatter, "{} `{key}`", mode(write)),
            Parameter::Frame { kind, to: Some(to) } => write!(formatter, "{kind} to {to}"),
            Parameter::Frame { kind, to: None } => write!(formatter, "{kind} to everyone"),
            Parameter::Kind(kind) => write!(formatter, "{kind}"),
            Parameter::Function(name) => write!(formatter, "{name}"),
            Parameter::Lookup(name) => write!(formatter, "look up {name}"),
            Parameter::Peer { host, port } if host.contains(':') => {
                write!(formatter, "[{host}]:{port}")
            }
            Parameter::Peer { host, port } => write!(formatter, "{host}:{port}"),
            Parameter::Move { from, to } => write!(formatter, "write {from} to {to}"),
            Parameter::Path { path, write } => write!(formatter, "{} {path}", mode(write)),
        }
    }
}

/// One use of a permission, or several alike in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessEntry {
    /// When it was used last, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The permission.
    pub permission: Permission,
    /// Its parameter.
    pub parameter: Parameter<'static>,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The rule that decided, for example `manifest` or `[default] in policy.toml`.
    pub rule: Arc<str>,
    /// How many uses in a row were the same.
    pub times: u64,
}

/// The latest uses of permissions by one instance, newest last.
///
/// Frames that are received are not in it, as every call is one; those that are refused are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AccessLog {
    /// At most 256.
    pub entries: Vec<AccessEntry>,
    /// Entries that had to make room.
    pub dropped: u64,
}

/// The uses of one instance, behind a lock.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    entries: VecDeque<AccessEntry>,
    dropped: u64,
}

impl Accesses {
    pub(crate) fn add(
        &mut self,
        at: u64,
        permission: Permission,
        parameter: &Parameter<'_>,
        allowed: bool,
        rule: &Arc<str>,
    ) {
        if let Some(last) = self.entries.back_mut()
            && (last.permission, last.allowed) == (permission, allowed)
            && last.rule == *rule
            && last.parameter.is_kept_of(parameter)
        {
            last.at = at;
            last.times += 1;
            return;
        }
        if self.entries.len() == KEPT_ENTRIES {
            self.entries.pop_front();
            self.dropped += 1;
        }
        let (parameter, rule) = (parameter.kept(), rule.clone());
        self.entries.push_back(AccessEntry { at, permission, parameter, allowed, rule, times: 1 });
    }

    pub(crate) fn log(&self) -> AccessLog {
        AccessLog { entries: self.entries.iter().cloned().collect(), dropped: self.dropped }
    }
}

/// Something a plugin wanted to do while wishes were recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wish {
    /// The permission that it takes.
    pub permission: Permission,
    /// Its parameter.
    pub parameter: Parameter<'static>,
    /// How often.
    pub times: u64,
    /// How often it was denied.
    pub denied: u64,
}

/// The wishes of all plugins, by id; kept while the policy's mode is to record them.
pub(crate) type WishBook = Mutex<BTreeMap<Arc<str>, Wishes>>;

/// All different wishes of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    wishes: BTreeMap<(Permission, Parameter<'static>), (u64, u64)>,
    dropped: u64,
}

impl Wishes {
    pub(crate) fn add(&mut self, permission: Permission, parameter: &Parameter<'_>, allowed: bool) {
        let key = (permission, parameter.kept());
        if self.wishes.len() >= KEPT_WISHES && !self.wishes.contains_key(&key) {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                let dropped = self.dropped;
                tracing::warn!(%permission, dropped, kept = KEPT_WISHES, "wishes are not kept");
            }
            return;
        }
        let (times, denied) = self.wishes.entry(key).or_default();
        *times += 1;
        *denied += u64::from(!allowed);
    }

    /// All wishes, by permission and parameter.
    pub(crate) fn list(&self) -> Vec<Wish> {
        let wishes = self.wishes.iter();
        wishes
            .map(|((permission, parameter), (times, denied))| Wish {
                permission: *permission,
                parameter: parameter.clone(),
                times: *times,
                denied: *denied,
            })
            .collect()
    }
}

/// How often each permission was used and refused, and each limit hit.
#[derive(Debug, Default)]
pub(crate) struct AccessCounters {
    permissions: [PermissionCounters; Permission::ALL.len()],
    limits: [AtomicU64; LimitKind::ALL.len()],
}

#[derive(Debug, Default)]
pub(crate) struct PermissionCounters {
    pub(crate) uses: AtomicU64,
    pub(crate) denials: AtomicU64,
    /// Those of the uses of which a fault or a mock made the result.
    pub(crate) injected: AtomicU64,
    /// Nanoseconds since the Unix epoch; 0 is never.
    pub(crate) last_used: AtomicU64,
}

impl AccessCounters {
    pub(crate) fn permission(&self, permission: Permission) -> &PermissionCounters {
        &self.permissions[permission as usize]
    }

    pub(crate) fn hit_limit(&self, limit: LimitKind) {
        self.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn limit_hits(&self, limit: LimitKind) -> u64 {
        self.limits[limit as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_log_keeps_the_newest_and_counts_the_rest() {
        /// Uses of keys, by number; then entries kept, entries dropped and uses of the last entry.
        fn check(keys: impl IntoIterator<Item = usize>, kept: usize, dropped: u64, times: u64) {
            let mut accesses = Accesses::default();
            for (at, number) in keys.into_iter().enumerate() {
                let key = format!("{number}{}", "x".repeat(2 * KEPT_TEXT)).into();
                let parameter = Parameter::Key { key, write: false };
                accesses.add(at as u64, Permission::Kv, &parameter, true, &"manifest".into());
            }
            let log = accesses.log();
            assert_eq!((log.entries.len(), log.dropped), (kept, dropped));
            let last = log.entries.last().unwrap();
            assert_eq!(last.times, times);
            assert!(last.parameter.to_string().ends_with("x…`"), "{}", last.parameter);
        }
        check([1], 1, 0, 1);
        check([1, 2, 2, 2], 2, 0, 3);
        check(0..KEPT_ENTRIES, KEPT_ENTRIES, 0, 1);
        check(0..KEPT_ENTRIES + 7, KEPT_ENTRIES, 7, 1);
    }
}
