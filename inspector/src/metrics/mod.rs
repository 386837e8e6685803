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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::latency::{Latencies, LatencySummary};
use glovebox_events::{Event, Sink};

use crate::diff::LatencyShift;
use crate::findings::BudgetFigures;
pub use compare::{Compared, Figure, P99_9_TAKES, P99_99_TAKES, compare};
use generation::Generation;
use series::{KEPT, SECOND, Timeline};

/// Figures of one generation of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationMetrics {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The generation, from 1.
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
    /// Host calls by the permission that they need.
    pub permissions: BTreeMap<&'static str, PermissionUses>,
    /// Times the instance was restarted after a fault.
    pub restarts: u64,
    /// Bytes of memory after the last call, where the tier can tell.
    pub memory: Option<u64>,
    /// The most memory seen.
    pub memory_peak: Option<u64>,
    /// Latency of the calls; exact for up to 16,384 of them, and to three digits for more.
    pub latency: LatencySummary,
    /// The same, for charts and comparisons.
    pub latencies: Arc<Latencies>,
    /// Where the time went.
    pub split: Split,
    /// Time of the first input and of the last end, in nanoseconds since the Unix epoch.
    pub range: Option<(u64, u64)>,
    /// How long the last load took, if it was seen.
    pub load_time: Option<Duration>,
}

impl GenerationMetrics {
    /// The figures that budgets are judged by, for a plugin of so many copies.
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

    /// How the latency of the calls changed since `before`, by the rule of a diff; `None` if one of
    /// them has no calls. This is about all calls, and a diff about those that are in both runs.
    pub fn shift_since(&self, before: &GenerationMetrics) -> Option<LatencyShift> {
        LatencyShift::between(self.plugin.to_string(), &before.latencies, &self.latencies)
    }

    /// Host calls.
    pub fn host_calls(&self) -> u64 {
        self.permissions.values().map(|uses| uses.allowed + uses.denied).sum()
    }

    /// Host calls that the policy denied.
    pub fn denials(&self) -> u64 {
        self.permissions.values().map(|uses| uses.denied).sum()
    }

    /// Host calls of which a fault or a mock made the result.
    pub fn injected(&self) -> u64 {
        self.permissions.values().map(|uses| uses.injected).sum()
    }

    /// Calls that ended with anything but `completed`.
    pub fn errors(&self) -> u64 {
        self.calls - self.outcomes.get("completed").copied().unwrap_or(0)
    }
}

/// How often a plugin used a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionUses {
    /// Host calls that the policy allowed.
    pub allowed: u64,
    /// Host calls that the policy denied.
    pub denied: u64,
    /// Those of the allowed ones of which a fault or a mock made the result.
    pub injected: u64,
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
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// By plugin in order of appearance, then by generation; the latest 64 of each plugin.
    pub generations: Vec<GenerationMetrics>,
    /// All generations of each plugin together, under the number of the last.
    pub totals: Vec<GenerationMetrics>,
    /// By plugin, by the second: the last ten minutes.
    pub series: BTreeMap<Arc<str>, Series>,
    /// By plugin, by the tenth of a second: the last minute.
    pub fine: BTreeMap<Arc<str>, Series>,
}

/// Plugins that are told apart. Events of others are only counted.
const MAX_PLUGINS: usize = 2_000;

/// Generations of a plugin that are told apart, the latest ones. Those before are only part of its
/// total.
const MAX_GENERATIONS: usize = 64;

/// Counts events.
///
/// Each generation costs up to 300 KiB, most of it its histogram. The latest 64 generations of a plugin
/// are told apart, and each plugin's series are bounded. A clone is cheap, and pays when either of the
/// two counts on.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// In order of appearance.
    plugins: Vec<Plugin>,
    /// Where each stands among them.
    places: HashMap<Arc<str>, usize>,
    /// Events of plugins that came when there were too many.
    left_out: u64,
    /// Buckets of each series.
    kept: usize,
    /// Series may span any time.
    whole: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics::keeping(KEPT);
        metrics.whole = false;
        metrics
    }
}

#[derive(Debug, Clone)]
struct Plugin {
    id: Arc<str>,
    /// The latest.
    generations: BTreeMap<u32, Arc<Generation>>,
    /// Those before, together, and how many they are.
    older: Option<Arc<Generation>>,
    generations_left_out: u64,
    series: Arc<Timeline>,
    fine: Arc<Timeline>,
}

impl Plugin {
    /// One of the latest generations, or all that are older together.
    fn generation(&mut self, number: u32) -> &mut Generation {
        let is_known = self.generations.contains_key(&number);
        let is_full = self.generations.len() >= MAX_GENERATIONS;
        let oldest = self.generations.keys().next().copied().unwrap_or_default();
        if !is_known && is_full && number < oldest {
            return Arc::make_mut(self.older.get_or_insert_default());
        }
        if !is_known
            && is_full
            && let Some(oldest) = self.generations.remove(&oldest)
        {
            Arc::make_mut(self.older.get_or_insert_default()).merge(&oldest);
            self.generations_left_out += 1;
        }
        Arc::make_mut(self.generations.entry(number).or_default())
    }

