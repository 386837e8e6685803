//! The view that one instance has of its host: the services, checked, measured and recorded.
//!
//! A copy of a plugin holds a [`CopyServices`], all generations of an instance share a [`InstanceServices`], and
//! [`Rights`] are the permissions and limits of one generation.

mod answers;
mod arguments;
mod calls;
pub(crate) mod determinism;
mod functions;
mod instance_services;
mod mock;
mod overheard;
mod remains;
mod rights;
mod serve;
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{LimitKind, Tier};
use glovebox_abi::{Frame, LogLevel, Permission, ServiceError, Services};
use glovebox_events::{AnsweredBy, CallId, Outcome};

pub(crate) use answers::{ANSWERABLE, Given};
pub use answers::{Answered, Answers, Asked};
pub(crate) use calls::HttpRequest;
pub(crate) use calls::MAX_LINE_LEN;
pub use functions::{Caller, FunctionError};
pub(crate) use functions::{Functions, carried_by, key_of};
#[cfg(target_os = "linux")]
pub(crate) use instance_services::Meter;
pub use instance_services::ResourceUsage;
pub(crate) use instance_services::{AllCancelled, Cancel, Cancellations, InstanceServices};
pub use mock::{Mock, MockError};
pub(crate) use mock::{MockEffect, MockServices};
pub(crate) use overheard::{SameAnswers, Use};
pub(crate) use remains::{Alive, RemainsCounter, resident};
pub use remains::{LeftBehind, LeftKind, LiveGeneration, Remains, SwapMemory};
pub(crate) use rights::{HotLimits, Rights};

use crate::failure::Evidence;
use crate::policy::Parameter;
use crate::stop::Stop;
use determinism::Determinism;

/// The names of the services, as in events, in mocks and in the interface `host` of components.
pub(crate) const SERVICES: [&str; 10] = [
    "log",
    "metric",
    "config",
    "now",
    "random",
    "kv-get",
    "kv-set",
    "kv-delete",
    "kv-list",
    "emit",
];

/// The services of one copy of a plugin, with what it used up during the current call.
pub(crate) struct CopyServices {
    pub(crate) shared: Arc<InstanceServices>,
    pub(crate) rights: Arc<Rights>,
    pub(crate) generation: u32,
    tier: Tier,
    /// Frames that were emitted during the call, in order.
    pub(crate) emitted: Vec<Frame>,
    /// Why the call must end, if a service found a limit broken.
    pub(crate) broken: Option<Outcome>,
    /// The evidence that the copy leaves behind if it fails.
    pub(crate) evidence: Evidence,
    /// Bytes of linear memory and of tables, kept by the wasm tiers.
    pub(crate) memory: u64,
    /// Time spent in services during the call; only kept when somebody listens.
    pub(crate) host_time: Duration,
    /// Time spent inside the plugin, services included, where the tier can tell it from carrying
    /// the frames; only kept when somebody listens.
    pub(crate) plugin_time: Option<Duration>,
    call: Option<CallId>,
    /// The deadline of what runs now, if it is not the one for calls.
    step_deadline: Option<Duration>,
    /// Since when a step runs with which the copy ends.
    last_step: Option<Instant>,
    /// The value of [`InstanceServices::cancellations`] as long as the current work may go on.
    cancellations: u64,
    host_calls: u64,
    /// Bytes that the service under way was given.
    carried: usize,
    /// Bytes that all services of the call were given.
    carried_in_all: u64,
    /// Time and chance, where they must repeat.
    determinism: Option<Determinism>,
    log_bytes: u64,
    emitted_bytes: u64,
    /// Time that a mock took during the call.
    delayed: Duration,
    /// The maker of the result of the last use of a service.
    answered_by: AnsweredBy,
    /// The result of the last function of the application, until the plugin takes it.
    pub(crate) given: Option<Vec<u8>>,
    /// The uses of services of the call, if a shadow makes it again.
    pub(crate) uses: Option<Vec<Use>>,
    /// Counts the copy for as long as it lives.
    _alive: Alive,
}

