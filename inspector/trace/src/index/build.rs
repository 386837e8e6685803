//! One scan over a trace: this thread reads, all cores scan chunks, and this thread joins the
//! results in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use glovebox_events::{CallId, Outcome};
use parking_lot::Mutex;

use super::facts::{Facts, Gatherer, Scanned, Touch};
use super::marks::{LAST_PLUGIN, Verdict};
use super::{LateEnd, MAX_LATE, MAX_PROBLEMS, Span, TraceIndex};
use crate::format::glance::End;
use crate::format::{EVENTS_CHANNEL, opcode};
use crate::read::chunk::{ChunkBuffer, KnownChannels};
use crate::read::reader::RawChunk;
use crate::versions::MAX_VERSIONS;
use crate::{Numbers, Problem, Statuses, TraceError, TraceReader};

/// Calls that run at the same time that are remembered.
const MAX_CALLS: usize = 1 << 18;
/// Bytes of chunks that are read and not yet looked into, unless a single chunk has more.
const MAX_WAITING: usize = 4 << 20;
/// Chunks that announce no channel are looked at this often before the usual one is assumed.
const ANNOUNCED_WITHIN: usize = 8;
/// Bytes of records outside of chunks that are looked into together.
const LOOSE_TOGETHER: usize = 256 << 10;
/// Bytes of chunks that are joined at most. An event of which the frame is beyond counts as damaged.
const MAX_JOINED: usize = 64 << 20;
/// Opcode and length of a record.
const PREFIX: u64 = 9;

pub(crate) fn build(
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<TraceIndex, TraceError> {
    let events_channel = events_channel(path)?;
    let mut reader = TraceReader::start(path)?;
    let mut builder = Builder::new(events_channel);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (to_workers, work) = mpsc::sync_channel::<(usize, Unit)>(2 * workers);
    let (to_us, results) = mpsc::sync_channel(2 * workers);
    let work = Mutex::new(work);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (work, to_us) = (&work, to_us.clone());
            scope.spawn(move || look_into_chunks(work, &to_us));
        }
        drop(to_us);
        // Dropped at the end of this, which ends the workers.
        let mut flow = Flow { to_workers, results, waiting: Waiting::default() };
        let mut joiner = Joiner::new(KnownChannels::new(events_channel));
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(TraceError::Cancelled { path: path.to_owned() });
            }
            let (units, next) = match reader.next_chunk() {
                Ok(Some(chunk)) => (joiner.push(chunk, reader.is_rewritten()), Ok(true)),
                // The frame of an event does not stand behind damage.
                Ok(None) => ([joiner.take(), None], Ok(false)),
                Err(error) => ([joiner.take(), None], Err(error)),
            };
            for unit in units.into_iter().flatten() {
                while flow.is_full(unit.bytes, workers) {
                    flow.take(&mut builder, &mut reader);
                }
                flow.give(unit);
                progress(reader.position(), reader.size());
            }
            match next {
                Ok(true) => {}
                Ok(false) => break,
                Err(TraceError::Damaged { offset, lost, reason, .. }) => {
                    builder.problem(Problem { offset, bytes: lost, reason });
                }
                Err(TraceError::CutShort { offset, lost, .. }) if lost > 0 => {
                    let reason = "the file ends in the middle of a record".to_owned();
                    builder.problem(Problem { offset, bytes: lost, reason });
                }
                Err(TraceError::CutShort { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        while flow.waiting.chunks > 0 {
            flow.take(&mut builder, &mut reader);
        }
        builder.index.channels = KnownChannels::clone(&joiner.channels);
        progress(reader.size(), reader.size());
        Ok(())
    })?;
    Ok(builder.finish_scan(path, &reader))
}

/// The channel of events, which only a chunk near the start announces.
fn events_channel(path: &Path) -> Result<u16, TraceError> {
    let mut reader = TraceReader::start(path)?;
    let mut buffer = ChunkBuffer::default();
    for _ in 0..ANNOUNCED_WITHIN {
        match reader.next_chunk() {
            Ok(Some(chunk)) if buffer.append_record(chunk.opcode, &chunk.data).is_ok() => {
                if let Some(channel) = buffer.events_channel() {
                    return Ok(channel);
                }
            }
            Ok(None) => break,
            Err(error) if !error.is_damage() => return Err(error),
            _ => {}
        }
    }
    Ok(EVENTS_CHANNEL)
}

