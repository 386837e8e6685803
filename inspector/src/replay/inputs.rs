//! The inputs of a trace, wherever they are: in memory, or in their file, which is read again each time
//! they are sent.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use glovebox_abi::Header;
use glovebox_events::{CallId, CallKey, Direction, Event, What};
use glovebox_trace::{Statuses, TraceError, TraceReader, Versions, refuse_placeholder};
use roaring::RoaringTreemap;

use super::cause::Emits;
use super::{ReplayInput, ReplayPlan};
use crate::filter::{Filter, Subject};

/// Inputs that are read ahead of those that are sent, in batches.
const BATCH: usize = 256;
/// Bytes of frames after which a batch is full.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that wait to be sent.
const AHEAD: usize = 2;

/// Inputs that can be sent, in order, any number of times.
pub trait Inputs {
    /// How many are sent.
    fn planned(&self) -> usize;

    /// Inputs of the trace that were left out, by a filter or by a selection.
    fn skipped(&self) -> usize;

    /// Ids of the plugins that inputs go to, sorted.
    fn plugins(&self) -> Vec<Arc<str>>;

    /// Hands on each input, until `send` says no.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    fn each(&self, send: &mut dyn FnMut(&ReplayInput) -> bool) -> Result<(), TraceError>;

    /// True if no input is known to have been emitted by a plugin.
    fn have_no_cause(&self) -> bool;

    /// Calls of inputs that come by themselves when the others are sent, because the plugin that
    /// emitted the frame gets the input in which it did so. `is_there` says whether a plugin is among
    /// those that get inputs.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    fn by_themselves(
        &self,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Result<HashSet<CallId>, TraceError> {
        if self.have_no_cause() {
            return Ok(HashSet::new());
        }
        let mut causes = HashSet::new();
        self.each(&mut |input| {
            causes.extend(input.cause);
            true
        })?;
        // An emitter begins its call before the call of who gets the frame.
        let (mut emitters, mut found) = (HashMap::<CallId, Arc<str>>::new(), HashSet::new());
        self.each(&mut |input| {
            if is_there(&input.plugin) {
                let emitter = input.cause.and_then(|cause| emitters.get(&cause));
                // One instance does not emit to another one of its plugin that is not there.
                let is_other = |emitter: &str| {
                    emitter != &*input.plugin
                        || input.frame.header.get_text(Header::TARGET).as_deref() == Some(emitter)
                };
                if emitter.is_some_and(|emitter| is_other(emitter)) {
                    found.insert(input.call);
                }
                if causes.contains(&input.call) {
                    emitters.insert(input.call, input.plugin.clone());
                }
            }
            true
        })?;
        Ok(found)
    }
}

impl Inputs for ReplayPlan {
    fn planned(&self) -> usize {
        self.inputs.len()
    }

    fn skipped(&self) -> usize {
        self.skipped
    }

    fn plugins(&self) -> Vec<Arc<str>> {
        let plugins: BTreeSet<_> = self.inputs.iter().map(|input| &input.plugin).collect();
        plugins.into_iter().cloned().collect()
    }

    fn each(&self, send: &mut dyn FnMut(&ReplayInput) -> bool) -> Result<(), TraceError> {
        // Whether all were sent is not asked for.
        let _ = self.inputs.iter().all(send);
        Ok(())
    }

    fn have_no_cause(&self) -> bool {
        self.inputs.iter().all(|input| input.cause.is_none())
    }
}

/// The inputs of a trace in a file.
///
/// A few bits of each input are in memory, how calls ended as far as a filter asks for it, and a
/// digest of each frame that a plugin emitted; the frames stay in the file.
#[derive(Debug, Clone)]
pub struct TraceInputs {
    path: PathBuf,
    /// Positions of those that are sent, among all inputs of the trace.
    wanted: RoaringTreemap,
    /// How many there are.
    found: u64,
    /// By position: the call in which a plugin emitted the frame.
    causes: HashMap<u64, CallId>,
    plugins: BTreeSet<Arc<str>>,
    /// When the first event and the first input were, in nanoseconds since the Unix epoch.
    starts: Option<(u64, Option<u64>)>,
}

/// How a recorded call ended, which filters may ask for.
#[derive(Default, Clone, Copy)]
struct End {
    status: Option<Statuses>,
    latency: Option<Duration>,
    beside: Statuses,
}

/// The instance and the generation that got an input.
type By = (u64, u32);

