//! One span of a trace in memory, and the way each of its calls went.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use glovebox_events::{CallId, Event, What};
use mcap::MAGIC;

use super::TraceError;
use super::chunk::{ChunkBuffer, Entry};
use super::framing::{Next, Records, opcode};
use super::glance::{EventGlance, Glance, WhatGlance};
use super::index::marks::Verdict;
use super::index::{FrameView, Span, TraceIndex, is_denied};
use super::reader::decode_event;
use crate::filter::Subject;
use crate::store::Direction;

/// Reads spans of a trace, one at a time, into memory that is used again.
#[derive(Debug)]
pub(super) struct SpanReader {
    path: PathBuf,
    file: File,
    events_channel: u16,
    /// The span as it stands in the file, after as many bytes as a file has before its first record.
    raw: Vec<u8>,
    records: ChunkBuffer,
    verdicts: HashMap<CallId, Verdict>,
}

/// A frame where it stands in a span.
pub(super) struct FramePlace<'a> {
    pub(super) event: EventGlance<'a>,
    pub(super) call: CallId,
    pub(super) direction: Direction,
    pub(super) frame: FrameView<'a>,
    pub(super) verdict: Verdict,
}

impl FramePlace<'_> {
    /// What a filter looks at; `start` is the time of the first event of the trace.
    pub(super) fn subject(&self, start: u64) -> Subject<'_> {
        Subject {
            plugin: &self.event.plugin,
            kind: self.frame.kind,
            direction: self.direction,
            call: self.call,
            generation: self.event.generation,
            time: Duration::from_nanos(self.event.at.saturating_sub(start)),
            status: self.verdict.status,
            latency: self.verdict.latency.map(Duration::from_nanos),
            header: self.frame.header,
            payload: self.frame.payload,
        }
    }
}

impl SpanReader {
    pub(super) fn open(path: &Path, index: &TraceIndex) -> Result<SpanReader, TraceError> {
        let file = File::open(path).map_err(|source| TraceError::io("read", source, path))?;
        Ok(SpanReader {
            path: path.to_owned(),
            file,
            events_channel: index.events_channel,
            raw: Vec::new(),
            records: ChunkBuffer::default(),
            verdicts: HashMap::new(),
        })
    }

    /// Reads a span. Damage is passed over: who made the index has counted it.
    pub(super) fn read(&mut self, span: &Span) -> Result<(), TraceError> {
        self.load(span).map_err(|source| TraceError::io("read", source, &self.path))
    }

    fn load(&mut self, span: &Span) -> io::Result<()> {
        self.raw.clear();
        self.raw.extend_from_slice(MAGIC);
        self.file.seek(SeekFrom::Start(span.offset))?;
        (&mut self.file).take(span.length).read_to_end(&mut self.raw)?;
        self.records.clear();
        let size = self.raw.len() as u64;
        let mut source = Cursor::new(&self.raw);
        source.set_position(MAGIC.len() as u64);
        let mut records = Records::new(source, size);
        loop {
            match records.next()? {
                Next::Record { opcode: opcode::CHUNK, data, .. } => {
                    // A chunk that is bad now was bad when the index was made.
                    let _ = self.records.append(&data);
                }
                Next::Record { .. } | Next::Damaged { .. } => {}
                Next::CutShort { .. } | Next::End => return Ok(()),
            }
        }
    }

    /// The messages of the span, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.entries(self.events_channel)
    }

    /// The events of the span, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        let mut ids = HashSet::new();
        self.entries().filter_map(move |entry| match entry {
            Entry::Event { line, body } => decode_event(line, body, &mut ids).ok(),
            Entry::Stray => None,
        })
    }

    /// Hands on the frames of the span that a condition on frames alone lets through, each with its
    /// row. Only of these the event is looked at, and, if `judged`, how their calls went.
    pub(super) fn each_frame(
        &mut self,
        span: &Span,
        is_judged: bool,
        mut is_candidate: impl FnMut(&FrameView<'_>) -> bool,
        mut each: impl FnMut(u64, &FramePlace<'_>),
    ) {
        let mut candidates = Vec::new();
        let mut row = span.first_row;
        for entry in self.records.entries(self.events_channel) {
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
        if is_judged && !candidates.is_empty() {
            judge(&mut self.verdicts, &self.records, self.events_channel, span);
        }
        for (row, line, frame) in candidates {
            let Ok(Glance::Event(event)) = Glance::of(line) else {
                continue;
            };
            let (call, direction) = match event.what {
                WhatGlance::FrameIn { call } => (call, Direction::In),
                WhatGlance::FrameOut { call } => (call, Direction::Out),
                _ => continue,
            };
            let verdict = self.verdicts.get(&call).copied().unwrap_or_default();
            each(row, &FramePlace { event, call, direction, frame, verdict });
        }
    }
}

/// Finds out how the calls of a span went: by what stands in it, and by what the index says of
/// other spans.
fn judge(
    verdicts: &mut HashMap<CallId, Verdict>,
    records: &ChunkBuffer,
    events_channel: u16,
    span: &Span,
) {
    verdicts.clear();
    for entry in records.entries(events_channel) {
        let Entry::Event { line, body } = entry else {
            continue;
        };
        let Ok(Glance::Event(event)) = Glance::of(line) else {
            continue;
        };
        match event.what {
            WhatGlance::Ended { call, end } => {
                verdicts.entry(call).or_default().end(&end);
            }
            WhatGlance::HostCall { call: Some(call) } if body.is_some_and(is_denied) => {
                verdicts.entry(call).or_default().deny();
            }
            _ => {}
        }
    }
    for late in &span.late {
        verdicts.insert(late.call, late.verdict());
    }
}

/// The call that an event belongs to.
pub(super) fn call_of(event: &Event) -> Option<CallId> {
    match &event.what {
        What::FrameIn { call, .. } | What::FrameOut { call, .. } | What::CallEnded { call, .. } => {
            Some(*call)
        }
        What::HostCall { call, .. } => *call,
        _ => None,
    }
}
