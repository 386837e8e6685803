use std::io::{self, Read as _};
use std::time::Duration;

use etherparse::PacketBuilder;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_events::{CallId, NoteKind, What};
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};

use super::*;
use crate::{decode, export};

fn import_bytes(bytes: &[u8]) -> Result<(Vec<Event>, ImportReport), ImportError> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("input");
    std::fs::write(&path, bytes).expect("a file for the test");
    let mut events = Vec::new();
    let report = import::<ImportError>(&path, |event| {
        events.push(event);
        Ok(())
    })?;
    Ok((events, report))
}

fn pcap(link: DataLink, packets: &[&[u8]]) -> Vec<u8> {
    let header = PcapHeader { datalink: link, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).expect("memory takes all");
    for (second, data) in packets.iter().enumerate() {
        let time = Duration::new(second as u64, 5000);
        let packet = PcapPacket::new(time, data.len() as u32, data);
        writer.write_packet(&packet).expect("memory takes all");
    }
    writer.into_writer()
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([0; 6], [0; 6])
        .ipv4([127, 0, 0, 1], [127, 0, 0, 2], 64)
        .udp(4000, 53);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).expect("memory takes all");
    packet
}

fn frame_of(event: &Event) -> &Frame {
    match &event.what {
        What::FrameIn { frame, .. } => frame,
        other => panic!("{other:?} is no packet"),
    }
}

#[test]
fn packets_become_frames() {
    fn check(link: DataLink, packet: &[u8], header: serde_json::Value, payload: &[u8]) {
        let (events, report) = import_bytes(&pcap(link, &[packet])).expect("it is a capture");
        assert_eq!(report.events, 1);
        assert_eq!(report.cut_short, None);
        let frame = frame_of(&events[0]);
        assert_eq!(events[0].at, 5000);
        assert_eq!(&*events[0].plugin, CAPTURE_PLUGIN);
        let mut found = serde_json::json!(decode::header_json(frame));
        for (key, value) in header.as_object().expect("the test writes objects") {
            let found = found[key].take();
            assert_eq!(found, *value, "{key} of {link:?}");
        }
        assert_eq!(frame.payload, payload);
    }
    let packet = udp(b"query");
    let whole = serde_json::json!({
        "src": "127.0.0.1", "dst": "127.0.0.2", "src-port": 4000, "dst-port": 53,
        "protocol": "udp", "length": packet.len(), "captured": packet.len(), "time": 5000,
    });
    let inner = serde_json::json!({"src": "127.0.0.1", "dst-port": 53, "protocol": "udp"});
    check(DataLink::ETHERNET, &packet, whole, b"query");
    check(DataLink::RAW, &packet[14..], inner.clone(), b"query");
    let mut cooked = vec![0; 14];
    cooked.extend([0x08, 0x00]);
    cooked.extend(&packet[14..]);
    check(DataLink::LINUX_SLL, &cooked, inner.clone(), b"query");
    let mut cooked = vec![0x08, 0x00];
    cooked.extend([0; 18]);
    cooked.extend(&packet[14..]);
    check(DataLink::LINUX_SLL2, &cooked, inner, b"query");
    let mut echo = Vec::new();
    PacketBuilder::ipv4([1, 2, 3, 4], [5, 6, 7, 8], 9)
        .icmpv4_echo_request(1, 2)
        .write(&mut echo, b"ping")
        .expect("memory takes all");
    let header = serde_json::json!({"dst": "5.6.7.8", "protocol": "icmp"});
    check(DataLink::RAW, &echo, header, &echo);
    check(DataLink::ETHERNET, b"junk", serde_json::json!({"length": 4}), b"junk");
}

#[test]
fn records_lie_as_they_do_and_not_as_a_number_says() {
    /// Bytes more in front of each packet, how many packets, and what is cut off the end; the packets.
    #[track_caller]
    fn check(magic: u32, more: usize, packets: u32, cut: usize, expected: &[&str], whole: bool) {
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 1, 0, 0, 0]);
        for second in 0..packets {
            let packet = udp(format!("p{second}").as_bytes());
            let length = packet.len() as u32;
            for number in [1_700_000_000 + second, 5, length, length] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(&[2, 0, 0, 0, 8, 0, 4, 0, 1, 1, 0, 0][..more]);
            bytes.extend(packet);
        }
        let (events, report) = import_bytes(&bytes[..bytes.len() - cut]).expect("it is a capture");
        let found: Vec<String> = events
            .iter()
            .map(|event| String::from_utf8_lossy(&frame_of(event).payload).into_owned())
            .collect();
        assert_eq!(
            (found, report.is_incomplete()),
            (expected.iter().map(|one| one.to_string()).collect(), !whole)
        );
    }
    let (usual, modified) = (0xA1B2_C3D4, 0xA1B2_CD34);
    for (magic, more) in [(usual, 0), (usual, 4), (usual, 8), (modified, 8), (modified, 12)] {
        check(magic, more, 1, 0, &["p0"], true);
        check(magic, more, 3, 0, &["p0", "p1", "p2"], true);
        // As many as are looked at, and more.
        let many: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
        check(magic, more, 20, 0, &many.iter().map(String::as_str).collect::<Vec<_>>(), true);
    }
    // A usual file of which the end is missing may have as many bytes at its end.
    let record = 16 + udp(b"p0").len();
    for left in [1, 4, 8, 12] {
        check(usual, 0, 2, record - left, &["p0"], false);
        check(modified, 8, 2, record + 8 - left, &["p0"], false);
    }
}

#[test]
fn captures_that_are_cut_short_give_what_they_have() {
    let whole = pcap(DataLink::ETHERNET, &[&udp(b"one"), &udp(b"two")]);
    let (events, report) = import_bytes(&whole[..whole.len() - 1]).expect("it is a capture");
    assert_eq!(events.len(), 1);
    assert!(report.cut_short.is_some());
    for end in 0..whole.len() {
        // Never a panic; an error only before the first packet.
        let result = import_bytes(&whole[..end]);
        assert!(result.is_ok() || end < 24, "cut at {end}: {result:?}");
    }
}

