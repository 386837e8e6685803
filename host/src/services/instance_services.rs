//! The data that all generations of one instance share.

use arc_swap::ArcSwapOption;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use glovebox_abi::Permission;
use glovebox_events::{AnsweredBy, NoteKind, What};
use parking_lot::Mutex;

use super::store::KeyValues;
use super::{Answers, Functions, Mock, MockEffect, MockServices, RemainsCounter};
use crate::failure::CopyFailure;
use crate::id::InstanceId;
use crate::policy::{AccessCounters, Accesses, Grants, Parameter, WishBook};
use crate::record::{Journal, unix_nanoseconds};

/// The data that all generations of one instance share.
pub(crate) struct InstanceServices {
    pub(crate) plugin: Arc<str>,
    pub(crate) instance: InstanceId,
    pub(crate) journal: Arc<Journal>,
    pub(crate) counters: AccessCounters,
    pub(crate) kv: Mutex<KeyValues>,
    pub(crate) cancellations: Cancellations,
    pub(crate) meters: Meters,
    /// Counts the copies that live of its generations.
    pub(crate) remains: Arc<RemainsCounter>,
    /// The last failures, oldest first.
    pub(crate) failures: Mutex<VecDeque<Arc<CopyFailure>>>,
    pub(crate) accesses: Mutex<Accesses>,
    pub(crate) wishes: Arc<WishBook>,
    /// The permissions that a person was asked about, as bits.
    pub(crate) asked: AtomicU32,
    /// Answers instead of the world, if there is one.
    pub(crate) mock: ArcSwapOption<MockServices>,
    /// Faults in front of that, as long as they are switched on.
    pub(crate) faults: ArcSwapOption<MockServices>,
    /// The functions of the application.
    pub(crate) functions: Arc<Functions>,
    /// Answers before the mock does, if there are any.
    pub(crate) answers: Option<Arc<dyn Answers>>,
}

/// Counts the times that the calls under way were cancelled.
pub(crate) struct Cancellations {
    own: AtomicU64,
    /// True once all that begins later is cancelled, too.
    is_over: AtomicBool,
    copies: Elsewhere,
    /// The same for all calls of the host.
    all: Arc<AllCancelled>,
}

/// Whether all calls of a host were cancelled for good.
#[derive(Default)]
pub(crate) struct AllCancelled {
    is_cancelled: AtomicBool,
    copies: Elsewhere,
}

/// A copy that runs in another process or waits for one, where nobody looks at a count.
pub(crate) trait Cancel: Send + Sync {
    /// Ends its call, if it makes one.
    fn cancel(&self);
}

/// A copy in another process, whose use of the machine the system counts.
pub(crate) trait Meter: Send + Sync {
    /// Its number.
    fn process(&self) -> u32;
    /// Nothing once the process has ended.
    fn usage(&self) -> Option<ResourceUsage>;
}

/// The copies of an instance in other processes.
#[derive(Default)]
pub(crate) struct Meters(Mutex<Vec<Weak<dyn Meter>>>);

impl Meters {
    /// Counts a copy from now on, as long as somebody has it.
    #[cfg(target_os = "linux")]
    pub(crate) fn add<M: Meter + 'static>(&self, copy: &Arc<M>) {
        let copy: Weak<M> = Arc::downgrade(copy);
        let mut copies = self.0.lock();
        copies.retain(|copy| copy.strong_count() > 0);
        copies.push(copy);
    }

    /// The numbers of the processes that run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let copies: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        let running = copies.iter().filter(|copy| copy.usage().is_some());
        running.map(|copy| copy.process()).collect()
    }

    /// The usage of all copies together; nothing without any.
    pub(crate) fn usage(&self) -> Option<ResourceUsage> {
        let copies: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        copies.into_iter().filter_map(|copy| copy.usage()).reduce(ResourceUsage::with)
    }
}

/// The use that the processes of a plugin make of the machine, as the system counts it: those that run
/// now, since each was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResourceUsage {
    /// Processes, one for each copy.
    pub processes: u32,
    /// Processor time in their own code.
    pub user: Duration,
    /// Processor time of the system for them.
    pub system: Duration,
    /// Bytes of memory that they hold, what they share with others included.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
    /// Page faults that needed no disk.
    pub minor_faults: u64,
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Bytes read and written through files, pipes and sockets; the system tells them to the
    /// superuser alone.
    pub carried: Option<(u64, u64)>,
}

impl ResourceUsage {
    /// Both together.
    fn with(self, other: ResourceUsage) -> ResourceUsage {
        let both = self.carried.zip(other.carried);
        ResourceUsage {
            processes: self.processes + other.processes,
            user: self.user + other.user,
            system: self.system + other.system,
            resident: self.resident.saturating_add(other.resident),
            threads: self.threads.saturating_add(other.threads),
            minor_faults: self.minor_faults.saturating_add(other.minor_faults),
            major_faults: self.major_faults.saturating_add(other.major_faults),
            carried: both.map(|((read, written), (more, much))| {
                (read.saturating_add(more), written.saturating_add(much))
            }),
        }
    }

    /// Processor time of both sorts.
    pub fn processor(&self) -> Duration {
        self.user + self.system
    }
}

#[derive(Default)]
struct Elsewhere(Mutex<Vec<Weak<dyn Cancel>>>);

impl Elsewhere {
    fn add(&self, copy: Weak<dyn Cancel>) {
        let mut copies = self.0.lock();
        copies.retain(|copy| copy.strong_count() > 0);
        copies.push(copy);
    }

    fn cancel(&self) {
        let copies: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        copies.into_iter().for_each(|copy| copy.cancel());
    }
}

impl AllCancelled {
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.copies.cancel();
    }
}

