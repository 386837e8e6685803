use std::time::Duration;

use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;

use super::*;
use crate::metrics::{Bucket, Metrics, Series};
use crate::trace::sample;

fn metrics() -> Metrics {
    let mut metrics = Metrics::default();
    sample::events().iter().for_each(|event| metrics.ingest(event));
    metrics
}

#[test]
fn prometheus_reads_well() {
    let mut figures = metrics().snapshot().generations;
    figures[0].plugin = "a\"b\\c\nd".into();
    let mut text = Vec::new();
    write_prometheus(&figures, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let check = |line: &str| assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    let escaped = "plugin=\"a\\\"b\\\\c\\nd\",generation=\"2\"";
    check("# TYPE glovebox_calls_total counter");
    check("glovebox_calls_total{plugin=\"echo\",generation=\"2\",outcome=\"cancelled\"} 1");
    check(&format!("glovebox_frames_total{{{escaped},direction=\"in\"}} 0"));
    check("# TYPE glovebox_call_latency_seconds summary");
    check(
        "glovebox_time_seconds_total{plugin=\"echo\",generation=\"2\",part=\"boundary\"} 0.000000012",
    );
    check("glovebox_memory_bytes{plugin=\"echo\",generation=\"2\"} 65536");
    check("glovebox_call_latency_seconds_count{plugin=\"echo\",generation=\"2\"} 3");
    // Each family is announced once, before its samples.
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1);
    }
}

#[test]
fn series_become_lines() {
    fn check(plugin: &str, bucket: Bucket, expected: &str) {
        let step = Duration::from_millis(100);
        let series = Series { step, buckets: vec![bucket], ..Series::default() };
        let mut text = Vec::new();
        write_csv([(plugin, &series)], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (header, line) = text.split_once("\r\n").unwrap();
        assert_eq!(line, format!("{expected}\r\n"));
        assert_eq!(header.split(',').count(), 9);
    }
    let bucket = Bucket { start: 5, frames: 3, ..Bucket::default() };
    check("echo", bucket, "echo,5,100000000,3,0,0,,,");
    let p50 = Some(Duration::from_micros(2));
    let whole = Bucket { calls: 2, errors: 1, p50, memory: Some(7), ..bucket };
    check("a,\"b\"", whole, "\"a,\"\"b\"\"\",5,100000000,3,2,1,2000,,7");
}

#[test]
fn calls_become_slices() {
    let mut writer = PerfettoWriter::new(Vec::new()).unwrap();
    for event in sample::events() {
        writer.write(&event).unwrap();
    }
    let json: Json = serde_json::from_slice(&writer.finish().unwrap()).unwrap();
    let entries = json["traceEvents"].as_array().unwrap();
    let check = |phase: &str, name: &str, expected: usize| {
        let found = entries.iter().filter(|one| one["ph"] == phase && one["name"] == name);
        assert_eq!(found.count(), expected, "{phase} {name}: {json:#}");
    };
    check("M", "process_name", 2);
    check("X", "kv-set", 2);
    check("i", "kv-set denied", 1);
    check("C", "memory", 5);
    let calls = entries.iter().filter(|one| one["args"]["outcome"].is_string());
    let calls: Vec<_> = calls.collect();
    assert_eq!(calls.len(), 5);
    // From the input to the sum of guest, host and boundary, in microseconds.
    assert_eq!((&calls[0]["ts"], &calls[0]["dur"]), (&Json::from(0.002), &Json::from(0.009)));
}

#[test]
fn frames_become_packets() {
    use glovebox_abi::Frame;
    use pcap_file::pcapng::{Block, PcapNgReader};

    let events = sample::events();
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    let written = events.iter().filter(|event| writer.write(event).unwrap()).collect::<Vec<_>>();
    let file = writer.finish();
    let mut reader = PcapNgReader::new(&file[..]).unwrap();
    let (mut names, mut found) = (Vec::new(), 0);
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::InterfaceDescription(interface) => {
                assert_eq!(u32::from(interface.linktype), 147);
                assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
                let name = interface.options.iter().find_map(|option| match option {
                    InterfaceDescriptionOption::IfName(name) => Some(name.clone().into_owned()),
                    _ => None,
                });
                names.push(name.unwrap());
            }
            Block::EnhancedPacket(packet) => {
                let event = written[found];
                let (direction, call, frame) = match &event.what {
                    What::FrameIn { call, frame } => (1, call, frame),
                    What::FrameOut { call, frame, .. } => (2, call, frame),
                    other => panic!("{other:?} has no frame"),
                };
                assert_eq!(packet.data[..4], [1, direction, 0, 0]);
                assert_eq!(packet.data[4..8], event.generation.to_le_bytes());
                assert_eq!(packet.data[8..16], call.0.to_le_bytes());
                let rest = packet.data[16..].to_vec().into();
                assert_eq!(&Frame::decode(&rest).unwrap(), frame);
                assert_eq!(packet.timestamp.as_nanos(), event.at.into());
                assert_eq!(names[packet.interface_id as usize], *event.plugin);
                found += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(found > 1 && found == written.len(), "{found} of {}", written.len());
}
