//! The state that joins host and inspector, without a window.
//!
//! Read [`Workbench`] first: it owns the host, the live store, the metrics, the recording, the
//! open traces and the last diff. Views read it through [`ViewCtx`]; what changes it is a
//! [`Command`], and one exhaustive match executes those. Long work runs on named threads
//! ([`jobs`]) and ends in a [`Notice`].
//!
//! This module deliberately knows nothing of egui, and nothing here waits on the caller's thread
//! for a plugin or a file.

mod accepted;
pub(crate) mod answers;
mod command;
mod example;
mod figures;
mod findings;
mod in_files;
pub mod jobs;
mod logic;
mod notice;
mod overview;
mod pages;
mod recording;
pub mod replay;
mod replaying;
mod rows;
mod search;
mod sink;
pub(crate) mod snapshots;
pub(crate) mod start;
mod trace;
pub(crate) mod words;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_events::{CallId, ReloadCause};
use glovebox_host::{
    Allowance, ConsentError, Consents, Host, HostBuilder, InstanceId, PluginStatus, PolicyMode,
};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::Diff;
use glovebox_inspector::findings::{Judgement, Severities};
use glovebox_inspector::metrics::MetricsSnapshot;
use glovebox_inspector::store::{RowId, Store};
use glovebox_inspector::trace::RecorderStatus;

pub use accepted::{Accepted, Compared};
pub use command::{Command, ReplayHow, ReplayRequest, RowRef, SendRequest};
pub use example::{EXAMPLES, Example};
pub use jobs::{JobId, JobView};
pub use logic::{asked_of, asking_no_more};
pub use notice::{Level, Notice};
pub use overview::{Failure, Overview, Span};
pub use pages::Pages;
pub use rows::{RowLine, Rows};
pub use search::{Search, SearchStage, Wanted};
pub use sink::{LatencyCounts, Waker};
pub use snapshots::Every;
pub use trace::{Origin, Trace, TraceId};
pub use work::Sent;

use jobs::Jobs;
use notice::Notices;
use sink::{Fanout, ReloadNews};
use trace::Traces;

use crate::folders;

/// How old figures may be that are costly to collect.
const SNAPSHOT_AGE: Duration = Duration::from_millis(250);
/// How long after one report of panics the next one waits, which may be many.
const FAULT_PAUSE: Duration = Duration::from_secs(10);
/// Answers kept in the compose history.
const SENT_KEPT: usize = 200;

/// Where the frames come from that the window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Source {
    /// What happens now.
    #[default]
    Live,
    /// An open trace.
    Trace(TraceId),
}

/// What a person agreed to for good, in the user's own folder; `None` on a machine without a home.
pub(crate) fn saved_consents() -> Option<Result<Consents, ConsentError>> {
    Some(Consents::open(folders::consents()?))
}

/// How a workbench is set up.
#[derive(Debug, Clone, Default)]
pub struct WorkbenchOptions {
    /// Where compiled plugins are kept; nowhere if absent.
    pub cache_folder: Option<PathBuf>,
    /// Where recordings go, a folder of this user's alone; nothing can be recorded if it is absent.
    pub recordings_folder: Option<PathBuf>,
    /// What is allowed before plugins are loaded.
    pub allow: Vec<Allowance>,
    /// What was agreed to for good; without it nothing is kept.
    pub consents: Option<Arc<Consents>>,
    /// Where temporary folders go; the system's folder for them if absent.
    pub scratch_folder: Option<PathBuf>,
}

/// The host, the inspector and everything between them.
#[derive(Debug)]
pub struct Workbench {
    host: Host,
    fanout: Arc<Fanout>,
    jobs: Jobs,
    notices: Notices,
    traces: Traces,
    recordings_folder: Option<PathBuf>,
    findings: findings::Findings,
    outcome: Outcomes,
    seen: Seen,
    start: Option<logic::Start>,
    keeper: Option<snapshots::Keeper>,
}

/// What commands led to.
#[derive(Debug, Default)]
struct Outcomes {
    compared: Option<Arc<Compared>>,
    diffs: u64,
    /// The decisions about the last diff that were written to a baseline last.
    saved: Option<BTreeMap<usize, Decision>>,
    /// Name of the replay that opening files together led to.
    unasked: Option<String>,
    /// A command that replaces a file, to be given if a person agrees.
    in_the_way: Option<Command>,
    /// Changes of a person that end with the window.
    edits: Edits,
    accepted: Option<Accepted>,
    sent: VecDeque<Sent>,
    policy_mode: PolicyMode,
    trusts_native: bool,
    compile_deadline: Option<Duration>,
    loads_failed: u64,
    frames_replayed: u64,
    /// Why the last recording could not start.
    cannot_record: Option<String>,
    snapshot_every: Option<Every>,
}