    fn total(&self) -> Option<GenerationMetrics> {
        let (last, _) = self.generations.last_key_value()?;
        let mut total = Generation::default();
        self.older.iter().chain(self.generations.values()).for_each(|one| total.merge(one));
        Some(total.snapshot(&self.id, *last))
    }
}

impl Metrics {
    /// Metrics of a whole trace: its series keep so many buckets, from 1, however far apart; each costs
    /// about 100 bytes. Events may come in any order.
    pub fn keeping(buckets: usize) -> Metrics {
        let (plugins, places) = Default::default();
        Metrics { plugins, places, left_out: 0, kept: buckets.max(1), whole: true }
    }

    /// Adds the figures of another run, generation by generation; the series stay as they are.
    pub fn merge(&mut self, other: &Metrics) {
        for plugin in &other.plugins {
            let Some(own) = self.plugin(&plugin.id) else { continue };
            for (number, figures) in &plugin.generations {
                own.generation(*number).merge(figures);
            }
            if let Some(older) = &plugin.older {
                Arc::make_mut(own.older.get_or_insert_default()).merge(older);
                own.generations_left_out += plugin.generations_left_out;
            }
        }
        self.left_out += other.left_out;
    }

    /// All generations of a plugin together, under the number of the last.
    pub fn total(&self, plugin: &str) -> Option<GenerationMetrics> {
        self.known(plugin)?.total()
    }

    /// All generations of each plugin together, by plugin in order of appearance.
    pub fn totals(&self) -> Vec<GenerationMetrics> {
        self.plugins.iter().filter_map(Plugin::total).collect()
    }

    /// True if there are figures of this plugin.
    pub fn has(&self, plugin: &str) -> bool {
        self.places.contains_key(plugin)
    }

    /// Generations that are only part of the total of their plugin.
    pub fn generations_left_out(&self) -> u64 {
        self.plugins.iter().map(|plugin| plugin.generations_left_out).sum()
    }

