//! WASI preview 2, for components.

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_abi::{Permission, ServiceError};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::bindings::{self, cli, clocks, filesystem, random, sockets, sync};
use wasmtime_wasi::p2::{DynPollable, StreamError, StreamResult};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView, WasiSocketsView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io as waiting;

use super::files::{Files, Handles, HasFiles};
use super::growth::{Growth, Written, end_of, too_large};
use super::network::{HasSockets, Sockets};
use super::random::{HasRandom, Random};
use super::tcp::Peers;
use super::{FILES, OpenFolder, WasiGrants, Witness, environment_read, handles, path};
use crate::backend::wasm::output::Printed;
use crate::backend::wasm::ticker::Pulse;
use crate::policy::Parameter;
use crate::services::CopyServices;

/// The WASI of one copy.
pub(in super::super) struct Wasi {
    context: WasiCtx,
    /// How often what is granted had changed when this was made.
    made_at: u64,
    folders: Vec<OpenFolder>,
    /// Goes with the copy.
    _decoy: Option<tempfile::TempDir>,
    table: ResourceTable,
    witness: Witness,
    handles: Handles,
    lookups: BTreeMap<u32, String>,
    peers: Peers,
}

/// Data with a WASI of its own.
pub(in super::super) trait HasWasi: WasiView + 'static {
    fn wasi(&mut self) -> &mut Wasi;

    /// Counts a call of it.
    fn count_call(&mut self);

    /// The WASI that the plugin calls.
    fn called(&mut self) -> &mut Wasi {
        self.count_call();
        self.wasi()
    }
}

impl Wasi {
    /// # Errors
    ///
    /// In words, if a granted folder cannot be opened.
    pub(in super::super) fn new(
        context: &CopyServices,
        printed: &Printed,
        pulse: &Arc<Pulse>,
    ) -> Result<Wasi, String> {
        let witness = Witness::new(context, pulse);
        let WasiGrants { mut builder, made_at, folders, decoy } =
            WasiGrants::new(&witness, printed)?;
        Ok(Wasi {
            context: builder.build(),
            made_at,
            folders,
            _decoy: decoy,
            table: ResourceTable::new(),
            witness,
            handles: Handles::default(),
            lookups: BTreeMap::new(),
            peers: Peers::default(),
        })
    }

    /// A call begins.
    pub(in super::super) fn begin(&mut self, context: &CopyServices) {
        self.table.set_max_capacity(handles(context));
        self.witness.begin(context);
    }

    pub(in super::super) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }

    fn is_sealed(&self) -> bool {
        self.made_at != self.witness.renewals()
    }

    fn files(&mut self) -> Files<'_> {
        let sealed = self.is_sealed();
        let (ctx, table) = (self.context.filesystem(), &mut self.table);
        Files {
            view: WasiFilesystemCtxView { ctx, table },
            witness: &self.witness,
            handles: &mut self.handles,
            sealed,
            folders: &self.folders,
        }
    }

    fn sockets(&mut self) -> Sockets<'_> {
        let (ctx, table) = (self.context.sockets(), &mut self.table);
        Sockets {
            view: WasiSocketsCtxView { ctx, table },
            witness: &self.witness,
            lookups: &mut self.lookups,
            peers: &mut self.peers,
        }
    }

    fn io(&mut self) -> Io<'_> {
        let sealed = self.is_sealed();
        let Wasi { table, handles, peers, witness, .. } = self;
        Io { table, handles, peers, witness, sealed }
    }
}

/// Adds WASI to a linker of components.
pub(in super::super) fn add_to_linker<T: HasWasi>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let l = linker;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(l, clocks_of)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(l, clocks_of)?;
    random::random::add_to_linker::<T, HasRandom>(l, |data| Random(&data.called().witness))?;
    random::insecure::add_to_linker::<T, HasRandom>(l, |data| Random(&data.called().witness))?;
    random::insecure_seed::add_to_linker::<T, HasRandom>(l, |data| Random(&data.called().witness))?;
    cli::exit::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::environment::add_to_linker::<T, HasEnvironment>(l, |data| Environment(data.called()))?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, cli_of)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, cli_of)?;
    filesystem::preopens::add_to_linker::<T, HasFiles>(l, |data| data.called().files())?;
    sync::filesystem::types::add_to_linker::<T, HasFiles>(l, |data| data.called().files())?;
    let options = bindings::sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<T, WasiSockets>(l, &options, sockets_of)?;
    sockets::instance_network::add_to_linker::<T, WasiSockets>(l, sockets_of)?;
    sockets::ip_name_lookup::add_to_linker::<T, HasSockets>(l, |data| data.called().sockets())?;
    sockets::tcp_create_socket::add_to_linker::<T, HasSockets>(l, |data| data.called().sockets())?;
    sync::sockets::udp_create_socket::add_to_linker::<T, HasSockets>(l, |data| {
        data.called().sockets()
    })?;
    sync::sockets::tcp::add_to_linker::<T, HasSockets>(l, |data| data.called().sockets())?;
    sync::sockets::udp::add_to_linker::<T, WasiSockets>(l, sockets_of)?;
    waiting::error::add_to_linker::<T, HasTable>(l, |data| &mut data.called().table)?;
    sync::io::poll::add_to_linker::<T, HasIo>(l, |data| data.called().io())?;
    sync::io::streams::add_to_linker::<T, HasIo>(l, |data| data.called().io())
}

