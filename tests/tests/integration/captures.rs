//! Captures are read as tshark reads them: counts, times, lengths and bytes of files of every kind, and
//! addresses and ports behind links, in tunnels and in fragments.

use std::path::Path;
use std::process::Command;

use glovebox_events::{Event, What};
use glovebox_inspector::import::{ImportError, ImportReport, import};

/// A packet as it is put into a file.
#[derive(Clone)]
struct Packet {
    seconds: u64,
    /// In the unit of the file.
    fraction: u64,
    data: Vec<u8>,
    /// On the wire.
    length: u32,
}

/// How a file is written.
#[derive(Clone, Copy)]
struct Style {
    big: bool,
    /// Link type.
    link: u32,
    snap: u32,
}

impl Style {
    fn u16(self, number: u16) -> [u8; 2] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn i64(self, number: i64) -> [u8; 8] {
        if self.big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// A classic file; `magic` decides about units and the longer records.
    fn pcap(self, magic: u32, packets: &[Packet]) -> Vec<u8> {
        let more = if magic == 0xA1B2_CD34 { 8 } else { 0 };
        self.pcap_with(magic, more, packets)
    }

    /// A classic file with so many bytes more in front of the data of each packet.
    fn pcap_with(self, magic: u32, more: usize, packets: &[Packet]) -> Vec<u8> {
        let mut bytes = Vec::from(self.u32(magic));
        bytes.extend([self.u16(2), self.u16(4)].concat());
        bytes.extend([self.u32(0), self.u32(0), self.u32(self.snap), self.u32(self.link)].concat());
        for packet in packets {
            bytes.extend(self.u32(packet.seconds as u32));
            bytes.extend(self.u32(packet.fraction as u32));
            bytes.extend(self.u32(packet.data.len() as u32));
            bytes.extend(self.u32(packet.length));
            // The interface, a protocol, a kind of packet and a processor.
            let behind = [self.u32(2), self.u32(8), self.u32(0)].concat();
            bytes.extend(&behind[..more]);
            bytes.extend(&packet.data);
        }
        bytes
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.u32(body.len() as u32 + 12);
        [&self.u32(kind), &length, &body[..], &length].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        let body = [&self.u32(0x1A2B_3C4D)[..], &version, &self.i64(-1)].concat();
        self.block(0x0A0D_0D0A, &body)
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.u16(code), self.u16(value.len() as u16)].concat();
        option.extend(value);
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn interface(self, options: &[Vec<u8>]) -> Vec<u8> {
        let mut body = [self.u16(self.link as u16), self.u16(0)].concat();
        body.extend(self.u32(self.snap));
        body.extend(options.concat());
        if !options.is_empty() {
            body.extend(self.option(0, &[]));
        }
        self.block(1, &body)
    }

    fn enhanced(self, interface: u32, units: u64, packet: &Packet) -> Vec<u8> {
        let numbers = [
            interface,
            (units >> 32) as u32,
            units as u32,
            packet.data.len() as u32,
            packet.length,
        ];
        let mut body = numbers.map(|number| self.u32(number)).concat();
        body.extend(&packet.data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([self.option(1, b"said by nobody"), self.option(0, &[])].concat());
        self.block(6, &body)
    }

    fn obsolete(self, interface: u16, units: u64, packet: &Packet) -> Vec<u8> {
        let mut body = [self.u16(interface), self.u16(0)].concat();
        let numbers = [(units >> 32) as u32, units as u32, packet.data.len() as u32, packet.length];
        body.extend(numbers.map(|number| self.u32(number)).concat());
        body.extend(&packet.data);
        self.block(2, &body)
    }

    fn simple(self, packet: &Packet) -> Vec<u8> {
        self.block(3, &[&self.u32(packet.length)[..], &packet.data].concat())
    }
}

/// A link type for which tshark shows the bytes as they are.
const USER: u32 = 147;

/// Packets of 1 to 300 bytes, some of them cut off, a second and a bit apart.
fn packets(unit: u64) -> Vec<Packet> {
    let packet = |number: u64| {
        let size = [60, 41, 1, 300, 96, 7][number as usize % 6];
        let data: Vec<u8> = (0..size).map(|byte| (byte as u64 * 7 + number) as u8).collect();
        let length = size as u32 + if number % 3 == 1 { 100 } else { 0 };
        let fraction = (number * 123_456_789) % 1_000_000_000 / (1_000_000_000 / unit);
        Packet { seconds: 1_700_000_000 + number * 2, fraction, data, length }
    };
    (0..6).map(packet).collect()
}

/// Each packet, as both tell of it: time, bytes on the wire, bytes in the file, and the bytes.
fn as_tshark_says(file: &Path) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "separator=|"]);
    // For every link type, nothing is taken apart.
    tshark.args(["-o", "uat:user_dlts:\"User 0 (DLT=147)\",\"data\",\"0\",\"\",\"0\",\"\""]);
    for field in ["frame.time_epoch", "frame.len", "frame.cap_len", "data.data"] {
        tshark.args(["-e", field]);
    }
    let output = tshark.arg("-r").arg(file).output().expect("tshark runs");
    let lines = String::from_utf8(output.stdout).expect("tshark writes text");
    lines.lines().map(str::to_owned).collect()
}

