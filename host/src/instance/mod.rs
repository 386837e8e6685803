//! One running plugin: its copies, its queue, its generations and their swap, its overrides, and
//! its status.
//!
//! Read [`Instance`] first, then [`PluginCopy`], which makes the calls. Nothing here knows the host or
//! its registry: an instance is told its id and the cell of its first copy.
//!
//! References point one way: instance → pool → cell → copy → what all copies have in support.

mod back_off;
mod candidate;
mod chain;
mod copy;
mod copy_status;
mod generation;
mod held;
mod lifecycle;
mod overrides;
mod pool;
mod probation;
mod probe;
mod quarantine;
mod queue;
mod rate;
mod recent;
mod report;
mod retry;
mod snapshot;
mod start;
mod state;
mod status;
mod support;
mod swap;
mod tend;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use arc_swap::ArcSwapOption;
use glovebox_abi::{Kind, Permission};
use glovebox_events::{LoadStage, NoteKind, Phase, What};
use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) use back_off::Stagger;
pub(crate) use candidate::Fate;
pub(crate) use chain::{Chain, OUTSIDE};
pub(crate) use copy::{CopyCell, CopyGuard, PluginCopy};
use generation::Generations;
pub(crate) use generation::{Carry, Generation, Handover, WaitingGeneration};
pub(crate) use held::HeldGuard;
use held::HeldLock;
use overrides::Overrides;
pub(crate) use overrides::list;
use pool::Pool;
pub(crate) use quarantine::{Quarantine, Surroundings};
pub use queue::{BatchTicket, Refusal, Ticket};
pub(crate) use queue::{NoRoom, Queue, Reservation, Work, bytes_of};
pub use report::{
    CandidateRole, CandidateStatus, Difference, Growth, KeptGeneration, LimitOrigin, LimitStatus,
    PermissionStatus, PluginStats, PluginStatus, RefusedGeneration, Supervision,
};
use start::{keeper, restore_kept, rights};
pub(crate) use state::StateStore;
use support::CopySupport;
pub(crate) use swap::STATE;

use crate::backend::Code;
use crate::id::InstanceId;
use crate::load::{LoadRequest, Prepared, Source};
use crate::policy::{Decided, Grants, HostRules, WishBook};
use crate::problem::{LoadProblem, StageError};
use crate::record::Journal;
use crate::record::span::About;
use crate::services::{
    AllCancelled, Cancellations, Functions, InstanceServices, Mock, MockServices,
};
use crate::underway::Underway;
use crate::watch::Watching;

/// One running plugin.
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) plugin: Arc<str>,
    /// Its place in the order of loading, which its id is not: ids are used again.
    pub(crate) order: AtomicU64,
    pub(crate) shared: Arc<InstanceServices>,
    pub(crate) queue: Queue,
    pub(crate) watching: Mutex<Option<Watching>>,
    /// The last notice of the watch.
    pub(crate) watch_notice: Mutex<Option<String>>,
    /// Held while a reload is under way, so that two never cross.
    pub(crate) reloading: HeldLock<()>,
    support: Arc<CopySupport>,
    pool: Pool,
    generations: Generations,
    overrides: Mutex<Overrides>,
    /// Held from a decision of a person to the file that keeps it, so that the last one is in both.
    deciding: Mutex<()>,
    /// True once the copies have ended and nothing of the plugin runs any more.
    ended: watch::Sender<bool>,
}

/// The parts of a host that an instance needs.
#[derive(Clone)]
pub(crate) struct HostResources {
    pub(crate) journal: Arc<Journal>,
    pub(crate) wishes: Arc<WishBook>,
    pub(crate) states: Option<Arc<StateStore>>,
    pub(crate) quarantine: Option<Arc<Quarantine>>,
    /// The turns of plugins that crash at the same time.
    pub(crate) stagger: Arc<Stagger>,
    pub(crate) runtime: tokio::runtime::Handle,
    /// The functions of the application.
    pub(crate) functions: Arc<Functions>,
    /// True once all work of the host was cancelled; see [`Cancellations`].
    pub(crate) cancelled: Arc<AllCancelled>,
}