/// Chunks that are looked into together: in a file of ours, one. In a file that another tool wrote,
/// the frame of an event may stand in the chunk after it, or there may be no chunks.
struct Unit {
    /// Of the first, in bytes from the start of the file.
    offset: u64,
    /// Bytes in the file up to the end of the last.
    length: u64,
    /// Opcode and data of each.
    parts: Vec<(u8, Vec<u8>)>,
    /// Of the data of all.
    bytes: usize,
    /// The channels of the file up to there.
    channels: Arc<KnownChannels>,
}

impl Unit {
    fn of(chunk: RawChunk, channels: Arc<KnownChannels>) -> Unit {
        let (offset, parts) = (chunk.offset, Vec::new());
        let mut unit = Unit { offset, length: 0, parts, bytes: 0, channels };
        unit.push(chunk);
        unit
    }

    fn push(&mut self, RawChunk { offset, opcode, data }: RawChunk) {
        self.length = offset + PREFIX + data.len() as u64 - self.offset;
        self.bytes += data.len();
        self.parts.push((opcode, data));
    }
}

/// Puts chunks together until no event waits for its frame.
struct Joiner {
    channels: Arc<KnownChannels>,
    buffer: ChunkBuffer,
    unit: Option<Unit>,
    /// The last event in it waits for its frame.
    waits: bool,
}

impl Joiner {
    fn new(channels: KnownChannels) -> Joiner {
        let channels = Arc::new(channels);
        Joiner { channels, buffer: ChunkBuffer::default(), unit: None, waits: false }
    }

    /// Takes in the next chunk; gives what need not wait any longer.
    fn push(&mut self, chunk: RawChunk, is_rewritten: bool) -> [Option<Unit>; 2] {
        let is_chunk = chunk.opcode == opcode::CHUNK;
        if is_rewritten || !is_chunk {
            self.buffer.clear();
            if self.buffer.append_record(chunk.opcode, &chunk.data).is_err() {
                return [self.take(), Some(Unit::of(chunk, self.channels.clone()))];
            }
            Arc::make_mut(&mut self.channels).learn(&self.buffer);
            self.waits = self.buffer.waits(&self.channels).unwrap_or(self.waits);
        }
        match &mut self.unit {
            Some(unit) => unit.push(chunk),
            None => self.unit = Some(Unit::of(chunk, self.channels.clone())),
        }
        if let Some(unit) = &mut self.unit {
            unit.channels = self.channels.clone();
        }
        let bytes = self.unit.as_ref().map_or(0, |unit| unit.bytes);
        let is_whole = !self.waits && (is_chunk || bytes >= LOOSE_TOGETHER);
        if is_whole || bytes >= MAX_JOINED { [self.take(), None] } else { [None, None] }
    }

    fn take(&mut self) -> Option<Unit> {
        self.waits = false;
        self.unit.take()
    }
}

/// The result of a worker for one unit, with its place among all.
struct Found {
    number: usize,
    offset: u64,
    /// Bytes in the file, with opcodes and lengths.
    length: u64,
    /// Bytes that were given to the worker.
    given: usize,
    /// `Err` if nothing in it can be used.
    scanned: Result<Scanned, String>,
}

fn look_into_chunks(work: &Mutex<Receiver<(usize, Unit)>>, to_us: &SyncSender<Found>) {
    let mut buffer = ChunkBuffer::default();
    let mut gatherer = Gatherer::default();
    loop {
        let next = work.lock().recv();
        let Ok((number, Unit { offset, length, parts, bytes: given, channels })) = next else {
            return;
        };
        buffer.clear();
        let mut parts = parts.into_iter();
        let filled = parts.try_for_each(|(opcode, data)| buffer.append_record(opcode, &data));
        let scanned = filled.map(|()| Scanned::of(&buffer, &channels, &mut gatherer));
        if to_us.send(Found { number, offset, length, given, scanned }).is_err() {
            return;
        }
    }
}

/// Chunks on their way to the workers and back.
struct Flow {
    to_workers: SyncSender<(usize, Unit)>,
    results: Receiver<Found>,
    waiting: Waiting,
}

#[derive(Default)]
struct Waiting {
    given: usize,
    taken: usize,
    chunks: usize,
    bytes: usize,
    /// Results that came before their turn.
    early: BTreeMap<usize, Found>,
}

impl Flow {
    fn is_full(&self, more: usize, workers: usize) -> bool {
        let Waiting { chunks, bytes, .. } = self.waiting;
        chunks > 0 && (chunks >= 2 * workers || bytes + more > MAX_WAITING)
    }

