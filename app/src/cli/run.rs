//! `glovebox run`: a trace, through a pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_host::pipeline::{
    FrameTest, Pipeline, PipelineMetrics, Run as PipelineRun, Running, StageLatency, StageMetrics,
};
use glovebox_inspector::filter::{Filter, FrameFilter};
use glovebox_inspector::metrics::LatencySummary;
use glovebox_inspector::replay::{Pace, ReplayInput, ReplayPlan};
use serde_json::{Value as Json, json};

use super::dependencies::{Needed, Wanted};
use super::diff;
use super::error::{Exit, Problem};
use super::observe::Recorded;
use super::plugins::LoadArgs;
use super::replay::Stage;
use super::report::{Output, Report, count, count_of};
use super::surroundings::{Surroundings, SurroundingsArgs};
use super::timing;
use crate::workbench::replay::{ReplayControl, send_in_time};

/// Send the inputs of a trace through a pipeline, and count what becomes of them
///
/// All inputs go in, in the order of the trace, whichever plugin they were recorded for; --filter
/// chooses among them. What plugins depend on is loaded with them, and before them, if it is named
/// with --plugin or in the workspace. The exit code is 1 if a call fails or an input is stopped at a limit of the
/// pipeline, and 4 if a plugin crashes or has to be stopped.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The pipeline, a TOML file; that of the workspace, if it is left out
    pub pipeline: Option<PathBuf>,
    /// The trace with the inputs
    #[arg(long)]
    pub trace: PathBuf,
    /// Send only the inputs that match, e.g. 'kind:data size>1k'
    #[arg(long, value_name = "FILTER", value_parser = super::filter::parse)]
    pub filter: Option<Filter>,
    /// A plugin that stages name by its id: an artifact, a plugin.toml, or a folder with one; may
    /// be repeated. Other ids are those of plugins of the workspace
    #[arg(long = "plugin", value_name = "PLUGIN")]
    pub plugins: Vec<PathBuf>,
    /// Write what happens to a new trace
    #[arg(long, value_name = "OUT")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub surroundings: SurroundingsArgs,
    #[command(flatten)]
    pub output: Output,
}

/// What a run led to.
struct Found {
    pipeline: String,
    planned: usize,
    skipped: usize,
    metrics: PipelineMetrics,
    results: Results,
    /// True if a plugin crashed, or had to be stopped.
    crashed: bool,
    recorded: Option<Recorded>,
    took: Duration,
    /// Plugins that were loaded because others depend on them.
    along: Vec<String>,
    /// Dependencies that are not there.
    missing: Vec<String>,
}

/// What came out.
#[derive(Default)]
struct Results {
    /// Frames and bytes of each output, in the order of the file.
    outputs: Vec<(String, u64, u64)>,
    error_frames: u64,
    /// Why the first input was stopped that was.
    stopped: Option<String>,
}

impl Results {
    fn add(&mut self, run: PipelineRun) {
        self.error_frames += run.errors.len() as u64;
        for (position, output) in run.outputs.into_iter().enumerate() {
            if self.outputs.len() == position {
                self.outputs.push((output.stage.to_string(), 0, 0));
            }
            let (_, frames, bytes) = &mut self.outputs[position];
            *frames += output.frames.len() as u64;
            *bytes += output.frames.iter().map(|frame| frame.encoded_len() as u64).sum::<u64>();
        }
        if let (None, Some(stopped)) = (&self.stopped, run.stopped) {
            self.stopped = Some(stopped.to_string());
        }
    }
}

impl Run {
    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let path = self.pipeline.as_deref().or(surroundings.pipeline()).ok_or_else(|| {
            let remedy = "name its file, or use a workspace with `pipeline = \"…\"`";
            Problem::Usage(format!("there is no pipeline to run; {remedy}"))
        })?;
        let filter = self.filter.as_ref();
        let through = Through {
            pipeline: &Pipeline::read(path, &condition)?,
            path,
            trace: &self.trace,
            plugins: &self.plugins,
            load: &self.load,
            record: self.record.as_deref(),
            how: "sent through a pipeline",
            pace: Pace::Max,
            rounds: 1,
        };
        let plan = diff::read(&self.trace, |events| ReplayPlan::from_events(events, filter))?;
        through.run(&plan, surroundings)
    }
}