/// Makes [`TraceInputs`] of the events of a trace.
#[derive(Default)]
struct Scan {
    found: u64,
    emits: Emits,
    plugins: BTreeSet<Arc<str>>,
    starts: Option<(u64, Option<u64>)>,
    /// If there is a filter.
    ends: Option<HashMap<CallKey, End>>,
    versions: Versions,
}

impl Scan {
    fn add(&mut self, event: &Event) {
        let (_, first_input) = self.starts.get_or_insert((event.at, None));
        self.emits.add(event, self.found as usize);
        self.versions.take_in(event);
        match &event.what {
            What::FrameIn { .. } => {
                first_input.get_or_insert(event.at);
                self.found += 1;
                if !self.plugins.contains(&event.plugin) {
                    self.plugins.insert(event.plugin.clone());
                }
            }
            What::CallEnded { outcome, timing, .. } => {
                if let (Some(ends), Some(key)) = (&mut self.ends, event.call_key()) {
                    let end = ends.entry(key).or_default();
                    end.status = Some(Statuses::of(Some(outcome), Statuses::NONE));
                    end.latency = Some(timing.latency());
                }
            }
            What::HostCall { host_call, .. } => {
                if let (Some(ends), Some(key)) = (&mut self.ends, event.call_key()) {
                    let beside = &mut ends.entry(key).or_default().beside;
                    *beside = beside.with(Statuses::of_host_call(host_call));
                }
            }
            _ => {}
        }
    }
}

impl TraceInputs {
    /// Looks over all events of a trace, which `each` is given too, and takes its inputs; with a
    /// filter, those it matches.
    ///
    /// # Errors
    ///
    /// If any of the trace cannot be read or is damaged, or if its frames gave way in a failure bundle.
    pub fn read(
        path: &Path,
        filter: Option<&Filter>,
        each: &mut dyn FnMut(&Event),
    ) -> Result<TraceInputs, TraceError> {
        let mut scan = Scan { ends: filter.map(|_| HashMap::new()), ..Scan::default() };
        let mut reader = TraceReader::open(path)?;
        for event in &mut reader {
            let event = event?;
            refuse_placeholder(&event, path)?;
            each(&event);
            scan.add(&event);
        }
        let Scan { found, emits, plugins, starts, ends, mut versions } = scan;
        versions.describe(reader.plugins());
        let mut inputs = TraceInputs {
            path: path.to_owned(),
            wanted: (0..found).collect(),
            found,
            causes: emits.causes(),
            plugins,
            starts,
        };
        if let (Some(filter), Some(ends)) = (filter, ends) {
            let first_input = inputs.first_input();
            inputs.keep(&mut |_, input, (instance, generation)| {
                let (plugin, call) = (input.plugin.clone(), input.call);
                let key = CallKey { plugin, instance, generation, call };
                let end = ends.get(&key).copied().unwrap_or_default();
                let status = end.status.unwrap_or_else(|| Statuses::of(None, Statuses::NONE));
                filter.matches(&Subject {
                    plugin: &input.plugin,
                    direction: Direction::In,
                    call: input.call,
                    instance,
                    generation,
                    version: versions.of(instance, generation).map_or("", |version| version),
                    time: first_input.saturating_add(input.offset),
                    status: status.with(end.beside),
                    latency: end.latency,
                    ..Subject::of_frame(&input.frame)
                })
            })?;
        }
        Ok(inputs)
    }

    /// From the first event to the first input.
    fn first_input(&self) -> Duration {
        let (first, input) = self.starts.unwrap_or_default();
        Duration::from_nanos(input.unwrap_or(first).saturating_sub(first))
    }

    /// Keeps some, which are handed on with their positions, and the instances and generations
    /// that got them.
    fn keep(
        &mut self,
        wanted: &mut dyn FnMut(u64, &ReplayInput, By) -> bool,
    ) -> Result<(), TraceError> {
        let (mut kept, mut plugins) = (RoaringTreemap::new(), BTreeSet::new());
        self.read_each(&mut |position, input, by| {
            if wanted(position, &input, by) {
                kept.insert(position);
                plugins.insert(input.plugin);
            }
            true
        })?;
        (self.wanted, self.plugins) = (kept, plugins);
        Ok(())
    }

