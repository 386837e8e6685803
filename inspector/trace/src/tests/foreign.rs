//! The MCAP library reads our files, and we read them when it has written them anew.

use std::collections::BTreeMap;

use mcap::records::{Record, op};
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};

use super::*;

/// All records of a file, those in chunks too; every CRC is checked.
fn records(bytes: &[u8]) -> Vec<Record<'static>> {
    let mut reader = LinearReader::new_with_options(
        LinearReaderOptions::default()
            .with_validate_chunk_crcs(true)
            .with_validate_data_section_crc(true)
            .with_validate_summary_section_crc(true)
            .with_check_finishes_after_end_magic(true),
    );
    let mut rest = bytes;
    let mut records = Vec::new();
    while let Some(event) = reader.next_event() {
        match event.expect("it is good") {
            LinearReadEvent::ReadRequest(wanted) => {
                let (now, later) = rest.split_at(wanted.min(rest.len()));
                reader.insert(now.len()).copy_from_slice(now);
                reader.notify_read(now.len());
                rest = later;
            }
            LinearReadEvent::Record { opcode, data } => {
                records.push(mcap::parse_record(opcode, data).expect("it is good").into_owned());
            }
        }
    }
    assert_eq!(rest, b"");
    records
}

#[test]
fn the_library_agrees_with_every_part() {
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let manifest = "[plugin]\nid = \"redact\"\n".repeat(1000);
    let plugin = PluginRecord {
        id: "redact".into(),
        version: "1.0.0".into(),
        digest: "abc".into(),
        binding: Some(Binding::FrameAbi),
        manifest: Some(manifest.clone()),
        instances: Vec::new(),
    };
    writer.write(&input(0, vec![1; 600_000])).expect("there is space");
    writer.describe_plugin(&plugin).expect("there is space");
    let sizes = [0, 100, 200_000, 100_000, 70_000];
    let events: Vec<Event> = (1..).zip(sizes).map(|(n, size)| input(n, vec![2; size])).collect();
    events.iter().for_each(|event| writer.write(event).expect("there is space"));
    writer.finish().expect("there is space");

    let bytes = std::fs::read(&path).expect("it was written");
    let records = records(&bytes);
    let summary = mcap::Summary::read(&bytes).expect("it is MCAP").expect("it is finished");
    let mut found = BTreeMap::<u16, u64>::new();
    for record in &records {
        if let Record::Message { header, .. } = record {
            *found.entry(header.channel_id).or_default() += 1;
        }
    }
    let stats = summary.stats.as_ref().expect("they are there");
    assert_eq!(stats.channel_message_counts, found);
    assert_eq!((stats.message_count, stats.channel_count), (12, 3));
    assert_eq!((stats.message_start_time, stats.message_end_time), (1000, 1005));
    assert_eq!((stats.chunk_count, summary.chunk_indexes.len()), (4, 4));
    assert_eq!((stats.attachment_count, stats.metadata_count), (2, 6));

    // Every index leads to what it says.
    let mut streamed = 0;
    for chunk in &summary.chunk_indexes {
        let messages = summary.stream_chunk(&bytes, chunk).expect("it is there");
        for message in messages {
            let time = message.expect("it is good").log_time;
            assert!((chunk.message_start_time..=chunk.message_end_time).contains(&time));
            streamed += 1;
        }
    }
    assert_eq!(streamed, 12);
    let [attachment, index] = &summary.attachment_indexes[..] else {
        panic!("a manifest was attached, and the index at the end");
    };
    let index = mcap::read::attachment(&bytes, index).expect("it is there");
    assert_eq!((&*index.name, &*index.media_type), ("index", "application/vnd.glovebox.index"));
    let attachment = mcap::read::attachment(&bytes, attachment).expect("it is there");
    assert_eq!(attachment.name, "redact/plugin.toml");
    assert_eq!(&*attachment.data, manifest.as_bytes());
    for index in &summary.metadata_indexes {
        let metadata = mcap::read::metadata(&bytes, index).expect("it is there");
        assert_eq!(metadata.name, index.name);
    }
    assert_eq!(summary.metadata_indexes.len(), 6);
    let mut groups = Vec::new();
    for record in &records {
        if let Record::SummaryOffset(offset) = record {
            groups.push(offset.group_opcode);
            let group = &bytes[offset.group_start as usize..][..offset.group_length as usize];
            let mut rest = group;
            while let Some((prefix, after)) = rest.split_first_chunk::<9>() {
                assert_eq!(prefix[0], offset.group_opcode);
                let length = u64::from_le_bytes(*prefix[1..].first_chunk().expect("8 bytes"));
                rest = &after[length as usize..];
            }
            assert_eq!(rest, b"");
        }
    }
    let expected =
        [op::CHANNEL, op::STATISTICS, op::CHUNK_INDEX, op::ATTACHMENT_INDEX, op::METADATA_INDEX];
    assert_eq!(groups, expected);
}

/// The format has 65,536 channels, and one plugin may have three.
#[test]
fn plugins_without_a_channel_of_their_own_share_some() {
    const PLUGINS: u64 = 66_000;
    let folder = folder();
    let path = folder.path().join("a.mcap");
    let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
    let mut made_up = glovebox_trace::MadeUpRun::new(100, 3);
    let frame_in = made_up.find(|event| matches!(event.what, What::FrameIn { .. }));
    let frame_in = frame_in.expect("a run has inputs");
    for number in 0..PLUGINS {
        let plugin = format!("plugin-{number}").into();
        writer.write(&Event { sequence: number, plugin, ..frame_in.clone() }).expect("it fits");
    }
    writer.finish().expect("there is space");
    let found = glovebox_trace::read(&path).expect("it is a trace").events;
    assert_eq!(found.len() as u64, PLUGINS);
    let last = found.last().expect("there are some");
    assert_eq!((&*last.plugin, &last.what), ("plugin-65999", &frame_in.what));
}

