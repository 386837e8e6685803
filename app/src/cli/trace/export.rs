//! `glovebox trace export`: events as NDJSON or for Perfetto, frames for Wireshark, figures for
//! Prometheus, series as CSV.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use glovebox_events::Event;
use glovebox_inspector::export::{self, InstanceMetrics, PcapngWriter, PerfettoWriter};
use glovebox_trace::{PluginRecord, TraceError, TraceIndex, TraceReader, Versions, instance_name};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Content, Files, Output, Report, count, shown};
use crate::ending::ending_with;

/// Convert a trace: events to NDJSON or Perfetto, frames to packets for Wireshark, metrics to
/// Prometheus or CSV
///
/// A terminal gets every text with control characters made visible. Files and pipes get the exact
/// bytes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The trace
    pub trace: PathBuf,
    /// Write to this file; `-` is stdout
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    pub out: PathBuf,
    /// Output format
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
    /// Time that each line of a CSV file covers
    #[arg(long, value_enum, default_value_t)]
    pub step: Step,
    /// Also write the Lua dissector that Wireshark needs to read the pcapng file
    #[arg(long, value_name = "LUA")]
    pub dissector: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

/// The formats to export to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum Format {
    /// One JSON object per event
    #[default]
    Ndjson,
    /// Metrics of each instance, version and generation, in the text format of Prometheus
    Prometheus,
    /// Rate, latency and memory of each instance and version over time
    Csv,
    /// Calls and host calls as slices, for ui.perfetto.dev and chrome://tracing
    Perfetto,
    /// Frames as packets of link type 147, for Wireshark and tshark. Each packet has the outcome
    /// and latency of its call
    Pcapng,
}

impl Format {
    fn content(self) -> Content {
        match self {
            Format::Ndjson | Format::Perfetto => Content::Json,
            Format::Prometheus | Format::Csv => Content::Text,
            Format::Pcapng => Content::Binary,
        }
    }
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
    /// The records of plugins that the trace has.
    fn plugins(&self) -> Result<Vec<PluginRecord>, Problem> {
        Ok(match TraceIndex::summary(&self.trace).map_err(Problem::Trace)? {
            Some(info) => info.plugins,
            None => glovebox_trace::info(&self.trace).map_err(Problem::Trace)?.plugins,
        })
    }

    /// The names of instances that have twins.
    fn names(&self) -> Result<Names, Problem> {
        let plugins = self.plugins()?;
        let all = plugins.iter().flat_map(|plugin| {
            plugin.instances.iter().map(|one| (plugin.id.clone(), one.instance))
        });
        let named = all.filter_map(|(id, instance)| {
            let name = instance_name(&plugins, &id, instance)?;
            Some(((id, instance), name))
        });
        Ok(named.collect())
    }

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
        let mut file = files.create(&self.out, self.format.content())?;
        if let Some(path) = &self.dissector {
            files.write(path, Content::Text, &export::dissector())?;
        }
        let out = &mut file;
        let cancelled = TraceError::Cancelled { path: self.trace.clone() };
        let reader = ending_with(reader, cancelled);
        let mut events = 0u64;
        let mut left_out = LeftOut::default();
        let copied = match self.format {
            Format::Ndjson => {
                let mut versions = Versions::default();
                versions.describe(&self.plugins()?);
                copy(reader, out, (&self.names()?, versions), &mut events)
            }
            Format::Perfetto => slices(reader, out, (self.start()?, self.names()?), &mut events),
            Format::Pcapng => packets(reader, out, &mut events, &mut left_out),
            Format::Prometheus | Format::Csv => {
                self.figures(reader, out, &mut events, &mut left_out)
            }
        };
        // The readable part of a damaged trace is worth keeping; a half-written export is not.
        if let Ok(()) | Err(Stopped::Read(_)) = &copied {
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
                // A file that is not finished is not left behind.
                let left = if to_stdout { exported } else { count(0u64, unit) };
                return Err(problem.after(format!("Exported {left}")));
            }
            Err(Stopped::Read(problem)) => {
                return Err(problem.after(format!("Exported {exported}")));
            }
        };
        let sentence = left_out.after(sentence);
        let json = json!({
            "trace": shown(&self.trace),
            "out": shown(&self.out),
            "events": events,
            "buckets_left_out": left_out.buckets,
            "generations_left_out": left_out.generations,
            "events_left_out": left_out.events,
            "packets_cut": left_out.cut,
        });
        Ok(Report::new(String::new(), json, sentence, Exit::Good))
    }
}

