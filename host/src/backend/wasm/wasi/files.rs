//! Folders and files of preview 2: the library's, with every path recorded and every wait bounded.

use std::collections::{BTreeMap, BTreeSet};

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor as Opened, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types as waiting;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types::ErrorCode};
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, Filesize, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::sync::io::streams::{Error, InputStream, OutputStream};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::growth::{Growth, Written, end_of};
use super::open::{self, How};
use super::{FILES, OpenFolder, Witness, below, move_of, path};
use crate::policy::Parameter;

/// The knowledge about the handles of a copy.
#[derive(Default)]
pub(super) struct Handles {
    /// Names of folders, as the plugin knows them.
    names: BTreeMap<u32, String>,
    /// Folders that stand in for those that are not granted.
    decoys: BTreeSet<u32>,
    /// Streams of files.
    pub(super) streams: BTreeSet<u32>,
    /// Those that write.
    pub(super) written: BTreeMap<u32, Written>,
}

/// The folders of a plugin.
pub(super) struct Files<'a> {
    pub(super) view: WasiFilesystemCtxView<'a>,
    pub(super) witness: &'a Witness,
    pub(super) handles: &'a mut Handles,
    /// True if the folders are no longer what is granted: then they cannot be used any more.
    pub(super) sealed: bool,
    pub(super) folders: &'a [OpenFolder],
}

/// Says that [`Files`] is taken from a store.
pub(super) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

impl Files<'_> {
    /// Handles opened before the folders changed cannot be used any more.
    fn open(&self, service: &'static str, fd: u32) -> FsResult<()> {
        if !self.sealed {
            return Ok(());
        }
        let full = self.handles.names.get(&fd).map_or("", String::as_str);
        self.witness.decided(service, FILES, &path(full, false), false);
        Err(ErrorCode::Access.into())
    }

    /// Refuses to let a file become larger than any may be.
    fn bounded(
        &self,
        service: &'static str,
        fd: &Resource<Descriptor>,
        growth: Growth,
    ) -> FsResult<()> {
        let end = self.written(fd, None).map_or(0, |written| end_of(&written.file));
        if !self.witness.refuses(growth, 0, end) {
            return Ok(());
        }
        let full = self.handles.names.get(&fd.rep()).map_or("", String::as_str);
        let refused = Err(ServiceError::LimitExceeded);
        self.witness.ended(service, FILES, &path(full, true), refused);
        Err(ErrorCode::FileTooLarge.into())
    }

    /// A file that is written through a stream; `None` if it is none.
    fn written(&self, fd: &Resource<Descriptor>, at: Option<u64>) -> Option<Written> {
        match self.view.table.get(fd).ok()? {
            Opened::File(file) => {
                let name = self.handles.names.get(&fd.rep()).cloned().unwrap_or_default();
                Some(Written { file: file.file.clone(), name, at })
            }
            Opened::Dir(_) => None,
        }
    }

    /// The path as the plugin knows it.
    fn full(&self, folder: &Resource<Descriptor>, name: &str) -> String {
        let known = self.handles.names.get(&folder.rep()).map_or("", String::as_str);
        below(known, name)
    }

    /// The same, if it may be used at all.
    fn named(
        &self,
        service: &'static str,
        folder: &Resource<Descriptor>,
        name: &str,
        write: bool,
    ) -> FsResult<String> {
        let full = self.full(folder, name);
        self.usable(service, &[folder], &path(&full, write))?;
        Ok(full)
    }

    fn usable(
        &self,
        service: &'static str,
        folders: &[&Resource<Descriptor>],
        parameter: &Parameter<'_>,
    ) -> FsResult<()> {
        let is_decoy = |folder: &&Resource<Descriptor>| self.handles.decoys.contains(&folder.rep());
        if self.sealed || folders.iter().any(is_decoy) {
            self.witness.decided(service, FILES, parameter, false);
            return Err(ErrorCode::Access.into());
        }
        Ok(())
    }

    fn ended<T>(&self, service: &'static str, parameter: &Parameter<'_>, result: &FsResult<T>) {
        let result = match result {
            Ok(_) => Ok(Value::Null),
            Err(error) => Err(service_error(error)),
        };
        self.witness.ended(service, FILES, parameter, result);
    }

    /// Gives what is at `before` the name `after`, unless it is a link: a link that is moved may lead
    /// elsewhere, and other programs follow it.
    fn give_name(
        &mut self,
        service: &'static str,
        before: (&Resource<Descriptor>, &str),
        after: (&Resource<Descriptor>, &str),
        work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>) -> FsResult<()>,
    ) -> FsResult<()> {
        let (from, to) = (self.full(before.0, before.1), self.full(after.0, after.1));
        let parameter = move_of(&from, &to);
        self.usable(service, &[before.0, after.0], &parameter)?;
        let folder = match self.view.table.get(before.0).map_err(FsError::trap)? {
            Opened::Dir(folder) => Some(folder.clone()),
            Opened::File(_) => None,
        };
        let name = before.1.to_owned();
        let view = &mut self.view;
        let work = async {
            match folder {
                Some(folder) if open::is_link(&folder, name).await => Err(open::no_links()),
                _ => work(view).await,
            }
        };
        let result = self.witness.wait(work).map_err(FsError::trap)?;
        self.ended(service, &parameter, &result);
        result
    }

    /// Takes in a use of which only the refusal matters.
    fn refused<T>(&self, service: &'static str, full: &str, write: bool, result: &FsResult<T>) {
        if let Err(error) = result
            && service_error(error) == ServiceError::Denied
        {
            self.ended(service, &path(full, write), result);
        }
    }
}

