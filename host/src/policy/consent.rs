//! Consents of a person, for which artifact and for how long; and the file that remembers them.
//!
//! [`Consents`] is the file. A consent is about one artifact, by its digest, one permission, and the
//! parameters that the artifact asked for at the time: the same artifact with a manifest that asks
//! for more, or another artifact of the same id, has to be agreed to anew.

mod coverage;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glovebox_abi::manifest::{Scope, Selection};
use glovebox_abi::{Manifest, Permission};
use parking_lot::Mutex;

use super::Decision;
use super::allowance::Allowance;
use super::effective::Subject;
pub(crate) use coverage::covers;
pub(super) use coverage::{endpoint_covers, folder_covers, in_full};
use file::{fitted, lock, read, write};

/// How long something stays allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Lifetime {
    /// Until the plugin is reloaded or unloaded.
    Once,
    /// Until the plugin is unloaded. A version that replaces it has it too, if it asks for no more.
    #[default]
    WhileItRuns,
    /// Also whenever the same artifact is loaded again.
    Saved,
}

impl Lifetime {
    /// All of them, the shortest first.
    pub const ALL: [Lifetime; 3] = [Lifetime::Once, Lifetime::WhileItRuns, Lifetime::Saved];

    /// The words for people.
    pub fn name(self) -> &'static str {
        match self {
            Lifetime::Once => "until it is reloaded",
            Lifetime::WhileItRuns => "while it runs",
            Lifetime::Saved => "saved",
        }
    }

    /// Until when that is, for people.
    pub fn means(self) -> &'static str {
        match self {
            Lifetime::Once => "a reload ends it, and so does unloading",
            Lifetime::WhileItRuns => {
                "until it is unloaded, also after a reload that asks for no more"
            }
            Lifetime::Saved => "also whenever this very artifact is loaded again",
        }
    }
}

/// The decision about one permission of one instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decided {
    /// Never [`Decision::AsDeclared`].
    pub(crate) decision: Decision,
    /// The parameters of the consent; `None` is everything, and the only value for services of
    /// Glovebox.
    pub(crate) within: Option<Scope>,
    pub(crate) by: DecidedBy,
}

/// The decision, and its maker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DecidedBy {
    /// A person, about this instance.
    Person(Lifetime),
    /// A person, in words, before it was loaded.
    Allowance(String),
    /// A person, about the same artifact, at an earlier time in seconds since the Unix epoch.
    Saved { digest: String, at: u64 },
}

impl Decided {
    /// True if a person decided about this instance, not about an artifact or in general.
    pub(crate) fn is_about_instance(&self) -> bool {
        matches!(self.by, DecidedBy::Person(_))
    }

    /// True if it ends with the next reload.
    pub(crate) fn is_once(&self) -> bool {
        self.by == DecidedBy::Person(Lifetime::Once)
    }
}

/// A permission that was agreed to for an artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Consent {
    /// Id of the plugin.
    pub plugin: String,
    /// Hexadecimal BLAKE3 digest of the artifact.
    pub digest: String,
    /// The permission.
    pub permission: Permission,
    /// Within what, folders in full; `None` if the permission has no parameters that matter.
    pub within: Option<Scope>,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}

/// Why consents cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// The file or its folder.
    #[error("cannot {action} the saved consents: {source}: {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file is not one of these.
    #[error("the saved consents cannot be used: {reason}; move the file away and agree anew: {}", path.display())]
    Unusable {
        /// The reason.
        reason: String,
        /// The file.
        path: PathBuf,
    },
}

/// The consents that a person saved, in a private file. Several processes may use it: each change reads
/// it anew and holds a lock beside it meanwhile, so that none undoes another's.
#[derive(Debug)]
pub struct Consents {
    path: PathBuf,
    held: Mutex<Vec<Consent>>,
}

impl Consents {
    /// Reads the file; one that is not there yet holds none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is larger than 1 MiB, no regular file, of another version, or could
    /// have been written by another user.
    pub fn open(path: impl Into<PathBuf>) -> Result<Consents, ConsentError> {
        let path = path.into();
        let held = Mutex::new(read(&path)?);
        Ok(Consents { path, held })
    }

    /// All of them, oldest first, as they were when the file was last read or written.
    pub fn all(&self) -> Vec<Consent> {
        self.held.lock().clone()
    }

    /// The consents for one artifact, as the file has them now. If it cannot be read any more,
    /// there are none, and the log says why.
    pub fn of(&self, plugin: &str, digest: &str) -> Vec<Consent> {
        let mut held = self.held.lock();
        *held = read(&self.path).unwrap_or_else(|error| {
            tracing::warn!(%error, "nothing counts as agreed to");
            Vec::new()
        });
        let about = |consent: &&Consent| consent.plugin == plugin && consent.digest == digest;
        held.iter().filter(about).cloned().collect()
    }

