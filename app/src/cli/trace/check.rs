//! `glovebox trace check`: every problem of a trace.

use std::path::PathBuf;

use clap::Args;
use glovebox_trace::CheckReport;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Output, Report, count};
use super::{damage_line, left_out_line};
use crate::ending::flag;

/// Find every damaged byte of a trace; the exit code is 1 if anything is wrong with it
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// The trace, finished or not
    pub trace: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl Check {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let report = glovebox_trace::check(&self.trace, flag()).map_err(Problem::Trace)?;
        let info = &report.info;
        let events = count(info.events, "event");
        let (sentence, exit) = match report.is_good() {
            true => (format!("Checked {events}: the trace is good"), Exit::Good),
            false => {
                let wrong = wrong_with(&report).join(", ");
                let remedy = "`glovebox trace recover` keeps what can be read";
                (format!("Checked {events}: {wrong}; {remedy}"), Exit::Different)
            }
        };
        let sentence = match info.skipped_messages {
            0 => sentence,
            skipped => {
                format!("{sentence}; {} of other programs skipped", count(skipped, "message"))
            }
        };
        let mut text: String = report.problems.iter().map(damage_line).collect();
        text.push_str(&left_out_line(report.problems_left_out));
        let json = json!({
            "good": report.is_good(),
            "trace": info,
            "problems": report.problems,
            "problems_left_out": report.problems_left_out,
            "missing_events": report.missing_events,
        });
        Ok(Report::new(text, json, sentence, exit))
    }
}

/// The problems of a trace, for a sentence.
fn wrong_with(report: &CheckReport) -> Vec<String> {
    let info = &report.info;
    let mut wrong = Vec::new();
    // One without bytes is about what is not there.
    let (damaged, missing): (Vec<_>, Vec<_>) =
        report.problems.iter().partition(|problem| problem.bytes > 0);
    if !damaged.is_empty() {
        let places = count(damaged.len() as u64 + report.problems_left_out, "place");
        wrong.push(format!("{} damaged in {places}", count(info.damaged_bytes, "byte")));
    }
    wrong.extend(missing.iter().map(|problem| problem.reason.clone()));
    if !info.complete {
        wrong.push("never finished".to_owned());
    }
    if info.lost_events > 0 {
        wrong.push(format!("{} lost while recording", count(info.lost_events, "event")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use glovebox_trace::{Problem as Damage, TraceInfo};

    use super::*;

    #[test]
    fn what_is_missing_is_not_damaged() {
        /// Bytes and reasons of places; the sentence.
        #[track_caller]
        fn check(places: &[(u64, &str)], expected: &[&str]) {
            let problem = |&(bytes, reason): &(u64, &str)| Damage {
                offset: 7,
                bytes,
                reason: reason.to_owned(),
            };
            let damaged_bytes = places.iter().map(|(bytes, _)| bytes).sum();
            let report = CheckReport {
                info: TraceInfo { damaged_bytes, complete: true, ..TraceInfo::default() },
                problems: places.iter().map(problem).collect(),
                problems_left_out: 0,
                missing_events: 0,
            };
            assert_eq!(wrong_with(&report), expected);
        }
        let totals = "the totals say snapshots 12, and there are 0";
        check(&[], &[]);
        check(&[(0, totals)], &[totals]);
        check(&[(3, "a"), (4, "b"), (0, totals)], &["7 bytes damaged in 2 places", totals]);
    }
}
