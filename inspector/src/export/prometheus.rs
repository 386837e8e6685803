//! Figures in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>): base units, one family after
//! the other.
//!
//! The names, and what they mean, are those of the live endpoint of a host, so that a dashboard made
//! for that shows a trace too. A few figures are in a trace alone; none of a host's is called like
//! them. Where a host has the label `instance`, a trace has `generation`.

use std::io::{self, Write};

use glovebox_abi::FRAME_PREFIX_LEN;
use glovebox_events::latency::Latencies;

use super::Runner;
use crate::metrics::{GenerationMetrics, PermissionUses};

/// The suffix of a sample's name, its labels, and its value.
type Sample = (&'static str, String, f64);

/// One family of samples: name, help, type, and the samples of one generation.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: fn(&GenerationMetrics) -> Vec<Sample>,
}

fn one(value: u64) -> Vec<Sample> {
    vec![("", String::new(), value as f64)]
}

const FAMILIES: [Family; 13] = [
    Family {
        name: "glovebox_plugin_calls_total",
        help: "Calls that ended, whatever the outcome; refused ones are not among them",
        kind: "counter",
        samples: |figures| {
            one(figures.calls - figures.outcomes.get("refused").copied().unwrap_or_default())
        },
    },
    Family {
        name: "glovebox_plugin_call_errors_total",
        help: "Calls that did not complete, refused ones included",
        kind: "counter",
        samples: |figures| one(figures.errors()),
    },
    Family {
        name: "glovebox_plugin_call_duration_seconds",
        help: "How long calls took, without the time in the queue",
        kind: "histogram",
        samples: |figures| histogram(&figures.latencies),
    },
    Family {
        name: "glovebox_plugin_received_bytes_total",
        help: "Bytes of payloads and headers given to the plugin",
        kind: "counter",
        samples: |figures| one(without_prefixes(figures.bytes_in, figures.frames_in)),
    },
    Family {
        name: "glovebox_plugin_sent_bytes_total",
        help: "Bytes of payloads and headers that the plugin answered with",
        kind: "counter",
        samples: |figures| one(without_prefixes(figures.bytes_out, figures.frames_out)),
    },
    Family {
        name: "glovebox_plugin_restarts_total",
        help: "Fresh copies because the one before could not go on",
        kind: "counter",
        samples: |figures| one(figures.restarts),
    },
    Family {
        name: "glovebox_plugin_permission_uses_total",
        help: "Uses of a permission that were allowed",
        kind: "counter",
        samples: |figures| permissions(figures, |uses| uses.allowed),
    },
    Family {
        name: "glovebox_plugin_permission_denials_total",
        help: "Uses of a permission that were denied",
        kind: "counter",
        samples: |figures| permissions(figures, |uses| uses.denied),
    },
    Family {
        name: "glovebox_plugin_permission_injected_total",
        help: "Uses of a permission that were allowed, and of which a fault or a mock made the result",
        kind: "counter",
        samples: |figures| permissions(figures, |uses| uses.injected),
    },
    Family {
        name: "glovebox_plugin_memory_bytes",
        help: "Memory after the last call, where the tier can tell",
        kind: "gauge",
        samples: |figures| figures.memory.map(one).unwrap_or_default(),
    },
    // Figures that only a trace has.
    Family {
        name: "glovebox_trace_outcomes_total",
        help: "Calls that ended, by outcome",
        kind: "counter",
        samples: |figures| {
            let outcomes = figures.outcomes.iter();
            outcomes.map(|(name, count)| ("", label("outcome", name), *count as f64)).collect()
        },
    },
    Family {
        name: "glovebox_trace_frames_total",
        help: "Frames given to the plugin (in) and by it (out)",
        kind: "counter",
        samples: |figures| {
            vec![
                ("", label("direction", "in"), figures.frames_in as f64),
                ("", label("direction", "out"), figures.frames_out as f64),
            ]
        },
    },
    Family {
        name: "glovebox_trace_time_seconds_total",
        help: "Where the time of calls went; without a sample for the boundary where it is part of \
               the guest's",
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
];

/// Of encoded frames what a plugin has of them.
fn without_prefixes(bytes: u64, frames: u64) -> u64 {
    bytes.saturating_sub(frames * FRAME_PREFIX_LEN as u64)
}

fn permissions(figures: &GenerationMetrics, count: fn(&PermissionUses) -> u64) -> Vec<Sample> {
    let all = figures.permissions.iter();
    all.map(|(name, uses)| ("", label("permission", name), count(uses) as f64)).collect()
}

fn histogram(latencies: &Latencies) -> Vec<Sample> {
    let bucket = |bound: String, calls: u64| ("_bucket", label("le", &bound), calls as f64);
    let bounds = latencies.at_most();
    let mut samples: Vec<_> =
        bounds.map(|(bound, calls)| bucket(bound.as_secs_f64().to_string(), calls)).collect();
    samples.push(bucket("+Inf".to_owned(), latencies.count()));
    samples.push(("_sum", String::new(), latencies.sum().as_secs_f64()));
    samples.push(("_count", String::new(), latencies.count() as f64));
    samples
}

/// A label after others.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!(",{name}=\"{value}\"")
}

/// Writes the figures of generations, each with the instance and the version that ran it.
///
/// # Errors
///
/// If `out` refuses.
pub fn write_prometheus(
    figures: &[(Runner, GenerationMetrics)],
    out: &mut impl Write,
) -> io::Result<()> {
    for Family { name, help, kind, samples } in &FAMILIES {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for (Runner { plugin, instance, version }, one) in figures {
            let plugin = label("plugin", plugin);
            let plugin = plugin.trim_start_matches(',');
            let instance = label("instance", &instance.to_string());
            let version = label("version", version);
            let generation = one.generation;
            for (suffix, labels, value) in samples(one) {
                writeln!(
                    out,
                    "{name}{suffix}{{{plugin}{instance}{version},generation=\"{generation}\"{labels}}} {value}"
                )?;
            }
        }
    }
    Ok(())
}
