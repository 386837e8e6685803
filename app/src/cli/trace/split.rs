//! `glovebox trace split`: one trace as several.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use glovebox_abi::units::{parse_duration, parse_size};
use glovebox_trace::{PartLimit, SplitReport, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Output, Report, count, count_of, named, shown};
use super::progress::Progress;
use super::{lost_while_recording, report_left_out};
use crate::ending::flag;

/// Split a trace into parts: OUT.001.mcap, OUT.002.mcap and so on
///
/// A part ends once it has reached its limit and no call is running.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("limit").required(true))]
pub(in crate::cli) struct Split {
    /// The trace
    pub trace: PathBuf,
    /// Name of the parts, e.g. part.mcap; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Number of frames in each part
    #[arg(long, value_name = "N", group = "limit", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Time that each part covers, e.g. 10s
    #[arg(long, value_name = "DURATION", group = "limit", value_parser = some_time)]
    pub every: Option<Duration>,
    /// Size of each part, e.g. 100M, rounded up to whole chunks
    #[arg(long, value_name = "SIZE", group = "limit", value_parser = some_size)]
    pub size: Option<u64>,
    #[command(flatten)]
    pub output: Output,
}

/// A part of no time would never begin.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("write a time above 0, e.g. 10s".to_owned()) } else { Ok(time) }
}

/// Nor would one of no bytes.
fn some_size(text: &str) -> Result<u64, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    if size == 0 { Err("write a size above 0, e.g. 100M".to_owned()) } else { Ok(size) }
}

impl Split {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        let limit = match (self.frames, self.every, self.size) {
            (Some(frames), ..) => PartLimit::Frames(frames),
            (_, Some(time), _) => PartLimit::Time(time),
            (.., Some(bytes)) => PartLimit::Bytes(bytes),
            (None, None, None) => {
                let reason = "how large is a part? give --frames, --every or --size";
                return Err(Problem::Usage(reason.to_owned()));
            }
        };
        // Opened first, so that an error in the trace is not told as one in the new files.
        drop(TraceReader::open(&self.trace).map_err(Problem::Trace)?);
        let progress = Progress::new("splitting");
        let report = &mut |done, all| progress.at(done, all);
        let split = glovebox_trace::split(&self.trace, limit, to, report, flag());
        let split = split
            .map_err(|stopped| Problem::Record(stopped.source).after(done(&stopped.finished)))?;
        let mut sentence = done(&split);
        if split.torn_calls > 0 {
            let torn = count(split.torn_calls, "call");
            sentence.push_str(&format!("; {torn} go on in the next part"));
        }
        if split.open_calls > 0 {
            let open = count(split.open_calls, "call");
            sentence
                .push_str(&format!("; {open} without an end, and no part ends while a call runs"));
        }
        sentence.push_str(&lost_while_recording(split.lost_events));
        sentence.push_str(report_left_out([&*self.trace]));
        let exit = match split.damaged_bytes {
            0 => Exit::Good,
            damaged => {
                sentence.push_str(&format!("; {} could not be read", count(damaged, "byte")));
                Exit::TraceUnreadable
            }
        };
        let text = split.parts.iter().map(|part| format!("{}\n", named(&part.path))).collect();
        let json = json!({ "trace": shown(&self.trace), "split": split });
        Ok(Report::new(text, json, sentence, exit))
    }
}

/// The content of parts that are finished.
fn done(split: &SplitReport) -> String {
    let events: u64 = split.parts.iter().map(|part| part.events).sum();
    let parts = count_of(split.parts.len(), "part");
    format!("Split {} into {parts}", count(events, "event"))
}