#[test]
fn half_of_a_last_line_costs_that_line() {
    /// Lines, the error of reading behind them, the events in them, and whether more is told to be missing.
    #[track_caller]
    fn check(lines: &str, trouble: Option<&str>, expected: Option<(u64, bool)>) {
        let reader = lines.as_bytes().chain(Failing(trouble.map(io::Error::other)));
        let found = import_from("-", reader, |_| Ok::<(), ImportError>(()));
        let found = found.ok().map(|report| (report.events, report.cut_short.is_some()));
        assert_eq!(found, expected, "{lines}");
    }
    const LINE: &str = "{\"payload\":\"a\"}";
    check(&format!("{LINE}\n{LINE}"), None, Some((2, false)));
    check(&format!("{LINE}\n{}", &LINE[..9]), None, Some((1, true)));
    check(&format!("{LINE}\n{}\n", &LINE[..9]), None, None);
    check(&format!("{LINE}\n{LINE}}}"), None, None);
    check(&LINE[..9], None, None);
    // The events that have come of a pipe that ends with an error.
    check(&format!("{LINE}\n{LINE}"), Some("the end"), Some((2, true)));
    check(&format!("{LINE}\n{}", &LINE[..9]), Some("the end"), Some((1, true)));
    check(&format!("{LINE}\n"), Some("the end"), Some((1, true)));
}

/// Fails once.
struct Failing(Option<io::Error>);

impl io::Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[test]
fn pcapng_is_read() {
    use pcap_file::pcapng::PcapNgWriter;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
    let packet = udp(b"query");
    let mut writer = PcapNgWriter::new(Vec::new()).expect("memory takes all");
    let interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 65_535);
    writer.write_pcapng_block(interface).expect("memory takes all");
    let block = EnhancedPacketBlock {
        interface_id: 0,
        timestamp: Duration::from_micros(7),
        original_len: packet.len() as u32,
        data: packet.as_slice().into(),
        options: Vec::new(),
    };
    writer.write_pcapng_block(block).expect("memory takes all");
    let bytes = writer.into_inner();
    let (events, report) = import_bytes(&bytes).expect("it is a capture");
    assert_eq!(report.format, Format::PcapNg);
    assert_eq!(&frame_of(&events[0]).payload[..], b"query");
    for end in 0..bytes.len() {
        // Never a panic.
        let _ = import_bytes(&bytes[..end]);
    }
}

#[test]
fn what_is_packed_is_unpacked() {
    use std::io::Write;
    let plain = pcap(DataLink::ETHERNET, &[&udp(b"one"), &udp(b"two")]);
    let (expected, _) = import_bytes(&plain).expect("it is a capture");
    let check = |packed: Vec<u8>| {
        let (events, report) = import_bytes(&packed).expect("it is a capture");
        assert_eq!((events.as_slice(), report.cut_short), (expected.as_slice(), None));
        match import_bytes(&packed[..packed.len() - 12]) {
            Ok((events, report)) => {
                let reason = report.cut_short.unwrap_or_default();
                assert!(events.len() == 2 || reason.contains("data is damaged or cut"), "{reason}");
            }
            Err(error) => {
                assert!(error.to_string().contains("data is damaged or cut short"), "{error}");
            }
        }
    };
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("memory takes all");
        gzip.finish().expect("memory takes all")
    };
    check(gzip(&plain));
    // The output of several runs of gzip, one after the other, is one file.
    check([gzip(&plain[..60]), gzip(&plain[60..])].concat());
    let all = |packed: &[u8]| {
        let (events, report) = import_bytes(packed).expect("it is a capture");
        (events == expected, report.cut_short)
    };
    // Zeros fill up a block, and anything else is damage.
    assert_eq!(all(&[gzip(&plain), vec![0; 700]].concat()), (true, None));
    let (_, reason) = all(&[gzip(&plain), vec![0; 700], vec![1; 20]].concat());
    assert!(reason.is_some_and(|reason| reason.contains("the gzip data is damaged")));
    check(zstd::encode_all(&plain[..], 1).expect("memory takes all"));
    // Some programs begin with a frame to skip, for example for a table of contents.
    let packed = zstd::encode_all(&plain[..], 1).expect("memory takes all");
    check([&[0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 7, 8, 9][..], &packed].concat());
    let lz4 = |bytes: &[u8]| {
        let mut lz4 = lz4::EncoderBuilder::new().build(Vec::new()).expect("memory takes all");
        lz4.write_all(bytes).expect("memory takes all");
        let (packed, ended) = lz4.finish();
        ended.expect("memory takes all");
        packed
    };
    check(lz4(&plain));
    check([lz4(&plain[..60]), lz4(&plain[60..])].concat());
    // A frame that is cut where nothing is missing of what it holds.
    let packed = lz4(&plain);
    let (events, report) = import_bytes(&packed[..packed.len() - 8]).expect("it is a capture");
    assert_eq!(events, expected);
    assert!(report.cut_short.is_some(), "{report:?}");
}

#[test]
fn damage_costs_what_is_damaged() {
    /// Changes some bytes of a capture of five packets; what is left of them, and how many parts
    /// were damaged.
    #[track_caller]
    fn check(whole: &[u8], changes: &[(usize, &[u8])], expected: &str, damaged: u64) {
        let mut bytes = whole.to_vec();
        for (at, with) in changes {
            bytes[*at..*at + with.len()].copy_from_slice(with);
        }
        let (events, report) = import_bytes(&bytes).expect("it is a capture");
        let found: Vec<String> = events
            .iter()
            .map(|event| String::from_utf8_lossy(&frame_of(event).payload).into_owned())
            .collect();
        assert_eq!(found.join(" "), expected, "{report:?}");
        assert_eq!(report.damaged.parts, damaged, "{report:?}");
        assert_eq!(report.cut_short, None);
    }
    let packets: Vec<Vec<u8>> =
        ["aaaa", "bbbb", "cccc", "dddd", "eeee"].map(|payload| udp(payload.as_bytes())).into();
    let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let classic = pcap(DataLink::ETHERNET, &packets);
    // Each record has 16 bytes and a packet of 46.
    let record = |number: usize| 24 + number * 62;
    check(&classic, &[], "aaaa bbbb cccc dddd eeee", 0);
    check(&classic, &[(record(1) + 8, &[0xFF; 4])], "aaaa cccc dddd eeee", 1);
    check(&classic, &[(record(0) + 8, &[0xFF; 4])], "bbbb cccc dddd eeee", 1);
    let two = [(record(1) + 8, &[0xFF; 4][..]), (record(3) + 8, &[0xFF; 4][..])];
    // Between two that are damaged, nothing tells a packet from data.
    check(&classic, &two, "aaaa eeee", 1);

    let order = pcapng_of(&packets);
    // The section has 28 bytes, the interface 20, each packet 32 and its data of 46, padded to 48.
    let block = |number: usize| 48 + number * 80;
    check(&order, &[], "aaaa bbbb cccc dddd eeee", 0);
    check(&order, &[(block(1) + 4, &[0xFF; 4])], "aaaa cccc dddd eeee", 1);
    check(&order, &[(block(1) + 76, &[0xFF; 4])], "aaaa cccc dddd eeee", 1);
    check(&order, &[(block(1) + 20, &[0xFF; 4])], "aaaa cccc dddd eeee", 1);
    check(&order, &[(block(1) + 8, &[7])], "aaaa cccc dddd eeee", 1);
    // Without its interface no packet can be read, and each is counted.
    check(&order, &[(32, &[0xFF; 4])], "", 6);
}

