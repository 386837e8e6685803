//! The integration tests: one binary, a module for each subject.

mod architecture;
mod bindings;
mod cli;
mod dispatch;
mod load_errors;
mod misbehaviour;
mod policy;
mod reload;
mod smoke;
mod window;