/// Changes by a person that are in no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edits {
    /// Of decisions about permissions, and of the mode.
    pub policy: u64,
    /// Of limits.
    pub limits: u64,
}

/// What the host said when it was last asked.
#[derive(Debug, Default)]
struct Seen {
    plugins: Vec<PluginStatus>,
    metrics: MetricsSnapshot,
    recording: Option<RecorderStatus>,
    version: Option<u64>,
    snapshot: Option<Instant>,
    /// When it was last said that events did not reach somebody.
    faults_said: Option<Instant>,
}

/// Everything a view may look at, and nothing it could change.
#[derive(Debug, Clone, Copy)]
pub struct ViewCtx<'a> {
    workbench: &'a Workbench,
}

impl Workbench {
    /// A workbench without plugins.
    ///
    /// # Errors
    ///
    /// If the host cannot start.
    pub fn new(options: WorkbenchOptions) -> anyhow::Result<Workbench> {
        let fanout = Arc::new(Fanout::new(findings::LIVE_CALLS));
        let waker = Arc::clone(&fanout.waker);
        let mut builder = Host::builder()
            .sink(Arc::clone(&fanout) as Arc<dyn glovebox_events::Sink>)
            .wake(move || waker.wake());
        if let Some(folder) = options.cache_folder {
            builder = builder.cache_folder(folder);
        }
        if let Some(consents) = options.consents {
            builder = builder.consents(consents);
        }
        builder = options.allow.into_iter().fold(builder, HostBuilder::allow);
        if let Some(folder) = options.scratch_folder {
            builder = builder.scratch_folder(folder);
        }
        Ok(Workbench {
            host: builder.build()?,
            jobs: Jobs::new(Arc::clone(&fanout.waker)),
            fanout,
            notices: Notices::default(),
            traces: Traces::default(),
            recordings_folder: options.recordings_folder,
            findings: findings::Findings::default(),
            outcome: Outcomes::default(),
            seen: Seen::default(),
            start: None,
            keeper: None,
        })
    }

    /// Calls `wake` whenever there is something new to show.
    pub fn connect(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.fanout.waker.connect(wake);
    }

