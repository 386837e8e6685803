//! The seal that only this user can put on an index, so that one that came with a stranger's trace
//! is not believed: a digest with a secret key, which is made when it is needed first.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use glovebox_files::{open_own, private_folder};

/// Bytes of a seal and of the key.
pub(crate) const LEN: usize = blake3::KEY_LEN;

/// The seal of some bytes; `None` if this user has no place for a key.
pub(crate) fn of(bytes: &[u8]) -> Option<[u8; LEN]> {
    static KEY: OnceLock<Option<[u8; LEN]>> = OnceLock::new();
    let key = KEY.get_or_init(|| key_in(&folder()?).ok());
    Some(*blake3::keyed_hash(key.as_ref()?, bytes).as_bytes())
}

/// True if this is the seal of these bytes.
pub(crate) fn fits(seal: [u8; LEN], bytes: &[u8]) -> bool {
    // Compared in a time that says nothing of where they differ.
    of(bytes).is_some_and(|own| blake3::Hash::from(own) == blake3::Hash::from(seal))
}

#[cfg(not(test))]
fn folder() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "glovebox")?;
    Some(folders.data_local_dir().to_owned())
}

/// Tests leave nothing in the folders of the user.
#[cfg(test)]
fn folder() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().ok());
    folder.as_ref().map(|folder| folder.path().join("keys"))
}

/// The key in a folder; a new one if there is none.
fn key_in(folder: &Path) -> io::Result<[u8; LEN]> {
    let owner = private_folder(folder)?;
    let path = folder.join("index.key");
    let open = || open_own(&path, File::options().read(true));
    let opened = open();
    let is_torn = |file: &File| file.metadata().is_ok_and(|about| about.len() != LEN as u64);
    let mut file = match opened {
        // A loss of power may have left less than a key, which seals nothing.
        Ok(file) if !is_torn(&file) => file,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        torn => {
            let mut key = [0; LEN];
            getrandom::fill(&mut key).map_err(io::Error::other)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&key)?;
            file.as_file().sync_all()?;
            if torn.is_ok() {
                file.persist(&path)?;
                return Ok(key);
            }
            // Another process may have been faster; then its key counts.
            match file.persist_noclobber(&path) {
                Ok(_) => return Ok(key),
                Err(_) => open()?,
            }
        }
    };
    let about = file.metadata()?;
    if !about.is_file() || !owner.owns(&about) {
        return Err(io::Error::other("somebody else can write the key"));
    }
    let mut key = [0; LEN];
    file.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let key = key_in(&one).expect("it can be made");
        assert_eq!(key_in(&one).expect("it is there"), key);
        // Cut by a loss of power.
        std::fs::write(one.join("index.key"), &key[..7]).expect("it can be written");
        let new = key_in(&one).expect("it can be made anew");
        assert_eq!(key_in(&one).expect("it is there"), new);
        assert_ne!(new, key);
        assert_ne!(key_in(&other).expect("it can be made"), key);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = one.join("index.key");
            let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode();
            assert_eq!((mode(&one) & 0o777, mode(&path) & 0o777), (0o700, 0o600));
            let open = std::fs::Permissions::from_mode(0o666);
            std::fs::set_permissions(&path, open).expect("it is ours");
            key_in(&one).expect_err("anybody may have written it");
            // This waits for ever if a pipe is opened as a file.
            std::fs::remove_file(&path).expect("it is ours");
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.expect("there is mkfifo").success());
            let error = key_in(&one).expect_err("it is no key").to_string();
            assert_eq!(error, "it is a pipe, not a file");
        }
    }
}
