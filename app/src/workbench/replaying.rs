//! The work of a replay's thread, and its result.

use std::sync::Arc;
use std::time::Duration;

use glovebox_events::{CallId, Event, What};
use glovebox_host::{Host, InstanceId};
use glovebox_inspector::baseline::SourceTrace;
use glovebox_inspector::diff::{self, DiffOptions, Run};
use glovebox_inspector::replay::{
    Divergences, Pace, RecordedAnswers, ReplayPlan, Start, StartError, StartFinder,
};

use super::accepted::{Accepted, Compared};
use super::answers::FreshCopies;
use super::jobs::JobState;
use super::plugins::plugins_of;
use super::replay::{
    ReplayControl, ReplayProgress, ReplaySummary, Routing, Target, Targets, replay,
};
use super::sink::Fanout;
use super::start::{GiveError, Started, give};
use super::trace::Opened;
use super::{Level, Origin, ReplayHow, ReplayRequest};

/// Everything that a replay needs.
pub(super) struct ReplayWork {
    pub(super) host: Host,
    pub(super) fanout: Arc<Fanout>,
    pub(super) request: ReplayRequest,
    pub(super) trace_name: String,
    pub(super) run_name: String,
    pub(super) origin: Origin,
    /// The instance to reload first; the result is then compared with the trace.
    pub(super) reload_and_diff: Option<InstanceId>,
    /// The standard of comparison in its place, if all inputs were sent once.
    pub(super) accepted: Option<Accepted>,
}

impl ReplayWork {
    pub(super) fn run(self, state: &JobState, control: &ReplayControl) -> anyhow::Result<Replayed> {
        if let Some(instance) = self.reload_and_diff {
            let task = self.host.reload(instance);
            task.wait()?;
        }
        let events = self.origin.events()?;
        let request = self.request;
        let start = request.from.map(|call| start_at(&self.origin, &events, call)).transpose()?;
        let plan = plan_of(&request, &events, start.as_ref());
        let is_whole = plan.skipped == 0 && request.how != ReplayHow::Again;
        let is_target = |instance: &InstanceId| {
            request.targets.is_empty() || request.targets.contains(instance)
        };
        let plugins = plugins_of(&self.host);
        let instances: Vec<InstanceId> =
            plugins.iter().map(|plugin| plugin.instance).filter(is_target).collect();
        let copies = match request.how == ReplayHow::Answered {
            true => {
                let mut recorded = RecordedAnswers::default();
                events.iter().for_each(|event| recorded.add(event));
                Some(FreshCopies::load(&self.host, &instances, recorded)?)
            }
            false => None,
        };
        let targets = match &copies {
            Some(copies) => copies.targets(),
            None => instances.into_iter().map(Target::from).collect(),
        };
        let all = start.as_ref().map_or(&plan, |(_, all)| all);
        let targets = Targets::new(&self.host, targets, all, Routing::ByPlugin);
        let started =
            start.map(|(start, whole)| go_to(&start, &whole, &targets, &self.host, control));
        let started = started.transpose()?;
        let capturing = self.fanout.start_capture();
        let capturing = capturing.ok_or_else(|| {
            anyhow::anyhow!("a replay is under way; stop it before another one starts")
        })?;
        let mut progress = |progress: ReplayProgress| {
            state.progress(progress.done as u64, progress.total as u64);
        };
        progress(ReplayProgress { done: 0, total: plan.inputs.len() });
        let mut round =
            || replay(&self.host, &targets, &plan, request.pace, control, &mut progress);
        let mut summary = round();
        let mut ends = summary.is_last_round();
        while request.how == ReplayHow::Again && !ends {
            let next = round();
            ends = next.is_last_round();
            summary.add(next);
        }
        let capture = capturing.finish();
        let name = self.run_name;
        let after = || Run::from_events(name.clone(), capture.events.iter().cloned());
        let is_complete = !summary.cancelled && summary.unloaded.is_empty();
        let is_whole = is_whole && is_complete && capture.lost == 0;
        let compared = match (&self.accepted, self.reload_and_diff) {
            (Some(accepted), _) if is_whole => Some(
                accepted
                    .compare(&after())
                    .of_trace(SourceTrace::of_events(&self.trace_name, &events)),
            ),
            // A part of the run would differ in all that is not in it.
            (None, Some(_)) if is_complete => {
                let trace = SourceTrace::of_events(&self.trace_name, &events);
                let before = Run::from_events(self.trace_name, events);
                let options = DiffOptions::default();
                let diff = diff::diff(Arc::new(before), Arc::new(after()), &options);
                Some(Compared::runs(diff).of_trace(trace))
            }
            (Some(_) | None, _) => None,
        };
        let run = Opened::of_events(name, Arc::new(capture.events), Origin::Replay);
        let divergences = copies.as_ref().map(FreshCopies::divergences);
        Ok(Replayed {
            summary,
            run,
            lost: capture.lost,
            skipped: plan.skipped,
            started,
            compared,
            divergences,
        })
    }
}