    /// Keeps those at these places among those that are sent, counted from 0; a range beyond the end
    /// is cut.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn range(&mut self, range: Range<usize>) -> Result<(), TraceError> {
        let mut place = 0;
        self.keep(&mut |_, _, _| {
            place += 1;
            range.contains(&(place - 1))
        })
    }

    /// Keeps the inputs of these calls.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn calls(&mut self, calls: &[CallId]) -> Result<(), TraceError> {
        let calls: HashSet<CallId> = calls.iter().copied().collect();
        self.keep(&mut |_, input, _| calls.contains(&input.call))
    }

    /// Leaves out what comes before a position among all inputs of the trace.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn starting_at(&mut self, position: usize) -> Result<(), TraceError> {
        self.keep(&mut |place, _, _| place >= position as u64)
    }

    /// Takes those that are sent into memory.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn hold(&self) -> Result<ReplayPlan, TraceError> {
        let mut plan = ReplayPlan { inputs: Vec::new(), skipped: self.skipped() };
        self.read_each(&mut |_, input, _| {
            plan.inputs.push(input);
            true
        })?;
        Ok(plan)
    }

    /// Reads those that are sent, until `each` says no.
    fn read_each(
        &self,
        each: &mut dyn FnMut(u64, ReplayInput, By) -> bool,
    ) -> Result<(), TraceError> {
        let (_, start) = self.starts.unwrap_or_default();
        let start = start.unwrap_or_default();
        let mut position = 0;
        for event in TraceReader::open(&self.path)? {
            let event = event?;
            let What::FrameIn { call, frame } = event.what else { continue };
            if self.wanted.contains(position) {
                let input = ReplayInput {
                    frame,
                    plugin: event.plugin,
                    offset: Duration::from_nanos(event.at.saturating_sub(start)),
                    call,
                    cause: self.causes.get(&position).copied(),
                };
                if !each(position, input, (event.instance, event.generation)) {
                    return Ok(());
                }
            }
            position += 1;
        }
        if position < self.found {
            // It became shorter since it was looked over, at the end of a record.
            return Err(TraceError::SummaryWrong {
                offset: 0,
                reason: format!("it had {} inputs, and {position} can be read", self.found),
                path: self.path.clone(),
            });
        }
        Ok(())
    }
}

impl Inputs for TraceInputs {
    fn planned(&self) -> usize {
        self.wanted.len() as usize
    }

    fn skipped(&self) -> usize {
        (self.found - self.wanted.len()) as usize
    }

    fn plugins(&self) -> Vec<Arc<str>> {
        self.plugins.iter().cloned().collect()
    }

