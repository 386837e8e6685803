//! The sandbox from inside: each forbidden thing is tried by a child of this program that has
//! entered it, as an ordinary user, and as root if this runs as root.
//!
//! Each case names the layers of which each one alone forbids it. It is tried with all layers, when
//! it must fail; with all but those, when it must succeed, so that the case would turn red without
//! them; and with each of them alone.
#![cfg_attr(not(target_os = "linux"), allow(unused))]
#![allow(
    clippy::unwrap_used,
    reason = "this is a test, which clippy cannot see without its harness"
)]
#![allow(clippy::print_stdout, reason = "the results are what this program is for")]

#[cfg(target_os = "linux")]
#[path = "inside/attempts.rs"]
mod attempts;
#[cfg(target_os = "linux")]
#[path = "inside/cases.rs"]
mod cases;
#[cfg(target_os = "linux")]
#[path = "inside/runner.rs"]
mod runner;

#[cfg(target_os = "linux")]
fn main() {
    runner::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    let report = glovebox_sandbox::enter(&glovebox_sandbox::Profile::strictest()).unwrap();
    assert_eq!(report.missing().count(), glovebox_sandbox::Layer::ALL.len());
}