/// The library's views of what the plugin calls.
fn clocks_of<T: HasWasi>(data: &mut T) -> WasiClocksCtxView<'_> {
    data.count_call();
    T::clocks(data)
}

fn cli_of<T: HasWasi>(data: &mut T) -> WasiCliCtxView<'_> {
    data.count_call();
    T::cli(data)
}

fn sockets_of<T: HasWasi>(data: &mut T) -> WasiSocketsCtxView<'_> {
    data.count_call();
    T::sockets(data)
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// The variables of a plugin, which it gets all at once.
struct Environment<'a>(&'a mut Wasi);

struct HasEnvironment;

impl HasData for HasEnvironment {
    type Data<'a> = Environment<'a>;
}

impl cli::environment::Host for Environment<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let witness = &self.0.witness;
        let variables = witness.grants().environment.clone();
        environment_read(witness);
        Ok(variables)
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

/// Streams and waiting, which ends with the call.
struct Io<'a> {
    table: &'a mut ResourceTable,
    handles: &'a mut Handles,
    peers: &'a mut Peers,
    witness: &'a Witness,
    sealed: bool,
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = Io<'a>;
}

impl sync::io::poll::Host for Io<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.witness.wait(waiting::poll::Host::poll(self.table, pollables))?
    }
}

impl sync::io::poll::HostPollable for Io<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.witness.wait(waiting::poll::HostPollable::ready(self.table, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.witness.wait(waiting::poll::HostPollable::block(self.table, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        waiting::poll::HostPollable::drop(self.table, pollable)
    }
}

type In = Resource<sync::io::streams::InputStream>;
type Out = Resource<sync::io::streams::OutputStream>;

impl Io<'_> {
    /// A stream of a file or a connection that is no longer granted is closed.
    fn usable(&self, service: &'static str, stream: u32) -> StreamResult<()> {
        if self.sealed && self.handles.streams.contains(&stream) {
            let service = "wasi:filesystem stream";
            self.witness.decided(service, Permission::Files, &Parameter::Nothing, false);
            return Err(StreamError::Closed);
        }
        match self.peers.may_go_on(service, stream, self.witness) {
            true => Ok(()),
            false => Err(StreamError::Closed),
        }
    }

    fn readable(&self, stream: &In) -> StreamResult<()> {
        self.usable("wasi:sockets receive", stream.rep())
    }

    /// Refuses to let a file become larger than it may be by so many bytes more.
    fn grow(&self, stream: &Out, length: u64) -> StreamResult<()> {
        let Some(Written { file, name, at }) = self.handles.written.get(&stream.rep()) else {
            return Ok(());
        };
        let end = end_of(file);
        if !self.witness.refuses(Growth::Write(*at, length), end, end) {
            return Ok(());
        }
        let refused = Err(ServiceError::LimitExceeded);
        self.witness.ended("wasi:filesystem stream", FILES, &path(name, true), refused);
        Err(StreamError::LastOperationFailed(too_large().into()))
    }

    /// Notes that so many bytes were written.
    fn grown(&mut self, stream: &Out, length: u64) {
        let written = self.handles.written.get_mut(&stream.rep());
        if let Some(Written { at: Some(at), .. }) = written {
            *at += length;
        }
    }

    fn writable(&self, stream: &Out) -> StreamResult<()> {
        self.usable("wasi:sockets send", stream.rep())
    }

    fn wait<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut ResourceTable) -> StreamResult<T>,
    ) -> StreamResult<T> {
        self.witness.wait(work(self.table)).map_err(StreamError::Trap)?
    }
}

impl sync::io::streams::Host for Io<'_> {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<sync::io::streams::StreamError> {
        sync::io::streams::Host::convert_stream_error(self.table, error)
    }
}

