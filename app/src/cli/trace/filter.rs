//! `glovebox trace filter`: some calls of a trace.

use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::trace::{self, TraceIndex};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Output, Report, count, named, shown};
use super::progress::Progress;
use crate::ending::flag;

/// Write the calls that match to a new trace, with all their frames and host calls
///
/// A call matches if one of its frames does. What belongs to no call, such as loads and changes of
/// phase, is kept.
#[derive(Debug, Args)]
pub(in crate::cli) struct FilterTrace {
    /// The trace
    pub trace: PathBuf,
    /// What to keep, e.g. 'status:error or latency>5ms'
    #[arg(value_parser = super::super::filter::parse)]
    pub filter: Filter,
    /// The new trace; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl FilterTrace {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        let indexing = Progress::new("indexing");
        let index = TraceIndex::open(&self.trace, &mut |done, all| indexing.at(done, all), flag());
        // What is wrong with the trace and what is wrong with the new file are different things.
        let index = index.map_err(Problem::Trace)?;
        let searching = Progress::new("searching");
        let progress = |done, all| searching.at(done, all);
        let found = trace::select(&self.trace, &index, &self.filter, to, &progress, flag());
        let found = found.map_err(Problem::Record)?;
        let (all, out) = (found.calls + found.skipped, named(&self.out));
        let mut sentence = format!("Kept {} of {} in {out}", found.calls, count(all, "call"));
        let exit = match found.damaged_bytes {
            0 => Exit::Good,
            damaged => {
                let damaged = count(damaged, "byte");
                sentence.push_str(&format!("; {damaged} of the trace could not be read"));
                Exit::TraceUnreadable
            }
        };
        let json = json!({ "trace": shown(&self.trace), "out": shown(&self.out), "found": found });
        Ok(Report::new(format!("{out}\n"), json, sentence, exit))
    }
}
