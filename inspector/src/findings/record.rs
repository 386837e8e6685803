//! What rules look at: the calls of a run, without their frames.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::manifest::Budget;
use glovebox_abi::{Kind, Manifest, Permission, ServiceError};
use glovebox_events::{CallId, Event, HostCall, Timing, What};

/// Calls that a record holds unless it is told otherwise; one costs about 300 bytes.
pub const MAX_CALLS: usize = 500_000;
/// Copies of plugins that a record tells apart.
const MAX_SEGMENTS: usize = 10_000;
/// Loads that are kept, and spots of each permission.
const MAX_LOADS: usize = 1_000;
const MAX_SPOTS: usize = 16;

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Which run of the record, from 0.
    pub run: u32,
    /// Sequence number of the event.
    pub sequence: u64,
    /// The call it belongs to, if it belongs to one.
    pub call: Option<CallId>,
}

/// Names a [`Segment`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentKey {
    /// Which run of the record, from 0.
    pub run: u32,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Which instance of the host.
    pub instance: u64,
    /// Which artifact of that instance's slot, from 1.
    pub generation: u32,
}

/// What one generation of one instance did in one run.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Which.
    pub key: SegmentKey,
    /// Digest of the artifact, if the run says it.
    pub digest: Option<String>,
    /// True if it went on from the state of another generation.
    pub carried_state: bool,
    /// Time of the first input and of the last end, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// Time of all calls inside the plugin, and in carrying frames.
    pub busy: Duration,
    /// Calls that ended, also those that are not in the record any more.
    pub ended: u64,
}

/// One call.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Index into [`Record::segments`].
    pub segment: usize,
    /// Its input.
    pub input: Spot,
    /// When it started, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// Kind of its input.
    pub kind: Kind,
    /// Stands for the bytes of its input.
    pub input_hash: u64,
    /// Bytes of its input.
    pub bytes_in: u64,
    /// Stands for the bytes of all its outputs, in order.
    pub output_hash: u64,
    /// Bytes of its outputs.
    pub bytes_out: u64,
    /// Number of its outputs.
    pub frames_out: u32,
    /// Sequence number of its first output.
    pub first_output: Option<u64>,
    /// Sequence number of the first output whose index is not the next one.
    pub disordered: Option<u64>,
    /// Sequence number of the first output that came after its end.
    pub after_end: Option<u64>,
    /// Stands for all that the host told it, in order.
    pub host_hash: u64,
    /// The host call that it repeated most often, all failing.
    pub asked_again: Option<AskedHostCall>,
    /// How it ended; `None` if the run ends before it.
    pub end: Option<CallEnd>,
    last_asked: Option<(u64, AskedHostCall)>,
    next_index: u32,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct CallEnd {
    /// Sequence number of the event.
    pub sequence: u64,
    /// Name of the outcome.
    pub outcome: &'static str,
    /// Where the time went.
    pub timing: Timing,
    /// Bytes of memory afterwards, where the tier can tell.
    pub memory: Option<u64>,
}

/// A host call that failed, several times in a row.
#[derive(Debug, Clone, Copy)]
pub struct AskedHostCall {
    /// The first of them.
    pub first: u64,
    /// How often.
    pub times: u32,
}

impl CallRecord {
    /// True if the plugin answered.
    pub fn is_completed(&self) -> bool {
        self.end.is_some_and(|end| end.outcome == "completed")
    }

    /// How long it took, if it was made and is over; what was refused never was.
    pub fn latency(&self) -> Option<Duration> {
        let end = self.end.filter(|end| end.outcome != "refused")?;
        Some(end.timing.latency())
    }
}

/// What a plugin says about itself, as far as rules care.
#[derive(Debug, Clone, Default)]
pub struct PluginFacts {
    /// What it should not exceed.
    pub budget: Budget,
    /// What it asks for.
    pub permissions: Vec<Permission>,
    /// Digest of its artifact, where a load does not say.
    pub digest: Option<String>,
}

impl PluginFacts {
    /// What a manifest says.
    pub fn of(manifest: &Manifest) -> PluginFacts {
        let all = Permission::ALL.iter().map(|(permission, ..)| *permission);
        PluginFacts {
            budget: manifest.budget,
            permissions: all.filter(|one| manifest.asks_for(*one)).collect(),
            digest: None,
        }
    }
}

impl crate::trace::PluginRecord {
    /// What the plugin says about itself, by the manifest in the trace. `None` if there is none, or
    /// one that only a later version understands.
    pub fn facts(&self) -> Option<PluginFacts> {
        let manifest = Manifest::parse(self.manifest.as_deref()?).ok()?;
        let digest = Some(self.digest.clone()).filter(|digest| !digest.is_empty());
        Some(PluginFacts { digest, ..PluginFacts::of(&manifest) })
    }
}