/// Writes a trace anew, as a tool does that knows nothing of Glovebox: metadata first or last, chunks
/// of another size, or none. Leaves out the messages of events with these numbers. Gives how many
/// messages of its own it adds.
fn rewrite(
    path: &Path,
    out: &Path,
    layout: mcap::WriteOptions,
    first: bool,
    without: &[u32],
) -> u64 {
    let bytes = std::fs::read(path).expect("it is there");
    let summary = mcap::Summary::read(&bytes).expect("it is MCAP").expect("it is finished");
    let file = std::fs::File::create(out).expect("there is space");
    let layout = layout.profile("glovebox").library("another tool");
    let mut writer = layout.create(io::BufWriter::new(file)).expect("there is space");
    let others = |writer: &mut mcap::Writer<_>| {
        for index in &summary.metadata_indexes {
            let metadata = mcap::read::metadata(&bytes, index).expect("it is there");
            writer.write_metadata(&metadata).expect("there is space");
        }
        for index in &summary.attachment_indexes {
            let attachment = mcap::read::attachment(&bytes, index).expect("it is there");
            writer.attach(&attachment).expect("there is space");
        }
    };
    if first {
        others(&mut writer);
    }
    let other = std::sync::Arc::new(mcap::Channel {
        id: 7_000,
        topic: "/foo".to_owned(),
        schema: None,
        message_encoding: "json".to_owned(),
        metadata: BTreeMap::new(),
    });
    let mut added = 0;
    for (number, message) in mcap::MessageStream::new(&bytes).expect("it is MCAP").enumerate() {
        let message = message.expect("it is good");
        // Another program's own message may stand anywhere, also between an event and its frame.
        if number % 7 == 0 {
            let mut own = message.clone();
            own.channel = other.clone();
            own.data = b"{}"[..].into();
            writer.write(&own).expect("there is space");
            added += 1;
        }
        if !without.contains(&message.sequence) {
            writer.write(&message).expect("there is space");
        }
    }
    if !first {
        others(&mut writer);
    }
    writer.finish().expect("there is space");
    added
}

#[test]
fn a_file_that_another_tool_wrote_anew_reads_whole() {
    use crate::index::SpanReader;
    use crate::test_support::{build, made_up};
    fn check(path: &Path, layout: mcap::WriteOptions, first: bool, without: &[u32]) {
        let anew = path.with_file_name("anew.mcap");
        let added = rewrite(path, &anew, layout, first, without);
        let whole = glovebox_trace::read(path).expect("it is a trace").events;
        let missing = |event: &&Event| !without.contains(&(event.sequence as u32));
        let whole: Vec<Event> = whole.iter().filter(missing).cloned().collect();
        let read = glovebox_trace::read(&anew).expect("it is a trace");
        assert!(read.damage.is_empty(), "{:?}", read.damage);
        assert!(read.events == whole, "{} of {}", read.events.len(), whole.len());
        let checked = glovebox_trace::check(&anew, &NEVER).expect("it is a trace");
        assert_eq!(checked.is_good(), without.is_empty());

        // The rows are those that the index says, in each span.
        assert!(TraceOutline::open(&anew).expect("it is a trace").is_none(), "its counts moved");
        let index = build(&anew);
        assert!(index.problems().is_empty(), "{:?}", index.problems());
        assert_eq!(index.info().events, whole.len() as u64);
        let skipped = [index.info(), &checked.info].map(|info| info.skipped_messages);
        assert_eq!(skipped, [added, added]);
        let mut spans = SpanReader::open(&anew, &index).expect("it is there");
        let mut found = Vec::new();
        for span in index.spans() {
            spans.read(span).expect("it is as the index says");
            let is_frame =
                |event: &Event| matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. });
            let frames = spans.events().filter(is_frame).count();
            assert_eq!(frames as u64, span.rows().end - span.rows().start);
            found.extend(spans.events());
        }
        assert!(found == whole, "{} of {}", found.len(), whole.len());

        let out = path.with_file_name("recovered.mcap");
        let _ = std::fs::remove_file(&out);
        let report = recover(&anew, &out, &NEVER).expect("it is a trace");
        assert_eq!(report.lost.events(), without.len() as u64);
        assert_eq!((report.lossless, report.recovered.lost_events), (without.is_empty(), 0));
        let gaps = glovebox_trace::read(&out).expect("it is a trace").lost_events;
        assert_eq!(gaps, without.len() as u64);
    }
    let (_folder, path) = made_up(3_000);
    let layout = mcap::WriteOptions::new;
    for first in [false, true] {
        for chunk in [Some(1), Some(2 << 10), Some(50_000), Some(4 << 20), None] {
            check(&path, layout().chunk_size(chunk), first, &[]);
        }
        let plain = layout().chunk_size(Some(3_000)).compression(None);
        check(&path, plain, first, &[7, 8, 9, 1_000]);
        check(&path, layout().use_chunks(false), first, &[]);
        // A tool may leave out every CRC, and writes 0 then.
        let unchecked = layout()
            .calculate_chunk_crcs(false)
            .calculate_data_section_crc(false)
            .calculate_summary_section_crc(false)
            .calculate_attachment_crcs(false);
        check(&path, unchecked, first, &[]);
    }
}
