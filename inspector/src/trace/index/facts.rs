//! What one chunk holds, counted without building events.

use std::collections::{HashMap, HashSet};

use glovebox_abi::cbor;
use glovebox_abi::{FRAME_PREFIX_LEN, Kind, ServiceError, WIRE_VERSION};
use glovebox_events::{CallId, Event};
use minicbor::Decoder;

use super::marks::{LAST_PLUGIN, Marks, Verdict};
use crate::filter::{Directions, Span as Numbers};
use crate::store::Direction;
use crate::trace::chunk::{ChunkBuffer, Entry};
use crate::trace::glance::{End, EventGlance, Glance, WhatGlance};
use crate::trace::reader::decode_event;
use crate::trace::wire::Follows;

/// What one chunk holds.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Bytes after decompression.
    pub(super) bytes: u64,
    pub(super) counts: Counts,
    pub(super) marks: Marks,
    /// Ids of plugins, in order of appearance; the marks go by these numbers.
    pub(super) plugins: Vec<Box<str>>,
    /// Calls that do not both start and end in this chunk.
    pub(super) touches: Vec<Touch>,
    /// Loads and reloads, which say what plugins are.
    pub(super) loads: Vec<Event>,
    /// What is wrong with it; the last of several.
    pub(super) bad: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) frames_in: u64,
    pub(super) frames_out: u64,
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) host_calls: u64,
    pub(super) outside: u64,
    pub(super) lost: u64,
    pub(super) times: Numbers,
    pub(super) sequences: Numbers,
    pub(super) calls_seen: Numbers,
}

/// What one chunk has of a call.
#[derive(Debug)]
pub(super) struct Touch {
    pub(super) call: CallId,
    pub(super) started: bool,
    pub(super) frames: bool,
    pub(super) end: Option<End>,
    pub(super) denied: bool,
}

impl Facts {
    /// Counts what a good chunk holds.
    pub(super) fn of(chunk: &ChunkBuffer, events_channel: u16) -> Facts {
        let mut facts = Facts { bytes: chunk.len(), ..Facts::default() };
        let mut calls = HashMap::new();
        for entry in chunk.entries(events_channel) {
            if let Err(reason) = facts.entry(entry, &mut calls) {
                facts.bad = Some(reason);
            }
        }
        for touch in calls.into_values() {
            if touch.started && touch.end.is_some() {
                facts.marks.add_verdict(Verdict::of(touch.end.as_ref(), touch.denied));
            } else {
                facts.touches.push(touch);
            }
        }
        facts.touches.sort_unstable_by_key(|touch| touch.call);
        facts
    }

    fn entry(
        &mut self,
        entry: Entry<'_>,
        calls: &mut HashMap<CallId, Touch>,
    ) -> Result<(), String> {
        let Entry::Event { line, body } = entry else {
            return Err("a frame lacks its event".to_owned());
        };
        let event = match Glance::of(line) {
            Ok(Glance::Event(event)) => event,
            Ok(Glance::Gap { lost }) => {
                self.counts.lost += lost;
                return body.map_or(Ok(()), |_| Err("a frame lacks its event".to_owned()));
            }
            Err(reason) => {
                return Err(reason);
            }
        };
        // A body that nobody asked for is lost, but the event is not.
        let stray = event.what.follows() == Follows::Nothing && body.is_some();
        self.event(&event, line, body, calls)?;
        self.counts.events += 1;
        self.counts.times.grow(event.at);
        self.counts.sequences.grow(event.sequence);
        if stray { Err("a frame lacks its event".to_owned()) } else { Ok(()) }
    }

    fn event(
        &mut self,
        event: &EventGlance<'_>,
        line: &[u8],
        body: Option<&[u8]>,
        calls: &mut HashMap<CallId, Touch>,
    ) -> Result<(), String> {
        match &event.what {
            WhatGlance::FrameIn { call } => {
                let frame = FrameView::checked(body)?;
                let touch = self.touch(*call, calls);
                touch.started = true;
                touch.frames = true;
                self.counts.frames_in += 1;
                self.frame(event, *call, &frame, Direction::In);
            }
            WhatGlance::FrameOut { call } => {
                let frame = FrameView::checked(body)?;
                self.touch(*call, calls).frames = true;
                self.counts.frames_out += 1;
                self.frame(event, *call, &frame, Direction::Out);
            }
            WhatGlance::HostCall { call } => {
                // Decoded in full, because a row of it must be readable; they are few.
                decode_event(line, body, &mut HashSet::new())?;
                if let Some(call) = call {
                    self.touch(*call, calls).denied |= body.is_some_and(is_denied);
                }
                self.counts.host_calls += 1;
                self.counts.outside += u64::from(call.is_none());
            }
            WhatGlance::Ended { call, end } => {
                self.touch(*call, calls).end.get_or_insert_with(|| end.clone());
                self.counts.calls += 1;
                self.counts.errors += u64::from(!end.outcome.is_completed());
            }
            WhatGlance::Outside => {
                self.loads.push(decode_event(line, None, &mut HashSet::new())?);
                self.counts.outside += 1;
            }
        }
        Ok(())
    }

