//! The layers of a packet, from its link to what TCP or UDP carry. etherparse reads Ethernet, IP and
//! what lies on it; what stands here are the links that it does not know, tunnels and fragments.
//!
//! Of a packet in a tunnel, the addresses are those within, and those around it stand beside them.
//! A fragment has the ports if it is the first one. A cut by the snap length costs no more than
//! the bytes behind it.

use std::net::IpAddr;

use etherparse::{
    EtherType, Ipv6FragmentHeaderSlice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice,
    TransportSlice, UdpHeader, UdpSlice,
};
use pcap_file::DataLink;

use super::wireless;

/// Layers that are taken off, tunnels in tunnels among them.
const MAX_LAYERS: usize = 16;
/// The port at which VXLAN is received: <https://www.rfc-editor.org/rfc/rfc7348>.
const VXLAN_PORT: u16 = 4789;

/// The facts about a packet.
#[derive(Debug, Default)]
pub(super) struct Layers<'a> {
    pub(super) addresses: Option<[IpAddr; 2]>,
    /// Those of the outermost packet, if it is a tunnel.
    pub(super) outer: Option<[IpAddr; 2]>,
    /// The outermost tunnel.
    pub(super) tunnel: Option<&'static str>,
    pub(super) ports: Option<[u16; 2]>,
    /// Empty if not even the network is known.
    pub(super) protocol: String,
    pub(super) fragment: Option<Fragment>,
    /// The payload of TCP or UDP, as far as it is there; `None` if it is neither.
    pub(super) payload: Option<&'a [u8]>,
    /// True if the length in a header of UDP is less than the header has itself.
    pub(super) has_wrong_length: bool,
    /// Why there are no addresses, or none within a tunnel, unless there are.
    pub(super) unknown: String,
    /// The tunnel that was entered last, until there are addresses within it.
    entered: Option<Entered<'a>>,
}

/// A part of an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    /// The number that all parts have.
    pub(super) id: u32,
    /// Where it begins, in bytes.
    pub(super) offset: u32,
}

/// A tunnel, and what is known of the packet around it.
#[derive(Debug)]
struct Entered<'a> {
    tunnel: &'static str,
    ports: Option<[u16; 2]>,
    payload: Option<&'a [u8]>,
    protocol: String,
}

/// The version of IP that the layer around it says.
type Version = Option<u8>;