impl Instance {
    /// The instance with its first generation. Unless that is asleep, it is ready when this returns.
    pub(crate) fn start(
        id: InstanceId,
        cell: Arc<CopyCell>,
        request: LoadRequest,
        prepared: Prepared,
        rules: HostRules,
        resources: &HostResources,
        load: &Underway,
    ) -> Result<Arc<Instance>, StageError> {
        let plugin: Arc<str> = prepared.manifest.plugin.id.as_str().into();
        let mock = request.mock.clone().map(|mock| Arc::new(MockServices::new(mock, &plugin)));
        let kv = mock.as_ref().map(|mock| mock.kv().clone());
        let shared = Arc::new(InstanceServices {
            plugin: plugin.clone(),
            instance: id,
            journal: resources.journal.clone(),
            counters: Default::default(),
            kv: Mutex::new(kv.unwrap_or_default().into()),
            mock: ArcSwapOption::new(mock),
            faults: ArcSwapOption::empty(),
            answers: request.answers.clone(),
            functions: resources.functions.clone(),
            cancellations: Cancellations::new(resources.cancelled.clone()),
            meters: Default::default(),
            remains: Arc::default(),
            failures: Mutex::default(),
            accesses: Mutex::default(),
            wishes: resources.wishes.clone(),
            asked: AtomicU32::new(0),
        });
        let cancelled = shared.clone();
        let _ending = load.ended_by(move || cancelled.cancellations.cancel_for_good());
        load.enters(LoadStage::Initialize).map_err(|problem| problem.at(LoadStage::Initialize))?;
        let decided = || rules.decided_for(&prepared.manifest, prepared.subject());
        let decisions = request.decisions.clone().unwrap_or_else(decided);
        let overrides = Overrides { rules, decisions, ..Overrides::default() };
        let manifest = prepared.manifest.clone();
        let copies = manifest.runtime.instances.min(overrides.rules.ceilings().copies);
        let rights = rights(&request, &overrides, &prepared, &Grants::default());
        let generation = Arc::new(Generation::asleep(prepared.clone(), rights));
        let states = keeper(resources, &manifest, &shared);
        let support = CopySupport::new(shared.clone(), request, states, resources);
        let limits = generation.rights.limits.load_full();
        let instance = Arc::new(Instance {
            id,
            plugin,
            order: AtomicU64::new(0),
            queue: Queue::new(limits.queue, limits.queue_bytes, copies),
            shared,
            watching: Mutex::default(),
            watch_notice: Mutex::default(),
            reloading: HeldLock::default(),
            pool: Pool::new(cell, copies, &support, &generation),
            support,
            generations: Generations::new(generation),
            overrides: Mutex::new(overrides),
            deciding: Mutex::default(),
            ended: watch::Sender::new(false),
        });
        if !matches!(prepared.code, Code::Asleep) {
            instance.awaken(prepared).inspect_err(|_| instance.clear())?;
        }
        Ok(instance)
    }

    /// How it was loaded, with the source that it has now.
    pub(crate) fn request(&self) -> Arc<LoadRequest> {
        self.support.request.load_full()
    }

    /// Gets its artifact from elsewhere from now on.
    pub(crate) fn set_source(&self, source: Source) {
        self.support.request.rcu(|request| request.with_source(source.clone()));
    }

    /// Is loaded by another request from now on.
    pub(crate) fn set_request(&self, request: LoadRequest) {
        self.support.request.store(Arc::new(request));
    }

    /// The script of its host services, if there is one.
    pub(crate) fn mock(&self) -> Option<Arc<Mock>> {
        self.shared.mock.load().as_ref().map(|services| services.mock.clone())
    }

    /// Puts a mock in place of the one from the same file. `false` if it has none from there, or this one
    /// already.
    pub(crate) fn renew_mock(&self, mock: &Arc<Mock>) -> bool {
        if !self.shared.renew_mock(mock) {
            return false;
        }
        self.support.request.rcu(|request| request.with_mock_of_file(mock));
        let summary = format!("the mock changed: {}", mock.summary());
        self.shared.record(self.current().number, What::PolicyChanged { summary });
        true
    }

    /// True if it was loaded and not started yet.
    pub(crate) fn is_asleep(&self) -> bool {
        self.generations.current.load().number == 0
    }

    /// Brings up the first generation.
    pub(crate) fn awaken(&self, prepared: Prepared) -> Result<(), StageError> {
        let loaded =
            if prepared.precaution.is_cached() { "from the compile cache" } else { "checked" };
        self.enter(1, Phase::Loaded, loaded);
        self.enter(1, Phase::Initializing, "first start");
        let asleep = self.current();
        let before = asleep.rights.grants.load_full();
        let is_other = !prepared.is_as(&asleep.prepared);
        if is_other {
            self.decide_anew(&prepared);
        }
        let grants = self.overrides.lock().grants(&prepared, &before);
        self.ask(&grants, 1);
        self.next(prepared, true)
            .and_then(|mut next| {
                restore_kept(&mut next, &self.support, |damage| {
                    self.note(NoteKind::State, damage)
                })?;
                let handover = Handover {
                    carry: Carry::Nothing,
                    keeps_once: true,
                    repeats: false,
                    needs_state: false,
                };
                self.switch(next, handover)
            })
            .map(drop)
            .inspect_err(|error| {
                if is_other {
                    self.decide_anew(&asleep.prepared);
                }
                self.fault_with(&error.to_string());
            })
    }

