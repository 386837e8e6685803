//! `glovebox trace bundle`: one failure of a trace in one file.

use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::failure::{self, Bundle, FailedFrame, FailureReport, Kept, Wanted};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Report, count, named, shown};
use super::NewTrace;

/// Write one failure of a plugin to one file, for somebody on another machine
///
/// The file is a trace of the last frames and host calls, with a report attached. `glovebox inspect` and
/// the window show both, and every reader of MCAP lists them. Payloads and headers give way to their
/// lengths and digests, unless --payloads keeps them, and so do words of failures, log lines, the manifest
/// and folders of this machine, unless --words keeps them. A host writes such a file by itself for each
/// frame that crashes a process twice, with the policy, the sandbox and a backtrace.
#[derive(Debug, Args)]
pub(in crate::cli) struct BundleTrace {
    /// The trace
    pub trace: PathBuf,
    /// Only failures of this plugin
    #[arg(long, value_name = "ID")]
    pub plugin: Option<String>,
    /// This call, however it ended; otherwise the last crash, else the last one that trapped, ran out of
    /// time or broke a limit, else the last one that failed
    #[arg(long, value_name = "N")]
    pub call: Option<u64>,
    /// Keep payloads and headers
    #[arg(long)]
    pub payloads: bool,
    /// Keep words of failures, log lines, the manifest, and names of folders of this machine
    #[arg(long)]
    pub words: bool,
    #[command(flatten)]
    pub new: NewTrace,
}

impl BundleTrace {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.new.out)?;
        let wanted = Wanted { plugin: self.plugin.clone(), call: self.call };
        let found = failure::find(&self.trace, &wanted).map_err(Problem::Trace)?;
        let Some(found) = found else {
            let what = match (self.call, &self.plugin) {
                (Some(call), _) => format!("no call #{call} that ended"),
                (None, Some(plugin)) => format!("no failure of {plugin}"),
                (None, None) => "no failure".to_owned(),
            };
            let trace = named(&self.trace);
            let sentence = format!("Bundled 0 failures: there is {what} in {trace}");
            return Ok(Report::new(
                String::new(),
                json!({ "out": null }),
                sentence,
                Exit::Different,
            ));
        };
        let report = FailureReport {
            glovebox: found.app_version,
            at: found.at,
            plugin: found.plugin.clone(),
            cause: found.outcome.to_string(),
            made_up: found.outcome.is_made_up(),
            call: Some(found.call.0),
            frame: found.frame.as_ref().map(FailedFrame::of),
            ..FailureReport::default()
        };
        let bundle = Bundle {
            report,
            manifest: found.manifest,
            events: found.events,
            left_out: found.left_out,
            printed: Default::default(),
            frame: found.frame,
        };
        let version = env!("CARGO_PKG_VERSION");
        let kept = Kept { payloads: self.payloads, words: self.words };
        bundle.write(to, kept, version).map_err(Problem::Record)?;
        let out = named(&self.new.out);
        let events = count(bundle.events.len() as u64, "event");
        let what = match (self.payloads, self.words) {
            (true, true) => "with payloads and words",
            (true, false) => "with payloads, without words",
            (false, true) => "with words, without payloads",
            (false, false) => "without payloads and words",
        };
        let sentence = format!(
            "Bundled call #{} of {} with {events} into {out}, {what}",
            found.call.0, found.plugin.id
        );
        let json = json!({
            "out": shown(&self.new.out),
            "plugin": found.plugin.id,
            "call": found.call.0,
            "cause": bundle.report.cause,
            "events": bundle.events.len(),
            "events_left_out": bundle.left_out,
            "payloads": self.payloads,
            "words": self.words,
        });
        Ok(Report::new(format!("{}\n", bundle.report.cause), json, sentence, Exit::Good))
    }
}
