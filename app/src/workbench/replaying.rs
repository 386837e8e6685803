//! The work of a replay's thread, and its result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::units::show_size;
use glovebox_events::{CallId, Event, What};
use glovebox_host::{Host, InstanceId};
use glovebox_inspector::baseline::SourceTrace;
use glovebox_inspector::diff::{self, DiffOptions, Run};
use glovebox_inspector::replay::{
    Divergences, Pace, RecordedAnswers, ReplayPlan, Start, StartError, StartFinder,
};

use super::accepted::{Accepted, Compared};
use super::answers::FreshCopies;
use super::comparing::Builds;
use super::jobs::JobState;
use super::kept_events::{KEPT_LIMIT, KeptEvents};
use super::plugins::plugins_of;
use super::replay::{
    ReplayControl, ReplayProgress, ReplaySummary, Routing, Target, Targets, replay,
};
use super::sink::{Fanout, Keeping};
use super::start::{GiveError, Started, give};
use super::takeovers::{Running, Takeover};
use super::trace::Opened;
use super::unkept::Numbers;
use super::words::count;
use super::{Level, Origin, ReplayHow, ReplayRequest, TraceId};

/// Everything that a replay needs.
pub(super) struct ReplayWork {
    pub(super) host: Host,
    pub(super) fanout: Arc<Fanout>,
    pub(super) request: ReplayRequest,
    pub(super) trace_name: String,
    /// Names for the runs that it leads to, in order.
    pub(super) run_names: [String; 2],
    pub(super) origin: Origin,
    pub(super) purpose: Purpose,
    /// The standard of comparison in its place, if all inputs were sent once.
    pub(super) accepted: Option<Accepted>,
}

/// The purpose of a replay.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// To run the plugins.
    Run,
    /// To reload this instance first, and to compare the result with the trace.
    Reload(InstanceId),
    /// To compare two builds that get the same inputs.
    Builds(Builds),
}

/// The most memory that a replay without an end may keep of its run, in bytes: nothing is compared
/// with it.
const ENDLESS: usize = 64 << 20;

/// The calls of a replay.
struct Calls {
    summary: ReplaySummary,
    kept: KeptEvents,
    /// The live frames that are among the events.
    frames: Numbers,
    takeover: Option<Takeover>,
}

impl Calls {
    /// Why calls are missing that were to be made, if any are: a part of a run differs from the whole in
    /// all that is not in it.
    fn lack(&self) -> Option<String> {
        let ReplaySummary { cancelled, unloaded, .. } = &self.summary;
        let lost = self.kept.lost;
        if lost > 0 {
            let limit = show_size(KEPT_LIMIT as u64);
            return Some(format!("{} of the run did not fit into {limit}", count(lost, "event")));
        }
        if !unloaded.is_empty() {
            return Some("a plugin was unloaded meanwhile".to_owned());
        }
        if self.takeover.is_some() {
            return Some("another generation took over meanwhile".to_owned());
        }
        cancelled.then(|| "it was stopped".to_owned())
    }

    fn run(&self, name: &str) -> Arc<Run> {
        Arc::new(Run::from_events(name, self.kept.events.iter().cloned()))
    }

    fn open(self, name: String) -> OpenedRun {
        let events = Arc::new(self.kept.events);
        let trace = Opened::of_events(name, events, Origin::Replay);
        OpenedRun { trace, lost: self.kept.lost, frames: self.frames }
    }
}

/// A run, as a trace.
#[derive(Debug)]
pub(super) struct OpenedRun {
    pub(super) trace: Opened,
    /// Events of it that were lost.
    pub(super) lost: u64,
    /// The live frames that are in it.
    pub(super) frames: Numbers,
}

