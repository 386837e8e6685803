//! One span of a trace in memory, and the way each of its calls went.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use glovebox_events::{CallId, Direction, Event};

use super::facts::{FrameView, beside};
use super::marks::Verdict;
use super::{Span, TraceIndex};
use crate::format::glance::{Glance, WhatGlance};
use crate::format::{MAGIC, opcode};
use crate::read::chunk::{ChunkBuffer, Entry, KnownChannels};
use crate::read::framing::{self, Next, Records};
use crate::read::reader::decode_event;
use crate::{Statuses, TraceError, storage};

/// Reads spans of a trace, one at a time, into memory that is used again.
#[derive(Debug)]
pub struct SpanReader {
    path: PathBuf,
    file: File,
    channels: KnownChannels,
    /// The span as it stands in the file, after as many bytes as a file has before its first record.
    raw: Vec<u8>,
    records: ChunkBuffer,
    verdicts: HashMap<CallId, Verdict>,
}

/// A frame where it stands in a span.
#[derive(Debug)]
pub struct FramePlace<'a> {
    /// Id of the plugin.
    pub plugin: Cow<'a, str>,
    /// When the frame was seen, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The instance of the plugin, by its number in the host.
    pub instance: u64,
    /// Generation of the plugin, from 1.
    pub generation: u32,
    /// The call it belongs to.
    pub call: CallId,
    /// Its direction.
    pub direction: Direction,
    /// The frame.
    pub frame: FrameView<'a>,
    /// How its call went.
    pub verdict: Verdict,
}

impl<'a> FramePlace<'a> {
    /// A frame and the line of its event; how its call went is not known yet.
    fn of(line: &'a [u8], frame: FrameView<'a>) -> Option<FramePlace<'a>> {
        let Ok(Glance::Event(event)) = Glance::of(line) else {
            return None;
        };
        let (call, direction) = match event.what {
            WhatGlance::FrameIn { call } => (call, Direction::In),
            WhatGlance::FrameOut { call } => (call, Direction::Out),
            _ => return None,
        };
        Some(FramePlace {
            plugin: event.plugin,
            at: event.at,
            instance: event.instance,
            generation: event.generation,
            call,
            direction,
            frame,
            verdict: Verdict::default(),
        })
    }
}