    /// Keeps a consent, in place of an earlier one about the same. The oldest make room, so that there
    /// are no more than 1,000 and the file is no larger than 1 MiB.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or this consent alone is too large for it; it is then as
    /// it was.
    pub fn save(&self, consent: Consent) -> Result<(), ConsentError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        glovebox_files::private_folder(folder).map_err(self.error("save"))?;
        self.change(|all| {
            all.retain(|known| !known.is_about_what(&consent));
            all.push(consent);
            true
        })
    }

    /// Forgets what was agreed to about one permission of an artifact.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; it is then as it was.
    pub fn forget(
        &self,
        plugin: &str,
        digest: &str,
        permission: Permission,
    ) -> Result<(), ConsentError> {
        let is_it = |known: &Consent| {
            known.plugin == plugin && known.digest == digest && known.permission == permission
        };
        // The knowledge of this process does not matter: another one may have saved it since.
        if !self.path.exists() {
            return Ok(());
        }
        self.change(|all| {
            let before = all.len();
            all.retain(|known| !is_it(known));
            all.len() < before
        })
    }

    /// Changes the file, unless `change` says that nothing is different.
    fn change(&self, change: impl FnOnce(&mut Vec<Consent>) -> bool) -> Result<(), ConsentError> {
        let mut held = self.held.lock();
        let _lock = lock(&self.path).map_err(self.error("lock"))?;
        let mut all = read(&self.path)?;
        if change(&mut all) {
            let text = fitted(&mut all).map_err(self.error("save"))?;
            write(&self.path, &text).map_err(self.error("save"))?;
        }
        *held = all;
        Ok(())
    }

    fn error(&self, action: &'static str) -> impl FnOnce(io::Error) -> ConsentError {
        let path = self.path.clone();
        move |source| ConsentError::Io { action, source, path }
    }
}

impl Consent {
    fn is_about_what(&self, other: &Consent) -> bool {
        (&self.plugin, &self.digest, self.permission)
            == (&other.plugin, &other.digest, other.permission)
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A day as `2026-11-29`, by the algorithm `civil_from_days` of Howard Hinnant.
pub(super) fn day(seconds: u64) -> String {
    let days = i64::try_from(seconds / 86_400).unwrap_or(0) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + next)
}

/// The request of a manifest for a permission, folders in full. `None` if it does not ask, or if
/// the permission stays inside Glovebox, where a consent is about all of it.
pub(crate) fn request(
    manifest: &Manifest,
    permission: Permission,
    base: Option<&Path>,
) -> Option<Scope> {
    let scope = manifest.request(permission).filter(|_| permission.needs_consent())?;
    Some(in_full(scope, base))
}

/// The decisions about an artifact before it is loaded. An allowance in words covers what the
/// plugin asks for now: a later version that asks for more is another matter.
pub(crate) fn decided(
    allowed: &[Allowance],
    saved: Option<&Consents>,
    manifest: &Manifest,
    subject: Subject<'_>,
) -> BTreeMap<Permission, Decided> {
    let Subject { digest, base, .. } = subject;
    let plugin = &manifest.plugin.id;
    let mut decided = BTreeMap::new();
    for consent in saved.map(|saved| saved.of(plugin, digest)).unwrap_or_default() {
        let by = DecidedBy::Saved { digest: consent.digest, at: consent.at };
        let within = consent.within;
        decided.insert(consent.permission, Decided { decision: Decision::Allow, within, by });
    }
    for (permission, ..) in Permission::ALL {
        let words: Vec<&Allowance> =
            allowed.iter().filter(|word| word.counts_for(manifest, permission, subject)).collect();
        let asked = || request(manifest, permission, base).unwrap_or_default();
        if words.is_empty() {
            continue;
        }
        let within = permission.needs_consent().then(|| {
            words.iter().map(|word| word.within().cloned().unwrap_or_else(asked)).fold(
                Scope::default(),
                |mut all, scope| {
                    join(&mut all.folders, scope.folders);
                    join(&mut all.hosts, scope.hosts);
                    join(&mut all.names, scope.names);
                    all
                },
            )
        });
        let words = words.iter().map(|word| format!("--allow {word}"));
        let by = DecidedBy::Allowance(words.collect::<Vec<_>>().join(" "));
        decided.insert(permission, Decided { decision: Decision::Allow, within, by });
    }
    decided
}

fn join<T>(all: &mut Selection<T>, more: Selection<T>) {
    if let Some(more) = more.only {
        all.only.get_or_insert_default().extend(more);
    }
    if let Some(more) = more.except {
        all.except.get_or_insert_default().extend(more);
    }
}
