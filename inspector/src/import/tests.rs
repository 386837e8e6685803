use glovebox_abi::cbor::Value;
use std::time::Duration;

use etherparse::PacketBuilder;
use glovebox_abi::Frame;
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
fn other_files_are_refused() {
    fn check(bytes: &[u8], expected: &str) {
        let error = import_bytes(bytes).expect_err("it is no capture").to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    check(b"", "an empty file");
    check(b"hello", "an unknown format");
    check(mcap::MAGIC, "needs no import");
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
    check(r#"["payload"]"#, "an unknown format");
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