/// How long a step with which a copy ends goes on after a cancellation.
pub(crate) const AFTER_CANCELLATION: Duration = Duration::from_secs(2);

impl CopyServices {
    pub(crate) fn new(
        shared: Arc<InstanceServices>,
        rights: Arc<Rights>,
        generation: u32,
        tier: Tier,
    ) -> CopyServices {
        CopyServices {
            _alive: shared.remains.alive(generation),
            shared,
            determinism: rights.seed.map(Determinism::new),
            rights,
            generation,
            tier,
            emitted: Vec::new(),
            broken: None,
            evidence: Evidence::default(),
            memory: 0,
            host_time: Duration::ZERO,
            plugin_time: None,
            call: None,
            step_deadline: None,
            last_step: None,
            cancellations: 0,
            host_calls: 0,
            carried: 0,
            carried_in_all: 0,
            log_bytes: 0,
            emitted_bytes: 0,
            delayed: Duration::ZERO,
            answered_by: AnsweredBy::Host,
            given: None,
            uses: None,
        }
    }

    /// The call under way.
    pub(crate) fn call_id(&self) -> Option<CallId> {
        self.call
    }

    /// Starts counting anew, for a step of the plugin's life.
    pub(crate) fn begin_step(&mut self, deadline: Duration) {
        self.begin(None);
        let ceiling = self.rights.hot.step_deadline.load(Ordering::Relaxed);
        self.step_deadline = Some(deadline.min(Duration::from_millis(ceiling)));
    }

    /// The same for a step with which a copy ends: it goes on when all is cancelled, so that a state
    /// is saved all the same, but for [`AFTER_CANCELLATION`] at most.
    pub(crate) fn begin_last_step(&mut self, deadline: Duration) {
        self.begin_step(deadline);
        self.last_step = Some(Instant::now());
        if self.shared.cancellations.count() != self.cancellations {
            self.shorten_last_step();
        }
    }

    /// True during a step with which a copy ends.
    pub(crate) fn is_last_step(&self) -> bool {
        self.last_step.is_some()
    }

    /// A cancellation came before this step, or while it runs.
    fn shorten_last_step(&mut self) {
        self.cancellations = self.shared.cancellations.count();
        let took = self.last_step.map(|began| began.elapsed()).unwrap_or_default();
        let end = took + AFTER_CANCELLATION;
        self.step_deadline = Some(self.step_deadline.map_or(end, |deadline| deadline.min(end)));
    }

    /// Starts counting anew, for a call.
    #[inline]
    pub(crate) fn begin_call(&mut self, call: CallId) {
        self.begin(Some(call));
        self.step_deadline = None;
        if let Some(determinism) = &mut self.determinism {
            determinism.next_frame();
        }
    }

    /// How long what runs now may take, in milliseconds. May change while it runs.
    pub(crate) fn deadline(&self) -> u64 {
        match self.step_deadline {
            Some(deadline) => u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            None => self.rights.hot.deadline.load(Ordering::Relaxed),
        }
    }

    #[inline]
    fn begin(&mut self, call: Option<CallId>) {
        self.call = call;
        self.broken = None;
        self.host_time = Duration::ZERO;
        self.plugin_time = None;
        self.host_calls = 0;
        self.carried_in_all = 0;
        self.log_bytes = 0;
        self.emitted_bytes = 0;
        self.delayed = Duration::ZERO;
        self.emitted.clear();
        self.given = None;
        if let Some(uses) = &mut self.uses {
            uses.clear();
        }
        self.cancellations = self.shared.cancellations.for_call();
        self.last_step = None;
    }

    /// The value of [`InstanceServices::cancellations`] as long as the current work may go on.
    pub(crate) fn cancellations(&self) -> u64 {
        self.cancellations
    }

