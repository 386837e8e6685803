use std::io;

use serde::{Deserialize, Serialize};

use crate::Layer;

/// Which layers of a sandbox hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxReport {
    /// One entry for each layer, in the order in which they were entered.
    pub layers: Vec<LayerReport>,
}

/// The state of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    /// The layer.
    pub layer: Layer,
    /// Its state.
    pub state: LayerState,
}

/// The state of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerState {
    /// It was asked for, and holds.
    Enforced,
    /// It was asked for, and does not hold.
    Missing(Missing),
    /// It was not asked for, or the profile allows all that it would forbid.
    NotRequested,
}

/// Why a layer does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The obstacle.
    pub reason: String,
    /// The remedy: something to install or configure.
    pub remedy: String,
}

impl Missing {
    /// A layer that does not hold.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Missing {
        Missing { reason: reason.into(), remedy: remedy.into() }
    }
}

impl SandboxReport {
    /// The layers that were asked for and do not hold.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &Missing)> {
        self.layers.iter().filter_map(|entry| match &entry.state {
            LayerState::Missing(missing) => Some((entry.layer, missing)),
            LayerState::Enforced | LayerState::NotRequested => None,
        })
    }

    /// True if the layer holds.
    pub fn is_enforced(&self, layer: Layer) -> bool {
        self.layers.iter().any(|entry| entry.layer == layer && entry.state == LayerState::Enforced)
    }

    /// Lets a layer that was asked for count as enforced: somebody else forbids what it would.
    pub fn keep_elsewhere(&mut self, layer: Layer) {
        for entry in self.layers.iter_mut().filter(|entry| entry.layer == layer) {
            if entry.state != LayerState::NotRequested {
                entry.state = LayerState::Enforced;
            }
        }
    }

    /// Adds a layer that was asked for, or was not.
    pub fn add(
        &mut self,
        layer: Layer,
        requested: bool,
        enter: impl FnOnce() -> Result<(), Missing>,
    ) {
        let state = match requested.then(enter) {
            None => LayerState::NotRequested,
            Some(Ok(())) => LayerState::Enforced,
            Some(Err(missing)) => LayerState::Missing(missing),
        };
        self.layers.push(LayerReport { layer, state });
    }
}

/// Whether a layer works on this machine, found out by trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCheck {
    /// The layer.
    pub layer: Layer,
    /// The forbidden thing that was tried, for people.
    pub tried: String,
    /// Why it does not work; nothing if it does.
    pub missing: Option<Missing>,
}

/// Why a sandbox was not entered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Some layers hold one thread alone.
    #[error("the process has {count} threads, but a sandbox is entered by one that is alone")]
    Threads {
        /// How many there are.
        count: usize,
    },
    /// A handle of the profile is not open.
    #[error("the profile names file descriptor {descriptor}, which is not open")]
    Descriptor {
        /// Its number.
        descriptor: i32,
        /// The error of the system.
        source: io::Error,
    },
    /// The parent ended before its end could be awaited.
    #[error("the parent of this process is {found}, but the profile says {expected}")]
    Parent {
        /// The parent that the profile names.
        expected: u32,
        /// The parent that it has: another one adopted it.
        found: u32,
    },
    /// The system did not answer.
    #[error("cannot {action}")]
    System {
        /// The failed action.
        action: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}
