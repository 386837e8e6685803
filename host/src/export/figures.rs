//! The figures of a host, in the names and units of Prometheus; each exporter writes them its way.
//!
//! Nothing is counted here: everything stands in the [status](crate::PluginStatus) of an instance,
//! in [`DispatchStats`](crate::DispatchStats) or in [`CacheStats`](crate::CacheStats) already.

use std::time::Duration;

use glovebox_events::latency::Latencies;

use crate::{Host, PluginStatus, ResourceUsage};

/// One name with all its samples. Never without any.
pub(super) struct Figure {
    /// With `_total` for counters, and base units: seconds, bytes.
    pub(super) name: &'static str,
    /// One sentence without its full stop.
    pub(super) help: &'static str,
    pub(super) samples: Samples,
}

/// All samples of a figure are of one sort.
pub(super) enum Samples {
    /// Only grows, until the instance is gone.
    Counter(Vec<(Labels, u64)>),
    Gauge(Vec<(Labels, u64)>),
    /// Times, of which a process that ends takes its own with it.
    Seconds(Vec<(Labels, Duration)>),
    Histogram(Vec<(Labels, Latencies)>),
}

pub(super) type Labels = Vec<(&'static str, String)>;

/// A figure of the host that has one value.
fn one(
    name: &'static str,
    help: &'static str,
    sort: fn(Vec<(Labels, u64)>) -> Samples,
    value: u64,
) -> Figure {
    Figure { name, help, samples: sort(vec![(Labels::new(), value)]) }
}

/// Everything, host first; figures that have no sample now are left out.
pub(super) fn of(host: &Host) -> Vec<Figure> {
    let mut figures = of_host(host);
    let plugins = host.plugins();
    figures.extend(of_plugins(&plugins));
    figures.retain(|figure| match &figure.samples {
        Samples::Counter(samples) | Samples::Gauge(samples) => !samples.is_empty(),
        Samples::Seconds(samples) => !samples.is_empty(),
        Samples::Histogram(samples) => !samples.is_empty(),
    });
    figures
}

fn of_host(host: &Host) -> Vec<Figure> {
    use Samples::{Counter, Gauge};
    let (queues, cache) = (host.dispatch_stats(), host.cache_stats());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    vec![
        Figure {
            name: "glovebox_build_info",
            help: "The version of the host, always 1",
            samples: Gauge(vec![(vec![("version", version)], 1)]),
        },
        one(
            "glovebox_instances_loaded_total",
            "Instances that were loaded",
            Counter,
            queues.loaded,
        ),
        one(
            "glovebox_instances_unloaded_total",
            "Instances that were ended",
            Counter,
            queues.unloaded,
        ),
        one(
            "glovebox_dispatched_frames_total",
            "Frames that were queued",
            Counter,
            queues.dispatched,
        ),
        one(
            "glovebox_dispatch_refusals_total",
            "Times that a queue had no room or took nothing more",
            Counter,
            queues.refused,
        ),
        one(
            "glovebox_dispatch_errors_total",
            "Queued frames whose call did not complete",
            Counter,
            queues.errors,
        ),
        one(
            "glovebox_compile_cache_hits_total",
            "Loads that found their code in the compile cache",
            Counter,
            cache.hits,
        ),
        one(
            "glovebox_compile_cache_misses_total",
            "Loads that had to compile although there is a cache",
            Counter,
            cache.misses,
        ),
        one(
            "glovebox_compile_cache_damaged_total",
            "Entries of the compile cache that were thrown away as damaged",
            Counter,
            cache.damaged,
        ),
        one(
            "glovebox_compile_cache_evicted_total",
            "Entries of the compile cache that made room",
            Counter,
            cache.evicted,
        ),
        one(
            "glovebox_mapped_libraries",
            "InstanceServices libraries that were opened and stay mapped",
            Gauge,
            host.mapped_libraries(),
        ),
    ]
}

fn of_plugins(plugins: &[PluginStatus]) -> Vec<Figure> {
    use Samples::{Counter, Gauge, Histogram, Seconds};
    let each = |value: fn(&PluginStatus) -> u64| -> Vec<(Labels, u64)> {
        plugins.iter().map(|plugin| (labels(plugin), value(plugin))).collect()
    };
    let figure = |name, help, samples| Figure { name, help, samples };
    // Of the processes that are alive: a restart begins at nothing, so that none of it is a counter.
    let usage = |value: fn(&ResourceUsage) -> u64| -> Vec<(Labels, u64)> {
        let used = plugins.iter().filter_map(|plugin| Some((plugin, plugin.usage?)));
        used.map(|(plugin, usage)| (labels(plugin), value(&usage))).collect()
    };
    let parts = |name: &'static str, parts: fn(&ResourceUsage) -> Vec<(&'static str, u64)>| {
        let used = plugins.iter().filter_map(|plugin| Some((plugin, plugin.usage?)));
        let all = used.flat_map(|(plugin, usage)| {
            let parts = parts(&usage).into_iter();
            parts.map(|(part, value)| (with(plugin, name, part.to_owned()), value))
        });
        all.collect::<Vec<_>>()
    };
    let processor = || {
        let used = plugins.iter().filter_map(|plugin| Some((plugin, plugin.usage?)));
        let all = used.flat_map(|(plugin, usage)| {
            let parts = [("user", usage.user), ("system", usage.system)];
            parts.map(|(mode, time)| (with(plugin, "mode", mode.to_owned()), time))
        });
        all.collect()
    };
    let permissions = |value: fn(&crate::PermissionStatus) -> u64| -> Vec<(Labels, u64)> {
        let all = plugins.iter().flat_map(|plugin| {
            let used = plugin.permissions.iter();
            // A permission that a plugin neither asks for nor tries would only be noise.
            let used = used.filter(|status| status.asked || status.uses + status.denials > 0);
            used.map(|status| {
                let name = status.permission.name().to_owned();
                (with(plugin, "permission", name), value(status))
            })
        });
        all.collect()
    };
    vec![
        figure(
            "glovebox_plugin_info",
            "Version, tier, binding and digest of the artifact that an instance runs, always 1",
            Gauge(plugins.iter().map(|plugin| (info(plugin), 1)).collect()),
        ),
        figure(
            "glovebox_plugin_phase",
            "The phase of an instance: 1 for the one it is in",
            Gauge(
                plugins
                    .iter()
                    .map(|plugin| (with(plugin, "phase", plugin.phase.name().to_owned()), 1))
                    .collect(),
            ),
        ),
        figure(
            "glovebox_plugin_generation",
            "The generation that an instance runs, from 1",
            Gauge(each(|plugin| plugin.generation.into())),
        ),
        figure(
            "glovebox_plugin_calls_total",
            "Calls that ended, whatever the outcome; refused ones are not among them",
            Counter(each(|plugin| plugin.stats.processed)),
        ),
        figure(
            "glovebox_plugin_call_errors_total",
            "Calls that did not complete, refused ones included",
            Counter(each(|plugin| plugin.stats.errors)),
        ),
        figure(
            "glovebox_plugin_call_duration_seconds",
            "How long calls took, without the time in the queue; only calls that were timed",
            Histogram(
                plugins
                    .iter()
                    .filter(|plugin| plugin.latency.count() > 0)
                    .map(|plugin| (labels(plugin), plugin.latency.clone()))
                    .collect(),
            ),
        ),
        figure(
            "glovebox_plugin_received_bytes_total",
            "Bytes of payloads and headers given to the plugin",
            Counter(each(|plugin| plugin.stats.bytes_in)),
        ),
        figure(
            "glovebox_plugin_sent_bytes_total",
            "Bytes of payloads and headers that the plugin answered with",
            Counter(each(|plugin| plugin.stats.bytes_out)),
        ),
        figure(
            "glovebox_plugin_restarts_total",
            "Fresh copies because the one before could not go on",
            Counter(each(|plugin| plugin.stats.restarts)),
        ),
        figure(
            "glovebox_plugin_permission_uses_total",
            "Uses of a permission that were allowed",
            Counter(permissions(|status| status.uses)),
        ),
        figure(
            "glovebox_plugin_permission_denials_total",
            "Uses of a permission that were denied",
            Counter(permissions(|status| status.denials)),
        ),
        figure(
            "glovebox_plugin_permission_injected_total",
            "Uses of a permission that were allowed, and of which a fault or a mock made the result",
            Counter(permissions(|status| status.injected)),
        ),
        figure(
            "glovebox_plugin_limit_hits_total",
            "Times that a limit was hit",
            Counter(
                plugins
                    .iter()
                    .flat_map(|plugin| plugin.limit_status.iter().map(move |limit| (plugin, limit)))
                    .map(|(plugin, limit)| {
                        (with(plugin, "limit", limit.limit.name().to_owned()), limit.hits)
                    })
                    .collect(),
            ),
        ),
        figure(
            "glovebox_plugin_queued_frames",
            "Frames that wait or are under way",
            Gauge(each(|plugin| plugin.queue_depth as u64)),
        ),
        figure(
            "glovebox_plugin_queued_bytes",
            "Bytes of the frames that wait or are under way",
            Gauge(each(|plugin| plugin.queue_bytes)),
        ),
        figure(
            "glovebox_plugin_queue_limit_bytes",
            "Bytes of the frames that may wait",
            Gauge(each(|plugin| plugin.limits.queue_bytes)),
        ),
        figure(
            "glovebox_plugin_queue_limit_frames",
            "Frames that may wait",
            Gauge(each(|plugin| plugin.limits.queue.into())),
        ),
        figure(
            "glovebox_plugin_memory_bytes",
            "Memory of the copies after their last call that was timed",
            Gauge(
                plugins
                    .iter()
                    .filter_map(|plugin| Some((labels(plugin), plugin.memory?)))
                    .collect(),
            ),
        ),
        figure(
            "glovebox_plugin_live_copies",
            "Copies that live, of all generations",
            Gauge(each(|plugin| plugin.remains.copies().into())),
        ),
        figure(
            "glovebox_plugin_mapped_libraries",
            "Libraries that were opened in this process, all of which stay mapped",
            Gauge(each(|plugin| plugin.remains.libraries.into())),
        ),
        figure(
            "glovebox_plugin_processes",
            "Processes of its own, one for each copy",
            Gauge(usage(|usage| usage.processes.into())),
        ),
        figure(
            "glovebox_plugin_process_cpu_seconds",
            "Processor time of its processes, of those that are alive",
            Seconds(processor()),
        ),
        figure(
            "glovebox_plugin_process_resident_memory_bytes",
            "Memory that its processes hold, what they share with others included",
            Gauge(usage(|usage| usage.resident)),
        ),
        figure(
            "glovebox_plugin_process_threads",
            "Threads of its processes",
            Gauge(usage(|usage| usage.threads)),
        ),
        figure(
            "glovebox_plugin_process_page_faults",
            "Page faults of its processes, of those that are alive",
            Gauge(parts("kind", |usage| {
                vec![("minor", usage.minor_faults), ("major", usage.major_faults)]
            })),
        ),
        figure(
            "glovebox_plugin_process_io_bytes",
            "Bytes that its processes carried through files, pipes and sockets, of those that are alive; \
             the system tells them to the superuser alone",
            Gauge(parts("direction", |usage| match usage.carried {
                Some((read, written)) => vec![("read", read), ("written", written)],
                None => Vec::new(),
            })),
        ),
    ]
}

fn labels(plugin: &PluginStatus) -> Labels {
    vec![("plugin", plugin.manifest.plugin.id.clone()), ("instance", plugin.instance.to_string())]
}

fn with(plugin: &PluginStatus, name: &'static str, value: String) -> Labels {
    let mut labels = labels(plugin);
    labels.push((name, value));
    labels
}

fn info(plugin: &PluginStatus) -> Labels {
    let mut labels = labels(plugin);
    labels.extend([
        ("version", plugin.manifest.plugin.version.to_string()),
        ("tier", plugin.tier.name().to_owned()),
        ("binding", plugin.binding.name().to_owned()),
        ("digest", plugin.digest.clone()),
    ]);
    labels
}
