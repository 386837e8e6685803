//! Figures per plugin and generation, fed by events.
//!
//! Feed [`Metrics`] (or a [`LiveMetrics`], the same as a sink) and look at a [`MetricsSnapshot`]:
//! one [`GenerationMetrics`] per generation, so that versions can be compared, and one [`Series`]
//! per plugin for charts.
//!
//! ```
//! use glovebox_inspector::metrics::Metrics;
//!
//! assert!(Metrics::default().snapshot().generations.is_empty());
//! ```
//!
//! This module deliberately has no clock: time is what the events say, so a trace gives the same
//! figures as the run it recorded.

mod compare;
mod generation;
mod series;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::{Event, Sink};

use crate::findings::BudgetFigures;
pub use compare::{Compared, Figure, Verdict, compare};
use generation::Generation;
use series::{KEPT, SECOND, Timeline};

/// Figures of one generation of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationMetrics {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// Which generation, from 1.
    pub generation: u32,
    /// Frames given to the plugin.
    pub frames_in: u64,
    /// Frames the plugin gave.
    pub frames_out: u64,
    /// Bytes given to the plugin.
    pub bytes_in: u64,
    /// Bytes the plugin gave.
    pub bytes_out: u64,
    /// Calls that ended.
    pub calls: u64,
    /// Calls by the name of their outcome; `completed` too.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Host calls.
    pub host_calls: u64,
    /// Host calls that were denied.
    pub denials: u64,
    /// Times the instance was restarted after a fault.
    pub restarts: u64,
    /// Bytes of memory after the last call, where the tier can tell.
    pub memory: Option<u64>,
    /// The most memory seen.
    pub memory_peak: Option<u64>,
    /// Latency of the calls.
    pub latency: LatencySummary,
    /// Where the time went.
    pub split: Split,
    /// Time of the first input and of the last end, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// How long the last load took, if it was seen.
    pub load_time: Option<Duration>,
}

impl GenerationMetrics {
    /// What budgets are judged by, for a plugin of so many copies.
    pub fn budget_figures(&self, copies: u32) -> BudgetFigures {
        let (first, last) = self.range.unwrap_or_default();
        let refused = self.outcomes.get("refused").copied().unwrap_or(0);
        BudgetFigures {
            calls: self.calls - refused,
            p50: self.latency.p50,
            p99: self.latency.p99,
            memory: self.memory_peak,
            busy: self.split.guest.saturating_add(self.split.boundary),
            span: Duration::from_nanos(last.saturating_sub(first)),
            copies: u64::from(copies.max(1)),
            unpaced: false,
            load_time: self.load_time,
        }
    }

    /// Calls that ended with anything but `completed`.
    pub fn errors(&self) -> u64 {
        self.calls - self.outcomes.get("completed").copied().unwrap_or(0)
    }
}

/// Latency of calls; exact to three digits, from 1 ns to 1 hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LatencySummary {
    /// Number of calls.
    pub count: u64,
    /// Half of the calls were no slower.
    pub p50: Duration,
    /// 90 of 100 were no slower.
    pub p90: Duration,
    /// 99 of 100 were no slower.
    pub p99: Duration,
    /// 999 of 1000 were no slower.
    pub p99_9: Duration,
    /// 9999 of 10,000 were no slower.
    pub p99_99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// Total time of all calls by where it went.
///
/// Only the frame ABI tells guest and boundary apart. For components, shared libraries and plugins
/// built into the application [`boundary`](Self::boundary) is zero and its time is part of
/// [`guest`](Self::guest): how much of it nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Waiting in the queue.
    pub queue: Duration,
    /// Inside the plugin.
    pub guest: Duration,
    /// Inside host services.
    pub host: Duration,
    /// Carrying frames in and out; zero where it is part of the guest's time.
    pub boundary: Duration,
}

impl Split {
    /// The latency of all calls together: everything but the queue.
    pub fn latency(&self) -> Duration {
        self.guest.saturating_add(self.host).saturating_add(self.boundary)
    }

