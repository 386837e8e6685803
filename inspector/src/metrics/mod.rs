//! Figures per plugin and generation, fed by events.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use glovebox_events::{Event, Sink};

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
}

impl GenerationMetrics {
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
    /// The slowest.
    pub max: Duration,
}

/// Total time of all calls by where it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Waiting in the queue.
    pub queue: Duration,
    /// Inside the plugin.
    pub guest: Duration,
    /// Inside host services.
    pub host: Duration,
    /// Carrying frames in and out.
    pub boundary: Duration,
}

/// One second of one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Seconds since the Unix epoch.
    pub second: u64,
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
    /// Bytes of memory at the end of the second, where the tier can tell.
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

/// The last ten minutes of one plugin, second by second; seconds without events are left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Oldest first.
    pub buckets: Vec<Bucket>,
    /// Reloads in that time, oldest first.
    pub reloads: Vec<ReloadMark>,
}

/// Figures of everything, at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsSnapshot {
    /// By plugin in order of appearance, then by generation.
    pub generations: Vec<GenerationMetrics>,
    /// By plugin.
    pub series: BTreeMap<Arc<str>, Series>,
}

/// Counts events.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        todo!()
    }
    /// The figures as they are now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        todo!()
    }
    /// Figures of one generation, without the rest.
    pub fn generation(&self, plugin: &str, generation: u32) -> Option<GenerationMetrics> {
        todo!()
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
