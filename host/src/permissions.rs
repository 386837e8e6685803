//! What people decide about permissions while plugins run, and what they can see of their use.

use std::collections::BTreeMap;
use std::sync::Arc;

use glovebox_abi::Permission;
use glovebox_events::ReloadCause;

use crate::Host;
use crate::load::Prepared;
use crate::policy::{
    self, AccessLog, Allowance, Ceilings, Consents, Decided, Decision, Lifetime, Policy,
    PolicyMode, Wish,
};
use crate::registry::InstanceId;
use crate::slot::Slot;

/// What applies to all instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostRules {
    pub(crate) policy: Arc<Policy>,
    pub(crate) mode: PolicyMode,
    /// What is allowed in words.
    pub(crate) allowed: Arc<[Allowance]>,
    /// What was agreed to before; `None` if nothing is kept.
    pub(crate) saved: Option<Arc<Consents>>,
    /// What the policy's ceilings lie over.
    pub(crate) ceilings: Arc<Ceilings>,
}

impl HostRules {
    /// What was decided about an artifact before it is loaded.
    pub(crate) fn decided_for(&self, prepared: &Prepared) -> BTreeMap<Permission, Decided> {
        let (saved, base) = (self.saved.as_deref(), prepared.base.as_deref());
        policy::decided(&self.allowed, saved, &prepared.manifest, &prepared.digest, base)
    }

    /// How much plugins get at most.
    pub(crate) fn ceilings(&self) -> Ceilings {
        self.policy.ceilings(&self.ceilings)
    }
}

impl Host {
    /// Replaces the policy, and the mode if the policy names one; in effect at once. What was
    /// decided for single instances stays on top of it.
    ///
    /// An instance whose folders or environment change loses those that it had at once, and gets a
    /// fresh copy with its state for the new ones; see
    /// [`ReloadCause::PolicyChanged`](glovebox_events::ReloadCause). Folders that are still granted
    /// stay the same ones. Connections to what is no longer granted end.
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

    /// How much plugins get at most, whatever they ask for.
    pub fn ceilings(&self) -> Ceilings {
        self.inner.rules.lock().ceilings()
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
            let outfit = slot.set_rules(rules.clone(), summary);
            self.take_up(&slot, outfit);
        }
    }

    /// Decides about one permission of one instance, for as long as it runs; in effect at once.
    /// `false` if it is gone. Anything but [`Decision::Allow`] also forgets what was saved about the
    /// artifact.
    ///
    /// If a new generation waits for the decision, it takes over: with the permission, or without it
    /// if it is denied.
    pub fn set_decision(&self, id: InstanceId, permission: Permission, decision: Decision) -> bool {
        self.decide(id, permission, decision, Lifetime::WhileItRuns)
    }

    /// Allows one permission of one instance for so long; otherwise as
    /// [`set_decision`](Self::set_decision). Of files, network and environment it allows what the
    /// manifest asks for now, or that of the generation that waits.
    pub fn allow(&self, id: InstanceId, permission: Permission, lifetime: Lifetime) -> bool {
        self.decide(id, permission, Decision::Allow, lifetime)
    }

    fn decide(
        &self,
        id: InstanceId,
        permission: Permission,
        decision: Decision,
        lifetime: Lifetime,
    ) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let outfit = slot.decide(permission, decision, lifetime);
        self.take_up(&slot, outfit);
        true
    }

    /// What was agreed to before, if this host keeps it.
    pub fn consents(&self) -> Option<Arc<Consents>> {
        self.inner.rules.lock().saved.clone()
    }

    /// After what an instance may do changed: the generation that waited takes over if nothing keeps
    /// it any more, else the copies get what is right now.
    fn take_up(&self, slot: &Slot, outfit: bool) {
        let waiting = slot.waiting();
        if waiting.is_some_and(|(prepared, ..)| slot.growth(&prepared, true).is_empty()) {
            drop(self.take_waiting(slot.id));
        } else if outfit {
            self.renew(slot.id);
        }
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
