//! The changes that people made to one instance: the host's rules, decisions about permissions,
//! limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use glovebox_abi::Permission;
use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_events::What;

use super::Instance;
use super::generation::Coming;
use super::report::Growth;
use super::start::rights;
use crate::load::{LoadRequest, Prepared};
use crate::policy::{
    self, Allowance, Consent, Decided, DecidedBy, Decision, Grants, HostRules, Lifetime, Standing,
    Standpoint, lowered,
};
use crate::services::Rights;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Overrides {
    pub(super) rules: HostRules,
    pub(super) decisions: BTreeMap<Permission, Decided>,
    pub(super) limits: ChangedLimits,
}

/// The limits that a person changed. All others stay those of the request and the manifest, which the
/// next generation may have others of.
#[derive(Clone, Default)]
pub(super) struct ChangedLimits {
    kinds: BTreeSet<LimitKind>,
    /// The values of these kinds; the rest means nothing.
    values: Limits,
}

impl ChangedLimits {
    /// True if a person changed this one.
    pub(super) fn has(&self, limit: LimitKind) -> bool {
        self.kinds.contains(&limit)
    }

    /// These limits with those that a person changed in their place.
    fn over(&self, mut limits: Limits) -> Limits {
        self.kinds.iter().for_each(|kind| copy(*kind, &self.values, &mut limits));
        limits
    }

    /// Takes in what is different from the limits in effect.
    fn take_in(&mut self, limits: &Limits, in_effect: &Limits) {
        for kind in LimitKind::ALL {
            let mut one = in_effect.clone();
            copy(kind, limits, &mut one);
            if one != *in_effect {
                self.kinds.insert(kind);
                copy(kind, limits, &mut self.values);
            }
        }
    }
}

/// Gives one limit the value that it has in `from`.
fn copy(limit: LimitKind, from: &Limits, to: &mut Limits) {
    match limit {
        LimitKind::CallDeadline => to.call_deadline = from.call_deadline,
        LimitKind::Memory => to.memory = from.memory,
        LimitKind::Table => to.table = from.table,
        LimitKind::Resources => to.resources = from.resources,
        LimitKind::Fuel => to.fuel = from.fuel,
        LimitKind::OutputBytes => to.output_bytes = from.output_bytes,
        LimitKind::OutputFrames => to.output_frames = from.output_frames,
        LimitKind::HostCalls => to.host_calls = from.host_calls,
        LimitKind::HostCallBytes => to.host_call_bytes = from.host_call_bytes,
        LimitKind::CarriedBytes => to.carried_bytes = from.carried_bytes,
        LimitKind::LogBytes => to.log_bytes = from.log_bytes,
        LimitKind::KvBytes => to.kv_bytes = from.kv_bytes,
        LimitKind::FileBytes => to.file_bytes = from.file_bytes,
        LimitKind::Queue => to.queue = from.queue,
        LimitKind::QueueBytes => to.queue_bytes = from.queue_bytes,
        LimitKind::Rate => (to.rate, to.burst) = (from.rate, from.burst),
    }
}

impl Overrides {
    /// The limits that were asked for: by a person, or by the request over the manifest.
    pub(super) fn limits(&self, request: &LoadRequest, prepared: &Prepared) -> Limits {
        self.limits.over(request.limits.over(&prepared.manifest.limits))
    }

    /// Folders of `before` that are still granted stay the same ones.
    pub(super) fn grants(&self, prepared: &Prepared, before: &Grants) -> Grants {
        let standpoint = Standpoint {
            policy: &self.rules.policy,
            mode: self.rules.mode(),
            manifest: &prepared.manifest,
            subject: prepared.subject(),
        };
        Grants::of(&standpoint, &self.decisions, &before.folders)
    }

    /// The overrides of a next generation.
    fn of_next(&self, keeps_once: bool) -> Overrides {
        let mut overrides = self.clone();
        if !keeps_once {
            overrides.forget_once();
        }
        overrides
    }

    /// Decides about an artifact as when it is loaded; what a person decided about this instance stays.
    fn decide_for(&mut self, prepared: &Prepared) {
        self.forget_once();
        self.decisions.retain(|_, decided| decided.is_about_instance());
        let decided = self.rules.decided_for(&prepared.manifest, prepared.subject());
        for (permission, decided) in decided {
            self.decisions.entry(permission).or_insert(decided);
        }
    }

