//! Makes the record that rules judge, event by event.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::{CallId, Event, HostCall, MADE_UP, NoteKind, Phase, What};
use glovebox_trace::{PluginRecord, recorded_len};

use super::record::{
    AskedHostCall, CallEnd, CallRecord, Load, Owner, PluginFacts, Record, Segment, SegmentKey, Spot,
};

/// Calls that a record holds unless it is told otherwise; one costs about 300 bytes.
pub const MAX_CALLS: usize = 500_000;
/// Copies of plugins that a record tells apart.
const MAX_SEGMENTS: usize = 10_000;
/// Loads that are kept, and spots of each permission.
const MAX_LOADS: usize = 1_000;
const MAX_SPOTS: usize = 16;

/// Makes a [`Record`] of events, in bounded memory: the latest calls are kept, the others counted.
#[derive(Debug)]
pub struct RecordBuilder {
    record: Record,
    limit: usize,
    run: u32,
    /// Where calls are, counted from the first that was ever kept.
    positions: HashMap<CallId, usize>,
    gone: usize,
    segments: HashMap<SegmentKey, usize>,
    /// Instances of each plugin in a run, in order of appearance.
    owners: HashMap<(u32, Arc<str>), Vec<u64>>,
}

impl Default for RecordBuilder {
    fn default() -> Self {
        RecordBuilder::new(MAX_CALLS)
    }
}

