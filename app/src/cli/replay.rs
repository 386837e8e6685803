//! `glovebox replay`: the inputs of a trace, sent again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::{Event, Sink};
use glovebox_host::{Host, InstanceId, LoadRequest, MetricsEndpoint, PluginStatus};
use glovebox_inspector::diff::Run;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::findings::{Judgement, LiveRecorder, PluginFacts};
use glovebox_inspector::metrics::{GenerationMetrics, LiveMetrics};
use glovebox_inspector::replay::{Pace, ReplayPlan};
use glovebox_inspector::trace::ParentRecord;
use serde_json::{Value as Json, json};

use super::against::{Against, Judged};
use super::diff::{self, Reports};
use super::error::{Exit, Problem};
use super::findings::{self, FindingsArgs};
use super::observe::{Capture, Counts, Recorded, Recording, Tally};
use super::plugins::{self, LoadArgs};
use super::report::{Output, Report, count, count_of};
use super::surroundings::{Surroundings, SurroundingsArgs};
use super::timing;
use crate::workbench::replay::{self, ReplayControl, ReplaySummary, Targets};

/// Send the inputs of a trace to plugins again, and count what comes of it
///
/// Inputs go to the plugin of the same id; with a single --plugin, and from a capture, to all of
/// them. The exit code is 1 if a call fails or the run differs from the baseline, and 4 if a
/// plugin crashes or has to be stopped. With --against only differences count, and what
/// --fail-on-findings names.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The trace
    pub trace: PathBuf,
    /// An artifact, a plugin.toml, a folder with one, or the id of a plugin of the workspace; may be
    /// repeated. Without it, all plugins of the workspace
    #[arg(long = "plugin", value_name = "PLUGIN")]
    pub plugins: Vec<PathBuf>,
    /// max: without waiting; real: as it was recorded; x10: ten times as fast as that
    #[arg(long, default_value = "max")]
    pub speed: Speed,
    /// Send only the inputs that match, e.g. 'kind:data size>1k'
    #[arg(long, value_name = "FILTER", value_parser = super::filter::parse)]
    pub filter: Option<Filter>,
    /// Write what happens to a new trace
    #[arg(long, value_name = "OUT")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub against: Against,
    #[command(flatten)]
    pub reports: Reports,
    /// How often to replay, each time into fresh copies; everything but findings is about the first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    #[command(flatten)]
    pub findings: FindingsArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub surroundings: SurroundingsArgs,
    #[command(flatten)]
    pub output: Output,
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

/// A host with everything that listens to a replay.
pub(super) struct Stage {
    pub(super) host: Host,
    pub(super) instances: Vec<InstanceId>,
    metrics: Arc<LiveMetrics>,
    tally: Arc<Tally>,
    capture: Arc<Capture>,
    recording: Arc<Recording>,
    /// Serves metrics as long as the stage stands.
    _endpoint: Option<MetricsEndpoint>,
}

impl Stage {
    /// Loads the plugins.
    pub(super) fn set(
        requests: Vec<LoadRequest>,
        more: Vec<Arc<dyn Sink>>,
        surroundings: &Surroundings,
    ) -> Result<Stage, Problem> {
        let (metrics, tally) = (Arc::<LiveMetrics>::default(), Arc::<Tally>::default());
        let (capture, recording) = (Arc::<Capture>::default(), Arc::<Recording>::default());
        // The file first: what happens is on its way there before anybody looks at it.
        let mut sinks: Vec<Arc<dyn Sink>> =
            vec![recording.clone(), metrics.clone(), tally.clone(), capture.clone()];
        sinks.extend(more);
        let host = plugins::host(sinks, surroundings)?;
        let endpoint = surroundings.serve_metrics(&host)?;
        let instances = requests.into_iter().enumerate().map(|(loaded, request)| {
            host.load(request).wait().map_err(|error| match loaded {
                0 => Problem::Load(error),
                loaded => {
                    Problem::Load(error).after(format!("Loaded {}", count_of(loaded, "plugin")))
                }
            })
        });
        let instances = instances.collect::<Result<_, _>>()?;
        Ok(Stage { host, instances, metrics, tally, capture, recording, _endpoint: endpoint })
    }

    pub(super) fn statuses(&self) -> Vec<PluginStatus> {
        self.instances.iter().filter_map(|id| self.host.plugin(*id)).collect()
    }

    /// Replays the plan on this thread.
    pub(super) fn replay(&self, plan: &ReplayPlan, pace: Pace) -> ReplaySummary {
        let targets = Targets::new(&self.host, &self.instances, plan);
        replay::replay(&self.host, &targets, plan, pace, &ReplayControl::default(), &mut |_| {})
    }

