//! The status of an instance.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use glovebox_abi::Permission;
use glovebox_abi::manifest::{LimitChanges, LimitKind, Limits};
use glovebox_events::Phase;
use glovebox_events::latency::Latencies;

use super::copy_status::Counters;
use super::generation::Generation;
use super::overrides::Overrides;
use super::{
    Instance, KeptGeneration, LimitOrigin, LimitStatus, PermissionStatus, PluginStats,
    PluginStatus, Supervision,
};
use crate::policy::{self, Standing};
use crate::services::ANSWERABLE;

impl Instance {
    pub(crate) fn status(&self) -> PluginStatus {
        let current = self.generations.current.load();
        let overrides = self.overrides.lock();
        let limits = (**current.rights.limits.load()).clone();
        let ceilings = overrides.rules.ceilings().of(current.prepared.tier);
        let permissions: Vec<PermissionStatus> = Permission::ALL
            .iter()
            .map(|(permission, ..)| self.permission_status(*permission, &current, &overrides))
            .collect();
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            self.pool.statuses().map(|copy| counter(copy.counters()).load(Ordering::Relaxed)).sum()
        };
        let mut latency = Latencies::in_doublings();
        self.pool.statuses().for_each(|copy| copy.counters().latency.add_to(&mut latency));
        let kept = self.previous().into_iter().map(|previous| KeptGeneration {
            generation: previous.number,
            version: previous.prepared.manifest.plugin.version.to_string(),
            digest: previous.prepared.digest,
        });
        let kept: Vec<_> = kept.collect();
        PluginStatus {
            instance: self.id,
            manifest: current.prepared.manifest.clone(),
            phase: self.pool.phase(),
            generation: current.number,
            tier: current.prepared.tier,
            isolation: current.prepared.isolation,
            engine: current.prepared.code.engine(),
            sandbox: current.prepared.code.sandbox().cloned(),
            precaution: current.prepared.precaution.clone(),
            is_bare: current.prepared.bare,
            compiler: current
                .prepared
                .compiled_by(self.pool.statuses().all(|copy| copy.has_better_code())),
            binding: current.prepared.binding,
            functions: current.prepared.code.functions().to_vec(),
            digest: current.prepared.digest.clone(),
            origin: current.prepared.origin.clone(),
            queue_depth: self.queue.depth(),
            queue_bytes: self.queue.bytes(),
            watching: self.watching.lock().is_some(),
            watch_notice: self.watch_notice.lock().clone(),
            can_roll_back: !kept.is_empty(),
            kept,
            candidate: self.candidate().map(|candidate| candidate.status()),
            remains: self.shared.remains.remains(),
            fault: self.pool.fault(),
            supervision: self.supervision(&current),
            failures: self.shared.failures.lock().iter().cloned().collect(),
            processes: self.shared.meters.processes(),
            refused: self.rejected(),
            stats: PluginStats {
                processed: sum(|counters| &counters.processed),
                errors: sum(|counters| &counters.errors),
                bytes_in: sum(|counters| &counters.bytes_in),
                bytes_out: sum(|counters| &counters.bytes_out),
                emitted_dropped: sum(|counters| &counters.dropped),
                denials: permissions.iter().map(|permission| permission.denials).sum(),
                restarts: sum(|counters| &counters.restarts),
            },
            latency,
            usage: self.shared.meters.usage(),
            call_under_way: self.pool.statuses().filter_map(|copy| copy.under_way()).max(),
            memory: Some(sum(|counters| &counters.memory)).filter(|bytes| *bytes > 0),
            permissions,
            mocks: self.mocks(),
            faults: self
                .shared
                .faults
                .load()
                .as_ref()
                .map_or_else(Vec::new, |one| one.mock.faults()),
            limit_status: self.limit_status(&current, &overrides, &ceilings),
            limits,
            ceilings,
        }
    }

    fn supervision(&self, current: &Generation) -> Supervision {
        let statuses = || self.pool.statuses();
        let next = statuses().filter_map(|copy| copy.next_attempt()).min();
        Supervision {
            failures: statuses()
                .map(|copy| copy.failures.load(Ordering::Relaxed))
                .max()
                .unwrap_or(0),
            breaker: current.breaker(),
            next_attempt: next.map(|at| at.saturating_duration_since(Instant::now())),
            is_stopped: statuses().any(|copy| copy.phase() == Phase::Quarantined),
        }
    }

    /// Calls that ended, refused ones not among them.
    pub(crate) fn processed(&self) -> u64 {
        let counts = self.pool.statuses().map(|copy| &copy.counters().processed);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The services that do not work as ever.
    fn mocks(&self) -> Vec<Cow<'static, str>> {
        let mock = self.shared.mock.load();
        let mut mocks = mock.as_ref().map_or_else(Vec::new, |mock| mock.mock.services());
        let faults = self.shared.faults.load();
        let faults = faults.as_ref().map_or_else(Vec::new, |faults| faults.mock.services());
        let answered = ANSWERABLE.into_iter().filter(|_| self.shared.answers.is_some());
        for service in faults.into_iter().chain(answered.map(Cow::Borrowed)) {
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
        overrides: &Overrides,
    ) -> PermissionStatus {
        let decided = overrides.decisions.get(&permission);
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
            lacks: verdict.map(|verdict| verdict.lacks.clone()).unwrap_or_default(),
            request: policy::request(
                &current.prepared.manifest,
                permission,
                current.prepared.base.as_deref(),
            ),
            rule: verdict.map(|verdict| verdict.rule.clone()).unwrap_or_default(),
            scopes: verdict.map(|verdict| verdict.scopes.clone()).unwrap_or_default(),
            explanation: verdict.map(|verdict| verdict.explanation.clone()).unwrap_or_default(),
            uses: counters.uses.load(Ordering::Relaxed),
            denials: counters.denials.load(Ordering::Relaxed),
            injected: counters.injected.load(Ordering::Relaxed),
            last_used: (last_used > 0).then_some(last_used),
            no_effect: policy::no_effect(permission, current.prepared.isolation)
                .filter(|_| grants.has(permission)),
        }
    }

    fn limit_status(
        &self,
        current: &Generation,
        overrides: &Overrides,
        ceilings: &LimitChanges,
    ) -> Vec<LimitStatus> {
        let code = &current.prepared.code;
        let manifest = &current.prepared.manifest.limits;
        let request = self.request();
        let requested = request.limits.over(manifest);
        let (default, asked) = (Limits::default(), overrides.limits(&request, &current.prepared));
        let effective = current.rights.limits.load();
        let status = |limit: LimitKind| {
            let value = |limits: &Limits| limits.value(limit);
            let wanted = value(&asked);
            let origin = match () {
                () if overrides.limits.has(limit) && wanted != value(&requested) => {
                    LimitOrigin::Person
                }
                () if wanted == value(&requested) && wanted != value(manifest) => {
                    LimitOrigin::Request
                }
                () if wanted != value(&default) => LimitOrigin::Manifest,
                () => LimitOrigin::Default,
            };
            LimitStatus {
                limit,
                value: value(&effective),
                origin,
                asked: wanted,
                ceiling: ceilings.value(limit),
                enforcement: code.enforcement(limit),
                hits: self.shared.counters.limit_hits(limit),
            }
        };
        LimitKind::ALL.into_iter().map(status).collect()
    }
}
