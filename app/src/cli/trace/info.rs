//! `glovebox trace info`: the content of a trace.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::{Binding, Outcome};
use glovebox_inspector::failure;
use glovebox_trace::index::KEPT_FROM;
use glovebox_trace::{
    Ends, InstanceRecord, PluginRecord, TraceError, TraceIndex, TraceInfo, instance_name,
};
use serde_json::{Value as Json, json};

use super::super::error::{Exit, Problem};
use super::super::report::{Output, Report, count, count_of, named, one_line, say};
use super::progress::Progress;
use crate::ending::flag;

/// Show what is in a trace: events, frames, calls, plugins, time, damage
///
/// The summary of a finished trace answers most of this, and the index beside a large trace answers
/// all of it; otherwise the whole trace is read. If nothing in it can be read, the exit code is 5. A call counts when it ends. A call has no outcome
/// if its end is not in the trace, because the trace was cut off, damaged or imported.
#[derive(Debug, Args)]
pub(in crate::cli) struct Info {
    /// The trace, finished or not
    pub trace: PathBuf,
    /// Read the whole trace, and ignore its summary and index. This finds damage and counts
    /// everything anew
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub output: Output,
}

/// The known facts, and their source.
struct Known {
    info: TraceInfo,
    /// Calls without an outcome, and those that could not be followed; not known by a summary alone.
    open_calls: Option<(u64, u64)>,
    by: By,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Summary,
    Index,
    Reading,
}

impl By {
    /// For programs.
    fn name(self) -> &'static str {
        match self {
            By::Summary => "summary",
            By::Index => "index",
            By::Reading => "reading",
        }
    }

    /// For people.
    fn told(self) -> &'static str {
        match self {
            By::Summary => "by the writer; --full reads all of it, and finds damage",
            By::Index => "by the index, when all of it was read last; --full reads it again",
            By::Reading => "now, all of it was read",
        }
    }
}

impl Info {
    fn known(&self) -> Result<Known, TraceError> {
        let of_index = |index: TraceIndex, by| Known {
            info: index.info().clone(),
            open_calls: Some((index.calls_without_outcome(), index.unjoined_calls())),
            by,
        };
        if !self.full {
            if let Some(index) = TraceIndex::beside(&self.trace)? {
                return Ok(of_index(index, By::Index));
            }
            // Smaller ones are read at once.
            let is_large = self.trace.metadata().is_ok_and(|about| about.len() >= KEPT_FROM);
            if is_large && let Some(info) = TraceIndex::summary(&self.trace)? {
                return Ok(Known { info, open_calls: None, by: By::Summary });
            }
        }
        let progress = Progress::new("indexing");
        let mut report = |done, all| progress.at(done, all);
        let index = match self.full {
            true => TraceIndex::build(&self.trace, &mut report, flag())?,
            false => TraceIndex::open(&self.trace, &mut report, flag())?,
        };
        index.obstacle().iter().for_each(|obstacle| say(obstacle));
        Ok(of_index(index, By::Reading))
    }

