//! Systems that have no sandbox here yet: every layer is missing, and said to be.

use crate::{Layer, LayerCheck, Missing, Profile, SandboxError, SandboxReport};

fn missing() -> Missing {
    let reason = format!("the sandbox is written for Linux, and this is {}", std::env::consts::OS);
    Missing::new(reason, "run strangers' plugins on Linux, or as WebAssembly")
}

/// Enters nothing: see the report.
///
/// # Errors
///
/// None here.
pub fn enter(profile: &Profile) -> Result<SandboxReport, SandboxError> {
    let mut report = SandboxReport::default();
    for layer in Layer::ALL {
        report.add(layer, profile.wants(layer), || Err(missing()));
    }
    Ok(report)
}

/// Every layer is missing.
///
/// # Errors
///
/// None here.
pub fn check_layers() -> Result<Vec<LayerCheck>, SandboxError> {
    let check = |layer| LayerCheck { layer, tried: "nothing".to_owned(), missing: Some(missing()) };
    Ok(Layer::ALL.into_iter().map(check).collect())
}

/// A group of processes; there are none here.
#[derive(Debug)]
pub enum Cgroup {}