fn as_imported(file: &Path) -> (Vec<String>, ImportReport) {
    let mut lines = Vec::new();
    let report = import::<ImportError>(file, |event| {
        lines.push(line(&event));
        Ok(())
    });
    (lines, report.expect("it is a capture"))
}

fn line(event: &Event) -> String {
    let What::FrameIn { frame, .. } = &event.what else { panic!("{event:?} is no packet") };
    let number = |key| frame.header.get_integer(key).unwrap_or_else(|| panic!("no {key}"));
    let time = frame.header.get_integer("time").map_or_else(String::new, |time| {
        let (seconds, rest) = (time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000));
        format!("{seconds}.{rest:09}")
    });
    let hex: String = frame.payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{time}|{}|{}|{hex}", number("length"), number("captured"))
}

/// All files, with their names.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| files.push((name, bytes));
    for big in [false, true] {
        for snap in [0, 65_535, 50] {
            let style = Style { big, link: USER, snap };
            let name = |what: &str| format!("{what} big={big} snap={snap}");
            add(name("pcap"), style.pcap(0xA1B2_C3D4, &packets(1_000_000)));
            add(name("pcap ns"), style.pcap(0xA1B2_3C4D, &packets(1_000_000_000)));
            add(name("modified"), style.pcap(0xA1B2_CD34, &packets(1_000_000)));
            for (of, magic, more) in [
                ("Nokia", 0xA1B2_C3D4, 4),
                ("Red Hat 6.1", 0xA1B2_C3D4, 8),
                ("SuSE 6.3", 0xA1B2_CD34, 12),
            ] {
                // Where packets are longer than the file says, tshark takes them for others.
                let style = Style { snap: 65_535, ..style };
                add(name(of), style.pcap_with(magic, more, &packets(1_000_000)));
            }
            let mut out_of_order = packets(1_000_000);
            out_of_order.reverse();
            add(name("out of order"), style.pcap(0xA1B2_C3D4, &out_of_order));

            let start = [style.section(), style.interface(&[])].concat();
            let micros = |packet: &Packet| packet.seconds * 1_000_000 + packet.fraction;
            let each = |write: &dyn Fn(&Packet) -> Vec<u8>| {
                [start.clone(), packets(1_000_000).iter().flat_map(write).collect()].concat()
            };
            add(name("enhanced"), each(&|packet| style.enhanced(0, micros(packet), packet)));
            add(name("obsolete"), each(&|packet| style.obsolete(0, micros(packet), packet)));
            // A simple block says of a packet that was cut off that it was not, but by the snap length.
            let cut = |packet: &Packet| {
                let mut packet = packet.clone();
                let most = if snap == 0 { usize::MAX } else { snap as usize };
                packet.length = packet.data.len() as u32;
                packet.data.truncate(most);
                packet
            };
            // Of old writers, whose lengths leave the padding out.
            let bare = |packet: &Packet| {
                let mut block = style.obsolete(0, micros(packet), packet);
                let padding = packet.data.len().next_multiple_of(4) - packet.data.len();
                let length = style.u32((block.len() - padding) as u32);
                let end = block.len() - 4;
                block[4..8].copy_from_slice(&length);
                block[end..].copy_from_slice(&length);
                block
            };
            add(name("without padding"), each(&bare));
            add(name("simple"), each(&|packet| style.simple(&cut(packet))));
            add(
                name("mixed"),
                each(&|packet| {
                    [
                        style.simple(&cut(packet)),
                        // Names between them, and a block that nobody knows.
                        style.block(4, &[0; 4]),
                        style.block(0x0BAE, &[9; 8]),
                        style.enhanced(0, micros(packet), packet),
                    ]
                    .concat()
                }),
            );
            let second = Style { big: !big, ..style };
            add(
                name("two sections"),
                [
                    each(&|packet| style.enhanced(0, micros(packet), packet)),
                    second.section(),
                    second.interface(&[]),
                    second.enhanced(0, 1_700_000_100_000_007, &packets(1_000_000)[0]),
                ]
                .concat(),
            );
        }
        for resolution in [0_u8, 3, 6, 7, 9, 0x80 | 10, 0x80 | 20, 0x80 | 30] {
            for offset in [None, Some(3600), Some(-1800)] {
                let style = Style { big, link: USER, snap: 0 };
                let per_second = match resolution & 0x80 {
                    0 => 10_u64.pow(resolution.into()),
                    _ => 1 << (resolution & 0x7F),
                };
                let mut options = vec![style.option(2, b"eth0"), style.option(9, &[resolution])];
                options.extend(offset.map(|offset| style.option(14, &style.i64(offset))));
                let mut bytes = [style.section(), style.interface(&[])].concat();
                bytes.extend(style.interface(&options));
                for packet in packets(1_000_000_000) {
                    let fraction =
                        u128::from(packet.fraction) * u128::from(per_second) / 1_000_000_000;
                    let units = packet.seconds * per_second + fraction as u64;
                    bytes.extend(style.enhanced(1, units, &packet));
                }
                add(format!("big={big} resolution={resolution} offset={offset:?}"), bytes);
            }
        }
    }
    // A checksum of the link behind each packet is said in the upper bits.
    let style = Style { big: false, link: 0x1400_0000 | USER, snap: 65_535 };
    add("fcs".to_owned(), style.pcap(0xA1B2_C3D4, &packets(1_000_000)));
    files
}

