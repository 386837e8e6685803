//! `glovebox watch`: build, reload, replay and compare on every change.

mod building;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use clap::Args;
use glovebox_events::{Event, LoadStage, NoteKind, ReloadCause, Sink, What};
use glovebox_host::{Allowance, Growth};
use glovebox_inspector::diff::Run;
use glovebox_inspector::replay::{Pace, ReplayPlan};
use serde_json::json;

use super::against::{Rules, Standard};
use super::asked::remedy;
use super::build::BuildArgs;
use super::error::{Exit, Problem};
use super::lines::{Lines, LinesArgs};
use super::plugins::PluginArgs;
use super::replay::{RoutingArgs, Stage};
use super::report::{Report, count, say, to_stdout};
use super::surroundings::Surroundings;
use super::trace_file;
use super::waiting::wait;
use crate::ending::{self, is_asked, on_end};
use crate::workbench::Compared;
use crate::workbench::replay::Routing;
use crate::workbench::takeovers::{Running, Takeover};
use building::Workshop;

/// A takeover after which no replay is made again: that would load what was gone back from.
const WENT_BACK: Takeover = Takeover::Reload(ReloadCause::RolledBack);

/// How often the watch itself is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reload a plugin whenever its file changes, replay a trace into it, and show the differences
///
/// With --build, PLUGIN is the folder of its source: the plugin is built at once, and whenever a
/// source changes, with one build at a time. Each replay starts with fresh state. The first replay is
/// the baseline, unless --against names another; with --build, that is a replay into the artifact of
/// the build before, if it is there. A change of the policy's or the mock's file applies it and leads to
/// a replay, too. The verb runs until you interrupt it, or until there were as
/// many changes as --changes says. On a terminal, `help` and Enter list what can be done with
/// generations meanwhile. The exit code is 1 if a change led to differences, or was refused.
#[derive(Debug, Args)]
// How it is built means nothing if it is not.
#[command(mut_group("BuildArgs", |how| how.requires("build")))]
pub(super) struct Watch {
    /// An artifact, a plugin.toml, or a folder with one; with --build, the folder of the source
    pub plugin: PathBuf,
    /// The trace to replay; it is read once, at the start
    #[arg(long)]
    pub trace: PathBuf,
    /// Build the plugin in the folder, as `glovebox build` does
    #[arg(long)]
    pub build: bool,
    #[command(flatten)]
    pub how: BuildArgs,
    /// Compare with this trace or baseline instead of the first replay
    #[arg(long, value_name = "BASELINE")]
    pub against: Option<PathBuf>,
    /// Stop after N changes; the build at the start is none
    #[arg(long, value_name = "N")]
    pub changes: Option<u64>,
    /// Stop after one comparison: with the build before, with --against, or with the answers in the
    /// trace, whichever there is
    #[arg(long, conflicts_with = "changes")]
    pub once: bool,
    #[command(flatten)]
    pub routing: RoutingArgs,
    #[command(flatten)]
    pub rules: Rules,
    #[command(flatten)]
    pub lines: LinesArgs,
    #[command(flatten)]
    pub with: PluginArgs,
}

/// The inputs of the replay after each change, and the standard that it is compared with.
struct Watched<'a> {
    stage: Stage,
    plan: ReplayPlan,
    baseline: Standard,
    surroundings: &'a Surroundings,
}

/// The result of the replay after a change.
enum Replayed {
    Compared(Compared),
    /// There is no new generation: it was not built, or refused.
    Refused,
    /// Another generation took over meanwhile. That may be a change of its own.
    Replaced {
        /// True if the replay is to be made again if it is none.
        again: bool,
    },
    /// A signal cancelled it, so that there is nothing to compare.
    Cancelled,
}

/// The outcome of a change.
enum Change {
    /// A new generation runs.
    Reloaded,
    /// It was refused, and why.
    Refused(String),
    /// It gave way to the one before, and why.
    WentBack(String),
    /// After something else was refused, the file is again what runs.
    Mended,
    /// Another policy or mock is in force.
    File,
    /// The file of either was changed, and cannot be read, as was said.
    FileRefused,
    /// The artifact was built.
    Built(Occasion),
    /// It was not, and why.
    NotBuilt(Occasion, String),
    /// There is none, but the replay after the last one was not of one version.
    Again,
    /// A signal asked for the end.
    Ended,
}