/// The part of a trace that is not among its figures.
#[derive(Default)]
struct LeftOut {
    buckets: u64,
    generations: u64,
    events: u64,
    /// Packets that are longer than a reader takes.
    cut: u64,
}

impl LeftOut {
    /// The sentence, with all that was left out.
    fn after(&self, mut sentence: String) -> String {
        let kept = format!("at most {MAX_BUCKETS} are written");
        for (number, unit, why) in [
            (self.buckets, "oldest bucket", &*kept),
            (self.generations, "oldest generation", "the latest 64 of a plugin are written"),
            (self.events, "event", "they are of instances and versions beyond the first 2,000"),
        ] {
            if number > 0 {
                sentence = format!("{sentence}; without the {}: {why}", count(number, unit));
            }
        }
        if self.cut > 0 {
            let packets = count(self.cut, "packet");
            sentence = format!(
                "{sentence}; {packets} cut at {}, because Wireshark takes no longer ones",
                count(export::MAX_PACKET as u64, "byte")
            );
        }
        sentence
    }
}

impl Export {
    /// The smallest time in the trace: its events need not stand in order.
    fn start(&self) -> Result<u64, Problem> {
        let info = match TraceIndex::summary(&self.trace).map_err(Problem::Trace)? {
            Some(info) => info,
            None => glovebox_trace::info(&self.trace).map_err(Problem::Trace)?,
        };
        Ok(info.range.map_or(0, |(first, _)| first))
    }

    /// Figures and series of the whole trace.
    fn figures(
        &self,
        reader: impl Events,
        mut out: impl Write,
        events: &mut u64,
        left_out: &mut LeftOut,
    ) -> Result<(), Stopped> {
        let plugins = self.plugins().map_err(Stopped::Read)?;
        let mut metrics = InstanceMetrics::keeping(MAX_BUCKETS, &plugins);
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
        left_out.events = metrics.left_out();
        let written = match self.format {
            Format::Csv => {
                let series = metrics.series(self.step == Step::Tenth);
                left_out.buckets = series.iter().map(|(_, series)| series.left_out).sum();
                let series = series.iter().map(|(runner, series)| (runner, series));
                export::write_csv(series, &mut out)
            }
            _ => {
                left_out.generations = metrics.generations_left_out();
                export::write_prometheus(&metrics.generations(), &mut out)
            }
        };
        written.and_then(|()| out.flush()).map_err(Stopped::Write)?;
        // The readable part comes first.
        damage.map_or(Ok(()), |error| Err(Stopped::Read(Problem::Trace(error))))
    }
}

/// The names of instances that have twins, by the id of their plugin and their number.
type Names = HashMap<(String, u64), String>;

fn slices(
    reader: impl Events,
    out: impl Write,
    (start, names): (u64, Names),
    events: &mut u64,
) -> Result<(), Stopped> {
    let writer = PerfettoWriter::new(out, start).map_err(Stopped::Write)?;
    let mut writer = writer.with_names(names);
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
fn packets(
    reader: impl Events,
    out: impl Write,
    frames: &mut u64,
    left_out: &mut LeftOut,
) -> Result<(), Stopped> {
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
    let (mut out, cut) = writer.finish().map_err(Stopped::Write)?;
    left_out.cut = cut;
    out.flush().map_err(Stopped::Write)?;
    damage.map_or(Ok(()), |error| Err(Stopped::Read(Problem::Trace(error))))
}

fn copy(
    reader: impl Events,
    mut out: impl Write,
    (names, mut versions): (&Names, Versions),
    events: &mut u64,
) -> Result<(), Stopped> {
    for event in reader {
        match event {
            Ok(event) => {
                let name = || names.get(&(event.plugin.to_string(), event.instance));
                let name = if names.is_empty() { None } else { name() };
                versions.take_in(&event);
                let version = versions.of(event.instance, event.generation).map(|one| &**one);
                export::write_ndjson(&event, name.map(String::as_str), version, &mut out)
                    .map_err(Stopped::Write)?;
            }
            Err(error) => {
                // The readable part comes first.
                out.flush().map_err(Stopped::Write)?;
                return Err(Stopped::Read(Problem::Trace(error)));
            }
        }
        *events += 1;
    }
    out.flush().map_err(Stopped::Write)
}
