//! The result of a replay, for people and programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use glovebox_abi::units::{show_duration, show_size};
use glovebox_inspector::findings::Judgement;
use glovebox_inspector::metrics::GenerationMetrics;
use serde_json::{Value as Json, json};

use super::super::against::Judged;
use super::super::error::Exit;
use super::super::observe::{Counts, Recorded};
use super::super::report::{count, one_line, shown};
use super::super::{diff, findings, plugins, timing};
use super::answers::AnsweredFound;
use super::start;
use super::targets::TargetsFound;
use crate::workbench::replay::ReplaySummary;
use crate::workbench::snapshots::SnapshotsTaken;
use crate::workbench::start::Started;

/// The result of a replay.
pub(super) struct Found {
    pub(super) summary: ReplaySummary,
    /// The answers of the trace, if it was asked for them.
    pub(super) answered: Option<AnsweredFound>,
    pub(super) skipped: usize,
    /// How the plugins got to a start in the middle.
    pub(super) started: Option<Started>,
    /// Counts of the snapshots that were asked for.
    pub(super) snapshots: Option<SnapshotsTaken>,
    /// How often the inputs were sent.
    pub(super) rounds: u32,
    pub(super) targets: TargetsFound,
    pub(super) counts: Counts,
    pub(super) recorded: Option<Recorded>,
    pub(super) judged: Option<Judged>,
    pub(super) judgement: Judgement,
    /// True if the findings alone make the exit code 1.
    pub(super) fails: bool,
}

/// Sums over all plugins and generations.
struct Totals {
    calls: u64,
    outcomes: BTreeMap<&'static str, u64>,
    frames: (u64, u64),
    bytes: (u64, u64),
    host_calls: u64,
    denials: u64,
    injected: u64,
    restarts: u64,
}

impl Totals {
    /// Calls that ended with anything but `completed`, those for emitted frames too.
    fn failures(&self) -> u64 {
        self.outcomes.iter().filter(|(name, _)| **name != "completed").map(|(_, count)| count).sum()
    }
}

impl Found {
    fn totals(&self) -> Totals {
        let sum = |figure: fn(&GenerationMetrics) -> u64| self.targets.figures().map(figure).sum();
        let mut outcomes = BTreeMap::new();
        for (name, count) in self.targets.figures().flat_map(|figures| &figures.outcomes) {
            *outcomes.entry(*name).or_default() += count;
        }
        Totals {
            calls: sum(|figures| figures.calls),
            outcomes,
            frames: (sum(|figures| figures.frames_in), sum(|figures| figures.frames_out)),
            bytes: (sum(|figures| figures.bytes_in), sum(|figures| figures.bytes_out)),
            host_calls: sum(GenerationMetrics::host_calls),
            denials: sum(GenerationMetrics::denials),
            injected: sum(GenerationMetrics::injected),
            restarts: sum(|figures| figures.restarts),
        }
    }

    fn dropped(&self) -> u64 {
        plugins::emitted_dropped(self.targets.statuses())
    }

    pub(super) fn exit(&self) -> Exit {
        let nothing_sent = self.summary.sent == 0 || self.summary.broken.is_some();
        match &self.judged {
            Some(judged)
                if judged.is_good()
                    && !nothing_sent
                    && !self.fails
                    && !self.targets.differ()
                    && self.dropped() == 0 =>
            {
                Exit::Good
            }
            _ if self.counts.stopped > 0 => Exit::Crashed,
            _ if self.summary.broken.is_some() => Exit::TraceUnreadable,
            Some(_) => Exit::Different,
            None if self.summary.failures() > 0 || self.totals().failures() > 0 => Exit::Different,
            None if self.dropped() > 0 => Exit::Different,
            None if nothing_sent || self.fails => Exit::Different,
            None if self.targets.differ() => Exit::Different,
            None if self.answered.as_ref().is_some_and(AnsweredFound::diverges) => Exit::Different,
            None => Exit::Good,
        }
    }

    pub(super) fn sentence(&self) -> String {
        let mut text = self.summary.sentence();
        let answers = self.counts.changed + self.counts.unchanged;
        if answers > 0 {
            let changed = self.counts.changed;
            let verb = if changed == 1 { "differs" } else { "differ" };
            text.push_str(&format!(
                "; {changed} of {} {verb} from the frame answered",
                count(answers, "answer")
            ));
        }
        text.push_str(&plugins::dropped_sentence(self.dropped()));
        let Totals { denials, injected, .. } = self.totals();
        if denials > 0 {
            text.push_str(&format!("; {} denied", count(denials, "host call")));
        }
        if injected > 0 {
            text.push_str(&format!("; {} injected", count(injected, "result")));
        }
        if let Some(answered) = &self.answered {
            text.push_str(&format!("; {}", answered.sentence()));
        }
        if let Some(judged) = &self.judged {
            text.push_str(&format!("; {}", judged.sentence()));
        }
        for sentence in self.targets.sentences() {
            text.push_str(&format!("; {sentence}"));
        }
        if let Some(found) = findings::sentence(&self.judgement) {
            text.push_str(&format!("; {found}"));
        }
        match self.totals().restarts {
            0 => {}
            restarts => text.push_str(&format!("; restarted {}", count(restarts, "time"))),
        }
        for stopped in self.targets.statuses().filter_map(plugins::stopped) {
            text.push_str(&format!("; {stopped}"));
        }
        text
    }

