//! Findings of the rules in the frames that the window shows: open traces are judged once, live
//! frames again and again. The figures of a trace are counted in the same pass, and a trace that is
//! too large to be held is digested.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use glovebox_events::{Event, What};
use glovebox_host::PluginStatus;
use glovebox_inspector::findings::{Judgement, PluginFacts, RecordBuilder, Severities, judge};
use glovebox_inspector::store::{Store, StoreLimits};
use glovebox_trace::{TraceError, TraceReader};

use super::figures::{Counting, Figures};
use super::jobs::JobState;
use super::sink::{Fanout, Waker};
use super::trace::{Origin, TraceId};
use super::{Overview, Source};
use crate::panics::contain;

/// Calls of what happens now that rules look at: copying them must not hold a plugin up.
pub(super) const LIVE_CALLS: usize = 10_000;
/// Calls of a large trace that rules look at, the newest ones: about 30 MB.
const DIGEST_CALLS: usize = 100_000;
/// The limits of the store through which a large trace is read once.
const DIGEST: StoreLimits = StoreLimits { bytes: 4 << 20, list: 10_000, host_call: 1 << 10 };
/// How old the findings about what happens now may be.
const AGE: Duration = Duration::from_secs(1);

/// Findings by source.
#[derive(Debug, Default)]
pub(super) struct Findings {
    live: Judged,
    traces: BTreeMap<TraceId, Judged>,
    severities: Severities,
    judging: Option<Receiver<Result<Judgement, String>>>,
    /// Why the last look failed, until it is said.
    fault: Option<String>,
    judged: Option<(u64, Instant)>,
}

/// The findings of all rules, and those that are shown.
#[derive(Debug, Default)]
struct Judged {
    whole: Judgement,
    shown: Arc<Judgement>,
}

impl Judged {
    fn new(whole: Judgement, severities: &Severities) -> Judged {
        Judged { shown: Arc::new(whole.by(severities)), whole }
    }
}

impl Findings {
    /// How severe findings are.
    pub(super) fn severities(&self) -> &Severities {
        &self.severities
    }

    /// Shows what was found by other severities; nothing is looked over again.
    pub(super) fn set_severities(&mut self, severities: Severities) {
        self.severities = severities;
        for judged in self.traces.values_mut().chain([&mut self.live]) {
            judged.shown = Arc::new(judged.whole.by(&self.severities));
        }
    }

    /// The findings; none for a trace that is still being looked over.
    pub(super) fn of(&self, source: Source) -> Option<&Arc<Judgement>> {
        match source {
            Source::Live => Some(&self.live.shown),
            Source::Trace(id) => self.traces.get(&id).map(|judged| &judged.shown),
        }
    }

    pub(super) fn add(&mut self, trace: TraceId, judgement: Judgement) {
        self.traces.insert(trace, Judged::new(judgement, &self.severities));
    }

    pub(super) fn remove(&mut self, trace: TraceId) {
        self.traces.remove(&trace);
    }

    /// Takes what another thread would have said.
    #[cfg(test)]
    pub(super) fn judged_elsewhere(&mut self, judged: Result<Judgement, String>) {
        let (sender, receiver) = sync_channel(1);
        sender.send(judged).expect("the receiver is here");
        self.judging = Some(receiver);
    }

    /// Why the last look at what happens now failed, once.
    pub(super) fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// Has what happens now looked over on a thread of its own, if there is anything new in the
    /// store of this version. True if there is more to do in a second.
    pub(super) fn look(&mut self, version: u64, fanout: &Fanout, plugins: &[PluginStatus]) -> bool {
        match self.judging.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return true,
            Some(Ok(Err(fault))) => {
                self.fault = Some(fault);
                self.judging = None;
            }
            Some(Ok(Ok(judgement))) => {
                self.live = Judged::new(judgement, &self.severities);
                self.judging = None;
            }
            // The thread could not start; the next one may.
            Some(Err(TryRecvError::Disconnected)) => self.judging = None,
            None => {}
        }
        match self.judged {
            Some((judged, _)) if judged == version => return false,
            Some((_, at)) if at.elapsed() < AGE => return true,
            _ => {}
        }
        self.judged = Some((version, Instant::now()));
        let record = {
            let mut builder = fanout.findings.lock();
            for plugin in plugins {
                let (id, instance) = (&plugin.manifest.plugin.id, plugin.instance.get());
                builder.describe_instance(id, instance, facts(plugin));
            }
            builder.record().clone()
        };
        let (sender, receiver) = sync_channel(1);
        let waker: Arc<Waker> = Arc::clone(&fanout.waker);
        let thread = std::thread::Builder::new().name("glovebox findings".to_owned());
        let spawned = thread.spawn(move || {
            // The receiver is gone only when the workbench is.
            let _ = sender.send(contain(|| judge(&record, &Severities::default())));
            waker.wake();
        });
        self.judging = spawned.ok().map(|_| receiver);
        true
    }
}

