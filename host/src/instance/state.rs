//! States of plugins on disk: written whole or not at all, the last few kept.
//!
//! Each copy of a plugin has a folder; each save is a file of its own, numbered upwards:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 8 | `GBXSTATE` |
//! | 8 | 4 | version of the file format, 1, little-endian |
//! | 12 | 4 | version of the plugin's state, little-endian |
//! | 16 | 32 | BLAKE3 digest of the state's version and of the state |
//! | 48 | … | the state |

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use glovebox_abi::State;
use glovebox_events::LoadStage;
use parking_lot::Mutex;

use crate::problem::{LoadProblem, StageError};

const MAGIC: &[u8; 8] = b"GBXSTATE";
const FORMAT: u32 = 1;
const PREFIX_LEN: usize = 48;
/// The largest state that is kept: 256 MiB, without what stands before it.
const MAX_STATE_LEN: u64 = 256 << 20;

/// The name of a state that is being written begins with this.
const UNFINISHED: &str = "unfinished-";
/// A save that takes longer was killed.
const STALE: Duration = Duration::from_secs(3600);

/// The folder with the states of all plugins of a host.
pub(crate) struct StateStore {
    folder: PathBuf,
    /// Plugins of which an instance keeps its states here.
    taken: Mutex<HashSet<Arc<str>>>,
}

/// Where one instance keeps its states. Until it is released or dropped, no other instance of the
/// plugin does.
pub(crate) struct StateKeeper {
    store: Arc<StateStore>,
    plugin: Arc<str>,
    is_released: AtomicBool,
}

impl StateStore {
    pub(crate) fn new(folder: PathBuf) -> io::Result<StateStore> {
        fs::create_dir_all(&folder)?;
        Ok(StateStore { folder, taken: Mutex::default() })
    }

    /// `None` if another instance of this plugin keeps its states here.
    pub(crate) fn keeper(self: &Arc<Self>, plugin: &Arc<str>) -> Option<StateKeeper> {
        let free = self.taken.lock().insert(plugin.clone());
        free.then(|| StateKeeper {
            store: self.clone(),
            plugin: plugin.clone(),
            is_released: AtomicBool::new(false),
        })
    }
}

impl StateKeeper {
    /// Lets another instance keep its states here. This one saves none any more.
    pub(crate) fn release(&self) {
        if !self.is_released.swap(true, Ordering::AcqRel) {
            self.store.taken.lock().remove(&self.plugin);
        }
    }

    /// Where the states of a copy are.
    pub(crate) fn folder(&self, copy: u32) -> PathBuf {
        // Ids are kebab-case, so they are safe names.
        self.store.folder.join(&*self.plugin).join(copy.to_string())
    }

    /// Saves a state and removes all but the last `keep`.
    pub(crate) fn save(&self, copy: u32, state: &State, keep: u32) -> io::Result<()> {
        let length = state.bytes.len() as u64;
        if length > MAX_STATE_LEN {
            // A state that cannot be read again must not push out those that can.
            let reason = format!(
                "{length} bytes are more than a kept state may have ({MAX_STATE_LEN}); keep less, or \
                 remove `persist` under [state]"
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        let folder = self.folder(copy);
        fs::create_dir_all(&folder)?;
        let saved = saved(&folder)?;
        let number = saved.last().map_or(1, |(number, _)| number + 1);
        remove_unfinished(&folder)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder)?;
        let mut prefix = Vec::with_capacity(PREFIX_LEN);
        prefix.extend(MAGIC);
        prefix.extend(FORMAT.to_le_bytes());
        prefix.extend(state.version.to_le_bytes());
        prefix.extend(digest(state.version, &state.bytes).as_bytes());
        file.write_all(&prefix)?;
        file.write_all(&state.bytes)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(format!("{number:012}.state"))).map_err(|error| error.error)?;
        sync_folder(&folder)?;
        let surplus = (saved.len() + 1).saturating_sub(keep as usize);
        for (_, path) in &saved[..surplus.min(saved.len())] {
            // The state is saved all the same; the next one tries again.
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(%error, path = %path.display(), "a surplus state is not removed");
            }
        }
        Ok(())
    }

    /// The last state that is whole, and the damage of later ones, which stay where they are.
    ///
    /// # Errors
    ///
    /// If the system does not give what is kept: it may be whole, and to go on without it would push it
    /// out.
    pub(crate) fn last(&self, copy: u32) -> Result<(Option<State>, Vec<String>), StageError> {
        let unread = |path: &Path, source| {
            let path = path.to_owned();
            LoadProblem::KeptStateUnread { source, path }.at(LoadStage::RestoreState)
        };
        let mut damage = Vec::new();
        let folder = self.folder(copy);
        let saved = match saved(&folder) {
            Ok(saved) => saved,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, damage)),
            Err(error) => return Err(unread(&folder, error)),
        };
        for (_, path) in saved.iter().rev() {
            match read(path).map_err(|error| unread(path, error))? {
                Ok(state) => return Ok((Some(state), damage)),
                Err(reason) => {
                    damage
                        .push(format!("a kept state is passed over: {reason}: {}", path.display()));
                }
            }
        }
        Ok((None, damage))
    }
}

