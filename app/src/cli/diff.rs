//! `glovebox diff`: two traces, call by call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use glovebox_inspector::diff::Diff;
use glovebox_inspector::report::html;
use glovebox_inspector::report::junit::{self, Suite};
use serde_json::{Value as Json, json};

use super::against::{Against, Rules, Standard, told_about_nothing};
use super::error::{Exit, Problem};
use super::report::{Content, Files, Output, Report};
use super::trace_file::read_run;
use crate::workbench::refuse_inputs_only;

/// Rows written out as JSON; groups and counts tell about all.
const JSON_ROWS: usize = 10_000;

/// Compare two traces call by call, and name exactly what differs
///
/// The exit code is 1 if anything differs. Values inside JSON and CBOR are compared one by one, and
/// calls that differ in the same places form one group. These are not compared: results of `now`
/// and `random`; times, unless --slower is given; numbers of calls, instances and generations;
/// versions of plugins; and, with one plugin on each side, its id.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The reference: a trace or a baseline
    pub before: PathBuf,
    /// The trace to compare with it
    pub after: PathBuf,
    #[command(flatten)]
    pub rules: Rules,
    #[command(flatten)]
    pub reports: Reports,
    #[command(flatten)]
    pub output: Output,
}

/// Further reports about differences.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Reports {
    /// Write a JUnit report with one test case per call; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write a self-contained HTML page with groups, rows and latencies; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl Reports {
    /// A page about differences needs something to compare with.
    pub(super) fn check(&self, against: &Against, files: Files<'_>) -> Result<(), Problem> {
        if self.html.is_some() && !against.is_asked_for() {
            let remedy = "name what to compare with: --against <BASELINE>";
            return Err(Problem::Usage(format!("--html shows differences; {remedy}")));
        }
        self.check_files(files)
    }

    /// The files that are asked for.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Path> {
        [&self.junit, &self.html].into_iter().flatten().map(PathBuf::as_path)
    }

    fn check_files(&self, files: Files<'_>) -> Result<(), Problem> {
        files.check(self.junit.as_deref())?;
        files.check(self.html.as_deref())
    }

    /// Writes what was asked for: all of it as JUnit, and the first comparison as a page.
    pub(super) fn write(
        &self,
        suites: &[(String, Suite<'_>)],
        files: Files<'_>,
    ) -> Result<(), Problem> {
        if let Some(path) = &self.junit {
            let text = junit::of(suites).map_err(std::io::Error::other);
            files.write(path, Content::Text, &text.map_err(Problem::file("write", path))?)?;
        }
        let diff = suites.iter().find_map(|(_, suite)| match suite {
            Suite::Diff(diff) => Some(*diff),
            Suite::Run(_) => None,
        });
        match (&self.html, diff) {
            (Some(path), Some(diff)) => files.write(path, Content::Text, &html::of_diff(diff)),
            _ => Ok(()),
        }
    }
}

impl Compare {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        vec![&self.before, &self.after]
    }

    pub(super) fn run(&self) -> Result<Report, Problem> {
        let inputs = self.inputs();
        let files = Files { output: &self.output, inputs: &inputs };
        self.reports.check_files(files)?;
        // Reading takes far longer than comparing.
        let (standard, after) = std::thread::scope(|scope| {
            let after = scope.spawn(|| read_run(&self.after));
            (Standard::read(&self.before, &self.rules), after.join())
        });
        let after = after.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (standard, after) = (standard?, Arc::new(after?));
        refuse_inputs_only(standard.run(), &after)
            .map_err(|error| Problem::Usage(error.to_string()))?;
        let compared = standard.compare(after, &self.rules);
        let diff = compared.diff();
        let name = format!("{} and {}", self.before.display(), self.after.display());
        self.reports
            .write(&[(name, Suite::Diff(diff))], files)
            .map_err(|problem| problem.after(diff.summary()))?;
        let exit = if diff.is_same() { Exit::Good } else { Exit::Different };
        let about_nothing = self.rules.about_nothing(diff);
        let sentence = diff.summary() + &told_about_nothing(&about_nothing);
        let mut json = to_json(diff);
        json["rules_about_nothing"] = about_nothing.into();
        Ok(Report::new(diff.details(), json, sentence, exit))
    }
}

/// A diff for programs: groups, counts and rows.
pub(super) fn to_json(diff: &Diff) -> Json {
    let rows = diff.different().take(JSON_ROWS).filter_map(|at| diff.row(at));
    let different = diff.counts.different();
    let groups = diff.groups.iter().map(|group| {
        let mut json = json!(group);
        json["title"] = group.title().into();
        json
    });
    let latency = diff.latency.iter().map(|shift| {
        let mut json = json!(shift);
        json["significant"] = shift.is_significant().into();
        json
    });
    json!({
        "before": diff.before.name,
        "after": diff.after.name,
        "counts": diff.counts,
        "different": different,
        "groups": groups.collect::<Vec<_>>(),
        "latency": latency.collect::<Vec<_>>(),
        "differences": rows.collect::<Vec<_>>(),
        "differences_left_out": different.saturating_sub(JSON_ROWS),
        "events_left_out": { "before": diff.before.left_out, "after": diff.after.left_out },
    })
}
