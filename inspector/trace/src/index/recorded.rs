//! The index that a writer leaves in its trace, so that a reader need not scan it.
//!
//! It stands in attachments of the name `index`, one after about every 128 spans, and one at the end of
//! the file. Each holds 8 bytes that name its format, a digest (BLAKE3) of all bytes from where the
//! attachment before it starts, or the file, to where this one does, a seal, and what the chunks of
//! these spans hold, as postcard (<https://postcard.jamesmunns.com>) in an LZ4 frame. So the last one
//! vouches for every byte before it; its seal is that of its digest and its spans, the seals of the
//! others are zeros. Short traces have none: they are scanned faster than anybody notices.
//!
//! The rules of the index beside a trace hold here too: only what this user sealed is believed, and
//! only if the sums are those of the totals. Because the digests are compared, or the file beside the
//! trace says that nothing touched it since (`file.rs`), there is no damage in what is read by such an
//! index.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use glovebox_events::Event;
use serde::{Deserialize, Serialize};

use super::build::{Builder, Place};
use super::facts::{Facts, Gatherer};
use super::outline::{self, Recorded};
use super::{KEPT_FROM, SPAN_BYTES, TraceIndex, seal};
use crate::format::compression::compress;
use crate::format::{EVENTS_CHANNEL, WrittenChunk};
use crate::read::framing::{Attached, PREFIX, parse_attachment};
use crate::{TraceError, TraceInfo, storage};

/// Name of the attachments.
pub(crate) const NAME: &str = "index";
/// Media type of the attachments.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.glovebox.index";
/// Changes with everything that changes the bytes.
const MAGIC: &[u8; 8] = b"GBSPANS3";
/// Before the spans: the magic, the digest and the seal.
const HEAD: usize = MAGIC.len() + blake3::OUT_LEN + seal::LEN;
/// Spans of an attachment.
const SPANS: usize = if cfg!(test) { 4 } else { 128 };
/// Calls that go on in other spans after which an attachment ends early.
const TOUCHES: usize = 16 << 10;
/// The largest attachment that is read, in bytes; ours are far smaller.
const LARGEST: u64 = 16 << 20;
/// Traces below so many bytes have none.
const FROM: u64 = if cfg!(test) { 16 << 10 } else { KEPT_FROM };
/// Bytes that are hashed at a time.
const BLOCK: usize = 1 << 20;

/// Some chunks that follow each other, as their writer saw them.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenSpan {
    offset: u64,
    /// Bytes in the file.
    length: u64,
    /// Bytes after decompression.
    bytes: u64,
    facts: Facts,
}

/// Gathers the index of a trace while it is written. Takes less than 1 MiB of memory.
#[derive(Debug, Default)]
pub(crate) struct IndexWriter {
    gatherer: Gatherer,
    /// Where the span that is gathered starts, ends, and its bytes after decompression.
    open: Option<(u64, u64, u64)>,
    spans: Vec<WrittenSpan>,
    touches: usize,
    /// Spans that are in the file already.
    written: bool,
}

impl IndexWriter {
    /// Takes in an event of the open chunk.
    pub(crate) fn event(&mut self, event: &Event) {
        self.gatherer.event(event);
    }

    /// So many events were not recorded.
    pub(crate) fn gap(&mut self, lost: u64) {
        self.gatherer.gap(lost);
    }

    /// The open chunk was written. Small ones share a span.
    pub(crate) fn end_chunk(&mut self, chunk: WrittenChunk) {
        let (start, bytes) =
            self.open.map_or((chunk.offset, 0), |(start, _, bytes)| (start, bytes));
        self.open = Some((start, chunk.offset + chunk.length, bytes + chunk.bytes));
        if bytes + chunk.bytes >= SPAN_BYTES / 2 {
            self.end_span();
        }
    }

    /// A record that is no chunk follows: a span goes no further.
    pub(crate) fn end_span(&mut self) {
        let Some((offset, end, bytes)) = self.open.take() else { return };
        let facts = self.gatherer.take();
        self.touches += facts.touches.len();
        self.spans.push(WrittenSpan { offset, length: end - offset, bytes, facts });
    }

    /// True if the next attachment is due.
    pub(crate) fn is_full(&self) -> bool {
        self.spans.len() >= SPANS || self.touches >= TOUCHES
    }

    /// The data of the next attachment; `digest` is that of the bytes since the one before.
    pub(crate) fn take(&mut self, digest: [u8; 32]) -> io::Result<Vec<u8>> {
        self.written = true;
        self.attachment(digest, |_| [0; seal::LEN])
    }