    /// Breaks the call off if it was cancelled since it began.
    pub(crate) fn check_cancelled(&mut self) -> Result<(), Outcome> {
        if self.shared.cancellations.count() == self.cancellations {
            return Ok(());
        }
        if self.last_step.is_some() {
            self.shorten_last_step();
            return Ok(());
        }
        self.broken = Some(Outcome::Cancelled);
        Err(Outcome::Cancelled)
    }

    /// Writes a line on behalf of the plugin that it did not write itself, such as its standard
    /// error.
    pub(crate) fn log_on_behalf(&mut self, level: LogLevel, message: &str) {
        // Also after a call that was broken off, and not as one of its host calls. Its bytes count
        // against the limits like those of a line that the plugin writes itself.
        let (broken, host_calls) = (self.broken.take(), std::mem::take(&mut self.host_calls));
        let _ = self.log(level, message);
        (self.broken, self.host_calls) = (broken, host_calls);
    }

    /// Bytes that may still be logged during this call.
    pub(crate) fn log_room(&self) -> u64 {
        self.rights.limits.load().log_bytes.saturating_sub(self.log_bytes)
    }

    /// Counts a call of WASI, which is a host call that no service serves. An error if the call of the
    /// plugin is to end, of which whoever cannot tell the plugin need say nothing: it ends at the
    /// next tick.
    #[inline]
    pub(crate) fn count_wasi(&mut self) -> Result<(), &Outcome> {
        self.host_calls += 1;
        let allowed = self.rights.hot.host_calls.load(Ordering::Relaxed);
        if self.host_calls > allowed && self.broken.is_none() {
            self.exceed(LimitKind::HostCalls, self.host_calls, allowed);
        }
        self.broken.as_ref().map_or(Ok(()), Err)
    }

    fn exceed(&mut self, limit: LimitKind, asked: u64, allowed: u64) -> ServiceError {
        self.shared.counters.hit_limit(limit);
        self.broken = Some(Outcome::LimitExceeded { limit, asked, allowed, made_up: false });
        ServiceError::LimitExceeded
    }

    /// Checks the frames that a call answered with against the limits of the output.
    pub(crate) fn check_output(&self, frames: &[Frame]) -> Result<(), Stop> {
        let hot = &self.rights.hot;
        let bytes = frames.iter().map(|frame| frame.encoded_len() as u64).sum();
        let checks = [
            (LimitKind::OutputBytes, bytes, &hot.output_bytes),
            (LimitKind::OutputFrames, frames.len() as u64, &hot.output_frames),
        ];
        for (limit, asked, allowed) in checks {
            let allowed = allowed.load(Ordering::Relaxed);
            if asked > allowed {
                self.shared.counters.hit_limit(limit);
                return Err(Stop::Alive(Outcome::LimitExceeded {
                    limit,
                    asked,
                    allowed,
                    made_up: false,
                }));
            }
        }
        Ok(())
    }

    /// The same plugin's, without what the call under way used up: for another store of one copy.
    pub(crate) fn again(&self) -> CopyServices {
        CopyServices::new(self.shared.clone(), self.rights.clone(), self.generation, self.tier)
    }

    /// True if one host call may carry so many bytes to the host.
    pub(crate) fn may_carry(&self, bytes: usize) -> bool {
        bytes as u64 <= self.rights.hot.host_call_bytes.load(Ordering::Relaxed)
    }

    /// Makes a host call that carries more than it may, without its arguments: for bindings that
    /// know the length before they copy the bytes.
    pub(crate) fn refuse_carried(
        &mut self,
        service: &'static str,
        permission: Permission,
        bytes: usize,
    ) -> ServiceError {
        self.carried = bytes;
        let result = self.serve(service, permission, Parameter::Nothing, &[], |_| Ok(()));
        result.err().unwrap_or(ServiceError::LimitExceeded)
    }
}
