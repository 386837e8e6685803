//! Latencies in reports.

use std::time::Duration;

use glovebox_events::latency::LatencySummary;
use serde_json::{Value as Json, json};

/// Percentiles in nanoseconds.
pub(super) fn json(latency: &LatencySummary) -> Json {
    json!({
        "calls": latency.count,
        "exact": latency.is_exact,
        "p50_ns": nanos(latency.p50),
        "p90_ns": nanos(latency.p90),
        "p99_ns": nanos(latency.p99),
        "p99_9_ns": nanos(latency.p99_9),
        "p99_99_ns": nanos(latency.p99_99),
        "max_ns": nanos(latency.max),
    })
}

/// Nanoseconds, for programs.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// For a sentence.
pub(super) fn short(latency: &LatencySummary) -> String {
    match latency.count {
        1 => format!("it took {}", latency.show(latency.max)),
        _ => format!("p50 {}, p99 {}", latency.show(latency.p50), latency.show(latency.p99)),
    }
}

/// For a line of its own.
pub(super) fn long(latency: &LatencySummary) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
        latency.show(latency.p50),
        latency.show(latency.p90),
        latency.show(latency.p99),
        latency.show(latency.p99_9),
        latency.show(latency.p99_99),
        latency.show(latency.max)
    )
}