/// Uses of one permission by one plugin.
#[derive(Debug, Clone, Default)]
pub struct PermissionUse {
    /// Host calls that need it.
    pub used: u64,
    /// Those of them that were denied.
    pub denied: u64,
    /// The first of those that were denied.
    pub denials: Vec<Spot>,
    /// The generation that was denied last.
    pub generation: u32,
}

/// One load of a plugin.
#[derive(Debug, Clone)]
pub struct Load {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Which generation it made.
    pub generation: u32,
    /// How long it took.
    pub took: Duration,
    /// True if the compiled code came from the cache.
    pub cached: bool,
    /// Where the run says so.
    pub spot: Spot,
}

/// The calls of one or more runs, without their frames.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// What plugins say about themselves, by id, as far as it is known.
    pub plugins: BTreeMap<Arc<str>, PluginFacts>,
    /// Generations of instances, in order of appearance.
    pub segments: Vec<Segment>,
    /// Calls in the order in which they started.
    pub calls: VecDeque<CallRecord>,
    /// Uses of permissions by plugin.
    pub uses: BTreeMap<(Arc<str>, Permission), PermissionUse>,
    /// Loads, in order; the first thousand.
    pub loads: Vec<Load>,
    /// Time of the last event of each run, in nanoseconds since the Unix epoch.
    pub ends: Vec<u64>,
    /// True if inputs came as fast as possible and not as they do in life.
    pub unpaced: bool,
    /// Calls that are not here: the oldest, if there were too many.
    pub calls_left_out: u64,
}

impl Record {
    /// The segment of a call.
    pub fn segment(&self, call: &CallRecord) -> &Segment {
        &self.segments[call.segment]
    }

    /// The calls of each plugin and generation, over all instances and runs, in order.
    pub fn generations(&self) -> BTreeMap<(Arc<str>, u32), Vec<&CallRecord>> {
        let mut generations = BTreeMap::<_, Vec<_>>::new();
        for call in &self.calls {
            let key = &self.segment(call).key;
            generations.entry((key.plugin.clone(), key.generation)).or_default().push(call);
        }
        generations
    }

    /// The calls of each segment, in order.
    pub fn by_segment(&self) -> Vec<Vec<&CallRecord>> {
        let mut segments = vec![Vec::new(); self.segments.len()];
        for call in &self.calls {
            segments[call.segment].push(call);
        }
        segments
    }

    /// Ids of the plugins that did anything, each with its last generation.
    pub fn seen(&self) -> BTreeMap<Arc<str>, u32> {
        let mut seen = BTreeMap::new();
        for Segment { key, .. } in &self.segments {
            let last: &mut u32 = seen.entry(key.plugin.clone()).or_default();
            *last = key.generation.max(*last);
        }
        seen
    }
}

/// Makes a [`Record`] of events, in bounded memory: the latest calls are kept, the others counted.
#[derive(Debug)]
pub struct Recorder {
    record: Record,
    limit: usize,
    run: u32,
    /// Where calls are, counted from the first that was ever kept.
    positions: HashMap<CallId, usize>,
    gone: usize,
    segments: HashMap<SegmentKey, usize>,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new(MAX_CALLS)
    }
}

impl Recorder {
    /// A recorder that keeps at most so many calls, from 1.
    pub fn new(limit: usize) -> Recorder {
        Recorder {
            record: Record::default(),
            limit: limit.max(1),
            run: 0,
            positions: HashMap::new(),
            gone: 0,
            segments: HashMap::new(),
        }
    }

    /// Says what a plugin says about itself.
    pub fn describe(&mut self, plugin: &str, facts: PluginFacts) {
        self.record.plugins.insert(plugin.into(), facts);
    }

    /// Says that inputs come as fast as possible.
    pub fn set_unpaced(&mut self) {
        self.record.unpaced = true;
    }

    /// What comes now belongs to another run, whose calls may have the numbers of this one's.
    pub fn next_run(&mut self) {
        self.run += 1;
        self.positions.clear();
    }

    /// Forgets all calls and what was seen; what plugins say about themselves stays.
    pub fn clear(&mut self) {
        let plugins = std::mem::take(&mut self.record.plugins);
        *self = Recorder::new(self.limit);
        self.record.plugins = plugins;
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
                        bytes_in: frame.encoded_len() as u64,
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
                call.bytes_out += frame.encoded_len() as u64;
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
                if self.segment_of(event).is_none() {
                    return;
                }
                let denied = host_call.result == Err(ServiceError::Denied);
                let key = (event.plugin.clone(), host_call.permission);
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
                if self.record.loads.len() < MAX_LOADS {
                    self.record.loads.push(Load {
                        plugin: event.plugin.clone(),
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
            _ => {}
        }
    }

    fn set_digest(&mut self, event: &Event, digest: &str, carried_state: bool) {
        if let Some(segment) = self.segment_of(event) {
            let segment = &mut self.record.segments[segment];
            segment.digest = Some(digest.to_owned());
            segment.carried_state = carried_state;
        }
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
                self.record.segments.push(Segment {
                    key: entry.key().clone(),
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