fn pcapng_of(packets: &[&[u8]]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = (body.len() + 12) as u32;
        [&kind.to_le_bytes(), &length.to_le_bytes(), body, &length.to_le_bytes()[..]].concat()
    };
    let mut section = Vec::from(0x1A2B_3C4D_u32.to_le_bytes());
    section.extend([1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    let mut bytes = block(0x0A0D_0D0A, &section);
    bytes.extend(block(1, &[1, 0, 0, 0, 0, 0, 0, 0]));
    for packet in packets {
        let length = packet.len() as u32;
        let mut body = [0, 0, 1, length, length].map(u32::to_le_bytes).concat();
        body.extend(*packet);
        body.resize(body.len().next_multiple_of(4), 0);
        bytes.extend(block(6, &body));
    }
    bytes
}

#[test]
fn simple_blocks_hold_what_they_say() {
    /// The snap length, the length on the wire and the bytes in a block; the length of the packet.
    #[track_caller]
    fn check(snap: u8, length: u32, data: usize, expected: Option<usize>) {
        let mut bytes = pcapng_of(&[]);
        bytes[40] = snap;
        let total = (16 + data) as u32;
        bytes.extend([3, total, length].map(u32::to_le_bytes).concat());
        bytes.extend(vec![7; data]);
        bytes.extend(total.to_le_bytes());
        let (events, report) = import_bytes(&bytes).expect("it is a capture");
        assert_eq!(events.first().map(|event| frame_of(event).payload.len()), expected);
        assert_eq!(report.damaged.parts, u64::from(expected.is_none()), "{report:?}");
    }
    check(0, 48, 48, Some(48));
    check(0, 47, 48, Some(47));
    check(40, 1000, 40, Some(40));
    check(0, 1000, 48, None);
    check(60, 1000, 48, None);
}

#[test]
fn versions_that_are_not_known_are_told() {
    #[track_caller]
    fn check(mut bytes: Vec<u8>, at: usize, version: [u8; 2], expected: Option<&str>) {
        (bytes[at], bytes[at + 2]) = (version[0], version[1]);
        let (events, report) = import_bytes(&bytes).expect("it is a capture");
        assert_eq!((events.len(), report.unknown_version.as_deref()), (1, expected));
    }
    let packet = udp(b"hello");
    let classic = || pcap(DataLink::ETHERNET, &[&packet]);
    check(classic(), 5, [2, 4], None);
    check(classic(), 5, [2, 3], None);
    check(classic(), 5, [2, 5], Some("2.5"));
    check(classic(), 5, [1, 4], Some("1.4"));
    check(pcapng_of(&[&packet]), 12, [1, 0], None);
    check(pcapng_of(&[&packet]), 12, [1, 2], None);
    check(pcapng_of(&[&packet]), 12, [1, 1], Some("1.1"));
    check(pcapng_of(&[&packet]), 12, [0, 1], Some("0.1"));
}

#[test]
fn times_that_no_event_can_have_stand_in_the_header() {
    let mut bytes = pcapng_of(&[&udp(b"old")]);
    // An interface whose clock stands a century back.
    let option = [&[14, 0, 8, 0][..], &(-3_000_000_000_i64).to_le_bytes(), &[0; 4]].concat();
    bytes.splice(44..44, option.iter().copied());
    for at in [32, 44 + option.len()] {
        bytes[at] += option.len() as u8;
    }
    let (events, report) = import_bytes(&bytes).expect("it is a capture");
    assert_eq!((events.len(), report.times_moved, report.damaged.parts), (1, 1, 0), "{report:?}");
    assert_eq!(events[0].at, 0);
    let header = &frame_of(&events[0]).header;
    assert_eq!(header.get_integer("time"), Some(-3_000_000_000_000_000_000 + 1000));
}

/// Before version 2.4, the length on the wire may stand first.
#[test]
fn lengths_of_old_captures_are_swapped() {
    fn check(version: [u16; 2], first: u32, second: u32, expected: Option<i128>) {
        let mut bytes = 0xA1B2_C3D4_u32.to_le_bytes().to_vec();
        version.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        [0, 0, 65_535, 1].iter().for_each(|number: &u32| bytes.extend(number.to_le_bytes()));
        let packet = udp(b"hello");
        let number = |length: u32| if length == 0 { packet.len() as u32 } else { length };
        for number in [1_700_000_000, 5, number(first), number(second)] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(&packet);
        let (events, report) = import_bytes(&bytes).expect("it is a capture");
        let found = events.first().map(|event| {
            assert_eq!(&frame_of(event).payload[..], b"hello", "{version:?}");
            frame_of(event).header.get_integer("length").expect("it is there")
        });
        assert_eq!(found, expected, "{version:?}: {:?}", report.cut_short);
    }
    // 0 stands for the bytes in the file.
    check([2, 4], 0, 900, Some(900));
    check([2, 3], 0, 900, Some(900));
    check([2, 3], 900, 0, Some(900));
    check([2, 2], 900, 0, Some(900));
    check([2, 0], 900, 0, Some(900));
    check([543, 0], 900, 0, Some(900));
    check([2, 4], 900, 0, None);
}

#[test]
fn elements_of_a_document_are_payloads_as_they_stand_there() {
    fn check(text: &str, expected: &[&str]) {
        let (events, report) = import_bytes(text.as_bytes()).expect("it can be imported");
        let payloads: Vec<_> = events
            .iter()
            .map(|event| String::from_utf8_lossy(&frame_of(event).payload).into_owned())
            .collect();
        assert_eq!(payloads, expected, "{text}");
        assert_eq!((report.events, report.format), (expected.len() as u64, Format::Json));
    }
    check("[]", &[]);
    check(
        "\u{FEFF}[9007199254740993, 1.0,\n 1e2, {\"a\" :  0.10}, \"text\"]",
        &["9007199254740993", "1.0", "1e2", "{\"a\" :  0.10}", "text"],
    );
    check("[{\"payload\": 1}, [2]]", &["{\"payload\": 1}", "[2]"]);
    check(
        "{\n \"log\": {\"creator\": {}, \"entries\": [{\"time\": 1.50}, {\"time\": 2}]}}",
        &["{\"time\": 1.50}", "{\"time\": 2}"],
    );
    check("{\"log\":{\"entries\":[]}}", &[]);
    // Lines that only look like a HAR file are events.
    let line = "{\"payload\":{\"log\":{},\"entries\":1}}";
    let (events, report) = import_bytes(line.as_bytes()).expect("it is NDJSON");
    assert_eq!((events.len(), report.format), (1, Format::Ndjson));
}

#[test]
fn entries_of_a_har_file_keep_their_times() {
    /// The values of `startedDateTime` in entries; their times, and how many cannot be read.
    #[track_caller]
    fn check(started: &[&str], times: &[u64], without: u64) {
        let entries = started.iter().map(|time| format!("{{\"startedDateTime\":{time}}}"));
        let entries = entries.collect::<Vec<_>>().join(",");
        let (events, report) =
            import_bytes(format!("{{\"log\":{{\"entries\":[{entries}]}}}}").as_bytes())
                .expect("it is a HAR file");
        assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), times);
        assert_eq!(report.unread_times, without);
    }
    let noon = 1_704_110_400_000_000_000;
    check(&["\"2024-01-01T12:00:00Z\""], &[noon], 0);
    // Programs write ISO 8601 in other ways, too.
    for time in ["12:00:00.000+0000", "14:00:00+02", "12:00:00,000Z", "12:00Z", "07:00:00-0500"] {
        check(&[&format!("\"2024-01-01T{time}\"")], &[noon], 0);
    }
    // The last that an event can have, and what is beyond.
    let last = 18_446_744_073_709_551_615;
    check(&["\"2554-07-21T23:34:33.709551615Z\"", "\"2554-07-22T00:00:00Z\""], &[last; 2], 0);
    check(
        &["\"2024-01-01T12:00:00.250Z\"", "\"2024-01-01T14:00:00+02:00\""],
        &[noon + 250_000_000, noon],
        0,
    );
    check(
        &["7", "\"2024-01-01T12:00:00Z\"", "\"yesterday\"", "\"2024-01-01T12:00:00\""],
        &[noon; 4],
        3,
    );
    check(&["\"1969-01-01T12:00:00Z\"", "\"1970-01-01T00:00:00.000000001Z\""], &[0, 1], 0);
    let text = b"{\"log\":{\"entries\":[{},{\"startedDateTime\":\"soon\"},{\"startedDateTime\":\"1969-01-01T12:00:00Z\"}]}}";
    let (_, report) = import_bytes(text).expect("a HAR file");
    assert_eq!((report.without_time, report.unread_times, report.times_moved), (1, 1, 1));
    assert_eq!(report.first_unread_time.as_deref(), Some("\"soon\""));
    // Elements of a list have no times.
    let (events, report) =
        import_bytes(b"[{\"startedDateTime\":\"2024-01-01T12:00:00Z\"}]").expect("a list");
    assert_eq!((events[0].at, report.without_time), (0, 0));
}

