//! `glovebox trace recover`: what can be read of a damaged trace, as a good one.

use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::trace::{self, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Output, Report, count};
use super::damage_line;

/// Write all that can be read of a damaged or unfinished trace to a new one
#[derive(Debug, Args)]
pub(in crate::cli) struct Recover {
    /// The trace
    pub trace: PathBuf,
    /// The new trace; nothing is overwritten
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl Recover {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        // What is wrong with the trace and what is wrong with the new file are different things.
        drop(TraceReader::open(&self.trace).map_err(Problem::Trace)?);
        let report = trace::recover(&self.trace, &self.out).map_err(Problem::Record)?;
        let info = &report.recovered;
        let events = count(info.events, "event");
        let out = self.out.display();
        let sentence = if report.is_lossless() {
            format!("Recovered {events}, all there was, into {out}")
        } else {
            let lost = count(info.damaged_bytes, "byte");
            format!("Recovered {events} into {out}; {lost} could not be read")
        };
        let json = json!({
            "out": self.out,
            "recovered": info,
            "lost": report.lost,
            "missing_events": report.missing_events,
        });
        let text = report.lost.iter().map(damage_line).collect();
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}
