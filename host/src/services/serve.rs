//! One use of a service: checked, answered, counted and recorded.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::manifest::{LimitKind, Limits};
use glovebox_abi::{Permission, ServiceError};
use glovebox_events::{AnsweredBy, HostCall, Outcome, What};

use super::arguments::{self, Argument};
use super::mock::{MockEffect, StopFault};
use super::{ANSWERABLE, Answered, Asked, CopyServices, Given, InstanceServices, SERVICES, Use};
use crate::guard::caught;
use crate::policy::Parameter;
use crate::record::span::{self, About};

/// How long a mock delays a call before it looks whether the call was cancelled.
const MOCK_NAP: Duration = Duration::from_millis(5);

impl CopyServices {
    /// The answer of [`crate::services::Answers`], if there are any and they do not leave it to the
    /// host.
    fn answer<T: Given>(
        &self,
        service: &str,
        permission: Permission,
        arguments: &[Argument<'_>],
    ) -> Option<Result<T, ServiceError>> {
        let answerable = permission == Permission::Functions || ANSWERABLE.contains(&service);
        let answers = self.shared.answers.as_ref().filter(|_| answerable)?;
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
    ///
    /// Gives how much of the answer the plugin is to get, if not all.
    fn mocked(&mut self, service: &str) -> Result<Option<u64>, ServiceError> {
        let (MockEffect { delay, fail, short, stop }, whose) = self.shared.effect(service);
        self.answered_by = whose;
        self.delay(delay)?;
        if let Some(stop) = stop {
            return Err(self.stop_by_mock(service, stop));
        }
        fail.map_or(Ok(short), Err)
    }

    /// Ends the call under way as a mock says.
    fn stop_by_mock(&mut self, service: &str, stop: StopFault) -> ServiceError {
        self.evidence.is_made_up = true;
        let whose = self.answered_by.words();
        let cause = format!("stopped by {whose} while it used `{service}`");
        let made_up = true;
        let (outcome, error) = match stop {
            StopFault::Crash => (Outcome::Crashed { cause, made_up }, ServiceError::Unavailable),
            StopFault::Memory => {
                // The outcome does not say where.
                tracing::warn!(plugin = &*self.shared.plugin, "{cause}, as at its limit of memory");
                let allowed = self.rights.limits.load().memory;
                let (limit, asked) = (LimitKind::Memory, allowed.saturating_add(1));
                let outcome = Outcome::LimitExceeded { limit, asked, allowed, made_up };
                (outcome, ServiceError::LimitExceeded)
            }
        };
        self.broken = Some(outcome);
        error
    }

    /// Waits for as long as a mock says, and no longer than the call may take.
    #[expect(clippy::disallowed_methods, reason = "the delay is what the mock asks for")]
    pub(super) fn delay(&mut self, delay: Duration) -> Result<(), ServiceError> {
        if !delay.is_zero() {
            let deadline = Duration::from_millis(self.deadline());
            let left = deadline.saturating_sub(self.delayed);
            self.delayed += delay.min(left);
            let end = Instant::now() + delay.min(left);
            // In short naps, because the call may be cancelled meanwhile.
            while let Some(nap) = end.checked_duration_since(Instant::now()) {
                std::thread::sleep(nap.min(MOCK_NAP));
                if self.check_cancelled().is_err() {
                    return Err(ServiceError::Unavailable);
                }
            }
            if delay > left {
                self.evidence.is_made_up = true;
                self.broken = Some(Outcome::TimedOut { deadline, made_up: true });
                return Err(ServiceError::Unavailable);
            }
        }
        Ok(())
    }

    /// Checks, runs, counts and records one use of a service.
    pub(super) fn serve<T: Given>(
        &mut self,
        service: &str,
        permission: Permission,
        parameter: Parameter<'_>,
        arguments: &[Argument<'_>],
        work: impl FnOnce(&mut CopyServices) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.serve_within(service, permission, parameter, arguments, |_| Ok(()), work)
    }

    /// The same for a service with a limit of its own: `within` says whether the use keeps to it,
    /// whoever answers.
    pub(super) fn serve_within<T: Given>(
        &mut self,
        service: &str,
        permission: Permission,
        parameter: Parameter<'_>,
        arguments: &[Argument<'_>],
        within: impl FnOnce(&CopyServices) -> Result<(), ServiceError>,
        work: impl FnOnce(&mut CopyServices) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        self.answered_by = AnsweredBy::Host;
        // Where the plugin cannot be stopped in the middle, nothing is done for it any more.
        match &self.broken {
            None => {}
            Some(Outcome::Cancelled) => return Err(ServiceError::Unavailable),
            Some(_) => return Err(ServiceError::LimitExceeded),
        }
        let span = span::service(&self.about(), service).entered();
        let started = self.shared.journal.is_heard().then(Instant::now);
        self.host_calls += 1;
        let Limits { host_calls: allowed, carried_bytes: allowed_in_all, .. } =
            **self.rights.limits.load();
        let is_cancelled = self.check_cancelled().is_err();
        let carried = std::mem::take(&mut self.carried);
        let may_carry = self.may_carry(carried);
        self.carried_in_all = self.carried_in_all.saturating_add(carried as u64);
        let carried_allowed = self.rights.hot.host_call_bytes.load(Ordering::Relaxed);
        let mut result = if is_cancelled {
            Err(ServiceError::Unavailable)
        } else if self.host_calls > allowed {
            Err(self.exceed(LimitKind::HostCalls, self.host_calls, allowed))
        } else if !may_carry {
            Err(self.exceed(LimitKind::HostCallBytes, carried as u64, carried_allowed))
        } else if self.carried_in_all > allowed_in_all {
            Err(self.exceed(LimitKind::CarriedBytes, self.carried_in_all, allowed_in_all))
        } else if !self.access(permission, &parameter) {
            Err(ServiceError::Denied)
        } else if let Err(error) = within(self) {
            Err(error)
        } else {
            let is_answered = self.shared.answers.is_some();
            match is_answered.then(|| self.answer(service, permission, arguments)).flatten() {
                Some(answer) => {
                    self.answered_by = AnsweredBy::Application;
                    answer
                }
                None => self.mocked(service).and_then(|short| {
                    let mut value = work(self)?;
                    if let Some(short) = short {
                        value.shorten(usize::try_from(short).unwrap_or(usize::MAX));
                    }
                    Ok(value)
                }),
            }
        };
        if matches!(self.answered_by, AnsweredBy::Fault | AnsweredBy::Mock) {
            let counters = self.shared.counters.permission(permission);
            counters.injected.fetch_add(1, Ordering::Relaxed);
        }
        match &mut result {
            Ok(value) => value.keep_granted(&self.rights.grants),
            Err(error) => {
                span.record("error", tracing::field::display(error));
            }
        }
        if let Some(uses) = &mut self.uses {
            uses.push(Use {
                service: name_of(service),
                arguments: arguments::whole(arguments),
                result: result.as_ref().map(T::to_value).map_err(|error| *error),
            });
        }
        if let Some(started) = started {
            let took = started.elapsed();
            self.host_time += took;
            if !self.shared.journal.is_told() {
                return result;
            }
            let host_call = HostCall {
                service: name_of(service),
                permission,
                // A use that only failed must not fill the memory of a sink.
                arguments: match result {
                    Ok(_) => arguments::whole(arguments),
                    Err(_) if may_carry => arguments::kept(arguments),
                    // The bindings do not even read it.
                    Err(_) => arguments::kept(&[]),
                },
                result: result.as_ref().map(T::to_value).map_err(|error| *error),
                took,
                answered_by: self.answered_by,
            };
            self.shared.record(self.generation, What::HostCall { call: self.call, host_call });
        }
        result
    }

    fn about(&self) -> About<'_> {
        let InstanceServices { plugin, instance, .. } = &*self.shared;
        About { plugin, instance: *instance, generation: self.generation, tier: self.tier }
    }

    fn access(&self, permission: Permission, parameter: &Parameter<'_>) -> bool {
        let grants = self.rights.grants.load();
        let admitted = match parameter {
            // A service that reaches one does not look its name up itself.
            Parameter::Peer { host, port } => grants.admits_host(host, *port),
            parameter => grants.admits(permission, parameter),
        };
        self.shared.accessed(&grants, self.generation, permission, parameter, admitted)
    }
}

/// The name as an event keeps it: those of our own services need no copy.
fn name_of(service: &str) -> Cow<'static, str> {
    let own = SERVICES.into_iter().find(|own| *own == service);
    own.map_or_else(|| Cow::Owned(service.to_owned()), Cow::Borrowed)
}