#[test]
fn other_files_are_refused() {
    fn check(bytes: &[u8], expected: &str) {
        let error = import_bytes(bytes).expect_err("it is no capture").to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check(b"", "an empty file");
    check(b"hello", "a text file; give a pcap");
    check(b"\x01\xFF\x03", "a file of unknown kind");
    check(b"MZ\x90\0", "a Windows library or program; plugins are not imported");
    check(mcap::MAGIC, "a trace of Glovebox; it needs no import");
    let foreign = |profile: &str| {
        let options = mcap::WriteOptions::new().profile(profile);
        let mut writer =
            options.create(std::io::Cursor::new(Vec::new())).expect("memory takes all");
        writer.finish().expect("memory takes all");
        writer.into_inner().into_inner()
    };
    check(
        &foreign("ros2"),
        "an MCAP file of another program (the profile `ros2`); export its messages",
    );
    check(&foreign(""), "an MCAP file of another program (no profile); export its messages");
    check(&foreign("glovebox"), "a trace of Glovebox; it needs no import: give it");
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("memory takes all");
    check(
        &zstd(&foreign("glovebox")),
        "needs no import: unpack it, and give that to the other verbs",
    );
    check(&zstd(&zstd(b"{}")), "a file packed twice; unpack it once");
    check(b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "`git lfs pull`");
    let cut = "damaged JSON file: the HAR file is no JSON: malformed at byte ";
    check(b"{\n \"log\": {\n  \"version\": \"1.2\", \"creator\": {}", cut);
    check(b"{\"log\":{\"entries\":[{\"time\":1},", cut);
    let object = "not a capture: a JSON object that is no event; if it is an error page, download";
    check(b"{\"log\":{\"version\":\"1.2\",\"entries\":7}}", object);
    check(b"{\"log\":{\"entries\":{}}}", object);
    check(b"{\"test\":{\"log\":{\"entries\":[]}}}", object);
    check(b"{\"message\":\"Not Found\"}", object);
    check(b"{\n \"name\": \"a\",\n \"type\": \"module\"\n}", object);
    let others = "not a capture: NDJSON of another program; make each line a payload: jq -c ";
    check(b"{\"ts\":1,\"uid\":\"C1\"}\n{\"ts\":2,\"uid\":\"C2\"}\n", others);
    check(b"[1]\n[2]\n", others);
    check(format!("[\"{}\"]\n[2]\n", "a".repeat(9000)).as_bytes(), others);
    check(b"\x1E{\"payload\":1}\n", "a JSON text sequence (RFC 7464); take out its separators");
    // Broken JSON, which no other program reads either.
    check(b"{\"at\":1,\"kind\":\n", "line 1 is no event: no JSON: malformed at byte ");
    check(b"{\"at\":1,\"kind\":\n}\n", "line 1 is no event: no JSON: malformed at byte ");
    let long = "a".repeat(70_000);
    check(format!("{{\"payload\":\"{long}").as_bytes(), "line 1 is no event: no JSON");
    check(format!("{{\"payload\":\"{long}\",\n\"at\":1}}").as_bytes(), "over several lines");
    check(b"{\"index\":{\"_index\":\"a\"}}\n{\"layers\":{}}", "bulk data for Elasticsearch");
    check(b"{\"payload\":\"x\"}\n{\"index\":{\"_index\":\"a\"}}", "unknown field `index`");
    check(b"{\n \"payload\": 1\n}", "one JSON value over several lines");
    check(b"[\x18\x00\xFF\xE3", "a file of unknown kind");
    check(b"{\x18\x00\xFF\xE3", "no JSON");
    check(b"[not JSON]", "a text file; give a pcap");
    check(b"[{\"payload\": 1}", "damaged JSON file: no JSON");
    check(b"\xFF\xFE{\0}\0", "UTF-16; save it as UTF-8");
    check(b"BZh91AY", "packed with bzip2");
    check(
        b"\x02\x21\x4C\x18\x0F\0\0\0",
        "packed with LZ4 in its legacy format; unpack it with `lz4 -d`",
    );
    check(&[0xD4, 0xC3, 0xB2, 0xA1, 2], "damaged pcap file");
    check(b"{\"payload\": \"x\"}\n{\n", "line 2");
    check(b"{\"kind\": \"dta\"}", "not a frame kind");
    check(b"{\"kind\": 256}", "`kind` is 256, and must be a whole number from 0 to 255");
    let (events, _) = import_bytes(b"{\"kind\":7}\n{\"kind\":\"7\"}\n{\"kind\":\"0x07\"}")
        .expect("reserved kinds were on the wire");
    assert!(events.iter().all(|event| frame_of(event).kind == glovebox_abi::Kind(7)));
    check(b"{\"kind\": -1}", "`kind` is -1, and must be a whole number from 0 to 255");
    check(b"{\"type\": \"flown\"}", "flown");
    check(b"{\"payload_hex\": \"0\"}", "not hexadecimal");
    check(
        b"{\"order\": 1, \"payload\": 2}",
        "unknown field `order`; what a frame carries stands in `payload`",
    );
    check(b"{}", "neither `type` nor `payload`");
    check(b"{\"at\": 1}", "neither `type` nor `payload`");
    check(b"{\"payload\": \"x\", \"index\": 7}", "unknown field `index`");
    check(b"{\"payload\": \"x\", \"emitted\": true}", "unknown field `emitted`");
    check(b"{\"type\": \"frame-out\", \"index\": {\"a\": 1}}", "`index` must be a whole number");
    check(b"{\"type\": \"frame-out\", \"emitted\": 1}", "`emitted` must be true or false");
    check(b"{\"type\": \"call-ended\"}", "missing field `call`");
    check(b"{\"type\": \"policy-changed\", \"summary\": []}", "`summary` must be a text");
    check(b"{\"type\": \"unloaded\", \"payload\": 1}", "unknown field `payload` of `unloaded`");
    let loaded = "\"from\": \"ready\", \"to\": \"busy\", \"cause\": \"a\"";
    let phase = format!("{{\"type\": \"phase\", {loaded}, \"why\": 1}}");
    check(phase.as_bytes(), "unknown field `why` of `phase`");
    // As notes were written before they were events of their own.
    for line in [
        &br#"{"type": "phase", "from": "busy", "to": "busy", "cause": "a"}"#[..],
        br#"{"type": "note", "kind": "unknown", "text": "a"}"#,
    ] {
        let note = What::Note { kind: NoteKind::Unknown, text: "a".to_owned() };
        assert_eq!(import_bytes(line).expect("it is NDJSON").0[0].what, note);
    }
    let ended = |more: &str, outcome: &str| {
        let timing = "\"queue\": 0, \"guest\": 1, \"host\": 0, \"boundary\": 0";
        let sizes = "\"bytes-in\": 1, \"bytes-out\": 0, \"frames-out\": 0, \"memory\": 1";
        let fields = format!("\"call\": 1, {timing}, {sizes}{more}");
        format!("{{\"type\": \"call-ended\", {fields}, \"outcome\": {{{outcome}}}}}")
    };
    check(ended("", "").replace("{}", "5").as_bytes(), "`outcome` must be an object");
    let completed = "\"outcome\": \"completed\"";
    import_bytes(ended("", completed).as_bytes()).expect("it is NDJSON");
    let deadline = "\"deadline\": {\"secs\": 1, \"nanos\": 0}";
    let late = |more: &str| format!("\"outcome\": \"timed-out\", {deadline}{more}");
    import_bytes(ended("", &late("")).as_bytes()).expect("it is NDJSON");
    let unknown = "unknown field `outcome.code` of `call-ended`";
    check(ended("", &format!("{completed}, \"code\": 5")).as_bytes(), unknown);
    check(ended("", &late(", \"code\": 5")).as_bytes(), unknown);
    check(ended(", \"extra\": 1", completed).as_bytes(), "unknown field `extra` of `call-ended`");
    let deeper = "\"outcome\": \"timed-out\", \"deadline\": {\"secs\": 1, \"nanos\": 0, \"a\": 1}";
    // One line has one number.
    check(ended("", deeper).as_bytes(), "unknown field `a`, expected `secs` or `nanos`: /");
    let twice = format!("{completed}, \"outcome\": \"cancelled\"");
    check(ended("", &twice).as_bytes(), "duplicate field `outcome`: /");
    let call = "\"service\": \"a.b\", \"permission\": \"log\", \"result\": 1";
    let host_call = format!("{{\"type\": \"host-call\", \"call\": 1, {call}, \"index\": 1}}");
    check(host_call.as_bytes(), "unknown field `index` of `host-call`");
}

#[test]
fn frames_can_be_written_by_hand() {
    let text = "\u{FEFF}{\"payload\": \"hi\"}\n\n{\"kind\": \"control\", \"header\": {\"id\": 7}, \"payload\": {\"a\": 1}}";
    let (events, _) = import_bytes(text.as_bytes()).expect("it is NDJSON");
    assert_eq!(&frame_of(&events[0]).payload[..], b"hi");
    assert_eq!(frame_of(&events[1]).header.get_integer("id"), Some(7));
    assert_eq!(&frame_of(&events[1]).payload[..], b"{\"a\": 1}");
    assert!(matches!(events[1].what, What::FrameIn { call: CallId(2), .. }));
}

#[test]
fn every_event_survives_ndjson() {
    for event in crate::sample::events() {
        let mut line = Vec::new();
        export::write_ndjson(
            &event,
            Some(&format!("{} · 1.0.0", event.plugin)),
            Some("1.0.0"),
            &mut line,
        )
        .expect("memory takes all");
        let (events, _) = import_bytes(&line).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(events, [event]);
    }
}

#[test]
fn json_payloads_stay_as_they_were_written() {
    fn check(payload: &str) {
        let line = format!("{{\"header\":{{\"id\":1}},\"payload\": {payload} ,\"kind\":\"data\"}}");
        let (events, _) = import_bytes(line.as_bytes()).expect(payload);
        assert_eq!(frame_of(&events[0]).payload, payload.as_bytes(), "{payload}");
        let mut exported = Vec::new();
        export::write_ndjson(&events[0], None, None, &mut exported).expect("memory takes all");
        let (again, _) = import_bytes(&exported).expect(payload);
        assert_eq!(frame_of(&again[0]).payload, payload.as_bytes(), "{payload}");
    }
    check(r#"{"z":1,"v":12345678901234567890123,"w":-0}"#);
    check(r#"[ 0.10, 1E2, 1e400, 18446744073709551615, 9007199254740993 ]"#);
    check(r#"{"a":1,"a":{"b":2,"b":3}}"#);
    check(r#"{"n":"\ud83d","\udc00":"\u0041"}"#);
    check("123456789012345678901");
    check("true");
    check(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
}

#[test]
fn what_cannot_be_held_is_refused() {
    fn check(line: &str, expected: &str) {
        let error = import_bytes(line.as_bytes()).expect_err(line).to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check(
        r#"{"header":{"id":123456789012345678901}}"#,
        "line 1 is no event: `header`: the number 123456789012345678901 at `/id` does not \
         fit: whole numbers go from -18446744073709551616 to 18446744073709551615; write it as a text",
    );
    check(
        r#"{"header":{"a/b":[1,{"c":-18446744073709551617}]}}"#,
        "the number -18446744073709551617 at `/a~1b/1/c` does not fit: ",
    );
    check(
        r#"{"header":{"id":0.1000000000000000000001}}"#,
        "the number 0.1000000000000000000001 at `/id` does not fit into 64 bits",
    );
    let long = format!("1{}", "0".repeat(300));
    check(&format!(r#"{{"sequence":{long},"payload":1}}"#), "`sequence` is 100000");
    let (largest, nanos) = ("18446744073709551616", "from 0 to 18446744073709551615");
    for key in ["sequence", "at", "instance", "call"] {
        let expected =
            format!("line 1 is no event: `{key}` is {largest}, and must be a whole number {nanos}");
        check(&format!(r#"{{"payload":"x","{key}":{largest}}}"#), &expected);
    }
    let small = "and must be a whole number from 0 to 4294967295";
    for wrong in ["4294967296", "-1", "1.5", "1e3", "\"1\""] {
        let expected = format!("line 1 is no event: `generation` is {wrong}, {small}");
        check(&format!(r#"{{"payload":"x","generation":{wrong}}}"#), &expected);
    }
    check(
        r#"{"type":"frame-out","payload":"x","call":3,"index":4294967296}"#,
        &format!("line 1 is no event: `index` is 4294967296, {small}"),
    );
    let host_call = |more: &str| {
        format!(r#"{{"type":"host-call","call":1,"service":"a","permission":"log",{more}}}"#)
    };
    check(&host_call(r#""result":1,"took":1.5"#), "`took` is 1.5, and must be a whole");
    check(&host_call(r#""error":4294967296"#), &format!("`error` is 4294967296, {small}"));
    check(r#"{"header":{"a\ud800":1}}"#, "half of a surrogate pair");
    check(r#"{"payload":"a\ud800"}"#, "`payload` has half of a surrogate pair");
    check(r#"{"payload":1,"payload":2}"#, "`payload` stands there twice");
}

#[test]
fn host_calls_survive_ndjson_exactly() {
    #[track_caller]
    fn check(arguments: Value) {
        let mut event = crate::sample::events()
            .into_iter()
            .find(|event| matches!(event.what, What::HostCall { .. }))
            .expect("the sample has one");
        if let What::HostCall { host_call, .. } = &mut event.what {
            host_call.arguments = Value::Array(vec![arguments]);
        }
        let line = |event: &Event| {
            let mut line = Vec::new();
            export::write_ndjson(event, None, None, &mut line).expect("memory takes all");
            String::from_utf8(line).expect("JSON is text")
        };
        let text = line(&event);
        let (events, _) =
            import_bytes(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        // With the exact bytes; a large integer may come back as the tag that it is written as.
        let back: String = events.iter().map(line).collect();
        assert_eq!(back, text);
    }
    check(Value::Text("hex:00".into()));
    check(Value::Bytes(vec![0]));
    check(Value::Tag(1, Box::new(Value::Integer(5))));
    check(Value::Map(vec![(Value::Integer(1), Value::Simple(99))]));
    check(Value::Integer(-(1 << 64)));
    check(Value::Integer(1 << 64));
    check(Value::Integer(i128::MIN));
}

#[test]
fn times_that_need_more_than_64_bits_survive_ndjson() {
    for time in [1i128 << 64, (1 << 64) - 1, -(1 << 64) - 1, 1 << 100] {
        let mut event = crate::sample::events().swap_remove(0);
        event.what = What::FrameIn {
            call: CallId(1),
            frame: glovebox_abi::Frame::new(
                glovebox_abi::Kind::DATA,
                glovebox_abi::Header::build().integer("time", time).finish(),
                bytes::Bytes::from_static(b"x"),
            ),
        };
        let mut line = Vec::new();
        export::write_ndjson(
            &event,
            Some(&format!("{} · 1.0.0", event.plugin)),
            Some("1.0.0"),
            &mut line,
        )
        .expect("memory takes all");
        let text = String::from_utf8_lossy(&line).into_owned();
        assert!(text.contains(&time.to_string()), "{text}");
        let (events, _) = import_bytes(&line).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(events, [event], "{text}");
    }
}

#[test]
fn twins_must_say_the_same() {
    #[track_caller]
    fn check(line: &str, expected: Result<(), &str>) {
        match (import_bytes(line.as_bytes()), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(names)) => {
                let error = error.to_string();
                let expected =
                    format!("{names} do not say the same; remove the one that is out of date");
                assert!(error.contains(&expected), "{error}");
            }
            (found, _) => panic!("{line}: {found:?}"),
        }
    }
    // {"mail": "ali"}
    let mail = r#""header_hex":"a1646d61696c63616c69""#;
    let headers = Err("`header` and `header_hex`");
    check(&format!("{{{mail}}}"), Ok(()));
    check(&format!(r#"{{"header":{{ "mail": "\u0061li" }},{mail}}}"#), Ok(()));
    check(&format!(r#"{{"header":{{"mail":"redacted"}},{mail}}}"#), headers);
    check(&format!(r#"{{{mail},"header":{{}}}}"#), headers);
    check(&format!(r#"{{{mail},"header":{{"mail":"ali","mail":"ali"}}}}"#), headers);
    check(&format!(r#"{{{mail},"header":"mail"}}"#), headers);
    // {1: tagged 1000000.0}: JSON has neither.
    let tagged = r#""header_hex":"a101c1fb412e848000000000""#;
    check(&format!(r#"{{{tagged},"header":{{"1":1000000.0}}}}"#), Ok(()));
    check(&format!(r#"{{{tagged},"header":{{"1":1000000.5}}}}"#), headers);
    let payloads = Err("`payload` and `payload_hex`");
    check(r#"{"payload":"hi","payload_hex":"6869"}"#, Ok(()));
    check(r#"{"payload":"x","payload_hex":"00"}"#, payloads);
    check(r#"{"payload_hex":"","payload":"x"}"#, payloads);
    check(r#"{"payload":{"a":1},"payload_hex":"7b7d"}"#, payloads);

    let mut event = crate::sample::events()
        .into_iter()
        .find(|event| matches!(event.what, What::HostCall { .. }))
        .expect("the sample has one");
    if let What::HostCall { host_call, .. } = &mut event.what {
        host_call.arguments = Value::Tag(1, Box::new(Value::Integer(5)));
    }
    let line = serde_json::json!(export::to_json(&event));
    let with = |key: &str, value: serde_json::Value| {
        let mut line = line.clone();
        line[key] = value;
        line.to_string()
    };
    check(&line.to_string(), Ok(()));
    check(&with("arguments", 6.into()), Err("`arguments` and `host_call_hex`"));
    check(&with("service", "kv-get".into()), Err("`service` and `host_call_hex`"));
    check(&with("took", 7_000_000.into()), Err("`took` and `host_call_hex`"));
    check(&with("note", "mine".into()), Err("`note` and `host_call_hex`"));
}

#[test]
fn floats_of_any_size_survive_ndjson() {
    #[track_caller]
    fn check(float: f64) {
        let header = Header::from_entries(vec![(Value::Text("n".into()), Value::Float(float))]);
        let frame = Frame::new(glovebox_abi::Kind::DATA, header, &b""[..]);
        let what = What::FrameIn { call: CallId(1), frame: frame.clone() };
        let event =
            Event { sequence: 0, at: 0, plugin: "p".into(), instance: 0, generation: 1, what };
        let mut line = Vec::new();
        export::write_ndjson(
            &event,
            Some(&format!("{} · 1.0.0", event.plugin)),
            Some("1.0.0"),
            &mut line,
        )
        .expect("memory takes all");
        let (events, _) = import_bytes(&line).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(frame_of(&events[0]), &frame, "{float}");
    }
    check(1e16);
    check(1.5e18);
    check(-1e19);
    check(1e20);
    check(1e300);
    check(5e-324);
    check(-0.0);
}

#[test]
fn keys_of_a_har_file_stand_there_once() {
    #[track_caller]
    fn check(text: &str, key: &str) {
        let error = import_bytes(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(&format!("`{key}` stands there twice")), "{error}");
    }
    check(r#"{"log":{"entries":[{"a":1}],"entries":[{"b":1}]}}"#, "entries");
    check(r#"{"log":{"entries":[]},"log":{"entries":[{"b":1}]}}"#, "log");
    let twice =
        r#""startedDateTime":"2024-01-01T12:00:00Z","startedDateTime":"2025-01-01T12:00:00Z""#;
    check(&format!("{{\"log\":{{\"entries\":[{{{twice}}}]}}}}"), "startedDateTime");
}

#[test]
fn every_call_of_a_trace_has_a_number_of_its_own() {
    /// Each line is a plugin, an instance, a generation, and what happened in which call; expects the
    /// numbers that calls have then, and how many of them are new.
    #[track_caller]
    fn check(lines: &[(&str, u64, u32, &str, u64)], expected: &[u64], renumbered: u64) {
        let line = |(plugin, instance, generation, what, call): &(&str, u64, u32, &str, u64)| {
            let event = match *what {
                "in" => r#""type":"frame-in","payload":"x""#,
                "out" => r#""type":"frame-out","payload":"x""#,
                "asked" => r#""type":"host-call","service":"now","permission":"log","result":1"#,
                _ => {
                    r#""type":"call-ended","outcome":{"outcome":"completed"},"queue":0,"guest":1,"host":0,"boundary":0,"bytes-in":1,"bytes-out":0,"frames-out":0,"memory":1"#
                }
            };
            format!(
                r#"{{"plugin":"{plugin}","instance":{instance},"generation":{generation},"call":{call},{event}}}"#
            )
        };
        let text: Vec<_> = lines.iter().map(line).collect();
        let (events, report) = import_bytes(text.join("\n").as_bytes()).expect("it is NDJSON");
        let found: Vec<_> = events.iter().filter_map(|event| event.what.call()).collect();
        let found: Vec<_> = found.into_iter().map(|call| call.0).collect();
        assert_eq!((found, report.renumbered_calls), (expected.to_vec(), renumbered));
    }
    let p = |what, call| ("p", 0, 1, what, call);
    check(&[p("in", 1), p("asked", 1), p("out", 1), p("end", 1), p("in", 7)], &[1, 1, 1, 1, 7], 0);
    // Another plugin, instance or generation counts by itself.
    for other in [("q", 0, 1), ("p", 1, 1), ("p", 0, 2)] {
        let q = |what, call| (other.0, other.1, other.2, what, call);
        check(
            &[p("in", 1), q("in", 1), q("asked", 1), p("end", 1), q("end", 1), q("in", 2)],
            &[1, 2, 2, 1, 2, 3],
            2,
        );
        // The end alone is a call of its own, too.
        check(&[p("in", 1), p("end", 1), q("end", 1)], &[1, 1, 2], 1);
    }
    // The same key again cannot be the same call.
    check(
        &[p("in", 1), p("end", 1), p("in", 1), p("out", 1), p("end", 1), p("in", 1)],
        &[1, 1, 2, 2, 2, 3],
        2,
    );
    check(&[p("in", 1), p("in", 1), p("end", 1)], &[1, 2, 2], 1);
}

#[test]
fn lines_without_a_time_have_that_of_one_beside_them() {
    #[track_caller]
    fn check(times: &[Option<u64>], expected: &[u64], without: u64) {
        let line = |time: &Option<u64>| match time {
            Some(time) => format!(r#"{{"payload":"a","at":{time}}}"#),
            None => r#"{"payload":"a"}"#.to_owned(),
        };
        let text = times.iter().map(line).collect::<Vec<_>>().join("\n");
        let (events, report) = import_bytes(text.as_bytes()).expect("it is NDJSON");
        let found: Vec<_> = events.iter().map(|event| event.at).collect();
        assert_eq!((found, report.without_time), (expected.to_vec(), without), "{times:?}");
    }
    check(&[None, None, None], &[0, 1, 2], 0);
    check(&[Some(500), None, Some(700), None], &[500, 500, 700, 700], 2);
    check(&[None, None, Some(500)], &[500, 500, 500], 2);
}

#[test]
fn texts_stay_texts_and_bytes_stay_bytes() {
    #[track_caller]
    fn check(value: Value, in_hex: bool, warned: u64) {
        let header = Header::from_entries(vec![(Value::Text("color".into()), value)]);
        let frame = Frame::new(glovebox_abi::Kind::DATA, header, &b""[..]);
        let what = What::FrameIn { call: CallId(1), frame: frame.clone() };
        let event =
            Event { sequence: 0, at: 0, plugin: "p".into(), instance: 0, generation: 1, what };
        let mut line = Vec::new();
        export::write_ndjson(&event, None, None, &mut line).expect("memory takes all");
        let text = String::from_utf8_lossy(&line).into_owned();
        assert_eq!(text.contains("header_hex"), in_hex, "{text}");
        let (events, report) = import_bytes(&line).expect("it is NDJSON");
        assert_eq!(frame_of(&events[0]), &frame, "{text}");
        assert_eq!(report.texts_like_bytes, warned, "{text}");
    }
    check(Value::Text("hex:AABBCC".into()), false, 1);
    check(Value::Text("hex: no digits".into()), false, 0);
    check(Value::Bytes(vec![0xAA, 0xBB]), true, 0);
    check(Value::Array(vec![Value::Text("hex:00".into())]), false, 1);
}

#[test]
fn names_of_instances_survive_ndjson() {
    let line = |instance: u64, name: &str| {
        format!(r#"{{"payload":"a","plugin":"p","instance":{instance},"instance_name":"{name}"}}"#)
    };
    let text = [line(0, "p · a.wasm"), line(1, "p · 1.0.0"), line(0, "p · a.wasm")].join("\n");
    let (_, report) = import_bytes(text.as_bytes()).expect("it is NDJSON");
    let name = |instance| glovebox_trace::instance_name(&report.plugins, "p", instance);
    assert_eq!([name(0), name(1)].map(Option::unwrap), ["p · a.wasm", "p · 1.0.0"]);
    // In the file, too.
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("a.mcap");
    let mut writer = glovebox_trace::TraceWriter::create(&path, "0.1.0").expect("there is space");
    for plugin in &report.plugins {
        writer.describe_plugin(plugin).expect("there is space");
    }
    writer.finish().expect("there is space");
    let plugins = glovebox_trace::read(&path).expect("it is a trace").plugins;
    assert_eq!(plugins, report.plugins);
    for (wrong, reason) in [
        (line(0, "a.wasm"), "begins with `p · `"),
        ([line(0, "p · a"), line(0, "p · b")].join("\n"), "was `p · a` before"),
    ] {
        let error = import_bytes(wrong.as_bytes()).expect_err(&wrong).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn the_plugins_of_events_are_named() {
    let (_, report) = import_bytes(&pcap(DataLink::ETHERNET, &[&udp(b"x")])).expect("a capture");
    let ids: Vec<_> = report.plugins.iter().map(|plugin| plugin.id.as_str()).collect();
    assert_eq!(ids, [CAPTURE_PLUGIN]);
    let loaded = |generation: u32, version: &str| {
        format!(
            r#"{{"type":"loaded","plugin":"p","generation":{generation},"version":"{version}","tier":"wasm","binding":"component","digest":"d{generation}","took":1,"cached":false}}"#
        )
    };
    let text = [loaded(1, "1.0.0"), loaded(2, "2.0.0")].join("\n");
    let (_, report) = import_bytes(text.as_bytes()).expect("it is NDJSON");
    let [plugin] = &report.plugins[..] else { panic!("{report:?}") };
    let [instance] = &plugin.instances[..] else { panic!("{plugin:?}") };
    assert_eq!((&*plugin.version, &*instance.digest), ("2.0.0", "d2"));
    assert_eq!(instance.binding, Some(glovebox_events::Binding::Component));
}

#[test]
fn refusals_name_the_field() {
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let error = import_bytes(line.as_bytes()).expect_err(line).to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check(r#"{"header_hex":"c101"}"#, "line 1 is no event: `header_hex`: ");
    check(r#"{"header_hex":"a0000000"}"#, "line 1 is no event: `header_hex`: ");
    check(r#"{"type":"host-call","host_call_hex":"a1"}"#, "line 1 is no event: `host_call_hex`: ");
    check(
        r#"{"payload":"a","at":1e9}"#,
        "`at` is 1e9, and must be a whole number from 0 to 18446744073709551615, written with digits",
    );
}
