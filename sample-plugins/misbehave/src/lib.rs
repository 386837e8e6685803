//! Misbehaves on demand, to show how a host handles it.
//!
//! The configuration chooses a `mode`, and when it strikes: in `initialize` or for each frame. A
//! data frame with the payload `mode=…` chooses one for itself. Without a mode it echoes.
//!
//! In a native build some modes are as bad as they sound: `trap`, `recurse` and `loop` take the
//! process down or hang it, and `grow` takes real memory. Run that build in a worker.
#![forbid(unsafe_code)]

use std::hint::black_box;

use glovebox_sdk::{Bytes, Failure, Frame, LogLevel, Plugin, ServiceError, Services};
use serde::Deserialize;
use serde_json::json;

/// Ways to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Echoes, as a good plugin.
    #[default]
    None,
    /// Stops in the middle without a word.
    Trap,
    /// Panics with a message.
    Panic,
    /// Never comes back.
    Loop,
    /// Calls itself until the stack ends.
    Recurse,
    /// Takes `bytes` of memory and keeps them.
    Grow,
    /// Answers with `count` frames of 1 KiB.
    Flood,
    /// Logs `count` lines of 1 KiB.
    FloodLog,
    /// Uses services that its manifest does not ask for, and reports what came of it.
    DenyMe,
    /// Is busy for `milliseconds`, then echoes.
    Slow,
    /// Fails politely.
    Fail,
}

/// When a configured mode strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum When {
    Initialize,
    #[default]
    Process,
}

/// `[config]` of the plugin, and the plugin itself.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Misbehave {
    mode: Mode,
    when: When,
    milliseconds: u64,
    bytes: u64,
    count: usize,
}

impl Default for Misbehave {
    fn default() -> Misbehave {
        Misbehave {
            mode: Mode::None,
            when: When::Process,
            milliseconds: 50,
            bytes: 4 << 30,
            count: 20_000,
        }
    }
}

impl Plugin for Misbehave {
    fn initialize(&mut self, services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        *self = glovebox_sdk::config(config)?;
        if self.when == When::Initialize {
            self.strike(services, self.mode, &Frame::data(""))?;
            self.mode = Mode::None;
        }
        Ok(())
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let mode = match frame.payload.strip_prefix(b"mode=") {
            Some(name) => {
                let name = String::from_utf8_lossy(name);
                serde_json::from_value(name.trim().into())
                    .map_err(|error| Failure::invalid(error.to_string()))?
            }
            None => self.mode,
        };
        self.strike(services, mode, frame)
    }
}

impl Misbehave {
    fn strike(
        &self,
        services: &mut dyn Services,
        mode: Mode,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        match mode {
            Mode::None => {}
            // In WebAssembly, `abort` becomes the instruction `unreachable`.
            Mode::Trap => std::process::abort(),
            Mode::Panic => panic!("misbehaving on demand"),
            Mode::Loop => loop {
                black_box(());
            },
            Mode::Recurse => drop(recurse(1)),
            Mode::Grow => {
                for _ in 0..self.bytes >> 20 {
                    // Written to, because memory that nobody touches costs nothing.
                    black_box(vec![1_u8; 1 << 20].leak());
                }
            }
            Mode::Flood => {
                let payload = Bytes::from(vec![b'x'; 1024]);
                return Ok(vec![Frame::data(payload); self.count]);
            }
            Mode::FloodLog => {
                let line = "x".repeat(1024);
                (0..self.count).try_for_each(|_| services.log(LogLevel::Info, &line))?;
            }
            Mode::DenyMe => {
                let report = json!({
                    "kv": told(services.kv_set("stolen", b"value")),
                    "random": told(services.random(&mut [0; 16])),
                    "emit": told(services.emit(frame)),
                    "config": told(services.config("")),
                });
                return Ok(vec![Frame::data(report.to_string())]);
            }
            Mode::Slow => {
                let end = services.now()? + self.milliseconds * 1_000_000;
                while services.now()? < end {
                    for step in 0..1_000_000 {
                        black_box(step);
                    }
                }
            }
            Mode::Fail => return Err(Failure::new(Failure::FIRST_OWN, "failing on demand")),
        }
        Ok(vec![frame.clone()])
    }
}

fn told<T>(result: Result<T, ServiceError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "granted".to_owned())
}

/// Uses a kilobyte of stack for each step, in a way that no optimizer makes a loop of.
fn recurse(depth: u64) -> u64 {
    let block = black_box([depth; 128]);
    if depth == 0 { 0 } else { recurse(black_box(depth + 1)) + black_box(block)[0] }
}

glovebox_sdk::export!(Misbehave);

#[cfg(test)]
mod tests;
