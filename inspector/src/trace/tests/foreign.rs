//! What the MCAP library makes of our files.

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
    assert_eq!((stats.attachment_count, stats.metadata_count), (1, 6));

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
    let [attachment] = &summary.attachment_indexes[..] else {
        panic!("one was attached");
    };
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
