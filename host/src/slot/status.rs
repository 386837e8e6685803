//! What can be told about an instance.

use std::sync::atomic::{AtomicU64, Ordering};

use glovebox_abi::manifest::{Isolation, LimitChanges, LimitKind, Limits};
use glovebox_abi::{Permission, units};

use super::{Edits, Generation, Slot};
use crate::answers::ANSWERABLE;
use crate::lifecycle::Counters;
use crate::observe::CallLatency;
use crate::policy::{self, Standing, Verdict};
use crate::status::{
    LimitOrigin, LimitStatus, PermissionStatus, PluginStats, PluginStatus, limit_value,
};

impl Slot {
    pub(crate) fn status(&self) -> PluginStatus {
        let current = self.current.load();
        let edits = self.edits.lock();
        let limits = (**current.rights.limits.load()).clone();
        let ceilings = edits.rules.ceilings().of(current.prepared.tier);
        let permissions: Vec<PermissionStatus> = Permission::ALL
            .iter()
            .map(|(permission, ..)| self.permission_status(*permission, &current, &edits))
            .collect();
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            self.lives.iter().map(|life| counter(life.counters()).load(Ordering::Relaxed)).sum()
        };
        let mut latency = CallLatency::default();
        self.lives.iter().for_each(|life| life.counters().latency.add_to(&mut latency));
        PluginStatus {
            instance: self.id,
            manifest: current.prepared.manifest.clone(),
            phase: self.phase(),
            generation: current.number,
            tier: current.prepared.tier,
            isolation: Isolation::InProcess,
            binding: current.prepared.binding,
            digest: current.prepared.digest.clone(),
            path: current.prepared.path.clone(),
            queue_depth: self.queue.depth(),
            watching: self.watching.lock().is_some(),
            can_roll_back: self.previous.lock().is_some(),
            fault: self.fault(),
            refused: self.refused.lock().as_ref().map(|refused| refused.told.clone()),
            stats: PluginStats {
                processed: sum(|counters| &counters.processed),
                errors: sum(|counters| &counters.errors),
                bytes_in: sum(|counters| &counters.bytes_in),
                bytes_out: sum(|counters| &counters.bytes_out),
                denials: permissions.iter().map(|permission| permission.denials).sum(),
                restarts: sum(|counters| &counters.restarts),
            },
            latency,
            memory: Some(sum(|counters| &counters.memory)).filter(|bytes| *bytes > 0),
            permissions,
            mocks: self.mocks(),
            limit_status: self.limit_status(&current, &edits, &ceilings),
            limits,
            ceilings,
        }
    }

    /// The services that do not work as ever.
    fn mocks(&self) -> Vec<&'static str> {
        let mock = self.shared.mock.as_ref();
        let mut mocks = mock.map_or_else(Vec::new, |mock| mock.mock.services());
        for service in ANSWERABLE.into_iter().filter(|_| self.shared.answers.is_some()) {
            if !mocks.contains(&service) {
                mocks.push(service);
            }
        }
        mocks
    }

    fn permission_status(
        &self,
        permission: Permission,
        current: &Generation,
        edits: &Edits,
    ) -> PermissionStatus {
        let decided = edits.decisions.get(&permission);
        let grants = current.rights.grants.load();
        let verdict = grants.verdict(permission);
        let counters = self.shared.counters.permission(permission);
        let last_used = counters.last_used.load(Ordering::Relaxed);
        PermissionStatus {
            permission,
            asked: current.prepared.manifest.asks_for(permission),
            decision: decided.map(|decided| decided.decision).unwrap_or_default(),
            granted: grants.has(permission),
            standing: verdict.map_or(Standing::Denied, |verdict| verdict.standing),
            asks_more: verdict.is_some_and(|verdict| verdict.asks_more),
            asks: verdict.map(|verdict| verdict.asks.clone()).unwrap_or_default(),
            request: policy::request(
                &current.prepared.manifest,
                permission,
                current.prepared.base.as_deref(),
            ),
            rule: verdict.map(|verdict| verdict.rule.clone()).unwrap_or_default(),
            parameters: verdict.map(Verdict::parameters).unwrap_or_default(),
            explanation: verdict.map(|verdict| verdict.explanation.clone()).unwrap_or_default(),
            uses: counters.uses.load(Ordering::Relaxed),
            denials: counters.denials.load(Ordering::Relaxed),
            last_used: (last_used > 0).then_some(last_used),
        }
    }

    fn limit_status(
        &self,
        current: &Generation,
        edits: &Edits,
        ceilings: &LimitChanges,
    ) -> Vec<LimitStatus> {
        let code = &current.prepared.code;
        let manifest = &current.prepared.manifest.limits;
        let requested = self.request.limits.over(manifest);
        let (default, asked) = (Limits::default(), edits.limits(&self.request, &current.prepared));
        let effective = current.rights.limits.load();
        let status = |name, value: &dyn Fn(&Limits) -> Option<String>, ceiling, limit| {
            let (now, wanted) = (value(&effective), value(&asked));
            let origin = match () {
                () if edits.limits.is_some() && wanted != value(&requested) => LimitOrigin::Person,
                () if wanted == value(&requested) && wanted != value(manifest) => {
                    LimitOrigin::Request
                }
                () if wanted != value(&default) => LimitOrigin::Manifest,
                () => LimitOrigin::Default,
            };
            let unlimited = || "unlimited".to_owned();
            let hits = match limit {
                Some(limit) => self.shared.counters.limit_hits(limit),
                None => self.shared.counters.deadline_hits(),
            };
            LimitStatus {
                name,
                asked: (now != wanted).then(|| wanted.unwrap_or_else(unlimited)),
                value: now.unwrap_or_else(unlimited),
                origin,
                ceiling,
                enforcement: code.enforcement(limit),
                hits,
            }
        };
        let deadline = |limits: &Limits| Some(units::show_duration(limits.call_deadline));
        let ceiling = ceilings.call_deadline.map(units::show_duration);
        let deadline = status("call-deadline", &deadline, ceiling, None);
        let others = LimitKind::ALL.into_iter().map(|limit| {
            let value = |limits: &Limits| limit_value(limits, limit).map(|value| limit.show(value));
            let ceiling = ceilings.value(limit).map(|value| limit.show(value));
            status(limit.name(), &value, ceiling, Some(limit))
        });
        [deadline].into_iter().chain(others).collect()
    }
}