    /// The data of the last attachment of a file of so many bytes; `None` if it has none: it is
    /// short, or this user has no place for a key.
    pub(crate) fn finish(&mut self, digest: [u8; 32], size: u64) -> io::Result<Option<Vec<u8>>> {
        self.end_span();
        if size < FROM && !self.written {
            return Ok(None);
        }
        let mut sealed = true;
        let data = self.attachment(digest, |bytes| {
            let seal = seal::of(bytes);
            sealed = seal.is_some();
            seal.unwrap_or_default()
        })?;
        Ok(sealed.then_some(data))
    }

    fn attachment(
        &mut self,
        digest: [u8; 32],
        seal: impl FnOnce(&[u8]) -> [u8; seal::LEN],
    ) -> io::Result<Vec<u8>> {
        self.touches = 0;
        let spans = postcard::to_allocvec(&self.spans).map_err(io::Error::other)?;
        self.spans.clear();
        // The sealed parts: the digest and the spans.
        let mut sealed = digest.to_vec();
        compress(&spans, &mut sealed)?;
        let seal = seal(&sealed);
        let (digest, spans) = sealed.split_at(digest.len());
        Ok([MAGIC, digest, &seal, spans].concat())
    }
}

/// An attachment that was read.
struct Part {
    /// Where it starts in the file.
    offset: u64,
    digest: [u8; 32],
    seal: [u8; seal::LEN],
    /// The digest and the spans, as they are sealed.
    sealed: Vec<u8>,
}

/// The index in a finished trace; `None` if there is none, or none that can be believed. Nothing is
/// compared with the digests if its writer vouches for the file.
///
/// # Errors
///
/// If the trace cannot be read, or reading was cancelled.
pub(super) fn load(
    path: &Path,
    is_vouched_for: bool,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<Option<TraceIndex>, TraceError> {
    let Some(Recorded { info, parts }) = outline::recorded(path)? else { return Ok(None) };
    let failed = |source| TraceError::io("read", source, path);
    let Some(parts) = read_parts(path, &parts).map_err(failed)? else { return Ok(None) };
    match parts.last() {
        Some(last) if seal::fits(last.seal, &last.sealed) => {}
        _ => return Ok(None),
    }
    let fits = is_vouched_for || compare_digests(path, &parts, progress, cancel).map_err(failed)?;
    if cancel.load(Ordering::Relaxed) {
        return Err(TraceError::Cancelled { path: path.to_owned() });
    }
    if !fits {
        return Ok(None);
    }
    let mut builder = Builder::new(EVENTS_CHANNEL);
    for part in &parts {
        let Some(spans) = spans(&part.sealed[blake3::OUT_LEN..]) else { return Ok(None) };
        for WrittenSpan { offset, length, bytes, facts } in spans {
            let place = Place { offset, length, bytes, flawed: false };
            builder.add(place, facts);
        }
    }
    Ok(believed(builder.finish(), info))
}

/// An index with what the summary says of the trace, if both say the same of the events.
fn believed(mut index: TraceIndex, mut info: TraceInfo) -> Option<TraceIndex> {
    let found = &index.info;
    let sums = [
        (info.events, found.events),
        (info.frames_in, found.frames_in),
        (info.frames_out, found.frames_out),
        (info.calls, found.calls),
        (info.errors, found.errors),
        (info.host_calls, found.host_calls),
        (info.dropped_frames, found.dropped_frames),
        (info.lost_events, found.lost_events),
    ];
    let is_same = sums.iter().all(|(said, found)| said == found);
    info.range = found.range;
    info.ends.clone_from(&found.ends);
    index.info = info;
    (is_same && index.adds_up()).then_some(index)
}

/// `None` if any of them is no part of an index.
fn read_parts(path: &Path, places: &[(u64, u64)]) -> io::Result<Option<Vec<Part>>> {
    let mut file = storage::open(path)?;
    let mut parts = Vec::new();
    let mut before = 0;
    for (offset, length) in places {
        let mut record = Vec::new();
        if *offset < before || *length > LARGEST {
            return Ok(None);
        }
        before = *offset;
        file.seek(SeekFrom::Start(*offset))?;
        (&mut file).take(*length).read_to_end(&mut record)?;
        let data = record.get(PREFIX..).and_then(parse_attachment);
        let Some(Attached { name: NAME, data, .. }) = data else { return Ok(None) };
        let Some((head, spans)) = data.split_at_checked(HEAD) else { return Ok(None) };
        let Some(head) = head.strip_prefix(MAGIC) else { return Ok(None) };
        let (Some(digest), Some(seal)) = (head.first_chunk(), head.last_chunk()) else {
            return Ok(None);
        };
        let sealed = [&digest[..], spans].concat();
        parts.push(Part { offset: *offset, digest: *digest, seal: *seal, sealed });
    }
    Ok(Some(parts))
}

fn spans(compressed: &[u8]) -> Option<Vec<WrittenSpan>> {
    let mut bytes = Vec::new();
    // One span has some kilobytes; what has far more is none of ours.
    lz4::Decoder::new(compressed).ok()?.take(4 * LARGEST).read_to_end(&mut bytes).ok()?;
    postcard::from_bytes(&bytes).ok()
}

/// True if every byte up to the last part is the one that was written. Works on all cores.
fn compare_digests(
    path: &Path,
    parts: &[Part],
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> io::Result<bool> {
    let (next, hashed, fits) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(true));
    let size = parts.last().map_or(0, |last| last.offset);
    let work = |progress: &mut dyn FnMut(u64, u64)| -> io::Result<()> {
        let mut file = storage::open(path)?;
        let mut block = vec![0; BLOCK];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_over = cancel.load(Ordering::Relaxed) || !fits.load(Ordering::Relaxed);
            let Some(part) = parts.get(number).filter(|_| !is_over) else { return Ok(()) };
            let start = number.checked_sub(1).map_or(0, |before| parts[before].offset);
            if digest(&mut file, start..part.offset, &mut block)? != part.digest {
                fits.store(false, Ordering::Relaxed);
            }
            let done = hashed.fetch_add(part.offset - start, Ordering::Relaxed);
            progress(done + part.offset - start, size);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(|| work(&mut |_, _| {}))).collect();
        let mut result = work(progress);
        for other in others {
            // A panic is a bug of ours; it goes on here as if there were no threads.
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })?;
    Ok(fits.into_inner())
}

