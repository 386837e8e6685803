//! Compares a run with a trace or a baseline, by rules, and decides about differences.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use glovebox_events::CallId;
use glovebox_inspector::baseline::{Baseline, Decision, Review, SourceTrace};
use glovebox_inspector::diff::{self, Diff, DiffOptions, PathPattern, Run, Tolerance};
use serde_json::{Value as Json, json};

use super::error::Problem;
use super::report::{count_of, shown};
use super::trace_file::read_run;
use crate::workbench::Compared;

/// Rules that keep something from counting as a difference.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Rules {
    /// Do not compare this path, e.g. /header/time, /payload/*/id, /payload/**/*_at or /host; a key of
    /// CBOR that is no text is ~:1, a control character ~u{a}, as differences show them. May be repeated
    #[arg(long = "ignore", value_name = "PATH")]
    pub paths: Vec<PathPattern>,
    /// Treat numbers as equal up to this difference, which is absolute below 1 and relative above,
    /// e.g. 0.01 or /payload/price=0.01. May be repeated; the first one that matches a path counts
    #[arg(long = "tolerance", value_name = "[PATH=]X")]
    pub tolerances: Vec<Tolerance>,
    /// Treat a call as different if it takes more than FACTOR times as long and more than 1 ms.
    /// This applies to each plugin as a whole too
    #[arg(long, value_name = "FACTOR")]
    pub slower: Option<Factor>,
}

/// A factor above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Factor(f64);

impl std::str::FromStr for Factor {
    type Err = String;

    fn from_str(text: &str) -> Result<Factor, String> {
        let factor = text.trim_start_matches('x').parse().ok();
        let factor = factor.filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
        factor.map(Factor).ok_or_else(|| "write a factor above 0, e.g. 1.5".to_owned())
    }
}

/// Faster calls are never slower: what the machine does meanwhile takes longer.
const SLOWER_FLOOR: std::time::Duration = std::time::Duration::from_millis(1);

impl Rules {
    /// The rules that are about nothing in what is compared, as they stand on the command line.
    pub(super) fn about_nothing(&self, diff: &Diff) -> Vec<String> {
        let runs = [&*diff.before, &*diff.after];
        let has_calls = runs.iter().any(|run| !run.is_empty());
        match has_calls {
            true => diff::rules_about_nothing(&self.options(), &runs),
            false => Vec::new(),
        }
    }

    pub(super) fn options(&self) -> DiffOptions {
        DiffOptions {
            ignore: self.paths.clone(),
            tolerances: self.tolerances.clone(),
            slower_factor: self.slower.map(|factor| factor.0),
            slower_floor: SLOWER_FLOOR,
        }
    }
}

/// Rules that are about nothing, for the sentence.
pub(super) fn told_about_nothing(rules: &[String]) -> String {
    let told = rules.iter().map(|rule| format!("; `--{rule}` is about nothing that was compared"));
    told.collect()
}

/// The standard that a run is compared with.
#[derive(Debug)]
pub(super) enum Standard {
    /// Another run.
    Run(Arc<Run>),
    /// A file that a person accepted.
    Baseline(Box<Baseline>),
}

impl Standard {
    /// Reads a trace or a baseline; the rules of the command line join those of the file.
    pub(super) fn read(path: &Path, rules: &Rules) -> Result<Standard, Problem> {
        if !Baseline::is_one(path) {
            return Ok(Standard::Run(Arc::new(read_run(path)?)));
        }
        let mut baseline = Baseline::read(path)?;
        for pattern in &rules.paths {
            if !baseline.rules.ignore.contains(pattern) {
                baseline.rules.ignore.push(pattern.clone());
            }
        }
        // In front, since the first one about a path counts.
        baseline.rules.tolerances.retain(|known| !rules.tolerances.contains(known));
        baseline.rules.tolerances.splice(0..0, rules.tolerances.iter().cloned());
        Ok(Standard::Baseline(Box::new(baseline)))
    }

    /// The same, to compare a replay with: refuses inputs only, because all answers would be new.
    pub(super) fn with_answers(self, path: &Path) -> Result<Standard, Problem> {
        if self.run().is_of_inputs_only() {
            let remedy = "name the trace of a run, or make a baseline with `replay --accept`";
            let path = path.display();
            return Err(Problem::Usage(format!(
                "a replay answers, and this trace holds inputs only; {remedy}: {path}"
            )));
        }
        Ok(self)
    }

    /// The calls in it.
    pub(super) fn run(&self) -> &Run {
        match self {
            Standard::Run(run) => run,
            Standard::Baseline(baseline) => baseline.run(),
        }
    }

    /// Of a run, only these calls; a baseline stays whole.
    pub(super) fn only(self, wanted: impl Fn(CallId) -> bool) -> Standard {
        match self {
            Standard::Run(run) => {
                let calls = run.iter().filter(|call| wanted(call.id));
                Standard::Run(Arc::new(Run::from_calls(run.name.clone(), calls)))
            }
            Standard::Baseline(_) => self,
        }
    }

