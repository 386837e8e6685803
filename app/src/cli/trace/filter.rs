//! `glovebox trace filter`: some calls of a trace.

use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::filter::Filter;
use glovebox_inspector::search;
use glovebox_trace::TraceIndex;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Report, count, named, say, shown};
use super::progress::Progress;
use super::{NewTrace, lost_while_recording, report_left_out};
use crate::ending::flag;

/// Write the calls that match a filter to a new trace, with all their frames and host calls
///
/// A call matches if one of its frames does. Events outside calls, such as loads and changes of
/// phase, are kept; snapshots of states are not, because calls between them may be missing. From a damaged trace, everything that can be read is filtered and written, and the
/// exit code is 5.
#[derive(Debug, Args)]
pub(in crate::cli) struct FilterTrace {
    /// The trace
    pub trace: PathBuf,
    /// Keep the calls that match this filter, e.g. 'status:error or latency>5ms'
    #[arg(value_parser = super::super::filter::parse)]
    pub filter: Filter,
    #[command(flatten)]
    pub new: NewTrace,
}

impl FilterTrace {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.new.out)?;
        let indexing = Progress::new("indexing");
        let index = TraceIndex::open(&self.trace, &mut |done, all| indexing.at(done, all), flag());
        // Opened first, so that an error in the trace is not told as one in the new file.
        let index = index.map_err(Problem::Trace)?;
        index.obstacle().iter().for_each(|obstacle| say(obstacle));
        let searching = Progress::new("searching");
        let progress = |done, all| searching.at(done, all);
        let found = search::select(&self.trace, &index, &self.filter, to, &progress, flag());
        let found = found.map_err(|error| match error.path() == self.trace {
            true => Problem::Trace(error),
            false => Problem::Record(error),
        })?;
        let (all, out) = (found.calls + found.skipped, named(&self.new.out));
        let mut sentence = format!("Kept {} of {} in {out}", found.calls, count(all, "call"));
        if found.snapshots_left_out > 0 {
            let left_out = count(found.snapshots_left_out, "snapshot");
            sentence.push_str(&format!("; {left_out} of states left out"));
        }
        sentence.push_str(&lost_while_recording(found.lost_events));
        sentence.push_str(report_left_out([&*self.trace]));
        let exit = match found.damaged_bytes {
            0 => Exit::Good,
            damaged => {
                let damaged = count(damaged, "byte");
                sentence.push_str(&format!("; {damaged} of the trace could not be read"));
                Exit::TraceUnreadable
            }
        };
        let json =
            json!({ "trace": shown(&self.trace), "out": shown(&self.new.out), "found": found });
        Ok(Report::new(format!("{out}\n"), json, sentence, exit))
    }
}