impl ReplayWork {
    pub(super) fn run(self, state: &JobState, control: &ReplayControl) -> anyhow::Result<Replayed> {
        let mut events = self.origin.whole_events()?;
        let trace = SourceTrace::of_events(&self.trace_name, &events);
        let request = &self.request;
        let start = request.from.map(|call| start_at(&self.origin, &events, call)).transpose()?;
        let mut plan = plan_of(request, &events, start.as_ref());
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
        let ids: BTreeSet<String> = plugins
            .iter()
            .filter(|plugin| instances.contains(&plugin.instance))
            .map(|plugin| plugin.manifest.plugin.id.clone())
            .collect();
        // A plugin is compared with runs of its own.
        let is_own = |accepted: &&Accepted| accepted.is_about(&ids);
        let accepted = self.accepted.as_ref().filter(is_own);
        if let (Purpose::Reload(_), None, Routing::ByPlugin) =
            (&self.purpose, accepted, request.routing)
        {
            keep_own(&ids, &mut plan, &mut events);
        }
        let targets = match &copies {
            Some(copies) => copies.targets(),
            None => instances.iter().copied().map(Target::from).collect(),
        };
        let of: BTreeSet<u64> = targets.iter().map(|target| target.instance.get()).collect();
        let running = || {
            let plugins = self.host.plugins();
            Running::of(plugins.iter().filter(|plugin| of.contains(&plugin.instance.get())))
        };
        let all = start.as_ref().map_or(&plan, |(_, all)| all);
        let targets = Targets::new(&self.host, targets, all, request.routing);
        let is_once = request.how != ReplayHow::Again;
        let limit = if is_once { KEPT_LIMIT } else { ENDLESS };
        // Before anything changes.
        let keeping = self.fanout.start_keeping(of.clone(), limit).ok_or_else(|| {
            anyhow::anyhow!("a replay is under way; stop it before another one starts")
        })?;
        let send = || self.send(&targets, &plan, &keeping, &running, state, control);
        let has_answers = events.iter().any(|event| matches!(event.what, What::CallEnded { .. }));
        let has_own = has_answers && answers_are_of(&ids, request.routing, &plan, &events);
        let (mut earlier, mut unalike) = (None, None);
        match &self.purpose {
            Purpose::Run => {}
            Purpose::Reload(instance) => {
                if !has_own && accepted.is_none() {
                    earlier = Some(run_before(&self.host, &instances, send)?);
                    anyhow::ensure!(!control.is_cancelled(), "Stopped before the reload");
                }
                self.host.reload(*instance).wait()?;
            }
            Purpose::Builds(builds) => unalike = builds.begin_alike(&self.host).err(),
        }
        let started =
            start.map(|(start, whole)| go_to(&start, &whole, &targets, &self.host, control));
        let started = started.transpose()?;
        let calls = send();
        let [first, second] = &self.run_names;
        let name = if matches!(earlier, Some(Ok(_))) { second } else { first };
        let lack = calls.lack();
        let lack =
            lack.or((plan.skipped > 0 || !is_once).then(|| "not every call was made once".into()));
        let is_whole = lack.is_none();
        let is_single = ids.len() == instances.len();
        let compared = match (accepted, &self.purpose) {
            (_, Purpose::Builds(builds)) => Some(match lack {
                None => Ok(builds.compare(&calls.kept.events)),
                Some(lack) => Err(format!("the builds are not compared: {lack}")),
            }),
            (None, Purpose::Run) => self.accepted.as_ref().map(|other| {
                let ids = ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(format!("not compared with {}: it has no calls of {ids}", other.name()))
            }),
            (Some(accepted), _) => Some(match lack {
                None => Ok(accepted.compare(&calls.run(name))),
                Some(lack) => Err(format!("not compared with {}: {lack}", accepted.name())),
            }),
            (None, Purpose::Reload(_)) => Some(match (lack, &earlier) {
                (Some(lack), _) => Err(format!("not compared: {lack}")),
                (None, None) => Ok(Arc::new(Run::from_events(self.trace_name.clone(), events))),
                (None, Some(Ok(before))) => Ok(before.run(first)),
                (None, Some(Err(why))) => Err(format!(
                    "nothing to compare with: {} does not hold the answers of this plugin to these inputs, and the \
                     generation before gave none: {why}",
                    self.trace_name
                )),
            })
            .map(|before| before.map(|before| compare(before, calls.run(name)))),
        };
        Ok(Replayed {
            summary: calls.summary.clone(),
            run: calls.open(name.clone()),
            earlier: earlier.and_then(Result::ok).map(|calls| calls.open(first.clone())),
            answers: (!has_answers && is_whole && is_single).then_some(request.trace),
            is_single,
            skipped: plan.skipped,
            started,
            unalike,
            compared: compared.map(|compared| compared.map(|compared| compared.of_trace(trace))),
            divergences: copies.as_ref().map(FreshCopies::divergences),
        })
    }

    /// Sends the inputs once, or again and again.
    fn send(
        &self,
        targets: &Targets,
        plan: &ReplayPlan,
        keeping: &Keeping<'_>,
        running: &dyn Fn() -> Running,
        state: &JobState,
        control: &ReplayControl,
    ) -> Calls {
        let before = running();
        // Earlier events are no part of the run.
        keeping.take();
        let mut progress = |progress: ReplayProgress| {
            state.progress(progress.done as u64, progress.total as u64);
        };
        progress(ReplayProgress { done: 0, total: plan.inputs.len() });
        let ReplayRequest { pace, how, .. } = self.request;
        let mut round = || replay(&self.host, targets, plan, pace, control, &mut progress);
        let mut summary = round();
        let mut ends = summary.is_last_round();
        while how == ReplayHow::Again && !ends {
            let next = round();
            ends = next.is_last_round();
            summary.add(next);
        }
        let now = running();
        let (kept, frames) = keeping.take();
        let takeover = before.replaced(&kept.events, &now);
        Calls { summary, kept, frames, takeover }
    }
}