/// The occasion of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// The verb began.
    Start,
    /// A source changed.
    Change,
}

/// Tells of reloads; those that wait are few, and one more would say nothing new.
struct Reloads(SyncSender<Change>);

impl Sink for Reloads {
    fn record(&self, event: &Event) {
        let change = match &event.what {
            What::Reloaded { cause: ReloadCause::FileChanged, .. } => Change::Reloaded,
            What::ReloadFailed { cause: ReloadCause::FileChanged, message, .. } => {
                Change::Refused(message.clone())
            }
            // At any other stage a person's own way back was refused, which its line says.
            What::ReloadFailed {
                cause: ReloadCause::RolledBack,
                stage: LoadStage::Probe,
                message,
                ..
            } => Change::WentBack(message.clone()),
            What::Note { kind: NoteKind::Mended, .. } => Change::Mended,
            _ => return,
        };
        // A full queue holds a change that leads to the same replay.
        let _ = self.0.try_send(change);
    }
}

impl Watch {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        let mut inputs = vec![&*self.plugin, &*self.trace];
        inputs.extend(self.against.as_deref());
        inputs.extend(self.with.inputs());
        inputs
    }

    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let workshop = self
            .build
            .then(|| Workshop::new(&self.plugin, self.how.options(self.with.output.force)));
        let workshop = workshop.transpose()?;
        let plan = trace_file::read(&self.trace, |events| ReplayPlan::from_events(events, None))?;
        let read = |path| Standard::read(path, &self.rules)?.with_answers(path);
        let against = self.against.as_deref().map(read).transpose()?;
        // A replay into the build before is what the next one is compared with.
        let is_first = workshop.as_ref().is_none_or(|workshop| !workshop.artifact().is_file());
        let ends_at_once = self.once && is_first;
        let recorded = match &against {
            None if ends_at_once => Some(self.recorded_answers(workshop.as_ref())?),
            _ => None,
        };
        if let (Some(workshop), true) = (&workshop, is_first) {
            workshop.build(ending::flag()).map_err(Problem::Build)?;
        }
        let (sender, changes) = sync_channel(16);
        let ended = sender.clone();
        // If the queue is full, somebody looks before it is empty.
        let _waking = on_end(move || drop(ended.try_send(Change::Ended)));
        let reloads = Arc::new(Reloads(sender.clone()));
        let artifact = workshop.as_ref().map_or(&*self.plugin, Workshop::artifact);
        let request = self.with.load.request(artifact)?;
        let mut stage = Stage::set(vec![request], vec![reloads], surroundings)?;
        stage.route(self.routing.routing());
        surroundings.say_vain(&stage.host);
        stage.keep_events();
        let first = stage.replay(&plan, Pace::Max);
        let run = Arc::new(Run::from_events("first replay", stage.events()?));
        // The standard is made by one version: what changed meanwhile is noticed by the first look.
        for id in stage.instances.iter().filter(|_| workshop.is_none()) {
            stage.host.watch(*id)?;
        }
        let files = sender.clone();
        surroundings.watch_files(&stage.host, move |changed| {
            let change = changed.map_or_else(|_| Change::FileRefused, |()| Change::File);
            // A full queue holds a change that leads to the same replay.
            drop(files.try_send(change));
        });
        let recorded = recorded.map(|answers| answers_of(&answers, &run)).transpose()?;
        let baseline = match against.or(recorded) {
            Some(baseline) if first.cancelled => baseline,
            Some(baseline) => {
                let compared = baseline.compare(run, &self.rules);
                to_stdout(&compared.diff().to_text())?;
                if ends_at_once {
                    let mut counts = Counts { changes: 1, ..Counts::default() };
                    counts.different += u64::from(!compared.diff().is_same());
                    return Ok(counts.report());
                }
                baseline
            }
            None => Standard::Run(run),
        };
        let goes_on = if self.once { "building" } else { "watching" };
        say(&format!("{}; {goes_on} {}", first.sentence(), self.plugin.display()));
        let watched = Watched { stage, plan, baseline, surroundings };
        let _building = workshop.map(|workshop| workshop.open(sender));
        let _lines = Lines::listen(&watched.stage.host, &self.lines);
        self.follow(&watched, &changes)
    }

    /// The calls in the trace that have an outcome.
    fn recorded_answers(&self, workshop: Option<&Workshop>) -> Result<Run, Problem> {
        let run = trace_file::read_run(&self.trace)?;
        let plugins = run.plugins().len();
        if plugins > 1 && self.routing.routing() == Routing::Everything {
            return Err(Problem::Usage(format!(
                "there is nothing to compare with: of the {plugins} plugins in {}, none answered the inputs of \
                 the others, which --all-inputs sends; name --against",
                self.trace.display()
            )));
        }
        let answered = run.iter().filter(|call| call.outcome.is_some());
        let answered = Run::from_calls(run.name.clone(), answered);
        if answered.is_empty() {
            let trace = self.trace.display();
            return Err(Problem::Usage(match workshop {
                Some(workshop) => format!(
                    "there is nothing to compare with: no build before at {}, and no answers in \
                     {trace}; run `glovebox build` before the change, or name --against",
                    workshop.artifact().display()
                ),
                None => format!(
                    "there is nothing to compare with: no answers in {trace}; name --against"
                ),
            }));
        }
        Ok(answered)
    }

    fn follow(&self, watched: &Watched<'_>, changes: &Receiver<Change>) -> Result<Report, Problem> {
        let mut counts = Counts::default();
        let wanted = if self.once { 1 } else { self.changes.unwrap_or(u64::MAX) };
        let mut said = BTreeSet::new();
        let (mut at_start, mut again) = (false, false);
        while counts.changes < wanted && !is_asked() {
            let change = match changes.recv_timeout(LOOK_EVERY) {
                Ok(Change::Ended) => break,
                Ok(change) => change,
                Err(RecvTimeoutError::Timeout) => {
                    say_news(&watched.stage, &mut said);
                    if !again {
                        continue;
                    }
                    Change::Again
                }
                // The sender lives as long as the host.
                Err(RecvTimeoutError::Disconnected) => break,
            };
            at_start = match change {
                Change::Built(occasion) | Change::NotBuilt(occasion, _) => {
                    occasion == Occasion::Start
                }
                Change::Again => at_start,
                _ => false,
            };
            match self.replay(watched, change)? {
                Replayed::Compared(compared) => {
                    again = false;
                    counts.different += u64::from(!compared.diff().is_same());
                }
                Replayed::Refused => counts.refused += 1,
                Replayed::Replaced { again: is_wanted } => {
                    again = is_wanted;
                    continue;
                }
                Replayed::Cancelled => break,
            }
            // Nobody made that change while this verb ran, unless it is all that was asked for.
            counts.changes += u64::from(self.once || !at_start);
        }
        Ok(counts.report())
    }

    /// Replays after one change.
    fn replay(&self, watched: &Watched<'_>, change: Change) -> Result<Replayed, Problem> {
        let Watched { stage, plan, baseline, surroundings } = watched;
        match change {
            Change::Reloaded | Change::File | Change::Built(_) | Change::Again => {}
            Change::FileRefused => return Ok(Replayed::Refused),
            Change::Mended => say("Mended: the file is again what runs"),
            Change::Ended => return Ok(Replayed::Cancelled),
            Change::Refused(message) => {
                say(&format!("Not reloaded: {message}"));
                say_growth(stage);
                return Ok(Replayed::Refused);
            }
            Change::WentBack(message) => {
                say(&format!("Gone back: {message}"));
                return Ok(Replayed::Refused);
            }
            Change::NotBuilt(_, message) => {
                // The compiler said all of it.
                say(&format!("Not built: {}", message.lines().next().unwrap_or_default()));
                return Ok(Replayed::Refused);
            }
        }
        let mut generation = 0;
        for id in &stage.instances {
            // State left by earlier replays would look like a change of behaviour.
            let reloading = stage.host.reload_cold(*id);
            match wait(&stage.host, reloading) {
                Ok(fresh) => generation = fresh,
                Err(_) if is_asked() => return Ok(Replayed::Cancelled),
                Err(error) => {
                    say(&format!("Not reloaded: {error}"));
                    say_growth(stage);
                    return Ok(Replayed::Refused);
                }
            }
        }
        // The sentence at the end is about what runs then.
        surroundings.asked().settle(&stage.host);
        // Calls of the time between belong to no replay.
        drop(stage.events());
        let before = Running::of(&stage.statuses());
        let summary = stage.replay(plan, Pace::Max);
        if summary.cancelled {
            return Ok(Replayed::Cancelled);
        }
        let name = format!("generation {generation}");
        let now = Running::of(&stage.statuses());
        let events = stage.events();
        let kept = events.as_deref().unwrap_or_default();
        if let Some(takeover) = before.replaced(kept, &now) {
            say(&format!("{name} was replaced during its replay, which is compared with nothing"));
            return Ok(Replayed::Replaced { again: takeover != WENT_BACK });
        }
        let run = Arc::new(Run::from_events(name.clone(), events?));
        let compared = baseline.compare(run, &self.rules);
        let diff = compared.diff();
        to_stdout(&diff.details())?;
        say(&format!("{name}: {}; {}", summary.sentence(), diff.summary()));
        Ok(Replayed::Compared(compared))
    }
}