    /// The time of carrying frames, where the binding tells it.
    pub fn known_boundary(&self) -> Option<Duration> {
        (!self.boundary.is_zero()).then_some(self.boundary)
    }
}

/// A short while of one plugin: a second, or a tenth of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// When it begins, in nanoseconds since the Unix epoch.
    pub start: u64,
    /// Frames in and out.
    pub frames: u64,
    /// Calls that ended.
    pub calls: u64,
    /// Calls that ended with anything but `completed`.
    pub errors: u64,
    /// Median latency; `None` without calls.
    pub p50: Option<Duration>,
    /// 99th percentile of the latency; `None` without calls.
    pub p99: Option<Duration>,
    /// Bytes of memory at its end, where the tier can tell.
    pub memory: Option<u64>,
}

/// A moment worth marking in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadMark {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// The generation that runs after it.
    pub generation: u32,
    /// False if the new generation was refused.
    pub accepted: bool,
}

/// The last while of one plugin, bucket by bucket; those without events are left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// How long a bucket is.
    pub step: Duration,
    /// Oldest first.
    pub buckets: Vec<Bucket>,
    /// Buckets that are too old to be here.
    pub left_out: u64,
    /// Reloads in that time, oldest first.
    pub reloads: Vec<ReloadMark>,
}

/// Figures of everything, at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsSnapshot {
    /// By plugin in order of appearance, then by generation.
    pub generations: Vec<GenerationMetrics>,
    /// All generations of each plugin together, under the number of the last.
    pub totals: Vec<GenerationMetrics>,
    /// By plugin, by the second: the last ten minutes.
    pub series: BTreeMap<Arc<str>, Series>,
    /// By plugin, by the tenth of a second: the last minute.
    pub fine: BTreeMap<Arc<str>, Series>,
}

/// Counts events.
///
/// Each generation costs about 300 KiB, most of it its histogram; each plugin's series are bounded.
#[derive(Debug)]
pub struct Metrics {
    /// In order of appearance.
    plugins: Vec<Plugin>,
    /// Buckets of each series.
    kept: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::keeping(KEPT)
    }
}

#[derive(Debug)]
struct Plugin {
    id: Arc<str>,
    generations: BTreeMap<u32, Generation>,
    series: Timeline,
    fine: Timeline,
}

impl Metrics {
    /// Metrics whose series keep so many buckets, from 1; each costs about 100 bytes.
    pub fn keeping(buckets: usize) -> Metrics {
        Metrics { plugins: Vec::new(), kept: buckets.max(1) }
    }

    /// Adds the figures of another run, generation by generation; the series stay as they are.
    pub fn merge(&mut self, other: &Metrics) {
        for plugin in &other.plugins {
            let index = self.plugin(&plugin.id);
            for (number, figures) in &plugin.generations {
                self.plugins[index].generations.entry(*number).or_default().merge(figures);
            }
        }
    }

    /// All generations of a plugin together, under the number of the last.
    pub fn total(&self, plugin: &str) -> Option<GenerationMetrics> {
        let plugin = self.plugins.iter().find(|known| &*known.id == plugin)?;
        let mut total = Generation::default();
        plugin.generations.values().for_each(|figures| total.merge(figures));
        let (last, _) = plugin.generations.last_key_value()?;
        Some(total.snapshot(&plugin.id, *last))
    }