    /// Another thread reads ahead, a little.
    fn each(&self, send: &mut dyn FnMut(&ReplayInput) -> bool) -> Result<(), TraceError> {
        let (to_sender, batches) = mpsc::sync_channel::<Vec<ReplayInput>>(AHEAD);
        thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let (mut batch, mut bytes) = (Vec::new(), 0);
                let read = self.read_each(&mut |_, input, _| {
                    bytes += input.frame.encoded_len();
                    batch.push(input);
                    if batch.len() < BATCH && bytes < BATCH_BYTES {
                        return true;
                    }
                    bytes = 0;
                    // Fails if nobody wants more.
                    to_sender.send(std::mem::take(&mut batch)).is_ok()
                });
                let _ = to_sender.send(batch);
                read
            });
            let mut goes_on = true;
            for batch in &batches {
                goes_on = batch.iter().all(&mut *send);
                if !goes_on {
                    break;
                }
            }
            drop(batches);
            match reading.join() {
                Ok(read) if goes_on => read,
                Ok(_) => Ok(()),
                // A panic is a bug of ours; it goes on here as if there were no thread.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn have_no_cause(&self) -> bool {
        self.causes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use glovebox_trace::{MadeUpRun, TraceWriter};

    use super::*;

    /// For any choice of inputs, the file gives the same as a plan in memory.
    #[test]
    fn inputs_in_a_file_are_those_of_a_plan() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
        let events: Vec<Event> = MadeUpRun::new(3_000, 5).collect();
        events.iter().for_each(|event| writer.write(event).expect("there is space"));
        writer.finish().expect("there is space");
        type Choose = fn(&mut TraceInputs, ReplayPlan) -> Result<ReplayPlan, TraceError>;
        let check = |filter: Option<&str>, choose: Choose| {
            let filter = filter.map(|text| Filter::parse(text).expect("the test writes good ones"));
            let mut seen = 0;
            let mut inputs = TraceInputs::read(&path, filter.as_ref(), &mut |_| seen += 1)
                .expect("it is a trace");
            assert_eq!(seen, events.len());
            let plan = ReplayPlan::from_events(events.iter().cloned(), filter.as_ref());
            let plan = choose(&mut inputs, plan).expect("it can be read");
            assert_eq!((inputs.planned(), inputs.skipped()), (plan.inputs.len(), plan.skipped));
            assert_eq!(inputs.plugins(), Inputs::plugins(&plan));
            let mut sent = Vec::new();
            let each = inputs.each(&mut |input| {
                sent.push(input.clone());
                true
            });
            each.expect("it can be read");
            assert_eq!(sent, plan.inputs);
            assert_eq!(inputs.hold().expect("it can be read"), plan);
            let there = |plugin: &str| plugin != "audit";
            let by_themselves = inputs.by_themselves(&there).expect("it can be read");
            assert_eq!(by_themselves, Inputs::by_themselves(&plan, &there).expect("memory"));
            plan.inputs.len()
        };
        let all = check(None, |_, plan| Ok(plan));
        assert!(all > 1_000);
        for filter in ["status:error", "latency>2ms", "plugin=redact size>100", "time<100ms"] {
            let found = check(Some(filter), |_, plan| Ok(plan));
            assert!(found < all, "{filter}");
        }
        check(Some("status:error"), |inputs, plan| {
            inputs.range(2..7)?;
            Ok(plan.range(2..7))
        });
        check(None, |inputs, plan| {
            let calls = [CallId(7), CallId(3)];
            inputs.calls(&calls)?;
            Ok(plan.calls(&calls))
        });
        check(Some("plugin=orders"), |inputs, plan| {
            inputs.starting_at(300)?;
            let whole = TraceInputs::read(&inputs.path, None, &mut |_| {})?.hold()?;
            Ok(plan.starting_at(&whole, 300))
        });
    }

    #[test]
    fn inputs_of_plugins_that_count_alike_are_told_apart() {
        use glovebox_abi::Frame;
        use glovebox_events::{Outcome, Timing};
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
        let call = CallId(1);
        let ended = |outcome| What::CallEnded {
            call,
            outcome,
            timing: Timing::default(),
            bytes_in: 0,
            bytes_out: 0,
            frames_out: 0,
            memory: None,
        };
        let begun = || What::FrameIn { call, frame: Frame::data("x") };
        let all = [
            ("p", begun()),
            ("q", begun()),
            ("p", ended(Outcome::Completed)),
            ("q", ended(Outcome::Failed { code: 1, message: "bad".to_owned() })),
        ];
        let events: Vec<Event> = (0..)
            .zip(all)
            .map(|(at, (plugin, what))| Event {
                sequence: at,
                at,
                plugin: plugin.into(),
                instance: 0,
                generation: 1,
                what,
            })
            .collect();
        events.iter().for_each(|event| writer.write(event).expect("there is space"));
        writer.finish().expect("there is space");
        let check = |filter: &str, expected: &str| {
            let filter = Filter::parse(filter).expect("it is one");
            let inputs = TraceInputs::read(&path, Some(&filter), &mut |_| {}).expect("a trace");
            let plan = ReplayPlan::from_events(events.iter().cloned(), Some(&filter));
            assert_eq!(inputs.hold().expect("a trace"), plan);
            let found: Vec<_> = plan.inputs.iter().map(|input| &*input.plugin).collect();
            assert_eq!(found, [expected]);
        };
        check("status:error", "q");
        check("status:ok", "p");
    }

    #[test]
    fn placeholders_are_not_sent() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("bundle.mcap");
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
        for mut event in MadeUpRun::inputs("echo", 3, 5) {
            if let What::FrameIn { frame, .. } = &mut event.what {
                *frame = glovebox_trace::placeholder(frame);
            }
            writer.write(&event).expect("there is space");
        }
        writer.finish().expect("there is space");
        let refused = TraceInputs::read(&path, None, &mut |_| {}).map(drop);
        assert!(matches!(refused, Err(TraceError::Redacted { .. })), "{refused:?}");
    }

    #[test]
    fn reading_ends_when_nobody_wants_more_and_says_what_is_gone() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("run.mcap");
        let mut writer = TraceWriter::create(&path, "0.1.0").expect("the folder is empty");
        MadeUpRun::inputs("echo", 5_000, 5)
            .for_each(|event| writer.write(&event).expect("there is space"));
        writer.finish().expect("there is space");
        let inputs = TraceInputs::read(&path, None, &mut |_| {}).expect("it is a trace");
        let mut sent = 0;
        let stopped = inputs.each(&mut |_| {
            sent += 1;
            sent < 10
        });
        assert!(stopped.is_ok() && sent == 10, "{sent} sent");
        let bytes = std::fs::read(&path).expect("it was written");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("there is space");
        let mut sent = 0;
        let cut = inputs.each(&mut |_| {
            sent += 1;
            true
        });
        assert!(cut.is_err() && sent < 5_000, "{sent} sent");
    }
}
