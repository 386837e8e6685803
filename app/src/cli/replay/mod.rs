//! `glovebox replay`: the inputs of a trace, sent again.

mod answers;
mod found;
mod routing;
mod selection;
mod source;
mod stage;
mod start;
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use glovebox_host::LoadRequest;
use glovebox_inspector::diff::Run;
use glovebox_inspector::findings::{LiveRecord, PluginFacts};
use glovebox_inspector::replay::{Inputs, Pace, ReplayPlan};
use glovebox_inspector::report::junit::Suite;
use glovebox_pipeline::Pipeline;
use glovebox_trace::{Replacing, instance_name};

use super::against::Against;
use super::diff::Reports;
use super::error::Problem;
use super::findings::FindingsArgs;
use super::plugins::PluginArgs;
use super::report::{Files, Report, count, paths};
use super::run;
use super::surroundings::Surroundings;
use super::trace_file;
use crate::ending::is_asked;
use crate::workbench::record_of;
use crate::workbench::replay::{ReplaySummary, Routing};
use crate::workbench::snapshots::{Snapshots, SnapshotsTaken};
use crate::workbench::start::Started;
use answers::AnswersArgs;
pub(super) use answers::{AnsweredFound, StageAnswers};
use found::Found;
pub(super) use routing::RoutingArgs;
use selection::Selection;
use source::Source;
pub(super) use stage::Stage;
use start::StartArgs;
use targets::TargetsFound;

/// Send the inputs of a trace to plugins again, and count the results
///
/// Each input goes to the plugin that it was recorded for, by its id. If the trace has inputs of none
/// of the plugins, as a capture has, or with --all-inputs, each input goes to every plugin. Several versions or tiers of one plugin, each named with --plugin, get the same
/// inputs: the first is compared with each of the others, and with --against. A frame that one of
/// the plugins emitted to another is not sent, because the plugin emits it again. The exit code is
/// 1 if a call fails, if the run differs from the baseline, or if one version differs from the
/// first. It is 4 if a plugin crashes or has to be stopped. With --against, only differences and
/// --fail-on-findings count. Without it, host calls that diverge from the answering trace count
/// too.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The trace
    pub trace: PathBuf,
    /// A plugin: an artifact, a plugin.toml, a folder with one, or the id of a plugin of the
    /// workspace. May be repeated. The default is all plugins of the workspace
    #[arg(long = "plugin", value_name = "PLUGIN")]
    pub plugins: Vec<PathBuf>,
    /// A name for the plugin at the same place among those of --plugin, in what is told about it. May be
    /// repeated
    #[arg(long = "name", value_name = "NAME", requires = "plugins", conflicts_with = "pipeline")]
    pub names: Vec<String>,
    /// Send the inputs through this pipeline file instead, as `glovebox run` does. --plugin then
    /// names plugins that the stages refer to by id. --against compares the calls of the stages, as
    /// --record writes them. With --answers trace, each call is answered like the recorded call of
    /// the same plugin with the same frame
    #[arg(long, value_name = "FILE")]
    pub pipeline: Option<PathBuf>,
    /// max: without waiting; real: at the recorded speed; x10: at ten times the recorded speed
    #[arg(long, default_value = "max")]
    pub speed: Speed,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub routing: RoutingArgs,
    #[command(flatten)]
    pub start: StartArgs,
    #[command(flatten)]
    pub answers: AnswersArgs,
    /// Record the run in a new trace, including the loading of the plugins
    #[arg(long, value_name = "OUT")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub against: Against,
    #[command(flatten)]
    pub reports: Reports,
    /// Replay N times, each time into fresh instances. Findings cover all runs, everything else the
    /// first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    #[command(flatten)]
    pub findings: FindingsArgs,
    #[command(flatten)]
    pub with: PluginArgs,
}

/// How fast, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed(Pace);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        let factor = || text.strip_prefix('x')?.parse::<f64>().ok();
        match text {
            "max" => Ok(Speed(Pace::Max)),
            "real" => Ok(Speed(Pace::Original)),
            _ => match factor().filter(|factor| factor.is_finite() && *factor > 0.0) {
                Some(factor) => Ok(Speed(Pace::Times(factor))),
                None => Err("use max, real, or a factor such as x10 or x0.5".to_owned()),
            },
        }
    }
}

