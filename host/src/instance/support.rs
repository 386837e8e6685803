//! The data that the copies of one instance share. It knows neither the copies nor the instance, so
//! that both may hold it.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use glovebox_abi::State;
use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_events::Outcome;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::HostResources;
use super::back_off::Stagger;
use super::candidate::Candidate;
use super::quarantine::Quarantine;
use super::rate::Bucket;
use super::recent::Recent;
use super::state::StateKeeper;
use crate::load::LoadRequest;
use crate::problem::StageError;
use crate::services::InstanceServices;

/// See the module.
pub(super) struct CopySupport {
    pub(super) shared: Arc<InstanceServices>,
    pub(super) request: ArcSwap<LoadRequest>,
    /// `None` if its states are not kept on disk.
    pub(super) states: Option<StateKeeper>,
    /// `None` if frames that crash a process twice are kept nowhere.
    pub(super) quarantine: Option<Arc<Quarantine>>,
    /// The turns of plugins that crash at the same time.
    pub(super) stagger: Arc<Stagger>,
    pub(super) runtime: Handle,
    pub(super) recent: Recent,
    /// The next generation that is tried beside the one that serves.
    pub(super) candidate: ArcSwapOption<Candidate>,
    bucket: Mutex<Option<Bucket>>,
}

impl CopySupport {
    pub(super) fn new(
        shared: Arc<InstanceServices>,
        request: LoadRequest,
        states: Option<StateKeeper>,
        resources: &HostResources,
    ) -> Arc<CopySupport> {
        let (recent, candidate, bucket) = Default::default();
        Arc::new(CopySupport {
            shared,
            request: ArcSwap::from_pointee(request),
            states,
            quarantine: resources.quarantine.clone(),
            stagger: resources.stagger.clone(),
            runtime: resources.runtime.clone(),
            recent,
            candidate,
            bucket,
        })
    }

    /// Lets one frame through if the limit on the rate does. All copies share it.
    #[cold]
    pub(super) fn take_token(&self, limits: &Limits) -> Result<(), Outcome> {
        let Some(rate) = limits.rate else { return Ok(()) };
        let now = Instant::now();
        let mut bucket = self.bucket.lock();
        let bucket = bucket.get_or_insert_with(|| Bucket::new(limits.burst, now));
        if bucket.take(rate, limits.burst, now) {
            return Ok(());
        }
        let (limit, allowed) = (LimitKind::Rate, rate.into());
        self.shared.counters.hit_limit(limit);
        Err(Outcome::LimitExceeded { limit, asked: allowed + 1, allowed, made_up: false })
    }

    /// Lets another instance of the plugin keep its states: this one has none any more.
    pub(super) fn release_states(&self) {
        if let Some(states) = &self.states {
            states.release();
        }
    }

    /// The state that is kept for a copy, if any is. Damage of others is told.
    pub(super) fn kept_state(
        &self,
        copy: u32,
        tell: impl Fn(&str),
    ) -> Result<Option<State>, StageError> {
        let Some(states) = &self.states else { return Ok(None) };
        let (state, damage) = states.last(copy)?;
        damage.iter().for_each(|damage| tell(damage));
        Ok(state)
    }
}