    fn plugin(&mut self, id: &Arc<str>) -> usize {
        let known = self.plugins.iter().position(|known| known.id == *id);
        known.unwrap_or_else(|| {
            self.plugins.push(Plugin {
                id: id.clone(),
                generations: BTreeMap::new(),
                series: Timeline::new(SECOND, self.kept),
                fine: Timeline::new(SECOND / 10, self.kept),
            });
            self.plugins.len() - 1
        })
    }

    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        let is_known = |id: &str| self.plugins.iter().any(|plugin| &*plugin.id == id);
        // A file that was never loaded is no plugin with figures.
        if !event.what.is_of_a_plugin() && !is_known(&event.plugin) {
            return;
        }
        let index = self.plugin(&event.plugin);
        let plugin = &mut self.plugins[index];
        let generation = plugin.generations.entry(event.generation);
        generation.or_default().ingest(event);
        plugin.series.ingest(event);
        plugin.fine.ingest(event);
    }

    /// The figures as they are now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let plugins = self.plugins.iter();
        let generations: Vec<_> = plugins
            .clone()
            .flat_map(|plugin| {
                let generations = plugin.generations.iter();
                generations.map(|(number, figures)| figures.snapshot(&plugin.id, *number))
            })
            .collect();
        let total = |plugin: &Plugin| {
            let mut own = generations.iter().filter(|one| one.plugin == plugin.id);
            match (own.next(), own.next()) {
                // Merging histograms costs something.
                (Some(only), None) => Some(only.clone()),
                _ => self.total(&plugin.id),
            }
        };
        MetricsSnapshot {
            totals: plugins.clone().filter_map(total).collect(),
            generations,
            series: plugins
                .clone()
                .map(|plugin| (plugin.id.clone(), plugin.series.snapshot()))
                .collect(),
            fine: plugins.map(|plugin| (plugin.id.clone(), plugin.fine.snapshot())).collect(),
        }
    }

    /// Figures of one generation, without the rest.
    pub fn generation(&self, plugin: &str, generation: u32) -> Option<GenerationMetrics> {
        let plugin = self.plugins.iter().find(|known| &*known.id == plugin)?;
        let figures = plugin.generations.get(&generation)?;
        Some(figures.snapshot(&plugin.id, generation))
    }
}

/// [`Metrics`] behind a lock, as a sink for a host.
#[derive(Debug, Default)]
pub struct LiveMetrics(parking_lot::Mutex<Metrics>);

impl LiveMetrics {
    /// The metrics; hold them briefly, plugins wait for them.
    pub fn lock(&self) -> parking_lot::MutexGuard<'_, Metrics> {
        self.0.lock()
    }
}

