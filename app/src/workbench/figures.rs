//! Figures of a trace as a whole, counted while it is looked over.

use glovebox_events::Event;
use glovebox_inspector::metrics::{Metrics, MetricsSnapshot};

use super::sink::Latencies;

/// Counts the events of a trace.
#[derive(Debug, Default)]
pub(super) struct Counting {
    metrics: Metrics,
    latencies: Latencies,
}

impl Counting {
    /// Takes one event.
    pub(super) fn ingest(&mut self, event: &Event) {
        self.metrics.ingest(event);
        self.latencies.ingest(event);
    }

    /// What was counted.
    pub(super) fn finish(self) -> Figures {
        Figures { metrics: self.metrics.snapshot(), latencies: self.latencies }
    }
}

/// What a trace says in figures.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) metrics: MetricsSnapshot,
    pub(super) latencies: Latencies,
}
