//! `glovebox trace merge`: several traces as one.

use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::trace::{self, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Output, Report, count, count_of, named, shown};
use super::progress::Progress;
use crate::ending::flag;

/// Write the events of several traces to a new one, sorted by time
///
/// Parts of one recording keep their numbers; otherwise calls and instances of each trace get new
/// ones, so that nothing is mixed up.
#[derive(Debug, Args)]
pub(in crate::cli) struct Merge {
    /// The traces, in any order
    #[arg(required = true, num_args = 1..)]
    pub traces: Vec<PathBuf>,
    /// The new trace; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl Merge {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        // What is wrong with a trace and what is wrong with the new file are different things.
        for trace in &self.traces {
            drop(TraceReader::open(trace).map_err(Problem::Trace)?);
        }
        let progress = Progress::new("indexing");
        let merged = trace::merge(
            &self.traces,
            to,
            env!("CARGO_PKG_VERSION"),
            &mut |done, all| progress.at(done, all),
            flag(),
        );
        let merged = merged.map_err(Problem::Record)?;
        let (events, out) = (count(merged.events, "event"), named(&self.out));
        let traces = count_of(self.traces.len(), "trace");
        let how = if merged.one_recording { "of one recording" } else { "with new numbers" };
        let mut sentence = format!("Merged {events} of {traces}, {how}, into {out}");
        let exit = match merged.damaged_bytes {
            0 => Exit::Good,
            damaged => {
                sentence.push_str(&format!("; {} could not be read", count(damaged, "byte")));
                Exit::TraceUnreadable
            }
        };
        let json = json!({ "traces": self.traces.iter().map(shown).collect::<Vec<_>>(), "out": shown(&self.out), "merged": merged });
        Ok(Report::new(format!("{out}\n"), json, sentence, exit))
    }
}