impl Drop for StateKeeper {
    fn drop(&mut self) {
        self.release();
    }
}

/// Removes what saves left that were killed long ago.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let written = || entry.metadata()?.modified();
        if is_unfinished && written().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE)) {
            // If it cannot be removed it is tried again with the next save.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// All saved states with their numbers, oldest first.
fn saved(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut saved = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .extension()
            .filter(|ending| *ending == "state")
            .and_then(|_| path.file_stem()?.to_str()?.parse().ok());
        saved.extend(number.map(|number| (number, path)));
    }
    saved.sort();
    Ok(saved)
}

/// A kept state, or its damage.
fn read(path: &Path) -> io::Result<Result<State, String>> {
    use io::ErrorKind::{FileTooLarge, InvalidInput, IsADirectory, NotFound};
    match glovebox_files::read(path, MAX_STATE_LEN + PREFIX_LEN as u64) {
        Ok(file) => Ok(state_in(&file)),
        // No save leaves such a thing behind.
        Err(error)
            if matches!(error.kind(), FileTooLarge | InvalidInput | IsADirectory | NotFound) =>
        {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

fn state_in(file: &[u8]) -> Result<State, String> {
    let Some((prefix, bytes)) = file.split_first_chunk::<PREFIX_LEN>() else {
        return Err(format!("cut short: {PREFIX_LEN} bytes needed, {} found", file.len()));
    };
    if &prefix[..8] != MAGIC {
        return Err("not a kept state".to_owned());
    }
    let number = |at: usize| {
        u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]])
    };
    if number(8) != FORMAT {
        return Err(format!("format {}, expected {FORMAT}", number(8)));
    }
    if digest(number(12), bytes).as_bytes() != &prefix[16..] {
        return Err("its digest does not fit: damaged or cut".to_owned());
    }
    Ok(State { version: number(12), bytes: bytes.to_vec() })
}