    fn give(&mut self, unit: Unit) {
        self.waiting.bytes += unit.bytes;
        self.waiting.chunks += 1;
        // Only fails if all workers are gone, and they go last.
        let _ = self.to_workers.send((self.waiting.given, unit));
        self.waiting.given += 1;
    }

    /// Waits for one chunk, and adds all whose turn it is.
    fn take(&mut self, builder: &mut Builder, reader: &mut TraceReader) {
        let Ok(found) = self.results.recv() else {
            self.waiting.chunks = 0;
            return;
        };
        self.waiting.early.insert(found.number, found);
        while let Some(found) = self.waiting.early.remove(&self.waiting.taken) {
            self.waiting.taken += 1;
            self.waiting.chunks -= 1;
            self.waiting.bytes -= found.given;
            builder.add_scanned(found, reader);
        }
    }
}

/// Where chunks stand whose facts are added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// Bytes in the file.
    pub(super) length: u64,
    /// Bytes after decompression.
    pub(super) bytes: u64,
    /// True if anything in it is damaged.
    pub(super) flawed: bool,
}

/// Puts together what chunks hold.
pub(super) struct Builder {
    index: TraceIndex,
    calls: OpenCalls,
    counted: Counted,
}

/// The counts of the whole trace so far.
#[derive(Default)]
struct Counted {
    times: Numbers,
    sequences: Numbers,
    calls: Numbers,
}

impl Builder {
    pub(super) fn new(events_channel: u16) -> Builder {
        Builder {
            index: TraceIndex::empty(KnownChannels::new(events_channel)),
            calls: OpenCalls::default(),
            counted: Counted::default(),
        }
    }

    fn problem(&mut self, problem: Problem) {
        self.index.info.damaged_bytes += problem.bytes;
        if self.index.problems.len() < MAX_PROBLEMS {
            self.index.problems.push(problem);
        }
    }

    /// Adds what a scan found in the next chunk.
    fn add_scanned(&mut self, found: Found, reader: &mut TraceReader) {
        let Found { offset, length, scanned, .. } = found;
        let bytes = length - PREFIX;
        let scanned = match scanned {
            Ok(scanned) => scanned,
            Err(reason) => return self.problem(Problem { offset, bytes, reason }),
        };
        let flawed = scanned.bad.is_some();
        if let Some(reason) = scanned.bad {
            self.problem(Problem { offset, bytes, reason });
        }
        scanned.loads.iter().for_each(|event| reader.learn(event));
        let place = Place { offset, length, bytes: scanned.bytes, flawed };
        self.add(place, scanned.facts);
    }

    /// Adds what the next chunks hold.
    pub(super) fn add(&mut self, place: Place, facts: Facts) {
        let first_row = self.index.frames();
        // Plugins beyond the last mark share it here as they do there.
        let marks = facts.marks.renumbered(|number| match facts.plugins.get(number) {
            Some(plugin) => self.number_of(plugin),
            None => LAST_PLUGIN,
        });
        let counts = &facts.counts;
        let info = &mut self.index.info;
        info.events += counts.events;
        info.frames_in += counts.frames_in;
        info.frames_out += counts.frames_out;
        info.calls += counts.calls;
        info.errors += counts.errors;
        let ends = info.ends.get_or_insert_default();
        Outcome::NAMES.iter().zip(counts.ends).for_each(|(name, calls)| ends.add(name, calls));
        ends.restarts += counts.restarts;
        info.host_calls += counts.host_calls;
        info.dropped_frames = info.dropped_frames.saturating_add(counts.dropped);
        info.skipped_messages += counts.skipped;
        info.lost_events = info.lost_events.saturating_add(counts.lost);
        self.counted.times.join(counts.times);
        self.counted.sequences.join(counts.sequences);
        self.counted.calls.join(counts.calls_seen);
        self.index.add(Span {
            offset: place.offset,
            length: place.length,
            bytes: place.bytes,
            first_row,
            frames: counts.frames_in + counts.frames_out,
            outside: counts.outside,
            flawed: place.flawed,
            calls: counts.calls_seen,
            marks,
            values: facts.values,
            late: Vec::new(),
        });
        let room = MAX_VERSIONS.saturating_sub(self.index.versions.len());
        self.index.versions.extend(facts.versions.into_iter().take(room));
        for touch in facts.touches {
            self.calls.touch(&mut self.index, touch);
        }
    }