    /// The host, for callers that need more than commands.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The read-only view.
    pub fn view(&self) -> ViewCtx<'_> {
        ViewCtx { workbench: self }
    }

    /// Takes in what happened since the last look. Call it once per painted frame; it never waits.
    ///
    /// Returns for how long nothing needs to be looked at again, unless the waker calls.
    pub fn look(&mut self) -> Option<Duration> {
        self.fanout.waker.looked();
        self.take_in_finished_work();
        self.take_in_reloads();
        self.say_faults();
        let version = self.fanout.store.lock().version();
        let changed = self.seen.version != Some(version);
        let age = self.seen.snapshot.map(|at| at.elapsed());
        let mut again = None;
        if changed || self.jobs.any() || self.seen.snapshot.is_none() {
            self.look_at_plugins();
            if age.is_none_or(|age| age >= SNAPSHOT_AGE) {
                self.seen.metrics = self.fanout.metrics.lock().snapshot();
                self.seen.snapshot = Some(Instant::now());
                self.seen.version = Some(version);
            } else {
                again = Some(SNAPSHOT_AGE);
            }
        }
        let looks_on = self.findings.look(version, &self.fanout, &self.seen.plugins);
        if let Some(fault) = self.findings.take_fault() {
            let text = format!("Not looked over by the rules: {fault}");
            self.notices.add(Level::Error, text);
        }
        if looks_on {
            again = again.or(Some(Duration::from_secs(1)));
        }
        let recording = self.fanout.recorder().map(|recorder| recorder.status());
        self.note_recording(recording.as_ref());
        self.seen.recording = recording;
        if self.seen.recording.is_some() {
            again = Some(SNAPSHOT_AGE);
        }
        again
    }

    /// Says what reloads led to that nobody asked for, so that nobody waits for them.
    fn take_in_reloads(&mut self) {
        for ReloadNews { plugin, generation, cause, result } in self.fanout.take_reloads() {
            // Whoever asked for a reload is told by the job that did it.
            let is_said = matches!(cause, ReloadCause::Requested | ReloadCause::RolledBack);
            let (level, text) = match &result {
                Ok(version) => (
                    Level::Success,
                    format!(
                        "{plugin} was reloaded ({cause}): generation {generation}, version {version}"
                    ),
                ),
                Err(reason) => (
                    Level::Error,
                    format!(
                        "{plugin} was not reloaded ({cause}), generation {generation} runs on: {reason}"
                    ),
                ),
            };
            if !is_said {
                self.notices.add(level, text);
            }
        }
    }

    /// Says which events did not reach whom because of a panic of ours, but not all the time.
    fn say_faults(&mut self) {
        if self.seen.faults_said.is_some_and(|at| at.elapsed() < FAULT_PAUSE) {
            return;
        }
        for fault in self.fanout.take_faults() {
            self.seen.faults_said = Some(Instant::now());
            self.notices.add(Level::Error, fault);
        }
    }

    /// Says once when a recording cannot go on, and once when it does again.
    fn note_recording(&mut self, now: Option<&RecorderStatus>) {
        let trouble = |status: Option<&RecorderStatus>| status?.trouble.clone();
        let (before, now) = (trouble(self.seen.recording.as_ref()), now.map(|now| &now.trouble));
        match (before, now) {
            (None, Some(Some(trouble))) => {
                let text = format!("Not recording: {trouble}; events are kept in memory meanwhile");
                self.notices.add(Level::Error, text);
            }
            (Some(_), Some(None)) => {
                self.notices.add(Level::Info, "Recording again".to_owned());
            }
            _ => {}
        }
    }

    /// A command that replaces a file which is in the way of the one that was given, once.
    pub fn take_in_the_way(&mut self) -> Option<Command> {
        self.outcome.in_the_way.take()
    }

    /// Asks the host again after a command that changed it. Says what new generations ask for that the
    /// ones before them had.
    fn look_at_plugins(&mut self) {
        let before = std::mem::replace(&mut self.seen.plugins, plugins_of(&self.host));
        let again = self.seen.plugins.iter().filter(|now| {
            let mut before = before.iter().filter(|one| one.instance == now.instance);
            before.any(|before| {
                let is_new = |asked| !before.asking().any(|known| known == asked);
                before.generation != now.generation && now.asking().any(is_new)
            })
        });
        let again: Vec<_> = again.map(|plugin| plugin.instance).collect();
        for instance in again {
            self.note_what_is_asked(instance);
        }
    }
}

