//! The file of consents: a private one, of one version, locked while it is changed.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use glovebox_abi::Permission;
use glovebox_abi::manifest::Scope;
use glovebox_files::Owner;
use serde::{Deserialize, Serialize};

use super::{Consent, ConsentError};

/// The largest file that is read: 1 MiB.
pub(super) const MAX_LEN: u64 = 1 << 20;
/// Consents that are kept; the oldest goes first.
pub(super) const KEPT: usize = 1_000;
/// The version of the file that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The file as it is read.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    consent: Vec<WrittenConsent>,
}

/// A part of it, as it is written.
#[derive(Serialize)]
struct Sections {
    consent: [WrittenConsent; 1],
}

#[derive(Serialize, Deserialize)]
struct WrittenConsent {
    plugin: String,
    digest: String,
    permission: Permission,
    at: u64,
    within: Option<toml::Value>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Consent>, ConsentError> {
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

/// Waits until no other process changes the file, and keeps them from it until the result is dropped.
/// The lock is a file of its own, because the other one is replaced.
pub(super) fn lock(path: &Path) -> io::Result<fs::File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = fs::File::options();
    options.create(true).truncate(false).write(true);
    let file = glovebox_files::open_own(Path::new(&name), &mut options)?;
    file.lock()?;
    Ok(file)
}

/// The text of the file. The oldest consents go until it is no larger than what is read.
pub(super) fn fitted(all: &mut Vec<Consent>) -> io::Result<String> {
    let head = format!(
        "# Consents of Glovebox: delete a section to be asked again.\nversion = {VERSION}\n"
    );
    let (mut kept, mut length) = (Vec::new(), head.len());
    for consent in all.iter().rev().take(KEPT) {
        let section = section(consent)?;
        length += section.len();
        if length as u64 > MAX_LEN {
            if kept.is_empty() {
                let reason = format!(
                    "with this alone it has {length} bytes, and at most {MAX_LEN} are read; allow it \
                     while it runs, or in a policy"
                );
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
            }
            break;
        }
        kept.push(section);
    }
    let dropped = all.len() - kept.len();
    if dropped > 0 {
        tracing::warn!(dropped, kept = kept.len(), "the oldest consents made room");
        all.drain(..dropped);
    }
    kept.push(head);
    Ok(kept.into_iter().rev().collect())
}

/// A consent as it stands in the file.
fn section(consent: &Consent) -> io::Result<String> {
    let consent = WrittenConsent {
        plugin: consent.plugin.clone(),
        digest: consent.digest.clone(),
        permission: consent.permission,
        at: consent.at,
        within: consent.within.as_ref().map(Scope::to_value),
    };
    let text = toml::to_string(&Sections { consent: [consent] }).map_err(io::Error::other)?;
    Ok(format!("\n{text}"))
}

pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file is its user's alone.
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(text.as_bytes())?;
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|error| error.error)?;
    Ok(())
}