    pub(super) fn text(&self) -> String {
        let totals = self.totals();
        let mut text = self.judged.as_ref().map(Judged::text).unwrap_or_default();
        text.push_str(&self.targets.text());
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {}", one_line(&value));
        };
        for status in self.targets.statuses() {
            let about = &status.manifest.plugin;
            line("plugin", format!("{} {}, {}", about.id, about.version, status.binding));
        }
        for (name, told) in self.targets.lines() {
            line(&name, told);
        }
        if let Some(started) = &self.started {
            line("started at", started.line());
        }
        let summary = &self.summary;
        line(
            "inputs",
            format!(
                "{} sent, {} left to those that emit them, {} without a plugin, {} left out",
                summary.done - summary.unrouted - summary.emitted,
                summary.emitted,
                summary.unrouted,
                self.skipped
            ),
        );
        let outcomes = totals.outcomes.iter().map(|(name, count)| format!("{count} {name}"));
        let outcomes = outcomes.collect::<Vec<_>>().join(", ");
        line("calls", format!("{}: {outcomes}", totals.calls));
        line("frames", format!("{} in, {} out", totals.frames.0, totals.frames.1));
        let (bytes_in, bytes_out) = totals.bytes;
        line("bytes", format!("{} in, {} out", show_size(bytes_in), show_size(bytes_out)));
        let counts = &self.counts;
        line(
            "answers",
            format!(
                "{} the frame itself, {} different; {} without an answer; {} emitted, {} dropped",
                counts.unchanged,
                counts.changed,
                count(counts.silent, "call"),
                count(counts.emitted, "frame"),
                self.dropped()
            ),
        );
        let Totals { host_calls, denials, injected, .. } = totals;
        line("host calls", format!("{host_calls}, {denials} denied, {injected} injected"));
        for (name, told) in self.answered.iter().flat_map(AnsweredFound::lines) {
            line(name, told);
        }
        for ((plugin, permission), times) in &counts.denials {
            line("denied", format!("{plugin} {permission}: {}", count(*times, "time")));
        }
        line("log lines", counts.log_lines.to_string());
        line("restarts", totals.restarts.to_string());
        for (who, figures) in self.targets.named_figures() {
            let who = format!("{who} generation {}", figures.generation);
            line("latency", format!("{who}: {}", timing::long(&figures.latency)));
        }
        for (name, found) in findings::lines(&self.judgement) {
            line(name, found);
        }
        line("duration", show_duration(summary.took));
        if let Some(snapshots) = &self.snapshots {
            line("snapshots", snapshots.line());
        }
        if let Some(recorded) = &self.recorded {
            line("recorded", recorded.sentence());
        }
        text
    }

    pub(super) fn json(&self, trace: &Path) -> Json {
        let totals = self.totals();
        let counts = &self.counts;
        let mut json = json!({
            "trace": shown(trace),
            "plugins": self.targets.statuses().map(plugins::status_json).collect::<Vec<_>>(),
            "inputs": {
                "planned": self.summary.planned,
                "sent": self.summary.done - self.summary.unrouted - self.summary.emitted,
                "emitted": self.summary.emitted,
                "unrouted": self.summary.unrouted,
                "filtered_out": self.skipped,
                "rounds": self.rounds,
            },
            "started": self.started.as_ref().map(start::started_json),
            "snapshots": self.snapshots.as_ref().map(start::snapshots_json),
            "targets": self.targets.json(),
            "comparisons": self.targets.comparisons_json(),
            "calls": totals.calls,
            "outcomes": totals.outcomes,
            "frames_in": totals.frames.0,
            "frames_out": totals.frames.1,
            "bytes_in": totals.bytes.0,
            "bytes_out": totals.bytes.1,
            "answers": {
                "same_as_input": counts.unchanged,
                "different_from_input": counts.changed,
                "calls_without": counts.silent,
                "emitted": counts.emitted,
                "emitted_dropped": self.dropped(),
            },
            "host_calls": totals.host_calls,
            "denied": totals.denials,
            "injected": totals.injected,
            "denials": counts.denials.iter().map(|((plugin, permission), times)| json!({
                "plugin": **plugin,
                "permission": permission,
                "times": times,
            })).collect::<Vec<_>>(),
            "from_trace": self.answered.as_ref().map(AnsweredFound::json),
            "log_lines": counts.log_lines,
            "restarts": totals.restarts,
            "duration_ns": timing::nanos(self.summary.took),
            "latency": self.targets.latencies_json(),
            "recorded": self.recorded.as_ref().map(Recorded::json),
            "diff": self.judged.as_ref().map(|judged| diff::to_json(judged.compared.diff())),
            "baseline": self.judged.as_ref().map(Judged::json),
        });
        findings::add_to(&mut json, &self.judgement);
        json
    }
}
