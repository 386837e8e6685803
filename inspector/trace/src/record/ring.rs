//! Events on their way to the disk: bounded memory between the threads of the plugins and the one
//! that writes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use glovebox_events::{Event, Phase, Snapshot, What, weight};
use parking_lot::{Condvar, Mutex, MutexGuard};
use serde::Serialize;

use crate::format::snapshot;
use crate::{GapCause, PluginRecord};

/// How long the thread that writes lets events gather, so that it is not woken for each.
const GATHER: Duration = Duration::from_millis(2);

/// Events for which room is kept in both queues when nothing happens.
const SPARE: usize = 8 << 10;

/// How full the memory of a recorder is, and what that cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pressure {
    /// Events that wait for the disk.
    pub waiting: u64,
    /// Bytes they keep, about.
    pub bytes: u64,
    /// The most bytes there ever were.
    pub peak: u64,
    /// The most bytes there may be.
    pub limit: u64,
    /// How often a caller was made to wait because memory was full.
    pub held: u64,
    /// For how long callers waited, all together.
    pub held_for: Duration,
}

/// Holds events until they are written. When it is full, callers wait for a while; after that,
/// and at once while nothing can be written, the oldest events go and are counted.
#[derive(Debug)]
pub(crate) struct Ring {
    state: Mutex<State>,
    /// Wakes the thread that writes.
    filled: Condvar,
    /// Wakes callers that wait for room.
    emptied: Condvar,
    limit: usize,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    /// The queue of the batch before, kept so that no room for events has to be made anew.
    spare: VecDeque<Event>,
    /// Weight of `events`, and of those that were taken and are not written yet.
    bytes: usize,
    /// Sequence number of the last event.
    last: u64,
    /// Events that went before the first of `events`, since somebody took any.
    gap: Option<(u64, GapCause)>,
    plugins: Vec<PluginRecord>,
    snapshots: Snapshots,
    urgent: bool,
    /// The disk answered, which the thread that writes is to look at.
    nudged: bool,
    sleeper: Sleeper,
    /// Why nothing can be written now.
    trouble: Option<GapCause>,
    /// A caller waited in vain; the others need not try before something was written.
    out_of_patience: bool,
    closing: bool,
    closed: bool,
    recorded: u64,
    dropped: u64,
    pressure: Pressure,
}

/// Snapshots that wait, and their weight with those that were taken and are not written yet.
#[derive(Debug, Default)]
struct Snapshots {
    waiting: VecDeque<WaitingSnapshot>,
    bytes: usize,
    dropped: u64,
}

/// A snapshot, and the number of the last event before it.
#[derive(Debug)]
pub(crate) struct WaitingSnapshot {
    pub(crate) after: u64,
    pub(crate) snapshot: Snapshot,
}

/// The event that the writing thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sleeper {
    /// Nothing, or the end of a pause.
    #[default]
    Busy,
    /// The first event.
    Idle,
    /// More events, but not for long.
    Gathering,
}

/// The events taken out of a [`Ring`].
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) gap: Option<(u64, GapCause)>,
    pub(crate) plugins: Vec<PluginRecord>,
    pub(crate) snapshots: VecDeque<WaitingSnapshot>,
    pub(crate) events: VecDeque<Event>,
    /// True if something happened that must survive a loss of power at once.
    pub(crate) urgent: bool,
}