impl Cancellations {
    pub(crate) fn new(all: Arc<AllCancelled>) -> Cancellations {
        Cancellations {
            own: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            copies: Elsewhere::default(),
            all,
        }
    }

    pub(crate) fn cancel(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
        self.copies.cancel();
    }

    /// The same for all that begins later, too: the instance has not been listed, and never will be.
    pub(crate) fn cancel_for_good(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.cancel();
    }

    /// Tells a copy in another process of cancellations from now on, as long as somebody has it.
    pub(crate) fn tell<C: Cancel + 'static>(&self, copy: &Arc<C>) {
        let copy: Weak<C> = Arc::downgrade(copy);
        self.copies.add(copy.clone());
        self.all.copies.add(copy);
    }

    /// The count with which a call begins: it goes on as long as that is the count. Once all are
    /// cancelled, it never is.
    #[inline]
    pub(crate) fn for_call(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// The count now.
    pub(crate) fn count(&self) -> u64 {
        // An instance alone never counts as far as the highest bit.
        let is_over =
            self.all.is_cancelled.load(Ordering::Relaxed) || self.is_over.load(Ordering::Relaxed);
        self.own.load(Ordering::Relaxed) | u64::from(is_over) << 63
    }
}

/// The failures of which an instance keeps what is known.
const FAILURES: usize = 16;

impl InstanceServices {
    /// Keeps what is known of a failure, as one of the last; the first, which tells how it began, stays.
    pub(crate) fn keep_failure(&self, failure: CopyFailure) {
        let mut failures = self.failures.lock();
        if failures.len() == FAILURES {
            failures.remove(1);
        }
        failures.push_back(Arc::new(failure));
    }

    /// The same for a copy that is only tried: with a copy of the store, and without a trace in events,
    /// counts and logs.
    pub(crate) fn aside(&self) -> Arc<InstanceServices> {
        self.beside(self.answers.clone())
    }

    /// The same for a shadow, which gets these answers.
    pub(crate) fn shadow(&self, answers: Arc<dyn Answers>) -> Arc<InstanceServices> {
        self.beside(Some(answers))
    }

    fn beside(&self, answers: Option<Arc<dyn Answers>>) -> Arc<InstanceServices> {
        Arc::new(InstanceServices {
            plugin: self.plugin.clone(),
            instance: self.instance,
            journal: Arc::new(Journal::new(None, None, Vec::new(), false)),
            counters: Default::default(),
            kv: Mutex::new(self.kv.lock().entries().clone().into()),
            cancellations: Cancellations::new(self.cancellations.all.clone()),
            meters: Default::default(),
            remains: Arc::default(),
            failures: Mutex::default(),
            accesses: Mutex::default(),
            wishes: Arc::default(),
            // Nobody is asked.
            asked: AtomicU32::new(u32::MAX),
            mock: self.anew(&self.mock),
            faults: self.anew(&self.faults),
            functions: self.functions.clone(),
            answers,
        })
    }

    /// The same script, from its beginning.
    fn anew(&self, script: &ArcSwapOption<MockServices>) -> ArcSwapOption<MockServices> {
        let script = script.load_full();
        let anew = |script: Arc<MockServices>| MockServices::new(script.mock.clone(), &self.plugin);
        ArcSwapOption::new(script.map(anew).map(Arc::new))
    }

    /// Puts a mock in place of the one from the same file, and takes its changes of `[kv]` over into the
    /// store. `false` if it has none from there, or this one already.
    pub(crate) fn renew_mock(&self, mock: &Arc<Mock>) -> bool {
        // Held, so that the store follows the mock that stays.
        let mut store = self.kv.lock();
        let Some(before) = self.mock.load_full() else { return false };
        if before.mock.file() != mock.file() || Arc::ptr_eq(&before.mock, mock) {
            return false;
        }
        let services = Arc::new(MockServices::new(mock.clone(), &self.plugin));
        for (key, value) in services.kv() {
            if before.kv().get(key) != Some(value) {
                store.set(key, value);
            }
        }
        for key in before.kv().keys().filter(|key| !services.kv().contains_key(*key)) {
            store.remove(key);
        }
        self.mock.store(Some(services));
        true
    }

    /// The effect of faults on a use of a service, and of the mock where they have none; and whose
    /// it is, if there is any.
    pub(super) fn effect(&self, service: &str) -> (MockEffect, AnsweredBy) {
        let none = MockEffect::default;
        let faults = self.faults.load();
        let injected = faults.as_ref().map_or_else(none, |faults| faults.effect(service));
        let mock = self.mock.load();
        let scripted = mock.as_ref().map_or_else(none, |mock| mock.effect(service));
        match (injected == none(), scripted == none()) {
            (false, _) => (injected, AnsweredBy::Fault),
            (true, false) => (scripted, AnsweredBy::Mock),
            (true, true) => (none(), AnsweredBy::Host),
        }
    }

    /// A reading of the clock, after it was set by the mock and by faults, and who set it.
    pub(super) fn shifted(&self, now: u64) -> (u64, AnsweredBy) {
        let mocked = self.mock.load().as_ref().map_or(now, |mock| mock.shifted(now));
        let set = self.faults.load().as_ref().map_or(mocked, |faults| faults.shifted(mocked));
        match (set == mocked, mocked == now) {
            (false, _) => (set, AnsweredBy::Fault),
            (true, false) => (set, AnsweredBy::Mock),
            (true, true) => (set, AnsweredBy::Host),
        }
    }

    /// Tells the log of something about a generation.
    pub(crate) fn note(&self, generation: u32, text: String) {
        self.record(generation, What::Note { kind: NoteKind::Generation, text });
    }

    pub(crate) fn record(&self, generation: u32, what: What) {
        self.journal.record(&self.plugin, Some(self.instance), generation, what);
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
            let mut wishes = self.wishes.lock();
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