/// How inputs of a trace go through a pipeline; the verbs `run` and `replay` share it.
pub(super) struct Through<'a> {
    pub(super) pipeline: &'a Pipeline,
    /// Its file.
    pub(super) path: &'a Path,
    /// Where the inputs come from.
    pub(super) trace: &'a Path,
    /// Plugins that stages name by their id.
    pub(super) plugins: &'a [PathBuf],
    pub(super) load: &'a LoadArgs,
    /// The trace to write, if one is asked for.
    pub(super) record: Option<&'a Path>,
    /// How that trace was made, for people.
    pub(super) how: &'a str,
    pub(super) pace: Pace,
    /// How often all inputs are sent.
    pub(super) rounds: u32,
}

impl Through<'_> {
    pub(super) fn run(
        &self,
        plan: &ReplayPlan,
        surroundings: &Surroundings,
    ) -> Result<Report, Problem> {
        let needed = self.needed(surroundings)?;
        needed.say();
        let stage = Stage::set(needed.requests, Vec::new(), surroundings)?;
        let (trust, seed) = (self.load.trust_native, self.load.seed);
        let running = self.pipeline.start_with(&stage.host, move |request| {
            let request = request.trust_native(trust);
            match seed {
                Some(seed) => request.deterministic(seed),
                None => request,
            }
        });
        let running = running.wait()?;
        if let Some(path) = self.record {
            stage.record(path, running.instances(), self.trace, self.how)?;
        }
        let started = Instant::now();
        let mut results = Results::default();
        for _ in 0..self.rounds {
            let mut send = |input: &ReplayInput| results.add(running.send(&input.frame));
            // Nobody else holds the control, so that nobody cancels.
            send_in_time(plan, self.pace, &ReplayControl::default(), &mut send);
        }
        let found = Found {
            pipeline: name(self.pipeline, self.path),
            planned: plan.inputs.len() * self.rounds as usize,
            skipped: plan.skipped,
            took: started.elapsed(),
            metrics: running.metrics(),
            crashed: stage.counts().stopped > 0,
            recorded: None,
            along: needed.along,
            missing: needed.missing,
            results,
        };
        let recorded = self.finish(&stage, running, &found)?;
        let found = Found { recorded, ..found };
        Ok(Report::new(found.text(), found.json(self.trace), found.sentence(), found.exit()))
    }

    /// The plugins that are named, those of the workspace that stages name by their id, and what
    /// all of them depend on.
    fn needed(&self, surroundings: &Surroundings) -> Result<Needed, Problem> {
        let wanted = Wanted {
            names: self.plugins,
            ids: self.pipeline.plugins().collect(),
            files: self.pipeline.files().collect(),
        };
        wanted.find(self.load, surroundings)
    }

    /// Ends the pipeline and then the recording, so that the end is recorded too.
    fn finish(
        &self,
        stage: &Stage,
        running: Running,
        found: &Found,
    ) -> Result<Option<Recorded>, Problem> {
        drop(running);
        stage.finish_recording().map_err(|problem| problem.after(found.sentence()))
    }
}

/// The language of `when` is that of all other filters, as far as it is about frames.
pub(super) fn condition(text: &str) -> Result<Box<dyn FrameTest>, String> {
    let filter = FrameFilter::parse(text).map_err(|error| error.to_string())?;
    Ok(Box::new(move |frame: &glovebox_abi::Frame| filter.matches(frame)))
}

fn name(pipeline: &Pipeline, path: &Path) -> String {
    match pipeline.name() {
        "" => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        name => name.to_owned(),
    }
}

fn summary(latency: &StageLatency) -> LatencySummary {
    LatencySummary {
        count: latency.count,
        p50: latency.p50,
        p90: latency.p90,
        p99: latency.p99,
        p99_9: latency.p99_9,
        p99_99: latency.p99_99,
        max: latency.max,
    }
}

impl Found {
    fn sum(&self, figure: fn(&StageMetrics) -> u64) -> u64 {
        self.metrics.stages.iter().map(figure).sum()
    }

    fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for (name, count) in self.metrics.stages.iter().flat_map(|stage| &stage.outcomes) {
            *outcomes.entry(*name).or_default() += count;
        }
        outcomes
    }

    fn exit(&self) -> Exit {
        let failed = self.sum(StageMetrics::errors) + self.metrics.stopped > 0;
        match () {
            () if self.crashed => Exit::Crashed,
            () if failed || self.metrics.inputs == 0 => Exit::Different,
            () => Exit::Good,
        }
    }

    fn sentence(&self) -> String {
        let inputs = count(self.metrics.inputs, "frame");
        let stages = count_of(self.metrics.stages.len(), "stage");
        let calls = count(self.sum(|stage| stage.calls), "call");
        let took = show_duration(self.took);
        let mut text =
            format!("Ran {inputs} through {stages} of {} in {took}: {calls}", self.pipeline);
        match self.sum(StageMetrics::errors) {
            0 if self.metrics.inputs > 0 => text.push_str(", all completed"),
            0 => {}
            _ => {
                let parts = self.outcomes();
                let parts = parts.iter().map(|(name, count)| format!("{count} {name}"));
                text.push_str(&format!(" ({})", parts.collect::<Vec<_>>().join(", ")));
            }
        }
        let frames: u64 = self.results.outputs.iter().map(|(_, frames, _)| frames).sum();
        text.push_str(&format!("; {} came out", count(frames, "frame")));
        let mut add = |number: u64, one: &str, what: &str| {
            if number > 0 {
                text.push_str(&format!("; {} {what}", count(number, one)));
            }
        };
        add(self.sum(|stage| stage.dropped), "frame", "dropped after a failure");
        add(self.sum(|stage| stage.passed), "frame", "passed on after a failure");
        add(self.sum(|stage| stage.reloads), "reload", "after a failure");
        add(self.metrics.stopped, "input", "stopped at a limit of the pipeline");
        text
    }

    fn text(&self) -> String {
        let mut text = self.table();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {value}");
        };
        let metrics = &self.metrics;
        line(
            "inputs",
            format!(
                "{} of {} sent, {} taken by no stage, {} left out",
                metrics.inputs, self.planned, metrics.unclaimed, self.skipped
            ),
        );
        for (stage, frames, bytes) in &self.results.outputs {
            line("output", format!("{stage}: {}, {}", count(*frames, "frame"), show_size(*bytes)));
        }
        line("error frames", format!("{} that no stage took", self.results.error_frames));
        if let Some(stopped) = &self.results.stopped {
            line("stopped", format!("{}; the first: {stopped}", count(metrics.stopped, "input")));
        }
        line("duration", show_duration(self.took));
        if let Some(recorded) = &self.recorded {
            line("recorded", recorded.sentence());
        }
        text
    }

    /// One line for each stage, in columns as wide as they need to be.
    fn table(&self) -> String {
        let head = [
            "stage",
            "plugin",
            "in",
            "filtered",
            "out",
            "unclaimed",
            "errors",
            "passed",
            "dropped",
            "reloads",
            "p50",
            "p99",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.metrics.stages.iter().map(|stage| {
            [
                stage.stage.clone(),
                stage.plugin.clone(),
                stage.frames_in.to_string(),
                stage.filtered.to_string(),
                stage.frames_out.to_string(),
                stage.unclaimed.to_string(),
                stage.errors().to_string(),
                stage.passed.to_string(),
                (stage.dropped + stage.cut_off).to_string(),
                stage.reloads.to_string(),
                show_duration(stage.latency.p50),
                show_duration(stage.latency.p99),
            ]
        }));
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                // Names to the left, numbers to the right.
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self, trace: &Path) -> Json {
        let metrics = &self.metrics;
        json!({
            "pipeline": self.pipeline,
            "trace": trace,
            "inputs": {
                "planned": self.planned,
                "sent": metrics.inputs,
                "unclaimed": metrics.unclaimed,
                "filtered_out": self.skipped,
                "stopped": metrics.stopped,
            },
            "stages": metrics.stages.iter().map(stage_json).collect::<Vec<_>>(),
            "outputs": self.results.outputs.iter().map(|(stage, frames, bytes)| json!({
                "stage": stage,
                "frames": frames,
                "bytes": bytes,
            })).collect::<Vec<_>>(),
            "loaded_before": self.along,
            "dependencies_missing": self.missing,
            "error_frames": self.results.error_frames,
            "stopped": self.results.stopped,
            "calls": self.sum(|stage| stage.calls),
            "outcomes": self.outcomes(),
            "duration_ns": timing::nanos(self.took),
            "recorded": self.recorded.as_ref().map(Recorded::json),
        })
    }
}

fn stage_json(stage: &StageMetrics) -> Json {
    json!({
        "stage": stage.stage,
        "plugin": stage.plugin,
        "frames_in": stage.frames_in,
        "filtered": stage.filtered,
        "frames_out": stage.frames_out,
        "unclaimed": stage.unclaimed,
        "passed": stage.passed,
        "dropped": stage.dropped,
        "cut_off": stage.cut_off,
        "calls": stage.calls,
        "outcomes": stage.outcomes,
        "reloads": stage.reloads,
        "reloads_refused": stage.reloads_refused,
        "bytes_in": stage.bytes_in,
        "bytes_out": stage.bytes_out,
        "latency": timing::json(&summary(&stage.latency)),
    })
}
