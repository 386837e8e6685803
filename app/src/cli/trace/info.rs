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
        line("calls", format!("{}, {} not completed", info.calls, info.errors));
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
        Ok(Report::new(text, json!(info), sentence, Exit::Good))
    }
}
