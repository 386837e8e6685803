//! The view of the workbench for the window: its state as of the last look.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use glovebox_host::{InstanceId, PluginStatus, PolicyMode};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::Diff;
use glovebox_inspector::findings::{Judgement, Severities};
use glovebox_inspector::metrics::GenerationMetrics;
use glovebox_trace::RecorderStatus;

use super::doctor::Examination;
use super::recording::instance_record;
use super::{
    Accepted, Edits, Every, Faults, Figures, JobView, LiveCounts, Notice, Pair, Search, Sent,
    Source, Trace, TraceId, UsageSample, Workbench,
};

impl Workbench {
    /// The read-only view.
    pub fn view(&self) -> ViewCtx<'_> {
        ViewCtx { workbench: self }
    }
}

/// Everything that can be looked at while the window is painted: nothing it could change, and no lock
/// that a plugin's thread takes.
#[derive(Debug, Clone, Copy)]
pub struct ViewCtx<'a> {
    pub(super) workbench: &'a Workbench,
}

impl<'a> ViewCtx<'a> {
    /// All instances, by the id of their plugin.
    pub fn plugins(&self) -> &'a [PluginStatus] {
        &self.workbench.seen.plugins
    }

    /// One instance.
    pub fn plugin(&self, instance: InstanceId) -> Option<&'a PluginStatus> {
        let plugins = self.workbench.seen.plugins.iter();
        plugins.into_iter().find(|plugin| plugin.instance == instance)
    }

    /// The name of an instance: its id, and its twin name if another instance has that id, too.
    pub fn name_of(&self, plugin: &PluginStatus) -> String {
        joined(&plugin.manifest.plugin.id, self.twin_name(plugin).as_deref())
    }

    /// The names of instances for a sentence: of up to three of them each, of more how many; none stands
    /// for all that are loaded.
    pub fn names_of(&self, instances: &[InstanceId]) -> String {
        let all = self
            .plugins()
            .iter()
            .filter(|one| instances.is_empty() || instances.contains(&one.instance));
        let names: Vec<_> = all.map(|one| self.name_of(one)).collect();
        match names.len() {
            0 => "no plugin".to_owned(),
            1..=3 => names.join(", "),
            count if count == self.plugins().len() => format!("all {count} plugins"),
            count => format!("{count} plugins"),
        }
    }

    /// The ids of the plugins that inputs of a trace were recorded for; `None` until the trace was looked
    /// over.
    pub fn inputs_for(&self, trace: TraceId) -> Option<Vec<&'a str>> {
        let figures = self.figures_of(Source::Trace(trace))?;
        let inputs = figures.totals.iter().filter(|total| total.frames_in > 0);
        let mut ids: Vec<_> = inputs.map(|total| &*total.plugin).collect();
        ids.dedup();
        Some(ids)
    }

    /// The part of a name that tells an instance from all others of the same id: its version, else
    /// its file, else that with its folder, with its number where these are the same; `None` if there
    /// is no other one.
    pub fn twin_name(&self, plugin: &PluginStatus) -> Option<String> {
        let id = &plugin.manifest.plugin.id;
        let is_twin = |other: &&PluginStatus| {
            other.instance != plugin.instance && other.manifest.plugin.id == *id
        };
        let twins = self.plugins().iter().filter(is_twin).map(instance_record);
        let twins: Vec<_> = twins.collect();
        (!twins.is_empty()).then(|| instance_record(plugin).distinguished(twins.iter()))
    }

    /// The name of an instance in a source: the id of its plugin, and its twin name if another
    /// instance has that id, too.
    pub fn instance_name(&self, source: Source, id: &str, instance: u64) -> String {
        let loaded = match source {
            Source::Live => self.plugins().iter().find(|one| one.instance.get() == instance),
            Source::Trace(_) => None,
        };
        let recorded = match source {
            Source::Live => None,
            Source::Trace(trace) => self
                .trace(trace)
                .and_then(|trace| glovebox_trace::instance_name(&trace.plugins, id, instance)),
        };
        if let Some(name) = recorded {
            return name;
        }
        let has_twin = || self.figures_of(source).is_some_and(|all| all.has_twin(id, instance));
        let numbered = || has_twin().then(|| format!("instance {instance}"));
        let twin = loaded.and_then(|plugin| self.twin_name(plugin)).or_else(numbered);
        joined(id, twin.as_deref())
    }

    /// The instance of a plugin id.
    pub fn plugin_by_id(&self, id: &str) -> Option<&'a PluginStatus> {
        let plugins = self.workbench.seen.plugins.iter();
        plugins.into_iter().find(|plugin| plugin.manifest.plugin.id == id)
    }

    /// Figures of what happens now, not older than a quarter of a second.
    pub fn figures(&self) -> &'a Figures {
        &self.workbench.seen.figures
    }

    /// Figures of a source; `None` for a trace that was not looked over yet.
    pub fn figures_of(&self, source: Source) -> Option<&'a Figures> {
        match source {
            Source::Live => Some(self.figures()),
            Source::Trace(id) => self.trace(id)?.figures.as_deref(),
        }
    }

    /// Figures of the generation of an instance that runs now; `None` before anything happened in it.
    pub fn figures_now(&self, plugin: &PluginStatus) -> Option<&'a GenerationMetrics> {
        let one = self.figures().of(&plugin.manifest.plugin.id, plugin.instance.get())?;
        one.generations.iter().find(|figures| figures.generation == plugin.generation)
    }

    /// The findings in a source; `None` while a trace is being looked over. Those of live frames
    /// are about a second old.
    pub fn findings(&self, source: Source) -> Option<&'a Arc<Judgement>> {
        self.workbench.findings.of(source)
    }

    /// How severe findings are.
    pub fn severities(&self) -> &'a Severities {
        self.workbench.findings.severities()
    }

    /// The name of a source.
    pub fn source_name(&self, source: Source) -> &'a str {
        match source {
            Source::Live => "live",
            Source::Trace(id) => self.trace(id).map_or("a closed trace", |trace| &trace.name),
        }
    }

    /// True if lists of what happened in a source are whole: a trace that is not held has them once it
    /// was looked over.
    pub fn is_looked_over(&self, source: Source) -> bool {
        match source {
            Source::Live => true,
            Source::Trace(id) => self
                .trace(id)
                .is_some_and(|trace| trace.pages.is_none() || trace.overview.is_some()),
        }
    }

    /// Host calls that were denied in what happens now.
    pub fn denied_live(&self) -> usize {
        self.live().denied
    }

    /// Open traces, oldest first.
    pub fn traces(&self) -> &'a [Trace] {
        self.workbench.traces.all()
    }

    /// One open trace.
    pub fn trace(&self, id: TraceId) -> Option<&'a Trace> {
        self.workbench.traces.get(id)
    }

    /// The trace that is pinned as baseline.
    pub fn baseline(&self) -> Option<&'a Trace> {
        self.workbench.traces.baseline()
    }

    /// True if the rows of a source are in a file, and read when they are looked at.
    pub fn is_in_file(&self, source: Source) -> bool {
        match source {
            Source::Live => false,
            Source::Trace(id) => self.trace(id).is_some_and(|trace| trace.pages.is_some()),
        }
    }

    /// The search in a source that is not held.
    pub fn search(&self, source: Source) -> Option<&'a Search> {
        match source {
            Source::Live => None,
            Source::Trace(id) => self.trace(id)?.search.as_ref(),
        }
    }

    /// The counts of live frames, as of the last look.
    pub fn live(&self) -> LiveCounts {
        self.workbench.seen.live
    }

    /// Work that is under way, as of the last look.
    pub fn jobs(&self) -> &'a [JobView] {
        &self.workbench.seen.jobs
    }

    /// The replay that is under way.
    pub fn replay(&self) -> Option<&'a JobView> {
        self.jobs().iter().find(|job| job.replay.is_some())
    }

    /// The trace of which the inputs are sent just now.
    pub fn replayed(&self) -> Option<TraceId> {
        self.workbench.outcome.replayed.filter(|_| self.replay().is_some())
    }

    /// The notices about commands, oldest first.
    pub fn notices(&self) -> &'a VecDeque<Notice> {
        self.workbench.notices.all()
    }

    /// How the recording is doing.
    pub fn recording(&self) -> Option<&'a RecorderStatus> {
        self.workbench.seen.recording.as_ref()
    }

    /// For how long it is recorded by now.
    pub fn recorded_for(&self) -> Option<Duration> {
        let since = self.workbench.outcome.recording_since.filter(|_| self.recording().is_some());
        since.map(|since| since.elapsed())
    }

    /// Why nothing is recorded, if the last attempt to start failed.
    pub fn cannot_record(&self) -> Option<&'a str> {
        self.workbench.outcome.cannot_record.as_deref()
    }

    /// How often the states of plugins are kept in recordings, if they are.
    pub fn snapshot_every(&self) -> Option<Every> {
        self.workbench.outcome.snapshot_every
    }

    /// The last diff, and a number that counts diffs.
    pub fn diff(&self) -> Option<(u64, &'a Diff)> {
        let outcome = &self.workbench.outcome;
        outcome.compared.as_ref().map(|compared| (outcome.diffs, compared.diff()))
    }

    /// The decisions about the last diff that were written to a baseline last.
    pub fn saved_decisions(&self) -> Option<&'a BTreeMap<usize, Decision>> {
        self.workbench.outcome.saved.as_ref()
    }

    /// Changes of a person that end with the window.
    pub fn edits(&self) -> Edits {
        self.workbench.outcome.edits
    }

    /// Groups of the last diff that its baseline calls wrong, by position in [`Diff::groups`].
    pub fn rejected_before(&self) -> Vec<usize> {
        let compared = self.workbench.outcome.compared.as_ref();
        compared.map_or_else(Vec::new, |compared| compared.rejected_before())
    }

    /// The baseline file that replays are compared with.
    pub fn accepted(&self) -> Option<&'a Accepted> {
        self.workbench.outcome.accepted.as_ref()
    }

    /// Answers to what was composed, oldest first.
    pub fn sent(&self) -> &'a VecDeque<Sent> {
        &self.workbench.outcome.sent
    }

    /// The two builds that get the same inputs, while both are loaded.
    pub fn pair(&self) -> Option<Pair> {
        let is_loaded = |pair: &Pair| {
            [pair.first, pair.second].iter().all(|instance| self.plugin(*instance).is_some())
        };
        self.workbench.outcome.pair.filter(is_loaded)
    }

    /// The mode for permissions that nobody decided.
    pub fn policy_mode(&self) -> PolicyMode {
        self.workbench.outcome.policy_mode
    }

    /// Whether native plugins may run in this process.
    pub fn trusts_native(&self) -> bool {
        self.workbench.outcome.trusts_native
    }

    /// How long the compiler may take for each artifact, if somebody said so.
    pub fn compile_deadline(&self) -> Option<Duration> {
        self.workbench.outcome.compile_deadline
    }

    /// How long a plugin may take to be opened for the first time, if somebody said so.
    pub fn load_deadline(&self) -> Option<Duration> {
        self.workbench.outcome.load_deadline
    }

    /// The last examination of this machine.
    pub fn examination(&self) -> Option<&'a Examination> {
        self.workbench.outcome.examination.as_deref()
    }

    /// True while this machine is being examined.
    pub fn is_examining(&self) -> bool {
        let job = self.workbench.outcome.examining;
        job.is_some_and(|job| self.workbench.jobs.is_running(job))
    }

    /// The faults that a person put together for an instance.
    pub fn faults(&self, instance: InstanceId) -> Option<&'a Faults> {
        self.workbench.outcome.faults.get(&instance)
    }

    /// True while an instance is about to run elsewhere.
    pub fn is_moving(&self, instance: InstanceId) -> bool {
        let job = self.workbench.outcome.moves.get(&instance);
        job.is_some_and(|job| self.workbench.jobs.is_running(*job))
    }

    /// The use that an instance's own processes made of the machine lately, oldest first; `None` for
    /// one in this process.
    pub fn usage(&self, instance: InstanceId) -> Option<&'a VecDeque<UsageSample>> {
        self.workbench.seen.usages.of(instance)
    }

    /// How many bytes of memory the compiler may take for each artifact, if somebody said so.
    pub fn compile_memory(&self) -> Option<u64> {
        self.workbench.outcome.compile_memory
    }

    /// Loads that failed.
    pub fn loads_failed(&self) -> u64 {
        self.workbench.outcome.loads_failed
    }

    /// Frames sent by replays.
    pub fn frames_replayed(&self) -> u64 {
        self.workbench.outcome.frames_replayed
    }

    /// How often live frames were saved.
    pub fn live_saves(&self) -> u64 {
        self.workbench.outcome.live_saves
    }

    /// True while anything is under way or waits for something that is.
    pub fn is_busy(&self) -> bool {
        self.workbench.jobs.any() || !self.workbench.starts.is_empty()
    }

    /// True while anything is under way that decides what is shown first.
    pub fn is_starting(&self) -> bool {
        self.workbench.jobs.any_in_front() || !self.workbench.starts.is_empty()
    }

    /// True if there is nothing to show yet.
    pub fn is_empty(&self) -> bool {
        self.plugins().is_empty() && self.traces().is_empty() && self.live().frames == 0
    }
}

/// A name, and what tells it from others.
fn joined(id: &str, twin: Option<&str>) -> String {
    twin.map_or_else(|| id.to_owned(), |twin| format!("{id} · {twin}"))
}
