//! Decisions of people about permissions while plugins run, and the view of their use.

use std::sync::Arc;

use glovebox_abi::Permission;
use glovebox_events::NoteKind;

use super::Host;
use crate::id::InstanceId;
use crate::instance::Instance;
use crate::policy::{
    AccessLog, Ceilings, Consents, Decision, HostRules, Lifetime, Policy, PolicyMode,
    VainAllowance, Wish,
};

/// The summary of another policy, in events.
const POLICY_CHANGED: &str = "policy changed";

impl Host {
    /// Replaces the policy; in effect at once. If it names a mode, that holds in place of one that was
    /// [chosen](Self::set_policy_mode). Decisions about single instances stay on top of it. A
    /// [watch](Self::watch_policy) of the file of the policy before ends.
    ///
    /// An instance whose folders or environment change loses those that it had at once, and gets a
    /// fresh copy with its state for the new ones; see
    /// [`ReloadCause::PolicyChanged`](glovebox_events::ReloadCause). Folders that are still granted
    /// stay the same ones. Connections to what is no longer granted end.
    pub fn set_policy(&self, policy: Policy) {
        let ended = self.inner.policy_watch.lock().take();
        drop(ended);
        self.change_rules(POLICY_CHANGED, |rules| {
            if policy.mode().is_some() {
                rules.chosen_mode = None;
            }
            rules.policy = Arc::new(policy);
            true
        });
    }

    /// Replaces the policy by what its file holds now. A mode that was chosen stays, whatever the file names.
    /// `false` if `before` is not the policy any more.
    pub(super) fn renew_policy(&self, before: &Arc<Policy>, policy: Policy) -> bool {
        self.change_rules(POLICY_CHANGED, |rules| {
            let is_current = Arc::ptr_eq(&rules.policy, before);
            if is_current {
                rules.policy = Arc::new(policy);
            }
            is_current
        })
    }

    /// The policy that applies to all instances.
    pub fn policy(&self) -> Arc<Policy> {
        self.inner.rules.lock().policy.clone()
    }

    /// The most that plugins get, for every request.
    pub fn ceilings(&self) -> Ceilings {
        self.inner.rules.lock().ceilings()
    }

    /// Chooses the mode for permissions about which no rule says anything, in place of the one that the policy
    /// names; in effect at once. It stays when the file of the policy changes, until another policy is
    /// [set](Self::set_policy) that names one.
    pub fn set_policy_mode(&self, mode: PolicyMode) {
        self.change_rules(&format!("policy is {mode}"), |rules| {
            rules.chosen_mode = Some(mode);
            true
        });
    }

    /// The mode for permissions about which no rule says anything.
    pub fn policy_mode(&self) -> PolicyMode {
        self.inner.rules.lock().mode()
    }

    /// Tells the instances of a change, if there is one, and says whether there is.
    fn change_rules(&self, summary: &str, change: impl FnOnce(&mut HostRules) -> bool) -> bool {
        let rules = {
            let mut rules = self.inner.rules.lock();
            if !change(&mut rules) {
                return false;
            }
            rules.revision += 1;
            // Within the lock, so that the last policy stays the last one.
            self.inner.preparer.follows_policy(&rules.policy);
            rules.clone()
        };
        // Events are told without a lock, so another change may overtake this one: an instance keeps
        // the later of the two.
        for instance in self.inner.registry.all() {
            let renews = instance.take_rules(&rules);
            instance.tell_rules(summary);
            self.take_up(&instance, renews == Some(true));
        }
        true
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

    /// Lets a version that is older than the running one, and waits for that, take over. It may go on
    /// waiting for decisions about permissions. `false` if the instance is gone, or no such version waits.
    pub fn accept_older(&self, id: InstanceId) -> bool {
        let Some(instance) = self.instance(id) else { return false };
        if !instance.accept_older() {
            return false;
        }
        instance.note(NoteKind::Generation, "an older version was accepted");
        self.take_up(&instance, false);
        true
    }

    fn decide(
        &self,
        id: InstanceId,
        permission: Permission,
        decision: Decision,
        lifetime: Lifetime,
    ) -> bool {
        let Some(instance) = self.instance(id) else { return false };
        let renews = instance.decide(permission, decision, lifetime);
        self.take_up(&instance, renews);
        true
    }

    /// The saved consents, if this host keeps them.
    pub fn consents(&self) -> Option<Arc<Consents>> {
        self.inner.rules.lock().saved.clone()
    }

    /// Allowances from before plugins were loaded
    /// ([`HostBuilder::allow`](crate::HostBuilder::allow)) that give nothing to any of those that
    /// are loaded now.
    pub fn vain_allowances(&self) -> Vec<VainAllowance> {
        let allowed = self.inner.rules.lock().allowed.clone();
        let instances = self.inner.registry.all();
        let prepared: Vec<_> =
            instances.iter().map(|instance| instance.current().prepared.clone()).collect();
        let plugins: Vec<_> = prepared.iter().map(|one| (&*one.manifest, one.subject())).collect();
        VainAllowance::among(&allowed, &plugins)
    }

    /// After what an instance may do changed: the generation that waited takes over if nothing keeps
    /// it any more, else the copies get what is right now.
    pub(super) fn take_up(&self, instance: &Instance, renews: bool) {
        // If `renews`, the copies hold folders or variables that are no longer right.
        if renews || instance.decided().is_some() {
            drop(self.take_up_decisions(instance.id, renews));
        }
    }

    /// The latest uses of permissions by an instance; `None` if it is gone.
    pub fn access_log(&self, id: InstanceId) -> Option<AccessLog> {
        self.instance(id).map(|instance| instance.shared.accesses.lock().log())
    }

    /// The wishes of an instance's plugin while the mode was [`PolicyMode::Record`]; empty if the
    /// instance is gone.
    pub fn wishes(&self, id: InstanceId) -> Vec<Wish> {
        self.instance(id).map(|instance| self.wishes_of(&instance.plugin)).unwrap_or_default()
    }

    /// The same by the plugin's id, also if it could not be loaded.
    pub fn wishes_of(&self, plugin: &str) -> Vec<Wish> {
        let wishes = self.inner.resources.wishes.lock();
        wishes.get(plugin).map(|wishes| wishes.list()).unwrap_or_default()
    }
}
