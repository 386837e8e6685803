//! Connections of preview 2: the library's, which decides when one is made. Each is kept here with
//! its host and port, so that it ends when they are no longer granted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::sockets::tcp::{
    self, Duration, InputStream, IpAddressFamily, IpSocketAddress, Network, OutputStream, Pollable,
    ShutdownType,
};
use wasmtime_wasi::p2::{SocketResult, TcpSocket};

use super::Witness;
use super::network::{Sockets, still_admits};

/// The addresses for which streams were admitted, by handle: that of the other end, or the own one
/// of a connection that was accepted.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<u32, SocketAddr>);

impl Peers {
    /// False if the stream is a connection's that is no longer granted, which is a denial.
    pub(super) fn may_go_on(&self, service: &'static str, stream: u32, witness: &Witness) -> bool {
        let address = self.0.get(&stream);
        address.is_none_or(|address| still_admits(witness, service, *address))
    }

    pub(super) fn forget(&mut self, stream: u32) {
        self.0.remove(&stream);
    }

    fn remember(&mut self, (input, output): (u32, u32), address: SocketAddr) {
        self.0.insert(input, address);
        self.0.insert(output, address);
    }
}

/// Hands functions on to the library.
macro_rules! hand_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {$(
        fn $name(&mut self, $($argument: $type),*) -> $result {
            tcp::HostTcpSocket::$name(&mut self.view, $($argument),*)
        }
    )+};
}

type Socket = Resource<TcpSocket>;
type Streams = (Resource<InputStream>, Resource<OutputStream>);

impl tcp::Host for Sockets<'_> {}

impl tcp::HostTcpSocket for Sockets<'_> {
    hand_on! {
        fn start_bind(socket: Socket, network: Resource<Network>, local: IpSocketAddress)
            -> SocketResult<()>;
        fn finish_bind(socket: Socket) -> SocketResult<()>;
        fn start_connect(socket: Socket, network: Resource<Network>, remote: IpSocketAddress)
            -> SocketResult<()>;
        fn start_listen(socket: Socket) -> SocketResult<()>;
        fn finish_listen(socket: Socket) -> SocketResult<()>;
        fn local_address(socket: Socket) -> SocketResult<IpSocketAddress>;
        fn remote_address(socket: Socket) -> SocketResult<IpSocketAddress>;
        fn is_listening(socket: Socket) -> wasmtime::Result<bool>;
        fn address_family(socket: Socket) -> wasmtime::Result<IpAddressFamily>;
        fn set_listen_backlog_size(socket: Socket, size: u64) -> SocketResult<()>;
        fn keep_alive_enabled(socket: Socket) -> SocketResult<bool>;
        fn set_keep_alive_enabled(socket: Socket, enabled: bool) -> SocketResult<()>;
        fn keep_alive_idle_time(socket: Socket) -> SocketResult<Duration>;
        fn set_keep_alive_idle_time(socket: Socket, time: Duration) -> SocketResult<()>;
        fn keep_alive_interval(socket: Socket) -> SocketResult<Duration>;
        fn set_keep_alive_interval(socket: Socket, interval: Duration) -> SocketResult<()>;
        fn keep_alive_count(socket: Socket) -> SocketResult<u32>;
        fn set_keep_alive_count(socket: Socket, count: u32) -> SocketResult<()>;
        fn hop_limit(socket: Socket) -> SocketResult<u8>;
        fn set_hop_limit(socket: Socket, limit: u8) -> SocketResult<()>;
        fn receive_buffer_size(socket: Socket) -> SocketResult<u64>;
        fn set_receive_buffer_size(socket: Socket, size: u64) -> SocketResult<()>;
        fn send_buffer_size(socket: Socket) -> SocketResult<u64>;
        fn set_send_buffer_size(socket: Socket, size: u64) -> SocketResult<()>;
        fn subscribe(socket: Socket) -> wasmtime::Result<Resource<Pollable>>;
        fn shutdown(socket: Socket, what: ShutdownType) -> SocketResult<()>;
        fn drop(socket: Socket) -> wasmtime::Result<()>;
    }

    fn finish_connect(&mut self, socket: Socket) -> SocketResult<Streams> {
        let same = Resource::new_borrow(socket.rep());
        let (input, output) = tcp::HostTcpSocket::finish_connect(&mut self.view, socket)?;
        let address = tcp::HostTcpSocket::remote_address(&mut self.view, same)?;
        self.peers.remember((input.rep(), output.rep()), address.into());
        Ok((input, output))
    }

    fn accept(
        &mut self,
        socket: Socket,
    ) -> SocketResult<(Socket, Resource<InputStream>, Resource<OutputStream>)> {
        let same = Resource::new_borrow(socket.rep());
        let address = tcp::HostTcpSocket::local_address(&mut self.view, same)?.into();
        if !still_admits(self.witness, "wasi:sockets accept", address) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let (accepted, input, output) = tcp::HostTcpSocket::accept(&mut self.view, socket)?;
        self.peers.remember((input.rep(), output.rep()), address);
        Ok((accepted, input, output))
    }
}
