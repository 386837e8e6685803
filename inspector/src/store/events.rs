//! The events that a store still holds, to be written to a trace.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use glovebox_events::{CallId, Direction, Event, What};

use super::{Call, Row, RowId, Store};

/// Events taken out of a store piece by piece, so that it is never held for long.
#[derive(Debug, Default)]
pub struct Extraction {
    events: Vec<Event>,
    calls: HashMap<CallId, Taken>,
    next: Option<RowId>,
    evicted: u64,
    before: Option<Before>,
}

/// The events besides frames that were no longer there when the first ones were taken out.
#[derive(Debug, Clone, Copy)]
struct Before {
    others: u64,
    host_calls: u64,
}

/// The host calls of a call that were taken out.
#[derive(Debug)]
struct Taken {
    /// The first row of the call: it is begun anew once all of its rows went.
    first: Option<RowId>,
    host_calls: u64,
    /// Host calls of it that were no longer there.
    evicted: u64,
}

impl Taken {
    fn of(call: &Call) -> Taken {
        let first = call.rows.first().copied();
        let host_calls = call.host_calls.len() as u64;
        Taken { first, host_calls, evicted: call.evicted_host_calls }
    }

    /// How many of them went from the store since.
    fn gone_from(&self, store: &Store, id: CallId) -> u64 {
        match store.call(id).filter(|call| call.rows.first().copied() == self.first) {
            Some(call) => (call.evicted_host_calls - self.evicted).min(self.host_calls),
            None => self.host_calls,
        }
    }
}

/// The events that were taken out, in order.
#[derive(Debug)]
pub struct SavedEvents {
    /// The events, numbered anew from 0.
    pub events: Vec<Event>,
    /// Frames.
    pub frames: u64,
    /// Frames that came before and are no longer there, or that went while events were taken out.
    pub evicted: u64,
    /// Other events of which that is true: host calls, and what happened outside of calls.
    pub others_evicted: u64,
}

impl Extraction {
    /// Rows that are taken out at once.
    pub const STEP: usize = 4096;

    /// Takes out what comes next; false once nothing is left.
    pub fn take(&mut self, store: &Store) -> bool {
        if self.before.is_none() {
            let (others, host_calls) = (store.others_evicted(), store.evicted_host_calls());
            self.before = Some(Before { others, host_calls });
            self.evicted = store.evicted();
            self.events.extend(store.outside().cloned());
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
        let rows =
            (index..store.len().min(index + Extraction::STEP)).filter_map(|at| store.row(at));
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
        self.push(row, row.sequence, row.at, what);
        let Some(call) = store.call(row.call) else { return };
        if let Entry::Vacant(taken) = self.calls.entry(row.call) {
            taken.insert(Taken::of(call));
            for event in &call.host_calls {
                let host_call = event.host_call.clone();
                let what = What::HostCall { call: Some(row.call), host_call };
                self.push(row, event.sequence, event.at, what);
            }
        }
        if call.rows.last() == Some(&row.id)
            && let Some((sequence, at, what)) = end_of(call)
        {
            self.push(row, sequence, at, what);
        }
    }

    fn push(&mut self, row: &Row, sequence: u64, at: u64, what: What) {
        self.events.push(Event {
            sequence,
            at,
            plugin: row.plugin.clone(),
            instance: row.instance,
            generation: row.generation,
            what,
        });
    }

    /// Everything that was taken out of `store`, in the order in which it happened: that of the numbers,
    /// for a clock may be set back.
    pub fn finish(self, store: &Store) -> SavedEvents {
        let others_evicted = self.before.map_or(0, |before| {
            let gone = store.evicted_host_calls().saturating_sub(before.host_calls);
            let taken: u64 = self.calls.iter().map(|(id, taken)| taken.gone_from(store, *id)).sum();
            before.others + gone.saturating_sub(taken)
        });
        let mut events = self.events;
        events.sort_by_key(|event| event.sequence);
        let is_frame =
            |event: &&Event| matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. });
        let frames = events.iter().filter(is_frame).count() as u64;
        let number =
            |(sequence, event): (usize, Event)| Event { sequence: sequence as u64, ..event };
        let events = events.into_iter().enumerate().map(number).collect();
        SavedEvents { frames, events, evicted: self.evicted, others_evicted }
    }
}

fn end_of(call: &Call) -> Option<(u64, u64, What)> {
    let (outcome, end) = (call.status.outcome()?.clone(), call.end?);
    let what = What::CallEnded {
        call: call.id,
        outcome,
        timing: call.timing?,
        bytes_in: end.bytes_in,
        bytes_out: end.bytes_out,
        frames_out: end.frames_out,
        memory: call.memory,
    };
    Some((end.sequence, end.at, what))
}
