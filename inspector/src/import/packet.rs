//! One packet as a frame.

use std::net::IpAddr;

use bytes::Bytes;
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use glovebox_abi::{Frame, Header, HeaderBuilder, Kind};
use pcap_file::DataLink;

/// A packet as both capture formats have it.
pub(super) struct Packet<'a> {
    /// Nanoseconds since the Unix epoch, if the file says.
    pub(super) time: Option<i128>,
    /// Bytes on the wire.
    pub(super) length: u32,
    /// The number of the link type: <https://www.tcpdump.org/linktypes.html>.
    pub(super) link: u32,
    /// What was captured of it.
    pub(super) data: &'a [u8],
}

pub(super) fn frame(packet: &Packet<'_>) -> Frame {
    let link = DataLink::from(packet.link);
    let mut header = Header::build();
    if let Some(time) = packet.time {
        header = header.integer("time", time);
    }
    let mut payload = packet.data;
    if let Some(sliced) = slice(link, packet.data) {
        header = addresses(header, sliced.net.as_ref());
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                header = ports(header, "tcp", tcp.source_port(), tcp.destination_port());
                payload = tcp.payload();
            }
            Some(TransportSlice::Udp(udp)) => {
                header = ports(header, "udp", udp.source_port(), udp.destination_port());
                payload = udp.payload();
            }
            Some(TransportSlice::Icmpv4(_)) => header = header.text("protocol", "icmp"),
            Some(TransportSlice::Icmpv6(_)) => header = header.text("protocol", "icmpv6"),
            _ => header = header.text("protocol", network_protocol(sliced.net.as_ref())),
        }
    }
    let header = header
        .integer("length", packet.length)
        .integer("captured", packet.data.len() as i128)
        .text("link", format!("{link:?}").to_ascii_uppercase())
        .finish();
    Frame::new(Kind::DATA, header, Bytes::copy_from_slice(payload))
}

/// Takes a packet apart as far as it goes: captures are often cut off.
fn slice(link: DataLink, data: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link {
        DataLink::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => LaxSlicedPacket::from_ip(data).ok(),
        // The loopback of the BSDs: four bytes in front that say which IP, as the first byte of
        // the packet does too.
        DataLink::NULL | DataLink::LOOP => LaxSlicedPacket::from_ip(data.get(4..)?).ok(),
        // Linux "cooked": https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html and
        // LINKTYPE_LINUX_SLL2.html; the EtherType is at 14 and 0.
        DataLink::LINUX_SLL => from_ether_type(data, 14, 16),
        DataLink::LINUX_SLL2 => from_ether_type(data, 0, 20),
        _ => None,
    }
}

fn from_ether_type(data: &[u8], at: usize, end: usize) -> Option<LaxSlicedPacket<'_>> {
    let ether_type = u16::from_be_bytes(*data.get(at..)?.first_chunk()?);
    let rest = data.get(end..)?;
    Some(LaxSlicedPacket::from_ether_type(EtherType(ether_type), rest))
}

fn addresses(header: HeaderBuilder, net: Option<&LaxNetSlice<'_>>) -> HeaderBuilder {
    let (source, destination): (IpAddr, IpAddr) = match net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        _ => return header,
    };
    header.text("src", source.to_string()).text("dst", destination.to_string())
}

fn ports(header: HeaderBuilder, protocol: &str, source: u16, destination: u16) -> HeaderBuilder {
    header.integer("src-port", source).integer("dst-port", destination).text("protocol", protocol)
}

/// The name of what is neither TCP, UDP nor ICMP, or was cut off before that.
fn network_protocol(net: Option<&LaxNetSlice<'_>>) -> String {
    let number = match net {
        Some(LaxNetSlice::Ipv4(ip)) => ip.payload_ip_number(),
        Some(LaxNetSlice::Ipv6(ip)) => ip.payload().ip_number,
        Some(LaxNetSlice::Arp(_)) => return "arp".to_owned(),
        None => return "unknown".to_owned(),
    };
    match number.0 {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => format!("ip-{other}"),
    }
}
