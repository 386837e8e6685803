//! The result of a run through a pipeline, for people and programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use glovebox_abi::units::{show_duration, show_size};
use glovebox_pipeline::{Pipeline, PipelineMetrics, Run as PipelineRun, StageMetrics};
use serde_json::{Value as Json, json};

use super::super::against::Judged;
use super::super::error::Exit;
use super::super::observe::Recorded;
use super::super::replay::AnsweredFound;
use super::super::report::{count, count_of, one_line, shown};
use super::super::{diff, plugins, timing};

/// The result of a run.
pub(super) struct Found {
    pub(super) pipeline: String,
    pub(super) planned: usize,
    pub(super) skipped: usize,
    pub(super) metrics: PipelineMetrics,
    pub(super) results: Results,
    /// Frames that plugins emitted and that were dropped on the way to others.
    pub(super) emitted_dropped: u64,
    /// True if a plugin crashed, or had to be stopped.
    pub(super) crashed: bool,
    /// The plugins that were stopped for their failures, in words.
    pub(super) broken: Vec<String>,
    pub(super) recorded: Option<Recorded>,
    /// The answers of the trace, if it was asked for them.
    pub(super) answered: Option<AnsweredFound>,
    pub(super) judged: Option<Judged>,
    pub(super) took: Duration,
    /// Plugins that were loaded because others depend on them.
    pub(super) along: Vec<String>,
    /// Dependencies that are not there.
    pub(super) missing: Vec<String>,
}

/// The frames that came out.
#[derive(Default)]
pub(super) struct Results {
    /// Frames and bytes of each output, in the order of the file.
    outputs: Vec<(String, u64, u64)>,
    error_frames: u64,
    /// Why the first input was stopped that was.
    stopped: Option<String>,
}

impl Results {
    pub(super) fn add(&mut self, run: PipelineRun) {
        self.error_frames += run.errors.len() as u64;
        for output in run.outputs {
            let stage = &*output.stage;
            // There are few, and the pipeline may have changed since the last input.
            let known = self.outputs.iter().position(|(known, _, _)| known == stage);
            let position = known.unwrap_or_else(|| {
                self.outputs.push((stage.to_owned(), 0, 0));
                self.outputs.len() - 1
            });
            let (_, frames, bytes) = &mut self.outputs[position];
            *frames += output.frames.len() as u64;
            *bytes += output.frames.iter().map(|frame| frame.encoded_len() as u64).sum::<u64>();
        }
        if let (None, Some(stopped)) = (&self.stopped, run.stopped) {
            self.stopped = Some(stopped.to_string());
        }
    }
}

/// The name of a pipeline: its own, else that of its file.
pub(super) fn name(pipeline: &Pipeline, path: &Path) -> String {
    match pipeline.name() {
        "" => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        name => name.to_owned(),
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

    pub(super) fn exit(&self) -> Exit {
        let lost = self.metrics.stopped + self.emitted_dropped;
        let failed = self.sum(StageMetrics::errors) + lost > 0;
        let diverges = self.answered.as_ref().is_some_and(AnsweredFound::diverges);
        let is_accepted = self.judged.as_ref().is_some_and(Judged::is_good);
        match () {
            () if is_accepted && self.metrics.inputs > 0 && self.emitted_dropped == 0 => Exit::Good,
            () if self.crashed => Exit::Crashed,
            () if self.judged.is_some() || diverges => Exit::Different,
            () if failed || self.metrics.inputs == 0 => Exit::Different,
            () => Exit::Good,
        }
    }

    pub(super) fn sentence(&self) -> String {
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
        text.push_str(&plugins::dropped_sentence(self.emitted_dropped));
        for broken in &self.broken {
            text.push_str(&format!("; {broken}"));
        }
        if let Some(answered) = &self.answered {
            text.push_str(&format!("; {}", answered.sentence()));
        }
        if let Some(judged) = &self.judged {
            text.push_str(&format!("; {}", judged.sentence()));
        }
        text
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.judged.as_ref().map(Judged::text).unwrap_or_default();
        text.push_str(&self.table());
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {}", one_line(&value));
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
        for (name, told) in self.answered.iter().flat_map(AnsweredFound::lines) {
            line(name, told);
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
                stage.latency.show(stage.latency.p50),
                stage.latency.show(stage.latency.p99),
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
            text.push_str(one_line(&line).trim_end());
            text.push('\n');
        }
        text
    }

    pub(super) fn json(&self, trace: &Path) -> Json {
        let metrics = &self.metrics;
        json!({
            "pipeline": self.pipeline,
            "trace": shown(trace),
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
            "emitted_dropped": self.emitted_dropped,
            "stopped": self.results.stopped,
            "stopped_plugins": self.broken,
            "calls": self.sum(|stage| stage.calls),
            "outcomes": self.outcomes(),
            "duration_ns": timing::nanos(self.took),
            "recorded": self.recorded.as_ref().map(Recorded::json),
            "from_trace": self.answered.as_ref().map(AnsweredFound::json),
            "diff": self.judged.as_ref().map(|judged| diff::to_json(judged.compared.diff())),
            "baseline": self.judged.as_ref().map(Judged::json),
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
        "latency": timing::json(&stage.latency),
    })
}