    /// The number of a plugin; those that share a mark share the number too.
    fn number_of(&mut self, plugin: &str) -> usize {
        let plugins = &mut self.index.plugins;
        plugins.iter().position(|known| known == plugin).unwrap_or_else(|| {
            if plugins.len() <= LAST_PLUGIN {
                plugins.push(plugin.to_owned());
            }
            plugins.len() - 1
        })
    }

    fn finish_scan(self, path: &Path, reader: &TraceReader) -> TraceIndex {
        let mut index = self.finish();
        let info = &mut index.info;
        info.path = path.to_owned();
        info.size = reader.size();
        info.format = reader.format();
        info.app_version = reader.app_version().to_owned();
        info.parent = reader.parent().cloned();
        info.snapshots = reader.snapshots();
        info.plugins = reader.plugins().to_vec();
        info.complete = reader.is_complete();
        // A worker may report a problem in a chunk later than one behind that chunk is found.
        index.problems.sort_by_key(|problem| problem.offset);
        index
    }

    /// All that follows from the chunks.
    pub(super) fn finish(mut self) -> TraceIndex {
        self.calls.finish(&mut self.index);
        let Counted { times, sequences, calls } = self.counted;
        let ends =
            |numbers: Numbers| (!numbers.is_empty()).then_some((numbers.first, numbers.last));
        let mut index = self.index;
        index.sequences = ends(sequences);
        index.last_call = ends(calls).map_or(0, |(_, last)| last);
        let spanned = index.sequences.map_or(0, |(first, last)| (last - first).saturating_add(1));
        index.missing_events = spanned.saturating_sub(index.info.events);
        index.info.range = ends(times);
        index
    }
}

/// Calls that started and have not ended, and the places where they left frames.
#[derive(Default)]
struct OpenCalls {
    open: BTreeMap<CallId, OpenCall>,
    /// Ends that stand with the spans of an index.
    late: usize,
}

#[derive(Default)]
struct OpenCall {
    /// True if its input is in the trace.
    started: bool,
    /// Offsets of the chunks with its frames: spans may be joined meanwhile.
    frames_at: Vec<u64>,
    /// Offset of the last chunk with anything of it.
    last_at: u64,
    end: Option<End>,
    /// The statuses that its host calls add.
    beside: Statuses,
}

impl OpenCalls {
    fn touch(&mut self, index: &mut TraceIndex, touch: Touch) {
        let here = index.spans.last().map_or(0, |span| span.offset);
        if !touch.started && !touch.frames && !self.open.contains_key(&touch.call) {
            // The end of a call that is not in this trace, or was given up.
            return;
        }
        if self.open.len() >= MAX_CALLS {
            // Calls are numbered in order, so this one is the oldest.
            if let Some((call, open)) = self.open.pop_first() {
                index.unjoined += 1;
                self.close(index, call, open);
            }
        }
        let open = self.open.entry(touch.call).or_default();
        if touch.frames && open.frames_at.last() != Some(&here) {
            open.frames_at.push(here);
        }
        open.last_at = here;
        open.started |= touch.started;
        open.beside = open.beside.with(touch.beside);
        if touch.end.is_some() {
            open.end = touch.end;
            if let Some(open) = self.open.remove(&touch.call) {
                self.close(index, touch.call, open);
            }
        }
    }

    /// Calls that never ended.
    fn finish(&mut self, index: &mut TraceIndex) {
        for (call, open) in std::mem::take(&mut self.open) {
            self.close(index, call, open);
        }
    }

    /// Says in every span with frames of a call how it went.
    fn close(&mut self, index: &mut TraceIndex, call: CallId, open: OpenCall) {
        let verdict = Verdict::of(open.end.as_ref(), open.beside);
        index.pending += u64::from(open.started && open.end.is_none());
        let mut last = None;
        let spans = &mut index.spans;
        let place =
            |spans: &[Span], at| spans.partition_point(|span| span.offset <= at).checked_sub(1);
        let ends_in = place(spans, open.last_at);
        let is_local = open.frames_at.iter().all(|at| place(spans, *at) == ends_in);
        for at in open.frames_at {
            let number = place(spans, at);
            let Some(span) = number.and_then(|number| spans.get_mut(number)) else {
                continue;
            };
            span.marks.add_verdict(verdict);
            if is_local || last == number {
                continue;
            }
            last = number;
            if self.late >= MAX_LATE {
                index.unjoined += 1;
                span.marks.add_verdict(Verdict::of(None, open.beside));
                continue;
            }
            self.late += 1;
            span.late.push(LateEnd { call, end: open.end.clone(), beside: open.beside });
        }
    }
}
