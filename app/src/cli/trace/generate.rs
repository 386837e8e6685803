//! `glovebox trace generate`: a trace of made-up inputs.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use glovebox_abi::units::show_size;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::{CallId, Event, What};
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::observe;
use super::super::report::{Output, Report, count};

/// Make a trace of made-up inputs: JSON orders, one per millisecond, the same for the same seed
#[derive(Debug, Args)]
pub(in crate::cli) struct Generate {
    /// The new trace; nothing is overwritten
    pub out: PathBuf,
    /// How many frames
    #[arg(long, value_name = "N")]
    pub frames: u64,
    /// Which made-up inputs
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Id of the plugin that the frames are for
    #[arg(long, default_value = "echo", value_name = "ID")]
    pub plugin: String,
    #[command(flatten)]
    pub output: Output,
}

/// 1 January 2026, in nanoseconds since the Unix epoch.
const START: u64 = 1_767_225_600_000_000_000;
const MILLISECOND: u64 = 1_000_000;

impl Generate {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        if !glovebox_abi::manifest::is_kebab_case(&self.plugin) {
            let reason = "is not a plugin id; use lower-case words joined by `-`";
            return Err(Problem::Usage(format!("--plugin `{}` {reason}", self.plugin)));
        }
        let mut writer = observe::create(&self.out)?;
        let plugin: Arc<str> = self.plugin.as_str().into();
        let mut random = Random(self.seed);
        for number in 0..self.frames {
            let frame = frame(number, &mut random);
            let event = Event {
                sequence: number,
                at: START.saturating_add(number.saturating_mul(MILLISECOND)),
                plugin: plugin.clone(),
                instance: 0,
                generation: 1,
                what: What::FrameIn { call: CallId(number + 1), frame },
            };
            writer.write(&event).map_err(Problem::Record)?;
        }
        let recorded = observe::finish(writer)?;
        let out = recorded.path.display();
        let sentence = format!("Generated {} into {out}", count(self.frames, "frame"));
        let text = format!("{out} ({})\n", show_size(recorded.bytes));
        let json = json!({
            "out": recorded.path,
            "frames": self.frames,
            "seed": self.seed,
            "size": recorded.bytes,
        });
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}

fn frame(number: u64, random: &mut Random) -> Frame {
    let header = Header::build()
        .text(Header::ID, format!("order-{number}"))
        .text(Header::CONTENT_TYPE, "application/json")
        .finish();
    let items = random.below(8) + 1;
    let mut item = |_| json!({"article": random.below(1000), "count": random.below(9) + 1});
    let items: Vec<_> = (0..items).map(&mut item).collect();
    let customer = format!("customer-{}@example.org", random.below(100));
    let payload = json!({"order": number, "customer": customer, "items": items});
    Frame::new(Kind::DATA, header, payload.to_string())
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
