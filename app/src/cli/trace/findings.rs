//! `glovebox trace findings`: checks a trace with all rules.

use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::findings::RecordBuilder;
use glovebox_trace::{TraceError, TraceReader, instance_name};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::findings::{self, FindingsArgs};
use super::super::report::{Output, Report, count, one_line, shown};
use crate::ending::ending_with;

/// Check a trace with all rules; `glovebox findings` lists them
///
/// Budgets and permissions come from the manifests in the trace. A call that begins before the
/// trace or ends after it counts as far as it goes.
#[derive(Debug, Args)]
pub(in crate::cli) struct TraceFindings {
    /// The trace, finished or not
    pub trace: PathBuf,
    #[command(flatten)]
    pub findings: FindingsArgs,
    #[command(flatten)]
    pub output: Output,
}

impl TraceFindings {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let mut reader = TraceReader::open(&self.trace).map_err(Problem::Trace)?;
        let mut builder = RecordBuilder::default();
        let (mut events, mut damaged) = (0u64, 0u64);
        let cancelled = TraceError::Cancelled { path: self.trace.clone() };
        for event in ending_with(&mut reader, cancelled) {
            match event {
                Ok(event) => {
                    events += 1;
                    builder.ingest(&event);
                }
                Err(TraceError::Damaged { lost, .. } | TraceError::CutShort { lost, .. }) => {
                    damaged += lost;
                }
                Err(error) => return Err(Problem::Trace(error)),
            }
        }
        for plugin in reader.plugins() {
            builder.describe_record(plugin);
        }
        let judgement = self.findings.judge(&builder.finish())?;
        let judgement =
            judgement.named(|plugin, instance| instance_name(reader.plugins(), plugin, instance));
        let found = findings::sentence(&judgement).unwrap_or_else(|| "0 findings".to_owned());
        let mut sentence = format!("Looked over {}: {found}", count(events, "event"));
        let exit = match damaged {
            0 if self.findings.fails(&judgement) => Exit::Different,
            0 => Exit::Good,
            damaged => {
                let damaged = count(damaged, "byte");
                sentence.push_str(&format!("; {damaged} of the trace could not be read"));
                Exit::TraceUnreadable
            }
        };
        let lines = findings::lines(&judgement);
        let text =
            lines.iter().map(|(name, line)| format!("{name:<12} {}\n", one_line(line))).collect();
        let mut json =
            json!({ "trace": shown(&self.trace), "events": events, "damaged_bytes": damaged });
        findings::add_to(&mut json, &judgement);
        Ok(Report::new(text, json, sentence, exit))
    }
}
