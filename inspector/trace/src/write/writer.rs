use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_events::{Event, Snapshot};
use glovebox_files::OutputProblem;

use super::encoder::{EncodeError, Encoder};
use crate::about::{ParentRecord, PluginRecord};
use crate::format::tally::Tally;
use crate::format::wire::GapCause;
use crate::storage::{Disk, Storage, StoredFile};
use crate::{TraceError, index};

/// Where a new trace goes: a path, where nothing may be yet, or [`Replacing`] one.
pub trait Destination {
    /// The name of the finished file.
    fn path(&self) -> &Path;

    /// True if a file that has the name gives way, and a `.partial` that a dead writer left.
    fn replaces(&self) -> bool {
        false
    }
}

impl<P: AsRef<Path>> Destination for P {
    fn path(&self) -> &Path {
        self.as_ref()
    }
}

/// The name of a trace that takes the place of the file that has it, once it is finished, if
/// `is_on`. Files that this process reads or writes otherwise stay, as for
/// [`spare_what_is_used`](glovebox_files::spare_what_is_used).
#[derive(Debug, Clone, Copy)]
pub struct Replacing<'a> {
    /// The name.
    pub path: &'a Path,
    /// Otherwise it overwrites nothing.
    pub is_on: bool,
}

impl Destination for Replacing<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn replaces(&self) -> bool {
        self.is_on
    }
}

/// Writes a trace file, on the caller's thread.
///
/// After an error everything that was given is still there, in memory or in the file, and the next
/// call tries again; so a full disk can be emptied. Takes less than 1 MiB of memory, unless a
/// single frame is larger.
#[derive(Debug)]
pub struct TraceWriter {
    name: Name,
    file: Arc<dyn StoredFile>,
    encoder: Encoder,
    /// Bytes of the file that hold what they should.
    bytes: u64,
    /// Somebody else removed or shortened the file.
    is_cut: bool,
    /// Events in the file.
    flushed: u64,
    /// Events in the file that survive a loss of power.
    synced: u64,
    /// The name of the file survives one too.
    is_named: bool,
    /// The summary waits in the encoder or is in the file.
    finished: bool,
    /// The file has its name.
    published: bool,
}

/// The names of a trace while it is written, and afterwards.
#[derive(Debug, Clone)]
struct Name {
    path: PathBuf,
    partial: PathBuf,
    replaces: bool,
    storage: Arc<dyn Storage>,
}

impl TraceWriter {
    /// Starts `<path>.partial`; nothing is overwritten, unless it is [`Replacing`].
    ///
    /// # Errors
    ///
    /// [`TraceError::Exists`] if `path` is there, [`TraceError::Unfinished`] if its `.partial` is,
    /// [`TraceError::Held`] if somebody writes that now, [`TraceError::InUse`] if this process uses
    /// what would be replaced.
    pub fn create(out: impl Destination, app_version: &str) -> Result<TraceWriter, TraceError> {
        Self::create_in(Arc::new(Disk), out, app_version)
    }

    pub(crate) fn create_in(
        storage: Arc<dyn Storage>,
        out: impl Destination,
        app_version: &str,
    ) -> Result<TraceWriter, TraceError> {
        let mut writer = Self::begin(storage, &out, app_version, 1)?;
        let Name { partial, storage, .. } = &writer.name;
        let named = storage
            .sync_folder(partial)
            .map_err(|source| TraceError::io("sync the folder of", source, partial));
        writer.is_named = named.is_ok();
        if let Err(error) = named.and_then(|()| writer.flush()) {
            // If it cannot be removed either, its name says `.partial`.
            let _ = writer.name.storage.remove(&writer.name.partial);
            return Err(error);
        }
        Ok(writer)
    }