impl sync::io::streams::HostInputStream for Io<'_> {
    fn read(&mut self, stream: In, length: u64) -> StreamResult<Vec<u8>> {
        self.readable(&stream)?;
        waiting::streams::HostInputStream::read(self.table, stream, length)
    }

    fn blocking_read(&mut self, stream: In, length: u64) -> StreamResult<Vec<u8>> {
        use waiting::streams::HostInputStream as Streams;
        self.readable(&stream)?;
        self.wait(async |table| Streams::blocking_read(table, stream, length).await)
    }

    fn skip(&mut self, stream: In, length: u64) -> StreamResult<u64> {
        self.readable(&stream)?;
        waiting::streams::HostInputStream::skip(self.table, stream, length)
    }

    fn blocking_skip(&mut self, stream: In, length: u64) -> StreamResult<u64> {
        use waiting::streams::HostInputStream as Streams;
        self.readable(&stream)?;
        self.wait(async |table| Streams::blocking_skip(table, stream, length).await)
    }

    fn subscribe(&mut self, stream: In) -> wasmtime::Result<Resource<DynPollable>> {
        waiting::streams::HostInputStream::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: In) -> wasmtime::Result<()> {
        self.handles.streams.remove(&stream.rep());
        self.peers.forget(stream.rep());
        self.witness.wait(waiting::streams::HostInputStream::drop(self.table, stream))?
    }
}

impl sync::io::streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, stream: Out) -> StreamResult<u64> {
        self.writable(&stream)?;
        waiting::streams::HostOutputStream::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Out, bytes: Vec<u8>) -> StreamResult<()> {
        self.writable(&stream)?;
        self.grow(&stream, bytes.len() as u64)?;
        self.grown(&stream, bytes.len() as u64);
        waiting::streams::HostOutputStream::write(self.table, stream, bytes)
    }

    fn write_zeroes(&mut self, stream: Out, length: u64) -> StreamResult<()> {
        self.writable(&stream)?;
        self.grow(&stream, length)?;
        self.grown(&stream, length);
        waiting::streams::HostOutputStream::write_zeroes(self.table, stream, length)
    }

    fn flush(&mut self, stream: Out) -> StreamResult<()> {
        self.writable(&stream)?;
        waiting::streams::HostOutputStream::flush(self.table, stream)
    }

    fn blocking_write_and_flush(&mut self, stream: Out, bytes: Vec<u8>) -> StreamResult<()> {
        use waiting::streams::HostOutputStream as Streams;
        self.writable(&stream)?;
        self.grow(&stream, bytes.len() as u64)?;
        self.grown(&stream, bytes.len() as u64);
        self.wait(async |table| Streams::blocking_write_and_flush(table, stream, bytes).await)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Out, length: u64) -> StreamResult<()> {
        use waiting::streams::HostOutputStream as Streams;
        self.writable(&stream)?;
        self.grow(&stream, length)?;
        self.grown(&stream, length);
        self.wait(async |table| {
            Streams::blocking_write_zeroes_and_flush(table, stream, length).await
        })
    }

    fn blocking_flush(&mut self, stream: Out) -> StreamResult<()> {
        use waiting::streams::HostOutputStream as Streams;
        self.writable(&stream)?;
        self.wait(async |table| Streams::blocking_flush(table, stream).await)
    }

    fn splice(&mut self, stream: Out, from: In, length: u64) -> StreamResult<u64> {
        self.writable(&stream)?;
        self.readable(&from)?;
        self.grow(&stream, length)?;
        let to = Out::new_borrow(stream.rep());
        let moved = waiting::streams::HostOutputStream::splice(self.table, stream, from, length)?;
        self.grown(&to, moved);
        Ok(moved)
    }

    fn blocking_splice(&mut self, stream: Out, from: In, length: u64) -> StreamResult<u64> {
        use waiting::streams::HostOutputStream as Streams;
        self.writable(&stream)?;
        self.readable(&from)?;
        self.grow(&stream, length)?;
        let to = Out::new_borrow(stream.rep());
        let moved =
            self.wait(async |table| Streams::blocking_splice(table, stream, from, length).await)?;
        self.grown(&to, moved);
        Ok(moved)
    }

    fn subscribe(&mut self, stream: Out) -> wasmtime::Result<Resource<DynPollable>> {
        waiting::streams::HostOutputStream::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Out) -> wasmtime::Result<()> {
        self.handles.streams.remove(&stream.rep());
        self.handles.written.remove(&stream.rep());
        self.peers.forget(stream.rep());
        self.witness.wait(waiting::streams::HostOutputStream::drop(self.table, stream))?
    }
}