impl Ring {
    pub(crate) fn new(limit: usize, patience: Duration) -> Ring {
        let pressure = Pressure { limit: limit as u64, ..Pressure::default() };
        Ring {
            state: Mutex::new(State { pressure, ..State::default() }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            limit,
            patience,
        }
    }

    /// Takes an event; the caller may have to wait for at most the patience.
    pub(crate) fn push(&self, event: Event) {
        let size = weight::event(&event);
        let mut state = self.state.lock();
        state.recorded += 1;
        if state.closed {
            state.dropped += 1;
            return;
        }
        if state.bytes + size > self.limit && !self.make_room(&mut state, size) {
            return;
        }
        state.bytes += size;
        state.pressure.peak = state.pressure.peak.max(state.bytes as u64);
        state.urgent |= is_urgent(&event);
        // Events of several threads may come out of order.
        state.last = state.last.max(event.sequence);
        state.events.push_back(event);
        let wake = match state.sleeper {
            Sleeper::Busy => false,
            Sleeper::Idle => true,
            Sleeper::Gathering => self.is_pressing(&state),
        };
        if wake {
            state.sleeper = Sleeper::Busy;
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Remembers a plugin for the file.
    pub(crate) fn describe(&self, plugin: PluginRecord) {
        let mut state = self.state.lock();
        match state.plugins.iter_mut().find(|known| known.id == plugin.id) {
            // It may be another instance.
            Some(known) => known.update(plugin),
            None => state.plugins.push(plugin),
        }
        state.sleeper = Sleeper::Busy;
        drop(state);
        self.filled.notify_one();
    }

    /// Takes a snapshot, if there is room.
    pub(crate) fn keep_snapshot(&self, snapshot: Snapshot) {
        let size = snapshot::weight(&snapshot);
        let mut state = self.state.lock();
        let is_closed = state.closed;
        let kept = &mut state.snapshots;
        // A single one always has room.
        if is_closed || kept.bytes > 0 && kept.bytes + size > self.limit {
            kept.dropped += 1;
            return;
        }
        kept.bytes += size;
        let after = state.last;
        state.snapshots.waiting.push_back(WaitingSnapshot { after, snapshot });
        state.sleeper = Sleeper::Busy;
        drop(state);
        self.filled.notify_one();
    }

    /// A snapshot is written, or cannot be.
    pub(crate) fn release_snapshot(&self, snapshot: &Snapshot, is_written: bool) {
        let mut state = self.state.lock();
        let kept = &mut state.snapshots;
        kept.bytes = kept.bytes.saturating_sub(snapshot::weight(snapshot));
        kept.dropped += u64::from(!is_written);
    }

    /// Snapshots for which there was no room, or which could not be written.
    pub(crate) fn dropped_snapshots(&self) -> u64 {
        self.state.lock().snapshots.dropped
    }

    /// Counts events that were taken and could not be written after all.
    pub(crate) fn owe(&self, lost: u64, cause: GapCause) {
        self.state.lock().drop_events(lost, cause);
    }

    /// Waits until there is something to write, or until then; says if the end was asked for. In
    /// trouble, only the time and the end matter.
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        loop {
            let troubled = state.trouble.is_some();
            if state.closing || !troubled && (state.has_news() || state.nudged) {
                break;
            }
            state.sleeper = if troubled { Sleeper::Busy } else { Sleeper::Idle };
            match until {
                None => self.filled.wait(&mut state),
                Some(until) if self.filled.wait_until(&mut state, until).timed_out() => break,
                Some(_) => {}
            }
        }
        let gathered = Instant::now() + GATHER;
        while state.trouble.is_none()
            && !state.events.is_empty()
            && !state.closing
            && !self.is_pressing(&state)
        {
            state.sleeper = Sleeper::Gathering;
            if self.filled.wait_until(&mut state, gathered).timed_out() {
                break;
            }
        }
        state.sleeper = Sleeper::Busy;
        state.nudged = false;
        state.closing
    }

    /// Makes the thread that writes look at what the disk answered.
    pub(crate) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.filled.notify_one();
    }

    /// Takes all there is. Its weight counts until it is [released](Self::release).
    pub(crate) fn take(&self) -> Batch {
        let mut state = self.state.lock();
        let empty = std::mem::take(&mut state.spare);
        Batch {
            gap: state.gap.take(),
            plugins: std::mem::take(&mut state.plugins),
            snapshots: std::mem::take(&mut state.snapshots.waiting),
            events: std::mem::replace(&mut state.events, empty),
            urgent: std::mem::take(&mut state.urgent),
        }
    }

    /// Gives back what all events of a batch were taken out of.
    ///
    /// None of it is given to the system here: many events come in while others are synced, again
    /// and again, and memory that is asked for anew is cleared page by page while a caller waits.
    pub(crate) fn recycle(&self, batch: Batch) {
        self.state.lock().spare = batch.events;
    }

    /// True if there is memory that [`shrink`](Self::shrink) would give back.
    pub(crate) fn is_roomy(&self) -> bool {
        let state = self.state.lock();
        state.events.capacity().max(state.spare.capacity()) > SPARE
    }

    /// Gives memory back that only many events at once need.
    pub(crate) fn shrink(&self) {
        let mut state = self.state.lock();
        state.events.shrink_to(SPARE);
        state.spare.shrink_to(SPARE);
    }

    /// Takes back what could not be written. If more was dropped meanwhile, the file will name
    /// both gaps as one, before the first event.
    pub(crate) fn put_back(&self, mut batch: Batch) {
        let mut state = self.state.lock();
        batch.events.append(&mut state.events);
        state.events = batch.events;
        for mut plugin in batch.plugins {
            match state.plugins.iter_mut().find(|known| known.id == plugin.id) {
                Some(later) => {
                    std::mem::swap(later, &mut plugin);
                    later.update(plugin);
                }
                None => state.plugins.push(plugin),
            }
        }
        batch.snapshots.append(&mut state.snapshots.waiting);
        state.snapshots.waiting = batch.snapshots;
        state.urgent |= batch.urgent;
        if let Some((lost, cause)) = batch.gap {
            let later = state.gap.map_or(0, |(lost, _)| lost);
            state.gap = Some((lost + later, cause));
        }
    }

    /// This weight of events is written.
    pub(crate) fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.out_of_patience = false;
        drop(state);
        self.emptied.notify_all();
    }

