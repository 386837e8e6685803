use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_events::{CallId, Event, Snapshot};
use serde::Serialize;

use crate::{Destination, Gaps, PluginRecord, TraceError, TraceIndex, TraceReader, TraceWriter};

/// The report of [`merge`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct MergeReport {
    /// Events in the new trace.
    pub events: u64,
    /// True if the traces are parts of one recording, so that numbers were kept.
    pub one_recording: bool,
    /// Events with an earlier time than an event before them: a trace that is not sorted by time itself
    /// keeps its order.
    pub unsorted: u64,
    /// Where numbers of events are missing between two parts of one recording that follow each other:
    /// another part is missing there, or the recorder lost events.
    pub missing: Vec<MissingBetween>,
    /// Events that the recorders could not keep.
    pub lost_events: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
    /// Why indexes were not kept, as [`TraceIndex::obstacle`] says it.
    #[serde(skip)]
    pub obstacles: Vec<String>,
}

/// Two parts between which something is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingBetween {
    /// The part before.
    #[serde(serialize_with = "crate::about::shown")]
    pub before: PathBuf,
    /// The part after.
    #[serde(serialize_with = "crate::about::shown")]
    pub after: PathBuf,
    /// How many numbers of events.
    pub events: u64,
}

/// Writes the events of several traces to a new one, in the order of their times.
///
/// Events of one trace keep their order. Parts of one recording, told by sequence numbers that do
/// not overlap, are put together in the order of these, whatever order they are given in, and keep
/// all their numbers, so that a call may go from one part into the next. In any other case sequence numbers, calls and instances get new numbers, so that nothing of one trace
/// is taken for something of another, snapshots of states included. One chunk of each trace is in memory.
///
/// # Errors
///
/// If a trace cannot be read, the new one cannot be written, or `cancel` was raised. Damage is
/// counted, not an error.
pub fn merge<P: AsRef<Path>>(
    paths: &[P],
    out: impl Destination,
    app_version: &str,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<MergeReport, TraceError> {
    let mut indexes = Vec::new();
    for path in paths {
        indexes.push(TraceIndex::open(path, progress, cancel)?);
    }
    let mut writer = TraceWriter::create(out, app_version)?;
    let unsorted = match copy(paths, &indexes, &mut writer, cancel) {
        Ok(unsorted) => unsorted,
        Err(error) => {
            // Half of it would mislead. If it cannot be removed, its name says `.partial`.
            let _ = writer.discard();
            return Err(error);
        }
    };
    let events = writer.events();
    writer.finish_or_discard()?;
    let one_recording = is_one_recording(&indexes);
    Ok(MergeReport {
        events,
        one_recording,
        missing: if one_recording { missing_between(&indexes) } else { Vec::new() },
        unsorted,
        lost_events: indexes.iter().map(|index| index.info.lost_events).sum(),
        damaged_bytes: indexes.iter().map(|index| index.info.damaged_bytes).sum(),
        obstacles: indexes.iter().filter_map(TraceIndex::obstacle).collect(),
    })
}

/// How many events are earlier than one before them.
fn copy<P: AsRef<Path>>(
    paths: &[P],
    indexes: &[TraceIndex],
    writer: &mut TraceWriter,
    cancel: &AtomicBool,
) -> Result<u64, TraceError> {
    let mut numbers = Numbers::new(indexes);
    for (input, index) in indexes.iter().enumerate() {
        for plugin in &index.info.plugins {
            writer.describe_plugin(&numbers.renumber_plugin(plugin, input))?;
        }
    }
    // Traces of several origins have none together.
    let parents = indexes.iter().map(|index| index.info.parent.as_ref());
    if let Some(Some(parent)) = parents.reduce(|one, other| one.filter(|_| one == other)) {
        writer.describe_parent(parent)?;
    }
    let mut inputs = Vec::new();
    let mut gaps: Vec<Gaps> = paths.iter().map(|_| Gaps::default()).collect();
    let mut heads = BinaryHeap::new();
    for (number, path) in paths.iter().enumerate() {
        let mut input = TraceReader::open(path)?;
        input.keep_snapshots();
        if let Some(event) = next_good(&mut input)? {
            heads.push(Reverse(numbers.head(event, number)));
        }
        inputs.push(input);
    }
    let (mut unsorted, mut latest) = (0, 0);
    while let Some(Reverse(Head { mut event, input, .. })) = heads.pop() {
        if cancel.load(Ordering::Relaxed) {
            return Err(TraceError::Cancelled { path: writer.partial().to_owned() });
        }
        unsorted += u64::from(event.at < latest);
        latest = latest.max(event.at);
        numbers.renumber(&mut event, input);
        gaps[input].pass_on(&inputs[input], writer)?;
        writer.write(&event)?;
        if let Some(event) = next_good(&mut inputs[input])? {
            heads.push(Reverse(numbers.head(event, input)));
        }
        for mut snapshot in inputs[input].take_snapshots() {
            numbers.renumber_snapshot(&mut snapshot, input);
            writer.write_snapshot(&snapshot)?;
        }
    }
    // Gaps and snapshots may stand behind the last event, or in a trace without any.
    for (number, input) in inputs.iter_mut().enumerate() {
        gaps[number].pass_on(input, writer)?;
        for mut snapshot in input.take_snapshots() {
            numbers.renumber_snapshot(&mut snapshot, number);
            writer.write_snapshot(&snapshot)?;
        }
    }
    Ok(unsorted)
}

fn next_good(reader: &mut TraceReader) -> Result<Option<Event>, TraceError> {
    for event in reader {
        match event {
            Ok(event) => return Ok(Some(event)),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// True if the sequence numbers of no two traces overlap.
fn is_one_recording(indexes: &[TraceIndex]) -> bool {
    let mut ranges: Vec<_> = indexes.iter().filter_map(|index| index.sequences).collect();
    ranges.sort_unstable();
    ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
}

/// The parts of one recording after which numbers are missing.
fn missing_between(indexes: &[TraceIndex]) -> Vec<MissingBetween> {
    let with_numbers = |index: &TraceIndex| Some((index.sequences?, index.info.path.clone()));
    let mut parts: Vec<_> = indexes.iter().filter_map(with_numbers).collect();
    parts.sort_unstable();
    let missing = parts.windows(2).map(|pair| {
        let ((_, last), before) = &pair[0];
        let ((first, _), after) = &pair[1];
        let events = first.saturating_sub(*last).saturating_sub(1);
        MissingBetween { before: before.clone(), after: after.clone(), events }
    });
    missing.filter(|missing| missing.events > 0).collect()
}

/// The next event of an input.
struct Head {
    /// Its time; within one recording its sequence number.
    order: u64,
    event: Event,
    input: usize,
}

impl Head {
    fn key(&self) -> (u64, usize) {
        (self.order, self.input)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// Gives events of several recordings numbers of their own.
struct Numbers {
    is_one_recording: bool,
    next_sequence: u64,
    /// The number that is added to the calls of each input.
    first_call: Vec<u64>,
    instances: HashMap<(usize, u64), u64>,
}

impl Numbers {
    fn new(indexes: &[TraceIndex]) -> Numbers {
        let mut next = 0u64;
        let first_call = indexes.iter().map(|index| {
            let first = next;
            next = next.wrapping_add(index.last_call);
            first
        });
        Numbers {
            is_one_recording: is_one_recording(indexes),
            next_sequence: 0,
            first_call: first_call.collect(),
            instances: HashMap::new(),
        }
    }

    fn head(&self, event: Event, input: usize) -> Head {
        let order = if self.is_one_recording { event.sequence } else { event.at };
        Head { order, event, input }
    }

    /// The new number of an instance.
    fn instance(&mut self, instance: u64, input: usize) -> u64 {
        let next = self.instances.len() as u64;
        *self.instances.entry((input, instance)).or_insert(next)
    }

    fn renumber_plugin(&mut self, plugin: &PluginRecord, input: usize) -> PluginRecord {
        let mut plugin = plugin.clone();
        if !self.is_one_recording {
            for one in &mut plugin.instances {
                one.instance = self.instance(one.instance, input);
            }
        }
        plugin
    }

    fn renumber_snapshot(&mut self, snapshot: &mut Snapshot, input: usize) {
        if !self.is_one_recording {
            snapshot.instance = self.instance(snapshot.instance, input);
            let first = self.first_call[input];
            snapshot.after = snapshot.after.map(|call| CallId(call.0.wrapping_add(first)));
        }
    }

    fn renumber(&mut self, event: &mut Event, input: usize) {
        if self.is_one_recording {
            return;
        }
        event.sequence = self.next_sequence;
        self.next_sequence += 1;
        event.instance = self.instance(event.instance, input);
        let first = self.first_call[input];
        if let Some(call) = event.what.call_mut() {
            call.0 = call.0.wrapping_add(first);
        }
    }
}
