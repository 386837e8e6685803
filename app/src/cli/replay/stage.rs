//! A host, with its sinks, while inputs are sent.

use std::path::Path;
use std::sync::Arc;

use glovebox_events::{Event, Sink};
use glovebox_host::{InstanceId, LoadRequest, MetricsEndpoint, PluginStatus};
use glovebox_inspector::replay::{Inputs, Pace, TraceAnswers};
use glovebox_trace::{ParentRecord, Replacing};

use super::super::error::Problem;
use super::super::observe::{Counts, Gate, KeepEvents, Recorded, Recording, Tally};
use super::super::plugins::{self, CancellableHost};
use super::super::report::count_of;
use super::super::surroundings::Surroundings;
use super::super::waiting::wait;
use super::targets::{EachInstance, TargetFound};
use crate::ending::{Waking, on_end};
use crate::workbench::replay::{
    self, ReplayControl, ReplayProgress, ReplaySummary, Routing, Target, Targets,
};
use crate::workbench::snapshots::{Every, Snapshots};

/// A host with everything that listens to a replay.
pub(in super::super) struct Stage {
    pub(in super::super) host: CancellableHost,
    pub(in super::super) instances: Vec<InstanceId>,
    metrics: Arc<EachInstance>,
    tally: Arc<Tally>,
    events: Arc<KeepEvents>,
    recording: Arc<Recording>,
    gate: Arc<Gate>,
    control: Arc<ReplayControl>,
    /// Ends a replay when a signal asks for it.
    _waking: Waking,
    /// The answers from the trace, by target; empty if it does not answer.
    answers: Vec<Arc<TraceAnswers>>,
    routing: Routing,
    /// Serves metrics as long as the stage stands.
    _endpoint: Option<MetricsEndpoint>,
}

impl Stage {
    /// A stage with these plugins.
    pub(in super::super) fn set(
        requests: Vec<LoadRequest>,
        more: Vec<Arc<dyn Sink>>,
        surroundings: &Surroundings,
    ) -> Result<Stage, Problem> {
        let mut stage = Stage::empty(more, surroundings)?;
        stage.load(requests)?;
        Ok(stage)
    }

    /// A stage on which no plugin is yet.
    pub(super) fn empty(
        more: Vec<Arc<dyn Sink>>,
        surroundings: &Surroundings,
    ) -> Result<Stage, Problem> {
        let (metrics, tally) = (Arc::<EachInstance>::default(), Arc::<Tally>::default());
        let (events, recording) = (Arc::<KeepEvents>::default(), Arc::<Recording>::default());
        // The file first: what happens is on its way there before anybody looks at it.
        let mut sinks: Vec<Arc<dyn Sink>> =
            vec![recording.clone(), metrics.clone(), tally.clone(), events.clone()];
        sinks.extend(more);
        let gate = Arc::new(Gate::new(sinks));
        let control = Arc::<ReplayControl>::default();
        let cancelled = control.clone();
        // Before the host cancels its calls: a replay of which one was cancelled is not whole.
        let _waking = on_end(move || cancelled.cancel());
        let host = plugins::host(vec![gate.clone()], surroundings)?;
        let endpoint = surroundings.serve_metrics(&host)?;
        let (instances, answers, _endpoint) = (Vec::new(), Vec::new(), endpoint);
        let routing = Routing::default();
        let stage = Stage {
            host,
            instances,
            metrics,
            tally,
            events,
            recording,
            gate,
            control,
            _waking,
            answers,
            routing,
            _endpoint,
        };
        Ok(stage)
    }

    /// Loads plugins. If one cannot be loaded, a recording that was started is taken back.
    pub(super) fn load(&mut self, requests: Vec<LoadRequest>) -> Result<(), Problem> {
        for (loaded, request) in requests.into_iter().enumerate() {
            match wait(&self.host, self.host.load(request.one_compiler())) {
                Ok(instance) => self.instances.push(instance),
                Err(error) => {
                    self.recording.discard();
                    let problem = Problem::Load(error);
                    return Err(match loaded {
                        0 => problem,
                        loaded => problem.after(format!("Loaded {}", count_of(loaded, "plugin"))),
                    });
                }
            }
        }
        let statuses = self.statuses();
        self.recording.describe(statuses.iter().map(plugins::record_of));
        Ok(())
    }

    /// Says which inputs each plugin gets.
    pub(in super::super) fn route(&mut self, routing: Routing) {
        self.routing = routing;
    }

