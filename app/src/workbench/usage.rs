//! The use that processes of plugins made of the machine, over the last minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use glovebox_host::{InstanceId, PluginStatus, ResourceUsage};

/// The time between two samples, at least.
const STEP: Duration = Duration::from_secs(1);

/// Samples that are kept of each instance.
const KEPT: usize = 120;

/// The use between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageSample {
    /// The later moment.
    pub at: Instant,
    /// Cores that were busy, on average.
    pub cores: f64,
    /// Bytes of memory at the later moment.
    pub resident: u64,
    /// Page faults a second that needed no disk, and that did.
    pub faults: (f64, f64),
    /// Bytes read and written a second, if the system tells.
    pub carried: Option<(f64, f64)>,
}

/// Samples of all instances.
#[derive(Debug, Default)]
pub(super) struct Usages {
    samples: BTreeMap<u64, VecDeque<UsageSample>>,
    last: BTreeMap<u64, (Instant, ResourceUsage)>,
}

impl Usages {
    /// Takes in what the plugins use now. Those that are gone are forgotten.
    pub(super) fn take_in(&mut self, now: Instant, plugins: &[PluginStatus]) {
        let is_there = |instance: &u64| plugins.iter().any(|it| it.instance.get() == *instance);
        self.samples.retain(|instance, _| is_there(instance));
        self.last.retain(|instance, _| is_there(instance));
        for plugin in plugins {
            if let Some(usage) = plugin.usage {
                self.add(plugin.instance.get(), now, usage);
            }
        }
    }

    fn add(&mut self, instance: u64, now: Instant, usage: ResourceUsage) {
        let Some((then, before)) = self.last.get(&instance).copied() else {
            self.last.insert(instance, (now, usage));
            return;
        };
        let passed = now.saturating_duration_since(then);
        if passed < STEP {
            return;
        }
        self.last.insert(instance, (now, usage));
        let samples = self.samples.entry(instance).or_default();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(between(before, usage, now, passed.as_secs_f64()));
    }

    pub(super) fn of(&self, instance: InstanceId) -> Option<&VecDeque<UsageSample>> {
        self.samples.get(&instance.get())
    }
}

/// A process that was started anew counts from nothing: then there is less than before, which is none.
fn between(before: ResourceUsage, now: ResourceUsage, at: Instant, seconds: f64) -> UsageSample {
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    let carried = before.carried.zip(now.carried);
    UsageSample {
        at,
        cores: now.processor().saturating_sub(before.processor()).as_secs_f64() / seconds,
        resident: now.resident,
        faults: (
            rate(before.minor_faults, now.minor_faults),
            rate(before.major_faults, now.major_faults),
        ),
        carried: carried.map(|(before, now)| (rate(before.0, now.0), rate(before.1, now.1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(millis: u64, faults: u64, carried: Option<(u64, u64)>) -> ResourceUsage {
        let mut usage = ResourceUsage::default();
        usage.user = Duration::from_millis(millis);
        usage.minor_faults = faults;
        usage.carried = carried;
        usage
    }

    #[test]
    fn rates_are_those_of_the_time_between() {
        let start = Instant::now();
        let mut usages = Usages::default();
        let mut add = |after: u64, usage: ResourceUsage| {
            usages.add(1, start + Duration::from_millis(after), usage);
            usages.samples.get(&1).map_or(0, VecDeque::len)
        };
        assert_eq!(add(0, usage(100, 5, None)), 0);
        // Too soon.
        assert_eq!(add(900, usage(900, 9, None)), 0);
        assert_eq!(add(2000, usage(1100, 9, Some((1, 1)))), 1);
        // A fresh process.
        assert_eq!(add(4000, usage(0, 0, Some((5, 9)))), 2);
        let found: Vec<_> = usages.samples[&1].iter().collect();
        assert_eq!((found[0].cores, found[0].faults.0, found[0].carried), (0.5, 2.0, None));
        assert_eq!((found[1].cores, found[1].carried), (0.0, Some((2.0, 4.0))));
    }
}
