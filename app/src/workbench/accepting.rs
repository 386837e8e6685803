//! The things that a person accepts about a plugin, which is not loaded without.

use glovebox_host::LoadProblem;

/// The things that a person accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepting {
    /// Its sandbox lacks layers about which the policy asks.
    pub missing_layers: bool,
    /// It runs in a container.
    pub container: bool,
}

impl Accepting {
    /// The same and what a plugin lacked; nothing if nobody can accept that.
    pub(super) fn and(self, problem: &LoadProblem) -> Option<Accepting> {
        match problem {
            LoadProblem::LayersMissing { is_asked: true, .. } => {
                Some(Accepting { missing_layers: true, ..self })
            }
            LoadProblem::ContainerNotAccepted { .. } => Some(Accepting { container: true, ..self }),
            _ => None,
        }
    }
}
