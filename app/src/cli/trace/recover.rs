//! `glovebox trace recover`: the readable part of a damaged trace, as a good one.

use std::path::PathBuf;

use clap::Args;
use glovebox_trace::{RecoverReport, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Report, count, named, shown};
use super::{NewTrace, damage_line, left_out_line};
use crate::ending::flag;

/// Write everything readable in a damaged or unfinished trace to a new trace
///
/// The exit code is 0 if nothing is lost and 1 if something is. Events that a recorder had not yet
/// written when it died were never in the file, and do not count as lost.
#[derive(Debug, Args)]
pub(in crate::cli) struct Recover {
    /// The trace
    pub trace: PathBuf,
    #[command(flatten)]
    pub new: NewTrace,
}

impl Recover {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.new.out)?;
        // Opened first, so that an error in the trace is not told as one in the new file.
        drop(TraceReader::open(&self.trace).map_err(Problem::Trace)?);
        let report = glovebox_trace::recover(&self.trace, to, flag()).map_err(Problem::Record)?;
        let events = count(report.found.events(), "event");
        let out = named(&self.new.out);
        let (sentence, exit) = if report.lossless {
            (format!("Recovered {events}, all there was, into {out}"), Exit::Good)
        } else {
            let sentence = format!("Recovered {events} into {out}; lost {}", loss(&report));
            (sentence, Exit::Different)
        };
        let kinds = report.found.entries().into_iter().zip(report.lost.entries());
        let kinds: Vec<_> = kinds.map(|((kind, found), (_, lost))| (kind, found, lost)).collect();
        let mut text = format!("{:<12} {:>12} {:>12}\n", "kind", "recovered", "lost");
        for (kind, found, lost) in &kinds {
            text.push_str(&format!("{kind:<12} {found:>12} {lost:>12}\n"));
        }
        text.extend(report.problems.iter().map(damage_line));
        text.push_str(&left_out_line(report.problems_left_out));
        let kinds = kinds
            .iter()
            .map(|(kind, found, lost)| json!({ "kind": kind, "recovered": found, "lost": lost }));
        let json = json!({
            "out": shown(&self.new.out),
            "lossless": report.lossless,
            "kinds": kinds.collect::<Vec<_>>(),
            "uncounted_bytes": report.uncounted_bytes,
            "recovered": report.recovered,
            "problems": report.problems,
            "problems_left_out": report.problems_left_out,
            "missing_events": report.missing_events,
        });
        Ok(Report::new(text, json, sentence, exit))
    }
}

/// The loss, as exactly as anybody knows.
fn loss(report: &RecoverReport) -> String {
    let events = report.lost.events();
    let damaged = count(report.recovered.damaged_bytes, "byte");
    match report.uncounted_bytes {
        0 if events > 0 => format!("{} ({damaged})", count(events, "event")),
        0 => "facts about plugins, but no event".to_owned(),
        bytes if events > 0 => {
            let bytes = count(bytes, "byte");
            format!("{}, and {bytes} of unknown content", count(events, "event"))
        }
        bytes => format!("{} of unknown content", count(bytes, "byte")),
    }
}