    /// Says what answers the targets from the trace, in the order in which they were loaded.
    pub(super) fn answer_with(&mut self, answers: Vec<Arc<TraceAnswers>>) {
        self.answers = answers;
    }

    /// The answers from the trace, by target.
    pub(super) fn answers(&self) -> &[Arc<TraceAnswers>] {
        &self.answers
    }

    pub(in super::super) fn statuses(&self) -> Vec<PluginStatus> {
        self.instances.iter().filter_map(|id| self.host.plugin(*id)).collect()
    }

    /// The instances and what each of them did so far; the first of them with the names that a person
    /// gave them.
    pub(super) fn targets(&self, names: &[String]) -> Vec<TargetFound> {
        let found = |(at, status): (usize, PluginStatus)| {
            let figures = self.metrics.figures(status.instance.get());
            TargetFound { given: names.get(at).cloned(), status, figures }
        };
        self.statuses().into_iter().enumerate().map(found).collect()
    }

    /// Does something of which nothing is recorded, counted or kept.
    pub(super) fn unheard<T>(&self, work: impl FnOnce() -> T) -> T {
        self.gate.shut(true);
        let done = work();
        self.gate.shut(false);
        done
    }

    /// Takes snapshots of the instances from now on.
    pub(super) fn snapshots(&self, every: Every) -> Snapshots<'_> {
        let keep = |snapshot| self.recording.keep_snapshot(snapshot);
        Snapshots::start(every, &self.host, || self.instances.clone(), keep)
    }

    /// Sends the inputs of a plan, on this thread.
    pub(super) fn send(&self, targets: &Targets, plan: &dyn Inputs, pace: Pace) -> ReplaySummary {
        self.send_with(targets, plan, pace, &mut |_| {})
    }

    /// The same, and says after each input that it was sent.
    pub(super) fn send_with(
        &self,
        targets: &Targets,
        plan: &dyn Inputs,
        pace: Pace,
        sent: &mut dyn FnMut(ReplayProgress),
    ) -> ReplaySummary {
        replay::replay(&self.host, targets, plan, pace, &self.control, sent)
    }

    /// The control that ends a replay early.
    pub(in super::super) fn control(&self) -> &ReplayControl {
        &self.control
    }

    /// Replays the plan on this thread.
    pub(in super::super) fn replay(&self, plan: &dyn Inputs, pace: Pace) -> ReplaySummary {
        self.send(&self.targets_of(plan), plan, pace)
    }

    /// The targets for the inputs of a plan.
    pub(super) fn targets_of(&self, plan: &dyn Inputs) -> Targets {
        let targets = self.instances.iter().enumerate();
        let targets = targets.map(|(at, instance)| Target {
            instance: *instance,
            answers: self.answers.get(at).cloned(),
        });
        Targets::new(&self.host, targets.collect(), plan, self.routing)
    }

    /// Starts writing what happens to a new trace, which says from which trace it was made: `how` is
    /// for people.
    pub(super) fn start_recording(
        &self,
        out: Replacing<'_>,
        from: &Path,
        how: String,
    ) -> Result<(), Problem> {
        let parent = ParentRecord { path: from.display().to_string(), how };
        self.recording.start(out, Some(parent))
    }

    /// Takes the trace back, because nothing that counts was sent.
    pub(in super::super) fn discard_recording(&self) {
        self.recording.discard();
    }

    /// The same, with plugins that are loaded already.
    pub(in super::super) fn record(
        &self,
        out: Replacing<'_>,
        instances: &[InstanceId],
        from: &Path,
        how: &str,
    ) -> Result<(), Problem> {
        self.start_recording(out, from, how.to_owned())?;
        self.describe(instances);
        Ok(())
    }

    /// Tells the trace, if there is one, about these instances.
    pub(in super::super) fn describe(&self, instances: &[InstanceId]) {
        let statuses = instances.iter().filter_map(|id| self.host.plugin(*id));
        self.recording.describe(statuses.map(|status| plugins::record_of(&status)));
    }

    /// Closes the trace; `None` if there is none.
    pub(in super::super) fn finish_recording(&self) -> Result<Option<Recorded>, Problem> {
        self.recording.finish()
    }

    /// The counts so far.
    pub(in super::super) fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// Starts to keep what happens.
    pub(in super::super) fn keep_events(&self) {
        self.events.start();
    }

    /// The events since the last time.
    pub(in super::super) fn events(&self) -> Result<Vec<Event>, Problem> {
        self.events.take()
    }
}
