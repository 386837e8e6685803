//! `glovebox trace anonymize`: a trace without what is nobody's business.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::trace::{self, AnonymizeReport, Redaction, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Output, Report, count, named, shown};
use super::progress::Progress;
use crate::ending::flag;

/// Write a trace without what a path leads to or a pattern finds
///
/// Paths start with header, payload, or the arguments or result of host calls. Patterns are regular
/// expressions and are replaced in every text, key and number by itself, also in host calls, messages,
/// names and manifests; in payloads that are neither JSON nor CBOR, in the bytes. All else stays byte for
/// byte. Not looked into: what is compressed, encrypted or in base64. Snapshots of states are left out,
/// because only their plugin can read them. The exit code is 1 if a path or pattern was never found, or a
/// payload with brackets is neither JSON nor CBOR, so that no path could be followed in it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Anonymize {
    /// The trace
    pub trace: PathBuf,
    /// The new trace; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// What to take out, e.g. payload.customer.mail, header.user.id, payload.items.*.name
    #[arg(long, value_name = "PATH", required_unless_present = "pattern")]
    pub path: Vec<String>,
    /// What to take out wherever it stands, e.g. '[\w.]+@[\w.]+'
    #[arg(long, value_name = "REGEX")]
    pub pattern: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}

impl Anonymize {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        let mut redaction = Redaction::default();
        let paths = self.path.iter().try_for_each(|path| redaction.add_path(path));
        let added = paths.and_then(|()| {
            self.pattern.iter().try_for_each(|pattern| redaction.add_pattern(pattern))
        });
        added.map_err(|error| Problem::Usage(error.to_string()))?;
        // What is wrong with the trace and what is wrong with the new file are different things.
        drop(TraceReader::open(&self.trace).map_err(Problem::Trace)?);
        let progress = Progress::new("anonymizing");
        let report = &mut |done, all| progress.at(done, all);
        let done = trace::anonymize(&self.trace, &mut redaction, to, report, flag());
        let done = done.map_err(Problem::Record)?;
        let (events, out) = (count(done.events, "event"), named(&self.out));
        let mut sentence = format!("Changed {} of {events} in {out}", done.changed);
        let mut text = String::new();
        let mut exit = Exit::Good;
        for redacted in &done.redacted {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {}", count(redacted.times, "time"), redacted.what);
            if redacted.times == 0 {
                sentence.push_str(&format!("; `{}` was never found", redacted.what));
                exit = Exit::Different;
            }
        }
        if done.unsearched > 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", unsearched(&done));
            sentence.push_str(&format!(
                "; {} could not be searched for paths and may still hold what they lead to",
                count(done.unsearched, "payload")
            ));
            exit = Exit::Different;
        }
        if done.snapshots_left_out > 0 {
            let left_out = count(done.snapshots_left_out, "snapshot");
            sentence.push_str(&format!("; {left_out} of states left out"));
        }
        if done.damaged_bytes > 0 {
            let damaged = count(done.damaged_bytes, "byte");
            sentence.push_str(&format!("; {damaged} of the trace could not be read"));
            exit = Exit::TraceUnreadable;
        }
        let json =
            json!({ "trace": shown(&self.trace), "out": shown(&self.out), "anonymized": done });
        Ok(Report::new(text, json, sentence, exit))
    }
}

/// Which events could not be searched, for people.
fn unsearched(done: &AnonymizeReport) -> String {
    let named: Vec<String> = done.unsearched_events.iter().map(u64::to_string).collect();
    let more = done.unsearched - named.len() as u64;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = "neither JSON nor CBOR, so that paths could not be followed in event";
    format!("{what} {}{more}; use --pattern for these", named.join(", "))
}
