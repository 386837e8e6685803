//! `glovebox watch`: reload, replay and compare on every change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use clap::Args;
use glovebox_events::{Event, ReloadCause, Sink, What};
use glovebox_host::{Allowance, Growth};
use glovebox_inspector::diff::Run;
use glovebox_inspector::replay::{Pace, ReplayPlan};
use serde_json::json;

use super::against::{Rules, Standard};
use super::asked::remedy;
use super::diff;
use super::error::{Exit, Problem};
use super::plugins::LoadArgs;
use super::replay::Stage;
use super::report::{Output, Report, count, say, to_stdout};
use super::surroundings::{Surroundings, SurroundingsArgs};
use super::waiting::wait;
use crate::ending::{is_asked, on_end};
use crate::workbench::Compared;

/// Reload a plugin whenever its file changes, replay a trace into it, and show what is different
///
/// Each replay starts with a fresh state. The first one is the baseline, unless --against names
/// another. Runs until it is interrupted, or for --changes.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// An artifact, a plugin.toml, or a folder with one
    pub plugin: PathBuf,
    /// The trace to replay
    #[arg(long)]
    pub trace: PathBuf,
    /// Compare with this run instead of the first replay
    #[arg(long, value_name = "BASELINE")]
    pub against: Option<PathBuf>,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    pub changes: Option<u64>,
    #[command(flatten)]
    pub rules: Rules,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub surroundings: SurroundingsArgs,
    #[command(flatten)]
    pub output: Output,
}

/// What came of a change.
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
        inputs.extend(self.surroundings.inputs());
        inputs
    }

    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let plan = diff::read(&self.trace, |events| ReplayPlan::from_events(events, None))?;
        let read = |path| Standard::read(path, &self.rules);
        let baseline = self.against.as_deref().map(read).transpose()?;
        let (sender, changes) = sync_channel(16);
        let ended = sender.clone();
        // If the queue is full, somebody looks before it is empty.
        let _waking = on_end(move || drop(ended.try_send(Change::Ended)));
        let reloads = Arc::new(Reloads(sender));
        let request = self.load.request(&self.plugin)?;
        let stage = Stage::set(vec![request], vec![reloads], surroundings)?;
        for id in &stage.instances {
            stage.host.watch(*id, true)?;
        }
        stage.keep_events();
        let first = stage.replay(&plan, Pace::Max);
        let run = Arc::new(Run::from_events("first replay", stage.events()?));
        let baseline = match baseline {
            Some(baseline) => {
                let compared = baseline.compare(run, &self.rules);
                to_stdout(&compared.diff().to_text())?;
                baseline
            }
            None => Standard::Run(run),
        };
        say(&format!("{}; watching {}", first.sentence(), self.plugin.display()));
        self.follow(&stage, &plan, &baseline, &changes)
    }

    fn follow(
        &self,
        stage: &Stage,
        plan: &ReplayPlan,
        baseline: &Standard,
        changes: &Receiver<Change>,
    ) -> Result<Report, Problem> {
        let (mut seen, mut different, mut refused) = (0u64, 0u64, 0u64);
        let wanted = self.changes.unwrap_or(u64::MAX);
        while seen < wanted && !is_asked() {
            // The sender lives as long as the host.
            let Ok(change) = changes.recv() else { break };
            if matches!(change, Change::Ended) {
                break;
            }
            seen += 1;
            match self.once(stage, plan, baseline, change)? {
                Some(compared) => different += u64::from(!compared.diff().is_same()),
                None => refused += 1,
            }
        }
        let sentence = format!(
            "Watched {}: {different} led to differences, {refused} refused",
            count(seen, "change")
        );
        let exit = if different + refused == 0 { Exit::Good } else { Exit::Different };
        let json = json!({ "changes": seen, "different": different, "refused": refused });
        Ok(Report::new(String::new(), json, sentence, exit))
    }

    /// Replays after one change; `None` if the new generation was refused.
    fn once(
        &self,
        stage: &Stage,
        plan: &ReplayPlan,
        baseline: &Standard,
        change: Change,
    ) -> Result<Option<Compared>, Problem> {
        if let Change::Refused(message) = change {
            say(&format!("Not reloaded: {message}"));
            say_growth(stage);
            return Ok(None);
        }
        let mut generation = 0;
        for id in &stage.instances {
            // What earlier replays left in its state would look like a change of behaviour.
            let reloading = stage.host.reload(*id, ReloadCause::Requested, false);
            match wait(&stage.host, reloading) {
                Ok(fresh) => generation = fresh,
                Err(error) => {
                    say(&format!("Not reloaded: {error}"));
                    say_growth(stage);
                    return Ok(None);
                }
            }
        }
        // Calls of the time between belong to no replay.
        drop(stage.events());
        let summary = stage.replay(plan, Pace::Max);
        let name = format!("generation {generation}");
        let run = Arc::new(Run::from_events(name.clone(), stage.events()?));
        let compared = baseline.compare(run, &self.rules);
        let diff = compared.diff();
        to_stdout(&diff.to_text())?;
        say(&format!("{name}: {}; {}", summary.sentence(), diff.summary()));
        Ok(Some(compared))
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
