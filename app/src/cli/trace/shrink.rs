//! `glovebox trace shrink`: the smallest trace that still fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use glovebox_abi::units::{parse_duration, show_duration};
use glovebox_events::Outcome;
use glovebox_host::LoadRequest;
use glovebox_inspector::diff::Run;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::replay::{Pace, ReplayInput, ReplayPlan};
use glovebox_inspector::shrink::{self, Effort, Progress, Shrunk, Stage as Part};
use glovebox_trace::{Replacing, TraceError};
use serde_json::json;

use super::super::against::{Rules, Standard};
use super::super::error::{Exit, Problem};
use super::super::plugins::PluginArgs;
use super::super::replay::Stage;
use super::super::report::{Files, Report, count_of, paths, say, shown};
use super::super::surroundings::Surroundings;
use super::super::trace_file;
use crate::ending::is_asked;

/// Find the smallest part of a trace whose replay still fails, and write it to a new trace
///
/// A replay fails if a call ends like the first call that did not complete. With --against, it
/// fails if calls differ in the same way as the largest group of differences. Inputs are left out
/// first, then parts of headers and payloads. Each attempt runs in fresh instances.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShrinkTrace {
    /// The trace
    pub trace: PathBuf,
    /// A plugin: an artifact, a plugin.toml, a folder with one, or the id of a plugin of the
    /// workspace. May be repeated
    #[arg(long = "plugin", value_name = "PLUGIN", required = true)]
    pub plugins: Vec<PathBuf>,
    /// The new trace, which records a replay of the result; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Start no new attempt after this time
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "TIME")]
    pub budget: Duration,
    /// Look for a call with this outcome instead, e.g. trapped or timed-out
    #[arg(long, value_name = "OUTCOME", value_parser = failure, conflicts_with = "against")]
    pub outcome: Option<String>,
    /// Look for a difference from this trace or baseline. Payloads then stay as they are, because
    /// the reference knows no others
    #[arg(long, value_name = "BASELINE")]
    pub against: Option<PathBuf>,
    /// Look for this group of differences; `replay --against` prints the names of groups
    #[arg(long, value_name = "GROUP", requires = "against")]
    pub group: Option<String>,
    /// Send only the inputs that match, e.g. 'kind:data size>1k'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<Filter>,
    #[command(flatten)]
    pub rules: Rules,
    #[command(flatten)]
    pub with: PluginArgs,
}

/// An outcome that is a failure.
fn failure(text: &str) -> Result<String, String> {
    let mut names = Outcome::NAMES.into_iter().filter(|name| *name != "completed");
    match names.clone().any(|name| name == text) {
        true => Ok(text.to_owned()),
        false => {
            let first = names.next().unwrap_or_default();
            let names = names.fold(first.to_owned(), |all, name| format!("{all}, {name}"));
            Err(format!("use one of {names}"))
        }
    }
}