/// The inputs of a trace that are sent.
fn plan_of(
    request: &ReplayRequest,
    events: &[Event],
    start: Option<&(Start, ReplayPlan)>,
) -> ReplayPlan {
    let mut plan = ReplayPlan::from_events(events.iter().cloned(), request.filter.as_ref());
    if let Some((start, whole)) = start {
        plan = plan.starting_at(whole, start.position);
    }
    if let Some((from, to)) = request.range {
        let mut inputs = events.iter().filter(|event| matches!(event.what, What::FrameIn { .. }));
        let first = inputs.next().map_or(0, |event| event.at);
        let since = |at: u64| Duration::from_nanos(at.saturating_sub(first));
        // A time that ends before the first input has none.
        plan = match to < first {
            true => plan.range(0..0),
            false => plan.within(since(from)..=since(to)),
        };
    }
    match request.calls.is_empty() {
        true => plan,
        false => plan.calls(&request.calls),
    }
}

/// The start at a call of a trace, and all inputs of it.
fn start_at(
    origin: &Origin,
    events: &[Event],
    call: CallId,
) -> anyhow::Result<(Start, ReplayPlan)> {
    let Origin::File(path) = origin else {
        anyhow::bail!("Only a recorded trace holds snapshots of states to start from");
    };
    let whole = ReplayPlan::from_events(events.iter().cloned(), None);
    let mut finder = StartFinder::default();
    events.iter().for_each(|event| finder.add(event));
    let position = whole.position_of(call);
    let start = position.and_then(|position| finder.find(path, &whole, position));
    let start = start.map_err(|error| match error {
        StartError::NoSnapshot { plugin, .. } => anyhow::anyhow!(
            "The trace has no snapshot of {plugin} from before this frame: record one with Record → \
             Snapshots of states…, or replay from the start"
        ),
        StartError::SeveralInstances { plugin, instances } => anyhow::anyhow!(
            "{instances} instances of {plugin} are in the trace, so that no snapshot is that of all \
             its inputs: replay from the start"
        ),
        error => error.into(),
    })?;
    Ok((start, whole))
}

/// Brings instances to a start.
fn go_to(
    start: &Start,
    whole: &ReplayPlan,
    targets: &Targets,
    host: &Host,
    control: &ReplayControl,
) -> anyhow::Result<Started> {
    give(start, whole, targets, host).map_err(|error| match error {
        GiveError::Restore(error) => anyhow::Error::new(error),
        GiveError::Torn { emitter, call, plugin } => anyhow::anyhow!(
            "{emitter} gets an input before this frame and emits call {call} of {plugin}, which is not \
             between its snapshot and the frame: start elsewhere, or replay from the start"
        ),
        GiveError::TwoStates { first, second } => anyhow::anyhow!(
            "One instance cannot have the states of {first} and {second}: load a plugin for each"
        ),
    })?;
    let before = ReplayPlan { inputs: start.before.clone(), skipped: 0 };
    let sent = replay(host, targets, &before, Pace::Max, control, &mut |_| {});
    Ok(Started::new(start, sent))
}

/// How a replay ended.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) summary: ReplaySummary,
    pub(super) run: Opened,
    pub(super) lost: u64,
    /// Inputs of the trace that were not chosen.
    pub(super) skipped: usize,
    /// How it got to its start, if that is in the middle.
    pub(super) started: Option<Started>,
    /// With the baseline file, or with the trace it was made from if that was asked for.
    pub(super) compared: Option<Compared>,
    /// The host calls that diverged from the trace, if it answered.
    pub(super) divergences: Option<Vec<Divergences>>,
}

/// How a notice about a result is marked.
pub(super) fn level_of(summary: &ReplaySummary) -> Level {
    let is_partial = summary.unrouted > 0 || summary.cancelled || !summary.unloaded.is_empty();
    if summary.failures() > 0 || is_partial { Level::Warning } else { Level::Success }
}
