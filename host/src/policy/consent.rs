//! What a person agreed to, for which artifact and for how long; and the file that remembers it.
//!
//! [`Consents`] is the file. A consent is about one artifact, by its digest, one permission, and the
//! parameters that the artifact asked for at the time: the same artifact with a manifest that asks
//! for more, or another artifact of the same id, has to be agreed to anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glovebox_abi::manifest::{Access, Endpoint, Folder, HostPattern, Scope, Selection};
use glovebox_abi::{Manifest, Permission};
use glovebox_files::Owner;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Decision;
use super::allowance::{Allowance, resolved};

/// The largest file that is read: 1 MiB.
const MAX_LEN: u64 = 1 << 20;
/// Consents that are kept; the oldest goes first.
const KEPT: usize = 1_000;
/// The version of the file that is written, and the only one that is read.
const VERSION: u32 = 1;

/// How long something stays allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
            Lifetime::Once => "once",
            Lifetime::WhileItRuns => "while it runs",
            Lifetime::Saved => "saved",
        }
    }

    /// Until when that is, for people.
    pub fn means(self) -> &'static str {
        match self {
            Lifetime::Once => "until it is reloaded or unloaded",
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
    /// What was agreed to; `None` is everything, and all there is for services of Glovebox.
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
    /// What it may do.
    pub permission: Permission,
    /// Within what, folders in full; `None` if the permission has no parameters that matter.
    pub within: Option<Scope>,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}

/// Why consents cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The file or its folder.
    #[error("cannot {action} what was agreed to: {source}: {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the operating system says.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file is not one of these.
    #[error("what was agreed to cannot be used: {reason}; move the file away and agree anew: {}", path.display())]
    Unusable {
        /// Why.
        reason: String,
        /// The file.
        path: PathBuf,
    },
}

