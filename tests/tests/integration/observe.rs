//! The view that an application has of its host, and the examples that show how to use one.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_host::{EndpointError, Host, HostBuilder, LoadRequest};
use glovebox_inspector::export::{InstanceMetrics, write_prometheus};
use glovebox_tests::alone::alone;
use glovebox_tests::{Bench, Remembered, binary, example, patiently, root, sample};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

#[test]
fn examples_run_and_say_what_happened() {
    fn check(name: &str, expected: &[&str]) {
        let output = Command::new(example(name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{said}\n{complained}", output.status);
        for expected in expected {
            assert!(said.contains(expected), "{name} does not say {expected:?}:\n{said}");
        }
    }
    check(
        "embed",
        &[
            "loaded shout on the core tier",
            "loaded redact on the wasm tier",
            "shout: HELLO",
            r#"redact: {"mail":"[redacted]","n":1}"#,
            "events told of 1 log line",
            "misbehave: timed out: stopped at its deadline of 250 ms",
            "misbehave: and again",
            "not loaded, at stage read: ",
        ],
    );
    check(
        "dispatch",
        &[
            "dispatch_to: completed, 1 frame back",
            "dispatch with a target: answers of 1 plugin\n",
            "dispatch by kind: answers of 2 plugins",
            r#"dispatch_batch: 100 answers, the last is Some("99")"#,
            "try_dispatch_to: the queue of `misbehave` is full (8 frames)",
            "of those that were queued, 0 were lost",
            "drained in time: true, 0 refused",
            "the queues refused 1 time, and 0 frames failed",
        ],
    );
    check(
        "permissions",
        &[
            "within the policy: completed",
            "outside of it: failed: cannot store `secrets/a`: denied",
            "after a person said no: failed",
            "after a person said yes: completed",
            "kv: 2 uses, 2 denials",
            "  allowed: kv ",
            "  denied: kv ",
        ],
    );
    check(
        "hot_swap",
        &[
            r#"version 1: {"kinds":{"data":{"bytes":6,"frames":3}},"state-version":1}"#,
            "generation 2, version 2: ",
            "refused at stage sniff",
            "still there: ",
            "generation 3, rolled back: ",
        ],
    );
    check(
        "embed_app",
        &[
            "not loaded: sniff: the WebAssembly text is wrong",
            ": broken.wat, given in memory",
            "till 1.0.0 runs, soon enough: true",
            "till called acme:shop/prices@1.0.0#lookup\n1: 3\n",
            "\n2: 4\n",
            "failed: it has no price",
            "generation 2: 3: 3 EUR",
            "till is ready, from till-2.wat, given in memory",
            "calls: 4, not completed: 1",
            "memory: at most 1 MiB",
            "prices asked for: 4",
            "ended: 1, in time: true",
        ],
    );
}

#[test]
fn examples_depend_on_the_host_alone() {
    let examples = root().join("host/examples");
    let sources = walkdir(&examples);
    assert!(sources.len() >= 5, "{sources:?}");
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        for other in ["glovebox_abi", "glovebox_events"] {
            assert!(!text.contains(other), "{} uses {other}", source.display());
        }
    }
}

/// The sources in a folder and those in it.
fn walkdir(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| if path.is_dir() { walkdir(&path) } else { vec![path] });
    below.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

/// A span that ended.
#[derive(Debug, Clone)]
struct Ended {
    /// The names of the spans around it and its own, e.g. `load/read`.
    path: String,
    fields: BTreeMap<&'static str, String>,
}

/// Remembers all spans that ended.
#[derive(Clone, Default)]
struct Spans(Arc<(Mutex<Vec<Ended>>, Condvar)>);

impl Spans {
    /// Those since the last time.
    fn take(&self) -> Vec<Ended> {
        std::mem::take(&mut self.0.0.lock().unwrap())
    }

    /// Waits for the end of a span, and gives it.
    fn wait_for(&self, path: &str) -> Ended {
        let (spans, more) = &*self.0;
        let found = |spans: &[Ended]| spans.iter().find(|span| span.path == path).cloned();
        let patience = Duration::from_secs(60);
        let spans = spans.lock().unwrap();
        let (spans, _) =
            more.wait_timeout_while(spans, patience, |spans| found(spans).is_none()).unwrap();
        found(&spans).unwrap_or_else(|| panic!("no span {path} ends: {spans:?}"))
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let names: Vec<&str> = span.scope().from_root().map(|span| span.name()).collect();
        let fields = span.extensions_mut().remove::<Fields>().unwrap().0;
        self.0.0.lock().unwrap().push(Ended { path: names.join("/"), fields });
        self.0.1.notify_all();
    }
}

#[test]
fn every_step_has_a_span() {
    // The subscriber is that of the whole process.
    alone("observe::every_step_has_a_span", || {
        let spans = Spans::default();
        let subscriber =
            tracing_subscriber::registry().with(spans.clone().with_filter(LevelFilter::DEBUG));
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let check = |expected: &[&str], about: &[(&str, &str)]| {
            let ended = spans.take();
            let paths: Vec<&str> = ended.iter().map(|span| &*span.path).collect();
            assert_eq!(paths, expected);
            // The fields stand on the last span to end, which is the whole step.
            let fields = &ended.last().unwrap().fields;
            for (name, value) in about {
                assert_eq!(
                    fields.get(name).map(String::as_str),
                    Some(*value),
                    "{name}: {fields:?}"
                );
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let states = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("stats.wasm");
        std::fs::copy(sample("stats-v1.wasm"), &artifact).unwrap();
        let cache = tempfile::tempdir().unwrap();
        let host = Host::builder().cache_folder(cache.path()).state_folder(states.path());
        let host = host.build().unwrap();

        let load = [
            "load/read",
            "load/sniff",
            "load/parse manifest",
            "load/policy",
            "load/compile",
            "load/link",
            "load/initialize",
            "load/probe",
        ];
        let started = [&load[..], &["load/switch", "load"]].concat();
        let stats = host.load(LoadRequest::path(&artifact)).wait().unwrap();
        let about = [("plugin", "stats"), ("instance", "0"), ("generation", "1"), ("tier", "wasm")];
        check(&started, &about);

        let frame = Frame::data("x");
        host.call(stats, &frame);
        check(&["call"], &[&about[..], &[("outcome", "completed")]].concat());
        host.try_dispatch_to(stats, frame.clone()).unwrap().wait();
        check(&["dispatch/call", "dispatch"], &[&about[..], &[("frames", "1")]].concat());
        assert!(!host.save_state(stats).wait(), "its manifest keeps no state");
        host.restart(stats).wait().unwrap();
        check(&["restart/initialize", "restart"], &[&about[..], &[("attempt", "1")]].concat());

        std::fs::copy(sample("stats.wasm"), &artifact).unwrap();
        host.reload(stats).wait().unwrap();
        let inside = |step: &str, stages: &[&str]| -> Vec<String> {
            stages.iter().map(|stage| format!("{step}/{stage}")).collect()
        };
        let stages = load[..load.len() - 1].iter().map(|stage| stage.trim_start_matches("load/"));
        let mut reload = inside("reload", &stages.collect::<Vec<_>>());
        let switch = ["save state", "restore state", "probe"];
        reload.push("reload/probe".to_owned());
        reload.extend(inside("reload/switch", &switch));
        reload.extend(["reload/switch".to_owned(), "reload".to_owned()]);
        let reload: Vec<&str> = reload.iter().map(String::as_str).collect();
        let next = [("cause", "requested"), ("next_generation", "2")];
        check(&reload, &[&about[..], &next].concat());

        // The same stages from the cache, none of which makes code where a copy runs already, and
        // services inside calls.
        let redact = patiently("redact.wasm");
        let about = |instance| {
            [("plugin", "redact"), ("instance", instance), ("generation", "1"), ("tier", "wasm")]
        };
        host.load(redact.clone()).wait().unwrap();
        check(&started, &about("1"));
        let other = Host::builder().cache_folder(cache.path()).build().unwrap();
        other.load(redact.clone()).wait().unwrap();
        assert_eq!(other.cache_stats().hits, 1);
        check(&started, &about("0"));
        let redact = host.load(redact).wait().unwrap();
        let makes_code = |stage: &&&str| !["load/compile", "load/link"].contains(stage);
        let shared: Vec<&str> = started.iter().filter(makes_code).copied().collect();
        check(&shared, &about("2"));
        host.call(redact, &Frame::data("ada@example.org"));
        let ended = spans.take();
        let services: Vec<&Ended> =
            ended.iter().filter(|span| span.path == "call/service").collect();
        assert_eq!(services[0].fields["service"], "log");
        assert_eq!(services[0].fields["plugin"], "redact");
        assert_eq!(services[1].fields["service"], "metric");

        host.unload(redact);
        assert_eq!(spans.wait_for("unload").fields["instance"], "2");
        spans.take();
        host.load(LoadRequest::path("no-such-file.wasm")).wait().unwrap_err();
        let ended: Vec<String> = spans.take().into_iter().map(|span| span.path).collect();
        assert_eq!(ended, ["load/read", "load"]);
    });
}

/// Sends a request and gives the whole answer; nothing if the connection was closed on it.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut answer = String::new();
    // A server may close before it has read all, and take back what it answered.
    let _ = connection.write_all(request.as_bytes());
    let _ = connection.read_to_string(&mut answer);
    answer
}

/// The values of a text for Prometheus by name and labels. Each has its help and its type, and what
/// is a counter is called so.
fn figures(text: &str) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    let (mut help, mut sort) = ("", ("", ""));
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            help = about.split_once(' ').unwrap().0;
        } else if let Some(about) = line.strip_prefix("# TYPE ") {
            sort = about.split_once(' ').unwrap();
            assert_eq!(help, sort.0, "{line}");
            assert_eq!(sort.0.ends_with("_total"), sort.1 == "counter", "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(sort.0), "{line} stands below {sort:?}");
            assert!(figures.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    figures
}

#[test]
fn figures_are_those_of_the_status() {
    let bench = Bench::new();
    let misbehave = bench.load("misbehave.wasm");
    let echo = bench.load("echo.wasm");
    for payload in ["fine", "mode=fail", "mode=deny-me", "mode=trap"] {
        bench.ask(misbehave, payload);
    }
    let ticket = bench.host.try_dispatch_to(echo, Frame::data("four")).unwrap();
    assert!(ticket.wait().outcome.is_completed());
    let found = figures(&bench.host.prometheus());
    let check = |name: &str, expected: f64| {
        assert_eq!(found.get(name), Some(&expected), "{name} in {found:#?}");
    };
    check("glovebox_instances_loaded_total", 2.0);
    check("glovebox_dispatched_frames_total", 1.0);
    check("glovebox_dispatch_errors_total", 0.0);
    check(r#"glovebox_plugin_calls_total{plugin="misbehave",instance="0"}"#, 4.0);
    check(r#"glovebox_plugin_call_errors_total{plugin="misbehave",instance="0"}"#, 2.0);
    check(r#"glovebox_plugin_restarts_total{plugin="misbehave",instance="0"}"#, 1.0);
    let denials = r#"glovebox_plugin_permission_denials_total{plugin="misbehave",instance="0""#;
    let denied = bench.host.plugin(misbehave).unwrap().stats.denials;
    let sum: f64 = found.iter().filter(|(name, _)| name.starts_with(denials)).map(|(_, n)| n).sum();
    assert!(denied > 0);
    assert_eq!(sum, denied as f64);
    check(r#"glovebox_plugin_phase{plugin="misbehave",instance="0",phase="ready"}"#, 1.0);
    check(r#"glovebox_plugin_received_bytes_total{plugin="echo",instance="1"}"#, 4.0);
    check(r#"glovebox_plugin_sent_bytes_total{plugin="echo",instance="1"}"#, 4.0);
    let duration = "glovebox_plugin_call_duration_seconds";
    check(&format!(r#"{duration}_count{{plugin="misbehave",instance="0"}}"#), 4.0);
    check(&format!(r#"{duration}_bucket{{plugin="misbehave",instance="0",le="+Inf"}}"#), 4.0);
    let memory = r#"glovebox_plugin_memory_bytes{plugin="echo",instance="1"}"#;
    assert!(found[memory] >= 65536.0, "{}", found[memory]);
    let info = r#"glovebox_plugin_info{plugin="echo",instance="1",version="1.0.0",tier="wasm""#;
    assert!(found.keys().any(|name| name.starts_with(info)), "{found:#?}");
}

/// A dashboard made for the endpoint of a host shows an exported trace too: what both count has one
/// name, one type and one meaning.
#[test]
fn an_exported_trace_has_the_names_of_the_endpoint() {
    let bench = Bench::new();
    let misbehave = bench.load("misbehave.wasm");
    for payload in ["fine", "mode=fail", "mode=deny-me", "mode=trap"] {
        bench.ask(misbehave, payload);
    }
    let mut metrics = InstanceMetrics::keeping(100, &[]);
    bench.events.events().iter().for_each(|event| metrics.ingest(event));
    let mut exported = Vec::new();
    write_prometheus(&metrics.generations(), &mut exported).unwrap();
    let exported = String::from_utf8(exported).unwrap();
    let families = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        pairs.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    };
    let live = bench.host.prometheus();
    let (live_families, exported_families) = (families(&live), families(&exported));
    for (name, kind) in &exported_families {
        let only_here = name.starts_with("glovebox_trace_");
        assert_eq!(live_families.get(name), (!only_here).then_some(kind), "{name}");
    }
    // The sums over all plugins are the same, whatever tells their parts apart.
    let sum = |text: &str, name: &str| -> f64 {
        let with_name = |(sample, _): &(&String, &f64)| {
            sample.split('{').next() == Some(name) && !sample.contains("le=")
        };
        figures(text).iter().filter(with_name).map(|(_, value)| value).sum()
    };
    let counted: Vec<_> = exported_families
        .keys()
        .filter(|name| name.starts_with("glovebox_plugin_") && name.ends_with("_total"))
        .map(String::as_str)
        .chain(["glovebox_plugin_call_duration_seconds_count"])
        .collect();
    assert!(counted.len() > 6, "{counted:?}");
    for name in counted {
        assert_eq!(sum(&exported, name), sum(&live, name), "{name}\n{exported}\n{live}");
    }
}

#[test]
fn calls_are_timed_if_somebody_wants_it() {
    fn check(host: Host, expected: u64) {
        let echo = host.load(patiently("echo.frame-abi.wasm")).wait().unwrap();
        host.call(echo, &Frame::data("x"));
        let status = host.plugin(echo).unwrap();
        assert_eq!((status.latency.count(), status.stats.processed), (expected, 1));
        assert_eq!(status.latency.sum().is_zero(), expected == 0);
    }
    check(Host::builder().build().unwrap(), 0);
    check(Host::builder().time_calls().build().unwrap(), 1);
    check(Bench::new().host.clone(), 1);
}

#[test]
fn a_waker_is_called_for_each_event_with_or_without_a_sink() {
    fn check(set_up: fn(HostBuilder) -> HostBuilder) {
        let woken = Arc::new(AtomicU64::new(0));
        let wakes = woken.clone();
        let builder = set_up(Host::builder().wake(move || {
            wakes.fetch_add(1, Relaxed);
        }));
        let host = builder.build().unwrap();
        let id = host.load(patiently("echo.wasm")).wait().unwrap();
        let before = woken.load(Relaxed);
        let reply = host.call(id, &Frame::data("a"));
        assert!(reply.call.0 > 0 && reply.outcome.is_completed());
        // The frame, its answer, and the end of the call.
        assert_eq!(woken.load(Relaxed) - before, 3);
    }
    check(|builder| builder);
    check(|builder| builder.time_calls());
    check(|builder| builder.sink(Arc::new(Remembered::default())));
}

#[test]
fn metrics_are_served_until_the_handle_goes() {
    let bench = Bench::new();
    let everywhere = bench.host.serve_metrics("0.0.0.0:0".parse().unwrap()).unwrap_err();
    assert!(matches!(everywhere, EndpointError::NotLoopback { .. }), "{everywhere}");
    let endpoint = bench.host.serve_metrics("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.address();
    let taken = bench.host.serve_metrics(address).unwrap_err();
    assert!(matches!(taken, EndpointError::Io { .. }), "{taken}");
    bench.load("echo.wasm");
    let check = |request: &str, status: &str, expected: &str| {
        let answer = ask(address, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains(expected), "{request}: {answer}");
    };
    check("GET /metrics", "200 OK", "content-type: text/plain; version=0.0.4; charset=utf-8\r\n");
    check("GET /metrics?name=x", "200 OK", "glovebox_plugin_generation{plugin=\"echo\"");
    let answer = ask(address, "GET /metrics");
    assert!(!figures(answer.split_once("\r\n\r\n").unwrap().1).is_empty());
    check("HEAD /metrics", "200 OK", "");
    check("GET /", "404 Not Found", "metrics are at /metrics");
    check("POST /metrics", "405 Method Not Allowed", "allow: GET, HEAD\r\n");
    check("nonsense", "400 Bad Request", "");
    let answer = ask(address, &format!("GET /{}", "x".repeat(100_000)));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // More connections than are served at once say nothing: the oldest makes room at once, not at its
    // own deadline two seconds later. A machine that is too busy to tell is asked again.
    let started = Instant::now();
    loop {
        let begun = Instant::now();
        let idle: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        check("GET /metrics", "200 OK", "glovebox_build_info");
        assert_eq!((&idle[0]).read(&mut [0]).unwrap(), 0);
        if begun.elapsed() < Duration::from_secs(2) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it ends only at its own deadline");
    }
    let host = |host: &str, status: &str| {
        check(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nX: "), status, "");
    };
    for name in ["localhost", "LOCALHOST:9464", "127.0.0.1", "127.1.2.3:80", "[::1]:80"] {
        host(name, "200");
    }
    for name in ["evil.example", "evil.example:80", "192.168.0.1", "localhost.evil.example", "@"] {
        host(name, "421");
    }

    drop(bench);
    check("GET /metrics", "503 Service Unavailable", "the host is gone");
    drop(endpoint);
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn verbs_serve_metrics_while_they_run() {
    let trace = root().join("assets/traces/shop.mcap");
    let mut watch = Command::new(binary())
        .arg("watch")
        .arg(sample("redact.wasm"))
        .args(["--metrics", "127.0.0.1:0", "--trace"])
        .arg(&trace)
        .env_remove("GLOVEBOX_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let address = first.strip_prefix("Serving http://").and_then(|s| s.strip_suffix("/metrics"));
    let address = address.unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    let watching = lines.next().unwrap();
    assert!(watching.contains("; watching "), "{watching}");
    let answer = ask(address, "GET /metrics");
    watch.kill().unwrap();
    watch.wait().unwrap();
    let found = figures(answer.split_once("\r\n\r\n").unwrap().1);
    let calls = found[r#"glovebox_plugin_calls_total{plugin="redact",instance="0"}"#];
    assert!(calls > 0.0, "{found:#?}");
}