#[test]
#[cfg_attr(
    not(has_tshark),
    ignore = "needs tshark: apt-get install tshark, then touch tests/build.rs, or set GLOVEBOX_SMOKE"
)]
fn captures_are_read_as_tshark_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let files = files();
    assert!(files.len() >= 60, "{} files", files.len());
    for (name, bytes) in files {
        let path = folder.path().join("capture");
        std::fs::write(&path, bytes).unwrap();
        let (found, report) = as_imported(&path);
        assert_eq!(found, as_tshark_says(&path), "{name}");
        assert!(!report.is_incomplete() && !found.is_empty(), "{name}: {report:?}");
    }
}

/// Bytes of headers as they stand on the wire, without checksums.
mod wire {
    pub(super) fn udp(to: u16, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u16 + 8;
        let numbers = [4_000, to, length, 0].map(u16::to_be_bytes).concat();
        [&numbers, payload].concat()
    }

    /// With twelve bytes of options.
    pub(super) fn tcp(payload: &[u8]) -> Vec<u8> {
        let mut bytes = [5_000_u16, 80].map(u16::to_be_bytes).concat();
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0x18, 1, 0, 0, 0, 0, 0]);
        bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        bytes.extend(payload);
        bytes
    }

    /// `fragment` is the word of flags and offset.
    pub(super) fn ipv4(last: u8, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16 + 20).to_be_bytes();
        let mut bytes = vec![0x45, 0, length[0], length[1], 0, 7];
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0, 10, 0, 0, last, 10, 0, 1, last]);
        bytes.extend(payload);
        bytes
    }

    pub(super) fn ipv6(last: u8, next: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
        for side in [1, 2] {
            bytes.extend([0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, side, last]);
        }
        bytes.extend(payload);
        bytes
    }

    pub(super) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
        let addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        [&addresses[..], &kind.to_be_bytes(), payload].concat()
    }

    /// A data frame of 802.11 to an access point, with 802.2 and this type behind `more`.
    pub(super) fn wireless(control: [u8; 2], more: &[u8], kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from(control);
        bytes.extend([0, 0]);
        bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3, 0x10, 0]);
        bytes.extend(more);
        bytes.extend([0xAA, 0xAA, 3, 0, 0, 0]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(payload);
        bytes
    }
}

