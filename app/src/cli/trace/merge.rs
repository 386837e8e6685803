//! `glovebox trace merge`: several traces as one.

use std::path::PathBuf;

use clap::Args;
use glovebox_trace::{MissingBetween, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Report, count, count_of, named, say, shown};
use super::progress::Progress;
use super::{NewTrace, lost_while_recording, report_left_out};
use crate::ending::flag;

/// Write the events of several traces to a new one, by their times
///
/// The events of each trace stay in their order; of a trace that is not sorted by time, the last sentence
/// says how many events are earlier than one before them. Parts of one recording keep their numbers. Otherwise the calls and instances of each trace get
/// new numbers, so that nothing is mixed up.
#[derive(Debug, Args)]
pub(in crate::cli) struct Merge {
    /// The traces, in any order
    #[arg(required = true, num_args = 1..)]
    pub traces: Vec<PathBuf>,
    #[command(flatten)]
    pub new: NewTrace,
}

impl Merge {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.new.out)?;
        // Opened first, so that an error in a trace is not told as one in the new file.
        for trace in &self.traces {
            drop(TraceReader::open(trace).map_err(Problem::Trace)?);
        }
        let progress = Progress::new("indexing");
        let merged = glovebox_trace::merge(
            &self.traces,
            to,
            env!("CARGO_PKG_VERSION"),
            &mut |done, all| progress.at(done, all),
            flag(),
        );
        let merged = merged.map_err(Problem::Record)?;
        merged.obstacles.iter().for_each(|obstacle| say(obstacle));
        let (events, out) = (count(merged.events, "event"), named(&self.new.out));
        let traces = count_of(self.traces.len(), "trace");
        let how = if merged.one_recording { "of one recording" } else { "with new numbers" };
        let mut sentence = format!("Merged {events} of {traces}, {how}, into {out}");
        if merged.unsorted > 0 {
            let events = count(merged.unsorted, "event");
            sentence
                .push_str(&format!("; {events} earlier than one before, as the traces have them"));
        }
        for MissingBetween { before, after, events } in &merged.missing {
            let (events, before, after) = (count(*events, "event"), named(before), named(after));
            sentence.push_str(&format!("; {events} missing between {before} and {after}"));
        }
        sentence.push_str(&lost_while_recording(merged.lost_events));
        sentence.push_str(report_left_out(self.traces.iter().map(PathBuf::as_path)));
        let exit = match merged.damaged_bytes {
            0 => Exit::Good,
            damaged => {
                sentence.push_str(&format!("; {} could not be read", count(damaged, "byte")));
                Exit::TraceUnreadable
            }
        };
        let json = json!({ "traces": self.traces.iter().map(shown).collect::<Vec<_>>(), "out": shown(&self.new.out), "merged": merged });
        Ok(Report::new(format!("{out}\n"), json, sentence, exit))
    }
}
