use std::time::Duration;

use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;

use super::*;
use crate::metrics::{Bucket, Series};
use crate::sample;

fn metrics() -> InstanceMetrics {
    let mut metrics = InstanceMetrics::keeping(100, &[]);
    sample::events().iter().for_each(|event| metrics.ingest(event));
    metrics
}

#[test]
fn copies_and_versions_stay_apart() {
    /// Checks instances, generations and versions that answered a call each, against the labels of
    /// the calls in figures and the first fields of the lines of series.
    #[track_caller]
    fn check(ran: &[(u64, u32, &str)], labels: &[&str], lines: &[&str]) {
        let mut metrics = InstanceMetrics::keeping(100, &[]);
        for (instance, generation, version) in ran {
            let loaded = What::Loaded {
                version: (*version).to_owned(),
                tier: glovebox_abi::manifest::Tier::Wasm,
                binding: glovebox_events::Binding::FrameAbi,
                digest: String::new(),
                took: Duration::ZERO,
                cached: false,
            };
            let ended = What::CallEnded {
                call: glovebox_events::CallId(1),
                outcome: glovebox_events::Outcome::Completed,
                timing: glovebox_events::Timing::default(),
                bytes_in: 0,
                bytes_out: 0,
                frames_out: 0,
                memory: None,
            };
            for what in [loaded, ended] {
                let (instance, generation) = (*instance, *generation);
                let plugin = "echo".into();
                let event = Event { sequence: 0, at: 0, plugin, instance, generation, what };
                metrics.ingest(&event);
            }
        }
        let mut text = Vec::new();
        write_prometheus(&metrics.generations(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let calls = "glovebox_plugin_calls_total{plugin=\"echo\",";
        let found = text.lines().filter_map(|line| line.strip_prefix(calls));
        assert_eq!(found.collect::<Vec<_>>(), labels);
        let mut text = Vec::new();
        let series = metrics.series(false);
        write_csv(series.iter().map(|(runner, series)| (runner, series)), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let found = text.lines().skip(1).map(|line| line.split_once(",0,1000000000").unwrap().0);
        assert_eq!(found.collect::<Vec<_>>(), lines);
    }
    check(
        &[(1, 1, "1.0.0"), (2, 1, "1.0.0"), (1, 2, "2.0.0")],
        &[
            "instance=\"1\",version=\"1.0.0\",generation=\"1\"} 1",
            "instance=\"2\",version=\"1.0.0\",generation=\"1\"} 1",
            "instance=\"1\",version=\"2.0.0\",generation=\"2\"} 1",
        ],
        &["echo,1,1.0.0", "echo,2,1.0.0", "echo,1,2.0.0"],
    );
}

#[test]
fn prometheus_reads_well() {
    let mut figures = metrics().generations();
    let silent =
        figures.iter_mut().find(|(one, _)| &*one.plugin == "redact").expect("the sample has it");
    silent.0.plugin = "a\"b\\c\nd".into();
    let mut text = Vec::new();
    write_prometheus(&figures, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let check = |line: &str| assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    let escaped = "plugin=\"a\\\"b\\\\c\\nd\",instance=\"4\",version=\"1.3.0\",generation=\"2\"";
    let echo = "plugin=\"echo\",instance=\"4\",version=\"1.3.0\",generation=\"2\"";
    check("# TYPE glovebox_plugin_calls_total counter");
    check(&format!("glovebox_trace_outcomes_total{{{echo},outcome=\"cancelled\"}} 1"));
    check(&format!("glovebox_trace_frames_total{{{escaped},direction=\"in\"}} 0"));
    check("# TYPE glovebox_plugin_call_duration_seconds histogram");
    let part = "part=\"boundary\"";
    check(&format!("glovebox_trace_time_seconds_total{{{echo},{part}}} 0.000000012"));
    check(&format!("glovebox_plugin_memory_bytes{{{echo}}} 65536"));
    let durations = "glovebox_plugin_call_duration_seconds";
    check(&format!("{durations}_bucket{{{echo},le=\"0.000001024\"}} 3"));
    check(&format!("{durations}_bucket{{{echo},le=\"+Inf\"}} 3"));
    check(&format!("{durations}_count{{{echo}}} 3"));
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
        let (instance, version) = (7, "1.0".into());
        let runner = Runner { plugin: plugin.into(), instance, version };
        write_csv([(&runner, &series)], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (header, line) = text.split_once("\r\n").unwrap();
        assert_eq!(line, format!("{expected}\r\n"));
        assert_eq!(header.split(',').count(), 11);
    }
    let bucket = Bucket { start: 5, frames: 3, ..Bucket::default() };
    check("echo", bucket, "echo,7,1.0,5,100000000,3,0,0,,,");
    let p50 = Some(Duration::from_micros(2));
    let whole = Bucket { calls: 2, errors: 1, p50, memory: Some(7), ..bucket };
    check("a,\"b\"", whole, "\"a,\"\"b\"\"\",7,1.0,5,100000000,3,2,1,2000,,7");
}

/// The sample, with each call in one plugin.
fn calls_of_one_plugin() -> Vec<Event> {
    let mut events = sample::events();
    let of_calls = events.iter_mut().filter(|event| event.what.call().is_some());
    of_calls.for_each(|event| event.plugin = "echo".into());
    events
}

#[test]
fn calls_become_slices() {
    let start = sample::events().iter().map(|event| event.at).min().unwrap();
    let mut writer = PerfettoWriter::new(Vec::new(), start).unwrap();
    for event in calls_of_one_plugin() {
        writer.write(&event).unwrap();
    }
    let json: serde_json::Value = serde_json::from_slice(&writer.finish().unwrap()).unwrap();
    let entries = json["traceEvents"].as_array().unwrap();
    let check = |phase: &str, name: &str, expected: usize| {
        let found = entries.iter().filter(|one| one["ph"] == phase && one["name"] == name);
        assert_eq!(found.count(), expected, "{phase} {name}: {json:#}");
    };
    check("M", "process_name", 2);
    check("X", "kv-set", 2);
    check("i", "kv-set denied", 1);
    check("i", "the state cannot be saved", 1);
    check("C", "memory", 5);
    let calls = entries.iter().filter(|one| one["args"]["outcome"].is_string());
    let calls: Vec<_> = calls.collect();
    assert_eq!(calls.len(), 5);
    // From the input to the sum of guest, host and boundary, in microseconds.
    assert_eq!(
        (&calls[0]["ts"], &calls[0]["dur"]),
        (&serde_json::Value::from(0.002), &serde_json::Value::from(0.009))
    );
}

#[test]
fn slices_keep_their_times_in_a_trace_without_order() {
    let mut writer = PerfettoWriter::new(Vec::new(), 1_000).unwrap();
    let event = sample::events().into_iter().find(|one| matches!(one.what, What::Phase { .. }));
    for at in [3_000, 1_000, 2_000] {
        writer.write(&Event { at, ..event.clone().unwrap() }).unwrap();
    }
    let json: serde_json::Value = serde_json::from_slice(&writer.finish().unwrap()).unwrap();
    let marks = json["traceEvents"].as_array().unwrap().iter().filter(|one| one["ph"] == "i");
    assert_eq!(marks.map(|one| one["ts"].clone()).collect::<Vec<_>>(), [2.0, 0.0, 1.0]);
}

/// The packets of a file, with the name of their interface.
fn packets(file: &[u8]) -> Vec<(String, Duration, Vec<u8>)> {
    use pcap_file::pcapng::{Block, PcapNgReader};

    let mut reader = PcapNgReader::new(file).unwrap();
    let (mut names, mut found) = (Vec::new(), Vec::new());
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
                let name: &String = &names[packet.interface_id as usize];
                found.push((name.clone(), packet.timestamp, packet.data.to_vec()));
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

#[test]
fn frames_become_packets() {
    use glovebox_abi::Frame;
    use glovebox_events::Outcome;

    let events = calls_of_one_plugin();
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    let written = events.iter().filter(|event| writer.write(event).unwrap()).collect::<Vec<_>>();
    let found = packets(&writer.finish().unwrap().0);
    assert!(
        found.len() > 1 && found.len() == written.len(),
        "{} of {}",
        found.len(),
        written.len()
    );
    for ((name, time, data), event) in found.into_iter().zip(written) {
        let (direction, call, frame) = match &event.what {
            What::FrameIn { call, frame } => (1, call, frame),
            What::FrameOut { call, frame, .. } => (2, call, frame),
            other => panic!("{other:?} has no frame"),
        };
        let end = events.iter().find_map(|event| match &event.what {
            What::CallEnded { call: ended, outcome, timing, .. } if ended == call => {
                let outcome = Outcome::NAMES.iter().position(|name| *name == outcome.name());
                Some((outcome.unwrap() as u8 + 1, timing.latency().as_nanos() as u64))
            }
            _ => None,
        });
        let (outcome, latency) = end.unwrap_or_default();
        assert_eq!(data[..4], [2, direction, outcome, 0]);
        assert_eq!(data[4..8], event.generation.to_le_bytes());
        assert_eq!(data[8..16], call.0.to_le_bytes());
        assert_eq!(data[16..24], latency.to_le_bytes());
        let rest = data[24..].to_vec().into();
        assert_eq!(&Frame::decode(&rest).unwrap(), frame);
        assert_eq!(time.as_nanos(), event.at.into());
        assert_eq!(name, *event.plugin);
    }
}

#[test]
fn long_packets_are_cut_and_counted() {
    use glovebox_abi::{FRAME_PREFIX_LEN, Frame};
    use glovebox_events::CallId;
    use pcap_file::pcapng::{Block, PcapNgReader};

    /// Checks a frame so much longer than fits.
    fn check(more: usize) {
        let fits = MAX_PACKET - 24 - FRAME_PREFIX_LEN;
        let frame = Frame::data(vec![7; fits + more]);
        assert_eq!(frame.encoded_len() + 24, MAX_PACKET + more);
        let what = What::FrameIn { call: CallId(1), frame };
        let mut writer = PcapngWriter::new(Vec::new()).unwrap();
        let plugin = "a".into();
        let event = Event { sequence: 1, at: 1, plugin, instance: 0, generation: 1, what };
        assert!(writer.write(&event).unwrap());
        let (file, cut) = writer.finish().unwrap();
        assert_eq!(cut, u64::from(more > 0));
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let packet = std::iter::from_fn(|| {
            reader.next_block().map(|block| match block.unwrap() {
                Block::EnhancedPacket(packet) => Some((packet.data.len(), packet.original_len)),
                _ => None,
            })
        });
        let expected = (MAX_PACKET, (MAX_PACKET + more) as u32);
        assert_eq!(packet.flatten().collect::<Vec<_>>(), [expected]);
    }
    check(0);
    check(1);
    check(1 << 20);
}

#[test]
fn packets_wait_for_the_ends_of_their_calls() {
    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Outcome, Timing};

    /// Checks events of calls and how many bytes may wait against the calls of the packets with the
    /// numbers of their outcomes.
    #[track_caller]
    fn check(events: &[(&str, u64)], max_waiting: usize, expected: &[(u64, u8)]) {
        let mut writer = PcapngWriter::with_waiting(Vec::new(), max_waiting).unwrap();
        for (at, (what, call)) in events.iter().enumerate() {
            let (call, frame) = (CallId(*call), Frame::data("x"));
            let what = match *what {
                "in" => What::FrameIn { call, frame },
                "out" => What::FrameOut { call, index: 0, emitted: false, frame },
                _ => What::CallEnded {
                    call,
                    outcome: Outcome::Cancelled,
                    timing: Timing { guest: Duration::from_nanos(call.0), ..Timing::default() },
                    bytes_in: 0,
                    bytes_out: 0,
                    frames_out: 0,
                    memory: None,
                },
            };
            let (sequence, at) = (at as u64, at as u64);
            let plugin = "a".into();
            writer
                .write(&Event { sequence, at, plugin, instance: 0, generation: 1, what })
                .unwrap();
        }
        let found = packets(&writer.finish().unwrap().0);
        assert!(found.is_sorted_by_key(|(_, time, _)| *time), "{found:?}");
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let told: Vec<(u64, u8)> =
            found.iter().map(|(.., data)| (number(&data[8..16]), data[2])).collect();
        assert_eq!(told, expected);
        for (.., data) in &found {
            let latency = if data[2] == 0 { 0 } else { number(&data[8..16]) };
            assert_eq!(number(&data[16..24]), latency);
        }
    }
    check(&[("in", 1), ("out", 1), ("end", 1)], 1000, &[(1, 2), (1, 2)]);
    let nested = [("in", 1), ("in", 2), ("out", 2), ("end", 2), ("end", 1)];
    check(&nested, 1000, &[(1, 2), (2, 2), (2, 2)]);
    // Call 1 never ends.
    check(&nested[..4], 1000, &[(1, 0), (2, 2), (2, 2)]);
    // Two packets may wait.
    check(&nested, 300, &[(1, 0), (2, 2), (2, 2)]);
    check(&nested, 0, &[(1, 0), (2, 0), (2, 0)]);
}

/// Calls of two plugins that count alike, which run at the same time.
fn twins() -> Vec<Event> {
    use glovebox_abi::Frame;
    use glovebox_events::{CallId, Outcome, Timing};
    let call = CallId(1);
    let event = |at: u64, plugin: &str, what| Event {
        sequence: at,
        at,
        plugin: plugin.into(),
        instance: 0,
        generation: 1,
        what,
    };
    let begun = || What::FrameIn { call, frame: Frame::data("x") };
    let ended = |outcome, guest| What::CallEnded {
        call,
        outcome,
        timing: Timing { guest: Duration::from_nanos(guest), ..Timing::default() },
        bytes_in: 0,
        bytes_out: 0,
        frames_out: 0,
        memory: None,
    };
    let failed = Outcome::Failed { code: 1, message: "bad".to_owned() };
    vec![
        event(1, "p", begun()),
        event(2, "q", begun()),
        event(101, "p", ended(Outcome::Completed, 100)),
        event(5002, "q", ended(failed, 5000)),
    ]
}

#[test]
fn calls_of_plugins_that_count_alike_are_told_apart() {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    for event in twins() {
        writer.write(&event).unwrap();
    }
    let found = packets(&writer.finish().unwrap().0);
    let latency = |data: &[u8]| u64::from_le_bytes(data[16..24].try_into().unwrap());
    let told: Vec<_> = found.iter().map(|(.., data)| (data[2], latency(data))).collect();
    let number = |name| {
        glovebox_events::Outcome::NAMES.iter().position(|known| *known == name).unwrap() as u8 + 1
    };
    assert_eq!(told, [(number("completed"), 100), (number("failed"), 5000)]);

    let mut writer = PerfettoWriter::new(Vec::new(), 0).unwrap();
    twins().iter().for_each(|event| writer.write(event).unwrap());
    let json: serde_json::Value = serde_json::from_slice(&writer.finish().unwrap()).unwrap();
    let slices = json["traceEvents"].as_array().unwrap().iter().filter(|one| one["ph"] == "X");
    let starts: Vec<_> = slices.map(|one| one["ts"].as_f64().unwrap()).collect();
    assert_eq!(starts, [0.001, 0.002]);
}

#[test]
fn times_of_slices_are_exact_and_slices_nested() {
    let events = sample::events();
    let find =
        |is_it: fn(&What) -> bool| events.iter().find(|event| is_it(&event.what)).cloned().unwrap();
    let begun = find(|what| matches!(what, What::FrameIn { .. }));
    let asked = find(|what| matches!(what, What::HostCall { call: Some(_), .. }));
    let ended = find(|what| matches!(what, What::CallEnded { .. }));
    let start = 1_700_000_000_123_456_700;
    let mut writer = PerfettoWriter::new(Vec::new(), 0).unwrap();
    // The clock says that each host call, which took 250 ns, began before the call, and ended after it.
    for (event, after) in [(&begun, 0), (&asked, 30), (&asked, 89), (&ended, 89)] {
        let (plugin, instance) = (begun.plugin.clone(), begun.instance);
        let (mut what, generation) = (event.what.clone(), begun.generation);
        *what.call_mut().unwrap() = begun.what.call().unwrap();
        let event =
            Event { at: start + after, plugin, instance, generation, what, ..event.clone() };
        writer.write(&event).unwrap();
    }
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert!(text.contains("\"ts\":1700000000123456.700,"), "{text}");
    // As a reader of exact decimals takes them: in nanoseconds.
    let slices: Vec<(u64, u64)> = text
        .lines()
        .filter(|line| line.contains("\"ph\":\"X\""))
        .map(|line| {
            let number = |key: &str| {
                let (_, rest) = line.split_once(&format!("\"{key}\":")).unwrap();
                let end = rest.find(|one: char| one != '.' && !one.is_ascii_digit()).unwrap();
                rest[..end].replace('.', "").parse::<u64>().unwrap()
            };
            (number("ts"), number("ts") + number("dur"))
        })
        .collect();
    let at = |nanos: u64| start + nanos;
    assert_eq!(slices, [(at(0), at(30)), (at(30), at(89)), (at(0), at(89))]);
}
