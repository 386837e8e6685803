//! What all generations of one instance share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use glovebox_abi::Permission;
use glovebox_events::What;
use parking_lot::Mutex;

use super::store::KeyValues;
use crate::InstanceId;
use crate::answers::Answers;
use crate::journal::{Journal, unix_nanoseconds};
use crate::mock::MockServices;
use crate::policy::{AccessCounters, Accesses, Grants, Parameter};

/// What all generations of one instance share.
pub(crate) struct Shared {
    pub(crate) plugin: Arc<str>,
    pub(crate) instance: InstanceId,
    pub(crate) journal: Arc<Journal>,
    pub(crate) counters: AccessCounters,
    pub(crate) kv: Mutex<KeyValues>,
    /// Counts the times that the calls under way were taken back.
    pub(crate) cancellations: AtomicU64,
    pub(crate) accesses: Mutex<Accesses>,
    /// The permissions that a person was asked about, as bits.
    pub(crate) asked: AtomicU32,
    /// Answers instead of the world, if there is one.
    pub(crate) mock: Option<MockServices>,
    /// Answers before the mock does, if there are any.
    pub(crate) answers: Option<Arc<dyn Answers>>,
}

impl Shared {
    pub(crate) fn record(&self, generation: u32, what: What) {
        self.journal.record(&self.plugin, self.instance.get(), generation, what);
    }

    /// Decides about one use of a permission, counts it and keeps it in the access log.
    pub(crate) fn access(
        &self,
        grants: &Grants,
        generation: u32,
        permission: Permission,
        parameter: &Parameter<'_>,
    ) -> bool {
        self.accessed(
            grants,
            generation,
            permission,
            parameter,
            grants.admits(permission, parameter),
        )
    }

    /// The same for a use about which was decided elsewhere.
    pub(crate) fn accessed(
        &self,
        grants: &Grants,
        generation: u32,
        permission: Permission,
        parameter: &Parameter<'_>,
        allowed: bool,
    ) -> bool {
        let counters = self.counters.permission(permission);
        let counter = if allowed { &counters.uses } else { &counters.denials };
        counter.fetch_add(1, Ordering::Relaxed);
        let now = unix_nanoseconds();
        counters.last_used.store(now, Ordering::Relaxed);
        let rule = grants.rule(permission);
        self.accesses.lock().add(now, permission, parameter, allowed, &rule);
        if grants.recording {
            let mut wishes = self.journal.wishes.lock();
            wishes.entry(self.plugin.clone()).or_default().add(permission, parameter, allowed);
        }
        let bit = 1 << permission as u32;
        if grants.asks(permission) && self.asked.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let parameter = parameter.kept().to_string();
            self.record(generation, What::PolicyAsked { permission, parameter });
        }
        allowed
    }
}