impl Replay {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        let mut inputs = paths(&self.plugins);
        inputs.push(&self.trace);
        inputs.extend(self.pipeline.as_deref());
        inputs.extend(self.against.against.as_deref());
        inputs.extend(self.with.inputs());
        inputs
    }

    /// The files that it writes besides its report.
    pub(super) fn outputs(&self) -> Vec<&Path> {
        self.record.as_deref().into_iter().chain(self.reports.outputs()).collect()
    }

    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        if let Some(path) = &self.pipeline {
            return self.run_pipeline(path, surroundings);
        }
        self.check_names()?;
        let missing = self.answers.missing(surroundings)?;
        let source = self.source()?;
        let requests = self.requests(surroundings)?;
        let against = self.against.against.as_deref();
        let standard = self.against.standard()?;
        let cut = |standard| source.cut(standard, &self.trace, against);
        let standard = standard.map(cut).transpose()?;
        let inputs = self.inputs();
        let files = Files { output: &self.with.output, inputs: &inputs };
        self.reports.check(&self.against, files)?;
        let record = Arc::<LiveRecord>::default();
        if self.speed.0 == Pace::Max {
            record.lock().set_unpaced();
        }
        let set = |out: Option<Replacing<'_>>| -> Result<Stage, Problem> {
            let mut stage = Stage::empty(vec![record.clone()], surroundings)?;
            stage.route(self.routing.routing());
            // From the first load on: what services say there is needed to replay the new trace.
            if let Some(out) = out {
                stage.start_recording(out, &self.trace, self.how(&source))?;
            }
            let mut requests = requests.clone();
            if let Some(recorded) = &source.recorded {
                let (answered, answers) = answers::answered(requests, recorded, &missing);
                stage.answer_with(answers);
                requests = answered;
            }
            stage.load(requests)?;
            surroundings.say_vain(&stage.host);
            Ok(stage)
        };
        let out = self.record.as_deref().map(|path| files.new_trace(path)).transpose()?;
        let stage = set(out)?;
        let statuses = stage.statuses();
        for status in &statuses {
            let facts = PluginFacts {
                digest: Some(status.digest.clone()),
                ..PluginFacts::of(&status.manifest)
            };
            let (id, instance) = (&status.manifest.plugin.id, status.instance.get());
            record.lock().describe_instance(id, instance, facts);
        }
        let started = self.go_to_start(&source, &stage);
        let started = started.inspect_err(|_| stage.discard_recording())?;
        let compares = targets::are_comparable(&statuses);
        if standard.is_some() || self.reports.junit.is_some() || compares {
            stage.keep_events();
        }
        let (summary, snapshots) = self.send(&source.plan, &stage);
        let trace =
            stage.finish_recording().map_err(|problem| problem.after(summary.sentence()))?;
        let answered = source
            .recorded
            .as_ref()
            .map(|recorded| AnsweredFound::new(&self.answers, recorded, stage.answers()));
        for _ in (1..self.runs).take_while(|_| !is_asked()) {
            record.lock().next_run();
            let again = set(None).and_then(|stage| {
                self.go_to_start(&source, &stage)?;
                self.send(&source.plan, &stage);
                Ok(())
            });
            // A run that a signal cancels does not fail.
            again.or_else(|problem| if is_asked() { Ok(()) } else { Err(problem) })?;
        }
        let records: Vec<_> = stage.statuses().iter().map(record_of).collect();
        let judgement = self.findings.judge(record.lock().record())?;
        let judgement =
            judgement.named(|plugin, instance| instance_name(&records, plugin, instance));
        let name = self.trace.display().to_string();
        let options = self.against.rules.options();
        let named = stage.targets(&self.names);
        let (targets, events) = TargetsFound::new(named, stage.events()?, &options);
        let run = Arc::new(Run::from_events(format!("replay of {name}"), events));
        // A replay that sent nothing, or was ended, must not make everything look gone.
        let is_whole = summary.sent > 0 && !summary.cancelled;
        let standard = standard.filter(|_| is_whole || !self.against.decides());
        let judge = |standard| self.against.judge(&standard, run.clone(), &source.trace);
        let judged = standard.map(judge).transpose();
        let judged = judged.map_err(|problem| problem.after(summary.sentence()))?;
        let found = Found {
            judged,
            targets,
            counts: stage.counts(),
            rounds: self.selection.rounds,
            skipped: source.plan.skipped(),
            started,
            snapshots,
            summary,
            answered,
            recorded: trace,
            fails: self.findings.fails(&judgement),
            judgement,
        };
        let first = match &found.judged {
            Some(judged) => Suite::Diff(judged.compared.diff()),
            None => Suite::Run(&run),
        };
        let compared = found.targets.comparisons();
        let compared = compared.map(|(name, diff)| (name, Suite::Diff(diff)));
        let suites: Vec<_> = std::iter::once((name, first)).chain(compared).collect();
        let written = self.reports.write(&suites, files);
        written.map_err(|problem| problem.after(found.summary.sentence()))?;
        let (text, json) = (found.text(), found.json(&self.trace));
        let report = Report::new(text, json, found.sentence(), found.exit());
        Ok(report.with_loss(found.recorded.as_ref()))
    }
}

impl Replay {
    fn source(&self) -> Result<Source, Problem> {
        Source::read(&self.trace, &self.selection, &self.start, &self.answers, &self.against)
    }

    /// Refuses names that tell nothing apart.
    fn check_names(&self) -> Result<(), Problem> {
        let (names, plugins) = (self.names.len(), self.plugins.len());
        if names > plugins {
            return Err(Problem::Usage(format!(
                "{names} names are given with --name for {}; name each plugin once at most",
                count(plugins as u64, "plugin")
            )));
        }
        let mut seen = BTreeSet::new();
        match self.names.iter().find(|name| name.trim().is_empty() || !seen.insert(*name)) {
            None => Ok(()),
            Some(name) => Err(Problem::Usage(format!(
                "--name {name:?} tells nothing apart; give each plugin a name of its own"
            ))),
        }
    }