/// Packets with their link types and what they are.
fn links() -> Vec<(u32, &'static str, Vec<u8>)> {
    use wire::{ethernet, ipv4, ipv6, tcp, udp, wireless};
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86DD;
    let query = udp(53, b"query");
    let plain = ipv4(1, 17, 0, &query);
    let plain6 = ipv6(1, 17, &query);
    let with = |front: &[u8], packet: &[u8]| [front, packet].concat();
    let vlan = with(&[0, 5, 8, 0], &plain);
    let snap = |packet: &[u8]| {
        let body = with(&[0xAA, 0xAA, 3, 0, 0, 0, 8, 0], packet);
        ethernet(body.len() as u16, &body)
    };
    let gre = |front: &[u8], packet: &[u8]| ipv4(9, 47, 0, &with(front, packet));
    let vxlan =
        |packet: &[u8]| ipv4(9, 17, 0, &udp(4789, &with(&[8, 0, 0, 0, 0, 0, 7, 0], packet)));
    // Present: time, flags and antenna; the time is behind padding.
    let radiotap = with(&[0, 0, 18, 0, 3, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 1], &[]);
    let long = with(&[0, 0, 21, 0, 1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 2, 3, 4, 5]);
    let fragment6 = |offset: u16, packet: &[u8]| {
        ipv6(1, 44, &[&[17, 0][..], &offset.to_be_bytes(), &[0, 0, 0, 9], packet].concat())
    };
    let encrypted = wireless([8, 0x41], &[], IPV4, &plain);
    vec![
        (1, "Ethernet", ethernet(IPV4, &plain)),
        (1, "VLAN", ethernet(0x8100, &vlan)),
        (1, "Ethernet with 802.2", snap(&plain)),
        (1, "MPLS", ethernet(0x8847, &with(&[0, 1, 0, 64, 0, 2, 1, 64], &plain))),
        (1, "PPPoE", ethernet(0x8864, &with(&[0x11, 0, 0, 7, 0, 35, 0, 0x21], &plain))),
        (1, "ARP", ethernet(0x0806, &[&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat())),
        (12, "raw IP", plain.clone()),
        (12, "raw IPv6", plain6.clone()),
        (14, "raw IP", plain.clone()),
        (101, "raw IP", ipv4(1, 6, 0, &tcp(b"GET /"))),
        (228, "IPv4", plain.clone()),
        (229, "IPv6", plain6.clone()),
        (9, "PPP", with(&[0xFF, 3, 0, 0x21], &plain)),
        (9, "PPP without an address", with(&[0, 0x21], &plain)),
        (9, "PPP with a short protocol", with(&[0x21], &plain)),
        (9, "PPP of IPv6", with(&[0xFF, 3, 0, 0x57], &plain6)),
        (9, "PPP that negotiates", with(&[0xFF, 3, 0xC0, 0x21], &[1, 1, 0, 4])),
        (50, "PPP in HDLC", with(&[0xFF, 3, 0, 0x21], &plain)),
        (204, "PPP with its direction", with(&[1, 0xFF, 3, 0, 0x21], &plain)),
        (105, "802.11", wireless([8, 1], &[], IPV4, &plain)),
        (105, "802.11 with quality", wireless([0x88, 1], &[0, 0], IPV6, &plain6)),
        (105, "802.11 between access points", wireless([8, 3], &[2, 0, 0, 0, 0, 4], IPV4, &plain)),
        (105, "802.11, encrypted", encrypted.clone()),
        (105, "802.11 beacon", wireless([0x80, 0], &[], IPV4, &plain)),
        (127, "radiotap", with(&radiotap, &wireless([8, 1], &[], IPV4, &plain))),
        (127, "radiotap with more words", with(&long, &wireless([8, 1], &[], IPV4, &plain))),
        (127, "radiotap, encrypted", with(&radiotap, &encrypted)),
        (113, "cooked", with(&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], &plain)),
        (0, "loopback", with(&[2, 0, 0, 0], &plain)),
        (101, "IP in IP", ipv4(9, 4, 0, &plain)),
        (101, "IPv6 in IP", ipv4(9, 41, 0, &plain6)),
        (101, "IP in IPv6", ipv6(9, 4, &plain)),
        (101, "IPv6 in IPv6", ipv6(9, 41, &plain6)),
        (101, "GRE", gre(&[0, 0, 8, 0], &plain)),
        (
            101,
            "GRE with a key and a number",
            gre(&[0x30, 0, 0x86, 0xDD, 0, 0, 0, 1, 0, 0, 0, 2], &plain6),
        ),
        (101, "GRE with Ethernet", gre(&[0, 0, 0x65, 0x58], &ethernet(IPV4, &plain))),
        (101, "VXLAN", vxlan(&ethernet(IPV4, &ipv4(1, 6, 0, &tcp(b"GET /"))))),
        (101, "VXLAN with UDP", vxlan(&ethernet(IPV6, &plain6))),
        (101, "first fragment", ipv4(1, 17, 0x2000, &udp(53, &[7; 40]))),
        (101, "later fragment", ipv4(1, 17, 0x2002, &[7; 40])),
        (101, "last fragment", ipv4(1, 6, 0x0004, &[7; 40])),
        (101, "first fragment of TCP", ipv4(1, 6, 0x2000, &tcp(b"GET /"))),
        (101, "first fragment of IPv6", fragment6(1, &udp(53, &[7; 40]))),
        (101, "later fragment of IPv6", fragment6(8 * 3 + 1, &[7; 40])),
        (101, "cut in the options of TCP", ipv4(1, 6, 0, &tcp(b"GET /"))[..20 + 25].to_vec()),
        (101, "cut in the header of UDP", plain[..20 + 5].to_vec()),
        (101, "cut in IP", plain[..12].to_vec()),
    ]
}

