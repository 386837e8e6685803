//! The workbench itself: its parts, and the look at new events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::ReloadCause;
use glovebox_host::{
    Allowance, ConsentError, Consents, Host, HostBuilder, InstanceId, PluginStatus, PolicyMode,
};
use glovebox_inspector::baseline::Decision;
use glovebox_trace::RecorderStatus;

use super::accepted::{Accepted, Compared};
use super::accepting::Accepting;
use super::command::Command;
use super::comparing::Pair;
use super::doctor::Examination;
use super::faults::Faults;
use super::figures::Figures;
use super::findings::{Findings, LIVE_CALLS};
use super::finished::{Finished, Sent};
use super::jobs::{JobId, JobView, Jobs};
use super::notice::{Level, Notices};
use super::plugins::plugins_of;
use super::sink::{Fanout, ReloadNews, Reloads};
use super::snapshots::{Every, Keeper};
use super::source::Source;
use super::trace::{TraceId, Traces};
use super::usage::Usages;
use super::words::{count, file_name};
use crate::folders;

/// How old figures may be that are costly to collect.
const SNAPSHOT_AGE: Duration = Duration::from_millis(250);
/// How long after one report of panics the next one waits, which may be many.
const FAULT_PAUSE: Duration = Duration::from_secs(10);

/// The saved consents, in the user's own folder; `None` on a machine without a home.
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
    /// Permissions that are allowed before plugins are loaded.
    pub allow: Vec<Allowance>,
    /// The saved consents; without them nothing is saved.
    pub consents: Option<Arc<Consents>>,
    /// Where temporary folders go; the system's folder for them if absent.
    pub scratch_folder: Option<PathBuf>,
    /// Where frames are kept that crashed a process of a plugin twice; nowhere if absent.
    pub quarantine_folder: Option<PathBuf>,
}

/// The host, the inspector and everything between them.
#[derive(Debug)]
pub struct Workbench {
    pub(super) host: Host,
    pub(super) fanout: Arc<Fanout>,
    pub(super) jobs: Jobs<Finished>,
    pub(super) notices: Notices,
    pub(super) traces: Traces,
    pub(super) recordings_folder: Option<PathBuf>,
    pub(super) quarantine_folder: Option<PathBuf>,
    pub(super) findings: Findings,
    pub(super) outcome: Outcomes,
    pub(super) seen: Seen,
    /// Files that were given together and are not all there yet, the last given last.
    pub(super) starts: Vec<Start>,
    pub(super) started: u64,
    pub(super) keeper: Option<Keeper>,
}

/// The outcomes of commands.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) compared: Option<Arc<Compared>>,
    pub(super) diffs: u64,
    /// The decisions about the last diff that were written to a baseline last.
    pub(super) saved: Option<BTreeMap<usize, Decision>>,
    /// The trace of the replay that was started last.
    pub(super) replayed: Option<TraceId>,
    /// Name of the replay that opening files together led to.
    pub(super) unasked: Option<String>,
    /// The source that opening files led to, until somebody asks, and which files these were.
    pub(super) led_to: (u64, Option<Source>),
    /// A command that replaces a file, to be given if a person agrees.
    pub(super) in_the_way: Option<Command>,
    /// A plugin that runs if a person accepts this; why, in words.
    pub(super) not_accepted: Option<(PathBuf, Accepting, String)>,
    /// The notices about what plugins ask for, by number.
    pub(super) asked: Vec<(u64, InstanceId)>,
    /// Changes of a person that end with the window.
    pub(super) edits: Edits,
    pub(super) accepted: Option<Accepted>,
    pub(super) sent: VecDeque<Sent>,
    /// Two builds that get the same inputs.
    pub(super) pair: Option<Pair>,
    /// A build that is being loaded beside this instance, by its file.
    pub(super) awaited_build: Option<(InstanceId, PathBuf)>,
    pub(super) policy_mode: PolicyMode,
    pub(super) trusts_native: bool,
    pub(super) compile_deadline: Option<Duration>,
    pub(super) compile_memory: Option<u64>,
    pub(super) load_deadline: Option<Duration>,
    pub(super) loads_failed: u64,
    /// The last failure bundle that was opened, until it is shown.
    pub(super) bundle: Option<TraceId>,
    /// Files that were opened since the last look.
    pub(super) opened: Vec<PathBuf>,
    pub(super) frames_replayed: u64,
    /// How often live frames were saved.
    pub(super) live_saves: u64,
    /// When the recording began that runs.
    pub(super) recording_since: Option<Instant>,
    /// Why the last recording could not start.
    pub(super) cannot_record: Option<String>,
    pub(super) snapshot_every: Option<Every>,
    /// The last examination of this machine, and the job of the last that was asked for.
    pub(super) examination: Option<Box<Examination>>,
    pub(super) examining: Option<JobId>,
    /// The faults of each instance, as a person put them together.
    pub(super) faults: BTreeMap<InstanceId, Faults>,
    /// The last job of each instance that was to run elsewhere.
    pub(super) moves: BTreeMap<InstanceId, JobId>,
}