    /// Sends the inputs through a pipeline.
    fn run_pipeline(&self, path: &Path, surroundings: &Surroundings) -> Result<Report, Problem> {
        self.refuse_with_pipeline()?;
        let missing = self.answers.missing(surroundings)?;
        let pipeline = Pipeline::read(path, &run::condition)?;
        let source = self.source()?;
        let answers = match source.recorded {
            None => None,
            Some(recorded) => {
                let whole =
                    trace_file::read(&self.trace, |events| ReplayPlan::from_events(events, None))?;
                let arguments = self.answers.clone();
                Some(Arc::new(StageAnswers::new(arguments, recorded, missing, whole.inputs)))
            }
        };
        let plan = source.plan;
        let through = run::Through {
            pipeline: &pipeline,
            path,
            trace: &self.trace,
            plugins: &self.plugins,
            load: &self.with.load,
            record: self.record.as_deref(),
            how: &format!("sent through a pipeline{}", self.selection.how(&plan)),
            pace: self.speed.0,
            rounds: self.selection.rounds,
            answers,
            lines: None,
            // Runs are compared, and a change would be the difference.
            follows_file: false,
            source: &source.trace,
            against: &self.against,
            reports: &self.reports,
            files: Files { output: &self.with.output, inputs: &self.inputs() },
        };
        through.run(&plan, surroundings)
    }

    /// Refuses arguments that make no sense with a pipeline.
    fn refuse_with_pipeline(&self) -> Result<(), Problem> {
        let refused = if self.runs > 1 {
            "--runs looks for findings, and a pipeline has none; repeat the command, each time with fresh copies"
        } else if self.start.from.is_some() || self.start.snapshot_every.is_some() {
            "--from and --snapshot-every are about the state between two inputs of one plugin, and an \
             input meets several in a pipeline; send all of the trace, or leave --pipeline out"
        } else if self.findings.is_asked_for() {
            "--fail-on-findings and --severity are about the calls of single plugins; record the run \
             with --record and look at it with `glovebox trace findings`"
        } else if self.routing.routing() == Routing::Everything {
            "all inputs enter a pipeline anyway; leave --all-inputs out"
        } else {
            return Ok(());
        };
        Err(Problem::Usage(format!("with --pipeline: {refused}")))
    }

    /// Brings the instances to where the replay starts, if that is in the middle.
    fn go_to_start(&self, source: &Source, stage: &Stage) -> Result<Option<Started>, Problem> {
        let start = source.start.as_ref();
        start.map(|(start, whole)| start::go_to(start, whole, stage)).transpose()
    }

    /// Sends the inputs as often as asked for, and takes snapshots meanwhile.
    fn send(&self, plan: &dyn Inputs, stage: &Stage) -> (ReplaySummary, Option<SnapshotsTaken>) {
        let mut snapshots = self.start.snapshot_every.map(|every| stage.snapshots(every));
        let targets = stage.targets_of(plan);
        let mut summary = ReplaySummary::default();
        for _ in 0..self.selection.rounds {
            summary.add(stage.send_with(&targets, plan, self.speed.0, &mut |_| {
                if let Some(snapshots) = &mut snapshots {
                    snapshots.sent(1);
                }
            }));
        }
        (summary, snapshots.map(Snapshots::finish))
    }

    /// How the new trace was made, for people.
    fn how(&self, source: &Source) -> String {
        let mut how = format!("replayed{}", self.selection.how(&source.plan));
        if let Some((start, _)) = &source.start {
            how.push_str(&format!(", from input {}", start.position));
        }
        if self.answers.are_recorded() {
            how.push_str(", host calls answered from the trace");
        }
        how
    }

    /// The plugins that are named, else those of the workspace.
    fn requests(&self, surroundings: &Surroundings) -> Result<Vec<LoadRequest>, Problem> {
        if !self.plugins.is_empty() {
            return surroundings.requests(&self.with.load, &self.plugins);
        }
        let plugins = surroundings.plugins()?.map(|found| found.plugins).unwrap_or_default();
        if plugins.is_empty() {
            let remedy = "name one with --plugin <PLUGIN>, or use a workspace that enables some";
            return Err(Problem::Usage(format!("there is no plugin to send to; {remedy}")));
        }
        plugins.into_iter().map(|plugin| self.with.load.over(plugin.request)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read() {
        fn check(text: &str, expected: Option<Pace>) {
            assert_eq!(text.parse::<Speed>().ok(), expected.map(Speed), "{text}");
        }
        check("max", Some(Pace::Max));
        check("real", Some(Pace::Original));
        check("x2.5", Some(Pace::Times(2.5)));
        check("x0", None);
        check("x-1", None);
        check("xinf", None);
        check("fast", None);
    }
}