fn borrow(fd: &Resource<Descriptor>) -> Resource<Descriptor> {
    Resource::new_borrow(fd.rep())
}

fn service_error(error: &FsError) -> ServiceError {
    match error.downcast_ref() {
        Some(ErrorCode::Access | ErrorCode::NotPermitted | ErrorCode::ReadOnly) => {
            ServiceError::Denied
        }
        Some(ErrorCode::Invalid | ErrorCode::IllegalByteSequence | ErrorCode::NameTooLong) => {
            ServiceError::Invalid
        }
        _ => ServiceError::Unavailable,
    }
}

/// Hands functions on to the library, as long as the folders are what is granted.
macro_rules! hand_on {
    ($(fn $name:ident($service:literal, $fd:ident: $($argument:ident: $type:ty),*)
        -> $result:ty;)+) => {$(
        fn $name(&mut self, $($argument: $type),*) -> FsResult<$result> {
            self.open($service, $fd.rep())?;
            let work = waiting::HostDescriptor::$name(&mut self.view, $($argument.into()),*);
            Ok(self.witness.wait(work).map_err(FsError::trap)??.into())
        }
    )+};
}

/// The same for functions with a path. `shown` says which are events also if they are not refused.
macro_rules! hand_on_path {
    ($(fn $name:ident($service:literal, $write:expr, $shown:literal, $folder:ident, $path:ident:
        $($argument:ident: $type:ty),*) -> $result:ty;)+) => {$(
        fn $name(&mut self, $($argument: $type),*) -> FsResult<$result> {
            let full = self.named($service, &$folder, &$path, $write)?;
            let work = waiting::HostDescriptor::$name(&mut self.view, $($argument.into()),*);
            let result = self.witness.wait(work).map_err(FsError::trap)?;
            match $shown {
                true => self.ended($service, &path(&full, $write), &result),
                false => self.refused($service, &full, $write, &result),
            }
            Ok(result?.into())
        }
    )+};
}

