//! The events that a store still holds, to be written to a trace.

use std::collections::HashSet;

use glovebox_events::{CallId, Direction, Event, What};

use super::{Call, Row, RowId, Store};

/// Events taken out of a store piece by piece, so that it is never held for long.
#[derive(Debug, Default)]
pub struct Held {
    events: Vec<Placed>,
    calls: HashSet<CallId>,
    next: Option<RowId>,
    evicted: u64,
    has_others: bool,
}

/// An event, and where it stands among those of its time.
#[derive(Debug)]
struct Placed {
    /// The number of the frame that it follows, and its place behind that.
    place: (u64, u32),
    event: Event,
}

/// The events that were held, in order.
#[derive(Debug)]
pub struct Kept {
    /// The events, numbered anew from 0.
    pub events: Vec<Event>,
    /// Frames.
    pub frames: u64,
    /// Frames that came before and are no longer there, or that went while they were taken out.
    pub evicted: u64,
    /// Other events that are no longer there: host calls, and what happened outside of calls.
    pub others_evicted: u64,
}

impl Held {
    /// Rows that are taken out at once.
    pub const STEP: usize = 4096;

    /// Takes out what comes next; false once nothing is left.
    pub fn take(&mut self, store: &Store) -> bool {
        if !std::mem::replace(&mut self.has_others, true) {
            self.evicted = store.evicted();
            let outside = store
                .outside()
                .map(|event| Placed { place: (event.sequence, 0), event: event.clone() });
            self.events.extend(outside);
        }
        let index = match self.next {
            None => 0,
            Some(next) => store.index_of(next).unwrap_or_else(|| {
                let oldest = store.row(0).map_or(next, |row| row.id);
                self.evicted += oldest.0.saturating_sub(next.0);
                // Behind the last one there is nothing.
                if oldest > next { 0 } else { store.len() }
            }),
        };
        let rows = (index..store.len().min(index + Held::STEP)).filter_map(|at| store.row(at));
        for row in rows {
            self.next = Some(RowId(row.id.0 + 1));
            self.add(row, store);
        }
        self.next.is_some_and(|next| store.index_of(next).is_some())
    }

    fn add(&mut self, row: &Row, store: &Store) {
        let what = match row.direction {
            Direction::In => What::FrameIn { call: row.call, frame: row.frame.clone() },
            Direction::Out => What::FrameOut {
                call: row.call,
                index: row.index,
                emitted: row.emitted,
                frame: row.frame.clone(),
            },
        };
        self.push((row.sequence, 0), row, row.at, what);
        let Some(call) = store.call(row.call) else { return };
        if self.calls.insert(row.call) {
            for (number, (at, host_call)) in call.host_calls.iter().enumerate() {
                let what = What::HostCall { call: Some(row.call), host_call: host_call.clone() };
                let place = (row.sequence, u32::try_from(number + 1).unwrap_or(u32::MAX));
                self.push(place, row, *at, what);
            }
        }
        if call.rows.last() == Some(&row.id)
            && let Some((at, what)) = end_of(call)
        {
            self.push((row.sequence, u32::MAX), row, at, what);
        }
    }

    fn push(&mut self, place: (u64, u32), row: &Row, at: u64, what: What) {
        let event = Event {
            sequence: 0,
            at,
            plugin: row.plugin.clone(),
            instance: row.instance,
            generation: row.generation,
            what,
        };
        self.events.push(Placed { place, event });
    }

    /// Everything that was taken out of `store`, in the order in which it happened.
    pub fn finish(self, store: &Store) -> Kept {
        let mut events = self.events;
        events.sort_by_key(|one| (one.event.at, one.place));
        let is_frame =
            |one: &&Placed| matches!(one.event.what, What::FrameIn { .. } | What::FrameOut { .. });
        let frames = events.iter().filter(is_frame).count() as u64;
        let number =
            |(sequence, one): (usize, Placed)| Event { sequence: sequence as u64, ..one.event };
        Kept {
            frames,
            events: events.into_iter().enumerate().map(number).collect(),
            evicted: self.evicted,
            others_evicted: store.others_evicted(),
        }
    }
}

fn end_of(call: &Call) -> Option<(u64, What)> {
    let (outcome, ending) = (call.status.outcome()?.clone(), call.ending?);
    let what = What::CallEnded {
        call: call.id,
        outcome,
        timing: call.timing?,
        bytes_in: ending.bytes_in,
        bytes_out: ending.bytes_out,
        frames_out: ending.frames_out,
        memory: call.memory,
    };
    Some((ending.at, what))
}
