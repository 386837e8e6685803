//! The facts about chunks, gathered without building events where they are read.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use glovebox_abi::cbor;
use glovebox_abi::{FRAME_PREFIX_LEN, Frame, Kind, ServiceError, WIRE_VERSION};
use glovebox_events::{AnsweredBy, CallId, Direction, Event, Outcome, Phase, What};
use minicbor::Decoder;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::marks::{LAST_PLUGIN, Marks, Verdict};
use super::values::{HeaderValues, ValueGatherer};
use crate::format::glance::{End, EventGlance, Glance, WhatGlance};
use crate::format::wire::Follows;
use crate::read::chunk::{ChunkBuffer, Entry, KnownChannels};
use crate::read::reader::decode_event;
use crate::versions::VersionSeen;
use crate::{Directions, Numbers, Statuses};

/// The content of one chunk, or of several in a row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) counts: Counts,
    pub(crate) marks: Marks,
    pub(crate) values: HeaderValues,
    /// Ids of plugins, in order of appearance; the marks go by these numbers.
    pub(crate) plugins: Vec<Box<str>>,
    /// Calls that do not both start and end here, by their numbers.
    #[serde(serialize_with = "by_difference", deserialize_with = "from_differences")]
    pub(crate) touches: Vec<Touch>,
    /// The versions that events name.
    pub(crate) versions: Vec<VersionSeen>,
}

/// Numbers of calls that follow each other take one byte each so.
fn by_difference<S: Serializer>(touches: &[Touch], serializer: S) -> Result<S::Ok, S::Error> {
    let mut before = 0;
    serializer.collect_seq(touches.iter().map(|touch| {
        let call = CallId(touch.call.0.wrapping_sub(std::mem::replace(&mut before, touch.call.0)));
        Touch { call, ..touch.clone() }
    }))
}

fn from_differences<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Touch>, D::Error> {
    let mut touches = Vec::<Touch>::deserialize(deserializer)?;
    let mut before = 0u64;
    for touch in &mut touches {
        before = before.wrapping_add(touch.call.0);
        touch.call = CallId(before);
    }
    Ok(touches)
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    /// Calls by their outcome, in the order of [`Outcome::NAMES`].
    pub(crate) ends: [u64; Outcome::NAMES.len()],
    pub(crate) restarts: u64,
    pub(crate) host_calls: u64,
    /// Emitted frames that were dropped.
    pub(crate) dropped: u64,
    /// Messages of other programs.
    pub(crate) skipped: u64,
    pub(crate) outside: u64,
    pub(crate) lost: u64,
    pub(crate) times: Numbers,
    pub(crate) sequences: Numbers,
    pub(crate) calls_seen: Numbers,
}

/// The facts about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Touch {
    pub(crate) call: CallId,
    pub(crate) started: bool,
    pub(crate) frames: bool,
    pub(crate) end: Option<End>,
    pub(crate) beside: Statuses,
}

/// Gathers facts, event by event: from a file while it is scanned, or as it is written.
#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    facts: Facts,
    calls: Calls,
    values: ValueGatherer,
}

/// The facts about calls since the last time. Nearly all have numbers that follow each other: these are
/// found by their place.
#[derive(Debug, Default)]
struct Calls {
    /// The number of the first place.
    first: u64,
    places: Vec<Seen>,
    others: HashMap<CallId, Seen, BuildHasherDefault<CallHasher>>,
}

/// Places before the first call that is seen: some that began before it go on.
const BEFORE: u64 = 64;
/// Places at most, of less than 64 bytes each.
const PLACES: u64 = 4096;

impl Calls {
    fn get(&mut self, call: CallId) -> &mut Seen {
        if self.places.is_empty() {
            self.first = call.0.saturating_sub(BEFORE);
        }
        let seen = match call.0.checked_sub(self.first) {
            Some(place @ ..PLACES) => {
                let place = place as usize;
                if place >= self.places.len() {
                    self.places.resize_with(place + 1, Seen::default);
                }
                &mut self.places[place]
            }
            _ => self.others.entry(call).or_default(),
        };
        seen.is_there = true;
        seen
    }