/// The consents that a person saved, in a private file. Several processes may use it.
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

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Consent> {
        self.held.lock().clone()
    }

    /// What was agreed to for one artifact.
    pub fn of(&self, plugin: &str, digest: &str) -> Vec<Consent> {
        let held = self.held.lock();
        let about = |consent: &&Consent| consent.plugin == plugin && consent.digest == digest;
        held.iter().filter(about).cloned().collect()
    }

    /// Keeps a consent, in place of an earlier one about the same.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; it is then as it was.
    pub fn save(&self, consent: Consent) -> Result<(), ConsentError> {
        self.change(|all| {
            all.retain(|known| !known.is_about_what(&consent));
            all.push(consent);
            let excess = all.len().saturating_sub(KEPT);
            all.drain(..excess);
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
        // What is not there need not be written anew.
        if !self.held.lock().iter().any(is_it) {
            return Ok(());
        }
        self.change(|all| all.retain(|known| !is_it(known)))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Consent>)) -> Result<(), ConsentError> {
        let mut held = self.held.lock();
        // Another process may have written it meanwhile.
        let mut all = read(&self.path)?;
        change(&mut all);
        write(&self.path, &all).map_err(|source| ConsentError::Io {
            action: "save",
            source,
            path: self.path.clone(),
        })?;
        *held = all;
        Ok(())
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

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    #[serde(default)]
    consent: Vec<WrittenConsent>,
}

#[derive(Serialize, Deserialize)]
struct WrittenConsent {
    plugin: String,
    digest: String,
    permission: Permission,
    at: u64,
    within: Option<toml::Value>,
}

fn read(path: &Path) -> Result<Vec<Consent>, ConsentError> {
    let io = |source| ConsentError::Io { action: "read", source, path: path.to_owned() };
    let unusable = |reason: String| ConsentError::Unusable { reason, path: path.to_owned() };
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    if !about.is_file() {
        return Err(unusable("it is no regular file".to_owned()));
    }
    let owner = Owner::of_new_files(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
    if !owner.owns(&about) {
        return Err(unusable("another user could have written it".to_owned()));
    }
    let text = glovebox_files::read_to_string(path, MAX_LEN).map_err(io)?;
    let version =
        text.parse::<toml::Table>().ok().and_then(|table| table.get("version")?.as_integer());
    if version != Some(i64::from(VERSION)) {
        let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(unusable(format!("version {found} is not version {VERSION}")));
    }
    let written: Written =
        toml::from_str(&text).map_err(|error| unusable(error.message().to_owned()))?;
    let consents = written.consent.into_iter().map(|consent| {
        let within = match consent.within {
            None => None,
            Some(value) => Some(
                Scope::read("consent", consent.permission, value)
                    .map_err(|error| unusable(error.to_string()))?,
            ),
        };
        let WrittenConsent { plugin, digest, permission, at, .. } = consent;
        Ok(Consent { plugin, digest, permission, within, at })
    });
    consents.collect()
}

fn write(path: &Path, consents: &[Consent]) -> io::Result<()> {
    let consent = consents.iter().map(|consent| WrittenConsent {
        plugin: consent.plugin.clone(),
        digest: consent.digest.clone(),
        permission: consent.permission,
        at: consent.at,
        within: consent.within.as_ref().map(Scope::to_value),
    });
    let written = Written { version: VERSION, consent: consent.collect() };
    let text = toml::to_string(&written).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    glovebox_files::private_folder(folder)?;
    // A temporary file is its user's alone.
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(b"# What was agreed to in Glovebox: delete a section to be asked again.\n")?;
    beside.write_all(text.as_bytes())?;
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What a manifest asks for of a permission, folders in full. `None` if it does not ask, or if the
/// permission stays inside Glovebox, where a consent is about all of it.
pub(crate) fn request(
    manifest: &Manifest,
    permission: Permission,
    base: Option<&Path>,
) -> Option<Scope> {
    let scope = manifest.request(permission).filter(|_| permission.needs_consent())?;
    Some(in_full(scope, base))
}

/// The same parameters wherever they are read.
pub(super) fn in_full(mut scope: Scope, base: Option<&Path>) -> Scope {
    for folder in scope.folders.only.iter_mut().flatten() {
        let path = base.map_or_else(|| folder.path.clone().into(), |base| base.join(&folder.path));
        folder.path = resolved(&path);
    }
    scope
}

/// What was decided about an artifact before it is loaded. What is allowed in words is what the
/// plugin asks for now: a later version that asks for more is another matter.
pub(crate) fn decided(
    allowed: &[Allowance],
    saved: Option<&Consents>,
    manifest: &Manifest,
    digest: &str,
    base: Option<&Path>,
) -> BTreeMap<Permission, Decided> {
    let plugin = &manifest.plugin.id;
    let mut decided = BTreeMap::new();
    for consent in saved.map(|saved| saved.of(plugin, digest)).unwrap_or_default() {
        let by = DecidedBy::Saved { digest: consent.digest, at: consent.at };
        let within = consent.within;
        decided.insert(consent.permission, Decided { decision: Decision::Allow, within, by });
    }
    for (permission, ..) in Permission::ALL {
        let words: Vec<&Allowance> =
            allowed.iter().filter(|word| word.is_for(plugin, permission)).collect();
        let asked = || request(manifest, permission, base).unwrap_or_default();
        let is_named = words.iter().any(|word| word.within().is_some());
        let is_about = is_named || manifest.asks_for(permission) || !permission.needs_consent();
        if words.is_empty() || !is_about {
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

/// True if all that `asked` admits was agreed to. Both are in full, and about a permission that
/// needs consent.
pub(crate) fn covers(agreed: &Scope, asked: &Scope) -> bool {
    selection(&agreed.folders, &asked.folders, folder_covers)
        && selection(&agreed.hosts, &asked.hosts, endpoint_covers)
        && selection(&agreed.names, &asked.names, |one, other| one == other)
}

fn selection<T: PartialEq>(
    agreed: &Selection<T>,
    asked: &Selection<T>,
    one: impl Fn(&T, &T) -> bool,
) -> bool {
    let asked_only = asked.only.as_deref().unwrap_or_default();
    let agreed_only = agreed.only.as_deref().unwrap_or_default();
    // What was left out then must be left out now.
    let keeps = |except: &T| asked.except.iter().flatten().any(|known| known == except);
    let excepts = asked_only.is_empty() || agreed.except.iter().flatten().all(keeps);
    excepts && asked_only.iter().all(|asked| agreed_only.iter().any(|agreed| one(agreed, asked)))
}

fn folder_covers(agreed: &Folder, asked: &Folder) -> bool {
    let leads_up =
        Path::new(&asked.path).components().any(|part| part == std::path::Component::ParentDir);
    let writes = |folder: &Folder| folder.access == Access::ReadWrite;
    Path::new(&asked.path).starts_with(&agreed.path)
        && !leads_up
        && (writes(agreed) || !writes(asked))
}

fn endpoint_covers(agreed: &Endpoint, asked: &Endpoint) -> bool {
    let ports =
        agreed.ports.contains(asked.ports.start()) && agreed.ports.contains(asked.ports.end());
    let host = agreed.host == HostPattern::Any || agreed.host == asked.host;
    ports && host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(permission: Permission, text: &str) -> Scope {
        let text = format!("[plugin]\nid = \"a\"\n[permissions]\n{permission} = {text}\n");
        request(&Manifest::parse(&text).unwrap(), permission, Some(Path::new("/no/such"))).unwrap()
    }

    #[test]
    fn what_was_agreed_to_covers_the_same_and_less() {
        #[track_caller]
        fn check(permission: Permission, agreed: &str, asked: &str, expected: bool) {
            let found = covers(&scope(permission, agreed), &scope(permission, asked));
            assert_eq!(found, expected, "{agreed} for {asked}");
        }
        use Permission::{Environment, Files, Network};
        let data = "[{ path = \"data\" }]";
        check(Files, data, data, true);
        check(Files, data, "[{ path = \"data/sub\" }]", true);
        check(Files, data, "[{ path = \"data\", at = \"elsewhere\" }]", true);
        check(Files, data, "[{ path = \"data\", access = \"read-write\" }]", false);
        check(Files, data, "[{ path = \"data2\" }]", false);
        check(Files, data, "[{ path = \".\" }]", false);
        check(Files, data, "[{ path = \"/\" }]", false);
        check(Files, data, "[{ path = \"data\" }, { path = \"more\" }]", false);
        check(Files, data, "[{ path = \"/no/such/data/x\" }]", true);
        check(Files, "[{ path = \"/\", access = \"read-write\" }]", data, true);
        check(Network, "[\"a.b:1-9\"]", "[\"a.b:2\"]", true);
        check(Network, "[\"a.b:2\"]", "[\"a.b:1-9\"]", false);
        check(Network, "[\"a.b:2\"]", "[\"c.b:2\"]", false);
        check(Network, "[\"*:2\"]", "[\"a.b:2\"]", true);
        check(Network, "[\"a.b:2\"]", "[\"*:2\"]", false);
        check(Network, "{ hosts = [\"*:2\"], except = [\"a.b:2\"] }", "[\"*:2\"]", false);
        check(Network, "[\"*:2\"]", "{ hosts = [\"*:2\"], except = [\"a.b:2\"] }", true);
        check(Environment, "[\"A\", \"B\"]", "[\"B\"]", true);
        check(Environment, "[\"A\"]", "[\"A\", \"B\"]", false);
        check(Environment, "[\"A\"]", "[]", true);
    }

    #[test]
    fn consents_are_kept_in_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/consents.toml");
        let consents = Consents::open(&path).unwrap();
        assert_eq!(consents.all(), []);
        let consent = |plugin: &str, permission, within| Consent {
            plugin: plugin.to_owned(),
            digest: "ab".to_owned(),
            permission,
            within,
            at: 1_795_910_400,
        };
        let files = scope(Permission::Files, "[{ path = \"data\", access = \"read-write\" }]");
        let all = [
            consent("a", Permission::Files, Some(files)),
            consent("a", Permission::Kv, None),
            consent(
                "b",
                Permission::Network,
                Some(scope(Permission::Network, "{ hosts = [\"*:2\"], except = [\"a.b:2\"] }")),
            ),
        ];
        for one in all.clone() {
            consents.save(one.clone()).unwrap();
            consents.save(one).unwrap();
        }
        assert_eq!(Consents::open(&path).unwrap().all(), all);
        assert_eq!(consents.of("a", "ab"), all[..2]);
        assert_eq!(consents.of("a", "cd"), []);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        // Another process forgets one.
        Consents::open(&path).unwrap().forget("a", "ab", Permission::Files).unwrap();
        consents.save(all[1].clone()).unwrap();
        assert_eq!(consents.all(), [all[2].clone(), all[1].clone()]);
    }

    #[test]
    fn a_file_that_cannot_be_trusted_grants_nothing_and_stays() {
        #[track_caller]
        fn check(prepare: impl FnOnce(&Path), expected: &str) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("consents.toml");
            prepare(&path);
            let error = Consents::open(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
        let text = |text: &'static str| move |path: &Path| fs::write(path, text).unwrap();
        check(text("version = 2\n"), "version 2 is not version 1");
        check(text(""), "version none is not version 1");
        check(text("version = 1\n[[consent]]\nplugin = 1\n"), "cannot be used");
        check(|path| fs::create_dir(path).unwrap(), "no regular file");
        check(|path| fs::write(path, " ".repeat(MAX_LEN as usize + 1)).unwrap(), "1048577");
        #[cfg(unix)]
        check(
            |path| {
                use std::os::unix::fs::PermissionsExt;
                fs::write(path, "version = 1\n").unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
            },
            "another user could have written it",
        );
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        fn check(seconds: u64, expected: &str) {
            assert_eq!(day(seconds), expected);
        }
        check(0, "1970-01-01");
        check(951_782_400, "2000-02-29");
        check(1_795_910_400, "2026-11-29");
        check(4_102_444_799, "2099-12-31");
    }
}