/// All instances by the id of their plugin. Those that are loaded at the same time come in any
/// order, and neither the list nor a replay should depend on that.
fn plugins_of(host: &Host) -> Vec<PluginStatus> {
    let mut plugins = host.plugins();
    plugins.sort_by(|a, b| {
        let ids = a.manifest.plugin.id.cmp(&b.manifest.plugin.id);
        ids.then(a.instance.cmp(&b.instance))
    });
    plugins
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

    /// What an instance is called: its id, and its file if another one has that id, too.
    pub fn name_of(&self, plugin: &PluginStatus) -> String {
        let id = &plugin.manifest.plugin.id;
        match self.twin_name(plugin) {
            Some(name) => format!("{id} ({name})"),
            None => id.clone(),
        }
    }

    /// What tells an instance from another one of the same id: its file, else its version, with its
    /// number where these are the same; `None` if there is no other one.
    pub fn twin_name(&self, plugin: &PluginStatus) -> Option<String> {
        let id = &plugin.manifest.plugin.id;
        let is_twin = |other: &&PluginStatus| {
            other.instance != plugin.instance && other.manifest.plugin.id == *id
        };
        let name =
            |plugin: &PluginStatus| match plugin.path.as_ref().and_then(|path| path.file_name()) {
                Some(name) => name.to_string_lossy().into_owned(),
                None => plugin.manifest.plugin.version.to_string(),
            };
        let own = name(plugin);
        let mut twins = self.plugins().iter().filter(is_twin).peekable();
        twins.peek()?;
        Some(match twins.any(|twin| name(twin) == own) {
            true => format!("{own}, instance {}", plugin.instance.get()),
            false => own,
        })
    }

    /// The instance of a plugin id.
    pub fn plugin_by_id(&self, id: &str) -> Option<&'a PluginStatus> {
        let plugins = self.workbench.seen.plugins.iter();
        plugins.into_iter().find(|plugin| plugin.manifest.plugin.id == id)
    }

    /// Figures of what happens now, not older than a quarter of a second.
    pub fn metrics(&self) -> &'a MetricsSnapshot {
        &self.workbench.seen.metrics
    }

    /// Figures of a source; `None` for a trace that was not looked over yet.
    pub fn metrics_of(&self, source: Source) -> Option<&'a MetricsSnapshot> {
        match source {
            Source::Live => Some(self.metrics()),
            Source::Trace(id) => Some(&self.trace(id)?.figures.as_ref()?.metrics),
        }
    }

    /// What rules found in a source; `None` while a trace is being looked over. About what happens
    /// now it is about a second old.
    pub fn findings(&self, source: Source) -> Option<&'a Arc<Judgement>> {
        self.workbench.findings.of(source)
    }

    /// How severe findings are.
    pub fn severities(&self) -> &'a Severities {
        self.workbench.findings.severities()
    }

    /// Latency histogram of one generation in a source.
    pub fn latencies(
        &self,
        source: Source,
        plugin: &str,
        generation: u32,
    ) -> Option<LatencyCounts> {
        match source {
            Source::Live => self.workbench.fanout.latencies.lock().of(plugin, generation),
            Source::Trace(id) => self.trace(id)?.figures.as_ref()?.latencies.of(plugin, generation),
        }
    }

    /// What a source is called.
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
        self.read(Source::Live, |store| store.denials().len()).unwrap_or(0)
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

    /// Reads the frames of a source, briefly: plugins wait while the live ones are read.
    pub fn read<R>(&self, source: Source, read: impl FnOnce(&Store) -> R) -> Option<R> {
        match source {
            Source::Live => Some(read(&self.workbench.fanout.store.lock())),
            Source::Trace(id) => self.trace(id).map(|trace| read(&trace.store)),
        }
    }

    /// Reads the rows of a source, briefly: plugins wait while the live ones are read.
    pub fn rows<R>(&self, source: Source, read: impl FnOnce(Rows<'_>) -> R) -> Option<R> {
        match source {
            Source::Live => Some(read(Rows::Here(&self.workbench.fanout.store.lock()))),
            Source::Trace(id) => self.trace(id).map(|trace| read(trace.rows())),
        }
    }

    /// Reads the store with a row and its call. One in a file is asked for if it is not there; the
    /// window is woken when it is.
    pub fn read_row<R>(&self, row: RowRef, read: impl FnOnce(&Store) -> R) -> Option<R> {
        match self.pages(row.source) {
            Some(pages) => pages.read(row.row, |window| read(&window.window.store)),
            None => self.read(row.source, read),
        }
    }

    /// The rows of a source that is not held.
    pub fn pages(&self, source: Source) -> Option<&'a Pages> {
        match source {
            Source::Live => None,
            Source::Trace(id) => self.trace(id)?.pages.as_ref(),
        }
    }

    /// The search in a source that is not held.
    pub fn search(&self, source: Source) -> Option<&'a Search> {
        match source {
            Source::Live => None,
            Source::Trace(id) => self.trace(id)?.search.as_ref(),
        }
    }

    /// The first row of a call. One in a file is asked for if it is not known, and not known before
    /// the file was scanned.
    pub fn row_of(&self, source: Source, call: CallId) -> Option<RowId> {
        match self.pages(source) {
            Some(pages) => pages.row_of(call),
            None => self.read(source, |store| store.call(call)?.rows.first().copied()).flatten(),
        }
    }

    /// Work that is under way.
    pub fn jobs(&self) -> Vec<JobView> {
        self.workbench.jobs.views()
    }

    /// The replay that is under way.
    pub fn replay(&self) -> Option<JobView> {
        self.jobs().into_iter().find(|job| job.replay.is_some())
    }

    /// What happened to commands, oldest first.
    pub fn notices(&self) -> &'a VecDeque<Notice> {
        self.workbench.notices.all()
    }

    /// How the recording is doing.
    pub fn recording(&self) -> Option<&'a RecorderStatus> {
        self.workbench.seen.recording.as_ref()
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

    /// What is granted where nobody decided.
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

    /// Loads that failed.
    pub fn loads_failed(&self) -> u64 {
        self.workbench.outcome.loads_failed
    }

    /// Frames sent by replays.
    pub fn frames_replayed(&self) -> u64 {
        self.workbench.outcome.frames_replayed
    }

    /// True while anything is under way or waits for something that is.
    pub fn is_busy(&self) -> bool {
        self.workbench.jobs.any() || self.workbench.start.is_some()
    }

    /// True while anything is under way that decides what is shown first.
    pub fn is_starting(&self) -> bool {
        self.workbench.jobs.any_in_front() || self.workbench.start.is_some()
    }

    /// True if there is nothing to show yet.
    pub fn is_empty(&self) -> bool {
        self.plugins().is_empty()
            && self.traces().is_empty()
            && self.read(Source::Live, Store::is_empty).unwrap_or(true)
    }
}