    /// All that were seen, in any order.
    fn drain(&mut self) -> impl Iterator<Item = (CallId, Seen)> {
        let first = self.first;
        let near = self.places.drain(..).enumerate();
        let near = near.map(move |(place, seen)| (CallId(first + place as u64), seen));
        near.filter(|(_, seen)| seen.is_there).chain(self.others.drain())
    }
}

/// The facts about a call since the last time.
#[derive(Debug, Default)]
struct Seen {
    /// There are any.
    is_there: bool,
    started: bool,
    frames: bool,
    beside: Statuses,
    end: SeenEnd,
}

/// Nearly all calls begin and end in one span: no more is kept of their ends than what a filter asks.
#[derive(Debug, Default)]
enum SeenEnd {
    #[default]
    NotYet,
    Here(Verdict),
    /// Of a call that began elsewhere.
    Elsewhere(Box<End>),
}

/// A frame of which facts are gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameFacts<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) at: u64,
    pub(crate) call: CallId,
    pub(crate) direction: Direction,
    pub(crate) kind: Kind,
    pub(crate) header: &'a [u8],
    pub(crate) size: u64,
}

impl Gatherer {
    /// All that was gathered since the last time.
    pub(crate) fn take(&mut self) -> Facts {
        let mut facts = std::mem::take(&mut self.facts);
        facts.values = self.values.take();
        for (call, Seen { started, frames, beside, end, .. }) in self.calls.drain() {
            let mut verdict = match end {
                SeenEnd::Here(verdict) => verdict,
                SeenEnd::Elsewhere(end) if started => Verdict::of(Some(&end), Statuses::NONE),
                SeenEnd::Elsewhere(end) => {
                    facts.touches.push(Touch { call, started, frames, end: Some(*end), beside });
                    continue;
                }
                SeenEnd::NotYet => {
                    facts.touches.push(Touch { call, started, frames, end: None, beside });
                    continue;
                }
            };
            verdict.add(beside);
            facts.marks.add_verdict(verdict);
        }
        facts.touches.sort_unstable_by_key(|touch| touch.call);
        facts
    }

    /// Takes in an event as it is written.
    pub(crate) fn event(&mut self, event: &Event) {
        match &event.what {
            What::FrameIn { call, frame } => self.whole_frame(event, *call, frame, Direction::In),
            What::FrameOut { call, frame, .. } => {
                self.whole_frame(event, *call, frame, Direction::Out);
            }
            What::HostCall { call, host_call } => {
                self.host_call(*call, Statuses::of_host_call(host_call));
            }
            What::CallEnded { call, outcome, timing, memory, .. } => {
                let verdict = Verdict::ended(outcome, timing);
                self.ended(*call, verdict, || End {
                    outcome: outcome.clone(),
                    timing: *timing,
                    memory: *memory,
                });
            }
            _ => self.outside(event),
        }
        self.seen(event.at, event.sequence);
    }

    fn whole_frame(&mut self, event: &Event, call: CallId, frame: &Frame, direction: Direction) {
        self.frame(&FrameFacts {
            plugin: &event.plugin,
            at: event.at,
            call,
            direction,
            kind: frame.kind,
            header: frame.header.as_bytes(),
            size: crate::placeholder::recorded_len(frame) as u64,
        });
    }

    fn outside(&mut self, event: &Event) {
        self.facts.counts.outside += 1;
        self.facts.versions.extend(VersionSeen::of(event));
        let counts = &mut self.facts.counts;
        match &event.what {
            What::Phase { to: Phase::Restarting, .. } => counts.restarts += 1,
            What::FramesDropped { frames, .. } => {
                counts.dropped = counts.dropped.saturating_add(*frames);
            }
            _ => {}
        }
    }

    /// So many events were not recorded.
    pub(crate) fn gap(&mut self, lost: u64) {
        self.facts.counts.lost = self.facts.counts.lost.saturating_add(lost);
    }