impl SpanReader {
    /// Opens a trace of which the index is known.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn open(path: &Path, index: &TraceIndex) -> Result<SpanReader, TraceError> {
        let file = storage::open(path).map_err(|source| TraceError::io("read", source, path))?;
        Ok(SpanReader {
            path: path.to_owned(),
            file,
            channels: index.channels.clone(),
            raw: Vec::new(),
            records: ChunkBuffer::default(),
            verdicts: HashMap::new(),
        })
    }

    /// Reads a span. Damage is passed over: who made the index has counted it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds there something else than the index says.
    pub fn read(&mut self, span: &Span) -> Result<(), TraceError> {
        self.load(span).map_err(|source| TraceError::io("read", source, &self.path))?;
        let (expected, found) = (span.bytes(), self.records.len());
        if found == expected {
            return Ok(());
        }
        self.records.clear();
        Err(TraceError::SummaryWrong {
            offset: span.offset,
            reason: format!("it counts {expected} bytes of chunks, and {found} can be read"),
            path: self.path.clone(),
        })
    }

    fn load(&mut self, span: &Span) -> io::Result<()> {
        let SpanReader { file, raw, records, .. } = self;
        raw.clear();
        raw.extend_from_slice(MAGIC);
        file.seek(SeekFrom::Start(span.offset))?;
        file.take(span.length).read_to_end(raw)?;
        records.clear();
        // A chunk that is bad now was bad when the index was made. More than the index counted is
        // not taken in, however much it is.
        let mut take = |opcode: u8, data: &[u8]| {
            let is_taken = matches!(
                opcode,
                opcode::CHUNK | opcode::SCHEMA | opcode::CHANNEL | opcode::MESSAGE
            );
            if is_taken && records.len() <= span.bytes() {
                let _ = records.append_record(opcode, data);
            }
        };
        let mut at = MAGIC.len();
        while let Some((opcode, data)) = framing::whole_record(&raw[at..]) {
            take(opcode, data);
            at += framing::PREFIX + data.len();
        }
        // Something is damaged, most likely; this finds what comes after it.
        let size = raw.len() as u64;
        let mut left = Records::starting_at(at as u64, Cursor::new(&raw[..]), size)?;
        loop {
            match left.next()? {
                Next::Record { opcode, data, .. } => take(opcode, &data),
                Next::Damaged { .. } => {}
                Next::CutShort { .. } | Next::End => return Ok(()),
            }
        }
    }

    /// The messages of the span, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.entries(&self.channels)
    }

    /// The events of the span, in order.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.events_of(|_| true)
    }

    /// The events of the span that belong to these calls or to none, in order.
    pub fn events_of(&self, is_wanted: impl Fn(CallId) -> bool) -> impl Iterator<Item = Event> {
        let mut ids = HashSet::new();
        self.entries().filter_map(move |entry| {
            let Entry::Event { line, body } = entry else {
                return None;
            };
            if Glance::call_of(line).is_some_and(|call| !is_wanted(call)) {
                return None;
            }
            let event = decode_event(line, body, &mut ids).ok()?;
            event.what.call().is_none_or(&is_wanted).then_some(event)
        })
    }

    /// Hands on the frames of the span that a condition on frames alone lets through, each with its
    /// row. Only of these the event is looked at, and, if `judged`, how their calls went.
    pub fn each_frame(
        &mut self,
        span: &Span,
        is_judged: bool,
        mut is_candidate: impl FnMut(&FrameView<'_>) -> bool,
        mut each: impl FnMut(u64, &FramePlace<'_>),
    ) {
        let mut candidates = Vec::new();
        let mut row = span.first_row;
        for entry in self.records.entries(&self.channels) {
            let Entry::Event { line, body: Some(body) } = entry else {
                continue;
            };
            let frame = match span.flawed {
                true => FrameView::checked(Some(body)).ok(),
                false => FrameView::of(body),
            };
            let Some(frame) = frame else {
                continue;
            };
            let is_frame = match span.flawed {
                true => {
                    matches!(Glance::of(line), Ok(Glance::Event(event)) if event.what.is_frame())
                }
                false => Glance::is_of_frame(line),
            };
            if !is_frame {
                continue;
            }
            if is_candidate(&frame) {
                candidates.push((row, line, frame));
            }
            row += 1;
        }
        let mut places: Vec<_> = candidates
            .into_iter()
            .filter_map(|(row, line, frame)| Some((row, FramePlace::of(line, frame)?)))
            .collect();
        self.verdicts.clear();
        if is_judged && !places.is_empty() {
            let calls = places.iter().map(|(_, place)| (place.call, Verdict::default()));
            self.verdicts.extend(calls);
            judge(&mut self.verdicts, &self.records, &self.channels, span);
        }
        for (row, place) in &mut places {
            place.verdict = self.verdicts.get(&place.call).copied().unwrap_or_default();
            each(*row, place);
        }
    }
}

/// Finds out how these calls went: by what stands in the span, and by what the index says of other
/// spans.
fn judge(
    verdicts: &mut HashMap<CallId, Verdict>,
    records: &ChunkBuffer,
    channels: &KnownChannels,
    span: &Span,
) {
    for entry in records.entries(channels) {
        let Entry::Event { line, body } = entry else {
            continue;
        };
        let beside = body.map_or(Statuses::NONE, beside);
        // A good event that something follows says nothing but, maybe, that something was denied or
        // injected.
        let is_idle = body.is_some() && beside == Statuses::NONE && !span.flawed;
        let is_of_others =
            || Glance::call_of(line).is_some_and(|call| !verdicts.contains_key(&call));
        if is_idle || is_of_others() {
            continue;
        }
        let Ok(Glance::Event(event)) = Glance::of(line) else {
            continue;
        };
        match event.what {
            WhatGlance::Ended { call, end } => {
                if let Some(verdict) = verdicts.get_mut(&call) {
                    verdict.end(&end);
                }
            }
            WhatGlance::HostCall { call: Some(call) } if beside != Statuses::NONE => {
                if let Some(verdict) = verdicts.get_mut(&call) {
                    verdict.add(beside);
                }
            }
            _ => {}
        }
    }
    for late in &span.late {
        if let Some(verdict) = verdicts.get_mut(&late.call) {
            *verdict = late.verdict();
        }
    }
}
