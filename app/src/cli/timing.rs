//! Latencies in reports.

use std::time::Duration;

use glovebox_abi::units::show_duration;
use glovebox_inspector::metrics::LatencySummary;
use serde_json::{Value as Json, json};

/// Percentiles in nanoseconds.
pub(super) fn json(latency: &LatencySummary) -> Json {
    json!({
        "calls": latency.count,
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
        1 => format!("it took {}", show_duration(latency.max)),
        _ => format!("p50 {}, p99 {}", show_duration(latency.p50), show_duration(latency.p99)),
    }
}

/// For a line of its own.
pub(super) fn long(latency: &LatencySummary) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
        show_duration(latency.p50),
        show_duration(latency.p90),
        show_duration(latency.p99),
        show_duration(latency.p99_9),
        show_duration(latency.p99_99),
        show_duration(latency.max)
    )
}
