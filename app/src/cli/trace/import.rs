//! `glovebox trace import`: captures and NDJSON as traces.

use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_abi::units::show_size;
use glovebox_inspector::import::{ImportError, import, import_from};
use glovebox_trace::TraceWriter;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::observe;
use super::super::report::{Files, Report, count, named, shown};
use super::NewTrace;
use super::stdin::{ENDED, EndingStdin};
use crate::ending::is_asked;

/// Make a trace from a pcap, pcapng, NDJSON or HAR file, or a JSON list
///
/// Each packet becomes a data frame. Its payload is what TCP or UDP carry; its header has the time,
/// addresses, ports and protocol. Each entry of a HAR file and each element of a JSON list becomes the
/// payload of a data frame, as it stands there; an entry keeps the time at which it began. Files compressed with gzip, zstd or LZ4 are decompressed. Ctrl+C
/// ends an import from standard input, which keeps what has come until then.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The capture; `-` is standard input: tcpdump -w - | glovebox trace import - -o t.mcap
    pub file: PathBuf,
    #[command(flatten)]
    pub new: NewTrace,
}

impl Import {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.new.out)?;
        let mut writer: Option<TraceWriter> = None;
        let mut events = 0u64;
        // The file appears with the first event, so that nothing is left of what is no capture.
        let is_stdin = self.file == Path::new("-");
        let each = |event| {
            if !is_stdin && is_asked() {
                return Err(ImportError::Cancelled { path: self.file.clone() }.into());
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(observe::create(to)?),
            };
            events += 1;
            writer.write(&event).map_err(Problem::Record)
        };
        let imported = match is_stdin {
            true => {
                let stdin = EndingStdin::open().map_err(Problem::file("read", &self.file))?;
                import_from(&self.file, stdin, each)
            }
            false => import(&self.file, each),
        };
        let imported = match (imported, writer.is_some()) {
            (Ok(imported), _) => imported,
            (Err(_), false) if is_asked() => {
                let json = json!({ "file": shown(&self.file), "events": 0 });
                return Ok(Report::new(String::new(), json, "Imported 0 events", Exit::Good));
            }
            (Err(problem), false) => return Err(problem),
            (Err(problem), true) => {
                // Half a capture would mislead. If it cannot be removed, its name says `.partial`.
                let _ = writer.map(TraceWriter::discard);
                return Err(problem.after(format!("Read {}", count(events, "event"))));
            }
        };
        let mut writer = match writer {
            Some(writer) => writer,
            None => observe::create(to)?,
        };
        if let Err(error) = imported.plugins.iter().try_for_each(|one| writer.describe_plugin(one))
        {
            let _ = writer.discard();
            return Err(Problem::Record(error));
        }
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
        if let Some(first) = &imported.without_addresses.first {
            let packets = count(imported.without_addresses.packets, "packet");
            sentence.push_str(&format!("; no addresses, or only those around a tunnel, in {packets}, for the first: {first}"));
        }
        if imported.later_fragments > 0 {
            let fragments = count(imported.later_fragments, "fragment");
            sentence.push_str(&format!("; no ports in {fragments} of IP behind the first"));
        }
        if imported.wrong_lengths > 0 {
            let packets = count(imported.wrong_lengths, "packet");
            sentence.push_str(&format!("; a length of UDP that cannot be in {packets}"));
        }
        if let Some(version) = &imported.unknown_version {
            sentence.push_str(&format!("; read as if its version {version} were a known one"));
        }
        if imported.without_time > 0 {
            let frames = count(imported.without_time, "frame");
            sentence.push_str(&format!(
                "; {frames} without a time, with that of the one before, or of the first"
            ));
        }
        if let Some(first) = &imported.first_unread_time {
            let times = count(imported.unread_times, "time");
            sentence.push_str(&format!(
                "; {times} that could not be read, the first {first}: their frames have that of the one \
                 before, or of the first"
            ));
        }
        if imported.times_moved > 0 {
            let times = count(imported.times_moved, "time");
            sentence.push_str(&format!("; {times} outside 1970 to 2554 moved there"));
        }
        if imported.renumbered_calls > 0 {
            let calls = count(imported.renumbered_calls, "call");
            sentence
                .push_str(&format!("; {calls} with new numbers, because other calls had theirs"));
        }
        if imported.texts_like_bytes > 0 {
            let lines = count(imported.texts_like_bytes, "line");
            sentence.push_str(&format!(
                "; a text that begins with `hex:` stays a text in {lines}: bytes go into `header_hex`"
            ));
        }
        // The last sentence names the signal anyway.
        if let Some(reason) = imported.cut_short.as_ref().filter(|reason| *reason != ENDED) {
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
            "without_addresses": imported.without_addresses,
            "later_fragments": imported.later_fragments,
            "unknown_version": imported.unknown_version,
            "wrong_lengths": imported.wrong_lengths,
            "without_time": imported.without_time,
            "unread_times": imported.unread_times,
            "first_unread_time": imported.first_unread_time,
            "renumbered_calls": imported.renumbered_calls,
            "texts_like_bytes": imported.texts_like_bytes,
        });
        let exit = match imported.is_incomplete() {
            false => Exit::Good,
            true => Exit::TraceUnreadable,
        };
        let text = format!("{} ({})\n", named(&recorded.path), show_size(recorded.bytes));
        Ok(Report::new(text, json, sentence, exit))
    }
}