    /// Makes the file, and writes nothing to it yet.
    pub(crate) fn begin(
        storage: Arc<dyn Storage>,
        out: &impl Destination,
        app_version: &str,
        segment: u32,
    ) -> Result<TraceWriter, TraceError> {
        let (path, replaces) = (out.path().to_owned(), out.replaces());
        let partial = partial_path(&path);
        if replaces {
            refuse_used(&path)?;
        } else if path.metadata().is_ok_and(|about| !about.is_file()) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is there and no file");
            return Err(TraceError::io("create", source, &path));
        } else if storage.exists(&path) {
            return Err(TraceError::Exists { path });
        }
        let mut made = storage.create(&partial);
        let is_left = |made: &io::Result<_>| {
            let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
            made.as_ref().is_err_and(exists) && !storage.is_held(&partial)
        };
        if replaces && is_left(&made) {
            refuse_used(&partial)?;
            made = storage.remove(&partial).and_then(|()| storage.create(&partial));
        }
        let file = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists if storage.is_held(&partial) => {
                TraceError::Held { path: partial.clone() }
            }
            io::ErrorKind::AlreadyExists => TraceError::Unfinished { path: partial.clone() },
            _ => TraceError::io("create", source, &partial),
        })?;
        let encoder = Encoder::new(app_version, segment).map_err(|error| error.at(&partial))?;
        Ok(TraceWriter {
            name: Name { path, partial, replaces, storage },
            file,
            encoder,
            bytes: 0,
            is_cut: false,
            flushed: 0,
            synced: 0,
            is_named: false,
            finished: false,
            published: false,
        })
    }

    /// Appends one event.
    ///
    /// # Errors
    ///
    /// The event was not taken; all that were taken before are kept.
    /// [`TraceError::Encode`] if this event does not fit into the format, while others do.
    pub fn write(&mut self, event: &Event) -> Result<(), TraceError> {
        self.give(|encoder| encoder.write(event))
    }

    /// Says that `lost` events were not recorded, and why.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_gap(&mut self, lost: u64, cause: GapCause) -> Result<(), TraceError> {
        self.give(|encoder| encoder.write_gap(lost, cause))
    }

    /// Says which plugin events of this id are about.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn describe_plugin(&mut self, plugin: &PluginRecord) -> Result<(), TraceError> {
        self.give(|encoder| encoder.describe_plugin(plugin))
    }

    /// Keeps what an instance held between two calls, so that a replay can start there.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), TraceError> {
        self.give(|encoder| encoder.write_snapshot(snapshot))
    }

    /// Adds a file that the format knows nothing of. Before the first event,
    /// [`attachments`](crate::attachments) finds it without reading on.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn attach(&mut self, name: &str, media_type: &str, data: &[u8]) -> Result<(), TraceError> {
        self.give(|encoder| encoder.attach(name, media_type, data))
    }

    /// Says which trace this one was made from.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn describe_parent(&mut self, parent: &ParentRecord) -> Result<(), TraceError> {
        self.give(|encoder| encoder.describe_parent(parent))
    }

    /// Hands everything to the operating system, so that it survives the death of this process.
    ///
    /// # Errors
    ///
    /// If not everything could be handed over; the next call goes on where this one stopped.
    pub fn flush(&mut self) -> Result<(), TraceError> {
        self.encoder.flush().map_err(|error| error.at(&self.name.partial))?;
        self.write_out()
    }

    /// Flushes and waits for the disk, so that it survives a loss of power.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); [`TraceError::NotSynced`] if the disk refused. Data written since
    /// the last time may be lost then, and a later success would not mean that it is not: go on in
    /// a new file. [`TraceError::Removed`] if somebody removed or shortened the file.
    pub fn sync(&mut self) -> Result<(), TraceError> {
        self.flush()?;
        self.sync_file()
    }

    /// Makes no index, so that benches can compare. Before the first event.
    #[doc(hidden)]
    pub fn leave_out_index(&mut self) {
        self.encoder.leave_out_index();
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Events written so far.
    pub fn events(&self) -> u64 {
        self.encoder.tally().events()
    }

    /// Events written so far, by kind.
    pub fn tally(&self) -> &Tally {
        self.encoder.tally()
    }

    /// Events that the operating system has, so that they survive the death of this process.
    pub fn flushed_events(&self) -> u64 {
        self.flushed
    }

    /// Events that are on the disk, so that they survive a loss of power.
    pub fn synced_events(&self) -> u64 {
        self.synced
    }

    /// The file as it is named now, with `.partial`.
    pub fn partial(&self) -> &Path {
        &self.name.partial
    }

    /// Writes the summary and gives the file its name, which is returned.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync); the `.partial` stays and can be read.
    pub fn finish(mut self) -> Result<PathBuf, TraceError> {
        self.try_finish()
    }

    /// As [`finish`](Self::finish), but if that fails, nothing is left: for a trace that is made of
    /// something that is still there.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub fn finish_or_discard(mut self) -> Result<PathBuf, TraceError> {
        let finished = self.try_finish();
        if finished.is_err() {
            // If it cannot be removed, its name says `.partial`.
            let _ = self.discard();
        }
        finished
    }

    /// Takes the file back: nothing in it is worth keeping, and no file of its name gives way.
    ///
    /// # Errors
    ///
    /// If it cannot be removed; its name says `.partial` then.
    pub fn discard(self) -> Result<(), TraceError> {
        let Name { partial, storage, .. } = &self.name;
        storage.remove(partial).map_err(|source| TraceError::io("remove", source, partial))
    }

    /// Writes the summary and waits for nothing; can be tried again. Nothing can be written after
    /// the first try.
    pub(crate) fn close(&mut self) -> Result<(), TraceError> {
        if !self.finished {
            self.write_out()?;
            self.encoder.finish().map_err(|error| error.at(&self.name.partial))?;
            self.finished = true;
        }
        self.write_out()
    }

    /// As [`finish`](Self::finish); can be tried again. Nothing can be written after the first try.
    pub(crate) fn try_finish(&mut self) -> Result<PathBuf, TraceError> {
        self.close()?;
        self.sync_file()?;
        let Name { path, partial, replaces, storage } = &self.name;
        if !self.published {
            let published = if *replaces {
                // Once more: it may have been opened meanwhile.
                refuse_used(path)?;
                storage.replace(partial, path)
            } else if storage.exists(path) {
                return Err(TraceError::Exists { path: path.clone() });
            } else {
                storage.publish(partial, path)
            };
            published.map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => TraceError::Exists { path: path.clone() },
                _ => TraceError::io("rename", source, partial),
            })?;
            self.published = true;
            glovebox_files::note_written(path);
        }
        let unsynced = |source| TraceError::io("sync the folder of", source, path);
        storage.sync_folder(path).map_err(unsynced)?;
        if self.encoder.is_indexed() {
            // Without it, the index in the file is compared with all of it once.
            let _ = index::file::vouch(path, self.bytes);
        }
        Ok(path.clone())
    }

    /// True if there is nothing that [`flush`](Self::flush) would have to do.
    pub(crate) fn is_flushed(&self) -> bool {
        self.encoder.is_flushed() && self.encoder.ready().is_empty()
    }

    /// True if there is nothing that [`sync`](Self::sync) would have to do.
    pub(crate) fn is_synced(&self) -> bool {
        self.is_flushed() && self.synced == self.events()
    }

    /// True from the first try to finish on.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finished
    }

    fn give(
        &mut self,
        encode: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
    ) -> Result<(), TraceError> {
        // Before the encoder makes more, so that memory stays bounded while the disk is full.
        self.write_out()?;
        encode(&mut self.encoder).map_err(|error| error.at(&self.name.partial))
    }

    /// Writes the chunks that are ready. A failed write is repeated at the same place.
    fn write_out(&mut self) -> Result<(), TraceError> {
        let ready = self.encoder.ready();
        if !ready.is_empty() {
            // The next bytes would hide the hole.
            self.is_cut |= self.file.is_whole(self.bytes).is_ok_and(|is_whole| !is_whole);
        }
        let mut done = 0;
        let mut result = Ok(());
        while done < ready.len() {
            match self.file.write_at(&ready[done..], self.bytes) {
                Ok(0) => {
                    result = Err(io::ErrorKind::WriteZero.into());
                    break;
                }
                Ok(written) => {
                    done += written;
                    self.bytes += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.encoder.take(done);
        result.map_err(|source| TraceError::io("write", source, &self.name.partial))?;
        self.flushed = self.encoder.flushed();
        Ok(())
    }

    fn sync_file(&mut self) -> Result<(), TraceError> {
        let synced = self.pending_sync().run()?;
        self.take_in(synced);
        Ok(())
    }

    /// The sync that makes all that was flushed until now survive a loss of power.
    pub(crate) fn pending_sync(&self) -> FileSync {
        FileSync {
            file: self.file.clone(),
            name: self.name.clone(),
            is_named: self.is_named,
            events: self.flushed,
            bytes: self.bytes,
            is_cut: self.is_cut,
        }
    }

    /// Notes what a [`FileSync`] of this file reached.
    pub(crate) fn take_in(&mut self, synced: Synced) {
        self.synced = self.synced.max(synced.events);
        self.is_named = true;
    }
}

/// A sync of a file that any thread can do.
#[derive(Debug)]
pub(crate) struct FileSync {
    file: Arc<dyn StoredFile>,
    name: Name,
    /// The folder needs no sync any more.
    is_named: bool,
    events: u64,
    bytes: u64,
    is_cut: bool,
}

/// So many events of a file survive a loss of power.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Synced {
    events: u64,
}

impl FileSync {
    /// Waits for the disk.
    pub(crate) fn run(self) -> Result<Synced, TraceError> {
        let FileSync { file, name, is_named, events, bytes, is_cut } = self;
        let Name { partial, storage, .. } = name;
        loop {
            match file.sync() {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TraceError::NotSynced { source, path: partial }),
            }
        }
        match file.is_whole(bytes) {
            Ok(true) if !is_cut => {}
            Ok(_) => return Err(TraceError::Removed { path: partial }),
            Err(source) => return Err(TraceError::io("find", source, &partial)),
        }
        if !is_named {
            storage
                .sync_folder(&partial)
                .map_err(|source| TraceError::io("sync the folder of", source, &partial))?;
        }
        Ok(Synced { events })
    }
}