    pub(super) fn run(&self) -> Result<Report, Problem> {
        let Known { info, open_calls, by } = self.known().map_err(Problem::Trace)?;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {}", one_line(&value));
        };
        line("trace", named(&info.path));
        line("size", show_size(info.size));
        line("written by", format!("glovebox {}, format {}", info.app_version, info.format));
        line("finished", if info.complete { "yes" } else { "no" }.to_owned());
        line("events", format!("{}, {} lost while recording", info.events, info.lost_events));
        line("frames", format!("{} in, {} out", info.frames_in, info.frames_out));
        let mut calls = format!("{}, {} not completed", info.calls, info.errors);
        match open_calls {
            None => calls.push_str("; --full counts those without an outcome"),
            Some((pending, 0)) => calls.push_str(&format!("; {pending} more without an outcome")),
            Some((pending, unjoined)) => {
                let many = count(unjoined, "call");
                calls.push_str(&format!(
                    "; {pending} more without an outcome, at most: {many} could not be followed to \
                     the end"
                ));
            }
        }
        line("calls", calls);
        let ends = info.ends.as_ref();
        line("outcomes", ends.map_or_else(|| "--full counts them".to_owned(), outcomes));
        let restarts = ends.map(|ends| ends.restarts.to_string());
        line("restarts", restarts.unwrap_or_else(|| "--full counts them".to_owned()));
        line("host calls", info.host_calls.to_string());
        if info.dropped_frames > 0 {
            line("dropped", format!("{}, which reached no plugin", dropped(info.dropped_frames)));
        }
        line("duration", show_duration(info.duration()));
        if info.snapshots > 0 {
            line("snapshots", format!("{} of states", info.snapshots));
        }
        if let Some(parent) = &info.parent {
            line("made from", format!("{}: {}", parent.path, parent.how));
        }
        let damaged = match by {
            By::Summary => "not looked for".to_owned(),
            By::Index | By::Reading => show_size(info.damaged_bytes),
        };
        line("damaged", damaged);
        if info.skipped_messages > 0 {
            let skipped = count(info.skipped_messages, "message");
            line("skipped", format!("{skipped} of other programs, which are no part of the trace"));
        }
        line("counted", by.told().to_owned());
        let report = failure::read(&self.trace).map_err(Problem::Trace)?;
        if let Some(report) = &report {
            let gone = if report.redacted { ", without payloads" } else { "" };
            let id = &report.plugin.id;
            line(
                "bundle",
                format!("of a failure of {id}{gone}; `glovebox inspect` shows the report"),
            );
        }
        for plugin in &info.plugins {
            let PluginRecord { id, version, binding, instances, .. } = plugin;
            if instances.len() < 2 {
                line("plugin", described(id, version, *binding, ""));
                continue;
            }
            line("plugin", format!("{id}, {}", count_of(instances.len(), "instance")));
            for InstanceRecord { instance, version, file, binding, .. } in instances {
                let name = instance_name(&info.plugins, id, *instance);
                let name = name.unwrap_or_else(|| id.clone());
                let marks = described("version", version, *binding, file);
                line("instance", format!("{instance}: {name} ({marks})"));
            }
        }
        let mut sentence = format!(
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
        if info.dropped_frames > 0 {
            sentence.push_str(&format!("; {} dropped", dropped(info.dropped_frames)));
        }
        if info.skipped_messages > 0 {
            let skipped = count(info.skipped_messages, "message");
            sentence.push_str(&format!("; {skipped} of other programs skipped"));
        }
        let mut json = json!(info);
        json["calls_without_outcome"] = open_calls.map(|(pending, _)| pending).into();
        json["calls_not_followed"] = open_calls.map(|(_, unjoined)| unjoined).into();
        json["failure_bundle"] = report.is_some().into();
        json["counted_by"] = by.name().into();
        if by == By::Summary {
            json["damaged_bytes"] = Json::Null;
        }
        let exit = match info.events == 0 && info.damaged_bytes > 0 {
            true => Exit::TraceUnreadable,
            false => Exit::Good,
        };
        Ok(Report::new(text, json, sentence, exit))
    }
}

/// A plugin or an instance, as far as the trace describes it.
fn described(name: &str, version: &str, binding: Option<Binding>, file: &str) -> String {
    let version = if version.is_empty() { "not known".to_owned() } else { version.to_owned() };
    let binding = binding.map_or("unknown binding", |binding| binding.name());
    let file = if file.is_empty() { String::new() } else { format!(", {file}") };
    format!("{name} {version}, {binding}{file}")
}

/// Frames that were emitted and dropped.
fn dropped(frames: u64) -> String {
    count(frames, "emitted frame")
}

/// Calls by outcome, the severest last, as a word for each.
fn outcomes(ends: &Ends) -> String {
    let told = |name| ends.outcomes.get(name).map(|calls| format!("{calls} {name}"));
    let parts: Vec<_> = Outcome::NAMES.into_iter().filter_map(told).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
