//! Forbids this process what it does not need, layer by layer, before it runs code of a stranger.
//!
//! Read [`Profile`] first (what the process may still do), then [`enter`] (from then on it holds),
//! then [`SandboxReport`] (which layers hold, which are missing, and what would help). [`check_layers`]
//! tells the same about this machine without entering: it tries a forbidden thing in a child. A
//! [`Cgroup`] is the one layer that somebody outside has to make.
//!
//! ```no_run
//! use glovebox_sandbox::{Layer, Profile, enter};
//!
//! let report = enter(&Profile::strictest())?;
//! for (layer, missing) in report.missing() {
//!     panic!("{layer} does not hold: {}; {}", missing.reason, missing.remedy);
//! }
//! assert!(std::fs::read("/etc/passwd").is_err());
//! # Ok::<(), glovebox_sandbox::SandboxError>(())
//! ```
//!
//! No layer is trusted alone: what one lets through, another one stops, which a test of each layer
//! without the others shows. A layer that the machine does not have is reported, never skipped in
//! silence; whether to run without it is for the caller to decide, who reads the report before the
//! stranger's code is read.
//!
//! This crate deliberately starts no process and knows nothing of plugins: that is
//! `glovebox-worker`. On other systems than Linux it compiles, and reports every layer as missing.
#![warn(missing_docs)]

mod profile;
mod promise;
mod report;

#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod container_calls;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod identity;
#[cfg(target_os = "linux")]
mod layers;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
mod system_calls;

#[cfg(not(target_os = "linux"))]
mod elsewhere;

#[cfg(target_os = "linux")]
pub use cgroup::Cgroup;
#[cfg(target_os = "linux")]
pub use container_calls::{
    ArgumentBits, CallAnswer, ContainerCall, container_call_program, container_calls,
};
#[cfg(not(target_os = "linux"))]
pub use elsewhere::{Cgroup, check_layers, enter};
#[cfg(target_os = "linux")]
pub use files::system_programs;
#[cfg(target_os = "linux")]
pub use identity::{has_ended, own_mark, status_fields};
#[cfg(target_os = "linux")]
pub use layers::check_layers;
pub use profile::{Access, Folder, Layer, Limits, Network, Profile, Reach, SystemCalls};
pub use promise::Promise;
pub use report::{LayerCheck, LayerReport, LayerState, Missing, SandboxError, SandboxReport};
#[cfg(target_os = "linux")]
pub use system::check;

/// Enters the sandbox: what the profile does not allow is forbidden to this process from now on,
/// and to all that come after it. There is no way back.
///
/// # Errors
///
/// If the process has several threads, of which some layers would hold one alone, or if a folder of
/// the profile cannot be used. The process may be in some of the layers then: it should end.
#[cfg(target_os = "linux")]
pub fn enter(profile: &Profile) -> Result<SandboxReport, SandboxError> {
    system::expect_one_thread()?;
    let folders = files::check(&profile.reach.folders)?;
    let mut report = SandboxReport::default();
    // The order matters. Namespaces come first because a new user namespace gives capabilities,
    // which are then dropped. A change of credentials clears the signal of the parent's death and
    // the ban on dumps, so that these come after it. System calls come last: the others are made
    // of them.
    namespaces::enter(profile, &mut report);
    mounts::enter(profile, &folders, &mut report);
    limits::enter(profile, &mut report);
    capabilities::enter(profile, &mut report);
    process::enter(profile, &mut report)?;
    files::enter(profile, &folders, &mut report);
    system_calls::enter(profile, &mut report);
    Ok(report)
}