    fn touch<'a>(&mut self, call: CallId, calls: &'a mut HashMap<CallId, Touch>) -> &'a mut Touch {
        self.counts.calls_seen.grow(call.0);
        let none = Touch { call, started: false, frames: false, end: None, denied: false };
        calls.entry(call).or_insert(none)
    }

    fn frame(
        &mut self,
        event: &EventGlance<'_>,
        call: CallId,
        frame: &FrameView<'_>,
        direction: Direction,
    ) {
        // Those beyond the last mark share it, so that they need not be told apart.
        let number = match self.plugins.iter().position(|known| **known == *event.plugin) {
            Some(number) => number,
            None if self.plugins.len() > LAST_PLUGIN => LAST_PLUGIN,
            None => {
                self.plugins.push((*event.plugin).into());
                self.plugins.len() - 1
            }
        };
        self.marks.add_plugin(number);
        self.marks.kinds.insert(frame.kind);
        self.marks.directions = self.marks.directions.with(Directions::of(direction));
        self.marks.sizes.grow(frame.size());
        self.marks.times.grow(event.at);
        self.marks.calls.grow(call.0);
    }
}

/// An encoded frame, taken apart but not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trace) struct FrameView<'a> {
    pub(in crate::trace) kind: Kind,
    /// One CBOR map, or nothing.
    pub(in crate::trace) header: &'a [u8],
    pub(in crate::trace) payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Bytes of the encoded frame.
    pub(in crate::trace) fn size(&self) -> u64 {
        (FRAME_PREFIX_LEN + self.header.len() + self.payload.len()) as u64
    }

    /// Takes a frame apart; `None` if [`Frame::decode`](glovebox_abi::Frame::decode) refuses it for
    /// its lengths. The header is not looked at.
    pub(in crate::trace) fn of(bytes: &'a [u8]) -> Option<FrameView<'a>> {
        let (prefix, rest) = bytes.split_first_chunk::<FRAME_PREFIX_LEN>()?;
        let [kind, 0, v0, v1, h0, h1, h2, h3, p0, p1, p2, p3] = *prefix else {
            return None;
        };
        let (header, payload) =
            rest.split_at_checked(u32::from_le_bytes([h0, h1, h2, h3]) as usize)?;
        let fits = u16::from_le_bytes([v0, v1]) == WIRE_VERSION
            && u32::from_le_bytes([p0, p1, p2, p3]) as usize == payload.len()
            && bytes.len() <= glovebox_abi::MAX_FRAME_LEN;
        fits.then_some(FrameView { kind: Kind(kind), header, payload })
    }

    /// Takes a frame apart and looks at all of it.
    pub(in crate::trace) fn checked(body: Option<&'a [u8]>) -> Result<FrameView<'a>, String> {
        let bytes = body.ok_or("an event lacks its frame")?;
        let frame = FrameView::of(bytes).ok_or("a frame does not add up")?;
        if !frame.header.is_empty() {
            cbor::check_map(frame.header).map_err(|error| error.to_string())?;
        }
        Ok(frame)
    }
}

/// True if the body of a host call says that it was denied.
pub(in crate::trace) fn is_denied(body: &[u8]) -> bool {
    let denied = u64::from(ServiceError::Denied.code());
    let find = || -> Result<bool, minicbor::decode::Error> {
        let mut decoder = Decoder::new(body);
        for _ in 0..decoder.map()?.unwrap_or_default() {
            match decoder.str()? {
                "error" => return Ok(decoder.u64()? == denied),
                _ => decoder.skip()?,
            }
        }
        Ok(false)
    };
    find().unwrap_or(false)
}
