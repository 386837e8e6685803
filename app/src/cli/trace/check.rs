//! `glovebox trace check`: every problem of a trace.

use std::path::PathBuf;

use clap::Args;
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
        let mut wrong = Vec::new();
        if !report.problems.is_empty() {
            let all = report.problems.len() as u64 + report.problems_left_out;
            let places = count(all, "place");
            wrong.push(format!("{} damaged in {places}", count(info.damaged_bytes, "byte")));
        }
        if !info.complete {
            wrong.push("never finished".to_owned());
        }
        if info.lost_events > 0 {
            wrong.push(format!("{} lost while recording", count(info.lost_events, "event")));
        }
        let events = count(info.events, "event");
        let (sentence, exit) = match report.is_good() {
            true => (format!("Checked {events}: the trace is good"), Exit::Good),
            false => {
                let wrong = wrong.join(", ");
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