    /// Starts writing what happens to a new trace, which says which plugins it is about, and from
    /// which trace it was made: `how` is for people.
    pub(super) fn record(
        &self,
        path: &Path,
        instances: &[InstanceId],
        from: &Path,
        how: &str,
    ) -> Result<(), Problem> {
        let statuses = instances.iter().filter_map(|id| self.host.plugin(*id));
        let records: Vec<_> = statuses.map(|status| plugins::record_of(&status)).collect();
        let parent = ParentRecord { path: from.display().to_string(), how: how.to_owned() };
        self.recording.start(path, &records, Some(parent))
    }

    /// Closes the trace; `None` if there is none.
    pub(super) fn finish_recording(&self) -> Result<Option<Recorded>, Problem> {
        self.recording.finish()
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// Starts to keep what happens.
    pub(super) fn keep_events(&self) {
        self.capture.start();
    }

    /// What happened since the last time.
    pub(super) fn events(&self) -> Vec<Event> {
        self.capture.take()
    }
}

impl Replay {
    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let filter = self.filter.as_ref();
        let plan = diff::read(&self.trace, |events| ReplayPlan::from_events(events, filter))?;
        let requests = self.requests(surroundings)?;
        let standard = self.against.standard()?;
        if self.reports.html.is_some() && !self.against.is_asked_for() {
            let remedy = "name what to compare with: --against <BASELINE>";
            return Err(Problem::Usage(format!("--html shows differences; {remedy}")));
        }
        let record = Arc::<LiveRecorder>::default();
        if self.speed.0 == Pace::Max {
            record.lock().set_unpaced();
        }
        let stage = Stage::set(requests.clone(), vec![record.clone()], surroundings)?;
        for status in stage.statuses() {
            let facts = PluginFacts {
                digest: Some(status.digest.clone()),
                ..PluginFacts::of(&status.manifest)
            };
            record.lock().describe(&status.manifest.plugin.id, facts);
        }
        if standard.is_some() || self.reports.junit.is_some() {
            stage.keep_events();
        }
        if let Some(path) = &self.record {
            stage.record(path, &stage.instances, &self.trace, "replayed")?;
        }
        let summary = stage.replay(&plan, self.speed.0);
        let recorded =
            stage.finish_recording().map_err(|problem| problem.after(summary.sentence()))?;
        for _ in 1..self.runs {
            record.lock().next_run();
            Stage::set(requests.clone(), vec![record.clone()], surroundings)?
                .replay(&plan, self.speed.0);
        }
        let judgement = self.findings.judge(record.lock().record())?;
        let name = self.trace.display().to_string();
        let run = Arc::new(Run::from_events(format!("replay of {name}"), stage.events()));
        // A replay that sent nothing must not make everything look gone.
        let standard = standard.filter(|_| summary.sent > 0 || !self.against.decides());
        let judge = |standard| self.against.judge(&standard, run.clone());
        let judged = standard.map(judge).transpose();
        let judged = judged.map_err(|problem| problem.after(summary.sentence()))?;
        let found = Found {
            judged,
            generations: stage.metrics.lock().snapshot().generations,
            counts: stage.counts(),
            plugins: stage.statuses(),
            skipped: plan.skipped,
            summary,
            recorded,
            fails: self.findings.fails(&judgement),
            judgement,
        };
        let written = match &found.judged {
            Some(judged) => self.reports.write(&name, judged.compared.diff()),
            None => self.reports.write_run(&name, &run),
        };
        written.map_err(|problem| problem.after(found.summary.sentence()))?;
        Ok(Report::new(found.text(), found.json(&self.trace), found.sentence(), found.exit()))
    }
}

impl Replay {
    /// The plugins that are named, else those of the workspace.
    fn requests(&self, surroundings: &Surroundings) -> Result<Vec<LoadRequest>, Problem> {
        if !self.plugins.is_empty() {
            return surroundings.requests(&self.load, &self.plugins);
        }
        let plugins = surroundings.plugins()?.map(|found| found.plugins).unwrap_or_default();
        if plugins.is_empty() {
            let remedy = "name one with --plugin <PLUGIN>, or use a workspace that enables some";
            return Err(Problem::Usage(format!("there is no plugin to send to; {remedy}")));
        }
        plugins.into_iter().map(|plugin| self.load.over(plugin.request)).collect()
    }
}

/// What a replay led to.
struct Found {
    summary: ReplaySummary,
    skipped: usize,
    plugins: Vec<PluginStatus>,
    generations: Vec<GenerationMetrics>,
    counts: Counts,
    recorded: Option<Recorded>,
    judged: Option<Judged>,
    judgement: Judgement,
    /// True if the findings alone make the exit code 1.
    fails: bool,
}