/// The facts that a loaded plugin states about itself.
pub(super) fn facts(plugin: &PluginStatus) -> PluginFacts {
    PluginFacts { digest: Some(plugin.digest.clone()), ..PluginFacts::of(&plugin.manifest) }
}

/// Looks over an open trace that is held.
pub(super) fn look_over(
    origin: &Origin,
    plugins: &[PluginStatus],
    state: &JobState,
) -> Result<Look, Unfinished> {
    let mut looking = Looking::new(RecordBuilder::default(), plugins);
    if let Origin::Replay(_) = origin {
        // These are the instances of the run.
        for plugin in plugins {
            let (id, instance) = (&plugin.manifest.plugin.id, plugin.instance.get());
            looking.builder.describe_instance(id, instance, facts(plugin));
        }
    }
    match origin {
        Origin::Imported(_, events) | Origin::Replay(events) => {
            for event in events.iter() {
                if state.is_cancelled() {
                    return Err(Unfinished::Cancelled);
                }
                looking.ingest(event);
            }
        }
        Origin::File(path) => {
            looking.read(path, state, |_| {})?;
        }
    }
    Ok(looking.finish())
}

/// Looks over a trace in a file that is too large to be held, once from start to end: what rules
/// find, what plugins wrote and were denied, and calls for the timeline.
pub(super) fn digest(
    path: &Path,
    plugins: &[PluginStatus],
    state: &JobState,
) -> Result<Digest, Unfinished> {
    let mut looking = Looking::new(RecordBuilder::new(DIGEST_CALLS), plugins);
    let mut store = Store::new(DIGEST);
    let mut overview = Overview::of_all();
    let (mut events, mut bytes) = (0, 0);
    looking.read(path, state, |event| {
        if let What::FrameIn { frame, .. } | What::FrameOut { frame, .. } = &event.what {
            bytes += frame.encoded_len();
        }
        store.ingest(event);
        events += 1;
        // Before the store forgets them.
        if events == 64 || bytes > DIGEST.bytes / 4 {
            while overview.take_in(&store) {}
            (events, bytes) = (0, 0);
        }
    })?;
    while overview.take_in(&store) {}
    let look = looking.finish();
    Ok(Digest { look, store, overview })
}

/// Why a trace was not looked over to the end.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// Somebody ended it.
    Cancelled,
    /// It cannot be read.
    Failed(String),
}

/// The findings and figures of a trace that was looked over.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) judgement: Judgement,
    pub(super) figures: Figures,
}

/// The digest of a trace that is not held.
#[derive(Debug)]
pub(super) struct Digest {
    pub(super) look: Look,
    /// The lists of what plugins wrote, were denied and so on; of the frames only the last.
    pub(super) store: Store,
    pub(super) overview: Overview,
}

/// A look over a trace that is under way.
struct Looking {
    builder: RecordBuilder,
    counting: Counting,
}

impl Looking {
    /// `plugins` are those that are loaded; manifests in the trace go before theirs.
    fn new(mut builder: RecordBuilder, plugins: &[PluginStatus]) -> Looking {
        for plugin in plugins {
            builder.describe(&plugin.manifest.plugin.id, facts(plugin));
        }
        Looking { builder, counting: Counting::default() }
    }

    fn ingest(&mut self, event: &Event) {
        self.builder.ingest(event);
        self.counting.ingest(event);
    }

    /// Reads a whole file; `also` is shown the events too.
    fn read(
        &mut self,
        path: &Path,
        state: &JobState,
        mut also: impl FnMut(&Event),
    ) -> Result<(), Unfinished> {
        let failed = |error: TraceError| Unfinished::Failed(error.to_string());
        let mut reader = TraceReader::open(path).map_err(failed)?;
        let mut events = 0u64;
        while let Some(event) = reader.next() {
            match event {
                Ok(event) => {
                    self.ingest(&event);
                    also(&event);
                }
                // Damage of the trace was said when it was opened.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(failed(error)),
            }
            events += 1;
            if events.is_multiple_of(64) {
                state.progress(reader.position(), reader.size());
                if state.is_cancelled() {
                    return Err(Unfinished::Cancelled);
                }
            }
        }
        for plugin in reader.plugins() {
            self.builder.describe_record(plugin);
        }
        Ok(())
    }

    fn finish(self) -> Look {
        let judgement = judge(&self.builder.finish(), &Severities::default());
        Look { judgement, figures: self.counting.figures() }
    }
}