/// Refuses to replace what this process uses otherwise.
fn refuse_used(path: &Path) -> Result<(), TraceError> {
    match glovebox_files::refuse(path, true, &[]) {
        Ok(()) => Ok(()),
        Err(OutputProblem::Io { source, .. }) => Err(TraceError::io("replace", source, path)),
        Err(_) => Err(TraceError::InUse { path: path.to_owned() }),
    }
}

/// The name of a trace until it is finished: its own with `.partial`, cut where that is longer than
/// systems take.
pub fn partial_path(path: &Path) -> PathBuf {
    const ENDING: &str = ".partial";
    /// Of a name, in bytes.
    const MAX_NAME: usize = 255;
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_encoded_bytes();
    if bytes.len() + ENDING.len() <= MAX_NAME {
        let mut whole = path.as_os_str().to_owned();
        whole.push(ENDING);
        return whole.into();
    }
    // Of two long names in a folder, the beginnings may be the same.
    let digest = blake3::hash(bytes).to_hex();
    let end = MAX_NAME - ENDING.len() - DIGITS - 1;
    let begin = String::from_utf8_lossy(&bytes[..end]);
    let begin = &begin[..begin.floor_char_boundary(end)];
    path.with_file_name(format!("{begin}-{}{ENDING}", &digest[..DIGITS]))
}

/// Digits of a digest in a name that was cut.
const DIGITS: usize = 8;