impl types::HostDescriptor for Files<'_> {
    hand_on! {
        fn advise("wasi:filesystem advise", fd:
            fd: Resource<Descriptor>, offset: Filesize, length: Filesize, advice: Advice) -> ();
        fn sync_data("wasi:filesystem sync-data", fd:
            fd: Resource<Descriptor>) -> ();
        fn get_flags("wasi:filesystem get-flags", fd:
            fd: Resource<Descriptor>) -> DescriptorFlags;
        fn get_type("wasi:filesystem get-type", fd:
            fd: Resource<Descriptor>) -> DescriptorType;
        fn set_times("wasi:filesystem set-times", fd:
            fd: Resource<Descriptor>, accessed: NewTimestamp, modified: NewTimestamp) -> ();
        fn read("wasi:filesystem read", fd:
            fd: Resource<Descriptor>, length: Filesize, offset: Filesize) -> (Vec<u8>, bool);
        fn read_directory("wasi:filesystem read-directory", fd:
            fd: Resource<Descriptor>) -> Resource<DirectoryEntryStream>;
        fn sync("wasi:filesystem sync", fd:
            fd: Resource<Descriptor>) -> ();
        fn stat("wasi:filesystem stat", fd:
            fd: Resource<Descriptor>) -> DescriptorStat;
        fn metadata_hash("wasi:filesystem metadata-hash", fd:
            fd: Resource<Descriptor>) -> MetadataHashValue;
    }

    hand_on_path! {
        fn create_directory_at("wasi:filesystem create-directory-at", true, true, fd, name:
            fd: Resource<Descriptor>, name: String) -> ();
        fn remove_directory_at("wasi:filesystem remove-directory-at", true, true, fd, name:
            fd: Resource<Descriptor>, name: String) -> ();
        fn unlink_file_at("wasi:filesystem unlink-file-at", true, true, fd, name:
            fd: Resource<Descriptor>, name: String) -> ();
        fn set_times_at("wasi:filesystem set-times-at", true, true, fd, name:
            fd: Resource<Descriptor>, flags: PathFlags, name: String, accessed: NewTimestamp,
            modified: NewTimestamp) -> ();
        fn stat_at("wasi:filesystem stat-at", false, false, fd, name:
            fd: Resource<Descriptor>, flags: PathFlags, name: String) -> DescriptorStat;
        fn readlink_at("wasi:filesystem readlink-at", false, false, fd, name:
            fd: Resource<Descriptor>, name: String) -> String;
        fn metadata_hash_at("wasi:filesystem metadata-hash-at", false, false, fd, name:
            fd: Resource<Descriptor>, flags: PathFlags, name: String) -> MetadataHashValue;
    }

    fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        const SERVICE: &str = "wasi:filesystem set-size";
        self.open(SERVICE, fd.rep())?;
        self.bounded(SERVICE, &fd, Growth::Size(size))?;
        let work = waiting::HostDescriptor::set_size(&mut self.view, fd, size);
        self.witness.wait(work).map_err(FsError::trap)?
    }

    fn write(
        &mut self,
        fd: Resource<Descriptor>,
        buffer: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        const SERVICE: &str = "wasi:filesystem write";
        self.open(SERVICE, fd.rep())?;
        self.bounded(SERVICE, &fd, Growth::Write(Some(offset), buffer.len() as u64))?;
        let work = waiting::HostDescriptor::write(&mut self.view, fd, buffer, offset);
        self.witness.wait(work).map_err(FsError::trap)?
    }

    /// Refused whatever it leads to: what leads nowhere today may lead out of the folder tomorrow,
    /// and other programs of this machine would follow it.
    fn symlink_at(
        &mut self,
        fd: Resource<Descriptor>,
        _target: String,
        name: String,
    ) -> FsResult<()> {
        const SERVICE: &str = "wasi:filesystem symlink-at";
        let full = self.named(SERVICE, &fd, &name, true)?;
        self.witness.decided(SERVICE, FILES, &path(&full, true), false);
        Err(open::no_links())
    }

    fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        old: String,
        to: Resource<Descriptor>,
        name: String,
    ) -> FsResult<()> {
        let (from, target) = (borrow(&fd), borrow(&to));
        let (before, after) = ((&fd, &*old.clone()), (&to, &*name.clone()));
        self.give_name("wasi:filesystem link-at", before, after, async |view| {
            waiting::HostDescriptor::link_at(view, from, flags.into(), old, target, name).await
        })
    }

    fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        let (from, target) = (borrow(&fd), borrow(&to));
        let (before, after) = ((&fd, &*old.clone()), (&to, &*new.clone()));
        self.give_name("wasi:filesystem rename-at", before, after, async |view| {
            waiting::HostDescriptor::rename_at(view, from, old, target, new).await
        })
    }

    fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        name: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        const SERVICE: &str = "wasi:filesystem open-at";
        let how = How { path: path_flags, open: open_flags, flags };
        let full = self.named(SERVICE, &fd, &name, how.changes())?;
        let result = match self.view.table.get(&fd).map_err(FsError::trap)? {
            Opened::Dir(folder) => {
                self.witness.wait(open::open(folder, name, how)).map_err(FsError::trap)?
            }
            Opened::File(_) => Err(ErrorCode::NotDirectory.into()),
        };
        self.ended(SERVICE, &path(&full, how.changes()), &result);
        let opened = self.view.table.push(result?).map_err(FsError::trap)?;
        self.handles.names.insert(opened.rep(), full);
        Ok(opened)
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<InputStream>> {
        self.open("wasi:filesystem read-via-stream", fd.rep())?;
        let stream = waiting::HostDescriptor::read_via_stream(&mut self.view, fd, offset)?;
        self.handles.streams.insert(stream.rep());
        Ok(stream)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<OutputStream>> {
        self.open("wasi:filesystem write-via-stream", fd.rep())?;
        let written = self.written(&fd, Some(offset));
        let stream = waiting::HostDescriptor::write_via_stream(&mut self.view, fd, offset)?;
        self.handles.streams.insert(stream.rep());
        self.handles.written.extend(written.map(|written| (stream.rep(), written)));
        Ok(stream)
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<OutputStream>> {
        self.open("wasi:filesystem append-via-stream", fd.rep())?;
        let written = self.written(&fd, None);
        let stream = waiting::HostDescriptor::append_via_stream(&mut self.view, fd)?;
        self.handles.streams.insert(stream.rep());
        self.handles.written.extend(written.map(|written| (stream.rep(), written)));
        Ok(stream)
    }

    fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let work = waiting::HostDescriptor::is_same_object(&mut self.view, one, other);
        self.witness.wait(work)?
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.handles.names.remove(&fd.rep());
        self.handles.decoys.remove(&fd.rep());
        waiting::HostDescriptor::drop(&mut self.view, fd)
    }
}

impl types::HostDirectoryEntryStream for Files<'_> {
    fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.open("wasi:filesystem read-directory-entry", stream.rep())?;
        let work = waiting::HostDirectoryEntryStream::read_directory_entry(&mut self.view, stream);
        Ok(self.witness.wait(work).map_err(FsError::trap)??.map(Into::into))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        waiting::HostDirectoryEntryStream::drop(&mut self.view, stream)
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        types::Host::convert_error_code(&mut self.view, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.view, error)
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        if self.witness.lacks(FILES) {
            const SERVICE: &str = "wasi:filesystem get-directories";
            self.witness.decided(SERVICE, FILES, &Parameter::Nothing, false);
        }
        if self.sealed {
            return Ok(Vec::new());
        }
        let mut folders = Vec::new();
        for folder in self.folders {
            let handle = self.view.table.push(Opened::Dir(folder.dir.clone()))?;
            self.handles.names.insert(handle.rep(), folder.at.clone());
            if folder.is_decoy {
                self.handles.decoys.insert(handle.rep());
            }
            folders.push((handle, folder.at.clone()));
        }
        Ok(folders)
    }
}