impl RecordBuilder {
    /// A builder that keeps at most so many calls, from 1.
    pub fn new(limit: usize) -> RecordBuilder {
        RecordBuilder {
            record: Record::default(),
            limit: limit.max(1),
            run: 0,
            positions: HashMap::new(),
            gone: 0,
            segments: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    /// Adds what a trace says of a plugin and of its instances.
    pub fn describe_record(&mut self, record: &PluginRecord) {
        if let Some(facts) = PluginFacts::of_record(record) {
            self.describe(&record.id, facts);
        }
        for instance in record.instances.iter().filter(|one| !one.digest.is_empty()) {
            let key = (record.id.as_str().into(), instance.instance);
            self.record.digests.insert(key, instance.digest.clone());
        }
    }

    /// Adds the facts that one instance of a plugin states about itself, which others of the same id may
    /// not.
    pub fn describe_instance(&mut self, plugin: &str, instance: u64, facts: PluginFacts) {
        self.record.instances.insert((plugin.into(), instance), facts);
    }

    /// Adds the facts that a plugin states about itself.
    pub fn describe(&mut self, plugin: &str, facts: PluginFacts) {
        self.record.plugins.insert(plugin.into(), facts);
    }

    /// Says that inputs come as fast as possible.
    pub fn set_unpaced(&mut self) {
        self.record.unpaced = true;
    }

    /// Begins another run, whose calls may have the numbers of this one's.
    pub fn next_run(&mut self) {
        self.run += 1;
        self.positions.clear();
    }

    /// Forgets all calls and other events; the facts about plugins stay.
    pub fn clear(&mut self) {
        let plugins = std::mem::take(&mut self.record.plugins);
        let instances = std::mem::take(&mut self.record.instances);
        *self = RecordBuilder::new(self.limit);
        (self.record.plugins, self.record.instances) = (plugins, instances);
    }

    /// The record so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record.
    pub fn finish(self) -> Record {
        self.record
    }

    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        let run = self.run;
        let spot = |call| Spot { run, sequence: event.sequence, call };
        let ends = &mut self.record.ends;
        ends.resize(run as usize + 1, 0);
        ends[run as usize] = ends[run as usize].max(event.at);
        match &event.what {
            What::FrameIn { call, frame } => {
                let spot = spot(Some(*call));
                let Some(segment) = self.segment_of(event) else {
                    self.record.calls_left_out += 1;
                    return;
                };
                let range = &mut self.record.segments[segment].range;
                range.get_or_insert((event.at, event.at));
                self.add(
                    *call,
                    CallRecord {
                        segment,
                        input: spot,
                        at: event.at,
                        kind: frame.kind,
                        input_hash: hash_of(frame),
                        bytes_in: recorded_len(frame) as u64,
                        output_hash: 0,
                        bytes_out: 0,
                        frames_out: 0,
                        first_output: None,
                        disordered: None,
                        after_end: None,
                        host_hash: 0,
                        asked_again: None,
                        end: None,
                        last_asked: None,
                        next_index: 0,
                    },
                );
            }
            What::FrameOut { call, index, frame, .. } => {
                let Some(call) = self.call(*call) else { return };
                call.output_hash = hash_of(&(call.output_hash, frame));
                call.bytes_out += recorded_len(frame) as u64;
                call.frames_out += 1;
                call.first_output.get_or_insert(event.sequence);
                if *index != call.next_index {
                    call.disordered.get_or_insert(event.sequence);
                }
                call.next_index = index.saturating_add(1);
                if call.end.is_some() {
                    call.after_end.get_or_insert(event.sequence);
                }
            }
            What::CallEnded { call, outcome, timing, memory, .. } => {
                let end = CallEnd {
                    sequence: event.sequence,
                    outcome: outcome.name(),
                    is_made_up: outcome.is_made_up(),
                    timing: *timing,
                    memory: *memory,
                };
                if let Some(call) = self.call(*call) {
                    call.end = Some(end);
                }
                if let Some(segment) = self.segment_of(event) {
                    let segment = &mut self.record.segments[segment];
                    segment.ended += 1;
                    segment.busy += timing.guest + timing.boundary;
                    let (first, last) = segment.range.unwrap_or((event.at, event.at));
                    segment.range = Some((first, last.max(event.at)));
                }
            }
            What::HostCall { call, host_call } => {
                // Copies that are not told apart are not looked at: plugins are many only in bad traces.
                let Some(owner) = self.owner_of(event) else {
                    return;
                };
                let denied = host_call.is_denied();
                let key = (owner, host_call.permission);
                let uses = self.record.uses.entry(key).or_default();
                uses.used += 1;
                if denied {
                    uses.denied += 1;
                    uses.generation = event.generation;
                    if uses.denials.len() < MAX_SPOTS {
                        uses.denials.push(spot(*call));
                    }
                }
                if let Some(call) = call.and_then(|call| self.call(call)) {
                    call.take_in(event.sequence, host_call);
                }
            }
            What::Loaded { digest, took, cached, .. } => {
                let spot = spot(None);
                self.set_digest(event, digest, false);
                if self.record.loads.len() < MAX_LOADS
                    && let Some(owner) = self.owner_of(event)
                {
                    self.record.loads.push(Load {
                        owner,
                        generation: event.generation,
                        took: *took,
                        cached: *cached,
                        spot,
                    });
                }
            }
            What::Reloaded { digest, state_version, .. } => {
                self.set_digest(event, digest, state_version.is_some());
            }
            What::Phase { from, to, cause } => {
                self.take_phase(event, (*from, *to), cause, spot(None));
            }
            What::Note { kind: NoteKind::LeftBehind, text: left } => {
                if let Some(owner) = self.owner_of(event) {
                    let all = self.record.left_behind.entry(owner).or_default();
                    if all.len() < MAX_SPOTS {
                        all.push((event.generation, left.to_owned(), spot(None)));
                    }
                }
            }
            _ => {}
        }
    }

    /// A crash of a process is a fault whose cause says so; the outcome of its call may be another.
    fn take_phase(&mut self, event: &Event, change: (Phase, Phase), cause: &str, spot: Spot) {
        let crashed = (change.1 == Phase::Faulted).then(|| cause.strip_prefix("crashed")).flatten();
        let is_made_up = crashed.is_some_and(|rest| rest.starts_with(MADE_UP));
        let is_crash = crashed.is_some_and(|rest| is_made_up || rest.starts_with(": "));
        let is_loss =
            change == (Phase::Restarting, Phase::Ready) && cause.starts_with("restarted without ");
        let Some(owner) = self.owner_of(event) else { return };
        if !is_crash && !self.record.crashes.contains_key(&owner) {
            return;
        }
        let crashes = self.record.crashes.entry(owner).or_default();
        if is_crash {
            crashes.last_is_made_up = is_made_up;
        }
        // Nor does what follows from it say anything about the plugin.
        if crashes.last_is_made_up {
            crashes.made_up += usize::from(is_crash);
            return;
        }
        if is_crash {
            crashes.count += 1;
            crashes.generation = event.generation;
            if crashes.spots.len() < MAX_SPOTS {
                crashes.spots.push(spot);
            }
        }
        crashes.without_state += usize::from(is_loss);
        crashes.stopped += usize::from(change.1 == Phase::Quarantined);
    }

    fn set_digest(&mut self, event: &Event, digest: &str, carried_state: bool) {
        if let Some(segment) = self.segment_of(event) {
            let segment = &mut self.record.segments[segment];
            segment.digest = Some(digest.to_owned());
            segment.carried_state = carried_state;
        }
    }

    fn owner_of(&mut self, event: &Event) -> Option<Owner> {
        let segment = self.segment_of(event)?;
        Some(self.record.segments[segment].owner.clone())
    }

    fn segment_of(&mut self, event: &Event) -> Option<usize> {
        let key = SegmentKey {
            run: self.run,
            plugin: event.plugin.clone(),
            instance: event.instance,
            generation: event.generation,
        };
        match self.segments.entry(key) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(_) if self.record.segments.len() >= MAX_SEGMENTS => None,
            Entry::Vacant(entry) => {
                let key = entry.key().clone();
                let of_run = (key.run, key.plugin.clone());
                let instances = self.owners.entry(of_run).or_default();
                let known = instances.iter().position(|known| *known == key.instance);
                let place = known.unwrap_or_else(|| {
                    instances.push(key.instance);
                    instances.len() - 1
                });
                let owner = Owner { plugin: key.plugin.clone(), place };
                self.record.owners.insert(owner.clone(), key.instance);
                self.record.segments.push(Segment {
                    owner,
                    key,
                    digest: None,
                    carried_state: false,
                    range: None,
                    busy: Duration::ZERO,
                    ended: 0,
                });
                Some(*entry.insert(self.record.segments.len() - 1))
            }
        }
    }

