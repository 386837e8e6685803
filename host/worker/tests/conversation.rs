//! Workers of all sorts, talked to by a host: this program, which runs itself again as a worker, as
//! a worker that breaks every rule, and as a host that is killed.
#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![allow(
    clippy::unwrap_used,
    reason = "this is a test, which clippy cannot see without its harness"
)]
#![allow(clippy::print_stdout, reason = "the results are what this program is for")]

#[cfg(target_os = "linux")]
#[path = "conversation/cases.rs"]
mod cases;
#[cfg(target_os = "linux")]
#[path = "conversation/evil.rs"]
mod evil;
#[cfg(target_os = "linux")]
#[path = "conversation/plugin.rs"]
mod plugin;
#[cfg(target_os = "linux")]
#[path = "conversation/program.rs"]
mod program;

#[cfg(target_os = "linux")]
fn main() {
    // Before the line that a good worker begins with.
    evil::run_if_requested();
    program::run_if_requested();
    glovebox_worker::run_if_requested(|| plugin::Commands);
    cases::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}
