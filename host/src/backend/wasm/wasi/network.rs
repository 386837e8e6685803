use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use glovebox_abi::Permission;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp_create_socket};
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::{DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};

use super::Witness;
use super::descriptors::are_scarce;
use super::tcp::Peers;
use crate::policy::Parameter;

const NETWORK: Permission = Permission::Network;

/// Making sockets, looking names up, and connections.
pub(super) struct Sockets<'a> {
    pub(super) view: WasiSocketsCtxView<'a>,
    pub(super) witness: &'a Witness,
    /// The names that are being looked up, by handle.
    pub(super) lookups: &'a mut BTreeMap<u32, String>,
    pub(super) peers: &'a mut Peers,
}

/// Says that [`Sockets`] is taken from a store.
pub(super) struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = Sockets<'a>;
}

/// Decides about an address before anything is sent to it.
pub(super) fn admits(witness: &Witness, address: SocketAddr, purpose: SocketAddrUse) -> bool {
    let (ip, port) = (address.ip(), address.port());
    let names = witness.names_of(ip);
    let admitted = witness.grants().admits_peer(ip, port, &names);
    let service = match purpose {
        // The system chooses the port, which nobody can know to reach: part of connecting and of
        // sending, about which is decided right after this.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if ip.is_unspecified() && port == 0 => {
            return true;
        }
        // Decided about when the connection is given to the plugin.
        SocketAddrUse::TcpAccept => return true,
        SocketAddrUse::UdpReceive => return admitted,
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => "wasi:sockets bind",
        SocketAddrUse::TcpListen => "wasi:sockets listen",
        SocketAddrUse::TcpConnect => "wasi:sockets connect",
        SocketAddrUse::UdpSend => "wasi:sockets send",
    };
    witness.decided(service, NETWORK, &peer(&names, address), admitted)
}

/// Decides whether a connection that was admitted once may go on. Only that it may not is an event.
pub(super) fn still_admits(witness: &Witness, service: &'static str, address: SocketAddr) -> bool {
    let (ip, port) = (address.ip(), address.port());
    let names = witness.names_of(ip);
    if witness.grants().admits_peer(ip, port, &names) {
        return true;
    }
    witness.decided(service, NETWORK, &peer(&names, address), false)
}

fn peer(names: &[String], address: SocketAddr) -> Parameter<'static> {
    let host = names.first().cloned();
    let host = host.unwrap_or_else(|| address.ip().to_canonical().to_string());
    Parameter::Peer { host: host.into(), port: address.port() }
}

impl Sockets<'_> {
    /// Without the permission there is not even a socket; while wishes are recorded there is one,
    /// so that it can be seen what it is for.
    fn may_make(&self, service: &'static str) -> SocketResult<()> {
        let grants = self.witness.grants();
        let made = grants.has(NETWORK) || grants.recording;
        if made || self.witness.admit(service, NETWORK, &Parameter::Nothing) {
            return match are_scarce() {
                true => Err(ErrorCode::NewSocketLimit.into()),
                false => Ok(()),
            };
        }
        Err(ErrorCode::AccessDenied.into())
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.view, network)
    }
}

impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.view, error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.view, error)
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.may_make("wasi:sockets create-tcp-socket")?;
        tcp_create_socket::Host::create_tcp_socket(&mut self.view, family)
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.may_make("wasi:sockets create-udp-socket")?;
        udp_create_socket::Host::create_udp_socket(&mut self.view, family)
    }
}

impl ip_name_lookup::Host for Sockets<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ip_name_lookup::ResolveAddressStream>> {
        // An address stands for itself, and nothing is asked of anyone.
        let plain = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let parameter = Parameter::Lookup((&*name).into());
        if !plain && !self.witness.admit("wasi:sockets resolve-addresses", NETWORK, &parameter) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let found = ip_name_lookup::Host::resolve_addresses(&mut self.view, network, name.clone())?;
        if !plain {
            self.lookups.insert(found.rep(), name.trim_end_matches('.').to_ascii_lowercase());
        }
        Ok(found)
    }
}

impl ip_name_lookup::HostResolveAddressStream for Sockets<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let handle = stream.rep();
        if let Some(name) = self.lookups.get(&handle) {
            let parameter = Parameter::Lookup(name.into());
            if !self.witness.grants().admits(NETWORK, &parameter) {
                self.witness.decided("wasi:sockets resolve-addresses", NETWORK, &parameter, false);
                return Err(ErrorCode::AccessDenied.into());
            }
        }
        let next =
            ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.view, stream)?;
        if let (Some(address), Some(name)) = (&next, self.lookups.get(&handle)) {
            let address = match *address {
                IpAddress::Ipv4((a, b, c, d)) => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
                IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
                    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
                }
            };
            self.witness.found(name, address);
        }
        Ok(next)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.view, stream)
    }

    fn drop(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<()> {
        self.lookups.remove(&stream.rep());
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.view, stream)
    }
}
