//! `glovebox trace generate`: a trace of a made-up run.

use std::path::PathBuf;

use clap::Args;
use glovebox_abi::units::show_size;
use glovebox_events::What;
use glovebox_inspector::trace::MadeUpRun;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::observe;
use super::super::report::{Files, Output, Report, count, named, shown};
use crate::ending::is_asked;

/// Make a trace of a made-up run, of any size, the same for the same seed
///
/// Four plugins work on orders: frames in and out with JSON and CBOR, latencies with a heavy tail,
/// host calls, failures and denials.
#[derive(Debug, Args)]
pub(in crate::cli) struct Generate {
    /// The new trace; nothing is overwritten without --force
    pub out: PathBuf,
    /// How many frames, in and out together
    #[arg(long, value_name = "N")]
    pub frames: u64,
    /// Which made-up run
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Make inputs for this plugin only, to be replayed into it
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
            writer.write(&event).map_err(Problem::Record)?;
        }
        let recorded = observe::finish(writer)?;
        let out = named(&recorded.path);
        let sentence = format!("Generated {} into {out}", count(frames, "frame"));
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