    fn seen(&mut self, at: u64, sequence: u64) {
        let counts = &mut self.facts.counts;
        counts.events += 1;
        counts.times.grow(at);
        counts.sequences.grow(sequence);
    }

    fn frame(&mut self, frame: &FrameFacts<'_>) {
        let seen = self.seen_of(frame.call);
        seen.frames = true;
        seen.started |= frame.direction == Direction::In;
        let Facts { counts, marks, plugins, .. } = &mut self.facts;
        match frame.direction {
            Direction::In => counts.frames_in += 1,
            Direction::Out => counts.frames_out += 1,
        }
        // Those beyond the last mark share it, so that they need not be told apart.
        let number = match plugins.iter().position(|known| **known == *frame.plugin) {
            Some(number) => number,
            None if plugins.len() > LAST_PLUGIN => LAST_PLUGIN,
            None => {
                plugins.push(frame.plugin.into());
                plugins.len() - 1
            }
        };
        marks.add_plugin(number);
        marks.kinds.insert(frame.kind);
        marks.directions = marks.directions.with(Directions::of(frame.direction));
        marks.sizes.grow(frame.size);
        marks.times.grow(frame.at);
        marks.calls.grow(frame.call.0);
        self.values.add(frame.header);
    }

    fn host_call(&mut self, call: Option<CallId>, beside: Statuses) {
        match call {
            Some(call) => {
                let seen = self.seen_of(call);
                seen.beside = seen.beside.with(beside);
            }
            None => self.facts.counts.outside += 1,
        }
        self.facts.counts.host_calls += 1;
    }

    /// Of several ends the first counts.
    fn ended(&mut self, call: CallId, verdict: Verdict, end: impl FnOnce() -> End) {
        self.facts.counts.calls += 1;
        self.facts.counts.errors += u64::from(verdict.status != Statuses::COMPLETED);
        if let Some(known) = verdict.status.outcome() {
            self.facts.counts.ends[known] += 1;
        }
        let seen = self.seen_of(call);
        if matches!(seen.end, SeenEnd::NotYet) {
            seen.end = match seen.started {
                true => SeenEnd::Here(verdict),
                false => SeenEnd::Elsewhere(Box::new(end())),
            };
        }
    }

    fn seen_of(&mut self, call: CallId) -> &mut Seen {
        self.facts.counts.calls_seen.grow(call.0);
        self.calls.get(call)
    }
}

/// Calls are numbers that nobody chooses to collide: no keyed hash is needed for them.
#[derive(Debug, Default)]
pub(crate) struct CallHasher(u64);

impl Hasher for CallHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// The result of scanning one chunk.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Bytes after decompression.
    pub(crate) bytes: u64,
    pub(crate) facts: Facts,
    /// Loads and reloads, which say what plugins are.
    pub(crate) loads: Vec<Event>,
    /// The damage in it; the last of several.
    pub(crate) bad: Option<String>,
}

impl Scanned {
    /// Counts what a good chunk holds.
    pub(crate) fn of(
        chunk: &ChunkBuffer,
        channels: &KnownChannels,
        gatherer: &mut Gatherer,
    ) -> Scanned {
        let mut scanned = Scanned { bytes: chunk.len(), ..Scanned::default() };
        for entry in chunk.entries(channels) {
            if let Err(reason) = scanned.entry(entry, gatherer) {
                scanned.bad = Some(reason);
            }
        }
        scanned.facts = gatherer.take();
        scanned.facts.counts.skipped = chunk.messages_of_others(channels);
        scanned
    }

