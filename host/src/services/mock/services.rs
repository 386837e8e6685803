use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use glovebox_abi::ServiceError;
use glovebox_abi::cbor::Value;
use parking_lot::Mutex;

use super::{Answer, Mock, StopFault};
use crate::services::SERVICES;

/// The mock of one instance: what it counted, for as long as the instance lives.
pub(crate) struct MockServices {
    pub(crate) mock: Arc<Mock>,
    plugin: String,
    /// Nanoseconds by which the clock was set so far.
    shift: AtomicI64,
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
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MockEffect {
    pub(crate) delay: Duration,
    pub(crate) fail: Option<ServiceError>,
    /// Bytes, or names, of the answer that are given.
    pub(crate) short: Option<u64>,
    pub(crate) stop: Option<StopFault>,
}

impl MockServices {
    pub(crate) fn new(mock: Arc<Mock>, plugin: &str) -> MockServices {
        let random = mock.seed.map(|seed| {
            let mut hasher = blake3::Hasher::new_derive_key("glovebox 2026-01 mock random");
            hasher.update(&seed.to_le_bytes()).update(plugin.as_bytes());
            Mutex::new(hasher.finalize_xof())
        });
        let (readings, functions) = (AtomicU64::new(0), Mutex::default());
        let (plugin, shift) = (plugin.to_owned(), AtomicI64::new(0));
        MockServices { mock, plugin, shift, calls: Default::default(), readings, random, functions }
    }

    /// Counts a use and says what becomes of it.
    pub(crate) fn effect(&self, service: &str) -> MockEffect {
        let Some(position) = SERVICES.iter().position(|name| *name == service) else {
            return MockEffect::default();
        };
        let call = self.calls[position].fetch_add(1, Ordering::Relaxed) + 1;
        let mut answers = self.mock.answers.iter().enumerate();
        let answer = answers.find(|(place, answer)| {
            answer.service == position
                && answer.call.is_none_or(|wanted| wanted == call)
                && answer.plugin.as_ref().is_none_or(|wanted| *wanted == self.plugin)
                && self.is_met(*place, answer, call)
        });
        let Some((_, answer)) = answer else { return MockEffect::default() };
        self.shift.fetch_add(answer.shift, Ordering::Relaxed);
        MockEffect {
            delay: answer.delay.unwrap_or(Duration::ZERO),
            fail: answer.fail,
            short: answer.short,
            stop: answer.stop,
        }
    }

    /// True if chance meets this call; it follows from what it is given alone.
    fn is_met(&self, place: usize, answer: &Answer, call: u64) -> bool {
        let Some(one_in) = answer.one_in else { return true };
        let mut hasher = blake3::Hasher::new_derive_key("glovebox 2026-11 mock faults");
        for number in [self.mock.faults, place as u64, call] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(self.plugin.as_bytes());
        let mut drawn = [0; 8];
        hasher.finalize_xof().fill(&mut drawn);
        u64::from_le_bytes(drawn) % one_in == 0
    }

    /// A reading of the clock, after it was set.
    pub(crate) fn shifted(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.shift.load(Ordering::Relaxed))
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
    pub(crate) fn kv(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.mock.kv
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
    fn chance_repeats_and_meets_about_one_in_so_many() {
        let met = |seed: u64, plugin: &str, one_in: u64| -> Vec<bool> {
            let text = format!(
                "[faults]\nseed = {seed}\n[[answer]]\nservice = 'log'\none-in = {one_in}\nfail = 'denied'"
            );
            let services = services(&text, plugin);
            (0..1000).map(|_| services.effect("log").fail.is_some()).collect()
        };
        assert_eq!(met(7, "a", 10), met(7, "a", 10));
        assert_ne!(met(7, "a", 10), met(8, "a", 10));
        assert_ne!(met(7, "a", 10), met(7, "b", 10));
        let count = |one_in| met(7, "a", one_in).into_iter().filter(|met| *met).count();
        assert_eq!(count(1), 1000);
        assert!((60..140).contains(&count(10)), "{}", count(10));
    }

    #[test]
    fn an_answer_is_for_one_plugin_and_the_clock_is_set_once() {
        let text = "[now]\nfixed = 1000\n[[answer]]\nservice = 'now'\nplugin = 'a'\ncall = 2\n\
            back = '300ns'\n[[answer]]\nservice = 'now'\ncall = 3\nforward = '5ns'";
        let check = |plugin: &str, expected: [u64; 4]| {
            let services = services(text, plugin);
            let readings = [(); 4].map(|()| {
                services.effect("now");
                services.shifted(services.now().unwrap())
            });
            assert_eq!(readings, expected, "{plugin}");
        };
        check("a", [1000, 700, 705, 705]);
        check("b", [1000, 1000, 1005, 1005]);
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
            assert_eq!(
                services.effect(service),
                MockEffect { delay, fail, ..MockEffect::default() }
            );
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
