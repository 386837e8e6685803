use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use parking_lot::Mutex;

use super::Mock;
use crate::services::SERVICES;

/// The mock of one instance: what it counted, for as long as the instance lives.
pub(crate) struct MockServices {
    pub(crate) mock: Arc<Mock>,
    calls: [AtomicU64; SERVICES.len()],
    readings: AtomicU64,
    random: Option<Mutex<blake3::OutputReader>>,
    /// How often each function was called.
    functions: Mutex<BTreeMap<String, u64>>,
}

/// The effect of a mock on a call of a function of the application.
#[derive(Debug, PartialEq)]
pub(crate) struct FunctionEffect {
    pub(crate) delay: Duration,
    /// The result in place of the application's.
    pub(crate) answer: Option<Result<Value, ServiceError>>,
}

/// The effect of a mock on a use of a service, before the service itself answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MockEffect {
    pub(crate) delay: Duration,
    pub(crate) fail: Option<ServiceError>,
}

impl MockServices {
    pub(crate) fn new(mock: Arc<Mock>, plugin: &str) -> MockServices {
        let random = mock.seed.map(|seed| {
            let mut hasher = blake3::Hasher::new_derive_key("glovebox 2026-01 mock random");
            hasher.update(&seed.to_le_bytes()).update(plugin.as_bytes());
            Mutex::new(hasher.finalize_xof())
        });
        let (readings, functions) = (AtomicU64::new(0), Mutex::default());
        MockServices { mock, calls: Default::default(), readings, random, functions }
    }

    /// Counts a use and says what becomes of it.
    pub(crate) fn effect(&self, service: &str) -> MockEffect {
        let Some(position) = SERVICES.iter().position(|name| *name == service) else {
            return MockEffect { delay: Duration::ZERO, fail: None };
        };
        let call = self.calls[position].fetch_add(1, Ordering::Relaxed) + 1;
        let mut answers = self.mock.answers.iter().filter(|answer| {
            answer.service == position && answer.call.is_none_or(|wanted| wanted == call)
        });
        let answer = answers.next();
        MockEffect {
            delay: answer.and_then(|answer| answer.delay).unwrap_or(Duration::ZERO),
            fail: answer.and_then(|answer| answer.fail),
        }
    }

    /// Counts a call of a function and says what becomes of it; `None` if that is not scripted.
    pub(crate) fn function(&self, name: &str, argument: &Value) -> Option<FunctionEffect> {
        if !self.mock.functions.iter().any(|function| function.name == name) {
            return None;
        }
        let call = {
            let mut functions = self.functions.lock();
            let call = functions.entry(name.to_owned()).or_default();
            *call += 1;
            *call
        };
        let answer = self.mock.functions.iter().find(|function| {
            function.name == name
                && function.call.is_none_or(|wanted| wanted == call)
                && function.argument.as_ref().is_none_or(|wanted| is_same(wanted, argument))
        })?;
        Some(FunctionEffect { delay: answer.delay, answer: answer.answer.clone() })
    }

    /// The next reading of the clock, in nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> Option<u64> {
        Some(self.mock.clock?.start.saturating_add(self.elapsed()?))
    }

    /// The next reading of the clock, in nanoseconds since its first one.
    pub(crate) fn elapsed(&self) -> Option<u64> {
        let clock = self.mock.clock?;
        let reading = self.readings.fetch_add(1, Ordering::Relaxed);
        let step = u64::try_from(clock.step.as_nanos()).unwrap_or(u64::MAX);
        Some(step.saturating_mul(reading))
    }

    /// Fills `bytes` with the next ones; `false` if random bytes are not mocked.
    pub(crate) fn fill(&self, bytes: &mut [u8]) -> bool {
        match &self.random {
            Some(random) => random.lock().fill(bytes),
            None => return false,
        }
        true
    }

    /// The content of the store at the start.
    pub(crate) fn kv(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        self.mock.kv.clone()
    }
}

/// True if a plugin asks what the script names, which writes bytes as a text where it can.
fn is_same(wanted: &Value, asked: &Value) -> bool {
    match (wanted, asked) {
        (Value::Text(text), Value::Bytes(bytes)) => text.as_bytes() == bytes,
        (wanted, asked) => wanted == asked,
    }
}

impl fmt::Debug for MockServices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MockServices").field("mock", &self.mock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(text: &str, plugin: &str) -> MockServices {
        MockServices::new(Arc::new(Mock::parse(text).unwrap()), plugin)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        fn check(one: (&str, &str), other: (&str, &str), same: bool) {
            let bytes = |(seed, plugin): (&str, &str)| {
                let services = services(&format!("[random]\nseed = {seed}"), plugin);
                let mut bytes = [0; 100];
                // In two pieces, which must not matter.
                assert!(services.fill(&mut bytes[..33]) && services.fill(&mut bytes[33..]));
                bytes
            };
            assert_eq!(bytes(one) == bytes(other), same, "{one:?} {other:?}");
        }
        check(("1", "a"), ("1", "a"), true);
        check(("1", "a"), ("2", "a"), false);
        check(("1", "a"), ("1", "b"), false);
        // The generator is a promise: these bytes never change.
        let mut bytes = [0; 4];
        services("[random]\nseed = 42", "storage").fill(&mut bytes);
        assert_eq!(bytes, [1, 216, 219, 12]);
    }

    #[test]
    fn the_first_answer_for_a_call_counts() {
        let services = services(
            "[[answer]]\nservice = 'now'\ncall = 2\nfail = 'unavailable'\n\
             [[answer]]\nservice = 'now'\ndelay = '3ms'\n\
             [[answer]]\nservice = 'now'\nfail = 'denied'\n[now]\nfixed = 10\nstep = '5ns'",
            "a",
        );
        let check = |service: &str, millis: u64, fail: Option<ServiceError>| {
            let delay = Duration::from_millis(millis);
            assert_eq!(services.effect(service), MockEffect { delay, fail });
        };
        check("now", 3, None);
        check("random", 0, None);
        check("now", 0, Some(ServiceError::Unavailable));
        check("now", 3, None);
        assert_eq!(
            [services.now(), services.now(), services.now()],
            [Some(10), Some(15), Some(20)]
        );
        assert!(!services.fill(&mut [0]));
    }
}
