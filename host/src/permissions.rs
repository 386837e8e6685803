//! What people decide about permissions while plugins run, and what they can see of their use.

use std::sync::Arc;

use glovebox_abi::Permission;
use glovebox_events::ReloadCause;

use crate::Host;
use crate::policy::{AccessLog, Decision, Policy, PolicyMode, Wish};
use crate::registry::InstanceId;

/// What applies to all instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostRules {
    pub(crate) policy: Arc<Policy>,
    pub(crate) mode: PolicyMode,
}

impl Host {
    /// Replaces the policy, and the mode if the policy names one; in effect at once. What was
    /// decided for single instances stays on top of it.
    ///
    /// An instance whose folders or environment change loses those that it had at once, and gets a
    /// fresh copy with its state for the new ones; see
    /// [`ReloadCause::PolicyChanged`](glovebox_events::ReloadCause).
    pub fn set_policy(&self, policy: Policy) {
        self.change_rules("policy changed", |rules| {
            rules.mode = policy.mode().unwrap_or(rules.mode);
            rules.policy = Arc::new(policy);
        });
    }

    /// The policy that applies to all instances.
    pub fn policy(&self) -> Arc<Policy> {
        self.inner.rules.lock().policy.clone()
    }

    /// Decides what is granted where no rule says anything; in effect at once.
    pub fn set_policy_mode(&self, mode: PolicyMode) {
        self.change_rules(&format!("policy is {mode}"), |rules| rules.mode = mode);
    }

    /// What is granted where no rule says anything.
    pub fn policy_mode(&self) -> PolicyMode {
        self.inner.rules.lock().mode
    }

    fn change_rules(&self, summary: &str, change: impl FnOnce(&mut HostRules)) {
        let rules = {
            let mut rules = self.inner.rules.lock();
            change(&mut rules);
            rules.clone()
        };
        for slot in self.inner.registry.all() {
            if slot.set_rules(rules.clone(), summary) {
                self.renew(slot.id);
            }
        }
    }

    /// Decides about one permission of one instance; in effect at once. `false` if it is gone.
    pub fn set_decision(&self, id: InstanceId, permission: Permission, decision: Decision) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        if slot.decide(permission, decision) {
            self.renew(id);
        }
        true
    }

    /// The latest uses of permissions by an instance; `None` if it is gone.
    pub fn access_log(&self, id: InstanceId) -> Option<AccessLog> {
        self.slot(id).map(|slot| slot.shared.accesses.lock().log())
    }

    /// What the plugin of an instance wished for while the mode was [`PolicyMode::Record`]; empty
    /// if the instance is gone.
    pub fn wishes(&self, id: InstanceId) -> Vec<Wish> {
        self.slot(id).map(|slot| self.wishes_of(&slot.plugin)).unwrap_or_default()
    }

    /// The same by the plugin's id, also if it could not be loaded.
    pub fn wishes_of(&self, plugin: &str) -> Vec<Wish> {
        let wishes = self.inner.surroundings.journal.wishes.lock();
        wishes.get(plugin).map(|wishes| wishes.list()).unwrap_or_default()
    }

    /// Gives an instance a fresh copy of what runs, with its state, because the copy holds folders
    /// or variables that are no longer right.
    fn renew(&self, id: InstanceId) {
        drop(self.reload_prepared(id, ReloadCause::PolicyChanged));
    }
}
