//! `glovebox trace generate`: a trace of a made-up run.

use std::path::PathBuf;

use clap::Args;
use glovebox_abi::units::show_size;
use glovebox_events::What;
use glovebox_trace::MadeUpRun;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::observe;
use super::super::report::{Files, Output, Report, count, named, shown};
use crate::ending::is_asked;

/// Generate a trace of a made-up run of any size
///
/// The same seed gives the same trace. Four plugins work on orders: there are JSON and CBOR frames
/// in both directions, latencies with a heavy tail, host calls, failures and denials.
#[derive(Debug, Args)]
pub(in crate::cli) struct Generate {
    /// The new trace; nothing is overwritten without --force
    pub out: PathBuf,
    /// Number of frames, in and out together
    #[arg(long, value_name = "N")]
    pub frames: u64,
    /// Number that the made-up run is derived from
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Generate only inputs for this plugin, to be replayed into it
    #[arg(long, value_name = "ID")]
    pub plugin: Option<String>,
    #[command(flatten)]
    pub output: Output,
}

impl Generate {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.out)?;
        let run = match &self.plugin {
            None => MadeUpRun::new(self.frames, self.seed),
            Some(plugin) if glovebox_abi::manifest::is_kebab_case(plugin) => {
                MadeUpRun::inputs(plugin, self.frames, self.seed)
            }
            Some(plugin) => {
                let reason = "is not a plugin id; use lower-case words joined by `-`";
                return Err(Problem::Usage(format!("--plugin `{plugin}` {reason}")));
            }
        };
        let mut writer = observe::create(to)?;
        let mut frames = 0u64;
        for event in run.take_while(|_| !is_asked()) {
            frames += u64::from(matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. }));
            if let Err(error) = writer.write(&event) {
                // Half of a run would mislead. If it cannot be removed, its name says `.partial`.
                let _ = writer.discard();
                return Err(Problem::Record(error).after(generated(0)));
            }
        }
        let recorded = observe::finish(writer).map_err(|problem| problem.after(generated(0)))?;
        let out = named(&recorded.path);
        let sentence = format!("{} into {out}", generated(frames));
        let text = format!("{out} ({})\n", show_size(recorded.bytes));
        let json = json!({
            "out": shown(&recorded.path),
            "frames": frames,
            "events": recorded.events,
            "seed": self.seed,
            "size": recorded.bytes,
        });
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}

fn generated(frames: u64) -> String {
    format!("Generated {}", count(frames, "frame"))
}
