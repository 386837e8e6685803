//! `glovebox trace export`: events as NDJSON or for Perfetto, frames for Wireshark, figures for
//! Prometheus, series as CSV.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use glovebox_events::Event;
use glovebox_inspector::export::{self, PcapngWriter, PerfettoWriter};
use glovebox_inspector::metrics::Metrics;
use glovebox_inspector::trace::{TraceError, TraceReader};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Output, Report, count, shown};
use crate::ending::ending_with;

/// Write a trace in another format: its events as NDJSON, one object per line, or as slices for
/// Perfetto; its frames as packets for Wireshark; its figures for Prometheus; its series as CSV
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The trace
    pub trace: PathBuf,
    /// Where to; `-` is stdout
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    pub out: PathBuf,
    /// In which format
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
    /// How long each line of a CSV file is about
    #[arg(long, value_enum, default_value_t)]
    pub step: Step,
    /// Write the dissector that Wireshark needs to read a pcapng file
    #[arg(long, value_name = "LUA")]
    pub dissector: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

/// What can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One JSON object per event
    #[default]
    Ndjson,
    /// Figures of each plugin and generation, in the text format of Prometheus
    Prometheus,
    /// Rate, latency and memory of each plugin over time
    Csv,
    /// Calls and host calls as slices, for ui.perfetto.dev and chrome://tracing
    Perfetto,
    /// Frames as packets of link type 147, for Wireshark and tshark, each with outcome and latency
    /// of its call
    Pcapng,
}

/// How long a bucket of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum Step {
    /// A second
    #[default]
    #[value(name = "1s")]
    Second,
    /// A tenth of a second
    #[value(name = "100ms")]
    Tenth,
}

/// Buckets of a series that are written at most: a day of seconds.
const MAX_BUCKETS: usize = 86_400;

/// The events of a trace.
trait Events: Iterator<Item = Result<Event, TraceError>> {}

impl<T: Iterator<Item = Result<Event, TraceError>>> Events for T {}

/// Why not everything was exported.
enum Stopped {
    Read(Problem),
    Write(io::Error),
}

impl Export {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to_stdout = self.out == Path::new("-");
        if let Some(path) = &self.dissector {
            if self.format != Format::Pcapng {
                let reason = "--dissector is for packets; add --as pcapng";
                return Err(Problem::Usage(reason.to_owned()));
            }
            files.check(Some(path))?;
        }
        let reader = TraceReader::open(&self.trace).map_err(Problem::Trace)?;
        let mut file = match to_stdout {
            true => None,
            false => Some(files.create(&self.out)?),
        };
        if let Some(path) = &self.dissector {
            files.write(path, &export::dissector())?;
        }
        let out: Box<dyn Write> = match &mut file {
            None => Box::new(BufWriter::new(io::stdout().lock())),
            Some(file) => Box::new(file),
        };
        let cancelled = TraceError::Cancelled { path: self.trace.clone() };
        let reader = ending_with(reader, cancelled);
        let mut events = 0u64;
        let mut left_out = 0;
        let copied = match self.format {
            Format::Ndjson => copy(reader, out, &mut events),
            Format::Perfetto => slices(reader, out, &mut events),
            Format::Pcapng => packets(reader, out, &mut events),
            Format::Prometheus | Format::Csv => {
                self.figures(reader, out, &mut events, &mut left_out)
            }
        };
        // What could be read of a damaged trace is worth keeping; half of what was to be written is not.
        if let (Ok(()) | Err(Stopped::Read(_)), Some(file)) = (&copied, file) {
            file.finish()?;
        }
        let unit = if self.format == Format::Pcapng { "frame" } else { "event" };
        let exported = count(events, unit);
        let sentence = match copied {
            Ok(()) if to_stdout => format!("Exported {exported}"),
            Ok(()) => format!("Exported {exported} to {}", self.out.display()),
            Err(Stopped::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
                format!("Exported up to {exported}, until nobody read them any more")
            }
            Err(Stopped::Write(error)) => {
                let problem = Problem::file("write", &self.out)(error);
                return Err(problem.after(format!("Exported {exported}")));
            }
            Err(Stopped::Read(problem)) => {
                return Err(problem.after(format!("Exported {exported}")));
            }
        };
        let sentence = match left_out {
            0 => sentence,
            left_out => {
                let oldest = count(left_out, "oldest bucket");
                format!("{sentence}; without the {oldest}: at most {MAX_BUCKETS} are written")
            }
        };
        let json = json!({
            "trace": shown(&self.trace),
            "out": shown(&self.out),
            "events": events,
            "buckets_left_out": left_out,
        });
        Ok(Report::new(String::new(), json, sentence, Exit::Good))
    }
}

impl Export {
    /// Figures and series of the whole trace.
    fn figures(
        &self,
        reader: impl Events,
        mut out: impl Write,
        events: &mut u64,
        left_out: &mut u64,
    ) -> Result<(), Stopped> {
        let mut metrics = Metrics::keeping(MAX_BUCKETS);
        let mut damage = None;
        for event in reader {
            match event {
                Ok(event) => metrics.ingest(&event),
                Err(error) => {
                    damage = Some(error);
                    break;
                }
            }
            *events += 1;
        }
        let snapshot = metrics.snapshot();
        let written = match self.format {
            Format::Csv => {
                let series = match self.step {
                    Step::Second => &snapshot.series,
                    Step::Tenth => &snapshot.fine,
                };
                *left_out = series.values().map(|series| series.left_out).sum();
                let series = series.iter().map(|(plugin, series)| (&**plugin, series));
                export::write_csv(series, &mut out)
            }
            _ => export::write_prometheus(&snapshot.generations, &mut out),
        };
        written.and_then(|()| out.flush()).map_err(Stopped::Write)?;
        // What could be read comes first.
        damage.map_or(Ok(()), |error| Err(Stopped::Read(Problem::Trace(error))))
    }
}

fn slices(reader: impl Events, out: impl Write, events: &mut u64) -> Result<(), Stopped> {
    let mut writer = PerfettoWriter::new(out).map_err(Stopped::Write)?;
    let mut damage = None;
    for event in reader {
        match event {
            Ok(event) => writer.write(&event).map_err(Stopped::Write)?,
            Err(error) => {
                damage = Some(error);
                break;
            }
        }
        *events += 1;
    }
    // A file that is cut short is no JSON.
    writer.finish().map_err(Stopped::Write)?;
    damage.map_or(Ok(()), |error| Err(Stopped::Read(Problem::Trace(error))))
}

/// Counts frames, not events.
fn packets(reader: impl Events, out: impl Write, frames: &mut u64) -> Result<(), Stopped> {
    let mut writer = PcapngWriter::new(out).map_err(Stopped::Write)?;
    let mut damage = None;
    for event in reader {
        match event {
            Ok(event) => *frames += u64::from(writer.write(&event).map_err(Stopped::Write)?),
            Err(error) => {
                damage = Some(error);
                break;
            }
        }
    }
    writer.finish().and_then(|mut out| out.flush()).map_err(Stopped::Write)?;
    damage.map_or(Ok(()), |error| Err(Stopped::Read(Problem::Trace(error))))
}

fn copy(reader: impl Events, mut out: impl Write, events: &mut u64) -> Result<(), Stopped> {
    for event in reader {
        match event {
            Ok(event) => export::write_ndjson(&event, &mut out).map_err(Stopped::Write)?,
            Err(error) => {
                // What could be read comes first.
                out.flush().map_err(Stopped::Write)?;
                return Err(Stopped::Read(Problem::Trace(error)));
            }
        }
        *events += 1;
    }
    out.flush().map_err(Stopped::Write)
}