fn compare(before: Arc<Run>, after: Arc<Run>) -> Compared {
    Compared::runs(diff::diff(before, after, &DiffOptions::default()))
}

/// Leaves out the calls of other plugins, if the trace has any of these: they do not answer them.
fn keep_own(ids: &BTreeSet<String>, plan: &mut ReplayPlan, events: &mut Vec<Event>) {
    if plan.inputs.iter().any(|input| ids.contains(&*input.plugin)) {
        plan.inputs.retain(|input| ids.contains(&*input.plugin));
        events.retain(|event| ids.contains(&*event.plugin));
    }
}

/// True if the answers among the events are those of these plugins to the inputs that they get: the answers
/// of other plugins say nothing about them.
fn answers_are_of(
    ids: &BTreeSet<String>,
    routing: Routing,
    plan: &ReplayPlan,
    events: &[Event],
) -> bool {
    let mut ends = events.iter().filter(|event| matches!(event.what, What::CallEnded { .. }));
    let gets_its_own = match routing {
        Routing::ByPlugin => true,
        Routing::Everything => {
            ids.len() == 1 && plan.inputs.iter().all(|input| ids.contains(&*input.plugin))
        }
    };
    gets_its_own && ends.any(|event| ids.contains(&*event.plugin))
}

/// Sends the inputs to the generation that a reload is about to replace, and gives all that got them back
/// the states that they had: the next run begins with the same. Inside, why there is nothing to compare with.
///
/// # Errors
///
/// If any of them has not the state that it had.
fn run_before(
    host: &Host,
    instances: &[InstanceId],
    send: impl FnOnce() -> Calls,
) -> anyhow::Result<Result<Calls, String>> {
    let mut snapshots = Vec::new();
    for instance in instances {
        match host.snapshot(*instance).wait() {
            Ok(snapshot) => snapshots.push((*instance, snapshot)),
            // Nothing was sent yet.
            Err(outcome) => return Ok(Err(outcome.to_string())),
        }
    }
    let calls = send();
    let refused = snapshots.into_iter().filter_map(|(instance, snapshot)| {
        // Of one that was unloaded meanwhile, nothing is left to be restored.
        let plugin = host.plugin(instance)?;
        let error = host.restore(instance, snapshot).wait().err()?;
        Some(format!("{}: {error}", plugin.manifest.plugin.id))
    });
    // Each, whatever becomes of the others.
    let refused: Vec<String> = refused.collect();
    anyhow::ensure!(
        refused.is_empty(),
        "Not reloaded: the inputs were sent to the generation before, to compare with it, and a plugin could \
         not be given back the state that it had; restart it, or load it again: {}",
        refused.join("; ")
    );
    Ok(match calls.lack() {
        None => Ok(calls),
        Some(lack) => Err(lack),
    })
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
    /// The run.
    pub(super) run: OpenedRun,
    /// The same of the generation before a reload, for a trace that has no answers of its own.
    pub(super) earlier: Option<OpenedRun>,
    /// The trace that had no answers, to all of whose inputs there are some now.
    pub(super) answers: Option<TraceId>,
    /// True if no two builds of one plugin got the inputs, each of which stands in the run once.
    pub(super) is_single: bool,
    /// Inputs of the trace that were not chosen.
    pub(super) skipped: usize,
    /// How it got to its start, if that is in the middle.
    pub(super) started: Option<Started>,
    /// Why two builds did not begin in one state, if so.
    pub(super) unalike: Option<String>,
    /// With the baseline file, or with the trace it was made from if that was asked for; else why not.
    pub(super) compared: Option<Result<Compared, String>>,
    /// The host calls that diverged from the trace, if it answered.
    pub(super) divergences: Option<Vec<Divergences>>,
}