/// The layer to be taken apart next.
enum Next<'a> {
    Ethernet(&'a [u8]),
    Ether(u16, &'a [u8]),
    Ip(Version, &'a [u8]),
    Ppp(&'a [u8]),
    /// With the header of IEEE 802.2.
    Llc(&'a [u8]),
    Nothing,
}

impl<'a> Layers<'a> {
    pub(super) fn of(link: DataLink, data: &'a [u8]) -> Layers<'a> {
        let mut layers = Layers::default();
        let mut next = layers.first(link, data);
        layers.follow(&mut next);
        // Nothing is known of what is within: it is a packet like others.
        if let Some(Entered { ports, payload, protocol, tunnel }) = layers.entered.take() {
            (layers.ports, layers.payload, layers.protocol) = (ports, payload, protocol);
            if layers.unknown.is_empty() {
                layers.unknown = format!("what {tunnel} carries is not taken apart");
            }
        }
        layers
    }

    fn follow(&mut self, next: &mut Next<'a>) {
        for _ in 0..MAX_LAYERS {
            *next = match std::mem::replace(next, Next::Nothing) {
                Next::Ethernet(data) => match LaxSlicedPacket::from_ethernet(data) {
                    Ok(sliced) => self.take_ether(&sliced),
                    Err(_) => self.stop("it is cut off in its Ethernet header".to_owned()),
                },
                Next::Ether(number, data) => {
                    self.take_ether(&LaxSlicedPacket::from_ether_type(EtherType(number), data))
                }
                Next::Ip(version, data) => match LaxSlicedPacket::from_ip(data) {
                    Ok(sliced) => self.take(&sliced, version),
                    Err(_) => self.stop("its IP header is damaged or cut off".to_owned()),
                },
                Next::Ppp(data) => self.ppp(data),
                Next::Llc(data) => self.llc(data),
                Next::Nothing => return,
            };
        }
        self.stop(format!("it has more than {MAX_LAYERS} layers"));
    }

    fn first(&mut self, link: DataLink, data: &'a [u8]) -> Next<'a> {
        let next = match link {
            DataLink::ETHERNET => Some(Next::Ethernet(data)),
            DataLink::RAW => Some(Next::Ip(None, data)),
            DataLink::IPV4 => Some(Next::Ip(Some(4), data)),
            DataLink::IPV6 => Some(Next::Ip(Some(6), data)),
            // Systems used these as the number of raw IP before it had one.
            DataLink::Unknown(12 | 14) => Some(Next::Ip(None, data)),
            DataLink::NULL | DataLink::LOOP => match data {
                [a, b, c, d, rest @ ..] => Some(self.loopback([*a, *b, *c, *d], rest)),
                _ => None,
            },
            // Linux "cooked": https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html and
            // LINKTYPE_LINUX_SLL2.html; the EtherType is at 14 and 0.
            DataLink::LINUX_SLL => ether(data, 14, 16),
            DataLink::LINUX_SLL2 => ether(data, 0, 20),
            DataLink::PPP | DataLink::PPP_HDLC => Some(Next::Ppp(data)),
            // A byte in front says whether it was sent or received.
            DataLink::PPP_PPPD | DataLink::PPP_WITH_DIR => data.get(1..).map(Next::Ppp),
            DataLink::PPP_ETHER => pppoe(data).map(Next::Ppp),
            DataLink::IEEE802_11 => return self.wireless(wireless::data(data)),
            DataLink::IEEE802_11_RADIOTAP => return self.wireless(wireless::behind_radiotap(data)),
            other => return self.stop(format!("packets of link {other:?} are not taken apart")),
        };
        next.unwrap_or_else(|| self.stop("it is cut off in its link header".to_owned()))
    }

    /// The loopback of the BSDs: a number of a family in front, in the order of the machine or of the
    /// network (<https://www.tcpdump.org/linktypes.html>).
    fn loopback(&mut self, family: [u8; 4], data: &'a [u8]) -> Next<'a> {
        match u32::from_le_bytes(family).min(u32::from_be_bytes(family)) {
            2 => Next::Ip(Some(4), data),
            10 | 24 | 28 | 30 => Next::Ip(Some(6), data),
            other => self.stop(format!("family {other} of a loopback is not taken apart")),
        }
    }

    fn wireless(&mut self, found: Result<&'a [u8], &'static str>) -> Next<'a> {
        match found {
            Ok(data) => Next::Llc(data),
            Err(why) => self.stop(why.to_owned()),
        }
    }

    /// Ends with what is known. Without addresses, or without those within a tunnel, this is why.
    fn stop(&mut self, why: String) -> Next<'a> {
        if self.addresses.is_none() || self.entered.is_some() {
            self.unknown = why;
        }
        Next::Nothing
    }

    /// The same behind an EtherType, which says the version of IP.
    fn take_ether(&mut self, sliced: &LaxSlicedPacket<'a>) -> Next<'a> {
        let version = match sliced.ether_payload().map(|carried| carried.ether_type.0) {
            Some(0x0800) => Some(4),
            Some(0x86DD) => Some(6),
            _ => None,
        };
        self.take(sliced, version)
    }

    /// Takes in what etherparse found, and looks into what it did not.
    fn take(&mut self, sliced: &LaxSlicedPacket<'a>, version: Version) -> Next<'a> {
        // etherparse goes by the first byte of the packet alone.
        let found = match &sliced.net {
            Some(LaxNetSlice::Ipv4(_)) => Some(4),
            Some(LaxNetSlice::Ipv6(_)) => Some(6),
            _ => None,
        };
        if let (Some(said), Some(found)) = (version, found)
            && said != found
        {
            return self
                .stop(format!("its IP header says version {found} where it must be {said}"));
        }
        let addresses: [IpAddr; 2] = match &sliced.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                let header = ip.header();
                let (total, least) = (usize::from(header.total_len()), header.slice().len());
                // 0 is what a system writes that leaves the length to its network card.
                if total != 0 && total < least {
                    return self.stop(format!(
                        "its IP header says {total} bytes for the packet and has {least} itself"
                    ));
                }
                [header.source_addr().into(), header.destination_addr().into()]
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                let header = ip.header();
                [header.source_addr().into(), header.destination_addr().into()]
            }
            Some(LaxNetSlice::Arp(_)) => {
                let next = self.stop("ARP has no IP addresses".to_owned());
                self.inside();
                self.protocol = "arp".to_owned();
                return next;
            }
            None => return self.behind_ether(sliced),
        };
        if let Some(outer) = self.addresses.replace(addresses) {
            self.outer.get_or_insert(outer);
        }
        self.inside();
        self.fragment = sliced.net.as_ref().and_then(fragment);
        let Some(carried) = sliced.ip_payload() else { return Next::Nothing };
        self.protocol = protocol(carried.ip_number.0);
        let is_first = self.fragment.is_none_or(|fragment| fragment.offset == 0);
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => self.take_tcp(tcp),
            Some(TransportSlice::Udp(udp)) => {
                self.take_udp(udp);
                return self.within_udp(udp);
            }
            Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => {}
            _ if !is_first => {}
            _ => return self.behind_ip(carried.ip_number.0, carried.payload),
        }
        Next::Nothing
    }

    fn take_tcp(&mut self, tcp: &TcpSlice<'a>) {
        self.ports = Some([tcp.source_port(), tcp.destination_port()]);
        self.payload = Some(tcp.payload());
    }

    /// Takes the ports and the payload, which is all that there is if the header says no length that can be.
    fn take_udp(&mut self, udp: &UdpSlice<'a>) {
        self.ports = Some([udp.source_port(), udp.destination_port()]);
        self.payload = Some(udp.payload());
        // 0 is that of a packet that is too long for the field.
        self.has_wrong_length |= (1..UdpHeader::LEN).contains(&usize::from(udp.length()));
    }

    fn within_udp(&mut self, udp: &UdpSlice<'a>) -> Next<'a> {
        match udp.payload() {
            // A flag says that it has a number of a network, as it must.
            [flags, _, _, _, _, _, _, _, inner @ ..]
                if udp.destination_port() == VXLAN_PORT && flags & 0x08 != 0 =>
            {
                self.enter("vxlan", Next::Ethernet(inner))
            }
            _ => Next::Nothing,
        }
    }

    /// Goes into a tunnel.
    fn enter(&mut self, tunnel: &'static str, next: Next<'a>) -> Next<'a> {
        // A packet within is what it is about, and has ports and a payload of its own.
        let (ports, payload) = (self.ports.take(), self.payload.take());
        let protocol = self.protocol.clone();
        // Of tunnels without a packet between them, what is around the first one counts.
        self.entered.get_or_insert(Entered { tunnel, ports, payload, protocol });
        next
    }

    /// Is in the tunnel that was entered, if one was.
    fn inside(&mut self) {
        if let Some(Entered { tunnel, .. }) = self.entered.take() {
            self.tunnel.get_or_insert(tunnel);
        }
    }

    /// The content of IP that etherparse did not read: a tunnel, the first fragment, or a header
    /// that is cut off.
    fn behind_ip(&mut self, number: u8, data: &'a [u8]) -> Next<'a> {
        match number {
            4 | 41 | 47 if self.fragment.is_some() => {
                self.unknown = "a tunnel in fragments is not taken apart".to_owned();
            }
            4 => return self.enter("ip-in-ip", Next::Ip(Some(4), data)),
            41 => return self.enter("ipv6-in-ip", Next::Ip(Some(6), data)),
            47 => {
                let inner = gre(data);
                let next = self.enter("gre", Next::Nothing);
                return match inner {
                    Ok(inner) => inner,
                    Err(why) => {
                        self.stop(why);
                        next
                    }
                };
            }
            6 => match TcpSlice::from_slice(data) {
                Ok(tcp) => self.take_tcp(&tcp),
                Err(_) => self.take_ports(data),
            },
            17 => match UdpSlice::from_slice_lax(data) {
                Ok(udp) => self.take_udp(&udp),
                Err(_) => self.take_ports(data),
            },
            _ => {}
        }
        Next::Nothing
    }

    /// The ports stand first; of what comes behind the header nothing is there.
    fn take_ports(&mut self, data: &'a [u8]) {
        if let [a, b, c, d, ..] = *data {
            self.ports = Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            self.payload = Some(&[]);
        }
    }

    /// The content of Ethernet that is neither IP nor ARP.
    fn behind_ether(&mut self, sliced: &LaxSlicedPacket<'a>) -> Next<'a> {
        let Some(carried) = sliced.ether_payload() else {
            let is_macsec = |one: &LaxLinkExtSlice<'_>| matches!(one, LaxLinkExtSlice::Macsec(_));
            return self.stop(match sliced.link_exts.last().is_some_and(is_macsec) {
                // It is encrypted.
                true => "EtherType 0x88E5 is not taken apart".to_owned(),
                false => "it is cut off in its Ethernet header".to_owned(),
            });
        };
        match carried.ether_type.0 {
            0x0800 | 0x86DD => self.stop("its IP header is damaged or cut off".to_owned()),
            0x0806 => self.stop("its ARP header is cut off".to_owned()),
            // A number too small for a type is a length, and an 802.2 header follows.
            length @ ..=1500 => {
                let end = usize::from(length).min(carried.payload.len());
                Next::Llc(&carried.payload[..end])
            }
            0x8847 | 0x8848 => self.mpls(carried.payload),
            0x8864 => match pppoe(carried.payload) {
                Some(inner) => Next::Ppp(inner),
                None => self.stop("it is cut off in its PPPoE header".to_owned()),
            },
            number => self.stop(format!("EtherType {number:#06X} is not taken apart")),
        }
    }

    /// <https://www.rfc-editor.org/rfc/rfc1661>, with or without the address and control of
    /// <https://www.rfc-editor.org/rfc/rfc1662>.
    fn ppp(&mut self, data: &'a [u8]) -> Next<'a> {
        let data = data.strip_prefix(&[0xFF, 0x03]).unwrap_or(data);
        let (number, rest) = match data {
            // A number of one byte is odd.
            [low, rest @ ..] if low & 1 == 1 => (u16::from(*low), rest),
            [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
            _ => return self.stop("it is cut off in its PPP header".to_owned()),
        };
        match number {
            0x0021 => Next::Ip(Some(4), rest),
            0x0057 => Next::Ip(Some(6), rest),
            0x0281 | 0x0283 => self.mpls(rest),
            number => self.stop(format!("PPP protocol {number:#06X} is not taken apart")),
        }
    }

    /// The packet behind the last label: <https://www.rfc-editor.org/rfc/rfc3032>.
    fn mpls(&mut self, mut data: &'a [u8]) -> Next<'a> {
        while let [_, _, last, _, rest @ ..] = data {
            if last & 1 == 1 {
                return Next::Ip(None, rest);
            }
            data = rest;
        }
        self.stop("it is cut off in its MPLS labels".to_owned())
    }

    /// IEEE 802.2, of which only what says an EtherType is taken apart.
    fn llc(&mut self, data: &'a [u8]) -> Next<'a> {
        match data {
            [0xAA, 0xAA, 0x03, 0, 0, 0, high, low, rest @ ..] => {
                Next::Ether(u16::from_be_bytes([*high, *low]), rest)
            }
            [first, second, _, ..] => {
                self.stop(format!("802.2 of {first:#04X} and {second:#04X} is not taken apart"))
            }
            _ => self.stop("it is cut off in its 802.2 header".to_owned()),
        }
    }
}

fn ether(data: &[u8], at: usize, end: usize) -> Option<Next<'_>> {
    let number = u16::from_be_bytes(*data.get(at..)?.first_chunk()?);
    Some(Next::Ether(number, data.get(end..)?))
}

/// <https://www.rfc-editor.org/rfc/rfc2784> and <https://www.rfc-editor.org/rfc/rfc2890>, and with
/// version 1, of PPTP, <https://www.rfc-editor.org/rfc/rfc2637>. Why it is not taken apart, otherwise.
fn gre(data: &[u8]) -> Result<Next<'_>, String> {
    let cut_off = || "it is cut off in its GRE header".to_owned();
    let [flags, more, high, low, ..] = *data else { return Err(cut_off()) };
    let number = u16::from_be_bytes([high, low]);
    let has_number = flags & 0x10 != 0;
    // Four bytes each: checksum, key, sequence, and acknowledgment, which version 1 has.
    let options = match more & 0x07 {
        0 if flags & 0x40 != 0 => return Err("GRE with routes is not taken apart".to_owned()),
        0 => [0x80, 0x20, 0x10].into_iter().filter(|flag| flags & flag != 0).count(),
        1 => 1 + usize::from(has_number) + usize::from(more & 0x80 != 0),
        version => return Err(format!("GRE of version {version} is not taken apart")),
    };
    let inner = data.get(4 + 4 * options..).ok_or_else(cut_off)?;
    let mirrored = |header: usize| inner.get(header..).map(Next::Ethernet).ok_or_else(cut_off);
    match number {
        // Ethernet through a bridge, as NVGRE has it too.
        0x6558 => Ok(Next::Ethernet(inner)),
        0x880B => Ok(Next::Ppp(inner)),
        // Mirrored packets: https://datatracker.ietf.org/doc/html/draft-foschiano-erspan-03. The first
        // form has no header of its own and no sequence, the third may have a longer one.
        0x88BE if !has_number => mirrored(0),
        0x88BE => mirrored(8),
        0x22EB => {
            let is_longer = inner.get(11).is_some_and(|last| last & 1 != 0);
            mirrored(if is_longer { 20 } else { 12 })
        }
        number => Ok(Next::Ether(number, inner)),
    }
}

/// The content of a session of <https://www.rfc-editor.org/rfc/rfc2516>, without what fills up the packet
/// behind it.
fn pppoe(data: &[u8]) -> Option<&[u8]> {
    let [_, _, _, _, high, low, rest @ ..] = data else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    Some(&rest[..length.min(rest.len())])
}

fn fragment(net: &LaxNetSlice<'_>) -> Option<Fragment> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let offset = u32::from(header.fragments_offset().value()) * 8;
            let id = header.identification().into();
            header.is_fragmenting_payload().then_some(Fragment { id, offset })
        }
        LaxNetSlice::Ipv6(ip) => {
            fragment_of_ipv6(ip.header().next_header().0, ip.extensions().slice())
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// The fragment by the extensions of IPv6. They are walked through here, because the iterator of
/// etherparse must not be used on extensions that are cut off.
fn fragment_of_ipv6(mut number: u8, mut extensions: &[u8]) -> Option<Fragment> {
    loop {
        let [next, length, ..] = *extensions else { return None };
        let length = match number {
            // Options, routes and what is for the end.
            0 | 43 | 60 => (usize::from(length) + 1) * 8,
            44 => {
                let header = Ipv6FragmentHeaderSlice::from_slice(extensions).ok()?;
                let offset = u32::from(header.fragment_offset().value()) * 8;
                let id = header.identification();
                return header.is_fragmenting_payload().then_some(Fragment { id, offset });
            }
            // Authentication.
            51 => (usize::from(length) + 2) * 4,
            _ => return None,
        };
        (number, extensions) = (next, extensions.get(length..)?);
    }
}

/// The name of what IP carries.
fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        other => format!("ip-{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IPv6 with all extensions that are known, and UDP in a fragment.
    fn extended() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 68, 0, 64];
        packet.extend([1; 16].iter().chain(&[2; 16]));
        packet.extend([43, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([60, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend([51, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([44, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]);
        packet.extend([17, 0, 0, 1, 0, 0, 0, 9]);
        packet.extend([0x0F, 0xA0, 0, 53, 0, 12, 0, 0, b'h', b'i', b'h', b'o']);
        packet
    }

    #[test]
    fn fragments_of_ipv6_are_found_behind_extensions() {
        let packet = extended();
        let layers = Layers::of(DataLink::RAW, &packet);
        assert_eq!(layers.fragment, Some(Fragment { id: 9, offset: 0 }));
        assert_eq!((layers.ports, layers.payload), (Some([4000, 53]), Some(&b"hiho"[..])));
    }

    #[test]
    fn addresses_are_those_of_a_version_that_is_said() {
        /// The protocol, the tunnel and the beginning of the reason why there are no addresses.
        #[track_caller]
        fn check(link: DataLink, packet: &[u8], expected: (&str, Option<&str>, &str)) {
            let layers = Layers::of(link, packet);
            let (protocol, tunnel, unknown) = expected;
            assert!(layers.unknown.starts_with(unknown), "{layers:?}");
            assert_eq!(layers.unknown.is_empty(), unknown.is_empty(), "{layers:?}");
            assert_eq!((layers.protocol.as_str(), layers.tunnel), (protocol, tunnel), "{layers:?}");
            assert_eq!(layers.outer.is_some(), tunnel.is_some() && protocol != "arp", "{layers:?}");
        }
        let udp = [0x0F, 0xA0, 0, 53, 0, 10, 0, 0, b'h', b'i'];
        let ipv4 = |number: u8, total: u16, inner: &[u8]| {
            let [high, low] = total.to_be_bytes();
            let front = [0x45, 0, high, low, 0, 7, 0, 0, 64, number, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            [&front[..], inner].concat()
        };
        let around = |number: u8, inner: &[u8]| ipv4(number, 20 + inner.len() as u16, inner);
        let (plain, plain6) = (around(17, &udp), extended());
        let ether = |number: [u8; 2], inner: &[u8]| [&[2; 12][..], &number, inner].concat();
        check(DataLink::RAW, &around(41, &plain), ("ip-41", None, "its IP header says version 4"));
        check(DataLink::RAW, &around(4, &plain6), ("ip-4", None, "its IP header says version 6"));
        check(DataLink::RAW, &around(41, &plain6), ("udp", Some("ipv6-in-ip"), ""));
        check(DataLink::IPV6, &plain, ("", None, "its IP header says version 4"));
        check(DataLink::IPV4, &plain6, ("", None, "its IP header says version 6"));
        check(DataLink::IPV4, &plain, ("udp", None, ""));
        check(DataLink::PPP, &[&[0x57], &plain[..]].concat(), ("", None, "its IP header says"));
        check(DataLink::ETHERNET, &ether([0x86, 0xDD], &plain), ("", None, "its IP header says"));
        check(DataLink::ETHERNET, &ether([8, 0], &plain), ("udp", None, ""));
        let encrypted = [&[0x0C, 0, 0, 0, 0, 1][..], &[9; 40]].concat();
        let macsec = ether([0x88, 0xE5], &encrypted);
        check(DataLink::ETHERNET, &macsec, ("", None, "EtherType 0x88E5 is not taken apart"));
        check(DataLink::ETHERNET, &macsec[..13], ("", None, "it is cut off in its Ethernet"));
        check(DataLink::NULL, &[&[0, 0, 0, 2], &plain[..]].concat(), ("udp", None, ""));
        check(DataLink::NULL, &[&[30, 0, 0, 0], &plain[..]].concat(), ("", None, "its IP header"));
        check(DataLink::NULL, &[&[7, 0, 0, 0], &plain[..]].concat(), ("", None, "family 7"));
        check(DataLink::RAW, &ipv4(17, 19, &udp), ("", None, "its IP header says 19 bytes"));
        check(DataLink::RAW, &ipv4(17, 0, &udp), ("udp", None, ""));
        // The packets that GRE carries.
        let gre = |head: &[u8], inner: &[u8]| around(47, &[head, inner].concat());
        let bridged = ether([8, 0], &plain);
        let within = ("udp", Some("gre"), "");
        check(DataLink::RAW, &gre(&[0x20, 0, 0x65, 0x58, 0, 0, 1, 0], &bridged), within);
        check(DataLink::RAW, &gre(&[0, 0, 0x88, 0xBE], &bridged), within);
        let second = [0x10, 0, 0x88, 0xBE, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 0];
        check(DataLink::RAW, &gre(&second, &bridged), within);
        let third = [&[0x10, 0, 0x22, 0xEB, 0, 0, 0, 1, 0x20, 1][..], &[0; 10]].concat();
        check(DataLink::RAW, &gre(&third, &bridged), within);
        let longer = [&third[..third.len() - 1], &[1], &[0; 8]].concat();
        check(DataLink::RAW, &gre(&longer, &bridged), within);
        let ppp = [&[0xFF, 3, 0, 0x21], &plain[..]].concat();
        check(DataLink::RAW, &gre(&[0x30, 1, 0x88, 0x0B, 0, 9, 0, 1, 0, 0, 0, 1], &ppp), within);
        check(DataLink::RAW, &gre(&[0x20, 0x81, 0x88, 0x0B, 0, 9, 0, 1, 0, 0, 0, 1], &ppp), within);
        check(
            DataLink::RAW,
            &gre(&[0, 0, 0x88, 0x47], &[&[0, 0, 1, 9], &plain[..]].concat()),
            within,
        );
        let outside = |why| ("ip-47", None, why);
        check(DataLink::RAW, &gre(&[0, 0, 0x12, 0x34], &plain), outside("EtherType 0x1234"));
        check(DataLink::RAW, &gre(&[0, 0, 0, 0], &[]), outside("it is cut off in its 802.2"));
        check(DataLink::RAW, &gre(&[0x40, 0, 8, 0], &plain), outside("GRE with routes"));
        check(DataLink::RAW, &gre(&[0, 2, 8, 0], &plain), outside("GRE of version 2"));
        check(DataLink::RAW, &gre(&[0x30, 1, 0x88], &[]), outside("it is cut off in its GRE"));
        let arp = ether([8, 6], &[&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat());
        check(DataLink::RAW, &gre(&[0, 0, 0x65, 0x58], &arp), ("arp", Some("gre"), "ARP has no"));
        // A packet that cannot be read within VXLAN is one of UDP.
        let vxlan = [&[0x0F, 0xA0, 0x12, 0xB5, 0, 30, 0, 0][..], &[0; 22]].concat();
        let mut marked = vxlan.clone();
        marked[8] = 8;
        check(DataLink::RAW, &around(17, &vxlan), ("udp", None, ""));
        let packet = around(17, &marked);
        check(DataLink::RAW, &packet, ("udp", None, "it is cut off"));
        assert_eq!(Layers::of(DataLink::RAW, &packet).ports, Some([4000, 4789]));
    }

    #[test]
    fn payloads_end_where_a_length_says() {
        /// The payload of a packet, and whether a length in it cannot be.
        #[track_caller]
        fn check(link: DataLink, packet: &[u8], expected: &[u8], is_wrong: bool) {
            let layers = Layers::of(link, packet);
            assert_eq!((layers.payload, layers.has_wrong_length), (Some(expected), is_wrong));
        }
        let udp = |length: u8, total: u8| {
            let front = [0x45, 0, 0, total, 0, 7, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            [&front[..], &[0x0F, 0xA0, 0, 53, 0, length, 0, 0], b"hi"].concat()
        };
        check(DataLink::RAW, &udp(10, 30), b"hi", false);
        check(DataLink::RAW, &udp(9, 30), b"h", false);
        check(DataLink::RAW, &udp(8, 30), b"", false);
        check(DataLink::RAW, &udp(7, 30), b"hi", true);
        check(DataLink::RAW, &udp(5, 30), b"hi", true);
        check(DataLink::RAW, &udp(0, 30), b"hi", false);
        // The packet of IP leaves its length to a card.
        let session = |length: u8, behind: &[u8]| {
            let front = [&[2; 12][..], &[0x88, 0x64, 0x11, 0, 0, 7, 0, length, 0, 0x21]].concat();
            [&front[..], &udp(0, 0), behind].concat()
        };
        check(DataLink::ETHERNET, &session(32, b""), b"hi", false);
        check(DataLink::ETHERNET, &session(32, &[0; 6]), b"hi", false);
        check(DataLink::ETHERNET, &session(40, b"gh"), b"high", false);
    }

    #[test]
    fn no_bytes_break_it() {
        let udp = extended();
        let around = |front: &[u8]| [front, &udp].concat();
        let mut ipv4 = vec![0x45, 0, 0, 200, 0, 7, 0, 0, 64, 47, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        ipv4.extend(around(&[0x30, 0, 0x86, 0xDD, 0, 0, 0, 1, 0, 0, 0, 2]));
        let wireless = [
            0x88, 3, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 0x10, 0, 4, 4, 4,
            4, 4, 4, 0, 0, 0xAA, 0xAA, 3, 0, 0, 0, 0x86, 0xDD,
        ];
        let radio = [&[0, 0, 18, 0, 3, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 1][..], &wireless];
        let packets = [
            (DataLink::RAW, udp.clone()),
            (DataLink::RAW, ipv4),
            (DataLink::PPP, around(&[0xFF, 3, 0, 0x57])),
            (DataLink::ETHERNET, around(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x86, 0xDD])),
            (DataLink::IEEE802_11, around(&wireless)),
            (DataLink::IEEE802_11_RADIOTAP, around(&radio.concat())),
        ];
        for (link, packet) in packets {
            let layers = Layers::of(link, &packet);
            assert!(layers.ports.is_some(), "{link:?}: {layers:?}");
            for at in 0..packet.len() {
                let cut = Layers::of(link, &packet[..at]);
                assert!(cut.addresses.is_some() || !cut.unknown.is_empty(), "{link:?} to {at}");
                for value in [0, 1, 2, 4, 6, 41, 43, 44, 47, 51, 60, 0x40, 0x7F, 0x80, 0xFF] {
                    let mut changed = packet.clone();
                    changed[at] = value;
                    Layers::of(link, &changed);
                    Layers::of(link, &changed[..at + 1]);
                    Layers::of(link, &changed[..(at + 9).min(packet.len())]);
                }
            }
        }
    }
}
