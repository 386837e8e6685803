//! The permissions and limits of one generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use glovebox_abi::Kind;
use glovebox_abi::manifest::Limits;

use crate::policy::{Ceilings, Grants};

/// The permissions and limits of one generation; changed while it runs, and read without locks.
pub(crate) struct Rights {
    pub(crate) grants: ArcSwap<Grants>,
    /// Counts the changes for which copies are renewed: of folders and variables, which a copy cannot be
    /// given while it runs.
    pub(crate) renewals: AtomicU64,
    pub(crate) limits: ArcSwap<Limits>,
    /// The most that these limits could have been.
    pub(crate) ceilings: ArcSwap<Ceilings>,
    pub(crate) config: ArcSwap<serde_json::Value>,
    /// Copies of the limits that every call reads.
    pub(crate) hot: HotLimits,
    /// Where chance comes from, in a run that must repeat.
    pub(crate) seed: Option<u64>,
}

/// The limits on the way of every call, so that it need not count references.
#[derive(Default)]
pub(crate) struct HotLimits {
    /// [`Limits::call_deadline`] in milliseconds.
    pub(crate) deadline: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
    pub(crate) output_frames: AtomicU64,
    /// Frames per second; 0 if unlimited.
    pub(crate) rate: AtomicU64,
    /// Kinds of frames that may be received, as a set of bits.
    receives: [AtomicU64; 4],
    /// Units of work per call; the largest number if unlimited.
    pub(crate) fuel: AtomicU64,
    pub(crate) host_call_bytes: AtomicU64,
    pub(crate) host_calls: AtomicU64,
    pub(crate) resources: AtomicU64,
    /// [`Ceilings::step_deadline`] in milliseconds.
    pub(crate) step_deadline: AtomicU64,
    /// [`Ceilings::caused_calls`].
    pub(crate) caused_calls: AtomicU64,
}

impl Rights {
    pub(crate) fn new(
        grants: Grants,
        limits: Limits,
        ceilings: &Ceilings,
        config: serde_json::Value,
    ) -> Rights {
        let rights = Rights {
            grants: ArcSwap::default(),
            renewals: AtomicU64::new(0),
            limits: ArcSwap::default(),
            ceilings: ArcSwap::default(),
            config: ArcSwap::from_pointee(config),
            hot: HotLimits::default(),
            seed: None,
        };
        rights.set_limits(limits, ceilings);
        rights.set_grants(grants);
        rights
    }

    /// True if the copy that runs needs other folders or variables now.
    pub(crate) fn set_grants(&self, grants: Grants) -> bool {
        for (bits, receives) in self.hot.receives.iter().zip(grants.receives()) {
            bits.store(receives, Ordering::Relaxed);
        }
        let before = self.grants.swap(Arc::new(grants));
        let now = self.grants.load();
        let other = before.folders != now.folders
            || before.folder_problem != now.folder_problem
            || before.environment != now.environment;
        if other {
            self.renewals.fetch_add(1, Ordering::Relaxed);
        }
        other
    }

    /// True if frames of this kind may be received.
    pub(crate) fn receives(&self, kind: Kind) -> bool {
        let bits = &self.hot.receives[usize::from(kind.0 >> 6)];
        bits.load(Ordering::Relaxed) & (1 << (kind.0 & 63)) != 0
    }

    /// The same as they are now, with other permissions.
    pub(crate) fn with_grants(&self, grants: Grants) -> Rights {
        let (limits, config) = (self.limits.load(), self.config.load());
        Rights::new(grants, (**limits).clone(), &self.ceilings.load(), (**config).clone())
            .with_seed(self.seed)
    }

    /// Makes time and chance repeat.
    pub(crate) fn with_seed(mut self, seed: Option<u64>) -> Rights {
        self.seed = seed;
        self
    }

    /// Sets limits that are below the ceilings already, and the ceilings of what is no limit.
    pub(crate) fn set_limits(&self, limits: Limits, ceilings: &Ceilings) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.hot.deadline.store(millis(limits.call_deadline), Ordering::Relaxed);
        self.hot.step_deadline.store(millis(ceilings.step_deadline), Ordering::Relaxed);
        self.hot.caused_calls.store(ceilings.caused_calls, Ordering::Relaxed);
        self.hot.output_bytes.store(limits.output_bytes, Ordering::Relaxed);
        self.hot.output_frames.store(limits.output_frames, Ordering::Relaxed);
        self.hot.rate.store(limits.rate.unwrap_or(0).into(), Ordering::Relaxed);
        self.hot.fuel.store(limits.fuel.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.hot.host_call_bytes.store(limits.host_call_bytes, Ordering::Relaxed);
        self.hot.host_calls.store(limits.host_calls, Ordering::Relaxed);
        self.hot.resources.store(limits.resources, Ordering::Relaxed);
        self.limits.store(Arc::new(limits));
        self.ceilings.store(Arc::new(ceilings.clone()));
    }
}
