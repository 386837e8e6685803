use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::{Manifest, Permission};

/// What a person decided about one permission of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// What the manifest asks for and the [`PolicyMode`] grants.
    #[default]
    AsDeclared,
    /// Granted, also if the manifest does not ask for it.
    Allow,
    /// Never granted.
    Deny,
}

/// What a host grants where nobody decided about a single permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyMode {
    /// Everything a manifest asks for.
    #[default]
    AsDeclared,
    /// Of what a manifest asks for, only what cannot matter to anyone else: `log`, `metric` and
    /// `config`.
    Strict,
}

impl PolicyMode {
    /// The name for people and settings.
    pub fn name(self) -> &'static str {
        match self {
            PolicyMode::AsDeclared => "as declared",
            PolicyMode::Strict => "strict",
        }
    }
}

/// The effective permissions of one instance: a snapshot that calls read without locks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants {
    granted: u32,
}

impl Grants {
    pub(crate) fn of(
        manifest: &Manifest,
        mode: PolicyMode,
        decisions: &BTreeMap<Permission, Decision>,
    ) -> Grants {
        let mut granted = 0;
        for (permission, ..) in Permission::ALL {
            let decision = decisions.get(&permission).copied().unwrap_or_default();
            if verdict(manifest, mode, permission, decision).0 {
                granted |= 1 << permission as u32;
            }
        }
        Grants { granted }
    }

    pub(crate) fn has(&self, permission: Permission) -> bool {
        self.granted & (1 << permission as u32) != 0
    }
}

/// Whether a permission is granted, and why, in words for people.
pub(crate) fn verdict(
    manifest: &Manifest,
    mode: PolicyMode,
    permission: Permission,
    decision: Decision,
) -> (bool, String) {
    let harmless = matches!(permission, Permission::Log | Permission::Metric | Permission::Config);
    let asked = manifest.asks_for(permission);
    match (decision, asked, mode) {
        (Decision::Allow, true, _) => (true, "asked for, and allowed for this plugin".to_owned()),
        (Decision::Allow, false, _) => {
            (true, "allowed for this plugin, though its manifest does not ask for it".to_owned())
        }
        (Decision::Deny, ..) => (false, "denied for this plugin".to_owned()),
        (Decision::AsDeclared, false, _) => (
            false,
            format!("not asked for: add `{permission} = true` to [permissions] in plugin.toml"),
        ),
        (Decision::AsDeclared, true, PolicyMode::AsDeclared) => {
            (true, "asked for in the manifest".to_owned())
        }
        (Decision::AsDeclared, true, PolicyMode::Strict) if harmless => {
            (true, "asked for, and harmless".to_owned())
        }
        (Decision::AsDeclared, true, PolicyMode::Strict) => {
            (false, "asked for, but the policy is strict: allow it for this plugin".to_owned())
        }
    }
}

/// How often each permission was used and refused, and each limit hit.
#[derive(Debug, Default)]
pub(crate) struct AccessCounters {
    permissions: [PermissionCounters; Permission::ALL.len()],
    limits: [AtomicU64; 16],
    deadlines: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct PermissionCounters {
    pub(crate) uses: AtomicU64,
    pub(crate) denials: AtomicU64,
    /// Nanoseconds since the Unix epoch; 0 is never.
    pub(crate) last_used: AtomicU64,
}

impl AccessCounters {
    pub(crate) fn permission(&self, permission: Permission) -> &PermissionCounters {
        &self.permissions[permission as usize]
    }

    pub(crate) fn hit_limit(&self, limit: LimitKind) {
        self.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn limit_hits(&self, limit: LimitKind) -> u64 {
        self.limits[limit as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn hit_deadline(&self) {
        self.deadlines.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn deadline_hits(&self) -> u64 {
        self.deadlines.load(Ordering::Relaxed)
    }
}

/// The value of one limit.
pub(crate) fn limit_value(limits: &Limits, limit: LimitKind) -> Option<u64> {
    match limit {
        LimitKind::Memory => Some(limits.memory),
        LimitKind::Table => Some(limits.table),
        LimitKind::Resources => Some(limits.resources),
        LimitKind::Fuel => limits.fuel,
        LimitKind::OutputBytes => Some(limits.output_bytes),
        LimitKind::OutputFrames => Some(limits.output_frames),
        LimitKind::HostCalls => Some(limits.host_calls),
        LimitKind::HostCallBytes => Some(limits.host_call_bytes),
        LimitKind::LogBytes => Some(limits.log_bytes),
        LimitKind::KvBytes => Some(limits.kv_bytes),
        LimitKind::Queue => Some(limits.queue.into()),
        LimitKind::Rate => limits.rate.map(u64::from),
    }
}
