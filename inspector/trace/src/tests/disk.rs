//! A disk that fails, fills up and forgets.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::storage::{Storage, StoredFile};

/// Bytes that a disk writes together.
const SECTOR: usize = 512;

/// The fault of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NoSpace,
    Failure,
    Interrupted,
    ShortWrite,
}

impl Fault {
    pub(crate) const ALL: [Fault; 4] =
        [Fault::NoSpace, Fault::Failure, Fault::Interrupted, Fault::ShortWrite];
}

/// Disks in memory; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>, Arc<Condvar>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Locked after this state, never before it.
    files: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    /// Operations so far.
    operations: u64,
    /// The first operation that fails, how many do, and how.
    plan: Option<(u64, u64, Fault)>,
    /// Bytes that all files may have.
    pub(crate) quota: Option<u64>,
    /// The folder is gone.
    pub(crate) gone: bool,
    /// Syncs wait until this is over.
    holds_syncs: bool,
    /// Syncs that wait.
    held: usize,
}

#[derive(Debug, Default)]
struct Contents {
    written: Vec<u8>,
    /// The content of `written` at the last sync.
    synced: Vec<u8>,
    unlinked: bool,
}

#[derive(Debug)]
struct OpenFile {
    disk: FaultyDisk,
    contents: Arc<Mutex<Contents>>,
}

impl FaultyDisk {
    /// A disk on which `count` operations fail, from this one on; the first is 1.
    pub(crate) fn failing(from: u64, count: u64, fault: Fault) -> FaultyDisk {
        let disk = FaultyDisk::default();
        disk.state().plan = Some((from, count, fault));
        disk
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes syncs wait, or lets them go on.
    pub(crate) fn hold_syncs(&self, hold: bool) {
        self.state().holds_syncs = hold;
        self.1.notify_all();
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_held_sync(&self) {
        let mut state = self.state();
        while state.held == 0 {
            self.1.wait(&mut state);
        }
    }

    /// True if the plan was reached.
    pub(crate) fn tripped(&self) -> bool {
        let state = self.state();
        state.plan.is_some_and(|(from, ..)| state.operations >= from)
    }

    /// Removes all files and their folder, under those who write them.
    pub(crate) fn remove_all(&self) {
        let mut state = self.state();
        state.gone = true;
        for contents in std::mem::take(&mut state.files).into_values() {
            contents.lock().unlinked = true;
        }
    }

    /// Shortens all files under those who write them.
    pub(crate) fn shorten_all(&self) {
        for contents in self.state().files.values() {
            contents.lock().written.truncate(10);
        }
    }

    /// Names and bytes of all files.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let files = state.files.iter();
        files.map(|(path, contents)| (path.clone(), contents.lock().written.clone())).collect()
    }

    /// The files after the power failed: of unsynced data, each sector is there, or not, or holds
    /// anything.
    pub(crate) fn after_power_loss(&self, mut random: impl FnMut() -> u64) -> Vec<Vec<u8>> {
        let state = self.state();
        let mut left = Vec::new();
        for contents in state.files.values() {
            let contents = contents.lock();
            let (written, synced) = (&contents.written, &contents.synced);
            let grown = written.len() - synced.len();
            let size = synced.len() + (random() % (grown as u64 + 1)) as usize;
            let mut bytes = synced.clone();
            bytes.resize(size, 0);
            for start in (0..size).step_by(SECTOR) {
                let end = (start + SECTOR).min(size);
                if synced.get(start..end) == written.get(start..end) {
                    continue;
                }
                // Only what was written since the last sync can have changed.
                let from = start.max(synced.len());
                match random() % 3 {
                    0 => {}
                    1 => bytes[from..end].copy_from_slice(&written[from..end]),
                    _ => bytes[from..end].fill_with(|| random() as u8),
                }
            }
            left.push(bytes);
        }
        left
    }

    /// Counts an operation; gives the fault it suffers.
    fn operation(&self) -> io::Result<Option<Fault>> {
        let mut state = self.state();
        state.operations += 1;
        let fault = match state.plan {
            Some((from, count, fault))
                if (from..from.saturating_add(count)).contains(&state.operations) =>
            {
                fault
            }
            _ => return Ok(None),
        };
        match fault {
            Fault::NoSpace => Err(io::ErrorKind::StorageFull.into()),
            Fault::Failure => Err(io::Error::other("the disk failed")),
            Fault::Interrupted => Err(io::ErrorKind::Interrupted.into()),
            Fault::ShortWrite => Ok(Some(fault)),
        }
    }
}

impl Storage for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        self.operation()?;
        let mut state = self.state();
        if state.gone {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let contents = Arc::new(Mutex::new(Contents::default()));
        state.files.insert(path.to_owned(), contents.clone());
        Ok(Arc::new(OpenFile { disk: self.clone(), contents }))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.operation().map(drop)
    }

    fn exists(&self, path: &Path) -> bool {
        self.state().files.contains_key(path)
    }

    fn is_held(&self, _: &Path) -> bool {
        false
    }

    fn publish(&self, partial: &Path, path: &Path) -> io::Result<()> {
        self.operation()?;
        let mut state = self.state();
        let contents = state.files.remove(partial).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(path.to_owned(), contents);
        Ok(())
    }

    fn replace(&self, partial: &Path, path: &Path) -> io::Result<()> {
        self.publish(partial, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().files.remove(path);
        Ok(())
    }
}

impl StoredFile for OpenFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.disk.operation()?;
        let offset = offset as usize;
        let mut count = match fault {
            Some(_) => bytes.len().div_ceil(3),
            None => bytes.len(),
        };
        let state = self.disk.state();
        if let Some(quota) = state.quota {
            let others = state.files.values().filter(|file| !Arc::ptr_eq(file, &self.contents));
            let used: usize = others.map(|file| file.lock().written.len()).sum();
            let room = (quota as usize).saturating_sub(used + offset);
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            count = count.min(room);
        }
        let mut contents = self.contents.lock();
        drop(state);
        let end = (offset + count).max(contents.written.len());
        contents.written.resize(end, 0);
        contents.written[offset..offset + count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        while state.holds_syncs {
            state.held += 1;
            self.disk.1.notify_all();
            self.disk.1.wait(&mut state);
            state.held -= 1;
        }
        drop(state);
        self.disk.operation()?;
        let mut contents = self.contents.lock();
        contents.synced = contents.written.clone();
        Ok(())
    }

    fn is_whole(&self, bytes: u64) -> io::Result<bool> {
        let contents = self.contents.lock();
        Ok(!contents.unlinked && contents.written.len() as u64 >= bytes)
    }
}