/// Files that are being loaded, to be joined in a replay once they are there.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) waiting: BTreeSet<JobId>,
    pub(super) instances: Vec<InstanceId>,
    /// By the job that opened them, which is the order in which they were named.
    pub(super) traces: BTreeMap<JobId, TraceId>,
    pub(super) replay: bool,
    pub(super) sends: Vec<Frame>,
}

/// Changes by a person that are in no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edits {
    /// Of decisions about permissions, and of the mode.
    pub policy: u64,
    /// Of limits.
    pub limits: u64,
}

/// How many live frames and other entries there are.
#[derive(Debug, Clone, Copy, Default)]
pub struct LiveCounts {
    /// Frames that are kept.
    pub frames: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Frames that are no longer kept.
    pub evicted: u64,
    /// Events that never arrived.
    pub missing: u64,
    /// Host calls that the policy denied.
    pub denied: usize,
    /// Frames that are kept and stand in no file and in no run of a replay.
    pub in_no_file: u64,
}

/// The state of the host at the last look.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) plugins: Vec<PluginStatus>,
    pub(super) figures: Figures,
    pub(super) usages: Usages,
    pub(super) live: LiveCounts,
    pub(super) jobs: Vec<JobView>,
    pub(super) recording: Option<RecorderStatus>,
    pub(super) version: Option<u64>,
    pub(super) snapshot: Option<Instant>,
    /// When it was last said that events did not reach somebody.
    pub(super) faults_said: Option<Instant>,
    /// The job that writes what is known of failures.
    pub(super) keeping: Option<JobId>,
}

