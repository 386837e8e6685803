//! `glovebox trace info`: what is in a trace.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_inspector::trace::TraceIndex;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Output, Report, count};
use super::progress::Progress;

/// Say what is in a trace: events, frames, calls, plugins, time, damage
///
/// All of it is read, unless the index that is kept beside a large trace says it already. Calls are
/// counted when they end; those that began and of which the trace holds no end, because it was cut
/// off, damaged or imported, are without an outcome.
#[derive(Debug, Args)]
pub(in crate::cli) struct Info {
    /// The trace, finished or not
    pub trace: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl Info {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let progress = Progress::new("indexing");
        let index = TraceIndex::open(
            &self.trace,
            &mut |done, all| progress.at(done, all),
            &AtomicBool::new(false),
        );
        let index = index.map_err(Problem::Trace)?;
        let info = index.info();
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {value}");
        };
        line("trace", info.path.display().to_string());
        line("size", show_size(info.size));
        line("written by", format!("glovebox {}, format {}", info.app_version, info.format));
        line("finished", if info.complete { "yes" } else { "no" }.to_owned());
        line("events", format!("{}, {} lost while recording", info.events, info.lost_events));
        line("frames", format!("{} in, {} out", info.frames_in, info.frames_out));
        let (pending, unjoined) = (index.calls_without_outcome(), index.unjoined_calls());
        let mut calls = format!("{}, {} not completed", info.calls, info.errors);
        calls.push_str(&format!("; {pending} more without an outcome"));
        if unjoined > 0 {
            let many = count(unjoined, "call");
            calls.push_str(&format!(", at most: {many} could not be followed to the end"));
        }
        line("calls", calls);
        line("host calls", info.host_calls.to_string());
        line("duration", show_duration(info.duration()));
        if info.snapshots > 0 {
            line("snapshots", format!("{} of states", info.snapshots));
        }
        if let Some(parent) = &info.parent {
            line("made from", format!("{}: {}", parent.path, parent.how));
        }
        line("damaged", show_size(info.damaged_bytes));
        for plugin in &info.plugins {
            let binding = plugin.binding.map_or("unknown binding", |binding| binding.name());
            line("plugin", format!("{} {}, {binding}", plugin.id, plugin.version));
        }
        let sentence = format!(
            "Read {} with {} in and {} out{}",
            count(info.events, "event"),
            count(info.frames_in, "frame"),
            info.frames_out,
            match (info.damaged_bytes, info.complete) {
                (0, true) => String::new(),
                (0, false) => "; the trace was never finished".to_owned(),
                (bytes, _) => format!("; {} cannot be read", count(bytes, "byte")),
            }
        );
        let mut json = json!(info);
        json["calls_without_outcome"] = pending.into();
        json["calls_not_followed"] = unjoined.into();
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}