/// Sums over all plugins and generations.
struct Totals {
    calls: u64,
    outcomes: BTreeMap<&'static str, u64>,
    frames: (u64, u64),
    bytes: (u64, u64),
    host_calls: u64,
    denials: u64,
    restarts: u64,
}

impl Found {
    fn totals(&self) -> Totals {
        let sum = |figure: fn(&GenerationMetrics) -> u64| self.generations.iter().map(figure).sum();
        let mut outcomes = BTreeMap::new();
        for (name, count) in self.generations.iter().flat_map(|figures| &figures.outcomes) {
            *outcomes.entry(*name).or_default() += count;
        }
        Totals {
            calls: sum(|figures| figures.calls),
            outcomes,
            frames: (sum(|figures| figures.frames_in), sum(|figures| figures.frames_out)),
            bytes: (sum(|figures| figures.bytes_in), sum(|figures| figures.bytes_out)),
            host_calls: sum(|figures| figures.host_calls),
            denials: sum(|figures| figures.denials),
            restarts: sum(|figures| figures.restarts),
        }
    }

    fn exit(&self) -> Exit {
        let nothing_sent = self.summary.sent == 0;
        match &self.judged {
            Some(judged) if judged.is_good() && !nothing_sent && !self.fails => Exit::Good,
            _ if self.counts.stopped > 0 => Exit::Crashed,
            Some(_) => Exit::Different,
            None if self.summary.failures() > 0 || nothing_sent || self.fails => Exit::Different,
            None => Exit::Good,
        }
    }

    fn sentence(&self) -> String {
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
        let denials = self.totals().denials;
        if denials > 0 {
            text.push_str(&format!("; {} denied", count(denials, "host call")));
        }
        if let Some(judged) = &self.judged {
            text.push_str(&format!("; {}", judged.sentence()));
        }
        if let Some(found) = findings::sentence(&self.judgement) {
            text.push_str(&format!("; {found}"));
        }
        text
    }

    fn text(&self) -> String {
        let totals = self.totals();
        let mut text = self.judged.as_ref().map(Judged::text).unwrap_or_default();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {value}");
        };
        for status in &self.plugins {
            let about = &status.manifest.plugin;
            line("plugin", format!("{} {}, {}", about.id, about.version, status.binding));
        }
        let summary = &self.summary;
        line(
            "inputs",
            format!(
                "{} sent, {} without a plugin, {} left out by the filter",
                summary.done - summary.unrouted,
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
                "{} the frame itself, {} different; {} without an answer; {} emitted",
                counts.unchanged,
                counts.changed,
                count(counts.silent, "call"),
                count(counts.emitted, "frame")
            ),
        );
        line("host calls", format!("{}, {} denied", totals.host_calls, totals.denials));
        for ((plugin, permission), times) in &counts.denials {
            line("denied", format!("{plugin} {permission}: {}", count(*times, "time")));
        }
        line("log lines", counts.log_lines.to_string());
        line("restarts", totals.restarts.to_string());
        for figures in &self.generations {
            let who = format!("{} generation {}", figures.plugin, figures.generation);
            line("latency", format!("{who}: {}", timing::long(&figures.latency)));
        }
        for (name, found) in findings::lines(&self.judgement) {
            line(name, found);
        }
        line("duration", show_duration(summary.took));
        if let Some(recorded) = &self.recorded {
            line("recorded", recorded.sentence());
        }
        text
    }

    fn json(&self, trace: &Path) -> Json {
        let totals = self.totals();
        let counts = &self.counts;
        let mut json = json!({
            "trace": trace,
            "plugins": self.plugins.iter().map(plugins::status_json).collect::<Vec<_>>(),
            "inputs": {
                "planned": self.summary.planned,
                "sent": self.summary.done - self.summary.unrouted,
                "unrouted": self.summary.unrouted,
                "filtered_out": self.skipped,
            },
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
            },
            "host_calls": totals.host_calls,
            "denied": totals.denials,
            "denials": counts.denials.iter().map(|((plugin, permission), times)| json!({
                "plugin": **plugin,
                "permission": permission,
                "times": times,
            })).collect::<Vec<_>>(),
            "log_lines": counts.log_lines,
            "restarts": totals.restarts,
            "duration_ns": timing::nanos(self.summary.took),
            "latency": self.generations.iter().map(|figures| {
                let mut json = timing::json(&figures.latency);
                json["plugin"] = (*figures.plugin).into();
                json["generation"] = figures.generation.into();
                json
            }).collect::<Vec<_>>(),
            "recorded": self.recorded.as_ref().map(Recorded::json),
            "diff": self.judged.as_ref().map(|judged| diff::to_json(judged.compared.diff())),
            "baseline": self.judged.as_ref().map(Judged::json),
        });
        findings::add_to(&mut json, &self.judgement);
        json
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