/// The calls among recorded ones that are of the plugins of a run.
///
/// # Errors
///
/// If there are none.
fn answers_of(recorded: &Run, run: &Run) -> Result<Standard, Problem> {
    let own = recorded.iter().filter(|call| run.plugins().contains(&call.plugin));
    let own = Run::from_calls(recorded.name.clone(), own);
    if own.is_empty() {
        let plugins: Vec<&str> = run.plugins().iter().map(|plugin| &**plugin).collect();
        return Err(Problem::Usage(format!(
            "there is nothing to compare with: no answers of {} in {}; name --against",
            plugins.join(", "),
            recorded.name
        )));
    }
    Ok(Standard::Run(Arc::new(own)))
}

/// The changes so far.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    changes: u64,
    different: u64,
    refused: u64,
}

impl Counts {
    fn report(self) -> Report {
        let Counts { changes, different, refused } = self;
        let sentence = format!(
            "Watched {}: {different} led to differences, {refused} refused",
            count(changes, "change")
        );
        let exit = if different + refused == 0 { Exit::Good } else { Exit::Different };
        let json = json!({ "changes": changes, "different": different, "refused": refused });
        Report::new(String::new(), json, sentence, exit)
    }
}

/// Says once why changes may be noticed late, and what reloads left behind.
fn say_news(stage: &Stage, said: &mut BTreeSet<String>) {
    for status in stage.statuses() {
        let id = &status.manifest.plugin.id;
        let notices = status.watch_notice.map(|notice| format!("Watching {id}: {notice}"));
        let left = status.remains.left_behind.iter();
        let left = left.map(|left| format!("Left behind by {id}: {left}"));
        for notice in notices.into_iter().chain(left).filter(|notice| said.insert(notice.clone())) {
            say(&notice);
        }
    }
}

/// Says how to allow what new generations wait for.
fn say_growth(stage: &Stage) {
    for status in stage.statuses() {
        if status.refused.as_ref().is_some_and(|refused| refused.older.is_some()) {
            say(
                "An older version waits: raise its version, or write `older = \"run\"` under [swap] of the policy",
            );
        }
        let growth = status.refused.iter().flat_map(|refused| &refused.waits_for);
        for Growth { permission, asks, .. } in growth {
            let asks: Vec<_> = asks.iter().map(Allowance::parameter).collect();
            let remedy = remedy(&status.manifest.plugin.id, *permission, &asks.join(", "), false);
            say(&format!("{permission} waits to be allowed: {remedy}"));
        }
    }
}