    /// Empties the cells.
    fn clear(&self) {
        self.pool.take_all().for_each(drop);
        self.enter(1, Phase::Stopped, "not loaded");
    }

    /// The number of copies.
    pub(crate) fn copies(&self) -> usize {
        self.pool.len()
    }

    /// A copy for the next call: a free one if there is any. `None` if the instance is gone.
    pub(crate) fn hold_any(&self) -> Option<CopyGuard<'_>> {
        self.pool.hold_any()
    }

    /// True if a call on this thread would wait for itself: it comes from inside of a call or of the
    /// first start.
    pub(crate) fn is_held_here(&self) -> bool {
        self.pool.is_held_here() || self.is_asleep() && self.reloading.is_held_here()
    }

    /// True if this thread is inside of a call of any copy or of a reload: another reload would wait for
    /// it.
    pub(crate) fn is_at_work_here(&self) -> bool {
        self.pool.is_one_held_here() || self.reloading.is_held_here()
    }

    /// One certain copy. `None` if the instance is gone.
    pub(crate) fn hold_copy(&self, copy: usize) -> Option<CopyGuard<'_>> {
        self.pool.hold(copy)
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        self.generations.current.load_full()
    }

    /// Its description in spans.
    pub(crate) fn about(&self) -> About<'_> {
        self.generations.current.load().about(&self.shared)
    }

    pub(crate) fn accepts(&self, kind: Kind) -> bool {
        self.generations.current.load().accepts(kind)
    }

    /// Changes the phase of all copies.
    fn enter(&self, generation: u32, phase: Phase, cause: &str) {
        self.pool
            .statuses()
            .for_each(|status| status.enter(&self.shared, generation, phase, cause));
    }

    /// Why a copy cannot go on.
    pub(crate) fn fault(&self) -> Option<String> {
        self.pool.fault()
    }

    pub(crate) fn fault_with(&self, cause: &str) {
        // Of one that sleeps, it is the first generation that does not start.
        let number = self.current().number.max(1);
        self.pool.statuses().for_each(|status| status.fault_with(&self.shared, number, cause));
    }

    pub(crate) fn forget_fault(&self) {
        let number = self.current().number;
        self.pool.statuses().for_each(|status| status.forget_fault(&self.shared, number));
    }

    /// Tells all copies that no new frames come.
    pub(crate) fn begin_draining(&self, cause: &str) {
        let number = self.current().number;
        for status in self.pool.statuses() {
            status.begin_draining(&self.shared, number, cause);
        }
    }

    /// Ends the copies. Calls are refused afterwards.
    pub(crate) fn stop(&self) {
        let number = self.current().number;
        // A frame that waits for a restart does not hold this up: it is refused.
        self.pool.end_waits();
        drop(self.end_candidate("unloaded"));
        for mut copy in self.pool.take_all() {
            copy.keep_state();
            copy.end_for_good("unloaded");
        }
        // Somebody may still hold the instance for a while, and the plugin be loaded again meanwhile.
        self.support.release_states();
        self.shared.record(number, What::Unloaded);
    }

    /// Ends the watch over its files. `false` if there is none.
    pub(crate) fn stop_watching(&self) -> bool {
        // Ended outside the lock, which the status needs too.
        let ended = self.watching.lock().take();
        *self.watch_notice.lock() = None;
        ended.is_some()
    }

    /// True while somebody holds one of its copies: a call, most of the time.
    pub(crate) fn is_held(&self) -> bool {
        self.pool.is_held()
    }

    /// Wakes those who wait for [`has_ended`](Self::has_ended).
    pub(crate) fn tell_ended(&self) {
        self.ended.send_replace(true);
    }

    /// Waits until the host has ended it.
    pub(crate) async fn has_ended(&self) {
        // The sender lives as long as the instance.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Tells the log about something that the host did to this plugin's frames.
    pub(crate) fn note(&self, kind: NoteKind, text: &str) {
        self.shared.record(self.current().number, What::Note { kind, text: text.to_owned() });
    }

    /// The decisions about its permissions.
    pub(crate) fn decisions(&self) -> BTreeMap<Permission, Decided> {
        self.overrides.lock().decisions.clone()
    }
}

fn gone() -> StageError {
    LoadProblem::Nothing("such instance").at(LoadStage::Read)
}
