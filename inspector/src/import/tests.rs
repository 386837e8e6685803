use glovebox_abi::cbor::Value;
use std::time::Duration;

use etherparse::PacketBuilder;
use glovebox_abi::{Frame, Header};
use glovebox_events::{CallId, What};
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
        let mut found = decode::header_json(frame);
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
                assert!(events.len() == 2 || report.cut_short.is_some(), "{report:?}");
            }
            Err(error) => assert!(matches!(error, ImportError::Io { .. }), "{error}"),
        }
    };
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("memory takes all");
        gzip.finish().expect("memory takes all")
    };
    check(gzip(&plain));
    // What several runs of gzip wrote one after the other is one file.
    check([gzip(&plain[..60]), gzip(&plain[60..])].concat());
    check(zstd::encode_all(&plain[..], 1).expect("memory takes all"));
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

#[test]
fn other_files_are_refused() {
    fn check(bytes: &[u8], expected: &str) {
        let error = import_bytes(bytes).expect_err("it is no capture").to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check(b"", "an empty file");
    check(b"hello", "a text; give a pcap");
    check(b"\x01\xFF\x03", "an unknown format");
    check(mcap::MAGIC, "needs no import");
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
    check(&foreign("glovebox"), "an MCAP file, which needs no import");
    check(b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "`git lfs pull`");
    check(b"{\n \"log\": {\n  \"version\": \"1.2\", \"creator\": {}", "a HAR file");
    check(b"{\"log\": {\"creator\": {},\n \"entries\": []}}", "a HAR file");
    check(b"{\n \"payload\": 1\n}", "one JSON value over several lines");
    check(b"[{\"payload\": 1}]", "a JSON list; write one line for each event: jq");
    check(b"\xFF\xFE{\0}\0", "UTF-16; save it as UTF-8");
    check(b"BZh91AY", "packed with bzip2");
    check(&[0xD4, 0xC3, 0xB2, 0xA1, 2], "damaged pcap file");
    check(b"{\"payload\": \"x\"}\n{", "line 2");
    check(b"{\"kind\": \"dta\"}", "not a frame kind");
    check(b"{\"type\": \"flown\"}", "flown");
    check(b"{\"payload_hex\": \"0\"}", "not hexadecimal");
    check(b"{\"order\": 1}", "unknown field `order`; what a frame carries stands in `payload`");
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
    for event in crate::trace::sample::events() {
        let mut line = Vec::new();
        export::write_ndjson(&event, &mut line).expect("memory takes all");
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
        export::write_ndjson(&events[0], &mut exported).expect("memory takes all");
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
        "`header`: the number 12345678901234567890",
    );
    check(r#"{"header":{"a\ud800":1}}"#, "half of a surrogate pair");
    check(r#"{"payload":"a\ud800"}"#, "`payload` has half of a surrogate pair");
    check(r#"{"payload":1,"payload":2}"#, "`payload` stands there twice");
    check(r#"["payload"]"#, "a JSON list");
}

#[test]
fn host_calls_survive_ndjson_exactly() {
    #[track_caller]
    fn check(arguments: Value) {
        let mut event = crate::trace::sample::events()
            .into_iter()
            .find(|event| matches!(event.what, What::HostCall { .. }))
            .expect("the sample has one");
        if let What::HostCall { host_call, .. } = &mut event.what {
            host_call.arguments = Value::Array(vec![arguments]);
        }
        let mut line = Vec::new();
        export::write_ndjson(&event, &mut line).expect("memory takes all");
        let (events, _) = import_bytes(&line).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(events, [event]);
    }
    check(Value::Text("hex:00".into()));
    check(Value::Bytes(vec![0]));
    check(Value::Tag(1, Box::new(Value::Integer(5))));
    check(Value::Map(vec![(Value::Integer(1), Value::Simple(99))]));
    check(Value::Integer(-(1 << 64)));
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

    let mut event = crate::trace::sample::events()
        .into_iter()
        .find(|event| matches!(event.what, What::HostCall { .. }))
        .expect("the sample has one");
    if let What::HostCall { host_call, .. } = &mut event.what {
        host_call.arguments = Value::Tag(1, Box::new(Value::Integer(5)));
    }
    let line = export::to_json(&event);
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
        export::write_ndjson(&event, &mut line).expect("memory takes all");
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
