//! Counts frames and bytes per kind, and tells the percentiles of payload sizes.
//!
//! A data frame is counted and not answered. A control frame with the payload `report` is answered
//! with the numbers as JSON; `reset` starts again from nothing.
//!
//! The plugin shows how state moves from one generation to the next. Version 1 of the state, made
//! by the crate with the feature `v1`, has counts only; version 2 adds sizes. Version 2 goes on
//! from a state of version 1 and says how many frames its percentiles know of.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use glovebox_sdk::{Failure, Frame, Header, Kind, LogLevel, Plugin, Services, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The version of the state that this build writes.
const VERSION: u32 = if cfg!(feature = "v1") { 1 } else { 2 };

/// The plugin: the version of its state, and the state.
#[derive(Debug)]
pub struct Stats {
    version: u32,
    kinds: BTreeMap<String, Counts>,
}

/// The counts of the frames of one kind.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    frames: u64,
    bytes: u64,
    /// How many payloads were at most so many bytes long. Since version 2: a state of version 1 has
    /// none, and that it may be absent is the whole migration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sizes: BTreeMap<u64, u64>,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats { version: VERSION, kinds: BTreeMap::new() }
    }
}

impl Plugin for Stats {
    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        if frame.kind == Kind::CONTROL {
            match &frame.payload[..] {
                b"report" => return Ok(vec![self.report(frame)]),
                b"reset" => {
                    self.kinds.clear();
                    services.log(LogLevel::Info, "counting from nothing again")?;
                    return Ok(Vec::new());
                }
                // Other control frames are counted like any frame.
                _ => {}
            }
        }
        let counts = self.kinds.entry(frame.kind.to_string()).or_default();
        let size = frame.payload.len() as u64;
        counts.frames += 1;
        counts.bytes += size;
        if self.version >= 2 {
            *counts.sizes.entry(round_up(size)).or_default() += 1;
        }
        Ok(Vec::new())
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        let bytes = serde_json::to_vec(&self.kinds)
            .map_err(|error| Failure::new(Failure::GENERIC, error.to_string()))?;
        let version = self.version;
        Ok(Some(State { version, bytes }))
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        if state.version > self.version {
            let message = format!(
                "the state is of version {}, this plugin knows up to {}",
                state.version, self.version
            );
            return Err(Failure::new(Failure::UNSUPPORTED, message));
        }
        self.kinds = serde_json::from_slice(&state.bytes)
            .map_err(|error| Failure::invalid(format!("the state makes no sense: {error}")))?;
        Ok(())
    }
}

impl Stats {
    /// The numbers as JSON, in an answer that repeats the id of the question.
    fn report(&self, question: &Frame) -> Frame {
        let mut kinds = serde_json::Map::new();
        for (kind, counts) in &self.kinds {
            let mut entry = json!({ "frames": counts.frames, "bytes": counts.bytes });
            if self.version >= 2 {
                entry["measured"] = counts.sizes.values().sum::<u64>().into();
                entry["size"] = json!({
                    "p50": counts.percentile(50),
                    "p90": counts.percentile(90),
                    "p99": counts.percentile(99),
                });
            }
            kinds.insert(kind.clone(), entry);
        }
        let mut header = Header::build().text(Header::CONTENT_TYPE, "application/json");
        if let Some(id) = question.header.get(Header::ID) {
            header = header.value(Header::ID, id);
        }
        let report = json!({ "state-version": self.version, "kinds": Value::Object(kinds) });
        Frame::new(Kind::DATA, header.finish(), report.to_string())
    }
}

impl Counts {
    /// The size in bytes that so many of 100 payloads do not exceed; nothing if none was measured.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let wanted = (self.sizes.values().sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        let found = self.sizes.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        found.map(|(size, _)| *size)
    }
}

/// The size itself below 16, and above it the next number with four significant bits: at most one
/// eighth too large, and at most 500 different numbers however many frames come.
fn round_up(size: u64) -> u64 {
    let step = 1 << (64 - size.leading_zeros()).saturating_sub(4);
    size.div_ceil(step) * step
}

#[cfg(not(feature = "v1"))]
glovebox_sdk::export!(Stats);
#[cfg(feature = "v1")]
glovebox_sdk::export!(Stats, manifest = "plugin-v1.toml");

#[cfg(test)]
mod tests;