    fn add(&mut self, id: CallId, call: CallRecord) {
        if self.record.calls.len() == self.limit
            && let Some(oldest) = self.record.calls.pop_front()
        {
            self.record.calls_left_out += 1;
            if let Some(id) = oldest.input.call
                && self.positions.get(&id) == Some(&self.gone)
            {
                self.positions.remove(&id);
            }
            self.gone += 1;
        }
        self.positions.insert(id, self.gone + self.record.calls.len());
        self.record.calls.push_back(call);
    }

    fn call(&mut self, id: CallId) -> Option<&mut CallRecord> {
        let position = self.positions.get(&id)?.checked_sub(self.gone)?;
        self.record.calls.get_mut(position)
    }
}

impl CallRecord {
    fn take_in(&mut self, sequence: u64, host_call: &HostCall) {
        let result = match &host_call.result {
            Ok(value) => hash_of(&value.to_bytes()),
            Err(error) => u64::from(error.code()),
        };
        self.host_hash = hash_of(&(self.host_hash, &host_call.service, result));
        if host_call.result.is_ok() {
            self.last_asked = None;
            return;
        }
        let asked = hash_of(&(&host_call.service, host_call.arguments.to_bytes()));
        let again = match self.last_asked {
            Some((before, again)) if before == asked => {
                AskedHostCall { times: again.times + 1, ..again }
            }
            _ => AskedHostCall { first: sequence, times: 1 },
        };
        self.last_asked = Some((asked, again));
        if self.asked_again.is_none_or(|most| most.times < again.times) {
            self.asked_again = Some(again);
        }
    }
}

/// The same for the same value in every run of this program.
fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
