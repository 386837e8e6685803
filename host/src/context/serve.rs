//! One use of a service: checked, answered, counted and recorded.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{HostCall, Outcome, What};

use super::arguments::{self, Argument};
use super::{Context, Shared};
use crate::answers::{ANSWERABLE, Answered, Asked, Given};
use crate::guard::caught;
use crate::observe::span::{self, About};
use crate::policy::Parameter;

/// How long a mock delays a call before it looks whether the call was taken back.
const MOCK_NAP: Duration = Duration::from_millis(5);

impl Context {
    /// What [`crate::answers::Answers`] say, if there are any and they do not leave it to the host.
    fn answer<T: Given>(
        &self,
        service: &'static str,
        arguments: &[Argument<'_>],
    ) -> Option<Result<T, ServiceError>> {
        let answers = self.shared.answers.as_ref().filter(|_| ANSWERABLE.contains(&service))?;
        let (plugin, arguments) = (&*self.shared.plugin, &arguments::whole(arguments));
        let asked = Asked { plugin, call: self.call, service, arguments };
        let answered = caught(|| answers.answer(&asked)).unwrap_or_else(|reason| {
            tracing::error!(plugin, service, reason, "the application's answers panicked");
            Answered::With(Err(ServiceError::Unavailable))
        });
        match answered {
            Answered::With(Ok(value)) => {
                Some(T::from_value(value).ok_or(ServiceError::Unavailable))
            }
            Answered::With(Err(error)) => Some(Err(error)),
            Answered::ByHost => None,
        }
    }

    /// Lets a mock delay a call, or fail it. Delays that reach the deadline end the call.
    #[expect(clippy::disallowed_methods, reason = "the delay is what the mock asks for")]
    fn mocked(&mut self, service: &str) -> Result<(), ServiceError> {
        let Some(mock) = &self.shared.mock else {
            return Ok(());
        };
        let verdict = mock.verdict(service);
        if !verdict.delay.is_zero() {
            let deadline = Duration::from_millis(self.deadline());
            let left = deadline.saturating_sub(self.delayed);
            self.delayed += verdict.delay.min(left);
            let end = Instant::now() + verdict.delay.min(left);
            // In short naps, because the call may be taken back meanwhile.
            while let Some(nap) = end.checked_duration_since(Instant::now()) {
                std::thread::sleep(nap.min(MOCK_NAP));
                if self.check_cancelled().is_err() {
                    return Err(ServiceError::Unavailable);
                }
            }
            if verdict.delay > left {
                self.shared.counters.hit_deadline();
                self.broken = Some(Outcome::TimedOut { deadline });
                return Err(ServiceError::Unavailable);
            }
        }
        verdict.fail.map_or(Ok(()), Err)
    }

    /// Checks, runs, counts and records one use of a service.
    pub(super) fn serve<T: Given>(
        &mut self,
        service: &'static str,
        permission: Permission,
        parameter: Parameter<'_>,
        arguments: &[Argument<'_>],
        work: impl FnOnce(&mut Context) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.serve_narrowed(service, permission, parameter, arguments, work, |_, _| {})
    }

    /// The same where only a part of the answer may be granted, whoever gave it.
    pub(super) fn serve_narrowed<T: Given>(
        &mut self,
        service: &'static str,
        permission: Permission,
        parameter: Parameter<'_>,
        arguments: &[Argument<'_>],
        work: impl FnOnce(&mut Context) -> Result<T, ServiceError>,
        narrow: impl FnOnce(&Context, &mut T),
    ) -> Result<T, ServiceError> {
        self.answered = false;
        // Where the plugin cannot be stopped in the middle, nothing is done for it any more.
        match &self.broken {
            None => {}
            Some(Outcome::Cancelled) => return Err(ServiceError::Unavailable),
            Some(_) => return Err(ServiceError::LimitExceeded),
        }
        let span = span::service(&self.about(), service).entered();
        let started = self.shared.journal.is_heard().then(Instant::now);
        self.host_calls += 1;
        let allowed = self.rights.limits.load().host_calls;
        let is_cancelled = self.check_cancelled().is_err();
        let carried = std::mem::take(&mut self.carried);
        let may_carry = self.may_carry(carried);
        self.carried_in_all = self.carried_in_all.saturating_add(carried as u64);
        let carried_allowed = self.rights.hot.host_call_bytes.load(Ordering::Relaxed);
        let allowed_in_all = carried_allowed.saturating_mul(Limits::CARRIED_IN_ALL);
        let mut result = if is_cancelled {
            Err(ServiceError::Unavailable)
        } else if self.host_calls > allowed {
            Err(self.exceed(LimitKind::HostCalls, self.host_calls, allowed))
        } else if !may_carry {
            Err(self.exceed(LimitKind::HostCallBytes, carried as u64, carried_allowed))
        } else if self.carried_in_all > allowed_in_all {
            Err(self.exceed(LimitKind::HostCallBytes, self.carried_in_all, allowed_in_all))
        } else if self.access(permission, &parameter) {
            let is_answered = self.shared.answers.is_some();
            match is_answered.then(|| self.answer(service, arguments)).flatten() {
                Some(answer) => {
                    self.answered = true;
                    answer
                }
                None => self.mocked(service).and_then(|()| work(self)),
            }
        } else {
            Err(ServiceError::Denied)
        };
        match &mut result {
            Ok(value) => narrow(self, value),
            Err(error) => {
                span.record("error", tracing::field::display(error));
            }
        }
        if let Some(started) = started {
            let took = started.elapsed();
            self.host_time += took;
            let host_call = HostCall {
                service: service.into(),
                permission,
                // What did nothing but fail must not fill the memory of whoever takes events.
                arguments: match result {
                    Ok(_) => arguments::whole(arguments),
                    Err(_) if may_carry => arguments::kept(arguments),
                    // The bindings do not even read it.
                    Err(_) => arguments::kept(&[]),
                },
                result: result.as_ref().map(T::to_value).map_err(|error| *error),
                took,
            };
            self.shared.record(self.generation, What::HostCall { call: self.call, host_call });
        }
        result
    }

    fn about(&self) -> About<'_> {
        let Shared { plugin, instance, .. } = &*self.shared;
        About { plugin, instance: *instance, generation: self.generation, tier: self.tier }
    }

    fn access(&self, permission: Permission, parameter: &Parameter<'_>) -> bool {
        self.shared.access(&self.rights.grants.load(), self.generation, permission, parameter)
    }
}
