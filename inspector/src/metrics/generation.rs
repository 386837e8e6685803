use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use glovebox_events::latency::{Latencies, LatencySummary};
use glovebox_events::{Event, Phase, Timing, What};
use glovebox_trace::recorded_len;

use super::{GenerationMetrics, PermissionUses, Split};

/// Counters of one generation.
#[derive(Debug, Clone, Default)]
pub(super) struct Generation {
    frames_in: u64,
    frames_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    calls: u64,
    outcomes: BTreeMap<&'static str, u64>,
    permissions: BTreeMap<&'static str, PermissionUses>,
    restarts: u64,
    memory: Option<u64>,
    memory_peak: Option<u64>,
    latencies: Arc<Latencies>,
    /// Of these latencies, once somebody looked.
    summary: OnceLock<LatencySummary>,
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
                self.bytes_in += recorded_len(frame) as u64;
            }
            What::FrameOut { frame, .. } => {
                self.frames_out += 1;
                self.bytes_out += recorded_len(frame) as u64;
            }
            What::CallEnded { outcome, timing, memory, .. } => {
                self.calls += 1;
                let (first, last) = self.range.unwrap_or((event.at, event.at));
                self.range = Some((first, last.max(event.at)));
                *self.outcomes.entry(outcome.name()).or_default() += 1;
                // A call that was not made took no time, and is not the fastest.
                if !outcome.is_refused() {
                    self.count(|latencies| latencies.add(timing.latency()));
                    self.add_timing(timing);
                }
                self.memory = memory.or(self.memory);
                self.memory_peak = self.memory_peak.max(*memory);
            }
            What::HostCall { host_call, .. } => {
                let uses = self.permissions.entry(host_call.permission.name()).or_default();
                match host_call.is_denied() {
                    true => uses.denied += 1,
                    false => uses.allowed += 1,
                }
                uses.injected += u64::from(host_call.is_injected());
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
        for (name, other) in &other.permissions {
            let uses = self.permissions.entry(name).or_default();
            uses.allowed += other.allowed;
            uses.denied += other.denied;
            uses.injected += other.injected;
        }
        self.restarts += other.restarts;
        self.memory = other.memory.or(self.memory);
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.count(|latencies| latencies.merge(&other.latencies));
        self.range = match (self.range, other.range) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self.load_time = other.load_time.or(self.load_time);
        let Split { queue, guest, host, boundary } = other.split;
        self.add_timing(&Timing { queue, guest, host, boundary });
    }

    fn count(&mut self, count: impl FnOnce(&mut Latencies)) {
        count(Arc::make_mut(&mut self.latencies));
        self.summary.take();
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
            permissions: self.permissions.clone(),
            restarts: self.restarts,
            memory: self.memory,
            memory_peak: self.memory_peak,
            latency: *self.summary.get_or_init(|| self.latencies.summary()),
            latencies: Arc::clone(&self.latencies),
            split: self.split,
            range: self.range,
            load_time: self.load_time,
        }
    }
}
