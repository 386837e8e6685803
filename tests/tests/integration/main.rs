//! The integration tests: one binary, a module for each subject.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test, also in its helpers")]

mod allocations;
mod architecture;
mod bindings;
mod cache;
mod cases_native;
mod cases_wasm;
mod catalog;
mod cli;
mod compiling;
mod consent;
mod determinism;
mod dispatch;
mod floods;
mod frames;
mod fuzz;
mod lifecycle;
mod load_errors;
mod misbehaviour;
mod mock;
mod observe;
mod panics;
mod parity;
mod pipeline;
mod policy;
mod recording;
mod reload;
mod replay;
mod smoke;
mod wasi;
mod window;
mod window_consent;
mod window_files;
mod window_replays;
mod window_runs;
mod workspace;