    pub(super) fn compare(&self, run: Arc<Run>, rules: &Rules) -> Compared {
        match self {
            Standard::Run(before) => {
                Compared::runs(diff::diff(before.clone(), run, &rules.options()))
            }
            Standard::Baseline(baseline) => {
                Compared::with_baseline(Review::of(Baseline::clone(baseline), &run))
            }
        }
    }
}

/// The standard to compare with, and the decisions.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Against {
    /// Compare with this trace or baseline. A baseline is a text file that --accept writes. It
    /// knows the trace it was made from, and warns if you replay another one
    #[arg(long, value_name = "BASELINE")]
    pub against: Option<PathBuf>,
    /// Compare without writing anything, for continuous integration. A missing baseline is an error
    #[arg(long, requires = "against", conflicts_with_all = ["accept", "reject"])]
    pub check: bool,
    /// Accept differences into the baseline: all, a group by its name, or a call such as #3 or
    /// redact#3. This makes a missing baseline. May be repeated
    #[arg(long, value_name = "all|GROUP|#CALL", num_args = 0..=1, default_missing_value = "all",
        requires = "against")]
    pub accept: Vec<Choice>,
    /// Mark differences as wrong in the baseline; the run still counts as different. This takes the
    /// same values as --accept, and wins where both name a call
    #[arg(long, value_name = "all|GROUP|#CALL", requires = "against")]
    pub reject: Vec<Choice>,
    #[command(flatten)]
    pub rules: Rules,
}

/// Some differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    All,
    Group(String),
    Call { plugin: Option<String>, number: u64 },
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        if text == "all" {
            return Ok(Choice::All);
        }
        if let Some((plugin, number)) = text.rsplit_once('#') {
            let plugin = (!plugin.is_empty()).then(|| plugin.to_owned());
            let number = number.parse().map_err(|_| "write a call as #3 or redact#3".to_owned())?;
            return Ok(Choice::Call { plugin, number });
        }
        match text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(Choice::Group(text.to_ascii_lowercase())),
            false => Err(format!(
                "`{text}` is not all, the name of a group such as 3f2a81c0, or a call such as #3"
            )),
        }
    }
}

impl Choice {
    /// True if it is about this entry.
    fn is_about(&self, diff: &Diff, at: usize) -> bool {
        let Some(entry) = diff.entries.get(at) else {
            return false;
        };
        match self {
            Choice::All => true,
            Choice::Group(id) => diff.group_of(entry).is_some_and(|group| group.id == *id),
            Choice::Call { plugin, number } => {
                let found = match entry.after {
                    Some(after) => diff.after.id(after as usize),
                    None => entry.before.and_then(|before| diff.before.id(before as usize)),
                };
                let of = diff.plugin(entry).map(|of| &**of);
                found.is_some_and(|found| found.0 == *number)
                    && plugin.as_deref().is_none_or(|plugin| Some(plugin) == of)
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Choice::All => "all".to_owned(),
            Choice::Group(id) => id.clone(),
            Choice::Call { plugin, number } => {
                format!("{}#{number}", plugin.as_deref().unwrap_or_default())
            }
        }
    }
}

/// How a run compares, and what was decided about it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) compared: Compared,
    /// Calls that were accepted and rejected now.
    accepted: usize,
    rejected: usize,
    /// Names of groups that were found wrong before.
    known: Vec<String>,
    written: Option<PathBuf>,
    /// Rules of the command line that are about nothing.
    about_nothing: Vec<String>,
    /// True if there was no baseline.
    made: bool,
}

impl Against {
    /// True if there is something to compare with, or to make.
    pub(super) fn is_asked_for(&self) -> bool {
        self.against.is_some()
    }

    /// True if the baseline may change.
    pub(super) fn decides(&self) -> bool {
        !self.accept.is_empty() || !self.reject.is_empty()
    }

    /// Reads what the run is to be compared with, before anything runs.
    pub(super) fn standard(&self) -> Result<Option<Standard>, Problem> {
        let Some(path) = &self.against else {
            return Ok(None);
        };
        if !path.exists() && !self.check && self.accept.contains(&Choice::All) {
            return Ok(Some(Standard::Baseline(Box::new(Baseline::of(
                &Run::default(),
                &self.rules.options(),
            )))));
        }
        if !path.exists() {
            let remedy = "make it with --accept, and without --check";
            let path = path.display();
            return Err(Problem::Usage(format!("there is no baseline yet; {remedy}: {path}")));
        }
        let standard = Standard::read(path, &self.rules)?;
        match &standard {
            Standard::Run(_) if self.decides() => Err(Problem::Usage(format!(
                "a trace cannot be changed; name a baseline, or a file that is not there yet: {}",
                path.display()
            ))),
            Standard::Baseline(_) if self.rules.slower.is_some() => Err(Problem::Usage(format!(
                "a baseline holds no times for --slower; name a trace: {}",
                path.display()
            ))),
            _ => standard.with_answers(path).map(Some),
        }
    }

