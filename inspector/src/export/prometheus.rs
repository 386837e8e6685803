//! Figures in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>): base units, one family after
//! the other.

use std::io::{self, Write};
use std::time::Duration;

use crate::metrics::{GenerationMetrics, LatencySummary};

/// One family of samples: name, help, type, and the samples of one generation as pairs of labels
/// and a value.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: fn(&GenerationMetrics) -> Vec<(&'static str, String, f64)>,
}

fn one(value: u64) -> Vec<(&'static str, String, f64)> {
    vec![("", String::new(), value as f64)]
}

const FAMILIES: [Family; 9] = [
    Family {
        name: "glovebox_calls_total",
        help: "Calls that ended, by outcome.",
        kind: "counter",
        samples: |figures| {
            let outcomes = figures.outcomes.iter();
            outcomes.map(|(name, count)| ("", label("outcome", name), *count as f64)).collect()
        },
    },
    Family {
        name: "glovebox_frames_total",
        help: "Frames given to the plugin (in) and by it (out).",
        kind: "counter",
        samples: |figures| directions(figures.frames_in, figures.frames_out),
    },
    Family {
        name: "glovebox_frame_bytes_total",
        help: "Bytes of those frames.",
        kind: "counter",
        samples: |figures| directions(figures.bytes_in, figures.bytes_out),
    },
    Family {
        name: "glovebox_host_calls_total",
        help: "Uses of host services.",
        kind: "counter",
        samples: |figures| one(figures.host_calls),
    },
    Family {
        name: "glovebox_denied_host_calls_total",
        help: "Uses of host services that were denied.",
        kind: "counter",
        samples: |figures| one(figures.denials),
    },
    Family {
        name: "glovebox_restarts_total",
        help: "Restarts after a fault.",
        kind: "counter",
        samples: |figures| one(figures.restarts),
    },
    Family {
        name: "glovebox_call_latency_seconds",
        help: "Latency of calls, the queue excluded.",
        kind: "summary",
        samples: |figures| latency(&figures.latency, figures.split.latency()),
    },
    Family {
        name: "glovebox_time_seconds_total",
        help: "Where the time of calls went; without a sample for the boundary where it is part of \
               the guest's.",
        kind: "counter",
        samples: |figures| {
            let split = &figures.split;
            let parts = [
                ("queue", Some(split.queue)),
                ("guest", Some(split.guest)),
                ("boundary", split.known_boundary()),
                ("host", Some(split.host)),
            ];
            let known = parts.into_iter().filter_map(|(name, time)| Some((name, time?)));
            known.map(|(name, time)| ("", label("part", name), time.as_secs_f64())).collect()
        },
    },
    Family {
        name: "glovebox_memory_bytes",
        help: "Memory after the last call, where the tier can tell.",
        kind: "gauge",
        samples: |figures| figures.memory.map(one).unwrap_or_default(),
    },
];

fn directions(inside: u64, outside: u64) -> Vec<(&'static str, String, f64)> {
    vec![
        ("", label("direction", "in"), inside as f64),
        ("", label("direction", "out"), outside as f64),
    ]
}

fn latency(latency: &LatencySummary, sum: Duration) -> Vec<(&'static str, String, f64)> {
    let quantiles = [
        ("0.5", latency.p50),
        ("0.9", latency.p90),
        ("0.99", latency.p99),
        ("0.999", latency.p99_9),
        ("0.9999", latency.p99_99),
    ];
    let mut samples: Vec<_> = quantiles
        .iter()
        .filter(|_| latency.count > 0)
        .map(|(quantile, time)| ("", label("quantile", quantile), time.as_secs_f64()))
        .collect();
    samples.push(("_sum", String::new(), sum.as_secs_f64()));
    samples.push(("_count", String::new(), latency.count as f64));
    samples
}

/// A label after others.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!(",{name}=\"{value}\"")
}

/// Writes the figures of all generations.
///
/// # Errors
///
/// If `out` refuses.
pub fn write_prometheus(figures: &[GenerationMetrics], out: &mut impl Write) -> io::Result<()> {
    for Family { name, help, kind, samples } in &FAMILIES {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for one in figures {
            let plugin = label("plugin", &one.plugin);
            let plugin = plugin.trim_start_matches(',');
            let generation = one.generation;
            for (suffix, labels, value) in samples(one) {
                writeln!(
                    out,
                    "{name}{suffix}{{{plugin},generation=\"{generation}\"{labels}}} {value}"
                )?;
            }
        }
    }
    Ok(())
}