impl Workbench {
    /// A workbench without plugins.
    ///
    /// # Errors
    ///
    /// If the host cannot start.
    pub fn new(options: WorkbenchOptions) -> anyhow::Result<Workbench> {
        let fanout = Arc::new(Fanout::new(LIVE_CALLS));
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
        if let Some(folder) = options.quarantine_folder.clone() {
            builder = builder.quarantine_folder(folder);
        }
        Ok(Workbench {
            host: builder.build()?,
            jobs: Jobs::new(Arc::clone(&fanout.waker)),
            fanout,
            notices: Notices::default(),
            traces: Traces::default(),
            recordings_folder: options.recordings_folder,
            quarantine_folder: options.quarantine_folder,
            findings: Findings::default(),
            outcome: Outcomes::default(),
            seen: Seen::default(),
            starts: Vec::new(),
            started: 0,
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

    /// Takes in what happened since the last look. Call it once per painted frame; it never waits.
    ///
    /// Returns for how long nothing needs to be looked at again, unless the waker calls.
    pub fn look(&mut self) -> Option<Duration> {
        self.fanout.waker.looked();
        let has_finished = self.take_in_finished_work();
        self.take_in_reloads();
        self.take_in_policy();
        self.take_in_mocks();
        self.keep_failures();
        self.say_faults();
        let version = self.count_live();
        let changed = self.seen.version != Some(version);
        let age = self.seen.snapshot.map(|at| at.elapsed());
        let mut again = None;
        // One that does not come back wakes nobody, nor does one that waits to be started again.
        let is_timed = |plugin: &PluginStatus| {
            plugin.call_under_way.is_some() || plugin.supervision.next_attempt.is_some()
        };
        let runs = self.seen.plugins.iter().any(is_timed);
        if changed || has_finished || self.jobs.any() || self.seen.snapshot.is_none() || runs {
            self.look_at_plugins();
            if age.is_none_or(|age| age >= SNAPSHOT_AGE) {
                // Plugins wait for the lock, and the figures take a while.
                let counting = self.fanout.metrics.lock().clone();
                self.seen.figures = counting.figures();
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
        self.seen.usages.take_in(Instant::now(), &self.seen.plugins);
        if self.seen.plugins.iter().any(is_timed) {
            again = Some(SNAPSHOT_AGE);
        }
        let recording = self.fanout.recorder().map(|recorder| recorder.status());
        self.note_recording(recording.as_ref());
        self.seen.recording = recording;
        self.look_at_jobs();
        if self.seen.recording.is_some() {
            again = Some(SNAPSHOT_AGE);
        }
        again
    }

    /// Counts what there is of live frames; gives the version of their store.
    pub(super) fn count_live(&mut self) -> u64 {
        let store = self.fanout.store.lock();
        let oldest = store.row(0).map(|row| row.id.0);
        let unkept = || oldest.map_or(0, |oldest| self.fanout.unkept.lock().since(oldest));
        self.seen.live = LiveCounts {
            frames: store.len(),
            bytes: store.bytes(),
            evicted: store.evicted(),
            missing: store.missing(),
            denied: store.denials().iter().filter(|denial| denial.is_of_policy()).count(),
            in_no_file: unkept(),
        };
        store.version()
    }

    /// Notes how work is doing; call it after commands, too.
    pub fn look_at_jobs(&mut self) {
        self.seen.jobs = self.jobs.views();
    }

    /// Says what reloads led to that nobody asked for, so that nobody waits for them.
    fn take_in_reloads(&mut self) {
        let Reloads { latest, left_out } = self.fanout.take_reloads();
        if left_out > 0 {
            let results = count(left_out, "result");
            let text = format!("{results} of reloads came too fast to be told; the trace has them");
            self.notices.add(Level::Warning, text);
        }
        for ReloadNews { plugin, instance, generation, cause, result } in latest {
            let plugin = self.view().instance_name(Source::Live, &plugin, instance);
            // The job that did a requested reload tells of it.
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

    /// Says what became of the policy when its file changed.
    fn take_in_policy(&mut self) {
        match self.fanout.take_policy() {
            None => return,
            Some(Ok(())) => {
                let policy = self.host.policy();
                let name = policy.file().map_or_else(|| "its file".to_owned(), file_name);
                let mut text = format!("{name} changed, and its rules are in force");
                let mode = self.host.policy_mode();
                if let Some(named) = policy.mode().filter(|named| *named != mode) {
                    text.push_str(&format!(
                        "; the mode stays {mode}, which was chosen, not {named}"
                    ));
                }
                self.notices.add(Level::Success, text);
            }
            Some(Err(reason)) => self.notices.add(Level::Error, reason),
        }
        self.outcome.policy_mode = self.host.policy_mode();
        self.look_at_plugins();
    }

    /// Says what became of mocks when their files changed.
    fn take_in_mocks(&mut self) {
        let changed = self.fanout.take_mocks();
        if changed.is_empty() {
            return;
        }
        for (file, changed) in changed {
            match changed {
                Ok(()) => {
                    let text =
                        format!("{} changed, and its answers are in force", file_name(&file));
                    self.notices.add(Level::Success, text);
                }
                Err(reason) => self.notices.add(Level::Error, reason),
            }
        }
        self.look_at_plugins();
    }

    /// Writes what is known of failures beside the frames that led to them, in the background, one after the
    /// other: those of one plugin may go to one file.
    fn keep_failures(&mut self) {
        if self.seen.keeping.is_some_and(|job| self.jobs.is_running(job)) {
            return;
        }
        let (failed, left_out) = self.fanout.failures.take();
        let Some(folder) = &self.quarantine_folder else { return };
        if !failed.is_empty() {
            let (host, folder) = (self.host.clone(), folder.clone());
            let job = self.jobs.start_background("Keeping what is known of failures", move |_| {
                super::work::keep_failures(&host, failed, &folder)
            });
            self.seen.keeping = Some(job);
        }
        if left_out > 0 {
            let text = format!("No failure bundle was written of {}", count(left_out, "failure"));
            self.notices.add(Level::Warning, text);
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

    /// A plugin that was not loaded, for want of what a person may accept, once.
    pub fn take_not_accepted(&mut self) -> Option<(PathBuf, Accepting, String)> {
        self.outcome.not_accepted.take()
    }

    /// The failure bundle that was opened last, once.
    pub fn take_bundle(&mut self) -> Option<TraceId> {
        self.outcome.bundle.take()
    }

    /// The source that opening files led to, once: the first trace that was named, or the live frames
    /// if it is replayed. The files that were opened last count.
    pub fn take_led_to(&mut self) -> Option<Source> {
        self.outcome.led_to.1.take()
    }

    /// Files that were opened, once.
    pub fn take_opened(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.outcome.opened)
    }

    /// Asks the host again after a command that changed it. Says what new generations ask for that the
    /// ones before them had.
    pub(super) fn look_at_plugins(&mut self) {
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
        self.look_at_what_is_asked();
    }
}