/// How a notice about a result is marked.
pub(super) fn level_of(summary: &ReplaySummary) -> Level {
    let is_partial = summary.unrouted > 0 || summary.cancelled || !summary.unloaded.is_empty();
    if summary.failures() > 0 || is_partial { Level::Warning } else { Level::Success }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services, State};
    use glovebox_events::ReloadCause;
    use glovebox_host::LoadRequest;

    use super::*;

    fn calls(summary: ReplaySummary, lost: u64, takeover: Option<Takeover>) -> Calls {
        let mut kept = KeptEvents::up_to(0);
        kept.lost = lost;
        Calls { summary, kept, frames: Numbers::default(), takeover }
    }

    #[test]
    fn a_part_of_a_run_says_what_it_lacks() {
        fn check(lost: u64, unloaded: &[&str], cancelled: bool, expected: Option<&str>) {
            let unloaded = unloaded.iter().map(|id| (*id).to_owned()).collect();
            let summary = ReplaySummary { unloaded, cancelled, ..ReplaySummary::default() };
            assert_eq!(calls(summary, lost, None).lack().as_deref(), expected);
        }
        check(0, &[], false, None);
        check(1, &[], false, Some("1 event of the run did not fit into 2 GiB"));
        check(0, &["a"], false, Some("a plugin was unloaded meanwhile"));
        check(0, &[], true, Some("it was stopped"));
        check(7, &["a"], true, Some("7 events of the run did not fit into 2 GiB"));
        // A run of two generations tells nothing about either.
        let takeover = Some(Takeover::Reload(ReloadCause::FileChanged));
        let calls = calls(ReplaySummary::default(), 0, takeover);
        assert_eq!(calls.lack().as_deref(), Some("another generation took over meanwhile"));
    }

    #[test]
    fn answers_of_other_plugins_say_nothing() {
        /// Checks inputs of these plugins, each of which answered them, that plugins of these ids get.
        #[track_caller]
        fn check(recorded: &[&str], ids: &[&str], routing: Routing, expected: bool) {
            let mut events = Vec::new();
            for (call, plugin) in (1..).map(CallId).zip(recorded) {
                let ended = What::CallEnded {
                    call,
                    outcome: glovebox_events::Outcome::Completed,
                    timing: glovebox_events::Timing::default(),
                    bytes_in: 0,
                    bytes_out: 0,
                    frames_out: 0,
                    memory: None,
                };
                for what in [What::FrameIn { call, frame: Frame::data("x") }, ended] {
                    let (sequence, plugin) = (events.len() as u64, (*plugin).into());
                    let (at, instance, generation) = (sequence, 0, 1);
                    events.push(Event { sequence, at, plugin, instance, generation, what });
                }
            }
            let plan = ReplayPlan::from_events(events.iter().cloned(), None);
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            let found = answers_are_of(&ids, routing, &plan, &events);
            assert_eq!(found, expected, "{recorded:?} to {ids:?} by {routing:?}");
        }
        check(&["a", "b"], &["a"], Routing::ByPlugin, true);
        check(&["b"], &["a"], Routing::ByPlugin, false);
        check(&["a", "a"], &["a"], Routing::Everything, true);
        // Nobody recorded what "a" makes of the inputs of "b".
        check(&["a", "b"], &["a"], Routing::Everything, false);
        check(&["a", "b"], &["a", "b"], Routing::Everything, false);
        check(&["a", "b"], &["a", "b"], Routing::ByPlugin, true);
    }

    /// A plugin whose state is a number, which each frame counts up; it may refuse to go back.
    struct Counter {
        count: Arc<AtomicU8>,
        goes_back: bool,
    }

    impl Plugin for Counter {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            self.count.fetch_add(1, Ordering::Relaxed);
            Ok(Vec::new())
        }

        fn save_state(&mut self) -> Result<Option<State>, Failure> {
            let bytes = vec![self.count.load(Ordering::Relaxed)];
            Ok(Some(State { version: 1, bytes }))
        }

        fn restore_state(&mut self, state: State) -> Result<(), Failure> {
            if !self.goes_back {
                return Err(Failure::new(Failure::GENERIC, "it does not go back"));
            }
            self.count.store(state.bytes[0], Ordering::Relaxed);
            Ok(())
        }
    }

    /// One plugin does not get its state back after the run before a reload: the others do.
    #[test]
    fn every_plugin_gets_its_state_back_though_one_refuses() {
        #[track_caller]
        fn check(first_goes_back: bool, expected: Option<&str>) {
            let host = Host::builder().build().unwrap();
            let counts: [Arc<AtomicU8>; 2] = Default::default();
            let load = |id: &str, count: &Arc<AtomicU8>, goes_back: bool| {
                let manifest = Manifest::parse(&format!("[plugin]\nid = '{id}'")).unwrap();
                let count = Arc::clone(count);
                let new = move || -> Box<dyn Plugin> {
                    Box::new(Counter { count: Arc::clone(&count), goes_back })
                };
                host.load(LoadRequest::core(manifest, new)).wait().unwrap()
            };
            let first = load("first", &counts[0], first_goes_back);
            let second = load("second", &counts[1], true);
            let send = || {
                for instance in [first, second] {
                    assert!(host.call(instance, &Frame::data("x")).outcome.is_completed());
                }
                calls(ReplaySummary::default(), 0, None)
            };
            let error = run_before(&host, &[first, second], send).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            match expected {
                None => assert_eq!(error, ""),
                Some(expected) => assert!(error.contains(expected), "{error}"),
            }
            let counts = counts.map(|count| count.load(Ordering::Relaxed));
            assert_eq!(counts, [u8::from(!first_goes_back), 0]);
        }
        check(true, None);
        check(false, Some("Not reloaded: "));
        check(false, Some("first: "));
    }
}