    /// Ends what was allowed until the next reload.
    pub(super) fn forget_once(&mut self) {
        self.decisions.retain(|_, decided| !decided.is_once());
    }
}

impl Instance {
    /// True if the copies need other folders or variables now. A person allows the request of the
    /// generation that waits for it, else of the running one.
    pub(crate) fn decide(
        &self,
        permission: Permission,
        decision: Decision,
        lifetime: Lifetime,
    ) -> bool {
        let prepared = self.waiting_for(permission);
        let prepared = prepared.unwrap_or_else(|| self.current().prepared.clone());
        let manifest = &prepared.manifest;
        let within = permission.needs_consent().then(|| {
            let asked = policy::request(manifest, permission, prepared.base.as_deref());
            asked.unwrap_or_default()
        });
        let deciding = self.deciding.lock();
        let mut overrides = self.overrides.lock();
        match decision {
            Decision::AsDeclared => drop(overrides.decisions.remove(&permission)),
            decision => {
                // Without a file nothing outlasts the instance.
                let by = DecidedBy::Person(match &overrides.rules.saved {
                    None if lifetime == Lifetime::Saved => Lifetime::WhileItRuns,
                    _ => lifetime,
                });
                let decided = Decided { decision, within: within.clone(), by };
                overrides.decisions.insert(permission, decided);
            }
        }
        let renews = self.apply(&overrides);
        let saved = overrides.rules.saved.clone();
        drop(overrides);
        self.shared.asked.fetch_and(!(1 << permission as u32), Ordering::Relaxed);
        let name = match decision {
            Decision::AsDeclared => "as declared",
            Decision::Allow => "allowed",
            Decision::Deny => "denied",
        };
        let mut summary = format!("`{permission}` is {name}");
        let keeps = decision == Decision::Allow && lifetime == Lifetime::Saved;
        if decision == Decision::Allow && lifetime != Lifetime::WhileItRuns {
            summary.push_str(&format!(", {}", lifetime.name()));
        }
        let (plugin, digest) = (self.plugin.to_string(), prepared.digest.clone());
        let kept = match &saved {
            Some(saved) if keeps => {
                saved.save(Consent { plugin, digest, permission, within, at: policy::now() })
            }
            // An earlier decision about this artifact no longer holds.
            Some(saved) if decision != Decision::Allow => {
                saved.forget(&plugin, &digest, permission)
            }
            _ => Ok(()),
        };
        drop(deciding);
        match kept {
            Err(error) => summary.push_str(&format!(" while it runs: {error}")),
            Ok(()) if keeps && saved.is_none() => {
                summary.push_str(" while it runs: the host has no file of consents");
            }
            Ok(()) => {}
        }
        self.shared.record(self.current().number, What::PolicyChanged { summary });
        renews
    }

    /// Decides about the first artifact that runs, which is another one than was looked at before.
    pub(super) fn decide_anew(&self, prepared: &Prepared) {
        self.overrides.lock().decide_for(prepared);
    }

    /// Tells that a person is to decide about files, network or environment: a plugin that is given
    /// no folder cannot use one, so that nobody would be asked when it does.
    pub(super) fn ask(&self, grants: &Grants, generation: u32) {
        let all = Permission::ALL.into_iter().map(|(permission, ..)| permission);
        for permission in all.filter(|permission| permission.needs_consent()) {
            let Some(verdict) = grants.verdict(permission) else { continue };
            let is_asking = verdict.standing == Standing::Asking || verdict.asks_more;
            let bit = 1 << permission as u32;
            if verdict.asked
                && is_asking
                && self.shared.asked.fetch_or(bit, Ordering::Relaxed) & bit == 0
            {
                let parameter = list(&verdict.lacks);
                self.shared.record(generation, What::PolicyAsked { permission, parameter });
            }
        }
    }

    /// The same for the generation that runs, if one does.
    pub(crate) fn ask_again(&self) {
        let current = self.current();
        if current.number > 0 {
            self.ask(&current.rights.grants.load(), current.number);
        }
    }