    /// Events that are in no figures, because there were 2,000 plugins before theirs.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn known(&self, id: &str) -> Option<&Plugin> {
        self.places.get(id).map(|place| &self.plugins[*place])
    }

    /// The counters of a plugin; `None` if there are too many others.
    fn plugin(&mut self, id: &Arc<str>) -> Option<&mut Plugin> {
        if let Some(place) = self.places.get(id) {
            return self.plugins.get_mut(*place);
        }
        if self.plugins.len() == MAX_PLUGINS {
            return None;
        }
        self.places.insert(id.clone(), self.plugins.len());
        self.plugins.push(Plugin {
            id: id.clone(),
            generations: BTreeMap::new(),
            older: None,
            generations_left_out: 0,
            series: Arc::new(Timeline::new(SECOND, self.kept, self.whole)),
            fine: Arc::new(Timeline::new(SECOND / 10, self.kept, self.whole)),
        });
        self.plugins.last_mut()
    }

    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        // A file that was never loaded is no plugin with figures.
        if !event.what.is_of_a_plugin() && !self.places.contains_key(&event.plugin) {
            return;
        }
        let Some(plugin) = self.plugin(&event.plugin) else {
            self.left_out += 1;
            return;
        };
        plugin.generation(event.generation).ingest(event);
        Arc::make_mut(&mut plugin.series).ingest(event);
        Arc::make_mut(&mut plugin.fine).ingest(event);
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
            let mut own = plugin.generations.iter();
            match (&plugin.older, own.next(), own.next()) {
                // Merging histograms costs something.
                (None, Some((number, only)), None) => Some(only.snapshot(&plugin.id, *number)),
                _ => plugin.total(),
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
        let plugin = self.known(plugin)?;
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
    use glovebox_events::{AnsweredBy, CallId, HostCall, Outcome, ReloadCause, Timing, What};

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
            answered_by: AnsweredBy::Host,
        };
        let call = Some(CallId(1));
        let injected = HostCall { answered_by: AnsweredBy::Fault, ..host_call.clone() };
        metrics.ingest(&event(3, 2, What::HostCall { call, host_call }));
        metrics.ingest(&event(3, 2, What::HostCall { call, host_call: injected }));
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
        check(second.denials(), 1);
        check(second.injected(), 1);
        check(second.host_calls(), 2);
        assert_eq!(metrics.generation("echo", 3), None);
    }

    #[test]
    fn percentiles_are_calls_that_happened() {
        let latency = sample().generation("echo", 1).expect("it ran").latency;
        fn check(found: Duration, micros: u64) {
            assert_eq!(found, Duration::from_micros(micros));
        }
        assert!(latency.is_exact);
        check(latency.p50, 50);
        check(latency.p90, 90);
        check(latency.p99, 99);
        check(latency.p99_99, 100);
        check(latency.max, 100);
    }

    #[test]
    fn calls_that_were_not_made_took_no_time() {
        let mut metrics = Metrics::default();
        let refused = || Outcome::Refused { reason: "it waits".to_owned() };
        for call in [ended(50, Outcome::Completed), ended(0, refused()), ended(0, refused())] {
            metrics.ingest(&event(1, 1, call));
        }
        let figures = metrics.generation("echo", 1).expect("it ran");
        assert_eq!((figures.calls, figures.latency.count), (3, 1));
        assert_eq!(figures.latency.p50, Duration::from_micros(50));
        let bucket = metrics.snapshot().series["echo"].buckets[0].p50;
        assert_eq!(bucket, Some(Duration::from_micros(50)));
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
            let micros = found.latency.p50.as_micros() as u64;
            assert_eq!((found.calls, found.latency.count), (calls, calls));
            assert_eq!((found.frames_in, micros, found.denials()), (frames, p50, denials));
        }
        check(&one.generation("echo", 1).unwrap(), 100, 100, 50, 0);
        check(&both.generation("echo", 1).unwrap(), 200, 200, 50, 0);
        // 1 to 100 µs and another 5 µs: the 51st of 101.
        let total = one.total("echo").unwrap();
        check(&total, 101, 100, 50, 1);
        assert_eq!((total.generation, total.errors()), (2, 1));
        assert_eq!(total.memory_peak, Some(100));
        assert_eq!(both.total("echo").unwrap().calls, 202);
        assert_eq!(one.total("nobody"), None);
    }

    #[test]
    fn generations_and_plugins_are_bounded_and_none_is_lost() {
        let mut metrics = Metrics::default();
        for generation in [1, 2].into_iter().chain(1..=200).chain([3]) {
            metrics.ingest(&event(1, generation, ended(1, Outcome::Completed)));
        }
        let check = |metrics: &Metrics| {
            let snapshot = metrics.snapshot();
            let kept = snapshot.generations.iter().map(|one| one.generation);
            assert_eq!(kept.collect::<Vec<_>>(), Vec::from_iter(137..=200));
            assert_eq!((snapshot.totals[0].calls, snapshot.totals[0].generation), (203, 200));
        };
        check(&metrics);
        assert!(metrics.generations_left_out() >= 136);
        let mut merged = Metrics::default();
        merged.merge(&metrics);
        check(&merged);
        for plugin in 0..MAX_PLUGINS + 5 {
            let event = event(1, 1, ended(1, Outcome::Completed));
            metrics.ingest(&Event { plugin: format!("p{plugin}").into(), ..event });
        }
        assert_eq!((metrics.snapshot().totals.len(), metrics.left_out()), (MAX_PLUGINS, 6));
    }

    #[test]
    fn a_clone_stays_as_it_is() {
        let mut metrics = sample();
        let before = metrics.clone();
        metrics.ingest(&event(4, 2, ended(5, Outcome::Completed)));
        assert_eq!(before.snapshot(), sample().snapshot());
        assert_eq!(metrics.total("echo").map(|total| total.calls), Some(102));
    }

    #[test]
    fn series_of_a_whole_trace_bound_what_they_hold_and_take_any_order() {
        fn check(kept: usize, seconds: &[u64], expected: &[(u64, u64, u64)], left_out: u64) {
            let mut metrics = Metrics::keeping(kept);
            for (number, second) in (1..).zip(seconds) {
                let mut event = event(1, 1, ended(number, Outcome::Completed));
                event.at = second * 1_000_000_000;
                let What::CallEnded { memory, .. } = &mut event.what else { panic!("it ended") };
                *memory = Some(number);
                metrics.ingest(&event);
            }
            let series = &metrics.snapshot().series["echo"];
            let found = series.buckets.iter().map(|bucket| {
                let p99 = bucket.p99.expect("it has calls").as_micros() as u64;
                (bucket.start / 1_000_000_000, p99, bucket.memory.expect("it is known"))
            });
            assert_eq!(found.collect::<Vec<_>>(), expected);
            assert_eq!(series.left_out, left_out);
        }
        check(2, &[1, 1_000_000], &[(1, 1, 1), (1_000_000, 2, 2)], 0);
        check(2, &[1, 2, 3], &[(2, 2, 2), (3, 3, 3)], 1);
        check(2, &[3, 2, 1], &[(2, 2, 2), (3, 1, 1)], 1);
        check(2, &[1, 3, 2], &[(2, 3, 3), (3, 2, 2)], 1);
        check(9, &[2, 1, 3, 1, 2], &[(1, 4, 4), (2, 5, 5), (3, 3, 3)], 0);
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
