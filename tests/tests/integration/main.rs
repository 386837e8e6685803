//! The integration tests: one binary, a module for each subject.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test, also in its helpers")]

mod allocations;
mod architecture;
mod bindings;
mod catalog;
mod cli;
mod dispatch;
mod frames;
mod lifecycle;
mod load_errors;
mod misbehaviour;
mod mock;
mod pipeline;
mod policy;
mod reload;
mod smoke;
mod wasi;
mod window;
mod workspace;