    /// The rights of a generation that gets ready. Changes by people meanwhile hold for it at
    /// once, as long as the result lives.
    pub(super) fn announce(&self, prepared: Prepared, keeps_once: bool) -> Arc<Coming> {
        let overrides = self.overrides.lock();
        let before = self.current().rights.grants.load_full();
        let of_next = overrides.of_next(keeps_once);
        let rights = Arc::new(rights(&self.request(), &of_next, &prepared, &before));
        let coming = Arc::new(Coming { prepared, rights, keeps_once });
        let mut all = self.generations.coming.lock();
        all.retain(|coming| coming.strong_count() > 0);
        all.push(Arc::downgrade(&coming));
        drop(all);
        coming
    }

    /// The permissions that a new generation asks for beyond the running one, and that nobody
    /// decided.
    pub(crate) fn growth(&self, prepared: &Prepared, keeps_once: bool) -> Vec<Growth> {
        let before = self.current().rights.grants.load_full();
        let grants = self.overrides.lock().of_next(keeps_once).grants(prepared, &before);
        let current = self.current();
        let all = Permission::ALL.into_iter().map(|(permission, ..)| permission);
        let grown = all.filter_map(|permission| {
            let base = prepared.base.as_deref();
            let asked = policy::request(&prepared.manifest, permission, base)?;
            let verdict = grants.verdict(permission)?;
            let is_asking = verdict.standing == Standing::Asking || verdict.asks_more;
            let base = current.prepared.base.as_deref();
            let before = policy::request(&current.prepared.manifest, permission, base);
            let grows = !policy::covers(&before.unwrap_or_default(), &asked);
            let asks = || verdict.asks.clone();
            (is_asking && grows).then(|| Growth { permission, asks: asks(), request: asked })
        });
        grown.collect()
    }

    /// Puts the host's rules into effect, unless later ones are already. True if the copies need other
    /// folders or variables now. Records nothing: [`tell_rules`](Self::tell_rules) does.
    pub(crate) fn take_rules(&self, rules: &HostRules) -> Option<bool> {
        let mut overrides = self.overrides.lock();
        if overrides.rules.revision >= rules.revision {
            return None;
        }
        overrides.rules = rules.clone();
        let renews = self.apply(&overrides);
        self.shared.asked.store(0, Ordering::Relaxed);
        drop(overrides);
        self.resize_queue();
        Some(renews)
    }

    /// Tells that the host's rules changed, and asks anew what they leave to a person.
    pub(crate) fn tell_rules(&self, summary: &str) {
        self.ask_again();
        let summary = summary.to_owned();
        self.shared.record(self.current().number, What::PolicyChanged { summary });
    }

    pub(crate) fn set_limits(&self, limits: &Limits) {
        let lowered = {
            let mut overrides = self.overrides.lock();
            let in_effect = self.generations.current.load().rights.limits.load_full();
            overrides.limits.take_in(limits, &in_effect);
            self.apply(&overrides);
            self.lowered(&overrides).into_iter()
        };
        self.resize_queue();
        let summary = ["limits changed".to_owned()].into_iter().chain(lowered);
        let summary = summary.collect::<Vec<_>>().join("; ");
        self.shared.record(self.current().number, What::PolicyChanged { summary });
    }

    /// The limits that the plugin does not get because of a ceiling, in words.
    fn lowered(&self, overrides: &Overrides) -> Vec<String> {
        let current = self.generations.current.load();
        let asked = overrides.limits(&self.request(), &current.prepared);
        let mut lowered = lowered(&asked, &current.rights.limits.load());
        let (copies, most) = (current.prepared.manifest.runtime.instances, self.copies());
        if copies as usize > most {
            lowered.push(format!(
                "{most} copies run: {copies} were asked for, and that is the ceiling of the host"
            ));
        }
        lowered
    }

    /// Gives the queue the length that its limit says.
    pub(super) fn resize_queue(&self) {
        let limit = || self.generations.current.load().rights.limits.load().queue;
        self.queue.resize(limit, &self.support.runtime);
        self.queue.resize_bytes(self.generations.current.load().rights.limits.load().queue_bytes);
    }

    /// The ceilings of the host for the length of its queue, in frames and in bytes, where there are some.
    pub(crate) fn queue_ceilings(&self) -> (Option<u32>, Option<u64>) {
        let current = self.generations.current.load();
        let ceilings = current.rights.ceilings.load().of(current.prepared.tier);
        (ceilings.queue, ceilings.queue_bytes)
    }