    /// Compares, and writes what was decided.
    pub(super) fn judge(
        &self,
        standard: &Standard,
        run: Arc<Run>,
        trace: &SourceTrace,
    ) -> Result<Judged, Problem> {
        let compared = standard.compare(run, &self.rules).of_trace(trace.clone());
        let about_nothing = self.rules.about_nothing(compared.diff());
        let mut judged = Judged {
            compared,
            accepted: 0,
            rejected: 0,
            known: Vec::new(),
            written: None,
            about_nothing,
            made: false,
        };
        let (Some(review), Some(path)) = (judged.compared.review(), &self.against) else {
            return Ok(judged);
        };
        let diff = review.diff();
        let known = review.known_as_wrong().into_iter();
        judged.known = known.filter_map(|at| Some(diff.groups.get(at)?.id.clone())).collect();
        if !self.decides() {
            return Ok(judged);
        }
        let different: Vec<usize> = diff.different().collect();
        for choice in self.accept.iter().chain(&self.reject) {
            let is_some = different.iter().any(|at| choice.is_about(diff, *at));
            if !is_some && *choice != Choice::All {
                let groups: Vec<&str> = diff.groups.iter().map(|group| group.id.as_str()).collect();
                let there = match groups.is_empty() {
                    true => "nothing is different".to_owned(),
                    false => format!("groups are {}", groups.join(", ")),
                };
                return Err(Problem::Usage(format!(
                    "no difference is called {}; {there}",
                    choice.name()
                )));
            }
        }
        let decide = |at: usize| {
            let is_in = |choices: &[Choice]| choices.iter().any(|choice| choice.is_about(diff, at));
            // A choice that names one difference wins over `all`.
            let named = |choices: &[Choice]| {
                choices.iter().any(|choice| *choice != Choice::All && choice.is_about(diff, at))
            };
            match (is_in(&self.accept), is_in(&self.reject)) {
                (true, true) if named(&self.accept) && !named(&self.reject) => Decision::Accept,
                (_, true) => Decision::Reject,
                (true, false) => Decision::Accept,
                (false, false) => Decision::Skip,
            }
        };
        let decided = |wanted| different.iter().filter(|at| decide(**at) == wanted).count();
        judged.accepted = decided(Decision::Accept);
        judged.rejected = decided(Decision::Reject);
        judged.made = !path.exists();
        judged.compared.decide(decide).write(path)?;
        judged.written = Some(path.clone());
        Ok(judged)
    }
}

impl Judged {
    /// True if nothing is different that was not accepted now.
    pub(super) fn is_good(&self) -> bool {
        match self.accepted {
            0 => self.compared.diff().is_same(),
            accepted => accepted == self.compared.diff().counts.different(),
        }
    }

    /// The comparison and the decisions, for the sentence.
    pub(super) fn sentence(&self) -> String {
        self.compared_with() + &told_about_nothing(&self.about_nothing)
    }

    fn compared_with(&self) -> String {
        let diff = self.compared.diff();
        let Some(path) = &self.written else {
            let mut text = diff.summary();
            if !self.known.is_empty() {
                let known = count_of(self.known.len(), "group");
                text.push_str(&format!(", {known} rejected before"));
            }
            if self.compared.review().is_some() {
                // It could not tell whether equal values stand in other bytes.
                text.push_str("; a baseline holds values, not how they are written");
            }
            return text;
        };
        if self.made {
            let calls = count_of(self.accepted, "call");
            return format!("made a baseline of {calls}: {}", path.display());
        }
        let left = diff.counts.different() - self.accepted - self.rejected;
        format!(
            "{}; {} accepted, {} rejected, {left} left: {}",
            diff.summary(),
            count_of(self.accepted, "call"),
            self.rejected,
            path.display()
        )
    }

    /// The differences, to read; a baseline that was just made has none.
    pub(super) fn text(&self) -> String {
        if self.made {
            return String::new();
        }
        let warning = self.compared.warning().map(|warning| format!("warning: {warning}\n"));
        warning.unwrap_or_default() + &self.compared.diff().details()
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "accepted": self.accepted,
            "rejected": self.rejected,
            "rejected_before": self.known,
            "written": self.written.as_ref().map(shown),
            "made": self.made,
            "trace": self.compared.review().and_then(Review::trace),
            "replayed": self.compared.trace(),
            "warning": self.compared.warning(),
            "rules_about_nothing": self.about_nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read() {
        fn check(text: &str, expected: Option<Choice>) {
            assert_eq!(text.parse::<Choice>().ok(), expected, "{text}");
        }
        let call = |plugin: Option<&str>, number| Choice::Call {
            plugin: plugin.map(str::to_owned),
            number,
        };
        check("all", Some(Choice::All));
        check("3F2A81c0", Some(Choice::Group("3f2a81c0".to_owned())));
        check("#3", Some(call(None, 3)));
        check("redact#12", Some(call(Some("redact"), 12)));
        check("#x", None);
        check("in.mcap", None);
        check("", None);
    }

    #[test]
    fn factors_are_read() {
        fn check(text: &str, expected: Option<f64>) {
            assert_eq!(text.parse().ok(), expected.map(Factor), "{text}");
        }
        check("1.5", Some(1.5));
        check("x2", Some(2.0));
        check("0", None);
        check("-1", None);
        check("inf", None);
    }
}
