//! `glovebox trace import`: captures and NDJSON as traces.

use std::path::PathBuf;

use clap::Args;
use glovebox_abi::units::show_size;
use glovebox_inspector::import::import;
use glovebox_inspector::trace::TraceWriter;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::observe;
use super::super::report::{Files, Output, Report, count, named, shown};

/// Make a trace of a pcap, pcapng or NDJSON file
///
/// A packet becomes a data frame: its payload is what TCP or UDP carry, its header has time,
/// addresses, ports and protocol. Files packed with gzip, zstd or LZ4 are unpacked on the way.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The capture; `-` is standard input: tcpdump -w - | glovebox trace import - -o t.mcap
    pub file: PathBuf,
    /// The new trace; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl Import {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        let mut writer: Option<TraceWriter> = None;
        let mut events = 0u64;
        // The file appears with the first event, so that nothing is left of what is no capture.
        let imported = import(&self.file, |event| {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(observe::create(to)?),
            };
            events += 1;
            writer.write(&event).map_err(Problem::Record)
        });
        let imported = match (imported, &writer) {
            (Ok(imported), _) => imported,
            (Err(problem), None) => return Err(problem),
            (Err(problem), Some(writer)) => {
                // Half a capture would mislead. If it cannot be removed, its name says `.partial`.
                let _ = std::fs::remove_file(writer.partial());
                return Err(problem.after(format!("Read {}", count(events, "event"))));
            }
        };
        let writer = match writer {
            Some(writer) => writer,
            None => observe::create(to)?,
        };
        let recorded = observe::finish(writer)?;
        let mut sentence = format!(
            "Imported {} of a {} file into {}",
            count(imported.events, "event"),
            imported.format.name(),
            named(&recorded.path)
        );
        if let Some(first) = &imported.damaged.first {
            let parts = count(imported.damaged.parts, "damaged part");
            sentence.push_str(&format!("; left out {parts}, the first {first}"));
        }
        if imported.left_out > 0 {
            let blocks = count(imported.left_out, "block");
            sentence.push_str(&format!("; left out {blocks} without a packet"));
        }
        if imported.times_moved > 0 {
            let packets = count(imported.times_moved, "packet");
            sentence.push_str(&format!("; {packets} outside 1970 to 2554 moved there"));
        }
        if let Some(reason) = &imported.cut_short {
            sentence.push_str(&format!("; the rest could not be read: {reason}"));
        }
        let json = json!({
            "file": shown(&self.file),
            "format": imported.format.name(),
            "out": shown(&recorded.path),
            "events": imported.events,
            "size": recorded.bytes,
            "cut_short": imported.cut_short,
            "damaged": imported.damaged,
            "left_out": imported.left_out,
            "times_moved": imported.times_moved,
        });
        let exit = match imported.is_incomplete() {
            false => Exit::Good,
            true => Exit::TraceUnreadable,
        };
        let text = format!("{} ({})\n", named(&recorded.path), show_size(recorded.bytes));
        Ok(Report::new(text, json, sentence, exit))
    }
}
