//! Findings of the rules in a run, for the verbs that have one; and `glovebox findings`, the list
//! of the rules.

use std::fmt::Write as _;

use clap::Args;
use glovebox_inspector::findings::{
    self, Finding, Judgement, RULES, Record, Severities, Severity, SeverityError,
};
use serde_json::{Value as Json, json};

use super::error::{Exit, Problem};
use super::report::{Output, Report, count_of};

/// List the rules that check a run: id, severity, what they find, and what to do
#[derive(Debug, Args)]
pub(super) struct Findings {
    #[command(flatten)]
    pub output: Output,
}

impl Findings {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let rules = RULES.iter().map(|rule| {
            json!({
                "rule": rule.id(),
                "severity": rule.severity(),
                "finds": rule.describe(),
                "remedy": rule.remedy(),
            })
        });
        let json = json!({ "rules": rules.collect::<Vec<_>>() });
        let sentence = format!("Listed {}", count_of(RULES.len(), "rule"));
        Ok(Report::new(findings::rules_text(), json, sentence, Exit::Good))
    }
}

/// How findings count.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FindingsArgs {
    /// Set the severity of a rule: info, warning, error or off. May be repeated. `glovebox
    /// findings` lists the rules
    #[arg(long = "severity", value_name = "RULE=SEVERITY", value_parser = one_severity)]
    pub severities: Vec<String>,
    /// Exit with 1 if any finding is at least this severe
    #[arg(
        long,
        value_name = "SEVERITY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "warning"
    )]
    pub fail_on_findings: Option<Severity>,
}

fn one_severity(text: &str) -> Result<String, SeverityError> {
    Severities::default().set(text).map(|()| text.to_owned())
}

impl FindingsArgs {
    /// True if anything is said about findings.
    pub(super) fn is_asked_for(&self) -> bool {
        !self.severities.is_empty() || self.fail_on_findings.is_some()
    }

    /// The findings of the rules in a run.
    pub(super) fn judge(&self, record: &Record) -> Result<Judgement, Problem> {
        let mut severities = Severities::default();
        for setting in &self.severities {
            severities.set(setting).map_err(|error| Problem::Usage(error.to_string()))?;
        }
        Ok(findings::judge(record, &severities))
    }

    /// True if what was found is to be told by the exit code.
    pub(super) fn fails(&self, judgement: &Judgement) -> bool {
        self.fail_on_findings.is_some_and(|least| judgement.count(least) > 0)
    }
}

/// For a sentence, e.g. `3 findings (1 error, 2 warnings)`; `None` if there is none.
pub(super) fn sentence(judgement: &Judgement) -> Option<String> {
    let counts = Severity::ALL.iter().rev().filter_map(|severity| {
        let all = judgement.findings.iter().filter(|finding| finding.severity == *severity);
        let number = all.count();
        let name = match severity {
            Severity::Info => "note",
            severity => severity.name(),
        };
        (number > 0).then(|| count_of(number, name))
    });
    let counts: Vec<_> = counts.collect();
    let number = judgement.findings.len();
    (number > 0).then(|| format!("{} ({})", count_of(number, "finding"), counts.join(", ")))
}

/// One line for each finding, and one for each budget that could not be judged.
pub(super) fn lines(judgement: &Judgement) -> Vec<(&'static str, String)> {
    let found = judgement.findings.iter().map(|finding| ("finding", line(finding)));
    let mut lines: Vec<_> = found.collect();
    for one in &judgement.unjudged {
        // A rule that only needs more calls is in the JSON; a budget's author wants to know.
        if one.rule == "budget-broken" {
            lines.push(("not judged", format!("{}: {}", one.name, one.reason)));
        }
    }
    if judgement.calls_left_out > 0 {
        let left_out = judgement.calls_left_out;
        lines.push(("not judged", format!("the first {left_out} calls, which are too many")));
    }
    lines
}

fn line(finding: &Finding) -> String {
    let Finding { rule, severity, name, generation, message, remedy, evidence, .. } = finding;
    let mut text = format!("{severity} {rule}: {name} generation {generation}: {message}");
    let several = evidence.iter().any(|one| one.run > 0);
    for (index, one) in evidence.iter().enumerate() {
        let before = if index == 0 { "; see event" } else { "," };
        let run = if several { format!(" of run {}", one.run + 1) } else { String::new() };
        // Writing to a string cannot fail.
        let _ = write!(text, "{before} {}{run}", one.sequence);
        if let Some(call) = one.call {
            let _ = write!(text, " (call {})", call.0);
        }
    }
    let _ = write!(text, "; {remedy}");
    text
}

/// For programs: the fields `findings` and `not_judged`.
pub(super) fn add_to(json: &mut Json, judgement: &Judgement) {
    json["findings"] = json!(judgement.findings);
    json["not_judged"] = json!(judgement.unjudged);
    json["calls_not_judged"] = judgement.calls_left_out.into();
}