impl Sink for LiveMetrics {
    fn record(&self, event: &Event) {
        self.0.lock().ingest(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_abi::cbor::Value;
    use glovebox_abi::{Frame, Permission, ServiceError};
    use glovebox_events::{CallId, HostCall, Outcome, ReloadCause, Timing, What};

    fn event(second: u64, generation: u32, what: What) -> Event {
        Event {
            sequence: 0,
            at: second * 1_000_000_000,
            plugin: "echo".into(),
            instance: 0,
            generation,
            what,
        }
    }

    fn ended(micros: u64, outcome: Outcome) -> What {
        What::CallEnded {
            call: CallId(1),
            outcome,
            timing: Timing { guest: Duration::from_micros(micros), ..Timing::default() },
            bytes_in: 10,
            bytes_out: 20,
            frames_out: 1,
            memory: Some(micros),
        }
    }

    fn reloaded() -> What {
        What::Reloaded {
            cause: ReloadCause::FileChanged,
            from: 1,
            version: "2.0.0".into(),
            digest: String::new(),
            state_version: None,
            took: Duration::ZERO,
        }
    }

    fn sample() -> Metrics {
        let mut metrics = Metrics::default();
        let frame = Frame::data(&b"12345678"[..]);
        for micros in 1..=100 {
            let call = CallId(micros);
            let frame = frame.clone();
            metrics.ingest(&event(1, 1, What::FrameIn { call, frame }));
            metrics.ingest(&event(1, 1, ended(micros, Outcome::Completed)));
        }
        metrics.ingest(&event(3, 2, reloaded()));
        metrics.ingest(&event(3, 2, ended(5, Outcome::Cancelled)));
        let host_call = HostCall {
            service: "now".into(),
            permission: Permission::Now,
            arguments: Value::Null,
            result: Err(ServiceError::Denied),
            took: Duration::ZERO,
        };
        let call = Some(CallId(1));
        metrics.ingest(&event(3, 2, What::HostCall { call, host_call }));
        metrics
    }

    #[test]
    fn generations_are_counted_apart() {
        let metrics = sample();
        let first = metrics.generation("echo", 1).expect("it ran");
        let second = metrics.generation("echo", 2).expect("it ran");
        fn check(found: impl PartialEq<u64> + std::fmt::Debug, expected: u64) {
            assert_eq!(found, expected);
        }
        check(first.calls, 100);
        check(first.errors(), 0);
        check(first.frames_in, 100);
        check(first.bytes_in, 2000);
        check(first.memory_peak.unwrap_or(0), 100);
        check(first.split.guest.as_micros() as u64, 5050);
        check(second.calls, 1);
        check(second.errors(), 1);
        check(second.denials, 1);
        check(second.host_calls, 1);
        assert_eq!(metrics.generation("echo", 3), None);
    }

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let latency = sample().generation("echo", 1).expect("it ran").latency;
        fn check(found: Duration, micros: u64) {
            let expected = Duration::from_micros(micros);
            let error = found.abs_diff(expected).as_secs_f64() / expected.as_secs_f64();
            assert!(error < 0.001, "{found:?} is not {expected:?}");
        }
        check(latency.p50, 50);
        check(latency.p90, 90);
        check(latency.p99, 99);
        check(latency.p99_99, 100);
        check(latency.max, 100);
    }

    #[test]
    fn seconds_become_buckets() {
        let snapshot = sample().snapshot();
        let series = &snapshot.series["echo"];
        let figures = series.buckets.iter();
        let figures: Vec<_> = figures
            .map(|bucket| {
                (bucket.start / 1_000_000_000, bucket.frames, bucket.calls, bucket.errors)
            })
            .collect();
        assert_eq!(figures, [(1, 100, 100, 0), (3, 0, 1, 1)]);
        assert!(series.buckets[0].p99 > series.buckets[0].p50);
        assert_eq!(
            series.reloads,
            [ReloadMark { at: 3_000_000_000, generation: 2, accepted: true }]
        );
    }

    #[test]
    fn tenths_of_a_second_are_told_apart() {
        let mut metrics = Metrics::default();
        for tenth in [0, 0, 3, 10] {
            let mut event = event(1, 1, ended(5, Outcome::Completed));
            event.at += tenth * 100_000_000;
            metrics.ingest(&event);
        }
        let snapshot = metrics.snapshot();
        fn check(series: &Series, step: u64, expected: &[(u64, u64)]) {
            assert_eq!(series.step, Duration::from_millis(step));
            let found = series.buckets.iter().map(|one| (one.start / 100_000_000, one.calls));
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
        check(&snapshot.fine["echo"], 100, &[(10, 2), (13, 1), (20, 1)]);
        check(&snapshot.series["echo"], 1000, &[(10, 3), (20, 1)]);
    }

    #[test]
    fn runs_and_generations_are_merged() {
        let one = sample();
        let mut both = sample();
        both.merge(&one);
        fn check(found: &GenerationMetrics, calls: u64, frames: u64, p50: u64, denials: u64) {
            let micros = found.latency.p50.as_nanos().div_ceil(1000) as u64;
            assert_eq!((found.calls, found.latency.count), (calls, calls));
            assert_eq!((found.frames_in, micros, found.denials), (frames, p50, denials));
        }
        check(&one.generation("echo", 1).unwrap(), 100, 100, 51, 0);
        check(&both.generation("echo", 1).unwrap(), 200, 200, 51, 0);
        // 1 to 100 µs and another 5 µs: the 51st of 101.
        let total = one.total("echo").unwrap();
        check(&total, 101, 100, 51, 1);
        assert_eq!((total.generation, total.errors()), (2, 1));
        assert_eq!(total.memory_peak, Some(100));
        assert_eq!(both.total("echo").unwrap().calls, 202);
        assert_eq!(one.total("nobody"), None);
    }

    #[test]
    fn series_are_bounded() {
        let mut metrics = Metrics::default();
        for second in 0..2000 {
            metrics.ingest(&event(second, 1, ended(1, Outcome::Completed)));
            metrics.ingest(&event(second, 1, reloaded()));
        }
        let series = &metrics.snapshot().series["echo"];
        assert_eq!((series.buckets.len(), series.left_out), (KEPT, 2000 - KEPT as u64));
        assert_eq!(series.reloads.len(), KEPT);
    }
}
