//! `glovebox trace export`: events as NDJSON.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_inspector::export;
use glovebox_inspector::trace::TraceReader;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Output, Report, count};

/// Write the events of a trace as NDJSON, one object per line
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The trace
    pub trace: PathBuf,
    /// Where to; `-` is stdout
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

/// Why not everything was exported.
enum Stopped {
    Read(Problem),
    Write(io::Error),
}

impl Export {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let to_stdout = self.out == Path::new("-");
        if to_stdout && self.output.json.as_deref() == Some(Path::new("-")) {
            let reason = "both the events and the report want stdout; give -o a file";
            return Err(Problem::Usage(reason.to_owned()));
        }
        let reader = TraceReader::open(&self.trace).map_err(Problem::Trace)?;
        let out: Box<dyn Write> = match to_stdout {
            true => Box::new(io::stdout().lock()),
            false => Box::new(File::create(&self.out).map_err(Problem::file("write", &self.out))?),
        };
        let mut events = 0u64;
        let copied = copy(reader, BufWriter::new(out), &mut events);
        let exported = count(events, "event");
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
        let json = json!({ "trace": self.trace, "out": self.out, "events": events });
        Ok(Report::new(String::new(), json, sentence, Exit::Good))
    }
}

fn copy(reader: TraceReader, mut out: impl Write, events: &mut u64) -> Result<(), Stopped> {
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