    /// Says what the plugin does not get because of a ceiling.
    pub(crate) fn say_lowered(&self) {
        let lowered = self.lowered(&self.overrides.lock());
        for summary in lowered {
            tracing::warn!(plugin = &*self.plugin, summary);
            self.shared.record(self.current().number, What::PolicyChanged { summary });
        }
    }

    /// Puts the overrides into effect for the generation that runs and for one that gets ready. True
    /// if copies of either need other folders or variables now.
    pub(super) fn apply(&self, overrides: &Overrides) -> bool {
        let current = self.generations.current.load();
        let renews = self.apply_to(&current.prepared, &current.rights, overrides);
        let last = overrides.rules.policy.swap().probe_last;
        self.support.recent.keep(last);
        self.pool.statuses().for_each(|status| status.keep_frames(last > 0));
        let coming = self.generations.coming.lock();
        let coming: Vec<_> = coming.iter().filter_map(Weak::upgrade).collect();
        coming.iter().fold(renews, |renews, coming| {
            let overrides = overrides.of_next(coming.keeps_once);
            self.apply_to(&coming.prepared, &coming.rights, &overrides) || renews
        })
    }

    fn apply_to(&self, prepared: &Prepared, rights: &Rights, overrides: &Overrides) -> bool {
        let ceilings = overrides.rules.ceilings();
        let limits = ceilings.lower(prepared.tier, &overrides.limits(&self.request(), prepared));
        rights.set_limits(limits, &ceilings);
        let before = rights.grants.load();
        rights.set_grants(overrides.grants(prepared, &before))
    }
}

/// The requests, in one line.
pub(crate) fn list(asks: &[Allowance]) -> String {
    let asks: Vec<&str> = asks.iter().map(Allowance::parameter).collect();
    asks.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;
    use std::time::Duration;

    use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};

    use super::*;
    use crate::host::Host;
    use crate::policy::Consents;

    struct Nothing;

    impl Plugin for Nothing {
        fn process(&mut self, _: &mut dyn Services, _: &Frame) -> Result<Vec<Frame>, Failure> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn the_last_decision_is_the_one_that_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let consents = Arc::new(Consents::open(folder.path().join("consents.toml")).unwrap());
        let host = Host::builder().consents(consents.clone()).build().unwrap();
        let manifest =
            Manifest::parse("[plugin]\nid = \"asks\"\n[permissions]\nenvironment = [\"HOME\"]");
        let request = LoadRequest::core(manifest.unwrap(), || Box::new(Nothing));
        let instance = host.instance(host.load(request).wait().unwrap()).unwrap();
        let permission = Permission::Environment;
        for round in 0..100 {
            let together = Barrier::new(2);
            thread::scope(|scope| {
                for decision in [Decision::Allow, Decision::Deny] {
                    let (instance, together) = (&instance, &together);
                    scope.spawn(move || {
                        together.wait();
                        instance.decide(permission, decision, Lifetime::Saved);
                    });
                }
            });
            let last = instance.overrides.lock().decisions[&permission].decision;
            assert_eq!(!consents.all().is_empty(), last == Decision::Allow, "round {round}");
        }
    }

    #[test]
    fn a_limit_that_is_changed_pins_no_other() {
        let first = Limits { memory: 32 << 20, fuel: Some(7), queue: 9, ..Limits::default() };
        let mut changed = ChangedLimits::default();
        let mut change = |own: &Limits, change: fn(&mut Limits)| {
            let in_effect = changed.over(own.clone());
            let mut wanted = in_effect.clone();
            change(&mut wanted);
            changed.take_in(&wanted, &in_effect);
            assert_eq!(changed.over(own.clone()), wanted);
        };
        change(&first, |limits| limits.call_deadline = Duration::from_secs(5));
        change(&first, |limits| limits.fuel = None);
        // The manifest of the next generation has others, which a further change leaves alone.
        let second = Limits { memory: 48 << 20, fuel: Some(8), queue: 10, ..Limits::default() };
        change(&second, |limits| limits.burst += 1);
        let third = Limits { memory: 1 << 20, ..second.clone() };
        let found = changed.over(third);
        assert_eq!((found.memory, found.queue, found.fuel), (1 << 20, 10, None));
        assert_eq!(found.call_deadline, Duration::from_secs(5));
        assert_eq!(found.burst, second.burst + 1);
        assert!(changed.has(LimitKind::Rate) && !changed.has(LimitKind::Memory));
    }
}