fn digest(version: u32, bytes: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(&version.to_le_bytes()).update(bytes).finalize()
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Folders cannot be flushed on their own here; the rename is as durable as the system makes it.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(version: u32, text: &str) -> State {
        State { version, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn the_last_whole_state_counts() {
        fn check(damage: impl FnOnce(&Path), expected: Option<State>, problem: &str) {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(StateStore::new(folder.path().to_owned()).unwrap());
            let keeper = store.keeper(&"stats".into()).unwrap();
            for number in 1..=4 {
                keeper.save(0, &state(number, "counted"), 2).unwrap();
            }
            damage(&folder.path().join("stats/0"));
            let (last, problems) = keeper.last(0).unwrap();
            assert_eq!(last, expected);
            assert!(problems.join("; ").contains(problem), "{problems:?} lacks {problem:?}");
        }
        let newest = "000000000004.state";
        let change = move |folder: &Path, change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = fs::read(folder.join(newest)).unwrap();
            change(&mut bytes);
            fs::write(folder.join(newest), bytes).unwrap();
        };
        check(|_| {}, Some(state(4, "counted")), "");
        check(
            |folder| assert!(!folder.join("000000000002.state").exists()),
            Some(state(4, "counted")),
            "",
        );
        check(
            |folder| change(folder, &|bytes| bytes.truncate(20)),
            Some(state(3, "counted")),
            "cut short",
        );
        check(
            |folder| change(folder, &|bytes| bytes.truncate(50)),
            Some(state(3, "counted")),
            "digest",
        );
        check(
            |folder| change(folder, &|bytes| bytes[50] ^= 1),
            Some(state(3, "counted")),
            "digest",
        );
        check(
            |folder| change(folder, &|bytes| bytes[0] ^= 1),
            Some(state(3, "counted")),
            "not a kept",
        );
        check(
            |folder| change(folder, &|bytes| bytes[8] = 9),
            Some(state(3, "counted")),
            "format 9",
        );
        check(|folder| change(folder, &|bytes| bytes[12] = 9), Some(state(3, "counted")), "digest");
        check(|folder| fs::remove_dir_all(folder).unwrap(), None, "");
    }

    #[cfg(unix)]
    #[test]
    fn states_that_cannot_be_read_are_not_none() {
        fn check(spoil: impl FnOnce(&Path), place: &str) {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(StateStore::new(folder.path().to_owned()).unwrap());
            let keeper = store.keeper(&"stats".into()).unwrap();
            keeper.save(0, &state(1, "counted"), 2).unwrap();
            spoil(&keeper.folder(0));
            let error = keeper.last(0).unwrap_err();
            assert_eq!(error.stage, LoadStage::RestoreState, "{error}");
            let place = folder.path().join(place).display().to_string();
            assert!(error.to_string().ends_with(&place), "{error} does not end with {place}");
        }
        check(
            |folder| {
                fs::remove_dir_all(folder).unwrap();
                fs::write(folder, "a file in its place").unwrap();
            },
            "stats/0",
        );
        // The system refuses to follow it.
        let newer = "000000000002.state";
        check(
            |folder| std::os::unix::fs::symlink(newer, folder.join(newer)).unwrap(),
            &format!("stats/0/{newer}"),
        );
    }

    #[test]
    fn a_state_too_large_to_be_read_is_refused_and_pushes_none_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(StateStore::new(folder.path().to_owned()).unwrap());
        let keeper = store.keeper(&"stats".into()).unwrap();
        keeper.save(0, &state(1, "counted"), 1).unwrap();
        let bytes = vec![0; MAX_STATE_LEN as usize + 1];
        let error = keeper.save(0, &State { version: 2, bytes }, 1).unwrap_err();
        assert!(error.to_string().contains("268435457 bytes are more than"), "{error}");
        assert_eq!(keeper.last(0).unwrap(), (Some(state(1, "counted")), Vec::new()));
    }

    #[test]
    fn a_state_is_saved_even_if_an_older_one_cannot_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(StateStore::new(folder.path().to_owned()).unwrap());
        let keeper = store.keeper(&"stats".into()).unwrap();
        // Nothing removes a folder as if it were a file.
        fs::create_dir_all(keeper.folder(0).join("000000000001.state")).unwrap();
        keeper.save(0, &state(2, "counted"), 1).unwrap();
        assert_eq!(keeper.last(0).unwrap(), (Some(state(2, "counted")), Vec::new()));
    }

    #[test]
    fn what_killed_saves_left_goes_and_what_is_under_way_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(StateStore::new(folder.path().to_owned()).unwrap());
        let keeper = store.keeper(&"stats".into()).unwrap();
        keeper.save(0, &state(1, "counted"), 2).unwrap();
        let place = |name: &str| keeper.folder(0).join(name);
        let old = std::time::SystemTime::now() - 2 * STALE;
        for name in ["unfinished-old", "unfinished-new", "other"] {
            let file = fs::File::create(place(name)).unwrap();
            if name != "unfinished-new" {
                file.set_modified(old).unwrap();
            }
        }
        keeper.save(0, &state(2, "counted"), 2).unwrap();
        let is_there = |name| place(name).exists();
        assert!(!is_there("unfinished-old") && is_there("unfinished-new") && is_there("other"));
        assert_eq!(keeper.last(0).unwrap(), (Some(state(2, "counted")), Vec::new()));
    }

    #[test]
    fn one_instance_of_a_plugin_keeps_its_states() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(StateStore::new(folder.path().to_owned()).unwrap());
        let first = store.keeper(&"stats".into());
        assert!(first.is_some() && store.keeper(&"stats".into()).is_none());
        first.as_ref().unwrap().release();
        let second = store.keeper(&"stats".into());
        assert!(second.is_some());
        // A keeper that was released once does not release another one.
        drop(first);
        assert!(store.keeper(&"stats".into()).is_none());
        drop(second);
        assert!(store.keeper(&"stats".into()).is_some());
    }
}