    fn entry(&mut self, entry: Entry<'_>, gatherer: &mut Gatherer) -> Result<(), String> {
        let Entry::Event { line, body } = entry else {
            return Err("a frame lacks its event".to_owned());
        };
        let event = match Glance::of(line)? {
            Glance::Event(event) => event,
            Glance::Gap { lost } => {
                gatherer.gap(lost);
                return body.map_or(Ok(()), |_| Err("a frame lacks its event".to_owned()));
            }
        };
        // A body that nobody asked for is lost, but the event is not.
        let stray = event.what.follows() == Follows::Nothing && body.is_some();
        let (at, sequence) = (event.at, event.sequence);
        self.event(event, line, body, gatherer)?;
        gatherer.seen(at, sequence);
        if stray { Err("a frame lacks its event".to_owned()) } else { Ok(()) }
    }

    fn event(
        &mut self,
        event: EventGlance<'_>,
        line: &[u8],
        body: Option<&[u8]>,
        gatherer: &mut Gatherer,
    ) -> Result<(), String> {
        let (call, direction) = match event.what {
            WhatGlance::FrameIn { call } => (call, Direction::In),
            WhatGlance::FrameOut { call } => (call, Direction::Out),
            WhatGlance::HostCall { call } => {
                // Decoded in full, because a row of it must be readable; they are few.
                decode_event(line, body, &mut HashSet::new())?;
                gatherer.host_call(call, body.map_or(Statuses::NONE, beside));
                return Ok(());
            }
            WhatGlance::Ended { call, end } => {
                let verdict = Verdict::ended(&end.outcome, &end.timing);
                gatherer.ended(call, verdict, || end);
                return Ok(());
            }
            WhatGlance::Outside => {
                let event = decode_event(line, None, &mut HashSet::new())?;
                gatherer.outside(&event);
                self.loads.push(event);
                return Ok(());
            }
        };
        let frame = FrameView::checked(body)?;
        gatherer.frame(&FrameFacts {
            plugin: &event.plugin,
            at: event.at,
            call,
            direction,
            kind: frame.kind,
            header: frame.header,
            size: crate::placeholder::recorded_len_of(frame.header, frame.payload.len()) as u64,
        });
        Ok(())
    }
}

/// An encoded frame, taken apart but not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameView<'a> {
    /// The kind of the frame.
    pub kind: Kind,
    /// One CBOR map, or nothing.
    pub header: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Bytes of the encoded frame.
    pub fn size(&self) -> u64 {
        (FRAME_PREFIX_LEN + self.header.len() + self.payload.len()) as u64
    }

    /// Takes a frame apart; `None` if [`Frame::decode`](glovebox_abi::Frame::decode) refuses it for
    /// its lengths. The header is not looked at.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<FrameView<'a>> {
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
    pub(crate) fn checked(body: Option<&'a [u8]>) -> Result<FrameView<'a>, String> {
        let bytes = body.ok_or("an event lacks its frame")?;
        let frame = FrameView::of(bytes).ok_or("a frame does not add up")?;
        if !frame.header.is_empty() {
            cbor::check_map(frame.header).map_err(|error| error.to_string())?;
        }
        Ok(frame)
    }
}

/// The statuses that the body of a host call adds to those of its call, as
/// [`Statuses::of_host_call`] has it.
pub(crate) fn beside(body: &[u8]) -> Statuses {
    let find = || -> Result<Statuses, minicbor::decode::Error> {
        let mut decoder = Decoder::new(body);
        let (mut is_denied, mut answered_by) = (false, AnsweredBy::Host);
        for _ in 0..decoder.map()?.unwrap_or_default() {
            match decoder.str()? {
                "error" => is_denied = decoder.u64()? == u64::from(ServiceError::Denied.code()),
                "answered_by" => {
                    let named = AnsweredBy::named(decoder.str()?);
                    answered_by = named.unwrap_or(AnsweredBy::Application);
                }
                _ => decoder.skip()?,
            }
        }
        Ok(match answered_by {
            AnsweredBy::Fault | AnsweredBy::Mock => Statuses::INJECTED,
            AnsweredBy::Host if is_denied => Statuses::DENIED,
            AnsweredBy::Host | AnsweredBy::Application => Statuses::NONE,
        })
    };
    find().unwrap_or(Statuses::NONE)
}
