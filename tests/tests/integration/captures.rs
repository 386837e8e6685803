//! Captures are read as tshark reads them: counts, times, lengths and bytes of files of every kind.

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
        let mut bytes = Vec::from(self.u32(magic));
        bytes.extend([self.u16(2), self.u16(4)].concat());
        bytes.extend([self.u32(0), self.u32(0), self.u32(self.snap), self.u32(self.link)].concat());
        for packet in packets {
            bytes.extend(self.u32(packet.seconds as u32));
            bytes.extend(self.u32(packet.fraction as u32));
            bytes.extend(self.u32(packet.data.len() as u32));
            bytes.extend(self.u32(packet.length));
            if magic == 0xA1B2_CD34 {
                bytes.extend([self.u32(2), self.u32(0)].concat());
            }
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

/// What both say of each packet: time, bytes on the wire, bytes in the file, and the bytes.
fn as_tshark_says(file: &Path) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "separator=|"]);
    // Whatever the link type, nothing is taken apart.
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
