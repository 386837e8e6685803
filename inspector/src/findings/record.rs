//! The record that rules judge: the calls of a run, without their frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::manifest::{Budget, Tier};
use glovebox_abi::{Kind, Manifest, Permission};
use glovebox_events::{CallId, Timing};
use glovebox_trace::PluginRecord;

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// The run of the record, from 0.
    pub run: u32,
    /// Sequence number of the event.
    pub sequence: u64,
    /// The call it belongs to, if it belongs to one.
    pub call: Option<CallId>,
}

/// Names a [`Segment`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentKey {
    /// The run of the record, from 0.
    pub run: u32,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The generation, from 1.
    pub generation: u32,
}

/// Names an instance through all runs, whose numbers of it may differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Its place among the instances of that plugin in its run, from 0.
    pub place: usize,
}

/// The figures of one generation of one instance in one run.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The generation of an instance.
    pub key: SegmentKey,
    /// The same instance in all runs.
    pub owner: Owner,
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
    pub(super) last_asked: Option<(u64, AskedHostCall)>,
    pub(super) next_index: u32,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct CallEnd {
    /// Sequence number of the event.
    pub sequence: u64,
    /// Name of the outcome.
    pub outcome: &'static str,
    /// True if a mock or an injected fault made it.
    pub is_made_up: bool,
    /// The timing.
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

/// The facts that a plugin states about itself, as far as rules care.
#[derive(Debug, Clone, Default)]
pub struct PluginFacts {
    /// The budget that it should keep.
    pub budget: Budget,
    /// The permissions it asks for.
    pub permissions: Vec<Permission>,
    /// True if it is machine code, whose use of files, variables and the network nobody sees.
    pub is_native: bool,
    /// Digest of its artifact, where a load does not say.
    pub digest: Option<String>,
}

impl PluginFacts {
    /// The facts in a manifest.
    pub fn of(manifest: &Manifest) -> PluginFacts {
        let all = Permission::ALL.iter().map(|(permission, ..)| *permission);
        PluginFacts {
            budget: manifest.budget,
            permissions: all.filter(|one| manifest.asks_for(*one)).collect(),
            is_native: is_native(manifest),
            digest: None,
        }
    }

    /// The facts in a plugin's manifest in a trace. `None` if there is none, or one that only a
    /// later version understands.
    pub fn of_record(record: &PluginRecord) -> Option<PluginFacts> {
        let manifest = Manifest::parse(record.manifest.as_deref()?).ok()?;
        let digest = Some(record.digest.clone()).filter(|digest| !digest.is_empty());
        Some(PluginFacts { digest, ..PluginFacts::of(&manifest) })
    }
}

/// A manifest may say nothing of its tier, and name a library alone.
fn is_native(manifest: &Manifest) -> bool {
    let artifact = &manifest.artifact;
    let names_a_library = artifact.native.is_some() && artifact.wasm.is_none();
    manifest.runtime.tier.map_or(names_a_library, |tier| tier == Tier::Native)
}

/// Uses of one permission by one instance.
#[derive(Debug, Clone, Default)]
pub struct PermissionUse {
    /// Host calls that need it.
    pub used: u64,
    /// Those of them that the policy denied.
    pub denied: u64,
    /// The first of those that were denied.
    pub denials: Vec<Spot>,
    /// The generation that was denied last.
    pub generation: u32,
}

/// Crashes of the processes of one instance.
#[derive(Debug, Clone, Default)]
pub struct Crashes {
    /// How many there were.
    pub count: usize,
    /// How many a mock or an injected fault made up besides.
    pub made_up: usize,
    /// True if the last one of either kind was made up.
    pub last_is_made_up: bool,
    /// How often a fresh process went on without the state.
    pub without_state: usize,
    /// How often it was stopped, because it failed too often in a row.
    pub stopped: usize,
    /// The generation of the last one.
    pub generation: u32,
    /// The first of them.
    pub spots: Vec<Spot>,
}

/// One load of a plugin.
#[derive(Debug, Clone)]
pub struct Load {
    /// The instance.
    pub owner: Owner,
    /// The generation that it made.
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
    /// The facts that plugins state about themselves, by id, as far as they are known.
    pub plugins: BTreeMap<Arc<str>, PluginFacts>,
    /// Those of single instances, by id and number, which go before them.
    pub instances: BTreeMap<(Arc<str>, u64), PluginFacts>,
    /// Digests of the artifacts of single instances, by id and number, where their loads do not say them.
    pub digests: BTreeMap<(Arc<str>, u64), String>,
    /// The instances that did anything, with the number of each in the last run that has it.
    pub owners: BTreeMap<Owner, u64>,
    /// Generations of instances, in order of appearance.
    pub segments: Vec<Segment>,
    /// Calls in the order in which they started.
    pub calls: VecDeque<CallRecord>,
    /// Uses of permissions by instance.
    pub uses: BTreeMap<(Owner, Permission), PermissionUse>,
    /// Crashes of processes by instance.
    pub crashes: BTreeMap<Owner, Crashes>,
    /// The things that did not go away with their generation, by instance: the generation, what and why,
    /// and where the run says so.
    pub left_behind: BTreeMap<Owner, Vec<(u32, String, Spot)>>,
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

    /// The calls of each instance and generation, over all runs, in order.
    pub fn generations(&self) -> BTreeMap<(Owner, u32), Vec<&CallRecord>> {
        let mut generations = BTreeMap::<_, Vec<_>>::new();
        for call in &self.calls {
            let Segment { owner, key, .. } = self.segment(call);
            generations.entry((owner.clone(), key.generation)).or_default().push(call);
        }
        generations
    }

    /// The number of an instance in the last run that has it.
    pub fn instance_of(&self, owner: &Owner) -> u64 {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    /// True if another instance of its plugin did anything, too.
    pub fn has_twin(&self, owner: &Owner) -> bool {
        let at = |place| Owner { plugin: owner.plugin.clone(), place };
        self.owners.range(at(0)..=at(usize::MAX)).nth(1).is_some()
    }

    /// The facts that are known of an instance.
    pub fn facts_of(&self, owner: &Owner) -> Option<&PluginFacts> {
        let own = (owner.plugin.clone(), self.instance_of(owner));
        self.instances.get(&own).or_else(|| self.plugins.get(&owner.plugin))
    }

    /// The calls of each segment, in order.
    pub fn by_segment(&self) -> Vec<Vec<&CallRecord>> {
        let mut segments = vec![Vec::new(); self.segments.len()];
        for call in &self.calls {
            segments[call.segment].push(call);
        }
        segments
    }

    /// The instances that did anything, each with its last generation.
    pub fn seen(&self) -> BTreeMap<Owner, u32> {
        let mut seen = BTreeMap::new();
        for Segment { key, owner, .. } in &self.segments {
            let last: &mut u32 = seen.entry(owner.clone()).or_default();
            *last = key.generation.max(*last);
        }
        seen
    }
}