fn digest(
    file: &mut File,
    range: std::ops::Range<u64>,
    block: &mut [u8],
) -> io::Result<[u8; blake3::OUT_LEN]> {
    file.seek(SeekFrom::Start(range.start))?;
    let mut left = range.end - range.start;
    let mut hasher = blake3::Hasher::new();
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        let read = file.read(&mut block[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&block[..read]);
        left -= read as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Marks, SpanReader, file};
    use crate::test_support::{NEVER, build};
    use crate::{GapCause, MadeUpRun, PluginRecord, TraceWriter};

    /// A finished trace of a made-up run, flushed every so many events.
    fn made_up(path: &Path, frames: u64, flush_every: u64) {
        let mut writer = TraceWriter::create(path, "0.1.0").expect("the folder is empty");
        let plugin = PluginRecord {
            id: "redact".into(),
            version: "1.0.0".into(),
            digest: "0".repeat(64),
            binding: Some(glovebox_events::Binding::FrameAbi),
            manifest: Some("[plugin]\nid = \"redact\"\n".into()),
            instances: Vec::new(),
        };
        for (number, event) in (0..).zip(MadeUpRun::new(frames, 3)) {
            writer.write(&event).expect("there is space");
            if number == 500 {
                writer.write_gap(3, GapCause::DiskFull).expect("there is space");
                writer.describe_plugin(&plugin).expect("there is space");
            }
            if number % flush_every == 0 {
                writer.flush().expect("there is space");
            }
        }
        writer.finish().expect("there is space");
    }

    fn load_quietly(path: &Path) -> Option<TraceIndex> {
        load(path, false, &mut |_, _| {}, &NEVER).expect("it can be read")
    }

    /// The index of a writer equals that of a scan.
    #[test]
    fn a_written_index_says_what_a_scan_says() {
        fn check(frames: u64, flush_every: u64) {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let path = folder.path().join("run.mcap");
            made_up(&path, frames, flush_every);
            let written = load_quietly(&path).expect("its writer left one");
            let mut scanned = build(&path);
            assert_eq!(written.info, scanned.info);
            assert_eq!(written.problems, scanned.problems);
            assert_eq!(written.missing_events, scanned.missing_events);
            assert_eq!(
                (written.sequences, written.last_call),
                (scanned.sequences, scanned.last_call)
            );
            assert_eq!((written.pending, written.unjoined), (scanned.pending, scanned.unjoined));
            let marks = |index: &TraceIndex| {
                let mut all = Marks::default();
                index.spans.iter().for_each(|span| all.join(&span.marks));
                let plugins = all.plugins(&index.plugins).expect("they are few");
                (plugins.map(str::to_owned).collect::<Vec<_>>(), all.statuses, all.latencies)
            };
            assert_eq!(marks(&written), marks(&scanned));
            // Spans may be divided differently, but each is read and judged alone.
            let mut reader = SpanReader::open(&path, &written).expect("it is there");
            let judged = |reader: &mut SpanReader, index: &TraceIndex| {
                let mut all = Vec::new();
                for span in &index.spans {
                    reader.read(span).expect("it is what was written");
                    reader.each_frame(
                        span,
                        true,
                        |_| true,
                        |row, place| {
                            all.push((row, place.call, place.verdict));
                            let Marks { statuses, times, .. } = span.marks;
                            assert!(
                                statuses.holds(place.verdict.status) && times.contains(place.at)
                            );
                        },
                    );
                }
                all
            };
            let all = judged(&mut reader, &written);
            assert_eq!(all.len() as u64, frames);
            assert!(all == judged(&mut reader, &scanned), "{frames} {flush_every}");
            // Apart from where they are kept, nothing else is said.
            scanned.spans.clone_from(&written.spans);
            scanned.plugins.clone_from(&written.plugins);
            assert_eq!(written, scanned);
        }
        check(6_000, u64::MAX);
        check(6_000, 40);
        check(3_000, 700);
    }

    #[test]
    fn short_and_unfinished_traces_have_none() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        made_up(&path, 50, u64::MAX);
        assert_eq!(load_quietly(&path), None);
        let long = folder.path().join("long.mcap");
        made_up(&long, 3_000, u64::MAX);
        let bytes = std::fs::read(&long).expect("it was written");
        std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("there is space");
        assert_eq!(load_quietly(&path), None);
    }

    /// After any change of a trace, its index counts for nothing, or is right.
    #[test]
    fn an_index_of_other_bytes_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        made_up(&path, 6_000, u64::MAX);
        let index = load_quietly(&path).expect("its writer left one");
        let good = std::fs::read(&path).expect("it was written");
        let name = |from: usize| {
            let found = good[from..].windows(NAME.len()).position(|bytes| bytes == NAME.as_bytes());
            found.map(|at| from + at)
        };
        let mut places: Vec<usize> = (9..good.len()).step_by(good.len() / 60).collect();
        // The attachments, with their digests and seals.
        let mut from = 0;
        while let Some(at) = name(from) {
            places.extend((at..good.len().min(at + 140)).step_by(7));
            from = at + 1;
        }
        assert!(places.len() > 200, "{} places", places.len());
        let mut refused = 0;
        for at in places {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("there is space");
            match load(&path, false, &mut |_, _| {}, &NEVER) {
                Ok(None) | Err(_) => refused += 1,
                Ok(Some(found)) => assert_eq!(found, index, "byte {at}"),
            }
        }
        assert!(refused > 100, "{refused} refused");
    }

    /// Its bytes are compared once anything about the file is not as its writer left it.
    #[test]
    fn a_writer_vouches_for_its_file_until_something_touches_it() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        #[track_caller]
        fn check(path: &Path, vouches: bool) {
            let mut is_compared = false;
            let index = TraceIndex::open(path, &mut |_, _| is_compared = true, &NEVER);
            let mut index = index.expect("it is a trace");
            assert_eq!(is_compared, !vouches);
            let scanned = build(path);
            index.spans.clone_from(&scanned.spans);
            index.plugins.clone_from(&scanned.plugins);
            assert_eq!(index, scanned);
        }
        made_up(&path, 6_000, u64::MAX);
        check(&path, true);
        let vouched = std::fs::read(file::path_of(&path)).expect("it was written");
        // The same bytes, but another file.
        let copy = folder.path().join("copy.mcap");
        std::fs::copy(&path, &copy).expect("there is space");
        std::fs::write(file::path_of(&copy), &vouched).expect("there is space");
        check(&copy, false);
        // Made by anybody who has no key.
        let mut forged = vouched;
        forged[10] ^= 1;
        std::fs::write(file::path_of(&path), &forged).expect("there is space");
        check(&path, false);
    }

    /// An index with a good seal may still have counted wrong.
    #[test]
    fn an_index_is_believed_if_its_sums_are_those_of_the_totals() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        made_up(&path, 3_000, u64::MAX);
        let index = load_quietly(&path).expect("its writer left one");
        let check = |change: fn(&mut TraceInfo), expected: bool| {
            let mut info = index.info.clone();
            change(&mut info);
            assert_eq!(believed(index.clone(), info).is_some(), expected);
        };
        check(|_| {}, true);
        check(|info| info.events += 1, false);
        check(|info| info.frames_in -= 1, false);
        check(|info| info.frames_out += 1, false);
        check(|info| info.calls += 1, false);
        check(|info| info.errors += 1, false);
        check(|info| info.host_calls += 1, false);
        check(|info| info.lost_events += 1, false);
        check(|info| info.size = 10_000, false);
    }
}