/// The facts about a packet: addresses of both sides in order, from the outside to the inside of a
/// tunnel or from IPv4 to IPv6, and the ports.
fn known(event: &Event) -> String {
    let What::FrameIn { frame, .. } = &event.what else { panic!("{event:?} is no packet") };
    let side = |names: [&str; 2]| {
        let mut all: Vec<_> = names.iter().filter_map(|name| frame.header.get_text(name)).collect();
        all.sort();
        all.join(",")
    };
    let protocol = frame.header.get_text("protocol").unwrap_or_default();
    let ports = ["src-port", "dst-port"].map(|name| {
        frame.header.get_integer(name).map_or_else(String::new, |port| port.to_string())
    });
    let ports = match ports.iter().any(String::is_empty) {
        true => String::new(),
        false => format!("{protocol} {} {}", ports[0], ports[1]),
    };
    format!("{} > {} {ports}", side(["src", "outer-src"]), side(["dst", "outer-dst"]))
}

fn as_tshark_knows(file: &Path) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "separator=|"]);
    // A fragment is looked into where it stands.
    tshark.args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]);
    let fields = [
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
        "tcp.srcport",
        "tcp.dstport",
        "udp.srcport",
        "udp.dstport",
    ];
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.arg("-r").arg(file).output().expect("tshark runs");
    let lines = String::from_utf8(output.stdout).expect("tshark writes text");
    let line = |line: &str| {
        let found: Vec<&str> = line.split('|').collect();
        let side = |at: usize| {
            let mut all: Vec<_> = found[at..at + 2]
                .iter()
                .flat_map(|list| list.split(','))
                .filter(|one| !one.is_empty())
                .collect();
            all.sort();
            all.dedup();
            all.join(",")
        };
        let inner = |at: usize| found[at].rsplit(',').next().unwrap_or_default();
        let ports = match (inner(4), inner(6)) {
            ("", "") => String::new(),
            ("", port) => format!("udp {port} {}", inner(7)),
            (port, _) => format!("tcp {port} {}", inner(5)),
        };
        format!("{} > {} {ports}", side(0), side(2))
    };
    lines.lines().map(line).collect()
}

#[test]
#[cfg_attr(
    not(has_tshark),
    ignore = "needs tshark: apt-get install tshark, then touch tests/build.rs, or set GLOVEBOX_SMOKE"
)]
fn addresses_and_ports_are_those_of_tshark() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    let links = links();
    let style = |link| Style { big: false, link, snap: 0 };
    let mut bytes = style(0).section();
    for (interface, (link, _, data)) in links.iter().enumerate() {
        let length = data.len() as u32;
        let packet = Packet { seconds: 0, fraction: 0, data: data.clone(), length };
        bytes.extend(style(*link).interface(&[]));
        bytes.extend(style(*link).enhanced(interface as u32, 1_700_000_000_000_000, &packet));
    }
    std::fs::write(&path, bytes).unwrap();
    let mut found = Vec::new();
    let report = import::<ImportError>(&path, |event| {
        found.push(known(&event));
        Ok(())
    });
    let report = report.unwrap();
    let named = |found: Vec<String>| {
        let names = links.iter().map(|(link, name, _)| format!("{link} {name}: "));
        names.zip(found).map(|(name, found)| name + &found).collect::<Vec<_>>().join("\n")
    };
    let without = found.iter().filter(|line| line.starts_with(" >")).count() as u64;
    assert_eq!(named(found), named(as_tshark_knows(&path)));
    assert_eq!((report.without_addresses.packets, report.later_fragments), (without, 3));
    assert_eq!(report.without_addresses.first.as_deref(), Some("ARP has no IP addresses"));
}
