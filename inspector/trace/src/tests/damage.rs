//! Files that are damaged on purpose, so that reading them would cost far more than they have bytes.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::{NEVER, folder};
use crate::format::{MAGIC, opcode};
use crate::read::framing::{Next, Records};
use crate::*;

/// Counts the bytes that are read of it.
struct Counted {
    bytes: Cursor<Vec<u8>>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(out)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

fn record(opcode: u8, length: u64, content: &[u8]) -> Vec<u8> {
    let mut record = vec![opcode];
    record.extend(length.to_le_bytes());
    record.extend(content);
    record
}

/// A chunk that adds up, of `size` bytes after decompression, as it says.
fn chunk(size: u64, crc: u32, compression: &str, data: &[u8]) -> Vec<u8> {
    let mut chunk = vec![0; 16];
    chunk.extend(size.to_le_bytes());
    chunk.extend(crc.to_le_bytes());
    chunk.extend((compression.len() as u32).to_le_bytes());
    chunk.extend(compression.as_bytes());
    chunk.extend((data.len() as u64).to_le_bytes());
    chunk.extend(data);
    record(opcode::CHUNK, chunk.len() as u64, &chunk)
}

/// So many bytes of a file, made of what `next` gives for what is still to come.
fn file(size: usize, mut next: impl FnMut(u64) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    while bytes.len() < size {
        let piece = next((size - bytes.len()) as u64);
        bytes.extend(piece);
    }
    bytes.truncate(size);
    bytes
}

/// Reading costs about as much as the file is long, wherever it is damaged.
#[test]
fn damage_costs_bounded_work() {
    fn check(what: &str, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        let read = Rc::new(Cell::new(0));
        let source = Counted { bytes: Cursor::new(bytes), read: read.clone() };
        let mut records = Records::new(BufReader::with_capacity(256 << 10, source), size);
        records.go_to(MAGIC.len() as u64).expect("it is there");
        let mut seen = 0;
        while !matches!(records.next().expect("memory can be read"), Next::End) {
            seen += 1;
            assert!(seen <= size, "{what}: it never ends");
        }
        let cost = read.get() / size;
        assert!(cost <= 40, "{what}: {} bytes read of {size}", read.get());
    }
    let empty = || chunk(0, 0, "lz4", b"");
    let broken = |piece: &[u8]| [&empty()[..], piece].concat();
    check("chunks and bytes that are no record", file(2 << 20, |_| broken(&[0xFF])));
    check(
        "records that claim the rest",
        file(2 << 20, |left| broken(&record(opcode::METADATA, left, b""))),
    );
    check(
        "metadata that claims the rest and is torn",
        file(2 << 20, |left| {
            let claim = (left as u32).saturating_sub(100);
            let mut head = 4u32.to_le_bytes().to_vec();
            head.extend([0xFF; 4]);
            head.extend(claim.to_le_bytes());
            broken(&record(opcode::METADATA, 12 + u64::from(claim), &head))
        }),
    );
    check(
        "attachments that claim the rest",
        file(2 << 20, |left| {
            broken(&record(opcode::ATTACHMENT, left.saturating_sub(80), &[1; 40]))
        }),
    );
    check("records of nothing", file(1 << 20, |_| record(opcode::MESSAGE_INDEX, 6, &[0; 6])));
    check("chunks that may start anywhere", file(1 << 20, |_| vec![opcode::CHUNK]));
    check("zeros", file(2 << 20, |_| vec![0]));
}

/// Chunks may claim, and have, no more bytes than any trace has: the rest is not decompressed.
#[test]
fn bombs_are_not_set_off() {
    let zeros = 60u64 << 20;
    let bomb = zstd::encode_all(io::repeat(0).take(zeros), 1).expect("memory takes all");
    let piece = chunk(zeros, 1, "zstd", &bomb);
    assert!(bomb.len() < 10_000, "{} bytes", bomb.len());
    let folder = folder();
    let path = folder.path().join("bomb.mcap");
    std::fs::write(&path, file(200_000, |_| piece.clone())).expect("there is space");
    let report = check(&path, &NEVER).expect("it is a trace");
    let reasons =
        |text: &str| report.problems.iter().filter(|one| one.reason.contains(text)).count();
    let (opened, refused) = (reasons("has CRC"), reasons("may have"));
    assert!((1..10).contains(&opened) && refused > 20, "{opened} opened, {refused} refused");
}

/// Many plugins cost as much each as few.
#[test]
fn places_of_plugins_and_damage_are_bounded() {
    let folder = folder();
    let path = folder.path().join("many.mcap");
    let empty = || chunk(0, 1, "lz4", b"");
    std::fs::write(&path, file(200_000, |_| [&empty()[..], &[0xFF]].concat())).expect("space");
    let report = check(&path, &NEVER).expect("it is a trace");
    assert_eq!(report.problems.len(), 1_000);
    assert!(report.problems_left_out > 1_000 && !report.is_good());
    assert!(report.info.damaged_bytes >= 150_000, "{}", report.info.damaged_bytes);
    let mut writer = TraceWriter::create(folder.path().join("ids.mcap"), "0.1.0").expect("empty");
    for number in 0..2_000 {
        let plugin = PluginRecord {
            id: format!("plugin-{number}"),
            version: number.to_string(),
            digest: String::new(),
            binding: None,
            manifest: None,
            instances: Vec::new(),
        };
        writer.describe_plugin(&plugin).expect("there is space");
    }
    let info = info(writer.finish().expect("there is space")).expect("it is a trace");
    assert_eq!(info.plugins.len(), 2_000);
    assert!(info.plugins.iter().zip(0..).all(|(one, number)| one.version == number.to_string()));
}

/// A file that was measured before its first bytes were written.
#[test]
fn a_file_may_be_longer_than_it_was_when_it_was_measured() {
    let mut source = Cursor::new(MAGIC.to_vec());
    source.set_position(MAGIC.len() as u64);
    let mut records = Records::new(source, 0);
    assert!(matches!(records.next().unwrap(), Next::CutShort { lost: 0, .. }));
}
