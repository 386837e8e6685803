//! The rules for all instances of a host.

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_abi::{Manifest, Permission};

use super::consent::decided;
use super::{Allowance, Ceilings, Consents, Decided, Policy, PolicyMode, Subject};

/// The rules for all instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostRules {
    /// Counts the changes: of two, the one with the larger number holds the other's changes too.
    pub(crate) revision: u64,
    pub(crate) policy: Arc<Policy>,
    /// The mode that was chosen in place of the policy's.
    pub(crate) chosen_mode: Option<PolicyMode>,
    /// The permissions allowed in words.
    pub(crate) allowed: Arc<[Allowance]>,
    /// The saved consents; `None` if nothing is saved.
    pub(crate) saved: Option<Arc<Consents>>,
    /// The ceilings below those of the policy.
    pub(crate) ceilings: Arc<Ceilings>,
}

impl HostRules {
    /// The decisions about an artifact before it is loaded.
    pub(crate) fn decided_for(
        &self,
        manifest: &Manifest,
        subject: Subject<'_>,
    ) -> BTreeMap<Permission, Decided> {
        decided(&self.allowed, self.saved.as_deref(), manifest, subject)
    }

    /// The mode for permissions about which no rule says anything.
    pub(crate) fn mode(&self) -> PolicyMode {
        self.chosen_mode.or(self.policy.mode()).unwrap_or_default()
    }

    /// How much plugins get at most.
    pub(crate) fn ceilings(&self) -> Ceilings {
        self.policy.ceilings(&self.ceilings)
    }
}
