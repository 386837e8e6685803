//! `glovebox watch`: reload, replay and compare on every change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use clap::Args;
use glovebox_events::{Event, ReloadCause, Sink, What};
use glovebox_host::{Allowance, Growth};
use glovebox_inspector::diff::Run;
use glovebox_inspector::replay::{Pace, ReplayPlan};
use serde_json::json;

use super::against::{Rules, Standard};
use super::asked::remedy;
use super::error::{Exit, Problem};
use super::plugins::PluginArgs;
use super::replay::Stage;
use super::report::{Report, count, say, to_stdout};
use super::surroundings::Surroundings;
use super::trace_file;
use super::waiting::wait;
use crate::ending::{is_asked, on_end};
use crate::workbench::Compared;

/// How often the watch itself is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reload a plugin whenever its file changes, replay a trace into it, and show the differences
///
/// Each replay starts with fresh state. The first replay is the baseline, unless --against names
/// another. The verb runs until you interrupt it, or until there were as many changes as --changes
/// says.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// An artifact, a plugin.toml, or a folder with one
    pub plugin: PathBuf,
    /// The trace to replay
    #[arg(long)]
    pub trace: PathBuf,
    /// Compare with this trace or baseline instead of the first replay
    #[arg(long, value_name = "BASELINE")]
    pub against: Option<PathBuf>,
    /// Stop after N changes
    #[arg(long, value_name = "N")]
    pub changes: Option<u64>,
    #[command(flatten)]
    pub rules: Rules,
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
    /// The new generation was refused.
    Refused,
    /// A signal cancelled it, so that there is nothing to compare.
    Cancelled,
}

/// The outcome of a change.
enum Change {
    /// A new generation runs.
    Reloaded,
    /// It was refused, and why.
    Refused(String),
    /// A signal asked for the end.
    Ended,
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
        let plan = trace_file::read(&self.trace, |events| ReplayPlan::from_events(events, None))?;
        let read = |path| Standard::read(path, &self.rules);
        let baseline = self.against.as_deref().map(read).transpose()?;
        let (sender, changes) = sync_channel(16);
        let ended = sender.clone();
        // If the queue is full, somebody looks before it is empty.
        let _waking = on_end(move || drop(ended.try_send(Change::Ended)));
        let reloads = Arc::new(Reloads(sender));
        let request = self.with.load.request(&self.plugin)?;
        let stage = Stage::set(vec![request], vec![reloads], surroundings)?;
        surroundings.say_vain(&stage.host);
        for id in &stage.instances {
            stage.host.watch(*id)?;
        }
        stage.keep_events();
        let first = stage.replay(&plan, Pace::Max);
        let run = Arc::new(Run::from_events("first replay", stage.events()?));
        let baseline = match baseline {
            Some(baseline) if first.cancelled => baseline,
            Some(baseline) => {
                let compared = baseline.compare(run, &self.rules);
                to_stdout(&compared.diff().to_text())?;
                baseline
            }
            None => Standard::Run(run),
        };
        say(&format!("{}; watching {}", first.sentence(), self.plugin.display()));
        let watched = Watched { stage, plan, baseline, surroundings };
        self.follow(&watched, &changes)
    }

    fn follow(&self, watched: &Watched<'_>, changes: &Receiver<Change>) -> Result<Report, Problem> {
        let (mut seen, mut different, mut refused) = (0u64, 0u64, 0u64);
        let wanted = self.changes.unwrap_or(u64::MAX);
        let mut said = BTreeSet::new();
        while seen < wanted && !is_asked() {
            let change = match changes.recv_timeout(LOOK_EVERY) {
                Ok(Change::Ended) => break,
                Ok(change) => change,
                Err(RecvTimeoutError::Timeout) => {
                    say_late(&watched.stage, &mut said);
                    continue;
                }
                // The sender lives as long as the host.
                Err(RecvTimeoutError::Disconnected) => break,
            };
            match self.once(watched, change)? {
                Replayed::Compared(compared) => {
                    different += u64::from(!compared.diff().is_same());
                }
                Replayed::Refused => refused += 1,
                Replayed::Cancelled => break,
            }
            seen += 1;
        }
        let sentence = format!(
            "Watched {}: {different} led to differences, {refused} refused",
            count(seen, "change")
        );
        let exit = if different + refused == 0 { Exit::Good } else { Exit::Different };
        let json = json!({ "changes": seen, "different": different, "refused": refused });
        Ok(Report::new(String::new(), json, sentence, exit))
    }

    /// Replays after one change.
    fn once(&self, watched: &Watched<'_>, change: Change) -> Result<Replayed, Problem> {
        let Watched { stage, plan, baseline, surroundings } = watched;
        if let Change::Refused(message) = change {
            say(&format!("Not reloaded: {message}"));
            say_growth(stage);
            return Ok(Replayed::Refused);
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
        let summary = stage.replay(plan, Pace::Max);
        if summary.cancelled {
            return Ok(Replayed::Cancelled);
        }
        let name = format!("generation {generation}");
        let run = Arc::new(Run::from_events(name.clone(), stage.events()?));
        let compared = baseline.compare(run, &self.rules);
        let diff = compared.diff();
        to_stdout(&diff.details())?;
        say(&format!("{name}: {}; {}", summary.sentence(), diff.summary()));
        Ok(Replayed::Compared(compared))
    }
}

/// Says once why changes may be noticed late.
fn say_late(stage: &Stage, said: &mut BTreeSet<String>) {
    for status in stage.statuses() {
        let id = &status.manifest.plugin.id;
        let notices = status.watch_notice.map(|notice| format!("Watching {id}: {notice}"));
        for notice in notices.into_iter().filter(|notice| said.insert(notice.clone())) {
            say(&notice);
        }
    }
}

/// Says how to allow what new generations wait for.
fn say_growth(stage: &Stage) {
    for status in stage.statuses() {
        let growth = status.refused.iter().flat_map(|refused| &refused.waits_for);
        for Growth { permission, asks, .. } in growth {
            let asks: Vec<_> = asks.iter().map(Allowance::parameter).collect();
            let remedy = remedy(&status.manifest.plugin.id, *permission, &asks.join(", "));
            say(&format!("{permission} waits to be allowed: {remedy}"));
        }
    }
}
