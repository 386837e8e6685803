use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::ServiceError;
use glovebox_events::{Event, Phase, Timing, What};
use hdrhistogram::Histogram;

use super::{GenerationMetrics, LatencySummary, Split};

/// The slowest latency that is told apart: one hour, in nanoseconds.
const MAX_LATENCY: u64 = 3_600_000_000_000;

/// Latencies, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(MAX_LATENCY, 3);
        let histogram = histogram.expect("1 hour and 3 digits are within what a histogram can do");
        Latencies(histogram)
    }
}

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(MAX_LATENCY);
        self.0.saturating_record(nanos);
    }

    pub(super) fn merge(&mut self, other: &Latencies) {
        let added = self.0.add(&other.0);
        added.expect("all histograms here have the same range");
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    /// The latency that a share of the calls, from 0 to 1, does not exceed.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.value_at_quantile(share)))
    }

    pub(super) fn summary(&self) -> LatencySummary {
        let quantile = |share| self.quantile(share).unwrap_or_default();
        LatencySummary {
            count: self.0.len(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            p99_99: quantile(0.9999),
            max: quantile(1.0),
        }
    }
}

/// Counters of one generation.
#[derive(Debug, Default)]
pub(super) struct Generation {
    frames_in: u64,
    frames_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    calls: u64,
    outcomes: BTreeMap<&'static str, u64>,
    host_calls: u64,
    denials: u64,
    restarts: u64,
    memory: Option<u64>,
    memory_peak: Option<u64>,
    latencies: Latencies,
    split: Split,
    range: Option<(u64, u64)>,
    load_time: Option<Duration>,
}

impl Generation {
    pub(super) fn ingest(&mut self, event: &Event) {
        match &event.what {
            What::FrameIn { frame, .. } => {
                self.range.get_or_insert((event.at, event.at));
                self.frames_in += 1;
                self.bytes_in += frame.encoded_len() as u64;
            }
            What::FrameOut { frame, .. } => {
                self.frames_out += 1;
                self.bytes_out += frame.encoded_len() as u64;
            }
            What::CallEnded { outcome, timing, memory, .. } => {
                self.calls += 1;
                let (first, last) = self.range.unwrap_or((event.at, event.at));
                self.range = Some((first, last.max(event.at)));
                *self.outcomes.entry(outcome.name()).or_default() += 1;
                self.latencies.add(timing.latency());
                self.add_timing(timing);
                self.memory = memory.or(self.memory);
                self.memory_peak = self.memory_peak.max(*memory);
            }
            What::HostCall { host_call, .. } => {
                self.host_calls += 1;
                self.denials += u64::from(host_call.result == Err(ServiceError::Denied));
            }
            What::Loaded { took, .. } => self.load_time = Some(*took),
            What::Phase { to: Phase::Restarting, .. } => self.restarts += 1,
            _ => {}
        }
    }

    /// Adds the counters of another generation, or of the same in another run; its memory is later.
    pub(super) fn merge(&mut self, other: &Generation) {
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.calls += other.calls;
        for (name, count) in &other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        self.host_calls += other.host_calls;
        self.denials += other.denials;
        self.restarts += other.restarts;
        self.memory = other.memory.or(self.memory);
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.latencies.merge(&other.latencies);
        self.range = match (self.range, other.range) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self.load_time = other.load_time.or(self.load_time);
        let Split { queue, guest, host, boundary } = other.split;
        self.add_timing(&Timing { queue, guest, host, boundary });
    }

    fn add_timing(&mut self, timing: &Timing) {
        let split = &mut self.split;
        split.queue = split.queue.saturating_add(timing.queue);
        split.guest = split.guest.saturating_add(timing.guest);
        split.host = split.host.saturating_add(timing.host);
        split.boundary = split.boundary.saturating_add(timing.boundary);
    }

    pub(super) fn snapshot(&self, plugin: &Arc<str>, generation: u32) -> GenerationMetrics {
        GenerationMetrics {
            plugin: plugin.clone(),
            generation,
            frames_in: self.frames_in,
            frames_out: self.frames_out,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            calls: self.calls,
            outcomes: self.outcomes.clone(),
            host_calls: self.host_calls,
            denials: self.denials,
            restarts: self.restarts,
            memory: self.memory,
            memory_peak: self.memory_peak,
            latency: self.latencies.summary(),
            split: self.split,
            range: self.range,
            load_time: self.load_time,
        }
    }
}