/// The failure that an attempt must show.
enum Wanted {
    /// A call that ends like this.
    Ending(String),
    /// A group of differences, by its name.
    Difference(Box<Standard>, String),
}

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl ShrinkTrace {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        let mut inputs = paths(&self.plugins);
        inputs.push(&self.trace);
        inputs.extend(self.against.as_deref());
        inputs.extend(self.with.inputs());
        inputs
    }

    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        let surroundings = self.with.surroundings.read()?;
        let filter = self.filter.as_ref();
        let plan = trace_file::read(&self.trace, |events| ReplayPlan::from_events(events, filter))?;
        let attempt = Attempt {
            requests: surroundings.requests(&self.with.load, &self.plugins)?,
            surroundings: &surroundings,
        };
        let whole = Arc::new(attempt.run(&plan.inputs)?);
        if is_asked() {
            // A cancelled run is not the failure that is looked for.
            return Err(self.cancelled());
        }
        let (wanted, what) = self.wanted(&whole)?;
        let Some(wanted) = wanted else {
            let sentence = format!("Shrunk 0 frames: {what}");
            let json = json!({ "trace": shown(&self.trace), "failing": null });
            return Ok(Report::new(String::new(), json, sentence, Exit::Different));
        };
        say(&format!("Looking for the fewest of {} with: {what}", frames(plan.inputs.len())));
        let effort = Effort { budget: self.budget, payloads: matches!(wanted, Wanted::Ending(_)) };
        let started = Instant::now();
        let mut told = started;
        let mut tell = |now: Progress| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                say(&progress(&now, started.elapsed()));
            }
        };
        let mut fails = |inputs: &[ReplayInput]| {
            if is_asked() {
                return Err(self.cancelled());
            }
            Ok::<bool, Problem>(self.is_failure(&wanted, attempt.run(inputs)?))
        };
        let shrunk = shrink::shrink(&plan.inputs, effort, &mut fails, &mut tell)?;
        let Some(shrunk) = shrunk else {
            let sentence =
                format!("Shrunk 0 frames: the second replay did not fail as the first one: {what}");
            let json = json!({ "trace": shown(&self.trace), "failing": what, "steady": false });
            return Ok(Report::new(String::new(), json, sentence, Exit::Different));
        };
        self.finish(to, &attempt, &plan, &shrunk, &what, started.elapsed())
    }

    fn cancelled(&self) -> Problem {
        Problem::Trace(TraceError::Cancelled { path: self.trace.clone() })
    }

    /// The failure of the whole trace, and the same in words.
    fn wanted(&self, whole: &Arc<Run>) -> Result<(Option<Wanted>, String), Problem> {
        let Some(path) = &self.against else {
            let endings = (0..whole.len()).filter_map(|at| whole.outcome(at));
            let found = endings
                .filter(|outcome| !outcome.is_completed())
                .find(|outcome| self.outcome.as_deref().is_none_or(|name| name == outcome.name()));
            return Ok(match found {
                Some(outcome) => {
                    let ending = ending(outcome);
                    (Some(Wanted::Ending(ending.clone())), format!("a call that {ending}"))
                }
                None => {
                    let calls = count_of(whole.len(), "call");
                    let wanted = self.outcome.as_deref().unwrap_or("failed in any way");
                    (None, format!("none of {calls} {wanted}"))
                }
            });
        };
        let standard = Standard::read(path, &self.rules)?.with_answers(path)?;
        let compared = standard.compare(whole.clone(), &self.rules);
        let diff = compared.diff();
        let mut groups = diff.groups.iter();
        let group = match &self.group {
            Some(id) => groups.find(|group| group.id == *id),
            None => groups.next(),
        };
        Ok(match group {
            Some(group) => {
                let id = group.id.clone();
                let title = format!("group {id}, in which {}", group.title());
                (Some(Wanted::Difference(Box::new(standard), id)), title)
            }
            None => (None, format!("there is no such difference; {}", diff.summary())),
        })
    }

    fn is_failure(&self, wanted: &Wanted, run: Run) -> bool {
        match wanted {
            Wanted::Ending(wanted) => (0..run.len())
                .filter_map(|at| run.outcome(at))
                .any(|found| ending(found) == *wanted),
            Wanted::Difference(standard, id) => {
                let compared = standard.compare(Arc::new(run), &self.rules);
                compared.diff().groups.iter().any(|group| group.id == *id)
            }
        }
    }

    /// Replays what was found once more, into the new trace.
    fn finish(
        &self,
        to: Replacing<'_>,
        attempt: &Attempt<'_>,
        plan: &ReplayPlan,
        shrunk: &Shrunk,
        what: &str,
        took: Duration,
    ) -> Result<Report, Problem> {
        let (before, after) = (plan.inputs.len(), shrunk.inputs.len());
        let bytes =
            |inputs: &[ReplayInput]| inputs.iter().map(|input| input.frame.size()).sum::<usize>();
        let (bytes_before, bytes_after) = (bytes(&plan.inputs), bytes(&shrunk.inputs));
        let how = format!(
            "shrunk from {} of {bytes_before} bytes to {after} of {bytes_after} bytes: {what}",
            frames(before)
        );
        let stage = attempt.stage()?;
        stage.record(to, &stage.instances, &self.trace, &how)?;
        let smallest = ReplayPlan { inputs: shrunk.inputs.clone(), skipped: 0 };
        if stage.replay(&smallest, Pace::Max).cancelled {
            stage.discard_recording();
            return Err(self.cancelled());
        }
        let recorded = stage.finish_recording()?;
        let sentence = format!(
            "Shrunk {} to {after} and {bytes_before} bytes to {bytes_after} in {} and {}{}: {}",
            frames(before),
            count_of(shrunk.attempts, "attempt"),
            show_duration(took),
            match shrunk.complete {
                true => String::new(),
                false => "; the budget was used up, more could be left out".to_owned(),
            },
            self.out.display()
        );
        let json = json!({
            "trace": shown(&self.trace),
            "out": shown(&self.out),
            "failing": what,
            "steady": true,
            "frames_before": before,
            "frames": after,
            "bytes_before": bytes_before,
            "bytes": bytes_after,
            "attempts": shrunk.attempts,
            "complete": shrunk.complete,
            "duration_ns": u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            "recorded": recorded.as_ref().map(super::super::observe::Recorded::json),
        });
        let report = Report::new(format!("{}\n", self.out.display()), json, sentence, Exit::Good);
        Ok(report.with_loss(recorded.as_ref()))
    }
}

/// How to try some inputs.
struct Attempt<'a> {
    requests: Vec<LoadRequest>,
    surroundings: &'a Surroundings,
}

impl Attempt<'_> {
    /// Fresh instances in a host of their own.
    fn stage(&self) -> Result<Stage, Problem> {
        Stage::set(self.requests.clone(), Vec::new(), self.surroundings)
    }

    fn run(&self, inputs: &[ReplayInput]) -> Result<Run, Problem> {
        let stage = self.stage()?;
        stage.keep_events();
        let plan = ReplayPlan { inputs: inputs.to_vec(), skipped: 0 };
        stage.replay(&plan, Pace::Max);
        Ok(Run::from_events("attempt", stage.events()?))
    }
}

/// How a call ended, without what differs from call to call.
fn ending(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { code, .. } => format!("failed with code {code}"),
        Outcome::Trapped { code, .. } => format!("trapped with {code}"),
        Outcome::LimitExceeded { limit, .. } => format!("exceeded its limit of {limit}"),
        Outcome::TimedOut { .. } => "timed out".to_owned(),
        Outcome::Crashed { cause, .. } => format!("crashed with {cause}"),
        Outcome::Completed | Outcome::Cancelled | Outcome::Refused { .. } => {
            format!("was {}", outcome.name())
        }
    }
}

fn progress(now: &Progress, elapsed: Duration) -> String {
    let part = match now.stage {
        Part::Frames => "inputs",
        Part::Payloads => "payloads",
    };
    format!(
        "{}: {}, leaving out {part}: {} of {} bytes left",
        show_duration(elapsed),
        count_of(now.attempts, "attempt"),
        frames(now.frames),
        now.bytes
    )
}

fn frames(count: usize) -> String {
    count_of(count, "frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_that_fail_are_read() {
        fn check(text: &str, expected: bool) {
            assert_eq!(failure(text).is_ok(), expected, "{text}");
        }
        check("trapped", true);
        check("timed-out", true);
        check("completed", false);
        check("trap", false);
    }
}