    /// Says why nothing can be written now, or that writing works.
    pub(crate) fn set_trouble(&self, trouble: Option<GapCause>) {
        self.state.lock().trouble = trouble;
        self.emptied.notify_all();
    }

    /// Asks the thread that writes to come to its end.
    pub(crate) fn start_closing(&self) {
        self.state.lock().closing = true;
        self.filled.notify_one();
    }

    /// Drops what is left, and from now on everything; says what is missing at the end of the file.
    pub(crate) fn close(&self) -> Option<(u64, GapCause)> {
        let mut state = self.state.lock();
        state.closed = true;
        state.bytes = 0;
        state.snapshots.dropped += std::mem::take(&mut state.snapshots.waiting).len() as u64;
        let left = std::mem::take(&mut state.events).len() as u64;
        let cause = state.trouble.unwrap_or(GapCause::TooSlow);
        if left > 0 {
            state.drop_events(left, cause);
        }
        let gap = state.gap.take();
        drop(state);
        self.emptied.notify_all();
        gap
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.events.is_empty() && state.gap.is_none() && state.snapshots.waiting.is_empty()
    }

    pub(crate) fn pressure(&self) -> Pressure {
        let state = self.state.lock();
        let (waiting, bytes) = (state.events.len() as u64, state.bytes as u64);
        Pressure { waiting, bytes, ..state.pressure }
    }

    /// Events that were given, and those of them that went.
    pub(crate) fn recorded_and_dropped(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.recorded, state.dropped)
    }

    fn is_pressing(&self, state: &State) -> bool {
        state.urgent || state.bytes * 2 > self.limit
    }

    /// False if there is no room even without all that is older.
    fn make_room(&self, state: &mut MutexGuard<'_, State>, size: usize) -> bool {
        let full = |state: &State| state.bytes > 0 && state.bytes + size > self.limit;
        if full(state)
            && !self.patience.is_zero()
            && !state.out_of_patience
            && state.trouble.is_none()
        {
            let started = Instant::now();
            state.pressure.held += 1;
            self.filled.notify_one();
            while full(state) && state.trouble.is_none() && !state.closed {
                if self.emptied.wait_until(state, started + self.patience).timed_out() {
                    state.out_of_patience = true;
                    break;
                }
            }
            state.pressure.held_for += started.elapsed();
        }
        let cause = state.trouble.unwrap_or(GapCause::TooSlow);
        while full(state) {
            let Some(oldest) = state.events.pop_front() else {
                // All that is left is being written.
                state.drop_events(1, cause);
                return false;
            };
            state.bytes -= weight::event(&oldest);
            state.drop_events(1, cause);
        }
        if state.closed {
            state.dropped += 1;
        }
        !state.closed
    }
}

impl State {
    fn has_news(&self) -> bool {
        let is_quiet = self.events.is_empty() && self.snapshots.waiting.is_empty();
        !is_quiet || self.gap.is_some() || !self.plugins.is_empty()
    }

    fn drop_events(&mut self, lost: u64, cause: GapCause) {
        let before = self.gap.map_or(0, |(lost, _)| lost);
        self.gap = Some((before + lost, cause));
        self.dropped += lost;
    }
}

/// True for what a person will look for after everything went down.
fn is_urgent(event: &Event) -> bool {
    match &event.what {
        What::CallEnded { outcome, .. } => outcome.is_fatal(),
        What::Phase { to, .. } => {
            matches!(to, Phase::Faulted | Phase::Restarting | Phase::Quarantined)
        }
        What::LoadFailed { .. } | What::Reloaded { .. } | What::ReloadFailed { .. } => true,
        _ => false,
    }
}
